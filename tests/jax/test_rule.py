"""The primitives that carry the rule: where JAX drops custom rules, which transforms they follow, and what they leave alone."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every import each_kept, every_parameter, every_surrogate, one_a_kept, parameters_of
from jax.interpreters import ad
from jax.sharding import AxisType, PartitionSpec
from known_values import KNOWN

import arcana.jax
from arcana import surrogate as definitions
from arcana._core.expression import Kept
from arcana.jax import _function, evaluate, forward_mode, spike
from arcana.jax._call import call_of
from arcana.surrogate import ATan, Sigmoid, Surrogate, parameter

V = jnp.array([-1.5, -0.3, -0.02, 0.1, 0.4, 2.0])


def slope_of_h(surrogate: Surrogate, v: Any) -> np.ndarray:
    """h′ by central differences of NumPy's h."""
    v = np.asarray(v, np.float64)
    return (surrogate.derivative(v + 1e-6) - surrogate.derivative(v - 1e-6)) / 2e-6


def every_mode(f: Any) -> dict[str, Any]:
    """The same call in reverse and forward mode, and the Hessian of a loss that is not linear in the spikes."""
    return {
        "vjp": jax.vjp(f, V)[1](2 * V)[0],
        "jvp": jax.jvp(f, (V,), (2 * V,))[1],
        "linearize": jax.linearize(f, V)[1](2 * V),
        "jacfwd": jax.jacfwd(f)(V),
        "jacrev": jax.jacrev(f)(V),
        "hessian": jax.hessian(lambda v: jnp.sum(V * f(v) ** 2))(V),
    }


def assert_every_mode(found: dict[str, Any], surrogate: Surrogate) -> None:
    h = np.asarray(surrogate.derivative(V))
    for mode in ("vjp", "jvp", "linearize"):
        np.testing.assert_allclose(found[mode], 2 * V * h, rtol=1e-14, err_msg=mode)
    for mode in ("jacfwd", "jacrev"):
        np.testing.assert_allclose(found[mode], np.diag(h), rtol=1e-14, err_msg=mode)
    second = np.diag(V * 2 * (h**2 + np.asarray(V >= 0) * slope_of_h(surrogate, V)))
    np.testing.assert_allclose(found["hessian"], second, rtol=1e-6, atol=1e-6)


FUNCTIONS: dict[str, Callable[[Surrogate], Any]] = {"instance": lambda s: s, "forward_mode": forward_mode}


