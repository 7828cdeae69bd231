"""Pallas: the spikes and h inside a kernel, by plain operations, where a rule of JAX's differentiation has no place.

A kernel that is lowered for a GPU takes no primitive but JAX's own, so an instance called inside one is refused; the kernel's
own `jax.custom_vjp` has these two instead.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from arcana._core import SIGNIFICANT_BITS, AnySurrogate, Namespace, compute_dtype, surrogate_of
from arcana.jax._call import Call, call_of
from arcana.jax._namespace import JaxNamespace


def _round(x: jax.Array) -> jax.Array:
    """Return the nearest whole number, the even one of two, as `jnp.round` does."""
    below = jnp.floor(x)
    part = x - below
    odd = below != jnp.floor(below * 0.5) * 2
    return jnp.where((part > 0.5) | ((part == 0.5) & odd), below + 1, below)


class _KernelNamespace(JaxNamespace):
    """The functions of JAX from operations that Triton's lowering has, without the detours that are for XLA's CPU code."""

    compound = Namespace.compound
    round = staticmethod(_round)
    sin_of_turns = Namespace.sin_of_turns


_NAMESPACES = {dtype: _KernelNamespace(dtype) for dtype in SIGNIFICANT_BITS}
"""By computing dtype."""


def fire(v: jax.Array, surrogate: AnySurrogate) -> jax.Array:
    """Return the spikes of v, without a gradient: those of `spike(v, surrogate)`, bit for bit.

    Args:
        v: potential minus threshold: any shape; float64, float32, float16 or bfloat16, which the spikes keep.
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters.

    Raises:
        TypeError: surrogate is none.

    >>> import jax.numpy as jnp
    >>> from arcana.surrogate import FastSigmoid
    >>> fire(jnp.array([-1.0, 0.0]), FastSigmoid())
    Array([0., 1.], dtype=float32)
    """
    return _call(v, surrogate, "fire").fire(v)


def pseudo_derivative(v: jax.Array, surrogate: AnySurrogate) -> jax.Array:
    """Return h(v) in v's dtype: the numbers of `surrogate.derivative(v)`, up to the rounding of exp, sin and their like.

    Triton takes every surrogate of the catalogue; `compiler_params=jax.experimental.pallas.triton.CompilerParams()` of
    `pallas_call` asks for it.

    Args:
        v: potential minus threshold: any shape; float64, float32, float16 or bfloat16, which h keeps.
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters.

    Raises:
        TypeError: surrogate is none.

    >>> import jax.numpy as jnp
    >>> from arcana.surrogate import FastSigmoid
    >>> pseudo_derivative(jnp.array([-0.1, 0.0]), FastSigmoid())
    Array([0.25, 1.  ], dtype=float32)
    """
    call = _call(v, surrogate, "pseudo_derivative")
    dtype = compute_dtype("pseudo_derivative", v.dtype.name)
    h = call.formula.evaluate("derivative", v.astype(dtype), _NAMESPACES[dtype], call.numbers)
    return jnp.broadcast_to(jnp.asarray(h, v.dtype), v.shape)


def _call(v: jax.Array, surrogate: AnySurrogate, caller: str) -> Call:
    return call_of(v, surrogate_of(surrogate, caller, v), {})[0]
