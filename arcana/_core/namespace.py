"""The array namespace `xp` over which a definition writes its formulas."""

from __future__ import annotations

import functools
import inspect
import math
import typing
from collections.abc import Callable
from typing import Any

FUNCTIONS = (
    "abs",
    "arctan",
    "at_least",
    "compound",
    "cos",
    "decay",
    "divide",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "fmod",
    "infinite",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "nonnegative",
    "positive",
    "power",
    "reciprocal",
    "relu",
    "round",
    "sign",
    "sin",
    "sin_of_turns",
    "spike",
    "sqrt",
    "square",
    "turns",
    "where",
    "zeros_like",
)
"""Every function of `xp`. `at_least`, `nonnegative`, `positive` and `spike` are exact for subnormals, others the framework's own.

`decay(x, rate)` is e^(−rate·x) for x >= 0 and a positive rate. `relu(x)` has the derivative 0 at 0 in every backend, and so
have `maximum(x, bound)` and `minimum(x, bound)` where x is the bound, which is a number or a parameter. `compound(x, exponent)`
is (1 + x)^exponent for x >= 0. `turns(v, period)` is v/period less the nearest whole number; for an infinite v ±1/4, where the
cosine of that period is 0. `sin_of_turns(x)` is sin(2π·x).
`nonnegative` is v >= 0 and `positive` v > 0, false for NaN; `spike` is `nonnegative` as numbers of v's dtype. `at_least(x, y)` is
x >= y, and `infinite(v)` whether v is inf or −inf.
"""

SHORTCUTS: dict[str, Callable[[float], bool]] = {
    # Rounding 1 + x costs |exponent| units at most.
    "compound": lambda exponent: abs(exponent) <= 2,
    # Then v/period is exact.
    "turns": lambda period: period >= 1 and math.frexp(period)[0] == 0.5,
}
"""Functions for which a backend may do with less where this holds of their last operand, a number."""

COMPUTE_DTYPES = {"float64": "float64", "float32": "float32", "float16": "float32", "bfloat16": "float32"}
"""The dtypes of a potential, and the dtype in which each is computed: half types in float32, rounded once at the end."""


SIGNIFICANT_BITS = {"float64": 53, "float32": 24}
"""By computing dtype."""

FAR = {"float64": 2.0**1008, "float32": 2.0**112}
"""Stands for an infinite potential in the gradient of a parameter: far enough for every limit, with room for products."""


def compute_dtype(caller: str, dtype: str) -> str:
    """Return the computing dtype for a potential's dtype, or raise a TypeError for one that is not supported."""
    if dtype not in COMPUTE_DTYPES:
        msg = f"{caller}: v must be {', '.join(COMPUTE_DTYPES)}, got {dtype}"
        raise TypeError(msg)
    return COMPUTE_DTYPES[dtype]


def _of_arrays(name: str, given: Any) -> Callable[..., Any]:
    """Return the function of a namespace, whose numbers become arrays of the computing dtype where its first operand is one."""
    function: Callable[..., Any] = getattr(given, "__func__", given)
    bound = not isinstance(given, staticmethod)
    first = 1 if name == "where" else 0

    @functools.wraps(function)
    def of_arrays(self: Namespace, *operands: Any, **keywords: Any) -> Any:
        values = operands[first:]
        # A choice between a number and an array has the array's dtype.
        if values and isinstance(values[0], (int, float)) and (not first or isinstance(values[-1], (int, float))):
            operands = (*operands[:first], *(self.number(x) if isinstance(x, (int, float)) else x for x in values))
        return function(self, *operands, **keywords) if bound else function(*operands, **keywords)

    return of_arrays


class Namespace:
    """One backend's functions, under the names in `FUNCTIONS` and no others.

    A backend subclasses this and gives each function. A few of them are defined there rather than left to
    the frameworks, which disagree: d|v|/dv at 0 is 0, and a comparison with 0 never treats a subnormal as zero.
    Those that are written here are made of the others.

    A function of plain numbers is a function of arrays without axes in the computing dtype, so a backend gives `number` too,
    and an instance computes in one dtype: xp.where(v < 0, 0.7, 0.1) and xp.exp(0.5) are the same numbers in every backend.
    """

    def __init_subclass__(cls) -> None:
        for name in FUNCTIONS:
            given = inspect.getattr_static(cls, name, None)
            if given is not None:
                setattr(cls, name, _of_arrays(name, given))

    def number(self, x: float) -> Any:
        """Return the number as an array without axes, in the computing dtype."""
        raise NotImplementedError

    def rounded(self, y: Any, v: Any) -> Any:
        """Return a result at v for a sum, which a backend whose compiler contracts products into sums keeps apart."""
        return y

    def held(self, v: Any, bound: float) -> Any:
        """Return v held within ±bound; NaN stays."""
        return self.maximum(self.minimum(v, bound), -bound)

    def reached(self, v: Any, threshold: Any, at_threshold: bool) -> Any:
        """Whether v >= threshold, or v > threshold if it is not reached there; both are arrays."""
        reached = self.at_least(v, threshold)
        return reached if at_threshold else reached & ~self.at_least(threshold, v)

    def as_numbers(self, mask: Any, v: Any) -> Any:
        """Return 1 where a comparison is true and else 0, in v's dtype."""
        return self.where(mask, self.zeros_like(v) + 1, self.zeros_like(v))

    def count(self, v: Any, step: float, most: float, at_threshold: bool) -> Any:
        """Return how many of 0, step, 2·step, … v has reached, up to `most`; 0 for NaN."""
        # The nearest by a quotient, which may be rounded, and whether it is reached by a comparison, which is exact.
        nearest = self.round(self.divide(v, self.number(step)))
        count = self.where(self.reached(v, nearest * step, at_threshold), nearest + 1, nearest)
        # NaN is not above 0.
        return self.minimum(self.where(count > 0, count, self.zeros_like(v)), most)

    def infinite(self, v: Any) -> Any:
        return self.abs(v) == math.inf

    def compound(self, x: Any, exponent: Any) -> Any:
        # Near 0 by the logarithm, since rounding 1 + x costs |exponent| units.
        near = x < 1
        small = self.where(near, x, self.zeros_like(x))
        large = self.where(near, self.zeros_like(x) + 1, x + 1)
        return self.where(near, self.exp(self.log1p(small) * exponent), self.power(large, exponent))

    def turns(self, v: Any, period: Any) -> Any:
        # The remainder is exact.
        finite = self.where(self.infinite(v), self.sign(v) * (period * 0.25), v)
        part = self.divide(self.fmod(finite, period), period)
        return part - self.round(part)

    def sin_of_turns(self, x: Any) -> Any:
        return self.sin(x * math.tau)

    if typing.TYPE_CHECKING:
        # Definitions are written once over arrays of any framework, so their types stay open here.
        def __getattr__(self, name: str) -> Any: ...

    else:

        def __getattr__(self, name: str) -> Any:
            msg = f"xp.{name} does not exist: a definition may use only {', '.join(FUNCTIONS)}"
            raise AttributeError(msg)
