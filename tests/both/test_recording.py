"""`recording`: each step of each layer once and in its order, under every transform, and nothing left behind.

The networks of libraries are in tests/peers. Here the right margins come from the network's own loop in NumPy.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import sys
import tracemalloc
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch.utils.checkpoint import checkpoint

import arcana.jax
import arcana.torch
from arcana.surrogate import FastSigmoid
from arcana.testing import Run, first_divergence, match, recording
from arcana.testing._places import Place, Places
from arcana.testing._recording import Recording, _framework
from arcana.testing._seen import seeing
from arcana.torch import Spike
from arcana.torch._call import Call

STEPS, SAMPLES, WIDTH = 7, 4, 5
generator = np.random.default_rng(0)
X = generator.normal(0.5, 0.6, (STEPS, SAMPLES, WIDTH)).astype(np.float32)
WEIGHTS = {name: generator.normal(0, 0.7, (WIDTH, WIDTH)).astype(np.float32) for name in ("first", "second")}
THRESHOLDS = {"first": 0.25, "second": 0.125}


def truth() -> dict[str, np.ndarray[Any, Any]]:
    """The margins of each layer, in float64."""
    margins: dict[str, list[Any]] = {name: [] for name in WEIGHTS}
    state: dict[str, Any] = dict.fromkeys(WEIGHTS, 0.0)
    for current in X.astype(np.float64):
        for name, weight in WEIGHTS.items():
            v = 0.5 * state[name] + current @ weight.T
            margins[name].append(v - THRESHOLDS[name])
            current = (v >= THRESHOLDS[name]) * 1.0
            state[name] = v - THRESHOLDS[name] * current
    return {name: np.stack(each) for name, each in margins.items()}


def check(run: Run, names: tuple[str, ...] = tuple(WEIGHTS)) -> None:
    assert tuple(run.layers) == names
    for layer, right in zip(run.layers.values(), truth().values(), strict=True):
        assert layer.margins
        potentials = layer.potentials.reshape(right.shape)
        np.testing.assert_allclose(potentials, right, atol=1e-5)
        np.testing.assert_array_equal(layer.spikes.reshape(right.shape), right >= 0)
        assert layer.spikes.dtype == bool


class Neuron(torch.nn.Module):
    def __init__(self, name: str, spike: Callable[..., Any]) -> None:
        super().__init__()
        self.spike, self.threshold = spike, THRESHOLDS[name]

    def forward(self, v: torch.Tensor, current: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        v = 0.5 * v + current
        spikes = self.spike(v - self.threshold)
        return v - self.threshold * spikes, spikes


class OwnFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(v)
        return (v >= 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> torch.Tensor:
        return cotangent / (1 + ctx.saved_tensors[0].abs()) ** 2


class Activation(torch.autograd.Function):
    """Looks like a spike function where it is given spikes, or nothing above 0."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: torch.Tensor) -> torch.Tensor:
        return v.clamp(min=0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass


class Network(torch.nn.Module):
    def __init__(self, spike: Callable[..., Any] = arcana.torch.fast_sigmoid) -> None:
        super().__init__()
        for name, weight in WEIGHTS.items():
            linear = torch.nn.Linear(WIDTH, WIDTH, bias=False)
            linear.weight.data = torch.from_numpy(weight.copy())
            self.add_module(f"{name}_weight", linear)
            self.add_module(name, Neuron(name, spike))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = w = torch.zeros_like(x[0])
        out = []
        for current in x:
            v, spikes = self.first(v, self.first_weight(current))
            for each in (current, spikes.detach(), spikes.detach() - 1):
                Activation.apply(each)
            w, spikes = self.second(w, self.second_weight(spikes))
            out.append(spikes)
        return torch.stack(out)


def functional(network: Network) -> Callable[..., torch.Tensor]:
    return lambda p, x: torch.func.functional_call(network, p, (x,)).sum()


TORCH: dict[str, Callable[[Network, torch.Tensor], Any]] = {
    "forward": lambda network, x: network(x),
    "no grad": lambda network, x: torch.no_grad()(network)(x),
    "a step at a time": lambda network, x: network(x).sum().backward(),
    "checkpoint": lambda network, x: checkpoint(network, x, use_reentrant=False).sum().backward(),
    "func.grad": lambda network, x: torch.func.grad(functional(network))(dict(network.named_parameters()), x),
    "vmap": lambda network, x: torch.func.vmap(network, 1)(x),
    "vmap of grad": lambda network, x: torch.func.vmap(torch.func.grad(functional(network)), (None, 1))(
        dict(network.named_parameters()), x
    ),
}


@pytest.mark.parametrize("way", TORCH)
def test_torch(way: str) -> None:
    network = Network()
    with recording(network) as recorded:
        TORCH[way](network, torch.from_numpy(X))
    check(recorded.run)
    assert recorded.run.name == "torch"
    assert list(recorded.run.parameters) == ["first_weight.weight", "second_weight.weight"]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "spike",
    [OwnFunction.apply, arcana.torch.FastSigmoid.apply, FastSigmoid(), Spike(FastSigmoid(), 0.0)],
    ids=["own", "class", "instance", "module"],
)
def test_spike_functions_of_torch(spike: Callable[..., Any], training: bool) -> None:
    network = Network(spike)
    with torch.set_grad_enabled(training), recording(network) as recorded:
        network(torch.from_numpy(X))
    # Both neurons share the module, which torch calls by its first place.
    check(recorded.run, ("first.spike.1", "first.spike.2") if isinstance(spike, Spike) else ("first", "second"))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning", "ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize(("spike", "part"), [(OwnFunction.apply, "whole"), (FastSigmoid(), "module")], ids=["own", "ours"])
