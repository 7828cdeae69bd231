"""SpikingJelly: an instance as `surrogate_function=`, and `SurrogateFunction` where a node asks for more."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from conftest import Row
from digits import STEPS, train_torch
from spikingjelly.activation_based import functional, layer, neuron, rnn, surrogate
from spikingjelly.activation_based.distributed.vision import config

from arcana import presets
from arcana.surrogate import FastSigmoid, Gaussian
from arcana.torch.adapters.spikingjelly import SurrogateFunction

WAY = "`adapters.spikingjelly.SurrogateFunction`"


def network(function: Any, kind: Any = neuron.LIFNode, **options: Any) -> torch.nn.Module:
    node = kind(surrogate_function=function, **options)
    net = torch.nn.Sequential(layer.Linear(64, 40), node, layer.Linear(40, 10))
    functional.set_step_mode(net, "m")
    return net


def scores(net: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    functional.reset_net(net)
    return net(3 * images.expand(STEPS, -1, -1)).mean(0)


NODES = (neuron.IFNode, neuron.LIFNode, neuron.ParametricLIFNode, neuron.EIFNode, neuron.QIFNode, neuron.IzhikevichNode)


@pytest.mark.parametrize("node", NODES, ids=[node.__name__ for node in NODES])
def test_a_node_takes_an_instance_as_it_is(node: Any, row: Row) -> None:
    training = train_torch(lambda function: network(function, node), surrogate.ATan(), presets.spikingjelly.atan(), scores)
    assert training.difference <= 2e-5
    if node is neuron.LIFNode:
        training.check()
        row("SpikingJelly", "spikingjelly", "an instance", "`LIFNode`, `ATan`", training)


def test_a_node_that_asks_whether_it_spikes(row: Row) -> None:
    with pytest.raises(AttributeError, match="spiking"):
        scores(network(FastSigmoid(), neuron.ComplementaryLIFNode).eval(), torch.ones(1, 64))
    ours = SurrogateFunction(presets.spikingjelly.sigmoid())
    training = train_torch(lambda function: network(function, neuron.ComplementaryLIFNode), surrogate.Sigmoid(), ours, scores)
    training.check()
    row("SpikingJelly", "spikingjelly", WAY, "`ComplementaryLIFNode`, `Sigmoid`", training)


class Recurrent(torch.nn.Module):
    def __init__(self, functions: tuple[Any, Any]) -> None:
        super().__init__()
        self.cells = rnn.SpikingLSTM(8, 24, 1, surrogate_function1=functions[0], surrogate_function2=functions[1])
        self.outputs = torch.nn.Linear(24, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Read an image line by line."""
        hidden, _ = self.cells(images.unflatten(1, (8, 8)).transpose(0, 1))
        return self.outputs(hidden.mean(0))


def test_recurrent_cells_with_two_functions(row: Row) -> None:
    theirs = (surrogate.Erf(), surrogate.ATan())
    ours = (SurrogateFunction(presets.spikingjelly.erf()), SurrogateFunction(presets.spikingjelly.atan()))
    training = train_torch(Recurrent, theirs, ours, lambda net, images: net(images), rate=2e-2)
    assert training.difference <= 2e-5
    assert not training.still
    assert training.ends[1] < 0.9 * training.ends[0]
    row("SpikingJelly", "spikingjelly", WAY, "`SpikingLSTM`, `Erf` and `ATan`", training)


def test_set_spiking_mode() -> None:
    function = SurrogateFunction(Gaussian(sigma=0.5))
    v = torch.linspace(-2, 2, 41).requires_grad_()
    assert set(function(v).tolist()) == {0.0, 1.0}
    function.set_spiking_mode(False)
    smooth = function(v)
    torch.testing.assert_close(smooth, 0.5 * torch.erfc(-v / (0.5 * 2**0.5)))
    (slope,) = torch.autograd.grad(smooth.sum(), v)
    torch.testing.assert_close(slope, Gaussian(sigma=0.5).derivative(v.detach()))


def test_it_is_printed_and_copied_with_the_net() -> None:
    net = network(SurrogateFunction(FastSigmoid(scale=25.0)))
    assert "SurrogateFunction(surrogate=FastSigmoid(scale=25.0), spiking=True)" in repr(net)
    assert copy.deepcopy(net).get_submodule("1.surrogate_function").surrogate == FastSigmoid(scale=25.0)


def test_the_registry_of_configurations() -> None:
    config.register_surrogate_class(SurrogateFunction)
    given = config.NeuronConfig(
        "spikingjelly.activation_based.neuron.LIFNode",
        surrogate=f"{SurrogateFunction.__module__}.SurrogateFunction",
        surrogate_kwargs={"surrogate": FastSigmoid(scale=25.0).to_dict()},
    )
    _, options = config._resolve_neuron_config(config._decode(config._encode(given)))
    assert options["surrogate_function"].surrogate == FastSigmoid(scale=25.0)


def test_kernels_for_other_surrogates_refuse_it_aloud() -> None:
    from spikingjelly._ops.surrogate_dispatch import resolve_sg_triton_id_and_alpha

    with pytest.raises(NotImplementedError, match="SurrogateFunction"):
        resolve_sg_triton_id_and_alpha(SurrogateFunction(FastSigmoid()))
