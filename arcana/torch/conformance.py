"""What `arcana.testing` needs of this backend: one call on bit patterns, and every transform, each with a NumPy result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from arcana.surrogate import Surrogate
from arcana.torch._function import spike

MODES = ("eager", "compiled")
"""The ways in which the same call is made: plain, and under torch.compile(fullgraph=True)."""

Array = np.ndarray[Any, Any]
Case = tuple[Surrogate, Array, Array, str]
"""A surrogate, the bit patterns of v and of the cotangent, and their dtype."""
Call = Callable[..., torch.Tensor]
"""The spikes of v, or of a parameter and v, or what a transform makes of such a function: one that takes the cotangent too."""
Transform = Callable[[Call, torch.Tensor, torch.Tensor, str], torch.Tensor]
ParameterTransform = Callable[[Call, torch.Tensor, torch.Tensor, torch.Tensor, str], torch.Tensor]


def from_bits(bits: Array, dtype: str, device: str = "cpu") -> torch.Tensor:
    """A tensor of the dtype with these bit patterns (unsigned integers of its width)."""
    return torch.from_numpy(bits.view(f"int{bits.dtype.itemsize * 8}").copy()).to(device).view(getattr(torch, dtype))


def to_bits(x: torch.Tensor) -> Array:
    """The bit patterns of a tensor."""
    size = x.element_size() * 8
    return x.detach().contiguous().view(getattr(torch, f"int{size}")).cpu().numpy().view(f"uint{size}")


@functools.lru_cache(maxsize=1)
def _compiled_calls(surrogates: tuple[Surrogate, ...], dtypes: tuple[str, ...], compiler: str) -> Callable[..., Any]:
    # All surrogates and dtypes share one code object, which torch compiles 8 times at most: hence one at a time, after a reset.
    torch.compiler.reset()
    return torch.compile(functools.partial(_calls, surrogates), fullgraph=True, backend=compiler)


def _calls(surrogates: tuple[Surrogate, ...], potentials: list[torch.Tensor]) -> list[torch.Tensor]:
    return [spike(x, surrogate) for surrogate, x in zip(surrogates, potentials, strict=True)]


def spikes_and_gradients(
    cases: Sequence[Case], mode: str = "eager", compiler: str = "inductor", device: str = "cpu"
) -> list[tuple[Array, Array]]:
    """Spikes and cotangent · h of each case as bit patterns; compiled, all cases are one graph."""
    surrogates, dtypes = tuple(case[0] for case in cases), tuple(case[3] for case in cases)
    potentials = [from_bits(v, dtype, device).requires_grad_() for _, v, _, dtype in cases]
    call = functools.partial(_calls, surrogates) if mode == "eager" else _compiled_calls(surrogates, dtypes, compiler)
    spikes = call(potentials)
    gradients = torch.autograd.grad(spikes, potentials, [from_bits(c, dtype, device) for _, _, c, dtype in cases])
    return [(to_bits(one), to_bits(other)) for one, other in zip(spikes, gradients, strict=True)]


def spikes_and_gradient(surrogate: Surrogate, v: Array, cotangent: Array, dtype: str, mode: str = "eager") -> tuple[Array, Array]:
    """Spikes and cotangent · h of one case."""
    return spikes_and_gradients([(surrogate, v, cotangent, dtype)], mode)[0]


def joined(calls: Sequence[Call]) -> Call:
    """One function of arrays that have a column for each of the calls, so that a transform is compiled once for all."""
    return lambda *arrays: torch.stack([call(*(x[..., i] for x in arrays)) for i, call in enumerate(calls)], -1)


def _loss(call: Call) -> Call:
    return lambda *arrays: (arrays[-1] * call(*arrays[:-1])).sum()


def _compiled(function: Call, compiler: str) -> Call:
    return torch.compile(function, fullgraph=True, backend=compiler)


def _backward(call: Call, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(call(x), x, c)[0]


def _jvp(call: Call) -> Call:
    return lambda x, *others: torch.func.jvp(lambda y: call(y, *others[:-1]), (x,), others[-1:])[1]


def _forward_ad(call: Call, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(call(forward_ad.make_dual(x, c))).tangent
        assert tangent is not None
        return tangent


def _diagonal(jacobian: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return jacobian.reshape(like.numel(), like.numel()).diagonal().reshape(like.shape)


def _linear_probe(which: Callable[[Call], Call], call: Call) -> Call:
    return lambda v, c: c * _diagonal(which(call)(v), v)


NOT_CHECKED: dict[str, str] = {}
"""Ways of `FIRST` that cannot be tried here, and why."""

FIRST: dict[str, Transform] = {
    "backward": lambda f, v, c, _: _backward(f, v, c),
    "backward of a strided view": lambda f, v, c, _: _backward(lambda x: f(torch.stack([x, x], -1)[..., 0]), v, c),
    "checkpoint": lambda f, v, c, _: _backward(lambda x: checkpoint(f, x, use_reentrant=False), v, c),
    "func.grad": lambda f, v, c, _: torch.func.grad(_loss(f))(v, c),
    "func.vjp": lambda f, v, c, _: torch.func.vjp(f, v)[1](c)[0],
    "func.jacrev": lambda f, v, c, _: _linear_probe(torch.func.jacrev, f)(v, c),
    "vmap(grad)": lambda f, v, c, _: torch.func.vmap(torch.func.grad(_loss(f)))(v, c),
    "vmap, then backward": lambda f, v, c, _: _backward(torch.func.vmap(f), v, c),
    "func.jvp": lambda f, v, c, _: _jvp(f)(v, c),
    "func.jacfwd": lambda f, v, c, _: _linear_probe(torch.func.jacfwd, f)(v, c),
    "vmap(jvp)": lambda f, v, c, _: torch.func.vmap(_jvp(f))(v, c),
    "forward_ad": lambda f, v, c, _: _forward_ad(f, v, c),
    "compile, then backward": lambda f, v, c, how: _backward(_compiled(f, how), v, c),
    "compile(func.grad)": lambda f, v, c, how: _compiled(torch.func.grad(_loss(f)), how)(v, c),
    "compile(vmap(grad))": lambda f, v, c, how: _compiled(torch.func.vmap(torch.func.grad(_loss(f))), how)(v, c),
    "compile(func.jvp)": lambda f, v, c, how: _compiled(_jvp(f), how)(v, c),
    "compile(vmap), then backward": lambda f, v, c, how: _backward(_compiled(torch.func.vmap(f), how), v, c),
    "compile(jacrev)": lambda f, v, c, how: _compiled(_linear_probe(torch.func.jacrev, f), how)(v, c),
    "compile(jacfwd)": lambda f, v, c, how: _compiled(_linear_probe(torch.func.jacfwd, f), how)(v, c),
}
"""Each gives cotangent · h(v), the same bits as plain backward."""


def _double_backward(call: Call, v: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    v = v.detach().requires_grad_()
    (first,) = torch.autograd.grad(call(v), v, torch.ones_like(v), create_graph=True)
    if not first.requires_grad:
        return torch.zeros_like(v)
    return torch.autograd.grad(first, v, c, allow_unused=True, materialize_grads=True)[0]


def _grad_of_grad(call: Call) -> Call:
    inner = torch.func.grad(lambda v: call(v).sum())
    return torch.func.grad(lambda v, c: (c * inner(v)).sum())


def _hessian(call: Call) -> Call:
    return lambda v, c: c * _diagonal(torch.func.hessian(lambda x: call(x).sum())(v), v)


def _jvp_of_jvp(call: Call) -> Call:
    return _jvp(lambda v: _jvp(call)(v, torch.ones_like(v)))


SECOND: dict[str, Transform] = {
    "double backward": lambda f, v, c, _: _double_backward(f, v, c),
    "func.grad of func.grad": lambda f, v, c, _: _grad_of_grad(f)(v, c),
    "func.hessian": lambda f, v, c, _: _hessian(f)(v, c),
    "func.jvp of func.jvp": lambda f, v, c, _: _jvp_of_jvp(f)(v, c),
    "compile(func.grad of func.grad)": lambda f, v, c, how: _compiled(_grad_of_grad(f), how)(v, c),
    "compile(func.jvp of func.jvp)": lambda f, v, c, how: _compiled(_jvp_of_jvp(f), how)(v, c),
    "compile(hessian)": lambda f, v, c, how: _compiled(_hessian(f), how)(v, c),
}
"""Each gives cotangent · h′(v)."""

PARAMETER: dict[str, ParameterTransform] = {
    "backward": lambda f, p, v, c, _: _backward(lambda q: f(q, v), p, c),
    "func.grad": lambda f, p, v, c, _: torch.func.grad(_loss(f))(p, v, c),
    "vmap(grad)": lambda f, p, v, c, _: torch.func.vmap(torch.func.grad(_loss(f)))(p, v, c),
    "func.jvp": lambda f, p, v, c, _: _jvp(f)(p, v, c),
    "forward_ad": lambda f, p, v, c, _: _forward_ad(lambda q: f(q, v), p, c),
    "compile, then backward": lambda f, p, v, c, how: _backward(_compiled(lambda q: f(q, v), how), p, c),
    "compile(func.grad)": lambda f, p, v, c, how: _compiled(torch.func.grad(_loss(f)), how)(p, v, c),
    "compile(vmap(grad))": lambda f, p, v, c, how: _compiled(torch.func.vmap(torch.func.grad(_loss(f))), how)(p, v, c),
    "compile(func.jvp)": lambda f, p, v, c, how: _compiled(_jvp(f), how)(p, v, c),
}
"""Each gives cotangent · ∂G/∂parameter for a parameter of v's shape."""


