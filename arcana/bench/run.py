"""A run and its parts, each of which measures the candidates of a case and returns records."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from arcana import surrogate as definitions
from arcana.bench import memory
from arcana.bench.candidates import Case
from arcana.bench.libraries import LIBRARIES, Array
from arcana.bench.records import BOTH, FORWARD, Candidate, Record, Results, Settings, machine, packages
from arcana.bench.timing import in_turn

LAYER_SECONDS = 40
"""How many times longer than one size of the elementwise part the layer is timed: a call is a training step."""

LEAST_COUNTED = 1_048_576
"""Elements: of smaller arrays the kernel's count of memory is too coarse."""


def run(settings: Settings, frameworks: Sequence[str], say: Callable[[str], object]) -> Results:
    """Measure the chosen parts in those of the frameworks that are installed; `say` is told what is being measured."""
    results = Results(settings=dataclasses.asdict(settings), machine=machine(), packages=packages(["torch", "jax", *LIBRARIES]))
    cases = [
        Case(settings, part, framework, mode, surrogate)
        for part in _MEASURE
        if part in settings.parts
        for framework in frameworks
        for surrogate in settings.chosen or (["fast_sigmoid"] if part == "layer" else definitions.names())
        for mode in settings.modes
    ]
    for case in cases:
        case.candidates()  # imports the libraries, and compares their numbers, before anything is timed
    # Free a large block, as any program that has trained a step: then glibc keeps freed memory and no call times page faults.
    # malloc keeps as much as twice the largest block that was freed, and blocks of more than 32 MiB do not count.
    bytes(1 << 24)
    with memory.counting_process() as executor:
        for case in cases:
            say(f"{case.part}: {case.framework}, {case.mode}, {case.surrogate}")
            with case.side.ready(settings.dtype):
                results.records += _MEASURE[case.part](case, executor)
                case.side.forget(case.mode)
            results.left_out |= case.left_out
    return results


def elementwise(case: Case, executor: Executor | None) -> list[Record]:
    """Time one call on an array, forward alone and with its backward."""
    records, sizes = [], case.settings.sizes
    candidates = _usable(case, sizes[0])
    for size in sizes:
        for quantity in (FORWARD, BOTH):
            calls = {each: _call(case, each, size, quantity) for each in candidates}
            for candidate, turns in in_turn(calls, case.settings.seconds).items():
                samples = [1e6 * each for each in turns]
                records.append(case.record(samples, candidate, quantity=quantity, unit="µs", size=size))
        case.side.forget(case.mode)
    return records


def memory_use(case: Case, executor: Executor | None) -> list[Record]:
    """Count what one call occupies at the largest size, beyond its arguments."""
    if max(case.settings.sizes) < LEAST_COUNTED:
        case.left_out["memory"] = f"is counted of {LEAST_COUNTED:,} elements and more"
        return []
    return _counted(_uses, case, executor)


def layer(case: Case, executor: Executor | None) -> list[Record]:
    """Time a linear layer with leaky integrate-and-fire neurons, with every spike function, and count its memory.

    All currents are computed at once, then the neurons advance step by step: potential · decay + current, the candidate's
    spike function, and each spike subtracts the threshold without a gradient. Only the spike function differs.
    """
    about = {"quantity": BOTH, "unit": "ms", "size": case.settings.neurons}
    times = in_turn(_layer_calls(case), LAYER_SECONDS * case.settings.seconds)
    records = [case.record([1e3 * each for each in turns], candidate, **about) for candidate, turns in times.items()]
    return records + _counted(_layer_peaks, case, executor)


_MEASURE = {"elementwise": elementwise, "memory": memory_use, "layer": layer}


@functools.cache
def _arrays(side: Any, size: int, dtype: str, threshold: float = 0.0) -> tuple[Any, Any]:
    """Return potentials, raised by a threshold that a library subtracts itself, and a cotangent; equal in every framework."""
    if threshold:
        potential, cotangent = _arrays(side, size, dtype)
        return potential + threshold, cotangent
    generator = np.random.default_rng(0)
    potential, cotangent = (side.array(generator.standard_normal(size, np.float32), dtype) for _ in range(2))
    return potential, cotangent


