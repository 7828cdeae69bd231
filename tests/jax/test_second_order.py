"""Second order through losses that are not linear in the spikes, by ways of JAX that a check of one surrogate leaves out."""

from __future__ import annotations

import pytest

import arcana.jax.conformance as side
from arcana.surrogate import S2NN
from arcana.testing._second_order import second_order_rows

WAYS = (
    "jit(grad of grad)",
    "vmap(grad of grad)",
    "checkpoint, grad of grad",
    "jvp of grad",
    "linearize of grad",
    "jit(jacfwd of grad)",
    "jacrev of grad",
    "scan: grad of grad",
    "scan: hessian",
    "scan: vmap(grad of grad)",
    "scan: checkpoint, grad of grad",
    "scan: jvp of jvp",
)
"""What differs between them is not the definition's."""


@pytest.mark.parametrize("way", WAYS)
def test_second_order_by_every_way(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "NONLINEAR", (way,))
    monkeypatch.setattr(side, "ONE_CIRCUIT", {way: "a recurrent neuron"})
    rows = [row for _, row in second_order_rows([S2NN(alpha=4.0, beta=0.7)], "jax", side)]
    assert [(row.where, row.what) for row in rows] == [(f"jax {way}", "second order of a recurrent neuron")]
    assert [row for row in rows if not row.passed] == []
