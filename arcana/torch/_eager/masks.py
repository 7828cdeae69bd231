"""Comparisons and choices without branches.

torch.where takes 200 µs for 131,072 elements whose mask is random, ten times as long as a product; an `and` of bits takes 7.
So in a program for many elements a comparison is a number for each element whose bits are all ones or all zeros, and a choice
is made by bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

FEW = 4096
"""Up to this many elements a call costs more than its elements."""

WORDS = {torch.float32: torch.int32, torch.float64: torch.int64}


def few(x: torch.Tensor) -> bool:
    """Whether torch's own comparison and choice are the quicker ones; off the CPU they always are."""
    return x.numel() <= FEW or not x.is_cpu


Output = torch.Tensor | None
Operand = torch.Tensor | None
"""None is the number 0, whose bits change nothing."""


def larger(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the one that has the shape of both together, of a potential and what broadcasts to it."""
    if x.ndim != y.ndim:
        return x if x.ndim > y.ndim else y
    return x if x.numel() == 0 or 0 < y.numel() <= x.numel() else y


def comparison(compare: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a comparison, torch.ge say, that gives bits."""

    def compared(x: torch.Tensor, y: torch.Tensor, out: Output = None) -> torch.Tensor:
        truth = compare(x, y, out=torch.empty_like(larger(x, y)) if out is None else out)
        return _filled(truth, out=truth)

    compared.__name__ = f"compare_{compare.__name__}"
    return compared


def comparison_as_bools(compare: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a comparison, torch.ge say, that gives bools.

    For many elements, to numbers first and then to bools takes half the time of torch's own way to bools.
    """

    def compared(x: torch.Tensor, y: torch.Tensor, out: Output = None, scratch: Output = None) -> torch.Tensor:
        full = larger(x, y)
        if few(full):
            return compare(x, y, out=out)
        truth = compare(x, y, out=torch.empty_like(full) if scratch is None else scratch)
        return truth.to(torch.bool) if out is None else out.copy_(truth)

    compared.__name__ = f"compare_{compare.__name__}_as_bools"
    return compared


def logical(operation: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return an operation, torch.bitwise_and say, that takes and gives bits."""

    def combined(*operands: torch.Tensor, out: Output = None) -> torch.Tensor:
        result = operation(*(_words(each) for each in operands), out=None if out is None else _words(out))
        return result.view(operands[0].dtype)

    combined.__name__ = operation.__name__
    return combined


def truth(kept: torch.Tensor, zero: torch.Tensor, out: Output = None) -> torch.Tensor:
    """Return the comparison that was kept, as bools or as spikes, as bits."""
    out = torch.empty_like(kept, dtype=zero.dtype) if out is None else out
    if kept.dtype is not torch.bool:
        return _filled(kept, out)
    _words(out).copy_(kept).neg_()
    return out


def truth_as_bools(kept: torch.Tensor, zero: torch.Tensor, out: Output = None) -> torch.Tensor:
    """Return the comparison that was kept, as bools or as spikes, as bools of its own."""
    return kept.to(torch.bool, copy=True) if out is None else out.copy_(kept)


def number(kept: torch.Tensor, zero: torch.Tensor, out: Output = None) -> torch.Tensor:
    """Return the comparison that was kept as bools, as 1.0 and 0.0."""
    out = torch.empty_like(kept, dtype=zero.dtype) if out is None else out
    # From bytes it takes a tenth of the time that it takes from bools, where there are many.
    return out.copy_(kept if few(kept) else kept.view(torch.int8))


def choose(
    mask: torch.Tensor, a: Operand, b: Operand, zero: torch.Tensor, out: Output = None, scratch: Output = None
) -> torch.Tensor:
    """Return torch.where(mask, a, b) of a mask with an element for each of the result's, and two arrays or constants.

    The scratch may be `a`, or the mask where `a` is 0; without one another tensor is made. The output may be any of them.
    """
    dtype, mask = mask.dtype, _words(mask)
    out, scratch = (None if each is None else _words(each) for each in (out, scratch))
    if b is None:
        return torch.bitwise_and(_words(zero if a is None else a), mask, out=out).view(dtype)
    if a is None:
        return torch.bitwise_and(_words(b), torch.bitwise_not(mask, out=scratch), out=out).view(dtype)
    difference = torch.bitwise_xor(_words(a), _words(b), out=scratch)
    chosen = torch.bitwise_and(difference, mask, out=difference if difference.shape == mask.shape else out)
    return torch.bitwise_xor(chosen, _words(b), out=out).view(dtype)


def _filled(ones_and_zeros: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Return bits of ones for 1.0, of zeros for 0.0."""
    # The bits of 1.0 are 0011111…: the first shift moves a one to the sign, the second fills the word with it.
    words = torch.bitwise_left_shift(_words(ones_and_zeros), 2, out=_words(out))
    words.bitwise_right_shift_(words.element_size() * 8 - 1)
    return out


def _words(x: torch.Tensor) -> torch.Tensor:
    """Return the same memory as integers."""
    return x.view(WORDS[x.dtype])
