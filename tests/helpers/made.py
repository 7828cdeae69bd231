"""Potentials of a layer that follow a known law, and two runs of them side by side as what may be compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from arcana.testing._evidence import Evidence
from arcana.testing._sides import Pair, Side

STEPS, SAMPLES, NEURONS = 12, 4, 10
GENERATOR = np.random.default_rng(0)
CURRENT = GENERATOR.uniform(0.1, 0.5, (STEPS, SAMPLES, NEURONS))
NOISE = GENERATOR.choice([-1.0, 1.0], CURRENT.shape)
EACH = np.linspace(0.01, 0.02, NEURONS)
BOUND = 1e-6
CONSTANT = 16 * 2.0**-24
"""What two constants that were computed in two ways may differ by in float32."""


def layer(leak: Any = 0.8, gain: Any = 1.0, bias: Any = 0.0, start: Any = 0.0, **more: Any) -> Any:
    """The potentials of a layer that leaks; more are its current, a synapse, a leak from a step on, a step that is a start."""
    current = more.get("current", CURRENT)
    v, synaptic, kept = np.zeros(current.shape[1:]) + start, 0.0, []
    change, after = more.get("change", (len(current), leak))
    for step, each in enumerate(current):
        if step == more.get("fresh"):
            v, synaptic = 0.0 * v, 0.0
        synaptic = more.get("synapse", 0.0) * synaptic + gain * each + bias
        v = (after if step >= change else leak) * v + synaptic
        kept.append(v)
    return np.array(kept)


def evidence(one: Any, other: Any, fired: Any = False, **settings: Any) -> Evidence:
    """Two arrays of potentials with the same spikes, as what may be compared."""
    fired = np.broadcast_to(fired, one.shape)
    threshold = np.broadcast_to(settings.get("threshold", 1.0), one.shape)
    sides = [Side(name, v, fired, threshold, np.ones(one.shape, bool)) for name, v in (("torch", one), ("JAX", other))]
    offset, dtype = settings.get("offset", False), settings.get("dtype", "float32")
    bound = np.broadcast_to(settings.get("bound", BOUND), one.shape)
    pair = Pair("a", one.shape[1:], sides[0], sides[1], True, offset, np.zeros(1), False, dtype, 1, bound)
    return Evidence(pair, ("torch", "JAX"), np.ones(one.shape, bool))


def margins(one: Any, other: Any, **settings: Any) -> Evidence:
    return evidence(one - 1, other - 1, offset=True, **settings)


def late(steps: int, current: Any = CURRENT) -> Any:
    return np.concatenate([0 * current[:steps], current[: len(current) - steps]])
