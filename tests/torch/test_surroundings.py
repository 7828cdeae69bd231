"""What surrounds a call: modes, hooks, transforms and devices, at the forward pass, when that is done again, and at backward.

Whatever they are, the spikes and the gradients are the same numbers: what is kept depends on the call alone.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo.compiled_autograd
from every import each_kept, every_surrogate, one_a_kept
from known_values import KNOWN
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts, set_checkpoint_early_stop
from torch.utils.flop_counter import FlopCounterMode

import arcana.torch
from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.surrogate import FastSigmoid, Surrogate, fast_sigmoid
from arcana.torch import Spike, set_compiled_kernels, spike
from arcana.torch._call import call_of

Surroundings = Callable[[], contextlib.AbstractContextManager[Any]]


class Passing(TorchDispatchMode):
    """A mode that looks at every operation and changes none."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **kwargs or {})


class PassingFunctions(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **kwargs or {})


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Generator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SURROUNDINGS: dict[str, Surroundings] = {
    "plain": contextlib.nullcontext,
    "dispatch mode": Passing,
    "flop counter": lambda: FlopCounterMode(display=False),
    "function mode": PassingFunctions,
    "dual level": forward_ad.dual_level,
    "meta as default device": lambda: torch.device("meta"),
    "default dtype float16": lambda: default_dtype(torch.float16),
    "default dtype float64": lambda: default_dtype(torch.float64),
    "compiled kernels": lambda: set_compiled_kernels(True),
    "save_on_cpu": torch.autograd.graph.save_on_cpu,
    "deterministic": lambda: torch.random.fork_rng(devices=[]),
    "anomaly": lambda: torch.autograd.detect_anomaly(check_nan=False),
}

V = [-2.0, -0.6, -0.1, 0.0, 0.1, 0.6, 2.0]
"""On either side of every kink, and at 0."""
COTANGENT = [1.0, 2.0, -3.0, 4.0, -0.5, 3.0, 5.0]


