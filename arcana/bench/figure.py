"""The ratios as a picture: for every surrogate at every size our time beside the library's by which ours comes off worst."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from arcana.bench.records import OURS, RELU, Record
from arcana.bench.table import ratios

FORMATS = sorted(FigureCanvasAgg.get_supported_filetypes())

FASTEST, SLOWEST = 1 / 4, 2.0
"""The ends of the colours."""


def save(records: Sequence[Record], path: Path) -> None:
    """Write the picture: beside the libraries, or beside relu where none is installed."""
    pairs = [each for each in ratios(records) if each.ours.part == "elementwise" and each.ours.candidate == OURS]
    peers = [each for each in pairs if each.other.of_peer]
    beside = "a library's" if peers else RELU
    panels: dict[str, dict[str, dict[int, float]]] = {}
    for pair in peers or [each for each in pairs if each.other.candidate == RELU]:
        at = pair.ours
        title = f"{at.framework} {at.mode}, {at.quantity}, {at.dtype}\nours / {beside}"
        sizes = panels.setdefault(title, {}).setdefault(at.surrogate, {})
        sizes[at.size] = max(pair.value, sizes.get(at.size, 0.0))
    longest = max(map(len, panels.values()))
    figure = Figure(figsize=(2.6 + 3.4 * len(panels), 1.6 + 0.24 * longest), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, values) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        sizes = sorted({size for of in values.values() for size in of})
        logarithms = [[math.log2(of.get(size, math.nan)) for size in sizes] for of in values.values()]
        norm = TwoSlopeNorm(0, math.log2(FASTEST), math.log2(SLOWEST))
        axes.imshow(logarithms, aspect="auto", cmap="BrBG_r", norm=norm, alpha=0.7)
        for y, of in enumerate(values.values()):
            for size, value in of.items():
                axes.text(sizes.index(size), y, f"{value:.2f}", ha="center", va="center", fontsize=7)
        axes.set_title(title, fontsize=8)
        axes.set_yticks(range(len(values)), list(values), fontsize=7)
        axes.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes], fontsize=7)
        axes.set_xlabel("elements", fontsize=8)
    figure.savefig(path, format=path.suffix.removeprefix("."), dpi=120)
