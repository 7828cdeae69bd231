"""What a run found: a line a check as it is found, and a summary at its end."""

from __future__ import annotations

from typing import Any

from results import Results

QUIET = ("accuracy", "transforms")
"""Parts of hundreds of checks, of which only those that did not pass are printed as they are found."""


def worth_a_line(part: str, record: dict[str, Any]) -> bool:
    return part not in QUIET or not record.get("ok", True)


def line(part: str, record: dict[str, Any]) -> str:
    """One check in one line."""
    if "left_out" in record:
        return f"{part} | {record['name']} | left out: {record['left_out']}"
    verdict = {True: "ok", False: "FAILED", None: ""}[record.get("ok")]
    shown = [f"{key} {_short(value)}" for key, value in record.items() if key not in ("name", "ok", "trace", "seconds")]
    return f"{part} | {record['name']} | {verdict} {', '.join(shown)}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def summary(results: Results, parts: list[str]) -> str:
    """How many checks passed, failed and were left out, and the failures by name."""
    lines = []
    for part in parts:
        checks = results.part(part)["checks"].values()
        left = sum("left_out" in each for each in checks)
        failed = sum(not each.get("ok", True) for each in checks)
        lines.append(f"{part}: {len(checks) - left - failed} done, {failed} failed, {left} left out")
    lines += [f"FAILED {part}: {name}: {_why(values)}" for part, name, values in results.failures()]
    return "\n".join(lines)


def _why(values: dict[str, Any]) -> str:
    why = values.get("error") or values.get("detail") or ", ".join(f"{k} {_short(v)}" for k, v in values.items() if k != "trace")
    return str(why)[:400]
