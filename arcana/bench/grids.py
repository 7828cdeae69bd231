"""The results as grids of text, for the terminal and for the page alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from arcana.bench.candidates import BARE, COPY, OURS, RELU, is_peer, shown
from arcana.bench.elementwise import Time
from arcana.bench.imports import Import
from arcana.bench.layer import BATCH, Step
from arcana.bench.memory import Use
from arcana.bench.pairs import pairs
from arcana.bench.rows import TITLES, Row, tables
from arcana.bench.targets import IMPORT_MILLISECONDS, Verdict, library

MET, MISSED = "✓", "✗"


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table of text.

    Attributes:
        title: above it.
        left: the heads of the columns whose cells are names.
        right: the heads of those whose cells are numbers, after the others.
        rows: the cells.
    """

    title: str
    left: Sequence[str]
    right: Sequence[str]
    rows: Sequence[Sequence[str]]


def labels(times: Sequence[Time]) -> list[str]:
    """Our ways of running that were measured."""
    return list(dict.fromkeys(time.candidate for time in times if time.candidate.startswith(OURS)))


def of_times(times: Sequence[Time]) -> list[Grid]:
    """Every surrogate at every size, a grid for each framework, mode and pass."""
    return [
        _of_rows(f"{table.title}: {label}, µs", rows) for label in labels(times) for table, rows in tables(times, label).items()
    ]


def _of_rows(title: str, rows: Sequence[Row]) -> Grid:
    floors = [label for label in (BARE, RELU, COPY) if any(label in row.floors for row in rows)]
    heads = ["n", "ours", "theirs", "ratio", *floors, "target"]
    return Grid(title, ["surrogate", "library"], heads, [_cells(row, floors) for row in rows])


def _cells(row: Row, floors: Sequence[str]) -> list[str]:
    name, theirs, ratio = "", "", ""
    if row.peer:
        other = row.peer.other
        name, theirs, ratio = shown(library(other.candidate), other.differs), number(other.microseconds), f"{row.peer.value:.2f}"
    beside = [number(row.floors[label]) for label in floors]
    return [row.surrogate, name, f"{row.size:,}", number(row.ours.microseconds), theirs, ratio, *beside, target(row.verdict)]


def target(verdict: Verdict | None) -> str:
    """The largest ratio allowed, beside what, and whether it was met."""
    if verdict is None:
        return ""
    other = verdict.ratio.other.candidate
    beside = library(other) if is_peer(other) else other
    return f"{beside} {verdict.at_most:g} {MET if verdict.met else MISSED}"


def number(microseconds: float) -> str:
    """Three digits or more."""
    return f"{microseconds:,.1f}" if microseconds < 100 else f"{microseconds:,.0f}"


def of_uses(uses: Sequence[Use]) -> Grid:
    """The bytes of an element, at the peak and between the passes."""
    title = f"Memory of forward + backward, bytes an element, n = {uses[0].size:,}, {uses[0].dtype}"
    floors = [use for use in uses if use.candidate in (RELU, COPY)]
    rows = [_use(use.candidate, use, None) for use in floors]
    rows += [_use(ours.surrogate, ours, theirs) for ours, theirs in pairs(uses)]
    return Grid(title, ["", "surrogate", "library's"], ["ours, peak", "kept", "theirs, peak", "kept"], rows)


def _use(name: str, ours: Use, theirs: Use | None) -> list[str]:
    beside = ["", "", ""]
    numbers = [f"{ours.peak:.1f}", f"{ours.kept:.1f}"]
    if theirs:
        beside = [shown(theirs.candidate, theirs.differs), f"{theirs.peak:.1f}", f"{theirs.kept:.1f}"]
    return [f"{TITLES[ours.framework]} {ours.mode}", name, beside[0], *numbers, *beside[1:]]


def of_layers(layers: Sequence[Step]) -> Grid:
    """The layer's time and peak memory with each spike function."""
    one = layers[0]
    shape = f"{one.neurons} inputs and neurons, batch {BATCH}, {one.steps} steps"
    title = f"Linear + leaky integrate-and-fire, {shape}, forward + backward, {one.dtype}"
    rows = [_layer(step.candidate, step, None) for step in layers if step.candidate == RELU]
    rows += [_layer(ours.surrogate, ours, theirs) for ours, theirs in pairs(layers)]
    return Grid(title, ["", "surrogate", "library's"], ["ours, ms", "MB", "theirs, ms", "MB", "ratio"], rows)


def _layer(name: str, ours: Step, theirs: Step | None) -> list[str]:
    beside = ["", "", "", ""]
    if theirs:
        ratio = f"{ours.milliseconds / theirs.milliseconds:.2f}"
        beside = [shown(theirs.candidate, theirs.differs), *_numbers(theirs), ratio]
    return [f"{TITLES[ours.framework]} {ours.mode}", name, beside[0], *_numbers(ours), *beside[1:]]


def _numbers(step: Step) -> list[str]:
    return [f"{step.milliseconds:,.1f}", "" if step.megabytes is None else f"{step.megabytes:,.0f}"]


def of_imports(imports: Sequence[Import]) -> Grid:
    """The time of each import."""
    rows = [[each.module, each.after or "", f"{each.milliseconds:,.1f}", _import_target(each)] for each in imports]
    return Grid("Imports in fresh processes", ["import", "after"], ["ms", "target"], rows)


def _import_target(each: Import) -> str:
    if each.after is None:
        return ""
    return f"{IMPORT_MILLISECONDS:g} {MET if each.milliseconds <= IMPORT_MILLISECONDS else MISSED}"
