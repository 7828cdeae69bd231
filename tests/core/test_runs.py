"""What a run may be made of, what it refuses, what a file holds of it, and which layers of two runs are set side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arcana.testing import Layer, Run
from arcana.testing._runs import layer_pairs

V = np.arange(24.0).reshape(4, 2, 3) / 8
SPIKES = V >= 1


def plain(shape: tuple[int, ...] = V.shape) -> Layer:
    return Layer(np.zeros(shape), np.zeros(shape))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ((V, SPIKES), ["layer 1"]),
        ([V, SPIKES], ["layer 1"]),
        ((V, None), ["layer 1"]),
        ([(V, SPIKES)], ["layer 1"]),
        ([(V, SPIKES), (V, None)], ["layer 1", "layer 2"]),
        (((V, SPIKES), [V, SPIKES], (V, SPIKES)), ["layer 1", "layer 2", "layer 3"]),
        ([Layer(V, SPIKES), {"potentials": V}, Layer(V)], ["layer 1", "layer 2", "layer 3"]),
        ({"b": (V, SPIKES), "a": Layer(V, SPIKES), "c": {"potentials": V, "spikes": SPIKES}}, ["b", "a", "c"]),
    ],
)
def test_a_run_is_made_of_what_holds_potentials_and_spikes(value: Any, names: list[str]) -> None:
    run = Run.of(value)
    assert Run.of(run) is run
    assert list(run.layers) == names
    for layer in run.layers.values():
        np.testing.assert_array_equal(layer.potentials, V)
        if layer.spikes is not None:
            np.testing.assert_array_equal(layer.spikes, SPIKES)
    first = next(iter(run.layers.values()))
    assert first.fires == (first.spikes is not None)


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [
        (3, TypeError, "a run is a Run, the path of an .npz, (potentials, spikes), or a list or dict of layers; got int"),
        ({}, ValueError, "a run needs at least one layer"),
        ((V, SPIKES[1:]), ValueError, "got (4, 2, 3) and (3, 2, 3)"),
        ((V[0, 0], None), ValueError, "got (3,) and no spikes"),
        ((V[:0], None), ValueError, "got (0, 2, 3) and no spikes"),
        ((V, SPIKES / 2), ValueError, "layer 'layer 1': spikes are 0 or 1, got 0.5"),
        ((V, -1.0 * SPIKES), ValueError, "layer 'layer 1': spikes are 0 or 1, got -1.0"),
        ({"a": {"spikes": SPIKES}}, ValueError, "layer 'a' has potentials and spikes and nothing else, got spikes"),
        ({3: {"spikes": SPIKES}}, ValueError, "layer '3' has potentials and spikes and nothing else, got spikes"),
        ({"a": {}}, ValueError, "got nothing; perhaps also threshold, refractory, margins, dtype"),
        ({"a": Layer(V, dtype="int8")}, ValueError, "layer 'a': dtype is one of float64, float32, float16, bfloat16"),
        ({"a": Layer(V, SPIKES, np.ones(2))}, ValueError, "layer 'a': threshold of shape (2,) does not broadcast"),
        ({"a": Layer(V, SPIKES, refractory=np.ones((4, 3)))}, ValueError, "refractory of shape (4, 3) does not broadcast"),
        ({"a": plain(), "b": plain((3, 2, 3))}, ValueError, "the same number of steps, got {'a': 4, 'b': 3}"),
    ],
)
def test_what_is_no_run_is_refused(value: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error) as caught:
        Run.of(value)
    assert told in str(caught.value)


def test_axes_are_named_once_and_are_no_more_than_there_are() -> None:
    assert Run({"a": plain()}, axes="sample time").axes == Run({"a": plain()}, axes=["sample", "time"]).axes == ("sample", "time")
    assert Run({"a": plain()}).axes == ()
    for axes in ("sample", "time time", "time row row"):
        with pytest.raises(ValueError, match="axes name each axis once, 'time' among them"):
            Run({"a": plain()}, axes=axes)
    Run({"a": plain()}, axes="time sample row")
    with pytest.raises(ValueError, match=r"layer 'a' has 3 axes, \(4, 2, 3\), and the run names 4: time, sample, row, column"):
        Run({"a": plain()}, axes="time sample row column")
    # As many steps where time is.
    Run({"a": plain((2, 4, 3)), "b": plain((5, 4, 3))}, axes="sample time")
    with pytest.raises(ValueError, match=r"the same number of steps, got \{'a': 4, 'b': 3\}"):
        Run({"a": plain((2, 4, 3)), "b": plain((2, 3, 3))}, axes="sample time")


def test_a_file_holds_all_of_a_run(tmp_path: Path) -> None:
    layers = {
        "lif.one": Layer(V.astype(np.float32), SPIKES, threshold=1.5, dtype="tensorfloat32"),
        "out": Layer(V, margins=True, refractory=None),
        "all": Layer(V, SPIKES, np.ones(3), SPIKES, margins=True, dtype="float32"),
    }
    Run(layers, V, {"w.b": np.eye(2)}, "chip", ("time",), ordered=True).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        names = "lif.one.potentials lif.one.spikes lif.one.threshold lif.one.dtype out.potentials out.margins"
        names += " all.potentials all.spikes all.threshold all.refractory all.margins all.dtype"
        assert file.files == [*names.split(), "inputs", "parameters.w.b", "run.name", "run.axes", "run.ordered"]
    for path in (tmp_path / "a.npz", str(tmp_path / "a.npz")):
        again = Run.of(path)
        assert (again.name, again.axes, again.coupled, again.ordered) == ("chip", ("time",), False, True)
        one, out, whole = again.layers.values()
        assert (list(again.layers), one.dtype, out.dtype) == (["lif.one", "out", "all"], "tensorfloat32", "")
        assert (whole.margins, whole.dtype) == (True, "float32")
        np.testing.assert_array_equal(whole.refractory, SPIKES)
        assert (one.margins, out.margins, out.threshold, out.refractory) == (False, True, None, None)
        assert (one.threshold, one.potentials.dtype, out.potentials.dtype) == (1.5, np.float32, np.float64)
        np.testing.assert_array_equal(again.inputs, V)
        np.testing.assert_array_equal(again.parameters["w.b"], np.eye(2))
    with pytest.raises(ValueError, match=r"layer 'run.a' cannot be written: in a file `run\.` begins another name"):
        Run({"run.a": plain()}).save(tmp_path / "b.npz")


def test_a_file_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Run.load(tmp_path / "a.npz")
    for arrays, held in (
        ({}, "nothing"),
        ({"a.spikes": V}, "a.spikes"),
        ({"a.potentials": V, "a.reset": V}, "a.potentials, a.reset"),
        ({"inputs": V, "run.name": "x"}, "nothing"),
    ):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(ValueError, match=f"a run has <layer>.potentials .* it holds {held}$"):
            Run.load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", potentials=np.array([{}]))
    with pytest.raises(ValueError, match=r"a\.npz: not an \.npz of plain arrays"):
        Run.load(tmp_path / "a.npz")


def paired(one: dict[str, Any], other: dict[str, Any], ordered: tuple[bool, bool] = (False, False)) -> list[str]:
    sides = [Run(each, ordered=known) for each, known in zip((one, other), ordered, strict=True)]
    return [name for name, _, _ in layer_pairs(*sides, ("torch", "JAX"))]


def test_layers_come_in_the_order_of_the_run_that_is_not_sorted_by_name() -> None:
    a, b, c = (plain() for _ in range(3))
    assert paired({"b": b, "a": a}, {"b": b, "a": a}) == ["b", "a"]
    assert paired({"b": b, "a": a}, {"a": a, "b": b}) == ["b", "a"]
    assert paired({"a": a, "b": b}, {"b": b, "a": a}) == ["b", "a"]
    assert paired({"a": a, "b": b}, {"a": a, "b": b}) == ["a", "b"]
    # A run that knows its order says it, sorted or not.
    assert paired({"a": a, "b": b}, {"b": b, "a": a}, (True, False)) == ["a", "b"]
    assert paired({"b": b, "a": a}, {"a": a, "b": b}, (False, True)) == ["a", "b"]
    with pytest.raises(ValueError, match=r"the same layers in the same order, got \['b', 'c', 'a'\] in torch, \['b', 'a', 'c'\]"):
        paired({"b": b, "c": c, "a": a}, {"b": b, "a": a, "c": c})


def test_layers_and_parameters_that_do_not_match_are_named() -> None:
    spikes, none = {"a": plain()}, {"a": Layer(V)}
    for sides, have, lack in (((spikes, none), "torch", "JAX"), ((none, spikes), "JAX", "torch")):
        with pytest.raises(ValueError, match=f"layer 'a' has spikes in {have} and none in {lack}; an integrator's"):
            paired(*sides)

    def parameters(one: str, other: str) -> None:
        sides = [Run({"a": plain()}, parameters={name: np.ones(1) for name in names.split()}) for names in (one, other)]
        list(layer_pairs(*sides, ("torch", "JAX")))

    for one, other, told in (("w v", "w", "'v' only in torch"), ("w", "w u", "'u' only in JAX")):
        with pytest.raises(ValueError, match=f"the same parameters, got {told}; give them one layout"):
            parameters(one, other)
    for one, other in (("w", ""), ("", "w"), ("w v", "v w"), ("", "")):
        parameters(one, other)
