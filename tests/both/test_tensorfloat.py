"""Products in TensorFloat-32: on one side a cause that inputs and weights show, on both rounding, and no excuse for a fault."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import scipy.optimize
import torch
from faults import NETWORKS
from made import BOUND, evidence
from networks import _ten_bits, run

from arcana.testing import Divergence, Layer, Run, first_divergence
from arcana.testing._products import _borders, matrices, sums
from arcana.testing._rounding import CONFIDENCE, UNIT, accumulated_rounding, shortened
from arcana.testing._sides import side_by_side
from arcana.testing._tensorfloat import _explained, _given, _holds, _of_step, reduced, resembles, shared

TENSORFLOAT, TRUNCATED = "tensorfloat32", "tensorfloat32, truncated"
SWITCHES = (
    'jax.default_matmul_precision("highest")',
    "torch.backends.cuda.matmul.allow_tf32 = False",
    "torch.backends.cudnn.allow_tf32 = False",
)
SEED = 5
DELAYED = "recurrent, adaptive, refractory, delayed"


def runs(*products: str | None, title: str = "dense", given: bool = True, **change: Any) -> tuple[Run, Run]:
    """Two runs of one network with such products, the other with a change of its first layer."""
    network, inputs = NETWORKS[title](np.random.default_rng(SEED))
    sides = (network, dataclasses.replace(network.part(0, **change), order="chunked"))
    found = [
        run(dataclasses.replace(side, products=each), inputs, given=given) for side, each in zip(sides, products, strict=True)
    ]
    # A weight that changed is used and not told.
    return found[0], dataclasses.replace(found[1], parameters=found[0].parameters)


def test_factors_have_ten_bits() -> None:
    unit = 2.0**-10
    ties = np.array([1 + unit / 2, -1 - unit / 2, 1 + 1.5 * unit])
    assert shortened(ties).tolist() == [1 + unit, -1 - unit, 1 + 2 * unit]
    assert shortened(ties, even=True).tolist() == [1, -1, 1 + 2 * unit]
    assert shortened(ties, truncated=True).tolist() == [1, -1, 1 + unit]
    odd = np.array([np.inf, -np.inf, np.nan, 0.0, np.finfo(np.float32).max])
    np.testing.assert_array_equal(shortened(odd), [np.inf, -np.inf, np.nan, 0, np.inf])
    np.testing.assert_array_equal(shortened(odd, truncated=True)[:4], odd[:4])
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    for truncated, half in ((False, 0.5), (True, 0.0)):
        np.testing.assert_array_equal(shortened(values, truncated=truncated), _ten_bits(values, half))


def test_the_bound_is_that_of_two_factors_and_of_sums_in_float32() -> None:
    steps, unit = np.arange(1, 4), UNIT[TENSORFLOAT]
    assert unit == UNIT["float16"]
    own = accumulated_rounding("float32", 100, np.ones(3)) + CONFIDENCE * unit * np.sqrt(4.0 * steps)
    np.testing.assert_allclose(accumulated_rounding(TENSORFLOAT, 100, np.ones(3)), own)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(("width", "stride"), [(1, 2), (3, 1), (3, 2), (5, 3)])
def test_convolutions_are_those_of_both_frameworks(size: int, width: int, stride: int) -> None:
    generator = np.random.default_rng(0)
    x, weight = generator.normal(size=(2, 3, 4, size, size + 1)), generator.normal(size=(5, 4, width, width))
    first = torch.from_numpy(x).flatten(0, 1), torch.from_numpy(weight)
    last, kernel = x.transpose(0, 1, 3, 4, 2), weight.transpose(2, 3, 1, 0)
    wanted = [
        (x, weight, torch.nn.functional.conv2d(*first, stride=stride, padding=border).numpy()) for border in range(width // 2 + 1)
    ]
    with jax.enable_x64(True):
        for padding in ("SAME", "VALID"):
            layout = ("NHWC", "HWIO", "NHWC")
            image, filters = jnp.asarray(last.reshape(-1, *last.shape[2:])), jnp.asarray(kernel)
            found = jax.lax.conv_general_dilated(image, filters, (stride, stride), padding, dimension_numbers=layout)
            wanted.append((last, kernel, np.asarray(found)))
    for given, used, found in wanted:
        ways = [each.of(given.reshape(2, 3, -1), used) for each in sums({"kernel": used}, given.shape[2:], found.shape[1:])]
        assert any(np.allclose(each.reshape(found.shape), found) for each in ways)


@pytest.mark.parametrize(("stride", "border"), [(1, 0), (1, 2), (4, 1)])
def test_a_convolution_along_one_axis_has_its_channels_first_or_last(stride: int, border: int) -> None:
    generator = np.random.default_rng(0)
    x, weight = generator.normal(size=(2, 3, 4, 11)), generator.normal(size=(5, 4, 3))
    first = torch.from_numpy(x).flatten(0, 1), torch.from_numpy(weight)
    found = torch.nn.functional.conv1d(*first, stride=stride, padding=border).numpy()
    for given, used, wanted in ((x, weight, found), (x.swapaxes(2, 3), weight.transpose(2, 1, 0), found.swapaxes(1, 2))):
        ways = [each.of(given.reshape(2, 3, -1), used) for each in sums({"kernel": used}, given.shape[2:], wanted.shape[1:])]
        assert any(np.allclose(each.reshape(wanted.shape), wanted) for each in ways)
    # No stride beyond four, no weight of whole numbers, and none of other channels.
    assert not list(sums({"kernel": weight}, (4, 51), (5, 10)))
    assert not list(sums({"kernel": weight.astype(int)}, (4, 11), found.shape[1:]))
    assert not list(sums({"kernel": weight}, (3, 11), found.shape[1:]))


def test_the_zeros_around_an_image_are_those_that_give_its_places() -> None:
    """n on both sides, where (size + 2n − width) // stride + 1 places fit, and half of what "SAME" adds for size / stride."""
    for before, after, widths, stride, expected in (
        ([5], [3], [3], 1, [(0,)]),
        ([8], [8], [3], 1, [(1,)]),
        # "SAME" adds one zero, behind.
        ([8], [4], [3], 2, [(1,), (0,)]),
        ([9], [5], [4], 2, [(2,), (1,)]),
        # (8 − 3) // 4 + 1 = (8 + 2 − 3) // 4 + 1 = 2.
        ([8], [2], [3], 4, [(0,), (1,)]),
        # Of 0 or 1 and of 1 or 2 the axes have 1 in common; and of 1 and of 2 nothing.
        ([8, 9], [2, 3], [3, 3], 4, [(1, 1), (0, 1)]),
        ([5, 7], [5, 7], [3, 5], 1, [(1, 2)]),
        # Of 0 or 1 and of 2 or 3 the least.
        ([8, 9], [2, 3], [3, 4], 4, [(0, 2), (0, 1)]),
        # Fewer zeros than a kernel is wide, or no place would see the image alone.
        ([5], [9], [3], 1, []),
        ([5], [7], [3], 1, [(2,)]),
    ):
        assert _borders(before, after, widths, stride) == expected


