"""What a call takes in JAX, and what a model that holds a surrogate is to it."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from fractions import Fraction

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest
from every import every_surrogate
from flax import nnx

import arcana.jax
from arcana import surrogate as definitions
from arcana.jax import FastSigmoid as Generated, evaluate, fast_sigmoid, forward_mode, spike
from arcana.surrogate import FastSigmoid, QPseudoSpike, Rectangular, Sigmoid, Surrogate

V = np.array([-0.3, 0.0, 0.4])


def h(v, scale):
    return 1 / (1 + scale * np.abs(v)) ** 2


def slope(v, scale):
    """dG/dscale."""
    return -v * np.abs(v) / (1 + scale * np.abs(v)) ** 2


CALLS = {
    "function": lambda v, **parameters: fast_sigmoid(v, **parameters),
    "spike": lambda v, **parameters: spike(v, FastSigmoid(), **parameters),
    "instance": lambda v, **parameters: FastSigmoid()(v, **parameters),
    "apply": lambda v, **parameters: Generated.apply(v, **parameters),
    "forward_mode": lambda v, **parameters: forward_mode(FastSigmoid())(v, **parameters),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_integer_slope_is_a_number_wherever_it_is_traced(call) -> None:
    v = jnp.asarray(V)

    def gradient(scale) -> jax.Array:
        return jax.grad(lambda x: call(x, scale=scale).sum())(v)

    np.testing.assert_array_equal(jax.jit(call)(v, scale=25), [0, 1, 1])
    expected = np.stack([gradient(float(k)) for k in (1, 2, 3)])
    np.testing.assert_allclose(expected, np.stack([h(V, k) for k in (1, 2, 3)]), rtol=1e-12)
    ints = jnp.arange(1, 4)
    np.testing.assert_array_equal(jax.lax.scan(lambda c, k: (c, gradient(k)), 0, ints)[1], expected)
    np.testing.assert_array_equal(jax.vmap(gradient)(ints.astype(jnp.int16)), expected)
    np.testing.assert_array_equal(jnp.stack([jax.jit(gradient)(k) for k in (1, 2, 3)]), expected)
    np.testing.assert_array_equal(jnp.stack([gradient(k) for k in ints.astype(jnp.uint8)]), expected)
    with jax.disable_jit():
        np.testing.assert_array_equal(jax.lax.scan(lambda c, k: (c, gradient(k)), 0, ints)[1], expected)


@every_surrogate
def test_an_integer_is_its_float_for_every_surrogate(name: str) -> None:
    surrogate = definitions.get(name)
    v = jnp.asarray(V, jnp.float32)
    for key in [*surrogate.numbers, "gain"]:
        low, high = type(surrogate).domain(key, "float32")
        value = next(k for k in (2, 1, 0, -1) if low <= k <= high)
        by_float = jax.grad(lambda x, key=key, k=value: spike(x, surrogate, **{key: float(k)}).sum())(v)
        traced = jax.jit(jax.grad(lambda x, k, key=key: spike(x, surrogate, **{key: k}).sum()))(v, value)
        np.testing.assert_allclose(traced, by_float, rtol=1e-6, atol=1e-30)


NUMBERS = (np.float32(25), np.int64(25), np.float64(25), np.float16(25), np.uint8(25), Fraction(25), 25)


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_a_numpy_number_is_a_number(number) -> None:
    for call in CALLS.values():
        found = jax.grad(lambda x, call=call: call(x, scale=number).sum())(jnp.asarray(V))
        np.testing.assert_array_equal(found, jax.grad(lambda x: fast_sigmoid(x, scale=25.0).sum())(jnp.asarray(V)))
    with pytest.raises(ValueError, match=r"^FastSigmoid: scale must be > 0, got -1\.0$"):
        fast_sigmoid(jnp.asarray(V), scale=type(number)(0) - type(number)(1) if not isinstance(number, np.uint8) else -1)


@pytest.mark.parametrize("value", [True, False, np.True_], ids=repr)
def test_a_bool_is_no_number(value) -> None:
    v = jnp.asarray(V)
    surrogate = FastSigmoid()
    for call in (*CALLS.values(), lambda v, **k: evaluate(surrogate, "derivative", v, **k)):
        # What is kept of a call with the number 1 is none with True, which is equal.
        call(v, scale=1)
        with pytest.raises(
            TypeError, match=rf"^FastSigmoid: scale must be a number or a jax\.Array, got .*{bool(value)}.* \(bool"
        ):
            call(v, scale=value)
        with pytest.raises(TypeError, match=r"^FastSigmoid: scale must be a floating-point array, got bool\b"):
            jax.jit(call)(v, scale=value)
        with pytest.raises(TypeError, match=r"^FastSigmoid: scale must be a number or a jax\.Array, got "):
            # Beside an array, where the numbers are looked at one by one.
            call(v, scale=value, gain=jnp.asarray(1.0))


def test_a_setting_that_is_traced_says_so() -> None:
    with pytest.raises(TypeError, match=r"fires_at_threshold must be of type bool, got .*a transform must not trace it\b"):
        jax.jit(fast_sigmoid)(jnp.asarray(V), fires_at_threshold=False)


@pytest.mark.parametrize("kind", [nnx.Param, nnx.Variable])
def test_a_variable_is_its_array(kind) -> None:
    v, scale = jnp.asarray(V), kind(jnp.full(3, 25.0))
    np.testing.assert_array_equal(fast_sigmoid(v, scale=scale), [0, 1, 1])
    for call in CALLS.values():
        np.testing.assert_array_equal(call(kind(v)), [0, 1, 1])
        found = nnx.grad(lambda k, call=call: call(v, scale=k).sum())(nnx.Param(jnp.full(3, 25.0)))
        np.testing.assert_allclose(found[...], slope(V, 25.0), rtol=1e-12)
        found = nnx.grad(lambda x, call=call: call(x, scale=25.0).sum())(nnx.Param(v))
        np.testing.assert_allclose(found[...], h(V, 25.0), rtol=1e-12)
    np.testing.assert_allclose(FastSigmoid().derivative(kind(v)), h(V, 10.0), rtol=1e-12)


@pytest.mark.parametrize(
    "convert",
    [np.float32, np.float64, np.float16, np.asarray, lambda x: np.asarray(x, ">f4"), float],
    ids=["float32", "float64", "float16", "array", "big-endian", "float"],
)
def test_numpy_and_python_potentials_are_converted_as_jnp_does(convert) -> None:
    for value in (-0.25, 0.0, 0.5):
        x = convert(value)
        expected = jnp.tanh(np.asarray(x).astype(np.asarray(x).dtype.newbyteorder("=")) if hasattr(x, "dtype") else x)
        for name, call in CALLS.items():
            if name == "instance":
                continue
            spikes = call(x)
            assert (spikes.dtype, spikes.shape, float(spikes)) == (expected.dtype, expected.shape, float(value >= 0))
        np.testing.assert_allclose(evaluate(FastSigmoid(), "derivative", x), h(value, 10.0), rtol=1e-3)
        np.testing.assert_allclose(Generated.pseudo_derivative(x), h(value, 10.0), rtol=1e-3)


def test_a_step_without_jit_takes_what_it_takes_with_it() -> None:
    def step(v, x):
        v = 0.9 * v + x
        spikes = fast_sigmoid(v - 1.0)
        return v - spikes, spikes

    current, start = np.random.default_rng(0).normal(size=(5, 3)), np.zeros(3)
    expected = jax.lax.scan(step, start, current)[1]
    with jax.disable_jit():
        np.testing.assert_array_equal(jax.lax.scan(step, start, current)[1], expected)
    np.testing.assert_array_equal(step(start, current[0])[1], expected[0])


@pytest.mark.parametrize(
    "v", [1, True, np.arange(3), np.array([True]), np.array(["a"]), 1j, np.ones(2, complex), [0.1], "a", None]
)
def test_everything_else_is_no_potential(v) -> None:
    for name, call in CALLS.items():
        with pytest.raises(TypeError, match=r"FastSigmoid"):
            call(v)
        with pytest.raises(TypeError, match=r"^FastSigmoid takes a torch" if name == "instance" else r"^FastSigmoid: v must be "):
            call(v)


def test_an_instance_takes_no_bare_numpy_array() -> None:
    """It belongs to both frameworks, and what has been imported must not decide."""
    for v in (V, np.float32(0.5), 0.5):
        with pytest.raises(TypeError, match=r"^FastSigmoid takes a torch\.Tensor or a jax\.Array, got .*arcana\.jax\.spike\(v, "):
            FastSigmoid()(v)


BAD = [
    (FastSigmoid(), "scale", -1.5, r"^FastSigmoid: scale must be > 0, got -1\.5$"),
    (FastSigmoid(), "scale", [1.0, 0.0, 2.0], r"^FastSigmoid: scale must be > 0, got 0\.0$"),
    (FastSigmoid(), "scale", math.nan, r"^FastSigmoid: scale must be finite and > 0, got nan$"),
    (QPseudoSpike(), "q", [2.0, 2.0, 0.5], r"^QPseudoSpike: q must be > 1 and <= 1e\+15, got 0\.5$"),
    (Sigmoid(), "slope", 1e16, r"^Sigmoid: slope must be >= 1e-15 and <= 1e\+15, got "),
]


@pytest.mark.parametrize(("surrogate", "name", "value", "message"), BAD)
def test_values_that_can_be_seen_are_checked(surrogate: Surrogate, name: str, value, message: str) -> None:
    for array in (jnp.asarray(value), np.asarray(value), nnx.Param(jnp.asarray(value, jnp.float32))):
        for call in (spike, lambda v, s, **k: forward_mode(s)(v, **k), lambda v, s, **k: evaluate(s, "derivative", v, **k)):
            with pytest.raises(ValueError, match=message):
                call(jnp.asarray(V), surrogate, **{name: array})


def test_values_that_cannot_be_seen_count_as_the_nearest_inside() -> None:
    bad = jnp.asarray([-1.5, 2.0, -0.1])
    v = np.array([0.5, 0.5, -0.25])
    for call in CALLS.values():
        both = jax.jit(jax.grad(lambda x, s, call=call: call(x, scale=s).sum(), argnums=(0, 1)))
        for_v, for_scale = both(jnp.asarray(v), bad)
        np.testing.assert_allclose(for_v, [1, 0.25, 1], rtol=1e-12)
        np.testing.assert_allclose(for_scale, [-0.25, -0.25 / 4, 0.0625], rtol=1e-12)
        batched = jax.vmap(jax.grad(lambda x, s, call=call: call(x, scale=s)))(jnp.asarray(v), bad)
        np.testing.assert_array_equal(batched, for_v)
        assert jnp.isnan(both(jnp.asarray(v), jnp.asarray([math.nan, 1.0, 1.0]))[0][0])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_the_nearest_value_inside_is_one_of_float32_where_a_half_type_has_none(dtype) -> None:
    # A box of width 1e-15 holds 0; as float16 its width would be 0, and it would hold nothing.
    gradient = jax.jit(jax.grad(lambda v, width: spike(v, Rectangular(), width=width)))
    assert gradient(jnp.asarray(0, dtype), jnp.asarray(-1, dtype)) == 1


@every_surrogate
def test_every_parameter_stays_in_its_domain_under_a_jit(name: str) -> None:
    """The gradients of a value outside are finite, and those of the nearest inside."""
    surrogate, dtype = definitions.get(name), "float32"
    v = jnp.concatenate([jnp.linspace(-3, 3, 41), jnp.asarray([0.0, 1e3])]).astype(dtype)
    for key in [each for each in surrogate.numbers if surrogate.bounded(each)]:
        low, high = type(surrogate).domain(key, dtype)
        gradient = jax.jit(jax.grad(lambda x, p, key=key: spike(x, surrogate, **{key: p}).sum(), argnums=(0, 1)))
        for bad, nearest in ((low - abs(low) - 1.0, low), (high * 2, high)):
            if low <= bad <= high or abs(bad) > float(np.finfo(dtype).max):
                continue
            found, expected = (gradient(v, jnp.asarray(x, dtype)) for x in (bad, nearest))
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)
                assert jnp.isfinite(ours).all()


class Net(equinox.Module):
    weight: jax.Array
    spike: object

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.spike(x @ self.weight)


HELD = {
    "instance": FastSigmoid(),
    "forward_mode": forward_mode(FastSigmoid()),
    "function": fast_sigmoid,
    "class": Generated,
}


@pytest.mark.parametrize("held", HELD)
def test_whatever_a_model_holds_is_a_pytree_without_leaves(held: str) -> None:
    thing = HELD[held]
    assert jax.tree.leaves(thing) == []
    assert jax.tree.map(lambda x: x, {"a": thing})["a"] is thing
    if held == "class":
        return
    x = jnp.asarray([0.3, -0.2, 0.4])
    model = Net(jnp.ones((3, 2)), thing)
    optimizer = optax.sgd(0.5)
    state = optimizer.init(model)

    @jax.jit
    def step(model, state):
        gradient = jax.grad(lambda m: m(x).sum())(model)
        updates, state = optimizer.update(gradient, state, model)
        return optax.apply_updates(model, updates), state

    found, _ = step(model, state)
    expected = 1 - 0.5 * np.outer(x, np.full(2, h(0.5, 10.0)))
    np.testing.assert_allclose(found.weight, expected, rtol=1e-12)
    assert found.spike is thing


def after(*lines: str) -> str:
    """What a script prints in a process of its own."""
    run = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


MINE = "class Mine(arcana.surrogate.Surrogate):\n    @staticmethod\n    def derivative(v, xp): return v"
SHOW = "print(*[jax.tree.structure(x) == s and jax.tree.leaves(x) == [] for x, s in zip(held, seen)])"
ORDERS = {
    "core, JAX, backend": (
        "import arcana",
        MINE,
        "held = [arcana.fast_sigmoid, Mine()]",
        "import jax",
        "{see}",
        "import arcana.jax",
    ),
    "core, backend": ("import arcana", MINE, "held = [arcana.fast_sigmoid, Mine()]", "import arcana.jax, jax", "{see}"),
    "JAX, core, backend": ("import jax, arcana", MINE, "held = [arcana.fast_sigmoid, Mine()]", "{see}", "import arcana.jax"),
    "JAX looked for first": (
        "import arcana, importlib.util",
        "assert importlib.util.find_spec('jax') is not None",
        "import jax.numpy, jax",
        MINE,
        "held = [arcana.fast_sigmoid, Mine()]",
        "{see}",
        "import arcana.jax",
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_surrogate_is_the_same_pytree_whatever_was_imported_first(order: str) -> None:
    see = "seen = [jax.tree.structure(x) for x in held]"
    lines = [each.replace("{see}", see) for each in ORDERS[order]]
    later = "held.append(arcana.jax.fast_sigmoid); seen.append(jax.tree.structure(held[-1]))"
    assert after(*lines, later, SHOW) == "True True True"


def test_nothing_is_left_of_the_registration() -> None:
    """The loader of JAX, and the finders of the process, are what they were; until then ours is the first that is asked."""
    found = after(
        "import sys",
        "finders = list(sys.meta_path)",
        "import arcana",
        "assert 'jax' not in sys.modules and 'torch' not in sys.modules",
        "assert sys.meta_path[1:] == finders",
        "import jax, importlib.resources",
        "print(sys.meta_path == finders, type(jax.__loader__).__name__, importlib.resources.files('jax').is_dir())",
    )
    assert found == "True SourceFileLoader True"


def test_a_failing_import_of_jax_is_followed_again(tmp_path) -> None:
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("raise ImportError('half installed')")
    found = after(
        "import sys, arcana",
        f"sys.path.insert(0, {str(tmp_path)!r})",
        "try: import jax",
        "except ImportError as error: print(error)",
        "sys.path.pop(0); sys.path_importer_cache.clear()",
        "import jax",
        "print(jax.tree.leaves(arcana.fast_sigmoid))",
    )
    assert found.splitlines() == ["half installed", "[]"]


@pytest.mark.parametrize("which", ["derivative", "primitive"])
@pytest.mark.parametrize(
    "transform", [lambda f: f, jax.jit, jax.vmap, lambda f: jax.jit(jax.vmap(f))], ids=["plain", "jit", "vmap", "both"]
)
def test_evaluate_is_what_was_asked_for_under_a_transform(transform, which: str) -> None:
    found = transform(lambda v: evaluate(FastSigmoid(scale=7.0), which, v))(jnp.asarray(V))
    exact = {"derivative": h(V, 7.0), "primitive": V / (1 + 7 * np.abs(V)) + 0.5}[which]
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_the_two_ways_to_a_default_are_one_call() -> None:
    v = jnp.asarray(V)
    ways = (FastSigmoid, Generated, fast_sigmoid, FastSigmoid())
    for each in ways:
        np.testing.assert_array_equal(
            jax.grad(lambda x, s=each: spike(x, s, scale=25.0).sum())(v), jax.grad(lambda x: fast_sigmoid(x, scale=25.0).sum())(v)
        )
        np.testing.assert_allclose(evaluate(each, "derivative", v), h(V, 10.0), rtol=1e-12)
        assert forward_mode(each) == forward_mode(FastSigmoid())
    assert all(forward_mode(a) == forward_mode(b) for a, b in itertools.pairwise(ways))
    assert arcana.jax.ForwardMode(FastSigmoid()) == forward_mode(FastSigmoid)


def test_orbax_saves_a_surrogate_as_its_dict(tmp_path) -> None:
    """A node without leaves is nothing to orbax, which would give back None: the way that the documentation shows."""
    surrogate = FastSigmoid(scale=25.0)
    with orbax.checkpoint.Checkpointer(orbax.checkpoint.CompositeCheckpointHandler()) as checkpointer:
        checkpointer.save(
            tmp_path / "model",
            orbax.checkpoint.args.Composite(
                arrays=orbax.checkpoint.args.StandardSave({"w": jnp.ones(2)}),
                surrogate=orbax.checkpoint.args.JsonSave(surrogate.to_dict()),
            ),
        )
        found = checkpointer.restore(
            tmp_path / "model",
            orbax.checkpoint.args.Composite(
                arrays=orbax.checkpoint.args.StandardRestore({"w": jnp.zeros(2)}), surrogate=orbax.checkpoint.args.JsonRestore()
            ),
        )
    assert definitions.from_dict(found["surrogate"]) == surrogate
    np.testing.assert_array_equal(found["arrays"]["w"], [1, 1])
