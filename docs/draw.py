"""Writes what the pages say of the surrogates from their definitions: python docs/draw.py

These are the picture docs/_static/surrogates.svg, docs/catalogue.md, the list in docs/reference.md, and the counts in README.md.
With --check nothing is written, and the exit status is 1 if a file is not the one that the definitions give.
"""

from __future__ import annotations

import argparse
import inspect
import io
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arcana.surrogate import (
    Surrogate,
    exponentials,
    gaussians,
    get,
    names,
    periodic,
    piecewise,
    power_law,
    rational,
    straight_through,
)

PICTURE = Path(__file__).parent / "_static" / "surrogates.svg"
TABLE = Path(__file__).parent / "catalogue.md"
REFERENCE = Path(__file__).parent / "reference.md"
README = Path(__file__).parents[1] / "README.md"
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


PAGE = """<!-- Written by `python docs/draw.py`; edit the definitions instead. -->
# The catalogue

Every surrogate at its default parameters. v is the potential minus the threshold; every one takes `gain` and
`fires_at_threshold` besides its own parameters. [The reference](reference.md) has the primitives, the bounds of the parameters,
the values at kinks and at ±inf, and the papers in full.

![h and G of every surrogate at its defaults, and the spike](_static/surrogates.svg)

| surrogate | h(v) | peak | area | from |
|---|---|---|---|---|
{rows}
"""


def between(text: str, start: str, end: str) -> str:
    """One line of what lies between two marks of a docstring, for a cell of a table."""
    return " ".join(text.partition(start)[2].partition(end)[0].split()).replace("|", "\\|")


def row(surrogate: Surrogate) -> str:
    """One surrogate's line of the table."""
    text = inspect.getdoc(type(surrogate)) or ""
    # A paper is known by its authors and the year; a shape without one says so in its first words.
    authors, _, rest = surrogate.reference.partition(" (")
    source = f"{authors} ({rest[:4]})" if rest[:4].isdigit() else surrogate.reference.partition(",")[0]
    cells = [f"`{surrogate!r}`", between(text, "h(v) = ", "\nG(v) = "), f"{surrogate.peak:.4g}", f"{surrogate.area:.4g}", source]
    return "| " + " | ".join(cells) + " |"


def catalogue() -> str:
    """The page's text."""
    return PAGE.format(rows="\n".join(row(get(name)) for name in names()))


def families() -> dict[str, list[str]]:
    """The classes of each module of definitions, by the name of the family."""
    found: dict[str, list[str]] = {}
    for module in (rational, power_law, exponentials, gaussians, periodic, piecewise, straight_through):
        title = module.__name__.rpartition(".")[2].replace("_", " ").capitalize()
        found[title] = [name for name in vars(module) if name in module.__all__ and isinstance(getattr(module, name), type)]
    return found


def reference() -> str:
    """The reference page, with a section for each family of surrogates between its two headings."""
    before, title, rest = REFERENCE.read_text(encoding="utf-8").partition("## The surrogates\n")
    sections = [
        f"\n### {family}\n\n```{{eval-rst}}\n"
        + "".join(f".. autoclass:: arcana.surrogate.{each}\n" for each in classes)
        + "```\n"
        for family, classes in families().items()
    ]
    return before + title + "".join(sections) + "\n## arcana.presets" + rest.partition("## arcana.presets")[2]


def readme() -> str:
    """The README, with how many surrogates there are, and how many have the same bits in both frameworks."""
    same = sum(len(classes) for title, classes in families().items() if title in ("Rational", "Piecewise", "Straight through"))
    text = re.sub(r"(catalogue has) \d+ (surrogates)", rf"\1 {len(names())} \2", README.read_text(encoding="utf-8"))
    return re.sub(r"\(\d+ of the(\s)\d+\)", rf"({same} of the\g<1>{len(names())})", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files that are there, write nothing")
    check = parser.parse_args().check
    differing = 0
    for path, text in {PICTURE: picture(), TABLE: catalogue(), REFERENCE: reference(), README: readme()}.items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            print(f"{path} is not what the definitions give; write it with: python docs/draw.py")
            differing += 1
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
