"""What two runs show: the places that are compared, how well a sum of terms fits, and what rounding does not leave."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from made import CONSTANT, CURRENT, NEURONS, SAMPLES, STEPS, evidence, layer, margins

from arcana.testing._evidence import Evidence, Fit, finer, lag
from arcana.testing._flow import grown

ONE = np.ones((1, 1, 1))


def fitted(target: Any, term: Any = 1.0, **settings: Any) -> Fit:
    """The fit of one term to an array, in units of the rounding."""
    target = np.asarray(target, float).reshape(-1, 1, settings.pop("neurons", 1))
    terms = [np.broadcast_to(np.asarray(term, float).reshape(-1, 1, 1), target.shape)]
    return evidence(target, target, bound=1.0).fit(target, terms, np.ones(target.shape, bool), **settings)


def odd(count: int, of: int, by: float = 50.0) -> Any:
    """A constant, and as many places above as below it."""
    return 100 + by * np.concatenate([np.ones(count // 2), -np.ones(count // 2), np.zeros(of - count)])


def test_a_fit_holds_where_it_leaves_rounding_in_all_places_but_one_in_a_hundred() -> None:
    inside, outside = fitted(odd(2, 200)), fitted(odd(2, 198))
    assert (inside.within, inside.holds, outside.holds) == (0.99, True, False)
    assert (inside[0], inside.count, inside.informative) == (pytest.approx(100), 1, 200)
    # Rounding is one bound, and no more.
    assert [fitted(odd(100, 100, by)).within for by in (0.995, 1.005)] == [1.0, 0.0]
    # A number within rounding counts where the fit takes it beyond.
    assert fitted([1.505] * 98 + [0.5, 2.51]).within == pytest.approx(0.98)
    assert fitted([0.5] * 100).informative == 0
    assert fitted([1.0] * 100).informative == 0
    assert fitted([0.5] * 100).within == 0
    assert fitted([1.005] * 100).informative == 100


def test_a_fit_needs_more_places_than_coefficients() -> None:
    assert [fitted(odd(0, places)).holds for places in (9, 8)] == [True, False]
    # One coefficient a neuron.
    assert [fitted([100.0] * places, neurons=2, by_neuron=True).holds for places in (10, 8)] == [True, False]


@pytest.mark.parametrize("by_neuron", [False, True])
def test_a_fit_says_which_share_of_the_square_it_explains(by_neuron: bool) -> None:
    term = np.tile([1.0, -1.0], 20)
    target = 3 * term + np.repeat([1.0, -1.0], 20) * 4
    found = fitted(target, term, by_neuron=by_neuron)
    assert found.share == pytest.approx(9 / 25)
    assert found[0] == pytest.approx(3)
    assert fitted(0 * target, term, by_neuron=by_neuron).share == 0


@pytest.mark.parametrize("by_neuron", [False, True])
@pytest.mark.parametrize("size", [1e-14, 1e14])
def test_a_fit_has_terms_of_any_size(size: float, by_neuron: bool) -> None:
    term = np.linspace(-1, 2, 40).reshape(-1, 1, 1)
    found = evidence(term, term, bound=1.0).fit(300 + 200 * term, [size * term, ONE], term < 3, by_neuron=by_neuron)
    np.testing.assert_allclose(found.coefficients, [[200 / size], [300]])


def test_a_fit_of_nothing_is_none() -> None:
    target, nowhere = np.full((3, 1, 2), 100.0), np.zeros((3, 1, 2), bool)
    found = evidence(target, target)
    for by_neuron, size in ((False, 1), (True, 0)):
        fit = found.fit(target, [ONE], nowhere, by_neuron=by_neuron)
        assert (fit.coefficients.shape, fit.within, fit.share, fit.informative, fit.holds) == ((1, size), 0.0, 0.0, 0, False)
        assert np.isnan(fit[0])


def test_each_neuron_has_its_own_coefficients_and_those_without_places_none() -> None:
    target = np.ones((20, 2, 5)) * np.arange(1, 6) * 100
    mask = np.ones(target.shape, bool)
    mask[:, :, 1] = False
    fit = evidence(target, target, bound=1.0).fit(target, [ONE], mask, by_neuron=True)
    np.testing.assert_allclose(fit.coefficients, [[100, 300, 400, 500]])
    assert (fit[0], fit.informative, fit.within, fit.share) == (350, 160, 1, 1)
    # A term that is 0 throughout has a coefficient of 0.
    fit = evidence(target, target, bound=1.0).fit(target, [ONE, 0 * target], mask, by_neuron=True)
    np.testing.assert_allclose(fit.coefficients, [[100, 300, 400, 500], [0, 0, 0, 0]])
    first = target[:, :, :1]
    plain = evidence(first, first, bound=1.0).fit(first, [ONE, 0 * ONE], first > 0)
    np.testing.assert_allclose(plain.coefficients, [[100], [0]])


def test_of_very_many_neurons_some_are_fitted_and_of_many_places_some() -> None:
    target = np.ones((10, 1, 1000)) * np.arange(1, 1001)
    fit = evidence(target, target, bound=1.0).fit(target, [ONE], target > 0, by_neuron=True)
    assert fit.coefficients.shape == (1, 256)
    assert fit.coefficients.min() == pytest.approx(1)
    assert fit.coefficients.max() == pytest.approx(1000)
    # The coefficients are those of one place in two, and all places are judged.
    target = np.tile([100.0, 300.0], 20_000)
    fit = fitted(target)
    assert (fit[0], fit.within, fit.informative) == (pytest.approx(100), 0.5, 40_000)


def test_a_lag_is_as_long_as_what_it_lags() -> None:
    for steps, expected in ((0, [1, 2, 3]), (1, [0, 1, 2]), (2, [0, 0, 1]), (3, [0, 0, 0]), (5, [0, 0, 0])):
        np.testing.assert_array_equal(lag(np.array([1, 2, 3]), steps), expected)
    np.testing.assert_array_equal(lag(np.array([False, False]), 1, True), [True, False])


def test_places_by_the_spikes_behind_them() -> None:
    """One sample of three neurons, of which the first fires at step 1 and the second at step 3."""
    v = np.zeros((6, 1, 3))
    fired = np.zeros(v.shape, bool)
    fired[1, 0, 0] = fired[3, 0, 1] = True
    apart = np.zeros(v.shape)
    apart[2:, 0, 2] = 1
    apart[2, 0, 0] = apart[4, 0, 0] = apart[5, 0, 0] = apart[5, 0, 1] = -1
    found = evidence(v, apart, fired, bound=0.5)
    np.testing.assert_array_equal(found.since[:, 0, 0], [7, 7, 1, 2, 3, 4])
    np.testing.assert_array_equal(found.never[:, 0].sum(axis=1), [3, 3, 2, 2, 1, 1])
    np.testing.assert_array_equal(found.silent[:, 0].sum(axis=1), [3, 3, 0, 0, 0, 0])
    np.testing.assert_array_equal(found.over[:, 0], apart[:, 0] != 0)
    np.testing.assert_array_equal(
        found.acts[:, 0].astype(int), [[0, 0, 0], [0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]]
    )
    np.testing.assert_array_equal(found.begins[:, 0].sum(axis=1), [3, 3, 2, 1, 0, 0])
    assert found.informative_steps() == 4
    assert found.until_a_spike().informative_steps() == 0
    np.testing.assert_array_equal(found.alone(0), found.never)
    assert found.exchanged().names == ("JAX", "torch")
    np.testing.assert_array_equal(found.exchanged().difference, -apart)


def test_a_difference_of_the_bound_itself_is_rounding() -> None:
    v = np.zeros((4, 1, 20))
    for apart in (0.5, -0.5):
        found = evidence(v, v + apart, bound=0.5)
        assert not found.over.any()
        assert not found.acts.any()
        assert found.calm.all()
        assert not found.moved(found.mask, 1)
        assert found.informative_steps() == 0


def test_what_is_no_number_counts_as_nothing_and_does_not_differ() -> None:
    """A law that looks back on it has nothing there."""
    found = evidence(np.array([[[np.nan, 2.0, np.inf]]]), np.array([[[np.nan, np.inf, 3.0]]]))
    np.testing.assert_array_equal(found.one, [[[0, 2, 0]]])
    np.testing.assert_array_equal(found.other, [[[0, 0, 3]]])
    np.testing.assert_array_equal(found.difference, [[[0, -2, 3]]])


def test_a_difference_shows_in_eight_places() -> None:
    for neurons, shows in ((8, True), (7, False)):
        apart = np.zeros((3, 1, 20))
        apart[0, 0, :neurons] = -1
        found = evidence(0 * apart, apart, bound=0.5)
        assert [found.moved(found.mask, steps) for steps in (1, 2, 3)] == [shows, shows, False]


@pytest.mark.parametrize(
    ("dtype", "constant"),
    [("float64", 2.0**-49), ("float32", 2.0**-20), ("float16", 2.0**-10), ("bfloat16", 2.0**-7)],
)
def test_constants_may_differ_by_some_roundings(dtype: str, constant: float) -> None:
    assert evidence(CURRENT, CURRENT, dtype=dtype).constant == constant


def test_where_there_is_no_bound_a_small_part_of_what_is_typical_is_the_unit() -> None:
    v = np.zeros((1, 1, 4))
    np.testing.assert_allclose(evidence(v, v, bound=np.array([0.0, 1.0, 2.0, 3.0])).scale[0, 0], [2e-3, 1, 2, 3])
    np.testing.assert_array_equal(evidence(v, v, bound=0.0).scale, np.ones(v.shape))


WIDE = 1e-3
NOISE = np.random.default_rng(5).normal(0, 1e-10, (STEPS, SAMPLES, NEURONS))
FIRED = np.random.default_rng(6).uniform(0, 1, CURRENT.shape) < 0.3
RESET = lag(FIRED.astype(float), 1)


def within(other: Any, fired: Any = False, one: Any = None, **settings: Any) -> Evidence | None:
    return finer(evidence(layer() if one is None else one, other + NOISE, fired, bound=WIDE, **settings))


SIZE = float(np.median(layer()))
FINER: dict[str, tuple[Callable[[float], Evidence | None], float, float]] = {
    "a scale": (lambda by: within(layer(gain=1 + by * CONSTANT)), 1.005, 0.995),
    "a leak": (lambda by: within(layer(0.8 + by * CONSTANT)), 1.005, 0.995),
    "a bias": (lambda by: within(layer(bias=by * CONSTANT * SIZE)), 1.005, 0.995),
    "a bias beside negative potentials": (
        lambda by: within(layer(gain=-1, bias=by * CONSTANT * SIZE), one=-layer()),
        1.005,
        0.995,
    ),
    "a bias beside nothing": (lambda by: within(layer(gain=0, bias=by * CONSTANT), one=0 * layer()), 1.005, 0.995),
    # Beside more noise, or what follows spikes is much larger than what was there before.
    "a reset": (lambda by: within(layer() + 999 * NOISE + by * CONSTANT * SIZE * RESET, FIRED), 1.1, 0.8),
    "a reset that keeps a part": (
        lambda by: within(layer() + 999 * NOISE + by * CONSTANT * (lag(layer(), 1) - SIZE) * RESET, FIRED),
        1.1,
        0.8,
    ),
}


@pytest.mark.parametrize("title", FINER)
def test_a_law_within_the_rounding_has_a_bound_of_its_own(title: str) -> None:
    make, inside, outside = FINER[title]
    found = make(inside)
    assert found is not None
    # That of float32 where the noise is less.
    assert found.pair.bound.max() < 2e-6
    if title in ("a scale", "a leak", "a bias"):
        np.testing.assert_allclose(found.pair.bound, 2 * 2.0**-24 * layer(), rtol=1e-9)
    assert make(outside) is None


def test_rounding_follows_no_law() -> None:
    noise = np.random.default_rng(7).normal(0, 1e-4, CURRENT.shape)
    assert finer(evidence(layer(), layer() + noise, bound=WIDE)) is None
    assert finer(evidence(layer(), layer() + noise, FIRED, bound=WIDE)) is None
    # Of margins a constant is the threshold's.
    assert finer(margins(layer(), layer() + 0.5 * noise + 2e-4, bound=WIDE)) is not None


def test_half_of_the_differences_are_left_by_a_law() -> None:
    """A scale of another run beside a difference that changes its sign from place to place, which no law explains."""
    v = np.ones((1, 1, 400)) * np.tile([1.0, -1.0], 200)
    rest = np.repeat([1.0, -1.0], 200)
    for by, told in ((1.01, True), (0.99, False)):
        found = finer(evidence(v, v + 1e-4 * (by * v + rest), bound=WIDE))
        assert (found is not None) == told
        if found is not None:
            # Four times what is left, in the unit of the bound.
            np.testing.assert_allclose(found.pair.bound, 4e-4, rtol=1e-9)


def test_a_law_shows_in_a_hundred_places() -> None:
    for places, told in ((100, True), (99, False)):
        v = np.linspace(1, 2, places)[None, None]
        assert (finer(evidence(v, v * (1 + 1e-4), bound=WIDE)) is not None) == told


def test_what_a_spike_stirs_is_much_larger_than_what_was_there_before() -> None:
    """Differences of both signs in turn follow no law, and after a spike they are eight times as large."""
    v = np.zeros((4, 1, 100))
    fired = (np.arange(4) == 1)[:, None, None] & (np.arange(100) < 50)
    calm = 1e-5 * np.random.default_rng(8).choice([-1.0, 1.0], v.shape)
    after = np.arange(4)[:, None, None] > 1
    for by, stirred, told in ((8.05, 25, True), (7.95, 25, False), (8.05, 24, False)):
        # Of a hundred places after a spike some differ, the others not at all.
        some = (np.arange(4) == 3)[:, None, None] & (np.arange(100) < stirred)
        apart = calm * np.where(some, by * np.sqrt(100 / stirred), np.where(after & (np.arange(100) < 50), 0, 1))
        found = finer(evidence(v, apart, fired, bound=WIDE))
        assert (found is not None) == told
        if found is not None:
            np.testing.assert_allclose(found.pair.bound, 4e-5, rtol=1e-9)


FIRST_STEP = np.where(np.arange(20) < 1, 1.0, 1e-6)[:, None, None]
"""The bound of runs whose first step differs within it."""


def flow(rate: float = 1.5, *, jumps: int = 0, by: float = 1.0, turned: float = 0.0, spread: float = 1.0, quiet: int = 0) -> bool:
    """Whether differences have grown that a step multiplies where the potential is in its top third, and keeps elsewhere.

    Some of 3,800 jump by so many times what a step makes of them, a share changes its sign, some are multiplied by `spread` or
    divided by it, and some neurons have none.
    """
    generator = np.random.default_rng(9)
    v = generator.uniform(0, 1, (20, 10, 20))
    top = v > 2 / 3
    d = np.zeros(v.shape)
    d[0] = 1e-3 * generator.choice([-1.0, 1.0], v.shape[1:])
    jump = np.zeros(v.size, bool)
    jump[generator.choice(np.arange(200, v.size), jumps, replace=False)] = True
    jump = jump.reshape(v.shape)
    for step in range(1, len(v)):
        grown_by = np.where(top[step - 1], rate, 1.0) * np.where(generator.uniform(0, 1, v.shape[1:]) < turned, -1, 1)
        grown_by = grown_by * np.where(top[step - 1], spread ** generator.choice([-1.0, 1.0], v.shape[1:]), 1.0)
        d[step] = grown_by * d[step - 1]
        # What has jumped comes back, so that the next step is judged by itself.
        d[step] = np.where(jump[step], by * np.where(top[step - 1], rate, 1.0) * d[step - 1], d[step])
        d[step] = np.where(jump[step - 1], d[step - 1], d[step])
    d[:, :, 20 - quiet :] = 0
    return grown(evidence(v, v + d, bound=FIRST_STEP))


def test_differences_that_the_flow_of_a_neuron_enlarges_have_grown() -> None:
    assert flow()
    assert flow(1.032)
    # A step that enlarges no difference explains none, and one of either sign is no flow.
    assert not flow(1.029)
    assert not flow(1.0)
    assert flow(turned=0.15)
    assert not flow(turned=0.35)
    # Its growth is a function of the potential: of one size in a range.
    assert flow(spread=2.0)
    assert not flow(spread=3.0)
    # In one place of a hundred more than four times what is typical of the range is something else.
    assert flow(jumps=150, by=3.9)
    assert not flow(jumps=150, by=4.1)
    assert flow(jumps=30, by=4.1)


def test_growth_shows_in_twenty_places_a_range() -> None:
    """In two steps of neurons whose potential differs: 240 places, and one less."""
    for places, shows in ((240, True), (239, False)):
        v = np.linspace(0, 1, places)[None, None] * np.ones((2, 1, 1))
        d = 1e-3 * np.array([1.0, 2.0])[:, None, None] * np.ones(v.shape)
        assert grown(evidence(v, v + d, bound=FIRST_STEP[:2])) == shows


def steep(*, upwards: bool, share: float, by: float = 1.0) -> bool:
    """Whether differences have grown that are enlarged twentyfold by a step in a share of the potentials, at one end of them.

    Elsewhere they grow by a tenth. Of what is enlarged, every sixteenth is enlarged `by` times more.
    """
    v = np.repeat(np.random.default_rng(9).uniform(0, 1, (1, 1, 4000)), 2, axis=0)
    end = v[0] > 1 - share if upwards else v[0] < share
    rate = np.where(end, 20.0, 1.1)
    rate[np.nonzero(end)[0][::16], np.nonzero(end)[1][::16]] *= by
    d = np.stack([np.full(end.shape, 1e-3), 1e-3 * rate])
    return grown(evidence(v, v + d, bound=FIRST_STEP[:2]))


def test_growth_is_measured_by_itself_where_the_potential_is_at_either_end() -> None:
    for upwards in (True, False):
        for share in (0.005, 0.02, 0.06):
            assert steep(upwards=upwards, share=share)
        assert steep(upwards=upwards, share=0.5, by=3.9)
        assert not steep(upwards=upwards, share=0.5, by=4.1)


def runaway(factor: float) -> bool:
    """Whether differences have grown where v becomes 2·v², the last of them `factor` times as much in ten neurons far above all.

    Their first differences are as small as the spacing of floats, so their own growth is not measured.
    """
    v = np.concatenate([np.linspace(0.5, 1, 390), np.linspace(900, 1000, 10)])[None]
    v = np.stack([v, 2 * v**2, 8 * v**4])
    d = 1e-5 * np.stack([np.ones(v[0].shape), 4 * v[0], 16 * v[0] * v[1]])
    d[2, :, -10:] *= factor
    return grown(evidence(v, v + d, bound=FIRST_STEP[:3]))


def test_a_potential_that_runs_away_enlarges_a_difference_as_itself() -> None:
    assert runaway(1.0)
    assert runaway(1.9)
    assert not runaway(2.1)


EDGES = [0, 0.01, 0.03, *np.arange(1, 12) / 12, 0.97, 0.99, 1]
"""The shares of the potentials between which growth is measured where there are few."""


def measured(
    low: float, high: float, *, rate: float = 1.1, by: float = 4.1, beyond: float = 0.0, places: int = 12 * 100 + 99
) -> bool:
    """Whether differences have grown that a step multiplies by a rate in a range of the potential and by twenty elsewhere.

    They show in the range alone. A part of them there, a fifth, is enlarged `by` times more, and by a
    share of the rounding of one step.
    """
    v = np.linspace(0, 1, places)[None, None] * np.ones((2, 1, 1))
    # The one beside an edge may be on either side of it by rounding.
    index = np.arange(places)
    inside = (index > low * (places - 1) - 0.5) & (index < high * (places - 1) - 0.5)
    here = inside & (index > low * (places - 1) + 0.5)
    grows = np.where(inside, rate, 20.0)
    odd = np.flatnonzero(here)[: int(0.2 * here.sum())]
    grows[odd] *= by
    bound = np.where(here & (np.arange(2) > 0)[:, None], 1e-6, 1.0)[:, None]
    d = 1e-5 * np.stack([np.ones(places), grows])[:, None]
    d[1, :, odd] += beyond * 1e-6 / np.sqrt(2)
    return grown(evidence(v, v + d, bound=bound))


@pytest.mark.parametrize(("low", "high"), list(itertools.pairwise(EDGES)))
def test_growth_is_that_of_the_range_of_the_potential(low: float, high: float) -> None:
    """What is enlarged more than four times as much as in its own range is something else, whatever the other ranges do."""
    assert measured(low, high, by=3.9)
    assert not measured(low, high)


def test_a_range_holds_a_hundred_differences_where_there_are_more() -> None:
    for low in (3 / 13, 6 / 13, 9 / 13):
        assert measured(low, low + 1 / 13, by=3.9, places=13 * 100)
        assert not measured(low, low + 1 / 13, places=13 * 100)
    assert measured(0.3, 0.3025, by=3.9, places=40_000)
    assert not measured(0.3, 0.3025, places=40_000)


def test_a_difference_grows_by_four_times_the_rate_and_the_rounding_of_one_step() -> None:
    assert measured(0.25, 1 / 3, by=4, beyond=0.95)
    assert not measured(0.25, 1 / 3, by=4, beyond=1.05)
    # Where differences shrink they may stay as they were.
    assert measured(0.25, 1 / 3, rate=0.125, by=31)
    assert not measured(0.25, 1 / 3, rate=0.125, by=33)


LOWEST = np.arange(1200) < 12
"""The lowest hundredth of potentials that differ all."""


def amplified(own: int = 12, *, age: int = 0, units: float = 9.0) -> bool:
    """Whether differences have grown that a step enlarges tenfold where the potential is lowest, and elsewhere by a tenth.

    They show there alone, where so many have one before; all of them fired so many steps ago, and what was there is so many
    units of the potential.
    """
    v = np.linspace(1, 2, 1200)[None, None] * np.ones((3, 1, 1))
    d = units * 2.0**-24 * v * np.array([0.0, 1.0, 1.0])[:, None, None]
    d[2] *= np.where(LOWEST, 10.0, 1.1)
    d[1, 0, own:12] = 0
    fired = (np.arange(3) == 2 - age)[:, None, None] & LOWEST & (age > 0)
    last = np.arange(3)[:, None, None] == 2
    return grown(evidence(v, v + d, fired, bound=np.where(last & LOWEST & (np.arange(1200) < own), 1e-9, 1.0)))


def test_growth_is_measured_in_twelve_places_or_is_that_of_the_neighbours() -> None:
    assert amplified()
    assert not amplified(11)
    # A reset is no flow.
    assert amplified(age=2)
    assert not amplified(age=1)
    # What is near the spacing of floats shows no growth.
    assert amplified(units=8.1)
    assert not amplified(units=7.9)


@pytest.mark.parametrize(("steps", "expected"), [(1, True), (2, True), (3, True), (4, False)])
def test_a_difference_may_return_within_three_steps(steps: int, expected: bool) -> None:
    """As that of a potential which crosses another: elsewhere differences grow by a tenth a step."""
    v = np.linspace(1, 2, 1200)[None, None] * np.ones((6, 1, 1))
    d = 1e-3 * 1.1 ** np.arange(6)[:, None, None] * np.ones(v.shape)
    d[:, :, LOWEST] = 1e-12
    d[[5 - steps, 5], :, :12] = 1e-3
    last = np.arange(6)[:, None, None] == 5
    for sign in (1, -1):
        assert grown(evidence(v, v + sign * d, bound=np.where(last & LOWEST, 1e-9, 1.0))) == expected
