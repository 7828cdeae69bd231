"""The results as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from arcana.bench.candidates import BARE, COPY, OURS, RELU, shown
from arcana.bench.imports import Import
from arcana.bench.layer import Step
from arcana.bench.memory import Use
from arcana.bench.pairs import pairs
from arcana.bench.rows import TITLES, Row, tables
from arcana.bench.run import Results
from arcana.bench.summary import summary
from arcana.bench.targets import IMPORT_MILLISECONDS


def render(results: Results) -> Group:
    """A table for each framework, mode and pass, then memory, the layer, imports, and what missed its target."""
    parts: list[RenderableType] = [Text(_heading(results))]
    labels = dict.fromkeys(time.candidate for time in results.times if time.candidate.startswith(OURS))
    for label in labels:
        parts += [_times(f"{each.title}: {label}, µs", rows) for each, rows in tables(results.times, label).items()]
    if results.uses:
        parts.append(_uses(results.uses))
    if results.layers:
        parts.append(_layers(results.layers))
    if results.imports:
        parts.append(_imports(results.imports))
    return Group(*parts, *(Text(line) for line in summary(results)))


def _heading(results: Results) -> str:
    about = results.machine
    packages = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}\n{packages}"


def _table(title: str, left: Iterable[str], right: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _times(title: str, rows: list[Row]) -> Table:
    floors = [label for label in (BARE, RELU, COPY) if any(label in row.floors for row in rows)]
    table = _table(title, ["surrogate", "peer"], ["n", "ours", "theirs", "ratio", "target", *floors])
    shown = None
    for row in rows:
        name = "" if row.surrogate == shown else row.surrogate
        shown = row.surrogate
        beside = [_number(row.floors.get(label)) for label in floors]
        table.add_row(name, *_peer(row), f"{row.size:,}", _number(row.ours.microseconds), *_ratio(row), *beside)
    return table


def _peer(row: Row) -> Iterator[str]:
    yield shown(row.peer.other.candidate, row.peer.other.differs) if row.peer else ""


def _ratio(row: Row) -> Iterator[Text | str]:
    yield _number(row.peer.other.microseconds) if row.peer else ""
    yield f"{row.peer.value:.2f}" if row.peer else ""
    verdict = row.verdict
    if verdict is None:
        yield ""
    else:
        yield Text(f"{verdict.at_most:g} {'✓' if verdict.met else '✗'}", style="green" if verdict.met else "red")


def _number(microseconds: float | None) -> str:
    if microseconds is None:
        return ""
    return f"{microseconds:,.1f}" if microseconds < 100 else f"{microseconds:,.0f}"


def _uses(uses: list[Use]) -> Table:
    title = f"Memory of forward + backward, bytes an element, n = {uses[0].size:,}, {uses[0].dtype}"
    table = _table(title, ["", "surrogate", "peer"], ["ours, peak", "kept", "theirs, peak", "kept"])
    for ours, theirs in pairs(uses):
        where = f"{TITLES[ours.framework]} {ours.mode}"
        beside = [f"{theirs.peak:.1f}", f"{theirs.kept:.1f}"] if theirs else ["", ""]
        name = shown(theirs.candidate, theirs.differs) if theirs else ""
        table.add_row(where, ours.surrogate, name, f"{ours.peak:.1f}", f"{ours.kept:.1f}", *beside)
    return table


def _layers(layers: list[Step]) -> Table:
    first = layers[0]
    title = f"Linear + leaky integrate-and-fire, {first.neurons} neurons, {first.steps} steps, forward + backward, {first.dtype}"
    table = _table(title, ["", "surrogate", "peer"], ["ours, ms", "MB", "theirs, ms", "MB", "ratio"])
    for ours, theirs in pairs(layers):
        where = f"{TITLES[ours.framework]} {ours.mode}"
        name = shown(theirs.candidate, theirs.differs) if theirs else ""
        ratio = f"{ours.milliseconds / theirs.milliseconds:.2f}" if theirs else ""
        table.add_row(where, ours.surrogate, name, *_layer(ours), *_layer(theirs), ratio)
    return table


def _layer(step: Step | None) -> tuple[str, str]:
    if step is None:
        return "", ""
    return f"{step.milliseconds:,.1f}", "" if step.megabytes is None else f"{step.megabytes:,.0f}"


def _imports(imports: list[Import]) -> Table:
    table = _table("Imports in fresh processes", ["module", "after"], ["ms", "target"])
    for each in imports:
        target = f"{IMPORT_MILLISECONDS:g} {'✓' if each.milliseconds <= IMPORT_MILLISECONDS else '✗'}" if each.after else ""
        table.add_row(each.module, each.after or "", f"{each.milliseconds:,.1f}", target)
    return table
