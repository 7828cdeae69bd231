"""Random formulas over the whole of `xp`, as data: what a user might write, and what nobody would."""

from __future__ import annotations

import dataclasses
import math
import operator
import random
from typing import Any

from hypothesis import strategies

from arcana._core.namespace import FUNCTIONS
from arcana.surrogate import Surrogate, parameter

ONE = (
    *("abs", "arctan", "cos", "erf", "erfc", "exp", "expm1", "log", "log1p", "reciprocal", "relu", "round", "sign", "sin"),
    *("sin_of_turns", "spike", "sqrt", "square", "zeros_like"),
)
TWO = ("compound", "decay", "divide", "fmod", "maximum", "minimum", "power", "turns")
ARITHMETIC = ("add", "mul", "pow", "sub", "truediv")
COMPARISONS = ("at_least", "eq", "ge", "gt", "le", "lt", "ne")
QUESTIONS = ("infinite", "nonnegative", "positive")
LOGICAL = ("and_", "or_", "xor")
LITERALS = (0.0, -0.0, 0.5, 1, 2, -1.5, 0.7, 3.0, 0.1, -1.0, 1e300, math.inf)
INPUTS = ("v", "slope", "width")
assert {*ONE, *TWO, *QUESTIONS, "at_least", "where"} == set(FUNCTIONS)


@dataclasses.dataclass(frozen=True)
class Formula:
    """A straight program; each step names its operation and its operands.

    Attributes:
        steps: of each the operation, and as operands the places of earlier values, or literal numbers in a tuple of one.
        result: the place of the value that is h.
    """

    steps: tuple[tuple[Any, ...], ...]
    result: int

    def __call__(self, v: Any, xp: Any, slope: Any, width: Any) -> Any:
        values = [v, slope, width]
        for operation, *places in self.steps:
            operands = [place[0] if isinstance(place, tuple) else values[place] for place in places]
            values.append(getattr(xp if operation in FUNCTIONS else operator, operation)(*operands))
        return values[self.result]

    def __repr__(self) -> str:
        lines = [f"{i}: {name} {' '.join(map(str, places))}" for i, (name, *places) in enumerate(self.steps, len(INPUTS))]
        return f"<{'; '.join(lines)} -> {self.result}>"

    @property
    def operations(self) -> set[str]:
        return {step[0] for step in self.steps}

    @property
    def surrogate(self) -> type[Surrogate]:
        """A class whose h it is."""

        class Random(Surrogate):
            slope: float = parameter(1.0)
            width: float = parameter(0.75)

            @staticmethod
            def derivative(v: Any, xp: Any, *, slope: Any, width: Any) -> Any:
                return self(v, xp, slope, width)

        return Random


def formula(seed: int, most: int) -> Formula:
    """The formula of a seed: shared terms, one operand twice, terms of parameters or of numbers alone."""
    generator = random.Random(seed)
    numbers, truths = [0, 0, 1, 2], []
    steps: list[tuple[Any, ...]] = []

    def value() -> int:
        # The last values more often, so that formulas grow deep.
        return generator.choice(numbers[-3:] if generator.random() < 0.5 else numbers)

    def operand() -> Any:
        return (generator.choice(LITERALS),) if generator.random() < 0.2 else value()

    def pair() -> tuple[Any, Any]:
        first, second = value(), operand()
        return (first, second) if generator.random() < 0.5 else (second, first)

    def add(to: list[int], operation: str, *operands: Any) -> None:
        steps.append((operation, *operands))
        to.append(len(INPUTS) + len(steps) - 1)

    kinds = ("one", "two", "arithmetic", "arithmetic", "sign", "comparison", "logical", "where", "where")
    for _ in range(generator.randint(1, most)):
        kind = generator.choice(kinds)
        if kind == "one":
            add(numbers, generator.choice(ONE), operand())
        elif kind == "two":
            add(numbers, generator.choice(TWO), operand(), operand())
        elif kind == "arithmetic":
            add(numbers, generator.choice(ARITHMETIC), *pair())
        elif kind == "sign":
            add(truths, generator.choice(QUESTIONS), value())
        elif kind == "comparison" or not truths:
            add(truths, generator.choice(COMPARISONS), *pair())
        elif kind == "logical":
            operation = generator.choice((*LOGICAL, "invert"))
            add(truths, operation, *(generator.choice(truths) for _ in range(1 if operation == "invert" else 2)))
        else:
            add(numbers, "where", generator.choice(truths), operand(), operand())
    last = truths[-1] if truths and generator.random() < 0.05 else numbers[-1]
    return Formula(tuple(steps), last)


def formulas(most: int = 12) -> strategies.SearchStrategy[Formula]:
    # By a seed: Hypothesis's own choices repeat one formula with small changes.
    return strategies.integers(0, 2**32 - 1).map(lambda seed: formula(seed, most))
