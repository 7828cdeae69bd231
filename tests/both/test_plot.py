"""The picture of a divergence: what is drawn is read back from the SVG, where matplotlib names each text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image

from arcana.testing import first_divergence
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


def test_a_png_and_runs_that_do_not_part(tmp_path: Path) -> None:
    found(6, change=0.0).plot(tmp_path / "runs.svg")
    assert "No neuron parts" in texts(tmp_path / "runs.svg")
    found(6).plot(tmp_path / "runs.png")
    assert image.imread(tmp_path / "runs.png").shape[0] > 800
    with pytest.raises(ValueError, match="what"):
        found(6).plot(tmp_path / "runs.what")
