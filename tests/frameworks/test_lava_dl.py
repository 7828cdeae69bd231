"""lava-dl: the real neurons of slayer where `lava.lib.dl.slayer` is installed, else a stand-in of the interface.

lava-dl is on no package index, and asks for Python 3.10. What the adapter touches of it is one class, `slayer.spike.spike.Spike`,
and how a neuron calls it; the stand-in has that and the formula of its documentation.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import pytest
import torch
from conftest import Row
from digits import STEPS, train_torch

from arcana import presets
from arcana.surrogate import FastSigmoid

MODULE = "lava.lib.dl.slayer.spike.spike"


class StandIn(torch.autograd.Function):
    """`Spike` as it is documented: `apply(voltage, threshold, tau_rho, scale_rho, graded_spike, voltage_last, scale)`."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
        voltage, threshold, ctx.tau, ctx.scale, *_ = arguments
        ctx.save_for_backward(voltage - threshold)
        return (voltage >= threshold).to(voltage.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (v,) = ctx.saved_tensors
        return gradients[0] * ctx.scale / (2 * ctx.tau) * torch.exp(-v.abs() / ctx.tau), *[None] * 6


def installed() -> bool:
    try:
        return importlib.util.find_spec(MODULE) is not None
    except ModuleNotFoundError:
        return False


INSTALLED = installed()
if not INSTALLED:
    for _name in ("lava", "lava.lib", "lava.lib.dl", "lava.lib.dl.slayer", "lava.lib.dl.slayer.spike", MODULE):
        sys.modules[_name] = types.ModuleType(_name)
    vars(sys.modules[MODULE])["Spike"] = StandIn

from lava.lib.dl.slayer.spike.spike import Spike  # noqa: E402  (the stand-in comes first)

from arcana.torch.adapters.lava_dl import spikes_with  # noqa: E402

THRESHOLD, TAU, SCALE = 0.8, 0.5, 1.5


class Network(torch.nn.Module):
    """Neurons that call `Spike.apply` with time as the last axis, as slayer's cuba neuron does."""

    def __init__(self, surrogate: Any) -> None:
        super().__init__()
        self.inputs, self.outputs = torch.nn.Linear(64, 40), torch.nn.Linear(40, 10)
        self.surrogate = surrogate

    def spikes(self, current: torch.Tensor) -> torch.Tensor:
        voltage = torch.cumsum(current[..., None].expand(-1, -1, STEPS), -1) / STEPS
        return Spike.apply(voltage, THRESHOLD, TAU, SCALE, False, 0, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        current = 3 * self.inputs(images)
        if self.surrogate is None:
            return self.outputs(self.spikes(current).mean(-1))
        with spikes_with(self.surrogate):
            return self.outputs(self.spikes(current).mean(-1))


def test_training(row: Row) -> None:
    ours = presets.lava_dl.spike(tau_rho=TAU, scale_rho=SCALE)
    training = train_torch(Network, None, ours, lambda net, images: net(images))
    training.check()
    where = "`slayer`" if INSTALLED else "a stand-in of `slayer`'s interface"
    row("lava-dl", "lava-dl" if INSTALLED else "", "`adapters.lava_dl.spikes_with`", f"`Spike.apply` of {where}", training)


def test_what_was_put_in_is_taken_out() -> None:
    before = Spike.apply
    with pytest.raises(ValueError, match="graded_spike must be False, got True"), spikes_with(FastSigmoid()):
        Spike.apply(torch.ones(1), 1.0, 1.0, 1.0, True, 0, 1)
    assert "apply" not in vars(Spike)
    assert Spike.apply == before


def test_a_threshold_that_trains_has_a_gradient() -> None:
    voltage, threshold = torch.tensor([0.4, 0.6]), torch.tensor(0.5, requires_grad=True)
    with spikes_with(FastSigmoid()):
        Spike.apply(voltage, threshold, 1.0, 1.0, False, 0, 1).sum().backward()
    torch.testing.assert_close(threshold.grad, torch.tensor(-0.5))