@functools.cache
def every_mode_of(function: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return jax.jit(lambda: [every_mode(FUNCTIONS[function](definitions.get(name))) for name in names])()


@every_surrogate
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_mode(name: str, function: str, together: tuple[str, ...]) -> None:
    """One rule: the plain functions have forward mode too."""
    assert_every_mode(every_mode_of(function, together)[together.index(name)], definitions.get(name))


@each_kept(*Kept)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_mode_without_a_jit(name: str, function: str) -> None:
    surrogate = definitions.get(name)
    assert_every_mode(every_mode(FUNCTIONS[function](surrogate)), surrogate)


def neuron(fire: Any, w: jax.Array, x: jax.Array, steps: int = 5, scan: bool = True) -> jax.Array:
    """A recurrent neuron whose input current depends on w, read out with x."""
    current = jnp.linspace(0.4, 1.1, steps)

    def step(v: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        v = 0.9 * v + i * w
        z = fire(v - 1.0)
        return v - z, z

    if scan:
        spikes = jax.lax.scan(step, 0.0 * w, current)[1]
    else:
        v, each = 0.0 * w, []
        for i in current:
            v, z = step(v, i)
            each.append(z)
        spikes = jnp.stack(each)
    return jnp.sum(spikes * jnp.arange(1.0, steps + 1)) * x + jnp.sum(spikes) ** 2


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, jax.checkpoint], ids=["plain", "jit", "checkpoint"])
@pytest.mark.parametrize("outer", [jax.grad, jax.jacfwd], ids=["reverse", "forward"])
def test_spikes_that_only_the_outer_derivative_moves(outer: Callable[..., Any], transform: Callable[..., Any]) -> None:
    """The inner derivative is along x: to it the spikes in the scan are constants, and there JAX would drop a custom rule."""
    fire = Sigmoid(slope=4.0)

    def mixed(scan: bool) -> Any:
        inner = jax.grad(lambda x, w: transform(lambda w, x: neuron(fire, w, x, scan=scan))(w, x))
        return outer(lambda w: inner(0.7, w))(1.3)

    # d²/dw dx is the derivative of the weighted spikes along w, which needs one order only.
    first = jax.grad(lambda w: neuron(fire, w, 1.0, scan=False) - neuron(fire, w, 0.0, scan=False))(1.3)
    np.testing.assert_allclose(mixed(True), first, rtol=1e-12)
    np.testing.assert_allclose(mixed(False), first, rtol=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_a_scan_is_its_loop_at_every_order(order: int) -> None:
    fire = ATan(slope=3.0)
    derivatives = {}
    for scan in (True, False):
        for inner in (jax.grad, jax.jacfwd):
            g = inner(lambda w, scan=scan: neuron(fire, w, 0.7, steps=3, scan=scan))
            for _ in range(order - 1):
                g = jax.grad(g)
            derivatives[scan, inner] = float(jax.jit(g)(1.3))
    values = list(derivatives.values())
    np.testing.assert_allclose(values, values[-1], rtol=1e-11)
    assert values[-1] != 0


def test_third_derivative_of_one_spike() -> None:
    """s², by the chain rule: 2(s·h″ + 3·h·h′)."""
    surrogate, v = Sigmoid(slope=2.0), 0.4
    third = jax.grad(jax.grad(jax.grad(lambda v: surrogate(v) ** 2)))(v)
    sigma = 1 / (1 + np.exp(-2 * v))
    h = 2 * sigma * (1 - sigma)
    slope = 2 * h * (1 - 2 * sigma)
    curvature = 2 * slope * (1 - 2 * sigma) - 4 * h * h
    np.testing.assert_allclose(third, 2 * (curvature + 3 * h * slope), rtol=1e-13)


@pytest.mark.parametrize("mapped", ["v", "scale", "both", "nested"])
def test_vmap_of_either_operand(mapped: str) -> None:
    v, scale = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3))), jnp.array([1.0, 5.0, 25.0])

    def gradients(v: jax.Array, scale: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.grad(lambda a, b: jnp.sum(v * spike(a, definitions.fast_sigmoid, scale=b)), argnums=(0, 1))(v, scale)

    if mapped == "v":
        found = jax.vmap(gradients, in_axes=(0, None))(v, scale)
        expected = [gradients(row, scale) for row in v]
    elif mapped == "scale":
        found = jax.vmap(gradients, in_axes=(None, 0))(v, scale)
        expected = [gradients(v, each) for each in scale]
    elif mapped == "both":
        found = jax.vmap(gradients, in_axes=(1, 0))(v, scale)
        expected = [gradients(v[:, i], scale[i]) for i in range(3)]
    else:
        found = jax.vmap(lambda row: jax.vmap(gradients, in_axes=(None, 0))(row, scale))(v)
        expected = [[jnp.stack(x) for x in zip(*(gradients(row, each) for each in scale), strict=True)] for row in v]
    for i, one in enumerate(expected):
        for many, single in zip(found, one, strict=True):
            np.testing.assert_allclose(many[i], single, rtol=1e-13)


@pytest.fixture
def explicit_mesh() -> Any:
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit, AxisType.Explicit))
    with jax.set_mesh(mesh):
        yield mesh


SHAPES = ((), (4,))
"""Of a parameter: one number for all, and one a channel."""
SHARDED = np.linspace(-1.5, 1.5, 64).reshape(16, 4)


def both_gradients(name: str, key: str, v: jax.Array, p: jax.Array) -> tuple[jax.Array, jax.Array]:
    surrogate = definitions.get(name)
    return jax.grad(lambda x, q: jnp.sum(x * surrogate(x, **{key: q})), argnums=(0, 1))(v, p)


