"""The third part, the shape by which users compare libraries: one linear layer with leaky integrate-and-fire neurons.

The input is a spike train, all currents are computed at once, and then the neurons advance step by step: potential · decay +
current, the spike function of the candidate, and the spike takes the threshold off without a gradient. It is written once for
each framework, in `torch_layer` and `jax_layer`, and only the spike function differs.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import importlib
from collections.abc import Callable

import numpy as np

from arcana.bench.candidates import BARE, COPY, Candidate, Field, field_of, is_peer, one_line
from arcana.bench.libraries import Array
from arcana.bench.memory_use import use_of
from arcana.bench.settings import Settings
from arcana.bench.timing import in_turn

BATCH, DECAY, THRESHOLD = 16, 0.9, 1.0
INPUT_RATE = 0.1

SECONDS = 40
"""How many times longer than one size of the elementwise part: a call is a training step."""


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What every network of a run starts from.

    Attributes:
        spikes: the input, (steps, batch, inputs).
        weight: (inputs, neurons).
        cotangent: of the output spikes, (steps, batch, neurons).
    """

    spikes: Array
    weight: Array
    cotangent: Array


@dataclasses.dataclass(frozen=True)
class Step:
    """Forward and backward of the whole layer with one spike function.

    Attributes:
        framework: torch or jax.
        mode: eager or compiled.
        dtype: of everything.
        neurons: inputs and outputs.
        steps: of the input.
        surrogate: name of the surrogate in the catalogue.
        candidate: its label.
        numbers: the surrogate whose numbers the spike function computes.
        differs: whether a library computes something else than its preset.
        milliseconds: the median of forward + backward.
        turns: of how many.
        megabytes: at the peak, beyond the weights and the input; None where it cannot be counted.
    """

    framework: str
    mode: str
    dtype: str
    neurons: int
    steps: int
    surrogate: str
    candidate: str
    numbers: str | None
    differs: bool
    milliseconds: float
    turns: int
    megabytes: float | None


def numbers(settings: Settings) -> Numbers:
    """Equal settings give equal numbers."""
    generator = np.random.default_rng(0)
    shape = (settings.steps, BATCH, settings.neurons)
    # Twice a Glorot bound, so that the neurons fire.
    bound = 2 * (3 / settings.neurons) ** 0.5
    return Numbers(
        spikes=(generator.random(shape, np.float32) < INPUT_RATE).astype(np.float32),
        weight=generator.uniform(-bound, bound, (settings.neurons, settings.neurons)).astype(np.float32),
        cotangent=generator.standard_normal(shape, np.float32),
    )


def measure(
    framework: str,
    field: Field,
    settings: Settings,
    say: Callable[[str], object],
    executor: concurrent.futures.Executor | None,
) -> list[Step]:
    """The layer with every spike function of one framework; its memory is counted by the executor, if there is one."""
    found = []
    with field.side.ready(settings.dtype):
        for name in settings.layer_surrogates:
            for mode in settings.modes:
                say(f"layer: {framework}, {mode}, {name}")
                calls = networks(framework, field, name, mode, settings)
                timings = in_turn(calls, SECONDS * settings.seconds, around=lambda each: each.setting())
                peaks = executor.submit(peaks_of, framework, name, mode, settings).result() if executor else {}
                where = (framework, mode, settings.dtype, settings.neurons, settings.steps, name)
                for each, timing in timings.items():
                    about = (each.label, each.numbers, each.differs, timing.microseconds / 1e3, timing.turns)
                    found.append(Step(*where, *about, peaks.get((each.label, each.numbers))))
                field.side.forget(mode)
    return found


def networks(framework: str, field: Field, name: str, mode: str, settings: Settings) -> dict[Candidate, Callable[[], None]]:
    """Of every candidate that runs in the layer a call of forward and backward."""
    given = numbers(settings)
    twin = importlib.import_module(f"arcana.bench.{framework}_layer")
    found = {}
    for candidate in field.candidates(name, mode):
        if candidate.label in (BARE, COPY):
            continue
        call = twin.forward_backward(candidate, given, mode, settings.dtype)
        try:
            call()
        except Exception as error:
            if not is_peer(candidate.label):
                raise
            field.left_out[f"{candidate.label}, {mode}, layer"] = f"raises {one_line(error)}"
        else:
            found[candidate] = call
    return found


def peaks_of(framework: str, name: str, mode: str, settings: Settings) -> dict[tuple[str, str | None], float]:
    """Megabytes at the peak, by a candidate's label and numbers."""
    field = field_of(framework, (name,))
    with field.side.ready(settings.dtype):
        calls = networks(framework, field, name, mode, settings)
        peaks = {}
        for each, call in calls.items():
            with each.setting():
                call()
                peaks[each.label, each.numbers] = use_of(call)[0].peak / 2**20
        return peaks
