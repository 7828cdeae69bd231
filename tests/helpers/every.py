"""One id per surrogate in every test that is about all of them: `pytest -k fast_sigmoid` runs what concerns fast_sigmoid."""

from __future__ import annotations

import pytest
from known_values import KNOWN

PARAMETERS = [(name, key) for name, known in KNOWN.items() for key in known.by_parameter]

every_surrogate = pytest.mark.parametrize("name", KNOWN)
every_parameter = pytest.mark.parametrize(("name", "key"), PARAMETERS, ids=[f"{name}-{key}" for name, key in PARAMETERS])


def parameters_of(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The parameters of these surrogates, each with its surrogate's name."""
    return tuple(each for each in PARAMETERS if each[0] in names)
