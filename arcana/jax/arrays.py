"""JAX for `compare` and `record` of `arcana.testing`: arrays in and out, a vector-Jacobian product, and the settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arcana.jax._compat import enable_x64 as enable_x64

Array = np.ndarray[Any, Any]


def from_numpy(array: Array) -> jax.Array:
    """Make an array of JAX; float64 becomes float32 while `jax_enable_x64` is off, as in the user's own code."""
    return jnp.array(array)


def to_numpy(value: Any) -> Array:
    """Return the array of one of JAX's, or of anything that NumPy takes."""
    return np.asarray(value)


def check(name: str, array: Array) -> None:
    """Raise a TypeError if JAX would keep only a part of each integer."""
    if array.dtype.kind in "iu" and not np.array_equal(from_numpy(array), array):
        msg = f"{name} holds integers that JAX cuts off while jax_enable_x64 is off"
        raise TypeError(msg)


def is_array(value: Any) -> bool:
    """Whether a value is one of this framework's arrays."""
    return isinstance(value, jax.Array)


def vjp(
    function: Callable[[Sequence[Any]], dict[str, Any]], leaves: Sequence[Array], differentiable: Sequence[int]
) -> tuple[dict[str, Any], Callable[[dict[str, Array]], list[Array | None]]]:
    """Return the outputs by name, and a function from cotangents by output to the gradients of the differentiable leaves.

    JAX's pullback of complex numbers is the transpose and torch's the adjoint; here both are torch's.
    """
    inputs = [from_numpy(leaf) for leaf in leaves]

    def with_floats_apart(asked: list[jax.Array]) -> tuple[dict[str, jax.Array], dict[str, Any]]:
        merged = list(inputs)
        for i, each in zip(differentiable, asked, strict=True):
            merged[i] = each
        outputs = function(merged)
        return {name: jnp.asarray(each) for name, each in outputs.items() if jnp.issubdtype(each.dtype, jnp.inexact)}, outputs

    floats, pullback, outputs = jax.vjp(with_floats_apart, [inputs[i] for i in differentiable], has_aux=True)

    def gradients(cotangents: dict[str, Array]) -> list[Array | None]:
        zeros = {name: jnp.zeros_like(value) for name, value in floats.items()}
        full = {**zeros, **{name: jnp.asarray(value.conj()).astype(floats[name].dtype) for name, value in cotangents.items()}}
        return [to_numpy(each).conj() for each in pullback(full)[0]]

    return outputs, gradients


def settings() -> dict[str, str]:
    """Return the parts of JAX's state that change numbers."""
    precision = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    wide = jax.dtypes.canonicalize_dtype(np.float64) == np.float64
    tiny = jnp.full(1, np.finfo(np.float32).tiny, jnp.float32)
    return {
        "version": jax.__version__,
        "device": jax.default_backend(),
        "float64": "kept (jax_enable_x64)" if wide else "becomes float32 (jax_enable_x64 is off)",
        "matmul precision": precision or "default",
        "subnormals": "kept" if (tiny * tiny.dtype.type(0.5))[0] > 0 else "flushed to zero",
        "threads": f"of {os.cpu_count()} cores; XLA_FLAGS={os.environ.get('XLA_FLAGS', '')!r}",
    }
