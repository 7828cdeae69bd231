"""Surrogates made of straight pieces, and one with a reciprocal tail: the same bits in every backend."""

from __future__ import annotations

import math
from typing import Any

from arcana._core import Facts, Surrogate, formula, parameter, positive
from arcana.surrogate.rational import sign_outside

__all__ = [
    "LeakyStep",
    "LogTailedReLU",
    "PiecewiseLeakyReLU",
    "Rectangular",
    "Step",
    "Triangular",
    "leaky_step",
    "log_tailed_relu",
    "piecewise_leaky_relu",
    "rectangular",
    "step",
    "triangular",
]


def _leak(default: float) -> Any:
    return parameter(default, at_least=0, at_most=1e15)


def _held(v: Any, xp: Any, bound: Any) -> Any:
    """v held within [−bound, bound]."""
    return xp.maximum(xp.minimum(v, bound), -bound)


def _leaking(v: Any, xp: Any, leak: Any) -> Any:
    """leak · v, which is 0 for a leak of 0 at ±inf too."""
    return xp.where((leak == 0) & xp.infinite(v), xp.zeros_like(v), v) * leak


class Step(Surrogate):
    """The step itself as its own derivative: the gradient of a rectifier at the threshold.

    h(v) = 1 for v >= 0, else 0
    G(v) = 1/2 + max(v, 0)

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: 1. Area: infinite. Support: [0, inf). h(0) = h(−0.0) = h(inf) = 1, h(−inf) = 0; h′ = 0 everywhere.
    Errors: TypeError for a v that is no floating-point array.

    >>> print(Step().derivative(-1.0), Step().derivative(0.0))
    0.0 1.0

    Reference: no single paper; the form with a window around the threshold is in S. K. Esser et al. (2016),
        "Convolutional networks for fast, energy-efficient neuromorphic computing", Proceedings of the National
        Academy of Sciences 113(41), 11441–11446, arXiv:1603.08270.
    """

    @formula
    def derivative(v: Any, xp: Any) -> Any:
        return xp.spike(v)

    @formula
    def primitive(v: Any, xp: Any) -> Any:
        return xp.where(v >= 0, v, xp.zeros_like(v)) + 0.5

    @staticmethod
    def facts() -> Facts:
        return Facts(peak=1.0, area=math.inf, support=(0.0, math.inf), even=False)


class LeakyStep(Surrogate):
    """The step with a leak below the threshold: the gradient of a leaky rectifier.

    h(v) = leak for v < 0, slope for v >= 0
    G(v) = 1/2 + leak·v for v < 0, 1/2 + slope·v for v >= 0

    Args:
        leak: the value below the threshold, from 0 to 1e15 (default 0.1).
        slope: the value from the threshold up, from 1e-15 to 1e15 (default 1).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: the larger of leak and slope. Area: infinite. Support: the real line, [0, inf) for a leak of 0. h(0) = h(−0.0) =
    h(inf) = slope, h(−inf) = h(NaN) = leak; h′ = 0 everywhere.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(LeakyStep(leak=0.25).derivative(-1.0))
    0.25

    Reference: A. L. Maas, A. Y. Hannun and A. Y. Ng (2013), "Rectifier Nonlinearities Improve Neural Network Acoustic
        Models", ICML Workshop on Deep Learning for Audio, Speech and Language Processing: the leaky rectifier, whose
        derivative this is; as a surrogate in SpikingJelly (`LeakyKReLU`).
    """

    leak: float = _leak(0.1)
    slope: float = positive(1.0)

    @formula
    def derivative(v: Any, xp: Any, *, leak: Any, slope: Any) -> Any:
        return xp.where(xp.nonnegative(v), slope, leak)

    @formula
    def primitive(v: Any, xp: Any, *, leak: Any, slope: Any) -> Any:
        above = v >= 0
        rise = xp.where(above, v, xp.zeros_like(v)) * slope
        return rise + _leaking(xp.where(above, xp.zeros_like(v), v), xp, leak) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, leak: Any, slope: Any) -> dict[str, Any]:
        return {"leak": -xp.relu(-v), "slope": xp.relu(v)}

    @staticmethod
    def facts(*, leak: float, slope: float) -> Facts:
        return Facts(peak=max(leak, slope), area=math.inf, support=(-math.inf if leak else 0.0, math.inf), even=False)


