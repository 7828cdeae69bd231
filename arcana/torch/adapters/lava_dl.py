"""lava-dl: a surrogate for the neurons of `lava.lib.dl.slayer`. Tested with the repository lava-nc/lava-dl at d825ac5."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from lava.lib.dl.slayer.spike.spike import Spike  # pyright: ignore[reportMissingImports]

from arcana._core import AnySurrogate, surrogate_of
from arcana.torch._function import spike


@contextlib.contextmanager
def spikes_with(surrogate: AnySurrogate) -> Iterator[None]:
    """Let the neurons of slayer with real potentials (cuba, alif, rf_iz) fire with a surrogate, until the context ends.

    A neuron calls `Spike.apply` of one class for its spikes and names no other. Inside the context that is the surrogate of
    potential − threshold; a threshold that is a tensor gets its gradient, −h. The neuron's tau_grad and scale_grad are not asked.
    It is for one thread at a time, as every class attribute is.

    Args:
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters.

    Raises:
        TypeError: surrogate is none.
        ValueError: a neuron with `graded_spike=True` fires in the context: its spikes are potentials.
    """
    chosen = surrogate_of(surrogate, "spikes_with")

    def apply(
        voltage: torch.Tensor, threshold: Any, tau_rho: Any, scale_rho: Any, graded_spike: bool, voltage_last: Any, scale: Any
    ) -> torch.Tensor:
        if graded_spike:
            msg = "spikes_with: graded_spike must be False, got True: a surrogate's spikes are 0 or 1; leave that layer outside"
            raise ValueError(msg)
        return spike(voltage - threshold, chosen)

    before = vars(Spike).get("apply")
    Spike.apply = staticmethod(apply)
    try:
        yield
    finally:
        if before is None:
            del Spike.apply
        else:
            Spike.apply = before
