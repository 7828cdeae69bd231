"""Long arrays piece by piece, so that what one operation writes is in the cache when the next one reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

PIECE = 1 << 20
"""Elements: long enough to outweigh the calls, and short enough for a last-level cache."""


def run(
    function: Callable[..., torch.Tensor],
    arrays: Sequence[torch.Tensor],
    out: torch.Tensor,
    constants: Sequence[torch.Tensor],
    dtype: torch.dtype,
) -> torch.Tensor:
    """function(*arrays, out, *constants) in the computing dtype.

    Args:
        function: elementwise; it writes to out and returns it.
        arrays: of out's shape.
        out: dense; where the results go, in its own dtype.
        constants: tensors that broadcast to out.
        dtype: to compute in.
    """
    if out.numel() <= PIECE or not out.is_cpu or any(each.ndim for each in constants):
        return _run(function, arrays, out, constants, dtype)
    for piece in zip(*(_flat(each, out).split(PIECE) for each in (*arrays, out)), strict=True):
        _run(function, piece[:-1], piece[-1], constants, dtype)
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
    """x in the order of out's memory."""
    if x.stride() != out.stride():
        x = torch.empty_like(out, dtype=x.dtype).copy_(x)
    return x.as_strided((x.numel(),), (1,))
