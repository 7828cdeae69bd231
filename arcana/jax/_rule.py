"""From a definition to jax.custom_vjp, and to jax.custom_jvp. Written once; knows no formula.

The definition and its settings are static and hashable, so equal surrogates share one trace; parameters are ordinary
operands, so a new value never retraces. Numbers have no gradient; arrays have.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arcana.jax._namespace import NAMESPACE, nonnegative, positive
from arcana.surrogate import Surrogate
from arcana.surrogate._base import evaluate_formula, observe_classes, resolved
from arcana.surrogate._function import DefinitionMeta
from arcana.surrogate._namespace import FAR, compute_dtype
from arcana.surrogate._trace import Symbol, Trace, evaluate as evaluate_symbols, trace

Operands = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Shape:
    """What JAX sees of a surrogate as static: its definition and its settings."""

    definition: type[Surrogate]
    settings: tuple[tuple[str, Any], ...]

    def evaluate(self, which: str, v: jax.Array, numbers: Mapping[str, Any], arrays: Mapping[str, Any]) -> jax.Array:
        """h or G in the computing dtype, parameters aligned to v."""
        dtype = jnp.dtype(compute_dtype(self.definition.__name__, v.dtype.name))
        aligned = {name: _aligned(x.astype(dtype), v) for name, x in {**numbers, **arrays}.items()}
        return evaluate_formula(self.definition, which, v.astype(dtype), NAMESPACE, aligned, dict(self.settings))

    def derivative(self, v: jax.Array, numbers: Mapping[str, Any], arrays: Mapping[str, Any]) -> jax.Array:
        """h of v, whose own derivative at ±inf is 0."""
        # By the chain rule a formula in v² has inf · 0 there: forward mode drops it after h, reverse mode before v.
        infinite = jnp.isinf(v)
        h = self.evaluate("derivative", jnp.where(infinite, jax.lax.stop_gradient(v), v), numbers, arrays)
        return jnp.where(infinite, jax.lax.stop_gradient(h), h)

    def fires(self, v: jax.Array) -> jax.Array:
        compare = nonnegative if dict(self.settings)["fires_at_threshold"] else positive
        return compare(v).astype(v.dtype)

    def gate(self, v: jax.Array, numbers: Mapping[str, Any]) -> jax.Array:
        """The comparison that decides between the values of h."""
        traced = self.trace(numbers)
        assert traced is not None
        assert traced.gate is not None
        dtype = jnp.dtype(compute_dtype(self.definition.__name__, v.dtype.name))
        return _evaluate_trace(traced, traced.gate, {traced.v: v.astype(dtype)}, numbers, dtype)

    def derivative_from(self, kept: Mapping[str, jax.Array], numbers: Mapping[str, Any], dtype: Any) -> jax.Array:
        """h of a gate, of the spikes, or of nothing, in the computing dtype of a potential's dtype."""
        traced = self.trace(numbers)
        assert traced is not None
        dtype = jnp.dtype(compute_dtype(self.definition.__name__, dtype.name))
        values: dict[Symbol, Any] = {}
        if traced.gate is not None and kept:
            spikes = traced.tape.as_number(traced.gate)
            values = (
                {traced.gate: kept["gate"]}
                if "gate" in kept
                else {traced.gate: kept["spikes"] != 0, spikes: kept["spikes"].astype(dtype)}
            )
        return _evaluate_trace(traced, traced.h, values, numbers, dtype)

    def trace(self, numbers: Mapping[str, Any]) -> Trace | None:
        return trace(self.definition, self.settings, tuple(numbers))

    def sensitivities(self, v: jax.Array, numbers: Operands, arrays: Operands) -> Operands:
        """dG/dparameter at every element of v, for each of the arrays; at ±inf that of ±FAR."""
        dtype = jnp.dtype(compute_dtype(self.definition.__name__, v.dtype.name))
        finite = jnp.where(jnp.isinf(v), jnp.sign(v).astype(dtype) * dtype.type(FAR[dtype.name]), v.astype(dtype))

        def primitive(expanded: Operands) -> jax.Array:
            return self.evaluate("primitive", finite, numbers, expanded)

        expanded = {name: jnp.broadcast_to(_aligned(x.astype(dtype), v), v.shape) for name, x in arrays.items()}
        value, pullback = jax.vjp(primitive, expanded)
        return pullback(jnp.ones_like(value))[0]


def _evaluate_trace(
    traced: Trace, result: Symbol, values: dict[Symbol, Any], numbers: Mapping[str, Any], dtype: Any
) -> jax.Array:
    values |= {symbol: jnp.asarray(numbers[name]) for name, symbol in traced.parameters.items()}
    evaluate_symbols([result], values, NAMESPACE, jnp.zeros((), dtype))
    return values[result]


def _aligned(x: jax.Array, v: jax.Array) -> jax.Array:
    """x with leading axes of 1 up to v's rank, which strict rank promotion asks for; a 0-d x as it is."""
    return x if x.ndim == 0 else jax.lax.expand_dims(x, range(v.ndim - x.ndim))


