"""The speed page's tables and pictures, from the cells that `nox -s bench` writes to speed.csv."""

from __future__ import annotations

import csv
import dataclasses
import functools
import statistics
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from arcana.bench.records import BOTH, FLOORS, FORWARD, OURS
from arcana.bench.table import NOISE
from pages.pictures import AXES, GRID, HIGH, LOW, STYLE_OF_PAGE, G, H, element, inline

CELLS = Path(__file__).parents[1] / "speed.csv"
TITLES = {"torch": "PyTorch", "jax": "JAX"}
MEDIAN = "median of all"
ALSO_FLOORS = (*FLOORS, "copy")


@dataclasses.dataclass(frozen=True)
class Cell:
    """Ours beside another's of the same turns."""

    part: str
    framework: str
    mode: str
    quantity: str
    n: int
    surrogate: str
    ours: str
    beside: str
    values: tuple[float, float] | None
    ratio: float
    at_most: float | None

    @property
    def of_library(self) -> bool:
        """Whether the other is a library's function."""
        return self.beside not in ALSO_FLOORS

    @property
    def way(self) -> str:
        """The framework and the mode, as a reader knows them."""
        names = {("jax", "compiled"): "JAX, `jax.jit`", ("torch", "compiled"): "PyTorch, `torch.compile`"}
        usual = f"{TITLES[self.framework]}, {self.mode}" if self.ours == OURS else f"{TITLES[self.framework]}, compiled kernels"
        return names.get((self.framework, self.mode), usual)


@functools.cache
def read() -> tuple[list[str], list[Cell]]:
    """Return the lines about the machine, and the cells; one that has no ratio is left out."""
    lines = CELLS.read_text(encoding="utf-8").splitlines()
    about = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    found = []
    for row in csv.DictReader(line for line in lines if not line.startswith("# ")):
        if row["ratio"]:
            both = (row["value of ours"], row["value of beside"])
            found.append(
                Cell(
                    **{name: row[name] for name in ("part", "framework", "mode", "quantity", "surrogate", "ours", "beside")},
                    n=int(row["n"]),
                    values=(float(both[0]), float(both[1])) if all(both) else None,
                    ratio=float(row["ratio"]),
                    at_most=float(row["at most"]) if row["at most"] else None,
                )
            )
    return about, found


def cells(part: str, *quantities: str) -> list[Cell]:
    """Return the cells of one part of the bench, of some quantities; those of eager calls once."""
    found = [each for each in read()[1] if each.part == part and each.quantity in quantities]
    return [each for each in found if each.mode != "kernels" or each.ours != OURS]


def machine() -> str:
    """Return the machine and the versions."""
    return "\\\n".join(read()[0]) + "."


def grouped(found: Iterable[Cell], *names: str) -> dict[tuple[str, ...], list[Cell]]:
    """Return cells by some of what they are."""
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for each in found:
        groups.setdefault(tuple(getattr(each, name) for name in names), []).append(each)
    return groups


def span(values: Iterable[float]) -> str:
    """Return the least and the greatest of some ratios."""
    low, high = min(values := sorted(values)), max(values)
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])


def short(n: int) -> str:
    """Return a number of elements in few characters."""
    return f"{n // 2**20}·2²⁰" if n >= 2**20 else f"{n // 2**10}·2¹⁰" if n >= 2**10 else str(n)


def layers() -> str:
    """Return the table of a whole layer: its time and its memory, of those with each library's function in it."""
    memory = grouped((each for each in cells("layer", "peak") if each.of_library), "way")
    rows = []
    for (way,), found in grouped(cells("layer", BOTH), "way").items():
        libraries = [each.ratio for each in found if each.of_library]
        plain = [each.ratio for each in found if not each.of_library]
        relu = span(plain) if plain else ""
        peak = span(each.ratio for each in memory[way,]) if (way,) in memory else ""
        rows.append([way, span(libraries), str(len(libraries)), peak, relu])
    heads = ["", "of the time with a library's function", "functions", "of the memory", "of the time with `relu`"]
    return table(heads, rows)


