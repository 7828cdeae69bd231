"""h and dG/dparameter of one call by plain JAX operations, which every transform can follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from arcana._core import FAR, Expression, Formula, Kept, Symbol, compute, compute_dtype, slope_product
from arcana.jax._namespace import NAMESPACES, infinite

FLAT_FROM = 2.0**20
"""Nearer to the threshold no factor of a formula overflows where its result is 0."""


class Derivative:
    """The derivatives of one call: a formula with its parameters as arrays of the computing dtype, aligned to v.

    Args:
        formula: of the call.
        v: the potential, or where that is not kept any array of its dtype and shape.
        parameters: numbers and arrays by name.
    """

    def __init__(self, formula: Formula, v: jax.Array, parameters: Mapping[str, Any]) -> None:
        self.formula = formula
        self.dtype = jnp.dtype(compute_dtype(formula.definition.__name__, v.dtype.name))
        self.v = v.astype(self.dtype)
        self.parameters = {name: aligned(x.astype(self.dtype), v) for name, x in parameters.items()}

    def mask(self) -> jax.Array:
        """Return the comparison that is kept where h takes a few values."""
        expression, values = self._expression()
        return self._computed(expression.mask, values | {expression.v: self.v})

    def h(self, kind: Kept, kept: Sequence[jax.Array]) -> jax.Array:
        """Return h from the spikes, from the comparison or from nothing."""
        expression, values = self._expression()
        if kept:
            assert expression.mask is not None
            values[expression.mask] = kept[0] if kind is Kept.MASK else kept[0] != 0
        return self._computed(expression.h, values)

    def _expression(self) -> tuple[Expression, dict[Symbol, Any]]:
        """Return h as data, and the values of its parameters."""
        expression = self.formula.expression(self.parameters)
        assert expression is not None
        return expression, {symbol: self.parameters[name] for name, symbol in expression.parameters.items()}

    def _computed(self, result: Symbol | None, values: dict[Symbol, Any]) -> jax.Array:
        assert result is not None
        compute([result], values, NAMESPACES[self.dtype.name], jnp.zeros((), self.dtype))
        return values[result]

    def evaluate(self, which: str, v: jax.Array | None = None, parameters: Mapping[str, Any] | None = None) -> jax.Array:
        """Return h or G in the computing dtype, with a potential and parameters in place of the call's where they are given."""
        v = self.v if v is None else v
        y = self.formula.evaluate(which, v, NAMESPACES[self.dtype.name], {**self.parameters, **(parameters or {})})
        return jnp.broadcast_to(jnp.asarray(y).astype(self.dtype), v.shape)

    def slopes(self, along: Sequence[str], v: jax.Array | None = None) -> list[jax.Array]:
        """Return the derivatives of H at every element of v: h along "v", dG/dparameter along a parameter."""
        names = [name for name in along if name != "v"]
        found = self.sensitivities(names, v) if names else {}
        return [self.evaluate("derivative", v) if name == "v" else found[name] for name in along]

    def products(self, along: Sequence[str], cotangent: jax.Array) -> list[jax.Array]:
        """Return the cotangent times each of the slopes.

        dG/dparameter comes from its trace, which takes fewer operations than JAX's own derivative of G, and has cotangent · h as
        a factor where it can: XLA is told to keep that, else it computes h again for a sum over all elements.
        """
        cotangent, h = cotangent.astype(self.dtype), self.evaluate("derivative")
        product = cotangent * h
        names, xp = [name for name in along if name != "v"], NAMESPACES[self.dtype.name]
        given = self.dtype.name, self.parameters, xp, self.v, h, cotangent, lambda: jax.lax.optimization_barrier(product)
        found = {"v": product} | {name: slope_product(self.formula, name, *given) for name in names}
        own = [name for name in names if found[name] is None]
        found |= {name: cotangent * slope for name, slope in (self.sensitivities(own) if own else {}).items()}
        found |= {name: _by_itself(found[name]) for name in names}
        return [jnp.broadcast_to(found[name].astype(self.dtype), self.v.shape) for name in along]

    def differentiable_slopes(self, along: Sequence[str]) -> list[jax.Array]:
        """Return the same slopes, whose own derivatives are not NaN far from the threshold.

        There a slope that is 0 comes from factors that overflow, and the chain rule multiplies 0 by infinity. Where it is 0, and
        at 5/4 of v too, which leaves out the zeros of an oscillating h, it is the constant 0. At ±inf it is that of ±FAR.
        """
        v = self._finite(self.v)

        def differentiable(name: str) -> jax.Array:
            zero = [self.slopes([name], jax.lax.stop_gradient(x))[0] == 0 for x in (v, v * 1.25)]
            flat = zero[0] & zero[1] & (jnp.abs(v) >= FLAT_FROM)
            (slope,) = self.slopes([name], jnp.where(flat, jnp.ones_like(v), v))
            return jnp.where(flat, jnp.zeros_like(slope), slope)

        return [differentiable(name) for name in along]

    def sensitivities(self, names: Sequence[str], v: jax.Array | None = None) -> dict[str, jax.Array]:
        """Return dG/dparameter at every element of v, for each of the names; at ±inf that of ±FAR."""
        finite = self._finite(self.v if v is None else v)

        def primitive(chosen: Mapping[str, Any]) -> jax.Array:
            return self.evaluate("primitive", finite, chosen)

        value, pullback = jax.vjp(primitive, {name: expanded(self.parameters[name], finite, self.dtype) for name in names})
        return pullback(jnp.ones_like(value))[0]

    def _finite(self, v: jax.Array) -> jax.Array:
        """Return v with ±FAR for ±inf."""
        return jnp.where(infinite(v), jnp.sign(v) * self.dtype.type(FAR[self.dtype.name]), v)


def _by_itself(x: jax.Array) -> jax.Array:
    """Return x, so that XLA's CPU code makes it before it is summed: on the way to a sum every operation takes twice as long."""
    found = jnp.finfo(x.dtype)
    return jax.lax.reduce_precision(x, found.nexp, found.nmant)


def aligned(x: jax.Array, v: jax.Array) -> jax.Array:
    """Return x with leading axes of 1 up to v's rank, which strict rank promotion asks for; a 0-d x as it is."""
    return x if x.ndim == 0 else jax.lax.expand_dims(x, range(v.ndim - x.ndim))


def expanded(x: jax.Array, v: jax.Array, dtype: Any) -> jax.Array:
    """Return a parameter, or its tangent, at every element of v, in the computing dtype and sharded like v."""
    sharding = jax.typeof(v).sharding
    explicit = AxisType.Explicit in sharding.mesh.axis_types
    axes = range(v.ndim - x.ndim, v.ndim)
    return jax.lax.broadcast_in_dim(x.astype(dtype), v.shape, axes, out_sharding=sharding if explicit else None)
