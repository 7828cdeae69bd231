"""What potentials show of the law they follow: the places that may be compared, and fits that must leave only rounding."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from arcana.testing._firing import steps_since_a_spike
from arcana.testing._rounding import UNIT
from arcana.testing._sides import Pair, Sides
from arcana.testing._values import Array

WITHIN = 0.99
"""The share of places beyond rounding that an explanation must bring within it."""

FEW = 8
"""The number of places beyond the number of coefficients below which a fit shows nothing."""

ROWS = 20_000
"""At most so many places are used to find coefficients; all are used to judge them."""

CONSTANTS = 16.0
"""By how many units roundoff two constants may differ that were computed in two ways, exp(-1/τ) among them."""

ROUNDED = 2.0
"""By how many they may differ in half precision, to which each is rounded once."""


NEURONS = 256
"""At most so many neurons are fitted one by one."""

ENOUGH = 100
"""The number of differing places from which the shape of what rounding leaves may be judged."""

LEFT = 0.5
"""The share of what differences within the rounding are that a law must leave at most."""

STIRRED = 8.0
"""By how much more than those before a neuron's first spike the differences after one must be, for a spike to set them off."""

LOOK = 5
"""In how many steps after a spike that differs another neuron shows whether it is reached."""


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """What a sum of known terms leaves of an array.

    Attributes:
        coefficients: of the terms, one each, or one for each neuron.
        within: the share of places with more than rounding, before or after, where only rounding is left.
        share: the share of the square that the terms explain, in units of the rounding.
        informative: the number of places where there was more than rounding.
        count: the number of coefficients of a neuron.
    """

    coefficients: Array
    within: float
    share: float
    informative: int
    count: int

    @property
    def holds(self) -> bool:
        return self.within >= WITHIN and self.informative >= FEW + self.coefficients.size

    def __getitem__(self, index: int) -> float:
        return float(np.median(self.coefficients[index])) if self.coefficients.shape[1] else float("nan")


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """The comparable part of one layer.

    Attributes:
        pair: the layer.
        names: of the two runs.
        mask: where both runs have had the same spikes behind them, (steps, samples, neurons).
    """

    pair: Pair
    names: tuple[str, str]
    mask: Array

    @classmethod
    def of(cls, sides: Sides, layer: int) -> Evidence:
        pair = sides.pairs[layer]
        mask = np.broadcast_to(sides.untouched(layer)[:, :, None], pair.bound.shape)
        finite = np.isfinite(pair.one.potentials) & np.isfinite(pair.other.potentials)
        found = cls(pair, sides.names, mask & finite)
        return _beyond(found, sides, finite) if layer == 0 and sides.ordered and not sides.coupled else found

    @functools.cached_property
    def one(self) -> Array:
        return np.where(np.isfinite(self.pair.one.potentials), self.pair.one.potentials, 0.0)

    @functools.cached_property
    def other(self) -> Array:
        return np.where(np.isfinite(self.pair.other.potentials), self.pair.other.potentials, 0.0)

    @functools.cached_property
    def difference(self) -> Array:
        return self.other - self.one

    @functools.cached_property
    def since(self) -> Array:
        """How many steps ago each neuron last fired in the one run; where the mask holds, in both."""
        return steps_since_a_spike(self.pair.one.fired)

    @functools.cached_property
    def never(self) -> Array:
        """Where the mask holds and the neuron has not fired yet: no reset acts, and every law of a layer is linear."""
        steps = len(self.mask)
        return self.mask & (self.since > steps)

    @functools.cached_property
    def over(self) -> Array:
        """Where the mask holds and the potentials differ by more than rounding."""
        return self.mask & (np.abs(self.difference) > self.pair.bound)

    @functools.cached_property
    def calm(self) -> Array:
        """Where a neuron's potentials differed by no more than rounding for two steps before."""
        within = np.abs(self.difference) <= self.pair.bound
        return lag(within, 1, True) & lag(within, 2, True)

    @functools.cached_property
    def acts(self) -> Array:
        """Where a difference begins: more than rounding, with none in the same neuron for two steps before."""
        return self.over & self.calm

    @functools.cached_property
    def begins(self) -> Array:
        """Where a difference would begin of a neuron that has not fired."""
        return self.never & self.calm

    @property
    def layer(self) -> str:
        return f"layer {self.pair.name!r}"

    @property
    def unit(self) -> float:
        return UNIT[self.pair.dtype]

    @property
    def constant(self) -> float:
        """How far two constants may differ that were computed in two ways, relative to themselves."""
        return max(CONSTANTS * min(self.unit, UNIT["float32"]), ROUNDED * self.unit if self.unit > UNIT["float32"] else 0.0)

    @functools.cached_property
    def scale(self) -> Array:
        """The bound, where there is none a small part of what is typical."""
        positive = self.pair.bound[self.pair.bound > 0]
        return np.maximum(self.pair.bound, 1e-3 * float(np.median(positive)) if positive.size else 1.0)

    @functools.cached_property
    def silent(self) -> Array:
        """Where the mask holds and no neuron of the sample's layer has fired yet: nothing recurs."""
        fired = self.pair.one.fired.any(axis=2) | self.pair.other.fired.any(axis=2)
        before = np.cumsum(fired, axis=0) - fired == 0
        return self.never & before[:, :, None]

    def exchanged(self) -> Evidence:
        """Return the evidence with the runs in the other order."""
        pair = dataclasses.replace(self.pair, one=self.pair.other, other=self.pair.one)
        return dataclasses.replace(self, pair=pair, names=self.names[::-1])

    def apart(self) -> Evidence:
        """Return the evidence of all neurons that have spiked alike so far, whatever others did.

        It holds for a layer whose input is the same in both runs throughout, which a fit that leaves only rounding shows.
        """
        flipped = np.cumsum(self.pair.flips, axis=0) - self.pair.flips > 0
        finite = np.isfinite(self.pair.one.potentials) & np.isfinite(self.pair.other.potentials)
        return dataclasses.replace(self, mask=finite & ~flipped)

    def moved(self, mask: Array, steps: int) -> bool:
        """Whether there was more than rounding some steps before, so that its coefficient shows."""
        return (np.abs(lag(self.difference, steps))[mask] > self.pair.bound[mask]).sum() >= FEW

    def informative_steps(self) -> int:
        """Return the number of steps in which neurons that have not fired differ."""
        return (self.over & self.never).any(axis=(1, 2)).sum()

    def until_a_spike(self) -> Evidence:
        """Return the evidence of the steps before any neuron of the sample fires."""
        return dataclasses.replace(self, mask=self.silent)

    def alone(self, index: int) -> Array:
        """Return where a neuron of one run has not fired yet, whatever the other run does."""
        side = self.pair.sides[index]
        return np.isfinite(side.potentials) & (steps_since_a_spike(side.fired) > len(side.fired))

    def fit(self, target: Array, terms: Sequence[Array], mask: Array, *, by_neuron: bool = False) -> Fit:
        """Return the coefficients of the terms that fit a target best where the mask holds, and how well.

        Of very many neurons some are taken to find out; the numbers of all are in proportion to their rounding.
        """
        scale = self.scale
        if by_neuron:
            chosen = np.unique(np.linspace(0, mask.shape[2] - 1, NEURONS).astype(int))
            # Where there is nothing to fit there is nothing to add up.
            place = np.ix_(mask[:, :, chosen].any(axis=(1, 2)), np.arange(mask.shape[1]), chosen)
            terms = [term if term.size == 1 else term[place] for term in terms]
            mask, scale, target = mask[place], scale[place], target[place]
            if not mask.size:
                return Fit(np.empty((len(terms), 0)), 0.0, 0.0, 0, len(terms))
            return _fit_by_neuron(target, terms, mask, scale)
        weight = scale[mask]
        wanted = target[mask] / weight
        columns = np.stack([np.broadcast_to(term, mask.shape)[mask] / weight for term in terms], axis=-1)
        if not wanted.size:
            return Fit(np.full((len(terms), 1), np.nan), 0.0, 0.0, 0, len(terms))
        found = _least_squares(columns, wanted)
        return _fit(found[:, None], wanted, wanted - columns @ found)


