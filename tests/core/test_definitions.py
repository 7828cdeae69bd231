"""The definitions against the closed forms of the papers, and everything that makes a surrogate a value."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from every import every_parameter, every_surrogate, every_variant
from hypothesis import given, settings, strategies as st
from known_values import KNOWN
from loaded import loaded_by, packages
from mpmath import mp, mpf
from truth import assert_exact, exact, operands

import arcana
from arcana import surrogate as definitions
from arcana._core.namespace import FUNCTIONS
from arcana.surrogate import STE, Facts, FastSigmoid, SquarewaveFourier, Step, Surrogate, Triangular, fast_sigmoid, parameter
from arcana.testing._values import hard_sample


class Cauchy(Surrogate):
    width: float = 1.0

    @staticmethod
    def derivative(v, xp, *, width):
        return 1 / (1 + xp.square(v / width))


class Bump(Surrogate):
    """A user's surrogate with everything optional given."""

    width: float = parameter(above=0)
    order: int = 2

    @staticmethod
    def derivative(v, xp, *, width, order):
        return xp.where(xp.abs(v) >= width, xp.zeros_like(v), 1 - xp.abs(v / width) ** order)

    @staticmethod
    def facts(*, width, order):
        return Facts(peak=1.0, area=2 * width * order / (order + 1), support=(-width, width))


def points(*kinks: float) -> np.ndarray:
    # The neighbours of a kink, and what is next to it where a wrong one would lie.
    around = [[k, np.nextafter(k, 9), np.nextafter(k, -9), 0.998 * k, 1.002 * k] for k in kinks]
    spread = np.concatenate([np.logspace(-30, 30, 181), np.linspace(0.001, 3, 200), *around])
    return np.concatenate([-spread, spread, [0.0, -0.0]])


def test_names_are_exactly_the_ones_known() -> None:
    assert definitions.names() == sorted(KNOWN)


@every_surrogate
def test_default_instance_carries_the_registry_name(name: str) -> None:
    instance = getattr(definitions, name)
    assert instance == definitions.get(name) == type(instance)()
    assert instance.name == name
    assert set(instance.numbers) == set(KNOWN[name].by_parameter)
    assert type(instance).__name__ in definitions.__all__
    assert name in definitions.__all__
    assert getattr(arcana, name) is instance


@every_variant
def test_derivative_and_primitive_are_the_papers(name: str, parameters: dict[str, float]) -> None:
    instance = definitions.get(name, **parameters)
    known, numbers = KNOWN[name], operands(instance, "float64")
    v = points(*known.kinks)
    exactly = exact("h", instance, v, np.ones_like(v), "float64")
    assert_exact(instance.derivative(v), exactly, 4, "float64", least=2 * max(1.0, instance.peak))
    size = 1 + (instance.area if math.isfinite(instance.area) else 0.0)
    for x, g, h in zip(v, instance.primitive(v), exactly[0], strict=True):
        expected = known.rise(mpf(x), **numbers) + mpf(1) / 2
        assert abs(g - expected) <= 16 * 2.0**-53 * (abs(expected) + size + abs(x * h)), x


@every_surrogate
def test_values_worked_out_by_hand(name: str) -> None:
    for dtype in (np.float64, np.float32):
        for v, h in KNOWN[name].values.items():
            assert definitions.get(name).derivative(dtype(v)) == pytest.approx(h, rel=2e-7, abs=0), (v, dtype)


@every_surrogate
def test_facts_by_hand_and_by_integration(name: str) -> None:
    instance, known = definitions.get(name), KNOWN[name]
    assert (instance.support, instance.even) == (known.support, known.even)
    assert (instance.peak, instance.area) == pytest.approx((known.peak, known.area), rel=1e-15, nan_ok=True)
    numbers = operands(instance, "float64")
    if math.isfinite(known.area):
        low, high = known.support
        inner = {s * kink for kink in (0.0, 0.5, *known.kinks) for s in (-1, 1) if low < s * kink < high}
        area = mp.quad(lambda x: known.h(x, **numbers), [mpf(low), *sorted(inner), mpf(high)])
        assert float(area) == pytest.approx(instance.area, rel=1e-9)


