"""Potentials and cotangents for the device: all patterns of the half types, millions of hard ones of the wide."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from known_values import KNOWN

from arcana.testing._values import BITS, Array, from_float, hard_sample, to_float

FAMILIES = ("fast_sigmoid", "rectangular", "gaussian")
"""One surrogate of each family of formulas: rational, piecewise, and with an exponential."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """Bit patterns of potentials and of cotangents in [0.5, 2), and where the potential is a number."""

    dtype: str
    v: Array
    c: Array
    number: Array


def sample(name: str, dtype: str, count: int) -> Sample:
    """Of a wide dtype about `count`: every exponent and the neighbours of the kinks, patterns of the whole range, and (−8, 8)."""
    if BITS[dtype] == 16:
        v = np.arange(1 << 16, dtype=np.uint16)
    else:
        hard = hard_sample(dtype, around=(0.0, 1.0, *(abs(float(kink)) for kink in KNOWN[name].kinks)))
        generator = np.random.default_rng(5)
        if count < hard.size:
            v = generator.choice(hard, count, replace=False)
        else:
            rest = count - hard.size
            anywhere = generator.integers(0, 1 << BITS[dtype], rest // 2, dtype=hard.dtype)
            v = np.concatenate([hard, anywhere, from_float(generator.uniform(-8, 8, rest - rest // 2), dtype)])
    c = from_float(np.random.default_rng(6).uniform(0.5, 2, v.size), dtype)
    return Sample(dtype, v, c, ~np.isnan(to_float(v, dtype)))


def bounds() -> ModuleType:
    """tests/accuracy.py, under another name than the part's."""
    name = "arcana_tests_accuracy"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).resolve().parents[1] / "accuracy.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]
