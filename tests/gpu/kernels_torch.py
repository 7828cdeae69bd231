"""How many kernels a call starts in PyTorch, by the profiler: each surrogate plainly, and a compiled LIF step."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from known_values import KNOWN
from layer_torch import step_of
from profiled import device_events, operations
from samples import FAMILIES
from session import Session

from arcana.surrogate import get
from arcana.torch import set_compiled_kernels, spike


def main(session: Session, framework: str) -> None:
    names = FAMILIES if session.settings.small else sorted(KNOWN)
    for dtype in ("float32", "float16"):
        for name in names:
            session.check(f"{name}, eager, {dtype}", functools.partial(of_call, session, name, dtype))
    if session.settings.device == "cuda":
        for shape in LEARNT:
            for dtype in ("float32", "float16"):
                what = "a scale that learns" if math.prod(shape) == 1 else "a scale a channel that learns"
                check = functools.partial(of_parameter, session, shape, dtype)
                session.check(f"fast_sigmoid, {what}, eager, {dtype}", check)
        session.check("dspike, all that learn, eager, float32", functools.partial(of_every_parameter, session))
        for name in FAMILIES:
            session.check(f"{name}, operations, float32", functools.partial(of_operations, session, name))
            session.check(f"{name}, LIF step compiled, float32", functools.partial(of_step, session, name))


def started(session: Session, call: Callable[[], Any]) -> list[str]:
    """The names of the device's kernels that a call starts; on a CPU, of its operations."""
    events = (device_events if session.settings.device == "cuda" else operations)(call)
    return [each.name[:120] for each in events]


def both_ways(session: Session, forward: Callable[[], Any], inputs: list[torch.Tensor]) -> dict[str, Any]:
    """The kernels of forward and of backward, after warming up; on a GPU there must be one each, or none backward."""

    def outputs() -> tuple[torch.Tensor, ...]:
        made = forward()
        return made if isinstance(made, tuple) else (made,)

    cotangents = [torch.rand_like(each) for each in outputs()]
    for _ in range(3):
        torch.autograd.grad(outputs(), inputs, cotangents)
    started(session, outputs)
    kept: list[Any] = []
    one = started(session, lambda: kept.append(outputs()))
    other = started(session, lambda: torch.autograd.grad(kept[0], inputs, cotangents))
    found = {"forward": len(one), "backward": len(other), "forward_names": one, "backward_names": other}
    return {"ok": len(one) == 1 and len(other) <= 1, **found} if session.settings.device == "cuda" else found


def potentials(session: Session, dtype: str = "float32") -> torch.Tensor:
    shape = (64, 512)
    return torch.randn(shape, device=session.settings.device).to(getattr(torch, dtype)).requires_grad_()


def of_call(session: Session, name: str, dtype: str) -> dict[str, Any]:
    v, surrogate = potentials(session, dtype), get(name)
    return both_ways(session, lambda: spike(v, surrogate), [v])


LEARNT = ((1,), (64, 1))
MOST = 3
"""Kernels backward where a parameter learns: one, a sum and its zeroed counters, or its cast."""


def of_parameter(session: Session, shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    v, surrogate = potentials(session, dtype), get("fast_sigmoid")
    scale = torch.full(shape, 10.0, device=v.device, requires_grad=True)
    return few(both_ways(session, lambda: spike(v, surrogate, scale=scale), [v, scale]))


def of_every_parameter(session: Session) -> dict[str, Any]:
    """Of all parameters at once, each one number: their sums are one more kernel for all."""
    v, surrogate = potentials(session), get("dspike")
    values = surrogate.numbers | {"gain": 1.0}
    leaves = {each: torch.full((1,), value, device=v.device, requires_grad=True) for each, value in values.items()}
    return few(both_ways(session, lambda: spike(v, surrogate, **leaves), [v, *leaves.values()]))


def few(found: dict[str, Any]) -> dict[str, Any]:
    written = [each for each in found["backward_names"] if each == "backward"]
    return {**found, "ok": found["forward"] == 1 and found["backward"] <= MOST and len(written) == 1}


def of_operations(session: Session, name: str) -> dict[str, Any]:
    """Without kernels, to show what they replace."""
    with set_compiled_kernels(False):
        found = of_call(session, name, "float32")
    return {key: value for key, value in found.items() if key != "ok"}


def of_step(session: Session, name: str) -> dict[str, Any]:
    surrogate = get(name)
    step = torch.compile(step_of(lambda v: spike(v, surrogate)), fullgraph=True)
    potential, current = potentials(session), potentials(session)
    return both_ways(session, lambda: step(potential, current), [potential, current])