def test_a_weight_fits_between_so_many_inputs_and_neurons() -> None:
    oblong, square = np.arange(6.0).reshape(2, 3), np.arange(4.0).reshape(2, 2)
    given = {
        "a": oblong,
        "b": oblong.T,
        "c": oblong.astype(ml_dtypes.bfloat16),
        "square": square,
        "whole": oblong.astype(int),
        "deep": oblong[None],
    }
    found = [(name, weight.dtype.name, weight.tolist()) for name, weight in matrices(given, 2, 3)]
    assert found == [(name, "float64", oblong.tolist()) for name in "abc"]
    assert [weight.tolist() for _, weight in matrices(given, 2, 2)] == [square.tolist(), square.T.tolist()]


def test_a_layer_adds_up_all_that_it_gets_by_a_matrix() -> None:
    x, weight = np.arange(12.0).reshape(2, 1, 6), np.arange(30.0).reshape(6, 5)
    for inputs, neurons in (((6,), (5,)), ((2, 3), (5,)), ((3, 2), (1, 5))):
        (way,) = sums({"w": weight}, inputs, neurons)
        np.testing.assert_array_equal(way.of(x, way.weight), x @ weight)


def begun(neurons: int = 40, *, beyond: int = 40, positive: int = 20, size: float = 1.0) -> bool:
    """Whether neurons that differ in a first step by such multiples of TensorFloat-32's roundoff resemble its products."""
    one = np.ones((4, 1, neurons))
    apart = np.where(np.arange(neurons) < positive, 1.0, -1.0) * size * UNIT[TENSORFLOAT]
    apart = np.where(np.arange(neurons) % neurons < beyond, apart, 0.5 * BOUND * np.sign(apart))
    other = one + apart * (np.arange(4) > 0)[:, None, None]
    return resembles(evidence(one, other))


def test_what_resembles_products_in_tensorfloat_has_their_size_and_both_signs() -> None:
    assert begun()
    assert begun(size=2.0)
    assert begun(size=2.0**-6)
    assert not begun(size=2.0 + 2**-7)
    assert not begun(size=2.0**-6 * (1 - 2**-7))
    # A quarter of the neurons, and a tenth of either sign.
    assert begun(beyond=10)
    assert not begun(beyond=9, positive=5)
    assert begun(positive=4)
    assert begun(positive=36)
    assert not begun(positive=3)
    assert not begun(positive=37)
    assert begun(200, beyond=200, positive=180)
    assert not begun(200, beyond=200, positive=181)
    assert not begun(200, beyond=200, positive=19)
    # Those that do not differ at all have no sign: 22 of 24 are positive.
    one, d = np.ones((4, 1, 40)), UNIT[TENSORFLOAT] * np.repeat([1.0, -1.0, 0.0], [22, 2, 16]) * (np.arange(4) > 0)[:, None, None]
    assert not resembles(evidence(one, one + d))
    # The third quartile of thirty neurons of size 1 and ten of 100 is 1 + 99 / 4.
    one, d = np.repeat([1.0, 100.0], [30, 10]) * np.ones((4, 1, 40)), UNIT[TENSORFLOAT] * np.tile([1.0, -1.0], 20)
    for size, told in ((0.41, True), (0.39, False), (51.4, True), (51.6, False)):
        assert resembles(evidence(one, one + size * d * (np.arange(4) > 0)[:, None, None])) == told
    assert not resembles(evidence(np.ones((4, 1, 40)), np.ones((4, 1, 40))))
    # Neurons of the first step in which some differ count, if they have not fired and are not 0.
    one = np.ones((4, 1, 240))
    apart = np.where(np.arange(240) < 40, UNIT[TENSORFLOAT] * (-1.0) ** np.arange(240), 0) * (np.arange(4) > 0)[:, None, None]
    assert not resembles(evidence(one, one + apart))
    others = np.arange(240) >= 40
    assert resembles(evidence(np.where(others, 0, one), np.where(others, 0, one + apart)))
    assert resembles(evidence(one, one + apart, fired=others & (np.arange(4) < 1)[:, None, None]))


def test_sums_hold_the_change_of_their_factors_where_little_else_is_left() -> None:
    """Of the potentials that follow the sums what the change of the factors brings, to a half of it either way."""
    generator = np.random.default_rng(0)
    plain, change, rest = generator.normal(size=(3, 8, 40))
    change, rest = 1e-3 * change, 1e-3 * rest

    def holds(part: float, left: float = 0.0, gain: float = 2.0) -> bool:
        return _holds(gain * (plain + part * change) + left * rest + generator.normal(size=40), plain, change)

    for gain in (2.0, -2.0):
        assert all(holds(part, gain=gain) for part in (0.502, 1, 1.498))
        assert not any(holds(part, gain=gain) for part in (-1, 0.498, 1.502))
    assert holds(1, 0.4)
    assert not holds(1, 0.55)
    # Potentials that are 0 are some too.
    assert _holds(plain + change - (plain + change)[0], plain, change)
    assert not _holds(np.full((8, 40), np.nan), plain, change)
    assert not _holds(plain, plain, 0 * change)
    assert not _holds(plain, 0 * plain, change)


