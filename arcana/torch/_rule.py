"""The derivative rule of one call by plain torch operations, which every transform can follow, and the checks of a call."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import torch
from torch._C._functorch import is_functorch_wrapped_tensor, is_legacy_batchedtensor
from torch.autograd import forward_ad

from arcana.surrogate import Surrogate
from arcana.surrogate._base import evaluate_formula, resolved
from arcana.surrogate._checks import check_array, check_values, not_a_potential, number_of
from arcana.surrogate._namespace import FAR, compute_dtype
from arcana.surrogate._trace import Kept, Symbol, Trace, evaluate, shortcuts, trace
from arcana.torch._namespace import NAMESPACES, TorchNamespace


def computing_dtype(caller: str, v: torch.Tensor) -> torch.dtype:
    """The dtype in which a call on v is computed."""
    return getattr(torch, compute_dtype(caller, str(v.dtype).removeprefix("torch.")))


def kept_by(definition: type[Surrogate], settings: tuple[tuple[str, Any], ...], names: Sequence[str], keep_v: bool) -> Kept:
    """What a call keeps for backward. It depends on the call alone, since who looks at it may be another at backward.

    Args:
        definition: the surrogate's class.
        settings: the fields that shape its formula.
        names: its parameters.
        keep_v: whether one of the parameters is a tensor.
    """
    traced = None if keep_v else trace(definition, settings, tuple(names))
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
            # Beside v on any device; and whatever the default device is.
            return torch.scalar_tensor(self.definition.rounded(name, value, dtype), dtype=self.dtype, device="cpu")
        # torch.compile's symbolic float: the same rounding as tensor operations; only a product keeps it symbolic.
        low, high = self.definition._numbers[name].representable(dtype)
        one = torch.ones((), dtype=torch.float64, device=v.device)
        return (one * value).clamp(low, high).to(self.dtype)

    @property
    def kept(self) -> Kept:
        """What the call kept for backward."""
        return kept_by(self.definition, tuple(self.settings.items()), tuple(self.numbers), self.has_tensors)

    def mask(self) -> torch.Tensor:
        """The comparison that is kept where h takes two values."""
        traced, values = self._traced()
        assert traced.gate is not None
        values[traced.v] = self.v
        evaluate([traced.gate], values, NAMESPACES[self.dtype], self._zero())
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
        evaluate([traced.h], values, NAMESPACES[self.dtype], self._zero())
        return values[traced.h]

    def _traced(self) -> tuple[Trace, dict[Symbol, Any]]:
        """The definition's trace, and the values of its parameters."""
        traced = trace(self.definition, tuple(self.settings.items()), tuple(self.numbers))
        assert traced is not None
        return traced, {symbol: self.numbers[name] for name, symbol in traced.parameters.items()}

    def _zero(self) -> torch.Tensor:
        return torch.zeros((), dtype=self.dtype, device=self.v.device)

    def derivative(self) -> torch.Tensor:
        """h of v, whose own derivative at ±inf is 0."""
        v = self.v
        if not (torch.is_grad_enabled() or transformed(v)):
            return self._evaluate("derivative", v, self.numbers)
        # By the chain rule a formula in v² has inf · 0 there: forward mode drops it after h, reverse mode before v.
        infinite = _is_infinite(v)
        h = self._evaluate("derivative", torch.where(infinite, v.detach(), v), self.numbers)
        return torch.where(infinite, h.detach(), h)

    def _evaluate(self, which: str, v: torch.Tensor, numbers: Mapping[str, torch.Tensor]) -> torch.Tensor:
        short = which == "derivative" and self.shortcuts
        space = TorchNamespace(self.dtype, self.shortcuts) if short else NAMESPACES[self.dtype]
        y = evaluate_formula(self.definition, which, v, space, numbers, self.settings)
        return y if isinstance(y, torch.Tensor) else space.number(y)

    def sensitivities(self, names: list[str]) -> tuple[torch.Tensor, ...]:
        """dG/dparameter at every element of v, for each of the names; at ±inf that of ±FAR."""
        far = FAR[str(self.dtype).removeprefix("torch.")]
        finite = torch.where(_is_infinite(self.v), self.v.sign() * far, self.v)

        def primitive(*chosen: torch.Tensor) -> torch.Tensor:
            return self._evaluate("primitive", finite, {**self.numbers, **dict(zip(names, chosen, strict=True))})

        expanded = [self.numbers[name].expand(self.v.shape) for name in names]
        if any(transformed(x) for x in (self.v, *expanded)):
            with _no_hooks():
                return torch.func.vjp(primitive, *expanded)[1](torch.ones_like(self.v))
        return _slopes(primitive, expanded)

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
    """The derivatives of an elementwise function; with a history where autograd records."""
    recording = torch.is_grad_enabled()
    hooks = contextlib.nullcontext() if recording else _no_hooks()
    with torch.inference_mode(False), torch.enable_grad(), hooks:
        leaves = [x if recording and x.requires_grad else x.detach().requires_grad_() for x in arguments]
        result = function(*leaves)
        if not result.requires_grad:
            return tuple(torch.zeros_like(x) for x in leaves)
        ones = torch.ones_like(result)
        return torch.autograd.grad(result, leaves, ones, create_graph=recording, materialize_grads=True)


@contextlib.contextmanager
def _no_hooks() -> Generator[None]:
    """Set the caller's saved-tensor hooks aside: what is saved inside is read at once and never again, and torch.func refuses."""
    autograd: Any = torch._C._autograd  # pyright: ignore[reportAttributeAccessIssue]
    hooks = []
    while (top := autograd._top_saved_tensors_default_hooks(True)) is not None:
        hooks.append(top)
        autograd._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pack, unpack in reversed(hooks):
            autograd._push_saved_tensors_default_hooks(pack, unpack)


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
        or torch._C._get_tracing_state() is not None
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
