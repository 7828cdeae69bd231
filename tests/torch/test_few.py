"""Which of its two ways a comparison goes, by number of elements and device; that both give the same bits is test_programs's."""

from __future__ import annotations

import pytest
import torch

from arcana.torch._bits import FEW, few


@pytest.mark.parametrize(("count", "device", "expected"), [(FEW, "cpu", True), (FEW + 1, "cpu", False), (FEW + 1, "meta", True)])
def test_few_is_up_to_so_many_on_the_cpu_and_always_elsewhere(count: int, device: str, expected: bool) -> None:
    assert few(torch.empty(count, device=device)) is expected