class Triangular(Surrogate):
    """A triangle around the threshold, the piecewise linear pseudo-derivative.

    h(v) = scale · max(1 − |v|/width, 0)
    G(v) = 1/2 + scale · width · w·(1 − |w|/2), w = v/width held within [−1, 1]

    Args:
        scale: height, above 0, to 1e15 (default 0.3, the dampening of the reference).
        width: half the base, from 1e-15 to 1e15 (default 1).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: scale at v = 0. Area: scale·width. Support: [−width, width]. h(±width) = h(±inf) = 0; h′(0) = h′(±width) = 0 by
    definition.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(Triangular(scale=0.5).derivative(0.5))
    0.25

    Reference: G. Bellec, D. Salaj, A. Subramoney, R. Legenstein and W. Maass (2018), "Long short-term memory and
        learning-to-learn in networks of spiking neurons", NeurIPS 31, arXiv:1803.09574.
    """

    scale: float = parameter(0.3, above=0, at_most=1e15)
    width: float = positive(1.0)

    @formula
    def derivative(v: Any, xp: Any, *, scale: Any, width: Any) -> Any:
        return xp.relu(width - xp.abs(v)) * xp.divide(scale, width)

    @formula
    def primitive(v: Any, xp: Any, *, scale: Any, width: Any) -> Any:
        x = v * xp.reciprocal(width)
        held = xp.where(xp.abs(v) >= width, xp.sign(v), x)
        return held * (1 - xp.abs(held) * 0.5) * width * scale + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, scale: Any, width: Any) -> dict[str, Any]:
        held = _held(v, xp, width)
        return {
            "scale": held * 0.5 + h * held * xp.divide(0.5, scale),
            "width": held * xp.abs(held) * xp.divide(scale * 0.5, xp.square(width)),
        }

    @staticmethod
    def facts(*, scale: float, width: float) -> Facts:
        return Facts(peak=scale, area=scale * width, support=(-width, width))


class Rectangular(Surrogate):
    """A box around the threshold.

    h(v) = height for |v| < width/2, else 0
    G(v) = 1/2 + height·(v held within [−width/2, width/2])

    Args:
        height: from 1e-15 to 1e15 (default 1).
        width: from 1e-15 to 1e15 (default 1).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: height. Area: height·width. Support: [−width/2, width/2]. h(±width/2) = h(±inf) = h(NaN) = 0; h′ = 0 everywhere.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(Rectangular(width=0.5).derivative(0.2))
    1.0

    Reference: Y. Wu, L. Deng, G. Li, J. Zhu and L. Shi (2018), "Spatio-Temporal Backpropagation for Training
        High-Performance Spiking Neural Networks", Frontiers in Neuroscience 12, 331, arXiv:1706.02609.
    """

    height: float = positive(1.0)
    width: float = positive(1.0)

    @formula
    def derivative(v: Any, xp: Any, *, height: Any, width: Any) -> Any:
        return xp.where(xp.abs(v) < width * 0.5, height, xp.zeros_like(v))

    @formula
    def primitive(v: Any, xp: Any, *, height: Any, width: Any) -> Any:
        half = width * 0.5
        return xp.where(xp.abs(v) < half, v, xp.sign(v) * half) * height + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, height: Any, width: Any) -> dict[str, Any]:
        half = width * 0.5
        return {"height": _held(v, xp, half), "width": sign_outside(v, xp, half) * (height * 0.5)}

    @staticmethod
    def facts(*, height: float, width: float) -> Facts:
        return Facts(peak=height, area=height * width, support=(-width / 2, width / 2))


