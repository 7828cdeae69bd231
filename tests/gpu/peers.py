"""Who is measured beside whom in PyTorch: ours with the numbers of the libraries' functions of the same shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from arcana import presets
from arcana.surrogate import Surrogate

PRESETS = {
    "fast_sigmoid": ("snntorch.fast_sigmoid", "spikingjelly.soft_sign"),
    "atan": ("snntorch.atan", "spikingjelly.atan"),
    "sigmoid": ("snntorch.sigmoid", "spikingjelly.sigmoid"),
    "triangular": ("snntorch.triangular", "spikingjelly.piecewise_quadratic"),
    "rectangular": ("spikingjelly.rect",),
    "ste": ("snntorch.straight_through_estimator",),
    "gaussian": ("spikingjelly.erf",),
}


@dataclasses.dataclass(frozen=True)
class Contender:
    """One function from potentials to spikes, by the label of its row."""

    label: str
    function: Callable[[Any], Any]


def contenders(shape: str) -> tuple[list[Contender], dict[str, str]]:
    """Ours with the first peer's numbers, and the peers; and why a peer is left out."""
    from arcana.bench.libraries import peer

    found, left_out = [], {}
    for name in PRESETS[shape]:
        try:
            found.append(Contender(name, peer(name).function))
        except Exception as error:
            left_out[name] = f"{type(error).__name__}: {str(error)[:150]}"
    surrogate = presets.get(PRESETS[shape][0])
    return [Contender("arcana", ours(surrogate)), *found], left_out


def ours(surrogate: Surrogate) -> Callable[[Any], Any]:
    from arcana.torch import spike

    return lambda v: spike(v, surrogate)


def bytes_moved(shape: str, size: int) -> tuple[int, int]:
    """The fewest bytes an element that forward and backward move: v in, spikes out, what is kept; cotangent in, gradient out."""
    kept_out, kept_in = {"rectangular": (1, 1), "ste": (0, 0)}.get(shape, (0, size))
    return 2 * size + kept_out, 2 * size + kept_in
