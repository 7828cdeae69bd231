"""`first_divergence`: the place, the margins and the bound by hand-made runs, and the verdict on each planted fault."""

from __future__ import annotations

import json
import re
import types
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import planted
import pytest
import torch
import verdicts

from arcana.testing import DivergenceError, Layer, Run, first_divergence, record
from arcana.testing._cause import Cause
from arcana.testing._divergence import _number
from arcana.testing._doubts import _hidden, doubts, notes
from arcana.testing._orders import _differs_at_first
from arcana.testing._rounding import CONFIDENCE, UNIT, accumulated_rounding, spacing
from arcana.testing._run_causes import Found

ULP = 2.0**-23


def fire(potentials: Any, threshold: float = 1.0) -> tuple[Any, Any]:
    potentials = np.asarray(potentials, np.float32)
    return potentials, (potentials >= np.float32(threshold)).astype(np.float32)


QUIET = np.full((4, 3, 5), 0.5, np.float32)


def changed(place: tuple[int, ...], value: float, base: Any = QUIET) -> Any:
    copy = base.copy()
    copy[place] = value
    return copy


def test_equal_runs_are_the_same() -> None:
    found = first_divergence(fire(QUIET), fire(QUIET))
    assert (found.verdict, found.first, found.causes) == ("same", None, ())
    assert found.samples == (3, 0, 0)
    assert str(found).startswith("No spike differs.")
    found.assert_explained()


def test_a_rounding_at_the_threshold_is_rounding() -> None:
    found = first_divergence(fire(changed((2, 1, 3), 1 - ULP / 2)), fire(changed((2, 1, 3), 1 + 2 * ULP)))
    assert found.verdict == "rounding"
    first = found.first
    assert first is not None
    assert (first.layer, first.step, first.neuron, first.fired) == ("layer 1", 2, (1, 3), "JAX")
    assert first.margins == (-0.5, 2.0)
    assert first.bound == pytest.approx(accumulated_rounding("float32", 1024 + 5 + 4, np.ones(4))[2] / ULP)
    assert found.differing == {"layer 1": 1}
    assert found.samples == (3, 1, 1)
    found.assert_explained()


def test_beyond_the_accumulated_rounding_it_is_not() -> None:
    bound = accumulated_rounding("float32", 1024 + 5 + 4, np.ones(4))[2]
    for factor, verdict in ((0.9, "rounding"), (1.1, "unknown")):
        sides = fire(changed((2, 1, 3), 1 - factor * bound)), fire(changed((2, 1, 3), 1 + ULP))
        for one, other in (sides[::-1], sides):
            found = first_divergence(one, other)
            assert found.verdict == verdict, factor
            assert found.explained == (verdict == "rounding")
    with pytest.raises(DivergenceError, match="Rounding does not explain it") as caught:
        found.assert_explained()
    assert caught.value.divergence is found


def test_the_bound_grows_with_steps_terms_and_size() -> None:
    bound = accumulated_rounding("float32", 100, np.array([1.0, 1.0, 2.0]))
    np.testing.assert_allclose(bound, CONFIDENCE * UNIT["float32"] * np.sqrt(200 * np.array([1, 2, 3])) * [1, 1, 2])
    assert accumulated_rounding("float16", 100, np.ones(1))[0] == 2.0**13 * bound[0]
    # In TensorFloat-32 the sums are those of float32, and two factors are rounded.
    factors = CONFIDENCE * 2.0**-11 * np.sqrt(4 * np.array([1, 2, 3])) * [1, 1, 2]
    np.testing.assert_allclose(accumulated_rounding("tensorfloat32", 100, np.array([1.0, 1.0, 2.0])), bound + factors)
    few, many = (first_divergence(fire(QUIET), fire(QUIET), terms=terms).largest["layer 1"][1] for terms in (1, 1000))
    assert many / few == pytest.approx(np.sqrt(1004 / 5))


@pytest.mark.parametrize(("shape", "terms"), [((4, 3, 7), 7 + 5), ((4, 3, 7, 2), 14 + 5), ((4, 7), 7 + 5)])
def test_the_first_layer_adds_up_the_inputs_of_a_sample(shape: tuple[int, ...], terms: int) -> None:
    run = Run({"layer 1": Layer(*fire(QUIET))}, np.zeros(shape, np.float32))
    assert first_divergence(run, run).largest == first_divergence(fire(QUIET), fire(QUIET), terms=terms).largest


def test_potentials_far_below_the_threshold_count_by_their_size() -> None:
    below, quiet = (first_divergence(fire(x), fire(x), threshold=1.0).largest["layer 1"][1] for x in (QUIET * -16, QUIET))
    # The threshold takes no part where nothing fires.
    assert below == pytest.approx(quiet)
    # Of runs that are alike the largest bound is told, in units of the largest potential.
    assert quiet == pytest.approx(accumulated_rounding("float32", 1024 + 5 + 4, np.full(4, 0.5))[3] / (ULP / 2))


