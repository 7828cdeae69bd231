"""Calls of candidates in PyTorch, on the CPU. The twin of `jax_side`."""

from __future__ import annotations

import contextlib
import dataclasses
import types
from collections.abc import Callable
from typing import Any

import torch

from arcana.bench.libraries import Array
from arcana.bench.records import KERNELS, OURS, Candidate, Spikes
from arcana.surrogate import Surrogate
from arcana.torch import set_compiled_kernels, spike


def ours(surrogate: Surrogate, mode: str) -> list[Candidate]:
    """Return ours; in the mode `kernels` also with compiled kernels."""
    candidate = Candidate(OURS, lambda v: spike(v, surrogate), surrogate)
    with_kernels = dataclasses.replace(candidate, label=KERNELS, setting=lambda: set_compiled_kernels(True))
    return [candidate, with_kernels] if mode == "kernels" else [candidate]


relu, ready = torch.relu, contextlib.nullcontext


def forget(mode: str) -> None:
    """Drop what was compiled."""
    if mode == "compiled":
        torch.compiler.reset()


def array(values: Array, dtype: str) -> torch.Tensor:
    """Return the values as a tensor."""
    return torch.from_numpy(values).to(getattr(torch, dtype))


def evaluate(function: Spikes, v: Array) -> tuple[Array, Array]:
    """Return spikes and h of v."""
    spikes, pull = start(function, torch.tensor(v), "eager")()
    return spikes.detach().numpy(), pull(torch.ones_like(spikes))[0].numpy()


def forward(function: Spikes, v: torch.Tensor, mode: str) -> Callable[[], None]:
    """Return a call whose spikes nobody differentiates."""
    spikes = _in_mode(mode, function)

    def call() -> None:
        spikes(v)

    return call


def forward_backward(function: Spikes, v: torch.Tensor, cotangent: torch.Tensor, mode: str) -> Callable[[], None]:
    """Return a call that computes the spikes and the gradient of v."""
    begin = start(function, v, mode)

    def call() -> None:
        begin()[1](cotangent)

    return call


def start(function: Spikes, v: torch.Tensor, mode: str) -> Callable[[], tuple[torch.Tensor, Callable[[torch.Tensor], Any]]]:
    """Return a call of the forward pass alone, which returns the spikes and the backward pass."""
    spikes_of = _in_mode(mode, function)
    leaf = v.detach().requires_grad_()

    def call() -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
        spikes = spikes_of(leaf)
        return spikes, lambda cotangent: torch.autograd.grad(spikes, leaf, cotangent)

    return call


def network(candidate: Candidate, spikes: torch.Tensor, mode: str) -> tuple[Spikes, str]:
    """Return the layer's function from the weight to the output spikes, a plain loop, and the mode in which it is called.

    Compiled is one step and not the loop: 500 unrolled steps take minutes to compile.
    """
    step = _in_mode(mode, candidate.neuron(torch.Tensor.detach))

    def output(weight: torch.Tensor) -> torch.Tensor:
        currents = spikes @ weight
        potential, fired = torch.zeros_like(currents[0]), []
        for current in currents:
            potential, now = step(potential, current)
            fired.append(now)
        return torch.stack(fired)

    return output, "eager"


def _in_mode(mode: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function itself, or its torch.compile as if nothing else had been compiled."""
    if mode != "compiled":
        return function

    def call(*arguments: torch.Tensor) -> Any:
        return function(*arguments)

    # Dynamo keeps what it compiles with the code object. Candidates share one, and each would pay for the guards of the others.
    return torch.compile(types.FunctionType(call.__code__.replace(), globals(), closure=call.__closure__))
