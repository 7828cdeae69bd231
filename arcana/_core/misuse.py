"""The advice in errors about a surrogate's parameters: what to write instead."""

from __future__ import annotations

import difflib
import numbers
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arcana._core.surrogate import Surrogate

_KIN = (
    frozenset({"alpha", "b", "beta", "k", "scale", "sharpness", "slope", "steepness"}),
    frozenset({"lens", "sigma", "std", "width", "window"}),
)
"""The names that libraries give to the steepness of a surrogate, and to its width."""


def warn_of_library(libraries: Sequence[str], through: Sequence[str], threshold: str, frame: Any) -> None:
    """Warn where one of some libraries calls a layer, which then subtracts a second threshold.

    Args:
        libraries: those whose neurons hand their spike function the potential less the threshold.
        through: the packages whose frames lie between the library and the layer.
        threshold: the layer's, as it is to be written.
        frame: the layer's.
    """
    library = ""
    while frame is not None and (library := frame.f_globals.get("__name__", "").partition(".")[0]) in through:
        frame = frame.f_back
    if frame is not None and library in libraries:
        msg = (
            f"{library} gives its spike function the potential less the threshold, and Spike subtracts its own, "
            f"{threshold}, once more: hand over layer.surrogate, or make the layer with threshold=0"
        )
        warnings.warn(msg, UserWarning, stacklevel=4)


def unknown_name(definition: type[Surrogate], name: str) -> TypeError:
    """Return the error for a parameter that a surrogate does not have."""
    names = definition.parameter_names()
    msg = f"{definition.__name__} has no parameter {name!r}; it has {', '.join(names)}"
    if name == "threshold":
        msg += "; v is the potential minus the threshold: subtract it, or use arcana.torch.Spike"
    elif near := _nearest(definition, name):
        msg += f"; did you mean {near}?"
    return TypeError(msg)


def no_positional(definition: type[Surrogate], positional: Sequence[Any], named: Mapping[str, Any]) -> TypeError:
    """Return the error for `FastSigmoid(25.0)` and `FastSigmoid(v)`."""
    name = definition.__name__
    if hasattr(positional[0], "shape") and not isinstance(positional[0], numbers.Number):
        advice = f"the spikes of v are {name}({written(definition, (), named)})(v)"
    else:
        advice = f"write {name}({written(definition, positional, named)})"
    return TypeError(f"{name} takes no positional argument, only parameters by keyword: {advice}")


def one_positional(definition: type[Surrogate], caller: str, positional: Sequence[Any], named: Mapping[str, Any]) -> TypeError:
    """Return the error for `fast_sigmoid(v, 25.0)`."""
    call = f"{caller}(v, {written(definition, positional, named)})"
    return TypeError(f"{caller} takes one positional argument, the potential v: write {call}")


def written(definition: type[Surrogate], positional: Sequence[Any], named: Mapping[str, Any]) -> str:
    """Return `scale=25.0` for these parameters, a positional or a misspelt one by the name of the nearest; a rule as one."""
    names = definition.parameter_names()
    rules = [each for each in positional if is_rule(each)]
    values = dict(zip(names, [each for each in positional if not is_rule(each)], strict=False))
    values |= {"rule": rules[0]} if rules else {}
    values |= {name if name in names else _nearest(definition, name) or name: value for name, value in named.items()}
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items())


def is_rule(given: Any) -> bool:
    """Whether this is a rule of `arcana.rules`, which the core does not import, or the class of one."""
    return hasattr(given, "thresholds") and hasattr(given, "spikes")


def preset_uncalled(given: Any) -> bool:
    """Whether this is a function of `arcana.presets`, which makes a surrogate or a rule."""
    return callable(given) and str(getattr(given, "__module__", "")).startswith("arcana.presets.")


def _nearest(definition: type[Surrogate], name: str) -> str | None:
    """Return the parameter that is meant by another name: one spelt alike, of the same kind, or the only one."""
    names, own = definition.parameter_names(), definition.own_names()
    alike = difflib.get_close_matches(name, names, n=1)
    kin = [each for group in _KIN if name.lower() in group for each in own if each in group]
    found = [*alike, *kin, *(own if len(own) == 1 else [])]
    return found[0] if found else None


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, (numbers.Number, str)) or is_rule(value) else "..."
