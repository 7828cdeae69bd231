"""Arcana: one definition of each surrogate gradient, the same numbers in PyTorch and in JAX."""

import importlib
import typing

from arcana import surrogate
from arcana.surrogate import *  # noqa: F403  (the definitions' names are listed once, in arcana.surrogate)

if typing.TYPE_CHECKING:
    from arcana import presets

__version__ = "0.1.0"

__all__ = ["__version__", "presets", "surrogate"]
__all__ += surrogate.__all__


def __getattr__(name: str) -> typing.Any:
    """`arcana.presets`, loaded when somebody asks for it."""
    if name == "presets":
        return importlib.import_module("arcana.presets")
    msg = f"module 'arcana' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
