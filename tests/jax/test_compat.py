"""The functions inside JAX: each is there under its name, and does what it is read for."""

from __future__ import annotations

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from private import readers, resolve

from arcana.jax import _compat

VERSION = tuple(map(int, jax.__version__.split(".")[:3]))

NAMES = [
    "jax._src.core.Primitive",
    "jax._src.debugging.ordered_debug_effect",
    "jax.interpreters.ad.Zero",
    "jax.interpreters.ad.is_undefined_primal",
    "jax.interpreters.ad.primitive_jvps",
    "jax.interpreters.ad.primitive_transposes",
    "jax.interpreters.batching.bdim_at_front",
    "jax.interpreters.batching.primitive_batchers",
    "jax.interpreters.mlir.lower_fun",
    "jax.interpreters.mlir.register_lowering",
    "jax.interpreters.partial_eval.partial_eval_jaxpr_custom_rules",
    "jax.make_user_context",
    "jax.core.ShapedArray.to_tangent_aval",
    "jax.core.ShapedArray.update",
    "jax.core.ShapedArray.manual_axis_type" if VERSION >= (0, 10) else "jax.core.ShapedArray.vma",
    "jax.lax.pcast" if VERSION >= (0, 8, 2) else "jax.lax.pvary",
    "jax.enable_x64" if VERSION >= (0, 8) else "jax.experimental.enable_x64",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_there(name: str) -> None:
    resolve(name)


def test_nothing_else_reads_a_name_from_inside() -> None:
    inner = ("jax.interpreters", "jax.extend", "jax.lax.pcast", "jax.lax.pvary", "jax.enable_x64", "jax.experimental.enable_x64")
    assert set(readers(("jax",), inner)) == {"jax/_compat.py"}


def test_the_primitive_is_that_of_the_public_module() -> None:
    """It is imported from a private one, since the public one takes 17 ms to import."""
    assert _compat.Primitive is jax.extend.core.Primitive


def test_the_type_of_a_tangent() -> None:
    assert _compat.tangent_type(jnp.zeros(3, bool)).dtype == jax.dtypes.float0
    assert _compat.tangent_type(jnp.zeros(3, "float32")).dtype == np.float32


def test_batch_first() -> None:
    assert _compat.batch_first(jnp.zeros((2, 3)), 1, 3).shape == (3, 2)
    assert _compat.batch_first(jnp.zeros(2), None, 3).shape == (3, 2)


def test_varying_axes() -> None:
    mesh = jax.make_mesh((2,), ("devices",), axis_types=(AxisType.Auto,))
    seen: list[frozenset[str]] = []

    def step(v: jax.Array, width: jax.Array) -> jax.Array:
        marked = _compat.vary_over(width, ("devices",))
        seen.extend(map(_compat.varying_axes, (v, width, marked)))
        return v * marked

    split = PartitionSpec("devices")
    found = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split))(
        jnp.arange(4.0), jnp.full(2, 2.0)
    )
    assert seen == [{"devices"}, frozenset(), {"devices"}]
    assert found.tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("value", [True, False])
def test_enable_x64(value: bool) -> None:
    with _compat.enable_x64(value):
        assert jnp.zeros(1, "float64" if value else None).dtype == ("float64" if value else "float32")
    assert jnp.zeros(1).dtype == "float64"
