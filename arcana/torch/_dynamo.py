"""The calls that Dynamo keeps in its graph. Imported only while compiling, since it loads torch._dynamo."""

from __future__ import annotations

from typing import Any

import torch

from arcana._core import Formula, Kept, class_of
from arcana.torch._derivative import Derivative
from arcana.torch._function import Composable


def composable(v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], *values: Any) -> torch.Tensor:
    """Return the spikes of v by `Composable`."""
    return Composable.apply(v, key, settings, names, *values)[0]


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
    return for_v + [each for each in derivative.gradients(cotangent, names, tensors, asked[1:]) if each is not None]


# Traced into, the Function would lose its rule under func.grad, vmap and jvp; in the graph AOTAutograd runs the rule itself.
torch.compiler.allow_in_graph(composable)
torch.compiler.allow_in_graph(pulled)
