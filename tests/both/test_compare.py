"""`compare`: each kind of difference is found where it is, with its size, and what agrees passes."""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch

import arcana.jax
import arcana.jax.arrays
import arcana.torch
import arcana.torch.arrays
from arcana.jax._compat import enable_x64
from arcana.testing import Comparison, ComparisonError, Leaf, compare
from arcana.testing._compare import _cells, _cotangent

X = np.array([[1.0, -2.0, 3.0], [0.25, 0.5, -0.75]], np.float32)


def leaf(comparison: Comparison, name: str) -> Any:
    return next(each for each in comparison.leaves if each.name == name)


def test_equal_functions_are_equal() -> None:
    found = compare(lambda x: x * 2, lambda x: x * 2, X)
    assert [each.name for each in found.leaves] == ["output", "∂output/∂argument.0"]
    np.testing.assert_array_equal(leaf(found, "output").torch, X * 2)
    # The gradient of 2x is twice the cotangent, which is never 0.
    assert (np.abs(leaf(found, "∂output/∂argument.0").jax) >= 0.5).all()
    assert found.close
    assert found.explained
    assert not found.causes
    found.assert_close(relative=0.0, absolute=0.0)


def test_the_worst_place_is_named_for_each_kind_of_difference() -> None:
    # The largest number differs most, the one that changes its sign by the most floats.
    ours, theirs = np.array([64.0, 3e-3, -1e-30], np.float32), np.array([64.0625, 2e-3, 1e-30], np.float32)
    found = leaf(compare(lambda x: x, lambda x: x + jnp.asarray(theirs - ours), ours, gradients=False), "output")
    assert (found.absolute.value, found.absolute.index) == (0.0625, (0,))
    assert (found.absolute.torch, found.absolute.jax) == (64.0, 64.0625)
    assert found.relative.index == (2,)
    assert found.relative.value == pytest.approx(2.0)
    assert found.ulp.index == (2,)
    assert found.ulp.value > 1e8
    assert found.differing == 3
    below = leaf(compare(lambda x: x, lambda x: x - 0.5, np.array([-2.0, -4.0], np.float32), gradients=False), "output")
    assert below.relative.index == (0,)
    assert below.relative.value == pytest.approx(0.5 / 2.5)


def test_a_line_of_the_table_has_each_figure() -> None:
    x = np.array([1.0, 64.0, -2.0], np.float32)
    change = jnp.array([0.0, 0.5, 0.0], jnp.float32)
    found = compare(lambda x: (x, x, x > 0), lambda x: (x + change, x, x > 0), x, gradients=False)
    lines = found.table().splitlines()[len(found.causes) :]
    assert lines[0].split() == ["shape", "dtype", "absolute", "relative", "ULP", "where", "torch", "JAX"]
    # 64 and 64.5 are 65,536 float32 numbers apart; what is the same has no place, and booleans no ULP.
    assert lines[1].split() == ["DIFFERS", "output.0", "(3,)", "float32", "0.5", "0.0078", "65536", "1", "64", "64.5"]
    assert lines[2].split() == ["ok", "output.1", "(3,)", "float32", "0", "0", "0"]
    assert lines[3].split() == ["ok", "output.2", "(3,)", "bool", "0", "0"]
    far = compare(lambda x: x, lambda x: x + 1e6 * change, x, gradients=False).table()
    far = next(line for line in far.splitlines() if line.startswith("DIFFERS")).split()
    assert far[6:8] == ["1.1e+08", "1"]


def test_a_million_units_in_the_last_place_are_written_by_their_exponent() -> None:
    for ulps, text in ((999_999, "999999"), (1_000_000, "1.0e+06")):
        pair = (np.ones(1, np.float32), np.float32([1 + ulps * 2.0**-23]))
        assert _cells(Leaf("x", *pair))[5] == text


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_cotangents_are_64ths_of_both_signs_that_every_dtype_holds(dtype: str) -> None:
    drawn = 64 * _cotangent(np.zeros((40, 50), dtype), 3)
    for part in (drawn.real, drawn.imag) if dtype == "complex64" else (drawn,):
        np.testing.assert_array_equal(part, np.round(part))
        assert set(np.abs(part).ravel()) == set(range(16, 128))
        assert 0.4 < (part > 0).mean() < 0.6


