"""Saving, moving and exporting by other projects' formats: safetensors, NIR with nirtorch, and ONNX in onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import nirtorch
import numpy as np
import onnxruntime
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from conftest import Row
from digits import IMAGES
from flax import nnx

from arcana import surrogate
from arcana.jax.adapters.nnx import Spike as NnxSpike
from arcana.surrogate import FastSigmoid, Surrogate, from_dict
from arcana.torch import Spike

THRESHOLD = np.array([0.25, 0.5, 1.0])


def test_safetensors(tmp_path: Path, row: Row) -> None:
    """A layer of torch, read in torch and in JAX."""
    layer = Spike(FastSigmoid(scale=25.0), 0.1, ("scale",), shape=3)
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([1.0, 2.0, 3.0]))
    file = tmp_path / "layer.safetensors"
    safetensors.torch.save_model(layer, str(file))
    other = Spike(FastSigmoid(scale=25.0), 0.1, ("scale",), shape=3)
    safetensors.torch.load_model(other, str(file))
    assert other.scale.tolist() == [1.0, 2.0, 3.0]
    assert other.threshold.item() == 0.1
    ours = NnxSpike(FastSigmoid(scale=25.0), 0.1, ("scale",), shape=3)
    values = safetensors.numpy.load_file(str(file))
    nnx.update(ours, {name: values[name] for name in ours.learnable})
    assert ours.scale[...].tolist() == [1.0, 2.0, 3.0]
    row("safetensors", "safetensors", "`Spike`", "saved in torch, read in torch and in Flax NNX", "same bits")


def metadata(each: Surrogate) -> dict[str, Any]:
    return {"surrogate": json.dumps(each.to_dict())}


@pytest.mark.parametrize("name", surrogate.names())
def test_nir_keeps_a_surrogate_in_a_node_s_metadata(name: str, tmp_path: Path) -> None:
    given = surrogate.get(name, gain=0.7, fires_at_threshold=False)
    node = nir.Threshold(threshold=THRESHOLD, metadata=metadata(given))
    nir.write(tmp_path / "graph.nir", nir.NIRGraph.from_list(node))
    read = nir.read(tmp_path / "graph.nir")
    (found,) = [each for each in read.nodes.values() if isinstance(each, nir.Threshold)]
    assert from_dict(json.loads(found.metadata["surrogate"])) == given


def test_a_graph_moves_a_network_from_torch_to_torch_and_to_jax(tmp_path: Path, row: Row) -> None:
    given = FastSigmoid(scale=25.0)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 3), Spike(given, torch.from_numpy(THRESHOLD).float()))

    def to_threshold(module: Any) -> Any:
        return nir.Threshold(threshold=module.threshold.double().numpy(), metadata=metadata(module.surrogate))

    def to_affine(module: Any) -> Any:
        return nir.Affine(weight=module.weight.detach().numpy(), bias=module.bias.detach().numpy())

    graph = nirtorch.torch_to_nir(network, {Spike: to_threshold, torch.nn.Linear: to_affine})
    nir.write(tmp_path / "network.nir", graph)
    read = nir.read(tmp_path / "network.nir")

    def surrogate_of(node: Any) -> Surrogate:
        return from_dict(json.loads(node.metadata["surrogate"]))

    def from_threshold(node: Any) -> Spike:
        return Spike(surrogate_of(node), torch.from_numpy(node.threshold).float())

    back = nirtorch.nir_to_torch(read, {nir.Threshold: from_threshold})
    images = torch.from_numpy(IMAGES[:16])
    out = back(images)
    spikes = network(images)
    assert torch.equal(out[0] if isinstance(out, tuple) else out, spikes)
    (layer,) = [module for module in back.modules() if isinstance(module, Spike)]
    assert layer.surrogate == given

    affine, threshold = (
        next(each for each in read.nodes.values() if isinstance(each, kind)) for kind in (nir.Affine, nir.Threshold)
    )
    in_jax = NnxSpike(surrogate_of(threshold), threshold.threshold.astype(np.float32))
    potential = images.numpy() @ affine.weight.T + affine.bias
    np.testing.assert_array_equal(np.asarray(in_jax(potential)), spikes.detach().numpy())
    row("NIR", "nir", "`to_dict()` in a node's metadata", "nirtorch: from torch to torch, and to Flax NNX", "same spikes")


@pytest.mark.parametrize("fires", [True, False], ids=["fires_at_threshold", "does_not"])
# onnxscript's and torch's own.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:# The axis name:UserWarning")
def test_onnx(fires: bool, tmp_path: Path, row: Row) -> None:
    """A network over time, written by torch.onnx with dynamo and run by onnxruntime; forward all surrogates are one of two."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = torch.nn.Linear(64, 20), torch.nn.Linear(20, 10)
            self.fire = Spike(FastSigmoid(fires_at_threshold=fires), 0.1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            current = self.first(images)
            potential, total = torch.zeros_like(current), torch.zeros_like(current)
            for _ in range(4):
                potential = 0.9 * potential + current
                spikes = self.fire(potential)
                potential, total = potential - 0.1 * spikes, total + spikes
            return self.last(total)

    network, images = Network().eval(), torch.from_numpy(IMAGES[:16])
    with torch.no_grad():
        expected = network(images)
        program = torch.onnx.export(network, (images,), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(tmp_path / "network.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    np.testing.assert_allclose(np.asarray(out), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert float(expected.abs().max()) > 0.1
    if fires:
        row("ONNX", "onnxruntime", "`Spike`", "`torch.onnx.export(dynamo=True)`, forward alone", "rtol 1e-05")
