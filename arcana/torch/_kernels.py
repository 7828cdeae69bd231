"""Compiled kernels for eager calls: one forward and one backward, by torch.compile's own compiler from the definition's trace."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any, Self, TypeVar

import torch

from arcana.torch._program import Program

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

LEAST = 1 << 20
"""Elements from which on a CPU some kernel saves more than the guards of a compiled call cost."""


class set_compiled_kernels:  # noqa: N801  (a function that is a context manager too, like torch.set_grad_enabled)
    """Whether eager calls run one compiled kernel forward and one backward; off at first. Also a context manager.

    The operations of a surrogate, which eager PyTorch runs one after the other, become one pass over memory: C++ on a CPU,
    Triton on a GPU. The first call of a surrogate in a dtype compiles for some seconds and needs a C++ compiler, or Triton.
    Used for contiguous v (on a CPU of 1,048,576 elements and more) and parameters that are numbers, in reverse mode; every
    other call is as without it. Gradients are those of torch.compile: the same bits for the rational and piecewise
    surrogates, and within the same bound for the others.

    Called, it sets the switch of the innermost context that is open, or the switch outside of all. As a context it has a switch
    of its own, gone when the context ends: in whatever order contexts end, those that are still open are as they were, and after
    the last the switch is what it was. As a decorator, of generators too, it is a context around each call.

    Args:
        enabled: whether calls from now on, of every thread, use compiled kernels. A backward pass goes as its forward did.
    """

    def __init__(self, enabled: bool) -> None:
        self._value = bool(enabled)
        self._opened: list[_Switch] = []
        with _lock:
            self._called: _Switch | None = _open[-1]
            self._before = self._called.value, self._called.set_by
            self._called.value, self._called.set_by = self._value, self
            _look()

    def _not_called(self) -> None:
        """Take back what making this object has set, unless another call has set it since: it is a context or a decorator."""
        if self._called is not None and self._called.set_by is self:
            self._called.value, self._called.set_by = self._before
        self._called = None
        _look()

    def __enter__(self) -> Self:
        with _lock:
            self._not_called()
            self._opened.append(_Switch(self._value))
            _open.append(self._opened[-1])
            _look()
        return self

    def __exit__(self, *error: object) -> None:
        with _lock:
            _open.remove(self._opened.pop())
            _look()

    def __call__(self, function: FunctionT) -> FunctionT:
        with _lock:
            self._not_called()
        if inspect.isgeneratorfunction(function):
            return functools.wraps(function)(lambda *given, **named: self._steps(function(*given, **named)))  # pyright: ignore[reportReturnType]

        @functools.wraps(function)
        def within(*given: Any, **named: Any) -> Any:
            with self:
                return function(*given, **named)

        return within  # pyright: ignore[reportReturnType]

    def _steps(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The generator with the switch set while it runs, and not while it waits."""
        resume = functools.partial(next, generator)
        while True:
            try:
                with self:
                    value = resume()
            except StopIteration as end:
                return end.value
            try:
                resume = functools.partial(generator.send, (yield value))
            except GeneratorExit:
                with self:
                    generator.close()
                raise
            except BaseException as error:
                resume = functools.partial(generator.throw, error)


class _Switch:
    """The switch of one context; the last one that is open is read."""

    def __init__(self, value: bool) -> None:
        self.value = value
        self.set_by: set_compiled_kernels | None = None


_open = [_Switch(False)]
_lock = threading.RLock()
_enabled = False


def _look() -> None:
    global _enabled
    _enabled = _open[-1].value


def wanted(v: torch.Tensor) -> bool:
    """Whether a call on v may use compiled kernels."""
    return _enabled and (v.numel() >= LEAST or not v.is_cpu) and v.is_contiguous()


class Kernels:
    """The two kernels of a program; they see flat arrays, so one compilation serves every shape."""

    def __init__(self, program: Program) -> None:
        self._fire, self._pull = (torch.compile(each, fullgraph=True, dynamic=True) for each in program.plain())

    def fire(self, v: torch.Tensor, constants: list[torch.Tensor]) -> list[torch.Tensor]:
        """The spikes, and the comparison if it is kept."""
        # Not a view, which autograd would not let anybody change in place.
        spikes, *mask = (each.view(v.shape).data for each in self._fire(_flat(v), *constants))
        return [spikes, *(each.view(torch.bool) for each in mask)]

    def pull(self, kept: Any, cotangent: torch.Tensor, constants: list[torch.Tensor]) -> torch.Tensor:
        """cotangent · h."""
        kept = [each.view(torch.int8) if each.dtype is torch.bool else each for each in kept]
        return self._pull(*map(_flat, (*kept, cotangent)), *constants)[0].view(cotangent.shape).data


def _flat(x: torch.Tensor) -> torch.Tensor:
    # Not `detach`, whose result is a view: torch.compile guards on the shape that a view was taken of. And with its sign in
    # memory, which is all that a kernel sees.
    return x.resolve_neg().reshape(-1).data
