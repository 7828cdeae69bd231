"""snnTorch: an instance as `spike_grad=`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import snntorch
import torch
from conftest import Row
from digits import STEPS, train_torch
from snntorch import surrogate, utils

from arcana import presets

NEURONS: dict[str, Callable[[Any], torch.nn.Module]] = {
    "Leaky": lambda spike_grad: snntorch.Leaky(beta=0.9, spike_grad=spike_grad, init_hidden=True),
    "Synaptic": lambda spike_grad: snntorch.Synaptic(alpha=0.8, beta=0.9, spike_grad=spike_grad, init_hidden=True),
    "Lapicque": lambda spike_grad: snntorch.Lapicque(beta=0.9, spike_grad=spike_grad, init_hidden=True),
    "RLeaky": lambda spike_grad: snntorch.RLeaky(beta=0.9, linear_features=40, spike_grad=spike_grad, init_hidden=True),
}


def scores(net: Any, images: torch.Tensor) -> torch.Tensor:
    utils.reset(net)
    return torch.stack([net(images) for _ in range(STEPS)]).mean(0)


@pytest.mark.parametrize("neuron", NEURONS)
def test_training(neuron: str, row: Row) -> None:
    def make(spike_grad: Any) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(64, 40), NEURONS[neuron](spike_grad), torch.nn.Linear(40, 10))

    training = train_torch(make, surrogate.fast_sigmoid(slope=10), presets.snntorch.fast_sigmoid(slope=10), scores)
    # Lapicque's neurons take a tenth of the current in a step, so that few of them fire and the network learns slowly.
    training.check(learns=neuron != "Lapicque")
    if neuron == "Leaky":
        row("snnTorch", "snntorch", "an instance", "`Leaky`, `fast_sigmoid`", training)