def _fit_by_neuron(target: Array, terms: Sequence[Array], mask: Array, scale: Array) -> Fit:
    weight = np.where(mask, 1.0 / scale, 0.0)
    columns = np.stack([np.broadcast_to(term, mask.shape) * weight for term in terms], axis=-1)
    columns = columns.transpose(2, 0, 1, 3).reshape(mask.shape[2], -1, len(terms))
    wanted = (target * weight).transpose(2, 0, 1).reshape(mask.shape[2], -1)
    size = np.sqrt((columns * columns).mean(axis=1, keepdims=True))
    size = np.where(size > 0, size, 1.0)
    found = np.einsum("nkm,nm->nk", np.linalg.pinv(columns / size, rcond=1e-12), wanted) / size[:, 0]
    rest = wanted - np.einsum("nmk,nk->nm", columns, found)
    inside = mask.transpose(2, 0, 1).reshape(mask.shape[2], -1)
    seen = inside.any(axis=1)
    return _fit(found[seen].T, wanted[inside], rest[inside])


def _fit(coefficients: Array, wanted: Array, rest: Array) -> Fit:
    before, left = float(wanted @ wanted), float(rest @ rest)
    # Where there is nothing to explain, nothing is explained.
    counts = (np.abs(wanted) > 1.0) | (np.abs(rest) > 1.0)
    return Fit(
        coefficients,
        float(np.mean(np.abs(rest[counts]) <= 1.0)) if counts.any() else 0.0,
        1.0 - left / before if before > 0 else 0.0,
        (np.abs(wanted) > 1.0).sum(),
        len(coefficients),
    )


