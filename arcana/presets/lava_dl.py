"""lava-dl, repository lava-nc/lava-dl at d825ac5 (May 2026): `lava.lib.dl.slayer`. Fires at v = 0. Read, not run.

The neurons multiply tau_grad and scale_grad by constants of their modules, 100 and 0.1 where Loihi's v is real. Graded
spikes and the complex spikes of the resonators (`rf`, `adrf`) have no preset.

>>> from arcana import presets
>>> presets.lava_dl.cuba(threshold=1.0)
Exponential(slope=0.01, gain=0.1)
"""

from __future__ import annotations

from arcana.presets._registry import preset
from arcana.surrogate import Exponential

TAU_MULTIPLIER = 100.0
SCALE_MULTIPLIER = 0.1


@preset
def spike(*, tau_rho: float = 1.0, scale_rho: float = 1.0) -> Exponential:
    """`spike.Spike` of lava-dl at d825ac5, which has no defaults of its own; fires where v >= 0.

    h(v) = (scale_rho/(2·tau_rho))·e^(−|v|/tau_rho)
    """
    return Exponential(slope=1 / tau_rho, gain=scale_rho)


def _neuron(threshold: float, tau_grad: float, scale_grad: float) -> Exponential:
    return spike(tau_rho=tau_grad * threshold * TAU_MULTIPLIER, scale_rho=scale_grad * SCALE_MULTIPLIER)


@preset
def cuba(*, threshold: float = 1.0, tau_grad: float = 1.0, scale_grad: float = 1.0) -> Exponential:
    """`neuron.cuba.Neuron` of lava-dl at d825ac5, whose threshold has no default; fires where v >= 0.

    h(v) = (0.1·scale_grad/(2·tau))·e^(−|v|/tau), tau = 100·tau_grad·threshold
    """
    return _neuron(threshold, tau_grad, scale_grad)


@preset
def alif(*, threshold: float = 1.0, tau_grad: float = 1.0, scale_grad: float = 1.0) -> Exponential:
    """`neuron.alif.Neuron` of lava-dl at d825ac5, whose threshold has no default; fires where v >= 0.

    h(v) = (0.1·scale_grad/(2·tau))·e^(−|v|/tau), tau = 100·tau_grad·threshold
    """
    return _neuron(threshold, tau_grad, scale_grad)


@preset
def rf_iz(*, threshold: float = 1.0, tau_grad: float = 1.0, scale_grad: float = 1.0) -> Exponential:
    """`neuron.rf_iz.Neuron` of lava-dl at d825ac5, v its imaginary part minus the threshold; fires where v >= 0.

    h(v) = (0.1·scale_grad/(2·tau))·e^(−|v|/tau), tau = 100·tau_grad·threshold
    """
    return _neuron(threshold, tau_grad, scale_grad)
