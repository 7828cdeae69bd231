"""What each program found, run once for all tests that ask."""

from __future__ import annotations

import functools
from typing import Any

from launched import jax_processes, torchrun

FOUND: dict[str, list[dict[str, Any]]] = {}
"""The records of what has run, by what it was; the table is made of them."""


def _kept(kind: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    FOUND[kind] = FOUND.get(kind, []) + records
    return records


@functools.cache
def torch_cases(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return _kept("PyTorch", torchrun("torch_cases.py", *names))


@functools.cache
def jax_cases(names: tuple[str, ...]) -> list[dict[str, Any]]:
    one = jax_processes("jax_cases.py", *names, processes=1)
    return _kept("JAX", one + jax_processes("jax_cases.py", *names))


@functools.cache
def torch_training() -> list[dict[str, Any]]:
    return _kept("PyTorch, digits", torchrun("torch_training.py"))


@functools.cache
def jax_training() -> list[dict[str, Any]]:
    return _kept("JAX, digits", jax_processes("jax_training.py", processes=1) + jax_processes("jax_training.py"))
