"""Every JAX row of the transforms table, for every surrogate: against the paper, rational ones bit for bit against vjp too."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known_values import KNOWN
from truth import COTANGENT, POINTS, assert_exact, columns, exact_at_points, parameter_points

import arcana.jax.conformance as side
from arcana import surrogate as definitions
from arcana.jax import forward_mode, spike
from arcana.jax._compat import enable_x64
from arcana.testing._transforms import traceable, transform

SURROGATES = [definitions.get(name) for name in KNOWN]
"""Each test passes them all through one transform: what is traced and compiled once serves all."""
WITH_PARAMETER = [(definitions.get(name), key) for name in KNOWN for key in KNOWN[name].by_parameter]


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize("way", side.FIRST)
def test_first_derivative(way: str, x64: bool, subtests: pytest.Subtests) -> None:
    dtype = "float64" if x64 else "float32"
    v, c = (columns(x, len(SURROGATES), dtype) for x in (POINTS, COTANGENT))
    with enable_x64(x64):
        found, plain = (transform(side, each, SURROGATES, v, c) for each in (way, "vjp"))
    assert found.dtype == v.dtype
    for i, surrogate in enumerate(SURROGATES):
        with subtests.test(surrogate.name):
            if KNOWN[surrogate.name].bits:
                np.testing.assert_array_equal(found[:, i], plain[:, i])
            assert_exact(found[:, i], exact_at_points("h", surrogate, dtype), 4, dtype)


@pytest.fixture
def few_objects() -> Iterator[None]:
    """A search for leaked tracers collects garbage at every trace; what there was before it need not be looked at."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("few_objects")
@pytest.mark.parametrize("way", side.FIRST)
def test_no_tracer_leaks(way: str) -> None:
    """Traced and not run: looking for leaked tracers switches JAX's caches off, so each operation would be compiled again."""
    v, c = (jnp.asarray(columns(x, len(SURROGATES), "float32")) for x in (POINTS, COTANGENT))
    with jax.check_tracer_leaks():
        traced = jax.eval_shape(traceable(side, way, SURROGATES), v, c)
    assert (traced.shape, traced.dtype) == (v.shape, v.dtype)


@pytest.mark.parametrize("way", side.SECOND)
def test_second_derivative(way: str, subtests: pytest.Subtests) -> None:
    v, c = (columns(x, len(SURROGATES), "float32") for x in (POINTS, COTANGENT))
    found = transform(side, way, SURROGATES, v, c)
    for i, surrogate in enumerate(SURROGATES):
        with subtests.test(surrogate.name):
            assert_exact(found[:, i], exact_at_points("slope", surrogate, "float32"), 8, "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", side.PARAMETER)
def test_parameter_gradient(way: str, dtype: str, subtests: pytest.Subtests) -> None:
    surrogates, names = zip(*WITH_PARAMETER, strict=True)
    v, c = (columns(x, len(surrogates), dtype) for x in (POINTS, COTANGENT))
    p = np.stack([parameter_points(*each, POINTS.size) for each in WITH_PARAMETER], -1).astype(dtype)
    found = transform(side, way, surrogates, p, v, c, parameters=names)
    for i, (surrogate, name) in enumerate(WITH_PARAMETER):
        with subtests.test(f"{surrogate.name}, {name}"):
            assert_exact(found[:, i], exact_at_points("parameter", surrogate, dtype, name), 8, dtype)


@pytest.mark.parametrize("way", side.PARAMETER)
def test_gain_gradient_is_the_rise_of_the_primitive(way: str, subtests: pytest.Subtests) -> None:
    """G − 1/2 is formed by subtraction, so near 0 the error is one of rounding 1/2, not of the small difference."""
    near = np.abs(POINTS) < 100
    v, c = (columns(x, len(SURROGATES), "float32") for x in (POINTS[near], COTANGENT[: near.sum()]))
    p = columns(np.linspace(0.5, 3, near.sum()), len(SURROGATES), "float32")
    found = transform(side, way, SURROGATES, p, v, c, parameters=["gain"] * len(SURROGATES))
    for i, surrogate in enumerate(SURROGATES):
        with subtests.test(surrogate.name):
            rise = (surrogate.primitive(v[:, i].astype("float64")) - 0.5) * c[:, i]
            np.testing.assert_allclose(found[:, i], rise, rtol=3e-6, atol=3e-7)


