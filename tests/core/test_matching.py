"""`match`: two runs under other names and in other layouts are brought to one, and what was done is printed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arcana.testing import Layer, Run, match
from arcana.testing._matching import _by_names_and_order

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


def test_layers_and_parameters_of_one_run_alone_stay_where_they_are() -> None:
    weights = {"fc.weight": draw(4, 4), "fc.bias": draw(4)}
    first, other = run({"a": (4,), "b": (4,), "c": (4,)}, weights, "torch"), run({"A": (4,), "d": (4,)}, {}, "")
    there = match(first, other)
    assert lines(there) == [
        ["layer", "a", "A"],
        ["layer", "b", "only", "in", "torch,", "not", "compared"],
        ["layer", "c", "only", "in", "torch,", "not", "compared"],
        ["layer", "d", "only", "in", "the", "second", "run,", "not", "compared"],
        ["parameter", "fc.weight", "only", "in", "torch,", "not", "compared"],
        ["parameter", "fc.bias", "only", "in", "torch,", "not", "compared"],
    ]
    assert there.to_dict()[3] == {"what": "layer", "names": [None, "d"], "layout": None}
    assert list(there.runs[0].layers) == ["a", "b", "c"]
    assert list(there.runs[1].layers) == ["a", "d"]
    # A run that holds no parameters says nothing of those of the other, which stay.
    assert [list(each.parameters) for each in there.runs] == [["fc.weight", "fc.bias"], []]
    back = match(other, first)
    assert [list(each.parameters) for each in back.runs] == [[], ["fc.weight", "fc.bias"]]
    assert lines(back)[1] == ["layer", "d", "only", "in", "the", "first", "run,", "not", "compared"]
    assert lines(back)[-1] == ["parameter", "fc.bias", "only", "in", "torch,", "not", "compared"]


def test_the_kinds_of_parameters_have_the_names_of_either_framework() -> None:
    ours = {"bn.weight": draw(4), "bn.mean": draw(4), "bn.var": draw(4), "e.weight": draw(5, 4), "w": draw(4)}
    theirs = {
        "Norm.running_var": draw(4),
        "Norm.running_mean": draw(4),
        "Norm.scale": draw(4),
        "E.embedding": draw(5, 4),
        "v": draw(4),
    }
    matching = match(run({"x": (4,)}, ours, "torch"), run({"x": (4,)}, theirs, "JAX"))
    assert [pair.names for pair in matching.pairs[1:]] == [
        ("bn.weight", "Norm.scale"),
        ("bn.mean", "Norm.running_mean"),
        ("bn.var", "Norm.running_var"),
        ("e.weight", "E.embedding"),
        # Of another kind, whatever their shape.
        ("w", ""),
        ("", "v"),
    ]


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


def test_all_that_a_layer_holds_has_its_channels_moved() -> None:
    """Of three axes that differ, both ways."""
    potentials = draw(3, 2, 5, 6, 4)
    full = {"spikes": potentials >= 0, "threshold": draw(*potentials.shape), "refractory": potentials > 1}
    last = Run({"lif": Layer(potentials, **full)}, parameters={"conv.kernel": draw(3, 3, 2, 4)})
    moved = {part: np.moveaxis(each, -1, 2) for part, each in full.items()}
    first = Run({"lif": Layer(np.moveaxis(potentials, -1, 2), **moved)}, parameters={"conv.weight": draw(4, 2, 3, 3)})
    for one, other, words in ((first, last, "channels first"), (last, first, "channels last")):
        matching = match(one, other)
        found, wanted = matching.runs[1].layers["lif"], one.layers["lif"]
        for part in ("potentials", *full):
            np.testing.assert_array_equal(getattr(found, part), getattr(wanted, part))
        assert matching.to_dict()[0] == {"what": "layer", "names": ["lif", "lif"], "layout": words}
    # A threshold of each channel is that of the channel where it is then.
    channels = np.arange(1.0, 5.0)
    each = Run({"lif": Layer(potentials, full["spikes"], channels)}, parameters={"conv.kernel": draw(3, 3, 2, 4)})
    layer = match(first, each).runs[1].layers["lif"]
    np.testing.assert_array_equal(layer.threshold, np.broadcast_to(channels[:, None, None], (3, 2, 4, 5, 6)))
    # Potentials of one shape and kernels of one layout stay.
    assert match(last, last).runs[1].layers["lif"].potentials.shape == potentials.shape
    # A layer of neurons alone has no channels, and one that no move brings to the other's shape stays as it is.
    for shape in ((4,), (5, 4), (5, 6, 3)):
        one, other = (run({"lif": each}, {}, "torch") for each in ((4, 5), shape))
        assert match(one, other).runs[1].layers["lif"].potentials.shape[2:] == ((4, 5) if shape == (5, 4) else shape)


def test_kernels_of_one_and_three_axes() -> None:
    for axes, words in ((1, "WIO to OIW"), (2, "HWIO to OIHW"), (3, "DHWIO to OIDHW")):
        kernel = draw(*(3, 4, 5)[:axes], 2, 6)
        weight = kernel.transpose(-1, -2, *range(axes))
        first, other = (run({"x": (4,)}, {name: each}, "") for name, each in (("c.weight", weight), ("c.kernel", kernel)))
        matching = match(first, other)
        np.testing.assert_array_equal(matching.runs[1].parameters["c.weight"], weight)
        assert matching.to_dict() == [{"what": "parameter", "names": ["c.weight", "c.kernel"], "layout": words}]
        back = match(other, first)
        np.testing.assert_array_equal(back.runs[1].parameters["c.kernel"], kernel)
        assert back.to_dict()[0]["layout"] == " to ".join(reversed(words.split(" to ")))


def test_constants_are_told_by_their_order_and_not_by_their_numbers() -> None:
    first = run({"x": (4,)}, {"a.weight": np.ones(4), "b.weight": np.zeros(4)}, "torch")
    other = run({"x": (4,)}, {"c.weight": np.zeros(4), "d.weight": np.ones(4)}, "JAX")
    assert [pair.names for pair in match(first, other).pairs[1:]] == [("a.weight", "c.weight"), ("b.weight", "d.weight")]
    drawn = draw(4)
    other = run({"x": (4,)}, {"c.weight": draw(4), "d.weight": drawn}, "JAX")
    first = run({"x": (4,)}, {"a.weight": drawn, "b.weight": draw(4)}, "torch")
    assert isinstance(match(first, other).pairs, tuple)
    assert [pair.names for pair in match(first, other).pairs[1:]] == [("a.weight", "d.weight"), ("b.weight", "c.weight")]
    # Two numbers are enough, and one is not; of nothing there are no numbers.
    for size, last in ((2, "d.weight"), (1, "c.weight"), (0, "c.weight")):
        numbers = np.arange(1.0, 3.0)[:size]
        first = run({"x": (4,)}, {"a.weight": numbers}, "torch")
        other = run({"x": (4,)}, {"c.weight": 9 + numbers, "d.weight": numbers}, "JAX")
        assert match(first, other).pairs[1].names == ("a.weight", last)


def test_names_that_are_spelled_otherwise_come_before_the_order() -> None:
    assert dict(_by_names_and_order(["hidden_1", "out"], ["Out", "Hidden1"], {})) == {"hidden_1": "Hidden1", "out": "Out"}
    # Each is paired once, and what is left by its order if it is as many.
    assert dict(_by_names_and_order(["lif_1", "out"], ["x", "Lif1"], {})) == {"lif_1": "Lif1", "out": "x"}
    assert dict(_by_names_and_order(["lif_1", "lif1"], ["x", "Lif1"], {})) == {"lif_1": "Lif1", "lif1": "x"}
    assert dict(_by_names_and_order(["lif_1", "out"], ["Lif1"], {})) == {"lif_1": "Lif1"}
    assert dict(_by_names_and_order(["a", "b"], ["c"], {})) == {}
    # Of two of one spelling none is taken by it, and what is known is not asked for.
    assert dict(_by_names_and_order(["lif1"], ["Lif1", "lif_1"], {})) == {}
    assert dict(_by_names_and_order(["a", "b"], ["b", "a"], {"a": "b"})) == {"a": "b", "b": "a"}
