"""NumPy as a backend of `evaluate` alone: plots, facts and tests. Spikes belong to a framework."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from arcana._core.namespace import SIGNIFICANT_BITS, Namespace, compute_dtype

if TYPE_CHECKING:
    from arcana._core.surrogate import Surrogate


def _of_each(function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
    return np.vectorize(function, otypes=[np.float64])(x).astype(x.dtype)[()]


class NumPyNamespace(Namespace):
    """`xp` for NumPy arrays: plots, facts and tests.

    Args:
        dtype: to compute in.
    """

    def __init__(self, dtype: str) -> None:
        self.number = np.dtype(dtype).type

    abs = staticmethod(np.abs)
    arctan = staticmethod(np.arctan)
    at_least = staticmethod(np.greater_equal)
    cos = staticmethod(np.cos)
    divide = staticmethod(np.divide)
    erf = staticmethod(functools.partial(_of_each, math.erf))
    erfc = staticmethod(functools.partial(_of_each, math.erfc))
    exp = staticmethod(np.exp)
    expm1 = staticmethod(np.expm1)
    fmod = staticmethod(np.fmod)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    power = staticmethod(np.power)
    reciprocal = staticmethod(np.reciprocal)
    round = staticmethod(np.round)
    sign = staticmethod(np.sign)
    sin = staticmethod(np.sin)
    sqrt = staticmethod(np.sqrt)
    square = staticmethod(np.square)
    where = staticmethod(np.where)
    zeros_like = staticmethod(np.zeros_like)

    @staticmethod
    def decay(x: np.ndarray, rate: np.floating) -> np.ndarray:
        return np.exp(x * -rate)

    @staticmethod
    def nonnegative(v: np.ndarray) -> np.ndarray:
        return v >= 0

    @staticmethod
    def positive(v: np.ndarray) -> np.ndarray:
        return v > 0

    @staticmethod
    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, np.zeros_like(x))

    @staticmethod
    def spike(v: np.ndarray) -> np.ndarray:
        return (v >= 0).astype(v.dtype)


NAMESPACES = {dtype: NumPyNamespace(dtype) for dtype in SIGNIFICANT_BITS}
"""By computing dtype."""
NAMESPACE = NAMESPACES["float64"]


def evaluate(surrogate: Surrogate, which: str, v: Any) -> Any:
    """Return h or G of an array or a number, in its own dtype."""
    v = np.asarray(v)
    dtype = compute_dtype(type(surrogate).__name__, v.dtype.name)
    kind = np.dtype(dtype).type
    numbers = {name: kind(surrogate.rounded(name, value, dtype)) for name, value in surrogate.numbers.items()}
    with np.errstate(all="ignore"):
        y = surrogate.formula.evaluate(which, v.astype(dtype), NAMESPACES[dtype], numbers)
        return np.broadcast_to(np.asarray(y).astype(v.dtype), v.shape).copy()[()]
