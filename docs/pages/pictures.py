"""The pictures, as SVG text: the whole catalogue, a thumbnail, and the curves of one surrogate."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arcana.surrogate import Surrogate, get, names
from pages.shapes import extent, kinks, three_scales, values

H, G, AXES, GRID, LOW, HIGH = "#1f5fa8", "#c4500a", "#555555", "#dddddd", "#6aaed6", "#08306b"
LIGHT: Mapping[str, str] = {}
DARK = {H: "#6fb1f5", G: "#f5a05a", AXES: "#b5b5b5", GRID: "#444444"}
OF_PAGE = {
    each: f"var(--arcana-{name})"
    for name, each in (("h", H), ("g", G), ("axes", AXES), ("grid", GRID), ("low", LOW), ("high", HIGH))
}
"""By colour drawn, the colour written: custom properties of the page's style sheet, which has two sets."""

COLUMNS = 5
EXTENT = 2.0
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "arcana",  # Equal pictures are then equal files.
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": AXES,
    "axes.labelcolor": AXES,
    "text.color": AXES,
    "xtick.color": AXES,
    "ytick.color": AXES,
    "axes.titlecolor": AXES,
}
"""Text is drawn as curves: a README's picture has no fonts."""
STYLE_OF_PAGE: dict[Any, Any] = {**STYLE, "svg.fonttype": "none"}


def svg(figure: Figure, colours: Mapping[str, str], style: dict[Any, Any] = STYLE) -> str:
    """Return a figure as SVG with other colours, without a background."""
    text = io.StringIO()
    with mpl.rc_context(style):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
    return re.sub("|".join(colours), lambda found: colours[found[0]], drawn) if colours else drawn


def inline(figure: Figure, description: str) -> str:
    """Return a figure as an SVG element of a page, with the page's fonts and colours."""
    element = svg(figure, OF_PAGE, STYLE_OF_PAGE).partition("<svg")[2]
    element = re.sub(r"<metadata>.*?</metadata>|<\?xml.*?\?>|\s(width|height)=\"[\d.]+pt\"", "", element, flags=re.DOTALL)
    element = re.sub(r"font: [\d.]+px[^;\"]*", lambda found: found[0].split("'")[0] + "inherit", element)
    return f'<svg role="img" aria-label="{description}"{element}'.replace("\n\n", "\n")


def element(drawn: str) -> str:
    """Return an SVG element as a block of a page that is Markdown."""
    return f'```{{raw}} html\n<div class="arcana-picture">{drawn}</div>\n```'


def thumbnail_axes(axes: Axes, surrogate: Surrogate) -> None:
    """Draw one surrogate: h filled, G as a line, the spike in grey behind them."""
    v = kinks(surrogate.derivative, np.linspace(-EXTENT, EXTENT, 161))
    axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
    axes.axvline(0, color=GRID, linewidth=0.8, zorder=0)
    axes.plot([-EXTENT, 0, 0, EXTENT], [0, 0, 1, 1], color=AXES, linewidth=0.8, linestyle=(0, (2, 2)))
    h = surrogate.derivative(v)
    axes.fill_between(v, 0, h, color=H, alpha=0.12, linewidth=0)
    axes.plot(v, h, color=H, linewidth=1.6)
    axes.plot(v, surrogate.primitive(v), color=G, linewidth=1.6)
    axes.set_xlim(-EXTENT, EXTENT)
    axes.set_ylim(-0.6, 1.75)
    axes.set_xticks([-2, -1, 0, 1, 2])
    axes.set_yticks([0, 1])


def thumbnail(surrogate: Surrogate) -> str:
    """Return the small picture of a surrogate in the catalogue."""
    with mpl.rc_context(STYLE_OF_PAGE):
        figure = Figure(figsize=(2.4, 1.6), layout="constrained")
        thumbnail_axes(figure.subplots(), surrogate)
    return inline(figure, f"h and G of {type(surrogate).__name__}")


def catalogue(colours: Mapping[str, str]) -> str:
    """Return the picture of every surrogate at its defaults."""
    return svg(_catalogue(), colours)


def catalogue_of_page() -> str:
    """Return the same picture as an element of a page."""
    with mpl.rc_context(STYLE_OF_PAGE):
        return inline(_catalogue(), "h and G of every surrogate of the catalogue at its defaults, and the spike")


