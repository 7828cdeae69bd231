"""The backward pass of plain eager tensors: a straight program in one buffer, made from the definition's trace.

The plain evaluation of a formula allocates a tensor an operation; for large potentials most of its time goes into fresh
memory. Here each operation writes into a tensor that is no longer needed. The functions and their order are those of
the plain evaluation, so the bits are too.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.fx

from arcana.surrogate import Surrogate
from arcana.surrogate._namespace import FUNCTIONS
from arcana.surrogate._trace import Symbol, Trace, evaluate, needed, trace
from arcana.torch import _bits
from arcana.torch._bits import choose, comparison, comparison_as_bools, logical, number, truth, truth_as_bools
from arcana.torch._namespace import NAMESPACE, decay

Function = Callable[..., Any]
Constant = Symbol | float


def _relu(x: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    # torch.relu is this, and takes no `out`.
    return torch.clamp_min(x, 0.0, out=out)


_NUMBERS: dict[str, Function] = {
    "abs": torch.abs,
    "add": torch.add,
    "arctan": torch.arctan,
    "cos": torch.cos,
    "decay": decay,
    "divide": torch.div,
    "erf": torch.erf,
    "erfc": torch.special.erfc,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "mul": torch.mul,
    "neg": torch.neg,
    "power": torch.pow,
    "reciprocal": torch.reciprocal,
    "relu": _relu,
    "round": torch.round,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "sub": torch.sub,
}
_COMPARISONS: dict[str, Function] = {each: getattr(torch, each) for each in ("eq", "ge", "gt", "le", "lt", "ne")}
_COMPARISONS |= {"nonnegative": torch.ge, "positive": torch.gt}
_LOGICAL: dict[str, Function] = {
    "and_": torch.bitwise_and,
    "invert": torch.bitwise_not,
    "or_": torch.bitwise_or,
    "xor": torch.bitwise_xor,
}
_NUMBERS |= {f"number_{name}": each for name, each in _COMPARISONS.items()} | {"number_truth": number}
_BOOLS = {
    **_NUMBERS,
    **{name: comparison_as_bools(each) for name, each in _COMPARISONS.items()},
    **_LOGICAL,
    "truth": truth_as_bools,
    "where": torch.where,
}
_BITS = {
    **_NUMBERS,
    **{name: comparison(each) for name, each in _COMPARISONS.items()},
    **{name: logical(each) for name, each in _LOGICAL.items()},
    "truth": truth,
    "where": choose,
}
"""The operations that can write into a given tensor: torch's own function for each, or one on the bits. The others are
called as they are."""

_WITH_ZERO = ("nonnegative", "positive", "truth", "number_nonnegative", "number_positive", "number_truth")


class Kept(enum.Enum):
    """What the forward pass keeps for the backward pass."""

    NOTHING = "nothing"
    SPIKES = "spikes"
    MASK = "mask"
    POTENTIAL = "potential"


@dataclasses.dataclass(frozen=True)
class Program:
    """The steps of one definition in one computing dtype.

    Attributes:
        kept: what `pull` needs besides the constants.
        fold: of the parameters the constants, arrays of the parameters' shapes.
        mask: of v, the tensor to write to and the constants: the comparison that is kept, where it is that.
        pull_few: of what is kept, the cotangent, the tensor to write to and the constants: cotangent · h.
        pull_many: the same, quicker for many elements.
        passes: whether h is 1 everywhere, and the cotangent is the gradient.
    """

    kept: Kept
    fold: Callable[[Mapping[str, torch.Tensor]], list[torch.Tensor]]
    mask: Function
    pull_few: Function
    pull_many: Function
    passes: bool

    def pull(self, *arguments: torch.Tensor) -> torch.Tensor:
        return (self.pull_few if arguments[0].numel() <= _bits.FEW else self.pull_many)(*arguments)


@functools.lru_cache(maxsize=1024)
def program(
    definition: type[Surrogate], settings: tuple[tuple[str, Any], ...], names: tuple[str, ...], dtype: torch.dtype, keep_v: bool
) -> Program | None:
    """The program of a definition, None where it cannot be traced; `keep_v` keeps v even if less would do."""
    traced = trace(definition, settings, names)
    if traced is None:
        return None
    kept = Kept.POTENTIAL if keep_v else _kept(traced)
    tape, kept_array, cotangent = traced.tape, traced.tape.record("kept"), traced.tape.record("cotangent")
    by = {traced.v: kept_array}
    if traced.gate is not None and kept is not Kept.POTENTIAL:
        truth = tape.record("truth", kept_array)
        by = {traced.gate: truth, **({tape.as_number(traced.gate): kept_array} if kept is Kept.SPIKES else {})}
    product = _with_numbers(tape.record("mul", cotangent, tape.replaced(traced.h, by)))
    inputs = [cotangent] if kept is Kept.NOTHING else [kept_array, cotangent]
    writers = [
        _Writer(_BOOLS, [traced.v], traced.v if traced.gate is None else traced.gate),
        _Writer(_BOOLS, inputs, product),
        _Writer(_BITS, inputs, product),
    ]
    constants = {key: each for writer in writers for key, each in writer.constants.items()}
    fold = functools.partial(_fold, traced, list(constants.values()), dtype)
    return Program(kept, fold, *(writer.function(constants) for writer in writers), passes=traced.h is tape.one)


def _with_numbers(result: Symbol) -> Symbol:
    """The result with 1.0 and 0.0 straight from a comparison, where they were chosen by it."""
    tape = result.tape
    by = {
        each: tape.record(f"number_{comparison.operation}", *comparison.operands)
        for each in needed([result])
        for comparison in (each.symbols[:1] if each.operation == "where" else ())
        if each is tape.as_number(comparison) and f"number_{comparison.operation}" in _NUMBERS
    }
    return tape.replaced(result, by)


def _kept(traced: Trace) -> Kept:
    if not traced.h.moves:
        return Kept.NOTHING
    if traced.gate is None:
        return Kept.POTENTIAL
    return Kept.SPIKES if traced.gate_is_the_spike else Kept.MASK


def _fold(
    traced: Trace, constants: list[Constant], dtype: torch.dtype, numbers: Mapping[str, torch.Tensor]
) -> list[torch.Tensor]:
    # Constants outlive the call, so they are not made in inference mode, nor with a history.
    with torch.inference_mode(False), torch.no_grad():
        values: dict[Symbol, Any] = {symbol: numbers[name] for name, symbol in traced.parameters.items()}
        evaluate([each for each in constants if isinstance(each, Symbol)], values, NAMESPACE, torch.zeros((), dtype=dtype))
        return [values[each] if isinstance(each, Symbol) else torch.scalar_tensor(each, dtype=dtype) for each in constants]


def _key(operand: Constant) -> Symbol | str:
    """Of a number its digits, since 0.0 and −0.0 are one as keys."""
    return operand if isinstance(operand, Symbol) else repr(float(operand))


def _operands(symbol: Symbol) -> tuple[Constant, ...]:
    """The operands of torch's function, which compares with a 0 that it is given."""
    return (*symbol.operands, symbol.tape.zero) if symbol.operation in _WITH_ZERO else symbol.operands