def explained(d: Any, change: Any, one: Any = None) -> tuple[bool, int] | None:
    """Whether the other run has the change where potentials of the one differ by d, and the number of terms that say so."""
    one = np.random.default_rng(1).uniform(0.2, 0.8, d.shape) if one is None else one
    found = _explained(evidence(one, one + d), change)
    return None if found is None else (found[0], found[1].count)


def test_a_change_of_sums_is_told_at_the_first_step_or_where_differences_begin() -> None:
    """Of all neurons alike or of each by itself, in 8 places more than coefficients: other steps hide it."""
    generator = np.random.default_rng(0)
    each = generator.uniform(0.5, 2.0, 10)
    noise, everywhere, neuron = 1e-3 * generator.normal(size=(12, 8, 10)), np.ones((8, 10)), np.arange(10) < 1
    for where, samples, gain, expected in (
        # Forty places at the first step: five terms for all neurons, and of ten neurons fifty are too many.
        ({0: everywhere}, 4, 2.0, True),
        ({0: everywhere}, 4, -2.0, False),
        ({0: everywhere}, 4, each, None),
        ({0: everywhere}, 8, each, True),
        ({0: everywhere}, 8, -each, False),
        # Of four places there, and of twenty where differences begin later, or of forty.
        ({0: neuron, 4: neuron | (np.arange(8) < 2)[:, None], 8: neuron | (np.arange(8) < 2)[:, None]}, 4, 2.0, True),
        ({0: neuron, 4: neuron | (np.arange(8) < 1)[:, None], 8: neuron | (np.arange(8) < 2)[:, None]}, 4, each, None),
        ({0: neuron, 4: everywhere, 8: everywhere}, 4, each, True),
        ({0: neuron, 4: everywhere, 8: everywhere}, 4, -each, False),
    ):
        change = np.zeros((12, samples, 10))
        for step, places in where.items():
            change[step] = 1e-3 * generator.normal(size=(samples, 10)) * np.broadcast_to(places, (8, 10))[:samples]
        d = gain * change
        for step in where:
            d[step + 1] = noise[step, :samples] * (d[step] != 0)
        # What begins where no change does.
        if len(where) == 1:
            d[6] = noise[6, :samples]
        for late in (0, 2):
            found = explained(np.roll(d, late, axis=0), change)
            assert found == (None if expected is None else (expected, 5)), (where, samples, late)


def test_what_else_differs_is_taken_off_a_change_of_sums() -> None:
    generator = np.random.default_rng(0)
    # Twelve places in a step and six in a neuron, so that all of them must show it.
    change, one = 1e-3 * generator.normal(size=(6, 1, 12)), generator.uniform(0.2, 0.8, (6, 1, 12))
    for scale, bias, kept, before, terms in (
        (0.0, 0.0, 0.0, 0.0, 3),
        (0.0, 0.0, 0.5, 0.3, 3),
        (0.01, 0.0, 0.5, 0.3, 6),
        (0.0, 0.02, 0.5, 0.0, 6),
        (0.01, 0.02, 0.5, 0.3, 6),
    ):
        d = np.zeros_like(change)
        for step in range(len(d)):
            d[step] = change[step] + scale * one[step] + bias
            d[step] += kept * d[step - 1] if step > 0 else 0.0
            d[step] += before * d[step - 2] if step > 1 else 0.0
        assert explained(d, change, one) == (True, terms)
        # Without the change a law of these terms is none of it.
        other = np.random.default_rng(2).permutation(change.ravel()).reshape(change.shape)
        assert explained(d, other, one) is None
    assert explained(0.01 * one, change, one) is None
    assert explained(0 * one, change, one) is None
    assert explained(change, 0 * change, one) is None
    assert explained(change, np.where(np.arange(6)[:, None, None] == 3, np.inf, change), one) is None


