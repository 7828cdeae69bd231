"""Every Python block of the README and the docs runs as printed, and prints what its comments say."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import types
from pathlib import Path

import jax
import pytest
from known_values import KNOWN
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


def test_the_pages_say_of_the_surrogates_what_the_definitions_give() -> None:
    """What `python docs/draw.py` writes: the picture, the catalogue, the reference's list and the README's counts."""
    process = subprocess.run([sys.executable, ROOT / "docs" / "draw.py", "--check"], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr


def test_the_readme_counts_the_surrogates_whose_bits_are_the_same() -> None:
    counted = re.search(r"\((\d+) of the\s(\d+)\)", (ROOT / "README.md").read_text())
    assert counted
    assert counted.groups() == (str(sum(known.bits for known in KNOWN.values())), str(len(KNOWN)))
