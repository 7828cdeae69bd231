"""How far rounding alone can take two correct runs apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from arcana.testing._values import BITS, Array, from_float, to_float

TENSORFLOAT = "tensorfloat32"
"""Products whose factors are rounded to 10 bits and added up in float32: no number is kept in it."""

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8, TENSORFLOAT: 2.0**-11}
"""The unit roundoff: half the distance from 1 to the next float."""

DROPPED = 13
"""The bits of a float32 that a factor in TensorFloat-32 lacks."""

FACTORS = 2
"""The numbers of a product that are rounded to TensorFloat-32."""

CONFIDENCE = 4.0
"""How many standard deviations of accumulated rounding are taken for rounding."""

COARSE = 9
"""By how many bits the spacing of cancelling terms must be finer than the numbers."""

SPACINGS = 64
"""By how many spacings of their terms the rounding of two sums differs at most."""

TYPICAL = 0.75
"""The quantile of a layer's potentials that stands for the sums whose parts happen to cancel."""


def accumulated_rounding(dtype: str, terms: int, size: Array) -> Array:
    """Return how far rounding can take two correct runs apart by each step, the first axis of `size`.

    λ · u · sqrt(2 · n) · size, n = terms · (step + 1) roundings in each run: rounding errors are as good as independent and of
    mean zero, and n of them add up to λ·sqrt(n)·u with a probability of 2·exp(−λ²/2) for more (N. J. Higham and T. Mary
    (2019), "A New Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41(5), A2815–A2835,
    doi:10.1137/18M1226312). In TensorFloat-32 the sums are those of float32, and to them comes the rounding of two factors: each
    product has its own, so that of all is in proportion to the root of the sum of their squares, whatever their number.
    """
    steps = np.arange(1, len(size) + 1).reshape(-1, *(1,) * (np.ndim(size) - 1))
    errors = UNIT[kept_in(dtype)] * np.sqrt(2.0 * terms * steps)
    if dtype == TENSORFLOAT:
        errors = errors + UNIT[dtype] * np.sqrt(2.0 * FACTORS * steps)
    return CONFIDENCE * errors * size


def kept_in(dtype: str) -> str:
    """Return the dtype of potentials and thresholds where products are in a dtype."""
    return "float32" if dtype == TENSORFLOAT else dtype


def sizes(potentials: Array, products: Array | None) -> Array:
    """Return how large the numbers are that each neuron's rounding is in proportion to, (steps, samples, neurons).

    The neuron's own largest potential so far, at least what is typical of the layer in that sample (a sum may cancel), and the
    size of its products where inputs and weights are known: large terms may cancel in every neuron.
    """
    own = np.maximum.accumulate(np.where(np.isfinite(potentials), np.abs(potentials), 0.0), axis=0)
    typical = np.quantile(own, TYPICAL, axis=2, keepdims=True)
    size = np.maximum(own, typical)
    return size if products is None else np.maximum(size, np.maximum.accumulate(products, axis=0))


def terms_of_grid(one: Array, other: Array, dtype: str) -> float:
    """Return how large the terms of the sums in a first step were, as the numbers show; 0 if they show nothing.

    Where large terms cancel, what is left is a multiple of the spacing of those terms. A grid that is coarse beside the numbers
    themselves is one of weights, on which sums are exact.
    """
    values = np.concatenate([each[np.isfinite(each) & (each != 0.0)].ravel() for each in (one, other)])
    if values.size < 16:
        return 0.0
    size = math.frexp(float(np.quantile(np.abs(values), TYPICAL)))[1]
    fraction, exponent = np.frexp(values)
    whole = (fraction * 2.0**53).astype(np.int64)
    # The place of the last bit of each number; most are multiples of what stands for all.
    last = exponent - 53 + np.log2(whole & -whole)
    grid = float(np.quantile(last, 1.0 - TYPICAL))
    finite = np.isfinite(one) & np.isfinite(other)
    apart = np.abs(other[finite] - one[finite])
    # Sums on a grid of weights are exact, and those that rounding sets apart lie some spacings apart.
    rounds = np.any(apart > 0) and np.all(apart <= SPACINGS * 2.0**grid)
    return 2.0**grid / (2.0 * UNIT[dtype]) if size - grid > COARSE and rounds else 0.0


def coarsest(dtypes: Iterable[str]) -> str:
    """Return the dtype of the largest roundoff; of two the one in which numbers are kept too."""
    return max(dtypes, key=lambda dtype: (UNIT[dtype], dtype != TENSORFLOAT))


def spacing(value: float, dtype: str) -> float:
    """Return one unit in the last place of a value."""
    magnitude = float(to_float(from_float(np.array([abs(value)]), dtype), dtype)[0])
    if not math.isfinite(magnitude) or magnitude == 0.0:
        return math.nan
    return 2.0 * UNIT[dtype] * 2.0 ** math.floor(math.log2(magnitude))


def rounded(values: Array, dtype: str) -> Array:
    """Return the values as a dtype has them, in float64."""
    return to_float(from_float(values, dtype), dtype).astype(np.float64)


def shortened(values: Array, *, truncated: bool = False, even: bool = False) -> Array:
    """Return the values as factors in TensorFloat-32, in float64: rounded, ties away from zero or to even, or truncated.

    Matrix units drop the last bits of what they get; libraries round before (`cvt.rna.tf32.f32` of PTX, or as integers).
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = (1 << (DROPPED - 1)) - 1 + (bits >> DROPPED & 1 if even else 1)
    half = np.where(np.isfinite(values) & (not truncated), half, 0).astype(np.uint32)
    return ((bits + half) >> DROPPED << DROPPED).view(np.float32).astype(np.float64)


def numbers_of(arrays: Sequence[Array]) -> str:
    """Return the coarsest dtype that holds every number: float64 arrays may hold float32 numbers."""
    own = min((array.dtype.name for array in arrays), key=UNIT.__getitem__)
    coarser = [dtype for dtype in BITS if UNIT[dtype] > UNIT[own]]
    held = [dtype for dtype in coarser if all(_holds(dtype, array) for array in arrays)]
    return coarsest([own, *held])


def _holds(dtype: str, array: Array) -> bool:
    values = array.astype(np.float64)
    return np.array_equal(rounded(values, dtype), values, equal_nan=True)


def finer_than(arrays: Iterable[Array], dtype: str) -> float:
    """Return the share of numbers that a dtype cannot hold; among round numbers a few may be rounding."""
    values = np.concatenate([array.astype(np.float64).ravel() for array in arrays])
    values = values[np.isfinite(values) & (values != 0.0)]
    return float(np.mean(rounded(values, dtype) != values)) if values.size else 0.0
