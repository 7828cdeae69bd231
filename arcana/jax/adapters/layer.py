"""What `Spike` is in every module system of JAX: the checks of its arguments, its initial values, and its spikes."""

from __future__ import annotations

import dataclasses
import math
import numbers
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from arcana._core import AnySurrogate, Surrogate, checked_learnable, checked_potential, surrogate_of, warn_of_library
from arcana.jax._checks import ARRAYS
from arcana.jax._function import spike
from arcana.rules import Rule, checked_rule


class Layer(NamedTuple):
    """A layer as it was asked for.

    Attributes:
        surrogate: as it was given.
        threshold: as it was given: a number, or an array.
        learned: the initial value of each learnable parameter by name, "threshold" among them where it is learned.
    """

    surrogate: Surrogate
    threshold: float | np.ndarray[Any, Any]
    learned: dict[str, np.ndarray[Any, Any]]


def layer_of(
    surrogate: AnySurrogate,
    threshold: Any = 1.0,
    learnable: Iterable[str] | str = (),
    shape: int | Sequence[int] = 1,
    dtype: Any = jnp.float32,
    rule: Rule | None = None,
) -> Layer:
    """Return the checked arguments of a layer, and its initial values; the words are those of `arcana.torch.Spike`."""
    given = surrogate_of(surrogate, "Spike", threshold)
    names = checked_learnable(learnable, given)
    if rule is not None:
        checked_rule(rule, None)
    first = _checked_threshold(threshold)
    size = (shape,) if isinstance(shape, int) else tuple(shape)
    values = {name: np.asarray(first if name == "threshold" else getattr(given, name)) for name in names}
    # The threshold first, as torch's layer has it.
    ordered = sorted(values, key=lambda name: name != "threshold")
    learned = {name: np.broadcast_to(values[name], _broadcast(size, values[name])).astype(dtype) for name in ordered}
    return Layer(given, first, learned)


class Values(NamedTuple):
    """The values of an array, equal and hashable: what a module system asks of what is no state of a module."""

    data: bytes
    dtype: str
    shape: tuple[int, ...]


def values_of(threshold: float | np.ndarray[Any, Any]) -> float | Values:
    """Return a threshold as it was given, as a value that a module may hold beside its state."""
    if isinstance(threshold, np.ndarray):
        return Values(threshold.tobytes(), threshold.dtype.name, threshold.shape)
    return threshold


def array_of(values: float | Values) -> float | np.ndarray[Any, Any]:
    """Return the threshold of `values_of`."""
    if isinstance(values, Values):
        return np.frombuffer(values.data, jnp.dtype(values.dtype)).reshape(values.shape)
    return values


def first_values(surrogate: Surrogate, threshold: float | Values, name: str, present: Any) -> jax.Array:
    """Return what a parameter began with, in the dtype and shape that it has now."""
    return jnp.full_like(present, array_of(threshold) if name == "threshold" else getattr(surrogate, name))


def _checked_threshold(threshold: Any) -> float | np.ndarray[Any, Any]:
    if isinstance(threshold, numbers.Real) and not isinstance(threshold, bool):
        value = float(threshold)
    elif isinstance(threshold, (list, tuple)) or hasattr(threshold, "__array__"):
        value = np.asarray(threshold)
        if value.dtype.kind not in "iu" and not jnp.issubdtype(value.dtype, jnp.floating):
            msg = f"Spike: threshold must be an array of real numbers, got {value.dtype}"
            raise TypeError(msg)
    else:
        msg = f"Spike: threshold must be a number or an array, got {threshold!r} ({type(threshold).__name__})"
        raise TypeError(msg)
    if not np.isfinite(np.asarray(value, np.float64)).all():
        msg = f"Spike: threshold must be finite, got {threshold!r}"
        raise ValueError(msg)
    return value


def _broadcast(size: tuple[int, ...], given: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """Return the shape of a parameter of one size whose values were given in a shape."""
    try:
        return np.broadcast_shapes(size, given.shape)
    except ValueError:
        msg = f"Spike: threshold must broadcast to shape {size}, got shape {given.shape}"
        raise ValueError(msg) from None


_SUBTRACTING = ("brainpy_state", "jaxsnn", "slax", "snnax", "spyx")
"""Libraries whose neurons hand their spike function the potential less the threshold."""
_THROUGH = ("arcana", "contextlib", "equinox", "flax", "functools", "jax")
"""Packages through which a layer is called."""


def _summary(threshold: Any) -> str:
    """Write a threshold that is a number as it is, an array by its shape."""
    return repr(threshold) if isinstance(threshold, float) else f"of shape {threshold.shape}"


def spikes(
    v: Any, surrogate: Surrogate, threshold: Any, learned: Mapping[str, Any], rule: Rule | None = None, random: Any = None
) -> jax.Array:
    """Return spike(v − threshold) by a rule, with the learned values held inside their domains."""
    v = checked_potential(surrogate, v, ARRAYS)
    threshold = learned.get("threshold", threshold)
    if not isinstance(threshold, float) or threshold != 0:
        warn_of_library(_SUBTRACTING, _THROUGH, _summary(threshold), sys._getframe(1))
    held: dict[str, Any] = {name: _held(surrogate, name, value) for name, value in learned.items() if name != "threshold"}
    return spike(_difference(v, threshold), surrogate, rule=rule, random=random, **held)


def _held(surrogate: Surrogate, name: str, stored: Any) -> jax.Array:
    """Return a learnable parameter inside its domain, with the gradient of that value."""
    value = jnp.asarray(stored)
    if not surrogate.bounded(name):
        return value
    # Not in a half type, where the nearest value inside may be 0.
    wide = "float64" if value.dtype == jnp.float64 else "float32"
    low, high = surrogate.domain(name, wide)
    return ARRAYS.inside(value, low, high, wide)


def _difference(v: jax.Array, threshold: Any) -> jax.Array:
    """Return v − threshold in v's dtype, to which the threshold is rounded as a Python number is."""
    if isinstance(threshold, float):
        return v - threshold
    threshold = jnp.asarray(threshold)
    # The axes that it lacks, for those who have JAX refuse to add them.
    threshold = jnp.expand_dims(threshold, tuple(range(v.ndim - threshold.ndim)))
    if threshold.dtype == v.dtype or v.dtype not in (jnp.float16, jnp.bfloat16):
        return v - threshold.astype(v.dtype)
    # Its gradient is a sum, which a half type would round, or take for infinite: so the rounding is past differentiation.
    fixed = jax.lax.stop_gradient(threshold)
    rounded = fixed.astype(v.dtype).astype(jnp.float32) + (threshold - fixed).astype(jnp.float32)
    return (v.astype(jnp.float32) - rounded).astype(v.dtype)


def present(surrogate: Surrogate, learned: Mapping[str, Any]) -> Surrogate:
    """Return a surrogate with the present values of what is learned, where each has one value for all channels."""
    found = {name: _one_value(_held(surrogate, name, value)) for name, value in learned.items() if name != "threshold"}
    return dataclasses.replace(surrogate, **{name: value for name, value in found.items() if value is not None})


def _one_value(value: Any) -> float | None:
    """Return the value of an array that has one, in as many digits as tell it from its neighbours, else None."""
    if isinstance(value, Tracer) or value.size != 1 or not math.isfinite(number := float(value.reshape(()))):
        return None
    return number if value.dtype == jnp.float64 else float(str(np.float32(number)))
