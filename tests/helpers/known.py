"""What is known of a surrogate from its paper, and the few functions that the closed forms share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from mpmath import mp, mpf

from arcana._core.expression import Kept

mp.prec = 200

Formula = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Known:
    """One surrogate: closed forms written from the paper, and values worked out by hand at its default parameters.

    Attributes:
        h: the derivative; slope: its derivative; rise: G − 1/2; by_parameter: ∂G/∂parameter.
        values: h at points worth knowing, kinks among them.
        kept: what stays of the forward pass for the backward pass.
        arrays: how many arrays torch's backward pass makes besides the gradient.
        parameters: parameter sets to test besides the default, extremes of the domain among them.
        bits: whether every backend must give the same bits.
        rise_terms: the sum of the sizes of G − 1/2's terms, where they cancel.
        spread: what stands for |v·h′| in the error bound, where h is a sum whose terms cancel in h′ too.
        bounds: of the parameters that are no width, slope or height, what values they may have, as the error says it.
        nan_is_a_number: which of derivative and primitive give a number for NaN, which no comparison lets through.
    """

    h: Formula
    slope: Formula
    rise: Formula
    values: dict[float, float]
    peak: float
    area: float
    support: tuple[float, float] = (-math.inf, math.inf)
    even: bool = True
    kept: Kept = Kept.POTENTIAL
    arrays: int = 0
    by_parameter: dict[str, Formula] = dataclasses.field(default_factory=dict)
    parameters: tuple[dict[str, float], ...] = ()
    kinks: tuple[float, ...] = (0.0,)
    bits: bool = True
    spread: Formula | None = None
    rise_terms: Formula | None = None
    bounds: dict[str, str] = dataclasses.field(default_factory=dict)
    nan_is_a_number: tuple[str, ...] = ()

    def sensitivity(self, v: mpf, **numbers: Any) -> mpf:
        """|v·h′|, by which a rounding of v is multiplied."""
        if not mp.isfinite(v):
            return mpf(0)
        return self.spread(v, **numbers) if self.spread else abs(v * self.slope(v, **numbers))

    def kept_when(self, fires_at_threshold: bool) -> Kept:
        """What is kept; spikes that are v > 0 do not say whether v >= 0."""
        return Kept.MASK if self.kept is Kept.SPIKES and not fires_at_threshold else self.kept

    @property
    def passes(self) -> bool:
        """Whether h is 1 everywhere, so that the cotangent itself is the gradient."""
        return self.kept is Kept.NOTHING and self.peak == 1


def sign(v: mpf) -> int:
    return (v > 0) - (v < 0)


def limit(v: mpf, inside: Formula, below: Any, above: Any) -> Any:
    """`inside` at a finite v, else the limit on that side."""
    return inside() if mp.isfinite(v) else (above if v > 0 else below)


def exp(x: mpf) -> mpf:
    """e^x, at once 0 where no float holds it."""
    return mp.exp(x) if x > -100_000 else mpf(0)


def held(v: mpf, low: Any, high: Any) -> mpf:
    return max(mpf(low), min(mpf(high), v))
