"""The call that Dynamo keeps in its graph. Imported only while compiling, since it loads torch._dynamo."""

from __future__ import annotations

from typing import Any

import torch

from arcana.torch._function import Composable


def composable(v: torch.Tensor, key: str, settings: tuple[Any, ...], names: tuple[str, ...], *values: Any) -> torch.Tensor:
    return Composable.apply(v, key, settings, names, *values)


# Traced into, the Function would lose its rule under func.grad, vmap and jvp; in the graph AOTAutograd runs the rule itself.
torch.compiler.allow_in_graph(composable)
