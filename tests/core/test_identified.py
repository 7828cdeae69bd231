"""The law of one run from its inputs and weights, and how two differ: by numbers made for it, each threshold from both sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made import CONSTANT, CURRENT, EACH, GENERATOR, NEURONS, STEPS, evidence, layer, margins

from arcana.testing import Layer, Run
from arcana.testing._evidence import Fit, lag
from arcana.testing._identified import Law, _apart, _drives, _fitted, _poles, differences
from arcana.testing._rounding import rounded
from arcana.testing._sides import side_by_side


def law(v: Any, *, drive: Any = CURRENT, fired: Any = False, by_neuron: bool = False, start: bool = True) -> Law | None:
    found = evidence(v, v, fired)
    return _fitted(found, v, found.alone(0), drive, ("torch", "", "w"), by_neuron=by_neuron, start=start)


SYNAPTIC = [[0.8 + 0.5], [-0.8 * 0.5]]
LAWS: dict[str, tuple[Law | None, Any, Any, Any]] = {
    "leak": (law(layer(0.7, gain=1.25)), [[0.7]], [1.25], [0]),
    "bias": (law(layer(gain=1.25, bias=0.05)), [[0.8]], [1.25], [0.05]),
    "synapse": (law(layer(gain=1.25, synapse=0.5)), SYNAPTIC, [1.25], [0]),
    # What each step adds to the synaptic current adds up there, and half of it is left of the step before.
    "bias behind a synapse": (law(layer(gain=1.25, bias=0.05, synapse=0.5)), SYNAPTIC, [1.25], [0.05]),
    "numbers of each": (
        law(layer(0.8 + EACH, gain=1 + EACH, bias=EACH), by_neuron=True),
        [0.8 + EACH],
        1 + EACH,
        EACH,
    ),
    "negative potentials": (law(-layer(), drive=-CURRENT), [[0.8]], [1], [0]),
    "a scale that turns": (law(layer(), drive=-CURRENT), [[0.8]], [-1], [0]),
    "start": (law(layer(start=0.3), start=False), [[0.8]], [1], [0]),
    "start behind a synapse": (law(layer(synapse=0.5, start=0.3), start=False), SYNAPTIC, [1], [0]),
}


@pytest.mark.parametrize("title", LAWS)
def test_the_law_of_a_run_has_its_numbers(title: str) -> None:
    found, kept, scale, bias = LAWS[title]
    assert found is not None
    for part, expected in ((found.kept, kept), (found.scale, scale), (found.bias, bias)):
        np.testing.assert_allclose(part, expected, rtol=1e-6, atol=1e-9)
    assert (found.name, found.change, found.parameter, found.start) == ("torch", "", "w", not title.startswith("start"))
    assert found.fit.share == pytest.approx(1)


def test_a_law_is_that_of_steps_before_a_spike() -> None:
    """After one anything may follow, whether the first step follows it or a state before that is not known."""
    fired = (np.arange(STEPS)[:, None, None] >= 6) & (np.arange(NEURONS) < 7)
    odd = GENERATOR.uniform(1, 2, CURRENT.shape) * lag(fired, 1)
    for synapse, begin in ((0.0, 0.0), (0.0, 0.3), (0.5, 0.0), (0.5, 0.3)):
        v = layer(synapse=synapse, start=begin) + odd
        assert (law(v, fired=fired) is None) == (begin > 0)
        found = law(v, fired=fired, start=False)
        assert found is not None
        np.testing.assert_allclose(found.kept, SYNAPTIC if synapse else [[0.8]])
        assert law(v) is None
        assert law(v, start=False) is None


def test_margins_have_the_threshold_in_their_law_and_no_first_step() -> None:
    found = margins(layer(gain=1.25), layer(gain=1.25))
    mask = found.alone(0)
    about = ("torch", "", "w")
    assert _fitted(found, found.one, mask, CURRENT, about, by_neuron=False, start=True) is None
    told = _fitted(found, found.one, mask, CURRENT, about, by_neuron=False, start=False)
    assert told is not None
    # v − 1 is 0.8·(v₁ − 1) + I − 0.2.
    np.testing.assert_allclose([told.kept[0, 0], told.scale[0], told.bias[0]], [0.8, 1.25, -0.2])
    # The law of numbers that have no such constant is not one of margins without it.
    plain = evidence(layer(), layer(), offset=True)
    told = _fitted(plain, plain.one, mask, CURRENT, about, by_neuron=False, start=False)
    assert told is not None
    assert (told.fit.coefficients.shape, told.bias[0]) == ((3, 1), pytest.approx(0, abs=1e-9))


def test_a_law_needs_an_input_and_places_that_show_what_is_kept() -> None:
    assert law(layer(), drive=0 * CURRENT) is None
    after = CURRENT * (np.arange(STEPS) > 5)[:, None, None]
    assert law(layer(current=after), drive=after) is not None
    # An input of the first step alone shows nothing where that is left out.
    alone = CURRENT * (np.arange(STEPS) < 1)[:, None, None]
    assert law(layer(current=alone), drive=alone) is not None
    assert law(layer(current=alone), drive=alone, start=False) is None
    assert law(layer(current=after), drive=after, fired=(np.arange(STEPS) < 1)[:, None, None]) is None
    # One place a neuron in the second of two steps: eight more than the two coefficients.
    for neurons, shows in ((10, True), (9, False)):
        current = CURRENT[:2, :1, :neurons]
        assert (law(layer(current=current), drive=current) is not None) == shows
    # A state that is known is nothing that was kept.
    quiet = np.where(np.arange(STEPS)[:, None, None] < STEPS - 1, 1e-9, CURRENT)
    assert law(layer(0.0, current=quiet), drive=quiet) is None


TYPICAL, BOUND = 2.0, 2.0**-10
LIMIT = 4 * BOUND / TYPICAL
"""What constants differ by that move a potential of that size by four times the rounding."""


def some(kept: Any = 0.5, scale: Any = 1.0, bias: Any = 0.0, *, start: bool = True, change: str = "", name: str = "torch") -> Law:
    rows = np.asarray(kept, float).reshape(-1, 1) if np.ndim(kept) < 2 else np.asarray(kept)
    return Law(name, change, "w", rows, np.atleast_1d(scale), np.atleast_1d(bias), start, Fit(rows, 1.0, 1.0, 5, 1))


def kinds(one: Law, other: Law, **settings: Any) -> list[str]:
    v = np.full(CURRENT.shape, -settings.pop("typical", TYPICAL))
    v[0] = 1e3
    # What the other run holds does not count.
    found = evidence(
        v, np.where(v == 1e3, v, np.nan), **{"bound": np.where(np.arange(STEPS) > 0, BOUND, 1e3)[:, None, None], **settings}
    )
    return [" or ".join(cause.kinds) for cause in differences(found, one, other)]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("part", "limit", "kind"), [("kept", LIMIT, "leak"), ("scale", LIMIT, "scale"), ("bias", LIMIT * TYPICAL, "bias")]
)
def test_constants_differ_where_they_move_potentials_beyond_rounding(part: str, limit: float, kind: str, sign: int) -> None:
    base = {"kept": 0.5, "scale": 1.0, "bias": 0.0}
    for by, told in ((1.01 * limit, [kind]), (limit, [])):
        other = some(**{**base, part: base[part] + sign * by})
        assert kinds(some(), other) == kinds(other, some()) == told
        # Of margins a constant is the threshold's.
        assert kinds(some(), other, offset=True) == [each for each in told if each != "bias"]


def test_beside_potentials_of_nothing_the_rounding_itself_is_the_limit() -> None:
    for by, told in ((1.005, ["leak"]), (1, [])):
        assert kinds(some(), some(0.5 + by * 4 * BOUND), typical=0) == told


def test_constants_that_were_computed_in_two_ways_differ_by_some_roundings() -> None:
    for by, told in ((1.01, ["leak"]), (0.99, [])):
        assert kinds(some(), some(0.5 + by * CONSTANT), bound=1e-12) == told


@pytest.mark.parametrize("sign", [1, -1])
def test_a_leak_reaches_the_input_where_the_scales_differ_by_it(sign: int) -> None:
    """To within four times what constants may differ by; the likelier is first, by whether the input of the other is scaled."""
    for kept, pole in ((0.5, 0.5), ([0.8, -0.15], 0.5), ([0.8, -0.15], 0.3), ([0.5, -0.5], 0.25)):
        for by, either in ((3.99, "leak or scale"), (4.01, "scale")):
            reached = some(kept, pole + sign * by * LIMIT)
            assert kinds(some(kept), reached) == kinds(reached, some(kept)) == [either]
    for by, told in ((3.99, "leak or scale"), (4.01, "scale or leak")):
        scale = 1 + sign * by * LIMIT
        assert kinds(some(0.5, scale), some(0.5, 0.5 * scale)) == [told]
    # Numbers of few bits, which lie on the thresholds.
    assert kinds(some(0.5), some(0.5, 0.5 + sign * 4 * LIMIT)) == ["leak or scale"]
    assert kinds(some(0.5, 1 + sign * 4 * LIMIT), some(0.5, 0.5 + sign * 2 * LIMIT)) == ["leak or scale"]
    assert kinds(some(0.5), some(0.5 + sign * LIMIT, 0.5)) == ["leak or scale"]
    # Another leak is no leak that reaches the input.
    assert kinds(some(0.5), some(0.5 + 1.01 * LIMIT, 0.5)) == ["leak", "scale"]
    np.testing.assert_allclose(np.concatenate(_poles(some([0.8, -0.15]))), [0.5, 0.3])


def test_laws_of_two_constants_are_compared_with_their_like() -> None:
    two, other = some([0.8, -0.15]), some([0.9, -0.18])
    assert kinds(some(), two) == kinds(two, some(0.5, 2.0)) == []
    # Which of two constants is the leak is not known.
    assert kinds(two, other) == []
    assert kinds(two, some([0.9, -0.18], 2.0)) == ["scale"]
    assert kinds(some(0.5, 0.5), some(0.6, 0.4)) == ["leak"]
    assert kinds(some([0.5, 0.0], 0.5), some([0.6, 0.0], 0.4)) == ["scale"]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ("transposed", "transposed", "the transpose of it"),
        ("late", "delay", "the input of the step before"),
        ("float16", "dtype", "products in float16"),
    ],
)
def test_what_one_run_does_to_its_weights_is_said(change: str, kind: str, words: str) -> None:
    v = np.ones(CURRENT.shape)
    for one, other in ((change, ""), ("", change)):
        (cause,) = differences(evidence(v, v), some(change=one), some(change=other, name="JAX"))
        odd, right = ("torch", "JAX") if one else ("JAX", "torch")
        told = f"layer 'a' of {odd} computes with {words}, that of {right} with parameter 'w' as recorded (this explains"
        assert (cause.kind, cause.where, cause.evidence.startswith(told)) == (kind, "a", True)
    assert kinds(some(change=change), some(change=change)) == []


@pytest.mark.parametrize("start", [True, False])
def test_another_state_at_the_start_is_said_of_the_run_that_has_it(start: bool) -> None:
    v = np.ones(CURRENT.shape)
    (cause,) = differences(evidence(v, v), some(start=start), some(start=not start, name="JAX"))
    told = f"the first step of layer 'a' in {'JAX' if start else 'torch'} does not begin at zero, and later steps follow one law"
    assert (cause.kind, cause.evidence) == ("state", f"{told}: the state")


def test_numbers_of_each_neuron_differ_by_what_most_of_them_show() -> None:
    each = np.array([[1.0, 2.0, 3.0]])
    assert _apart(each, each[:, ::-1]) == 2
    assert _apart(each, np.array([[2.0]])) == _apart(np.array([[2.0]]), each) == 1
    assert _apart(each, np.array([[5.0, 7.0]])) == 4
    assert _apart(np.array([[1.0], [2.0]]), np.array([[1.5], [-2.0]])) == 4


SQUARE = np.random.default_rng(4).normal(0, 1, (3, 3))
X = np.random.default_rng(5).normal(0, 1, (5, 2, 3))


def drives(
    inputs: Any, potentials: Any, *, source: str = "inputs", parameters: Any = None, dtype: str | None = None
) -> list[Any]:
    """What a layer of three neurons may add up, the first one of inputs or the second of what comes before it."""
    v = np.zeros((5, 2, 3), np.float32)
    before = Layer(potentials, None if source == "potentials" else potentials > 0)
    run = Run({"b": before, "a": Layer(v, 0 * v)}, inputs, parameters or {"w": SQUARE, "v": np.ones((2, 2))})
    sides = side_by_side(run, run, 1.0, None, dtype=dtype)
    found = evidence(v, v, dtype=sides.pairs[0].dtype)
    return list(_drives(found, sides, int(source != "inputs"), 0, run))


def test_what_a_layer_adds_up_is_what_is_recorded_and_then_with_one_change() -> None:
    half = X.astype(np.float32).astype(np.float64)
    for source, x in (("inputs", X), ("spikes", (half > 0).astype(float)), ("potentials", half)):
        told = drives(X, X.astype(np.float32), source=source)
        assert [each[:2] for each in told] == [(each, "w") for each in ("", "transposed", "late", "float16", "bfloat16")]
        expected = [x @ SQUARE, x @ SQUARE.T, np.concatenate([0 * x[:1], x[:-1]]) @ SQUARE]
        expected += [rounded(rounded(x, each) @ rounded(SQUARE, each), each) for each in ("float16", "bfloat16")]
        for drive, wanted in zip(told, expected, strict=True):
            np.testing.assert_allclose(drive[2], wanted, rtol=1e-12, atol=1e-12)
    v = X.astype(np.float32)
    assert [each[0] for each in drives(X, v, dtype="float16")] == ["", "transposed", "late", "bfloat16"]
    oblong = {"u": np.ones((3, 4)), "w": SQUARE[:2]}
    assert [each[:2] for each in drives(X[:, :, :2], v, parameters=oblong)] == [
        (each, "w") for each in ("", "late", "float16", "bfloat16")
    ]
    for inputs in (None, X + 1j, X[:4], X[:, :1], np.where(X[0, 0, 0] == X, np.inf, X)):
        assert drives(inputs, v) == []
