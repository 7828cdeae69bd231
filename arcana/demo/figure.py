"""The results as a picture: the loss, the share of spikes that differ, and a spike raster of one test image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from arcana._missing import MissingDependencyError
from arcana.demo.run import Results

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingDependencyError(package="matplotlib", install="matplotlib") from error

from arcana.testing.backends import TITLES
from arcana.testing.plot import COLOURS, SHARED, draw_raster


def save(results: Results, path: Path) -> None:
    """Write the picture as a PNG."""
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    settings = results.experiment.settings
    names = " and ".join(TITLES[name] for name in results.records)
    figure.suptitle(f"A spiking network on handwritten digits in {names}: {settings.surrogate!r}, seed {settings.seed}")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.15), height_ratios=(1.3, 1))
    if results.comparison is None:
        _draw_losses(figure.add_subplot(grid[:, 0]), results)
    else:
        _draw_losses(figure.add_subplot(grid[0, 0]), results)
        _draw_shares(figure.add_subplot(grid[1, 0]), results.comparison.shares)
    _draw_raster(figure.add_subplot(grid[:, 1]), results)
    figure.savefig(path, format="png", dpi=120)


def _draw_losses(axes: Any, results: Results) -> None:
    # The second line is thinner and lies over the first.
    for width, (name, record) in zip((3.2, 1.1), results.records.items(), strict=False):
        label = f"{TITLES[name]}, test accuracy {record.accuracies[-1]:.1%}"
        steps = np.arange(1, len(record.losses) + 1)
        axes.plot(steps, record.losses, color=COLOURS[name], linewidth=width, label=label)
    axes.set(title="Loss", xlabel="training step", ylabel="cross-entropy of the batch", yscale="log")
    if results.comparison is not None and results.comparison.first_spike_step is not None:
        step = results.comparison.first_spike_step
        label = f"first spike that differs: step {step}"
        axes.axvline(step, color=SHARED, linewidth=1, linestyle=":", label=label)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)


def _draw_shares(axes: Any, shares: list[float]) -> None:
    steps = np.arange(1, len(shares) + 1)
    different = np.array(shares) > 0
    axes.plot(steps[different], 100 * np.array(shares)[different], ".", color=SHARED, markersize=3)
    axes.set(title="Hidden spikes that differ", xlabel="training step", ylabel="% of the batch's (0 not shown)")
    axes.set_xlim(0, len(shares) + 1)
    if different.any():
        axes.set_yscale("log")
    axes.grid(alpha=0.25)


def _draw_raster(axes: Any, results: Results) -> None:
    rasters = {name: record.raster for name, record in results.records.items()}
    draw_raster(axes, rasters, start=1)
    steps, neurons = next(iter(rasters.values())).shape
    digit = results.experiment.test.labels[0]
    axes.set(title=f"Hidden spikes of a test image, a {digit}, after the training", xlabel="step")
    axes.set(ylabel="hidden neuron", xlim=(0.3, steps + 0.7), ylim=(-2, neurons + 1), xticks=range(1, steps + 1))
    image = axes.inset_axes((1.02, 0.86, 0.14, 0.14))
    image.imshow(results.experiment.test.images[0].reshape(8, 8), cmap="gray_r")
    image.set(xticks=[], yticks=[])
