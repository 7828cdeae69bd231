"""What a parameter that trains costs on the device in JAX: forward and backward in one program beside fixed numbers."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from learnable_torch import SIZES, of
from samples import FAMILIES
from session import Session
from timing import in_turn

from arcana.jax import spike
from arcana.surrogate import get


def main(session: Session, framework: str) -> None:
    small = session.settings.small
    for name in FAMILIES[: 1 if small else None]:
        for n in SIZES[:1] if small else SIZES:
            session.check(f"jax {name}, {n}, jit", functools.partial(measured, session, name, n))


def measured(session: Session, name: str, n: int) -> dict[str, Any]:
    surrogate = get(name)
    device = jax.devices(session.settings.device)[0]
    v, cotangent = (jax.device_put(jax.random.normal(jax.random.key(i), (n,)), device) for i in range(2))
    calls, values = {}, {}
    for label, parameter in of(name).items():
        given = (v, jax.device_put(jnp.float32(getattr(surrogate, parameter)), device)) if parameter else (v,)

        def both(cotangent: jax.Array, *operands: jax.Array, parameter: str | None = parameter) -> Any:
            found, pull = jax.vjp(
                lambda v, *values: spike(v, surrogate, **({parameter: values[0]} if parameter else {})), *operands
            )
            return found, pull(cotangent)

        function = jax.jit(both)
        planned: Any = function.lower(cotangent, *given).compile().memory_analysis()
        values[f"{label}_bytes"] = round((planned.temp_size_in_bytes + planned.output_size_in_bytes) / n, 2)
        calls[label] = lambda i, function=function, given=given: function(cotangent, *given)
    found = in_turn(calls, lambda: jax.block_until_ready(calls["fixed"](0)), 0.25, turns=5)
    return {
        **{f"{k}_us": round(x, 2) for k, x in found.items()},
        "ratio": round(found["learnable"] / found["fixed"], 3),
        **values,
    }
