"""The example of docs/porting.md: snnTorch and its port, recorded by two added lines a side, and what is found on the page."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import jax
import pytest

from arcana.jax._compat import enable_x64
from arcana.testing import Matching, Run, first_divergence, match

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "porting.md").read_text()


def matched(fault: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Matching:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FAULT", fault)
    spec = importlib.util.spec_from_file_location("checkpoint_example", DOCS / "porting" / "checkpoint.py")
    assert spec is not None
    assert spec.loader is not None
    example: Any = importlib.util.module_from_spec(spec)
    with contextlib.ExitStack() as stack:
        stack.enter_context(enable_x64(False))
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        spec.loader.exec_module(example)
        example.save_checkpoints()
        example.run_snntorch()
        example.run_flax()
    return match(Run.load("torch.npz"), Run.load("jax.npz"))


@pytest.mark.parametrize("fault", ["", "weight", "reset"])
def test_what_the_page_shows(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matching = matched(fault, tmp_path, monkeypatch)
    found = first_divergence(*matching.runs, threshold=0.0)
    command = f"FAULT={fault} python checkpoint.py" if fault else "python checkpoint.py"
    shown = re.search(rf"```text\n\$ {command}\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    for line in shown.group(1).splitlines()[1:]:
        assert line in f"{found}\nCompared under other names or in another layout; --same A=B says otherwise:\n{matching}"
    assert found.explained == (not fault)
    assert found.verdict == {"weight": "weights"}.get(fault, fault or "same")


def test_three_lines_are_added_at_most() -> None:
    added = [line for line in (DOCS / "porting" / "checkpoint.py").read_text().splitlines() if line.endswith("# +")]
    assert len(added) == 3
