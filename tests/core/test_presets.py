"""The presets by themselves: names, errors, descriptions, and surrogates that keep their values. No framework."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from rule_presets import described

from arcana import presets
from arcana._core import NUMPY_NAMESPACES
from arcana.rules import Firing, Integer, Rule
from arcana.surrogate import FastSigmoid, Surrogate, from_dict

LIBRARIES = [
    *("braincog", "braintools", "jaxsnn", "lava_dl", "norse", "rockpool", "sinabs"),
    *("slax", "snnax", "snntorch", "spikingjelly", "spyx"),
]
WITH_RULES = ["braincog", "norse", "rockpool", "sinabs", "spikingjelly"]
every_preset = pytest.mark.parametrize("name", presets.names())
every_rule = pytest.mark.parametrize("name", presets.rule_names())


def test_names_are_those_of_twelve_libraries() -> None:
    assert sorted({name.partition(".")[0] for name in presets.names()}) == LIBRARIES
    assert [name for library in LIBRARIES for name in presets.names(library)] == presets.names()
    assert "norse.superspike" in presets.names("norse")


def test_get_is_the_function_of_the_library() -> None:
    expected = FastSigmoid(scale=25.0, fires_at_threshold=False)
    assert presets.get("snntorch.fast_sigmoid", slope=25) == presets.snntorch.fast_sigmoid(slope=25) == expected


@every_preset
def test_preset_keeps_its_value(name: str) -> None:
    surrogate = presets.get(name)
    assert isinstance(surrogate, Surrogate)
    assert presets.get(name, **presets.defaults(name)) == surrogate
    for copy in (presets.get(name), pickle.loads(pickle.dumps(surrogate)), from_dict(surrogate.to_dict())):
        assert copy == surrogate
        assert hash(copy) == hash(surrogate)


@every_preset
def test_every_parameter_changes_the_preset(name: str) -> None:
    for parameter, default in presets.defaults(name).items():
        other = default + 1 if isinstance(default, int) else 1.5 * default + 0.25
        assert presets.get(name, **{parameter: other}) != presets.get(name), parameter


@every_preset
def test_description_has_the_call_the_formula_and_the_spike(name: str) -> None:
    call, source, formula, *remarks = presets.describe(name).split("\n\n")
    assert call == f"{name}({', '.join(f'{key}={value!r}' for key, value in presets.defaults(name).items())})"
    assert "`" in source
    assert formula.startswith("h(v) = ")
    assert all(parameter in formula for parameter in presets.defaults(name)) or name.startswith("lava_dl.")
    assert ("fires where v >= 0." in source) == presets.get(name).fires_at_threshold
    assert ("fires where v > 0." in source) != presets.get(name).fires_at_threshold
    assert all(remark.startswith(("Differs: ", "Note: ")) for remark in remarks)


def test_names_of_rules_are_none_of_surrogates() -> None:
    assert sorted({name.partition(".")[0] for name in presets.rule_names()}) == WITH_RULES
    assert [name for library in LIBRARIES for name in presets.rule_names(library)] == presets.rule_names()
    assert not set(presets.rule_names()) & set(presets.names())
    for library in LIBRARIES:
        own = {name for name, each in vars(getattr(presets, library)).items() if each.__class__.__name__ == "function"}
        registered = {*presets.names(library), *presets.rule_names(library)}
        assert {f"{library}.{name}" for name in own - {"preset", "rule_preset"} if name[0] != "_"} == registered


def test_get_rule_is_the_function_of_the_library() -> None:
    expected = Integer(4, repeat=False, step=0.5)
    by_name = presets.get_rule("sinabs.max_spike", max_num_spikes_per_bin=4, spike_threshold=0.5)
    assert by_name == presets.sinabs.max_spike(max_num_spikes_per_bin=4, spike_threshold=0.5) == expected
    # As Rockpool's users write it.
    assert presets.rockpool.lif(max_spikes_per_dt=np.float32(4.0)) == presets.rockpool.lif(max_spikes_per_dt=4)


@every_rule
def test_preset_of_a_rule_keeps_its_value(name: str) -> None:
    rule = presets.get_rule(name)
    assert isinstance(rule, Rule)
    for copy in (presets.get_rule(name, **presets.defaults(name)), pickle.loads(pickle.dumps(rule))):
        assert copy == rule
        assert hash(copy) == hash(rule)
    for parameter, default in presets.defaults(name).items():
        other = 3 if default is None else default + 1 if isinstance(default, int) else 1.5 * default
        assert presets.get_rule(name, **{parameter: other}) != rule, parameter


@every_rule
def test_description_of_a_rule_has_the_call_the_potential_the_spikes_and_a_surrogate(name: str) -> None:
    call, _, spikes, _, *remarks = presets.describe(name).split("\n\n")
    assert call == f"{name}({', '.join(f'{key}={value!r}' for key, value in presets.defaults(name).items())})"
    assert spikes.startswith("P(spike) = " if presets.get_rule(name).random else "spikes = ")
    assert all(parameter in spikes for parameter in presets.defaults(name))
    assert all(remark.startswith(("Differs: ", "Note: ")) for remark in remarks)
    others = {"spike_threshold": 1.0, "k": 1.0, "alpha": 1.0}
    found = described(name, {key: value for key, value in others.items() if key not in presets.defaults(name)})
    assert found.potential(2.0) in (1.0, 1.5, 2.0)
    if found.rule.random:
        found.rule.check(found.surrogate)


# Independent of the presets: (name, x, spikes, gradient), from BrainCog's code.
RULE_VALUES: list[tuple[str, list[float], list[float], list[float]]] = [
    ("braincog.ei_grad", [-3.0, -0.5, -0.25, 0.0, 0.25, 0.5, 3.0], [-1, -1, -1, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0, 0]),
    ("braincog.round_grad", [-3.0, -0.25, 0.0, 0.25, 1.0, 1.25, 4.25, 9.0], [0, 0, 0, 1, 1, 2, 5, 5], [0, 1, 1, 1, 1, 1, 1, 0]),
]


@pytest.mark.parametrize(("name", "x", "spikes", "gradient"), RULE_VALUES)
def test_value_of_a_rule(name: str, x: list[float], spikes: list[float], gradient: list[float]) -> None:
    found = described(name, {})
    v = found.potential(np.array(x))
    firing = Firing(NUMPY_NAMESPACES["float64"], found.surrogate.fires_at_threshold)
    np.testing.assert_array_equal(found.rule.spikes(v, firing), spikes)
    slopes = sum(found.surrogate.derivative(side * (v - at)) for at, side in found.rule.thresholds)
    np.testing.assert_array_equal(slopes, gradient)
    assert [each[0] for each in RULE_VALUES] == presets.rule_names("braincog")


def normal(x: float) -> float:
    return float(np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


# Independent of the presets: (name, parameters, v, h), written from what the library's code computes or, marked so, intends.
VALUES: list[tuple[str, dict[str, Any], float, float]] = [
    ("braincog.atan_grad", {}, 1.0, 1 / (1 + np.pi**2)),
    ("braincog.back_ei_gate_grad", {}, 0.5, 0.0),
    ("braincog.gate_grad", {}, 0.499, 1.0),
    ("braincog.gate_grad", {}, 0.5, 0.0),
    ("braincog.gate_grad", {"alpha": 4.0}, 0.24, 1.0),
    ("braincog.gate_grad", {"alpha": 4.0}, 0.25, 0.0),
    ("braincog.q_gate_grad", {}, 0.25, 2 - 4 * 0.25),
    ("braincog.relu_grad", {}, 0.1, 2.0),
    ("braincog.relu_grad", {"alpha": 3.0}, 0.1, 3.0),
    ("braincog.sigmoid_grad", {}, 0.0, 0.25),
    ("braincog.stdp_grad", {}, -0.1, 0.0),
    ("braincog.straight_through_estimator", {}, -9.0, 1.0),
    ("jaxsnn.superspike", {}, 0.1, 1 / 81),
    ("jaxsnn.superspike", {"alpha": 10.0}, -0.1, 0.25),
    ("lava_dl.alif", {}, 0.0, 0.0005),
    ("lava_dl.cuba", {}, 50.0, 0.0005 * np.exp(-0.5)),
    ("lava_dl.cuba", {"threshold": 2.0, "tau_grad": 0.5, "scale_grad": 3.0}, 50.0, 0.3 / 200 * np.exp(-0.5)),
    ("lava_dl.rf_iz", {}, -50.0, 0.0005 * np.exp(-0.5)),
    ("lava_dl.rf_iz", {"tau_grad": 0.01}, -1.0, 0.05 * np.exp(-1)),
    ("lava_dl.spike", {}, -1.0, 0.5 * np.exp(-1)),
    ("lava_dl.spike", {"tau_rho": 2.0, "scale_rho": 3.0}, -1.0, 0.75 * np.exp(-0.5)),
    # With max_spikes_per_dt = 1, by Rockpool 3.1.0 itself, for potentials of 2, 2.5 and 3 and for −1.3 and 6.2.
    ("rockpool.periodic_exponential", {}, 1.0, 0.1353352832366127),
    ("rockpool.periodic_exponential", {}, 1.5, 0.049787068367863944),
    ("rockpool.periodic_exponential", {}, 2.0, 0.01831563888873418),
    ("rockpool.periodic_exponential", {}, -2.3, 0.010051835744633586),
    ("rockpool.periodic_exponential", {}, 5.2, 3.0432483008403625e-05),
    ("rockpool.periodic_exponential", {"threshold": 1.5, "window": 0.3}, 0.0, 1 / 1.5),
    ("rockpool.periodic_exponential", {"threshold": 1.5, "window": 0.3}, 0.5, 0.12591706855837456),
    ("rockpool.periodic_exponential", {"threshold": 1.5, "window": 0.3}, -2.8, 5.895132577325534e-05),
    ("rockpool.step_pwl", {}, -0.5, 1.0),
    ("rockpool.step_pwl", {}, -0.504, 0.0),
    ("rockpool.step_pwl", {"threshold": 2.0}, -0.5, 0.5),
    ("rockpool.step_pwl", {"threshold": 2.0}, -0.51, 0.0),
    ("slax.atan", {}, 1.0, 1 / (1 + np.pi**2)),
    ("slax.fast_sigmoid", {}, 0.2, 1 / 36),
    ("slax.multi_gauss", {}, 0.3, 0.5 * (1.15 * normal(1.0) / 0.3 - 0.15 * (normal(0.0) + normal(1 / 3)) / 1.8)),
    ("slax.multi_gauss", {"gamma": 1.0, "lens": 0.5, "height": 0.0}, 0.5, np.exp(-0.5) / (0.5 * np.sqrt(2 * np.pi))),
    ("snnax.piecewise_surrogate", {}, 0.499, 1.0),
    ("snnax.piecewise_surrogate", {}, 0.5, 0.0),
    ("snnax.piecewise_surrogate", {"beta": 0.3}, 0.29, 1.0),
    ("snnax.piecewise_surrogate", {"beta": 0.3}, -0.3, 0.0),
    ("snnax.sigmoid_surrogate", {}, 0.0, 0.25),
    ("snnax.sigmoid_surrogate", {"beta": 4.0}, 0.0, 1.0),
    ("snnax.superspike_surrogate", {}, 0.1, 0.5),
    ("snnax.superspike_surrogate", {"beta": 4.0}, -1.0, 0.2),
]


@pytest.mark.parametrize(("name", "parameters", "v", "h"), VALUES)
def test_value(name: str, parameters: dict[str, Any], v: float, h: float) -> None:
    """Of the libraries that tests/peers does not run."""
    derivative = presets.get(name, **parameters).derivative(np.array([v]))
    np.testing.assert_allclose(derivative, [h], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "window", "theirs", "ours"),
    [("step_pwl", 0.5, -2 / 1.5**2, -1 / 1.5), ("periodic_exponential", 0.3, -0.16788942474449942, -0.12591706855837456)],
)
def test_rockpool_s_gradient_of_the_threshold_is_what_the_description_says(
    name: str, window: float, theirs: float, ours: float
) -> None:
    """Of a potential of 2 and a threshold of 1.5, by Rockpool 3.1.0 itself: potential/threshold times that of v."""
    surrogate = presets.get(f"rockpool.{name}", threshold=1.5, window=window)
    h = float(surrogate.derivative(np.float64(2 - 1.5)))
    np.testing.assert_allclose([-h, -h * 2 / 1.5], [ours, theirs], rtol=1e-12)
    description = presets.describe(f"rockpool.{name}")
    assert f"−{-ours:.3f}" in description
    assert f"−{-theirs:.3f}" in description


def test_values_have_every_preset_that_is_not_run_as_it_comes() -> None:
    libraries = ("braincog", "jaxsnn", "lava_dl", "rockpool", "slax", "snnax")
    unrun = [name for library in libraries for name in presets.names(library)]
    assert sorted({name for name, parameters, *_ in VALUES if not parameters}) == unrun


ERRORS: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("snntorch.fastsigmoid", {}, ValueError, "unknown preset 'snntorch.fastsigmoid'; did you mean snntorch.fast_sigmoid or "),
    ("snntorch.SFS", {}, ValueError, "unknown preset 'snntorch.SFS'; did you mean snntorch.sfs?"),
    ("soft_sign", {}, ValueError, "unknown preset 'soft_sign'; did you mean braintools.soft_sign or spikingjelly.soft_sign?"),
    ("spyx.zzz", {}, ValueError, "unknown preset 'spyx.zzz'; there are spyx.arctan, spyx.boxcar, spyx.custom, "),
    ("nowhere.xyz", {}, ValueError, "unknown preset 'nowhere.xyz'; there are braincog.*, braintools.*, jaxsnn.*, lava_dl.*, "),
    ("snntorch.sfs", {"slop": 1}, TypeError, "preset snntorch.sfs has no parameter 'slop'; did you mean slope?"),
    ("snntorch.sfs", {"xyz": 1}, TypeError, "preset snntorch.sfs has no parameter 'xyz'; there are B, slope"),
    ("spyx.custom", {"k": 1}, TypeError, "preset spyx.custom has no parameter 'k'; it has none"),
    ("spyx.tanh", {"k": 0}, ValueError, "preset spyx.tanh(k=0): k must not be 0"),
    ("spyx.tanh", {"k": "1"}, TypeError, "preset spyx.tanh(k='1'): "),
    ("spyx.superspike", {"k": -1.0}, ValueError, "preset spyx.superspike(k=-1.0): FastSigmoid: scale must be > 0, got -1.0"),
    ("spikingjelly.squarewave_fourier_series", {"n": 1}, ValueError, "(n=1): SquarewaveFourier: terms must be >= 1 "),
]


@pytest.mark.parametrize(("name", "parameters", "error", "message"), ERRORS)
def test_error(name: str, parameters: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        presets.get(name, **parameters)


RULE_ERRORS: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("sinabs.gaussian", {}, ValueError, "preset 'sinabs.gaussian' is a surrogate: write presets.get('sinabs.gaussian')"),
    ("sinabs.MultiSpike", {}, ValueError, "unknown preset 'sinabs.MultiSpike'; did you mean sinabs.multi_spike"),
    ("multi_spike", {}, ValueError, "unknown preset 'multi_spike'; did you mean sinabs.multi_spike?"),
    ("sinabs.multi_spike", {"threshold": 1}, TypeError, "no parameter 'threshold'; did you mean spike_threshold?"),
    ("norse.logistic", {"k": 2.0}, TypeError, "preset norse.logistic has no parameter 'k'; it has none"),
    ("sinabs.multi_spike", {"spike_threshold": 0}, ValueError, "sinabs.multi_spike(spike_threshold=0): Integer: step must be"),
    ("rockpool.lif", {"max_spikes_per_dt": 4.5}, TypeError, "Integer: most must be a whole number, got 4.5"),
    ("spikingjelly.ternary_if_node", {"v_threshold": -1.0}, ValueError, "Ternary: gap must be from 0 to 1.04858e+06, got -2.0"),
]


@pytest.mark.parametrize(("name", "parameters", "error", "message"), RULE_ERRORS)
def test_error_of_a_rule(name: str, parameters: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        presets.get_rule(name, **parameters)


def test_a_rule_is_not_got_as_a_surrogate() -> None:
    message = "preset 'sinabs.multi_spike' is a rule: write presets.get_rule('sinabs.multi_spike')"
    with pytest.raises(ValueError, match=re.escape(message)):
        presets.get("sinabs.multi_spike")


def test_unknown_library() -> None:
    with pytest.raises(ValueError, match=re.escape("no presets of a library 'snnTorch'; did you mean snntorch?")):
        presets.names("snnTorch")


def test_import_needs_no_framework() -> None:
    code = "import sys; from arcana import presets; presets.names(); assert not {'torch', 'jax', 'snntorch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
