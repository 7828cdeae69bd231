"""Parameters that are trained: cotangent · dG/dparameter as a program, in chunks and per channel, beside PyTorch's own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from every import every_parameter
from formulas import Formula, formulas
from hypothesis import HealthCheck, given, settings, strategies
from torch.utils._python_dispatch import TorchDispatchMode

from arcana import surrogate as definitions
from arcana._core import FAR
from arcana.surrogate import FastSigmoid, Surrogate, formula, parameter
from arcana.torch import evaluate, spike
from arcana.torch._call import REMEMBERED, Call, Ready, call_of
from arcana.torch._derivative import Derivative
from arcana.torch._eager import chunks
from arcana.torch._eager.program import NEAR, LearnableProgram, product_of, sample

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def own(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor, **tensors: torch.Tensor) -> list[torch.Tensor]:
    """PyTorch's own derivatives of G, in float64, times the cotangent and summed to the parameters' shapes."""
    wide = {name: x.detach().double() for name, x in tensors.items()}
    with torch.no_grad():
        slopes = Derivative(surrogate.formula, v.double(), {**surrogate.numbers, **wide}).sensitivities(list(tensors))
        return [(c.double() * slope).sum_to_size(x.shape) for slope, x in zip(slopes, tensors.values(), strict=True)]


def ours(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor, **tensors: torch.Tensor) -> list[torch.Tensor]:
    leaves = {name: x.detach().requires_grad_() for name, x in tensors.items()}
    found = torch.autograd.grad(spike(v.detach(), surrogate, **leaves), list(leaves.values()), c)
    for gradient, x in zip(found, tensors.values(), strict=True):
        assert (gradient.dtype, gradient.shape) == (x.dtype, x.shape)
    return list(found)


SHORTER = {
    ("clipped_reciprocal", "bound"),
    ("dspike", "temperature"),
    ("fast_sigmoid", "scale"),
    ("inverse_square_root", "width"),
    ("log_abs", "slope"),
    ("multi_gaussian", "height"),
    ("multi_gaussian", "scale"),
    ("multi_gaussian", "spread"),
    ("one_sided_fast_sigmoid", "scale"),
    ("periodic_exponential", "width"),
    ("q_pseudo_spike", "q"),
}
"""Of near potentials these leave something out, and only for these the potentials' squares are summed."""


@every_parameter
def test_every_parameter_has_a_program(name: str, key: str) -> None:
    surrogate = definitions.get(name)
    for dtype in (torch.float32, torch.float64):
        given = (torch.tensor(getattr(surrogate, key), dtype=dtype),)
        call, *_ = call_of(torch.zeros(3, dtype=dtype), surrogate, {key: given[0]})
        assert call is not None
        for near in (True, False):
            ready = call._ready(torch.zeros(3, dtype=dtype), given, (True, near, False))
            assert ready is not None
            assert ready.program.bounded == (near and (name, key) in SHORTER)


class Floored(Surrogate):
    """h is v, and no less than a floor that may be 0, where torch.maximum of −0.0 is another zero than xp.maximum's."""

    floor: float = parameter(0.5, at_least=-1)

    @formula
    def derivative(v: Any, xp: Any, *, floor: Any) -> Any:
        return xp.maximum(v, floor)

    @formula
    def primitive(v: Any, xp: Any, *, floor: Any) -> Any:
        held = xp.maximum(v, floor)
        return held * v - xp.square(held) * 0.5 + 0.5


@pytest.mark.parametrize("floor", [0.0, -0.0])
def test_a_bound_of_zero_takes_no_maximum_of_pytorchs(floor: float) -> None:
    v, given = torch.tensor([-0.0, 0.0, -1.0, 1.0]), torch.tensor(floor)
    call, *_ = call_of(v, Floored(), {"floor": given})
    assert call is not None
    assert call._ready(v, (given,), (True, True, False)) is None
    assert call._ready(v, (torch.tensor(0.5),), (True, True, False)) is not None
    leaves = v.clone().requires_grad_(), given.clone().requires_grad_()
    for_v, for_floor = torch.autograd.grad(spike(leaves[0], Floored(), floor=leaves[1]).sum(), leaves)
    expected = evaluate(Floored(), "derivative", v, floor=given)
    assert for_v.numpy().tobytes() == expected.numpy().tobytes()
    assert for_floor == -1.0  # v − floor, where v is below


