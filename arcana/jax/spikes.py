"""Every call of a spike function, ours or any library's, for `recording` of `arcana.testing`.

A call is met where it is traced: ours in `spike`, all others in `jax.custom_vjp` and `jax.custom_jvp`, without which none of
them has a surrogate gradient. There `watch_p` is put behind it, which gives the spikes on and hands the numbers over when it
runs: under jit and in a scan in the order of the steps, once in a batch, and not again where a checkpoint computes again.
What was traced before is traced anew while the context is open, and what is traced in it is not used after it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any
from unittest import mock

import jax
import numpy as np

from arcana.jax import _function, _rules
from arcana.jax._call import Call, fire_of
from arcana.jax._compat import (
    Primitive,
    batch_first,
    lower_function,
    ordered_effect,
    partial_eval_rules,
    primitive_batchers,
    primitive_jvps,
    register_lowering,
    traced_apart,
)
from arcana.jax.arrays import Array

Place = Callable[[Any, str], Hashable]
Keep = Callable[[Hashable, Array, Array], None]
Outputs = tuple[Sequence[str], Callable[[str], None], Callable[[str, Array], None]]
"""The paths of modules whose output is kept, what is called with a path as it is met, and what takes the path and the output."""

watch_p = Primitive("arcana_watch")
"""The spikes as they are; `seen(place, v, spikes)` is called with the numbers when it runs, unless `seen` is None."""

OF_LIBRARIES = (("braintools.surrogate", "Surrogate"),)
"""Classes whose instances are spike functions by a primitive of the library's own: by module and name."""

_contexts = itertools.count()


def _impl(v: Any, spikes: Any, *, seen: Any, place: Hashable) -> Any:
    if seen is not None:
        seen(place, v, spikes)
    return spikes


def _abstract(v: Any, spikes: Any, *, seen: Any, place: Hashable) -> Any:
    return spikes, set() if seen is None else {ordered_effect}


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **parameters: Any) -> tuple[Any, Any]:
    return watch_p.bind(*primals, **parameters), tangents[1]


def _batched(operands: Sequence[Any], dims: Sequence[Any], **parameters: Any) -> tuple[Any, int]:
    size = next(x.shape[dim] for x, dim in zip(operands, dims, strict=True) if dim is not None)
    return watch_p.bind(*(batch_first(x, dim, size) for x, dim in zip(operands, dims, strict=True)), **parameters), 0


def _lowered(v: Any, spikes: Any, *, seen: Any, place: Hashable) -> Any:
    if seen is not None:
        jax.debug.callback(functools.partial(seen, place), v, spikes, ordered=True)
    return spikes


def _computed_again(saveable: Any, unknown: Sequence[bool], present: Sequence[bool], equation: Any) -> tuple[Any, ...]:
    """Let the forward pass of a checkpoint hand the numbers over, and what computes again in the backward pass not."""
    missing = [x for x, there in zip(equation.invars, present, strict=True) if not there]
    if any(unknown):
        return None, equation, [True], [True], missing
    quiet = equation.replace(params={**equation.params, "seen": None}, effects=set())
    return equation, quiet, [False], [True], missing


watch_p.def_impl(_impl)
watch_p.def_effectful_abstract_eval(_abstract)
primitive_jvps[watch_p] = _jvp
primitive_batchers[watch_p] = _batched
partial_eval_rules[watch_p] = _computed_again
register_lowering(watch_p, lower_function(_lowered, multiple_results=False))


