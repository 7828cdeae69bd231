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

from arcana.jax._compat import enable_x64
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
    with enable_x64(any(case[3] == "float64" for case in cases) or jax.config.read("jax_enable_x64")):
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
"""How the row begins in which the call is the surrogate's `forward_mode`, the same function by another name."""

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
    "jvp": lambda f, v, c: _jvp(f)(v, c),
    "jit(jvp)": lambda f, v, c: jax.jit(_jvp(f))(v, c),
    "vmap(jvp)": lambda f, v, c: jax.vmap(_jvp(f))(v, c),
    "jacfwd": lambda f, v, c: c * _diagonal(jax.jacfwd(f)(v), v),
    "linearize": lambda f, v, c: jax.linearize(f, v)[1](c),
    FORWARD + "jvp": lambda f, v, c: _jvp(f)(v, c),
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
    "hessian": lambda f, v, c: _hessian(f)(v, c),
    "jit(hessian)": lambda f, v, c: jax.jit(_hessian(f))(v, c),
}
"""Each gives cotangent · h′(v)."""

PARAMETER: dict[str, ParameterTransform] = {
    "grad": lambda f, p, v, c: jax.grad(_loss(f))(p, v, c),
    "jit(grad)": lambda f, p, v, c: jax.jit(jax.grad(_loss(f)))(p, v, c),
    "vmap(grad)": lambda f, p, v, c: jax.vmap(jax.grad(_loss(f)))(p, v, c),
    "checkpoint": lambda f, p, v, c: jax.grad(jax.checkpoint(_loss(f)))(p, v, c),
    "jvp": lambda f, p, v, c: _jvp(f)(p, v, c),
    "jit(jvp)": lambda f, p, v, c: jax.jit(_jvp(f))(p, v, c),
}
"""Each gives cotangent · ∂G/∂parameter for a parameter of v's shape."""


def _pulled(f: Call, c: jax.Array) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Of (p, v) the gradients of sum(c · f)."""
    return jax.grad(lambda p, v: jnp.sum(c * f(p, v)), (0, 1))


def _twice(f: Call) -> Call:
    """Reverse over reverse: the Hessian of sum(c · f) in (p, v), which is one of each element, times (dp, dv)."""

    def product(p: jax.Array, v: jax.Array, c: jax.Array, dp: jax.Array, dv: jax.Array) -> jax.Array:
        def along(p: jax.Array, v: jax.Array) -> jax.Array:
            by_p, by_v = _pulled(f, c)(p, v)
            return jnp.sum(dp * by_p) + jnp.sum(dv * by_v)

        return jnp.stack(jax.grad(along, (0, 1))(p, v))

    return product


def _pushed(f: Call) -> Call:
    return lambda p, v, c, dp, dv: jnp.stack(jax.jvp(_pulled(f, c), (p, v), (dp, dv))[1])


def _linearized(f: Call) -> Call:
    return lambda p, v, c, dp, dv: jnp.stack(jax.linearize(_pulled(f, c), p, v)[1](dp, dv))


def _whole(of: Callable[..., Any]) -> Callable[[Call], Call]:
    """The whole Hessian at each point, and then the product."""

    def at_point(f: Call, p: jax.Array, v: jax.Array, c: jax.Array, dp: jax.Array, dv: jax.Array) -> jax.Array:
        blocks = of(lambda p, v: jnp.sum(c * f(p, v)))(p, v)
        return jnp.stack([jnp.tensordot(row[0], dp, dp.ndim) + jnp.tensordot(row[1], dv, dv.ndim) for row in blocks])

    return lambda f: jax.vmap(functools.partial(at_point, f), 0, 1)


def _along(f: Call) -> Call:
    """Forward over forward: of each element the second derivative along (dp, dv)."""

    def pushed(p: jax.Array, v: jax.Array, dp: jax.Array, dv: jax.Array) -> jax.Array:
        return jax.jvp(f, (p, v), (dp, dv))[1]

    return lambda p, v, c, dp, dv: (c * jax.jvp(lambda p, v: pushed(p, v, dp, dv), (p, v), (dp, dv))[1])[None]


_hessian_of = functools.partial(jax.hessian, argnums=(0, 1))


def _jacobian_of(outer: Callable[..., Any]) -> Callable[..., Any]:
    return lambda f: outer(jax.grad(f, (0, 1)), (0, 1))


SCAN = "scan: "
"""The start of a row's name whose recurrent circuit is a lax.scan and not unrolled."""

