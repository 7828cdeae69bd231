"""Every JAX row of the transforms table, for every surrogate: against the paper, rational ones bit for bit against vjp too."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known_values import KNOWN
from truth import COTANGENT, POINTS, assert_exact, exact, parameter_points

import arcana.jax._conformance as side
from arcana import surrogate as definitions
from arcana.jax import forward_mode, spike


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("way", side.FIRST)
def test_first_derivative(way: str, name: str, x64: bool) -> None:
    surrogate, dtype = definitions.get(name), "float64" if x64 else "float32"
    v, c = POINTS.astype(dtype), COTANGENT.astype(dtype)
    # Looking for leaked tracers switches JAX's caches off, so only one of the two does.
    with jax.enable_x64(x64), jax.check_tracer_leaks(not x64):
        found = side.transform("first", way, surrogate, v, c)
        if KNOWN[name].bits:
            np.testing.assert_array_equal(found, side.transform("first", "vjp", surrogate, v, c))
    assert found.dtype == v.dtype
    assert_exact(found, exact("h", surrogate, v, c, dtype), 4, dtype)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("way", side.SECOND)
def test_second_derivative(way: str, name: str) -> None:
    surrogate = definitions.get(name)
    v, c = POINTS.astype("float32"), COTANGENT.astype("float32")
    found = side.transform("second", way, surrogate, v, c)
    assert_exact(found, exact("slope", surrogate, v, c, "float32"), 8, "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "parameter"), [(name, key) for name in KNOWN for key in KNOWN[name].by_parameter])
@pytest.mark.parametrize("way", side.PARAMETER)
def test_parameter_gradient(way: str, name: str, parameter: str, dtype: str) -> None:
    surrogate = definitions.get(name)
    v, c = POINTS.astype(dtype), COTANGENT.astype(dtype)
    p = parameter_points(surrogate, parameter, v.size).astype(dtype)
    found = side.transform("parameter", way, surrogate, p, v, c, parameter=parameter)
    assert_exact(found, exact("parameter", surrogate, v, c, dtype, parameter, p), 8, dtype)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("way", side.PARAMETER)
def test_gain_gradient_is_the_rise_of_the_primitive(way: str, name: str) -> None:
    """G − 1/2 is formed by subtraction, so near 0 the error is one of rounding 1/2, not of the small difference."""
    surrogate = definitions.get(name)
    v = POINTS[np.abs(POINTS) < 100].astype("float32")
    c = COTANGENT[: v.size].astype("float32")
    p = np.linspace(0.5, 3, v.size, dtype="float32")
    found = side.transform("parameter", way, surrogate, p, v, c, parameter="gain")
    rise = (surrogate.primitive(v.astype("float64")) - 0.5) * c
    np.testing.assert_allclose(found, rise, rtol=3e-6, atol=3e-7)


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


def test_plain_functions_have_no_forward_mode_and_say_so() -> None:
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(definitions.fast_sigmoid, (jnp.ones(2),), (jnp.ones(2),))


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
