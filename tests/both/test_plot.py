"""The picture of a divergence: what is drawn is read back from the SVG, where matplotlib names each text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from arcana.testing import first_divergence, plot
from arcana.testing.plot import MOST_ROWS, _neurons

STEPS = 12


def found(neurons: int, change: float = 0.6) -> Any:
    potentials = np.full((STEPS, 2, neurons), 0.5, np.float32)
    other = potentials.copy()
    other[7:, 1, 2] += np.float32(change)
    other[9:, 1, neurons // 2] += np.float32(change)
    quiet = np.full((STEPS, 2, 3), 0.25, np.float32)
    sides = [{"hidden": (each, each >= 1), "output": (quiet, quiet >= 1)} for each in (potentials, other)]
    return first_divergence(*sides)


def texts(path: Path) -> list[str]:
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def test_what_the_picture_says(tmp_path: Path) -> None:
    found(6).plot(tmp_path / "runs.svg")
    drawn = texts(tmp_path / "runs.svg")
    assert {"Largest difference of potentials", "0 not shown"} <= set(drawn)
    assert {"threshold", "rounding", "hidden: rounding accounts for"} <= set(drawn)
    assert any("Neuron (1, 2) of" in text for text in drawn)
    assert any(text.startswith("JAX only: 8 spikes") for text in drawn)
    # Steps, neurons and numbers of spikes are whole.
    assert not [text for text in drawn if re.fullmatch(r"[0-9]+\.[05]", text) and float(text) > 2]


def test_of_very_many_neurons_those_that_differ_are_shown(tmp_path: Path) -> None:
    found(100_000).plot(tmp_path / "runs.svg")
    assert "400 of 100,000 neurons, those that differ first at the bottom" in texts(tmp_path / "runs.svg")
    assert (tmp_path / "runs.svg").stat().st_size < 1_000_000
    differs = np.zeros((STEPS, 100_000), bool)
    differs[9, 777] = differs[7, 99_999] = differs[3:, 5] = True
    rows = _neurons(differs)
    assert rows[:3].tolist() == [5, 99_999, 777]
    assert len(set(rows.tolist())) == MOST_ROWS
    assert _neurons(differs[:, :10]).tolist() == list(range(10))
    assert _neurons(np.ones((STEPS, 1000), bool)).tolist() == list(range(MOST_ROWS))
    # All in their order where there is room for all; the others from the first to the last.
    assert _neurons(differs[:, -MOST_ROWS:]).tolist() == list(range(MOST_ROWS))
    rows = _neurons(np.zeros((STEPS, 1000), bool))
    assert (rows[0], rows[-1], rows.size) == (0, 999, MOST_ROWS)


def test_a_png_and_runs_that_do_not_part(tmp_path: Path) -> None:
    found(6, change=0.0).plot(tmp_path / "runs.svg")
    assert "No neuron parts" in texts(tmp_path / "runs.svg")
    found(6).plot(tmp_path / "runs.png")
    assert image.imread(tmp_path / "runs.png").shape[0] > 800
    with pytest.raises(ValueError, match="what"):
        found(6).plot(tmp_path / "runs.what")


def drawn(result: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Any, ...]:
    """The axes of the picture: spikes, the neuron, the numbers of spikes, and the potentials."""
    kept: list[Any] = []
    monkeypatch.setattr(plot.Figure, "savefig", lambda figure, path, dpi: kept.append((figure, dpi)))
    result.plot(tmp_path / "runs.svg")
    ((figure, dpi),) = kept
    assert dpi == 120
    return figure, *figure.axes


def curve(line: Any) -> list[list[float]]:
    return [list(np.asarray(each, float)) for each in (line.get_xdata(), line.get_ydata())]


def labels(axes: Any) -> tuple[str, str, str]:
    return axes.get_title(), axes.get_xlabel(), axes.get_ylabel()


def is_whole(axis: Any) -> bool:
    ticks = axis.get_major_locator().tick_values(0.0, 2.0)
    return all(tick == round(tick) for tick in ticks)


def test_what_is_drawn_is_what_the_runs_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two neurons of the second sample in JAX alone from steps 7 and 9 on, and one of the first in both."""
    ours = np.full((STEPS, 2, 6), 0.5, np.float32)
    ours[4, 1, 0] = ours[4, 0, 1] = 1.25
    theirs = ours.copy()
    theirs[7:, 1, 2] += np.float32(0.6)
    theirs[9:, 1, 3] -= np.float32(2.0)
    theirs[9:, 1, 4] += np.float32(0.6)
    quiet = np.full((STEPS, 2, 3), -0.25, np.float32)
    result = first_divergence(*({"hidden": (each, each >= 1), "output": (quiet, quiet >= 1)} for each in (ours, theirs)))
    figure, spikes, neuron, counts, potentials = drawn(result, monkeypatch, tmp_path)
    assert figure.get_suptitle() == f"Where the runs part: {result.verdict}"
    assert list(figure.get_size_inches()) == [13, 8]
    # The spikes at the left, wider than the rest, which is one below the other.
    places = [each.get_subplotspec() for each in (spikes, neuron, counts, potentials)]
    assert [(list(each.rowspan), list(each.colspan)) for each in places] == [
        ([0, 1, 2], [0]),
        ([0], [1]),
        ([1], [1]),
        ([2], [1]),
    ]
    left, right = places[0].get_gridspec().get_width_ratios()
    assert left > right
    # Spikes: both, in torch alone and in JAX alone.
    assert labels(spikes) == ("Spikes of layer 'hidden', sample 1", "step", "neuron")
    assert spikes.get_xlim() == (-0.7, STEPS - 0.3)
    offsets = {each.get_label(): each.get_offsets().tolist() for each in spikes.collections}
    alone = [[7, 2], [8, 2]] + [[step, each] for step in (9, 10, 11) for each in (2, 4)]
    assert offsets == {"both: 1 spikes": [[4, 0]], "torch only: 0 spikes": [], "JAX only: 8 spikes": alone}
    assert [each.get_sizes().tolist() for each in spikes.collections] == [[9], [26], [26]]
    assert [each.get_rasterized() for each in spikes.collections] == [False] * 3
    colours = [plot.SHARED, plot.COLOURS["torch"], plot.COLOURS["jax"]]
    assert [to_hex(each.get_facecolor()[0]).upper() for each in spikes.collections] == [each.upper() for each in colours]
    assert [curve(line)[0] for line in spikes.lines] == [[7, 7]]
    assert is_whole(spikes.xaxis)
    assert is_whole(spikes.yaxis)
    # The neuron that parts first: both runs, threshold, rounding and the step.
    assert labels(neuron) == ("Neuron (1, 2) of 'hidden'", "step", "potential")
    assert [line.get_label() for line in neuron.lines[:3]] == ["torch", "JAX", "threshold"]
    assert [curve(line)[1] for line in neuron.lines[:2]] == [ours[:, 1, 2].tolist(), theirs[:, 1, 2].tolist()]
    assert [to_hex(line.get_color()).upper() for line in neuron.lines[:2]] == [plot.COLOURS["torch"], plot.COLOURS["jax"]]
    assert curve(neuron.lines[2])[1] == [1, 1]
    assert curve(neuron.lines[3])[0] == [7, 7]
    (span,) = neuron.patches
    bound = result.first.bound * np.spacing(np.float32(1))
    assert [span.get_y(), span.get_height()] == pytest.approx([1 - bound, 2 * bound], rel=1e-6, abs=1e-12)
    assert is_whole(neuron.xaxis)
    # How many spikes of each layer differ in each step.
    assert labels(counts) == ("Spikes that differ", "step", "number")
    assert {line.get_label(): curve(line)[1] for line in counts.lines} == {
        "hidden": [0] * 7 + [1] * 2 + [2] * 3,
        "output": [0] * STEPS,
    }
    assert is_whole(counts.xaxis)
    assert is_whole(counts.yaxis)
    # The largest difference of potentials of each layer where there is one, and the bound.
    assert labels(potentials) == ("Largest difference of potentials", "step", "0 not shown")
    assert potentials.get_yscale() == "log"
    lines = {line.get_label(): line for line in potentials.lines}
    assert curve(lines["hidden"]) == [[7, 8, 9, 10, 11], pytest.approx([0.6] * 2 + [2.0] * 3)]
    assert curve(lines["output"]) == [[], []]
    for name, size in (("hidden", 1.25), ("output", 0.25)):
        bound = lines[f"{name}: rounding accounts for"]
        assert curve(bound)[1] == pytest.approx([result.largest[name][1] * np.spacing(np.float32(size))] * 2)
        assert (bound.get_color(), bound.get_linestyle()) == (lines[name].get_color(), "--")
    assert is_whole(potentials.xaxis)
    for axes in (neuron, counts, potentials):
        assert axes.xaxis.get_gridlines()[0].get_visible()
        assert axes.get_legend() is not None


