"""Second order by the chain rule with H′ = h and H″ = h′ in both frameworks: values by hand, and each framework beside the other.

Every surrogate, circuit and way is a row of the conformance suite, which the tests of each framework run; here are numbers that a
reader can follow, and what no row has: different surrogates in one loss, neurons that share a loss, meta-gradients.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from every import every_surrogate
from known_values import KNOWN
from mpmath import mpf
from truth import operands

import arcana.torch
import arcana.torch.conformance as torch_side
from arcana.jax import forward_mode
from arcana.surrogate import ATan, FastSigmoid, Gaussian, Sigmoid, Surrogate, get
from arcana.testing._transforms import pointwise_words, product_words, spelled, transform

Loss = Callable[[Callable[..., Any], Any], Any]
"""A number of v, by the spike function that it is given: one for each framework."""


def _torch_twice(loss: Loss, surrogate: Surrogate, v: float) -> float:
    x = torch.tensor(v, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(loss(surrogate, x), x, create_graph=True)
    return float(torch.autograd.grad(first, x)[0])


def _torch_func(loss: Loss, surrogate: Surrogate, v: float) -> float:
    x = torch.tensor(v, dtype=torch.float64)
    return float(torch.func.grad(torch.func.grad(lambda x: loss(surrogate, x)))(x))


def _by(transform: Callable[[Any], Any], forward: bool) -> Callable[[Loss, Surrogate, float], float]:
    def second(loss: Loss, surrogate: Surrogate, v: float) -> float:
        spike = forward_mode(surrogate) if forward else surrogate
        return float(transform(lambda x: loss(spike, x))(jnp.asarray(v, jnp.float64)))

    return second


WAYS: dict[str, Callable[[Loss, Surrogate, float], float]] = {
    "torch, twice backward": _torch_twice,
    "torch, func.grad of func.grad": _torch_func,
    "jax, grad of grad": _by(lambda f: jax.grad(jax.grad(f)), False),
    "jax, jit of grad of grad": _by(lambda f: jax.jit(jax.grad(jax.grad(f))), False),
    "jax, hessian": _by(jax.hessian, False),
    "jax, forward_mode": _by(lambda f: jax.grad(jax.grad(f)), True),
    "jax, forward_mode, hessian": _by(jax.hessian, True),
}


@pytest.mark.parametrize("way", WAYS)
def test_numbers_by_hand(way: str) -> None:
    """Of s = 1/(1 + e^(−4v)): h = 4·s(1−s), h′ = 16·s(1−s)(1−2s)."""
    second, surrogate = WAYS[way], Sigmoid(slope=4.0)

    def h(v: float) -> tuple[float, float]:
        s = 1 / (1 + np.exp(-4 * v))
        return 4 * s * (1 - s), 16 * s * (1 - s) * (1 - 2 * s)

    first, slope = h(0.3)
    found = second(lambda spike, v: spike(v) ** 2, surrogate, 0.3)
    assert found == pytest.approx(2 * first**2 + 2 * slope, rel=1e-12)
    assert found == pytest.approx(-2.04453441, rel=1e-8)
    # Silent at −0.3: the spikes are 0, and yet so is not the curvature, 2h².
    assert second(lambda spike, v: spike(v) ** 2, surrogate, -0.3) == pytest.approx(2 * first**2, rel=1e-12)
    # u = 0.5·z + 0.5·v: h′(u)·(0.5·h + 0.5)² + h(u)·0.5·h′.
    in_turn = second(lambda spike, v: spike(0.5 * spike(v) + 0.5 * v), surrogate, 0.3)
    hu, slope_u = h(0.65)
    assert in_turn == pytest.approx(slope_u * (0.5 * first + 0.5) ** 2 + hu * 0.5 * slope, rel=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_the_second_derivative_in_a_parameter(way: str) -> None:
    """Of G = s(a·v): ∂G/∂a = v·s(1−s), ∂²G/∂a² = v²·s(1−s)(1−2s); the loss is (z − 0.3)²."""

    def loss(spike: Callable[..., Any], a: Any) -> Any:
        return (spike(a * 0 + 0.7, slope=a) - 0.3) ** 2

    s = 1 / (1 + np.exp(-1.5 * 0.7))
    first, second = 0.7 * s * (1 - s), 0.49 * s * (1 - s) * (1 - 2 * s)
    expected = 2 * first**2 + 2 * 0.7 * second
    assert WAYS[way](loss, Sigmoid(slope=4.0), 1.5) == pytest.approx(expected, rel=1e-12)


W = np.random.default_rng(0).normal(size=(3, 4))
V = np.array([-0.62, 0.17, 0.43, 1.21])


def derivatives(surrogate: Surrogate, v: Any) -> tuple[Any, Any, Any]:
    """Spikes, h and h′ at each v, from the paper."""
    known, numbers = KNOWN[surrogate.name], surrogate.numbers
    rows = [(float(x >= 0), known.h(x, **numbers), known.slope(x, **numbers)) for x in map(float, v)]
    return tuple(np.array(rows, np.float64).T)  # type: ignore[return-value]


@pytest.mark.parametrize("surrogate", [ATan(slope=2.0), FastSigmoid(scale=3.0), Gaussian(sigma=0.7)], ids=repr)
@pytest.mark.parametrize("forward", [False, True])
def test_neurons_that_share_a_loss_have_a_dense_hessian(surrogate: Surrogate, forward: bool) -> None:
    """Of sum((W z)²): 2·(WᵀW)ᵢⱼ·hᵢ·hⱼ, and 2·(WᵀW z)ᵢ·hᵢ′ on the diagonal."""
    z, h, slope = derivatives(surrogate, V)
    expected = 2 * (W.T @ W) * np.outer(h, h) + np.diag(2 * (W.T @ W @ z) * slope)
    spike = forward_mode(surrogate) if forward else surrogate
    theirs = jax.hessian(lambda v: jnp.sum((W @ spike(v)) ** 2))(jnp.asarray(V))
    np.testing.assert_allclose(theirs, expected, rtol=1e-11, atol=1e-12)
    if not forward:
        ours = torch.autograd.functional.hessian(lambda v: ((torch.from_numpy(W) @ surrogate(v)) ** 2).sum(), torch.from_numpy(V))
        np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-12)


def test_two_surrogates_in_one_product() -> None:
    one, other = Sigmoid(slope=4.0), ATan(slope=2.0)
    (a, ha, da), (b, hb, db) = derivatives(one, V), derivatives(other, 1.5 * V)
    expected = da * b + 2 * ha * 1.5 * hb + a * 2.25 * db
    theirs = jax.vmap(jax.grad(jax.grad(lambda v: one(v) * other(1.5 * v))))(jnp.asarray(V))
    np.testing.assert_allclose(theirs, expected, rtol=1e-12)
    ours = torch.func.vmap(torch.func.grad(torch.func.grad(lambda v: one(v) * other(1.5 * v))))(torch.from_numpy(V))
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize("way", ["torch", "jax", "jax, jit", "forward_mode"])
def test_a_meta_gradient(way: str) -> None:
    """Of L(w − α·L′(w)) the gradient is L′(w′)·(1 − α·L″(w)), with L = sum((z − t)²), z the spikes of w·x."""
    surrogate, rate = Sigmoid(slope=4.0), 0.1
    x, target, w = np.array([0.4, -0.7, 1.3]), np.array([0.2, 0.6, 0.5]), 0.8

    def by_hand(w: float) -> tuple[float, float]:
        z, h, slope = derivatives(surrogate, w * x)
        return float(np.sum(2 * (z - target) * h * x)), float(np.sum(2 * (h * x) ** 2 + 2 * (z - target) * slope * x**2))

    first, second = by_hand(w)
    expected = by_hand(w - rate * first)[0] * (1 - rate * second)
    if way == "torch":
        weight = torch.tensor(w, dtype=torch.float64, requires_grad=True)

        def loss(w: torch.Tensor) -> torch.Tensor:
            return ((arcana.torch.spike(w * torch.from_numpy(x), surrogate) - torch.from_numpy(target)) ** 2).sum()

        (inner,) = torch.autograd.grad(loss(weight), weight, create_graph=True)
        (found,) = torch.autograd.grad(loss(weight - rate * inner), weight)
    else:
        spike = forward_mode(surrogate) if way == "forward_mode" else surrogate

        def jax_loss(w: jax.Array) -> jax.Array:
            return jnp.sum((spike(w * jnp.asarray(x)) - target) ** 2)

        outer = jax.grad(lambda w: jax_loss(w - rate * jax.grad(jax_loss)(w)))
        found = (jax.jit(outer) if way == "jax, jit" else outer)(jnp.asarray(w))
    assert float(found) == pytest.approx(expected, rel=1e-12)


INPUTS = (0.7, 0.9, 0.4, 0.8)


@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("transform", ["grad of grad", "jit", "hessian", "jvp of grad"])
def test_a_scan_is_its_loop_is_torch(transform: str, forward: bool) -> None:
    """A recurrent neuron with its reset: the potential carries spikes, which the second derivative must see."""
    surrogate = Sigmoid(slope=4.0)
    spike = forward_mode(surrogate) if forward else surrogate

    def step(spike: Any, v: Any, i: Any, w: Any) -> Any:
        v = 0.9 * v + i * w
        z = spike(v - 1.0)
        return v - z, z

    def loop(spike: Any, w: Any) -> Any:
        v, total = 0.0 * w, 0.0 * w
        for t, i in enumerate(INPUTS):
            v, z = step(spike, v, i, w)
            total = total + (t + 1) * z
        return total

    def scan(w: jax.Array) -> jax.Array:
        spikes = jax.lax.scan(lambda v, i: step(spike, v, i, w), 0.0 * w, jnp.array(INPUTS))[1]
        return jnp.sum(spikes * jnp.arange(1.0, 5.0))

    second = {
        "grad of grad": lambda f: jax.grad(jax.grad(f)),
        "jit": lambda f: jax.jit(jax.grad(jax.grad(f))),
        "hessian": jax.hessian,
        "jvp of grad": lambda f: lambda w: jax.jvp(jax.grad(f), (w,), (jnp.ones_like(w),))[1],
    }[transform]
    w = jnp.asarray(1.3)
    expected = _torch_twice(loop, surrogate, 1.3)
    # By the chain rule, in torch and by differences of the gradient alike.
    assert expected == pytest.approx(-11.9776, abs=5e-5)
    assert float(second(lambda w: loop(spike, w))(w)) == pytest.approx(expected, rel=1e-12)
    assert float(second(scan)(w)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("forward", [False, True])
def test_two_layers_with_a_slope_for_each_channel(forward: bool) -> None:
    """A Hessian-vector product of weights and slopes together; torch's is the reference, which the rows above hold."""
    surrogate, generator = ATan(slope=2.0), np.random.default_rng(0)
    x = generator.normal(size=(4, 5))
    values = [generator.normal(size=(5, 8)), 0.5 * generator.normal(size=(8, 3)), generator.uniform(1, 3, 8)]
    towards = [generator.normal(size=each.shape) for each in values]

    def loss(spike: Any, x: Any, w1: Any, w2: Any, slope: Any) -> Any:
        z = spike(x @ w1 - 0.2, slope=slope)
        return ((spike(z @ w2 - 0.1) - 0.5).sum(1) ** 2).sum()

    tensors = [torch.tensor(each, requires_grad=True) for each in values]
    first = torch.autograd.grad(loss(surrogate, torch.from_numpy(x), *tensors), tensors, create_graph=True)
    ours = torch.autograd.grad(first, tensors, [torch.from_numpy(each) for each in towards])
    spike = forward_mode(surrogate) if forward else surrogate

    def pulled(*values: jax.Array) -> Any:
        return jax.grad(lambda *values: loss(spike, jnp.asarray(x), *values), (0, 1, 2))(*values)

    _, pull = jax.vjp(pulled, *map(jnp.asarray, values))
    theirs = pull(tuple(map(jnp.asarray, towards)))
    pushed = jax.jvp(pulled, tuple(map(jnp.asarray, values)), tuple(map(jnp.asarray, towards)))[1]
    for one, other, third in zip(ours, theirs, pushed, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(third, one, rtol=1e-10, atol=1e-10)


UNITS = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2, "bfloat16": 6e-2}
PLACES = np.array([0.3, -0.7, 0.6, -0.2])


