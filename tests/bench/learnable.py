"""What a parameter that trains costs beside one that is a fixed number: `python tests/bench/learnable.py [--write CSV]`.

Forward and backward, for every surrogate and parameter, in turn in one run: the least time at each of some sizes, and the bytes
an element at the peak beyond the arguments, for PyTorch as the kernel counts them and for JAX as XLA plans them. FastSigmoid
is there twice more: by hand, for what a second gradient costs anyway, and with a value for each of 64 channels. The table in the
documentation is made from the file.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import functools
import math
import statistics
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import torch

import arcana.jax
import arcana.torch
from arcana import surrogate as definitions
from arcana.bench import memory
from arcana.bench.records import Candidate, machine, packages
from arcana.bench.timing import in_turn
from arcana.surrogate import Surrogate

SIZES = (1_024, 65_536, 1_048_576)
COUNTED = 1 << 24
COMPILED = ("atan", "fast_sigmoid", "rectangular", "sigmoid", "triangular")
"""The surrogates that torch.compile is asked for: each compilation takes seconds."""

AT_MOST = {("torch", "eager"): (2.0, 1.5, 1.5), ("torch", "compiled"): (1.1,) * 3, ("jax", "compiled"): (1.2,) * 3}
BYTES = 16.0
FIXED = "fixed"
BY_HAND, BY_CHANNEL = " by hand", " by channel"
CHANNELS = 64
COLUMNS = ("framework", "mode", "surrogate", "parameter", "n", "unit", "fixed", "learnable", "ratio", "at most")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One parameter that trains, beside the surrogate with fixed numbers."""

    framework: str
    mode: str
    surrogate: str
    parameter: str
    n: int
    unit: str
    fixed: float
    learnable: float
    at_most: float

    @property
    def judged(self) -> float:
        """What the bound is of: a ratio of times, or bytes."""
        return self.learnable if self.unit == "bytes" else self.learnable / self.fixed

    def row(self) -> list[Any]:
        """Return the line of the file."""
        about = [self.framework, self.mode, self.surrogate, self.parameter, self.n, self.unit]
        return [
            *about,
            f"{self.fixed:.4g}",
            f"{self.learnable:.4g}",
            f"{self.learnable / self.fixed:.3g}",
            f"{self.at_most:g}" if self.at_most < math.inf else "",
        ]


def definition_of(surrogate: str) -> Surrogate:
    return definitions.get(surrogate.removesuffix(BY_HAND).removesuffix(BY_CHANNEL))


def parameters_of(surrogate: str) -> list[str]:
    return [name for name in definition_of(surrogate).numbers if name != "gain"]


