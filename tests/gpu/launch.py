"""The parts of a run, their jobs, and running those as processes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from session import Settings

GRACE = 8.0
"""Seconds after its deadline when a job that still runs is ended, unless others are given."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One process: a module's `main` for one framework, which does its share of the part."""

    part: str
    module: str
    framework: str
    share: tuple[int, int] = (0, 1)

    @property
    def name(self) -> str:
        return f"{self.module} {self.framework} {self.share[0] + 1}/{self.share[1]}"


@dataclasses.dataclass(frozen=True)
class Part:
    """Jobs that belong together.

    Attributes:
        shares: of the jobs by module and framework, into how many equal ones each is divided.
        alone: whether its jobs run one after the other with nothing beside them, because they measure time.
        seconds: of a budget of 380.
        first: the part of them that the first job has, where jobs run one after the other.
    """

    shares: dict[tuple[str, str], int]
    alone: bool
    seconds: float
    first: float = 0.65


BUDGET = 380.0

PARTS = {
    "accuracy": Part({("accuracy", "torch"): 5, ("accuracy", "jax"): 4}, False, 130),
    "transforms": Part({("transforms_torch", "torch"): 4, ("transforms_jax", "jax"): 1, ("mesh_torch", "torch"): 1}, False, 130),
    "kernels": Part({("kernels_torch", "torch"): 1, ("kernels_jax", "jax"): 1}, False, 130),
    "verdicts": Part({("verdicts", "jax"): 1}, False, 130),
    "rules": Part({("rules_torch", "torch"): 1, ("rules_jax", "jax"): 1}, False, 130),
    "pallas": Part({("pallas_jax", "jax"): 1}, False, 130),
    "learnable": Part({("learnable_torch", "torch"): 1, ("learnable_jax", "jax"): 1}, True, 70),
    "times": Part({("times_torch", "torch"): 1, ("times_jax", "jax"): 1}, True, 115),
    "layer": Part({("layer_torch", "torch"): 1, ("layer_jax", "jax"): 1}, True, 85),
}


def jobs_of(part: str, small: bool) -> list[Job]:
    """The jobs of a part, in the order in which they begin; a small run divides none."""
    found = []
    for (module, framework), count in PARTS[part].shares.items():
        count = 1 if small else count
        found += [Job(part, module, framework, (i, count)) for i in range(count)]
    return found


class Process:
    """A job that runs."""

    def __init__(self, job: Job, settings: Settings, done: Sequence[str], folder: Path, grace: float) -> None:
        self.job, self._last = job, settings.deadline + grace
        stem = job.name.replace("/", "-").replace(" ", "-")
        self._records, self._log, self._read = folder / f"{stem}.jsonl", folder / f"{stem}.log", 0
        self._records.touch()
        given = json.dumps(dataclasses.asdict(dataclasses.replace(settings, share=job.share)))
        command = [sys.executable, str(Path(__file__).with_name("job.py")), job.module, job.framework, given]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, str(self._records), json.dumps(list(done))], stdout=log, stderr=log, env=_environment()
            )

    def new_records(self) -> list[dict[str, Any]]:
        """What has been found since the last look."""
        with self._records.open() as file:
            file.seek(self._read)
            text = file.read()
        whole = text.rpartition("\n")[0]
        self._read += len(whole.encode()) + bool(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def ended(self) -> str | None:
        """How it ended: "" if well, the end of its log if not, None while it runs. Too late, it is ended."""
        code = self._process.poll()
        if code is None and time.time() > self._last:
            self._process.kill()
            self._process.wait()
            return "ended, for it went on after its time"
        if code:
            return f"exit status {code}: {self._log.read_text(errors='replace')[-1500:]}"
        return None if code is None else ""


def _environment() -> dict[str, str]:
    # One thread a process beside others; a few processes that compile for each.
    return {**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "4", "TF_CPP_MIN_LOG_LEVEL": "3"}


def run_together(
    jobs: Sequence[Job],
    at_once: int,
    settings_of: Callable[[Job], Settings],
    done_of: Callable[[Job], Sequence[str]],
    grace: float = GRACE,
) -> Iterator[tuple[Job, list[dict[str, Any]], str | None]]:
    """Run jobs, so many at once; yield what each finds as it finds it, and at the end of each how it ended."""
    waiting, running = list(jobs), []
    with tempfile.TemporaryDirectory(prefix="arcana-gpu-") as folder:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                running.append(Process(job, settings_of(job), done_of(job), Path(folder), grace))
            for process in list(running):
                ended = process.ended()
                found = process.new_records()
                if found or ended is not None:
                    yield process.job, found, ended
                if ended is not None:
                    running.remove(process)
            time.sleep(0.1)
