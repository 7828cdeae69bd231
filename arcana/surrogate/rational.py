"""Surrogates whose derivative is a rational function of |v|: the same bits in every backend."""

from __future__ import annotations

from typing import Any

from arcana.surrogate._base import Facts, Surrogate, formula
from arcana.surrogate._parameters import parameter

__all__ = ["FastSigmoid", "fast_sigmoid"]


class FastSigmoid(Surrogate):
    """The derivative of the fast sigmoid, known as SuperSpike.

    h(v) = 1 / (scale·|v| + 1)²
    G(v) = 1/2 + v / (scale·|v| + 1)

    Args:
        scale: steepness, > 0 (default 10). The half width at a quarter of the peak is 1/scale.

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1 at v = 0. Area: 2/scale. Support: the real line. h(±inf) = 0; h′(0) = 0 by definition.
    Errors: ValueError for a scale that is not > 0; TypeError for a v that is no floating-point array.

    Reference: F. Zenke and S. Ganguli (2018), "SuperSpike: Supervised Learning in Multilayer Spiking Neural
        Networks", Neural Computation 30(6), 1514–1541, doi:10.1162/neco_a_01086.
    """

    scale: float = parameter(10.0, above=0)

    @formula
    def derivative(v: Any, xp: Any, *, scale: Any) -> Any:
        # abs stands between the product and the sum, so XLA has no multiply-add to contract.
        return xp.square(xp.reciprocal(xp.abs(v * scale) + 1))

    @formula
    def primitive(v: Any, xp: Any, *, scale: Any) -> Any:
        # Beyond |v| = 1 as 1/(1/|v| + scale), which stays finite at ±inf; each branch is kept safe where it is not taken.
        far = xp.abs(v) > 1
        near_v = xp.where(far, xp.zeros_like(v), v)
        far_v = xp.where(far, v, xp.zeros_like(v) + 1)
        near_rise = xp.divide(near_v, xp.abs(near_v) * scale + 1)
        far_rise = xp.divide(xp.sign(far_v), xp.reciprocal(xp.abs(far_v)) + scale)
        return xp.where(far, far_rise, near_rise) + 0.5

    @staticmethod
    def facts(*, scale: float) -> Facts:
        return Facts(peak=1.0, area=2.0 / scale)


fast_sigmoid = FastSigmoid()
