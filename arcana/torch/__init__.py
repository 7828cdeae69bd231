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
    msg = "arcana.torch needs PyTorch: pip install torch"
    raise ImportError(msg) from error

from arcana.surrogate._function import SurrogateFunction
from arcana.torch._function import SpikeFunction, evaluate, function_of, spike
from arcana.torch._kernels import set_compiled_kernels
from arcana.torch._module import Spike

_P = ParamSpec("_P")


def _generate(definition: Callable[_P, definitions.Surrogate]) -> tuple[type[SpikeFunction], SurrogateFunction[torch.Tensor, _P]]:
    function = SurrogateFunction(definition, spike, __name__)
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

__all__ = [
    "S2NN",
    "STE",
    "ATan",
    "ClippedReciprocal",
    "ClippedSTE",
    "Dspike",
    "EscapeExponential",
    "Exponential",
    "FastSigmoid",
    "Gaussian",
    "InverseSquareRoot",
    "LeakyStep",
    "LogAbs",
    "LogTailedReLU",
    "MultiGaussian",
    "OneSidedFastSigmoid",
    "PeriodicExponential",
    "PiecewiseLeakyReLU",
    "QPseudoSpike",
    "Rectangular",
    "Sigmoid",
    "SparseFastSigmoid",
    "Spike",
    "SpikeFunction",
    "SquarewaveFourier",
    "Step",
    "Triangular",
    "atan",
    "clipped_reciprocal",
    "clipped_ste",
    "dspike",
    "escape_exponential",
    "evaluate",
    "exponential",
    "fast_sigmoid",
    "gaussian",
    "inverse_square_root",
    "leaky_step",
    "log_abs",
    "log_tailed_relu",
    "multi_gaussian",
    "one_sided_fast_sigmoid",
    "periodic_exponential",
    "piecewise_leaky_relu",
    "q_pseudo_spike",
    "rectangular",
    "s2nn",
    "set_compiled_kernels",
    "sigmoid",
    "sparse_fast_sigmoid",
    "spike",
    "squarewave_fourier",
    "ste",
    "step",
    "triangular",
]
