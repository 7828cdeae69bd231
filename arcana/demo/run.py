"""The whole demo: the sides that can run, their trainings, and the outcome as plain values."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arcana._core import MissingDependencyError
from arcana.demo.comparison import Differences, compare_networks, compare_trainings
from arcana.demo.experiment import Experiment
from arcana.demo.training import OpenTrainer, Training, train
from arcana.testing import Divergence


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The trainings by backend, what differs if there are two, and why a backend is missing.

    Attributes:
        divergence: that of the two networks on the test images, both with the weights that PyTorch has trained.
    """

    experiment: Experiment
    trainings: dict[str, Training]
    differences: Differences | None
    divergence: Divergence | None
    missing: dict[str, str]


def load_trainers(backends: Sequence[str]) -> tuple[dict[str, OpenTrainer], dict[str, str]]:
    """Return the trainers of the backends that are installed, and for the others what to install."""
    trainers, missing = {}, {}
    for backend in backends:
        try:
            module = importlib.import_module(f"arcana.demo.{backend}_network")
        except MissingDependencyError as error:
            missing[backend] = str(error)
        else:
            trainers[backend] = module.trainer
    return trainers, missing


def run(
    experiment: Experiment,
    trainers: Mapping[str, OpenTrainer],
    missing: Mapping[str, str],
    *,
    on_start: Callable[[str], object],
    on_step: Callable[[str], object],
) -> Outcome:
    """Train with one backend after the other; the callbacks get the backend's name at its start and at every step."""
    trainings = {}
    for name, trainer in trainers.items():
        on_start(name)
        trainings[name] = train(trainer, experiment, functools.partial(on_step, name))
    differences = divergence = None
    if set(trainings) == {"torch", "jax"}:
        differences = compare_trainings(trainings["torch"], trainings["jax"])
        trained = dataclasses.replace(experiment, weights=trainings["torch"].weights)
        divergence = compare_networks(trainers["torch"], trainers["jax"], trained)
    return Outcome(experiment, trainings, differences, divergence, dict(missing))


def to_plain(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as JSON has it; a number that is not finite is None."""
    settings = dataclasses.asdict(outcome.experiment.settings)
    settings["surrogate"] = outcome.experiment.settings.surrogate.to_dict()
    backends = {
        name: {
            "loss": [_finite(loss) for loss in training.epoch_losses()],
            "test_accuracy": training.accuracies,
            "seconds": training.seconds,
            "first_step_seconds": training.first_step_seconds,
        }
        for name, training in outcome.trainings.items()
    }
    comparison = None
    if outcome.differences is not None:
        comparison = dataclasses.asdict(outcome.differences)
        comparison["first_gradient"] = _finite(outcome.differences.first_gradient)
    divergence = None if outcome.divergence is None else outcome.divergence.to_dict()
    return {
        "settings": settings,
        "backends": backends,
        "comparison": comparison,
        "divergence": divergence,
        "missing": outcome.missing,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
