"""The tables of the documentation, in Markdown, from the results of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from results import Results

Checks = dict[str, dict[str, Any]]


def page(results: Results) -> str:
    """Every table of which the run has something."""
    parts = {part: all_["checks"] for part, all_ in results.content["parts"].items()}
    about = results.content["machine"]
    written = [", ".join(f"{key} {value}" for key, value in about.items() if key != "device")]
    makers = {"accuracy": [accuracy], "transforms": [transforms], "kernels": [kernels], "times": [times, times_jax]}
    makers |= {"layer": [layer], "verdicts": [verdicts], "rules": [rules], "pallas": [pallas], "learnable": [learnable]}
    for part, checks in parts.items():
        written += [text for maker in makers.get(part, []) if (text := maker(checks))]
    return "\n\n".join(written)


def markdown(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rows = list(rows)
    lines = [f"| {' | '.join(each)} |" for each in (head, ["---"] * len(head), *rows)]
    return "\n".join([f"**{title}**", "", *lines]) if rows else ""


def accuracy(checks: Checks) -> str:
    """A row a surrogate, a column a way: over all dtypes the wrong spikes, the differing gradients, and the part of the bound."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name, values in checks.items():
        surrogate, *rest = name.split(", ")
        if rest and "patterns" in values:
            found.setdefault(surrogate, {}).setdefault(rest[0], []).append(values)
    ways = list(dict.fromkeys(way for each in found.values() for way in sorted(each)))
    rows = [[f"`{name}`", *(_accuracy_cell(found[name].get(way, [])) for way in ways)] for name in sorted(found)]
    title = (
        "Wrong spikes; gradients with other bits than the CPU's (+ those with a subnormal on the way), or the part of the bound"
    )
    return markdown(title, ["surrogate", *ways], rows)


def _accuracy_cell(cells: list[dict[str, Any]]) -> str:
    if not cells:
        return ""
    wrong = sum(each["wrong_spikes"] for each in cells)
    if any("of_bound" in each for each in cells):
        return f"{wrong}; {max(each.get('of_bound', 0.0) for each in cells):.2f}"
    subnormal = sum(each["differ_subnormal"] for each in cells)
    ulp = max(each["max_ulp"] for each in cells)
    return (
        f"{wrong}; {sum(each['differ'] for each in cells)}"
        + (f" (+{subnormal})" if subnormal else "")
        + (f", {ulp} ULP" if ulp else "")
    )


def transforms(checks: Checks) -> str:
    return _passed("Transforms", checks)


def _passed(what: str, checks: Checks) -> str:
    """How many checks of those that ran gave what they must, and the names of those that did not."""
    ran = [values for values in checks.values() if "left_out" not in values]
    failed = [name for name, values in checks.items() if not values.get("ok", True)]
    lines = [f"{what}: {len(ran) - len(failed)} of {len(ran)} checks give the values that they must."]
    return "\n".join([*lines, *(f"- not: {name}" for name in failed)])


def kernels(checks: Checks) -> str:
    """A row for all calls that start as many kernels."""
    alike: dict[tuple[str, int, int], list[str]] = {}
    for name, values in checks.items():
        if "forward" in values:
            of, _, what = name.partition(", ")
            alike.setdefault((what, values["forward"], values["backward"]), []).append(f"`{of}`")
    rows = [
        [what, _list(names), str(forward), str(backward)]
        for (what, forward, backward), names in sorted(alike.items(), key=lambda each: (each[0][0], -len(each[1])))
    ]
    counts = [[name, *_loops(values["kernels"])] for name, values in checks.items() if "kernels" in values]
    return "\n\n".join(
        text
        for text in (
            markdown("Kernels started", ["call", "of", "forward", "backward"], rows),
            markdown("Kernels of a jitted scan", ["call", "in loops' bodies", "outside"], counts),
        )
        if text
    )


def _list(names: list[str]) -> str:
    return ", ".join(sorted(names)) if len(names) <= 8 else f"{len(names)} surrogates"


def _loops(counted: dict[str, list[str]]) -> tuple[str, str]:
    *bodies, entry = counted.values()
    return ", ".join(str(len(each)) for each in bodies), str(len(entry))


def _copy_speed(checks: Checks, size: str, dtype: str, name: str = "copy, relu") -> float | None:
    rows = checks.get(f"{name}, {size}, {dtype}", {}).get("rows", {})
    return rows.get("copy", {}).get("forward_gbs")