@every_variant
def test_facts_follow_the_parameters(name: str, parameters: dict[str, float]) -> None:
    """Peak and area of every parameter set against the closed forms: the largest h of a grid, and the rise of G."""
    instance = definitions.get(name, **parameters)
    known, numbers = KNOWN[name], operands(instance, "float64")
    largest = max(abs(known.h(mpf(x), **numbers)) for x in points(*known.kinks))
    assert float(largest) == pytest.approx(instance.peak, rel=1e-12)
    if not math.isnan(instance.area):
        rise = known.rise(mp.inf, **numbers) - known.rise(-mp.inf, **numbers)
        assert float(rise) == pytest.approx(instance.area, rel=1e-12)


@every_surrogate
def test_closed_forms_of_slope_and_parameters_are_derivatives(name: str) -> None:
    """The truth itself: slope and by_parameter of known_values against mpmath's own differentiation."""
    known = KNOWN[name]
    numbers = operands(definitions.get(name), "float64")
    for x in (mpf("-1.7"), mpf("-0.6"), mpf("0.02"), mpf("0.8"), mpf("2.5")):
        assert mp.almosteq(mp.diff(lambda v: known.h(v, **numbers), x), known.slope(x, **numbers), 1e-12, 1e-12)
        assert mp.almosteq(mp.diff(lambda v: known.rise(v, **numbers), x), known.h(x, **numbers), 1e-12, 1e-12)
        for key, formula in known.by_parameter.items():
            direct = mp.diff(lambda p, key=key, x=x: known.rise(x, **{**numbers, key: p}), numbers[key])
            assert mp.almosteq(direct, formula(x, **numbers), 1e-12, 1e-12)


@pytest.mark.parametrize("q", [1.5, 2.0, 3.0, 5.0])
def test_the_tail_of_a_power_law_far_below(q: float) -> None:
    for v in (-1e29, -1e31, -1e35):
        tail = (1 + 2 * mpf(-v) / (q - 1)) ** (1 - mpf(q)) / 2
        assert definitions.QPseudoSpike(q=q).primitive(v) == pytest.approx(float(tail), rel=1e-12, abs=0)


@every_surrogate
def test_docstring_says_everything(name: str) -> None:
    instance = definitions.get(name)
    text = type(instance).__doc__ or ""
    for part in ("h(v) = ", "G(v) = ", "Peak: ", "Area: ", "Support: ", "Shapes and dtypes: ", "Errors: ", "Reference: "):
        assert part in text, part
    for key in set(instance.parameter_names()) - {"gain", "fires_at_threshold"}:
        assert f"{key}: " in text
    assert len(instance.reference) > 40


@every_surrogate
def test_rescaling(name: str) -> None:
    instance = definitions.get(name, fires_at_threshold=False)
    unit = instance.unit_peak()
    assert unit.peak == pytest.approx(1, rel=1e-15)
    assert unit.derivative(np.float64(0.3)) == pytest.approx(instance.derivative(np.float64(0.3)) / instance.peak, rel=1e-14)
    rise = instance.primitive(np.float64(0.3)) - 0.5
    assert unit.primitive(np.float64(0.3)) - 0.5 == pytest.approx(rise / instance.peak, rel=1e-12)
    assert unit.fires_at_threshold is False
    if not math.isfinite(instance.area):
        with pytest.raises(ValueError, match=r"area is (inf|nan), so it cannot be rescaled"):
            instance.unit_area()
    else:
        assert instance.unit_area().area == pytest.approx(1, rel=1e-15)
        assert instance.unit_area().primitive(math.inf) - instance.unit_area().primitive(-math.inf) == pytest.approx(1)


