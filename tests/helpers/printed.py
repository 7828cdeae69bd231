"""The Python blocks of a page, and what each says that it prints."""

from __future__ import annotations

import re


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def assert_claims(block: str, printed: str) -> None:
    """Assert that the comment behind every print of the block was printed."""
    for claim in re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE):
        assert claim in printed, claim
