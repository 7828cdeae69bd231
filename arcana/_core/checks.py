"""The checks of a call, in the same words in every backend: its surrogate, its potential, its parameters."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from arcana._core.backend import Arrays
from arcana._core.formula import AT_ZERO, Formula, Thresholds
from arcana._core.generated import DefinitionMeta, SurrogateFunction
from arcana._core.misuse import is_rule, preset_uncalled, written
from arcana._core.namespace import compute_dtype
from arcana._core.parameters import checked_static
from arcana._core.surrogate import Surrogate

AnySurrogate: TypeAlias = Surrogate | type[Surrogate] | SurrogateFunction[Any, ...] | DefinitionMeta
"""What stands for a surrogate: an instance, or a class or a function of a backend, which mean its default parameters."""

_FORMS = {"spike": "spike(v, surrogate)", "Spike": "Spike(surrogate, threshold)", "evaluate": "evaluate(surrogate, which, v)"}


def surrogate_of(given: Any, caller: str, v: Any = None) -> Surrogate:
    """Return the surrogate that is meant; raise an error that says what to write where it is not plain."""
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


def checked_learnable(learnable: Any, surrogate: Surrogate) -> tuple[str, ...]:
    """Return the names of what a layer learns, each once, or raise a TypeError: they are no names, or none of a parameter."""
    if not isinstance(learnable, Iterable):
        rule = f"; a rule is given by its name: write rule={learnable!r}" if is_rule(learnable) else ""
        msg = f"Spike: learnable must be the names of parameters, got {learnable!r}{rule}"
        raise TypeError(msg)
    names = tuple(dict.fromkeys((learnable,) if isinstance(learnable, str) else learnable))
    for name in names:
        if name not in ("threshold", "gain", *surrogate.numbers):
            msg = f"Spike: {name!r} cannot be learned; there are threshold, gain, {', '.join(surrogate.numbers)}"
            raise TypeError(msg)
    return names


def check_which(which: object) -> None:
    """Raise a ValueError unless this names a formula."""
    if which not in ("derivative", "primitive"):
        msg = f"evaluate: which must be 'derivative' or 'primitive', got {which!r}"
        raise ValueError(msg)


def checked_potential(surrogate: Surrogate, v: Any, arrays: Arrays) -> Any:
    """Return v as an array of the framework, or raise a TypeError: it is none, or none of a supported dtype."""
    given = arrays.potential(v)
    if given is None:
        raise _not_a_potential(surrogate, v, arrays)
    compute_dtype(type(surrogate).__name__, arrays.dtype(given))
    return given


def checked_call(
    surrogate: Surrogate, v: Any, given: Mapping[str, Any], arrays: Arrays, thresholds: Thresholds = AT_ZERO
) -> tuple[Formula, dict[str, Any]]:
    """Return the formula and the parameters of a call, the surrogate's own and those given in their place, or raise an error.

    Args:
        surrogate: whose spikes are asked for.
        v: the potential, checked.
        given: settings and parameters by name.
        arrays: of v's framework.
        thresholds: where h is, see `Formula`.

    Returns:
        The formula, and each parameter as a float within its bounds or as an array that broadcasts to v.
    """
    settings, values = surrogate.settings, surrogate.numbers
    for name, value in given.items():
        surrogate.check_name(name)
        if name in settings:
            bounds = surrogate._bounds[name]
            settings[name] = checked_static(type(surrogate).__name__, name, value, settings[name], bounds)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            values[name] = surrogate.checked(name, float(value))
        else:
            values[name] = _checked_parameter(surrogate, name, value, v, arrays)
    if thresholds != AT_ZERO:
        settings["thresholds"] = thresholds
    return Formula(type(surrogate), tuple(settings.items())), values


def _checked_parameter(surrogate: Surrogate, name: str, value: Any, v: Any, arrays: Arrays) -> Any:
    """Return a parameter that is no plain number as an array of the framework or as a float, or raise an error."""
    array = arrays.parameter(value)
    if array is not None:
        return _checked_array(surrogate, name, array, v, arrays)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return surrogate.checked(name, float(value))
    msg = f"{type(surrogate).__name__}: {name} must be a number or a {arrays.kind}, got {value!r} ({type(value).__name__})"
    if isinstance(value, (np.ndarray, list, tuple)):
        msg += f"; make a {arrays.kind} of it"
    raise TypeError(msg)


def _checked_array(surrogate: Surrogate, name: str, x: Any, v: Any, arrays: Arrays) -> Any:
    """Return a parameter that is an array: floating-point or one integer, broadcasting to v, its values within their bounds."""
    definition, floating, dtype = type(surrogate).__name__, arrays.is_floating(x), arrays.dtype(x)
    # An integer slope under a jit or from a schedule is a number that happens to be traced.
    if not floating and (len(x.shape) > 0 or "int" not in dtype):
        msg = f"{definition}: {name} must be a floating-point {arrays.noun}, got {dtype}"
        raise TypeError(msg)
    if not broadcasts(x.shape, v.shape):
        msg = f"{definition}: {name} must broadcast to v's shape {tuple(v.shape)}, got shape {tuple(x.shape)}"
        raise ValueError(msg)
    computed = compute_dtype(definition, arrays.dtype(v))
    x = x if floating else arrays.cast(x, computed)
    if not surrogate.bounded(name):
        return x
    ends = arrays.ends(x)
    if ends is None:
        return arrays.inside(x, *surrogate.domain(name, computed), computed)
    *values, held_in = ends
    low, high = surrogate.domain(name, held_in)
    for value in values:
        # Where a bound is no number of the dtype, its nearest is inside.
        if not low <= value <= high:
            surrogate.checked(name, value)
    return x


def broadcasts(shape: tuple[int, ...], potential: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to the other."""
    missing = len(potential) - len(shape)
    if missing < 0:
        return False
    # Not `size not in (1, full)`: Dynamo finds no number in a tuple that holds a symbolic size. And before 2.12 it follows
    # neither `all` of a generator nor a zip of two lengths.
    return all([size == 1 or size == full for size, full in zip(shape, potential[missing:], strict=True)])  # noqa: C419


