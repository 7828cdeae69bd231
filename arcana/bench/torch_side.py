"""Calls of candidates in PyTorch, on the CPU. The twin of `jax_side`."""

from __future__ import annotations

import contextlib
import dataclasses
import types
from collections.abc import Callable, Iterator
from typing import Any

from arcana._missing import MissingDependencyError
from arcana.bench.candidates import COPY, KERNELS, OURS, RELU, Candidate
from arcana.bench.libraries import Array, Spikes
from arcana.surrogate import Surrogate

try:
    from arcana.torch import set_compiled_kernels, spike
except ImportError as error:
    raise MissingDependencyError(package="PyTorch", install="torch") from error

import torch


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: torch.Tensor) -> torch.Tensor:
        return v.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return cotangent * 1


def ours(surrogate: Surrogate, mode: str) -> list[Candidate]:
    candidate = Candidate(OURS, lambda v: spike(v, surrogate), surrogate)
    with_kernels = dataclasses.replace(candidate, label=KERNELS, setting=lambda: set_compiled_kernels(True))
    return [candidate, with_kernels] if mode == "kernels" else [candidate]


def floors(mode: str) -> list[Candidate]:
    return [Candidate(RELU, torch.relu), Candidate(COPY, _Copy.apply)]


@contextlib.contextmanager
def ready(dtype: str) -> Iterator[None]:
    """What all calls of a run stand in."""
    yield


def forget(mode: str) -> None:
    """Drop what was compiled."""
    if mode == "compiled":
        torch.compiler.reset()


def array(values: Array, dtype: str) -> torch.Tensor:
    return torch.from_numpy(values).to(getattr(torch, dtype))


def forward(function: Spikes, v: torch.Tensor, mode: str) -> Callable[[], None]:
    """A call whose spikes nobody differentiates."""
    spikes = _as(mode, function)

    def call() -> None:
        spikes(v)

    return call


def forward_backward(function: Spikes, v: torch.Tensor, cotangent: torch.Tensor, mode: str) -> Callable[[], None]:
    """A call and the gradient of v."""
    begin = start(function, v, mode)

    def call() -> None:
        begin()[1](cotangent)

    return call


def start(function: Spikes, v: torch.Tensor, mode: str) -> Callable[[], tuple[torch.Tensor, Callable[[torch.Tensor], Any]]]:
    """The forward pass, which returns the spikes and the backward pass."""
    spikes_of = _as(mode, function)
    leaf = v.detach().requires_grad_()

    def call() -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
        spikes = spikes_of(leaf)
        return spikes, lambda cotangent: torch.autograd.grad(spikes, leaf, cotangent)

    return call


def _as(mode: str, function: Spikes) -> Spikes:
    return compiled(function) if mode == "compiled" else function


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """torch.compile of a function, as if nothing else had been compiled."""

    def call(*arguments: torch.Tensor) -> Any:
        return function(*arguments)

    # Dynamo keeps what it compiles with the code object. Candidates share one, and each would pay for the guards of the others.
    return torch.compile(types.FunctionType(call.__code__.replace(), globals(), closure=call.__closure__))
