"""torch against JAX: the same bits from the same definition, in every dtype, eager and compiled."""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from every import every_surrogate
from hypothesis import given, settings, strategies as st
from known_values import KNOWN, variants
from mpmath import mpf
from truth import operands

import arcana.jax
import arcana.jax.conformance as jax_side
import arcana.torch
import arcana.torch.conformance as torch_side
from arcana import surrogate as definitions
from arcana._core.namespace import FUNCTIONS
from arcana.surrogate import FastSigmoid, Surrogate, Triangular
from arcana.testing import ConformanceError, check_surrogate, conformance_test
from arcana.testing._surrogate import TRANSFORM_POINTS, _close, _reference, _Sample, _transforms
from arcana.testing._values import BITS, Array, from_float, hard_sample, is_subnormal, to_float, ulp_difference

SAME_BITS = [name for name, known in KNOWN.items() if known.bits]


@pytest.mark.parametrize("name", SAME_BITS)
def test_gradients_have_the_same_bits(name: str, subtests: pytest.Subtests) -> None:
    """Torch eager, JAX eager and JAX jit; where a subnormal is on the way, XLA may take it for zero.

    All parameter sets and dtypes are one call, so that they are compiled at once; half types, which are computed in float32,
    have the default alone. torch.compile is compared with torch eager in tests/torch, all surrogates in one graph.
    """
    cases = []
    for dtype in BITS:
        v = hard_sample(dtype)
        c = from_float(np.random.default_rng(1).normal(size=v.size), dtype)
        chosen = variants(name) if BITS[dtype] > 16 else [{}]
        cases += [(definitions.get(name, **parameters), v, c, dtype) for parameters in chosen]
    ours = torch_side.spikes_and_gradients(cases)
    theirs = [jax_side.spikes_and_gradients(cases, mode) for mode in jax_side.MODES]
    for case, torch_result, *jax_results in zip(cases, ours, *theirs, strict=True):
        surrogate, _, _, dtype = case
        with subtests.test(f"{surrogate!r}, {dtype}"):
            for jax_result in jax_results:
                assert_same_bits(case, torch_result, jax_result)


def assert_same_bits(case: tuple[Surrogate, Array, Array, str], ours: tuple[Array, Array], theirs: tuple[Array, Array]) -> None:
    """The same spikes, and the same gradients wherever v, h, c · h and the results are normal numbers."""
    surrogate, v, c, dtype = case
    wide = "float64" if dtype == "float64" else "float32"
    h = surrogate.derivative(torch.from_numpy(to_float(v, dtype)))
    product = (torch.from_numpy(to_float(c, dtype)) * h).numpy()
    on_the_way = is_subnormal(v, dtype) | np.logical_or(*(is_subnormal(from_float(x, wide), wide) for x in (h.numpy(), product)))
    np.testing.assert_array_equal(ours[0], theirs[0])
    subnormal = on_the_way | is_subnormal(ours[1], dtype) | is_subnormal(theirs[1], dtype)
    different = (ulp_difference(ours[1], theirs[1], dtype) > 0) & ~subnormal
    assert not different.any(), to_float(v[different][:5], dtype)


@pytest.mark.parametrize("dtype", BITS)
def test_what_is_subnormal(dtype: str) -> None:
    tiny = np.finfo("float32" if dtype == "bfloat16" else dtype).tiny
    values = np.array([0.0, tiny / 2, -tiny / 2, tiny, -tiny, np.nan, -np.inf])
    assert is_subnormal(from_float(values, dtype), dtype).tolist() == [False, True, True, False, False, False, False]


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_subnormal=False), min_size=4, max_size=4), st.floats(1e-3, 1e3))
def test_any_input_any_scale(values: list[float], scale: float) -> None:
    v = np.array(values, np.float32).view(np.uint32)
    c = np.array([1.5, -0.3, 2.0, 1e-3], np.float32).view(np.uint32)
    for surrogate in (FastSigmoid(scale=scale), Triangular(scale=scale)):
        ours, theirs = (side.spikes_and_gradients([(surrogate, v, c, "float32")])[0] for side in (torch_side, jax_side))
        np.testing.assert_array_equal(ours[0], theirs[0])
        small = np.abs(ours[1].view(np.float32)) < 1e-30
        assert (ulp_difference(ours[1], theirs[1], "float32")[~small] == 0).all()


