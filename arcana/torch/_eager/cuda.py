"""One kernel forward and one backward for eager calls on a GPU: Triton compiles what `triton` writes.

Eager PyTorch runs the operations of a backward pass one after the other, each a launch and a pass over memory. A kernel is
believed once it has given, on this device, what the plain operations give. Without Triton, or where something else is in the
way, the operations run as they are.
"""

from __future__ import annotations

import functools
import itertools
import linecache
import math
import threading
import typing
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from arcana._core import Kept, UntraceableError
from arcana.torch._compat import launcher
from arcana.torch._derivative import Derivative
from arcana.torch._eager.masks import WORDS
from arcana.torch._eager.program import Constants, sample
from arcana.torch._eager.triton import BLOCK, OPTIONS, Source, source

if typing.TYPE_CHECKING:
    from arcana.torch._call import Call

WIDE = 1 << 30
"""Elements from which on they are counted in 64 bits."""

ALIGNMENT = 16
"""Bytes, and elements: where pointers and counts are multiples of it, Triton loads several elements at once."""

Launch = Callable[..., None]

_lock = threading.RLock()
_numbering = itertools.count()


@functools.cache
def available() -> bool:
    """Whether there is a Triton that can be told not to take subnormals for 0."""
    if torch.version.cuda is None:
        # Nobody has looked at another maker's GPU.
        return False
    try:
        from triton.backends.nvidia.compiler import CUDAOptions  # pyright: ignore[reportMissingImports]
    except ImportError:
        return False
    return all(each in CUDAOptions.__dataclass_fields__ for each in OPTIONS)


