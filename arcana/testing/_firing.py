"""When a run fires: between which potentials it begins to, and how long it may not after a spike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._rounding import UNIT
from arcana.testing._sides import Pair, Side, Sides
from arcana.testing._values import Array

LONGEST = 64
"""The longest refractory period that is inferred."""


@dataclasses.dataclass(frozen=True)
class Firing:
    """The distances from the threshold between which a run begins to fire.

    Attributes:
        low: the largest distance at which a neuron that may fire does not.
        high: the smallest at which one fires.
        refractory: for how many steps after a spike neurons stay silent above the threshold; 0 if none does.
    """

    low: float
    high: float
    refractory: int = 0

    @classmethod
    def of(cls, potentials: Array, fired: Array, threshold: Array, allowed: Array | bool = True) -> Firing:
        margin = potentials - threshold
        silent, firing = margin[~fired & allowed & ~np.isnan(margin)], margin[fired & ~np.isnan(margin)]
        return cls(float(silent.max(initial=-np.inf)), float(firing.min(initial=np.inf)))

    def fits(self, slack: float) -> bool:
        return self.low <= slack and self.high >= -slack

    @property
    def comparison(self) -> str:
        """The comparison, `>=` or `>`, if a potential on the threshold shows it; empty if none does."""
        if self.low < 0.0 == self.high:
            return ">="
        return ">" if self.low == 0.0 < self.high else ""

    def text(self, threshold: float) -> str:
        if self.low >= self.high:
            return f"fires at {threshold + self.high:.6g} and does not at {threshold + self.low:.6g}"
        return f"begins to fire above {threshold + self.low:.6g}, at most at {threshold + self.high:.6g}"


def firings(pair: Pair, seen: Array) -> tuple[Firing, Firing]:
    """Return how each run fires; its own potentials say it, in the steps and samples of `seen`."""
    return _firing(pair, pair.one, seen), _firing(pair, pair.other, seen)


def slack_of(pair: Pair) -> float:
    """Return how far from the threshold a comparison may err: by a rounding or two of the threshold."""
    level = np.abs(pair.one.threshold).max()
    return 4 * UNIT[pair.kept_in] * float(level if level > 0 else pair.size)


def _firing(pair: Pair, side: Side, seen: Array) -> Firing:
    seen = np.broadcast_to(seen[:, :, None], side.fired.shape)
    mask = seen & side.allowed
    potentials = np.where(seen, side.potentials, np.nan)
    found = Firing.of(potentials, side.fired, side.threshold, mask)
    slack = slack_of(pair)
    if found.low <= slack:
        return found
    age = steps_since_a_spike(side.fired)
    over = ~side.fired & mask & (side.potentials - side.threshold > slack)
    period = age[over].max()
    # In a refractory period no neuron fires, whatever its potential, and one that has not fired yet is in none.
    if period > min(LONGEST, len(age)) or (side.fired & (age <= period)).any():
        return found
    rest = Firing.of(potentials, side.fired, side.threshold, mask & (age > period))
    return dataclasses.replace(rest, refractory=period)


def steps_since_a_spike(fired: Array) -> Array:
    """Return how many steps ago each neuron last fired, before the step itself; the number of steps plus one if never."""
    steps = len(fired)
    at = np.arange(1, steps + 1)[:, None, None]
    last = np.maximum.accumulate(np.where(fired, at, 0), axis=0)
    before = np.concatenate([np.zeros_like(last[:1]), last[:-1]])
    return np.where(before > 0, at - before, steps + 1)


def firing_causes(sides: Sides) -> Iterator[Cause]:
    """Yield the comparison, the threshold or the refractory period in which the runs of a layer differ."""
    for i, pair in enumerate(sides.pairs):
        if not pair.fires or not (pair.one.fired.any() or pair.other.fired.any()):
            continue
        yield from _own_thresholds(pair, sides.untouched(i))
        seen = sides.untouched(i) if pair.shared_threshold else np.ones(pair.bound.shape[:2], bool)
        yield from _of_layer(pair, *firings(pair, seen), sides.names)


def _of_layer(pair: Pair, one: Firing, other: Firing, names: tuple[str, str]) -> Iterator[Cause]:
    slack = slack_of(pair)
    level = float(pair.one.threshold.flat[0])
    if one.fits(slack) and other.fits(slack):
        if {one.comparison, other.comparison} == {">", ">="}:
            rules = f"{names[0]} fires where v {one.comparison} threshold and {names[1]} where v {other.comparison} threshold"
            yield Cause("comparison", pair.name, f"in layer {pair.name!r} {rules}")
        yield from _periods(pair, (one, other))
        return
    texts = f"layer {pair.name!r} in {names[0]} {one.text(level)}; in {names[1]} it {other.text(level)}"
    fails = [(side, found) for side, found in zip(pair.sides, (one, other), strict=True) if not found.fits(slack)]
    places = ", ".join(f"in {side.name} {_neurons(side, slack)}" for side, _ in fails)
    text = f"{texts} ({places} not at the threshold {level:g} that was given)"
    if any(_moves(side, slack) for side, _ in fails):
        moves = "one neuron does both, so its threshold moves, or it has a refractory period, or its state was reset"
        yield Cause("threshold", pair.name, f"{text}; {moves}", ("refractory", "state"))
    else:
        yield Cause("threshold", pair.name, text)


def _moves(side: Side, slack: float) -> bool:
    """Whether most neurons whose spikes do not fit the threshold fire at one potential and do not at a larger one."""
    margin = side.potentials - side.threshold
    silent = np.where(~side.fired & side.allowed & ~np.isnan(margin), margin, -np.inf).max(axis=(0, 1))
    firing = np.where(side.fired & ~np.isnan(margin), margin, np.inf).min(axis=(0, 1))
    wrong = (firing < -slack) | (silent > slack)
    return bool(np.mean((silent > firing + slack)[wrong]) > 0.5) if wrong.any() else False


def _own_thresholds(pair: Pair, untouched: Array) -> Iterator[Cause]:
    """Yield where thresholds that the runs themselves hold differ, of the same spikes before."""
    apart = np.where(untouched[:, :, None], np.abs(pair.other.threshold - pair.one.threshold), 0.0)
    wrong = apart > pair.bound + 16 * UNIT[pair.kept_in] * np.abs(pair.one.threshold)
    if wrong.any():
        step = wrong.any(axis=(1, 2)).argmax()
        place = (step, *np.unravel_index(np.argmax(apart[step]), apart[step].shape))
        numbers = " and ".join(f"{side.threshold[place]:.6g} in {side.name}" for side in pair.sides)
        neurons = wrong.any(axis=(0, 1)).sum()
        text = f"layer {pair.name!r}: from step {step} on the recorded thresholds of {neurons} neurons differ, {numbers}"
        yield Cause("threshold", pair.name, text)


def _neurons(side: Side, slack: float) -> str:
    margin = side.potentials - side.threshold
    wrong = (side.fired & (margin < -slack)) | (~side.fired & side.allowed & (margin > slack))
    return f"{wrong.any(axis=(0, 1)).sum()} of {wrong.shape[2]} neurons"


def _periods(pair: Pair, found: tuple[Firing, Firing]) -> Iterator[Cause]:
    """Yield the refractory period of one run, if neurons of the other fire within it."""
    for side, other, period in ((pair.one, pair.other, found[0].refractory), (pair.other, pair.one, found[1].refractory)):
        age = steps_since_a_spike(other.fired)
        early = other.fired & (age <= period)
        if early.any():
            text = (
                f"in layer {pair.name!r} neurons of {side.name} stay silent above the threshold for {period} steps after a "
                f"spike, and in {other.name} {early.sum()} spikes come {age[early].min()} or more steps after one"
            )
            yield Cause("refractory", pair.name, text)
            return


def check_threshold(sides: Sides) -> None:
    """Raise a ValueError if neither run has the threshold that the caller gave: then no margin would mean anything."""
    for i, pair in enumerate(sides.pairs):
        if not pair.fires:
            continue
        seen = sides.untouched(i) if pair.shared_threshold else np.ones(pair.bound.shape[:2], bool)
        both = firings(pair, seen)
        slack = slack_of(pair)
        after = [
            _recorded_after_reset(side, found, slack) if not found.fits(slack) else ""
            for side, found in zip(pair.sides, both, strict=True)
        ]
        if any(after):
            which = " and ".join(name for name, text in zip(sides.names, after, strict=True) if text)
            msg = f"layer {pair.name!r}: the potentials of {which} are those after the reset ({next(filter(None, after))}); "
            msg += "record what is compared with the threshold, before the reset"
            raise ValueError(msg)
        if any(found.fits(slack) for found in both) or not (pair.one.fired.any() and pair.other.fired.any()):
            continue
        level = float(pair.one.threshold.flat[0])
        told = "; ".join(f"{title} {each.text(level)}" for title, each in zip(sides.names, both, strict=True))
        advice = "give its threshold"
        if all(each.low >= each.high for each in both):
            advice = (
                f"{_late(pair, slack)}an array gives each neuron its own threshold, and a Layer's `threshold` one of each step"
            )
        msg = f"layer {pair.name!r} has another threshold than {level:g} in both runs ({told}); {advice}"
        raise ValueError(msg)


def _recorded_after_reset(side: Side, found: Firing, slack: float) -> str:
    """Return how a reset shows in recorded potentials; empty if none does."""
    fired = side.fired & np.isfinite(side.potentials)
    if fired.sum() < 4 or found.low > slack:
        return ""
    at = side.potentials[fired]
    if np.ptp(at) == 0.0:
        return f"wherever a neuron fires its potential is {at[0]:g}"
    restored = Firing.of(side.potentials + side.fired * side.threshold, side.fired, side.threshold, side.allowed)
    low = (side.potentials - side.threshold)[fired] < 0
    # Where one threshold parts the spikes from the others, it is another threshold.
    if found.low >= found.high and restored.fits(slack) and np.mean(low) > 0.5 and side.threshold.min() > 0:
        return "with the threshold added where a neuron fires, every spike fits"
    return ""


def _late(pair: Pair, slack: float) -> str:
    """Return the advice if spikes fit the potentials of the step before or after."""
    for shift, text in ((1, "before"), (-1, "after")):
        for side in pair.sides:
            v, s, level = (np.roll(side.potentials, shift, 0)[1:-1], side.fired[1:-1], side.threshold[1:-1])
            if s.any() and Firing.of(v, s, level, side.allowed[1:-1]).fits(slack):
                return f"the spikes of {side.name} fit the potentials of the step {text}: record what they are compared with; "
    return ""
