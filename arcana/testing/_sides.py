"""Two runs side by side: where their spikes part, and which potentials before that have had the same spikes behind them."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from arcana.testing._products import products
from arcana.testing._rounding import (
    UNIT,
    accumulated_rounding,
    coarsest,
    finer_than,
    kept_in,
    numbers_of,
    rounded,
    sizes,
    terms_of_grid,
)
from arcana.testing._runs import SAMPLE, TIME, Layer, Run, layer_pairs
from arcana.testing._values import Array

NOTHING = 1e-3
"""The share of a threshold's roundoff below which a difference of potentials is none."""

TAKEN = 2.0**-12
"""The share of a threshold below which taking it off in float32 rounds a number of half precision."""

UNKNOWN_TERMS = 1024
"""The number of terms in a sum where nothing says it: its square root counts, so a factor 4 either way is one of 2."""


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
    """What one run holds of a layer, (steps, samples, neurons), numbers in float64.

    Attributes:
        name: what the verdict calls the run.
        potentials: NaN and infinities as they are.
        fired: the spikes as booleans.
        threshold: broadcasts to the potentials; NaN where the layer has none.
        allowed: where a neuron may fire.
    """

    name: str
    potentials: Array
    fired: Array
    threshold: Array
    allowed: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """One layer of both runs.

    Attributes:
        name: the layer's.
        shape: of one step, as the user has it without the axis of time.
        one, other: what each run holds.
        fires: whether the layer has a threshold.
        offset: whether potentials are known up to a constant only: margins, of a threshold that is not known.
        taken: the threshold that was probably taken off then, the caller's.
        shared_threshold: whether the threshold of each step is one run's, which the other has only while spikes are the same.
        dtype: in which it computes.
        terms: how many numbers a neuron adds up in a step.
        bound: how far rounding may take the potentials apart, (steps, samples, neurons).
    """

    name: str
    shape: tuple[int, ...]
    one: Side
    other: Side
    fires: bool
    offset: bool
    taken: Array
    shared_threshold: bool
    dtype: str
    terms: int
    bound: Array

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.one, self.other

    @property
    def kept_in(self) -> str:
        """The dtype of potentials and thresholds, which may be finer than that of the products."""
        return kept_in(self.dtype)

    @functools.cached_property
    def difference(self) -> Array:
        """The other run's potentials minus the one's; inf where only one is NaN."""
        a, b = self.one.potentials, self.other.potentials
        with np.errstate(invalid="ignore"):
            difference = b - a
        return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.where(np.isnan(difference), np.inf, difference))

    @functools.cached_property
    def step_bound(self) -> Array:
        """How far the rounding of one step alone may take the potentials apart."""
        return self.bound / np.sqrt(np.arange(1, len(self.bound) + 1))[:, None, None]

    def near(self, step: int, samples: slice) -> bool:
        """Whether the spikes that differ in a step lie within rounding of the threshold in both runs."""
        flips = self.flips[step, samples]
        return all(
            bool((np.abs(side.potentials - side.threshold)[step, samples] <= self.bound[step, samples])[flips].all())
            for side in self.sides
        )

    @property
    def size(self) -> float:
        """The largest finite potential of the one run."""
        potentials = self.one.potentials
        return float(np.abs(potentials[np.isfinite(potentials)]).max(initial=0.0))

    @property
    def flips(self) -> Array:
        """A mask of the spikes that differ."""
        return self.one.fired != self.other.fired


