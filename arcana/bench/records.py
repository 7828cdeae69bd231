"""What is measured, and one record for each measured number: every table, ratio and picture is computed from records."""

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

Part = Literal["elementwise", "memory", "layer", "import"]
PARTS: tuple[Part, ...] = get_args(Part)
FORWARD, BOTH = "forward", "forward + backward"

OURS, KERNELS = "arcana", "arcana, compiled kernels"
PLAIN, RELU = FLOORS = ("jnp", "relu")
"""The surrogate's formula in plain jnp under jax.jit, and a function that moves the same bytes and computes no surrogate."""

DECAY, THRESHOLD = 0.9, 1.0
"""Of the layer's neurons: what a potential is multiplied by in a step, and where it fires."""

Spikes = Callable[[Any], Any]


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One measured number."""

    part: Part
    quantity: str  # forward, forward + backward, peak or kept; of an import what was imported before it
    unit: str
    value: float  # the median of the samples
    spread: float | None  # the distance between the quartiles of the samples, where there are several
    samples: int
    candidate: str  # its label, or the module that is imported
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
    information = Path("/proc/cpuinfo")
    lines = [line.partition(":") for line in information.read_text().splitlines()] if information.exists() else []
    models = [value.strip() for key, _, value in lines if key.strip() == "model name"]
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
