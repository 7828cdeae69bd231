"""Flax NNX, Flax linen, Equinox and Haiku, plain `lax.scan`, and Pallas: against a rule that is written here by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
from conftest import Row
from digits import STEPS, train_jax, weights
from flax import nnx
from jax.experimental import pallas as pl

from arcana.jax import spike
from arcana.jax.adapters import equinox, linen, pallas
from arcana.jax.adapters.nnx import Spike as NnxSpike
from arcana.surrogate import FastSigmoid

SCALE, THRESHOLD, DECAY = 5.0, 0.4, 0.9


@jax.custom_jvp
def by_hand(v: jax.Array, scale: jax.Array) -> jax.Array:
    """FastSigmoid's spike, with G = v/(1 + scale·|v|) of both its arguments."""
    return (v >= 0).astype(v.dtype)


@by_hand.defjvp
def _by_hand_jvp(primals: Any, tangents: Any) -> Any:
    v, scale = primals
    shared = 1 / (1 + scale * jnp.abs(v)) ** 2
    return by_hand(v, scale), shared * tangents[0] - v * jnp.abs(v) * shared * tangents[1]


def matrices() -> dict[str, Any]:
    first, last = weights(64, 40, 10)
    return {"in": jnp.asarray(first), "out": jnp.asarray(last)}


def unrolled(spikes_of: Callable[[Any], Any], current: Any) -> Any:
    """The spikes of leaky neurons that a constant current drives, summed over time."""
    potential, total = jnp.zeros_like(current), 0
    for _ in range(STEPS):
        potential = DECAY * potential + current
        spikes = spikes_of(potential)
        potential = potential - THRESHOLD * spikes
        total = total + spikes
    return total / STEPS


def hand_written(parameters: Any, images: Any) -> Any:
    """The network with the rule by hand; a threshold and a scale for each neuron where they are among the parameters."""
    scale, threshold = parameters.get("scale", SCALE), parameters.get("threshold", THRESHOLD)

    def spikes_of(potential: Any) -> Any:
        return by_hand(potential - threshold, jnp.broadcast_to(scale, potential.shape).astype(jnp.float32))

    return unrolled(spikes_of, images @ parameters["in"]) @ parameters["out"]


LEARNED = {"scale": jnp.full(40, SCALE), "threshold": jnp.full(40, THRESHOLD)}
LEARNABLE = tuple(LEARNED)
WAY = "`adapters.{}.Spike`"
RAN = "leaky neurons, scale and threshold of each trained"


def test_flax_nnx(row: Row) -> None:
    definition, state = nnx.split(NnxSpike(FastSigmoid(scale=SCALE), THRESHOLD, LEARNABLE, shape=40))
    assert {name: value.tolist() for name, value in nnx.to_pure_dict(state).items()} == {
        name: value.tolist() for name, value in LEARNED.items()
    }

    def scores(parameters: Any, images: Any) -> Any:
        nnx.replace_by_pure_dict(state, {name: parameters[name] for name in LEARNED})
        layer = nnx.merge(definition, state)
        return unrolled(layer, images @ parameters["in"]) @ parameters["out"]

    training = train_jax({**matrices(), **LEARNED}, hand_written, scores)
    training.check()
    row("Flax NNX", "flax", WAY.format("nnx"), RAN, training)


def test_flax_linen(row: Row) -> None:
    class Network(nn.Module):
        @nn.compact
        def __call__(self, images: Any) -> Any:
            layer = linen.Spike(FastSigmoid(scale=SCALE), THRESHOLD, LEARNABLE, shape=40)
            current = nn.Dense(40, use_bias=False)(images)
            return nn.Dense(10, use_bias=False)(unrolled(layer, current))

    network = Network()
    first = network.init(jax.random.key(0), jnp.zeros((1, 64)))["params"]
    assert first["Spike_0"].keys() == LEARNED.keys()

    def scores(parameters: Any, images: Any) -> Any:
        placed = {
            "Dense_0": {"kernel": parameters["in"]},
            "Dense_1": {"kernel": parameters["out"]},
            "Spike_0": {name: parameters[name] for name in LEARNED},
        }
        return network.apply({"params": placed}, images)

    training = train_jax({**matrices(), **LEARNED}, hand_written, scores)
    training.check()
    row("Flax linen", "flax", WAY.format("linen"), RAN, training)


