"""The conformance suite of one surrogate, a user's own included."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from arcana.surrogate import Surrogate
from arcana.testing._definition import definition_rows, raised
from arcana.testing._report import ConformanceError, Report, Row
from arcana.testing._second_order import second_order_rows
from arcana.testing._transforms import transform
from arcana.testing._values import BITS, Array, from_float, hard_sample, to_float, ulp_difference
from arcana.testing.backends import BACKENDS, load

COMPUTED_FINER = {"float64": 1.0, "float32": 1.0, "float16": 2.0**-13, "bfloat16": 2.0**-16}
"""How many times finer a dtype is computed than it is stored."""

TRANSFORM_POINTS = (-np.inf, -2.0, -0.9, -0.4, -0.03, -0.0, 0.0, 0.02, 0.3, 0.7, 1.6, np.inf)


def check_surrogate(surrogate: Surrogate | type[Surrogate], backends: Sequence[str] = BACKENDS) -> Report:
    """Check a definition and what each backend makes of it.

    Args:
        surrogate: an instance, or a class whose parameters all have defaults.
        backends: the backends to check; each must be installed. Without any, the definition alone is checked.

    Returns:
        The report; printed, it is a table with a line a check.

    Raises:
        ConformanceError: a check failed; the message holds the failing lines.
        ImportError: a backend is not installed.

    >>> from arcana.surrogate import FastSigmoid
    >>> report = check_surrogate(FastSigmoid, backends=())
    >>> all(row.passed for row in report.rows)
    True
    """
    (report,) = reports([surrogate() if isinstance(surrogate, type) else surrogate], backends)
    if not report.passed:
        raise ConformanceError(report)
    return report


def reports(surrogates: Sequence[Surrogate], backends: Sequence[str]) -> list[Report]:
    """Return a report of each surrogate. They pass each transform together, so that it is compiled once for all of them."""
    sides = {name: load(name, "conformance") for name in backends}
    rows = {surrogate: list(definition_rows(surrogate)) for surrogate in surrogates}
    for check in (_numbers, _of_each_side(_shapes), _of_each_side(_transforms), _of_each_side(second_order_rows)):
        # What does not run in NumPy runs nowhere, and says so once.
        running = [surrogate for surrogate in surrogates if rows[surrogate][0].passed]
        for surrogate, row in _guarded(check, running, sides) if running else ():
            rows[surrogate].append(row)
    return [Report(repr(surrogate), tuple(dict.fromkeys(rows[surrogate]))) for surrogate in surrogates]


Check = Callable[[Sequence[Surrogate], dict[str, Any]], Iterator[tuple[Surrogate, Row]]]


def _of_each_side(check: Callable[[Sequence[Surrogate], str, Any], Iterator[tuple[Surrogate, Row]]]) -> Check:
    return lambda surrogates, sides: itertools.chain(*(check(surrogates, name, side) for name, side in sides.items()))


def _guarded(check: Check, surrogates: Sequence[Surrogate], sides: dict[str, Any]) -> Iterator[tuple[Surrogate, Row]]:
    """Yield the rows of a check; where a definition raises, those of each surrogate and backend alone, and one that fails."""
    try:
        rows = list(check(surrogates, sides))
    except Exception as error:
        if len(surrogates) == len(sides) == 1:
            yield surrogates[0], Row(next(iter(sides)), "runs", False, raised(error))
            return
        for surrogate, (name, side) in itertools.product(surrogates, sides.items()):
            yield from _guarded(check, [surrogate], {name: side})
        return
    yield from rows


def exact_spikes(bits: Array, dtype: str, fires_at_threshold: bool = True) -> Array:
    """Return the spikes of bit patterns, as bit patterns, from the integers alone."""
    infinity = from_float(np.array(np.inf), dtype)
    zeros = (bits << bits.dtype.type(1)) == 0
    fires = ((bits <= infinity) & ~zeros) | (zeros & fires_at_threshold)
    return np.where(fires, from_float(np.array(1.0), dtype), bits.dtype.type(0))


def _reference(surrogate: Surrogate, v: Array, c: Array) -> tuple[Array, Array]:
    """Return c · h(v) in float64, and the condition number |v·h′/h| of h."""
    with np.errstate(all="ignore"):
        v, c = v.astype(np.float64), c.astype(np.float64)
        h = surrogate.derivative(v)
        finite = np.clip(v, -1e308, 1e308)
        step = np.maximum(np.abs(finite), 1e-6) * 1e-6
        change = surrogate.derivative(finite + step) - surrogate.derivative(finite - step)
        # Quotients of what is alike in size: where v is large, h′ may be too small for a float.
        condition = np.abs(finite / (2 * step) * (change / h))
        return c * h, np.where(np.isfinite(condition), condition, 0)


@dataclasses.dataclass(frozen=True, eq=False)
class _Sample:
    """Hard potentials of one dtype as bit patterns, what c · h of them is, and how far from it a backend may be.

    Attributes:
        exact: c · h(v) in float64.
        bound: 4·(1 + |v·h′/h|) units in the last place, where the quotient is what rounding v by one unit would bring.
        counts: where c · h is no subnormal, which XLA may take for zero.
    """

    surrogate: Surrogate
    dtype: str
    v: Array
    cotangent: Array
    exact: Array
    bound: Array
    counts: Array

    @classmethod
    def of(cls, surrogate: Surrogate, dtype: str) -> _Sample:
        v = hard_sample(dtype)
        c = from_float(np.random.default_rng(1).uniform(0.5, 2, v.size), dtype)
        exact, condition = _reference(surrogate, to_float(v, dtype), to_float(c, dtype))
        smallest = float(np.finfo(np.float32 if dtype == "bfloat16" else dtype).tiny)
        # Half types are computed in float32: its rounding is what the condition number multiplies.
        return cls(surrogate, dtype, v, c, exact, 4 * (1 + condition * COMPUTED_FINER[dtype]), np.abs(exact) > 8 * smallest)

    def gradient_row(self, where: str, what: str, found: Array, expected: Array, source: str) -> Row:
        """Check that two gradients lie within the bound of each other; the row tells where they are farthest beyond it."""
        error = np.where(self.counts, ulp_difference(found, expected, self.dtype), 0)
        detail = f"{int(error.max())} ULP at most from {source}"
        passed = bool((error <= self.bound).all())
        if not passed:
            worst = int(np.argmax(error - self.bound))
            place = f"v = {to_float(self.v, self.dtype)[worst]!r}"
            detail += f"; {int(error[worst])} at {place}, bound {self.bound[worst]:.3g}"
        return Row(where, f"{what}, {self.dtype}", passed, detail)

    def nan_row(self, where: str, spikes: Array, gradient: Array) -> Row:
        """Check that NaN does not fire, that its gradient is what NumPy's h(NaN) is, and that nothing else gives NaN."""
        v, found, expected = (to_float(each, self.dtype) for each in (self.v, gradient, from_float(self.exact, self.dtype)))
        wrong = np.isnan(found) != np.isnan(expected)
        wrong |= np.isnan(v) & ((spikes != 0) | ((found == 0) != (expected == 0)))
        detail = f"h(NaN) is {float(self.surrogate.derivative(math.nan)):g}, {wrong.sum()} of {v.size} patterns wrong"
        return Row(where, f"NaN, {self.dtype}", not wrong.any(), detail)


