"""The ratios as a picture: of every surrogate at every size ours divided by the library that comes nearest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from arcana._missing import MissingDependencyError
from arcana.bench.elementwise import Time
from arcana.bench.rows import Row, Table, tables

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingDependencyError(package="matplotlib", extra="cli") from error

FASTEST, SLOWEST = 1 / 4, 2.0
"""The ends of the colours."""


def save(times: list[Time], path: Path) -> None:
    """Write the picture in the format that the file's name ends with, a PNG without one."""
    found = tables(times)
    longest = max(len(_names(rows)) for rows in found.values())
    figure = Figure(figsize=(2.6 + 3.4 * len(found), 1.6 + 0.24 * longest), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (table, rows) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        _draw(axes, table, rows)
    figure.savefig(path, format=path.suffix.removeprefix(".") or "png", dpi=120)


def _names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.surrogate for row in rows if row.peer))


def _draw(axes: Any, table: Table, rows: list[Row]) -> None:
    names, sizes = _names(rows), sorted({row.size for row in rows})
    logarithms = [[math.nan] * len(sizes) for _ in names]
    for row in rows:
        if row.peer:
            y, x = names.index(row.surrogate), sizes.index(row.size)
            logarithms[y][x] = math.log2(row.peer.value)
            axes.text(x, y, f"{row.peer.value:.2f}", ha="center", va="center", fontsize=7)
    norm = TwoSlopeNorm(0, math.log2(FASTEST), math.log2(SLOWEST))
    if names:
        axes.imshow(logarithms, aspect="auto", cmap="BrBG_r", norm=norm, alpha=0.7)
    axes.set_title(f"{table.title}\nours / a library's", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes], fontsize=7)
    axes.set_xlabel("elements", fontsize=8)
