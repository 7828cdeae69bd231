"""Where runs differ only after a neuron has fired: the reset, or what else a spike sets off."""

from __future__ import annotations

import numpy as np

from arcana.testing._evidence import FEW, Evidence, lag
from arcana.testing._laws import Tried, cause_of


def after_spikes(found: Evidence) -> Tried:
    """Judge the places where a difference begins by how long ago the neuron fired."""
    acts = found.acts & ~found.never
    if acts.sum() < FEW or (found.over & found.never).sum() > 0.02 * found.never.sum():
        return Tried("what follows a spike", 0.0)
    ages = found.since[acts]
    first = float(np.mean(ages == 1))
    name = found.pair.name
    if first < 0.95:
        longest, least = int(np.quantile(ages, 0.95)), int(np.quantile(ages, 0.05))
        steps = np.asarray(acts.any(axis=(1, 2)))
        if longest > 12:
            return Tried("what follows a spike", 0.0)
        # In one step alone it must be those that fired so long ago, and all of them.
        fired_then = found.mask & (found.since == longest) & steps[:, None, None]
        if least == longest and (steps.sum() > 1 or np.mean(acts[fired_then]) > 0.9):
            text = f"neurons of layer {name!r} differ {least} steps after a spike, not before: the refractory period"
            return Tried("what follows a spike", 1.0, (cause_of(found, "refractory", text),))
        return Tried("what follows a spike", 0.5)
    return _reset(found, acts)


def _reset(found: Evidence, acts: np.ndarray) -> Tried:
    """One step after a spike the difference must be a constant and a multiple of the potential that fired."""
    calm = np.abs(lag(found.difference, 1)) <= found.pair.bound
    mask = found.mask & (found.since == 1) & calm
    step = acts.any(axis=(1, 2)).argmax()
    evidence = f"at step {step} of layer {found.pair.name!r} only neurons that fired one step before differ"
    # One number after each spike is also what a weight of a neuron to itself adds, or of margins a threshold that adapts.
    itself, same = "a weight from a neuron to itself", ("weights",)
    if found.pair.offset:
        itself, same = f"{itself}, or a threshold that a spike moves", (*same, "threshold")
    before = lag(found.one, 1)
    for by_neuron in (False, True):
        for terms, meaning, alternatives in (
            ([np.ones((1, 1, 1))], f"the reset takes off another amount, or {itself}", same),
            (
                [np.ones((1, 1, 1)), before],
                "the reset keeps what exceeds the threshold on one side only, or takes it off at another time",
                (),
            ),
        ):
            fit = found.fit(found.difference, terms, mask, by_neuron=by_neuron)
            if fit.holds:
                return Tried("another reset", fit.share, (cause_of(found, "reset", f"{evidence}: {meaning}", fit, alternatives),))
    # The spike thresholds of each neuron and step move what a reset takes off.
    if found.pair.one.threshold.std() > 0:
        terms = [np.ones((1, 1, 1)), before, lag(found.pair.one.threshold, 1)]
        fit = found.fit(found.difference, terms, mask)
        if fit.holds:
            return Tried("another reset", fit.share, (cause_of(found, "reset", f"{evidence}: the reset", fit),))
    return Tried("another reset", fit.share)
