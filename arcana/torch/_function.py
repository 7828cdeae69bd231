"""From a definition to torch autograd Functions. Written once; knows no formula.

There are two, because Dynamo refuses a Function that defines `jvp` and drops the rule of one that does not:

- `SpikeFunction`, one subclass a definition: the quick one, for plain eager tensors and reverse mode.
- `Composable`: every functorch transform, forward mode, tensor subclasses and torch.compile, which keeps it in the graph.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.autograd import forward_ad

from arcana.surrogate import Surrogate
from arcana.surrogate._base import class_of, evaluate_formula, resolved
from arcana.surrogate._function import DefinitionMeta
from arcana.surrogate._namespace import FAR, compute_dtype
from arcana.torch._namespace import NAMESPACE


def fires(v: torch.Tensor, settings: Mapping[str, Any]) -> torch.Tensor:
    """The spikes of v in its dtype; NaN does not fire."""
    return NAMESPACE.spike(v) if settings["fires_at_threshold"] else (v > 0).to(v.dtype)


def _fires_in_one_pass(v: torch.Tensor, settings: Mapping[str, Any]) -> torch.Tensor:
    compare = torch.ge if settings["fires_at_threshold"] else torch.gt
    return compare(v, 0, out=torch.empty_like(v))


class Rule:
    """The derivative rule of one call: the definition with its parameters as tensors of the computing dtype.

    A number becomes a 0-d tensor before the formula sees it, so a number, a 0-d tensor and JAX give the same bits.
    """

    def __init__(self, definition: type[Surrogate], settings: Mapping[str, Any], v: torch.Tensor, values: Mapping[str, Any]):
        self.definition = definition
        self.settings = settings
        self.dtype = getattr(torch, compute_dtype(definition.__name__, str(v.dtype).removeprefix("torch.")))
        self.v = v.to(self.dtype)
        self.numbers = {name: self._tensor(name, value, v) for name, value in values.items()}

    def _tensor(self, name: str, value: Any, v: torch.Tensor) -> torch.Tensor:
        if isinstance(value, torch.Tensor):
            return value.to(self.dtype)
        dtype = str(self.dtype).removeprefix("torch.")
        if isinstance(value, float):
            return torch.scalar_tensor(self.definition.rounded(name, value, dtype), dtype=self.dtype)
        # torch.compile's symbolic float: the same rounding as tensor operations; only a product keeps it symbolic.
        low, high = self.definition._numbers[name].representable(dtype)
        one = torch.ones((), dtype=torch.float64, device=v.device)
        return (one * value).clamp(low, high).to(self.dtype)

    def derivative(self) -> torch.Tensor:
        """h of v, whose own derivative at ±inf is 0."""
        v = self.v
        if not torch.is_grad_enabled() and not _transformed(v):
            return self._evaluate("derivative", v, self.numbers)
        # By the chain rule a formula in v² has inf · 0 there: forward mode drops it after h, reverse mode before v.
        infinite = v.isinf()
        h = self._evaluate("derivative", torch.where(infinite, v.detach(), v), self.numbers)
        return torch.where(infinite, h.detach(), h)

    def _evaluate(self, which: str, v: torch.Tensor, numbers: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return evaluate_formula(self.definition, which, v, NAMESPACE, numbers, self.settings)

    def sensitivities(self, names: list[str]) -> tuple[torch.Tensor, ...]:
        """dG/dparameter at every element of v, for each of the names; at ±inf that of ±FAR."""
        far = FAR[str(self.dtype).removeprefix("torch.")]
        finite = torch.where(self.v.isinf(), self.v.sign() * far, self.v)

        def primitive(*chosen: torch.Tensor) -> torch.Tensor:
            return self._evaluate("primitive", finite, {**self.numbers, **dict(zip(names, chosen, strict=True))})

        expanded = [self.numbers[name].expand(self.v.shape) for name in names]
        pullback = torch.func.vjp(primitive, *expanded)[1]
        return pullback(torch.ones_like(self.v))


def _split(values: tuple[Any, ...]) -> tuple[list[torch.Tensor], list[Any]]:
    """The tensors, to be saved by autograd, and the values with None in their places."""
    return [x for x in values if isinstance(x, torch.Tensor)], [None if isinstance(x, torch.Tensor) else x for x in values]


def _joined(tensors: Iterable[torch.Tensor], rest: list[Any]) -> list[Any]:
    remaining = iter(tensors)
    return [next(remaining) if x is None else x for x in rest]


def _keep(
    ctx: Any, v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], values: tuple[Any, ...]
) -> None:
    tensors, ctx.rest = _split(values)
    ctx.save_for_backward(v, *tensors)
    ctx.key, ctx.settings, ctx.names = key, settings, names


def _rule(ctx: Any, saved: Iterable[torch.Tensor]) -> tuple[torch.Tensor, list[Any], Rule]:
    v, *tensors = saved
    values = _joined(tensors, ctx.rest)
    return v, values, Rule(class_of(ctx.key), dict(ctx.settings), v, dict(zip(ctx.names, values, strict=True)))


def _backward(ctx: Any, cotangent: torch.Tensor) -> tuple[Any, ...]:
    """cotangent · h for v and cotangent · dG/dparameter, summed to its shape, for every parameter that asks for one."""
    v, values, rule = _rule(ctx, ctx.saved_tensors)
    cotangent = cotangent.to(rule.dtype)
    for_v = (cotangent * rule.derivative()).to(v.dtype) if ctx.needs_input_grad[0] else None
    asking = [i for i in range(len(values)) if ctx.needs_input_grad[4 + i]]
    gradients: list[Any] = [None] * len(values)
    if asking:
        for i, slope in zip(asking, rule.sensitivities([ctx.names[i] for i in asking]), strict=True):
            gradients[i] = (cotangent * slope).sum_to_size(values[i].shape).to(values[i].dtype)
    return for_v, None, None, None, *gradients


def _batched(x: torch.Tensor, dim: int, ndim: int) -> torch.Tensor:
    x = x.movedim(dim, 0)
    return x.reshape(x.shape[0], *[1] * (ndim - x.ndim + 1), *x.shape[1:])


class Composable(torch.autograd.Function):
    """One Function for every definition under every transform; the definition travels as its key."""

    @staticmethod
    def forward(v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], *values: Any) -> torch.Tensor:
        return fires(v, dict(settings))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        v, key, settings, names, *values = inputs
        _keep(ctx, v, key, settings, names, tuple(values))
        ctx.save_for_forward(*ctx.to_save)

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: tuple[int | None, ...], v: torch.Tensor, *rest: Any
    ) -> tuple[torch.Tensor, int]:
        """The same call on the batch: v's batch dimension first, each parameter's first and its others aligned to v's."""
        # Not generate_vmap_rule: under torch.compile its backward returned every gradient summed over the batch (2.13).
        ndim = v.ndim - (in_dims[0] is not None)
        v = v.movedim(in_dims[0], 0) if in_dims[0] is not None else v.expand(info.batch_size, *v.shape)
        constants, values = rest[:3], rest[3:]
        aligned = [x if dim is None else _batched(x, dim, ndim) for x, dim in zip(values, in_dims[4:], strict=True)]
        return Composable.apply(v, *constants, *aligned), 0

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _backward(ctx, cotangent)

    @staticmethod
    def jvp(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, v_dot: torch.Tensor | None, key: None, settings: None, names: None, *dots: Any
    ) -> torch.Tensor:
        # torch switches forward mode off in here, for outer levels too, and a jvp of a jvp would be zero: switch it on
        # again and drop only this level's tangents.
        with forward_ad._set_fwd_grad_enabled(True):
            v, _, rule = _rule(ctx, (forward_ad.unpack_dual(x, level=0).primal for x in ctx.saved_tensors))
            total = torch.zeros_like(rule.v) if v_dot is None else v_dot.to(rule.dtype) * rule.derivative()
            moving = [i for i, dot in enumerate(dots) if dot is not None]
            if moving:
                for i, slope in zip(moving, rule.sensitivities([ctx.names[i] for i in moving]), strict=True):
                    total = total + dots[i].to(rule.dtype) * slope
            return total.to(v.dtype)


