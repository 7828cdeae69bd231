"""Why two runs that differ by no more than rounding may still hide a fault, and what a reader of the verdict must know."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from arcana.testing._firing import Firing, firings, slack_of
from arcana.testing._rounding import UNIT
from arcana.testing._run_causes import Found
from arcana.testing._runs import Run
from arcana.testing._sides import Pair, Sides, common_products

OF_INTEREST = 0.05
"""The share of its size by which a fault of interest moves a potential."""

BESIDE = 1e-6
"""The share of the threshold below which potentials count as nothing."""

SEEN = 0.05
"""The share of a run below which too little of it was compared."""


def doubts(sides: Sides, found: Found) -> Iterator[str]:
    """Yield each reason why a fault may hide in what was compared, and what to give or record to tell."""
    if not any(np.isfinite(side.potentials).any() for pair in sides.pairs for side in pair.sides):
        yield "nothing was compared: every potential is NaN or infinite in both runs; look for what made them so"
        return
    compared = float(np.mean([sides.untouched(i).mean() for i in range(len(sides.pairs))]))
    if compared < SEEN:
        yield (
            f"only {compared:.1%} of steps and samples were compared, as spikes differ early; record more samples, or restart "
            f"the runs from one state more often"
        )
    for i, pair in enumerate(sides.pairs):
        for side, other in (pair.sides, pair.sides[::-1]):
            alone = ~np.isfinite(side.potentials) & np.isfinite(other.potentials) & ~sides.untouched(i)[:, :, None]
            if alone.any():
                yield (
                    f"potentials of layer {pair.name!r} become NaN or infinite in {side.name} alone, after a spike of the sample "
                    f"differed: whether those of {other.name} would is not known; record where no spike differs before"
                )
    for name in found.lawful:
        yield (
            f"potentials of layer {name!r} differ by no more than rounding in {sides.dtype} may do, but not as rounding does: by "
            f"a law, or after spikes alone; record a run in a finer dtype, or restart both from one state more often"
        )
    for i, pair in enumerate(sides.pairs):
        hidden = _hidden(sides, pair, i)
        if hidden > OF_INTEREST:
            yield (
                f"potentials of layer {pair.name!r} differ by {hidden:.0%} of their size, and rounding in {pair.dtype} may do "
                f"that: a fault of that size would not show; record a run in float32, or restart both from one state more often"
            )


def _hidden(sides: Sides, pair: Pair, layer: int) -> float:
    """Return by how much of their size potentials differ that only the bound excuses."""
    mask = sides.untouched(layer)[:, :, None] & np.isfinite(pair.difference)
    size = np.maximum(np.abs(pair.one.potentials), np.abs(pair.other.potentials))
    if not mask.any():
        return 0.0
    typical = np.quantile(size[mask], 0.75)
    if pair.fires:
        typical = max(typical, BESIDE * float(np.abs(pair.one.threshold).max()))
    return float(np.quantile(np.abs(pair.difference)[mask], 0.9) / typical) if typical > 0 else 0.0


def notes(one: Run, other: Run, sides: Sides, found: Found) -> Iterator[str]:
    """Yield what was taken for granted, or was not there to be compared."""
    for i, pair in enumerate(sides.pairs):
        layer = f"layer {pair.name!r}"
        bad = int((~np.isfinite(pair.one.potentials) & ~np.isfinite(pair.other.potentials)).sum())
        if bad:
            every = pair.one.potentials.size
            yield f"{layer}: {bad:,} of {every:,} potentials are NaN or infinite in both runs and were not compared"
        if pair.fires and not (pair.one.fired.any() or pair.other.fired.any()):
            yield f"{layer} never fires in either run: its threshold, its reset and what follows were not tested"
        if pair.fires:
            yield from _periods(pair, firings(pair, sides.untouched(i)))
    if found.in_order:
        yield f"what else there is was looked for with {sides.names[1]} in the order of {sides.names[0]}"
    elif any(cause.kind == "permuted" and cause.where is None for cause in found.causes):
        yield "nothing else was looked for, as it would belong to other neurons or samples; bring both into one order first"
    if sides.coupled:
        yield "samples act on each other, so nothing after the first spike that differs was compared"
    for name in found.grown:
        yield f"layer {name!r}: its neurons amplify differences; those that rounding began grew, and none was made anew"
    if common_products(sides):
        yield f"the products of both runs are {sides.dtype} numbers, so rounding is that of {sides.dtype}"
    if found.shared:
        layers = " and ".join(f"layer {name!r}" for name in found.shared)
        yield f"{layers}: products of both runs are in TensorFloat-32, so rounding is that of it"
    for each in found.reduced:
        if not each.way:
            rounding, truncating = sides.names[::-1] if each.in_other else sides.names
            ways = f"factors rounded in {rounding} and truncated in {truncating}"
            yield f"layer {each.layer!r}: products of both runs are in TensorFloat-32, {ways}, so rounding is that of it"
    widths = {pair.dtype for pair in sides.pairs}
    if UNIT["float64"] in (
        UNIT[each.potentials.dtype.name] for run in (one, other) for each in run.layers.values()
    ) and widths == {"float32"}:
        yield "a run in float64 was compared as a reference for float32"


def _periods(pair: Pair, found: tuple[Firing, Firing]) -> Iterator[str]:
    if any(each.refractory and each.fits(slack_of(pair)) for each in found):
        steps = max(each.refractory for each in found)
        silent = f"above the threshold neurons stay silent for {steps} steps after a spike"
        yield f"layer {pair.name!r}: {silent}, which is taken for a refractory period"
