"""Compiled kernels in eager mode, and their switch."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
import torch._inductor.config
import torch._inductor.metrics
from every import every_surrogate, one_a_kept
from known_values import KNOWN

from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.surrogate import FastSigmoid, Surrogate
from arcana.torch import set_compiled_kernels, spike
from arcana.torch._call import call_of
from arcana.torch._eager import kernels as compiled


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels for every size, compiled anew."""
    monkeypatch.setattr(compiled, "LEAST", 0)
    torch.compiler.reset()
    with set_compiled_kernels(True):
        yield
    forget_calls()


def forget_calls() -> None:
    from arcana.torch import _call

    for name in KNOWN:
        vars(type(definitions.get(name))).get("_caches", {}).pop(_call._call, None)


@pytest.fixture
def without_inductor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs as they are: what is compared is our part, and inductor's own takes seconds a surrogate."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    forget_calls()


def potentials(dtype: torch.dtype, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    v = torch.randn(shape, generator=generator) * 2
    v.view(-1)[:4] = torch.tensor([0.0, -0.0, float("inf"), float("-inf")])
    c = torch.randn(shape, generator=generator)
    return v.to(dtype).requires_grad_(), c.to(dtype)


def both(surrogate: Surrogate, v: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    spikes = spike(v, surrogate)
    return spikes.detach(), torch.autograd.grad(spikes, v, c)[0]


@every_surrogate
@pytest.mark.usefixtures("without_inductor", "kernels")
def test_the_same_as_without(name: str) -> None:
    strict = definitions.get(name, gain=1.5, fires_at_threshold=False)
    cases = ((definitions.get(name), torch.float32), (strict, torch.bfloat16), (strict, torch.float64))
    for surrogate, dtype in cases:
        for shape in ((5, 7, 3), (64,)):
            v, c = potentials(dtype, *shape)
            found = both(surrogate, v, c)
            assert "_compiled_kernels" in vars(call_of(v, surrogate, {})[0])
            with set_compiled_kernels(False):
                expected = both(surrogate, v, c)
            for one, other in zip(found, expected, strict=True):
                assert (one.dtype, one.shape) == (other.dtype, other.shape)
                torch.testing.assert_close(one, other, rtol=4 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("name", [*one_a_kept(Kept.POTENTIAL, Kept.MASK), "sigmoid"], ids=["potential", "mask", "exponential"])
@pytest.mark.usefixtures("kernels")
@torch._inductor.config.patch(fx_graph_cache=False)
def test_one_kernel_each_way(name: str) -> None:
    surrogate = definitions.get(name)
    forget_calls()
    torch._inductor.metrics.reset()
    v, c = potentials(torch.float32, 3, 1000)
    spikes = spike(v, surrogate)
    forward = torch._inductor.metrics.generated_kernel_count
    (gradient,) = torch.autograd.grad(spikes, v, c)
    assert (forward, torch._inductor.metrics.generated_kernel_count) == (1, 2)
    with set_compiled_kernels(False):
        expected = both(surrogate, v, c)
    assert torch.equal(spikes, expected[0])
    torch.testing.assert_close(gradient, expected[1], rtol=1e-6, atol=0)
    v, c = potentials(torch.float32, 17)
    both(surrogate, v, c)
    assert torch._inductor.metrics.generated_kernel_count == 2, "another shape compiles again"


@pytest.mark.usefixtures("without_inductor", "kernels")
def test_every_other_call_is_as_without() -> None:
    surrogate = definitions.FastSigmoid(scale=12.5)
    v, c = potentials(torch.float32, 40)
    scale = torch.tensor(12.5, requires_grad=True)
    by_v, by_scale = torch.autograd.grad(spike(v, surrogate, scale=scale), (v, scale), c)
    (of_gradient,) = torch.autograd.grad(torch.autograd.grad(spike(v, surrogate), v, c, create_graph=True)[0].sum(), v)
    by_column = torch.autograd.grad(spike(v.view(8, 5).t(), surrogate), v, c.view(8, 5).t())[0]
    by_each = torch.func.vmap(torch.func.grad(lambda x, y: y * spike(x, surrogate)))(v.detach(), c)
    with set_compiled_kernels(False):
        expected = torch.autograd.grad(spike(v, surrogate, scale=scale), (v, scale), c)
        second = torch.autograd.grad(torch.autograd.grad(spike(v, surrogate), v, c, create_graph=True)[0].sum(), v)[0]
    assert torch.equal(by_v, expected[0])
    assert torch.equal(by_scale, expected[1])
    assert torch.equal(of_gradient, second)
    assert torch.equal(by_column, by_v)
    assert torch.equal(by_each, by_v)


def test_off_at_first_and_restored() -> None:
    assert not compiled._enabled
    with set_compiled_kernels(True):
        with set_compiled_kernels(False):
            assert not compiled._enabled
        assert compiled._enabled
    assert not compiled._enabled
    set_compiled_kernels(True)
    assert compiled._enabled
    set_compiled_kernels(False)


def test_contexts_may_end_in_any_order() -> None:
    """Each has its own switch; the one that was opened last, of those that are open, counts."""
    first, second = set_compiled_kernels(True), set_compiled_kernels(True)
    set_compiled_kernels(False)
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert compiled._enabled
    second.__exit__()
    assert not compiled._enabled


def test_one_context_many_times() -> None:
    on = set_compiled_kernels(True)
    assert compiled._enabled
    for _ in range(2):
        with on:
            with on, set_compiled_kernels(False):
                assert not compiled._enabled
            assert compiled._enabled
        assert not compiled._enabled


def test_a_call_within_a_context_holds_until_its_end() -> None:
    with set_compiled_kernels(True):
        set_compiled_kernels(False)
        assert not compiled._enabled
        with set_compiled_kernels(True):
            assert compiled._enabled
        assert not compiled._enabled
    assert not compiled._enabled
    kept = set_compiled_kernels(True)
    set_compiled_kernels(True)
    with kept:
        set_compiled_kernels(False)
    assert compiled._enabled, "the later call outside counts"
    set_compiled_kernels(False)


def test_the_switch_as_a_decorator() -> None:
    @set_compiled_kernels(True)
    def switched(depth: int) -> list[bool]:
        return [compiled._enabled, *(switched(depth - 1) if depth else [])]

    @set_compiled_kernels(True)
    def steps() -> Iterator[bool]:
        try:
            sent = yield compiled._enabled
            assert sent == "sent"
            yield compiled._enabled
        except KeyError:
            yield compiled._enabled
        finally:
            ends.append(compiled._enabled)

    ends: list[bool] = []
    assert not compiled._enabled
    assert switched(2) == [True, True, True]
    assert switched.__name__ == "switched"
    for leave in ("send", "throw", "close"):
        generator: Any = steps()
        assert next(generator)
        assert not compiled._enabled, "while a generator waits"
        if leave == "send":
            assert generator.send("sent")
            assert next(generator, "end") == "end"
        elif leave == "throw":
            assert generator.throw(KeyError("thrown"))
            assert list(generator) == []
        else:
            generator.close()
    assert ends == [True, True, True]
    assert not compiled._enabled


def test_contexts_of_generators_and_threads() -> None:
    def waiting() -> Iterator[None]:
        with set_compiled_kernels(True):
            yield

    generators = [waiting() for _ in range(3)]
    for each in generators:
        next(each)
    for each in generators:
        assert compiled._enabled
        list(each)
    assert not compiled._enabled

    def switch() -> None:
        for i in range(200):
            with set_compiled_kernels(i % 2 == 0):
                pass

    threads = [threading.Thread(target=switch) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not compiled._enabled
    assert len(compiled._open) == 1


@every_surrogate
@pytest.mark.usefixtures("without_inductor", "kernels")
def test_the_spikes_may_be_changed_in_place(name: str) -> None:
    """As without kernels: no view, and a change of what is kept is an error at backward, not a wrong number."""
    v, c = potentials(torch.float32, 5, 7, 3)
    expected = both(definitions.get(name), v, c)
    spikes = spike(v, definitions.get(name))
    assert not spikes._is_view()
    spikes.mul_(2.0)
    assert torch.equal(spikes, 2 * expected[0])
    if KNOWN[name].kept is Kept.SPIKES:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(spikes, v, c)
    else:
        (found,) = torch.autograd.grad(spikes, v, c)
        torch.testing.assert_close(found, 2 * expected[1])
        assert not found._is_view()


@pytest.fixture
def memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs with what a kernel sees of its arrays: their memory."""

    def compiled(graph: torch.fx.GraphModule, **named: bool) -> Callable[..., Any]:
        negated = torch._neg_view  # pyright: ignore[reportPrivateImportUsage]
        return lambda *arrays: graph(*(negated(x) if x.is_neg() else x for x in arrays))

    monkeypatch.setattr(torch, "compile", compiled)
    forget_calls()


@every_surrogate
@pytest.mark.usefixtures("memory_alone", "kernels")
def test_a_sign_that_is_not_in_memory(name: str) -> None:
    """A lazy conjugate's imaginary part is a view whose negative bit is set, as potential and as cotangent."""
    v, c = potentials(torch.float32, 64)
    v = v.detach()
    expected = both(definitions.get(name), v.clone().requires_grad_(), c)
    lazy_v, lazy_c = (torch.complex(torch.zeros_like(x), -x).conj().imag for x in (v, c))
    assert lazy_v.is_neg()
    for x in (v.clone(), lazy_v):
        found = both(definitions.get(name), x.detach().requires_grad_(), lazy_c)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=4 * torch.finfo(torch.float32).eps, atol=0)


@pytest.mark.usefixtures("without_inductor")
def test_few_elements_on_a_cpu_go_without() -> None:
    v, c = potentials(torch.float32, 100)
    with set_compiled_kernels(True):
        both(definitions.fast_sigmoid, v, c)
    used = "_compiled_kernels" in vars(call_of(v, definitions.fast_sigmoid, {})[0])
    assert not used


@every_surrogate
def test_no_tensor_of_another_device(name: str) -> None:
    """On the meta device, which has no values but refuses to mix, as a GPU does."""
    v = torch.empty(_few_and_more(), device="meta", requires_grad=True)
    spikes, gradient = both(definitions.get(name), v, torch.empty_like(v))
    assert {spikes.device.type, gradient.device.type} == {"meta"}
    assert gradient.shape == v.shape


def _few_and_more() -> int:
    from arcana.torch._eager.masks import FEW

    return FEW + 1


def test_a_call_has_kernels_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "LEAST", 0)
    v = torch.zeros(3)
    call, *_ = call_of(v, definitions.fast_sigmoid, {})
    assert call is not None
    found = []
    for enabled in (False, True, False):
        with set_compiled_kernels(enabled):
            found.append(call.kernels_for(v) is not None)
    assert found == [False, True, False]


@pytest.mark.parametrize("enabled", [None, True, False])
def test_where_kernels_are_wanted(enabled: bool | None) -> None:
    """On a GPU unless somebody has said no; on a CPU where somebody has said yes, for 1,048,576 contiguous elements and more."""

    class Potential(NamedTuple):
        is_cuda: bool
        count: int = 1
        dense: bool = True

        @property
        def is_cpu(self) -> bool:
            return not self.is_cuda

        def numel(self) -> int:
            return self.count

        def is_contiguous(self) -> bool:
            return self.dense

    few, many, strided = 1_048_575, 1_048_576, False
    with set_compiled_kernels(enabled):
        on_gpu = [Potential(True, few), Potential(True, many), Potential(True, few, strided)]
        assert [compiled.wanted(v) for v in on_gpu] == [enabled is not False] * 3
        assert [compiled.compiler_wanted(v) for v in on_gpu] == [enabled is True, enabled is True, False]
        on_cpu = [Potential(False, few), Potential(False, many), Potential(False, many, strided)]
        for wanted in (compiled.wanted, compiled.compiler_wanted):
            assert [wanted(v) for v in on_cpu] == [False, enabled is True, False]
        call = copy.copy(call_of(torch.zeros(3), FastSigmoid(), {})[0])
        for written in ("written", None):
            vars(call).update(_cuda_kernels=written, _compiled_kernels="compiled")
            compiles = ["compiled" if enabled else None]
            expected = [None] * 3 if enabled is False else [written] * 3 if written else [*compiles * 2, None]
            assert [call.kernels_for(v) for v in on_gpu] == expected
            assert [call.kernels_for(v) for v in on_cpu] == [None, *compiles, None]
        call.program = None
        assert [call.kernels_for(v) for v in (*on_gpu, *on_cpu)] == [None] * 6


def test_of_parameters_as_tensors_the_compilers_kernels_know_nothing() -> None:
    call, *_ = call_of(torch.zeros(3), FastSigmoid(), {"scale": torch.tensor(3.0)})
    assert call.program is not None
    assert call._compiled_kernels is None
