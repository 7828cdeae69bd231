"""The numbers a surrogate is made with: their bounds, the checks, and the rounding to a computing dtype."""

from __future__ import annotations

import dataclasses
import math
import numbers
import struct
from typing import Any

import numpy as np

_BOUNDS = "arcana bounds"
_LIMITS = {
    "float64": (2.0**-1022, (2 - 2.0**-52) * 2.0**1023),
    "float32": (2.0**-126, (2 - 2.0**-23) * 2.0**127),
}
"""Of each computing dtype the smallest normal number and the largest."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """An interval of the real line; `above` and `below` exclude the end, `at_least` and `at_most` include it."""

    above: float = -math.inf
    at_least: float = -math.inf
    below: float = math.inf
    at_most: float = math.inf
    _ends: dict[str, tuple[float, float]] = dataclasses.field(init=False, repr=False, compare=False)
    _domains: dict[str, tuple[float, float]] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Kept with the bounds, so that they live no longer than their class; and made here, where Dynamo does not look on.
        ends = {dtype: self._ends_in(dtype) for dtype in _LIMITS}
        object.__setattr__(self, "_ends", ends)
        object.__setattr__(self, "_domains", {dtype: tuple(_as_dtype(end, dtype) for end in ends[dtype]) for dtype in ends})

    def holds(self, value: float) -> bool:
        return self.above < value < self.below and self.at_least <= value <= self.at_most

    def __str__(self) -> str:
        ends = [
            f"> {self.above:g}" if self.above > -math.inf else "",
            f">= {self.at_least:g}" if self.at_least > -math.inf else "",
            f"< {self.below:g}" if self.below < math.inf else "",
            f"<= {self.at_most:g}" if self.at_most < math.inf else "",
        ]
        return " and ".join(end for end in ends if end) or "finite"

    def representable(self, dtype: str) -> tuple[float, float]:
        """Return the least and the greatest number of a computing dtype inside the bounds, subnormals left out.

        A number is rounded into this interval, so that rounding never carries a valid parameter out of its domain.
        """
        return self._ends[dtype]

    def domain(self, dtype: str) -> tuple[float, float]:
        """Return the ends of that interval as numbers of the computing dtype."""
        return self._domains[dtype]

    def _ends_in(self, dtype: str) -> tuple[float, float]:
        tiny, largest = _LIMITS[dtype]
        low = max(self.at_least, -largest)
        high = min(self.at_most, largest)
        if self.above > -math.inf:
            low = max(low, tiny if self.above == 0 else _next(self.above, math.inf, dtype))
        if self.below < math.inf:
            high = min(high, -tiny if self.below == 0 else _next(self.below, -math.inf, dtype))
        return low, high


def _as_dtype(value: float, dtype: str) -> float:
    return value if dtype == "float64" else struct.unpack("f", struct.pack("f", value))[0]


def _next(value: float, towards: float, dtype: str) -> float:
    kind = np.dtype(dtype).type
    return float(np.nextafter(kind(value), kind(towards)))


FINITE = Bounds()


def parameter(
    default: Any = dataclasses.MISSING,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
) -> Any:
    """Declare a parameter of a surrogate with bounds: `scale: float = parameter(10.0, above=0)`.

    Args:
        default: the value when none is given; without one the parameter must be given.
        above: the value must be greater than this.
        at_least: the value must be this or greater.
        below: the value must be less than this.
        at_most: the value must be this or less.

    >>> from arcana.surrogate import Surrogate, parameter
    >>> class Box(Surrogate):
    ...     width: float = parameter(1.0, above=0, at_most=10)
    ...     @staticmethod
    ...     def derivative(v, xp, *, width):
    ...         return xp.where(xp.abs(v) < width, xp.zeros_like(v) + 1, xp.zeros_like(v))
    >>> Box(width=20)
    Traceback (most recent call last):
    ValueError: Box: width must be > 0 and <= 10, got 20.0
    """
    bounds = Bounds(above=above, at_least=at_least, below=below, at_most=at_most)
    return dataclasses.field(default=default, metadata={_BOUNDS: bounds})


def positive(default: float) -> Any:
    """Declare a width, slope or height: from 1e-15 to 1e15, so that its square and its reciprocal's stay normal in float32."""
    return parameter(default, at_least=1e-15, at_most=1e15)


def bounds_of(field: dataclasses.Field[Any]) -> Bounds:
    """Return the bounds given with `parameter`; a plain field has to be finite and no more."""
    return field.metadata.get(_BOUNDS, FINITE)


def checked_number(surrogate: str, name: str, value: object, bounds: Bounds) -> float:
    """`value` as a float within `bounds`, or an error that names the surrogate, the parameter, the bound and the value."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        hint = "; an array is given to the call instead, spike(v, surrogate, name=array)" if hasattr(value, "shape") else ""
        msg = f"{surrogate}: {name} must be a real number, got {value!r} ({type(value).__name__}){hint}"
        raise TypeError(msg)
    return checked_bounds(surrogate, name, float(value), bounds)


def checked_bounds(surrogate: str, name: str, value: float, bounds: Bounds) -> float:
    """`value` if it is finite and within `bounds`, otherwise a ValueError. Comparisons only: a traced float works too."""
    if not bounds.holds(value):
        infinite = bounds != FINITE and not math.isfinite(value)
        msg = f"{surrogate}: {name} must be {'finite and ' if infinite else ''}{bounds}, got {value!r}"
        raise ValueError(msg)
    # A zero without a sign: equal surrogates share what was made for the first of them.
    return value + 0.0


def checked_static(surrogate: str, name: str, value: object, default: object, bounds: Bounds = FINITE) -> Any:
    """Return a setting that shapes the formula, an int, a bool or a string: of its default's type, an int within bounds."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and type(default) is int:
        checked_bounds(surrogate, name, int(value), bounds)
        return int(value)
    if not isinstance(value, (int, bool, str)) or (default is not dataclasses.MISSING and type(value) is not type(default)):
        wanted = "an int, a bool or a str" if default is dataclasses.MISSING else f"of type {type(default).__name__}"
        hint = "; it shapes the formula, so a transform must not trace it" if hasattr(value, "shape") else ""
        msg = f"{surrogate}: {name} must be {wanted}, got {value!r} ({type(value).__name__}){hint}"
        raise TypeError(msg)
    return value