def _numbers(surrogates: Sequence[Surrogate], sides: dict[str, Any]) -> Iterator[tuple[Surrogate, Row]]:
    """Check spikes and gradients of each backend in each mode, against the truth and against the other backends."""
    samples = [_Sample.of(surrogate, dtype) for surrogate in surrogates for dtype in BITS]
    cases = [(each.surrogate, each.v, each.cotangent, each.dtype) for each in samples]
    ways = {(name, mode): side.spikes_and_gradients(cases, mode) for name, side in sides.items() for mode in side.MODES}
    for i, sample in enumerate(samples):
        for row in _sample_rows(sample, {way: results[i] for way, results in ways.items()}):
            yield sample.surrogate, row


def _sample_rows(sample: _Sample, results: dict[tuple[str, str], tuple[Array, Array]]) -> Iterator[Row]:
    right = exact_spikes(sample.v, sample.dtype, sample.surrogate.fires_at_threshold)
    for (name, mode), (spikes, gradient) in results.items():
        wrong = int((spikes != right).sum())
        yield Row(f"{name} {mode}", f"spikes, {sample.dtype}", wrong == 0, f"{wrong} of {sample.v.size} patterns wrong")
        yield sample.nan_row(f"{name} {mode}", spikes, gradient)
        if sample.dtype != "float64":  # NumPy has no wider dtype to compare with
            rounded = from_float(sample.exact, sample.dtype)
            yield sample.gradient_row(f"{name} {mode}", "gradient", gradient, rounded, "float64")
    for one, other in itertools.combinations(results, 2):
        if one[0] != other[0]:
            where = f"{' '.join(one)}, {' '.join(other)}"
            yield sample.gradient_row(where, "gradients agree", results[one][1], results[other][1], "each other")


