"""Calls of candidates in JAX, on the CPU. The twin of `torch_side`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arcana.bench.libraries import Array
from arcana.bench.records import OURS, PLAIN, Candidate, Spikes
from arcana.jax import spike
from arcana.jax.arrays import enable_x64
from arcana.surrogate import Surrogate

relu = jax.nn.relu


def _plain(surrogate: Surrogate) -> Spikes:
    """Return the surrogate's formula with jnp's own comparison and nothing but a `custom_vjp` around it."""
    fires = jnp.greater_equal if surrogate.fires_at_threshold else jnp.greater

    @jax.custom_vjp
    def function(v: jax.Array) -> jax.Array:
        return fires(v, 0).astype(v.dtype)

    function.defvjp(lambda v: (function(v), v), lambda v, cotangent: (cotangent * surrogate.derivative(v),))
    return function


def ours(surrogate: Surrogate, mode: str) -> list[Candidate]:
    """Return ours; compiled also the plain formula."""
    candidate = Candidate(OURS, lambda v: spike(v, surrogate), surrogate)
    return [candidate, Candidate(PLAIN, _plain(surrogate), surrogate)] if mode == "compiled" else [candidate]


@contextlib.contextmanager
def ready(dtype: str) -> Iterator[None]:
    """Enter what all calls are made in: the CPU, and the promotion that the libraries rely on; float64 only on demand."""
    promotion = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
    with jax.default_device(jax.devices("cpu")[0]), enable_x64(dtype == "float64"), promotion[0], promotion[1]:
        yield


def forget(mode: str) -> None:
    """Drop what was compiled."""
    if mode == "compiled":
        jax.clear_caches()


def array(values: Array, dtype: str) -> jax.Array:
    """Return the values as a JAX array."""
    return jnp.asarray(values, dtype)


def evaluate(function: Spikes, v: Array) -> tuple[Array, Array]:
    """Return spikes and h of v."""
    with ready("float64"):
        spikes, pull = start(function, jnp.asarray(v), "eager")()
        return np.asarray(spikes), np.asarray(pull(jnp.ones_like(spikes))[0])


def forward(function: Spikes, v: jax.Array, mode: str) -> Callable[[], None]:
    """Return a call whose spikes nobody differentiates."""
    spikes = _in_mode(mode, function)

    def call() -> None:
        spikes(v).block_until_ready()

    return call


def forward_backward(function: Spikes, v: jax.Array, cotangent: jax.Array, mode: str) -> Callable[[], None]:
    """Return a call that computes the spikes and the gradient of v; compiled, both in one function."""

    def both(v: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
        spikes, pull = jax.vjp(function, v)
        return spikes, pull(cotangent)[0]

    chosen = _in_mode(mode, both)

    def call() -> None:
        jax.block_until_ready(chosen(v, cotangent))

    return call


def start(function: Spikes, v: jax.Array, mode: str) -> Callable[[], tuple[jax.Array, Callable[[jax.Array], Any]]]:
    """Return a call of the forward pass alone, which returns the spikes and the backward pass."""
    spikes_of = _in_mode(mode, function)

    def call() -> tuple[jax.Array, Callable[[jax.Array], Any]]:
        spikes, pull = jax.vjp(spikes_of, v)
        return spikes.block_until_ready(), lambda cotangent: jax.block_until_ready(pull(cotangent))

    return call


def network(candidate: Candidate, spikes: jax.Array, mode: str) -> tuple[Spikes, str]:
    """Return the layer's function from the weight to the output spikes, `lax.scan`, and the mode in which it is called."""
    step = candidate.neuron(jax.lax.stop_gradient)

    def output(weight: jax.Array) -> jax.Array:
        currents = spikes @ weight
        return jax.lax.scan(step, jnp.zeros_like(currents[0]), currents)[1]

    return output, mode


def _in_mode(mode: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(function) if mode == "compiled" else function
