"""How many kernels a call starts in PyTorch, by the profiler: each surrogate plainly, and a compiled LIF step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from known_values import KNOWN
from layer_torch import step_of
from samples import FAMILIES
from session import Session
from torch.profiler import ProfilerActivity, profile

from arcana.surrogate import get
from arcana.torch import set_compiled_kernels, spike


def main(session: Session, framework: str) -> None:
    names = FAMILIES if session.settings.small else sorted(KNOWN)
    for dtype in ("float32", "float16"):
        for name in names:
            session.check(f"{name}, eager, {dtype}", functools.partial(of_call, session, name, dtype))
    if session.settings.device == "cuda":
        session.check("fast_sigmoid, a scale that learns, eager, float32", functools.partial(of_parameter, session))
        for name in FAMILIES:
            session.check(f"{name}, operations, float32", functools.partial(of_operations, session, name))
            session.check(f"{name}, LIF step compiled, float32", functools.partial(of_step, session, name))


NO_KERNELS = (
    "Activity Buffer",
    "Command Buffer",
    "Buffer Flush",
    "Lazy Function",
    "Runtime Triggered",
    "Instrumentation",
    "Resource",
)
"""How the profiler names its own work, and that of the driver, among the events of the device."""


def started(session: Session, call: Callable[[], Any]) -> list[str]:
    """The names of the device's kernels that a call starts; on a CPU, of its operations that no other one calls."""
    cuda = session.settings.device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as found:
        call()
        if cuda:
            torch.cuda.synchronize()
    if cuda:
        names = [each.name for each in found.events() if each.device_type == torch.autograd.DeviceType.CUDA]
        return [name for name in names if not name.startswith(NO_KERNELS) and not name.endswith(("Sync", "Wait Event"))]
    return [each.name for each in found.events() if not each.cpu_children and each.name.startswith("aten::")]


def both_ways(session: Session, forward: Callable[[], torch.Tensor], inputs: list[torch.Tensor]) -> dict[str, Any]:
    """The kernels of forward and of backward, after warming up."""
    cotangent = torch.ones_like(forward())
    for _ in range(3):
        torch.autograd.grad(forward(), inputs, cotangent)
    kept: list[torch.Tensor] = []
    one = started(session, lambda: kept.append(forward()))
    other = started(session, lambda: torch.autograd.grad(kept[0], inputs, cotangent))
    names = {"forward_names": [each[:120] for each in one], "backward_names": [each[:120] for each in other]}
    return {"forward": len(one), "backward": len(other), **names}


def potentials(session: Session, dtype: str = "float32") -> torch.Tensor:
    shape = (64, 512)
    return torch.randn(shape, device=session.settings.device).to(getattr(torch, dtype)).requires_grad_()


def of_call(session: Session, name: str, dtype: str) -> dict[str, Any]:
    v, surrogate = potentials(session, dtype), get(name)
    found = both_ways(session, lambda: spike(v, surrogate), [v])
    one = session.settings.device == "cpu" or (found["forward"] == 1 and found["backward"] <= 1)
    return {"ok": one, **found}


def of_parameter(session: Session) -> dict[str, Any]:
    v, surrogate = potentials(session), get("fast_sigmoid")
    scale = torch.tensor(10.0, device=v.device, requires_grad=True)
    return both_ways(session, lambda: spike(v, surrogate, scale=scale), [v, scale])


def of_operations(session: Session, name: str) -> dict[str, Any]:
    """Without kernels, to show what they replace."""
    with set_compiled_kernels(False):
        return {**of_call(session, name, "float32"), "ok": True}


def of_step(session: Session, name: str) -> dict[str, Any]:
    surrogate = get(name)
    step = torch.compile(step_of(lambda v: spike(v, surrogate)), fullgraph=True)
    potential, current = potentials(session), potentials(session)

    def forward() -> torch.Tensor:
        after, fired = step(potential, current)
        forward.after = after  # pyright: ignore[reportFunctionMemberAccess]
        return fired

    found = both_ways(session, forward, [potential, current])
    return {"ok": (found["forward"], found["backward"]) == (1, 1), **found}