def assert_value_semantics(instance: Surrogate) -> None:
    twins = [
        copy.copy(instance),
        copy.deepcopy(instance),
        pickle.loads(pickle.dumps(instance)),
        definitions.from_dict(json.loads(json.dumps(instance.to_dict()))),
        dataclasses.replace(instance),
        eval(repr(instance), {**vars(definitions), **globals()}),
    ]
    assert all(twin == instance and hash(twin) == hash(instance) and type(twin) is type(instance) for twin in twins)
    assert dataclasses.replace(instance, gain=3.0) != instance
    with pytest.raises(dataclasses.FrozenInstanceError):
        instance.gain = 2.0  # pyright: ignore[reportAttributeAccessIssue]


@every_surrogate
@pytest.mark.parametrize("parameters", [{}, {"gain": 2.5, "fires_at_threshold": False}], ids=["default", "changed"])
def test_value_semantics(name: str, parameters: dict[str, Any]) -> None:
    assert_value_semantics(definitions.get(name, **parameters))


@pytest.mark.parametrize("instance", [FastSigmoid(scale=25), SquarewaveFourier(terms=5), Bump(width=2)], ids=repr)
def test_value_semantics_with_other_parameters(instance: Surrogate) -> None:
    assert_value_semantics(instance)


def test_equality_is_by_value_and_class() -> None:
    assert FastSigmoid(scale=25) == FastSigmoid(scale=25.0) == FastSigmoid(scale=np.float32(25))
    assert type(FastSigmoid(scale=25).scale) is float
    assert FastSigmoid(scale=25) != FastSigmoid(scale=24)
    assert Step() != STE()
    assert len({FastSigmoid(), fast_sigmoid, FastSigmoid(scale=10)}) == 1


