"""Rockpool: `spike_generation_fn=` of its torch neurons, the gradient of a threshold that trains included."""

from __future__ import annotations

from typing import Any

import pytest
import rockpool.parameters as rp
import torch
from conftest import Row
from digits import STEPS, train_torch
from rockpool.nn.modules import LIFTorch
from rockpool.nn.modules.torch.lif_torch import PeriodicExponential, StepPWL

from arcana import presets
from arcana.rules import Integer
from arcana.surrogate import ClippedSTE, FastSigmoid, PeriodicExponential as Periodic
from arcana.torch import spike
from arcana.torch.adapters.rockpool import SpikeGeneration


class Network(torch.nn.Module):
    def __init__(self, function: Any, window: float, most: float) -> None:
        super().__init__()
        self.inputs, self.outputs = torch.nn.Linear(64, 40), torch.nn.Linear(40, 10)
        self.neurons = LIFTorch(
            shape=(40,),
            tau_mem=rp.Constant(10e-3),
            tau_syn=rp.Constant(5e-3),
            bias=rp.Constant(0.0),
            threshold=torch.full((40,), 0.8),
            spike_generation_fn=function,
            learning_window=window,
            max_spikes_per_dt=torch.tensor(most),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        spikes, _, _ = self.neurons(self.inputs(images)[:, None].expand(-1, STEPS, -1))
        return self.outputs(spikes).mean(1)


CASES = {
    "step_pwl": (StepPWL, presets.rockpool.step_pwl(window=0.6), 2.0**16),
    "step_pwl, one spike": (StepPWL, presets.rockpool.step_pwl(window=0.6), 1.0),
    "periodic_exponential": (PeriodicExponential, presets.rockpool.periodic_exponential(window=0.6), 1.0),
}


@pytest.mark.parametrize("case", CASES)
def test_training(case: str, row: Row) -> None:
    """The threshold is among the parameters, and leaves 0.8 with the first step."""
    theirs, surrogate, most = CASES[case]
    ours = SpikeGeneration(surrogate)
    training = train_torch(lambda function: Network(function, 0.6, most), theirs, ours, lambda net, images: net(images))
    # With one spike a step a strong current is hardly ever spent, and the network learns slowly.
    training.check(learns=most > 1)
    if case == "step_pwl":
        row("Rockpool", "rockpool", "`adapters.rockpool.SpikeGeneration`", "`LIFTorch`, `StepPWL`, threshold trained", training)


def test_counts_and_both_gradients() -> None:
    """Potentials and thresholds apart, at most 3 spikes, and peaks of h at every multiple of a threshold of 1."""
    x = torch.linspace(-2, 5, 141).requires_grad_()
    threshold = torch.ones(141, requires_grad=True)
    window, most = torch.tensor(0.3), torch.tensor(3.0)
    theirs = PeriodicExponential.apply(x, threshold, window, most)
    ours = SpikeGeneration(Periodic(width=0.3)).apply(x, threshold, window, most)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    for one, other in zip(*(torch.autograd.grad(each.sum(), (x, threshold)) for each in (ours, theirs)), strict=True):
        torch.testing.assert_close(one[:110], other[:110])


@pytest.mark.parametrize("most", [1, 3, 8])
def test_a_rule_counts_as_step_pwl_does(most: int) -> None:
    """Spikes of potential/threshold, and the gradients of both."""
    x, threshold = torch.linspace(-3.0, 9.0, 4001) + 1.7e-3, torch.tensor(0.7, requires_grad=True)
    x.requires_grad_()
    theirs = StepPWL.apply(x, threshold, torch.tensor(0.5), torch.tensor(float(most)))
    window = ClippedSTE(lower=-0.5 / 0.7, upper=1e15)
    ours = spike(x / threshold - 1, window, rule=Integer(most, repeat=False))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    cotangent = torch.cos(torch.arange(4001) * 1.0)
    for one, other in zip(*(torch.autograd.grad(each, (x, threshold), cotangent) for each in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-6, atol=2e-6)


def test_an_instance_does_not_do_as_it_is() -> None:
    with pytest.raises(AttributeError, match="apply"):
        Network(FastSigmoid(), 0.5, 1.0)
