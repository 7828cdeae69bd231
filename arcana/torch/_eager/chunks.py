"""Long arrays in chunks, so that what one operation writes is in the cache when the next one reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

CHUNK = 1 << 20
"""Elements: long enough to outweigh the calls, and short enough for a last-level cache."""


def in_chunks(
    function: Callable[..., torch.Tensor],
    arrays: Sequence[torch.Tensor],
    out: torch.Tensor,
    constants: Sequence[torch.Tensor],
    dtype: torch.dtype,
) -> torch.Tensor:
    """Run function(*arrays, out, *constants) in the computing dtype, and return out.

    Args:
        function: elementwise; it writes to out and returns it.
        arrays: of out's shape.
        out: dense; where the results go, in its own dtype.
        constants: tensors that broadcast to out.
        dtype: to compute in.
    """
    if out.numel() <= CHUNK or not out.is_cpu or any(each.ndim for each in constants):
        return _run(function, arrays, out, constants, dtype)
    for chunk in zip(*(_flat(each, out).split(CHUNK) for each in (*arrays, out)), strict=True):
        _run(function, chunk[:-1], chunk[-1], constants, dtype)
    return out


def _run(
    function: Callable[..., torch.Tensor],
    arrays: Sequence[torch.Tensor],
    out: torch.Tensor,
    constants: Sequence[torch.Tensor],
    dtype: torch.dtype,
) -> torch.Tensor:
    narrow = arrays[-1].dtype is not dtype
    wide = [each.to(dtype) if each.is_floating_point() else each for each in arrays] if narrow else arrays
    if not narrow or out.dtype is torch.bool:
        return function(*wide, out, *constants)
    return out.copy_(function(*wide, torch.empty_like(out, dtype=dtype), *constants))


def _flat(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Return x in the order of out's memory."""
    if x.stride() != out.stride():
        x = torch.empty_like(out, dtype=x.dtype).copy_(x)
    return x.as_strided((x.numel(),), (1,))
