"""The autograd rule of a spike, `spike` and `evaluate`. Written once; knows no formula.

There are two Functions, because Dynamo refuses a Function that defines `jvp` and drops the rule of one that does not:

- `SpikeFunction`, one subclass a definition: the quick one, for plain eager tensors and reverse mode. What it keeps and how
  its backward runs is in `Call`.
- `Composable`: every functorch transform, forward mode, tensor subclasses and torch.compile, which keeps it in the graph.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.fx
from torch.autograd import forward_ad

from arcana._core import (
    AT_ZERO,
    AnySurrogate,
    DefinitionMeta,
    Formula,
    GeneratedClass,
    Kept,
    Surrogate,
    Thresholds,
    check_which,
    checked_call,
    checked_potential,
    class_of,
    per_class_cache,
    surrogate_of,
)
from arcana.torch._call import Call, Known, call_of
from arcana.torch._checks import TENSORS, distributed
from arcana.torch._compat import forward_mode_enabled, quick_apply, transformed
from arcana.torch._derivative import Derivative, batched

if typing.TYPE_CHECKING:
    from arcana.rules import Rule


def _split(values: Sequence[Any]) -> tuple[list[torch.Tensor], list[Any]]:
    """Return the tensors, to be saved by autograd, and the values with None in their places."""
    return [x for x in values if isinstance(x, torch.Tensor)], [None if isinstance(x, torch.Tensor) else x for x in values]


def _joined(tensors: Iterable[torch.Tensor], rest: list[Any]) -> list[Any]:
    remaining = iter(tensors)
    return [next(remaining) if x is None else x for x in rest]


def _saved(
    ctx: Any, saved: Sequence[torch.Tensor], like: torch.Tensor | None
) -> tuple[Sequence[torch.Tensor], list[Any], Derivative]:
    """Return what was kept of the potential, the parameters, and the derivative. `like` is of v's dtype and shape."""
    kept, values = saved[: ctx.count], _joined(saved[ctx.count :], ctx.rest)
    v = kept[0] if ctx.kept is Kept.POTENTIAL else like
    assert v is not None
    return kept, values, Derivative(ctx.formula, v, dict(zip(ctx.names, values, strict=True)))


class Composable(torch.autograd.Function):
    """The one Function for every definition under every transform; the definition travels as its key.

    It gives the spikes, and the comparison where that is what is kept: the same as `Call` keeps, since the forward pass that is
    done again for a checkpoint may be the other one's.
    """

    @staticmethod
    def forward(
        v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], *values: Any
    ) -> tuple[torch.Tensor, ...]:
        formula, parameters = Formula(class_of(key), settings), dict(zip(names, values, strict=True))
        spikes = (v >= 0 if formula.fires_at_threshold else v > 0).to(v.dtype)
        if formula.kept(parameters) is not Kept.MASK:
            return (spikes,)
        return spikes, Derivative(formula, v, parameters).mask()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        v, key, settings, ctx.names, *values = inputs
        spikes, *mask = output
        # The class, and not its key: autograd then holds the class until backward.
        ctx.formula = Formula(class_of(key), settings)
        ctx.kept = ctx.formula.kept(dict(zip(ctx.names, values, strict=True)))
        kept = mask or {Kept.POTENTIAL: [v], Kept.SPIKES: [spikes], Kept.NOTHING: []}[ctx.kept]
        ctx.count, ctx.masks = len(kept), len(mask)
        tensors, ctx.rest = _split(values)
        ctx.mark_non_differentiable(*mask)
        ctx.save_for_backward(*kept, *tensors)
        ctx.save_for_forward(*kept, *tensors)

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: tuple[int | None, ...], v: torch.Tensor, *rest: Any
    ) -> tuple[tuple[torch.Tensor, ...], tuple[int, ...]]:
        """Make the same call on the batch: v's batch dimension first, each parameter's first and its others aligned to v's."""
        # Not generate_vmap_rule: under torch.compile its backward returned every gradient summed over the batch (2.13).
        constants, values = rest[:3], rest[3:]
        v, *aligned = batched(info.batch_size, (in_dims[0], *in_dims[4:]), v, *values)
        results = Composable.apply(v, *constants, *aligned)
        return results, (0,) * len(results)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor, *_: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kept, values, derivative = _saved(ctx, ctx.saved_tensors, cotangent)
        for_v = derivative.pull(kept, cotangent) if ctx.needs_input_grad[0] else None
        return for_v, None, None, None, *derivative.gradients(cotangent, ctx.names, values, ctx.needs_input_grad[4:], True)

    @staticmethod
    def jvp(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, v_dot: torch.Tensor | None, key: None, settings: None, names: None, *dots: Any
    ) -> tuple[torch.Tensor | None, ...]:
        # torch switches forward mode off in here, for outer levels too, and a jvp of a jvp would be zero: switch it on
        # again and drop only this level's tangents.
        with forward_mode_enabled(True):
            saved = [forward_ad.unpack_dual(x, level=0).primal for x in ctx.saved_tensors]
            kept, _, derivative = _saved(ctx, saved, v_dot)
            dtype = derivative.dtype
            total = torch.zeros_like(derivative.v) if v_dot is None else v_dot.to(dtype) * derivative.h(kept)
            moving = [i for i, dot in enumerate(dots) if dot is not None]
            if moving:
                for i, slope in zip(moving, derivative.sensitivities([ctx.names[i] for i in moving]), strict=True):
                    total = total + dots[i].to(dtype) * slope
            return total.to(derivative.given), *[None] * ctx.masks


