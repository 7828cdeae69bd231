"""Every surrogate on a mesh of eight devices, compared with one device.

Writes a list of records: the case, its parameters, the surrogate, the largest difference of a gradient from that of one device
(of the largest gradient in its array), and the collectives in the compiled text by kind: those of all gradients, and those of the
potential's alone.
"""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from mesh import placed, start, whole

from arcana import surrogate as definitions
from arcana.jax import spike
from arcana.surrogate import Surrogate

V = np.random.default_rng(0).normal(size=(8, 16))
COTANGENT = np.random.default_rng(1).normal(size=V.shape)
SPLIT = PartitionSpec("data", "model")
SHAPES = {"shared": ((), PartitionSpec()), "per channel": ((16,), PartitionSpec("model"))}
WAYS = {
    "jit": "`jit`, Auto axes",
    "explicit": "`jit`, explicit axes",
    "shard_map": "`shard_map`",
    "shard_map, unchecked": "`shard_map`, `check_vma=False`",
    "scan": "`lax.scan`, Auto axes",
    "vmap": "`vmap` with `spmd_axis_name`",
}
BY_PROCESSES = {way: f"two processes, gloo, {WAYS[way]}" for way in ("jit", "shard_map")}
COLLECTIVE = re.compile(
    r"= (?:\([^=]*?\)|\S+) (all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all|collective-broadcast)(?:-start)?\("
)

Parameters = dict[str, jax.Array]
Call = Callable[[jax.Array, Parameters], jax.Array]


def difference(found: Any, expected: Any) -> float:
    arrays = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(float(np.max(np.abs(np.asarray(one) - other))) / (float(np.max(np.abs(other))) or 1.0) for one, other in arrays)


def pulled(call: Call) -> Callable[..., Any]:
    """The spikes, and the gradients of v and of the parameters, as a function of them and a cotangent."""

    def gradients(v: jax.Array, parameters: Parameters, cotangent: jax.Array) -> Any:
        spikes, pullback = jax.vjp(call, v, parameters)
        return spikes, *pullback(cotangent)

    return gradients


def scanned(call: Call) -> Call:
    """Three steps of a neuron that keeps what it does not fire."""

    def steps(v: jax.Array, parameters: Parameters) -> jax.Array:
        def step(state: jax.Array, _: None) -> tuple[jax.Array, None]:
            fired = call(state, parameters)
            return v + 0.5 * (state - fired), None

        return call(jax.lax.scan(step, v, None, length=3)[0], parameters)

    return steps


def cases(surrogate: Surrogate) -> Iterator[dict[str, Any]]:
    def plain(v: jax.Array, parameters: Parameters) -> jax.Array:
        return spike(v, surrogate, **parameters)

    ways = WAYS if jax.process_count() == 1 else BY_PROCESSES
    for size, (shape, spec) in SHAPES.items():
        given = {name: jnp.full(shape, value) for name, value in surrogate.numbers.items()}
        alone = {call: jax.jit(pulled(call))(jnp.asarray(V), given, jnp.asarray(COTANGENT)) for call in (plain, scanned(plain))}
        for way in ways:
            mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(axis_type(way),) * 2)
            one = list(alone)["scan" in way]
            call = split(one, way, mesh, spec)
            found, text = on(mesh, pulled(call), given, spec)
            _, text_of_v = on(mesh, lambda *given: pulled(call)(*given)[:2], given, spec)  # noqa: B023  (called at once)
            spikes, *gradients = alone[one]
            yield {
                "case": ways[way],
                "parameters": size,
                "spikes": difference(found[0], spikes),
                "difference": difference(found[1:], gradients),
                "collectives": collections.Counter(COLLECTIVE.findall(text)),
                "of the potential": collections.Counter(COLLECTIVE.findall(text_of_v)),
            }


def axis_type(way: str) -> AxisType:
    return AxisType.Explicit if way == "explicit" else AxisType.Auto


def split(call: Call, way: str, mesh: Mesh, spec: PartitionSpec) -> Call:
    """The call as one of the ways hands it to jit."""
    if "shard_map" in way:
        return jax.shard_map(call, mesh=mesh, in_specs=(SPLIT, spec), out_specs=SPLIT, check_vma=way == "shard_map")
    # The rows by vmap, along the mesh axis that they lie on.
    return jax.vmap(call, in_axes=(0, None), spmd_axis_name="data") if way == "vmap" else call


def on(mesh: Mesh, gradients: Callable[..., Any], given: Parameters, spec: PartitionSpec) -> tuple[Any, str]:
    """The result on the mesh, and the text that it was compiled to."""
    v, cotangent = (placed(x, mesh, SPLIT) for x in (V, COTANGENT))
    parameters = {name: placed(np.asarray(x), mesh, spec) for name, x in given.items()}
    with jax.set_mesh(mesh):
        compiled = jax.jit(gradients).lower(v, parameters, cotangent).compile()
        found = compiled(v, parameters, cotangent)
        assert all(x.sharding.is_equivalent_to(NamedSharding(mesh, SPLIT), x.ndim) for x in found[:2])
        return jax.tree.map(lambda x: whole(x, mesh), found), compiled.as_text()


def records(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        for record in cases(definitions.get(name)):
            yield {"name": name, **record}


def main() -> None:
    arguments = start(__doc__)
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    found = list(records(arguments.names or definitions.names()))
    if jax.process_index() == 0:
        arguments.results.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
