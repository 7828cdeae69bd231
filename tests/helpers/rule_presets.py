"""A preset of a rule as its description says to call it: what v is of the library's x, and the surrogate beside the rule."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from arcana import presets, surrogate as definitions
from arcana.rules import Rule
from arcana.surrogate import Surrogate

PLACE = re.compile(r"`[^`]+` .*; v = (.+)\.")
SURROGATE = re.compile(r"Surrogate: `([^`]+)`.*\.")


@dataclasses.dataclass(frozen=True)
class Described:
    """What the description says, for some values of the library's parameters."""

    rule: Rule
    surrogate: Surrogate
    v: str
    values: dict[str, Any]

    def potential(self, x: Any) -> Any:
        """Return v of the library's input."""
        return eval(self.v, {"x": x, **self.values})


def described(name: str, others: dict[str, Any], **parameters: Any) -> Described:
    """Read the description of a preset of a rule.

    Args:
        name: of the preset.
        others: parameters of the library that are not the rule's, its spike_threshold or its k.
        **parameters: of the rule; one that is not given has the library's default.
    """
    _, place, _, surrogate, *_ = presets.describe(name).split("\n\n")
    values = {**presets.defaults(name), **others, **parameters}
    made = eval(_searched(SURROGATE, surrogate), {**vars(definitions), **vars(presets), **values})
    return Described(presets.get_rule(name, **parameters), made, _searched(PLACE, place).replace("−", "-"), values)


def _searched(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.fullmatch(" ".join(text.split()))
    assert found, text
    return found[1]
