"""Checks of a definition by itself, in NumPy: derivative against primitive, facts, special values, value semantics."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from arcana._core import NUMPY_NAMESPACES
from arcana.surrogate import Surrogate, from_dict
from arcana.testing._products import finite
from arcana.testing._report import Row
from arcana.testing._values import Array, hard_sample

WHERE = "definition"

EXACT = 1e-9
"""How near a stated fact is to the formula, relatively."""


def definition_rows(surrogate: Surrogate) -> Iterator[Row]:
    """Yield every row that needs no framework; a definition that raises has one that fails and says what it raised."""
    for what, rows in {
        "runs": _runs,
        "arguments are kept": _kept,
        "facts": _facts,
        "area": _area,
        "primitive": _primitives,
        "sensitivities": _sensitivities,
        "finite": _special_values,
        "NaN": _nan,
        "round trip": _value_semantics,
    }.items():
        found = list(guarded(WHERE, what, lambda rows=rows: rows(surrogate)))
        yield from found
        if what == "runs" and not found[0].passed:
            return


def guarded(where: str, what: str, rows: Callable[[], Iterable[Row]]) -> Iterator[Row]:
    """Yield the rows, and where a definition raises one that fails and says so."""
    try:
        yield from rows()
    except Exception as error:
        yield Row(where, what, False, raised(error))


ADVICE = {
    "a formula may not branch on a value: write xp.where(condition, a, b)": (
        "truth value of an array",
        "TracerBool",
        "ata-dependent",
    ),
    "a formula uses xp, and not NumPy": ("TracerArrayConversion", "numpy() "),
    "a formula may not change its arguments in place": ("read-only", "in-place"),
}
"""What a definition does instead, by what NumPy, PyTorch and JAX say."""


def raised(error: Exception) -> str:
    """Return an error of a definition in one line, with what a definition does instead."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    advice = [f"{words}; " for words, said in ADVICE.items() if any(each in text for each in said)]
    return f"{advice[0] if advice else ''}{text[:300]}"


def _runs(surrogate: Surrogate) -> Iterator[Row]:
    v = np.zeros(3)
    kinds = ["derivative", *(["primitive"] if surrogate.has_primitive() else [])]
    for which in kinds:
        getattr(surrogate, which)(v)
    yield Row(WHERE, "runs", True, f"{' and '.join(kinds)}, {len(kinds)} arrays of {v.size}")


def _grid() -> Array:
    positive = np.concatenate([np.linspace(0, 4, 4001), np.logspace(-12, 6, 1801)])
    return np.unique([-positive, positive])


def _kept(surrogate: Surrogate) -> Iterator[Row]:
    """Check that neither formula writes into the potential or a parameter."""
    v = np.zeros(1)
    numbers = {name: np.full(v.shape, value) for name, value in surrogate.numbers.items()}
    for each in (v, *numbers.values()):
        each.flags.writeable = False
    for which in ("derivative", "primitive")[: 1 + surrogate.has_primitive()]:
        with np.errstate(all="ignore"):
            surrogate.formula.evaluate(which, v, NUMPY_NAMESPACES["float64"], numbers)
    yield Row(WHERE, "arguments are kept", True, f"{1 + len(numbers)} arrays")


def _facts(surrogate: Surrogate) -> Iterator[Row]:
    v = _grid()
    largest = _largest(surrogate)
    yield Row(
        WHERE, "peak", math.isclose(largest, surrogate.peak, rel_tol=EXACT), f"{largest:.12g} found, {surrogate.peak:.12g} stated"
    )
    yield _support(surrogate)
    if surrogate.even:
        h = surrogate.derivative(v)
        yield Row(WHERE, "even", np.array_equal(h, surrogate.derivative(-v)), f"h(-v) = h(v) at {v.size} points")


def _places(surrogate: Surrogate) -> Array:
    """Return the grid, the limits, and what lies on both sides of the ends of the support."""
    edges = [each for each in surrogate.support if math.isfinite(each)]
    beside = [np.nextafter(edges, -math.inf), edges, np.nextafter(edges, math.inf)]
    return np.unique(np.concatenate([_grid(), [-math.inf, math.inf], *beside]))


def _largest(surrogate: Surrogate) -> float:
    """Return the largest |h|: around the eight largest on the grid, finer and finer, since many peaks may be of one height."""
    places = _places(surrogate)
    found = float(np.abs(surrogate.derivative(places)).max())
    v = places[np.isfinite(places)]
    h, apart = np.abs(surrogate.derivative(v)), np.gradient(v)
    for i in np.argsort(h)[-8:]:
        middle, reach = v[i], 2 * apart[i]
        for _ in range(8):
            near = middle + np.linspace(-reach, reach, 41)
            inner = np.abs(surrogate.derivative(near))
            found, middle, reach = max(found, float(inner.max())), near[inner.argmax()], reach / 20
    return found


def _support(surrogate: Surrogate) -> Row:
    """Check that h is 0 beyond the support, from the next float on, and not before its ends."""
    low, high = surrogate.support
    v = _places(surrogate)
    outside = v[(v < low) | (v > high)]
    wrong = outside[surrogate.derivative(outside) != 0] if outside.size else outside
    size = high - low if math.isfinite(high - low) else 1.0
    inside = {end: end + sign * size * np.logspace(-12, -3, 10) for end, sign in ((low, 1), (high, -1)) if math.isfinite(end)}
    empty = [end for end, near in inside.items() if not surrogate.derivative(near).any()]
    text = f"h is 0 at {outside.size} points outside [{low:g}, {high:g}] and not before its ends"
    if wrong.size:
        text = f"h({wrong[0]!r}) is not 0, outside [{low:g}, {high:g}]"
    elif empty:
        text = f"h is 0 up to {empty[0]:g} already, the end of [{low:g}, {high:g}]"
    return Row(WHERE, "support", not (wrong.size or empty), text)


