"""The rows of transforms that PyTorch and JAX have in common: a row's name spells how a function is transformed.

Everywhere f is the spikes as a function of the potential v, or of a parameter p and v, and c is the cotangent. `side` is the
module `conformance` of a backend, whose `transforms` has grad, vjp, vmap and the like, called as both frameworks call them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from arcana.surrogate import Surrogate
from arcana.testing._values import Array

Function = Callable[..., Any]
Word = Callable[[Function], Function]


def spelled(name: str, words: Mapping[str, Word]) -> Word:
    """Return the transform that a name spells, from the words in it.

    "jit(vmap(grad))" is jit(vmap(grad(f))), "checkpoint, grad of grad" is grad of grad(checkpoint(f)), and "compile, then
    backward" likewise; a name that is a word itself is that one.
    """
    chain = [name]
    if name not in words:
        parts = name.replace("func.", "").split(", ")
        chain = [word for part in parts for word in reversed(part.removeprefix("then ").rstrip(")").split("("))]
    return lambda f: functools.reduce(lambda made, word: words[word](made), chain, f)


def pointwise_words(side: Any) -> dict[str, Word]:
    """Return the words that make a function of (x, ..., c) from f(x, ...): c · ∂f/∂x, or c · ∂²f/∂x² by those of two steps."""
    transforms = side.transforms

    def grad_of_grad(g: Function, x: Any, c: Any) -> Any:
        return transforms.grad(lambda y: (c * transforms.grad(lambda z: g(z).sum())(y)).sum())(x)

    def jvp_of_jvp(g: Function, x: Any, c: Any) -> Any:
        return transforms.jvp(lambda y: transforms.jvp(g, (y,), (side.functions.ones_like(y),))[1], (x,), (c,))[1]

    rules = {
        "grad": lambda g, x, c: transforms.grad(lambda y: (c * g(y)).sum())(x),
        "vjp": lambda g, x, c: transforms.vjp(g, x)[1](c)[0],
        "jvp": lambda g, x, c: transforms.jvp(g, (x,), (c,))[1],
        "jacrev": lambda g, x, c: c * _diagonal(transforms.jacrev(g)(x), x),
        "jacfwd": lambda g, x, c: c * _diagonal(transforms.jacfwd(g)(x), x),
        "grad of grad": grad_of_grad,
        "hessian": lambda g, x, c: c * _diagonal(transforms.hessian(lambda y: g(y).sum())(x), x),
        "jvp of jvp": jvp_of_jvp,
        **side.POINTWISE,
    }
    return {**side.WRAPPERS, "vmap": transforms.vmap, **{name: _by_first_array(rule) for name, rule in rules.items()}}


def _by_first_array(rule: Callable[[Function, Any, Any], Any]) -> Word:
    """Make a word of a rule, which takes a function of x alone, x and c."""
    return lambda f: lambda x, *others: rule(lambda y: f(y, *others[:-1]), x, others[-1])


def _diagonal(jacobian: Any, like: Any) -> Any:
    size = len(like.reshape(-1))
    return jacobian.reshape(size, size).diagonal().reshape(like.shape)


def product_words(side: Any) -> dict[str, Word]:
    """Return the words that make a function of (p, v, c, dp, dv) from f(p, v), each array with one axis.

    It gives the Hessian of sum(c · f) in (p, v) times (dp, dv), (2, points); forward over forward gives one row, the
    second derivative along (dp, dv).
    """
    transforms, stack, both = side.transforms, side.functions.stack, (0, 1)

    def gradients(f: Function, c: Any) -> Function:
        return transforms.grad(lambda p, v: (c * f(p, v)).sum(), both)

    def grad_of_grad(f: Function, p: Any, v: Any, c: Any, dp: Any, dv: Any) -> Any:
        def along(p: Any, v: Any) -> Any:
            by_p, by_v = gradients(f, c)(p, v)
            return (dp * by_p).sum() + (dv * by_v).sum()

        return stack(transforms.grad(along, both)(p, v))

    def jvp_of_grad(f: Function, p: Any, v: Any, c: Any, dp: Any, dv: Any) -> Any:
        return stack(transforms.jvp(gradients(f, c), (p, v), (dp, dv))[1])

    def jvp_of_jvp(f: Function, p: Any, v: Any, c: Any, dp: Any, dv: Any) -> Any:
        def along(p: Any, v: Any) -> Any:
            return transforms.jvp(f, (p, v), (dp, dv))[1]

        return (c * transforms.jvp(along, (p, v), (dp, dv))[1])[None]

    def at_each_point(hessian: Callable[[Function], Function]) -> Callable[..., Any]:
        def at_point(f: Function, p: Any, v: Any, c: Any, dp: Any, dv: Any) -> Any:
            rows = hessian(lambda p, v: c * f(p, v))(p, v)
            return stack([by_p * dp + by_v * dv for by_p, by_v in rows])

        return lambda f, *arrays: transforms.vmap(functools.partial(at_point, f), 0, 1)(*arrays)

    rules = {
        "grad of grad": grad_of_grad,
        "jvp of grad": jvp_of_grad,
        "jvp of jvp": jvp_of_jvp,
        "hessian": at_each_point(lambda f: transforms.hessian(f, both)),
        "jacfwd of grad": at_each_point(lambda f: transforms.jacfwd(transforms.grad(f, both), both)),
        "jacrev of grad": at_each_point(lambda f: transforms.jacrev(transforms.grad(f, both), both)),
        **side.PRODUCTS,
    }
    words = {name: functools.partial(functools.partial, rule) for name, rule in rules.items()}
    return {**side.WRAPPERS, "vmap": lambda f: transforms.vmap(f, 0, 1), **words}


def traceable(side: Any, name: str, surrogates: Sequence[Surrogate], parameters: Sequence[str] = ()) -> Function:
    """Return one row of FIRST, SECOND or PARAMETER as a function of the backend's arrays, which are those of `transform`."""
    prefix, _, recipe = name.rpartition(": ")
    spike = side.SPIKES.get(prefix, side.spike)
    if parameters:
        calls = [_call_with(spike, *each) for each in zip(surrogates, parameters, strict=True)]
    else:
        calls = [_call_of(spike, each) for each in surrogates]
    word = spelled(recipe, pointwise_words(side))
    if len(calls) == 1:
        alone = word(calls[0])
        return lambda *arrays: alone(*(x[..., 0] for x in arrays))[..., None]

    def joined(*arrays: Any) -> Any:
        columns = zip(*(side.unstack(x) for x in arrays), strict=True)
        return side.functions.stack([call(*column) for call, column in zip(calls, columns, strict=True)], -1)

    return word(joined)


def _call_of(spike: Function, surrogate: Surrogate) -> Function:
    return lambda v: spike(v, surrogate)


def _call_with(spike: Function, surrogate: Surrogate, parameter: str) -> Function:
    return lambda p, v: spike(v, surrogate, **{parameter: p})


def transform(side: Any, name: str, surrogates: Sequence[Surrogate], *arrays: Array, parameters: Sequence[str] = ()) -> Array:
    """Evaluate one row of FIRST, SECOND or PARAMETER, all surrogates in one call, so that it is compiled once for all.

    Args:
        side: the module `conformance` of a backend.
        name: the row.
        surrogates: one or several.
        arrays: (v, c), or (p, v, c), with a column for each surrogate.
        parameters: the name of each surrogate's parameter that p stands for.
    """
    return side.to_numpy(traceable(side, name, surrogates, parameters)(*map(side.from_numpy, arrays)))
