"""What is measured beside what: of each surrogate ours, the libraries' with the same shape, and the floors below all."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from arcana import presets, surrogate as definitions
from arcana.bench.agreement import TOLERANCE, grid, relative_difference
from arcana.bench.libraries import LIBRARIES, Peer, Spikes, evaluate, load, peer
from arcana.surrogate import Surrogate

OURS, KERNELS, BARE, RELU, COPY = "arcana", "arcana, compiled kernels", "jnp", "relu", "copy"
"""Labels: ours, the same with `set_compiled_kernels(True)`, its formula in plain jnp, and what moves the same bytes."""

DIFFERS = " ≠"
"""After the name of a library's function that computes something else than its preset."""

Setting = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One function from a potential to spikes.

    Attributes:
        label: `arcana`, a preset's name for a library's function, or a floor's.
        function: what is called.
        surrogate: whose numbers it computes; None for `relu` and `copy`.
        threshold: the potential at which it fires.
        differs: whether the preset's description says that the library computes something else.
        setting: what is entered around its calls.
    """

    label: str
    function: Spikes
    surrogate: Surrogate | None = None
    threshold: float = 0.0
    differs: bool = False
    setting: Setting = contextlib.nullcontext

    @property
    def numbers(self) -> str | None:
        """The surrogate as it is written: equal for ours and the peer that computes the same."""
        return None if self.surrogate is None else repr(self.surrogate)


@dataclasses.dataclass(frozen=True)
class Field:
    """The libraries of one framework that can be measured.

    Attributes:
        side: `torch_side` or `jax_side`.
        peers: by the name of the surrogate in the catalogue.
        left_out: what cannot be measured, and why.
    """

    side: Any
    peers: dict[str, list[Candidate]]
    left_out: dict[str, str]

    def candidates(self, name: str, mode: str) -> list[Candidate]:
        """Everything that is measured in turn for one surrogate: ours for the numbers of every peer, or at its defaults."""
        peers = self.peers.get(name, [])
        surrogates = dict.fromkeys(each.surrogate for each in peers) or [definitions.get(name)]
        ours = [each for surrogate in surrogates for each in self.side.ours(surrogate, mode)]
        return [*ours, *peers, *self.side.floors(mode)]


def field_of(framework: str, names: Iterable[str]) -> Field:
    """The peers of these surrogates in a framework: those that are installed and compute what their preset says.

    Errors: ImportError where the framework itself is missing.
    """
    side = importlib.import_module(f"arcana.bench.{framework}_side")
    peers: dict[str, list[Candidate]] = {}
    left_out: dict[str, str] = {}
    for library in [each for each, about in LIBRARIES.items() if about.framework == framework]:
        if reason := _cannot_be_loaded(library):
            left_out[library] = reason
            continue
        for preset in presets.names(library):
            surrogate = presets.get(preset)
            if surrogate.name not in names:
                continue
            candidate = _candidate(preset, surrogate)
            if reason := disagreement(framework, candidate):
                left_out[preset] = reason
            else:
                peers.setdefault(surrogate.name, []).append(candidate)
    return Field(side, peers, left_out)


def _cannot_be_loaded(library: str) -> str | None:
    try:
        load(library)
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == library
        return "is not installed" if absent else f"cannot be imported: {one_line(error)}"
    return None


def _candidate(preset: str, surrogate: Surrogate) -> Candidate:
    theirs: Peer = peer(preset)
    differs = "\nDiffers: " in presets.describe(preset)
    return Candidate(preset, theirs.function, surrogate, theirs.threshold, differs)


def disagreement(framework: str, candidate: Candidate) -> str | None:
    """Why a library's function must not be timed beside ours: it raises, or its spikes or gradients are others.

    The numbers are compared in float32, as `nox -s peers` compares them; one whose preset says "Differs:" needs only to run.
    """
    v = grid("float32")
    potential = v + v.dtype.type(candidate.threshold) if candidate.threshold else v
    try:
        spikes, h = evaluate(framework, candidate.function, potential)
    except Exception as error:
        return f"raises {one_line(error)}"
    if candidate.differs:
        return None
    spike = importlib.import_module(f"arcana.{framework}").spike
    our_spikes, our_h = evaluate(framework, lambda v: spike(v, candidate.surrogate), v)
    wrong = int(np.sum(np.asarray(spikes) != our_spikes))
    if wrong:
        return f"computes other spikes at {wrong} of {v.size} potentials"
    error = relative_difference(h, our_h)
    tolerance = TOLERANCE * float(np.finfo("float32").eps)
    return None if error <= tolerance else f"computes gradients that differ by {error:.0e}, {tolerance:.0e} is allowed"


def is_peer(label: str) -> bool:
    """Whether a candidate is a library's: presets are named `library.function`."""
    return "." in label


def shown(candidate: str, differs: bool) -> str:
    """A candidate's label, with a sign where a library computes something else than its preset."""
    return candidate + DIFFERS if differs else candidate


def one_line(error: Exception) -> str:
    """An error's name and the beginning of its message."""
    first = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first[0][:120]}"
