"""The results as the terminal shows them."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from arcana.bench.grids import MET, MISSED, Grid, of_imports, of_layers, of_times, of_uses
from arcana.bench.run import Results
from arcana.bench.summary import summary

WIDTH = 110
"""Columns that the widest table takes; a narrower terminal breaks its lines."""

STYLES = {MET: "green", MISSED: "red"}


def show(results: Results) -> None:
    """Print what was measured where, the tables, and the lists under them."""
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    for line in heading(results):
        console.print(line, markup=False, soft_wrap=True)
    for grid in grids(results):
        console.print(_table(grid))
    for title, lines in summary(results).items():
        console.print(f"{title}: {len(lines) or 'none'}", markup=False)
        for line in lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)


def heading(results: Results) -> list[str]:
    """The machine and the versions."""
    about = results.machine
    packages = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return [f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}", packages]


def grids(results: Results) -> list[Grid]:
    """All that were measured."""
    found = of_times(results.times)
    found += [of_uses(results.uses)] if results.uses else []
    found += [of_layers(results.layers)] if results.layers else []
    found += [of_imports(results.imports)] if results.imports else []
    return found


def _table(grid: Grid) -> Table:
    table = Table(title=grid.title, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for head in grid.left:
        table.add_column(head, no_wrap=True)
    for head in grid.right:
        table.add_column(head, justify="right", no_wrap=True)
    above = ""
    for first, *rest in grid.rows:
        # What a row has in common with the one above it is not said again.
        table.add_row("" if first == above else first, *(Text(cell, STYLES.get(cell[-1:], "")) for cell in rest))
        above = first
    return table
