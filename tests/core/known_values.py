"""What is known of each surrogate from its paper, in mpmath and in plain numbers: the truth that the tests compare with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from mpmath import mp, mpf

mp.prec = 200

Formula = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Known:
    """One surrogate: closed forms written from the paper, and values worked out by hand at its default parameters.

    Attributes:
        h: the derivative; slope: its derivative; rise: G − 1/2; by_parameter: ∂G/∂parameter.
        values: h at points worth knowing, kinks among them.
        parameters: parameter sets to test besides the default, extremes of the domain among them.
        bits: whether every backend must give the same bits.
    """

    h: Formula
    slope: Formula
    rise: Formula
    values: dict[float, float]
    peak: float
    area: float
    support: tuple[float, float] = (-math.inf, math.inf)
    by_parameter: dict[str, Formula] = dataclasses.field(default_factory=dict)
    parameters: tuple[dict[str, float], ...] = ()
    kinks: tuple[float, ...] = (0.0,)
    bits: bool = True


def sign(v: mpf) -> int:
    return (v > 0) - (v < 0)


def limit(v: mpf, inside: Formula, below: Any, above: Any) -> Any:
    """`inside` at a finite v, else the limit on that side."""
    return inside() if mp.isfinite(v) else (above if v > 0 else below)


KNOWN: dict[str, Known] = {
    "fast_sigmoid": Known(
        h=lambda v, scale: (1 + scale * abs(v)) ** -2,
        slope=lambda v, scale: -2 * scale * sign(v) * (1 + scale * abs(v)) ** -3,
        rise=lambda v, scale: limit(v, lambda: v / (1 + scale * abs(v)), -1 / mpf(scale), 1 / mpf(scale)),
        by_parameter={
            "scale": lambda v, scale: limit(
                v, lambda: -v * abs(v) / (1 + scale * abs(v)) ** 2, 1 / mpf(scale) ** 2, -1 / mpf(scale) ** 2
            )
        },
        values={0.0: 1.0, 0.1: 0.25, -0.1: 0.25, 0.3: 0.0625, math.inf: 0.0, -math.inf: 0.0},
        peak=1.0,
        area=0.2,
        parameters=({"scale": 25.0}, {"scale": 1e-6}, {"scale": 3e7}, {"scale": 1e300}, {"scale": 1e-300}),
    ),
    "step": Known(
        h=lambda v: int(v >= 0),
        slope=lambda v: 0,
        rise=lambda v: max(v, 0),
        values={0.0: 1.0, -1e-40: 0.0, 5.0: 1.0, math.inf: 1.0, -math.inf: 0.0},
        peak=1.0,
        area=math.inf,
        support=(0.0, math.inf),
    ),
    "triangular": Known(
        h=lambda v, scale: scale * max(1 - abs(v), 0),
        slope=lambda v, scale: -scale * sign(v) * (abs(v) < 1),
        rise=lambda v, scale: scale * (v - sign(v) * v**2 / 2 if abs(v) < 1 else mpf(sign(v)) / 2),
        by_parameter={"scale": lambda v, scale: v - sign(v) * v**2 / 2 if abs(v) < 1 else mpf(sign(v)) / 2},
        values={0.0: 0.3, 0.5: 0.15, -0.5: 0.15, 1.0: 0.0, -1.0: 0.0, 2.0: 0.0, math.inf: 0.0, -math.inf: 0.0},
        peak=0.3,
        area=0.3,
        support=(-1.0, 1.0),
        parameters=({"scale": 1.0}, {"scale": 1e-30}, {"scale": 1e30}),
        kinks=(0.0, 1.0),
    ),
    "ste": Known(
        h=lambda v: 1,
        slope=lambda v: 0,
        rise=lambda v: v,
        values={0.0: 1.0, -7.0: 1.0, math.inf: 1.0, -math.inf: 1.0},
        peak=1.0,
        area=math.inf,
    ),
}


def variants(name: str) -> list[dict[str, float]]:
    """The parameter sets of a surrogate, the default first."""
    return [{}, *KNOWN[name].parameters]
