"""The derivative rule of one call by plain torch operations, which every transform can follow, and the checks of a call."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd import forward_ad

from arcana.surrogate import Surrogate
from arcana.surrogate._base import evaluate_formula, resolved
from arcana.surrogate._checks import check_array, check_values, not_a_potential, number_of
from arcana.surrogate._namespace import FAR, compute_dtype
from arcana.surrogate._trace import Kept, Symbol, Trace, evaluate, shortcuts, trace
from arcana.torch._compat import (
    dispatch_modes,
    forward_mode_enabled,
    in_forward_mode,
    is_batch_of_cotangents,
    is_transformed,
    jit_trace,
    transforms_active,
    vjp_without_hooks,
    without_saved_tensor_hooks,
)
from arcana.torch._namespace import NAMESPACES, TorchNamespace


def computing_dtype(caller: str, v: torch.Tensor) -> torch.dtype:
    """The dtype in which a call on v is computed."""
    return getattr(torch, compute_dtype(caller, str(v.dtype).removeprefix("torch.")))


def kept_by(definition: type[Surrogate], settings: tuple[tuple[str, Any], ...], values: Mapping[str, Any]) -> Kept:
    """What a call keeps for backward. It depends on the call alone, since who looks at it may be another at backward.

    Args:
        definition: the surrogate's class.
        settings: the fields that shape its formula.
        values: its parameters: less than v is kept only where all are numbers that are known.
    """
    known = all(isinstance(value, float) for value in values.values())
    traced = trace(definition, settings, tuple(values)) if known else None
    return Kept.POTENTIAL if traced is None else traced.kept


class Rule:
    """The derivative rule of one call: the definition with its parameters as tensors of the computing dtype.

    Args:
        definition: the surrogate's class.
        settings: the fields that shape its formula.
        v: the potential, or where that is not kept any tensor of its dtype and shape.
        values: the parameters.

    A number becomes a 0-d tensor before the formula sees it, so a number, a 0-d tensor and JAX give the same bits, save where a
    number goes a shorter way (`SHORTCUTS`).
    """

    def __init__(self, definition: type[Surrogate], settings: Mapping[str, Any], v: torch.Tensor, values: Mapping[str, Any]):
        self.definition = definition
        self.settings = settings
        self.given = v.dtype
        self.dtype = computing_dtype(definition.__name__, v)
        self.v = v.to(self.dtype)
        self.numbers = {name: self._tensor(name, value, v) for name, value in values.items()}
        self.kept = kept_by(definition, tuple(settings.items()), values)
        # On a GPU a short way saves nothing, and kernels take none.
        self.shortcuts = {} if v.is_cuda else self._shortcuts(values)

    def _shortcuts(self, values: Mapping[str, Any]) -> dict[str, float]:
        """The functions that go a shorter way, where all parameters are numbers that are known."""
        if not all(isinstance(value, float) for value in values.values()):
            return {}
        dtype = str(self.dtype).removeprefix("torch.")
        numbers = tuple((name, self.definition.rounded(name, value, dtype)) for name, value in values.items())
        return shortcuts(self.definition, tuple(self.settings.items()), numbers, dtype)

    def _tensor(self, name: str, value: Any, v: torch.Tensor) -> torch.Tensor:
        dtype = str(self.dtype).removeprefix("torch.")
        if isinstance(value, torch.Tensor):
            # Values that nobody could check: beyond a bound the formula is another function, so the nearest inside stands for it.
            value = value.to(self.dtype)
            return value.clamp(*self.definition.domain(name, dtype)) if self.definition.bounded(name) else value
        if isinstance(value, float):
            # Beside v on any device; and whatever the default device is.
            return torch.scalar_tensor(self.definition.rounded(name, value, dtype), dtype=self.dtype, device="cpu")
        # torch.compile's symbolic float: the same rounding as tensor operations; only a product keeps it symbolic.
        low, high = self.definition._numbers[name].representable(dtype)
        one = torch.ones((), dtype=torch.float64, device=v.device)
        return (one * value).clamp(low, high).to(self.dtype)

    def mask(self) -> torch.Tensor:
        """The comparison that is kept where h takes two values."""
        traced, values = self._traced()
        assert traced.gate is not None
        values[traced.v] = self.v
        evaluate([traced.gate], values, self._space(short=True), self._zero())
        return values[traced.gate]

    def pull(self, kept: Sequence[torch.Tensor], cotangent: torch.Tensor) -> torch.Tensor:
        """cotangent · h, in the cotangent's dtype, from what the call kept."""
        return (cotangent.to(self.dtype) * self.h(kept)).to(cotangent.dtype)

    def h(self, kept: Sequence[torch.Tensor]) -> torch.Tensor:
        """h from what the call kept; from a comparison, the spikes or nothing it has no derivative with respect to v."""
        if self.kept is Kept.POTENTIAL:
            return self.derivative()
        traced, values = self._traced()
        if kept:
            assert traced.gate is not None
            # The spikes have a history; the comparison has none, so that h has none either.
            values[traced.gate] = kept[0] if kept[0].dtype is torch.bool else kept[0] != 0
        evaluate([traced.h], values, self._space(short=True), self._zero())
        return values[traced.h]

    def _traced(self) -> tuple[Trace, dict[Symbol, Any]]:
        """The definition's trace, and the values of its parameters."""
        traced = trace(self.definition, tuple(self.settings.items()), tuple(self.numbers))
        assert traced is not None
        return traced, {symbol: self.numbers[name] for name, symbol in traced.parameters.items()}

    def _zero(self) -> torch.Tensor:
        return torch.zeros((), dtype=self.dtype, device=self.v.device)

    def derivative(self) -> torch.Tensor:
        """h of v, whose own derivative is 0 where h has come to its limit 0."""
        v = self.v
        if torch.is_grad_enabled() or transforms_active() or in_forward_mode():
            names = tuple(self.numbers)

            def function(v: torch.Tensor, *numbers: torch.Tensor) -> torch.Tensor:
                return self._evaluate("derivative", v, dict(zip(names, numbers, strict=True)))

            return Settled.apply(function, v, *self.numbers.values())
        if not transformed(v):
            return self._evaluate("derivative", v, self.numbers)
        # A graph that is traced here may be differentiated elsewhere.
        infinite = _is_infinite(v)
        h = self._evaluate("derivative", torch.where(infinite, v.detach(), v), self.numbers)
        return torch.where(infinite, h.detach(), h)

    def _evaluate(self, which: str, v: torch.Tensor, numbers: Mapping[str, torch.Tensor]) -> torch.Tensor:
        space = self._space(which == "derivative")
        y = evaluate_formula(self.definition, which, v, space, numbers, self.settings)
        return y if isinstance(y, torch.Tensor) else space.number(y)

    def _space(self, short: bool = False) -> TorchNamespace:
        return TorchNamespace(self.dtype, self.shortcuts) if short and self.shortcuts else NAMESPACES[self.dtype]

    def sensitivities(self, names: list[str]) -> tuple[torch.Tensor, ...]:
        """dG/dparameter at every element of v, for each of the names; at ±inf that of ±FAR."""
        far = FAR[str(self.dtype).removeprefix("torch.")]
        finite = torch.where(_is_infinite(self.v), self.v.sign() * far, self.v)

        def primitive(*chosen: torch.Tensor) -> torch.Tensor:
            return self._evaluate("primitive", finite, {**self.numbers, **dict(zip(names, chosen, strict=True))})

        return _slopes(primitive, [self.numbers[name].expand(self.v.shape) for name in names])

    def gradients(
        self, cotangent: torch.Tensor, names: Sequence[str], tensors: Sequence[torch.Tensor], asked: Sequence[bool]
    ) -> list[torch.Tensor | None]:
        """cotangent · dG/dparameter, summed to its shape, for each of the parameters that asks for it."""
        asking = [name for name, wanted in zip(names, asked, strict=True) if wanted]
        slopes = dict(zip(asking, self.sensitivities(asking), strict=True)) if asking else {}
        return [
            (cotangent.to(self.dtype) * slopes[name]).sum_to_size(tensor.shape).to(tensor.dtype) if name in slopes else None
            for name, tensor in zip(names, tensors, strict=True)
        ]


