"""`match`: two runs under other names and in other layouts are brought to one, and what was done is printed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arcana.testing import Layer, Run, match

generator = np.random.default_rng(0)


def draw(*shape: int) -> Any:
    return generator.normal(0, 1, shape).astype(np.float32)


def run(shapes: dict[str, tuple[int, ...]], parameters: dict[str, Any], name: str) -> Run:
    layers = {}
    for layer, shape in shapes.items():
        potentials = draw(3, 2, *shape)
        layers[layer] = Layer(potentials, potentials >= 0, margins=True)
    return Run(layers, parameters=parameters, name=name)


def lines(matching: Any) -> list[list[str]]:
    return [line.split() for line in str(matching).splitlines()]


def test_linear_and_dense() -> None:
    """Transposed by the names, where the matrix is square too and where the numbers say that it was not."""
    weights = {"fc1.weight": draw(5, 4), "fc1.bias": draw(5), "fc2.weight": draw(5, 5), "lif1.beta": np.float32(0.9)}
    ported = {
        "layers.0.bias": weights["fc1.bias"],
        "layers.0.kernel": weights["fc1.weight"].T,
        "layers.1.beta": np.full(1, 0.9, np.float32),
        "layers.2.kernel": weights["fc2.weight"],
    }
    first = run({"lif1": (5,), "lif2": (5,)}, weights, "torch")
    other = run({"layers.1": (5,), "layers.3": (5,)}, ported, "JAX")
    matching = match(first, other)
    ours, theirs = matching.runs
    assert list(theirs.layers) == list(ours.layers) == ["lif1", "lif2"]
    np.testing.assert_array_equal(theirs.layers["lif2"].potentials, other.layers["layers.3"].potentials)
    np.testing.assert_array_equal(theirs.parameters["fc1.weight"], weights["fc1.weight"])
    np.testing.assert_array_equal(theirs.parameters["fc2.weight"], weights["fc2.weight"].T)
    assert theirs.parameters["lif1.beta"].shape == ()
    assert lines(matching) == [
        ["layer", "lif1", "layers.1"],
        ["layer", "lif2", "layers.3"],
        ["parameter", "fc1.weight", "layers.0.kernel", "transposed"],
        ["parameter", "fc1.bias", "layers.0.bias"],
        ["parameter", "fc2.weight", "layers.2.kernel", "transposed"],
        ["parameter", "lif1.beta", "layers.1.beta", "reshaped"],
    ]


def test_channels_first_and_last_both_ways() -> None:
    kernel = draw(3, 3, 2, 4)
    weight = kernel.transpose(3, 2, 0, 1)
    torch = run({"lif": (4, 6, 6), "out": (10,)}, {"conv.weight": weight}, "torch")
    jax = run({"lif": (6, 6, 4), "out": (10,)}, {"conv.kernel": kernel}, "JAX")
    there = match(torch, jax)
    np.testing.assert_array_equal(there.runs[1].parameters["conv.weight"], weight)
    layer = there.runs[1].layers["lif"]
    np.testing.assert_array_equal(layer.potentials, np.moveaxis(jax.layers["lif"].potentials, -1, 2))
    assert layer.spikes is not None
    np.testing.assert_array_equal(layer.spikes, layer.potentials >= 0)
    assert lines(there) == [
        ["layer", "lif", "lif", "channels", "first"],
        ["parameter", "conv.weight", "conv.kernel", "HWIO", "to", "OIHW"],
    ]
    back = match(jax, torch)
    np.testing.assert_array_equal(back.runs[1].parameters["conv.kernel"], kernel)
    np.testing.assert_array_equal(back.runs[1].layers["lif"].potentials, np.moveaxis(torch.layers["lif"].potentials, 2, -1))
    assert lines(back)[0] == ["layer", "lif", "lif", "channels", "last"]


def test_channels_are_moved_where_the_shape_does_not_tell() -> None:
    torch = run({"lif": (4, 4, 4)}, {"conv.weight": draw(4, 2, 3, 3)}, "torch")
    jax = run({"lif": (4, 4, 4)}, {"conv.kernel": draw(3, 3, 2, 4)}, "JAX")
    moved = match(torch, jax).runs[1].layers["lif"].potentials
    np.testing.assert_array_equal(moved, np.moveaxis(jax.layers["lif"].potentials, -1, 2))


def test_names_decide_before_numbers_and_numbers_before_order() -> None:
    a, b, c = draw(4, 4), draw(4, 4), draw(4, 4)
    first = run({"x": (4,)}, {"one.weight": a, "two.weight": b, "three.weight": c}, "torch")
    other = run({"x": (4,)}, {"alpha.weight": c, "beta.weight": a, "Two.weight": a}, "JAX")
    theirs = match(first, other).runs[1].parameters
    np.testing.assert_array_equal(theirs["two.weight"], a)
    np.testing.assert_array_equal(theirs["one.weight"], a)
    np.testing.assert_array_equal(theirs["three.weight"], c)


def test_what_only_one_run_has_is_said_and_left_out() -> None:
    first = run({"lif": (4,)}, {"fc.weight": draw(4, 4), "lif.threshold": np.float32(1)}, "torch")
    other = run({"lif": (4,)}, {"fc.kernel": draw(4, 4), "norm.scale": draw(7)}, "")
    matching = match(first, other)
    assert [list(each.parameters) for each in matching.runs] == [["fc.weight"], ["fc.weight"]]
    assert "lif.threshold  only in torch, not compared" in str(matching)
    assert "norm.scale     only in the second run, not compared" in str(matching)


def test_runs_that_are_alike_have_nothing_to_say() -> None:
    first = run({"lif": (4,)}, {"fc.weight": draw(4, 4)}, "torch")
    matching = match(first, first)
    assert str(matching) == ""
    assert matching.to_dict() == []
    assert list(matching.runs[1].layers) == ["lif"]


def test_a_pair_that_is_given_counts_and_an_unknown_name_is_an_error() -> None:
    first = run({"a": (4,), "b": (4,)}, {}, "torch")
    other = run({"c": (4,), "d": (4,)}, {}, "JAX")
    assert [pair.names for pair in match(first, other, {"a": "d"}).pairs] == [("a", "d"), ("b", "c")]
    with pytest.raises(ValueError, match="there is no layer or parameter 'e'; there are c, d"):
        match(first, other, {"a": "e"})
