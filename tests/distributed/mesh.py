"""JAX over eight devices, of one process or of two, and arrays on them: what the programs share."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def start(description: str | None) -> argparse.Namespace:
    """Read the command line and start JAX; the processes of a mesh meet at an address, and their collectives are gloo's."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", type=Path, help="the file for the records")
    parser.add_argument("names", nargs="*", help="of surrogates, default all")
    parser.add_argument("--processes", nargs=3, metavar=("ADDRESS", "COUNT", "RANK"), help="several processes make the mesh")
    arguments = parser.parse_args()
    if arguments.processes:
        address, count, rank = arguments.processes
        jax.config.update("jax_num_cpu_devices", 8 // int(count))
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(address, int(count), int(rank))
    else:
        jax.config.update("jax_num_cpu_devices", 8)
    return arguments


def placed(x: Any, mesh: Mesh, spec: PartitionSpec) -> jax.Array:
    """An array that every process has, over the mesh."""
    return jax.make_array_from_callback(x.shape, NamedSharding(mesh, spec), lambda index: x[index])


def whole(x: jax.Array, mesh: Mesh) -> np.ndarray[Any, Any]:
    """All of an array, in every process."""
    return np.asarray(x if x.is_fully_addressable else _copied(mesh)(x).addressable_data(0))


@functools.cache
def _copied(mesh: Mesh) -> Any:
    return jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, PartitionSpec()))
