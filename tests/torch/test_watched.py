"""Calls of spike functions as `watched` sees them: which, where potential − threshold is, and that nothing stays changed."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from arcana.rules import Integer, Stochastic
from arcana.surrogate import FastSigmoid, Sigmoid
from arcana.torch import _rules, fast_sigmoid, spike
from arcana.torch._call import Call
from arcana.torch._function import Composable
from arcana.torch.spikes import watched

Seen = list[tuple[str, list[Any], list[Any]]]


@contextlib.contextmanager
def seen(**more: Any) -> Iterator[Seen]:
    """The names of the functions that are called, with potentials − thresholds and spikes."""
    found: Seen = []
    with watched(lambda v, name: name, lambda name, v, spikes: found.append((name, v.tolist(), spikes.tolist())), **more):
        yield found


class Threshold(torch.autograd.Function):
    """A user's own, of a potential after something else, which gives a tuple."""

    @staticmethod
    def forward(ctx: Any, count: int, v: torch.Tensor, scale: float) -> tuple[torch.Tensor, int]:
        ctx.save_for_backward(v)
        ctx.scale = scale
        return (v >= 0).to(v.dtype), count

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> Any:
        (v,) = ctx.saved_tensors
        return None, cotangents[0] / (1 + ctx.scale * v.abs()) ** 2, None


class Summed(torch.autograd.Function):
    """No spike function: its result has another shape."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor) -> torch.Tensor:
        return v.sum()


NAME = f"{__name__}.Threshold"
V = torch.tensor([-0.5, 0.5])


def test_ours_by_a_rule_and_a_users_own() -> None:
    """Also by an `apply` that was bound before."""
    v, bound = V.clone().requires_grad_(), Threshold.apply
    with seen() as found:
        fast_sigmoid(v)
        fast_sigmoid(V)
        spike(V + 1, FastSigmoid(), rule=Integer(3))
        bound(7, V, 2.0)
        Summed.apply(V)
        torch.func.grad(lambda x: fast_sigmoid(x).sum())(V)
    assert found == [
        ("arcana", [-0.5, 0.5], [0.0, 1.0]),
        ("arcana", [-0.5, 0.5], [0.0, 1.0]),
        ("arcana.rules", [0.5, 1.5], [1.0, 2.0]),
        (NAME, [-0.5, 0.5], [0.0, 1.0]),
        ("arcana.torch._function.Composable", [-0.5, 0.5], [0.0, 1.0]),
    ]


def state_after(seed: int, draws: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    torch.rand(draws, generator=generator)
    return generator.get_state()


def test_derivatives_are_seen_too() -> None:
    """Of ours by the definition, of a user's own by its backward, and none of them is a call by itself."""
    slopes: list[tuple[str, list[float]]] = []
    v = V.clone().requires_grad_()
    functions = types.SimpleNamespace(plain=lambda v: v.clamp(0, 1))
    with seen(functions=[(functions, "plain")], keep_slopes=lambda name, v, h: slopes.append((name, h.tolist()))) as found:
        fast_sigmoid(v, scale=2.0)
        Threshold.apply(7, v, 2.0)
        spike(v, FastSigmoid(scale=2.0), rule=Integer(2))
        functions.plain(v)
        draws = torch.Generator().manual_seed(1)
        spike(v, Sigmoid(slope=4.0), rule=Stochastic(), random=draws)
    assert torch.equal(draws.get_state(), state_after(1, 2)), "numbers are drawn once"
    names = ["arcana", NAME, "arcana.rules", "plain", "arcana.rules"]
    assert [name for name, *_ in found] == [name for name, _ in slopes] == names
    # h = 1/(1 + 2·|v|)² at −1/2 and 1/2, for counts that at v − 1 too, and σ′ = 4·σ·(1 − σ) at ±2 for the logistic σ.
    logistic = 1 / (1 + np.exp(-2.0))
    right = [[0.25, 0.25], [0.25, 0.25], [0.25 + 1 / 16, 0.25 + 0.25], [0.0, 1.0], [4 * logistic * (1 - logistic)] * 2]
    for (_, h), expected in zip(slopes, right, strict=True):
        np.testing.assert_allclose(h, expected, rtol=1e-6)


def test_a_function_that_is_made_while_one_looks() -> None:
    with seen() as found:

        class Later(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, v: torch.Tensor) -> torch.Tensor:
                return (v > 0).to(v.dtype)

        Later.apply(V)
        Later.apply(V)
    assert [name.rpartition(".")[2] for name, *_ in found] == ["Later", "Later"]
    Later.apply(V)
    assert len(found) == 2


def test_a_call_that_has_no_place_is_left_out() -> None:
    found: list[str] = []
    with watched(lambda v, name: None if name == "arcana" else name, lambda name, *_: found.append(name)):
        fast_sigmoid(V)
        Threshold.apply(7, V, 2.0)
    assert found == [NAME]


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_forward_pass_that_is_done_again_is_not_seen_again(reentrant: bool) -> None:
    """Nor is the function of PyTorch's own by which it is done."""
    v = V.clone().requires_grad_()
    with seen() as found:
        checkpoint(lambda v: fast_sigmoid(v) + Threshold.apply(7, v, 2.0)[0], v, use_reentrant=reentrant).sum().backward()
    assert [name for name, *_ in found] == ["arcana", NAME]


