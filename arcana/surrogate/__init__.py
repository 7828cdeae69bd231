"""The definitions: one class a surrogate, written once over an array namespace, and its default instance in lower case.

>>> from arcana.surrogate import FastSigmoid, fast_sigmoid
>>> fast_sigmoid == FastSigmoid(scale=10)
True
"""

from arcana._core import Facts, Surrogate, formula, from_dict, get, names, parameter, register_pytrees_with_jax
from arcana.surrogate import exponentials, gaussians, periodic, piecewise, power_law, rational, straight_through
from arcana.surrogate.exponentials import *  # noqa: F403
from arcana.surrogate.gaussians import *  # noqa: F403
from arcana.surrogate.periodic import *  # noqa: F403
from arcana.surrogate.piecewise import *  # noqa: F403
from arcana.surrogate.power_law import *  # noqa: F403
from arcana.surrogate.rational import *  # noqa: F403
from arcana.surrogate.straight_through import *  # noqa: F403

register_pytrees_with_jax()

__all__ = ["Facts", "Surrogate", "formula", "from_dict", "get", "names", "parameter"]
__all__ += exponentials.__all__
__all__ += gaussians.__all__
__all__ += periodic.__all__
__all__ += piecewise.__all__
__all__ += power_law.__all__
__all__ += rational.__all__
__all__ += straight_through.__all__


def __dir__() -> list[str]:
    return sorted(__all__)
