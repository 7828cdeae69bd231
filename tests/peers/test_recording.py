"""`recording` on networks of other libraries, as they are: each layer's margins are what the library itself computes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import braintools
import jax
import jax.numpy as jnp
import norse.torch
import numpy as np
import pytest
import sinabs.activation
import sinabs.layers
import snntorch
import spyx
import torch
from flax import nnx
from spikingjelly.activation_based import functional, layer, neuron, surrogate

from arcana.jax._compat import enable_x64
from arcana.testing import Run, recording
from arcana.torch import fast_sigmoid

STEPS, SAMPLES = 12, 4
X = np.random.default_rng(0).normal(0.6, 0.7, (STEPS, SAMPLES, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def jax_as_it_comes() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(enable_x64(False))
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        yield


def check(run: Run, layers: dict[str, tuple[int, ...]], spikes: Any) -> None:
    """The layers by name and shape, the last one's spikes, and that no spike lies on the wrong side of its margin."""
    assert {name: each.potentials.shape for name, each in run.layers.items()} == layers
    last = list(run.layers.values())[-1].spikes
    np.testing.assert_array_equal(last, np.asarray(spikes).reshape(last.shape) > 0)
    for each in run.layers.values():
        assert each.margins
        assert 0 < each.spikes.mean() < 1
        assert (each.potentials[each.spikes] >= 0).all()
        assert (each.potentials[~each.spikes] <= 0).all()


class SnnTorch(torch.nn.Module):
    def __init__(self, spike_grad: Any = None, **options: Any) -> None:
        super().__init__()
        self.fc1, self.lif1 = torch.nn.Linear(6, 5), snntorch.Leaky(beta=0.9, threshold=0.3, spike_grad=spike_grad, **options)
        self.fc2, self.lif2 = torch.nn.Linear(5, 5), snntorch.Leaky(beta=0.8, threshold=0.1, spike_grad=spike_grad, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, out = self.lif1.reset_mem(), self.lif2.reset_mem(), []
        for current in x:
            spikes, mem1 = self.lif1(self.fc1(current), mem1)
            spikes, mem2 = self.lif2(self.fc2(spikes), mem2)
            self.mem.append(mem2.detach().clone())
            out.append(spikes)
        return torch.stack(out)


@pytest.mark.parametrize(
    "spike_grad", [None, snntorch.surrogate.fast_sigmoid(slope=25), fast_sigmoid], ids=["own", "preset", "ours"]
)
@pytest.mark.parametrize("training", [True, False])
def test_snntorch(spike_grad: Any, training: bool) -> None:
    torch.manual_seed(1)
    network = SnnTorch(spike_grad)
    network.mem = []
    with torch.set_grad_enabled(training), recording(network) as recorded:
        spikes = network(torch.from_numpy(X))
        if training:
            spikes.sum().backward()
    run = recorded.run
    check(run, {"lif1": (STEPS, SAMPLES, 5), "lif2": (STEPS, SAMPLES, 5)}, spikes.detach())
    np.testing.assert_array_equal(run.layers["lif2"].potentials, (torch.stack(network.mem) - network.lif2.threshold).numpy())
    assert run.name == "torch"
    assert {"fc1.weight", "fc2.bias", "lif1.beta"} <= set(run.parameters)
    assert "mem_reset" not in vars(snntorch.Leaky)


@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly(mode: str) -> None:
    torch.manual_seed(1)
    kinds = {"v_threshold": 0.2, "surrogate_function": surrogate.ATan(), "detach_reset": True}
    network = torch.nn.Sequential(
        layer.Linear(6, 5), neuron.LIFNode(tau=2.0, **kinds), layer.Linear(5, 5), neuron.IFNode(v_reset=None, **kinds)
    )
    functional.set_step_mode(network, mode)
    x = torch.from_numpy(X)
    with recording(network) as recorded:
        spikes = network(x) if mode == "m" else torch.stack([network(each) for each in x])
    check(recorded.run, {"1": (STEPS, SAMPLES, 5), "3": (STEPS, SAMPLES, 5)}, spikes.detach())


@pytest.mark.parametrize("training", [True, False])
def test_norse(training: bool) -> None:
    torch.manual_seed(1)
    parameters = norse.torch.LIFParameters(v_th=torch.as_tensor(0.05), method="super", alpha=100.0)
    network = norse.torch.SequentialState(
        torch.nn.Linear(6, 5), norse.torch.LIFCell(parameters), torch.nn.Linear(5, 5), norse.torch.LIFCell(parameters)
    )
    state, out = None, []
    with torch.set_grad_enabled(training), recording(network) as recorded:
        for x in torch.from_numpy(2 * X):
            spikes, state = network(x, state)
            out.append(spikes.detach())
    check(recorded.run, {"1": (STEPS, SAMPLES, 5), "3": (STEPS, SAMPLES, 5)}, torch.stack(out))


def test_sinabs() -> None:
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        torch.nn.Linear(6, 5),
        sinabs.layers.LIF(tau_mem=20.0, spike_threshold=0.02, spike_fn=sinabs.activation.SingleSpike),
    )
    with recording(network) as recorded:
        spikes = network(torch.from_numpy(X).transpose(0, 1))
    check(recorded.run, {"1": (STEPS, SAMPLES, 5)}, spikes.detach().transpose(0, 1))


