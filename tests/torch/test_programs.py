"""The in-place backward against the plain evaluation of the formula, bit for bit, and what is kept for it."""

from __future__ import annotations

import math
import types
from typing import Any

import numpy as np
import pytest
import torch
from every import every_surrogate, every_variant, one_a_kept
from known_values import KNOWN
from operations import counts_positions

import arcana.torch.conformance as side
from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.surrogate import FastSigmoid, Surrogate, parameter
from arcana.testing._values import BITS, from_float, hard_sample, ulp_difference
from arcana.torch import spike
from arcana.torch._call import Call, call_of
from arcana.torch._derivative import Derivative
from arcana.torch._eager import chunks, masks, operations
from arcana.torch._eager.program import sample as tried


class Bump(Surrogate):
    """Not in the catalogue: comparisons joined, negated, and compared with a parameter."""

    width: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        inside = (v > -width) & ~(v > width) | (v == 3)
        return xp.where(inside, xp.where(v < 0, v, 2.0), xp.where(v > 5, 0.25, xp.abs(v)))


class Wave(Surrogate):
    """Whose operand's array the result may take."""

    @staticmethod
    def derivative(v, xp):
        return xp.turns(xp.abs(v) * 3, 8.0)


class ByNumber(Surrogate):
    """Multiplies by a comparison, which is no number in a program."""

    @staticmethod
    def derivative(v, xp):
        return (v >= 0) * xp.exp(-xp.abs(v))


class ByShape(Surrogate):
    """Looks at its array, which no symbol can answer."""

    @staticmethod
    def derivative(v, xp):
        return xp.abs(v) * float(v.ndim + 1)


def plain(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor, **tensors: torch.Tensor) -> torch.Tensor:
    """cotangent · h by the definition as it is written."""
    derivative = Derivative(surrogate.formula, v, {**surrogate.numbers, **tensors})
    with torch.no_grad():
        return (c.to(derivative.dtype) * derivative.derivative()).to(v.dtype)


def gradient(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor, **tensors: torch.Tensor) -> torch.Tensor:
    v = v.detach().requires_grad_()
    return torch.autograd.grad(spike(v, surrogate, **tensors), v, c)[0]


def assert_same_bits(found: torch.Tensor, expected: torch.Tensor, units: int = 0) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    dtype = str(found.dtype).removeprefix("torch.")
    assert ulp_difference(side.to_bits(found), side.to_bits(expected), dtype).max() <= units
    assert ((torch.signbit(found) == torch.signbit(expected)) | found.isnan()).all()


def place_units(surrogate: Surrogate) -> int:
    """By how many units an element may differ in a piece, where it has another place in a vector."""
    return 2 if counts_positions(surrogate) else 0


