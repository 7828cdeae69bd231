"""Ours beside the others, and tables of it: all is computed from records."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from arcana.bench.records import FLOORS, KERNELS, OURS, Record, Results

NOISE = 1.05
"""The medians of one kernel, measured twice in the same turns, differ by some percent."""

MEDIAN = "median of all"


@dataclasses.dataclass(frozen=True)
class Ratio:
    """One of our records beside another of the same turns."""

    ours: Record
    other: Record

    @property
    def value(self) -> float:
        """Ours divided by the other: below 1 ours takes less."""
        return self.ours.value / self.other.value if self.other.value else float("inf")

    def __str__(self) -> str:
        at = self.ours
        where = f"{at.part}, {at.framework} {at.mode}, {at.quantity}, {at.dtype}, n = {at.size:,}"
        return f"{where}: {at.surrogate} {self.value:.2f} of {self.other.shown}"


def ratios(records: Iterable[Record]) -> list[Ratio]:
    """Return each of ours beside every other that took turns with it and computes the same numbers, or none."""
    turns: dict[tuple[Any, ...], list[Record]] = {}
    for each in records:
        key = (each.part, each.framework, each.mode, each.dtype, each.size, each.surrogate, each.quantity)
        turns.setdefault(key, []).append(each)
    return [
        Ratio(ours, other)
        for together in turns.values()
        for ours in together
        for other in together
        if ours.candidate in (OURS, KERNELS)
        if other.of_peer or other.candidate in FLOORS
        if other.numbers in (None, ours.numbers)
    ]


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are aligned, so that it is read as text too; from the third on they hold numbers."""
    lines = [heads, *rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    align = [*[str.ljust] * 2, *[str.rjust] * (len(heads) - 2)]
    cells = [[to(cell, width) for to, cell, width in zip(align, line, widths, strict=True)] for line in lines]
    cells.insert(
        1, ["-" * width if to is str.ljust else "-" * (width - 1) + ":" for to, width in zip(align, widths, strict=True)]
    )
    return "\n".join([title, "", *(f"| {' | '.join(line)} |" for line in cells), ""])


def tables(records: Sequence[Record]) -> list[str]:
    """Return a table for each framework and mode of each part: times of calls by size, everything else by quantity."""
    pairs = ratios(records)
    with_peers = {(each.ours.framework, each.ours.surrogate) for each in pairs if each.other.of_peer}
    grids: dict[str, dict[tuple[str, str], dict[str, list[Ratio]]]] = {}
    for pair in pairs:
        at, beside = pair.ours, pair.other.shown
        by_size = at.part == "elementwise"
        title = f"{at.part.capitalize()}, {at.framework} {at.mode}, {at.dtype}, {at.candidate}"
        title += f": {at.quantity}, {at.unit}" if by_size else f": n = {at.size:,}"
        column = f"{at.size:,}" if by_size else f"{at.quantity}, {at.unit}"
        alone = pair.other.of_peer or (at.framework, at.surrogate) not in with_peers
        for row in [(at.surrogate, beside)] * alone + [(MEDIAN, beside)] * (not pair.other.of_peer):
            grids.setdefault(title, {}).setdefault(row, {}).setdefault(column, []).append(pair)
    found = []
    for title, cells in grids.items():
        columns = list(dict.fromkeys(column for of_row in cells.values() for column in of_row))
        ordered = sorted(cells, key=lambda row: row[0] == MEDIAN)
        rows = [[*row, *(_cell(cells[row].get(column)) for column in columns)] for row in ordered]
        found.append(table(title, ["surrogate", "beside", *columns], rows))
    return found


def summary(results: Results) -> list[str]:
    """Return the lists under the tables: what a library does faster, beyond noise, and what was left out."""
    peers = [each for each in ratios(results.records) if each.other.of_peer and each.ours.unit in ("µs", "ms")]
    slower = [str(each) for each in peers if each.value > NOISE]
    left_out = [f"{name}: {reason}" for name, reason in results.left_out.items()]
    return [listed(f"More than {NOISE - 1:.0%} slower than a library", slower), listed("Left out", left_out)]


def listed(title: str, lines: Sequence[str]) -> str:
    """Return a list of Markdown, with how many lines it has."""
    return "\n".join([f"{title}: {len(lines) or 'none'}", "", *(f"- {line}" for line in lines)]).rstrip() + "\n"


def _cell(pairs: Sequence[Ratio] | None) -> str:
    """Return the medians of ours, of the others and of the ratios."""
    if not pairs:
        return ""
    values = [(each.ours.value, each.other.value, each.value) for each in pairs]
    ours, other, ratio = (statistics.median(each) for each in zip(*values, strict=True))
    return f"{number(ours)} / {number(other)}" + (f" = {ratio:.2f}" if number(other) != "0.0" else "")


def number(value: float) -> str:
    """Return a number with three digits or more."""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
