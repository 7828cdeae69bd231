"""The six libraries: how a surrogate of each is called, and the spikes and h that it computes.

Nothing is imported before a library is asked for, so that an error names the one that is missing.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arcana import presets
from arcana.bench.records import Candidate, Spikes

Array = NDArray[np.floating[Any]]
Functions = dict[str, Callable[..., Any]]


def _called(function: Callable[..., Any], parameters: dict[str, Any]) -> Spikes:
    return functools.partial(function, **parameters)


def _with_threshold(make: Callable[..., Any], parameters: dict[str, Any]) -> Spikes:
    gradient = make(**{name: value for name, value in parameters.items() if name != "spike_threshold"})
    spike, threshold = importlib.import_module("sinabs.activation").SingleSpike, _spike_threshold(parameters)
    return lambda potential: spike.apply(potential, threshold, gradient)


def _spike_threshold(parameters: dict[str, Any]) -> float:
    return float(parameters.get("spike_threshold", 1.0))


def _functions(module: ModuleType) -> Functions:
    return {name: each for name, each in vars(module).items() if inspect.isfunction(each)}


def _subclasses(module: ModuleType) -> Functions:
    return {each.__name__: each for each in module.SurrogateFunctionBase.__subclasses__()}


def _dataclasses(module: ModuleType) -> Functions:
    return {name: each for name, each in vars(module).items() if isinstance(each, type) and dataclasses.is_dataclass(each)}


def _small_functions(module: ModuleType) -> Functions:
    return {name: getattr(module, name) for name in module.__all__ if name.islower()}


def _methods(module: ModuleType) -> Functions:
    """Return Norse's, which are chosen by a string; its own error lists them."""
    names = {"superspike": "super"} | {name: name for name in ("heaviside", "tanh", "triangle", "circ", "heavi_erfc")}
    return {name: functools.partial(module.threshold, method=method) for name, method in names.items()}


@dataclasses.dataclass(frozen=True)
class Library:
    """A library's framework, its module of surrogates, and how they are called."""

    framework: str
    module: str
    shipped: Callable[[ModuleType], Functions]  # the module's surrogates by their own names
    make: Callable[[Callable[..., Any], dict[str, Any]], Spikes] = lambda make, parameters: make(**parameters)
    threshold: Callable[[dict[str, Any]], float] = lambda parameters: 0.0  # the potential at which that fires


LIBRARIES = {
    "snntorch": Library("torch", "snntorch.surrogate", _functions),
    "spikingjelly": Library("torch", "spikingjelly.activation_based.surrogate", _subclasses),
    "norse": Library("torch", "norse.torch.functional.threshold", _methods, _called),
    "sinabs": Library("torch", "sinabs.activation.surrogate_gradient_fn", _dataclasses, _with_threshold, _spike_threshold),
    "spyx": Library("jax", "spyx.axn", _functions),
    "braintools": Library("jax", "braintools.surrogate", _small_functions, _called),
}


def load(library: str) -> ModuleType:
    """Import a library's module, without what it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(LIBRARIES[library].module)


def shipped(library: str) -> Functions:
    """Return the surrogates in a library's module, by their own names."""
    return LIBRARIES[library].shipped(load(library))


def plain(name: str) -> str:
    """Return a name without case and underscores: `SoftSign` and `soft_sign` are one."""
    return name.lower().replace("_", "")


def original(name: str) -> Callable[..., Any]:
    """Return what a preset is named after, in its library."""
    library, _, function = name.partition(".")
    return {plain(each): surrogate for each, surrogate in shipped(library).items()}[plain(function)]


def peer(name: str, parameters: dict[str, Any] | None = None) -> Candidate:
    """Return what a preset is named after, with its library's defaults unless other parameters are given."""
    library, chosen = LIBRARIES[name.partition(".")[0]], presets.defaults(name) if parameters is None else parameters
    function, differs = library.make(original(name), chosen), "\nDiffers: " in presets.describe(name)
    return Candidate(name, function, presets.get(name, **chosen), library.threshold(chosen), differs)


def framework_of(name: str) -> str:
    """Return the framework of a preset's library."""
    return LIBRARIES[name.partition(".")[0]].framework


def evaluate(framework: str, function: Spikes, v: Array) -> tuple[Array, Array]:
    """Return spikes and h of v from a function of either framework."""
    return importlib.import_module(f"arcana.bench.{framework}_side").evaluate(function, v)
