"""The first part: one call on an array, forward alone and with its backward."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from arcana.bench.candidates import Candidate, Field, is_peer, one_line
from arcana.bench.settings import Settings
from arcana.bench.timing import Timing, in_turn

FORWARD, BOTH = "forward", "forward + backward"


@dataclasses.dataclass(frozen=True)
class Time:
    """The median time of one candidate at one size.

    Attributes:
        framework: torch or jax.
        mode: eager or compiled.
        dtype: of the potential.
        size: elements.
        passes: "forward" or "forward + backward".
        surrogate: name of the surrogate in the catalogue, in whose turn this was measured.
        candidate: its label.
        numbers: the surrogate whose numbers it computes; None for `relu` and `copy`.
        differs: whether a library computes something else than its preset.
        microseconds: the median of a call.
        turns: of how many.
    """

    framework: str
    mode: str
    dtype: str
    size: int
    passes: str
    surrogate: str
    candidate: str
    numbers: str | None
    differs: bool
    microseconds: float
    turns: int


def measure(framework: str, field: Field, settings: Settings, say: Callable[[str], object]) -> list[Time]:
    """The times of all surrogates in one framework."""
    _keep_memory()
    with field.side.ready(settings.dtype):
        arrays = {size: Arrays(field.side, size, settings.dtype) for size in settings.sizes}
        times = []
        for name in settings.surrogates:
            for mode in settings.modes:
                candidates = usable(field, name, mode, arrays[settings.sizes[0]])
                for size in settings.sizes:
                    say(f"{framework}, {mode}, {name}, n = {size:,}")
                    for passes in (FORWARD, BOTH):
                        calls = {each: _call(field, each, arrays[size], mode, passes) for each in candidates}
                        timings = in_turn(calls, settings.seconds, around=lambda each: each.setting())
                        where = (framework, mode, settings.dtype, size, passes, name)
                        times += [_time(*where, each, timing) for each, timing in timings.items()]
                    field.side.forget(mode)
        return times


def _keep_memory() -> None:
    """Free a large block, as any program that has trained a step: then glibc keeps freed memory and no call times page faults."""
    # malloc keeps as much as twice the largest block that was freed, and blocks of more than 32 MiB do not count.
    bytes(1 << 24)


class Arrays:
    """Potentials and a cotangent, from the standard normal distribution; the same numbers in every framework."""

    def __init__(self, side: Any, size: int, dtype: str) -> None:
        self.dtype = dtype
        generator = np.random.default_rng(0)
        potential, cotangent = (generator.standard_normal(size, np.float32) for _ in range(2))
        self._array = functools.partial(side.array, dtype=dtype)
        self._potentials = {0.0: self._array(potential)}
        self.cotangent = self._array(cotangent)

    def potential(self, threshold: float) -> Any:
        """The potentials, raised by the threshold that a library takes off itself."""
        if threshold not in self._potentials:
            self._potentials[threshold] = self._potentials[0.0] + threshold
        return self._potentials[threshold]


def usable(field: Field, name: str, mode: str, arrays: Arrays) -> list[Candidate]:
    """The candidates for a surrogate, without the libraries' that raise on such arrays; they are noted as left out."""
    found = []
    for candidate in field.candidates(name, mode):
        try:
            _call(field, candidate, arrays, mode, BOTH)()
        except Exception as error:
            if not is_peer(candidate.label):
                raise
            field.left_out[f"{candidate.label}, {mode}, {arrays.dtype}"] = f"raises {one_line(error)}"
        else:
            found.append(candidate)
    return found


def _call(field: Field, candidate: Candidate, arrays: Arrays, mode: str, passes: str) -> Callable[[], None]:
    v = arrays.potential(candidate.threshold)
    if passes == FORWARD:
        return field.side.forward(candidate.function, v, mode)
    return field.side.forward_backward(candidate.function, v, arrays.cotangent, mode)


def _time(
    framework: str, mode: str, dtype: str, size: int, passes: str, surrogate: str, candidate: Candidate, timing: Timing
) -> Time:
    return Time(
        framework=framework,
        mode=mode,
        dtype=dtype,
        size=size,
        passes=passes,
        surrogate=surrogate,
        candidate=candidate.label,
        numbers=candidate.numbers,
        differs=candidate.differs,
        microseconds=timing.microseconds,
        turns=timing.turns,
    )