@every_surrogate
def test_parameter_gradients_agree(name: str) -> None:
    """All parameters in one compilation."""
    surrogate = definitions.get(name)
    v = np.random.default_rng(0).standard_normal((5, 3))
    c = np.random.default_rng(1).standard_normal((5, 3))
    values = {
        key: surrogate.rounded(key, 1.5 * getattr(surrogate, key) or 0.5, "float64") for key in [*surrogate.numbers, "gain"]
    }

    def of_parameter(key: str, p: jax.Array) -> jax.Array:
        return jax.grad(lambda q: jnp.sum(c * arcana.jax.spike(jnp.asarray(v), surrogate, **{key: q})))(p)

    theirs = jax.jit(lambda arrays: {key: of_parameter(key, p) for key, p in arrays.items()})(
        {key: jnp.full(3, value) for key, value in values.items()}
    )
    for key, value in values.items():
        p = torch.full((3,), value, dtype=torch.float64, requires_grad=True)
        (ours,) = torch.autograd.grad(arcana.torch.spike(torch.from_numpy(v), surrogate, **{key: p}), p, torch.from_numpy(c))
        np.testing.assert_allclose(ours, theirs[key], rtol=1e-12, atol=1e-12)


@every_surrogate
def test_both_backends_give_the_same_names_and_signatures(name: str) -> None:
    assert {name, type(definitions.get(name)).__name__} <= {*arcana.torch.__all__} & {*arcana.jax.__all__}
    ours, theirs = getattr(arcana.torch, name), getattr(arcana.jax, name)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert ours.surrogate == theirs.surrogate == definitions.get(name)


SPACES = {
    name: (importlib.import_module(module).NAMESPACES[dtype], array)
    for name, module, dtype, array in (
        ("torch", "arcana.torch._namespace", torch.float64, functools.partial(torch.tensor, dtype=torch.float64)),
        ("jax", "arcana.jax._namespace", "float64", jnp.asarray),
        ("numpy", "arcana._core.numpy", "float64", np.asarray),
    )
}
NUMBERS = {
    "at_least": (1.0,),
    "compound": (-2.0, -1.5, -3.5, 0.5),
    "decay": (0.7,),
    "divide": (0.7,),
    "fmod": (0.7,),
    "maximum": (1.5,),
    "minimum": (1.5,),
    "power": (-1.5,),
    "turns": (1.0, 8.0, 0.7),
}
"""The second operands of the functions that have one; they go the short way and the long one."""
OTHERS = ("nonnegative", "positive", "spike", "where", "zeros_like")


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name not in OTHERS])
def test_each_function_of_the_namespace_is_the_same_function(function: str) -> None:
    x = np.random.default_rng(0).uniform(0.1, 3, 200)
    for number in NUMBERS.get(function, (None,)):
        results = {
            name: np.asarray(getattr(xp, function)(array(x), *([] if number is None else [array(number)])))
            for name, (xp, array) in SPACES.items()
        }
        near_zero = 1e-15 if "turns" in function else 0.0  # whose zeros are in the sample
        for backend in ("torch", "jax"):
            np.testing.assert_allclose(results[backend], results["numpy"], rtol=1e-14, atol=near_zero)


@pytest.mark.parametrize("backend", SPACES)
def test_a_potential_is_held_on_both_sides(backend: str) -> None:
    xp, array = SPACES[backend]
    held = np.asarray(xp.held(array([-math.inf, -2.0, -0.5, 0.0, 1.5, 2.0, math.inf, math.nan]), 1.5))
    np.testing.assert_array_equal(held, [-1.5, -1.5, -0.5, 0.0, 1.5, 1.5, 1.5, math.nan])


@pytest.mark.parametrize("period", [8.0, 0.7])
def test_an_infinite_potential_is_a_quarter_of_a_turn(period: float) -> None:
    quick = importlib.import_module("arcana.torch._namespace").TorchNamespace(torch.float64, {"turns": period})
    # The short way is for powers of 2.
    for xp, array in (*SPACES.values(), *([(quick, torch.tensor)] if period == 8.0 else [])):
        turns = xp.turns(array([math.inf, -math.inf, math.nan, 1e6 * period, 0.75 * period]), array(period))
        np.testing.assert_array_equal(turns[:3], [0.25, -0.25, math.nan])
        np.testing.assert_allclose(turns[3:], [0, -0.25], atol=1e-9)


