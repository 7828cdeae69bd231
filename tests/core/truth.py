"""The exact results of section 4, from mpmath, beside what a backend found, in units in the last place."""

from __future__ import annotations

from typing import Any

import numpy as np
from known_values import KNOWN
from mpmath import mp, mpf

from arcana.surrogate import Surrogate
from arcana.testing._values import Array, from_float, is_subnormal, ulp_difference

POINTS = np.array(
    [-np.inf, -3e30, -2.0, -1.0, -0.7, -0.3, -1e-3, -1e-30, -0.0, 0.0, 1e-20, 1e-3, 0.1, 0.4, 0.9, 1.0, 1.5, 7.0, 1e10, np.inf]
)
COTANGENT = np.linspace(-1.7, 2.3, POINTS.size) + 0.01


def exact(
    which: str, surrogate: Surrogate, v: Array, c: Array, dtype: str, parameter: str = "", p: Array | None = None
) -> tuple[Array, Array]:
    """c · h, h′ or ∂G/∂parameter rounded once to the dtype (bit patterns), and the condition number with respect to v."""
    known = KNOWN[surrogate.name]
    results, conditions = [], []
    for i, (x, cotangent) in enumerate(zip(v.astype(np.float64), c.astype(np.float64), strict=True)):
        numbers: dict[str, Any] = {key: mpf(surrogate.rounded(key, value, dtype)) for key, value in surrogate.numbers.items()}
        if p is not None:
            numbers[parameter] = mpf(float(p[i]))
        formula = known.by_parameter[parameter] if which == "parameter" else getattr(known, which)
        value = formula(mpf(x), **numbers)
        results.append(float(mpf(cotangent) * value))
        h = known.h(mpf(x), **numbers)
        conditions.append(float(abs(mpf(x) * known.slope(mpf(x), **numbers) / h)) if h != 0 and mp.isfinite(x) else 0.0)
    return from_float(np.array(results), dtype), np.array(conditions)


def assert_within(found: Array, expected: Array, bound: Array | float, dtype: str) -> None:
    """Every found value within `bound` ULP of the expected, NaN and infinities matching; a subnormal may be a zero of XLA's."""
    bits = from_float(found, dtype)
    error = np.where(is_subnormal(expected, dtype) & (found == 0), 0, ulp_difference(bits, expected, dtype))
    assert (error <= bound).all(), (error.max(), found, expected.view(dtype))
