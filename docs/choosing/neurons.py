"""Layers of leaky integrate-and-fire neurons whose potentials have a chosen mean and deviation before anything is trained."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from arcana.jax import spike
from arcana.surrogate import Surrogate, ste

LEAKS_IN = 10
"""The steps that the potentials take to forget that they began at 0; no mean or deviation counts them."""


class Layer(NamedTuple):
    """Weights (inputs, neurons) and one bias for all; stacked where a network has layers of one shape."""

    weights: jax.Array
    bias: jax.Array


class Statistics(NamedTuple):
    """The mean and the standard deviation of v, the potential minus the threshold, and the share of steps with a spike."""

    mean: float
    std: float
    rate: float


def unrolled(
    layer: Layer,
    inputs: jax.Array,
    leak: jax.Array | float,
    surrogate: Surrogate,
    *,
    detached: bool = True,
    **parameters: Any,
) -> tuple[jax.Array, jax.Array]:
    """Return the spikes and v of every step, (steps, samples, neurons), for inputs of (steps, samples, inputs).

    The potential is multiplied by `leak` in each step, and the threshold of 1 is subtracted after a spike. With `detached`
    the gradient does not go through that reset, as in snnTorch.
    """
    currents = inputs @ layer.weights + layer.bias

    def step(potential: jax.Array, current: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        potential = leak * potential + current
        v = potential - 1
        spikes = spike(v, surrogate, **parameters)
        reset = jax.lax.stop_gradient(spikes) if detached else spikes
        return potential - reset, (spikes, v)

    return jax.lax.scan(step, jnp.zeros_like(currents[0]), currents)[1]


@jax.jit
def _seen(layer: Layer, inputs: jax.Array, leak: float) -> tuple[jax.Array, ...]:
    spikes, v = unrolled(layer, inputs, leak, ste)
    return spikes, v[LEAKS_IN:].mean(), v[LEAKS_IN:].std(), spikes[LEAKS_IN:].mean()


def calibrated(
    key: jax.Array, widths: list[int], inputs: jax.Array, leak: float, mean: float = -1.0, std: float = 1.0
) -> tuple[list[Layer], list[Statistics]]:
    """Return layers of these widths, with normal weights and a bias such that v has this mean and deviation in each of them."""
    layers, statistics = [], []
    for own, width in zip(jax.random.split(key, len(widths)), widths, strict=True):
        directions = jax.random.normal(own, (inputs.shape[-1], width), jnp.float32) / math.sqrt(inputs.shape[-1])
        factor, bias = 1.0, 0.0
        for _ in range(40):
            _, seen_mean, seen_std, _ = _seen(Layer(directions * factor, jnp.float32(bias)), inputs, leak)
            bias += (mean - float(seen_mean)) * (1 - leak)
            factor *= math.sqrt(std / float(seen_std))
        layer = Layer(directions * factor, jnp.float32(bias))
        inputs, *seen = _seen(layer, inputs, leak)
        layers.append(layer)
        statistics.append(Statistics(*map(float, seen)))
    return layers, statistics
