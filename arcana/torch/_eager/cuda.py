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
from typing import Any, NamedTuple

import torch

from arcana._core import Kept, UntraceableError
from arcana.torch._compat import launcher
from arcana.torch._derivative import Derivative
from arcana.torch._eager.masks import WORDS
from arcana.torch._eager.program import Constants, LearnableProgram, Written, product_of, sample
from arcana.torch._eager.triton import BLOCK, OPTIONS, Parameter, Source, source

if typing.TYPE_CHECKING:
    from arcana.torch._call import Call

WIDE = 1 << 30
"""Elements from which on they are counted in 64 bits."""

ALIGNMENT = 16
"""Bytes, and elements: where pointers and counts are multiples of it, Triton loads several elements at once."""

USUAL = 32.0
"""Potentials up to which the gradients of parameters may differ by roundings alone; farther out large numbers cancel."""

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


class Kind(NamedTuple):
    """A kernel among those of a call.

    Attributes:
        name: "forward" or "backward".
        aligned: whether pointers and counts are multiples of `ALIGNMENT`.
        wide: whether elements are counted in 64 bits.
        dtypes: of the tensors among the parameters.
        single: whether each of these has one value for all elements.
        asked: whether the gradient of each is made; where this is empty, none is, and else at least one.
    """

    name: str
    aligned: bool
    wide: bool
    dtypes: tuple[torch.dtype, ...] = ()
    single: tuple[bool, ...] = ()
    asked: tuple[bool, ...] = ()

    @property
    def summed(self) -> list[bool]:
        """For each gradient whether the kernel sums it, which it does for a parameter of one value."""
        return [single for single, wanted in zip(self.single, self.asked, strict=False) if wanted]


