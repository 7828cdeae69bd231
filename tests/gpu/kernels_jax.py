"""How many kernels XLA makes of a call and of a scan, from the compiled module's text."""

from __future__ import annotations

import functools
import itertools
import re
from typing import Any

import jax
import jax.numpy as jnp
from known_values import KNOWN
from layer_jax import network
from samples import FAMILIES
from session import Session

from arcana.jax import spike
from arcana.surrogate import Surrogate, get

STARTS = (
    "fusion",
    "custom-call",
    "copy",
    "dot",
    "reduce",
    "convert",
    "compare",
    "multiply",
    "scatter",
    "sort",
    "dynamic-update-slice",
)
"""Instructions of XLA that start a kernel where they stand in an entry or in a loop's body, and not within a fusion."""


def main(session: Session, framework: str) -> None:
    names = FAMILIES if session.settings.small else sorted(KNOWN)
    for name in names:
        session.check(f"{name}, jit of forward and backward", functools.partial(of_call, get(name)))
    for name in FAMILIES:
        session.check(f"{name}, jit(scan) of a layer", functools.partial(of_scan, get(name)))


def counted(text: str) -> dict[str, list[str]]:
    """Of the entry and of every loop's body the instructions that start a kernel."""
    found, where = {}, None
    # XLA may record what a GPU does in sequence as a command buffer, which is called.
    bodies = set(re.findall(r"(?:body=|to_apply=(?=%?command_buffer))%?([\w.\-]+)", text))
    for row in text.splitlines():
        header = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", row)
        if header:
            where = header[2] if header[1] or header[2] in bodies else None
            if where:
                found[where] = []
        instruction = re.search(r"(?:^|\s)([a-z][a-z\-]*)\(", row.partition(" = ")[2])
        if where and instruction and instruction[1] in STARTS:
            found[where].append(instruction[1])
    return found


def of_call(surrogate: Surrogate) -> dict[str, Any]:
    v = jnp.linspace(-2, 2, 1 << 15, dtype=jnp.float32)
    forward = jax.jit(lambda v: spike(v, surrogate))
    backward = jax.jit(lambda v, c: jax.vjp(lambda v: spike(v, surrogate), v)[1](c)[0])
    ways = {"forward": forward.lower(v), "backward": backward.lower(v, v)}
    found = {way: [*itertools.chain(*counted(each.compile().as_text()).values())] for way, each in ways.items()}
    return {
        "ok": all(len(each) <= 1 for each in found.values()),
        **{way: len(each) for way, each in found.items()},
        "names": found,
    }


def of_scan(surrogate: Surrogate) -> dict[str, Any]:
    given, weight = jnp.ones((100, 16, 32), jnp.float32), jnp.ones((32, 32), jnp.float32)
    step = jax.jit(lambda w: jax.vjp(network(lambda v: spike(v, surrogate), given), w)[1](given)[0])
    return {"kernels": counted(step.lower(weight).compile().as_text())}