@pytest.mark.parametrize(("function", "slope_above"), [("maximum", 1.0), ("minimum", 0.0)])
def test_a_bound_has_the_derivative_0_at_a_tie(function: str, slope_above: float) -> None:
    x = [0.5, 1.5, 2.5, math.nan]
    v = torch.tensor(x, requires_grad=True)
    values = getattr(SPACES["torch"][0], function)(v, 1.5)
    (ours,) = torch.autograd.grad(values, v, torch.ones(4))
    theirs = jax.vmap(jax.grad(lambda y: getattr(SPACES["jax"][0], function)(y, 1.5)))(jnp.asarray(x))
    for found in (ours, theirs):
        np.testing.assert_array_equal(found, [1 - slope_above, 0, slope_above, 1])
    np.testing.assert_array_equal(values.detach(), getattr(np, function)(x, 1.5))


@pytest.mark.parametrize(("name", "key"), [("q_pseudo_spike", "q"), ("squarewave_fourier", "period")])
def test_a_parameter_that_is_differentiated_takes_no_shortcut(name: str, key: str) -> None:
    """The default takes it, and dh/dparameter must not be lost there."""
    definition, v = definitions.get(name), np.linspace(-3, 3, 61)
    value = getattr(definition, key)
    potential = torch.from_numpy(v).requires_grad_()
    parameter = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    spikes = arcana.torch.spike(potential, definition, **{key: parameter})
    (h,) = torch.autograd.grad(spikes.sum(), potential, create_graph=True)
    (ours,) = torch.autograd.grad(h.sum(), parameter)

    def total(x: jax.Array, p: jax.Array) -> jax.Array:
        return arcana.jax.spike(x, definition, **{key: p}).sum()

    theirs = jax.grad(lambda p: jax.grad(total)(jnp.asarray(v), p).sum())(jnp.asarray(value))
    assert abs(ours) > 0.01
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_division_of_a_number_is_rounded_once() -> None:
    x = np.random.default_rng(0).uniform(0.5, 2, 10_000).astype(np.float32)
    spaces = [importlib.import_module(name).NAMESPACE for name in ("arcana.torch._namespace", "arcana.jax._namespace")]
    for xp, a in zip(spaces, (torch.from_numpy(x), jnp.asarray(x)), strict=True):
        np.testing.assert_array_equal(np.asarray(xp.divide(3.0, a)), np.float32(3) / x)


@every_surrogate
@pytest.mark.parametrize("which", ["derivative", "primitive"])
def test_nan_gives_the_same_in_every_backend(name: str, which: str) -> None:
    function = getattr(definitions.get(name), which)
    nan = np.array([np.nan], np.float32)
    ours, theirs = function(torch.from_numpy(nan)), function(jnp.asarray(nan))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(ours, function(nan))
    assert bool(ours.isnan()) == (which not in KNOWN[name].nan_is_a_number)


def test_the_conditioning_of_a_large_potential_is_that_of_its_power() -> None:
    for name, v, power in (("q_pseudo_spike", 1e120, 2), ("q_pseudo_spike", -1e150, 2), ("log_abs", 1e300, 1)):
        _, condition = _reference(definitions.get(name), np.array([v]), np.ones(1))
        np.testing.assert_allclose(condition, power, rtol=1e-2)


class WrongDerivative(Surrogate):
    """A derivative 1 % off its primitive's slope."""

    @staticmethod
    def derivative(v, xp):
        return 1.01 * xp.square(xp.reciprocal(xp.abs(v) + 1))

    @staticmethod
    def primitive(v, xp):
        return v / (1 + xp.abs(v)) + 0.5


class WrongFacts(FastSigmoid):
    @staticmethod
    def facts(*, scale):
        return definitions.Facts(peak=2.0, area=1 / scale, support=(-1.0, 1.0))


