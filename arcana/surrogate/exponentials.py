"""Surrogates made of exponentials, in forms without cancellation: a tail is never 1 − something."""

from __future__ import annotations

import math
from typing import Any

from arcana._core import Facts, Surrogate, formula, parameter, positive

__all__ = [
    "S2NN",
    "Dspike",
    "EscapeExponential",
    "Exponential",
    "Sigmoid",
    "dspike",
    "escape_exponential",
    "exponential",
    "s2nn",
    "sigmoid",
]


def _logistic(v: Any, xp: Any, slope: Any) -> Any:
    """s(x) = 1 / (1 + e^(−x)) of x = slope·v."""
    decay = xp.decay(xp.abs(v), slope)
    upper = xp.reciprocal(decay + 1)
    return xp.where(v >= 0, upper, decay * upper)


def _logistic_slope(v: Any, xp: Any, slope: Any) -> Any:
    """s(x)·s(−x) = e / (1 + e)² of x = slope·v, with e = e^(−|x|)."""
    decay = xp.decay(xp.abs(v), slope)
    return xp.divide(decay, xp.square(decay + 1))


class Sigmoid(Surrogate):
    """The derivative of the logistic function.

    h(v) = slope·s(slope·v)·s(−slope·v), s(x) = 1 / (1 + e^(−x)); the same as (slope/4)·sech²(slope·v/2)
    G(v) = s(slope·v)

    Args:
        slope: steepness, from 1e-15 to 1e15 (default 4).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: slope/4 at v = 0. Area: 1. Support: the real line. h(±inf) = 0; h′(0) = 0.
    Errors: ValueError for a slope out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(Sigmoid(slope=8.0).derivative(0.0))
    2.0

    Reference: Y. Wu, L. Deng, G. Li, J. Zhu and L. Shi (2018), "Spatio-Temporal Backpropagation for Training
        High-Performance Spiking Neural Networks", Frontiers in Neuroscience 12, 331, arXiv:1706.02609.
    """

    slope: float = positive(4.0)

    @formula
    def derivative(v: Any, xp: Any, *, slope: Any) -> Any:
        return _logistic_slope(v, xp, slope) * slope

    @formula
    def primitive(v: Any, xp: Any, *, slope: Any) -> Any:
        return _logistic(v, xp, slope)

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, slope: Any) -> dict[str, Any]:
        return {"slope": h * xp.reciprocal(slope) * v}

    @staticmethod
    def facts(*, slope: float) -> Facts:
        return Facts(peak=slope / 4, area=1.0)


class Exponential(Surrogate):
    """A Laplace density: exponential decay on both sides of the threshold, as in SLAYER.

    h(v) = (slope/2)·e^(−slope·|v|)
    G(v) = e^(slope·v)/2 for v < 0, 1 − e^(−slope·v)/2 for v >= 0

    Args:
        slope: steepness, from 1e-15 to 1e15 (default 1).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: slope/2 at v = 0. Area: 1. Support: the real line. h(±inf) = 0; h′(0) = 0 by definition.
    Errors: ValueError for a slope out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(Exponential(slope=2.0).derivative(0.0))
    1.0

    Reference: S. B. Shrestha and G. Orchard (2018), "SLAYER: Spike Layer Error Reassignment in Time", NeurIPS 31,
        arXiv:1810.08646.
    """

    slope: float = positive(1.0)

    @formula
    def derivative(v: Any, xp: Any, *, slope: Any) -> Any:
        return xp.decay(xp.abs(v), slope) * (slope * 0.5)

    @formula
    def primitive(v: Any, xp: Any, *, slope: Any) -> Any:
        tail = xp.decay(xp.abs(v), slope) * 0.5
        return xp.where(v >= 0, 1 - tail, tail)

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, slope: Any) -> dict[str, Any]:
        return {"slope": h * xp.reciprocal(slope) * v}

    @staticmethod
    def facts(*, slope: float) -> Facts:
        return Facts(peak=slope / 2, area=1.0)


