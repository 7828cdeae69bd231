"""A call: what is the same at every call is found once, and kept with the surrogate's value."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from arcana._core import AT_ZERO, MOST, Formula, Surrogate, Thresholds, checked_call, compute_dtype, per_class_cache
from arcana.jax._checks import ARRAYS
from arcana.jax._namespace import nonnegative, positive

Arrays = dict[str, jax.Array]


@functools.partial(jax.jit, inline=True)
def _fire(v: jax.Array) -> jax.Array:
    return nonnegative(v).astype(v.dtype)


@functools.partial(jax.jit, inline=True)
def _fire_above(v: jax.Array) -> jax.Array:
    return positive(v).astype(v.dtype)


def fire_of(formula: Formula) -> Any:
    """Return the function that gives the spikes of a potential: one of two jitted ones, whatever the surrogate."""
    return _fire if formula.fires_at_threshold else _fire_above


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """A surrogate on potentials of one dtype, the same object for equal arguments.

    Attributes:
        formula: what is compiled for.
        numbers: the parameters that are numbers, rounded to the computing dtype.
    """

    formula: Formula
    numbers: Mapping[str, Any]

    @functools.cached_property
    def fire(self) -> Any:
        """What `spike` calls outside every transform."""
        return fire_of(self.formula)

    def __repr__(self) -> str:
        """Write the call as its surrogate is written, for a printed jaxpr."""
        own = ", ".join(f"{name}={float(value):g}" for name, value in self.numbers.items())
        return f"{self.formula.definition.__name__}({own})"


def call_of(
    v: jax.Array, surrogate: Surrogate, parameters: Mapping[str, Any], thresholds: Thresholds = AT_ZERO
) -> tuple[Call, Arrays]:
    """Return the call, made once for equal arguments, and the arrays among its parameters; all checked."""
    if not parameters:
        key = (type(v), v.dtype) if thresholds is AT_ZERO else (type(v), v.dtype, thresholds)
        if key not in surrogate._calls:
            surrogate._calls[key] = _call_with_numbers(surrogate, v.dtype, thresholds)
        return surrogate._calls[key], {}
    if all(isinstance(value, (int, float)) for value in parameters.values()):
        if _call_with_numbers not in surrogate._calls:
            # Typed, since a scale of True is an error and a scale of 1 is not.
            cached = functools.lru_cache(maxsize=MOST, typed=True)(functools.partial(_call_with_numbers, surrogate))
            surrogate._calls[_call_with_numbers] = cached
        return surrogate._calls[_call_with_numbers](v.dtype, thresholds, **parameters), {}
    formula, values = checked_call(surrogate, v, parameters, ARRAYS, thresholds)
    arrays = {name: value for name, value in values.items() if isinstance(value, jax.Array)}
    numbers = tuple((name, value) for name, value in values.items() if name not in arrays)
    return _call(formula, numbers, v.dtype), arrays


def _call_with_numbers(surrogate: Surrogate, dtype: Any, thresholds: Thresholds, /, **numbers: float) -> Call:
    formula, values = checked_call(surrogate, jax.ShapeDtypeStruct((), dtype), numbers, ARRAYS, thresholds)
    return _call(formula, tuple(values.items()), dtype)


@per_class_cache
def _call(formula: Formula, numbers: tuple[tuple[str, float], ...], dtype: Any) -> Call:
    computed = compute_dtype(formula.definition.__name__, dtype.name)
    round_to = formula.definition.rounded
    return Call(formula, {name: np.dtype(computed).type(round_to(name, value, computed)) for name, value in numbers})
