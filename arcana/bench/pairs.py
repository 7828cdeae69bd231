"""Ours beside a library's with the same numbers, for anything that was measured of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from arcana.bench.candidates import OURS, is_peer


class Measured(Protocol):
    """What the results of memory and of the layer have in common."""

    @property
    def framework(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def surrogate(self) -> str: ...
    @property
    def candidate(self) -> str: ...
    @property
    def numbers(self) -> str | None: ...


MeasuredT = TypeVar("MeasuredT", bound=Measured)


def pairs(measured: Sequence[MeasuredT]) -> list[tuple[MeasuredT, MeasuredT | None]]:
    """Every one of ours with each library's of the same numbers, or with None."""
    found = []
    for ours in measured:
        if ours.candidate == OURS:
            others = [each for each in measured if _same(ours, each)]
            found += [(ours, each) for each in others] or [(ours, None)]
    return found


def _same(ours: Measured, other: Measured) -> bool:
    together = (ours.framework, ours.mode, ours.surrogate) == (other.framework, other.mode, other.surrogate)
    return together and is_peer(other.candidate) and ours.numbers == other.numbers