def gradients_of(cases: tuple[tuple[str, str], ...]) -> Callable[[jax.Array, Any], Any]:
    """A function of v and the values of each parameter in every shape."""
    return lambda v, values: [[both_gradients(*case, v, p) for p in each] for case, each in zip(cases, values, strict=True)]


def values_of(cases: tuple[tuple[str, str], ...]) -> list[list[jax.Array]]:
    return [[jnp.full(shape, getattr(definitions.get(name), key)) for shape in SHAPES] for name, key in cases]


@functools.cache
def sharded_gradients(cases: tuple[tuple[str, str], ...], jit: bool) -> Any:
    function = gradients_of(cases)
    v = jax.device_put(jnp.asarray(SHARDED), PartitionSpec("data", "model"))
    return (jax.jit(function) if jit else function)(v, values_of(cases))


@functools.cache
def gradients_on_one_device(cases: tuple[tuple[str, str], ...]) -> Any:
    with jax.set_mesh(jax.make_mesh((), ())):
        return jax.jit(gradients_of(cases))(jnp.asarray(SHARDED), values_of(cases))


BEFORE_0_8 = tuple(map(int, jax.__version__.split(".")[:2])) < (0, 8)


def assert_sharded(cases: tuple[tuple[str, str], ...], case: tuple[str, str], jit: bool) -> None:
    """As without a mesh, and each gradient sharded like its argument."""
    place = cases.index(case)
    found, alone = sharded_gradients(cases, jit)[place], gradients_on_one_device(cases)[place]
    for shape, (by_v, by_p), expected in zip(SHAPES, found, alone, strict=True):
        # JAX 0.7.2 itself leaves the sum over v's other axis sharded like v, and gives the gradient of the parameter that.
        rest = ["model" if BEFORE_0_8 else None for _ in shape]
        assert jax.typeof(by_v).sharding.spec == PartitionSpec("data", "model")
        assert jax.typeof(by_p).sharding.spec == PartitionSpec(*rest)
        np.testing.assert_allclose(np.asarray(by_v), np.asarray(expected[0]), rtol=1e-12)
        np.testing.assert_allclose(np.asarray(by_p), np.asarray(expected[1]), rtol=1e-10, atol=1e-13)


@pytest.mark.usefixtures("explicit_mesh")
@every_parameter
def test_explicit_sharding(name: str, key: str, together: tuple[str, ...]) -> None:
    assert_sharded(parameters_of(together), (name, key), jit=True)


@pytest.mark.usefixtures("explicit_mesh")
@each_kept(Kept.POTENTIAL, Kept.MASK)
def test_explicit_sharding_without_a_jit(name: str) -> None:
    cases = parameters_of((name,))
    for case in cases:
        assert_sharded(cases, case, jit=False)


class Bare(Surrogate):
    """A definition without a primitive."""

    width: float = parameter(1.0, above=0)

    @staticmethod
    def derivative(v, xp, *, width):
        return xp.exp(-xp.abs(v * width))


@pytest.mark.parametrize("transform", [jax.grad, jax.jacfwd])
def test_without_a_primitive_only_the_gradient_of_a_parameter_raises(transform: Callable[..., Any]) -> None:
    width = jnp.float64(2.0)
    np.testing.assert_allclose(jax.grad(lambda v: spike(v, Bare(), width=width))(0.5), np.exp(-1.0), rtol=1e-14)
    with pytest.raises(NotImplementedError, match="Bare defines no primitive, which the gradient of its parameter width needs"):
        transform(lambda width: spike(jnp.float64(0.5), Bare(), width=width))(width)


def second_derivative(surrogate: Surrogate, v: jax.Array) -> jax.Array:
    return jax.grad(lambda v: jnp.sum(jax.grad(lambda v: jnp.sum(surrogate(v)))(v)))(v)


FAR = {"float32": (1e24, 3e38), "float64": (1e160, 1e308), "bfloat16": (1e24, 3e38)}


ENDING = [name for name, known in KNOWN.items() if not math.isnan(known.area)]
"""Those whose h, and so h′, does not oscillate with no end."""


