"""Second derivatives where h has come to its limit 0 on the way through an overflow: 0, and never 0 · inf."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from every import every_surrogate
from known_values import KNOWN
from truth import exact

import arcana.torch.conformance as side
from arcana import surrogate as definitions
from arcana.surrogate import Surrogate, parameter
from arcana.testing._transforms import transform
from arcana.torch import _derivative, evaluate, spike


class Lorentz(Surrogate):
    """h = 1/(1 + (v/width)²)², whose square overflows from (v/width)² = 10³⁸ in float32."""

    width: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        return xp.square(xp.reciprocal(xp.square(xp.divide(v, width)) + 1))


def _ends(surrogate: Surrogate) -> list[Surrogate]:
    """The surrogate with each of its parameters at both ends of its domain, and near them."""
    definition, found = type(surrogate), [surrogate, type(surrogate)(gain=0.0), type(surrogate)(gain=-1e30)]
    for name in surrogate.numbers:
        for value in (1e-15, 1e-8, 1e-3, 1e3, 1e8, 1e15):
            if definition._numbers[name].holds(value):
                found.append(definition(**{name: value}))
    return found


def _second(surrogate: Surrogate, v: torch.Tensor) -> torch.Tensor:
    v = v.clone().requires_grad_()
    (first,) = torch.autograd.grad(spike(v, surrogate).sum(), v, create_graph=True)
    if not first.requires_grad:
        return torch.zeros_like(v)
    return torch.autograd.grad(first.sum(), v, allow_unused=True, materialize_grads=True)[0]


@pytest.mark.parametrize("name", [name for name, known in KNOWN.items() if not math.isnan(known.area)])
def test_the_slope_of_h_far_out(name: str, subtests: pytest.Subtests) -> None:
    """In float32 what float64 finds, which has room for the squares; in float64, far beyond, 0.

    An h whose integral has no value takes all its values everywhere, and comes to no limit.
    """
    # No kink lies at such a number.
    exponents = np.concatenate([np.linspace(3.01, 38.5, 143), -np.linspace(3.01, 38.5, 143)])
    v = torch.from_numpy((np.sign(exponents) * 10.0 ** np.abs(exponents)).astype("float32"))
    for surrogate in _ends(definitions.get(name)):
        with subtests.test(repr(surrogate)):
            found, exact = _second(surrogate, v), _second(surrogate, v.double())
            small = exact.abs() < 1e-36
            assert small.any()
            assert (found[small].double() - exact[small]).abs().max() <= 2e-36
            assert found.isfinite().all()
            beyond = torch.tensor([1e300, 1.7e308, -1e300, -1.7e308], dtype=torch.float64)
            if float(surrogate.derivative(beyond).abs().max()) == 0:
                assert torch.equal(_second(surrogate, beyond), torch.zeros(4, dtype=torch.float64))


FAR = ("atan", "gaussian", "inverse_square_root", "multi_gaussian")
"""A sample of those with a square, some in every form that it has."""


@pytest.mark.parametrize("way", side.SECOND)
def test_every_way_to_the_second_derivative_far_out(way: str) -> None:
    """Beside it h′ at 0.5 of the first two by hand."""
    surrogates = [*(definitions.get(name) for name in FAR), Lorentz()]
    points = np.array([3e38, -3e38, 3.4e38, np.inf, -np.inf, 1e20, 0.5], dtype="float32")
    v = np.repeat(points[:, None], len(surrogates), 1)
    found = transform(side, way, surrogates, v, np.full_like(v, 2.0))
    np.testing.assert_array_equal(found[:5], 0.0)
    # ATan: slope 2, h = 1/(1 + (π·v)²); Lorentz: h′ = −4·v/(1 + v²)³.
    square = (np.pi * 0.5) ** 2
    np.testing.assert_allclose(found[-1, 0], 2 * -2 * np.pi**2 * 0.5 / (1 + square) ** 2, rtol=2e-6)
    np.testing.assert_allclose(found[-1, -1], 2 * -4 * 0.5 / 1.25**3, rtol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_periodic_h_keeps_its_slope_where_it_is_zero(dtype: torch.dtype) -> None:
    """h = cos(2π·v/p) + cos(6π·v/p) up to a factor: at p/4 it is 0, and h′ there is 4π/p times that factor."""
    surrogate = definitions.SquarewaveFourier(period=4.0)
    v = torch.tensor([1.0, 3.0, -1.0, 4.0 * 2**20 + 1.0], dtype=torch.float64)
    v = v[: 4 if dtype is torch.float64 else 3].to(dtype)
    assert (surrogate.derivative(v) == 0).all()
    step = 1e-6
    around = torch.tensor([1.0 + step, 1.0 - step], dtype=torch.float64)
    high, low = surrogate.derivative(around).tolist()
    slope = (high - low) / (2 * step)
    expected = torch.tensor([slope, -slope, -slope, slope], dtype=torch.float64)[: len(v)]
    assert abs(slope) > 0.1
    torch.testing.assert_close(_second(surrogate, v).double(), expected, rtol=1e-2 if dtype is torch.bfloat16 else 1e-5, atol=0)


def test_mixed_derivatives_far_out() -> None:
    """d²G/dv·dslope is ∂h/∂slope, and goes to 0 with h."""
    v = torch.tensor([3e38, -3e38, float("inf"), 1e20, 0.5], requires_grad=True)
    slope = torch.full_like(v.detach(), 2.0).requires_grad_()
    (first,) = torch.autograd.grad(spike(v, definitions.atan, slope=slope).sum(), v, create_graph=True)
    (mixed,) = torch.autograd.grad(first.sum(), slope)
    assert torch.equal(mixed[:4], torch.zeros(4))
    # h = (s/2)/(1 + (π·s·v/2)²); at s = 2, v = 1/2: (1 − x²)/(2·(1 + x²)²) with x = π/2.
    square = (np.pi / 2) ** 2
    assert mixed[4].item() == pytest.approx((1 - square) / (2 * (1 + square) ** 2), rel=1e-5)


@pytest.mark.parametrize(("name", "key"), [("gaussian", "sigma"), ("multi_gaussian", "sigma"), ("atan", "slope")])
def test_a_primitive_that_has_come_to_its_limit_no_longer_moves_with_a_parameter(name: str, key: str) -> None:
    """To second order too, in each way."""
    surrogate, v = definitions.get(name), torch.tensor([math.inf, -math.inf])
    value = torch.tensor(getattr(surrogate, key))

    def first(p: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(lambda p: spike(v, surrogate, **{key: p}).sum())(p)

    assert (first(value), torch.func.grad(first)(value)) == (0.0, 0.0)
    p = value.requires_grad_()
    (once,) = torch.autograd.grad(spike(v, surrogate, **{key: p}).sum(), p, create_graph=True)
    assert (once, *torch.autograd.grad(once, p)) == (0.0, 0.0)


def test_an_h_that_comes_to_a_parameter_moves_with_it_at_infinity() -> None:
    """h = level + 1/(1 + |v|) has ∂h/∂level = 1 everywhere, and h′ = 0 at ±inf."""

    class Raised(Surrogate):
        level: float = parameter(0.5)

        @staticmethod
        def derivative(v, xp, *, level):
            return level + xp.reciprocal(xp.abs(v) + 1)

        @staticmethod
        def primitive(v, xp, *, level):
            return level * v + xp.sign(v) * xp.log1p(xp.abs(v)) + 0.5

    v = torch.tensor([math.inf, -math.inf, 1.0], requires_grad=True)
    level = torch.tensor(0.25, requires_grad=True)
    (first,) = torch.autograd.grad(spike(v, Raised(), level=level), v, torch.ones(3), create_graph=True)
    assert first.tolist() == [0.25, 0.25, 0.75]
    by_v, by_level = torch.autograd.grad(first.sum(), (v, level))
    assert (by_v.tolist(), by_level.item()) == ([0.0, -0.0, -0.25], 3.0)
    slope = torch.func.grad(lambda x, p: spike(x, Raised(), level=p).sum())
    tangents = torch.func.jvp(slope, (v.detach(), level.detach()), (torch.zeros(3), torch.ones(())))[1]
    assert tangents.tolist() == [1.0, 1.0, 1.0]
    tangents = torch.func.jvp(lambda x: slope(x, level.detach()), (v.detach(),), (torch.ones(3),))[1]
    assert tangents.tolist() == [0.0, 0.0, -0.25]


def test_only_what_moves_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tangent that is not there is no tangent of 0, whose product with a slope that is no number would be none."""
    asked: list[list[int]] = []
    slopes = _derivative._settled_slopes
    monkeypatch.setattr(_derivative, "_settled_slopes", lambda *given: asked.append(list(given[2])) or slopes(*given))
    v, scale = torch.tensor([0.5, -2.0]), torch.tensor(3.0)
    h = torch.func.grad(lambda x, p: spike(x, definitions.fast_sigmoid, scale=p).sum())
    # h = 1/(1 + 3·|v|)².
    whole = 1 + 3 * v.abs()
    (_, by_v), (_, by_scale) = (
        torch.func.jvp(lambda x: h(x, scale), (v,), (torch.ones(2),)),
        torch.func.jvp(lambda p: h(v, p), (scale,), (torch.ones(()),)),
    )
    torch.testing.assert_close(by_v, -6 * v.sign() / whole**3)
    torch.testing.assert_close(by_scale, -2 * v.abs() / whole**3)
    assert asked[0] == [0]
    assert len(asked[1]) == 1
    assert asked[1] != [0]


