"""dG/dparameter as symbols: the derivative of a traced G along one of its parameters, by the chain rule backwards."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from arcana._core.caches import per_class_cache
from arcana._core.expression import Expression, Symbol, SymbolNamespace, UntraceableError, needed, recorded

if TYPE_CHECKING:
    from arcana._core.formula import Formula

Adjoint = Symbol | float
"""The derivative of the result along one symbol."""

Step = Callable[[Adjoint], Adjoint]
"""From the adjoint of an operation to what it adds to the adjoint of an operand."""


@per_class_cache
def trace_slope(formula: Formula, names: tuple[str, ...], along: str) -> Expression | None:
    """Return dG/dparameter in the place of h, of a formula with parameters of these names; None where it cannot be had."""
    try:
        tape, v, parameters, primitive = recorded(formula, "primitive", names)
        return Expression(tape, v, parameters, slope(primitive, parameters[along]), None, tape.record("nonnegative", v))
    except Exception:
        # As for h: whatever goes wrong, the framework differentiates the formula as it is written.
        return None


def slope(result: Symbol, along: Symbol) -> Symbol:
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
                    adjoint = step(adjoints[each])
                    adjoints[operand] = adjoints[operand] + adjoint if operand in adjoints else adjoint
    found = adjoints.get(along, 0.0)
    return found if type(found) is Symbol else tape.record("add", tape.zero, found)


def _same(adjoint: Adjoint) -> Adjoint:
    return adjoint


def _times(factor: Any) -> Step:
    return lambda adjoint: factor if _is_one(adjoint) else adjoint * factor


def _is_one(adjoint: Adjoint) -> bool:
    # Not isinstance, which asks a symbol for its class: a formula may not.
    return type(adjoint) is float and adjoint == 1


def _steps(symbol: Symbol) -> tuple[Step | None, ...]:
    """Return a step for each operand of an operation, None for one along which it is constant or a jump."""
    rule = _RULES.get(symbol.operation)
    if rule is None:
        if symbol.boolean or symbol.operation in _FLAT:
            return (None,) * len(symbol.operands)
        msg = f"{symbol.operation} has no derivative here"
        raise UntraceableError(msg)
    return rule(SymbolNamespace(symbol.tape), symbol, *symbol.operands)


def _chosen(xp: Any, mask: Symbol, first: bool) -> Step:
    zero = mask.tape.zero
    return lambda adjoint: xp.where(mask, adjoint, zero) if first else xp.where(mask, zero, adjoint)


def _divide(xp: Any, y: Any, a: Any, b: Any) -> tuple[Step, Step]:
    return (lambda adjoint: xp.reciprocal(b) if _is_one(adjoint) else xp.divide(adjoint, b)), _times(-xp.divide(y, b))


def _power(xp: Any, y: Any, x: Any, exponent: Any) -> tuple[Step, Step]:
    # A power with an exponent that is no number, of a base that is 0, is constant along the exponent.
    logarithm = xp.where(x > 0, xp.log(x), y.tape.zero) if isinstance(x, Symbol) else math.log(x) if x > 0 else 0.0
    return _times(xp.power(x, exponent - 1) * exponent), _times(y * logarithm)


def _bounded(xp: Any, mask: Symbol) -> tuple[Step, Step]:
    return _chosen(xp, mask, first=False), _chosen(xp, mask, first=True)


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
    "maximum": lambda xp, y, x, bound: _bounded(xp, x <= bound),
    "minimum": lambda xp, y, x, bound: _bounded(xp, x >= bound),
    "mul": lambda xp, y, a, b: (_times(b), _times(a)),
    "neg": lambda xp, y, x: (_times(-1.0),),
    "pow": _power,
    "power": _power,
    "reciprocal": lambda xp, y, x: (_times(-xp.square(y)),),
    "relu": lambda xp, y, x: (_chosen(xp, xp.positive(x), first=True),),
    "sin": lambda xp, y, x: (_times(xp.cos(x)),),
    "sin_of_turns": lambda xp, y, x: (_times(xp.cos(x * math.tau) * math.tau),),
    "sqrt": lambda xp, y, x: (_times(xp.divide(0.5, y)),),
    "square": lambda xp, y, x: (_times(x * 2),),
    "sub": lambda xp, y, a, b: (_same, _times(-1.0)),
    "truediv": _divide,
    "turns": lambda xp, y, v, period: (_times(xp.reciprocal(period)), _times(-xp.divide(xp.divide(v, period), period))),
    "where": lambda xp, y, mask, a, b: (None, _chosen(xp, mask, first=True), _chosen(xp, mask, first=False)),
}
"""By operation the steps of its operands, from `xp`, the operation's own symbol and its operands."""
