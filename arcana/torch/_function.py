"""From a definition to torch autograd Functions. Written once; knows no formula.

There are two, because Dynamo refuses a Function that defines `jvp` and drops the rule of one that does not:

- `SpikeFunction`, one subclass a definition: the quick one, for plain eager tensors and reverse mode. What it keeps and how
  its backward runs is in `Call`.
- `Composable`: every functorch transform, forward mode, tensor subclasses and torch.compile, which keeps it in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.fx
from torch.autograd import forward_ad

from arcana.surrogate import Surrogate
from arcana.surrogate._base import class_of
from arcana.surrogate._caches import per_class_cache
from arcana.surrogate._checks import AnySurrogate, check_which, surrogate_of
from arcana.surrogate._function import DefinitionMeta
from arcana.surrogate._trace import Kept
from arcana.torch._compat import forward_mode_enabled, quick_apply
from arcana.torch._eager import Call, call_of
from arcana.torch._rule import Rule, batched, checked, kept_by, transformed


def _fires(v: torch.Tensor, settings: Mapping[str, Any]) -> torch.Tensor:
    return (v >= 0 if settings["fires_at_threshold"] else v > 0).to(v.dtype)


def _split(values: tuple[Any, ...]) -> tuple[list[torch.Tensor], list[Any]]:
    """The tensors, to be saved by autograd, and the values with None in their places."""
    return [x for x in values if isinstance(x, torch.Tensor)], [None if isinstance(x, torch.Tensor) else x for x in values]


def _joined(tensors: Iterable[torch.Tensor], rest: list[Any]) -> list[Any]:
    remaining = iter(tensors)
    return [next(remaining) if x is None else x for x in rest]


def _rule(ctx: Any, saved: Sequence[torch.Tensor], like: torch.Tensor | None) -> tuple[Sequence[torch.Tensor], list[Any], Rule]:
    """What was kept of the potential, the parameters, and the rule. `like` is of v's dtype and shape."""
    kept, values = saved[: ctx.count], _joined(saved[ctx.count :], ctx.rest)
    v = kept[0] if ctx.kept is Kept.POTENTIAL else like
    assert v is not None
    return kept, values, Rule(ctx.definition, dict(ctx.settings), v, dict(zip(ctx.names, values, strict=True)))


class Composable(torch.autograd.Function):
    """One Function for every definition under every transform; the definition travels as its key.

    It gives the spikes, and the comparison where that is what is kept: the same as `Call` keeps, since the forward pass that is
    done again for a checkpoint may be the other one's.
    """

    @staticmethod
    def forward(
        v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], *values: Any
    ) -> tuple[torch.Tensor, ...]:
        definition, spikes = class_of(key), _fires(v, dict(settings))
        named = dict(zip(names, values, strict=True))
        if kept_by(definition, settings, named) is not Kept.MASK:
            return (spikes,)
        return spikes, Rule(definition, dict(settings), v, named).mask()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        v, key, ctx.settings, ctx.names, *values = inputs
        spikes, *mask = output
        # The class, and not its key: autograd then holds the class until backward.
        ctx.definition = class_of(key)
        ctx.kept = kept_by(ctx.definition, ctx.settings, dict(zip(ctx.names, values, strict=True)))
        kept = {Kept.POTENTIAL: [v], Kept.MASK: mask, Kept.SPIKES: [spikes], Kept.NOTHING: []}[ctx.kept]
        ctx.count = len(kept)
        tensors, ctx.rest = _split(tuple(values))
        ctx.mark_non_differentiable(*mask)
        ctx.save_for_backward(*kept, *tensors)
        ctx.save_for_forward(*kept, *tensors)

    @staticmethod
    def vmap(  # pyright: ignore[reportIncompatibleMethodOverride]
        info: Any, in_dims: tuple[int | None, ...], v: torch.Tensor, *rest: Any
    ) -> tuple[tuple[torch.Tensor, ...], tuple[int, ...]]:
        """The same call on the batch: v's batch dimension first, each parameter's first and its others aligned to v's."""
        # Not generate_vmap_rule: under torch.compile its backward returned every gradient summed over the batch (2.13).
        constants, values = rest[:3], rest[3:]
        v, *aligned = batched(info.batch_size, (in_dims[0], *in_dims[4:]), v, *values)
        results = Composable.apply(v, *constants, *aligned)
        return results, (0,) * len(results)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor, *_: Any) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kept, values, rule = _rule(ctx, ctx.saved_tensors, cotangent)
        for_v = rule.pull(kept, cotangent) if ctx.needs_input_grad[0] else None
        return for_v, None, None, None, *rule.gradients(cotangent, ctx.names, values, ctx.needs_input_grad[4:])

    @staticmethod
    def jvp(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, v_dot: torch.Tensor | None, key: None, settings: None, names: None, *dots: Any
    ) -> tuple[torch.Tensor | None, ...]:
        # torch switches forward mode off in here, for outer levels too, and a jvp of a jvp would be zero: switch it on
        # again and drop only this level's tangents.
        with forward_mode_enabled(True):
            kept, _, rule = _rule(ctx, [forward_ad.unpack_dual(x, level=0).primal for x in ctx.saved_tensors], v_dot)
            total = torch.zeros_like(rule.v) if v_dot is None else v_dot.to(rule.dtype) * rule.h(kept)
            moving = [i for i, dot in enumerate(dots) if dot is not None]
            if moving:
                for i, slope in zip(moving, rule.sensitivities([ctx.names[i] for i in moving]), strict=True):
                    total = total + dots[i].to(rule.dtype) * slope
            nothing = (None,) if ctx.kept is Kept.MASK else ()
            return total.to(rule.given), *nothing


