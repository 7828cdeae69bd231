"""The surrogates and the spike rules of other libraries, by their own names, parameters and defaults.

>>> from arcana import presets
>>> presets.get("snntorch.fast_sigmoid", slope=25)
FastSigmoid(scale=25.0, fires_at_threshold=False)
>>> presets.snntorch.fast_sigmoid(slope=25) == presets.get("snntorch.fast_sigmoid")
True

A preset is the formula that the library's code evaluates, with the library's spike at v = 0, where v is the potential minus
the threshold. Where the code contradicts the paper it is from, or fails, the preset gives what was intended, and its
description says so in a line that begins with "Differs:". Names are in lower case: `SoftSign` is `soft_sign`.

A library whose spikes are not 0 and 1 alone has presets of `arcana.rules` too, with names of their own: `rule_names` lists them
and `get_rule` makes one. `describe` says what v is for the library's x, and with which surrogate the gradient is the library's.

>>> import torch
>>> from arcana.torch import spike
>>> rule = presets.sinabs.max_spike(max_num_spikes_per_bin=4)
>>> rule == presets.get_rule("sinabs.max_spike", max_num_spikes_per_bin=4)
True
>>> x = torch.tensor([0.5, 1.0, 2.5, 9.0])
>>> spike(x - 1.0, presets.sinabs.single_exponential(), rule=rule)
tensor([0., 1., 2., 4.])
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
from arcana.presets._registry import defaults, describe, get, get_rule, names, rule_names

__all__ = [
    "braincog",
    "braintools",
    "defaults",
    "describe",
    "get",
    "get_rule",
    "jaxsnn",
    "lava_dl",
    "names",
    "norse",
    "rockpool",
    "rule_names",
    "sinabs",
    "slax",
    "snnax",
    "snntorch",
    "spikingjelly",
    "spyx",
]


def __dir__() -> list[str]:
    return sorted(__all__)