def _not_a_potential(surrogate: Surrogate, v: Any, arrays: Arrays) -> TypeError:
    """Return the error for a v that is no array of the framework."""
    definition = type(surrogate)
    msg = f"{definition.__name__}: v must be a {arrays.kind}, got {_kind(v)}"
    if isinstance(v, (Surrogate, SurrogateFunction, type)):
        msg += "; the potential v comes first, the surrogate after it"
    elif isinstance(v, numbers.Real) and not isinstance(v, (bool, np.generic)):
        msg += f"; the object to hand over is {definition.__name__}({written(definition, [v], {})})"
    elif isinstance(v, (np.ndarray, np.generic, list, tuple)):
        msg += f"; {arrays.convert} makes one of it"
    return TypeError(msg)


def _described(given: Any) -> str:
    if isinstance(given, (str, Mapping, numbers.Number)) or given is None:
        return repr(given)
    return f"{given.__name__!r} ({_kind(given)})" if isinstance(given, type) else _kind(given)


def _kind(given: Any) -> str:
    return f"{type(given).__module__}.{type(given).__qualname__}"


def _advice(given: Any, caller: str, v: Any) -> str:
    if is_rule(given):
        rule = f"{given.__name__}(…)" if isinstance(given, type) else repr(given)
        return "; that is a rule, which goes beside a surrogate" + (
            f": write rule={rule}" if caller in ("spike", "Spike") else ""
        )
    if preset_uncalled(given):
        return f"; that makes one: write {given.__name__}()"
    if isinstance(v, (Surrogate, SurrogateFunction, DefinitionMeta)) or (isinstance(v, type) and issubclass(v, Surrogate)):
        return f"; the arguments are exchanged: write {_FORMS[caller]}"
    if isinstance(given, str):
        return f"; a name is looked up by arcana.{'presets' if '.' in given else 'surrogate'}.get({given!r})"
    if isinstance(given, Mapping):
        return "; a dict that to_dict wrote is read by arcana.surrogate.from_dict"
    if isinstance(getattr(given, "surrogate", None), Surrogate):
        return "; it holds one: hand over its .surrogate, or call it itself"
    if isinstance(getattr(given, "func", None), (type, SurrogateFunction)):
        return "; a surrogate with other parameters is an instance, not a functools.partial"
    return ""