def _shapes(surrogates: Sequence[Surrogate], name: str, side: Any) -> Iterator[tuple[Surrogate, Row]]:
    mode = side.MODES[0]
    for surrogate, shape in itertools.product(surrogates, ((), (0, 3), (2, 1, 3))):
        v = from_float(np.linspace(-1.0, 1.0, math.prod(shape)).reshape(shape), "float32")
        ((spikes, gradient),) = side.spikes_and_gradients([(surrogate, v, v, "float32")], mode)
        kept = spikes.shape == gradient.shape == shape
        yield surrogate, Row(f"{name} {mode}", f"shape {shape}", kept, f"spikes {spikes.shape}, gradient {gradient.shape}")


def _transforms(surrogates: Sequence[Surrogate], name: str, side: Any) -> Iterator[tuple[Surrogate, Row]]:
    points = np.array(TRANSFORM_POINTS, np.float32)
    interior = points[np.isfinite(points) & (points != 0)]
    wide = interior.astype(np.float64)
    c = np.linspace(0.5, 2.0, points.size, dtype=np.float32)

    def slope(surrogate: Surrogate) -> Array:
        return (surrogate.derivative(wide + 1e-6) - surrogate.derivative(wide - 1e-6)) / 2e-6

    first = [(each, "h", each.derivative(points)) for each in surrogates]
    second = [(each, "h′", slope(each)) for each in surrogates]
    owners = [(each, parameter) for each in surrogates if each.has_primitive() for parameter in each.numbers]
    third = [(each, f"dG/d{parameter}", _parameter_slope(each, parameter, wide)) for each, parameter in owners]
    yield from _pointwise_rows(name, side, side.FIRST, first, (points, c))
    yield from _pointwise_rows(name, side, side.SECOND, second, (interior, c[: interior.size]))
    if owners:
        p = np.stack([np.full_like(interior, each.numbers[parameter]) for each, parameter in owners], -1)
        arrays = (p, interior, np.linspace(0.5, 1.5, interior.size, dtype=np.float32))
        yield from _pointwise_rows(name, side, side.PARAMETER, third, arrays, [parameter for _, parameter in owners])


def _pointwise_rows(
    name: str,
    side: Any,
    ways: Sequence[str],
    slopes: Sequence[tuple[Surrogate, str, Array]],
    arrays: Sequence[Array],
    parameters: Sequence[str] = (),
) -> Iterator[tuple[Surrogate, Row]]:
    """Check that each way gives the cotangent, the last of the arrays, times the slope of each surrogate, told by its name.

    Arrays and parameters are those of `transform`; one column of an array serves all surrogates.
    """
    columns = [x if x.ndim == 2 else np.repeat(x[:, None], len(slopes), axis=1) for x in arrays]
    for way in ways:
        if note := side.NOT_CHECKED.get(way):
            for surrogate, what, _ in slopes:
                yield surrogate, Row(f"{name} {way}", f"cotangent · {what}", True, f"not checked: {note}")
            continue
        found = transform(side, way, [surrogate for surrogate, *_ in slopes], *columns, parameters=parameters)
        for i, (surrogate, what, slope) in enumerate(slopes):
            yield surrogate, _close(f"{name} {way}", f"cotangent · {what}", found[:, i], arrays[-1] * slope)


def _parameter_slope(surrogate: Surrogate, name: str, v: Array) -> Array:
    value = float(np.float32(surrogate.numbers[name]))
    step = 1e-5 * max(abs(value), 1.0)
    # A default may lie at the end of its domain.
    low, high = (surrogate.rounded(name, value + change, "float64") for change in (-step, step))
    below, above = (dataclasses.replace(surrogate, **{name: each}).primitive(v) for each in (low, high))
    return (above - below) / (high - low)


def _close(where: str, what: str, found: Array, expected: Array) -> Row:
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        off = np.abs(found - expected)
    passed = bool(np.allclose(found, expected, rtol=1e-4, atol=1e-6 * scale))
    worst = float(np.nanmax(off)) if np.isfinite(off).any() else 0.0
    return Row(where, what, passed, f"worst difference {worst:.2g}" + ("" if passed else f"; got {found}, expected {expected}"))
