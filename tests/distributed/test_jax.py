"""Every surrogate on a mesh of eight devices gives the gradients of one, and asks no other device for anything."""

from __future__ import annotations

from every import every_surrogate
from jax_cases import BY_PROCESSES, WAYS
from results import jax_cases

from arcana import surrogate as definitions

TOLERANCE = 1e-11
"""Sums in another order, in float64."""


@every_surrogate
def test_every_way_of_splitting(name: str, together: tuple[str, ...]) -> None:
    records = [record for record in jax_cases(together) if record["name"] == name]
    assert {record["case"] for record in records} == {*WAYS.values(), *BY_PROCESSES.values()}
    for record in records:
        assert record["spikes"] == 0, record
        assert record["difference"] < TOLERANCE, record
        assert record["of the potential"] == {}, record
        # The sum over what shares a parameter.
        assert set(record["collectives"]) == ({"all-reduce"} if definitions.get(name).numbers else set()), record
