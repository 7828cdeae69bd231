"""The layer in JAX: `lax.scan` over the steps. The twin of `torch_layer`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from arcana.bench import jax_side
from arcana.bench.candidates import Candidate
from arcana.bench.layer import DECAY, THRESHOLD, Numbers
from arcana.bench.libraries import Spikes


def network(candidate: Candidate, spikes: jax.Array) -> Spikes:
    """From the weight to the output spikes."""
    missing = THRESHOLD - candidate.threshold

    def advance(potential: jax.Array, current: jax.Array) -> tuple[jax.Array, jax.Array]:
        potential = potential * DECAY + current
        fired = candidate.function(potential - missing if missing else potential)
        return potential - jax.lax.stop_gradient(fired) * THRESHOLD, fired

    def output(weight: jax.Array) -> jax.Array:
        currents = spikes @ weight
        return jax.lax.scan(advance, jnp.zeros_like(currents[0]), currents)[1]

    return output


def forward_backward(candidate: Candidate, numbers: Numbers, mode: str, dtype: str) -> Callable[[], None]:
    """A call of forward and backward; compiled, all in one function."""
    spikes, weight, cotangent = (jax_side.array(x, dtype) for x in (numbers.spikes, numbers.weight, numbers.cotangent))
    return jax_side.forward_backward(network(candidate, spikes), weight, cotangent, mode)
