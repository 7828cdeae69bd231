"""Norse 1.1.0: `norse.torch.functional.threshold`. No spike at v = 0.

A threshold is taken off the potential before the call, so that its gradient is −h there as here.
Norse's functions have no default; its neurons pass them an alpha of 100 with every method, `triangle_fn` has its own 0.3.

>>> from arcana import presets
>>> presets.norse.superspike()
FastSigmoid(scale=100.0, fires_at_threshold=False)
>>> presets.norse.logistic()
Stochastic()
"""

from __future__ import annotations

from arcana.presets._registry import preset, rule_preset
from arcana.rules import Stochastic, Ternary
from arcana.surrogate import FastSigmoid, Gaussian, InverseSquareRoot, Sigmoid, Triangular


@preset
def superspike(*, alpha: float = 100.0) -> FastSigmoid:
    """`threshold(v, "super", alpha)` of Norse 1.1.0, the default of its neurons; fires where v > 0.

    h(v) = 1 / (alpha·|v| + 1)²

    Differs: Norse 1.1.0 ignores alpha and computes 1 / (|v| + 1)²; its repository has had the alpha again since August
    2024 (pull request 403), and the paper has it.
    """
    return FastSigmoid(scale=alpha, fires_at_threshold=False)


@preset
def triangle(*, alpha: float = 0.3) -> Triangular:
    """`threshold(v, "triangle", alpha)` of Norse 1.1.0; fires where v > 0.

    h(v) = alpha·max(1 − |v|, 0)
    """
    return Triangular(scale=alpha, width=1.0, fires_at_threshold=False)


@preset
def tanh(*, alpha: float = 100.0) -> Sigmoid:
    """`threshold(v, "tanh", alpha)` of Norse 1.1.0; fires where v > 0.

    h(v) = 1 − tanh²(alpha·v)

    Note: the derivative of the primitive in Norse's documentation is alpha/2 times this.
    """
    return Sigmoid(slope=2 * alpha, gain=2 / alpha, fires_at_threshold=False)


@preset
def circ(*, alpha: float = 100.0) -> InverseSquareRoot:
    """`threshold(v, "circ", alpha)` of Norse 1.1.0; fires where v > 0.

    h(v) = (1 + (v/alpha)²)^(−3/2)

    Note: alpha is a width here, so that at Norse's 100 h is flat wherever potentials lie.
    """
    return InverseSquareRoot(width=alpha, fires_at_threshold=False)


@preset
def heavi_erfc(*, alpha: float = 100.0) -> Gaussian:
    """`threshold(v, "heavi_erfc", alpha)` of Norse 1.1.0; fires where v > 0.

    h(v) = (2/√π)·e^(−(alpha·v)²)

    Note: the derivative of the error function's step with this width is alpha/2 times this.
    """
    return Gaussian(sigma=0.5**0.5 / alpha, gain=2 / alpha, fires_at_threshold=False)


@rule_preset
def logistic() -> Stochastic:
    """`Logistic.apply(x, k)` of Norse 1.1.0, whose k is the surrogate's; v = x.

    P(spike) = (1 + tanh(k·x))/2

    Surrogate: `Sigmoid(slope=2 * k)`, whose G is the probability.

    Differs: in the gradient, which is 1 − tanh²(k·x) in Norse and k/2 times that here, the slope of the probability; they are the
    same at k = 2.
    """
    return Stochastic()


@rule_preset
def circ_dist() -> Stochastic:
    """`CircDist.apply(x, alpha)` of Norse 1.1.0, whose alpha is the surrogate's; v = x.

    P(spike) = (1 + x/√(x² + alpha²))/2

    Surrogate: `InverseSquareRoot(width=alpha).unit_area()`, whose G is the probability.

    Differs: in the gradient, which is (1 + (x/alpha)²)^(−3/2) in Norse and 1/(2·alpha) times that here, the slope of the
    probability; they are the same at alpha = 1/2.
    """
    return Stochastic()


@rule_preset
def sign() -> Ternary:
    """`sign(x, method, alpha)` of Norse 1.1.0, whose method and alpha are the surrogate's; v = x.

    spikes = 1 for x > 0, −1 for x < 0

    Surrogate: `norse.triangle(alpha=alpha)` for the method "triangle", and likewise for the others.

    Differs: at x = 0 alone, where it is −1 in Norse and 0 here.
    """
    return Ternary(0.0)