def test_the_dtype_of_a_line_is_the_coarser_one() -> None:
    found = compare(lambda x: (x.long(), x.bool()), lambda x: (x, x.astype(jnp.bfloat16)), X, gradients=False)
    assert [each.dtype for each in found.outputs] == ["float32", "bfloat16"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_one_ulp_is_one_ulp_in_every_dtype(dtype: str) -> None:
    x = np.array([1.0, 1.5], jnp.dtype(dtype))
    step = jnp.asarray(jnp.finfo(dtype).eps, dtype)
    found = compare(lambda x: x, lambda x: x + step, x)
    assert leaf(found, "output").ulp.value == 1
    assert leaf(found, "output").dtype == dtype
    assert found.close
    with pytest.raises(ComparisonError):
        found.assert_close(relative=0.0, absolute=0.0)


@pytest.mark.parametrize(("dtype", "relative"), [("float64", 1e-12), ("float32", 1e-5), ("float16", 5e-3), ("bfloat16", 4e-2)])
def test_the_tolerance_of_each_dtype(dtype: str, relative: float) -> None:
    """Of what is beside 0 in JAX, relative to the largest number, however small that is."""
    for factor, close in ((0.995, True), (1.005, False)):
        for largest in (100.0, -100.0, 0.0625):
            ours, theirs = (np.array([x, largest], jnp.dtype(dtype)) for x in (abs(largest) * relative * factor, 0.0))
            assert Leaf("x", ours, theirs).close() is close


def test_nan_and_infinity() -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1.0])
    same = compare(lambda x: x + 0, lambda x: x + 0, x, gradients=False)
    assert same.close
    assert leaf(same, "output").differing == 0
    assert leaf(same, "output").absolute.value == leaf(same, "output").relative.value == leaf(same, "output").ulp.value == 0.0
    ours = compare(lambda x: torch.nan_to_num(x, nan=7.0, posinf=np.inf, neginf=-np.inf), lambda x: x, x, gradients=False)
    assert leaf(ours, "output").absolute.index == (0,)
    assert leaf(ours, "output").absolute.value == np.inf
    assert not ours.close


def test_zeros_on_both_sides_differ_by_nothing_beside_a_difference_of_one() -> None:
    found = Leaf("x", np.array([0.0, np.nan, 2.0]), np.array([0.0, np.nan, 3.0])).relative
    assert found is not None
    assert (found.value, found.index) == (1 / 3, (2,))
    infinite = Leaf("x", np.array([0.0, -np.inf, 2.0]), np.array([0.0, -np.inf, 3.0])).relative
    assert infinite is not None
    assert (infinite.value, infinite.index) == (1 / 3, (2,))


def test_nested_arguments_and_results_have_names() -> None:
    state = OrderedDict([("layer.weight", torch.eye(3)), ("layer.bias", torch.ones(3))])
    layers = {"leak": np.float32(0.5), "units": (jnp.zeros(3, jnp.float32), [np.arange(3), 2])}

    def ours(state: Any, layers: Any, x: torch.Tensor) -> Any:
        assert isinstance(layers["units"][1][0], torch.Tensor)
        assert layers["units"][1][1] == 2
        y = x @ state["layer.weight"].T + state["layer.bias"] * layers["leak"] + layers["units"][0]
        return {"y": y, "both": (y > 0, [y.sum()])}

    def theirs(state: Any, layers: Any, x: jax.Array) -> Any:
        y = x @ state["layer.weight"].T + state["layer.bias"][None] * layers["leak"] + layers["units"][0][None]
        return {"y": y, "both": (y > 0, [y.sum()])}

    found = compare(ours, theirs, state, layers, X)
    assert [each.name for each in found.outputs] == ["output.both.0", "output.both.1.0", "output.y"]
    assert "∂output.y/∂argument.0.layer.weight" in {each.name for each in found.gradients}
    # Booleans and integers have no gradient: 2 floating outputs, 5 floating arguments.
    assert len(found.gradients) == 2 * 5
    found.assert_close()


