"""The outcome as a picture: the loss, the share of spikes that differ, and a spike raster of one test image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from arcana._core import MissingDependencyError
from arcana.demo.run import Outcome

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingDependencyError(package="matplotlib", install="matplotlib") from error

from arcana.testing.backends import TITLES
from arcana.testing.plot import COLOURS, SHARED, draw_raster


def save(outcome: Outcome, path: Path) -> None:
    """Write the picture as a PNG."""
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    settings = outcome.experiment.settings
    names = " and ".join(TITLES[name] for name in outcome.trainings)
    figure.suptitle(f"A spiking network on handwritten digits in {names}: {settings.surrogate!r}, seed {settings.seed}")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.15), height_ratios=(1.3, 1))
    if outcome.differences is None:
        _draw_losses(figure.add_subplot(grid[:, 0]), outcome)
    else:
        _draw_losses(figure.add_subplot(grid[0, 0]), outcome)
        _draw_shares(figure.add_subplot(grid[1, 0]), outcome.differences.shares)
    _draw_raster(figure.add_subplot(grid[:, 1]), outcome)
    figure.savefig(path, format="png", dpi=120)


def _draw_losses(axes: Any, outcome: Outcome) -> None:
    # The second line is thinner and lies over the first.
    for width, (name, training) in zip((3.2, 1.1), outcome.trainings.items(), strict=False):
        label = f"{TITLES[name]}, test accuracy {training.accuracies[-1]:.1%}"
        steps = np.arange(1, len(training.losses) + 1)
        axes.plot(steps, training.losses, color=COLOURS[name], linewidth=width, label=label)
    axes.set(title="Loss", xlabel="training step", ylabel="cross-entropy of the batch", yscale="log")
    if outcome.differences is not None and outcome.differences.first_spike_step is not None:
        step = outcome.differences.first_spike_step
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


def _draw_raster(axes: Any, outcome: Outcome) -> None:
    rasters = {name: training.raster for name, training in outcome.trainings.items()}
    draw_raster(axes, rasters, start=1)
    steps, neurons = next(iter(rasters.values())).shape
    digit = outcome.experiment.test.labels[0]
    axes.set(title=f"Hidden spikes of a test image, a {digit}, after the training", xlabel="step")
    axes.set(ylabel="hidden neuron", xlim=(0.3, steps + 0.7), ylim=(-2, neurons + 1), xticks=range(1, steps + 1))
    image = axes.inset_axes((1.02, 0.86, 0.14, 0.14))
    image.imshow(outcome.experiment.test.images[0].reshape(8, 8), cmap="gray_r")
    image.set(xticks=[], yticks=[])