def test_what_torch_compiles_is_recorded_as_it_runs_compiled(spike: Callable[..., Any], part: str) -> None:
    network, x, graphs = Network(spike), torch.from_numpy(X), []

    def backend(graph: Any, example_inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    if part == "module":
        network.first = torch.compile(network.first, backend=backend)
        compiled: Any = network
    else:
        compiled = torch.compile(network, backend=backend)
    before = compiled(x)
    count = len(graphs)
    with recording(compiled) as recorded:
        inside = compiled(x)
    # Linear layers and leaks are in graphs, compiled anew, and so are the spikes after it.
    assert len(graphs) > count
    check(recorded.run)
    assert list(recorded.run.parameters) == ["first_weight.weight", "second_weight.weight"]
    assert torch.equal(before, inside)
    assert torch.equal(before, compiled(x))


@jax.custom_vjp
def by_vjp(v: jax.Array) -> jax.Array:
    return (v >= 0).astype(v.dtype)


by_vjp.defvjp(lambda v: (by_vjp(v), v), lambda v, cotangent: (cotangent / (1 + jnp.abs(v)) ** 2,))


@jax.custom_jvp
def by_jvp(v: jax.Array) -> jax.Array:
    return (v >= 0).astype(v.dtype)


@by_jvp.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return by_jvp(*primals), tangents[0] / (1 + jnp.abs(primals[0])) ** 2


@jax.custom_gradient
def by_gradient(v: jax.Array) -> Any:
    return (v >= 0).astype(v.dtype), lambda cotangent: cotangent / (1 + jnp.abs(v)) ** 2


class PortedNeuron(nnx.Module):
    def __init__(self, name: str, spike: Callable[..., Any]) -> None:
        self.spike, self.threshold = spike, THRESHOLDS[name]

    def __call__(self, v: jax.Array, current: jax.Array) -> tuple[jax.Array, jax.Array]:
        v = 0.5 * v + current
        spikes = self.spike(v - self.threshold)
        return v - self.threshold * spikes, spikes


class Ported(nnx.Module):
    def __init__(self, spike: Callable[..., Any] = arcana.jax.fast_sigmoid) -> None:
        for name, weight in WEIGHTS.items():
            linear = nnx.Linear(WIDTH, WIDTH, use_bias=False, rngs=nnx.Rngs(0))
            linear.kernel[...] = jnp.asarray(weight.T)
            setattr(self, f"{name}_weight", linear)
            setattr(self, name, PortedNeuron(name, spike))
        self.dropout = nnx.Dropout(0.0, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        def step(state: Any, current: jax.Array) -> Any:
            v, spikes = self.first(state[0], self.first_weight(current))
            w, spikes = self.second(state[1], self.second_weight(jax.nn.relu(spikes)))
            return (v, w), spikes

        return jax.lax.scan(step, (jnp.zeros_like(x[0]), jnp.zeros_like(x[0])), x)[1]


def total(network: Any, x: jax.Array) -> jax.Array:
    return network(x).sum()


JAX: dict[str, Callable[[Ported, jax.Array], Any]] = {
    "scan": lambda network, x: network(x),
    "grad": lambda network, x: nnx.grad(total)(network, x),
    "jit of grad": lambda network, x: nnx.jit(nnx.grad(total))(network, x),
    "jit of grad of remat": lambda network, x: nnx.jit(nnx.grad(nnx.remat(total)))(network, x),
    "jit of grad of vmap": lambda network, x: nnx.jit(
        nnx.grad(lambda network, x: nnx.vmap(total, in_axes=(None, 1))(network, x).sum())
    )(network, x),
}


@pytest.mark.parametrize("way", JAX)
def test_jax(way: str) -> None:
    network = Ported()
    with recording(network) as recorded:
        JAX[way](network, jnp.asarray(X))
    check(recorded.run)
    assert recorded.run.name == "JAX"
    assert list(recorded.run.parameters) == ["first_weight.kernel", "second_weight.kernel"]


@pytest.mark.parametrize("spike", [by_vjp, by_jvp, by_gradient, jax.jit(by_vjp)], ids=["vjp", "jvp", "gradient", "jitted"])
def test_spike_functions_of_jax(spike: Callable[..., Any]) -> None:
    """Jitted by itself, one trace of the spike function would serve both layers, and here they are told apart."""
    network = Ported(spike)
    with recording(network) as recorded:
        JAX["jit of grad"](network, jnp.asarray(X))
    check(recorded.run)


def test_what_was_compiled_before_is_recorded_and_what_is_compiled_in_between_records_no_more() -> None:
    network, x = Ported(), jnp.asarray(X)
    run = nnx.jit(lambda network, x: network(x))
    before = run(network, x)
    runs = []
    for _ in range(2):
        with recording(network) as recorded:
            inside = run(network, x)
        runs.append(recorded.run)
        run(network, x)
    for each in runs:
        check(each)
    np.testing.assert_array_equal(before, inside)
    assert "arcana_watch" not in str(jax.make_jaxpr(network)(x))


class OfLinen(linen.Module):
    @linen.compact
    def __call__(self, state: Any, current: jax.Array) -> Any:
        after = []
        for v, (name, threshold) in zip(state, THRESHOLDS.items(), strict=True):
            v = 0.5 * v + linen.Dense(WIDTH, use_bias=False, name=name)(current)
            current = arcana.jax.fast_sigmoid(v - threshold)
            after.append(v - threshold * current)
        return tuple(after), current


@jax.custom_vjp
def with_potential(v: jax.Array) -> tuple[jax.Array, jax.Array]:
    return by_vjp(v), v


with_potential.defvjp(lambda v: (with_potential(v), None), lambda _, cotangents: (cotangents[0] + cotangents[1],))


@jax.custom_vjp
def fires_at_all(v: jax.Array) -> jax.Array:
    return (v >= 0).any().astype(v.dtype)


fires_at_all.defvjp(lambda v: (fires_at_all(v), v), lambda v, cotangent: (cotangent / v,))


@jax.custom_vjp
def of_whole_numbers(n: jax.Array) -> jax.Array:
    return (n >= 0).astype(n.dtype)


of_whole_numbers.defvjp(lambda n: (of_whole_numbers(n), None), lambda _, cotangent: (cotangent,))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 2))
def between_numbers(scale: float, v: jax.Array, times: int) -> jax.Array:
    return (v >= 0).astype(v.dtype) * times