def _slopes(function: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The derivatives of an elementwise function of tensors of one shape; with a history where somebody records."""
    if any(transformed(x) for x in arguments):
        with without_saved_tensor_hooks():
            return vjp_without_hooks(function, *arguments)(torch.ones_like(arguments[0]))
    recording = torch.is_grad_enabled()
    # What is saved inside is read at once and never again.
    hooks = contextlib.nullcontext() if recording else without_saved_tensor_hooks()
    with torch.inference_mode(False), torch.enable_grad(), hooks:
        leaves = [x if recording and x.requires_grad else x.detach().requires_grad_() for x in arguments]
        result = function(*leaves)
        if not result.requires_grad:
            return tuple(torch.zeros_like(x) for x in leaves)
        ones = torch.ones_like(result)
        return torch.autograd.grad(result, leaves, ones, create_graph=recording, materialize_grads=True)


class Settled(torch.autograd.Function):
    """An elementwise function of v and parameters whose derivatives are 0 where it has come to its limit 0.

    Far out a formula in v², say, overflows on its way to 0, and the chain rule says 0 · inf there, which is NaN.
    """

    @staticmethod
    def forward(function: Callable[..., torch.Tensor], v: torch.Tensor, *numbers: torch.Tensor) -> torch.Tensor:
        h = function(v, *numbers)
        # autograd does not save an input that is the output too.
        return h.view_as(h) if any(h is x for x in (v, *numbers)) else h

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.function, *tensors = inputs
        # A tangent that is not there is not 0: it would be asked for.
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: tuple[int | None, ...], function: Callable[..., torch.Tensor], *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, int]:
        v, *numbers = batched(info.batch_size, in_dims[1:], *tensors)
        return Settled.apply(function, v, *numbers), 0

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor | None) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        if cotangent is None:
            return (None,) * len(ctx.needs_input_grad)
        saved, asked = ctx.saved_tensors, [i for i, each in enumerate(ctx.needs_input_grad[1:]) if each]
        found: list[torch.Tensor | None] = [None] * len(saved)
        for i, slope in zip(asked, _settled_slopes(ctx.function, saved, asked), strict=True):
            found[i] = (cotangent * slope).sum_to_size(saved[i].shape)
        return None, *found

    @staticmethod
    def jvp(ctx: Any, _: None, *dots: Any) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        # As in `Composable.jvp`.
        with forward_mode_enabled(True):
            saved = [forward_ad.unpack_dual(x, level=0).primal for x in ctx.saved_tensors]
            moving = [i for i, dot in enumerate(dots) if dot is not None]
            slopes = _settled_slopes(ctx.function, saved, moving)
            return sum(dots[i] * slope for i, slope in zip(moving, slopes, strict=True))  # pyright: ignore[reportReturnType]


def _settled_slopes(
    function: Callable[..., torch.Tensor], tensors: Sequence[torch.Tensor], which: Sequence[int]
) -> tuple[torch.Tensor, ...]:
    """The derivatives with respect to some of the tensors, the first of which is v, at every element of v."""
    v, *numbers = tensors

    def h(*chosen: torch.Tensor) -> torch.Tensor:
        given = [v, *numbers]
        for i, x in zip(which, chosen, strict=True):
            given[i] = x
        return function(*given)

    arguments = [tensors[i].expand(v.shape) for i in which]
    with torch.no_grad():
        infinite = _is_infinite(v)
        limit = infinite | (function(v, *numbers) == 0)
        # Only where they are no numbers: where h crosses 0, its derivative is one.
        settled = [limit & ~torch.isfinite(x) for x in _slopes(h, [x.detach() for x in arguments])]
        if which and which[0] == 0:
            settled[0] = settled[0] | infinite
    arguments = [torch.where(each, x.detach(), x) for each, x in zip(settled, arguments, strict=True)]
    return tuple(torch.where(each, 0.0, slope) for each, slope in zip(settled, _slopes(h, arguments), strict=True))


def batched(size: int, in_dims: Sequence[int | None], v: torch.Tensor, *parameters: Any) -> list[Any]:
    """v with the batch dimension first, and parameters with theirs first and their others aligned to v's."""
    ndim = v.ndim - (in_dims[0] is not None)
    v = v.expand(size, *v.shape) if in_dims[0] is None else v.movedim(in_dims[0], 0)
    return [v, *(x if dim is None else _aligned(x, dim, ndim) for x, dim in zip(parameters, in_dims[1:], strict=True))]


def _aligned(x: torch.Tensor, dim: int, ndim: int) -> torch.Tensor:
    x = x.movedim(dim, 0)
    return x.reshape(x.shape[0], *[1] * (ndim - x.ndim + 1), *x.shape[1:])


def _is_infinite(v: torch.Tensor) -> torch.Tensor:
    # inductor's C++ asks torch.isinf of one element after the other.
    return v.abs() == math.inf


def transformed(v: torch.Tensor) -> bool:
    """Whether something other than plain eager autograd will look at this call."""
    return (
        type(v) not in (torch.Tensor, torch.nn.Parameter)
        or transforms_active()
        or in_forward_mode()
        or dispatch_modes() > 0
        or jit_trace() is not None
        or is_transformed(v)  # left over from a transform that has ended
        or is_batch_of_cotangents(v)  # torch.autograd.grad(is_grads_batched=True)
    )


def checked(v: Any, surrogate: Surrogate, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings and the parameters of a call, the surrogate's own and those given in their place."""
    if not isinstance(v, torch.Tensor):
        raise not_a_potential(surrogate, v, "torch.Tensor", "torch.as_tensor(v)")
    dtype = compute_dtype(type(surrogate).__name__, str(v.dtype).removeprefix("torch."))
    settings, values = resolved(surrogate, parameters)
    for name, value in values.items():
        if isinstance(value, np.ndarray) and value.ndim == 0:
            # One number; Dynamo takes a NumPy scalar for it too.
            value = torch.as_tensor(value)
        if isinstance(value, torch.Tensor):
            values[name] = _checked_tensor(surrogate, name, value, v, dtype)
        elif not isinstance(value, float):
            values[name] = number_of(surrogate, name, value, "torch.Tensor")
    return settings, values


def _checked_tensor(surrogate: Surrogate, name: str, value: torch.Tensor, v: torch.Tensor, dtype: str) -> torch.Tensor:
    floating = value.is_floating_point()
    check_array(surrogate, name, str(value.dtype), "tensor", floating, value.shape, v.shape)
    if surrogate.bounded(name) and in_sight(value):
        exact = value.detach() if value.dtype is torch.float64 else value.detach().float()
        ends = [exact] if value.ndim == 0 else torch.aminmax(exact)
        check_values(surrogate, name, ends[0].item(), ends[-1].item(), str(exact.dtype).removeprefix("torch."))
    return value if floating else value.to(getattr(torch, dtype))


def in_sight(value: torch.Tensor) -> bool:
    """Whether the values can be looked at without waiting for a device, and without a compiler or a transform that looks on."""
    if torch.compiler.is_compiling():
        return False
    return value.device.type == "cpu" and value.numel() > 0 and jit_trace() is None and not transformed(value)
