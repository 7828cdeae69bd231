"""`xp` for torch tensors."""

from __future__ import annotations

import torch

from arcana.surrogate._namespace import Namespace

_LEAST = {torch.float32: -87.0, torch.float64: -708.0}
"""Exponents whose power of e is a normal number."""


def decay(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """e^(−x) for x >= 0, as the square of e^(−x/2)."""
    # torch.exp takes up to 30 times as long where its result is subnormal or 0 (MKL); the square of the least is 0 exactly.
    half = torch.mul(x, -0.5, out=out)
    least = _LEAST[x.dtype]
    if out is None:
        return torch.square(torch.exp(torch.clamp_min(half, least)))
    return half.clamp_min_(least).exp_().square_()


class TorchNamespace(Namespace):
    """torch's own functions; |v|' at 0 is 0 in torch already."""

    abs = staticmethod(torch.abs)
    arctan = staticmethod(torch.arctan)
    cos = staticmethod(torch.cos)
    erf = staticmethod(torch.erf)
    erfc = staticmethod(torch.special.erfc)
    exp = staticmethod(torch.exp)
    expm1 = staticmethod(torch.expm1)
    log = staticmethod(torch.log)
    log1p = staticmethod(torch.log1p)
    power = staticmethod(torch.pow)
    reciprocal = staticmethod(torch.reciprocal)
    relu = staticmethod(torch.relu)
    round = staticmethod(torch.round)
    sin = staticmethod(torch.sin)
    sqrt = staticmethod(torch.sqrt)
    square = staticmethod(torch.square)
    where = staticmethod(torch.where)
    zeros_like = staticmethod(torch.zeros_like)

    decay = staticmethod(decay)

    @staticmethod
    def divide(numerator: torch.Tensor | float, denominator: torch.Tensor | float) -> torch.Tensor:
        # torch evaluates number / tensor as reciprocal times number, which rounds twice.
        if not isinstance(numerator, torch.Tensor):
            numerator = torch.full_like(denominator, numerator)  # pyright: ignore[reportArgumentType]
        return torch.div(numerator, denominator)

    @staticmethod
    def fmod(dividend: torch.Tensor, divisor: torch.Tensor | float) -> torch.Tensor:
        # torch.fmod is NaN where the quotient overflows; taking off multiples of a larger divisor first is exact.
        return torch.fmod(torch.fmod(dividend, divisor * 2.0**64), divisor)

    @staticmethod
    def nonnegative(v: torch.Tensor) -> torch.Tensor:
        return v >= 0

    @staticmethod
    def positive(v: torch.Tensor) -> torch.Tensor:
        return v > 0

    @staticmethod
    def sign(v: torch.Tensor) -> torch.Tensor:
        # torch.sign(NaN) is 0, and a primitive would lose the NaN.
        return torch.where(v.isnan(), v.detach(), torch.sign(v))

    @staticmethod
    def spike(v: torch.Tensor) -> torch.Tensor:
        return (v >= 0).to(v.dtype)


NAMESPACE = TorchNamespace()
