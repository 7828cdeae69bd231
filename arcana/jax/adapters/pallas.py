"""Pallas: the spikes and h inside a kernel, by plain operations, where a rule of JAX's differentiation has no place.

A kernel that is lowered for a GPU takes no primitive but JAX's own, so an instance called inside one is refused; the kernel's
own `jax.custom_vjp` has these two instead. The docstring of `pseudo_derivative` says what Triton's lowering cannot do.
"""

from __future__ import annotations

import jax

from arcana._core import AnySurrogate, surrogate_of
from arcana.jax._call import Call, call_of
from arcana.jax._derivative import Derivative


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
    """Return h(v) in v's dtype.

    Triton's lowering in JAX 0.10 knows no `round`, no `reduce_precision` and no bits of a constant, so for a GPU
    `PeriodicExponential`, `SquarewaveFourier`, `QPseudoSpike` and `ClippedSTE` raise there; an interpreted kernel has all.

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
    return Derivative(call.formula, v, call.numbers).evaluate("derivative").astype(v.dtype)


def _call(v: jax.Array, surrogate: AnySurrogate, caller: str) -> Call:
    return call_of(v, surrogate_of(surrogate, caller, v), {})[0]
