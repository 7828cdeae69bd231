"""What each surrogate keeps from the forward pass for the backward pass: one table for both backends, so that none drifts."""

from __future__ import annotations

from known_values import KNOWN

from arcana._core.expression import Kept

KEPT: dict[str, Kept] = dict.fromkeys(KNOWN, Kept.POTENTIAL) | {
    "ste": Kept.NOTHING,
    "step": Kept.SPIKES,
    "leaky_step": Kept.SPIKES,
    "clipped_ste": Kept.MASK,
    "piecewise_leaky_relu": Kept.MASK,
    "rectangular": Kept.MASK,
}


def kept(name: str, fires_at_threshold: bool = True) -> Kept:
    """What is kept; spikes that are v > 0 do not say whether v >= 0."""
    return Kept.MASK if KEPT[name] is Kept.SPIKES and not fires_at_threshold else KEPT[name]
