"""`unit_variance` against mpmath's integral of the paper's h, and against closed forms where h is narrow or far away."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from every import every_surrogate
from known_values import KNOWN
from mpmath import mp, mpf
from truth import operands

from arcana.surrogate import FastSigmoid, Gaussian, PeriodicExponential, Rectangular, Step, Surrogate, get


def exact_gain(surrogate: Surrogate, mean: float, std: float) -> float:
    """1 over the root of the integral of h² times the density, by mpmath at 30 digits."""
    known, numbers = KNOWN[surrogate.name], operands(surrogate, "float64")
    kinks = [mpf(kink) for kink in known.kinks]
    # As far as 20 deviations, where the square of an exponential still counts.
    steps = [mpf(i) / 4 for i in range(-28, 29)] + [mpf(i) for i in range(-20, 21)]
    ends = sorted({mpf(mean) + std * x for x in steps} | {x for x in (*kinks, *(-x for x in kinks)) if abs(x - mean) < 20 * std})
    with mp.workdps(30):
        return float(1 / mp.sqrt(mp.quad(lambda v: known.h(v, **numbers) ** 2 * mp.npdf(v, mean, std), ends, maxdegree=4)))


@every_surrogate
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-0.7, 0.4)])
def test_the_mean_square_of_h_becomes_one(name: str, mean: float, std: float) -> None:
    surrogate = get(name, gain=-3.0, fires_at_threshold=False)
    rescaled = surrogate.unit_variance(mean, std)
    assert rescaled.gain == pytest.approx(-exact_gain(get(name), mean, std), rel=1e-9)
    assert rescaled == get(name, gain=rescaled.gain, fires_at_threshold=False)
    assert rescaled.fires_at_threshold is False


def normal_between(low: float, high: float) -> Any:
    with mp.workdps(60):
        return mp.ncdf(high) - mp.ncdf(low)


@pytest.mark.parametrize("width", [1e-15, 1e-6, 0.3, 2e3, 1e15])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.0, 1e9), (0.25, 1e-3)])
def test_a_box_of_any_width_is_found(width: float, mean: float, std: float) -> None:
    share = normal_between((-width / 2 - mean) / std, (width / 2 - mean) / std)
    if share < 1e-300:
        with pytest.raises(ValueError, match=r"its root mean square is 0.0"):
            Rectangular(width=width).unit_variance(mean, std)
    else:
        assert Rectangular(width=width).unit_variance(mean, std).gain == pytest.approx(float(1 / mp.sqrt(share)), rel=1e-9)


def test_a_needle_far_below_the_spacing_of_the_deviations_is_found() -> None:
    # The integral of h² is 2/(3·scale), so long as the density is the same all over the needle.
    gain = FastSigmoid(scale=1e15).unit_variance(0, 1).gain
    assert gain == pytest.approx(math.sqrt(1.5e15 * math.sqrt(2 * math.pi)), rel=1e-9)


@pytest.mark.parametrize("sigma", [0.5, 1e-12])
@pytest.mark.parametrize("mean", [0.0, 3.0, -8.0])
def test_a_gaussian_by_its_closed_form(mean: float, sigma: float) -> None:
    """However narrow: beside a needle without a tail everything is 0, and no halving would lead to it."""
    std = 1.5
    spread = sigma**2 / 2 + std**2
    mean_square = math.exp(-(mean**2) / 2 / spread) / math.sqrt(2 * math.pi * spread) / (2 * math.sqrt(math.pi) * sigma)
    assert Gaussian(sigma=sigma).unit_variance(mean, std).gain == pytest.approx(mean_square**-0.5, rel=1e-9)


def test_a_surrogate_of_ones_own_with_a_kink_that_nobody_names() -> None:
    class Stair(Surrogate):
        at: float = 1 / 3

        @staticmethod
        def derivative(v, xp, *, at):
            return xp.where(v > at, 2.0, xp.where(v > -at, 0.5, 0.0))

    share = float(4 * normal_between(1 / 3, 40) + normal_between(-1 / 3, 1 / 3) / 4)
    assert Stair().unit_variance(0, 1).gain == pytest.approx(share**-0.5, rel=1e-9)


def test_the_spikes_mean_square_in_both_tails() -> None:
    assert Step().unit_variance().gain == pytest.approx(math.sqrt(2), rel=1e-12)
    assert Gaussian().unit_variance() == Gaussian().unit_variance(0.0, 1.0)
    assert Step().unit_variance(-3, 1).gain == pytest.approx(float(1 / mp.sqrt(mp.ncdf(-3))), rel=1e-9)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (0.0, 0.0, "FastSigmoid.unit_variance: std must be > 0, got 0.0"),
        (0.0, -1.0, "FastSigmoid.unit_variance: std must be > 0, got -1.0"),
        (math.nan, 1.0, "FastSigmoid.unit_variance: mean must be finite, got nan"),
        (0.0, math.inf, "FastSigmoid.unit_variance: std must be finite and > 0, got inf"),
    ],
)
def test_bad_input_is_named(mean: float, std: float, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        FastSigmoid().unit_variance(mean, std)


def test_an_array_is_no_deviation() -> None:
    with pytest.raises(TypeError, match=r"FastSigmoid.unit_variance: std must be a real number, got array"):
        FastSigmoid().unit_variance(0.0, np.ones(3))  # pyright: ignore[reportArgumentType]


def test_what_oscillates_too_often_is_said() -> None:
    with pytest.raises(
        ValueError, match=r"PeriodicExponential\(.*\): the function changes too often within a deviation of 1000000.0"
    ):
        PeriodicExponential().unit_variance(0.0, 1e6)
