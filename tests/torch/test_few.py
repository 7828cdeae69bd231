"""Which of its two ways a comparison goes, by number of elements and device; that both give the same bits is test_programs's."""

from __future__ import annotations

import pytest
import torch

from arcana.torch._eager.masks import FEW, comparison_as_bools, few, number


@pytest.mark.parametrize(("count", "device", "expected"), [(FEW, "cpu", True), (FEW + 1, "cpu", False), (FEW + 1, "meta", True)])
def test_few_is_up_to_so_many_on_the_cpu_and_always_elsewhere(count: int, device: str, expected: bool) -> None:
    assert few(torch.empty(count, device=device)) is expected


@pytest.mark.parametrize(("count", "dtypes"), [(FEW, [None]), (FEW + 1, [torch.float32])])
def test_a_comparison_of_many_is_written_as_numbers_first(count: int, dtypes: list[torch.dtype | None]) -> None:
    seen: list[torch.dtype | None] = []

    def compare(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
        seen.append(None if out is None else out.dtype)
        return torch.ge(x, y, out=out)

    v = torch.randn(count)
    assert torch.equal(comparison_as_bools(compare)(v, torch.zeros(())), v >= 0)
    assert seen == dtypes


@pytest.mark.parametrize("count", [FEW, FEW + 1])
def test_a_comparison_is_numbers_in_the_array_that_is_given(count: int) -> None:
    kept, zero, out = torch.arange(count) % 3 == 0, torch.zeros(()), torch.full((count,), 7.0)
    found = number(kept, zero)
    assert found.dtype is torch.float32
    assert torch.equal(found, kept.float())
    assert number(kept, zero, out) is out
    assert torch.equal(out, kept.float())
