"""The kernels that are written for a GPU, run on a CPU: their text with torch's functions in the place of Triton's."""

from __future__ import annotations

import contextlib
import inspect
import linecache
import math
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from every import each_kept, every_surrogate, every_variant
from formulas import Formula, formulas
from hypothesis import HealthCheck, given, settings, strategies
from known_values import KNOWN
from operations import counts_positions

from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.surrogate import FastSigmoid, Surrogate
from arcana.testing._values import BITS, from_float, hard_sample, ulp_difference
from arcana.torch import conformance as side, spike
from arcana.torch._call import Call, call_of
from arcana.torch._derivative import Derivative
from arcana.torch._eager import cuda, triton
from arcana.torch._eager.cuda import Kind

BLOCK = 16
"""Elements of one program instance."""

VECTORS = 3
"""Units by which an element may differ whose place in a vector counts."""


class Pointer:
    """An array in a kernel's eyes."""

    def __init__(self, array: torch.Tensor, place: Any = 0) -> None:
        # Its memory from the first element on.
        self.array = array.detach().as_strided((array.numel(),), (1,))
        self.place = place
        self.dtype = types.SimpleNamespace(element_ty=array.dtype)

    def __add__(self, place: torch.Tensor | int) -> Pointer:
        return Pointer(self.array, self.place + place)


class Bits:
    """A constant in a kernel's eyes: an integer that holds the bits of a number."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def to(self, dtype: torch.dtype, bitcast: bool) -> torch.Tensor:
        assert bitcast
        return torch.tensor(self.bits, dtype={torch.float32: torch.int32, torch.float64: torch.int64}[dtype]).view(dtype)


class Instances:
    """`triton.language` for all program instances at once, one a row."""

    float32, float64, int64 = torch.float32, torch.float64, torch.int64
    abs = staticmethod(torch.abs)
    number = 0

    def program_id(self, axis: int) -> torch.Tensor:
        assert axis == 0
        return torch.arange(self.number).view(-1, 1)

    def arange(self, start: int, end: int) -> torch.Tensor:
        return torch.arange(start, end).view(1, -1)

    def where(self, mask: torch.Tensor, a: torch.Tensor | int, b: torch.Tensor | int) -> torch.Tensor:
        like = next(x for x in (b, a) if isinstance(x, torch.Tensor))
        return torch.where(mask, *(x if isinstance(x, torch.Tensor) else like.new_tensor(x) for x in (a, b)))

    def sum(self, values: torch.Tensor, axis: int) -> torch.Tensor:
        assert (axis, values.shape) == (0, (self.number, BLOCK))
        return values.sum(1, keepdim=True)

    def load(self, pointer: Pointer, inside: torch.Tensor | None = None) -> torch.Tensor:
        if inside is None:
            return pointer.array[pointer.place]
        # What lies outside is anything.
        return torch.where(inside, pointer.array[torch.where(inside, pointer.place, 0)], pointer.array.new_tensor(7))

    def store(self, pointer: Pointer, value: torch.Tensor, inside: torch.Tensor | None = None) -> None:
        inside = torch.ones_like(pointer.place, dtype=torch.bool) if inside is None else inside
        pointer.array[pointer.place[inside]] = value.expand(inside.shape)[inside]


LIBDEVICE = types.SimpleNamespace(
    atan=torch.atan,
    cos=torch.cos,
    div_rn=torch.div,
    erf=torch.erf,
    erfc=torch.special.erfc,
    exp=torch.exp,
    exp2=torch.exp2,
    expm1=torch.expm1,
    fmod=torch.fmod,
    log=torch.log,
    log1p=torch.log1p,
    pow=torch.pow,
    rcp_rn=torch.reciprocal,
    rint=torch.round,
    sin=torch.sin,
    sqrt_rn=torch.sqrt,
)


RAN: list[str] = []
"""Kernels are kept with the class, so all tests have one list."""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Calls on the CPU run the written kernels; the names of those that ran."""
    instances = Instances()
    RAN.clear()
    # Fewer, since an instance is filled for each potential that is tried.
    monkeypatch.setattr(cuda, "BLOCK", BLOCK)
    monkeypatch.setattr(triton, "BLOCK", BLOCK)
    module = types.ModuleType("triton")
    module.jit = lambda do_not_specialize: lambda function: function
    module.language = instances
    extra = types.ModuleType("triton.language.extra")
    extra.libdevice = LIBDEVICE
    for name, each in {"triton": module, "triton.language": instances, "triton.language.extra": extra}.items():
        monkeypatch.setitem(sys.modules, name, each)

    def launch(written: Any, arrays: Any, aligned: bool, wide: bool) -> Any:
        function = cuda._jit(written)
        constants = [i for i, each in enumerate(function.__code__.co_varnames) if each.startswith("constant_")]

        def run(count: int, *arguments: Any) -> None:
            given = [
                Bits(x) if i in constants else Pointer(x) if isinstance(x, torch.Tensor) else x for i, x in enumerate(arguments)
            ]
            instances.number = (count + BLOCK - 1) // BLOCK
            function(*given)
            RAN.append(written.name)

        return run

    monkeypatch.setattr(cuda, "_launch", launch)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: None)
    monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(Call, "kernels_for", lambda call, v: cuda.CudaKernels(call) if call.program else None)
    return RAN


