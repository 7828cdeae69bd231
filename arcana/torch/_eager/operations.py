"""torch's function for each operation of a traced formula."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from arcana._core import FAR, NOTHING, SHORTCUTS, Namespace, Symbol, SymbolNamespace, needed
from arcana.torch._eager.masks import choose, comparison, comparison_as_bools, larger, logical, number, truth, truth_as_bools
from arcana.torch._namespace import decay, fmod, short_compound, short_turns, sign

Function = Callable[..., Any]
Constant = Symbol | float


def _relu(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    # torch.relu is this, and takes no `out`.
    return torch.clamp_min(x, 0.0, out=out)


def _finite(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Return ±FAR for ±inf, where a formula that is differentiated may have no number."""
    far = _FAR[x.dtype]
    return torch.nan_to_num(x, math.nan, far, -far, out=out)


_FAR = {getattr(torch, dtype): far for dtype, far in FAR.items()}


def written_out_finite(x: Symbol, dtype: torch.dtype) -> Symbol:
    """Return what the operation `finite` of x is made of, for whoever has no function of its own."""
    record, far = x.tape.record, _FAR[dtype]
    return record("where", record("infinite", x), record("where", record("positive", x), far, -far), x)


def _as_numbers(compare: Function) -> Function:
    """Return a comparison, torch.ge say, that gives 1.0 and 0.0."""

    def compared(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        return compare(x, y, out=torch.empty_like(larger(x, y)) if out is None else out)

    compared.__name__ = f"{compare.__name__}_as_numbers"
    return compared


def _at_number(function: Function) -> Function:
    """Return the function, taking the number that its last operand, a tensor, holds."""

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
    "finite": _finite,
    "log": torch.log,
    "log1p": torch.log1p,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mul": torch.mul,
    "neg": torch.neg,
    "pow": torch.pow,
    "power": torch.pow,
    "reciprocal": torch.reciprocal,
    "relu": _relu,
    "round": torch.round,
    "short_compound": _at_number(short_compound),
    "short_sign": torch.sign,
    "short_turns": _at_number(short_turns),
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "sub": torch.sub,
}
COMPARISONS: dict[str, Function] = {each: getattr(torch, each) for each in ("eq", "ge", "gt", "le", "lt", "ne")}
COMPARISONS |= {"at_least": torch.ge, "nonnegative": torch.ge, "positive": torch.gt}
_LOGICAL: dict[str, Function] = {
    "and_": torch.bitwise_and,
    "invert": torch.bitwise_not,
    "or_": torch.bitwise_or,
    "xor": torch.bitwise_xor,
}
_NUMBERS |= {f"number_{name}": _as_numbers(each) for name, each in COMPARISONS.items()} | {"number_truth": number}
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
    """Return the function of an operation that is in none of the tables."""
    return {"fmod": fmod, "sign": sign}.get(operation) or getattr(operator, operation)


def key(operand: Constant) -> Symbol | str:
    """Return a symbol itself and the digits of a number, since 0.0 and −0.0 are one as keys."""
    return operand if isinstance(operand, Symbol) else repr(float(operand))


def operands(symbol: Symbol) -> tuple[Constant, ...]:
    """Return the operands of torch's function, which compares with a 0 that it is given."""
    return (*symbol.operands, symbol.tape.zero) if symbol.operation in _WITH_ZERO else symbol.operands


def constant_operands(symbol: Symbol) -> list[Constant]:
    """Return those that are handed over as tensors.

    torch's power is another function for a number, and so is number / tensor.
    """
    return [x for i, x in enumerate(operands(symbol)) if (not x.moves if isinstance(x, Symbol) else _as_tensor(symbol, i))]


def _as_tensor(symbol: Symbol, i: int) -> bool:
    return symbol.operation in PLAIN and (symbol.operation not in ("pow", "power") or i == 0)


