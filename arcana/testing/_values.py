"""Potentials worth testing, as bit patterns, and the distance of two floats in units in the last place."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BITS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}


def to_float(bits: Array, dtype: str) -> Array:
    """Return the values of bit patterns: float64 for float64, float32 for the others."""
    if dtype == "bfloat16":
        return (bits.astype(np.uint32) << 16).view(np.float32)
    values = bits.view(dtype)
    with np.errstate(invalid="ignore"):
        return values if dtype == "float64" else values.astype(np.float32)


def from_float(values: Array, dtype: str) -> Array:
    """Return the bit patterns of values in a dtype, rounded to nearest even."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype != "bfloat16":
            return np.asarray(values).astype(dtype).view(f"uint{BITS[dtype]}")
        wide = np.asarray(values).astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = (wide + 0x7FFF + ((wide >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def all_patterns(dtype: str) -> Array:
    """Return every bit pattern of a 16-bit dtype."""
    return np.arange(1 << 16, dtype=np.uint16) if BITS[dtype] == 16 else _too_many(dtype)


def _too_many(dtype: str) -> Array:
    msg = f"all_patterns is for the 16-bit dtypes; use hard_sample for {dtype}"
    raise ValueError(msg)


def hard_sample(dtype: str, around: tuple[float, ...] = (0.0, 1.0)) -> Array:
    """Return bit patterns: every exponent in both signs, subnormals, zeros, ±inf, NaN, and the neighbours of given values."""
    width = BITS[dtype]
    if width == 16:
        return all_patterns(dtype)
    mantissa = np.finfo(dtype).nmant
    kind = np.dtype(f"uint{width}").type
    generator = np.random.default_rng(0)
    exponents = np.arange(1 << (width - 1 - mantissa), dtype=f"uint{width}") << kind(mantissa)
    fractions = np.concatenate([[0, 1, (1 << mantissa) - 1], generator.integers(0, 1 << mantissa, 29)]).astype(f"uint{width}")
    grid = (exponents[:, None] | fractions[None, :]).ravel()
    near = []
    for value in around:
        bits = int(np.asarray(abs(value), dtype).view(f"uint{width}"))
        near.append(np.arange(max(bits - 64, 0), bits + 64, dtype=f"uint{width}"))
    positive = np.concatenate([grid, *near])
    return np.concatenate([positive, positive | kind(1 << (width - 1))])


def ordered(bits: Array) -> Array:
    """Return bit patterns as integers in the order of the floats, −0.0 and 0.0 at the same place."""
    width = bits.dtype.itemsize * 8
    magnitude = bits.astype(np.int64) & ((1 << (width - 1)) - 1)
    negative = (bits >> bits.dtype.type(width - 1)).astype(bool)
    return np.where(negative, -magnitude, magnitude)


def ulp_difference(a: Array, b: Array, dtype: str) -> Array:
    """Count the floats between the bit patterns a and b; NaN and NaN are 0 apart, NaN and a number 2⁶²."""
    a_nan, b_nan = np.isnan(to_float(a, dtype)), np.isnan(to_float(b, dtype))
    distance = np.abs(ordered(a) - ordered(b))
    return np.where(a_nan | b_nan, np.where(a_nan & b_nan, 0, 1 << 62), distance)


def is_subnormal(bits: Array, dtype: str) -> Array:
    """Whether each bit pattern is a subnormal number."""
    values = np.abs(to_float(bits, dtype))
    tiny = {"bfloat16": np.finfo(np.float32).tiny}.get(dtype) or np.finfo(dtype).tiny
    return (values > 0) & (values < tiny)
