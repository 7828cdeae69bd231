"""Medians of calls that take turns, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Key = TypeVar("Key")

SHORTEST_TURN = 1e-3
"""Seconds: a shorter call is repeated within its turn."""

FEWEST_ROUNDS, MOST_ROUNDS = 5, 300


@dataclasses.dataclass(frozen=True)
class Timing:
    """The median of the turns, in microseconds a call, and the number of turns."""

    microseconds: float
    turns: int


def in_turn(
    calls: Mapping[Key, Callable[[], object]], seconds: float, around: Callable[[Key], AbstractContextManager[Any]]
) -> dict[Key, Timing]:
    """The median time of every call.

    Args:
        calls: what is timed; each returns nothing, so that one call's output is gone before the next one's is made.
        seconds: what all rounds together may take, though there are at least five rounds.
        around: of a key what is entered before its turn, and not timed.
    """
    repeats = {}
    for key, call in calls.items():
        with around(key):
            call()
            repeats[key] = max(1, math.ceil(SHORTEST_TURN / _seconds(call, 1)))
            # At its full length once more: the first calls found cold caches and fresh memory.
            repeats[key] = max(1, math.ceil(SHORTEST_TURN / _seconds(call, repeats[key])))
    turns: dict[Key, list[float]] = {key: [] for key in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    end = time.perf_counter() + seconds
    for done in range(MOST_ROUNDS):
        if done >= FEWEST_ROUNDS and time.perf_counter() > end:
            break
        shuffle(order)
        for key in order:
            with around(key):
                turns[key].append(_seconds(calls[key], repeats[key]))
    return {key: Timing(statistics.median(each) * 1e6, len(each)) for key, each in turns.items()}


def _seconds(call: Callable[[], object], repeats: int) -> float:
    """Of one call, the mean of some."""
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats
