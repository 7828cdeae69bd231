"""What a call means in JAX: spikes, dtypes, errors, caches, and the modules of the frameworks people have."""

from __future__ import annotations

import copy
import functools
import logging
import pickle
from unittest import mock

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import each_kept, every_surrogate, one_a_kept
from flax import linen, nnx
from known_values import KNOWN
from loaded import loaded_by, packages
from truth import assert_hard_case, hard_cases

import arcana.jax
import arcana.jax.conformance as side
from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.jax import FastSigmoid, forward_mode, spike
from arcana.surrogate import Surrogate, fast_sigmoid, parameter
from arcana.testing import check_surrogate
from arcana.testing._report import Report
from arcana.testing._surrogate import exact_spikes, reports
from arcana.testing._values import BITS, from_float, hard_sample, to_float


class Cauchy(Surrogate):
    width: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        return xp.reciprocal(1 + xp.square(v / width))


@functools.cache
def spikes(fires_at_threshold: bool, names: tuple[str, ...]) -> list[dict[str, list[jax.Array]]]:
    """Of each way of calling, the spikes of each surrogate by dtype."""
    surrogates = [definitions.get(name, fires_at_threshold=fires_at_threshold) for name in names]

    def reverse(potentials: dict[str, jax.Array]) -> dict[str, list[jax.Array]]:
        return {dtype: [surrogate(v) for surrogate in surrogates] for dtype, v in potentials.items()}

    def forward(potentials: dict[str, jax.Array]) -> dict[str, list[jax.Array]]:
        return {dtype: [forward_mode(surrogate)(v) for surrogate in surrogates] for dtype, v in potentials.items()}

    def vmapped(potentials: dict[str, jax.Array]) -> dict[str, list[jax.Array]]:
        return {dtype: [jax.vmap(surrogate)(v) for surrogate in surrogates] for dtype, v in potentials.items()}

    potentials = {dtype: side.from_bits(hard_sample(dtype), dtype) for dtype in BITS}
    return [function(potentials) for function in (reverse, jax.jit(reverse), vmapped, forward, jax.jit(forward))]


@every_surrogate
@pytest.mark.parametrize("fires_at_threshold", [True, False])
@pytest.mark.parametrize("dtype", BITS)
def test_spikes_of_every_pattern(name: str, dtype: str, fires_at_threshold: bool, together: tuple[str, ...]) -> None:
    """Negative subnormals too, which XLA on CPU would take for zeros that fire."""
    bits = hard_sample(dtype)
    expected = exact_spikes(bits, dtype, fires_at_threshold)
    for by_dtype in spikes(fires_at_threshold, together):
        found = by_dtype[dtype][together.index(name)]
        assert (found.dtype, found.shape) == (dtype, bits.shape)
        np.testing.assert_array_equal(side.to_bits(found), expected)


@every_surrogate
def test_gradient_of_a_hard_sample_is_the_papers(name: str, subtests: pytest.Subtests) -> None:
    """All parameter sets and both dtypes in one call, so that they are compiled at once."""
    cases = hard_cases(name)
    results = [side.spikes_and_gradients(cases, mode) for mode in side.MODES]
    for case, *gradients in zip(cases, *results, strict=True):
        surrogate, *_, dtype = case
        with subtests.test(f"{surrogate!r}, {dtype}"):
            for _, gradient in gradients:
                # A subnormal potential is zero to XLA on CPU, which a steep enough surrogate shows.
                assert_hard_case(gradient, surrogate, dtype, subnormals=False)


@every_surrogate
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("mode", side.MODES)
def test_half_types_are_computed_in_float32_and_rounded_once(name: str, dtype: str, mode: str) -> None:
    surrogate = definitions.get(name)
    bits = hard_sample(dtype)
    c = from_float(np.random.default_rng(4).uniform(0.5, 2, bits.size), dtype)
    wide = np.asarray(jnp.asarray(to_float(c, dtype)) * surrogate.derivative(jnp.asarray(to_float(bits, dtype))))
    expected = from_float(wide, dtype)
    gradient = side.spikes_and_gradients([(surrogate, bits, c, dtype)], mode)[0][1]
    tiny = float(jnp.finfo(dtype).tiny)
    compared = ~np.isnan(wide) & ((np.abs(wide) >= tiny) | (wide == 0)) if dtype == "bfloat16" else ~np.isnan(wide)
    if KNOWN[name].bits:
        np.testing.assert_array_equal(gradient[compared], expected[compared])
    else:
        # A jit may contract what the eager call did not, and move a value across the middle between two half floats.
        info = jnp.finfo(dtype)
        allowed = (float(info.eps) / 2 + 1e-6) * np.abs(wide) + float(info.smallest_subnormal) / 2 + 1e-6
        assert ((gradient == expected) | (np.abs(to_float(gradient, dtype) - wide) <= allowed))[compared].all()


