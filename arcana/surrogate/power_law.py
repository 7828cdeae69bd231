"""Surrogates whose derivative is a power of 1 + x."""

from __future__ import annotations

from typing import Any

from arcana._core import Facts, Surrogate, formula, parameter, positive

__all__ = ["InverseSquareRoot", "QPseudoSpike", "inverse_square_root", "q_pseudo_spike"]


class InverseSquareRoot(Surrogate):
    """The derivative of v / √(1 + v²), a sigmoid whose tails fall with the third power.

    h(v) = (1 + (v/width)²)^(−3/2)
    G(v) = 1/2 + v / √(1 + (v/width)²)

    Args:
        width: the distance at which h is 2^(−3/2) of the peak, from 1e-15 to 1e15 (default 0.5).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1 at v = 0. Area: 2·width. Support: the real line. h(±inf) = 0; h′(0) = 0.
    Errors: ValueError for a width out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(InverseSquareRoot(width=0.5).area)
    1.0

    Reference: no paper of its own, it is `circ` of C. Pehle and J. E. Pedersen (2021), "Norse: A deep learning library
        for spiking neural networks", Zenodo, doi:10.5281/zenodo.4422025.
    """

    width: float = positive(0.5)

    @formula
    def derivative(v: Any, xp: Any, *, width: Any) -> Any:
        # v·(v·k) and not a square, whose abs XLA would drop and then contract the sum.
        base = xp.abs(v * (v * xp.square(xp.reciprocal(width)))) + 1
        return xp.divide(xp.reciprocal(base), xp.sqrt(base))

    @formula
    def primitive(v: Any, xp: Any, *, width: Any) -> Any:
        # Beyond |x| = 1 as sign(x)/√(1 + 1/x²), which stays finite; each branch is kept safe where it is not taken.
        x = v * xp.reciprocal(width)
        far = xp.abs(x) > 1
        near_x = xp.where(far, xp.zeros_like(x), x)
        far_x = xp.where(far, x, xp.zeros_like(x) + 1)
        near_rise = xp.divide(near_x, xp.sqrt(xp.square(near_x) + 1))
        far_rise = xp.divide(xp.sign(far_x), xp.sqrt(xp.square(xp.reciprocal(far_x)) + 1))
        return xp.where(far, far_rise, near_rise) * width + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, width: Any) -> dict[str, Any]:
        square = xp.abs(v * (v * xp.square(xp.reciprocal(width))))
        far = square > 2.0**62
        near = xp.where(far, xp.zeros_like(v), square)
        return {"width": xp.where(far, xp.sign(v), h * xp.reciprocal(width) * v * near)}

    @staticmethod
    def facts(*, width: float) -> Facts:
        return Facts(peak=1.0, area=2 * width)


class QPseudoSpike(Surrogate):
    """A tail that falls with a power q: from heavy (q near 1) to exponential (q → ∞), with the peak and the area fixed.

    h(v) = (1 + 2·|v|/(q − 1))^(−q)
    G(v) = 1 − (1 + 2·v/(q − 1))^(1 − q) / 2 for v >= 0, and 1 − G(−v) for v < 0

    Args:
        q: the power of the tail, above 1, to 1e15 (default 2).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1 at v = 0. Area: 1. Support: the real line. h(±inf) = 0; h′(0) = 0 by definition.
    Errors: ValueError for a q out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(QPseudoSpike(q=2.0).derivative(0.5))
    0.25

    Reference: L. Herranz-Celotti and J. Rouat (2022), "Surrogate Gradients Design", arXiv:2202.00282, later
        "Stabilizing Spiking Neuron Training".
    """

    q: float = parameter(2.0, above=1, at_most=1e15)

    @formula
    def derivative(v: Any, xp: Any, *, q: Any) -> Any:
        return xp.compound(xp.abs(v * xp.divide(2, q - 1)), -q)

    @formula
    def primitive(v: Any, xp: Any, *, q: Any) -> Any:
        steepness = xp.divide(2, q - 1)
        x = xp.abs(v * steepness)
        # Far out 1 + x is x, and where x may overflow its two factors are raised apart.
        far, steep = x > 1e30, steepness > 1
        one = xp.zeros_like(v) + 1
        apart = xp.power(xp.where(far, xp.abs(v), one), 1 - q) * xp.power(xp.where(steep, steepness, one), 1 - q)
        far_tail = xp.where(steep, apart, xp.power(xp.where(far, xp.where(steep, one, x), one), 1 - q))
        tail = xp.where(far, far_tail, xp.compound(xp.where(far, one, x), 1 - q)) * 0.5
        return xp.where(v >= 0, 1 - tail, tail)

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, q: Any) -> dict[str, Any]:
        steepness = xp.divide(2, q - 1)
        x = xp.abs(v * steepness)
        far = x > 2.0**62
        # There h is 0 long before its product with x is, if q is near 1.
        logarithm = xp.log(xp.where(far, xp.abs(v), xp.zeros_like(v) + 1)) + xp.log(steepness)
        limit = xp.exp(logarithm * (1 - q)) * (logarithm - 1)
        near = xp.where(far, xp.zeros_like(v), x)
        return {"q": xp.where(far, limit, h * ((near + 1) * xp.log1p(near) - near)) * xp.sign(v) * 0.5}

    @staticmethod
    def facts(*, q: float) -> Facts:
        return Facts(peak=1.0, area=1.0)


inverse_square_root = InverseSquareRoot()
q_pseudo_spike = QPseudoSpike()
