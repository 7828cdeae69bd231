"""The examples in the docstrings of the adapters, which the tests without the libraries cannot run."""

from __future__ import annotations

import doctest
import importlib

import pytest

ADAPTERS = [
    *(f"arcana.torch.adapters.{name}" for name in ("norse", "rockpool", "sinabs", "spikingjelly")),
    *(f"arcana.jax.adapters.{name}" for name in ("equinox", "linen", "nnx", "pallas")),
]


@pytest.mark.parametrize("name", ADAPTERS)
def test_examples(name: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0
    assert failed == 0