def test_sinabs_counts_are_refused() -> None:
    network = sinabs.layers.IAF(spike_threshold=0.1)
    with pytest.raises(ValueError, match=r"spikes in a step, and a run holds 0 and 1; give .*SingleSpike"), recording(network):
        network(torch.from_numpy(X).transpose(0, 1))


@pytest.mark.parametrize("jitted", [True, False])
def test_spyx(jitted: bool) -> None:
    """Both layers are of one shape and share spyx's own jitted surrogate."""
    rngs = nnx.Rngs(1)
    network = spyx.nn.Sequential(
        nnx.Linear(6, 5, rngs=rngs),
        spyx.nn.LIF((5,), beta=0.9, threshold=0.3, rngs=rngs),
        nnx.Linear(5, 5, rngs=rngs),
        spyx.nn.LIF((5,), beta=0.8, threshold=0.1, rngs=rngs),
    )

    def run(network: Any, x: jax.Array) -> jax.Array:
        return spyx.nn.run(network, x)[0]

    run = nnx.jit(run) if jitted else run
    before = run(network, jnp.asarray(X))
    with recording(network) as recorded:
        spikes = run(network, jnp.asarray(X))
    np.testing.assert_array_equal(before, spikes)
    check(recorded.run, {"layers.1": (STEPS, SAMPLES, 5), "layers.3": (STEPS, SAMPLES, 5)}, spikes)
    assert recorded.run.name == "JAX"


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_braintools_in_a_plain_scan(transform: Callable[..., Any]) -> None:
    fire = braintools.surrogate.Sigmoid(alpha=4.0)
    weights = jnp.asarray(np.random.default_rng(1).normal(0, 0.5, (2, 6, 6)), jnp.float32)

    @transform
    def run(weights: jax.Array, x: jax.Array) -> jax.Array:
        def step(state: tuple[jax.Array, jax.Array], current: jax.Array) -> Any:
            first, second = state
            first = 0.9 * first + current @ weights[0]
            spikes = fire(first - 0.3)
            second = 0.8 * second + spikes @ weights[1]
            last = fire(second - 0.2)
            return (first - 0.3 * spikes, second - 0.2 * last), last

        return jax.lax.scan(step, (jnp.zeros(x.shape[1:]), jnp.zeros(x.shape[1:])), x)[1]

    with recording(parameters={"weights": weights}) as recorded:
        spikes = run(weights, jnp.asarray(X))
    check(recorded.run, {"layer 1": (STEPS, SAMPLES, 6), "layer 2": (STEPS, SAMPLES, 6)}, spikes)
