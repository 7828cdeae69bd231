"""A network that learns its slopes and thresholds has, at every update, the gradients of one process."""

from __future__ import annotations

from typing import Any

import pytest
from digits import UPDATES
from results import jax_training, torch_training
from torch_cases import FSDP2
from torch_training import CASES

TOLERANCE = 5e-5
"""Sums in another order, in float32; that of a slope has terms of both signs."""


def check(record: dict[str, Any]) -> None:
    assert len(record["losses"]) == UPDATES
    assert record["losses"][-1] < 0.5 * record["losses"][0]
    assert len(record["differences"]) == 7
    assert max(record["differences"].values()) < TOLERANCE, record["differences"]


@pytest.mark.parametrize("case", [case for case in CASES if FSDP2 or "FSDP2" not in case])
def test_torch(case: str) -> None:
    (record,) = [record for record in torch_training() if record["case"] == case]
    check(record)


@pytest.mark.parametrize("place", range(7))
def test_jax(place: int) -> None:
    records = jax_training()
    assert len(records) == 7
    check(records[place])
