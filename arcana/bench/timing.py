"""Times of calls that take turns, so that what else the machine does falls on all alike."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping

from arcana.bench.records import Candidate

SHORTEST_TURN = 1e-3
"""Seconds: a shorter call is repeated within its turn."""

FEWEST_ROUNDS, MOST_ROUNDS = 5, 300


def in_turn(calls: Mapping[Candidate, Callable[[], object]], seconds: float) -> dict[Candidate, list[float]]:
    """Return the seconds that each candidate's call took in each of its turns, within the candidate's setting.

    Args:
        calls: what is timed; each returns nothing, so that one call's output is gone before the next one's is made.
        seconds: what all rounds together may take, though there are at least five rounds.
    """
    repeats = {}
    for candidate, call in calls.items():
        with candidate.setting():
            call()
            repeats[candidate] = max(1, math.ceil(SHORTEST_TURN / _seconds(call, 1)))
            # At its full length once more: the first calls found cold caches and fresh memory.
            repeats[candidate] = max(1, math.ceil(SHORTEST_TURN / _seconds(call, repeats[candidate])))
    turns: dict[Candidate, list[float]] = {candidate: [] for candidate in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    end = time.perf_counter() + seconds
    for done in range(MOST_ROUNDS):
        if done >= FEWEST_ROUNDS and time.perf_counter() > end:
            break
        shuffle(order)
        for candidate in order:
            with candidate.setting():
                turns[candidate].append(_seconds(calls[candidate], repeats[candidate]))
    return turns


def _seconds(call: Callable[[], object], repeats: int) -> float:
    """Return the seconds of one call, the mean of some."""
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats
