"""The validation tools on networks that were not written here: snnTorch against spyx, and against plain JAX with a preset."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest
import snntorch
import spyx
import torch
from flax import nnx

from arcana import presets
from arcana.jax import spike
from arcana.jax._compat import enable_x64
from arcana.testing import Layer, Run, compare, first_divergence, record

SIZES = (24, 32, 10)
STEPS, SAMPLES, DECAY, SLOPE = 30, 8, 0.9, 25
NAMES = ("hidden", "output")

generator = np.random.default_rng(0)
WEIGHTS = [generator.normal(0, 0.3, (outputs, inputs)).astype(np.float32) for inputs, outputs in ((24, 32), (32, 10))]
INPUTS = (generator.random((STEPS, SAMPLES, SIZES[0])) < 0.3).astype(np.float32)


@pytest.fixture(autouse=True)
def jax_as_it_comes() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(enable_x64(False))
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        yield


def snntorch_run(threshold: float = 1.0, **options: Any) -> Run:
    surrogate = snntorch.surrogate.fast_sigmoid(slope=SLOPE)
    neurons = [snntorch.Leaky(beta=DECAY, threshold=threshold, spike_grad=surrogate, **options) for _ in NAMES]
    weights = [torch.from_numpy(weight) for weight in WEIGHTS]

    def step(state: Any, x: torch.Tensor) -> Any:
        after, layers = [], {}
        for name, neuron, weight, potential in zip(NAMES, neurons, weights, state, strict=True):
            x, potential = neuron(x @ weight.T, potential)
            after.append(potential)
            layers[name] = (potential, x)
        return after, layers

    zeros = [torch.zeros(SAMPLES, size) for size in SIZES[1:]]
    return record(step, zeros, INPUTS, backend="torch", parameters=dict(zip(NAMES, WEIGHTS, strict=True)))


def spyx_run(threshold: float = 1.0) -> Run:
    """spyx fires on the potential of the step before, so that is what its spikes are compared with."""
    axon = spyx.axn.superspike(k=SLOPE)
    sizes = SIZES[1:]
    neurons = [spyx.nn.LIF((size,), beta=DECAY, threshold=threshold, activation=axon, rngs=nnx.Rngs(0)) for size in sizes]

    def step(state: Any, x: jax.Array) -> Any:
        after, layers = [], {}
        for name, neuron, weight, potential in zip(NAMES, neurons, WEIGHTS, state, strict=True):
            x, next_potential = neuron(x @ weight.T, potential)
            after.append(next_potential)
            layers[name] = (potential, x)
        return after, layers

    zeros = [neuron.initial_state(SAMPLES) for neuron in neurons]
    # Two more steps, in which the two layers fire on what they hold.
    inputs = np.concatenate([INPUTS, np.zeros_like(INPUTS[:2])])
    return record(step, zeros, inputs, backend="jax", parameters=dict(zip(NAMES, WEIGHTS, strict=True)))


def delayed(run: Run, steps: tuple[int, ...]) -> Run:
    """The layers of a run from the given steps on, as many steps as there are inputs."""
    shifted = {}
    for (name, layer), first in zip(run.layers.items(), steps, strict=True):
        part = slice(first, first + STEPS)
        shifted[name] = Layer(layer.potentials[part], layer.spikes[part])
    return Run(shifted, INPUTS, run.parameters)


def test_spyx_taken_as_it_is_differs_from_the_first_step() -> None:
    found = first_divergence(snntorch_run(), delayed(spyx_run(), (0, 0)))
    assert not found.explained
    assert (found.causes[0].kind, found.causes[0].where) == ("delay", "hidden")
    assert "layer 'hidden' of JAX computes with the input of the step before" in found.causes[0].evidence


def test_one_step_later_a_layer_spyx_is_snntorch_to_rounding() -> None:
    found = first_divergence(snntorch_run(), delayed(spyx_run(), (1, 2)))
    assert found.explained, str(found)
    assert sum(layer.spikes.sum() for layer in found.torch_run.layers.values()) > 500


@pytest.mark.parametrize(
    ("theirs", "verdict"),
    [
        (lambda: snntorch_run(threshold=1.02), "threshold"),
        (lambda: snntorch_run(reset_mechanism="zero"), "reset"),
    ],
    ids=["threshold", "reset"],
)
def test_a_setting_that_differs_is_named(theirs: Callable[[], Run], verdict: str) -> None:
    assert first_divergence(theirs(), delayed(spyx_run(), (1, 2))).verdict == verdict


def snntorch_step(potential: torch.Tensor, x: torch.Tensor) -> dict[str, torch.Tensor]:
    neuron = snntorch.Leaky(beta=DECAY, spike_grad=snntorch.surrogate.fast_sigmoid(slope=SLOPE))
    spikes, after = neuron(x, potential)
    return {"spikes": spikes, "potential": after}


def plain_step(slope: float) -> Callable[[jax.Array, jax.Array], dict[str, jax.Array]]:
    """snnTorch's neuron in plain JAX, with the preset of its surrogate."""
    surrogate = presets.get("snntorch.fast_sigmoid", slope=slope)

    def step(potential: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
        reset = jax.lax.stop_gradient(spike(potential - 1.0, surrogate))
        after = DECAY * potential + x - reset
        return {"spikes": spike(after - 1.0, surrogate), "potential": after}

    return step


def spyx_step(potential: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
    axon = spyx.axn.superspike(k=SLOPE)
    _, after = spyx.nn.LIF((SIZES[1],), beta=DECAY, activation=axon, rngs=nnx.Rngs(0))(x, potential)
    return {"spikes": axon(after - 1.0), "potential": after}


@pytest.mark.parametrize(
    ("step", "verdict"),
    [(plain_step(SLOPE), "same"), (plain_step(1.01 * SLOPE), "surrogate"), (spyx_step, "detached")],
    ids=["preset", "preset, slope 1 % off", "spyx"],
)
def test_gradients_of_one_step(step: Callable[..., Any], verdict: str) -> None:
    """snnTorch detaches its reset and spyx does not: their potentials agree and their gradients do not."""
    potential, x = np.random.default_rng(1).normal(0.6, 0.5, (2, SAMPLES, SIZES[1])).astype(np.float32)
    found = compare(snntorch_step, step, potential, x)
    assert all(leaf.close() for leaf in found.outputs)
    assert found.verdict == verdict, str(found)
