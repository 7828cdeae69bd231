"""`Spike`, the module: its threshold, its learnable parameters, and what torch.nn does with a module."""

from __future__ import annotations

import copy
import io
import math
import warnings

import numpy as np
import pytest
import torch
from every import every_parameter, every_surrogate

import arcana.torch
from arcana import surrogate as definitions
from arcana.surrogate import FastSigmoid, QPseudoSpike, Sigmoid, Surrogate, parameter
from arcana.torch import Spike, spike

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
THRESHOLDS = (0.1, 0.3, 1.0, -0.7, 1 / 3, 1e-9, 5)


def around(threshold: float, dtype: torch.dtype) -> torch.Tensor:
    """Potentials at a threshold and beside it, a few steps of the dtype in both directions."""
    values = [torch.tensor(threshold, dtype=dtype)]
    for towards in (math.inf, -math.inf):
        step = values[0]
        for _ in range(3):
            step = torch.nextafter(step, torch.tensor(towards, dtype=dtype))
            values.append(step)
    return torch.stack([*values, torch.tensor(0.5, dtype=dtype), torch.tensor(-1.0, dtype=dtype)])


CHANGES = {
    "as made": lambda layer: layer,
    "double": lambda layer: layer.double(),
    "half": lambda layer: layer.half(),
    "half, then double": lambda layer: layer.half().double(),
    "bfloat16": lambda layer: layer.to(torch.bfloat16),
    "to cpu and float64": lambda layer: layer.to("cpu", torch.float64),
    "deepcopy": copy.deepcopy,
    "saved and loaded": lambda layer: loaded(layer),
    "its own state": lambda layer: with_state(layer, layer.state_dict()),
    "a state of float32": lambda layer: with_state(layer, {"threshold": layer.threshold.float()}),
    "a state of float16": lambda layer: with_state(layer, {"threshold": layer.threshold.half()}),
    "shared memory": lambda layer: layer.share_memory(),
    "meta and back": lambda layer: emptied(layer),
}


def loaded(layer: Spike) -> Spike:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def with_state(layer: Spike, state: dict[str, torch.Tensor]) -> Spike:
    layer.load_state_dict(state)
    return layer


def emptied(layer: Spike) -> Spike:
    layer = layer.to("meta").to_empty(device="cpu")
    with torch.no_grad():
        layer.threshold.fill_(77.0)
    layer.reset_parameters()
    return layer


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_number_is_subtracted_as_python_does_it(dtype: torch.dtype, change: str) -> None:
    """The bits of v − number: spikes and gradients, whatever has been done to the layer."""
    for threshold in THRESHOLDS:
        layer = CHANGES[change](Spike(FastSigmoid(scale=25.0), threshold=threshold))
        v = around(threshold, dtype).requires_grad_()
        w = v.detach().clone().requires_grad_()
        ours, expected = layer(v), spike(w - threshold, FastSigmoid(scale=25.0))
        assert ours.dtype is dtype
        assert torch.equal(ours, expected), threshold
        assert torch.equal(torch.autograd.grad(ours.sum(), v)[0], torch.autograd.grad(expected.sum(), w)[0]), threshold


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_number_is_the_same_number_in_every_mode(dtype: torch.dtype) -> None:
    layer = Spike(FastSigmoid(), threshold=0.1)
    v = around(0.1, dtype)
    expected = spike(v - 0.1, FastSigmoid())
    assert torch.equal(torch.compile(layer, fullgraph=True, backend="aot_eager")(v), expected)
    assert torch.equal(torch.func.vmap(layer)(v), torch.stack([spike(x - 0.1, FastSigmoid()) for x in v]))
    assert torch.equal(torch.func.functional_call(layer, dict(layer.named_buffers()), v), expected)
    assert torch.equal(torch.stack([layer(x) for x in v]), expected)
    assert torch.equal(layer(v[None, :, None])[0, :, 0], expected)


def test_the_threshold_of_the_report() -> None:
    v = torch.tensor([0.1], dtype=torch.float64)
    for layer in (Spike(FastSigmoid(), threshold=0.1), Spike(FastSigmoid(), threshold=np.float64(0.1)).double()):
        assert layer(v).item() == 1.0
        assert layer.threshold.item() == 0.1
        assert repr(layer) == "Spike(FastSigmoid(scale=10.0), threshold=0.1, learnable=())"


