"""The answers to what the checks of a call ask about JAX's arrays."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from arcana._core import Arrays


class _JaxArrays:
    """The arrays of JAX, see `Arrays`. What its own functions convert is taken: arrays of NumPy, Flax's variables, floats."""

    kind = "jax.Array"
    noun = "array"
    convert = "jnp.asarray(v)"

    def potential(self, v: Any) -> jax.Array | None:
        if isinstance(v, jax.Array):
            return v
        if isinstance(v, (np.ndarray, np.generic)):
            # Numbers of another type stay as they are and are refused by their dtype; jnp.asarray would make others of them.
            return jnp.asarray(v.astype(v.dtype.newbyteorder("="))) if "float" in v.dtype.name else v  # pyright: ignore[reportReturnType]
        return jnp.asarray(v) if type(v) is float or hasattr(v, "__jax_array__") else None

    def parameter(self, value: Any) -> jax.Array | None:
        if isinstance(value, jax.Array):
            return value
        return jnp.asarray(value) if isinstance(value, np.ndarray) or hasattr(value, "__jax_array__") else None

    def dtype(self, x: Any) -> str:
        return x.dtype.name

    def is_floating(self, x: jax.Array) -> bool:
        return jnp.issubdtype(x.dtype, jnp.floating)

    def cast(self, x: jax.Array, dtype: str) -> jax.Array:
        return x.astype(dtype)

    def ends(self, x: jax.Array) -> tuple[float, float, str] | None:
        if isinstance(x, Tracer) or not x.is_fully_addressable or next(iter(x.devices())).platform != "cpu" or not x.size:
            return None
        seen = np.asarray(x)
        low, high = (seen, seen) if seen.ndim == 0 else (seen.min(), seen.max())
        return float(low), float(high), "float64" if seen.dtype == np.float64 else "float32"

    def inside(self, x: jax.Array, low: float, high: float, dtype: str) -> jax.Array:
        return _inside(low, high, dtype, x)


ARRAYS: Arrays = _JaxArrays()


@functools.partial(jax.jit, static_argnums=(0, 1, 2), inline=True)
def _inside(low: float, high: float, computed: str, value: jax.Array) -> jax.Array:
    """Return values that nobody could check, moved to the nearest inside: beyond a bound the formula is another function."""
    wide = value if value.dtype == np.float64 else value.astype(computed)
    held = jax.lax.clamp(wide.dtype.type(low), jax.lax.stop_gradient(wide), wide.dtype.type(high))
    # Plus 0, which has the gradient of a value that was not moved, so that a step can lead back.
    return held + (wide - jax.lax.stop_gradient(wide))
