"""Draws docs/_static/surrogates.svg from the definitions: python docs/draw.py

With --check nothing is written, and the exit status is 1 if the picture is not the one that the definitions give.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arcana.surrogate import Surrogate, get, names

PICTURE = Path(__file__).parent / "_static" / "surrogates.svg"
EXTENT = 2.0
COLUMNS = 5
BLUE, ORANGE, GREY, LIGHT = "#1f5fa8", "#c4500a", "#555555", "#dddddd"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "arcana",  # Equal pictures are then equal files.
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}

# Fine around every jump and kink of the default shapes, so that a jump is drawn upright.
KINKS = np.array([0.0, 0.2, 0.5, 1.0])
above = np.unique(np.concatenate([np.linspace(0.0, EXTENT, 81), KINKS + 1e-9, KINKS[1:] - 1e-9]))
everywhere = np.concatenate([-above[:0:-1], [-1e-9], above])


def panel(axes: Axes, surrogate: Surrogate) -> None:
    """One surrogate: h filled, G as a line, the spike in grey behind them."""
    axes.set_title(type(surrogate).__name__, family="monospace", size=9.5)
    axes.axhline(0, color=LIGHT, linewidth=0.8, zorder=0)
    axes.axvline(0, color=LIGHT, linewidth=0.8, zorder=0)
    axes.plot(everywhere, everywhere >= 0, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    h = surrogate.derivative(everywhere)
    axes.fill_between(everywhere, 0, h, color=BLUE, alpha=0.12, linewidth=0)
    axes.plot(everywhere, h, color=BLUE, linewidth=1.6)
    axes.plot(everywhere, surrogate.primitive(everywhere), color=ORANGE, linewidth=1.6)
    axes.set_xlim(-EXTENT, EXTENT)
    axes.set_ylim(-0.6, 1.75)
    axes.set_xticks([-2, -1, 0, 1, 2])
    axes.set_yticks([0, 1])


def picture() -> str:
    """The SVG text."""
    surrogates = [get(name) for name in names()]
    with mpl.rc_context(STYLE):
        rows = -(-len(surrogates) // COLUMNS)
        figure = Figure(figsize=(1.95 * COLUMNS, 1.75 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True).flat
        for axes, surrogate in zip(panels, surrogates, strict=False):
            panel(axes, surrogate)
        first = panels[0]
        first.text(-1.9, 1.45, "h(v)", color=BLUE)
        first.text(-1.9, 1.15, "G(v), G′ = h", color=ORANGE)
        figure.supxlabel("potential minus threshold, v", color=GREY, size=9.5)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the picture that is there, write nothing")
    check = parser.parse_args().check
    drawn = picture()
    if not check:
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(drawn, encoding="utf-8")
        return 0
    if PICTURE.read_text(encoding="utf-8") == drawn:
        return 0
    print(f"{PICTURE} is not what the definitions give; draw it with: python docs/draw.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
