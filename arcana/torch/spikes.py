"""Every call of a spike function, ours or any library's, for `recording` of `arcana.testing`.

Ours are met in `Call` and `Composable`, those by a rule in `ruled`, and all others in `forward` of a torch.autograd.Function,
without which none of them has a surrogate gradient; not in `apply`, which a network may have bound before. The methods are
replaced while a context is open and put back after it, so a call costs nothing more else.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch.autograd.function import FunctionCtx

from arcana._core import Surrogate
from arcana.rules import Rule
from arcana.torch import _rules
from arcana.torch._call import Call
from arcana.torch._compat import dispatch_modes, in_backward, plain, without_transforms
from arcana.torch._function import Composable
from arcana.torch.arrays import Array, to_numpy

Place = Callable[[Any, str], Hashable]
Keep = Callable[[Hashable, Array, Array], None]
Outputs = tuple[Sequence[str], Callable[[str], None], Callable[[str, Array], None]]
"""The paths of modules whose output is kept, what is called with a path as it is met, and what takes the path and the output."""

QUIET = (("snntorch", "SpikingNeuron", "mem_reset"),)
"""Methods that ask a spike function again, for the reset: by package, class and name, with those of the class's heirs."""

MARGINS: dict[str, Callable[..., torch.Tensor]] = {"sinabs": lambda v, *given: v - given[-2]}
"""Potential minus threshold by package, where a Function is given both: Sinabs has the threshold before the surrogate."""


class _Watch:
    """One open context: it sees a call, but none inside another; what it has changed is put back when its stack closes."""

    def __init__(self, place: Place, keep: Keep, keep_slopes: Keep | None, stack: contextlib.ExitStack) -> None:
        self.place, self.keep, self.keep_slopes, self.stack = place, keep, keep_slopes, stack
        self.inside = False
        self.met: set[type] = set()

    def change(self, owner: Any, name: str, value: Any) -> None:
        self.stack.enter_context(mock.patch.object(owner, name, value))

    def out_of_graphs(self) -> None:
        """Let compiled code call our spikes from outside its graphs, as it does others' that are seen.

        What was compiled before is compiled anew while the context is open, and what is compiled in it is not used after.
        """
        from arcana.torch import _dynamo

        torch.compiler.reset()
        self.stack.callback(torch.compiler.reset)
        self.change(_dynamo, "composable", torch.compiler.disable(_dynamo.composable))

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

    def seen(
        self,
        function: Callable[..., Any],
        name: str,
        slope: Callable[..., torch.Tensor],
        margin: Callable[..., Any] | None = None,
    ) -> Callable[..., Any]:
        """Return the function, whose calls are seen: of its first tensor of floats, or of what `margin` makes of it.

        `slope` gives the surrogate's derivative there, of the arguments from that tensor on.
        """
        quiet = self.quiet(function)

        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            result = quiet(*given, **named)
            spikes = result[0] if isinstance(result, tuple) else result
            first = next((i for i, each in enumerate(given) if _is_floating(each)), None)
            if first is not None and isinstance(spikes, torch.Tensor) and spikes.shape == given[first].shape:
                v, *rest = given[first:]
                self.fired(v, spikes, name, lambda: margin(v, *rest) if margin else v, lambda: slope(*given[:first], v, *rest))
            return result

        # Compiled code calls a spike function from outside while it is seen.
        return torch.compiler.disable(called) if _compiles() else called

    def fired(
        self,
        v: torch.Tensor,
        spikes: torch.Tensor,
        name: str,
        margin: Callable[[], torch.Tensor],
        slope: Callable[[], torch.Tensor],
    ) -> None:
        # The forward pass of a checkpoint is done again in the backward pass; a compiler's tensors have no numbers.
        if self.inside or in_backward() or torch.compiler.is_compiling() or dispatch_modes():
            return
        key = self.place(v, name)
        if key is None:
            return
        with without_transforms(), torch.no_grad():
            arrays = [np.array(to_numpy(plain(x))) for x in (margin(), spikes)]
        self.keep(key, *arrays)
        if self.keep_slopes is not None:
            self.keep_slopes(key, arrays[0], np.array(to_numpy(self.quiet(slope)())))

    def meet(self, function: type[torch.autograd.Function]) -> None:
        """See the calls of a Function from now on."""
        if function in self.met or "forward" not in vars(function):
            return
        self.met.add(function)
        package = function.__module__.partition(".")[0]
        if package == "torch" or (package == "arcana" and function is not Composable):
            return
        name = f"{function.__module__}.{function.__qualname__}"

        def slope(*given: Any) -> torch.Tensor:
            # A forward without a setup_context has the context before its arguments.
            arguments = [x for x in given if not isinstance(x, FunctionCtx)]
            first = next(i for i, each in enumerate(arguments) if _is_floating(each))
            before, v, after = arguments[:first], arguments[first], arguments[first + 1 :]
            return _slope(lambda x: function.apply(*before, x, *after), v)

        self.change(function, "forward", staticmethod(self.seen(function.forward, name, slope, MARGINS.get(package))))


