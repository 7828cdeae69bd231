"""Surrogates whose derivative is a rational function of v or |v|: the same bits in every backend."""

from __future__ import annotations

import math
from typing import Any

from arcana._core import Facts, Surrogate, formula, parameter, positive

__all__ = [
    "ATan",
    "ClippedReciprocal",
    "FastSigmoid",
    "LogAbs",
    "OneSidedFastSigmoid",
    "SparseFastSigmoid",
    "atan",
    "clipped_reciprocal",
    "fast_sigmoid",
    "log_abs",
    "one_sided_fast_sigmoid",
    "sparse_fast_sigmoid",
]


def _fast_sigmoid(v: Any, xp: Any, scale: Any) -> Any:
    # abs stands between the product and the sum, so XLA has no multiply-add to contract.
    return xp.square(xp.reciprocal(xp.abs(v * scale) + 1))


def _fast_sigmoid_sensitivity(v: Any, xp: Any, h: Any, scale: Any) -> Any:
    """|v|·v·h, and its limit where h, 1/(scale·v)² there, is soon no normal number."""
    limit = xp.square(xp.reciprocal(scale))
    return xp.where(xp.abs(v * scale) > 2.0**62, xp.where(v > 0, limit, -limit), h * v * xp.abs(v))


def sign_outside(v: Any, xp: Any, bound: Any) -> Any:
    """The sign of v where |v| >= bound, else 0."""
    one, zero = xp.zeros_like(v) + 1, xp.zeros_like(v)
    return xp.where(v >= bound, one, zero) - xp.where(v <= -bound, one, zero)


def _fast_sigmoid_rise(v: Any, xp: Any, scale: Any) -> Any:
    # Beyond |v| = 1/scale as 1/(1/|v| + scale): finite at ±inf, and no cancellation in its derivatives. Each branch is
    # kept safe where it is not taken.
    far = xp.abs(v) * scale > 1
    near_v = xp.where(far, xp.zeros_like(v), v)
    far_v = xp.where(far, v, xp.zeros_like(v) + 1)
    near_rise = xp.divide(near_v, xp.abs(near_v) * scale + 1)
    far_rise = xp.divide(xp.sign(far_v), xp.reciprocal(xp.abs(far_v)) + scale)
    return xp.where(far, far_rise, near_rise)


def _log_of_product(factor: Any, magnitude: Any, xp: Any, logarithm: Any) -> Any:
    """Return `logarithm` (log or log1p) of factor · magnitude, which for a finite magnitude is finite."""
    product = factor * magnitude
    far = product > 1e30
    one = xp.zeros_like(magnitude) + 1
    apart = xp.log(factor) + xp.log(xp.where(far, magnitude, one))
    return xp.where(far, apart, logarithm(factor * xp.where(far, one, magnitude)))


class FastSigmoid(Surrogate):
    """The derivative of the fast sigmoid, known as SuperSpike.

    h(v) = 1 / (scale·|v| + 1)²
    G(v) = 1/2 + v / (scale·|v| + 1)

    Args:
        scale: steepness, > 0 (default 10). The half width at a quarter of the peak is 1/scale.

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1 at v = 0. Area: 2/scale. Support: the real line. h(±inf) = 0; h′(0) = 0 by definition.
    Errors: ValueError for a scale that is not > 0; TypeError for a v that is no floating-point array.

    >>> print(FastSigmoid(scale=25.0).derivative(0.04))
    0.25

    Reference: F. Zenke and S. Ganguli (2018), "SuperSpike: Supervised Learning in Multilayer Spiking Neural
        Networks", Neural Computation 30(6), 1514–1541, doi:10.1162/neco_a_01086.
    """

    scale: float = parameter(10.0, above=0)

    @formula
    def derivative(v: Any, xp: Any, *, scale: Any) -> Any:
        return _fast_sigmoid(v, xp, scale)

    @formula
    def primitive(v: Any, xp: Any, *, scale: Any) -> Any:
        return _fast_sigmoid_rise(v, xp, scale) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, scale: Any) -> dict[str, Any]:
        return {"scale": -_fast_sigmoid_sensitivity(v, xp, h, scale)}

    @staticmethod
    def facts(*, scale: float) -> Facts:
        return Facts(peak=1.0, area=2.0 / scale)


