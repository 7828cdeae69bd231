"""The mean of a function of a normally distributed variable, by numerical integration."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

_REACH = 39
"""So many standard deviations from its mean the density of a normal distribution is 0 in float64."""

_HALVINGS = 1100
"""From the largest float64 so many halvings lead below the smallest."""

_TOLERANCE = 1e-14
"""The most that one interval may be off, relative to the whole integral, of which a few thousand intervals are the parts."""

_MOST = 2**17
"""So many intervals at a time are too many: the function oscillates."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)

Function = Callable[[np.ndarray], Any]


def normal_mean(function: Function, mean: float, std: float, kinks: Iterable[float] = ()) -> float:
    """Return the mean of function(v), which is not negative, for v normal with a mean and a standard deviation, to 1e-9.

    Gauss and Legendre's rule of 16 points on intervals that are halved until the halves agree with the whole. They begin
    at powers of 2 on both sides of 0, so that a peak there is found however narrow it is, and at whole deviations from the mean.

    Args:
        function: takes and returns a float64 array of any shape.
        mean: the mean of v.
        std: its standard deviation, positive.
        kinks: where the function is known to have a kink or a jump; others are found, with more intervals.

    Raises:
        ValueError: the function oscillates too often within the deviations.
    """

    def integral(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        half = (high - low) / 2
        v = low[:, None] + half[:, None] * (_NODES + 1)
        density = np.exp(-np.square((v - mean) / std) / 2) / (math.sqrt(2 * math.pi) * std)
        return (function(v) * density) @ _WEIGHTS * half

    edges = _edges(mean, std, kinks)
    low, high = edges[:-1], edges[1:]
    whole, total = integral(low, high), 0.0
    while low.size:
        if low.size > _MOST:
            msg = f"the function changes too often within a deviation of {std} from {mean} to be integrated"
            raise ValueError(msg)
        middle = low + (high - low) / 2
        parts = np.stack([integral(low, middle), integral(middle, high)])
        halved = parts.sum(axis=0)
        estimate = total + halved.sum()
        # An interval of two neighbouring numbers has no half; NaN ends the search too, and is what comes out.
        open_still = (np.abs(halved - whole) > _TOLERANCE * estimate) & (low < middle) & (middle < high)
        total += halved[~open_still].sum()
        whole = parts[:, open_still].ravel()
        low, high = (np.concatenate(ends)[np.tile(open_still, 2)] for ends in ((low, middle), (middle, high)))
    return float(total)


def _edges(mean: float, std: float, kinks: Iterable[float]) -> np.ndarray:
    """Return where the intervals begin and end, in order."""
    lowest, highest = mean - _REACH * std, mean + _REACH * std
    powers = max(abs(lowest), abs(highest)) * 0.5 ** np.arange(_HALVINGS, dtype=np.float64)
    edges = np.concatenate([mean + std * np.arange(-_REACH, _REACH + 1), powers, -powers, [*kinks]])
    return np.unique(edges[(edges >= lowest) & (edges <= highest)])
