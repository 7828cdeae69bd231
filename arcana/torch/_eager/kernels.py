"""Compiled kernels for eager calls, and the switch: one forward and one backward, by torch.compile's own compiler from the trace.

On a CUDA GPU the kernels are those of `cuda`.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any, Self, TypeVar

import torch

from arcana.torch._eager.program import Program

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

LEAST = 1 << 20
"""Elements from which on a CPU some kernel saves more than the guards of a compiled call cost."""


class set_compiled_kernels:  # noqa: N801  (a function that is a context manager too, like torch.set_grad_enabled)
    """Whether eager calls run one compiled kernel forward and one backward. Also a context manager.

    The operations of a surrogate, which eager PyTorch runs one after the other, become one pass over memory. At first (`None`)
    that is so on a CUDA GPU where Triton is installed, as it is with PyTorch's wheels for Linux, and nowhere else. With `True`
    it is so on a CPU too, for contiguous v of 1,048,576 elements and more and parameters that are numbers, by C++ that
    torch.compile's compiler writes. With `False` it is so nowhere.

    A kernel serves reverse mode; every other call is as without it. The first call of a surrogate in a dtype compiles: some
    tenths of a second on a GPU, some seconds on a CPU, where it takes a C++ compiler. On a GPU the bits are those of PyTorch's
    operations there, but for the last bits of power and arctangent; each kernel is compared with them once before it is used.
    On a CPU the gradients are those of torch.compile: the same bits for the rational and piecewise surrogates, and within the
    same bound for the others.

    Called, it sets the switch of the innermost context that is open, or the switch outside of all. As a context it has a switch
    of its own, gone when the context ends: in whatever order contexts end, those that are still open are as they were, and after
    the last the switch is what it was. As a decorator, of generators too, it is a context around each call.

    Args:
        enabled: True, False or None, for calls from now on, of every thread. A backward pass goes as its forward did.

    >>> import torch
    >>> from arcana.torch import fast_sigmoid, set_compiled_kernels
    >>> with set_compiled_kernels(False):
    ...     fast_sigmoid(torch.tensor([-0.5, 0.5]))
    tensor([0., 1.])
    """

    def __init__(self, enabled: bool | None) -> None:
        self._value = None if enabled is None else bool(enabled)
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
        """Return a function that runs under this switch, as a decorator does."""
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
        """Run the generator with the switch set while it runs, and not while it waits."""
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

    def __init__(self, value: bool | None) -> None:
        self.value = value
        self.set_by: set_compiled_kernels | None = None


_open = [_Switch(None)]
_lock = threading.RLock()
_enabled: bool | None = None


def _look() -> None:
    global _enabled
    _enabled = _open[-1].value


def wanted(v: torch.Tensor) -> bool:
    """Whether a call on v may run as one kernel each way; on a GPU it may unless somebody has said no."""
    if not _enabled:
        return _enabled is None and v.is_cuda
    return v.is_cuda or compiler_wanted(v)


def compiler_wanted(v: torch.Tensor) -> bool:
    """Whether a call on v may use the kernels of torch.compile's own compiler."""
    return bool(_enabled) and (v.numel() >= LEAST or not v.is_cpu) and v.is_contiguous()


class CompiledKernels:
    """The two kernels of a program; they see flat arrays, so one compilation serves every shape."""

    def __init__(self, program: Program, constants: list[torch.Tensor]) -> None:
        self._fire, self._pull = (torch.compile(each, fullgraph=True, dynamic=True) for each in program.plain())
        self._constants = constants

    def fire(self, v: torch.Tensor) -> list[torch.Tensor]:
        """Return the spikes, and the comparison if it is kept."""
        # Not a view, which autograd would not let anybody change in place.
        spikes, *mask = (each.view(v.shape).data for each in self._fire(_flat(v), *self._constants))
        return [spikes, *(each.view(torch.bool) for each in mask)]

    def pull(self, kept: Any, tensors: Any, cotangent: torch.Tensor) -> torch.Tensor:
        """Return cotangent · h; there are no tensors among the parameters."""
        kept = [each.view(torch.int8) if each.dtype is torch.bool else each for each in kept]
        return self._pull(*map(_flat, (*kept, cotangent)), *self._constants)[0].view(cotangent.shape).data


def _flat(x: torch.Tensor) -> torch.Tensor:
    # Not `detach`, whose result is a view: torch.compile guards on the shape that a view was taken of. And with its sign in
    # memory, which is all that a kernel sees.
    return x.resolve_neg().reshape(-1).data
