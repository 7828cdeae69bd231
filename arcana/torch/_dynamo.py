"""The calls that Dynamo keeps in its graph. Imported only while compiling, since it loads torch._dynamo."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from arcana._core import Formula, Kept, class_of
from arcana.torch._checks import distributed
from arcana.torch._compat import is_exporting
from arcana.torch._derivative import Derivative
from arcana.torch._function import Composable
from arcana.torch._rules import numbers

_EXPORTED = (
    "a program that torch.export makes, and a stage of pipeline(), has a spike's operations and not its gradient: nothing before "
    "the spike is trained there. To export for inference do it under torch.no_grad(); to train in stages, write them as modules"
)


class InGraph(Composable):
    """`Composable` in a graph, where a comparison is kept as integers: inductor's C++ reads and converts bools one by one."""

    @staticmethod
    def forward(
        v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], *values: Any
    ) -> tuple[torch.Tensor, ...]:
        spikes, *mask = Composable.forward(v, key, settings, names, *values)
        formula, parameters = Formula(class_of(key), settings), dict(zip(names, values, strict=True))
        if formula.kept(parameters) not in (Kept.MASK, Kept.SPIKES):
            return (spikes,)
        expression = formula.expression(parameters)
        # Backward multiplies by 0 and 1.
        if expression is None or not (np.abs(expression.sides(parameters)) <= np.finfo(np.float32).max).all():
            return spikes, *mask
        return spikes, (mask or [spikes])[0].to(torch.float32).to(torch.int8)


def composable(v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], *values: Any) -> torch.Tensor:
    """Return the spikes of v by `InGraph`; warn where torch.export, which drops its rule, is asked for a gradient."""
    if is_exporting() and torch.is_grad_enabled() and any(isinstance(x, torch.Tensor) and x.requires_grad for x in (v, *values)):
        warnings.warn(_EXPORTED, UserWarning, stacklevel=2)

    def call(v: torch.Tensor, *values: Any) -> torch.Tensor:
        return InGraph.apply(v, key, settings, names, *values)[0]

    if any(map(distributed, (v, *values))):
        from arcana.torch._dtensor import by_parts

        return by_parts(call, v, *values)
    return call(v, *values)


def pulled(
    cotangent: torch.Tensor,
    key: str,
    settings: tuple[tuple[str, Any], ...],
    numbers: tuple[tuple[str, float], ...],
    names: tuple[str, ...],
    asked: tuple[bool, ...],
    *saved: torch.Tensor,
) -> list[torch.Tensor]:
    """Return the gradients that are asked for, of v and the named tensors: the backward of `SpikeFunction` in a graph."""
    formula, first = Formula(class_of(key), settings), len(saved) - len(names)
    kept, tensors = saved[:first], saved[first:]
    values = {**dict(numbers), **dict(zip(names, tensors, strict=True))}
    v = kept[0] if formula.kept(values) is Kept.POTENTIAL else cotangent
    derivative = Derivative(formula, v, values)
    for_v = [derivative.pull(kept, cotangent)] if asked[0] else []
    return for_v + [each for each in derivative.gradients(cotangent, names, tensors, asked[1:], traced=True) if each is not None]


# Traced into, the Function would lose its rule under func.grad, vmap and jvp; in the graph AOTAutograd runs the rule itself.
torch.compiler.allow_in_graph(composable)
torch.compiler.allow_in_graph(pulled)
torch.compiler.allow_in_graph(numbers)