def plain(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor, **tensors: torch.Tensor) -> torch.Tensor:
    """cotangent · h by the definition as it is written, without the short ways, which kernels do not take."""
    derivative = Derivative(surrogate.formula, v, {**surrogate.numbers, **tensors})
    derivative.shortcuts = {}
    with torch.no_grad():
        return (c.to(derivative.dtype) * derivative.derivative()).to(v.dtype)


def assert_kernels(ran: list[str], surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor, **tensors: torch.Tensor) -> None:
    """The spikes and the gradient have the bits of the plain evaluation, and both kernels have run."""
    v = v.detach().requires_grad_()
    ran.clear()
    spikes = spike(v, surrogate, **tensors)
    (found,) = torch.autograd.grad(spikes, v, c)
    expected = plain(surrogate, v.detach(), c, **tensors)
    fired = v >= 0 if surrogate.settings["fires_at_threshold"] else v > 0
    assert torch.equal(spikes, fired.to(v.dtype))
    assert_bits(surrogate, found, expected)
    passes = surrogate.name in KNOWN and KNOWN[surrogate.name].kept is Kept.NOTHING and surrogate.gain == 1
    assert set(ran) == ({"forward"} if passes else {"forward", "backward"})


def assert_bits(surrogate: Surrogate, found: torch.Tensor, expected: torch.Tensor) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    units = VECTORS if counts_positions(surrogate) else 0
    dtype = str(found.dtype).removeprefix("torch.")
    assert ulp_difference(side.to_bits(found), side.to_bits(expected), dtype).max() <= units
    assert ((torch.signbit(found) == torch.signbit(expected)) | found.isnan()).all()


