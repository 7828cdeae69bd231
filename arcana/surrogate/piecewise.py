"""Surrogates made of straight pieces: the same bits in every backend."""

from __future__ import annotations

import math
from typing import Any

from arcana.surrogate._base import Facts, Surrogate, formula
from arcana.surrogate._parameters import parameter

__all__ = ["Step", "Triangular", "step", "triangular"]


class Step(Surrogate):
    """The step itself as its own derivative: the gradient of a rectifier at the threshold.

    h(v) = 1 for v >= 0, else 0
    G(v) = 1/2 + max(v, 0)

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1. Area: infinite. Support: [0, inf). h(0) = h(−0.0) = h(inf) = 1, h(−inf) = 0; h′ = 0 everywhere.
    Errors: TypeError for a v that is no floating-point array.

    Reference: no single paper; the form with a window around the threshold is in S. K. Esser et al. (2016),
        "Convolutional networks for fast, energy-efficient neuromorphic computing", Proceedings of the National
        Academy of Sciences 113(41), 11441–11446, arXiv:1603.08270.
    """

    @formula
    def derivative(v: Any, xp: Any) -> Any:
        return xp.spike(v)

    @formula
    def primitive(v: Any, xp: Any) -> Any:
        return xp.where(v >= 0, v, xp.zeros_like(v)) + 0.5

    @staticmethod
    def facts() -> Facts:
        return Facts(peak=1.0, area=math.inf, support=(0.0, math.inf), even=False)


class Triangular(Surrogate):
    """A triangle around the threshold, the piecewise linear pseudo-derivative.

    h(v) = scale · max(1 − |v|, 0)
    G(v) = 1/2 + scale · w·(1 − |w|/2), w = v held within [−1, 1]

    Args:
        scale: height, > 0 (default 0.3, the dampening of the reference).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: scale at v = 0. Area: scale. Support: [−1, 1]. h(±1) = h(±inf) = 0; h′(0) = h′(±1) = 0 by definition.
    Errors: ValueError for a scale that is not > 0; TypeError for a v that is no floating-point array.

    Reference: G. Bellec, D. Salaj, A. Subramoney, R. Legenstein and W. Maass (2018), "Long short-term memory and
        learning-to-learn in networks of spiking neurons", NeurIPS 31, arXiv:1803.09574.
    """

    scale: float = parameter(0.3, above=0)

    @formula
    def derivative(v: Any, xp: Any, *, scale: Any) -> Any:
        distance = xp.abs(v)
        # The comparison is true outside the window, so that NaN stays NaN.
        return xp.where(distance >= 1, xp.zeros_like(v), 1 - distance) * scale

    @formula
    def primitive(v: Any, xp: Any, *, scale: Any) -> Any:
        held = xp.where(xp.abs(v) >= 1, xp.sign(v), v)
        return held * (1 - xp.abs(held) * 0.5) * scale + 0.5

    @staticmethod
    def facts(*, scale: float) -> Facts:
        return Facts(peak=scale, area=scale, support=(-1.0, 1.0))


step = Step()
triangular = Triangular()