def test_a_change_of_sums_shows_up_to_three_steps_late() -> None:
    change = 1e-3 * np.random.default_rng(0).normal(size=(12, 4, 10))
    change[:2] = 0
    for late, expected in ((-1, None), (0, True), (1, True), (2, True), (3, True), (4, None)):
        d = np.zeros_like(change)
        d[2 + late :] = change[2 : 12 - late] if late >= 0 else [*change[2:], change[0]]
        found = explained(d, change)
        assert (found and found[0]) == expected


def test_a_change_of_sums_leaves_a_twentieth_of_what_the_other_laws_leave() -> None:
    """Of differences of few roundings, so that what is left is rounding: shares by NumPy's own least squares."""
    generator = np.random.default_rng(0)
    # So few samples that a neuron by itself shows nothing.
    shape = 2, 4, 80
    one, change, rest = generator.uniform(0.2, 0.8, shape), generator.normal(size=shape), generator.uniform(-1, 1, shape)
    change[0] = np.sign(change[0]) * generator.uniform(1.5, 2.5, shape[1:])
    terms = [x[0].ravel() for x in (BOUND * change, BOUND * change * one, one, np.ones(shape))]

    def difference(size: float) -> Any:
        # The other laws explain most of it.
        return BOUND * (change + size * rest + 6 * one) * [[[1]], [[100]]]

    def share(size: float) -> float:
        y = difference(size)[0].ravel()
        left, without = (np.linalg.lstsq(np.stack(x, axis=1), y, rcond=None)[1].item() for x in (terms, terms[2:]))
        return left / without

    for wanted, expected in ((0.0499, True), (0.0501, False)):
        size = scipy.optimize.brentq(lambda size, wanted=wanted: share(size) - wanted, 0.5, 0.99)
        assert (explained(difference(size), BOUND * change, one) is not None) == expected


def test_the_neurons_of_a_step_have_an_axis_of_samples_before_them_or_none() -> None:
    assert _of_step((3, 5), 3) == _of_step((5,), 3) == (5,)
    assert _of_step((3,), 3) == (3,)
    assert _of_step((3, 4, 5), 3) == _of_step((4, 5), 3) == (4, 5)


@pytest.mark.parametrize("without", [0, 1])
def test_inputs_and_weights_that_one_run_holds_are_those_of_both(without: int) -> None:
    sides = list(runs(None, TENSORFLOAT))
    sides[without] = dataclasses.replace(sides[without], inputs=None, parameters={})
    assert [each.layer for each in reduced(*sides, side_by_side(*sides, 1.0, None))] == ["layer 1", "layer 2"]


@pytest.mark.parametrize("ties", [False, True])
def test_each_way_to_shorten_factors_is_told_from_the_others(ties: bool) -> None:
    """Of either run, or of both: ties are rounded away from zero or to even."""
    generator = np.random.default_rng(0)
    x, weight = generator.normal(size=(4, 8, 30)).astype(np.float32), generator.normal(size=(30, 20)).astype(np.float32)
    if ties:
        x, weight = ((each.view(np.uint32) & 0xFFFFE000 | 0x1000).view(np.float32) for each in (x, weight))
    ways = {"": {}, "rounded": {}, "even": {"even": True}, "truncated": {"truncated": True}}
    layers = {
        way: Layer(np.matmul(*(shortened(each, **how) if way else each.astype(float) for each in (x, weight))).astype(np.float32))
        for way, how in ways.items()
    }
    rounding = "even" if ties else "rounded"
    pairs = [("", rounding, "rounded", True), (rounding, "", "rounded", False)]
    pairs += [("truncated", rounding, "", True), (rounding, "truncated", "", False)]
    # What is cut off a tie is what rounding adds to it.
    pairs += [] if ties else [("", "truncated", "truncated", True), ("truncated", "", "truncated", False)]
    for one, other, way, in_other in pairs:
        sides = [Run({"layer": layers[each]}, x, {"w": weight}) for each in (one, other)]
        (found,) = reduced(*sides, side_by_side(*sides, None, None))
        assert (found.layer, found.way, found.in_other) == ("layer", way, in_other), (one, other)


