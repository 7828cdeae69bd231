"""Rockpool: what its torch neurons take as `spike_generation_fn=`. Tested with 3.1.0; imports nothing of it."""

from __future__ import annotations

import dataclasses

import torch

from arcana._core import AnySurrogate, Surrogate, surrogate_of
from arcana.torch._function import spike


@dataclasses.dataclass(frozen=True)
class SpikeGeneration:
    """A surrogate as `spike_generation_fn=` of LIFTorch and its kin.

    As in Rockpool a potential x fires floor(x/threshold) times a step, at most `max_spikes_per_dt` times, and its gradients are
    those of a function of x/threshold: h(x − threshold)/threshold for x, and −x/threshold times that for a threshold that
    trains. So a preset is taken at its threshold of 1, and follows the one that trains: with `presets.rockpool.step_pwl()` it
    is the library's own `StepPWL`.

    Args:
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters. The neuron's
            `learning_window` is not asked: the width of h is the surrogate's.

    Raises:
        TypeError: surrogate is none.

    >>> import torch
    >>> from arcana.surrogate import FastSigmoid
    >>> x, threshold = torch.tensor([0.4, 0.5, 1.6]), torch.tensor(0.5)
    >>> SpikeGeneration(FastSigmoid).apply(x, threshold)
    tensor([0., 1., 3.])
    """

    surrogate: Surrogate

    def __init__(self, surrogate: AnySurrogate) -> None:
        object.__setattr__(self, "surrogate", surrogate_of(surrogate, "SpikeGeneration"))

    def apply(
        self,
        x: torch.Tensor,
        threshold: float | torch.Tensor = 1.0,
        window: float | torch.Tensor = 0.5,
        max_spikes_per_dt: float | torch.Tensor = 2.0**16,
    ) -> torch.Tensor:
        """Return how often each potential fires; a neuron calls it."""
        relative = x / threshold
        # x − threshold to the last bit, with the derivatives of x/threshold.
        v = _constant(x - threshold) + (relative - _constant(relative))
        once = spike(v, self.surrogate)
        often = torch.as_tensor(max_spikes_per_dt, dtype=x.dtype, device=x.device)
        count = torch.minimum(torch.floor(_constant(relative)).clamp(min=1), often) * _constant(once)
        # A whole number plus 0, with the derivative of the first spike.
        return count + (once - _constant(once))


def _constant(x: torch.Tensor) -> torch.Tensor:
    return x.detach()
