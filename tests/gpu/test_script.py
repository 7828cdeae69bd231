"""The script for a GPU on the CPU with small sizes: every part ends, a fault is found, and a second run goes on from the file."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLANTED = "rectangular"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tests/gpu/run.py", "--device=cpu", "--small", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)


def results(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())["parts"]


@pytest.mark.slow
def test_every_part_and_a_planted_fault(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    ran = run(f"--out={file}", f"--plant={PLANTED}", "--budget=5000")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    parts = results(file)
    jobs = {"transforms": 3, "verdicts": 1, "pallas": 1}
    assert list(parts) == ["accuracy", "transforms", "kernels", "verdicts", "rules", "pallas", "learnable", "times", "layer"]
    failed = {
        (part, name) for part, each in parts.items() for name, values in each["checks"].items() if not values.get("ok", True)
    }
    expected = {name for name, values in parts["accuracy"]["checks"].items() if name.startswith(PLANTED) and "patterns" in values}
    assert expected
    assert failed == {("accuracy", name) for name in expected}
    for name in expected:
        assert f"FAILED accuracy: {name}" in ran.stdout
    for part, each in parts.items():
        assert len(each["complete"]) == jobs.get(part, 2), part
        assert not [name for name, values in each["checks"].items() if "left_out" in values]
    ways = {name.split(", ")[1] for name in parts["accuracy"]["checks"] if ", " in name and not name.endswith(", 0")}
    assert ways == {"torch eager", "torch compiled", "jax plain", "jax jit"}
    table = run(f"--table={file}").stdout
    titles = ("Wrong spikes", "Transforms: ", "Rules: ", "Kernels started", "Verdict", "A parameter that trains")
    for title in (*titles, "One call in eager PyTorch", "Linear + LIF layer"):
        assert title in table
    again = run(f"--out={file}")
    assert again.returncode == 1, "what failed is in the file"
    assert results(file) == parts, "nothing ran again"


def test_a_cut_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    cut = run("--parts=kernels", "--budget=0", "--grace=300", f"--out={file}")
    checks = results(file)["kernels"]
    assert cut.returncode == 0, cut.stdout + cut.stderr
    assert checks["complete"] == []
    assert all(values == {"left_out": "no time"} for values in checks["checks"].values())
    whole = run("--parts=kernels", f"--out={file}", "--budget=5000")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    found = results(file)["kernels"]
    assert len(found["complete"]) == 2
    assert set(found["checks"]) == set(checks["checks"])
    assert found["checks"]["rectangular, eager, float32"]["forward"] > 1
    assert not any("left_out" in values for values in found["checks"].values())


def test_a_check_that_raises_is_recorded_and_the_next_one_runs(tmp_path: Path) -> None:
    session = loaded("session")
    records = tmp_path / "records.jsonl"
    given = session.Session(session.Settings("cpu"), records, frozenset({"before"}))
    for name in ("before", "raises", "passes"):
        given.check(name, lambda name=name: {"ok": 1 // (name == "passes") == 1})
    raised, passed = (json.loads(line) for line in records.read_text().splitlines())
    assert (raised["name"], raised["ok"], raised["error"]) == (
        "raises",
        False,
        "ZeroDivisionError: integer division or modulo by zero",
    )
    assert (passed["name"], passed["ok"]) == ("passes", True)


def loaded(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"arcana_gpu_{name}", ROOT / "tests" / "gpu" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_unknown_part_is_an_error() -> None:
    ran = run("--parts=accuracy,speed")
    assert ran.returncode == 2
    assert "no such part: speed; there are accuracy, transforms, kernels, verdicts, rules, pallas, learnable" in ran.stderr