class CudaKernels:
    """The kernels of a call: one forward and one backward.

    Args:
        call: which has a program.
    """

    def __init__(self, call: Call) -> None:
        assert call.program is not None
        self._call = call
        self._program = call.program
        self._dtype = call.zero.dtype
        self._device = call.device
        self._launches: dict[Kind, tuple[Launch, list[int]] | None] = {}
        self._bits: dict[Kind, list[int]] = {}

    def fire(self, v: torch.Tensor) -> list[torch.Tensor] | None:
        """Return the spikes, and the comparison if it is kept; None where no kernel can be had."""
        results = [torch.empty_like(v)]
        if self._call.kept is Kept.MASK:
            results.append(torch.empty_like(v, dtype=torch.bool))
        return results if self._run("forward", [v], results) else None

    def pull(self, kept: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor], cotangent: torch.Tensor) -> torch.Tensor | None:
        """Return cotangent · h in the cotangent's dtype; None where no kernel can be had."""
        if cotangent.dtype is not self._dtype:
            return None
        out = torch.empty_like(kept[0] if kept else cotangent, dtype=cotangent.dtype)
        return out if self._run("backward", [*kept, cotangent], [out], tensors) else None

    def gradients(
        self, v: torch.Tensor, tensors: Sequence[torch.Tensor], cotangent: torch.Tensor, asked: Sequence[bool]
    ) -> list[torch.Tensor | None] | None:
        """Return cotangent · h, and for each tensor that is asked for cotangent · dG/dparameter summed to its shape.

        None where no kernel can be had.
        """
        if cotangent.dtype is not self._dtype:
            return None
        out = torch.empty_like(v)
        summed = [x.numel() == 1 for x, wanted in zip(tensors, asked, strict=True) if wanted]
        arrays, sums = self._room(out, summed)
        results = [out, *arrays] if sums is None else [out, *arrays, sums]
        if not self._run("backward", [v, cotangent], results, tensors, tuple(asked)):
            return None
        # Sums of sums in a fixed order: the same bits every time.
        totals = [] if sums is None else [sums.sum(0)] if sums.shape[1] == 1 else sums.sum(0).split(1)
        each_array, each_total = iter(arrays), iter(totals)
        found: list[torch.Tensor | None] = [out]
        for x, wanted in zip(tensors, asked, strict=True):
            if not wanted:
                found.append(None)
                continue
            gradient = next(each_total) if x.numel() == 1 else next(each_array).sum_to_size(x.shape)
            # In the computing dtype: autograd casts the gradient of a parameter to the parameter's.
            found.append(gradient if gradient.shape == x.shape else gradient.view(x.shape))
        return found

    def _room(self, out: torch.Tensor, summed: Sequence[bool]) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Return what a kernel writes for the parameters: an array of out's shape for each, or the sums of its instances."""
        arrays = [torch.empty_like(out, dtype=self._call.dtype) for each in summed if not each]
        number = len(summed) - len(arrays)
        return arrays, out.new_empty((_instances(out.numel()), number), dtype=self._call.dtype) if number else None

    def _run(
        self,
        name: str,
        inputs: Sequence[torch.Tensor],
        results: Sequence[torch.Tensor],
        tensors: Sequence[torch.Tensor] = (),
        asked: tuple[bool, ...] = (),
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
        dtypes, single = (), ()
        if tensors:
            places = [_place(x, out) for x in tensors]
            if None in places or any(x.device != self._device for x in tensors):
                # A number on the CPU goes along with PyTorch's operations.
                return False
            tensors = [x.resolve_neg() for x in tensors]
            aligned = aligned and all(x.data_ptr() % ALIGNMENT == 0 for x in tensors)
            sizes = [size for place in places for size in place or ()]
            dtypes, single = tuple([x.dtype for x in tensors]), tuple([not place for place in places])
        kind = Kind(name, aligned and count % ALIGNMENT == 0, count >= WIDE, dtypes, single, asked)
        ready = self._launches[kind] if kind in self._launches else self._ready(kind, [*arrays, *results], tensors)
        if ready is None:
            return False
        launch, bits = ready
        arguments = (*arrays, *results, *tensors, *bits, count, *sizes)
        if torch.cuda.current_device() == self._device.index:
            launch(count, *arguments)
        else:
            with torch.cuda.device(self._device):
                launch(count, *arguments)
        return True

    def _ready(
        self, kind: Kind, arrays: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]
    ) -> tuple[Launch, list[int]] | None:
        """Return the kernel, for arrays and tensors of these dtypes, with the bits of its constants; None if there is none."""
        if torch.cuda.is_current_stream_capturing():
            # Neither compiled nor looked at while a graph is recorded: the graph gets the plain operations.
            return None
        kernels, whole = self._program.kernels, (*kind, self._call.names, self._dtype, self._device)
        with _lock, torch.cuda.device(self._device):
            if whole not in kernels:
                kernels[whole] = self._compiled(kind, arrays, tensors)
            launch = kernels[whole]
            self._launches[kind] = (launch, self._constants(kind)) if launch else None
        return self._launches[kind]

    def _compiled(self, kind: Kind, arrays: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]) -> Launch | None:
        try:
            launch = _launch(self._source(kind), [*arrays, *tensors], kind.aligned, kind.wide)
            agrees = self._agrees(kind, launch)
        except (NotImplementedError, UntraceableError):
            # A formula that cannot be written.
            return None
        except Exception as error:
            problem = f"cannot be compiled here ({type(error).__name__}: {error})"
        else:
            if agrees:
                return launch
            problem = "gives other numbers than PyTorch's own operations on this device"
        msg = f"{self._call.formula.definition.__name__}: its {kind.name} kernel {problem}; PyTorch's operations run in its place"
        warnings.warn(msg, RuntimeWarning, stacklevel=2)
        return None

    def _source(self, kind: Kind, written: Written | None = None) -> Source:
        dtype = str(self._call.dtype).removeprefix("torch.")
        definition = self._call.formula.definition
        domains = [definition.domain(each, dtype) if definition.bounded(each) else () for each in self._names(kind)]
        parameters = [Parameter(*each) for each in zip(self._names(kind), kind.single, domains, strict=True)]
        return source(written or self._written(kind), kind.name, parameters, kind.summed, kind.wide)

    def _names(self, kind: Kind) -> tuple[str, ...]:
        # With tensors v is what is kept, and the spikes do not depend on them.
        return self._call.names if kind.name == "backward" else ()

    def _written(self, kind: Kind) -> Written:
        if kind.asked:
            return self._learnable(kind).written(self._names(kind))
        return self._program.written(kind.name, self._names(kind))

    def _learnable(self, kind: Kind) -> LearnableProgram:
        program = self._call.learnable(kind.asked, near=False, exact=True)
        if program is None:
            msg = "the gradient of a parameter has no program"
            raise UntraceableError(msg)
        return program

    def _constants(self, kind: Kind) -> list[int]:
        """Return the bits of a kernel's constants."""
        if kind not in self._bits:
            written = self._written(kind)
            parameters = Derivative(self._call.formula, self._call.zero, self._call.numbers).parameters
            values = Constants(written.expression, self._source(kind, written).constants, written.dtype)(parameters, {})
            # A comparison of parameters goes as 1 or 0.
            self._bits[kind] = [int(each.to(written.dtype).view(WORDS[written.dtype]).item()) for each in values]
        return self._bits[kind]

    def _agrees(self, kind: Kind, launch: Launch) -> bool:
        """Whether the kernel gives what the plain operations give, on potentials on which formulas differ most."""
        call = self._call
        with torch.inference_mode(False), torch.no_grad():
            v, sampled = sample(call.formula.definition, call.numbers, call.names, call.dtype)
            # A count that every kernel takes.
            v = v[:, : v.shape[1] // 2 * 2].to(self._dtype).contiguous()
            # One value a row, or that of the second row.
            tensors = [
                (x[1:2] if single else x).to(dtype) for x, single, dtype in zip(sampled, kind.single, kind.dtypes, strict=False)
            ]
            derivative = call.derivative(v, tensors or sampled)
            # Kernels take no short way.
            derivative.shortcuts = {}
            cotangent = torch.linspace(-2, 2, v.numel(), device="cpu").view(v.shape).to(v.dtype)
            if kind.asked:
                return self._gradients_agree(kind, launch, v, cotangent, derivative, tensors)
            spikes = call.compare(v, 0).to(v.dtype)
            mask = [derivative.mask()] if call.kept is Kept.MASK else []
            kept = {Kept.POTENTIAL: [v], Kept.MASK: mask, Kept.SPIKES: [spikes], Kept.NOTHING: []}[call.kept]
            if kind.name == "forward":
                inputs, expected = [v], [spikes, *mask]
            else:
                inputs, expected = [*kept, cotangent], [(cotangent.to(derivative.dtype) * derivative.derivative()).to(v.dtype)]
            results = [torch.empty_like(each, device=self._device) for each in expected]
            self._try(kind, launch, inputs, results, tensors)
            return all(_alike(found.cpu(), each) for found, each in zip(results, expected, strict=True))

    def _gradients_agree(
        self,
        kind: Kind,
        launch: Launch,
        v: torch.Tensor,
        cotangent: torch.Tensor,
        derivative: Derivative,
        tensors: Sequence[torch.Tensor],
    ) -> bool:
        """Whether the kernel gives what the operations of the program give; a sum is of one potential with a cotangent."""
        program, dtype = self._learnable(kind), self._call.dtype
        constants, shape = program.fold(derivative.parameters, {}), v.shape
        found = program.few(v.to(dtype), cotangent.to(dtype), torch.empty_like(v, dtype=dtype), *constants)
        product, zeros = found[0].to(v.dtype), torch.zeros_like(found[0])
        slopes = [sum((product_of(each, found, constants) for each in terms), zeros) for terms in program.terms]
        # Each potential fills an instance of which one element has a cotangent: the others add 0 to its sum.
        width = BLOCK if any(kind.summed) else 1
        rows = torch.arange(v.numel(), device="cpu")
        place = rows, rows * 7 % width
        cotangents = v.new_zeros((v.numel(), width)).index_put_(place, cotangent.flatten())
        inputs = [x.view(shape[0], -1) for x in (v.view(-1, 1).repeat(1, width), cotangents)]
        out = torch.empty_like(inputs[0], device=self._device)
        arrays, sums = self._room(out, kind.summed)
        self._try(kind, launch, inputs, [out, *arrays] if sums is None else [out, *arrays, sums], tensors)
        gradient, *picked = (x.cpu().view(-1, width)[place].view(shape) for x in (out, *arrays))
        each_array, each_sum = iter(picked), iter(() if sums is None else sums.cpu().unbind(1))
        made = [next(each_sum).view(shape) if single else next(each_array) for single in kind.summed]
        return _alike(gradient, product) and all(_slopes_alike(x, y, v) for x, y in zip(made, slopes, strict=True))

    def _try(
        self,
        kind: Kind,
        launch: Launch,
        inputs: Sequence[torch.Tensor],
        results: Sequence[torch.Tensor],
        tensors: Sequence[torch.Tensor],
    ) -> None:
        """Run a kernel on inputs and parameters from the CPU."""
        arrays = *(x.to(self._device) for x in inputs), *results, *(x.to(self._device) for x in tensors)
        sizes = [size for x in tensors for size in _place(x, results[0]) or ()]
        count = results[0].numel()
        launch(count, *arrays, *self._constants(kind), count, *sizes)


def _instances(count: int) -> int:
    """Return how many program instances so many elements take."""
    return (count + BLOCK - 1) // BLOCK


def _place(tensor: torch.Tensor, out: torch.Tensor) -> tuple[int, ...] | None:
    """Return over how many elements of out one value of a parameter goes, and how many values there are; () for a single value.

    None where its values do not lie one after the other in out's memory.
    """
    if tensor.numel() == 1:
        return ()
    shape = (1,) * (out.ndim - tensor.ndim) + tuple(tensor.shape)
    long = [i for i, size in enumerate(shape) if size != 1]
    block = slice(long[0], long[-1] + 1)
    if shape[block] != tuple(out.shape[block]) or not (tensor.is_contiguous() and out.is_contiguous()):
        return None
    length = math.prod(out.shape[block.stop :])
    return (length, tensor.numel()) if length < WIDE else None


def _alike(found: torch.Tensor, expected: torch.Tensor, roundings: float = 4) -> bool:
    """Whether two results are the same but for the last bits, in which CUDA's functions are others than a CPU's.

    Where terms cancel, so many roundings of the largest result are left.
    """
    if not expected.is_floating_point():
        return torch.equal(found, expected)
    limits = torch.finfo(expected.dtype)
    size = expected.double().nan_to_num(0, 0, 0).abs().max()
    # The largest number is one rounding from infinity.
    x, y = (each.double().clamp(limits.min, limits.max) for each in (found, expected))
    near = (x - y).abs() <= 64 * limits.eps * y.abs() + roundings * limits.eps * size + limits.smallest_normal
    return bool((near | (x.isnan() & y.isnan())).all())


def _slopes_alike(found: torch.Tensor, expected: torch.Tensor, v: torch.Tensor) -> bool:
    """Whether two gradients of a parameter are the same at each of the potentials v; where one overflows nothing is said."""
    told = expected.isfinite()
    near = told & (v.abs() <= USUAL)
    # Two functions that are off by 2 units each leave 14 roundings of `dspike`'s temperature, and 2 of any other parameter.
    strictly = _alike(found.where(near, 0), expected.where(near, 0), roundings=64)
    return strictly and torch.allclose(found.where(told, 0), expected.where(told, 0), rtol=0.01, atol=1e-6)


def _launch(written: Source, arrays: Sequence[torch.Tensor], aligned: bool, wide: bool) -> Launch:
    """Return the compiled kernel, for arrays of these dtypes, the parameters' among them."""
    count = ALIGNMENT if aligned else ALIGNMENT + 1
    kinds = [torch.int8 if x.dtype is torch.bool else x.dtype for x in arrays]
    memory = [torch.empty(count + 1, dtype=each, device=arrays[0].device)[0 if aligned else 1 :] for each in kinds]
    numbers = [*[0] * len(written.constants), count + 2**40 if wide else count, *[1] * written.sizes]
    kernel: Any = _jit(written).warmup(*memory, *numbers, grid=(1,), **OPTIONS)
    launch, device = launcher(kernel), arrays[0].device.index
    return lambda count, *arguments: launch(_instances(count), device, *arguments)


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
