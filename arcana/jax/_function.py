"""The rule by which JAX differentiates a spike, `spike` and `evaluate`. Written once; knows no formula.

Two primitives carry the rule:

- `spike_p`, the comparison. Its tangent is the sum of each operand's tangent times the slope of H along it: h(v) along v,
  and dG/dparameter along a parameter that is an array.
- `slopes_p`, that sum, and turned round the product of one cotangent with each slope. It is linear in the tangents, so what
  reverse mode keeps is what the slopes need and not the slopes themselves. Its own derivative is that of the formulas.

They are no jax.custom_vjp or custom_jvp: JAX drops those rules in the forward pass of a differentiated scan, and a further
derivative would see the spikes there as constants. A primitive keeps its rule at every order, and has forward mode too.

A definition and its settings are static, so equal surrogates share one trace. Numbers have no gradient; arrays have.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from arcana._core import (
    AnySurrogate,
    DefinitionMeta,
    Formula,
    GeneratedClass,
    Kept,
    Surrogate,
    check_which,
    checked_potential,
    compute_dtype,
    per_class_cache,
    register_pytrees,
    surrogate_of,
)
from arcana.jax._call import Arrays, Call, call_of, fire_of
from arcana.jax._checks import ARRAYS
from arcana.jax._compat import (
    Primitive,
    Zero,
    batch_first,
    is_undefined_primal,
    lower_function,
    primitive_batchers,
    primitive_jvps,
    primitive_transposes,
    register_lowering,
    tangent_type,
    vary_over,
    varying_axes,
)
from arcana.jax._derivative import Derivative, expanded

if typing.TYPE_CHECKING:
    from arcana.rules import Rule

spike_p = Primitive("arcana_spike")
"""The spikes of v; the parameters that are arrays are operands for the sake of their gradients."""

mask_p = Primitive("arcana_mask")
"""The comparison that decides between the values of h, where h takes only a few: it is kept instead of v."""

slopes_p = Primitive("arcana_slopes")
"""Σ tangent · slope, or for each slope cotangent · slope; see `Slopes`."""
slopes_p.multiple_results = True


@dataclasses.dataclass(frozen=True)
class Slopes:
    """The ways in which `slopes_p` takes its operands: the tangents or the cotangent, what is kept of v, and the arrays.

    Attributes:
        kind: what is kept of v.
        arrays: the names of the parameters that are arrays.
        along: the slopes, "v" for h and a parameter's name for dG/dparameter; the tangents come in this order.
        transposed: whether one cotangent is multiplied by each slope, instead of summing the tangents times the slopes.
    """

    kind: Kept
    arrays: tuple[str, ...]
    along: tuple[str, ...]
    transposed: bool = False

    def split(self, operands: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the tangents or the cotangent, what is kept (one array or none), and the arrays."""
        first = 1 if self.transposed else len(self.along)
        last = len(operands) - len(self.arrays)
        return list(operands[:first]), list(operands[first:last]), list(operands[last:])

    def only(self, chosen: Sequence[bool]) -> Slopes:
        """Return the same along some of the slopes."""
        return dataclasses.replace(self, along=tuple(name for name, each in zip(self.along, chosen, strict=True) if each))

    def turned(self) -> Slopes:
        """Return the transpose."""
        return dataclasses.replace(self, transposed=not self.transposed)


# Called outside a jit, what is jitted here is one compiled function; inside one it is inlined, so nothing hides from XLA's
# fusion. The definition is part of the function and its parameters are operands, so a new number compiles nothing.


@per_class_cache
def _mask(formula: Formula, names: tuple[str, ...]) -> Callable[..., jax.Array]:
    """Return `mask_p` by plain operations, as a function of v and the numbers with these names."""

    def mask(v: jax.Array, *numbers: Any) -> jax.Array:
        return Derivative(formula, v, dict(zip(names, numbers, strict=True))).mask()

    return jax.jit(mask, inline=True)