class SpikeFunctionMeta(DefinitionMeta, type(torch.autograd.Function)):
    """The class of the generated Functions.

    Dynamo takes over `apply` of a plain Function class, and its transforms then drop the rule; a class with a
    metaclass of its own it traces as Python, into `SpikeFunction.apply`.
    """


class SpikeFunction(torch.autograd.Function, metaclass=SpikeFunctionMeta):
    """The base of the generated Functions; each subclass holds its `definition`."""

    definition: type[Surrogate]

    @classmethod
    def apply(cls, v: torch.Tensor, **parameters: Any) -> torch.Tensor:
        """The spikes of v, with the definition's default parameters unless others are given by keyword."""
        return spike(v, cls.definition(), **parameters)

    @classmethod
    def pseudo_derivative(cls, v: torch.Tensor, **parameters: Any) -> torch.Tensor:
        """h(v), with the definition's default parameters unless others are given by keyword."""
        return evaluate(cls.definition(), "derivative", v, **parameters)

    @staticmethod
    def forward(
        ctx: Any, v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], *values: Any
    ) -> torch.Tensor:
        _keep(ctx, v, key, settings, names, values)
        return _fires_in_one_pass(v, dict(settings))

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _backward(ctx, cotangent)


@functools.cache
def function_of(definition: type[Surrogate]) -> type[SpikeFunction]:
    """The torch.autograd.Function of a definition, made once."""
    namespace = {"definition": definition, "__doc__": definition.__doc__, "__module__": "arcana.torch"}
    return SpikeFunctionMeta(definition.__name__, (SpikeFunction,), namespace)


