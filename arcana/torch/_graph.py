"""The calls that Dynamo keeps in its graph. Imported only while compiling, since it loads torch._dynamo."""

from __future__ import annotations

from typing import Any

import torch

from arcana.surrogate._base import class_of
from arcana.surrogate._trace import Kept
from arcana.torch._function import Composable
from arcana.torch._rule import Rule, kept_by


def composable(v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], *values: Any) -> torch.Tensor:
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
    """The backward of `SpikeFunction` under compiled autograd: the gradients that are asked for, of v and the named tensors."""
    definition, first = class_of(key), len(saved) - len(names)
    kept, tensors = saved[:first], saved[first:]
    values = {**dict(numbers), **dict(zip(names, tensors, strict=True))}
    what = kept_by(definition, settings, values)
    rule = Rule(definition, dict(settings), kept[0] if what is Kept.POTENTIAL else cotangent, values)
    for_v = [rule.pull(kept, cotangent)] if asked[0] else []
    return for_v + [each for each in rule.gradients(cotangent, names, tensors, asked[1:]) if each is not None]


# Traced into, the Function would lose its rule under func.grad, vmap and jvp; in the graph AOTAutograd runs the rule itself.
torch.compiler.allow_in_graph(composable)
torch.compiler.allow_in_graph(pulled)
