"""The exact results from mpmath beside what a backend found, in units in the last place."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from known_values import KNOWN, variants
from mpmath import mpf

from arcana.surrogate import Surrogate, get
from arcana.testing._values import Array, hard_sample, is_subnormal, to_float

POINTS = np.array(
    [-np.inf, -3e30, -2.0, -1.0, -0.7, -0.3, -1e-3, -1e-30, -0.0, 0.0, 1e-20, 1e-3, 0.1, 0.4, 0.9, 1.0, 1.5, 7.0, 1e10, np.inf]
)
COTANGENT = np.linspace(-1.7, 2.3, POINTS.size) + 0.01


def operands(surrogate: Surrogate, dtype: str) -> dict[str, Any]:
    """What a formula is given besides v: the settings, and the parameters rounded to the computing dtype."""
    kind = np.float64 if dtype == "float64" else np.float32
    wide = np.dtype(kind).name
    numbers = {key: mpf(float(kind(surrogate.rounded(key, value, wide)))) for key, value in surrogate.numbers.items()}
    return {**numbers, **{key: value for key, value in surrogate.settings.items() if key != "fires_at_threshold"}}


def exact(
    which: str, surrogate: Surrogate, v: Array, c: Array, dtype: str, parameter: str = "", p: Array | None = None
) -> tuple[Array, Array]:
    """c · h, c · h′ or c · ∂G/∂parameter in float64, and the error that rounding v and each step by one part may bring.

    The second is in the result's own units: 1 + |v·h′/h| times |c · h| for h; for a slope, which is a difference of products,
    as much as its largest value over v; for a parameter, the size of the terms |G − 1/2| and |v·h| that it is made of, where
    ±inf stands for a far number.
    """
    known, found, terms = KNOWN[surrogate.name], [], []
    numbers = operands(surrogate, dtype)
    for i, (x, cotangent) in enumerate(zip(v.astype(np.float64), c.astype(np.float64), strict=True)):
        if p is not None:
            numbers[parameter] = mpf(float(p[i]))
        if which == "parameter" and np.isinf(x):
            x = np.copysign(2.0**1008 if dtype == "float64" else 2.0**112, x)
        x, cotangent = mpf(float(x)), mpf(cotangent)
        h, spread = known.h(x, **numbers), known.sensitivity(x, **numbers)
        formula = known.by_parameter[parameter] if which == "parameter" else known.slope
        found.append(float(cotangent * (h if which == "h" else formula(x, **numbers))))
        size = abs(h) + spread
        if which == "parameter":
            size = abs((known.rise_terms or known.rise)(x, **numbers)) + abs(x) * size
            size = size / abs(numbers[parameter]) if numbers[parameter] else mpf(0)
        terms.append(float(abs(cotangent) * size))
    values, sizes = np.array(found), np.array(terms)
    if which == "slope":
        sizes = sizes * 0 + np.abs(values[np.isfinite(values)]).max(initial=0.0)
    return values, sizes if which == "h" else np.abs(values) + sizes


def assert_exact(found: Array, exactly: tuple[Array, Array], factor: float, dtype: str, least: float = 2.0) -> None:
    """Every found value within `factor` roundings of the exact one, infinities matching.

    `least` smallest normal numbers more are allowed: a subnormal result, or a factor of it, is zero to XLA.
    """
    expected, size = exactly
    info = np.finfo(dtype)
    with np.errstate(over="ignore"):
        rounded = expected.astype(dtype)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(found[~finite], rounded[~finite])
    off = np.abs(found[finite].astype(np.float64) - expected[finite])
    allowed = factor * float(info.eps) * size[finite] + least * float(info.tiny)
    worst = int(np.argmax(off - allowed))
    assert (off <= allowed).all(), (off[worst] / allowed[worst], found[finite][worst], expected[finite][worst])


@functools.cache
def hard_potentials(dtype: str) -> tuple[Array, Array]:
    """600 patterns of the hard sample, but for NaN, and as many of a cotangent."""
    v = np.random.default_rng(2).choice(hard_sample(dtype), 600, replace=False)
    v = v[~np.isnan(to_float(v, dtype))]
    return v, np.random.default_rng(3).uniform(0.5, 2, v.size).astype(dtype).view(v.dtype)


def hard_cases(name: str) -> list[tuple[Surrogate, Array, Array, str]]:
    """Every parameter set of a surrogate on the hard potentials, in float32 and float64: (surrogate, v, c, dtype)."""
    dtypes = ("float32", "float64")
    return [(get(name, **parameters), *hard_potentials(dtype), dtype) for dtype in dtypes for parameters in variants(name)]


@functools.cache
def exact_of_hard_case(surrogate: Surrogate, dtype: str) -> tuple[Array, Array]:
    """c · h of one of `hard_cases` by `exact`, once for both frameworks."""
    v, c = hard_potentials(dtype)
    return exact("h", surrogate, v.view(dtype), c.view(dtype), dtype)


def assert_hard_case(gradient: Array, surrogate: Surrogate, dtype: str, subnormals: bool) -> None:
    """The bit patterns of a gradient of one of `hard_cases` against the paper, at subnormal potentials too or not."""
    compared = subnormals | ~is_subnormal(hard_potentials(dtype)[0], dtype)
    values, sizes = exact_of_hard_case(surrogate, dtype)
    exactly = values[compared], sizes[compared]
    assert_exact(gradient.view(dtype)[compared], exactly, 4, dtype, least=8 * max(1.0, surrogate.peak))


@functools.cache
def exact_at_points(which: str, surrogate: Surrogate, dtype: str, parameter: str = "") -> tuple[Array, Array]:
    """`exact` at POINTS, for COTANGENT and the points of the parameter."""
    p = parameter_points(surrogate, parameter, POINTS.size).astype(dtype) if parameter else None
    return exact(which, surrogate, POINTS.astype(dtype), COTANGENT.astype(dtype), dtype, parameter, p)


def columns(x: Array, count: int, dtype: str) -> Array:
    """The same values for each of several surrogates, which one call takes together."""
    return np.repeat(x.astype(dtype)[:, None], count, axis=1)


def parameter_points(surrogate: Surrogate, name: str, count: int) -> Array:
    """Values of a parameter around its default, all within its bounds."""
    value = getattr(surrogate, name)
    spread = value * np.geomspace(0.6, 4, count) if value else np.linspace(-1.5, 1.5, count)
    return np.array([surrogate.rounded(name, float(each), "float64") for each in spread])
