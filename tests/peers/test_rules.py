"""The rules beside the libraries that count, fire downwards or draw: their spikes, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from norse.torch.functional.threshold import CircDist, Logistic
from sinabs.activation import Gaussian, MaxSpike, MultiSpike, SingleExponential, SingleSpike
from spikingjelly.activation_based import neuron, surrogate as spikingjelly

from arcana import presets
from arcana.rules import Heaviside, Integer, Rule, Smooth, Stochastic, Ternary
from arcana.surrogate import ClippedSTE, InverseSquareRoot, Rectangular, Sigmoid, Surrogate
from arcana.torch import spike

V = torch.linspace(-3.0, 9.0, 4001) + 1.7e-3
"""None at a threshold or at the end of a window, where libraries differ."""

COTANGENT = torch.cos(torch.arange(V.numel()) * 1.0)
THRESHOLD = 0.7


def pulled(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> list[torch.Tensor]:
    given = [x.clone().requires_grad_() for x in inputs]
    spikes = function(*given)
    return [spikes.detach(), *torch.autograd.grad(spikes, given, COTANGENT)]


def agree(theirs: Callable[..., torch.Tensor], ours: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> None:
    for one, other in zip(pulled(theirs, *inputs), pulled(ours, *inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("theirs", "rule"),
    [
        (SingleSpike, Heaviside()),
        (MultiSpike, Integer(None, repeat=False, step=THRESHOLD)),
        (MaxSpike(5), Integer(5, repeat=False, step=THRESHOLD)),
    ],
    ids=["SingleSpike", "MultiSpike", "MaxSpike"],
)
@pytest.mark.parametrize(
    ("gradient", "preset"),
    [
        (SingleExponential(), presets.sinabs.single_exponential(spike_threshold=THRESHOLD)),
        (Gaussian(), presets.sinabs.gaussian()),
    ],
    ids=["SingleExponential", "Gaussian"],
)
def test_sinabs(theirs: Any, rule: Rule, gradient: Any, preset: Surrogate) -> None:
    agree(lambda v: theirs.apply(v, THRESHOLD, gradient), lambda v: spike(v - THRESHOLD, preset, rule=rule), V)


@pytest.mark.parametrize("most", [1, 4])
def test_spikingjellys_multi_level_count(most: int) -> None:
    """I-LIF: round(clip(x, 0, most)), whose thresholds are at 1/2, 3/2, …, and a gradient of 1 from 0 to most.

    Apart from x = 1/2, 5/2, … themselves, which torch.round takes to the even number below.
    """
    theirs = spikingjelly.MultiLevelSpikeCount(most)
    agree(theirs, lambda x: spike(x - 0.5, ClippedSTE(lower=-0.5, upper=most - 0.5), rule=Integer(most, repeat=False)), V)
    agree(theirs, lambda x: spike(x - 0.5, Rectangular(width=1.0), rule=Integer(most)), V)


def test_spikingjellys_ternary_node() -> None:
    """A node over 20 steps with SpikingJelly's own sigmoid, and the same equations with one spike of three values."""
    inputs = torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    node = neuron.TernaryIFNode(THRESHOLD, None, spikingjelly.Sigmoid(4.0), step_mode="m")

    def ours(x: torch.Tensor) -> torch.Tensor:
        v, found = torch.zeros(64), []
        for current in x:
            v = v + current
            found.append(spike(v - THRESHOLD, presets.spikingjelly.sigmoid(), rule=Ternary(2 * THRESHOLD)))
            v = v - THRESHOLD * found[-1]
        return torch.stack(found)

    results = []
    for function in (node, ours):
        x = inputs.clone().requires_grad_()
        spikes = function(x)
        assert {-1.0, 0.0, 1.0} == set(spikes.unique().tolist())
        results.append((spikes.detach(), torch.autograd.grad(spikes.square().sum() + (spikes * inputs).sum(), x)[0]))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda v: Logistic.apply(v, 2.0), Sigmoid(slope=4.0)),
        (lambda v: CircDist.apply(v, 0.5), InverseSquareRoot(width=0.5)),
    ],
    ids=["Logistic", "CircDist"],
)
def test_norses_draws(theirs: Callable[..., torch.Tensor], ours: Surrogate) -> None:
    """At the parameter where Norse's gradient is the slope of its probability: both fire as often, and have that gradient."""
    v = torch.tensor([-1.0, -0.4, -0.1, 0.0, 0.2, 0.5, 1.0]).expand(20_000, -1)
    torch.manual_seed(0)
    rates, gradients = [], []
    for function in (theirs, lambda v: spike(v, ours, rule=Stochastic())):
        x = v.clone().requires_grad_()
        spikes = function(x)
        rates.append(spikes.detach().mean(0).numpy())
        gradients.append(torch.autograd.grad(spikes.sum(), x)[0])
    p = ours(v[0], rule=Smooth()).numpy()
    for rate in rates:
        assert (np.abs(rate - p) <= 5 * np.sqrt(p * (1 - p) / 2e4)).all()
    torch.testing.assert_close(*gradients, rtol=2e-6, atol=2e-6)
