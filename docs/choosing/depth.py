"""Gradient norms in a deep network before training: how they change from layer to layer, and what keeps them.

Sixteen layers of 128 neurons, 50 steps, 32 samples; the gradient is that of a random projection of the last layer's spike counts
with respect to the current that goes into each neuron in each step.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from neurons import Layer, Statistics, calibrated, unrolled

from arcana.surrogate import Surrogate, get

LAYERS, NEURONS, SAMPLES, STEPS = 16, 128, 32, 50
LEAKS = (0.0, 0.5, 0.9)
RESETS = ("detached", "attached")
SCALES = (1.0, 2.0, 5.0, 10.0, 25.0, 100.0)
SHAPES = ("fast_sigmoid", "sigmoid", "atan", "triangular", "rectangular")


class Network(NamedTuple):
    """Stacked layers, what goes into the first, what the last one's spike counts are multiplied by, and statistics of v."""

    leak: float
    layers: Layer
    inputs: jax.Array
    projection: jax.Array
    statistics: list[Statistics]

    def first(self, depth: int) -> Network:
        """Return the network of its first layers alone."""
        layers = Layer(self.layers.weights[:depth], self.layers.bias[:depth])
        return self._replace(layers=layers, statistics=self.statistics[:depth])

    @property
    def weight_gains(self) -> np.ndarray:
        """The standard deviation of each layer's weights times the root of its inputs."""
        return np.asarray(self.layers.weights.std((1, 2)), np.float64) * math.sqrt(NEURONS)


def network(leak: float, seed: int = 0) -> Network:
    keys = jax.random.split(jax.random.PRNGKey(seed), 3)
    inputs = (jax.random.uniform(keys[0], (STEPS, SAMPLES, NEURONS), jnp.float32) < 0.1).astype(jnp.float32)
    layers, statistics = calibrated(keys[1], [NEURONS] * LAYERS, inputs, leak)
    stacked = Layer(jnp.stack([each.weights for each in layers]), jnp.stack([each.bias for each in layers]))
    return Network(leak, stacked, inputs, jax.random.normal(keys[2], (SAMPLES, NEURONS), jnp.float32), statistics)


@functools.partial(jax.jit, static_argnames=("surrogate", "detached"))
def _norms(
    layers: Layer,
    inputs: jax.Array,
    projection: jax.Array,
    leak: float,
    parameters: dict[str, jax.Array],
    surrogate: Surrogate,
    detached: bool,
) -> jax.Array:
    def loss(added: jax.Array) -> jax.Array:
        def apply(spikes: jax.Array, each: Any) -> tuple[jax.Array, None]:
            layer, own, current = each
            return unrolled(Layer(layer.weights, layer.bias + current), spikes, leak, surrogate, detached=detached, **own)[
                0
            ], None

        spikes, _ = jax.lax.scan(apply, inputs, (layers, parameters, added))
        return (spikes.sum(0) * projection).mean()

    gradient = jax.grad(loss)(jnp.zeros((len(layers.bias), *inputs.shape[:2], projection.shape[1]), inputs.dtype))
    return jnp.sqrt(jnp.square(gradient).sum((1, 2, 3)))


def norms(of: Network, surrogate: Surrogate, *, detached: bool = True, **parameters: Any) -> np.ndarray:
    """Return the norm of the gradient with respect to each layer's currents; a parameter is a number or one a layer."""
    depth = len(of.layers.bias)
    arrays = {name: jnp.broadcast_to(jnp.asarray(value, jnp.float32), depth) for name, value in parameters.items()}
    found = _norms(of.layers, of.inputs, of.projection, of.leak, arrays, surrogate, detached)
    return np.asarray(found, np.float64)


def ratio(found: np.ndarray) -> float:
    """Return the first layer's norm over the last layer's."""
    return float(found[0] / found[-1])


def balanced(of: Network, surrogate: Surrogate, gains: np.ndarray, passes: int, detached: bool) -> np.ndarray:
    """Return gains after some backward passes, each of which divides them by what its layer multiplies the gradient with."""
    for _ in range(passes):
        found = norms(of, surrogate, detached=detached, gain=gains)
        gains = gains * np.append(found[1:] / found[:-1], 1.0)
    return gains


def by_scale() -> list[dict[str, Any]]:
    """Return the ratio for each scale of the fast sigmoid and each depth."""
    whole = network(0.9)
    depths = [1 << i for i in range(LAYERS.bit_length())]
    return [
        {"layers": depth, "scale": scale, "ratio": ratio(norms(whole.first(depth), get("fast_sigmoid"), scale=scale))}
        for depth in depths
        for scale in SCALES
    ]


def by_gain() -> list[dict[str, Any]]:
    """Return the ratio of the whole network for each shape and way to choose the gain, with each leak and kind of reset."""
    rows = []
    for leak in LEAKS:
        whole = network(leak)
        for reset in RESETS:
            detached = reset == "detached"
            for name in SHAPES:
                shape = get(name)
                unit = np.array([shape.unit_variance(each.mean, each.std).gain for each in whole.statistics])
                gains = {
                    "default": np.ones(LAYERS),
                    "unit_variance": unit / whole.weight_gains,
                    "one backward pass": balanced(whole, shape, unit / whole.weight_gains, 1, detached),
                    "four backward passes": balanced(whole, shape, unit / whole.weight_gains, 4, detached),
                }
                found = {key: ratio(norms(whole, shape, detached=detached, gain=each)) for key, each in gains.items()}
                rows.append({"leak": leak, "reset": reset, "surrogate": name, **found})
    return rows
