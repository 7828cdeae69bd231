"""The ways into other libraries that can be tried without them; `nox -s frameworks` trains the libraries' own neurons."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import sys
import types
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


def test_rockpool_takes_at_most_65536_spikes_unless_told() -> None:
    """As `StepPWL` does; with a threshold of 1, which is Rockpool's too."""
    x = torch.tensor([65535.0, 65536.0, 65537.0, 1e9])
    assert SpikeGeneration(FastSigmoid()).apply(x).tolist() == [65535.0, 65536.0, 65536.0, 65536.0]
    assert SpikeGeneration(FastSigmoid()).apply(x, max_spikes_per_dt=3).tolist() == [3.0] * 4


def adapter_beside(monkeypatch: pytest.MonkeyPatch, name: str, *stand_ins: types.ModuleType) -> Any:
    """The adapter of a library, made anew beside modules that stand in for the library's."""
    for module in stand_ins:
        parts = module.__name__.split(".")
        for i in range(1, len(parts)):
            monkeypatch.setitem(sys.modules, parent := ".".join(parts[:i]), sys.modules.get(parent) or types.ModuleType(parent))
    for module in stand_ins:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.find_spec(f"arcana.torch.adapters.{name}")
    assert spec is not None
    assert spec.loader is not None
    adapter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(adapter)
    return adapter


def module(name: str, **members: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(members)
    return made


def test_norse_has_another_function_by_name_until_the_context_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs(x: torch.Tensor, method: str, alpha: float) -> torch.Tensor:
        assert method == "super"
        return alpha * x

    others = "norse.torch.functional.lif", "norse.torch.functional.logical", "nonorse.lif"
    lif, logical, elsewhere = places = [module(name, threshold=theirs) for name in others]
    logical.threshold = abs
    norse = adapter_beside(monkeypatch, "norse", module("norse.torch.functional.threshold", threshold=theirs), *places)
    v = torch.tensor([-0.5, 0.5], requires_grad=True)
    for method, scale in (("steep", 4.0), ("super", 9.0)):
        with norse.methods(steep=FastSigmoid(scale=4.0), super=FastSigmoid(scale=9.0)):
            spikes = lif.threshold(v, method, 100.0)
            assert spikes.tolist() == [0.0, 1.0]
            (h,) = torch.autograd.grad(spikes.sum(), v)
            torch.testing.assert_close(h, torch.full((2,), (1 + scale / 2) ** -2))
            assert (logical.threshold, elsewhere.threshold) == (abs, theirs)
    with norse.methods(steep=fast_sigmoid):
        assert lif.threshold(v.detach(), "super", 3.0).tolist() == [-1.5, 1.5]
    assert lif.threshold is theirs
    with pytest.raises(TypeError, match="methods: steep takes a Surrogate instance"), norse.methods(steep="steep"):
        pass


def test_slayer_fires_with_the_surrogate_until_the_context_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(torch.autograd.Function):
        """Inherits `apply`, so that what is put in is a new attribute."""

    lava = adapter_beside(monkeypatch, "lava_dl", module("lava.lib.dl.slayer.spike.spike", Spike=Theirs))
    voltage, threshold = torch.tensor([0.4, 0.6], requires_grad=True), torch.tensor(0.5, requires_grad=True)

    def slopes() -> tuple[torch.Tensor, ...]:
        spikes = Theirs.apply(voltage, threshold, 1.0, 1.0, False, 0, 1)
        assert spikes.tolist() == [0.0, 1.0]
        return torch.autograd.grad(spikes.sum(), (voltage, threshold))

    def h(scale: float) -> torch.Tensor:
        return torch.full((2,), (1 + scale * 0.1) ** -2)

    def use() -> None:
        with lava.spikes_with(FastSigmoid(scale=10.0)):
            with lava.spikes_with(FastSigmoid(scale=20.0)):
                torch.testing.assert_close(slopes(), (h(20.0), -h(20.0).sum()))
            torch.testing.assert_close(slopes(), (h(10.0), -h(10.0).sum()))
            Theirs.apply(voltage, threshold, 1.0, 1.0, True, 0, 1)

    with pytest.raises(ValueError, match="graded_spike must be False, got True"):
        use()
    assert "apply" not in vars(Theirs)
    with pytest.raises(TypeError, match="spikes_with takes a Surrogate instance"), lava.spikes_with("fast_sigmoid"):
        pass


def test_a_function_of_spikingjelly_spikes_or_gives_the_primitive(monkeypatch: pytest.MonkeyPatch) -> None:
    class Base(torch.nn.Module):
        """Hands the parameters of its own to two static functions, as SpikingJelly's does."""

        def __init__(self, spiking: bool, **parameters: Any) -> None:
            super().__init__()
            self.spiking, self.parameters_of_function = spiking, parameters

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            function: Any = self.spiking_function if self.spiking else self.primitive_function
            return function(x, **self.parameters_of_function)

    jelly = adapter_beside(
        monkeypatch, "spikingjelly", module("spikingjelly.activation_based.surrogate", SurrogateFunctionBase=Base)
    )
    v, surrogate = torch.tensor([-0.5, 0.5], requires_grad=True), FastSigmoid(scale=4.0)
    for given in (surrogate, surrogate.to_dict()):
        spikes = jelly.SurrogateFunction(given)(v)
        assert spikes.tolist() == [0.0, 1.0]
        (h,) = torch.autograd.grad(spikes.sum(), v)
        torch.testing.assert_close(h, torch.full((2,), 1 / 9))
        # G = 1/2 + v/(1 + 4·|v|).
        torch.testing.assert_close(jelly.SurrogateFunction(given, spiking=False)(v), 0.5 + v / 3)
    assert jelly.SurrogateFunction(fast_sigmoid).parameters_of_function == {"surrogate": FastSigmoid()}
    with pytest.raises(TypeError, match="SurrogateFunction takes a Surrogate instance"):
        jelly.SurrogateFunction("fast_sigmoid")