def test_a_function_without_a_gradient_has_a_derivative_of_zero() -> None:
    class Still(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, v: torch.Tensor) -> torch.Tensor:
            return (v >= 0).to(v.dtype)

        @staticmethod
        def backward(ctx: Any, cotangent: torch.Tensor) -> None:
            return None

    slopes: list[Any] = []
    with seen(keep_slopes=lambda name, v, h: slopes.append(h.tolist())):
        Still.apply(V)
    assert slopes == [[0.0, 0.0]]


def test_of_sinabs_the_threshold_is_taken_off() -> None:
    """Its functions are given the potential, the threshold and the surrogate, which is the last; a state may come between."""

    class Single(torch.autograd.Function):
        __module__ = "sinabs.activation.spike_generation"

        @staticmethod
        def forward(ctx: Any, v: torch.Tensor, *more: Any) -> torch.Tensor:
            return (v >= more[-2]).to(v.dtype)

    with seen() as found:
        Single.apply(V, 0.25, "surrogate")
        Single.apply(V, "state", 0.5, "surrogate")
    assert [rest for _, *rest in found] == [[[-0.75, 0.25], [0.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]]


def test_of_snntorch_the_reset_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the spike function again, in a method of the class or of an heir."""

    class SpikingNeuron:
        def mem_reset(self, v: torch.Tensor) -> torch.Tensor:
            return fast_sigmoid(v)

        def fire(self, v: torch.Tensor) -> torch.Tensor:
            return fast_sigmoid(v)

    class Leaky(SpikingNeuron):
        pass

    class Own(Leaky):
        def mem_reset(self, v: torch.Tensor) -> torch.Tensor:
            return 2 * fast_sigmoid(v)

    library = types.ModuleType("snntorch")
    library.SpikingNeuron = SpikingNeuron
    monkeypatch.setitem(sys.modules, "snntorch", library)
    before = vars(SpikingNeuron)["mem_reset"], vars(Own)["mem_reset"]
    with seen() as found:
        assert [each().mem_reset(V).tolist() for each in (SpikingNeuron, Leaky, Own)] == [[0.0, 1.0], [0.0, 1.0], [0.0, 2.0]]
        assert found == []
        Own().fire(V)
        assert len(found) == 1
    assert (vars(SpikingNeuron)["mem_reset"], vars(Own)["mem_reset"]) == before
    assert "mem_reset" not in vars(Leaky)


def test_outputs_of_modules() -> None:
    """The first tensor of floats that a module on a path returns, each time that it is called, until the context ends."""

    class Several(torch.nn.Module):
        def forward(self, v: torch.Tensor) -> tuple[Any, ...]:
            return "text", torch.ones(2, dtype=torch.int64), 2 * v, 3 * v

    class Nothing(torch.nn.Module):
        def forward(self, v: torch.Tensor) -> str:
            return "text"

    kept: list[tuple[str, Any]] = []
    modules = {"several": Several(), "one": torch.nn.ReLU(), "nothing": Nothing(), "other": torch.nn.ReLU(), "no module": abs}
    modules["same"] = torch.nn.Identity()
    outputs = (["several", "one", "nothing", "no module", "same"], lambda path: None, lambda path, x: kept.append((path, x)))
    with seen(modules=modules, outputs=outputs) as found:
        for path, module in modules.items():
            if path not in ("no module", "same"):
                module(V)
        torch.func.vmap(modules["one"])(V[:, None])
        x = V.clone()
        modules["same"](x)
        x.zero_()
        checkpoint(modules["one"], V.clone().requires_grad_(), use_reentrant=False).sum().backward()
    for path in ("several", "one"):
        modules[path](V)
    once = ("one", [0.0, 0.5])
    found_outputs = [(path, x.tolist()) for path, x in kept]
    assert found_outputs == [("several", [-1.0, 1.0]), once, ("one", [[0.0], [0.5]]), ("same", [-0.5, 0.5]), once]
    assert found == []


def test_what_is_changed_is_put_back() -> None:
    def state() -> list[Any]:
        places = (torch.autograd.Function, "apply"), (Call, "fire"), (Call, "forward"), (_rules, "ruled"), (Composable, "forward")
        return [vars(owner)[name] for owner, name in (*places, (Threshold, "forward"))]

    before = state()
    with contextlib.suppress(KeyError), seen():
        assert not any(one is other for one, other in zip(before, state(), strict=True))
        raise KeyError
    assert all(one is other for one, other in zip(before, state(), strict=True))


def test_arrays_are_of_their_own_and_axes_of_vmaps_come_first() -> None:
    kept: list[Any] = []
    v = torch.arange(6.0).view(2, 3) - 2
    expected = v.clone()
    with watched(lambda v, name: name, lambda name, *arrays: kept.append(arrays)):
        fast_sigmoid(v)
        torch.func.vmap(torch.func.vmap(fast_sigmoid), in_dims=1)(v)
        torch.func.vmap(fast_sigmoid, in_dims=1)(v)
        torch.func.vmap(torch.func.vmap(fast_sigmoid, in_dims=1))(v[None].expand(4, 2, 3))
    v.zero_()
    for (margins, spikes), right in zip(kept, (expected, expected.T, expected.T, expected.T.expand(4, 3, 2)), strict=True):
        np.testing.assert_array_equal(margins, right.numpy())
        np.testing.assert_array_equal(spikes, right.numpy() >= 0)
