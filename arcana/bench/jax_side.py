"""Calls of candidates in JAX, on the CPU. The twin of `torch_side`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from arcana._missing import MissingDependencyError
from arcana.bench.candidates import BARE, COPY, OURS, RELU, Candidate
from arcana.bench.libraries import Array, Spikes, jax_as_it_comes
from arcana.surrogate import Surrogate
from arcana.surrogate._base import evaluate_formula

try:
    from arcana.jax import spike
except ImportError as error:
    raise MissingDependencyError(package="JAX", install="jax") from error

import jax
import jax.numpy as jnp

from arcana.jax._namespace import JaxNamespace


class _PlainNamespace(JaxNamespace):
    """jax.numpy with its own comparisons and abs: what somebody writes who does not mind subnormals and second derivatives."""

    abs = staticmethod(jnp.abs)

    @staticmethod
    def nonnegative(v: jax.Array) -> jax.Array:
        return v >= 0

    @staticmethod
    def positive(v: jax.Array) -> jax.Array:
        return v > 0

    @staticmethod
    def spike(v: jax.Array) -> jax.Array:
        return (v >= 0).astype(v.dtype)


def _bare(surrogate: Surrogate) -> Spikes:
    """The surrogate's formula in plain jnp, its parameters as constants."""
    fires = jnp.greater_equal if surrogate.fires_at_threshold else jnp.greater

    @jax.custom_vjp
    def function(v: jax.Array) -> jax.Array:
        return fires(v, 0).astype(v.dtype)

    def backward(v: jax.Array, cotangent: jax.Array) -> tuple[jax.Array]:
        xp = _PlainNamespace(v.dtype.name)
        h = evaluate_formula(type(surrogate), "derivative", v, xp, surrogate.numbers, surrogate.settings)
        return (cotangent * h,)

    function.defvjp(lambda v: (function(v), v), backward)
    return function


@jax.custom_vjp
def _copy(v: jax.Array) -> jax.Array:
    return jnp.array(v)


_copy.defvjp(lambda v: (_copy(v), None), lambda kept, cotangent: (cotangent * 1,))


def ours(surrogate: Surrogate, mode: str) -> list[Candidate]:
    candidate = Candidate(OURS, lambda v: spike(v, surrogate), surrogate)
    return [candidate, Candidate(BARE, _bare(surrogate), surrogate)] if mode == "compiled" else [candidate]


def floors(mode: str) -> list[Candidate]:
    return [Candidate(RELU, jax.nn.relu), Candidate(COPY, _copy)]


@contextlib.contextmanager
def ready(dtype: str) -> Iterator[None]:
    """What all calls of a run stand in."""
    with jax.default_device(jax.devices("cpu")[0]), jax_as_it_comes(x64=dtype == "float64"):
        yield


def forget(mode: str) -> None:
    """Drop what was compiled."""
    if mode == "compiled":
        jax.clear_caches()


def array(values: Array, dtype: str) -> jax.Array:
    return jnp.asarray(values, dtype)


def forward(function: Spikes, v: jax.Array, mode: str) -> Callable[[], None]:
    """A call whose spikes nobody differentiates."""
    spikes = _as(mode, function)

    def call() -> None:
        spikes(v).block_until_ready()

    return call


def forward_backward(function: Spikes, v: jax.Array, cotangent: jax.Array, mode: str) -> Callable[[], None]:
    """A call and the gradient of v; compiled, both in one function."""

    def both(v: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
        spikes, pull = jax.vjp(function, v)
        return spikes, pull(cotangent)[0]

    chosen = _as(mode, both)

    def call() -> None:
        jax.block_until_ready(chosen(v, cotangent))

    return call


def start(function: Spikes, v: jax.Array, mode: str) -> Callable[[], tuple[jax.Array, Callable[[jax.Array], Any]]]:
    """The forward pass, which returns the spikes and the backward pass."""
    spikes_of = _as(mode, function)

    def call() -> tuple[jax.Array, Callable[[jax.Array], Any]]:
        spikes, pull = jax.vjp(spikes_of, v)
        return spikes.block_until_ready(), lambda cotangent: jax.block_until_ready(pull(cotangent))

    return call


def _as(mode: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(function) if mode == "compiled" else function
