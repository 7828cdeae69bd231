"""Surrogate classes by their names and their keys. Nothing here keeps a class alive."""

from __future__ import annotations

import difflib
import itertools
import re
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arcana._core.surrogate import Surrogate

_CLASSES: weakref.WeakValueDictionary[str, type[Surrogate]] = weakref.WeakValueDictionary()
_KEYS: weakref.WeakKeyDictionary[type[Surrogate], str] = weakref.WeakKeyDictionary()
_OBSERVERS: list[Callable[[type[Surrogate]], object]] = []
_LOCK = threading.RLock()
"""Held while the three above change or are listed: classes may be made in one thread and looked for in another."""
_FIRST_OF_THEIR_NAME: set[str] = set()
_LATER = itertools.count(2)


def register(cls: type[Surrogate]) -> str:
    """Add a class, tell every observer of it, and return its key."""
    base = f"{cls.__module__}:{cls.__qualname__}"
    with _LOCK:
        # Never a key that another class has had: a backward pass or a graph may still be looking for that one.
        key = f"{base}#{next(_LATER)}" if base in _FIRST_OF_THEIR_NAME else base
        _FIRST_OF_THEIR_NAME.add(base)
        _KEYS[cls] = key
        _CLASSES[key] = cls
        observers = list(_OBSERVERS)
    for observer in observers:
        observer(cls)
    return key


def class_of(key: str) -> type[Surrogate]:
    """Return the class with this key."""
    return _CLASSES[key]


def key_of(cls: type[Surrogate]) -> str:
    """Return the key of a class in this process."""
    return _KEYS[cls]


def observe_classes(observer: Callable[[type[Surrogate]], object]) -> None:
    """Call `observer` with every surrogate class there is, and with every one made later."""
    with _LOCK:
        present = list(_CLASSES.values())
        _OBSERVERS.append(observer)
    for definition in present:
        observer(definition)


def registry_name(class_name: str) -> str:
    """Return the name of a class's function, `fast_sigmoid` for `FastSigmoid`: a run of capitals and digits is one word."""
    words = re.sub(r"([A-Z0-9]+)([A-Z][a-z])", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def public_name(definition: type[Surrogate]) -> str:
    """Return the name that `get` takes: `fast_sigmoid` for a surrogate of the catalogue, `module:Class` for a user's."""
    ours = definition.__module__.startswith("arcana.surrogate.")
    return definition.name if ours else f"{definition.__module__}:{definition.__qualname__}"


def names() -> list[str]:
    """Return the registry names of the catalogue's surrogates, sorted.

    >>> from arcana.surrogate import names
    >>> names()[:3]
    ['atan', 'clipped_reciprocal', 'clipped_ste']
    """
    return sorted(name for name in _live_classes() if ":" not in name)


def get(name: str, **parameters: Any) -> Surrogate:
    """Return the surrogate of a registry name (`module:Class` for a user's own) with the parameters given.

    >>> from arcana.surrogate import get
    >>> get("fast_sigmoid", scale=25.0)
    FastSigmoid(scale=25.0)
    """
    return _find(name)(**parameters)


def from_dict(data: Mapping[str, Any]) -> Surrogate:
    """Return the surrogate that `to_dict` wrote.

    A user's own surrogate is found once its module has been imported; nothing is imported on the word of the data.

    >>> from arcana.surrogate import FastSigmoid, from_dict
    >>> from_dict(FastSigmoid(scale=25.0).to_dict())
    FastSigmoid(scale=25.0)
    """
    missing = {"surrogate", "parameters"} - set(data)
    if missing:
        msg = f"a surrogate's dict has the keys 'surrogate' and 'parameters'; missing: {', '.join(sorted(missing))}"
        raise ValueError(msg)
    return _find(data["surrogate"])(**data["parameters"])


def _live_classes() -> dict[str, type[Surrogate]]:
    """Return every surrogate class of this process by its public name; of two with one name the later."""
    with _LOCK:
        present = list(_CLASSES.values())
    return {public_name(cls): cls for cls in present}


def _find(name: str) -> type[Surrogate]:
    classes = _live_classes()
    if name in classes:
        return classes[name]
    near = difflib.get_close_matches(name, classes, n=3)
    advice = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(names())}"
    if ":" in name:
        advice = f"; import {name.partition(':')[0]} first" + (advice if near else "")
    elif "." in name:
        advice = f"; what another library computes is arcana.presets.get({name!r})"
    msg = f"unknown surrogate {name!r}{advice}"
    raise ValueError(msg)
