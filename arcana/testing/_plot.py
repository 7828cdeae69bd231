"""A divergence as a picture: the spikes of both runs, how many differ in each step, and the potentials before that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from arcana.testing._divergence import Divergence
from arcana.testing._values import Array

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    msg = "the picture needs matplotlib: pip install matplotlib"
    raise ImportError(msg) from error

# Apart for the colour-blind too.
TORCH, JAX, BOTH = "#E69F00", "#0072B2", "#333333"


def save(divergence: Divergence, path: Path) -> None:
    """Write the picture as a PNG: of the layer and the sample with the first spike that differs, else of the first ones."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.3, 1))
    first = divergence.unexplained or divergence.first
    layer = first.layer if first else next(iter(divergence.spikes))
    shape = divergence.torch_run.layers[layer].spikes.shape
    sample = first.neuron[0] if first and len(shape) > 2 else 0
    ours, theirs = (_raster(run.layers[layer].spikes, sample) for run in (divergence.torch_run, divergence.jax_run))
    raster = figure.add_subplot(grid[:, 0])
    draw_raster(
        raster, {"both": (ours & theirs, BOTH), "PyTorch only": (ours & ~theirs, TORCH), "JAX only": (theirs & ~ours, JAX)}
    )
    title = f"Spikes of layer {layer!r}" + (f", sample {sample}" if len(shape) > 2 else "")
    raster.set(title=title, xlabel="step", ylabel="neuron", xlim=(-0.7, len(ours) - 0.3))
    if first:
        raster.axvline(first.step, color=BOTH, linewidth=1, linestyle=":")
    _draw_counts(figure.add_subplot(grid[0, 1]), divergence)
    _draw_potentials(figure.add_subplot(grid[1, 1]), divergence)
    figure.suptitle(f"Where the runs part: {divergence.verdict}")
    figure.savefig(path, format="png", dpi=120)


def draw_raster(axes: Any, groups: dict[str, tuple[Array, str]], start: int = 0) -> None:
    """Dots for spikes, (steps, neurons) by label with a colour; "both" in small ones. `start` is the number of the first step."""
    for label, (spikes, colour) in groups.items():
        time, neuron = np.nonzero(spikes)
        size = 26 if label.endswith("only") else 9
        text = f"{label}: {len(time)} spikes"
        axes.scatter(time + start, neuron, s=size, marker="s", linewidth=0, color=colour, label=text)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.09), ncols=3, frameon=False)


def _raster(spikes: Array, sample: int) -> Array:
    fired = spikes.astype(np.float64) > 0
    return (fired[:, sample] if fired.ndim > 2 else fired).reshape(len(fired), -1)


def _draw_counts(axes: Any, divergence: Divergence) -> None:
    for name, ours in divergence.torch_run.layers.items():
        differing = ours.spikes.astype(np.float64) != divergence.jax_run.layers[name].spikes.astype(np.float64)
        axes.plot(differing.reshape(len(differing), -1).sum(axis=1), ".-", label=name)
    axes.set(title="Spikes that differ", ylabel="number", xlabel="step")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)


def _draw_potentials(axes: Any, divergence: Divergence) -> None:
    for name, ours in divergence.torch_run.layers.items():
        theirs = divergence.jax_run.layers[name]
        difference = np.abs(ours.potentials.astype(np.float64) - theirs.potentials.astype(np.float64))
        largest = difference.reshape(len(difference), -1).max(axis=1)
        steps = np.flatnonzero(largest)
        axes.plot(steps, largest[steps], ".-", label=name)
    # A difference of 0 has no place on the axis.
    axes.set(title="Largest difference of potentials", xlabel="step", ylabel="0 not shown", yscale="log")
    axes.grid(alpha=0.25)
