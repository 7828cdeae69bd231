"""What `arcana.testing` needs of this backend: one call on bit patterns, and every transform, each with a NumPy result."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from arcana.jax._rule import forward_mode, spike
from arcana.surrogate import Surrogate

MODES = ("eager", "jit")
"""The ways in which the same call is made: plain, and under jax.jit."""

Array = np.ndarray[Any, Any]
Transform = Callable[[Surrogate, jax.Array, jax.Array], jax.Array]
ParameterTransform = Callable[[Surrogate, str, jax.Array, jax.Array, jax.Array], jax.Array]


def from_bits(bits: Array, dtype: str) -> jax.Array:
    """A JAX array of the dtype with these bit patterns (unsigned integers of its width)."""
    return jnp.asarray(bits.view(jnp.dtype(dtype)))


def to_bits(x: jax.Array) -> Array:
    """The bit patterns of an array."""
    return np.asarray(x).view(f"uint{x.dtype.itemsize * 8}")


@functools.cache
def _call(surrogate: Surrogate, mode: str) -> Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    def call(x: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
        spikes, pullback = jax.vjp(lambda y: spike(y, surrogate), x)
        return spikes, pullback(c)[0]

    return jax.jit(call) if mode == "jit" else call


def spikes_and_gradient(surrogate: Surrogate, v: Array, cotangent: Array, dtype: str, mode: str = "eager") -> tuple[Array, Array]:
    """Spikes and cotangent · h of bit patterns, as bit patterns; float64 whether or not JAX is set to it."""
    with jax.enable_x64(dtype == "float64" or jax.config.read("jax_enable_x64")):
        spikes, gradient = _call(surrogate, mode)(from_bits(v, dtype), from_bits(cotangent, dtype))
        return to_bits(spikes), to_bits(gradient)


def _loss(surrogate: Surrogate) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return lambda v, c: jnp.sum(c * spike(v, surrogate))


def _each(surrogate: Surrogate) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return lambda v, c: c * spike(v, surrogate)


def _over_steps(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The gradient through a scan whose steps each see one element."""

    def loss(v: jax.Array, c: jax.Array) -> jax.Array:
        def step(total: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            x, cotangent = inputs
            return total + cotangent * function(x), None

        return jax.lax.scan(step, jnp.zeros((), v.dtype), (v, c))[0]

    return jax.grad(loss)


def _sharded(surrogate: Surrogate) -> Callable[[jax.Array, jax.Array], jax.Array]:
    mesh = jax.make_mesh((jax.device_count(),), ("devices",), axis_types=(AxisType.Auto,))
    split = PartitionSpec("devices")
    call = jax.shard_map(lambda x: spike(x, surrogate), mesh=mesh, in_specs=(split,), out_specs=split)

    def gradient(v: jax.Array, c: jax.Array) -> jax.Array:
        padding = -v.size % jax.device_count()
        pad = jnp.zeros(padding, v.dtype)
        full = jax.vjp(call, jnp.concatenate([v, pad]))[1](jnp.concatenate([c, pad]))[0]
        return full[: v.size]

    return gradient


def _exported(surrogate: Surrogate, v: jax.Array, c: jax.Array) -> jax.Array:
    serialized = jax.export.export(jax.jit(lambda x: spike(x, surrogate)))(v).serialize(vjp_order=1)
    return jax.vjp(jax.export.deserialize(serialized).call, v)[1](c)[0]


def _jvp(surrogate: Surrogate) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return lambda v, c: jax.jvp(forward_mode(surrogate), (v,), (c,))[1]


def _diagonal(which: Callable[..., Any], function: Callable[[jax.Array], jax.Array]) -> Transform:
    return lambda _, v, c: c * jnp.diagonal(which(function)(v))


FIRST: dict[str, Transform] = {
    "vjp": lambda s, v, c: jax.vjp(lambda x: spike(x, s), v)[1](c)[0],
    "grad": lambda s, v, c: jax.grad(_loss(s))(v, c),
    "jit(grad)": lambda s, v, c: jax.jit(jax.grad(_loss(s)))(v, c),
    "grad(jit)": lambda s, v, c: jax.grad(lambda x: jnp.sum(c * jax.jit(lambda y: spike(y, s))(x)))(v),
    "vmap(grad)": lambda s, v, c: jax.vmap(jax.grad(_each(s)))(v, c),
    "jit(vmap(grad))": lambda s, v, c: jax.jit(jax.vmap(jax.grad(_each(s))))(v, c),
    "jacrev": lambda s, v, c: _diagonal(jax.jacrev, lambda x: spike(x, s))(s, v, c),
    "scan": lambda s, v, c: _over_steps(lambda x: spike(x, s))(v, c),
    "jit(scan)": lambda s, v, c: jax.jit(_over_steps(lambda x: spike(x, s)))(v, c),
    "checkpoint": lambda s, v, c: jax.vjp(jax.checkpoint(lambda x: spike(x, s)), v)[1](c)[0],
    "shard_map": lambda s, v, c: _sharded(s)(v, c),
    "export, vjp_order=1": _exported,
    "forward_mode: jvp": lambda s, v, c: _jvp(s)(v, c),
    "forward_mode: jit(jvp)": lambda s, v, c: jax.jit(_jvp(s))(v, c),
    "forward_mode: vmap(jvp)": lambda s, v, c: jax.vmap(_jvp(s))(v, c),
    "forward_mode: jacfwd": lambda s, v, c: _diagonal(jax.jacfwd, forward_mode(s))(s, v, c),
    "forward_mode: linearize": lambda s, v, c: jax.linearize(forward_mode(s), v)[1](c),
    "forward_mode: vjp": lambda s, v, c: jax.vjp(forward_mode(s), v)[1](c)[0],
    "forward_mode: scan": lambda s, v, c: _over_steps(forward_mode(s))(v, c),
}
"""Each gives cotangent · h(v), the same bits as plain vjp."""


def _grad_of_grad(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    inner = jax.grad(lambda v: jnp.sum(function(v)))
    return jax.grad(lambda v, c: jnp.sum(c * inner(v)))


def _hessian(surrogate: Surrogate) -> Callable[[jax.Array, jax.Array], jax.Array]:
    function = forward_mode(surrogate)
    return lambda v, c: c * jnp.diagonal(jax.hessian(lambda x: jnp.sum(function(x)))(v))


SECOND: dict[str, Transform] = {
    "grad of grad": lambda s, v, c: _grad_of_grad(lambda x: spike(x, s))(v, c),
    "jit(grad of grad)": lambda s, v, c: jax.jit(_grad_of_grad(lambda x: spike(x, s)))(v, c),
    "forward_mode: grad of grad": lambda s, v, c: _grad_of_grad(forward_mode(s))(v, c),
    "forward_mode: hessian": lambda s, v, c: _hessian(s)(v, c),
    "forward_mode: jit(hessian)": lambda s, v, c: jax.jit(_hessian(s))(v, c),
}
"""Each gives cotangent · h′(v)."""


def _parameter_loss(surrogate: Surrogate, name: str) -> Callable[..., jax.Array]:
    return lambda p, v, c: jnp.sum(c * spike(v, surrogate, **{name: p}))


def _parameter_jvp(surrogate: Surrogate, name: str) -> Callable[..., jax.Array]:
    function = forward_mode(surrogate)
    return lambda p, v, c: jax.jvp(lambda q: function(v, **{name: q}), (p,), (c,))[1]


PARAMETER: dict[str, ParameterTransform] = {
    "grad": lambda s, n, p, v, c: jax.grad(_parameter_loss(s, n))(p, v, c),
    "jit(grad)": lambda s, n, p, v, c: jax.jit(jax.grad(_parameter_loss(s, n)))(p, v, c),
    "vmap(grad)": lambda s, n, p, v, c: jax.vmap(jax.grad(_parameter_loss(s, n)))(p, v, c),
    "checkpoint": lambda s, n, p, v, c: jax.grad(jax.checkpoint(_parameter_loss(s, n)))(p, v, c),
    "forward_mode: jvp": lambda s, n, p, v, c: _parameter_jvp(s, n)(p, v, c),
    "forward_mode: jit(jvp)": lambda s, n, p, v, c: jax.jit(_parameter_jvp(s, n))(p, v, c),
}
"""Each gives cotangent · ∂G/∂parameter for a parameter of v's shape."""


def transform(order: str, name: str, surrogate: Surrogate, *arrays: Array, parameter: str = "") -> Array:
    """One row of a table above on NumPy arrays of a native dtype; arrays are (v, cotangent), or (parameter, v, cotangent)."""
    *p, v, c = [jnp.asarray(x) for x in arrays]
    if order == "parameter":
        return np.asarray(PARAMETER[name](surrogate, parameter, p[0], v, c))
    return np.asarray({"first": FIRST, "second": SECOND}[order][name](surrogate, v, c))
