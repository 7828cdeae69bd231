"""torch's function for each operation of a traced formula."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch

from arcana.surrogate._namespace import FUNCTIONS, SHORTCUTS, Namespace
from arcana.surrogate._trace import Symbol, SymbolNamespace, needed
from arcana.torch._bits import choose, comparison, comparison_as_bools, logical, number, truth, truth_as_bools
from arcana.torch._namespace import NAMESPACE, decay, short_compound, short_turns

Function = Callable[..., Any]
Constant = Symbol | float


def _relu(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    # torch.relu is this, and takes no `out`.
    return torch.clamp_min(x, 0.0, out=out)


def _at_number(function: Function) -> Function:
    """The function with the number that its last operand, a tensor, holds."""

    def applied(x: torch.Tensor, number: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        return function(x, number.item(), out=out)

    applied.__name__ = function.__name__
    return applied


_NUMBERS: dict[str, Function] = {
    "abs": torch.abs,
    "add": torch.add,
    "arctan": torch.arctan,
    "cos": torch.cos,
    "divide": torch.div,
    "erf": torch.erf,
    "erfc": torch.special.erfc,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mul": torch.mul,
    "neg": torch.neg,
    "power": torch.pow,
    "reciprocal": torch.reciprocal,
    "relu": _relu,
    "round": torch.round,
    "short_compound": _at_number(short_compound),
    "short_turns": _at_number(short_turns),
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "sub": torch.sub,
}
COMPARISONS: dict[str, Function] = {each: getattr(torch, each) for each in ("eq", "ge", "gt", "le", "lt", "ne")}
COMPARISONS |= {"nonnegative": torch.ge, "positive": torch.gt}
_LOGICAL: dict[str, Function] = {
    "and_": torch.bitwise_and,
    "invert": torch.bitwise_not,
    "or_": torch.bitwise_or,
    "xor": torch.bitwise_xor,
}
_NUMBERS |= {f"number_{name}": each for name, each in COMPARISONS.items()} | {"number_truth": number}
PLAIN = {**_NUMBERS, **COMPARISONS, **_LOGICAL, "truth": truth_as_bools, "where": torch.where}
"""torch's own functions, for few elements and for a compiler."""
BOOLS = {**PLAIN, **{name: comparison_as_bools(each) for name, each in COMPARISONS.items()}}
"""For many elements, where the result is a comparison."""
BITS = {
    **_NUMBERS,
    **{name: comparison(each) for name, each in COMPARISONS.items()},
    **{name: logical(each) for name, each in _LOGICAL.items()},
    "truth": truth,
    "where": choose,
}
"""For many elements, with bits in the place of bools."""
# Each of these takes `out`; an operation that is in none of the tables is called as it is.

_WITH_ZERO = ("nonnegative", "positive", "truth", "number_nonnegative", "number_positive", "number_truth")


def function_of(operation: str) -> Function:
    """The function of an operation that is in none of the tables."""
    return getattr(NAMESPACE if operation in FUNCTIONS else operator, operation)


def key(operand: Constant) -> Symbol | str:
    """Of a number its digits, since 0.0 and −0.0 are one as keys."""
    return operand if isinstance(operand, Symbol) else repr(float(operand))


def operands(symbol: Symbol) -> tuple[Constant, ...]:
    """The operands of torch's function, which compares with a 0 that it is given."""
    return (*symbol.operands, symbol.tape.zero) if symbol.operation in _WITH_ZERO else symbol.operands


def is_constant(symbol: Symbol, operand: Constant) -> bool:
    """Whether it is handed over as a tensor; torch's power is another function for a number, and so is number / tensor."""
    if isinstance(operand, Symbol):
        return not operand.moves
    return symbol.operation in PLAIN and symbol.operation != "power"


def constants_of(results: list[Symbol], inputs: list[Symbol]) -> dict[Symbol | str, Constant]:
    """The constants that the results need besides the inputs, 0 first, each under its key."""
    zero = results[0].tape.zero
    moving = [each for each in needed(results, given=inputs) if each.moves]
    return {zero: zero} | {key(x): x for each in moving for x in operands(each) if is_constant(each, x)}


def written_out(result: Symbol, dtype: torch.dtype, short: bool) -> Symbol:
    """The result with what this backend makes a function of `xp` of in the place of that function.

    Args:
        result: a traced formula.
        dtype: to compute in.
        short: whether the functions of `SHORTCUTS` go the short way.
    """
    tape = result.tape
    symbols = SymbolNamespace(tape)

    def record(operation: str, *operands: Any) -> Symbol:
        if operation == "decay":
            x, rate = operands
            return decay(x, rate, dtype, symbols, functools.partial(tape.record, "exp2"))
        if operation in SHORTCUTS and short:
            return tape.record(f"short_{operation}", *operands)
        written = getattr(Namespace, operation, None)
        return tape.record(operation, *operands) if written is None else written(symbols, *operands)

    return tape.replaced(result, record=record)


def with_numbers(result: Symbol) -> Symbol:
    """The result with 1.0 and 0.0 straight from a comparison, where they were chosen by it."""
    tape = result.tape
    by = {
        each: tape.record(f"number_{comparison.operation}", *comparison.operands)
        for each in needed([result])
        for comparison in (each.symbols[:1] if each.operation == "where" else ())
        if each is tape.as_number(comparison) and f"number_{comparison.operation}" in PLAIN
    }
    return tape.replaced(result, by)