class _Writer:
    """Writes operations as a torch.fx graph in which a tensor is written to again after its last use.

    Args:
        functions: torch's function for each operation that can write into a given tensor.
        inputs: the symbols whose values are given.
        result: the symbol to compute, in the tensor `out`.
    """

    def __init__(self, functions: Mapping[str, Function], inputs: list[Symbol], result: Symbol) -> None:
        self.functions = functions
        self.inputs = inputs
        self.result = result
        self.operations = [each for each in needed([result], given=inputs) if each.moves]
        self.uses = collections.Counter([result, *(x for each in self.operations for x in each.symbols)])
        operands = [(each, x) for each in self.operations for x in _operands(each)]
        self.constants = {result.tape.zero: result.tape.zero} | {_key(x): x for each, x in operands if self._is_constant(each, x)}
        self.values: dict[Symbol | str, torch.fx.Node] = {}
        self.free: dict[bool, list[torch.fx.Node]] = collections.defaultdict(list)
        self.owned: set[Symbol] = set()
        self.graph = torch.fx.Graph()

    def _is_constant(self, symbol: Symbol, operand: Constant) -> bool:
        """Whether it is handed over as a tensor; torch's power is another function for a number, and so is number / tensor."""
        if isinstance(operand, Symbol):
            return not operand.moves
        return symbol.operation in self.functions and symbol.operation != "power"

    def function(self, constants: Iterable[Symbol | str]) -> Function:
        """The written function of the inputs, the tensor to write to, and the constants."""
        for i, symbol in enumerate(self.inputs):
            self.values[symbol] = self.graph.placeholder(f"input_{i}")
        self.out = self.graph.placeholder("out")
        self._free_like(self.result).append(self.out)
        for i, key in enumerate(constants):
            self.values[key] = self.graph.placeholder(f"constant_{i}")
        for symbol in self.operations:
            self._write(symbol)
        self.graph.output(self.values[self.result])
        return torch.fx.GraphModule(torch.nn.Module(), self.graph).forward

    def _free_like(self, symbol: Symbol) -> list[torch.fx.Node]:
        """The tensors that may be written to, of the dtype that the symbol's value has; bits are numbers."""
        return self.free[symbol.boolean and self.functions is _BOOLS]

    def _write(self, symbol: Symbol) -> None:
        operands: list[Any] = [self.values.get(_key(each), each) for each in _operands(symbol)]
        function, keywords = self.functions.get(symbol.operation), {}
        free = self._free_like(symbol)
        if function is choose:
            operands, scratch = self._choice(symbol, operands, free)
            if scratch is not None:
                keywords["scratch"] = scratch
        for each in symbol.symbols:
            self._release(each)
        if function is None:
            function = getattr(NAMESPACE if symbol.operation in FUNCTIONS else operator, symbol.operation)
        elif symbol is self.result:
            keywords["out"] = self.out
        elif free:
            keywords["out"] = free.pop()
        self.values[symbol] = self.graph.call_function(function, tuple(operands), keywords)
        self.owned.add(symbol)

    def _choice(self, symbol: Symbol, operands: list[Any], free: list[torch.fx.Node]) -> tuple[list[Any], torch.fx.Node | None]:
        """The operands of `choose`, with None for 0, and a tensor that it may write to, if there is one."""
        mask, a, b = symbol.operands
        zero = symbol.tape.zero
        given = [operands[0], *(None if x is zero else y for x, y in zip((a, b), operands[1:], strict=True)), self.values[zero]]
        arrays = [each for each in (a, b) if isinstance(each, Symbol) and each.moves]
        if not arrays or b is zero:
            return given, None
        if free:
            return given, free[-1]
        overwritten = mask if a is zero else a
        dies = overwritten in self.owned and self.uses[overwritten] == sum(each is overwritten for each in symbol.symbols)
        return given, self.values[overwritten] if dies else None

    def _release(self, symbol: Symbol) -> None:
        """Count one use; after the last one the tensor may be written to, unless it came from outside."""
        self.uses[symbol] -= 1
        if symbol in self.owned and self.uses[symbol] == 0:
            self._free_like(symbol).append(self.values[symbol])
