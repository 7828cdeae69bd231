"""Two runs set side by side: shapes, thresholds, what a neuron adds up and its bound, and the dtype that products show."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from made import evidence

from arcana.testing import Layer, Run
from arcana.testing._rounding import UNIT
from arcana.testing._sides import Pair, canonical, common_products, products_dtype, side_by_side

U = UNIT["float32"]


def pairs(one: Run, other: Run | None = None, threshold: Any = 1.0, terms: int | None = None, **said: Any) -> list[Pair]:
    return list(side_by_side(one, other or one, threshold, terms, **said).pairs)


def quiet(*widths: int, inputs: Any = None, **more: Any) -> Run:
    layers = {f"lif{i}": Layer(np.zeros((3, 2, width), np.float32), np.zeros((3, 2, width))) for i, width in enumerate(widths)}
    return Run(layers, inputs, **more)


def test_a_neuron_adds_up_the_layer_before_its_own_and_four_more() -> None:
    """Bias, leak, current and reset are the four; the first layer adds up its inputs, of which either run may tell."""
    for inputs, first in ((None, 1024), (np.zeros((3, 2, 11)), 11), (np.zeros((3, 2, 5, 11)), 55)):
        for one, other in ((None, inputs), (inputs, None)):
            found = pairs(quiet(3, 5, 7, inputs=one), quiet(3, 5, 7, inputs=other))
            assert [pair.terms for pair in found] == [first + 3 + 4, 3 + 5 + 4, 5 + 7 + 4]
    assert [pair.terms for pair in pairs(quiet(3, 5, 7), terms=9)] == [13, 13, 13]


def test_a_bound_is_that_of_what_was_seen_and_at_least_nothing_beside_the_threshold() -> None:
    """4·u·sqrt(2·terms·steps)·size until the runs part; of a layer that is zero a thousandth of a unit of its threshold."""
    v = np.array([[[1.0, -3.0]], [[2.0, 0.5]], [[9.0, 8.0]]], np.float32)
    other, fired = 2 * v, np.arange(3)[:, None, None] == 1
    other[:, 0, 0] /= 2
    (pair,) = pairs(Run({"a": Layer(v, 0 * v)}), Run({"a": Layer(other, fired & (v < 1))}), terms=6)
    # The second neuron parts at step 1, whose potentials count, and later ones do not; the third quartile is what is typical.
    size = np.array([[4.75, 6.0], [5.0, 6.0], [5.0, 6.0]])
    np.testing.assert_allclose(pair.bound[:, 0], 4 * U * np.sqrt(2 * 10 * np.arange(1, 4))[:, None] * size)
    for threshold in (2.0, -2.0):
        np.testing.assert_allclose(pairs(quiet(3), threshold=threshold)[0].bound, 1e-3 * U * 2 * np.ones((3, 2, 3)))
    integrator = Run({"a": Layer(np.zeros((3, 2, 3), np.float32))})
    assert not pairs(integrator)[0].bound.any()
    # Inputs and weights say that large terms cancelled in the first layer, and the numbers of a later one nothing.
    inputs, weight = np.full((3, 2, 4), 5.0), np.full((4, 4), 2.0)
    first, second = pairs(quiet(4, 4, inputs=inputs, parameters={"w": weight}), terms=6)
    np.testing.assert_allclose(first.bound[:, 0, 0], 4 * U * np.sqrt(2 * 10 * np.arange(1, 4)) * 40)
    np.testing.assert_allclose(second.bound, 1e-3 * U * np.ones((3, 2, 4)))


def test_terms_that_cancel_show_in_the_first_layer_alone() -> None:
    """Multiples of 2⁻¹³ that rounding sets apart are left of terms of 2⁻¹³/2u; a later layer adds up spikes."""
    one = np.broadcast_to(1.5 + (2 * np.arange(16) + 1) * 2.0**-13, (2, 1, 16)).astype(np.float32)
    other = one.copy()
    other[:, 0, 3] += 2.0**-12
    first, second = pairs(*(Run({f"lif{i}": Layer(v, 0 * v) for i in (0, 1)}) for v in (one, other)), threshold=9.0, terms=6)
    roots = 4 * U * np.sqrt(2 * 10 * np.arange(1, 3))
    np.testing.assert_allclose(first.bound[:, 0, 0], roots * 2.0**-13 / (2 * U))
    np.testing.assert_allclose(second.bound[:, 0, 0], roots * np.quantile(other[0, 0], 0.75), rtol=1e-3)


def test_axes_come_in_the_order_of_time_samples_and_neurons() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(canonical(array, ("row", "time", "sample")), array.transpose(1, 2, 0))
    np.testing.assert_array_equal(canonical(array, ("row", "sample", "time")), array.transpose(2, 1, 0))
    np.testing.assert_array_equal(canonical(array, ("sample", "time")), array.transpose(1, 0, 2))
    np.testing.assert_array_equal(canonical(array, ("row", "time")), array.transpose(1, 0, 2)[:, None])
    np.testing.assert_array_equal(canonical(array, ()), array)
    np.testing.assert_array_equal(canonical(array[0], ()), array[0][:, None])
    layer = Layer(array, array > 99)
    (pair,) = pairs(Run({"a": layer}, axes=("row", "sample", "time")), threshold=30.0)
    assert (pair.shape, pair.one.potentials.shape) == ((3, 2), (4, 3, 2))
    (pair,) = pairs(Run({"a": layer}, axes=("time", "row")), threshold=30.0)
    assert (pair.shape, pair.one.potentials.shape) == ((3, 4), (2, 1, 12))
    (pair,) = pairs(Run({"a": Layer(array[0], array[0] > 99)}), threshold=30.0)
    assert (pair.shape, pair.one.potentials.shape) == ((4,), (3, 1, 4))
    (pair,) = pairs(Run({"a": layer}), threshold=30.0)
    assert (pair.shape, pair.one.potentials.shape) == ((3, 4), (2, 3, 4))


def test_a_step_has_the_shape_that_the_first_run_gives_it() -> None:
    v = np.zeros((3, 4))
    plain, named = Run({"a": Layer(v, v)}), Run({"a": Layer(v[None], v[None])}, axes=("sample", "time", "neuron"))
    assert pairs(plain, named)[0].shape == (4,)
    assert pairs(named, plain)[0].shape == (1, 4)
    rows = Run({"a": Layer(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)))}, axes=("time", "row"))
    flat = Run({"a": Layer(np.zeros((2, 1, 12)), np.zeros((2, 1, 12)))})
    assert pairs(rows, flat)[0].shape == (3, 4)


def test_the_dtype_of_a_layer_is_the_coarsest_that_its_numbers_show_or_that_is_said() -> None:
    thirds = np.full((2, 1, 3), 1 / 3)

    def dtype(one: Any, other: Any = thirds, said: str = "") -> str:
        sides = [Run({"a": Layer(each, 0 * each, dtype=said)}) for each in (one, other)]
        return pairs(*sides)[0].dtype

    assert dtype(thirds) == "float64"
    # The coarser of two runs; and float64 arrays of coarser numbers are of float32, which is what they were made from.
    for held in ("float32", "float16"):
        assert dtype(thirds.astype(held).astype(np.float64)) == "float32"
        assert dtype(thirds, thirds.astype(held)) == dtype(thirds.astype(held)) == held
    assert dtype(thirds, said="float16") == "float16"
    assert dtype(thirds.astype(np.float16), said="float32") == "float16"
    assert dtype(thirds.astype(np.float32), thirds.astype(np.float32), said="tensorfloat32") == "tensorfloat32"
    assert pairs(Run({"a": Layer(thirds, 0 * thirds)}), dtype="float16")[0].dtype == "float16"


def test_margins_have_the_threshold_added_that_was_taken_off() -> None:
    v = np.array([[[0.25, 1.5, 0.5]], [[0.75, 0.25, 2.0]]], np.float32)
    fired = v >= np.array([0.5, 1.0, 2.0])
    limits = np.array([0.5, 1.0, 2.0], np.float32)
    (pair,) = pairs(Run({"a": Layer(v - limits, fired, limits, margins=True)}), Run({"a": Layer(v, fired, limits)}))
    for side in pair.sides:
        np.testing.assert_array_equal(side.potentials, v)
        np.testing.assert_array_equal(side.threshold, np.broadcast_to(limits, v.shape))
    assert (pair.offset, pair.shared_threshold) == (False, False)
    # What was taken off is not known, and is probably what the caller gives: one a neuron or one for all.
    for given, taken in ((limits, limits), ({"a": 0.5}, [0.5] * 3), ({"b": 0.5}, [0.0] * 3), (np.ones((2, 1, 3)), [0.0])):
        names = {"a": Layer(v - limits, fired, margins=True), "b": Layer(v, v >= 0.5, 0.5)}
        first = pairs(Run(names), threshold=given)[0]
        assert (first.offset, first.taken.tolist()) == (True, list(taken))
        np.testing.assert_array_equal(first.one.potentials, v - limits)
        assert not first.one.threshold.any()


def test_a_threshold_is_rounded_as_the_runs_have_it_and_that_of_each_step_is_one_run_s() -> None:
    v = np.zeros((3, 2, 4), np.float16)
    v[0, 0, 0] = 1
    run = Run({"a": Layer(v, v > 0)})
    (pair,) = pairs(run, threshold=0.1)
    assert pair.one.threshold.flat[0] == float(np.float16(0.1))
    assert pairs(run, threshold=0.1, dtype="tensorfloat32")[0].one.threshold.flat[0] == float(np.float32(0.1))
    for limit, shared in ((np.full((3, 1, 1), 0.5), True), (np.full((1, 2, 4), 0.5), False), (np.full((2, 4), 0.5), False)):
        assert pairs(run, threshold=limit)[0].shared_threshold == shared
    two = Run({"a": Layer(v[:2], v[:2] > 0)})
    assert pairs(two, threshold=np.full((2, 1, 1), 0.5))[0].shared_threshold
    with pytest.raises(ValueError, match=r"threshold: shape \(5,\) does not broadcast to layer 'a', \(3, 2, 4\)"):
        pairs(run, threshold=np.ones(5))
    # Where a neuron may not fire is said by the run.
    rest = np.array([[True, False, False, False]])
    (pair,) = pairs(Run({"a": Layer(v, v > 0, refractory=rest)}))
    np.testing.assert_array_equal(pair.one.allowed, np.broadcast_to(~rest, v.shape))


@pytest.mark.parametrize("index", [0, 1])
def test_a_spike_is_near_where_both_potentials_lie_within_the_bound_of_the_threshold(index: int) -> None:
    def near(one: float, other: float, samples: slice = slice(None)) -> bool:
        v = np.full((3, 2, 4), 0.25), np.full((3, 2, 4), 0.25)
        v[index][1, 1, 2], v[1 - index][1, 1, 2] = one, other
        pair = evidence(*v, bound=0.25).pair
        fired = np.zeros((3, 2, 4), bool)
        fired[1, 1, 2] = True
        return dataclasses.replace(pair, other=dataclasses.replace(pair.other, fired=fired)).near(1, samples)

    assert near(0.75, 1.25)
    assert not near(0.7499, 1.0)
    assert not near(1.0, 1.2501)
    # Only samples that are asked for count.
    assert near(0.5, 1.0, slice(0, 1))


def halves(first: Any, *, finer: int = 101, neurons: int = 200, **settings: Any) -> Layer:
    """A layer whose first step holds some numbers, and of whose second so many are finer than half precision."""
    later = np.where(np.arange(neurons) < finer, 1 / 3, 0.5)
    v = np.stack([np.broadcast_to(first, (neurons,)), later])[:, None].astype(np.float32)
    return Layer(v, np.zeros(v.shape), **settings)


def odd(distinct: int, neurons: int = 200) -> Any:
    """So many distinct numbers of float16, which bfloat16 does not have."""
    return 1 + (2 * (np.arange(neurons) % distinct) + 1) / 1024


def test_many_distinct_numbers_of_the_first_step_show_the_dtype_of_products() -> None:
    plain = Run({"a": halves(1 / 3 + np.arange(200) / 7)})
    for distinct, dtype in ((17, "float16"), (16, "")):
        run = Run({"a": halves(odd(distinct))})
        assert products_dtype(side_by_side(run, plain, 9.0, None)) == (dtype, "")
        assert products_dtype(side_by_side(plain, run, 9.0, None)) == ("", dtype)
    # Most numbers of later steps are finer, or the state is in half precision too.
    for finer, dtype in ((101, "float16"), (100, "")):
        run = Run({"a": halves(odd(20), finer=finer)})
        assert products_dtype(side_by_side(run, run, 9.0, None)) == (dtype, dtype)
    # Numbers of all layers count, and what is zero or no number does not.
    both = Run({"a": halves(odd(9)), "b": halves(2 * odd(8))})
    assert products_dtype(side_by_side(both, both, 9.0, None)) == ("float16", "float16")
    none = odd(16)
    none[16:18] = 0, np.inf
    run = Run({"a": halves(none)})
    assert products_dtype(side_by_side(run, run, 9.0, None)) == ("", "")
    # A number of float32 among them denies it.
    none[16:] = 1 / 3
    run = Run({"a": halves(none)})
    assert products_dtype(side_by_side(run, run, 9.0, None)) == ("", "")


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("threshold", [2.0, -2.0])
def test_products_of_margins_are_those_with_the_threshold_and_what_it_has_rounded_does_not_count(
    threshold: float, sign: int
) -> None:
    """A number that float16 does not have, on both sides of the share of a threshold that taking it off rounds."""
    for by, dtype in ((-(2.0**-13), "float16"), (2.0**-13, "")):
        first = odd(20)
        first[3] = sign * 2.0**-11 * (1 + by)
        v = halves(0.0).potentials.astype(np.float64)
        v[0] = first - threshold
        run = Run({"a": Layer(v, np.zeros(v.shape), margins=True)})
        assert products_dtype(side_by_side(run, run, threshold, None)) == (dtype, dtype)


QUARTILE = 15
"""The place of the third quartile of 21 numbers."""


def apart(spacings: int, *, at: int = 0, quartile: float = 1.26, size: float = 1.0, margins: bool = False) -> str:
    """The dtype of both runs' products, of which one of 21 in the first step is some spacings of float16 apart."""
    first = 1 + 2.0**-10 * np.arange(21)
    first[QUARTILE:] = 1.9 + 2.0**-10 * np.arange(6)
    first[QUARTILE], first[at] = quartile, size
    ours = first.astype(np.float16).astype(np.float64)
    theirs = ours.copy()
    theirs[at] += 2.0**-10 * spacings
    layers = [halves(each - margins, neurons=21, finer=11, margins=margins) for each in (ours, theirs)]
    return common_products(side_by_side(*(Run({"a": each}) for each in layers), 1.0 if margins else 9.0, None))


