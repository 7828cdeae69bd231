"""A traced formula as the source of a Triton kernel: one pass over memory on a GPU, with the bits of the plain operations.

By itself Triton makes a product and a sum one operation, divides to within 2 units, and in CUDA's library takes subnormals
for 0. Told not to (`OPTIONS`, and `div_rn` and its like), it gives sums, products, quotients and roots the bits that they have
everywhere; the other functions are those of CUDA's library, which torch's own kernels use too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from arcana._core import Symbol, needed
from arcana.torch._eager.operations import Constant, depending, key, operands
from arcana.torch._eager.program import Written

BLOCK = 1024
"""Elements of one program instance."""

OPTIONS = {"enable_fp_fusion": False, "enable_reflect_ftz": False}


@dataclasses.dataclass(frozen=True)
class Source:
    """A kernel's text and what it takes.

    That is the inputs, the results, the sums if there are any, the tensors among the parameters, the constants, the number of
    elements, and for each tensor of several values over how many elements one of them goes and how many there are.

    Attributes:
        name: of the kernel.
        text: a Python module that holds it.
        constants: the operands that are handed over as bits.
        sizes: how many sizes it takes.
    """

    name: str
    text: str
    constants: list[Constant]
    sizes: int


_TYPES = {torch.float32: ("tl.float32", "int32"), torch.float64: ("tl.float64", "int64")}
"""By computing dtype Triton's name of it, and that of a constant's bits: a number by itself would go through float32."""

_EXPRESSIONS = {
    "abs": "tl.abs({})",
    "add": "{} + {}",
    "and_": "{} & {}",
    "arctan": "libdevice.atan({})",
    "at_least": "{} >= {}",
    "cos": "libdevice.cos({})",
    "divide": "libdevice.div_rn({}, {})",
    "eq": "{} == {}",
    "erf": "libdevice.erf({})",
    "erfc": "libdevice.erfc({})",
    "exp": "libdevice.exp({})",
    "exp2": "libdevice.exp2({})",
    "expm1": "libdevice.expm1({})",
    "fmod": "libdevice.fmod(libdevice.fmod({0}, {1} * 18446744073709551616.0), {1})",
    "ge": "{} >= {}",
    "gt": "{} > {}",
    "invert": "{} == 0",
    "le": "{} <= {}",
    "log": "libdevice.log({})",
    "log1p": "libdevice.log1p({})",
    "lt": "{} < {}",
    "maximum": "tl.where({0} <= {1}, {1}, {0})",
    "minimum": "tl.where({0} >= {1}, {1}, {0})",
    "mul": "{} * {}",
    "ne": "{} != {}",
    "neg": "-{}",
    "nonnegative": "{} >= {}",
    "or_": "{} | {}",
    "positive": "{} > {}",
    "pow": "libdevice.pow({}, {})",
    "power": "libdevice.pow({}, {})",
    "reciprocal": "libdevice.rcp_rn({})",
    "relu": "tl.where({0} < 0, 0, {0})",
    "round": "libdevice.rint({})",
    "sign": "tl.where({0} > 0, 1, tl.where({0} < 0, -1, tl.where({0} == 0, 0, {0})))",
    "sin": "libdevice.sin({})",
    "sqrt": "libdevice.sqrt_rn({})",
    "square": "{0} * {0}",
    "sub": "{} - {}",
    "truediv": "libdevice.div_rn({}, {})",
    "truth": "{} != {}",
    "where": "tl.where({}, {}, {})",
    "xor": "{} ^ {}",
}

_POWERS = {
    -2.0: "libdevice.rcp_rn({0} * {0})",
    -1.0: "libdevice.rcp_rn({0})",
    0.5: "libdevice.sqrt_rn({0})",
    2.0: "{0} * {0}",
    3.0: "{0} * {0} * {0}",
}
"""What torch makes of a power by one of these numbers."""


def _expression(symbol: Symbol) -> str:
    """Return the expression of an operation, or raise a NotImplementedError if there is none."""
    numbers = [None if isinstance(each, Symbol) else each for each in symbol.operands]
    if symbol.operation == "truediv" and numbers[0] is not None:
        # torch takes number / tensor as the reciprocal times the number.
        return "libdevice.rcp_rn({1}) * {0}"
    exponent = numbers[1] if symbol.operation in ("pow", "power") else None
    if exponent in _POWERS:
        return _POWERS[exponent]
    if symbol.operation not in _EXPRESSIONS or exponent == -0.5:
        msg = f"{symbol.operation} has no expression in a kernel (numbers: {numbers})"
        raise NotImplementedError(msg)
    return _EXPRESSIONS[symbol.operation]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter that is a tensor.

    Attributes:
        name: of the parameter.
        single: whether it has one value for all elements.
        bounds: its least and its largest value, if it has bounds.
    """

    name: str
    single: bool
    bounds: tuple[float, ...]


