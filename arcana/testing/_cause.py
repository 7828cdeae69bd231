"""A cause of a difference."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cause:
    """One cause of a difference that is not rounding.

    Attributes:
        kind: of two runs "dtype", "transposed", "permuted", "seed", "weights", "inputs", "comparison", "threshold",
            "refractory", "scale", "leak", "synapse", "bias", "delay", "state", "reset", "nan" or, where no hypothesis explains
            the difference, "unknown"; of two functions "dtype", "spikes", "forward", "surrogate" or "detached".
        where: the layer or the result where it shows; None where it concerns all.
        evidence: a sentence with the figures.
    """

    kind: str
    where: str | None
    evidence: str
