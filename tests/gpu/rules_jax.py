"""Rules on the device in JAX: the spikes' bits and the gradients beside the CPU's, and the spikes of one key."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from samples import FAMILIES
from session import Session

from arcana.jax import spike
from arcana.rules import Integer, Rule, Stochastic, Ternary
from arcana.surrogate import get

DETERMINISTIC = (Integer(4), Integer(4, repeat=False, step=0.5), Ternary())
DISTRIBUTIONS = ("fast_sigmoid", "gaussian", "sigmoid")


def main(session: Session, framework: str) -> None:
    device, small = session.settings.device, session.settings.small
    for name in FAMILIES[:1] if small else FAMILIES:
        for rule in DETERMINISTIC:
            session.check(f"jax, {rule}, {name}", functools.partial(deterministic, name, rule, device))
    for name in DISTRIBUTIONS[:1] if small else DISTRIBUTIONS:
        session.check(f"jax, Stochastic(), {name}", functools.partial(stochastic, name, device))


def on(device: str, function: Any, *operands: Any) -> Any:
    chosen = jax.devices(device)[0]
    return jax.tree.map(np.asarray, jax.jit(function)(*(jax.device_put(each, chosen) for each in operands)))


def deterministic(name: str, rule: Rule, device: str) -> dict[str, Any]:
    surrogate, details, ok = get(name), [], True
    for dtype in (jnp.float32, jnp.float16, jnp.bfloat16):
        v = 3 * jax.random.normal(jax.random.key(0), (4096,))
        v, c = v.at[:3].set(jnp.array([0.0, 1.0, -1.0])).astype(dtype), jnp.ones(4096, dtype)

        def both(v: jax.Array, c: jax.Array) -> Any:
            spikes, pull = jax.vjp(lambda v: spike(v, surrogate, rule=rule), v)
            return spikes, pull(c)[0]

        right, there = on("cpu", both, v, c), on(device, both, v, c)
        equal = bool((right[0] == there[0]).all())
        apart = np.abs(there[1].astype(np.float64) - right[1].astype(np.float64)).max()
        off = float(apart / np.abs(right[1].astype(np.float64)).max() / float(jnp.finfo(dtype).eps))
        ok = ok and equal and off <= 4
        details.append(f"{jnp.dtype(dtype).name}: spikes equal {equal}, gradient {off:.2g} roundings apart")
    return {"ok": ok, "detail": "; ".join(details)}


def stochastic(name: str, device: str) -> dict[str, Any]:
    surrogate, v = get(name).unit_area(), jax.random.normal(jax.random.key(1), (1 << 16,))

    def fire(v: jax.Array) -> jax.Array:
        return spike(v, surrogate, rule=Stochastic(), random=jax.random.key(7))

    right, there = on("cpu", fire, v), on(device, fire, v)
    differ, fired = int((right != there).sum()), float(right.mean())
    return {"ok": differ <= 4 and 0 < fired < 1, "detail": f"{differ} of {v.size} spikes of one key differ, {fired:.3f} fire"}
