"""SpikingJelly 2.0.0: `spikingjelly.activation_based.surrogate`. Fires at v = 0.

>>> from arcana import presets
>>> presets.spikingjelly.soft_sign()
FastSigmoid(scale=2.0)
>>> presets.spikingjelly.ternary_if_node(v_threshold=0.5)
Ternary(gap=1.0)
"""

from __future__ import annotations

from arcana.presets._registry import preset, rule_preset
from arcana.rules import Integer, Stochastic, Ternary
from arcana.surrogate import (
    S2NN,
    STE,
    ATan,
    ClippedReciprocal,
    Exponential,
    FastSigmoid,
    Gaussian,
    LeakyStep,
    LogAbs,
    LogTailedReLU,
    PiecewiseLeakyReLU,
    QPseudoSpike,
    Rectangular,
    Sigmoid,
    SquarewaveFourier,
    Triangular,
)


@preset
def piecewise_quadratic(*, alpha: float = 1.0) -> Triangular:
    """`PiecewiseQuadratic` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = alpha − alpha²·|v| for |v| <= 1/alpha, else 0
    """
    return Triangular(scale=alpha, width=1 / alpha)


@preset
def piecewise_exp(*, alpha: float = 1.0) -> Exponential:
    """`PiecewiseExp` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = (alpha/2)·e^(−alpha·|v|)
    """
    return Exponential(slope=alpha)


@preset
def sigmoid(*, alpha: float = 4.0) -> Sigmoid:
    """`Sigmoid` of SpikingJelly 2.0.0, the default of its neurons; fires where v >= 0.

    h(v) = alpha·s(alpha·v)·(1 − s(alpha·v)), s(x) = 1 / (1 + e^(−x))
    """
    return Sigmoid(slope=alpha)


@preset
def soft_sign(*, alpha: float = 2.0) -> FastSigmoid:
    """`SoftSign` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = 1 / (2·alpha·(1/alpha + |v|)²) = (alpha/2) / (1 + alpha·|v|)²
    """
    return FastSigmoid(scale=alpha, gain=alpha / 2)


@preset
def super_spike(*, alpha: float = 1.0) -> FastSigmoid:
    """`SuperSpike` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = alpha / (1 + |v|)²

    Note: alpha is the height here; in every other library it is the slope, which is 1 here.
    """
    return FastSigmoid(scale=1.0, gain=alpha)


@preset
def atan(*, alpha: float = 2.0) -> ATan:
    """`ATan` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = (alpha/2) / (1 + (π·alpha·v/2)²)
    """
    return ATan(slope=alpha)


@preset
def nonzero_sign_log_abs(*, alpha: float = 1.0) -> LogAbs:
    """`NonzeroSignLogAbs` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = 1 / (1/alpha + |v|)
    """
    return LogAbs(slope=alpha)


@preset
def erf(*, alpha: float = 2.0) -> Gaussian:
    """`Erf` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = (alpha/√π)·e^(−(alpha·v)²)
    """
    return Gaussian(sigma=0.5**0.5 / alpha)


@preset
def piecewise_leaky_relu(*, w: float = 1.0, c: float = 0.01) -> PiecewiseLeakyReLU:
    """`PiecewiseLeakyReLU` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = 1/(2·w) for |v| < w, else c
    """
    return PiecewiseLeakyReLU(width=w, leak=c)


@preset
def squarewave_fourier_series(*, n: int = 2, T_period: float = 8.0) -> SquarewaveFourier:  # noqa: N803  (the library's name)
    """`SquarewaveFourierSeries` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = (4/T_period)·Σ cos((2i − 1)·2π·v/T_period), i from 1 to n − 1

    Note: the sum has n − 1 terms, as the library's formula says, though its text calls n the number of terms; n = 1, which
    has no gradient, is an error here.
    """
    return SquarewaveFourier(period=T_period, terms=n - 1)


@preset
def s2nn(*, alpha: float = 4.0, beta: float = 1.0) -> S2NN:
    """`S2NN` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = alpha·s(alpha·v)·(1 − s(alpha·v)) for v < 0, beta / (1 + v) for v >= 0, s(x) = 1 / (1 + e^(−x))
    """
    return S2NN(alpha=alpha, beta=beta)


@preset
def q_pseudo_spike(*, alpha: float = 2.0) -> QPseudoSpike:
    """`QPseudoSpike` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = (1 + 2·|v|/(alpha − 1))^(−alpha)
    """
    return QPseudoSpike(q=alpha)


@preset
def leaky_k_relu(*, leak: float = 0.0, k: float = 1.0) -> LeakyStep:
    """`LeakyKReLU` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = k for v >= 0, leak for v < 0
    """
    return LeakyStep(leak=leak, slope=k)


@preset
def fake_numerical_gradient(*, alpha: float = 0.3) -> ClippedReciprocal:
    """`FakeNumericalGradient` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = min(1/|v|, alpha)

    Differs: at v = −0.0 alone, where the library divides 1 by it and returns −inf.
    """
    return ClippedReciprocal(bound=alpha)


@preset
def log_tailed_relu(*, alpha: float = 0.0) -> LogTailedReLU:
    """`LogTailedReLU` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = alpha for v <= 0, 1 for 0 < v <= 1, 1/v for v > 1
    """
    return LogTailedReLU(leak=alpha)


@preset
def deterministic_pass() -> STE:
    """`DeterministicPass` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = 1
    """
    return STE()


@preset
def rect(*, alpha: float = 1.0) -> Rectangular:
    """`Rect` of SpikingJelly 2.0.0; fires where v >= 0.

    h(v) = alpha for |v| < 1/(2·alpha), else 0
    """
    return Rectangular(height=alpha, width=1 / alpha)


@rule_preset
def multi_level_spike_count(*, max_spike_count: int = 4) -> Integer:
    """`MultiLevelSpikeCount` of SpikingJelly 2.0.0, whose count is 4 in `ILIFNode` and else has no default; v = x − 1/2.

    spikes = round(min(max(x, 0), max_spike_count))

    Surrogate: `ClippedSTE(lower=-0.5, upper=max_spike_count - 0.5)`, which is its default `grad_window`.

    Differs: at x = 1/2, 5/2, 9/2, … alone, where the library rounds down to an even number, and x has reached a threshold here.
    """
    return Integer(max_spike_count, repeat=False)


@rule_preset
def ternary_if_node(*, v_threshold: float = 1.0) -> Ternary:
    """`TernaryIFNode` of SpikingJelly 2.0.0, and its `TernaryLIFNode`; v = x − v_threshold.

    spikes = 1 for x >= v_threshold, −1 for x <= −v_threshold, else 0

    Surrogate: `spikingjelly.sigmoid()`, their default, or any other.
    """
    return Ternary(2 * v_threshold)


@rule_preset
def poisson_pass() -> Stochastic:
    """`PoissonPass` of SpikingJelly 2.0.0, whose input is a probability; v = x − 1/2.

    P(spike) = x, for x from 0 to 1

    Surrogate: `ClippedSTE(lower=-0.5, upper=0.5)`, whose G is the probability.

    Note: beyond 0 and 1, where the library raises an error, the probability is 0 and 1, and h is 0.
    """
    return Stochastic()
