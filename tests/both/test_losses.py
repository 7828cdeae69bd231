"""`compare`, `record`, `first_divergence`: nothing is left out or converted unseen; it is compared, or an error names it."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from arcana.jax._compat import enable_x64
from arcana.surrogate import FastSigmoid
from arcana.testing import Layer, Run, compare, first_divergence, record
from arcana.testing._difference import Leaf

X = np.array([[1.0, -2.0, 3.0], [0.25, 0.5, -0.75]], np.float32)
Z = (X + 1j * X[::-1]).astype(np.complex64)


def leaf(found: Any, name: str) -> Leaf:
    return next(each for each in found.leaves if each.name == name)


def cotangent_of(found: Any) -> Any:
    """The cotangent that the comparison took, from a function whose gradient it is."""
    return leaf(found, "∂output/∂argument.0").torch


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_gradients_of_complex_arrays_are_those_of_their_parts(dtype: str) -> None:
    z, other = Z.astype(dtype), (2 - 1j) * Z.astype(dtype)[::-1]
    # Not holomorphic: z·conj(z)² + z·other. With a real and an imaginary part of each number the gradient is by hand.
    found = compare(
        lambda z: z * z.conj() ** 2 + z * torch.from_numpy(other.copy()), lambda z: z * z.conj() ** 2 + z * jnp.asarray(other), z
    )
    c = cotangent_of(compare(lambda z: z + 0, lambda z: z + 0, z))
    assert (np.abs(c.real) >= 0.25).all()
    assert (np.abs(c.imag) >= 0.25).all()
    # Of Re(conj(c)·f): ∂/∂x + i·∂/∂y = conj(∂f/∂z)·c + ∂f/∂z̄·conj(c).
    by_z, by_conjugate = z.conj() ** 2 + other, 2 * z * z.conj()
    expected = by_z.conj() * c + by_conjugate * c.conj()
    for side in ("torch", "jax"):
        np.testing.assert_allclose(getattr(leaf(found, "∂output/∂argument.0"), side), expected, rtol=1e-5)
    assert leaf(found, "∂output/∂argument.0").dtype == dtype
    assert found.close


def test_a_wrong_slope_behind_a_complex_state_is_found() -> None:
    def step(scale: float) -> Callable[[Any], Any]:
        return lambda z: FastSigmoid(scale=scale)((z * (0.9 + 0.3j)).imag - 0.5)

    assert compare(step(5.0), step(5.0), Z).verdict == "same"
    found = compare(step(5.0), step(9.0), Z)
    assert (found.verdict, len(found.gradients)) == ("surrogate", 1)
    said = re.search(r"at v = (\S+) its derivative is (\S+) in torch and (\S+) in JAX", found.causes[0].evidence)
    assert said
    v, *derivatives = map(float, said.groups())
    assert derivatives == pytest.approx([FastSigmoid(scale=scale).derivative(v) for scale in (5.0, 9.0)], rel=1e-3)
    assert np.abs((Z[0] * np.complex64(0.9 + 0.3j)).imag - np.float32(0.5) - v).min() < 1e-4


@pytest.mark.parametrize("part", [0, 1])
def test_each_part_of_a_complex_number_is_compared(part: int) -> None:
    shift = [0.5, 0.5j][part]
    found = compare(lambda z: z + 0, lambda z: z + jnp.asarray([[0, shift, shift]], np.complex64), Z, gradients=False)
    assert not found.close
    worst = found.outputs[0].absolute
    assert worst is not None
    assert (worst.value, worst.index) == (0.5, (0, 1, part))
    assert found.outputs[0].differing == 4
    nan = np.array([complex(np.nan, 1.0), complex(1.0, np.nan)])
    assert compare(lambda z: z + 0, lambda z: z + 0, nan, gradients=False).close
    assert not compare(lambda z: z.conj(), lambda z: z + 0, nan, gradients=False).close


def test_complex_numbers_and_reals_are_two_dtypes() -> None:
    assert compare(lambda z: z.real, lambda z: z, Z).outputs[0].mismatch == "float32 in torch, complex64 in JAX"
    assert compare(lambda z: z.real, lambda z: z, Z.real.astype(np.complex64)).verdict == "dtype"


class Pair(NamedTuple):
    spikes: Any
    potential: Any


@dataclasses.dataclass
class State:
    spikes: Any
    potential: Any


HOLDERS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "tuple": (lambda a, b: (a, b), "1"),
    "list": (lambda a, b: [a, b], "1"),
    "dict": (lambda a, b: {"spikes": a, "potential": b}, "potential"),
    "nested": (lambda a, b: {"Dense_0": {"kernel": (a, [b])}}, "Dense_0.kernel.1.0"),
    "namedtuple": (Pair, "potential"),
    "dataclass": (State, "potential"),
    "mapping that no one has registered": (
        lambda a, b: types.MappingProxyType({"spikes": a, "potential": [b]}),
        "potential.0",
    ),
    "dataclass in a list": (lambda a, b: [State(a, b)], "0.potential"),
    "None beside it": (lambda a, b: (a, None, b), "2"),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_every_container_of_results_is_looked_into(holder: str) -> None:
    hold, path = HOLDERS[holder]
    same = compare(lambda x: hold(x * 1, x * 2), lambda x: hold(x * 1, x * 2), X)
    assert same.close
    assert len(same.outputs) == len(same.gradients) == 2
    found = compare(lambda x: hold(x * 1, x * 2), lambda x: hold(x * 1, x * 2.5), X)
    assert [each.name for each in found.outputs if not each.close()] == [f"output.{path}"]
    assert [each.name for each in found.gradients if not each.close()] == [f"∂output.{path}/∂argument.0"]


@pytest.mark.parametrize("nothing", [None, {}, [], (), {"a": None}, {"a": []}])
def test_nothing_compared_is_an_error(nothing: Any) -> None:
    with pytest.raises(ValueError, match="nothing to compare: both functions return no array at all"):
        compare(lambda x: nothing, lambda x: nothing, X)
    with pytest.raises(ValueError, match=r"nothing to compare: both functions return empty arrays only, output\.0"):
        compare(lambda x: [x[:0]], lambda x: [x[:0]], X)
    one_side = compare(lambda x: nothing, lambda x: x, X)
    assert [(each.name, each.mismatch) for each in one_side.outputs if not each.close()] == [("output", "only in JAX")]


def test_an_empty_array_beside_others_has_a_shape_and_a_dtype() -> None:
    assert compare(lambda x: (x, x[:0]), lambda x: (x, x[:0]), X).close
    found = compare(lambda x: (x, x[:0].double(), x[:0, :1]), lambda x: (x, x[:0], x[:0]), X)
    assert [each.mismatch for each in found.outputs] == [
        "",
        "float64 in torch, float32 in JAX",
        "shape (0, 1) in torch, (0, 3) in JAX",
    ]
    assert [each.close() for each in found.outputs] == [True, False, False]


def test_two_leaves_of_one_name_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"two leaves are called 'output\.a\.b'"):
        compare(lambda x: {"a.b": x, "a": {"b": x}}, lambda x: {"a.b": x, "a": {"b": 2 * x}}, X)


@pytest.mark.parametrize("value", [3, True, 0.1, 0.1 + 2j, np.float64(0.1), np.int64(2**40)], ids=repr)
@pytest.mark.parametrize("x64", [True, False])
def test_numbers_that_are_returned_are_compared_as_they_are(value: Any, x64: bool) -> None:
    with enable_x64(x64):
        assert compare(lambda x: (x, value), lambda x: (x, value), X).close
        # A float of 64 bits that float32 takes for the same.
        other = value + (value == value // 1 if isinstance(value, int) else 1e-10)
        found = compare(lambda x: (x, value), lambda x: (x, other), X)
        assert [each.name for each in found.outputs if not each.close()] == ["output.1"]


def test_integers_of_64_bits_are_compared_exactly() -> None:
    big = np.array([2**53, 7], np.int64)
    found = compare(lambda n: n, lambda n: n + jnp.array([1, 0]), big, gradients=False)
    assert not found.close
    assert found.outputs[0].differing == 1
    assert found.outputs[0].absolute is not None
    assert found.outputs[0].absolute.value == 1
    with enable_x64(False), pytest.raises(TypeError, match=r"argument\.0\.n holds integers that JAX cuts off"):
        compare(lambda a: a["n"], lambda a: a["n"], {"n": big}, gradients=False)


REFUSED: dict[str, tuple[Any, str]] = {
    "masked": (np.ma.masked_array(X, X > 0), "is a masked array"),
    "objects": (np.array([1.0, None]), "has dtype object"),
    "strings": (np.array(["a"]), "has dtype str"),
    "dates": (np.array(["2026-01-01"], "datetime64[D]"), "has dtype datetime64"),
    "records": (np.zeros(2, [("a", "f4")]), "has dtype void"),
    "float8": (jnp.ones(3, jnp.float8_e4m3fn), "has dtype float8_e4m3fn"),
    "sparse": (torch.eye(2).to_sparse(), "has no NumPy array"),
    "key": (jax.random.key(0), "has no NumPy array"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_array_that_would_lose_something_is_refused_by_name(kind: str) -> None:
    value, words = REFUSED[kind]
    with pytest.raises(TypeError, match=rf"^argument\.1\.state {words}"):
        compare(lambda x, s: x, lambda x, s: x, X, {"state": value})
    with pytest.raises(TypeError, match=rf"^parameter 'a\.b' {words}"):
        record(lambda s, x: (s, {"l": (x, x > 9)}), None, X, backend="torch", parameters={"a": {"b": value}})
    if isinstance(value, np.ndarray):
        with pytest.raises(TypeError, match=rf"^JAX's output\.1 {words}"):
            compare(lambda x: (x, x), lambda x: (x, value), X)
    if isinstance(value, torch.Tensor):
        with pytest.raises(TypeError, match=rf"^PyTorch's output\.1 {words}"):
            compare(lambda x: (x, value), lambda x: (x, x), X)


def test_an_argument_that_holds_arrays_unseen_is_refused() -> None:
    with pytest.raises(TypeError, match=r"argument\.1 is a State that holds an array, potential\.0"):
        compare(lambda x, s: x, lambda x, s: x, X, State(1.0, [X]))
    # One that holds none is handed on, as any other object is.
    assert compare(lambda x, s: x * s.spikes, lambda x, s: x * s.spikes, X, State(2.0, None)).close


def test_numpy_arrays_of_any_layout_and_byte_order_are_taken() -> None:
    turned = X.astype(">f4")[:, ::-1]
    found = compare(lambda x: 2 * x, lambda x: 2 * x, turned)
    np.testing.assert_array_equal(found.outputs[0].jax, 2 * X[:, ::-1])
    assert found.close


# Runs.


def weight(change: float = 0.0) -> Any:
    w = np.random.default_rng(1).normal(0, 0.8, (3, 4)).astype(np.float32)
    w[0, 0] += change
    return w


STEPS = (np.random.default_rng(0).random((20, 3)) < 0.5).astype(np.float32)


def run(backend: str, parameters: Any) -> Run:
    """A quiet network, the same on both sides: only the parameters can differ."""
    return record(lambda s, x: (s, {"l": (x / 2, x > 9)}), None, STEPS, backend=backend, parameters=parameters)  # type: ignore[arg-type]


def torch_linear(w: Any) -> torch.nn.Module:
    linear = torch.nn.Linear(3, 4, bias=False)
    linear.weight = torch.nn.Parameter(torch.tensor(w))
    return linear


def flax_linear(w: Any) -> nnx.Module:
    linear = nnx.Linear(3, 4, use_bias=False, rngs=nnx.Rngs(0))
    linear.kernel = nnx.Param(jnp.asarray(w))
    return linear


NESTED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], str]] = {
    "Flax's dict": (
        lambda w: {"Dense_0.kernel": torch.tensor(w)},
        lambda w: {"Dense_0": {"kernel": jnp.asarray(w)}},
        "Dense_0.kernel",
    ),
    "a list of tuples": (lambda w: [(torch.tensor(w), 1.0)], lambda w: [(jnp.asarray(w), 1.0)], "0.0"),
    "a named tuple": (lambda w: Pair(1, torch.tensor(w)), lambda w: Pair(1, jnp.asarray(w)), "potential"),
    "a dataclass": (lambda w: {"s": State(1, torch.tensor(w))}, lambda w: {"s": State(1, w)}, "s.potential"),
    "a module": (torch_linear, lambda w: {"weight": w}, "weight"),
    "an nnx module": (lambda w: {"kernel": torch.tensor(w)}, flax_linear, "kernel"),
    "an nnx state": (lambda w: {"a": {"kernel": w}}, lambda w: {"a": nnx.state(flax_linear(w))}, "a.kernel"),
    "a variable": (lambda w: {"kernel": w}, lambda w: {"kernel": nnx.Param(jnp.asarray(w))}, "kernel"),
    "bfloat16": (lambda w: {"w": torch.tensor(w).bfloat16()}, lambda w: {"w": jnp.asarray(w, jnp.bfloat16)}, "w"),
    "complex": (lambda w: {"w": torch.tensor(1j * w)}, lambda w: {"w": jnp.asarray(1j * w)}, "w"),
}


@pytest.mark.parametrize("holder", NESTED)
def test_nested_parameters_are_compared_leaf_by_leaf(holder: str) -> None:
    ours, theirs, name = NESTED[holder]
    assert first_divergence(run("torch", ours(weight())), run("jax", theirs(weight()))).verdict == "same"
    found = first_divergence(run("torch", ours(weight())), run("jax", theirs(weight(0.5))))
    assert found.verdict == "weights"
    assert f"parameter {name!r}" in found.causes[0].evidence


def test_parameters_of_one_side_alone_are_named() -> None:
    ours = run("torch", {"a": weight(), "b": weight()})
    with pytest.raises(ValueError, match=r"the same parameters, got 'b' only in torch, 'c' only in JAX"):
        first_divergence(ours, run("jax", {"a": weight(), "c": weight()}))
    # Not kept at all is allowed, and said so by the class.
    assert first_divergence(ours, Run(run("jax", {"a": weight()}).layers)).verdict == "same"
    with pytest.raises(ValueError, match="parameters hold no array"):
        run("torch", {"a": None})
    with pytest.raises(ValueError, match=r"two leaves are called 'a\.b'"):
        run("torch", {"a.b": weight(), "a": {"b": weight()}})
    with pytest.raises(TypeError, match="parameter 'a' has dtype str"):
        run("torch", {"a": "text"})


def test_the_values_of_parameters_count_whatever_they_are() -> None:
    def verdict(ours: Any, theirs: Any) -> str:
        return first_divergence(run("torch", {"p": np.array(ours)}), run("jax", {"p": np.array(theirs)})).verdict

    assert verdict(2**24, 2**24 + 1) == "weights"  # rounding, if they were float32 numbers
    assert verdict(2**53, 2**53 + 1) == "weights"
    assert verdict([True, False], [True, True]) == "weights"
    assert verdict([np.nan, np.inf, 1.0], [np.nan, np.inf, 1.0]) == "same"
    assert verdict([np.nan, 1.0], [1.0, 1.0]) == "weights"
    assert verdict([np.inf, 1.0], [-np.inf, 1.0]) == "weights"
    assert verdict(1 + 1j, 1 + 2j) == "weights"
    assert verdict(25.0, 25.5) == "weights"
    assert verdict(np.zeros((0, 3)), np.zeros((0, 3))) == "same"
    assert verdict(np.zeros((0, 3)), np.zeros((0, 2))) == "weights"


def test_complex_inputs_are_compared_with_both_parts() -> None:
    def kept(z: Any) -> Run:
        return record(lambda s, x: (s, {"l": (x.real / 9, x.real > 9)}), None, z, backend="torch")

    assert first_divergence(kept(Z), kept(Z)).verdict == "same"
    assert first_divergence(kept(Z), kept(Z.conj())).verdict == "inputs"


def test_inputs_of_torch_and_of_jax_are_taken_in_their_own_dtype() -> None:
    given = torch.tensor(STEPS, dtype=torch.bfloat16, requires_grad=True)
    for inputs in (given, jnp.asarray(STEPS, jnp.bfloat16)):
        found = record(lambda s, x: (s, {"l": (x, x > 9)}), None, inputs, backend="torch")
        assert found.layers["l"].potentials.dtype.name == "bfloat16"
        np.testing.assert_array_equal(found.layers["l"].potentials.astype(np.float32), STEPS)
    with pytest.raises(TypeError, match="got 3 values for layer 'l'"):
        record(lambda s, x: (s, {"l": (x, x > 9, x)}), None, STEPS, backend="torch")
    with pytest.raises(ValueError, match="inputs hold no step"):
        record(lambda s, x: (s, {"l": (x, x > 9)}), None, STEPS[:0], backend="torch")


def test_what_a_layer_holds_is_taken_whole_or_refused_by_name() -> None:
    spikes = STEPS > 9
    tensor = torch.tensor(STEPS, dtype=torch.bfloat16, requires_grad=True)
    assert Run.of((tensor, spikes)).layers["layer 1"].potentials.dtype.name == "bfloat16"
    every = {"potentials": STEPS, "spikes": spikes, "threshold": None, "refractory": None, "margins": True, "dtype": "float32"}
    assert Run.of({"a": every}).layers["a"].margins
    with pytest.raises(TypeError, match="layer 'a': potentials is a masked array"):
        Run.of({"a": (np.ma.masked_array(STEPS, spikes), spikes)})
    with pytest.raises(TypeError, match="layer 'a': spikes has dtype str"):
        Run.of({"a": (STEPS, STEPS.astype(str))})
    with pytest.raises(TypeError, match="layer 'a': spikes are 0 or 1, got complex128"):
        Run.of({"a": (STEPS, spikes + 0j)})
    with pytest.raises(TypeError, match=r"layer 'a': potentials are of .* got complex64"):
        Run({"a": Layer(STEPS.astype(np.complex64), spikes)})
    with pytest.raises(ValueError, match="layer 'a' has potentials and spikes and nothing else, got potentials, spikes, reset"):
        Run.of({"a": {"potentials": STEPS, "spikes": spikes, "reset": STEPS}})
    with pytest.raises(ValueError, match="two leaves are called '1'"):
        Run.of({1: (STEPS, spikes), "1": (STEPS, spikes)})
    with pytest.raises(ValueError, match=r"threshold: there is no layer b, the runs have a"):
        first_divergence({"a": (STEPS, spikes)}, {"a": (STEPS, spikes)}, threshold={"a": 2.0, "b": 1.0})


def test_a_layer_that_a_file_would_take_for_a_weight_is_not_written(tmp_path: Path) -> None:
    layers = {name: Layer(STEPS, STEPS > 9) for name in ("a", "parameters.b")}
    with pytest.raises(ValueError, match=r"layer 'parameters\.b' cannot be written"):
        Run(layers).save(tmp_path / "a.npz")


def test_nested_parameters_go_to_a_file_and_back(tmp_path: Path) -> None:
    Run({"a": Layer(STEPS, STEPS > 9)}, parameters={"Dense_0": {"kernel": weight(), "z": 1j * weight()}}).save(tmp_path / "a.npz")
    again = Run.load(tmp_path / "a.npz").parameters
    assert list(again) == ["Dense_0.kernel", "Dense_0.z"]
    np.testing.assert_array_equal(again["Dense_0.z"], 1j * weight())
