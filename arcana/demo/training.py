"""The training loop, written once: a framework comes in as a `Trainer`, and a `Training` of NumPy arrays comes out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from arcana.demo.experiment import Digits, Experiment, Floats


class Update(NamedTuple):
    """The loss of one training step, the hidden spikes before it, and the gradient by parameter."""

    loss: float
    spikes: npt.NDArray[Any]
    gradient: dict[str, Floats]


class Prediction(NamedTuple):
    """The scores of the digits, (images, 10), and the hidden spikes, (steps, images, 128)."""

    scores: npt.NDArray[Any]
    spikes: npt.NDArray[Any]


class Trainer(Protocol):
    """A network with its optimizer, in one framework."""

    def update(self, batch: Digits) -> Update: ...
    def predict(self, images: Floats) -> Prediction: ...
    def weights(self) -> dict[str, Floats]: ...


OpenTrainer = Callable[[Experiment], AbstractContextManager[Trainer]]


@dataclasses.dataclass
class Training:
    """The course of one training.

    Attributes:
        losses: the loss of every training step.
        spikes: the hidden spikes of every training step's batch, as packed bits.
        spikes_per_step: how many neurons times steps times images that is.
        accuracies: the share of the test images read right, after every epoch.
        first_gradient: the gradient of the first training step by parameter.
        weights: those at the end, by name.
        raster: the hidden spikes of the first test image after the training, (steps, 128).
        seconds: the whole training and testing, compilation included, imports not.
        first_step_seconds: the first training step's part of it, in which JAX compiles.
    """

    losses: list[float] = dataclasses.field(default_factory=list)
    spikes: list[npt.NDArray[np.uint8]] = dataclasses.field(default_factory=list)
    spikes_per_step: int = 0
    accuracies: list[float] = dataclasses.field(default_factory=list)
    first_gradient: dict[str, Floats] = dataclasses.field(default_factory=dict)
    weights: dict[str, Floats] = dataclasses.field(default_factory=dict)
    raster: npt.NDArray[np.bool_] = dataclasses.field(default_factory=lambda: np.zeros((0, 0), bool))
    seconds: float = 0.0
    first_step_seconds: float = 0.0

    def epoch_losses(self) -> list[float]:
        """Return the mean loss of every epoch."""
        return [float(np.mean(part)) for part in np.split(np.array(self.losses), len(self.accuracies))]


def train(open_trainer: OpenTrainer, experiment: Experiment, on_step: Callable[[], object]) -> Training:
    """Train on the experiment's batches, calling `on_step` after each."""
    training = Training()
    start = time.perf_counter()
    with open_trainer(experiment) as trainer:
        for epoch in range(experiment.settings.epochs):
            for batch in experiment.batches(epoch):
                update = trainer.update(batch)
                if not training.losses:
                    training.first_step_seconds = time.perf_counter() - start
                    training.first_gradient = {name: value.copy() for name, value in update.gradient.items()}
                    training.spikes_per_step = update.spikes.size
                training.losses.append(update.loss)
                training.spikes.append(np.packbits(update.spikes > 0))
                on_step()
            prediction = trainer.predict(experiment.test.images)
            training.accuracies.append(float(np.mean(prediction.scores.argmax(1) == experiment.test.labels)))
            training.raster = prediction.spikes[:, 0] > 0
        training.weights = trainer.weights()
    training.seconds = time.perf_counter() - start
    return training
