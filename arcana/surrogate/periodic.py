"""Surrogates that repeat: for neurons that fire several times a step, and for the Fourier series of the step."""

from __future__ import annotations

import math
from typing import Any

from arcana._core import Facts, Surrogate, formula, parameter, positive

__all__ = ["PeriodicExponential", "SquarewaveFourier", "periodic_exponential", "squarewave_fourier"]


_ALL_WHOLE = 2.0**60
"""From here on every float is a whole number, in each of the computing dtypes."""


class PeriodicExponential(Surrogate):
    """Exponential decay from the nearest threshold, where thresholds lie at v = 0, 1, 2, …: made for several spikes a step.

    h(v) = e^(−d/width), d = |v| for v < 0, the distance to the nearest whole number for v >= 0
    G(v) = 1/2 + width·(e^(v/width) − 1) for v < 0; for v >= 0, with n = round(v), r = v − n and
    rise(r) = width·(1 − e^(−r/width)): 1/2 + 2·n·rise(1/2) + sign(r)·rise(|r|)

    Args:
        width: the distance over which h falls e-fold, from 1e-15 to 1e15 (default 0.5).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1 at every whole v >= 0. Area: infinite. Support: the real line. h(−inf) = 0, h(inf) = 1, since every large
    float is whole; h′ = 0 at whole and half numbers from 0 up, by definition.
    Errors: ValueError for a width out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(PeriodicExponential(width=0.2).derivative(3.0))
    1.0

    Reference: P. Weidel and S. Sheik (2021), "WaveSense: Efficient Temporal Convolutions with Spiking Neural Networks
        for Keyword Spotting", arXiv:2111.01456.
    """

    width: float = positive(0.5)

    @formula
    def derivative(v: Any, xp: Any, *, width: Any) -> Any:
        return xp.decay(_distance(v, xp), xp.reciprocal(width))

    @formula
    def primitive(v: Any, xp: Any, *, width: Any) -> Any:
        above = v >= 0
        lower = xp.where(above, xp.zeros_like(v), v)
        nearest = xp.round(v)
        remainder = xp.where(v == nearest, xp.zeros_like(v), v - nearest)
        narrowness = xp.reciprocal(width)
        period = -xp.expm1(narrowness * -0.5) * (width * 2)
        part = -xp.expm1(xp.abs(remainder) * -narrowness) * xp.sign(remainder)
        below = xp.expm1(lower * narrowness) * width
        return xp.where(above, nearest * period + part * width, below) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, width: Any) -> dict[str, Any]:
        upper = xp.minimum(xp.relu(v), _ALL_WHOLE)
        remainder = upper - xp.round(upper)
        distance, narrowness = _distance(v, xp), xp.reciprocal(width)
        part = xp.expm1(distance * -narrowness) + h * narrowness * distance
        period = xp.expm1(narrowness * -0.5) * -2 - xp.exp(narrowness * -0.5) * narrowness
        return {"width": (xp.relu(v) - remainder) * period - xp.sign(remainder - xp.relu(-v)) * part}

    @staticmethod
    def facts(*, width: float) -> Facts:
        return Facts(peak=1.0, area=math.inf, even=False)


def _distance(v: Any, xp: Any) -> Any:
    """Return |v| below 0, and from 0 up the distance to the nearest whole number, whose derivative is 0 at half numbers."""
    upper = xp.minimum(xp.relu(v), _ALL_WHOLE)
    return xp.minimum(xp.abs(upper - xp.round(upper)), 0.5) + xp.relu(-v)


class SquarewaveFourier(Surrogate):
    """The derivative of the first terms of a square wave's Fourier series.

    h(v) = (4/period)·Σ cos((2i − 1)·2π·v/period), i from 1 to terms
    G(v) = 1/2 + (2/π)·Σ sin((2i − 1)·2π·v/period) / (2i − 1)

    Args:
        period: of the wave, from 1e-15 to 1e15 (default 8).
        terms: how many terms, a whole number from 1 to 64 (default 2).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 4·terms/period at every multiple of the period. Area: undefined (nan), the integral oscillates. Support: the
    real line. There is no limit: h(±inf) = 0, its mean, and G(±inf) = 1/2. The error is a few roundings of the largest
    term, not of the sum where terms cancel.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(SquarewaveFourier(period=8.0, terms=1).derivative(0.0))
    0.5

    Reference: no paper; `SquarewaveFourierSeries` of W. Fang et al. (2023), "SpikingJelly: An open-source machine
        learning infrastructure platform for spike-based intelligence", Science Advances 9(40), eadi1480.
    """

    period: float = positive(8.0)
    terms: int = parameter(2, at_least=1, at_most=64)

    @formula
    def derivative(v: Any, xp: Any, *, period: Any, terms: int) -> Any:
        return _sum_of_cosines(xp.turns(v, period), terms, xp) * xp.divide(4, period)

    @formula
    def primitive(v: Any, xp: Any, *, period: Any, terms: int) -> Any:
        phase = xp.turns(v, period)
        total = _pairwise_sum([xp.sin_of_turns(phase * odd) * (1 / odd) for odd in range(1, 2 * terms, 2)])
        return xp.where(xp.infinite(v), xp.zeros_like(v), total * (2 / math.pi)) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, period: Any, terms: int) -> dict[str, Any]:
        # Not by h, whose limit stands for that of the wave at ±inf.
        narrowness = xp.reciprocal(period)
        return {"period": _sum_of_cosines(xp.turns(v, period), terms, xp) * (xp.square(narrowness) * -4) * v}

    @staticmethod
    def facts(*, period: float, terms: int) -> Facts:
        return Facts(peak=4 * terms / period, area=math.nan)


def _sum_of_cosines(turns: Any, terms: int, xp: Any) -> Any:
    """Return the sum of cos((2i − 1)·2π·turns), i from 1 to terms, for turns from −1/2 to 1/2; it is 0 at 1/4."""
    if terms == 1:
        return _cosine(turns, xp)
    if terms % 2:
        # All but the first term in pairs, of which each is 2·cos(2π·turns)·cos of what lies between the two.
        pairs = [_cosine(_part(turns * (4 * i), xp), xp) for i in range(1, terms // 2 + 1)]
        return _cosine(turns, xp) * (_pairwise_sum(pairs) * 2 + 1)
    # The first and the last, and so on inwards: each pair is 2·cos(terms·x)·cos of half their difference.
    return _sum_of_cosines(turns, terms // 2, xp) * _cosine(_part(turns * terms, xp), xp) * 2


def _part(turns: Any, xp: Any) -> Any:
    return turns - xp.round(turns)


def _cosine(turns: Any, xp: Any) -> Any:
    # The sine of an angle below π/2 either way, since a large angle is rounded to fewer digits.
    return xp.sin_of_turns(0.25 - xp.abs(turns))


def _pairwise_sum(terms: list[Any]) -> Any:
    """Return the sum by halves: of 64 terms each is rounded 6 times, and 63 times one after the other."""
    middle = len(terms) // 2
    return _pairwise_sum(terms[:middle]) + _pairwise_sum(terms[middle:]) if middle else terms[0]


periodic_exponential = PeriodicExponential()
squarewave_fourier = SquarewaveFourier()
