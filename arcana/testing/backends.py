"""The backends by name. The package of each has three modules for `arcana.testing`.

`conformance`: MODES, spikes_and_gradients, and the names of its rows, FIRST, SECOND, PARAMETER and NONLINEAR, which may be empty;
what the rows need is in `_transforms`. `arrays`: arrays from and to NumPy, vjp and settings, for `compare` and `record`.
`spikes`: watched, for `recording`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from arcana._core import TITLES

BACKENDS = tuple(TITLES)


def load(backend: str, module: str = "") -> Any:
    """Import `arcana.<backend>`, or a module of it; an ImportError says what to install."""
    return importlib.import_module(".".join(filter(None, ["arcana", backend, module])))


def missing(backends: Iterable[str]) -> dict[str, str]:
    """Return the backends that cannot be imported, each with what to install."""
    notes = {}
    for backend in backends:
        try:
            load(backend)
        except ImportError as error:
            notes[backend] = str(error)
    return notes
