"""Forward and backward of one call under jax.jit, beside the same formula written in plain jnp."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from bare import BARE
from session import Session
from timing import Call, host_and_latency, in_turn

from arcana.jax import spike
from arcana.surrogate import get

SIZES = (1 << 20, 1 << 24, 1 << 10, 1 << 27, 1 << 16)
SHAPES = ("fast_sigmoid", "sigmoid", "rectangular")
CACHE = 128 << 20


def main(session: Session, framework: str) -> None:
    sizes = (1 << 10, 1 << 17) if session.settings.small else SIZES
    for size in sizes:
        session.check(f"jax copy, {size}, float32", functools.partial(copy, session, size))
        for shape in SHAPES:
            session.check(f"jax {shape}, {size}, float32", functools.partial(one_shape, session, shape, size))


def arrays(size: int) -> list[tuple[jax.Array, jax.Array]]:
    """Potentials and cotangents, as many pairs as do not fit into the cache together."""
    count = max(1, min(16, -(-CACHE // (size * 4)))) if size > 1 << 16 else 1
    keys = jax.random.split(jax.random.key(1), (count, 2))
    return [(jax.random.normal(one, (size,), jnp.float32), jax.random.normal(other, (size,), jnp.float32)) for one, other in keys]


def one_shape(session: Session, shape: str, size: int) -> dict[str, Any]:
    surrogate, pairs = get(shape), arrays(size)
    functions = {"arcana": lambda v: spike(v, surrogate), "bare jnp": functools.partial(BARE[shape], **surrogate.numbers)}

    def calls(function: Any) -> dict[str, Call]:
        forward = jax.jit(function)
        both = jax.jit(lambda v, c: (function(v), jax.vjp(function, v)[1](c)[0]))
        backward = jax.jit(lambda v, c: jax.vjp(function, v)[1](c)[0])

        return {
            "forward": lambda i: forward(pairs[i % len(pairs)][0]),
            "backward": lambda i: backward(*pairs[i % len(pairs)]),
            "both": lambda i: both(*pairs[i % len(pairs)]),
        }

    made = {label: calls(function) for label, function in functions.items()}
    for each in ("both", "backward"):
        one, other = (np.asarray(jax.tree.leaves(call[each](0))[-1]) for call in made.values())
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)
    return {"rows": measured(session, made, size)}


def measured(session: Session, made: dict[str, dict[str, Call]], size: int) -> dict[str, Any]:
    # In one function v is read once: v and c in, spikes and gradient out.
    moves = {"both": 16, "forward": 8, "backward": 12}
    found: dict[str, dict[str, Any]] = {label: {} for label in made}
    seconds = 0.02 if session.settings.small else 0.1 if size < 1 << 26 else 0.2
    last: dict[str, Any] = {}

    def kept(call: Call) -> Call:
        def run(i: int) -> None:
            last["value"] = call(i)

        return run

    def synchronize() -> None:
        jax.block_until_ready(last.get("value"))

    for which, bytes_each in moves.items():
        each = {label: kept(call[which]) for label, call in made.items() if which in call}
        for label, microseconds in in_turn(each, synchronize, seconds).items():
            found[label][f"{which}_us"] = round(microseconds, 3)
            found[label][f"{which}_gbs"] = round(size * bytes_each / microseconds / 1e3, 1)
    if size <= 1 << 16:
        for label, call in made.items():
            if "both" in call:
                host, latency = host_and_latency(kept(call["both"]), synchronize, 40 if session.settings.small else 200)
                found[label] |= {"host_us": round(host, 2), "latency_us": round(latency, 2)}
    return found


def copy(session: Session, size: int) -> dict[str, Any]:
    """One read and one write of each element: x · 1.5."""
    pairs = arrays(size)
    scaled = jax.jit(lambda x: x * 1.5)
    made = {"copy": {"forward": lambda i: scaled(pairs[i % len(pairs)][0])}}
    return {"rows": measured(session, made, size)}
