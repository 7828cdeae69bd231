"""The result of a check: rows that print as a table, and an error that shows the failing ones."""

from __future__ import annotations

import dataclasses

from arcana.testing._table import aligned


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing checked: where, what, whether it held, and the figure that shows it.

    >>> from arcana.surrogate import FastSigmoid
    >>> rows = check_surrogate(FastSigmoid, backends=()).rows
    >>> row = next(row for row in rows if row.what == "peak")
    >>> row.where, row.passed, row.detail
    ('definition', True, '1 found, 1 stated')
    """

    where: str
    what: str
    passed: bool
    detail: str = ""


class ConformanceError(AssertionError):
    """A surrogate failed a check; the message holds the failing rows, `report` all of them.

    >>> from arcana.surrogate import Facts, FastSigmoid
    >>> class Wrong(FastSigmoid):
    ...     @staticmethod
    ...     def facts(*, scale):
    ...         return Facts(peak=2.0, area=2 / scale)
    >>> check_surrogate(Wrong, backends=())
    Traceback (most recent call last):
        ...
    arcana.testing._report.ConformanceError: 1 of 14 checks failed
    """

    def __init__(self, report: Report) -> None:
        failing = Report(report.subject, tuple(row for row in report.rows if not row.passed))
        super().__init__(f"{len(failing.rows)} of {len(report.rows)} checks failed\n{failing}")
        self.report = report


@dataclasses.dataclass(frozen=True)
class Report:
    """The rows of one surrogate's checks; printed, a table.

    >>> from arcana.surrogate import FastSigmoid
    >>> report = check_surrogate(FastSigmoid, backends=())
    >>> report.passed, report.subject
    (True, 'FastSigmoid(scale=10.0)')
    """

    subject: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows)

    def __str__(self) -> str:
        lines = aligned([("ok" if row.passed else "FAIL", row.where, row.what, row.detail) for row in self.rows])
        return "\n".join([self.subject, *lines])
