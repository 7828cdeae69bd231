"""spyx 1.0.0: `spyx.axn`. No spike at v = 0.

>>> from arcana import presets
>>> presets.spyx.superspike(k=10.0)
FastSigmoid(scale=10.0, fires_at_threshold=False)
"""

from __future__ import annotations

import math

from arcana.presets._registry import preset
from arcana.surrogate import STE, ATan, FastSigmoid, Rectangular, Sigmoid, Triangular


@preset
def custom() -> STE:
    """`spyx.axn.custom` of spyx 1.0.0 as it is without arguments; fires where v > 0.

    h(v) = 1

    Differs: the library documents the straight-through estimator and computes h(v) = v, which is 0 at the threshold and
    negative below it.
    """
    return STE(fires_at_threshold=False)


@preset
def tanh(*, k: float = 1.0) -> Sigmoid:
    """`spyx.axn.tanh` of spyx 1.0.0; fires where v > 0.

    h(v) = 4 / (e^(−k·v) + e^(k·v))²

    Note: the derivative of tanh(k·v) is k times this.
    """
    return Sigmoid(slope=2 * k, gain=2 / k, fires_at_threshold=False)


@preset
def boxcar(*, width: float = 2.0, height: float = 0.5) -> Rectangular:
    """`spyx.axn.boxcar` of spyx 1.0.0; fires where v > 0.

    h(v) = height for |v| < width/2, else 0

    Note: spyx's documentation has <= in place of <; its code has <.
    """
    return Rectangular(height=height, width=width, fires_at_threshold=False)


@preset
def triangular(*, k: float = 2.0) -> Triangular:
    """`spyx.axn.triangular` of spyx 1.0.0; fires where v > 0.

    h(v) = max(1 − k·|v|, 0)
    """
    return Triangular(scale=1.0, width=1 / k, fires_at_threshold=False)


@preset
def arctan(*, k: float = 2.0) -> ATan:
    """`spyx.axn.arctan` of spyx 1.0.0; fires where v > 0.

    h(v) = (1/π) / (1 + (π·k·v)²)

    Note: the derivative of arctan(π·k·v)/π is π·k times this.
    """
    return ATan(slope=2 * k, gain=1 / (math.pi * k), fires_at_threshold=False)


@preset
def superspike(*, k: float = 25.0) -> FastSigmoid:
    """`spyx.axn.superspike` of spyx 1.0.0; fires where v > 0.

    h(v) = 1 / (1 + k·|v|)²
    """
    return FastSigmoid(scale=k, fires_at_threshold=False)