def test_equinox(row: Row) -> None:
    layer = equinox.Spike(FastSigmoid(scale=SCALE), THRESHOLD, LEARNABLE, shape=40)

    def scores(parameters: Any, images: Any) -> Any:
        moved = eqx.tree_at(lambda each: each.learned, layer, {name: parameters[name] for name in LEARNED})
        return unrolled(moved, images @ parameters["in"]) @ parameters["out"]

    training = train_jax({**matrices(), **LEARNED}, hand_written, scores)
    training.check()
    row("Equinox", "equinox", WAY.format("equinox"), RAN, training)


def test_haiku(row: Row) -> None:
    """An instance is a function of an array, as `jax.nn.relu` is."""

    def network(images: Any) -> Any:
        potential = hk.Linear(40, with_bias=False, name="in")(images)
        scale = hk.get_parameter("scale", [40], init=lambda shape, dtype: jnp.full(shape, SCALE, dtype))
        hidden = unrolled(lambda v: spike(v - THRESHOLD, FastSigmoid(), scale=scale), potential)
        return hk.Linear(10, with_bias=False, name="out")(hidden)

    transformed = hk.without_apply_rng(hk.transform(network))
    transformed.init(jax.random.key(0), jnp.zeros((1, 64)))

    def scores(parameters: Any, images: Any) -> Any:
        placed = {"~": {"scale": parameters["scale"]}, "in": {"w": parameters["in"]}, "out": {"w": parameters["out"]}}
        return transformed.apply(placed, images)

    training = train_jax({**matrices(), "scale": LEARNED["scale"]}, hand_written, scores)
    training.check()
    row("Haiku", "dm-haiku", "an instance", "leaky neurons, scale of each trained", training)


def test_plain_scan(row: Row) -> None:
    fire = FastSigmoid(scale=SCALE)

    def scores(parameters: Any, images: Any) -> Any:
        current = images @ parameters["in"]

        def step(potential: Any, _: Any) -> Any:
            potential = DECAY * potential + current
            spikes = fire(potential - THRESHOLD)
            return potential - THRESHOLD * spikes, spikes

        _, spikes = jax.lax.scan(step, jnp.zeros_like(current), None, length=STEPS)
        return spikes.mean(0) @ parameters["out"]

    training = train_jax(matrices(), hand_written, scores)
    training.check()
    row("JAX", "jax", "an instance", "leaky neurons in `lax.scan`", training)


def test_pallas(row: Row) -> None:
    """Two interpreted kernels, forward and backward, with a rule around them that is the network's own."""
    fast = FastSigmoid(scale=SCALE)

    def forward_kernel(v: Any, out: Any) -> None:
        out[...] = pallas.fire(v[...], fast)

    def backward_kernel(v: Any, cotangent: Any, out: Any) -> None:
        out[...] = cotangent[...] * pallas.pseudo_derivative(v[...], fast)

    def run(kernel: Any, *operands: Any) -> Any:
        shape = jax.ShapeDtypeStruct(operands[0].shape, operands[0].dtype)
        return pl.pallas_call(kernel, out_shape=shape, interpret=True)(*operands)

    fused = jax.custom_vjp(lambda v: run(forward_kernel, v))
    fused.defvjp(lambda v: (run(forward_kernel, v), v), lambda v, c: (run(backward_kernel, v, c),))

    def scores(parameters: Any, images: Any) -> Any:
        return unrolled(lambda potential: fused(potential - THRESHOLD), images @ parameters["in"]) @ parameters["out"]

    training = train_jax(matrices(), hand_written, scores)
    training.check()
    row("Pallas", "jax", "`adapters.pallas`", "interpreted kernels forward and backward", training)
