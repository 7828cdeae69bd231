"""SpikingJelly: a surrogate as a `SurrogateFunctionBase`. Tested with 2.0.0.

Most nodes take an instance as it is. Those that ask for more (`ComplementaryLIFNode` and the recurrent cells with two functions
read `spiking`), `set_spiking_mode`, and the registry of `NeuronConfig` take this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from spikingjelly.activation_based.surrogate import SurrogateFunctionBase  # pyright: ignore[reportMissingImports]

from arcana._core import AnySurrogate, Surrogate, from_dict, surrogate_of
from arcana.torch._function import spike


class SurrogateFunction(SurrogateFunctionBase):
    """A surrogate as SpikingJelly's own are: a module with `spiking`, printed with the net.

    Args:
        surrogate: any `Surrogate` instance, or its `to_dict()`, which is what a `NeuronConfig` can hold; a class or a function
            stands for its default parameters.
        spiking: whether it fires; False gives G, which must then be defined (default True).

    Raises:
        TypeError: surrogate is none.

    >>> from arcana.surrogate import FastSigmoid
    >>> SurrogateFunction(FastSigmoid(scale=25.0))
    SurrogateFunction(surrogate=FastSigmoid(scale=25.0), spiking=True)
    """

    surrogate: Surrogate

    def __init__(self, surrogate: AnySurrogate | Mapping[str, Any], spiking: bool = True) -> None:
        given = from_dict(surrogate) if isinstance(surrogate, Mapping) else surrogate_of(surrogate, "SurrogateFunction")
        super().__init__(spiking, surrogate=given)

    @staticmethod
    def spiking_function(x: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
        """Return the spikes of x, as every surrogate of SpikingJelly does."""
        return spike(x, surrogate)

    @staticmethod
    def primitive_function(x: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
        """Return G(x), as every surrogate of SpikingJelly does."""
        return surrogate.primitive(x)