def test_repr_shows_own_parameters_and_what_was_changed() -> None:
    assert repr(FastSigmoid(scale=25, gain=2)) == "FastSigmoid(scale=25.0, gain=2.0)"
    assert repr(STE()) == "STE()"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FastSigmoid(scale=-1), ValueError, r"^FastSigmoid: scale must be > 0, got -1\.0$"),
        (lambda: FastSigmoid(scale=0), ValueError, r"^FastSigmoid: scale must be > 0, got 0\.0$"),
        (lambda: FastSigmoid(scale=math.inf), ValueError, r"^FastSigmoid: scale must be finite and > 0, got inf$"),
        (lambda: Triangular(scale=math.nan), ValueError, r"^Triangular: scale must be finite and > 0 and <= 1e\+15, got nan$"),
        (lambda: STE(gain=math.inf), ValueError, r"^STE: gain must be finite, got inf$"),
        (lambda: FastSigmoid(scale=True), TypeError, r"^FastSigmoid: scale must be a real number, got True \(bool\)$"),
        (lambda: FastSigmoid(scale="x"), TypeError, r"^FastSigmoid: scale must be a real number, got 'x' \(str\)$"),
        (lambda: FastSigmoid(scale=1j), TypeError, r"^FastSigmoid: scale must be a real number, got 1j \(complex\)$"),
        (lambda: FastSigmoid(scale=np.ones(2)), TypeError, r"an array is given to the call instead"),
        (
            lambda: FastSigmoid(fires_at_threshold=1),
            TypeError,
            r"^FastSigmoid: fires_at_threshold must be of type bool, got 1 \(int\)$",
        ),
        (lambda: SquarewaveFourier(terms=0), ValueError, r"^SquarewaveFourier: terms must be >= 1 and <= 64, got 0$"),
        (lambda: definitions.QPseudoSpike(q=1), ValueError, r"^QPseudoSpike: q must be > 1 and <= 1e\+15, got 1\.0$"),
        (lambda: definitions.ClippedSTE(lower=1), ValueError, r"^ClippedSTE: lower must be >= -1e\+15 and <= 0, got 1\.0$"),
        (lambda: FastSigmoid(25.0), TypeError, r"positional argument"),
        (lambda: FastSigmoid(slope=25.0), TypeError, r"^FastSigmoid has no parameter 'slope'"),
        (lambda: Bump(width=1, order=2.5), TypeError, r"^Bump: order must be of type int, got 2\.5 \(float\)$"),
        (lambda: Bump(), TypeError, r"^Bump: width has no default and must be given$"),
        (lambda: definitions.get("fast_sigmod"), ValueError, r"^unknown surrogate 'fast_sigmod'; did you mean fast_sigmoid or "),
        (
            lambda: definitions.get("fast_sigmoid", slope=2),
            TypeError,
            r"^FastSigmoid has no parameter 'slope'; it has scale, gain, fires_at_threshold; did you mean scale\?$",
        ),
        (
            lambda: definitions.get("norse.tanh"),
            ValueError,
            r"what another library computes is arcana\.presets\.get\('norse\.tanh'\)$",
        ),
        (lambda: definitions.get("zzz"), ValueError, r"^unknown surrogate 'zzz'; there are atan, .*, triangular$"),
        (
            lambda: definitions.from_dict({"surrogate": "elsewhere:Thing", "parameters": {}}),
            ValueError,
            r"import elsewhere first",
        ),
        (lambda: definitions.from_dict({"name": "ste"}), ValueError, r"missing: parameters, surrogate"),
        (
            lambda: fast_sigmoid(np.ones(3)),
            TypeError,
            r"^FastSigmoid takes a torch\.Tensor or a jax\.Array, got numpy\.ndarray: ",
        ),
        (lambda: fast_sigmoid([0.5]), TypeError, r"^FastSigmoid takes a torch\.Tensor or a jax\.Array, got builtins\.list$"),
        (
            lambda: fast_sigmoid.derivative(np.arange(3)),
            TypeError,
            r"^FastSigmoid: v must be float64, float32, float16, bfloat16, got int64$",
        ),
        (lambda: Cauchy().primitive(1.0), NotImplementedError, r"^Cauchy defines no primitive"),
    ],
)
def test_bad_input_is_named(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


@every_parameter
def test_the_bounds_of_every_parameter(name: str, key: str) -> None:
    bounds = KNOWN[name].bounds.get(key, ">= 1e-15 and <= 1e+15")
    with pytest.raises(ValueError, match=rf": {key} must be finite and {re.escape(bounds)}, got nan$"):
        definitions.get(name, **{key: math.nan})


def test_a_users_class_needs_a_derivative() -> None:
    with pytest.raises(TypeError, match=r"^Empty: a surrogate defines derivative"):
        type("Empty", (Surrogate,), {"__annotations__": {"width": "float"}, "width": 1.0})
    # One that says nothing yet may be filled, as cloudpickle does; it is asked when it is used.
    empty = type("Empty", (Surrogate,), {})
    with pytest.raises(TypeError, match=r"^Empty: a surrogate defines derivative"):
        empty()


def test_a_users_subclass_is_a_full_citizen() -> None:
    assert Cauchy(width=0.5).derivative(0.5) == 0.5
    assert Cauchy.derivative(np.float64(0.5), np, width=0.5) == 0.5
    assert Cauchy().peak == 1
    assert math.isnan(Cauchy().area)
    assert Cauchy.name == "cauchy"
    assert definitions.get(f"{__name__}:Cauchy", width=2) == Cauchy(width=2)
    assert Bump(width=2).area == pytest.approx(8 / 3)
    assert "cauchy" not in definitions.names()


def test_two_classes_of_one_name_keep_apart() -> None:
    def make(factor: float) -> type[Surrogate]:
        class Twin(Surrogate):
            @staticmethod
            def derivative(v, xp):
                return v * 0 + factor

        return Twin

    first, second = make(1.0), make(2.0)
    assert first.key != second.key
    assert (first().derivative(0.0), second().derivative(0.0)) == (1.0, 2.0)


def test_the_name_of_a_class() -> None:
    def name(class_name: str) -> str:
        return type(class_name, (Surrogate,), {"derivative": staticmethod(lambda v, xp: v)}).name

    expected = {
        "TwoWords": "two_words",
        "QPseudoSpike": "q_pseudo_spike",
        "S2NN": "s2nn",
        "EndsInSTE": "ends_in_ste",
        "Oneword": "oneword",
    }
    assert {each: name(each) for each in expected} == expected

    class LogTailedReLU(Surrogate, name="log_tailed_relu"):
        @staticmethod
        def derivative(v, xp):
            return v

    assert LogTailedReLU.name == "log_tailed_relu"


def test_an_unknown_function_of_the_namespace_lists_what_there_is() -> None:
    class Wrong(Surrogate):
        @staticmethod
        def derivative(v, xp):
            return xp.tanhh(v)

    with pytest.raises(AttributeError, match=r"^xp\.tanhh does not exist: a definition may use only abs, arctan, .*zeros_like$"):
        Wrong().derivative(1.0)
    assert list(FUNCTIONS) == sorted(FUNCTIONS)


def drawn(data: st.DataObject, name: str) -> Surrogate:
    """A surrogate with any parameters of its domain, held to where float16 holds its peak."""
    chosen = {}
    for key, default in definitions.get(name).numbers.items():
        factor = data.draw(st.floats(0.05, 20), label=key)
        chosen[key] = type(definitions.get(name)).rounded(key, factor * (default or factor - 1), "float64")
    return definitions.get(name, **chosen)


@every_surrogate
@settings(max_examples=40, deadline=None)
@given(st.data(), st.floats(allow_nan=False, width=32))
def test_properties(name: str, data: st.DataObject, v: float) -> None:
    instance = drawn(data, name)
    for dtype in (np.float64, np.float32, np.float16):
        with np.errstate(over="ignore"):
            x = dtype(v)
        h, g = instance.derivative(x), instance.primitive(x)
        assert h.dtype == g.dtype == dtype
        assert not np.isnan(h)
        assert not np.isnan(g)
        with np.errstate(over="ignore"):
            assert abs(h) <= dtype(instance.peak * (1 + 4 * np.finfo(dtype).eps))
        if instance.even:
            assert h == instance.derivative(-x)
        low, high = instance.support
        beyond = 1 + 4 * np.finfo(np.float32).eps  # a parameter is rounded to float32
        if float(x) < low * beyond or float(x) > high * beyond:
            assert h == 0


@every_variant
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_finite_everywhere_at_every_parameter(name: str, parameters: dict[str, float], dtype: str) -> None:
    """No NaN and no overflow at any float and any parameter of the domain; h and G at ±inf are limits."""
    instance = definitions.get(name, **parameters)
    v = hard_sample(dtype).view(dtype)
    v = v[~np.isnan(v)]
    assert np.isfinite(instance.derivative(v)).all()
    assert not np.isnan(instance.primitive(v)).any()


@every_surrogate
@pytest.mark.parametrize("which", ["derivative", "primitive"])
def test_nan_stays_nan_where_the_formula_sees_it(name: str, which: str) -> None:
    assert np.isnan(getattr(definitions.get(name), which)(math.nan)) == (which not in KNOWN[name].nan_is_a_number)


def test_nan_is_no_potential_that_fires() -> None:
    assert Step().derivative(math.nan) == 0
    assert STE().derivative(math.nan) == 1


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_a_parameter_is_rounded_into_the_dtype_and_its_domain(scale: float) -> None:
    h = FastSigmoid(scale=scale).derivative(np.array([0.0, 1e-30, 3e38, -3e38, np.inf], np.float32))
    assert np.isfinite(h).all()
    assert h[0] == 1


@pytest.mark.parametrize(
    "statement",
    ["import arcana", "import arcana.surrogate", "from arcana import fast_sigmoid"],
    ids=["package", "catalogue", "surrogate"],
)
def test_arcana_alone_loads_no_framework(statement: str) -> None:
    modules = loaded_by(statement)
    assert packages(modules) == {"arcana", "numpy"}
    assert len([name for name in modules if name.startswith("arcana")]) <= 27


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_missing_backend_says_what_to_install(backend: str) -> None:
    code = f"import sys; sys.modules['{backend}'] = None; import arcana.{backend}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.endswith(f": pip install {backend}\n")
