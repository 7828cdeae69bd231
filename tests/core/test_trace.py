"""What a formula may ask of a symbol, and when a function may go the short way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from arcana._core.expression import Kept, needed
from arcana.surrogate import LeakyStep, Rectangular, Step, Surrogate, parameter


def traced(function: Any, names: tuple[str, ...] = ()) -> Any:
    """The trace of a formula of v, xp and the parameters with these names."""

    class Asked(Surrogate):
        slope: float = parameter(1.0)
        width: float = parameter(1.0)

        @staticmethod
        def derivative(v, xp, **parameters):
            return function(v, xp, **parameters)

    return Asked().formula.expression(names)


def swallowed(function: Any) -> Any:
    """The formula goes on with another one after the error."""

    def formula(v: Any, xp: Any) -> Any:
        try:
            function(v)
        except Exception:
            return xp.square(v)
        return xp.square(v)

    return formula


QUESTIONS = {
    "bool": bool,
    "float": float,
    "int": int,
    "complex": complex,
    "len": len,
    "iter": list,
    "item": lambda v: v[0],
    "in": lambda v: v in [1.0],
    "index": lambda v: [1, 2][v],
    "shape": lambda v: v.shape,
    "dtype": lambda v: v.dtype,
    "hasattr": lambda v: hasattr(v, "detach"),
    "isinstance": lambda v: isinstance(v, np.ndarray),
    "math.exp": math.exp,
    "math.floor": math.floor,
    "abs": abs,
    "round": round,
    "mod": lambda v: v % 2,
    "floordiv": lambda v: 5 // v,
    "matmul": lambda v: v @ v,
    "chain": lambda v: 0 < v < 1,
    "min": lambda v: min(v, 1.0),
    "numpy array": lambda v: np.ones(3) * v,
    "numpy number": lambda v: v * np.float32(2),
    "complex number": lambda v: v * 2j,
    "comparison times comparison": lambda v: (v > 0) * (v < 1),
    "comparison times number": lambda v: (v > 0) * 0.7,
    "number as condition": lambda v: v & v,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_no_symbol_can_answer_is_refused_whatever_the_formula_does_with_the_error(question: str) -> None:
    assert traced(swallowed(QUESTIONS[question])) is None


def test_functions_of_numpy_are_refused_and_its_float64_is_a_float() -> None:
    assert traced(lambda v, xp: np.exp(v)) is None
    assert traced(lambda v, xp: np.multiply(v, 2.0)) is None
    found = traced(lambda v, xp: np.float64(2.5) * v)
    assert [type(each) for each in found.h.operands if each is not found.v] == [float]


def test_a_symbol_of_another_formula_is_refused() -> None:
    seen: list[Any] = []

    def first(v: Any, xp: Any) -> Any:
        seen.append(v)
        return xp.square(v)

    assert traced(first) is not None
    assert traced(lambda v, xp: xp.square(v + seen[0])) is None


def test_equal_terms_are_two_objects_and_one_operation() -> None:
    same: list[bool] = []

    def formula(v: Any, xp: Any) -> Any:
        first, second = xp.abs(v * 2), xp.abs(v * 2)
        same.append(first is second)
        return first + xp.square(second)

    found = traced(formula)
    assert not any(same)
    assert sorted(each.operation for each in needed([found.h])) == ["abs", "add", "mul", "square", "v"]


def test_a_choice_between_equal_terms_is_none() -> None:
    found = traced(lambda v, xp: xp.where(v < 0, xp.exp(v), xp.exp(v)))
    assert found.h.operation == "exp"
    assert found.kept is Kept.POTENTIAL
    found = traced(lambda v, xp, *, slope: xp.where(v < 0, slope, slope), ("slope",))
    assert found.h is found.parameters["slope"]
    assert found.kept is Kept.NOTHING


def test_a_parameter_divides_as_an_array_does() -> None:
    """A number of Python would raise where it is 0."""
    assert traced(lambda v, xp, *, slope: xp.abs(v) + 1 / (slope - 1), ("slope",)) is not None


@pytest.mark.parametrize(("h", "kept"), [(lambda v, xp: 0.7, Kept.NOTHING), (lambda v, xp: xp.nonnegative(v), Kept.SPIKES)])
def test_a_number_and_a_comparison_are_formulas(h: Any, kept: Kept) -> None:
    found = traced(h)
    assert found.kept is kept
    assert not found.h.boolean


def test_a_call_keeps_the_potential_where_a_parameter_is_no_known_number() -> None:
    formula, numbers = Rectangular().formula, Rectangular().numbers
    assert formula.kept(numbers) is Kept.MASK
    assert formula.kept({**numbers, "height": np.ones(2)}) is Kept.POTENTIAL


@pytest.mark.parametrize(
    ("surrogate", "sides"),
    [(Step(), [1.0, 0.0]), (LeakyStep(leak=0.3, slope=2.0), [2.0, 0.3]), (Rectangular(height=0.7), [0.7, 0.0])],
    ids=lambda each: getattr(each, "name", ""),
)
def test_the_two_values_on_the_sides_of_a_comparison(surrogate: Surrogate, sides: list[float]) -> None:
    found = surrogate.formula.expression(surrogate.numbers)
    assert found is not None
    assert found.sides(surrogate.numbers).tolist() == sides


ARRAYS: dict[str, tuple[Any, int]] = {
    "v": (lambda v, xp, *, slope: v, 0),
    "exp(slope)": (lambda v, xp, *, slope: xp.exp(slope), 0),
    "exp(v)": (lambda v, xp, *, slope: xp.exp(v), 1),
    "exp(slope) v": (lambda v, xp, *, slope: xp.exp(slope) * v, 1),
    "exp(slope) exp(v)": (lambda v, xp, *, slope: xp.exp(slope) * xp.exp(v), 1),
    "exp(v) + |v|": (lambda v, xp, *, slope: xp.exp(v) + xp.abs(v), 2),
    "exp(exp(v) + |v|) v^2": (lambda v, xp, *, slope: xp.exp(xp.exp(v) + xp.abs(v)) * xp.square(v), 2),
    "(exp(v) + |v|) (v^2 + log v)": (lambda v, xp, *, slope: (xp.exp(v) + xp.abs(v)) * (xp.square(v) + xp.log(v)), 3),
}


@pytest.mark.parametrize("term", ARRAYS)
def test_the_arrays_that_a_term_takes(term: str) -> None:
    """Sethi and Ullman's numbers, with v and what is a number for free."""
    h, arrays = ARRAYS[term]
    assert traced(h, ("slope",)).h.buffers == arrays


