"""The surrogates made of normal densities: closed forms from the papers, and values by hand."""

from __future__ import annotations

import math

from known import Known, exp, limit
from mpmath import mp, mpf


def density(v: mpf, mean: mpf, deviation: mpf) -> mpf:
    if not mp.isfinite(v):
        return mpf(0)
    return exp(-(((v - mean) / deviation) ** 2) / 2) / (deviation * mp.sqrt(2 * mp.pi))


def density_slope(v: mpf, mean: mpf, deviation: mpf) -> mpf:
    return limit(v, lambda: -(v - mean) / deviation**2 * density(v, mean, deviation), mpf(0), mpf(0))


def distribution(x: mpf) -> mpf:
    """Φ(x) − 1/2."""
    return mp.erf(held_for_erf(x) / mp.sqrt(2)) / 2


def held_for_erf(x: mpf) -> mpf:
    return max(mpf(-1000), min(mpf(1000), x))


def standard(x: mpf) -> mpf:
    return density(x, mpf(0), mpf(1))


def multi(v: mpf, height: mpf, sigma: mpf, spread: mpf, scale: mpf, of: object = density) -> mpf:
    assert callable(of)
    lobes = of(v, sigma, spread * sigma) + of(v, -sigma, spread * sigma)
    return scale * ((1 + height) * of(v, mpf(0), sigma) - height * lobes)


def multi_rise(v: mpf, height: mpf, sigma: mpf, spread: mpf, scale: mpf) -> mpf:
    lobes = distribution((v - sigma) / (spread * sigma)) + distribution((v + sigma) / (spread * sigma))
    return scale * ((1 + height) * distribution(v / sigma) - height * lobes)


def multi_rise_terms(v: mpf, height: mpf, sigma: mpf, spread: mpf, scale: mpf) -> mpf:
    lobes = abs(distribution((v - sigma) / (spread * sigma))) + abs(distribution((v + sigma) / (spread * sigma)))
    return scale * ((1 + height) * abs(distribution(v / sigma)) + height * lobes)


def multi_by_height(v: mpf, height: mpf, sigma: mpf, spread: mpf, scale: mpf) -> mpf:
    lobes = distribution((v - sigma) / (spread * sigma)) + distribution((v + sigma) / (spread * sigma))
    return scale * (distribution(v / sigma) - lobes)


def multi_by_sigma(v: mpf, height: mpf, sigma: mpf, spread: mpf, scale: mpf) -> mpf:
    # G depends on v/sigma alone.
    return limit(v, lambda: -v / sigma * multi(v, height, sigma, spread, scale), mpf(0), mpf(0))


def multi_by_spread(v: mpf, height: mpf, sigma: mpf, spread: mpf, scale: mpf) -> mpf:
    if not mp.isfinite(v):
        return mpf(0)
    left, right = (v / sigma + 1) / spread, (v / sigma - 1) / spread
    return scale * height / spread * (left * standard(left) + right * standard(right))


GAUSSIAN: dict[str, Known] = {
    "gaussian": Known(
        h=lambda v, sigma: density(v, mpf(0), sigma),
        slope=lambda v, sigma: density_slope(v, mpf(0), sigma),
        rise=lambda v, sigma: distribution(v / sigma),
        by_parameter={"sigma": lambda v, sigma: limit(v, lambda: -v / sigma * density(v, mpf(0), sigma), mpf(0), mpf(0))},
        values={
            0.0: 0.7978845608028654,
            0.5: 0.48394144903828673,
            -0.5: 0.48394144903828673,
            1.0: 0.10798193302637613,
            math.inf: 0.0,
            -math.inf: 0.0,
        },
        peak=0.7978845608028654,
        area=1.0,
        parameters=({"sigma": 0.3}, {"sigma": 1.0}, {"sigma": 1e-15}, {"sigma": 1e15}),
        bits=False,
    ),
    "multi_gaussian": Known(
        h=multi,
        slope=lambda v, **numbers: multi(v, of=density_slope, **numbers),
        rise=multi_rise,
        rise_terms=multi_rise_terms,
        by_parameter={
            "height": multi_by_height,
            "sigma": multi_by_sigma,
            "spread": multi_by_spread,
            "scale": lambda v, height, sigma, spread, scale: multi_rise(v, height, sigma, spread, mpf(1)),
        },
        values={
            0.0: 0.43911163665655056,
            0.5: 0.25885819549465416,
            -0.5: 0.25885819549465416,
            2.0: -0.015695525294735432,
            math.inf: 0.0,
            -math.inf: 0.0,
        },
        peak=0.43911163665655056,
        area=0.425,
        arrays=2,
        parameters=(
            {"sigma": 0.3, "scale": 1.0},
            {"height": 0.0},
            {"height": 1.0, "spread": 1.0},
            {"spread": 1e15},
            {"sigma": 1e-15, "scale": 1e15},
            {"sigma": 1e15, "scale": 1e-15},
        ),
        bits=False,
        bounds={"height": ">= 0 and <= 1", "spread": ">= 1 and <= 1e+15"},
    ),
}
