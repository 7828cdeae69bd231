"""Rules as values: their bounds, equality and errors, and the sums of h that they ask for."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import numpy as np
import pytest
from every import every_surrogate
from known_values import KNOWN
from rules import COUNTING, RULES, derivative, potentials, spikes

from arcana import rules
from arcana._core import AT_ZERO, NUMPY_NAMESPACES, Formula
from arcana.rules import Firing, Heaviside, Integer, Rule, Smooth, Stochastic, Ternary, emitted, from_dict
from arcana.surrogate import FastSigmoid, MultiGaussian, Rectangular, Sigmoid, Surrogate, formula, get

POINTS = np.array([-3.31, -1.93, -0.713, 0.053, 0.417, 1.337, 2.221, 5.617])


@dataclasses.dataclass(frozen=True)
class Octaves(Rule):
    """A rule of a user's own."""

    first: float = 1.0

    @property
    def thresholds(self) -> tuple[tuple[float, int], ...]:
        return ((0.0, 1), (self.first, 1), (3 * self.first, 1))


def formula_of(surrogate: Surrogate, rule: Rule) -> Formula:
    return Formula(type(surrogate), (*surrogate.settings.items(), ("thresholds", rule.thresholds)))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_rule_is_a_value(rule: Rule) -> None:
    for other in (pickle.loads(pickle.dumps(rule)), copy.deepcopy(rule)):
        assert other == rule
        assert hash(other) == hash(rule)
    with pytest.raises(AttributeError):
        rule.most = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert len({*RULES, rule}) == len(RULES)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Integer(0), ValueError, "Integer: most must be from 1 to 128, got 0$"),
        (lambda: Integer(129), ValueError, "got 129; with repeat=False it may be up to 1048576"),
        (lambda: Integer(2**20 + 1, repeat=False), ValueError, "most must be from 1 to 1048576"),
        (lambda: Integer(None), TypeError, "h cannot be repeated without an end; give repeat=False"),
        (lambda: Integer(2.0), TypeError, "most must be a whole number, got 2.0"),  # pyright: ignore[reportArgumentType]
        (lambda: Integer(True), TypeError, "most must be a whole number, got True"),
        (lambda: Integer(4, repeat=1), TypeError, "repeat must be True or False, got 1"),  # pyright: ignore[reportArgumentType]
        (lambda: Integer(4, step=0), ValueError, "step must be from 1e-06 to 8192, got 0"),
        (lambda: Integer(4, step=float("nan")), ValueError, "got nan"),
        (lambda: Integer(4, step="1"), TypeError, "step must be a number, got '1'"),  # pyright: ignore[reportArgumentType]
        (lambda: Integer(4, step=np.ones(3)), TypeError, "an array divides: v = potential / threshold - 1"),  # pyright: ignore[reportArgumentType]
        (lambda: Ternary(-1.0), ValueError, "Ternary: gap must be from 0 to 1.04858e\\+06, got -1.0"),
        (lambda: Ternary(True), TypeError, "gap must be a number, got True"),
    ],
)
def test_a_rule_refuses_what_it_cannot_be(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@dataclasses.dataclass(frozen=True)
class Shifted(Octaves):
    """A rule made of a user's own."""


@pytest.mark.parametrize("rule", [*RULES, Octaves(first=0.5), Shifted(first=2.0)], ids=str)
def test_a_rule_goes_to_json_and_back(rule: Rule) -> None:
    assert from_dict(json.loads(json.dumps(rule.to_dict()))) == rule


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rule": "Integer"}, "missing: parameters"),
        (
            {"rule": "integer", "parameters": {}},
            "unknown rule 'integer'; there are Heaviside, Integer, Smooth",
        ),
        ({"rule": 3, "parameters": {}}, "unknown rule 3; there are Heaviside, "),
        ({"rule": "elsewhere:Own", "parameters": {}}, "unknown rule 'elsewhere:Own'; import elsewhere first"),
        ({"rule": "Ternary", "parameters": {"gap": -1.0}}, "Ternary: gap must be from 0 to"),
    ],
)
def test_a_dict_of_no_rule_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(data)


def test_the_ends_of_the_bounds_of_a_rule_are_allowed() -> None:
    assert [Integer(1).most, Integer(128).most, Integer(2**20, repeat=False).most] == [1, 128, 2**20]
    assert [Integer(4, step=1e-6).step, Integer(4, step=8192).step] == [1e-6, 8192.0]
    assert [Ternary(0).gap, Ternary(2**20).gap] == [0.0, 2.0**20]


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    assert Integer(np.int64(4)) == Integer(4)  # pyright: ignore[reportArgumentType]
    assert type(Integer(np.int64(4)).most) is int  # pyright: ignore[reportArgumentType]
    assert isinstance(Ternary(np.float32(0.5)).gap, float)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("at_threshold", [True, False])
@pytest.mark.parametrize("rule", COUNTING, ids=repr)
def test_the_spikes_threshold_by_threshold(rule: Rule, at_threshold: bool) -> None:
    v = potentials(np.float64)
    with np.errstate(all="ignore"):
        found = rule.spikes(v, Firing(NUMPY_NAMESPACES["float64"], at_threshold))
    np.testing.assert_array_equal(found, spikes(rule, v, at_threshold))


