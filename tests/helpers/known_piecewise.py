"""The piecewise surrogates and the straight-through estimators: closed forms from the papers, and values by hand."""

from __future__ import annotations

import math

from known import Known, held, sign
from mpmath import mp, mpf

from arcana._core.expression import Kept

ZERO = mpf(0)


def hat(x: mpf) -> mpf:
    """The integral of max(1 − |x|, 0) from 0."""
    return x - sign(x) * x**2 / 2 if abs(x) < 1 else mpf(sign(x)) / 2


PIECEWISE: dict[str, Known] = {
    "step": Known(
        h=lambda v: int(v >= 0),
        slope=lambda v: 0,
        rise=lambda v: max(v, 0),
        values={0.0: 1.0, -1e-40: 0.0, 5.0: 1.0, math.inf: 1.0, -math.inf: 0.0},
        peak=1.0,
        area=math.inf,
        kept=Kept.SPIKES,
        support=(0.0, math.inf),
        even=False,
        nan_is_a_number=("derivative", "primitive"),
    ),
    "leaky_step": Known(
        h=lambda v, leak, slope: mpf(slope) if v >= 0 else mpf(leak),
        slope=lambda v, leak, slope: 0,
        rise=lambda v, leak, slope: slope * v if v >= 0 else (leak * v if leak else ZERO),
        by_parameter={"leak": lambda v, leak, slope: min(v, ZERO), "slope": lambda v, leak, slope: max(v, ZERO)},
        values={0.0: 1.0, -1e-30: 0.1, 5.0: 1.0, math.inf: 1.0, -math.inf: 0.1},
        peak=1.0,
        area=math.inf,
        kept=Kept.SPIKES,
        even=False,
        parameters=({"leak": 0.0}, {"leak": 0.3, "slope": 0.7}, {"leak": 1e15, "slope": 1e-15}, {"leak": 1e-15, "slope": 1e15}),
        nan_is_a_number=("derivative",),
        bounds={"leak": ">= 0 and <= 1e+15"},
    ),
    "triangular": Known(
        h=lambda v, scale, width: scale * max(1 - abs(v) / width, 0),
        slope=lambda v, scale, width: -scale / width * sign(v) * (abs(v) < width),
        rise=lambda v, scale, width: scale * width * hat(v / width),
        by_parameter={
            "scale": lambda v, scale, width: width * hat(v / width),
            "width": lambda v, scale, width: (
                scale * sign(v) * (v / width) ** 2 / 2 if abs(v) < width else scale * mpf(sign(v)) / 2
            ),
        },
        values={0.0: 0.3, 0.5: 0.15, -0.5: 0.15, 1.0: 0.0, -1.0: 0.0, 2.0: 0.0, math.inf: 0.0, -math.inf: 0.0},
        peak=0.3,
        area=0.3,
        support=(-1.0, 1.0),
        parameters=(
            {"scale": 1.0},
            {"scale": 0.7, "width": 3.3},
            {"scale": 1e-30},
            {"scale": 1e15, "width": 1e-15},
            {"scale": 1.0, "width": 1e15},
        ),
        kinks=(0.0, 1.0),
        bounds={"scale": "> 0 and <= 1e+15"},
    ),
    "rectangular": Known(
        h=lambda v, height, width: mpf(height) if 2 * abs(v) < width else ZERO,
        slope=lambda v, height, width: 0,
        rise=lambda v, height, width: height * held(v, -width / 2, width / 2),
        by_parameter={
            "height": lambda v, height, width: held(v, -width / 2, width / 2),
            "width": lambda v, height, width: ZERO if 2 * abs(v) < width else sign(v) * height / 2,
        },
        values={0.0: 1.0, 0.49: 1.0, -0.49: 1.0, 0.5: 0.0, -0.5: 0.0, 2.0: 0.0, math.inf: 0.0, -math.inf: 0.0},
        peak=1.0,
        area=1.0,
        kept=Kept.MASK,
        support=(-0.5, 0.5),
        parameters=(
            {"height": 0.7, "width": 0.37},
            {"height": 0.5, "width": 2.0},
            {"height": 1e15, "width": 1e-15},
            {"height": 1e-15, "width": 1e15},
        ),
        kinks=(0.0, 0.5),
        nan_is_a_number=("derivative",),
    ),
    "piecewise_leaky_relu": Known(
        h=lambda v, width, leak: 1 / (2 * width) if abs(v) < width else mpf(leak),
        slope=lambda v, width, leak: 0,
        rise=lambda v, width, leak: (
            v / (2 * width) if abs(v) < width else sign(v) * (mpf(1) / 2 + (leak * (abs(v) - width) if leak else ZERO))
        ),
        by_parameter={
            "width": lambda v, width, leak: -v / (2 * width**2) if abs(v) < width else -sign(v) * leak,
            "leak": lambda v, width, leak: ZERO if abs(v) < width else sign(v) * (abs(v) - width),
        },
        values={0.0: 0.5, 0.99: 0.5, -0.99: 0.5, 1.0: 0.01, -1.0: 0.01, 7.0: 0.01, math.inf: 0.01, -math.inf: 0.01},
        peak=0.5,
        area=math.inf,
        kept=Kept.MASK,
        parameters=(
            {"leak": 0.0},
            {"width": 0.3, "leak": 0.1},
            {"width": 1e-15, "leak": 1e15},
            {"width": 1e15, "leak": 1e-15},
        ),
        kinks=(0.0, 1.0),
        nan_is_a_number=("derivative",),
        bounds={"leak": ">= 0 and <= 1e+15"},
    ),
    "log_tailed_relu": Known(
        h=lambda v, leak: mpf(leak) if v <= 0 else min(mpf(1), 1 / v),
        slope=lambda v, leak: -1 / v**2 if v > 1 else ZERO,
        rise=lambda v, leak: (leak * v if leak else ZERO) if v <= 0 else (v if v <= 1 else 1 + mp.log(v)),
        by_parameter={"leak": lambda v, leak: min(v, ZERO)},
        values={0.0: 0.0, 1e-30: 1.0, 1.0: 1.0, 2.0: 0.5, -3.0: 0.0, 8.0: 0.125, math.inf: 0.0, -math.inf: 0.0},
        peak=1.0,
        area=math.inf,
        arrays=1,
        support=(0.0, math.inf),
        even=False,
        parameters=({"leak": 0.1}, {"leak": 1e-15}, {"leak": 1e15}),
        kinks=(0.0, 1.0),
        nan_is_a_number=("derivative",),
        bounds={"leak": ">= 0 and <= 1e+15"},
    ),
}

