"""Second order through losses that are not linear in the spikes, by ways of JAX that a check of one surrogate leaves out."""

from __future__ import annotations

import pytest

import arcana.jax.conformance as side
from arcana.surrogate import S2NN
from arcana.testing._second_order import second_order_rows


@pytest.mark.parametrize("way", side.MORE_NONLINEAR)
def test_second_order_by_every_way(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "NONLINEAR", (way,))
    rows = [row for _, row in second_order_rows([S2NN(alpha=4.0, beta=0.7)], "jax", side)]
    assert [(row.where, row.what) for row in rows] == [(f"jax {way}", "second order of a recurrent neuron")]
    assert [row for row in rows if not row.passed] == []