@functools.cache
def second_of_squares(dtype: str, names: tuple[str, ...]) -> list[jax.Array]:
    """Of the sum over the vector each element's own second derivative, in JAX."""

    def second(surrogate: Surrogate, v: jax.Array) -> jax.Array:
        return jax.grad(lambda v: jnp.sum(jax.grad(lambda v: jnp.sum(surrogate(v) ** 2))(v)))(v)

    return jax.jit(lambda v: [second(get(name), v) for name in names])(jnp.asarray(PLACES, dtype))


@every_surrogate
@pytest.mark.parametrize("dtype", UNITS)
def test_every_dtype(name: str, dtype: str, together: tuple[str, ...]) -> None:
    """2h² + 2·z·h′: the half types as far as their first gradient is rounded."""
    surrogate, unit = get(name), UNITS[dtype]
    x = torch.tensor(PLACES, dtype=getattr(torch, dtype), requires_grad=True)
    (first,) = torch.autograd.grad((surrogate(x) ** 2).sum(), x, create_graph=True)
    ours = torch.autograd.grad(first.sum(), x, allow_unused=True, materialize_grads=True)[0]
    theirs = second_of_squares(dtype, together)[together.index(name)]
    known, numbers, rounded = KNOWN[name], operands(surrogate, dtype), x.detach().double().numpy()
    z = (rounded >= 0).astype(float)
    h, slope = (np.array([float(f(mpf(float(each)), **numbers)) for each in rounded]) for f in (known.h, known.slope))
    scale = np.abs(2 * h**2).max() + np.abs(2 * slope).max()
    for found in (ours.double().numpy(), np.asarray(theirs, np.float64)):
        np.testing.assert_allclose(found, 2 * h**2 + 2 * z * slope, rtol=unit, atol=unit * scale)


