"""The choices of what is measured, and one record for each number: tables and ratios are computed from records."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Self, get_args

import arcana
from arcana.surrogate import Surrogate

Part = Literal["elementwise", "memory", "layer"]
PARTS: tuple[Part, ...] = get_args(Part)
FORWARD, BOTH = "forward", "forward + backward"

OURS, KERNELS = "arcana", "arcana, compiled kernels"
PLAIN, RELU = FLOORS = ("jnp", "relu")
"""The surrogate's formula in plain jnp under jax.jit, and a function that moves the same bytes and computes no surrogate."""

Spikes = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a run."""

    parts: tuple[Part, ...] = PARTS
    frameworks: tuple[str, ...] = ("torch", "jax")
    modes: tuple[str, ...] = ("eager",)  # eager, compiled, or kernels: PyTorch's eager with and without `set_compiled_kernels`
    chosen: tuple[str, ...] = ()  # surrogates; none for the whole catalogue, and in the layer for `fast_sigmoid`
    sizes: tuple[int, ...] = (1_024, 65_536, 1_048_576, 16_777_216)  # ascending; memory is counted at the largest
    dtype: str = "float32"
    seconds: float = 0.25  # for the turns of one surrogate at one size in one mode, forward or both passes
    neurons: int = 512  # the layer's, and its inputs


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One function from a potential to spikes."""

    label: str  # ours, a floor's, or the name of the preset for a library's function
    function: Spikes
    surrogate: Surrogate | None = None  # the one whose numbers it computes
    threshold: float = 0.0  # the potential at which it fires: not 0 where the library subtracts the threshold itself
    differs: bool = False  # whether the preset's description says that the library computes something else
    setting: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext  # entered around its calls

    @property
    def numbers(self) -> str | None:
        """The surrogate as it is written: equal for ours and the peer that computes the same."""
        return None if self.surrogate is None else repr(self.surrogate)

    def centred(self, v: Any) -> Any:
        """Return the spikes of v, which is the potential less the threshold."""
        return self.function(v + self.threshold) if self.threshold else self.function(v)  # v + 0 would lose the sign of −0.0

    def neuron(self, stop_gradient: Spikes, decay: float = 0.9, fires_at: float = 1.0) -> Callable[[Any, Any], tuple[Any, Any]]:
        """Return a step of leaky integrate-and-fire neurons: from potential and current to the next potential and spikes."""
        missing = fires_at - self.threshold

        def step(potential: Any, current: Any) -> tuple[Any, Any]:
            potential = potential * decay + current
            spikes = self.function(potential - missing if missing else potential)
            return potential - stop_gradient(spikes) * fires_at, spikes

        return step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One measured number."""

    part: Part
    quantity: str  # forward, forward + backward, peak or kept
    unit: str
    value: float  # the median of the samples
    spread: float | None  # the distance between the quartiles of the samples, where there are several
    samples: int
    candidate: str  # its label
    numbers: str | None = None  # the surrogate whose numbers the candidate computes, as it is written
    differs: bool = False
    framework: str = ""
    mode: str = ""
    dtype: str = ""
    size: int = 0  # elements of the potential; in the layer its neurons
    surrogate: str = ""  # name in the catalogue of the one in whose turn this was measured

    @classmethod
    def of(cls, samples: Sequence[float], **about: Any) -> Self:
        """Return the record of some samples."""
        quartiles = statistics.quantiles(samples, n=4) if len(samples) > 1 else []
        spread = quartiles[2] - quartiles[0] if quartiles else None
        return cls(value=statistics.median(samples), spread=spread, samples=len(samples), **about)

    @property
    def shown(self) -> str:
        """The candidate's label, with a sign where a library computes something else than its preset."""
        return f"{self.candidate} ≠" if self.differs else self.candidate

    @property
    def of_peer(self) -> bool:
        """Whether the candidate is a library's function, `library.function`."""
        return self.numbers is not None and "." in self.candidate


@dataclasses.dataclass(kw_only=True)
class Results:
    """The records of a run, and where they were measured."""

    settings: dict[str, Any]
    machine: str
    packages: dict[str, str]  # with their versions
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)  # what was not measured, and why
    records: list[Record] = dataclasses.field(default_factory=list)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the results of which `dataclasses.asdict` made the data."""
        return cls(**{**data, "records": [Record(**each) for each in data["records"]]})

    def heading(self) -> str:
        """Return the machine and the packages, a line each."""
        return self.machine + "\n" + ", ".join(f"{name} {version}" for name, version in self.packages.items())


def machine() -> str:
    """Return the processor, its cores that this process may use, the system and Python."""
    information = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in information.splitlines() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = models[0] if models else platform.processor() or platform.machine()
    return f"{processor}, {cores} cores, {platform.platform()}, Python {platform.python_version()}"


def packages(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of arcana and of the packages that are installed."""
    found = {"arcana": arcana.__version__}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
