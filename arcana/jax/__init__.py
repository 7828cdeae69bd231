"""The surrogates in JAX: a function and a class for each, `spike` for any, and `forward_mode`.

>>> import jax, jax.numpy as jnp
>>> from arcana.jax import fast_sigmoid
>>> jax.vmap(jax.grad(lambda v: fast_sigmoid(v, scale=25.0)))(jnp.array([-0.1, 0.0, 0.1]))
Array([0.08163266, 1.        , 0.08163266], dtype=float32)

The way of v to the spikes and back. `spike` in `_function` finds the call in `_call`, which has it checked and keeps what is the
same at every call. Outside every transform the call fires. Inside one, `spike` binds the primitive `spike_p` of `_function`; its
rule there binds `slopes_p`, the product with h, whose operations are in `_derivative`.

- _function: the rules of the primitives, `spike` and `evaluate`; _call: what is the same at every call, found once
- _derivative: h and dG/dparameter by plain operations; _namespace: `xp`; _checks: what the checks of a call ask about arrays
- _rules: spikes by a rule of `arcana.rules`
- _forward_mode: `forward_mode`; _onnx: the primitives for jax2onnx; _compat: the private functions of JAX
- adapters: `Spike` for Flax NNX, linen and Equinox; spikes and h inside a Pallas kernel
- conformance: every transform, for `check_surrogate`; arrays: arrays to and from NumPy, for `compare` and `record`
- spikes: every call of a spike function, for `recording`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from arcana import surrogate as definitions
from arcana._core import SurrogateFunction
from arcana.surrogate import exponentials, gaussians, periodic, piecewise, power_law, rational, straight_through

try:
    import jax
except ImportError as error:
    msg = "arcana.jax needs JAX: pip install jax"
    raise ImportError(msg) from error

from arcana.jax._forward_mode import ForwardMode, forward_mode
from arcana.jax._function import SpikeFunction, evaluate, function_of, spike

_P = ParamSpec("_P")
_EXAMPLE = """>>> import jax.numpy as jnp
>>> from arcana.jax import {0}
>>> {0}(jnp.array([-0.5, 0.0, 0.5]))
Array([0., 1., 1.], dtype=float32)"""


def _generate(definition: Callable[_P, definitions.Surrogate]) -> tuple[type[SpikeFunction], SurrogateFunction[jax.Array, _P]]:
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

__all__ = ["ForwardMode", "SpikeFunction", "evaluate", "forward_mode", "spike"]
__all__ += exponentials.__all__
__all__ += gaussians.__all__
__all__ += periodic.__all__
__all__ += piecewise.__all__
__all__ += power_law.__all__
__all__ += rational.__all__
__all__ += straight_through.__all__


def __dir__() -> list[str]:
    return sorted(__all__)
