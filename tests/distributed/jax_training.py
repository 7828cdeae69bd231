"""The digits trained on a mesh, compared with one device at every update."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from digits import HIDDEN, LEAK, RATE, STEPS, Comparison, batches, weights
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from mesh import placed, start, whole

from arcana.jax import fast_sigmoid

Parameters = dict[str, jax.Array]


def layer(parameters: Parameters, name: str, inputs: jax.Array) -> jax.Array:
    """Leaky neurons over a sequence, (steps, batch, inputs) to spikes."""
    currents = inputs @ parameters[f"{name}.weight"]
    scale, threshold = parameters[f"{name}.scale"], parameters[f"{name}.threshold"]

    def step(v: jax.Array, current: jax.Array) -> tuple[jax.Array, jax.Array]:
        v = LEAK * v + current
        spikes = fast_sigmoid(v - threshold, scale=scale)
        return v - spikes, spikes

    return jax.lax.scan(step, jnp.zeros_like(currents[0]), currents)[1]


def loss_of(parameters: Parameters, images: jax.Array, labels: jax.Array) -> jax.Array:
    inputs = jnp.broadcast_to(images, (STEPS, *images.shape), out_sharding=sequence_of(images))
    spikes = layer(parameters, "second", layer(parameters, "first", inputs))
    scores = spikes.mean(axis=0) @ parameters["readout.weight"]
    # Not by the labels as indices, which explicit axes do not take.
    return optax.softmax_cross_entropy(scores, jax.nn.one_hot(labels, 10)).mean()


def sequence_of(images: jax.Array) -> Any:
    """The sharding of the images at every step, where axes are explicit."""
    sharding = jax.typeof(images).sharding
    if AxisType.Explicit not in sharding.mesh.axis_types:
        return None
    return NamedSharding(sharding.mesh, PartitionSpec(None, *sharding.spec))


gradients = jax.value_and_grad(loss_of)


def by_shard_map(mesh: Mesh, vma: bool = True) -> Callable[..., Any]:
    """Each device takes its part of the batch, and the mean of the parts is the gradient."""
    shared, split = PartitionSpec(), PartitionSpec("data")

    def of_part(parameters: Parameters, images: jax.Array, labels: jax.Array) -> Any:
        if vma:
            # A parameter that all devices share has the sum of their gradients already.
            loss, found = gradients(parameters, images, labels)
            return jax.lax.pmean(loss, "data"), jax.tree.map(lambda x: x / mesh.size, found)
        return jax.lax.pmean(gradients(parameters, images, labels), "data")

    return jax.shard_map(of_part, mesh=mesh, in_specs=(shared, split, split), out_specs=shared, check_vma=vma)


def train(case: str, mesh: Mesh, step: Callable[..., Any], columns: PartitionSpec | None = None) -> dict[str, Any]:
    """Train on the mesh; one device sees the same parameters and the whole batch at every update.

    `columns` is where the neurons of the first layer lie, if they are split.
    """
    alone, together = jax.jit(gradients), jax.jit(step)
    comparison = Comparison()
    parameters = weights()

    def place_of(name: str) -> PartitionSpec:
        if columns is None or not name.startswith("first.") or name.endswith("scale"):
            return PartitionSpec()
        return PartitionSpec(None, *columns) if name.endswith("weight") else columns

    for images, labels in batches():
        loss, expected = alone({name: jnp.asarray(x) for name, x in parameters.items()}, images, labels)
        with jax.set_mesh(mesh):
            given = {name: placed(x, mesh, place_of(name)) for name, x in parameters.items()}
            _, found = together(given, *(placed(x, mesh, PartitionSpec("data")) for x in (images, labels)))
            found = {name: whole(x, mesh) for name, x in found.items()}
        comparison.see(loss, found, expected)
        parameters = {name: x - RATE * found[name] for name, x in parameters.items()}
    return comparison.record(case)


def records() -> list[dict[str, Any]]:
    devices = jax.device_count()
    automatic = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
    if jax.process_count() > 1:
        named = f"{jax.process_count()} processes (`jax.distributed`, gloo), "
        return [
            train(named + "`jit`", automatic, gradients),
            train(named + "`shard_map`", automatic, by_shard_map(automatic)),
        ]
    explicit = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Explicit,))
    two = jax.make_mesh((devices // 2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    assert HIDDEN % 2 == 0
    return [
        train("`jit`, Auto axes", automatic, gradients),
        train("`jit`, explicit axes", explicit, gradients),
        train("`jit`, neurons split too", two, gradients, PartitionSpec("model")),
        train("`shard_map`", automatic, by_shard_map(automatic)),
        train("`shard_map`, `check_vma=False`", automatic, by_shard_map(automatic, vma=False)),
    ]


def main() -> None:
    arguments = start(__doc__)
    found = records()
    if jax.process_index() == 0:
        arguments.results.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
