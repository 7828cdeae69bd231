"""Programs that run in several processes, started as their frameworks start them, and what they found."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROGRAMS = Path(__file__).parents[1] / "distributed"
LIMIT = 900
"""Seconds."""


def torchrun_command(processes: int) -> list[str]:
    """What torchrun is a name for; it finds a free port itself."""
    return ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def torchrun(program: str, *arguments: str, processes: int = 2) -> Any:
    """What a program of PyTorch wrote."""
    return _written([[*torchrun_command(processes), str(PROGRAMS / program)]], arguments)


def jax_processes(program: str, *arguments: str, processes: int = 2) -> Any:
    """What a program of JAX wrote; with one process there is nobody to meet."""
    address = free_address()
    ranks = [["--processes", address, str(processes), str(rank)] for rank in range(processes)] if processes > 1 else [[]]
    return _written([[str(PROGRAMS / program), *rank] for rank in ranks], arguments)


def _written(starts: Sequence[list[str]], arguments: Sequence[str]) -> Any:
    """What programs wrote into the file that is their first argument."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        run([[*start, str(results), *arguments] for start in starts])
        return json.loads(results.read_text(encoding="utf-8"))


def run(commands: Sequence[list[str]]) -> list[str]:
    """Run Python with these arguments at the same time; what each printed. When one fails the others are ended."""
    # One thread each: they share a few cores.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        outputs, processes = [], []
        try:
            for rank, command in enumerate(commands):
                outputs.append(Path(folder) / f"{rank}.txt")
                with outputs[-1].open("w") as file:
                    started = subprocess.Popen([sys.executable, *command], stdout=file, stderr=subprocess.STDOUT, env=environment)
                processes.append(started)
            for process, output in zip(processes, outputs, strict=True):
                assert process.wait(LIMIT) == 0, output.read_text(encoding="utf-8")[-4000:]
            return [output.read_text(encoding="utf-8") for output in outputs]
        finally:
            for process in processes:
                process.kill()
