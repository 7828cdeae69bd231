"""Checks for users' surrogates and for our own: the conformance suite of a definition."""

from arcana.testing._report import ConformanceError, Report, Row
from arcana.testing._surrogate import check_surrogate

__all__ = ["ConformanceError", "Report", "Row", "check_surrogate"]
