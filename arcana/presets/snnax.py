"""snnax 0.0.1: `snnax.functional.surrogate`. Fires at v = 0.

The wheel on PyPI lacks two modules of its own, `snnax.snn.init` and `snnax.functional.functional`, without which it is not
imported; the values are those of its file of surrogates, by itself.

>>> from arcana import presets
>>> presets.snnax.superspike_surrogate(beta=5.0)
LogAbs(slope=5.0, gain=0.2)
"""

from __future__ import annotations

from arcana.presets._registry import preset
from arcana.surrogate import LogAbs, Rectangular, Sigmoid


@preset
def superspike_surrogate(*, beta: float = 10.0) -> LogAbs:
    """`superspike_surrogate` of snnax 0.0.1, the default of its neurons; fires where v >= 0.

    h(v) = 1 / (1 + beta·|v|)

    Note: the paper that it is named after squares this; at v = 0.1 that is 0.25 where the library has 0.5.
    """
    return LogAbs(slope=beta, gain=1 / beta)


@preset
def sigmoid_surrogate(*, beta: float = 1.0) -> Sigmoid:
    """`sigmoid_surrogate` of snnax 0.0.1; fires where v >= 0.

    h(v) = beta·s(beta·v)·(1 − s(beta·v)), s(x) = 1 / (1 + e^(−x))

    Differs: the library gives JAX's sigmoid one argument too many and raises a TypeError where a gradient is asked for.
    """
    return Sigmoid(slope=beta)


@preset
def piecewise_surrogate(*, beta: float = 0.5) -> Rectangular:
    """`piecewise_surrogate` of snnax 0.0.1; fires where v >= 0.

    h(v) = 1 for |v| < beta, else 0
    """
    return Rectangular(height=1.0, width=2 * beta)
