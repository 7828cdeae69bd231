"""The fourth part: what an import costs, in fresh processes."""

from __future__ import annotations

import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence

PROCESSES = 9

Chain = tuple[str, ...]
"""Modules that are imported one after the other in one process."""

_PROGRAM = """
import importlib, sys, time
for name in sys.argv[1:]:
    begin = time.perf_counter()
    importlib.import_module(name)
    print(time.perf_counter() - begin)
"""


@dataclasses.dataclass(frozen=True)
class Import:
    """The median time that the import of a module takes after others.

    Attributes:
        module: what is imported.
        after: what was imported before it in the same process.
        milliseconds: the median.
        processes: of how many.
    """

    module: str
    after: str | None
    milliseconds: float
    processes: int


def chains_of(frameworks: Iterable[str]) -> list[Chain]:
    """`import arcana` alone, and of each framework its own import and what `arcana.torch` or `arcana.jax` adds to it."""
    return [("arcana",), *((framework, f"arcana.{framework}") for framework in frameworks)]


def measure(chains: Sequence[Chain], say: Callable[[str], object], processes: int = PROCESSES) -> list[Import]:
    """The time of every module of every chain; the chains take turns, each in a process of its own."""
    seconds: dict[Chain, list[list[float]]] = {chain: [] for chain in chains}
    with tempfile.TemporaryDirectory() as bytecode:
        # One more than is counted: the first writes the bytecode, as an installation does, and fills the system's file cache.
        for process in range(processes + 1):
            say(f"import: process {process} of {processes}")
            for chain in chains:
                seconds[chain].append(_seconds(chain, bytecode))
    return [each for chain in chains for each in _medians(chain, seconds[chain][1:])]


def _seconds(chain: Chain, bytecode: str) -> list[float]:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", _PROGRAM, *chain]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [float(line) for line in process.stdout.split()]


def _medians(chain: Chain, seconds: list[list[float]]) -> list[Import]:
    before = [None, *chain]
    return [
        Import(module, before[i], 1e3 * statistics.median(each[i] for each in seconds), len(seconds))
        for i, module in enumerate(chain)
    ]