def _area(surrogate: Surrogate) -> Iterator[Row]:
    """Check the area by quadrature of h, where it has one."""
    stated = surrogate.area
    if not math.isfinite(stated):
        return
    found, of_size = _integral(surrogate.derivative), _integral(lambda v: np.abs(surrogate.derivative(v)))
    # Lobes that cancel are as exact as their sizes.
    close = math.isclose(found, stated, rel_tol=EXACT, abs_tol=EXACT * of_size)
    yield Row(WHERE, "area", close, f"{found:.12g} by quadrature, {stated:.12g} stated")


def _integral(h: Callable[[Array], Array]) -> float:
    """Return the integral over all numbers, of v = t/(1 − t²): panels are halved until 15 points and 10 agree."""
    fine, coarse = (np.polynomial.legendre.leggauss(count) for count in (15, 10))

    def of(low: Array, high: Array, rule: tuple[Array, Array]) -> Array:
        t = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * rule[0]
        with np.errstate(all="ignore"):
            y = h(t / (1 - t * t)) * (1 + t * t) / (1 - t * t) ** 2
        return (finite(y) * rule[1]).sum(1) * (high - low) / 2

    # Odd, so that no first panel ends where a formula has its middle alone.
    edges = np.linspace(-1, 1, 130)
    low, high, total = edges[:-1], edges[1:], 0.0
    for _ in range(60):
        better = of(low, high, fine)
        scale = abs(total) + float(np.abs(better).sum())
        done = np.abs(better - of(low, high, coarse)) <= 1e-13 * scale
        total += float(better[done].sum())
        low, high = low[~done], high[~done]
        if not low.size or low.size > 20_000:
            break
        middle = (low + high) / 2
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    return total + float(of(low, high, fine).sum()) if low.size else total


def _primitives(surrogate: Surrogate) -> Iterator[Row]:
    """Check the primitive of the instance, and with each parameter at two other values."""
    if not surrogate.has_primitive():
        return
    yield from _primitive(surrogate)
    for name in surrogate.numbers:
        values = _other_values(surrogate, name)
        rows = [row for value in values for row in _primitive(dataclasses.replace(surrogate, **{name: value}))]
        failing = [row for row in rows if not row.passed]
        text = f"at {', '.join(f'{value:g}' for value in values)}"
        text += f": {failing[0].what}, {failing[0].detail}" if failing else ""
        yield Row(WHERE, f"primitive for other {name}", not failing, text)


def _sensitivities(surrogate: Surrogate) -> Iterator[Row]:
    """Check that what is given of dG/dparameter is what is derived from the primitive, and so is used."""
    if surrogate.sensitivities is None:
        return
    xp, numbers = NUMPY_NAMESPACES["float64"], {name: np.float64(value) for name, value in surrogate.numbers.items()}
    fields = surrogate.formula.fields(numbers)
    given = surrogate.sensitivities(np.zeros(1), xp, surrogate.derivative(np.zeros(1)), **fields)
    for name in given:
        traced = surrogate.formula.slope(tuple(numbers), name) if name in numbers else None
        used = traced is not None and traced.stated
        detail = "as derived from the primitive" if used else "is not what the primitive's derivative is, and is not used"
        yield Row(WHERE, f"sensitivity to {name}", used, detail)


def _other_values(surrogate: Surrogate, name: str) -> list[float]:
    """Return two other values of a parameter in its domain, further away first."""
    value = surrogate.numbers[name]
    tried = [value * each for each in (0.5, 2.0, 0.75, 1.5, 0.9, 1.1)] if value else [0.5, -0.5, 0.25]
    return [each for each in tried if _is_inside(surrogate, name, each)][:2]


def _is_inside(surrogate: Surrogate, name: str, value: float) -> bool:
    return surrogate.rounded(name, value, "float64") == value


def _primitive(surrogate: Surrogate) -> Iterator[Row]:
    at_zero = float(surrogate.primitive(0.0))
    yield Row(WHERE, "primitive at 0", at_zero == 0.5, f"G(0) = {at_zero!r}")
    rise, area = float(surrogate.primitive(math.inf) - surrogate.primitive(-math.inf)), surrogate.area
    # The integral of a periodic h has no value; the primitive has one even then.
    same = not math.isnan(rise) if math.isnan(area) else rise == area or math.isclose(rise, area, rel_tol=EXACT, abs_tol=EXACT)
    yield Row(WHERE, "rise of the primitive", same, f"G(inf) - G(-inf) = {rise:.9g}, an area of {area:.9g} stated")
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


def _nan(surrogate: Surrogate) -> Iterator[Row]:
    """Check that h(NaN) is of one kind in every dtype: NaN as in most, 0 as in a window, or a number as in a constant h."""
    found = [float(surrogate.derivative(np.array(math.nan, dtype))) for dtype in ("float64", "float32", "float16")]
    kinds = {"NaN" if math.isnan(h) else "0" if h == 0 else "infinite" if math.isinf(h) else "a number" for h in found}
    yield Row(WHERE, "NaN", len(kinds) == 1 and "infinite" not in kinds, f"h(NaN) is {' or '.join(sorted(kinds))}")


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
