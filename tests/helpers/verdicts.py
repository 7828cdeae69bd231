"""How often the verdict on a planted fault is right: `python tests/helpers/verdicts.py --seeds 20` prints the table.

Each seed draws other weights and inputs, and plants each fault in JAX (even seeds) or in torch (odd ones), in a network on
the digits and in one of three layers.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from planted import Floats, Network, draw, initial_state, jax_step, run, torch_step

from arcana.demo.experiment import TrainingSettings, prepare
from arcana.surrogate import FastSigmoid
from arcana.testing import Divergence, Run, compare, first_divergence

STEPS, SAMPLES = 20, 16
NEVER = 1e6
"""The threshold of an integrator, which never fires."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network and what it is shown; with `grid` its numbers are multiples of it, so that potentials meet the threshold."""

    sizes: tuple[int, ...]
    threshold: tuple[float, ...]
    images: Callable[[int], Floats]

    def network(self, seed: int, grid: float = 0.0) -> Network:
        weights = draw(seed, self.sizes, grid=grid)
        return Network(weights, self.threshold, decay=0.5 if grid else 0.9)

    def inputs(self, seed: int, grid: float = 0.0) -> Floats:
        images = self.images(seed)
        images = np.round(images / grid) * grid if grid else images
        # On the grid the sums stay exact for so many steps.
        return np.repeat(images[None], 8 if grid else STEPS, axis=0).astype(np.float32)


def _digits(seed: int) -> Floats:
    images = prepare(TrainingSettings(surrogate=FastSigmoid(), epochs=1)).train.images
    return images[np.random.default_rng(seed).permutation(len(images))[:SAMPLES]]


def _noise(seed: int) -> Floats:
    return np.random.default_rng(seed).uniform(0, 0.3, (SAMPLES, 64))


# 64 hidden neurons, so that a transposed weight has the right shape.
SUBJECTS = {
    "digits": Subject((64, 64, 10), (1.0, NEVER), _digits),
    "three layers": Subject((64, 128, 128, 10), (1.0, 1.0, 1.0), _noise),
}


def _one_layer(network: Network, layer: int, change: Callable[[Any], Any], field: str) -> Network:
    values = list(getattr(network, field))
    values[layer] = change(values[layer])
    return dataclasses.replace(network, **{field: tuple(values)})


def _square(network: Network) -> int:
    return next(i for i, weight in enumerate(network.weights) if weight.shape[0] == weight.shape[1])


def _threshold_layer(network: Network) -> int:
    """The second layer, if it fires."""
    return 1 if network.threshold[1] != NEVER else 0


Fault = Callable[[Network, int], Network]

IN_RUNS: dict[str, tuple[Fault, str]] = {
    "float16 on one side": (lambda n, _: dataclasses.replace(n, dtype="float16"), "dtype"),
    "transposed weight": (lambda n, _: _one_layer(n, _square(n), np.transpose, "weights"), "transposed"),
    "leak reaches the input": (lambda n, _: dataclasses.replace(n, leak="after"), "leak"),
    "leak one step late": (lambda n, _: dataclasses.replace(n, leak="late"), "leak"),
    "threshold 1 % off": (lambda n, _: _one_layer(n, _threshold_layer(n), lambda t: 1.01 * t, "threshold"), "threshold"),
    "reset to zero": (lambda n, _: dataclasses.replace(n, reset="zero"), "reset"),
    "another seed": (
        lambda n, seed: dataclasses.replace(n, weights=draw(seed + 1000, [n.weights[0].shape[1], *map(len, n.weights)])),
        "seed",
    ),
}
"""Faults that two runs show, and the verdict on each."""

ARRAYS_ALONE = {"transposed weight": "unknown", "leak reaches the input": "scale", "another seed": "unknown"}
"""The verdict where the runs hold neither inputs nor weights and so it says less: β·(v + I) is the same as a scaled I."""

IN_GRADIENTS: dict[str, tuple[Fault, str]] = {
    "none": (lambda n, _: n, "same"),
    "slope 1 % off": (lambda n, _: dataclasses.replace(n, scale=1.01 * n.scale), "surrogate"),
    "reset not detached": (lambda n, _: dataclasses.replace(n, detached=False), "detached"),
}
"""Faults that only the gradients of one step show."""


def both_runs(right: Network, wrong: Network, inputs: Floats, seed: int, *, given: bool = True) -> tuple[Run, Run]:
    """The runs of torch and JAX; the wrong one is JAX's for an even seed."""
    networks = (right, wrong) if seed % 2 == 0 else (wrong, right)
    return run(networks[0], inputs, "torch", given=given), run(networks[1], inputs, "jax", given=given)


def planted_in_runs(subject: Subject, fault: str, seed: int, *, given: bool = True) -> Divergence:
    network = subject.network(seed)
    wrong = IN_RUNS[fault][0](network, seed)
    return first_divergence(*both_runs(network, wrong, subject.inputs(seed), seed, given=given))


