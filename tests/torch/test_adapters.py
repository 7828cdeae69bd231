"""The ways into other libraries that can be tried without them; `nox -s frameworks` trains the libraries' own neurons."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from every import every_surrogate

from arcana.surrogate import FastSigmoid, get
from arcana.torch import fast_sigmoid
from arcana.torch.adapters.rockpool import SpikeGeneration
from arcana.torch.adapters.sinabs import MultiSpike, SingleSpike, SurrogateGradient

ADAPTERS: list[Any] = [SpikeGeneration, SingleSpike, SurrogateGradient]
each_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda each: each.__name__)


@each_adapter
def test_an_adapter_is_a_value(adapter: Any) -> None:
    one = adapter(FastSigmoid(scale=25.0))
    assert one == adapter(FastSigmoid(scale=25.0)) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one))
    assert one != adapter(FastSigmoid())
    assert hash(one) == hash(adapter(FastSigmoid(scale=25.0)))
    assert repr(one) == f"{adapter.__name__}(surrogate=FastSigmoid(scale=25.0))"


@each_adapter
def test_what_stands_for_a_surrogate(adapter: Any) -> None:
    assert adapter(FastSigmoid).surrogate == adapter(fast_sigmoid).surrogate == FastSigmoid()
    with pytest.raises(TypeError, match=f"^{adapter.__name__} takes a Surrogate instance, .*, got 'fast_sigmoid'; a name is"):
        adapter("fast_sigmoid")


@every_surrogate
def test_sinabs(name: str) -> None:
    """h and the spikes at potential − threshold, and −h for the threshold."""
    surrogate = get(name)
    potential = torch.linspace(-1, 3, 41, dtype=torch.float64).requires_grad_()
    threshold = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    v = (potential - threshold).detach()
    h = surrogate.derivative(v)
    spikes = SingleSpike(surrogate).apply(potential, threshold)
    assert torch.equal(spikes, surrogate(v))
    slopes = torch.autograd.grad(spikes.sum(), (potential, threshold))
    torch.testing.assert_close(slopes, (h, -h.sum()))
    assert torch.equal(SurrogateGradient(surrogate)(potential.detach(), threshold.detach()), h)


@pytest.mark.parametrize("name", ["fast_sigmoid", "gaussian"])
def test_sinabs_counts(name: str) -> None:
    """Spike by spike, and the gradient of the counts for potential and threshold."""
    surrogate, most = get(name), 4
    potential = torch.linspace(-1, 5, 61, dtype=torch.float64).requires_grad_()
    threshold = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    v = [(potential / threshold - k).detach() for k in range(1, most + 1)]
    h = sum(surrogate.derivative(each) for each in v) / threshold.detach()
    counts = MultiSpike(surrogate, most).apply(potential, threshold)
    assert torch.equal(counts, sum(surrogate(each) for each in v))
    slopes = torch.autograd.grad(counts.sum(), (potential, threshold))
    torch.testing.assert_close(slopes, (h, -(h * potential.detach()).sum() / threshold.detach()))
    assert MultiSpike(surrogate, 4) == copy.deepcopy(MultiSpike(surrogate, 4)) != MultiSpike(surrogate, 3)
    with pytest.raises(ValueError, match="most must be from 1 to 128, got 0"):
        MultiSpike(surrogate, 0)


@every_surrogate
def test_rockpool(name: str) -> None:
    """At most 2 spikes, and the gradients of a function of potential/threshold."""
    surrogate = get(name)
    x = torch.linspace(-1, 3, 41, dtype=torch.float64).requires_grad_()
    threshold = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    spikes = SpikeGeneration(surrogate).apply(x, threshold, torch.tensor(0.5), torch.tensor(2.0))
    expected = torch.where(x >= threshold, torch.floor(x / threshold), 0.0).clamp(max=2)
    assert torch.equal(spikes, expected)
    h = surrogate.derivative((x - threshold).detach())
    slopes = torch.autograd.grad(spikes.sum(), (x, threshold))
    torch.testing.assert_close(slopes, (h / 0.7, -(h * x.detach() / 0.7**2).sum()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_dtypes_are_kept(dtype: torch.dtype) -> None:
    x = torch.tensor([0.5, 1.0, 2.5], dtype=dtype)
    assert SpikeGeneration(FastSigmoid()).apply(x).dtype is dtype
    assert SpikeGeneration(FastSigmoid()).apply(x).tolist() == [0.0, 1.0, 2.0]
    assert SingleSpike(FastSigmoid()).apply(x, 1.0).tolist() == [0.0, 1.0, 1.0]
    assert SurrogateGradient(FastSigmoid())(x, 1.0).dtype is dtype
