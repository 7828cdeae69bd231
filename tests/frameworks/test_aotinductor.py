"""A package of AOTInductor: machine code of an exported network, which runs without Python."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch

from arcana.rules import Integer
from arcana.surrogate import FastSigmoid, Sigmoid
from arcana.torch import Spike, spike


class Network(torch.nn.Module):
    """Spikes and counts: inside of it, and of potentials as they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
        self.fire = Spike(FastSigmoid(), threshold=0.25)
        self.count = Spike(Sigmoid(), 0.0, rule=Integer(3, step=0.25))

    def forward(self, x: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = self.fire(self.first(x))
        return hidden, self.count(self.last(hidden) + 0.5), spike(v, Sigmoid()), self.count(v)


@pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor compiles with g++")
# torch's own, of which each version has others.
@pytest.mark.filterwarnings("ignore")
def test_a_package_has_the_same_spikes(tmp_path: Path) -> None:
    """At thresholds, their neighbours and subnormals too, which a compiler that is told to be fast would take for 0."""
    torch.manual_seed(0)
    network, x = Network(), torch.randn(8, 4)
    edges = [0.0, 1e-45, 1e-40, 0.25, 0.25 - 2**-26, 0.5, 1.0, math.inf]
    v = torch.tensor([*edges, *(-each for each in edges), math.nan])
    with torch.no_grad():
        program = torch.export.export(network, (x, v))
        expected = network(x, v)
    package = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "network.pt2"))
    found = torch._inductor.aoti_load_package(package)(x, v)
    assert [each.unique().numel() for each in found][2:] == [2, 4]
    assert all(each.unique().numel() > 1 for each in found)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
