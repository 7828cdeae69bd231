"""Checks for users and for our own tests: the conformance suite of a definition, and what differs between two frameworks."""

from arcana.testing._cause import Cause
from arcana.testing._compare import Comparison, ComparisonError, compare
from arcana.testing._difference import Leaf, Worst
from arcana.testing._divergence import Divergence, DivergenceError, Flip
from arcana.testing._first_divergence import first_divergence
from arcana.testing._matching import Matching, Pair, match
from arcana.testing._pytest import conformance_test
from arcana.testing._recording import Recording, recording
from arcana.testing._report import ConformanceError, Report, Row
from arcana.testing._runs import Layer, Run, record
from arcana.testing._surrogate import check_surrogate

__all__ = [
    "Cause",
    "Comparison",
    "ComparisonError",
    "ConformanceError",
    "Divergence",
    "DivergenceError",
    "Flip",
    "Layer",
    "Leaf",
    "Matching",
    "Pair",
    "Recording",
    "Report",
    "Row",
    "Run",
    "Worst",
    "check_surrogate",
    "compare",
    "conformance_test",
    "first_divergence",
    "match",
    "record",
    "recording",
]


def __dir__() -> list[str]:
    return sorted(__all__)
