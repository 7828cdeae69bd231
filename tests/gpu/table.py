"""What a run found: a line a check as it is found, and a summary at its end."""

from __future__ import annotations

from typing import Any

from results import Results

QUIET = ("accuracy", "transforms", "rules", "pallas")
"""Parts of hundreds of checks, of which only those that did not pass are printed as they are found."""


HIDDEN = {"name", "ok", "trace", "seconds", "forward_names", "backward_names", "names", "not_measured"}
"""What a line of a check does not show; of one that passed not its details either."""

MOST = 30
"""Failures that the summary names."""


def worth_a_line(part: str, record: dict[str, Any]) -> bool:
    return part not in QUIET or not record.get("ok", True)


def line(part: str, record: dict[str, Any]) -> str:
    """One check in one line."""
    if "left_out" in record:
        return f"{part} | {record['name']} | left out: {record['left_out']}"
    verdict = {True: "ok", False: "FAILED", None: ""}[record.get("ok")]
    if "rows" in record:
        rows = [f"{label} {_row(row)}" for label, row in record["rows"].items()]
        best = [f"of the best peer {record['of_best_peer']}"] if "of_best_peer" in record else []
        return f"{part} | {record['name']} | {'; '.join([*rows, *best])}"
    hidden = {*HIDDEN, "detail"} if verdict == "ok" else HIDDEN
    shown = [f"{key} {_short(value)}" for key, value in record.items() if key not in hidden]
    return f"{part} | {record['name']} | {verdict} {', '.join(shown)}"


def _row(row: dict[str, Any]) -> str:
    both = [f"{row['both_us']:.4g} µs {row['both_gbs']:.0f} GB/s"] if "both_us" in row else []
    halves = [
        f"({row['forward_us']:.4g}"
        + (f" + {row['backward_us']:.4g})" if "backward_us" in row else f" µs {row['forward_gbs']:.0f} GB/s)")
    ]
    few = [f"host {row['host_us']:.3g}, kernels {row.get('device_us', 0):.3g}"] if "host_us" in row else []
    return " ".join([*both, *halves, *few])


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
    failures = results.failures()
    lines += [f"FAILED {part}: {name}: {_why(values)}" for part, name, values in failures[:MOST]]
    lines += [f"and {len(failures) - MOST} more"] if len(failures) > MOST else []
    return "\n".join(lines)


def _why(values: dict[str, Any]) -> str:
    why = values.get("error") or values.get("detail") or ", ".join(f"{k} {_short(v)}" for k, v in values.items() if k != "trace")
    return str(why)[:400]
