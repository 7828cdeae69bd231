"""From an array to the backend that owns it; a backend is a package `arcana.<framework>`, imported when first needed.

And the one thing that JAX has to know of the core, which no backend is there to tell it: that surrogates are pytrees.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np


def of_array(v: Any, *, caller: str, numpy: bool = False) -> Any:
    """The backend module of an array: `arcana.torch` for a torch.Tensor, `arcana.jax` for a jax.Array or a tracer."""
    if numpy and isinstance(v, (np.ndarray, np.generic, float, int, list, tuple)):
        return importlib.import_module("arcana.surrogate._numpy")
    for kind in type(v).__mro__[:-1]:
        # jaxlib holds the classes of JAX's arrays.
        framework = kind.__module__.partition(".")[0].removesuffix("lib")
        backend = _backend(framework)
        if hasattr(backend, "evaluate"):
            return backend
    if hasattr(v, "__jax_array__"):
        # A variable of Flax, say, which every function of jnp takes for its array.
        return _backend("jax")
    msg = f"{caller} takes a torch.Tensor or a jax.Array, got {type(v).__module__}.{type(v).__qualname__}"
    if isinstance(v, (np.ndarray, np.generic, float)):
        # It says nothing of the framework, and which of them are imported must not decide.
        msg += ": make one of it, or call arcana.jax.spike(v, surrogate), which takes it as jnp's functions do"
    raise TypeError(msg)


def _backend(framework: str) -> Any:
    if framework == "torch":
        # Dynamo follows an import statement; import_module, which would do for every framework, breaks its graph.
        import arcana.torch

        return arcana.torch
    name = f"arcana.{framework}"
    if name in sys.modules:
        return sys.modules[name]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


class _PytreeRegistration(importlib.abc.MetaPathFinder):
    """Surrogates as pytrees without leaves, from the moment that JAX is there; nothing here imports it.

    A model that was flattened before its surrogate was registered is another pytree afterwards. So the registration is the
    end of the import of JAX, whoever imports it. This finder finds nothing itself: it follows what the others find.
    """

    done = False

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "jax":
            return None
        others = (each.find_spec(name, path, target) for each in list(sys.meta_path) if each is not self)
        spec = next((each for each in others if each is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.run()

        # Of this one loader alone, which stays what it is for everybody else who asks it for something.
        loader.exec_module = exec_module

    def run(self) -> None:
        """Register what there is, and every class that is made from now on; once."""
        if self.done:
            return
        from arcana.surrogate._base import observe_classes
        from arcana.surrogate._function import DefinitionMeta, SurrogateFunction

        self.done = True
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        register = sys.modules["jax"].tree_util.register_static
        # The functions and the classes of a backend too: a model holds whichever it is given.
        for kind in (SurrogateFunction, DefinitionMeta):
            register(kind)
        observe_classes(register)


_REGISTRATION = _PytreeRegistration()
register_pytrees = _REGISTRATION.run
"""Tell JAX, which has been imported; without effect where it has been told."""


def register_pytrees_with_jax() -> None:
    """Tell JAX now, or as soon as it is imported."""
    if hasattr(sys.modules.get("jax"), "tree_util"):
        register_pytrees()
    elif _REGISTRATION not in sys.meta_path:
        sys.meta_path.insert(0, _REGISTRATION)
