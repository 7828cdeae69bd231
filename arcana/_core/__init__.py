"""The core: what definitions are made of, and what a backend takes. `__all__` is the seam; a backend imports nothing else.

- surrogate: the base class `Surrogate`, its facts, and `formula`, which marks a formula of a definition
- creation: the checks of a class when it is made
- integration: the mean of a function of a normal variable, which `unit_variance` divides by
- parameters: bounds and the checks of one value
- registry: classes by name and by key
- misuse: what an error about a parameter says to write instead, and the warning of a second threshold
- formula: `Formula`, a class with its settings: h and G, what is kept for backward; the key of traces and caches
- expression: h as data, traced once: symbols, what is kept, in which order it runs
- slopes: dG/dparameter as data, from G as data
- namespace: the names of `xp`, its dtypes and its constants; numpy: `xp` for NumPy, and h and G of NumPy's arrays
- checks: every check of a call, in the same words for every framework
- backend: the Protocols of a backend and of its arrays, and the list of backends
- dispatch: from an array to its backend
- generated: the function and the class that a backend makes of a definition
- caches: results that live as long as a class; pytrees: surrogates as JAX sees them
- missing: the error for a package that is not installed

A call goes: `FastSigmoid()(v)` (surrogate) asks dispatch for the backend of v and calls its `spike(v, surrogate)`. The backend
has the call checked (checks), gets a `Formula` and parameters, and computes with its own `xp` what `Formula.evaluate` says.
"""

from arcana._core.backend import BACKENDS, TITLES, Arrays, Backend
from arcana._core.caches import MOST, per_class_cache
from arcana._core.checks import (
    AnySurrogate,
    broadcasts,
    check_which,
    checked_call,
    checked_learnable,
    checked_potential,
    surrogate_of,
)
from arcana._core.expression import (
    NOTHING,
    Expression,
    Kept,
    Symbol,
    SymbolNamespace,
    Tape,
    UntraceableError,
    compute,
    needed,
    run,
    usual_values,
)
from arcana._core.formula import AT_ZERO, Formula, Thresholds
from arcana._core.generated import DefinitionMeta, GeneratedClass, SurrogateFunction
from arcana._core.missing import MissingDependencyError
from arcana._core.misuse import preset_uncalled, warn_of_library
from arcana._core.namespace import FAR, FUNCTIONS, SHORTCUTS, SIGNIFICANT_BITS, Namespace, compute_dtype
from arcana._core.numpy import NAMESPACES as NUMPY_NAMESPACES
from arcana._core.parameters import parameter, positive
from arcana._core.pytrees import register_pytrees, register_pytrees_with_jax
from arcana._core.registry import class_of, from_dict, get, names
from arcana._core.slopes import slope_product, summands
from arcana._core.surrogate import Facts, Surrogate, formula

__all__ = [
    "AT_ZERO",
    "BACKENDS",
    "FAR",
    "FUNCTIONS",
    "MOST",
    "NOTHING",
    "NUMPY_NAMESPACES",
    "SHORTCUTS",
    "SIGNIFICANT_BITS",
    "TITLES",
    "AnySurrogate",
    "Arrays",
    "Backend",
    "DefinitionMeta",
    "Expression",
    "Facts",
    "Formula",
    "GeneratedClass",
    "Kept",
    "MissingDependencyError",
    "Namespace",
    "Surrogate",
    "SurrogateFunction",
    "Symbol",
    "SymbolNamespace",
    "Tape",
    "Thresholds",
    "UntraceableError",
    "broadcasts",
    "check_which",
    "checked_call",
    "checked_learnable",
    "checked_potential",
    "class_of",
    "compute",
    "compute_dtype",
    "formula",
    "from_dict",
    "get",
    "names",
    "needed",
    "parameter",
    "per_class_cache",
    "positive",
    "preset_uncalled",
    "register_pytrees",
    "register_pytrees_with_jax",
    "run",
    "slope_product",
    "summands",
    "surrogate_of",
    "usual_values",
    "warn_of_library",
]