@dataclasses.dataclass(frozen=True, eq=False)
class Sides:
    """Both runs, layer by layer.

    Attributes:
        pairs: the layers in order.
        names: what the verdict calls the runs.
        dtype: the coarsest in which a layer computes.
        coupled: whether samples act on each other.
        ordered: whether the order of the layers is known to be that of a step.
        parted: the step of each sample's first spike that differs, the number of steps where none does.
    """

    pairs: Sequence[Pair]
    names: tuple[str, str]
    dtype: str
    coupled: bool
    ordered: bool
    parted: Array

    @property
    def steps(self) -> int:
        return len(self.pairs[0].bound)

    def flipping(self, sample: int) -> list[int]:
        """Return the layers in which spikes may have begun to differ where a sample parts.

        That is the first with such a spike if the order is known; otherwise one whose spikes lie within rounding of the
        threshold, if there is one, as the others may follow from it; otherwise all.
        """
        step = self.parted[sample]
        samples = slice(None) if self.coupled else slice(sample, sample + 1)
        found = [i for i, pair in enumerate(self.pairs) if pair.flips[step, samples].any()]
        if self.ordered or len(found) == 1:
            return found[:1]
        near = [i for i in found if self.pairs[i].near(step, samples)]
        return near[:1] or found

    def untouched(self, layer: int) -> Array:
        """Return a mask, (steps, samples), of where a layer's potentials come from the same spikes in both runs.

        Where a sample parts, the layer that has the first differing spike is among them, and what comes before it.
        """
        steps = np.arange(self.steps)[:, None]
        mask = steps < self.parted[None, :]
        for sample in np.flatnonzero(self.parted < self.steps).tolist():
            flipping = self.flipping(sample)
            mask[self.parted[sample], sample] = layer in flipping or (self.ordered and layer < flipping[0])
        return mask


def side_by_side(one: Run, other: Run, threshold: Any, terms: int | None, **said: Any) -> Sides:
    """Set two runs side by side, with the bound of each layer and the place where each sample parts.

    `said` may hold `names`, `coupled`, `axes` and `dtype`, which then hold for both runs.
    """
    names = _names(one, other, said.get("names"))
    layers, ordered = _in_order(list(layer_pairs(one, other, names)))
    ordered = ordered or one.ordered or other.ordered
    if isinstance(threshold, Mapping) and (unknown := [str(name) for name in threshold if name not in one.layers]):
        msg = f"threshold: there is no layer {', '.join(unknown)}, the runs have {', '.join(one.layers)}"
        raise ValueError(msg)
    axes = [said.get("axes") or run.axes for run in (one, other)]
    shaped = [_shaped(name, names, (a, b), threshold, axes, said.get("dtype")) for name, a, b in layers]
    coupled = (one.coupled or other.coupled) if said.get("coupled") is None else said["coupled"]
    parted = _parted(shaped, coupled)
    result = Sides(shaped, names, coarsest(pair.dtype for pair in shaped), coupled, ordered, parted)
    widths = [pair.bound.shape[2] for pair in shaped]
    inputs = [None if run.inputs is None else canonical(run.inputs, names) for run, names in zip((one, other), axes, strict=True)]
    first = next((math.prod(each.shape[2:]) for each in inputs if each is not None), UNKNOWN_TERMS)
    bounded = []
    for i, pair in enumerate(shaped):
        # What a neuron adds up: the layer before, its own layer if it is recurrent, bias, leak, reset.
        count = (terms or (first if i == 0 else widths[i - 1]) + widths[i]) + 4
        larger = np.fmax(np.abs(pair.one.potentials), np.abs(pair.other.potentials))
        seen = np.where(result.untouched(i)[:, :, None], larger, np.nan)
        given = (
            [products(x, run.parameters, pair.bound.shape) for x, run in zip(inputs, (one, other), strict=True)] if i == 0 else []
        )
        known = functools.reduce(np.maximum, (each for each in given if each is not None), np.zeros((1, 1, 1)))
        if i == 0 and not known.any():
            known = known + terms_of_grid(pair.one.potentials[0], pair.other.potentials[0], pair.kept_in)
        bound = accumulated_rounding(pair.dtype, count, sizes(seen, known))
        # What is nothing beside the threshold moves no spike.
        bound = np.maximum(bound, NOTHING * UNIT[pair.kept_in] * np.abs(pair.one.threshold)) if pair.fires else bound
        bounded.append(dataclasses.replace(pair, bound=bound, terms=count))
    return dataclasses.replace(result, pairs=bounded)


