"""Several processes and devices are tested by `nox -s distributed`, which installs what it needs.

`ARCANA_TEST_DISTRIBUTED` names the file that what was found is written to; `table.py` makes docs/devices.md of it.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

FILE = os.environ.get("ARCANA_TEST_DISTRIBUTED")

if not FILE:
    collect_ignore_glob = ["*.py"]
else:
    sys.path.insert(0, str(Path(__file__).parent))


def pytest_sessionfinish() -> None:
    if FILE:
        from results import FOUND

        versions = {name: version(package) for name, package in (("PyTorch", "torch"), ("JAX", "jax"))}
        Path(FILE).write_text(json.dumps({"versions": versions, "found": FOUND}, indent=1) + "\n", encoding="utf-8")