ORDER = 3
X = np.array([-1.3, -0.31, 0.07, 0.23, 0.9, 1.7])


def of_spikes(surrogate: Any, v: Any) -> Any:
    """A spike of a spike and a square, whose first two orders are held to the chain rule."""
    return (surrogate(v) ** 2).sum() + (surrogate(0.5 * surrogate(v) + 0.3 * v - 0.2) * v).sum()


@functools.cache
def third_order_in_jax(names: tuple[str, ...]) -> list[jax.Array]:
    def derivative(surrogate: Surrogate, left: int, v: jax.Array) -> jax.Array:
        if left == 0:
            return of_spikes(surrogate, v)
        return jnp.sum(jax.grad(lambda v: derivative(surrogate, left - 1, v))(v))

    return jax.jit(lambda v: [derivative(get(name), ORDER, v) for name in names])(jnp.asarray(X))


@every_surrogate
def test_the_third_order_is_the_same_in_both_frameworks(name: str, together: tuple[str, ...]) -> None:
    v = torch.from_numpy(X).requires_grad_()
    y = of_spikes(get(name), v)
    for _ in range(ORDER):
        y = torch.autograd.grad(y, v, create_graph=True, materialize_grads=True)[0].sum() if y.requires_grad else 0 * v.sum()
    np.testing.assert_allclose(y.item(), float(third_order_in_jax(together)[together.index(name)]), rtol=1e-9, atol=1e-12)


