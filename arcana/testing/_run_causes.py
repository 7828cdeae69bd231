"""The causes that two differing runs point to: what was given to them, when they fire, and the law that each layer follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._evidence import Evidence, finer
from arcana.testing._firing import firing_causes
from arcana.testing._flow import grown
from arcana.testing._identified import differences, identified
from arcana.testing._laws import Tried, laws, permutation, settled
from arcana.testing._resets import after_spikes
from arcana.testing._rounding import UNIT, finer_than, numbers_of
from arcana.testing._runs import Run
from arcana.testing._sides import Sides, products_dtype
from arcana.testing._tensorfloat import Reduced, resembling
from arcana.testing._values import Array

DISTINCT = 16
"""How many numbers that differ among themselves show of what dtype they are."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What the search for causes has found.

    Attributes:
        causes: the causes, what was given first.
        unexplained: the layers whose potentials differ by more than rounding and for which no hypothesis holds.
        tried: what was tried on the first of them, with the share that each explains.
        grown: the layers in which rounding grew with the neurons' own flow.
        lawful: the layers whose differences are within rounding, and yet follow a law that no cause explains.
        resembling: the layers that differ as products in TensorFloat-32 would have it, where nothing shows whether they do.
        reduced: the layers in which inputs and weights show it.
        in_order: whether samples or neurons had another order, and the search went on in the order of the one run.
        shared: the layers in which they show it of both runs alike.
    """

    causes: Sequence[Cause]
    unexplained: Sequence[str]
    tried: Sequence[Tried]
    grown: Sequence[str]
    lawful: Sequence[str] = ()
    resembling: Sequence[str] = ()
    reduced: Sequence[Reduced] = ()
    in_order: bool = False
    shared: Sequence[str] = ()


def search(one: Run, other: Run, sides: Sides, given: Sequence[Cause]) -> Found:
    """Return every cause that a test confirms, after those that were found in what was given."""
    if any(cause.kind == "permuted" for cause in given):
        # Then what follows belongs to other neurons or samples.
        return Found(given, (), (), ())
    firing = list(firing_causes(sides))
    products = list(_products(sides))
    causes = [*given, *(products or _dtype(one, other, sides)), *firing]
    unexplained, tried, enlarged, lawful = [], [], [], []
    for i, pair in enumerate(sides.pairs):
        found = Evidence.of(sides, i)
        named = [cause for cause in firing if cause.where == pair.name]
        causes += _nan(found, sides.untouched(i))
        order = [] if given else [cause for axis in (1, 2) for cause in permutation(found, axis).causes]
        if order and found.over.any():
            # Then thresholds and laws belong to other neurons.
            causes = [cause for cause in causes if cause not in named] + order
            continue
        if not found.over.any():
            if not given and (finest := finer(found)) is not None:
                within = next((each.causes for each in (*laws(finest), after_spikes(finest)) if each.causes), ())
                causes += within
                lawful += [] if within else [pair.name]
            continue
        here, attempts = _of_layer(found, sides, i, (one, other), given, named)
        causes += here
        if here or named:
            continue
        if grown(found):
            enlarged.append(pair.name)
        elif not given and not any(cause.kind == "dtype" for cause in causes):
            unexplained.append(pair.name)
            tried = tried or attempts
    if any(pair.offset for pair in sides.pairs) and any(cause.kind == "threshold" for cause in causes):
        # The products were told from margins with one threshold for both.
        causes = [cause for cause in causes if cause not in products]
    alike = resembling(one, other, sides) if unexplained else ()
    return Found(_merged(settled(causes)), unexplained, tried, enlarged, lawful, alike)


def _of_layer(
    found: Evidence, sides: Sides, layer: int, runs: tuple[Run, Run], given: Sequence[Cause], firing: Sequence[Cause]
) -> tuple[Sequence[Cause], list[Tried]]:
    """Return the causes in one layer, and the hypotheses that were tried."""
    first, second = identified(found, sides, layer, runs)
    if first is not None and second is not None:
        causes = list(differences(found, first, second))
        if causes or given:
            return causes, []
    elif given:
        # What was given differs, and what that does to this layer is not known: nothing else can be told.
        return [], []
    tried: list[Tried] = []
    wide = [found.apart()] if layer == 0 and sides.ordered and not sides.coupled else []
    # Without any spike of the layer, for one that recurs; but one step alone shows no leak that more steps have refuted.
    quiet = found.until_a_spike()
    refuted = quiet.informative_steps() < 2 <= found.informative_steps()
    for evidence in (*wide, found, quiet):
        if (evidence.over & evidence.never).any():
            for attempt in laws(evidence, leaks=not (refuted and evidence is quiet)):
                tried.append(attempt)
                if attempt.causes:
                    return attempt.causes, tried
    if not firing:
        attempt = after_spikes(found)
        tried.append(attempt)
        return attempt.causes, tried
    return [], tried


def _nan(found: Evidence, untouched: Array) -> Iterator[Cause]:
    """Yield where one run has NaN or an infinity and the other has not, of the same spikes before."""
    pair = found.pair
    bad = [~np.isfinite(side.potentials) for side in pair.sides]
    same = (pair.one.potentials == pair.other.potentials) | (np.isnan(pair.one.potentials) & np.isnan(pair.other.potentials))
    for side, mine, others in zip(pair.sides, bad, bad[::-1], strict=True):
        alone = mine & ~others & ~same & untouched[:, :, None]
        if alone.any():
            step, sample, neuron = np.argwhere(alone)[0]
            what = "NaN" if np.isnan(side.potentials[step, sample, neuron]) else "infinite"
            where = f"step {step} of layer {pair.name!r}, sample {sample}, neuron {neuron}"
            yield Cause("nan", pair.name, f"the potentials of {side.name} are {what} from {where} on, those of the other are not")


def _products(sides: Sides) -> Iterator[Cause]:
    """Yield the dtype that the products of one run have and those of the other have not."""
    products = products_dtype(sides)
    if products[0] != products[1]:
        low, dtype = sides.names[0 if products[0] else 1], products[0] or products[1]
        yield Cause(
            "dtype",
            None,
            f"in the first step every potential of {low} is a {dtype} number: so are its products; a compiler may leave out that "
            f"rounding, as XLA does under jit. If both are meant to compute in it, dtype={dtype!r} says so",
        )


def _dtype(one: Run, other: Run, sides: Sides) -> Iterator[Cause]:
    """Yield the dtype whose numbers one run holds and the other does not; float64 is a reference for float32."""
    arrays: list[list[Array]] = [[layer.potentials for layer in run.layers.values()] for run in (one, other)]
    held = [numbers_of(each) for each in arrays]
    if UNIT[held[0]] == UNIT[held[1]] or max(UNIT[each] for each in held) <= UNIT["float32"]:
        return
    coarse, fine = sorted((0, 1), key=lambda i: UNIT[held[i]], reverse=True)
    own = [{array.dtype.name for array in each} for each in arrays]
    # A few round numbers are numbers of every dtype.
    various = np.unique(np.concatenate([array.astype(np.float64).ravel() for array in arrays[coarse]])).size > DISTINCT
    if own[0] != own[1] or (various and finer_than(arrays[fine], held[coarse]) > 0.5):
        others = f"those of {sides.names[fine]} are {held[fine]} numbers"
        evidence = f"every potential of {sides.names[coarse]} is a {held[coarse]} number, {others}"
        yield Cause("dtype", None, evidence)


def _merged(causes: list[Cause]) -> list[Cause]:
    """Return the causes, each sentence once; thresholds that were lost with a state are no cause of their own."""
    if any(cause.kind == "state" for cause in causes):
        causes = [cause for cause in causes if cause.kind != "threshold"]
    return list(dict.fromkeys(causes))
