"""Gradients by a row of a backend's transforms table, a column a surrogate: what is traced and compiled once serves them all."""

from __future__ import annotations

import contextlib
import functools
from types import ModuleType

import numpy as np
from truth import COTANGENT, POINTS, columns, parameter_points

from arcana.surrogate import get
from arcana.testing._transforms import transform
from arcana.testing._values import Array

NEAR = POINTS[np.abs(POINTS) < 100]


@functools.cache
def gradients(side: ModuleType, way: str, dtype: str, names: tuple[str, ...]) -> Array:
    """c · h at POINTS."""
    v, c = (columns(x, len(names), dtype) for x in (POINTS, COTANGENT))
    with getattr(side, "enable_x64", contextlib.nullcontext)(dtype == "float64"):
        return transform(side, way, [get(name) for name in names], v, c)


@functools.cache
def parameter_gradients(side: ModuleType, way: str, dtype: str, cases: tuple[tuple[str, str], ...]) -> Array:
    """c · dG/dparameter at POINTS."""
    surrogates, keys = [get(name) for name, _ in cases], [key for _, key in cases]
    v, c = (columns(x, len(cases), dtype) for x in (POINTS, COTANGENT))
    p = np.stack([parameter_points(*each, POINTS.size) for each in zip(surrogates, keys, strict=True)], -1).astype(dtype)
    return transform(side, way, surrogates, p, v, c, parameters=keys)


@functools.cache
def gain_gradients(side: ModuleType, way: str, names: tuple[str, ...]) -> Array:
    """c · (G − 1/2) at NEAR."""
    v, c, gain = (columns(x, len(names), "float32") for x in (NEAR, COTANGENT[: NEAR.size], np.linspace(0.5, 3, NEAR.size)))
    return transform(side, way, [get(name) for name in names], gain, v, c, parameters=["gain"] * len(names))
