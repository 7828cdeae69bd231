"""A trained snnTorch network and its Flax NNX port, both from checkpoint files.

`python checkpoint.py`, then `arcana diverge`.

FAULT in the environment plants one mistake in the port. The lines that record end
in `# +`.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import snntorch  # pyright: ignore[reportMissingImports]
import torch
from flax import nnx

import arcana.jax
from arcana.testing import recording  # +

FAULT = os.environ.get("FAULT", "")
STEPS, SAMPLES, INPUTS, HIDDEN, CLASSES = 25, 16, 40, 32, 10
X = (np.random.default_rng(0).random((STEPS, SAMPLES, INPUTS)) < 0.3).astype(np.float32)


class Network(torch.nn.Module):
    """As snnTorch's own tutorials write it."""

    def __init__(self):
        super().__init__()
        spike_grad = snntorch.surrogate.fast_sigmoid(slope=25)
        self.fc1 = torch.nn.Linear(INPUTS, HIDDEN)
        self.lif1 = snntorch.Leaky(beta=0.9, spike_grad=spike_grad)
        self.fc2 = torch.nn.Linear(HIDDEN, CLASSES)
        self.lif2 = snntorch.Leaky(beta=0.8, spike_grad=spike_grad)

    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes = []
        for step in range(x.size(0)):
            spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


class Port(nnx.Module):
    """The port: one scan, one jit."""

    def __init__(self, rngs):
        self.dense1 = nnx.Linear(INPUTS, HIDDEN, rngs=rngs)
        self.dense2 = nnx.Linear(HIDDEN, CLASSES, rngs=rngs)
        self.beta1, self.beta2 = (
            nnx.Param(jnp.float32(0.9)),
            nnx.Param(jnp.float32(0.8)),
        )

    def __call__(self, x):
        def fire(v):
            return arcana.jax.fast_sigmoid(
                v - 1.0, scale=25.0, fires_at_threshold=False
            )

        def step(state, current):
            (mem1, spk1), (mem2, spk2) = state
            mem1 = self.beta1 * mem1 + self.dense1(current) - spk1
            spk1 = fire(mem1)
            mem2 = (
                self.beta2 * mem2
                + self.dense2(spk1)
                - (spk2 * mem2 if FAULT == "reset" else spk2)
            )
            spk2 = fire(mem2)
            return ((mem1, spk1), (mem2, spk2)), spk2

        zeros = [(jnp.zeros((x.shape[1], size)),) * 2 for size in (HIDDEN, CLASSES)]
        return jax.lax.scan(step, tuple(zeros), x)[1]


def save_checkpoints():
    """Write the trained weights, and the port's as its author converted them."""
    torch.manual_seed(0)
    network = Network()
    for layer in (network.fc1, network.fc2):
        layer.weight.data *= 4
    torch.save(network.state_dict(), "snntorch.pt")
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    kernel = state["fc1.weight"].T.copy()
    if FAULT == "weight":
        kernel[3, 5] += 0.25
    arrays = {"dense1.kernel": kernel, "dense1.bias": state["fc1.bias"]}
    arrays |= {"dense2.kernel": state["fc2.weight"].T, "dense2.bias": state["fc2.bias"]}
    beta2 = 0.81 if FAULT == "beta" else 0.8
    np.savez("flax.npz", **arrays, beta1=np.float32(0.9), beta2=np.float32(beta2))


def run_snntorch():
    """The evaluation script of the original."""
    network = Network()
    network.load_state_dict(torch.load("snntorch.pt"))
    with torch.no_grad(), recording(network, "torch.npz", inputs=X):  # +
        network(torch.from_numpy(X))


def run_flax():
    """The evaluation script of the port."""
    network = Port(nnx.Rngs(0))
    with np.load("flax.npz") as arrays:
        for name, value in arrays.items():
            module, _, leaf = name.rpartition(".")
            parameter = getattr(getattr(network, module) if module else network, leaf)
            parameter[...] = jnp.asarray(value)
    with recording(network, "jax.npz", inputs=X):  # +
        nnx.jit(lambda network, x: network(x))(network, jnp.asarray(X))


if __name__ == "__main__":
    save_checkpoints()
    run_snntorch()
    run_flax()
