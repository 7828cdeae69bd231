"""A surrogate as the pages show it: its formulas as data, its values over v, and a parameter at three scales."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from arcana._core.expression import Symbol, compute, recorded
from arcana._core.numpy import NAMESPACE as NUMPY
from arcana._core.slopes import slope
from arcana.surrogate import (
    Surrogate,
    exponentials,
    gaussians,
    periodic,
    piecewise,
    power_law,
    rational,
    straight_through,
)

FAMILIES = {
    "Rational": rational,
    "Power law": power_law,
    "Exponentials": exponentials,
    "Gaussians": gaussians,
    "Periodic": periodic,
    "Piecewise": piecewise,
    "Straight through": straight_through,
}
SAME_BITS = ("Rational", "Piecewise", "Straight through")
"""The families whose gradients are the same bits in both frameworks."""


def by_family() -> dict[str, list[Surrogate]]:
    """Return the surrogates of each family, as their modules list them, at their default parameters."""
    found = {
        family: [each for name, each in vars(module).items() if name in module.__all__] for family, module in FAMILIES.items()
    }
    return {family: [each for each in members if isinstance(each, Surrogate)] for family, members in found.items()}


def family_of(surrogate: Surrogate) -> str:
    """Return the family of a surrogate."""
    return next(family for family, members in by_family().items() if type(surrogate) in map(type, members))


@dataclasses.dataclass(frozen=True)
class Formula:
    """One function of v as operations, and what stands in them for v and the parameters."""

    v: Symbol
    parameters: dict[str, Symbol]
    result: Symbol


def formula(surrogate: Surrogate, which: str) -> Formula:
    """Return h, G or h′ ("slope") of a surrogate as operations."""
    of = surrogate.formula
    source = functools.partial(of.evaluate, "primitive" if which == "G" else "derivative")
    _, v, parameters, result = recorded(of, source, tuple(surrogate.numbers))
    if which == "slope":
        result = slope(result, v, guarded=True)
    return Formula(v, parameters, result)


def values(surrogate: Surrogate, which: str, v: np.ndarray) -> np.ndarray:
    """Return h, G or h′ of v in float64, from the operations."""
    found = formula(surrogate, which)
    known = {found.v: v, **{symbol: np.float64(surrogate.numbers[name]) for name, symbol in found.parameters.items()}}
    with np.errstate(all="ignore"):
        compute([found.result], known, NUMPY, np.float64(0))
    return np.broadcast_to(np.asarray(known[found.result], np.float64), v.shape)


def three_scales(surrogate: Surrogate) -> list[tuple[str, Surrogate]]:
    """Return the surrogate with one parameter halved, as it is, and doubled, each with what it says beside its curve.

    It is the parameter that changes the shape most. One is halved and doubled from its lower bound; one that is 0 by default is
    raised instead. A surrogate without a parameter that can be changed so has one curve.
    """
    v, found = np.linspace(-4.0, 4.0, 801), {}
    for name, default in surrogate.numbers.items():
        low = max(0.0, min(type(surrogate).representable(name, "float64")[0], default))
        start = round(low, 9) if default else 0.0
        steps = [start + (default - start) * factor for factor in (0.5, 1.0, 2.0)] if default != start else [0.0, 0.1, 0.2]
        if len(set(steps)) == 3 and all(_valid(type(surrogate), name, value) for value in steps):
            each = [type(surrogate)(**{**surrogate.numbers, name: value}) for value in steps]
            half, double = (one.derivative(v) / one.peak for one in (each[0], each[2]))
            found[float(np.abs(half - double).mean())] = [
                (f"{name} = {value:g}", one) for value, one in zip(steps, each, strict=True)
            ]
    return found[max(found)] if found else [("", surrogate)]


def _valid(definition: type[Surrogate], name: str, value: float) -> bool:
    try:
        definition.checked(name, value)
    except ValueError:
        return False
    return True


def kinks(function: Callable[[np.ndarray], np.ndarray], v: np.ndarray) -> np.ndarray:
    """Return v with points added close by every jump of a function, so that a jump is drawn upright."""
    for _ in range(6):
        y = function(v)
        step = np.abs(np.diff(y))
        jumps = np.flatnonzero((step > 0.1 * (np.ptp(y) or 1.0)) & (np.diff(v) > 1e-6))
        v = np.unique(np.concatenate([v, *(np.linspace(v[i], v[i + 1], 7) for i in jumps)]))
        if not len(jumps):
            break
    return v


def extent(surrogate: Surrogate) -> float:
    """Return how far from the threshold the curve is drawn: to where the shape has fallen, from 1 to 4 units."""
    h = np.abs(surrogate.derivative(np.linspace(-4.0, 4.0, 801)))
    far = np.abs(np.linspace(-4.0, 4.0, 801))[h > 0.05 * h.max()].max()
    return float(min(4.0, max(1.0, math.ceil(2 * far) / 2)))
