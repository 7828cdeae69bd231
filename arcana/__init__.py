"""Arcana: one definition of each surrogate gradient, the same numbers in PyTorch and in JAX."""

import importlib
import typing

from arcana import surrogate
from arcana.surrogate import *  # noqa: F403  (the definitions' names are listed once, in arcana.surrogate)

if typing.TYPE_CHECKING:
    from arcana import presets, rules

__version__ = "0.1.0"

__all__ = ["__version__", "presets", "rules", "surrogate"]
__all__ += surrogate.__all__


def __getattr__(name: str) -> typing.Any:
    """`arcana.presets` and `arcana.rules`, loaded when somebody asks for them."""
    if name in ("presets", "rules"):
        return importlib.import_module(f"arcana.{name}")
    msg = f"module 'arcana' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
