"""A traced formula as the source of a Triton kernel: one pass over memory on a GPU, with the bits of the plain operations.

By itself Triton makes a product and a sum one operation, divides to within 2 units, and in CUDA's library takes subnormals
for 0. Told not to (`OPTIONS`, and `div_rn` and its like), it gives sums, products, quotients and roots the bits that they have
everywhere; the other functions are those of CUDA's library, which torch's own kernels use too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from arcana.surrogate._trace import Symbol, needed
from arcana.torch._operations import Constant, depending, key, operands
from arcana.torch._program import Pass, Written

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


def source(written: Written, name: str, tensors: Mapping[str, tuple[float, ...]], wide: bool) -> Source:
    """The kernel of a pass; a NotImplementedError for an operation that has no expression here.

    Args:
        written: the formula, computed in its dtype; the arrays may have others.
        name: "forward" or "backward".
        tensors: the parameters that are given as tensors, each with its least and its largest value if it has bounds.
        wide: whether to count elements in 64 bits, for arrays of 2^31 and more.
    """
    one_pass: Pass = getattr(written, name)
    kind, bits = _TYPES[written.dtype]
    names: dict[Symbol | str, str] = {}
    constants: dict[Symbol | str, Constant] = {}
    body = [f"i = tl.program_id(0){'.to(tl.int64)' if wide else ''} * {BLOCK} + tl.arange(0, {BLOCK})", "inside = i < count"]
    for i, symbol in enumerate(one_pass.inputs):
        names[symbol] = f"x_{i}"
        body.append(f"x_{i} = tl.load(input_{i} + i, inside).to({kind})")
    lines = []
    for i, (each, bounds) in enumerate(tensors.items()):
        names[written.traced.parameters[each]] = f"p_{i}"
        body.append(f"p_{i} = tl.load(tensor_{i} + i // length_{i} % size_{i}, inside).to({kind})")
        # As `Rule` has it: beyond a bound the nearest value inside, and NaN stays what it is.
        for sign, bound in zip("<>", bounds, strict=False):
            lines.append(f"p_{i} = tl.where(p_{i} {sign} {{0}}, {{0}}, p_{i})".format(_name(bound, names, constants)))
    given = [*one_pass.inputs, *(written.traced.parameters[each] for each in tensors)]
    varying = depending(one_pass.results, given)
    for symbol in needed(one_pass.results, given=given):
        if symbol not in varying:
            continue
        if symbol.operation not in _EXPRESSIONS:
            msg = f"{symbol.operation} has no expression in a kernel"
            raise NotImplementedError(msg)
        values = [_name(x, names, constants) for x in operands(symbol)]
        names[symbol] = f"y_{len(lines)}"
        lines.append(f"{names[symbol]} = {_EXPRESSIONS[symbol.operation].format(*values)}")
    stores = []
    for i, symbol in enumerate(one_pass.results):
        stores.append(f"tl.store(output_{i} + i, {_name(symbol, names, constants)}.to(output_{i}.dtype.element_ty), inside)")
    for i, each in enumerate(constants.values()):
        truth = " != 0" if isinstance(each, Symbol) and each.boolean else ""
        body.append(f"c_{i} = constant_{i}.to({kind}, bitcast=True){truth}")
    text = _module(name, one_pass, len(tensors), len(constants), bits, body + lines + stores)
    return Source(name, text, list(constants.values()), 2 * len(tensors))


def _name(operand: Constant, names: dict[Symbol | str, str], constants: dict[Symbol | str, Constant]) -> str:
    """The name of an operand in the kernel; one that is not known yet is a constant."""
    if key(operand) not in names:
        names[key(operand)] = f"c_{len(constants)}"
        constants[key(operand)] = operand
    return names[key(operand)]


def _module(name: str, one_pass: Pass, tensors: int, constants: int, bits: str, body: list[str]) -> str:
    arrays = [f"input_{i}" for i, _ in enumerate(one_pass.inputs)] + [f"output_{i}" for i, _ in enumerate(one_pass.results)]
    sizes = [f"{each}_{i}" for i in range(tensors) for each in ("length", "size")]
    fixed = [f"constant_{i}" for i in range(constants)]
    arguments = [*arrays, *(f"tensor_{i}" for i in range(tensors)), *(f'{each}: "{bits}"' for each in fixed), "count", *sizes]
    return "\n".join(
        [
            "import triton",
            "import triton.language as tl",
            "from triton.language.extra import libdevice",
            "",
            "",
            # Made for one value of a constant, there would be a kernel for each.
            f"@triton.jit(do_not_specialize={[*fixed, *sizes]!r})",
            f"def {name}({', '.join(arguments)}):",
            *(f"    {line}" for line in body),
            "",
        ]
    )
