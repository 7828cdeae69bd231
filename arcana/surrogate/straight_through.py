"""Straight-through estimators: the gradient passes as if the spike were the potential itself."""

from __future__ import annotations

import math
from typing import Any

from arcana.surrogate._base import Facts, Surrogate, formula

__all__ = ["STE", "ste"]


class STE(Surrogate):
    """The straight-through estimator.

    h(v) = 1
    G(v) = 1/2 + v

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1. Area: infinite. Support: the real line. h is 1 at ±inf and NaN too; h′ = 0.
    Errors: TypeError for a v that is no floating-point array.

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


ste = STE()
