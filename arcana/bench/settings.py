"""What is measured: the options of the command, checked."""

from __future__ import annotations

import dataclasses
import difflib

from arcana import surrogate as definitions

PARTS = ("elementwise", "memory", "layer", "import")
DTYPES = ("float32", "float16", "bfloat16", "float64")
SIZES = (1_024, 65_536, 1_048_576, 16_777_216)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of a run.

    Attributes:
        parts: some of `PARTS`.
        frameworks: torch, jax or both.
        modes: some of eager, compiled and kernels, which is PyTorch's eager mode with and without `set_compiled_kernels`.
        chosen: names of surrogates; none for the whole catalogue, and in the layer for `fast_sigmoid`.
        sizes: elements of the arrays, ascending; memory is measured at the largest.
        dtype: of the potentials.
        seconds: for the turns of one surrogate at one size in one mode, forward or both passes.
        neurons: the layer's, and its inputs.
        steps: the layer's.
    """

    parts: tuple[str, ...] = PARTS
    frameworks: tuple[str, ...] = ("torch", "jax")
    modes: tuple[str, ...] = ("eager",)
    chosen: tuple[str, ...] = ()
    sizes: tuple[int, ...] = SIZES
    dtype: str = "float32"
    seconds: float = 0.25
    neurons: int = 512
    steps: int = 500

    def __post_init__(self) -> None:
        for part in self.parts:
            _check_part(part)
        for name in self.chosen:
            definitions.get(name)
        if "kernels" in self.modes and "jax" in self.frameworks:
            msg = "the mode kernels is PyTorch's alone, and JAX was asked for"
            raise ValueError(msg)
        if min(self.sizes) < 1:
            msg = f"sizes must be at least 1, got {min(self.sizes)}"
            raise ValueError(msg)
        object.__setattr__(self, "sizes", tuple(sorted(set(self.sizes))))

    @property
    def surrogates(self) -> tuple[str, ...]:
        """Those of the elementwise part and of memory."""
        return self.chosen or tuple(definitions.names())

    @property
    def layer_surrogates(self) -> tuple[str, ...]:
        """Those of the layer."""
        return self.chosen or ("fast_sigmoid",)


def _check_part(part: str) -> None:
    if part not in PARTS:
        near = difflib.get_close_matches(part, PARTS, n=1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(PARTS)}"
        msg = f"nothing to measure is called {part!r}; {advice}"
        raise ValueError(msg)