def test_of_a_layer_in_another_dtype_the_threshold_alone_stays_as_exact_as_it_was_given() -> None:
    layer = Spike(FastSigmoid(), threshold=0.1, learnable="scale").double()
    for dtype in (torch.float32, torch.float16, torch.float64):
        layer.to(dtype)
        assert (layer.scale.dtype, layer.threshold.dtype, layer.threshold.item()) == (dtype, torch.float64, 0.1)


def test_a_changed_threshold_is_the_one_that_counts() -> None:
    """By hand, by an optimizer's data, by assignment: nothing remembers the number against the buffer."""
    v = torch.tensor([0.1, 0.4, 0.6], dtype=torch.float64)
    layer = Spike(FastSigmoid(), threshold=0.1)
    layer.threshold.fill_(0.5)
    assert layer(v).tolist() == [0, 0, 1]
    layer.threshold.data.fill_(0.3)
    assert layer(v).tolist() == [0, 1, 1]
    layer.threshold = torch.tensor([0.7, 0.4, 0.0])
    assert layer(v).tolist() == [0, 0, 1]  # 0.4 in float32 is above 0.4
    layer = Spike(FastSigmoid(), threshold=0.1)
    layer.load_state_dict({"threshold": torch.tensor(0.25)})
    assert layer.threshold.item() == 0.25
    layer.half()
    assert layer.threshold.item() == 0.25
    assert torch.func.functional_call(layer, {"threshold": torch.tensor(0.5)}, v).tolist() == [0, 0, 1]


def test_a_threshold_that_trains_is_loaded_and_one_of_another_shape_is_not() -> None:
    trained = Spike(FastSigmoid(), 0.25, "threshold")
    layer = Spike(FastSigmoid(), 0.5, "threshold")
    layer.load_state_dict(trained.state_dict())
    assert layer.threshold.item() == 0.25
    fixed = Spike(FastSigmoid(), 0.5)
    assert fixed.load_state_dict({}, strict=False).missing_keys == ["threshold"]
    # Two axes: of one, torch 2.6 takes the first value for a threshold without axes.
    with pytest.raises(RuntimeError, match="size mismatch for threshold"):
        fixed.load_state_dict({"threshold": torch.tensor([[0.25, 0.5]])})
    assert fixed.threshold.item() == 0.5


def test_a_parameter_is_the_very_one_and_trains() -> None:
    threshold = torch.nn.Parameter(torch.tensor([1.0, 0.5]))
    for learnable in ((), ("threshold",), ("scale",)):
        layers = torch.nn.ModuleList([Spike(FastSigmoid(), threshold, learnable), Spike(Sigmoid(), threshold)])
        assert layers[0].threshold is threshold
        assert layers[1].threshold is threshold
        assert "threshold" not in dict(layers[0].named_buffers())
        assert sum(each is threshold for each in layers.parameters()) == 1
    v = torch.tensor([[0.8, 0.7], [1.1, 0.1]])
    optimizer = torch.optim.SGD([threshold], lr=0.5)
    layers[0](v).sum().backward()
    u = v - torch.tensor([1.0, 0.5])
    expected = -(1 / (1 + 10 * u.abs()) ** 2).sum(0)
    torch.testing.assert_close(threshold.grad, expected)
    optimizer.step()
    torch.testing.assert_close(layers[1].threshold.detach(), torch.tensor([1.0, 0.5]) - 0.5 * expected)
    twin = copy.deepcopy(layers)
    assert twin[0].threshold is twin[1].threshold is not threshold


