"""The whole demo: the sides that can run, their records, and the results as plain values."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arcana._missing import MissingDependencyError
from arcana.demo.comparison import Comparison, compare
from arcana.demo.experiment import Experiment
from arcana.demo.training import OpenTrainer, Record, train

TITLES = {"torch": "PyTorch", "jax": "JAX"}


@dataclasses.dataclass(frozen=True)
class Results:
    """The records by backend; the comparison if there are two; why a backend is missing."""

    experiment: Experiment
    records: dict[str, Record]
    comparison: Comparison | None
    missing: dict[str, str]


def load_trainers(backends: Sequence[str]) -> tuple[dict[str, OpenTrainer], dict[str, str]]:
    """The trainers of the backends that are installed, and for the others what to install."""
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
) -> Results:
    """Train with one backend after the other; the callbacks get the backend's name at its start and at every step."""
    records = {}
    for name, trainer in trainers.items():
        on_start(name)
        records[name] = train(trainer, experiment, functools.partial(on_step, name))
    comparison = compare(records["torch"], records["jax"]) if set(records) == {"torch", "jax"} else None
    return Results(experiment, records, comparison, dict(missing))


def to_plain(results: Results) -> dict[str, Any]:
    """The results as JSON has them; a number that is not finite is None."""
    settings = dataclasses.asdict(results.experiment.settings)
    settings["surrogate"] = results.experiment.settings.surrogate.to_dict()
    backends = {
        name: {
            "loss": [_finite(loss) for loss in record.epoch_losses()],
            "test_accuracy": record.accuracies,
            "seconds": record.seconds,
            "first_step_seconds": record.first_step_seconds,
        }
        for name, record in results.records.items()
    }
    comparison = None
    if results.comparison is not None:
        comparison = dataclasses.asdict(results.comparison)
        comparison["first_gradient"] = _finite(results.comparison.first_gradient)
    return {"settings": settings, "backends": backends, "comparison": comparison, "missing": results.missing}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