def test_shape_dtype_and_missing_leaves_fail_in_words() -> None:
    found = compare(
        lambda x: {"a": x.sum(0), "b": x.double(), "c": x},
        lambda x: {"a": x.sum(1), "b": x, "d": x},
        X,
    )
    words = {each.name: each.mismatch for each in found.outputs}
    assert words == {
        "output.a": "shape (3,) in torch, (2,) in JAX",
        "output.b": "float64 in torch, float32 in JAX",
        "output.c": "only in torch",
        "output.d": "only in JAX",
    }
    assert {each.name for each in found.outputs if each.close()} == set()
    # The table has the shape of what there is.
    rows = {line.split()[1]: line for line in found.table().splitlines() if line.startswith("DIFFERS")}
    assert "(2, 3)  float32" in rows["output.c"]
    assert "(2, 3)  float32" in rows["output.d"]
    # Only b is of one shape on both sides.
    assert {each.name for each in found.gradients} == {"∂output.b/∂argument.0"}
    assert "a dtype of the data, a cast, or jax_enable_x64" in found.causes[0].evidence


def test_float64_data_without_x64_is_named() -> None:
    with enable_x64(False):
        found = compare(lambda x: x * 2, lambda x: x * 2, X.astype(np.float64))
    assert leaf(found, "output").mismatch == "float64 in torch, float32 in JAX"
    assert "jax_enable_x64 is off" in found.settings["JAX"]["float64"]
    assert "kept" in compare(lambda x: x, lambda x: x, X).settings["JAX"]["float64"]


def test_integers_may_differ_in_width_and_not_in_value() -> None:
    found = compare(lambda x: x.argmax(1), lambda x: x.argmax(1).astype(jnp.int32), X)
    assert found.close
    assert not compare(lambda x: x.argmax(1), lambda x: x.argmin(1), X).close


def test_a_sum_that_cancels_is_judged_by_its_terms_and_a_strict_tolerance_is_not() -> None:
    x = np.array([1e4, 1.0], np.float32)
    found = compare(lambda x: x, lambda x: x + jnp.array([0.0, 1e-2], jnp.float32), x, gradients=False)
    found.assert_close()
    with pytest.raises(ComparisonError, match="1 of 1 arrays"):
        found.assert_close(absolute=0.0)
    with pytest.raises(ComparisonError):
        found.assert_close(relative=1e-8)


def test_the_error_shows_what_fails_and_not_what_passes() -> None:
    found = compare(lambda x: (x, x), lambda x: (x, x * 1.01), X)
    with pytest.raises(ComparisonError, match="2 of 4 arrays differ") as caught:
        found.assert_close()
    text = str(caught.value)
    assert "output.1" in text
    assert "output.0" not in text
    assert "matmul precision" in text
    assert "3.02999997" in text  # JAX's number at the worst place
    assert caught.value.comparison is found
    assert "ok       output.0" in found.table()


def test_the_rows_that_are_farthest_apart_are_shown_however_small_their_numbers_are() -> None:
    many = range(30)
    found = compare(
        lambda x: [1e4 * x for _ in many] + [x], lambda x: [1.1e4 * x for _ in many] + [1.5 * x], 1e-3 * X, gradients=False
    )
    rows = re.findall(r"DIFFERS +(\S+)", str(found))
    assert len(rows) == 12
    assert "output.30" in rows


