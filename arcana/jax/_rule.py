"""From a definition to jax.custom_vjp, and to jax.custom_jvp. Written once; knows no formula.

The definition and its settings are static and hashable, so equal surrogates share one trace; parameters are ordinary
operands, so a new value never retraces. Numbers have no gradient; arrays have.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike

from arcana.jax._call import Arrays, Call, arguments, call_of
from arcana.jax._shape import Operands, Shape, aligned
from arcana.surrogate import Surrogate
from arcana.surrogate._backends import register_pytrees
from arcana.surrogate._checks import AnySurrogate, check_which, surrogate_of
from arcana.surrogate._function import DefinitionMeta
from arcana.surrogate._trace import Kept


def _summed_to(x: jax.Array, like: jax.Array) -> jax.Array:
    """x summed over the axes along which `like` was broadcast, in like's shape and dtype."""
    lead = x.ndim - like.ndim
    axes = tuple(i for i in range(x.ndim) if i < lead or (like.shape[i - lead] == 1 and x.shape[i] != 1))
    return jnp.sum(x, axis=axes).reshape(like.shape).astype(like.dtype)


# Called outside a jit, what is jitted here is one compiled function; inside one it is inlined, so nothing hides from XLA's
# fusion. The definition is part of the function and its parameters are operands, so a new number compiles nothing.


@functools.lru_cache(maxsize=1024)
def _gate(shape: Shape, names: tuple[str, ...]) -> Callable[..., jax.Array]:
    """Of v and the numbers with these names the comparison that decides between the values of h."""

    def gate(v: jax.Array, *numbers: Any) -> jax.Array:
        return shape.gate(v, dict(zip(names, numbers, strict=True)))

    return jax.jit(gate, inline=True)


@functools.lru_cache(maxsize=1024)
def _pull(shape: Shape, kind: Kept, names: tuple[str, ...], array_names: tuple[str, ...]) -> Callable[..., tuple[jax.Array, Any]]:
    """The backward pass: of what is kept, the arrays, the cotangent and the numbers the gradients of v and of each array."""

    def pull(kept: Any, arrays: tuple[jax.Array, ...], cotangent: jax.Array, *values: Any) -> tuple[jax.Array, Any]:
        numbers, by_name = dict(zip(names, values, strict=True)), dict(zip(array_names, arrays, strict=True))
        if kind is Kept.POTENTIAL:
            h, slopes = shape.derivative(kept, numbers, by_name), shape.sensitivities(kept, numbers, by_name)
        else:
            h, slopes = shape.derivative_from(kind, kept, numbers, cotangent), {}
        wide = cotangent.astype(h.dtype)
        # A definition without a primitive has no slopes, and `_without_gradient` raises at the zeros.
        for_arrays = [_summed_to(wide * slopes[name], x) if slopes else jnp.zeros_like(x) for name, x in by_name.items()]
        return (wide * h).astype(cotangent.dtype), tuple(for_arrays)

    return jax.jit(pull, inline=True)


