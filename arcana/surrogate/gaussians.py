"""Surrogates made of normal densities."""

from __future__ import annotations

import math
from typing import Any

from arcana._core import Facts, Surrogate, formula, parameter, positive

__all__ = ["Gaussian", "MultiGaussian", "gaussian", "multi_gaussian"]

_DENSITY = 1 / math.sqrt(2 * math.pi)


class Gaussian(Surrogate):
    """The normal density.

    h(v) = e^(−v²/(2·sigma²)) / (sigma·√(2π))
    G(v) = Φ(v/sigma), the normal distribution function

    Args:
        sigma: standard deviation, from 1e-15 to 1e15 (default 0.5).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1 / (sigma·√(2π)) at v = 0. Area: 1. Support: the real line. h(±inf) = 0; h′(0) = 0.
    Errors: ValueError for a sigma out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(Gaussian(sigma=0.5).primitive(0.0))
    0.5

    Reference: B. Yin, F. Corradi and S. M. Bohté (2020), "Effective and Efficient Computation with Multiple-timescale
        Spiking Recurrent Neural Networks", ICONS, arXiv:2005.11633.
    """

    sigma: float = positive(0.5)

    @formula
    def derivative(v: Any, xp: Any, *, sigma: Any) -> Any:
        return xp.decay(xp.square(v), xp.square(xp.reciprocal(sigma)) * 0.5) * xp.divide(_DENSITY, sigma)

    @formula
    def primitive(v: Any, xp: Any, *, sigma: Any) -> Any:
        # From the lower tail up, where 1/2 + erf would cancel.
        return xp.erfc(v * xp.reciprocal(sigma) * -math.sqrt(0.5)) * 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, sigma: Any) -> dict[str, Any]:
        return {"sigma": h * -xp.reciprocal(sigma) * v}

    @staticmethod
    def facts(*, sigma: float) -> Facts:
        return Facts(peak=_DENSITY / sigma, area=1.0)


class MultiGaussian(Surrogate):
    """A normal density with a wide negative lobe on each side.

    h(v) = scale·((1 + height)·N(v; 0, sigma) − height·N(v; sigma, spread·sigma) − height·N(v; −sigma, spread·sigma)),
    where N(v; m, s) is the normal density of mean m and standard deviation s
    G(v) = 1/2 + scale·((1 + height)·(Φ(x) − 1/2) − height·(Φ((x − 1)/spread) + Φ((x + 1)/spread) − 1)), x = v/sigma

    Args:
        height: of the lobes relative to the centre, from 0 to 1 (default 0.15).
        sigma: standard deviation of the centre and distance of the lobes, from 1e-15 to 1e15 (default 0.5).
        spread: how many times wider the lobes are, from 1 to 1e15 (default 6).
        scale: a factor on the whole, from 1e-15 to 1e15 (default 0.5).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: at v = 0. Area: scale·(1 − height). Support: the real line. h(±inf) = 0; h′(0) = 0. Where the centre and the
    lobes cancel h crosses 0, and there the relative error grows with the condition number.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(MultiGaussian(height=0.5, scale=0.5).area)
    0.25

    Reference: B. Yin, F. Corradi and S. M. Bohté (2021), "Accurate and efficient time-domain classification with
        adaptive spiking recurrent neural networks", Nature Machine Intelligence 3, 905–913, arXiv:2103.12593.
    """

    height: float = parameter(0.15, at_least=0, at_most=1)
    sigma: float = positive(0.5)
    spread: float = parameter(6.0, at_least=1, at_most=1e15)
    scale: float = positive(0.5)

    @formula
    def derivative(v: Any, xp: Any, *, height: Any, sigma: Any, spread: Any, scale: Any) -> Any:
        x, narrowness = xp.abs(v * xp.reciprocal(sigma)), xp.reciprocal(spread)
        centre = xp.exp(xp.square(x) * -0.5) * (height + 1)
        left = xp.exp(xp.square((x + 1) * narrowness) * -0.5)
        right = xp.exp(xp.square((x - 1) * narrowness) * -0.5)
        lobes = (left + right) * (height * narrowness)
        return (centre - lobes) * xp.divide(scale * _DENSITY, sigma)

    @formula
    def primitive(v: Any, xp: Any, *, height: Any, sigma: Any, spread: Any, scale: Any) -> Any:
        x, narrowness = _held(v * xp.reciprocal(sigma), xp), xp.reciprocal(spread)
        lobes = _rise((x + 1) * narrowness, xp) + _rise((x - 1) * narrowness, xp)
        return (_rise(x, xp) * (height + 1) - lobes * height) * scale + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, height: Any, sigma: Any, spread: Any, scale: Any) -> dict[str, Any]:
        return {"sigma": h * -xp.reciprocal(sigma) * v}

    @staticmethod
    def facts(*, height: float, sigma: float, spread: float, scale: float) -> Facts:
        lobes = 2 * height / spread * math.exp(-0.5 / spread**2)
        return Facts(peak=scale * _DENSITY / sigma * (1 + height - lobes), area=scale * (1 - height))


def _rise(x: Any, xp: Any) -> Any:
    """Φ(x) − 1/2."""
    return xp.erf(x * math.sqrt(0.5)) * 0.5


def _held(x: Any, xp: Any) -> Any:
    """x held where the widest lobe has long ended, so that no gradient meets an infinity."""
    return xp.where(xp.abs(x) > 1e20, xp.sign(x) * 1e20, x)


gaussian = Gaussian()
multi_gaussian = MultiGaussian()
