"""Each planted fault once, and each situation, in networks that take turns; `nox -s verdicts` counts them over many seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from faults import FAULTS, NETWORKS, Case, planted
from rates import judged
from situations import TENSORFLOATS, situations

SEED = 300
UNKNOWN = {
    ("affine channels, margins alone", "input a step late"),
    ("Izhikevich", "weight transposed"),
    ("input divided by tau", "weights rounded to float16"),
}
"""Faults whose cause these networks do not show at this seed."""


def _one_network_each() -> list[tuple[str, str, bool]]:
    """Each fault with a network that it fits, the next one each time, with and without inputs and weights in turn."""
    built = {title: network(np.random.default_rng(0))[0] for title, network in NETWORKS.items()}
    chosen = []
    for i, (name, fault) in enumerate(FAULTS.items()):
        fitting = [title for title in built if fault.fits(built[title])]
        chosen.append((fitting[i % len(fitting)], name, i % 3 > 0))
    return chosen


@pytest.mark.parametrize(("title", "fault", "given"), _one_network_each())
def test_a_planted_fault(title: str, fault: str, given: bool) -> None:
    case = planted(title, fault, SEED, given=given)
    verdict, causes = judged(case)
    assert verdict not in ("same", "rounding", "cannot tell", "refused")
    if (title, fault) in UNKNOWN:
        assert causes == [("unknown",)]
        return
    assert causes
    assert all(case.kinds & set(kinds) for kinds in causes), causes


def _situations() -> list[tuple[str, str, Callable[[str, int], Case]]]:
    """Every situation; those of products in TensorFloat-32 with a network in turn."""
    networks, names = list(NETWORKS), list(TENSORFLOATS)
    return [
        (title, name, make)
        for title, name, make in situations()
        if name not in names or (networks.index(title) + names.index(name)) % len(names) == 0
    ]


@pytest.mark.parametrize(("title", "name", "make"), _situations())
def test_a_situation(title: str, name: str, make: Callable[[str, int], Case]) -> None:
    case = make(title, SEED)
    verdict, causes = judged(case)
    if name == "bfloat16 on both sides" and verdict == "cannot tell":
        return
    assert (verdict not in ("same", "rounding")) == case.bug, verdict
    assert bool(causes) == case.bug
    assert all(case.kinds & set(kinds) for kinds in causes) or (not case.shown and causes == [("unknown",)])
