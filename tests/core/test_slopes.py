"""dG/dparameter as data: every operation's derivative, what is chosen, and what has none."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from every import every_parameter, every_surrogate
from known_values import KNOWN
from mpmath import mpf
from truth import COTANGENT, POINTS, assert_exact, exact, exact_at_points, operands, parameter_points

from arcana import surrogate as definitions
from arcana._core.expression import Symbol, Tape, UntraceableError, compute
from arcana._core.numpy import NAMESPACE, NAMESPACES
from arcana._core.slopes import _FLAT, _RULES, _settles, slope, slope_product, summands
from arcana.surrogate import Surrogate, parameter
from arcana.testing._definition import definition_rows

P = np.linspace(0.3, 2.9, 41) + 0.0123
STEP = 2.0**-20

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "abs": lambda p, xp: xp.abs(p - 1),
    "add": lambda p, xp: p + p * 3,
    "arctan": lambda p, xp: xp.arctan(p),
    "compound": lambda p, xp: xp.compound(p, p * -2),
    "cos": lambda p, xp: xp.cos(p),
    "decay": lambda p, xp: xp.decay(p * 2, p),
    "divide": lambda p, xp: xp.divide(p + 2, p),
    "erf": lambda p, xp: xp.erf(p - 1),
    "erfc": lambda p, xp: xp.erfc(p - 1),
    "exp": lambda p, xp: xp.exp(p),
    "expm1": lambda p, xp: xp.expm1(p - 1),
    "log": lambda p, xp: xp.log(p),
    "log1p": lambda p, xp: xp.log1p(p),
    "maximum": lambda p, xp: xp.maximum(p * p, p + 1),
    "minimum": lambda p, xp: xp.minimum(p * p, p + 1),
    "mul": lambda p, xp: p * (p + 1),
    "neg": lambda p, xp: -p,
    "pow": lambda p, xp: p**p + 2.0**p + 0.5**p + p**-1.5,
    "power": lambda p, xp: xp.power(p, p) + xp.power(2.0, p) + xp.power(p, -1.5),
    "reciprocal": lambda p, xp: xp.reciprocal(p),
    "relu": lambda p, xp: xp.relu(p - 1),
    "sin": lambda p, xp: xp.sin(p),
    "sin_of_turns": lambda p, xp: xp.sin_of_turns(p),
    "sqrt": lambda p, xp: xp.sqrt(p),
    "square": lambda p, xp: xp.square(p),
    "sub": lambda p, xp: 1 - p * p,
    "truediv": lambda p, xp: (p + 2) / p + 3 / p + p / 7,
    "turns": lambda p, xp: xp.turns(p, 0.7) + xp.turns(p * 0.0 + 2.6, p),
    "where": lambda p, xp: xp.where(p > 1, p * p, p * 3) * xp.where(p > 1, 2.0, p),
}


def traced(function: Callable[[Any, Any], Any], tape: Tape | None = None) -> tuple[Symbol, Symbol]:
    """The parameter and the result of a function of one parameter, as symbols."""
    from arcana._core.expression import SymbolNamespace

    tape = tape or Tape()
    p = tape.record("parameter p")
    return p, function(p, SymbolNamespace(tape))


def value(symbol: Symbol, p: Symbol, at: np.ndarray) -> np.ndarray:
    values: dict[Any, Any] = {p: at}
    with np.errstate(all="ignore"):
        compute([symbol], values, NAMESPACE, np.float64(0))
    return np.broadcast_to(values[symbol], at.shape)


def test_the_power_of_a_base_that_is_0_is_constant_along_its_exponent() -> None:
    p, result = traced(lambda p, xp: xp.power(p * 0.0, p + 1))
    assert not value(slope(result, p), p, P).any()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_derivative_of_an_operation_is_its_difference_quotient(operation: str) -> None:
    p, result = traced(OPERATIONS[operation])
    above, below = (value(result, p, P + step) for step in (STEP, -STEP))
    np.testing.assert_allclose(value(slope(result, p), p, P), (above - below) / (2 * STEP), rtol=1e-7, atol=1e-8)


def test_every_rule_is_tried() -> None:
    assert set(OPERATIONS) == set(_RULES)


@pytest.mark.parametrize("operation", _FLAT)
def test_what_jumps_is_constant_between_its_jumps(operation: str) -> None:
    p, result = traced(lambda p, xp: p * 2 + (xp.zeros_like(p) if operation == "zero" else getattr(xp, operation)(p)))
    np.testing.assert_array_equal(value(slope(result, p), p, P), 2.0)


def test_what_does_not_depend_on_the_parameter_has_the_derivative_0() -> None:
    p, result = traced(lambda p, xp: xp.where(p > 1, p * 0 + 1, 1.0) * 0 + xp.spike(p - 1))
    np.testing.assert_array_equal(value(slope(result, p), p, P), 0.0)
    tape = Tape()
    p, other = tape.record("parameter p"), tape.record("parameter other")
    assert slope(other, p) is tape.zero
    assert value(slope(p, p), p, P).tolist() == [1.0] * P.size


def test_no_operation_is_recorded_that_changes_nothing() -> None:
    p, result = traced(lambda p, xp: xp.exp(p))
    assert slope(result, p) is result
    tape = result.tape
    p, result = traced(lambda p, xp: xp.where(p > 1, xp.exp(p), p * 2) + 1, tape)
    mask, true, false = slope(result, p).operands
    assert (mask.operation, true.operation) == ("gt", "exp")
    assert value(false, p, P).tolist() == [2.0] * P.size


def test_a_function_without_a_rule_is_an_error() -> None:
    p, result = traced(lambda p, xp: xp.fmod(p, 0.7))
    with pytest.raises(UntraceableError, match="fmod has no derivative here"):
        slope(result, p)


def test_no_number_of_a_side_that_is_not_taken_comes_through() -> None:
    """The chain rule by products makes 0 · inf of it, on either side of the choice."""
    at = np.array([0.5, 1.0, 1.5, 3.0])
    for function, expected in (
        (lambda p, xp: xp.where(p > 1, xp.log(p - 1), p * 3), [3.0, 3.0, 2.0, 0.5]),
        (lambda p, xp: xp.where(p != 1.5, p * p, xp.sqrt(p - 3) * 0 + xp.reciprocal(p - 3)), [1.0, 2.0, math.nan, 6.0]),
    ):
        p, result = traced(function)
        np.testing.assert_array_equal(value(slope(result, p), p, at), expected)


def test_each_choice_is_made_once() -> None:
    """Of G = where(far, …, …) the derivative is one choice between two terms, and neither has the choices that kept it safe."""
    p, result = traced(lambda p, xp: xp.where(p > 1, xp.reciprocal(xp.where(p > 1, p, 1.0)), xp.square(xp.where(p > 1, 0.0, p))))
    from arcana._core.expression import needed

    operations = [each.operation for each in needed([slope(result, p)])]
    assert operations.count("where") == 1
    # Guarded, the two stay that keep the operands safe.
    assert [each.operation for each in needed([slope(result, p, guarded=True)])].count("where") == 3
    np.testing.assert_allclose(value(slope(result, p), p, P), np.where(P > 1, -1 / P**2, 2 * P), rtol=1e-15)


class Pair(Surrogate):
    """G has a parameter that only it has, and one that both have."""

    width: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v: Any, xp: Any, *, width: Any) -> Any:
        return xp.exp(-xp.square(v / width))

    @staticmethod
    def primitive(v: Any, xp: Any, *, width: Any) -> Any:
        if isinstance(v, Symbol):
            return xp.erf(v / width) * width
        return xp.erf(v / width) * (width * (math.sqrt(math.pi) / 2)) + 0.5


def test_a_formula_that_says_something_else_to_a_symbol_has_none() -> None:
    assert Pair().formula.slope(("width",), "width") is None


@every_parameter
def test_what_a_definition_says_of_a_parameter_is_used(name: str, key: str) -> None:
    surrogate = definitions.get(name)
    v = np.array([-0.7, 0.2, 1.3])
    numbers = {each: np.float64(value) for each, value in surrogate.numbers.items()}
    fields = surrogate.formula.fields(numbers)
    said = type(surrogate).sensitivities(v, NAMESPACE, surrogate.derivative(v), **fields) if surrogate.sensitivities else {}
    traced = surrogate.formula.slope(tuple(numbers), key)
    assert traced is not None
    assert traced.stated == (key in said)


@every_parameter
def test_what_a_definition_says_of_a_parameter_is_as_near_in_float32_at_every_magnitude(name: str, key: str) -> None:
    surrogate = definitions.get(name)
    if not surrogate.sensitivities:
        return
    magnitudes = 2.0 ** np.arange(-20, 90, 0.25)
    v = np.concatenate([-magnitudes, magnitudes]).astype(np.float32)
    found = []
    for dtype in (np.float32, np.float64):
        xp, numbers = NAMESPACES[dtype.__name__], {each: dtype(value) for each, value in surrogate.numbers.items()}
        with np.errstate(all="ignore"):
            h = surrogate.formula.evaluate("derivative", v.astype(dtype), xp, numbers)
            found.append(type(surrogate).sensitivities(v.astype(dtype), xp, h, **surrogate.formula.fields(numbers)).get(key, 0.0))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-7)


@every_parameter
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_product_with_a_cotangent_is_the_papers(name: str, key: str, dtype: str) -> None:
    """At ±inf too, and of an array of the parameter, whose potentials are each on a side of their own."""
    surrogate, xp, kind = definitions.get(name), NAMESPACES[dtype], np.dtype(dtype).type
    v, c = POINTS.astype(dtype), COTANGENT.astype(dtype)
    numbers = {each: kind(value) for each, value in surrogate.numbers.items()}
    numbers[key] = parameter_points(surrogate, key, v.size).astype(dtype)
    with np.errstate(all="ignore"):
        h = surrogate.formula.evaluate("derivative", v, xp, numbers)
        found = slope_product(surrogate.formula, key, dtype, numbers, xp, v, h, c, lambda: c * h)
    assert_exact(found, exact_at_points("parameter", surrogate, dtype, key), 8, dtype)


@every_parameter
def test_the_product_beside_a_kink_is_the_papers(name: str, key: str) -> None:
    surrogate, kinks = definitions.get(name), np.array(KNOWN[name].kinks)
    v = np.concatenate([kinks * factor + shift for factor in (1, -1) for shift in (1e-4, -1e-4, 4e-3, -4e-3)])
    numbers, one = {each: np.float64(value) for each, value in surrogate.numbers.items()}, np.ones_like(v)
    h = surrogate.formula.evaluate("derivative", v, NAMESPACE, numbers)
    found = slope_product(surrogate.formula, key, "float64", numbers, NAMESPACE, v, h, one, lambda: h)
    assert_exact(found, exact("parameter", surrogate, v, one, "float64", key), 8, "float64")


@every_surrogate
def test_a_gain_is_a_factor_of_each_product_and_has_one_of_its_own(name: str) -> None:
    surrogate, xp, known = definitions.get(name, gain=-2.5), NAMESPACES["float64"], KNOWN[name]
    v, c = np.array([-1.7, -0.31, 0.02, 0.83, 2.3]), np.array([0.5, -1.0, 2.0, 0.25, -3.0])
    numbers, exactly = {key: np.float64(value) for key, value in surrogate.numbers.items()}, operands(surrogate, "float64")
    del exactly["gain"]
    with np.errstate(all="ignore"):
        h = surrogate.formula.evaluate("derivative", v, xp, numbers)
    for key in numbers:
        found = slope_product(surrogate.formula, key, "float64", numbers, xp, v, h, c, lambda: c * h)
        formula, factor = (known.rise, 1.0) if key == "gain" else (known.by_parameter[key], -2.5)
        expected = [factor * y * float(formula(mpf(x), **exactly)) for x, y in zip(v, c, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13, err_msg=key)


class Wide(Surrogate):
    """What it says of its width is wrong where v is large, and of its height nothing."""

    width: float = parameter(1.0, above=0)
    height: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v: Any, xp: Any, *, width: Any, height: Any) -> Any:
        return xp.exp(-xp.abs(v) * xp.reciprocal(width)) * height

    @staticmethod
    def primitive(v: Any, xp: Any, *, width: Any, height: Any) -> Any:
        return -xp.expm1(-xp.abs(v) * xp.reciprocal(width)) * xp.sign(v) * (height * width) + 0.5

    @staticmethod
    def sensitivities(v: Any, xp: Any, h: Any, *, width: Any, height: Any) -> dict[str, Any]:
        right = -xp.expm1(-xp.abs(v) * xp.reciprocal(width)) * xp.sign(v) * height - h * v * xp.reciprocal(width)
        return {"width": xp.where(v > 6, xp.zeros_like(v), right)}


def test_what_a_definition_says_is_not_used_where_the_primitive_says_something_else() -> None:
    for key in ("width", "height"):
        traced = Wide().formula.slope(("width", "height"), key)
        assert traced is not None
        assert not traced.stated
    failed = [row.what for row in definition_rows(Wide()) if not row.passed]
    assert "sensitivity to width" in failed


def test_a_sum_of_products_is_told_apart() -> None:
    tape = Tape()
    v, h, c, k = (tape.record(name) for name in ("v", "kept", "cotangent", "parameter k"))
    found = summands(-(h * v * k * 2) + (v + c) * v - k * c + k * (c - h), h)
    assert [(each.of_h, [x.operation for x in each.arrays]) for each in found] == [
        (True, ["v"]),
        (False, ["add", "v"]),
        (False, ["cotangent"]),
        (False, ["cotangent"]),
        (True, []),
    ]
    assert found[1].constant is None
    assert found[3].constant is k
    values: dict[Any, Any] = {v: 3.0, h: 5.0, c: 7.0, k: 11.0}
    compute([each.constant for each in found if isinstance(each.constant, Symbol)], values, NAMESPACE, 0.0)
    assert [values[found[i].constant] for i in (0, 2, 4)] == [-22.0, -11.0, -11.0]


def test_a_formula_without_a_primitive_has_none() -> None:
    class Bare(Surrogate):
        width: float = parameter(1.0, above=0)

        @staticmethod
        def derivative(v: Any, xp: Any, *, width: Any) -> Any:
            return xp.exp(-xp.square(v / width))

    assert Bare().formula.slope(("width",), "width") is None


def test_the_same_formula_is_traced_once() -> None:
    from arcana.surrogate import FastSigmoid

    traces = [FastSigmoid(scale=scale).formula.slope(("scale",), "scale") for scale in (1.0, 2.0)]
    assert traces[0] is traces[1] is not None
    assert functools.reduce(lambda x, y: x and y, [traces[0].mask is None, traces[0].kept.value == "potential"])


@pytest.mark.parametrize(
    ("name", "key", "settled"),
    [
        ("atan", "slope", True),
        ("fast_sigmoid", "scale", True),
        ("escape_exponential", "width", False),
        ("leaky_step", "leak", False),
    ],
)
def test_whether_any_large_number_stands_for_infinity(name: str, key: str, settled: bool) -> None:
    """Where h has come to 0, or the choice is another one: not where h stays, nor where the slope is v itself."""
    surrogate = definitions.get(name)
    assert _settles(surrogate.formula, tuple(surrogate.numbers), key) is settled
