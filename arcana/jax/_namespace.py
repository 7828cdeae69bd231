"""`xp` for JAX arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arcana.surrogate._namespace import Namespace


@jax.custom_jvp
def _abs(v: jax.Array) -> jax.Array:
    return jnp.abs(v)


@_abs.defjvp
def _abs_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    # JAX's own |v|' at 0 is 1; sign makes it 0, as in torch.
    return _abs(*primals), jnp.sign(*primals) * tangents[0]


def positive(v: jax.Array) -> jax.Array:
    """v > 0 from v's bits: XLA on CPU would take a subnormal for zero."""
    bits, infinity = _bits(v)
    return (bits > 0) & (bits <= infinity)


def nonnegative(v: jax.Array) -> jax.Array:
    """v >= 0 from v's bits."""
    bits, infinity = _bits(v)
    return ((bits >= 0) & (bits <= infinity)) | (bits == np.iinfo(bits.dtype).min)


def _bits(v: jax.Array) -> tuple[jax.Array, Any]:
    """v's bits as signed integers, and those of +inf; beyond them lies NaN, and the least integer is −0.0."""
    integer = np.dtype(f"int{v.dtype.itemsize * 8}")
    return jax.lax.bitcast_convert_type(v, integer), np.array(np.inf, v.dtype).view(integer)[()]


def spike(v: jax.Array) -> jax.Array:
    """1[v >= 0] in v's dtype."""
    return nonnegative(v).astype(v.dtype)


def _decay(x: jax.Array, rate: jax.Array | float) -> jax.Array:
    return jnp.exp(x * -rate)


def _maximum(x: jax.Array, bound: jax.Array | float) -> jax.Array:
    # jnp.maximum halves the derivative at a tie.
    return jnp.where(x <= bound, bound, x)


def _minimum(x: jax.Array, bound: jax.Array | float) -> jax.Array:
    return jnp.where(x >= bound, bound, x)


class JaxNamespace(Namespace):
    """jax.numpy's own functions, save abs at 0 and the exact comparisons with 0."""

    abs = staticmethod(_abs)
    arctan = staticmethod(jnp.arctan)
    cos = staticmethod(jnp.cos)
    decay = staticmethod(_decay)
    divide = staticmethod(jnp.divide)
    erf = staticmethod(jax.lax.erf)
    erfc = staticmethod(jax.lax.erfc)
    exp = staticmethod(jnp.exp)
    expm1 = staticmethod(jnp.expm1)
    fmod = staticmethod(jnp.fmod)
    log = staticmethod(jnp.log)
    log1p = staticmethod(jnp.log1p)
    maximum = staticmethod(_maximum)
    minimum = staticmethod(_minimum)
    nonnegative = staticmethod(nonnegative)
    positive = staticmethod(positive)
    power = staticmethod(jnp.power)
    reciprocal = staticmethod(jnp.reciprocal)
    relu = staticmethod(jax.nn.relu)
    round = staticmethod(jnp.round)
    sign = staticmethod(jnp.sign)
    sin = staticmethod(jnp.sin)
    spike = staticmethod(spike)
    sqrt = staticmethod(jnp.sqrt)
    square = staticmethod(jnp.square)
    where = staticmethod(jnp.where)
    zeros_like = staticmethod(jnp.zeros_like)


NAMESPACE = JaxNamespace()
