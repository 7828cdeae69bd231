"""A cause of a difference."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cause:
    """One cause of a difference that is not rounding.

    Attributes:
        kind: of two runs "dtype", "transposed", "permuted", "seed", "weights", "inputs", "comparison", "threshold",
            "refractory", "scale", "leak", "synapse", "bias", "delay", "state", "reset", "nan" or, where no hypothesis explains
            the difference, "unknown"; of two functions "dtype", "spikes", "forward", "surrogate", "detached", "scale",
            "gradients" or "rounding".
        where: the layer or the result where it shows; None where it concerns all.
        evidence: a sentence with the figures.
        alternatives: the kinds that would give the same numbers; the evidence names them too.

    >>> import numpy as np
    >>> potentials = np.linspace(0.1, 0.7, 60, dtype=np.float32).reshape(5, 2, 6)
    >>> silent = np.zeros(potentials.shape)
    >>> first_divergence((potentials, silent), (potentials * 0.9, silent)).causes[0].kind
    'scale'
    """

    kind: str
    where: str | None
    evidence: str
    alternatives: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind and its alternatives."""
        return (self.kind, *self.alternatives)
