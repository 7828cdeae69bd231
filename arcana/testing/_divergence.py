"""The place where two runs of one network first spike differently: as values, in words, and as a picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arcana.testing._cause import Cause
from arcana.testing._runs import Run

CANNOT_TELL = "cannot tell"
"""The verdict where what the runs hold does not decide."""


class DivergenceError(AssertionError):
    """Two runs differ by more than rounding explains; the message is the divergence, `divergence` holds it.

    >>> import numpy as np
    >>> potentials = np.full((3, 1, 4), 0.5, np.float32)
    >>> spikes = potentials >= 1
    >>> found = first_divergence((potentials, spikes), (potentials + 0.1, spikes))
    >>> found.assert_explained()
    Traceback (most recent call last):
        ...
    arcana.testing._divergence.DivergenceError: No spike differs, and yet the runs differ by more than rounding: ...
    """

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(str(divergence))
        self.divergence = divergence


@dataclasses.dataclass(frozen=True)
class Flip:
    """A spike that one run has and the other has not, the first of its sample.

    Attributes:
        layer: the layer's name.
        step: from 0.
        neuron: its index without the step: (sample, ...), or (neuron,) without samples.
        fired: the name of the run in which it fired.
        threshold: the neuron's, in the one run.
        potentials: those of the one and of the other run.
        margins: potential minus threshold in each, in units in the last place of the threshold.
        bound: the accumulated rounding of the step, in the same units.
        explained: whether both margins lie inside it, on either side of the threshold as the spikes say.
        names: of the two runs.

    >>> import numpy as np
    >>> potentials = np.full((3, 1, 4), 0.5, np.float32)
    >>> other = potentials.copy()
    >>> potentials[2, 0, 1], other[2, 0, 1] = np.nextafter(np.float32(1), np.float32(0)), 1
    >>> found = first_divergence((potentials, potentials >= 1), (other, other >= 1))
    >>> found.first.step, found.first.neuron, found.first.fired, found.first.margins
    (2, (0, 1), 'JAX', (-0.5, 0.0))
    """

    layer: str
    step: int
    neuron: tuple[int, ...]
    fired: str
    threshold: float
    potentials: tuple[float, float]
    margins: tuple[float, float]
    bound: float
    explained: bool
    names: tuple[str, str] = ("torch", "JAX")

    @property
    def _place(self) -> str:
        return f"step {self.step}, layer {self.layer!r}, neuron {self.neuron}"

    def _margin_lines(self) -> Iterator[str]:
        """Yield a line with the potentials and the threshold, and one with the margins and the rounding."""
        ours, theirs = self.potentials
        one, other = self.names
        yield f"{self.fired} fires; threshold {self.threshold:.9g}, potential {ours:.9g} in {one} and {theirs:.9g} in {other}"
        margins = f"{self.margins[0]:+,.1f} ULP in {one} and {self.margins[1]:+,.1f} ULP in {other}"
        yield f"margin to the threshold {margins}; accumulated rounding {self.bound:,.1f} ULP"


@dataclasses.dataclass(frozen=True, eq=False)
class Divergence:
    """The result of `first_divergence`; printed, it is the verdict and its evidence.

    Attributes:
        verdict: "same" where no spike differs and no potential by more than rounding, "rounding" where rounding explains
            each sample's first differing spike, "cannot tell" where a fault might hide or what is needed is not known (the notes
            say what to give or record), otherwise the kind of the first cause, see `Cause`.
        first: the first spike that differs; None where none does.
        unexplained: the first spike that differs in a sample where rounding does not explain it; None where it always does.
        causes: what else than rounding the evidence points to.
        differing: the number of spikes that differ by layer, all from the first one on.
        spikes: the number of spikes that were compared by layer.
        samples: how many samples there are, how many have a differing spike, and for how many rounding explains the first.
        largest: the largest difference of two potentials before any spike differs, and the bound there, by layer, in units
            in the last place of the layer's largest potential.
        dtype: the dtype whose rounding is meant.
        names: what the one and the other run are called.
        notes: why it cannot be told, if it cannot; what was taken for granted; what was not there to be compared.

    >>> import numpy as np
    >>> potentials = np.full((3, 1, 4), 0.5, np.float32)
    >>> other = potentials.copy()
    >>> potentials[2, 0, 1], other[2, 0, 1] = np.nextafter(np.float32(1), np.float32(0)), 1
    >>> found = first_divergence((potentials, potentials >= 1), (other, other >= 1))
    >>> found.verdict, found.differing
    ('rounding', {'layer 1': 1})
    >>> found.assert_explained()
    """

    verdict: str
    first: Flip | None
    unexplained: Flip | None
    causes: tuple[Cause, ...]
    differing: dict[str, int]
    spikes: dict[str, int]
    samples: tuple[int, int, int]
    largest: dict[str, tuple[float, float]]
    dtype: str
    torch_run: Run
    jax_run: Run
    names: tuple[str, str] = ("torch", "JAX")
    notes: tuple[str, ...] = ()

    @property
    def explained(self) -> bool:
        """Whether rounding explains every difference, or there is none."""
        return self.verdict in ("same", "rounding")

    def assert_explained(self) -> None:
        """Raise a `DivergenceError`, an AssertionError, if rounding does not explain the difference."""
        if not self.explained:
            raise DivergenceError(self)

    def plot(self, path: str | Path) -> None:
        """Write a PNG, SVG or PDF: both rasters, the neuron that parts first, and how the difference grew. Needs matplotlib."""
        from arcana.testing.plot import save_divergence

        save_divergence(self, Path(path))

    def __str__(self) -> str:
        return "\n".join([self._headline(), *(f"  {line}" for line in self._details())])

    def _headline(self) -> str:
        likely = " or ".join(self.causes[0].kinds) if self.causes else self.verdict
        if self.first is None:
            judged = "" if self.explained else f", and yet the runs differ by more than rounding: {likely}"
            return f"No spike differs{', and yet a fault may hide: cannot tell' if self.verdict == CANNOT_TELL else judged}."
        judged = "Rounding explains it." if self.explained else f"Rounding does not explain it: {likely}."
        if self.verdict == CANNOT_TELL:
            judged = "Whether rounding explains it cannot be told."
        return f"The first spike that differs: {self.first._place}. {judged}"

    def _details(self) -> Iterator[str]:
        yield from (f"{'unknown' if cause.kind == 'unknown' else 'likely'}: {cause.evidence}" for cause in self.causes)
        yield from (f"note: {note}" for note in self.notes)
        if self.first is not None:
            yield from self.first._margin_lines()
            if self.unexplained is not None and self.unexplained is not self.first:
                yield f"the first that rounding does not explain: {self.unexplained._place}"
                yield from self.unexplained._margin_lines()
            yield from self._counts()
        for name, (ulp, bound) in self.largest.items():
            if math.isnan(bound):
                continue  # Every potential is 0 or NaN: a unit of nothing.
            yield (
                f"{name}: before any spike differs, potentials are at most {_number(ulp)} ULP apart (of the largest); "
                f"rounding in {self.dtype} accounts for {_number(bound)}"
            )

    def _counts(self) -> Iterator[str]:
        total, compared = sum(self.differing.values()), sum(self.spikes.values())
        each = ", ".join(f"{name} {count:,} of {self.spikes[name]:,}" for name, count in self.differing.items())
        yield f"from there on {total:,} of {compared:,} spikes differ: {each}"
        samples, diverging, explained = self.samples
        if samples > 1:
            yield f"{diverging} of {samples} samples have a spike that differs; rounding explains the first of {explained}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the runs as plain values, for JSON."""
        return {
            "verdict": self.verdict,
            "explained": self.explained,
            "names": list(self.names),
            "notes": list(self.notes),
            "first": _plain(self.first),
            "unexplained": _plain(self.unexplained),
            "causes": [dataclasses.asdict(cause) for cause in self.causes],
            "differing": self.differing,
            "spikes": self.spikes,
            "samples": dict(zip(("all", "diverging", "explained"), self.samples, strict=True)),
            "largest": {name: {"ulp": _finite(ulp), "bound": _finite(bound)} for name, (ulp, bound) in self.largest.items()},
            "dtype": self.dtype,
        }


def _plain(flip: Flip | None) -> dict[str, Any] | None:
    if flip is None:
        return None
    plain = dataclasses.asdict(flip)
    for name in ("potentials", "margins"):
        sides = (side.lower() if side == "JAX" else side for side in flip.names)
        plain[name] = {side: _finite(value) for side, value in zip(sides, plain[name], strict=True)}
    del plain["names"]
    return plain


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.3g}"