def test_other_potentials_that_differ_too_much_deny_rounding() -> None:
    """The spike alone would pass; another neuron before it shows that the networks are not the same."""
    ours, theirs = changed((2, 1, 3), 1 - ULP / 2), changed((2, 1, 3), 1 + ULP)
    theirs[1, 0, 0] += 0.01
    found = first_divergence(fire(ours), fire(theirs))
    assert found.first is not None
    assert found.first.explained
    assert found.verdict == "unknown"
    assert "at step 1 of layer 'layer 1'" in found.causes[0].evidence


def test_an_infinite_potential_where_the_runs_part_is_null_in_json() -> None:
    ours, theirs = changed((2, 1, 3), 0.5), changed((2, 1, 3), np.inf)
    plain = first_divergence(fire(ours), fire(theirs)).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False))["first"]["potentials"] == {"torch": 0.5, "jax": None}


def test_potentials_that_had_other_spikes_behind_them_are_no_evidence() -> None:
    ours, theirs = changed((1, 1, 3), 1 - ULP / 2), changed((1, 1, 3), 1 + ULP)
    theirs[2:, 1] = 0.9
    assert first_divergence(fire(ours), fire(theirs)).verdict == "rounding"
    # The same in a sample whose spikes have been equal is.
    theirs[2, 0] = 0.9
    assert first_divergence(fire(ours), fire(theirs)).verdict == "unknown"


def test_a_rounding_does_not_hide_a_fault_in_another_sample() -> None:
    ours, theirs = changed((1, 1, 3), 1 - ULP / 2), changed((1, 1, 3), 1 + ULP)
    theirs[2, 2, 4] = 1.5
    found = first_divergence(fire(ours), fire(theirs))
    assert found.first is not None
    assert found.unexplained is not None
    assert found.first.explained
    assert (found.unexplained.step, found.unexplained.neuron) == (2, (2, 4))
    assert found.samples == (3, 2, 1)
    assert not found.explained
    assert "the first that rounding does not explain: step 2" in str(found)


def test_the_layer_in_which_it_began() -> None:
    """Within a step the earlier layer comes first; a later layer's potentials there already depend on it."""
    ours = {"first": fire(changed((1, 0, 0), 1 - ULP / 2)), "second": fire(QUIET)}
    theirs = {"first": fire(changed((1, 0, 0), 1 + ULP)), "second": fire(changed((1, 0, 0), 2.0))}
    found = first_divergence(ours, theirs)
    assert found.first is not None
    assert found.first.layer == "first"
    assert found.verdict == "rounding"
    assert found.differing == {"first": 1, "second": 1}
    # The other way round the first layer is untouched by what the second does.
    swapped = first_divergence({"a": ours["second"], "b": ours["first"]}, {"a": ours["second"], "b": theirs["first"]})
    assert swapped.first is not None
    assert swapped.first.layer == "b"


def test_the_same_potentials_and_other_spikes_are_another_comparison() -> None:
    potentials = changed((2, 1, 3), 1.0)
    found = first_divergence((potentials, potentials >= 1), (potentials, potentials > 1))
    assert found.verdict == "comparison"
    assert found.causes[0].evidence == "in layer 'layer 1' torch fires where v >= threshold and JAX where v > threshold"
    assert found.first is not None
    assert found.first.margins == (0, 0)
    assert found.first.fired == "torch"


def test_a_spike_that_nothing_explains_is_told_by_its_potentials() -> None:
    """A neuron that fires just below the threshold in torch, and one just above it that does not fire in JAX."""
    ours, silent = changed((2, 1, 3), 1 - ULP), np.zeros_like(QUIET)
    spikes = changed((2, 1, 3), 1.0, silent)
    for theirs, kind in ((ours, "comparison"), (changed((2, 1, 3), 1 + ULP), "unknown")):
        found = first_divergence((ours, spikes), (theirs, silent))
        assert [cause.kind for cause in found.causes] == [kind]
        assert ("at one and the same potential, 0.999999881" in found.causes[0].evidence) == (kind == "comparison")


def test_thresholds_are_read_from_each_run() -> None:
    potentials = np.linspace(0, 2, 4 * 3 * 50).reshape(4, 3, 50).astype(np.float32)
    found = first_divergence((potentials, potentials >= 1), (potentials, potentials >= 1.01))
    assert found.verdict == "threshold"
    assert "in JAX it begins to fire above 1.00" in found.causes[0].evidence
    # Where neither has the threshold that was given, it is the caller who is wrong.
    with pytest.raises(ValueError, match=r"another threshold than 1 in both runs .* above 0\.49"):
        first_divergence((potentials, potentials >= 0.5), (potentials, potentials >= 0.5))
    assert first_divergence((potentials, potentials >= 0.5), (potentials, potentials >= 0.5), threshold=0.5).verdict == "same"


def test_potentials_after_the_reset_are_refused() -> None:
    potentials = np.random.default_rng(0).uniform(0, 2, (4, 3, 50)).astype(np.float32)
    spikes = potentials >= 1
    after = potentials - spikes
    with pytest.raises(ValueError, match="the potentials of torch and JAX are those after the reset"):
        first_divergence((after, spikes), (after, spikes))