def given(symbol: Symbol, values: Mapping[Symbol | str, Any]) -> list[Any]:
    """Return what torch's function takes: the value of each operand, or the number itself."""
    every = enumerate(operands(symbol))
    return [values[key(x)] if isinstance(x, Symbol) or _as_tensor(symbol, i) else x for i, x in every]


def constants_of(results: list[Symbol], inputs: list[Symbol]) -> dict[Symbol | str, Constant]:
    """Return the constants that the results need besides the inputs, 0 first, each under its key."""
    zero = results[0].tape.zero
    moving = [each for each in needed(results, given=inputs) if each.moves]
    return {zero: zero} | {key(x): x for each in moving for x in constant_operands(each)}


def written_out(
    result: Symbol,
    dtype: torch.dtype,
    short: bool,
    exact: bool,
    tensors: Iterable[Symbol] = (),
    known: Mapping[Symbol, Symbol] = NOTHING,
) -> Symbol:
    """Return the result with this backend's operations in the place of those functions of `xp` that are made of others.

    What depends on numbers alone is left as it is: it is found once, by `xp`.

    Args:
        result: a traced formula.
        dtype: to compute in.
        short: whether the functions of `SHORTCUTS` go the short way.
        exact: whether a bound that depends on the parameters may be 0 or NaN, where torch's own maximum and minimum are others.
        tensors: the parameters that are arrays to whoever computes the result.
        known: what is written out already.
    """
    tape = result.tape
    symbols = SymbolNamespace(tape)
    symbols.infinite = functools.partial(Namespace.infinite, symbols)

    def record(operation: str, *operands: Any) -> Symbol:
        if operation == "decay":
            x, rate = operands
            return decay(x, rate, dtype, symbols, functools.partial(tape.record, "exp2"))
        if operation in SHORTCUTS and short:
            return tape.record(f"short_{operation}", *operands)
        if operation in BOUNDED and _needs_choice(operands[0], operands[1], exact):
            x, bound = operands
            return tape.record("where", tape.record(BOUNDED[operation], x, bound), bound, x)
        written = getattr(Namespace, operation, None)
        return tape.record(operation, *operands) if written is None else written(symbols, *operands)

    moving = depending([result], tensors)
    constants = {each: each for each in needed([result]) if each not in moving}
    return tape.replaced(result, {**constants, **known}, record)


def depending(results: Iterable[Symbol], given: Iterable[Symbol]) -> set[Symbol]:
    """Return what the results need that depends on v, or on what is given."""
    found = set(given)
    for each in needed(results):
        if each.moves or any(x in found for x in each.symbols):
            found.add(each)
    return found


BOUNDED = {"maximum": "le", "minimum": "ge"}
"""Which comparison takes the bound: `xp.maximum(x, bound)` is the bound where x <= bound, and x elsewhere."""


def _needs_choice(x: Constant, bound: Constant, exact: bool) -> bool:
    """Whether torch.maximum may differ: for a bound of NaN, and in the sign of 0."""
    if not isinstance(x, Symbol) or not x.moves:
        return True
    if isinstance(bound, Symbol):
        return bound.moves or exact
    return not abs(bound) > 0


def bounds_of(result: Symbol) -> list[Symbol]:
    """Return the bounds of torch.maximum and torch.minimum that depend on the parameters."""
    bounded = [each for each in needed([result]) if each.moves and each.operation in BOUNDED]
    return [each.operands[1] for each in bounded if isinstance(each.operands[1], Symbol)]


def with_numbers(result: Symbol) -> Symbol:
    """Return the result with 1.0 and 0.0 straight from a comparison, where they were chosen by it."""
    tape = result.tape
    by = {
        each: tape.record(f"number_{comparison.operation}", *comparison.operands)
        for each in needed([result])
        for comparison in (each.symbols[:1] if each.operation == "where" else ())
        if comparison.moves and each is tape.as_number(comparison) and f"number_{comparison.operation}" in PLAIN
    }
    return tape.replaced(result, by)
