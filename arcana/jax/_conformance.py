"""What `arcana.testing` needs of this backend: one call on bit patterns, and every transform, each with a NumPy result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from arcana.jax._rule import forward_mode, spike
from arcana.surrogate import Surrogate

try:
    import flatbuffers
except ImportError:
    flatbuffers = None

MODES = ("eager", "jit")
"""The ways in which the same call is made: plain, and under jax.jit."""

Array = np.ndarray[Any, Any]
Case = tuple[Surrogate, Array, Array, str]
"""A surrogate, the bit patterns of v and of the cotangent, and their dtype."""
Call = Callable[..., jax.Array]
"""The spikes of v, or of a parameter and v, or what a transform makes of such a function: one that takes the cotangent too."""
Transform = Callable[[Call, jax.Array, jax.Array], jax.Array]
ParameterTransform = Callable[[Call, jax.Array, jax.Array, jax.Array], jax.Array]


def from_bits(bits: Array, dtype: str) -> jax.Array:
    """A JAX array of the dtype with these bit patterns (unsigned integers of its width)."""
    return jnp.asarray(bits.view(jnp.dtype(dtype)))


def to_bits(x: jax.Array) -> Array:
    """The bit patterns of an array."""
    return np.asarray(x).view(f"uint{x.dtype.itemsize * 8}")


@functools.cache
def _calls(surrogates: tuple[Surrogate, ...], mode: str) -> Callable[..., Any]:
    def calls(potentials: list[jax.Array], cotangents: list[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
        spikes, pullback = jax.vjp(lambda xs: [spike(x, each) for x, each in zip(xs, surrogates, strict=True)], potentials)
        return spikes, pullback(cotangents)[0]

    return jax.jit(calls) if mode == "jit" else calls


def spikes_and_gradients(cases: Sequence[Case], mode: str = "eager") -> list[tuple[Array, Array]]:
    """Spikes and cotangent · h of each case as bit patterns; under jit, all cases are one module.

    float64 is kept whether or not JAX is set to it.
    """
    with jax.enable_x64(any(case[3] == "float64" for case in cases) or jax.config.read("jax_enable_x64")):
        potentials, cotangents = zip(*((from_bits(v, dtype), from_bits(c, dtype)) for _, v, c, dtype in cases), strict=True)
        spikes, gradients = _calls(tuple(case[0] for case in cases), mode)(list(potentials), list(cotangents))
        return [(to_bits(one), to_bits(other)) for one, other in zip(spikes, gradients, strict=True)]


def spikes_and_gradient(surrogate: Surrogate, v: Array, cotangent: Array, dtype: str, mode: str = "eager") -> tuple[Array, Array]:
    """Spikes and cotangent · h of one case."""
    return spikes_and_gradients([(surrogate, v, cotangent, dtype)], mode)[0]


def joined(calls: Sequence[Call]) -> Call:
    """One function of arrays that have a column for each of the calls, so that a transform is compiled once for all."""

    def call(*arrays: jax.Array) -> jax.Array:
        columns = zip(*(jnp.unstack(x, axis=-1) for x in arrays), strict=True)
        return jnp.stack([each(*column) for each, column in zip(calls, columns, strict=True)], axis=-1)

    return call


def _loss(call: Call) -> Call:
    return lambda *arrays: jnp.sum(arrays[-1] * call(*arrays[:-1]))


def _over_steps(call: Call) -> Call:
    """The gradient through a scan whose steps each see one row."""

    def loss(v: jax.Array, c: jax.Array) -> jax.Array:
        def step(total: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            x, cotangent = inputs
            return total + jnp.sum(cotangent * call(x)), None

        return jax.lax.scan(step, jnp.zeros((), v.dtype), (v, c))[0]

    return jax.grad(loss)


def _sharded(call: Call, v: jax.Array, c: jax.Array) -> jax.Array:
    mesh = jax.make_mesh((jax.device_count(),), ("devices",), axis_types=(AxisType.Auto,))
    split = PartitionSpec("devices")
    sharded = jax.shard_map(call, mesh=mesh, in_specs=(split,), out_specs=split)
    pad = jnp.zeros((-len(v) % jax.device_count(), *v.shape[1:]), v.dtype)
    # Outside jit every operation in there is compiled by itself.
    full = jax.vjp(jax.jit(sharded), jnp.concatenate([v, pad]))[1](jnp.concatenate([c, pad]))[0]
    return full[: len(v)]


def _exported(call: Call, v: jax.Array, c: jax.Array) -> jax.Array:
    serialized = jax.export.export(jax.jit(call))(v).serialize(vjp_order=1)
    return jax.vjp(jax.export.deserialize(serialized).call, v)[1](c)[0]


def _jvp(call: Call) -> Call:
    return lambda x, *others: jax.jvp(lambda y: call(y, *others[:-1]), (x,), others[-1:])[1]


def _diagonal(jacobian: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.diagonal(jacobian.reshape(like.size, like.size)).reshape(like.shape)


EXPORT = "export, vjp_order=1"

NOT_CHECKED: dict[str, str] = (
    {EXPORT: "needs flatbuffers, in which JAX writes an exported function"} if flatbuffers is None else {}
)
"""Ways of `FIRST` that cannot be tried here, and why."""

FORWARD = "forward_mode: "
"""How the rows begin in which the call is the surrogate's `forward_mode`."""

