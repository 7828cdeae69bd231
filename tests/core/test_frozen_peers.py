"""Every preset against what its library computed, without the library: `python tests/peers/freeze.py` wrote the values."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_presets import described

from arcana import presets
from arcana._core import NUMPY_NAMESPACES
from arcana.rules import Firing, Rule, Stochastic
from arcana.surrogate import Surrogate

TABLE = json.loads((Path(__file__).parent / "peers.json").read_text(encoding="utf-8"))
V = np.array(TABLE["v"])
CASES = TABLE["cases"]
every_case = pytest.mark.parametrize(
    "case", CASES, ids=[f"{case['preset']}({','.join(f'{k}={v}' for k, v in case['parameters'].items())})" for case in CASES]
)


def off(surrogate: Surrogate, case: dict[str, Any]) -> float:
    """The largest difference of h, relative to h or to a hundredth of its peak, in units of what the table's digits leave."""
    h, expected = surrogate.derivative(V), np.array(case["h"], float)
    size = np.maximum(np.abs(expected), 0.01 * np.abs(expected).max())
    return float(np.max(np.abs(h - expected) / size) / 10.0 ** -(case.get("digits", 12) - 1.5))


@every_case
def test_preset_is_what_the_library_computed(case: dict[str, Any]) -> None:
    surrogate = presets.get(case["preset"], **case["parameters"])
    assert off(surrogate, case) <= 1
    if case["spikes"] is not None:
        assert case["spikes"] == "".join(str(int(v > 0 or (v == 0 and surrogate.fires_at_threshold))) for v in V)


@every_case
def test_a_constant_one_part_in_a_thousand_off_fails(case: dict[str, Any]) -> None:
    surrogate = presets.get(case["preset"], **case["parameters"])
    for name, value in {**surrogate.numbers, "gain": surrogate.gain}.items():
        moved = {surrogate.rounded(name, factor * value, "float64") for factor in (0.999, 1.001)} - {value}
        # An end beyond every potential of the table cannot show; a kink lies on one, and shows when it moves one way.
        if moved and value < 1e15:
            assert max(off(dataclasses.replace(surrogate, **{name: each}), case) for each in moved) > 1, name


def test_the_table_has_every_preset_of_the_six_libraries_at_its_defaults() -> None:
    names = [name for library in TABLE["versions"] for name in presets.names(library)]
    assert sorted({case["preset"] for case in CASES}) == sorted(names)
    for name in names:
        sets = [case["parameters"] for case in CASES if case["preset"] == name]
        defaults = presets.defaults(name)
        assert sets[0] == defaults
        # Every parameter has another value in some set, alone.
        alone = {key for each in sets for key in each if {**each, key: defaults[key]} == defaults != each}
        assert alone == set(defaults), name


def test_the_table_says_where_a_preset_differs_from_its_library() -> None:
    differing = {case["preset"] for case in CASES if "library" in case}
    named = {name for library in TABLE["versions"] for name in presets.names(library) if "\nDiffers: " in presets.describe(name)}
    assert differing == named
    raising = {case["preset"] for case in CASES if case.get("library", "") is None}
    assert raising == {"snntorch.lso"}
    # Where it overflows and at −0.0 alone two are apart: neither is in the table.
    apart = {case["preset"] for case in CASES if case.get("library") and not np.allclose(case["library"], case["h"], rtol=1e-2)}
    assert apart == differing - raising - {"snntorch.sigmoid", "spikingjelly.fake_numerical_gradient"}


X = np.array(TABLE["x"])
RULE_CASES = TABLE["rules"]
every_rule_case = pytest.mark.parametrize(
    "case",
    RULE_CASES,
    ids=[
        f"{case['preset']}({','.join(f'{k}={v}' for k, v in {**case['parameters'], **case['others']}.items())})"
        for case in RULE_CASES
    ],
)


def spikes_of(rule: Rule, surrogate: Surrogate, v: Any) -> Any:
    """The spikes, or the probability of a rule that draws them."""
    if isinstance(rule, Stochastic):
        rule.check(surrogate)
        return surrogate.primitive(v)
    return rule.spikes(v, Firing(NUMPY_NAMESPACES["float64"], surrogate.fires_at_threshold))


def gradient_of(rule: Rule, surrogate: Surrogate, v: Any) -> Any:
    return sum(surrogate.derivative(side * (v - at)) for at, side in rule.thresholds)


@every_rule_case
def test_rule_and_its_surrogate_are_what_the_library_computed(case: dict[str, Any]) -> None:
    spikes, gradient = (np.array(case[key], float) for key in ("spikes", "gradient"))
    taken = ~np.isnan(spikes)
    found = described(case["preset"], case["others"], **case["parameters"])
    v = found.potential(X[taken])
    error = 10.0 ** -(case.get("digits", 12) - 1.5)
    np.testing.assert_allclose(gradient_of(found.rule, found.surrogate, v), gradient[taken], rtol=error, atol=1e-12)
    if isinstance(found.rule, Stochastic):
        np.testing.assert_allclose(spikes_of(found.rule, found.surrogate, v), spikes[taken], rtol=error)
    else:
        np.testing.assert_array_equal(spikes_of(found.rule, found.surrogate, v), spikes[taken])


@every_rule_case
def test_a_rule_with_another_number_has_other_spikes(case: dict[str, Any]) -> None:
    found = described(case["preset"], case["others"], **case["parameters"])
    v = found.potential(X)
    for name, value in {field.name: getattr(found.rule, field.name) for field in dataclasses.fields(found.rule)}.items():
        # No potential of the table comes to 65,536 spikes, and whether h is repeated shows in the gradient.
        if isinstance(value, bool) or value is None or value == 2**16:
            continue
        for other in (value + 1, value - 1) if isinstance(value, int) else (value * 1.01 + 0.01, value * 0.99):
            if other != value:
                moved = dataclasses.replace(found.rule, **{name: other})
                assert (spikes_of(moved, found.surrogate, v) != spikes_of(found.rule, found.surrogate, v)).any(), (name, other)


def test_the_table_has_every_rule_of_its_libraries_at_its_defaults() -> None:
    names = [name for library in TABLE["rule_versions"] for name in presets.rule_names(library)]
    assert sorted({case["preset"] for case in RULE_CASES}) == sorted(names)
    for name in names:
        sets = [case["parameters"] for case in RULE_CASES if case["preset"] == name]
        assert sets[0] == {} or len(presets.defaults(name)) == 1
        assert {key for each in sets for key in each if each[key] != presets.defaults(name)[key]} == set(presets.defaults(name))


def test_the_table_says_where_the_spikes_of_a_rule_differ() -> None:
    assert {case["preset"] for case in RULE_CASES if "library" in case} == {
        "norse.sign",
        "spikingjelly.multi_level_spike_count",
    }
    for case in RULE_CASES:
        if "library" in case:
            assert "\nDiffers: at x = " in presets.describe(case["preset"])
            apart = X[np.array(case["spikes"]) != np.array(case["library"])]
            assert set(apart) <= ({0.0} if case["preset"] == "norse.sign" else {0.5, 2.5, 4.5})


def test_the_libraries_are_those_that_are_pinned() -> None:
    pins = dict(
        line.split("==") for line in (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines() if "==" in line
    )
    for versions in (TABLE["versions"], TABLE["rule_versions"]):
        assert {library: pins[library] for library in versions} == versions
