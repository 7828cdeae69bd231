"""The array namespace `xp` over which a definition writes its formulas."""

from __future__ import annotations

import typing
from typing import Any

FUNCTIONS = (
    "abs",
    "arctan",
    "cos",
    "decay",
    "divide",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "fmod",
    "log",
    "log1p",
    "nonnegative",
    "positive",
    "power",
    "reciprocal",
    "relu",
    "round",
    "sign",
    "sin",
    "spike",
    "sqrt",
    "square",
    "where",
    "zeros_like",
)
"""Every function of `xp`. `nonnegative`, `positive` and `spike` are exact for subnormals, the others the framework's own.

`decay` is e^(−x) for x >= 0; `relu` has the derivative 0 at 0 in every backend.
`nonnegative` is v >= 0 and `positive` v > 0, false for NaN; `spike` is `nonnegative` as numbers of v's dtype.
"""

COMPUTE_DTYPES = {"float64": "float64", "float32": "float32", "float16": "float32", "bfloat16": "float32"}
"""The dtypes of a potential, and the dtype in which each is computed: half types in float32, rounded once at the end."""


FAR = {"float64": 2.0**1008, "float32": 2.0**112}
"""Stands for an infinite potential in the gradient of a parameter: far enough for every limit, with room for products."""


def compute_dtype(caller: str, dtype: str) -> str:
    """The computing dtype for a potential's dtype, or the error for one that is not supported."""
    if dtype not in COMPUTE_DTYPES:
        msg = f"{caller}: v must be {', '.join(COMPUTE_DTYPES)}, got {dtype}"
        raise TypeError(msg)
    return COMPUTE_DTYPES[dtype]


class Namespace:
    """One backend's functions, under the names in `FUNCTIONS` and no others.

    A backend subclasses this and gives each function. A few of them are defined there rather than left to
    the frameworks, which disagree: d|v|/dv at 0 is 0, and a comparison with 0 never treats a subnormal as zero.
    """

    if typing.TYPE_CHECKING:
        # Definitions are written once over arrays of any framework, so their types stay open here.
        def __getattr__(self, name: str) -> Any: ...

    else:

        def __getattr__(self, name: str) -> Any:
            msg = f"xp.{name} does not exist: a definition may use only {', '.join(FUNCTIONS)}"
            raise AttributeError(msg)
