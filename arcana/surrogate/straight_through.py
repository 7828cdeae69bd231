"""Straight-through estimators: the gradient passes as if the spike were the potential itself."""

from __future__ import annotations

import math
from typing import Any

from arcana._core import Facts, Surrogate, formula, parameter

__all__ = ["STE", "ClippedSTE", "clipped_ste", "ste"]


class STE(Surrogate):
    """The straight-through estimator.

    h(v) = 1
    G(v) = 1/2 + v

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1. Area: infinite. Support: the real line. h is 1 at ±inf and NaN too; h′ = 0.
    Errors: TypeError for a v that is no floating-point array.

    >>> print(STE().derivative(-3.0))
    1.0

    Reference: Y. Bengio, N. Léonard and A. Courville (2013), "Estimating or Propagating Gradients Through Stochastic
        Neurons for Conditional Computation", arXiv:1308.3432.
    """

    @formula
    def derivative(v: Any, xp: Any) -> Any:
        return xp.zeros_like(v) + 1

    @formula
    def primitive(v: Any, xp: Any) -> Any:
        return v + 0.5

    @staticmethod
    def facts() -> Facts:
        return Facts(peak=1.0, area=math.inf)


class ClippedSTE(Surrogate):
    """The straight-through estimator within a window around the threshold.

    h(v) = 1 for lower <= v <= upper, else 0
    G(v) = 1/2 + (v held within [lower, upper])

    Args:
        lower: the lower end, from −1e15 to 0 (default 0).
        upper: the upper end, from 0 to 1e15 (default 1).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1. Area: upper − lower. Support: [lower, upper]. h(lower) = h(upper) = 1, h(±inf) = h(NaN) = 0; h′ = 0 everywhere.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(ClippedSTE(lower=-1.0, upper=1.0).derivative(-0.5))
    1.0

    Reference: X. Luo, M. Yao, Y. Chou, B. Xu and G. Li (2024), "Integer-Valued Training and Spike-Driven Inference
        Spiking Neural Network for High-performance and Energy-efficient Object Detection", ECCV, arXiv:2407.20708.
    """

    lower: float = parameter(0.0, at_least=-1e15, at_most=0)
    upper: float = parameter(1.0, at_least=0, at_most=1e15)

    @formula
    def derivative(v: Any, xp: Any, *, lower: Any, upper: Any) -> Any:
        # Exact, since a bound may be 0 and v a subnormal beside it.
        return xp.where(xp.at_least(v, lower) & xp.at_least(upper, v), xp.zeros_like(v) + 1, xp.zeros_like(v))

    @formula
    def primitive(v: Any, xp: Any, *, lower: Any, upper: Any) -> Any:
        return xp.where(v < lower, lower, xp.where(v > upper, upper, v)) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, lower: Any, upper: Any) -> dict[str, Any]:
        one, zero = xp.zeros_like(v) + 1, xp.zeros_like(v)
        return {"lower": xp.where(v < lower, one, zero), "upper": xp.where(v > upper, one, zero)}

    @staticmethod
    def facts(*, lower: float, upper: float) -> Facts:
        return Facts(peak=1.0, area=upper - lower, support=(lower, upper), even=lower == -upper)


ste = STE()
clipped_ste = ClippedSTE()
