"""The surrogates in JAX: a function and a class for each, `spike` for any, and `forward_mode`.

>>> import jax, jax.numpy as jnp
>>> from arcana.jax import fast_sigmoid
>>> jax.vmap(jax.grad(lambda v: fast_sigmoid(v, scale=25.0)))(jnp.array([-0.1, 0.0, 0.1]))
Array([0.08163265, 1.        , 0.08163265], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from arcana import surrogate as definitions

try:
    import jax
except ImportError as error:
    msg = "arcana.jax needs JAX: pip install jax"
    raise ImportError(msg) from error

from arcana.jax._rule import ForwardMode, SpikeFunction, evaluate, forward_mode, function_of, spike
from arcana.surrogate._function import SurrogateFunction

_P = ParamSpec("_P")


def _generate(definition: Callable[_P, definitions.Surrogate]) -> tuple[type[SpikeFunction], SurrogateFunction[jax.Array, _P]]:
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
    "ForwardMode",
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
    "forward_mode",
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
    "sigmoid",
    "sparse_fast_sigmoid",
    "spike",
    "squarewave_fourier",
    "ste",
    "step",
    "triangular",
]
