"""Compare two trainings that saw the same batches, and the two networks with the same weights."""

from __future__ import annotations

import dataclasses

import numpy as np

from arcana.demo.experiment import INPUTS, Experiment, Floats
from arcana.demo.training import OpenTrainer, Training
from arcana.testing import Divergence, first_divergence, recording


@dataclasses.dataclass(frozen=True)
class Differences:
    """Two trainings side by side.

    Attributes:
        first_gradient: the largest relative difference, over the parameters, of the first training step's gradients.
        first_gradient_in: the parameter where it is.
        first_spike_step: the first training step, from 1, with a hidden spike that differs; None if there is none.
        first_spike_count: how many differ there.
        spikes_per_step: how many are compared at every training step.
        shares: the share of the spikes that differ, at every training step.
    """

    first_gradient: float
    first_gradient_in: str
    first_spike_step: int | None
    first_spike_count: int
    spikes_per_step: int
    shares: list[float]


def compare_trainings(one: Training, other: Training) -> Differences:
    differences = {name: relative_difference(one.first_gradient[name], other.first_gradient[name]) for name in one.first_gradient}
    largest = max(differences, key=differences.__getitem__)
    counts = [int(np.bitwise_count(a ^ b).sum()) for a, b in zip(one.spikes, other.spikes, strict=True)]
    first = next((i for i, count in enumerate(counts) if count), None)
    return Differences(
        first_gradient=differences[largest],
        first_gradient_in=largest,
        first_spike_step=None if first is None else first + 1,
        first_spike_count=0 if first is None else counts[first],
        spikes_per_step=one.spikes_per_step,
        shares=[count / one.spikes_per_step for count in counts],
    )


def compare_networks(one: OpenTrainer, other: OpenTrainer, experiment: Experiment) -> Divergence:
    """Return where the two networks first spike differently on the test images, both with the experiment's weights."""
    runs = []
    for open_trainer in (one, other):
        with open_trainer(experiment) as trainer, recording(layers=["hidden"]) as recorded:
            trainer.predict(experiment.test.images)
        runs.append(recorded.run)
    return first_divergence(*runs, terms=INPUTS)


def relative_difference(a: Floats, b: Floats) -> float:
    """Return max |a − b| / max |a, b|, 0 where both are all zeros."""
    size = max(float(np.abs(a).max()), float(np.abs(b).max()))
    return float(np.abs(a - b).max()) / size if size else 0.0
