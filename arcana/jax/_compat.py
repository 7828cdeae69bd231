"""The functions inside JAX that this backend rests on, private or without a promise, and the versions in which they differ.

Nothing else in `arcana` reads one of them. tests/jax/test_compat.py fails by the name of one that has vanished.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax

# The class of an operation, also in jax.extend.core, which takes 17 ms to import. The same in 0.7.2 to 0.12.
from jax._src.core import Primitive as Primitive
from jax._src.debugging import ordered_debug_effect
from jax.interpreters import ad, batching, mlir, partial_eval

# A tangent or a cotangent that is 0 and not there, with its type. The same in 0.7.2 to 0.12.
Zero = ad.Zero

# Whether an operand of a transposition is the one that the cotangent belongs to. The same in 0.7.2 to 0.12.
is_undefined_primal = ad.is_undefined_primal

# Where the rules of a primitive stand: forward mode, transposition, vmap. The same in 0.7.2 to 0.12.
primitive_jvps: dict[Primitive, Callable[..., Any]] = ad.primitive_jvps
primitive_transposes: dict[Primitive, Callable[..., Any]] = ad.primitive_transposes
primitive_batchers: Any = batching.primitive_batchers

# An operand with the batch as its first axis, repeated where it has none. The same in 0.7.2 to 0.12.
batch_first = batching.bdim_at_front

# What a primitive is compiled to: here the operations of a function. The same in 0.7.2 to 0.12.
register_lowering = mlir.register_lowering
lower_function = mlir.lower_fun

# How a primitive is split for a checkpoint into what runs now and what runs again. The same in 0.7.2 to 0.12.
partial_eval_rules: dict[Primitive, Callable[..., Any]] = partial_eval.partial_eval_jaxpr_custom_rules

# What keeps a call-back in its place: of jax.debug.callback(ordered=True), allowed in loops, checkpoints and custom rules. The
# same in 0.7.2 to 0.12.
ordered_effect = ordered_debug_effect

# A context that shares no trace with one of another value. The same in 0.7.2 to 0.12.
traced_apart = jax.make_user_context(None)


def tangent_type(x: Any) -> Any:
    """Return the type of x's tangent. A method of the type that jax.typeof gives, the same in 0.7.2 to 0.12."""
    return jax.typeof(x).to_tangent_aval()


def varying_axes(x: jax.Array) -> frozenset[str]:
    """Return the mesh axes over which x varies inside shard_map: `manual_axis_type` from 0.10 on, `vma` before."""
    kind = jax.typeof(x)
    return frozenset(kind.manual_axis_type.varying if hasattr(kind, "manual_axis_type") else kind.vma)


def vary_over(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """x marked as varying over mesh axes, which it did not: `pcast` from 0.8.2 on, `pvary` before (gone in 0.11)."""
    return jax.lax.pcast(x, axes, to="varying") if hasattr(jax.lax, "pcast") else jax.lax.pvary(x, axes)  # pyright: ignore[reportAttributeAccessIssue]


def enable_x64(value: bool) -> AbstractContextManager[Any]:
    """Return a context in which float64 is kept, or is not: of `jax` itself from 0.8 on, of `jax.experimental` before."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(value)
    from jax.experimental import enable_x64  # pyright: ignore[reportAttributeAccessIssue]

    return enable_x64(value)
