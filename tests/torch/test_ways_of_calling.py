"""Every way of calling a surrogate under every transform, the callable handed over as it is; and the tracers of torch."""

from __future__ import annotations

import copy
import functools
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.fx
from every import every_surrogate

import arcana.torch
from arcana import surrogate as definitions
from arcana.surrogate import FastSigmoid, Surrogate, fast_sigmoid, parameter
from arcana.torch import Spike, spike

Call = Callable[[torch.Tensor], torch.Tensor]
BEFORE_2_11 = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 11)


class Cauchy(Surrogate):
    """h = 1/(1 + (v/width)²), as a user writes it; width 0.25 makes it 1/(1 + 16·v²)."""

    width: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        return xp.reciprocal(xp.square(xp.divide(v, width)) + 1)

    @staticmethod
    def primitive(v, xp, *, width):
        return xp.arctan(xp.divide(v, width)) * width + 0.5


class Neuron(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fire = FastSigmoid(scale=25.0)

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        return self.fire(v)

    def step(self, v: torch.Tensor) -> torch.Tensor:
        return spike(v, self.fire)


def _fast(v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """h = 1/(1 + 25·|v|)² and h′, by hand."""
    base = 1 + 25 * v.abs()
    return base**-2, -50 * v.sign() * base**-3


def _cauchy(v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    base = 1 + 16 * v * v
    return 1 / base, -32 * v / base**2


WAYS: dict[str, tuple[Call, Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]]] = {
    "instance": (FastSigmoid(scale=25.0), _fast),
    "partial of the function": (functools.partial(arcana.torch.fast_sigmoid, scale=25.0), _fast),
    "partial of apply": (functools.partial(arcana.torch.FastSigmoid.apply, scale=25.0), _fast),
    "partial of spike": (functools.partial(spike, surrogate=FastSigmoid(scale=25.0)), _fast),
    "partial of the instance": (functools.partial(FastSigmoid(), scale=25.0), _fast),
    "the instance's __call__": (FastSigmoid(scale=25.0).__call__, _fast),
    "the function's __call__": (functools.partial(arcana.torch.fast_sigmoid.__call__, scale=25.0), _fast),
    "Spike": (Spike(FastSigmoid(scale=25.0), threshold=0.0), _fast),
    "Spike.forward": (Spike(FastSigmoid(scale=25.0), threshold=0.0).forward, _fast),
    "module": (Neuron(), _fast),
    "bound method": (Neuron().step, _fast),
    "a user's instance": (Cauchy(width=0.25), _cauchy),
    "partial of a user's instance": (functools.partial(spike, surrogate=Cauchy(), width=0.25), _cauchy),
}


def _aot(function: Call) -> Call:
    torch.compiler.reset()
    return torch.compile(function, backend="aot_eager", fullgraph=True)


def _same(function: Call) -> Call:
    return function


def _gradient(function: Call, v: torch.Tensor) -> torch.Tensor:
    v = v.clone().requires_grad_()
    return torch.autograd.grad(function(v).sum(), v)[0]


def _named(call: Call) -> Call:
    """The same as a function, of which Dynamo of torch 2.6 finds the name that vmap asks for."""
    return lambda v: call(v)


_ones = torch.ones_like
FIRST: dict[str, Callable[[Call, Callable[[Call], Call], torch.Tensor], torch.Tensor]] = {
    "backward": lambda f, how, v: _gradient(how(f), v),
    "vmap, then backward": lambda f, how, v: _gradient(how(torch.func.vmap(f)), v),
    "vmap(grad)": lambda f, how, v: how(torch.func.vmap(torch.func.grad(f)))(v),
    "jacrev": lambda f, how, v: how(torch.func.jacrev(f))(v).diagonal(),
    "jacfwd": lambda f, how, v: how(torch.func.jacfwd(f))(v).diagonal(),
    "jvp": lambda f, how, v: how(lambda x: torch.func.jvp(f, (x,), (_ones(x),))[1])(v),
    "vjp": lambda f, how, v: how(lambda x: torch.func.vjp(f, x)[1](_ones(x))[0])(v),
}
SECOND: dict[str, Callable[[Call, Callable[[Call], Call], torch.Tensor], torch.Tensor]] = {
    "vmap(grad of grad)": lambda f, how, v: how(torch.func.vmap(torch.func.grad(torch.func.grad(f))))(v),
    "hessian": lambda f, how, v: how(torch.func.hessian(f))(v).diagonal().diagonal(),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_calling_under_every_transform(way: str, compiled: bool, subtests: pytest.Subtests) -> None:
    call, exact = WAYS[way]
    if compiled and BEFORE_2_11 and not hasattr(call, "__name__"):
        call = _named(call)
    v = torch.tensor([-1.5, -0.04, 0.0, 0.3, 2.0], dtype=torch.float64)
    how = _aot if compiled else _same
    assert torch.equal(how(torch.func.vmap(call))(v), (v >= 0).double())
    for rows, expected in zip((FIRST, SECOND), exact(v), strict=True):
        for name, transform in rows.items():
            with subtests.test(name):
                torch.testing.assert_close(transform(call, how, v), expected, rtol=1e-13, atol=0)


def _hand_over(v: torch.Tensor, function: Call) -> torch.Tensor:
    return function(v) * torch.func.grad(lambda x: function(x).sum())(v)


@pytest.mark.parametrize("way", WAYS)
def test_a_callable_given_to_a_compiled_function(way: str) -> None:
    call, exact = WAYS[way]
    torch.compiler.reset()
    v = torch.tensor([-1.5, 0.0, 0.3], dtype=torch.float64)
    found = torch.compile(_hand_over, backend="aot_eager", fullgraph=True)(v, call)
    torch.testing.assert_close(found, (v >= 0) * exact(v)[0], rtol=1e-13, atol=0)


@pytest.mark.xfail(BEFORE_2_11, reason="Dynamo of torch 2.6 follows no repr, by which vmap names what it maps", strict=True)
@every_surrogate
def test_vmap_of_each_instance_compiles(name: str) -> None:
    surrogate = definitions.get(name, gain=2.0)
    v = torch.tensor([-1.5, -0.1, 0.0, 0.1, 2.0])
    h = surrogate.derivative(v)
    assert torch.equal(_gradient(_aot(torch.func.vmap(surrogate)), v), h)


def test_a_surrogate_says_what_differs_from_the_default() -> None:
    assert repr(FastSigmoid(scale=25.0, gain=2.0, fires_at_threshold=False)) == (
        "FastSigmoid(scale=25.0, gain=2.0, fires_at_threshold=False)"
    )
    assert repr(Cauchy()) == "Cauchy(width=1.0)"


# torch.jit.trace


@every_surrogate
@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("grad", [True, False])
def test_jit_trace_of_a_surrogate_never_called_before(name: str, grad: bool) -> None:
    """Nothing that is kept for later calls may be made in a trace, where it would be a constant of that graph."""
    example, v = torch.tensor([-0.5, 0.5, 1.0]), torch.tensor([-2.0, -0.1, 0.0])
    surrogate = definitions.get(name, gain=1.40625 if grad else 1.53125)
    with torch.set_grad_enabled(grad):
        traced: Any = torch.jit.trace(lambda v: surrogate(v), example.clone().requires_grad_(grad))
        assert torch.equal(traced(v), torch.tensor([0.0, 0.0, 1.0]))
    expected = surrogate.derivative(v)
    assert torch.equal(_gradient(surrogate, v), expected)
    if grad:
        assert torch.equal(_gradient(traced, v), expected)


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore::torch.jit.TracerWarning")
def test_jit_trace_of_a_layer_with_a_learnable_parameter() -> None:
    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor([2.0, 3.0], dtype=torch.float64))

        def forward(self, v: torch.Tensor) -> torch.Tensor:
            return spike(v, fast_sigmoid, scale=self.scale)

    layer, v = Layer(), torch.tensor([[-1.0, 0.5], [0.25, -2.0]], dtype=torch.float64)
    traced: Any = torch.jit.trace(layer, v)
    traced(v).sum().backward()
    scale = layer.scale.detach()
    expected = (-v * v.abs() * (1 + scale * v.abs()) ** -2).sum(0)
    torch.testing.assert_close(traced.scale.grad, expected, rtol=1e-13, atol=0)


# torch.fx


class Layer(torch.nn.Module):
    """One way of calling after a linear layer."""

    def __init__(self, call: Callable[..., torch.Tensor], learnable: bool = False) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 4, dtype=torch.float64)
        self.scale = torch.nn.Parameter(torch.full((4,), 2.0, dtype=torch.float64)) if learnable else None
        self.call = call

    # Without annotations, which torch.fx keeps as strings here and then cannot pickle.
    def forward(self, x):
        v = self.linear(x)
        return self.call(v) if self.scale is None else self.call(v, scale=self.scale)


def _gradients(module: torch.nn.Module, parameters: list[torch.nn.Parameter], x: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad((module(x) * x).sum(), parameters))


FX_WAYS = {**{way: call for way, (call, _) in WAYS.items()}, "learnable": arcana.torch.fast_sigmoid, "default": fast_sigmoid}


@pytest.mark.parametrize("way", FX_WAYS)
def test_symbolic_trace_of_every_way_of_calling(way: str) -> None:
    torch.manual_seed(0)
    layer, x = Layer(FX_WAYS[way], learnable=way == "learnable"), torch.randn(5, 4, dtype=torch.float64)
    spikes, parameters = layer(x), list(layer.parameters())
    # Not by the code under test: v of the linear layer, h and dG/dscale by hand.
    v = layer.linear(x).detach()
    h = _cauchy(v)[0] if "user" in way else (1 + {"learnable": 2, "default": 10}.get(way, 25) * v.abs()) ** -2
    assert torch.equal(spikes, (v >= 0).double())
    traced = torch.fx.symbolic_trace(layer)
    calls = [node for node in traced.graph.nodes if node.op not in ("placeholder", "output", "get_attr")]
    # Besides the linear layer one node; of a class of one's own the node that makes it; v − threshold of a layer nobody holds.
    assert len(calls) == (3 if "user" in way or way == "Spike.forward" else 2), traced.code
    again = {
        "traced": traced,
        "traced again": torch.fx.symbolic_trace(traced),
        "transformed": torch.fx.Transformer(traced).transform(),
        "recompiled": torch.fx.GraphModule(traced, copy.deepcopy(traced.graph)),
    }
    for name, module in again.items():
        assert torch.equal(module(x), spikes), name
        for found, each in zip(_gradients(module, parameters, x), parameters, strict=True):
            expected = {"linear.weight": (x * h).T @ x, "linear.bias": (x * h).sum(0)}
            expected["scale"] = (-x * v * v.abs() * h).sum(0)
            which = next(key for key, p in layer.named_parameters() if p is each)
            torch.testing.assert_close(found, expected[which], rtol=1e-12, atol=1e-14)
    assert torch.equal(torch.fx.Interpreter(traced).run(x), spikes)
    for module in (copy.deepcopy(traced), pickle.loads(pickle.dumps(traced))):
        assert torch.equal(module(x), spikes)
        assert module.code == traced.code
        found, expected = (_gradients(each, list(each.parameters()), x) for each in (module, traced))
        assert all(map(torch.equal, found, expected))


@every_surrogate
def test_symbolic_trace_keeps_the_parameters_of_each_surrogate(name: str) -> None:
    surrogate = definitions.get(name, gain=-3.0, fires_at_threshold=False)
    traced = torch.fx.symbolic_trace(lambda v: surrogate(v))
    (call,) = [node for node in traced.graph.nodes if node.op == "call_function"]
    assert call.target is getattr(arcana.torch, name)
    assert dict(call.kwargs) == {**surrogate.numbers, **surrogate.settings}
    v = torch.tensor([-1.5, -0.1, 0.0, 0.1, 2.0])
    assert torch.equal(traced(v), (v > 0).float())
    assert torch.equal(_gradient(traced, v), surrogate.derivative(v))


def test_symbolic_trace_of_a_parameter_beside_a_constant_potential() -> None:
    v = torch.tensor([-1.0, 0.5], dtype=torch.float64)
    traced = torch.fx.symbolic_trace(lambda scale: arcana.torch.fast_sigmoid(v, scale=scale))
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(traced(scale).sum(), scale)
    torch.testing.assert_close(found, torch.tensor(1 / 9 - 0.25 / 4, dtype=torch.float64), rtol=1e-14, atol=0)


def test_symbolic_trace_of_a_derivative() -> None:
    surrogate: Any = Cauchy(width=0.25)
    traced = torch.fx.symbolic_trace(lambda v: surrogate.derivative(v) * 2)
    v = torch.tensor([-1.0, 0.5], dtype=torch.float64)
    assert torch.equal(traced(v), 2 / (1 + 16 * v * v))


def test_symbolic_trace_names_a_bad_parameter() -> None:
    with pytest.raises(ValueError, match=r"^FastSigmoid: scale must be .*, got -1\.0$"):
        torch.fx.symbolic_trace(lambda v: arcana.torch.fast_sigmoid(v, scale=-1.0))
    with pytest.raises(TypeError, match=r"^FastSigmoid has no parameter 'slop'"):
        torch.fx.symbolic_trace(lambda v: arcana.torch.fast_sigmoid(v, slop=1.0))


@pytest.mark.parametrize("learnable", [(), ("scale", "threshold")])
def test_symbolic_trace_of_spike_subtracts_the_threshold(learnable: tuple[str, ...]) -> None:
    spikes = Spike(FastSigmoid(scale=2.0), threshold=0.5, learnable=learnable)
    v = torch.tensor([0.25, 0.5, 1.5], requires_grad=True)
    ways = {"itself": spikes, "in a layer": torch.nn.Sequential(spikes)}
    for way, call in ways.items():
        traced = torch.fx.symbolic_trace(call)
        assert torch.equal(traced(v), torch.tensor([0.0, 1.0, 1.0])), way
        (found,) = torch.autograd.grad(traced(v).sum(), v)
        torch.testing.assert_close(found, 1 / (1 + 2 * torch.tensor([0.25, 0.0, 1.0])) ** 2)
        assert {name.rpartition(".")[2] for name, _ in traced.named_parameters()} == set(learnable)


def test_a_module_may_stay_a_leaf_of_the_graph() -> None:
    class Leaves(torch.fx.Tracer):
        def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, Spike) or super().is_leaf_module(m, module_qualified_name)

    layer = Layer(Spike(FastSigmoid()).double())
    graph = Leaves().trace(layer)
    assert [node.target for node in graph.nodes if node.op == "call_module"] == ["linear", "call"]
    x = torch.ones(2, 4, dtype=torch.float64)
    assert torch.equal(torch.fx.GraphModule(layer, graph)(x), layer(x))


@pytest.mark.parametrize("call", [FastSigmoid(), Cauchy(), Spike(FastSigmoid())], ids=["instance", "user's", "Spike"])
def test_fx_quantization(call: Call) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        torch.manual_seed(1)
        layer, x = Layer(call).float().eval(), torch.randn(64, 4)
        prepared = prepare_fx(layer, get_default_qconfig_mapping("fbgemm"), (x,))
        prepared(x)
        quantized = convert_fx(prepared)
        spikes = quantized(x)
    assert spikes.unique().tolist() == [0.0, 1.0]
    # An 8-bit linear layer moves a potential by about a hundredth.
    clear = (layer.linear(x) - (1.0 if isinstance(call, Spike) else 0.0)).abs() > 0.05
    assert torch.equal(spikes[clear], layer(x)[clear])
