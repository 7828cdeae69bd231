"""Where the verdicts on two runs turn: each threshold from both sides, by numbers made for it. No framework."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arcana.testing import Layer, Run, first_divergence
from arcana.testing._layers import UNIT, Pair
from arcana.testing._run_causes import _array_difference, _at, _Firing, _fit, _mostly_finer, check_threshold
from arcana.testing._values import Array

U = UNIT["float32"]
X, Y = (np.array([sign * (1.0 + i % 3) for i in range(12) for sign in signs]) for signs in ((1, -1, 1, -1), (1, 1, -1, -1)))
"""Two of mean zero, of one size and orthogonal to each other."""


def mixed(share: float) -> Array:
    """What X explains this share of."""
    return np.sqrt(share) * X + np.sqrt(1 - share) * Y


def kind(ours: Any, theirs: Any) -> str:
    return _array_difference(np.asarray(ours), np.asarray(theirs))[0]


def test_the_two_are_orthogonal() -> None:
    assert (X @ Y, X.sum(), Y.sum()) == (0, 0, 0)
    assert X @ X == Y @ Y == 4 * 4 * (1 + 4 + 9)


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        (1.99 * U, ""),
        (2.01 * U, "dtype"),
        (0.99 * UNIT["float16"], "dtype"),
        (0.99 * UNIT["bfloat16"], "dtype"),
        (1.01 * UNIT["bfloat16"], "weights"),
    ],
)
@pytest.mark.parametrize("size", [1.0, 8.0, 2.0**-20])
def test_weights_apart_by_rounding_by_a_dtype_and_by_more(apart: float, expected: str, size: float) -> None:
    ours = size * np.array([1.0, 0.5, -0.25, 0.125])
    theirs = ours - size * np.array([0.0, 0.0, apart, 0.0])
    assert kind(ours, theirs) == kind(theirs, ours) == expected
    # The larger of the two is the measure, whichever side it is on.
    assert kind(ours, theirs * (1 + 1e-12)) == expected


def test_the_dtype_is_the_finer_one_that_explains_it() -> None:
    ours = np.array([1.0, 0.5])
    for factor, dtype in ((0.99, "float16"), (1.01, "bfloat16")):
        text = _array_difference(ours, ours + np.array([0.0, factor * UNIT["float16"]]))[1]
        assert f"as if one were rounded to {dtype}" in text
        assert f"{factor * UNIT['float16']:.2g} of the largest" in text


@pytest.mark.parametrize(("correlation", "expected"), [(0.19, "seed"), (0.21, "weights"), (-0.19, "seed"), (-0.21, "weights")])
def test_two_draws_are_two_seeds(correlation: float, expected: str) -> None:
    theirs = correlation * X + np.sqrt(1 - correlation**2) * Y
    assert kind(X, theirs) == expected
    assert f"{correlation:.2g}" in _array_difference(X, theirs)[1] or expected == "weights"
    # A constant has no correlation.
    assert kind(X, np.full_like(X, 0.5)) == "weights"


def test_a_transpose_is_one_up_to_rounding() -> None:
    square = np.array([[1.0, 0.5], [0.25, 2.0]])
    moved = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert kind(square, square.T) == "transposed"
    assert kind(square, square.T + 1.9 * 2 * U * moved) == "transposed"
    assert kind(square, square.T + 2.1 * 2 * U * moved) != "transposed"
    oblong = np.arange(6.0).reshape(2, 3)
    assert kind(oblong, oblong.T) == "transposed"
    assert kind(oblong, oblong.T + 0.5) == "weights"
    assert kind(oblong, np.zeros((2, 2))) == "weights"
    assert kind(np.zeros((1, 2, 3)), np.zeros((3, 2, 1))) == "weights"


@pytest.mark.parametrize("share", [0.9, 0.3])
def test_a_fit_has_the_factor_and_the_share(share: float) -> None:
    factor, found = _fit(0.25 * mixed(share), X)
    assert (factor, found) == (pytest.approx(0.25 * np.sqrt(share)), pytest.approx(share))
    infinite = np.where(np.arange(X.size) == 3, np.inf, X)
    assert _fit(0.25 * infinite, infinite) == (pytest.approx(0.25), pytest.approx(1.0))


def test_a_fit_of_three_numbers_or_of_zeros_says_nothing() -> None:
    assert _fit(2 * X[:4], X[:4]) == (pytest.approx(2.0), pytest.approx(1.0))
    assert _fit(2 * X[:3], X[:3]) == (0.0, 0.0)
    assert _fit(X, 0 * X) == _fit(0 * X, X) == (0.0, 0.0)


def pair(ours: Any, theirs: Any, fired: Any = None, bound: float = 1e-6) -> Pair:
    """Two layers of one sample, by step; nothing fires unless it is said where."""
    ours, theirs = (np.stack([np.asarray(x, np.float64) for x in each])[:, None] for each in (ours, theirs))
    spikes = np.zeros(ours.shape, bool) if fired is None else np.stack(fired)[:, None]
    return Pair("a", ours.shape[1:], ours, theirs, spikes, spikes, np.full_like(ours, 9.0), np.full(len(ours), bound))


def cause(found: Pair, step: int, same_given: bool = False) -> str:
    return _at(found, step, np.array([True]), same_given).kind


@pytest.mark.parametrize(("share", "expected"), [(0.985, "scale"), (0.975, "potentials")])
def test_in_proportion_to_the_potential_is_a_scale(share: float, expected: str) -> None:
    found = pair([X], [X + 0.5 * mixed(share)])
    assert cause(found, 0) == expected
    assert cause(found, 0, same_given=True) == {"scale": "leak"}.get(expected, expected)


@pytest.mark.parametrize(("share", "expected"), [(0.985, "leak"), (0.975, "potentials")])
def test_in_proportion_to_the_potential_before_is_the_leak(share: float, expected: str) -> None:
    assert cause(pair([X, Y], [X, Y + 0.5 * mixed(share)]), 1) == expected


def test_of_two_explanations_the_better_one_is_told() -> None:
    near = np.sqrt(0.995) * X + np.sqrt(0.005) * Y
    assert cause(pair([X, near], [X, near + 0.5 * X]), 1) == "leak"
    assert cause(pair([X, near], [X, near + 0.5 * near]), 1) == "scale"


def test_only_those_that_fired_before_differ_is_the_reset() -> None:
    fired = [X > 2, X > 9]
    theirs = Y + np.where(fired[0], 0.5, 0.0)
    assert cause(pair([X, Y], [X, theirs], fired), 1) == "reset"
    # One that did not fire, and by more than rounding: then it is not the reset.
    quiet = int(np.flatnonzero(~fired[0])[0])
    for off, expected in ((0.9e-6, True), (1.1e-6, False)):
        moved = theirs + np.where(np.arange(X.size) == quiet, off, 0.0)
        assert (cause(pair([X, Y], [X, moved], fired), 1) == "reset") is expected
    # What fired is no evidence of the leak.
    assert cause(pair([X, Y], [X, Y + np.where(fired[0], 7.0, 0.5 * X)], fired), 1) == "leak"


@pytest.mark.parametrize(
    ("share", "size", "expected"),
    [(1.0, 3.9, "float16 or TF32"), (1.0, 4.1, "bfloat16"), (0.51, 3.9, "float16 or TF32"), (0.49, 3.9, "")],
)
def test_as_if_rounded_to_a_coarser_dtype(share: float, size: float, expected: str) -> None:
    rough = Y * np.where(np.arange(X.size) < share * X.size, 1.0, 0.0)
    rough *= size * UNIT["float16"] * np.sqrt(np.mean(X**2) / np.mean(rough**2))
    found = _at(pair([X], [X + rough]), 0, np.array([True]), False)
    assert found.kind == ("dtype" if expected else "potentials")
    assert (
        f"of their size, {'as if a part were rounded to ' + expected if expected else 'in proportion to nothing'}"
        in found.evidence
    )
    assert f"differ by {size * UNIT['float16']:.2g} of" in found.evidence
    far = X + rough * 4.1 * UNIT["bfloat16"] / (size * UNIT["float16"])
    assert _at(pair([X], [far]), 0, np.array([True]), False).kind == "potentials"


@pytest.mark.parametrize(("finer", "expected"), [(51, True), (50, False)])
def test_most_numbers_finer_than_a_dtype(finer: int, expected: bool) -> None:
    potentials = np.where(np.arange(100) < finer, 0.1, 0.125).reshape(10, 10)
    assert _mostly_finer(Run({"a": Layer(potentials, potentials > 1)}), "bfloat16") is expected


@pytest.mark.parametrize(("apart", "expected"), [(0.0, ["dtype"]), (0.1, ["potentials"])])
def test_float32_arrays_of_which_one_run_holds_float16_numbers(apart: float, expected: list[str]) -> None:
    """In layers of two sizes; the dtype is no cause where they differ by more than its rounding."""
    generator = np.random.default_rng(0)
    fine = {name: generator.uniform(0, 0.9, (4, 3, size)).astype(np.float32) for name, size in (("a", 5), ("b", 7))}
    coarse = {name: (each + apart * (generator.random(each.shape) < 0.5)).astype(np.float16) for name, each in fine.items()}
    runs = [{name: (each.astype(np.float32), each > 1) for name, each in potentials.items()} for potentials in (fine, coarse)]
    causes = first_divergence(*runs).causes
    assert [each.kind for each in causes] == expected
    assert ("every potential of JAX is a float16 number" in causes[0].evidence) == (apart == 0.0)


def test_where_a_run_begins_to_fire() -> None:
    potentials, threshold = np.array([0.0, 1.0, 2.0, np.nan]), np.array([1.0])
    for fired, comparison, low, high in (
        ([False, True, True, False], ">=", -1.0, 0.0),
        ([False, False, True, False], ">", 0.0, 1.0),
        ([True, True, True, False], "", -np.inf, -1.0),
    ):
        found = _Firing.of(potentials, np.array(fired), threshold)
        assert (found.low, found.high, found.comparison) == (low, high, comparison)
    assert _Firing(-1.0, 0.0).fits(0.0)
    assert not _Firing(0.2, 0.3).fits(0.1)
    assert not _Firing(-0.3, -0.2).fits(0.1)
    assert "fires at 0.5 and does not at 1.5" in _Firing(0.5, -0.5).text(1.0)
    assert "fires at 1 and does not at 1" in _Firing(0.0, 0.0).text(1.0)
    assert "begins to fire above 0.5, at most at 1.5" in _Firing(-0.5, 0.5).text(1.0)


@pytest.mark.parametrize(("units", "wrong"), [(3.9, False), (4.1, True), (-3.9, False), (-4.1, True)])
@pytest.mark.parametrize("level", [1.0, 2.0])
def test_a_threshold_off_by_more_than_a_rounding_is_refused(units: float, wrong: bool, level: float) -> None:
    """Both runs fire from a little above, or below, the threshold that the caller gave."""
    potentials = level * np.array([0.5, 1.0, 1.5]) + level * units * U * np.array([0, 1, 1])
    fired = potentials >= potentials[1]
    # The silent one lies as near below as the firing one above.
    potentials = np.concatenate([potentials, [potentials[1] - 1e-12]])
    fired = np.concatenate([fired, [False]])
    found = Pair(
        "a",
        (4,),
        *(potentials[None, None] for _ in range(2)),
        *(fired[None, None] for _ in range(2)),
        threshold=np.full((1, 1, 4), level),
        bound=np.zeros(1),
    )
    if wrong:
        with pytest.raises(ValueError, match=f"another threshold than {level:g} in both runs"):
            check_threshold((found,), "float32")
    else:
        check_threshold((found,), "float32")


def test_of_a_threshold_for_each_neuron_the_first_is_told() -> None:
    potentials = np.array([[0.5, 1.0], [0.6, 1.1]])
    fired = potentials >= np.array([0.55, 1.05])
    with pytest.raises(ValueError, match="another threshold than 1 in both runs"):
        first_divergence((potentials, fired), (potentials, fired), threshold=np.array([1.0, 2.0]))


def test_a_threshold_explains_the_reset() -> None:
    """Another threshold takes another amount off: one cause is told and not two."""
    potentials = np.linspace(0, 2, 4 * 3 * 50).reshape(4, 3, 50)
    later = potentials + np.where(np.arange(4) > 1, 0.25, 0.0)[:, None, None] * (potentials < 0.9)
    found = first_divergence((potentials, potentials >= 1), (later, later >= 1.05))
    assert [each.kind for each in found.causes] == ["threshold"]
