"""How two networks' inputs and parameters differ: each explanation is applied to one side and must give the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._rounding import UNIT, rounded
from arcana.testing._runs import Run
from arcana.testing._values import Array

ROUNDING = 2 * UNIT["float32"]
"""The relative difference of two arrays that were computed alike."""

FEW = 8
"""How many numbers a common factor must bring together."""

LARGEST_PERMUTED = 4096
"""The longest axis along which a permutation is looked for."""


def given_causes(one: Run, other: Run, names: tuple[str, str]) -> Iterator[Cause]:
    """Yield how inputs and parameters differ where both runs hold them."""
    if one.inputs is not None and other.inputs is not None:
        kind, text = array_difference(one.inputs, other.inputs, names, steps=True)
        if text:
            yield Cause("inputs" if kind in ("weights", "seed", "scale") else kind, None, f"the inputs differ: {text}")
    for name in [name for name in one.parameters if name in other.parameters]:
        kind, text = array_difference(one.parameters[name], other.parameters[name], names)
        if text:
            yield Cause(kind, None, f"parameter {name!r}: {text}")


def array_difference(a: Array, b: Array, names: tuple[str, str], *, steps: bool = False) -> tuple[str, str]:
    """Return the kind of difference of two arrays that should be equal, and the figures; both empty if it is rounding."""
    if a.shape != b.shape:
        turned = a.ndim == 2 and a.shape[::-1] == b.shape and array_difference(a.T, b, names) == ("", "")
        shapes = f"shape {a.shape} in {names[0]}, {b.shape} in {names[1]}"
        return ("transposed", f"{shapes}, one the transpose of the other") if turned else ("weights", shapes)
    if a.dtype.kind in "biu" and b.dtype.kind in "biu":
        # Whole numbers have no rounding, and those of 64 bits no float64.
        count = np.count_nonzero(a != b)
        return ("weights", f"{count} of {a.size} whole numbers differ") if count else ("", "")
    if "c" in (a.dtype.kind, b.dtype.kind):
        a, b = (np.stack([each.real, each.imag], axis=-1) for each in (a, b))
    a, b = a.astype(np.float64), b.astype(np.float64)
    # The same infinity on both sides, or NaN on both, differs by nothing.
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    a, b = (np.where(same & ~np.isfinite(each), 0.0, each) for each in (a, b))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        count = np.count_nonzero(~same & ~(np.isfinite(a) & np.isfinite(b)))
        return "weights", f"{count} of {a.size} numbers are NaN or infinite on one side"
    size = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
    if _apart(a, b) <= ROUNDING * size:
        return "", ""
    found = next(_explanations(a, b, size, names, steps=steps), None)
    return found or ("weights", _figures(a, b, size))


def _apart(a: Array, b: Array) -> float:
    return float(np.abs(a - b).max(initial=0.0))


def _explanations(a: Array, b: Array, size: float, names: tuple[str, str], *, steps: bool) -> Iterator[tuple[str, str]]:
    """Yield each change of one array that gives the other, the simplest first."""
    near = ROUNDING * size
    if a.ndim == 2 and a.shape[0] == a.shape[1] and _apart(a.T, b) <= near:
        yield "transposed", f"{names[0]}'s is the transpose of {names[1]}'s"
    for dtype in ("float16", "bfloat16"):
        for x, y, name in ((a, b, names[1]), (b, a, names[0])):
            # Rounding moves most numbers; among round numbers a few that differ are no dtype.
            if _apart(rounded(x, dtype), y) <= near and np.mean(np.abs(a - b) > near) > 0.5:
                yield (
                    "dtype",
                    f"{name}'s is the other's rounded to {dtype}; they differ by {_apart(a, b) / size:.2g} of the largest",
                )
    if steps:
        for late, x, y in ((names[1], a, b), (names[0], b, a)):
            for shift in (1, 2, 3):
                if len(a) > 2 * shift and _apart(x[:-shift], y[shift:]) <= near:
                    yield "delay", f"{late}'s come {shift} step{'s' * (shift > 1)} later"
    factor = float((a * b).sum() / (a * a).sum()) if np.any(a) else 0.0
    if factor != 0.0 and a.size >= FEW and _apart(factor * a, b) <= 2 * near * max(1.0, abs(factor)):
        yield "scale", f"{names[1]}'s is {factor:.7g} times {names[0]}'s"
    axes = [axis for axis in range(a.ndim) if a.shape[axis] <= LARGEST_PERMUTED]
    for axis in axes:
        if not (steps and axis == 0) and _permuted(a, b, axis, near):
            yield "permuted", f"{names[1]}'s is {names[0]}'s with axis {axis} in another order"
    for axis in axes:
        if _apart(np.flip(a, axis), b) <= near:
            yield "permuted", f"{names[1]}'s is {names[0]}'s with axis {axis} reversed"
    for first, second in itertools.combinations(range(a.ndim), 2):
        if a.shape[first] == a.shape[second] and _apart(np.swapaxes(a, first, second), b) <= near:
            yield "transposed", f"axes {first} and {second} of {names[0]}'s are exchanged in {names[1]}'s"
    if a.size > 16 and _apart(np.sort(a, axis=None), np.sort(b, axis=None)) <= near and np.unique(a).size > a.size // 2:
        yield "permuted", f"the same numbers in another order; {_figures(a, b, size)}"
    if min(a.std(), b.std()) > 0:
        correlation = float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
        # That of two draws of n numbers is about 1/√n; and two draws have one distribution.
        chance = 4.0 / np.sqrt(a.size)
        alike = 0.5 < a.std() / b.std() < 2.0 and abs(a.mean() - b.mean()) < 0.5 * a.std()
        if abs(correlation) < chance and a.size >= 100 and alike and not steps:
            yield "seed", f"two different draws, as of two seeds: their correlation is {correlation:.2g}"


def _permuted(a: Array, b: Array, axis: int, near: float) -> bool:
    """Whether one array is the other with an axis in another order: rows are brought into one order by a key and compared."""
    x, y = (np.moveaxis(each, axis, 0).reshape(each.shape[axis], -1) for each in (a, b))
    if x.shape[1] < 2 and np.unique(x).size < len(x):
        return False
    weights = np.random.default_rng(0).uniform(0.5, 1.5, x.shape[1])
    one, other = (np.argsort(each @ weights, kind="stable") for each in (x, y))
    return _apart(x[one], y[other]) <= near and not np.array_equal(one, other)


def _figures(a: Array, b: Array, size: float) -> str:
    differing = np.count_nonzero(np.abs(a - b) > ROUNDING * size)
    return f"{differing} of {a.size} numbers differ, by at most {_apart(a, b):.3g}; the largest is {size:.3g}"