FIRST: dict[str, Transform] = {
    "vjp": lambda f, v, c: jax.vjp(f, v)[1](c)[0],
    "grad": lambda f, v, c: jax.grad(_loss(f))(v, c),
    "jit(grad)": lambda f, v, c: jax.jit(jax.grad(_loss(f)))(v, c),
    "grad(jit)": lambda f, v, c: jax.grad(_loss(jax.jit(f)))(v, c),
    "vmap(grad)": lambda f, v, c: jax.vmap(jax.grad(_loss(f)))(v, c),
    "jit(vmap(grad))": lambda f, v, c: jax.jit(jax.vmap(jax.grad(_loss(f))))(v, c),
    "jacrev": lambda f, v, c: c * _diagonal(jax.jacrev(f)(v), v),
    "scan": lambda f, v, c: _over_steps(f)(v, c),
    "jit(scan)": lambda f, v, c: jax.jit(_over_steps(f))(v, c),
    "checkpoint": lambda f, v, c: jax.vjp(jax.checkpoint(f), v)[1](c)[0],
    "jit(shard_map)": _sharded,
    EXPORT: _exported,
    FORWARD + "jvp": lambda f, v, c: _jvp(f)(v, c),
    FORWARD + "jit(jvp)": lambda f, v, c: jax.jit(_jvp(f))(v, c),
    FORWARD + "vmap(jvp)": lambda f, v, c: jax.vmap(_jvp(f))(v, c),
    FORWARD + "jacfwd": lambda f, v, c: c * _diagonal(jax.jacfwd(f)(v), v),
    FORWARD + "linearize": lambda f, v, c: jax.linearize(f, v)[1](c),
    FORWARD + "vjp": lambda f, v, c: jax.vjp(f, v)[1](c)[0],
    FORWARD + "scan": lambda f, v, c: _over_steps(f)(v, c),
}
"""Each gives cotangent · h(v), the same bits as plain vjp."""


def _grad_of_grad(call: Call) -> Call:
    inner = jax.grad(lambda v: jnp.sum(call(v)))
    return jax.grad(lambda v, c: jnp.sum(c * inner(v)))


def _hessian(call: Call) -> Call:
    return lambda v, c: c * _diagonal(jax.hessian(lambda x: jnp.sum(call(x)))(v), v)


SECOND: dict[str, Transform] = {
    "grad of grad": lambda f, v, c: _grad_of_grad(f)(v, c),
    "jit(grad of grad)": lambda f, v, c: jax.jit(_grad_of_grad(f))(v, c),
    FORWARD + "grad of grad": lambda f, v, c: _grad_of_grad(f)(v, c),
    FORWARD + "hessian": lambda f, v, c: _hessian(f)(v, c),
    FORWARD + "jit(hessian)": lambda f, v, c: jax.jit(_hessian(f))(v, c),
}
"""Each gives cotangent · h′(v)."""

PARAMETER: dict[str, ParameterTransform] = {
    "grad": lambda f, p, v, c: jax.grad(_loss(f))(p, v, c),
    "jit(grad)": lambda f, p, v, c: jax.jit(jax.grad(_loss(f)))(p, v, c),
    "vmap(grad)": lambda f, p, v, c: jax.vmap(jax.grad(_loss(f)))(p, v, c),
    "checkpoint": lambda f, p, v, c: jax.grad(jax.checkpoint(_loss(f)))(p, v, c),
    FORWARD + "jvp": lambda f, p, v, c: _jvp(f)(p, v, c),
    FORWARD + "jit(jvp)": lambda f, p, v, c: jax.jit(_jvp(f))(p, v, c),
}
"""Each gives cotangent · ∂G/∂parameter for a parameter of v's shape."""


def _call_of(surrogate: Surrogate, forward: bool) -> Call:
    return forward_mode(surrogate) if forward else lambda v: spike(v, surrogate)


def _call_with(surrogate: Surrogate, parameter: str, forward: bool) -> Call:
    call = forward_mode(surrogate) if forward else surrogate
    return lambda p, v: call(v, **{parameter: p})


def traceable(order: str, name: str, surrogates: Sequence[Surrogate], parameters: Sequence[str] = ()) -> Call:
    """One row of a table above as a function of JAX arrays, which are those of `transform`."""
    forward = name.startswith(FORWARD)
    if order == "parameter":
        calls = [_call_with(*each, forward) for each in zip(surrogates, parameters, strict=True)]
    else:
        calls = [_call_of(each, forward) for each in surrogates]
    row = {"first": FIRST, "second": SECOND, "parameter": PARAMETER}[order][name]
    if len(calls) > 1:
        return functools.partial(row, joined(calls))
    return lambda *arrays: row(calls[0], *(x[..., 0] for x in arrays))[..., None]


def transform(order: str, name: str, surrogates: Sequence[Surrogate], *arrays: Array, parameters: Sequence[str] = ()) -> Array:
    """One row of a table above on NumPy arrays of a native dtype, all surrogates in one call.

    Args:
        order: "first", "second" or "parameter".
        name: the row.
        surrogates: one or several.
        arrays: (v, cotangent), or (parameter, v, cotangent), with a column for each surrogate.
        parameters: the name of each surrogate's parameter, where order is "parameter".
    """
    return np.asarray(traceable(order, name, surrogates, parameters)(*(jnp.asarray(x) for x in arrays)))
