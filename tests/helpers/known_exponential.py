"""The exponential surrogates: closed forms from the papers, and values by hand."""

from __future__ import annotations

import math

from known import Known, exp, limit, sign
from mpmath import mp, mpf


def bell(x: mpf) -> mpf:
    """s(x)·s(−x)."""
    return exp(-abs(x)) / (1 + exp(-abs(x))) ** 2


def bell_slope(x: mpf) -> mpf:
    """s′(x)·(1 − 2·s(x))."""
    return -sign(x) * bell(x) * (1 - exp(-abs(x))) / (1 + exp(-abs(x)))


def logistic_rise(x: mpf) -> mpf:
    """s(x) − 1/2."""
    return sign(x) * (1 - exp(-abs(x))) / (1 + exp(-abs(x))) / 2


def sech2(x: mpf) -> mpf:
    return 4 * bell(2 * x)


def stretch(b: mpf) -> mpf:
    return 1 / (2 * mp.tanh(b / 2))


def dspike_by_temperature(v: mpf, b: mpf) -> mpf:
    if abs(v) > mpf(1) / 2:
        return mpf(0)
    return v * sech2(b * v) * stretch(b) - mp.tanh(b * v) * sech2(b / 2) / (4 * mp.tanh(b / 2) ** 2)


def escape_rise(v: mpf, rate: mpf, width: mpf) -> mpf:
    x = v / width
    return rate * (exp(min(x, mpf(13))) - 1 + mp.exp(13) * max(x - 13, mpf(0)))


def escape_by_width(v: mpf, rate: mpf, width: mpf) -> mpf:
    x = v / width
    return limit(v, lambda: -rate / width * x * exp(min(x, mpf(13))), mpf(0), -mp.inf)


def s2nn_by_alpha(v: mpf, alpha: mpf, beta: mpf) -> mpf:
    return mpf(0) if v >= 0 or not mp.isfinite(v) else v * bell(alpha * v)


EXPONENTIAL: dict[str, Known] = {
    "sigmoid": Known(
        h=lambda v, slope: slope * bell(slope * v),
        slope=lambda v, slope: slope**2 * bell_slope(slope * v),
        rise=lambda v, slope: logistic_rise(slope * v),
        by_parameter={"slope": lambda v, slope: limit(v, lambda: v * bell(slope * v), mpf(0), mpf(0))},
        values={
            0.0: 1.0,
            math.log(3) / 4: 0.75,
            -math.log(3) / 4: 0.75,
            1.0: 0.07065082485316446,
            math.inf: 0.0,
            -math.inf: 0.0,
        },
        peak=1.0,
        area=1.0,
        arrays=1,
        parameters=({"slope": 25.0}, {"slope": 1.0}, {"slope": 1e-15}, {"slope": 1e15}),
        bits=False,
    ),
    "exponential": Known(
        h=lambda v, slope: slope / 2 * exp(-slope * abs(v)),
        slope=lambda v, slope: -sign(v) * slope**2 / 2 * exp(-slope * abs(v)),
        rise=lambda v, slope: sign(v) * (1 - exp(-slope * abs(v))) / 2,
        by_parameter={"slope": lambda v, slope: limit(v, lambda: v / 2 * exp(-slope * abs(v)), mpf(0), mpf(0))},
        values={0.0: 0.5, math.log(2): 0.25, -math.log(4): 0.125, 1.0: 0.18393972058572117, math.inf: 0.0, -math.inf: 0.0},
        peak=0.5,
        area=1.0,
        parameters=({"slope": 2.0}, {"slope": 5.3}, {"slope": 1e-15}, {"slope": 1e15}),
        bits=False,
    ),
    "dspike": Known(
        h=lambda v, temperature: temperature * stretch(temperature) * sech2(temperature * v) if abs(v) <= 0.5 else mpf(0),
        slope=lambda v, temperature: (
            -2 * temperature**2 * stretch(temperature) * sech2(temperature * v) * mp.tanh(temperature * v)
            if abs(v) <= 0.5
            else mpf(0)
        ),
        rise=lambda v, temperature: stretch(temperature) * mp.tanh(temperature * v) if abs(v) <= 0.5 else mpf(sign(v)) / 2,
        by_parameter={"temperature": lambda v, temperature: dspike_by_temperature(v, temperature)},
        values={
            0.0: 1.657187089473768,
            0.5: 0.2994647090064682,
            -0.5: 0.2994647090064682,
            math.log(3) / 6: 0.75 * 1.657187089473768,
            0.51: 0.0,
            math.inf: 0.0,
            -math.inf: 0.0,
        },
        peak=1.657187089473768,
        area=1.0,
        arrays=2,
        support=(-0.5, 0.5),
        parameters=({"temperature": 1.0}, {"temperature": 20.0}, {"temperature": 1e-15}, {"temperature": 1e15}),
        kinks=(0.0, 0.5),
        bits=False,
    ),
    "escape_exponential": Known(
        h=lambda v, rate, width: rate / width * exp(min(v / width, mpf(13))),
        slope=lambda v, rate, width: rate / width**2 * exp(v / width) if v / width <= 13 else mpf(0),
        rise=escape_rise,
        by_parameter={
            "rate": lambda v, rate, width: escape_rise(v, mpf(1), width),
            "width": escape_by_width,
        },
        values={
            0.0: 0.01 / 0.133,
            0.133 * math.log(2): 0.02 / 0.133,
            -0.133 * math.log(4): 0.0025 / 0.133,
            2.0: 33264.16481270079,
            math.inf: 33264.16481270079,
            -math.inf: 0.0,
        },
        peak=33264.16481270079,
        area=math.inf,
        even=False,
        parameters=(
            {"rate": 1.0, "width": 1.0},
            {"rate": 1e-15, "width": 1e15},
            {"rate": 1.0, "width": 1e-15},
        ),
        kinks=(0.0, 1.729),
        bits=False,
        bounds={"rate": ">= 1e-15 and <= 1"},
    ),
    "s2nn": Known(
        h=lambda v, alpha, beta: alpha * bell(alpha * v) if v < 0 else beta / (1 + v),
        slope=lambda v, alpha, beta: alpha**2 * bell_slope(alpha * v) if v < 0 else -beta / (1 + v) ** 2,
        rise=lambda v, alpha, beta: logistic_rise(alpha * v) if v < 0 else beta * mp.log(1 + v),
        by_parameter={"alpha": s2nn_by_alpha, "beta": lambda v, alpha, beta: mp.log(1 + v) if v > 0 else mpf(0)},
        values={
            0.0: 1.0,
            1.0: 0.5,
            3.0: 0.25,
            -math.log(3) / 4: 0.75,
            -1.0: 0.07065082485316446,
            math.inf: 0.0,
            -math.inf: 0.0,
        },
        peak=1.0,
        area=math.inf,
        arrays=3,
        even=False,
        parameters=(
            {"alpha": 2.0, "beta": 0.3},
            {"alpha": 1e15, "beta": 1e-15},
            {"alpha": 1e-15, "beta": 1e15},
        ),
        bits=False,
    ),
}