def spike(v: torch.Tensor, surrogate: Surrogate, **parameters: float | torch.Tensor) -> torch.Tensor:
    """The spikes of v, 1 where v >= 0 and else 0, with the surrogate's gradient.

    Args:
        v: potential minus threshold: any shape; float64, float32, float16 or bfloat16, which the spikes keep.
        surrogate: any `Surrogate` instance, a user's own included.
        parameters: parameters by keyword in place of the instance's, each a number or a tensor that broadcasts to v.

    Raises:
        TypeError: v is no floating-point torch.Tensor, or the surrogate has no such parameter.
        ValueError: a number is out of its bounds, or a tensor does not broadcast to v.
    """
    settings, values = _checked(v, surrogate, parameters)
    inputs = (v, surrogate.key, tuple(settings.items()), tuple(values), *values.values())
    if torch.compiler.is_compiling():
        from arcana.torch._graph import composable

        return composable(*inputs)
    if _transformed(v):
        return Composable.apply(*inputs)
    if torch.is_grad_enabled() and any(isinstance(x, torch.Tensor) and x.requires_grad for x in inputs):
        return super(SpikeFunction, function_of(type(surrogate))).apply(*inputs)
    return _fires_in_one_pass(v, settings)


def evaluate(surrogate: Surrogate, which: str, v: torch.Tensor, **parameters: float | torch.Tensor) -> torch.Tensor:
    """h (`which` = "derivative") or G ("primitive") of v, in v's dtype."""
    settings, values = _checked(v, surrogate, parameters)
    rule = Rule(type(surrogate), settings, v, values)
    return rule._evaluate(which, rule.v, rule.numbers).to(v.dtype)


def _transformed(v: torch.Tensor) -> bool:
    """Whether something other than plain eager autograd will look at this call."""
    return (
        type(v) not in (torch.Tensor, torch.nn.Parameter)
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _checked(v: Any, surrogate: Surrogate, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    definition = type(surrogate)
    if not isinstance(v, torch.Tensor):
        msg = f"{definition.__name__}: v must be a torch.Tensor, got {type(v).__module__}.{type(v).__qualname__}"
        raise TypeError(msg)
    compute_dtype(definition.__name__, str(v.dtype).removeprefix("torch."))
    settings, values = resolved(surrogate, parameters)
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            _check_array(definition.__name__, name, value, v)
        elif not isinstance(value, float):
            msg = f"{definition.__name__}: {name} must be a number or a torch.Tensor, got {value!r} ({type(value).__name__})"
            raise TypeError(msg)
    return settings, values


def _check_array(surrogate: str, name: str, value: torch.Tensor, v: torch.Tensor) -> None:
    if not value.is_floating_point():
        msg = f"{surrogate}: {name} must be a floating-point tensor, got {value.dtype}"
        raise TypeError(msg)
    sizes = zip(reversed(value.shape), reversed(v.shape), strict=False)
    if value.ndim > v.ndim or any(size not in (1, full) for size, full in sizes):
        msg = f"{surrogate}: {name} must broadcast to v's shape {tuple(v.shape)}, got shape {tuple(value.shape)}"
        raise ValueError(msg)
