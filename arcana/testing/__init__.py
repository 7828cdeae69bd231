"""Checks for users and for our own tests: the conformance suite of a definition, and what differs between two frameworks."""

from arcana.testing._compare import Comparison, ComparisonError, compare
from arcana.testing._difference import Leaf, Worst
from arcana.testing._report import ConformanceError, Report, Row
from arcana.testing._surrogate import check_surrogate

__all__ = [
    "Comparison",
    "ComparisonError",
    "ConformanceError",
    "Leaf",
    "Report",
    "Row",
    "Worst",
    "check_surrogate",
    "compare",
]
