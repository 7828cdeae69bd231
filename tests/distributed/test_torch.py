"""Every surrogate in two processes of PyTorch gives the gradients of one, its parameters' included."""

from __future__ import annotations

from typing import Any

from every import every_surrogate
from results import torch_cases
from torch_cases import FSDP2, PLACEMENTS, PLANS

TOLERANCE = 1e-11
"""Sums in another order, in float64."""


def of_case(names: tuple[str, ...], name: str, start: str) -> list[dict[str, Any]]:
    return [record for record in torch_cases(names) if record["name"] == name and record["case"].startswith(start)]


@every_surrogate
def test_a_dtensor_in_every_placement(name: str, together: tuple[str, ...]) -> None:
    """No collective, save one for a sum that is still to be made, and one for each parameter that the parts share."""
    for placement in PLACEMENTS:
        records = of_case(together, name, f"DTensor, `{placement}`")
        assert len(records) == (5 if placement == "Shard(1)" else 4)
        for record in records:
            assert record["difference"] < TOLERANCE, record
            assert record["collectives"] == [int(placement == "Partial"), record["sums"]], record


@every_surrogate
def test_a_gradient_of_a_gradient_and_a_compiled_call(name: str, together: tuple[str, ...]) -> None:
    for case in ("the gradient of a gradient", "compiled"):
        (record,) = of_case(together, name, f"DTensor, {case}")
        assert record["difference"] < TOLERANCE, record


@every_surrogate
def test_a_layer_that_learns_in_a_model_that_is_copied_or_split(name: str, together: tuple[str, ...]) -> None:
    for case in ("DDP", *(["FSDP2"] if FSDP2 else []), *(f"tensor parallel, {label}" for label in PLANS)):
        records = of_case(together, name, case)
        assert [record["parameters"] for record in records] == ["shared", "per channel"]
        for record in records:
            assert record["difference"] < TOLERANCE, record