class SpikeFunctionMeta(DefinitionMeta, type(torch.autograd.Function)):
    """The class of the generated Functions.

    Dynamo takes over `apply` of a plain Function class, and its transforms then drop the rule; a class with a
    metaclass of its own it traces as Python, into `SpikeFunction.apply`.
    """


class SpikeFunction(torch.autograd.Function, metaclass=SpikeFunctionMeta):
    """The base of the generated Functions; each subclass holds its `definition`."""

    definition: type[Surrogate]

    @classmethod
    def apply(cls, v: torch.Tensor, *positional: Any, **parameters: Any) -> torch.Tensor:
        """The spikes of v, with the definition's default parameters unless others are given by keyword."""
        if positional:
            caller = f"{cls.__name__}.apply"
            raise cls.definition.one_positional(caller, positional, parameters)
        return spike(v, cls.definition(), **parameters)

    @classmethod
    def pseudo_derivative(cls, v: torch.Tensor, *positional: Any, **parameters: Any) -> torch.Tensor:
        """h(v), with the definition's default parameters unless others are given by keyword."""
        if positional:
            caller = f"{cls.__name__}.pseudo_derivative"
            raise cls.definition.one_positional(caller, positional, parameters)
        return evaluate(cls.definition(), "derivative", v, **parameters)

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, call: Call, *tensors: torch.Tensor) -> torch.Tensor:
        ctx.call = call
        ctx.kernels = call.kernels_for(v)
        spikes, kept = call.fires_and_keeps(v, ctx.kernels)
        ctx.save_for_backward(*kept, *tensors)
        return spikes

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        call: Call = ctx.call
        saved = ctx.saved_tensors
        if torch.compiler.is_compiling():
            return _in_a_graph(call, saved, cotangent, ctx.needs_input_grad)
        if not call.names:
            return call.pull(saved, (), cotangent, ctx.kernels), None
        kept, tensors = saved[:1], saved[1:]
        # What is made in inference mode cannot be differentiated, and the gradient of a parameter is the derivative of G.
        recording = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.set_grad_enabled(recording):
            for_v = call.pull(kept, tensors, cotangent, ctx.kernels) if ctx.needs_input_grad[0] else None
            rule = call.rule(kept[0], tensors)
            return for_v, None, *rule.gradients(cotangent, call.names, tensors, ctx.needs_input_grad[2:])


