"""Rules in JAX: derivatives against the papers' h at every threshold, every transform, and what a rule keeps and draws."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import each_kept, every_surrogate
from known_values import KNOWN
from rules import COUNTING, EACH_KIND, derivative, potentials, spikes

from arcana._core.expression import Kept
from arcana.jax import FastSigmoid as FastSigmoidClass, fast_sigmoid, forward_mode, sigmoid, spike
from arcana.rules import Heaviside, Integer, Rule, Smooth, Stochastic, Ternary
from arcana.surrogate import FastSigmoid, Rectangular, Sigmoid, Surrogate, get

POINTS = np.array([-3.31, -1.93, -0.713, 0.053, 0.417, 1.337, 2.221, 5.617])
COTANGENT = np.linspace(-1.7, 2.3, POINTS.size)
UNIFORM = np.linspace(0.05, 0.95, POINTS.size)

Function = Callable[..., jax.Array]


def by(rule: Rule, surrogate: Surrogate = Sigmoid()) -> Function:  # noqa: B008  (a value)
    """A surrogate by a rule, whose random numbers are the same at each call."""
    return functools.partial(spike, surrogate=surrogate, rule=rule, random=jnp.asarray(UNIFORM) if rule.random else None)


def near(found: Any, exactly: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), exactly, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("at_threshold", [True, False])
@pytest.mark.parametrize("rule", [Heaviside(), *COUNTING], ids=repr)
def test_spikes_threshold_by_threshold(rule: Rule, at_threshold: bool) -> None:
    function = functools.partial(fast_sigmoid, rule=rule, fires_at_threshold=at_threshold)
    for dtype in (np.float64, np.float32):
        v = jnp.asarray(potentials(dtype))
        with np.errstate(over="ignore"):
            expected = spikes(rule, np.asarray(v), at_threshold).astype(dtype)
        for found in (function(v), jax.jit(function)(v), jax.vjp(function, v)[0]):
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, expected)


@every_surrogate
def test_first_derivative(name: str) -> None:
    surrogate, v, rules = get(name), jnp.asarray(POINTS), (Integer(2, step=0.3), Ternary(gap=1.5))
    found = jax.jit(lambda v, c: [jax.vjp(by(rule, surrogate), v)[1](c)[0] for rule in rules])(v, jnp.asarray(COTANGENT))
    for rule, first in zip(rules, found, strict=True):
        near(first, COTANGENT * derivative(rule, surrogate, POINTS))


def test_one_instance_by_several_rules_has_the_thresholds_of_each() -> None:
    """What an instance keeps of its calls, it keeps by rule."""
    surrogate, v = Sigmoid(), jnp.asarray(POINTS)
    for rule in (Heaviside(), Integer(2, step=0.3), Ternary(gap=1.5), Integer(2, step=0.3), Heaviside()):
        near(pulled(by(rule, surrogate), v), derivative(rule, surrogate, POINTS))


@each_kept(*Kept)
def test_second_derivative_of_a_loss(name: str) -> None:
    surrogate, v, rule = get(name), jnp.asarray(POINTS), Integer(3, step=0.3)
    f = by(rule, surrogate)
    second = jax.jit(jax.grad(lambda v: jax.grad(lambda v: jnp.square(f(v)).sum())(v).sum()))(v)
    h, slope = (derivative(rule, surrogate, POINTS, which) for which in ("h", "slope"))
    near(second, 2 * (h * h + np.asarray(f(v)) * slope))


@each_kept(Kept.POTENTIAL, Kept.MASK)
def test_gradients_of_parameters_are_those_of_a_spike_at_every_threshold(name: str) -> None:
    surrogate, v = get(name), jnp.asarray(POINTS)
    values = {key: jnp.full((1,), getattr(surrogate, key)) for key in KNOWN[name].by_parameter}

    def counted(parameters: Any) -> jax.Array:
        return spike(v, surrogate, rule=Integer(3), **parameters)

    def composed(parameters: Any) -> jax.Array:
        return functools.reduce(jnp.add, [spike(v - k, surrogate, **parameters) for k in range(3)])

    found, expected = (jax.grad(lambda p, f=f: jnp.square(COTANGENT * f(p)).sum())(values) for f in (counted, composed))
    assert found.keys() == values.keys()
    for key in values:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-9, atol=1e-10)


def pulled(f: Function, v: jax.Array) -> jax.Array:
    out, pullback = jax.vjp(f, v)
    return pullback(jnp.ones_like(out))[0]


def pushed(f: Function, v: jax.Array) -> jax.Array:
    return jax.jvp(f, (v,), (jnp.ones_like(v),))[1]


def in_a_scan(f: Function, v: jax.Array) -> jax.Array:
    return jax.grad(lambda v: jax.lax.scan(lambda total, _: (total + f(v), None), jnp.zeros_like(v), length=2)[0].sum() / 2)(v)


FIRST: dict[str, Function] = {
    "vjp": pulled,
    "jvp": pushed,
    "jit of vjp": lambda f, v: jax.jit(functools.partial(pulled, f))(v),
    "jacfwd": lambda f, v: jnp.diagonal(jax.jacfwd(f)(v)),
    "jacrev": lambda f, v: jnp.diagonal(jax.jacrev(f)(v)),
    "grad of vmap": lambda f, v: jax.grad(lambda v: jax.vmap(f)(jnp.stack([v, v])).sum() / 2)(v),
    "scan": in_a_scan,
    "checkpoint": lambda f, v: pulled(jax.checkpoint(f), v),
    "linearize": lambda f, v: jax.linearize(f, v)[1](jnp.ones_like(v)),
}

SECOND: dict[str, Function] = {
    "grad of grad": lambda f, v: jax.grad(lambda v: jax.grad(lambda v: f(v).sum())(v).sum())(v),
    "hessian": lambda f, v: jnp.diagonal(jax.hessian(lambda v: f(v).sum())(v)),
    "jvp of jvp": lambda f, v: pushed(functools.partial(pushed, f), v),
}


@pytest.mark.parametrize("way", FIRST)
@pytest.mark.parametrize("rule", EACH_KIND, ids=repr)
def test_every_transform_gives_the_sum_of_h(rule: Rule, way: str) -> None:
    near(FIRST[way](by(rule), jnp.asarray(POINTS)), derivative(rule, Sigmoid(), POINTS))


@pytest.mark.parametrize("way", SECOND)
@pytest.mark.parametrize("rule", EACH_KIND, ids=repr)
def test_every_transform_gives_the_sum_of_its_derivatives(rule: Rule, way: str) -> None:
    near(SECOND[way](by(rule), jnp.asarray(POINTS)), derivative(rule, Sigmoid(), POINTS, "slope"))


@pytest.mark.parametrize("shape", [(), (0,), (2, 3, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    v = jnp.full(shape, 1.5, jnp.float32)
    for rule in EACH_KIND:
        random = jax.random.key(0) if rule.random else None
        slope = jnp.full(shape[-1:], 4.0, jnp.float32)
        found = jax.grad(
            lambda v, rule=rule, random=random, slope=slope: sigmoid(v, rule=rule, random=random, slope=slope).sum()
        )(v)
        assert found.shape == shape


def test_a_count_keeps_one_potential() -> None:
    """The spikes of each threshold keep one each."""
    v = jnp.linspace(-1.0, 4.0, 1000)

    def kept(function: Function) -> int:
        pullback = jax.jit(lambda v: jax.vjp(function, v)[1])(v)
        return sum(x.nbytes for x in jax.tree.leaves(pullback) if x.size >= v.size)

    assert kept(lambda v: fast_sigmoid(v, rule=Integer(4))) == v.nbytes
    assert kept(lambda v: functools.reduce(jnp.add, [fast_sigmoid(v - k) for k in range(4)])) == 4 * v.nbytes


def test_fires_with_the_probability_of_the_primitive() -> None:
    """Each mean of 20,000 draws within 5 standard deviations of G; correlations of neighbours too."""
    v = jnp.array([-1.0, -0.3, -0.1, 0.0, 0.1, 0.3, 1.0])
    for surrogate in (Sigmoid(), FastSigmoid(scale=3.0).unit_area(), Rectangular(width=0.5).unit_area()):
        draws = np.asarray(surrogate(jnp.broadcast_to(v, (20_000, 7)), rule=Stochastic(), random=jax.random.key(3)))
        p = np.asarray(surrogate.primitive(v))
        assert set(np.unique(draws)) <= {0.0, 1.0}
        assert (np.abs(draws.mean(0) - p) <= 5 * np.sqrt(p * (1 - p) / 2e4)).all()
        centred = draws - p
        assert (np.abs((centred[1:] * centred[:-1]).mean(0)) <= 5 * p * (1 - p) / 2e4**0.5 + 1e-12).all()


def test_draws_come_from_what_is_given() -> None:
    v = jnp.zeros(1000)
    draws = [sigmoid(v, rule=Stochastic(), random=key) for key in (jax.random.key(1), jax.random.key(1), jax.random.key(2))]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()
    assert (sigmoid(v, rule=Stochastic(), random=jax.random.PRNGKey(1)) == draws[0]).all()
    keys = jax.random.split(jax.random.key(0), 3)
    steps = jax.lax.scan(lambda _, key: (None, sigmoid(v, rule=Stochastic(), random=key)), None, keys)[1]
    assert (steps[0] != steps[1]).any()
    assert (jax.vmap(lambda key: sigmoid(v, rule=Stochastic(), random=key))(keys) == steps).all()


@each_kept(*Kept)
def test_smooth_is_the_primitive_and_its_derivative(name: str) -> None:
    surrogate, v = get(name), jnp.asarray(POINTS)
    near(surrogate(v, rule=Smooth()), surrogate.primitive(v))
    near(pulled(by(Smooth(), surrogate), v), derivative(Smooth(), surrogate, POINTS))


def test_every_way_of_calling_takes_a_rule() -> None:
    v, rule = jnp.array([-0.5, 0.5, 1.5]), Integer(4)
    for call in (
        fast_sigmoid(v, rule=rule),
        FastSigmoid()(v, rule=rule),
        FastSigmoidClass.apply(v, rule=rule),
        forward_mode(FastSigmoid())(v, rule=rule),
        spike(v, fast_sigmoid, rule=rule),
        spike(np.array([-0.5, 0.5, 1.5], np.float32), fast_sigmoid, rule=rule),
    ):
        assert call.tolist() == [0.0, 1.0, 2.0]


def test_errors_say_what_to_write() -> None:
    v = jnp.zeros(3)
    with pytest.raises(TypeError, match=r"rule must be a rule of arcana\.rules, write Integer\(…\), got <class"):
        sigmoid(v, rule=Integer)
    with pytest.raises(TypeError, match=r"write rule=Stochastic\(\) too"):
        sigmoid(v, random=jax.random.key(0))
    with pytest.raises(TypeError, match=r"Ternary\(gap=2.0\) draws no random numbers"):
        sigmoid(v, rule=Ternary(), random=jax.random.key(0))
    with pytest.raises(ValueError, match=r"write random=jax\.random\.key\(0\)"):
        sigmoid(v, rule=Stochastic())
    with pytest.raises(ValueError, match=r"must be a key, or an array of v's shape \(3,\), got one of shape \(2,\)"):
        sigmoid(v, rule=Stochastic(), random=jnp.zeros(2))
    with pytest.raises(ValueError, match=r"goes from 0\.4 to 0\.6; write unit_area"):
        jax.jit(lambda v: fast_sigmoid(v, rule=Stochastic(), random=jax.random.key(0)))(v)
    with pytest.raises(ValueError, match=r"no distribution function: it goes from -0\.125 to 1\.125"):
        sigmoid(v, rule=Stochastic(), random=jax.random.key(0), gain=jnp.ones(()))
