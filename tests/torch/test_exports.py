"""Exported programs have a spike's values and not its gradient, which a warning says; and training in half types."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from arcana.surrogate import FastSigmoid
from arcana.torch import Spike, spike

EXPORTING = pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="torch before 2.7 does not say so")
WARNING = r"and a stage of pipeline\(\), has a spike's operations and not its gradient"


class Network(torch.nn.Module):
    """Two layers with neurons between them that learn their slope and threshold, over a few steps."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Linear(6, 12), torch.nn.Linear(12, 3)
        self.fire = Spike(FastSigmoid(scale=5.0), 0.1, learnable=("threshold", "scale"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        potential, total = torch.zeros_like(self.first(x)), torch.zeros(())
        for _ in range(3):
            potential = 0.9 * potential + self.first(x)
            total = total + self.last(self.fire(potential))
        return total


def inputs() -> torch.Tensor:
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(1))


@EXPORTING
@pytest.mark.parametrize("strict", [False, True])
def test_exporting_what_would_be_trained_warns(strict: bool) -> None:
    """The reason is shown: the weights before the spike get no gradient from the program."""
    network, x = Network(), inputs()
    with pytest.warns(UserWarning, match=WARNING):
        program = torch.export.export(network, (x,), strict=strict)
    exported = program.module()
    torch.testing.assert_close(exported(x), network(x), rtol=0, atol=0)
    exported(x).sum().backward()
    gradients = {name: value.grad for name, value in exported.named_parameters()}
    assert gradients["first.weight"] is None
    assert gradients["last.weight"] is not None


@EXPORTING
@pytest.mark.parametrize("strict", [False, True])
def test_exporting_for_inference_does_not_warn(strict: bool) -> None:
    network, x = Network(), inputs()
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        program = torch.export.export(network, (x,), dynamic_shapes={"x": {0: batch}}, strict=strict)
        torch.testing.assert_close(program.module()(x[:5]), network(x[:5]), rtol=0, atol=0)


@EXPORTING
# torch's own, of its pytrees.
@pytest.mark.filterwarnings("ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated:FutureWarning")
def test_splitting_by_pipeline_warns() -> None:
    pipelining = pytest.importorskip("torch.distributed.pipelining", reason="torch is built without distributed")
    with pytest.warns(UserWarning, match=WARNING):
        pipelining.pipeline(Network(), (inputs(),), split_spec={"last": pipelining.SplitPoint.BEGINNING})


def test_compiling_and_plain_training_do_not_warn() -> None:
    network, x = Network(), inputs()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{WARNING}")
        network(x).sum().backward()
        torch.compile(network, backend="eager", fullgraph=True)(x).sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_training_with_autocast_and_a_scaler(dtype: torch.dtype) -> None:
    """The gradients of half types, scaled and unscaled, are float32's to their precision, the learned parameters' too."""
    networks: list[Any] = [Network(), Network()]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=dtype is torch.float16)
    x, weights = inputs(), torch.randn(8, 3, generator=torch.Generator().manual_seed(2))
    (networks[0](x) * weights).sum().backward()
    optimizer = torch.optim.SGD(networks[1].parameters(), lr=1e-3)
    with torch.autocast("cpu", dtype=dtype):
        loss = (networks[1](x) * weights).sum()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    for (name, one), other in zip(networks[0].named_parameters(), networks[1].parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        largest = one.grad.abs().max()
        assert (one.grad - other.grad).abs().max() < 0.1 * largest, name
    before = networks[1].fire.scale.item()
    scaler.step(optimizer)
    scaler.update()
    assert networks[1].fire.scale.item() != before


def test_a_potential_that_stays_in_a_half_type() -> None:
    v = torch.tensor([-0.5, 0.25], dtype=torch.bfloat16, requires_grad=True)
    spikes = spike(v, FastSigmoid())
    (gradient,) = torch.autograd.grad(spikes.sum(), v)
    assert spikes.dtype is gradient.dtype is torch.bfloat16


def test_a_gradient_that_nobody_can_ask_for_is_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export warns where a tensor asks for one while gradients are recorded, the potential or a parameter."""
    from arcana.torch import _dynamo

    v, scale = torch.ones(3), torch.tensor(2.0)
    arguments = FastSigmoid.key, FastSigmoid().formula.settings, ("scale",)
    said: list[bool] = []
    for exporting in (True, False):
        monkeypatch.setattr(_dynamo, "is_exporting", lambda exporting=exporting: exporting)
        for recorded in (True, False):
            for asks in ((False, False), (True, False), (False, True)):
                with warnings.catch_warnings(record=True) as caught, torch.set_grad_enabled(recorded):
                    warnings.simplefilter("always")
                    leaves = [x.clone().requires_grad_(asked) for x, asked in zip((v, scale), asks, strict=True)]
                    spikes = _dynamo.composable(leaves[0], *arguments, leaves[1])
                    assert spikes.tolist() == [1.0] * 3
                    said.append(any("torch.export" in str(each.message) for each in caught))
    assert said == [False, True, True] + [False] * 9
