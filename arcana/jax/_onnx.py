"""The primitives of this backend for jax2onnx. Loaded only where jax2onnx is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax2onnx.plugins.jax.lax._control_flow_utils import (  # pyright: ignore[reportMissingImports]
    lower_jaxpr_eqns,
)
from jax2onnx.plugins.plugin_system import (  # pyright: ignore[reportMissingImports]
    PLUGIN_REGISTRY,
    PrimitiveLeafPlugin,
)


class Inlined(PrimitiveLeafPlugin):
    """Writes a primitive as the operations of a function with the same operands and parameters."""

    def __init__(self, primitive: str, function: Callable[..., Any]) -> None:
        self.primitive = primitive
        self.metadata = {}
        self._function = function

    def lower(self, ctx: Any, eqn: Any) -> None:
        """Write the operations of one equation."""
        operands = [jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype) for x in eqn.invars]
        # Without constants, which our functions do not have.
        jaxpr = jax.make_jaxpr(lambda *given: self._function(*given, **eqn.params))(*operands).jaxpr
        for outer, inner in zip(eqn.invars, jaxpr.invars, strict=True):
            ctx.bind_value_for_var(inner, ctx.get_value_for_var(outer))
        lower_jaxpr_eqns(ctx, jaxpr, source=self.primitive)
        for outer, inner in zip(eqn.outvars, jaxpr.outvars, strict=True):
            ctx.bind_value_for_var(outer, ctx.get_value_for_var(inner))


def register(functions: dict[str, Callable[..., Any]]) -> None:
    """Have jax2onnx write each primitive, by its name, as the operations of a function."""
    for name, function in functions.items():
        PLUGIN_REGISTRY.setdefault(name, Inlined(name, function))
