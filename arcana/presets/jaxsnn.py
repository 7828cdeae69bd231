"""jaxsnn 0.3.0: `jaxsnn.discrete.functional.threshold`. Its spike at v = 0 is 0.5; here it is 1.

>>> from arcana import presets
>>> presets.jaxsnn.superspike(alpha=10.0)
FastSigmoid(scale=10.0)
"""

from __future__ import annotations

from arcana.presets._registry import preset
from arcana.surrogate import FastSigmoid


@preset
def superspike(*, alpha: float = 80.0) -> FastSigmoid:
    """`superspike` of jaxsnn 0.3.0, the default of its neurons; fires where v >= 0.

    h(v) = 1 / (alpha·|v| + 1)²

    Differs: at v = 0 alone, where the library's spike is 0.5 and its gradient the same.
    """
    return FastSigmoid(scale=alpha)