def _call(case: Case, candidate: Candidate, size: int, quantity: str) -> Callable[[], None]:
    v, cotangent = _arrays(case.side, size, case.settings.dtype, candidate.threshold)
    if quantity == FORWARD:
        return case.side.forward(candidate.function, v, case.mode)
    return case.side.forward_backward(candidate.function, v, cotangent, case.mode)


def _usable(case: Case, size: int) -> list[Candidate]:
    """Return the candidates that do not raise on arrays of this size."""
    return list(case.calls(case.settings.dtype, lambda each: _call(case, each, size, BOTH)))


def layer_arrays(neurons: int, steps: int = 500, batch: int = 16) -> tuple[Array, Array, Array]:
    """Return input spikes (steps, batch, inputs), a weight, and a cotangent of the output; equal arguments give equal numbers."""
    generator, shape = np.random.default_rng(0), (steps, batch, neurons)
    bound = 2 * (3 / neurons) ** 0.5  # twice a Glorot bound, so that the neurons fire
    spikes = (generator.random(shape, np.float32) < 0.1).astype(np.float32)
    weight = generator.uniform(-bound, bound, (neurons, neurons)).astype(np.float32)
    return spikes, weight, generator.standard_normal(shape, np.float32)


def _layer_calls(case: Case) -> dict[Candidate, Callable[[], None]]:
    given, side = layer_arrays(case.settings.neurons), case.side

    def call_of(candidate: Candidate) -> Callable[[], None]:
        spikes, weight, cotangent = (side.array(each, case.settings.dtype) for each in given)
        function, mode = side.network(candidate, spikes, case.mode)
        return side.forward_backward(function, weight, cotangent, mode)

    return case.calls("layer", call_of)


def _counted(function: Callable[[Case], list[Record]], case: Case, executor: Executor | None) -> list[Record]:
    """Return the records that a function makes of a case in the executor's process, if there is one."""
    if executor is None:
        case.left_out["memory"] = "can be counted on Linux with glibc only"
        return []
    records, left_out = executor.submit(_in_process, function, case).result()
    case.left_out.update(left_out)
    return records


def _in_process(function: Callable[[Case], list[Record]], case: Case) -> tuple[list[Record], dict[str, str]]:
    with case.side.ready(case.settings.dtype):
        records = function(case)
        case.side.forget(case.mode)
    return records, case.left_out


def _uses(case: Case) -> list[Record]:
    """Return the bytes an element of each candidate, at the peak and between the passes."""
    records, size, side = [], max(case.settings.sizes), case.side
    for candidate in _usable(case, size):
        with candidate.setting():
            call = _call(case, candidate, size, BOTH)
            call()  # compiles, and fills caches that stay
            peak, _, _ = memory.use_of(call)
            v, _ = _arrays(side, size, case.settings.dtype, candidate.threshold)
            # Of a potential that nobody else holds: it is made within, and counts if it is kept.
            begin = side.start(lambda base, function=candidate.function: function(base * 1), v, case.mode)
            begin()
            _, held, (spikes, _) = memory.use_of(begin)
        for quantity, used in (("peak", peak), ("kept", max(held - spikes.nbytes, 0))):
            records.append(case.record([used / size], candidate, quantity=quantity, unit="bytes an element", size=size))
    return records


def _layer_peaks(case: Case) -> list[Record]:
    """Return the bytes of the layer with each candidate, at the peak."""
    records = []
    for candidate, call in _layer_calls(case).items():
        with candidate.setting():
            call()
            peak = memory.use_of(call)[0] / 2**20
        records.append(case.record([peak], candidate, quantity="peak", unit="MB", size=case.settings.neurons))
    return records