@pytest.mark.parametrize(
    ("wrong", "rows"),
    [
        (WrongDerivative(), {"derivative is the slope of the primitive", "rise of the primitive"}),
        (WrongFacts(), {"peak", "area", "support"}),
    ],
    ids=["derivative", "facts"],
)
def test_the_conformance_suite_finds_a_planted_fault(wrong: Surrogate, rows: set[str]) -> None:
    with pytest.raises(ConformanceError, match="FAIL  definition") as caught:
        check_surrogate(wrong, backends=())
    assert rows <= {row.what for row in caught.value.report.rows if not row.passed}


KINDS = ("FIRST", "SECOND", "PARAMETER", "NONLINEAR")


@pytest.fixture
def no_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the rows of transforms out of the conformance suite: each backend's are checked in its folder."""
    for side, kind in itertools.product((torch_side, jax_side), KINDS):
        monkeypatch.setattr(side, kind, ())


@pytest.mark.usefixtures("no_transforms")
def test_the_conformance_suite_passes_in_both_backends_and_covers_what_it_promises() -> None:
    """In each backend by itself it is run for every surrogate, with its transforms, in its folder."""
    report = check_surrogate(FastSigmoid)
    assert report.passed
    assert {"torch compiled", "jax jit"} <= {row.where for row in report.rows}
    checked = {(row.where, row.what) for row in report.rows}
    for backend in ("torch", "jax"):
        assert {what for where, what in checked if where == f"{backend} eager"} >= {"shape ()", "shape (0, 3)", "shape (2, 1, 3)"}
    for dtype in BITS:
        assert ("torch compiled, jax jit", f"gradients agree, {dtype}") in checked
        assert ("torch eager, jax eager", f"gradients agree, {dtype}") in checked
        assert ("torch compiled", f"spikes, {dtype}") in checked
    assert {"peak", "area", "support", "even", "primitive at 0", "derivative is the slope of the primitive"} <= {
        what for where, what in checked if where == "definition"
    }
    assert {"pickle round trip", "deepcopy round trip", "dict round trip"} <= {what for _, what in checked}
    # FastSigmoid is rational: the same bits everywhere.
    apart = [row.detail for row in report.rows if row.what.startswith("gradients agree")]
    assert set(apart) == {"0 ULP at most from each other"}


@every_surrogate
def test_the_points_of_the_transforms_lie_on_both_sides_of_every_edge(name: str) -> None:
    points = [point for point in TRANSFORM_POINTS if math.isfinite(point)]
    low, high = definitions.get(name).support
    assert min(points) < low or low == -math.inf
    assert any(low < point < 0 or 0 < point < high for point in points)
    assert max(points) > high or high == math.inf


def test_a_way_that_cannot_be_tried_is_a_row_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_side, "NOT_CHECKED", {"backward": "no serialiser"})
    _, row = next(_transforms([FastSigmoid()], "torch", torch_side))
    assert (row.passed, row.detail) == (True, "not checked: no serialiser")


def test_the_place_that_is_told_is_the_one_farthest_beyond_its_bound() -> None:
    """Far out, where a Gaussian's bound is wide, an error may be larger and allowed."""
    sample = _Sample.of(definitions.Gaussian(), "float32")
    v = to_float(sample.v, "float32")
    near, far = (int(np.flatnonzero(v == place)[0]) for place in (0.25, 4.0))
    right = from_float(sample.exact, "float32")
    wrong = right.copy()
    wrong[near] += 20
    wrong[far] += int(sample.bound[far])
    row = sample.gradient_row("here", "gradient", wrong, right, "float64")
    assert not row.passed
    assert row.detail.endswith(f"; 20 at v = {v[near]!r}, bound {sample.bound[near]:.3g}")
    assert sample.bound[near] < 20 < sample.bound[far]


def test_the_worst_difference_is_told_whichever_side_is_the_larger() -> None:
    for found, expected in (([1.0, 2.0], [3.0, 2.0]), ([3.0, 2.0], [1.0, 2.0])):
        row = _close("here", "slope", np.array(found), np.array(expected))
        assert not row.passed
        assert row.detail.startswith("worst difference 2; got")


def test_numbers_between_two_of_bfloat16_are_rounded_to_the_even_one() -> None:
    x = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-8 + 2.0**-20, -1 - 2.0**-8], np.float32)
    np.testing.assert_array_equal(from_float(x, "bfloat16"), torch_side.to_bits(torch.from_numpy(x).bfloat16()))


