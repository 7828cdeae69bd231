"""Accuracy on handwritten digits over the width of h, for several shapes, whose widths and seeds train at once by `jax.vmap`.

Eight layers of 64 leaky integrate-and-fire neurons, 20 steps, a constant current of each pixel; v has a mean of −1 and a
deviation of 1 before training. The width is half of that at half the peak, in deviations of v, and the peak is 1.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from neurons import Layer, calibrated, unrolled
from sklearn.datasets import load_digits

from arcana.surrogate import get

HIDDEN, CLASSES, STEPS, LEAK = (64,) * 8, 10, 20, 0.9
SEEDS, EPOCHS, BATCH, TRAINED, RATE = 3, 12, 125, 1500, 3e-3
WIDTHS = tuple(float(width) for width in np.geomspace(0.01, 100, 13))
STRETCHED_BY = {
    "fast_sigmoid": ("scale", -1),
    "sigmoid": ("slope", -1),
    "atan": ("slope", -1),
    "gaussian": ("sigma", 1),
    "triangular": ("width", 1),
    "rectangular": ("width", 1),
}
"""The parameter of each shape that stretches it, and whether h becomes wider or narrower as it grows."""


def half_width(name: str) -> float:
    """Return the v above 0 at which h of the defaults is half its peak, by bisection."""
    surrogate, low, high = get(name), 0.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if surrogate.derivative(middle) >= surrogate.peak / 2 else (low, middle)
    return low


def stretched(name: str, widths: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Return the parameters, arrays with one value a width, with which h has these half widths and a peak of 1."""
    parameter, direction = STRETCHED_BY[name]
    shape, own = get(name), half_width(name)
    values = [getattr(shape, parameter) * (width / own) ** direction for width in widths]
    return {parameter: np.array(values), "gain": np.array([1 / get(name, **{parameter: value}).peak for value in values])}


def data() -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels from 0 to 1 and the classes of the digits, in a random order."""
    pixels, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(classes))
    return (pixels[order] / 16).astype(np.float32), classes[order].astype(np.int32)


def initial(seed: int, pixels: np.ndarray) -> tuple[list[Layer], jax.Array]:
    """Return calibrated layers and the weights of the readout."""
    keys = jax.random.split(jax.random.PRNGKey(seed))
    inputs = jnp.broadcast_to(jnp.asarray(pixels[:200]), (STEPS, 200, pixels.shape[1]))
    layers, _ = calibrated(keys[0], list(HIDDEN), inputs, LEAK)
    return layers, jax.random.normal(keys[1], (HIDDEN[-1], CLASSES)) / math.sqrt(HIDDEN[-1])


def logits(network: Any, pixels: jax.Array, surrogate: Any, parameters: Any) -> jax.Array:
    """Return the mean over the steps of what the readout gives."""
    layers, readout = network
    spikes = jnp.broadcast_to(pixels, (STEPS, *pixels.shape))
    for layer in layers:
        spikes, _ = unrolled(layer, spikes, LEAK, surrogate, **parameters)
    return spikes.mean(0) @ readout * 4


@functools.partial(jax.jit, static_argnames="surrogate")
def trained(network: Any, parameters: dict[str, jax.Array], batches: Any, test: Any, surrogate: Any) -> jax.Array:
    """Return the accuracy on the test images after training, for one network and one set of parameters."""
    optimizer = optax.adam(RATE)

    def loss(network: Any, pixels: jax.Array, classes: jax.Array) -> jax.Array:
        found = logits(network, pixels, surrogate, parameters)
        return optax.softmax_cross_entropy_with_integer_labels(found, classes).mean()

    def step(state: Any, batch: Any) -> tuple[Any, None]:
        network, memory = state
        updates, memory = optimizer.update(jax.grad(loss)(network, *batch), memory)
        return (optax.apply_updates(network, updates), memory), None

    (network, _), _ = jax.lax.scan(step, (network, optimizer.init(network)), batches)
    pixels, classes = test
    return (logits(network, pixels, surrogate, parameters).argmax(1) == classes).mean()


def accuracies(name: str) -> np.ndarray:
    """Return the accuracy for each seed and width of one shape."""
    pixels, classes = data()
    networks = jax.tree.map(lambda *each: jnp.stack(each), *(initial(seed, pixels) for seed in range(SEEDS)))
    order = np.concatenate([np.random.default_rng(epoch).permutation(TRAINED) for epoch in range(EPOCHS)])
    batches = (pixels[order].reshape(-1, BATCH, pixels.shape[1]), classes[order].reshape(-1, BATCH))
    test = (pixels[TRAINED:], classes[TRAINED:])
    parameters = {key: jnp.asarray(values, jnp.float32) for key, values in stretched(name, WIDTHS).items()}
    over_widths = jax.vmap(functools.partial(trained, surrogate=get(name)), (None, 0, None, None))
    return np.asarray(jax.vmap(over_widths, (0, None, None, None))(networks, parameters, batches, test))


def by_width() -> list[dict[str, Any]]:
    """Return the mean accuracy over the seeds, its smallest and its largest, for each shape and width."""
    rows = []
    for name in STRETCHED_BY:
        for width, found in zip(WIDTHS, accuracies(name).T, strict=True):
            row = {"mean": float(found.mean()), "least": float(found.min()), "most": float(found.max())}
            rows.append({"surrogate": name, "half width": width, **row})
    return rows
