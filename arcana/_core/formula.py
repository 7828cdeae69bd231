"""The formula of a surrogate: its class with the settings that shape it, which is what traces and caches are keyed by."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from arcana._core.expression import Expression, Kept, shortcuts, trace
from arcana._core.slopes import trace_slope

if TYPE_CHECKING:
    from arcana._core.surrogate import Surrogate


Thresholds = tuple[tuple[float, int], ...]
"""Where spikes are counted: each threshold as a value of v, with 1 where the count rises above it and −1 where it falls below."""

AT_ZERO: Thresholds = ((0.0, 1),)
"""The one threshold of spikes that are 0 and 1."""

_OF_CALLS = ("fires_at_threshold", "thresholds")
"""The settings that no definition asks for."""


@dataclasses.dataclass(frozen=True)
class Formula:
    """A definition with its settings: equal and hashable by value. Its parameters are given to each evaluation.

    Attributes:
        definition: the surrogate's class.
        settings: the fields that shape the formula, by name; `fires_at_threshold` is one of them, and `thresholds` where there
            are others than the one at 0.
    """

    definition: type[Surrogate]
    settings: tuple[tuple[str, Any], ...]

    @functools.cached_property
    def fires_at_threshold(self) -> bool:
        """Whether v = 0 fires."""
        return dict(self.settings)["fires_at_threshold"]

    @functools.cached_property
    def thresholds(self) -> Thresholds:
        """Where h is: at each of these thresholds, towards its direction."""
        return dict(self.settings).get("thresholds", AT_ZERO)

    def evaluate(self, which: str, v: Any, xp: Any, parameters: Mapping[str, Any]) -> Any:
        """Return h (`which` = "derivative") or G ("primitive") of v in one namespace; all of it in the computing dtype."""
        if which == "primitive" and not self.definition.has_primitive():
            msg = f"{self.definition.__name__} defines no primitive, which its G and the gradients of its parameters need"
            raise NotImplementedError(msg)
        terms = [self._at(threshold, direction, which, v, xp, parameters) for threshold, direction in self.thresholds]
        return functools.reduce(operator.add, terms if len(terms) == 1 else [xp.rounded(each, v) for each in terms])

    def _at(self, threshold: float, direction: int, which: str, v: Any, xp: Any, parameters: Mapping[str, Any]) -> Any:
        """Return what one threshold adds to h or to G."""
        if (threshold, direction) != AT_ZERO[0]:
            v = v - threshold if direction > 0 else threshold - v
        y = getattr(self.definition, which)(v, xp, **self.fields(parameters))
        if "gain" in parameters:
            gain = parameters["gain"]
            y = gain * y if which == "derivative" else gain * (y - 0.5) + 0.5
        return -y if which == "primitive" and direction < 0 else y

    def sensitivity(self, along: str, v: Any, xp: Any, parameters: Mapping[str, Any]) -> Any:
        """Return dG/dparameter as the definition has it; None where it has none."""
        if self.definition.sensitivities is None or along == "gain" or self.thresholds != AT_ZERO:
            return None
        fields = self.fields(parameters)
        y = self.definition.sensitivities(v, xp, self.definition.derivative(v, xp, **fields), **fields).get(along)
        return parameters["gain"] * y if "gain" in parameters and y is not None else y

    def fields(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a formula takes by keyword."""
        own = {name: value for name, value in parameters.items() if name != "gain"}
        return own | {name: value for name, value in self.settings if name not in _OF_CALLS}

    def expression(self, names: Iterable[str]) -> Expression | None:
        """Return h as data, over parameters of these names; None where it cannot be traced."""
        return trace(self, tuple(names))

    def slope(self, names: Iterable[str], along: str, guarded: bool = False) -> Expression | None:
        """Return dG/dparameter as data, over parameters of these names, along one of them; None where it cannot be had.

        Guarded, what is not chosen is as safe as in the formula.
        """
        return trace_slope(self, tuple(names), along, guarded)

    def kept(self, parameters: Mapping[str, Any]) -> Kept:
        """Return what a call keeps for backward: less than v only where all its parameters are numbers that are known.

        It depends on the call alone, since who looks at it may be another at backward.
        """
        known = all(isinstance(value, float) for value in parameters.values())
        expression = self.expression(parameters) if known else None
        return Kept.POTENTIAL if expression is None else expression.kept

    def shortcuts(self, parameters: Mapping[str, Any], dtype: str) -> dict[str, float]:
        """Return the functions of h that may go a shorter way, where all parameters are numbers that are known."""
        if not all(isinstance(value, float) for value in parameters.values()):
            return {}
        numbers = tuple((name, self.definition.rounded(name, value, dtype)) for name, value in parameters.items())
        return shortcuts(self, numbers, dtype)
