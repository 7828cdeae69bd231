"""Under torch.compile: one kernel forward and one backward for every surrogate, alone and in a neuron's step, and what is kept.

What inductor counts and keeps is known when it has written its C++; only `test_a_compiled_step_gives_eagers_values` has it
built and run.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import pytest
import torch
import torch._inductor.config
from every import every_surrogate, one_a_kept
from known_values import FAMILIES, KNOWN
from torch._dynamo.utils import counters
from torch._inductor import metrics
from torch._inductor.async_compile import AsyncCompile

from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.surrogate import LeakyStep, Rectangular, Surrogate
from arcana.torch import spike

COUNT = 4096
DECAY, THRESHOLD = 0.9, 1.0
Function = Callable[..., tuple[torch.Tensor, ...]]


@dataclasses.dataclass
class Compiled:
    """What inductor made of a function: its kernels, and what the forward keeps besides its own inputs and outputs."""

    forward: int
    backward: int
    vectorised: int
    kept: list[tuple[torch.dtype, int]]


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels are written and not built, which takes seconds each; so a function's results are any numbers."""
    monkeypatch.setattr(AsyncCompile, "cpp_pybinding", lambda self, types, source: lambda *arguments: None)
    with torch._inductor.config.patch(fx_graph_cache=False):
        yield


def compile_both_ways(function: Function, *inputs: torch.Tensor) -> Compiled:
    torch.compiler.reset()
    counters.clear()
    metrics.reset()
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        results = torch.compile(function, fullgraph=True)(*inputs)
    forward = metrics.generated_kernel_count
    torch.autograd.grad(results, inputs, [torch.ones_like(each) for each in results])
    assert (counters["stats"]["unique_graphs"], dict(counters["graph_break"])) == (1, {})
    known = {each.data_ptr() for each in (*inputs, *results)}
    return Compiled(
        forward,
        metrics.generated_kernel_count - forward,
        metrics.generated_cpp_vec_kernel_count,
        [(each.dtype, each.numel()) for each in kept if each.data_ptr() not in known],
    )


def alone(surrogate: Surrogate) -> Function:
    return lambda v: (spike(v, surrogate),)


def step(surrogate: Surrogate, detached: bool) -> Function:
    """One step of a leaky integrate-and-fire neuron: potential and current to the next potential and the spikes."""

    def function(potential: torch.Tensor, current: torch.Tensor) -> tuple[torch.Tensor, ...]:
        potential = DECAY * potential + current
        spikes = spike(potential - THRESHOLD, surrogate)
        return potential - (spikes.detach() if detached else spikes) * THRESHOLD, spikes

    return function


def tensors(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [(torch.randn(COUNT, generator=generator) * 2).requires_grad_() for _ in range(count)]


def in_bytes(name: str) -> list[tuple[torch.dtype, int]]:
    """What a compiler keeps where h follows one comparison: a byte an element, for the spikes too, and no bools."""
    return [(torch.int8, COUNT)] if KNOWN[name].kept in (Kept.SPIKES, Kept.MASK) else []


@every_surrogate
@pytest.mark.usefixtures("unbuilt")
def test_one_kernel_each_way(name: str) -> None:
    compiled = compile_both_ways(alone(definitions.get(name)), *tensors(1))
    backward = 0 if KNOWN[name].kept is Kept.NOTHING else 1  # where the gradient is the cotangent itself
    assert (compiled.forward, compiled.backward, compiled.vectorised) == (1, backward, 1 + backward)
    assert compiled.kept == in_bytes(name)


@every_surrogate
@pytest.mark.usefixtures("unbuilt")
@pytest.mark.parametrize("detached", [True, False])
def test_fused_into_a_leaky_integrate_and_fire_step(name: str, detached: bool) -> None:
    compiled = compile_both_ways(step(definitions.get(name), detached), *tensors(2))
    assert (compiled.forward, compiled.backward, compiled.vectorised) == (1, 1, 2)
    potential = [(torch.float32, COUNT)] if KNOWN[name].kept is Kept.POTENTIAL else []
    assert compiled.kept == in_bytes(name) + potential


SAMPLE = tuple(dict.fromkeys([*(next(iter(family)) for family in FAMILIES), *one_a_kept(*Kept)]))
"""One of each family, and one of each kind of what is kept."""


def test_a_compiled_step_gives_eagers_values() -> None:
    """Two steps, so that the gradient of one enters the other; all are in one graph, which is built at once."""
    torch.compiler.reset()
    cases = list(itertools.product(SAMPLE, (True, False)))
    steps = [step(definitions.get(name), detached) for name, detached in cases]

    def unrolled(potential: torch.Tensor, current: torch.Tensor) -> list[torch.Tensor]:
        results = []
        for each in steps:
            first, _ = each(potential, current)
            results += each(first, current)
        return results

    inputs = tensors(2)
    found, expected = torch.compile(unrolled, fullgraph=True)(*inputs), unrolled(*inputs)
    cotangents = [torch.linspace(0.5, 2, COUNT), torch.linspace(-1, 3, COUNT)]
    for i, case in enumerate(cases):
        pairs = [results[2 * i : 2 * i + 2] for results in (found, expected)]
        for one, other in zip(*pairs, strict=True):
            assert torch.equal(one, other), case
        gradients = [torch.autograd.grad(pair, inputs, cotangents, retain_graph=True) for pair in pairs]
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=2e-6, atol=1e-6, msg=lambda text, case=case: f"{case}: {text}")


@pytest.mark.parametrize(
    "surrogate", [Rectangular(height=1e15, gain=1e30), LeakyStep(leak=1e15, gain=1e30)], ids=["window", "leak"]
)
def test_a_side_that_is_infinite_is_not_multiplied_by_zero(surrogate: Surrogate) -> None:
    """h is 1e45 on one side of the comparison, which float32 holds as inf."""
    v = torch.tensor([-2.0, -0.25, 0.25, 2.0], requires_grad=True)

    def both(v: torch.Tensor) -> torch.Tensor:
        return spike(v, surrogate)

    torch.compiler.reset()
    found, expected = (
        torch.autograd.grad(function(v).sum(), v)[0] for function in (torch.compile(both, backend="aot_eager"), both)
    )
    assert torch.equal(found, expected)
    assert {math.inf} < {*found.tolist()}