def planted_comparison(subject: Subject, seed: int) -> Divergence:
    """`>` for `>=`, which shows only where a potential meets the threshold: on a grid."""
    grid = 1 / 8
    network = subject.network(seed, grid)
    wrong = dataclasses.replace(network, strict=True)
    return first_divergence(*both_runs(network, wrong, subject.inputs(seed, grid), seed))


def planted_in_gradients(subject: Subject, fault: str, seed: int) -> str:
    """The verdict of `compare` on one step from a random state."""
    network = subject.network(seed)
    wrong = IN_GRADIENTS[fault][0](network, seed)
    ours, theirs = (network, wrong) if seed % 2 == 0 else (wrong, network)
    generator = np.random.default_rng(seed)
    zeros = initial_state(network, SAMPLES)
    state = [(each + generator.normal(0.6, 0.5, each.shape).astype(np.float32),) * 2 for each, _ in zeros]
    return compare(torch_step(ours), jax_step(theirs, jit=False), state, subject.inputs(seed)[0]).verdict


def rounding_by_chance(subject: Subject, seed: int) -> Divergence:
    """The same network in both frameworks, JAX's compiled: a spike differs only by luck."""
    network, inputs = subject.network(seed), subject.inputs(seed)
    return first_divergence(run(network, inputs, "torch"), run(network, inputs, "jax", jit=True))


def rounding_at_the_threshold(subject: Subject, seed: int) -> Divergence:
    """Another order of summation, and a threshold between two potentials that it takes apart: a spike must differ."""
    network, inputs = subject.network(seed), subject.inputs(seed)
    other = dataclasses.replace(network, summation="reversed")
    level = _between(run(network, inputs, "torch"), run(other, inputs, "torch"))
    networks = [_one_layer(each, 0, lambda _: level, "threshold") for each in (network, other)]
    thresholds = {f"layer {i}": level if i == 1 else 1.0 for i in range(1, len(subject.sizes))}
    return first_divergence(*(run(each, inputs, "torch") for each in networks), threshold=thresholds)


def _between(ours: Run, theirs: Run) -> float:
    """The larger of two potentials that rounding takes apart, in a neuron's first step above all its earlier ones."""
    a, b = (each.layers["layer 1"].potentials for each in (ours, theirs))
    highest = np.maximum.accumulate(np.maximum(a, b), axis=0)
    rising = np.concatenate([np.ones_like(a[:1], bool), np.minimum(a, b)[1:] > highest[:-1]])
    spikes = np.asarray(ours.layers["layer 1"].spikes)
    fired = np.cumsum(spikes, axis=0) - spikes > 0
    places = np.argwhere(rising & ~fired & (a != b) & (np.minimum(a, b) > 0.5))
    place = tuple(places[len(places) // 2])
    return float(max(a[place], b[place]))


def rounding_in_float16(subject: Subject, seed: int) -> Divergence:
    """Another order of summation in float16, where spikes differ by the hundred."""
    network = dataclasses.replace(subject.network(seed), dtype="float16")
    other = dataclasses.replace(network, summation="reversed")
    inputs = subject.inputs(seed)
    return first_divergence(run(network, inputs, "torch"), run(other, inputs, "torch"))


def verdicts(subject: Subject, seed: int) -> Iterator[tuple[str, str, str]]:
    """What was planted, the verdicts that are right (by "|"), and the verdict, of every fault."""
    for fault, (_, expected) in IN_RUNS.items():
        yield fault, expected, planted_in_runs(subject, fault, seed).verdict
        alone = ARRAYS_ALONE.get(fault, expected)
        yield f"{fault}, arrays alone", alone, planted_in_runs(subject, fault, seed, given=False).verdict
    yield "`>` for `>=`", "comparison", planted_comparison(subject, seed).verdict
    for fault, (_, expected) in IN_GRADIENTS.items():
        yield fault, expected, planted_in_gradients(subject, fault, seed)
    yield "rounding by chance, compiled", "same|rounding", rounding_by_chance(subject, seed).verdict
    yield "rounding at the threshold, another order", "rounding", rounding_at_the_threshold(subject, seed).verdict
    yield "rounding in float16, another order", "rounding", rounding_in_float16(subject, seed).verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    wrong = 0
    for title, subject in SUBJECTS.items():
        found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        right: collections.Counter[str] = collections.Counter()
        for seed in range(seeds):
            for fault, expected, verdict in verdicts(subject, seed):
                found[fault][verdict] += 1
                right[fault] += verdict in expected.split("|")
        print(f"\n{title}, {seeds} seeds\n\n| planted | right | verdicts |\n|---|---|---|")
        for fault, counts in found.items():
            told = ", ".join(f"{verdict} {count}" for verdict, count in counts.most_common())
            print(f"| {fault} | {right[fault]} of {seeds} | {told} |")
            wrong += seeds - right[fault]
    print(f"\n{wrong} wrong verdicts")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