class Dspike(Surrogate):
    """The derivative of a hyperbolic tangent cut to a window of width 1 and stretched to rise from 0 to 1 in it.

    h(v) = b / (2·tanh(b/2)) · sech²(b·v) for |v| <= 1/2, else 0, where b is the temperature
    G(v) = 1/2 + tanh(b·v) / (2·tanh(b/2)) for |v| <= 1/2, else 0 below and 1 above

    Args:
        temperature: steepness, from 1e-15 to 1e15 (default 3): near 0 it is a boxcar, at large values a spike.

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: b / (2·tanh(b/2)) at v = 0. Area: 1. Support: [−1/2, 1/2]. h(±inf) = 0; h′(0) = 0, and h′(±1/2) is the
    slope inside.
    Errors: ValueError for a temperature out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(Dspike(temperature=3.0).derivative(0.6))
    0.0

    Reference: Y. Li, Y. Guo, S. Zhang, S. Deng, Y. Hai and S. Gu (2021), "Differentiable Spike: Rethinking
        Gradient-Descent for Training Spiking Neural Networks", NeurIPS 34, 23426–23439. The default lies between the
        values 2 and 3 of the implementations that exist; the paper tunes it during training.
    """

    temperature: float = positive(3.0)

    @formula
    def derivative(v: Any, xp: Any, *, temperature: Any) -> Any:
        peak = xp.divide(temperature * 0.5, _tanh_of_half(temperature, xp))
        bell = _logistic_slope(v, xp, temperature * 2) * (peak * 4)
        return bell * xp.where(xp.abs(v) <= 0.5, xp.zeros_like(v) + 1, xp.zeros_like(v))

    @formula
    def primitive(v: Any, xp: Any, *, temperature: Any) -> Any:
        outside = xp.abs(v) > 0.5
        held = xp.where(outside, xp.zeros_like(v), xp.abs(v))
        ratio = _tanh_of_half(held * (temperature * 2), xp) / _tanh_of_half(temperature, xp)
        return xp.sign(v) * xp.where(outside, xp.zeros_like(v) + 1, ratio) * 0.5 + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, temperature: Any) -> dict[str, Any]:
        twice = temperature * 2
        tanh = xp.divide(-xp.expm1(xp.abs(v) * -twice), xp.decay(xp.abs(v), twice) + 1)
        inside = xp.where(xp.abs(v) <= 0.5, xp.zeros_like(v) + 1, xp.zeros_like(v))
        # 1 / (4·sinh²(temperature/2)), which is where the end of the window goes.
        end = xp.divide(xp.exp(-temperature), xp.square(xp.expm1(-temperature)))
        return {"temperature": h * xp.reciprocal(temperature) * v - xp.sign(v) * inside * tanh * end}

    @staticmethod
    def facts(*, temperature: float) -> Facts:
        return Facts(peak=temperature / (2 * math.tanh(temperature / 2)), area=1.0, support=(-0.5, 0.5))


def _tanh_of_half(x: Any, xp: Any) -> Any:
    """tanh(x/2) for x >= 0."""
    return xp.divide(-xp.expm1(-x), xp.exp(-x) + 1)


SATURATION = 13
"""Where the exponent of `EscapeExponential` is held: the greatest whole number for which the default h fits float16."""


