"""Sinabs: what its layers take as `spike_fn=` and as `surrogate_grad_fn=`. Tested with 3.1.3; imports nothing of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import torch

from arcana._core import AnySurrogate, Surrogate, surrogate_of
from arcana.torch._function import spike


@dataclasses.dataclass(frozen=True)
class SurrogateGradient:
    """A surrogate as `surrogate_grad_fn=`: h(potential − threshold), whatever `spike_fn` counts as spikes.

    Args:
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters.

    Shapes and dtypes: those of the potential, kept. A threshold has no gradient in Sinabs.

    Raises:
        TypeError: surrogate is none.

    >>> import torch
    >>> from arcana.surrogate import FastSigmoid
    >>> SurrogateGradient(FastSigmoid(scale=25.0))(torch.tensor([0.9, 1.0]), 1.0)
    tensor([0.0816, 1.0000])
    """

    surrogate: Surrogate

    def __init__(self, surrogate: AnySurrogate) -> None:
        object.__setattr__(self, "surrogate", surrogate_of(surrogate, "SurrogateGradient"))

    def __call__(self, v_mem: torch.Tensor, spike_threshold: float | torch.Tensor) -> torch.Tensor:
        """Return h(v_mem − spike_threshold)."""
        return self.surrogate.derivative(v_mem - spike_threshold)


@dataclasses.dataclass(frozen=True)
class SingleSpike:
    """A surrogate as `spike_fn=`: at most one spike a step, in the potential's dtype, with all derivatives that Arcana has.

    Unlike with Sinabs' own `SingleSpike` a threshold that is a tensor gets its gradient, −h, and every transform works.

    Args:
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters. The layer's
            `surrogate_grad_fn` is not asked.

    Raises:
        TypeError: surrogate is none.

    >>> import torch
    >>> from arcana.surrogate import FastSigmoid
    >>> SingleSpike(FastSigmoid(scale=25.0)).apply(torch.tensor([0.9, 1.0]), 1.0)
    tensor([0., 1.])
    """

    surrogate: Surrogate
    required_states: ClassVar[tuple[str, ...]] = ("v_mem",)
    """What a layer hands over before the threshold."""

    def __init__(self, surrogate: AnySurrogate) -> None:
        object.__setattr__(self, "surrogate", surrogate_of(surrogate, "SingleSpike"))

    def apply(
        self, v_mem: torch.Tensor, spike_threshold: float | torch.Tensor, surrogate_grad_fn: Callable[..., Any] | None = None
    ) -> torch.Tensor:
        """Return the spikes of a potential; a layer calls it."""
        return spike(v_mem - spike_threshold, self.surrogate)
