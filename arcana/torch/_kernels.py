"""Compiled kernels for eager calls: one forward and one backward, by torch.compile's own compiler from the definition's trace."""

from __future__ import annotations

from typing import Any, Self

import torch

from arcana.torch._program import Program

_enabled = False

LEAST = 1 << 20
"""Elements from which on a CPU some kernel saves more than the guards of a compiled call cost."""


class set_compiled_kernels:  # noqa: N801  (a function that is a context manager too, like torch.set_grad_enabled)
    """Whether eager calls run one compiled kernel forward and one backward; off at first. Also a context manager.

    The operations of a surrogate, which eager PyTorch runs one after the other, become one pass over memory: C++ on a CPU,
    Triton on a GPU. The first call of a surrogate in a dtype compiles for some seconds and needs a C++ compiler, or Triton.
    Used for contiguous v (on a CPU of 1,048,576 elements and more) and parameters that are numbers, in reverse mode; every
    other call is as without it. Gradients are those of torch.compile: the same bits for the rational and piecewise
    surrogates, and within the same bound for the others.

    Args:
        enabled: whether calls from now on, of every thread, use compiled kernels. A backward pass goes as its forward did.
    """

    def __init__(self, enabled: bool) -> None:
        global _enabled
        self._before = _enabled
        _enabled = enabled

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        global _enabled
        _enabled = self._before


def wanted(v: torch.Tensor) -> bool:
    """Whether a call on v may use compiled kernels."""
    return _enabled and (v.numel() >= LEAST or not v.is_cpu) and v.is_contiguous()


class Kernels:
    """The two kernels of a program; they see flat arrays, so one compilation serves every shape."""

    def __init__(self, program: Program) -> None:
        self._fire, self._pull = (torch.compile(each, fullgraph=True, dynamic=True) for each in program.plain())

    def fire(self, v: torch.Tensor, constants: list[torch.Tensor]) -> list[torch.Tensor]:
        """The spikes, and the comparison if it is kept."""
        spikes, *mask = (each.view(v.shape) for each in self._fire(_flat(v), *constants))
        return [spikes, *(each.view(torch.bool) for each in mask)]

    def pull(self, kept: Any, cotangent: torch.Tensor, constants: list[torch.Tensor]) -> torch.Tensor:
        """cotangent · h."""
        kept = [each.view(torch.int8) if each.dtype is torch.bool else each for each in kept]
        return self._pull(*map(_flat, (*kept, cotangent)), *constants)[0].view(cotangent.shape)


def _flat(x: torch.Tensor) -> torch.Tensor:
    # Not `detach`, whose result is a view: torch.compile guards on the shape that a view was taken of.
    return x.reshape(-1).data
