"""Find where two runs of one network first spike differently, and decide whether rounding explains it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._divergence import Divergence, Flip
from arcana.testing._doubts import doubts, notes
from arcana.testing._evidence import Evidence
from arcana.testing._firing import check_threshold, slack_of
from arcana.testing._given import given_causes
from arcana.testing._orders import in_order
from arcana.testing._rounding import UNIT, spacing
from arcana.testing._run_causes import Found, search
from arcana.testing._runs import Run
from arcana.testing._sides import Pair, Sides, common_products, products_dtype, side_by_side
from arcana.testing._tensorfloat import ADVICE, Reduced, reduced, resembling, said, shared, tensorfloat_causes


def first_divergence(
    torch_run: Any,
    jax_run: Any,
    *,
    threshold: Any = 1.0,
    terms: int | None = None,
    names: Sequence[str] | None = None,
    coupled: bool | None = None,
    axes: Sequence[str] | str | None = None,
    dtype: str | None = None,
) -> Divergence:
    """Find where two runs of one network first spike differently, in which layer, and whether rounding explains it.

    The runs may come from any two: PyTorch and JAX, one framework twice, eager and compiled, a float64 reference, a simulator,
    a chip.

    Until a sample's first differing spike all its spikes are the same in both runs, so its potentials differ by
    arithmetic alone. Rounding explains the spike if both potentials lie within the accumulated rounding of that step
    from the threshold (λ·u·sqrt(2n)·size, with n = steps · terms roundings, λ = 4, and the size of the neuron's own numbers), and
    if no potential until then differs by more. Otherwise hypotheses are tried, each by applying it to one run and asking
    whether that gives the other: other weights or inputs, a dtype, a comparison, a threshold, a refractory period, the leak, a
    scale, a bias, a delay, a permutation, the state, the reset.

    Args:
        torch_run: what the one side did: a `Run` (`record` makes one), the path of an .npz, or arrays: (potentials, spikes) of
            one layer, a list of such pairs in the order of the layers, or a dict of them by name. Time first; with three
            axes or more, the second are independent samples.
        jax_run: what the other side did, likewise.
        threshold: a number, or an array that broadcasts to the potentials, for all layers; or a dict of them by layer. A
            layer that holds its own thresholds, and one without spikes, needs none.
        terms: how many numbers a neuron adds up in a step. By default the width of what comes before the layer and its
            own width, and 1024 for the first layer where the runs hold no inputs.
        names: what the two are called in the verdict; by default the runs' own names, or "torch" and "JAX".
        coupled: whether samples act on each other, as in batch normalization that trains; by default as the runs say.
        axes: the names of the axes, as `Run` has them; by default as the runs say.
        dtype: the dtype in which both compute where the potentials do not say it, "float16" or "bfloat16" for mixed precision,
            "tensorfloat32" where products may be in TensorFloat-32, as a GPU takes them; by default it is that of the potentials,
            or of the products if the first step, or inputs and weights, show it.

    Returns:
        The divergence; `assert_explained()` on it raises if rounding does not explain it.

    Raises:
        ValueError: layers or shapes differ, spikes are not 0 and 1, neither run has this threshold, or potentials were recorded
            after the reset.

    >>> import numpy as np
    >>> potentials = np.full((3, 1, 4), 0.5, np.float32)
    >>> other = potentials.copy()
    >>> potentials[2, 0, 1], other[2, 0, 1] = np.nextafter(np.float32(1), np.float32(0)), 1
    >>> found = first_divergence((potentials, potentials >= 1), (other, other >= 1))
    >>> print(found)  # doctest: +ELLIPSIS
    The first spike that differs: step 2, layer 'layer 1', neuron (0, 1). Rounding explains it.
      JAX fires; threshold 1, potential 0.99999994 in torch and 1 in JAX
      ...
    """
    if dtype not in (None, *UNIT):
        msg = f"dtype: one of {', '.join(UNIT)}, got {dtype!r}"
        raise ValueError(msg)
    one, other = Run.of(torch_run), Run.of(jax_run)
    given: dict[str, Any] = {"names": names, "coupled": coupled, "dtype": dtype}
    given["axes"] = axes.split() if isinstance(axes, str) else axes

    def arranged(one: Run, other: Run, **more: Any) -> Sides:
        return side_by_side(one, other, threshold, terms, **{**given, **more})

    sides = arranged(one, other)
    check_threshold(sides)
    if dtype is None and (products := common_products(sides)):
        sides = arranged(one, other, dtype=products)
    sides, found = _searched(one, other, sides, arranged)
    order = {pair.name: i for i, pair in enumerate(sides.pairs)}
    flips = sorted(_first_flips(sides, found), key=lambda flip: (flip.step, order[flip.layer]))
    unexplained = next((flip for flip in flips if not flip.explained), None)
    verdict, causes, doubt = _judged(sides, found, flips, unexplained, _alone(one, other, sides, arranged, coupled))
    return Divergence(
        verdict=verdict,
        first=flips[0] if flips else None,
        unexplained=unexplained,
        causes=tuple(causes),
        differing={pair.name: int(pair.flips.sum()) for pair in sides.pairs},
        spikes={pair.name: pair.flips.size for pair in sides.pairs},
        samples=(len(sides.parted), int((sides.parted < sides.steps).sum()), sum(flip.explained for flip in flips)),
        largest={pair.name: _largest(sides, i) for i, pair in enumerate(sides.pairs)},
        dtype=sides.dtype,
        torch_run=one,
        jax_run=other,
        names=sides.names,
        notes=(*doubt, *notes(one, other, sides, found)),
    )


def _searched(one: Run, other: Run, sides: Sides, arranged: Callable[..., Sides]) -> tuple[Sides, Found]:
    """Return the runs side by side, and what was found."""
    given = list(given_causes(one, other, sides.names))
    if (ordered := in_order(one, other, sides, arranged)) is not None:
        orders, other, again = ordered
        rest = [cause for cause in given_causes(one, other, sides.names) if cause.kind != "permuted"]
        found = search(one, other, again, rest)
        causes = [cause for cause in given if cause.kind == "permuted"] or orders
        return sides, dataclasses.replace(found, causes=(*causes, *found.causes), in_order=True)
    # A factor in half precision has as few bits as one in TensorFloat-32, and its sums have too.
    if given or any(products_dtype(sides)):
        return sides, search(one, other, sides, given)
    if low := reduced(one, other, sides):
        return _in_tensorfloat(one, other, sides, arranged, low)
    layers = shared(one, other, sides)
    sides = arranged(said(one, layers), said(other, layers), dtype=None) if layers else sides
    return sides, dataclasses.replace(search(one, other, sides, given), shared=layers)


def _in_tensorfloat(
    one: Run, other: Run, sides: Sides, arranged: Callable[..., Sides], low: list[Reduced]
) -> tuple[Sides, Found]:
    """Return the runs side by side, and what was found where products of layers are in TensorFloat-32.

    What else there is shows by their rounding; where both runs have it, it is the judge's too.
    """
    alike = resembling(one, other, sides)
    layers = [*(each.layer for each in low), *alike]
    runs = said(one, layers), said(other, layers)
    wide = arranged(*runs, dtype=None)
    found = dataclasses.replace(search(*runs, wide, []), reduced=low)
    alone = list(tensorfloat_causes(low, alike, sides.names))
    if not alone:
        return wide, found
    unknown = [_unexplained(wide, found)] if found.unexplained and not found.causes else []
    # A fault comes before a setting.
    return sides, dataclasses.replace(found, causes=(*found.causes, *alone, *unknown))


def _alone(one: Run, other: Run, sides: Sides, arranged: Callable[..., Sides], coupled: bool | None) -> Callable[[], bool]:
    """Return a function that says whether nothing is left to explain if samples act on each other."""

    def coupled_explains() -> bool:
        if coupled is False or not _spreads(sides):
            return False
        together = arranged(one, other, coupled=True, dtype=sides.dtype)
        found = search(one, other, together, list(given_causes(one, other, sides.names)))
        explained = all(flip.explained for flip in _first_flips(together, found))
        return together.parted.min() > 0 and not found.causes and not found.unexplained and explained

    return coupled_explains


def _spreads(sides: Sides) -> bool:
    """Whether most other samples begin to differ right after the first spike of one does, as coupled samples do."""
    first = sides.parted.min()
    others = sides.parted > first
    for i, pair in enumerate(sides.pairs):
        over = sides.untouched(i)[:, :, None] & (np.abs(pair.difference) > pair.bound)
        steps = np.flatnonzero(over.any(axis=(1, 2)))
        if steps.size and others.any() and first <= steps[0] <= first + 2:
            reached = over[steps[0]][others].mean(axis=1) > SOME
            if reached.mean() > MOST:
                return True
    return False


MOST, SOME = 0.5, 0.25
"""More than these shares of samples, and of neurons in them, a spike of another sample reaches through what couples them."""


def _judged(
    sides: Sides, found: Found, flips: list[Flip], unexplained: Flip | None, coupled_explains: Any
) -> tuple[str, Sequence[Cause], tuple[str, ...]]:
    """Return the verdict, the causes, and why it cannot be told if it cannot."""
    if found.causes:
        if (
            all(cause.kind not in ("inputs", "weights") for cause in found.causes)
            and found.causes[0].where
            and coupled_explains()
        ):
            return "cannot tell", (), (COUPLED,)
        return found.causes[0].kind, found.causes, ()
    if found.unexplained or unexplained is not None:
        if coupled_explains():
            return "cannot tell", (), (COUPLED,)
        cause = _unnamed(unexplained) if unexplained is not None and not found.unexplained else _unexplained(sides, found)
        return cause.kind, (cause,), ()
    doubt = tuple(doubts(sides, found))
    if doubt:
        return "cannot tell", (), doubt
    return ("rounding" if flips else "same"), (), ()


COUPLED = (
    "potentials of samples whose own spikes are the same differ, but only after a spike of another sample does: if samples act "
    "on each other (batch normalization that trains, an axis that is not one of samples) it is rounding, otherwise a bug; give "
    "coupled=True or False, or name the axes"
)


def _unexplained(sides: Sides, found: Found) -> Cause:
    layer = found.unexplained[0]
    i = next(i for i, pair in enumerate(sides.pairs) if pair.name == layer)
    shown = Evidence.of(sides, i)
    step = shown.over.any(axis=(1, 2)).argmax()
    over = shown.over[step]
    difference, now = shown.difference[step][over], shown.one[step][over]
    size = np.sqrt(np.sum(difference**2) / max(np.sum(now**2), np.finfo(float).tiny))
    # Each once, as it explains most: it was tried on more than one part of the run.
    best = {each.title: max(each.share, 0.0) for each in sorted(found.tried, key=lambda each: each.share)}
    tried = ", ".join(f"{title} ({share:.0%})" for title, share in sorted(best.items(), key=lambda each: -each[1])[:5])
    text = (
        f"at step {step} of layer {layer!r} the potentials of {over.sum():,} neurons differ by {size:.2g} of their "
        f"size, and no cause is known"
    )
    text = f"{text}; tried, with the share that each explains: {tried}" if tried else text
    return Cause("unknown", layer, f"{text}; {RESEMBLES}" if set(found.unexplained) <= set(found.resembling) else text)


RESEMBLES = (
    f"products in TensorFloat-32 in one run would differ by so much and so, and a GPU may take them by itself: record inputs and "
    f"weights too, which show it, or turn them off; {ADVICE}"
)


def _first_flips(sides: Sides, found: Found) -> Iterator[Flip]:
    """Yield the first differing spike of each sample that has one, in order; of coupled samples only that of the first."""
    order = [sample for sample in np.argsort(sides.parted, kind="stable") if sides.parted[sample] < sides.steps]
    for sample in order:
        step = int(sides.parted[sample])
        layers = [i for i in sides.flipping(sample) if sides.pairs[i].flips[step, sample].any()]
        candidates = [_flip(sides, found, sample, step, layer) for layer in layers]
        # In which of several layers it began is known by the order, if it is; otherwise rounding may have begun it in one.
        if candidates:
            yield next((flip for flip in candidates if flip.explained), candidates[0])


def _flip(sides: Sides, found: Found, sample: int, step: int, layer: int) -> Flip:
    pair = sides.pairs[layer]
    differing = np.flatnonzero(pair.flips[step, sample])
    # Of several in one step the one that rounding explains least.
    apart = [np.abs(side.potentials - side.threshold)[step, sample, differing] for side in pair.sides]
    place = (step, sample, differing[np.argmax(np.maximum(*apart))])
    thresholds = tuple(float(side.threshold[place]) for side in pair.sides)
    potentials = tuple(float(side.potentials[place]) for side in pair.sides)
    margins = tuple(v - limit for v, limit in zip(potentials, thresholds, strict=True))
    first_fired = bool(pair.one.fired[place])
    unit = _unit(pair, thresholds[0])
    slack = slack_of(pair)
    firing, silent = margins if first_fired else margins[::-1]
    # The one that fired may not lie below the threshold, nor the other above it, by more than the comparison itself rounds.
    ordered = firing >= -slack and silent <= slack and firing > silent
    bound = float(pair.bound[place])
    near = max(map(abs, margins)) <= bound + slack or pair.name in found.grown
    index = np.unravel_index(sample * pair.bound.shape[2] + place[2], pair.shape)
    return Flip(
        layer=pair.name,
        step=step,
        neuron=tuple(int(i) for i in index),
        fired=sides.names[0] if first_fired else sides.names[1],
        threshold=thresholds[0],
        potentials=(potentials[0], potentials[1]),
        margins=(margins[0] / unit, margins[1] / unit),
        bound=bound / unit,
        explained=ordered and near,
        names=sides.names,
    )


def _unnamed(flip: Flip) -> Cause:
    if flip.potentials[0] == flip.potentials[1]:
        text = f"{flip.fired} fires and the other does not at one and the same potential, {flip.potentials[0]:.9g}"
        return Cause("comparison", flip.layer, f"{text}: another comparison or another threshold")
    return Cause("unknown", flip.layer, "a spike differs, and the potentials before it show no cause")


def _unit(pair: Pair, threshold: float) -> float:
    """Return a unit in the last place of the threshold, or of the layer's largest potential where the threshold is 0."""
    return spacing(threshold or pair.size, pair.kept_in)


def _largest(sides: Sides, layer: int) -> tuple[float, float]:
    """Return the largest difference of potentials before any spike differs, and its bound, both in units."""
    pair = sides.pairs[layer]
    difference = np.where(sides.untouched(layer)[:, :, None], np.abs(pair.difference), 0.0)
    place = np.unravel_index(np.argmax(difference / np.maximum(pair.bound, np.finfo(float).tiny)), difference.shape)
    if difference[place] == 0.0:
        place = np.unravel_index(np.argmax(np.where(sides.untouched(layer)[:, :, None], pair.bound, 0.0)), difference.shape)
    unit = spacing(pair.size, pair.kept_in)
    return float(difference[place] / unit), float(pair.bound[place] / unit)