def test_json_has_it_all() -> None:
    plain = json.loads(json.dumps(compare(lambda x: x / 0, lambda x: x, X).to_dict(), allow_nan=False))
    assert plain["verdict"] == "forward"
    assert plain["outputs"][0]["absolute"]["value"] == "inf"
    assert plain["outputs"][0]["shape"] == {"torch": [2, 3], "jax": [2, 3]}
    assert plain["outputs"][0]["dtype"] == {"torch": "float32", "jax": "float32"}
    assert plain["outputs"][0]["absolute"]["index"] == [0, 0]
    assert plain["outputs"][0]["close"] is False
    alone = compare(lambda x: x, lambda x: None, X, gradients=False).to_dict()["outputs"][0]
    nothing = {"differing": 0, "absolute": None, "relative": None, "ulp": None, "note": "", "close": False}
    sides = {"shape": {"torch": [2, 3], "jax": None}, "dtype": {"torch": "float32", "jax": None}}
    assert alone == {"name": "output", **sides, **nothing}
    assert set(plain["settings"]) == {"PyTorch", "JAX"}


def test_a_result_that_is_no_array_is_named() -> None:
    with pytest.raises(TypeError, match=r"PyTorch's output\.why is no array or number but a str"):
        compare(lambda x: {"y": x, "why": "text"}, lambda x: {"y": x}, X)


@pytest.mark.parametrize("arrays", [arcana.torch.arrays, arcana.jax.arrays], ids=["torch", "jax"])
def test_arrays_go_into_a_framework_and_back(arrays: Any) -> None:
    numbers = np.array([[1.0, 0.0, 2.5], [4.0, 0.5, -8.0]])
    for dtype in ("float64", "float16", ml_dtypes.bfloat16, "int64", "bool", "complex64"):
        array = np.abs(numbers).astype(dtype).T
        inside = arrays.from_numpy(array)
        assert arrays.is_array(inside)
        assert not arrays.is_array(array)
        array_before, array[:] = array.copy(), 0
        back = arrays.to_numpy(inside)
        assert back.dtype == array.dtype
        np.testing.assert_array_equal(back, array_before)
        for shape in ((), (0,), (2, 3)):
            arrays.check("x", np.ones(shape, dtype))
    for value in (2.5, [1, 2], numbers):
        assert isinstance(arrays.to_numpy(value), np.ndarray)
        np.testing.assert_array_equal(arrays.to_numpy(value), value)


def test_a_tensor_is_read_whatever_is_put_off() -> None:
    x = torch.tensor([1 + 2j, -3j])
    np.testing.assert_array_equal(arcana.torch.arrays.to_numpy(x.conj()), [1 - 2j, 3j])
    np.testing.assert_array_equal(arcana.torch.arrays.to_numpy(x.conj().imag), [-2, 3])
    np.testing.assert_array_equal(arcana.torch.arrays.to_numpy(torch.ones(2, requires_grad=True)), [1, 1])
    turned = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).T
    np.testing.assert_array_equal(arcana.torch.arrays.to_numpy(turned), [[0, 3], [1, 4], [2, 5]])


def test_integers_that_jax_would_cut_off_are_none_of_its_arrays() -> None:
    with pytest.raises(TypeError, match=r"x has dtype object, which torch does not take: can't convert"):
        arcana.torch.arrays.check("x", np.array([None]))
    arcana.jax.arrays.check("x", np.array([2**40]))
    with enable_x64(False):
        for fits in (np.array([2**31 - 1]), np.array([2**32 - 1], np.uint64), np.array([2.0**80])):
            arcana.jax.arrays.check("x", fits)
        for cut in (np.array([2**31]), np.array([2**32], np.uint64)):
            with pytest.raises(TypeError, match="x holds integers that JAX cuts off while jax_enable_x64 is off"):
                arcana.jax.arrays.check("x", cut)