def times(checks: Checks) -> str:
    """Forward + backward of one call, ours beside the quickest peer, by size: as a user waits for it, and in kernels alone."""
    rows, floors = [], []
    for name, values in checks.items():
        shape, *where = name.split(", ")
        if "arcana" not in values.get("rows", {}) or name.startswith("jax"):
            continue
        copy, ours = _copy_speed(checks, where[0], where[1]), values["rows"]["arcana"]
        peers = {label: row for label, row in values["rows"].items() if label != "arcana"}
        best = min(peers, key=lambda label: peers[label]["both_us"], default=None)
        in_kernels = [row["device_us"] for row in peers.values() if "device_us" in row]
        speed = ours.get("device_gbs", ours["both_gbs"])
        rows.append(
            [
                *(_count(where[0]), where[1], f"`{shape}`", f"{ours['both_us']:.4g}"),
                f"{peers[best]['both_us']:.4g} (`{best}`)" if best else "",
                f"{values['of_best_peer']:.2f}" if best else "",
                f"{ours['device_us']:.4g}" if "device_us" in ours else "",
                f"{ours['device_us'] / min(in_kernels):.2f}" if in_kernels else "",
                f"{speed / copy:.0%}" if copy and int(where[0]) >= 1 << 24 and shape != "ste" else "",
            ]
        )
    for name, values in checks.items():
        if name.startswith("copy, relu") and "rows" in values:
            _, _, size, dtype = name.split(", ")
            relu, copied = values["rows"]["relu"], values["rows"]["copy"]
            numbers = f"{relu['forward_us']:.4g}", f"{relu['backward_us']:.4g}", f"{relu['both_us']:.4g}"
            floors.append([_count(size), dtype, *numbers, f"{copied['forward_us']:.4g}", f"{copied['forward_gbs']:.0f}"])
    for each in (rows, floors):
        each.sort(key=lambda row: (int(row[0].replace(",", "")), row[1], row[2]))
    head = ["elements", "dtype", "shape", "µs", "quickest peer", "ratio", "kernels µs", "ratio", "of a copy's GB/s"]
    title = "One call in eager PyTorch, forward + backward, beside snnTorch and SpikingJelly"
    floor_head = ["elements", "dtype", "relu forward µs", "relu backward µs", "relu both µs", "copy µs", "copy GB/s"]
    return "\n\n".join([markdown(title, head, rows), markdown("What moves the same bytes", floor_head, floors)])


def times_jax(checks: Checks) -> str:
    rows = []
    for name, values in checks.items():
        if not name.startswith("jax ") or "rows" not in values or name.startswith("jax copy"):
            continue
        shape, size, dtype = name.removeprefix("jax ").split(", ")
        copy = _copy_speed(checks, size, dtype, "jax copy")
        for label, row in values["rows"].items():
            numbers = [f"{row[key]:.4g}" for key in ("forward_us", "backward_us", "both_us", "both_gbs")]
            rows.append([_count(size), f"`{shape}`", label, *numbers, f"{row['both_gbs'] / copy:.0%}" if copy else ""])
    head = ["elements", "shape", "of", "forward µs", "backward µs", "both µs", "GB/s", "of the copy"]
    return markdown("One call under `jax.jit`, float32", head, rows)


def verdicts(checks: Checks) -> str:
    """A row a pair of runs, a column a network."""
    found: dict[str, dict[str, str]] = {}
    for name, values in checks.items():
        what, _, kind = name.rpartition(", ")
        if "verdict" in values:
            found.setdefault(what, {})[kind] = f"{values['verdict']}, {values['first step apart']:.1g}"
    kinds = list(dict.fromkeys(kind for each in found.values() for kind in each))
    rows = [[what, *(each.get(kind, "") for kind in kinds)] for what, each in found.items()]
    return markdown("Verdict, and how far the first step's potentials are apart", ["runs", *kinds], rows)


def rules(checks: Checks) -> str:
    return _passed("Rules", checks)


def pallas(checks: Checks) -> str:
    return _passed("Inside a Pallas kernel compiled by Triton", checks)


def learnable(checks: Checks) -> str:
    rows = []
    for name, values in checks.items():
        if "ratio" not in values:
            continue
        shape, size, mode = name.removeprefix("jax ").split(", ")
        mode = f"JAX {mode}" if name.startswith("jax") else mode
        both = ("fixed", "learnable")
        times = [f"{values[f'{each}_us']:.4g}" for each in both]
        held = ", ".join(f"{values[f'{each}_bytes']:.1f}" for each in both if f"{each}_bytes" in values)
        kernels = [values[f"{each}_kernels_us"] for each in both if f"{each}_kernels_us" in values]
        of_kernels = f"{kernels[1] / kernels[0]:.2f}" if kernels else ""
        rows.append([mode, f"`{shape}`", _count(size), *times, f"{values['ratio']:.2f}", of_kernels, held])
    head = ["mode", "surrogate", "elements", "fixed µs", "trained µs", "ratio", "of kernels", "bytes"]
    return markdown(
        "A parameter that trains, forward + backward, beside fixed numbers; bytes an element at the peak of both", head, rows
    )


def layer(checks: Checks) -> str:
    rows = [[name, label, f"{each:.4g}"] for name, values in checks.items() for label, each in values.get("ms", {}).items()]
    return markdown("Linear + LIF layer, 512 neurons, batch 128, 100 steps, forward + backward", ["layer", "of", "ms"], rows)


def _count(size: str) -> str:
    return f"{int(size):,}"