class Unequal(FastSigmoid):
    """A definition that is another function in JAX: by 6 ULP of float32, and by 1e-6 in float64."""

    @staticmethod
    def derivative(v, xp, *, scale):
        return FastSigmoid.derivative(v, xp, scale=scale) * (1 + 1e-6 * ("jax" in type(v).__module__))


@pytest.mark.usefixtures("no_transforms")
def test_backends_that_disagree_are_found_in_float64_too() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_surrogate(Unequal)
    failing = {(row.where, row.what) for row in caught.value.report.rows if not row.passed}
    assert ("torch eager, jax eager", "gradients agree, float64") in failing
    assert ("torch eager, jax eager", "gradients agree, float32") in failing


class Stub:
    """A backend in NumPy: spikes and gradients, and no transform."""

    MODES = ("plain",)
    FIRST = SECOND = PARAMETER = NONLINEAR = ()

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def spikes_and_gradients(self, cases: list[tuple[Surrogate, Array, Array, str]], mode: str) -> list[tuple[Array, Array]]:
        return [self._one(*case) for case in cases]

    @np.errstate(invalid="ignore")
    def _one(self, surrogate: Surrogate, bits: Array, cotangent: Array, dtype: str) -> tuple[Array, Array]:
        v, c = (to_float(x, dtype).astype(np.float64) for x in (bits, cotangent))
        spikes, gradient = v >= 0, c * surrogate.derivative(v)
        if self.fault == "NaN fires":
            spikes = ~(v < 0)
        elif self.fault == "NaN is a gradient of 0":
            gradient = np.nan_to_num(gradient, nan=0.0)
        elif self.fault == "a window is not shut for NaN":
            gradient = np.where(np.isnan(v), c, gradient)
        elif self.fault == "NaN where h is 0":
            gradient = np.where(np.isinf(v), np.nan, gradient)
        return from_float(spikes.astype(float), dtype), from_float(gradient, dtype)


def test_a_backend_without_transforms_is_checked_by_its_spikes_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arcana.stub.conformance", Stub())
    report = check_surrogate(FastSigmoid, backends=["stub"])
    checked = {row.what for row in report.rows if row.where == "stub plain"}
    assert checked >= {f"{what}, {dtype}" for what in ("spikes", "NaN") for dtype in BITS}
    assert checked >= {"gradient, float32", "shape ()", "shape (0, 3)", "shape (2, 1, 3)"}


@pytest.mark.parametrize(
    ("fault", "surrogate"),
    [
        ("NaN fires", FastSigmoid()),
        ("NaN is a gradient of 0", FastSigmoid()),
        ("a window is not shut for NaN", definitions.Rectangular()),
        ("NaN where h is 0", definitions.Gaussian()),
    ],
)
def test_another_value_for_nan_is_found(fault: str, surrogate: Surrogate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arcana.stub.conformance", Stub(fault))
    with pytest.raises(ConformanceError) as caught:
        check_surrogate(surrogate, backends=["stub"])
    failing = {row.what for row in caught.value.report.rows if not row.passed}
    assert failing >= {f"NaN, {dtype}" for dtype in BITS}
    assert all(what.startswith(("NaN", "spikes", "gradient")) for what in failing)


class NaNByDtype(FastSigmoid):
    """h(NaN) is NaN in float64 and 0 in the others."""

    @staticmethod
    def derivative(v, xp, *, scale):
        h = FastSigmoid.derivative(v, xp, scale=scale)
        return h if str(v.dtype).endswith("64") else xp.where(v > -math.inf, h, xp.zeros_like(v))


class NaNByBackend(FastSigmoid):
    """h(NaN) is NaN in NumPy and 0 in JAX."""

    @staticmethod
    def derivative(v, xp, *, scale):
        h = FastSigmoid.derivative(v, xp, scale=scale)
        return xp.where(v > -math.inf, h, xp.zeros_like(v)) if "jax" in type(v).__module__ else h


@pytest.mark.usefixtures("no_transforms")
def test_a_definition_with_another_value_for_nan_is_found() -> None:
    with pytest.raises(ConformanceError, match=r"h\(NaN\) is 0 or NaN"):
        check_surrogate(NaNByDtype, backends=())
    with pytest.raises(ConformanceError) as caught:
        check_surrogate(NaNByBackend, backends=["jax"])
    failing = {(row.where, row.what) for row in caught.value.report.rows if not row.passed}
    assert failing >= {(f"jax {mode}", f"NaN, {dtype}") for mode in jax_side.MODES for dtype in BITS}


class AreaWithoutPrimitive(Surrogate):
    @staticmethod
    def derivative(v, xp):
        return xp.square(xp.reciprocal(xp.abs(v) + 1))

    @staticmethod
    def facts():
        return definitions.Facts(peak=1.0, area=2.1)


def test_an_area_without_a_primitive_is_integrated() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_surrogate(AreaWithoutPrimitive, backends=())
    (row,) = [row for row in caught.value.report.rows if not row.passed]
    assert (row.what, row.detail) == ("area", "2 by quadrature, 2.1 stated")


test_one_line = conformance_test(FastSigmoid, Triangular(scale=0.5), backends=())


def test_the_one_line_has_a_test_for_each_surrogate_and_fails_with_it() -> None:
    (mark,) = test_one_line.pytestmark
    assert mark.kwargs["ids"] == ["FastSigmoid", "Triangular(scale=0.5, width=1.0)"]
    with pytest.raises(ConformanceError, match="peak"):
        test_one_line(WrongFacts())
    with pytest.raises(ValueError, match="at least one surrogate"):
        conformance_test()


def few_patterns(dtype: str) -> Array:
    """Zeros, subnormals and the next numbers of both signs, and powers of 2 with their neighbours."""
    kind = np.dtype(f"uint{BITS[dtype]}").type
    mantissa = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}[dtype]
    few = np.concatenate([np.arange(0, 130), (1 << np.arange(mantissa + 1)), (1 << np.arange(1, mantissa + 1)) - 1])
    few = np.unique(few).astype(kind)
    return np.concatenate([few, few | kind(1 << (BITS[dtype] - 1))])


