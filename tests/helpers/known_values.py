"""The truth that the tests compare with: every surrogate of the catalogue, by its registry name."""

from __future__ import annotations

from known import Known
from known_exponential import EXPONENTIAL
from known_gaussian import GAUSSIAN
from known_periodic import PERIODIC
from known_piecewise import PIECEWISE, STRAIGHT_THROUGH
from known_power_law import POWER_LAW
from known_rational import RATIONAL

FAMILIES = (RATIONAL, POWER_LAW, EXPONENTIAL, GAUSSIAN, PERIODIC, PIECEWISE, STRAIGHT_THROUGH)
KNOWN: dict[str, Known] = {name: known for family in FAMILIES for name, known in family.items()}


def variants(name: str) -> list[dict[str, float]]:
    """The parameter sets of a surrogate, the default first."""
    return [{}, *KNOWN[name].parameters]
