"""scikit-learn's digits and the network that both frameworks train: two layers of leaky neurons that learn, and a readout.

Each layer learns one slope for all its neurons and a threshold for each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

Array = npt.NDArray[Any]

STEPS = 8
"""The steps in time, at each of which the network sees the image."""
LEAK = 0.9
HIDDEN = 64
BATCH = 32
UPDATES = 30
RATE = 0.5

_DIGITS: Any = load_digits()
IMAGES = (_DIGITS.data[:320] / 16).astype(np.float32)
LABELS = _DIGITS.target[:320].astype(np.int64)


def batches() -> Iterator[tuple[Array, Array]]:
    order = np.random.default_rng(0)
    for _ in range(UPDATES * BATCH // len(IMAGES)):
        for chosen in np.split(order.permutation(len(IMAGES)), len(IMAGES) // BATCH):
            yield IMAGES[chosen], LABELS[chosen]


def weights() -> dict[str, Array]:
    """The parameters by name; a matrix is (inputs, outputs)."""
    generator = np.random.default_rng(0)

    def matrix(inputs: int, outputs: int, size: float) -> Array:
        return generator.normal(0, size / inputs**0.5, (inputs, outputs)).astype(np.float32)

    layers = {
        f"{name}.{key}": value
        for name, size in (("first", 1.0), ("second", 2.0))
        for key, value in {
            "weight": matrix(HIDDEN, HIDDEN, size),
            "scale": np.full(1, 5.0, np.float32),
            "threshold": np.full(HIDDEN, 1.0, np.float32),
        }.items()
    }
    return {**layers, "readout.weight": matrix(HIDDEN, 10, 1.0)}


@dataclasses.dataclass
class Comparison:
    """The gradients of a training beside those of one process at the same parameters.

    Attributes:
        losses: of every update.
        differences: by parameter, the largest of all updates, of the largest gradient in its array.
    """

    losses: list[float] = dataclasses.field(default_factory=list)
    differences: dict[str, float] = dataclasses.field(default_factory=dict)

    def see(self, loss: float, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        self.losses.append(float(loss))
        for name, gradient in found.items():
            other = np.asarray(expected[name])
            far = float(np.max(np.abs(np.asarray(gradient) - other))) / (float(np.max(np.abs(other))) or 1.0)
            self.differences[name] = max(self.differences.get(name, 0.0), far)

    def record(self, case: str) -> dict[str, Any]:
        return {"case": case, "losses": self.losses, "differences": self.differences}
