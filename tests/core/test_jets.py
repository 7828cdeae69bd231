"""The chain rule of `arcana.testing`'s second-order rows, against derivatives worked out by hand and by mpmath."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

import numpy as np
import pytest
import sympy
from every import every_parameter, every_surrogate
from known_values import KNOWN
from mpmath import mp, mpf

from arcana.surrogate import Sigmoid, Surrogate, get, parameter
from arcana.testing._second_order import CIRCUITS, POINTS, Jet, Partials, differences, expected, loop, paces_of, second_order_rows


def test_a_jet_is_the_polynomial_s_derivatives() -> None:
    p, v = Jet.variable(np.array([2.0]), 0), Jet.variable(np.array([-3.0]), 1)
    # f = (p² v − 4) v + 1 − (3 − v) p = p² v² − 4 v + 1 − 3 p + v p at p = 2, v = −3.
    f = (p * p * v - 4) * v + 1 - (3 - v) * p
    assert f.value == 36 + 12 + 1 - 6 - 6
    assert [float(x[0]) for x in f.first] == [2 * 2 * 9 - 3 - 3, 2 * 4 * -3 - 4 + 2]
    assert [float(x[0]) for x in f.second] == [2 * 9, 4 * 2 * -3 + 1, 2 * 4]


def test_jets_of_any_numbers_are_those_of_polynomials() -> None:
    """Of c₀ + c₁·p + c₂·v + c₃·p²/2 + c₄·p·v + c₅·v²/2 the jet at 0 is (c₀; c₁, c₂; c₃, c₄, c₅), by sympy."""
    p, v, x = sympy.symbols("p v x")

    def polynomial(c: tuple[int, ...], first: Any, second: Any) -> Any:
        return c[0] + c[1] * first + c[2] * second + c[3] * first**2 / 2 + c[4] * first * second + c[5] * second**2 / 2

    def jet(of: Any) -> Jet:
        at = [
            float(sympy.diff(of, (p, i), (v, j)).subs({p: 0, v: 0})) for i, j in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
        ]
        return Jet(at[0], (at[1], at[2]), (at[3], at[4], at[5]))

    a, b = (polynomial(c, p, v) for c in ((2, 3, 5, 7, 11, 13), (17, 19, 23, 29, 31, 37)))
    one, other = jet(a), jet(b)
    assert one == Jet(2, (3, 5), (7, 11, 13))
    for found, of in (
        (one + other, a + b),
        (one - other, a - b),
        (one * other, a * b),
        (one + 3, a + 3),
        (3 + one, a + 3),
        (one - 3, a - 3),
        (3 - one, 3 - a),
        (one * 3, 3 * a),
        (3 * one, 3 * a),
    ):
        assert found == jet(of)
    # G(x, p) around the value of a, (G; G_x, G_p; G_xx, G_xp, G_pp) = (17; 19, 23; 29, 31, 37).
    around = polynomial((17, 19, 23, 29, 31, 37), x - one.value, p)
    assert one.through(Partials(17, 19, 23, 29, 31, 37)) == jet(around.subs(x, a))
    assert Jet.variable(np.float64(5), 0) == Jet(5, (1, 0), (0, 0, 0))
    assert Jet.variable(np.float64(5), 1) == Jet(5, (0, 1), (0, 0, 0))


def test_the_circuits_are_what_they_are_called() -> None:
    """Each of a function that tells every operation from another: the square, at points in order on both sides of 0."""
    assert sorted(set(POINTS)) == list(POINTS)
    assert POINTS[0] < 0 < POINTS[-1]
    v = np.array(POINTS)
    z, u = v**2, 0.9 * 0.3 * v + v
    fired = (u - 0.97) ** 2
    after = 0.9 * (u - fired) + v
    expected = {
        "products of spikes": z * (z + (0.41 - v) ** 2),
        "spikes of spikes": z * (0.5 * z + 0.6 * v) ** 2,
        "a recurrent neuron": 0.7 * fired * u + (after - 0.97) ** 2 * after,
    }
    assert expected.keys() == CIRCUITS.keys()
    for name, circuit in CIRCUITS.items():
        np.testing.assert_allclose(circuit(np.square, v, loop), expected[name], rtol=1e-12)


def test_the_numbers_of_the_issue() -> None:
    """Worked out by hand from h = a·e/(1 + e)², e = exp(−a·v): 2h² + 2·s·h′, and h′(u)·(a·h + b)² + h(u)·a·h′ of two in turn."""
    partials = differences(Sigmoid(slope=4.0))
    v = np.array([0.3, 0.31])
    squared = expected(lambda spike, v, repeat: spike(v) * spike(v), v, partials)
    assert squared.second[2][0] == pytest.approx(-2.04453441, rel=1e-8)
    e = np.exp(-4 * v)
    h, slope = 4 * e / (1 + e) ** 2, -16 * e * (1 - e) / (1 + e) ** 3
    np.testing.assert_allclose(squared.second[2], 2 * h**2 + 2 * slope, rtol=1e-7)
    in_turn = expected(lambda spike, v, repeat: spike(0.5 * spike(v) + 0.5 * v), v, partials)
    u = 0.5 + 0.5 * v
    f = np.exp(-4 * u)
    hu, slope_u = 4 * f / (1 + f) ** 2, -16 * f * (1 - f) / (1 + f) ** 3
    np.testing.assert_allclose(in_turn.second[2], slope_u * (0.5 * h + 0.5) ** 2 + hu * 0.5 * slope, rtol=1e-7)


def truth(surrogate: Surrogate) -> Any:
    """The partial derivatives from the paper's closed forms; those that have none, by mpmath's own differences."""
    known, paces = KNOWN[surrogate.name], paces_of(surrogate)
    own = {name: value for name, value in surrogate.settings.items() if name != "fires_at_threshold"}

    def at(p: mpf) -> dict[str, Any]:
        return {**own, **{name: mpf(value) + paces.get(name, 0.0) * p for name, value in surrogate.numbers.items()}}

    def by_p(x: mpf, p: mpf) -> mpf:
        return sum((paces[name] * known.by_parameter[name](x, **at(p)) for name in paces), mpf(0))

    def one(x: float) -> tuple[float, ...]:
        place = mpf(x)
        return tuple(
            float(each)
            for each in (
                x >= 0,
                known.h(place, **at(mpf(0))),
                by_p(place, mpf(0)),
                known.slope(place, **at(mpf(0))),
                mp.diff(lambda p: known.h(place, **at(p)), 0) if paces else 0,
                mp.diff(lambda p: by_p(place, p), 0) if paces else 0,
            )
        )

    return lambda x: Partials(*np.array([one(each) for each in x]).T)


@every_surrogate
def test_the_differences_are_the_paper_s_derivatives(name: str) -> None:
    surrogate, v = get(name), np.array(POINTS)
    for circuit in CIRCUITS.values():
        found = expected(circuit, v, differences(surrogate))
        exact = expected(circuit, v, truth(surrogate))
        for ours, theirs in zip((*found.first, *found.second), (*exact.first, *exact.second), strict=True):
            counts = np.isfinite(ours)
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours[counts], theirs[counts], rtol=2e-5, atol=2e-6 * scale + 1e-9)
        # What lies at a kink of some surrogate is left out; for none of them is it much.
        assert np.mean([np.isfinite(each) for each in found.second]) > 0.6


def test_a_definition_without_a_primitive_moves_no_parameter() -> None:
    class Bare(Surrogate):
        width: float = 1.0

        @staticmethod
        def derivative(v, xp, *, width):
            return xp.reciprocal(xp.square(v * width) + 1)

    assert paces_of(Bare()) == {}
    v = np.array([0.3, -0.4])
    by_xx = expected(lambda spike, v, repeat: loop(lambda z: spike(z), v, 1), v, differences(Bare())).second[2]
    np.testing.assert_allclose(by_xx, -2 * v / (1 + v**2) ** 2, rtol=1e-6)


def test_a_kink_in_a_parameter_is_left_out_however_small_the_rise_is() -> None:
    class Bent(Surrogate):
        scale: float = 2.0

        @staticmethod
        def derivative(v, xp, *, scale):
            return xp.zeros_like(v) + 1e-6

        @staticmethod
        def primitive(v, xp, *, scale):
            return xp.relu(v * scale - 1) * 1e-6 + 0.5

    by_pp = differences(Bent())(np.array([0.5, 0.25, 2.0])).by_pp
    assert np.isnan(by_pp).tolist() == [True, False, False]


def test_a_second_derivative_is_one_where_two_steps_agree() -> None:
    """Of A·(s − 1)²/2 + v·(s − 1)⁴ they are A, and by the coarser step 8e-6·v more."""

    class Quartic(Surrogate):
        scale: float = 1.0

        @staticmethod
        def derivative(v, xp, *, scale):
            return xp.zeros_like(v)

        @staticmethod
        def primitive(v, xp, *, scale):
            square = xp.square(scale - 1)
            return xp.where(v < 0, -10.0, xp.where(v > 1, 1.0, 0.0)) * square * 0.5 + v * xp.square(square)

    found = differences(Quartic())
    # 0.01 · 1 + 0.001 · 10 is 8e-6 · 2500.
    by_pp = found(np.array([-1.0, 2499.0, 2501.0])).by_pp
    np.testing.assert_allclose(by_pp, [-10, 1, np.nan], rtol=1e-6)
    # Where all of them are near 0, 1e-6 stands for the largest.
    np.testing.assert_array_equal(np.isnan(found(np.array([1.249e-4, 1.251e-4])).by_pp), [False, True])
    assert found(np.array([-0.1, 0.0, 0.1])).value.tolist() == [0, 1, 1]


@every_parameter
def test_a_parameter_moves_unless_its_default_is_the_end_of_its_domain(name: str, key: str) -> None:
    surrogate = get(name)
    low, high = type(surrogate).domain(key, "float64")
    assert (key in paces_of(surrogate)) == (low < surrogate.numbers[key] < high)


def test_each_parameter_moves_a_quarter_faster_than_the_one_before_and_stays_in_its_domain() -> None:
    """By twice the step of the second difference, 0.002 of its size: one that is 0 moves as one of 1 does."""

    class Several(Surrogate):
        one: float = parameter(-2.0)
        at_zero: float = parameter(0.0)
        near: float = parameter(1.0, above=1 - 0.0031)
        too_near: float = parameter(1.0, above=1 - 0.0034)
        high: float = parameter(2.0, below=2.0081)
        too_high: float = parameter(2.0, below=2.0089)

        @staticmethod
        def derivative(v, xp, *, one, at_zero, near, too_near, high, too_high):
            return xp.zeros_like(v)

        primitive = derivative

    assert paces_of(Several()) == {"one": -2.0, "at_zero": 1.25, "near": 1.5, "high": 4.0}


class Side:
    """Stands for a backend whose arrays are jets: the exact products, or with a fault."""

    NONLINEAR = ("pairs", "along")
    ONE_CIRCUIT: ClassVar = {"along": "spikes of spikes"}
    REPEATS: ClassVar = {}
    WRAPPERS: ClassVar = {}
    transforms, functions = None, np
    double_precision = contextlib.nullcontext
    from_numpy = to_numpy = staticmethod(np.asarray)

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        # Lists, which only `to_numpy` makes arrays of.
        self.PRODUCTS = {"pairs": lambda *given: self.pairs(*given).tolist(), "along": lambda *given: self.along(*given).tolist()}

    def spike(self, x: Jet, surrogate: Surrogate, **numbers: Any) -> Jet:
        assert {name: each.first[0].tolist() for name, each in numbers.items()} == {
            name: [pace] * len(POINTS) for name, pace in paces_of(surrogate).items()
        }
        partials = truth(surrogate)
        return x.through((_linear(partials) if self.fault == "spikes are constants" else partials)(x.value))

    def pairs(self, f: Any, p: Any, v: Any, c: Any, dp: Any, dv: Any) -> Any:
        assert not p.any()
        pp, pv, vv = f(Jet.variable(p, 0), Jet.variable(v, 1)).second
        if self.fault == "no mixed part":
            pv = 0 * pv
        found = c * np.stack([pp * dp + pv * dv, pv * dp + vv * dv])
        if self.fault == "NaN":
            found[0, 0] = np.nan
        return found

    def along(self, f: Any, p: Any, v: Any, c: Any, dp: Any, dv: Any) -> Any:
        by_p, by_v = self.pairs(f, p, v, c, dp, dv)
        return (by_p * dp + by_v * dv)[None]


def _linear(partials: Any) -> Any:
    """As a rule has them that gives the first derivative and takes it for a constant."""
    return lambda x: Partials(*partials(x)[:3], *(0 * x for _ in range(3)))


SURROGATES = [Sigmoid(slope=4.0), get("s2nn"), get("ste")]


def test_exact_products_pass_and_each_circuit_has_a_row() -> None:
    rows = list(second_order_rows(SURROGATES, "side", Side()))
    assert [row for _, row in rows if not row.passed] == []
    named = [(row.where, row.what.removeprefix("second order of ")) for surrogate, row in rows if surrogate is SURROGATES[1]]
    assert named == [*(("side pairs", circuit) for circuit in CIRCUITS), ("side along", "spikes of spikes")]


@pytest.mark.parametrize("fault", ["spikes are constants", "no mixed part", "NaN"])
def test_a_wrong_product_fails(fault: str) -> None:
    rows = list(second_order_rows(SURROGATES[:2], "side", Side(fault)))
    failing = {(surrogate.name, row.what) for surrogate, row in rows if not row.passed and row.where == "side pairs"}
    every = {(surrogate.name, f"second order of {circuit}") for surrogate in SURROGATES[:2] for circuit in CIRCUITS}
    assert failing == every


def test_a_row_with_nothing_to_compare_fails() -> None:
    class Rough(Surrogate):
        """Nowhere smooth: h jumps between any two floats."""

        @staticmethod
        def derivative(v, xp):
            return xp.where(xp.fmod(xp.abs(v) * 1e6, 2.0) >= 1.0, xp.exp(v), 0 * v)

    side = Side()
    side.PRODUCTS["pairs"] = lambda f, *arrays: np.zeros((2, len(POINTS)))
    side.NONLINEAR = ("pairs",)
    rows = list(second_order_rows([Rough()], "side", side))
    assert {row.passed for _, row in rows} == {False}
    assert "at 0 of 14 values" in rows[-1][1].detail
