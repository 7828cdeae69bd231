"""What a parameter that trains costs on the device in PyTorch: forward and backward beside the surrogate with fixed numbers."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from profiled import device_events
from session import Session
from timing import host_and_latency, in_turn

from arcana.surrogate import get
from arcana.torch import spike

SIZES = (1 << 10, 1 << 16, 1 << 20, 1 << 24)
PARAMETERS = {
    "fast_sigmoid": "scale",
    "atan": "slope",
    "sigmoid": "slope",
    "gaussian": "sigma",
    "rectangular": "width",
    "triangular": "scale",
}


def main(session: Session, framework: str) -> None:
    small = session.settings.small
    for mode in ("eager",) if small else ("eager", "compiled"):
        for name in ("fast_sigmoid",) if small or mode == "compiled" else PARAMETERS:
            for n in SIZES[:1] if small else SIZES[1::2] if mode == "compiled" else SIZES:
                session.check(f"{name}, {n}, {mode}", functools.partial(measured, session, name, n, mode))


def measured(session: Session, name: str, n: int, mode: str) -> dict[str, Any]:
    device, cuda = session.settings.device, session.settings.device == "cuda"
    calls = {label: call_of(name, parameter, n, mode, device) for label, parameter in of(name).items()}
    seconds = 0.05 if session.settings.small else 0.25
    synchronize = torch.cuda.synchronize if cuda else lambda: None
    found = in_turn({label: lambda i, call=call: call() for label, call in calls.items()}, synchronize, seconds, turns=5)
    values: dict[str, Any] = {f"{label}_us": round(each, 2) for label, each in found.items()}
    values["ratio"] = round(found["learnable"] / found["fixed"], 3)
    if cuda:
        for label, call in calls.items():
            if mode == "eager":
                # What the host takes, and what the kernels do: the first is what one waits for up to millions of elements.
                values[f"{label}_host_us"] = round(host_and_latency(lambda i, call=call: call(), synchronize, 100, turns=3)[0], 2)
                values[f"{label}_kernels_us"] = round(sum(each.time_range.elapsed_us() for each in device_events(call)), 2)
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            call()
            torch.cuda.synchronize()
            values[f"{label}_bytes"] = round((torch.cuda.max_memory_allocated() - before) / n, 2)
    return values


def of(name: str) -> dict[str, str | None]:
    """Return the parameter that trains in each of the calls."""
    return {"fixed": None, "learnable": PARAMETERS[name]}


def call_of(name: str, parameter: str | None, n: int, mode: str, device: str) -> Callable[[], Any]:
    surrogate = get(name)
    v, cotangent = (torch.randn(n, device=device) for _ in range(2))
    learnable = {parameter: torch.tensor([getattr(surrogate, parameter)], device=device, requires_grad=True)} if parameter else {}
    leaves = (v.requires_grad_(), *learnable.values())

    def spikes(v: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        return spike(v, surrogate, **dict(zip(learnable, tensors, strict=True)))

    # Dynamo keeps what it compiles with the code object, and each would pay for the guards of the others.
    own = types.FunctionType(spikes.__code__.replace(), globals(), closure=spikes.__closure__)
    function = torch.compile(own, dynamic=False) if mode == "compiled" else spikes
    return lambda: torch.autograd.grad(function(*leaves), leaves, cotangent)
