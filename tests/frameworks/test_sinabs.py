"""Sinabs: `surrogate_grad_fn=` and `spike_fn=` of its layers."""

from __future__ import annotations

from typing import Any

import pytest
import sinabs.activation
import sinabs.layers
import torch
from conftest import Row
from digits import STEPS, train_torch

from arcana import presets
from arcana.surrogate import FastSigmoid, Gaussian
from arcana.torch.adapters.sinabs import MultiSpike, SingleSpike, SurrogateGradient

GRADIENTS: list[tuple[Any, str, dict[str, float]]] = [
    (sinabs.activation.SingleExponential, "single_exponential", {"grad_width": 0.7, "grad_scale": 0.9}),
    (sinabs.activation.Gaussian, "gaussian", {"sigma": 0.6}),
    (sinabs.activation.MultiGaussian, "multi_gaussian", {}),
    (sinabs.activation.Heaviside, "heaviside", {"window": 0.8}),
]


def network(threshold: float, **options: Any) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(64, 40),
        sinabs.layers.LIF(tau_mem=10.0, spike_threshold=threshold, norm_input=False, **options),
        torch.nn.Linear(40, 10),
    )


def scores(net: Any, images: torch.Tensor) -> torch.Tensor:
    net[1].reset_states()
    return net(images[:, None].expand(-1, STEPS, -1)).mean(1)


@pytest.mark.parametrize(("make", "name", "parameters"), GRADIENTS, ids=[each[1] for each in GRADIENTS])
def test_surrogate_grad_fn(make: Any, name: str, parameters: dict[str, float], row: Row) -> None:
    """With MultiSpike, the default of its layers, which counts."""
    fixed = {"spike_threshold": 0.8} if "spike_threshold" in presets.defaults(f"sinabs.{name}") else {}
    ours = SurrogateGradient(presets.get(f"sinabs.{name}", **parameters, **fixed))
    training = train_torch(lambda gradient: network(0.8, surrogate_grad_fn=gradient), make(**parameters), ours, scores)
    training.check()
    if name == "single_exponential":
        row("Sinabs", "sinabs", "`adapters.sinabs.SurrogateGradient`", "`LIF`, `MultiSpike`, `SingleExponential`", training)


def test_spike_fn(row: Row) -> None:
    ours = SingleSpike(presets.sinabs.single_exponential())
    training = train_torch(lambda spike_fn: network(1.0, spike_fn=spike_fn), sinabs.activation.SingleSpike, ours, scores)
    training.check()
    row("Sinabs", "sinabs", "`adapters.sinabs.SingleSpike`", "`LIF`, `SingleSpike`, `SingleExponential`", training)


def test_counts_with_h_at_each_threshold(row: Row) -> None:
    """Sinabs' own counts, whose gradient is its Gaussian at each of the thresholds, added up by hand."""
    most, threshold, sigma = 4, 0.25, 0.2

    def repeated(v_mem: torch.Tensor, spike_threshold: torch.Tensor) -> torch.Tensor:
        one = sinabs.activation.Gaussian(sigma=sigma)
        return sum(one(v_mem, k * spike_threshold) for k in range(1, most + 1))

    def counting(spike_fn: Any) -> torch.nn.Module:
        return network(threshold, spike_fn=spike_fn, surrogate_grad_fn=repeated)

    # A density whose width is in units of the threshold.
    ours = MultiSpike(Gaussian(sigma=sigma / threshold), most)
    training = train_torch(counting, sinabs.activation.MaxSpike(most), ours, scores)
    training.check()
    row("Sinabs", "sinabs", "`adapters.sinabs.MultiSpike`", "`LIF`, `MaxSpike`, `Gaussian` at each threshold", training)


def test_a_threshold_that_trains_has_a_gradient() -> None:
    """Sinabs' own functions return none for it."""
    v, threshold = torch.tensor([0.4, 0.6]), torch.tensor(0.5, requires_grad=True)
    SingleSpike(FastSigmoid()).apply(v, threshold).sum().backward()
    torch.testing.assert_close(threshold.grad, torch.tensor(-0.5))


def test_an_instance_does_not_do_as_it_is() -> None:
    """Which is why there is an adapter: Sinabs calls it with potential and threshold, and asks `spike_fn` for `.apply`."""
    with pytest.raises(TypeError, match="takes one positional argument"):
        scores(network(1.0, surrogate_grad_fn=FastSigmoid()), torch.ones(1, 64, requires_grad=True)).sum().backward()