def sample(dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
    bits = hard_sample(dtype)
    bits = bits[:: bits.size // 5000]
    c = from_float(np.random.default_rng(5).normal(size=bits.size), dtype)
    return side.from_bits(bits, dtype), side.from_bits(c, dtype)


@every_variant
def test_bits_of_the_plain_evaluation(name: str, parameters: dict[str, float], stand_in: list[str]) -> None:
    for dtype in BITS if not parameters else ("float32",):
        for fires_at_threshold in (True, False) if dtype == "float32" and not parameters else (True,):
            surrogate = definitions.get(name, **parameters, gain=1.5, fires_at_threshold=fires_at_threshold)
            v, c = sample(dtype)
            # More than two instances of a kernel, the last of which is not full.
            assert_kernels(stand_in, surrogate, v[::2].contiguous(), c[::2].contiguous())


@every_surrogate
def test_parameters_as_tensors(name: str, stand_in: list[str]) -> None:
    """One value for all, one a channel, and one an element, for all parameters at once; also those out of their bounds."""
    surrogate = definitions.get(name)
    v, c = (x[:4800].view(10, 12, 40) for x in sample("float32"))
    for shape in ((), (1, 1), (12, 1), (40,), (12, 40), (10, 1, 1), (10, 12, 40)):
        spread = torch.linspace(0.75, 1.25, math.prod(shape)).view(shape)
        tensors = {each: torch.nn.Parameter(spread * value) for each, value in surrogate.numbers.items()}
        if tensors:
            assert_kernels(stand_in, surrogate, v, c, **{each: x.detach() for each, x in tensors.items()})


def assert_gradients(ran: list[str], surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor, **tensors: torch.Tensor) -> None:
    """One kernel backward gives v's gradient to the bit, and those of the parameters but for roundings of the sums' terms."""
    x = v.detach().requires_grad_()
    leaves = {each: tensor.detach().requires_grad_() for each, tensor in tensors.items()}
    ran.clear()
    found, *gradients = torch.autograd.grad(spike(x, surrogate, **leaves), [x, *leaves.values()], c)
    assert ran[-1] == "backward"
    assert_bits(surrogate, found, plain(surrogate, v.detach(), c, **tensors))
    # In float64, since PyTorch's derivative of G has terms that cancel.
    wide = {each: x.double() for each, x in tensors.items()}
    with torch.no_grad():
        slopes = Derivative(surrogate.formula, v.double(), {**surrogate.numbers, **wide}).sensitivities(tuple(tensors))
    eps = torch.finfo(torch.float64 if v.dtype is torch.float64 else torch.float32).eps
    for tensor, gradient, slope in zip(tensors.values(), gradients, slopes, strict=True):
        terms = c.double() * slope
        expected, size = (each.sum_to_size(tensor.shape) for each in (terms, terms.abs()))
        assert (gradient.dtype, gradient.shape) == (tensor.dtype, tensor.shape)
        # One element's own derivative may be nearly 0 by terms that cancel.
        bound = (16 if tensor.numel() < v.numel() else 1024) * eps * size.clamp_min(0.01 * float(size.max()))
        bound += torch.finfo(tensor.dtype).eps * expected.abs()
        same = gradient == expected.to(tensor.dtype)
        assert (same | ((gradient.double() - expected).abs() <= bound)).all()


@every_surrogate
def test_gradients_of_parameters(name: str, stand_in: list[str]) -> None:
    """Of all parameters at once and of each alone, one value for all, one a channel and one an element, in every dtype."""
    surrogate = definitions.get(name)
    generator = torch.Generator().manual_seed(7)
    v, c = (torch.randn(5, 11, 40, generator=generator) for _ in range(2))
    values = {each: value for each, value in surrogate.numbers.items() if each != "gain"} | {"gain": 1.0}
    for dtype in BITS:
        for shape in ((), (11, 1)) if dtype != "float32" else ((), (11, 1), (40,), (5, 11, 40)):
            spread = torch.linspace(0.75, 1.25, math.prod(shape) + 1)[1:].view(shape)
            tensors = {each: (spread * value).to(getattr(torch, dtype)) for each, value in values.items()}
            given = v.to(getattr(torch, dtype)), c.to(getattr(torch, dtype))
            assert_gradients(stand_in, surrogate, *given, **tensors)
            for each, x in tensors.items() if dtype == "float32" and not shape else ():
                assert_gradients(stand_in, surrogate, *given, **{each: x})


def test_a_tensor_out_of_its_bounds_is_the_nearest_inside(stand_in: list[str]) -> None:
    v, c = sample("float32")
    leaf = torch.tensor(1.0)
    surrogate = definitions.get("sparse_fast_sigmoid")
    for value in (-3.0, 1e20, 0.0):
        kernels = cuda.CudaKernels(call_of(v, surrogate, {"scale": leaf})[0])
        found = kernels.pull([v], [torch.tensor(value)], c)
        nearest = min(max(value, 1e-15), 1e15)
        expected = plain(surrogate, v, c, scale=torch.tensor(nearest))
        assert torch.equal(found.nan_to_num(7), expected.nan_to_num(7))


def test_a_parameter_on_another_device_takes_no_kernel(stand_in: list[str]) -> None:
    v, c = sample("float32")
    kernels = cuda.CudaKernels(call_of(v, definitions.get("fast_sigmoid"), {"scale": torch.tensor(1.0)})[0])
    assert kernels.pull([v], [torch.tensor(2.0, device="meta")], c) is None
    assert kernels.pull([v], [torch.tensor(2.0)], c) is not None


@pytest.mark.parametrize(
    "layout", ["transposed", "channels last", "strided", "expanded cotangent", "0-d", "empty", "negative", "negative 0-d"]
)
@each_kept(Kept.POTENTIAL, Kept.MASK, Kept.SPIKES)
def test_any_layout(name: str, layout: str, stand_in: list[str]) -> None:
    generator = torch.Generator().manual_seed(6)
    v = torch.randn(4, 6, 10, 8, generator=generator) * 2
    c = torch.randn(v.shape, generator=generator)
    v, c = {
        "transposed": lambda: (v.permute(3, 1, 0, 2), c.permute(3, 1, 0, 2)),
        "channels last": lambda: (v.to(memory_format=torch.channels_last), c),
        "strided": lambda: (v[:, ::2, 1:], c[:, ::2, 1:].contiguous()),
        "expanded cotangent": lambda: (v, c[:1, :1, :1, :1].expand(v.shape)),
        "0-d": lambda: (v[0, 0, 0, 0], c[0, 0, 0, 0]),
        "empty": lambda: (v[:0], c[:0]),
        "negative": lambda: (v, torch.complex(c, c).conj().imag),
        "negative 0-d": lambda: (v[0, 0, 0, 0], torch.complex(c, c).conj().imag[0, 0, 0, 0]),
    }[layout]()
    if layout == "empty":
        x = v.requires_grad_()
        assert torch.autograd.grad(spike(x, definitions.get(name)), x, c)[0].shape == v.shape
    else:
        assert_kernels(stand_in, definitions.get(name), v, c)
        assert_gradients(stand_in, definitions.get(name), v, c, gain=torch.tensor([1.5]) if v.ndim else torch.tensor(1.5))


class Hyperbola(Surrogate):
    """A number over an array, which torch takes as the reciprocal times the number: infinite where the quotient is not."""

    @staticmethod
    def derivative(v: Any, xp: Any) -> Any:
        return 0.1 / v


def test_a_number_over_an_array(stand_in: list[str]) -> None:
    v = torch.tensor([1e-39, -3e-39, 0.7, 3.0, -0.0])
    assert_kernels(stand_in, Hyperbola(), v, torch.ones(5))


@pytest.mark.parametrize("exponent", [-2, -1, 0.5, 1, 2, 2.5, 3])
def test_a_power_by_a_number(exponent: float, stand_in: list[str]) -> None:
    class Power(Surrogate):
        """torch has a way of its own for some numbers: a square root for 0.5, of −inf too."""

        @staticmethod
        def derivative(v: Any, xp: Any) -> Any:
            return v**exponent

    v, c = sample("float32")
    text = cuda.CudaKernels(call_of(v, Power(), {})[0])._source(Kind("backward", aligned=True, wide=False)).text
    assert ("libdevice.pow" in text) == (exponent in (1, 2.5))
    assert_kernels(stand_in, Power(), torch.cat([torch.tensor([-0.0, -math.inf, 1e-39]), v]), torch.cat([c[:3], c]))


def test_the_reciprocal_of_a_root_runs_as_operations(stand_in: list[str]) -> None:
    """For which PyTorch has a function of its own, and CUDA's library one that rounds otherwise."""

    class Root(Surrogate):
        @staticmethod
        def derivative(v: Any, xp: Any) -> Any:
            return xp.abs(v) ** -0.5

    v, c = sample("float32")
    x = v.clone().requires_grad_()
    (found,) = torch.autograd.grad(spike(x, Root()), x, c)
    assert_bits(Root(), found, plain(Root(), v, c))
    assert "backward" not in stand_in


class Bessel(Surrogate):
    """With a function that no kernel has."""

    @staticmethod
    def derivative(v: Any, xp: Any) -> Any:
        return xp.exp(-xp.abs(v))


def test_what_cannot_be_written_runs_as_operations(stand_in: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(triton._EXPRESSIONS, "exp")
    v, c = sample("float32")
    x = v.requires_grad_()
    (found,) = torch.autograd.grad(spike(x, Bessel()), x, c)
    assert torch.equal(found.nan_to_num(7), plain(Bessel(), v.detach(), c).nan_to_num(7))
    assert stand_in == ["forward"] * len(stand_in)


learns = pytest.mark.parametrize("learns", [False, True], ids=["fixed", "learnable"])


def assert_operations(surrogate: Surrogate, learns: bool, warning: str = "") -> None:
    """What runs in the place of a kernel gives the same gradients, the scale's too if it learns."""
    v, c = sample("float32")
    x, scale = v.requires_grad_(), torch.tensor(20.0, requires_grad=True)
    with pytest.warns(RuntimeWarning, match=warning) if warning else contextlib.nullcontext():
        spikes = spike(x, surrogate, **({"scale": scale} if learns else {}))
        found, *others = torch.autograd.grad(spikes, [x, scale] if learns else [x], c)
    expected = plain(surrogate, v.detach(), c, **({"scale": scale.detach()} if learns else {}))
    assert torch.equal(found.nan_to_num(7), expected.nan_to_num(7))
    for each in others:
        near = v.abs() < 100
        x = v.detach()[near].double()
        slopes = Derivative(surrogate.formula, x, {**surrogate.numbers, "scale": scale.double()}).sensitivities(["scale"])
        whole = (c[near] * slopes[0]).sum()
        assert each.isnan() if v.isnan().any() else abs(each - whole) < 1e-4


@learns
def test_a_kernel_that_is_wrong_is_not_used(learns: bool, stand_in: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(FastSigmoid):
        pass

    monkeypatch.setitem(triton._EXPRESSIONS, "mul", "{} + {}")
    assert_operations(Wrong(), learns, "Wrong: its backward kernel gives other numbers than PyTorch's own operations")


@pytest.mark.parametrize("channels", [False, True], ids=["single", "channels"])
def test_a_kernel_whose_parameter_gradient_is_wrong_is_not_used(channels: bool, stand_in: list[str]) -> None:
    """By one thousandth, or in one lane of an instance."""
    surrogate = definitions.get("gaussian")
    v = torch.zeros(8, BLOCK)
    sigma = torch.ones((8, 1) if channels else (), requires_grad=True)
    kernels = cuda.CudaKernels(call_of(v, surrogate, {"sigma": sigma})[0])
    kind = Kind("backward", True, False, (v.dtype,), (not channels,), (True,))
    launch = cuda._launch(kernels._source(kind), [], True, False)

    def spoilt(count: int, *arguments: Any) -> None:
        launch(count, *arguments)
        out = arguments[3]
        if channels:
            out *= 1.001
        else:
            out[100 // 7] = 0.3

    def spoilt_product(count: int, *arguments: Any) -> None:
        launch(count, *arguments)
        arguments[2].mul_(1.001)

    assert kernels._agrees(kind, launch)
    assert not kernels._agrees(kind, spoilt)
    assert not kernels._agrees(kind, spoilt_product)


@pytest.mark.parametrize("name", ["fast_sigmoid", "sparse_fast_sigmoid", "multi_gaussian"])
def test_a_kernel_is_tried_on_a_count_of_whole_units(name: str) -> None:
    """Which every kernel takes, of no matter how many parameters."""
    surrogate = definitions.get(name)
    counts: list[int] = []

    def launch(count: int, *arguments: Any) -> None:
        counts.append(count)
        raise InterruptedError

    for asked in (False, True):
        tensors = {"gain": torch.tensor(1.0)} if asked else {}
        kernels = cuda.CudaKernels(call_of(torch.zeros(3), surrogate, tensors)[0])
        kind = Kind("backward", True, False, *([(torch.float32,), (True,), (True,)] if asked else []))
        with pytest.raises(InterruptedError):
            kernels._agrees(kind, launch)
    assert not any(count % cuda.ALIGNMENT for count in counts)


@every_surrogate
def test_kernels_are_believed_where_functions_are_others(name: str, stand_in: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of CUDA's library are off by up to 2 units."""
    generator = torch.Generator().manual_seed(8)

    def other(function: Any) -> Any:
        def off(*operands: torch.Tensor) -> torch.Tensor:
            y = function(*operands)
            units = torch.randint(-2, 3, y.shape, generator=generator)
            return torch.where(y.isfinite(), y * (1 + units * torch.finfo(y.dtype).eps / 2), y)

        return off

    for each in {*vars(LIBDEVICE)} - {"div_rn", "fmod", "rcp_rn", "rint", "sqrt_rn"}:
        monkeypatch.setattr(LIBDEVICE, each, other(getattr(LIBDEVICE, each)))
    surrogate = definitions.get(name)
    values = surrogate.numbers | {"gain": 1.0}
    for single in (True, False):
        tensors = {each: torch.full(() if single else (8, 1), value) for each, value in values.items()}
        kernels = cuda.CudaKernels(call_of(torch.zeros(8, 4), surrogate, tensors)[0])
        number = len(tensors)
        kind = Kind("backward", True, False, (torch.float32,) * number, (single,) * number, (True,) * number)
        assert kernels._agrees(kind, cuda._launch(kernels._source(kind), [], True, False))


@learns
def test_a_kernel_that_does_not_compile_is_not_used(learns: bool, stand_in: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Uncompiled(FastSigmoid):
        pass

    def fails(*_: Any) -> None:
        msg = "no C compiler"
        raise RuntimeError(msg)

    monkeypatch.setattr(cuda, "_launch", fails)
    assert_operations(Uncompiled(), learns, r"Uncompiled: its \w+ kernel cannot be compiled here \(RuntimeError: no C compiler\)")


@learns
def test_nothing_is_compiled_while_a_graph_is_recorded(
    learns: bool, stand_in: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recorded(FastSigmoid):
        pass

    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert_operations(Recorded(), learns)
    assert stand_in == []


def test_elements_beyond_32_bits_are_counted_in_64(stand_in: list[str]) -> None:
    call, *_ = call_of(torch.zeros(1), definitions.get("fast_sigmoid"), {})
    kernels = cuda.CudaKernels(call)
    assert "program_id(0).to(tl.int64)\n" in kernels._source(Kind("backward", aligned=True, wide=True)).text
    assert "int64" not in kernels._source(Kind("backward", aligned=True, wide=False)).text


@pytest.mark.parametrize(
    ("number", "start", "scale", "expected"), [(32, 0, 0, True), (33, 0, 0, False), (32, 1, 0, False), (32, 0, 1, False)]
)
def test_a_kernel_is_told_of_whole_units_from_their_start(
    number: int, start: int, scale: int, expected: bool, stand_in: list[str]
) -> None:
    """It may then read and write sixteen bytes at once, which beyond the end, or from between two units, is an error."""
    v, given = torch.zeros(number + start)[start:], torch.ones(4)[scale : scale + 1]
    call, *_ = call_of(v, definitions.get("fast_sigmoid"), {"scale": given})
    kernels = cuda.CudaKernels(call)
    assert kernels.pull([v], [given], torch.ones(number)) is not None
    assert [each.aligned for each in kernels._launches] == [expected]
    (spikes,) = kernels.fire(v[:0])
    assert spikes.shape == (0,)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(formulas(), strategies.sampled_from(["float32", "float64", "bfloat16"]), strategies.booleans())
def test_a_random_formula(stand_in: list[str], formula: Formula, dtype: str, as_tensor: bool) -> None:
    """Bits of the plain evaluation, from a kernel unless one is refused; a kernel that is wrong warns, which is an error here."""
    v, c = (x[:4800].view(10, 480) for x in sample(dtype))
    surrogate = formula.surrogate(slope=0.3, width=0.75)
    tensors = {"slope": torch.full((10, 1), 0.3, dtype=v.dtype)} if as_tensor else {}
    x = v.detach().requires_grad_()
    (found,) = torch.autograd.grad(spike(x, surrogate, **tensors), x, c)
    expected = plain(surrogate, v, c, **tensors)
    eps = torch.finfo(v.dtype).eps
    torch.testing.assert_close(found, expected, rtol=64 * eps, atol=1e-37, equal_nan=True)


EPS = torch.finfo(torch.float32).eps
SMALLEST = torch.finfo(torch.float32).smallest_normal


@pytest.mark.parametrize(
    ("found", "expected", "alike"),
    [
        ([0.25 + 0.25 * 67 * EPS], [0.25], True),  # 64 of its own size, and 4 of the largest
        ([4.0 - 4.0 * 67 * EPS], [4.0], True),
        ([0.25 + 0.25 * 69 * EPS], [0.25], False),
        ([4.0 - 4.0 * 69 * EPS], [4.0], False),
        ([-1.0], [1.0], False),
        ([3.5 * 4.0 * EPS, -4.0], [0.0, -4.0], True),
        ([4.5 * 4.0 * EPS, -4.0], [0.0, -4.0], False),
        ([3.5 * 0.25 * EPS, -0.25], [0.0, -0.25], True),
        ([4.5 * 0.25 * EPS, -0.25, math.inf, -math.inf, math.nan], [0.0, -0.25, math.inf, -math.inf, math.nan], False),
        ([SMALLEST], [0.0], True),
        ([3 * SMALLEST], [0.0], False),
        ([math.nan, math.inf, -math.inf], [math.nan, math.inf, -math.inf], True),
        ([math.nan], [1.0], False),
        ([1.0], [math.nan], False),
        ([math.inf], [-math.inf], False),
        ([1.0], [math.inf], False),
        ([math.inf], [1.0], False),
        ([-torch.finfo(torch.float32).max, math.inf], [-math.inf, torch.finfo(torch.float32).max], True),
        ([1.0, 7.0], [1.0, 2.0], False),
    ],
    ids=str,
)
def test_results_are_alike_but_for_roundings(found: list[float], expected: list[float], alike: bool) -> None:
    x, y = (torch.tensor(each, dtype=torch.float64).float() for each in (found, expected))
    assert cuda._alike(x, y) is alike


def test_more_roundings_are_alike_where_they_are_said_to_be_and_bools_are_compared_as_they_are() -> None:
    one = torch.ones(1)
    for off, roundings in ((100 * EPS, 64), (80 * EPS, 20)):
        assert cuda._alike(one + off, one, roundings)
        assert not cuda._alike(one + off, one)
    for other, alike in ((True, True), (False, False)):
        assert cuda._alike(torch.tensor([True]), torch.tensor([other])) is alike


@pytest.mark.parametrize(
    ("v", "found", "expected", "alike"),
    [
        (31.9, 1 + 127 * EPS, 1.0, True),
        (-32.0, 1 + 129 * EPS, 1.0, False),
        (32.0, 1 + 129 * EPS, 1.0, False),
        (32.1, 1 + 129 * EPS, 1.0, True),
        (-40.0, 1.009, 1.0, True),
        (40.0, 1.011, 1.0, False),
        (1e20, 0.5, math.inf, True),
        (0.5, 0.5, math.nan, True),
        (40.0, math.nan, 1.0, False),
    ],
)
def test_slopes_are_alike_but_for_roundings_where_potentials_are_usual(
    v: float, found: float, expected: float, alike: bool
) -> None:
    """Farther out large numbers cancel, and an overflow tells nothing."""
    x, y = (torch.tensor([each], dtype=torch.float64).float() for each in (found, expected))
    assert cuda._slopes_alike(x, y, torch.tensor([v])) is alike


@pytest.mark.parametrize(
    ("shape", "out", "expected"),
    [
        ((), (2, 3, 4), ()),
        ((1, 1), (2, 3, 4), ()),
        ((4,), (2, 3, 4), (1, 4)),
        ((3, 1), (2, 3, 4), (4, 3)),
        ((2, 1, 1), (2, 3, 4), (12, 2)),
        ((3, 4), (2, 3, 4), (1, 12)),
        ((2, 3, 1), (2, 3, 4), (4, 6)),
        ((2, 3, 4), (2, 3, 4), (1, 24)),
        ((2, 1, 4), (2, 3, 4), None),
        ((2, 1, 4), (2, 1, 4), (1, 8)),
    ],
    ids=str,
)
def test_where_the_values_of_a_parameter_go(
    shape: tuple[int, ...], out: tuple[int, ...], expected: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Element i of the potential has value i // length % size, which is counted out here."""
    place = cuda._place(torch.empty(shape), torch.empty(out))
    assert place == expected
    if expected:
        length, size = expected
        values = torch.arange(float(size)).view(shape)
        assert torch.equal(values.expand(out).flatten(), torch.arange(math.prod(out)).floor_divide(length).fmod(size).float())
        monkeypatch.setattr(cuda, "WIDE", length)
        assert cuda._place(torch.empty(shape), torch.empty(out)) is None
        monkeypatch.setattr(cuda, "WIDE", length + 1)
        assert cuda._place(torch.empty(shape), torch.empty(out)) == expected
        for x, y in ((torch.empty(*shape, 2)[..., 0], torch.empty(out)), (torch.empty(shape), torch.empty(*out, 2)[..., 0])):
            assert cuda._place(x, y) is None


def test_only_a_parameter_with_bounds_is_held_inside() -> None:
    """From below, from above, or not at all."""
    tensors = {"scale": torch.tensor(1.0), "gain": torch.tensor(1.0)}
    call, *_ = call_of(torch.zeros(3), definitions.get("fast_sigmoid"), tensors)
    kind = Kind("backward", True, False, (torch.float32,) * 2, (True, True))
    lines = [line.split() for line in cuda.CudaKernels(call)._source(kind).text.splitlines()]
    held = [(line[2], line[3]) for line in lines if len(line) > 3 and line[2].startswith("tl.where(p_")]
    assert held == [("tl.where(p_0", "<"), ("tl.where(p_0", ">")]


def test_an_instance_for_every_block_that_has_begun() -> None:
    block = cuda.BLOCK
    assert [cuda._instances(count) for count in (0, 1, block, block + 1, 5 * block)] == [0, 1, 1, 2, 5]


def test_elements_and_their_block_are_counted_without_an_overflow() -> None:
    """Triton takes a power of 2 for a block, and the last one may reach beyond the last element."""
    assert cuda.BLOCK.bit_count() == 1
    assert 2**30 <= cuda.WIDE <= 2**31 - cuda.BLOCK


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_what_triton_is_told_of_a_kernel(aligned: bool, wide: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Multiples of 16 for pointers and counts where they are, and else none; bytes for bools."""
    call, *_ = call_of(torch.zeros(3), definitions.get("rectangular"), {"width": torch.tensor(1.0)})
    written = cuda.CudaKernels(call)._source(Kind("backward", aligned, wide, (torch.float32,), (False,)))
    told: list[Any] = []
    launched: list[Any] = []
    monkeypatch.setattr(cuda, "_jit", lambda each: told.append(each) or types.SimpleNamespace(warmup=warmup))
    monkeypatch.setattr(cuda, "launcher", lambda kernel: lambda *given: launched.append((kernel, *given)))

    def warmup(*given: Any, **named: Any) -> str:
        told.extend((given, named))
        return "kernel"

    arrays = [torch.empty(5, dtype=each) for each in (torch.float64, torch.bool, torch.bfloat16)]
    launch = cuda._launch(written, arrays, aligned, wide)
    source, given, named = told
    assert source is written
    assert named == {"grid": (1,), "enable_fp_fusion": False, "enable_reflect_ftz": False}
    memory, numbers = given[:3], given[3:]
    assert [x.dtype for x in memory] == [torch.float64, torch.int8, torch.bfloat16]
    assert [x.data_ptr() % 16 == 0 for x in memory] == [aligned] * 3
    *constants, count, length, size = numbers
    assert constants == [0] * len(written.constants)
    assert constants
    assert (count % 16 == 0) == aligned
    assert (count >= 2**31) == wide
    assert (length, size) == (1, 1)
    launch(cuda.BLOCK + 1, "v", "out")
    assert launched == [("kernel", 2, None, "v", "out")]


def test_the_text_of_a_kernel_can_be_read_while_it_is_made(stand_in: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As Triton reads it; and is forgotten then."""
    call, *_ = call_of(torch.zeros(3), definitions.get("fast_sigmoid"), {})
    written = cuda.CudaKernels(call)._source(Kind("backward", aligned=True, wide=False))

    def jit(do_not_specialize: Any) -> Any:
        return lambda function: (inspect.getsource(function), function.__annotations__)

    monkeypatch.setattr(sys.modules["triton"], "jit", jit)
    text, annotations = cuda._jit(written)
    assert written.text.endswith(text)
    assert annotations == {f"constant_{i}": "int32" for i, _ in enumerate(written.constants)}
    assert not [name for name in linecache.cache if "arcana kernel" in str(name)]


def test_a_kernel_runs_on_the_device_of_its_arrays(stand_in: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The current one is changed around the launch where it is another; and no more than that is done for an empty array."""
    v, c = sample("float32")
    call, *_ = call_of(v, definitions.get("fast_sigmoid"), {})
    kernels = cuda.CudaKernels(call)
    expected = kernels.pull([v], [], c)
    entered: list[Any] = []

    @contextlib.contextmanager
    def device(index: Any) -> Any:
        entered.append(index)
        yield
        entered.append("left")

    monkeypatch.setattr(torch.cuda, "device", device)
    for current, around in ((None, []), (1, [torch.device("cpu"), "left"])):
        monkeypatch.setattr(torch.cuda, "current_device", lambda current=current: current)
        entered.clear()
        stand_in.clear()
        assert torch.equal(kernels.pull([v], [], c).nan_to_num(7), expected.nan_to_num(7))
        assert (entered, stand_in) == (around, ["backward"])
    # And while it is made.
    entered.clear()
    assert cuda.CudaKernels(call_of(v, type("Fresh", (FastSigmoid,), {})(), {})[0]).pull([v], [], c) is not None
    assert entered == [torch.device("cpu"), "left"] * 2
    stand_in.clear()
    assert kernels.pull([v[:0]], [], c[:0]).shape == (0,)
    assert stand_in == []
    assert kernels.pull([v], [], c.double()) is None
    assert kernels.gradients(v, [], c.double(), []) is None


@pytest.mark.parametrize(("number", "expected"), [(31, False), (32, True), (33, True)])
def test_a_kernel_is_told_where_elements_are_too_many_for_32_bits(
    number: int, expected: bool, stand_in: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "WIDE", 32)
    call, *_ = call_of(torch.zeros(1), definitions.get("fast_sigmoid"), {})
    kernels = cuda.CudaKernels(call)
    kernels.fire(torch.zeros(number))
    assert [each.wide for each in kernels._launches] == [expected]


def test_kernels_need_cuda_and_a_triton_that_keeps_subnormals(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "triton.backends.nvidia.compiler"
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    for i in range(1, 4):
        parent = ".".join(name.split(".")[:i])
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    monkeypatch.setitem(sys.modules, name, None)
    assert not cuda.available.__wrapped__()
    for fields, expected in (
        (("enable_fp_fusion", "enable_reflect_ftz", "num_warps"), True),
        (("enable_fp_fusion",), False),
        (("enable_reflect_ftz",), False),
    ):
        module = types.ModuleType(name)
        vars(module)["CUDAOptions"] = types.SimpleNamespace(__dataclass_fields__=dict.fromkeys(fields))
        monkeypatch.setitem(sys.modules, name, module)
        assert cuda.available.__wrapped__() is expected
    monkeypatch.setattr(torch.version, "cuda", None)
    assert not cuda.available.__wrapped__()
