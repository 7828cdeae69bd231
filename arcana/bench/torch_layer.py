"""The layer in PyTorch: a plain loop over the steps. The twin of `jax_layer`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from arcana.bench import torch_side
from arcana.bench.candidates import Candidate
from arcana.bench.layer import DECAY, THRESHOLD, Numbers
from arcana.bench.libraries import Spikes


def network(candidate: Candidate, spikes: torch.Tensor, mode: str) -> Spikes:
    """From the weight to the output spikes. Compiled is one step, not the loop: 500 unrolled steps take minutes to compile."""
    missing = THRESHOLD - candidate.threshold

    def advance(potential: torch.Tensor, current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        potential = potential * DECAY + current
        fired = candidate.function(potential - missing if missing else potential)
        return potential - fired.detach() * THRESHOLD, fired

    step = torch_side.compiled(advance) if mode == "compiled" else advance

    def output(weight: torch.Tensor) -> torch.Tensor:
        currents = spikes @ weight
        potential, fired = torch.zeros_like(currents[0]), []
        for current in currents:
            potential, now = step(potential, current)
            fired.append(now)
        return torch.stack(fired)

    return output


def forward_backward(candidate: Candidate, numbers: Numbers, mode: str, dtype: str) -> Callable[[], None]:
    """A call of forward and backward."""
    spikes, weight, cotangent = (torch_side.array(x, dtype) for x in (numbers.spikes, numbers.weight, numbers.cotangent))
    return torch_side.forward_backward(network(candidate, spikes, mode), weight, cotangent, "eager")
