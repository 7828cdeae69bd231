"""What a call means in torch: spikes, dtypes, errors, the original module's interface, modules, pickling."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from every import each_kept, every_surrogate
from loaded import loaded_by, packages
from truth import assert_hard_case, hard_cases

import arcana.torch
import arcana.torch.conformance as side
from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.surrogate import Surrogate, fast_sigmoid, parameter
from arcana.testing import check_surrogate
from arcana.testing._second_order import second_order_rows
from arcana.testing._surrogate import exact_spikes, reports
from arcana.testing._values import BITS, from_float, hard_sample, to_float
from arcana.torch import FastSigmoid, Spike, spike


class Cauchy(Surrogate):
    width: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        return xp.reciprocal(1 + xp.square(v / width))


@every_surrogate
@pytest.mark.parametrize("fires_at_threshold", [True, False])
@pytest.mark.parametrize("dtype", BITS)
def test_spikes_of_every_pattern(name: str, dtype: str, fires_at_threshold: bool) -> None:
    surrogate = definitions.get(name, fires_at_threshold=fires_at_threshold)
    bits = hard_sample(dtype)
    v = side.from_bits(bits, dtype)
    expected = exact_spikes(bits, dtype, fires_at_threshold)
    transformed = torch.func.vmap(lambda x: spike(x, surrogate))(v)
    for spikes in (spike(v, surrogate), spike(v.clone().requires_grad_(), surrogate), transformed):
        assert (spikes.dtype, spikes.shape) == (v.dtype, v.shape)
        np.testing.assert_array_equal(side.to_bits(spikes), expected)


@every_surrogate
def test_gradient_of_a_hard_sample_is_the_papers(name: str, subtests: pytest.Subtests) -> None:
    """All parameter sets and both dtypes in one call, so that they are compiled at once."""
    cases = hard_cases(name)
    results = [side.spikes_and_gradients(cases, mode, compiler="aot_eager") for mode in side.MODES]
    for case, *gradients in zip(cases, *results, strict=True):
        surrogate, *_, dtype = case
        with subtests.test(f"{surrogate!r}, {dtype}"):
            for _, gradient in gradients:
                assert_hard_case(gradient, surrogate, dtype, subnormals=True)


@every_surrogate
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_are_computed_in_float32_and_rounded_once(name: str, dtype: str) -> None:
    surrogate = definitions.get(name)
    bits = hard_sample(dtype)
    c = from_float(np.random.default_rng(4).uniform(0.5, 2, bits.size), dtype)
    wide = torch.from_numpy(to_float(c, dtype)) * surrogate.derivative(torch.from_numpy(to_float(bits, dtype)))
    expected = from_float(wide.numpy(), dtype)
    gradient = side.spikes_and_gradients([(surrogate, bits, c, dtype)])[0][1]
    numbers = ~np.isnan(wide.numpy())
    np.testing.assert_array_equal(gradient[numbers], expected[numbers])


@pytest.mark.parametrize("value", [25.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_number_and_tensor_give_the_same_bits(value: float, dtype: torch.dtype) -> None:
    v = torch.randn(1000, generator=torch.manual_seed(0)).to(dtype).requires_grad_()
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for scale in (torch.tensor(value, dtype=wide), torch.full((1000,), value, dtype=wide), torch.tensor([value], dtype=wide)):
        by_number = torch.autograd.grad(spike(v, fast_sigmoid, scale=value).sum(), v)[0]
        assert torch.equal(torch.autograd.grad(spike(v, fast_sigmoid, scale=scale).sum(), v)[0], by_number)


def test_per_channel_gradients_are_summed_to_the_parameters_shape() -> None:
    v = torch.randn(6, 4, 3, dtype=torch.float64)
    c = torch.randn(6, 4, 3, dtype=torch.float64)
    each = -c * v * v.abs() * (1 + 2 * v.abs()) ** -2
    for shape, expected in (
        ((3,), each.sum((0, 1))),
        ((4, 1), each.sum((0, 2))[:, None]),
        ((), each.sum()),
        ((1, 4, 3), each.sum(0, True)),
    ):
        scale = torch.full(shape, 2.0, dtype=torch.float64, requires_grad=True)
        (found,) = torch.autograd.grad(spike(v, fast_sigmoid, scale=scale), scale, c)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_parameter_gradient_is_summed_before_it_is_rounded() -> None:
    gain = torch.tensor(1.0, dtype=torch.float16, requires_grad=True)
    spike(torch.tensor([1e5, -1e5, 3.0]), definitions.ste, gain=gain).sum().backward()
    assert gain.grad == 3.0


def test_parameter_gradient_keeps_the_parameters_dtype() -> None:
    v = torch.randn(50, dtype=torch.bfloat16, requires_grad=True)
    scale = torch.tensor(3.0, dtype=torch.float32, requires_grad=True)
    by_v, by_scale = torch.autograd.grad(spike(v, fast_sigmoid, scale=scale).sum(), (v, scale))
    assert (by_v.dtype, by_scale.dtype) == (torch.bfloat16, torch.float32)
    wide = v.detach().double()
    assert by_scale.item() == pytest.approx((-wide * wide.abs() * (1 + 3 * wide.abs()) ** -2).sum().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda v: arcana.torch.fast_sigmoid(v.long()),
            TypeError,
            r"^FastSigmoid: v must be float64, float32, float16, bfloat16, got int64$",
        ),
        (lambda v: arcana.torch.step(v > 0), TypeError, r"^Step: v must be .*, got bool$"),
        (lambda v: arcana.torch.ste(v + 0j), TypeError, r"^STE: v must be .*, got complex64$"),
        (lambda v: arcana.torch.triangular(0.5), TypeError, r"^Triangular: v must be a torch\.Tensor, got builtins\.float; "),
        (
            lambda v: arcana.torch.fast_sigmoid(v.numpy()),
            TypeError,
            r"^FastSigmoid: v must be a torch\.Tensor, got numpy\.ndarray; torch\.as_tensor\(v\) makes one of it$",
        ),
        (lambda v: arcana.torch.fast_sigmoid(v, scale=-2), ValueError, r"^FastSigmoid: scale must be > 0, got -2\.0$"),
        (
            lambda v: arcana.torch.fast_sigmoid(v, slope=2),
            TypeError,
            r"^FastSigmoid has no parameter 'slope'; it has scale, gain, fires_at_threshold; did you mean scale\?$",
        ),
        (
            lambda v: arcana.torch.fast_sigmoid(v, scale="a"),
            TypeError,
            r"^FastSigmoid: scale must be a number or a torch\.Tensor, got 'a' \(str\)$",
        ),
        (
            lambda v: arcana.torch.fast_sigmoid(v, scale=True),
            TypeError,
            r"^FastSigmoid: scale must be a number or a torch\.Tensor, got True \(bool\)$",
        ),
        (
            lambda v: arcana.torch.fast_sigmoid(v, scale=v.long()),
            TypeError,
            r"^FastSigmoid: scale must be a floating-point tensor, got int64$",
        ),
        (
            lambda v: arcana.torch.fast_sigmoid(v, scale=torch.ones(4)),
            ValueError,
            r"^FastSigmoid: scale must broadcast to v's shape \(2, 3\), got shape \(4,\)$",
        ),
        (lambda v: arcana.torch.fast_sigmoid(v, scale=torch.ones(5, 2, 3)), ValueError, r"got shape \(5, 2, 3\)$"),
        (
            lambda v: spike(v, Cauchy(), width=torch.ones(3, requires_grad=True)).sum().backward(),
            NotImplementedError,
            r"^Cauchy defines no primitive",
        ),
        (
            lambda v: setattr(FastSigmoid, "scale", 3.0),
            AttributeError,
            r"^FastSigmoid\.scale is read-only, .*fast_sigmoid\(v, scale=3\.0\)",
        ),
        (lambda v: FastSigmoid.slope, AttributeError, r"^FastSigmoid has no attribute 'slope'$"),
        (lambda v: Spike(3.0), TypeError, r"^Spike takes a Surrogate instance, FastSigmoid\(scale=25\.0\) say, got 3\.0$"),
        (lambda v: Spike(fast_sigmoid, threshold=float("nan")), ValueError, r"^Spike: threshold must be finite, got nan$"),
        (
            lambda v: Spike(fast_sigmoid, learnable=("slope",)),
            TypeError,
            r"^Spike: 'slope' cannot be learned; there are threshold, gain, scale$",
        ),
    ],
)
def test_bad_input_is_named(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call(torch.ones(2, 3))


def test_tensors_that_nobody_looks_at_are_checked_at_every_call() -> None:
    """By their shapes, dtypes and kinds; only the names are known from the call before."""
    surrogate = definitions.get("fast_sigmoid")
    v = torch.zeros(4, 3, device="meta")
    for shape in ((), (1,), (3,), (4, 1)):
        for _ in range(2):
            scale = torch.ones(shape, device="meta", requires_grad=True)
            assert torch.autograd.grad(spike(v, surrogate, scale=scale), scale, torch.ones_like(v))[0].shape == shape
    with pytest.raises(ValueError, match=r"scale must broadcast to v's shape \(4, 3\), got shape \(2,\)"):
        spike(v, surrogate, scale=torch.ones(2, device="meta"))
    with pytest.raises(ValueError, match="scale must broadcast"):
        spike(v[0, 0], surrogate, scale=torch.ones(1, device="meta"))
    with pytest.raises(TypeError, match="scale must be a floating-point tensor"):
        spike(v, surrogate, scale=torch.ones(3, device="meta", dtype=torch.bool))
    with pytest.raises(ValueError, match="scale must be"):
        spike(torch.zeros(3), surrogate, scale=torch.tensor([1.0, -1.0, 1.0]))


def test_code_written_for_the_original_module_runs() -> None:
    from arcana.surrogate import fast_sigmoid as original

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spike_fn = original

        def forward(self, v: torch.Tensor) -> torch.Tensor:
            return self.spike_fn(v - 1.0)

    v = torch.tensor([0.2, 1.0, 1.4], requires_grad=True)
    Layer()(v).sum().backward()
    u = v.detach() - 1
    torch.testing.assert_close(v.grad, 1 / (10 * u.abs() + 1) ** 2)
    assert FastSigmoid.scale == 10.0
    assert issubclass(FastSigmoid, torch.autograd.Function)
    assert torch.equal(FastSigmoid.apply(u), torch.tensor([0.0, 1.0, 1.0]))
    torch.testing.assert_close(FastSigmoid.pseudo_derivative(u), 1 / (10 * u.abs() + 1) ** 2)
    assert arcana.torch.Triangular.scale == 0.3
    assert torch.equal(arcana.torch.Step.pseudo_derivative(u), torch.tensor([0.0, 1.0, 1.0]))
    assert torch.equal(arcana.torch.STE.pseudo_derivative(u), torch.ones(3))


@every_surrogate
def test_the_typed_line(name: str) -> None:
    function, definition = getattr(arcana.torch, name), type(definitions.get(name))
    generated = getattr(arcana.torch, definition.__name__)
    assert {name, definition.__name__} <= set(arcana.torch.__all__)
    assert generated.definition is definition
    assert generated(**definitions.get(name).numbers) == definitions.get(name)
    for each in (function, generated):
        assert pickle.loads(pickle.dumps(each)) is each
        assert copy.deepcopy(each) is each
        assert each.__doc__
    v = torch.zeros(1, requires_grad=True)
    assert type(function(v).grad_fn).__name__ == f"{definition.__name__}Backward"


def test_no_graph_where_none_is_asked_for() -> None:
    v = torch.randn(5, requires_grad=True)
    assert not spike(v.detach(), fast_sigmoid).requires_grad
    with torch.no_grad():
        assert not spike(v, fast_sigmoid).requires_grad
    with torch.inference_mode():
        assert spike(v, fast_sigmoid).is_inference()


def test_spike_module() -> None:
    module = Spike(fast_sigmoid, threshold=0.5, learnable=("scale", "threshold"))
    assert sorted(name for name, _ in module.named_parameters()) == ["scale", "threshold"]
    v = torch.tensor([[0.1, 0.5], [0.6, 0.4]])
    spikes = module(v)
    assert torch.equal(spikes, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    spikes.sum().backward()
    u = (v - 0.5).double()
    by_scale = (-u * u.abs() / (1 + 10 * u.abs()) ** 2).sum()
    torch.testing.assert_close(module.scale.grad.double(), by_scale.reshape(1), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(module.threshold.grad.double(), -((1 + 10 * u.abs()) ** -2).sum().reshape(1), rtol=1e-6, atol=0)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(loaded(v), spikes)
    assert loaded.surrogate == fast_sigmoid
    assert repr(module) == "Spike(FastSigmoid(scale=10.0), threshold=0.5, learnable=('scale',))"
    fixed = Spike(fast_sigmoid)
    assert not list(fixed.parameters())
    assert fixed.threshold.item() == 1.0
    assert fixed.double()(v.double()).dtype == torch.float64
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(v), spikes)


def test_two_slopes_in_one_network_stay_apart() -> None:
    v = torch.tensor([0.1], requires_grad=True)
    steep, flat = spike(v, fast_sigmoid, scale=100.0), spike(v, fast_sigmoid, scale=1.0)
    assert torch.autograd.grad(flat, v)[0].item() == pytest.approx(1 / 1.1**2, rel=1e-6)
    assert torch.autograd.grad(steep, v)[0].item() == pytest.approx(1 / 11**2, rel=1e-6)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_rule(kind: torch.dtype) -> None:
    linear = torch.nn.Linear(8, 4)
    x = torch.randn(3, 8)
    with torch.autocast("cpu", dtype=kind):
        v = linear(x)
        v.retain_grad()
        spikes = spike(v, fast_sigmoid)
    assert spikes.dtype == v.dtype == kind
    spikes.float().sum().backward()
    assert torch.equal(v.grad, fast_sigmoid.derivative(v.detach()))


@every_surrogate
def test_the_conformance_suite_passes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiled rows: `test_transforms` compares those with the paper and with eager mode."""
    monkeypatch.setattr(side, "MODES", ("eager",))
    for table in ("FIRST", "SECOND", "PARAMETER", "NONLINEAR"):
        monkeypatch.setattr(side, table, [way for way in getattr(side, table) if "compile" not in way])
    (report,) = reports([definitions.get(name)], ["torch"])
    assert report.passed, report


