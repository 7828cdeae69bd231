"""From an array to the backend that owns it; a backend is a package `arcana.<framework>`, imported when first needed."""

from __future__ import annotations

import importlib
import sys
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
    msg = f"{caller} takes a torch.Tensor or a jax.Array, got {type(v).__module__}.{type(v).__qualname__}"
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
