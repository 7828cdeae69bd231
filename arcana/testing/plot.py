"""Pictures of two runs: their spikes, how many differ in each step, and how far the potentials are apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arcana.testing._runs import Layer, Run
from arcana.testing._values import Array
from arcana.testing.backends import TITLES

if TYPE_CHECKING:
    from arcana.testing._divergence import Divergence, Flip

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    msg = "the picture needs matplotlib: pip install matplotlib"
    raise ImportError(msg) from error

# Apart for the colour-blind too.
COLOURS = {"torch": "#E69F00", "jax": "#0072B2"}
SHARED = "#333333"
LINE: dict[str, Any] = {"color": SHARED, "linewidth": 1, "linestyle": ":"}
"""Of the step at which the runs part."""
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 8}

MOST_ROWS = 400
"""So many neurons can be told apart in one picture."""


def save_divergence(found: Divergence, path: Path) -> None:
    """Write a picture of two runs: what fires, what differs in each step, and the neuron that parts first beside its threshold.

    Args:
        found: what `first_divergence` gave.
        path: of the picture; its ending says the format: PNG, SVG or PDF.

    Raises:
        ValueError: matplotlib has no format of that ending.
    """
    runs = {"torch": found.torch_run, "jax": found.jax_run}
    names = dict(zip(runs, found.names, strict=True))
    flip = found.unexplained or found.first
    layer = flip.layer if flip else next(iter(found.spikes))
    figure = Figure(figsize=(13, 8), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 2, width_ratios=(1.3, 1))
    _draw_spikes(figure.add_subplot(grid[:, 0]), runs, names, layer, flip)
    _draw_neuron(figure.add_subplot(grid[0, 1]), runs, names, layer, flip)
    _draw_counts(figure.add_subplot(grid[1, 1]), runs)
    _draw_potentials(figure.add_subplot(grid[2, 1]), runs, found.largest)
    figure.suptitle(f"Where the runs part: {found.verdict}")
    figure.savefig(path, dpi=120)


def draw_raster(axes: Any, spikes: Mapping[str, Array], start: int = 0, names: Mapping[str, str] = TITLES) -> None:
    """Draw the spikes of one or two backends as dots, large where only one of two fires.

    Args:
        axes: of matplotlib.
        spikes: booleans by backend, (steps, neurons).
        start: the number of the first step.
        names: what each is called.
    """
    groups = [(names[name], each, COLOURS[name], 9) for name, each in spikes.items()]
    if len(groups) == 2:
        both = np.logical_and(*spikes.values())
        groups = [("both", both, SHARED, 9), *((f"{title} only", each & ~both, colour, 26) for title, each, colour, _ in groups)]
    for label, fired, colour, size in groups:
        time, neuron = np.nonzero(fired)
        text = f"{label}: {len(time)} spikes"
        # Thousands of dots are an image, in an SVG too.
        axes.scatter(time + start, neuron, s=size, marker="s", linewidth=0, color=colour, label=text, rasterized=len(time) > 5000)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.09), ncols=3, frameon=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _of_sample(values: Array, flip: Flip | None) -> Array:
    """Return what one sample does, (steps, neurons): that of the flip, or the first."""
    if values.ndim > 2:
        values = values[:, flip.neuron[0] if flip else 0]
    return values.reshape(len(values), -1)


def _fired(layer: Layer) -> Array:
    return np.zeros(layer.potentials.shape, bool) if layer.spikes is None else layer.spikes.astype(np.float64) > 0


def _draw_spikes(axes: Any, runs: Mapping[str, Run], names: Mapping[str, str], layer: str, flip: Flip | None) -> None:
    spikes = {name: _of_sample(_fired(run.layers[layer]), flip) for name, run in runs.items()}
    ours, theirs = spikes.values()
    shown = _neurons(ours != theirs)
    draw_raster(axes, {name: each[:, shown] for name, each in spikes.items()}, names=names)
    sampled = runs["torch"].layers[layer].potentials.ndim > 2
    title = f"Spikes of layer {layer!r}" + (f", sample {flip.neuron[0] if flip else 0}" if sampled else "")
    few = len(shown) < ours.shape[1]
    neurons = f"{len(shown)} of {ours.shape[1]:,} neurons, those that differ first at the bottom" if few else "neuron"
    axes.set(title=title, xlabel="step", ylabel=neurons, xlim=(-0.7, len(ours) - 0.3))
    if flip is not None:
        axes.axvline(flip.step, **LINE)


def _neurons(differs: Array) -> Array:
    """Return the neurons to draw: all, or of very many those that differ first, and others evenly spaced where few do."""
    count = differs.shape[1]
    if count <= MOST_ROWS:
        return np.arange(count)
    first = np.where(differs.any(0), differs.argmax(0), len(differs))
    order = np.argsort(first, kind="stable")
    different = order[: min(int(differs.any(0).sum()), MOST_ROWS)]
    others = np.setdiff1d(np.linspace(0, count - 1, MOST_ROWS, dtype=int), different)[: MOST_ROWS - len(different)]
    return np.concatenate([different, others])


def _draw_neuron(axes: Any, runs: Mapping[str, Run], names: Mapping[str, str], layer: str, flip: Flip | None) -> None:
    """Draw the potential of the neuron that parts first, its threshold, and how far rounding may take it at that step."""
    _over_steps(axes, f"Neuron {flip.neuron} of {layer!r}" if flip else "No neuron parts", "potential")
    if flip is None:
        return
    for name, run in runs.items():
        potentials = run.layers[layer].potentials[(slice(None), *flip.neuron)].astype(np.float64)
        axes.plot(potentials, ".-", color=COLOURS[name], label=names[name], markersize=3, linewidth=1)
    axes.axhline(flip.threshold, color=SHARED, linewidth=1, label="threshold")
    # The bound is in units in the last place of the threshold: what one margin is, in both units, says how large that is.
    pairs = [(v - flip.threshold, m) for v, m in zip(flip.potentials, flip.margins, strict=True) if m]
    if pairs and np.isfinite(flip.bound):
        bound = flip.bound * pairs[0][0] / pairs[0][1]
        axes.axhspan(flip.threshold - bound, flip.threshold + bound, color=SHARED, alpha=0.2, linewidth=0, label="rounding")
    axes.axvline(flip.step, **LINE)
    axes.legend(**LEGEND, ncols=4)


def _over_steps(axes: Any, title: str, what: str) -> None:
    """Name what is drawn over the steps, which are whole numbers, and draw a grid behind it."""
    axes.set(title=title, xlabel="step", ylabel=what)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)


def _draw_counts(axes: Any, runs: Mapping[str, Run]) -> None:
    for name in runs["torch"].layers:
        ours, theirs = (_fired(run.layers[name]) for run in runs.values())
        axes.plot((ours != theirs).reshape(len(ours), -1).sum(axis=1), ".-", label=name)
    _over_steps(axes, "Spikes that differ", "number")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(**LEGEND)


def _draw_potentials(axes: Any, runs: Mapping[str, Run], largest: Mapping[str, tuple[float, float]]) -> None:
    for name in runs["torch"].layers:
        ours, theirs = (run.layers[name].potentials.astype(np.float64) for run in runs.values())
        apart = np.abs(ours - theirs).reshape(len(ours), -1).max(axis=1)
        steps = np.flatnonzero(apart)
        (line,) = axes.plot(steps, apart[steps], ".-", label=name)
        # The bound is in units in the last place of the layer's largest potential.
        size = np.abs(runs["torch"].layers[name].potentials).max().astype(np.float32)
        bound = largest[name][1] * float(np.spacing(size))
        # NaN where no potential has a size.
        if bound > 0:
            axes.axhline(bound, color=line.get_color(), linestyle="--", linewidth=1, label=f"{name}: rounding accounts for")
    # A difference of 0 has no place on the axis.
    _over_steps(axes, "Largest difference of potentials", "0 not shown")
    axes.set_yscale("log")
    axes.legend(**LEGEND)
