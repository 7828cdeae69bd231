"""Another order of samples or neurons, and a fault besides: both are named where the order explains the first step."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

import numpy as np
import pytest
from faults import NETWORKS
from networks import Network, run

from arcana.testing import Divergence, Layer, first_divergence
from arcana.testing._orders import _layer

THRESHOLD = np.linspace(0.8, 1.2, 60, dtype=np.float32)


def shuffled(title: str, what: str, **change: Any) -> tuple[tuple[Network, Any], tuple[Network, Any]]:
    """A network and its inputs, and both with a change of the first layer and with samples or its neurons in another order."""
    generator = np.random.default_rng(3)
    network, inputs = NETWORKS[title](generator)
    network = network.part(0, threshold=THRESHOLD)
    wrong = dataclasses.replace(network.part(0, **change), order="chunked")
    if what == "samples":
        return (network, inputs), (wrong, np.roll(inputs, 1, axis=1))
    order, first = generator.permutation(60), wrong.parts[0]
    moved = {name: getattr(first, name)[..., order] for name in ("weight", "leak", "threshold") if np.ndim(getattr(first, name))}
    return (network, inputs), (wrong.part(0, **moved).part(1, weight=network.parts[1].weight[order]), inputs)


def found(*sides: tuple[Network, Any], given: bool) -> Divergence:
    return first_divergence(*(run(*side, given=given) for side in sides), threshold={"layer 1": THRESHOLD, "layer 2": 1.0})


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("what", ["samples", "neurons"])
@pytest.mark.parametrize(
    ("change", "kinds"),
    [({"leak": 0.8}, {"leak"}), ({"reset": "zero"}, {"reset"}), ({"threshold": 1.01 * THRESHOLD}, {"threshold"})],
)
def test_a_fault_beside_another_order_is_named(what: str, given: bool, change: dict[str, Any], kinds: set[str]) -> None:
    result = found(*shuffled("dense", what, **change), given=given)
    assert result.verdict == "permuted"
    assert {cause.kind for cause in result.causes} == {"permuted", *kinds}
    assert "what else there is was looked for with JAX in the order of torch" in result.notes
    # What was given says more than the potentials do, once it is in one order.
    assert any("inputs differ" in cause.evidence or "parameter" in cause.evidence for cause in result.causes) == given
    for cause in result.causes:
        assert cause.kind != "leak" or ("computes" in cause.evidence) == (given and what == "samples")


def test_another_order_alone_is_one_cause() -> None:
    for what in ("samples", "neurons"):
        (cause,) = found(*shuffled("dense", what), given=False).causes
        assert cause.kind == "permuted"
        assert "in JAX are those of torch in another order" in cause.evidence


def test_thresholds_that_are_given_belong_to_the_places_of_neurons() -> None:
    """Neurons change places and thresholds do not: each then fires at that of another."""
    potentials = np.random.default_rng(0).normal(0.5, 0.3, (20, 4, 60)).astype(np.float32)
    sides = [(each, each >= THRESHOLD) for each in (potentials, potentials[:, :, ::-1])]
    order, threshold = first_divergence(*sides, threshold=THRESHOLD).causes
    assert (order.kind, threshold.kind) == ("permuted", "threshold")
    assert "thresholds of 60 neurons differ, 0.8 in torch and 1.2 in JAX" in threshold.evidence


def test_a_layer_in_another_order_takes_the_thresholds_of_places_with_it() -> None:
    """Those that were given for both runs, which is where it fires and holds no margins."""
    potentials = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    given, order = np.full(potentials.shape, 0.5) + potentials, np.array([2, 0, 3, 1])
    other = types.SimpleNamespace(potentials=potentials, threshold=given)
    for margins, fires, threshold in ((False, True, given[:, :, order]), (True, True, None), (False, False, None)):
        layer = Layer(potentials, potentials > 9 if fires else None, margins=margins)
        pair: Any = types.SimpleNamespace(other=other, fires=fires)
        moved = _layer(layer, pair, order, samples=False)
        np.testing.assert_array_equal(moved.potentials, potentials[:, :, order])
        assert (moved.threshold is None) == (threshold is None)
        if threshold is not None:
            np.testing.assert_array_equal(moved.threshold, threshold)
    by_sample = _layer(Layer(potentials, potentials > 9, margins=True), pair, order[1:] % 3, samples=True)
    np.testing.assert_array_equal(by_sample.potentials, potentials[:, order[1:] % 3])


def test_where_the_order_does_not_explain_the_first_step_nothing_else_is_said() -> None:
    sides, other = shuffled("dense", "neurons", leak=0.8)
    # The next layer still takes the neurons in the order that they had.
    halfway = (other[0].part(1, weight=sides[0].parts[1].weight), other[1])
    for wrong in (shuffled("dense", "samples", bias=0.05)[1], halfway):
        result = found(sides, wrong, given=True)
        assert [cause.kind for cause in result.causes] == ["permuted"]
        assert any("nothing else was looked for" in note for note in result.notes)
