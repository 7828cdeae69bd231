"""Find a preset by its name, and make a surrogate of it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from arcana.surrogate import Surrogate

PresetT = TypeVar("PresetT", bound=Callable[..., Surrogate])

_PRESETS: dict[str, Callable[..., Surrogate]] = {}


def preset(function: PresetT) -> PresetT:
    """Register a function as `module.function`, the module being the library's, and return it unchanged."""
    library = function.__module__.rpartition(".")[2]
    _PRESETS[f"{library}.{function.__name__}"] = function
    return function


def names(library: str | None = None) -> list[str]:
    """Return the presets' names, sorted: of all libraries, or of one ("snntorch").

    >>> from arcana import presets
    >>> presets.names("norse")
    ['norse.circ', 'norse.heavi_erfc', 'norse.superspike', 'norse.tanh', 'norse.triangle']
    """
    if library is None:
        return sorted(_PRESETS)
    libraries = sorted({_library(name) for name in _PRESETS})
    if library not in libraries:
        msg = f"no presets of a library {library!r}{_advice(library, libraries)}"
        raise ValueError(msg)
    return sorted(name for name in _PRESETS if _library(name) == library)


def get(name: str, **parameters: Any) -> Surrogate:
    """Return the surrogate that a library computes.

    >>> from arcana import presets
    >>> presets.get("snntorch.fast_sigmoid", slope=10)
    FastSigmoid(scale=10.0, fires_at_threshold=False)

    Args:
        name: library and function, see `names`.
        **parameters: the library's own, by its names; one that is not given has the library's default.

    Errors: ValueError for an unknown name or a value out of its bounds, TypeError for an unknown parameter or a value
    that is no number; each names the preset, and the near names where there are some.
    """
    function = _find(name)
    _check_parameters(name, function, parameters)
    try:
        return function(**parameters)
    except ZeroDivisionError as error:
        zeros = " or ".join(parameter for parameter, value in parameters.items() if value == 0)
        msg = f"preset {name}({_shown(parameters)}): {zeros} must not be 0"
        raise ValueError(msg) from error
    except (TypeError, ValueError) as error:
        msg = f"preset {name}({_shown(parameters)}): {error}"
        raise type(error)(msg) from error


def defaults(name: str) -> dict[str, Any]:
    """Return a preset's parameters with the library's defaults.

    >>> from arcana import presets
    >>> presets.defaults("snntorch.fast_sigmoid")
    {'slope': 25.0}
    """
    return {parameter.name: parameter.default for parameter in inspect.signature(_find(name)).parameters.values()}


def describe(name: str) -> str:
    """Return a preset's call with its defaults, and its description: formula, place in the library, what differs.

    >>> from arcana import presets
    >>> print(presets.describe("snntorch.fast_sigmoid"))
    snntorch.fast_sigmoid(slope=25.0)
    <BLANKLINE>
    `snntorch.surrogate.fast_sigmoid` of snnTorch 1.0.0; fires where v > 0.
    <BLANKLINE>
    h(v) = 1 / (slope·|v| + 1)²
    """
    return f"{name}({_shown(defaults(name))})\n\n{inspect.getdoc(_find(name))}"


def _library(name: str) -> str:
    return name.partition(".")[0]


def _shown(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parameters.items())


def _find(name: str) -> Callable[..., Surrogate]:
    if name in _PRESETS:
        return _PRESETS[name]
    namesakes = _namesakes(name.lower())
    advice = f"; did you mean {' or '.join(namesakes)}?" if namesakes else _advice(name, _candidates(name))
    msg = f"unknown preset {name!r}{advice}"
    raise ValueError(msg)


def _namesakes(name: str) -> list[str]:
    """Return the presets of this name in lower case, whatever their library."""
    function = name.rpartition(".")[2]
    return [name] if name in _PRESETS else sorted(known for known in _PRESETS if known.partition(".")[2] == function)


def _candidates(name: str) -> list[str]:
    """Return the presets of the library that the name begins with, or the libraries."""
    of_library = [known for known in _PRESETS if _library(known) == _library(name.lower())]
    return of_library or [f"{library}.*" for library in {_library(known) for known in _PRESETS}]


def _check_parameters(name: str, function: Callable[..., Surrogate], parameters: dict[str, Any]) -> None:
    known = inspect.signature(function).parameters
    for parameter in parameters:
        if parameter not in known:
            advice = _advice(parameter, known) if known else "; it has none"
            msg = f"preset {name} has no parameter {parameter!r}{advice}"
            raise TypeError(msg)


def _advice(name: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    near = choices if len(choices) == 1 else difflib.get_close_matches(name, choices, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(choices)}"
