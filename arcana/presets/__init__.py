"""The surrogates of other libraries, by their own names, parameters and defaults, as surrogates of Arcana.

>>> from arcana import presets
>>> presets.get("snntorch.fast_sigmoid", slope=25)
FastSigmoid(scale=25.0, fires_at_threshold=False)
>>> presets.snntorch.fast_sigmoid(slope=25) == presets.get("snntorch.fast_sigmoid")
True

A preset is the formula that the library's code evaluates, with the library's spike at v = 0, where v is the potential minus
the threshold. Where the code contradicts the paper it is from, or fails, the preset gives what was intended, and its
description says so in a line that begins with "Differs:". Names are in lower case: `SoftSign` is `soft_sign`.
"""

from arcana.presets import (
    braincog,
    braintools,
    jaxsnn,
    lava_dl,
    norse,
    rockpool,
    sinabs,
    slax,
    snnax,
    snntorch,
    spikingjelly,
    spyx,
)
from arcana.presets._registry import defaults, describe, get, names

__all__ = [
    "braincog",
    "braintools",
    "defaults",
    "describe",
    "get",
    "jaxsnn",
    "lava_dl",
    "names",
    "norse",
    "rockpool",
    "sinabs",
    "slax",
    "snnax",
    "snntorch",
    "spikingjelly",
    "spyx",
]


def __dir__() -> list[str]:
    return sorted(__all__)
