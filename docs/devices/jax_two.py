"""Two processes make one mesh.

In one shell python docs/devices/jax_two.py localhost:29500 2 0, in another with 2 1.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from arcana.jax import fast_sigmoid

address, processes, process = sys.argv[1:]
jax.config.update(
    "jax_cpu_collectives_implementation", "gloo"
)  # between GPUs NCCL needs no such line
jax.distributed.initialize(address, int(processes), int(process))

mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
everywhere, split = (
    NamedSharding(mesh, PartitionSpec()),
    NamedSharding(mesh, PartitionSpec("data")),
)

batch = np.linspace(-1, 1, 16, dtype=np.float32)
mine = np.split(batch, int(processes))[int(process)]
v = jax.make_array_from_process_local_data(split, mine)
scale = jax.device_put(np.float32(5), everywhere)


def loss(scale, v):
    return jnp.mean((v * fast_sigmoid(v, scale=scale)) ** 2)


gradient = jax.jit(jax.grad(loss))(scale, v)
if jax.process_index() == 0:
    alone = jax.grad(loss)(5.0, jnp.asarray(batch))
    print(jax.process_count(), "processes", np.allclose(gradient, alone, rtol=1e-6))
