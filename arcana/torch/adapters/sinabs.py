"""Sinabs: what its layers take as `spike_fn=` and as `surrogate_grad_fn=`. Tested with 3.1.3; imports nothing of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import torch

from arcana._core import AnySurrogate, Surrogate, surrogate_of
from arcana.rules import Integer
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


@dataclasses.dataclass(frozen=True)
class MultiSpike:
    """A surrogate as `spike_fn=`: up to `most` spikes a step, with h at each multiple of the threshold.

    The spikes are those of Sinabs' `MaxSpike(most)`. Where its gradient is that of one threshold, unless the surrogate is
    periodic, this one is that of the counts, 1/threshold · Σ h(potential/threshold − k) for k = 1 … most: the surrogate's width
    is in units of the threshold. A threshold that is a tensor gets its gradient, and every transform works.

    Args:
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters. The layer's
            `surrogate_grad_fn` is not asked.
        most: spikes a step, a whole number from 1 to 128.

    Raises:
        TypeError: surrogate is none, or most is no whole number.
        ValueError: most is out of its bounds.

    >>> import torch
    >>> from arcana.surrogate import FastSigmoid
    >>> potential = torch.tensor([0.9, 1.0, 2.5, 9.0])
    >>> MultiSpike(FastSigmoid(scale=25.0), most=3).apply(potential, 1.0)
    tensor([0., 1., 2., 3.])
    """

    surrogate: Surrogate
    most: int
    required_states: ClassVar[tuple[str, ...]] = ("v_mem",)
    """What a layer hands over before the threshold."""

    def __init__(self, surrogate: AnySurrogate, most: int) -> None:
        object.__setattr__(self, "surrogate", surrogate_of(surrogate, "MultiSpike"))
        object.__setattr__(self, "most", Integer(most).most)

    def apply(
        self, v_mem: torch.Tensor, spike_threshold: float | torch.Tensor, surrogate_grad_fn: Callable[..., Any] | None = None
    ) -> torch.Tensor:
        """Return the counts of a potential; a layer calls it."""
        return spike(v_mem / spike_threshold - 1, self.surrogate, rule=Integer(self.most))
