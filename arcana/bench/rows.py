"""The elementwise times by table and row, as the terminal, the picture and the page show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from arcana.bench.candidates import OURS
from arcana.bench.elementwise import Time
from arcana.bench.ratios import Ratio, block, ratios, slowest
from arcana.bench.targets import Verdict, verdicts

TITLES = {"torch": "PyTorch", "jax": "JAX"}


class Table(NamedTuple):
    """What the rows of one table share."""

    framework: str
    mode: str
    dtype: str
    passes: str

    @property
    def title(self) -> str:
        """In words."""
        return f"{TITLES[self.framework]} {self.mode}, {self.passes}, {self.dtype}"


@dataclasses.dataclass(frozen=True)
class Row:
    """One surrogate at one size.

    Attributes:
        surrogate: its name in the catalogue.
        size: elements.
        ours: the time that is shown; beside the peer, where there is one, with that peer's numbers.
        peer: of all libraries the pair in which ours is the worst.
        floors: the times of `relu` and `copy`, and of the plain formula beside `ours`, by label.
        verdict: of the targets for this row the one that is the nearest to being missed, or missed the most.
    """

    surrogate: str
    size: int
    ours: Time
    peer: Ratio | None
    floors: dict[str, float]
    verdict: Verdict | None


def tables(times: Iterable[Time], label: str = OURS) -> dict[Table, list[Row]]:
    """Every table with its rows, for one of our ways of running (`arcana` is the one that the targets are for)."""
    blocks: dict[tuple[str, str, str, int, str, str], list[Time]] = {}
    for time in times:
        blocks.setdefault(block(time), []).append(time)
    found: dict[Table, list[Row]] = {}
    for (framework, mode, dtype, size, passes, surrogate), together in blocks.items():
        if any(time.candidate == label for time in together):
            row = _row(surrogate, size, together, label)
            found.setdefault(Table(framework, mode, dtype, passes), []).append(row)
    return found


def _row(surrogate: str, size: int, together: list[Time], label: str) -> Row:
    pairs = ratios(together, label)
    peer = slowest(pair for pair in pairs if pair.beside_peer)
    ours = peer.ours if peer else max((time for time in together if time.candidate == label), key=lambda each: each.microseconds)
    floors = {pair.other.candidate: pair.other.microseconds for pair in pairs if pair.ours is ours and not pair.beside_peer}
    judged = verdicts(pairs) if label == OURS else []
    verdict = max(judged, key=lambda each: each.ratio.value / each.at_most, default=None)
    return Row(surrogate, size, ours, peer, floors, verdict)