@per_class_cache
def _slopes(formula: Formula, names: tuple[str, ...], slopes: Slopes, differentiable: bool) -> Callable[..., list[jax.Array]]:
    """Return `slopes_p` by plain operations, as a function of its operands and the numbers with these names."""

    def products(given: list[jax.Array], kept: list[jax.Array], arrays: list[jax.Array], *values: Any) -> list[jax.Array]:
        parameters = {**dict(zip(names, values, strict=True)), **dict(zip(slopes.arrays, arrays, strict=True))}
        potential = slopes.kind is Kept.POTENTIAL
        like = (kept if potential else given)[0]
        derivative = Derivative(formula, like, parameters)
        if slopes.transposed and potential and not differentiable:
            of_each = derivative.products(slopes.along, given[0])
            return [x.astype(given[0].dtype) if name == "v" else x for name, x in zip(slopes.along, of_each, strict=True)]
        if not potential:
            factors = [derivative.h(slopes.kind, kept)]
        else:
            factors = derivative.differentiable_slopes(slopes.along) if differentiable else derivative.slopes(slopes.along)
        if slopes.transposed:
            of_each = [given[0].astype(factor.dtype) * factor for factor in factors]
            return [x.astype(given[0].dtype) if name == "v" else x for name, x in zip(slopes.along, of_each, strict=True)]
        of_each = [x.astype(factor.dtype) * factor for x, factor in zip(given, factors, strict=True)]
        return [functools.reduce(jnp.add, of_each).astype(like.dtype)]

    return jax.jit(products, inline=True)


def _slopes_impl(*operands: Any, call: Call, slopes: Slopes, differentiable: bool = False) -> list[jax.Array]:
    by_operands = _slopes(call.formula, tuple(call.numbers), slopes, differentiable)
    return by_operands(*slopes.split(operands), *call.numbers.values())


def _is_zero(tangent: Any) -> bool:
    return type(tangent) is Zero


def _mask_impl(v: Any, *, call: Call) -> jax.Array:
    return _mask(call.formula, tuple(call.numbers))(v, *call.numbers.values())


def _mask_abstract(v: Any, *, call: Call) -> Any:
    return v.update(dtype=np.dtype(bool), weak_type=False)


def _mask_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, call: Call) -> tuple[jax.Array, Any]:
    mask = mask_p.bind(*primals, call=call)
    return mask, _no_tangent(mask)


def _mask_batched(operands: Sequence[Any], dims: Sequence[Any], *, call: Call) -> tuple[jax.Array, int]:
    return mask_p.bind(*operands, call=call), dims[0]


def _computing(v: Any) -> Any:
    """Return the computing dtype of a potential."""
    return jnp.dtype(compute_dtype("", v.dtype.name))


def _check_primitive(call: Call, names: Sequence[str]) -> None:
    """Raise an error for the first of these parameters, whose gradient is asked for, if there is no primitive."""
    definition = call.formula.definition
    if names and not definition.has_primitive():
        msg = f"{definition.__name__} defines no primitive, which the gradient of its parameter {names[0]} needs"
        raise NotImplementedError(msg)


def _no_tangent(x: Any) -> Any:
    return Zero(tangent_type(x))


def _spike_impl(v: Any, *arrays: Any, call: Call, names: tuple[str, ...]) -> jax.Array:
    return fire_of(call.formula)(v)


def _spike_abstract(v: Any, *arrays: Any, call: Call, names: tuple[str, ...]) -> Any:
    if "jax2onnx" in sys.modules:
        _write_as_onnx()
    return v.update(weak_type=False)


@functools.cache
def _write_as_onnx() -> None:
    """Tell jax2onnx what the primitives are. ONNX compares subnormals exactly, so there a spike is a plain comparison."""
    from arcana.jax._onnx import register

    def compare(v: jax.Array, *arrays: jax.Array, call: Call, names: tuple[str, ...]) -> jax.Array:
        fires = jax.lax.ge if call.formula.fires_at_threshold else jax.lax.gt
        return jax.lax.convert_element_type(fires(v, jnp.zeros_like(v)), v.dtype)

    register({spike_p.name: compare, mask_p.name: _mask_impl, slopes_p.name: _slopes_impl})


