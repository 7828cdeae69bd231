"""Whether products in TensorFloat-32 are what two runs differ by: a layer's inputs and weights with fewer bits must give that."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._evidence import Evidence, Fit, lag
from arcana.testing._laws import LATEST
from arcana.testing._products import Sum, finite, sums
from arcana.testing._rounding import TENSORFLOAT, UNIT, shortened
from arcana.testing._runs import Run
from arcana.testing._sides import Sides, canonical
from arcana.testing._values import Array

LEFT = 0.05
"""The share of what other laws leave of the difference that the missing bits may leave of it at most."""

SIZES = 2.0**-6, 2.0
"""Between these multiples of its roundoff products in TensorFloat-32 set potentials apart, relative to their size."""

BOTH_SIGNS = 0.1
"""The share of differences that has the rarer sign at least, where they are rounding."""

ADVICE = (
    '`jax.default_matmul_precision("highest")`, `torch.backends.cuda.matmul.allow_tf32 = False` and '
    '`torch.backends.cudnn.allow_tf32 = False` keep float32, and dtype="tensorfloat32" judges by its rounding where it is meant'
)


@dataclasses.dataclass(frozen=True, eq=False)
class Reduced:
    """A layer whose products are in TensorFloat-32.

    Attributes:
        layer: its name.
        way: how the factors of one run are shortened, "rounded" or "truncated"; empty where one run does this and the other that.
        in_other: whether it is the other run in which they are, or are rounded.
        fit: how well that explains the difference.
    """

    layer: str
    way: str
    in_other: bool
    fit: Fit


def reduced(one: Run, other: Run, sides: Sides) -> list[Reduced]:
    """Return the layers in which the products of a run are in TensorFloat-32, where inputs and weights show it."""
    found = []
    for i, pair in enumerate(sides.pairs):
        if pair.dtype == "float32" and (given := _given(one, other, sides, i)) is not None:
            found += _of_layer(Evidence.of(sides, i), *given)
    return found


def _given(one: Run, other: Run, sides: Sides, layer: int) -> tuple[Array, list[Sum]] | None:
    """Return what a layer gets, (steps, samples, inputs), and the ways in which it may add it up; None if that is not known."""
    pair = sides.pairs[layer]
    steps, samples = pair.bound.shape[:2]
    if layer:
        before = sides.pairs[layer - 1]
        x, shape = (before.one.fired if before.fires else before.one.potentials), _of_step(before.shape, samples)
    else:
        run = one if one.inputs is not None else other
        if run.inputs is None or run.inputs.dtype.kind == "c":
            return None
        x = canonical(run.inputs, tuple(run.axes))
        shape = x.shape[2:]
    ways = list(sums(one.parameters or other.parameters, shape, _of_step(pair.shape, samples)))
    if x.shape[:2] != (steps, samples) or not ways:
        return None
    return finite(x.reshape(steps, samples, -1).astype(np.float64)), ways


def _of_step(shape: tuple[int, ...], samples: int) -> tuple[int, ...]:
    """Return the shape of a layer's neurons from that of a step, which has an axis of samples if there are any."""
    return shape[1:] if len(shape) > 1 and shape[0] == samples else shape


def _of_layer(found: Evidence, x: Array, ways: list[Sum]) -> Iterator[Reduced]:
    """Yield the layer if the bits that its factors lack give the difference of the runs."""
    if not found.over.any():
        return
    for each in ways:
        plain = each.of(x, each.weight)
        rounded, even, truncated = (
            each.of(*(shortened(a, truncated=cut, even=tie) for a in (x, each.weight)))
            for cut, tie in ((False, False), (False, True), (True, False))
        )
        changes = [("rounded", rounded - plain), ("truncated", truncated - plain), ("", rounded - truncated)]
        # Few factors are ties, which a library may round to even.
        for way, change in [*changes, ("rounded", even - plain), ("", even - truncated)]:
            if (explained := _explained(found, change)) is not None:
                yield Reduced(found.pair.name, way, *explained)
                return


def _explained(found: Evidence, change: Array) -> tuple[bool, Fit] | None:
    """Return whether the other run has a change of the sums, and its fit, over all steps or where a difference begins."""
    d, first = found.difference, [int(np.any(each, axis=(1, 2)).argmax()) for each in (found.over, change)]
    if not np.any(change) or not np.isfinite(change).all() or not 0 <= first[0] - first[1] <= LATEST:
        return None
    change = lag(change, first[0] - first[1])
    # What other faults do where a difference begins: a scale, a bias, a threshold that was taken off.
    others = [found.one, np.ones((1, 1, 1)), lag(d, 1)]
    at_first, alone = found.begins & (np.arange(len(d)) == first[0])[:, None, None], found.begins & found.silent
    for mask, by_neuron in ((at_first, False), (at_first, True), (alone, False), (alone, True), (found.never, False)):
        rest = [*others, lag(d, 2)] if mask is found.never else others
        # A neuron's step is smooth, and how much it takes of a change goes with the potential.
        fit = found.fit(d, [change, change * found.one, *rest], mask, by_neuron=by_neuron)
        without = found.fit(d, rest, mask, by_neuron=by_neuron)
        if fit.holds and not without.holds and 1.0 - fit.share <= LEFT * (1.0 - without.share):
            gain = fit[0] + fit[1] * float(np.median(found.one[mask]))
            whole = found.fit(d, [change, lag(d, 1), lag(d, 2)], found.never)
            return gain > 0, whole if whole.holds else fit
    return None


