"""The second part: what one call on a large array occupies, in bytes an element."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable
from typing import Any

from arcana.bench.candidates import Candidate, field_of
from arcana.bench.elementwise import Arrays, usable
from arcana.bench.memory_use import use_of
from arcana.bench.settings import Settings

SMALLEST = 1_048_576
"""Elements: of smaller arrays the kernel's count is too coarse."""


@dataclasses.dataclass(frozen=True)
class Use:
    """The memory of one candidate, beyond the potential and the cotangent that are given to it.

    Attributes:
        framework: torch or jax.
        mode: eager or compiled.
        dtype: of the potential.
        size: elements.
        surrogate: name of the surrogate in the catalogue.
        candidate: its label.
        numbers: the surrogate whose numbers it computes.
        differs: whether a library computes something else than its preset.
        peak: bytes an element at the peak of forward + backward.
        kept: bytes an element kept between them, the potential's own if it is kept, the spikes left out.
    """

    framework: str
    mode: str
    dtype: str
    size: int
    surrogate: str
    candidate: str
    numbers: str | None
    differs: bool
    peak: float
    kept: float


def measure(
    framework: str, settings: Settings, say: Callable[[str], object], executor: concurrent.futures.Executor
) -> tuple[list[Use], dict[str, str]]:
    """The memory of all surrogates in one framework at the largest size, counted in another process, and what it leaves out."""
    if max(settings.sizes) < SMALLEST:
        return [], {"memory": f"is counted of {SMALLEST:,} elements and more"}
    uses, left_out = [], {}
    for name in settings.surrogates:
        say(f"memory: {framework}, {name}, n = {max(settings.sizes):,}")
        with_floors = name == settings.surrogates[0]
        found, reasons = executor.submit(_of_surrogate, framework, name, settings, with_floors).result()
        uses += found
        left_out |= reasons
    return uses, left_out


def _of_surrogate(framework: str, name: str, settings: Settings, with_floors: bool) -> tuple[list[Use], dict[str, str]]:
    field, size = field_of(framework, (name,)), max(settings.sizes)
    uses = []
    with field.side.ready(settings.dtype):
        arrays = Arrays(field.side, size, settings.dtype)
        for mode in settings.modes:
            candidates = usable(field, name, mode, arrays)
            for candidate in [each for each in candidates if with_floors or each.surrogate is not None]:
                with candidate.setting():
                    peak, kept = _peak(field.side, candidate, arrays, mode), _kept(field.side, candidate, arrays, mode)
                where = (framework, mode, settings.dtype, size, name, candidate.label, candidate.numbers, candidate.differs)
                uses.append(Use(*where, peak=peak / size, kept=kept / size))
            field.side.forget(mode)
    return uses, field.left_out


def _peak(side: Any, candidate: Candidate, arrays: Arrays, mode: str) -> int:
    call = side.forward_backward(candidate.function, arrays.potential(candidate.threshold), arrays.cotangent, mode)
    call()  # compiles, and fills caches that stay
    return use_of(call)[0].peak


def _kept(side: Any, candidate: Candidate, arrays: Arrays, mode: str) -> int:
    """Bytes between the passes, of a potential that nobody else holds: it is made within, and counts if it is kept."""

    def function(base: Any) -> Any:
        return candidate.function(base * 1)

    begin = side.start(function, arrays.potential(candidate.threshold), mode)
    begin()
    memory, (spikes, _) = use_of(begin)
    return max(memory.held - spikes.nbytes, 0)