def _summed_to(x: jax.Array, like: jax.Array) -> jax.Array:
    """x summed over the axes along which `like` was broadcast, in like's shape and dtype."""
    lead = x.ndim - like.ndim
    axes = tuple(i for i in range(x.ndim) if i < lead or (like.shape[i - lead] == 1 and x.shape[i] != 1))
    return jnp.sum(x, axis=axes).reshape(like.shape).astype(like.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _reverse(shape: Shape, v: jax.Array, numbers: Operands, arrays: Operands) -> jax.Array:
    return shape.fires(v)


def _reverse_forward(shape: Shape, v: jax.Array, numbers: Operands, arrays: Operands) -> tuple[jax.Array, Any]:
    spikes = shape.fires(v)
    traced = None if arrays else shape.trace(numbers)
    if traced is None or (traced.h.moves and traced.gate is None):
        kept = {"v": v}
    elif not traced.h.moves:
        kept = {}
    elif traced.gate is traced.fired:
        kept = {"spikes": spikes}
    else:
        kept = {"gate": shape.gate(v, numbers)}
    return spikes, (kept, numbers, arrays)


def _reverse_backward(shape: Shape, residuals: Any, cotangent: jax.Array) -> tuple[jax.Array, Operands, Operands]:
    kept, numbers, arrays = residuals
    dtype = cotangent.dtype
    if "v" in kept:
        v = jnp.asarray(kept["v"])  # jax.grad of a Python number keeps that number
        h = shape.derivative(v, numbers, arrays)
        slopes = shape.sensitivities(v, numbers, arrays) if arrays else {}
    else:
        h, slopes = shape.derivative_from(kept, numbers, dtype), {}
    cotangent = cotangent.astype(h.dtype)
    for_arrays = {name: _summed_to(cotangent * slope, arrays[name]) for name, slope in slopes.items()}
    return (cotangent * h).astype(dtype), jax.tree.map(jnp.zeros_like, numbers), for_arrays


_reverse.defvjp(_reverse_forward, _reverse_backward)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _forward(shape: Shape, v: jax.Array, numbers: Operands, arrays: Operands) -> jax.Array:
    return shape.fires(v)


@_forward.defjvp
def _forward_rule(shape: Shape, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    v, numbers, arrays = jnp.asarray(primals[0]), *primals[1:]
    v_dot, _, arrays_dot = tangents
    h = shape.derivative(v, numbers, arrays)
    total = v_dot.astype(h.dtype) * h
    slopes = shape.sensitivities(v, numbers, arrays) if arrays else {}
    for name, slope in slopes.items():
        total = total + _aligned(arrays_dot[name].astype(h.dtype), v) * slope
    return _forward(shape, v, numbers, arrays), total.astype(v.dtype)


# Called outside a jit these go through one compiled function; inside one they are inlined, so nothing hides from XLA's fusion.
_reverse_jit = jax.jit(_reverse, static_argnums=0, inline=True)
_forward_jit = jax.jit(_forward, static_argnums=0, inline=True)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _without_gradient(surrogate: str, name: str, x: jax.Array) -> jax.Array:
    """x, until somebody asks for its gradient: a parameter of a definition without a primitive has none."""
    return x


def _without_gradient_backward(surrogate: str, name: str, kept: None, cotangent: jax.Array) -> tuple[jax.Array]:
    msg = f"{surrogate} defines no primitive, which the gradient of its parameter {name} needs"
    raise NotImplementedError(msg)


_without_gradient.defvjp(lambda surrogate, name, x: (x, None), _without_gradient_backward)


def _call(rule: Callable[..., jax.Array], v: jax.Array, surrogate: Surrogate, parameters: Mapping[str, Any]) -> jax.Array:
    shape, numbers, arrays = _operands(v, surrogate, parameters)
    if arrays and not shape.definition.has_primitive():
        numbers |= {name: _without_gradient(shape.definition.__name__, name, x) for name, x in arrays.items()}
        arrays = {}
    return rule(shape, *_same_manual_axes(v, numbers, arrays))


def _operands(v: Any, surrogate: Surrogate, parameters: Mapping[str, Any]) -> tuple[Shape, Operands, Operands]:
    """The static part, the numbers rounded to v's computing dtype, and the arrays, all checked."""
    definition = type(surrogate)
    if not isinstance(v, jax.Array):
        msg = f"{definition.__name__}: v must be a jax.Array, got {type(v).__module__}.{type(v).__qualname__}"
        raise TypeError(msg)
    dtype = compute_dtype(definition.__name__, v.dtype.name)
    settings, values = resolved(surrogate, parameters)
    numbers, arrays = {}, {}
    for name, value in values.items():
        if isinstance(value, float):
            numbers[name] = np.dtype(dtype).type(definition.rounded(name, value, dtype))
        else:
            arrays[name] = _checked_array(definition.__name__, name, value, v)
    return Shape(definition, tuple(settings.items())), numbers, arrays


def _checked_array(surrogate: str, name: str, value: Any, v: jax.Array) -> jax.Array:
    if not isinstance(value, (jax.Array, np.ndarray, np.generic)):
        msg = f"{surrogate}: {name} must be a number or a jax.Array, got {value!r} ({type(value).__name__})"
        raise TypeError(msg)
    if not jnp.issubdtype(value.dtype, jnp.floating):
        msg = f"{surrogate}: {name} must be a floating-point array, got {value.dtype}"
        raise TypeError(msg)
    sizes = zip(reversed(value.shape), reversed(v.shape), strict=False)
    if value.ndim > v.ndim or any(size not in (1, full) for size, full in sizes):
        msg = f"{surrogate}: {name} must broadcast to v's shape {v.shape}, got shape {value.shape}"
        raise ValueError(msg)
    return jnp.asarray(value)


def _same_manual_axes(v: jax.Array, numbers: Operands, arrays: Operands) -> tuple[jax.Array, Operands, Operands]:
    """Inside shard_map, v and the arrays marked as varying over the same mesh axes: their cotangents will be."""
    leaves, structure = jax.tree.flatten((v, arrays))
    varying = [_varying(leaf) for leaf in leaves]
    every = frozenset().union(*varying)
    marked = [
        jax.lax.pcast(leaf, tuple(every - own), to="varying") if every - own else leaf
        for leaf, own in zip(leaves, varying, strict=True)
    ]
    v, arrays = jax.tree.unflatten(structure, marked)
    return v, numbers, arrays


def _varying(x: jax.Array) -> frozenset[str]:
    return frozenset(jax.typeof(x).manual_axis_type.varying)


def spike(v: jax.Array, surrogate: Surrogate, **parameters: float | jax.Array) -> jax.Array:
    """The spikes of v, 1 where v >= 0 and else 0, with the surrogate's gradient in reverse mode.

    Args:
        v: potential minus threshold: any shape; float64, float32, float16 or bfloat16, which the spikes keep.
        surrogate: any `Surrogate` instance, a user's own included.
        parameters: parameters by keyword in place of the instance's, each a number or an array that broadcasts to v.

    Raises:
        TypeError: v is no floating-point jax.Array, or the surrogate has no such parameter.
        ValueError: a number is out of its bounds, or an array does not broadcast to v.
    """
    return _call(_reverse_jit, v, surrogate, parameters)


def evaluate(surrogate: Surrogate, which: str, v: jax.Array, **parameters: float | jax.Array) -> jax.Array:
    """h (`which` = "derivative") or G ("primitive") of v, in v's dtype."""
    shape, numbers, arrays = _operands(v, surrogate, parameters)
    return _evaluate_jit(shape, which, v, numbers, arrays)


@functools.partial(jax.jit, static_argnums=(0, 1), inline=True)
def _evaluate_jit(shape: Shape, which: str, v: jax.Array, numbers: Operands, arrays: Operands) -> jax.Array:
    return shape.evaluate(which, v, numbers, arrays).astype(v.dtype)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class ForwardMode:
    """A surrogate's spike function on jax.custom_jvp: equal by value, a leafless pytree. Made by `forward_mode`."""

    surrogate: Surrogate

    def __call__(self, v: jax.Array, **parameters: float | jax.Array) -> jax.Array:
        return _call(_forward_jit, v, self.surrogate, parameters)


def forward_mode(surrogate: Surrogate) -> ForwardMode:
    """The same spikes and gradients with forward mode too: jvp, jacfwd, hessian, linearize.

    jax.custom_vjp, on which the plain functions stand, has no forward mode; JAX raises there. In reverse mode
    both give the same bits.

    Args:
        surrogate: any `Surrogate` instance.

    Raises:
        TypeError: surrogate is no Surrogate instance.
    """
    if not isinstance(surrogate, Surrogate):
        msg = f"forward_mode takes a Surrogate instance, FastSigmoid(scale=25.0) say, got {surrogate!r}"
        raise TypeError(msg)
    return ForwardMode(surrogate)


class SpikeFunction(metaclass=DefinitionMeta):
    """The base of the generated classes; each subclass holds its `definition`."""

    definition: type[Surrogate]

    @classmethod
    def apply(cls, v: jax.Array, **parameters: Any) -> jax.Array:
        """The spikes of v, with the definition's default parameters unless others are given by keyword."""
        return spike(v, cls.definition(), **parameters)

    @classmethod
    def pseudo_derivative(cls, v: jax.Array, **parameters: Any) -> jax.Array:
        """h(v), with the definition's default parameters unless others are given by keyword."""
        return evaluate(cls.definition(), "derivative", v, **parameters)


@functools.cache
def function_of(definition: type[Surrogate]) -> type[SpikeFunction]:
    """The class of a definition, made once."""
    namespace = {"definition": definition, "__doc__": definition.__doc__, "__module__": "arcana.jax"}
    return DefinitionMeta(definition.__name__, (SpikeFunction,), namespace)


# A surrogate held by a model (Equinox, a plain dataclass) is then a pytree without leaves, and plain jax.jit takes the model.
observe_classes(jax.tree_util.register_static)
