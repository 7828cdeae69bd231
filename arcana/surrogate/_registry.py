"""The names of the catalogue, and the way back from a name or a dict to a surrogate."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from arcana.surrogate._base import Surrogate, live_classes


def names() -> list[str]:
    """The registry names of the catalogue's surrogates, sorted."""
    return sorted(name for name in live_classes() if ":" not in name)


def get(name: str, **parameters: Any) -> Surrogate:
    """The surrogate of a registry name (`module:Class` for a user's own) with the parameters given."""
    return _make(_find(name), parameters)


def from_dict(data: Mapping[str, Any]) -> Surrogate:
    """The surrogate that `to_dict` wrote.

    A user's own surrogate is found once its module has been imported; nothing is imported on the word of the data.
    """
    missing = {"surrogate", "parameters"} - set(data)
    if missing:
        msg = f"a surrogate's dict has the keys 'surrogate' and 'parameters'; missing: {', '.join(sorted(missing))}"
        raise ValueError(msg)
    return _make(_find(data["surrogate"]), data["parameters"])


def _make(definition: type[Surrogate], parameters: Mapping[str, Any]) -> Surrogate:
    for name in parameters:
        definition.check_name(name)
    return definition(**parameters)


def _find(name: str) -> type[Surrogate]:
    classes = live_classes()
    if name in classes:
        return classes[name]
    near = difflib.get_close_matches(name, classes, n=3)
    advice = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(names())}"
    if ":" in name:
        advice = f"; import {name.partition(':')[0]} first" + (advice if near else "")
    msg = f"unknown surrogate {name!r}{advice}"
    raise ValueError(msg)
