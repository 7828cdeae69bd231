"""Whether what the device computed is right: bits beside the CPU's, or the distance from float64; counts, the worst place."""

from __future__ import annotations

from typing import Any

import numpy as np
from samples import Sample

from arcana.surrogate import Surrogate
from arcana.testing._surrogate import COMPUTED_FINER, _reference, exact_spikes
from arcana.testing._values import Array, is_subnormal, to_float, ulp_difference

DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
TINY = {"float64": -1022, "float32": -126, "float16": -14, "bfloat16": -126}
BOUND = 4.0


def spikes(surrogate: Surrogate, given: Sample, found: Array) -> dict[str, Any]:
    """How many spikes are wrong, by the integers alone, and the first such potential."""
    wrong = np.flatnonzero(found != exact_spikes(given.v, given.dtype, surrogate.fires_at_threshold))
    first = {"wrong_spike_at": float(to_float(given.v, given.dtype)[wrong[0]])} if wrong.size else {}
    return {"wrong_spikes": int(wrong.size), **first}


def bits(given: Sample, found: Array, cpu: Array, h: Array) -> dict[str, Any]:
    """How many gradients differ from the CPU's: without and with a subnormal on the way (v, h or a gradient)."""
    differ = np.flatnonzero((found != cpu) & given.number)
    ulp = ulp_difference(found[differ], cpu[differ], given.dtype)
    differ, ulp = differ[ulp > 0], ulp[ulp > 0]
    near = [is_subnormal(x[differ], given.dtype) for x in (given.v, h, found, cpu)]
    flushed = np.logical_or.reduce(near) if differ.size else np.zeros(0, bool)
    plain = np.flatnonzero(~flushed)
    worst = {}
    if plain.size:
        place = plain[np.argmax(ulp[plain])]
        worst = {
            "worst_v": float(to_float(given.v, given.dtype)[differ[place]]),
            "worst_found": float(to_float(found, given.dtype)[differ[place]]),
            "worst_cpu": float(to_float(cpu, given.dtype)[differ[place]]),
        }
    return {
        "differ": int(plain.size),
        "differ_subnormal": int(flushed.sum()),
        "max_ulp": int(ulp[plain].max(initial=0)),
        **worst,
    }


def exact(surrogate: Surrogate, given: Sample) -> tuple[Array, Array]:
    """c · h in float64 of the definition in NumPy, and how many units of it each may be off by: 4·(1 + |v·h′/h|)."""
    right, condition = _reference(surrogate, to_float(given.v, given.dtype), to_float(given.c, given.dtype))
    return right, BOUND * (1 + condition * COMPUTED_FINER[given.dtype])


def distance(given: Sample, found: Array, right: Array, allowed: Array) -> dict[str, Any]:
    """How many gradients are out of bounds, the largest error in ULP, and the largest in parts of what is allowed."""
    smallest = 2.0 ** TINY[given.dtype]
    values = to_float(found, given.dtype).astype(np.float64)
    magnitude = np.abs(right)
    counts = given.number & (magnitude > 8 * smallest) & np.isfinite(right)
    with np.errstate(all="ignore"):
        unit = np.ldexp(1.0, np.frexp(magnitude)[1] - DIGITS[given.dtype])
        off = np.where(counts, np.abs(values - right) / unit, 0.0)
        ratio = off / allowed
    # Too small to be judged by its last place; it must still be small.
    lost = given.number & ~counts & ~(np.abs(values) <= 16 * smallest)
    bad = counts & ~(ratio <= 1)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    worst = int(np.argmax(ratio))
    return {
        "out_of_bounds": int(bad.sum() + lost.sum()),
        "max_ulp": float(off.max(initial=0.0)),
        "of_bound": float(ratio[worst]) if counts.any() else 0.0,
        "worst_v": float(to_float(given.v, given.dtype)[worst]),
    }
