"""What `import arcana.torch` adds to `import torch`, and `import arcana.jax` to `import jax`: `python tests/bench/imports.py`."""

from __future__ import annotations

import statistics
import subprocess
import sys

MOST = 20.0
"""Milliseconds, from the project's design."""

PROGRAM = """
import importlib, sys, time
importlib.import_module(sys.argv[1])
begin = time.perf_counter()
importlib.import_module(f"arcana.{sys.argv[1]}")
print(1e3 * (time.perf_counter() - begin))
"""


def added(framework: str, processes: int = 9) -> float:
    """Return the median over fresh processes; one more, which is not counted, fills the system's file cache."""
    command = [sys.executable, "-c", PROGRAM, framework]
    found = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(processes + 1)]
    return statistics.median(map(float, found[1:]))


if __name__ == "__main__":
    times = {framework: added(framework) for framework in ("torch", "jax")}
    print("\n".join(f"import arcana.{name} adds {each:.1f} ms, at most {MOST:g}" for name, each in times.items()))
    raise SystemExit(max(times.values()) > MOST)