def jumps_at_zero(surrogate: Surrogate) -> tuple[bool, bool]:
    """Whether h has another value at 0 than below it, and than above it."""
    numbers = operands(surrogate, "float64")
    below, at_zero, above = (float(KNOWN[surrogate.name].h(mpf(x), **numbers)) for x in ("-1e-45", "0", "1e-45"))
    return not math.isclose(below, at_zero), not math.isclose(at_zero, above)


JUMPS = {}
"""Of the surrogates that jump at 0 by default, one with each combination of sides."""
for _name in KNOWN:
    _by_sides = {jumps_at_zero(each): each for each in (definitions.get(_name, **p) for p in reversed(variants(_name)))}
    if any(jumps_at_zero(definitions.get(_name))):
        JUMPS[_name] = [each for sides, each in _by_sides.items() if any(sides)]


@functools.cache
def gradients_beside_zero(names: tuple[str, ...]) -> dict[tuple[Surrogate, str], dict[str, Array]]:
    """Of each surrogate that jumps and each dtype, the gradient by every way: one compilation a way."""
    cases = []
    for surrogate, dtype in itertools.product(itertools.chain(*(JUMPS[name] for name in names)), BITS):
        v = few_patterns(dtype)
        cases.append((surrogate, v, from_float(np.full(v.size, 1.5), dtype), dtype))
    found: dict[tuple[Surrogate, str], dict[str, Array]] = {(surrogate, dtype): {} for surrogate, *_, dtype in cases}
    for side in (torch_side, jax_side):
        for mode in side.MODES:
            for (surrogate, *_, dtype), (_, gradient) in zip(cases, side.spikes_and_gradients(cases, mode), strict=True):
                found[surrogate, dtype][f"{side.__name__}, {mode}"] = gradient
    return found


@pytest.mark.parametrize("name", JUMPS)
@pytest.mark.parametrize("dtype", BITS)
def test_a_subnormal_potential_falls_on_its_side_of_a_jump_at_zero(name: str, dtype: str, together: tuple[str, ...]) -> None:
    """Where h is made of constants, XLA's flush of subnormals would choose the other one."""
    v = to_float(few_patterns(dtype), dtype).astype(np.float64)
    for surrogate in JUMPS[name]:
        expected = from_float(1.5 * surrogate.derivative(v), dtype)
        for way, gradient in gradients_beside_zero(together)[surrogate, dtype].items():
            np.testing.assert_array_equal(gradient, expected, err_msg=f"{surrogate}, {way}")
