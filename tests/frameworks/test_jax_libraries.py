"""spyx, brainpy.state, snnax, slax and jaxsnn take an instance as it is, where they take their own spike functions."""

from __future__ import annotations

import sys
import types
import warnings
from typing import Any

import brainpy.state
import brainstate
import braintools
import brainunit
import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
import slax
import spyx
from conftest import Row
from digits import STEPS, train_jax, weights
from flax import nnx
from jaxsnn.discrete.functional.lif import LIFState, lif_step
from jaxsnn.discrete.functional.threshold import superspike

from arcana import presets
from arcana.jax.adapters.nnx import Spike
from arcana.surrogate import FastSigmoid

for _lacking in ("snnax.snn.init", "snnax.functional.functional"):
    # The wheel of snnax 0.0.1 imports these two and does not have them.
    sys.modules.setdefault(_lacking, types.ModuleType(_lacking))

with warnings.catch_warnings():
    # snnax calls what Equinox has renamed, while it is imported.
    warnings.simplefilter("ignore")
    import snnax.functional.surrogate
    import snnax.snn


def layers() -> dict[str, Any]:
    """The matrices of a network of two layers, between which the neurons of a library are."""
    first, last = weights(64, 40, 10)
    return {"in": jnp.asarray(first), "out": jnp.asarray(last)}


def test_spyx(row: Row) -> None:
    def network(activation: Any) -> Any:
        rngs = nnx.Rngs(0)
        neurons = spyx.nn.LIF((40,), activation=activation, rngs=rngs)
        return spyx.nn.Sequential(nnx.Linear(64, 40, rngs=rngs), neurons, nnx.Linear(40, 10, rngs=rngs))

    def scores_of(net: Any) -> Any:
        definition, _ = nnx.split(net)

        def scores(state: Any, images: Any) -> Any:
            merged = nnx.merge(definition, state)
            outputs, _ = spyx.nn.run(merged, jnp.broadcast_to(3 * images, (STEPS, *images.shape)))
            return outputs.mean(0)

        return scores

    theirs, ours = network(spyx.axn.superspike(k=5)), network(presets.spyx.superspike(k=5))
    training = train_jax(nnx.split(ours)[1], scores_of(theirs), scores_of(ours))
    training.check()
    row("spyx", "spyx", "an instance", "`nn.LIF`, `superspike`", training)


def test_spyx_with_a_layer_that_subtracts_a_threshold_too() -> None:
    def fires(activation: Any) -> float:
        neurons = spyx.nn.LIF((3,), beta=0.9, activation=activation, rngs=nnx.Rngs(0))
        spikes, _ = neurons(jnp.zeros((1, 3)), jnp.full((1, 3), 1.5))
        return float(spikes[0, 0])

    with pytest.warns(UserWarning, match=r"^spyx gives .* Spike subtracts its own, 1\.0, once more"):
        assert fires(Spike(FastSigmoid())) == 0.0
    assert fires(Spike(FastSigmoid(), threshold=0)) == 1.0


def test_brainpy_state(row: Row) -> None:
    """The potential has a unit there, and the neuron divides by its range before it calls `spk_fun`."""

    def scores_of(spk_fun: Any) -> Any:
        def scores(parameters: Any, images: Any) -> Any:
            neurons = brainpy.state.LIF(40, tau=5 * brainunit.ms, spk_fun=spk_fun)
            brainstate.nn.init_all_states(neurons, images.shape[0])
            total = 0
            for _ in range(STEPS):
                with brainstate.environ.context(dt=1.0 * brainunit.ms):
                    total = total + neurons(8 * images @ parameters["in"] * brainunit.mA) @ parameters["out"]
            return total / STEPS

        return scores

    theirs, ours = braintools.surrogate.ReluGrad(alpha=0.6), presets.braintools.relu_grad(alpha=0.6)
    training = train_jax(layers(), scores_of(theirs), scores_of(ours))
    training.check()
    other = train_jax(layers(), scores_of(theirs), scores_of(presets.braintools.relu_grad(alpha=0.606)))
    assert other.difference > 1e-3, "a parameter that is 1 % off is seen"
    row("brainpy.state", "brainpy_state", "an instance", "`LIF`, `ReluGrad`", training)


def test_snnax(row: Row) -> None:
    """As a static field of its neuron, which is compared by value."""

    def scores_of(spike_fn: Any) -> Any:
        neurons = snnax.snn.SimpleLIF([0.9], spike_fn=spike_fn, threshold=0.3, shape=(40,))

        def scores(parameters: Any, images: Any) -> Any:
            layer = eqx.tree_at(lambda each: each.decay_constants.data, neurons, parameters["decay"])
            state, total = layer.init_state((images.shape[0], 40), jax.random.key(0)), 0
            for _ in range(STEPS):
                state, spikes = layer(state, 5 * images @ parameters["in"])
                total = total + spikes @ parameters["out"]
            return total / STEPS

        return scores

    theirs = snnax.functional.surrogate.superspike_surrogate(5.0)
    ours = presets.snnax.superspike_surrogate(beta=5.0)
    training = train_jax({**layers(), "decay": jnp.full((1, 40), 0.9)}, scores_of(theirs), scores_of(ours))
    training.check()
    row("snnax", "snnax", "an instance", "`SimpleLIF`, `superspike_surrogate`, decay trained", training)


def test_slax(row: Row) -> None:
    def scores_of(spike_fn: Any) -> Any:
        neurons = slax.LIF(spike_fn=spike_fn, trainable_tau=True)

        def scores(parameters: Any, images: Any) -> Any:
            carry, total = {"Vmem": jnp.zeros((images.shape[0], 40))}, 0
            for _ in range(STEPS):
                carry, spikes = neurons.apply({"params": {"tau": parameters["tau"]}}, carry, images @ parameters["in"])
                total = total + spikes @ parameters["out"]
            return total / STEPS

        return scores

    theirs, ours = slax.fast_sigmoid(slope=5), presets.slax.fast_sigmoid(slope=5)
    training = train_jax({**layers(), "tau": jnp.float32(2.0)}, scores_of(theirs), scores_of(ours))
    training.check()
    row("slax", "slax", "an instance", "`LIF`, `fast_sigmoid`, leak trained", training)


def test_jaxsnn(row: Row) -> None:
    def scores_of(method: Any) -> Any:
        def scores(parameters: Any, images: Any) -> Any:
            zeros, total = jnp.zeros((images.shape[0], 40)), 0
            state = LIFState(zeros, zeros)
            for _ in range(2 * STEPS):
                state, spikes = lif_step(
                    inputs={"in": images @ parameters["in"]},
                    state=state,
                    parameters=None,
                    method=method,
                    v_leak=0.0,
                    v_th=0.6,
                    v_reset=0.0,
                    tau_mem=1e-2,
                    tau_syn=5e-3,
                )
                total = total + spikes @ parameters["out"]
            return total / STEPS

        return scores

    training = train_jax(layers(), scores_of(superspike), scores_of(presets.jaxsnn.superspike()))
    training.check()
    row("jaxsnn", "jaxsnn", "an instance", "`lif_step`, `superspike`", training)
