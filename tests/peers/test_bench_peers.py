"""The benchmark with the libraries: all are timed that compute what their preset says, and each is called as it means to be."""

from __future__ import annotations

import numpy as np
import pytest
from cases import DIFFERENCES

from arcana import presets, surrogate as definitions
from arcana.bench import torch_side
from arcana.bench.candidates import Case, peers_of
from arcana.bench.libraries import LIBRARIES, evaluate
from arcana.bench.records import Settings
from arcana.bench.run import layer_arrays

every_framework = pytest.mark.parametrize("framework", ["torch", "jax"])


@every_framework
def test_all_are_timed_but_the_one_that_raises(framework: str) -> None:
    found = [peers_of(framework, surrogate) for surrogate in definitions.names()]
    peers = [each for peers, _ in found for each in peers]
    left_out = {name for _, reasons in found for name in reasons}
    timed = {each.label for each in peers}
    known = {name for library in LIBRARIES if LIBRARIES[library].framework == framework for name in presets.names(library)}
    assert known - timed == {name for name in known if name in DIFFERENCES and DIFFERENCES[name].raises}
    assert left_out == known - timed
    assert {each.label for each in peers if each.differs} == timed & set(DIFFERENCES)


@every_framework
def test_ours_is_beside_each_with_its_numbers(framework: str) -> None:
    for name in definitions.names():
        candidates = Case(Settings(), "elementwise", framework, "compiled", name).candidates()
        ours = {each.numbers for each in candidates if each.label == "arcana"}
        peers = {each.numbers for each in candidates if "." in each.label}
        assert ours == (peers or {repr(definitions.get(name))})


def test_a_library_that_takes_the_threshold_off_itself_gets_the_potential() -> None:
    """Sinabs: the layer must not take it off twice."""
    (theirs,) = [each for each in peers_of("torch", "exponential")[0] if each.label == "sinabs.single_exponential"]
    assert theirs.threshold == 1.0
    assert theirs.surrogate is not None
    spikes, weight, _ = layer_arrays(neurons=32, steps=12)
    spikes = torch_side.array(spikes, "float32")
    (ours,) = torch_side.ours(theirs.surrogate, "eager")
    our_spikes, our_gradient = evaluate("torch", torch_side.network(ours, spikes, "eager")[0], weight)
    their_spikes, their_gradient = evaluate("torch", torch_side.network(theirs, spikes, "eager")[0], weight)
    np.testing.assert_array_equal(our_spikes, their_spikes)
    np.testing.assert_allclose(our_gradient, their_gradient, rtol=1e-4, atol=1e-4)
