"""What `arcana.testing` needs of this backend: one call on bit patterns, and every transform, each with a NumPy result."""

from __future__ import annotations

import functools
from collections.abc import Callable
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
Transform = Callable[[Surrogate, torch.Tensor, torch.Tensor, str], torch.Tensor]
ParameterTransform = Callable[[Surrogate, str, torch.Tensor, torch.Tensor, torch.Tensor, str], torch.Tensor]


def from_bits(bits: Array, dtype: str) -> torch.Tensor:
    """A tensor of the dtype with these bit patterns (unsigned integers of its width)."""
    return torch.from_numpy(bits.view(f"int{bits.dtype.itemsize * 8}").copy()).view(getattr(torch, dtype))


def to_bits(x: torch.Tensor) -> Array:
    """The bit patterns of a tensor."""
    size = x.element_size() * 8
    return x.detach().contiguous().view(getattr(torch, f"int{size}")).numpy().view(f"uint{size}")


@functools.lru_cache(maxsize=1)
def _compiled_call(surrogate: Surrogate, dtype: str, compiler: str) -> Callable[[torch.Tensor], torch.Tensor]:
    # All surrogates and dtypes share one code object, which torch compiles 8 times at most: hence one at a time, after a reset.
    torch.compiler.reset()
    return torch.compile(lambda x: spike(x, surrogate), fullgraph=True, backend=compiler)


def spikes_and_gradient(
    surrogate: Surrogate, v: Array, cotangent: Array, dtype: str, mode: str = "eager", compiler: str = "inductor"
) -> tuple[Array, Array]:
    """Spikes and cotangent · h of bit patterns, as bit patterns."""
    x = from_bits(v, dtype).requires_grad_()
    spikes = spike(x, surrogate) if mode == "eager" else _compiled_call(surrogate, dtype, compiler)(x)
    (gradient,) = torch.autograd.grad(spikes, x, from_bits(cotangent, dtype))
    return to_bits(spikes), to_bits(gradient)