def _expected(surrogate: Surrogate, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """cotangent · h by NumPy in float64."""
    h = surrogate.derivative(torch.tensor(V, dtype=torch.float64).numpy())
    return (torch.tensor(COTANGENT, dtype=torch.float64) * torch.from_numpy(h)).to(dtype)


def _by_scale(scale: float) -> torch.Tensor:
    """cotangent · dG/dscale of FastSigmoid, −v·|v|/(1 + scale·|v|)², by hand."""
    v, c = torch.tensor(V, dtype=torch.float64), torch.tensor(COTANGENT, dtype=torch.float64)
    return (-c * v * v.abs() / (1 + scale * v.abs()) ** 2).sum()


def _pull(spikes: torch.Tensor, *inputs: torch.Tensor, **options: Any) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(spikes, inputs, torch.tensor(COTANGENT, dtype=spikes.dtype, device="cpu"), **options)


def _checkpointed(surrogate: Surrogate, v: torch.Tensor, outer: Surroundings, inner: Iterator[Surroundings]) -> torch.Tensor:
    """Checkpointed spikes whose first forward pass and whose second have surroundings of their own."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        with next(inner)():
            return spike(x * 1.0, surrogate)

    with outer():
        return checkpoint(forward, v, use_reentrant=False)


ORDINARY = [each for each in SURROUNDINGS if each not in ("deterministic", "anomaly", "save_on_cpu")]


@every_surrogate
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
@pytest.mark.parametrize("first", ORDINARY)
def test_what_is_kept_does_not_depend_on_who_looks(name: str, first: str) -> None:
    """A forward pass that is done again elsewhere keeps what the first one kept."""
    surrogate, v = definitions.get(name), torch.tensor(V, dtype=torch.float64, requires_grad=True)
    expected = _expected(surrogate)
    for again, backward in itertools.product(ORDINARY, ("plain", "dispatch mode")):
        inner = iter([SURROUNDINGS[first], SURROUNDINGS[again]])
        spikes = _checkpointed(surrogate, v, contextlib.nullcontext, inner)
        with SURROUNDINGS[backward]():
            (found,) = _pull(spikes, v)
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=0, msg=lambda text, x=(again, backward): f"{x}: {text}")


@every_surrogate
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
@pytest.mark.parametrize("way", SURROUNDINGS)
def test_a_mode_around_the_forward_or_the_backward_pass_alone(name: str, way: str) -> None:
    surrogate = definitions.get(name)
    for (before, after), dtype in itertools.product(
        ((way, "plain"), ("plain", way), (way, way)), (torch.float32, torch.bfloat16)
    ):
        v = torch.tensor(V, dtype=dtype, requires_grad=True)
        (plain,) = _pull(spike(v * 1, surrogate), v)
        with SURROUNDINGS[before]():
            spikes = spike(v * 1, surrogate)
            kept = checkpoint(lambda x: spike(x * 1, surrogate), v, use_reentrant=False)
        with SURROUNDINGS[after]():
            assert torch.equal(spikes, torch.tensor([0, 0, 0, 1, 1, 1, 1], dtype=dtype, device="cpu")), (before, after)
            assert torch.equal(_pull(spikes, v)[0], plain), (before, after)
            assert torch.equal(_pull(kept, v)[0], plain), (before, after)


@pytest.mark.parametrize("again", ORDINARY)
@pytest.mark.parametrize("first", ORDINARY)
def test_a_learnable_parameter_in_changing_surroundings(first: str, again: str) -> None:
    v, scale = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (V, 3.0))
    inner = iter([SURROUNDINGS[first], SURROUNDINGS[again]])

    def forward(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        with next(inner)():
            return spike(x * 1.0, fast_sigmoid, scale=scale * 1.0)

    by_v, by_scale = _pull(checkpoint(forward, v, scale, use_reentrant=False), v, scale)
    torch.testing.assert_close(by_v, _expected(FastSigmoid(scale=3.0)), rtol=1e-13, atol=0)
    torch.testing.assert_close(by_scale, _by_scale(3.0), rtol=1e-13, atol=0)


@every_surrogate
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("mode", ["plain", "dispatch mode"])
def test_nested_checkpoints(name: str, mode: str, early: bool, reentrant: bool) -> None:
    """Spikes of spikes: the gradient is h(2·s₁ − 1)·2·h(v), with s₁ = spike(v)."""
    surrogate, v = definitions.get(name), torch.tensor(V, dtype=torch.float64, requires_grad=True)

    def inner(x: torch.Tensor) -> torch.Tensor:
        return spike(2 * spike(x, surrogate) - 1, surrogate)

    def outer(x: torch.Tensor) -> torch.Tensor:
        return checkpoint(inner, x * 1.0, use_reentrant=False) * 1.0

    with set_checkpoint_early_stop(early), SURROUNDINGS[mode]():
        spikes: Any = checkpoint(outer, v, use_reentrant=reentrant)
    spikes.backward(torch.tensor(COTANGENT, dtype=torch.float64))
    second = torch.from_numpy(surrogate.derivative(2.0 * (v.detach() >= 0).double().numpy() - 1))
    torch.testing.assert_close(v.grad, _expected(surrogate) * 2 * second, rtol=1e-13, atol=0)


@every_surrogate
@pytest.mark.parametrize("saved", ["aten.ge.Scalar", "aten.gt.Scalar", "nothing"])
def test_selective_checkpoints(name: str, saved: str) -> None:
    from torch.utils.checkpoint import CheckpointPolicy

    def policy(context: Any, operation: Any, *args: Any, **keywords: Any) -> CheckpointPolicy:
        return CheckpointPolicy.MUST_SAVE if str(operation) == saved else CheckpointPolicy.PREFER_RECOMPUTE

    contexts = functools.partial(create_selective_checkpoint_contexts, policy)
    surrogate, v = definitions.get(name), torch.tensor(V, dtype=torch.float64, requires_grad=True)
    spikes: Any = checkpoint(lambda x: spike(x * 1.0, surrogate), v, use_reentrant=False, context_fn=contexts)
    torch.testing.assert_close(_pull(spikes, v)[0], _expected(surrogate), rtol=1e-13, atol=0)


class OfTensors(Surrogate):
    """A G that asks for the dtype of a tensor, which no trace of ours has."""

    height: float = definitions.parameter(0.5)

    @staticmethod
    def derivative(v: Any, xp: Any, *, height: Any) -> Any:
        return height * xp.reciprocal(1 + xp.abs(v))

    @staticmethod
    def primitive(v: Any, xp: Any, *, height: Any) -> Any:
        return height * xp.sign(v) * xp.log1p(xp.abs(v.to(v.dtype))) + 0.5


@pytest.mark.parametrize("again", [False, True])
def test_saved_tensor_hooks_see_nothing_that_backward_saves_for_itself(again: bool) -> None:
    """What a derivative of its own may need is saved for somebody, and seen."""
    v, height = torch.tensor([-1.0, 0.5, 2.0]).double(), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    spikes, seen = spike(v, OfTensors(), height=height), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: seen.append(x) or x, lambda x: x):
        (found,) = torch.autograd.grad(spikes.sum(), height, create_graph=again)
    torch.testing.assert_close(found.detach(), (v.sign() * torch.log1p(v.abs())).sum())
    assert bool(seen) == again


class Tagged(torch.Tensor):
    """Of a module that is not PyTorch's."""


def test_an_instance_takes_a_tensor_of_a_subclass() -> None:
    v = torch.tensor([-1.0, 0.0, 1.0]).as_subclass(Tagged).requires_grad_()
    spikes = definitions.FastSigmoid(scale=3.0)(v)
    assert spikes.tolist() == [0, 1, 1]
    assert torch.autograd.grad(spikes.sum(), v)[0].tolist() == [0.0625, 1, 0.0625]


@every_surrogate
def test_a_tensor_subclass_in_a_checkpoint(name: str) -> None:
    surrogate = definitions.get(name)
    v = torch.tensor(V, dtype=torch.float64).as_subclass(Tagged).requires_grad_()
    for first in ("plain", "dispatch mode"):
        with SURROUNDINGS[first]():
            spikes: Any = checkpoint(lambda x: spike(x, surrogate), v, use_reentrant=False)
        found = _pull(spikes, v)[0].as_subclass(torch.Tensor)
        torch.testing.assert_close(found, _expected(surrogate), rtol=1e-13, atol=0)


@every_surrogate
@pytest.mark.parametrize("mapped", [False, True])
def test_what_a_transform_keeps_is_what_a_plain_call_keeps(name: str, mapped: bool) -> None:
    kept: list[tuple[torch.dtype, int]] = []

    def pack(x: torch.Tensor) -> torch.Tensor:
        kept.append((x.dtype, x.numel()))
        return x

    v = torch.tensor(V, requires_grad=True)
    call = functools.partial(spike, surrogate=definitions.get(name))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        (torch.func.vmap(call) if mapped else call)(v)
    dtypes = {Kept.NOTHING: [], Kept.SPIKES: [torch.float32], Kept.MASK: [torch.bool], Kept.POTENTIAL: [torch.float32]}
    assert kept == [(dtype, len(V)) for dtype in dtypes[KNOWN[name].kept]]


# Hooks


def _hooks() -> dict[str, Surroundings]:
    def refuse_twice() -> contextlib.AbstractContextManager[Any]:
        return torch.autograd.graph.saved_tensors_hooks(lambda x: (x,), lambda packed: packed[0])

    @contextlib.contextmanager
    def two() -> Generator[None]:
        with torch.autograd.graph.save_on_cpu(), refuse_twice():
            yield

    return {"save_on_cpu": torch.autograd.graph.save_on_cpu, "one's own": refuse_twice, "two": two}


@pytest.mark.parametrize("hooks", _hooks())
@pytest.mark.parametrize("around", ["forward", "backward", "both"])
def test_saved_tensor_hooks_and_a_learnable_parameter(hooks: str, around: str) -> None:
    with_hooks = _hooks()[hooks]
    forward, backward = (with_hooks if around in (each, "both") else contextlib.nullcontext for each in ("forward", "backward"))
    v, scale = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (V, 3.0))
    with forward():
        spikes = spike(v, fast_sigmoid, scale=scale)
    with backward():
        by_v, by_scale = _pull(spikes, v, scale)
    torch.testing.assert_close(by_v, _expected(FastSigmoid(scale=3.0)), rtol=1e-13, atol=0)
    torch.testing.assert_close(by_scale, _by_scale(3.0), rtol=1e-13, atol=0)
    # Under a transform, and in forward mode.
    with with_hooks():
        (mapped,) = _pull(torch.func.vmap(lambda x: spike(x, fast_sigmoid, scale=scale))(v), scale)
        rates = torch.func.jvp(lambda p: spike(v.detach(), fast_sigmoid, scale=p), (scale.detach(),), (torch.ones_like(scale),))
    torch.testing.assert_close(mapped, _by_scale(3.0), rtol=1e-13, atol=0)
    torch.testing.assert_close(rates[1] @ torch.tensor(COTANGENT, dtype=torch.float64), _by_scale(3.0), rtol=1e-13, atol=0)


