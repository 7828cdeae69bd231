"""A divergence in words: the verdict, the causes, and the figures they rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arcana.testing._divergence import Divergence, Flip


def divergence_text(divergence: Divergence) -> str:
    """The verdict as a line, and the evidence under it."""
    return "\n".join([_headline(divergence), *(f"  {line}" for line in _details(divergence))])


def _headline(divergence: Divergence) -> str:
    first = divergence.first
    if first is None:
        judged = "" if divergence.explained else f", and yet the runs differ by more than rounding: {divergence.verdict}"
        return f"No spike differs{judged}."
    judged = "Rounding explains it." if divergence.explained else f"Rounding does not explain it: {divergence.verdict}."
    return f"The first spike that differs: {_place(first)}. {judged}"


def _details(divergence: Divergence) -> Iterator[str]:
    yield from (f"likely: {cause.evidence}" for cause in divergence.causes)
    first, other = divergence.first, divergence.unexplained
    if first is not None:
        yield from _margins(first)
        if other is not None and other is not first:
            yield f"the first that rounding does not explain: {_place(other)}"
            yield from _margins(other)
        yield from _counts(divergence)
    for name, (ulp, bound) in divergence.largest.items():
        yield (
            f"{name}: before any spike differs, potentials are at most {_number(ulp)} ULP apart (of the largest); "
            f"rounding in {divergence.dtype} accounts for {_number(bound)}"
        )


def _counts(divergence: Divergence) -> Iterator[str]:
    total, compared = sum(divergence.differing.values()), sum(divergence.spikes.values())
    each = ", ".join(f"{name} {count:,} of {divergence.spikes[name]:,}" for name, count in divergence.differing.items())
    yield f"from there on {total:,} of {compared:,} spikes differ: {each}"
    samples, diverging, explained = divergence.samples
    if samples > 1:
        yield f"{diverging} of {samples} samples have a spike that differs; rounding explains the first of {explained}"


def _place(flip: Flip) -> str:
    return f"step {flip.step}, layer {flip.layer!r}, neuron {flip.neuron}"


def _margins(flip: Flip) -> Iterator[str]:
    ours, theirs = flip.potentials
    yield f"{flip.fired} fires; threshold {flip.threshold:.9g}, potential {ours:.9g} in torch and {theirs:.9g} in JAX"
    margins = " and ".join(f"{margin:+,.1f} ULP in {title}" for margin, title in zip(flip.margins, ("torch", "JAX"), strict=True))
    yield f"margin to the threshold {margins}; accumulated rounding {flip.bound:,.1f} ULP"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else f"{value:.3g}"
