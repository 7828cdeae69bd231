"""The surrogates in PyTorch: a `torch.autograd.Function` and a function for each, `spike` for any, and `Spike`, the module.

>>> import torch
>>> from arcana.torch import fast_sigmoid
>>> v = torch.tensor([-0.1, 0.0, 0.1], requires_grad=True)
>>> fast_sigmoid(v, scale=25.0).sum().backward()
>>> v.grad
tensor([0.0816, 1.0000, 0.0816])

The way of v to the spikes and back. `spike` in `_function` finds the call in `_call`, which has it checked and keeps what is the
same at every call. Plain eager tensors go through `SpikeFunction` in `_function`, whose forward and backward are the call's: a
program of `_eager`, or the plain operations of `_derivative`. Under a transform or a compiler they go through `Composable` in
`_function`, whose backward is in `_derivative` alone.

- _function: the autograd rules, `spike` and `evaluate`; _call: what is the same at every call, found once
- _derivative: h and dG/dparameter by plain operations; _namespace: `xp`; _checks: what the checks of a call ask about tensors
- _dtensor: a call on a DTensor, by each rank's part
- _rules: spikes by a rule of `arcana.rules`
- _module: `Spike`; _dynamo: the calls that stay in a compiled graph; _fx: the calls as nodes of a traced graph
- _eager: the quick way of plain eager tensors; _compat: the private functions of torch
- adapters: ways into the libraries that cannot take a surrogate as it is
- conformance: every transform, for `check_surrogate`; arrays: tensors to and from NumPy, for `compare` and `record`
- spikes: every call of a spike function, for `recording`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from arcana import surrogate as definitions
from arcana._core import SurrogateFunction
from arcana.surrogate import exponentials, gaussians, periodic, piecewise, power_law, rational, straight_through

try:
    import torch
except ImportError as error:
    msg = "arcana.torch needs PyTorch: pip install torch"
    raise ImportError(msg) from error

from arcana.torch._eager.kernels import set_compiled_kernels
from arcana.torch._function import SpikeFunction, evaluate, function_of, spike
from arcana.torch._module import Spike

_P = ParamSpec("_P")
_EXAMPLE = """>>> import torch
>>> from arcana.torch import {0}
>>> {0}(torch.tensor([-0.5, 0.0, 0.5]))
tensor([0., 1., 1.])"""


def _generate(definition: Callable[_P, definitions.Surrogate]) -> tuple[type[SpikeFunction], SurrogateFunction[torch.Tensor, _P]]:
    function = SurrogateFunction(definition, spike, __name__, _EXAMPLE)
    return function_of(type(function.surrogate)), function


ATan, atan = _generate(definitions.ATan)
ClippedReciprocal, clipped_reciprocal = _generate(definitions.ClippedReciprocal)
ClippedSTE, clipped_ste = _generate(definitions.ClippedSTE)
Dspike, dspike = _generate(definitions.Dspike)
EscapeExponential, escape_exponential = _generate(definitions.EscapeExponential)
Exponential, exponential = _generate(definitions.Exponential)
FastSigmoid, fast_sigmoid = _generate(definitions.FastSigmoid)
Gaussian, gaussian = _generate(definitions.Gaussian)
InverseSquareRoot, inverse_square_root = _generate(definitions.InverseSquareRoot)
LeakyStep, leaky_step = _generate(definitions.LeakyStep)
LogAbs, log_abs = _generate(definitions.LogAbs)
LogTailedReLU, log_tailed_relu = _generate(definitions.LogTailedReLU)
MultiGaussian, multi_gaussian = _generate(definitions.MultiGaussian)
OneSidedFastSigmoid, one_sided_fast_sigmoid = _generate(definitions.OneSidedFastSigmoid)
PeriodicExponential, periodic_exponential = _generate(definitions.PeriodicExponential)
PiecewiseLeakyReLU, piecewise_leaky_relu = _generate(definitions.PiecewiseLeakyReLU)
QPseudoSpike, q_pseudo_spike = _generate(definitions.QPseudoSpike)
Rectangular, rectangular = _generate(definitions.Rectangular)
S2NN, s2nn = _generate(definitions.S2NN)
Sigmoid, sigmoid = _generate(definitions.Sigmoid)
SparseFastSigmoid, sparse_fast_sigmoid = _generate(definitions.SparseFastSigmoid)
SquarewaveFourier, squarewave_fourier = _generate(definitions.SquarewaveFourier)
STE, ste = _generate(definitions.STE)
Step, step = _generate(definitions.Step)
Triangular, triangular = _generate(definitions.Triangular)

# A checkpoint that holds one is a class and plain values, checked as they come in: nothing that weights_only guards against.
_functions = [each for each in list(globals().values()) if isinstance(each, SurrogateFunction)]
torch.serialization.add_safe_globals([*_functions, *(type(each.surrogate) for each in _functions)])

__all__ = ["Spike", "SpikeFunction", "evaluate", "set_compiled_kernels", "spike"]
__all__ += exponentials.__all__
__all__ += gaussians.__all__
__all__ += periodic.__all__
__all__ += piecewise.__all__
__all__ += power_law.__all__
__all__ += rational.__all__
__all__ += straight_through.__all__


def __dir__() -> list[str]:
    return sorted(__all__)
