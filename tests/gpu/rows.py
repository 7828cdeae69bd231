"""The rows of `arcana.testing.check_surrogate` as checks of a session: a row that raises does not end the others."""

from __future__ import annotations

import types
from typing import Any

from session import Session, first_line

from arcana.surrogate import Surrogate
from arcana.testing._second_order import second_order_rows
from arcana.testing._surrogate import _shapes, _transforms

TABLES = ("FIRST", "SECOND", "PARAMETER", "NONLINEAR")


def rows_of(
    session: Session, framework: str, side: Any, surrogates: list[Surrogate], only: tuple[str, ...] = (), mode: str = ""
) -> None:
    """Record every row of these surrogates, or those that `only` names; `mode` is told with each."""
    none: dict[str, Any] = dict.fromkeys(TABLES, ())
    ways = [(table, way) for table in TABLES for way in getattr(side, table) if not only or way in only]
    for table, way in [("", "shapes"), *ways]:
        alone = types.SimpleNamespace(**{**vars(side), **none, **({table: (way,)} if table else {})})
        where = f"{framework} {way}"
        if table and session.late():
            _failed(session, where, surrogates, mode, {"left_out": "no time"})
            continue
        rows = second_order_rows if table == "NONLINEAR" else _transforms if table else _shapes
        try:
            for surrogate, row in rows(surrogates, framework, alone):
                values = {"ok": bool(row.passed), "detail": row.detail[:300]}
                session.record(f"{row.where}, {row.what}, {surrogate.name}{mode}", values)
        except Exception as error:
            _failed(session, where, surrogates, mode, {"ok": False, "error": first_line(error)})


def _failed(session: Session, where: str, surrogates: list[Surrogate], mode: str, values: dict[str, Any]) -> None:
    for surrogate in surrogates:
        session.record(f"{where}, {surrogate.name}{mode}", values)
