"""The arguments of a call, checked. What is the same at every call is found once, and kept with the surrogate's value."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from arcana.jax._shape import Operands, Settings, Shape
from arcana.surrogate import Surrogate
from arcana.surrogate._base import resolved
from arcana.surrogate._caches import MOST, per_class_cache
from arcana.surrogate._checks import check_array, check_values, not_a_potential, number_of, surrogate_of
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

    def __repr__(self) -> str:
        """As the surrogate is written, for a printed jaxpr."""
        own = ", ".join(f"{name}={float(value):g}" for name, value in self.numbers.items())
        return f"{self.shape.definition.__name__}({own})"


def arguments(v: Any, surrogate: Any, caller: str) -> tuple[jax.Array, Surrogate]:
    """The potential as an array and the surrogate that is meant, as a call takes them."""
    if not isinstance(surrogate, Surrogate):
        surrogate = surrogate_of(surrogate, caller, v)
    if isinstance(v, jax.Array):
        return v, surrogate
    if hasattr(v, "__jax_array__"):
        return jnp.asarray(v), surrogate
    if isinstance(v, (np.ndarray, np.generic)):
        # Asked here, since jnp.asarray would make an array of numbers of another type.
        compute_dtype(type(surrogate).__name__, v.dtype.name)
        return jnp.asarray(v.astype(v.dtype.newbyteorder("="))), surrogate
    if type(v) is float:
        return jnp.asarray(v), surrogate
    raise not_a_potential(surrogate, v, "jax.Array", "jnp.asarray(v)")


def call_of(v: Any, surrogate: Surrogate, parameters: Mapping[str, Any]) -> tuple[Call, Arrays]:
    """The call, and the arrays among its parameters; all checked."""
    key = type(v), getattr(v, "dtype", None)
    if not parameters and key in surrogate._calls:
        return surrogate._calls[key], {}
    if not parameters:
        call = _call_with_numbers(surrogate, v.dtype)
        surrogate._calls[key] = call
        return call, {}
    if all(isinstance(value, (int, float)) for value in parameters.values()):
        if _call_with_numbers not in surrogate._calls:
            # Typed, since a scale of True is an error and a scale of 1 is not.
            cached = functools.lru_cache(maxsize=MOST, typed=True)(functools.partial(_call_with_numbers, surrogate))
            surrogate._calls[_call_with_numbers] = cached
        return surrogate._calls[_call_with_numbers](v.dtype, **parameters), {}
    settings, values = resolved(surrogate, parameters)
    arrays = {name: _checked_array(surrogate, name, x, v) for name, x in values.items() if _is_array(x)}
    numbers = tuple((name, _number(surrogate, name, x)) for name, x in values.items() if name not in arrays)
    return _call(type(surrogate), tuple(settings.items()), numbers, v.dtype), arrays


def _call_with_numbers(surrogate: Surrogate, dtype: Any, /, **numbers: float) -> Call:
    settings, values = resolved(surrogate, numbers)
    checked = tuple((name, _number(surrogate, name, value)) for name, value in values.items())
    return _call(type(surrogate), tuple(settings.items()), checked, dtype)


@per_class_cache
def _call(definition: type[Surrogate], settings: Settings, numbers: tuple[tuple[str, float], ...], dtype: Any) -> Call:
    computed = compute_dtype(definition.__name__, dtype.name)
    rounded = {name: np.dtype(computed).type(definition.rounded(name, value, computed)) for name, value in numbers}
    return Call(Shape(definition, settings), rounded)


def _is_array(value: Any) -> bool:
    return isinstance(value, (jax.Array, np.ndarray)) or hasattr(value, "__jax_array__")


def _number(surrogate: Surrogate, name: str, value: Any) -> float:
    return value if isinstance(value, float) else number_of(surrogate, name, value, "jax.Array")


def _checked_array(surrogate: Surrogate, name: str, given: Any, v: jax.Array) -> jax.Array:
    value = jnp.asarray(given) if hasattr(given, "__jax_array__") else given
    floating = jnp.issubdtype(value.dtype, jnp.floating)
    check_array(surrogate, name, value.dtype.name, "array", floating, value.shape, v.shape)
    computed = compute_dtype(type(surrogate).__name__, v.dtype.name)
    value = jnp.asarray(value) if floating else jnp.asarray(value).astype(computed)
    if not surrogate.bounded(name):
        return value
    if not _in_sight(value):
        return _inside(*surrogate.domain(name, computed), computed, value)
    seen = np.asarray(value)
    if seen.size:
        ends = (seen, seen) if seen.ndim == 0 else (seen.min(), seen.max())
        wide = "float64" if seen.dtype == np.float64 else "float32"
        check_values(surrogate, name, float(ends[0]), float(ends[1]), wide)
    return value


def _in_sight(value: jax.Array) -> bool:
    """Whether the values can be looked at without waiting for a device."""
    return not isinstance(value, Tracer) and value.is_fully_addressable and next(iter(value.devices())).platform == "cpu"


@functools.partial(jax.jit, static_argnums=(0, 1, 2), inline=True)
def _inside(least: float, greatest: float, computed: str, value: jax.Array) -> jax.Array:
    """Values that nobody could check: beyond a bound the formula is another function, so the nearest inside stands for it."""
    wide = value if value.dtype == np.float64 else value.astype(computed)
    held = jax.lax.clamp(wide.dtype.type(least), jax.lax.stop_gradient(wide), wide.dtype.type(greatest))
    # Plus 0, which has the gradient of a value that was not moved, so that a step can lead back.
    return held + (wide - jax.lax.stop_gradient(wide))
