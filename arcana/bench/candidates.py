"""The candidates, measured one beside the other: ours, the libraries' functions that compute the same numbers, and the floors."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from arcana import presets, surrogate as definitions
from arcana.bench.libraries import LIBRARIES, Array, evaluate, framework_of, load, peer
from arcana.bench.records import RELU, Candidate, Part, Record, Settings
from arcana.surrogate import Surrogate

TOLERANCE = 100.0
"""How many times the dtype's epsilon two values may differ, relative to h or to a tenth of its peak."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A surrogate in one framework and mode, whose candidates take turns in one part of a run."""

    settings: Settings
    part: Part
    framework: str
    mode: str
    surrogate: str
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)  # what is not measured, and why

    @property
    def side(self) -> Any:
        """The module that makes calls of candidates in the framework."""
        return importlib.import_module(f"arcana.bench.{self.framework}_side")

    def candidates(self) -> list[Candidate]:
        """Return all that is measured in turn: ours with the numbers of every peer, or its defaults; the peers; and relu."""
        peers, left_out = peers_of(self.framework, self.surrogate)
        self.left_out.update(left_out)
        surrogates = dict.fromkeys(each.surrogate for each in peers) or [definitions.get(self.surrogate)]
        ours = [each for surrogate in surrogates for each in self.side.ours(surrogate, self.mode)]
        return [*ours, *peers, Candidate(RELU, self.side.relu)]

    def calls(self, where: str, call_of: Callable[[Candidate], Callable[[], None]]) -> dict[Candidate, Callable[[], None]]:
        """Return the call of each candidate, made once already; a library's that raises is left out."""
        found = {}
        for candidate in self.candidates():
            try:
                call = call_of(candidate)
                call()
            except Exception as error:
                if candidate not in peers_of(self.framework, self.surrogate)[0]:
                    raise
                self.left_out[f"{candidate.label}, {self.mode}, {where}"] = f"raises {one_line(error)}"
            else:
                found[candidate] = call
        return found

    def record(self, samples: Sequence[float], candidate: Candidate, **about: Any) -> Record:
        """Return the record of some samples of a candidate."""
        about |= {"framework": self.framework, "mode": self.mode, "surrogate": self.surrogate, "dtype": self.settings.dtype}
        about |= {"candidate": candidate.label, "numbers": candidate.numbers, "differs": candidate.differs}
        return Record.of(samples, part=self.part, **about)


@functools.cache
def peers_of(framework: str, surrogate: str) -> tuple[list[Candidate], dict[str, str]]:
    """Return the libraries' functions with the shape of a surrogate, and what cannot be measured and why."""
    peers, left_out = [], {}
    for library in [each for each, about in LIBRARIES.items() if about.framework == framework]:
        try:
            load(library)
        except Exception as error:
            absent = isinstance(error, ModuleNotFoundError) and error.name == library
            left_out[library] = "is not installed" if absent else f"cannot be imported: {one_line(error)}"
            continue
        for preset in presets.names(library):
            if (expected := presets.get(preset)).name == surrogate:
                if reason := disagreement(candidate := peer(preset), expected):
                    left_out[preset] = reason
                else:
                    peers.append(candidate)
    return peers, left_out


def disagreement(candidate: Candidate, surrogate: Surrogate) -> str | None:
    """Return why a library's function must not be measured beside ours: it raises, or its spikes or gradients are others.

    The numbers are compared in float32, as `nox -s peers` compares them; one that differs as its preset says needs only to run.
    """
    v, framework = grid("float32"), framework_of(candidate.label)
    try:
        spikes, h = evaluate(framework, candidate.centred, v)
    except Exception as error:
        return f"raises {one_line(error)}"
    if candidate.differs:
        return None
    our_spikes, our_h = evaluate(framework, surrogate, v)
    if wrong := int(np.sum(np.asarray(spikes) != our_spikes)):
        return f"computes other spikes at {wrong} of {v.size} potentials"
    error, tolerance = relative_difference(h, our_h), TOLERANCE * float(np.finfo("float32").eps)
    return None if error <= tolerance else f"computes gradients that differ by {error:.0e}, {tolerance:.0e} is allowed"


def grid(dtype: str) -> Array:
    """Return potentials from −4 to 4 in steps of 1/512, finer near 0, both zeros, and tails to ±16.

    Every point plus 1 or 2 is a float32, so that a library that subtracts the threshold gets the same v; the cases have
    their kinks on the grid.
    """
    wide, fine = np.linspace(-4, 4, 4097), np.linspace(-0.125, 0.125, 4097)
    tails, zeros = np.array([5, 6, 8, 10, 12, 16]), np.array([0.0, -0.0, 2.0**-20, -(2.0**-20)])
    return np.concatenate([wide, fine, tails, -tails, zeros]).astype(dtype)


def relative_difference(actual: Array, expected: Array) -> float:
    """Return the largest |actual − expected|, relative to |expected| or to a tenth of its peak; inf where one is NaN alone."""
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    peak = np.max(np.abs(expected[np.isfinite(expected)]))
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.abs(actual - expected) / np.maximum(np.abs(expected), 0.1 * peak)
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(relative), np.inf, relative))))


def one_line(error: Exception) -> str:
    """Return an error's name and the beginning of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}"