def lag(array: Array, steps: int, first: float | bool = 0.0) -> Array:
    """Return an array some steps later, with the first value before it begins."""
    return np.concatenate([np.full_like(array[:steps], first), array[: max(0, len(array) - steps)]])


def _least_squares(columns: Array, wanted: Array) -> Array:
    stride = max(1, len(wanted) // ROWS)
    columns, wanted = columns[::stride], wanted[::stride]
    size = np.sqrt((columns * columns).mean(axis=0))
    size = np.where(size > 0, size, 1.0)
    return np.linalg.lstsq(columns / size, wanted, rcond=1e-12)[0] / size


def finer(found: Evidence) -> Evidence | None:
    """Return the evidence with a bound that fits its own noise, if differences within the rounding follow a law all the same.

    Those of rounding do not: a few numbers explain half of them only where there is a scale, a leak, a bias or another reset
    behind them, and they are no larger after a spike than before. What two constants differ by that were computed in two ways
    is no law.
    """
    d, a, one = found.difference, found.one, np.ones((1, 1, 1))
    size = (float(np.median(np.abs(a[found.mask]))) if found.mask.any() else 0.0) or 1.0
    # Margins hold a threshold that was taken off, and do not say what the potential of step −1 was.
    constants, later = ([one], found.never & (np.arange(len(d)) > 0)[:, None, None]) if found.pair.offset else ([], found.never)
    kept = [lag(d, 1)]
    reset = found.mask & (found.since == 1)
    # Each law: where it holds, its own term first, what is left of any difference, and how large its coefficient is if it counts.
    laws = [
        (later, [a, *constants], kept, 1.0),
        (later, [lag(a, 1), *constants, *kept], kept, 1.0),
        (later, [one, *kept], kept, size),
        *[(found.never, [one], [], size)] * bool(constants),
        (reset, [one, *kept], kept, size),
        (reset, [lag(a, 1), one, *kept], kept, 1.0),
    ]
    found_left, noise = LEFT, None
    for mask, terms, without, unit in laws:
        if np.count_nonzero(d[mask]) < ENOUGH:
            continue
        fit = found.fit(d, terms, mask)
        nothing = found.fit(d, without, mask).share if without else 0.0
        left = (1.0 - fit.share) / max(1.0 - nothing, np.finfo(float).tiny)
        if left < found_left and abs(fit[0]) > found.constant * unit:
            found_left, noise = left, np.sqrt(np.mean((d[mask] / found.scale[mask]) ** 2) * (1.0 - fit.share))
    if noise is None:
        calm, stirred = (d[mask] / found.scale[mask] for mask in (found.never, found.mask & ~found.never))
        if np.count_nonzero(calm) < ENOUGH or np.count_nonzero(stirred) < ENOUGH // 4:
            return None
        noise = np.sqrt(np.mean(calm**2))
        if np.sqrt(np.mean(stirred**2)) < STIRRED * noise:
            return None
    # The state may be finer than the products whose rounding the bound is that of.
    floor = 2 * min(found.unit, UNIT["float32"]) * np.abs(a) + np.finfo(float).tiny
    return dataclasses.replace(
        found, pair=dataclasses.replace(found.pair, bound=np.maximum(4.0 * noise * found.pair.bound, floor))
    )


def _beyond(found: Evidence, sides: Sides, finite: Array) -> Evidence:
    """Extend the mask of the first layer to neurons that still spike alike, if spikes that differ do not reach them.

    Whether they do, as in a recurrent layer, the steps after the first such spike show.
    """
    pair = found.pair
    if (sides.parted >= sides.steps).all():
        return found
    flipped = np.cumsum(pair.flips, axis=0) - pair.flips > 0
    own = finite & ~flipped
    # Only samples in which this layer has such a spike show whether it reaches other neurons.
    shown = flipped.any(axis=2) & (np.arange(sides.steps)[:, None] <= sides.parted + LOOK)
    probe = own & shown[:, :, None]
    calm = np.abs(found.difference) <= pair.bound
    if shown.any(axis=1).sum() < 3 or not calm[probe].all():
        return found
    return Evidence(pair, found.names, own)