@functools.cache
def far_second_derivatives(dtype: str, names: tuple[str, ...]) -> list[jax.Array]:
    v = jnp.array([x * sign for x in (*FAR[dtype], np.inf) for sign in (1, -1)]).astype(dtype)
    return jax.jit(lambda v: [second_derivative(definitions.get(each), v) for each in names])(v)


@pytest.mark.parametrize("name", ENDING)
@pytest.mark.parametrize("dtype", FAR)
def test_the_second_derivative_far_from_the_threshold_is_its_limit(name: str, dtype: str, together: tuple[str, ...]) -> None:
    """There h has underflowed while its factors overflow; at ±inf too."""
    second = far_second_derivatives(dtype, together)[together.index(name)]
    np.testing.assert_array_equal(np.asarray(second, np.float64), np.zeros(6))


def test_the_second_derivative_at_extreme_parameters_is_finite() -> None:
    v = jnp.asarray(10.0 ** np.arange(-10, 38, 1), jnp.float32)
    for surrogate in (
        ATan(slope=1e15),
        ATan(slope=1e-15),
        definitions.InverseSquareRoot(width=1e-15),
        definitions.Gaussian(sigma=1e-10),
        definitions.MultiGaussian(sigma=1e-10),
    ):
        second = second_derivative(surrogate, v)
        assert bool(jnp.isfinite(second).all()), surrogate


def test_zeros_of_an_oscillating_h_keep_their_slope() -> None:
    """Far out too, where an h of 0 is otherwise taken for one that has ended."""
    surrogate = definitions.SquarewaveFourier(period=2.0**22, terms=1)
    v = jnp.array([2.0**20, 5 * 2.0**20, 2.0**20 * 4001])
    np.testing.assert_array_equal(surrogate.derivative(v), 0)
    second = second_derivative(surrogate, v)
    np.testing.assert_allclose(jnp.abs(second), 4 / 2.0**22 * 2 * np.pi / 2.0**22, rtol=1e-9)


class Sine(Surrogate):
    """An h that is exactly 0 at every whole number, and so at 5/4 of every fourth too."""

    @staticmethod
    def derivative(v, xp):
        return xp.sin_of_turns(v * 0.5)


def test_zeros_of_h_that_are_not_far_keep_their_slope() -> None:
    # Far out h is 0 at 5/4 of the last one alone, which is no zero itself.
    v = jnp.array([0.0, 44.0, -400.0, 2.0**20 - 4, 2.0**22 + 0.8])
    assert not Sine().derivative(v[:4]).any()
    assert Sine().derivative(v[4:] * 1.25) == 0
    np.testing.assert_allclose(second_derivative(Sine(), v), np.pi * np.cos(np.pi * (np.asarray(v) % 2)), rtol=1e-9)


def test_the_derivative_of_an_evaluated_h_far_from_the_threshold_is_its_limit() -> None:
    surrogate, v = definitions.Gaussian(), jnp.array([1e30, -1e30, jnp.inf, -jnp.inf, 2.0], jnp.float32)
    found = jax.grad(lambda v: jnp.sum(evaluate(surrogate, "derivative", v)))(v)
    np.testing.assert_allclose(found, [0, 0, 0, 0, slope_of_h(surrogate, 2.0)], rtol=1e-4)


def test_nothing_is_typed_weakly_where_the_potential_is() -> None:
    """In the spikes, in what is kept of them, in tangents and in cotangents."""
    v = jnp.asarray(0.5)
    assert v.weak_type
    for surrogate in (definitions.FastSigmoid(), definitions.Rectangular()):

        def every(v: jax.Array, scale: jax.Array, surrogate: Surrogate = surrogate) -> Any:
            name = next(iter(surrogate.numbers))
            along = jax.grad(lambda x: spike(v, surrogate, **{name: x}))(scale)
            return surrogate(v), jax.grad(surrogate)(v), jax.jvp(surrogate, (v,), (v,))[1], along

        closed = jax.make_jaxpr(every)(v, v)
        names = [equation.primitive.name for equation in closed.jaxpr.eqns]
        assert names.count("arcana_slopes") == 3
        assert ("arcana_mask" in names) == isinstance(surrogate, definitions.Rectangular)
        ours = [equation for equation in closed.jaxpr.eqns if equation.primitive.name.startswith("arcana")]
        assert not any(out.aval.weak_type for equation in ours for out in equation.outvars)


