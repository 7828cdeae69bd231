"""Time of calls on the device, taken in turn, with medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Call = Callable[[int], Any]
"""One call; the number says the how many-th it is, by which it takes its buffers in rotation."""


def in_turn(
    calls: Mapping[str, Call], synchronize: Callable[[], object], seconds: float, turns: int = 9, events: Any = None
) -> dict[str, float]:
    """Microseconds a call of each, the median over turns; in each turn each runs as often as fits its share of `seconds`.

    `events` gives two markers on the device's own clock (torch.cuda.Event); without it the host's clock is read after
    synchronizing.
    """
    repeats = {name: _repeats(call, synchronize, seconds / (len(calls) * turns)) for name, call in calls.items()}
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            found[name].append(_turn(call, repeats[name], synchronize, events))
    return {name: statistics.median(each) for name, each in found.items()}


def _repeats(call: Call, synchronize: Callable[[], object], seconds: float) -> int:
    for i in range(3):
        call(i)
    synchronize()
    begun = time.perf_counter()
    for i in range(5):
        call(i)
    synchronize()
    return max(3, min(2000, int(seconds / ((time.perf_counter() - begun) / 5))))


def _turn(call: Call, repeats: int, synchronize: Callable[[], object], events: Any) -> float:
    synchronize()
    if events is None:
        begun = time.perf_counter()
        for i in range(repeats):
            call(i)
        synchronize()
        return (time.perf_counter() - begun) / repeats * 1e6
    first, last = events()
    first.record()
    for i in range(repeats):
        call(i)
    last.record()
    synchronize()
    return first.elapsed_time(last) / repeats * 1e3


def host_and_latency(call: Call, synchronize: Callable[[], object], repeats: int = 200, turns: int = 7) -> tuple[float, float]:
    """Microseconds until a call returns to Python, without waiting for the device, and until its result is there."""
    hosts, latencies = [], []
    for _ in range(turns):
        synchronize()
        begun = time.perf_counter()
        for i in range(repeats // 4):
            call(i)
        hosts.append((time.perf_counter() - begun) / (repeats // 4) * 1e6)
        synchronize()
        begun = time.perf_counter()
        for i in range(repeats // 4):
            call(i)
            synchronize()
        latencies.append((time.perf_counter() - begun) / (repeats // 4) * 1e6)
    return statistics.median(hosts), statistics.median(latencies)