def _spike_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, call: Call, names: tuple[str, ...]) -> tuple[jax.Array, Any]:
    v, *arrays = primals
    spikes = spike_p.bind(*primals, call=call, names=names)
    expression = None if names else call.formula.expression(call.numbers)
    if expression is not None and expression.passes:
        return spikes, tangents[0]
    kind = Kept.POTENTIAL if expression is None else expression.kept
    kept = [mask_p.bind(v, call=call)] if kind is Kept.MASK else {Kept.POTENTIAL: [v], Kept.SPIKES: [spikes]}.get(kind, [])
    moving = {name: dot for name, dot in zip(("v", *names), tangents, strict=True) if not _is_zero(dot)}
    _check_primitive(call, [name for name in moving if name != "v"])
    dots = [dot if name == "v" else expanded(dot, v, _computing(v)) for name, dot in moving.items()]
    return spikes, slopes_p.bind(*dots, *kept, *arrays, call=call, slopes=Slopes(kind, names, tuple(moving)))[0]


def _spike_batched(operands: Sequence[Any], dims: Sequence[Any], *, call: Call, names: tuple[str, ...]) -> tuple[jax.Array, int]:
    size = _batch_size(operands, dims)
    v = batch_first(operands[0], dims[0], size)
    arrays = [_batched_parameter(x, dim, v.ndim) for x, dim in zip(operands[1:], dims[1:], strict=True)]
    return spike_p.bind(v, *arrays, call=call, names=names), 0


def _slopes_abstract(*operands: Any, call: Call, slopes: Slopes) -> list[Any]:
    given, kept, _ = slopes.split(operands)
    if not slopes.transposed:
        return [(kept if slopes.kind is Kept.POTENTIAL else given)[0].update(weak_type=False)]
    cotangent = given[0].update(weak_type=False)
    return [cotangent if name == "v" else cotangent.update(dtype=_computing(cotangent)) for name in slopes.along]


def _slopes_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, call: Call, slopes: Slopes) -> tuple[list[Any], list[Any]]:
    outputs = slopes_p.bind(*primals, call=call, slopes=slopes)
    terms = []
    given, kept, arrays = slopes.split(primals)
    given_dots, *other_dots = slopes.split(tangents)
    moving = [not _is_zero(dot) for dot in given_dots]
    if any(moving):
        linear = slopes if slopes.transposed else slopes.only(moving)
        dots = [dot for dot, moves in zip(given_dots, moving, strict=True) if moves]
        terms.append(slopes_p.bind(*dots, *kept, *arrays, call=call, slopes=linear))
    operands, dots = [*kept, *arrays], [*other_dots[0], *other_dots[1]]
    # What is kept instead of v decides between constants: it has no derivative, and the spikes must not lend it theirs.
    along = [i for i, dot in enumerate(dots) if not _is_zero(dot)] if slopes.kind is Kept.POTENTIAL else []
    if along:

        def by_operands(*chosen: jax.Array) -> list[jax.Array]:
            by_index = dict(zip(along, chosen, strict=True))
            rest = [by_index.get(i, x) for i, x in enumerate(operands)]
            return _slopes_impl(*given, *rest, call=call, slopes=slopes, differentiable=True)

        terms.append(jax.jvp(by_operands, [operands[i] for i in along], [dots[i] for i in along])[1])
    if not terms:
        return outputs, [_no_tangent(x) for x in outputs]
    return outputs, [functools.reduce(jnp.add, each) for each in zip(*terms, strict=True)]


def _slopes_transpose(cotangents: Sequence[Any], *operands: Any, call: Call, slopes: Slopes) -> list[Any]:
    given, kept, arrays = slopes.split(operands)
    asked = [is_undefined_primal(x) for x in given]
    rest = [None] * (len(kept) + len(arrays))
    present = [not _is_zero(c) for c in cotangents]
    if not any(present):
        return [Zero(x.aval) if wanted else None for x, wanted in zip(given, asked, strict=True)] + rest
    turned = slopes.turned().only(present if slopes.transposed else asked)
    values = [c for c in cotangents if not _is_zero(c)]
    found = iter(slopes_p.bind(*values, *kept, *arrays, call=call, slopes=turned))
    return [next(found) if wanted else None for wanted in asked] + rest


