"""A network in PyTorch and a port that leaks too much.

The last lines tell rounding from a bug, and name the cause.
"""

import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from arcana.jax import fast_sigmoid
from arcana.surrogate import FastSigmoid
from arcana.testing import first_divergence, match, recording
from arcana.torch import Spike


class Original(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.fire = torch.nn.Linear(8, 16), Spike(FastSigmoid())

    def forward(self, x):
        potential = torch.zeros(x.shape[1], 16)
        for now in x:
            potential = 0.9 * potential + self.linear(now)
            potential = potential - self.fire(potential)


class Port(nnx.Module):
    def __init__(self, weight, bias):
        self.linear = nnx.Linear(8, 16, rngs=nnx.Rngs(0))
        self.linear.kernel = nnx.Param(jnp.asarray(weight.T))
        self.linear.bias = nnx.Param(jnp.asarray(bias))

    def __call__(self, x):
        potential = jnp.zeros((x.shape[1], 16))
        for now in x:
            potential = 0.89 * potential + self.linear(now)  # the mistake
            potential = potential - fast_sigmoid(potential - 1)


torch.manual_seed(0)
original = Original()
port = Port(*(parameter.detach().numpy() for parameter in original.linear.parameters()))
x = np.random.default_rng(0).random((20, 4, 8), np.float32) * 2

with torch.no_grad(), recording(original, inputs=x) as ours:
    original(torch.from_numpy(x))
with recording(port, inputs=x) as theirs:
    port(jnp.asarray(x))
found = first_divergence(*match(ours.run, theirs.run).runs)
print(found.verdict)  # leak
print(found.causes[0].evidence)
