"""What Triton's compiler makes of the written kernels, for GPUs that need not be there: `nox -s triton`."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch
import triton
from every import every_surrogate
from operations import exact_everywhere
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.torch._call import Call, call_of
from arcana.torch._eager.cuda import CudaKernels, Kind, _jit
from arcana.torch._eager.triton import OPTIONS

POINTERS = {torch.float64: "*fp64", torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}


def kind_of(call: Call, one_pass: str, single: bool, learns: bool) -> Kind:
    """The kernel of a call whose tensors hold one value each, or one a channel."""
    number = len(call.names) if one_pass == "backward" else 0
    return Kind(one_pass, True, False, (call.zero.dtype,) * number, (single,) * number, (learns,) * number)


def compiled(name: str, dtype: torch.dtype, tensors: str, one_pass: str, capability: int) -> Any:
    """The kernel of a pass with parameters that are numbers (`tensors` is empty), or tensors of one value or one a channel."""
    surrogate = definitions.get(name)
    given = {each: torch.full((), value, dtype=dtype) for each, value in surrogate.numbers.items()} if tensors else {}
    call, *_ = call_of(torch.zeros(3, dtype=dtype), surrogate, given)
    assert call is not None
    kind = kind_of(call, one_pass, "single" in tensors, "learnable" in tensors and one_pass == "backward")
    written = CudaKernels(call)._source(kind)
    function: Any = _jit(written)
    masked = {"forward": "output_1", "backward": "input_0"}[one_pass] if call.kept is Kept.MASK else ""
    bits, wide = ("i64" if dtype is torch.float64 else "i32"), POINTERS[call.dtype]
    kinds = {each: POINTERS[dtype] for each in function.arg_names if each.startswith(("input", "output", "tensor"))}
    kinds |= {each: wide for each in function.arg_names if any(kind.asked) and each.startswith("output") and each != "output_0"}
    kinds |= {masked: "*i8"} if masked else {}
    kinds |= {each: bits if each.startswith("constant") else "i32" for each in function.arg_names if each not in kinds}
    aligned = [i for i, each in enumerate(function.arg_names) if kinds[each].startswith("*") or each == "count"]
    source = ASTSource(function, kinds, {}, {(i,): [["tt.divisibility", 16]] for i in aligned})
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=dict(OPTIONS))


@every_surrogate
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", POINTERS)
def test_instructions(name: str, dtype: torch.dtype, capability: int) -> None:
    """Several elements in one load, and for the exact ones no contraction, no approximation and no flush of subnormals."""
    ways = ("", "single", "channels", "single, learnable", "channels, learnable") if definitions.get(name).numbers else ("",)
    for tensors in ways:
        for one_pass in ("forward", "backward") if not tensors else ("backward",):
            ptx = compiled(name, dtype, tensors, one_pass, capability).asm["ptx"]
            assert re.search(r"ld\.global\.v[24]\.b(32|64)", ptx)
            assert re.search(r"st\.global\.v[24]\.b(32|64)", ptx)
            if exact_everywhere(definitions.get(name)):
                # A product of two bfloat16 is exact in float32, and rounded once it is this.
                ptx = ptx.replace("fma.rn.bf16", "")
                assert not re.findall(r"\bfma\.\S+|\S+\.ftz\S*|\S+\.approx\S*|div\.full\S*", ptx)


@pytest.mark.parametrize("dtype", POINTERS)
def test_constants_have_the_bits_of_the_computing_dtype(dtype: torch.dtype) -> None:
    """What Triton reads from the annotations; without them it would take a small number for 32 bits."""
    call, *_ = call_of(torch.zeros(3, dtype=dtype), definitions.get("fast_sigmoid"), {})
    assert call is not None
    function: Any = _jit(CudaKernels(call)._source(Kind("backward", aligned=True, wide=False)))
    kinds = {each.name: each.annotation_type for each in function.params if each.name.startswith("constant_")}
    assert set(kinds.values()) == {"i64" if dtype is torch.float64 else "i32"}


def test_what_launches_a_kernel_is_there() -> None:
    """The members that `arcana.torch._compat.launcher` reads; Triton's own call hands `run` the same arguments."""
    kernel = compiled("fast_sigmoid", torch.float32, "", "backward", 90)
    assert {"function", "packed_metadata", "run"} <= {*dir(type(kernel)), *vars(kernel)}
    call = " ".join(inspect.getsource(type(kernel).__getitem__).split())
    assert "self.run(grid[0], grid[1], grid[2], stream, self.function, self.packed_metadata, launch_metadata," in call