@pytest.mark.parametrize("make", [torch.tensor, np.array, list], ids=["torch", "numpy", "list"])
def test_a_tensor_is_copied(make) -> None:
    given = make([1.0, 0.5])
    first, second, third = Spike(FastSigmoid(), given), Spike(FastSigmoid(), given), Spike(FastSigmoid(), given, device="cpu")
    first.load_state_dict({"threshold": torch.tensor([3.0, 4.0])})
    assert list(first.threshold.tolist()) == [3.0, 4.0]
    assert list(second.threshold.tolist()) == [1.0, 0.5]
    third.load_state_dict({"threshold": torch.tensor([5.0, 6.0])})
    given[0] = 9.0
    assert list(second.threshold.tolist()) == [1.0, 0.5]
    third.reset_parameters()
    assert list(third.threshold.tolist()) == [1.0, 0.5]
    learnable = Spike(FastSigmoid(), torch.as_tensor([1.0, 0.5]), "threshold")
    assert isinstance(learnable.threshold, torch.nn.Parameter)
    first.reset_parameters()
    assert list(first.threshold.tolist()) == [1.0, 0.5]


def test_a_tensor_of_integers_is_a_threshold_and_a_graph_is_none() -> None:
    assert Spike(FastSigmoid(), torch.tensor(2), "threshold").threshold.dtype is torch.float32
    asks = torch.ones(2, requires_grad=True)
    for given in (asks, asks * 2):
        with pytest.raises(ValueError, match=r"^Spike: threshold asks for a gradient that a copy loses: give an nn\.Parameter"):
            Spike(FastSigmoid(), given)
    assert Spike(FastSigmoid(), asks, ("threshold",)).threshold.is_leaf
    for given in (True, "1", None, torch.tensor([True]), torch.tensor(1j), FastSigmoid()):
        with pytest.raises(TypeError, match=r"^Spike: threshold must be a (number or a tensor|tensor of real numbers), got "):
            Spike(FastSigmoid(), given)
    with pytest.raises(ValueError, match=r"^Spike: threshold must be finite, got tensor\(\[1\., inf\]\)$"):
        Spike(FastSigmoid(), torch.tensor([1.0, math.inf]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_gradient_of_a_threshold_is_summed_in_float32(dtype: torch.dtype) -> None:
    """In float16 the sum of 100,000 ones is infinite."""
    threshold = torch.nn.Parameter(torch.tensor(0.0))
    v = torch.zeros(100_000, dtype=dtype)
    Spike(definitions.ste, threshold)(v).backward(torch.ones_like(v))
    assert threshold.grad.item() == -100_000


def test_on_the_meta_device() -> None:
    with torch.device("meta"):
        layer = Spike(FastSigmoid(scale=25.0), threshold=0.1, learnable=["scale", "gain"])
        several = Spike(FastSigmoid(), torch.ones(3), "threshold")
    assert layer.threshold.is_meta
    assert layer.scale.is_meta
    text = (
        "Spike(FastSigmoid(scale=25.0), threshold=() on meta, learnable=('scale', 'gain'), scale=(1,) on meta, gain=(1,) on meta)"
    )
    assert repr(layer) == text
    assert "threshold=(3,) on meta" in repr(several)
    layer = layer.to_empty(device="cpu")
    layer.reset_parameters()
    assert (layer.threshold.item(), layer.scale.item(), layer.gain.item()) == (0.1, 25.0, 1.0)
    v = torch.tensor([0.1, 0.05], dtype=torch.float64)
    assert layer(v).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"^Spike: the threshold was given on the meta device"):
        several.to_empty(device="cpu").reset_parameters()
    assert layer.to("meta")(v.to("meta")).is_meta


def test_a_device_without_float64_has_the_threshold_in_float32() -> None:
    """MPS raises TypeError at a tensor of float64; what is done to a module there is done here to its tensors."""

    def to_mps(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype is torch.float64:
            msg = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64"
            raise TypeError(msg)
        return tensor.clone()

    layer = torch.nn.Sequential(Spike(FastSigmoid(), threshold=0.1, learnable="scale"))._apply(to_mps)[0]
    assert layer.threshold.dtype is torch.float32
    v = around(0.1, torch.float32)
    assert torch.equal(layer(v), spike(v - 0.1, FastSigmoid()))
    layer.load_state_dict(Spike(FastSigmoid(), 0.25, learnable="scale").state_dict())
    assert layer.threshold.item() == 0.25


def test_reset_of_a_parameter_that_was_given_and_of_one_a_channel() -> None:
    layer = Spike(FastSigmoid(scale=2.0), torch.nn.Parameter(torch.tensor([1.0, 0.5])), "scale")
    layer.scale = torch.nn.Parameter(torch.full((2,), 7.0))
    with torch.no_grad():
        layer.threshold.fill_(9.0)
    layer.reset_parameters()
    assert layer.threshold.tolist() == [1.0, 0.5]
    assert layer.scale.tolist() == [2.0, 2.0]


def test_parameters_of_the_shape_that_is_asked_for() -> None:
    layer = Spike(FastSigmoid(scale=2.0), 0.5, ("scale", "threshold"), shape=3, dtype=torch.float64)
    assert {name: (x.tolist(), x.dtype) for name, x in layer.named_parameters()} == {
        "scale": ([2.0] * 3, torch.float64),
        "threshold": ([0.5] * 3, torch.float64),
    }
    assert Spike(FastSigmoid(), learnable="scale", shape=(4, 1, 1)).scale.shape == (4, 1, 1)
    assert Spike(FastSigmoid(), learnable="scale", shape=()).scale.shape == ()
    assert Spike(FastSigmoid(), learnable="scale").scale.shape == (1,)
    several = Spike(FastSigmoid(), torch.tensor([1.0, 2.0]), ("threshold", "scale"))
    assert (several.threshold.tolist(), several.scale.shape) == ([1.0, 2.0], (1,))
    wide = Spike(FastSigmoid(), torch.tensor([1.0, 2.0]), "threshold", shape=(3, 2)).threshold
    assert wide.tolist() == [[1.0, 2.0]] * 3
    with pytest.raises(ValueError, match=r"^Spike: threshold must broadcast to shape \(3,\), got shape \(2,\)$"):
        Spike(FastSigmoid(), torch.tensor([1.0, 2.0]), "threshold", shape=3)
    for device in ("meta", torch.device("meta")):
        made = Spike(FastSigmoid(), torch.ones(2), "scale", shape=2, device=device)
        assert made.scale.is_meta
        assert made.threshold.is_meta


def test_channels_learn_each_its_own() -> None:
    layer = Spike(FastSigmoid(scale=2.0), 0.0, "scale", shape=(2, 1))
    v = torch.tensor([[0.5, -0.25], [1.0, 0.0]])
    layer(v).sum().backward()
    u = v.double()
    expected = (-u * u.abs() / (1 + 2 * u.abs()) ** 2).sum(1, keepdim=True)
    torch.testing.assert_close(layer.scale.grad.double(), expected, rtol=1e-6, atol=1e-7)


def test_the_surrogate_is_the_present_one() -> None:
    layer = Spike(FastSigmoid(scale=2.0), learnable=("scale", "gain"))
    with torch.no_grad():
        layer.scale.fill_(7.5)
        layer.gain.fill_(0.1)
    assert layer.surrogate == FastSigmoid(scale=7.5, gain=0.1)
    assert repr(layer) == "Spike(FastSigmoid(scale=7.5, gain=0.1), threshold=1.0, learnable=('scale', 'gain'))"
    layer.reset_parameters()
    assert layer.surrogate == FastSigmoid(scale=2.0)
    with torch.no_grad():
        layer.scale.fill_(-3.0)
    assert layer.surrogate.scale > 0
    channels = Spike(FastSigmoid(scale=2.0), learnable="scale", shape=2)
    assert channels.surrogate == FastSigmoid(scale=2.0)
    assert repr(channels) == "Spike(FastSigmoid(scale=2.0), threshold=1.0, learnable=('scale',), scale=[2.0, 2.0])"


def test_a_checkpoint_of_one_value_without_axes_is_loaded() -> None:
    old, new = (Spike(FastSigmoid(), 1.0, ("scale", "threshold"), shape=shape) for shape in ((), 1))
    with torch.no_grad():
        old.scale.fill_(3.0)
        old.threshold.fill_(0.25)
    new.load_state_dict(old.state_dict())
    assert (new.scale.tolist(), new.threshold.tolist()) == ([3.0], [0.25])


@pytest.mark.parametrize("library", ["snntorch", "spikingjelly", "norse", "sinabs"])
def test_a_library_that_subtracts_the_threshold_itself_is_warned_of(library: str) -> None:
    """v = 1.5 in a neuron of threshold 1 gave no spike, without a word."""
    neuron: dict[str, object] = {"__name__": f"{library}.neurons"}
    exec("def step(spike, v): return spike(v - 1.0)", neuron)
    step = neuron["step"]
    v = torch.tensor([1.5])
    layer = torch.nn.Sequential(Spike(FastSigmoid()))
    with pytest.warns(
        UserWarning, match=rf"^{library} gives .* Spike subtracts its own, 1\.0, once more: hand over layer\.surrogate"
    ):
        assert step(layer, v).tolist() == [0.0]
    for quiet in (layer, Spike(FastSigmoid(), threshold=0.0), Spike(FastSigmoid()).surrogate):
        step(quiet, v)  # Once is enough; and a warning here would be an error.
    assert Spike(FastSigmoid())(v).tolist() == [1.0]


def test_what_is_printed() -> None:
    assert repr(Spike(FastSigmoid(), torch.tensor(0.1))) == "Spike(FastSigmoid(scale=10.0), threshold=0.1, learnable=())"
    assert "threshold=[0.1, 2.0]" in repr(Spike(FastSigmoid(), torch.tensor([0.1, 2.0])))
    assert "threshold=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]" in repr(Spike(FastSigmoid(), torch.arange(6.0)))
    assert "threshold=(7,) from 0.0 to 6.0" in repr(Spike(FastSigmoid(), torch.arange(7.0)))
    many = Spike(FastSigmoid(), torch.linspace(0.5, 2, 64 * 32 * 32).reshape(64, 32, 32), "scale")
    assert repr(many) == "Spike(FastSigmoid(scale=10.0), threshold=(64, 32, 32) from 0.5 to 2.0, learnable=('scale',))"
    with torch.no_grad():
        many.scale.fill_(3.3)
    assert "FastSigmoid(scale=3.3)" in repr(many)
    many.scale = torch.nn.Parameter(torch.arange(1.0, 9.0))
    assert repr(many).endswith("learnable=('scale',), scale=(8,) from 1.0 to 8.0)")
    with torch.no_grad():
        many.scale.fill_(math.nan)
    assert "scale=(8,)" in repr(many)
    for value in (math.nan, math.inf):
        one = Spike(FastSigmoid(), torch.full((2, 2), 0.5), learnable="scale")
        with torch.no_grad():
            one.scale.fill_(value)
        assert repr(one).startswith("Spike(FastSigmoid(scale=10")
    assert "threshold=(2, 2) from 0.5 to 0.5" in repr(one)
    assert len(repr(Spike(FastSigmoid(), torch.ones(0, 3)))) < 100


def test_what_is_printed_while_a_compiler_looks_on_is_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows no look at a value, and functorch prints a module."""
    layer = Spike(FastSigmoid(scale=25.0), learnable="scale")
    with torch.no_grad():
        layer.scale.fill_(3.0)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert repr(layer) == "Spike(FastSigmoid(scale=25.0))"


def test_a_layer_that_was_saved_before_it_knew_its_number() -> None:
    layer = Spike(FastSigmoid(), threshold=0.5)
    del layer._first
    layer.threshold = torch.tensor(0.5)
    old = loaded(layer)
    assert old.half().threshold.dtype is torch.float16
    assert old(torch.tensor([0.4, 0.5])).tolist() == [0.0, 1.0]
    old.reset_parameters()
    assert old.threshold.item() == 0.5


def outside(surrogate: Surrogate, name: str) -> list[float]:
    """Values on both sides of a parameter's domain, or on the side that there is."""
    low, high = type(surrogate).domain(name, "float32")
    return [x for x in (low - abs(low) - 1.0, low - 2.0, high * 2, math.nextafter(low, -math.inf)) if not low <= x <= high]


@every_parameter
def test_no_step_leaves_the_domain_in_effect(name: str, key: str) -> None:
    """The stored value is whatever the optimizer wrote; spikes, h and every gradient are those of the nearest value inside."""
    surrogate = definitions.get(name)
    v = torch.cat([torch.linspace(-3, 3, 41), torch.tensor([0.0, 1e-15, -1e-15, 1e3])])
    for dtype in (torch.float64, torch.float32):
        low, high = type(surrogate).domain(key, str(dtype).removeprefix("torch."))
        for bad in [x for x in outside(surrogate, key) if math.isfinite(torch.tensor(x, dtype=dtype).item())]:
            nearest = min(max(bad, low), high)
            layer = Spike(surrogate, threshold=0.0, learnable=(key,)).to(dtype)
            with torch.no_grad():
                getattr(layer, key).fill_(bad)
            if low <= getattr(layer, key).item() <= high:
                continue
            x = v.to(dtype).requires_grad_()
            layer(x).sum().backward()
            y, inside = v.to(dtype).requires_grad_(), torch.tensor([nearest], dtype=dtype, requires_grad=True)
            spike(y, surrogate, **{key: inside}).sum().backward()
            assert torch.equal(x.grad, y.grad), bad
            assert torch.equal(getattr(layer, key).grad, inside.grad), bad
            assert torch.isfinite(x.grad).all(), bad
            assert torch.isfinite(inside.grad).all(), bad
            assert getattr(layer, key).item() == torch.tensor(bad, dtype=dtype).item()
            assert layer.state_dict()[key].item() == torch.tensor(bad, dtype=dtype).item()


def test_the_three_steps_of_the_report() -> None:
    """0.31, then below 0: h stays positive and finite, and the slope comes back when the loss asks for it."""
    torch.manual_seed(0)
    potentials = torch.randn(64) * 3 + 1
    layer = Spike(Sigmoid(slope=1.0), learnable=["slope"])
    optimizer = torch.optim.SGD(layer.parameters(), 5.0)
    for direction in (1, 1, 1, -1, -1, -1):
        v = potentials.clone().requires_grad_()
        optimizer.zero_grad()
        (direction * layer(v) * torch.sign(potentials - 1)).mean().backward()
        assert (v.grad * torch.sign(potentials - 1) * direction >= 0).all()
        assert torch.isfinite(layer.slope.grad)
        optimizer.step()
        w = torch.tensor([1.1], requires_grad=True)
        layer(w).sum().backward()
        assert 0 < w.grad.item() < 10
    assert layer.slope.item() > 0.3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_layer_of_a_half_type_stays_in_the_domain(dtype: torch.dtype) -> None:
    """1e-15, the least width, is 0 in float16."""
    layer = Spike(definitions.rectangular, threshold=0.0, learnable=("width",)).to(dtype)
    with torch.no_grad():
        layer.width.fill_(-1.0)
    v = torch.tensor([-1.0, 0.0, 1.0], dtype=dtype, requires_grad=True)
    layer(v).sum().backward()
    assert v.grad.tolist() == [0.0, 1.0, 0.0]
    assert not layer.width.grad.isnan().any()


def test_channels_outside_and_inside() -> None:
    layer = Spike(FastSigmoid(scale=2.0), threshold=0.0, learnable=("scale",))
    layer.scale = torch.nn.Parameter(torch.tensor([3.0, -1.5, 2.0]))
    v = torch.tensor([0.5, 0.5, -0.25], requires_grad=True)
    layer(v).sum().backward()
    torch.testing.assert_close(v.grad, torch.tensor([1 / 2.5**2, 1.0, 1 / 1.5**2]))
    torch.testing.assert_close(layer.scale.grad, torch.tensor([-0.25 / 2.5**2, -0.25, 0.0625 / 1.5**2]))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    again = torch.autograd.grad(compiled(v).sum(), (v, layer.scale))
    assert torch.equal(again[0], v.grad)
    assert torch.equal(again[1], layer.scale.grad)


@pytest.mark.parametrize(
    ("surrogate", "name", "value", "message"),
    [
        (FastSigmoid(), "scale", torch.tensor(-1.5), r"^FastSigmoid: scale must be > 0, got -1\.5$"),
        (FastSigmoid(), "scale", torch.tensor([1.0, 0.0, 2.0]), r"^FastSigmoid: scale must be > 0, got 0\.0$"),
        (FastSigmoid(), "scale", torch.tensor(math.nan), r"^FastSigmoid: scale must be finite and > 0, got nan$"),
        (FastSigmoid(), "scale", torch.tensor(-3, dtype=torch.int32), r"^FastSigmoid: scale must be > 0, got -3\.0$"),
        (QPseudoSpike(), "q", torch.tensor([2.0, 2.0, 0.5], dtype=torch.float16), r"^QPseudoSpike: q must be > 1 .*, got 0\.5$"),
        (Sigmoid(), "slope", torch.nn.Parameter(torch.tensor(1e16)), r"^Sigmoid: slope must be >= 1e-15 and <= 1e\+15, got "),
    ],
)
def test_values_that_can_be_seen_are_checked(surrogate: Surrogate, name: str, value: torch.Tensor, message: str) -> None:
    """An array on the CPU is a ValueError as a number is, wherever it is given."""
    v = torch.zeros(3)
    for call in (spike, lambda x, s, **k: s(x, **k), lambda x, s, **k: arcana.torch.evaluate(s, "derivative", x, **k)):
        with pytest.raises(ValueError, match=message):
            call(v, surrogate, **{name: value})


@every_parameter
def test_the_ends_of_a_domain_are_inside(name: str, key: str) -> None:
    surrogate = definitions.get(name)
    for dtype in (torch.float64, torch.float32):
        for end in type(surrogate).domain(key, str(dtype).removeprefix("torch.")):
            assert spike(torch.zeros(1), surrogate, **{key: torch.tensor(end, dtype=dtype)}).item() == 1.0


def test_values_that_cannot_be_seen_count_as_the_nearest_inside() -> None:
    """Under a compiler or a transform nothing can be raised, and another function would be nonsense."""
    bad = torch.tensor([-1.5, 2.0, -0.1])
    v = torch.tensor([0.5, 0.5, -0.25])
    expected = torch.tensor([1.0, 0.25, 1.0])

    def h(v: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(lambda x: spike(x, FastSigmoid(), scale=scale).sum())(v)

    torch.testing.assert_close(h(v, bad), expected)
    torch.testing.assert_close(torch.func.vmap(h)(v, bad), expected)
    torch.testing.assert_close(torch.compile(h, fullgraph=True, backend="aot_eager")(v, bad), expected)
    scale = torch.func.grad(lambda s: spike(v, FastSigmoid(), scale=s).sum())(bad)
    torch.testing.assert_close(scale, torch.tensor([-0.25, -0.25 / 4, 0.0625]))


def test_what_stands_for_a_surrogate() -> None:
    for given in (FastSigmoid, arcana.torch.FastSigmoid, arcana.torch.fast_sigmoid, FastSigmoid()):
        layer = Spike(given, learnable="scale")
        assert layer.surrogate == FastSigmoid()
        assert layer.learnable == ("scale",)
    assert Spike(FastSigmoid, learnable=("scale", "scale", "threshold")).learnable == ("scale",)


class Weird(Surrogate):
    slope: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v, xp, *, slope):
        return xp.reciprocal(xp.abs(v * slope) + 1)


@every_surrogate
def test_a_surrogate_loads_with_weights_only(name: str) -> None:
    file = io.BytesIO()
    torch.save(definitions.get(name, gain=0.5), file)
    file.seek(0)
    assert torch.load(file) == definitions.get(name, gain=0.5)


def test_checkpoints_load_with_weights_only() -> None:
    """The catalogue without a word, a class of one's own once it is allowed, and nothing else with it."""
    layer = Spike(FastSigmoid(scale=25.0), 0.1, "scale")
    saved = {"surrogate": FastSigmoid(gain=0.5), "state": layer.state_dict(), "mine": Weird(slope=3)}
    saved |= {"function": arcana.torch.fast_sigmoid}
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    with pytest.raises(Exception, match=r"safe_globals\(\[.*Weird\]\)"):
        torch.load(file)
    file.seek(0)
    with torch.serialization.safe_globals([Weird]), warnings.catch_warnings():
        found = torch.load(file)
    assert found["surrogate"] == saved["surrogate"]
    assert found["mine"] == Weird(slope=3)
    assert found["function"] is arcana.torch.fast_sigmoid
    assert found["state"]["threshold"].item() == 0.1
