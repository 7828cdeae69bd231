"""Neurons whose flow amplifies: a difference that rounding began grows with the potential, and is not made anew."""

from __future__ import annotations

import numpy as np

from arcana.testing._evidence import Evidence, lag
from arcana.testing._rounding import UNIT

BINS = 12
"""The least number of ranges of the potential in each of which the growth is measured."""

MANY = 100
"""How many differences a range holds where there are more of them: a steep part may be narrow."""

FEW = 12
"""How many differences in a range show its growth; a range with fewer has its neighbours'."""

ALL = 0.99
"""The share of differences beyond rounding that must have grown from what was there before."""

FACTOR = 4.0
"""By how much more than what is typical of its range a difference may grow."""


def grown(found: Evidence) -> bool:
    """Whether every difference is what rounding of one step adds to a difference that the neuron's own flow has enlarged.

    The growth in a step, |D| / |D₁|, is a function of the potential; in each range of it the upper quartile is measured, where
    both differences are clear of the spacing of floats. A fault adds differences whatever was there before, so a neuron without
    any shows it.
    """
    d, before = np.abs(found.difference), np.abs(lag(found.difference, 1))
    largest = before.copy()
    for steps in (2, 3):
        largest = np.maximum(largest, np.abs(lag(found.difference, steps)))
    rate = _growth(found, d, before)
    if rate is None:
        return False
    allowed = found.pair.step_bound + FACTOR * np.maximum(rate, 1.0) * largest
    return bool((d <= allowed)[found.over].mean() >= ALL) if found.over.any() else True


def _growth(found: Evidence, d: np.ndarray, before: np.ndarray) -> np.ndarray | None:
    """Return how much differences grow at each place; None if they do not grow anywhere or not with the potential."""
    mask = found.mask & (found.since > 1)
    # Before the first step there is no potential.
    mask[0] = False
    potential = lag(found.one, 1)
    clear = mask & (before > 8 * UNIT[found.pair.kept_in] * np.abs(potential)) & (d > 0)
    if clear.sum() < 20 * BINS:
        return None
    bins = max(BINS, clear.sum() // MANY)
    # The steep parts are at the ends, where few potentials are.
    shares = [0.01, 0.03, *np.linspace(0, 1, bins + 1)[1:-1], 0.97, 0.99]
    edges = np.unique(np.quantile(potential[mask], shares))
    index = np.digitize(potential, edges)
    signs = np.sign(found.difference) == np.sign(lag(found.difference, 1))
    rates = {}
    amplifies = False
    for i in range(len(edges) + 1):
        here = clear & (index == i)
        if here.sum() < FEW:
            continue
        low, middle, high = np.quantile(np.log(d[here] / before[here]), [0.25, 0.5, 0.75])
        rates[i] = float(np.exp(high))
        amplifies |= middle > 0.03 and np.mean(signs[here]) > 0.8 and high - low < 2.0
    if not amplifies:
        return None
    rate = np.interp(index, list(rates), list(rates.values()))
    # From the highest range on in which it was measured, a difference may grow as a potential that runs away does.
    with np.errstate(divide="ignore", invalid="ignore"):
        itself = np.abs(found.one / potential)
    return np.where((index >= max(rates)) & np.isfinite(itself), np.maximum(rate, itself), rate)