@every_surrogate
@pytest.mark.parametrize("flag", ["debug_infs", "debug_nans"])
def test_debugging_flags_find_nothing_of_ours(name: str, flag: str) -> None:
    """Operation by operation, as somebody who looks for an infinity runs it; a far potential has one, and no NaN."""
    surrogate, v = definitions.get(name), V if flag == "debug_infs" else jnp.append(V, jnp.array([1e200, -1e200]))
    with getattr(jax, flag)(True), jax.disable_jit():
        np.testing.assert_array_equal(surrogate(v), np.asarray(v) >= 0)
        found = jax.grad(lambda v: jnp.sum(surrogate(v)))(v)
        np.testing.assert_allclose(found, surrogate.derivative(np.asarray(v)), rtol=1e-12)
        for key, value in surrogate.numbers.items():
            jax.grad(lambda p, key=key: jnp.sum(surrogate(v, **{key: p})))(jnp.full(v.shape, value))


class Held:
    """An object of somebody's own that holds a surrogate and calls it in a method."""

    def __init__(self, fire: Any) -> None:
        self.fire = fire

    def __call__(self, v: jax.Array) -> jax.Array:
        return self.fire(v)


WAYS: dict[str, Callable[[str], Any]] = {
    "instance": definitions.get,
    "function": lambda name: getattr(arcana.jax, name),
    "apply": lambda name: getattr(arcana.jax, type(definitions.get(name)).__name__).apply,
    "partial of spike": lambda name: functools.partial(spike, surrogate=definitions.get(name)),
    "partial of the function": lambda name: functools.partial(getattr(arcana.jax, name), gain=1.0),
    "forward_mode": lambda name: forward_mode(definitions.get(name)),
    "method": lambda name: Held(definitions.get(name)).__call__,
}
TRANSFORMS: dict[str, Callable[[Any], jax.Array]] = {
    "jit": lambda f: jax.vjp(jax.jit(f), V)[1](jnp.ones_like(V))[0],
    "vmap": lambda f: jax.vjp(jax.vmap(f), V)[1](jnp.ones_like(V))[0],
    "vmap(grad)": lambda f: jax.vmap(jax.grad(f))(V),
    "jit(vmap(grad))": lambda f: jax.jit(jax.vmap(jax.grad(f)))(V),
    "jacfwd": lambda f: jnp.diagonal(jax.jacfwd(f)(V)),
    "jit(jacrev)": lambda f: jnp.diagonal(jax.jit(jax.jacrev(f))(V)),
    "checkpoint": lambda f: jax.grad(lambda v: jnp.sum(jax.checkpoint(f)(v)))(V),
    "scan": lambda f: jax.grad(lambda v: jnp.sum(jax.lax.scan(lambda c, x: (c, f(x)), None, v)[1]))(V),
    "lax.map": lambda f: jax.grad(lambda v: jnp.sum(jax.lax.map(f, v)))(V),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_calling_under_every_transform(way: str, transform: str) -> None:
    """Handed over as it is, in no lambda."""
    for name in one_a_kept(*Kept):
        found = TRANSFORMS[transform](WAYS[way](name))
        np.testing.assert_allclose(found, definitions.get(name).derivative(np.asarray(V)), rtol=1e-14, err_msg=name)


def test_without_a_cotangent_the_tangents_have_none() -> None:
    """JAX may ask for the transpose where nothing has come back, of an operand that is a tangent and of none that is kept."""
    call, _ = call_of(V, Sigmoid(), {})
    slopes = _function.Slopes(Kept.POTENTIAL, (), ("v",))
    tangent = ad.UndefinedPrimal(jax.typeof(V))
    for_tangent, for_kept = _function._slopes_transpose([ad.Zero(jax.typeof(V))], tangent, V, call=call, slopes=slopes)
    assert isinstance(for_tangent, ad.Zero)
    assert for_kept is None
