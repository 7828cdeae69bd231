"""The private functions of torch: each is there under its name, and does what it is read for."""

from __future__ import annotations

import contextlib
import types
from typing import Any

import pytest
import torch
from private import readers, resolve
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from arcana.torch import _compat

BEFORE_2_8 = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 8)

NAMES = [
    "torch._C._are_functorch_transforms_active",
    "torch._C._functorch.is_functorch_wrapped_tensor",
    "torch._C._functorch.is_legacy_batchedtensor",
    "torch._C._len_torch_dispatch_stack",
    "torch._C._get_tracing_state",
    "torch._C._current_graph_task_id",
    "torch._C._DisableFuncTorch",
    "torch._C._functorch.get_unwrapped",
    "torch._C._functorch.maybe_get_bdim",
    "torch._C._functorch.is_batchedtensor",
    "torch._C.DisableTorchFunction",
    "torch._C._autograd._pop_saved_tensors_default_hooks",
    "torch._C._autograd._push_saved_tensors_default_hooks",
    "torch._C._autograd._saved_tensors_hooks_set_tracing",
    "torch.autograd.forward_ad._set_fwd_grad_enabled",
    "torch.autograd.forward_ad._current_level",
    "torch._functorch.eager_transforms._vjp_with_argnums"
    if BEFORE_2_8
    else "torch._C._autograd._top_saved_tensors_default_hooks",
]
V = torch.tensor([-0.5, 0.25, 2.0])


@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_there(name: str) -> None:
    resolve(name)


def test_nothing_else_reads_a_private_name() -> None:
    assert set(readers(("torch", "forward_ad", "functorch"))) == {"torch/_compat.py"}


def test_transforms_active() -> None:
    seen: list[bool] = []
    torch.func.vmap(lambda x: (seen.append(_compat.transforms_active()), x)[1])(V)
    assert (seen, _compat.transforms_active()) == ([True], False)


def test_is_transformed_of_a_tensor_that_outlives_its_transform() -> None:
    kept: list[torch.Tensor] = []
    torch.func.grad(lambda x: (kept.append(x), x.sum())[1])(V)
    assert _compat.is_transformed(kept[0])
    assert not _compat.is_transformed(V)


class Watched(torch.autograd.Function):
    """The identity, which says of its cotangent whether it is a batch."""

    seen: list[bool] = []  # noqa: RUF012

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> torch.Tensor:
        Watched.seen.append(_compat.is_batch_of_cotangents(cotangent))
        return cotangent


def test_is_batch_of_cotangents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watched, "seen", [])
    x = V.clone().requires_grad_()
    y = Watched.apply(x)
    torch.autograd.grad(y, x, torch.eye(3), is_grads_batched=True, retain_graph=True)
    torch.autograd.grad(y, x, torch.ones(3))
    assert Watched.seen == [True, False]


def test_dispatch_modes() -> None:
    with FakeTensorMode():
        assert _compat.dispatch_modes() == 1
    assert _compat.dispatch_modes() == 0


@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is (deprecated|not supported)")
def test_jit_trace() -> None:
    seen: list[bool] = []
    torch.jit.trace(lambda x: (seen.append(_compat.jit_trace() is not None), x + 1)[1], V, check_trace=False)
    assert (seen, _compat.jit_trace()) == ([True], None)


def test_without_function_modes() -> None:
    with torch.device("meta"):
        assert torch.zeros(()).is_meta
        with _compat.without_function_modes():
            assert not torch.zeros(()).is_meta


def test_forward_mode() -> None:
    assert not _compat.in_forward_mode()
    with forward_ad.dual_level():
        assert _compat.in_forward_mode()
        dual = forward_ad.make_dual(V, torch.ones(3))
        with _compat.forward_mode_enabled(False):
            assert forward_ad.unpack_dual(dual * 2).tangent is None
            with _compat.forward_mode_enabled(True):
                assert forward_ad.unpack_dual(dual * 2).tangent.tolist() == [2, 2, 2]


def test_quick_apply() -> None:
    x = V.clone().requires_grad_()
    (found,) = torch.autograd.grad(_compat.quick_apply(Watched)(x), x, V)
    assert found.tolist() == V.tolist()


def test_without_saved_tensor_hooks() -> None:
    packed: list[int] = []
    x = V.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (packed.append(1), t)[1], lambda t: t):
        with _compat.without_saved_tensor_hooks():
            torch.sin(x)
            (found,) = _compat.vjp_without_hooks(torch.sin, V)(torch.ones(3))
        assert packed == []
        torch.sin(x)
    assert packed == [1]
    torch.testing.assert_close(found, torch.cos(V))


def test_hooks_are_put_back_in_their_order() -> None:
    """The inner one sees a tensor that is saved, and the outer one what is left of a context that has ended."""
    packed: list[str] = []

    def hooks(name: str) -> Any:
        return torch.autograd.graph.saved_tensors_hooks(lambda t: (packed.append(name), t)[1], lambda t: t)

    x = V.clone().requires_grad_()
    with hooks("outer"):
        with hooks("inner"):
            with _compat.without_saved_tensor_hooks():
                torch.sin(x)
            torch.sin(x)
        torch.sin(x)
    torch.sin(x)
    assert packed == ["inner", "outer"]


def test_hooks_are_passed_over_where_they_cannot_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before 2.8, also where what runs inside fails."""
    monkeypatch.setattr(_compat, "top_saved_tensor_hooks", None)
    states: list[bool] = [False]

    def pass_over(passed: bool) -> bool:
        states.append(passed)
        return states[-2]

    monkeypatch.setattr(_compat, "pass_over_saved_tensor_hooks", pass_over)
    with contextlib.suppress(KeyError), _compat.without_saved_tensor_hooks():
        assert states == [False, True]
        raise KeyError
    assert states == [False, True, False]
    states[:] = [True]
    with _compat.without_saved_tensor_hooks():
        pass
    assert states == [True, True, True]


def test_a_launcher_hands_over_what_a_compiled_kernel_of_triton_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of one axis, the device's stream, the function and its metadata, no hook, and then the arguments."""
    launched: list[tuple[Any, ...]] = []
    monkeypatch.setattr(_compat, "current_stream", lambda device: f"stream of {device}")
    kernel = types.SimpleNamespace(run=lambda *given: launched.append(given), function="function", packed_metadata="metadata")
    _compat.launcher(kernel)(7, 3, "v", "out")
    assert launched == [(7, 1, 1, "stream of 3", "function", "metadata", None, None, None, "v", "out")]


def test_the_tensor_inside_those_of_nested_transforms() -> None:
    """The axis of each vmap comes first, the outer one's before the inner one's."""
    x = torch.arange(24.0).view(2, 3, 4)
    seen: list[torch.Tensor] = []

    def look(row: torch.Tensor) -> torch.Tensor:
        with _compat.without_transforms():
            seen.append(_compat.plain(row).clone())
        return row.sum()

    torch.func.vmap(torch.func.vmap(torch.func.grad(look), in_dims=1), in_dims=2)(x)
    torch.func.vmap(look, in_dims=1)(x)
    torch.func.vmap(look)(x)
    assert [
        torch.equal(found, expected) for found, expected in zip(seen, (x.permute(2, 1, 0), x.transpose(0, 1), x), strict=True)
    ]
    assert _compat.plain(x) is x


def test_in_backward() -> None:
    x = V.clone().requires_grad_()
    seen: list[bool] = []
    x.register_hook(lambda _: seen.append(_compat.in_backward()))
    (x * 2).sum().backward()
    assert (seen, _compat.in_backward()) == ([True], False)
