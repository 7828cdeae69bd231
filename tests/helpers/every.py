"""One id per surrogate in every test that is about all of them: `pytest -k fast_sigmoid` runs what concerns fast_sigmoid."""

from __future__ import annotations

import pytest
from known_values import KNOWN

PARAMETERS = [(name, key) for name, known in KNOWN.items() for key in known.by_parameter]

ONE_FOR_EACH_KEPT = {known.kept.value: name for name, known in reversed(KNOWN.items())}
"""The first surrogate of each sort of what is kept: where what is tested depends on that and not on the formula."""

every_surrogate = pytest.mark.parametrize("name", KNOWN)
every_parameter = pytest.mark.parametrize(("name", "key"), PARAMETERS, ids=[f"{name}-{key}" for name, key in PARAMETERS])
one_for_each_kept = pytest.mark.parametrize("example", ONE_FOR_EACH_KEPT.values(), ids=ONE_FOR_EACH_KEPT)


def parameters_of(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The parameters of these surrogates, each with its surrogate's name."""
    return tuple(each for each in PARAMETERS if each[0] in names)