def test_a_name_spells_its_transforms_from_the_inside() -> None:
    words: Any = {
        word: (lambda made, word=word: f"{word}({made})")
        for word in ("jit", "vmap", "grad", "grad of grad", "checkpoint", "compile", "backward", "jit(own)")
    }
    for name, made in (
        ("grad", "grad(f)"),
        ("func.grad", "grad(f)"),
        ("jit(vmap(grad))", "jit(vmap(grad(f)))"),
        ("jit(grad of grad)", "jit(grad of grad(f))"),
        ("checkpoint, grad of grad", "grad of grad(checkpoint(f))"),
        ("compile, then backward", "backward(compile(f))"),
        ("jit(own)", "jit(own)(f)"),
    ):
        assert spelled(name, words)("f") == made


def test_the_words_of_one_array_give_the_cotangent_times_a_derivative() -> None:
    """Of k·x³, where k is an array beside x."""
    x, k, c = (torch.tensor(each, dtype=torch.float64) for each in ([0.5, -1.25, 2.0], [2.0, 0.5, -1.5], [3.0, -2.0, 0.5]))
    words = pointwise_words(torch_side)
    first, second = c * k * 3 * x**2, c * k * 6 * x
    expected = dict.fromkeys(("grad", "vjp", "jvp", "jacrev", "jacfwd"), first)
    expected |= dict.fromkeys(("grad of grad", "hessian", "jvp of jvp"), second)
    for name, derivative in expected.items():
        torch.testing.assert_close(words[name](lambda x, k: k * x**3)(x, k, c), derivative, msg=name)


