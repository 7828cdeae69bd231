"""Every Python block of the README and the docs runs as printed, and prints what its comments say."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import types
from pathlib import Path

import jax
import pytest
from printed import assert_claims, blocks

from arcana.jax._compat import enable_x64

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [(page, block) for page in PAGES for block in blocks(page.read_text())]


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[f"{page.name}-{i}" for i, (page, _) in enumerate(BLOCKS)])
def test_block(page: Path, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = io.StringIO()
    # A class made in the block must be found again when it is pickled.
    module = types.ModuleType("printed_block")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    # A reader has JAX as it comes: float32, and promotion between dtypes.
    with contextlib.redirect_stdout(printed), enable_x64(False), jax.numpy_dtype_promotion("standard"):
        exec(compile(block, str(page), "exec"), vars(module))
    assert_claims(block, printed.getvalue())


def test_there_are_blocks_in_both_frameworks() -> None:
    readme = [block for page, block in BLOCKS if page.name == "README.md"]
    assert any("import torch" in block for block in readme)
    assert any("import jax" in block for block in readme)


def test_the_tables_of_the_gpu_page_are_those_of_its_results() -> None:
    command = [sys.executable, "tests/gpu/run.py", "--table", "docs/gpu.json"]
    tables = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(tables) > 5000
    assert (ROOT / "docs" / "gpu.md").read_text().partition("## Tables\n\n")[2] == tables
