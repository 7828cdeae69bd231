"""`arcana list` and `arcana show`: the catalogue, and one surrogate of it or of the user's."""

from __future__ import annotations

import contextlib
import inspect
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import arcana
from arcana.cli._shared import Assignments, Json, as_text, fail, surrogate_or_own, writable
from arcana.surrogate import Surrogate

COLUMNS, ROWS = 61, 10
EXTENT = 2.0

COLUMNS_OF_FACTS: dict[str, Callable[[Surrogate], str]] = {
    "peak": lambda surrogate: f"{surrogate.peak:.4g}",
    "area": lambda surrogate: f"{surrogate.area:.4g}",
    "support": lambda surrogate: "[{:g}, {:g}]".format(*surrogate.support).replace("inf", "∞"),
    "even": lambda surrogate: "yes" if surrogate.even else "no",
}
"""The facts in the list, in the order in which a wider window has room for them."""


def list_command(as_json: Json = False) -> None:
    """List the surrogates at their default parameters.

    Example: arcana list

    Example: arcana list --json
    """
    surrogates = [arcana.surrogate.get(name) for name in arcana.surrogate.names()]
    if as_json:
        typer.echo(as_text([_facts(each) for each in surrogates]))
        return
    console = Console(highlight=False, markup=False)
    # In a narrow window the facts go first, and the parameters never.
    columns = list(COLUMNS_OF_FACTS.items())[: 4 if console.width >= 80 else 2 if console.width >= 60 else 0]
    written = {each: [f"{name}={value:g}" for name, value in each.numbers.items()] for each in surrogates}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold underline")
    table.add_column("name", no_wrap=True)
    table.add_column("parameters", min_width=1 + max(len(one) for each in written.values() for one in each))
    for title, _ in columns:
        table.add_column(title, no_wrap=True)
    for each, parameters in written.items():
        table.add_row(each.name, ", ".join(parameters), *(write(each) for _, write in columns))
    console.print(table)


def show(
    name: Annotated[str, typer.Argument(help="A name of the catalogue, or module:Class.")],
    assignments: Assignments = None,
    plot: Annotated[Path | None, typer.Option(help="Write the curve of h and G there: a PNG, SVG or PDF.")] = None,
    as_json: Json = False,
) -> None:
    """Show a surrogate: its formula, facts, reference and curve.

    Example: arcana show fast_sigmoid

    Example: arcana show atan --set slope=3 --plot atan.png

    Example: arcana show my_module:Cauchy --json
    """
    surrogate = surrogate_or_own(name, assignments or [])
    writable(plot, "--plot")
    # A definition may print.
    with contextlib.redirect_stdout(sys.stderr):
        facts = {**_facts(surrogate), "formulas": _formulas(surrogate), "reference": surrogate.reference}
        curve = _curve(surrogate)
        if plot is not None:
            _plot(surrogate, plot)
    if as_json:
        typer.echo(as_text(facts))
        return
    low, high = surrogate.support
    typer.echo(repr(surrogate))
    lines = [*_formulas(surrogate), f"peak {surrogate.peak:.6g}, area {surrogate.area:.6g}, support [{low:g}, {high:g}]"]
    lines.append("even" if surrogate.even else "not known to be even")
    if surrogate.reference:
        lines.append(surrogate.reference)
    typer.echo("\n".join(f"  {line}" for line in lines))
    typer.echo("\n".join(["", *curve]))
    if plot is not None:
        typer.echo(f"The curve: {plot}")


def _facts(surrogate: Surrogate) -> dict[str, Any]:
    low, high = surrogate.support
    numbers = {"peak": surrogate.peak, "area": surrogate.area}
    return {
        **surrogate.to_dict(),
        **{name: value if math.isfinite(value) else str(value) for name, value in numbers.items()},
        "support": [value if math.isfinite(value) else str(value) for value in (low, high)],
        "even": surrogate.even,
    }


def _formulas(surrogate: Surrogate) -> list[str]:
    """Return the lines `h(v) = …` and `G(v) = …` of the docstring, each with what follows it."""
    first = (inspect.getdoc(type(surrogate)) or "").split("\n\n")
    paragraphs = [each for each in first if re.match(r"[hG]\(v\) = ", each)]
    return [" ".join(line.split()) for each in paragraphs for line in re.split(r"\n(?=[hG]\(v\) = )", each)]


def _curve(surrogate: Surrogate) -> list[str]:
    """Return h over [−2, 2] in characters: a point a column, the peak at the top."""
    v = np.linspace(-EXTENT, EXTENT, COLUMNS)
    h = surrogate.derivative(v)
    low, high = min(0.0, float(h.min())), max(0.0, float(h.max()))
    level = np.round((h - low) / ((high - low) or 1.0) * (ROWS - 1)).astype(int)
    zero = round(-low / ((high - low) or 1.0) * (ROWS - 1))
    lines = []
    for row in range(ROWS - 1, -1, -1):
        edge = f"{high:.3g}" if row == ROWS - 1 else f"{low:.3g}" if row == 0 else ""
        marks = ["*" if each == row else "-" if row == zero else " " for each in level]
        lines.append(f"{edge:>9} {''.join(marks)}".rstrip())
    return [*lines, f"{'':>9} {-EXTENT:<30g}0{EXTENT:>30g}   v = potential − threshold"]


def _plot(surrogate: Surrogate, path: Path) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        fail("--plot needs matplotlib: pip install matplotlib")
    v = np.linspace(-EXTENT, EXTENT, 1601)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(v, v >= 0, color="#555555", linestyle=":", label="spike")
    if surrogate.has_primitive():
        axes.plot(v, surrogate.primitive(v), color="#E69F00", label="G(v), the step it stands for")
    axes.plot(v, surrogate.derivative(v), color="#0072B2", label="h(v), the derivative")
    axes.set(title=repr(surrogate), xlabel="v = potential − threshold")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:
        fail(f"--plot: {error}")
