"""Sinabs 3.1.3: `sinabs.activation` with `SingleSpike`. Fires at v = 0.

Sinabs gives its functions the potential and the threshold; v is their difference, and the threshold is 1 unless it is given.
A `mu` that is not 0, which moves the peak away from the threshold, has no preset. h is the same with `MultiSpike` and
`MaxSpike`, whose spikes count: `rule=Integer(most, repeat=False, step=spike_threshold)` of `arcana.rules`. Sinabs gives a
threshold no gradient; here, where it is taken off the potential, that is −h.

>>> from arcana import presets
>>> presets.sinabs.single_exponential()
Exponential(slope=2.0, gain=2.0)
"""

from __future__ import annotations

from arcana.presets._registry import preset
from arcana.surrogate import ClippedSTE, Exponential, Gaussian, MultiGaussian, PeriodicExponential


@preset
def heaviside(*, window: float = 1.0, spike_threshold: float = 1.0) -> ClippedSTE:
    """`Heaviside` of Sinabs 3.1.3; fires where v >= 0.

    h(v) = 1/spike_threshold for v >= −window, else 0

    Note: beyond v = 1e15 this h is 0.
    """
    return ClippedSTE(lower=-window, upper=1e15, gain=1 / spike_threshold)


@preset
def gaussian(*, sigma: float = 0.5, grad_scale: float = 1.0) -> Gaussian:
    """`Gaussian` of Sinabs 3.1.3 with mu = 0; fires where v >= 0.

    h(v) = grad_scale·N(v; 0, sigma), N(v; m, s) the normal density of mean m and standard deviation s
    """
    return Gaussian(sigma=sigma, gain=grad_scale)


@preset
def multi_gaussian(*, sigma: float = 0.5, h: float = 0.15, s: float = 6.0, grad_scale: float = 1.0) -> MultiGaussian:
    """`MultiGaussian` of Sinabs 3.1.3 with mu = 0; fires where v >= 0.

    h(v) = grad_scale·((1 + h)·N(v; 0, sigma) − h·N(v; sigma, s·sigma) − h·N(v; −sigma, s·sigma)), N(v; m, s) the normal
    density of mean m and standard deviation s
    """
    return MultiGaussian(height=h, sigma=sigma, spread=s, scale=grad_scale)


@preset
def single_exponential(*, grad_width: float = 0.5, grad_scale: float = 1.0, spike_threshold: float = 1.0) -> Exponential:
    """`SingleExponential` of Sinabs 3.1.3, the default of its layers; fires where v >= 0.

    h(v) = (grad_scale/width)·e^(−|v|/width), width = grad_width·spike_threshold
    """
    return Exponential(slope=1 / (grad_width * spike_threshold), gain=2 * grad_scale)


@preset
def periodic_exponential(*, grad_width: float = 0.5, grad_scale: float = 1.0) -> PeriodicExponential:
    """`PeriodicExponential` of Sinabs 3.1.3 with a threshold of 1; fires where v >= 0.

    h(v) = grad_scale·e^(−d/grad_width), d = |v| for v < 0, the distance to the nearest whole number for v >= 0

    Differs: the library doubles d for v >= 0, so that the sides of the first peak are unlike; they are alike in Rockpool,
    which has it from the same paper (arXiv:2111.01456). A spike here is 1, where Sinabs with `MultiSpike` counts.
    """
    return PeriodicExponential(width=grad_width, gain=grad_scale)
