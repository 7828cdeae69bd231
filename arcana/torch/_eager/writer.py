"""A traced formula as a torch.fx graph: in few tensors, or plain."""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.fx

from arcana._core import Symbol, needed
from arcana.torch._eager.masks import choose, truth
from arcana.torch._eager.operations import BITS, BOOLS, COMPARISONS, PLAIN, Function, function_of, given as given_of


class Writer:
    """Writes operations as a torch.fx graph in which a tensor is written to again after its last use.

    Args:
        functions: torch's function for each operation that can write into a given tensor.
        inputs: the symbols whose values are given.
        result: the symbol to compute, in the tensor `out`.
        others: more symbols to compute; then the function gives a tuple.
    """

    def __init__(self, functions: Mapping[str, Function], inputs: Sequence[Symbol], result: Symbol, *others: Symbol) -> None:
        self.functions = functions
        self.inputs = inputs
        self.result = result
        self.others = others
        self.operations = [each for each in needed([result, *others], given=inputs) if each.moves]
        self.uses = collections.Counter([result, *others, *(x for each in self.operations for x in each.symbols)])
        self.values: dict[Symbol | str, torch.fx.Node] = {}
        self.free: dict[bool, list[torch.fx.Node]] = collections.defaultdict(list)
        self.owned: set[Symbol] = set()
        self.bits: dict[Symbol, torch.fx.Node] = {}
        self.graph = torch.fx.Graph()

    def function(self, constants: Iterable[Symbol | str]) -> Function:
        """Return the written function of the inputs, the tensor to write to, and the constants."""
        for i, symbol in enumerate(self.inputs):
            self.values[symbol] = self.graph.placeholder(f"input_{i}")
        self.out = self.graph.placeholder("out")
        if not self.others:
            self._free_like(self.result).append(self.out)
        for i, constant in enumerate(constants):
            self.values[constant] = self.graph.placeholder(f"constant_{i}")
        for symbol in self.operations:
            self._write(symbol)
        found = self.values[self.result]
        self.graph.output((found, *(self.values[each] for each in self.others)) if self.others else found)
        # Not a GraphModule, whose source torch.fx keeps for ever.
        code = self.graph.python_code("self")
        names = dict(code.globals)
        exec(code.src, names)
        written: Any = functools.partial(names["forward"], None)
        written.graph = self.graph
        return written

    def _free_like(self, symbol: Symbol) -> list[torch.fx.Node]:
        """Return the tensors that may be written to, of the dtype that the symbol's value has; bits are numbers."""
        return self.free[symbol.boolean and self.functions is not BITS]

    def _write(self, symbol: Symbol) -> None:
        operands = given_of(symbol, self.values)
        function, keywords = self.functions.get(symbol.operation), {}
        free = self._free_like(symbol)
        if function is choose and not symbol.operands[0].moves:
            function = torch.where
        elif self.functions is BITS:
            operands = [self._as_bits(x, y) for x, y in itertools.zip_longest(symbol.operands, operands)]
        if function is choose:
            operands, scratch = self._choice(symbol, operands, free)
            if scratch is not None:
                keywords["scratch"] = scratch
        for each in symbol.symbols:
            self._release(each)
        if self.functions is BOOLS and symbol.operation in COMPARISONS and self.free[False]:
            keywords["scratch"] = self.free[False][-1]
        if function is None:
            function = function_of(symbol.operation)
        elif symbol is self.result:
            keywords["out"] = self.out
        elif free:
            keywords["out"] = free.pop()
        self.values[symbol] = self.graph.call_function(function, tuple(operands), keywords)
        self.owned.add(symbol)

    def _as_bits(self, operand: Any, value: Any) -> Any:
        """Return the value, or bits in the place of the bools of a comparison of constants."""
        if not isinstance(operand, Symbol) or not operand.boolean or operand.moves:
            return value
        if operand not in self.bits:
            self.bits[operand] = self.graph.call_function(truth, (value, self.values[operand.tape.zero]))
        return self.bits[operand]

    def _choice(self, symbol: Symbol, operands: list[Any], free: list[torch.fx.Node]) -> tuple[list[Any], torch.fx.Node | None]:
        """Return the operands of `choose`, with None for 0, and a tensor that it may write to, if there is one."""
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


def module(
    inputs: list[Symbol], results: list[Symbol], constants: Iterable[Symbol | str], dtype: torch.dtype
) -> torch.fx.GraphModule:
    """Return a module of the inputs and the constants that allocates every value: for a compiler, which fuses them.

    It computes in `dtype`; the results are in the last input's. A comparison is given and returned as bytes of 1 and 0, by way
    of numbers, since inductor's C++ takes bools one by one.
    """
    graph = torch.fx.Graph()
    given = [graph.placeholder(f"input_{i}") for i, _ in enumerate(inputs)]
    values: dict[Symbol | str, torch.fx.Node] = {
        symbol: graph.call_function(_widened, (node, dtype)) for symbol, node in zip(inputs, given, strict=True)
    }
    values |= {constant: graph.placeholder(f"constant_{i}") for i, constant in enumerate(constants)}
    for symbol in needed(results, given=inputs):
        if symbol.moves:
            operands = tuple(given_of(symbol, values))
            function = _BYTES.get(symbol.operation) or PLAIN.get(symbol.operation) or function_of(symbol.operation)
            values[symbol] = graph.call_function(function, operands)
    narrow = [
        graph.call_function(_as_bytes, (values[each], dtype))
        if each.boolean
        else graph.call_method("type_as", (values[each], given[-1]))
        for each in results
    ]
    graph.output(tuple(narrow))
    return torch.fx.GraphModule(torch.nn.Module(), graph)


def _as_bytes(comparison: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return comparison.to(dtype).to(torch.int8)


def _truth(kept: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    return kept.to(zero.dtype) != 0


_BYTES = {"truth": _truth}


def _widened(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return x.to(dtype) if x.is_floating_point() else x
