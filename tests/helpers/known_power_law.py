"""The surrogates that are powers: closed forms from the papers, and values by hand."""

from __future__ import annotations

import math

from known import Known, limit, sign
from mpmath import mp, mpf


def tail(v: mpf, q: mpf, power: mpf) -> mpf:
    return (1 + 2 * abs(v) / (q - 1)) ** power if mp.isfinite(v) else mpf(0)


def q_by_q(v: mpf, q: mpf) -> mpf:
    if not mp.isfinite(v):
        return mpf(0)
    x = 2 * abs(v) / (q - 1)
    return sign(v) * (1 + x) ** (1 - q) * (mp.log(1 + x) - x / (1 + x)) / 2


POWER_LAW: dict[str, Known] = {
    "inverse_square_root": Known(
        h=lambda v, width: limit(v, lambda: (1 + (v / width) ** 2) ** mpf("-1.5"), mpf(0), mpf(0)),
        slope=lambda v, width: limit(v, lambda: -3 * v / width**2 * (1 + (v / width) ** 2) ** mpf("-2.5"), mpf(0), mpf(0)),
        rise=lambda v, width: limit(v, lambda: v / mp.sqrt(1 + (v / width) ** 2), -mpf(width), mpf(width)),
        by_parameter={
            "width": lambda v, width: limit(v, lambda: (v / width) ** 3 * (1 + (v / width) ** 2) ** mpf("-1.5"), mpf(-1), mpf(1))
        },
        values={
            0.0: 1.0,
            0.5: 2**-1.5,
            -0.5: 2**-1.5,
            0.375: 0.512,
            math.sqrt(0.75): 0.125,
            math.inf: 0.0,
            -math.inf: 0.0,
        },
        peak=1.0,
        area=1.0,
        arrays=1,
        parameters=({"width": 0.3}, {"width": 2.0}, {"width": 1e-15}, {"width": 1e15}),
        bits=False,
    ),
    "q_pseudo_spike": Known(
        h=lambda v, q: tail(v, q, -q),
        slope=lambda v, q: -2 * q / (q - 1) * sign(v) * tail(v, q, -q - 1),
        rise=lambda v, q: sign(v) * (1 - tail(v, q, 1 - q)) / 2,
        by_parameter={"q": q_by_q},
        values={0.0: 1.0, 0.5: 0.25, -0.5: 0.25, 1.5: 0.0625, 4.5: 0.01, math.inf: 0.0, -math.inf: 0.0},
        peak=1.0,
        area=1.0,
        parameters=({"q": 1.56}, {"q": 1.001}, {"q": 20.0}, {"q": 300.0}, {"q": 1e6}, {"q": 1e15}),
        bits=False,
        bounds={"q": "> 1 and <= 1e+15"},
    ),
}