class OneSidedFastSigmoid(Surrogate):
    """The fast sigmoid below the threshold and 1 above it, so that neurons far above it keep their gradient.

    h(v) = 1 for v >= 0, 1 / (scale·|v| + 1)² for v < 0
    G(v) = 1/2 + v for v >= 0, 1/2 + v / (scale·|v| + 1) for v < 0

    Args:
        scale: steepness below the threshold, from 1e-15 to 1e15 (default 20).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1 at every v >= 0. Area: infinite. Support: the real line. h(−inf) = 0, h(inf) = 1; h′(0) = 0.
    Errors: ValueError for a scale out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(OneSidedFastSigmoid(scale=25.0).derivative(-0.04))
    0.25

    Reference: no paper of its own, it is `SuperSpike_MemClamp` of stork; the shape below the threshold is that of
        F. Zenke and S. Ganguli (2018), "SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks",
        Neural Computation 30(6), 1514–1541, doi:10.1162/neco_a_01086.
    """

    scale: float = positive(20.0)

    @formula
    def derivative(v: Any, xp: Any, *, scale: Any) -> Any:
        return _fast_sigmoid(xp.relu(-v), xp, scale)

    @formula
    def primitive(v: Any, xp: Any, *, scale: Any) -> Any:
        return xp.where(v >= 0, v, _fast_sigmoid_rise(v, xp, scale)) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, scale: Any) -> dict[str, Any]:
        return {"scale": _fast_sigmoid_sensitivity(xp.relu(-v), xp, h, scale)}

    @staticmethod
    def facts(*, scale: float) -> Facts:
        return Facts(peak=1.0, area=math.inf, even=False)


class SparseFastSigmoid(Surrogate):
    """The fast sigmoid cut to a window, so that most neurons have no gradient and the backward pass is sparse.

    h(v) = 1 / (scale·|v| + 1)² for |v| < cutoff, else 0
    G(v) = 1/2 + w / (scale·|w| + 1), w = v held within [−cutoff, cutoff]

    Args:
        scale: steepness, from 1e-15 to 1e15 (default 100).
        cutoff: half the width of the window, from 1e-15 to 1e15 (default 0.2).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1 at v = 0. Area: 2·cutoff / (scale·cutoff + 1). Support: [−cutoff, cutoff].
    h(±cutoff) = h(±inf) = 0; h′(0) = h′(±cutoff) = 0 by definition.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(SparseFastSigmoid(scale=25.0, cutoff=0.1).derivative(0.11))
    0.0

    Reference: N. Perez-Nieves and D. F. M. Goodman (2021), "Sparse Spiking Gradient Descent", NeurIPS 34,
        arXiv:2105.08810.
    """

    scale: float = positive(100.0)
    cutoff: float = positive(0.2)

    @formula
    def derivative(v: Any, xp: Any, *, scale: Any, cutoff: Any) -> Any:
        inside = xp.where(xp.abs(v) < cutoff, xp.zeros_like(v) + 1, xp.zeros_like(v))
        return _fast_sigmoid(v, xp, scale) * inside

    @formula
    def primitive(v: Any, xp: Any, *, scale: Any, cutoff: Any) -> Any:
        held = xp.where(xp.abs(v) >= cutoff, xp.sign(v) * cutoff, v)
        return _fast_sigmoid_rise(held, xp, scale) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, scale: Any, cutoff: Any) -> dict[str, Any]:
        outside = sign_outside(v, xp, cutoff)
        edge = xp.reciprocal(xp.reciprocal(cutoff) + scale)
        return {
            "scale": -(h * v * xp.minimum(xp.abs(v), cutoff)) - outside * xp.square(edge),
            "cutoff": outside * xp.square(xp.reciprocal(scale * cutoff + 1)),
        }

    @staticmethod
    def facts(*, scale: float, cutoff: float) -> Facts:
        return Facts(peak=1.0, area=2 * cutoff / (scale * cutoff + 1), support=(-cutoff, cutoff))


class ATan(Surrogate, name="atan"):
    """The derivative of the arc tangent, a Cauchy density.

    h(v) = (slope/2) / (1 + (π·slope·v/2)²)
    G(v) = 1/2 + arctan(π·slope·v/2) / π

    Args:
        slope: twice the peak, from 1e-15 to 1e15 (default 2). The half width at half the peak is 2/(π·slope).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: slope/2 at v = 0. Area: 1. Support: the real line. h(±inf) = 0; h′(0) = 0.
    Errors: ValueError for a slope out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(ATan(slope=4.0).derivative(0.0))
    2.0

    Reference: W. Fang, Z. Yu, Y. Chen, T. Masquelier, T. Huang and Y. Tian (2021), "Incorporating Learnable Membrane
        Time Constant to Enhance Learning of Spiking Neural Networks", ICCV, 2661–2671, arXiv:2007.05785.
    """

    slope: float = positive(2.0)

    @formula
    def derivative(v: Any, xp: Any, *, slope: Any) -> Any:
        # 1/h = 2/slope + slope·(πv)²/2: nothing overflows before h is 0, and abs keeps XLA from contracting.
        return xp.reciprocal(xp.abs(v * (v * (slope * (math.pi**2 / 2)))) + xp.divide(2, slope))

    @formula
    def primitive(v: Any, xp: Any, *, slope: Any) -> Any:
        return xp.arctan(v * (slope * (math.pi / 2))) * (1 / math.pi) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, slope: Any) -> dict[str, Any]:
        return {"slope": h * xp.reciprocal(slope) * v}

    @staticmethod
    def facts(*, slope: float) -> Facts:
        return Facts(peak=slope / 2, area=1.0)


