"""The targets, from the project's design, in one table; and what met them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from arcana import surrogate as definitions
from arcana.bench.candidates import BARE, RELU
from arcana.bench.elementwise import BOTH, FORWARD
from arcana.bench.imports import Import
from arcana.bench.ratios import Ratio

RATIONAL = "rational or piecewise"
OTHER = "other"
_RATIONAL_MODULES = ("piecewise", "rational", "straight_through")

IMPORT_MILLISECONDS = 20.0
"""What `import arcana.torch` may add to `import torch`, and `import arcana.jax` to `import jax`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A largest ratio of ours to another's time, in float32.

    Attributes:
        framework: torch or jax.
        mode: eager or compiled.
        passes: in which passes.
        beside: a candidate's label, a library, or "peer" for all libraries.
        at_most: the largest ratio by size.
        family: of the surrogates that it is for; None for all.
        surrogate: the one that it is for; None for all.
    """

    framework: str
    mode: str
    passes: tuple[str, ...] = (BOTH,)
    beside: str
    at_most: Mapping[int, float]
    family: str | None = None
    surrogate: str | None = None

    def is_for(self, ratio: Ratio) -> bool:
        """Whether the target says something of a ratio."""
        at, other = ratio.ours, ratio.other
        return (
            (at.framework, at.mode, at.dtype) == (self.framework, self.mode, "float32")
            and at.passes in self.passes
            and at.size in self.at_most
            and (ratio.beside_peer if self.beside == "peer" else self.beside in (other.candidate, library(other.candidate)))
            and self.family in (None, family(at.surrogate))
            and self.surrogate in (None, at.surrogate)
        )


K, M = 1_024, 1_048_576
TARGETS = (
    Target(
        framework="torch",
        mode="eager",
        beside="peer",
        family=RATIONAL,
        at_most={K: 1.0, 64 * K: 0.75, M: 0.5, 16 * M: 0.45},
    ),
    Target(
        framework="torch",
        mode="eager",
        beside="peer",
        family=OTHER,
        at_most={K: 1.0, 64 * K: 0.75, M: 0.75, 16 * M: 0.75},
    ),
    Target(framework="torch", mode="eager", beside=RELU, surrogate="fast_sigmoid", at_most={16 * M: 1.25}),
    Target(
        framework="jax",
        mode="compiled",
        passes=(FORWARD, BOTH),
        beside=BARE,
        at_most={K: 1.1, 64 * K: 1.1, M: 1.1, 16 * M: 1.1},
    ),
    Target(framework="jax", mode="eager", beside="braintools", at_most={M: 0.5}),
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A measured ratio beside the largest that its target allows."""

    ratio: Ratio
    at_most: float

    @property
    def met(self) -> bool:
        """Whether the ratio is within the target."""
        return self.ratio.value <= self.at_most

    def __str__(self) -> str:
        return f"{self.ratio}, at most {self.at_most:g}"


def family(surrogate: str) -> str:
    """`RATIONAL` for the surrogates whose gradients are the same bits everywhere, `OTHER` for those with exp, cos or a power."""
    module = type(definitions.get(surrogate)).__module__.rpartition(".")[2]
    return RATIONAL if module in _RATIONAL_MODULES else OTHER


def library(label: str) -> str:
    """The library of a candidate's label."""
    return label.partition(".")[0]


def verdicts(ratios: Iterable[Ratio]) -> list[Verdict]:
    """Every ratio of which a target says something, with that target."""
    return [Verdict(each, target.at_most[each.ours.size]) for each in ratios for target in TARGETS if target.is_for(each)]


def late(imports: Iterable[Import]) -> list[Import]:
    """The imports that add more than they may to their framework's."""
    return [each for each in imports if each.after is not None and each.milliseconds > IMPORT_MILLISECONDS]
