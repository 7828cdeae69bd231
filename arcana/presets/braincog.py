"""BrainCog, repository BrainCog-X/Brain-Cog at 3998fd5 (September 2025): `braincog.base.strategy.surrogate`. Read, not run.

Some fire at v = 0 and some do not. `EIGrad` and `RoundGrad`, whose spikes have more than two values, are rules.

>>> from arcana import presets
>>> presets.braincog.sigmoid_grad()
Sigmoid(slope=1.0)
>>> presets.braincog.round_grad()
Integer(most=5, repeat=False, step=1.0)
"""

from __future__ import annotations

from arcana.presets._registry import preset, rule_preset
from arcana.rules import Integer, Ternary
from arcana.surrogate import STE, ATan, Rectangular, Sigmoid, Step, Triangular


@preset
def sigmoid_grad(*, alpha: float = 1.0) -> Sigmoid:
    """`SigmoidGrad` of BrainCog at 3998fd5; fires where v >= 0.

    h(v) = alpha·s(alpha·v)·(1 − s(alpha·v)), s(x) = 1 / (1 + e^(−x))
    """
    return Sigmoid(slope=alpha)


@preset
def atan_grad(*, alpha: float = 2.0) -> ATan:
    """`AtanGrad` of BrainCog at 3998fd5, where alpha is trained; fires where v > 0.

    h(v) = (alpha/2) / (1 + (π·alpha·v/2)²)
    """
    return ATan(slope=alpha, fires_at_threshold=False)


@preset
def gate_grad(*, alpha: float = 2.0) -> Rectangular:
    """`GateGrad` of BrainCog at 3998fd5; fires where v > 0.

    h(v) = 1 for |v| < 1/alpha, else 0

    Note: BrainCog's documentation has the logarithm's derivative; this is its code.
    """
    return Rectangular(height=1.0, width=2 / alpha, fires_at_threshold=False)


@preset
def q_gate_grad(*, alpha: float = 2.0) -> Triangular:
    """`QGateGrad` of BrainCog at 3998fd5; fires where v > 0.

    h(v) = alpha − alpha²·|v| for |v| <= 1/alpha, else 0
    """
    return Triangular(scale=alpha, width=1 / alpha, fires_at_threshold=False)


@preset
def relu_grad(*, alpha: float = 2.0) -> Step:
    """`ReLUGrad` of BrainCog at 3998fd5; fires where v >= 0.

    h(v) = alpha for v >= 0, else 0

    Differs: at v = 0 alone, where the library's h is 0.
    """
    return Step(gain=alpha)


@preset
def straight_through_estimator() -> STE:
    """`straight_through_estimator` of BrainCog at 3998fd5; fires where v >= 0.

    h(v) = 1
    """
    return STE()


@preset
def stdp_grad() -> Step:
    """`STDPGrad` of BrainCog at 3998fd5, whose alpha is not used; fires where v > 0.

    h(v) = 1 for v >= 0, else 0

    Differs: at v = 0 alone, where the library's h is 0.
    """
    return Step(fires_at_threshold=False)


@preset
def back_ei_gate_grad() -> Rectangular:
    """`BackEIGateGrad` of BrainCog at 3998fd5, v its input minus 1/2, its alpha not used; fires where v > 0.

    h(v) = 1 for |v| < 1/2, else 0
    """
    return Rectangular(height=1.0, width=1.0, fires_at_threshold=False)


@rule_preset
def ei_grad() -> Ternary:
    """`EIGrad` of BrainCog at 3998fd5, whose alpha is not used; v = x.

    spikes = 1 for x > 0, −1 for x < 0, else 0

    Surrogate: `Rectangular(height=0.5, width=1.0)`, which has 1/2 at each of two thresholds.
    """
    return Ternary(0.0)


@rule_preset
def round_grad() -> Integer:
    """`RoundGrad` of BrainCog at 3998fd5; v = x.

    spikes = ceil(min(max(x, −1/2), 9/2))

    Surrogate: `ClippedSTE(lower=-0.5, upper=4.5, fires_at_threshold=False)`.

    Differs: at x = −1/2 and 9/2, where the library's h is 0; and by rounding, since the library adds x to its spikes and takes it
    off again, so that they need not be whole.
    """
    return Integer(5, repeat=False)
