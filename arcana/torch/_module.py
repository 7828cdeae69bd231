"""The spike function as a module, with the threshold inside and parameters that can be trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.fx

from arcana.surrogate import Surrogate
from arcana.torch._function import spike


class Spike(torch.nn.Module):
    """spike(v − threshold), as a layer.

    Args:
        surrogate: any `Surrogate` instance.
        threshold: the potential at which a neuron fires, a number or a tensor that broadcasts to v (default 1).
        learnable: names to train, among the surrogate's parameters and "threshold"; each becomes an nn.Parameter of
            that name, and gets ∂G/∂parameter. A tensor assigned to it (one value a channel, say) must broadcast to v.

    Shapes and dtypes: those of v, kept.

    Raises:
        TypeError: surrogate is no Surrogate instance, or a learnable name is none of its parameters.
        ValueError: threshold is not finite.
    """

    threshold: torch.Tensor

    def __init__(self, surrogate: Surrogate, threshold: float | torch.Tensor = 1.0, learnable: Iterable[str] = ()) -> None:
        super().__init__()
        if not isinstance(surrogate, Surrogate):
            msg = f"Spike: surrogate must be a Surrogate instance, got {surrogate!r}"
            raise TypeError(msg)
        self.surrogate = surrogate
        value = torch.as_tensor(threshold, dtype=None if isinstance(threshold, torch.Tensor) else torch.get_default_dtype())
        if not bool(torch.isfinite(value).all()):
            msg = f"Spike: threshold must be finite, got {threshold!r}"
            raise ValueError(msg)
        names = tuple(learnable)
        if "threshold" in names:
            self.threshold = torch.nn.Parameter(value.clone())
        else:
            self.register_buffer("threshold", value)
        self.learnable = tuple(name for name in names if name != "threshold")
        for name in self.learnable:
            if name not in surrogate.numbers and name != "gain":
                msg = f"Spike: {name!r} cannot be learned; there are threshold, gain, {', '.join(surrogate.numbers)}"
                raise TypeError(msg)
            self.register_parameter(name, torch.nn.Parameter(torch.tensor(getattr(surrogate, name))))

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        if isinstance(v, torch.fx.Proxy):
            from arcana.torch._nodes import module_node

            proxy: Any = v
            node = module_node(proxy, self)
            return spike(proxy - self.threshold, self.surrogate, **self._learned()) if node is None else node
        return spike(v - self.threshold.to(v.dtype), self.surrogate, **self._learned())

    def _learned(self) -> dict[str, torch.Tensor]:
        return {name: getattr(self, name) for name in self.learnable}

    def extra_repr(self) -> str:
        if torch.compiler.is_compiling():
            # torch.func.vmap of a module asks for it, and Dynamo follows no look at a tensor's values.
            return repr(self.surrogate)
        return f"{self.surrogate!r}, threshold={self.threshold.tolist()}, learnable={self.learnable}"
