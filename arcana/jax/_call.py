"""The arguments of a call, checked. What is the same at every call is found once, and kept with the surrogate's value."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arcana.jax._shape import Operands, Shape
from arcana.surrogate import Surrogate
from arcana.surrogate._base import resolved
from arcana.surrogate._namespace import compute_dtype

Arrays = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """A surrogate on potentials of one dtype, the same object for equal arguments.

    Attributes:
        shape: what is compiled for.
        numbers: the parameters that are numbers, rounded to the computing dtype.
    """

    shape: Shape
    numbers: Operands


def call_of(v: Any, surrogate: Surrogate, parameters: Mapping[str, Any]) -> tuple[Call, Arrays]:
    """The call, and the arrays among its parameters; all checked."""
    key = type(v), getattr(v, "dtype", None)
    if not parameters and isinstance(surrogate, Surrogate) and key in surrogate._calls:
        return surrogate._calls[key], {}
    if not isinstance(v, jax.Array):
        msg = f"{type(surrogate).__name__}: v must be a jax.Array, got {type(v).__module__}.{type(v).__qualname__}"
        raise TypeError(msg)
    if not parameters:
        call = _call_with_numbers(surrogate, v.dtype)
        surrogate._calls[key] = call
        return call, {}
    if all(isinstance(value, (int, float)) for value in parameters.values()):
        return _call_with_numbers(surrogate, v.dtype, **parameters), {}
    settings, values = resolved(surrogate, parameters)
    arrays = {name: _checked_array(surrogate, name, x, v) for name, x in values.items() if not isinstance(x, float)}
    numbers = tuple((name, x) for name, x in values.items() if name not in arrays)
    return _call(type(surrogate), tuple(settings.items()), numbers, v.dtype), arrays


# Typed, since a scale of True is an error and a scale of 1 is not.
@functools.lru_cache(maxsize=1024, typed=True)
def _call_with_numbers(surrogate: Surrogate, dtype: Any, /, **numbers: float) -> Call:
    settings, values = resolved(surrogate, numbers)
    return _call(type(surrogate), tuple(settings.items()), tuple(values.items()), dtype)


@functools.lru_cache(maxsize=1024)
def _call(
    definition: type[Surrogate], settings: tuple[tuple[str, Any], ...], numbers: tuple[tuple[str, float], ...], dtype: Any
) -> Call:
    computed = compute_dtype(definition.__name__, dtype.name)
    rounded = {name: np.dtype(computed).type(definition.rounded(name, value, computed)) for name, value in numbers}
    return Call(Shape(definition, settings), rounded)


def _checked_array(surrogate: Surrogate, name: str, value: Any, v: jax.Array) -> jax.Array:
    definition = type(surrogate).__name__
    if not isinstance(value, (jax.Array, np.ndarray, np.generic)):
        msg = f"{definition}: {name} must be a number or a jax.Array, got {value!r} ({type(value).__name__})"
        raise TypeError(msg)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        msg = f"{definition}: {name} must be a floating-point array, got {value.dtype}"
        raise TypeError(msg)
    sizes = zip(reversed(value.shape), reversed(v.shape), strict=False)
    if value.ndim > v.ndim or any(size not in (1, full) for size, full in sizes):
        msg = f"{definition}: {name} must broadcast to v's shape {v.shape}, got shape {value.shape}"
        raise ValueError(msg)
    return jnp.asarray(value)