class EscapeExponential(Surrogate):
    """The escape rate of a noisy neuron, exponential in the distance to the threshold, with a ceiling.

    h(v) = (rate/width)·e^x, x = v/width held at 13 from above
    G(v) = 1/2 + rate·(e^x − 1 + e^13·max(v/width − 13, 0))

    Without the ceiling h leaves float16 at v = 1.8 and float32 at v = 12, with the default parameters.

    Args:
        rate: the escape rate at the threshold, from 1e-15 to 1 (default 0.01).
        width: the distance over which the rate grows e-fold, from 1e-15 to 1e15 (default 0.133).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: (rate/width)·e^13 at v >= 13·width, 33264 by default. Area: infinite. Support: the real line.
    h(−inf) = 0, h(inf) is the peak; h′(13·width) = 0 by definition.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(EscapeExponential(rate=0.01, width=0.2).primitive(0.0))
    0.5

    Reference: W. Gerstner and W. M. Kistler (2002), "Spiking Neuron Models: Single Neurons, Populations, Plasticity",
        Cambridge University Press, section 5.3.
    """

    rate: float = parameter(0.01, at_least=1e-15, at_most=1)
    width: float = positive(0.133)

    @formula
    def derivative(v: Any, xp: Any, *, rate: Any, width: Any) -> Any:
        x = v * xp.reciprocal(width)
        return xp.exp(xp.minimum(x, SATURATION)) * xp.divide(rate, width)

    @formula
    def primitive(v: Any, xp: Any, *, rate: Any, width: Any) -> Any:
        x = v * xp.reciprocal(width)
        growth = xp.expm1(xp.minimum(x, SATURATION))
        beyond = xp.relu(x - SATURATION) * math.exp(SATURATION)
        return (growth + beyond) * rate + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, rate: Any, width: Any) -> dict[str, Any]:
        return {"width": h * -xp.reciprocal(width) * v}

    @staticmethod
    def facts(*, rate: float, width: float) -> Facts:
        return Facts(peak=rate / width * math.exp(SATURATION), area=math.inf, even=False)


class S2NN(Surrogate):
    """A sigmoid below the threshold and a logarithm above it.

    h(v) = alpha·s(alpha·v)·s(−alpha·v) for v < 0, beta / (1 + v) for v >= 0, s(x) = 1 / (1 + e^(−x))
    G(v) = s(alpha·v) for v < 0, 1/2 + beta·log(1 + v) for v >= 0

    Args:
        alpha: steepness below the threshold, from 1e-15 to 1e15 (default 4).
        beta: height above the threshold, from 1e-15 to 1e15 (default 1).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: the larger of alpha/4, just below the threshold, and beta, at it. Area: infinite. Support: the real line.
    h(0) = beta, h(±inf) = 0; h′(0) = −beta.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(S2NN(beta=2.0).derivative(1.0))
    1.0

    Reference: K. Suetake, S. Ikegawa, R. Saiin and Y. Sawada (2022), "S²NN: Time Step Reduction of Spiking Surrogate
        Gradients for Training Energy Efficient Single-Step Neural Networks", arXiv:2201.10879.
    """

    alpha: float = positive(4.0)
    beta: float = positive(1.0)

    @formula
    def derivative(v: Any, xp: Any, *, alpha: Any, beta: Any) -> Any:
        above = xp.nonnegative(v)
        decay = xp.divide(beta, xp.where(above, v, xp.zeros_like(v)) + 1)
        return xp.where(above, decay, _logistic_slope(v, xp, alpha) * alpha)

    @formula
    def primitive(v: Any, xp: Any, *, alpha: Any, beta: Any) -> Any:
        above = xp.nonnegative(v)
        growth = xp.log1p(xp.where(above, v, xp.zeros_like(v))) * beta + 0.5
        return xp.where(above, growth, _logistic(v, xp, alpha))

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, alpha: Any, beta: Any) -> dict[str, Any]:
        return {"alpha": h * -xp.reciprocal(alpha) * xp.relu(-v), "beta": xp.log1p(xp.relu(v))}

    @staticmethod
    def facts(*, alpha: float, beta: float) -> Facts:
        return Facts(peak=max(alpha / 4, beta), area=math.inf, even=False)


sigmoid = Sigmoid()
exponential = Exponential()
dspike = Dspike()
escape_exponential = EscapeExponential()
s2nn = S2NN()
