"""Which backends this run must have, and JAX under its strict settings.

ARCANA_TEST_BACKENDS names the backends that are expected, "torch,jax" when unset. An expected backend that cannot be imported
stops the run; nothing is skipped unseen. ARCANA_TEST_ALSO names folders that a session of their own asks for, since they take
minutes or another installation: `nox -s distribution`, `gpu_script` and `triton`.
"""

from __future__ import annotations

import gc
import importlib
import os
from pathlib import Path
from typing import Any

import pytest

SEPARATE = ("gpu", "packaging", "triton")
collect_ignore = [each for each in SEPARATE if each not in os.environ.get("ARCANA_TEST_ALSO", "").split(",")]

EXPECTED = tuple(os.environ.get("ARCANA_TEST_BACKENDS", "torch,jax").split(","))

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # XLA takes 30 ms for the smallest operation; so it compiles each once, for all workers, for the programs that tests start and
    # for the next run.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "jax")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: with threads of their own as well they wait for each other, at twice the CPU time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Modules and tests stay: no garbage is looked for until they are there, and none among them later. What compiles makes a great
# many objects that it keeps, so it is looked for every 20,000 of them and not every 700.
gc.disable()
gc.set_threshold(20_000)

for _name in EXPECTED:
    importlib.import_module(f"arcana.{_name}")

if "jax" in EXPECTED:
    import jax

    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")


SELECTED: dict[tuple[Any, ...], dict[str, None]] = {}
"""The surrogates whose tests this run has selected, in order, by module and test function."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from slow import group_of, groups

    slow = groups()
    for item in items:
        if group_of(item.nodeid) in slow:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()
    for item in session.items:
        name = getattr(item, "callspec", None) and item.callspec.params.get("name")
        if name:
            SELECTED.setdefault((item.path, item.originalname), {})[name] = None


@pytest.fixture
def quick_collection() -> None:
    """Have the test's collections of garbage pass over all that was there before, which takes them a second or two."""
    gc.freeze()


@pytest.fixture
def together(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The surrogates that this run asks this test for: what compiles them together takes no others."""
    return tuple(SELECTED[request.node.path, request.node.originalname])
