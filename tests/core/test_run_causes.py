"""Where the verdicts on two runs turn: each threshold from both sides, by numbers made for it. No framework."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from made import evidence

from arcana.testing import Layer, Run, first_divergence
from arcana.testing._cause import Cause
from arcana.testing._evidence import Evidence
from arcana.testing._firing import Firing, _moves, _neurons, slack_of, steps_since_a_spike
from arcana.testing._first_divergence import _spreads
from arcana.testing._given import LARGEST_PERMUTED, array_difference, given_causes
from arcana.testing._products import products
from arcana.testing._rounding import UNIT, coarsest, finer_than, numbers_of, sizes, spacing, terms_of_grid
from arcana.testing._run_causes import _merged
from arcana.testing._sides import Side, Sides, side_by_side

U = UNIT["float32"]
BELOW, ABOVE = np.nextafter(np.float32(1), np.float32([0, 2]))
NAMES = ("torch", "JAX")


def kind(ours: Any, theirs: Any) -> str:
    return array_difference(np.asarray(ours), np.asarray(theirs), NAMES)[0]


@pytest.mark.parametrize(("apart", "expected"), [(1.99 * U, ""), (2.01 * U, "weights"), (UNIT["bfloat16"], "weights")])
@pytest.mark.parametrize("size", [1.0, 8.0, 2.0**-20])
def test_weights_apart_by_rounding_and_by_more(apart: float, expected: str, size: float) -> None:
    ours = size * np.array([1.0, 0.5, -0.25, 0.125])
    theirs = ours - size * np.array([0.0, 0.0, apart, 0.0])
    assert kind(ours, theirs) == kind(theirs, ours) == expected
    # The larger of the two is the measure, whichever side it is on.
    assert kind(ours, theirs * (1 + 1e-12)) == expected


def test_a_dtype_is_one_only_where_rounding_to_it_gives_the_other() -> None:
    ours = np.random.default_rng(0).normal(size=200)
    half = ours.astype(np.float16).astype(np.float64)
    assert kind(ours, half) == kind(half, ours) == "dtype"
    assert "JAX's is the other's rounded to float16" in array_difference(ours, half, NAMES)[1]
    assert "torch's is the other's rounded to float16" in array_difference(half, ours, NAMES)[1]
    # More than half of the numbers must have moved, by more than rounding.
    for moved, expected in ((100, "weights"), (101, "dtype")):
        rounded = np.where(np.arange(200) < moved, 1.5, 0.0)
        finer = rounded + rounded * 2.0**-12 * np.tile([1, -1], 100)
        finer[-1] = 2 * U * finer.max()
        assert kind(finer, rounded) == expected
    # As near, and yet no float16 numbers.
    assert kind(ours, ours + np.abs(half - ours).max() * np.random.default_rng(1).uniform(-1, 1, 200)) == "weights"
    assert kind(ours, ours * (1 - 1e-4)) == kind(ours, ours * 2) == "scale"


def test_two_draws_are_two_seeds_and_one_draw_in_another_order_is_not() -> None:
    draw = np.random.default_rng(0).normal(size=(20, 30))
    assert kind(draw, np.random.default_rng(1).normal(size=(20, 30))) == "seed"
    assert kind(draw, np.random.default_rng(1).normal(size=(20, 30)) + 9) == "weights"
    for other in (draw[::-1], draw[:, np.random.default_rng(2).permutation(30)]):
        assert kind(draw, other) == "permuted"
    assert kind(draw, draw + 0.5 * np.random.default_rng(1).normal(size=(20, 30))) == "weights"
    # A constant has no correlation.
    assert kind(draw, np.full_like(draw, 0.5)) == "weights"


def test_inputs_a_step_late_are_a_delay() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3, 5))
    late = np.concatenate([0 * x[:1], x[:-1]])
    assert array_difference(x, late, NAMES, steps=True) == ("delay", "JAX's come 1 step later")
    assert array_difference(late, x, NAMES, steps=True) == ("delay", "torch's come 1 step later")
    assert array_difference(x, x[:, [1, 2, 0]], NAMES, steps=True)[0] == "permuted"


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


@pytest.mark.parametrize(("finer", "share"), [(51, 0.51), (50, 0.5)])
def test_the_share_of_numbers_finer_than_a_dtype(finer: int, share: float) -> None:
    potentials = np.where(np.arange(100) < finer, 0.1, 0.125).reshape(10, 10)
    assert finer_than([potentials], "bfloat16") == pytest.approx(share)


def test_the_size_of_terms_that_cancelled_shows_in_the_last_bits() -> None:
    generator = np.random.default_rng(0)
    terms = (1000 * generator.uniform(-0.2, 0.2, (64, 50))).astype(np.float32)
    offset = terms.sum(axis=1) - generator.normal(size=64).astype(np.float32)
    one, other = (each.sum(axis=1, dtype=np.float32) - offset for each in (terms, terms[:, ::-1].copy()))
    assert 100 < terms_of_grid(one, other, "float32") < 4000
    # Weights on a grid are exact: there is nothing to see, and nothing to excuse.
    grid = np.round(8 * generator.normal(size=64)) / 8
    assert terms_of_grid(grid, grid, "float32") == 0
    assert terms_of_grid(grid, grid + 0.125, "float32") == 0
    plain = generator.normal(size=(64, 50)).astype(np.float32)
    assert terms_of_grid(plain.sum(axis=1), plain[:, ::-1].sum(axis=1), "float32") < 7


def test_steps_since_a_spike_are_one_more_than_there_are_where_there_was_none() -> None:
    fired = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]], bool)[:, None]
    np.testing.assert_array_equal(steps_since_a_spike(fired)[:, 0], [[5, 5, 5], [1, 5, 5], [2, 5, 5], [1, 5, 5]])


def test_where_a_run_begins_to_fire() -> None:
    potentials, threshold = np.array([0.0, 1.0, 2.0, np.nan]), np.array([1.0])
    for fired, comparison, low, high in (
        ([False, True, True, False], ">=", -1.0, 0.0),
        ([False, False, True, False], ">", 0.0, 1.0),
        ([True, True, True, False], "", -np.inf, -1.0),
    ):
        found = Firing.of(potentials, np.array(fired), threshold)
        assert (found.low, found.high, found.comparison) == (low, high, comparison)
    # On the threshold it does both.
    both = Firing.of(np.ones(2), np.array([True, False]), threshold)
    assert (both.low, both.high, both.comparison) == (0, 0, "")
    assert Firing(-1.0, 0.0).fits(0.0)
    assert not Firing(0.2, 0.3).fits(0.1)
    assert not Firing(-0.3, -0.2).fits(0.1)
    # A comparison may err by so much, and no more.
    assert Firing(0.1, 0.2).fits(0.1)
    assert Firing(-0.2, -0.1).fits(0.1)
    assert "fires at 0.5 and does not at 1.5" in Firing(0.5, -0.5).text(1.0)
    assert "fires at 1 and does not at 1" in both.text(1.0)
    assert "begins to fire above 0.5, at most at 1.5" in Firing(-0.5, 0.5).text(1.0)


@pytest.mark.parametrize(("units", "wrong"), [(3.9, False), (4.1, True), (-3.9, False), (-4.1, True)])
@pytest.mark.parametrize("level", [1.0, 2.0])
def test_a_threshold_off_by_more_than_a_rounding_is_refused(units: float, wrong: bool, level: float) -> None:
    """Both runs fire from a little above, or below, the threshold that the caller gave."""
    potentials = level * np.array([0.5, 1.0, 1.5]) + level * units * U * np.array([0, 1, 1])
    fired = potentials >= potentials[1]
    # The silent one lies as near below as the firing one above.
    run = (np.append(potentials, potentials[1] - 1e-12)[None], np.append(fired, False)[None])
    # float64 arrays of float32's size: the dtype is said.
    if wrong:
        with pytest.raises(ValueError, match=f"another threshold than {level:g} in both runs"):
            first_divergence(run, run, threshold=level, dtype="float32")
    else:
        assert first_divergence(run, run, threshold=level, dtype="float32").verdict == "same"


def test_a_run_that_never_fires_contradicts_no_threshold() -> None:
    """What the other fires at is its own then, and told."""
    potentials = np.linspace(0.0, 1.5, 40).reshape(2, 1, 20)
    fires, silent = (potentials, potentials >= 0.5), (potentials, potentials > 2)
    for runs in ((fires, silent), (silent, fires)):
        assert first_divergence(*runs, threshold=1.0).verdict == "threshold"
    with pytest.raises(ValueError, match="another threshold than 1 in both runs"):
        first_divergence(fires, fires, threshold=1.0)


def test_of_a_threshold_for_each_neuron_the_first_is_told() -> None:
    potentials = np.array([[0.5, 1.0], [0.6, 1.1]])
    fired = potentials >= np.array([0.55, 1.05])
    with pytest.raises(ValueError, match="another threshold than 1 in both runs"):
        first_divergence((potentials, fired), (potentials, fired), threshold=np.array([1.0, 2.0]))


def test_of_a_threshold_for_each_neuron_that_one_run_misses_the_first_is_told() -> None:
    potentials = np.linspace(0, 3, 4 * 3 * 50).reshape(4, 3, 50)
    threshold = np.linspace(1, 1.5, 50)
    found = first_divergence(
        (potentials, potentials >= threshold), (potentials, potentials >= threshold + 0.25), threshold=threshold
    )
    assert [cause.kind for cause in found.causes] == ["threshold"]
    assert "(in JAX 50 of 50 neurons not at the threshold 1 that was given)" in found.causes[0].evidence


def test_a_threshold_explains_the_reset() -> None:
    """Another threshold takes another amount off: one cause is told and not two."""
    potentials = np.linspace(0, 2, 4 * 3 * 50).reshape(4, 3, 50)
    later = potentials + np.where(np.arange(4) > 1, 0.25, 0.0)[:, None, None] * (potentials < 0.9)
    found = first_divergence((potentials, potentials >= 1), (later, later >= 1.05))
    assert [each.kind for each in found.causes] == ["threshold"]


V = np.random.default_rng(0).normal(0.6, 0.5, (40, 4, 20)).astype(np.float32)


def test_a_refractory_period_is_inferred_or_said() -> None:
    """Above the threshold and silent, in both runs."""

    def spikes(period: int) -> Any:
        rest, fired = np.zeros(V.shape[1:], int), []
        for v in V:
            fires = (v >= 1) & (rest <= 0)
            rest = np.where(fires, period, rest - 1)
            fired.append(fires)
        return np.stack(fired)

    found = first_divergence((V, spikes(3)), (V, spikes(3)))
    assert found.verdict == "same"
    assert "stay silent for 3 steps after a spike" in str(found)
    longer, shorter = spikes(3), spikes(2)
    early = int((shorter[3:] & shorter[:-3]).sum())
    for one, other, names in ((longer, shorter, ("torch", "JAX")), (shorter, longer, ("JAX", "torch"))):
        (cause,) = first_divergence((V, one), (V, other)).causes
        told = f"in layer 'layer 1' neurons of {names[0]} stay silent above the threshold for 3 steps after a spike, and in"
        assert (cause.kind, cause.where) == ("refractory", "layer 1")
        assert cause.evidence == f"{told} {names[1]} {early} spikes come 3 or more steps after one"
    rest = ~spikes(3) & (V >= 1)
    run = Run({"a": Layer(V, spikes(3), refractory=rest)})
    assert first_divergence(run, run).notes == ()


def test_sides_have_the_names_that_they_are_given() -> None:
    fired = V >= 1
    one, other = (Run({"a": Layer(V, spikes)}, name=name) for spikes, name in ((fired, "chip"), (V >= 1.1, "simulator")))
    found = first_divergence(one, other)
    assert found.names == ("chip", "simulator")
    assert "layer 'a' in chip begins to fire" in str(found)
    assert found.first is not None
    assert found.first.fired == "chip"
    again = first_divergence(one, other, names=("CPU", "GPU"))
    assert "in GPU it begins" in str(again)
    assert first_divergence(one, other, names=(1, 2)).names == ("1", "2")
    with pytest.raises(ValueError, match="two names that differ"):
        first_divergence(one, other, names=("CPU", "CPU"))


def test_axes_are_said_by_their_names() -> None:
    turned = V.transpose(1, 0, 2)
    one = Run({"a": Layer(turned, turned >= 1)}, axes=("sample", "time"))
    other = turned.copy()
    other[2, 7, 3] = np.nextafter(np.float32(1), np.float32(2))
    turned[2, 7, 3] = np.nextafter(np.float32(1), np.float32(0))
    one, two = (Run({"a": Layer(each, each >= 1)}, axes=("sample", "time")) for each in (turned, other))
    plain = [(each, each >= 1) for each in (turned, other)]
    axes = ("sample", "time")
    for found in (
        first_divergence(one, two),
        first_divergence(*plain, axes="sample time"),
        first_divergence(*plain, axes=axes),
        first_divergence(*plain, axes=list(axes)),
    ):
        assert found.verdict == "rounding"
        assert found.first is not None
        assert (found.first.step, found.first.neuron) == (7, (2, 3))


def test_a_layer_that_never_fires_is_said() -> None:
    found = first_divergence((0 * V, V > 9), (0 * V, V > 9))
    assert found.verdict == "same"
    assert "never fires in either run" in str(found)


@pytest.mark.parametrize("threshold", [1e6, 1.0, float("inf"), float("nan")])
def test_an_integrator_needs_no_threshold(threshold: float) -> None:
    """A leak of 0.95 for 0.9, whatever stands for no threshold."""
    x = np.random.default_rng(1).normal(0, 0.02, (30, 4, 20))

    def integrated(leak: float) -> Any:
        v, kept = np.zeros(x.shape[1:]), []
        for each in x:
            v = leak * v + each
            kept.append(v)
        return np.stack(kept).astype(np.float32)

    never = np.zeros(x.shape, bool)
    assert first_divergence((integrated(0.9), never), (integrated(0.95), never), threshold=threshold).verdict == "leak"
    assert first_divergence((integrated(0.9), None), (integrated(0.95), None)).verdict == "leak"


def leaky(gain: float, leak: float, *, reaches: bool = False) -> Run:
    """A layer that never fires, with its inputs and weights."""
    generator = np.random.default_rng(3)
    inputs = generator.normal(0, 0.05, (20, 4, 10)).astype(np.float32)
    weight = generator.normal(0, 0.3, (10, 12)).astype(np.float32)
    v, potentials = np.zeros((4, 12), np.float32), []
    for current in inputs @ weight:
        drive = np.float32(gain) * current
        v = np.float32(leak) * (v + drive) if reaches else np.float32(leak) * v + drive
        potentials.append(v)
    return Run({"hidden": Layer(np.stack(potentials), np.zeros((20, 4, 12)))}, inputs, {"weight": weight})


@pytest.mark.parametrize(
    ("other", "kinds"),
    [
        # With a leak of 0.5 the input may be doubled, or the leak of the other may reach it.
        (leaky(2, 0.5), ("scale", "leak")),
        (leaky(1, 0.5, reaches=True), ("leak", "scale")),
        (leaky(3, 0.5), ("scale",)),
    ],
    ids=["doubled", "reached", "tripled"],
)
def test_causes_that_give_the_same_numbers_are_named_together(other: Run, kinds: tuple[str, ...]) -> None:
    found = first_divergence(leaky(1, 0.5), other)
    assert [cause.kinds for cause in found.causes] == [kinds]
    assert found.verdict == kinds[0]
    assert f"more than rounding: {' or '.join(kinds)}." in str(found)
    assert found.to_dict()["causes"][0]["alternatives"] == kinds[1:]


@pytest.mark.parametrize(("gain", "kinds"), [(1, ("leak", "scale")), (0.5, ("scale", "leak")), (2, ("scale", "leak"))])
def test_of_causes_that_give_the_same_numbers_the_likelier_is_first(gain: float, kinds: tuple[str, ...]) -> None:
    """A leak that reaches an input which is not scaled, and otherwise another scale."""
    (cause,) = first_divergence(leaky(gain, 0.5), leaky(gain / 2, 0.5)).causes
    assert cause.kinds == kinds


@pytest.mark.parametrize(
    ("leak", "said"),
    [
        (0.85, "is -0.05 times the potential one step before, where none fired: the leak, 0.9 in torch and 0.85 in JAX"),
        (np.linspace(0.8, 0.89, 30), "is -0.1 to -0.01 times the potential one step before, where none fired: the leak"),
    ],
    ids=["one", "each its own"],
)
def test_a_leak_is_said_by_its_numbers(leak: Any, said: str) -> None:
    inputs = np.random.default_rng(0).uniform(0, 0.2, (40, 4, 30))

    def run(leak: Any) -> Run:
        v, potentials = np.zeros((4, 30)), []
        for current in inputs:
            v = leak * v + current
            potentials.append(v)
        kept = np.array(potentials, np.float32)
        return Run({"layer": Layer(kept, kept >= 9, threshold=9.0)})

    (cause,) = first_divergence(run(0.9), run(leak)).causes
    assert cause.kind == "leak"
    assert f"{said} (this explains" in cause.evidence


def test_an_overflow_after_a_spike_that_rounding_flips_cannot_be_told() -> None:
    ours = V.copy()
    ours[3, 1, 2] = np.nextafter(np.float32(1), np.float32(0))
    ours[:3, 1, 2] = 0.5
    theirs = ours.copy()
    theirs[3, 1, 2] = 1
    theirs[9, 1, 2] = np.inf
    found = first_divergence((ours, ours >= 1), (theirs, theirs >= 1))
    assert found.verdict == "cannot tell"
    assert "NaN or infinite in JAX alone, after a spike of the sample differed" in found.notes[0]
    theirs[2, 1, 2] = np.nan
    assert first_divergence((ours, ours >= 1), (theirs, theirs >= 1)).verdict == "nan"


def inhibiting(gain: float = 1.0, *, once: float = 0.9, begin: int = 0) -> Run:
    """A layer in which each spike is taken off all other neurons: in one step of every sample a first one fires.

    The leak of the step after the first is given apart, and how many steps it takes until a neuron fires.
    """
    generator = np.random.default_rng(0)
    weight = generator.normal(0, 0.4, (40, 40))
    v, fired, kept = np.zeros((6, 40)), np.zeros((6, 40)), []
    for step, x in enumerate((generator.random((20, 6, 40)) < 0.4).astype(float)):
        current = (gain if step >= begin else 0.15) * (x @ weight)
        v = (once if step == 1 else 0.9) * (v - fired) + current - 0.1 * (fired.sum(axis=1, keepdims=True) - fired)
        fired = (v.astype(np.float32) >= 1).astype(float)
        kept.append((v, fired))
    potentials, spikes = (np.array(each, np.float32) for each in zip(*kept, strict=True))
    assert not spikes[:begin].any()
    assert spikes[begin].any(axis=1).all()
    return Run({"layer": Layer(potentials, spikes)})


def test_one_step_shows_a_scale_and_no_leak_that_later_steps_refute() -> None:
    (cause,) = first_divergence(inhibiting(), inhibiting(1.2)).causes
    assert cause.kind == "scale"
    assert "potentials are 1.2 times" in cause.evidence
    assert first_divergence(inhibiting(begin=1), inhibiting(begin=1, once=0.8)).verdict == "unknown"


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_few_steps_are_enough_to_tell_a_scale(steps: int) -> None:
    """A delay of as many steps as there are, or of more, leaves nothing to compare."""
    found = first_divergence(*((factor * V[:steps] / 9, None) for factor in (np.float32(1), np.float32(1.25))))
    assert found.verdict == "scale"
    assert "JAX's potentials are 1.25 times torch's" in found.causes[0].evidence


def refused(potentials: Any, spikes: Any, other: Any = None, **options: Any) -> str:
    """The message on two runs, by default twice the same, of which neither has the threshold."""
    with pytest.raises(ValueError, match="layer 'layer 1'") as caught:
        first_divergence((potentials, spikes), (potentials, spikes if other is None else other), **options)
    return str(caught.value)


def test_spikes_of_the_step_before_or_after_are_told() -> None:
    fired = V >= 1
    random = np.random.default_rng(1).permutation(fired.ravel()).reshape(fired.shape)
    for shift, word in ((1, "before"), (-1, "after")):
        moved = np.roll(fired, shift, axis=0)
        for spikes, other, name in ((moved, None, "torch"), (random, moved, "JAX")):
            told = (
                f"the spikes of {name} fit the potentials of the step {word}: record what they are compared with; an array gives"
            )
            assert told in refused(V, spikes, other)
    assert "record what they are compared with" not in refused(V, random)
    assert "an array gives each neuron its own threshold" in refused(V, random)
    # At one potential some fire and some do not.
    assert "an array gives each neuron its own threshold" in refused(0 * V + 2, random)
    # One threshold for all that is another is told by its place alone.
    assert refused(V, V >= 0.5).endswith("give its threshold")


def test_potentials_after_a_reset_are_told_by_how_it_shows() -> None:
    fired = V >= 1
    for to, after in ((0, np.where(fired, np.float32(0), V)), (-0.5, np.where(fired, np.float32(-0.5), V))):
        told = refused(after, fired)
        assert f"those after the reset (wherever a neuron fires its potential is {to:g}); record" in told
        assert "the potentials of torch and JAX are" in told
    assert "(with the threshold added where a neuron fires, every spike fits)" in refused(V - fired, fired)
    # Three spikes show nothing.
    for spikes, shows in ((4, True), (3, False)):
        few = np.zeros((4, 2, 4), np.float32)
        few[0, 0, :spikes] = 1
        assert ("after the reset" in refused(0.25 * (1 - few), few)) == shows
    # Most spikes must lie below the threshold then.
    for large, shows in ((2, True), (3, False)):
        v = np.full((4, 2, 5), 0.75, np.float32)
        v[0, 0, :3], v[1, 0, :large] = 1.25, 2
        assert ("with the threshold added" in refused(v - (v >= 1), v >= 1)) == shows
    # One above the threshold and silent shows that it is another.
    fired[0, 0, 0], after[0, 0, 0] = False, 1.5
    assert "after the reset" not in refused(after, fired)


@pytest.mark.parametrize(("period", "inferred"), [(64, True), (65, False)])
def test_the_longest_refractory_period_that_is_inferred(period: int, inferred: bool) -> None:
    fired = (np.arange(200) % (period + 1) == 0)[:, None, None] * np.ones((1, 2, 3))
    potentials = np.full(fired.shape, 2, np.float32)
    if inferred:
        assert "stay silent for 64 steps after a spike" in str(first_divergence((potentials, fired), (potentials, fired)))
    else:
        assert "fires at 2 and does not at 2; in" not in refused(potentials, fired)


def test_a_run_that_has_not_fired_is_in_no_refractory_period() -> None:
    """However few steps there are: what one run does not reach is another threshold."""
    v = np.where(V < 1.4, V, 0.5)
    for one, other in ((v >= 1, v >= 1.5), (v >= 1.5, v >= 1)):
        found = first_divergence((v, one), (v, other))
        assert [cause.kinds for cause in found.causes] == [("threshold",)]
    assert "stay silent" not in str(first_divergence((v, v >= 1.5), (v, v >= 1.5)))


def test_a_spike_within_the_refractory_period_denies_it() -> None:
    fired = (np.arange(20) % 5 == 0)[:, None, None] * np.ones((1, 2, 3))
    potentials = np.full(fired.shape, 2, np.float32)
    assert "silent for 4 steps" in str(first_divergence((potentials, fired), (potentials, fired)))
    fired[9, 0, 0] = 1
    assert "fires at 2 and does not at 2" in refused(potentials, fired)


def test_thresholds_that_the_runs_hold_are_compared_by_themselves() -> None:
    quiet = np.full((6, 2, 4), 0.25, np.float32)
    quiet[0] = 1.5

    def run(by: float, more: float = 0.0) -> Run:
        threshold = np.ones(quiet.shape)
        threshold[3:, :, 1:3] += by
        threshold[4:, 1, 2] += more
        return Run({"a": Layer(quiet, quiet >= threshold, threshold)})

    for by in (0.25, -0.25):
        (cause,) = first_divergence(run(0), run(by, by)).causes
        told = f"from step 3 on the recorded thresholds of 2 neurons differ, 1 in torch and {1 + by:g} in JAX"
        assert (cause.kind, cause.where, cause.evidence) == ("threshold", "a", f"layer 'a': {told}")
    low = Run({"a": Layer(0 * quiet, 0 * quiet + 1, -1.0)})
    assert first_divergence(low, low).verdict == "same"
    bound = side_by_side(run(0), run(0), 1.0, None).pairs[0].bound[4, 1, 2] + 16 * U
    # Floats from 1 on lie two units apart.
    for units, verdict in ((np.floor(bound / (2 * U)), "same"), (np.ceil(bound / (2 * U)), "threshold")):
        assert first_divergence(run(0), run(0, 2 * U * units)).verdict == verdict


def test_a_threshold_of_each_step_holds_until_the_runs_part() -> None:
    """It adapts to the spikes of one run: each run leaves it in a sample that parted, and neither has another threshold."""
    level = np.linspace(0.9, 1.1, 40, dtype=np.float32)[:, None, None]
    ours, theirs = V.copy(), V.copy()
    for sample, step in ((1, 5), (2, 7)):
        ours[step, sample, 3], theirs[step, sample, 3] = np.nextafter(level[step, 0, 0], [0, 2], dtype=np.float32)
    runs = [(v, v >= level) for v in (ours, theirs)]
    for (v, fired), sample, step in zip(runs, (1, 2), (6, 8), strict=True):
        fired[step:, sample] = v[step:, sample] >= 1.5
    found = first_divergence(*runs, threshold=level)
    assert (found.verdict, found.samples) == ("rounding", (4, 2, 2))
    with pytest.raises(ValueError, match=r"another threshold than 0\.9 in both runs"):
        first_divergence(*runs, threshold=level[:1])


@pytest.mark.parametrize(("neurons", "moves"), [(3, True), (2, False)])
def test_a_threshold_moves_where_most_neurons_that_are_off_do_both(neurons: int, moves: bool) -> None:
    """Four neurons that fire at 0.75, some of which do not at 1.25."""
    potentials = np.full((4, 2, 10), 0.25, np.float32)
    potentials[1, :, :neurons] = 1.25
    potentials[3, :, :4] = 0.75
    fired = potentials == 0.75
    potentials[2, :, 4:] = 1.5
    # One that fires on the threshold fits it.
    potentials[0, :, 5] = 1
    (cause,) = first_divergence((potentials, potentials >= 1), (potentials, fired | np.isin(potentials, (1, 1.5)))).causes
    assert cause.kinds == ("threshold", "refractory", "state")[: 3 if moves else 1]
    assert "in JAX it fires at 0.75 and does not at 1.25 (in JAX 4 of 10 neurons not at the threshold 1 that was given)" in (
        cause.evidence
    )


def test_a_comparison_errs_by_roundings_of_the_largest_threshold_or_potential() -> None:
    v = np.array([[[0.25, -0.5, 0.125]]])
    for threshold, level in ((0.25, 0.25), (np.array([0.25, 2.0, -4.0]), 4), (0.0, 0.5), (-2.0, 2)):
        assert slack_of(evidence(v, v, threshold=threshold).pair) == 4 * U * level


def test_neurons_that_do_not_fit_a_threshold_are_counted_where_they_may_fire() -> None:
    """Of ten one fires below 1 and one is silent above it, and one does both; others may not fire, or have no number."""
    v, fired, allowed = np.full((2, 1, 10), 0.5), np.zeros((2, 1, 10), bool), np.ones((2, 1, 10), bool)
    v[0, 0, :3], fired[0, 0, 0], v[1, 0, 0], fired[1, 0, 3], v[1, 0, 4] = 1.5, False, 0.5, True, 1
    v[:, 0, 5], v[0, 0, 6], fired[0, 0, 6] = np.nan, np.nan, True
    fired[1, 0, 0], allowed[0, 0, 1], fired[1, 0, 4] = True, False, True
    side = Side("JAX", v, fired, np.ones(v.shape), allowed)
    assert _neurons(side, 0.1) == "3 of 10 neurons"
    # That which does both is one of three.
    assert not _moves(side, 0.1)
    fired[1, 0, 2] = True
    assert _moves(side, 0.1)
    assert not _moves(side, 2.0)
    # The step between both must be larger than what a comparison errs by.
    assert not _moves(dataclasses.replace(side, potentials=np.where(v == 1.5, 1.15, np.where(v == 0.5, 0.8, v))), 0.36)


def test_a_layer_of_margins_errs_by_roundings_of_its_largest_potential() -> None:
    """A comparison may err by four units of the threshold, or of what is largest where that is 0."""
    for units, refuses in ((3.9, False), (4.1, True)):
        margin = np.array([[[-1.0, 2 * units * U, 2.0]], [[-2.0, -1.0, 2.0]]])
        run = Run({"layer 1": Layer(margin, np.array([[[0, 0, 1]], [[0, 0, 1]]]), margins=True, dtype="float32")})
        if refuses:
            with pytest.raises(ValueError, match="another threshold than 0 in both runs"):
                first_divergence(run, run)
        else:
            assert first_divergence(run, run).verdict == "same"


def spreads(samples: int = 51, neurons: int = 26, *, by: float = -0.01, after: int = 1, at: int = 1) -> bool:
    """A sample that rounding parts at a step, and others of 101 that differ from a later step on in some of 103 neurons.

    Beside them is a layer that is at zero and never fires.
    """
    ours = np.full((6, 102, 103), 0.5, np.float32)
    ours[at, 0, 0] = np.nextafter(np.float32(1), np.float32(0))
    theirs = ours.copy()
    theirs[at, 0, 0] = 1
    theirs[at + after :, 1 : 1 + samples, :neurons] += by
    runs = (Run.of({"a": (each, each >= 1), "b": (0 * each, None)}) for each in (ours, theirs))
    return _spreads(side_by_side(*runs, 1.0, None))


def stirred(*, at: int = 1, rest: float = 0.0, coupled: bool | None = None) -> str:
    """The verdict on two runs of which a spike of one sample that rounding sets apart at a step moves all other samples.

    Beside them is an integrator that differs from the start by numbers of no law.
    """
    generator = np.random.default_rng(0)
    v, more = generator.uniform(0, 0.5, (6, 9, 40)).astype(np.float32), generator.normal(0, 1, (6, 9, 40)).astype(np.float32)
    runs = []
    for fires in (False, True):
        ours = v.copy()
        ours[at, 0, 0] = (BELOW, ABOVE)[fires]
        ours[at + 1 :, 1:] += fires * generator.normal(0, 0.01, ours[at + 1 :, 1:].shape).astype(np.float32)
        runs.append({"a": (ours, ours >= 1), "b": (more + fires * rest * generator.normal(0, 1, more.shape), None)})
    return first_divergence(*runs, coupled=coupled).verdict


def test_what_coupled_samples_would_explain_cannot_be_told_unless_it_is_said() -> None:
    assert stirred() == "cannot tell"
    assert stirred(coupled=True) == "rounding"
    assert stirred(coupled=False) == "unknown"
    # Where the first step parts nothing is compared, and what differs before a spike is not set off by it.
    assert stirred(at=0) == "unknown"
    assert stirred(rest=0.01) == "unknown"


def test_a_spike_that_reaches_most_other_samples_may_be_that_of_coupled_ones() -> None:
    assert spreads()
    assert spreads(by=0.01)
    assert spreads(after=0)
    assert spreads(after=2)
    assert not spreads(samples=50)
    assert not spreads(neurons=25)
    assert not spreads(after=3)
    assert not spreads(after=-1)
    assert spreads(at=0)
    assert not spreads(at=0, samples=0)


X, W = (np.random.default_rng(seed).normal(0, size, shape) for seed, size, shape in ((3, 0.05, (20, 4, 10)), (4, 0.3, (10, 12))))


def recorded(leak: Any = 0.5, gain: float = 1.0, bias: Any = 0.0, **more: Any) -> Run:
    """A layer that never fires, with its inputs and weights."""
    v, synaptic, kept = np.zeros((4, 12)) + more.get("start", 0.0), 0.0, []
    late, off = more.get("late", 0), float(more.get("margins", False))
    x = np.concatenate([0 * X[:late], X[: len(X) - late]])
    for current in x @ W:
        synaptic = more.get("synapse", 0.0) * synaptic + gain * current + bias
        v = leak * v + synaptic
        kept.append(v - off)
    potentials = np.array(kept, np.float32)
    return Run({"hidden": Layer(potentials, 0 * potentials, margins=bool(off))}, X.astype(np.float32), {"weight": W})


LAWS = "in layer 'hidden' torch computes {}·v + {}·I, JAX {}: {}"
SCALED = "a scaled input, of the same inputs and weights"
EACH = np.linspace(0.5, 0.6, 12)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (recorded(), recorded(0.6), ["leak: " + LAWS.format(0.5, 1, "0.6·v + 1·I", "the leak")]),
        (recorded(), recorded(EACH), ["leak: " + LAWS.format(0.5, 1, "(0.5 to 0.6)·v + (1 to 1)·I", "the leak")]),
        (recorded(), recorded(gain=1.3), ["scale: " + LAWS.format(0.5, 1, "0.5·v + 1.3·I", SCALED)]),
        (recorded(), recorded(bias=0.05), ["bias: " + LAWS.format(0.5, 1, "0.5·v + 1·I + 0.05", "a bias")]),
        (
            recorded(),
            recorded(0.6, 1.3),
            [
                f"{kind}: " + LAWS.format(0.5, 1, "0.6·v + 1.3·I", text)
                for kind, text in (("leak", "the leak"), ("scale", SCALED))
            ],
        ),
        (recorded(0.5, 0.5), recorded(0.6, 0.4), ["leak: " + LAWS.format(0.5, 0.5, "0.6·v + 0.4·I", "the leak")]),
        (
            recorded(synapse=0.3),
            recorded(gain=1.3, synapse=0.3),
            [
                "scale: in layer 'hidden' torch computes 0.8·v₁ + -0.15·v₂ + 1·I, JAX 0.8·v₁ + -0.15·v₂ + 1.3·I: " + SCALED,
            ],
        ),
    ],
    ids=["leak", "leak of each", "scale", "bias", "leak and scale", "time constant", "synapse"],
)
def test_laws_of_recorded_inputs_are_said_by_their_numbers(one: Run, other: Run, told: list[str]) -> None:
    found = [f"{cause.kind}: {cause.evidence}" for cause in first_divergence(one, other).causes]
    assert found == [f"{each} (this explains 100.0000% of the potentials, in {20 * 4 * 12} places)" for each in told]


def test_a_delay_a_state_and_margins_of_recorded_inputs() -> None:
    for one, other, names in ((recorded(), recorded(late=1), "JAX torch"), (recorded(late=1), recorded(), "torch JAX")):
        (cause,) = first_divergence(one, other).causes
        odd, right = names.split()
        told = f"layer 'hidden' of {odd} computes with the input of the step before, that of {right} with parameter 'weight' as"
        assert (cause.kind, cause.evidence.startswith(told)) == ("delay", True)
        (cause,) = first_divergence(recorded(start=0.5 * (odd == "torch")), recorded(start=0.5 * (odd == "JAX"))).causes
        told = f"the first step of layer 'hidden' in {odd} does not begin at zero, and later steps follow one law: the state"
        assert (cause.kind, cause.evidence) == ("state", told)
    # Of two states that are both another nothing but the potentials tells.
    (cause,) = first_divergence(recorded(start=0.3), recorded(start=0.5)).causes
    assert (cause.kind, "and later by what is left of that" in cause.evidence) == ("state", True)
    (cause,) = first_divergence(recorded(margins=True), recorded(0.6, margins=True)).causes
    assert cause.kind == "leak"
    assert "torch computes 0.5·v + 1·I + -0.5, JAX 0.6·v + 1·I + -0.4: the leak" in cause.evidence


def test_a_time_constant_changes_leak_and_scale_in_proportion() -> None:
    """To within a hundredth of the change of the scale, 0.2: one cause, and beyond it two."""
    for by, kinds in ((0.00197, ["leak"]), (0.00199, ["leak", "scale"]), (-0.00201, ["leak"]), (-0.00203, ["leak", "scale"])):
        found = first_divergence(recorded(0.5, 0.5), recorded(0.6, 0.5 * (0.8 + by)))
        assert [cause.kind for cause in found.causes] == kinds, by


def difference(ours: Any, theirs: Any, **more: Any) -> tuple[str, str]:
    return array_difference(np.asarray(ours), np.asarray(theirs), NAMES, **more)


def test_what_differs_is_counted() -> None:
    ours = np.array([8.0, 4.0, 2.0, 1.0, 0.5])
    told = ("weights", "2 of 5 numbers differ, by at most 0.25; the largest is 8")
    theirs = np.array([8.0, 4.25, 2.0, 0.875, 0.5])
    assert difference(ours, theirs) == difference(-ours, -theirs) == difference(theirs, ours) == told
    assert difference([1, 2, 3], [1, 4, 3]) == ("weights", "1 of 3 whole numbers differ")
    assert difference([1, 2, 3], [1, 2, 3]) == difference([True], [1]) == ("", "")
    # Whole numbers of 64 bits that one float64 stands for.
    assert difference([2**62], [2**62 + 1]) == ("weights", "1 of 1 whole numbers differ")
    for odd in (np.nan, np.inf):
        assert difference([odd, 1.0], [odd, 1.0]) == ("", "")
        assert difference([odd, 1.0, 2.0], [0.0, 1.0, 2.0]) == ("weights", "1 of 3 numbers are NaN or infinite on one side")
    assert difference([np.inf], [-np.inf]) == ("weights", "1 of 1 numbers are NaN or infinite on one side")
    # The largest of all numbers is the measure where an infinity is on both sides.
    assert difference([np.inf, 1.0, 0.0], [np.inf, 1.0, 1e-8]) == ("", "")
    assert difference([1 + 1j], [1 + 2j])[0] == "weights"
    assert difference([1 + 1j], [1 + 1j]) == ("", "")
    assert difference([1 + 1j, 2, 3j], [3j, 2, 1 + 1j]) == ("permuted", "JAX's is torch's with axis 0 in another order")
    square = np.random.default_rng(0).normal(size=(4, 4)) * (1 + 1j)
    assert difference(square, square[:, [1, 2, 3, 0]]) == ("permuted", "JAX's is torch's with axis 1 in another order")
    # A whole number beside a float has the float's rounding, and an infinity on both sides is no measure.
    assert difference([1, 2, 3], [1.0, 2.0, 3.0 + 1e-7]) == difference([1.0, 2.0, 3.0 + 1e-7], [1, 2, 3]) == ("", "")
    assert difference([np.inf, 0.0], [np.inf, 1e-8])[0] == "weights"
    # What is finite and differs too is not counted with what is not.
    assert difference([np.nan, 1.0, 2.0], [0.0, 1.0, 3.0]) == ("weights", "1 of 3 numbers are NaN or infinite on one side")
    assert difference([-8.0, 1.0], [1.0, 1.0]) == ("weights", "1 of 2 numbers differ, by at most 9; the largest is 8")


def test_what_is_as_far_apart_as_rounding_is_near_enough() -> None:
    """Every change that is looked for, up to the rounding of the largest number and one float more."""
    x = np.array([[8.0, 1.0, 3.0], [2.0, 5.0, -4.0], [6.0, -7.0, 0.0]])
    mixed = np.random.default_rng(0).permutation(np.arange(20.0))
    cases: tuple[tuple[str, Any, Any, dict[str, Any]], ...] = (
        ("", x, x, {}),
        ("transposed", x, x.T, {}),
        ("transposed", np.stack([x, 0 * x]), np.stack([x.T, 0 * x]), {}),
        ("permuted", x[:, 1:], x[[1, 2, 0], 1:], {}),
        ("permuted", np.array([8.0, 8.0, 0.0, 0.0]), np.array([0.0, 0.0, 8.0, 8.0]), {}),
        ("permuted", np.arange(20.0).reshape(4, 5), mixed.reshape(4, 5), {}),
        ("delay", x[::-1, None], np.roll(x[::-1, None], 1, axis=0), {"steps": True}),
        ("dtype", np.array([1.5, -1.25, 1.0, 0.0]) * (1 + 2.0**-12), np.array([1.5, -1.25, 1.0, 0.0]), {}),
        ("scale", x.ravel(), 2 * x.ravel(), {}),
        ("scale", x.ravel(), 0.5 * x.ravel(), {}),
    )
    for kind, ours, theirs, more in cases:
        near = 2 * U * max(np.abs(ours).max(), np.abs(theirs).max())
        # Of a number that was enlarged, and of both arrays.
        near *= 2 * max(1, theirs.flat[0] / ours.flat[0]) if kind == "scale" else 1
        # Beside 0 every number is exact.
        place = tuple(np.argwhere(theirs == 0)[-1])
        for by, expected in ((near, True), (np.nextafter(near, 1), False)):
            moved = theirs.copy()
            moved[place] = by
            assert (difference(ours, moved, **more)[0] == kind) == expected, (kind, by)
    assert difference(x, x.T + 16 * U * (x == 0))[1] == "torch's is the transpose of JAX's"


def test_inputs_and_parameters_are_compared_where_both_runs_hold_them() -> None:
    layers = {"layer": Layer(np.zeros((9, 3, 5)))}
    x, weight = np.random.default_rng(0).normal(size=(2, 9, 3, 5))

    def causes(ours: Any, theirs: Any, *more: Any) -> list[tuple[str, str | None, str]]:
        runs = [Run(layers, inputs, parameters) for inputs, parameters in zip((ours, theirs), more or ({}, {}), strict=True)]
        return [(cause.kind, cause.where, cause.evidence) for cause in given_causes(*runs, NAMES)]

    assert causes(None, None) == causes(x, None) == causes(None, x) == causes(x, x) == []
    late = np.concatenate([0 * x[:1], x[:-1]])
    assert causes(x, late) == [("delay", None, "the inputs differ: JAX's come 1 step later")]
    # What of weights is a scale is of inputs another input.
    assert causes(x, 2 * x) == [("inputs", None, "the inputs differ: JAX's is 2 times torch's")]
    assert [kind for kind, *_ in causes(x, weight)] == ["inputs"]
    assert causes(x, x, {"w": weight}, {}) == causes(x, x, {}, {"w": weight}) == []
    assert causes(x, x, {"w": weight, "b": weight}, {"a": x, "b": 2 * weight}) == [
        ("scale", None, "parameter 'b': JAX's is 2 times torch's")
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (np.ones((2, 3)), np.ones((3, 3)), ("weights", "shape (2, 3) in torch, (3, 3) in JAX")),
        (
            np.ones((2, 3)),
            np.ones((3, 2)),
            ("transposed", "shape (2, 3) in torch, (3, 2) in JAX, one the transpose of the other"),
        ),
        (np.arange(8.0), 3 * np.arange(8.0), ("scale", "JAX's is 3 times torch's")),
        (np.arange(8.0), -np.arange(8.0) / 4, ("scale", "JAX's is -0.25 times torch's")),
        (np.arange(7.0), 3 * np.arange(7.0), ("weights", "6 of 7 numbers differ, by at most 12; the largest is 18")),
        (np.zeros(8), np.ones(8), ("weights", "8 of 8 numbers differ, by at most 1; the largest is 1")),
        (np.ones(8), np.zeros(8), ("weights", "8 of 8 numbers differ, by at most 1; the largest is 1")),
        (
            np.array([8.0, 1.0, 0.0]),
            np.array([4.0, 1.0, 16 * U]),
            ("weights", "1 of 3 numbers differ, by at most 4; the largest is 8"),
        ),
    ],
)
def test_a_change_of_all_numbers_is_said(ours: Any, theirs: Any, told: tuple[str, str]) -> None:
    assert difference(ours, theirs) == told


@pytest.mark.parametrize("factor", [64.0, -64.0])
def test_a_factor_has_the_rounding_of_what_it_enlarges(factor: float) -> None:
    ours = np.arange(9.0)
    near = 2 * U * 8 * 64
    for by, kind in ((120 * near, "scale"), (140 * near, "weights")):
        theirs = factor * ours
        theirs[0] = by
        assert difference(ours, theirs)[0] == kind


def test_another_order_is_said_by_its_axis() -> None:
    draw = np.random.default_rng(0).normal(size=(4, 5, 6))
    for axis in range(3):
        turned = np.take(draw, np.roll(np.arange(draw.shape[axis]), 1), axis)
        assert difference(draw, turned) == ("permuted", f"JAX's is torch's with axis {axis} in another order")
    flat = draw.ravel()
    assert difference(flat[:17], flat[:17][::-1]) == ("permuted", "JAX's is torch's with axis 0 in another order")
    # Few values in each row say nothing of their order, but that all of it is turned round.
    twice = np.array([0.0, 0, 0, 1, 1])
    assert difference(twice, twice[::-1]) == ("permuted", "JAX's is torch's with axis 0 reversed")
    square = np.random.default_rng(0).normal(size=(3, 4, 3))
    assert difference(square, square.swapaxes(0, 2)) == ("transposed", "axes 0 and 2 of torch's are exchanged in JAX's")
    mixed = np.random.default_rng(1).permutation(draw.ravel()).reshape(draw.shape)
    kind, text = difference(draw, mixed)
    assert kind == "permuted"
    assert text.startswith("the same numbers in another order; 1")
    longest = np.random.default_rng(0).normal(size=LARGEST_PERMUTED + 1)
    assert difference(longest[1:], np.roll(longest[1:], 1))[1] == "JAX's is torch's with axis 0 in another order"
    assert difference(longest, np.roll(longest, 1))[1].startswith("the same numbers in another order; 4097 of 4097")
    # Two numbers in each row tell the rows apart, though each of them comes more than once.
    pairs = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert difference(pairs, pairs[[1, 2, 0]]) == ("permuted", "JAX's is torch's with axis 0 in another order")
    # Steps have an order that is no layout, and what each of them holds may have another.
    assert difference(draw, draw[:, [1, 2, 3, 4, 0]], steps=True)[1] == "JAX's is torch's with axis 1 in another order"
    for count, different, expected in ((17, 17, "permuted"), (16, 16, "weights"), (18, 10, "permuted"), (18, 9, "weights")):
        steps = np.sort(np.arange(count) % different) * 1.0
        kind, text = difference(steps, np.roll(steps, 7), steps=True)
        assert kind == expected
        assert text.startswith("the same numbers in another order; " if kind == "permuted" else f"{count} of {count} numbers")
    # Of sixteen numbers that is chance, and of equal ones too.
    small = draw.ravel()[:16].reshape(4, 4)
    assert difference(small, np.random.default_rng(1).permutation(small.ravel()).reshape(4, 4))[0] == "weights"


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_inputs_come_later_by_up_to_three_steps(shift: int) -> None:
    x = np.random.default_rng(0).normal(size=(2 * shift + 1, 3, 5))
    late = np.concatenate([np.random.default_rng(1).normal(size=(shift, 3, 5)), x[:-shift]])
    plural = "s" * (shift > 1)
    assert difference(x, late, steps=True) == ("delay", f"JAX's come {shift} step{plural} later")
    assert difference(late, x, steps=True) == ("delay", f"torch's come {shift} step{plural} later")
    assert difference(x, late)[0] != "delay"
    # Half of the steps or more must be there to be compared.
    assert difference(x[:-1], late[:-1], steps=True)[0] != "delay"


def test_two_draws_have_one_distribution_and_no_correlation() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(2, 10, 10))
    kind, text = difference(one, other)
    assert kind == "seed"
    assert (
        text == f"two different draws, as of two seeds: their correlation is {np.corrcoef(one.ravel(), other.ravel())[0, 1]:.2g}"
    )
    assert difference(one, other, steps=True)[0] == "weights"
    assert difference(one.ravel()[:99], other.ravel()[:99])[0] == "weights"
    spread = one.std() / other.std()
    for ratio, expected in ((1.99, "seed"), (2.01, "weights"), (0.503, "seed"), (0.497, "weights")):
        assert difference(one, (other - other.mean()) * spread / ratio + one.mean())[0] == expected
    for by, expected in ((0.498, "seed"), (0.503, "weights"), (-0.498, "seed"), (-0.503, "weights")):
        assert difference(one, other - other.mean() + one.mean() + by * one.std())[0] == expected
    # A spread of twice the other's and a mean half of it away are no longer one distribution: here both are exact.
    sign, across = np.repeat([1.0, -1.0], 50), np.tile([1.0, -1.0], 50)
    assert difference(sign, across)[0] == "seed"
    for moved in (2 * across, across / 2, across + 0.5):
        assert difference(sign, moved)[0] == "weights"
    # Four times the correlation that chance gives a hundred numbers.
    rest = other - other.mean()
    rest -= (one - one.mean()) * np.sum(rest * (one - one.mean())) / np.sum((one - one.mean()) ** 2)
    rest *= one.std() / rest.std()
    for correlation, expected in ((0.398, "seed"), (0.402, "weights"), (-0.398, "seed"), (-0.402, "weights")):
        mixed = correlation * (one - one.mean()) + np.sqrt(1 - correlation**2) * rest
        assert difference(one, mixed)[0] == expected


def test_a_neuron_s_terms_are_as_large_as_inputs_and_weights_say() -> None:
    inputs, weight = np.array([[[3.0, -4.0]]]), np.array([[2.0, 1.0, 0.5], [1.0, -1.0, 1.0]])
    # Each the root of the sum of its squares, or the sum where that is larger.
    expected = [[[np.sqrt(36 + 16), 7.0, np.sqrt(2.25 + 16)]]]
    np.testing.assert_allclose(products(inputs, {"w": weight}, (1, 1, 3)), expected)
    np.testing.assert_allclose(products(inputs, {"w": weight.T}, (1, 1, 3)), expected)
    np.testing.assert_allclose(products(-inputs, {"w": weight}, (1, 1, 3)), expected)
    larger = products(inputs, {"w": weight, "v": 2 * weight, "bias": np.ones(3), "table": np.ones((2, 3), int)}, (1, 1, 3))
    np.testing.assert_allclose(larger, 2 * np.array(expected))
    # A kernel's with the largest input of the sample, whichever axis is that of its channels.
    kernel = np.arange(24.0).reshape(2, 3, 4)
    largest = max(np.sqrt((kernel**2).sum(axis=(1, 2))).max(), np.sqrt((kernel**2).sum(axis=(0, 1))).max())
    np.testing.assert_allclose(products(inputs, {"k": kernel}, (1, 1, 5)), np.full((1, 1, 5), 4 * largest))
    np.testing.assert_allclose(products(inputs, {"k": kernel.T}, (1, 1, 5)), np.full((1, 1, 5), 4 * largest))
    np.testing.assert_allclose(products(np.array([[[np.inf, 2.0]]]), {"w": weight}, (1, 1, 3)), [[[2, 2, 2]]])
    for given, parameters, shape in (
        (None, {"w": weight}, (1, 1, 3)),
        (inputs, {"w": weight}, (2, 1, 3)),
        (inputs, {"w": weight}, (1, 1, 4)),
        (inputs + 1j, {"w": weight}, (1, 1, 3)),
        (inputs, {"k": np.full(kernel.shape, np.inf)}, (1, 1, 3)),
    ):
        assert products(given, parameters, shape) is None


def test_the_size_of_a_neuron_is_its_own_largest_and_at_least_what_is_typical() -> None:
    potentials = np.array([[[1.0, 2.0, 3.0, 4.0, -8.0]], [[0.0, np.nan, 9.0, 1.0, 1.0]]])
    # The third quartile of each step is 4, then 8.
    np.testing.assert_array_equal(sizes(potentials, None)[:, 0], [[4, 4, 4, 4, 8], [8, 8, 9, 8, 8]])
    given = np.array([[[10.0, 0, 0, 0, 0]], [[0.0, 0, 0, 0, 0]]])
    np.testing.assert_array_equal(sizes(potentials, given)[:, 0], [[10, 4, 4, 4, 8], [10, 8, 9, 8, 8]])


def test_the_dtypes_of_numbers() -> None:
    assert coarsest(["float64", "float32"]) == coarsest(["float32"]) == "float32"
    assert coarsest(["float16", "tensorfloat32"]) == coarsest(["tensorfloat32", "float16"]) == "float16"
    assert coarsest(["bfloat16", "tensorfloat32"]) == "bfloat16"
    thirds = np.array([1 / 3, np.nan])
    for dtype in ("float16", "float32"):
        assert numbers_of([thirds.astype(dtype).astype(np.float64), np.ones(1)]) == dtype
    assert numbers_of([thirds]) == "float64"
    # Of one array in float64 and one in float32 the numbers may be those of the coarser.
    assert numbers_of([thirds.astype(np.float32), np.ones(1)]) == "float32"
    assert numbers_of([np.array([1.0, 2.0])]) == "bfloat16"
    assert (spacing(3.0, "float32"), spacing(-0.75, "float16")) == (2.0**-22, 2.0**-11)
    assert np.isnan(spacing(0.0, "float32"))
    assert np.isnan(spacing(np.inf, "float32"))
    assert finer_than([np.array([0.0, np.inf])], "bfloat16") == 0
    assert finer_than([np.array([0.0, 0.1, np.nan]), np.array([1.0])], "bfloat16") == 0.5
    assert finer_than([np.array([1.0, 0.1, 1.0, 0.1, 0.1])], "bfloat16") == 0.6


def grid(apart: float, bits: int = 13, count: int = 16) -> float:
    """The size of terms of which sums from 1 on, on a grid of so many bits, are left, and lie some spacings apart."""
    one = 1.5 + np.arange(count) * 2.0**-bits
    one = np.where(np.floor(one * 2.0**bits) % 2 == 0, one + 2.0**-bits, one)
    return terms_of_grid(one, one + apart * 2.0**-bits * (np.arange(count) == 3), "float32")


def test_a_grid_is_that_of_terms_where_it_is_finer_than_the_numbers_and_rounding_shows() -> None:
    terms = 2.0**-13 / (2 * U)
    assert grid(64) == grid(2) == grid(-64) == terms
    assert grid(0) == grid(66) == grid(-66) == 0
    # Numbers of either sign show it, and those that are zero or none do not count.
    one = 1.5 + np.arange(1, 33, 2) * 2.0**-13
    other = one + 2.0**-12 * (np.arange(16) == 3)
    assert terms_of_grid(-one, -other, "float32") == terms
    more = np.array([0.0, np.inf, np.nan, -np.inf])
    assert terms_of_grid(np.append(one, more), np.append(other, more), "float32") == terms
    assert terms_of_grid(np.append(one[:7], more), np.append(other[:7], more), "float32") == 0
    # Numbers of one bit are multiples of every grid.
    assert terms_of_grid(np.append(one, np.ones(60)), np.append(other, np.ones(60)), "float32") == 0
    # A grid that is coarse beside the numbers is one of weights.
    assert (grid(2, bits=9), grid(2, bits=8)) == (2.0**-9 / (2 * U), 0)
    # Sixteen numbers of both runs show it, and fewer do not.
    assert (grid(2, count=8) > 0, grid(2, count=7)) == (True, 0)


def parted(names: str, far: str = "", **settings: Any) -> Sides:
    """Layers of two samples whose first neuron fires at step 2 in the other run alone, near the threshold or far from it."""
    runs = []
    for index in (0, 1):
        layers = {}
        for name in names.split():
            v = np.full((6, 2, 3), 0.5, np.float32)
            v[2, 0, 0] = (0.25, 1.5)[index] if name in far.split() else (BELOW, ABOVE)[index]
            layers[name] = Layer(v, v >= 1)
        runs.append(Run(layers, **settings))
    return side_by_side(runs[0], runs[1], 1.0, None)


def test_where_spikes_began_to_differ_is_known_by_the_order_or_by_rounding() -> None:
    # The names of a dict that came out of jax.jit are sorted, and say nothing of the order unless they are numbered.
    for names, order in (
        ("b a", True),
        ("a b", False),
        ("lif1 lif2", True),
        ("lif9 lif10", True),
        ("lif10 lif9", False),
        ("a1 b2", False),
    ):
        assert parted(names).ordered == order
    assert parted("a b", ordered=True).ordered
    assert parted("b a", far="b").flipping(0) == [0]
    assert parted("a b", far="a").flipping(0) == [1]
    assert parted("a b").flipping(0) == [0]
    assert parted("a b", far="a b").flipping(0) == [0, 1]
    sides = parted("b a", far="b")
    np.testing.assert_array_equal(sides.parted, [2, 6])
    # What comes before the first layer that parts is untouched in that step, and it itself.
    np.testing.assert_array_equal(sides.untouched(0), [[True, True]] * 3 + [[False, True]] * 3)
    np.testing.assert_array_equal(sides.untouched(1), [[True, True]] * 2 + [[False, True]] * 4)
    np.testing.assert_array_equal(parted("a b", far="a").untouched(0), [[True, True]] * 2 + [[False, True]] * 4)
    together = parted("b a", far="b", coupled=True)
    np.testing.assert_array_equal(together.parted, [2, 2])
    np.testing.assert_array_equal(together.untouched(0), [[True, True]] * 3 + [[False, False]] * 3)


def test_potentials_that_are_no_numbers_differ_by_infinity_or_by_nothing() -> None:
    ours, theirs = (
        np.array([each, [0, 0, 0, 0, 1]], np.float32)[:, None]
        for each in ([1, np.nan, np.nan, np.inf, -np.inf], [2, 1, np.nan, np.inf, np.inf])
    )
    (pair,) = side_by_side(Run.of((ours, ours > 9)), Run.of((theirs, theirs > 9)), 9.0, None).pairs
    np.testing.assert_array_equal(pair.difference[0, 0], [1, np.inf, 0, 0, np.inf])
    assert pair.size == 1
    np.testing.assert_allclose(pair.step_bound * np.sqrt([1, 2])[:, None, None], pair.bound)


def reaches(steps: int, apart: int) -> bool:
    """Whether the evidence goes on after a spike of one neuron that differs at step 2, and another differs so much later."""
    ours = np.full((steps, 2, 4), 0.5, np.float32)
    theirs = ours.copy()
    ours[2, 0, 0], theirs[2, 0, 0] = BELOW, ABOVE
    if apart:
        theirs[2 + apart, 0, 1] += 0.25
    runs = (Run({"b": Layer(v, v >= 1), "a": Layer(0 * v, v > 9)}) for v in (ours, theirs))
    mask = Evidence.of(side_by_side(*runs, 1.0, None), 0).mask
    np.testing.assert_array_equal(mask[:, 1], np.ones((steps, 4)))
    np.testing.assert_array_equal(mask[:3, 0], np.ones((3, 4)))
    # The neuron that fired in one run alone is no evidence.
    assert not mask[3:, 0, 0].any()
    assert mask[3:, 0, 1:].all() == mask[3:, 0, 1:].any()
    return not mask[3:, 0, 1:].any()


def test_a_spike_that_differs_reaches_the_layer_where_the_next_steps_show_it() -> None:
    assert not reaches(12, 0)
    assert all(reaches(12, later) for later in (1, 3, 5))
    assert not reaches(12, 6)
    # Three steps show it, and two do not.
    assert not reaches(6, 0)
    assert reaches(5, 0)


def test_products_of_one_run_in_half_precision_are_told() -> None:
    x = np.random.default_rng(0).uniform(0.1, 0.2, (6, 2, 20))

    def run(half: bool) -> Run:
        v, kept = np.zeros((2, 20), np.float32), []
        for current in x.astype(np.float16 if half else np.float32):
            v = np.float32(0.9) * v + current.astype(np.float32)
            kept.append(v)
        return Run({"a": Layer(np.array(kept), np.zeros(x.shape))})

    for sides, name in (((True, False), "torch"), ((False, True), "JAX")):
        (cause,) = first_divergence(*map(run, sides)).causes
        told = f"in the first step every potential of {name} is a float16 number: so are its products"
        assert (cause.kind, cause.where, cause.evidence[: len(told)]) == ("dtype", None, told)
        assert "dtype='float16' says so" in cause.evidence
    assert first_divergence(run(True), run(True)).dtype == "float32"


def test_a_layer_that_one_run_fires_is_not_said_to_be_silent() -> None:
    quiet, loud = np.full((4, 2, 3), 0.5, np.float32), np.full((4, 2, 3), 0.5, np.float32)
    loud[2, 0, 0] = 1
    said = [str(first_divergence((quiet, quiet >= 1), (other, other >= 1))) for other in (quiet, loud)]
    assert ["never fires in either run" in each for each in said] == [True, False]


def test_inputs_of_other_steps_say_nothing_of_a_layer() -> None:
    """As of a network that takes its input in blocks: what they add up to in a step is not known."""
    runs = [
        dataclasses.replace(run, inputs=np.repeat(run.inputs, 2, axis=0), parameters=run.parameters)
        for run in (recorded(), recorded(gain=1.3))
    ]
    (cause,) = first_divergence(*runs).causes
    assert cause.kind == "scale"
    assert "JAX's potentials are 1.3 times torch's" in cause.evidence
    few = [dataclasses.replace(run, inputs=run.inputs[:, :3]) for run in (recorded(), recorded(gain=1.3))]
    assert [cause.kind for cause in first_divergence(*few).causes] == ["scale"]


@pytest.mark.parametrize(
    ("largest", "threshold", "fires"),
    [
        (1.0, 1000.0, True),
        (1.0, 1000.5, False),
        (1.0, -1000.5, False),
        (0.5, 999.5, True),
        (0.5, 1000.0, False),
        (0.0, 1e6, True),
    ],
)
def test_a_threshold_far_beyond_all_potentials_stands_for_none(largest: float, threshold: float, fires: bool) -> None:
    v = np.array([[[0.25, -1.0, np.nan]]]) * largest
    (pair,) = side_by_side(Run.of((v, v > 9)), Run.of((v, v > 9)), threshold, None).pairs
    assert pair.fires == fires
    # It is one where neurons fire.
    (pair,) = side_by_side(*[Run.of((v, v == largest / 4))] * 2, threshold, None).pairs
    assert pair.fires


def test_many_numbers_of_a_dtype_are_in_it_where_those_of_the_other_run_are_not() -> None:
    def found(distinct: int, finer: int = 200) -> list[str]:
        """What is told of numbers of bfloat16, so many that differ, and of others of which so many of 200 are finer."""
        half = np.ones((5, 2, 200), np.float32) * (1 + np.arange(200) % distinct / 64).astype(np.float32) / 8
        other = half * (1 + np.float32(2e-3) * (np.arange(200) < finer))
        sides = [Run({"a": Layer(each, np.zeros(half.shape))}) for each in (half, other)]
        return [f"{cause.kind}: {cause.evidence}" for cause in first_divergence(*sides).causes]

    told = "dtype: every potential of torch is a bfloat16 number, those of JAX are float32 numbers"
    assert told in found(17)
    assert told not in found(16)
    assert told in found(20, 101)
    assert told not in found(20, 100)


def test_what_was_given_and_what_the_layer_does_are_named_together() -> None:
    one, other = recorded(), recorded(0.6)
    changed = dataclasses.replace(other, parameters={"weight": W, "bias": np.ones(3)})
    first = dataclasses.replace(one, parameters={"weight": W, "bias": np.array([1.0, 1.0, 2.0])})
    assert [cause.kind for cause in first_divergence(first, changed).causes] == ["weights", "leak"]


@pytest.mark.parametrize(("gain", "kinds"), [(0.5, ("leak", "scale")), (0.3, ("leak", "scale")), (0.4, ("scale",))])
def test_either_of_two_leaks_may_reach_the_input(gain: float, kinds: tuple[str, ...]) -> None:
    """That of the potential, 0.5, or that of the synaptic current, 0.3."""
    (cause,) = first_divergence(recorded(synapse=0.3), recorded(synapse=0.3, gain=gain)).causes
    assert cause.kinds == kinds


def test_a_later_layer_computes_with_the_spikes_of_the_one_before() -> None:
    weight = np.random.default_rng(4).normal(0, 0.02, (20, 12))

    def run(leak: float) -> Run:
        v, kept = np.zeros((4, 12)), []
        for spikes in V >= 1:
            v = leak * v + spikes @ weight
            kept.append(v)
        potentials = np.array(kept, np.float32)
        return Run({"first": Layer(V, V >= 1), "after": Layer(potentials, 0 * potentials)}, parameters={"weight": weight})

    (cause,) = first_divergence(run(0.9), run(0.8)).causes
    assert (cause.kind, cause.where) == ("leak", "after")
    assert cause.evidence.startswith("in layer 'after' torch computes 0.9·v + 1·I, JAX 0.8·v + 1·I: the leak")


def test_what_differs_for_no_known_cause_is_told_where_it_is_shown() -> None:
    """In neurons that a spike before does not reach, beside numbers that are none in either run."""
    generator = np.random.default_rng(0)
    ours = generator.uniform(0.1, 0.5, (12, 1, 20)).astype(np.float32)
    theirs = ours.copy()
    ours[2, 0, 0], theirs[2, 0, 0] = BELOW, ABOVE
    theirs[9, 0, 1:] += generator.normal(0, 0.1, 19).astype(np.float32)
    ours[[4, 9], 0, 1], theirs[[4, 9], 0, 1] = np.nan, -np.inf
    size = np.sqrt(np.sum((theirs - ours)[9, 0, 2:] ** 2) / np.sum(ours[9, 0, 2:] ** 2))
    (cause,) = first_divergence((ours, ours >= 1), (theirs, theirs >= 1)).causes
    told = f"at step 9 of layer 'layer 1' the potentials of 18 neurons differ by {size:.2g} of their size, and no cause is known"
    assert cause.evidence.startswith(told)


def test_samples_and_neurons_of_named_axes_in_another_order_are_told() -> None:
    runs = [Run({"a": Layer(v, v >= 1)}, axes="time sample neuron") for v in (V, V[:, [1, 0, 2, 3]], V[:, :, ::-1])]
    for other, told in ((runs[1], "2 of 4 samples"), (runs[2], "20 of 20 neurons")):
        found = first_divergence(runs[0], other)
        assert isinstance(found.causes, tuple)
        assert [cause.evidence for cause in found.causes] == [f"{told} of layer 'a' in JAX are those of torch in another order"]


def test_a_cause_is_told_once_and_a_threshold_that_was_lost_with_a_state_not_at_all() -> None:
    state, threshold, leak = (Cause(kind, "a", kind) for kind in ("state", "threshold", "leak"))
    assert _merged([leak, threshold, leak]) == [leak, threshold]
    assert _merged([threshold, state, leak, state]) == [state, leak]