@functools.lru_cache(maxsize=1024)
def _reverse(call: Call, array_names: tuple[str, ...]) -> Callable[..., jax.Array]:
    """Of v and the arrays with these names the spikes, with their gradients in reverse mode, for one call's numbers."""
    shape, names, numbers = call.shape, tuple(call.numbers), tuple(call.numbers.values())
    traced = None if array_names else shape.trace(names)
    kind = Kept.POTENTIAL if traced is None else traced.kept
    gate, pull = _gate(shape, names), _pull(shape, kind, names, array_names)

    def fire(v: jax.Array, arrays: tuple[jax.Array, ...]) -> jax.Array:
        return shape.fire(v)

    def forward(v: jax.Array, arrays: tuple[jax.Array, ...]) -> tuple[jax.Array, Any]:
        spikes = shape.fire(v)
        kept = gate(v, *numbers) if kind is Kept.MASK else {Kept.POTENTIAL: v, Kept.SPIKES: spikes}.get(kind)
        return spikes, (kept, arrays)

    def backward(residuals: Any, cotangent: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        if traced is not None and traced.passes:
            return cotangent, ()
        return pull(*residuals, cotangent, *numbers)

    for function in (fire, forward, backward):
        # JAX asks for it at every call, and makes it again unless it is there.
        function.__signature__ = inspect.signature(function)
    rule = jax.custom_vjp(fire)
    rule.defvjp(forward, backward)
    return rule


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _forward(shape: Shape, v: jax.Array, numbers: Operands, arrays: Arrays) -> jax.Array:
    return shape.fire(v)


@_forward.defjvp
def _forward_rule(shape: Shape, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    v, numbers, arrays = primals
    v_dot, _, arrays_dot = tangents
    h = shape.derivative(v, numbers, arrays)
    total = v_dot.astype(h.dtype) * h
    for name, slope in shape.sensitivities(v, numbers, arrays).items():
        total = total + aligned(arrays_dot[name].astype(h.dtype), v) * slope
    return _forward(shape, v, numbers, arrays), total.astype(v.dtype)


_forward_jit = jax.jit(_forward, static_argnums=0, inline=True)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _without_gradient(surrogate: str, name: str, x: jax.Array) -> jax.Array:
    """x, until somebody asks for its gradient: a parameter of a definition without a primitive has none."""
    return x


def _without_gradient_backward(surrogate: str, name: str, kept: None, cotangent: jax.Array) -> tuple[jax.Array]:
    msg = f"{surrogate} defines no primitive, which the gradient of its parameter {name} needs"
    raise NotImplementedError(msg)


_without_gradient.defvjp(lambda surrogate, name, x: (x, None), _without_gradient_backward)


def _differentiable(v: jax.Array, surrogate: Surrogate, arrays: Arrays) -> tuple[jax.Array, Arrays]:
    """v and the arrays as a rule takes them."""
    definition = type(surrogate)
    if not definition.has_primitive():
        arrays = {name: _without_gradient(definition.__name__, name, x) for name, x in arrays.items()}
    return _same_manual_axes(v, arrays)


def _same_manual_axes(v: jax.Array, arrays: Arrays) -> tuple[jax.Array, Arrays]:
    """Inside shard_map, v and the arrays marked as varying over the same mesh axes: their cotangents will be."""
    leaves, structure = jax.tree.flatten((v, arrays))
    varying = [_varying(leaf) for leaf in leaves]
    every = frozenset().union(*varying)
    marked = [
        jax.lax.pcast(leaf, tuple(every - own), to="varying") if every - own else leaf
        for leaf, own in zip(leaves, varying, strict=True)
    ]
    return jax.tree.unflatten(structure, marked)


def _is_plain(v: jax.Array, arrays: Arrays) -> bool:
    """Whether nobody can ask for a gradient."""
    return not isinstance(v, Tracer) and not (arrays and any(isinstance(x, Tracer) for x in arrays.values()))


def _varying(x: jax.Array) -> frozenset[str]:
    return frozenset(jax.typeof(x).manual_axis_type.varying)


def spike(v: ArrayLike, surrogate: AnySurrogate, **parameters: float | jax.Array) -> jax.Array:
    """The spikes of v, 1 where v >= 0 and else 0, with the surrogate's gradient in reverse mode.

    Args:
        v: potential minus threshold: any shape; float64, float32, float16 or bfloat16, which the spikes keep.
        surrogate: any `Surrogate` instance, a user's own included; a class or a function stands for its default parameters.
        parameters: parameters by keyword in place of the instance's, each a number or an array that broadcasts to v.

    Raises:
        TypeError: v is no floating-point jax.Array, or the surrogate has no such parameter.
        ValueError: a number is out of its bounds, or an array does not broadcast to v.
    """
    v, surrogate = arguments(v, surrogate, "spike")
    call, arrays = call_of(v, surrogate, parameters)
    if _is_plain(v, arrays):
        return call.shape.fire(v)
    if not arrays:
        return _reverse(call, ())(v, ())
    v, arrays = _differentiable(v, surrogate, arrays)
    return _reverse(call, tuple(arrays))(v, tuple(arrays.values()))


def evaluate(surrogate: AnySurrogate, which: str, v: ArrayLike, **parameters: float | jax.Array) -> jax.Array:
    """h (`which` = "derivative") or G ("primitive") of v, in v's dtype."""
    check_which(which)
    v, surrogate = arguments(v, surrogate, "evaluate")
    call, arrays = call_of(v, surrogate, parameters)
    return _evaluate_jit(call.shape, which, v, call.numbers, arrays)


@functools.partial(jax.jit, static_argnums=(0, 1), inline=True)
def _evaluate_jit(shape: Shape, which: str, v: jax.Array, numbers: Operands, arrays: Arrays) -> jax.Array:
    return shape.evaluate(which, v, numbers, arrays).astype(v.dtype)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class ForwardMode:
    """A surrogate's spike function on jax.custom_jvp: equal by value, a leafless pytree. Made by `forward_mode`."""

    surrogate: Surrogate

    def __call__(self, v: jax.Array, **parameters: float | jax.Array) -> jax.Array:
        v, _ = arguments(v, self.surrogate, "forward_mode")
        call, arrays = call_of(v, self.surrogate, parameters)
        if _is_plain(v, arrays):
            return call.shape.fire(v)
        v, arrays = _differentiable(v, self.surrogate, arrays)
        return _forward_jit(call.shape, v, call.numbers, arrays)


def forward_mode(surrogate: AnySurrogate) -> ForwardMode:
    """The same spikes and gradients with forward mode too: jvp, jacfwd, hessian, linearize.

    jax.custom_vjp, on which the plain functions stand, has no forward mode; JAX raises there. In reverse mode
    both give the same bits.

    Args:
        surrogate: any `Surrogate` instance.

    Raises:
        TypeError: surrogate is no Surrogate instance.
    """
    return ForwardMode(surrogate_of(surrogate, "forward_mode"))


class SpikeFunction(metaclass=DefinitionMeta):
    """The base of the generated classes; each subclass holds its `definition`."""

    definition: type[Surrogate]

    @classmethod
    def apply(cls, v: jax.Array, *positional: Any, **parameters: Any) -> jax.Array:
        """The spikes of v, with the definition's default parameters unless others are given by keyword."""
        if positional:
            caller = f"{cls.__name__}.apply"
            raise cls.definition.one_positional(caller, positional, parameters)
        return spike(v, cls.definition(), **parameters)

    @classmethod
    def pseudo_derivative(cls, v: jax.Array, *positional: Any, **parameters: Any) -> jax.Array:
        """h(v), with the definition's default parameters unless others are given by keyword."""
        if positional:
            caller = f"{cls.__name__}.pseudo_derivative"
            raise cls.definition.one_positional(caller, positional, parameters)
        return evaluate(cls.definition(), "derivative", v, **parameters)


@functools.cache
def function_of(definition: type[Surrogate]) -> type[SpikeFunction]:
    """The class of a definition, made once."""
    namespace = {"definition": definition, "__doc__": definition.__doc__, "__module__": "arcana.jax"}
    return DefinitionMeta(definition.__name__, (SpikeFunction,), namespace)


# A surrogate held by a model (Equinox, a plain dataclass) is then a pytree without leaves, and plain jax.jit takes the model.
register_pytrees()
