"""What docs/choosing.md says of sixteen layers: which gains keep the norm of the gradient, and which do not."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from arcana.surrogate import get

FOLDER = Path(__file__).parents[2] / "docs" / "choosing"


@pytest.fixture(scope="module")
def depth():
    sys.path.insert(0, str(FOLDER))
    try:
        import depth  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(str(FOLDER))
    return depth


def test_unit_variance_keeps_the_norm_over_sixteen_layers_without_a_leak(depth) -> None:
    whole, shape = depth.network(0.0, seed=5), get("fast_sigmoid")
    assert depth.ratio(depth.norms(whole, shape, gain=1.0)) < 1e-5
    unit = np.array([shape.unit_variance(each.mean, each.std).gain for each in whole.statistics])
    found = depth.norms(whole, shape, gain=unit / whole.weight_gains)
    assert found.max() / found.min() < 3


def test_one_backward_pass_keeps_it_with_a_leak(depth) -> None:
    whole, shape = depth.network(0.9, seed=5), get("fast_sigmoid")
    gains = depth.balanced(whole, shape, np.ones(depth.LAYERS), 1, detached=True)
    found = depth.norms(whole, shape, gain=gains)
    assert found.max() / found.min() < 1.001


def test_the_table_of_the_page_is_what_its_text_says() -> None:
    with (FOLDER / "gains.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["surrogate"] for row in rows} == {"fast_sigmoid", "sigmoid", "atan", "triangular", "rectangular"}
    without = [row for row in rows if float(row["leak"]) == 0]
    assert all(0.5 < float(row["unit_variance"]) < 2 for row in without)
    assert min(float(row["default"]) for row in without) < 1e-7
    assert max(float(row["unit_variance"]) for row in rows) > 1e10
    assert all(abs(float(row["one backward pass"]) - 1) < 1e-3 for row in rows if row["reset"] == "detached")
