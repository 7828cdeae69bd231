"""FastSigmoid as one writes it without a library, fixed and with a scale that trains: what a parameter costs anyway.

It asks for no limits: an infinite potential makes NaN, and a scale may be negative.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch

SCALE = 10.0


class Fixed(torch.autograd.Function):
    """The scale is a number."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(v)
        return (v >= 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (v,) = ctx.saved_tensors
        return cotangent / (1 + (v * SCALE).abs()).square()


class Learnable(torch.autograd.Function):
    """The scale is a tensor, whose gradient is −Σ cotangent · h · v · |v|."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(v, scale)
        return (v >= 0).to(v.dtype)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, cotangent: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        v, scale = ctx.saved_tensors
        for_v = cotangent / (1 + (v * scale).abs()).square()
        return for_v, -(for_v * v * v.abs()).sum_to_size(scale.shape)


def torch_spikes(v: torch.Tensor, *scale: torch.Tensor) -> torch.Tensor:
    """Return the spikes of v, fixed where no scale is given."""
    spikes: Any = Learnable.apply(v, *scale) if scale else Fixed.apply(v)
    return spikes


@jax.custom_vjp
def _fixed(v: jax.Array) -> jax.Array:
    return (v >= 0).astype(v.dtype)


def _fixed_back(v: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
    return (cotangent / jnp.square(1 + jnp.abs(v * SCALE)),)


_fixed.defvjp(lambda v: (_fixed(v), v), _fixed_back)


@jax.custom_vjp
def _learnable(v: jax.Array, scale: jax.Array) -> jax.Array:
    return (v >= 0).astype(v.dtype)


def _learnable_back(kept: tuple[jax.Array, jax.Array], cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    v, scale = kept
    for_v = cotangent / jnp.square(1 + jnp.abs(v * scale))
    return for_v, -jnp.sum(for_v * v * jnp.abs(v))


_learnable.defvjp(lambda v, scale: (_learnable(v, scale), (v, scale)), _learnable_back)


def jax_spikes(v: jax.Array, *scale: jax.Array) -> jax.Array:
    """Return the spikes of v, fixed where no scale is given."""
    return _learnable(v, *scale) if scale else _fixed(v)