class SpikeFunctionMeta(DefinitionMeta, type(torch.autograd.Function)):
    """The class of the generated Functions.

    Dynamo takes over `apply` of a plain Function class, and its transforms then drop the rule; a class with a
    metaclass of its own it traces as Python, into `GeneratedClass.apply`.
    """


class SpikeFunction(GeneratedClass[torch.Tensor], torch.autograd.Function, metaclass=SpikeFunctionMeta):
    """The base of the generated Functions; each subclass holds its `definition`.

    >>> import torch
    >>> from arcana.torch import FastSigmoid, SpikeFunction
    >>> issubclass(FastSigmoid, SpikeFunction)
    True
    >>> FastSigmoid.apply(torch.tensor([-0.04, 0.0, 0.04]), scale=25.0)
    tensor([0., 1., 1.])
    """

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, call: Call, known: Known | None, *tensors: torch.Tensor) -> torch.Tensor:
        ctx.call, ctx.known = call, known
        spikes, kept, ctx.kernels = call.forward(v)
        ctx.save_for_backward(*kept, *tensors)
        return spikes

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        call: Call = ctx.call
        saved = ctx.saved_tensors
        if torch.compiler.is_compiling():
            return _in_a_graph(call, saved, cotangent, ctx.needs_input_grad)
        if not call.names:
            return call.pull(saved, cotangent, ctx.kernels), None, None
        needed = ctx.needs_input_grad
        asked = (needed[0], *needed[3:])
        for_v, *gradients = call.pull_learnable(saved[0], saved[1:], cotangent, ctx.kernels, asked, ctx.known)
        return for_v, None, None, *gradients


def _in_a_graph(call: Call, saved: tuple[torch.Tensor, ...], cotangent: torch.Tensor, asked: tuple[bool, ...]) -> tuple[Any, ...]:
    """Do the backward of `SpikeFunction` as one call, which Dynamo keeps (compiled autograd)."""
    from arcana.torch._dynamo import pulled

    wanted = (asked[0], *asked[3:])
    arguments = call.formula.definition.key, call.formula.settings, tuple(call.numbers.items()), call.names
    gradients = pulled(cotangent, *arguments, wanted, *saved)
    found = [gradients[sum(wanted[:i])] if each else None for i, each in enumerate(wanted)]
    return found[0], None, None, *found[1:]


@per_class_cache
def function_of(definition: type[Surrogate]) -> type[SpikeFunction]:
    """Return the torch.autograd.Function of a definition, made once."""
    namespace = {
        "definition": definition,
        "spike": staticmethod(spike),
        "evaluate": staticmethod(evaluate),
        "__doc__": definition.__doc__,
        "__module__": "arcana.torch",
    }
    return SpikeFunctionMeta(definition.__name__, (SpikeFunction,), namespace)


def _recorder(call: Call) -> Callable[..., torch.Tensor]:
    """Return `apply` of the definition's Function, for autograd alone: `spike` has excluded the tensors of torch.func."""
    record = quick_apply(function_of(call.formula.definition))
    call.record = record
    return record


def spike(
    v: torch.Tensor,
    surrogate: AnySurrogate,
    *,
    rule: Rule | None = None,
    random: torch.Generator | torch.Tensor | None = None,
    **parameters: float | torch.Tensor,
) -> torch.Tensor:
    """Return the spikes of v, 1 where v >= 0 and else 0, with the surrogate's gradient.

    Args:
        v: potential minus threshold: any shape; float64, float32, float16 or bfloat16, which the spikes keep.
        surrogate: any `Surrogate` instance, a user's own included; a class or a function stands for its default parameters.
        rule: of `arcana.rules`, where spikes are something else than 0 and 1.
        random: what `Stochastic` draws from, a `torch.Generator` or a tensor of numbers from [0, 1) of v's shape (default: the
            default generator).
        parameters: parameters by keyword in place of the instance's, each a number or a tensor that broadcasts to v.

    Raises:
        TypeError: v is no floating-point torch.Tensor, the surrogate has no such parameter, or the rule is none.
        ValueError: a number is out of its bounds, a tensor does not broadcast to v, or the rule cannot be had with the surrogate.

    >>> import torch
    >>> from arcana.surrogate import FastSigmoid
    >>> from arcana.torch import spike
    >>> spike(torch.tensor([-0.04, 0.0, 0.04]), FastSigmoid(scale=25.0))
    tensor([0., 1., 1.])
    """
    if not isinstance(surrogate, Surrogate):
        surrogate = surrogate_of(surrogate, "spike", v)
    if rule is not None or random is not None:
        from arcana.torch import _rules

        return _rules.by_rule(v, surrogate, rule, random, parameters)
    return fired(v, surrogate, parameters)


