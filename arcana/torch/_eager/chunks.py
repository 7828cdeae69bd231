"""Long arrays in chunks, so that what one operation writes is in the cache when the next one reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from arcana.torch._eager.program import LearnableProgram

CHUNK = 1 << 20
"""Elements: long enough to outweigh the calls, and short enough for a last-level cache."""

SLOPES = 1 << 19
"""Elements, where the results are summed: its programs have more tensors at a time."""


@dataclasses.dataclass(frozen=True)
class Sums:
    """What is added up for the gradient of a parameter.

    Attributes:
        terms: places of one or two arrays among a program's results, and what the sum of their product is multiplied by.
        shape: of the parameter.
        single: whether that is one number.
    """

    terms: Sequence[tuple[int, int | None, torch.Tensor | None]]
    shape: torch.Size
    single: bool


def in_chunks(
    function: Callable[..., torch.Tensor],
    arrays: Sequence[torch.Tensor],
    out: torch.Tensor,
    constants: Sequence[torch.Tensor],
    dtype: torch.dtype,
    size: int | None = None,
) -> torch.Tensor:
    """Run function(*arrays, out, *constants) in the computing dtype, and return out.

    Args:
        function: elementwise; it writes to out and returns it.
        arrays: of out's shape.
        out: dense; where the results go, in its own dtype.
        constants: tensors that broadcast to out.
        dtype: to compute in.
        size: of a chunk (default `CHUNK`).
    """
    size = CHUNK if size is None else size
    narrow = arrays[-1].dtype is not dtype
    if out.numel() <= size and not narrow:
        return function(*arrays, out, *constants)
    for *chunk, results in _chunks([*arrays, out], constants, size):
        wide = _widened(chunk, dtype)
        if narrow and out.dtype is not torch.bool:
            results.copy_(function(*wide, torch.empty_like(results, dtype=dtype), *constants))
        else:
            function(*wide, results, *constants)
    return out


def summed_in_chunks(
    program: LearnableProgram,
    v: torch.Tensor,
    cotangent: torch.Tensor,
    out: torch.Tensor,
    constants: Sequence[torch.Tensor],
    dtype: torch.dtype,
    sums: Sequence[Sums],
) -> list[torch.Tensor]:
    """Write cotangent · h to out, and return the sums.

    The first is Σ v² where the program is of near potentials alone. What is summed is never held for more than a chunk.
    """
    if v.dtype is dtype is out.dtype and out.numel() <= SLOPES:
        return _summed(program, v, cotangent, out, constants, sums)
    found = []
    for *chunk, results in _chunks([v, cotangent, out], constants, SLOPES):
        narrow = results.dtype is not dtype
        written = torch.empty_like(results, dtype=dtype) if narrow else results
        wide_v, wide_cotangent = _widened(chunk, dtype)
        found.append(_summed(program, wide_v, wide_cotangent, written, constants, sums))
        if narrow:
            results.copy_(written)
    return found[0] if len(found) == 1 else [torch.stack(each).sum(0) for each in zip(*found, strict=True)]


def _summed(
    program: LearnableProgram,
    v: torch.Tensor,
    cotangent: torch.Tensor,
    out: torch.Tensor,
    constants: Sequence[torch.Tensor],
    sums: Sequence[Sums],
) -> list[torch.Tensor]:
    """Do the same for one chunk, all of it in the computing dtype."""
    arrays = program.run(v, cotangent, out, *constants)
    found = [_sum(each, arrays) for each in sums]
    return [_dot(v, v), *found] if program.bounded else found


def _sum(sums: Sums, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
    total, shape = None, sums.shape
    for left, right, factor in sums.terms:
        x, y = arrays[left], None if right is None else arrays[right]
        if factor is not None and factor.numel() > 1 and factor.shape != shape:
            x, factor = x * factor, None
        found = (x.sum() if y is None else _dot(x, y)) if sums.single else (x if y is None else x * y).sum_to_size(shape)
        found = found if factor is None else found * factor
        total = found if total is None else total + found
    assert total is not None
    return total if total.shape == shape else total.view(shape)


def _dot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if not x.is_cpu or x.shape != y.shape:
        return (x * y).sum()
    if x.ndim == 1:
        return torch.dot(x, y)
    flat = x.reshape(-1)
    return torch.dot(flat, flat if y is x else y.reshape(-1))


def _widened(arrays: Sequence[torch.Tensor], dtype: torch.dtype) -> Sequence[torch.Tensor]:
    return [x if x.dtype is dtype or not x.is_floating_point() else x.to(dtype) for x in arrays]


def _chunks(arrays: Sequence[torch.Tensor], constants: Sequence[torch.Tensor], size: int) -> Iterator[Sequence[torch.Tensor]]:
    """Yield the arrays, or one chunk of each after the other: rows, or any elements where all constants are numbers.

    The last of the arrays is dense. A number with axes does not broadcast to elements without.
    """
    last = arrays[-1]
    if last.numel() <= size or not last.is_cpu:
        yield arrays
    elif all(each.numel() == 1 and each.ndim <= 1 for each in constants):
        yield from zip(*(_flat(each, last).split(size) for each in arrays), strict=True)
    elif all(each.ndim < last.ndim or each.shape[0] == 1 for each in constants):
        rows = max(1, size * last.shape[0] // last.numel())
        yield from zip(*(each.split(rows) for each in arrays), strict=True)
    else:
        yield arrays


def _flat(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return x in the order of another's memory."""
    if x.stride() != like.stride():
        x = torch.empty_like(like, dtype=x.dtype).copy_(x)
    return x.as_strided((x.numel(),), (1,))
