"""Every call of a spike function, ours or any library's, for `recording` of `arcana.testing`.

Ours are met in `Call` and `Composable`, and all others in `forward` of a torch.autograd.Function, without which none of them has
a surrogate gradient; not in `apply`, which a network may have bound before. The methods are replaced while a context is open and
put back after it, so a call costs nothing more else.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch

from arcana.torch._call import Call
from arcana.torch._compat import dispatch_modes, in_backward, plain, without_transforms
from arcana.torch._function import Composable
from arcana.torch.arrays import Array, to_numpy

Place = Callable[[Any, str], Hashable]
Keep = Callable[[Hashable, Array, Array], None]

QUIET = (("snntorch", "SpikingNeuron", "mem_reset"),)
"""Methods that ask a spike function again, for the reset: by package, class and name, with those of the class's heirs."""

MARGINS: dict[str, Callable[..., torch.Tensor]] = {"sinabs": lambda v, *given: v - given[-2]}
"""Potential minus threshold by package, where a Function is given both: Sinabs has the threshold before the surrogate."""


class _Watch:
    """One open context: it sees a call, but none inside another; what it has changed is put back when its stack closes."""

    def __init__(self, place: Place, keep: Keep, stack: contextlib.ExitStack) -> None:
        self.place, self.keep, self.stack = place, keep, stack
        self.inside = False
        self.met: set[type] = set()

    def change(self, owner: Any, name: str, value: Any) -> None:
        self.stack.enter_context(mock.patch.object(owner, name, value))

    def quiet(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, in which no call is seen."""

        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            before, self.inside = self.inside, True
            try:
                return function(*given, **named)
            finally:
                self.inside = before

        return called

    def seen(self, function: Callable[..., Any], name: str, margin: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """Return the function, whose calls are seen: of its first tensor of floats, or of what `margin` makes of it."""
        quiet = self.quiet(function)

        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            result = quiet(*given, **named)
            spikes = result[0] if isinstance(result, tuple) else result
            v = next((each for each in given if isinstance(each, torch.Tensor) and each.is_floating_point()), None)
            if v is not None and isinstance(spikes, torch.Tensor) and spikes.shape == v.shape:
                self.fired(v, spikes, name, lambda: v if margin is None else margin(v, *given))
            return result

        return called

    def fired(self, v: torch.Tensor, spikes: torch.Tensor, name: str, margin: Callable[[], torch.Tensor]) -> None:
        # The forward pass of a checkpoint is done again in the backward pass; a compiler's tensors have no numbers.
        if self.inside or in_backward() or torch.compiler.is_compiling() or dispatch_modes():
            return
        key = self.place(v, name)
        if key is not None:
            with without_transforms(), torch.no_grad():
                arrays = [np.array(to_numpy(plain(x))) for x in (margin(), spikes)]
            self.keep(key, *arrays)

    def meet(self, function: type[torch.autograd.Function]) -> None:
        """See the calls of a Function from now on."""
        if function in self.met or "forward" not in vars(function):
            return
        self.met.add(function)
        package = function.__module__.partition(".")[0]
        if package == "torch" or (package == "arcana" and function is not Composable):
            return
        forward = self.seen(function.forward, f"{function.__module__}.{function.__qualname__}", MARGINS.get(package))
        self.change(function, "forward", staticmethod(forward))


@contextlib.contextmanager
def watched(place: Place, keep: Keep, functions: Sequence[tuple[Any, str]] = ()) -> Iterator[None]:
    """See every call of a spike function while the context is open.

    Args:
        place: takes the potential minus threshold and the name of the function, where it is called, and returns a key; None
            leaves the call out.
        keep: takes the key, and potentials minus thresholds and spikes as arrays of their own.
        functions: other functions of v − threshold, each as the object that it hangs on and its name there.
    """
    with contextlib.ExitStack() as stack:
        watch = _Watch(place, keep, stack)
        for function in _heirs(torch.autograd.Function):
            watch.meet(function)
        apply: Any = torch.autograd.Function.__dict__["apply"].__func__

        @functools.wraps(apply)
        def met(function: type[torch.autograd.Function], *given: Any, **named: Any) -> Any:
            watch.meet(function)
            return apply(function, *given, **named)

        # For a Function that is defined while the context is open.
        watch.change(torch.autograd.Function, "apply", classmethod(met))
        for name in ("fire", "forward"):
            watch.change(Call, name, watch.seen(getattr(Call, name), "arcana"))
        for owner, name in functions:
            watch.change(owner, name, watch.seen(getattr(owner, name), name))
        for package, kind, name in QUIET:
            for each in _heirs(getattr(sys.modules.get(package), kind, None)):
                if name in vars(each):
                    watch.change(each, name, watch.quiet(vars(each)[name]))
        yield


def _heirs(kind: type | None) -> list[type]:
    return [] if kind is None else [kind, *(each for heir in kind.__subclasses__() for each in _heirs(heir))]
