"""Every JAX row of the transforms table, for every surrogate: against the paper, rational ones bit for bit against vjp too."""

from __future__ import annotations

import functools
import gc
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_way import NEAR, gain_gradients, gradients as gradients_by, parameter_gradients
from every import each_kept, every_parameter, every_surrogate, one_a_kept, parameters_of
from known_values import KNOWN
from truth import COTANGENT, POINTS, assert_exact, columns, exact_at_points

import arcana.jax.conformance as side
from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.jax import forward_mode, spike
from arcana.testing._transforms import traceable


def dtypes_and_ways(ways: tuple[str, ...], *in_float64: str) -> list[tuple[str, str]]:
    """Every way in float32, and one in reverse and one in forward mode in float64, which is computed by the same operations."""
    return [*(("float32", way) for way in ways), *(("float64", way) for way in in_float64)]


EXAMPLES = tuple(one_a_kept(*Kept))
"""By which float64 goes every way."""


def assert_first_derivative(name: str, dtype: str, way: str, names: tuple[str, ...]) -> None:
    found, plain = (gradients_by(side, each, dtype, names)[:, names.index(name)] for each in (way, "vjp"))
    assert found.dtype == dtype
    if KNOWN[name].bits:
        np.testing.assert_array_equal(found, plain)
    assert_exact(found, exact_at_points("h", definitions.get(name), dtype), 4, dtype)


@every_surrogate
@pytest.mark.parametrize(("dtype", "way"), dtypes_and_ways(side.FIRST, "vjp", "jvp"))
def test_first_derivative(name: str, dtype: str, way: str, together: tuple[str, ...]) -> None:
    assert_first_derivative(name, dtype, way, together)


@each_kept(*Kept)
@pytest.mark.parametrize("way", side.FIRST)
def test_first_derivative_in_float64(name: str, way: str) -> None:
    assert_first_derivative(name, "float64", way, EXAMPLES)


