"""The layer in JAX: `lax.scan` over the steps. The twin of `torch_layer`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from arcana.bench import jax_side
from arcana.bench.candidates import Candidate
from arcana.bench.layer import DECAY, THRESHOLD, Numbers


def network(candidate: Candidate, numbers: Numbers, mode: str, dtype: str) -> Callable[[], None]:
    """A call of forward and backward; compiled, all in one function."""
    spikes, weight, cotangent = (jax_side.array(x, dtype) for x in (numbers.spikes, numbers.weight, numbers.cotangent))
    missing = THRESHOLD - candidate.threshold

    def advance(potential: jax.Array, current: jax.Array) -> tuple[jax.Array, jax.Array]:
        potential = potential * DECAY + current
        fired = candidate.function(potential - missing if missing else potential)
        return potential - jax.lax.stop_gradient(fired) * THRESHOLD, fired

    def output(weight: jax.Array) -> jax.Array:
        return jax.lax.scan(advance, jnp.zeros_like(cotangent[0]), spikes @ weight)[1]

    return jax_side.forward_backward(output, weight, cotangent, mode)