def test_a_threshold_for_each_layer_and_each_neuron() -> None:
    limits = np.array([0.25, 0.5, 1.0, 2.0, 4.0], np.float32)
    potentials = np.random.default_rng(0).uniform(0, 5, (4, 3, 5)).astype(np.float32)
    ours = {"a": (potentials, potentials >= limits), "b": fire(QUIET)}
    found = first_divergence(ours, ours, threshold={"a": limits, "b": 1.0})
    assert found.verdict == "same"
    with pytest.raises(ValueError, match="layer 'b' is missing"):
        first_divergence(ours, ours, threshold={"a": limits})
    with pytest.raises(ValueError, match=r"shape \(2,\) does not broadcast"):
        first_divergence(fire(QUIET), fire(QUIET), threshold=np.ones(2))


def test_a_threshold_of_zero() -> None:
    ours, theirs = (fire(changed((2, 1, 3), x, -QUIET), 0.0) for x in (-ULP / 8, ULP / 8))
    found = first_divergence(ours, theirs, threshold=0.0)
    assert found.verdict == "rounding"
    assert found.first is not None
    # In units of the largest potential, 0.5.
    assert found.first.margins == (-0.25, 0.25)


def test_without_samples_and_with_many_axes_the_index_is_the_user_s() -> None:
    for shape, place in (((4, 5), (2, 3)), ((4, 3, 2, 2, 2), (2, 1, 0, 1, 1))):
        base = np.full(shape, 0.5, np.float32)
        found = first_divergence(fire(changed(place, 1 - ULP, base)), fire(changed(place, 1.0, base)))
        assert found.first is not None
        assert (found.first.step, *found.first.neuron) == place
        assert found.samples[0] == (1 if len(shape) == 2 else 3)


def test_nan_is_no_rounding() -> None:
    theirs = changed((2, 1, 3), np.nan)
    found = first_divergence(fire(QUIET), (theirs, theirs >= 1))
    assert found.verdict == "nan"
    assert "the potentials of JAX are NaN from step 2 of layer 'layer 1', sample 1, neuron 3 on" in found.causes[0].evidence
    json.dumps(found.to_dict(), allow_nan=False)
    assert first_divergence((theirs, theirs >= 1), (theirs, theirs >= 1)).verdict == "same"
    everywhere = first_divergence((QUIET * np.nan, QUIET > 9), (QUIET * np.nan, QUIET > 9))
    assert everywhere.verdict == "cannot tell"
    assert not everywhere.explained
    assert "nothing was compared: every potential is NaN" in str(everywhere)


def test_float64_arrays_of_float32_numbers_are_judged_in_float32() -> None:
    ours, theirs = (fire(changed((2, 1, 3), x)) for x in (1 - ULP / 2, 1 + ULP))
    found = first_divergence((ours[0].astype(np.float64), ours[1]), (theirs[0].astype(np.float64), theirs[1]))
    assert (found.verdict, found.dtype) == ("rounding", "float32")


def test_float64_is_a_reference_for_float32_and_float16_is_a_dtype() -> None:
    rough = np.random.default_rng(0).uniform(0, 0.9, (4, 3, 5))
    found = first_divergence((rough, rough >= 1), fire(rough))
    assert (found.verdict, found.dtype) == ("same", "float32")
    assert "a run in float64 was compared as a reference for float32" in found.notes
    half = rough.astype(np.float16)
    found = first_divergence(fire(rough), (half, half >= 1))
    assert found.verdict == "dtype"
    assert "every potential of JAX is a float16 number, those of torch are float32 numbers" in found.causes[0].evidence


def test_round_numbers_on_one_side_are_no_dtype() -> None:
    """0.5 and 1 are bfloat16 numbers, and one rounded 1 among them is not; that is no sign of bfloat16."""
    assert first_divergence(fire(changed((2, 1, 3), 1 - ULP / 2)), fire(changed((2, 1, 3), 1.0))).verdict == "rounding"


def test_spacing_is_numpy_s() -> None:
    for value in (1.0, 0.3, 7.0, 1e-3):
        for dtype in ("float64", "float32", "float16"):
            assert spacing(value, dtype) == np.spacing(np.asarray(value, dtype))
    assert spacing(1.0, "bfloat16") == 2.0**-7


def test_runs_that_do_not_match_say_how() -> None:
    with pytest.raises(ValueError, match=r"the same layers, got \['a'\] in torch, \['b'\] in JAX"):
        first_divergence({"a": fire(QUIET)}, {"b": fire(QUIET)})
    with pytest.raises(ValueError, match=r"'layer 1' has the shape \(4, 3, 5\) in torch, \(3, 3, 5\) in JAX"):
        first_divergence(fire(QUIET), fire(QUIET[1:]))
    with pytest.raises(ValueError, match="spikes are 0 or 1, got 2"):
        first_divergence((QUIET, QUIET * 4), fire(QUIET))
    with pytest.raises(TypeError, match="got int64"):
        first_divergence((np.zeros((2, 2), np.int64), np.zeros((2, 2))), fire(np.zeros((2, 2))))
    with pytest.raises(ValueError, match="one shape"):
        first_divergence((QUIET, QUIET[0]), fire(QUIET))
    with pytest.raises(ValueError, match="same number of steps"):
        Run({"a": Layer(*fire(QUIET)), "b": Layer(*fire(QUIET[1:]))})
    with pytest.raises(ValueError, match="at least one layer"):
        Run({})


