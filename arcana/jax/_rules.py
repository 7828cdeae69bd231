"""Spikes by a rule of `arcana.rules`: its numbers, with the derivative that `traced` gives. Imported when one is asked for.

The numbers are constants, and to them 0 is added: spikes minus themselves, which have the derivative. So a rule works under every
transform under which a spike does, and to every order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from arcana._core import Formula, Surrogate, compute_dtype, per_class_cache
from arcana.jax._call import Arrays, Call, call_of
from arcana.jax._derivative import Derivative
from arcana.jax._function import is_plain, spike, traced
from arcana.jax._namespace import NAMESPACES
from arcana.rules import Firing, Heaviside, Rule, checked_rule, emitted


def by_rule(v: jax.Array, surrogate: Surrogate, rule: Any, random: Any, parameters: Mapping[str, Any]) -> jax.Array:
    """Return the spikes of v by a rule, which is checked."""
    rule = checked_rule(rule, random)
    return spike(v, surrogate, **parameters) if type(rule) is Heaviside else ruled(v, surrogate, rule, random, parameters)


def ruled(v: jax.Array, surrogate: Surrogate, rule: Rule, random: Any, parameters: Mapping[str, Any]) -> jax.Array:
    """Return the spikes of v by a rule that is not Heaviside's."""
    call, arrays = call_of(v, surrogate, parameters)
    uniform = _uniform(v, random) if rule.random else None
    constants = {name: stop_gradient(x) for name, x in arrays.items()}
    numbers = _numbers(call.formula, rule, tuple(call.numbers.items()), tuple(arrays))
    spikes = numbers(stop_gradient(v), uniform, constants)
    if is_plain(v, arrays) and is_plain(spikes, {}):
        return spikes
    repeated, arrays = call_of(v, surrogate, parameters, rule.thresholds)
    return spikes + nothing(v, repeated, arrays)


@per_class_cache
def _numbers(
    formula: Formula, rule: Rule, numbers: tuple[tuple[str, Any], ...], arrays: tuple[str, ...]
) -> Callable[..., jax.Array]:
    """Return the spikes by a rule, without a derivative, as a function of v, the random numbers and the arrays."""

    def spikes(v: jax.Array, uniform: jax.Array | None, arrays: Arrays) -> jax.Array:
        parameters = {**dict(numbers), **arrays}
        derivative = Derivative(formula, v, parameters)
        xp = NAMESPACES[compute_dtype("", v.dtype.name)]
        firing = Firing(xp, formula.fires_at_threshold, lambda: derivative.evaluate("primitive"), uniform)
        named = {name: float(x) if name not in arrays else x for name, x in parameters.items()}
        return emitted(rule, derivative.v, formula, named, firing).astype(v.dtype)

    return jax.jit(spikes, inline=True)


def nothing(v: jax.Array, call: Call, arrays: Arrays) -> jax.Array:
    """Return 0 with the derivative of the spikes of v."""
    spikes = traced(v, call, arrays)
    return spikes - stop_gradient(spikes)


def _uniform(v: jax.Array, random: Any) -> jax.Array:
    """Return numbers from [0, 1) in v's computing dtype: those that are given, or of a key."""
    if random is None:
        msg = "Stochastic draws from a key: write random=jax.random.key(0), and a new one of jax.random.split at every call"
        raise ValueError(msg)
    dtype = compute_dtype("Stochastic", v.dtype.name)
    given = jnp.asarray(random)
    if not jnp.issubdtype(given.dtype, jnp.floating):
        return jax.random.uniform(random, v.shape, dtype)
    if given.shape != v.shape:
        msg = f"Stochastic: random must be a key, or an array of v's shape {v.shape}, got one of shape {given.shape}"
        raise ValueError(msg)
    return stop_gradient(given.astype(dtype))
