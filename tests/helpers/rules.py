"""What the tests of rules share: the spikes and derivatives of each rule, written in NumPy and mpmath without Arcana."""

from __future__ import annotations

from typing import Any

import numpy as np
from known_values import KNOWN
from mpmath import mpf
from truth import operands

from arcana.rules import Heaviside, Integer, Rule, Smooth, Stochastic, Ternary
from arcana.surrogate import Surrogate

COUNTING = (
    Integer(4),
    Integer(3, step=0.3),
    Integer(6, repeat=False),
    Integer(None, repeat=False, step=0.25),
    Ternary(),
    Ternary(0),
)
RULES = (Heaviside(), *COUNTING, Smooth(), Stochastic())
EACH_KIND = (Integer(3, step=0.3), Ternary(), Smooth(), Stochastic())
EDGES = np.array([0.0, 1e-45, 1e-40, 1.2e-38, 0.25, 0.3, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0, 7.0, 1e3, 1e30, np.inf])
"""Potentials worth a look, and their negatives: subnormals, thresholds, beyond the last of them."""


def potentials(dtype: Any = np.float32) -> Any:
    """The edges, their neighbours in the dtype, and NaN."""
    edges = np.concatenate([EDGES, -EDGES]).astype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        beside = [np.nextafter(edges, np.array(end, dtype)) for end in (np.inf, -np.inf)]
    return np.concatenate([edges, *beside, np.array([np.nan], dtype)])


def spikes(rule: Rule, v: Any, fires_at_threshold: bool = True) -> Any:
    """The spikes of a deterministic rule, threshold by threshold, in float64."""
    with np.errstate(invalid="ignore"):
        reached = np.greater_equal if fires_at_threshold else np.greater
        if isinstance(rule, Ternary):
            return reached(v, 0) * 1.0 - reached(-v, v.dtype.type(rule.gap))
        if isinstance(rule, Heaviside):
            return reached(v, 0) * 1.0
    assert isinstance(rule, Integer)
    if rule.most is None:
        with np.errstate(over="ignore"):
            whole = np.nan_to_num(v.astype(np.float64), nan=-1.0, posinf=np.inf) / rule.step
        return np.maximum(np.floor(whole) + 1 if fires_at_threshold else np.ceil(whole), 0)
    step = v.dtype.type(rule.step) if v.dtype != np.float64 else rule.step
    return sum(reached(v, v.dtype.type(k) * step) * 1.0 for k in range(rule.most))


def centres(rule: Rule) -> list[tuple[float, int]]:
    """Where h is, and towards which side: from the papers, and not from the rule."""
    if isinstance(rule, Ternary):
        return [(0.0, 1), (-rule.gap, -1)]
    if isinstance(rule, Integer) and rule.repeat:
        return [(k * rule.step, 1) for k in range(rule.most or 1)]
    return [(0.0, 1)]


def derivative(rule: Rule, surrogate: Surrogate, v: Any, which: str = "h") -> Any:
    """Σ h, or for `slope` its derivative, at each potential in float64, from the paper's formula in mpmath."""
    formula, numbers = getattr(KNOWN[surrogate.name], which), operands(surrogate, "float64")

    def at(x: float, centre: float, side: int) -> float:
        return float(formula(mpf(side) * (mpf(x) - mpf(centre)), **numbers)) * (side if which == "slope" else 1)

    return np.array([sum(at(float(x), *each) for each in centres(rule)) for x in v])