between_numbers.defvjp(
    lambda scale, v, times: (between_numbers(scale, v, times), v),
    lambda scale, times, v, cotangent: (times * cotangent / (1 + scale * jnp.abs(v)) ** 2,),
)


def test_of_the_functions_with_a_rule_those_that_give_a_spike_for_each_potential_are_seen() -> None:
    v = jnp.asarray(X[0])
    with seeing("jax") as seen:
        with_potential(v)
        fires_at_all(v)
        of_whole_numbers(jnp.arange(3))
        between_numbers(3.0, v, 1)
    (((margins, slopes),),) = seen().slopes
    np.testing.assert_array_equal(margins, v)
    np.testing.assert_allclose(slopes, FastSigmoid(scale=3.0).derivative(X[0]), rtol=1e-5)
    # Arrays of their own, which nothing changes later.
    assert all(type(each) is np.ndarray and each.flags.owndata for each in (margins, slopes))


def test_linen_whose_one_line_fires_for_two_layers() -> None:
    network = linen.scan(OfLinen, variable_broadcast="params", split_rngs={"params": False})()
    parameters = {name: {"kernel": jnp.asarray(weight.T)} for name, weight in WEIGHTS.items()}
    state = (jnp.zeros((SAMPLES, WIDTH), jnp.float32),) * 2
    run = jax.jit(network.apply)
    with recording(network, parameters=parameters, layers=list(WEIGHTS), inputs=X) as recorded:
        run({"params": parameters}, state, jnp.asarray(X))
    check(recorded.run)
    assert list(recorded.run.parameters) == ["first.kernel", "second.kernel"]
    np.testing.assert_array_equal(recorded.run.inputs, X)


