"""The conformance suite of one surrogate, a user's own included."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from arcana.surrogate import Surrogate
from arcana.testing._definition import definition_rows
from arcana.testing._report import ConformanceError, Report, Row
from arcana.testing._values import BITS, Array, from_float, hard_sample, to_float, ulp_difference

COMPUTED_FINER = {"float64": 1.0, "float32": 1.0, "float16": 2.0**-13, "bfloat16": 2.0**-16}
"""How many times finer a dtype is computed than it is stored."""

TRANSFORM_POINTS = (-np.inf, -2.0, -0.9, -0.4, -0.03, -0.0, 0.0, 0.02, 0.3, 0.7, 1.6, np.inf)


def check_surrogate(surrogate: Surrogate | type[Surrogate], backends: Sequence[str] = ("torch", "jax")) -> Report:
    """Check a definition and what each backend makes of it.

    Args:
        surrogate: an instance, or a class whose parameters all have defaults.
        backends: the backends to check; each must be installed.

    Returns:
        The report; printed, it is a table with a line a check.

    Raises:
        ConformanceError: a check failed; the message holds the failing lines.
        ImportError: a backend is not installed.
    """
    (report,) = reports([surrogate() if isinstance(surrogate, type) else surrogate], backends)
    if not report.passed:
        raise ConformanceError(report)
    return report


def reports(surrogates: Sequence[Surrogate], backends: Sequence[str]) -> list[Report]:
    """A report of each surrogate. They pass each transform together, so that it is compiled once for all of them."""
    sides = {name: importlib.import_module(f"arcana.{name}._conformance") for name in backends}
    rows = {surrogate: list(definition_rows(surrogate)) for surrogate in surrogates}
    for name, side in sides.items():
        for surrogate, row in itertools.chain(_numbers(surrogates, name, side), _transforms(surrogates, name, side)):
            rows[surrogate].append(row)
    return [Report(repr(surrogate), tuple(rows[surrogate])) for surrogate in surrogates]


def exact_spikes(bits: Array, dtype: str, fires_at_threshold: bool = True) -> Array:
    """The spikes of bit patterns, as bit patterns, from the integers alone."""
    infinity = from_float(np.array(np.inf), dtype)
    zeros = (bits << bits.dtype.type(1)) == 0
    fires = ((bits <= infinity) & ~zeros) | (zeros & fires_at_threshold)
    return np.where(fires, from_float(np.array(1.0), dtype), bits.dtype.type(0))


def _reference(surrogate: Surrogate, v: Array, c: Array) -> tuple[Array, Array]:
    """c · h(v) in float64, and the condition number |v·h′/h| that rounding v by one unit would bring."""
    with np.errstate(all="ignore"):
        v, c = v.astype(np.float64), c.astype(np.float64)
        h = surrogate.derivative(v)
        step = np.maximum(np.abs(v), 1e-6) * 1e-6
        slope = (surrogate.derivative(v + step) - surrogate.derivative(v - step)) / (2 * step)
        condition = np.abs(np.where(h != 0, v * slope / h, 0))
        return c * h, np.where(np.isfinite(condition), condition, 0)


def _numbers(surrogates: Sequence[Surrogate], name: str, side: Any) -> Iterator[tuple[Surrogate, Row]]:
    cases = number_cases(surrogates)
    for mode in side.MODES:
        results = side.spikes_and_gradients(cases, mode)
        for (surrogate, v, c, dtype), (spikes, gradient) in zip(cases, results, strict=True):
            wrong = int((spikes != exact_spikes(v, dtype, surrogate.fires_at_threshold)).sum())
            yield surrogate, Row(f"{name} {mode}", f"spikes, {dtype}", wrong == 0, f"{wrong} of {v.size} patterns wrong")
            if dtype != "float64":  # there is no wider dtype in NumPy to compare with
                yield surrogate, _gradient(f"{name} {mode}", surrogate, v, c, gradient, dtype)


def number_cases(surrogates: Sequence[Surrogate]) -> list[tuple[Surrogate, Array, Array, str]]:
    """Each surrogate on the hard sample of each dtype, with a cotangent: (surrogate, v, c, dtype)."""
    patterns = {dtype: hard_sample(dtype) for dtype in BITS}
    cotangents = {dtype: from_float(np.random.default_rng(1).uniform(0.5, 2, v.size), dtype) for dtype, v in patterns.items()}
    return [(surrogate, v, cotangents[dtype], dtype) for surrogate in surrogates for dtype, v in patterns.items()]


def _gradient(where: str, surrogate: Surrogate, v: Array, c: Array, gradient: Array, dtype: str) -> Row:
    exact, condition = _reference(surrogate, to_float(v, dtype), to_float(c, dtype))
    # Half types are computed in float32: its rounding is what the condition number multiplies.
    bound = 4 * (1 + condition * COMPUTED_FINER[dtype])
    smallest = float(np.finfo(np.float32 if dtype == "bfloat16" else dtype).tiny)
    error = np.where(np.abs(exact) > 8 * smallest, ulp_difference(gradient, from_float(exact, dtype), dtype), 0)
    detail = f"{int(error.max())} ULP at most from float64"
    if not (error <= bound).all():
        worst = int(np.argmax(error - bound))
        detail += f"; {int(error[worst])} at v = {to_float(v, dtype)[worst]!r}, bound {bound[worst]:.3g}"
    return Row(where, f"gradient, {dtype}", bool((error <= bound).all()), detail)


def _transforms(surrogates: Sequence[Surrogate], name: str, side: Any) -> Iterator[tuple[Surrogate, Row]]:
    points = np.array(TRANSFORM_POINTS, np.float32)
    v, c = _for_each(surrogates, points), _for_each(surrogates, np.linspace(0.5, 2.0, points.size, dtype=np.float32))
    for way in side.FIRST:
        found = side.transform("first", way, surrogates, v, c)
        for i, surrogate in enumerate(surrogates):
            expected = c[:, i] * surrogate.derivative(points)
            yield surrogate, _close(f"{name} {way}", "cotangent · h", found[:, i], expected)
    interior = points[np.isfinite(points) & (points != 0)]
    wide, v, c = interior.astype(np.float64), _for_each(surrogates, interior), c[: interior.size]
    for way in side.SECOND:
        found = side.transform("second", way, surrogates, v, c)
        for i, surrogate in enumerate(surrogates):
            slope = (surrogate.derivative(wide + 1e-6) - surrogate.derivative(wide - 1e-6)) / 2e-6
            yield surrogate, _close(f"{name} {way}", "cotangent · h′", found[:, i], c[:, i] * slope)
    owners = [(surrogate, parameter) for surrogate in surrogates if surrogate.has_primitive() for parameter in surrogate.numbers]
    if owners:
        yield from _parameters(owners, name, side, interior)


def _parameters(owners: Sequence[tuple[Surrogate, str]], name: str, side: Any, v: Array) -> Iterator[tuple[Surrogate, Row]]:
    surrogates, parameters = zip(*owners, strict=True)
    c = np.linspace(0.5, 1.5, v.size, dtype=np.float32)
    p = np.stack([np.full_like(v, surrogate.numbers[parameter]) for surrogate, parameter in owners], -1)
    for way in side.PARAMETER:
        arrays = (p, _for_each(owners, v), _for_each(owners, c))
        found = side.transform("parameter", way, surrogates, *arrays, parameters=parameters)
        for i, (surrogate, parameter) in enumerate(owners):
            expected = c * _parameter_slope(surrogate, parameter, p[:, i].astype(np.float64), v.astype(np.float64))
            yield surrogate, _close(f"{name} {way}", f"cotangent · dG/d{parameter}", found[:, i], expected)


def _for_each(owners: Sequence[Any], x: Array) -> Array:
    """x as a column for each of the owners."""
    return np.repeat(x[:, None], len(owners), axis=1)


def _parameter_slope(surrogate: Surrogate, name: str, p: Array, v: Array) -> Array:
    value = float(p.flat[0])
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
