"""Classes of one's own live as long as somebody needs them: a backward pass that is to come does, a cache does not."""

from __future__ import annotations

import gc
import pathlib
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from arcana.surrogate import Surrogate, parameter
from arcana.torch import spike


def make(factor: float) -> type[Surrogate]:
    """A class with h = factor, as a cell of a notebook makes it anew each time it is run."""

    class Mine(Surrogate):
        width: float = parameter(1.0, above=0)

        @staticmethod
        def derivative(v, xp, *, width):
            return xp.zeros_like(v) + factor * width

        @staticmethod
        def primitive(v, xp, *, width):
            return v * (factor * width) + 0.5

    return Mine


class Tagged(torch.Tensor):
    pass


def _mode(v: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False):
        return spike(v, surrogate)


def _traced(v: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
    traced: Any = torch.jit.trace(lambda x: spike(x, surrogate), v)
    return traced(v)


FORWARD: dict[str, Callable[[torch.Tensor, Surrogate], torch.Tensor]] = {
    "plain": spike,
    "learnable": lambda v, s: spike(v, s, width=torch.ones((), requires_grad=True)),
    "number": lambda v, s: spike(v, s, width=1),
    "vmap": lambda v, s: torch.func.vmap(s)(v),
    "dispatch mode": _mode,
    "subclass": lambda v, s: spike(v.as_subclass(Tagged), s),
    "checkpoint": lambda v, s: checkpoint(s, v, use_reentrant=False),  # pyright: ignore[reportReturnType]
    "compiled": lambda v, s: torch.compile(lambda x: spike(x, s), backend="aot_eager", fullgraph=True)(v),
    "jit.trace": _traced,
}


@pytest.mark.usefixtures("quick_collection")
@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("way", FORWARD)
def test_a_class_that_is_gone_before_the_backward_pass(way: str, other: bool) -> None:
    """Neither is it missed, nor is another of the same name taken for it."""
    torch.compiler.reset()
    v = torch.zeros(3, requires_grad=True)
    spikes = FORWARD[way](v, make(2.0)())
    gc.collect()
    later = make(100.0) if other else None
    (found,) = torch.autograd.grad(spikes.sum(), v)
    assert torch.equal(found.as_subclass(torch.Tensor), torch.full((3,), 2.0))
    if later is not None:
        (found,) = torch.autograd.grad(FORWARD[way](v, later()).sum(), v)
        assert torch.equal(found.as_subclass(torch.Tensor), torch.full((3,), 100.0))


def _first(v: torch.Tensor, s: Surrogate) -> Any:
    return torch.autograd.grad(spike(v, s).sum(), v)


def _all_ways(definition: type[Surrogate], v: torch.Tensor) -> None:
    surrogate, width = definition(), torch.ones((), requires_grad=True)
    _first(v, surrogate)
    torch.autograd.grad(spike(v, surrogate, width=width).sum(), (v, width))
    spike(v, surrogate, width=2.0)
    spike(v, surrogate, gain=3)
    torch.func.grad(lambda x: surrogate(x).sum())(v.detach())
    torch.func.jvp(surrogate, (v.detach(),), (torch.ones_like(v),))
    definition(width=0.5).derivative(v)


def alive_of_thirty() -> int:
    """How many of 30 classes are alive when nobody needs them any more."""
    v = torch.zeros(3, requires_grad=True)
    alive = []
    for i in range(30):
        definition = make(i + 1.0)
        alive.append(weakref.ref(definition))
        _all_ways(definition, v)
    del definition
    gc.collect()
    return sum(each() is not None for each in alive)


def bytes_kept_by_thirty() -> int:
    """How far the memory in use has grown after 30 classes."""
    v = torch.zeros(3, requires_grad=True)

    def use(count: int) -> None:
        for i in range(count):
            _all_ways(make(i + 1.0), v)
        gc.collect()

    use(15)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    use(30)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown


def test_no_cache_keeps_a_class_alive() -> None:
    # In a process of its own, where JAX has registered no class as a pytree.
    program = "import test_lifetimes as here; print(here.alive_of_thirty(), here.bytes_kept_by_thirty())"
    folder = pathlib.Path(__file__).parent
    process = subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, capture_output=True, text=True)
    alive, grown = map(int, process.stdout.split())
    assert alive == 0
    assert grown < 30 * 8000


def test_a_subclass_has_caches_of_its_own() -> None:
    """What was found for a class is not what another one inherits."""
    base = make(2.0)
    v = torch.zeros(3, requires_grad=True)
    assert torch.equal(_first(v, base())[0], torch.full((3,), 2.0))

    class Derived(base):
        @staticmethod
        def derivative(v, xp, *, width):
            return xp.zeros_like(v) + 5 * width

    assert torch.equal(_first(v, Derived())[0], torch.full((3,), 5.0))
    assert torch.equal(_first(v, base())[0], torch.full((3,), 2.0))


def test_a_slope_that_changes_at_every_step_is_not_kept_for_ever() -> None:
    surrogate = make(1.0)()
    v = torch.zeros(3, requires_grad=True)
    for i in range(3000):
        spikes = spike(v, surrogate, width=1 + i / 1000)
    (cache,) = (each for each in surrogate._calls.values() if hasattr(each, "cache_info"))
    assert cache.cache_info().currsize <= 1024
    assert torch.equal(torch.autograd.grad(spikes.sum(), v)[0], torch.full((3,), 3.999))
    with pytest.raises(TypeError, match=r"width must be .*True"):
        spike(v, surrogate, width=True)
