"""What a call is checked for, in the same words in every backend: its surrogate, its potential, its parameters."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from arcana.surrogate._base import Surrogate
from arcana.surrogate._function import DefinitionMeta, SurrogateFunction

AnySurrogate: TypeAlias = Surrogate | type[Surrogate] | SurrogateFunction[Any, ...] | DefinitionMeta
"""What stands for a surrogate: an instance, or a class or a function of a backend, which mean its default parameters."""


_FORMS = {"spike": "spike(v, surrogate)", "Spike": "Spike(surrogate, threshold)", "evaluate": "evaluate(surrogate, which, v)"}


def surrogate_of(given: Any, caller: str, v: Any = None) -> Surrogate:
    """The surrogate that is meant; an error that says what to write where it is not plain."""
    if isinstance(given, Surrogate):
        return given
    if isinstance(given, type) and issubclass(given, Surrogate):
        return given()
    if isinstance(given, SurrogateFunction):
        return given.surrogate
    if isinstance(given, DefinitionMeta) and "definition" in vars(given):
        return given.definition()
    msg = f"{caller} takes a Surrogate instance, FastSigmoid(scale=25.0) say, got {_described(given)}{_advice(given, caller, v)}"
    raise TypeError(msg)


def _described(given: Any) -> str:
    if isinstance(given, (str, Mapping, numbers.Number)) or given is None:
        return repr(given)
    return f"{given.__name__!r} ({_kind(given)})" if isinstance(given, type) else _kind(given)


def _kind(given: Any) -> str:
    return f"{type(given).__module__}.{type(given).__qualname__}"


def _advice(given: Any, caller: str, v: Any) -> str:
    if isinstance(v, (Surrogate, SurrogateFunction, DefinitionMeta)) or (isinstance(v, type) and issubclass(v, Surrogate)):
        return f"; the arguments are exchanged: write {_FORMS[caller]}"
    if isinstance(given, str):
        return f"; a name is looked up by arcana.surrogate.get({given!r})"
    if isinstance(given, Mapping):
        return "; a dict that to_dict wrote is read by arcana.surrogate.from_dict"
    if isinstance(getattr(given, "surrogate", None), Surrogate):
        return "; it holds one: hand over its .surrogate, or call it itself"
    if isinstance(getattr(given, "func", None), (type, SurrogateFunction)):
        return "; a surrogate with other parameters is an instance, not a functools.partial"
    return ""


def check_which(which: object) -> None:
    """A ValueError unless this names a formula."""
    if which not in ("derivative", "primitive"):
        msg = f"evaluate: which must be 'derivative' or 'primitive', got {which!r}"
        raise ValueError(msg)


def not_a_potential(surrogate: Surrogate, v: Any, kind: str, convert: str) -> TypeError:
    """The error for a v that is no array of the backend.

    Args:
        surrogate: whose spikes are asked for.
        v: what was given.
        kind: the class of the backend's arrays.
        convert: how an array of NumPy becomes one.
    """
    definition = type(surrogate)
    msg = f"{definition.__name__}: v must be a {kind}, got {_kind(v)}"
    if isinstance(v, (Surrogate, SurrogateFunction, type)):
        msg += "; the potential v comes first, the surrogate after it"
    elif isinstance(v, numbers.Real) and not isinstance(v, (bool, np.generic)):
        msg += f"; the object to hand over is {definition.__name__}({definition.written([v], {})})"
    elif isinstance(v, (np.ndarray, np.generic, list, tuple)):
        msg += f"; {convert} makes one of it"
    return TypeError(msg)


def number_of(surrogate: Surrogate, name: str, value: Any, kind: str) -> float:
    """A parameter that is no array of the backend, as a float within its bounds; an error unless it is a real number."""
    definition = type(surrogate)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return definition.checked(name, float(value))
    msg = f"{definition.__name__}: {name} must be a number or a {kind}, got {value!r} ({type(value).__name__})"
    if isinstance(value, (np.ndarray, list, tuple)):
        msg += f"; make a {kind} of it"
    raise TypeError(msg)


def check_array(
    surrogate: Surrogate, name: str, dtype: str, kind: str, floating: bool, shape: tuple[int, ...], potential: tuple[int, ...]
) -> None:
    """An error unless an array is a parameter for a potential of this shape: floating-point, or one integer, and broadcast to it.

    Args:
        surrogate: whose parameter it is.
        name: of the parameter.
        dtype: of the array, as the backend writes it.
        kind: what the backend calls an array.
        floating: whether it is of a floating-point type.
        shape: of the array.
        potential: the shape of v.
    """
    definition = type(surrogate).__name__
    # An integer slope under a jit or from a schedule is a number that happens to be traced.
    if not floating and (len(shape) > 0 or "int" not in dtype):
        msg = f"{definition}: {name} must be a floating-point {kind}, got {dtype}"
        raise TypeError(msg)
    if not _broadcasts(shape, potential):
        msg = f"{definition}: {name} must broadcast to v's shape {tuple(potential)}, got shape {tuple(shape)}"
        raise ValueError(msg)


def _broadcasts(shape: tuple[int, ...], potential: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to the other."""
    missing = len(potential) - len(shape)
    if missing < 0:
        return False
    # Not `size not in (1, full)`: Dynamo finds no number in a tuple that holds a symbolic size. And before 2.12 it follows
    # neither `all` of a generator nor a zip of two lengths.
    return all([size == 1 or size == full for size, full in zip(shape, potential[missing:], strict=True)])  # noqa: C419


def check_values(surrogate: Surrogate, name: str, least: float, greatest: float, dtype: str) -> None:
    """A ValueError unless the least and the greatest value of an array are in the parameter's domain."""
    definition = type(surrogate)
    low, high = definition.domain(name, dtype)
    for value in (least, greatest):
        # Where a bound is no number of the dtype, its nearest is inside.
        if not low <= value <= high:
            definition.checked(name, value)