def _loss(surrogate: Surrogate, c: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda v: (c * spike(v, surrogate)).sum()


def _each(surrogate: Surrogate) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    return lambda v, c: c * spike(v, surrogate)


def _compiled(function: Callable[..., Any], compiler: str) -> Callable[..., Any]:
    return torch.compile(function, fullgraph=True, backend=compiler)


def _backward(function: Callable[..., torch.Tensor], v: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    v = v.detach().requires_grad_()
    return torch.autograd.grad(function(v), v, c)[0]


def _jvp(surrogate: Surrogate) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    return lambda v, c: torch.func.jvp(lambda x: spike(x, surrogate), (v,), (c,))[1]


def _forward_ad(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(spike(forward_ad.make_dual(v, c), surrogate)).tangent
        assert tangent is not None
        return tangent


def _linear_probe(surrogate: Surrogate, which: Callable[..., Any]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    return lambda v, c: c * which(lambda x: spike(x, surrogate))(v).diagonal()


FIRST: dict[str, Transform] = {
    "backward": lambda s, v, c, _: _backward(lambda x: spike(x, s), v, c),
    "backward of a strided view": lambda s, v, c, _: _backward(lambda x: spike(x.repeat(2, 1).t()[:, 0], s), v, c),
    "checkpoint": lambda s, v, c, _: _backward(lambda x: checkpoint(spike, x, s, use_reentrant=False), v, c),
    "func.grad": lambda s, v, c, _: torch.func.grad(_loss(s, c))(v),
    "func.vjp": lambda s, v, c, _: torch.func.vjp(lambda x: spike(x, s), v)[1](c)[0],
    "func.jacrev": lambda s, v, c, _: _linear_probe(s, torch.func.jacrev)(v, c),
    "vmap(grad)": lambda s, v, c, _: torch.func.vmap(torch.func.grad(_each(s)))(v, c),
    "vmap, then backward": lambda s, v, c, _: _backward(torch.func.vmap(lambda x: spike(x, s)), v, c),
    "func.jvp": lambda s, v, c, _: _jvp(s)(v, c),
    "func.jacfwd": lambda s, v, c, _: _linear_probe(s, torch.func.jacfwd)(v, c),
    "vmap(jvp)": lambda s, v, c, _: torch.func.vmap(_jvp(s))(v, c),
    "forward_ad": lambda s, v, c, _: _forward_ad(s, v, c),
    "compile, then backward": lambda s, v, c, how: _backward(_compiled(lambda x: spike(x, s), how), v, c),
    "compile(func.grad)": lambda s, v, c, how: _compiled(torch.func.grad(_loss(s, c)), how)(v),
    "compile(vmap(grad))": lambda s, v, c, how: _compiled(torch.func.vmap(torch.func.grad(_each(s))), how)(v, c),
    "compile(func.jvp)": lambda s, v, c, how: _compiled(_jvp(s), how)(v, c),
    "compile(vmap), then backward": lambda s, v, c, how: _backward(_compiled(torch.func.vmap(lambda x: spike(x, s)), how), v, c),
    "compile(jacrev)": lambda s, v, c, how: _compiled(_linear_probe(s, torch.func.jacrev), how)(v, c),
    "compile(jacfwd)": lambda s, v, c, how: _compiled(_linear_probe(s, torch.func.jacfwd), how)(v, c),
}
"""Each gives cotangent · h(v), the same bits as plain backward."""


def _double_backward(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    v = v.detach().requires_grad_()
    (first,) = torch.autograd.grad(spike(v, surrogate), v, torch.ones_like(v), create_graph=True)
    if not first.requires_grad:
        return torch.zeros_like(v)
    return torch.autograd.grad(first, v, c, allow_unused=True, materialize_grads=True)[0]


def _grad_of_grad(surrogate: Surrogate) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    inner = torch.func.grad(lambda v: spike(v, surrogate).sum())
    return lambda v, c: torch.func.grad(lambda x: (c * inner(x)).sum())(v)


def _hessian(surrogate: Surrogate) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    return lambda v, c: c * torch.func.hessian(lambda x: spike(x, surrogate).sum())(v).diagonal()


def _jvp_of_jvp(surrogate: Surrogate) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def first(v: torch.Tensor) -> torch.Tensor:
        return torch.func.jvp(lambda x: spike(x, surrogate), (v,), (torch.ones_like(v),))[1]

    return lambda v, c: torch.func.jvp(first, (v,), (c,))[1]


SECOND: dict[str, Transform] = {
    "double backward": lambda s, v, c, _: _double_backward(s, v, c),
    "func.grad of func.grad": lambda s, v, c, _: _grad_of_grad(s)(v, c),
    "func.hessian": lambda s, v, c, _: _hessian(s)(v, c),
    "func.jvp of func.jvp": lambda s, v, c, _: _jvp_of_jvp(s)(v, c),
    "compile(func.grad of func.grad)": lambda s, v, c, how: _compiled(_grad_of_grad(s), how)(v, c),
    "compile(func.jvp of func.jvp)": lambda s, v, c, how: _compiled(_jvp_of_jvp(s), how)(v, c),
    "compile(hessian)": lambda s, v, c, how: _compiled(_hessian(s), how)(v, c),
}
"""Each gives cotangent · h′(v)."""


def _with(surrogate: Surrogate, name: str, v: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda p: spike(v, surrogate, **{name: p})


def _parameter_loss(surrogate: Surrogate, name: str) -> Callable[..., torch.Tensor]:
    return lambda p, v, c: (c * spike(v, surrogate, **{name: p})).sum()


def _parameter_jvp(surrogate: Surrogate, name: str) -> Callable[..., torch.Tensor]:
    return lambda p, v, c: torch.func.jvp(_with(surrogate, name, v), (p,), (c,))[1]


def _parameter_forward_ad(s: Surrogate, name: str, p: torch.Tensor, v: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(_with(s, name, v)(forward_ad.make_dual(p, c))).tangent
        assert tangent is not None
        return tangent


PARAMETER: dict[str, ParameterTransform] = {
    "backward": lambda s, n, p, v, c, _: _backward(_with(s, n, v), p, c),
    "func.grad": lambda s, n, p, v, c, _: torch.func.grad(_parameter_loss(s, n))(p, v, c),
    "vmap(grad)": lambda s, n, p, v, c, _: torch.func.vmap(torch.func.grad(_parameter_loss(s, n)))(p, v, c),
    "func.jvp": lambda s, n, p, v, c, _: _parameter_jvp(s, n)(p, v, c),
    "forward_ad": lambda s, n, p, v, c, _: _parameter_forward_ad(s, n, p, v, c),
    "compile, then backward": lambda s, n, p, v, c, how: _backward(_compiled(_with(s, n, v), how), p, c),
    "compile(func.grad)": lambda s, n, p, v, c, how: _compiled(torch.func.grad(_parameter_loss(s, n)), how)(p, v, c),
    "compile(vmap(grad))": lambda s, n, p, v, c, how: _compiled(torch.func.vmap(torch.func.grad(_parameter_loss(s, n))), how)(
        p, v, c
    ),
    "compile(func.jvp)": lambda s, n, p, v, c, how: _compiled(_parameter_jvp(s, n), how)(p, v, c),
}
"""Each gives cotangent · ∂G/∂parameter for a parameter of v's shape."""


def transform(
    order: str, name: str, surrogate: Surrogate, *arrays: Array, parameter: str = "", compiler: str = "aot_eager"
) -> Array:
    """One row of a table above on NumPy arrays of a native dtype; arrays are (v, cotangent), or (parameter, v, cotangent)."""
    torch.compiler.reset()
    *p, v, c = [torch.from_numpy(np.array(x)) for x in arrays]
    if order == "parameter":
        return PARAMETER[name](surrogate, parameter, p[0], v, c, compiler).detach().numpy()
    return {"first": FIRST, "second": SECOND}[order][name](surrogate, v, c, compiler).detach().numpy()
