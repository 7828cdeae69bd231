"""Ours beside the others: each pair that computes the same numbers, and the floors."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

from arcana.bench.candidates import BARE, COPY, OURS, RELU, is_peer, shown
from arcana.bench.elementwise import Time

FLOORS = (RELU, COPY)


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Our time divided by another's, of one call.

    Attributes:
        ours: our time.
        other: the other's; both carry where they were measured.
    """

    ours: Time
    other: Time

    @property
    def value(self) -> float:
        """Below 1 where ours is the faster."""
        return self.ours.microseconds / self.other.microseconds

    @property
    def beside_peer(self) -> bool:
        """Whether the other is a library's."""
        return is_peer(self.other.candidate)

    def __str__(self) -> str:
        at, other = self.ours, self.other
        where = f"{at.framework} {at.mode}, {at.passes}, {at.dtype}, n = {at.size:,}"
        return f"{where}: {at.surrogate} {self.value:.2f} of {shown(other.candidate, other.differs)}"


def ratios(times: Iterable[Time], label: str = OURS) -> list[Ratio]:
    """Every pair of ours and another that was measured in the same turns; a library only beside the same numbers."""
    found = []
    for _, each in itertools.groupby(times, key=block):
        together = list(each)
        ours = [time for time in together if time.candidate == label]
        others = [time for time in together if is_peer(time.candidate) or time.candidate in (*FLOORS, BARE)]
        found += [Ratio(a, b) for a in ours for b in others if b.numbers is None or a.numbers == b.numbers]
    return found


def block(time: Time) -> tuple[str, str, str, int, str, str]:
    """What times share that were measured in the same turns."""
    return time.framework, time.mode, time.dtype, time.size, time.passes, time.surrogate


def slowest(pairs: Iterable[Ratio]) -> Ratio | None:
    """The pair in which ours is the worst."""
    return max(pairs, key=lambda pair: pair.value, default=None)
