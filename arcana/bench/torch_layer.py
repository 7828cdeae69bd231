"""The layer in PyTorch: a plain loop over the steps. The twin of `jax_layer`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from arcana.bench import torch_side
from arcana.bench.candidates import Candidate
from arcana.bench.layer import DECAY, THRESHOLD, Numbers


def network(candidate: Candidate, numbers: Numbers, mode: str, dtype: str) -> Callable[[], None]:
    """A call of forward and backward. Compiled is one step, not the loop: 500 unrolled steps take many minutes to compile."""
    spikes, weight, cotangent = (torch_side.array(x, dtype) for x in (numbers.spikes, numbers.weight, numbers.cotangent))
    weight.requires_grad_()
    missing = THRESHOLD - candidate.threshold

    def advance(potential: torch.Tensor, current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        potential = potential * DECAY + current
        fired = candidate.function(potential - missing if missing else potential)
        return potential - fired.detach() * THRESHOLD, fired

    step = torch.compile(advance) if mode == "compiled" else advance

    def call() -> None:
        potential, output = torch.zeros_like(cotangent[0]), []
        for current in spikes @ weight:
            potential, fired = step(potential, current)
            output.append(fired)
        torch.autograd.grad(torch.stack(output), weight, cotangent)

    return call