def _catalogue() -> Figure:
    surrogates = [get(name) for name in names()]
    with mpl.rc_context(STYLE):
        rows = -(-len(surrogates) // COLUMNS)
        figure = Figure(figsize=(1.95 * COLUMNS, 1.75 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True).flat
        for axes, surrogate in zip(panels, surrogates, strict=False):
            axes.set_title(type(surrogate).__name__, family="monospace", size=9.5)
            thumbnail_axes(axes, surrogate)
        panels[0].text(-1.9, 1.45, "h(v)", color=H)
        panels[0].text(-1.9, 1.15, "G(v), G′ = h", color=G)
        figure.supxlabel("potential minus threshold, v", color=AXES, size=9.5)
    return figure


TITLES = {"derivative": "h(v), the gradient", "G": "G(v), the step it stands for", "slope": "h′(v), the second derivative"}


def curves(surrogate: Surrogate) -> list[str]:
    """Return the pictures of h, G and h′ of a surrogate, each at three scales of its first parameter."""
    shown = three_scales(surrogate)
    end = max(extent(each) for _, each in shown)
    return [_curves(surrogate, which, shown, end) for which in TITLES]


def _curves(surrogate: Surrogate, which: str, shown: list[tuple[str, Surrogate]], end: float) -> str:
    with mpl.rc_context(STYLE_OF_PAGE):
        figure = Figure(figsize=(3.6, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color=GRID, linewidth=0.8, zorder=0)
        axes.axvline(0, color=GRID, linewidth=0.8, zorder=0)
        if which == "G":
            axes.plot([-end, 0, 0, end], [0, 0, 1, 1], color=AXES, linewidth=0.8, linestyle=(0, (2, 2)))
        for (label, each), colour in zip(shown, (LOW, H, HIGH) if len(shown) == 3 else (H,), strict=True):
            v = kinks(lambda v, each=each: values(each, which, v), np.linspace(-end, end, 241))
            axes.plot(v, values(each, which, v), color=colour, linewidth=1.6, label=label)
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -0.1), max(high, 0.1))
        axes.set_xlim(-end, end)
        axes.set_xticks([-end, -end / 2, 0, end / 2, end])
        axes.set_title(TITLES[which], size=9.5)
        axes.set_xlabel("v, potential minus threshold")
        if which == "derivative" and len(shown) == 3:
            axes.legend(frameon=False, fontsize=8, handlelength=1.2)
    return inline(figure, f"{TITLES[which]}, of {type(surrogate).__name__}")


def neuron(steps: int = 80) -> str:
    """Return the picture of one leaky integrate-and-fire neuron over time: its potential, its spikes and h at each step."""
    surrogate, time = get("fast_sigmoid"), np.arange(steps)
    current = 0.12 + 0.06 * np.sin(time / 9.0) + 0.04 * np.sin(time / 2.3)
    potential, v = 0.0, np.empty(steps)
    for step in time:
        potential = 0.92 * potential + current[step]
        v[step] = potential - 1.0
        potential -= float(v[step] >= 0)
    with mpl.rc_context(STYLE_OF_PAGE):
        figure = Figure(figsize=(7.4, 3.6), layout="constrained")
        above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2))
        above.axhline(1.0, color=AXES, linewidth=0.8, linestyle=(0, (2, 2)))
        above.text(0.5, 1.03, "threshold")
        above.set_ylim(0, 1.2)
        above.plot(time, v + 1.0, color=H, linewidth=1.6)
        above.set_ylabel("potential")
        middle.vlines(time[v >= 0], 0, 1, color=G, linewidth=1.6)
        middle.set_yticks([0, 1])
        middle.set_ylabel("spike")
        h = surrogate.derivative(v)
        below.fill_between(time, 0, h, color=H, alpha=0.12, linewidth=0)
        below.plot(time, h, color=H, linewidth=1.6)
        below.set_yticks([0, 1])
        below.set_ylabel("h(v)")
        below.set_xlabel("step")
        below.set_xlim(0, steps - 1)
        figure.align_ylabels()
    return element(inline(figure, "The potential of a neuron over time, its spikes, and h of the fast sigmoid at each step"))