@pytest.mark.parametrize("margins", [False, True])
def test_products_of_both_runs_lie_some_units_of_their_dtype_apart(margins: bool) -> None:
    """Eight units of its own size or of the third quartile: with 1.26 for it five spacings of two units, and fewer with 1.2."""
    for sign in (1, -1):
        assert apart(5 * sign, margins=margins) == "float16"
        assert apart(6 * sign, margins=margins) == ""
        assert apart(5 * sign, quartile=1.2, margins=margins) == ""
        # Of the size of the number itself.
        assert apart(7 * sign, at=20, size=1.875, margins=margins) == "float16"
        assert apart(8 * sign, at=20, size=1.875, margins=margins) == ""
    # Sums of weights on a coarse grid are exact in both runs.
    assert apart(0, margins=margins) == ""


def test_a_layer_of_no_numbers_shows_no_products_and_one_run_alone_neither() -> None:
    none = halves(np.nan)
    ours, theirs = (halves(odd(20) + by * (np.arange(200) == 3)) for by in (0.0, 2.0**-10))
    sides = side_by_side(Run({"b": none, "a": ours}), Run({"b": none, "a": theirs}), 9.0, None)
    assert common_products(sides) == "float16"
    plain = Run({"a": halves(odd(20) + 2.0**-20)})
    assert common_products(side_by_side(Run({"a": ours}), plain, 9.0, None)) == ""
    assert common_products(side_by_side(plain, Run({"a": ours}), 9.0, None)) == ""
