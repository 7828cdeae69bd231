"""The one comparison that the tests and the table share: a preset with its library, value by value."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from cases import CONSTANTS_IN_FLOAT32, DIFFERENCES, Difference

from arcana import presets
from arcana.bench.candidates import TOLERANCE, grid, relative_difference
from arcana.bench.libraries import Array, evaluate, framework_of, peer
from arcana.surrogate import Surrogate


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A preset and its library over the grid in one dtype.

    Attributes:
        error: of the preset's h, from the library's, or from what is meant where the two differ.
        described: of the library's h from what the preset's "Differs:" says of it; 0 where there is none.
        apart: of the preset's h from the library's.
        tolerance: what the first two may be.
        same_spikes: whether every spike is the same.
        spikes_at_zero: the library's and the preset's; NaN where the library raises.
        differs: whether the preset is one that differs.
    """

    error: float
    described: float
    apart: float
    tolerance: float
    same_spikes: bool
    spikes_at_zero: tuple[float, float]
    differs: bool

    @property
    def agrees(self) -> bool:
        """Whether preset and library do what the preset's description says."""
        return self.same_spikes and self.error <= self.tolerance and self.described <= self.tolerance


def evaluate_library(name: str, parameters: dict[str, Any], v: Array) -> tuple[Array, Array]:
    """Return spikes and h of v from the library's own code."""
    return evaluate(framework_of(name), peer(name, parameters).centred, v)


def compare(name: str, parameters: dict[str, Any], dtype: str, surrogate: Surrogate | None = None) -> Comparison:
    """The preset, or another surrogate in its place, with its library."""
    v = grid(dtype)
    spikes, h = evaluate(framework_of(name), surrogate or presets.get(name, **parameters), v)
    library_spikes, library_h = _evaluate_library(name, parameters, v)
    difference = DIFFERENCES.get(name)
    described = _described(difference, parameters, v, library_h)
    zero = v == 0
    return Comparison(
        error=relative_difference(h, difference.meant(v, **parameters) if difference else library_h),
        described=described,
        apart=np.inf if library_h is None else relative_difference(h, library_h),
        tolerance=TOLERANCE * float(np.finfo("float32" if name in CONSTANTS_IN_FLOAT32 else dtype).eps),
        same_spikes=library_spikes is None or bool(np.all(spikes == library_spikes)),
        spikes_at_zero=(np.nan if library_spikes is None else _one(library_spikes[zero]), _one(spikes[zero])),
        differs=difference is not None,
    )


def _evaluate_library(name: str, parameters: dict[str, Any], v: Array) -> tuple[Any, Any]:
    difference = DIFFERENCES.get(name)
    if difference is None or difference.raises is None:
        return evaluate_library(name, parameters, v)
    try:
        evaluate_library(name, parameters, v)
    except difference.raises:
        return None, None
    msg = f"{name} was to raise {difference.raises.__name__} in the library"
    raise AssertionError(msg)


def _described(difference: Difference | None, parameters: dict[str, Any], v: Array, library_h: Any) -> float:
    if difference is None or difference.library is None:
        return 0.0
    return relative_difference(library_h, difference.library(v, **parameters))


def _one(values: Array) -> float:
    """The value that 0.0 and −0.0 have in common."""
    (value,) = set(values.tolist())
    return value