class _Watch:
    """One open context: what it has changed is put back when its stack closes."""

    def __init__(self, place: Place, keep: Keep, keep_slopes: Keep | None, stack: contextlib.ExitStack) -> None:
        self.place, self.keep, self.keep_slopes, self.stack = place, keep, keep_slopes, stack
        self.number = next(_contexts)
        self.inside = False

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

    def seen(
        self, function: Callable[..., Any], name: Callable[..., str], differentiable: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """Return the function with `watch_p` behind each outermost call; `name` of the arguments is what it is called.

        `differentiable` is the same function with its derivative, where it has none itself.
        """
        quiet = self.quiet(function)
        with_slope = self.quiet(differentiable or function)

        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            spikes = quiet(*given, **named)
            if self.inside or name(*given).startswith(("jax.", "arcana.jax.")):
                return spikes  # JAX's own, such as relu, and our |v|.
            first = next((i for i, x in enumerate(given) if _is_floating(x)), None)
            if first is None or not isinstance(spikes, jax.Array) or spikes.shape != given[first].shape:
                return spikes
            v = given[first]
            place = self.place(v, name(*given))
            if place is None:
                return spikes
            if self.keep_slopes is not None:
                one = functools.partial(_slope, lambda x: with_slope(*given[:first], x, *given[first + 1 :], **named))
                watch_p.bind(v, self.quiet(one)(jax.lax.stop_gradient(v)), seen=self.run_slopes, place=place)
            return watch_p.bind(v, spikes, seen=self.run, place=place)

        return called

    def with_rules(self, called: Callable[..., Any]) -> Callable[..., Any]:
        """Return `__call__` of functions with a rule of their own, which often calls the function once more."""

        @functools.wraps(called)
        def with_quiet_rules(function: Any, *given: Any, **named: Any) -> Any:
            for name in ("fwd", "bwd", "jvp"):
                rule = vars(function).get(name)
                if rule is not None and not hasattr(rule, "_arcana_quiet"):
                    rule = self.quiet(rule)
                    rule._arcana_quiet = True  # pyright: ignore[reportFunctionMemberAccess]
                    self.change(function, name, rule)
            return called(function, *given, **named)

        return with_quiet_rules

    def run(self, place: Hashable, v: Any, spikes: Any) -> None:
        self.keep(place, np.array(v), np.array(spikes))

    def run_slopes(self, place: Hashable, v: Any, slopes: Any) -> None:
        if self.keep_slopes is not None:
            self.keep_slopes(place, np.array(v), np.array(slopes))

    def apart(self, function: Callable[..., Any], path: Callable[[Any], str], outputs: Outputs | None) -> Callable[..., Any]:
        """Return a module's method; what is jitted in there shares no trace with that of another module.

        A spike function that is jitted by itself is traced once for all layers of one shape, and all would be one layer.
        """

        @functools.wraps(function)
        def called(module: Any, *given: Any, **named: Any) -> Any:
            name = path(module)
            with traced_apart((self.number, name)):
                result = function(module, *given, **named)
            return _handed_over(result, name, *outputs) if outputs else result

        return called


def _handed_over(
    result: Any, path: str, paths: Sequence[str], meet: Callable[[str], None], keep: Callable[[str, Array], None]
) -> Any:
    """Return what a module returns; the first array of floats is kept when it runs."""
    returned = list(result) if isinstance(result, tuple | list) else [result]
    first = next((i for i, each in enumerate(returned) if _is_floating(each)), None)
    if first is None or path not in paths:
        return result
    meet(path)

    def seen(place: str, output: Any, same: Any) -> None:
        keep(place, np.array(output))

    returned[first] = watch_p.bind(returned[first], returned[first], seen=seen, place=path)
    return type(result)(returned) if isinstance(result, tuple | list) else returned[0]


def _is_floating(x: Any) -> bool:
    return isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, np.floating)


def _slope(function: Callable[[Any], Any], v: Any) -> Any:
    """Return the derivative of a pointwise function at v."""
    spikes, pullback = jax.vjp(function, v)
    return pullback(jax.numpy.ones_like(spikes))[0]


def _ours(*given: Any) -> str:
    return "arcana"


def _differentiable(call: Call) -> Callable[[Any], Any]:
    return lambda v: _function.traced(v, call, {})


def _name(function: Any, *given: Any) -> str:
    inner = getattr(function, "fun", function)
    if getattr(inner, "__qualname__", "").startswith("custom_gradient."):
        return "custom_gradient"  # Which hides the name of the function it is given.
    return f"{inner.__module__}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"


@contextlib.contextmanager
def watched(
    place: Place,
    keep: Keep,
    functions: Sequence[tuple[Any, str]] = (),
    modules: Sequence[type] = (),
    path: Callable[[Any], str] = str,
    outputs: Outputs | None = None,
    keep_slopes: Keep | None = None,
) -> Iterator[None]:
    """See every call of a spike function while the context is open.

    Args:
        place: takes the potential minus threshold, perhaps traced, and the name of the function, where it is called, and
            returns a key; None leaves the call out.
        keep: takes the key, and potentials minus thresholds and spikes as arrays of their own.
        functions: other functions of v − threshold, each as the object that it hangs on and its name there.
        modules: the classes of the network's modules.
        path: gives the name of a module from inside its call.
        outputs: which modules' outputs are kept, and how.
        keep_slopes: takes the key, potentials minus thresholds, and the derivative that the surrogate has there.
    """
    with contextlib.ExitStack() as stack:
        watch = _Watch(place, keep, keep_slopes, stack)
        for kind in (jax.custom_vjp, jax.custom_jvp):
            watch.change(kind, "__call__", watch.with_rules(watch.seen(kind.__call__, _name)))
        # Of a call outside every transform, and of one inside.
        watch.change(Call, "fire", property(lambda call: watch.seen(fire_of(call.formula), _ours, _differentiable(call))))
        watch.change(_function, "traced", watch.seen(_function.traced, _ours))
        watch.change(_rules, "ruled", watch.seen(_rules.ruled, lambda *given: "arcana.rules"))
        known = [(getattr(sys.modules[module], kind), "__call__") for module, kind in OF_LIBRARIES if module in sys.modules]
        for owner, name in [*known, *functions]:
            watch.change(owner, name, watch.seen(getattr(owner, name), lambda *given, name=name: name))
        for module in modules:
            if "__call__" in vars(module):
                watch.change(module, "__call__", watch.apart(module.__call__, path, outputs))
        stack.enter_context(traced_apart((watch.number, "")))
        yield
        jax.effects_barrier()
