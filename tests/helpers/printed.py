"""The Python blocks of a page, run as their reader would, and what each says that it prints."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import types
from pathlib import Path


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def run(page: Path, block: str) -> None:
    """Run a block in a module of its own, and assert that it prints what it says."""
    printed = io.StringIO()
    # A class made in the block must be found again, when it is pickled or made a dataclass.
    module = types.ModuleType("printed_block")
    sys.modules[module.__name__] = module
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(page), "exec"), vars(module))
    finally:
        del sys.modules[module.__name__]
    assert_claims(block, printed.getvalue())


def assert_claims(block: str, printed: str) -> None:
    """Assert that the comment behind every print of a block was printed."""
    for claim in re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE):
        assert claim in printed, claim
