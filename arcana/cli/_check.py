"""`arcana check`: the conformance suite of one surrogate."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import Annotated

import typer

from arcana.cli._shared import CHOICES, Assignments, Json, as_text, backends_of, fail, surrogate_or_own
from arcana.testing import backends


def check(
    name: Annotated[str, typer.Argument(help="A name of the catalogue, or module:Class.")],
    assignments: Assignments = None,
    backend: Annotated[str, typer.Option(metavar=CHOICES, help="Where to check it.")] = "both",
    as_json: Json = False,
) -> None:
    """Check a surrogate, your own included, in every backend that is installed; status 1 if a check fails.

    Example: arcana check fast_sigmoid

    Example: arcana check my_module:Cauchy --set width=0.5 --backend jax
    """
    surrogate = surrogate_or_own(name, assignments or [])
    wanted = backends_of(backend)
    missing = backends.missing(wanted)
    if set(missing) == set(wanted):
        fail("; ".join(missing.values()))
    for left_out, note in missing.items():
        typer.echo(f"{backends.TITLES[left_out]} is left out. {note}", err=True)
    from arcana.testing import ConformanceError, check_surrogate

    try:
        # A definition may print.
        with contextlib.redirect_stdout(sys.stderr):
            report = check_surrogate(surrogate, [each for each in wanted if each not in missing])
    except ConformanceError as error:
        report = error.report
    if as_json:
        rows = [dataclasses.asdict(row) for row in report.rows]
        typer.echo(as_text({**surrogate.to_dict(), "passed": report.passed, "rows": rows, "missing": missing}))
    else:
        failed = sum(not row.passed for row in report.rows)
        typer.echo(report)
        typer.echo(f"{len(report.rows)} checks, {failed} failed" if failed else f"{len(report.rows)} checks passed")
    raise typer.Exit(int(not report.passed))
