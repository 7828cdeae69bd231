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
    msg = "arcana.jax needs JAX: pip install 'arcana[jax]'"
    raise ImportError(msg) from error

from arcana.jax._rule import ForwardMode, SpikeFunction, evaluate, forward_mode, function_of, spike
from arcana.surrogate._function import SurrogateFunction

_P = ParamSpec("_P")


def _generate(definition: Callable[_P, definitions.Surrogate]) -> tuple[type[SpikeFunction], SurrogateFunction[jax.Array, _P]]:
    function = SurrogateFunction(definition, spike, __name__)
    return function_of(type(function.surrogate)), function


FastSigmoid, fast_sigmoid = _generate(definitions.FastSigmoid)
STE, ste = _generate(definitions.STE)
Step, step = _generate(definitions.Step)
Triangular, triangular = _generate(definitions.Triangular)

__all__ = [
    "STE",
    "FastSigmoid",
    "ForwardMode",
    "SpikeFunction",
    "Step",
    "Triangular",
    "evaluate",
    "fast_sigmoid",
    "forward_mode",
    "spike",
    "ste",
    "step",
    "triangular",
]