def short(function: Any, **numbers: float) -> dict[str, float]:
    class Short(Surrogate):
        slope: float = parameter(1.0)
        width: float = parameter(1.0)

        @staticmethod
        def derivative(v, xp, **parameters):
            return function(v, xp, **parameters)

    return Short().formula.shortcuts(numbers, "float32")


def test_one_function_with_a_known_operand_goes_the_short_way() -> None:
    def both(v: Any, xp: Any, *, slope: float) -> Any:
        return xp.compound(xp.abs(v), -slope) + xp.turns(v, 8.0)

    assert short(both, slope=1.5) == {"compound": -1.5, "turns": 8.0}
    assert [short(both, slope=slope) for slope in (2.0, 2.5)] == [{"compound": -2.0, "turns": 8.0}, {}]
    assert short(lambda v, xp, *, slope: xp.compound(xp.abs(v), xp.exp(slope) * 0), slope=1000.0) == {}
    assert short(lambda v, xp, *, slope: xp.compound(xp.abs(v), slope) + xp.compound(xp.abs(v), -slope), slope=1.0) == {}
    assert short(lambda v, xp, *, slope: xp.compound(xp.abs(v), xp.exp(slope)), slope=1000.0) == {}
    assert short(lambda v, xp, *, slope: xp.turns(v, xp.exp(slope)), slope=1000.0) == {}
    assert short(lambda v, xp, *, slope: xp.turns(v, xp.exp(slope)), slope=0.0) == {"turns": 1.0}
    assert short(lambda v, xp: xp.compound(xp.abs(v), v)) == {}
    assert short(lambda v, xp: xp.turns(v, xp.abs(v) + 1)) == {}
    assert [short(lambda v, xp, period=period: xp.turns(v, period)) for period in (6.0, 0.5)] == [{}, {}]
    assert short(lambda v, xp: xp.square(v)) == {}
