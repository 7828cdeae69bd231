"""The rows of `arcana.testing.check_surrogate` as checks of a session: a row that raises does not end the others."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
from session import Session, first_line

from arcana.surrogate import Surrogate
from arcana.testing._second_order import second_order_rows
from arcana.testing._surrogate import _shapes, _transforms


def rows_of(session: Session, framework: str, side: Any, surrogates: list[Surrogate], only: tuple[str, ...] = ()) -> None:
    """Record every row of these surrogates, or those that `only` names."""
    watched = types.SimpleNamespace(**vars(side))
    errors: dict[str, str] = {}
    late: set[str] = set()

    def transform(order: str, name: str, given: Any, *arrays: Any, **named: Any) -> Any:
        if session.late():
            late.add(f"{framework} {name}")
            return np.full(arrays[0].shape, np.nan)
        errors.pop(f"{framework} {name}", None)
        try:
            return side.transform(order, name, given, *arrays, **named)
        except Exception as error:
            errors[f"{framework} {name}"] = first_line(error)
            return np.full(arrays[0].shape, np.nan)

    def nonlinear(name: str, given: Any, paces: Any, circuits: Any, *arrays: Any) -> Any:
        if session.late():
            late.add(f"{framework} {name}")
            return np.full((2, *arrays[0].shape), np.nan)
        errors.pop(f"{framework} {name}", None)
        try:
            return side.nonlinear(name, given, paces, circuits, *arrays)
        except Exception as error:
            errors[f"{framework} {name}"] = first_line(error)
            return np.full((2, *arrays[0].shape), np.nan)

    watched.transform, watched.nonlinear = transform, nonlinear
    for table in ("FIRST", "SECOND", "PARAMETER", "NONLINEAR"):
        rows = vars(side)[table]
        setattr(watched, table, {way: row for way, row in rows.items() if not only or way in only})
    mode = f", {named}" if (named := _compiler(side)) else ""
    for rows in (_shapes, _transforms, second_order_rows):
        for surrogate, row in rows(surrogates, framework, watched):
            values = {"ok": bool(row.passed), "detail": row.detail[:300]}
            if row.where in late:
                values = {"left_out": "no time"}
            elif row.where in errors:
                values = {"ok": False, "error": errors[row.where]}
            session.record(f"{row.where}, {row.what}, {surrogate.name}{mode}", values)


def _compiler(side: Any) -> str:
    """The compiler of torch's rows, where it is not the usual one."""
    named = getattr(side.transform, "keywords", {}).get("compiler", "")
    return "" if named == "aot_eager" else named