class Readout(torch.nn.Module):
    def forward(self, v: torch.Tensor, spikes: torch.Tensor) -> tuple[torch.Tensor, int]:
        return 0.8 * v + spikes, 0


class WithReadout(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network, self.last, self.readout = Network(), torch.nn.Linear(WIDTH, 3), Readout()

    def forward(self, x: torch.Tensor, *, whole: bool = False) -> torch.Tensor:
        spikes = self.network(x)
        if whole:
            return self.last(spikes)
        v = torch.zeros(SAMPLES, 3)
        for each in spikes:
            v, _ = self.readout(v, self.last(each))
        return v


class PortedReadout(nnx.Module):
    def __init__(self, leak: float) -> None:
        self.leak = leak

    def __call__(self, v: jax.Array, spikes: jax.Array) -> tuple[jax.Array, int]:
        return jnp.float32(self.leak) * v + spikes, 0


class PortedWithReadout(nnx.Module):
    def __init__(self, original: WithReadout, leak: float) -> None:
        self.network, self.readout = Ported(), PortedReadout(leak)
        self.last = nnx.Linear(WIDTH, 3, rngs=nnx.Rngs(0))
        self.last.kernel[...] = jnp.asarray(original.last.weight.detach().numpy().T)
        self.last.bias[...] = jnp.asarray(original.last.bias.detach().numpy())

    def __call__(self, x: jax.Array) -> jax.Array:
        def step(v: jax.Array, each: jax.Array) -> Any:
            return self.readout(v, self.last(each))[0], None

        return jax.lax.scan(step, jnp.zeros((SAMPLES, 3), jnp.float32), self.network(x))[0]


@pytest.mark.parametrize(("leak", "verdict"), [(0.8, "same"), (0.7, "leak")])
def test_readouts_are_recorded_by_their_path(leak: float, verdict: str) -> None:
    network, names = WithReadout(), ["last", "readout"]
    with recording(network, readouts=names) as recorded:
        last = network(torch.from_numpy(X))
    layers = recorded.run.layers
    assert list(layers) == ["network.first", "network.second", *names]
    assert [each.fires for each in layers.values()] == [True, True, False, False]
    np.testing.assert_array_equal(layers["readout"].potentials[-1], last.detach())
    ported = PortedWithReadout(network, leak)
    with recording(ported, readouts=names) as port:
        nnx.jit(lambda network, x: network(x))(ported, jnp.asarray(X))
    found = first_divergence(*match(recorded.run, port.run).runs, threshold=0.0)
    assert found.verdict == verdict
    assert {cause.where for cause in found.causes} <= {"readout"}


def test_a_readout_stands_among_the_layers_where_it_is_called() -> None:
    """Inside a scan too, which calls it before any of its numbers is there."""
    for network, x in ((Network(), torch.from_numpy(X)), (Ported(), jnp.asarray(X))):
        with recording(network, readouts=["first_weight"]) as recorded:
            network(x)
        assert list(recorded.run.layers) == ["first_weight", "first", "second"]
        np.testing.assert_allclose(recorded.run.layers["first_weight"].potentials, X @ WEIGHTS["first"].T, rtol=1e-4, atol=1e-5)


def test_a_readout_of_a_batch_of_samples_has_its_numbers() -> None:
    network, x = WithReadout(), torch.from_numpy(X)
    with recording(network, readouts=["readout"]) as together:
        network(x)
    with recording(network, readouts=["readout"]) as by_sample:
        torch.func.vmap(network, in_dims=1)(x)
    expected, found = (each.run.layers["readout"].potentials for each in (together, by_sample))
    # Its state has all samples, which are the same in each call.
    np.testing.assert_allclose(found[:, :, 0], expected, rtol=1e-5, atol=1e-6)


def test_a_readout_that_gets_the_whole_sequence() -> None:
    network = WithReadout()
    with recording(network, readouts=["last"], sequences=True) as recorded:
        last = network(torch.from_numpy(X), whole=True)
    np.testing.assert_array_equal(recorded.run.layers["last"].potentials, last.detach())
    check(
        dataclasses.replace(recorded.run, layers=dict(list(recorded.run.layers.items())[:2])), ("network.first", "network.second")
    )


def test_neurons_that_get_the_whole_sequence() -> None:
    v = torch.from_numpy(X) - 0.5
    with recording(sequences=True) as recorded:
        spikes = [arcana.torch.fast_sigmoid(each) for each in (v[:4], v[4:])]
    (layer,) = recorded.run.layers.values()
    np.testing.assert_array_equal(layer.potentials, v)
    np.testing.assert_array_equal(layer.spikes, torch.cat(spikes) > 0)


def test_a_readout_that_nothing_calls_is_named() -> None:
    words = r"no module of the path 'nowhere' was called; the network has network, network.first_weight"
    with pytest.raises(ValueError, match=words), recording(network := WithReadout(), readouts=["nowhere"]):
        network(torch.from_numpy(X))


def test_plain_functions_have_a_layer_for_each_line() -> None:
    def run(x: Any, weights: Any, spike: Any) -> None:
        v = w = 0 * x[0]
        for current in x:
            v = 0.5 * v + current @ weights["first"].T
            spikes = spike(v - THRESHOLDS["first"])
            v = v - THRESHOLDS["first"] * spikes
            w = 0.5 * w + spikes @ weights["second"].T
            last = spike(w - THRESHOLDS["second"])
            w = w - THRESHOLDS["second"] * last

    for convert, spike in ((torch.from_numpy, arcana.torch.fast_sigmoid), (jnp.asarray, arcana.jax.fast_sigmoid)):
        with recording(name="mine") as recorded:
            run(convert(X), {name: convert(weight) for name, weight in WEIGHTS.items()}, spike)
        check(recorded.run, ("layer 1", "layer 2"))
        assert recorded.run.name == "mine"


def test_a_plain_comparison_is_named() -> None:
    network = Network(lambda v: (v >= 0).to(v.dtype))
    x = torch.from_numpy(X)
    with (
        pytest.raises(ValueError, match=r"no spike function was called .* functions=\[\(module, 'name'\)\]"),
        recording(network),
    ):
        network(x)
    with recording(network, functions=[(network.first, "spike"), (network.second, "spike")]) as recorded:
        network(x)
    check(recorded.run)


def test_a_plain_comparison_of_jax_is_named() -> None:
    def fire(v: Any) -> Any:
        return jnp.asarray(v >= 0, v.dtype)

    mine = types.SimpleNamespace(fire=fire)

    def step(v: Any, current: Any) -> Any:
        spikes = mine.fire(v := 0.5 * v + current)
        return v - spikes, None

    currents = jnp.asarray(np.random.default_rng(0).normal(0, 1, (20, 3, 4)), jnp.float32)
    with recording(functions=[(mine, "fire")]) as recorded:
        jax.jit(lambda start: jax.lax.scan(step, start, currents))(jnp.zeros((3, 4), jnp.float32))
    layer = recorded.run.layers["layer 1"]
    assert layer.potentials.shape == (20, 3, 4)
    assert layer.spikes is not None
    assert layer.spikes.any()
    np.testing.assert_array_equal(layer.spikes, layer.potentials >= 0)
    assert mine.fire is fire


def test_what_is_called_from_beside_the_recording_is_one_layer() -> None:
    """Whichever of its lines calls; only what opens it is left out, not what called that."""
    x = torch.from_numpy(X[:1])
    with recording() as recorded:
        twice(x)
        twice(x)
    with seeing("torch") as seen:
        twice(x)
        twice(x)
    assert [{name: len(layer.potentials) for name, layer in run.layers.items()} for run in (recorded.run, seen().run)] == [
        {"layer 1": 2}
    ] * 2


def test_each_line_beside_the_recording_is_a_layer() -> None:
    v = torch.from_numpy(X)
    with recording() as recorded:
        first = arcana.torch.fast_sigmoid(v)
        arcana.torch.fast_sigmoid(first - 0.5)
    assert list(recorded.run.layers) == ["layer 1", "layer 2"]
    assert recorded.run.ordered
    with recording() as recorded:
        for each in v[:3, 0, 0]:
            arcana.torch.fast_sigmoid(each)
    # A neuron alone is a layer of one.
    np.testing.assert_array_equal(recorded.run.layers["layer 1"].potentials, X[:3, 0, :1])


def calling(module: str, file: str, inner: Callable[[], Any]) -> Callable[[], Any]:
    """A function of a module and a file that calls another one in its second line."""
    namespace: dict[str, Any] = {"__name__": module, "inner": inner}
    exec(compile("def call():\n    return inner()\n", file, "exec"), namespace)
    return namespace["call"]


def test_of_what_torch_compiles_a_place_is_the_line_alone() -> None:
    places = Places(None, sys._getframe())
    ask = functools.partial(places.of, None, "own")
    mine = calling("mine", "mine.py", ask)
    assert calling("torch._dynamo.eval_frame", "compiler.py", mine)() == Place("", "", (("mine.py", 2),), "own")
    # A frame of the compiler inside it, or one of another package, made nothing of it.
    for module in ("torch._dynamo.eval_frame", "jax._src.api", "arcana.torch._call"):
        place = calling("mine", "mine.py", calling(module, "between.py", ask))()
        ((code, _),) = place.lines
        assert code.co_filename == "mine.py"
    # A package whose name merely begins like one stands for itself.
    assert [code.co_filename for code, _ in calling("mine", "mine.py", calling("jaxsnn", "other.py", ask))().lines] == [
        "other.py",
        "mine.py",
    ]


class Module:
    """A module of no framework, which runs whatever it is given with its part and a potential of its own."""

    def __init__(self, part: Any = None) -> None:
        self.part = part

    def __call__(self, run: Callable[[list[float], Any], Any]) -> Any:
        return run([0.5], self.part)


class GivenV(Module):
    def __call__(self, v: Any, ask: Any) -> Any:
        return ask(v)


class GivenAmongOthers(Module):
    def __call__(self, *given: Any) -> Any:
        return given[1](given[0])


class GivenByName(Module):
    def __call__(self, *given: Any, v: Any = None) -> Any:
        return given[-1](v or given[0])


class MakesV(Module):
    def __call__(self, current: Any, ask: Any) -> Any:
        v = [*current, 1.0]
        return ask(v)


def test_a_module_that_is_given_the_potential_itself_is_the_spike_function() -> None:
    for part, path in ((GivenV(), ""), (GivenAmongOthers(), ""), (GivenByName(), ""), (MakesV(), "part")):
        network = Module(part)
        places = Places(network, sys._getframe())

        def ask(v: Any, places: Places = places) -> Place:
            return places.of(v, "own")

        assert network(lambda v, part, ask=ask: part(v, ask)).path == path
        if isinstance(part, GivenByName):
            assert network(lambda v, part, ask=ask: part(ask, v=v)).path == path


def test_a_place_goes_as_far_as_the_module_that_calls_its_module() -> None:
    network = Module(MakesV())
    places = Places(network, sys._getframe())

    def ask(v: Any) -> Place:
        return places.of(v, "own")

    def twice_over() -> list[Place]:
        def once(v: Any, part: Any) -> Place:
            return part(v, ask)

        return [
            network(once),
            network(once),
        ]

    def run(v: Any, part: Any) -> list[Place]:
        return [
            part(v, ask),
            part(v, ask),
        ]

    # From wherever the network is called it is one place, and each call within is another.
    assert len(set(twice_over())) == 1
    first, second = network(run)
    assert (first.path, first.caller, second.path) == ("part", "", "part")
    assert first != second
    assert first.lines[:2] == second.lines[:2]


def kept(*calls: tuple[Place, float], turns: tuple[str, ...] = ()) -> Run:
    """The run of calls at some places, each with spikes of one size."""
    recorded = Recording(Places(None, sys._getframe()), turns)
    for place, size in calls:
        recorded._keep(place, np.array([0.5, -0.5]), np.array([size, 0.0]))
    recorded._close(None, {}, "mine")
    return recorded.run


def place(function: str, line: int, path: str = "") -> Place:
    return Place(path, "", (("file.py", line),), function)


def test_a_function_that_gives_a_fraction_once_is_no_spike_function() -> None:
    spikes = (place("fire", 1, "hidden"), 1.0)
    for odd in (0.5, 1.5, -1.0):
        run = kept(spikes, (place("relu", 2), 1.0), (place("relu", 3), odd))
        assert list(run.layers) == ["hidden"]
    # Which function it was, jax.custom_gradient does not tell.
    run = kept(spikes, (place("custom_gradient", 2), 1.0), (place("custom_gradient", 3), 0.5))
    assert list(run.layers) == ["hidden", "layer 1"]
    with pytest.raises(ValueError, match="no spike function was called"):
        kept((place("relu", 3), 0.5))


def test_several_spikes_in_a_step_are_no_run() -> None:
    for function, more in (("fire", ""), ("sinabs.activation.spike", "; give the layer spike_fn=sinabs.activation.SingleSpike")):
        with pytest.raises(ValueError, match=f"^layer 'hidden' gives 2 spikes in a step, and a run holds 0 and 1{more}$"):
            kept((place(function, 1, "hidden"), 2.0))


def test_layers_are_called_by_their_path_and_several_of_one_by_their_number() -> None:
    calls = [place("fire", 1, "hidden"), place("fire", 2), place("fire", 3, "out"), place("fire", 4, "hidden"), place("fire", 5)]
    assert list(kept(*((each, 1.0) for each in calls)).layers) == ["hidden.1", "layer 1", "out", "hidden.2", "layer 2"]
    # Names that were given go round.
    run = kept(*[(calls[0], 1.0)] * 4, turns=("a", "b"))
    assert {name: layer.potentials.shape for name, layer in run.layers.items()} == {"a": (2, 2), "b": (2, 2)}


def test_parameters_are_those_when_the_recording_was_opened() -> None:
    network = Network()
    with recording(network) as recorded, torch.no_grad():
        network(torch.from_numpy(X))
        network.first_weight.weight.zero_()
    np.testing.assert_array_equal(recorded.run.parameters["first_weight.weight"], WEIGHTS["first"])


def twice(x: torch.Tensor) -> None:
    for i, current in enumerate(x):
        arcana.torch.fast_sigmoid(current)
        if i:
            arcana.torch.fast_sigmoid(current)


def one_line(x: torch.Tensor) -> None:
    for current in (x[0], x[0, :, :3]):
        arcana.torch.fast_sigmoid(current)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (twice, r"fired so often: layer 1 7, layer 2 6\..*layers="),
        (one_line, r"shapes \(4, 3\) and \(4, 5\).*layers=\['hidden', 'output'\]"),
    ],
)
def test_what_cannot_be_told_apart_says_what_to_do(run: Callable[[torch.Tensor], None], words: str) -> None:
    with pytest.raises(ValueError, match=words), recording():
        run(torch.from_numpy(X))


