"""Arcana: one definition of each surrogate gradient, the same numbers in PyTorch and in JAX."""

from arcana import presets, surrogate
from arcana.surrogate import *  # noqa: F403  (the definitions' names are listed once, in arcana.surrogate)

__version__ = "0.1.0"

__all__ = ["__version__", "presets", "surrogate"]
__all__ += surrogate.__all__
