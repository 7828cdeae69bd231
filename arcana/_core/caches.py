"""Caches of what is found once for a surrogate's class. They live on the class itself, so that nothing outlives it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

KeyT = TypeVar("KeyT")
P = ParamSpec("P")
ResultT = TypeVar("ResultT")

MOST = 1024
"""Results that one function keeps for one class: a slope that changes at every step asks for a new one each time."""


class _Caches(dict[Any, Any]):
    """The caches of one class. A copy of the class, made by value in another process, begins with none."""

    def __reduce__(self) -> tuple[type[_Caches], tuple[()]]:
        return _Caches, ()


def per_class_cache(function: Callable[Concatenate[KeyT, P], ResultT]) -> Callable[Concatenate[KeyT, P], ResultT]:
    """Keep the results of a function of a surrogate's class, or of its formula, for as long as the class lives.

    The other arguments are hashable.
    """

    @functools.wraps(function)
    def cached(key: KeyT, /, *arguments: P.args, **keywords: P.kwargs) -> ResultT:
        definition: Any = key if isinstance(key, type) else key.definition  # pyright: ignore[reportAttributeAccessIssue]
        # Not by attribute, which would find the caches of a base class.
        caches = vars(definition).get("_caches")
        if caches is None:
            caches = _Caches()
            type.__setattr__(definition, "_caches", caches)
        if cached not in caches:
            caches.setdefault(cached, functools.lru_cache(maxsize=MOST, typed=True)(function))
        return caches[cached](key, *arguments, **keywords)

    return cached
