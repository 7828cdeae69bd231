"""What JAX sees of a surrogate as static, and its formulas over arrays."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from arcana.jax._namespace import NAMESPACES, infinite, nonnegative, positive
from arcana.surrogate import Surrogate
from arcana.surrogate._base import evaluate_formula
from arcana.surrogate._namespace import FAR, compute_dtype
from arcana.surrogate._trace import Kept, Symbol, Trace, evaluate as evaluate_symbols, trace

Operands = Mapping[str, Any]
Settings = tuple[tuple[str, Any], ...]

FLAT_FROM = 2.0**20
"""Nearer to the threshold no factor of a formula overflows where its result is 0."""


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
    settings: Settings

    @functools.cached_property
    def fire(self) -> Callable[[jax.Array], jax.Array]:
        """The spikes of a potential: one of two jitted functions, whatever the surrogate."""
        return _fire if self.fires_at_threshold else _fire_above

    @property
    def fires_at_threshold(self) -> bool:
        """Whether v = 0 fires."""
        return dict(self.settings)["fires_at_threshold"]

    def evaluate(self, which: str, v: jax.Array, numbers: Operands, arrays: Operands) -> jax.Array:
        """h or G in the computing dtype, parameters aligned to v."""
        dtype = self.dtype(v)
        aligned_values = {name: aligned(x.astype(dtype), v) for name, x in {**numbers, **arrays}.items()}
        space = NAMESPACES[dtype.name]
        y = evaluate_formula(self.definition, which, v.astype(dtype), space, aligned_values, dict(self.settings))
        return jnp.broadcast_to(jnp.asarray(y).astype(dtype), v.shape)

    def derivative(self, v: jax.Array, numbers: Operands, arrays: Operands) -> jax.Array:
        """h of v, in the computing dtype."""
        return self.evaluate("derivative", v, numbers, arrays)

    def gate(self, v: jax.Array, numbers: Operands) -> jax.Array:
        """The comparison that decides between the values of h."""
        traced = self.trace(tuple(numbers))
        assert traced is not None
        assert traced.gate is not None
        return _evaluate_trace(traced, traced.gate, {traced.v: v.astype(self.dtype(v))}, numbers, self.dtype(v))

    def derivative_from(self, kind: Kept, kept: Sequence[jax.Array], numbers: Operands, like: jax.Array) -> jax.Array:
        """h of the spikes, of the gate or of nothing, in the computing dtype of an array of a potential's dtype."""
        traced = self.trace(tuple(numbers))
        assert traced is not None
        values: dict[Symbol, Any] = {}
        if kept:
            assert traced.gate is not None
            values = {traced.gate: kept[0] if kind is Kept.MASK else kept[0] != 0}
        return _evaluate_trace(traced, traced.h, values, numbers, self.dtype(like))

    def trace(self, numbers: tuple[str, ...]) -> Trace | None:
        """The derivative as data, with the names of its parameters; None where it cannot be traced."""
        return trace(self.definition, self.settings, numbers)

    def slopes(self, along: Sequence[str], v: jax.Array, numbers: Operands, arrays: Operands) -> list[jax.Array]:
        """The derivatives of H at every element of v: h along "v", dG/dparameter along an array, in the computing dtype."""
        names = [name for name in along if name != "v"]
        found = self.sensitivities(names, v, numbers, arrays) if names else {}
        return [self.derivative(v, numbers, arrays) if name == "v" else found[name] for name in along]

    def differentiable_slopes(self, along: Sequence[str], v: jax.Array, numbers: Operands, arrays: Operands) -> list[jax.Array]:
        """The same slopes, whose own derivatives are not NaN far from the threshold.

        There a slope that is 0 comes from factors that overflow, and the chain rule multiplies 0 by infinity. Where it is 0, and
        at 5/4 of v too, which leaves out the zeros of an oscillating h, it is the constant 0. At ±inf it is that of ±FAR.
        """
        v = self._finite(v)

        def differentiable(name: str) -> jax.Array:
            zero = [self.slopes([name], jax.lax.stop_gradient(x), numbers, arrays)[0] == 0 for x in (v, v * 1.25)]
            flat = zero[0] & zero[1] & (jnp.abs(v) >= FLAT_FROM)
            (slope,) = self.slopes([name], jnp.where(flat, jnp.ones_like(v), v), numbers, arrays)
            return jnp.where(flat, jnp.zeros_like(slope), slope)

        return [differentiable(name) for name in along]

    def sensitivities(self, names: Sequence[str], v: jax.Array, numbers: Operands, arrays: Operands) -> dict[str, jax.Array]:
        """dG/dparameter at every element of v, for each of these arrays; at ±inf that of ±FAR."""
        finite = self._finite(v)

        def primitive(chosen: Operands) -> jax.Array:
            return self.evaluate("primitive", finite, numbers, {**arrays, **chosen})

        value, pullback = jax.vjp(primitive, {name: expanded(arrays[name], v, finite.dtype) for name in names})
        return pullback(jnp.ones_like(value))[0]

    def _finite(self, v: jax.Array) -> jax.Array:
        """v in the computing dtype, with ±FAR for ±inf."""
        dtype = self.dtype(v)
        return jnp.where(infinite(v), jnp.sign(v).astype(dtype) * dtype.type(FAR[dtype.name]), v.astype(dtype))

    def check_primitive(self, names: Iterable[str]) -> None:
        """Raise an error for the first of these parameters, whose gradient is asked for, if there is no primitive."""
        for name in names:
            if not self.definition.has_primitive():
                msg = f"{self.definition.__name__} defines no primitive, which the gradient of its parameter {name} needs"
                raise NotImplementedError(msg)

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


def expanded(x: jax.Array, v: jax.Array, dtype: Any) -> jax.Array:
    """A parameter, or its tangent, at every element of v, in the computing dtype and sharded like v."""
    sharding = jax.typeof(v).sharding
    explicit = AxisType.Explicit in sharding.mesh.axis_types
    axes = range(v.ndim - x.ndim, v.ndim)
    return jax.lax.broadcast_in_dim(x.astype(dtype), v.shape, axes, out_sharding=sharding if explicit else None)
