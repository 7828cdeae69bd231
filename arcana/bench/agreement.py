"""Whether a library's surrogate and its preset compute the same numbers."""

from __future__ import annotations

import numpy as np

from arcana.bench.libraries import Array

TOLERANCE = 100.0
"""How many times the dtype's epsilon two values may differ, relative to h or to a tenth of its peak."""


def grid(dtype: str) -> Array:
    """From −4 to 4 in steps of 1/512, finer near 0, both zeros, tails to ±16.

    Every point plus 1 or 2 is a float32, so that a library that subtracts the threshold gets the same v; the cases have
    their kinks on the grid.
    """
    wide = np.linspace(-4, 4, 4097)
    fine = np.linspace(-0.125, 0.125, 4097)
    tails = np.array([5, 6, 8, 10, 12, 16])
    zeros = np.array([0.0, -0.0, 2.0**-20, -(2.0**-20)])
    return np.concatenate([wide, fine, tails, -tails, zeros]).astype(dtype)


def relative_difference(actual: Array, expected: Array) -> float:
    """The largest |actual − expected|, relative to |expected| or to a tenth of its peak; inf where one is NaN alone."""
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    peak = np.max(np.abs(expected[np.isfinite(expected)]))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.abs(actual - expected) / np.maximum(np.abs(expected), 0.1 * peak)
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(relative), np.inf, relative))))
