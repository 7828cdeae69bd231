"""The periodic surrogates: closed forms from the papers, and values by hand."""

from __future__ import annotations

import math

from known import Known, exp, limit, sign
from mpmath import mp, mpf


def nearest(v: mpf) -> tuple[mpf, mpf]:
    """The nearest whole number and what is left of v."""
    with mp.workprec(1400):
        whole = mp.floor(v + mpf(1) / 2)
        return whole, v - whole


def periodic_h(v: mpf, width: mpf) -> mpf:
    if not mp.isfinite(v):
        return mpf(int(v > 0))
    return exp((v if v < 0 else -abs(nearest(v)[1])) / width)


def periodic_slope(v: mpf, width: mpf) -> mpf:
    if v < 0:
        return exp(v / width) / width
    remainder = nearest(v)[1]
    return mpf(0) if abs(remainder) == mpf(1) / 2 else -sign(remainder) * exp(-abs(remainder) / width) / width


def part(x: mpf, width: mpf) -> mpf:
    return -width * mp.expm1(-x / width)


def periodic_rise(v: mpf, width: mpf) -> mpf:
    if v < 0:
        return -part(-v, width) if mp.isfinite(v) else -mpf(width)
    if not mp.isfinite(v):
        return mp.inf
    whole, remainder = nearest(v)
    return 2 * whole * part(mpf(1) / 2, width) + sign(remainder) * part(abs(remainder), width)


def part_by_width(x: mpf, width: mpf) -> mpf:
    return -mp.expm1(-x / width) - x / width * exp(-x / width)


def periodic_by_width(v: mpf, width: mpf) -> mpf:
    if not mp.isfinite(v):
        return mp.inf if v > 0 else mpf(-1)
    if v < 0:
        return -part_by_width(-v, width)
    whole, remainder = nearest(v)
    return 2 * whole * part_by_width(mpf(1) / 2, width) + sign(remainder) * part_by_width(abs(remainder), width)


def turns(v: mpf, period: mpf) -> mpf:
    """v/period less whole periods, from enough digits."""
    with mp.workprec(1400):
        magnitude = abs(v) / period
        return sign(v) * (magnitude - mp.floor(magnitude))


def series(v: mpf, period: mpf, terms: int, term: object) -> mpf:
    if not mp.isfinite(v):
        return mpf(0)
    assert callable(term)
    angle = 2 * mp.pi * turns(v, period)
    return mp.fsum(term(odd, odd * angle) for odd in range(1, 2 * terms, 2))


def square_h(v: mpf, period: mpf, terms: int) -> mpf:
    return 4 / period * series(v, period, terms, lambda odd, angle: mp.cos(angle))


def square_slope(v: mpf, period: mpf, terms: int) -> mpf:
    return -8 * mp.pi / period**2 * series(v, period, terms, lambda odd, angle: odd * mp.sin(angle))


def square_spread(v: mpf, period: mpf, terms: int) -> mpf:
    def term(odd: int, angle: mpf) -> mpf:
        cosine, sine = mp.cos_sin(angle)
        return abs(cosine) + abs(angle * sine)

    return 4 / period * series(v, period, terms, term)


def square_rise(v: mpf, period: mpf, terms: int) -> mpf:
    return 2 / mp.pi * series(v, period, terms, lambda odd, angle: mp.sin(angle) / odd)


PERIODIC: dict[str, Known] = {
    "periodic_exponential": Known(
        h=periodic_h,
        slope=periodic_slope,
        rise=periodic_rise,
        by_parameter={"width": periodic_by_width},
        values={
            0.0: 1.0,
            1.0: 1.0,
            0.5: 0.36787944117144233,
            -0.5: 0.36787944117144233,
            1.25: 0.6065306597126334,
            -1.0: 0.1353352832366127,
            math.inf: 1.0,
            -math.inf: 0.0,
        },
        peak=1.0,
        area=math.inf,
        arrays=1,
        even=False,
        parameters=({"width": 0.1}, {"width": 3.0}, {"width": 1e-15}, {"width": 1e15}),
        kinks=(0.0, 0.5, 1.0, 1.5, 2.0),
        bits=False,
    ),
    "squarewave_fourier": Known(
        h=square_h,
        slope=square_slope,
        rise=square_rise,
        spread=square_spread,
        by_parameter={
            "period": lambda v, period, terms: limit(v, lambda: -v / period * square_h(v, period, terms), mpf(0), mpf(0))
        },
        values={
            0.0: 1.0,
            8.0: 1.0,
            -16.0: 1.0,
            4.0: -1.0,
            2 / 3: 0.4330127018922193,
            math.inf: 0.0,
            -math.inf: 0.0,
        },
        peak=1.0,
        area=math.nan,
        arrays=2,
        parameters=({"terms": 1}, {"period": 3.0, "terms": 5}, {"period": 0.7, "terms": 64}, {"period": 1e-15}, {"period": 1e15}),
        bits=False,
    ),
}
