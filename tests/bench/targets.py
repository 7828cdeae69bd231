"""The project's targets for times in one table, from its design, and the measured ratios that they judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from arcana import surrogate as definitions
from arcana.bench.records import BOTH, FORWARD, OURS, PLAIN, RELU, Record
from arcana.bench.table import Ratio, ratios

RATIONAL, OTHER = "rational or piecewise", "other"
K, M = 1_024, 1_048_576


@dataclasses.dataclass(frozen=True)
class Target:
    """The largest ratio of ours to another's time of one call, by size, in float32."""

    framework: str
    mode: str
    quantities: tuple[str, ...]
    beside: str  # a candidate's label, a library, or "a library" for all
    shape: str  # a family of surrogates, the name of one, or "all"
    at_most: Mapping[int, float]

    def judges(self, ratio: Ratio) -> bool:
        """Whether the target is for the ratio."""
        at, other = ratio.ours, ratio.other
        return (
            (at.part, at.framework, at.mode, at.dtype) == ("elementwise", self.framework, self.mode, "float32")
            and at.candidate == OURS
            and at.quantity in self.quantities
            and at.size in self.at_most
            and self.beside in ("a library" if other.of_peer else "", other.candidate, other.candidate.partition(".")[0])
            and self.shape in ("all", at.surrogate, family(at.surrogate))
        )


TARGETS = (
    Target("torch", "eager", (BOTH,), "a library", RATIONAL, {K: 1.0, 64 * K: 0.75, M: 0.5, 16 * M: 0.45}),
    Target("torch", "eager", (BOTH,), "a library", OTHER, {K: 1.0, 64 * K: 0.75, M: 0.75, 16 * M: 0.75}),
    Target("torch", "eager", (BOTH,), RELU, "fast_sigmoid", {16 * M: 1.25}),
    Target("jax", "compiled", (FORWARD, BOTH), PLAIN, "all", {K: 1.1, 64 * K: 1.1, M: 1.1, 16 * M: 1.1}),
    Target("jax", "eager", (BOTH,), "braintools", "all", {M: 0.5}),
)


def family(surrogate: str) -> str:
    """Return `RATIONAL` for a surrogate whose gradients are the same bits everywhere, `OTHER` for one with exp, cos, a power."""
    module = type(definitions.get(surrogate)).__module__.rpartition(".")[2]
    return RATIONAL if module in ("piecewise", "rational", "straight_through") else OTHER


def judged(records: Iterable[Record]) -> list[tuple[Target, Ratio]]:
    """Return every ratio that a target is for, with that target."""
    return [(target, ratio) for ratio in ratios(records) for target in TARGETS if target.judges(ratio)]


def missed(records: list[Record]) -> list[str]:
    """Return a line for every missed target."""
    found = judged(records)
    return [f"{ratio}, at most {most:g}" for target, ratio in found if ratio.value > (most := target.at_most[ratio.ours.size])]
