"""Rockpool 3.1.0: `rockpool.nn.modules`, torch and JAX. Fires at v = 0. Read, not run.

Rockpool's spikes count how often the potential holds the threshold, 2 at twice the threshold; a spike here is 1.
"""

from __future__ import annotations

from arcana.presets._registry import preset
from arcana.surrogate import ClippedSTE, PeriodicExponential


@preset
def step_pwl(*, threshold: float = 1.0, window: float = 0.5) -> ClippedSTE:
    """`StepPWL` (torch) and `step_pwl` (JAX) of Rockpool 3.1.0, the default of its neurons; fires where v >= 0.

    h(v) = 1/threshold for v >= −window, else 0

    Note: beyond v = 1e15 this h is 0.
    """
    return ClippedSTE(lower=-window, upper=1e15, gain=1 / threshold)


@preset
def periodic_exponential(*, window: float = 0.5) -> PeriodicExponential:
    """`PeriodicExponential` (torch) of Rockpool 3.1.0 with a threshold of 1; fires where v >= 0.

    h(v) = e^(−d/window), d = |v| for v < 0, the distance to the nearest whole number for v >= 0
    """
    return PeriodicExponential(width=window)
