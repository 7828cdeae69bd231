"""What only a GPU shows, in one run of a few minutes: `python tests/gpu/run.py --out FILE`, from the repository's root.

Needs the repository, PyTorch, JAX, NumPy and mpmath; nothing is installed. The parts: `accuracy` (spikes and gradients of every
surrogate beside the CPU's and the exact ones), `transforms`, `kernels` (how many a call starts), `verdicts` (those of
`first_divergence` between the CPU and the GPU), `rules`, `pallas`, `learnable` (what a parameter that trains costs), `times`,
`layer`. What each finds is printed and written to FILE as it is found; a check that is in the file and passed is not run again.
Exits with 1 if a check failed. `--table FILE` prints the tables of the documentation from such a file.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import launch
import machine
import pages
import table
from results import Results
from session import Settings


def arguments_of(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(launch.PARTS), help="some of them, by comma")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="few surrogates and small sizes, to try the script")
    parser.add_argument("--budget", type=float, default=launch.BUDGET, help="seconds; each part has its share")
    parser.add_argument("--grace", type=float, default=launch.GRACE, help="seconds that a check may go on after its part's time")
    parser.add_argument("--out", type=Path, help="the JSON file")
    parser.add_argument("--again", action="store_true", help="run what is in the file again")
    parser.add_argument("--peers", help="a folder with snntorch and spikingjelly, put on sys.path")
    parser.add_argument("--plant", metavar="SURROGATE", help="put its results off by one bit: the accuracy part must fail")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the documentation's tables and run nothing")
    arguments = parser.parse_args(given)
    arguments.parts = arguments.parts.split(",")
    unknown = [part for part in arguments.parts if part not in launch.PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(launch.PARTS)}")
    return arguments


def phases(parts: list[str]) -> list[list[str]]:
    """Parts that run at the same time: first all that do not measure time, then each of the others alone."""
    together = [part for part in parts if not launch.PARTS[part].alone]
    return [each for each in (together, *([part] for part in parts if launch.PARTS[part].alone)) if each]


def run_phase(parts: list[str], arguments: argparse.Namespace, results: Results) -> None:
    scale = arguments.budget / launch.BUDGET
    alone = launch.PARTS[parts[0]].alone
    jobs = [job for part in parts for job in launch.jobs_of(part, arguments.small) if not results.complete(part, job.name)]
    begun = time.time()
    allowed = max(launch.PARTS[part].seconds for part in parts) * scale
    # Where the second job waits for the first, it has what that leaves.
    first = launch.PARTS[parts[0]].first if alone and len(jobs) > 1 else 1.0
    ends = {job: begun + allowed * (first if job is jobs[0] else 1.0) for job in jobs}

    def settings_of(job: launch.Job) -> Settings:
        plain = Settings(arguments.device, arguments.small, arguments.peers, arguments.plant)
        return Settings(plain.device, plain.small, plain.peers, plain.plant, deadline=ends[job])

    cut: set[launch.Job] = set()
    at_once = 1 if alone else max(2, os.cpu_count() or 2)
    for job, records, ended in launch.run_together(
        jobs, at_once, settings_of, lambda job: results.done(job.part), arguments.grace
    ):
        results.add(job.part, records)
        for record in records:
            if table.worth_a_line(job.part, record):
                print(table.line(job.part, record), flush=True)
        if ended:
            results.add(job.part, [{"name": f"job {job.name}", "ok": False, "error": ended}])
            print(f"{job.part}: {job.name} {ended}", flush=True)
        cut |= {job} if ended or any("left_out" in each for each in records) else set()
        if ended is not None and job not in cut:
            results.completed(job.part, job.name)
        results.write()


def main() -> int:
    arguments = arguments_of()
    if arguments.table:
        print(pages.page(Results(arguments.table)))
        return 0
    results = Results(arguments.out)
    results.content["machine"] = machine.about(arguments.device, arguments.peers)
    print(results.content["machine"], flush=True)
    begun = time.time()
    for parts in phases(arguments.parts):
        for part in parts:
            if arguments.again:
                results.forget(part)
        run_phase(parts, arguments, results)
        print(f"-- {', '.join(parts)}: {time.time() - begun:.0f} s since the start", flush=True)
    print(table.summary(results, arguments.parts), flush=True)
    return 1 if results.failures() else 0


if __name__ == "__main__":
    raise SystemExit(main())
