"""Every preset of the installable libraries, value by value with the library's own code, and that a wrong one would fail."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np
import pytest
from cases import CASES, COMPARED, DIFFERENCES, OTHER_PARAMETERS
from comparison import compare, evaluate_library

from arcana import presets
from arcana.bench.candidates import grid
from arcana.bench.libraries import LIBRARIES, original, plain, shipped
from arcana.surrogate import Surrogate

# What the libraries have and no preset can be: docs/from-other-libraries.md says why.
NOT_EXPRESSIBLE = {"SSO", "custom_surrogate", "heaviside"}

every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
every_case = pytest.mark.parametrize(
    ("name", "parameters"),
    CASES,
    ids=[f"{name}-{'other' if parameters == OTHER_PARAMETERS.get(name) else 'default'}" for name, parameters in CASES],
)


def varied(name: str, parameters: dict[str, Any]) -> list[Surrogate]:
    """The preset with each parameter 1 % off, a whole number one off; without parameters its height 1 % off."""
    if not parameters:
        surrogate = presets.get(name)
        return [dataclasses.replace(surrogate, gain=1.01 * surrogate.gain)]
    off = {key: value + 1 if isinstance(value, int) else 1.01 * value for key, value in parameters.items() if value != 0}
    return [presets.get(name, **{**parameters, key: value}) for key, value in off.items()]


@every_dtype
@every_case
def test_preset_is_the_library(name: str, parameters: dict[str, Any], dtype: str) -> None:
    found = compare(name, parameters, dtype)
    assert found.agrees, found


@every_dtype
@every_case
def test_one_per_cent_off_fails(name: str, parameters: dict[str, Any], dtype: str) -> None:
    for surrogate in varied(name, parameters):
        assert not compare(name, parameters, dtype, surrogate).agrees, surrogate


@every_case
def test_other_spike_at_zero_fails(name: str, parameters: dict[str, Any]) -> None:
    if name in DIFFERENCES and DIFFERENCES[name].raises:
        return
    surrogate = presets.get(name, **parameters)
    other = dataclasses.replace(surrogate, fires_at_threshold=not surrogate.fires_at_threshold)
    assert not compare(name, parameters, "float32", other).agrees


@pytest.mark.parametrize("name", DIFFERENCES)
def test_library_still_differs(name: str) -> None:
    """Where it no longer does, the preset's description is out of date."""
    for parameters in [each for case, each in CASES if case == name]:
        assert compare(name, parameters, "float32").apart > 1e-2


def test_differences_are_those_described() -> None:
    assert {name for name in COMPARED if "\nDiffers: " in presets.describe(name)} == set(DIFFERENCES)


def test_other_parameters_are_all_other() -> None:
    assert set(OTHER_PARAMETERS) == {name for name in COMPARED if presets.defaults(name)}
    for name, parameters in OTHER_PARAMETERS.items():
        defaults = presets.defaults(name)
        assert set(parameters) == set(defaults), name
        assert all(parameters[key] not in (0, defaults[key]) for key in defaults), name


@pytest.mark.parametrize("name", [name for name in COMPARED if not name.startswith("norse.")])
def test_defaults_are_the_library_s(name: str) -> None:
    theirs = inspect.signature(original(name)).parameters
    for parameter, default in presets.defaults(name).items():
        assert parameter == "spike_threshold" or theirs[parameter].default == default


def test_defaults_of_norse_are_its_neurons() -> None:
    from norse.torch import LIFParameters
    from norse.torch.functional.threshold import triangle_fn

    assert LIFParameters().method == "super"
    alphas = {name: presets.defaults(name)["alpha"] for name in presets.names("norse")}
    assert alphas.pop("norse.triangle") == inspect.signature(triangle_fn).parameters["alpha"].default
    assert set(alphas.values()) == {float(LIFParameters().alpha)}


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_surrogate_has_a_preset(library: str) -> None:
    ours = {plain(name.partition(".")[2]) for name in (*presets.names(library), *presets.rule_names(library))}
    assert {name for name in shipped(library) if plain(name) not in ours} <= NOT_EXPRESSIBLE


def test_libraries_fire_at_zero_or_not() -> None:
    zero = np.zeros(1, dtype=np.float32)
    names = ["snntorch.atan", "norse.tanh", "spyx.arctan", "spikingjelly.atan", "sinabs.gaussian", "braintools.arctan"]
    assert [float(evaluate_library(name, presets.defaults(name), zero)[0][0]) for name in names] == [0, 0, 0, 1, 1, 1]


@every_dtype
@pytest.mark.parametrize("threshold", [1, 2])
def test_grid_survives_a_threshold(threshold: int, dtype: str) -> None:
    v = grid(dtype)
    np.testing.assert_array_equal((v + threshold) - threshold, v)