def shared(one: Run, other: Run, sides: Sides) -> list[str]:
    """Return the layers whose products are in TensorFloat-32 in both runs, where inputs and weights show it.

    A library may round a tie to even and the other away from zero: then the runs differ in few neurons, by no law. None where
    the runs do not differ: their own rounding judges more strictly.
    """
    found = []
    if not any(Evidence.of(sides, i).over.any() for i, _ in enumerate(sides.pairs)):
        return found
    for i, pair in enumerate(sides.pairs):
        given = _given(one, other, sides, i) if pair.dtype == "float32" else None
        if given is None:
            continue
        x, ways = given
        first = int(np.any(x, axis=(1, 2)).argmax())
        x = x[first : first + 1]
        for each in ways:
            plain = each.of(x, each.weight)[0]
            change = each.of(shortened(x), shortened(each.weight))[0] - plain
            if all(_holds(side.potentials[first], plain, change) for side in pair.sides):
                found.append(pair.name)
                break
    return found


def _holds(potentials: Array, plain: Array, change: Array) -> bool:
    """Whether potentials that nothing has acted on before, (samples, neurons), hold the change of their sums.

    What all samples of a neuron have in common, a bias or a threshold that was taken off, is left out.
    """
    if not np.isfinite(potentials).all():
        return False
    y, a, b = (np.ravel(x - x.mean(axis=0)) for x in (potentials, plain, change))
    if not (np.any(a) and np.any(b)):
        return False
    (gain, part), with_it, *_ = np.linalg.lstsq(np.stack([a, b], axis=1), y, rcond=None)
    rest = y - a * (a @ y) / (a @ a)
    return bool(
        with_it.size and with_it[0] <= LEFT * (rest @ rest) and 0.5 * abs(gain) <= part * np.sign(gain) <= 1.5 * abs(gain)
    )


def said(run: Run, layers: Sequence[str]) -> Run:
    """Return a run that says of some layers that their products are in TensorFloat-32."""
    kept = {
        name: dataclasses.replace(layer, dtype=TENSORFLOAT) if name in layers else layer for name, layer in run.layers.items()
    }
    return dataclasses.replace(run, layers=kept)


def resembling(one: Run, other: Run, sides: Sides) -> list[str]:
    """Return the layers that differ as products in TensorFloat-32 would have it, and of which nothing shows whether they do."""
    return [
        pair.name
        for i, pair in enumerate(sides.pairs)
        if pair.dtype == "float32" and _given(one, other, sides, i) is None and resembles(Evidence.of(sides, i))
    ]


def resembles(found: Evidence) -> bool:
    """Whether a layer differs where it begins to, in most neurons and by either sign, by what TensorFloat-32 may do."""
    mask = found.begins & (np.abs(found.one) > 0)
    first = mask & (found.over.any(axis=(1, 2)).cumsum() == 1)[:, None, None]
    d, size = found.difference[first], np.abs(found.one[first])
    if not d.size or np.mean(found.over[first]) < 0.25:
        return False
    apart = float(np.sqrt(np.mean(d * d)) / (np.quantile(size, 0.75) * UNIT[TENSORFLOAT]))
    positive = float(np.mean(d[d != 0] > 0))
    return SIZES[0] <= apart <= SIZES[1] and BOTH_SIGNS <= positive <= 1.0 - BOTH_SIGNS


def tensorfloat_causes(found: list[Reduced], alike: list[str], names: tuple[str, str]) -> Iterator[Cause]:
    """Yield which run multiplies in TensorFloat-32 and the other does not, one cause a run for all its layers."""
    hidden = "".join(
        f"; layer {name!r} differs as if they were there too, and its inputs or weights are not held" for name in alike
    )
    for run in (0, 1):
        here = [each for each in found if each.way and each.in_other == run]
        if not here:
            continue
        layers = " and ".join(f"layer {each.layer!r}" for each in here)
        least = min(here, key=lambda each: each.fit.share).fit
        text = (
            f"products of {names[run]} in {layers} are in TensorFloat-32, of inputs and weights {here[0].way} to 10 bits, and "
            f"those of {names[1 - run]} are not (this explains {max(min(least.share, 1.0), 0.0):.4%} of the difference, in "
            f"{sum(each.fit.informative for each in here):,} places){hidden}; {ADVICE}"
        )
        yield Cause("dtype", here[0].layer if len(here) == 1 else None, text)