def source(written: Written, name: str, parameters: Sequence[Parameter], summed: Sequence[bool], wide: bool) -> Source:
    """Write the kernel of a pass; a NotImplementedError for an operation that has no expression here.

    Args:
        written: the formula, computed in its dtype; the arrays may have others.
        name: "forward" or "backward".
        parameters: those that are given as tensors.
        summed: for each of the last results whether its sum over a program instance is stored in its place. All sums are one
            array in the computing dtype, after the other results: those of one instance, then those of the next.
        wide: whether to count elements in 64 bits, for arrays of 2^30 and more.
    """
    kernel = _Kernel(written.dtype)
    for symbol in written.inputs:
        kernel.load(symbol)
    symbols = [written.expression.parameters[each.name] for each in parameters]
    for symbol, parameter in zip(symbols, parameters, strict=True):
        kernel.load_parameter(symbol, parameter)
    given = [*written.inputs, *symbols]
    varying = depending(written.results, given)
    for symbol in needed(written.results, given=given):
        if symbol in varying:
            kernel.compute(symbol)
    whole = [*[False] * (len(written.results) - len(summed)), *summed]
    for symbol, as_sum in zip(written.results, whole, strict=True):
        if not as_sum:
            kernel.store(symbol)
    kernel.store_sums([symbol for symbol, as_sum in zip(written.results, whole, strict=True) if as_sum])
    return Source(name, kernel.text(name, wide), list(kernel.constants.values()), len(kernel.sizes))


class _Kernel:
    """A kernel that is being written, in one computing dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.kind, self.bits = _TYPES[dtype]
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.tensors: list[str] = []
        self.sizes: list[str] = []
        self.constants: dict[Symbol | str, Constant] = {}
        self._names: dict[Symbol | str, str] = {}
        self._lines: list[str] = []

    def load(self, symbol: Symbol) -> None:
        """Load an array of v's shape."""
        i = len(self.inputs)
        self.inputs.append(f"input_{i}")
        self._set(symbol, f"x_{i}", f"tl.load(input_{i} + i, inside).to({self.kind})")

    def load_parameter(self, symbol: Symbol, parameter: Parameter) -> None:
        """Load a parameter that is a tensor, a value beyond a bound as the nearest inside; NaN stays what it is."""
        i = len(self.tensors)
        self.tensors.append(f"tensor_{i}")
        place = ""
        if not parameter.single:
            self.sizes += [f"length_{i}", f"size_{i}"]
            place = f" + i // length_{i} % size_{i}, inside"
        self._set(symbol, f"p_{i}", f"tl.load(tensor_{i}{place}).to({self.kind})")
        for sign, bound in zip("<>", parameter.bounds, strict=False):
            end = self._operand(bound)
            self._set(symbol, f"p_{i}", f"tl.where(p_{i} {sign} {end}, {end}, p_{i})")

    def compute(self, symbol: Symbol) -> None:
        """Compute one operation."""
        expression = _expression(symbol)
        values = [self._operand(each) for each in operands(symbol)]
        self._set(symbol, f"y_{len(self._names)}", expression.format(*values))

    def store(self, symbol: Symbol) -> None:
        """Store a result in the dtype of the array that takes it."""
        out = f"output_{len(self.outputs)}"
        self.outputs.append(out)
        self._lines.append(f"tl.store({out} + i, {self._operand(symbol)}.to({out}.dtype.element_ty), inside)")

    def store_sums(self, symbols: Sequence[Symbol]) -> None:
        """Store the sums of some results over the elements of this instance, one after the other."""
        out = f"output_{len(self.outputs)}"
        self.outputs += [out] if symbols else []
        for k, symbol in enumerate(symbols):
            # Lanes beyond the last element hold anything.
            total = f"tl.sum(tl.where(inside, {self._operand(symbol)}, 0), 0)"
            self._lines.append(f"tl.store({out} + instance * {len(symbols)} + {k}, {total})")

    def _set(self, symbol: Symbol, name: str, expression: str) -> None:
        self._names[symbol] = name
        self._lines.append(f"{name} = {expression}")

    def _operand(self, operand: Constant) -> str:
        """Return the name of an operand; one that is not known yet is a constant."""
        if key(operand) not in self._names:
            self._names[key(operand)] = f"c_{len(self.constants)}"
            self.constants[key(operand)] = operand
        return self._names[key(operand)]

    def text(self, name: str, wide: bool) -> str:
        """Return the whole as a Python module."""
        constants = [f"constant_{i}" for i, _ in enumerate(self.constants)]
        typed = [f'{each}: "{self.bits}"' for each in constants]
        arguments = [*self.inputs, *self.outputs, *self.tensors, *typed, "count", *self.sizes]
        instance = "tl.program_id(0).to(tl.int64)" if wide else "tl.program_id(0)"
        lines = [f"instance = {instance}", f"i = instance * {BLOCK} + tl.arange(0, {BLOCK})", "inside = i < count"]
        for i, each in enumerate(self.constants.values()):
            truth = " != 0" if isinstance(each, Symbol) and each.boolean else ""
            lines.append(f"c_{i} = constant_{i}.to({self.kind}, bitcast=True){truth}")
        return "\n".join(
            [
                "import triton",
                "import triton.language as tl",
                "from triton.language.extra import libdevice",
                "",
                "",
                # Made for one value of a constant, there would be a kernel for each.
                f"@triton.jit(do_not_specialize={[*constants, *self.sizes]!r})",
                f"def {name}({', '.join(arguments)}):",
                *(f"    {line}" for line in [*lines, *self._lines]),
                "",
            ]
        )
