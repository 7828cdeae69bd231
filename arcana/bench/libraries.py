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

from arcana import presets
from arcana.surrogate import Surrogate

Array = NDArray[np.floating[Any]]
Spikes = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Library:
    """A library's framework, its module of surrogates, and how they are called.

    Attributes:
        framework: torch or jax.
        module: where its surrogates are.
        shipped: of the module its surrogates by their own names.
        make: of a surrogate and its parameters the function from a potential to spikes.
        threshold: of a surrogate's parameters the potential at which it fires.
    """

    framework: str
    module: str
    shipped: Callable[[ModuleType], dict[str, Callable[..., Any]]]
    make: Callable[[Callable[..., Any], dict[str, Any]], Spikes]
    threshold: Callable[[dict[str, Any]], float] = lambda parameters: 0.0


@dataclasses.dataclass(frozen=True)
class Peer:
    """A library's surrogate with its parameters.

    Attributes:
        name: of its preset.
        framework: torch or jax.
        function: of a potential the spikes.
        threshold: the potential at which the function fires: 0, unless the library takes it off itself.
    """

    name: str
    framework: str
    function: Spikes
    threshold: float


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


def _made(make: Callable[..., Any], parameters: dict[str, Any]) -> Spikes:
    return make(**parameters)


def _called(function: Callable[..., Any], parameters: dict[str, Any]) -> Spikes:
    return functools.partial(function, **parameters)


def _with_threshold(make: Callable[..., Any], parameters: dict[str, Any]) -> Spikes:
    threshold = _spike_threshold(parameters)
    gradient = make(**{name: value for name, value in parameters.items() if name != "spike_threshold"})
    spike = importlib.import_module("sinabs.activation").SingleSpike
    return lambda potential: spike.apply(potential, threshold, gradient)


def _spike_threshold(parameters: dict[str, Any]) -> float:
    return float(parameters.get("spike_threshold", 1.0))


LIBRARIES = {
    "snntorch": Library("torch", "snntorch.surrogate", _functions, _made),
    "spikingjelly": Library("torch", "spikingjelly.activation_based.surrogate", _subclasses, _made),
    "norse": Library("torch", "norse.torch.functional.threshold", _methods, _called),
    "sinabs": Library("torch", "sinabs.activation.surrogate_gradient_fn", _dataclasses, _with_threshold, _spike_threshold),
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


def peer(name: str, parameters: dict[str, Any] | None = None) -> Peer:
    """What a preset is named after, with its library's defaults unless other parameters are given."""
    library = LIBRARIES[name.partition(".")[0]]
    chosen = presets.defaults(name) if parameters is None else parameters
    return Peer(name, library.framework, library.make(original(name), chosen), library.threshold(chosen))


def evaluate_library(name: str, parameters: dict[str, Any], v: Array) -> tuple[Array, Array]:
    """Spikes and h of v from the library's own code."""
    theirs = peer(name, parameters)
    if theirs.threshold:
        return evaluate(theirs.framework, lambda v: theirs.function(v + theirs.threshold), v)
    return evaluate(theirs.framework, theirs.function, v)  # v + 0 would lose the sign of −0.0


def evaluate_preset(name: str, surrogate: Surrogate, v: Array) -> tuple[Array, Array]:
    """Spikes and h of v from Arcana, in the framework of the library."""
    framework = LIBRARIES[name.partition(".")[0]].framework
    spike = importlib.import_module(f"arcana.{framework}").spike
    return evaluate(framework, lambda v: spike(v, surrogate), v)


def evaluate(framework: str, function: Spikes, v: Array) -> tuple[Array, Array]:
    """Spikes and h of v from a function of either framework."""
    return (_torch if framework == "torch" else _jax)(function, v)


def _torch(function: Spikes, v: Array) -> tuple[Array, Array]:
    import torch

    leaf = torch.tensor(v, requires_grad=True)
    spikes = function(leaf)
    (gradient,) = torch.autograd.grad(spikes, leaf, torch.ones_like(spikes))
    return spikes.detach().numpy(), gradient.numpy()


def _jax(function: Spikes, v: Array) -> tuple[Array, Array]:
    import jax
    import jax.numpy as jnp

    with jax_as_it_comes(x64=True):
        spikes, pullback = jax.vjp(function, jnp.asarray(v))
        (gradient,) = pullback(jnp.ones_like(spikes))
        return np.asarray(spikes), np.asarray(gradient)


@contextlib.contextmanager
def jax_as_it_comes(*, x64: bool) -> Iterator[None]:
    """JAX with the promotion that the libraries rely on, which a user's strict settings forbid; float64 only on demand."""
    import jax

    from arcana.jax._compat import enable_x64

    with enable_x64(x64), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
