"""h and dG/dparameter of one call by plain torch operations, which every transform can follow."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad

from arcana._core import FAR, Expression, Formula, Kept, Symbol, compute, compute_dtype, slope_product
from arcana.torch._checks import name_of
from arcana.torch._compat import (
    forward_mode_enabled,
    in_forward_mode,
    transformed,
    transforms_active,
    vjp_without_hooks,
    without_saved_tensor_hooks,
)
from arcana.torch._namespace import NAMESPACES, TorchNamespace


class Derivative:
    """The derivatives of one call: a formula with its parameters as tensors of the computing dtype.

    A number becomes a 0-d tensor before the formula sees it, so a number, a 0-d tensor and JAX give the same bits, save where a
    number goes a shorter way (`SHORTCUTS`).

    Args:
        formula: of the call.
        v: the potential, or where that is not kept any tensor of its dtype and shape.
        parameters: numbers and tensors by name.
    """

    def __init__(self, formula: Formula, v: torch.Tensor, parameters: Mapping[str, Any]) -> None:
        self.formula = formula
        self.given = v.dtype
        named = compute_dtype(formula.definition.__name__, name_of(v.dtype))
        self.dtype: torch.dtype = getattr(torch, named)
        self.v = v.to(self.dtype)
        self.parameters = {name: self._tensor(name, value, v.device, named) for name, value in parameters.items()}
        self.kept = formula.kept(parameters)
        # On a GPU a short way saves nothing, and kernels take none.
        self.shortcuts = {} if v.is_cuda else formula.shortcuts(parameters, named)

    def _tensor(self, name: str, value: Any, device: torch.device, dtype: str) -> torch.Tensor:
        definition = self.formula.definition
        if isinstance(value, torch.Tensor):
            # Values that nobody could check: beyond a bound the formula is another function, so the nearest inside stands for it.
            value = value.to(self.dtype)
            return value.clamp(*definition.domain(name, dtype)) if definition.bounded(name) else value
        if isinstance(value, float):
            # Beside v on any device; and whatever the default device is.
            return torch.scalar_tensor(definition.rounded(name, value, dtype), dtype=self.dtype, device="cpu")
        # torch.compile's symbolic float: the same rounding as tensor operations; only a product keeps it symbolic.
        low, high = definition.representable(name, dtype)
        one = torch.ones((), dtype=torch.float64, device=device)
        return (one * value).clamp(low, high).to(self.dtype)

    def mask(self) -> torch.Tensor:
        """Return the comparison that is kept where h takes two values."""
        expression, values = self._expression()
        return self._computed(expression.mask, values | {expression.v: self.v})

    def pull(self, kept: Sequence[torch.Tensor], cotangent: torch.Tensor) -> torch.Tensor:
        """Return cotangent · h, in the cotangent's dtype, from what the call kept."""
        return (cotangent.to(self.dtype) * self.h(kept)).to(cotangent.dtype)

    def h(self, kept: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return h from what the call kept; from a comparison, the spikes or nothing it has no derivative with respect to v."""
        if self.kept is Kept.POTENTIAL:
            return self.derivative()
        expression, values = self._expression()
        if not kept:
            return self._computed(expression.h, values)
        assert expression.mask is not None
        if kept[0].dtype is torch.int8:
            # Not by a comparison, which a compiler would keep in the place of the integers.
            sides = [torch.tensor(side, device=kept[0].device) for side in (True, False)]
            true, false = (self._computed(expression.h, values | {expression.mask: side}) for side in sides)
            share = kept[0].to(self.dtype)
            return share * true + (1 - share) * false
        # The spikes have a history; the comparison has none, so that h has none either.
        values[expression.mask] = kept[0] if kept[0].dtype is torch.bool else kept[0] != 0
        return self._computed(expression.h, values)

    def _expression(self) -> tuple[Expression, dict[Symbol, Any]]:
        """Return h as data, and the values of its parameters."""
        expression = self.formula.expression(self.parameters)
        assert expression is not None
        return expression, {symbol: self.parameters[name] for name, symbol in expression.parameters.items()}

    def _computed(self, result: Symbol | None, values: dict[Symbol, Any]) -> torch.Tensor:
        assert result is not None
        compute([result], values, self._space(short=True), torch.zeros((), dtype=self.dtype, device=self.v.device))
        return values[result]

    def derivative(self) -> torch.Tensor:
        """Return h of v, whose own derivative is 0 where h has come to its limit 0."""
        v = self.v
        if torch.is_grad_enabled() or transforms_active() or in_forward_mode():
            names = tuple(self.parameters)

            def function(v: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
                return self.evaluate("derivative", v, dict(zip(names, parameters, strict=True)))

            return Settled.apply(function, v, *self.parameters.values())
        if not transformed(v):
            return self.evaluate("derivative")
        # A graph that is traced here may be differentiated elsewhere.
        infinite = _is_infinite(v)
        h = self.evaluate("derivative", torch.where(infinite, v.detach(), v))
        return torch.where(infinite, h.detach(), h)

    def evaluate(
        self, which: str, v: torch.Tensor | None = None, parameters: Mapping[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return h or G in the computing dtype, of other potentials and parameters than the call's where they are given."""
        space = self._space(which == "derivative")
        v, parameters = self.v if v is None else v, self.parameters if parameters is None else parameters
        y = self.formula.evaluate(which, v, space, parameters)
        return y if isinstance(y, torch.Tensor) else space.number(y)

    def _space(self, short: bool) -> TorchNamespace:
        return TorchNamespace(self.dtype, self.shortcuts) if short and self.shortcuts else NAMESPACES[self.dtype]

    def sensitivities(self, names: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """Return dG/dparameter at every element of v, for each of the names; at ±inf that of ±FAR."""
        finite = torch.where(_is_infinite(self.v), self.v.sign() * FAR[name_of(self.dtype)], self.v)

        def primitive(*chosen: torch.Tensor) -> torch.Tensor:
            return self.evaluate("primitive", finite, {**self.parameters, **dict(zip(names, chosen, strict=True))})

        return _slopes(primitive, [self.parameters[name].expand(self.v.shape) for name in names])

    def gradients(
        self,
        cotangent: torch.Tensor,
        names: Sequence[str],
        tensors: Sequence[torch.Tensor],
        asked: Sequence[bool],
        traced: bool = False,
    ) -> list[torch.Tensor | None]:
        """Return cotangent · dG/dparameter, summed to its shape, for each of the parameters that asks for it.

        Args:
            cotangent: of the spikes.
            names: of the parameters that are tensors.
            tensors: the same.
            asked: whether each of them asks.
            traced: whether the trace of dG/dparameter will do, which takes fewer operations, where nobody differentiates again.
        """
        asking = [name for name, wanted in zip(names, asked, strict=True) if wanted]
        cotangent, found = cotangent.to(self.dtype), {}
        if asking and traced and not (torch.is_grad_enabled() or transforms_active() or in_forward_mode()):
            h = self.derivative()
            given = name_of(self.dtype), self.parameters, self._space(short=False), self.v, h, cotangent, lambda: cotangent * h
            found = {name: slope_product(self.formula, name, *given) for name in asking}
        own = [name for name in asking if found.get(name) is None]
        found |= {name: cotangent * slope for name, slope in zip(own, self.sensitivities(own) if own else (), strict=True)}
        return [
            found[name].sum_to_size(tensor.shape).to(tensor.dtype) if name in found else None
            for name, tensor in zip(names, tensors, strict=True)
        ]


def _slopes(function: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return the derivatives of an elementwise function of tensors of one shape; with a history where somebody records."""
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
    """Evaluates an elementwise function of v and parameters, with derivatives that are 0 where it has come to its limit 0.

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
    """Return the derivatives with respect to some of the tensors, the first of which is v, at every element of v."""
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
    """Return v with the batch dimension first, and parameters with theirs first and their others aligned to v's."""
    ndim = v.ndim - (in_dims[0] is not None)
    v = v.expand(size, *v.shape) if in_dims[0] is None else v.movedim(in_dims[0], 0)
    return [v, *(x if dim is None else _aligned(x, dim, ndim) for x, dim in zip(parameters, in_dims[1:], strict=True))]


def _aligned(x: torch.Tensor, dim: int, ndim: int) -> torch.Tensor:
    x = x.movedim(dim, 0)
    return x.reshape(x.shape[0], *[1] * (ndim - x.ndim + 1), *x.shape[1:])


def _is_infinite(v: torch.Tensor) -> torch.Tensor:
    # inductor's C++ asks torch.isinf of one element after the other.
    return v.abs() == math.inf
