"""Formulas of users, random ones too: programs, compiled kernels and transforms give what the plain evaluation gives."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
from typing import Any
from unittest import mock

import pytest
import torch
from every import every_surrogate
from formulas import Formula, formulas
from hypothesis import HealthCheck, given, settings, strategies

from arcana import surrogate as definitions
from arcana.surrogate import Surrogate, parameter
from arcana.torch import _call, set_compiled_kernels, spike
from arcana.torch._call import call_of
from arcana.torch._derivative import Derivative
from arcana.torch._eager import chunks, kernels, masks
from arcana.torch._function import evaluate

POSITIONAL = {"compound", "decay", "pow", "power"}
"""torch.pow and torch.exp2 give another last bit to an element of a vector than to the rest, so dense arrays alone agree."""
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
SHAPES = ((0,), (), (5,), (4, 7), (4096,), (4097,), (3, 1400), (1, 4100), (2, 3, 40, 20))
LAYOUTS = ("dense", "negative", "strided", "offset", "transposed", "expanded", "channels last")
SPECIAL = (0.0, -0.0, math.inf, -math.inf, math.nan, 1e-40, -1e-40, 1.0, -1.0, 0.5, -0.5, 0.75, -0.75, 3e38, 0.7, 2.0, -1.5, 3.0)


def negative(x: torch.Tensor) -> torch.Tensor:
    """x as a view whose negative bit is set: its memory has the other sign."""
    view = torch.complex(torch.zeros_like(x), -x).conj().imag
    assert view.is_neg()
    return view


def laid_out(x: torch.Tensor, layout: str) -> torch.Tensor:
    if x.numel() == 0 or x.ndim == 0:
        return x
    if layout == "negative" and x.dtype in (torch.float32, torch.float64):
        return negative(x)
    if layout == "strided":
        return torch.stack([x, -x], -1)[..., 0]
    if layout == "offset":
        return torch.cat([x.new_zeros(3), x.reshape(-1)])[3:].view(x.shape)
    if layout == "transposed":
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "expanded":
        return x[:1].expand(x.shape)
    return x.contiguous(memory_format=torch.channels_last) if layout == "channels last" and x.ndim == 4 else x


def sample(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    n = math.prod(shape)
    x = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
    x[: len(SPECIAL)] = torch.tensor(SPECIAL, dtype=torch.float64)[:n]
    return x.to(dtype).view(shape)


def parameters(kind: str, shape: tuple[int, ...], dtype: torch.dtype, slope: float) -> dict[str, torch.Tensor]:
    if kind == "no axes":
        return {"slope": torch.tensor(slope, dtype=dtype)}
    if kind == "a channel" and shape:
        return {"slope": torch.linspace(-1, 2, shape[-1]).to(dtype)}
    if kind == "a row" and shape:
        rows = torch.linspace(-1, 2, shape[0], dtype=torch.float32).view(-1, *[1] * (len(shape) - 1))
        return {"width": negative(rows), "slope": torch.tensor(slope, dtype=torch.float64)}
    return {}


def plain(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor, **tensors: torch.Tensor) -> torch.Tensor:
    derivative = Derivative(surrogate.formula, v, {**surrogate.numbers, **tensors})
    with torch.no_grad():
        return (c.to(derivative.dtype) * derivative.derivative()).to(v.dtype)


def assert_same_bits(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    words = {2: torch.int16, 4: torch.int32, 8: torch.int64}[found.element_size()]
    found, expected = (x.resolve_neg().contiguous() for x in (found, expected))
    assert ((found.view(words) == expected.view(words)) | (found.isnan() & expected.isnan())).all()


def gradient(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor, **tensors: torch.Tensor) -> torch.Tensor:
    v = v.detach().requires_grad_()
    return torch.autograd.grad(spike(v, surrogate, **tensors), v, c)[0]


without_deadline = settings(deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])


@settings(without_deadline, max_examples=200)
@given(
    formulas(),
    strategies.sampled_from(DTYPES),
    strategies.sampled_from(SHAPES),
    strategies.tuples(strategies.sampled_from(LAYOUTS), strategies.sampled_from(LAYOUTS)),
    strategies.sampled_from(["numbers", "no axes", "a channel", "a row"]),
    strategies.sampled_from([(1.0, 0.75), (2.0, 0.0), (-0.5, 1.0), (0.3, -0.0)]),
    strategies.booleans(),
)
def test_a_random_formula_gives_the_bits_of_the_plain_evaluation(
    formula: Formula,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    layouts: tuple[str, str],
    kind: str,
    numbers: tuple[float, float],
    pieces: bool,
) -> None:
    dense = bool(formula.operations & POSITIONAL)
    v, c = (laid_out(sample(shape, dtype, seed), "dense" if dense else each) for seed, each in enumerate(layouts))
    surrogate = formula.surrogate(slope=numbers[0], width=numbers[1], fires_at_threshold=not pieces)
    tensors = parameters(kind, shape, dtype, numbers[0])
    expected = plain(surrogate, v, c, **tensors)
    # A number where torch takes none is left to the plain evaluation; every other formula has a program that agrees.
    assert call_of(v, surrogate, tensors)[0].program is not None or formula.operations & {"compound", "fmod"}
    with mock.patch.object(chunks, "CHUNK", 3000) if pieces and not dense else contextlib.nullcontext():
        assert_same_bits(gradient(surrogate, v, c, **tensors), expected)
    transformed = torch.func.vjp(lambda x: spike(x, surrogate, **tensors), v.detach())[1](c)[0]
    assert_same_bits(transformed, expected)


@settings(without_deadline, max_examples=4)
@given(formulas(), strategies.sampled_from([torch.float32, torch.bfloat16]), strategies.sampled_from(["dense", "transposed"]))
def test_a_random_formula_of_a_million(formula: Formula, dtype: torch.dtype, layout: str) -> None:
    dense = bool(formula.operations & POSITIONAL)
    n = (1 << 10, (1 << 10) if dense else (1 << 10) + 1)
    v, c = (laid_out(sample(n, dtype, seed), "dense" if dense else layout) for seed in (1, 2))
    surrogate = formula.surrogate(slope=0.3)
    assert_same_bits(gradient(surrogate, v, c), plain(surrogate, v, c))


def kernels_agree(formula: Formula, dtype: torch.dtype, layout: str) -> None:
    v, c = sample((7, 11), dtype, 1), laid_out(sample((7, 11), dtype, 2), layout)
    surrogate = formula.surrogate(slope=0.3)
    with mock.patch.object(kernels, "LEAST", 0), set_compiled_kernels(True):
        found = gradient(surrogate, v, c)
    expected = plain(surrogate, v, c)
    tolerance = 64 * torch.finfo(dtype).eps
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=1e-37, equal_nan=True)


@settings(without_deadline, max_examples=20)
@given(formulas(), strategies.sampled_from(DTYPES), strategies.sampled_from(LAYOUTS))
def test_a_random_formula_as_kernels(formula: Formula, dtype: torch.dtype, layout: str) -> None:
    """By the graphs as they are; inductor takes seconds a formula."""
    with mock.patch.object(torch, "compile", functools.partial(torch.compile, backend="eager")):
        kernels_agree(formula, dtype, layout)


class Tails(Surrogate):
    """Two equal branches, once written twice."""

    slope: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v, xp, *, slope):
        left, right = xp.exp(-xp.abs(v * slope)), xp.exp(-xp.abs(v * slope))
        return xp.where(v < 0, left, right)


class LowerTail(Surrogate):
    """The spike as a number: a factor, in a difference."""

    @staticmethod
    def derivative(v, xp):
        return xp.exp(-xp.abs(v)) * (1 - xp.spike(v))


class Window(Surrogate):
    """The difference of two windows."""

    @staticmethod
    def derivative(v, xp):
        one, zero = xp.zeros_like(v) + 1, xp.zeros_like(v)
        return xp.exp(-xp.abs(v)) * (xp.where(v >= 0, one, zero) - xp.where(v > 1, one, zero))


class Chosen(Surrogate):
    """The spike as a number in a choice, beside a sum."""

    @staticmethod
    def derivative(v, xp):
        return xp.where(v < 1, xp.spike(v) + 0.5, xp.spike(v - 2) * v)


class OneSided(Surrogate):
    """A condition on a parameter alone, and one of both."""

    side: float = parameter(1.0)

    @staticmethod
    def derivative(v, xp, *, side):
        right = side > 0
        value = xp.where(right, xp.exp(-xp.abs(v)), xp.abs(v) + 2)
        return xp.where((right & (v > 1)) | (v < -1), value, v * 2)


class Constants(Surrogate):
    """Functions of a parameter alone, each of which a backend writes in its own way."""

    slope: float = parameter(2.0, above=0)

    @staticmethod
    def derivative(v, xp, *, slope):
        norm = 1 - xp.decay(slope, 1.0) + xp.compound(slope, -2.0) + xp.turns(slope, 8.0) + xp.sin_of_turns(xp.divide(slope, 8))
        norm = norm + xp.exp(-slope) + xp.spike(slope) + (xp.zeros_like(slope) + 1) + xp.maximum(slope, 1.5) + xp.fmod(slope, 1.5)
        return xp.reciprocal(xp.abs(v) + norm)


def truth(surrogate: Surrogate, v: float) -> float:
    """h in plain Python."""
    fired = float(v >= 0)
    if isinstance(surrogate, Tails):
        return math.exp(-abs(v * surrogate.slope))
    if isinstance(surrogate, LowerTail):
        return math.exp(-abs(v)) * (1 - fired)
    if isinstance(surrogate, Window):
        return math.exp(-abs(v)) if 0 <= v <= 1 else 0.0
    if isinstance(surrogate, Chosen):
        return fired + 0.5 if v < 1 else v * (v >= 2)
    if isinstance(surrogate, OneSided):
        value = math.exp(-abs(v)) if surrogate.side > 0 else abs(v) + 2
        return value if (surrogate.side > 0 and v > 1) or v < -1 else 2 * v
    assert isinstance(surrogate, Constants)
    slope = surrogate.slope
    norm = 1 - math.exp(-slope) + (1 + slope) ** -2 + slope / 8 + math.sin(math.tau * slope / 8)
    norm += math.exp(-slope) + 1 + 1 + max(slope, 1.5) + math.fmod(slope, 1.5)
    return 1 / (abs(v) + norm)


WRITTEN = [
    Tails(slope=1.5),
    LowerTail(),
    Window(),
    Chosen(),
    OneSided(side=1.0),
    OneSided(side=-1.0),
    Constants(),
    Constants(slope=3.0),
]


@pytest.mark.parametrize("surrogate", WRITTEN, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_users_write_has_the_right_values(surrogate: Surrogate, dtype: torch.dtype) -> None:
    for n in (7, 4096, 4097):
        v = torch.linspace(-3, 3, n, dtype=torch.float64).to(dtype)
        expected = torch.tensor([truth(surrogate, x) for x in v.tolist()], dtype=torch.float64)
        c = torch.where(torch.arange(n) % 2 == 0, 1.0, -2.0).to(dtype)
        found = gradient(surrogate, v, c).double() / c.double()
        tolerance = {torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float32: 1e-6, torch.float64: 1e-14}[dtype]
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=1e-7)
        assert torch.equal(spike(v, surrogate), (v >= 0).to(dtype))
    assert call_of(v, surrogate, {})[0].program is not None, "the plain evaluation answered"


@pytest.mark.parametrize("n", [5, 5000])
def test_a_parameter_in_a_condition_or_alone_as_a_tensor(n: int) -> None:
    v = torch.linspace(-3, 3, n).view(1, n)
    for shape in ((), (n,), (1, n), (1, 1)):
        side = torch.full(shape, -1.0)
        expected = torch.tensor([[truth(OneSided(side=-1.0), x) for x in v[0].tolist()]])
        torch.testing.assert_close(gradient(OneSided(), v, torch.ones(1, n), side=side), expected, rtol=1e-6, atol=0)
        slope = torch.full(shape, 3.0)
        expected = torch.tensor([[truth(Constants(slope=3.0), x) for x in v[0].tolist()]])
        torch.testing.assert_close(gradient(Constants(), v, torch.ones(1, n), slope=slope), expected, rtol=1e-6, atol=0)


def graph_of(function: Any) -> torch.fx.Graph:
    return function.graph


class Bounded(Surrogate):
    """Bounds that are 0 or NaN, where torch.maximum is another function."""

    low: float = parameter(0.5)

    @staticmethod
    def derivative(v, xp, *, low):
        product = xp.reciprocal(xp.minimum(xp.abs(v), low)) * xp.reciprocal(xp.maximum(-xp.abs(v), 0.0))
        return xp.maximum(v, xp.sqrt(low)) + product


@pytest.mark.parametrize(("low", "at_zero"), [(0.5, math.inf), (0.0, math.inf), (-1.0, -math.inf)])
def test_a_bound_of_zero_or_nan(low: float, at_zero: float) -> None:
    """The bound is taken at a tie, with its sign, and a bound of NaN never."""
    v = torch.tensor([0.0, -0.0, 1.0, -1.0] * 1500)
    for n in (4, 6000):
        found = gradient(Bounded(low=low), v[:n], torch.ones(n))
        assert_same_bits(found, plain(Bounded(low=low), v[:n], torch.ones(n)))
        assert found[0] == found[1] == at_zero
        as_tensor = gradient(Bounded(), v[:n], torch.ones(n), low=torch.tensor(low))
        assert_same_bits(as_tensor, found)
    call = call_of(v, Bounded(low=low), {})[0]
    assert call.program is not None
    assert any(node.target is torch.maximum for node in graph_of(call.program.pull_many).nodes) == (low == 0.5)


class NumberFirst(Surrogate):
    """A number where PyTorch takes none, and where a program has none either."""

    @staticmethod
    def derivative(v, xp):
        return xp.compound(2.0, v) + xp.fmod(2.0, xp.abs(v) + 0.75)


class Gated(Surrogate):
    """A comparison with a function that goes the short way, at a tie: the square of 1 + x is exact, and by a logarithm more."""

    level: float = parameter(2.25)

    @staticmethod
    def derivative(v, xp, *, level):
        return xp.where(xp.compound(xp.abs(v), 2.0) > level, 3.0, 5.0)


class Height(Surrogate):
    """The same function of a parameter alone, where less than v is kept."""

    height: float = parameter(0.5)

    @staticmethod
    def derivative(v, xp, *, height):
        return xp.where(v > 1, xp.compound(height, 2.0), 5.0)


@pytest.mark.parametrize("n", [4, 5000])
def test_what_is_left_to_the_plain_evaluation_and_what_goes_the_short_way(n: int) -> None:
    v = torch.tensor([0.5, -0.5, 1.5, -0.25]).repeat(n // 4)
    expected = torch.tensor([3.0**x + math.fmod(2.0, abs(x) + 0.75) for x in v.tolist()])
    torch.testing.assert_close(gradient(NumberFirst(), v, torch.ones(n)), expected, rtol=1e-6, atol=0)
    for x in (0.71875, 0.734375, 0.84375):
        square = (1 + x) ** 2
        v = torch.tensor([x, -x, 1.5, -0.25]).repeat(n // 4)
        for surrogate, values in ((Gated(level=square), [5.0, 5.0, 3.0, 5.0]), (Height(height=x), [5.0, 5.0, square, 5.0])):
            assert call_of(v, surrogate, {})[0].program is not None
            for found in (gradient(surrogate, v, torch.ones(n)), torch.func.grad(lambda x, s=surrogate: spike(x, s).sum())(v)):
                assert torch.equal(found, torch.tensor(values).repeat(n // 4))


class ByClass(Surrogate):
    """Asks what its array is, which differs between an array and a symbol."""

    @staticmethod
    def derivative(v, xp):
        return xp.abs(v) if isinstance(v, torch.Tensor) else xp.square(v)


class ByType(ByClass):
    """No symbol can notice."""

    @staticmethod
    def derivative(v, xp):
        return xp.abs(v) if type(v).__module__ == "torch" else xp.square(v)


class ByAttribute(ByClass):
    @staticmethod
    def derivative(v, xp):
        return xp.abs(v) if hasattr(v, "detach") else xp.square(v)


class BySize(ByClass):
    @staticmethod
    def derivative(v, xp):
        try:
            return xp.abs(v) + len(v) * 0
        except TypeError:
            return xp.square(v)


class ByIdentity(ByClass):
    @staticmethod
    def derivative(v, xp):
        first, second = xp.abs(v), xp.abs(v)
        return xp.square(v) if first is second else first


class ByValue(ByClass):
    @staticmethod
    def derivative(v, xp):
        try:
            return xp.square(v) if bool((v != v).all()) else xp.abs(v)
        except Exception:
            return xp.square(v)


class OnlyInNumPy(ByClass):
    """In NumPy another function, so that what the trace says of what is kept is not believed."""

    @staticmethod
    def derivative(v, xp):
        return (
            xp.where(v > 1, 0.0, 1.0) * xp.where(v > 1, 1.0, 3.0) if type(v).__module__ == "numpy" else xp.where(v > 1, 2.0, 1.0)
        )


@pytest.mark.parametrize("n", [3, 5000])
def test_a_program_takes_what_the_call_keeps(n: int) -> None:
    v = torch.linspace(-3, 3, n)
    assert torch.equal(gradient(OnlyInNumPy(), v, torch.ones(n)), torch.where(v > 1, 2.0, 1.0))


class ByArray(ByClass):
    @staticmethod
    def derivative(v, xp):
        return xp.abs(v) * torch.ones((), dtype=v.dtype)


@pytest.mark.parametrize("definition", [ByClass, ByType, ByAttribute, BySize, ByIdentity, ByValue, ByArray])
def test_what_no_symbol_can_answer_is_evaluated_as_written(definition: type[Surrogate]) -> None:
    """Each is |v| of a tensor, and v² of what is none."""
    for n in (3, 5000):
        v = torch.linspace(-3, 3, n)
        assert torch.equal(gradient(definition(), v, torch.full((n,), 2.0)), 2 * v.abs())
    traced = call_of(v, definition(), {})[0].program is not None
    assert traced == (definition is ByIdentity)


def test_a_program_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong on the way to it, or in it."""
    definition = type("Fine", (Tails,), {})
    v = torch.linspace(-3, 3, 5000)
    expected = plain(definition(), v, torch.ones(5000))
    good = call_of(v, definition(), {})[0].program
    assert good is not None
    faults = (
        {"pull_few": lambda kept, c, out, *rest: torch.mul(kept, c, out=out)},
        {"pull_many": lambda kept, c, out, *rest: torch.mul(kept, c, out=out)},
        {"pull_few": lambda *given: good.pull_few(*given).index_fill_(1, torch.tensor([5]), math.nan)},
        {"pull_many": lambda *given: good.pull_many(*given).index_fill_(1, torch.tensor([5]), math.nan)},
        {"pull_many": lambda *given: torch.ones(3).view(2)},
        {"fold": lambda numbers, shortcuts: [][1]},
    )
    for i, fault in enumerate(faults):
        wrong = dataclasses.replace(good, verdict=[], **fault)
        monkeypatch.setattr(_call, "program", lambda *given, wrong=wrong, **named: wrong)
        surrogate = definition(slope=1.0 + 2.0**-20 * i, fires_at_threshold=False)
        assert call_of(v, surrogate, {})[0].program is None
        torch.testing.assert_close(gradient(surrogate, v, torch.ones(5000)), expected, rtol=1e-4, atol=0)