def canonical(array: Array, axes: Sequence[str]) -> Array:
    """Return an array with the axes (time, sample, ...), as views; without samples there is one."""
    if axes:
        array = np.moveaxis(array, axes.index(TIME), 0)
        if SAMPLE not in axes:
            return array[:, None]
        rest = [name for name in axes if name != TIME]
        return np.moveaxis(array, 1 + rest.index(SAMPLE), 1)
    return array if array.ndim > 2 else array[:, None]


def _names(one: Run, other: Run, said: Any) -> tuple[str, str]:
    if said is not None:
        names = tuple(str(name) for name in said)
        if len(names) != 2 or names[0] == names[1]:
            msg = f"names: two names that differ, one a run, got {said!r}"
            raise ValueError(msg)
        return names
    first, second = one.name or "torch", other.name or "JAX"
    return (f"the first ({first})", f"the second ({second})") if first == second else (first, second)


def _in_order(layers: list[tuple[str, Layer, Layer]]) -> tuple[list[tuple[str, Layer, Layer]], bool]:
    """Return the layers, and whether their order is that of a step: a dict that comes out of jax.jit is sorted by name."""
    names = [name for name, _, _ in layers]
    return layers, names != sorted(names) or (names == sorted(names, key=_natural) and len({_stem(name) for name in names}) == 1)


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _stem(name: str) -> str:
    return re.sub(r"\d+", "", name)


def _shaped(
    name: str, names: tuple[str, str], layers: tuple[Layer, Layer], threshold: Any, axes: list[Any], dtype: str | None
) -> Pair:
    """Return one layer of both runs in one shape, its bound still zero."""
    computing = dtype or _computing(layers)
    fires = all(layer.spikes is not None for layer in layers)
    step_wise = False
    sides, offset = [], False
    for layer, side, order in zip(layers, names, axes, strict=True):
        potentials = canonical(layer.potentials, order)
        shape = potentials.shape
        limit = layer.threshold
        if limit is None and not layer.margins:
            limit = np.asarray(_of_layer(threshold, name) if fires else 0.0, np.float64)
            step_wise = step_wise or (limit.ndim == layer.potentials.ndim and limit.shape[0] > 1)
        # The threshold as the runs' own arithmetic has it; margins are compared with zero.
        level = _broadcast(name, 0.0 if limit is None else rounded(np.atleast_1d(limit), kept_in(computing)), layer, order)
        values = potentials.astype(np.float64)
        offset = offset or limit is None or not np.any(level)
        if layer.margins:
            values = values + level
        fired = np.zeros(shape, bool) if layer.spikes is None else canonical(layer.spikes, order) > 0
        fires = fires and not _never(values, fired, level)
        allowed = (
            True
            if layer.refractory is None
            else ~canonical(np.broadcast_to(layer.refractory, layer.potentials.shape), order).astype(bool)
        )
        flat = (*shape[:2], math.prod(shape[2:]))
        arrays = (values, fired, level, np.broadcast_to(allowed, shape))
        sides.append(Side(side, *(array.reshape(flat) for array in arrays)))
    shape = canonical(layers[0].potentials, axes[0]).shape[1:]
    if sides[0].potentials.shape != sides[1].potentials.shape:
        msg = f"layer {name!r} has the shape {sides[0].potentials.shape} in {names[0]}, {sides[1].potentials.shape} in {names[1]}"
        raise ValueError(msg)
    has_samples = SAMPLE in axes[0] if axes[0] else layers[0].potentials.ndim > 2
    return Pair(
        name,
        shape if has_samples else shape[1:],
        sides[0],
        sides[1],
        fires,
        offset and fires,
        _taken(threshold, name, shape[1:]),
        step_wise,
        computing,
        0,
        np.zeros(sides[0].potentials.shape),
    )


def _taken(threshold: Any, name: str, shape: tuple[int, ...]) -> Array:
    """Return the threshold that a caller gives for a layer of margins, one a neuron; 0 if it is none of a step's shape."""
    level = threshold.get(name, 0.0) if isinstance(threshold, Mapping) else threshold
    try:
        return np.broadcast_to(np.asarray(level, np.float64), shape).ravel()
    except ValueError:
        return np.zeros(1)


