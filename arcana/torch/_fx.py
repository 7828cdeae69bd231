"""Calls as nodes of a graph that torch.fx traces. Imported when one is traced."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.fx

from arcana._core import Surrogate, checked_call
from arcana.torch._checks import TENSORS


def call_node(tracer: Any, spike: Callable[..., Any], v: Any, surrogate: Surrogate, parameters: Mapping[str, Any]) -> Any:
    """Return spike(v, surrogate, **parameters) as one node, where one of the arguments is a Proxy."""
    # What cannot be known before the graph runs is checked then.
    later = {name: value for name, value in parameters.items() if isinstance(value, (torch.fx.Proxy, torch.Tensor))}
    now = {name: value for name, value in parameters.items() if name not in later}
    formula, values = checked_call(surrogate, torch.empty(()), now, TENSORS)
    for name in later:
        surrogate.check_name(name)
    function: Any = getattr(sys.modules["arcana.torch"], surrogate.name, None)
    if type(getattr(function, "surrogate", None)) is type(surrogate):
        return tracer.create_proxy("call_function", function, (v,), {**values, **dict(formula.settings), **later})
    # A user's own: torch.fx makes a node of the surrogate too, its class called with its parameters, since it is a dataclass.
    return tracer.create_proxy("call_function", spike, (v, surrogate), dict(parameters))


def module_node(v: torch.fx.Proxy, module: torch.nn.Module) -> Any:
    """Return module(v) as one node, so that its tensors are looked at when the graph runs; None if no module holds it."""
    tracer: Any = v.tracer
    try:
        path = tracer.path_of_module(module)
    except NameError:
        return None
    return tracer.create_proxy("call_module", path, (v,), {}) if path else None