@each_kept(*Kept)
def test_the_compiled_rows_of_second_order_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a second each, and differ by what is kept: second derivatives of every formula are in `test_transforms`."""
    monkeypatch.setattr(side, "NONLINEAR", [way for way in side.NONLINEAR if "compile" in way])
    rows = [row for _, row in second_order_rows([definitions.get(name)], "torch", side)]
    assert rows
    assert all(row.passed for row in rows), rows


def test_the_conformance_suite_passes_for_a_users_surrogate() -> None:
    report = check_surrogate(Cauchy, backends=("torch",))
    assert report.passed
    assert "torch compile(func.jvp)" in str(report)


def test_what_a_row_compiles_is_one_graph_with_nothing_left_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: done.append("reset"))
    monkeypatch.setattr(torch, "compile", lambda function, **options: done.append((function, options)))
    side.compiled(abs)
    assert done == ["reset", (abs, {"fullgraph": True, "backend": "aot_eager"})]


def test_the_compiled_mode_alone_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiled.append(function) or function)
    side._compiled_calls.cache_clear()
    bits = np.zeros(1, np.uint32)
    for mode, count in (("eager", 0), ("compiled", 1)):
        side.spikes_and_gradients([(fast_sigmoid, bits, bits, "float32")], mode)
        assert len(compiled) == count
    side._compiled_calls.cache_clear()


def test_importing_loads_a_few_modules_of_our_own() -> None:
    """An import is felt at every start: nothing that torch itself has not loaded, neither the compiler nor JAX."""
    modules = loaded_by("import arcana.torch", after="import torch")
    assert packages(modules) == {"arcana"}
    assert len(modules) <= 42


def test_a_compiled_call_of_an_instance_may_be_the_first_that_needs_torch() -> None:
    """Dynamo then traces the import, and no guard may have looked before it whether the module is there."""
    call = "torch.compile(lambda v: FastSigmoid()(v), backend='aot_eager', fullgraph=True)(torch.zeros(3, requires_grad=True))"
    assert "arcana.torch" in loaded_by(f"{call}.sum().backward()", after="import torch; from arcana.surrogate import FastSigmoid")