@pytest.mark.parametrize("name", ["fast_sigmoid", "rectangular", "step", "ste"])
def test_shard_map_outside_jit(name: str) -> None:
    """v, a comparison, the spikes, or nothing is kept; out here each operation is compiled by itself."""
    v, c = jnp.linspace(-2, 2, 16), jnp.linspace(-1, 3, 16)
    mesh = jax.make_mesh((8,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.PartitionSpec("devices")
    surrogate = definitions.get(name)
    (found,) = jax.vjp(jax.shard_map(surrogate, mesh=mesh, in_specs=(split,), out_specs=split), v)[1](c)
    np.testing.assert_array_equal(found, c * surrogate.derivative(v))


def test_shard_map_sums_the_gradient_of_a_parameter_that_all_devices_share() -> None:
    mesh = jax.make_mesh((8,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    split, shared = jax.sharding.PartitionSpec("devices"), jax.sharding.PartitionSpec()
    v = jnp.linspace(-2, 2, 16)

    def loss(x: jax.Array, scale: jax.Array) -> jax.Array:
        call = jax.shard_map(
            lambda a, b: spike(a, definitions.fast_sigmoid, scale=b), mesh=mesh, in_specs=(split, shared), out_specs=split
        )
        return jnp.sum(x * call(x, scale))

    plain = jax.grad(lambda x, scale: jnp.sum(x * spike(x, definitions.fast_sigmoid, scale=scale)), argnums=(0, 1))
    for found, expected in zip(jax.grad(loss, argnums=(0, 1))(v, jnp.float64(3)), plain(v, jnp.float64(3)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert jax.device_count() == 8


def test_parameters_of_other_shapes_under_vmap() -> None:
    v = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3, 5)))
    scales = jnp.asarray(np.random.default_rng(1).uniform(0.5, 2, (3, 5)))
    gradients = jax.grad(lambda a, b: jnp.sum(a * spike(a, definitions.fast_sigmoid, scale=b)), argnums=(0, 1))
    batched = jax.vmap(gradients, in_axes=(1, 0))(v, scales)
    for i in range(3):
        for one, many in zip(gradients(v[:, i], scales[i]), batched, strict=True):
            np.testing.assert_allclose(many[i], one, rtol=1e-14)


@pytest.mark.parametrize("mode", ["reverse", "forward_mode"])
def test_mixed_second_derivatives(mode: str) -> None:
    """d/dv of ∂G/∂scale is ∂h/∂scale, at v = 0 too."""
    function = forward_mode(definitions.fast_sigmoid) if mode == "forward_mode" else definitions.fast_sigmoid
    v = jnp.array([-1.5, -0.2, 0.0, 0.3, 2.0])
    mixed = jax.vmap(jax.grad(jax.grad(lambda scale, x: function(x, scale=scale)), argnums=1), in_axes=(None, 0))(3.0, v)
    np.testing.assert_allclose(mixed, -2 * np.abs(v) * (1 + 3 * np.abs(v)) ** -3, rtol=1e-13)


@pytest.mark.parametrize("way", ["plain", "jit", "vmap", "scan"])
def test_a_schedule_of_slopes_never_retraces(way: str) -> None:
    traces = []

    def call(v: jax.Array, scale: jax.Array) -> jax.Array:
        traces.append(1)
        return jnp.sum(spike(v, definitions.fast_sigmoid, scale=scale))

    v, scales = jnp.linspace(-1, 1, 7), jnp.linspace(1, 30, 9)
    expected = np.stack([definitions.FastSigmoid(scale=float(s)).derivative(v) for s in scales])
    gradient = jax.grad(call)
    if way == "vmap":
        found = jax.jit(jax.vmap(gradient, in_axes=(None, 0)))(v, scales)
    elif way == "scan":
        found = jax.lax.scan(lambda _, s: (None, gradient(v, s)), None, scales)[1]
    else:
        step = jax.jit(gradient) if way == "jit" else gradient
        found = [step(v, s) for s in scales]
    np.testing.assert_array_equal(np.asarray(found), expected)
    assert len(traces) == (9 if way == "plain" else 1) or way == "scan"
