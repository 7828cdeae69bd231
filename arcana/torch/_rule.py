"""The derivative rule of one call by plain torch operations, which every transform can follow, and the checks of a call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch._C._functorch import is_functorch_wrapped_tensor, is_legacy_batchedtensor
from torch.autograd import forward_ad

from arcana.surrogate import Surrogate
from arcana.surrogate._base import evaluate_formula, resolved
from arcana.surrogate._checks import check_array, check_values, not_a_potential, number_of
from arcana.surrogate._namespace import FAR, compute_dtype
from arcana.surrogate._trace import Kept, shortcuts, trace
from arcana.torch._namespace import NAMESPACE, TorchNamespace


class Rule:
    """The derivative rule of one call: the definition with its parameters as tensors of the computing dtype.

    A number becomes a 0-d tensor before the formula sees it, so a number, a 0-d tensor and JAX give the same bits, save where a
    number goes a shorter way (`SHORTCUTS`).
    """

    def __init__(self, definition: type[Surrogate], settings: Mapping[str, Any], v: torch.Tensor, values: Mapping[str, Any]):
        self.definition = definition
        self.settings = settings
        self.dtype = getattr(torch, compute_dtype(definition.__name__, str(v.dtype).removeprefix("torch.")))
        self.v = v.to(self.dtype)
        self.numbers = {name: self._tensor(name, value, v) for name, value in values.items()}
        self.has_tensors = any(isinstance(value, torch.Tensor) for value in values.values())
        self.shortcuts = self._shortcuts(values)

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
            return torch.scalar_tensor(self.definition.rounded(name, value, dtype), dtype=self.dtype)
        # torch.compile's symbolic float: the same rounding as tensor operations; only a product keeps it symbolic.
        low, high = self.definition._numbers[name].representable(dtype)
        one = torch.ones((), dtype=torch.float64, device=v.device)
        return (one * value).clamp(low, high).to(self.dtype)

    def derivative(self) -> torch.Tensor:
        """h of v, whose own derivative at ±inf is 0."""
        v = self.v
        composed = torch.is_grad_enabled() or transformed(v)
        if not composed or self._constant_in_pieces():
            return self._evaluate("derivative", v, self.numbers)
        # By the chain rule a formula in v² has inf · 0 there: forward mode drops it after h, reverse mode before v.
        infinite = _is_infinite(v)
        h = self._evaluate("derivative", torch.where(infinite, v.detach(), v), self.numbers)
        return torch.where(infinite, h.detach(), h)

    def _constant_in_pieces(self) -> bool:
        """Whether h has no derivative; then a compiler need not keep where v is infinite beside the comparison that h follows."""
        traced = trace(self.definition, tuple(self.settings.items()), tuple(self.numbers))
        return not self.has_tensors and traced is not None and traced.kept is not Kept.POTENTIAL

    def _evaluate(self, which: str, v: torch.Tensor, numbers: Mapping[str, torch.Tensor]) -> torch.Tensor:
        space = TorchNamespace(self.shortcuts) if which == "derivative" and self.shortcuts else NAMESPACE
        return evaluate_formula(self.definition, which, v, space, numbers, self.settings)

    def sensitivities(self, names: list[str]) -> tuple[torch.Tensor, ...]:
        """dG/dparameter at every element of v, for each of the names; at ±inf that of ±FAR."""
        far = FAR[str(self.dtype).removeprefix("torch.")]
        finite = torch.where(_is_infinite(self.v), self.v.sign() * far, self.v)

        def primitive(*chosen: torch.Tensor) -> torch.Tensor:
            return self._evaluate("primitive", finite, {**self.numbers, **dict(zip(names, chosen, strict=True))})

        expanded = [self.numbers[name].expand(self.v.shape) for name in names]
        pullback = torch.func.vjp(primitive, *expanded)[1]
        return pullback(torch.ones_like(self.v))

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


def _is_infinite(v: torch.Tensor) -> torch.Tensor:
    # inductor's C++ asks torch.isinf of one element after the other.
    return v.abs() == math.inf


def transformed(v: torch.Tensor) -> bool:
    """Whether something other than plain eager autograd will look at this call."""
    return (
        type(v) not in (torch.Tensor, torch.nn.Parameter)
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack() > 0
        or is_functorch_wrapped_tensor(v)  # left over from a transform that has ended
        or is_legacy_batchedtensor(v)  # torch.autograd.grad(is_grads_batched=True)
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
    return value.device.type == "cpu" and value.numel() > 0 and torch._C._get_tracing_state() is None and not transformed(value)