def _is_floating(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.is_floating_point()


def _slope(function: Callable[[torch.Tensor], Any], v: torch.Tensor) -> torch.Tensor:
    """Return the derivative of a pointwise function at v."""
    with torch.enable_grad():
        x = v.detach().requires_grad_()
        spikes = function(x)
        spikes = spikes[0] if isinstance(spikes, tuple) else spikes
        return torch.autograd.grad(spikes, x, torch.ones_like(spikes), allow_unused=True, materialize_grads=True)[0]


def _slope_of_call(call: Call, v: torch.Tensor) -> torch.Tensor:
    return call.derivative(v.detach(), ()).evaluate("derivative").expand(v.shape)


def _slope_by_rule(v: torch.Tensor, surrogate: Surrogate, rule: Rule, random: Any, parameters: Mapping[str, Any]) -> torch.Tensor:
    # Without the spikes, which may draw random numbers.
    return _slope(lambda x: _rules.nothing(x, surrogate, rule, parameters), v)


@contextlib.contextmanager
def watched(
    place: Place,
    keep: Keep,
    functions: Sequence[tuple[Any, str]] = (),
    modules: Mapping[str, Any] = {},
    outputs: Outputs | None = None,
    keep_slopes: Keep | None = None,
) -> Iterator[None]:
    """See every call of a spike function while the context is open.

    Args:
        place: takes the potential minus threshold and the name of the function, where it is called, and returns a key; None
            leaves the call out.
        keep: takes the key, and potentials minus thresholds and spikes as arrays of their own.
        functions: other functions of v − threshold, each as the object that it hangs on and its name there.
        modules: the network's, by path.
        outputs: which modules' outputs are kept, and how.
        keep_slopes: takes the key, potentials minus thresholds, and the derivative that the surrogate has there.
    """
    with contextlib.ExitStack() as stack:
        watch = _Watch(place, keep, keep_slopes, stack)
        if _compiles():
            watch.out_of_graphs()
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
            watch.change(Call, name, watch.seen(getattr(Call, name), "arcana", _slope_of_call))
        watch.change(_rules, "ruled", watch.seen(_rules.ruled, "arcana.rules", _slope_by_rule))
        if outputs:
            paths, _, keep_output = outputs
            for path, module in modules.items():
                if path in paths and isinstance(module, torch.nn.Module):
                    hook: Any = functools.partial(_hand_over, path, keep_output)
                    hook = torch.compiler.disable(hook) if _compiles() else hook
                    stack.callback(module.register_forward_hook(hook).remove)
        for owner, name in functions:
            function = getattr(owner, name)
            watch.change(owner, name, watch.seen(function, name, functools.partial(_slope, function)))
        for package, kind, name in QUIET:
            for each in _heirs(getattr(sys.modules.get(package), kind, None)):
                if name in vars(each):
                    watch.change(each, name, watch.quiet(vars(each)[name]))
        yield


def _hand_over(path: str, keep: Callable[[str, Array], None], module: torch.nn.Module, given: Any, output: Any) -> None:
    """Keep the first tensor of floats that a module returns."""
    if in_backward() or dispatch_modes():
        return
    returned = output if isinstance(output, tuple | list) else (output,)
    first = next((each for each in returned if _is_floating(each)), None)
    if first is not None:
        with without_transforms(), torch.no_grad():
            keep(path, np.array(to_numpy(plain(first))))


def _compiles() -> bool:
    """Whether anything has been compiled: asking torch.compiler would load what compiles."""
    return "torch._dynamo" in sys.modules


def _heirs(kind: type | None) -> list[type]:
    return [] if kind is None else [kind, *(each for heir in kind.__subclasses__() for each in _heirs(heir))]
