"""Every preset against what its library computed, without the library: `python tests/peers/freeze.py` wrote the values."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arcana import presets
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


def test_the_libraries_are_those_that_are_pinned() -> None:
    pins = dict(
        line.split("==") for line in (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert {library: pins[library] for library in TABLE["versions"]} == TABLE["versions"]