@every_surrogate
@pytest.mark.parametrize("rule", [Integer(4), Integer(3, step=0.3), Ternary(), Ternary(0)], ids=repr)
def test_h_is_the_papers_at_every_threshold(name: str, rule: Rule) -> None:
    formula = formula_of(get(name), rule)
    found = formula.evaluate("derivative", POINTS, NUMPY_NAMESPACES["float64"], get(name).numbers)
    np.testing.assert_allclose(np.broadcast_to(found, POINTS.shape), derivative(rule, get(name), POINTS), rtol=1e-9, atol=1e-12)


@every_surrogate
def test_the_primitive_of_counts_has_the_derivative_of_counts(name: str) -> None:
    surrogate = get(name, gain=-1.5)
    away = np.array([x for x in POINTS if min(abs(abs(x - k) - kink) for k in range(4) for kink in KNOWN[name].kinks) > 1e-2])
    for rule in (Integer(4), Ternary(gap=1.0)):
        formula, xp = formula_of(surrogate, rule), NUMPY_NAMESPACES["float64"]
        rise = [formula.evaluate("primitive", away + d, xp, surrogate.numbers) for d in (1e-5, -1e-5)]
        expected = np.broadcast_to(formula.evaluate("derivative", away, xp, surrogate.numbers), away.shape)
        np.testing.assert_allclose((rise[0] - rise[1]) / 2e-5, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("which", ["derivative", "primitive"])
def test_the_terms_of_a_sum_are_rounded_and_a_single_one_is_not(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a compiler contracts products into sums, that keeps them apart, and is one more operation."""
    xp, calls = NUMPY_NAMESPACES["float64"], []
    monkeypatch.setattr(xp, "rounded", lambda y, v: calls.append(y) or y, raising=False)
    for rule, count in ((Heaviside(), 0), (Integer(1), 0), (Integer(3), 3), (Ternary(), 2)):
        calls.clear()
        formula_of(Sigmoid(), rule).evaluate(which, POINTS, xp, Sigmoid().numbers)
        assert len(calls) == count


def test_one_threshold_at_zero_is_the_formula_without_a_rule() -> None:
    for rule in (Heaviside(), Integer(1), Integer(7, repeat=False), Smooth(), Stochastic()):
        assert rule.thresholds == AT_ZERO


class Below(Surrogate):
    """Of an area that is 1/2, all of it below the threshold."""

    @formula
    def derivative(v: Any, xp: Any) -> Any:
        return xp.where(v < 0, xp.exp(xp.minimum(v, 0.0)) * 0.5, xp.zeros_like(v))

    @formula
    def primitive(v: Any, xp: Any) -> Any:
        return xp.exp(xp.minimum(v, 0.0)) * 0.5


@pytest.mark.parametrize(
    ("surrogate", "message"),
    [
        (FastSigmoid(), "goes from 0.4 to 0.6; write unit_area"),
        (MultiGaussian().unit_area(), "h is below 0 somewhere; take a Sigmoid"),
        (get("log_abs"), "the area of h is inf"),
        (get("squarewave_fourier"), "the area of h is nan"),
        (Sigmoid(gain=-1.0), "the area of h is -1"),
        (get("clipped_ste"), "goes from 0.5 to 1.5; take a Sigmoid"),
        (Below(), "goes from 0 to 0.5; write unit_area"),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_a_probability_needs_a_distribution(surrogate: Surrogate, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stochastic().check(surrogate)


seen: list[Surrogate] = []


@dataclasses.dataclass(frozen=True)
class Asking(Rule):
    """A rule that looks at the surrogate."""

    def check(self, surrogate: Surrogate) -> None:
        seen.append(surrogate)


def emit(rule: Rule, **parameters: Any) -> Any:
    return emitted(rule, np.zeros(3), Sigmoid().formula, parameters, Firing(NUMPY_NAMESPACES["float64"]))


def test_a_rule_checks_a_surrogate_once_and_one_with_arrays_at_two_values_of_each() -> None:
    seen.clear()
    for _ in range(2):
        assert emit(Asking(), slope=3.0, gain=2.0).tolist() == [1.0, 1.0, 1.0]
    assert seen == [Sigmoid(slope=3.0, gain=2.0)]
    seen.clear()
    emit(Asking(), slope=np.full(3, 7.0), gain=2.0)
    usual, other = seen
    assert usual == Sigmoid(slope=4.0, gain=2.0) != other == Sigmoid(slope=other.slope, gain=2.0)


def test_no_surrogate_is_made_for_a_rule_that_does_not_look_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(rules, "_check")
    assert emit(Integer(4), slope=3.0).tolist() == [1.0, 1.0, 1.0]


def test_a_number_that_is_the_probability_fires_nothing() -> None:
    """Numbers from [0, 1): of them a part of G is below G, and at G = 0 none fires."""
    firing = Firing(NUMPY_NAMESPACES["float64"], True, lambda: np.array([0.5, 0.5, 0.5, 0.0]), np.array([0.25, 0.5, 0.75, 0.0]))
    assert Stochastic().spikes(np.zeros(4), firing).tolist() == [1.0, 0.0, 0.0, 0.0]


def test_what_has_area_one_is_a_distribution() -> None:
    for surrogate in (Sigmoid(slope=9.0), FastSigmoid(scale=3.0).unit_area(), Rectangular(width=0.5).unit_area()):
        Stochastic().check(surrogate)