STRAIGHT_THROUGH: dict[str, Known] = {
    "ste": Known(
        h=lambda v: 1,
        slope=lambda v: 0,
        rise=lambda v: v,
        values={0.0: 1.0, -7.0: 1.0, math.inf: 1.0, -math.inf: 1.0},
        peak=1.0,
        area=math.inf,
        kept=Kept.NOTHING,
        nan_is_a_number=("derivative",),
    ),
    "clipped_ste": Known(
        h=lambda v, lower, upper: int(lower <= v <= upper),
        slope=lambda v, lower, upper: 0,
        rise=lambda v, lower, upper: held(v, lower, upper),
        by_parameter={
            "lower": lambda v, lower, upper: int(v < lower),
            "upper": lambda v, lower, upper: int(v > upper),
        },
        values={0.0: 1.0, 0.7: 1.0, 1.0: 1.0, -0.1: 0.0, 1.1: 0.0, math.inf: 0.0, -math.inf: 0.0},
        peak=1.0,
        area=1.0,
        kept=Kept.MASK,
        support=(0.0, 1.0),
        even=False,
        parameters=(
            {"lower": -1.0},
            {"lower": -0.5, "upper": 4.5},
            {"lower": -1e15, "upper": 1e15},
            {"upper": 0.0},
            {"lower": -1.0, "upper": 0.0},
        ),
        kinks=(0.0, 1.0),
        nan_is_a_number=("derivative",),
        bounds={"lower": ">= -1e+15 and <= 0", "upper": ">= 0 and <= 1e+15"},
    ),
}
