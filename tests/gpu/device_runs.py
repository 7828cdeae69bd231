"""Runs of one network on the CPU and on the device, in both frameworks, with what a user may have switched there.

Two layers of leaky integrate-and-fire neurons, dense or with a convolution first, over the same weights and inputs.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import arcana.jax
import arcana.torch
from arcana.testing import Run, recording

SCALE = 10.0


@dataclasses.dataclass(frozen=True)
class Where:
    """How a run is made.

    Attributes:
        framework: "torch" or "jax".
        device: "cpu" or "cuda".
        dtype: of the potentials.
        tf32: whether products take TensorFloat-32; None for what the framework does by itself.
        compiled: whether the step is compiled by torch.compile; JAX's loop always is one program.
        autocast: whether the products of PyTorch are bfloat16.
        leak, reset: of the neurons; "subtract" or "zero".
    """

    framework: str
    device: str
    dtype: str = "float32"
    tf32: bool | None = False
    compiled: bool = False
    autocast: bool = False
    leak: float = 0.9
    reset: str = "subtract"


@dataclasses.dataclass(frozen=True, eq=False)
class Numbers:
    """Inputs, (steps, samples, ...), and weights by layer, in float32."""

    inputs: np.ndarray
    weights: dict[str, np.ndarray]

    @property
    def convolution(self) -> bool:
        return self.weights["hidden"].ndim == 4


def numbers(kind: str, *, steps: int, samples: int, width: int, seed: int = 0) -> Numbers:
    """Make inputs that are currents and weights at which about a tenth of the neurons fire."""
    generator = np.random.default_rng(seed)
    if kind == "convolution":
        side = 12
        inputs = generator.uniform(0, 0.5, (steps, samples, 4, side, side))
        hidden = generator.normal(0, 1.0 / 6.0, (16, 4, 3, 3))
        output = generator.normal(0, 3.0 / (16 * side * side) ** 0.5, (10, 16 * side * side))
    else:
        inputs = generator.uniform(0, 0.5, (steps, samples, width))
        hidden = generator.normal(0, 1.0 / width**0.5, (2 * width, width))
        output = generator.normal(0, 2.0 / (2 * width) ** 0.5, (10, 2 * width))
    weights = {"hidden": hidden, "output": output}
    return Numbers(inputs.astype(np.float32), {name: each.astype(np.float32) for name, each in weights.items()})


def run_of(where: Where, given: Numbers) -> Run:
    """Return the run, its inputs and weights with it."""
    return (torch_run if where.framework == "torch" else jax_run)(where, given)


def neuron(v: Any, current: Any, where: Where, spikes: Callable[[Any], Any]) -> tuple[Any, Any]:
    v = v * where.leak + current
    fired = spikes(v - 1)
    return (v - fired if where.reset == "subtract" else v * (1 - fired)), fired


def torch_run(where: Where, given: Numbers) -> Run:
    dtype = getattr(torch, where.dtype)
    weights = {name: torch.from_numpy(each).to(where.device, dtype) for name, each in given.weights.items()}
    inputs = torch.from_numpy(given.inputs).to(where.device, dtype)

    def spikes(v: torch.Tensor) -> torch.Tensor:
        return arcana.torch.fast_sigmoid(v, scale=SCALE)

    def step(x: torch.Tensor, hidden: torch.Tensor, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        current = torch.nn.functional.conv2d(x, weights["hidden"], padding=1) if given.convolution else x @ weights["hidden"].T
        hidden, fired = neuron(hidden, current, where, spikes)
        output, _ = neuron(output, fired.flatten(1).to(dtype) @ weights["output"].T, where, spikes)
        return hidden, output

    if where.compiled:
        step = torch.compile(step, backend="inductor")
    hidden = output = torch.zeros((), device=where.device, dtype=dtype)
    with (
        torch.no_grad(),
        recording(inputs=given.inputs, parameters=given.weights, layers=["hidden", "output"], name=named(where)) as found,
        torch_products(where),
    ):
        for x in inputs:
            hidden, output = step(x, hidden, output)
    return found.run


@contextlib.contextmanager
def torch_products(where: Where) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    if where.tf32 is not None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = where.tf32
    try:
        with torch.autocast(where.device, dtype=torch.bfloat16, enabled=where.autocast):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def jax_run(where: Where, given: Numbers) -> Run:
    precision = {None: None, True: "tensorfloat32", False: "highest"}[where.tf32]
    with (
        jax.enable_x64(where.dtype == "float64"),
        jax.default_device(jax.devices(where.device)[0]),
        jax.default_matmul_precision(precision),
    ):
        weights = {name: jnp.asarray(each, where.dtype) for name, each in given.weights.items()}
        inputs = jnp.asarray(given.inputs, where.dtype)

        def step(carry: Any, x: jax.Array) -> Any:
            hidden, output = carry
            if given.convolution:
                current = jax.lax.conv_general_dilated(x, weights["hidden"], (1, 1), "SAME")
            else:
                current = x @ weights["hidden"].T
            hidden, fired = neuron(hidden, current, where, lambda v: arcana.jax.fast_sigmoid(v, scale=SCALE))
            fired = fired.reshape(len(fired), -1)
            output, _ = neuron(output, fired @ weights["output"].T, where, lambda v: arcana.jax.fast_sigmoid(v, scale=SCALE))
            return (hidden, output), None

        hidden = given.weights["hidden"]
        shape = (len(hidden), *given.inputs.shape[3:]) if given.convolution else (len(hidden),)
        start = tuple(jnp.zeros((given.inputs.shape[1], *each), where.dtype) for each in (shape, (10,)))
        with recording(inputs=given.inputs, parameters=given.weights, layers=["hidden", "output"], name=named(where)) as found:
            jax.block_until_ready(jax.jit(lambda start: jax.lax.scan(step, start, inputs)[0])(start))
            jax.effects_barrier()
    return found.run


def named(where: Where) -> str:
    """Return what a verdict calls the run."""
    framework = {"torch": "PyTorch", "jax": "JAX"}[where.framework]
    return f"{framework} on {where.device}"
