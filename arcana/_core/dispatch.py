"""The way from an array to the backend that owns it. A backend is imported when it is first needed."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from arcana._core.backend import BACKENDS


def of_array(v: Any, *, caller: str, numpy: bool = False) -> Any:
    """Return the backend of an array: `arcana.torch` for a torch.Tensor, `arcana.jax` for a jax.Array or a tracer.

    Args:
        v: the array.
        caller: the surrogate that takes it, for the message of an error.
        numpy: whether an array of NumPy or a number will do.
    """
    if numpy and isinstance(v, (np.ndarray, np.generic, float, int, list, tuple)):
        return importlib.import_module("arcana._core.numpy")
    for kind in type(v).__mro__[:-1]:
        framework = kind.__module__.partition(".")[0]
        if framework == "torch":
            # Dynamo follows an import statement; import_module, which would do for every framework, breaks its graph.
            import arcana.torch

            return arcana.torch
        if framework in BACKENDS:
            return _backend(BACKENDS[framework])
    if hasattr(v, "__jax_array__"):
        # A variable of Flax, say, which every function of jnp takes for its array.
        return _backend(BACKENDS["jax"])
    msg = f"{caller} takes a torch.Tensor or a jax.Array, got {type(v).__module__}.{type(v).__qualname__}"
    if isinstance(v, (np.ndarray, np.generic, float)):
        # It says nothing of the framework, and which of them are imported must not decide.
        msg += ": make one of it, or call arcana.jax.spike(v, surrogate), which takes it as jnp's functions do"
    raise TypeError(msg)


def _backend(name: str) -> Any:
    return sys.modules.get(name) or importlib.import_module(name)