@pytest.mark.parametrize("value", [25.0, 0.1])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_number_and_array_give_the_same_bits(value: float, dtype: str) -> None:
    v = jnp.asarray(np.random.default_rng(0).standard_normal(1000)).astype(dtype)
    wide = "float64" if dtype == "float64" else "float32"
    gradient = jax.grad(lambda x, s: jnp.sum(spike(x, fast_sigmoid, scale=s)))
    by_number = jax.grad(lambda x: jnp.sum(spike(x, fast_sigmoid, scale=value)))(v)
    for scale in (jnp.asarray(value, wide), jnp.full((1000,), value, wide), jnp.full((1,), value, wide), np.asarray(value, wide)):
        for function in (gradient, jax.jit(gradient)):
            np.testing.assert_array_equal(function(v, scale), by_number)


def test_per_channel_gradients_are_summed_to_the_parameters_shape() -> None:
    generator = np.random.default_rng(0)
    v, c = generator.standard_normal((6, 4, 3)), generator.standard_normal((6, 4, 3))
    each = -c * v * np.abs(v) * (1 + 2 * np.abs(v)) ** -2
    shapes = {(3,): each.sum((0, 1)), (4, 1): each.sum((0, 2))[:, None], (): each.sum(), (1, 4, 3): each.sum(0, keepdims=True)}
    for shape, expected in shapes.items():
        for function in (lambda x, s: spike(x, fast_sigmoid, scale=s), lambda x, s: forward_mode(fast_sigmoid)(x, scale=s)):
            found = jax.grad(lambda s, f=function: jnp.sum(c * f(jnp.asarray(v), s)))(jnp.full(shape, 2.0))
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_parameter_gradient_is_summed_before_it_is_rounded() -> None:
    v = jnp.array([1e5, -1e5, 3.0], jnp.float32)
    assert jax.grad(lambda gain: jnp.sum(spike(v, definitions.ste, gain=gain)))(jnp.float16(1.0)) == 3.0