def test_hooks_are_the_callers_again_after_a_backward_pass() -> None:
    packed: list[int] = []

    def pack(x: torch.Tensor) -> torch.Tensor:
        packed.append(x.numel())
        return x

    v, scale = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (V, 3.0))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        spikes = spike(v, fast_sigmoid, scale=scale)
        assert packed == [len(V), 1]
        _pull(spikes, v, scale)
        assert packed == [len(V), 1]
        torch.exp(v)
        assert packed == [len(V), 1, len(V)]


def test_hooks_that_lose_digits_do_not_reach_the_derivative_of_a_parameter() -> None:
    v, scale = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (V, 3.0))
    spikes = spike(v, fast_sigmoid, scale=scale)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.to(torch.bfloat16), lambda x: x.double()):
        (by_scale,) = _pull(spikes, scale)
    torch.testing.assert_close(by_scale, _by_scale(3.0), rtol=1e-13, atol=0)


@pytest.mark.parametrize("learnable", [(), ("scale",)])
def test_a_compiled_layer_in_a_checkpoint(learnable: tuple[str, ...]) -> None:
    torch.compiler.reset()
    layer = Spike(FastSigmoid(scale=3.0), threshold=0.0, learnable=learnable).double()
    v = torch.tensor(V, dtype=torch.float64, requires_grad=True)
    spikes: Any = checkpoint(torch.compile(layer, backend="aot_eager", fullgraph=True), v, use_reentrant=False)
    found = _pull(spikes, v, *layer.parameters())
    for one, expected in zip(found, [_expected(FastSigmoid(scale=3.0)), _by_scale(3.0)], strict=False):
        torch.testing.assert_close(one.squeeze(), expected, rtol=1e-13, atol=0)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize(("create_graph", "compiled"), [(False, False), (False, True), (True, False)])
