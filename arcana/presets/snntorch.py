"""snnTorch 1.0.0: `snntorch.surrogate`. No spike at v = 0, and spikes are float32 whatever v is.

>>> from arcana import presets
>>> presets.snntorch.fast_sigmoid(slope=10)
FastSigmoid(scale=10.0, fires_at_threshold=False)
"""

from __future__ import annotations

from arcana.presets._registry import preset
from arcana.surrogate import (
    STE,
    ATan,
    Exponential,
    FastSigmoid,
    LeakyStep,
    Sigmoid,
    SparseFastSigmoid,
    Step,
    Triangular,
)


@preset
def straight_through_estimator() -> STE:
    """`snntorch.surrogate.straight_through_estimator` of snnTorch 1.0.0; fires where v > 0.

    h(v) = 1
    """
    return STE(fires_at_threshold=False)


@preset
def triangular(*, threshold: float = 1.0) -> Triangular:
    """`snntorch.surrogate.triangular` of snnTorch 1.0.0; fires where v > 0.

    h(v) = max(1 − threshold·|v|, 0)

    Differs: the library computes the slope of this triangle without its ends, threshold for v < 0 and −threshold for
    v >= 0, so that every neuron above the threshold is trained in the wrong direction.
    """
    return Triangular(scale=1.0, width=1 / threshold, fires_at_threshold=False)


@preset
def fast_sigmoid(*, slope: float = 25.0) -> FastSigmoid:
    """`snntorch.surrogate.fast_sigmoid` of snnTorch 1.0.0; fires where v > 0.

    h(v) = 1 / (slope·|v| + 1)²
    """
    return FastSigmoid(scale=slope, fires_at_threshold=False)


@preset
def atan(*, alpha: float = 2.0) -> ATan:
    """`snntorch.surrogate.atan` of snnTorch 1.0.0, the default of its neurons; fires where v > 0.

    h(v) = (alpha/2) / (1 + (π·alpha·v/2)²)

    Note: snnTorch's documentation has 1/π in place of alpha/2; its code has alpha/2.
    """
    return ATan(slope=alpha, fires_at_threshold=False)


@preset
def heaviside() -> Step:
    """`snntorch.surrogate.heaviside` of snnTorch 1.0.0; fires where v > 0.

    h(v) = 1 for v >= 0, else 0

    Differs: at v = 0 alone, where the library's h is 0.
    """
    return Step(fires_at_threshold=False)


@preset
def sigmoid(*, slope: float = 25.0) -> Sigmoid:
    """`snntorch.surrogate.sigmoid` of snnTorch 1.0.0; fires where v > 0.

    h(v) = slope·e^(−slope·v) / (1 + e^(−slope·v))²

    Differs: where slope·e^(−slope·v) overflows, in float32 below v = −3.4 at the default slope, the library's gradient is
    NaN; this one is 0 there, as h is.
    """
    return Sigmoid(slope=slope, fires_at_threshold=False)


@preset
def spike_rate_escape(*, beta: float = 1.0, slope: float = 25.0) -> Exponential:
    """`snntorch.surrogate.spike_rate_escape` of snnTorch 1.0.0; fires where v > 0.

    h(v) = slope·e^(−beta·|v|)

    Differs: the library has |v − 1| in place of |v|. The threshold has already been subtracted from v, so its peak lies a
    whole unit above the threshold.
    """
    return Exponential(slope=beta, gain=2 * slope / beta, fires_at_threshold=False)


@preset
def lso(*, slope: float = 0.1) -> LeakyStep:
    """The leaky spike operator, `snntorch.surrogate.LSO` of snnTorch 1.0.0; fires where v > 0.

    h(v) = 1 for v >= 0, slope for v < 0

    Differs: the library raises a TypeError at every call, because `LSO` calls another operator; this is its documented h.
    """
    return LeakyStep(leak=slope, slope=1.0, fires_at_threshold=False)


@preset
def sfs(*, slope: float = 25.0, B: float = 1.0) -> SparseFastSigmoid:  # noqa: N803  (the library's name)
    """The sparse fast sigmoid, `snntorch.surrogate.SFS` of snnTorch 1.0.0; fires where v > 0.

    h(v) = 1 / (slope·|v| + 1)² for |v| < B, else 0

    Differs: the library has v > B in place of |v| < B, so that only neurons far above the threshold have a gradient;
    the paper (arXiv:2105.08810) keeps those near it.
    """
    return SparseFastSigmoid(scale=slope, cutoff=B, fires_at_threshold=False)
