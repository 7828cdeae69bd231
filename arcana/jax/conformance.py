"""The rows of `check_surrogate` for this backend: one call on bit patterns, and its transforms by the names of the rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from arcana.jax import forward_mode, spike
from arcana.jax._compat import enable_x64
from arcana.jax.arrays import Array, from_numpy as from_numpy, to_numpy as to_numpy
from arcana.surrogate import Surrogate

try:
    import flatbuffers
except ImportError:
    flatbuffers = None

Case = tuple[Surrogate, Array, Array, str]
"""A surrogate, the bit patterns of v and of the cotangent, and their dtype."""
Function = Callable[..., jax.Array]
"""The spikes as a function of v, or of a parameter and v."""

transforms, functions = jax, jnp
"""Where grad, vjp, vmap and the like are found; and stack and ones_like."""
unstack = functools.partial(jnp.unstack, axis=-1)

MODES = ("eager", "jit")
"""The ways in which the same call is made: plain, and under jax.jit."""


def from_bits(bits: Array, dtype: str) -> jax.Array:
    """Make an array of the dtype with these bit patterns (unsigned integers of its width)."""
    return jnp.asarray(bits.view(jnp.dtype(dtype)))


def to_bits(x: jax.Array) -> Array:
    """Return the bit patterns of an array."""
    return np.asarray(x).view(f"uint{x.dtype.itemsize * 8}")


@functools.cache
def _calls(surrogates: tuple[Surrogate, ...], mode: str) -> Callable[..., Any]:
    def calls(potentials: list[jax.Array], cotangents: list[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
        spikes, pullback = jax.vjp(lambda xs: [spike(x, each) for x, each in zip(xs, surrogates, strict=True)], potentials)
        return spikes, pullback(cotangents)[0]

    return jax.jit(calls) if mode == "jit" else calls


def spikes_and_gradients(cases: Sequence[Case], mode: str = "eager") -> list[tuple[Array, Array]]:
    """Return spikes and cotangent · h of each case as bit patterns; under jit, all cases are one module.

    float64 is kept whether or not JAX is set to it.
    """
    with enable_x64(any(case[3] == "float64" for case in cases) or jax.config.read("jax_enable_x64")):
        potentials, cotangents = zip(*((from_bits(v, dtype), from_bits(c, dtype)) for _, v, c, dtype in cases), strict=True)
        spikes, gradients = _calls(tuple(case[0] for case in cases), mode)(list(potentials), list(cotangents))
        return [(to_bits(one), to_bits(other)) for one, other in zip(spikes, gradients, strict=True)]


EXPORT = "export, vjp_order=1"

FIRST = (
    "vjp",
    "grad",
    "jit(grad)",
    "grad(jit)",
    "vmap(grad)",
    "jit(vmap(grad))",
    "jacrev",
    "scan",
    "jit(scan)",
    "checkpoint",
    "jit(shard_map)",
    EXPORT,
    "jvp",
    "jit(jvp)",
    "vmap(jvp)",
    "jacfwd",
    "linearize",
    "forward_mode: jvp",
)
"""Rows of cotangent · h(v), each with the same bits as plain vjp."""

NOT_CHECKED = {EXPORT: "needs flatbuffers, in which JAX writes an exported function"} if flatbuffers is None else {}
"""Rows of `FIRST` that cannot be tried here, and why."""

SECOND = ("grad of grad", "jit(grad of grad)", "hessian", "jit(hessian)")
"""Rows of cotangent · h′(v)."""

PARAMETER = ("grad", "jit(grad)", "vmap(grad)", "checkpoint", "jvp", "jit(jvp)")
"""Rows of cotangent · ∂G/∂parameter for a parameter of v's shape."""

NONLINEAR = ("grad of grad", "hessian", "scan: jit(grad of grad)", "jvp of jvp")
"""Rows of second derivatives of what is not linear in the spikes."""

ONE_CIRCUIT = {way: "a recurrent neuron" for way in NONLINEAR if way != "grad of grad"}
"""Rows of `NONLINEAR` for one circuit alone: each costs XLA a second or two."""

WRAPPERS = {"jit": jax.jit, "checkpoint": jax.checkpoint}
"""Words of the rows that make of a function one of the same arrays."""


def _over_steps(f: Function, v: jax.Array, c: jax.Array) -> jax.Array:
    """Return the gradient through a scan whose steps each see one row."""

    def loss(v: jax.Array) -> jax.Array:
        def step(total: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            x, cotangent = inputs
            return total + jnp.sum(cotangent * f(x)), None

        return jax.lax.scan(step, jnp.zeros((), v.dtype), (v, c))[0]

    return jax.grad(loss)(v)


def _sharded(f: Function, v: jax.Array, c: jax.Array) -> jax.Array:
    mesh = jax.make_mesh((jax.device_count(),), ("devices",), axis_types=(AxisType.Auto,))
    split = PartitionSpec("devices")
    sharded = jax.shard_map(f, mesh=mesh, in_specs=(split,), out_specs=split)
    pad = jnp.zeros((-len(v) % jax.device_count(), *v.shape[1:]), v.dtype)
    # Outside jit every operation in there is compiled by itself.
    full = jax.vjp(jax.jit(sharded), jnp.concatenate([v, pad]))[1](jnp.concatenate([c, pad]))[0]
    return full[: len(v)]


def _exported(f: Function, v: jax.Array, c: jax.Array) -> jax.Array:
    serialized = jax.export.export(jax.jit(f))(v).serialize(vjp_order=1)
    return jax.vjp(jax.export.deserialize(serialized).call, v)[1](c)[0]


POINTWISE = {
    "scan": _over_steps,
    "checkpoint": lambda f, x, c: jax.vjp(jax.checkpoint(f), x)[1](c)[0],
    "jit(shard_map)": _sharded,
    EXPORT: _exported,
    "linearize": lambda f, x, c: jax.linearize(f, x)[1](c),
}
"""Words that only JAX has, in `FIRST`, `SECOND` and `PARAMETER`: of a function of x, x and the cotangent."""


def _linearize_of_grad(f: Function, p: jax.Array, v: jax.Array, c: jax.Array, dp: jax.Array, dv: jax.Array) -> jax.Array:
    gradients = jax.grad(lambda p, v: jnp.sum(c * f(p, v)), (0, 1))
    return jnp.stack(jax.linearize(gradients, p, v)[1](dp, dv))


PRODUCTS = {"linearize of grad": _linearize_of_grad}
"""Words that only JAX has, in `NONLINEAR`: of f(p, v) and (p, v, c, dp, dv)."""

SPIKES: dict[str, Function] = {"forward_mode": lambda v, surrogate: forward_mode(surrogate)(v)}
"""Other functions that give the spikes, by the first part of a row's name."""


def _scanned(step: Callable[[Any], Any], carry: Any, count: int) -> Any:
    return jax.lax.scan(lambda carry, _: (step(carry), None), carry, length=count)[0]


REPEATS = {"scan": _scanned}
"""Other ways to repeat a step than a loop, by the first part of a row's name."""

double_precision = functools.partial(enable_x64, True)
"""A context in which an array of float64 is one of float64 here too."""
