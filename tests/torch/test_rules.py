"""Rules in PyTorch: derivatives against the papers' h at every threshold, every transform, and what a rule keeps and draws."""

from __future__ import annotations

import copy
import functools
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from every import every_surrogate
from known_values import KNOWN
from loaded import loaded_by
from rules import COUNTING, EACH_KIND, RULES, derivative, potentials, spikes
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

import arcana
from arcana.rules import Heaviside, Integer, Rule, Smooth, Stochastic, Ternary
from arcana.surrogate import FastSigmoid, Rectangular, Sigmoid, Surrogate, get
from arcana.torch import FastSigmoid as FastSigmoidFunction, Spike, _rules, fast_sigmoid, sigmoid, spike

POINTS = np.array([-3.31, -1.93, -0.713, 0.053, 0.417, 1.337, 2.221, 5.617])
COTANGENT = torch.linspace(-1.7, 2.3, POINTS.size, dtype=torch.float64)
UNIFORM = torch.linspace(0.05, 0.95, POINTS.size, dtype=torch.float64)


def points(**more: Any) -> torch.Tensor:
    return torch.tensor(POINTS, requires_grad=True, **more)


def by(rule: Rule) -> Callable[..., torch.Tensor]:
    """The sigmoid by a rule, whose random numbers are the same at each call."""
    return functools.partial(spike, surrogate=Sigmoid(), rule=rule, random=UNIFORM if rule.random else None)


def expected(rule: Rule, which: str = "h", surrogate: Surrogate = Sigmoid()) -> torch.Tensor:  # noqa: B008  (a value)
    return torch.tensor(derivative(rule, surrogate, POINTS, which))


def near(found: torch.Tensor, exactly: torch.Tensor) -> None:
    torch.testing.assert_close(found.detach(), exactly, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("at_threshold", [True, False])
@pytest.mark.parametrize("rule", [Heaviside(), *COUNTING], ids=repr)
def test_spikes_threshold_by_threshold(rule: Rule, at_threshold: bool) -> None:
    for dtype in (np.float64, np.float32):
        v = potentials(dtype)
        for grad in (False, True):
            found = fast_sigmoid(torch.tensor(v, requires_grad=grad), rule=rule, fires_at_threshold=at_threshold)
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(found.detach().numpy(), spikes(rule, v, at_threshold).astype(dtype))
            assert not np.signbit(found.detach().numpy()[found.detach().numpy() == 0]).any()


@every_surrogate
@pytest.mark.parametrize("rule", [Integer(3, step=0.3), Ternary(gap=1.5)], ids=repr)
def test_first_and_second_derivative(name: str, rule: Rule) -> None:
    v, surrogate = points(), get(name)
    (first,) = torch.autograd.grad(surrogate(v, rule=rule), v, COTANGENT)
    near(first, COTANGENT * expected(rule, "h", surrogate))
    (first,) = torch.autograd.grad(surrogate(v, rule=rule).square().sum(), v, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), v)
    h, slope = expected(rule, "h", surrogate), expected(rule, "slope", surrogate)
    near(second, 2 * (h * h + surrogate(v.detach(), rule=rule) * slope))


