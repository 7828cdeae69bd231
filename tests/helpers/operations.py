"""What a surrogate's formula is made of, by its trace: how exact its results must be."""

from __future__ import annotations

from arcana._core.expression import needed, trace
from arcana.surrogate import Surrogate

POWERS = {"compound", "decay", "power"}
TRANSCENDENTAL = {*POWERS, "arctan", "cos", "erf", "erfc", "exp", "expm1", "log", "log1p", "sin", "sin_of_turns"}


def operations(surrogate: Surrogate) -> set[str]:
    traced = trace(surrogate.formula, tuple(surrogate.numbers))
    assert traced is not None
    return {symbol.operation for symbol in needed([traced.h])}


def exact_everywhere(surrogate: Surrogate) -> bool:
    """Whether it is made of sums, products, quotients, roots and comparisons alone: their bits are the same everywhere."""
    return operations(surrogate).isdisjoint(TRANSCENDENTAL)


def counts_positions(surrogate: Surrogate) -> bool:
    """Whether torch gives another last bit to an element of a vector than to one of the rest, as exp2 and pow do."""
    return not operations(surrogate).isdisjoint(POWERS)
