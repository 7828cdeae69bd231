"""The checks of a surrogate class at its creation: its fields and the parameters of its formulas."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import types
from collections.abc import Collection
from typing import Any

from arcana._core.parameters import bounds_of, checked_number, checked_static

FORMULAS = ("derivative", "primitive")
STATIC: dict[str, tuple[str, ...]] = {"sensitivities": ("v", "xp", "h"), "facts": ()}
"""What else a definition may give, and what each takes by position."""
_CALL = ("v", "xp", "self", "surrogate", "which", "rule", "random")
"""Names that a call or a formula uses for something else."""


@functools.cache
def _taken(base: type) -> frozenset[str]:
    """Return the names of what every surrogate has, besides its fields and formulas."""
    fields = {field.name for field in dataclasses.fields(base)}
    return frozenset(name for name in (*dir(base), *inspect.get_annotations(base)) if not name.startswith("__")) - fields


def check_body(cls: type, base: type) -> None:
    """Raise a TypeError if the body of a class hides something that its base has, a property say."""
    for name in _taken(base).intersection(vars(cls)).difference(FORMULAS, STATIC):
        if not isinstance(vars(cls)[name], (property, classmethod, staticmethod, types.FunctionType)):
            hint = f'; the registry name is given as class {cls.__name__}(Surrogate, name="...")' if name == "name" else ""
            msg = f"{cls.__name__}: {name} cannot be set, since every surrogate has a {name} of its own{hint}"
            raise TypeError(msg)
    try:
        annotated = inspect.get_annotations(cls)
    except NameError:
        # From Python 3.14 on annotations are evaluated late, and dataclasses looks at their names alone.
        return
    for name, value in vars(cls).items():
        if isinstance(value, dataclasses.Field) and name not in annotated:
            msg = f"{cls.__name__}: {name} has no annotation: write {name}: float = parameter(...)"
            raise TypeError(msg)


def check_fields(cls: type, base: type, numbers: Collection[str]) -> None:
    """Raise an error for a field that hides something of the base class, or whose default is no value for it.

    Args:
        cls: the class.
        base: the base class of all surrogates.
        numbers: the names of the fields that are parameters.
    """
    for field in dataclasses.fields(cls):
        if field.name in _taken(base) or field.name in _CALL:
            msg = f"{cls.__name__}: a field cannot be called {field.name}, which every surrogate has already; choose another name"
            raise TypeError(msg)
        if field.default_factory is not dataclasses.MISSING:
            msg = f"{cls.__name__}: {field.name} has a default_factory; give a number as its default, or none"
            raise TypeError(msg)
        if field.default is dataclasses.MISSING:
            continue
        if field.name in numbers:
            checked_number(cls.__name__, field.name, field.default, bounds_of(field))
        else:
            checked_static(cls.__name__, field.name, field.default, field.default, bounds_of(field))


def check_formula(cls: type, name: str, function: Any, own: Collection[str], first: tuple[str, ...]) -> None:
    """Raise a TypeError unless a formula takes `first` by position and the fields of its class by keyword.

    Args:
        cls: the class.
        name: of the formula.
        function: the formula itself.
        own: the fields that it is called with.
        first: the names of what it takes by position.
    """
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        # A function that tells nothing of its parameters.
        return
    written = f"def {name}({', '.join([*first, *(['*', *own] if own else [])])})"
    positional = [x for x in given if x.kind in (x.POSITIONAL_ONLY, x.POSITIONAL_OR_KEYWORD)]
    of_fields = [x for x in given if x.kind is x.KEYWORD_ONLY] + positional[len(first) :]
    anything = {x.kind for x in given} & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    if len(positional) < len(first) and not anything:
        msg = f"{cls.__name__}: {name} must take {' and '.join(first)}: write {written}"
        raise TypeError(msg)
    for each in of_fields:
        if each.name not in own and each.default is each.empty:
            near = difflib.get_close_matches(each.name, own, n=1)
            hint = f"did you mean {near[0]}?" if near else f"write {written}"
            if each.name in first:
                msg = f"{cls.__name__}: {name} takes no {positional[0].name} before {each.name}: write {written}"
                raise TypeError(msg)
            msg = f"{cls.__name__}: {name} takes {each.name}, which is no field of the class; {hint}"
            raise TypeError(msg)
    missing = [each for each in own if each not in {x.name for x in of_fields}]
    if missing and inspect.Parameter.VAR_KEYWORD not in anything:
        msg = f"{cls.__name__}: {name} does not take the field {missing[0]}; write {written}"
        raise TypeError(msg)