def _broadcast(name: str, threshold: Any, layer: Layer, axes: Any) -> Array:
    try:
        return canonical(np.broadcast_to(threshold, layer.potentials.shape), axes)
    except ValueError:
        msg = f"threshold: shape {np.shape(threshold)} does not broadcast to layer {name!r}, {layer.potentials.shape}"
        raise ValueError(msg) from None


def _never(potentials: Array, fired: Array, threshold: Array) -> bool:
    """Whether a threshold stands for none: no neuron fires, and it is no number or beyond a hundred times all potentials."""
    if fired.any():
        return False
    largest = np.abs(potentials[np.isfinite(potentials)]).max(initial=0.0)
    least = np.abs(threshold).min()
    return not np.isfinite(threshold).all() or (largest > 0 and least > 1e3 * largest and least >= 1e3)


def _computing(layers: tuple[Layer, Layer]) -> str:
    """Return the coarsest dtype in which one of the two computes, as said or as its numbers show."""
    return coarsest(_computed(layer) for layer in layers)


def _computed(layer: Layer) -> str:
    own = layer.potentials.dtype.name
    if own == "float64" and numbers_of([layer.potentials]) != "float64":
        own = "float32"
    return coarsest([own, layer.dtype]) if layer.dtype else own


def products_dtype(sides: Sides) -> tuple[str, str]:
    """Return the dtype that holds what each run's layers have in the first step, when a potential is nothing but products.

    A dtype coarser than that of the potentials is one in which they were multiplied, if most numbers of later steps are finer.
    """
    found = []
    for index in (0, 1):
        first = [_first_products(pair, index) for pair in sides.pairs]
        later = [pair.sides[index].potentials[1:] for pair in sides.pairs]
        values = np.unique(np.concatenate(first))
        held = numbers_of([values]) if values.size > 16 else "float64"
        coarse = UNIT[held] > UNIT["float32"] and finer_than(later, held) > 0.5
        found.append(held if coarse else "")
    return found[0], found[1]


def _first_products(pair: Pair, index: int) -> Array:
    """Return what a layer holds in the first step, without zeros; of margins with the threshold that was probably taken off."""
    potentials = pair.sides[index].potentials[0]
    taken = np.broadcast_to(pair.taken, potentials.shape) if pair.offset else np.zeros(potentials.shape)
    values = potentials + taken
    # What is far smaller than the threshold was rounded as that was taken off.
    return values[np.isfinite(values) & (np.abs(values) > TAKEN * np.abs(taken))]


def common_products(sides: Sides) -> str:
    """Return the half-precision dtype of both runs' products; empty if there is none.

    Weights on a coarse grid have such sums too, exactly: the runs must differ in the first step, by some units of that dtype.
    """
    products = products_dtype(sides)
    if not all(products):
        return ""
    dtype = coarsest(products)
    differ = False
    for pair in sides.pairs:
        first = np.abs(pair.difference[0])
        size = np.abs(pair.one.potentials[0] + (pair.taken if pair.offset else 0.0))
        finite = np.isfinite(first) & np.isfinite(size)
        if not finite.any():
            continue
        near = 8 * UNIT[dtype] * np.maximum(size, np.quantile(size[finite], 0.75))
        differ = differ or (first[finite] > 0).any()
        if (first[finite] > near[finite]).any():
            return ""
    return dtype if differ else ""


def _of_layer(threshold: Any, name: str) -> Any:
    if not isinstance(threshold, Mapping):
        return threshold
    if name not in threshold:
        msg = f"threshold: layer {name!r} is missing, it has {', '.join(threshold)}"
        raise ValueError(msg)
    return threshold[name]


def _parted(pairs: list[Pair], coupled: bool) -> Array:
    steps, samples = pairs[0].bound.shape[:2]
    if any(pair.bound.shape[1] != samples for pair in pairs):
        msg = f"every layer has the same number of samples, got {[pair.bound.shape[1] for pair in pairs]}"
        raise ValueError(msg)
    flips = np.any([pair.flips.any(axis=2) for pair in pairs], axis=0)
    parted = np.where(flips.any(axis=0), flips.argmax(axis=0), steps)
    return np.full_like(parted, parted.min()) if coupled else parted
