"""Forward and backward of one call in PyTorch at several sizes, beside relu, a copy and the other libraries."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from peers import PRESETS, Contender, bytes_moved, contenders
from profiled import device_events
from session import Session
from timing import Call, host_and_latency, in_turn

from arcana.torch import set_compiled_kernels

SIZES = (1 << 20, 1 << 24, 1 << 10, 1 << 27, 1 << 16)
LAUNCH_BOUND = 1 << 16
"""Up to this size a call takes as long as its launches, and is not timed by events alone."""

PROFILED = 1 << 24
"""Up to this size the host may be slower than the kernels, and their time is taken by the profiler too."""

CACHE = 128 << 20
"""Twice the L2 cache of an H200: what is read must have left the cache since it was written."""


def main(session: Session, framework: str) -> None:
    runs = [(size, "float32") for size in SIZES]
    runs.insert(3, (1 << 24, "float16"))
    if session.settings.small:
        runs = [(1 << 10, "float32"), (1 << 17, "float32")]
    shapes = list(PRESETS)[: 2 if session.settings.small else None]
    for size, dtype in runs:
        session.check(f"copy, relu, {size}, {dtype}", functools.partial(floors, session, size, dtype))
        for shape in shapes:
            session.check(f"{shape}, {size}, {dtype}", functools.partial(one_shape, session, shape, size, dtype))
    if session.settings.device == "cuda":
        for shape in ("fast_sigmoid", "rectangular", "gaussian", "sigmoid"):
            for size in (1 << 24, 1 << 20, 1 << 10):
                session.check(f"{shape}, {size}, float32, operations", functools.partial(with_operations, session, shape, size))


class Buffers:
    """Sets of potential, cotangent and what a backward pass needs, as many as do not fit into the cache together."""

    def __init__(self, size: int, dtype: str, device: str) -> None:
        kind = getattr(torch, dtype)
        count = max(1, min(16, -(-CACHE // (size * kind.itemsize)))) if size > LAUNCH_BOUND else 1
        generator = torch.Generator(device).manual_seed(1)

        def normal() -> torch.Tensor:
            return torch.randn(size, generator=generator, device=device).to(kind)

        self.v = [normal().requires_grad_() for _ in range(count)]
        self.c = [normal() for _ in range(count)]
        self.count = count


def calls_of(function: Callable[[Any], Any], buffers: Buffers) -> dict[str, Call]:
    """Forward, backward, and both, each taking the buffers in rotation."""
    made = [function(v) for v in buffers.v]

    def forward(i: int) -> Any:
        return function(buffers.v[i % buffers.count])

    def backward(i: int) -> Any:
        k = i % buffers.count
        return torch.autograd.grad(made[k], buffers.v[k], buffers.c[k], retain_graph=True)

    def both(i: int) -> Any:
        k = i % buffers.count
        return torch.autograd.grad(function(buffers.v[k]), buffers.v[k], buffers.c[k])

    return {"forward": forward, "backward": backward, "both": both}


def measured(session: Session, functions: list[Contender], size: int, dtype: str, moved: tuple[int, int]) -> dict[str, Any]:
    """Of each function the microseconds forward, backward and both, and GB/s of the fewest bytes that must move."""
    cuda = session.settings.device == "cuda"
    synchronize, events = (torch.cuda.synchronize, _events) if cuda else (_nothing, None)
    buffers = Buffers(size, dtype, session.settings.device)
    calls = {each.label: calls_of(each.function, buffers) for each in functions}
    found: dict[str, dict[str, Any]] = {label: {} for label in calls}
    seconds = 0.02 if session.settings.small else 0.1 if size < 1 << 26 else 0.2
    for which, moves in (("both", sum(moved)), ("forward", moved[0]), ("backward", moved[1])):
        each = {label: call[which] for label, call in calls.items()}
        for label, microseconds in in_turn(each, synchronize, seconds, events=events).items():
            found[label][f"{which}_us"] = round(microseconds, 3)
            found[label][f"{which}_gbs"] = round(size * moves / microseconds / 1e3, 1)
    if size <= LAUNCH_BOUND:
        for label, call in calls.items():
            host, latency = host_and_latency(call["both"], synchronize, 40 if session.settings.small else 200)
            found[label] |= {"host_us": round(host, 2), "latency_us": round(latency, 2)}
    if cuda and size <= PROFILED:
        for label, call in calls.items():
            found[label]["device_us"] = round(_device_microseconds(call["both"]), 2)
            found[label]["device_gbs"] = round(size * sum(moved) / found[label]["device_us"] / 1e3, 1)
    return found


def one_shape(session: Session, shape: str, size: int, dtype: str) -> dict[str, Any]:
    functions, left_out = contenders(shape)
    usable = []
    for each in functions:
        try:
            x = torch.randn(64, device=session.settings.device, dtype=getattr(torch, dtype)).requires_grad_()
            torch.autograd.grad(each.function(x), x, torch.ones_like(x))
            usable.append(each)
        except Exception as error:
            if each.label == "arcana":
                raise
            left_out[each.label] = f"{type(error).__name__}: {str(error)[:150]}"
    moved = bytes_moved(shape, getattr(torch, dtype).itemsize)
    rows = measured(session, usable, size, dtype, moved)
    best = min((row["both_us"] for label, row in rows.items() if label != "arcana"), default=None)
    ratio = {"of_best_peer": round(rows["arcana"]["both_us"] / best, 3)} if best else {}
    return {**ratio, "rows": rows, "not_measured": left_out}


def with_operations(session: Session, shape: str, size: int) -> dict[str, Any]:
    """Ours without kernels, by PyTorch's operations."""
    with set_compiled_kernels(False):
        function = contenders(shape)[0][0].function
        return {"rows": measured(session, [Contender("arcana, operations", function)], size, "float32", bytes_moved(shape, 4))}


def floors(session: Session, size: int, dtype: str) -> dict[str, Any]:
    """What moves the same bytes: relu forward and backward; and a copy, which is the bandwidth that there is."""
    item = getattr(torch, dtype).itemsize
    rows = measured(session, [Contender("relu", torch.relu)], size, dtype, (2 * item, 3 * item))
    buffers = Buffers(size, dtype, session.settings.device)
    targets = [torch.empty_like(c) for c in buffers.c]
    cuda = session.settings.device == "cuda"
    call = {"copy": lambda i: targets[i % buffers.count].copy_(buffers.c[i % buffers.count])}
    synchronize, events = (torch.cuda.synchronize, _events) if cuda else (_nothing, None)
    microseconds = in_turn(call, synchronize, 0.02 if session.settings.small else 0.15, events=events)["copy"]
    rows["copy"] = {"forward_us": round(microseconds, 3), "forward_gbs": round(size * 2 * item / microseconds / 1e3, 1)}
    return {"rows": rows}


def _nothing() -> None:
    pass


def _events() -> tuple[Any, Any]:
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)


def _device_microseconds(call: Call, repeats: int = 20) -> float:
    """The time that the kernels of a call run."""

    def many() -> None:
        for i in range(repeats):
            call(i)

    many()
    return sum(each.time_range.elapsed_us() for each in device_events(many)) / repeats