@pytest.mark.parametrize("begins", [0, 2])
def test_both_runs_have_them_where_their_first_sums_hold_the_factors_that_both_shorten(begins: int) -> None:
    generator = np.random.default_rng(0)
    x, weight = generator.normal(size=(6, 8, 30)).astype(np.float32), generator.normal(size=(30, 20)).astype(np.float32)
    x[:begins] = 0
    plain, short = (a @ b for a, b in ((x.astype(float), weight.astype(float)), (shortened(x), shortened(weight))))
    neuron = np.zeros(plain.shape)
    neuron[-1, 0, 0] = 1e-3

    def found(one: Any, other: Any, dtype: str = "float32", silent: bool = False) -> list[str]:
        sides = [Run({"layer": Layer(each.astype(dtype))}, x * (not silent), {"w": weight}) for each in (one, other)]
        return shared(*sides, side_by_side(*sides, None, None))

    assert found(short, short + neuron) == ["layer"]
    assert found(plain, short) == found(short, plain) == found(plain, plain + neuron) == []
    # Without a difference there is nothing to excuse, in float64 they are no such products, and of 0 there are none.
    assert found(short, short) == found(short, short + neuron, "float64") == found(short, short + neuron, silent=True) == []


def test_a_layer_that_does_not_fire_gives_its_potentials_on() -> None:
    generator = np.random.default_rng(0)
    first = generator.normal(size=(6, 4, 30)).astype(np.float32)
    weight = generator.normal(size=(30, 20)).astype(np.float32)
    after = [x @ w for x, w in ((first, weight), (_ten_bits(first, 0.5), _ten_bits(weight, 0.5)))]
    sides = [Run({"a": Layer(first), "b": Layer(each)}, None, {"w": weight}) for each in after]
    ((found,), (exchanged,)) = (reduced(*each, side_by_side(*each, None, None)) for each in (sides, sides[::-1]))
    assert (found.layer, found.way, found.in_other) == ("b", "rounded", True)
    assert (exchanged.layer, exchanged.way, exchanged.in_other) == ("b", "rounded", False)
    # Potentials of as many steps and samples, of real numbers, and weights that fit, or nothing is known.
    for inputs, given in ((first[1:], weight), (first[:, 1:], weight), (first + 0j, weight), (first, first[0])):
        sides = [Run({"b": Layer(each)}, inputs, {"w": given}) for each in after]
        together = side_by_side(*sides, None, None)
        assert not reduced(*sides, together)
        assert _given(*sides, together, 0) is None


@pytest.mark.parametrize("way", [TENSORFLOAT, TRUNCATED])
@pytest.mark.parametrize("title", ["dense", "convolution, batch normalization", "Izhikevich", "exponential", DELAYED])
def test_the_run_and_the_switches_are_named(title: str, way: str) -> None:
    threshold = {"Izhikevich": 30.0, "exponential": 0.0}.get(title, 1.0)
    for products, low, high in (((None, way), "JAX", "torch"), ((way, None), "torch", "JAX")):
        (cause,) = first_divergence(*runs(*products, title=title), threshold=threshold).causes
        assert cause.kind == "dtype"
        assert cause.evidence.startswith(f"products of {low} in layer 'layer 1'")
        assert f"{'truncated' if way == TRUNCATED else 'rounded'} to 10 bits, and those of {high} are not" in cause.evidence
        assert all(each in cause.evidence for each in SWITCHES)


def test_a_narrow_layer_of_one_sample_shows_it_over_all_steps() -> None:
    sides = []
    for each in runs(None, TENSORFLOAT):
        first, second = each.layers.values()
        assert first.spikes is not None
        assert second.spikes is not None
        quiet = [neuron for neuron in range(40) if not second.spikes[:, 0, neuron].any()][:5]
        layers = {
            "layer 1": Layer(first.potentials[:, :1], first.spikes[:, :1]),
            "layer 2": Layer(second.potentials[:, :1, quiet]),
        }
        sides.append(Run(layers, None, {"weight": each.parameters["layer 2.weight"][:, quiet]}))
    (cause,) = first_divergence(*sides).causes
    assert "layer 2" in cause.evidence


