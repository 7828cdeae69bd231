"""A few hundred of scikit-learn's digits, and a short training in which two surrogates are compared at every step."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import optax
import torch
from sklearn.datasets import load_digits

STEPS = 8
"""The steps in time of each network, which sees the image as a constant current."""
BATCH = 32
EPOCHS = 3
TOLERANCE = 2e-5
"""What two float32 gradients that should be the same may differ by, of the largest gradient in their array."""

_DIGITS: Any = load_digits()
IMAGES = (_DIGITS.data[:320] / 16).astype(np.float32)
LABELS = _DIGITS.target[:320].astype(np.int64)


def batches() -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
    """Three times 320 digits, 32 at a time."""
    order = np.random.default_rng(0)
    for _ in range(EPOCHS):
        for chosen in np.split(order.permutation(len(IMAGES)), len(IMAGES) // BATCH):
            yield IMAGES[chosen], LABELS[chosen]


@dataclasses.dataclass
class Training:
    """A training with one surrogate, beside the gradients of another at the same parameters.

    Attributes:
        losses: of every step.
        difference: the largest difference of two gradients, of the largest gradient of their array.
        still: the names of parameters whose gradient was 0 at every step.
    """

    losses: list[float] = dataclasses.field(default_factory=list)
    difference: float = 0.0
    still: set[str] = dataclasses.field(default_factory=set)

    def see(self, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
        """Compare the gradients of one step, by parameter."""
        assert ours.keys() == theirs.keys()
        moved = set()
        for name, other in theirs.items():
            largest = float(np.max(np.abs(other)))
            if largest > 0:
                moved.add(name)
                self.difference = max(self.difference, float(np.max(np.abs(np.asarray(ours[name]) - other))) / largest)
            else:
                assert not np.any(ours[name]), name
        self.still = (set(ours) if not self.losses else self.still) - moved

    def check(self, learns: bool = True) -> None:
        """Assert that the gradients are the library's, that all of them are there, and that the network learns by them."""
        first, last = self.ends
        assert self.difference <= TOLERANCE
        assert not self.still
        assert not learns or last < 0.9 * first

    @property
    def ends(self) -> tuple[float, float]:
        """The loss of the first ten steps and of the last ten."""
        return float(np.mean(self.losses[:10])), float(np.mean(self.losses[-10:]))

    def __str__(self) -> str:
        first, last = self.ends
        return f"{len(self.losses)} updates, loss {first:.2f} to {last:.2f}"


def train_torch(
    make: Callable[[Any], torch.nn.Module],
    theirs: Any,
    ours: Any,
    scores: Callable[[torch.nn.Module, torch.Tensor], torch.Tensor],
    rate: float = 1e-2,
) -> Training:
    """Train the network that `make` makes of our surrogate; the library's own sees the same parameters at every step."""
    torch.manual_seed(0)
    mine = make(ours)
    library = make(theirs)
    for own, other in zip(mine.parameters(), library.parameters(), strict=True):
        other.data = own.data
    optimizer = torch.optim.Adam(mine.parameters(), lr=rate)
    training = Training()
    for images, labels in batches():
        gradients = []
        for network in (library, mine):
            network.zero_grad()
            loss = torch.nn.functional.cross_entropy(scores(network, torch.from_numpy(images)), torch.from_numpy(labels))
            loss.backward()
            gradients.append({name: p.grad.clone().numpy() for name, p in network.named_parameters() if p.grad is not None})
        training.see(gradients[1], gradients[0])
        training.losses.append(loss.item())
        optimizer.step()
    return training


def train_jax(
    parameters: Any, theirs: Callable[[Any, Any], Any], ours: Callable[[Any, Any], Any], rate: float = 1e-2
) -> Training:
    """Train with our scores of images; the library's own are asked at the same parameters at every step."""

    def of(scores: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        def loss(parameters: Any, images: Any, labels: Any) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(scores(parameters, images), labels).mean()

        return jax.jit(jax.value_and_grad(loss))

    library, mine = of(theirs), of(ours)
    optimizer = optax.adam(rate)
    state = optimizer.init(parameters)
    training = Training()
    for images, labels in batches():
        _, other = library(parameters, images, labels)
        loss, gradient = mine(parameters, images, labels)
        training.see(_by_name(gradient), _by_name(other))
        training.losses.append(float(loss))
        updates, state = optimizer.update(gradient, state)
        parameters = optax.apply_updates(parameters, updates)
    return training


def _by_name(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}


def weights(*sizes: int, scale: float = 1.0) -> list[npt.NDArray[np.float32]]:
    """The matrices of a network of these sizes, (inputs, outputs)."""
    generator = np.random.default_rng(0)
    return [
        generator.normal(0, scale / inputs**0.5, (inputs, outputs)).astype(np.float32)
        for inputs, outputs in itertools.pairwise(sizes)
    ]


def largest_difference(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """The largest difference of two lists of arrays, of the largest number of each array."""
    return max(
        float(np.max(np.abs(np.asarray(one) - np.asarray(other)))) / float(np.max(np.abs(np.asarray(other))))
        for one, other in zip(ours, theirs, strict=True)
    )