def _pulled(f: Call, c: torch.Tensor) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Of (p, v) the gradients of sum(c · f)."""
    return torch.func.grad(lambda p, v: (c * f(p, v)).sum(), (0, 1))


def _twice(f: Call) -> Call:
    """Reverse over reverse: the Hessian of sum(c · f) in (p, v), which is one of each element, times (dp, dv)."""

    def product(p: torch.Tensor, v: torch.Tensor, c: torch.Tensor, dp: torch.Tensor, dv: torch.Tensor) -> torch.Tensor:
        def along(p: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            by_p, by_v = _pulled(f, c)(p, v)
            return (dp * by_p).sum() + (dv * by_v).sum()

        return torch.stack(torch.func.grad(along, (0, 1))(p, v))

    return product


def _doubly_backward(f: Call) -> Call:
    def product(p: torch.Tensor, v: torch.Tensor, c: torch.Tensor, dp: torch.Tensor, dv: torch.Tensor) -> torch.Tensor:
        both = [x.detach().requires_grad_() for x in (p, v)]
        ways = {"allow_unused": True, "materialize_grads": True}
        first = torch.autograd.grad(f(*both), both, c, create_graph=True, **ways)
        return torch.stack(torch.autograd.grad(first, both, (dp, dv), **ways))

    return product


def _pushed(f: Call) -> Call:
    return lambda p, v, c, dp, dv: torch.stack(torch.func.jvp(_pulled(f, c), (p, v), (dp, dv))[1])


def _whole(f: Call) -> Call:
    """The whole Hessian at each point, and then the product."""

    def at_point(p: torch.Tensor, v: torch.Tensor, c: torch.Tensor, dp: torch.Tensor, dv: torch.Tensor) -> torch.Tensor:
        blocks = torch.func.hessian(lambda p, v: (c * f(p, v)).sum(), (0, 1))(p, v)
        return torch.stack([torch.tensordot(row[0], dp, dp.ndim) + torch.tensordot(row[1], dv, dv.ndim) for row in blocks])

    return torch.func.vmap(at_point, 1, 2)


def _along(f: Call) -> Call:
    """Forward over forward: of each element the second derivative along (dp, dv)."""

    def pushed(p: torch.Tensor, v: torch.Tensor, dp: torch.Tensor, dv: torch.Tensor) -> torch.Tensor:
        return torch.func.jvp(f, (p, v), (dp, dv))[1]

    return lambda p, v, c, dp, dv: (c * torch.func.jvp(lambda p, v: pushed(p, v, dp, dv), (p, v), (dp, dv))[1])[None]


NONLINEAR: dict[str, Callable[[Call, str], Call]] = {
    "double backward": lambda f, _: _doubly_backward(f),
    "checkpoint, double backward": lambda f, _: _doubly_backward(functools.partial(checkpoint, f, use_reentrant=False)),
    "func.grad of func.grad": lambda f, _: _twice(f),
    "vmap(func.grad of func.grad)": lambda f, _: torch.func.vmap(_twice(f), 1, 2),
    "func.jvp of func.grad": lambda f, _: _pushed(f),
    "func.hessian": lambda f, _: _whole(f),
    "func.jvp of func.jvp": lambda f, _: _along(f),
    "compile(func.grad of func.grad)": lambda f, how: _compiled(_twice(f), how),
}
"""Of f(p, v), which is not linear in the spikes, each gives (2, ...): c · f's Hessian in (p, v) times (dp, dv); or along it."""

