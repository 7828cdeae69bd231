"""Nested values as named arrays. Whatever is no array is an error that names it: nothing is left out, nothing is converted."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from arcana.testing._values import BITS, Array
from arcana.testing.backends import BACKENDS, load

PARTS = {"complex64": "float32", "complex128": "float64"}
"""The dtype of the real and the imaginary part."""

INEXACT = (*BITS, *PARTS)
"""The dtypes that have a gradient."""


def array_of(name: str, value: Any) -> Array:
    """Return the array of one leaf, with every bit of it; raise a TypeError that names the leaf if NumPy has no such array.

    Taken are arrays of NumPy, torch and JAX, numbers, and sequences of numbers.
    """
    if isinstance(value, np.ma.MaskedArray):
        msg = f"{name} is a masked array, and its mask would be lost; give its .filled(...) instead"
        raise TypeError(msg)
    # jaxlib holds the classes of JAX's arrays.
    packages = {kind.__module__.partition(".")[0].removesuffix("lib") for kind in type(value).__mro__}
    try:
        array = next((load(name, "arrays").to_numpy for name in BACKENDS if name in packages), np.asarray)(value)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"{name} has no NumPy array: {str(error).partition(chr(10))[0]}"
        raise TypeError(msg) from error
    if array.dtype.name not in INEXACT and array.dtype.kind not in "biu":
        msg = f"{name} has dtype {array.dtype.name}; compared are {', '.join(INEXACT)}, integers and booleans"
        raise TypeError(msg)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def is_leaf(value: Any) -> bool:
    """Whether a value is a number or an array, of whichever library."""
    return isinstance(value, bool | int | float | complex) or (hasattr(value, "dtype") and hasattr(value, "shape"))


def named_leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested containers by their path, each named `name.key.key`; None holds nothing.

    Containers are mappings, tuples and lists with all that inherits from them, dataclasses, what JAX flattens, and
    what has a state_dict.
    """
    held = None if is_leaf(value) or value is None else _held(value)
    if held is None:
        if value is not None:
            yield name, value
        return
    for key, each in held:
        yield from named_leaves(".".join(filter(None, [name, key])), each)


def unique(named: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """Return the leaves by name; raise a ValueError if two have one name, of which a dict would keep the second."""
    leaves: dict[str, Any] = {}
    for name, leaf in named:
        if name in leaves:
            msg = f"two leaves are called {name!r}; give their keys other names"
            raise ValueError(msg)
        leaves[name] = leaf
    return leaves


def holds_arrays(value: Any) -> str:
    """Return the path of an array in a dataclass that no framework takes for a container; empty if there is none."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return ""
    return next((name for name, leaf in named_leaves("", value) if is_leaf(leaf) and hasattr(leaf, "dtype")), "")


def _held(value: Any) -> list[tuple[str, Any]] | None:
    """Return the values in a container by key; None if the value is no container."""
    if isinstance(value, Mapping):
        return [(str(key), each) for key, each in value.items()]
    if isinstance(value, tuple | list):
        names = getattr(value, "_fields", None) or map(str, range(len(value)))
        return list(zip(names, value, strict=True))
    if callable(getattr(value, "state_dict", None)):
        return _held(value.state_dict())
    registered = _flattened_by_jax(value)
    if registered is not None:
        return registered
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def _flattened_by_jax(value: Any) -> list[tuple[str, Any]] | None:
    """Return the children of a container that is registered with JAX; without JAX there is none."""
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    paths = jax.tree_util.tree_leaves_with_path(value, is_leaf=lambda x: x is not value)
    if len(paths) == 1 and paths[0][1] is value:
        return None
    return [(jax.tree_util.keystr(path, simple=True, separator="."), each) for path, each in paths]
