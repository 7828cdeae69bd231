"""The six libraries as they are called: of a preset's name and parameters the spikes and h of an array v.

Nothing is imported before a library is asked for, so that an error names the one that is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arcana.surrogate import Surrogate

Array = NDArray[np.floating[Any]]


@dataclasses.dataclass(frozen=True)
class Library:
    """A library's framework, its module of surrogates, and how they are called.

    Attributes:
        framework: torch or jax.
        module: where its surrogates are.
        shipped: of the module its surrogates by their own names.
        spikes: of the module, a surrogate, its parameters and v the spikes.
    """

    framework: str
    module: str
    shipped: Callable[[ModuleType], dict[str, Callable[..., Any]]]
    spikes: Callable[[ModuleType, Callable[..., Any], dict[str, Any], Any], Any]


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {name: each for name, each in vars(module).items() if inspect.isfunction(each)}


def _subclasses(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {each.__name__: each for each in module.SurrogateFunctionBase.__subclasses__()}


def _dataclasses(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {name: each for name, each in vars(module).items() if isinstance(each, type) and dataclasses.is_dataclass(each)}


def _small_functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {name: getattr(module, name) for name in module.__all__ if name.islower()}


def _methods(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Norse chooses by a string; its own error lists them."""
    names = ["heaviside", "super", "tanh", "triangle", "circ", "heavi_erfc"]
    methods = {name: functools.partial(module.threshold, method=name) for name in names}
    return {"superspike" if name == "super" else name: method for name, method in methods.items()}


def _made(module: ModuleType, make: Callable[..., Any], parameters: dict[str, Any], v: Any) -> Any:
    return make(**parameters)(v)


def _called(module: ModuleType, function: Callable[..., Any], parameters: dict[str, Any], v: Any) -> Any:
    return function(v, **parameters)


def _with_threshold(module: ModuleType, make: Callable[..., Any], parameters: dict[str, Any], v: Any) -> Any:
    """Sinabs subtracts the threshold itself; on the grid v + threshold − threshold is v."""
    own = dict(parameters)
    threshold = own.pop("spike_threshold", 1.0)
    single_spike = importlib.import_module("sinabs.activation").SingleSpike
    return single_spike.apply(v + threshold, threshold, make(**own))


LIBRARIES = {
    "snntorch": Library("torch", "snntorch.surrogate", _functions, _made),
    "spikingjelly": Library("torch", "spikingjelly.activation_based.surrogate", _subclasses, _made),
    "norse": Library("torch", "norse.torch.functional.threshold", _methods, _called),
    "sinabs": Library("torch", "sinabs.activation.surrogate_gradient_fn", _dataclasses, _with_threshold),
    "spyx": Library("jax", "spyx.axn", _functions, _made),
    "braintools": Library("jax", "braintools.surrogate", _small_functions, _called),
}


def load(library: str) -> ModuleType:
    """A library's module; what it warns of while it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(LIBRARIES[library].module)


def version(library: str) -> str:
    """The library's installed version."""
    return metadata.version(library)


def shipped(library: str) -> dict[str, Callable[..., Any]]:
    """The surrogates in a library's module, by their own names."""
    return LIBRARIES[library].shipped(load(library))


def plain(name: str) -> str:
    """A name without case and underscores: `SoftSign` and `soft_sign` are one."""
    return name.lower().replace("_", "")


def original(name: str) -> Callable[..., Any]:
    """What a preset is named after, in its library."""
    library, _, function = name.partition(".")
    return {plain(each): surrogate for each, surrogate in shipped(library).items()}[plain(function)]


def evaluate_library(name: str, parameters: dict[str, Any], v: Array) -> tuple[Array, Array]:
    """Spikes and h of v from the library's own code."""
    name_of_library = name.partition(".")[0]
    library, module, surrogate = LIBRARIES[name_of_library], load(name_of_library), original(name)
    return _evaluate(library.framework, lambda v: library.spikes(module, surrogate, parameters, v), v)


def evaluate_preset(name: str, surrogate: Surrogate, v: Array) -> tuple[Array, Array]:
    """Spikes and h of v from Arcana, in the framework of the library."""
    framework = LIBRARIES[name.partition(".")[0]].framework
    spike = importlib.import_module(f"arcana.{framework}").spike
    return _evaluate(framework, lambda v: spike(v, surrogate), v)


def _evaluate(framework: str, function: Callable[[Any], Any], v: Array) -> tuple[Array, Array]:
    return (_torch if framework == "torch" else _jax)(function, v)


def _torch(function: Callable[[Any], Any], v: Array) -> tuple[Array, Array]:
    import torch

    leaf = torch.tensor(v, requires_grad=True)
    spikes = function(leaf)
    (gradient,) = torch.autograd.grad(spikes, leaf, torch.ones_like(spikes))
    return spikes.detach().numpy(), gradient.numpy()


def _jax(function: Callable[[Any], Any], v: Array) -> tuple[Array, Array]:
    import jax
    import jax.numpy as jnp

    with _jax_as_it_comes():
        spikes, pullback = jax.vjp(function, jnp.asarray(v))
        (gradient,) = pullback(jnp.ones_like(spikes))
        return np.asarray(spikes), np.asarray(gradient)


@contextlib.contextmanager
def _jax_as_it_comes() -> Iterator[None]:
    """float64 for the comparison, and the promotion that the libraries rely on, which the tests' settings forbid."""
    import jax

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