def test_without_samples_or_a_flip_the_first_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    potentials = np.full((STEPS, 4), 0.5, np.float32)
    potentials[3, 1] = 2
    _, spikes, neuron, *_ = drawn(first_divergence(*[(potentials, potentials >= 1)] * 2), monkeypatch, tmp_path)
    assert spikes.get_title() == "Spikes of layer 'layer 1'"
    assert [each.get_label() for each in spikes.collections] == ["both: 1 spikes", "torch only: 0 spikes", "JAX only: 0 spikes"]
    assert labels(neuron) == ("No neuron parts", "step", "potential")
    sampled = potentials[:, None].repeat(2, axis=1)
    sampled[5, 0, 3] = 2
    _, spikes, neuron, *_ = drawn(first_divergence(*[(sampled, None)] * 2), monkeypatch, tmp_path)
    assert spikes.get_title() == "Spikes of layer 'layer 1', sample 0"
    assert sum(len(each.get_offsets()) for each in spikes.collections) == 0
    layers = {"hidden": (sampled, sampled >= 1), "silent": (sampled * 0, sampled > 9)}
    _, spikes, _, _, potentials = drawn(first_divergence(layers, layers), monkeypatch, tmp_path)
    # Step 3 of both samples has a spike, and step 5 of sample 0, which is the one that is drawn.
    assert [len(each.get_offsets()) for each in spikes.collections] == [2, 0, 0]
    # Where every potential is 0, rounding has no size.
    assert [line.get_label() for line in potentials.lines] == ["hidden", "hidden: rounding accounts for", "silent"]


def test_thousands_of_dots_are_an_image() -> None:
    for steps, image_like in ((100, False), (101, True)):
        axes = Figure().subplots()
        plot.draw_raster(axes, {"torch": np.ones((steps, 50), bool)}, start=20)
        (dots,) = axes.collections
        assert dots.get_rasterized() == image_like
        assert dots.get_offsets()[:, 0].min() == 20
        assert dots.get_label() == f"PyTorch: {steps * 50} spikes"
        assert dots.get_sizes() == [9]