def test_gradients_inside_a_checkpoint(create_graph: bool, compiled: bool) -> None:
    """Of cotangent · dG/dscale, taken inside, the derivatives with respect to scale and v by hand."""
    torch.compiler.reset()
    v, scale = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (V, 3.0))
    fire: Any = lambda x, p: spike(x, fast_sigmoid, scale=p)  # noqa: E731
    fire = torch.compile(fire, backend="aot_eager", fullgraph=True) if compiled else fire

    def inside(x: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        x, p = x * 1.0, p * 1.0
        (by_scale,) = torch.autograd.grad(fire(x, p), p, torch.tensor(COTANGENT, dtype=x.dtype), create_graph=create_graph)
        return by_scale + (p if not create_graph else 0)

    result: Any = checkpoint(inside, v, scale, use_reentrant=False)
    torch.testing.assert_close(result.detach(), _by_scale(3.0) + (0 if create_graph else 3), rtol=1e-13, atol=0)
    c, x = torch.tensor(COTANGENT, dtype=torch.float64), v.detach()
    base = 1 + 3 * x.abs()
    by_v, by_scale = torch.autograd.grad(result, (v, scale), allow_unused=True)
    if not create_graph:
        assert by_v is None
        assert by_scale == 1
        return
    torch.testing.assert_close(by_v, -2 * c * x.abs() * base**-3, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(by_scale, (2 * c * x**3 * base**-3).sum(), rtol=1e-12, atol=0)


def test_second_derivatives_of_a_parameter_under_hooks(subtests: pytest.Subtests) -> None:
    """d²G/dscale² = 2·v³/(1 + scale·|v|)³ and d²G/dv·dscale = −2·|v|/(1 + scale·|v|)³, by hand."""
    x = torch.tensor(V, dtype=torch.float64)
    base = 1 + 3 * x.abs()
    for name, hooks in {"none": contextlib.nullcontext, **_hooks()}.items():
        with subtests.test(name), hooks():
            v, scale = x.clone().requires_grad_(), torch.full_like(x, 3.0).requires_grad_()
            (first,) = torch.autograd.grad(spike(v, fast_sigmoid, scale=scale).sum(), scale, create_graph=True)
            by_v, by_scale = torch.autograd.grad(first.sum(), (v, scale))
            torch.testing.assert_close(by_v, -2 * x.abs() * base**-3, rtol=1e-13, atol=0)
            torch.testing.assert_close(by_scale, 2 * x**3 * base**-3, rtol=1e-13, atol=0)


# Compiled autograd


@each_kept(Kept.POTENTIAL, Kept.MASK, Kept.SPIKES, Kept.NOTHING)
def test_the_one_call_of_compiled_autograd_gives_what_is_asked_for(name: str) -> None:
    """From what an eager forward pass has kept: of the potential and of each parameter that is a tensor, in their order."""
    from arcana.torch._dynamo import pulled

    surrogate = definitions.get(name)
    v, c = torch.linspace(-1, 1, 7), torch.linspace(0.5, 2, 7)
    call = call_of(v, surrogate, {})[0]
    arguments = type(surrogate).key, surrogate.formula.settings, tuple(surrogate.numbers.items())
    h = surrogate.derivative(v)
    (found,) = pulled(c, *arguments, (), (True,), *call.forward(v)[1])
    torch.testing.assert_close(found, c * h)
    assert pulled(c, *arguments, (), (False,), *call.forward(v)[1]) == []
    # dG/dgain is G − 1/2.
    by_gain = (c * (surrogate.primitive(v) - 0.5)).sum()[None]
    for asked, expected in (((True, True), [c * h, by_gain]), ((False, True), [by_gain]), ((True, False), [c * h])):
        found = pulled(c, *arguments, ("gain",), asked, v, torch.ones(1))
        torch.testing.assert_close(found, expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("fullgraph", [True, False])
def test_compiled_autograd_of_an_eager_forward_pass(fullgraph: bool) -> None:
    """One surrogate of each kind of what is kept in one backward pass, one beside its learnable gain, with derivative G − 1/2."""
    torch.compiler.reset()
    c = torch.tensor(COTANGENT, dtype=torch.float64)
    gain, scale = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (2.0, 3.0))
    surrogates = [definitions.get(name) for name in one_a_kept(*Kept)] if fullgraph else []
    rectangular = definitions.rectangular
    calls: list[Callable[[torch.Tensor], torch.Tensor]] = [functools.partial(spike, surrogate=each) for each in surrogates]
    calls += [lambda x: spike(x, rectangular, gain=gain), lambda x: spike(x, fast_sigmoid, scale=scale)]
    inputs = [torch.tensor(V, dtype=torch.float64, requires_grad=True) for _ in calls]
    loss: Any = sum((call(x * 1.0) * c).sum() for call, x in zip(calls, inputs, strict=True))
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager", fullgraph=fullgraph)):
        loss.backward()
    expected = [*map(_expected, surrogates), 2 * _expected(rectangular), _expected(FastSigmoid(scale=3.0))]
    for x, gradient in zip(inputs, expected, strict=True):
        torch.testing.assert_close(x.grad, gradient, rtol=1e-13, atol=0)
    rise = torch.from_numpy(rectangular.primitive(inputs[0].detach().numpy())) - 0.5
    torch.testing.assert_close(gain.grad, (c * rise).sum(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(scale.grad, _by_scale(3.0), rtol=1e-13, atol=0)


# Devices and dtypes


@every_surrogate
@pytest.mark.parametrize("order", ["inside first", "outside first"])
def test_meta_as_default_device(name: str, order: str) -> None:
    """Every tensor that a call makes names its device, the first time and later."""
    v = torch.tensor(V)
    surrogate = definitions.get(name, gain=2.0 if order == "inside first" else 3.0)
    expected = _expected(surrogate, torch.float32)
    x = v.clone().requires_grad_()
    if order == "outside first":
        spike(x, surrogate)
    with torch.device("meta"):
        spikes, later = spike(x, surrogate), spike(v, surrogate, fires_at_threshold=False)
        (found,) = _pull(spikes, x)
        mapped = torch.func.vmap(surrogate)(v)
        (composed,) = _pull(torch.func.vmap(surrogate)(x), x)
        h = surrogate.derivative(v)
        gain = torch.ones((), device="cpu", requires_grad=True)
        (by_gain,) = _pull(spike(v, surrogate, gain=gain), gain)
    assert torch.equal(spikes, (v >= 0).float())
    assert torch.equal(mapped, (v >= 0).float())
    assert torch.equal(later, (v > 0).float())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert torch.equal(found, composed)
    torch.testing.assert_close(h * torch.tensor(COTANGENT), expected, rtol=1e-5, atol=0)
    rise = (definitions.get(name).primitive(v.double()) - 0.5) @ torch.tensor(COTANGENT, dtype=torch.float64)
    torch.testing.assert_close(by_gain.double(), rise, rtol=1e-5, atol=1e-6)
    (after,) = _pull(spike(x, surrogate), x)
    assert torch.equal(after, found)


@every_surrogate
def test_a_potential_on_the_meta_device(name: str) -> None:
    v = torch.empty(3, 5, dtype=torch.bfloat16, device="meta", requires_grad=True)
    gain = torch.empty(5, device="meta", requires_grad=True)
    for keywords in ({}, {"gain": 2.0}, {"gain": gain}):
        spikes = spike(v, definitions.get(name), **keywords)
        inputs = [v, *(x for x in keywords.values() if isinstance(x, torch.Tensor))]
        for x, found in zip(inputs, torch.autograd.grad(spikes.sum(), inputs), strict=True):
            assert (found.device.type, found.shape, found.dtype) == ("meta", x.shape, x.dtype)


@every_surrogate
def test_fake_tensors(name: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    surrogate = definitions.get(name, gain=1.25)
    with FakeTensorMode():
        v = torch.empty(7, requires_grad=True)
        (found,) = torch.autograd.grad(spike(v, surrogate).sum(), v)
        assert (type(found).__name__, tuple(found.shape), found.device.type) == ("FakeTensor", (7,), "cpu")
    # Nothing of the fake call stays for a real one.
    x = torch.tensor(V, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(_pull(spike(x, surrogate), x)[0], _expected(surrogate), rtol=1e-13, atol=0)


@every_surrogate
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_default_dtype_of_the_first_call_does_not_stay(name: str, dtype: torch.dtype) -> None:
    surrogate = definitions.get(name, gain=1.75 if dtype is torch.float16 else 1.875)
    x = torch.tensor(V, dtype=torch.float32, requires_grad=True)
    with default_dtype(dtype):
        (first,) = _pull(spike(x, surrogate), x)
    (second,) = _pull(spike(x, surrogate), x)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, _expected(surrogate, torch.float32), rtol=1e-5, atol=0)


def test_a_function_mode_around_the_first_call_does_not_stay() -> None:
    class Wrong(TorchFunctionMode):
        """Makes every new number 7."""

        def __torch_function__(self, func, types, args=(), kwargs=None):
            result = func(*args, **kwargs or {})
            return result.fill_(7) if getattr(func, "__name__", "") in ("scalar_tensor", "zeros") else result

    surrogate = FastSigmoid(scale=4.75)
    x = torch.tensor(V, dtype=torch.float64, requires_grad=True)
    with Wrong():
        spike(x, surrogate)
    torch.testing.assert_close(_pull(spike(x, surrogate), x)[0], _expected(surrogate), rtol=1e-13, atol=0)


def test_inference_mode_around_the_backward_pass_of_a_parameter() -> None:
    v, scale = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (V, 3.0))
    spikes = arcana.torch.fast_sigmoid(v, scale=scale)
    with torch.inference_mode():
        (by_scale,) = _pull(spikes, scale)
    torch.testing.assert_close(by_scale.clone(), _by_scale(3.0), rtol=1e-13, atol=0)


def test_a_formula_that_no_symbol_stands_for_keeps_v_on_every_path() -> None:
    """It shows the trace a window and an array 1/(1 + |v|): what is kept follows the array."""

    class Sly(Surrogate):
        @staticmethod
        def derivative(v, xp):
            if hasattr(v, "tape"):
                return xp.where(v > 0.5, xp.zeros_like(v) + 1.0, xp.zeros_like(v))
            return xp.reciprocal(xp.abs(v) + 1)

    v = torch.tensor(V, dtype=torch.float64, requires_grad=True)
    expected = torch.tensor(COTANGENT, dtype=torch.float64) / (v.detach().abs() + 1)
    for first, again in (("plain", "plain"), ("plain", "dispatch mode"), ("dispatch mode", "plain")):
        spikes = _checkpointed(Sly(), v, contextlib.nullcontext, iter([SURROUNDINGS[first], SURROUNDINGS[again]]))
        torch.testing.assert_close(_pull(spikes, v)[0], expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(_pull(torch.func.vmap(Sly())(v), v)[0], expected, rtol=1e-13, atol=0)