def test_the_words_of_two_arrays_give_the_hessian_times_a_direction() -> None:
    """Of p²·v³."""
    values = ([0.5, -1.25, 2.0], [1.5, 0.25, -2.0], [3.0, -2.0, 0.5], [0.75, -1.0, 2.0], [-0.5, 0.25, 1.5])
    p, v, c, dp, dv = (torch.tensor(each, dtype=torch.float64) for each in values)
    by_p, mixed, by_v = 2 * v**3, 6 * p * v**2, 6 * p**2 * v
    rows = c * torch.stack([by_p * dp + mixed * dv, mixed * dp + by_v * dv])
    words = product_words(torch_side)
    for name in ("grad of grad", "jvp of grad", "hessian", "jacfwd of grad", "jacrev of grad"):
        torch.testing.assert_close(words[name](lambda p, v: p**2 * v**3)(p, v, c, dp, dv), rows, msg=name)
    along = c * (by_p * dp**2 + 2 * mixed * dp * dv + by_v * dv**2)
    torch.testing.assert_close(words["jvp of jvp"](lambda p, v: p**2 * v**3)(p, v, c, dp, dv), along[None])


def test_a_row_has_a_column_for_each_surrogate() -> None:
    surrogates, v = (FastSigmoid(scale=3.0), Gaussian(sigma=0.5)), np.array([[-0.5, 0.3], [0.25, -1.0], [2.0, 0.75]])
    c, p = np.array([[2.0, -1.0], [0.5, 3.0], [1.5, -0.25]]), np.array([[3.0, 0.5], [2.0, 0.75], [4.0, 0.25]])
    h = np.stack([each.derivative(v[:, i]) for i, each in enumerate(surrogates)], -1)
    np.testing.assert_allclose(transform(torch_side, "grad", surrogates, v, c), c * h, rtol=1e-12)
    for i, each in enumerate(surrogates):
        column = slice(i, i + 1)
        alone = transform(torch_side, "grad", [each], v[:, column], c[:, column])
        np.testing.assert_allclose(alone, (c * h)[:, column], rtol=1e-12)
    found = transform(torch_side, "grad", surrogates[:1], p[:, :1], v[:, :1], c[:, :1], parameters=["scale"])
    slope = -v * np.abs(v) / (1 + p * np.abs(v)) ** 2
    np.testing.assert_allclose(found, (c * slope)[:, :1], rtol=1e-12)
    twice = transform(torch_side, "grad", [surrogates[0]] * 2, p, v, c, parameters=["scale"] * 2)
    np.testing.assert_allclose(twice, c * slope, rtol=1e-12)
