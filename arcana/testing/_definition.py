"""Checks of a definition by itself, in NumPy: derivative against primitive, facts, special values, value semantics."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable, Iterator

import numpy as np

from arcana.surrogate import Surrogate, from_dict
from arcana.testing._report import Row
from arcana.testing._values import Array, hard_sample

WHERE = "definition"


def definition_rows(surrogate: Surrogate) -> Iterator[Row]:
    """Yield every row that needs no framework."""
    yield from _facts(surrogate)
    if surrogate.has_primitive():
        yield from _primitive(surrogate)
    elif math.isfinite(surrogate.area):
        yield _integral(surrogate)
    yield from _special_values(surrogate)
    yield _nan(surrogate)
    yield from _value_semantics(surrogate)


def _grid() -> Array:
    positive = np.concatenate([np.linspace(0, 4, 4001), np.logspace(-12, 6, 1801)])
    return np.unique(np.concatenate([-positive, positive]))


def _facts(surrogate: Surrogate) -> Iterator[Row]:
    v = _grid()
    h = surrogate.derivative(v)
    largest = float(np.abs(h).max())
    yield Row(
        WHERE, "peak", math.isclose(largest, surrogate.peak, rel_tol=1e-3), f"{largest:.6g} found, {surrogate.peak:.6g} stated"
    )
    low, high = surrogate.support
    outside = h[(v < low) | (v > high)]
    yield Row(WHERE, "support", not outside.any(), f"h is 0 at {outside.size} points outside [{low:g}, {high:g}]")
    if surrogate.even:
        yield Row(WHERE, "even", bool(np.array_equal(h, surrogate.derivative(-v))), f"h(-v) = h(v) at {v.size} points")


def _primitive(surrogate: Surrogate) -> Iterator[Row]:
    at_zero = float(surrogate.primitive(0.0))
    yield Row(WHERE, "primitive at 0", at_zero == 0.5, f"G(0) = {at_zero!r}")
    rise, area = float(surrogate.primitive(math.inf) - surrogate.primitive(-math.inf)), surrogate.area
    # The integral of a periodic h has no value; the primitive has one even then.
    same = not math.isnan(rise) if math.isnan(area) else rise == area or math.isclose(rise, area, rel_tol=1e-9)
    yield Row(WHERE, "area", same, f"G(inf) - G(-inf) = {rise:.9g}, {area:.9g} stated")
    # By the mean value theorem the slope of G over a short interval is a value of h within it, kinks included.
    v = np.random.default_rng(0).uniform(-4, 4, 2000)
    width = 1e-4
    slope = (surrogate.primitive(v + width) - surrogate.primitive(v - width)) / (2 * width)
    within = np.stack([surrogate.derivative(v + width * x) for x in np.linspace(-1, 1, 21)])
    slack = 1e-9 * (1 + np.abs(within).max())
    off = np.maximum(within.min(0) - slack - slope, slope - within.max(0) - slack)
    yield Row(
        WHERE,
        "derivative is the slope of the primitive",
        bool((off <= 0).all()),
        f"at {v.size} points, worst {max(off.max(), 0.0):.2g} off",
    )


def _integral(surrogate: Surrogate) -> Row:
    """Check the area of a definition without a primitive by the trapezoidal rule, which is good to 0.1 % on this grid."""
    v = _grid()
    found = float(np.trapezoid(surrogate.derivative(v), v))
    return Row(
        WHERE, "area", math.isclose(found, surrogate.area, rel_tol=1e-3), f"{found:.6g} found, {surrogate.area:.6g} stated"
    )


def _special_values(surrogate: Surrogate) -> Iterator[Row]:
    for dtype in ("float64", "float32", "float16"):
        v = hard_sample(dtype).view(dtype)
        v = v[~np.isnan(v)]
        h = surrogate.derivative(v)
        bad = v[~np.isfinite(h)]
        kept = h.dtype == v.dtype and h.shape == v.shape
        yield Row(
            WHERE,
            f"finite, {dtype}",
            bad.size == 0 and kept,
            f"{v.size} values to ±inf" if not bad.size else f"not at v = {bad[0]!r}",
        )


def _nan(surrogate: Surrogate) -> Row:
    """Check that h(NaN) is of one kind in every dtype: NaN as in most, 0 as in a window, or a number as in a constant h."""
    found = [float(surrogate.derivative(np.array(math.nan, dtype))) for dtype in ("float64", "float32", "float16")]
    kinds = {"NaN" if math.isnan(h) else "0" if h == 0 else "infinite" if math.isinf(h) else "a number" for h in found}
    return Row(WHERE, "NaN", len(kinds) == 1 and "infinite" not in kinds, f"h(NaN) is {' or '.join(sorted(kinds))}")


def _value_semantics(surrogate: Surrogate) -> Iterator[Row]:
    ways: dict[str, Callable[[], Surrogate]] = {
        "pickle": lambda: pickle.loads(pickle.dumps(surrogate)),
        "deepcopy": lambda: copy.deepcopy(surrogate),
        "dict": lambda: from_dict(surrogate.to_dict()),
    }
    for way, make in ways.items():
        try:
            other = make()
        except Exception as error:
            yield Row(WHERE, f"{way} round trip", False, f"{type(error).__name__}: {error}")
            continue
        same = other == surrogate and hash(other) == hash(surrogate) and repr(other) == repr(surrogate)
        yield Row(WHERE, f"{way} round trip", same, repr(other))
