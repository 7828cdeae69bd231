"""How far two arrays are apart: one leaf of what both frameworks gave, and the place where it is worst."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from arcana.testing._leaves import INEXACT, PARTS
from arcana.testing._values import BITS, Array, from_float, ulp_difference

RELATIVE = {"float64": 1e-12, "float32": 1e-5, "float16": 5e-3, "bfloat16": 4e-2}
"""The default relative tolerance of a dtype: 5 to 4500 units roundoff, so a sum of some thousand terms passes in float32."""
RELATIVE |= {name: RELATIVE[part] for name, part in PARTS.items()}


@dataclasses.dataclass(frozen=True)
class Worst:
    """The largest of one kind of difference, its index, and both numbers there.

    Complex numbers are compared by their parts: the index then ends in 0 for the real and 1 for the imaginary part.

    >>> import numpy as np
    >>> Leaf("rates", np.array([0.5, 1.0]), np.array([0.5, 1.25])).absolute
    Worst(value=0.25, index=(1,), torch=1.0, jax=1.25)
    """

    value: float
    index: tuple[int, ...]
    torch: float
    jax: float


@dataclasses.dataclass(frozen=True, eq=False)
class Leaf:
    """One array of both frameworks' results.

    Attributes:
        name: which: `output.spikes`, or `∂output.spikes/∂argument.0` for a gradient.
        torch: torch's array, None where only JAX has one.
        jax: JAX's array, None where only torch has one.
        note: what else is known of it.

    >>> import numpy as np
    >>> leaf = Leaf("rates", np.array([0.5, 1.0]), np.array([0.5, 1.25]))
    >>> leaf.close(), leaf.close(relative=0.2), leaf.differing
    (False, True, 1)
    """

    name: str
    torch: Array | None
    jax: Array | None
    note: str = ""

    @functools.cached_property
    def mismatch(self) -> str:
        """The reason why the numbers cannot be compared, or the two dtypes; empty if there is none."""
        if self.torch is None or self.jax is None:
            return "only in JAX" if self.torch is None else "only in torch"
        if self.torch.shape != self.jax.shape:
            return f"shape {self.torch.shape} in torch, {self.jax.shape} in JAX"
        if self.torch.dtype != self.jax.dtype:
            return f"{self.torch.dtype.name} in torch, {self.jax.dtype.name} in JAX"
        return ""

    @functools.cached_property
    def dtype(self) -> str:
        """The coarser of the two dtypes."""
        names = [array.dtype.name for array in (self.torch, self.jax) if array is not None]
        return max(names, key=lambda name: RELATIVE.get(name, -1.0))

    @functools.cached_property
    def _pair(self) -> tuple[Array, Array] | None:
        if self.torch is None or self.jax is None or self.torch.shape != self.jax.shape or not self.torch.size:
            return None
        for array in (self.torch, self.jax):
            if array.dtype.name not in INEXACT and array.dtype.kind not in "biu":
                msg = f"{self.name} has dtype {array.dtype.name}; compared are {', '.join(INEXACT)}, integers and booleans"
                raise TypeError(msg)
        if self._complex:
            return _parts(self.torch), _parts(self.jax)
        return self.torch.astype(np.float64), self.jax.astype(np.float64)

    @property
    def _complex(self) -> bool:
        return any(array is not None and array.dtype.name in PARTS for array in (self.torch, self.jax))

    @property
    def _whole(self) -> bool:
        """Whether both are integers or booleans."""
        return all(array is not None and array.dtype.kind in "biu" for array in (self.torch, self.jax))

    @functools.cached_property
    def apart(self) -> Array:
        """|torch − JAX|, 0 where both are the same infinity or both NaN, inf where one is NaN; empty without a pair."""
        if self._pair is None:
            return np.zeros(0)
        a, b = self._pair
        with np.errstate(invalid="ignore"):
            difference = np.abs(a - b)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        if self._whole:
            # Two integers of 64 bits that differ may be one float64.
            same, difference = np.asarray(self.torch == self.jax), np.maximum(difference, 1.0)
        return np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))

    @property
    def absolute(self) -> Worst | None:
        """The largest |torch − JAX|."""
        return self._worst(self.apart)

    @property
    def relative(self) -> Worst | None:
        """The largest |torch − JAX| / max(|torch|, |JAX|)."""
        if self._pair is None:
            return None
        size = np.maximum(*(np.abs(each) for each in self._pair))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(np.isinf(self.apart), np.inf, self.apart / size)
        return self._worst(np.where(self.apart == 0, 0.0, ratio))

    @property
    def ulp(self) -> Worst | None:
        """The largest number of floats of the coarser dtype between the two; None where they are not floats."""
        dtype = PARTS.get(self.dtype, self.dtype)
        if self._pair is None or dtype not in BITS:
            return None
        a, b = (from_float(each, dtype) for each in self._pair)
        return self._worst(ulp_difference(a, b, dtype))

    @property
    def differing(self) -> int:
        """The number of elements that differ."""
        apart = self.apart.any(axis=-1) if self._complex and self._pair is not None else self.apart
        return int(np.count_nonzero(apart))

    def close(self, relative: float | None = None, absolute: float | None = None) -> bool:
        """Whether |torch − JAX| ≤ absolute + relative · |JAX|, in one shape and dtype; see `Comparison.assert_close`."""
        if self.torch is None or self.jax is None or self.torch.shape != self.jax.shape:
            return False
        if self._whole:
            return not self.differing
        if self.mismatch:
            return False
        if self._pair is None:
            return True
        a, b = self._pair
        relative = RELATIVE[self.dtype] if relative is None else relative
        if absolute is None:
            finite = np.abs(b[np.isfinite(b)])
            absolute = relative * float(finite.max(initial=0.0))
        return bool(np.isclose(a, b, rtol=relative, atol=absolute, equal_nan=True).all())

    def _worst(self, differences: Array) -> Worst | None:
        if self._pair is None:
            return None
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(differences)), differences.shape))
        a, b = self._pair
        return Worst(float(differences[index]), index, float(a[index]), float(b[index]))

    def to_dict(self) -> dict[str, Any]:
        """Return the differences as plain values."""
        return {
            "name": self.name,
            "shape": {name: None if each is None else list(each.shape) for name, each in self._sides()},
            "dtype": {name: None if each is None else each.dtype.name for name, each in self._sides()},
            "differing": self.differing,
            **{kind: _plain(getattr(self, kind)) for kind in ("absolute", "relative", "ulp")},
            "note": self.note,
        }

    def _sides(self) -> list[tuple[str, Array | None]]:
        return [("torch", self.torch), ("jax", self.jax)]


def _parts(array: Array) -> Array:
    """Return the real and the imaginary part of each number, on a last axis."""
    return np.stack([array.real, array.imag], axis=-1).astype(np.float64)


def _plain(worst: Worst | None) -> dict[str, Any] | None:
    if worst is None:
        return None
    numbers = {
        key: value if np.isfinite(value) else str(value) for key, value in dataclasses.asdict(worst).items() if key != "index"
    }
    return {**numbers, "index": list(worst.index)}
