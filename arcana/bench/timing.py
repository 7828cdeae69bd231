"""Times of calls that take turns, so that what else the machine does falls on all alike, and of imports in fresh processes."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arcana.bench.records import Candidate, Record

SHORTEST_TURN = 1e-3
"""Seconds: a shorter call is repeated within its turn."""

FEWEST_ROUNDS, MOST_ROUNDS = 5, 300

_IMPORTS = """
import importlib, sys, time
for name in sys.argv[1:]:
    begin = time.perf_counter()
    importlib.import_module(name)
    print(time.perf_counter() - begin)
"""


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


def imports(chains: Sequence[Sequence[str]], processes: int = 9) -> list[Record]:
    """Return the time that each module of a chain takes after the one before it, in fresh processes; the chains take turns."""
    samples: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
        # One more than is counted: the first writes the bytecode, as an installation does, and fills the system's file cache.
        for chain in [chain for _ in range(processes + 1) for chain in chains]:
            command = [sys.executable, "-c", _IMPORTS, *chain]
            process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            before = ["first", *(f"after {module}" for module in chain)]
            for module, quantity, seconds in zip(chain, before, process.stdout.split(), strict=False):
                samples.setdefault((module, quantity), []).append(1e3 * float(seconds))
    about: dict[str, Any] = {"part": "import", "unit": "ms"}
    return [Record.of(each[1:], candidate=module, quantity=quantity, **about) for (module, quantity), each in samples.items()]