class Box(Surrogate):
    """Numbers in both branches, of a choice and of a choice between choices."""

    width: float = parameter(0.75, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        inner = xp.where(xp.abs(v) < width, 0.7, 0.1)
        return xp.where(v > 5, xp.maximum(0.3, 0.2), inner)

    @staticmethod
    def primitive(v, xp, *, width):
        return xp.where(v > 0, 0.7, 0.1) * width


def every_way(surrogate: Surrogate, v: torch.Tensor) -> dict[str, torch.Tensor]:
    def total(x: torch.Tensor) -> torch.Tensor:
        return spike(x, surrogate).sum()

    one = torch.ones_like(v)
    return {
        "backward": gradient(surrogate, v, one),
        "func.grad": torch.func.grad(total)(v),
        "func.jvp": torch.func.jvp(lambda x: spike(x, surrogate), (v,), (one,))[1],
        "compile": torch.autograd.grad(torch.compile(total, backend="aot_eager")(x := v.clone().requires_grad_()), x)[0],
        "derivative": surrogate.derivative(v),
        "numpy": torch.from_numpy(surrogate.derivative(v.numpy())),
    }


@pytest.mark.parametrize("default", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_in_the_computing_dtype(dtype: torch.dtype, default: torch.dtype) -> None:
    v = torch.tensor([0.0, 2.0, 6.0], dtype=dtype)
    expected = torch.tensor([0.7, 0.1, 0.3], dtype=torch.float64).to(dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        for way, found in every_way(Box(), v).items():
            assert torch.equal(found, expected), way
        levels = torch.tensor([0.1, 0.7, 0.7], dtype=torch.float64).to(dtype)
        assert torch.equal(evaluate(Box(), "primitive", v), levels * 0.75)
    finally:
        torch.set_default_dtype(before)


class One(Surrogate):
    """No array at all."""

    level: float = parameter(0.7)

    @staticmethod
    def derivative(v, xp, *, level):
        return 0.7


class Level(One):
    """A parameter alone."""

    @staticmethod
    def derivative(v, xp, *, level):
        return level


class Truth(One):
    """A comparison alone."""

    @staticmethod
    def derivative(v, xp, *, level):
        return v > 1


@pytest.mark.parametrize("number", [0.1, 1e300, -1e300])
@pytest.mark.parametrize("default", [torch.float32, torch.float16])
def test_a_number_beside_an_array_is_in_the_arrays_dtype(number: float, default: torch.dtype) -> None:
    """On either side of a choice, also where float32 holds the number as infinite, which torch.where refuses."""

    class First(One):
        @staticmethod
        def derivative(v, xp, *, level):
            return xp.where(v > 1, number, v)

    class Second(One):
        @staticmethod
        def derivative(v, xp, *, level):
            return xp.where(v <= 1, v, number)

    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        for dtype in (torch.float32, torch.float64):
            v = torch.tensor([0.5, 2.0], dtype=dtype)
            expected = torch.tensor([0.5, number], dtype=torch.float64).to(dtype)
            for surrogate in (First(), Second()):
                found = (
                    gradient(surrogate, v, torch.ones_like(v)),
                    torch.func.grad(lambda x, surrogate=surrogate: spike(x, surrogate).sum())(v),
                    surrogate.derivative(v),
                    torch.from_numpy(surrogate.derivative(v.numpy())),
                )
                assert all(torch.equal(each, expected) for each in found)
    finally:
        torch.set_default_dtype(before)


class Turned(One):
    """A bound that moves, beside a number, a parameter and a potential: PyTorch's maximum is NaN where it is."""

    @staticmethod
    def derivative(v, xp, *, level):
        held = xp.maximum(0.5, v) + xp.minimum(level, v)
        return held + xp.maximum(v, xp.sqrt(v)) * xp.minimum(v, xp.square(v))


@pytest.mark.parametrize("n", [6, 6000])
def test_a_bound_that_moves_is_chosen(n: int) -> None:
    """Where x is no larger than it, so that a bound of NaN is none."""
    v = torch.tensor([math.nan, 0.25, -2.0, 3.0, 0.0, -0.0]).repeat(n // 6)
    found = gradient(Turned(), v, torch.ones(n))
    assert_same_bits(found, plain(Turned(), v, torch.ones(n)))
    expected = torch.tensor([0.5 + 0.25 + 0.5 * 0.25**2, 0.5 - 2.0 + 2.0 * 2.0, 3.0 + 0.7 + 3.0 * 3.0, 0.5, 0.5])
    torch.testing.assert_close(found[1:6], expected)
    assert torch.equal(gradient(Held(), v[:1], torch.ones(1)), torch.tensor([0.5 * 0.7]))
    for surrogate in (Turned(), Held()):
        assert call_of(v, surrogate, {})[0].program is not None


class Held(One):
    @staticmethod
    def derivative(v, xp, *, level):
        return xp.maximum(0.5, v) * xp.minimum(level, v)


@pytest.mark.parametrize(
    ("bound", "direct"), [(0.5, True), (-0.5, True), (math.inf, True), (0.0, False), (-0.0, False), (math.nan, False)]
)
def test_a_number_as_a_bound_is_pytorchs_own_unless_it_is_zero_or_nan(bound: float, direct: bool) -> None:
    """One operation in the place of a comparison and a choice, where both give the same bits."""

    class Held(One):
        @staticmethod
        def derivative(v, xp, *, level):
            return xp.maximum(v, bound) * xp.minimum(v, bound)

    v = torch.tensor([0.0, -0.0, 1.0, -1.0]).repeat(1500)
    for n in (4, 6000):
        assert_same_bits(gradient(Held(), v[:n], torch.ones(n)), plain(Held(), v[:n], torch.ones(n)))
    call = call_of(v, Held(), {})[0]
    assert call.program is not None
    targets = [node.target for node in graph_of(call.program.pull_few).nodes]
    assert [each in targets for each in (torch.maximum, torch.minimum, torch.where)] == [direct, direct, not direct]


@pytest.mark.parametrize("definition", [One, Level, Truth])
def test_a_formula_that_is_no_array_of_numbers(definition: type[Surrogate]) -> None:
    v = torch.tensor([0.0, 2.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 1.0] if definition is Truth else [0.7, 0.7], dtype=torch.float64)
    for way, found in every_way(definition(), v).items():
        assert torch.equal(found, expected), way


@every_surrogate
@pytest.mark.parametrize("n", [100, 5000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sign_that_is_not_in_memory(name: str, dtype: torch.dtype, n: int) -> None:
    """Of the potential, the cotangent and a parameter, for everything that is kept."""
    v, c = sample((n,), dtype, 3), sample((n,), dtype, 4)
    surrogate = definitions.get(name)
    expected = plain(surrogate, v, c)
    for x, y in itertools.product((v, negative(v)), (c, negative(c))):
        assert_same_bits(spike(x, surrogate), (v >= 0).to(dtype))
        assert_same_bits(gradient(surrogate, x, y), expected)
    if surrogate.numbers:
        key, value = next(iter(surrogate.numbers.items()))
        given = torch.full((n,), value, dtype=dtype)
        expected = plain(surrogate, v, c, **{key: given})
        assert_same_bits(gradient(surrogate, v, c, **{key: negative(given)}), expected)


@pytest.mark.parametrize("n", [1, 4097])
def test_elsewhere_than_on_a_cpu_torchs_own_choice_is_the_quicker(n: int) -> None:
    """On the meta device, which is no CPU."""
    v = torch.empty(n, device="meta")
    assert masks.few(v)
    assert masks.few(torch.empty(n)) == (n <= masks.FEW)
    call = call_of(v, Tails(), {})[0]
    assert call.program is not None
    called: list[str] = []
    watched = dataclasses.replace(
        call.program, pull_few=lambda *x: called.append("few"), pull_many=lambda *x: called.append("many")
    )
    watched.pull(v, v)
    assert called == ["few"]


@pytest.mark.parametrize(
    ("v", "parameter"),
    [
        ((3, 4), ()),
        ((3, 4), (1, 1)),
        ((3, 4), (4,)),
        ((3, 4), (3, 1)),
        ((1, 4), (4,)),
        ((1, 4), (1, 4)),
        ((0, 4), (1, 4)),
        ((), ()),
    ],
)
def test_the_shape_of_both_together(v: tuple[int, ...], parameter: tuple[int, ...]) -> None:
    x, y = torch.empty(v), torch.empty(parameter)
    assert masks.larger(x, y).shape == masks.larger(y, x).shape == x.shape


def test_elsewhere_than_on_a_cpu_there_are_no_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 10)
    for device, calls in (("meta", 1), ("cpu", 3)):
        sizes: list[int] = []
        x = torch.empty(30, device=device)
        chunks.in_chunks(lambda y, out, sizes=sizes: sizes.append(y.numel()) or out, [x], torch.empty_like(x), [], x.dtype)
        assert sizes == [30 // calls] * calls


def test_a_program_is_looked_at_once_for_all_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    definition: Any = type("Once", (Tails,), {})
    looked: list[bool] = []
    monkeypatch.setattr(_call, "agrees", lambda *given: looked.append(True) or True)
    for slope in (1.0, 1.5, 2.0):
        call_of(torch.zeros(3), definition(slope=slope), {})
    assert looked == [True]
    call_of(torch.zeros(3, dtype=torch.float64), definition(), {})
    assert looked == [True, True]


class Itself(One):
    """h is v."""

    @staticmethod
    def derivative(v, xp, *, level):
        return v


@pytest.mark.parametrize("definition", [Level, Itself])
def test_a_formula_that_returns_what_it_was_given(definition: Any) -> None:
    """Also to second order: v·h has the derivative h + v·h′."""
    v = torch.tensor([-1.0, 2.0], dtype=torch.float64)

    def first(x: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(lambda y: spike(y, definition()).sum())(x)

    h = torch.full_like(v, 0.7) if definition is Level else v
    assert torch.equal(first(v), h)
    assert torch.equal(torch.func.grad(lambda x: first(x).sum())(v), torch.full_like(v, float(definition is Itself)))
    moving = v.clone().requires_grad_()
    (once,) = torch.autograd.grad(spike(moving, definition()).sum(), moving, create_graph=True)
    (twice,) = torch.autograd.grad((once * moving).sum(), moving)
    assert torch.equal(twice, h + v * float(definition is Itself))
