"""`xp` for JAX arrays."""

from __future__ import annotations

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


def spike(v: jax.Array, *, at_zero: bool = True) -> jax.Array:
    """1[v >= 0], or 1[v > 0], in v's dtype, from v's bits: XLA on CPU would take a subnormal for zero."""
    integer = np.dtype(f"int{v.dtype.itemsize * 8}")
    bits = jax.lax.bitcast_convert_type(v, integer)
    infinity = np.array(np.inf, v.dtype).view(integer)[()]
    fires = (bits > 0) & (bits <= infinity)
    if at_zero:
        fires |= (bits == 0) | (bits == np.iinfo(integer).min)
    return fires.astype(v.dtype)


class JaxNamespace(Namespace):
    """jax.numpy's own functions, save abs at 0 and the exact spike."""

    abs = staticmethod(_abs)
    arctan = staticmethod(jnp.arctan)
    cos = staticmethod(jnp.cos)
    divide = staticmethod(jnp.divide)
    erfc = staticmethod(jax.lax.erfc)
    exp = staticmethod(jnp.exp)
    expm1 = staticmethod(jnp.expm1)
    log = staticmethod(jnp.log)
    log1p = staticmethod(jnp.log1p)
    reciprocal = staticmethod(jnp.reciprocal)
    round = staticmethod(jnp.round)
    sign = staticmethod(jnp.sign)
    sin = staticmethod(jnp.sin)
    spike = staticmethod(spike)
    sqrt = staticmethod(jnp.sqrt)
    square = staticmethod(jnp.square)
    where = staticmethod(jnp.where)
    zeros_like = staticmethod(jnp.zeros_like)


NAMESPACE = JaxNamespace()