def test_third_derivatives_and_a_zero_that_h_touches() -> None:
    """h = v²/(1 + v⁴) touches 0 at 0: h′ = 0 and h″ = 2 there."""

    class Touching(Surrogate):
        @staticmethod
        def derivative(v, xp):
            square = xp.square(v)
            return xp.divide(square, xp.square(square) + 1)

    v = torch.tensor(0.0, requires_grad=True)
    (first,) = torch.autograd.grad(spike(v, Touching()), v, create_graph=True)
    (second,) = torch.autograd.grad(first, v, create_graph=True)
    assert second == 0.0
    (third,) = torch.autograd.grad(second, v)
    assert third == 2.0


def test_the_slope_of_h_where_it_crosses_zero_is_its_slope() -> None:
    class Parabola(Surrogate):
        @staticmethod
        def derivative(v, xp):
            return 1 - xp.square(v)

    v = torch.tensor([-1.0, 0.5, 1.0])
    assert _second(Parabola(), v).tolist() == [2.0, -1.0, -2.0]
    gradient = torch.func.grad(lambda v: torch.func.grad(lambda v: spike(v, Parabola()).sum())(v).sum())(v)
    assert gradient.tolist() == [2.0, -1.0, -2.0]


BY_MAGNITUDE = ("dspike", "exponential", "log_abs", "periodic_exponential", "q_pseudo_spike", "sigmoid")
"""Whose primitive is written by |v|, of which PyTorch has the derivative 0 at 0."""
NO_LIMIT = {
    ("atan", "slope"),
    ("escape_exponential", "width"),
    ("exponential", "slope"),
    ("gaussian", "sigma"),
    ("inverse_square_root", "width"),
    ("multi_gaussian", "sigma"),
    ("periodic_exponential", "width"),
    ("q_pseudo_spike", "q"),
    ("s2nn", "alpha"),
    ("sigmoid", "slope"),
    ("triangular", "width"),
}
"""Parameters by whose product with v the primitive is written, whose derivative PyTorch makes inf · 0 at ±inf."""