class CudaKernels:
    """The two kernels of a call.

    Args:
        call: which has a program.
    """

    def __init__(self, call: Call) -> None:
        assert call.program is not None
        self._call = call
        self._program = call.program
        self._dtype = call.zero.dtype
        self._device = call.device
        self._launches: dict[Any, Launch | None] = {}
        self._bits: dict[str, list[int]] = {}

    def fire(self, v: torch.Tensor) -> list[torch.Tensor] | None:
        """Return the spikes, and the comparison if it is kept; None where no kernel can be had."""
        results = [torch.empty_like(v)]
        if self._call.kept is Kept.MASK:
            results.append(torch.empty_like(v, dtype=torch.bool))
        return results if self._run("forward", [v], results, []) else None

    def pull(self, kept: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor], cotangent: torch.Tensor) -> torch.Tensor | None:
        """Return cotangent · h in the cotangent's dtype; None where no kernel can be had."""
        if cotangent.dtype is not self._dtype:
            return None
        out = torch.empty_like(kept[0] if kept else cotangent, dtype=cotangent.dtype)
        return out if self._run("backward", [*kept, cotangent], [out], tensors) else None

    def _run(
        self, name: str, inputs: Sequence[torch.Tensor], results: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]
    ) -> bool:
        """Write the results of a pass, and say whether there was a kernel for it."""
        out = results[0]
        count, strides, aligned = out.numel(), out.stride(), True
        if count == 0:
            return True
        arrays = []
        for x in inputs:
            # Element by element in the order of memory, which must be the same for all.
            same = x.stride() == strides and not x.is_neg()
            arrays.append(x if same else torch.empty_like(out, dtype=x.dtype).copy_(x))
            # What has just been made begins at a multiple anyway.
            aligned = aligned and x.data_ptr() % ALIGNMENT == 0
        sizes: list[int] = []
        if tensors:
            places = [_place(x, out) for x in tensors]
            if None in places or any(x.device != self._device for x in tensors):
                # A number on the CPU goes along with PyTorch's operations.
                return False
            tensors = [x.resolve_neg() for x in tensors]
            aligned = aligned and all(x.data_ptr() % ALIGNMENT == 0 for x in tensors)
            sizes = [size for place in places for size in place or ()]
        key = name, aligned and count % ALIGNMENT == 0, count >= WIDE, *(x.dtype for x in tensors)
        launch = self._launches[key] if key in self._launches else self._launch(key, [*arrays, *results], tensors)
        if launch is None:
            return False
        arguments = (*arrays, *results, *tensors, *self._bits[name], count, *sizes)
        if torch.cuda.current_device() == self._device.index:
            launch(count, *arguments)
        else:
            with torch.cuda.device(self._device):
                launch(count, *arguments)
        return True

    def _launch(self, key: Any, arrays: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]) -> Launch | None:
        """Return the kernel of this name for arrays and tensors of these dtypes and this alignment, or None if there is none."""
        if torch.cuda.is_current_stream_capturing():
            # Neither compiled nor looked at while a graph is recorded: the graph gets the plain operations.
            return None
        kernels, whole = self._program.kernels, (*key, self._call.names, self._dtype, self._device)
        with _lock, torch.cuda.device(self._device):
            if whole not in kernels:
                kernels[whole] = self._compiled(key, arrays, tensors)
            if kernels[whole] is not None:
                self._constants(key[0])
            self._launches[key] = kernels[whole]
        return self._launches[key]

    def _compiled(self, key: Any, arrays: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]) -> Launch | None:
        name, aligned, wide, *_ = key
        try:
            launch = _launch(self._source(name, wide), [*arrays, *tensors], aligned, wide)
            agrees = self._agrees(name, launch, [x.dtype for x in tensors])
        except (NotImplementedError, UntraceableError):
            # A formula that cannot be written.
            return None
        except Exception as error:
            problem = f"cannot be compiled here ({type(error).__name__}: {error})"
        else:
            if agrees:
                return launch
            problem = "gives other numbers than PyTorch's own operations on this device"
        msg = f"{self._call.formula.definition.__name__}: its {name} kernel {problem}; PyTorch's operations run in its place"
        warnings.warn(msg, RuntimeWarning, stacklevel=2)
        return None

    def _source(self, name: str, wide: bool) -> Source:
        dtype = str(self._call.dtype).removeprefix("torch.")
        # With tensors v is what is kept, and the spikes do not depend on them.
        definition, names = self._call.formula.definition, self._call.names if name == "backward" else ()
        domains = {each: definition.domain(each, dtype) if definition.bounded(each) else () for each in names}
        return source(self._program.written(self._call.names), name, domains, wide)

    def _constants(self, name: str) -> list[int]:
        """Return the bits of a kernel's constants."""
        written = self._program.written(self._call.names)
        parameters = Derivative(self._call.formula, self._call.zero, self._call.numbers).parameters
        values = Constants(written.expression, self._source(name, wide=False).constants, written.dtype)(parameters, {})
        # A comparison of parameters goes as 1 or 0.
        self._bits[name] = [int(each.to(written.dtype).view(WORDS[written.dtype]).item()) for each in values]
        return self._bits[name]

    def _agrees(self, name: str, launch: Launch, dtypes: Sequence[torch.dtype]) -> bool:
        """Whether the kernel gives what the plain operations give, on potentials on which formulas differ most."""
        call = self._call
        with torch.inference_mode(False), torch.no_grad():
            v, sampled = sample(call.formula.definition, call.numbers, call.names, call.dtype)
            # A count that every kernel takes.
            v = v[:, : v.shape[1] // 2 * 2].to(self._dtype).contiguous()
            tensors = [x.to(dtype) for x, dtype in zip(sampled, dtypes, strict=False)]
            derivative = call.derivative(v, tensors or sampled)
            # Kernels take no short way.
            derivative.shortcuts = {}
            spikes = call.compare(v, 0).to(v.dtype)
            cotangent = torch.linspace(-2, 2, v.numel(), device="cpu").view(v.shape).to(v.dtype)
            mask = [derivative.mask()] if call.kept is Kept.MASK else []
            kept = {Kept.POTENTIAL: [v], Kept.MASK: mask, Kept.SPIKES: [spikes], Kept.NOTHING: []}[call.kept]
            if name == "forward":
                inputs, expected = [v], [spikes, *mask]
            else:
                inputs, expected = [*kept, cotangent], [(cotangent.to(derivative.dtype) * derivative.derivative()).to(v.dtype)]
            results = [torch.empty_like(each, device=self._device) for each in expected]
            arrays = *(x.to(self._device) for x in inputs), *results, *(x.to(self._device) for x in tensors)
            sizes = [each for x in tensors for each in _place(x, v) or ()]
            launch(v.numel(), *arrays, *self._constants(name), v.numel(), *sizes)
            return all(_alike(found.cpu(), each) for found, each in zip(results, expected, strict=True))


def _place(tensor: torch.Tensor, out: torch.Tensor) -> tuple[int, int] | None:
    """Return over how many elements of out one value of a parameter goes, and how many values there are.

    None where its values do not lie one after the other in out's memory.
    """
    if tensor.numel() == 1:
        return 1, 1
    shape = (1,) * (out.ndim - tensor.ndim) + tuple(tensor.shape)
    long = [i for i, size in enumerate(shape) if size != 1]
    block = slice(long[0], long[-1] + 1)
    if shape[block] != tuple(out.shape[block]) or not (tensor.is_contiguous() and out.is_contiguous()):
        return None
    length = math.prod(out.shape[block.stop :])
    return (length, tensor.numel()) if length < WIDE else None


def _alike(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two results are the same but for the last bits, in which CUDA's functions are others than a CPU's."""
    if not expected.is_floating_point():
        return torch.equal(found, expected)
    limits = torch.finfo(expected.dtype)
    x, y = found.double(), expected.double()
    size = y.nan_to_num(0, 0, 0).abs().max()
    near = (x - y).abs() <= 64 * limits.eps * y.abs() + 4 * limits.eps * size + limits.smallest_normal
    return bool((near | (x == y) | (x.isnan() & y.isnan())).all())


def _launch(written: Source, arrays: Sequence[torch.Tensor], aligned: bool, wide: bool) -> Launch:
    """Return the compiled kernel, for arrays of these dtypes, the parameters' among them."""
    count = ALIGNMENT if aligned else ALIGNMENT + 1
    kinds = [torch.int8 if x.dtype is torch.bool else x.dtype for x in arrays]
    memory = [torch.empty(count + 1, dtype=each, device=arrays[0].device)[0 if aligned else 1 :] for each in kinds]
    numbers = [*[0] * len(written.constants), count * 2**40 if wide else count, *[1] * written.sizes]
    kernel: Any = _jit(written).warmup(*memory, *numbers, grid=(1,), **OPTIONS)
    launch, device = launcher(kernel), arrays[0].device.index
    return lambda count, *arguments: launch((count + BLOCK - 1) // BLOCK, device, *arguments)


def _jit(written: Source) -> Any:
    """Return Triton's function of a kernel, which reads its text by way of `linecache`."""
    file = f"<arcana kernel {next(_numbering)}>"
    linecache.cache[file] = len(written.text), None, written.text.splitlines(keepends=True), file
    names: dict[str, Any] = {"__name__": __name__}
    try:
        # Without this module's postponed annotations, by which Triton would miss the types of the constants.
        exec(compile(written.text, file, "exec", dont_inherit=True), names)
    finally:
        del linecache.cache[file]
    return names[written.name]
