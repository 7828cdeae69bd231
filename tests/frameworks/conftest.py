"""The ways into each framework are run by `nox -s frameworks`, which installs them; then a missing one is an error.

Tests leave the rows of the table in docs/frameworks.md: `ARCANA_TEST_FRAMEWORKS` names the file that the rows are written to.
"""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import pytest

FILE = os.environ.get("ARCANA_TEST_FRAMEWORKS")

if not FILE:
    collect_ignore_glob = ["*.py"]
else:
    import sys

    import jax
    import torch

    sys.path.insert(0, str(Path(__file__).parent))
    # The networks are too small for a second thread to pay.
    torch.set_num_threads(1)
    # These libraries are written for JAX as it comes.
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    jax.config.update("jax_numpy_rank_promotion", "allow")

_ROWS: list[dict[str, str]] = []


class Row(Protocol):
    """Keeps a row of the table: what was handed to a library, what ran, and how near that is to the library's own."""

    def __call__(self, framework: str, package: str, way: str, ran: str, result: Any) -> None: ...


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """A row by this test. `result` is a `Training`, or the agreement in words; without a package there is no version."""

    def keep(framework: str, package: str, way: str, ran: str, result: Any) -> None:
        trained = hasattr(result, "difference")
        _ROWS.append(
            {
                "framework": framework,
                "version": version(package) if package else "",
                "way": way,
                "ran": f"{ran}; {result}" if trained else ran,
                "agreement": (f"{result.difference:.0e}" if result.difference else "same bits") if trained else result,
                "test": request.node.nodeid.rpartition("/")[2],
            }
        )

    return keep


def pytest_sessionfinish() -> None:
    if FILE:
        Path(FILE).write_text(json.dumps(_ROWS, indent=1) + "\n", encoding="utf-8")
