"""The network in PyTorch: `torch.nn`, `torch.optim.Adam` and `arcana.torch`. The twin of `jax_network`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from arcana._core import MissingDependencyError
from arcana.demo.experiment import CLASSES, HIDDEN, INPUTS, Digits, Experiment, Floats, TrainingSettings
from arcana.demo.training import Prediction, Update
from arcana.surrogate import Surrogate

try:
    from arcana.torch import spike
except ImportError as error:
    raise MissingDependencyError(package="PyTorch", install="torch") from error

import torch


def leaky_integrate_and_fire(current: torch.Tensor, surrogate: Surrogate, *, decay: float, threshold: float) -> torch.Tensor:
    """Return the spikes of neurons that get `current`, time first; a spike takes the threshold off, without a gradient."""
    potential = torch.zeros_like(current[0])
    spikes = []
    for current_now in current:
        potential = potential * decay + current_now
        fired = spike(potential - threshold, surrogate)
        potential = potential - fired.detach() * threshold
        spikes.append(fired)
    return torch.stack(spikes)


def leaky_integrate(current: torch.Tensor, *, decay: float) -> torch.Tensor:
    """Return the potentials of neurons that get `current`, time first, and never fire."""
    potential = torch.zeros_like(current[0])
    potentials = []
    for current_now in current:
        potential = potential * decay + current_now
        potentials.append(potential)
    return torch.stack(potentials)


class SpikingNetwork(torch.nn.Module):
    """Pixels as constant currents, a layer of spiking neurons, and a leaky integrator for every digit.

    A digit's score is its integrator's potential summed over the steps, times 1 − decay.
    """

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__()
        # Without an initialisation of their own, which would draw from torch's global generator.
        self.hidden = torch.nn.utils.skip_init(torch.nn.Linear, INPUTS, HIDDEN)
        self.output = torch.nn.utils.skip_init(torch.nn.Linear, HIDDEN, CLASSES)
        self.settings = settings

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores of the digits, and the hidden spikes with time first."""
        settings = self.settings
        current = self.hidden(images).expand(settings.steps, -1, -1)
        spikes = leaky_integrate_and_fire(current, settings.surrogate, decay=settings.decay, threshold=settings.threshold)
        potentials = leaky_integrate(self.output(spikes), decay=settings.decay)
        return potentials.sum(0) * (1 - settings.decay), spikes


class TorchTrainer:
    """The network with its optimizer."""

    def __init__(self, experiment: Experiment) -> None:
        settings = experiment.settings
        self.network = SpikingNetwork(settings)
        self.network.load_state_dict({name: torch.tensor(value) for name, value in experiment.weights.items()})
        self.optimizer = torch.optim.Adam(
            self.network.parameters(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
        )

    def update(self, batch: Digits) -> Update:
        """Take one training step."""
        scores, spikes = self.network(torch.from_numpy(batch.images))
        loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(batch.labels).long())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return Update(loss.item(), spikes.detach().numpy(), self._gradients())

    def predict(self, images: Floats) -> Prediction:
        with torch.no_grad():
            scores, spikes = self.network(torch.from_numpy(images))
        return Prediction(scores.numpy(), spikes.numpy())

    def weights(self) -> dict[str, Floats]:
        return {name: value.detach().numpy().copy() for name, value in self.network.named_parameters()}

    def _gradients(self) -> dict[str, Floats]:
        return {name: value.grad.numpy() for name, value in self.network.named_parameters() if value.grad is not None}


@contextlib.contextmanager
def trainer(experiment: Experiment) -> Iterator[TorchTrainer]:
    """Yield the trainer, with one thread for torch meanwhile."""
    # The tensors are small: a second thread gains nothing, and on busy cores waiting for it takes most of the time.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield TorchTrainer(experiment)
    finally:
        torch.set_num_threads(threads)