@every_surrogate
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_primitive_is_differentiated_as_it_is_written(name: str, dtype: str) -> None:
    """By PyTorch's own rules, for v and for each parameter, at any magnitude: what is not chosen makes no NaN of it."""
    surrogate = definitions.get(name)
    # No kink lies at such a number, but for 0.
    far = [300.3, 4e4 + 0.3, 1.7e10, 1.3e30, 3e36, *([1e300] if dtype == "float64" else []), np.inf]
    v = np.array([sign * x for x in (0.0, 1e-30, 1e-3, 0.07, 0.33, 0.62, 1.37, 2.2, 7.3, *far) for sign in (1, -1)], dtype)
    given = {key: torch.full((v.size,), value, dtype=getattr(torch, dtype)) for key, value in surrogate.numbers.items()}
    leaves = {each: x.requires_grad_() for each, x in {"v": torch.from_numpy(v.copy()), **given}.items()}
    primitive = evaluate(surrogate, "primitive", **leaves)
    gradients = torch.autograd.grad(primitive.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
    tolerance = {"rtol": 1e-9, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-6}
    for key, found in zip(leaves, gradients, strict=True):
        values, _ = exact("h" if key == "v" else "parameter", surrogate, v, np.ones_like(v), dtype, "" if key == "v" else key)
        if key == "v":
            # A large number is a whole one, where the nearest threshold has a kink.
            compared = ((v != 0) | (name not in BY_MAGNITUDE)) & ((v < 2**20) | (name != "periodic_exponential"))
        else:
            compared = np.isfinite(v)
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(found.numpy()[compared], values.astype(dtype)[compared], **tolerance, err_msg=key)
        assert not found.isnan().any() or (name, key) in NO_LIMIT