class Comparisons(TorchDispatchMode):
    """The numbers that something is compared with."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[float] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket is torch.ops.aten.gt:
            self.numbers.append(float(args[1]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("name", "key"), sorted(SHORTER - {("dspike", "temperature"), ("periodic_exponential", "width")}))
def test_of_near_potentials_none_is_asked_whether_it_is_far(name: str, key: str) -> None:
    """The gradients would be the same, by half as many operations again."""
    surrogate, v = definitions.get(name), torch.tensor([-0.3, 0.4, 2.0])
    given = (torch.tensor(getattr(surrogate, key)),)
    call, *_ = call_of(v, surrogate, {key: given[0]})
    for near in (True, False):
        ready = call._ready(v, given, (True, near, False))
        assert ready is not None
        with Comparisons() as seen:
            ready.program.few(v, torch.ones(3), torch.empty(3), *ready.constants)
        assert any(x > NEAR * NEAR for x in seen.numbers) != near


@every_parameter
@pytest.mark.parametrize("size", [100, 5000], ids=["few", "many"])
def test_its_gradient_is_the_derivative_of_the_primitive(name: str, key: str, size: int) -> None:
    surrogate = definitions.get(name)
    v = torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 1.5
    c = torch.randn(size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    given = {key: torch.tensor(getattr(surrogate, key), dtype=torch.float64)}
    torch.testing.assert_close(ours(surrogate, v, c, **given), own(surrogate, v, c, **given), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 1), (1, 1, 7), (2, 3, 7)], ids=str)
@pytest.mark.parametrize("layout", ["dense", "transposed", "expanded", "strided"])
def test_shapes_layouts_and_chunks(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    v, c = (torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(seed)).to(dtype) for seed in (1, 2))
    if layout == "transposed":
        v = v.transpose(0, 2).contiguous().transpose(0, 2)
    elif layout == "expanded":
        c = c[:1, :1].expand(2, 3, 7)
    elif layout == "strided":
        v = torch.stack([v, v], -1)[..., 0]
    scale = torch.linspace(0.5, 3, int(np.prod(shape))).view(shape)
    expected = own(FastSigmoid(), v, c, scale=scale)
    tolerance = {torch.float64: 1e-6, torch.float32: 1e-5}.get(dtype, 1e-2)
    for chunk in (chunks.SLOPES, 5):
        with mock.patch.object(chunks, "SLOPES", chunk):
            (found,) = ours(FastSigmoid(), v, c, scale=scale)
        torch.testing.assert_close(found.double(), expected[0], rtol=tolerance, atol=tolerance)


def test_both_of_two_parameters_and_only_one_that_asks() -> None:
    surrogate = definitions.sparse_fast_sigmoid
    v, c = torch.linspace(-1, 1, 41, dtype=torch.float64), torch.linspace(0.5, 2, 41, dtype=torch.float64)
    given = {"scale": torch.tensor(20.0, dtype=torch.float64), "cutoff": torch.full((41,), 0.3, dtype=torch.float64)}
    both = ours(surrogate, v, c, **given)
    torch.testing.assert_close(both, own(surrogate, v, c, **given), rtol=1e-12, atol=1e-12)
    cutoff = given["cutoff"].clone().requires_grad_()
    (alone,) = torch.autograd.grad(spike(v, surrogate, scale=given["scale"], cutoff=cutoff), cutoff, c)
    assert torch.equal(alone, both[1])


def test_the_way_of_a_recorded_backward_is_the_derivative_that_can_be_differentiated_again() -> None:
    v = torch.tensor([-0.3, 0.0, 0.4], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    with mock.patch.object(Call, "_ready", side_effect=AssertionError):
        (first,) = torch.autograd.grad(spike(v, FastSigmoid(), scale=scale).sum(), scale, create_graph=True)
    (plain,) = torch.autograd.grad(spike(v, FastSigmoid(), scale=scale).sum(), scale)
    torch.testing.assert_close(first.detach(), plain, rtol=1e-14, atol=0)
    (second,) = torch.autograd.grad(first, scale)
    x = v.detach()
    torch.testing.assert_close(second, (2 * x * x * x.abs() * x.sign() / (1 + 3 * x.abs()) ** 3).sum(), rtol=1e-13, atol=0)


def test_without_a_program_the_gradients_are_the_same_and_have_no_history() -> None:
    v = torch.linspace(-1, 2, 41, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad(spike(v, FastSigmoid(), scale=scale).sum(), (v, scale))
    with mock.patch.object(Ready, "gradients", return_value=None):
        found = torch.autograd.grad(spike(v, FastSigmoid(), scale=scale).sum(), (v, scale))
    assert not any(x.requires_grad for x in found)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)


def program_of(surrogate: Surrogate, near: bool, **tensors: torch.Tensor) -> tuple[Call, LearnableProgram]:
    call, *_ = call_of(torch.zeros(3), surrogate, tensors)
    assert call is not None
    ready = call._ready(torch.zeros(3), tuple(tensors.values()), (*(True for _ in tensors), near, not near))
    assert ready is not None
    return call, ready.program


@pytest.mark.parametrize("near", [True, False], ids=["near", "far"])
@pytest.mark.parametrize("place", [0, -1], ids=["h", "slope"])
@pytest.mark.parametrize("steps", ["few", "many"])
def test_a_program_that_gives_something_else_is_not_believed(steps: str, place: int, near: bool) -> None:
    call, program = program_of(FastSigmoid(), near, scale=torch.tensor(3.0))
    assert call._learnable_agrees(program, ("scale",), near)

    def spoilt_by(change: Callable[[torch.Tensor], torch.Tensor]) -> LearnableProgram:
        def wrong(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
            arrays = list(getattr(program, steps)(*given))
            arrays[place] = change(arrays[place])
            return tuple(arrays)

        return dataclasses.replace(program, **{steps: wrong})

    def no_number_near_the_threshold(x: torch.Tensor) -> torch.Tensor:
        v, _ = sample(FastSigmoid, call.numbers, call.names, torch.float32)
        return torch.where(v == 0.5, math.nan, x)

    def wrong_where_small(x: torch.Tensor) -> torch.Tensor:
        return torch.where((x.abs() < 0.05) & (x.abs() > 1e-4), x * 1.05, x)

    for change in (lambda x: x * 1.05, no_number_near_the_threshold, wrong_where_small):
        assert not call._learnable_agrees(spoilt_by(change), ("scale",), near)


@pytest.mark.parametrize(
    ("scale", "gain", "expected"),
    [
        (1.0, 1.0, NEAR),
        (4.0, 1.0, NEAR / 4),
        (0.125, 1.0, NEAR / 8),
        (4.0, -16.0, NEAR / 16),
        (4.0, 0.0, NEAR / 4),
        ([0.5, 2.0, 8.0], 1.0, NEAR / 8),
        ([0.0625, 2.0, 8.0], 1.0, NEAR / 16),
        ([0.5, -32.0, 8.0], 1.0, NEAR / 32),
        (math.inf, 1.0, 0.0),
        (math.nan, 1.0, 0.0),
        ([1.0, math.nan], 1.0, 0.0),
    ],
    ids=str,
)
def test_how_large_a_near_potential_may_be(scale: Any, gain: float, expected: float) -> None:
    """So that its products and quotients with each parameter are no larger than `NEAR`; a 0 makes none."""
    tensors = {"scale": torch.tensor(2.0), "gain": torch.tensor(1.0)}
    call, *_ = call_of(torch.zeros(3), FastSigmoid(), tensors)
    assert call is not None
    assert call._limit((torch.tensor(scale), torch.tensor(gain))) == expected
    call, *_ = call_of(torch.zeros(3), FastSigmoid(gain=8.0), {"scale": torch.tensor(2.0)})
    assert call is not None
    assert call._limit((torch.tensor(2.0),)) == NEAR / 8


class Ramp(Surrogate):
    """h is a level from 1 on."""

    level: float = parameter(0.5)

    @formula
    def derivative(v: Any, xp: Any, *, level: Any) -> Any:
        return level * xp.spike(v - 1)

    @formula
    def primitive(v: Any, xp: Any, *, level: Any) -> Any:
        return level * (v - 1) * xp.spike(v - 1) + 0.5


@pytest.mark.parametrize("near", [True, False])
def test_a_comparison_is_a_number_and_not_chosen(near: bool) -> None:
    """In h, and in what the gradient of a parameter is the sum of: torch.where takes as long as ten other operations."""
    _, program = program_of(Ramp(), near, level=torch.tensor(1.5))
    targets = [node.target for node in program.few.graph.nodes]
    assert torch.where not in targets
    assert any(getattr(each, "__name__", "").endswith("_as_numbers") for each in targets)


def test_potentials_of_a_network_are_near() -> None:
    """Whatever the number is: up to a million the quick program serves, and beyond its limit another one does."""
    scale = torch.tensor(2.0)
    call, *_ = call_of(torch.zeros(3), FastSigmoid(), {"scale": scale})
    assert call is not None
    ready = call._ready(torch.zeros(3), (scale,), (True, True, False))
    assert ready is not None
    assert ready.limit == NEAR / 2
    for v, serves in ((1e6, True), (0.999 * NEAR / 2, True), (1.001 * NEAR / 2, False), (math.inf, False), (math.nan, False)):
        found = ready.gradients(torch.tensor([0.5, v]), torch.ones(2), (True, True))
        assert (found is not None) == serves
    far = call._ready(torch.zeros(3), (scale,), (True, False, True))
    assert far is not None
    assert far.limit == math.inf
    assert far.gradients(torch.tensor([0.5, 1e20]), torch.ones(2), (True, True)) is not None


def test_elsewhere_than_on_a_cpu_no_program_is_tried_that_looks_at_values() -> None:
    """A look would wait for the device: only the program for any potential and any bound is left."""
    tried: list[tuple[bool, ...]] = []
    scale = torch.tensor(2.0)
    call, *_ = call_of(torch.zeros(3), FastSigmoid(), {"scale": scale})
    assert call is not None
    for is_cpu, expected in (
        (True, [(True, True, False), (True, True, True), (True, False, True)]),
        (False, [(True, False, True)]),
    ):
        tried.clear()
        v: Any = mock.Mock(is_cpu=is_cpu)
        with (
            mock.patch.object(Call, "_ready", lambda call, v, tensors, key: tried.append(key)),
            mock.patch.object(Call, "derivative", side_effect=InterruptedError),
            pytest.raises(InterruptedError),
            torch.no_grad(),
        ):
            call.pull_learnable(v, (scale,), torch.ones(3), None, (False, True), {})
        assert tried == expected


def test_values_that_change_at_every_step_are_not_kept_for_ever() -> None:
    """As those of parameters in training do; the last ones are known."""

    class Trained(FastSigmoid):
        """Of which nothing is known before."""

    surrogate = Trained()
    for i in range(1, 700):
        call, _, known = call_of(torch.zeros(3), surrogate, {"scale": torch.tensor(float(i))})
        assert call is not None
        assert 1 <= len(call.known) <= REMEMBERED
        assert call_of(torch.zeros(3), surrogate, {"scale": torch.tensor(float(i))})[2] is known
    assert len(call.known) == 699 % REMEMBERED


@pytest.mark.parametrize("answer", [True, False, RuntimeError("a program that fails")], ids=["agrees", "differs", "fails"])
def test_whether_a_program_is_believed_is_found_once(answer: Any) -> None:
    class Asked(FastSigmoid):
        """Of which no program is known before."""

    call, *_ = call_of(torch.zeros(3), Asked(), {"scale": torch.tensor(2.0)})
    assert call is not None
    with mock.patch.object(Call, "_learnable_agrees", side_effect=[answer]) as asked:
        found = [call.learnable((True,), near=True, exact=False) for _ in range(2)]
    assert asked.call_count == 1
    assert [each is not None for each in found] == [answer is True] * 2


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_far_potentials_of_some_channels(channels: int) -> None:
    """d/dscale of v/(1 + scale·|v|) is −sign(v)/scale² far out: the quick programs leave it to the next one."""
    v = torch.tensor([1e20, -3e25, math.inf])[:channels, None].expand(channels, 4).t()
    scale = torch.linspace(1, 2, channels)
    found = ours(FastSigmoid(), v, torch.ones_like(v), scale=scale)
    torch.testing.assert_close(found[0], -4 * v[0].sign() / scale.square())


def test_a_potential_of_another_shape_is_checked_beside_values_that_are_known() -> None:
    for shape in ((2,), (1, 2)):
        scale = torch.tensor([2.0, 3.0]).view(shape)
        for _ in range(2):
            assert spike(torch.zeros(2, 2), FastSigmoid(), scale=scale).shape == (2, 2)
        for v in (torch.zeros(3), torch.zeros(2, 3), torch.zeros(())):
            with pytest.raises(ValueError, match="scale must broadcast to v's shape"):
                spike(v, FastSigmoid(), scale=scale)


def test_a_parameter_in_inference_mode_and_on_the_meta_device() -> None:
    with torch.inference_mode():
        assert spike(torch.ones(3), FastSigmoid(), scale=torch.tensor(3.0)).tolist() == [1, 1, 1]
    v = torch.ones(3, device="meta", requires_grad=True)
    scale = torch.ones((), device="meta", requires_grad=True)
    found = torch.autograd.grad(spike(v, FastSigmoid(), scale=scale).sum(), (v, scale))
    assert [(x.shape, x.device.type) for x in found] == [((3,), "meta"), ((), "meta")]


def test_what_is_known_of_the_values_of_channels_is_found_by_their_bits() -> None:
    """A step of training changes them where they are, by `.data` too, and one value may be −0.0."""
    v, c = torch.randn(5, 3, generator=torch.Generator().manual_seed(4)), torch.linspace(0.5, 2, 15).view(5, 3)
    scale = torch.tensor([2.0, 3.0, 4.0], dtype=torch.bfloat16).float()
    call, _, known = call_of(v, FastSigmoid(), {"scale": scale})
    assert call is not None
    assert call_of(v, FastSigmoid(), {"scale": scale.clone()})[2] is known
    before = ours(FastSigmoid(), v, c, scale=scale)
    scale.data[1] = 9.0
    assert call_of(v, FastSigmoid(), {"scale": scale})[2] is not known
    after = ours(FastSigmoid(), v, c, scale=scale)
    torch.testing.assert_close(after, [x.float() for x in own(FastSigmoid(), v, c, scale=scale)])
    assert (before[0] == after[0]).tolist() == [True, False, True]
    # FSDP2 frees the storage of a parameter between its uses.
    assert scale.untyped_storage().resizable()
    leaks = [torch.tensor([zero, 1.0]) for zero in (0.0, -0.0)]
    one, other = (call_of(v[:, :2], definitions.get("leaky_step"), {"leak": leak})[2] for leak in leaks)
    assert one is not other
    large = torch.full((2000,), 3.0)
    assert call_of(torch.zeros(2000), FastSigmoid(), {"scale": large})[2] == {}
    scale[0] = -1.0
    with pytest.raises(ValueError, match="scale must be"):
        call_of(v, FastSigmoid(), {"scale": scale})
    with pytest.raises(TypeError, match="scale must be a floating-point tensor, got complex64"):
        call_of(v, FastSigmoid(), {"scale": torch.ones(3, dtype=torch.complex64).conj()})


@pytest.mark.parametrize(
    "scale",
    [
        torch.empty(0),
        torch.arange(1.0, 7.0)[::2],
        torch.empty_strided((3, 1), (1, 5)).fill_(2.0),
        torch.tensor([2.0]).expand(3),
        torch.view_as_complex(torch.tensor([[1.0, -2.0], [1.0, -3.0], [1.0, -4.0]])).conj().imag,
    ],
    ids=["empty", "strided", "a column", "expanded", "negative bit"],
)
def test_values_are_read_in_any_layout(scale: torch.Tensor) -> None:
    v = torch.linspace(-1, 1, 3 * scale.shape[-1]).reshape(3, scale.shape[-1])
    c = torch.ones_like(v)
    for _ in range(2):
        found = ours(FastSigmoid(), v, c, scale=scale.contiguous())
        again = ours(FastSigmoid(), v, c, scale=scale)
        torch.testing.assert_close(found, again, rtol=0, atol=0)
        torch.testing.assert_close(found, [x.float() for x in own(FastSigmoid(), v, c, scale=scale)], rtol=1e-5, atol=1e-6)


def with_primitive(formula: Formula) -> Surrogate:
    """A surrogate whose G is the formula, whatever its h."""

    class Whole(formula.surrogate):  # pyright: ignore[reportGeneralTypeIssues]
        @staticmethod
        def primitive(v: Any, xp: Any, *, slope: Any, width: Any) -> Any:
            return formula(v, xp, slope, width)

    return Whole(slope=0.3)


@settings(deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)
@given(formulas(8), strategies.sampled_from([64, 4200]), strategies.sampled_from([0.7, 2.0, -0.5]))
def test_a_random_primitive_has_the_derivative_that_pytorch_finds(formula: Formula, size: int, slope: float) -> None:
    """Where that is a number; where a side that is not taken makes NaN of it, ours may be one."""
    surrogate = with_primitive(formula)
    v = torch.randn(size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    given = torch.tensor(slope, dtype=torch.float64)
    call, *_ = call_of(v, surrogate, {"slope": given})
    assert call is not None
    ready = call._ready(v, (given,), (True, True, False))
    if ready is None:
        return
    with torch.no_grad():
        (expected,) = call.derivative(v, [given]).sensitivities(["slope"])
        arrays = ready.program.run(v, torch.ones_like(v), torch.empty_like(v), *ready.constants)
        found = torch.zeros_like(v) + sum(product_of(each, arrays, ready.constants) for each in ready.program.terms[0])
    known = expected.isfinite()
    torch.testing.assert_close(found[known], expected[known], rtol=1e-6, atol=1e-9)


@every_parameter
def test_far_potentials_have_the_gradient_of_a_wide_dtype(name: str, key: str) -> None:
    """Beyond what the quick program is for, up to inf, one potential after the other beside some that are near."""
    surrogate = definitions.get(name)
    value = torch.tensor(getattr(surrogate, key))
    for far in (1e5, -1e12, 1e19, -4e19, -1e25, math.inf, -math.inf):
        v, c = torch.tensor([0.3, far, -0.2]), torch.tensor([0.5, -2.0, 1.5])
        found = ours(surrogate, v, c, **{key: value.clone()})[0].double()
        finite = v.nan_to_num(posinf=FAR["float32"], neginf=-FAR["float32"])
        (expected,) = own(surrogate, finite, c, **{key: value})
        if expected.abs() < torch.finfo(torch.float32).max and name != "squarewave_fourier":
            torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-6)


def test_a_value_that_has_been_checked_does_not_let_another_pass() -> None:
    v = torch.zeros(3, requires_grad=True)
    for dtype, good in ((torch.float32, 2.0), (torch.float64, 2.0)):
        spike(v, FastSigmoid(), scale=torch.tensor(good, dtype=dtype))
    for wrong in (-2.0, 0.0, -0.0):
        with pytest.raises(ValueError, match=r"FastSigmoid: scale must be > 0, got "):
            spike(v, FastSigmoid(), scale=torch.tensor(wrong))
    with pytest.raises(ValueError, match="must broadcast"):
        spike(v, FastSigmoid(), scale=torch.full((1, 1), 2.0))


def test_a_value_that_changes_between_two_calls_changes_the_gradient() -> None:
    v, scale = torch.tensor([-0.3, 0.4]), torch.tensor([2.0], requires_grad=True)
    for value in (2.0, 3.0, 2.0):
        with torch.no_grad():
            scale.fill_(value)
        (found,) = torch.autograd.grad(spike(v, FastSigmoid(), scale=scale).sum(), scale)
        torch.testing.assert_close(found, -(v * v.abs() / (1 + value * v.abs()) ** 2).sum()[None], rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [1e-30, 1e30])
def test_a_parameter_far_out_has_the_gradient_of_the_plain_way(value: float) -> None:
    v, c = torch.tensor([-0.3, 0.4, 20.0]), torch.tensor([1.0, -0.5, 2.0])
    scale = torch.tensor(value, requires_grad=True)
    found = torch.autograd.grad(spike(v, FastSigmoid(), scale=scale), scale, c)[0]
    with mock.patch.object(Ready, "gradients", return_value=None):
        expected = torch.autograd.grad(spike(v, FastSigmoid(), scale=scale), scale, c)[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("size", [1000, 100_000, 1_000_000])
def test_a_sum_in_float32_is_no_further_off_than_pytorchs(size: int) -> None:
    v, c = (torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    given = {"scale": torch.tensor(10.0)}
    (exact,) = own(FastSigmoid(), v, c, **given)
    slope = Derivative(FastSigmoid().formula, v, given).sensitivities(["scale"])[0]
    whole = (c * slope).abs().double().sum()
    ours_off = (ours(FastSigmoid(), v, c, **given)[0].double() - exact).abs() / whole
    assert ours_off <= 2 * ((c * slope).sum().double() - exact).abs() / whole + 1e-7


@pytest.mark.parametrize("shape", [(1,), (3,), (), (0, 1), (0, 3)], ids=str)
def test_an_empty_potential_has_gradients_of_zero(shape: tuple[int, ...]) -> None:
    scale = torch.full(shape, 5.0, requires_grad=True)
    v = torch.empty(0, 3, requires_grad=True)
    spike(v, FastSigmoid(), scale=scale).sum().backward()
    assert v.grad is not None
    assert scale.grad is not None
    assert v.grad.shape == (0, 3)
    assert torch.equal(scale.grad, torch.zeros(shape))