@pytest.mark.parametrize("arrays", [arcana.torch.arrays, arcana.jax.arrays], ids=["torch", "jax"])
def test_gradients_are_those_of_the_leaves_that_are_asked_for(arrays: Any) -> None:
    x, w, n = np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([7, 11])
    c = np.array([0.5, -2.0])

    def function(leaves: Any) -> dict[str, Any]:
        assert all(map(arrays.is_array, leaves))
        return {"product": leaves[0] * leaves[0] * leaves[1], "double": leaves[1] + leaves[1], "n": leaves[2]}

    outputs, gradients = arrays.vjp(function, [x, w, n], [1, 0])
    np.testing.assert_array_equal(arrays.to_numpy(outputs["product"]), x * x * w)
    np.testing.assert_array_equal(arrays.to_numpy(outputs["n"]), n)
    by_w, by_x = gradients({"product": c})
    assert isinstance(by_w, np.ndarray)
    np.testing.assert_array_equal(by_w, c * x * x)
    np.testing.assert_array_equal(by_x, 2 * c * x * w)
    # Each output by itself, again, and both together; a gradient of nothing is 0 or none.
    by_w, by_x = gradients({"double": c})
    np.testing.assert_array_equal(by_w, 2 * c)
    assert by_x is None or not by_x.any()
    by_w, by_x = gradients({"product": c, "double": x})
    np.testing.assert_array_equal(by_w, c * x * x + 2 * x)
    constant = arrays.vjp(lambda leaves: {"n": leaves[2], "x": arrays.from_numpy(x)}, [x, w, n], [1, 0])[1]
    assert all(each is None or not each.any() for each in [*constant({}), *constant({"x": c})])
    # The adjoint of complex numbers: of c·z it is conj(c) times the cotangent.
    z, factor = np.array([1 + 2j]), np.array([3 - 1j])
    (by_z,) = arrays.vjp(lambda leaves: {"y": leaves[0] * leaves[1]}, [z, factor], [0])[1]({"y": np.array([1j])})
    np.testing.assert_array_equal(by_z, (3 + 1j) * 1j)


def test_settings_say_how_each_framework_computes() -> None:
    tiny = np.finfo(np.float32).tiny
    kept = {"PyTorch": (torch.tensor(tiny) * 0.5).item(), "JAX": np.asarray(jnp.float32(tiny) * jnp.float32(0.5))}
    common = {name: {"subnormals": "kept" if each else "flushed to zero"} for name, each in kept.items()}
    found = compare(lambda x: x, lambda x: x, X, gradients=False).settings
    assert found["PyTorch"] == common["PyTorch"] | {
        "version": torch.__version__,
        "device": "cpu, cuda" if torch.cuda.is_available() else "cpu",
        "float64": "kept; default dtype float32",
        "matmul precision": "highest",
        "threads": str(torch.get_num_threads()),
    }
    own = common["JAX"] | {
        "version": jax.__version__,
        "device": jax.default_backend(),
        "float64": "kept (jax_enable_x64)",
        "threads": f"of {os.cpu_count()} cores; XLA_FLAGS={os.environ.get('XLA_FLAGS', '')!r}",
    }
    assert found["JAX"] == own | {"matmul precision": "default"}
    with jax.default_matmul_precision("highest"), enable_x64(False):
        found = compare(lambda x: x, lambda x: x, X, gradients=False).settings
    assert found["JAX"] == own | {
        "matmul precision": "highest",
        "float64": "becomes float32 (jax_enable_x64 is off)",
    }


def test_flushed_subnormals_show_in_the_settings() -> None:
    assert compare(lambda x: x, lambda x: x, X).settings["PyTorch"]["subnormals"] == "kept"
    try:
        torch.set_flush_denormal(True)
        assert compare(lambda x: x, lambda x: x, X).settings["PyTorch"]["subnormals"] == "flushed to zero"
    finally:
        torch.set_flush_denormal(False)


