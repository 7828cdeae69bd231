"""The hypotheses about one layer: each is applied to one run and must give the other to within rounding.

Where a neuron has not fired yet its potential follows a linear law, v = a·v₁ + c·I with v₁ the potential one step
before, whatever the reset; the input I is the same in both runs. So with A and B the two runs' potentials and D = B − A,
another input scale is D = g·A, another leak D = a·D₁ + δ·A₁, a bias D = a·D₁ + c, a delay B = A₁, and so on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from arcana.testing._cause import Cause
from arcana.testing._evidence import FEW, WITHIN, Evidence, Fit, lag
from arcana.testing._rounding import UNIT
from arcana.testing._values import Array

LATEST = 3
"""The longest delay that is looked for."""

EITHER = "leak or synapse"
"""The kind of a constant that may be that of the potential or of the synaptic current, which is the same before a reset."""

MIXED = (("scale", "bias"), ("leak", "bias"), ("leak", "scale"), ("leak", "scale", "bias"))
"""The parts of which several laws at once may be made."""

LARGEST_LEAK, SMALLEST_SCALE = 1.2, 1e-3
"""A leak does not change by more, and of a scale no less is left: then nothing arrives."""

SMALLEST_LEAK = 0.3
"""The share of a potential that a leak keeps at least: a smaller factor is a scale alone."""

CONSTANT = 0.05
"""The share of a difference that must stay to the next step for what each step adds to be told from a constant difference."""

MOST_ROWS = 4096
"""The longest axis along which a permutation is looked for."""


@dataclasses.dataclass(frozen=True)
class Tried:
    """A hypothesis that was tried on a layer: what it is called, the share it explains, and the cause if it explains all."""

    title: str
    share: float
    causes: tuple[Cause, ...] = ()


def laws(found: Evidence, *, leaks: bool = True) -> Iterator[Tried]:
    """Yield each hypothesis as it is tried, the one with the fewest free numbers first; without leaks where they are refuted."""
    yield _delay(found)
    yield from (permutation(found, axis) for axis in (1, 2))
    yield _start(found)
    for by_neuron in (False, True):
        if found.pair.offset:
            yield _offset(found, by_neuron)
        yield _scale(found, by_neuron)
        if found.pair.offset:
            yield _bias(found, by_neuron)
        if leaks:
            yield _leak(found, by_neuron)
        if not found.pair.offset:
            yield _bias(found, by_neuron)
        if not by_neuron:
            yield _fresh(found)
            if leaks:
                yield _leak_from(found)
    yield _mixed(found, by_neuron=False)
    yield _mixed(found, by_neuron=True)


def cause_of(found: Evidence, kind: str, text: str, fit: Fit | None = None, alternatives: tuple[str, ...] = ()) -> Cause:
    """Return a cause of a layer, with how much of the difference it explains."""
    explained = (
        "" if fit is None else f" (this explains {min(fit.share, 1.0):.4%} of the difference, in {fit.informative:,} places)"
    )
    return Cause(kind, found.pair.name, f"{text}{explained}", alternatives)


def _delay(found: Evidence) -> Tried:
    """One run is the other some steps later: over all steps, or until a neuron first fires."""
    everywhere = np.isfinite(found.pair.one.potentials) & np.isfinite(found.pair.other.potentials)
    best = 0.0
    for steps in range(1, LATEST + 1):
        for late, early, late_run in ((found.names[1], found.one, found.other), (found.names[0], found.other, found.one)):
            for mask in (everywhere, found.never):
                if not _moves(found, early, mask):
                    continue
                mask = mask.copy()
                mask[:steps] = False
                rest = np.abs(late_run - lag(early, steps)) > found.pair.bound
                counts = mask & (rest | (np.abs(found.difference) > found.pair.bound))
                within = float(np.mean(~rest[counts])) if counts.any() else 0.0
                best = max(best, within)
                varies = counts.any() and np.ptp(lag(early, steps)[counts]) > 2 * found.pair.bound[counts].max()
                if within >= WITHIN and varies and (found.over & mask).sum() >= FEW:
                    plural = "s" * (steps > 1)
                    text = f"the potentials of {late} in {found.layer} are those of the other {steps} step{plural} before"
                    return Tried("a delay", 1.0, (cause_of(found, "delay", text),))
    return Tried("a delay", best)


def _moves(found: Evidence, potentials: Array, mask: Array) -> bool:
    """Whether most potentials change from step to step: one that stands still is its own delay."""
    change = np.abs(potentials - lag(potentials, 1))[mask]
    return bool(np.count_nonzero(change > found.pair.bound[mask]) > 0.3 * change.size)


def permutation(found: Evidence, axis: int) -> Tried:
    """The samples, or the neurons, of one run are those of the other in another order."""
    title = "another order of " + ("samples", "neurons")[axis - 1]
    # Until the first spike that differs in any order: the steps before anything fires, or the first step.
    fired = (found.pair.one.fired | found.pair.other.fired).any(axis=(1, 2))
    order = order_of(found, axis, int(fired.argmax()) + 1 if fired.any() else len(found.one))
    return Tried(title, 0.0) if order is None else Tried(title, 1.0, (permuted(found, axis, order),))


def permuted(found: Evidence, axis: int, order: Array) -> Cause:
    """Return the cause that samples, or neurons, come in another order."""
    moved, what = (order != np.arange(len(order))).sum(), ("samples", "neurons")[axis - 1]
    text = f"{moved} of {len(order)} {what} of {found.layer} in {found.names[1]} are those of {found.names[0]} in another order"
    return cause_of(found, "permuted", text)


def order_of(found: Evidence, axis: int, steps: int) -> Array | None:
    """Return the places in the other run of each sample, or neuron, of the one, as the first steps show; None if they do not."""
    a, b = found.one, found.other
    count = a.shape[axis]
    if not 2 < count <= MOST_ROWS:
        return None
    rows = [np.moveaxis(each[:steps], axis, 0).reshape(count, -1) for each in (a, b)]
    weights = np.random.default_rng(0).uniform(0.5, 1.5, rows[0].shape[1])
    orders = [np.argsort(each @ weights, kind="stable") for each in rows]
    paired = [each[order] for each, order in zip(rows, orders, strict=True)]
    bound = np.moveaxis(found.pair.bound[:steps], axis, 0).reshape(count, -1).max(axis=0)
    within = float(np.mean(np.abs(paired[0] - paired[1]) <= 4 * bound))
    distinct = float(np.mean(np.abs(np.diff(paired[0], axis=0)).max(axis=1) > 4 * bound.max())) > 0.5
    if within < WITHIN or not distinct or (orders[0] == orders[1]).all():
        return None
    places = np.empty(count, int)
    places[orders[0]] = orders[1]
    return places


def _ones(found: Evidence) -> Array:
    return np.ones((1, 1, 1))


def _constants(found: Evidence) -> list[Array]:
    """What a law of margins holds besides: the threshold that was taken off is a constant in it."""
    return [np.ones((1, 1, 1))] if found.pair.offset else []


def _lagged(found: Evidence) -> Array:
    """Where a law with the potential before may be judged: margins do not say what that of step −1 was."""
    mask = found.never.copy()
    if found.pair.offset:
        mask[0] = False
    return mask


def _clear(found: Evidence, coefficient: float) -> bool:
    """Whether a relative change is more than constants that were computed in two ways differ by."""
    return abs(coefficient) > found.constant


def _offset(found: Evidence, by_neuron: bool) -> Tried:
    fit = found.fit(found.difference, [_ones(found)], found.never, by_neuron=by_neuron)
    title = "another threshold" + " of each neuron" * by_neuron
    several = (found.over & found.never).any(axis=(1, 2)).sum() > 1
    if not fit.holds or not several:
        return Tried(title, fit.share)
    lower, upper = float(fit.coefficients.min()), float(fit.coefficients.max())
    size = f"{-fit[0]:.6g}" if not by_neuron else f"{-upper:.4g} to {-lower:.4g}"
    text = f"margins of {found.layer} differ by a constant: the threshold of {found.names[1]} is larger by {size}"
    return Tried(title, fit.share, (cause_of(found, "threshold", text, fit),))


def _scale(found: Evidence, by_neuron: bool) -> Tried:
    fit = found.fit(found.difference, [found.one, *_constants(found)], found.never, by_neuron=by_neuron)
    title = "another scale of the input" + " of each neuron" * by_neuron
    if not fit.holds and 1 + fit[0] > 2:
        # Its rounding grows with the factor: the other way round it shrinks.
        found = found.exchanged()
        fit = found.fit(found.difference, [found.one, *_constants(found)], found.never, by_neuron=by_neuron)
    # A factor of 0 is no scale: nothing arrives.
    if not fit.holds or not _clear(found, fit[0]) or abs(1 + fit[0]) < SMALLEST_SCALE:
        return Tried(title, fit.share)
    return Tried(title, fit.share, (_scaled(found, fit, by_neuron),))


def _scaled(found: Evidence, fit: Fit, by_neuron: bool) -> Cause:
    factor = f"{1 + fit[0]:.6g}"
    if by_neuron:
        factor = f"{1 + fit.coefficients[0].min():.5g} to {1 + fit.coefficients[0].max():.5g}"
    step = (found.over & found.never).any(axis=(1, 2)).argmax()
    times = f"{found.names[1]}'s potentials are {factor} times {found.names[0]}'s"
    text = f"at step {step} of {found.layer} {times}, and so on until a neuron fires"
    hint, alternatives = ": a scaled input or weight", ()
    factors = 1 + fit.coefficients[0]
    if any(((each > SMALLEST_LEAK) & (each < 1)).all() for each in (factors, 1 / factors)):
        hint, alternatives = f"{hint}, or a leak that reaches the input, β·(v + I) for β·v + I", ("leak",)
    return cause_of(found, "scale", f"{text}{hint}", fit, alternatives)


def _leak(found: Evidence, by_neuron: bool, start: int = 0) -> Tried:
    mask = _lagged(found)
    mask[:start] = False
    known = found.moved(mask, 1)
    terms = [*([lag(found.difference, 1)] if known else []), *_constants(found), lag(found.one, 1)]
    fit = found.fit(found.difference, terms, mask, by_neuron=by_neuron)
    title = "another leak" + " of each neuron" * by_neuron
    if not fit.holds:
        return Tried(title, fit.share)
    kept, change = fit[0] if known else np.nan, fit[-1]
    if not _clear(found, change) or (known and not -0.2 < kept < 1.2) or abs(change) > 1.2:
        return Tried(title, fit.share)
    kind, whose = _which_constant(found, kept, change, by_neuron, start)
    since = f" from step {start} on" if start else ""
    first = (found.over & mask).any(axis=(1, 2)).argmax()
    change_text = f"{change:.4g}" if not by_neuron else f"{fit.coefficients[-1].min():.3g} to {fit.coefficients[-1].max():.3g}"
    text = (
        f"at step {first} of {found.layer} {found.names[1]} − {found.names[0]} is {change_text} times the potential one step "
        f"before, where none fired{since}: {whose}"
    )
    return Tried(title, fit.share, (cause_of(found, kind, text, fit),))


def _which_constant(found: Evidence, kept: float, change: float, by_neuron: bool, start: int) -> tuple[str, str]:
    """Return whether the leak of the potential or of the synaptic current differs: after a reset only the first law holds."""
    numbers = ""
    # In the noise of coarse products the constant itself is not known, only by how much it differs.
    if not by_neuron and np.isfinite(kept) and found.unit <= UNIT["float32"]:
        numbers = f", {kept - change:.4g} in {found.names[0]} and {kept:.4g} in {found.names[1]}"
    later = found.mask & ~found.never & (found.since >= 2) & found.over
    later[:start] = False
    if by_neuron or found.pair.offset or not np.isfinite(kept) or later.sum() < FEW:
        return EITHER, f"the leak{numbers}"
    rest = found.difference - kept * lag(found.difference, 1) - change * lag(found.one, 1)
    holds = float(np.mean(np.abs(rest[later]) <= 2 * found.pair.bound[later])) >= 0.9
    return ("leak", f"the leak{numbers}") if holds else ("synapse", f"the constant of the synaptic current{numbers}")


def settled(causes: list[Cause]) -> list[Cause]:
    """Return the causes with the kind of a constant that only other layers show; where none does it may be either."""
    shown = [kind for kind in ("synapse", "leak") if any(cause.kind == kind for cause in causes)]
    kind, *others = shown[:1] or ["leak", "synapse"]
    return [
        dataclasses.replace(cause, kind=kind, alternatives=tuple(others)) if cause.kind == EITHER else cause for cause in causes
    ]


def _bias(found: Evidence, by_neuron: bool) -> Tried:
    title = "a bias" + " of each neuron" * by_neuron
    d = found.difference
    best = 0.0
    for terms in ([lag(d, 1)], [lag(d, 1), lag(d, 2)]):
        fit = found.fit(d, [np.ones((1, 1, 1)), *terms], found.never, by_neuron=by_neuron)
        best = max(best, fit.share)
        if (
            fit.holds
            and found.informative_steps() > len(terms)
            # What each step adds the first step adds already.
            and found.over[0].any()
            # Of margins a constant that does not add up is the threshold's.
            and (CONSTANT if found.pair.offset else -0.2) < _sum(fit, 1) < 1.2
            and abs(fit[0]) > found.constant * _typical(found)
        ):
            lower, upper = float(fit.coefficients[0].min()), float(fit.coefficients[0].max())
            size = f"{fit[0]:.6g}" if not by_neuron else f"{lower:.4g} to {upper:.4g}"
            text = f"each step adds {size} to {found.layer} in {found.names[1]} and not in {found.names[0]}: a bias"
            return Tried(title, fit.share, (cause_of(found, "bias", text, fit),))
    return Tried(title, best)


def _sum(fit: Fit, first: int) -> float:
    """Return the sum of the coefficients of what was there before."""
    return sum(float(np.median(each)) for each in fit.coefficients[first:])


def _typical(found: Evidence) -> float:
    return float(np.median(np.abs(found.one[found.never]))) or 1.0


def _start(found: Evidence) -> Tried:
    """The first step differs, and from then on both follow one law: the state before it was another."""
    title = "another state at the start"
    if not found.over[0].any():
        return Tried(title, 0.0)
    mask = found.never.copy()
    mask[0] = False
    d = found.difference
    for terms, by_neuron in (([lag(d, 1)], False), ([lag(d, 1), lag(d, 2)], False), ([lag(d, 1)], True)):
        later = mask if len(terms) == 1 else mask & (np.arange(len(mask)) > 1)[:, None, None]
        fit = found.fit(d, terms, later, by_neuron=by_neuron)
        # What is left of a start fades; what each step adds grows.
        fades = not mask.any() or np.sqrt(np.mean(d[mask] ** 2)) < np.sqrt(np.mean(d[0][found.never[0]] ** 2))
        if fit.holds and _sum(fit, 0) < 0.995 and fades:
            text = f"{found.layer} differs in the first step, and later by what is left of that: the state before it"
            return Tried(title, fit.share, (cause_of(found, "state", text, fit),))
    return Tried(title, fit.share)


def _fresh(found: Evidence) -> Tried:
    """At one step the state of one run is gone, and from then on both follow one law again."""
    title = "a state that was reset on one side"
    acts = found.acts
    steps = np.flatnonzero(acts.any(axis=(1, 2))).tolist()
    if not steps or steps[0] < 2:
        return Tried(title, 0.0)
    step = steps[0]
    for name, run in zip(found.names, (found.one, found.other), strict=True):
        if not run[step][found.mask[step]].any() and run[step - 1].any():
            same = f"at step {step} every potential of {found.layer} is 0 in {name}"
            text = f"{same}, as at a start: its state was reset there"
            return Tried(title, 1.0, (cause_of(found, "state", text),))
    a, quiet = found.one, (found.since != 1).astype(float)
    d = found.difference
    mask = found.mask & (np.arange(len(d)) == step)[:, None, None]
    again = (lag(found.since, 1) != 1).astype(float)
    best = 0.0
    # The state that is gone is that of the run which kept it until then, and both held the same.
    for order, by_neuron in ((1, False), (2, False), (1, True)):
        gone = [lag(a, 1) * quiet, lag(a, 1) * (1 - quiet), 1 - quiet, *_constants(found)]
        if order == 2:
            gone += [lag(a, 2) * again, lag(a, 2) * (1 - again), 1 - again]
        fit = found.fit(d, gone, mask, by_neuron=by_neuron)
        best = max(best, fit.share)
        most = float(np.mean(found.over[step][found.mask[step]])) > 0.2
        if fit.within >= WITHIN and fit.informative >= 2 * fit.coefficients.size and abs(fit[0]) > 0.4 and most:
            text = f"at step {step} the potentials of {found.layer} differ by what was left of those before"
            return Tried(title, fit.share, (cause_of(found, "state", f"{text}: one run's state was reset there", fit),))
    return Tried(title, best)


def _leak_from(found: Evidence) -> Tried:
    """The leak differs from a step on."""
    steps = np.flatnonzero((found.over & found.never).any(axis=(1, 2))).tolist()
    if not steps or steps[0] < 2:
        return Tried("a leak that changes", 0.0)
    return dataclasses.replace(_leak(found, False, steps[0]), title="a leak that changes")


def _mixed(found: Evidence, *, by_neuron: bool) -> Tried:
    """Several at once: D = b·D₁ + g·(A − b·A₁) + (1 + g)·(b − a)·A₁ + c, whose parts are a scale, a leak and a bias."""
    title = "scale, leak and bias at once" + " of each neuron" * by_neuron
    a, d, one = found.one, found.difference, _ones(found)
    mask = _lagged(found)
    whole = found.fit(d, [lag(d, 1), lag(a, 1), a, one], mask, by_neuron=by_neuron)
    if not found.moved(mask, 1):
        return Tried(title, whole.share)
    kept = whole[0]
    columns = {"scale": a - kept * lag(a, 1), "leak": lag(a, 1), "bias": one}
    # The fewest parts that explain it: with all of them some neurons show too little to tell them apart.
    for names in MIXED if whole.holds and -0.2 < kept < 1.9 else ():
        terms = [lag(d, 1), *(columns[name] for name in names)]
        fit = found.fit(d, terms, mask, by_neuron=by_neuron)
        parts = dict(zip(names, fit.coefficients[1:], strict=False))
        if {"scale", "leak"} <= set(parts):
            # The coefficient of A₁ is (1 + g)·(b − a), and of a neuron whose b is not what is typical more.
            with np.errstate(divide="ignore", invalid="ignore"):
                parts["leak"] = (parts["leak"] + parts["scale"] * (fit.coefficients[0] - kept)) / (1 + parts["scale"])
        sizes = {name: float(np.median(part)) for name, part in parts.items()}
        sound = abs(sizes.get("leak", 0.0)) < LARGEST_LEAK and abs(1 + sizes.get("scale", 0.0)) > SMALLEST_SCALE
        if fit.holds and sound and found.informative_steps() >= len(terms):
            return Tried(title, fit.share, tuple(_parts(found, parts, fit)))
    fit = found.fit(d, [lag(d, 1), lag(a, 1), lag(d, 2), lag(a, 2), one], mask, by_neuron=by_neuron)
    if fit.holds and -0.2 < fit[0] < 1.9 and found.informative_steps() >= 5:
        return Tried(title, fit.share, tuple(_parts(found, {"leak": fit.coefficients[1], "bias": fit.coefficients[-1]}, fit)))
    return Tried(title, max(whole.share, fit.share))


def _parts(found: Evidence, parts: dict[str, Array], fit: Fit) -> Iterator[Cause]:
    """Yield the parts of a mixed law that move potentials by more than rounding."""
    typical = _typical(found)
    bound = float(np.median(found.pair.bound[found.never]))
    if found.pair.offset:
        # Of margins a constant may be the threshold's.
        parts = {name: part for name, part in parts.items() if name != "bias"}
    words = {
        "leak": "{:.4g} more of the potential is kept",
        "scale": "the input is {:+.4%} larger",
        "bias": "each step adds {:.4g}",
    }
    kept = np.median(fit.coefficients[0])
    if {"leak", "scale"} <= set(parts) and _together(parts, kept):
        before = kept - np.median(parts["leak"])
        text = f"in {found.layer} leak and input change together, as where a time constant divides the input too"
        yield cause_of(
            found,
            "leak",
            f"{text}: {before:.4g} of the potential is kept in {found.names[0]}, {kept:.4g} in {found.names[1]}",
            fit,
        )
        parts = {name: part for name, part in parts.items() if name == "bias"}
    for name, part in parts.items():
        # Of neurons one by one that which most of them show: some hardly show any.
        value = float(np.median(part))
        moves = abs(value) * (1.0 if name == "bias" else typical)
        if moves > 4 * bound and (name == "bias" or _clear(found, value)):
            yield cause_of(found, name, f"in {found.layer} of {found.names[1]} {words[name].format(value)}", fit)


def _together(parts: dict[str, Array], kept: float) -> bool:
    """Whether the input changes by (1 − leak′)/(1 − leak), to within a fiftieth of the change."""
    leak, scale = (float(np.median(parts[name])) for name in ("leak", "scale"))
    return abs(scale * (1 - kept + leak) + leak) < 0.02 * abs(leak)
