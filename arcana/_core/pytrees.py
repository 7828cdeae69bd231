"""The one thing that JAX has to know of the core, which no backend is there to tell it: that surrogates are pytrees."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from arcana._core.generated import DefinitionMeta, SurrogateFunction
from arcana._core.registry import observe_classes


class _Registration(importlib.abc.MetaPathFinder):
    """Registers surrogates as pytrees without leaves, from the moment that JAX is there; nothing here imports it.

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
        self.done = True
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        register = sys.modules["jax"].tree_util.register_static
        # The functions and the classes of a backend too: a model holds whichever it is given.
        for kind in (SurrogateFunction, DefinitionMeta):
            register(kind)
        observe_classes(register)


_REGISTRATION = _Registration()
register_pytrees = _REGISTRATION.run
"""Tell JAX, which has been imported; without effect where it has been told."""


def register_pytrees_with_jax() -> None:
    """Tell JAX now, or as soon as it is imported."""
    if hasattr(sys.modules.get("jax"), "tree_util"):
        register_pytrees()
    elif _REGISTRATION not in sys.meta_path:
        sys.meta_path.insert(0, _REGISTRATION)