@every_surrogate
def test_gradients_of_parameters_are_those_of_a_spike_at_every_threshold(name: str) -> None:
    """Σ spike(v − k) has the same derivatives, and keeps as many potentials."""
    rule, surrogate = Integer(3), get(name)
    for key in KNOWN[name].by_parameter:
        found, composed = [], []
        for results, function in (
            (found, lambda v, p, key=key: surrogate(v, rule=rule, **{key: p})),
            (composed, lambda v, p, key=key: sum(surrogate(v - k, **{key: p}) for k in range(3))),
        ):
            v, p = points(), torch.tensor([[getattr(surrogate, key)], [getattr(surrogate, key)]], dtype=torch.float64)
            p.requires_grad_()
            out: Any = function(v.expand(2, -1), p)
            first = torch.autograd.grad((COTANGENT * out).square().sum(), (v, p), create_graph=True)
            results += [out, *first, *torch.autograd.grad([x.sum() for x in first], (v, p), allow_unused=True)]
        for one, other in zip(found, composed, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def backward(f: Callable[..., torch.Tensor], v: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(f(v), v, torch.ones_like(v))[0]


def by_forward_ad(f: Callable[..., torch.Tensor], v: torch.Tensor) -> torch.Tensor:
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(f(forward_ad.make_dual(v.detach(), torch.ones_like(v)))).tangent
        assert tangent is not None
        return tangent


def compiled(way: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def run(f: Callable[..., torch.Tensor], v: torch.Tensor) -> torch.Tensor:
        torch._dynamo.reset()
        return torch.compile(functools.partial(way, f), backend="aot_eager", fullgraph=True)(v.detach())

    return run


def backward_of_compiled(f: Callable[..., torch.Tensor], v: torch.Tensor) -> torch.Tensor:
    torch._dynamo.reset()
    return backward(torch.compile(f, backend="aot_eager", fullgraph=True), v)


def func_grad(f: Callable[..., torch.Tensor], v: torch.Tensor) -> torch.Tensor:
    return torch.func.grad(lambda x: f(x).sum())(v.detach())


def func_jvp(f: Callable[..., torch.Tensor], v: torch.Tensor) -> torch.Tensor:
    return torch.func.jvp(f, (v.detach(),), (torch.ones_like(v),))[1]


def grad_of_vmap(f: Callable[..., torch.Tensor], v: torch.Tensor) -> torch.Tensor:
    return func_grad(lambda v: torch.vmap(f, randomness="different")(v.expand(2, -1))[0], v)


FIRST: dict[str, Callable[..., torch.Tensor]] = {
    "backward": backward,
    "func.grad": func_grad,
    "func.jvp": func_jvp,
    "forward_ad": by_forward_ad,
    "grad of vmap": grad_of_vmap,
    "jacrev": lambda f, v: torch.func.jacrev(f)(v.detach()).diagonal(),
    "jacfwd": lambda f, v: torch.func.jacfwd(f, randomness="same")(v.detach()).diagonal(),
    "checkpoint": lambda f, v: torch.autograd.grad(checkpoint(f, v, use_reentrant=False).sum(), v)[0],
    "compile": backward_of_compiled,
    "compile(func.grad)": compiled(func_grad),
}

SECOND: dict[str, Callable[..., torch.Tensor]] = {
    "backward twice": lambda f, v: torch.autograd.grad(torch.autograd.grad(f(v).sum(), v, create_graph=True)[0].sum(), v)[0],
    "grad of grad": lambda f, v: torch.func.grad(lambda x: torch.func.grad(lambda x: f(x).sum())(x).sum())(v.detach()),
    "jvp of jvp": lambda f, v: func_jvp(lambda x: torch.func.jvp(f, (x,), (torch.ones_like(x),))[1], v),
    "hessian": lambda f, v: torch.func.hessian(lambda x: f(x).sum())(v.detach()).diagonal(),
}


@pytest.mark.parametrize("way", FIRST)
@pytest.mark.parametrize("rule", EACH_KIND, ids=repr)
def test_every_transform_gives_the_sum_of_h(rule: Rule, way: str) -> None:
    near(FIRST[way](by(rule), points()), expected(rule))


@pytest.mark.parametrize("way", SECOND)
@pytest.mark.parametrize("rule", EACH_KIND, ids=repr)
def test_every_transform_gives_the_sum_of_its_derivatives(rule: Rule, way: str) -> None:
    near(SECOND[way](by(rule), points()), expected(rule, "slope"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_types_are_computed_in_float32_and_rounded_once(dtype: torch.dtype) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
    v, wide = every.clone().requires_grad_(), every.float().requires_grad_()
    for rule in (Integer(9), Integer(3, step=0.3), Ternary()):
        found, exactly = fast_sigmoid(v, rule=rule), fast_sigmoid(wide, rule=rule)
        assert found.dtype is dtype
        assert torch.equal(found.float(), exactly.to(dtype).float())
        gradients = [torch.autograd.grad(x.sum(), y)[0] for x, y in ((found, v), (exactly, wide))]
        assert torch.equal(gradients[0].nan_to_num(), gradients[1].to(dtype).nan_to_num())


@pytest.mark.parametrize("shape", [(), (0,), (2, 3, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    v = torch.full(shape, 1.5, requires_grad=True)
    for rule in RULES:
        found = sigmoid(v, rule=rule, slope=torch.full(shape[-1:], 4.0, requires_grad=True))
        assert found.shape == shape
        found.sum().backward()


def test_a_long_array_has_the_values_of_short_ones() -> None:
    v = torch.randn(5, 20_001, generator=torch.Generator().manual_seed(0)).t()
    for rule in (*COUNTING, Smooth()):
        assert torch.equal(fast_sigmoid(v, rule=rule), torch.stack([fast_sigmoid(x, rule=rule) for x in v.unbind(1)], 1))


@pytest.mark.parametrize("rule", [Integer(3), Smooth()], ids=repr)
def test_a_derivative_is_prepared_only_where_somebody_may_ask(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the potential or of a parameter; and under a transform, which does not say what it is after."""
    asked: list[str] = []
    way = ""
    prepare = _rules.nothing
    monkeypatch.setattr(_rules, "nothing", lambda *given: asked.append(way) or prepare(*given))
    v, slope = torch.ones(3), torch.tensor(4.0)
    moving_v, moving_slope = v.clone().requires_grad_(), slope.clone().requires_grad_()
    for way, given, recorded in (
        ("no gradient", (v, slope), True),
        ("potential", (moving_v, slope), True),
        ("parameter", (v, moving_slope), True),
        ("not recorded", (moving_v, moving_slope), False),
    ):
        with torch.set_grad_enabled(recorded):
            found = sigmoid(given[0], rule=rule, slope=given[1])
        assert found.requires_grad == (way in ("potential", "parameter"))
    way = "vmap of potentials"
    torch.func.vmap(lambda v: sigmoid(v, rule=rule))(v)
    way = "vmap of parameters"
    torch.func.vmap(lambda slope: sigmoid(v[0], rule=rule, slope=slope))(slope.expand(3))
    assert asked == ["potential", "parameter", "vmap of potentials", "vmap of parameters"]


def test_pieces_are_looked_at_where_no_parameter_is_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of a compiler is loaded for a call that is not compiled."""
    sizes: list[int] = []
    in_chunks = _rules.in_chunks
    monkeypatch.setattr(_rules, "CHUNK", 100)
    monkeypatch.setattr(_rules, "in_chunks", lambda *given: sizes.append(given[-1]) or in_chunks(*given))
    monkeypatch.delitem(sys.modules, "arcana.torch._dynamo", raising=False)
    v = torch.linspace(-1, 4, 250)
    whole = sigmoid(v, rule=Integer(3), slope=torch.tensor(4.0))
    assert sizes == []
    assert torch.equal(sigmoid(v, rule=Integer(3)), whole)
    torch.func.vmap(lambda v: sigmoid(v, rule=Integer(3)))(v)
    assert sizes == [100]
    assert "arcana.torch._dynamo" not in sys.modules


def test_a_count_keeps_one_potential() -> None:
    """The spikes of each threshold keep one each."""
    v = torch.randn(1000, requires_grad=True)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.nbytes), lambda x: x):
        fast_sigmoid(v, rule=Integer(4))
        assert kept == [4000]
        sum(fast_sigmoid(v - k) for k in range(4))
    assert sum(kept) == 5 * 4000


def test_fires_with_the_probability_of_the_primitive() -> None:
    """Each mean of 20,000 draws within 5 standard deviations of G; correlations of neighbours and of two draws too."""
    for surrogate in (Sigmoid(), FastSigmoid(scale=3.0).unit_area(), Rectangular(width=0.5).unit_area()):
        v = torch.tensor([-1.0, -0.3, -0.1, 0.0, 0.1, 0.3, 1.0], dtype=torch.float64)
        generator = torch.Generator().manual_seed(3)
        draws = surrogate(v.expand(20_000, -1), rule=Stochastic(), random=generator)
        p = surrogate.primitive(v)
        assert set(draws.unique().tolist()) <= {0.0, 1.0}
        assert ((draws.mean(0) - p).abs() <= 5 * (p * (1 - p) / 2e4).sqrt()).all()
        centred = draws - p
        assert ((centred[1:] * centred[:-1]).mean(0).abs() <= 5 * p * (1 - p) / 2e4**0.5 + 1e-12).all()


def test_draws_come_from_what_is_given() -> None:
    v = torch.zeros(1000)
    seeded = [sigmoid(v, rule=Stochastic(), random=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(seeded[0], seeded[1])
    assert not torch.equal(seeded[0], seeded[2])
    uniform = torch.rand(1000)
    assert torch.equal(sigmoid(v + 0.1, rule=Stochastic(), random=uniform), (uniform < sigmoid(v + 0.1, rule=Smooth())).float())
    torch.manual_seed(0)
    first = sigmoid(v, rule=Stochastic())
    assert not torch.equal(first, sigmoid(v, rule=Stochastic()))
    torch.manual_seed(0)
    assert torch.equal(first, sigmoid(v, rule=Stochastic()))
    never, always = torch.full((1000,), -1.0), torch.full((1000,), 1.0)
    assert sigmoid(never, rule=Stochastic(), slope=1e4).sum() == 0
    assert sigmoid(always, rule=Stochastic(), slope=1e4).sum() == 1000


@every_surrogate
def test_smooth_is_the_primitive_and_its_derivative(name: str) -> None:
    v, surrogate = points(), get(name)
    found = surrogate(v, rule=Smooth())
    assert torch.equal(found, surrogate.primitive(v))
    near(torch.autograd.grad(found, v, COTANGENT)[0], COTANGENT * expected(Smooth(), "h", surrogate))


def test_finite_differences_agree_with_smooth() -> None:
    def network(v: torch.Tensor, weight: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        hidden = sigmoid(v @ weight, rule=Smooth(), slope=slope)
        return sigmoid(hidden @ weight - 0.5, rule=Smooth(), slope=slope)

    generator = torch.Generator().manual_seed(0)
    arguments = [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((2, 3), (3, 3))]
    arguments = [x.requires_grad_() for x in (*arguments, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))]
    assert torch.autograd.gradcheck(network, arguments, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(network, arguments)


def test_a_trained_threshold_gets_the_gradient_of_the_counts() -> None:
    """Of counts of potential/θ: −potential/θ² · Σ h."""
    potential, rule = torch.tensor(POINTS), Integer(4)
    theta = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    spike(potential / theta - 1, Sigmoid(), rule=rule).sum().backward()
    exactly = (-POINTS / 0.49 * derivative(rule, Sigmoid(), POINTS / 0.7 - 1)).sum()
    assert theta.grad is not None
    assert theta.grad.item() == pytest.approx(exactly, rel=1e-9)


def test_every_way_of_calling_takes_a_rule() -> None:
    v, rule = torch.tensor([-0.5, 0.5, 1.5]), Integer(4)
    partial = pickle.loads(pickle.dumps(functools.partial(FastSigmoid(), rule=rule)))
    for call in (
        fast_sigmoid(v, rule=rule),
        FastSigmoid()(v, rule=rule),
        FastSigmoidFunction.apply(v, rule=rule),
        spike(v, fast_sigmoid, rule=rule),
        partial(v),
        torch.fx.symbolic_trace(lambda v: fast_sigmoid(v, rule=rule))(v),
    ):
        assert call.tolist() == [0.0, 1.0, 2.0]


def test_a_layer_takes_a_rule() -> None:
    potential = torch.tensor([-1.0, 0.4, 1.6, 9.0], requires_grad=True)
    layer = Spike(Sigmoid(), threshold=0.75, learnable="threshold", rule=Integer(4, step=0.75))
    assert layer(potential).tolist() == [0.0, 0.0, 2.0, 4.0]
    layer(potential).sum().backward()
    assert layer.threshold.grad is not None
    assert potential.grad is not None
    assert layer.threshold.grad.item() == pytest.approx(-potential.grad.sum().item(), rel=1e-6)
    assert repr(layer).endswith("threshold=0.75, learnable=(), rule=Integer(most=4, repeat=True, step=0.75))")
    for same in (copy.deepcopy(layer), torch.fx.symbolic_trace(torch.nn.Sequential(layer))):
        assert torch.equal(same(potential), layer(potential))
    noisy = Spike(Sigmoid(), rule=Stochastic())
    draws = [noisy(torch.ones(100), random=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    with pytest.raises(TypeError, match=r"write Integer\(…\)"):
        Spike(Sigmoid(), rule=Integer)  # pyright: ignore[reportArgumentType]


def test_rules_are_loaded_when_somebody_asks() -> None:
    assert "arcana.rules" not in loaded_by("import arcana.torch")
    assert arcana.rules.Integer is Integer


def test_errors_say_what_to_write() -> None:
    v = torch.zeros(3)
    with pytest.raises(TypeError, match=r"rule must be a rule of arcana\.rules, write Integer\(…\), got <class"):
        sigmoid(v, rule=Integer)
    with pytest.raises(TypeError, match=r"Integer\(4\), say, got 'integer'"):
        sigmoid(v, rule="integer")
    with pytest.raises(TypeError, match=r"write rule=Stochastic\(\) too"):
        sigmoid(v, random=torch.Generator())
    with pytest.raises(TypeError, match=r"Smooth\(\) draws no random numbers"):
        sigmoid(v, rule=Smooth(), random=torch.Generator())
    with pytest.raises(
        ValueError, match=r"must be a generator, or a floating-point tensor of v's shape \(3,\), got torch.float32"
    ):
        sigmoid(v, rule=Stochastic(), random=torch.rand(2))
    with pytest.raises(ValueError, match=r"goes from 0\.4 to 0\.6; write unit_area"):
        fast_sigmoid(v, rule=Stochastic())
    with pytest.raises(ValueError, match=r"no distribution function: it goes from -0\.125 to 1\.125"):
        sigmoid(v, rule=Stochastic(), gain=torch.tensor(1.0))
    with pytest.raises(ValueError, match="scale must be > 0, got -1"):
        fast_sigmoid(v, rule=Integer(4), scale=-1.0)