def calls() -> str:
    """Return the dot plot of single calls: a dot for each surrogate, library and size."""
    groups = grouped((each for each in cells("elementwise", FORWARD, BOTH) if each.of_library), "way", "quantity")
    sizes = sorted({each.n for found in groups.values() for each in found})
    colours = dict(zip(sizes, (LOW, H, HIGH, G), strict=False))
    with mpl.rc_context(STYLE_OF_PAGE):
        figure = Figure(figsize=(7.4, 0.46 * len(groups) + 1.1), layout="constrained")
        axes = figure.subplots()
        axes.axvline(1.0, color=AXES, linewidth=1.0)
        for i, found in enumerate(groups.values()):
            for k, n in enumerate(sizes):
                ratios = sorted(each.ratio for each in found if each.n == n)
                place = np.full(len(ratios), float(i)) + (k - 1.5) * 0.16
                axes.plot(ratios, place, "o", color=colours[n], markersize=3, alpha=0.8, label=f"{n:,}" if not i else None)
        axes.set_yticks(range(len(groups)), [f"{way.replace('`', '')}: {quantity}" for way, quantity in groups])
        axes.invert_yaxis()
        axes.set_xscale("log")
        ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]
        axes.set_xticks(ticks, [f"{each:g}" for each in ticks])
        axes.minorticks_off()
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("our time divided by the library's")
        figure.legend(loc="outside upper right", ncols=len(sizes), frameon=False, title="elements", handletextpad=0.1)
    return element(inline(figure, "Our time of single calls divided by that of the libraries"))


def memory() -> str:
    """Return the bars of the memory of a call: ours and a library's, the median over the surrogates that it has."""
    found = [each for each in cells("memory", "peak") if each.of_library and each.values]
    groups: dict[str, list[Cell]] = {}
    for each in found:
        groups.setdefault(each.beside.partition(".")[0], []).append(each)
    with mpl.rc_context(STYLE_OF_PAGE):
        figure = Figure(figsize=(7.4, 0.42 * len(groups) + 0.9), layout="constrained")
        axes = figure.subplots()
        for i, members in enumerate(groups.values()):
            pairs = [each.values for each in members if each.values]
            for shift, side, colour, label in ((-0.19, 0, H, "Arcana"), (0.19, 1, G, "the library")):
                value = statistics.median(pair[side] for pair in pairs)
                axes.barh(i + shift, value, height=0.34, color=colour, label=label if not i else None)
                axes.text(value + 0.2, i + shift, f"{value:g}", va="center", fontsize=8)
        axes.set_yticks(range(len(groups)), [f"{library}, {len(members)} functions" for library, members in groups.items()])
        axes.invert_yaxis()
        axes.set_xlabel("bytes an element at the peak, forward + backward, median")
        figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return element(inline(figure, "Memory of a call, of ours and of the libraries"))


def _both(cell: Cell) -> str:
    """Return the surrogate and the other function as code, which breaks in a narrow table; ≠ stays outside."""
    name, mark = cell.beside.removesuffix(" ≠"), " ≠" if cell.beside.endswith(" ≠") else ""
    return f"`{cell.surrogate}` beside `{name}`{mark}"


def slower() -> str:
    """Return how many calls are slower than a library's beyond noise, and the one that comes off worst."""
    rows = []
    for (way, quantity), found in grouped(cells("elementwise", FORWARD, BOTH), "way", "quantity").items():
        libraries = [each for each in found if each.of_library]
        behind = [each for each in libraries if each.ratio > NOISE]
        worst = max(libraries, key=lambda each: each.ratio)
        which = f"{worst.ratio:.2f}: {_both(worst)}, n = {worst.n:,}"
        rows.append([f"{way}, {quantity}", f"{len(behind)} of {len(libraries)}", which])
    return table(["", f"slower by more than {NOISE - 1:.0%}", "the worst"], rows)


def floors() -> str:
    """Return ours divided by what any function pays, the median over the surrogates, by size."""
    found = [each for each in cells("elementwise", FORWARD, BOTH) if each.beside in FLOORS and each.ours == OURS]
    # The median as it was measured, where a file has it, else of the cells.
    chosen = [each for each in found if each.surrogate == MEDIAN] or found
    sizes = sorted({each.n for each in chosen})
    rows = []
    for (way, quantity, beside), members in grouped(chosen, "way", "quantity", "beside").items():
        by_size = [[each.ratio for each in members if each.n == n] for n in sizes]
        rows.append([f"{way}, {quantity}", beside, *(f"{statistics.median(each):.2f}" if each else "" for each in by_size)])
    return table(["", "of", *map(short, sizes)], rows)


def targets() -> str:
    """Return the missed targets."""
    missed = [each for each in read()[1] if each.at_most is not None and each.ratio > each.at_most]
    if not missed:
        return "Every target is met."
    rows = [
        [
            f"{each.way}, {each.quantity}",
            _both(each),
            f"{each.n:,}",
            f"{each.ratio:.2f}",
            f"{each.at_most:g}",
        ]
        for each in missed
    ]
    return table([f"missed: {len(missed)}", "", "n", "ratio", "at most"], rows)