def test_the_run_is_that_whose_sums_are_short_however_a_neuron_takes_them() -> None:
    """An exponential far from zero: what it takes of a change is its potential less a constant, which is the larger."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(0, 0.5, (4, 8, 30)).astype(np.float32)
    weight = generator.normal(0, 0.5, (30, 20)).astype(np.float32)
    factors = (inputs, weight), (_ten_bits(inputs, 0.5), _ten_bits(weight, 0.5))
    sides = [Run({"layer": Layer((10 + np.exp(x @ w)).astype(np.float32))}, inputs, {"w": weight}) for x, w in factors]
    for order, low in ((sides, "JAX"), (sides[::-1], "torch")):
        assert first_divergence(*order).causes[0].evidence.startswith(f"products of {low} in layer 'layer'")


def test_an_input_that_is_no_number_hides_nothing() -> None:
    one, other = runs(None, TENSORFLOAT)
    assert one.inputs is not None
    inputs, potentials = one.inputs.copy(), [each.layers["layer 1"].potentials for each in (one, other)]
    inputs[0, 0, 0] = potentials[0][:, 0] = potentials[1][:, 0] = np.nan
    found = first_divergence(*(dataclasses.replace(each, inputs=inputs) for each in (one, other)))
    assert [cause.kind for cause in found.causes] == ["dtype"]
    assert "in layer 'layer 1' and layer 'layer 2'" in found.causes[0].evidence


def test_ties_that_are_rounded_to_even_are_no_other_cause() -> None:
    """Every weight is a tie, which the run of the helpers rounds away from zero."""
    network, inputs = NETWORKS["dense"](np.random.default_rng(SEED))
    weight = (network.parts[0].weight.view(np.uint32) & 0xFFFFE000 | 0x1000).view(np.float32)
    even = shortened(weight, even=True).astype(np.float32)
    assert 0.4 < np.mean(even != _ten_bits(weight, 0.5)) < 0.6
    sides = [run(network.part(0, weight=each), inputs) for each in (weight, even)]
    (cause,) = first_divergence(sides[0], dataclasses.replace(sides[1], parameters=sides[0].parameters)).causes
    assert (cause.kind, cause.where) == ("dtype", "layer 1")


def test_one_layer_may_have_them_alone() -> None:
    (cause,) = first_divergence(*runs(None, None, title="affine channels, margins alone", products=TENSORFLOAT)).causes
    assert (cause.kind, cause.where) == ("dtype", "layer 1")
    assert "layer 2" not in cause.evidence


def test_without_inputs_a_later_layer_shows_it() -> None:
    found = first_divergence(*(dataclasses.replace(each, inputs=None) for each in runs(None, TENSORFLOAT)))
    (cause,) = found.causes
    assert (cause.kind, cause.where) == ("dtype", "layer 2")
    assert "layer 'layer 1' differs as if they were there too" in cause.evidence


def hint(found: Divergence) -> bool:
    return found.verdict == "unknown" and "record inputs and weights too" in found.causes[0].evidence


def test_arrays_alone_may_be_such_products_and_that_is_no_cause() -> None:
    assert hint(first_divergence(*runs(None, TENSORFLOAT, given=False)))
    assert hint(first_divergence(*runs(TRUNCATED, None, given=False, title="margins alone")))
    generator = np.random.default_rng(1)
    weight = NETWORKS["dense"](np.random.default_rng(SEED))[0].parts[0].weight
    few = weight.copy()
    few[:, :3] *= 1 + np.float32(2.0**-11) * generator.choice([-1, 1], (60, 3)).astype(np.float32)
    assert not hint(first_divergence(*runs(None, None, given=False, weight=few)))
    for error in (0.05, 2.0**-11):
        wrong = weight * (1 + error * generator.uniform(-1, 1, weight.shape)).astype(np.float32)
        # Weights that are so near to what is recorded do not show it, and those that are known refute it.
        found = [first_divergence(*runs(None, None, given=given, weight=wrong)) for given in (False, True)]
        assert [each.verdict for each in found] == ["unknown", "unknown"]
        assert [hint(each) for each in found] == [error < 0.01, False]
    another = generator.permutation(weight.ravel()).reshape(weight.shape)
    assert not hint(first_divergence(*runs(None, None, given=False, weight=another)))


@pytest.mark.parametrize("given", [False, True])
def test_on_both_sides_they_are_rounding_where_that_is_said(given: bool) -> None:
    one, other = runs(TENSORFLOAT, TRUNCATED, given=given)
    found = first_divergence(one, other, dtype=TENSORFLOAT)
    assert (found.verdict, found.dtype) == ("rounding", TENSORFLOAT)
    layers = [
        {name: dataclasses.replace(layer, dtype=TENSORFLOAT) for name, layer in each.layers.items()} for each in (one, other)
    ]
    assert first_divergence(*(Run(each) for each in layers)).verdict == "rounding"


def test_inputs_and_weights_show_that_both_sides_have_them() -> None:
    for products, rounding, truncating in (
        ((TENSORFLOAT, TRUNCATED), "torch", "JAX"),
        ((TRUNCATED, TENSORFLOAT), "JAX", "torch"),
    ):
        found = first_divergence(*runs(*products))
        assert found.verdict == "rounding"
        assert f"factors rounded in {rounding} and truncated in {truncating}" in found.notes[0]


def test_both_sides_may_round_ties_apart() -> None:
    """As PyTorch and JAX did on one GPU: three weights whose factors are one unit apart, which in float32 would be a fault."""
    weight = NETWORKS["dense"](np.random.default_rng(SEED))[0].parts[0].weight
    apart = weight.copy()
    apart[0, :3] = shortened(weight[0, :3]) * (1 + 2.0**-10)
    assert first_divergence(*runs(None, None, weight=apart)).verdict == "unknown"
    found = first_divergence(*runs(TENSORFLOAT, TENSORFLOAT, weight=apart))
    assert found.verdict in ("same", "rounding")
    assert "products of both runs are in TensorFloat-32, so rounding is that of it" in found.notes[0]
    # Where they do not differ by it, float32 judges, which is stricter.
    assert first_divergence(*runs(TENSORFLOAT, TENSORFLOAT)).dtype == "float32"
    assert first_divergence(*runs(TENSORFLOAT, TENSORFLOAT, weight=apart, gain=1.02)).verdict == "scale"
    assert first_divergence(*runs(TENSORFLOAT, TENSORFLOAT, weight=apart, leak=0.87)).verdict == "leak"


def test_samples_that_are_all_alike_show_nothing() -> None:
    sides = []
    for each in runs(TENSORFLOAT, TRUNCATED):
        assert each.inputs is not None
        layers = {name: Layer(layer.potentials[:, [0, 0]], layer.spikes[:, [0, 0]]) for name, layer in each.layers.items()}
        sides.append(Run(layers, each.inputs[:, [0, 0]], each.parameters))
    assert not shared(*sides, side_by_side(*sides, 1.0, None))


def test_a_fault_beside_them_is_named_first() -> None:
    found = first_divergence(*runs(None, TENSORFLOAT, leak=0.87, reset="zero"))
    assert [cause.kind for cause in found.causes] == ["leak", "dtype"]
    found = first_divergence(*runs(None, TENSORFLOAT, reset="zero"))
    assert [cause.kind for cause in found.causes] == ["reset", "dtype"]


def test_constants_are_not_told_in_their_noise() -> None:
    (leak, *_) = first_divergence(*runs(TENSORFLOAT, TRUNCATED, leak=0.89), dtype=TENSORFLOAT).causes
    assert leak.kind == "leak"
    assert "one step before, where none fired: the leak (this explains" in leak.evidence


def test_a_threshold_is_compared_in_float32() -> None:
    """A neuron on each side of the threshold by a thousandth of it, which products may not excuse."""
    potentials = np.random.default_rng(0).normal(0.9, 0.2, (40, 4, 20)).astype(np.float32)
    sides = [Run({"layer": Layer(potentials, potentials >= level)}) for level in (1.0, 1.001)]
    assert first_divergence(*sides, dtype=TENSORFLOAT).verdict == "threshold"
