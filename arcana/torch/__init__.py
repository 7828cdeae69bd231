"""The surrogates in PyTorch: a `torch.autograd.Function` and a function for each, `spike` for any, and `Spike`, the module.

>>> import torch
>>> from arcana.torch import fast_sigmoid
>>> v = torch.tensor([-0.1, 0.0, 0.1], requires_grad=True)
>>> fast_sigmoid(v, scale=25.0).sum().backward()
>>> v.grad
tensor([0.0816, 1.0000, 0.0816])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from arcana import surrogate as definitions

try:
    import torch
except ImportError as error:
    msg = "arcana.torch needs PyTorch: pip install 'arcana[torch]'"
    raise ImportError(msg) from error

from arcana.surrogate._function import SurrogateFunction
from arcana.torch._function import SpikeFunction, evaluate, function_of, spike
from arcana.torch._module import Spike

_P = ParamSpec("_P")


def _generate(definition: Callable[_P, definitions.Surrogate]) -> tuple[type[SpikeFunction], SurrogateFunction[torch.Tensor, _P]]:
    function = SurrogateFunction(definition, spike, __name__)
    return function_of(type(function.surrogate)), function


FastSigmoid, fast_sigmoid = _generate(definitions.FastSigmoid)
STE, ste = _generate(definitions.STE)
Step, step = _generate(definitions.Step)
Triangular, triangular = _generate(definitions.Triangular)

__all__ = [
    "STE",
    "FastSigmoid",
    "Spike",
    "SpikeFunction",
    "Step",
    "Triangular",
    "evaluate",
    "fast_sigmoid",
    "spike",
    "ste",
    "step",
    "triangular",
]
