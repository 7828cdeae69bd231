"""A network of two spiking layers in PyTorch, and its port to JAX.

`arcana diverge network:torch_run network:jax_run` compares them.

FAULT in the environment plants one mistake in the port; docs/porting.md finds each.
"""

import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch

import arcana.jax
import arcana.torch
from arcana.testing import record

FAULT = os.environ.get("FAULT", "")

generator = np.random.default_rng(1)
PARAMETERS = {
    "hidden.weight": generator.normal(0, 0.25, (32, 32)).astype(np.float32),
    "output.weight": generator.normal(0, 0.3, (10, 32)).astype(np.float32),
}
if FAULT == "comparison":  # On a grid, so that a potential meets the threshold.
    PARAMETERS = {name: np.round(8 * weight) / 8 for name, weight in PARAMETERS.items()}
INPUTS = (generator.random((20, 8, 32)) < 0.4).astype(np.float32)
DECAY = 0.5 if FAULT == "comparison" else 0.9
STATE = {
    "hidden": np.zeros((8, 32), np.float32),
    "output": np.zeros((8, 10), np.float32),
}


def torch_step(parameters, state, x):
    """One step in PyTorch: the state after it, and by layer (potentials, spikes)."""
    after, layers = {}, {}
    for layer in ("hidden", "output"):
        potential = state[layer] * DECAY + x @ parameters[f"{layer}.weight"].T
        x = arcana.torch.fast_sigmoid(potential - 1.0)
        after[layer] = potential - x.detach()
        layers[layer] = (potential, x)
    return after, layers


def jax_step(parameters, state, x):
    """The port, with the mistake that FAULT names."""
    after, layers = {}, {}
    for layer in ("hidden", "output"):
        weight = parameters[f"{layer}.weight"]
        if FAULT == "transposed" and layer == "hidden":
            weight = weight.T
        current = x @ weight.T
        potential = (
            (state[layer] + current) * DECAY
            if FAULT == "leak"
            else state[layer] * DECAY + current
        )
        threshold = 1.01 if FAULT == "threshold" and layer == "output" else 1.0
        scale = 10.1 if FAULT == "slope" else 10.0
        x = arcana.jax.fast_sigmoid(
            potential - threshold, scale=scale, fires_at_threshold=FAULT != "comparison"
        )
        after[layer] = potential - (x if FAULT == "reset" else jax.lax.stop_gradient(x))
        layers[layer] = (potential, x)
    return after, layers


def torch_run():
    """What PyTorch does, recorded."""
    parameters = {name: torch.from_numpy(value) for name, value in PARAMETERS.items()}
    state = {name: torch.from_numpy(value) for name, value in STATE.items()}
    return record(
        functools.partial(torch_step, parameters),
        state,
        INPUTS,
        backend="torch",
        parameters=parameters,
    )


def jax_run():
    """What the port does, recorded."""
    dtype = "float16" if FAULT == "float16" else "float32"
    drawn = PARAMETERS
    if FAULT == "seed":
        other = np.random.default_rng(2)
        drawn = {
            name: other.normal(0, value.std(), value.shape).astype(np.float32)
            for name, value in PARAMETERS.items()
        }
    parameters = {name: jnp.asarray(value, dtype) for name, value in drawn.items()}
    state = {name: jnp.asarray(value, dtype) for name, value in STATE.items()}
    step = functools.partial(jax_step, parameters)
    kept = {
        name: value.T if FAULT == "transposed" and name == "hidden.weight" else value
        for name, value in parameters.items()
    }
    return record(step, state, INPUTS.astype(dtype), backend="jax", parameters=kept)


def save_step(path="step.npz"):
    """Arguments of a step, for `arcana compare`: parameters, a state, an input."""
    arrays = {f"parameters.{name}": value for name, value in PARAMETERS.items()}
    arrays |= {
        f"state.{name}": generator.normal(0.6, 0.4, value.shape).astype(np.float32)
        for name, value in STATE.items()
    }
    np.savez(Path(path), allow_pickle=False, **arrays, x=INPUTS[0])


if __name__ == "__main__":
    save_step()
