"""Sinabs 3.1.3: `sinabs.activation` with `SingleSpike`. Fires at v = 0.

Sinabs gives its functions the potential and the threshold; v is their difference, and the threshold is 1 unless it is given.
A `mu` that is not 0, which moves the peak away from the threshold, has no preset. h is the same with `MultiSpike` and
`MaxSpike`, whose spikes count: `rule=presets.sinabs.multi_spike()`. Sinabs gives a threshold no gradient; here, where it is taken
off the potential, that is −h.

>>> from arcana import presets
>>> presets.sinabs.single_exponential()
Exponential(slope=2.0, gain=2.0)
>>> presets.sinabs.max_spike(max_num_spikes_per_bin=4)
Integer(most=4, repeat=False, step=1.0)
"""

from __future__ import annotations

from arcana.presets._registry import preset, rule_preset
from arcana.rules import Heaviside, Integer
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


@rule_preset
def single_spike() -> Heaviside:
    """`SingleSpike` of Sinabs 3.1.3; v = x − spike_threshold.

    spikes = 1 for x >= spike_threshold, else 0

    Surrogate: `sinabs.single_exponential(spike_threshold=spike_threshold)`, or another of `presets.sinabs`.
    """
    return Heaviside()


@rule_preset
def multi_spike(*, spike_threshold: float = 1.0) -> Integer:
    """`MultiSpike` of Sinabs 3.1.3, the default of its layers; v = x − spike_threshold.

    spikes = floor(x / spike_threshold) for x > 0, else 0

    Surrogate: `sinabs.single_exponential(spike_threshold=spike_threshold)`, or another of `presets.sinabs`.
    """
    return Integer(None, repeat=False, step=spike_threshold)


@rule_preset
def max_spike(*, max_num_spikes_per_bin: int | None = None, spike_threshold: float = 1.0) -> Integer:
    """`MaxSpike` of Sinabs 3.1.3, whose None is no limit; v = x − spike_threshold.

    spikes = min(floor(x / spike_threshold), max_num_spikes_per_bin) for x > 0, else 0

    Surrogate: `sinabs.single_exponential(spike_threshold=spike_threshold)`, or another of `presets.sinabs`.
    """
    return Integer(max_num_spikes_per_bin, repeat=False, step=spike_threshold)
