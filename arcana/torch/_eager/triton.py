"""A traced formula as the source of a Triton kernel: one pass over memory on a GPU, with the bits of the plain operations.

By itself Triton makes a product and a sum one operation, divides to within 2 units, and in CUDA's library takes subnormals
for 0. Told not to (`OPTIONS`, and `div_rn` and its like), it gives sums, products, quotients and roots the bits that they have
everywhere; the other functions are those of CUDA's library, which torch's own kernels use too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from arcana._core import Symbol, needed
from arcana.torch._eager.operations import Constant, depending, key, operands
from arcana.torch._eager.program import Written

BLOCK = 1024
"""Elements of one program instance."""

OPTIONS = {"enable_fp_fusion": False, "enable_reflect_ftz": False}


@dataclasses.dataclass(frozen=True)
class Source:
    """A kernel's text and what it takes: the inputs, the results, the tensors among the parameters, the constants, the number of
    elements, and for each tensor over how many elements one value of it goes and how many values it has.

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


def source(written: Written, name: str, tensors: Mapping[str, tuple[float, ...]], wide: bool) -> Source:
    """Write the kernel of a pass; a NotImplementedError for an operation that has no expression here.

    Args:
        written: the formula, computed in its dtype; the arrays may have others.
        name: "forward" or "backward".
        tensors: the parameters that are given as tensors, each with its least and its largest value if it has bounds.
        wide: whether to count elements in 64 bits, for arrays of 2^30 and more.
    """
    kernel, one_pass = _Kernel(written.dtype), getattr(written, name)
    for symbol in one_pass.inputs:
        kernel.load(symbol)
    parameters = [written.expression.parameters[each] for each in tensors]
    for symbol, bounds in zip(parameters, tensors.values(), strict=True):
        kernel.load_parameter(symbol, bounds)
    given = [*one_pass.inputs, *parameters]
    varying = depending(one_pass.results, given)
    for symbol in needed(one_pass.results, given=given):
        if symbol in varying:
            kernel.compute(symbol)
    for symbol in one_pass.results:
        kernel.store(symbol)
    return Source(name, kernel.text(name, wide), list(kernel.constants.values()), 2 * len(parameters))


class _Kernel:
    """A kernel that is being written, in one computing dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.kind, self.bits = _TYPES[dtype]
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.tensors: list[str] = []
        self.constants: dict[Symbol | str, Constant] = {}
        self._names: dict[Symbol | str, str] = {}
        self._lines: list[str] = []

    def load(self, symbol: Symbol) -> None:
        """Load an array of v's shape."""
        i = len(self.inputs)
        self.inputs.append(f"input_{i}")
        self._set(symbol, f"x_{i}", f"tl.load(input_{i} + i, inside).to({self.kind})")

    def load_parameter(self, symbol: Symbol, bounds: Sequence[float]) -> None:
        """Load a parameter that is a tensor, a value beyond a bound as the nearest inside; NaN stays what it is."""
        i = len(self.tensors)
        self.tensors.append(f"tensor_{i}")
        self._set(symbol, f"p_{i}", f"tl.load(tensor_{i} + i // length_{i} % size_{i}, inside).to({self.kind})")
        for sign, bound in zip("<>", bounds, strict=False):
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
        sizes = [f"{each}_{i}" for i, _ in enumerate(self.tensors) for each in ("length", "size")]
        typed = [f'{each}: "{self.bits}"' for each in constants]
        arguments = [*self.inputs, *self.outputs, *self.tensors, *typed, "count", *sizes]
        instance = "tl.program_id(0).to(tl.int64)" if wide else "tl.program_id(0)"
        lines = [f"i = {instance} * {BLOCK} + tl.arange(0, {BLOCK})", "inside = i < count"]
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
                f"@triton.jit(do_not_specialize={[*constants, *sizes]!r})",
                f"def {name}({', '.join(arguments)}):",
                *(f"    {line}" for line in [*lines, *self._lines]),
                "",
            ]
        )