def _slopes_batched(
    operands: Sequence[Any], dims: Sequence[Any], *, call: Call, slopes: Slopes
) -> tuple[list[jax.Array], list[int]]:
    size = _batch_size(operands, dims)
    given, kept, arrays = slopes.split(list(zip(operands, dims, strict=True)))
    full = [batch_first(x, dim, size) for x, dim in (*given, *kept)]
    parameters = [_batched_parameter(x, dim, full[0].ndim) for x, dim in arrays]
    outputs = slopes_p.bind(*full, *parameters, call=call, slopes=slopes)
    return outputs, [0] * len(outputs)


def _batch_size(operands: Sequence[Any], dims: Sequence[Any]) -> int:
    return next(x.shape[dim] for x, dim in zip(operands, dims, strict=True) if dim is not None)


def _batched_parameter(x: Any, dim: Any, ndim: int) -> Any:
    """Return a parameter beside a batch of potentials with `ndim` axes: the batch first, its other axes at the end."""
    if dim is None:
        return x
    x = jnp.moveaxis(x, dim, 0)
    return jax.lax.expand_dims(x, range(1, 1 + ndim - x.ndim))


def _define(
    primitive: Primitive,
    impl: Callable[..., Any],
    abstract: Callable[..., Any],
    jvp: Callable[..., Any],
    batched: Callable[..., Any],
) -> None:
    primitive.def_impl(impl)
    primitive.def_abstract_eval(abstract)
    primitive_jvps[primitive] = jvp
    primitive_batchers[primitive] = batched
    register_lowering(primitive, lower_function(impl, multiple_results=primitive.multiple_results))


_define(spike_p, _spike_impl, _spike_abstract, _spike_jvp, _spike_batched)
_define(mask_p, _mask_impl, _mask_abstract, _mask_jvp, _mask_batched)
_define(slopes_p, _slopes_impl, _slopes_abstract, _slopes_jvp, _slopes_batched)
primitive_transposes[slopes_p] = _slopes_transpose


def _same_manual_axes(v: jax.Array, arrays: Arrays) -> tuple[jax.Array, Arrays]:
    """Inside shard_map, v and the arrays marked as varying over the same mesh axes: their cotangents will be."""
    leaves, structure = jax.tree.flatten((v, arrays))
    varying = [varying_axes(leaf) for leaf in leaves]
    every = frozenset().union(*varying)
    marked = [vary_over(leaf, tuple(every - own)) if every - own else leaf for leaf, own in zip(leaves, varying, strict=True)]
    return jax.tree.unflatten(structure, marked)


def is_plain(v: jax.Array, arrays: Arrays) -> bool:
    """Whether nobody can ask for a gradient."""
    return not isinstance(v, Tracer) and not (arrays and any(isinstance(x, Tracer) for x in arrays.values()))


def _given(v: Any, surrogate: Any, caller: str) -> tuple[jax.Array, Surrogate]:
    """Return the potential as an array and the surrogate that is meant."""
    if not isinstance(surrogate, Surrogate):
        surrogate = surrogate_of(surrogate, caller, v)
    # The dtype of an array is checked once, when its call is made.
    return v if isinstance(v, jax.Array) else checked_potential(surrogate, v, ARRAYS), surrogate


