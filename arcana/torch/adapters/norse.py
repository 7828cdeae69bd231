"""Norse: names of surrogates for `LIFParameters(method=...)`. Tested with 1.1.0."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import norse.torch.functional.threshold  # noqa: F401  # pyright: ignore[reportMissingImports]
import torch

from arcana._core import AnySurrogate, surrogate_of
from arcana.torch._function import spike

Threshold = Callable[[torch.Tensor, str, Any], torch.Tensor]


@contextlib.contextmanager
def methods(**surrogates: AnySurrogate) -> Iterator[None]:
    """Let `method="name"` of every neuron of Norse mean a surrogate, until the context ends.

    Norse finds a surrogate by its name in one function, `threshold(v, method, alpha)`, which its modules import by name. Inside
    the context they have another, which knows the given names first and then asks Norse's. A given name hides one of Norse's.
    alpha is not asked, since the surrogate has its parameters. What calls a function of Norse's by itself (the adjoint neurons,
    `functional.logical`) stays as it is. It is for one thread at a time, as every module attribute is.

    Args:
        surrogates: a surrogate by method name; a class or a function stands for its default parameters.

    Raises:
        TypeError: a surrogate is none.

    >>> import norse.torch as snn
    >>> from arcana.surrogate import FastSigmoid
    >>> lif = snn.LIFCell(snn.LIFParameters(method="steep", v_th=torch.tensor(0.05)))
    >>> with methods(steep=FastSigmoid(scale=100.0, fires_at_threshold=False)):
    ...     spikes, state = lif(torch.ones(1, 2))
    """
    chosen = {name: surrogate_of(each, f"methods: {name}") for name, each in surrogates.items()}
    before: Threshold = sys.modules["norse.torch.functional.threshold"].threshold

    def threshold(x: torch.Tensor, method: str, alpha: Any) -> torch.Tensor:
        return spike(x, chosen[method]) if method in chosen else before(x, method, alpha)

    _replace(before, threshold)
    try:
        yield
    finally:
        _replace(threshold, before)


def _replace(old: Threshold, new: Threshold) -> None:
    """Put one function in the place of another in every module of Norse that has it."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "norse" and vars(module).get("threshold") is old:
            module.threshold = new  # pyright: ignore[reportAttributeAccessIssue]
