"""`Spike` in torch and in JAX's module systems: the same names, bounds and initial values, and state that moves by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from unittest import mock

import equinox as eqx
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from every import every_surrogate
from flax import nnx

import arcana.jax.adapters.layer
from arcana.jax.adapters import equinox, linen
from arcana.jax.adapters.nnx import Spike as NnxSpike
from arcana.rules import Integer
from arcana.surrogate import FastSigmoid, Gaussian, Rectangular, Surrogate, get
from arcana.torch import Spike

Values = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class System:
    """A module system: its layer, the values that it learns by name, and its spikes with other values in their place."""

    make: Callable[..., Any]
    values: Callable[[Any], Values]
    apply: Callable[[Any, Values, Any], jax.Array]


def linen_layer(surrogate: Any, threshold: Any = 1.0, learnable: Any = (), **options: Any) -> Any:
    return linen.Spike(surrogate, threshold, learnable, **options)


def apply_nnx(layer: Any, values: Values, v: Any) -> jax.Array:
    definition, state = nnx.split(layer)
    nnx.replace_by_pure_dict(state, {**nnx.to_pure_dict(state), **values})
    return nnx.merge(definition, state)(v)


SYSTEMS = {
    "nnx": System(NnxSpike, lambda layer: nnx.to_pure_dict(nnx.state(layer, nnx.Param)), apply_nnx),
    "linen": System(
        linen_layer,
        lambda layer: layer.init(jax.random.key(0), jnp.zeros(3)).get("params", {}),
        lambda layer, values, v: layer.apply({"params": values}, v),
    ),
    "equinox": System(
        equinox.Spike,
        lambda layer: layer.learned,
        lambda layer, values, v: eqx.tree_at(lambda each: each.learned, layer, values)(v),
    ),
}
each_system = pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS.keys())

V = np.array([[-2.0, 0.25, 0.5], [0.75, 1.0, 3.0]], np.float32)
C = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]], np.float32)


def learned(layer: Spike) -> Values:
    """What a torch layer learns, by name."""
    return {name: value.detach().numpy() for name, value in layer.named_parameters()}


@every_surrogate
@each_system
def test_names_and_initial_values(system: System, name: str) -> None:
    surrogate = get(name)
    names = ("threshold", *surrogate.own_names()) if surrogate.has_primitive() else ("threshold",)
    names = tuple(each for each in names if each in ("threshold", *surrogate.numbers))
    for options in ({}, {"shape": 3}):
        ours = system.values(system.make(surrogate, 0.3, names, **options))
        theirs = learned(Spike(surrogate, 0.3, names, **options))
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            np.testing.assert_array_equal(np.asarray(ours[key]), value)
            assert isinstance(ours[key], jax.Array)
            assert ours[key].dtype == value.dtype


CASES: list[tuple[Surrogate, Values]] = [
    (FastSigmoid(scale=25.0), {"threshold": [0.5, 0.25, -1.0], "scale": [2.0, -3.0, 0.0]}),
    (Gaussian(sigma=0.4), {"sigma": [0.3, 1e-30, -1.0], "gain": [1.0, -2.0, 0.5]}),
    (Rectangular(), {"width": [2.0, -4.0, 1.5], "threshold": [0.5, 0.5, 0.5]}),
]


@each_system
@pytest.mark.parametrize(("surrogate", "values"), CASES, ids=[type(each).__name__ for each, _ in CASES])
def test_what_was_learned_moves_by_name(system: System, surrogate: Surrogate, values: Values) -> None:
    """Values out of their domains too: stored as they are, and of the same effect."""
    names = tuple(values)
    layer = Spike(surrogate, 0.5, names, shape=3)
    layer.load_state_dict({**layer.state_dict(), **{name: torch.tensor(value) for name, value in values.items()}})
    ours = system.make(surrogate, 0.5, names, shape=3)
    moved = {name: jnp.asarray(value) for name, value in learned(layer).items()}

    v = torch.from_numpy(V).requires_grad_()
    spikes = layer(v)
    spikes.backward(torch.from_numpy(C))

    out, pullback = jax.vjp(lambda given, v: system.apply(ours, given, v), moved, jnp.asarray(V))
    by_name, by_v = pullback(jnp.asarray(C))
    np.testing.assert_array_equal(np.asarray(out), spikes.detach().numpy())
    # Where the values can be seen they are no error either.
    np.testing.assert_array_equal(np.asarray(system.apply(ours, moved, jnp.asarray(V))), np.asarray(out))
    np.testing.assert_allclose(np.asarray(by_v), v.grad, rtol=2e-6)
    for name, value in layer.named_parameters():
        np.testing.assert_allclose(np.asarray(by_name[name]), value.grad, rtol=2e-6, atol=1e-30)

    back = Spike(surrogate, 0.5, names, shape=3)
    result = back.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in moved.items()}, strict=False)
    assert set(result.missing_keys) <= {"threshold"}
    torch.testing.assert_close(back.state_dict(), layer.state_dict(), rtol=0, atol=0)


def in_torch(v: Any, dtype: Any) -> torch.Tensor:
    return torch.tensor(v.astype(np.float64)).to(getattr(torch, np.dtype(dtype).name))


@each_system
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16, jnp.float16], ids=lambda each: np.dtype(each).name)
def test_a_number_is_subtracted_as_torch_does_it(system: System, dtype: Any) -> None:
    """The nearest neighbours of 0.1 in each dtype fire on the same side."""
    near = np.asarray(0.1, dtype)
    v = np.stack([np.nextafter(near, np.asarray(0, dtype)), near, np.nextafter(near, np.asarray(1, dtype))])
    layer = system.make(FastSigmoid(), 0.1)
    expected = Spike(FastSigmoid(), 0.1)(in_torch(v, dtype))
    ours = system.apply(layer, system.values(layer), jnp.asarray(v))
    assert ours.dtype == dtype
    assert ours.tolist() == expected.tolist()


def test_a_parameter_without_bounds_is_taken_as_it_is() -> None:
    """Where there are bounds, a layer holds it inside, and for the bound of a half type in float32."""
    for name, held in (("gain", "bfloat16"), ("scale", "float32")):
        layer = equinox.Spike(FastSigmoid(), learnable=name, dtype=jnp.bfloat16)
        with mock.patch.object(arcana.jax.adapters.layer, "spike", lambda v, surrogate, **given: given[name]):  # noqa: B023  (called at once)
            found = layer(jnp.zeros(3))
            # A number in the place of an array is taken too.
            moved = eqx.tree_at(lambda each: each.learned, layer, {name: 2.0})(jnp.zeros(3))
        assert found.dtype == held
        assert (float(moved), isinstance(moved, jax.Array)) == (2.0, True)
        assert (found is layer.learned[name]) == (name == "gain")


@each_system
def test_a_trained_threshold_is_summed_in_float32(system: System) -> None:
    layer = system.make(FastSigmoid(), 0.5, "threshold")
    v = jnp.full(4097, 0.5, jnp.bfloat16)
    gradient = jax.grad(lambda values: system.apply(layer, values, v).astype(jnp.float32).sum())(system.values(layer))
    np.testing.assert_array_equal(np.asarray(gradient["threshold"]), [-4097.0])


@each_system
def test_a_threshold_that_is_not_learned_has_no_gradient(system: System) -> None:
    layer = system.make(FastSigmoid(), (0.25, 0.5, 0.5), "scale")
    assert set(system.values(layer)) == {"scale"}
    assert system.apply(layer, system.values(layer), jnp.asarray([0.3, 0.3, 0.6])).tolist() == [1.0, 0.0, 1.0]


def test_a_fixed_array_is_no_parameter_in_either_system() -> None:
    layer = NnxSpike(FastSigmoid(), np.array([0.25, 0.5]))
    assert not jax.tree.leaves(nnx.state(layer, nnx.Param))
    assert isinstance(layer.threshold[...], jax.Array)
    module = equinox.Spike(FastSigmoid(), np.array([0.25, 0.5]))
    gradient = eqx.filter_grad(lambda each: each(jnp.ones(2)).sum())(module)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_the_surrogate_is_the_present_one() -> None:
    layer = NnxSpike(FastSigmoid(scale=25.0), learnable="scale")
    assert layer.surrogate == FastSigmoid(scale=25.0)
    layer.scale[...] = jnp.array([0.1], jnp.float32)
    assert layer.surrogate == FastSigmoid(scale=0.1)
    module = equinox.Spike(FastSigmoid(scale=25.0), learnable="scale", shape=2)
    assert module.surrogate == FastSigmoid(scale=25.0)
    assert module.scale.tolist() == [25.0, 25.0]
    assert equinox.Spike(FastSigmoid, 0.5).threshold == 0.5
    # In float64 to its last digit, and in float32 by the fewest.
    for dtype, scale in ((jnp.float64, 1 / 3), (jnp.float32, 0.33333334)):
        assert equinox.Spike(FastSigmoid(scale=1 / 3), learnable="scale", dtype=dtype).surrogate.scale == scale
    with pytest.raises(AttributeError, match="no attribute 'width'"):
        _ = module.width
    bare: Any = linen.Spike(FastSigmoid(scale=25.0), learnable=("threshold", "scale"), shape=2)
    values = {"threshold": jnp.zeros(2), "scale": jnp.array([0.1, 0.1], jnp.float32)}
    assert bare.apply({"params": values}, method="present_surrogate") == FastSigmoid(scale=25.0)
    one = linen.Spike(FastSigmoid, learnable="scale")
    for value, shown in ((0.1, 0.1), (-3.0, float(FastSigmoid.domain("scale", "float32")[0]))):
        found = one.apply({"params": {"scale": jnp.array([value], jnp.float32)}}, method="present_surrogate")
        assert found.scale == pytest.approx(shown, rel=1e-6)


GIVEN = np.array([0.25, 0.5, -1.0])


@each_system
def test_a_printed_layer_shows_its_surrogate_and_its_rule(system: System) -> None:
    text = str(system.make(FastSigmoid(scale=25.0), learnable="threshold", rule=Integer(4)))
    assert "scale=25.0" in text
    assert "Integer(most=4" in text


@pytest.mark.parametrize("threshold", [0.1, GIVEN], ids=["number", "array"])
@pytest.mark.parametrize("learnable", [("scale",), ("threshold", "gain")], ids=", ".join)
def test_reset_as_torchs_layer_is(threshold: Any, learnable: tuple[str, ...]) -> None:
    """In NNX in place, under jit and from shapes alone too; in Equinox as another module."""
    theirs = Spike(FastSigmoid(scale=25.0), torch.tensor(threshold) if threshold is GIVEN else threshold, learnable, shape=3)
    theirs.reset_parameters()
    names = dict.fromkeys(("threshold", *learnable))
    expected = {name: getattr(theirs, name).detach().numpy() for name in names}
    options: dict[str, Any] = {"learnable": learnable, "shape": 3, "dtype": jnp.bfloat16}

    def check(layer: Any) -> None:
        for name in names:
            value = getattr(layer, name)
            array = np.asarray(value[...] if isinstance(value, nnx.Variable) else value)
            assert name not in learnable or array.dtype == jnp.bfloat16
            np.testing.assert_array_equal(array, expected[name].astype(array.dtype))

    layer = NnxSpike(FastSigmoid(scale=25.0), threshold, **options)
    abstract = nnx.eval_shape(lambda: NnxSpike(FastSigmoid(scale=25.0), threshold, **options))
    nnx.update(layer, jax.tree.map(lambda x: x * 0 + 7, nnx.state(layer)))
    if isinstance(layer.threshold, float):
        layer.threshold = 7.0
    assert layer.learnable == tuple(name for name in names if name in learnable)
    # A checkpoint of its state has no first values.
    assert set(nnx.to_pure_dict(nnx.state(layer))) == {*learnable, *([] if isinstance(threshold, float) else ["threshold"])}
    assert getattr(layer, learnable[-1])[...].tolist() == [7.0] * 3
    nnx.jit(lambda layer: layer.reset_parameters())(layer)
    check(layer)
    abstract.reset_parameters()
    check(abstract)

    module = equinox.Spike(FastSigmoid(scale=25.0), threshold, **options)
    moved = jax.tree.map(lambda x: x * 0 + 7, module)
    check(eqx.filter_jit(lambda module: module.reset_parameters())(moved))
    assert moved.learned[learnable[-1]].tolist() == [7.0] * 3
    check(moved.reset_parameters())


def test_layers_of_equal_values_share_a_trace() -> None:
    """What is kept of the first threshold is equal by value."""
    traces = []
    step = eqx.filter_jit(lambda layer: traces.append(1) or layer(jnp.ones(3)))
    for threshold in (GIVEN, GIVEN.copy(), GIVEN + 1):
        step(equinox.Spike(FastSigmoid(), threshold))
    assert len(traces) == 2


WRONG: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    (("fast_sigmoid",), {}, TypeError, r"^Spike takes a Surrogate instance"),
    ((FastSigmoid(),), {"learnable": "width"}, TypeError, r"'width' cannot be learned; there are threshold, gain, scale"),
    ((FastSigmoid(), "1"), {}, TypeError, r"^Spike: threshold must be a number or an? (tensor|array), got '1' \(str\)"),
    ((FastSigmoid(), float("nan")), {}, ValueError, r"^Spike: threshold must be finite, got nan"),
    ((FastSigmoid(), (0.5, 1.0)), {"learnable": "threshold", "shape": 3}, ValueError, r"must broadcast to shape \(3,\)"),
]


@pytest.mark.parametrize(("arguments", "options", "error", "message"), WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("make", [Spike, *(each.make for each in SYSTEMS.values())], ids=["torch", *SYSTEMS])
def test_what_is_wrong_is_refused_in_the_same_words(
    make: Any, arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    def use() -> None:
        made = make(*arguments, **options)
        if isinstance(made, flax.linen.Module):
            made.init(jax.random.key(0), jnp.zeros(3))

    with pytest.raises(error, match=message):
        use()


@each_system
@pytest.mark.parametrize("library", ["brainpy_state", "jaxsnn", "slax", "snnax", "spyx"])
def test_a_library_that_subtracts_the_threshold_itself_is_warned_of(system: System, library: str) -> None:
    neuron: dict[str, Any] = {"__name__": f"{library}.neurons"}
    exec("def step(spike, v): return spike(v - 1.0)", neuron)
    v = jnp.asarray([1.5], jnp.float32)

    def fire(threshold: float, learnable: Any = ()) -> list[float]:
        layer = system.make(FastSigmoid(), threshold, learnable)
        values = system.values(layer)
        return neuron["step"](lambda v: system.apply(layer, values, v), v).tolist()

    def message(shown: str) -> str:
        return rf"^{library} gives .* Spike subtracts its own, {shown}, once more: hand over layer\.surrogate"

    # The test itself lies between the library and the layer.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arcana.jax.adapters.layer, "_THROUGH", (*arcana.jax.adapters.layer._THROUGH, __name__.partition(".")[0]))
        with pytest.warns(UserWarning, match=message(r"1\.0")):
            assert fire(1.0) == [0.0]
        with pytest.warns(UserWarning, match=message(r"of shape \(1,\)")):
            fire(1.0, "threshold")
        assert fire(0.0) == [1.0]


def test_a_potential_keeps_its_digits_beside_a_threshold_of_fewer() -> None:
    """float32(0.1) is above 0.1; only a half type is subtracted in float32."""
    threshold, apart = jnp.asarray(0.1, jnp.float32), 2.0**-40
    v = jnp.asarray(float(threshold) + np.array([-apart, 0, apart]))
    found = arcana.jax.adapters.layer._difference(v, threshold)
    assert found.dtype == jnp.float64
    np.testing.assert_array_equal(found, [-apart, 0, apart])


@each_system
def test_integers_are_no_potentials(system: System) -> None:
    layer = system.make(FastSigmoid())
    with pytest.raises(TypeError, match="int32"):
        system.apply(layer, {}, jnp.ones(2, jnp.int32))


def test_a_layer_trains_under_jit_in_each_system() -> None:
    """One step of the optimizer of each, without a second trace."""
    v, traces = jnp.asarray(V), []

    def loss(layer: Any) -> jax.Array:
        traces.append(1)
        return jnp.square(layer(v).sum() - 1)

    layer = NnxSpike(FastSigmoid(), 0.5, ("threshold", "scale"))
    step = nnx.jit(nnx.grad(loss))
    for _ in range(2):
        nnx.update(layer, jax.tree.map(lambda p, g: p - 0.1 * g, nnx.state(layer, nnx.Param), step(layer)))
    module = equinox.Spike(FastSigmoid(), 0.5, ("threshold", "scale"))
    gradients = eqx.filter_jit(eqx.filter_grad(loss))
    for _ in range(2):
        module = eqx.apply_updates(module, jax.tree.map(lambda g: -0.1 * g, gradients(module)))
    assert len(traces) == 2
    np.testing.assert_array_equal(np.asarray(layer.threshold[...]), np.asarray(module.threshold))
    np.testing.assert_array_equal(np.asarray(layer.scale[...]), np.asarray(module.scale))
    assert float(module.threshold[0]) != 0.5