def test_a_run_goes_to_a_file_and_back(tmp_path: Path) -> None:
    layers = {"hidden.one": Layer(*fire(QUIET)), "out": Layer(*fire(changed((1, 1, 1), 1.0)))}
    Run(layers, inputs=np.ones((4, 3, 2)), parameters={"hidden.weight": np.eye(2)}).save(tmp_path / "a.npz")
    again = Run.load(tmp_path / "a.npz")
    assert list(again.layers) == ["hidden.one", "out"]
    for name, layer in layers.items():
        np.testing.assert_array_equal(again.layers[name].potentials, layer.potentials)
        np.testing.assert_array_equal(again.layers[name].spikes, layer.spikes)
    np.testing.assert_array_equal(again.parameters["hidden.weight"], np.eye(2))
    assert again.inputs is not None
    assert first_divergence(tmp_path / "a.npz", Run(layers)).verdict == "same"
    np.savez(tmp_path / "plain.npz", potentials=QUIET, spikes=QUIET >= 1)
    assert list(Run.load(tmp_path / "plain.npz").layers) == ["layer 1"]
    np.savez(tmp_path / "wrong.npz", potential=QUIET)
    with pytest.raises(ValueError, match="it holds potential"):
        Run.load(tmp_path / "wrong.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match=r"not an \.npz of plain arrays"):
        Run.load(tmp_path / "text.npz")


def test_bfloat16_runs_are_kept(tmp_path: Path) -> None:
    run = Run({"a": Layer(QUIET.astype(jnp.bfloat16), QUIET >= 1)})
    run.save(tmp_path / "a.npz")
    np.testing.assert_array_equal(Run.load(tmp_path / "a.npz").layers["a"].potentials, QUIET)
    assert first_divergence(run, run).dtype == "bfloat16"


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_record_keeps_every_step(backend: str) -> None:
    array = {"torch": torch.from_numpy, "jax": jnp.asarray}[backend]
    zeros = array(np.zeros((2, 3), np.float32))

    def step(state: Any, x: Any) -> Any:
        state = state + x
        return state, {"sum": (state, state >= 2.5)}

    inputs = np.ones((4, 2, 3), np.float32)
    run = record(step, zeros, inputs, backend=backend, parameters={"w": zeros})
    np.testing.assert_array_equal(run.layers["sum"].potentials[:, 0, 0], [1, 2, 3, 4])
    np.testing.assert_array_equal(run.layers["sum"].spikes[:, 1, 2], [0, 0, 1, 1])
    np.testing.assert_array_equal(run.inputs, inputs)
    np.testing.assert_array_equal(run.parameters["w"], np.zeros((2, 3)))
    assert not run.coupled
    said = record(step, zeros, inputs, backend=backend, name="chip", coupled=True)
    assert (said.name, said.coupled, dict(said.parameters)) == ("chip", True, {})
    with pytest.raises(TypeError, match="a step returns"):
        record(lambda state, x: state, zeros, inputs, backend=backend)


def test_record_keeps_what_a_step_overwrites_later() -> None:
    def step(state: torch.Tensor, x: torch.Tensor) -> Any:
        state += x
        return state, {"sum": (state, state >= 2.5)}

    weight = torch.ones(3)
    run = record(step, torch.zeros(3), np.ones((4, 3), np.float32), backend="torch", parameters={"w": weight})
    np.testing.assert_array_equal(run.layers["sum"].potentials[:, 0], [1, 2, 3, 4])
    weight += 1
    np.testing.assert_array_equal(run.parameters["w"], np.ones(3))


def test_record_keeps_what_is_said_of_a_layer_and_refuses_what_comes_and_goes() -> None:
    x = np.ones((1, 2, 3), np.float32)
    about = {"margins": True, "dtype": "bfloat16", "threshold": 2.0, "refractory": None}
    run = record(lambda s, x: (s, {"a": {"potentials": x, "spikes": x > 2, **about}}), None, x, backend="torch")
    layer = run.layers["a"]
    assert (layer.margins, layer.dtype, layer.refractory, layer.threshold.shape) == (True, "bfloat16", None, (1, 1, 1))
    for name, steps in (("spikes", 1), ("threshold", 3)):
        parts = iter([{"potentials": x, name: x}] * steps + [{"potentials": x}] * (4 - steps))
        with pytest.raises(ValueError, match=f"layer 'a': {name} in {steps} of 4 steps; a step returns the same parts"):
            record(lambda s, x, parts=parts: (s, {"a": next(parts)}), None, np.ones((4, 2, 3), np.float32), backend="torch")


def test_inputs_that_differ_are_named_before_anything_else() -> None:
    layers = {"a": Layer(*fire(QUIET))}
    found = first_divergence(Run(layers, np.zeros((4, 3, 2))), Run(layers, np.ones((4, 3, 2))))
    assert found.verdict == "inputs"
    assert not found.explained
    assert str(found).startswith("No spike differs, and yet the runs differ by more than rounding: inputs.")


@pytest.mark.parametrize("title", verdicts.SUBJECTS)
@pytest.mark.parametrize("seed", [100, 101])
def test_every_planted_fault_is_told_apart(title: str, seed: int) -> None:
    found = list(verdicts.verdicts(verdicts.SUBJECTS[title], seed))
    assert len(found) == 2 * len(verdicts.IN_RUNS) + len(verdicts.IN_GRADIENTS) + 4
    assert {fault: verdict for fault, expected, verdict in found if verdict not in expected.split("|")} == {}


def test_the_evidence_of_planted_faults_has_the_figures() -> None:
    subject = verdicts.SUBJECTS["three layers"]
    threshold = verdicts.planted_in_runs(subject, "threshold 1 % off", 100)
    assert threshold.causes[0].where == "layer 2"
    assert threshold.first is not None
    assert threshold.first.layer == "layer 2"
    leak = verdicts.planted_in_runs(subject, "leak one step late", 100)
    assert "0.1 more of the potential is kept" in leak.causes[0].evidence
    scaled = verdicts.planted_in_runs(subject, "leak reaches the input", 100)
    assert "torch computes 0.9·v + 1·I, JAX 0.9·v + 0.9·I: the leak of JAX reaches the input" in scaled.causes[0].evidence
    draw = verdicts.planted_in_runs(subject, "another seed", 100)
    assert [cause.kind for cause in draw.causes] == ["seed"] * 3
    transposed = verdicts.planted_in_runs(subject, "transposed weight", 100)
    assert transposed.causes[0].evidence == "parameter 'layer 2.weight': torch's is the transpose of JAX's"
    assert transposed.first is not None
    assert transposed.first.layer == "layer 2"


def test_rounding_is_counted_in_every_sample() -> None:
    found = verdicts.rounding_in_float16(verdicts.SUBJECTS["three layers"], 100)
    samples, diverging, explained = found.samples
    assert 0 < diverging == explained <= samples
    assert sum(found.differing.values()) > 10


def test_the_planted_network_learns_nothing_from_its_own_name() -> None:
    """Both sides of an unchanged network spike alike, and do spike."""
    network = verdicts.SUBJECTS["three layers"].network(100)
    inputs = verdicts.SUBJECTS["three layers"].inputs(100)
    run = planted.run(network, inputs, "torch")
    assert all(0.01 < layer.spikes.mean() < 0.5 for layer in run.layers.values())


def test_all_that_a_run_says_goes_to_a_file_and_back(tmp_path: Path) -> None:
    refractory = QUIET > 9
    layers = {
        "adaptive": Layer(*fire(QUIET), threshold=QUIET + 1, refractory=refractory),
        "integrator": Layer(QUIET, dtype="bfloat16"),
        "margins": Layer(QUIET - 1, refractory, margins=True),
    }
    Run(layers, name="chip", axes="time sample neuron", coupled=True).save(tmp_path / "a.npz")
    again = Run.load(tmp_path / "a.npz")
    assert (again.name, again.axes, again.coupled) == ("chip", ("time", "sample", "neuron"), True)
    adaptive, integrator, margins = again.layers.values()
    np.testing.assert_array_equal(adaptive.threshold, QUIET + 1)
    np.testing.assert_array_equal(adaptive.refractory, refractory)
    assert (integrator.spikes, integrator.dtype, integrator.margins) == (None, "bfloat16", False)
    assert margins.margins is True
    assert type(integrator.dtype) is str
    with pytest.raises(ValueError, match="threshold of shape"):
        Run({"a": Layer(*fire(QUIET), threshold=np.ones(4))})
    with pytest.raises(ValueError, match="axes name each axis once"):
        Run({"a": Layer(*fire(QUIET))}, axes="sample neuron")


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_record_keeps_an_integrator_and_thresholds_that_adapt(backend: str) -> None:
    def step(state: Any, x: Any) -> Any:
        state = state + x
        adaptive = {"potentials": state, "spikes": state >= 2.5, "threshold": 0 * state[0] + 2.5}
        return state, {"adaptive": adaptive, "readout": (state, None)}

    array = {"torch": torch.from_numpy, "jax": jnp.asarray}[backend]
    run = record(step, array(np.zeros((2, 3), np.float32)), np.ones((4, 2, 3), np.float32), backend=backend)
    assert run.name == {"torch": "torch", "jax": "JAX"}[backend]
    assert run.layers["readout"].spikes is None
    np.testing.assert_array_equal(run.layers["adaptive"].threshold, np.full((4, 1, 3), 2.5))


@pytest.mark.parametrize("potential", [0.0, np.nan])
def test_a_layer_without_a_number_has_no_units_in_the_last_place(potential: float) -> None:
    potentials = np.full((5, 2, 3), potential, np.float32)
    said = str(first_divergence((potentials, potentials > 1), (potentials, potentials > 1)))
    assert "nan ULP" not in said
    assert "layer 'layer 1'" in said


def test_what_no_cause_explains_counts_neurons_of_both_signs() -> None:
    generator = np.random.default_rng(0)
    potentials = generator.normal(0, 0.1, (6, 5, 40)).astype(np.float32)
    other = potentials + generator.normal(0, 0.01, potentials.shape).astype(np.float32)
    found = first_divergence(fire(potentials), fire(other))
    assert found.verdict == "unknown"
    size = np.sqrt(np.mean((other - potentials)[0] ** 2) / np.mean(potentials[0] ** 2))
    assert f"at step 0 of layer 'layer 1' the potentials of 200 neurons differ by {size:.2g} of their" in found.causes[0].evidence
    # What is at rest in both runs does not differ, nor has it a bound.
    potentials[0] = other[0] = 0
    (cause,) = first_divergence((potentials, None), (other, None)).causes
    assert cause.evidence.startswith("at step 1 of layer 'layer 1' the potentials of 200 neurons differ")


def test_all_that_is_said_of_two_runs() -> None:
    """A spike by rounding in one sample, and one that nothing explains in another."""
    ours = np.full((6, 3, 4), 0.5, np.float32)
    theirs = ours.copy()
    ours[2, 1, 3], theirs[2, 1, 3], theirs[4, 1], theirs[3, 2, 0] = 1 - ULP / 2, 1 + ULP, 1.5, 1.25
    found = first_divergence(fire(ours), fire(theirs))
    bounds = accumulated_rounding("float32", 1024 + 4 + 4, np.ones(4)) / ULP
    lines = str(found).splitlines()
    place = "The first spike that differs: step 2, layer 'layer 1', neuron (1, 3)."
    assert lines[0] == f"{place} Rounding does not explain it: unknown."
    told = "at step 3 of layer 'layer 1' the potentials of 1 neurons differ by 1.5 of their size, and no cause is known; tried"
    assert lines[1].startswith(f"  unknown: {told}, with the share that each explains: ")
    assert re.findall(r"\((\d+)%\)", lines[1]) == sorted(re.findall(r"\((\d+)%\)", lines[1]), key=int, reverse=True)
    assert lines[1].count("%)") == 5
    # In units of the largest potential, 0.5, twice as many as in those of the threshold.
    largest = 2 * 1.25 * bounds[3]
    margins, accounts = "-4,194,304.0 ULP in torch and +2,097,152.0 ULP in JAX", f"rounding in float32 accounts for {largest:.1f}"
    assert lines[2:] == [
        "  JAX fires; threshold 1, potential 0.99999994 in torch and 1.00000012 in JAX",
        f"  margin to the threshold -0.5 ULP in torch and +1.0 ULP in JAX; accumulated rounding {bounds[2]:.1f} ULP",
        "  the first that rounding does not explain: step 3, layer 'layer 1', neuron (2, 0)",
        "  JAX fires; threshold 1, potential 0.5 in torch and 1.25 in JAX",
        f"  margin to the threshold {margins}; accumulated rounding {1.25 * bounds[3]:.1f} ULP",
        "  from there on 6 of 72 spikes differ: layer 1 6 of 72",
        "  2 of 3 samples have a spike that differs; rounding explains the first of 1",
        f"  layer 1: before any spike differs, potentials are at most 1.26e+07 ULP apart (of the largest); {accounts}",
    ]
    plain = found.to_dict()
    assert plain["first"] == {
        "layer": "layer 1",
        "step": 2,
        "neuron": (1, 3),
        "fired": "JAX",
        "threshold": 1.0,
        "potentials": {"torch": 1 - ULP / 2, "jax": 1 + ULP},
        "margins": {"torch": -0.5, "jax": 1.0},
        "bound": pytest.approx(bounds[2]),
        "explained": True,
    }
    assert (plain["unexplained"]["step"], plain["unexplained"]["neuron"], plain["unexplained"]["explained"]) == (3, (2, 0), False)
    assert (plain["differing"], plain["spikes"]) == ({"layer 1": 6}, {"layer 1": 72})
    assert plain["samples"] == {"all": 3, "diverging": 2, "explained": 1}
    assert plain["largest"]["layer 1"] == {"ulp": 0.75 / (ULP / 2), "bound": pytest.approx(largest)}
    assert (plain["verdict"], plain["explained"], plain["dtype"], plain["notes"]) == ("unknown", False, "float32", [])
    assert plain["causes"][0]["evidence"] == found.causes[0].evidence


def test_a_fault_that_only_the_bound_of_a_coarse_dtype_excuses_cannot_be_told() -> None:
    """Potentials of 1.5 in float16 that differ by a twentieth of that, or by a little less, or not in a tenth of the places."""
    side = np.random.default_rng(0).choice([True, False], (4, 3, 200))
    for units, neurons, hides in ((77, 185, True), (76, 185, False), (77, 19, False)):
        lower = np.where(np.arange(200) < neurons, 1.5 - units / 1024, 1.5)
        ours, theirs = (np.where(which, lower, 1.5).astype(np.float16) for which in (side, ~side))
        found = first_divergence((ours, ours > 9), (theirs, theirs > 9), threshold=9.0)
        told = "potentials of layer 'layer 1' differ by 5% of their size, and rounding in float16 may do that"
        assert found.verdict == ("cannot tell" if hides else "same")
        assert any(note.startswith(told) for note in found.notes) == hides


def test_of_runs_that_part_early_too_little_was_compared() -> None:
    for step, verdict in ((3, "cannot tell"), (4, "rounding")):
        ours, theirs = (changed((step, 0, 0), value, np.full((100, 1, 5), 0.5, np.float32)) for value in (1 - ULP / 2, 1 + ULP))
        found = first_divergence(fire(ours), fire(theirs))
        assert found.verdict == verdict
        told = "only 4.0% of steps and samples were compared, as spikes differ early"
        assert (told in str(found)) == (step == 3)


def sides_of(potentials: Any, difference: Any, untouched: Any = True, *, threshold: float | None = None) -> Any:
    """Runs of one layer, (steps, samples, neurons), as far as doubts ask for them; without a threshold it does not fire."""
    potentials = np.asarray(potentials, np.float64)
    side = types.SimpleNamespace(potentials=potentials, threshold=np.full(potentials.shape, threshold or 0.0), name="one")
    pair = types.SimpleNamespace(
        name="hidden",
        dtype="float32",
        one=side,
        other=side,
        sides=(side, side),
        difference=np.broadcast_to(np.asarray(difference, np.float64), potentials.shape),
        fires=threshold is not None,
    )
    seen = np.broadcast_to(untouched, potentials.shape[:2])
    return types.SimpleNamespace(pairs=[pair], untouched=lambda i: seen, dtype="float32")


def test_what_the_bound_hides_is_told_by_the_large_differences_and_the_large_potentials() -> None:
    """The difference that one in ten exceeds, of the size that one in four exceeds."""

    def hidden(*given: Any, **named: Any) -> float:
        sides = sides_of(*given, **named)
        return _hidden(sides, sides.pairs[0], 0)

    potentials = np.linspace(-100.0, 0.0, 101)[:, None, None]
    difference = potentials / 1000
    assert hidden(potentials, difference) == pytest.approx(0.09 / 75)
    assert hidden(potentials, difference, threshold=-2.0) == pytest.approx(0.09 / 75)
    # Only what was compared, and is a number, counts.
    other = np.concatenate([np.full_like(potentials, 1e3)] * 2)
    touched = np.repeat([True, False], [101, 202])[:, None]
    assert hidden(np.concatenate([potentials, other]), np.concatenate([difference, other]), touched) == pytest.approx(0.09 / 75)
    nan = np.concatenate([difference, other * np.nan])
    assert hidden(np.concatenate([potentials, other]), nan) == pytest.approx(0.09 / 75)
    assert hidden(potentials, difference, False) == 0
    # Below a millionth of the threshold a potential is nothing, and without one where it is 0.
    assert hidden(potentials * 0, difference, threshold=-2.0) == pytest.approx(0.09 / 2e-6)
    assert hidden(potentials * 0, difference) == 0
    assert hidden(potentials / 200, difference) == pytest.approx(0.09 / 0.375)


def test_doubts_begin_at_a_twentieth() -> None:
    nothing: Any = types.SimpleNamespace(lawful=())
    ones = np.ones((20, 1, 3))

    def told(*given: Any) -> list[str]:
        return list(doubts(sides_of(*given), nothing))

    assert told(ones, 0.05) == told(ones, -0.05) == []
    (text,) = told(ones, -0.0504)
    assert text.startswith("potentials of layer 'hidden' differ by 5% of their size, and rounding in float32 may do that")
    first = np.arange(20)[:, None] == 0
    assert told(ones, 0.0, first) == []
    (text,) = told(np.ones((21, 1, 3)), 0.0, np.arange(21)[:, None] == 0)
    assert text.startswith("only 4.8% of steps and samples were compared")
    (text,) = told(ones * np.nan, 0.0)
    assert text.startswith("nothing was compared")


def test_the_first_step_differs_where_a_compared_potential_does_by_more_than_the_bound() -> None:
    for difference, untouched, differs in (
        ([[[0.5, -0.5]], [[9.0, 9.0]]], True, False),
        ([[[0.0, -0.51]], [[0.0, 0.0]]], True, True),
        ([[[0.51, 0.0]], [[0.0, 0.0]]], True, True),
        ([[[0.51, 0.0]], [[0.0, 0.0]]], [[False], [True]], False),
    ):
        sides = sides_of(np.ones((2, 1, 2)), difference, untouched)
        sides.pairs[0].bound = np.array([[[0.5, 0.5]], [[0.1, 0.1]]])
        assert _differs_at_first(sides) == differs


def test_samples_are_counted_where_there_are_several() -> None:
    for samples, told in ((1, False), (2, True)):
        base = np.full((4, samples, 5), 0.5, np.float32)
        text = str(first_divergence(*(fire(changed((2, 0, 3), value, base)) for value in (1 - ULP / 2, 1 + ULP))))
        assert (f"1 of {samples} samples have a spike that differs; rounding explains the first of 1" in text) == told
    assert [_number(each) for each in (999.94, 1000.0, 123456.0)] == ["999.9", "1e+03", "1.23e+05"]


def test_what_was_not_looked_for_is_noted_where_all_samples_have_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arcana.testing._doubts.common_products", lambda sides: "")
    sides: Any = types.SimpleNamespace(pairs=[], coupled=False, names=("one", "other"))
    run = Run({"hidden": Layer(*fire(QUIET))})
    for kind, where, in_order, begins in (
        ("permuted", None, False, "nothing else was looked for"),
        ("permuted", None, True, "what else there is was looked for with other in the order of one"),
        ("permuted", "hidden", False, None),
        ("dtype", None, False, None),
    ):
        found = Found((Cause("leak", "hidden", ""), Cause(kind, where, "")), (), (), (), in_order=in_order)
        told = list(notes(run, run, sides, found))
        assert [text[: len(begins or "")] for text in told] == ([begins] if begins else [])


def test_a_layer_that_fires_in_one_run_alone_is_not_silent() -> None:
    quiet, loud = fire(QUIET), fire(changed((2, 1, 3), 1 + ULP))
    for sides, silent in (((quiet, quiet), True), ((quiet, loud), False), ((loud, quiet), False)):
        assert any("never fires in either run" in note for note in first_divergence(*sides).notes) == silent


def test_numbers_that_are_none_in_both_runs_are_counted_and_not_compared() -> None:
    ours = changed((0, 0, 0), np.nan, changed((1, 1, 1), np.inf))
    found = first_divergence((ours, ours > 9), (ours, ours > 9), threshold=9.0)
    assert "layer 'layer 1': 2 of 60 potentials are NaN or infinite in both runs and were not compared" in found.notes
    assert found.verdict == "same"


def test_the_neuron_that_rounding_explains_least_is_told() -> None:
    """Of several in one step; and one that fires below the threshold, or above it in the other run, is no rounding."""
    ours, theirs = changed((2, 1, 3), 1 - ULP), changed((2, 1, 3), 1 + ULP)
    ours[2, 1, 1], theirs[2, 1, 1] = 1 - ULP / 2, 1 + 4 * ULP
    found = first_divergence(fire(ours), fire(theirs)).first
    assert found is not None
    assert (found.neuron, found.margins) == ((1, 1), (-0.5, 4.0))
    spikes = [changed((2, 1, 3), value, np.zeros_like(QUIET)) for value in (0.0, 1.0)]
    unit = UNIT["float32"]
    # A comparison may err by four units of the threshold.
    for silent, firing, explained in (
        (3.9, 5, True),
        (4, 5, True),
        (4.1, 5, False),
        (-5, -4, True),
        (-5, -3.9, True),
        (-5, -4.1, False),
        (2, 2, False),
        (3, 1, False),
    ):
        sides = [changed((2, 1, 3), 1 + each * unit, QUIET.astype(np.float64)) for each in (silent, firing)]
        flip = first_divergence((sides[0], spikes[0]), (sides[1], spikes[1]), dtype="float32").first
        assert flip is not None
        assert flip.explained == explained, (silent, firing)


def test_a_margin_is_within_the_bound_and_what_a_comparison_errs_by() -> None:
    def found(below: float) -> Any:
        sides = [changed((2, 1, 3), value, QUIET.astype(np.float64)) for value in (1 - below, 1.0)]
        return first_divergence(*((side, side >= 1) for side in sides), dtype="float32").first

    most = found(0.0001).bound * ULP + 4 * UNIT["float32"]
    for by, explained in ((1 - 1e-6, True), (1 + 1e-6, False)):
        assert found(by * most).explained == explained


def test_a_spike_is_told_by_the_threshold_of_each_run() -> None:
    """Each run holds its own: margins are in units of the first's, and the neuron nearest to its threshold is not told."""
    v = changed((2, 1, 3), 0.75, changed((2, 1, 2), 0.5, QUIET / 2))
    sides = [Run({"a": Layer(v, v >= level, level)}) for level in (0.45, 0.9)]
    first = first_divergence(*sides).first
    assert first is not None
    low, high = (float(np.float32(level)) for level in (0.45, 0.9))
    assert (first.neuron, first.fired, first.threshold, first.potentials) == ((1, 2), "torch", low, (0.5, 0.5))
    unit = np.spacing(np.float32(0.45))
    assert first.margins == pytest.approx(((0.5 - low) / unit, (0.5 - high) / unit))
    json.dumps(first_divergence(*sides).to_dict(), allow_nan=False)


def test_the_largest_bound_is_that_of_what_was_compared() -> None:
    """Two runs of one sample with the same potentials that part at step 1."""
    v = changed((1, 0, 0), 1.0, QUIET[:, :1])
    found = first_divergence((v, v >= 1), (v, v > 1))
    bound = accumulated_rounding("float32", 1024 + 5 + 4, np.ones(4))[1]
    assert found.largest["layer 1"] == (0, pytest.approx(bound / ULP))