@per_class_cache
def function_of(definition: type[Surrogate]) -> type[SpikeFunction]:
    """The torch.autograd.Function of a definition, made once."""
    namespace = {"definition": definition, "__doc__": definition.__doc__, "__module__": "arcana.torch"}
    return SpikeFunctionMeta(definition.__name__, (SpikeFunction,), namespace)


def _recorder(call: Call) -> Callable[..., torch.Tensor]:
    """`apply` of the definition's Function, for autograd alone."""
    # `transformed` has excluded the tensors of torch.func.
    record = quick_apply(function_of(call.definition))
    call.record = record
    return record


def spike(v: torch.Tensor, surrogate: AnySurrogate, **parameters: float | torch.Tensor) -> torch.Tensor:
    """The spikes of v, 1 where v >= 0 and else 0, with the surrogate's gradient.

    Args:
        v: potential minus threshold: any shape; float64, float32, float16 or bfloat16, which the spikes keep.
        surrogate: any `Surrogate` instance, a user's own included; a class or a function stands for its default parameters.
        parameters: parameters by keyword in place of the instance's, each a number or a tensor that broadcasts to v.

    Raises:
        TypeError: v is no floating-point torch.Tensor, or the surrogate has no such parameter.
        ValueError: a number is out of its bounds, or a tensor does not broadcast to v.
    """
    if not isinstance(surrogate, Surrogate):
        surrogate = surrogate_of(surrogate, "spike", v)
    if torch.compiler.is_compiling():
        from arcana.torch._graph import composable

        return composable(*_inputs(v, surrogate, parameters))
    if transformed(v):
        return _transformed(v, surrogate, parameters)
    call, tensors = call_of(v, surrogate, parameters)
    if call is None or (tensors and any(map(transformed, tensors))):
        return _transformed(v, surrogate, parameters)
    if torch.is_grad_enabled() and (v.requires_grad or (tensors and any(x.requires_grad for x in tensors))):
        return (call.record or _recorder(call))(v, call, *tensors)
    return call.fires(v)


def _in_a_graph(call: Call, saved: tuple[torch.Tensor, ...], cotangent: torch.Tensor, asked: tuple[bool, ...]) -> tuple[Any, ...]:
    """The backward of `SpikeFunction` as one call, which Dynamo keeps (compiled autograd)."""
    from arcana.torch._graph import pulled

    wanted = (asked[0], *asked[2:])
    arguments = call.definition.key, tuple(call.settings.items()), tuple(call.numbers.items()), call.names
    gradients = pulled(cotangent, *arguments, wanted, *saved)
    found = [gradients[sum(wanted[:i])] if each else None for i, each in enumerate(wanted)]
    return found[0], None, *found[1:]


def _transformed(v: Any, surrogate: Surrogate, parameters: Mapping[str, Any]) -> Any:
    """The spikes where something other than plain eager autograd looks on."""
    proxies = [x for x in (v, *parameters.values()) if isinstance(x, torch.fx.Proxy)]
    if proxies:
        from arcana.torch._nodes import call_node

        return call_node(proxies[0].tracer, spike, v, surrogate, parameters)
    return Composable.apply(*_inputs(v, surrogate, parameters))[0]


def _inputs(v: torch.Tensor, surrogate: Surrogate, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
    """The inputs of `Composable`."""
    settings, values = checked(v, surrogate, parameters)
    return v, surrogate.key, tuple(settings.items()), tuple(values), *values.values()


def evaluate(surrogate: AnySurrogate, which: str, v: Any, **parameters: float | torch.Tensor) -> torch.Tensor:
    """h (`which` = "derivative") or G ("primitive") of v, in v's dtype."""
    check_which(which)
    surrogate = surrogate_of(surrogate, "evaluate", v)
    if isinstance(v, torch.fx.Proxy):
        node: Any = v.tracer.create_proxy("call_function", evaluate, (surrogate, which, v), parameters)
        return node
    settings, values = checked(v, surrogate, parameters)
    rule = Rule(type(surrogate), settings, v, values)
    y = rule._evaluate(which, rule.v, rule.numbers).to(v.dtype)
    return y if y.shape == v.shape else y.expand(v.shape).clone()
