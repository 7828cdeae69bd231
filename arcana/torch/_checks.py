"""The answers to what the checks of a call ask about torch's tensors."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

from arcana._core import Arrays
from arcana.torch._compat import jit_trace, transformed


class _Tensors:
    """The tensors of torch, see `Arrays`."""

    kind = "torch.Tensor"
    noun = "tensor"
    convert = "torch.as_tensor(v)"

    def potential(self, v: Any) -> torch.Tensor | None:
        return v if isinstance(v, torch.Tensor) else None

    def parameter(self, value: Any) -> torch.Tensor | None:
        if isinstance(value, np.ndarray) and value.ndim == 0:
            # One number; Dynamo takes a NumPy scalar for it too.
            return torch.as_tensor(value)
        return value if isinstance(value, torch.Tensor) else None

    def dtype(self, x: torch.Tensor) -> str:
        return name_of(x.dtype)

    def is_floating(self, x: torch.Tensor) -> bool:
        return x.is_floating_point()

    def cast(self, x: torch.Tensor, dtype: str) -> torch.Tensor:
        return x.to(getattr(torch, dtype))

    def ends(self, x: torch.Tensor) -> tuple[float, float, str] | None:
        if not in_sight(x):
            return None
        exact = x.detach() if x.dtype is torch.float64 else x.detach().float()
        ends = [exact] if x.ndim == 0 else torch.aminmax(exact)
        return ends[0].item(), ends[-1].item(), name_of(exact.dtype)

    def inside(self, x: torch.Tensor, low: float, high: float, dtype: str) -> torch.Tensor:
        # `Derivative` moves them, since the tensor that is saved must be the caller's.
        return x


TENSORS: Arrays = _Tensors()


def name_of(dtype: torch.dtype) -> str:
    """Return the name of a dtype, `float32` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def distributed(x: Any) -> bool:
    """Whether it is a DTensor. Nobody who has one has not loaded its module."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(x, module.DTensor)


def in_sight(value: torch.Tensor) -> bool:
    """Whether the values can be looked at without waiting for a device, and without a compiler or a transform that looks on."""
    if torch.compiler.is_compiling():
        return False
    return value.device.type == "cpu" and value.numel() > 0 and jit_trace() is None and not transformed(value)