def spike(
    v: ArrayLike,
    surrogate: AnySurrogate,
    *,
    rule: Rule | None = None,
    random: jax.Array | None = None,
    **parameters: float | jax.Array,
) -> jax.Array:
    """Return the spikes of v, 1 where v >= 0 and else 0, with the surrogate's derivatives in every mode.

    Args:
        v: potential minus threshold: any shape; float64, float32, float16 or bfloat16, which the spikes keep.
        surrogate: any `Surrogate` instance, a user's own included; a class or a function stands for its default parameters.
        rule: of `arcana.rules`, where spikes are something else than 0 and 1.
        random: what `Stochastic` draws from, a key or an array of numbers from [0, 1) of v's shape.
        parameters: parameters by keyword in place of the instance's, each a number or an array that broadcasts to v.

    Raises:
        TypeError: v is no floating-point jax.Array, the surrogate has no such parameter, or the rule is none.
        ValueError: a number is out of its bounds, an array does not broadcast to v, or the rule cannot be had with the surrogate.

    >>> import jax.numpy as jnp
    >>> from arcana.surrogate import FastSigmoid
    >>> from arcana.jax import spike
    >>> spike(jnp.array([-0.04, 0.0, 0.04]), FastSigmoid(scale=25.0))
    Array([0., 1., 1.], dtype=float32)
    """
    v, surrogate = _given(v, surrogate, "spike")
    if rule is not None or random is not None:
        from arcana.jax import _rules

        return _rules.by_rule(v, surrogate, rule, random, parameters)
    call, arrays = call_of(v, surrogate, parameters)
    if is_plain(v, arrays):
        return call.fire(v)
    return traced(v, call, arrays)


def traced(v: jax.Array, call: Call, arrays: Arrays) -> jax.Array:
    """Return the spikes where a transform looks on."""
    if arrays:
        v, arrays = _same_manual_axes(v, arrays)
    return spike_p.bind(v, *arrays.values(), call=call, names=tuple(arrays))


def evaluate(surrogate: AnySurrogate, which: str, v: ArrayLike, **parameters: float | jax.Array) -> jax.Array:
    """Return h (`which` = "derivative") or G ("primitive") of v, in v's dtype.

    What JAX differentiates it to is not h everywhere: where G is written by |v| it is 0 at v = 0. A spike function with
    `rule=arcana.rules.Smooth()` is G with h for its derivative, to every order.

    >>> import jax.numpy as jnp
    >>> from arcana.jax import evaluate
    >>> from arcana.surrogate import FastSigmoid
    >>> evaluate(FastSigmoid(scale=25.0), "derivative", jnp.array([-0.04, 0.0, 0.04]))
    Array([0.25, 1.  , 0.25], dtype=float32)
    """
    check_which(which)
    v, surrogate = _given(v, surrogate, "evaluate")
    call, arrays = call_of(v, surrogate, parameters)
    if which == "derivative" and not is_plain(v, arrays):
        # By the primitive, whose own derivative is not NaN where the formula overflows on its way to 0.
        v, arrays = _same_manual_axes(v, arrays)
        slopes = Slopes(Kept.POTENTIAL, tuple(arrays), ("v",))
        return slopes_p.bind(jnp.ones_like(v), v, *arrays.values(), call=call, slopes=slopes)[0]
    return _evaluation(call.formula, which)(v, {**call.numbers, **arrays})


@per_class_cache
def _evaluation(formula: Formula, which: str) -> Callable[..., jax.Array]:
    """Return h or G in v's dtype, as a function of v and the parameters."""

    def evaluated(v: jax.Array, parameters: dict[str, Any]) -> jax.Array:
        return Derivative(formula, v, parameters).evaluate(which).astype(v.dtype)

    return jax.jit(evaluated, inline=True)


class SpikeFunction(GeneratedClass[jax.Array], metaclass=DefinitionMeta):
    """The base of the generated classes; each subclass holds its `definition`.

    >>> import jax.numpy as jnp
    >>> from arcana.jax import FastSigmoid, SpikeFunction
    >>> issubclass(FastSigmoid, SpikeFunction)
    True
    >>> FastSigmoid.apply(jnp.array([-0.04, 0.0, 0.04]), scale=25.0)
    Array([0., 1., 1.], dtype=float32)
    """


@per_class_cache
def function_of(definition: type[Surrogate]) -> type[SpikeFunction]:
    """Return the class of a definition, made once."""
    namespace = {
        "definition": definition,
        "spike": staticmethod(spike),
        "evaluate": staticmethod(evaluate),
        "__doc__": definition.__doc__,
        "__module__": "arcana.jax",
    }
    return DefinitionMeta(definition.__name__, (SpikeFunction,), namespace)


# A surrogate held by a model (Equinox, a plain dataclass) is then a pytree without leaves, and plain jax.jit takes the model.
register_pytrees()
