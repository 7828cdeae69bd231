"""Pictures of two runs: their spikes, how many differ in each step, and how far the potentials are apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from arcana.testing._runs import Run
from arcana.testing._values import Array
from arcana.testing.backends import TITLES

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    msg = "the picture needs matplotlib: pip install matplotlib"
    raise ImportError(msg) from error

# Apart for the colour-blind too.
COLOURS = {"torch": "#E69F00", "jax": "#0072B2"}
SHARED = "#333333"


def save_runs(runs: Mapping[str, Run], path: Path, *, title: str, layer: str, sample: int | None, step: int | None) -> None:
    """Write a PNG with the spikes of one layer and, for every layer, what differs in each step.

    Args:
        runs: torch's and jax's, with the same layers.
        path: of the picture.
        title: of the picture.
        layer: whose spikes are drawn.
        sample: of which sample; None where the layer has no samples.
        step: where the first spike differs, marked by a line; None where none does.
    """
    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.3, 1))
    raster = figure.add_subplot(grid[:, 0])
    spikes = {name: _fired(_spikes(run, layer), sample) for name, run in runs.items()}
    draw_raster(raster, spikes)
    name = f"Spikes of layer {layer!r}" + ("" if sample is None else f", sample {sample}")
    raster.set(title=name, xlabel="step", ylabel="neuron", xlim=(-0.7, len(spikes["torch"]) - 0.3))
    if step is not None:
        raster.axvline(step, color=SHARED, linewidth=1, linestyle=":")
    _draw_counts(figure.add_subplot(grid[0, 1]), runs)
    _draw_potentials(figure.add_subplot(grid[1, 1]), runs)
    figure.suptitle(title)
    figure.savefig(path, format="png", dpi=120)


def draw_raster(axes: Any, spikes: Mapping[str, Array], start: int = 0) -> None:
    """Draw the spikes of one or two backends as dots, large where only one of two fires.

    Args:
        axes: of matplotlib.
        spikes: booleans by backend, (steps, neurons).
        start: the number of the first step.
    """
    groups = [(TITLES[name], each, COLOURS[name], 9) for name, each in spikes.items()]
    if len(groups) == 2:
        both = np.logical_and(*spikes.values())
        groups = [("both", both, SHARED, 9), *((f"{title} only", each & ~both, colour, 26) for title, each, colour, _ in groups)]
    for label, fired, colour, size in groups:
        time, neuron = np.nonzero(fired)
        text = f"{label}: {len(time)} spikes"
        axes.scatter(time + start, neuron, s=size, marker="s", linewidth=0, color=colour, label=text)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.09), ncols=3, frameon=False)


def _spikes(run: Run, layer: str) -> Array:
    """Return a layer's spikes; an integrator has none."""
    found = run.layers[layer]
    return np.zeros(found.potentials.shape) if found.spikes is None else found.spikes


def _fired(spikes: Array, sample: int | None) -> Array:
    fired = spikes.astype(np.float64) > 0
    return (fired if sample is None else fired[:, sample]).reshape(len(fired), -1)


def _draw_counts(axes: Any, runs: Mapping[str, Run]) -> None:
    for name in runs["torch"].layers:
        ours, theirs = (_spikes(run, name).astype(np.float64) for run in runs.values())
        axes.plot((ours != theirs).reshape(len(ours), -1).sum(axis=1), ".-", label=name)
    axes.set(title="Spikes that differ", ylabel="number", xlabel="step")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)


def _draw_potentials(axes: Any, runs: Mapping[str, Run]) -> None:
    for name in runs["torch"].layers:
        ours, theirs = (run.layers[name].potentials.astype(np.float64) for run in runs.values())
        largest = np.abs(ours - theirs).reshape(len(ours), -1).max(axis=1)
        steps = np.flatnonzero(largest)
        axes.plot(steps, largest[steps], ".-", label=name)
    # A difference of 0 has no place on the axis.
    axes.set(title="Largest difference of potentials", xlabel="step", ylabel="0 not shown", yscale="log")
    axes.grid(alpha=0.25)
