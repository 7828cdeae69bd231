"""dG/dparameter as symbols: as the definition has it, or the derivative of a traced G, by the chain rule backwards."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from arcana._core.caches import per_class_cache
from arcana._core.expression import (
    Expression,
    Symbol,
    SymbolNamespace,
    Tape,
    UntraceableError,
    compute,
    evaluated,
    needed,
    recorded,
    sample,
    trace,
)
from arcana._core.namespace import FAR
from arcana._core.numpy import NAMESPACE as NUMPY

if TYPE_CHECKING:
    from arcana._core.formula import Formula


@dataclasses.dataclass(frozen=True)
class Choice:
    """A derivative that is one thing where a comparison is true, and another where it is not."""

    mask: Symbol
    true: Adjoint
    false: Adjoint


Adjoint: TypeAlias = "Symbol | float | Choice"
"""The derivative of the result along one symbol. What a comparison decides is chosen at the end, once."""

Step = Callable[[Adjoint], Adjoint]
"""From the adjoint of an operation to what it adds to the adjoint of an operand."""


@per_class_cache
def trace_slope(formula: Formula, names: tuple[str, ...], along: str, guarded: bool) -> Expression | None:
    """Return dG/dparameter in the place of h, of a formula with parameters of these names; None where it cannot be had.

    Guarded, it computes no NaN or infinity for the side of a choice that is not taken, where the formula does not.
    """
    try:
        tape, v, parameters, primitive = recorded(formula, functools.partial(formula.evaluate, "primitive"), names)
        derived = slope(primitive, parameters[along], guarded)
        found = _as_defined(formula, names, along, Expression(tape, v, parameters, derived, None, tape.record("nonnegative", v)))
    except Exception:
        # As for h: whatever goes wrong, the framework differentiates the formula as it is written.
        return None
    return found


def _as_defined(formula: Formula, names: tuple[str, ...], along: str, derived: Expression) -> Expression:
    """Return dG/dparameter as the definition has it, where it has it and it agrees with what is derived, else as derived."""
    try:
        tape, v, parameters, own = recorded(formula, functools.partial(formula.sensitivity, along), names)
    except Exception:
        return derived
    found = Expression(tape, v, parameters, own, None, tape.record("nonnegative", v), stated=True)
    potentials, numbers = sample(formula.definition, names)
    potentials = np.nan_to_num(potentials, nan=0.0, posinf=math.inf, neginf=-math.inf)
    finite = np.nan_to_num(potentials, posinf=FAR["float64"], neginf=-FAR["float64"])
    other, one = evaluated(derived.h, derived.v, derived.parameters, finite, numbers), np.ones_like(finite)
    of_h = trace(formula, names)
    with np.errstate(all="ignore"):
        h = np.broadcast_to(formula.evaluate("derivative", potentials, NUMPY, numbers), finite.shape)
        # As it stands, and as it is computed beside an h that is there.
        every = [evaluated(found.h, v, parameters, finite, numbers)]
        every += [_computed(found, of_h, numbers, NUMPY, finite, h, one, lambda: h)] if of_h else []
    # A slope of a wave grows with v: at ±FAR it is a number by chance.
    known = np.abs(other) < 1e100
    close = [np.abs(each[known] - other[known]) <= 1e-9 + 1e-6 * np.abs(other[known]) for each in every]
    return found if all(each.all() for each in close) else derived


def slope(result: Symbol, along: Symbol, guarded: bool = False) -> Symbol:
    """Return the derivative of the result along a parameter; an UntraceableError where an operation has no rule."""
    tape, order, varying = result.tape, needed([result]), {along}
    for each in order:
        if any(x in varying for x in each.symbols):
            varying.add(each)
    adjoints: dict[Symbol, Adjoint] = {result: 1.0} if result in varying else {}
    for each in reversed(order):
        if each in adjoints and each is not along:
            for operand, step in zip(each.operands, _steps(each), strict=True):
                if step is not None and isinstance(operand, Symbol) and operand in varying:
                    adjoints[operand] = _sum(adjoints.get(operand, 0.0), step(adjoints[each]), tape)
    return _chosen(adjoints.get(along, 0.0), tape, guarded)


@dataclasses.dataclass(frozen=True)
class Summand:
    """A product in a sum.

    Attributes:
        of_h: whether h is a factor.
        arrays: the other arrays, in their order.
        constant: the product of the numbers and of what depends on the parameters alone, None for 1.
    """

    of_h: bool
    arrays: list[Symbol]
    constant: Symbol | float | None


def summands(slope: Symbol, h: Symbol) -> list[Summand]:
    """Return dG/dparameter as a sum of products, so that h, which is there already, and what is constant can be told."""
    found = []
    for arrays, constants in _products(slope, h):
        # By identity, since == of symbols is a comparison of arrays.
        place = next((i for i, each in enumerate(arrays) if each is h), None)
        rest = [each for i, each in enumerate(arrays) if i != place]
        # The numbers first, which make one.
        ordered = sorted(constants, key=lambda each: isinstance(each, Symbol))
        found.append(Summand(place is not None, rest, functools.reduce(operator.mul, ordered) if ordered else None))
    return found


def slope_product(
    formula: Formula,
    along: str,
    dtype: str,
    parameters: Mapping[str, Any],
    xp: Any,
    v: Any,
    h: Any,
    cotangent: Any,
    product: Callable[[], Any],
) -> Any:
    """Return cotangent · dG/dparameter by plain operations from its trace; None where it has none.

    Args:
        formula: of the call.
        along: the parameter.
        dtype: to compute in.
        parameters: all of the call's, in the computing dtype.
        xp: the backend's functions.
        v: the potential.
        h: its derivative.
        cotangent: in the computing dtype.
        product: makes cotangent · h, to be multiplied.
    """
    names = tuple(parameters)
    expression, of_h = trace_slope(formula, names, along, True), trace(formula, names)
    if expression is None or of_h is None:
        return None
    if _settles(formula, names, along):
        finite = xp.held(v, float(np.finfo(dtype).max))
    else:
        far = xp.number(FAR[dtype])
        finite = xp.where(xp.infinite(v), xp.where(v > 0, far, -far), v)
    return _computed(expression, of_h, parameters, xp, finite, h, cotangent, product)


@per_class_cache
def _settles(formula: Formula, names: tuple[str, ...], along: str) -> bool:
    """Whether dG/dparameter is the same far out, however large a number stands for an infinite potential."""
    expression, of_h = trace_slope(formula, names, along, True), trace(formula, names)
    assert expression is not None
    assert of_h is not None
    infinite, one = np.array([math.inf, -math.inf]), np.ones(2)
    _, numbers = sample(formula.definition, names)
    with np.errstate(all="ignore"):
        h = np.broadcast_to(formula.evaluate("derivative", infinite, NUMPY, numbers), (2,))
        far = [np.copysign(bound, infinite) for bound in (FAR["float64"], np.finfo(np.float64).max)]
        found = [_computed(expression, of_h, numbers, NUMPY, v, h, one, lambda: h) for v in far]
    return bool(np.isfinite(found).all()) and np.array_equal(*found)


def _computed(
    expression: Expression,
    of_h: Expression,
    parameters: Mapping[str, Any],
    xp: Any,
    v: Any,
    h: Any,
    cotangent: Any,
    product: Callable[[], Any],
) -> Any:
    """Compute a product from the expressions of dG/dparameter and of h. v is finite; h may be the limit at an infinite one."""
    whole = expression.tape.replaced(of_h.h, {of_h.v: expression.v})
    values: dict[Any, Any] = {symbol: parameters[name] for name, symbol in expression.parameters.items()} | {expression.v: v}
    values[whole] = h

    def value(x: Any) -> Any:
        if isinstance(x, Symbol):
            compute([x], values, xp, xp.zeros_like(v))
        return values[x] if isinstance(x, Symbol) else x

    def times(slope: Any) -> Any:
        first, *others = summands(slope, whole)
        if others:
            return cotangent * value(slope)
        found, arrays = product() if first.of_h else cotangent, first.arrays
        chosen = next((x for x in arrays if x.operation == "where" and any(each is whole for each in needed([x]))), None)
        if chosen is not None:
            # On either side by itself, so that there too the product with h, if it has one, is the one that is made.
            mask, *sides = chosen.operands
            found = xp.where(value(mask), *map(times, sides))
            arrays = [x for x in arrays if x is not chosen]
        # A constant first: what it makes smaller might overflow.
        return functools.reduce(operator.mul, (value(x) for x in (first.constant, *arrays) if x is not None), found)

    return times(expression.h)


def _products(symbol: Any, h: Symbol) -> list[tuple[list[Symbol], list[Any]]]:
    """Return the arrays and the constants of each product; h is not taken apart."""
    if not isinstance(symbol, Symbol) or not symbol.moves:
        return [([], [symbol])]
    if symbol is h or symbol.operation not in ("add", "sub", "neg", "mul"):
        return [([symbol], [])]
    parts = [_products(each, h) for each in symbol.operands]
    if symbol.operation == "mul":
        # A sum of arrays times an array stays one array.
        both = all(isinstance(each, Symbol) and each.moves for each in symbol.operands)
        parts = [[([x], [])] if both and len(part) > 1 else part for x, part in zip(symbol.operands, parts, strict=True)]
        return [(a + c, b + d) for a, b in parts[0] for c, d in parts[1]]
    if symbol.operation != "add":
        parts[-1] = [(arrays, [*constants, -1.0]) for arrays, constants in parts[-1]]
    return [each for part in parts for each in part]


def _is(adjoint: Adjoint, number: float) -> bool:
    # Not isinstance, which asks a symbol for its class: a formula may not.
    return type(adjoint) is float and adjoint == number


def _sum(x: Adjoint, y: Adjoint, tape: Tape) -> Adjoint:
    if _is(x, 0.0) or _is(y, 0.0):
        return y if _is(x, 0.0) else x
    if type(x) is Choice and type(y) is Choice and x.mask is y.mask:
        return Choice(x.mask, _sum(x.true, y.true, tape), _sum(x.false, y.false, tape))
    return tape.record("add", _chosen(x, tape), _chosen(y, tape))


def _product(adjoint: Adjoint, factor: Any) -> Adjoint:
    if type(adjoint) is Choice:
        return Choice(adjoint.mask, _product(adjoint.true, factor), _product(adjoint.false, factor))
    return factor if _is(adjoint, 1.0) else adjoint if _is(adjoint, 0.0) else adjoint * factor


def _chosen(adjoint: Adjoint, tape: Tape, guarded: bool = True) -> Symbol:
    """Return the derivative as a symbol; not guarded, with the other choices by the same comparison made on either side."""
    if _is(adjoint, 0.0):
        return tape.zero
    if type(adjoint) is not Choice:
        return adjoint if type(adjoint) is Symbol else tape.record("add", tape.zero, adjoint)
    mask, sides = adjoint.mask, [_chosen(side, tape, guarded) for side in (adjoint.true, adjoint.false)]
    if not guarded:
        sides = [tape.replaced(side, record=functools.partial(_decided, tape, mask, i)) for i, side in enumerate(sides, 1)]
    return tape.record("where", mask, *sides)


def _decided(tape: Tape, mask: Symbol, place: int, operation: str, *operands: Any) -> Symbol:
    """Record an operation where a comparison is known: of a choice by it, the operand at that place."""
    decided = operation == "where" and operands[0] is mask
    return _chosen(operands[place], tape) if decided else tape.record(operation, *operands)


def _same(adjoint: Adjoint) -> Adjoint:
    return adjoint


def _times(factor: Any) -> Step:
    return lambda adjoint: _product(adjoint, factor)


def _steps(symbol: Symbol) -> tuple[Step | None, ...]:
    """Return a step for each operand of an operation, None for one along which it is constant or a jump."""
    rule = _RULES.get(symbol.operation)
    if rule is None:
        if symbol.boolean or symbol.operation in _FLAT:
            return (None,) * len(symbol.operands)
        msg = f"{symbol.operation} has no derivative here"
        raise UntraceableError(msg)
    return rule(SymbolNamespace(symbol.tape), symbol, *symbol.operands)


def _where(mask: Symbol, true: bool) -> Step:
    def step(adjoint: Adjoint) -> Adjoint:
        side = adjoint
        if type(adjoint) is Choice and adjoint.mask is mask:
            side = adjoint.true if true else adjoint.false
        return Choice(mask, side, 0.0) if true else Choice(mask, 0.0, side)

    return step


def _divide(xp: Any, y: Any, a: Any, b: Any) -> tuple[Step, Step]:
    return _times(xp.reciprocal(b)), _times(-xp.divide(y, b))


def _power(xp: Any, y: Any, x: Any, exponent: Any) -> tuple[Step, Step]:
    # The power of a base that is 0 is constant along its exponent.
    logarithm = xp.where(x == 0, y.tape.zero, xp.log(x)) if isinstance(x, Symbol) else math.log(x) if x > 0 else 0.0
    return _times(xp.power(x, exponent - 1) * exponent), _times(y * logarithm)


def _bounded(mask: Symbol) -> tuple[Step, Step]:
    return _where(mask, true=False), _where(mask, true=True)


_FLAT = ("round", "sign", "zero")
"""Constant between their jumps."""

_RULES: dict[str, Callable[..., tuple[Step | None, ...]]] = {
    "abs": lambda xp, y, x: (_times(xp.sign(x)),),
    "add": lambda xp, y, a, b: (_same, _same),
    "arctan": lambda xp, y, x: (_times(xp.reciprocal(xp.square(x) + 1)),),
    "compound": lambda xp, y, x, exponent: (_times(xp.divide(y, x + 1) * exponent), _times(y * xp.log1p(x))),
    "cos": lambda xp, y, x: (_times(-xp.sin(x)),),
    "decay": lambda xp, y, x, rate: (_times(-(y * rate)), _times(-(y * x))),
    "divide": _divide,
    "erf": lambda xp, y, x: (_times(xp.exp(-xp.square(x)) * (2 / math.sqrt(math.pi))),),
    "erfc": lambda xp, y, x: (_times(xp.exp(-xp.square(x)) * (-2 / math.sqrt(math.pi))),),
    "exp": lambda xp, y, x: (_times(y),),
    "expm1": lambda xp, y, x: (_times(xp.exp(x)),),
    "log": lambda xp, y, x: (_times(xp.reciprocal(x)),),
    "log1p": lambda xp, y, x: (_times(xp.reciprocal(x + 1)),),
    "maximum": lambda xp, y, x, bound: _bounded(x <= bound),
    "minimum": lambda xp, y, x, bound: _bounded(x >= bound),
    "mul": lambda xp, y, a, b: (_times(b), _times(a)),
    "neg": lambda xp, y, x: (_times(-1.0),),
    "pow": _power,
    "power": _power,
    "reciprocal": lambda xp, y, x: (_times(-xp.square(y)),),
    "relu": lambda xp, y, x: (_where(xp.positive(x), true=True),),
    "sin": lambda xp, y, x: (_times(xp.cos(x)),),
    "sin_of_turns": lambda xp, y, x: (_times(xp.cos(x * math.tau) * math.tau),),
    "sqrt": lambda xp, y, x: (_times(xp.divide(0.5, y)),),
    "square": lambda xp, y, x: (_times(x * 2),),
    "sub": lambda xp, y, a, b: (_same, _times(-1.0)),
    "truediv": _divide,
    "turns": lambda xp, y, v, period: (_times(xp.reciprocal(period)), _times(-xp.divide(xp.divide(v, period), period))),
    "where": lambda xp, y, mask, a, b: (None, _where(mask, true=True), _where(mask, true=False)),
}
"""By operation the steps of its operands, from `xp`, the operation's own symbol and its operands."""
