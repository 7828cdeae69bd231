"""What is compared: the parameters besides the defaults, and for each "Differs:" what the library has and what is meant.

The formulas are written here once more, in NumPy and from the papers, so that a preset that differs from its library is
compared with something that is not Arcana.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from arcana import presets
from arcana.bench.libraries import LIBRARIES, Array

Formula = Callable[..., Array]

COMPARED = [name for library in LIBRARIES for name in presets.names(library)]
"""The presets whose library is installed."""

OTHER_PARAMETERS: dict[str, dict[str, Any]] = {
    "braintools.arctan": {"alpha": 2.5},
    "braintools.erf": {"alpha": 2.5},
    "braintools.gaussian_grad": {"sigma": 0.75, "alpha": 0.9},
    "braintools.inv_square_grad": {"alpha": 10.0},
    "braintools.leaky_relu": {"alpha": 0.3, "beta": 0.7},
    "braintools.log_tailed_relu": {"alpha": 0.2},
    "braintools.multi_gaussian_grad": {"h": 0.3, "s": 4.0, "sigma": 0.75, "scale": 0.9},
    "braintools.nonzero_sign_log": {"alpha": 2.5},
    "braintools.piecewise_exp": {"alpha": 2.5},
    "braintools.piecewise_leaky_relu": {"c": 0.02, "w": 0.75},
    "braintools.piecewise_quadratic": {"alpha": 2.0},
    "braintools.q_pseudo_spike": {"alpha": 1.5},
    "braintools.relu_grad": {"alpha": 0.5, "width": 0.75},
    "braintools.s2nn": {"alpha": 3.0, "beta": 0.5},
    "braintools.sigmoid": {"alpha": 2.5},
    "braintools.slayer_grad": {"alpha": 2.5},
    "braintools.soft_sign": {"alpha": 2.5},
    "braintools.squarewave_fourier_series": {"n": 3, "t_period": 4.0},
    "norse.circ": {"alpha": 0.5},
    "norse.heavi_erfc": {"alpha": 1.5},
    "norse.superspike": {"alpha": 10.0},
    "norse.tanh": {"alpha": 1.5},
    "norse.triangle": {"alpha": 0.7},
    "sinabs.gaussian": {"sigma": 0.75, "grad_scale": 0.9},
    "sinabs.heaviside": {"window": 0.5, "spike_threshold": 2.0},
    "sinabs.multi_gaussian": {"sigma": 0.75, "h": 0.3, "s": 4.0, "grad_scale": 0.9},
    "sinabs.periodic_exponential": {"grad_width": 0.75, "grad_scale": 0.9},
    "sinabs.single_exponential": {"grad_width": 0.75, "grad_scale": 0.9, "spike_threshold": 2.0},
    "snntorch.atan": {"alpha": 3.0},
    "snntorch.fast_sigmoid": {"slope": 10.0},
    "snntorch.lso": {"slope": 0.3},
    "snntorch.sfs": {"slope": 10.0, "B": 0.5},
    "snntorch.sigmoid": {"slope": 30.0},
    "snntorch.spike_rate_escape": {"beta": 2.0, "slope": 5.0},
    "snntorch.triangular": {"threshold": 2.0},
    "spikingjelly.atan": {"alpha": 3.0},
    "spikingjelly.erf": {"alpha": 1.5},
    "spikingjelly.fake_numerical_gradient": {"alpha": 0.8},
    "spikingjelly.leaky_k_relu": {"leak": 0.2, "k": 0.7},
    "spikingjelly.log_tailed_relu": {"alpha": 0.2},
    "spikingjelly.nonzero_sign_log_abs": {"alpha": 2.5},
    "spikingjelly.piecewise_exp": {"alpha": 2.5},
    "spikingjelly.piecewise_leaky_relu": {"w": 0.75, "c": 0.02},
    "spikingjelly.piecewise_quadratic": {"alpha": 2.0},
    "spikingjelly.q_pseudo_spike": {"alpha": 1.5},
    "spikingjelly.rect": {"alpha": 2.0},
    "spikingjelly.s2nn": {"alpha": 3.0, "beta": 0.5},
    "spikingjelly.sigmoid": {"alpha": 2.5},
    "spikingjelly.soft_sign": {"alpha": 3.0},
    "spikingjelly.squarewave_fourier_series": {"n": 4, "T_period": 4.0},
    "spikingjelly.super_spike": {"alpha": 1.5},
    "spyx.arctan": {"k": 1.5},
    "spyx.boxcar": {"width": 1.5, "height": 0.7},
    "spyx.superspike": {"k": 10.0},
    "spyx.tanh": {"k": 2.5},
    "spyx.triangular": {"k": 4.0},
}
"""For every preset with parameters a second set, in which every parameter has another value and none is 0."""

CONSTANTS_IN_FLOAT32 = {"norse.heavi_erfc", "sinabs.gaussian", "sinabs.multi_gaussian"}
"""The library's π is a float32 tensor whatever v is, so float64 is compared to float32's precision."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Where a preset does not compute what its library does.

    Attributes:
        meant: h as the preset has it, from the paper or the library's documentation.
        library: h as the library has it; None where it raises.
        raises: the error where it does.
    """

    meant: Formula
    library: Formula | None = None
    raises: type[Exception] | None = None


def _tent(v: Array, *, threshold: float) -> Array:
    return np.maximum(1 - threshold * np.abs(v), 0)


def _slope_of_tent(v: Array, *, threshold: float) -> Array:
    return np.where(v < 0, threshold, -threshold)


def _logistic_slope(v: Array, *, slope: float) -> Array:
    return slope / (2 * np.cosh(slope * v.astype(np.float64) / 2)) ** 2


def _overflowing_logistic_slope(v: Array, *, slope: float) -> Array:
    grown = slope * np.exp(-slope * v.astype(np.float64))
    return np.where(grown > np.finfo(v.dtype).max, np.nan, _logistic_slope(v, slope=slope))


def _fast_sigmoid(v: Array, scale: float) -> Array:
    return (1 + scale * np.abs(v.astype(np.float64))) ** -2


def _pseudo_spike(v: Array, exponent: float, width: float) -> Array:
    return (1 + 2 * np.abs(v.astype(np.float64)) / width) ** -exponent


def _exponential(distance: Array, width: float) -> Array:
    return np.exp(-distance.astype(np.float64) / width)


def _distance(v: Array) -> Array:
    """To the threshold below it, to the nearest whole number above."""
    return np.where(v < 0, -v, np.abs(v - np.rint(v)))


def _capped_reciprocal(v: Array, alpha: float) -> Array:
    return np.minimum(np.divide(1, np.abs(v), out=np.full_like(v, np.inf), where=v != 0), alpha)


def _is_negative_zero(v: Array) -> Any:
    return (v == 0) & np.signbit(v)


DIFFERENCES = {
    "braintools.piecewise_leaky_relu": Difference(
        meant=lambda v, *, c, w: np.where(np.abs(v) < w, 1 / (2 * w), c),
        library=lambda v, *, c, w: np.where(np.abs(v) <= w, 1 / (2 * w), c),
    ),
    "braintools.q_pseudo_spike": Difference(
        meant=lambda v, *, alpha: _pseudo_spike(v, alpha, alpha - 1),
        library=lambda v, *, alpha: _pseudo_spike(v, alpha, alpha + 1),
    ),
    "norse.superspike": Difference(
        meant=lambda v, *, alpha: _fast_sigmoid(v, alpha), library=lambda v, *, alpha: _fast_sigmoid(v, 1.0)
    ),
    "sinabs.periodic_exponential": Difference(
        meant=lambda v, *, grad_width, grad_scale: grad_scale * _exponential(_distance(v), grad_width),
        library=lambda v, *, grad_width, grad_scale: grad_scale * _exponential(np.where(v < 0, 1, 2) * _distance(v), grad_width),
    ),
    "snntorch.heaviside": Difference(meant=lambda v: np.where(v >= 0, 1.0, 0.0), library=lambda v: np.where(v > 0, 1.0, 0.0)),
    "snntorch.lso": Difference(meant=lambda v, *, slope: np.where(v >= 0, 1.0, slope), raises=TypeError),
    "snntorch.sfs": Difference(
        meant=lambda v, *, slope, B: np.where(np.abs(v) < B, _fast_sigmoid(v, slope), 0),  # noqa: N803  (the library's name)
        library=lambda v, *, slope, B: np.where(v > B, _fast_sigmoid(v, slope), 0),  # noqa: N803
    ),
    "snntorch.sigmoid": Difference(meant=_logistic_slope, library=_overflowing_logistic_slope),
    "snntorch.spike_rate_escape": Difference(
        meant=lambda v, *, beta, slope: slope * _exponential(np.abs(v), 1 / beta),
        library=lambda v, *, beta, slope: slope * _exponential(np.abs(v - 1), 1 / beta),
    ),
    "snntorch.triangular": Difference(meant=_tent, library=_slope_of_tent),
    "spikingjelly.fake_numerical_gradient": Difference(
        meant=lambda v, *, alpha: _capped_reciprocal(v, alpha),
        library=lambda v, *, alpha: np.where(_is_negative_zero(v), -np.inf, _capped_reciprocal(v, alpha)),
    ),
    "spyx.custom": Difference(meant=lambda v: np.ones_like(v), library=lambda v: v),
}
"""Exactly the presets whose description has a "Differs:"."""


def parameter_sets(name: str) -> list[dict[str, Any]]:
    """The library's defaults, and another set where there are parameters."""
    defaults = presets.defaults(name)
    return [defaults, OTHER_PARAMETERS[name]] if defaults else [defaults]


CASES = [(name, parameters) for name in COMPARED for parameters in parameter_sets(name)]
