"""The blocks of the pages on the libraries run as printed, and print what their comments say."""

from __future__ import annotations

from pathlib import Path

import pytest
from printed import blocks, run

FOLDER = Path(__file__).parents[2] / "docs" / "use"
BLOCKS = [(page, block) for page in sorted(FOLDER.glob("*.md")) for block in blocks(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[f"{page.stem}-{i}" for i, (page, _) in enumerate(BLOCKS)])
def test_block(page: Path, block: str) -> None:
    run(page, block)