NONLINEAR: dict[str, Callable[[Call], Call]] = {
    "grad of grad": _twice,
    "hessian": _whole(_hessian_of),
    SCAN + "jit(grad of grad)": lambda f: jax.jit(_twice(f)),
    "jvp of jvp": _along,
}
"""Of f(p, v), which is not linear in the spikes, each gives (2, ...): c · f's Hessian in (p, v) times (dp, dv); or along it."""

MORE_NONLINEAR: dict[str, Callable[[Call], Call]] = {
    "jit(grad of grad)": lambda f: jax.jit(_twice(f)),
    "vmap(grad of grad)": lambda f: jax.vmap(_twice(f), 0, 1),
    "checkpoint, grad of grad": lambda f: _twice(jax.checkpoint(f)),
    "jvp of grad": _pushed,
    "linearize of grad": _linearized,
    "jit(jacfwd of grad)": lambda f: jax.jit(_whole(_jacobian_of(jax.jacfwd))(f)),
    "jacrev of grad": _whole(_jacobian_of(jax.jacrev)),
    SCAN + "grad of grad": _twice,
    SCAN + "hessian": _whole(_hessian_of),
    SCAN + "vmap(grad of grad)": lambda f: jax.vmap(_twice(f), 0, 1),
    SCAN + "checkpoint, grad of grad": lambda f: _twice(jax.checkpoint(f)),
    SCAN + "jvp of jvp": _along,
}
"""More of them, for which a check of one surrogate has no time; what differs between them is not the definition's."""

CIRCUITS = {way: ["a recurrent neuron"] for way in [*NONLINEAR, *MORE_NONLINEAR] if way != "grad of grad"}
"""Rows that are for some circuits alone: each costs XLA a second or two."""


def _scanned(step: Callable[[Any], Any], carry: Any, count: int) -> Any:
    return jax.lax.scan(lambda carry, _: (step(carry), None), carry, length=count)[0]


def _unrolled(step: Callable[[Any], Any], carry: Any, count: int) -> Any:
    for _ in range(count):
        carry = step(carry)
    return carry


def nonlinear(
    name: str,
    surrogates: Sequence[Surrogate],
    paces: Sequence[dict[str, float]],
    circuits: Sequence[Callable[..., Any]],
    *arrays: Array,
) -> Array:
    """One row of NONLINEAR in float64, of each circuit and surrogate by itself: one module of all takes XLA ten times as long.

    Args:
        name: the row.
        surrogates: one or several.
        paces: of each surrogate how fast its parameters move with p, which is 0 at their own values.
        circuits: each of a spike function, v and a way to repeat a step.
        arrays: (p, v, c, dp, dv), each (circuits, points, surrogates).
    """
    repeat = _scanned if SCAN in name else _unrolled

    def function(circuit: Callable[..., Any], surrogate: Surrogate, pace: dict[str, float]) -> Call:
        def f(p: jax.Array, v: jax.Array) -> jax.Array:
            numbers = {key: getattr(surrogate, key) + each * p for key, each in pace.items()}
            return circuit(lambda x: spike(x, surrogate, **numbers), v, repeat)

        return f

    def row(k: int, i: int) -> Array:
        way = {**NONLINEAR, **MORE_NONLINEAR}[name](function(circuits[k], surrogates[i], paces[i]))
        return np.asarray(way(*(jnp.asarray(np.array(x[k, :, i])) for x in arrays)))

    with enable_x64(True):
        return np.stack([np.stack([row(k, i) for i in range(len(surrogates))], -1) for k in range(len(circuits))], 1)


def _call_of(surrogate: Surrogate, forward: bool) -> Call:
    return forward_mode(surrogate) if forward else lambda v: spike(v, surrogate)


def _call_with(surrogate: Surrogate, parameter: str) -> Call:
    return lambda p, v: spike(v, surrogate, **{parameter: p})


def traceable(order: str, name: str, surrogates: Sequence[Surrogate], parameters: Sequence[str] = ()) -> Call:
    """One row of a table above as a function of JAX arrays, which are those of `transform`."""
    if order == "parameter":
        calls = [_call_with(*each) for each in zip(surrogates, parameters, strict=True)]
    else:
        calls = [_call_of(each, name.startswith(FORWARD)) for each in surrogates]
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