class PiecewiseLeakyReLU(Surrogate, name="piecewise_leaky_relu"):
    """A box of area 1 around the threshold with a leak outside.

    h(v) = 1 / (2·width) for |v| < width, else leak
    G(v) = 1/2 + v / (2·width) for |v| < width, else 1/2 + sign(v)·(1/2 + leak·(|v| − width))

    Args:
        width: half the width of the box, from 1e-15 to 1e15 (default 1).
        leak: the value outside, from 0 to 1e15 (default 0.01).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: the larger of 1/(2·width) and leak. Area: infinite, 1 for a leak of 0. Support: the real line, [−width, width] for
    a leak of 0. h(±width) = h(±inf) = h(NaN) = leak; h′ = 0 everywhere.
    Errors: ValueError for a parameter out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(PiecewiseLeakyReLU(width=0.5, leak=0.01).derivative(0.6))
    0.01

    Reference: Y. Wu, L. Deng, G. Li, J. Zhu, Y. Xie and L. Shi (2019), "Direct Training for Spiking Neural Networks:
        Faster, Larger, Better", AAAI 33, 1311–1318, arXiv:1809.05793; S. Yin et al. (2017), "Algorithm and Hardware
        Design of Discrete-Time Spiking Neural Networks Based on Back Propagation with Binary Activations", BioCAS,
        arXiv:1709.06206.
    """

    width: float = positive(1.0)
    leak: float = _leak(0.01)

    @formula
    def derivative(v: Any, xp: Any, *, width: Any, leak: Any) -> Any:
        return xp.where(xp.abs(v) < width, xp.divide(0.5, width), leak)

    @formula
    def primitive(v: Any, xp: Any, *, width: Any, leak: Any) -> Any:
        inside = xp.abs(v) < width
        outer = xp.sign(v) * (_leaking(xp.where(inside, xp.zeros_like(v), xp.abs(v) - width), xp, leak) + 0.5)
        return xp.where(inside, xp.where(inside, v, xp.zeros_like(v)) * xp.divide(0.5, width), outer) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, width: Any, leak: Any) -> dict[str, Any]:
        inside = xp.where(xp.abs(v) < width, v, xp.zeros_like(v))
        return {
            "width": inside * -xp.divide(0.5, xp.square(width)) - sign_outside(v, xp, width) * leak,
            "leak": v - _held(v, xp, width),
        }

    @staticmethod
    def facts(*, width: float, leak: float) -> Facts:
        peak = max(0.5 / width, leak)
        return Facts(peak=peak, area=math.inf) if leak else Facts(peak=peak, area=1.0, support=(-width, width))


class LogTailedReLU(Surrogate, name="log_tailed_relu"):
    """The gradient of a rectifier that becomes a logarithm beyond 1, so that large potentials count less.

    h(v) = leak for v <= 0, 1 for 0 < v <= 1, 1/v for v > 1
    G(v) = 1/2 + leak·v for v <= 0, 1/2 + v for 0 < v <= 1, 3/2 + log(v) for v > 1

    Args:
        leak: the value below the threshold and at it, from 0 to 1e15 (default 0).

    Shapes and dtypes: any shape; float64, float32, float16, bfloat16, kept.
    Peak: the larger of 1 and leak. Area: infinite. Support: [0, inf) for a leak of 0, else the real line.
    h(0) = h(−inf) = h(NaN) = leak, h(inf) = 0; h′(0) = h′(1) = 0.
    Errors: ValueError for a leak out of its bounds; TypeError for a v that is no floating-point array.

    >>> print(LogTailedReLU(leak=0.0).derivative(4.0))
    0.25

    Reference: Z. Cai, X. He, J. Sun and N. Vasconcelos (2017), "Deep Learning with Low Precision by Half-wave Gaussian
        Quantization", CVPR, 5918–5926, arXiv:1702.00953.
    """

    leak: float = _leak(0.0)

    @formula
    def derivative(v: Any, xp: Any, *, leak: Any) -> Any:
        tail = xp.reciprocal(xp.maximum(v, 1))
        return xp.where(xp.positive(v), tail, leak)

    @formula
    def primitive(v: Any, xp: Any, *, leak: Any) -> Any:
        above, zero = xp.positive(v), xp.zeros_like(v)
        tail = xp.log(xp.where(v > 1, v, zero + 1))
        rise = xp.where(v > 1, zero + 1, xp.where(above, v, zero))
        return tail + rise + _leaking(xp.where(above, zero, v), xp, leak) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, leak: Any) -> dict[str, Any]:
        return {"leak": -xp.relu(-v)}

    @staticmethod
    def facts(*, leak: float) -> Facts:
        return Facts(peak=max(leak, 1.0), area=math.inf, support=(-math.inf if leak else 0.0, math.inf), even=False)


step = Step()
leaky_step = LeakyStep()
triangular = Triangular()
rectangular = Rectangular()
piecewise_leaky_relu = PiecewiseLeakyReLU()
log_tailed_relu = LogTailedReLU()
