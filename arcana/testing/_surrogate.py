"""The conformance suite of one surrogate, a user's own included."""

from __future__ import annotations

import dataclasses
import importlib
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
    instance = surrogate() if isinstance(surrogate, type) else surrogate
    sides = {name: importlib.import_module(f"arcana.{name}._conformance") for name in backends}
    rows = list(definition_rows(instance))
    for name, side in sides.items():
        rows += _numbers(instance, name, side)
        rows += _transforms(instance, name, side)
    report = Report(repr(instance), tuple(rows))
    if not report.passed:
        raise ConformanceError(report)
    return report


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


def _numbers(surrogate: Surrogate, name: str, side: Any) -> Iterator[Row]:
    for dtype in BITS:
        v = hard_sample(dtype)
        c = from_float(np.random.default_rng(1).uniform(0.5, 2, v.size), dtype)
        exact, condition = _reference(surrogate, to_float(v, dtype), to_float(c, dtype))
        rounded = from_float(exact, dtype)
        # Half types are computed in float32: its rounding is what the condition number multiplies.
        condition = condition * COMPUTED_FINER[dtype]
        smallest = float(np.finfo(np.float32 if dtype == "bfloat16" else dtype).tiny)
        bound = 4 * (1 + condition)
        for mode in side.MODES:
            spikes, gradient = side.spikes_and_gradient(surrogate, v, c, dtype, mode)
            wrong = int((spikes != exact_spikes(v, dtype, surrogate.fires_at_threshold)).sum())
            yield Row(f"{name} {mode}", f"spikes, {dtype}", wrong == 0, f"{wrong} of {v.size} patterns wrong")
            if dtype == "float64":
                continue  # there is no wider dtype in NumPy to compare with
            error = np.where(np.abs(exact) > 8 * smallest, ulp_difference(gradient, rounded, dtype), 0)
            detail = f"{int(error.max())} ULP at most from float64"
            if not (error <= bound).all():
                worst = int(np.argmax(error - bound))
                detail += f"; {int(error[worst])} at v = {to_float(v, dtype)[worst]!r}, bound {bound[worst]:.3g}"
            yield Row(f"{name} {mode}", f"gradient, {dtype}", bool((error <= bound).all()), detail)


def _transforms(surrogate: Surrogate, name: str, side: Any) -> Iterator[Row]:
    v = np.array(TRANSFORM_POINTS, np.float32)
    c = np.linspace(0.5, 2.0, v.size, dtype=np.float32)
    plain = c * surrogate.derivative(v)
    for way in side.FIRST:
        yield _close(f"{name} {way}", "cotangent · h", side.transform("first", way, surrogate, v, c), plain)
    interior = v[np.isfinite(v) & (v != 0)]
    c = c[: interior.size]
    wide = interior.astype(np.float64)
    slope = (surrogate.derivative(wide + 1e-6) - surrogate.derivative(wide - 1e-6)) / 2e-6
    for way in side.SECOND:
        yield _close(f"{name} {way}", "cotangent · h′", side.transform("second", way, surrogate, interior, c), c * slope)
    if not surrogate.has_primitive():
        return
    for parameter, value in surrogate.numbers.items():
        p = np.full_like(interior, value)
        rise = _parameter_slope(surrogate, parameter, p.astype(np.float64), wide)
        for way in side.PARAMETER:
            result = side.transform("parameter", way, surrogate, p, interior, c, parameter=parameter)
            yield _close(f"{name} {way}", f"cotangent · dG/d{parameter}", result, c * rise)


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