def test_the_file_is_the_run(tmp_path: Path) -> None:
    with torch.no_grad(), recording(network := Network(), tmp_path / "run.npz") as recorded:
        network(torch.from_numpy(X))
    again = Run.load(tmp_path / "run.npz")
    check(again)
    assert again.name == "torch"
    assert list(again.parameters) == list(recorded.run.parameters)


def test_a_network_and_its_port_are_found_to_be_the_same() -> None:
    with recording(network := Network()) as torch_side:
        network(torch.from_numpy(X))
    with recording(ported := Ported()) as jax_side:
        ported(jnp.asarray(X))
    runs = [Run(each.run.layers, name=each.run.name) for each in (torch_side, jax_side)]
    assert first_divergence(*runs, threshold=0.0).explained


def interrupted(network: Network) -> None:
    network(torch.from_numpy(X))
    msg = "in the middle"
    raise RuntimeError(msg)


def test_nothing_is_left_behind() -> None:
    changed = [(torch.autograd.Function, "apply"), (OwnFunction, "forward"), (Call, "forward"), (jax.custom_vjp, "__call__")]
    before = [vars(owner)[name] for owner, name in changed]
    network = Network()
    with pytest.raises(RuntimeError, match="in the middle"), recording(network):
        interrupted(network)
    assert [vars(owner)[name] for owner, name in changed] == before
    with recording(network) as recorded:
        spikes = network(torch.from_numpy(X))
    tensor = weakref.ref(spikes)
    del spikes
    gc.collect()
    assert tensor() is None
    assert recorded.run.layers["first"].potentials.base is None


def test_the_memory_of_a_recording_is_that_of_its_numbers() -> None:
    """As many bytes again for one layer of four at a time, and never the graph."""
    x, network = torch.rand(1, 10_000), torch.nn.ModuleList(Spike(FastSigmoid()) for _ in range(4))
    tracemalloc.start()
    with recording(network) as recorded:
        v = [x] * 4
        for _ in range(50):
            for i, spike in enumerate(network):
                v[i] = 0.9 * v[i] + x
                spike(v[i])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [layer.spikes.dtype for layer in recorded.run.layers.values() if layer.spikes is not None] == [bool] * 4
    data = 4 * 50 * 10_000 * (4 + 1)
    assert data < peak < 1.6 * data


def test_functions_are_of_the_only_framework_there_is() -> None:
    assert [_framework(None, present) for present in (["torch"], ["jax"], ["torch", "jax"], [])] == ["torch", "JAX", "", ""]
    assert _framework(torch.nn.Linear(2, 2), ["jax"]) == "torch"
