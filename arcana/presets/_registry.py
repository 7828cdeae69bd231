"""Find a preset by its name, and make a surrogate or a rule of it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from arcana.rules import Rule
from arcana.surrogate import Surrogate

PresetT = TypeVar("PresetT", bound=Callable[..., Surrogate])
RulePresetT = TypeVar("RulePresetT", bound=Callable[..., Rule])
MadeT = TypeVar("MadeT", Surrogate, Rule)

_SURROGATES: dict[str, Callable[..., Surrogate]] = {}
_RULES: dict[str, Callable[..., Rule]] = {}


def preset(function: PresetT) -> PresetT:
    """Register a function that makes a surrogate as `module.function`, the module being the library's; return it unchanged."""
    _SURROGATES[_name_of(function)] = function
    return function


def rule_preset(function: RulePresetT) -> RulePresetT:
    """Register a function that makes a rule in the same way. A name is a surrogate's or a rule's, never both."""
    _RULES[_name_of(function)] = function
    return function


def names(library: str | None = None) -> list[str]:
    """Return the names of the surrogates, sorted: of all libraries, or of one ("snntorch").

    >>> from arcana import presets
    >>> presets.names("norse")
    ['norse.circ', 'norse.heavi_erfc', 'norse.superspike', 'norse.tanh', 'norse.triangle']
    """
    return _names(_SURROGATES, library)


def rule_names(library: str | None = None) -> list[str]:
    """Return the names of the rules, sorted: of all libraries, or of one; none where a library only spikes with 0 and 1.

    >>> from arcana import presets
    >>> presets.rule_names("sinabs")
    ['sinabs.max_spike', 'sinabs.multi_spike', 'sinabs.single_spike']
    >>> presets.rule_names("snntorch")
    []
    """
    return _names(_RULES, library)


def get(name: str, **parameters: Any) -> Surrogate:
    """Return the surrogate that a library computes.

    >>> from arcana import presets
    >>> presets.get("snntorch.fast_sigmoid", slope=10)
    FastSigmoid(scale=10.0, fires_at_threshold=False)

    Args:
        name: library and function, see `names`.
        **parameters: the library's own, by its names; one that is not given has the library's default.

    Errors: ValueError for an unknown name, that of a rule, or a value out of its bounds, TypeError for an unknown parameter or a
    value that is no number; each names the preset, and the near names where there are some.
    """
    return _made(name, _SURROGATES, parameters)


def get_rule(name: str, **parameters: Any) -> Rule:
    """Return the rule by which a library spikes, for `rule=` of every spike function.

    >>> from arcana import presets
    >>> presets.get_rule("sinabs.max_spike", max_num_spikes_per_bin=4)
    Integer(most=4, repeat=False, step=1.0)

    Args:
        name: library and function, see `rule_names`.
        **parameters: the library's own, by its names; one that is not given has the library's default.

    Errors: those of `get`.
    """
    return _made(name, _RULES, parameters)


def defaults(name: str) -> dict[str, Any]:
    """Return the parameters of a preset, a surrogate's or a rule's, with the library's defaults.

    >>> from arcana import presets
    >>> presets.defaults("snntorch.fast_sigmoid")
    {'slope': 25.0}
    >>> presets.defaults("sinabs.max_spike")
    {'max_num_spikes_per_bin': None, 'spike_threshold': 1.0}
    """
    return {parameter.name: parameter.default for parameter in inspect.signature(_find(name)).parameters.values()}


def describe(name: str) -> str:
    """Return a preset's call with its defaults, and its description: formula, place in the library, what differs.

    A rule's says what v is for an input x of the library's function, and a surrogate with which the gradient is the library's.

    >>> from arcana import presets
    >>> print(presets.describe("snntorch.fast_sigmoid"))
    snntorch.fast_sigmoid(slope=25.0)
    <BLANKLINE>
    `snntorch.surrogate.fast_sigmoid` of snnTorch 1.0.0; fires where v > 0.
    <BLANKLINE>
    h(v) = 1 / (slope·|v| + 1)²
    >>> print(presets.describe("sinabs.multi_spike"))
    sinabs.multi_spike(spike_threshold=1.0)
    <BLANKLINE>
    `MultiSpike` of Sinabs 3.1.3, the default of its layers; v = x − spike_threshold.
    <BLANKLINE>
    spikes = floor(x / spike_threshold) for x > 0, else 0
    <BLANKLINE>
    Surrogate: `sinabs.single_exponential(spike_threshold=spike_threshold)`, or another of `presets.sinabs`.
    """
    return f"{name}({_shown(defaults(name))})\n\n{inspect.getdoc(_find(name))}"


def _name_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


def _names(presets: Mapping[str, Any], library: str | None) -> list[str]:
    libraries = sorted({_library(name) for name in _known()})
    if library is not None and library not in libraries:
        msg = f"no presets of a library {library!r}{_advice(library, libraries)}"
        raise ValueError(msg)
    return sorted(name for name in presets if library in (None, _library(name)))


def _known() -> dict[str, Callable[..., Surrogate] | Callable[..., Rule]]:
    return {**_SURROGATES, **_RULES}


def _library(name: str) -> str:
    return name.partition(".")[0]


def _shown(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parameters.items())


def _made(name: str, presets: Mapping[str, Callable[..., MadeT]], parameters: dict[str, Any]) -> MadeT:
    """Return what a preset of this kind makes of parameters; an error names it and them."""
    function = presets.get(name)
    if function is None:
        # Which raises where there is none of the other kind either.
        _find(name)
        kind, write = ("rule", "get_rule") if name in _RULES else ("surrogate", "get")
        msg = f"preset {name!r} is a {kind}: write presets.{write}({name!r})"
        raise ValueError(msg)
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


def _find(name: str) -> Callable[..., Surrogate] | Callable[..., Rule]:
    """Return the function of a preset of either kind."""
    if name in (known := _known()):
        return known[name]
    namesakes = _namesakes(name.lower())
    advice = f"; did you mean {' or '.join(namesakes)}?" if namesakes else _advice(name, _candidates(name))
    msg = f"unknown preset {name!r}{advice}"
    raise ValueError(msg)


def _namesakes(name: str) -> list[str]:
    """Return the presets of this name in lower case, whatever their library."""
    function = name.rpartition(".")[2]
    return [name] if name in _known() else sorted(known for known in _known() if known.partition(".")[2] == function)


def _candidates(name: str) -> list[str]:
    """Return the presets of the library that the name begins with, or the libraries."""
    of_library = [known for known in _known() if _library(known) == _library(name.lower())]
    return of_library or [f"{library}.*" for library in {_library(known) for known in _known()}]


def _check_parameters(name: str, function: Callable[..., Any], parameters: dict[str, Any]) -> None:
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
