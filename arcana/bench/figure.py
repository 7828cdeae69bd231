"""The ratios as a picture: for every surrogate at every size our time divided by that of the library that comes off best."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from arcana._missing import MissingDependencyError
from arcana.bench.candidates import RELU
from arcana.bench.elementwise import Time
from arcana.bench.rows import Row, tables

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingDependencyError(package="matplotlib", install="matplotlib") from error

FASTEST, SLOWEST = 1 / 4, 2.0
"""The ends of the colours."""


def check(path: Path) -> None:
    """A ValueError unless a picture can be written in the format that the file's name ends with."""
    formats = sorted(FigureCanvasAgg.get_supported_filetypes())
    if path.suffix.removeprefix(".") not in formats:
        msg = f"{str(path)!r} must end in one of .{', .'.join(formats)}"
        raise ValueError(msg)


def save(times: list[Time], path: Path) -> None:
    """Write the picture: beside the libraries, or beside relu where none is installed."""
    found = tables(times)
    beside = "a library's" if any(row.peer for rows in found.values() for row in rows) else RELU
    ratios = {table: _ratios(rows, beside) for table, rows in found.items()}
    drawn = {table: each for table, each in ratios.items() if each}
    longest = max(len(each) for each in drawn.values())
    figure = Figure(figsize=(2.6 + 3.4 * len(drawn), 1.6 + 0.24 * longest), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (table, each) in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn.items(), strict=True):
        _draw(axes, f"{table.title}\nours / {beside}", each)
    figure.savefig(path, format=path.suffix.removeprefix("."), dpi=120)


def _ratios(rows: list[Row], beside: str) -> dict[str, dict[int, float]]:
    """By surrogate and size."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        if row.peer:
            found.setdefault(row.surrogate, {})[row.size] = row.peer.value
        elif beside in row.floors:
            found.setdefault(row.surrogate, {})[row.size] = row.ours.microseconds / row.floors[beside]
    return found


def _draw(axes: Any, title: str, values: dict[str, dict[int, float]]) -> None:
    sizes = sorted({size for of in values.values() for size in of})
    logarithms = [[math.log2(of[size]) if size in of else math.nan for size in sizes] for of in values.values()]
    norm = TwoSlopeNorm(0, math.log2(FASTEST), math.log2(SLOWEST))
    axes.imshow(logarithms, aspect="auto", cmap="BrBG_r", norm=norm, alpha=0.7)
    for y, of in enumerate(values.values()):
        for size, value in of.items():
            axes.text(sizes.index(size), y, f"{value:.2f}", ha="center", va="center", fontsize=7)
    axes.set_title(title, fontsize=8)
    axes.set_yticks(range(len(values)), list(values), fontsize=7)
    axes.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes], fontsize=7)
    axes.set_xlabel("elements", fontsize=8)
