"""`forward_mode`: the spike function of a surrogate under a name that says that it has forward mode."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from arcana._core import AnySurrogate, Surrogate, surrogate_of
from arcana.jax._function import spike


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class ForwardMode:
    """A surrogate's spike function: equal by value, a leafless pytree. Made by `forward_mode`.

    >>> from arcana.jax import ForwardMode, forward_mode
    >>> from arcana.surrogate import FastSigmoid
    >>> forward_mode(FastSigmoid(scale=25.0)) == ForwardMode(FastSigmoid(scale=25.0))
    True
    """

    surrogate: Surrogate

    def __call__(self, v: jax.Array, **parameters: Any) -> jax.Array:
        """Return the spikes of v; parameters given here replace the surrogate's."""
        return spike(v, self.surrogate, **parameters)


def forward_mode(surrogate: AnySurrogate) -> ForwardMode:
    """Return the spike function of a surrogate, as `lambda v: spike(v, surrogate)`.

    The plain functions have forward mode themselves, so this is the same function under the name that says it.

    Args:
        surrogate: any `Surrogate` instance.

    Raises:
        TypeError: surrogate is no Surrogate instance.

    >>> import jax, jax.numpy as jnp
    >>> from arcana.jax import forward_mode
    >>> from arcana.surrogate import FastSigmoid
    >>> v = jnp.array([-0.04, 0.0, 0.04])
    >>> jax.jvp(forward_mode(FastSigmoid(scale=25.0)), (v,), (jnp.ones_like(v),))[1]
    Array([0.25, 1.  , 0.25], dtype=float32)
    """
    return ForwardMode(surrogate_of(surrogate, "forward_mode"))
