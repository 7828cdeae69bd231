"""Rules beside each other in the two frameworks: the same spikes bit for bit, and the gradients' bits where h is rational."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from known_values import KNOWN
from rules import COUNTING, potentials

import arcana.jax
import arcana.torch
from arcana.jax.adapters import equinox, linen, nnx as nnx_adapter
from arcana.rules import Heaviside, Integer, Rule, Smooth, Stochastic, Ternary
from arcana.surrogate import FastSigmoid, Rectangular, Sigmoid, get
from arcana.testing import recording
from arcana.torch import Spike

EXACT = [name for name, known in KNOWN.items() if known.bits]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("rule", COUNTING, ids=repr)
def test_the_same_spikes_at_every_potential_of_a_half_type(rule: Rule, dtype: str) -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    v = torch.from_numpy(bits.view(np.int16)).view(getattr(torch, dtype))
    for at_threshold in (True, False):
        found = arcana.torch.fast_sigmoid(v, rule=rule, fires_at_threshold=at_threshold)
        other = arcana.jax.fast_sigmoid(
            jax.lax.bitcast_convert_type(jnp.asarray(bits), dtype), rule=rule, fires_at_threshold=at_threshold
        )
        assert found.dtype is v.dtype
        assert other.dtype == dtype
        np.testing.assert_array_equal(found.float().numpy(), np.asarray(other.astype(jnp.float32)))


@pytest.mark.parametrize("name", EXACT)
def test_the_same_bits_of_gradients_where_h_is_rational(name: str) -> None:
    """In float32, of counts and of ternary spikes: XLA contracts no product into the sum of h."""
    generator = np.random.default_rng(0)
    v = np.concatenate([potentials(), *(generator.normal(0, scale, 3000) for scale in (0.3, 3.0, 30.0))]).astype(np.float32)
    # A subnormal on the way is not the same.
    v = v[(np.abs(v) > 1e-30) & (np.abs(v) < 1e15)]
    c = generator.normal(size=v.size).astype(np.float32)
    rules = (Integer(3, step=0.3), Ternary(gap=1.1))

    def gradients(v: jax.Array, c: jax.Array) -> list[jax.Array]:
        return [jax.vjp(lambda v, rule=rule: get(name)(v, rule=rule), v)[1](c)[0] for rule in rules]

    for rule, found in zip(rules, jax.jit(gradients)(v, c), strict=True):
        x = torch.tensor(v, requires_grad=True)
        (expected,) = torch.autograd.grad(get(name)(x, rule=rule), x, torch.tensor(c))
        np.testing.assert_array_equal(np.asarray(found), expected.numpy())


@pytest.mark.parametrize("surrogate", [FastSigmoid().unit_area(), Rectangular()], ids=repr)
def test_the_same_numbers_draw_the_same_spikes(surrogate: FastSigmoid | Rectangular) -> None:
    generator = np.random.default_rng(0)
    v, uniform = generator.normal(0, 0.2, 20_000).astype(np.float32), generator.random(20_000, np.float32)
    found = surrogate(torch.tensor(v), rule=Stochastic(), random=torch.tensor(uniform))
    other = surrogate(jnp.asarray(v), rule=Stochastic(), random=jnp.asarray(uniform))
    np.testing.assert_array_equal(found.numpy(), np.asarray(other))
    assert 0.3 < found.mean() < 0.7


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_a_recording_says_that_a_run_holds_zeros_and_ones(framework: str) -> None:
    v = torch.ones(3) if framework == "torch" else jnp.ones(3)
    for rule in (Integer(2), Ternary(), Smooth()):
        with pytest.raises(ValueError, match=r"fires by a rule of arcana\.rules, and a run holds"), recording():
            FastSigmoid()(v, rule=rule)
    with recording() as recorded:
        FastSigmoid()(v, rule=Heaviside())
    assert np.all(recorded.run.layers["layer 1"].spikes)


@pytest.mark.parametrize("system", ["nnx", "linen", "equinox"])
def test_the_layers_of_jax_take_a_rule_as_that_of_torch(system: str) -> None:
    potential = np.array([[-2.0, 0.25, 0.5], [0.75, 1.0, 3.0]], np.float32)
    options: Any = {"threshold": 0.5, "learnable": ("threshold", "slope"), "rule": Integer(3, step=0.5)}
    theirs = Spike(Sigmoid(), **options)
    x = torch.tensor(potential, requires_grad=True)
    theirs(x).square().sum().backward()
    assert theirs.threshold.grad is not None

    key = jax.random.key(0)
    if system == "linen":
        layer: Any = linen.Spike(Sigmoid(), **options)
        noisy: Any = linen.Spike(Sigmoid(), 0.0, rule=Stochastic())
        values: Any = layer.init(key, potential)
        function, drawn = layer.apply, noisy.apply({}, jnp.zeros(1000), key)

        def of_threshold(gradients: Any) -> Any:
            return gradients["params"]["threshold"]

    else:
        module = {"nnx": nnx_adapter, "equinox": equinox}[system]
        values, noisy = module.Spike(Sigmoid(), **options), module.Spike(Sigmoid(), 0.0, rule=Stochastic())
        function, drawn = (lambda layer, v: layer(v)), noisy(jnp.zeros(1000), **{"key" if system == "equinox" else "random": key})
        of_threshold = (lambda g: g.threshold[...]) if system == "nnx" else (lambda g: g.learned["threshold"])

    def loss(values: Any, v: Any) -> Any:
        return jnp.square(function(values, v)).sum()

    grad = {"nnx": nnx.grad, "linen": jax.grad, "equinox": eqx.filter_grad}[system]
    np.testing.assert_array_equal(np.asarray(function(values, jnp.asarray(potential))), theirs(x).detach().numpy())
    np.testing.assert_allclose(of_threshold(grad(loss)(values, jnp.asarray(potential))), theirs.threshold.grad.numpy(), rtol=1e-5)
    assert 400 < drawn.sum() < 600


@pytest.mark.parametrize("rule", [Integer(4), Ternary(), Smooth()], ids=repr)
def test_a_recurrent_network_whose_threshold_is_trained(rule: Rule) -> None:
    """Spikes of potential/θ, taken off θ at a time, over 20 steps in float64: loss and gradients of weights and θ."""
    generator = np.random.default_rng(0)
    weights, inputs, theta = generator.normal(0, 0.6, (8, 8)), generator.normal(0.4, 0.8, (20, 16, 8)), np.float64(0.7)

    def step(carry: Any, current: Any) -> Any:
        potential, total, weights, theta = carry
        potential = 0.8 * potential + current @ weights
        spikes = Sigmoid()(potential / theta - 1, rule=rule)
        return (potential - theta * spikes, total + spikes, weights, theta), None

    def loss(weights: Any, theta: Any) -> Any:
        first = (jnp.zeros((16, 8)), jnp.zeros((16, 8)), weights, theta)
        return jnp.square(jax.lax.scan(step, first, jnp.asarray(inputs))[0][1]).mean()

    w, t = torch.tensor(weights, requires_grad=True), torch.tensor(theta, requires_grad=True)
    carry: Any = (torch.zeros(16, 8, dtype=torch.float64), torch.zeros(16, 8, dtype=torch.float64), w, t)
    for current in torch.tensor(inputs):
        carry, _ = step(carry, current)
    expected = carry[1].square().mean()
    found, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(jnp.asarray(weights), jnp.asarray(theta))
    assert float(found) == pytest.approx(expected.item(), rel=1e-12)
    for one, other in zip(gradients, torch.autograd.grad(expected, (w, t)), strict=True):
        np.testing.assert_allclose(np.asarray(one), other.numpy(), rtol=1e-9, atol=1e-9 * float(other.abs().max()))
