"""These tests need Triton, which CI does not install: `nox -s triton` asks for them."""

from __future__ import annotations

import os

if not os.environ.get("ARCANA_TEST_TRITON"):
    collect_ignore_glob = ["test_*.py"]