CIRCUITS = {way: ["spikes of spikes"] for way in NONLINEAR if way.startswith("compile")}
"""Rows that are for some circuits alone: compiling takes its time."""


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
    compiler: str = "aot_eager",
    device: str = "cpu",
) -> Array:
    """One row of NONLINEAR in float64, all circuits and surrogates in one call.

    Args:
        name: the row.
        surrogates: one or several.
        paces: of each surrogate how fast its parameters move with p, which is 0 at their own values.
        circuits: each of a spike function, v and a way to repeat a step.
        arrays: (p, v, c, dp, dv), each (circuits, points, surrogates).
        compiler: the backend of torch.compile.
        device: where the tensors are.
    """
    torch.compiler.reset()

    def of_one(circuit: Callable[..., Any], i: int, p: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        numbers = {name: getattr(surrogates[i], name) + pace * p for name, pace in paces[i].items()}
        return circuit(lambda x: spike(x, surrogates[i], **numbers), v, _unrolled)

    def f(p: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        rows = [[of_one(each, i, p[k, ..., i], v[k, ..., i]) for i in range(len(surrogates))] for k, each in enumerate(circuits)]
        return torch.stack([torch.stack(row, -1) for row in rows])

    return NONLINEAR[name](f, compiler)(*(torch.from_numpy(np.array(x)).to(device) for x in arrays)).detach().cpu().numpy()


def _call_of(surrogate: Surrogate) -> Call:
    return lambda v: spike(v, surrogate)


def _call_with(surrogate: Surrogate, parameter: str) -> Call:
    return lambda p, v: spike(v, surrogate, **{parameter: p})


def transform(
    order: str,
    name: str,
    surrogates: Sequence[Surrogate],
    *arrays: Array,
    parameters: Sequence[str] = (),
    compiler: str = "aot_eager",
    device: str = "cpu",
) -> Array:
    """One row of a table above on NumPy arrays of a native dtype, all surrogates in one call.

    Args:
        order: "first", "second" or "parameter".
        name: the row.
        surrogates: one or several.
        arrays: (v, cotangent), or (parameter, v, cotangent), with a column for each surrogate.
        parameters: the name of each surrogate's parameter, where order is "parameter".
        compiler: the backend of torch.compile.
        device: where the tensors are.
    """
    torch.compiler.reset()
    alone = len(surrogates) == 1
    tensors = [torch.from_numpy(np.array(x[..., 0] if alone else x)).to(device) for x in arrays]
    if order == "parameter":
        calls = [_call_with(*each) for each in zip(surrogates, parameters, strict=True)]
    else:
        calls = [_call_of(each) for each in surrogates]
    call = calls[0] if alone else joined(calls)
    result = {"first": FIRST, "second": SECOND, "parameter": PARAMETER}[order][name](call, *tensors, compiler)
    return result.detach().cpu().numpy().reshape(arrays[0].shape)