def test_the_settings_of_jax_are_those_in_force() -> None:
    plain = arcana.jax.arrays.settings()
    assert plain["matmul precision"] == "default"
    assert (plain["version"], plain["device"]) == (jax.__version__, jax.default_backend())
    assert f"of {os.cpu_count()} cores" in plain["threads"]
    half = jax.jit(lambda x: x / 2)(np.finfo(np.float32).tiny)
    assert plain["subnormals"] == ("kept" if np.asarray(half).view(np.int32) else "flushed to zero")
    with jax.default_matmul_precision("highest"):
        assert arcana.jax.arrays.settings() == plain | {"matmul precision": "highest"}


def neuron(spike: Callable[..., Any], detach: Callable[[Any], Any], scale: float) -> Callable[..., Any]:
    """One step: the spikes, and the potential after the reset."""

    def step(u: Any, x: Any) -> dict[str, Any]:
        u = u * 0.9 + x
        spikes = spike(u - 1.0, scale=scale)
        return {"spikes": spikes, "potential": u - detach(spikes)}

    return step


def unrolled(step: Callable[..., Any], stack: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    def run(u: Any, inputs: Any) -> Any:
        spikes = []
        for x in inputs:
            both = step(u, x)
            u = both["potential"]
            spikes.append(both["spikes"])
        return stack(spikes)

    return run


JAX_STEP = neuron(arcana.jax.fast_sigmoid, jax.lax.stop_gradient, 10.0)
FAULTS = {
    "none": (neuron(arcana.torch.fast_sigmoid, torch.Tensor.detach, 10.0), ""),
    "slope 1 % off": (
        neuron(arcana.torch.fast_sigmoid, torch.Tensor.detach, 10.1),
        "the surrogates do not: spike function 1: at v = ",
    ),
    "reset not detached": (neuron(arcana.torch.fast_sigmoid, lambda spikes: spikes, 10.0), "a detached reset"),
}


@pytest.mark.parametrize("steps", ["one step", "unrolled"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_slope_and_a_detached_reset_are_told_apart(fault: str, steps: str) -> None:
    torch_step, cause = FAULTS[fault]
    generator = np.random.default_rng(0)
    u = generator.normal(size=(4, 5)).astype(np.float32)
    if steps == "one step":
        found = compare(torch_step, JAX_STEP, u, generator.normal(size=(4, 5)).astype(np.float32))
    else:
        inputs = generator.normal(0.5, 1, size=(6, 4, 5)).astype(np.float32)
        found = compare(unrolled(torch_step, torch.stack), unrolled(JAX_STEP, jnp.stack), u, inputs)
    assert all(each.close() for each in found.outputs)
    assert found.close == (fault == "none")
    assert bool(found.causes) == (fault != "none")
    assert all(cause in each.evidence for each in found.causes)
    assert found.verdict == {"none": "same", "slope 1 % off": "surrogate"}.get(fault, "detached")
    if (fault, steps) == ("reset not detached", "one step"):
        assert found.causes[0].where == "output.potential"


def test_an_argument_that_no_spike_depends_on_does_not_hide_a_wrong_slope() -> None:
    u, unused = np.linspace(0.5, 1.5, 6, dtype=np.float32), np.ones(6, np.float32)
    torch_step, jax_step = FAULTS["slope 1 % off"][0], JAX_STEP
    found = compare(lambda u, x, y: (torch_step(u, x), y), lambda u, x, y: (jax_step(u, x), y), u, u * 0, unused)
    assert found.verdict == "surrogate"


def test_differing_spikes_are_counted() -> None:
    found = compare(lambda v: (v >= 0).to(v.dtype), lambda v: (v > 0).astype(v.dtype), np.array([-1.0, 0.0, 0.0, 1.0]))
    assert [cause.evidence for cause in found.causes] == [
        "output: 2 spikes differ: the threshold, `>` for `>=`, or a potential that differs"
    ]
    assert found.verdict == "spikes"
