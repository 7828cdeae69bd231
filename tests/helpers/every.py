"""One id per surrogate in every test that is about all of them: `pytest -k fast_sigmoid` runs what concerns fast_sigmoid."""

from __future__ import annotations

import pytest
from known_values import KNOWN, variants

from arcana._core.expression import Kept

PARAMETERS = [(name, key) for name, known in KNOWN.items() for key in known.by_parameter]

every_surrogate = pytest.mark.parametrize("name", KNOWN)
every_parameter = pytest.mark.parametrize(("name", "key"), PARAMETERS, ids=[f"{name}-{key}" for name, key in PARAMETERS])

_VARIANTS = [(name, each) for name in KNOWN for each in variants(name)]
every_variant = pytest.mark.parametrize(
    ("name", "parameters"),
    _VARIANTS,
    ids=["-".join([name, *(f"{key}={value:g}" for key, value in each.items())]) for name, each in _VARIANTS],
)
"""Every parameter set of every surrogate, the default first."""


def parameters_of(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The parameters of these surrogates, each with its surrogate's name."""
    return tuple(each for each in PARAMETERS if each[0] in names)


def one_a_kept(*kinds: Kept) -> list[str]:
    """The first surrogate of each kind of what is kept."""
    return [next(name for name, known in KNOWN.items() if known.kept is kind) for kind in kinds]


def each_kept(*kinds: Kept) -> pytest.MarkDecorator:
    """A sample for tests that are about what is kept: of each kind a surrogate, with an id by the kind."""
    return pytest.mark.parametrize("name", one_a_kept(*kinds), ids=[kind.value for kind in kinds])
