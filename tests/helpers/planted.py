"""A spiking network of any number of layers in both frameworks, and the faults that are planted in it.

Both sides are one step function over the array operations of their framework, so that a fault is one line.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from arcana.testing import Run, record

Floats = npt.NDArray[np.floating[Any]]
State = list[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Network:
    """What a side computes.

    Attributes:
        weights: of each layer (outputs, inputs).
        threshold: of each layer.
        leak: how a potential leaks: "before" the input is added, as it should, "after" it, or one step "late".
        reset: "subtract" the threshold, or set to "zero".
        strict: whether a potential on the threshold does not fire.
        detached: whether the reset has no gradient.
        dtype: of all numbers.
        summation: in which order the inputs of a neuron are added: "matmul", or "reversed".
    """

    weights: tuple[Floats, ...]
    threshold: tuple[float, ...]
    decay: float = 0.9
    leak: str = "before"
    reset: str = "subtract"
    strict: bool = False
    detached: bool = True
    scale: float = 10.0
    dtype: str = "float32"
    summation: str = "matmul"

    def state_dict(self) -> dict[str, Floats]:
        """The weights by name, in the dtype of this side."""
        return {f"layer {i}.weight": weight.astype(self.dtype) for i, weight in enumerate(self.weights, 1)}


def draw(seed: int, sizes: Sequence[int], gain: float = 3.0, grid: float = 0.0) -> tuple[Floats, ...]:
    """The weights of one seed; on a grid, sums are exact and potentials meet the threshold."""
    generator = np.random.default_rng(seed)
    weights = []
    for inputs, outputs in itertools.pairwise(sizes):
        bound = gain / np.sqrt(inputs)
        weight = generator.uniform(-bound, bound, (outputs, inputs))
        weights.append((np.round(weight / grid) * grid if grid else weight).astype(np.float32))
    return tuple(weights)


def torch_step(network: Network) -> Callable[[Any, Any], tuple[Any, dict[str, Any]]]:
    import torch

    from arcana.torch import fast_sigmoid

    weights = [torch.from_numpy(weight.astype(network.dtype)) for weight in network.weights]
    return _step(network, weights, fast_sigmoid, torch.Tensor.detach)


def jax_step(network: Network, *, jit: bool = True) -> Callable[[Any, Any], tuple[Any, dict[str, Any]]]:
    import jax
    import jax.numpy as jnp

    from arcana.jax import fast_sigmoid

    weights = [jnp.asarray(weight.astype(network.dtype)) for weight in network.weights]
    step = _step(network, weights, fast_sigmoid, jax.lax.stop_gradient)
    return jax.jit(step) if jit else step


def _step(
    network: Network, weights: list[Any], spike: Callable[..., Any], detach: Callable[[Any], Any]
) -> Callable[[Any, Any], tuple[Any, dict[str, Any]]]:
    def step(state: State, x: Any) -> tuple[State, dict[str, Any]]:
        after, layers = [], {}
        for i, (weight, (potential, leaking)) in enumerate(zip(weights, state, strict=True)):
            current = x @ weight.T if network.summation == "matmul" else _reversed_sum(x, weight)
            potential = _integrated(network, potential, leaking, current)
            x = spike(potential - network.threshold[i], scale=network.scale, fires_at_threshold=not network.strict)
            layers[f"layer {i + 1}"] = (potential, x)
            fired = detach(x) if network.detached else x
            reset = potential - fired * network.threshold[i] if network.reset == "subtract" else potential * (1 - fired)
            # What leaks in the next step: all of the potential, or (one step late) what it was a step before.
            after.append((reset, state[i][0] if network.leak == "late" else reset))
        return after, layers

    return step


def _integrated(network: Network, potential: Any, leaking: Any, current: Any) -> Any:
    if network.leak == "after":
        return (potential + current) * network.decay
    if network.leak == "late":
        return potential - leaking * (1 - network.decay) + current
    return potential * network.decay + current


def _reversed_sum(x: Any, weight: Any) -> Any:
    """The same products added one by one from the last: another order, nothing else."""
    total = x[:, -1, None] * weight[None, :, -1]
    for i in range(weight.shape[1] - 2, -1, -1):
        total = total + x[:, i, None] * weight[None, :, i]
    return total


def initial_state(network: Network, samples: int) -> list[tuple[Floats, Floats]]:
    zeros = [np.zeros((samples, len(weight)), network.dtype) for weight in network.weights]
    return [(each, each) for each in zeros]


def run(network: Network, inputs: Floats, backend: str, *, given: bool = True, jit: bool = False) -> Run:
    """The recorded run of a side; with `given` its inputs and weights are kept in it."""
    state: Any = initial_state(network, inputs.shape[1])
    if backend == "torch":
        import torch

        state = [tuple(torch.from_numpy(each.copy()) for each in pair) for pair in state]
    step = torch_step(network) if backend == "torch" else jax_step(network, jit=jit)
    inputs = inputs.astype(network.dtype)
    recorded = record(step, state, inputs, backend=backend, parameters=network.state_dict())  # type: ignore[arg-type]  (each network has the arrays of its own backend)
    return recorded if given else Run(recorded.layers)
