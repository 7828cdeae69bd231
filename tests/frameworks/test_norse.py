"""Norse: names for `LIFParameters(method=...)`."""

from __future__ import annotations

import sys
from typing import Any

import norse.torch as snn
import pytest
import torch
from conftest import Row
from digits import STEPS, train_torch

from arcana import presets
from arcana.surrogate import FastSigmoid
from arcana.torch.adapters import norse

METHODS = {"superspike": ("super", {}), "triangle": ("triangle", {}), "tanh": ("tanh", {"alpha": 1.5})}


class Network(torch.nn.Module):
    def __init__(self, parameters: Any) -> None:
        super().__init__()
        self.layers = snn.SequentialState(torch.nn.Linear(64, 40), snn.LIFCell(parameters, dt=0.01), torch.nn.Linear(40, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        state, total = None, 0
        for _ in range(2 * STEPS):
            scores, state = self.layers(8 * images, state)
            total = total + scores
        return total / STEPS


@pytest.mark.parametrize("preset", METHODS)
def test_training(preset: str, row: Row) -> None:
    method, alpha = METHODS[preset]
    parameters = {"v_th": torch.tensor(0.5), **{name: torch.tensor(value) for name, value in alpha.items()}}
    theirs = snn.LIFParameters(method=method, **parameters)
    ours = snn.LIFParameters(method="arcana", **parameters)
    # Norse 1.1.0 takes no notice of this alpha, as the preset says; and its triangle of its neurons' alpha of 100.
    shape = {"superspike": {"alpha": 1.0}, "triangle": {"alpha": 100.0}}.get(preset, alpha)
    with norse.methods(arcana=presets.get(f"norse.{preset}", **shape)):
        training = train_torch(Network, theirs, ours, lambda net, images: net(images))
    training.check()
    if preset == "superspike":
        row("Norse", "norse", "`adapters.norse.methods`", "`LIFCell`, `super`", training)


def test_an_instance_does_not_do_as_it_is() -> None:
    """Which is why there is an adapter: Norse compares it with the names that it knows."""
    cell = snn.LIFCell(snn.LIFParameters(method=FastSigmoid()))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="no such"):
        cell(torch.ones(1, 3))


def test_what_was_put_in_is_taken_out() -> None:
    def threshold_of(module: str) -> Any:
        return sys.modules[f"norse.torch.functional.{module}"].threshold

    places = ("threshold", "lif", "lsnn", "iaf", "lif_adex", "izhikevich")
    before = {place: threshold_of(place) for place in places}
    v = torch.tensor([0.1], requires_grad=True)

    def use() -> None:
        with norse.methods(outer=FastSigmoid(scale=1.0), super=FastSigmoid(scale=9.0)):
            with norse.methods(inner=FastSigmoid(scale=4.0)):
                for method, scale in (("outer", 1.0), ("inner", 4.0), ("super", 9.0)):
                    (gradient,) = torch.autograd.grad(threshold_of("lif")(v, method, 100.0), v)
                    torch.testing.assert_close(gradient, (1 + scale * v.detach().abs()) ** -2)
            threshold_of("lif")(v, "inner", 100.0)

    with pytest.raises(ValueError, match="inner"):
        use()
    assert {place: threshold_of(place) for place in places} == before
    with pytest.raises(ValueError, match="outer"):
        threshold_of("lif")(v, "outer", 100.0)