@functools.cache
def arrays(surrogate: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    generator, shape = np.random.default_rng(0), (n // CHANNELS, CHANNELS) if surrogate.endswith(BY_CHANNEL) else (n,)
    return generator.standard_normal(shape, np.float32), generator.standard_normal(shape, np.float32)


def value_of(surrogate: str, parameter: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the parameter's default, as one number or for each channel."""
    every = (CHANNELS,) if surrogate.endswith(BY_CHANNEL) else shape
    return np.full(every, getattr(definition_of(surrogate), parameter), np.float32)


def torch_call(surrogate: str, parameter: str | None, n: int, mode: str) -> Callable[[], Any]:
    definition = definition_of(surrogate)
    v, cotangent = (torch.from_numpy(x.copy()) for x in arrays(surrogate, n))
    learnable = {parameter: torch.from_numpy(value_of(surrogate, parameter, (1,))).requires_grad_()} if parameter else {}
    leaves = (v.requires_grad_(), *learnable.values())

    def ours(v: torch.Tensor, *tensors: Any) -> torch.Tensor:
        return arcana.torch.spike(v, definition, **dict(zip(learnable, tensors, strict=True)))

    spikes = by_hand.torch_spikes if surrogate.endswith(BY_HAND) else ours

    # As in `arcana.bench.torch_side`: Dynamo keeps what it compiles with the code object, and each would pay for the others.
    own = types.FunctionType(spikes.__code__.replace(), spikes.__globals__, closure=spikes.__closure__)
    function = torch.compile(own, dynamic=False) if mode == "compiled" else spikes
    return lambda: torch.autograd.grad(function(*leaves), leaves, cotangent)


def jax_function(surrogate: str, parameter: str | None, n: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    definition = definition_of(surrogate)
    v, cotangent = (jnp.asarray(x) for x in arrays(surrogate, n))
    given = (v, jnp.asarray(value_of(surrogate, parameter, ()))) if parameter else (v,)

    def ours(v: jax.Array, *values: Any) -> jax.Array:
        return arcana.jax.spike(v, definition, **({parameter: values[0]} if parameter else {}))

    spikes = by_hand.jax_spikes if surrogate.endswith(BY_HAND) else ours

    def both(cotangent: jax.Array, *operands: jax.Array) -> Any:
        found, pull = jax.vjp(spikes, *operands)
        return found, pull(cotangent)

    return jax.jit(both), (cotangent, *given)


def jax_call(surrogate: str, parameter: str | None, n: int, mode: str) -> Callable[[], Any]:
    function, operands = jax_function(surrogate, parameter, n)
    return lambda: jax.block_until_ready(function(*operands))


def times(framework: str, mode: str, surrogate: str, n: int, seconds: float, at_most: float) -> Iterator[Cell]:
    make = torch_call if framework == "torch" else jax_call
    named = [None, *parameters_of(surrogate)]
    calls = {Candidate(name or FIXED, str): make(surrogate, name, n, mode) for name in named}
    least = {candidate.label: 1e6 * min(turns) for candidate, turns in in_turn(calls, seconds).items()}
    bound = math.inf if surrogate.endswith(BY_HAND) else at_most
    for name in named[1:]:
        yield Cell(framework, mode, surrogate, str(name), n, "µs", least[FIXED], least[str(name)], bound)


def torch_bytes(surrogate: str) -> list[float]:
    """Return the bytes an element at the peak, fixed first; in a process of its own."""
    found = []
    for name in (None, *parameters_of(surrogate)):
        call = torch_call(surrogate, name, COUNTED, "eager")
        call()
        found.append(memory.use_of(lambda call=call: call() and None)[0] / COUNTED)
    return found


def jax_bytes(surrogate: str) -> list[float]:
    """Return the bytes an element that XLA plans for results and scratch, fixed first."""
    found = []
    for name in (None, *parameters_of(surrogate)):
        function, operands = jax_function(surrogate, name, SIZES[-1])
        planned: Any = function.lower(*operands).compile().memory_analysis()  # pyright: ignore[reportFunctionMemberAccess]
        found.append((planned.temp_size_in_bytes + planned.output_size_in_bytes) / SIZES[-1])
    return found


def measured(surrogates: list[str], seconds: float) -> Iterator[Cell]:
    # As in `arcana.bench.run`: then glibc keeps freed memory, and no call times page faults.
    bytes(1 << 24)
    for (framework, mode), bounds in AT_MOST.items():
        for surrogate in surrogates:
            if (framework, mode) == ("torch", "compiled") and definition_of(surrogate).name not in COMPILED:
                continue
            for n, at_most in zip(SIZES, bounds, strict=True):
                yield from times(framework, mode, surrogate, n, seconds, at_most)
            if mode == "compiled":
                torch.compiler.reset()
                jax.clear_caches()
    with memory.counting_process() as executor:
        for surrogate in surrogates:
            counted = {"jax": jax_bytes(surrogate)}
            if executor:
                counted["torch"] = executor.submit(torch_bytes, surrogate).result()
            for framework, (fixed, *others) in counted.items():
                mode, n = ("eager", COUNTED) if framework == "torch" else ("compiled", SIZES[-1])
                for name, each in zip(parameters_of(surrogate), others, strict=True):
                    bound = math.inf if surrogate.endswith(BY_HAND) else BYTES
                    yield Cell(framework, mode, surrogate, name, n, "bytes", fixed, each, bound)


def summary(cells: list[Cell]) -> Iterator[str]:
    """Yield a line for each way and size: the median ratio of the library's parameters, and how many meet their target."""
    groups: dict[tuple[str, str, int], list[Cell]] = {}
    for each in cells:
        if each.unit == "µs" and not each.surrogate.endswith((BY_HAND, BY_CHANNEL)):
            groups.setdefault((each.framework, each.mode, each.n), []).append(each)
    for (framework, mode, n), found in groups.items():
        median, met = statistics.median(each.judged for each in found), sum(each.judged <= each.at_most for each in found)
        yield f"{framework} {mode} {n}: median {median:.2f}, met by {met} of {len(found)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surrogate", action="append", help="one; may be repeated; all that have parameters if none is named")
    parser.add_argument("--seconds", type=float, default=0.25, help="for the turns of one surrogate at one size")
    parser.add_argument("--write", type=Path, metavar="CSV")
    arguments = parser.parse_args()
    cells = []
    every = ["fast_sigmoid" + BY_HAND, "fast_sigmoid" + BY_CHANNEL, *(x for x in definitions.names() if parameters_of(x))]
    for cell in measured(arguments.surrogate or every, arguments.seconds):
        cells.append(cell)
        row = [str(each) for each in cell.row()]
        print(*row, "missed" if cell.judged > cell.at_most else "", flush=True)
    print(*summary(cells), sep="\n")
    missed = [each for each in cells if each.judged > each.at_most]
    print(f"missed targets: {len(missed)} of {sum(each.at_most < math.inf for each in cells)}")
    if arguments.write:
        with arguments.write.open("w", encoding="utf-8", newline="") as file:
            versions = ", ".join(f"{name} {version}" for name, version in packages(["torch", "jax"]).items())
            file.writelines(f"# {line}\n" for line in (machine(), versions))
            lines = csv.writer(file, lineterminator="\n")
            lines.writerows([COLUMNS, *(each.row() for each in cells)])
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
