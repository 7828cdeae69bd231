"""The largest error of every surrogate, in every dtype and every way of calling it, against mpmath closed forms.

Run by `nox -s accuracy`, or `python tests/accuracy.py [names] [--write docs/accuracy.csv]`. float16 and bfloat16 over all
65,536 values, float32 and float64 over every exponent in both signs, the neighbours of every kink, subnormals and ±inf.
Exits with 1 if an error is above the bound 4·(1 + |v·h′(v)/h(v)|) units in the last place.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import csv
import dataclasses
import multiprocessing
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
if str(Path(__file__).parent) in sys.path:
    # Its folder `triton` would be the module of that name where Triton is not installed.
    sys.path.remove(str(Path(__file__).parent))
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import numpy as np
from known_values import KNOWN, variants
from mpmath import mpf
from truth import operands

import arcana.jax.conformance as jax_side
import arcana.torch.conformance as torch_side
from arcana import surrogate as definitions
from arcana.testing._values import BITS, from_float, hard_sample, to_float

Array = np.ndarray[Any, Any]
BOUND = 4.0
WAYS = {
    "torch eager": (torch_side, "eager"),
    "torch.compile": (torch_side, "compiled"),
    "JAX eager": (jax_side, "eager"),
    "JAX jit": (jax_side, "jit"),
}
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
LEAST = {"float64": -1022, "float32": -126, "float16": -14, "bfloat16": -126}


@dataclasses.dataclass(frozen=True)
class Truth:
    """h at some potentials: as the sum of two floats, so that float64 can be judged too, and |v·h′(v)|."""

    high: Array
    low: Array
    sensitivity: Array
    peak: float


@dataclasses.dataclass(frozen=True)
class Error:
    """The largest error in units in the last place, and the largest beside what the conditioning of h allows."""

    ulp: float
    ratio: float


def sample(dtype: str, kinks: Iterable[float]) -> Array:
    """Bit patterns: all of a 16-bit dtype, else every exponent and what lies around 0, 1 and the kinks."""
    if BITS[dtype] == 16:
        return np.arange(1 << 16, dtype=np.uint16)
    everything = hard_sample(dtype, around=(0.0, 1.0, *(abs(kink) for kink in kinks)))
    thinned = everything[np.random.default_rng(0).random(everything.size) < 12000 / everything.size]
    near = [from_float(k * (1 + np.arange(-8, 9) * 2.0 ** (1 - DIGITS[dtype])), dtype) for k in (1.0, -1.0, *kinks)]
    dense = from_float(np.random.default_rng(1).uniform(-6, 6, 4000), dtype)
    return np.unique(np.concatenate([thinned, *near, dense, from_float(np.array([0.0, -0.0, np.inf, -np.inf]), dtype)]))


def truth(surrogate: definitions.Surrogate, dtype: str, bits: Array) -> Truth:
    """h and |v·h′| of bit patterns from the closed forms."""
    known, numbers = KNOWN[surrogate.name], operands(surrogate, dtype)
    v = to_float(bits, dtype).astype(np.float64)
    high, low, sensitivity = np.zeros(v.size), np.zeros(v.size), np.zeros(v.size)
    for i, each in enumerate(v):
        x = mpf(float(each))
        h = mpf(known.h(x, **numbers))
        high[i] = float(h)
        low[i] = float(h - mpf(high[i])) if np.isfinite(high[i]) else 0.0
        sensitivity[i] = float(known.sensitivity(x, **numbers))
    return Truth(high, low, sensitivity, float(surrogate.peak))


def error_of(found: Array, exact: Truth, dtype: str) -> Error:
    """The error of gradients for a cotangent of 1, in ULP and divided by 1 + the condition number (half types: float32's)."""
    # Below this a subnormal number is the result, or is on the way to it: the tail of a bell is up to 4 times the peak.
    smallest = 2.0 ** LEAST[dtype]
    floor = smallest if dtype == "float16" else smallest * max(1.0, 4 * exact.peak)
    largest = float(np.finfo(np.float32 if dtype == "bfloat16" else dtype).max)
    magnitude = np.abs(exact.high)
    allowed = exact.sensitivity * 2.0 ** -max(DIGITS[dtype], 24)
    judged = ((magnitude >= floor) | (allowed >= floor)) & (magnitude <= largest)
    if np.isnan(found).any() or (np.abs(found[magnitude + allowed < floor]) > 2 * floor).any():
        return Error(np.inf, np.inf)
    off = np.abs((found - exact.high) - exact.low)[judged]
    unit = np.ldexp(1.0, np.frexp(np.maximum(magnitude[judged], smallest))[1] - DIGITS[dtype])
    return Error(float((off / unit).max(initial=0.0)), float((off / (unit + allowed[judged])).max(initial=0.0)))


def errors(
    surrogate: definitions.Surrogate, dtype: str, ways: Iterable[str] = tuple(WAYS), bits: Array | None = None
) -> dict[str, Error]:
    """The errors of one surrogate in one dtype, by the way of calling it."""
    bits = sample(dtype, KNOWN[surrogate.name].kinks) if bits is None else bits
    bits = bits[~np.isnan(to_float(bits, dtype))]
    exact, one = truth(surrogate, dtype, bits), from_float(np.ones(bits.size), dtype)
    v = to_float(bits, dtype)
    subnormal = (np.abs(v) < 2.0 ** LEAST[dtype]) & (v != 0)
    at_zero = truth(surrogate, dtype, from_float(np.zeros(1), dtype)).high[0]
    found = {}
    for way, (side, mode) in WAYS.items():
        ((_, gradient),) = side.spikes_and_gradients([(surrogate, bits, one, dtype)], mode)
        values = to_float(gradient, dtype).astype(np.float64)
        if side is jax_side:
            flushed = subnormal & (values == np.asarray(at_zero, to_float(gradient, dtype).dtype))
            values = np.where(flushed, exact.high, values)
        found[way] = error_of(values, exact, dtype)
    return found


def row(name: str) -> dict[tuple[str, str], Error]:
    """One surrogate: by dtype and way, the largest error over its parameter sets (half types: the default only)."""
    worst: dict[tuple[str, str], Error] = {}
    for dtype in BITS:
        for parameters in variants(name) if BITS[dtype] > 16 else [{}]:
            for way, error in errors(definitions.get(name, **parameters), dtype).items():
                before = worst.get((dtype, way), Error(0.0, 0.0))
                worst[dtype, way] = Error(max(before.ulp, error.ulp), max(before.ratio, error.ratio))
    return worst


def table(rows: dict[str, dict[tuple[str, str], Error]], dtype: str) -> str:
    lines = [f"| {dtype} | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 1) + "|"]
    for name, worst in rows.items():
        cells = [worst[dtype, way] for way in WAYS]
        lines.append(f"| `{name}` | " + " | ".join(f"{cell.ulp:.3g} ({cell.ratio:.2f})" for cell in cells) + " |")
    return "\n".join(lines)


def written(rows: dict[str, dict[tuple[str, str], Error]], file: TextIO) -> None:
    """Write a line for each surrogate, dtype and way of calling, from which the documentation's table is made."""
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(["surrogate", "dtype", "way", "ulp", "by condition"])
    for dtype in BITS:
        for name, worst in rows.items():
            for way in WAYS:
                lines.writerow([name, dtype, way, f"{worst[dtype, way].ulp:.3g}", f"{worst[dtype, way].ratio:.2f}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=sorted(KNOWN))
    parser.add_argument("--write", type=Path, metavar="CSV", help="write the numbers for the documentation, docs/accuracy.csv")
    arguments = parser.parse_args()
    # For the command alone: what else takes the functions of this file needs no rich.
    from rich.console import Console
    from rich.progress import track

    # One surrogate a process, made anew: the compilers' caches would grow with every one.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context, max_tasks_per_child=1) as pool:
        results = pool.map(row, arguments.names)
        found = list(track(results, total=len(arguments.names), console=Console(stderr=True), description="accuracy"))
    rows = dict(zip(arguments.names, found, strict=True))
    tables = "\n\n".join(table(rows, dtype) for dtype in BITS)
    print(tables)
    if arguments.write:
        with arguments.write.open("w", encoding="utf-8") as file:
            written(rows, file)
    above = [name for name, worst in rows.items() if any(error.ratio > BOUND for error in worst.values())]
    print(f"above the bound: {', '.join(above) or 'none'}", file=sys.stderr)
    return 1 if above else 0


if __name__ == "__main__":
    raise SystemExit(main())
