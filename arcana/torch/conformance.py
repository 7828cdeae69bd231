"""The rows of `check_surrogate` for this backend: one call on bit patterns, and its transforms by the names of the rows."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from arcana.surrogate import Surrogate
from arcana.torch import spike
from arcana.torch.arrays import Array, from_numpy as from_numpy, to_numpy as to_numpy

Case = tuple[Surrogate, Array, Array, str]
"""A surrogate, the bit patterns of v and of the cotangent, and their dtype."""
Function = Callable[..., torch.Tensor]
"""The spikes as a function of v, or of a parameter and v."""

transforms, functions = torch.func, torch
"""Where grad, vjp, vmap and the like are found; and stack and ones_like."""
unstack = functools.partial(torch.unbind, dim=-1)

MODES = ("eager", "compiled")
"""The ways in which the same call is made: plain, and under torch.compile(fullgraph=True)."""


def from_bits(bits: Array, dtype: str, device: str = "cpu") -> torch.Tensor:
    """Make a tensor of the dtype with these bit patterns (unsigned integers of its width)."""
    return torch.from_numpy(bits.view(f"int{bits.dtype.itemsize * 8}").copy()).to(device).view(getattr(torch, dtype))


def to_bits(x: torch.Tensor) -> Array:
    """Return the bit patterns of a tensor."""
    size = x.element_size() * 8
    return x.detach().contiguous().view(getattr(torch, f"int{size}")).cpu().numpy().view(f"uint{size}")


@functools.lru_cache(maxsize=1)
def _compiled_calls(surrogates: tuple[Surrogate, ...], dtypes: tuple[str, ...], compiler: str) -> Callable[..., Any]:
    # All surrogates and dtypes share one code object, which torch compiles 8 times at most: hence one at a time, after a reset.
    return compiled(functools.partial(_calls, surrogates), compiler)


def _calls(surrogates: tuple[Surrogate, ...], potentials: list[torch.Tensor]) -> list[torch.Tensor]:
    return [spike(x, surrogate) for surrogate, x in zip(surrogates, potentials, strict=True)]


def spikes_and_gradients(
    cases: Sequence[Case], mode: str = "eager", compiler: str = "inductor", device: str = "cpu"
) -> list[tuple[Array, Array]]:
    """Return spikes and cotangent · h of each case as bit patterns; compiled, all cases are one graph."""
    surrogates, dtypes = tuple(case[0] for case in cases), tuple(case[3] for case in cases)
    potentials = [from_bits(v, dtype, device).requires_grad_() for _, v, _, dtype in cases]
    call = functools.partial(_calls, surrogates) if mode == "eager" else _compiled_calls(surrogates, dtypes, compiler)
    spikes = call(potentials)
    gradients = torch.autograd.grad(spikes, potentials, [from_bits(c, dtype, device) for _, _, c, dtype in cases])
    return [(to_bits(one), to_bits(other)) for one, other in zip(spikes, gradients, strict=True)]


FIRST = (
    "backward",
    "backward of a strided view",
    "checkpoint",
    "func.grad",
    "func.vjp",
    "func.jacrev",
    "vmap(grad)",
    "vmap, then backward",
    "func.jvp",
    "func.jacfwd",
    "vmap(jvp)",
    "forward_ad",
    "compile, then backward",
    "compile(func.grad)",
    "compile(vmap(grad))",
    "compile(func.jvp)",
    "compile(vmap), then backward",
    "compile(jacrev)",
    "compile(jacfwd)",
)
"""Rows of cotangent · h(v), each with the same bits as plain backward."""

SECOND = (
    "double backward",
    "func.grad of func.grad",
    "func.hessian",
    "func.jvp of func.jvp",
    "compile(func.grad of func.grad)",
    "compile(func.jvp of func.jvp)",
    "compile(hessian)",
)
"""Rows of cotangent · h′(v)."""

PARAMETER = (
    "backward",
    "func.grad",
    "vmap(grad)",
    "func.jvp",
    "forward_ad",
    "compile, then backward",
    "compile(func.grad)",
    "compile(vmap(grad))",
    "compile(func.jvp)",
)
"""Rows of cotangent · ∂G/∂parameter for a parameter of v's shape."""

NONLINEAR = (
    "double backward",
    "checkpoint, double backward",
    "func.grad of func.grad",
    "vmap(func.grad of func.grad)",
    "func.jvp of func.grad",
    "func.hessian",
    "func.jvp of func.jvp",
    "compile(func.grad of func.grad)",
)
"""Rows of second derivatives of what is not linear in the spikes."""

ONE_CIRCUIT = {"compile(func.grad of func.grad)": "spikes of spikes"}
"""Rows of `NONLINEAR` for one circuit alone: compiling takes its time."""


def compiled(function: Callable[..., Any], compiler: str = "aot_eager") -> Callable[..., Any]:
    """Compile a function into one graph, with nothing left of those compiled before."""
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, backend=compiler)


def _checkpointed(f: Function) -> Function:
    return functools.partial(checkpoint, f, use_reentrant=False)


WRAPPERS = {"compile": compiled, "checkpoint": _checkpointed}
"""Words of the rows that make of a function one of the same arrays."""


def _backward(f: Function, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(f(x), x, c)[0]


def _forward_ad(f: Function, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(x, c))).tangent
        assert tangent is not None
        return tangent


def _double_backward(f: Function, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_()
    (first,) = torch.autograd.grad(f(x), x, torch.ones_like(x), create_graph=True)
    if not first.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(first, x, c, allow_unused=True, materialize_grads=True)[0]


POINTWISE = {
    "backward": _backward,
    "backward of a strided view": lambda f, x, c: _backward(lambda y: f(torch.stack([y, y], -1)[..., 0]), x, c),
    "checkpoint": lambda f, x, c: _backward(_checkpointed(f), x, c),
    "forward_ad": _forward_ad,
    "double backward": _double_backward,
}
"""Words that only PyTorch has, in `FIRST`, `SECOND` and `PARAMETER`: of a function of x, x and the cotangent."""


def _double_backward_product(
    f: Function, p: torch.Tensor, v: torch.Tensor, c: torch.Tensor, dp: torch.Tensor, dv: torch.Tensor
) -> torch.Tensor:
    both = [x.detach().requires_grad_() for x in (p, v)]
    unused = {"allow_unused": True, "materialize_grads": True}
    first = torch.autograd.grad(f(*both), both, c, create_graph=True, **unused)
    return torch.stack(torch.autograd.grad(first, both, (dp, dv), **unused))


PRODUCTS = {"double backward": _double_backward_product}
"""Words that only PyTorch has, in `NONLINEAR`: of f(p, v) and (p, v, c, dp, dv)."""

# PyTorch needs none of these.
NOT_CHECKED, SPIKES, REPEATS = {}, {}, {}
double_precision = contextlib.nullcontext
