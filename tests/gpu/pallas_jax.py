"""Spikes and h inside a Pallas kernel that Triton compiles for the device, beside the functions outside of one."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas
from jax.experimental.pallas import triton
from known_values import KNOWN
from samples import FAMILIES
from session import Session

from arcana.jax.adapters.pallas import fire, pseudo_derivative
from arcana.surrogate import get


def main(session: Session, framework: str) -> None:
    for name in FAMILIES if session.settings.small else sorted(KNOWN):
        session.check(f"pallas, {name}", functools.partial(of, name, session.settings.device))


def of(name: str, device: str) -> dict[str, Any]:
    surrogate = get(name)
    v = jnp.linspace(-2, 2, 1 << 12, dtype=jnp.float32)
    block = pallas.BlockSpec((1 << 9,), lambda i: (i,))

    def kernel(v: Any, spikes: Any, slopes: Any) -> None:
        spikes[...] = fire(v[...], surrogate)
        slopes[...] = pseudo_derivative(v[...], surrogate)

    shape = jax.ShapeDtypeStruct(v.shape, v.dtype)
    options: dict[str, Any] = {"in_specs": (block,), "out_specs": (block, block), "grid": (8,), "out_shape": (shape, shape)}
    options |= {"interpret": True} if device == "cpu" else {"compiler_params": triton.CompilerParams()}
    spikes, slopes = jax.jit(pallas.pallas_call(kernel, **options))(v)
    right = np.asarray(surrogate.derivative(v), np.float64)
    off = float(np.abs(np.asarray(slopes, np.float64) - right).max() / np.abs(right).max() / np.finfo(np.float32).eps)
    equal = bool((np.asarray(spikes) == np.asarray(surrogate(v))).all())
    return {"ok": equal and off <= 8, "detail": f"spikes equal {equal}, h {off:.2g} roundings of its peak apart"}
