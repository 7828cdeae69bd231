"""braintools 0.3.0: `braintools.surrogate`, which BrainPy's `bm.surrogate` is too. Fires at v = 0.

>>> from arcana import presets
>>> presets.braintools.sigmoid(alpha=4.0)
Sigmoid(slope=4.0)
"""

from __future__ import annotations

from arcana.presets._registry import preset
from arcana.surrogate import (
    S2NN,
    ATan,
    Exponential,
    FastSigmoid,
    Gaussian,
    LeakyStep,
    LogAbs,
    LogTailedReLU,
    MultiGaussian,
    PiecewiseLeakyReLU,
    QPseudoSpike,
    Sigmoid,
    SquarewaveFourier,
    Triangular,
)


@preset
def sigmoid(*, alpha: float = 4.0) -> Sigmoid:
    """`braintools.surrogate.sigmoid` of braintools 0.3.0; fires where v >= 0.

    h(v) = alpha·s(alpha·v)·(1 − s(alpha·v)), s(x) = 1 / (1 + e^(−x))
    """
    return Sigmoid(slope=alpha)


@preset
def piecewise_quadratic(*, alpha: float = 1.0) -> Triangular:
    """`braintools.surrogate.piecewise_quadratic` of braintools 0.3.0; fires where v >= 0.

    h(v) = alpha − alpha²·|v| for |v| <= 1/alpha, else 0
    """
    return Triangular(scale=alpha, width=1 / alpha)


@preset
def piecewise_exp(*, alpha: float = 1.0) -> Exponential:
    """`braintools.surrogate.piecewise_exp` of braintools 0.3.0; fires where v >= 0.

    h(v) = (alpha/2)·e^(−alpha·|v|)
    """
    return Exponential(slope=alpha)


@preset
def soft_sign(*, alpha: float = 1.0) -> FastSigmoid:
    """`braintools.surrogate.soft_sign` of braintools 0.3.0; fires where v >= 0.

    h(v) = (alpha/2) / (1 + alpha·|v|)²
    """
    return FastSigmoid(scale=alpha, gain=alpha / 2)


@preset
def arctan(*, alpha: float = 1.0) -> ATan:
    """`braintools.surrogate.arctan` of braintools 0.3.0; fires where v >= 0.

    h(v) = (alpha/2) / (1 + (π·alpha·v/2)²)
    """
    return ATan(slope=alpha)


@preset
def nonzero_sign_log(*, alpha: float = 1.0) -> LogAbs:
    """`braintools.surrogate.nonzero_sign_log` of braintools 0.3.0; fires where v >= 0.

    h(v) = 1 / (1/alpha + |v|)
    """
    return LogAbs(slope=alpha)


@preset
def erf(*, alpha: float = 1.0) -> Gaussian:
    """`braintools.surrogate.erf` of braintools 0.3.0; fires where v >= 0.

    h(v) = (alpha/√π)·e^(−(alpha·v)²)
    """
    return Gaussian(sigma=0.5**0.5 / alpha)


@preset
def piecewise_leaky_relu(*, c: float = 0.01, w: float = 1.0) -> PiecewiseLeakyReLU:
    """`braintools.surrogate.piecewise_leaky_relu` of braintools 0.3.0; fires where v >= 0.

    h(v) = 1/(2·w) for |v| < w, else c

    Differs: at v = ±w alone, where the library's h is 1/(2·w).
    """
    return PiecewiseLeakyReLU(width=w, leak=c)


@preset
def squarewave_fourier_series(*, n: int = 2, t_period: float = 8.0) -> SquarewaveFourier:
    """`braintools.surrogate.squarewave_fourier_series` of braintools 0.3.0; fires where v >= 0.

    h(v) = (4/t_period)·Σ cos((2i − 1)·2π·v/t_period), i from 1 to n
    """
    return SquarewaveFourier(period=t_period, terms=n)


@preset
def s2nn(*, alpha: float = 4.0, beta: float = 1.0) -> S2NN:
    """`braintools.surrogate.s2nn` of braintools 0.3.0, whose epsilon h does not have; fires where v >= 0.

    h(v) = alpha·s(alpha·v)·(1 − s(alpha·v)) for v < 0, beta / (1 + v) for v >= 0, s(x) = 1 / (1 + e^(−x))
    """
    return S2NN(alpha=alpha, beta=beta)


@preset
def q_pseudo_spike(*, alpha: float = 2.0) -> QPseudoSpike:
    """`braintools.surrogate.q_pseudo_spike` of braintools 0.3.0; fires where v >= 0.

    h(v) = (1 + 2·|v|/(alpha − 1))^(−alpha)

    Differs: the library has alpha + 1 in place of the paper's alpha − 1 (arXiv:2202.00282), on purpose, so that an alpha
    of 1 or less is allowed; its h is wider and its area is not 1.
    """
    return QPseudoSpike(q=alpha)


@preset
def leaky_relu(*, alpha: float = 0.1, beta: float = 1.0) -> LeakyStep:
    """`braintools.surrogate.leaky_relu` of braintools 0.3.0; fires where v >= 0.

    h(v) = beta for v >= 0, alpha for v < 0
    """
    return LeakyStep(leak=alpha, slope=beta)


@preset
def log_tailed_relu(*, alpha: float = 0.0) -> LogTailedReLU:
    """`braintools.surrogate.log_tailed_relu` of braintools 0.3.0; fires where v >= 0.

    h(v) = alpha for v <= 0, 1 for 0 < v <= 1, 1/v for v > 1
    """
    return LogTailedReLU(leak=alpha)


@preset
def relu_grad(*, alpha: float = 0.3, width: float = 1.0) -> Triangular:
    """`braintools.surrogate.relu_grad` of braintools 0.3.0; fires where v >= 0.

    h(v) = max(alpha·(width − |v|), 0)
    """
    return Triangular(scale=alpha * width, width=width)


@preset
def gaussian_grad(*, sigma: float = 0.5, alpha: float = 0.5) -> Gaussian:
    """`braintools.surrogate.gaussian_grad` of braintools 0.3.0; fires where v >= 0.

    h(v) = alpha·N(v; 0, sigma), N(v; m, s) the normal density of mean m and standard deviation s
    """
    return Gaussian(sigma=sigma, gain=alpha)


@preset
def multi_gaussian_grad(*, h: float = 0.15, s: float = 6.0, sigma: float = 0.5, scale: float = 0.5) -> MultiGaussian:
    """`braintools.surrogate.multi_gaussian_grad` of braintools 0.3.0; fires where v >= 0.

    h(v) = scale·((1 + h)·N(v; 0, sigma) − h·N(v; sigma, s·sigma) − h·N(v; −sigma, s·sigma)), N(v; m, s) the normal
    density of mean m and standard deviation s
    """
    return MultiGaussian(height=h, sigma=sigma, spread=s, scale=scale)


@preset
def inv_square_grad(*, alpha: float = 100.0) -> FastSigmoid:
    """`braintools.surrogate.inv_square_grad` of braintools 0.3.0; fires where v >= 0.

    h(v) = 1 / (alpha·|v| + 1)²
    """
    return FastSigmoid(scale=alpha)


@preset
def slayer_grad(*, alpha: float = 1.0) -> Exponential:
    """`braintools.surrogate.slayer_grad` of braintools 0.3.0; fires where v >= 0.

    h(v) = e^(−alpha·|v|)
    """
    return Exponential(slope=alpha, gain=2 / alpha)
