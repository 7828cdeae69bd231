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

from arcana.surrogate import Surrogate, fast_sigmoid, ste, step, triangular

PICTURE = Path(__file__).parent / "_static" / "surrogates.svg"
EXTENT = 2.0
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

# Closer together around the threshold, where the curves bend, and with a point on the kink at 1.
above = np.union1d(EXTENT * np.linspace(0.0, 1.0, 61) ** 2, [1.0])
below = -above[::-1]
below[-1] = -1e-9
everywhere = np.concatenate([below, above])


def jump(axes: Axes, colour: str) -> None:
    """The step 1[v >= 0]: the ring is left out, the dot belongs to it."""
    axes.plot(below, np.zeros_like(below), color=colour)
    axes.plot(above, np.ones_like(above), color=colour)
    axes.plot([0], [0], "o", color=colour, markerfacecolor="white", markersize=4.5, zorder=3)
    axes.plot([0], [1], "o", color=colour, markersize=4.5, zorder=3)


def draw_derivative(axes: Axes, surrogate: Surrogate) -> None:
    h = surrogate.derivative(everywhere)
    if surrogate == step:
        jump(axes, BLUE)
    else:
        axes.plot(everywhere, h, color=BLUE, linewidth=1.8)
    axes.fill_between(everywhere, 0, h, color=BLUE, alpha=0.12, linewidth=0)
    axes.set_ylim(-0.12, 1.25)


def draw_primitive(axes: Axes, surrogate: Surrogate) -> None:
    jump(axes, GREY)
    axes.plot(everywhere, surrogate.primitive(everywhere), color=ORANGE, linewidth=1.8)
    axes.set_ylim(-0.75, 1.75)


def picture() -> str:
    """The SVG text."""
    surrogates = [fast_sigmoid, triangular, step, ste]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 4.3), layout="constrained")
        rows = figure.subplots(2, len(surrogates), sharex=True, sharey="row")
        for surrogate, derivative_axes, primitive_axes in zip(surrogates, *rows, strict=True):
            derivative_axes.set_title(repr(surrogate), family="monospace", size=9.5)
            draw_derivative(derivative_axes, surrogate)
            draw_primitive(primitive_axes, surrogate)
            primitive_axes.set_xlabel("v")
            for axes in (derivative_axes, primitive_axes):
                axes.axhline(0, color=LIGHT, linewidth=0.8, zorder=0)
                axes.axvline(0, color=LIGHT, linewidth=0.8, zorder=0)
                axes.set_xlim(-EXTENT, EXTENT)
                axes.set_xticks([-2, -1, 0, 1, 2])
                axes.set_yticks([0, 1])
        rows[0][0].set_ylabel("backward", color=GREY)
        rows[0][0].text(-1.9, 1.12, "h(v)", color=BLUE)
        rows[1][0].set_ylabel("forward", color=GREY)
        rows[1][0].text(-1.9, 1.45, "spike", color=GREY)
        rows[1][0].text(-1.9, 1.17, "G(v), with G′ = h", color=ORANGE)
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
