"""Long arrays in chunks, so that what one operation writes is in the cache when the next one reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

CHUNK = 1 << 20
"""Elements: long enough to outweigh the calls, and short enough for a last-level cache."""

SLOPES = 1 << 18
"""Elements, where the results are summed: its programs have more tensors at a time."""


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


def sum_in_chunks(
    function: Callable[..., torch.Tensor],
    arrays: Sequence[torch.Tensor],
    constants: Sequence[torch.Tensor],
    dtype: torch.dtype,
    shape: torch.Size,
) -> torch.Tensor:
    """Return the results of the same run summed to a shape that broadcasts to theirs, without ever holding them all."""
    sums, scratch = [], None
    for *chunk, same in _chunks([*arrays, torch.empty_like(arrays[0], dtype=dtype)], constants, SLOPES):
        # The first chunk of it is written to again and again; the rest of it is never touched.
        scratch = same if scratch is None or scratch.shape != same.shape else scratch
        sums.append(function(*_widened(chunk, dtype), scratch, *constants).sum_to_size(shape))
    return sums[0] if len(sums) == 1 else torch.stack(sums).sum(0)


def _widened(arrays: Sequence[torch.Tensor], dtype: torch.dtype) -> Sequence[torch.Tensor]:
    return [x if x.dtype is dtype or not x.is_floating_point() else x.to(dtype) for x in arrays]


def _chunks(arrays: Sequence[torch.Tensor], constants: Sequence[torch.Tensor], size: int) -> Iterator[Sequence[torch.Tensor]]:
    """Yield the arrays, or one chunk of each after the other: rows, or any elements where all constants are numbers.

    The last of the arrays is dense.
    """
    last = arrays[-1]
    if last.numel() <= size or not last.is_cpu:
        yield arrays
    elif all(each.numel() == 1 for each in constants):
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