def sample(dtype: str, at_least: int = 0, every: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    # float64 has eight times as many exponents; 5 is no divisor of the sample's 32 fractions.
    bits = hard_sample(dtype)[:: 5 if dtype == "float64" else every]
    bits = np.tile(bits, 1 + at_least // bits.size)
    c = from_float(np.random.default_rng(5).normal(size=bits.size), dtype)
    return side.from_bits(bits, dtype), side.from_bits(c, dtype)


@every_variant
@pytest.mark.parametrize("dtype", BITS)
def test_bits_of_the_plain_evaluation(
    name: str, parameters: dict[str, float], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few elements, with many, and piece by piece; NaN included.

    Half types are computed in float32, which has its own sample at each parameter set; so all 65,536 patterns are taken at the
    defaults, and a fifth of them elsewhere.
    """
    for fires_at_threshold in (True, False) if not parameters else (True,):
        surrogate = definitions.get(name, **parameters, gain=1.5, fires_at_threshold=fires_at_threshold)
        v, c = sample(dtype, masks.FEW, every=5 if parameters and BITS[dtype] == 16 else 1)
        expected = plain(surrogate, v, c)
        assert v.numel() > masks.FEW
        assert_same_bits(gradient(surrogate, v, c), expected)
        few = slice(0, None, 7)
        monkeypatch.setattr(masks, "FEW", v.numel())
        assert_same_bits(gradient(surrogate, v[few], c[few]), plain(surrogate, v[few], c[few]))
        monkeypatch.undo()
        monkeypatch.setattr(chunks, "CHUNK", masks.FEW + 1)
        assert_same_bits(gradient(surrogate, v, c), expected, units=place_units(surrogate))
        monkeypatch.undo()


@pytest.mark.parametrize("name", [*KNOWN, "bump"])
@pytest.mark.parametrize("layout", ["transposed", "channels last", "strided", "expanded cotangent", "strided cotangent", "0-d"])
def test_any_layout(layout: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    surrogate = Bump() if name == "bump" else definitions.get(name)
    monkeypatch.setattr(chunks, "CHUNK", 5000)
    generator = torch.Generator().manual_seed(6)
    v = torch.randn(4, 32, 40, 8, generator=generator) * 2
    c = torch.randn(v.shape, generator=generator)
    changed = {
        "transposed": (v.permute(3, 1, 0, 2), c.permute(3, 1, 0, 2)),
        "channels last": (v.to(memory_format=torch.channels_last), c),
        "strided": (v[:, ::2, 1:], c[:, ::2, 1:].contiguous()),
        "expanded cotangent": (v, c[:1, :1, :1, :1].expand(v.shape)),
        "strided cotangent": (v, c.transpose(1, 2).contiguous().transpose(1, 2)),
        "0-d": (v[0, 0, 0, 0], c[0, 0, 0, 0]),
    }
    v, c = changed[layout]
    assert_same_bits(gradient(surrogate, v, c), plain(surrogate, v, c), units=place_units(surrogate))


@every_surrogate
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_parameters_as_tensors(name: str, dtype: str) -> None:
    """One value a channel, and one for all, for every parameter at once; none asks for a gradient."""
    surrogate = definitions.get(name)
    v, c = sample(dtype, masks.FEW)
    v, c = v[: v.numel() // 4 * 4].view(4, -1), c[: c.numel() // 4 * 4].view(4, -1)
    for shape in ((), (4, 1)):
        tensors = {key: torch.full(shape, value) for key, value in surrogate.numbers.items()}
        if shape and tensors:
            first = next(iter(tensors))
            tensors[first] = tensors[first] * torch.tensor([[1.0], [1.5], [1.25], [0.75]])
        assert_same_bits(gradient(surrogate, v, c, **tensors), plain(surrogate, v, c, **tensors))
        assert call_of(v, surrogate, tensors)[0].program is not None


@every_surrogate
def test_no_more_arrays_than_needed(name: str) -> None:
    program = call_of(torch.zeros(3), definitions.get(name), {})[0].program
    assert program is not None
    written: Any = program.pull_many
    calls = [node for node in written.graph.nodes if node.op == "call_function"]
    assert sum("out" not in node.kwargs or _chooses_without_scratch(node) for node in calls) == KNOWN[name].arrays


def _chooses_without_scratch(node: torch.fx.Node) -> bool:
    """Whether it makes an array inside: for a choice with one, unless it is against 0."""
    if node.target is not masks.choose or node.args[2] is None or "scratch" in node.kwargs:
        return False
    return any(x is not None and not str(x).startswith("constant") for x in node.args[1:3])


@pytest.mark.parametrize("surrogate", [Bump(), Bump(width=2.5, gain=0.5), Wave(), ByNumber(), ByShape()], ids=repr)
def test_a_users_formula(surrogate: Surrogate) -> None:
    for dtype in ("float32", "float64"):
        v, c = sample(dtype, masks.FEW)
        assert_same_bits(gradient(surrogate, v, c), plain(surrogate, v, c))
    traced = call_of(v, surrogate, {})[0].program is not None
    assert traced == isinstance(surrogate, (Bump, Wave))


def kept_bytes(surrogate: Surrogate, v: torch.Tensor, **tensors: torch.Tensor) -> dict[torch.dtype, int]:
    """What the forward saved besides v's own and the output's memory, and what is v's or the output's."""
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        spikes = spike(v, surrogate, **tensors)
    owners = {v.data_ptr(): "v", spikes.data_ptr(): "spikes"}
    return {owners.get(x.data_ptr(), "new"): x.numel() * x.element_size() for x in saved}


@every_surrogate
@pytest.mark.parametrize("dtype", BITS)
def test_no_more_is_kept_than_needed(name: str, dtype: str) -> None:
    n = 10_000
    v = torch.randn(n).to(getattr(torch, dtype)).requires_grad_()
    width = v.element_size()
    expected = {Kept.NOTHING: {}, Kept.SPIKES: {"spikes": n * width}, Kept.MASK: {"new": n}, Kept.POTENTIAL: {"v": n * width}}
    for fires_at_threshold in (True, False):
        surrogate = definitions.get(name, fires_at_threshold=fires_at_threshold)
        assert kept_bytes(surrogate, v) == expected[KNOWN[name].kept_when(fires_at_threshold)]


def test_parameters_that_train_keep_v() -> None:
    v = torch.randn(100, requires_grad=True)
    height = torch.tensor(2.0, requires_grad=True)
    saved = kept_bytes(definitions.rectangular, v, height=height)
    assert saved == {"v": 400, "new": 4}


@every_surrogate
def test_nothing_is_kept_without_gradient(name: str) -> None:
    v = torch.randn(10)
    assert kept_bytes(definitions.get(name), v) == {}
    with torch.no_grad():
        assert kept_bytes(definitions.get(name), v.requires_grad_()) == {}


@every_surrogate
def test_a_batch_of_cotangents(name: str) -> None:
    """torch.autograd.grad(is_grads_batched=True) runs backward under vmap, where nothing may be written in place."""
    surrogate = definitions.get(name)
    v = torch.randn(50, requires_grad=True)
    c = torch.randn(3, 50)
    (batched,) = torch.autograd.grad(spike(v, surrogate), v, c, is_grads_batched=True)
    for one, cotangent in zip(batched, c, strict=True):
        assert_same_bits(one, plain(surrogate, v, cotangent))


@pytest.mark.parametrize("name", [name for name, known in KNOWN.items() if known.kept is not Kept.POTENTIAL])
def test_constant_pieces_have_no_second_derivative(name: str) -> None:
    """The spikes that are kept have a surrogate gradient of their own; it must not enter."""
    surrogate = definitions.get(name)
    v = torch.linspace(-1, 1, 41, requires_grad=True)
    c = torch.rand(41, requires_grad=True)
    (first,) = torch.autograd.grad(spike(v, surrogate), v, c, create_graph=True)
    by_v, by_c = torch.autograd.grad(first.sum(), (v, c), allow_unused=True, materialize_grads=True)
    assert torch.equal(by_v, torch.zeros_like(v))
    assert torch.equal(by_c, surrogate.derivative(v.detach()))


@every_surrogate
def test_the_saved_spikes_are_not_changed(name: str) -> None:
    """What is kept belongs to the graph: a second backward through it gives the same."""
    v = torch.randn(masks.FEW + 1, requires_grad=True)
    spikes = spike(v, definitions.get(name))
    before = spikes.clone()
    c = torch.randn_like(spikes)
    first = torch.autograd.grad(spikes, v, c, retain_graph=True)[0].clone()
    second = torch.autograd.grad(spikes, v, c)[0]
    assert torch.equal(first, second)
    assert torch.equal(spikes, before)


def test_bits_are_joined_in_the_array_that_is_given() -> None:
    ones, zeros = (torch.full((3,), value, dtype=torch.int32).view(torch.float32) for value in (-1, 0))
    for name, expected in (("and_", 0), ("or_", -1), ("xor", -1)):
        for out in (None, torch.empty(3)):
            found = operations.BITS[name](ones, zeros, out=out)
            assert found.view(torch.int32).tolist() == [expected] * 3
            assert out is None or found.data_ptr() == out.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "constant", "expected"),
    [
        ((100,), (), [100]),
        ((101,), (), [100, 1]),
        ((250,), (), [100, 100, 50]),
        ((250,), (1,), [100, 100, 50]),
        ((250,), (250,), [250]),
        ((10, 25), (1, 1), [100, 100, 50]),
        ((10, 25), (25,), [100, 100, 50]),
        ((10, 25), (1, 25), [100, 100, 50]),
        ((10, 25), (10, 1), [250]),
        ((2, 250), (250,), [250, 250]),
    ],
    ids=str,
)
def test_long_arrays_go_piece_by_piece(
    shape: tuple[int, ...], constant: tuple[int, ...], expected: list[int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any elements where all constants are numbers, else whole rows, unless a constant has that axis."""
    monkeypatch.setattr(chunks, "CHUNK", 100)
    sizes: list[int] = []

    def function(x: torch.Tensor, out: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
        assert x.dtype is out.dtype is torch.float32
        sizes.append(x.numel())
        return torch.add(x, one, out=out)

    v, one = torch.randn(shape).to(dtype), torch.rand(constant)
    found = chunks.in_chunks(function, [v], torch.empty_like(v), [one], torch.float32)
    assert torch.equal(found, (v.float() + one).to(dtype))
    assert sizes == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("rows", "pieces"), [(50, 1), (100, 2), (120, 3)])
def test_sums_of_pieces_are_the_sums_of_the_whole(
    rows: int, pieces: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of small whole numbers, so that no order of the additions matters: one sum, one a channel, and factors before and after."""
    monkeypatch.setattr(chunks, "SLOPES", 100)
    sizes: list[int] = []

    def run(v: torch.Tensor, c: torch.Tensor, out: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        sizes.append(v.numel())
        return torch.mul(v, c, out=out), v, v[:, :1]

    v = (torch.arange(rows * 2).view(rows, 2) % 5 - 2).to(dtype)
    c = (torch.arange(rows * 2).view(rows, 2) % 3).to(dtype)
    one, channels = torch.tensor(3.0), torch.tensor([0.0, 5.0])
    asked: list[tuple[tuple[int, int | None, torch.Tensor | None], tuple[int, ...]]] = [
        ((0, 1, None), ()),
        ((0, 1, one), (1, 1)),
        ((1, None, channels), ()),
        ((0, 1, channels), ()),
        ((0, 2, None), ()),
        ((0, None, channels), (2,)),
        ((0, 1, one), (2,)),
        ((0, 2, channels), (1, 2)),
    ]
    arrays = v.float() * c.float(), v.float(), v[:, :1].float()
    expected = []
    for (left, right, factor), shape in asked:
        product = arrays[left] * (1 if right is None else arrays[right]) * (1 if factor is None else factor)
        expected.append(product.sum_to_size(shape))
    sums = [chunks.Sums([term], torch.Size(shape), math.prod(shape) == 1) for term, shape in asked]
    for bounded in (False, True):
        program: Any = types.SimpleNamespace(run=run, bounded=bounded)
        sizes.clear()
        out = torch.empty_like(v)
        found = chunks.summed_in_chunks(program, v, c, out, [channels], torch.float32, sums)
        assert len(sizes) == pieces
        assert torch.equal(out.float(), arrays[0])
        if bounded:
            assert found.pop(0) == v.float().square().sum()
        for one_found, one_expected in zip(found, expected, strict=True):
            assert torch.equal(one_found, one_expected)


@pytest.mark.parametrize("name", [*one_a_kept(Kept.POTENTIAL, Kept.MASK, Kept.SPIKES), "gaussian", "multi_gaussian"])
@pytest.mark.parametrize("asks", [False, True])
def test_one_value_with_axes_in_an_array_that_goes_piece_by_piece(name: str, asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor of shape (1, 1) broadcasts to a potential of two axes, and to none that has been made flat."""
    for each in ("CHUNK", "SLOPES"):
        monkeypatch.setattr(chunks, each, masks.FEW + 1)
    surrogate = definitions.get(name)
    generator = torch.Generator().manual_seed(6)
    v, c = (torch.randn(3, masks.FEW, generator=generator, dtype=torch.float64) for _ in range(2))
    found = []
    for shape in ((), (1, 1)):
        tensors = {key: torch.full(shape, value, dtype=torch.float64) for key, value in surrogate.numbers.items()}
        tensors["gain"] = torch.full(shape, 1.5, dtype=torch.float64)
        leaves = [x.requires_grad_() for x in (v.clone(), *(tensors.values() if asks else ()))]
        found.append(torch.autograd.grad(spike(leaves[0], surrogate, **tensors), leaves, c))
        assert [x.shape for x in found[-1][1:]] == [shape] * (len(leaves) - 1)
    for scalar, with_axes in zip(*found, strict=True):
        torch.testing.assert_close(with_axes.view(scalar.shape), scalar, rtol=1e-11, atol=1e-11)


def test_a_slope_of_one_hands_the_cotangent_on() -> None:
    """No product and no array, however many elements there are."""
    for n in (3, masks.FEW + 1):
        v, c = torch.randn(n, requires_grad=True), torch.randn(n)
        assert torch.autograd.grad(spike(v, definitions.ste), v, c)[0].data_ptr() == c.data_ptr()
        assert torch.autograd.grad(spike(v, definitions.STE(gain=2.0)), v, c)[0].data_ptr() != c.data_ptr()


def test_calls_are_found_by_value() -> None:
    v = torch.zeros(1)
    call = call_of(v, FastSigmoid(scale=25.0), {})[0]
    assert call_of(v, FastSigmoid(scale=25), {})[0] is call
    assert call_of(v, FastSigmoid(), {"scale": 25.0})[0] is call
    assert call_of(v.double(), FastSigmoid(scale=25.0), {})[0] is not call


def test_calls_made_in_inference_mode_can_be_differentiated_later() -> None:
    surrogate = FastSigmoid(scale=17.25)
    with torch.inference_mode():
        spike(torch.ones(3), surrogate)
    v = torch.ones(3, requires_grad=True)
    assert_same_bits(torch.autograd.grad(spike(v, surrogate).sum(), v)[0], plain(surrogate, v.detach(), torch.ones(3)))


def test_negative_zero_is_zero() -> None:
    v = torch.randn(9, requires_grad=True)
    for zero in (0.0, -0.0):
        (found,) = torch.autograd.grad(spike(v, definitions.LeakyStep(leak=zero)), v, torch.ones(9))
        assert not torch.signbit(found).any()


@every_surrogate
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_call_on_another_device_has_a_program(name: str, dtype: torch.dtype) -> None:
    """Where no short way is taken, the program is compared with the plain evaluation without it."""
    call, *_ = call_of(torch.empty(3, dtype=dtype, device="meta"), definitions.get(name), {})
    assert call is not None
    assert call.program is not None


def test_the_number_that_potentials_are_compared_with_lies_beside_them() -> None:
    """Save on a GPU, which takes it along with the comparison."""
    formula, numbers = FastSigmoid().formula, FastSigmoid().numbers
    for device, place in (("cpu", "cpu"), ("meta", "meta"), ("cuda:0", "cpu")):
        assert Call(formula, numbers, (), torch.float32, torch.device(device)).zero.device.type == place


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["fast_sigmoid", "rectangular", "multi_gaussian"])
def test_a_program_is_tried_where_formulas_differ(name: str, dtype: torch.dtype) -> None:
    """At what is no number, at both zeros, at subnormal and at the largest numbers, and around kinks: 1/2, 1, the parameters."""
    surrogate = definitions.get(name)
    first, *others = surrogate.numbers
    v, tensors = tried(type(surrogate), {each: surrogate.numbers[each] for each in others}, [first], dtype)
    assert (v.dtype, v.shape[0]) == (dtype, 8)
    limits, found = torch.finfo(dtype), set(v.flatten().tolist())
    assert v.isnan().any()
    signs = {str(x) for x in found if x == 0} | {str(x) for x in v[v == 0].tolist()}
    assert signs == {"0.0", "-0.0"}
    usual = [abs(float(torch.tensor(x, dtype=dtype))) for x in surrogate.numbers.values()]
    for x in (math.inf, limits.max, limits.smallest_normal, 1.0, 0.5, *usual):
        assert {x, -x} <= found
    for sign in (1, -1):
        side = {sign * x for x in found if sign * x > 0}
        assert min(side) < limits.smallest_normal
        assert len({x for x in side if 1e-3 < x < 30}) > 30
        for x in usual:
            assert any(x / 4 < each < x for each in side)
            assert any(x < each < x * 4 for each in side)
    (values,) = tensors
    assert (values.dtype, values.shape) == (dtype, (8, 1))
    assert len(set(values.flatten().tolist())) > 5
    assert values.min() < usual[0] < values.max()
