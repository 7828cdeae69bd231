"""The same layer in JAX: jit of value and gradient over lax.scan, ours beside the bare formula."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from bare import BARE
from session import Session
from timing import in_turn

from arcana.jax import spike
from arcana.surrogate import get

DECAY, THRESHOLD, RATE = 0.9, 1.0, 0.1


def main(session: Session, framework: str) -> None:
    for shape in ("fast_sigmoid",) if session.settings.small else tuple(BARE):
        session.check(f"layer, jax {shape}, jit(scan)", functools.partial(measured, session, shape))


def network(spikes: Callable[[jax.Array], jax.Array], given: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """From the weight to the output spikes."""

    def step(potential: jax.Array, current: jax.Array) -> tuple[jax.Array, jax.Array]:
        potential = potential * DECAY + current
        fired = spikes(potential - THRESHOLD)
        return potential - jax.lax.stop_gradient(fired) * THRESHOLD, fired

    def output(weight: jax.Array) -> jax.Array:
        currents = given @ weight
        return jax.lax.scan(step, jnp.zeros_like(currents[0]), currents)[1]

    return output


def gradient(
    spikes: Callable[[jax.Array], jax.Array], given: jax.Array, cotangent: jax.Array
) -> Callable[[jax.Array], jax.Array]:
    return jax.jit(lambda weight: jax.vjp(network(spikes, given), weight)[1](cotangent)[0])


def measured(session: Session, shape: str) -> dict[str, Any]:
    small = session.settings.small
    steps, batch, neurons = (5, 4, 16) if small else (100, 128, 512)
    generator = np.random.default_rng(0)
    bound = 2 * (3 / neurons) ** 0.5
    given = jnp.asarray((generator.random((steps, batch, neurons), np.float32) < RATE).astype(np.float32))
    weight = jnp.asarray(generator.uniform(-bound, bound, (neurons, neurons)).astype(np.float32))
    cotangent = jnp.asarray(generator.standard_normal((steps, batch, neurons), np.float32))
    surrogate = get(shape)
    functions = {"arcana": lambda v: spike(v, surrogate), "bare jnp": functools.partial(BARE[shape], **surrogate.numbers)}
    calls = {label: gradient(function, given, cotangent) for label, function in functions.items()}
    ours, bare = (np.asarray(call(weight)) for call in calls.values())
    off = float(np.linalg.norm(ours - bare) / np.linalg.norm(bare))

    def once(call: Any, i: int) -> None:
        jax.block_until_ready(call(weight))

    turns, seconds = (3, 0.05) if small else (7, 1.0)
    each = {label: functools.partial(once, call) for label, call in calls.items()}
    found = in_turn(each, lambda: None, seconds, turns=turns)
    return {"ok": off < 1e-2, "off": off, "ms": {label: round(microseconds / 1e3, 4) for label, microseconds in found.items()}}
