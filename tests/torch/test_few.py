"""Which of its two ways a comparison goes, by number of elements and device; that both give the same bits is test_programs's."""

from __future__ import annotations

import math

import pytest
import torch

from arcana.torch._eager.masks import FEW, WORDS, choose, comparison_as_bools, few, number, truth, truth_as_bools
from arcana.torch._eager.operations import BITS


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


@pytest.mark.parametrize("dtype", WORDS, ids=str)
@pytest.mark.parametrize("scalar", [False, True])
def test_a_comparison_gives_words_of_ones_and_of_zeros(scalar: bool, dtype: torch.dtype) -> None:
    x = torch.tensor([-1.0, 0.0, 2.0, math.nan, math.inf], dtype=dtype)
    y = torch.tensor(0.0, dtype=dtype) if scalar else torch.tensor([-1.0, 1.0, 1.0, 1.0, math.inf], dtype=dtype)
    for name in ("eq", "ge", "gt", "le", "lt", "ne"):
        expected = -getattr(torch, name)(x, y).to(WORDS[dtype])
        for out in (None, torch.empty_like(x), x.clone()):
            found = BITS[name](x, y, out=out)
            assert found.dtype is dtype
            assert torch.equal(found.view(WORDS[dtype]), expected)
            assert out is None or found is out


@pytest.mark.parametrize("dtype", WORDS, ids=str)
@pytest.mark.parametrize("kept", [torch.bool, None], ids=["bools", "spikes"])
def test_what_was_kept_is_a_comparison_again(kept: torch.dtype | None, dtype: torch.dtype) -> None:
    """And stays what it is."""
    given = torch.tensor([1, 0, 1]).to(dtype if kept is None else kept)
    before, zero = given.clone(), torch.zeros((), dtype=dtype)
    for out in (None, torch.empty(3, dtype=dtype)):
        found = truth(given, zero, out)
        assert found.dtype is dtype
        assert found.view(WORDS[dtype]).tolist() == [-1, 0, -1]
        assert out is None or found is out
    for out in (None, torch.empty(3, dtype=torch.bool)):
        found = truth_as_bools(given, zero, out)
        assert found.dtype is torch.bool
        assert found.tolist() == [True, False, True]
        assert found.data_ptr() != given.data_ptr()
        assert out is None or found is out
    assert torch.equal(given, before)


@pytest.mark.parametrize("dtype", WORDS, ids=str)
@pytest.mark.parametrize("a", ["array", "number", None])
@pytest.mark.parametrize("b", ["array", "number", None])
def test_a_choice_by_bits_is_the_choice(a: str | None, b: str | None, dtype: torch.dtype) -> None:
    """None is 0. The result may lie in any of the arrays, and the scratch be `a`, or the mask where `a` is 0."""
    zero, bools = torch.zeros((), dtype=dtype), torch.tensor([True, False, True, False])
    values = {"array": ([1.5, math.nan, -0.0, 7.0], [-2.0, 3.0, math.inf, math.nan]), "number": (2.5, -4.0), None: (0.0, 0.0)}
    x, y = (torch.tensor(values[each][i], dtype=dtype) for i, each in enumerate((a, b)))
    expected = torch.where(bools, x, y).view(WORDS[dtype])
    for place in (None, "new", "mask", "a", "b"):
        for scratched in (False, True):
            mask = truth(bools, zero)
            left, right = (None if kind is None else each.clone() for kind, each in ((a, x), (b, y)))
            out = {None: None, "new": torch.empty(4, dtype=dtype), "mask": mask, "a": left, "b": right}[place]
            if out is not None and out.ndim == 0:
                continue
            scratch = None
            if scratched and b is not None:
                scratch = mask if a is None else left if a == "array" else torch.empty(4, dtype=dtype) if b == "array" else None
            found = choose(mask, left, right, zero, out, scratch)
            assert torch.equal(found.view(WORDS[dtype]), expected)
            assert out is None or found.data_ptr() == out.data_ptr()