def test_parameter_gradient_keeps_the_parameters_dtype() -> None:
    v = jnp.linspace(-2, 2, 50).astype("bfloat16")
    by_v, by_scale = jax.grad(lambda x, s: jnp.sum(spike(x, fast_sigmoid, scale=s).astype("float32")), argnums=(0, 1))(
        v, jnp.float32(3)
    )
    assert (by_v.dtype, by_scale.dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda v: arcana.jax.fast_sigmoid(v.astype(int)),
            TypeError,
            r"^FastSigmoid: v must be float64, float32, float16, bfloat16, got int64$",
        ),
        (lambda v: arcana.jax.step(v > 0), TypeError, r"^Step: v must be .*, got bool$"),
        (lambda v: arcana.jax.ste(v.astype(complex)), TypeError, r"^STE: v must be .*, got complex128$"),
        (
            lambda v: arcana.jax.triangular(1),
            TypeError,
            r"^Triangular: v must be a jax\.Array, got builtins\.int; the object to hand over is Triangular\(scale=1\)$",
        ),
        (
            lambda v: arcana.jax.fast_sigmoid([0.5]),
            TypeError,
            r"^FastSigmoid: v must be a jax\.Array, got builtins\.list; jnp\.asarray\(v\) makes one of it$",
        ),
        (lambda v: arcana.jax.fast_sigmoid(v, scale=-2), ValueError, r"^FastSigmoid: scale must be > 0, got -2\.0$"),
        (
            lambda v: arcana.jax.fast_sigmoid(v, slope=2),
            TypeError,
            r"^FastSigmoid has no parameter 'slope'; it has scale, gain, fires_at_threshold; did you mean scale\?$",
        ),
        (
            lambda v: arcana.jax.fast_sigmoid(v, scale="a"),
            TypeError,
            r"^FastSigmoid: scale must be a number or a jax\.Array, got 'a' \(str\)$",
        ),
        (
            lambda v: arcana.jax.fast_sigmoid(v, scale=v.astype(int)),
            TypeError,
            r"^FastSigmoid: scale must be a floating-point array, got int64$",
        ),
        (
            lambda v: arcana.jax.fast_sigmoid(v, scale=jnp.ones(4)),
            ValueError,
            r"^FastSigmoid: scale must broadcast to v's shape \(2, 3\), got shape \(4,\)$",
        ),
        (
            lambda v: jax.grad(lambda w: jnp.sum(spike(v, Cauchy(), width=w)))(1.0),
            NotImplementedError,
            r"^Cauchy defines no primitive, which the gradient of its parameter width needs",
        ),
        (lambda v: forward_mode(jnp.tanh), TypeError, r"^forward_mode takes a Surrogate instance"),
        (lambda v: setattr(FastSigmoid, "scale", 3.0), AttributeError, r"^FastSigmoid\.scale is read-only"),
    ],
)
def test_bad_input_is_named(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call(jnp.ones((2, 3)))


def test_a_parameter_array_without_primitive_is_fine_while_nobody_asks_for_its_gradient() -> None:
    gradient = jax.jit(jax.grad(lambda v, w: spike(v, Cauchy(), width=w)))(0.5, 0.5)
    assert gradient == 0.5


@every_surrogate
def test_the_typed_line(name: str) -> None:
    function, definition = getattr(arcana.jax, name), type(definitions.get(name))
    generated = getattr(arcana.jax, definition.__name__)
    assert {name, definition.__name__} <= set(arcana.jax.__all__)
    assert generated.definition is definition
    assert generated(**definitions.get(name).numbers) == definitions.get(name)
    for each in (function, generated):
        assert pickle.loads(pickle.dumps(each)) is each
        assert copy.deepcopy(each) is each
        assert each.__doc__
    v = jnp.array([-0.5, 0.0, 0.2])
    np.testing.assert_array_equal(generated.apply(v), [0, 1, 1])
    np.testing.assert_array_equal(generated.pseudo_derivative(v), definitions.get(name).derivative(v))


def test_grad_of_a_python_number() -> None:
    assert jax.grad(arcana.jax.fast_sigmoid)(0.1) == 0.25
    assert jax.hessian(forward_mode(FastSigmoid(scale=25.0)))(0.04) == pytest.approx(-2 * 25 / 2**3)


def compilations(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.message.startswith("Compiling")]


def test_equal_instances_and_new_numbers_share_one_compilation(caplog: pytest.LogCaptureFixture) -> None:
    v = jnp.linspace(-1, 1, 23)
    call = lambda scale: jax.vjp(lambda x: FastSigmoid(scale=scale)(x), v)[1](v)[0].block_until_ready()  # noqa: E731
    call(3.0)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        for scale in (3.0, 4.0, 5.0):
            call(scale)
    assert compilations(caplog) == []


class LinenLayer(linen.Module):
    surrogate: Surrogate

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self.surrogate(linen.Dense(4, param_dtype=jnp.float32)(x))


class NnxLayer(nnx.Module):
    def __init__(self, surrogate: Surrogate) -> None:
        self.linear = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
        self.surrogate = surrogate

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.surrogate(self.linear(x))


class EquinoxLayer(equinox.Module):
    weight: jax.Array
    surrogate: Surrogate

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.surrogate(x @ self.weight)


@pytest.mark.parametrize("framework", ["nnx", "linen", "equinox", "equinox under plain jax.jit"])
def test_modules_that_hold_an_equal_instance_are_traced_once(framework: str) -> None:
    traces = []
    x = jnp.ones((2, 3), jnp.float32)

    def run(make: Surrogate) -> jax.Array:
        if framework == "nnx":
            return nnx_step(NnxLayer(make), x)
        if framework == "linen":
            layer = LinenLayer(make)
            return linen_step(layer, LinenLayer(fast_sigmoid).init(jax.random.key(0), x), x)
        layer = EquinoxLayer(jnp.ones((3, 4), jnp.float32), make)
        return (equinox_step if framework == "equinox" else plain_step)(layer, x)

    def loss(layer, x):
        traces.append(framework)
        return jnp.sum(layer(x))

    nnx_step = nnx.jit(nnx.grad(loss))
    equinox_step = equinox.filter_jit(equinox.filter_grad(loss))
    plain_step = jax.jit(jax.grad(loss))
    linen_step = jax.jit(lambda layer, p, x: jax.grad(lambda q: loss(lambda y: layer.apply(q, y), x))(p), static_argnums=0)
    gradients = [jax.tree.leaves(run(FastSigmoid(scale=25.0))) for _ in range(3)]
    assert len(traces) == 1
    assert any(np.abs(leaf).max() > 0 for leaf in gradients[0] if hasattr(leaf, "shape"))


KINDS = ("FIRST", "SECOND", "PARAMETER", "NONLINEAR")


@functools.cache
def short_reports(names: tuple[str, ...]) -> dict[str, Report]:
    """By the first way of each kind, all in one compilation."""
    ways = {kind: getattr(side, kind)[:1] for kind in KINDS}
    with mock.patch.multiple(side, **ways):
        return dict(zip(names, reports([definitions.get(name) for name in names], ["jax"]), strict=True))


@every_surrogate
def test_the_conformance_suite_passes(name: str, together: tuple[str, ...]) -> None:
    """Other ways of the linear kinds are in test_transforms, and a Hessian in test_rule."""
    report = short_reports(together)[name]
    assert report.passed, report


@functools.cache
def full_reports() -> dict[str, Report]:
    """All in one compilation."""
    names = one_a_kept(*Kept)
    return dict(zip(names, reports([definitions.get(name) for name in names], ["jax"]), strict=True))


@each_kept(*Kept)
def test_the_conformance_suite_passes_by_every_way(name: str) -> None:
    report = full_reports()[name]
    assert report.passed, report
    assert {f"jax {way}" for kind in KINDS for way in getattr(side, kind)} - {row.where for row in report.rows} == set()


def test_the_conformance_suite_passes_for_a_users_surrogate() -> None:
    report = check_surrogate(Cauchy, backends=("jax",))
    assert report.passed
    assert "jax linearize" in str(report)


def test_importing_loads_a_few_modules_of_our_own() -> None:
    """An import is felt at every start: nothing that JAX itself has not loaded, torch least of all."""
    modules = loaded_by("import arcana.jax", after="import jax")
    assert packages(modules) == {"arcana"}
    assert len(modules) <= 35
