"""Rockpool 3.1.0: `rockpool.nn.modules`, torch and JAX, with `max_spikes_per_dt` of 1. Fires at v = 0. Its values are tested.

Rockpool takes the potential and the threshold apart; v is their difference. Its spikes count how often the potential holds the
threshold, up to `max_spikes_per_dt`, 2¹⁶ where a function is called by itself: `rule=presets.rockpool.lif()`. Without a rule a
spike here is 0 or 1, as it is there with 1.
A threshold's gradient is −h·potential/threshold in Rockpool, as of spikes of potential/threshold; here, where the threshold
is taken off the potential, it is −h. At the threshold itself they are the same.

>>> from arcana import presets
>>> presets.rockpool.step_pwl()
ClippedSTE(lower=-0.5, upper=1000000000000000.0)
>>> presets.rockpool.lif(max_spikes_per_dt=4)
Integer(most=4, repeat=False, step=1.0)
"""

from __future__ import annotations

from typing import Any

from arcana.presets._registry import preset, rule_preset
from arcana.rules import Integer
from arcana.surrogate import ClippedSTE, Exponential


@preset
def step_pwl(*, threshold: float = 1.0, window: float = 0.5) -> ClippedSTE:
    """`StepPWL` (torch) and `step_pwl` (JAX) of Rockpool 3.1.0, the default of its neurons; fires where v >= 0.

    h(v) = 1/threshold for v >= −window, else 0

    Note: beyond v = 1e15 this h is 0. h is the same for any `max_spikes_per_dt`. The gradient of the threshold differs: for
    a potential of 2 and a threshold of 1.5 it is −2/1.5² = −0.889 in Rockpool, and −1/1.5 = −0.667 of v = 2 − 1.5 here.
    """
    return ClippedSTE(lower=-window, upper=1e15, gain=1 / threshold)


@preset
def periodic_exponential(*, threshold: float = 1.0, window: float = 0.5) -> Exponential:
    """`PeriodicExponential` (torch) of Rockpool 3.1.0 with max_spikes_per_dt = 1; fires where v >= 0.

    h(v) = e^(−|v|/window)/threshold

    Note: with more spikes a step, which are no longer 0 or 1, h has a peak at each multiple of the threshold up to
    max_spikes_per_dt; `PeriodicExponential(width=window)` is that without an end, for a threshold of 1. The gradient of the
    threshold differs: for a potential of 2, a threshold of 1.5 and a window of 0.3 it is −0.168 in Rockpool and −0.126 here.
    """
    return Exponential(slope=1 / window, gain=2 * window / threshold)


@rule_preset
def lif(*, threshold: float = 1.0, max_spikes_per_dt: float = 2.0**16) -> Integer:
    """`LIFTorch` (torch) and `LIFJax` (JAX) of Rockpool 3.1.0, whichever `spike_generation_fn` they have; v = x − threshold.

    spikes = min(floor(x / threshold), max_spikes_per_dt) for x >= threshold, else 0

    Surrogate: `rockpool.step_pwl(threshold=threshold)`, their default.

    Note: `PeriodicExponential(width=window / threshold)` of v = x/threshold − 1, whose step is 1, has the gradient of Rockpool's
    function of this name, for x and for the threshold, up to x = (max_spikes_per_dt + 1/2)·threshold.
    """
    # Rockpool writes it as a float.
    most: Any = int(max_spikes_per_dt) if float(max_spikes_per_dt).is_integer() else max_spikes_per_dt
    return Integer(most, repeat=False, step=threshold)
