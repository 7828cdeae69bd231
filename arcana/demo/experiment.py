"""The common ground of both sides: settings, digits, initial weights and batches, all from one NumPy generator."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from arcana._core import MissingDependencyError
from arcana.surrogate import Surrogate

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

INPUTS, HIDDEN, CLASSES = 64, 128, 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The hyperparameters of the network and its training, the same numbers on both sides."""

    surrogate: Surrogate
    epochs: int = 15
    seed: int = 0
    steps: int = 20
    decay: float = 0.9
    threshold: float = 1.0
    batch_size: int = 32
    test_size: int = 360
    learning_rate: float = 2e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    # Above 1, so that most hidden neurons fire from the start: a silent one has no gradient under `step`.
    hidden_gain: float = 3.0
    output_gain: float = 1.0


@dataclasses.dataclass(frozen=True)
class Digits:
    """Images of 64 pixels between 0 and 1, and the digit that each shows."""

    images: Floats
    labels: Labels


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything a training starts from.

    Attributes:
        weights: by name; a matrix has the shape (outputs, inputs).
        order: the rows of `train` in every batch, (epochs, batches, batch_size).
    """

    settings: TrainingSettings
    train: Digits
    test: Digits
    weights: dict[str, Floats]
    order: npt.NDArray[np.int64]

    def batches(self, epoch: int) -> Iterator[Digits]:
        """Yield the batches of an epoch, in order."""
        for rows in self.order[epoch]:
            yield Digits(self.train.images[rows], self.train.labels[rows])

    @property
    def training_steps(self) -> int:
        return self.order.shape[0] * self.order.shape[1]


def prepare(settings: TrainingSettings) -> Experiment:
    """Make the experiment: equal settings give equal numbers."""
    generator = np.random.default_rng(settings.seed)
    digits = _load()
    shuffled = generator.permutation(len(digits.labels))
    test, train = shuffled[: settings.test_size], shuffled[settings.test_size :]
    weights = {
        "hidden.weight": _uniform(generator, HIDDEN, INPUTS, settings.hidden_gain),
        "hidden.bias": np.zeros(HIDDEN, np.float32),
        "output.weight": _uniform(generator, CLASSES, HIDDEN, settings.output_gain),
        "output.bias": np.zeros(CLASSES, np.float32),
    }
    # The last, smaller batch is left out: one shape, one compilation.
    batches = len(train) // settings.batch_size
    used = batches * settings.batch_size
    epochs = [generator.permutation(len(train))[:used] for _ in range(settings.epochs)]
    order = np.stack(epochs).reshape(settings.epochs, batches, settings.batch_size)
    return Experiment(settings, _rows(digits, train), _rows(digits, test), weights, order)


def _load() -> Digits:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependencyError(package="scikit-learn", install="scikit-learn") from error
    images, labels = load_digits(return_X_y=True)
    return Digits((np.asarray(images) / 16).astype(np.float32), np.asarray(labels).astype(np.int32))


def _rows(digits: Digits, rows: npt.NDArray[np.int64]) -> Digits:
    return Digits(digits.images[rows], digits.labels[rows])


def _uniform(generator: np.random.Generator, outputs: int, inputs: int, gain: float) -> Floats:
    bound = gain / math.sqrt(inputs)
    return generator.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)
