"""Find where two runs of one network first spike differently, and decide whether rounding explains it."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._divergence import Divergence, Flip
from arcana.testing._layers import Pair, SideBySide, side_by_side, spacing
from arcana.testing._run_causes import causes, check_threshold
from arcana.testing._runs import Run


def first_divergence(torch_run: Any, jax_run: Any, *, threshold: Any = 1.0, terms: int | None = None) -> Divergence:
    """Find where two runs of one network first spike differently, in which layer, and whether rounding explains it.

    Until a sample's first differing spike all its spikes are the same in both runs, so its potentials differ by
    arithmetic alone. Rounding explains the spike if both potentials lie within the accumulated rounding of that step
    from the threshold (λ·u·sqrt(2n)·max |v|, with n = steps · terms roundings and λ = 4), and if no potential until then
    differs by more. Otherwise the evidence is searched for a cause: other weights or inputs, a dtype, a comparison, a
    threshold, the leak, the reset.

    Args:
        torch_run: what PyTorch did: a `Run` (`record` makes one), the path of an .npz, or arrays: (potentials, spikes) of
            one layer, a list of such pairs in the order of the layers, or a dict of them by name. Time first; with three
            axes or more, the second are independent samples.
        jax_run: what JAX did, likewise.
        threshold: a number, or an array that broadcasts to the potentials, for all layers; or a dict of them by layer.
        terms: how many numbers a neuron adds up in a step. By default the width of what comes before the layer and its
            own width, and 1024 for the first layer where the runs hold no inputs.

    Returns:
        The divergence; `assert_explained()` on it raises if rounding does not explain it.

    Raises:
        ValueError: layers or shapes differ, spikes are not 0 and 1, or neither run has this threshold.
    """
    ours, theirs = Run.of(torch_run), Run.of(jax_run)
    sides = side_by_side(ours, theirs, threshold, terms)
    check_threshold(sides.pairs, sides.dtype)
    flips = _first_flips(sides)
    unexplained = next((flip for flip in flips if not flip.explained), None)
    found = causes(ours, theirs, sides)
    if not found and unexplained is not None:
        found = (_unnamed(unexplained),)
    verdict = found[0].kind if found else "rounding" if flips else "same"
    return Divergence(
        verdict=verdict,
        first=flips[0] if flips else None,
        unexplained=unexplained,
        causes=found,
        differing={pair.name: int(pair.flips.sum()) for pair in sides.pairs},
        spikes={pair.name: pair.flips.size for pair in sides.pairs},
        samples=(len(sides.parted), len(flips), sum(flip.explained for flip in flips)),
        largest={pair.name: _largest(sides, i) for i, pair in enumerate(sides.pairs)},
        dtype=sides.dtype,
        torch_run=ours,
        jax_run=theirs,
    )


def _first_flips(sides: SideBySide) -> list[Flip]:
    """Return the first differing spike of each sample that has one, in order."""
    places = len(sides.pairs) * len(sides.pairs[0].torch)
    order = [int(sample) for sample in np.argsort(sides.parted, kind="stable") if sides.parted[sample] < places]
    return [_flip(sides, sample, *divmod(int(sides.parted[sample]), len(sides.pairs))) for sample in order]


def _flip(sides: SideBySide, sample: int, step: int, layer: int) -> Flip:
    pair = sides.pairs[layer]
    differing = np.flatnonzero(pair.flips[step, sample])
    # Of several in one step the one that rounding explains least.
    apart = [np.abs(v - pair.threshold)[step, sample, differing] for v in (pair.torch, pair.jax)]
    place = (step, sample, int(differing[np.argmax(np.maximum(*apart))]))
    threshold = float(pair.threshold[place])
    ours, theirs = float(pair.torch[place]), float(pair.jax[place])
    fired_in_torch = bool(pair.torch_fired[place])
    unit = _unit(pair, threshold, sides.dtype)
    slack = spacing(threshold, sides.dtype) if threshold else 0.0
    firing, silent = (ours, theirs) if fired_in_torch else (theirs, ours)
    # The one that fired may not lie below the threshold, nor the other above it, by more than the comparison itself rounds.
    ordered = firing >= threshold - slack and silent <= threshold + slack and firing > silent
    index = np.unravel_index(sample * pair.torch.shape[2] + place[2], pair.shape)
    return Flip(
        layer=pair.name,
        step=step,
        neuron=tuple(int(i) for i in index),
        fired="torch" if fired_in_torch else "JAX",
        threshold=threshold,
        potentials=(ours, theirs),
        margins=((ours - threshold) / unit, (theirs - threshold) / unit),
        bound=float(pair.bound[step]) / unit,
        explained=bool(ordered and max(abs(ours - threshold), abs(theirs - threshold)) <= pair.bound[step]),
    )


def _unnamed(flip: Flip) -> Cause:
    if flip.potentials[0] == flip.potentials[1]:
        text = f"{flip.fired} fires and the other does not at one and the same potential, {flip.potentials[0]:.9g}"
        return Cause("comparison", flip.layer, f"{text}: another comparison or another threshold")
    return Cause("potentials", flip.layer, "a spike differs, and the potentials before it show no cause")


def _unit(pair: Pair, threshold: float, dtype: str) -> float:
    """Return a unit in the last place of the threshold, or of the layer's largest potential where the threshold is 0."""
    return spacing(threshold or pair.size, dtype)


def _largest(sides: SideBySide, layer: int) -> tuple[float, float]:
    """Return the largest difference of potentials before any spike differs, and its bound, both in units."""
    pair, untouched = sides.pairs[layer], sides.untouched(layer)
    difference = np.where(untouched, np.abs(pair.difference).max(axis=2), 0.0)
    step = int(np.argmax((difference / np.maximum(pair.bound, np.finfo(float).tiny)[:, None]).max(axis=1)))
    unit = spacing(pair.size, sides.dtype)
    return float(difference[step].max() / unit), float(pair.bound[step] / unit)
