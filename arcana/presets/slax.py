"""slax 0.0.1: `slax.models.surrogates`. Fires at v = 0.

>>> from arcana import presets
>>> presets.slax.fast_sigmoid(slope=10.0)
FastSigmoid(scale=10.0)
"""

from __future__ import annotations

from arcana.presets._registry import preset
from arcana.surrogate import ATan, FastSigmoid, MultiGaussian


@preset
def fast_sigmoid(*, slope: float = 25.0) -> FastSigmoid:
    """`fast_sigmoid` of slax 0.0.1, the default of `LIF`; fires where v >= 0.

    h(v) = 1 / (slope·|v| + 1)²
    """
    return FastSigmoid(scale=slope)


@preset
def atan(*, alpha: float = 2.0) -> ATan:
    """`atan` of slax 0.0.1; fires where v >= 0.

    h(v) = (alpha/2) / (1 + (π·alpha·v/2)²)
    """
    return ATan(slope=alpha)


@preset
def multi_gauss(*, gamma: float = 0.5, lens: float = 0.3, scale: float = 6.0, height: float = 0.15) -> MultiGaussian:
    """`multi_gauss` of slax 0.0.1, the default of `LTC`; fires where v >= 0.

    h(v) = gamma·((1 + height)·N(v; 0, lens) − height·N(v; lens, scale·lens) − height·N(v; −lens, scale·lens)), N(v; m, s) the
    normal density of mean m and standard deviation s
    """
    return MultiGaussian(height=height, sigma=lens, spread=scale, scale=gamma)
