"""The rational surrogates: closed forms from the papers, and values by hand."""

from __future__ import annotations

import math

from known import Known, limit, sign
from mpmath import mp, mpf


def fast(v: mpf, scale: mpf) -> mpf:
    return (1 + scale * abs(v)) ** -2


def fast_slope(v: mpf, scale: mpf) -> mpf:
    return -2 * scale * sign(v) * (1 + scale * abs(v)) ** -3


def fast_rise(v: mpf, scale: mpf) -> mpf:
    return limit(v, lambda: v / (1 + scale * abs(v)), -1 / mpf(scale), 1 / mpf(scale))


def fast_by_scale(v: mpf, scale: mpf) -> mpf:
    return limit(v, lambda: -v * abs(v) / (1 + scale * abs(v)) ** 2, 1 / mpf(scale) ** 2, -1 / mpf(scale) ** 2)


def cauchy(x: mpf) -> mpf:
    return 1 / (1 + x**2)


RATIONAL: dict[str, Known] = {
    "fast_sigmoid": Known(
        h=fast,
        slope=fast_slope,
        rise=fast_rise,
        by_parameter={"scale": fast_by_scale},
        values={0.0: 1.0, 0.1: 0.25, -0.1: 0.25, 0.3: 0.0625, math.inf: 0.0, -math.inf: 0.0},
        peak=1.0,
        area=0.2,
        parameters=({"scale": 25.0}, {"scale": 1e-6}, {"scale": 3e7}, {"scale": 1e300}, {"scale": 1e-300}),
        bounds={"scale": "> 0"},
    ),
    "one_sided_fast_sigmoid": Known(
        h=lambda v, scale: fast(min(v, mpf(0)), scale),
        slope=lambda v, scale: fast_slope(min(v, mpf(0)), scale),
        rise=lambda v, scale: v if v >= 0 else fast_rise(v, scale),
        by_parameter={"scale": lambda v, scale: mpf(0) if v >= 0 else fast_by_scale(v, scale)},
        values={0.0: 1.0, 3.0: 1.0, -0.05: 0.25, -0.15: 0.0625, math.inf: 1.0, -math.inf: 0.0},
        peak=1.0,
        area=math.inf,
        even=False,
        parameters=({"scale": 100.0}, {"scale": 1e-15}, {"scale": 1e15}),
    ),
    "sparse_fast_sigmoid": Known(
        h=lambda v, scale, cutoff: fast(v, scale) if abs(v) < cutoff else mpf(0),
        slope=lambda v, scale, cutoff: fast_slope(v, scale) if abs(v) < cutoff else mpf(0),
        rise=lambda v, scale, cutoff: fast_rise(v if abs(v) < cutoff else sign(v) * mpf(cutoff), scale),
        by_parameter={
            "scale": lambda v, scale, cutoff: fast_by_scale(v if abs(v) < cutoff else sign(v) * mpf(cutoff), scale),
            "cutoff": lambda v, scale, cutoff: mpf(0) if abs(v) < cutoff else sign(v) * fast(mpf(cutoff), scale),
        },
        values={0.0: 1.0, 0.01: 0.25, -0.03: 0.0625, 0.2: 0.0, -0.2: 0.0, 0.19: 0.0025, math.inf: 0.0, -math.inf: 0.0},
        peak=1.0,
        area=0.4 / 21,
        arrays=1,
        support=(-0.2, 0.2),
        parameters=(
            {"scale": 25.0, "cutoff": 1.0},
            {"scale": 1e15, "cutoff": 1e-15},
            {"scale": 1e-15, "cutoff": 1e15},
            {"scale": 1e15, "cutoff": 1e15},
        ),
        kinks=(0.0, 0.2),
    ),
    "atan": Known(
        h=lambda v, slope: slope / 2 * cauchy(mp.pi * slope * v / 2),
        slope=lambda v, slope: limit(
            v, lambda: -(mp.pi**2) * slope**3 * v / 4 * cauchy(mp.pi * slope * v / 2) ** 2, mpf(0), mpf(0)
        ),
        rise=lambda v, slope: mp.atan(mp.pi * slope * v / 2) / mp.pi,
        by_parameter={"slope": lambda v, slope: limit(v, lambda: v / 2 * cauchy(mp.pi * slope * v / 2), mpf(0), mpf(0))},
        values={
            0.0: 1.0,
            1 / math.pi: 0.5,
            -1 / math.pi: 0.5,
            1.0: 0.09199966835037524,
            math.inf: 0.0,
            -math.inf: 0.0,
        },
        peak=1.0,
        area=1.0,
        parameters=({"slope": 1.0}, {"slope": 5.3}, {"slope": 1e-15}, {"slope": 1e15}),
    ),
    "log_abs": Known(
        h=lambda v, slope: 1 / (1 / slope + abs(v)),
        slope=lambda v, slope: -sign(v) / (1 / slope + abs(v)) ** 2,
        rise=lambda v, slope: sign(v) * mp.log(1 + slope * abs(v)),
        by_parameter={"slope": lambda v, slope: limit(v, lambda: v / (1 + slope * abs(v)), -1 / mpf(slope), 1 / mpf(slope))},
        values={0.0: 1.0, 1.0: 0.5, -3.0: 0.25, 9.0: 0.1, math.inf: 0.0, -math.inf: 0.0},
        peak=1.0,
        area=math.inf,
        parameters=({"slope": 10.0}, {"slope": 0.3}, {"slope": 1e-15}, {"slope": 1e15}),
    ),
    "clipped_reciprocal": Known(
        h=lambda v, bound: mpf(bound) if abs(v) * bound < 1 else 1 / abs(v),
        slope=lambda v, bound: mpf(0) if abs(v) * bound < 1 else -sign(v) / v**2,
        rise=lambda v, bound: bound * v if abs(v) * bound < 1 else sign(v) * (1 + mp.log(bound * abs(v))),
        by_parameter={"bound": lambda v, bound: v if abs(v) * bound < 1 else sign(v) / mpf(bound)},
        values={0.0: 0.3, 1.0: 0.3, -3.0: 0.3, 4.0: 0.25, -10.0: 0.1, math.inf: 0.0, -math.inf: 0.0},
        peak=0.3,
        area=math.inf,
        parameters=({"bound": 1.0}, {"bound": 7.0}, {"bound": 1e-15}, {"bound": 1e15}),
        kinks=(0.0, 10 / 3),
    ),
}