def fired(v: torch.Tensor, surrogate: Surrogate, parameters: Mapping[str, Any], thresholds: Thresholds = AT_ZERO) -> torch.Tensor:
    """Return 1 where v >= 0 and else 0, with the sum of h at some thresholds for a gradient."""
    if torch.compiler.is_compiling():
        from arcana.torch._dynamo import composable

        return composable(*_inputs(v, surrogate, parameters, thresholds))
    if transformed(v):
        return _transformed(v, surrogate, parameters, thresholds)
    call, tensors, known = call_of(v, surrogate, parameters, thresholds)
    if call is None or (tensors and any(map(transformed, tensors))):
        return _transformed(v, surrogate, parameters, thresholds)
    if torch.is_grad_enabled() and (v.requires_grad or (tensors and any(x.requires_grad for x in tensors))):
        return (call.record or _recorder(call))(v, call, known, *tensors)
    return call.fire(v)


def _transformed(v: Any, surrogate: Surrogate, parameters: Mapping[str, Any], thresholds: Thresholds) -> Any:
    """Return the spikes where something other than plain eager autograd looks on."""
    proxies = [x for x in (v, *parameters.values()) if isinstance(x, torch.fx.Proxy)]
    if proxies:
        from arcana.torch._fx import call_node

        return call_node(proxies[0].tracer, spike, v, surrogate, parameters)
    inputs = _inputs(v, surrogate, parameters, thresholds)
    if any(map(distributed, (v, *parameters.values()))):
        return by_parts(lambda v, **values: fired(v, surrogate, values, thresholds), v, parameters)
    return Composable.apply(*inputs)[0]


def by_parts(function: Callable[..., torch.Tensor], v: torch.Tensor, parameters: Mapping[str, Any]) -> torch.Tensor:
    """Return a function of v and named parameters, DTensors among them, which each rank calls on its parts."""
    from arcana.torch import _dtensor

    names = tuple(parameters)
    return _dtensor.by_parts(lambda v, *values: function(v, **dict(zip(names, values, strict=True))), v, *parameters.values())


def _inputs(v: torch.Tensor, surrogate: Surrogate, parameters: Mapping[str, Any], thresholds: Thresholds) -> tuple[Any, ...]:
    """Return the inputs of `Composable`."""
    v = checked_potential(surrogate, v, TENSORS)
    formula, values = checked_call(surrogate, v, parameters, TENSORS, thresholds)
    return v, surrogate.key, formula.settings, tuple(values), *values.values()


def evaluate(surrogate: AnySurrogate, which: str, v: Any, **parameters: float | torch.Tensor) -> torch.Tensor:
    """Return h (`which` = "derivative") or G ("primitive") of v, in v's dtype.

    What PyTorch differentiates it to is not h everywhere: where G is written by |v| it is 0 at v = 0. A spike function with
    `rule=arcana.rules.Smooth()` is G with h for its derivative, to every order.

    >>> import torch
    >>> from arcana.torch import evaluate
    >>> from arcana.surrogate import FastSigmoid
    >>> evaluate(FastSigmoid(scale=25.0), "derivative", torch.tensor([-0.04, 0.0, 0.04]))
    tensor([0.2500, 1.0000, 0.2500])
    """
    check_which(which)
    surrogate = surrogate_of(surrogate, "evaluate", v)
    if isinstance(v, torch.fx.Proxy):
        node: Any = v.tracer.create_proxy("call_function", evaluate, (surrogate, which, v), parameters)
        return node
    v = checked_potential(surrogate, v, TENSORS)
    formula, values = checked_call(surrogate, v, parameters, TENSORS)
    if any(map(distributed, (v, *parameters.values()))):
        return by_parts(lambda v, **values: evaluate(surrogate, which, v, **values), v, parameters)
    y = Derivative(formula, v, values).evaluate(which).to(v.dtype)
    return y if y.shape == v.shape else y.expand(v.shape).clone()