def test_each_word_of_a_row_does_what_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the programs say by what they were computed; the Hessian of p² v is known."""
    x, c = jnp.array([-1.0, 0.5, 2.0]), jnp.array([3.0, 5.0, -7.0])
    said = {
        "scan": "scan",
        "checkpoint": "remat|checkpoint",
        "jit(shard_map)": "shard_map",
        side.EXPORT: "exported",
        "jit": "jit",
    }

    def cube(y: jax.Array) -> jax.Array:
        return y**3

    for name, word in side.POINTWISE.items():
        if name not in side.NOT_CHECKED:
            assert re.search(said.get(name, ""), str(jax.make_jaxpr(functools.partial(word, cube))(x, c))), name
    for name, word in side.WRAPPERS.items():
        assert re.search(said[name], str(jax.make_jaxpr(word(cube))(x))), name
    p, v, dp, dv = jnp.arange(1.0, 13.0).reshape(4, 3)
    found = side.PRODUCTS["linearize of grad"](lambda p, v: p * p * v, p, v, c, dp, dv)
    np.testing.assert_allclose(found, [c * (2 * v * dp + 2 * p * dv), c * 2 * p * dp], rtol=1e-6)
    assert side.REPEATS["scan"](lambda carry: 2 * carry + 1, jnp.float32(0), 3) == 7
    monkeypatch.setattr(side, "forward_mode", lambda surrogate: functools.partial(jnp.add, surrogate))
    assert side.SPIKES["forward_mode"](jnp.float32(2), jnp.float32(3)) == 5


def test_float64_is_switched_on_where_it_is_asked_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(x: jax.Array, surrogate: definitions.Surrogate) -> jax.Array:
        seen.append((str(x.dtype), jax.config.read("jax_enable_x64")))
        return spike(x, surrogate)

    monkeypatch.setattr(side, "spike", watched)
    bits = {dtype: np.array([0.5, -2.0], dtype).view(f"uint{8 * np.dtype(dtype).itemsize}") for dtype in ("float32", "float64")}
    for switched in (False, True):
        with side.enable_x64(switched):
            for dtypes in (("float32",), ("float32", "float64")):
                cases = [(definitions.FastSigmoid(scale=1.0), bits[dtype], bits[dtype], dtype) for dtype in dtypes]
                for dtype, (spikes, gradient) in zip(dtypes, side.spikes_and_gradients(cases), strict=True):
                    assert isinstance(spikes, np.ndarray)
                    # c / (1 + |v|)² at 0.5 and −2.
                    np.testing.assert_array_equal(spikes.view(dtype), [1, 0])
                    np.testing.assert_allclose(gradient.view(dtype), [0.5 / 1.5**2, -2 / 9], rtol=1e-6)
                assert seen == [(dtype, switched or len(dtypes) > 1) for dtype in dtypes]
                seen.clear()
    # Under jit the same cases are one module, which is made once.
    for traced in (1, 0):
        side.spikes_and_gradients([(definitions.FastSigmoid(scale=1.03125), *[bits["float32"]] * 2, "float32")], "jit")
        assert len(seen) == traced
        seen.clear()


@functools.cache
def leak(names: tuple[str, ...]) -> None:
    """Trace by every way and run none: looking for leaks switches JAX's caches off, so all would be compiled again.

    The search collects garbage at every trace; what there was before it need not be looked at.
    """
    surrogates = [definitions.get(name) for name in names]
    v, c = (jnp.asarray(columns(x, len(names), "float32")) for x in (POINTS, COTANGENT))
    gc.collect()
    gc.freeze()
    with jax.check_tracer_leaks():
        for way in side.FIRST:
            traced = jax.eval_shape(traceable(side, way, surrogates), v, c)
            assert (traced.shape, traced.dtype) == (v.shape, v.dtype), way


@every_surrogate
def test_no_tracer_leaks(name: str, together: tuple[str, ...]) -> None:
    assert name in together
    leak(together)


@every_surrogate
@pytest.mark.parametrize("way", side.SECOND)
def test_second_derivative(name: str, way: str, together: tuple[str, ...]) -> None:
    found = gradients_by(side, way, "float32", together)[:, together.index(name)]
    assert_exact(found, exact_at_points("slope", definitions.get(name), "float32"), 8, "float32")


def assert_parameter_gradient(case: tuple[str, str], dtype: str, way: str, cases: tuple[tuple[str, str], ...]) -> None:
    found = parameter_gradients(side, way, dtype, cases)[:, cases.index(case)]
    assert_exact(found, exact_at_points("parameter", definitions.get(case[0]), dtype, case[1]), 8, dtype)


@every_parameter
@pytest.mark.parametrize(("dtype", "way"), dtypes_and_ways(side.PARAMETER, "grad", "jvp"))
def test_parameter_gradient(name: str, key: str, dtype: str, way: str, together: tuple[str, ...]) -> None:
    assert_parameter_gradient((name, key), dtype, way, parameters_of(together))


@pytest.mark.parametrize("way", side.PARAMETER)
def test_parameter_gradients_in_float64(way: str) -> None:
    cases = parameters_of(EXAMPLES)
    for case in cases:
        assert_parameter_gradient(case, "float64", way, cases)


@every_surrogate
@pytest.mark.parametrize("way", side.PARAMETER)
def test_gain_gradient_is_the_rise_of_the_primitive(name: str, way: str, together: tuple[str, ...]) -> None:
    """G − 1/2 is formed by subtraction, so near 0 the error is one of rounding 1/2, not of the small difference."""
    found = gain_gradients(side, way, together)[:, together.index(name)]
    rise = (definitions.get(name).primitive(NEAR.astype("float32").astype("float64")) - 0.5) * COTANGENT[: NEAR.size]
    np.testing.assert_allclose(found, rise, rtol=3e-6, atol=3e-7)


@each_kept(*Kept)
def test_shard_map_outside_jit(name: str) -> None:
    """Out here each operation is compiled by itself."""
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


def test_a_mixed_second_derivative_far_from_the_threshold_is_zero() -> None:
    """There h has ended, whatever the scale: the only element that counts is the near one."""
    v, c = jnp.array([1e30, -1e30, jnp.inf, -jnp.inf, 2.0], jnp.float32), jnp.array([1, 2, 3, 4, 0.5], jnp.float32)
    gradient = jax.grad(lambda v, scale: jnp.sum(c * spike(v, definitions.fast_sigmoid, scale=scale)))
    mixed = jax.grad(lambda scale: jnp.sum(gradient(v, scale)))(jnp.float32(3))
    np.testing.assert_allclose(mixed, 0.5 * -2 * 2 * (1 + 3 * 2) ** -3, rtol=1e-6)


class OfArrays(definitions.Surrogate):
    """A G that asks for the dtype of an array, which no trace of ours has."""

    width: float = definitions.parameter(2.0)
    height: float = definitions.parameter(0.5)

    @staticmethod
    def derivative(v: Any, xp: Any, *, width: Any, height: Any) -> Any:
        return height * xp.reciprocal(xp.square(1 + xp.abs(v) * width))

    @staticmethod
    def primitive(v: Any, xp: Any, *, width: Any, height: Any) -> Any:
        return height * v.astype(v.dtype) / (1 + xp.abs(v) * width) + 0.5


def test_a_primitive_that_only_the_framework_can_read_has_gradients() -> None:
    v, c = jnp.array([-1.5, -0.2, 0.0, 0.3, 2.0]), jnp.array([0.5, -1.0, 2.0, 3.0, -0.25])
    found = jax.grad(lambda width, height: jnp.sum(c * spike(v, OfArrays(), width=width, height=height)), (0, 1))(2.0, 0.5)
    along_width = -0.5 * v * jnp.abs(v) / (1 + 2 * jnp.abs(v)) ** 2
    np.testing.assert_allclose(found, [jnp.sum(c * along_width), jnp.sum(c * v / (1 + 2 * jnp.abs(v)))], rtol=1e-12)
    # At infinity it is the limit.
    far = jnp.array([jnp.inf, -jnp.inf])
    found = jax.grad(lambda height: jnp.sum(jnp.array([3.0, 1.0]) * spike(far, OfArrays(), height=height)))(0.5)
    np.testing.assert_allclose(found, (3 - 1) / 2, rtol=1e-12)


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
