"""What the device does while a call runs, by PyTorch's profiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

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


def device_events(call: Callable[[], Any]) -> list[Any]:
    """The kernels and copies that a call starts on the GPU."""
    # The first call of a process that is profiled has events of the profiler itself.
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        call()
        torch.cuda.synchronize()
    events = [each for each in found.events() if each.device_type == torch.autograd.DeviceType.CUDA]
    return [each for each in events if not each.name.startswith(NO_KERNELS) and not each.name.endswith(("Sync", "Wait Event"))]


def operations(call: Callable[[], Any]) -> list[Any]:
    """The operations of a call on a CPU that no other one calls."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        call()
    return [each for each in found.events() if not each.cpu_children and each.name.startswith("aten::")]
