"""`xp` for torch tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from arcana._core import Namespace

_LOG2_E = math.log2(math.e)


def decay(x: Any, rate: Any, dtype: torch.dtype, xp: Any, exp2: Callable[[Any], Any]) -> Any:
    """Return e^(−rate·x) without torch.exp where its result is subnormal or 0: there it takes 30 times as long (MKL)."""
    if dtype is torch.float32:
        return exp2(x * (rate * -_LOG2_E))
    # The rounding of x·log₂e would be too much in float64: half of the exponent and a square, which is 0 exactly at the bound.
    return xp.square(xp.exp(xp.maximum(x * (rate * -0.5), -708.0)))


def short_compound(x: torch.Tensor, exponent: float, out: torch.Tensor | None = None) -> torch.Tensor:
    # torch.pow has quick ways for some numbers, and none for tensors.
    return torch.pow(torch.add(x, 1, out=out), exponent, out=out)


def short_turns(v: torch.Tensor, period: float, out: torch.Tensor | None = None) -> torch.Tensor:
    # Exact, since 1/period is a power of 2; and from v again, which takes no second array unless the first is v's.
    v = v.clone() if out is v else v
    whole = torch.round(torch.mul(v, -1 / period, out=out), out=out)
    part = torch.add(torch.nan_to_num(whole, math.nan, 0, 0, out=out), v, alpha=1 / period, out=out)
    return torch.nan_to_num(part, math.nan, 0.25, -0.25, out=out)


def fmod(dividend: torch.Tensor, divisor: torch.Tensor | float) -> torch.Tensor:
    # torch.fmod is NaN where the quotient overflows; taking off multiples of a larger divisor first is exact.
    return torch.fmod(torch.fmod(dividend, divisor * 2.0**64), divisor)


def sign(v: torch.Tensor) -> torch.Tensor:
    # torch.sign(NaN) is 0, and a primitive would lose the NaN.
    return torch.where(v != v, v.detach(), torch.sign(v))


class TorchNamespace(Namespace):
    """torch's own functions; |v|' at 0 is 0 in torch already.

    Args:
        dtype: to compute in.
        shortcuts: the functions of `SHORTCUTS` that go the short way, with the number that is their last operand.
    """

    def __init__(self, dtype: torch.dtype, shortcuts: Mapping[str, float]) -> None:
        self._dtype = dtype
        self._shortcuts = shortcuts

    def number(self, x: float) -> torch.Tensor:
        # Not torch.scalar_tensor, which refuses a number that the dtype holds as infinite.
        return torch.tensor(float(x), dtype=self._dtype, device="cpu")

    def compound(self, x: torch.Tensor, exponent: Any) -> torch.Tensor:
        short = self._shortcuts.get("compound")
        return super().compound(x, exponent) if short is None else short_compound(x, short)

    def turns(self, v: torch.Tensor, period: Any) -> torch.Tensor:
        short = self._shortcuts.get("turns")
        return super().turns(v, period) if short is None else short_turns(v, short)

    abs = staticmethod(torch.abs)
    arctan = staticmethod(torch.arctan)
    at_least = staticmethod(torch.ge)
    cos = staticmethod(torch.cos)
    erf = staticmethod(torch.erf)
    erfc = staticmethod(torch.special.erfc)
    exp = staticmethod(torch.exp)
    expm1 = staticmethod(torch.expm1)
    fmod = staticmethod(fmod)
    log = staticmethod(torch.log)
    log1p = staticmethod(torch.log1p)
    power = staticmethod(torch.pow)
    reciprocal = staticmethod(torch.reciprocal)
    relu = staticmethod(torch.relu)
    round = staticmethod(torch.round)
    sign = staticmethod(sign)
    sin = staticmethod(torch.sin)
    sqrt = staticmethod(torch.sqrt)
    square = staticmethod(torch.square)
    zeros_like = staticmethod(torch.zeros_like)

    def decay(self, x: torch.Tensor, rate: Any) -> torch.Tensor:
        return decay(x, rate, x.dtype, self, torch.exp2)

    # torch evaluates number / tensor as reciprocal times number, which rounds twice; here the number is a tensor by now.
    divide = staticmethod(torch.div)

    def held(self, v: torch.Tensor, bound: float) -> torch.Tensor:
        return v.clamp(-bound, bound)

    def maximum(self, x: torch.Tensor, bound: torch.Tensor | float) -> torch.Tensor:
        # torch.maximum halves the derivative at a tie.
        return self.where(x <= bound, bound, x)

    def minimum(self, x: torch.Tensor, bound: torch.Tensor | float) -> torch.Tensor:
        return self.where(x >= bound, bound, x)

    def where(self, mask: torch.Tensor, a: torch.Tensor | float, b: torch.Tensor | float) -> torch.Tensor:
        # torch takes a number beside an array in a dtype of its own choice, and refuses one that the dtype holds as infinite.
        return torch.where(mask, *(x if isinstance(x, torch.Tensor) else self.number(x) for x in (a, b)))

    def as_numbers(self, mask: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return mask.to(v.dtype)

    def count(self, v: torch.Tensor, step: float, most: float, at_threshold: bool) -> torch.Tensor:
        if step != 1:
            return super().count(v, step, most, at_threshold)
        # The same numbers by fewer operations, and none by torch.where, which takes as long as ten others.
        count = torch.floor(v).add_(1) if at_threshold else torch.ceil(v).add_(0.0)
        # Not in place, for which vmap has no rule.
        return count.clamp(0, most).nan_to_num(0.0, math.inf)

    @staticmethod
    def nonnegative(v: torch.Tensor) -> torch.Tensor:
        return v >= 0

    @staticmethod
    def positive(v: torch.Tensor) -> torch.Tensor:
        return v > 0

    @staticmethod
    def spike(v: torch.Tensor) -> torch.Tensor:
        return (v >= 0).to(v.dtype)


NAMESPACES = {dtype: TorchNamespace(dtype, {}) for dtype in (torch.float32, torch.float64)}
"""By computing dtype."""
NAMESPACE = NAMESPACES[torch.float32]