class LogAbs(Surrogate):
    """The derivative of a logarithm on each side of the threshold: the slowest tail, 1/|v|.

    h(v) = slope / (1 + slope·|v|)
    G(v) = 1/2 + sign(v)·log(1 + slope·|v|)

    Args:
        slope: peak and steepness, from 1e-15 to 1e15 (default 1).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: slope at v = 0. Area: infinite. Support: the real line. h(±inf) = 0; h′(0) = 0 by definition.
    Errors: ValueError for a slope out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(LogAbs(slope=2.0).derivative(0.5))
    1.0

    Reference: no paper; `NonzeroSignLogAbs` of W. Fang et al. (2023), "SpikingJelly: An open-source machine learning
        infrastructure platform for spike-based intelligence", Science Advances 9(40), eadi1480.
    """

    slope: float = positive(1.0)

    @formula
    def derivative(v: Any, xp: Any, *, slope: Any) -> Any:
        return xp.reciprocal(xp.abs(v) + xp.reciprocal(slope))

    @formula
    def primitive(v: Any, xp: Any, *, slope: Any) -> Any:
        return xp.sign(v) * _log_of_product(slope, xp.abs(v), xp, xp.log1p) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, slope: Any) -> dict[str, Any]:
        narrowness = xp.reciprocal(slope)
        far = xp.abs(v) * slope > 2.0**62
        return {"slope": xp.where(far, xp.sign(v) * narrowness, h * narrowness * v)}

    @staticmethod
    def facts(*, slope: float) -> Facts:
        return Facts(peak=slope, area=math.inf)


class ClippedReciprocal(Surrogate):
    """The slope from the threshold to the potential, 1/|v|, cut off at a bound: a numerical gradient of the step.

    h(v) = min(1/|v|, bound)
    G(v) = 1/2 + bound·v for |v| < 1/bound, else 1/2 + sign(v)·(1 + log(bound·|v|))

    Args:
        bound: the peak, from 1e-15 to 1e15 (default 0.3).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: bound at |v| <= 1/bound. Area: infinite. Support: the real line. h(±inf) = 0; h′(0) = 0, and h′(±1/bound)
    = 0 by definition.
    Errors: ValueError for a bound out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(ClippedReciprocal(bound=0.5).derivative(4.0))
    0.25

    Reference: no paper; `FakeNumericalGradient` of W. Fang et al. (2023), "SpikingJelly: An open-source machine
        learning infrastructure platform for spike-based intelligence", Science Advances 9(40), eadi1480.
    """

    bound: float = positive(0.3)

    @formula
    def derivative(v: Any, xp: Any, *, bound: Any) -> Any:
        return xp.reciprocal(xp.maximum(xp.abs(v), xp.reciprocal(bound)))

    @formula
    def primitive(v: Any, xp: Any, *, bound: Any) -> Any:
        near = xp.abs(v * bound) < 1
        far_magnitude = xp.where(near, xp.reciprocal(bound), xp.abs(v))
        far_rise = xp.sign(v) * (_log_of_product(bound, far_magnitude, xp, xp.log) + 1)
        return xp.where(near, xp.where(near, v, xp.zeros_like(v)) * bound, far_rise) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, bound: Any) -> dict[str, Any]:
        narrowness = xp.reciprocal(bound)
        far = xp.abs(v) * bound > 2.0**62
        return {"bound": xp.where(far, xp.sign(v) * narrowness, h * narrowness * v)}

    @staticmethod
    def facts(*, bound: float) -> Facts:
        return Facts(peak=bound, area=math.inf)


fast_sigmoid = FastSigmoid()
one_sided_fast_sigmoid = OneSidedFastSigmoid()
sparse_fast_sigmoid = SparseFastSigmoid()
atan = ATan()
log_abs = LogAbs()
clipped_reciprocal = ClippedReciprocal()
