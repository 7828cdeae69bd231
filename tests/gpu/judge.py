"""Whether what the device computed is right: bits beside the CPU's, or the distance from float64; counts, the worst place."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from samples import Sample, bounds

from arcana.surrogate import Surrogate
from arcana.testing._surrogate import COMPUTED_FINER, _reference, exact_spikes
from arcana.testing._values import Array, is_subnormal, to_float, ulp_difference

DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
TINY = {"float64": -1022, "float32": -126, "float16": -14, "bfloat16": -126}
BOUND = 4.0
ALLOWED_ON_GPU = {"dspike": 1.1, "inverse_square_root": 1.1, "multi_gaussian": 1.5}
"""Parts of the bound for these: CUDA's exponential is off by up to 2 units and a CPU's by 1, and torch.compile's compiler and
XLA take quotients or roots to within 2 units."""
MOST = 2000
"""Gradients that mpmath looks at once more."""


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
    # h from what was found too: where the CPU has made 0 of a subnormal h, its own says nothing.
    with np.errstate(all="ignore"):
        h_found = np.abs(to_float(found[differ], given.dtype).astype(np.float64) / to_float(given.c[differ], given.dtype))
    near = [is_subnormal(x[differ], given.dtype) for x in (given.v, h, found, cpu)]
    near.append((h_found > 0) & (h_found <= 2.0 ** TINY[given.dtype] * (1 + 2.0 ** (1 - DIGITS[given.dtype]))))
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
    # The parameters are rounded to the dtype in which h is computed.
    kind = np.float64 if given.dtype == "float64" else np.float32
    computed = np.dtype(kind).name
    numbers = {name: float(kind(surrogate.rounded(name, value, computed))) for name, value in surrogate.numbers.items()}
    surrogate = dataclasses.replace(surrogate, **numbers)
    right, condition = _reference(surrogate, to_float(given.v, given.dtype), to_float(given.c, given.dtype))
    return right, BOUND * (1 + condition * COMPUTED_FINER[given.dtype])


def _by_closed_forms(surrogate: Surrogate, given: Sample, values: Array, places: Array) -> Array:
    """The errors of a few gradients in parts of what is allowed, from mpmath."""
    truth = bounds().truth(surrogate, given.dtype, given.v[places])
    c = to_float(given.c, given.dtype)[places].astype(np.float64)
    right = c * truth.high + c * truth.low
    unit = np.ldexp(1.0, np.frexp(np.abs(right))[1] - DIGITS[given.dtype])
    allowed = c * truth.sensitivity * 2.0 ** -max(DIGITS[given.dtype], 24)
    return np.abs(values[places] - right) / (BOUND * (unit + allowed))


def distance(surrogate: Surrogate, given: Sample, found: Array, right: Array, allowed: Array) -> dict[str, Any]:
    """How many gradients are out of bounds, the largest error in ULP, and the largest in parts of what is allowed."""
    # Below this a subnormal is the result or on the way to it, which XLA takes for zero; float16 is computed in float32.
    floor = 2.0 ** TINY[given.dtype] * (8 if given.dtype == "float16" else 8 * max(1.0, float(surrogate.peak)))
    largest = float(np.finfo(np.float32 if given.dtype == "bfloat16" else given.dtype).max)
    values = to_float(found, given.dtype).astype(np.float64)
    magnitude = np.abs(right)
    counts = given.number & (magnitude > floor) & (magnitude < largest)
    with np.errstate(all="ignore"):
        unit = np.ldexp(1.0, np.frexp(magnitude)[1] - DIGITS[given.dtype])
        off = np.where(counts, np.abs(values - right) / unit, 0.0)
        ratio = off / allowed
    # Too small to be judged by its last place; it must still be small.
    lost = given.number & (magnitude <= floor) & ~(np.abs(values) <= 2 * floor)
    suspects = np.flatnonzero(counts & ~(ratio <= 1))
    # Where terms cancel in h they do in h′ too, and its difference says less than it should: the closed forms decide.
    if 0 < suspects.size <= MOST:
        ratio[suspects] = _by_closed_forms(surrogate, given, values, suspects)
    bad = counts & ~(ratio <= 1)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    worst = int(np.argmax(ratio))
    return {
        "out_of_bounds": int(bad.sum() + lost.sum()),
        "max_ulp": float(off.max(initial=0.0)),
        "of_bound": float(ratio[worst]) if counts.any() else 0.0,
        "worst_v": float(to_float(given.v, given.dtype)[worst]),
    }


def within(surrogate: Surrogate, values: dict[str, Any], device: str) -> bool:
    """Whether the gradients lie in the bound that holds on the device."""
    allowed = ALLOWED_ON_GPU.get(surrogate.name, 1.0) if device == "cuda" else 1.0
    return not values["out_of_bounds"] or (allowed > 1 and values["of_bound"] <= allowed)
