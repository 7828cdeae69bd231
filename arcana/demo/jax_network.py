"""The network in JAX: Flax NNX, optax and `arcana.jax`. The twin of `torch_network`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from arcana._core import MissingDependencyError
from arcana.demo.experiment import CLASSES, HIDDEN, INPUTS, Digits, Experiment, Floats, TrainingSettings
from arcana.demo.training import Prediction, Update
from arcana.surrogate import Surrogate

try:
    from arcana.jax import spike
except ImportError as error:
    raise MissingDependencyError(package="JAX", install="jax") from error
try:
    import optax
    from flax import nnx
except ImportError as error:
    raise MissingDependencyError(package="Flax or optax", install="flax optax") from error

import jax
import jax.numpy as jnp
import numpy as np


def leaky_integrate_and_fire(current: jax.Array, surrogate: Surrogate, *, decay: float, threshold: float) -> jax.Array:
    """Return the spikes of neurons that get `current`, time first; a spike takes the threshold off, without a gradient."""

    def advance(potential: jax.Array, current_now: jax.Array) -> tuple[jax.Array, jax.Array]:
        potential = potential * decay + current_now
        fired = spike(potential - threshold, surrogate)
        return potential - jax.lax.stop_gradient(fired) * threshold, fired

    _, spikes = jax.lax.scan(advance, jnp.zeros_like(current[0]), current)
    return spikes


def leaky_integrate(current: jax.Array, *, decay: float) -> jax.Array:
    """Return the potentials of neurons that get `current`, time first, and never fire."""

    def advance(potential: jax.Array, current_now: jax.Array) -> tuple[jax.Array, jax.Array]:
        potential = potential * decay + current_now
        return potential, potential

    _, potentials = jax.lax.scan(advance, jnp.zeros_like(current[0]), current)
    return potentials


class SpikingNetwork(nnx.Module):
    """Pixels as constant currents, a layer of spiking neurons, and a leaky integrator for every digit.

    A digit's score is its integrator's potential summed over the steps, times 1 − decay.
    """

    def __init__(self, settings: TrainingSettings, weights: dict[str, Floats]) -> None:
        self.hidden = _linear(INPUTS, HIDDEN, weights["hidden.weight"], weights["hidden.bias"])
        self.output = _linear(HIDDEN, CLASSES, weights["output.weight"], weights["output.bias"])
        self.settings = settings

    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the scores of the digits, and the hidden spikes with time first."""
        settings = self.settings
        current = self.hidden(images)
        spikes = leaky_integrate_and_fire(
            jnp.broadcast_to(current, (settings.steps, *current.shape)),
            settings.surrogate,
            decay=settings.decay,
            threshold=settings.threshold,
        )
        potentials = leaky_integrate(self.output(spikes), decay=settings.decay)
        return potentials.sum(0) * (1 - settings.decay), spikes


class JaxTrainer:
    """The network with its optimizer."""

    def __init__(self, experiment: Experiment) -> None:
        settings = experiment.settings
        self.network = SpikingNetwork(settings, experiment.weights)
        adam = optax.adam(settings.learning_rate, b1=settings.beta1, b2=settings.beta2, eps=settings.epsilon)
        self.optimizer = nnx.Optimizer(self.network, adam, wrt=nnx.Param)

    def update(self, batch: Digits) -> Update:
        """Take one training step; the first one compiles."""
        loss, spikes, gradients = _update(self.network, self.optimizer, jnp.asarray(batch.images), jnp.asarray(batch.labels))
        return Update(float(loss), np.asarray(spikes), _by_name(gradients))

    def predict(self, images: Floats) -> Prediction:
        scores, spikes = _predict(self.network, jnp.asarray(images))
        return Prediction(np.asarray(scores), np.asarray(spikes))

    def weights(self) -> dict[str, Floats]:
        return _by_name(nnx.state(self.network, nnx.Param))


@contextlib.contextmanager
def trainer(experiment: Experiment) -> Iterator[JaxTrainer]:
    """Yield the trainer, with JAX on the CPU meanwhile: torch's side runs there too."""
    with jax.default_device(jax.devices("cpu")[0]):
        yield JaxTrainer(experiment)


def _linear(inputs: int, outputs: int, weight: Floats, bias: Floats) -> nnx.Linear:
    layer = nnx.Linear(inputs, outputs, rngs=nnx.Rngs(0))
    layer.kernel = nnx.Param(jnp.asarray(weight.T))
    layer.bias = nnx.Param(jnp.asarray(bias))
    return layer


def _loss(network: SpikingNetwork, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    scores, spikes = network(images)
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean(), spikes


@nnx.jit
def _update(
    network: SpikingNetwork, optimizer: nnx.Optimizer, images: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array, nnx.State]:
    (loss, spikes), gradients = nnx.value_and_grad(_loss, has_aux=True)(network, images, labels)
    optimizer.update(network, gradients)
    return loss, spikes, gradients


@nnx.jit
def _predict(network: SpikingNetwork, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    return network(images)


def _by_name(arrays: nnx.State) -> dict[str, Floats]:
    """Return weights or gradients under the names and in the shapes of the experiment's weights."""
    named = {}
    for layer in ("hidden", "output"):
        named[f"{layer}.weight"] = np.asarray(arrays[layer]["kernel"][...]).T
        named[f"{layer}.bias"] = np.asarray(arrays[layer]["bias"][...])
    return named
