"""Every one of the 2³² float32 patterns through forward and backward, in both frameworks, eager and compiled.

Run by `nox -s exhaustive`, or `python tests/exhaustive.py [names] [--bits 20..32]`. Prints a line a surrogate and exits with
1 if a spike is wrong, or if two gradients differ with no subnormal on the way (XLA on CPU takes those for zero).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
if str(Path(__file__).parent) in sys.path:
    # Its folder `triton` would be the module of that name where Triton is not installed.
    sys.path.remove(str(Path(__file__).parent))

import numpy as np
from known_values import KNOWN
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import arcana.jax.conformance as jax_side
import arcana.torch.conformance as torch_side
from arcana import surrogate as definitions
from arcana.testing._values import is_subnormal, ulp_difference

CHUNK = 1 << 20  # 4 MiB an array: the work stays in the cache and the allocator reuses its pages
SAME_BITS = sorted(name for name, known in KNOWN.items() if known.bits)

Array = np.ndarray[Any, Any]


def exact_spikes(bits: Array) -> Array:
    """1.0 where the pattern is of +0.0 to +inf or of −0.0, from the integers alone."""
    fires = (bits <= 0x7F800000) | (bits == 0x80000000)
    return np.where(fires, np.float32(1), np.float32(0)).view(np.uint32)


def cotangents(bits: Array) -> Array:
    """Floats in [1, 2) scattered over the chunk: a multiplicative hash of the pattern as mantissa."""
    return ((bits * np.uint32(2654435761)) >> np.uint32(9)) | np.uint32(0x3F800000)


def subnormal_on_the_way(surrogate: definitions.Surrogate, v: Array, gradients: list[Array]) -> Array:
    """Whether the potential, h or a gradient is subnormal."""
    ones = np.full_like(v, 0x3F800000)
    h = torch_side.spikes_and_gradients([(surrogate, v, ones, "float32")])[0][1]
    return np.logical_or.reduce([is_subnormal(x, "float32") for x in (v, h, *gradients)])


def run(surrogate: definitions.Surrogate, start: int) -> tuple[int, int, int]:
    """Of one chunk: wrong spikes, gradients that differ with a subnormal on the way, and gradients that differ without."""
    v = np.arange(start, start + CHUNK, dtype=np.uint64).astype(np.uint32)
    c = cotangents(v)
    ways = [(torch_side, mode) for mode in torch_side.MODES] + [(jax_side, mode) for mode in jax_side.MODES]
    results = [side.spikes_and_gradients([(surrogate, v, c, "float32")], mode)[0] for side, mode in ways]
    truth = exact_spikes(v)
    wrong = sum(int((spikes != truth).sum()) for spikes, _ in results)
    reference = results[0][1]
    excused = unexplained = 0
    for _, gradient in results[1:]:
        differ = np.flatnonzero(reference != gradient)
        if differ.size:
            differ = differ[ulp_difference(reference[differ], gradient[differ], "float32") > 0]
        if differ.size:
            subnormal = subnormal_on_the_way(surrogate, v[differ], [reference[differ], gradient[differ]])
            excused += int(subnormal.sum())
            unexplained += int((~subnormal).sum())
    return wrong, excused, unexplained


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=SAME_BITS)
    parser.add_argument("--bits", type=int, default=32, help="check the first 2^bits patterns only (20 to 32)")
    arguments = parser.parse_args()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    failed = 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        for name in arguments.names:
            surrogate = definitions.get(name)
            starts = range(0, 1 << arguments.bits, CHUNK)
            begun = time.perf_counter()
            totals = np.zeros(3, np.int64)
            for start in progress.track(starts, description=name):
                totals += run(surrogate, start)
            wrong, excused, unexplained = totals
            seconds = time.perf_counter() - begun
            print(
                f"{surrogate!r}: {len(starts) * CHUNK:,} patterns x 4 ways in {seconds:.0f} s: {wrong} wrong spikes, "
                f"{unexplained} gradients differ, {excused} more with a subnormal on the way",
                flush=True,
            )
            failed += int(wrong + unexplained)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
