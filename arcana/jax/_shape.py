"""What JAX sees of a surrogate as static, and its formulas over arrays."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from arcana.jax._namespace import NAMESPACES, nonnegative, positive
from arcana.surrogate import Surrogate
from arcana.surrogate._base import evaluate_formula
from arcana.surrogate._namespace import FAR, compute_dtype
from arcana.surrogate._trace import Kept, Symbol, Trace, evaluate as evaluate_symbols, trace

Operands = Mapping[str, Any]


@functools.partial(jax.jit, inline=True)
def _fire(v: jax.Array) -> jax.Array:
    return nonnegative(v).astype(v.dtype)


@functools.partial(jax.jit, inline=True)
def _fire_above(v: jax.Array) -> jax.Array:
    return positive(v).astype(v.dtype)


@dataclasses.dataclass(frozen=True)
class Shape:
    """A definition and its settings: hashable, so equal surrogates share one compilation."""

    definition: type[Surrogate]
    settings: tuple[tuple[str, Any], ...]

    @functools.cached_property
    def fire(self) -> Callable[[jax.Array], jax.Array]:
        """The spikes of a potential: one of two jitted functions, whatever the surrogate."""
        return _fire if dict(self.settings)["fires_at_threshold"] else _fire_above

    def evaluate(self, which: str, v: jax.Array, numbers: Operands, arrays: Operands) -> jax.Array:
        """h or G in the computing dtype, parameters aligned to v."""
        dtype = self.dtype(v)
        aligned_values = {name: aligned(x.astype(dtype), v) for name, x in {**numbers, **arrays}.items()}
        space = NAMESPACES[dtype.name]
        y = evaluate_formula(self.definition, which, v.astype(dtype), space, aligned_values, dict(self.settings))
        return jnp.broadcast_to(jnp.asarray(y).astype(dtype), v.shape)

    def derivative(self, v: jax.Array, numbers: Operands, arrays: Operands) -> jax.Array:
        """h of v, whose own derivative at ±inf is 0."""
        # By the chain rule a formula in v² has inf · 0 there: forward mode drops it after h, reverse mode before v.
        infinite = jnp.isinf(v)
        h = self.evaluate("derivative", jnp.where(infinite, jax.lax.stop_gradient(v), v), numbers, arrays)
        return jnp.where(infinite, jax.lax.stop_gradient(h), h)

    def gate(self, v: jax.Array, numbers: Operands) -> jax.Array:
        """The comparison that decides between the values of h."""
        traced = self.trace(tuple(numbers))
        assert traced is not None
        assert traced.gate is not None
        return _evaluate_trace(traced, traced.gate, {traced.v: v.astype(self.dtype(v))}, numbers, self.dtype(v))

    def derivative_from(self, kind: Kept, kept: jax.Array | None, numbers: Operands, like: jax.Array) -> jax.Array:
        """h of the spikes, of the gate or of nothing, in the computing dtype of an array of a potential's dtype."""
        traced = self.trace(tuple(numbers))
        assert traced is not None
        values: dict[Symbol, Any] = {}
        if kept is not None:
            assert traced.gate is not None
            values = {traced.gate: kept if kind is Kept.MASK else kept != 0}
        return _evaluate_trace(traced, traced.h, values, numbers, self.dtype(like))

    def trace(self, numbers: tuple[str, ...]) -> Trace | None:
        """The derivative as data, with the names of its parameters; None where it cannot be traced."""
        return trace(self.definition, self.settings, numbers)

    def sensitivities(self, v: jax.Array, numbers: Operands, arrays: Operands) -> dict[str, jax.Array]:
        """dG/dparameter at every element of v, for each of the arrays; at ±inf that of ±FAR; none without a primitive."""
        if not arrays or not self.definition.has_primitive():
            return {}
        dtype = self.dtype(v)
        finite = jnp.where(jnp.isinf(v), jnp.sign(v).astype(dtype) * dtype.type(FAR[dtype.name]), v.astype(dtype))

        def primitive(expanded: Operands) -> jax.Array:
            return self.evaluate("primitive", finite, numbers, expanded)

        expanded = {name: jnp.broadcast_to(aligned(x.astype(dtype), v), v.shape) for name, x in arrays.items()}
        value, pullback = jax.vjp(primitive, expanded)
        return pullback(jnp.ones_like(value))[0]

    def dtype(self, v: jax.Array) -> Any:
        """The computing dtype for a potential."""
        return jnp.dtype(compute_dtype(self.definition.__name__, v.dtype.name))


def _evaluate_trace(traced: Trace, result: Symbol, values: dict[Symbol, Any], numbers: Operands, dtype: Any) -> jax.Array:
    values |= {symbol: numbers[name] for name, symbol in traced.parameters.items()}
    evaluate_symbols([result], values, NAMESPACES[dtype.name], jnp.zeros((), dtype))
    return values[result]


def aligned(x: jax.Array, v: jax.Array) -> jax.Array:
    """x with leading axes of 1 up to v's rank, which strict rank promotion asks for; a 0-d x as it is."""
    return x if x.ndim == 0 else jax.lax.expand_dims(x, range(v.ndim - x.ndim))
