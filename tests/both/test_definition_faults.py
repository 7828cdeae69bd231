"""What `check_surrogate` says of a definition that is wrong: a row that fails and says how, and never a traceback."""

from __future__ import annotations

import math
import types
from typing import Any

import numpy as np
import pytest
from every import every_surrogate

from arcana.surrogate import Facts, FastSigmoid, Sigmoid, Surrogate, get, parameter
from arcana.testing import ConformanceError, _definition, check_surrogate
from arcana.testing._definition import _area, _integral, _largest, _primitive, _special_values, _support, definition_rows, raised
from arcana.testing._second_order import _row, _slope
from arcana.testing._surrogate import (
    TRANSFORM_POINTS,
    _close,
    _parameter_slope,
    _reference,
    _Sample,
    _sample_rows,
    _shapes,
    exact_spikes,
    reports,
)
from arcana.testing._values import all_patterns, from_float, hard_sample, is_subnormal, to_float, ulp_difference
from arcana.testing.backends import missing


class Cauchy(Surrogate):
    width: float = parameter(1.0, above=0)

    @staticmethod
    def facts(*, width: float) -> Facts:
        return Facts(peak=1.0, area=math.pi * width, even=True)

    @staticmethod
    def derivative(v: Any, xp: Any, *, width: Any) -> Any:
        return xp.reciprocal(xp.square(v * xp.reciprocal(width)) + 1)

    @staticmethod
    def primitive(v: Any, xp: Any, *, width: Any) -> Any:
        return width * xp.arctan(v * xp.reciprocal(width)) + 0.5


class Branches(Cauchy):
    @staticmethod
    def derivative(v: Any, xp: Any, *, width: Any) -> Any:
        return v if v > 0 else -v


class Misspells(Cauchy):
    @staticmethod
    def derivative(v: Any, xp: Any, *, width: Any) -> Any:
        return xp.exq(v)


class WritesIntoV(Cauchy):
    @staticmethod
    def derivative(v: Any, xp: Any, *, width: Any) -> Any:
        v *= xp.reciprocal(width)
        return xp.reciprocal(xp.square(v) + 1)


class WritesIntoAParameter(Cauchy):
    @staticmethod
    def primitive(v: Any, xp: Any, *, width: Any) -> Any:
        inverse = xp.reciprocal(width)
        width *= 1.0
        return width * xp.arctan(v * inverse) + 0.5


class UsesNumPy(Cauchy):
    @staticmethod
    def derivative(v: Any, xp: Any, *, width: Any) -> Any:
        return xp.reciprocal(np.square(v * xp.reciprocal(width)) + 1)


class PeakOff(Cauchy):
    @staticmethod
    def facts(*, width: float) -> Facts:
        return Facts(peak=1.0 + 1e-8, area=math.pi * width, even=True)


class AreaOff(Cauchy):
    @staticmethod
    def facts(*, width: float) -> Facts:
        return Facts(peak=1.0, area=math.pi * width * (1 + 1e-8), even=True)


class RightAtOneWidthAlone(Cauchy):
    @staticmethod
    def primitive(v: Any, xp: Any, *, width: Any) -> Any:
        return xp.arctan(v * xp.reciprocal(width)) + 0.5


class Window(Surrogate):
    """Without a primitive, and with an area of 0."""

    @staticmethod
    def facts() -> Facts:
        return Facts(peak=1.0, area=0.0, support=(-1.0, 1.0), even=False)

    @staticmethod
    def derivative(v: Any, xp: Any) -> Any:
        return xp.where(xp.abs(v) <= 1.0, v, 0.0)


class TooWide(Window):
    @staticmethod
    def facts() -> Facts:
        return Facts(peak=1.0, area=0.0, support=(-1.0, 1.0 + 1e-2), even=False)


class TooNarrow(Window):
    @staticmethod
    def facts() -> Facts:
        return Facts(peak=1.0, area=0.0, support=(-1.0, math.nextafter(1.0, 0.0)), even=False)


class Lopsided(Window):
    @staticmethod
    def derivative(v: Any, xp: Any) -> Any:
        return xp.where(xp.abs(v) <= 1.0, xp.where(v < 0, v, v * (1 + 1e-8)), 0.0)


class Uneven(Window):
    @staticmethod
    def facts() -> Facts:
        return Facts(peak=1.0, area=1.0, support=(-1.0, 1.0), even=True)

    @staticmethod
    def derivative(v: Any, xp: Any) -> Any:
        return Window.derivative(v, xp) * xp.where(v > 0, 1.0 - 1e-12, -1.0)


FAULTS = {
    Branches: ("runs", "a formula may not branch on a value: write xp.where(condition, a, b); ValueError"),
    Misspells: ("runs", "AttributeError: xp.exq does not exist: a definition may use only abs, "),
    WritesIntoV: ("arguments are kept", "a formula may not change its arguments in place; ValueError: output array is read-only"),
    WritesIntoAParameter: (
        "arguments are kept",
        "a formula may not change its arguments in place; ValueError: output array is read-only",
    ),
    PeakOff: ("peak", "1 found, 1.00000001 stated"),
    AreaOff: ("area", "3.14159265359 by quadrature, 3.14159268501 stated"),
    RightAtOneWidthAlone: ("primitive for other width", "at 0.5, 2: rise of the primitive"),
    TooWide: ("support", "h is 0 up to 1.01 already"),
    TooNarrow: ("support", "h(np.float64(1.0)) is not 0"),
    Lopsided: ("area", "e-09 by quadrature, 0 stated"),
    Uneven: ("even", "h(-v) = h(v) at "),
}


@pytest.mark.parametrize("wrong", FAULTS, ids=lambda wrong: wrong.__name__)
def test_a_fault_of_the_definition_is_a_row(wrong: type[Surrogate]) -> None:
    what, words = FAULTS[wrong]
    with pytest.raises(ConformanceError) as caught:
        check_surrogate(wrong, [])
    failing = {row.what: row.detail for row in caught.value.report.rows if not row.passed}
    assert what in failing, failing
    assert words in failing[what]


def test_the_error_is_the_rows_that_fail() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_surrogate(PeakOff(width=2.0), [])
    count = len(caught.value.report.rows)
    # The area of a width of 2 is stated right; the peak is not.
    head, subject, *rows = str(caught.value).splitlines()
    assert (head, subject) == (f"1 of {count} checks failed", "PeakOff(width=2.0)")
    assert [row.split() for row in rows] == [["FAIL", "definition", "peak", "1", "found,", "1.00000001", "stated"]]


def test_a_backend_that_is_missing_says_what_python_says() -> None:
    assert missing(["torch", "nowhere"]) == {"nowhere": "No module named 'arcana.nowhere'"}


def test_a_definition_that_runs_nowhere_says_so_once() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_surrogate(Misspells)
    assert [row.what for row in caught.value.report.rows] == ["runs"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("wrong", "backend", "words"), [(UsesNumPy, "jax", "a formula uses xp, and not NumPy; Tracer")])
def test_what_only_a_backend_refuses_is_a_row_too(wrong: type[Surrogate], backend: str, words: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_surrogate(wrong, [backend])
    failing = {row.detail[: len(words)] for row in caught.value.report.rows if not row.passed}
    assert failing == {words}


def test_one_that_fails_leaves_the_others_their_rows() -> None:
    good, bad = reports([Window(), Misspells()], [])
    assert good.passed
    assert not bad.passed
    assert any(row.what == "area" for row in good.rows)


@every_surrogate
def test_every_fact_is_exact(name: str) -> None:
    report = check_surrogate(get(name), [])
    assert {"runs", "arguments are kept", "peak", "support"} <= {row.what for row in report.rows}
    areas = [row for row in report.rows if row.what == "area"]
    assert bool(areas) == math.isfinite(get(name).area)


def test_a_choice_of_numbers_is_in_the_computing_dtype_under_torch_compile_too() -> None:
    torch = pytest.importorskip("torch")
    from arcana.torch import spike

    class Choice(Surrogate):
        @staticmethod
        def derivative(v: Any, xp: Any) -> Any:
            return xp.where(v > 0, 0.7, 0.3)

    def gradient(v: Any) -> Any:
        return torch.autograd.grad(spike(v, Choice()).sum(), v)[0]

    v = torch.tensor([-1.0, 1.0], dtype=torch.float64, requires_grad=True)
    torch.compiler.reset()
    compiled = torch.compile(lambda v: spike(v, Choice()), backend="aot_eager")(v)
    assert gradient(v).tolist() == torch.autograd.grad(compiled.sum(), v)[0].tolist() == [0.3, 0.7]


def test_a_report_has_a_row_for_all_that_is_checked() -> None:
    rows = check_surrogate(Cauchy(width=2.0), []).rows
    assert all(row.passed is True for row in rows)
    found = {row.what: row.detail for row in rows}
    assert found == {
        "runs": "derivative and primitive, 2 arrays of 3",
        "arguments are kept": "2 arrays",
        "peak": "1 found, 1 stated",
        "support": "h is 0 at 0 points outside [-inf, inf] and not before its ends",
        # The grid, 0 and the infinities.
        "even": "h(-v) = h(v) at 11595 points",
        "area": "6.28318530718 by quadrature, 6.28318530718 stated",
        "primitive at 0": "G(0) = 0.5",
        "rise of the primitive": "G(inf) - G(-inf) = 6.28318531, an area of 6.28318531 stated",
        "derivative is the slope of the primitive": "at 2000 points, worst 0 off",
        "primitive for other width": "at 1, 4",
        "finite, float64": "131394 values to ±inf",
        "finite, float32": "16706 values to ±inf",
        "finite, float16": "63490 values to ±inf",
        "NaN": "h(NaN) is NaN",
        "pickle round trip": "Cauchy(width=2.0)",
        "deepcopy round trip": "Cauchy(width=2.0)",
        "dict round trip": "Cauchy(width=2.0)",
    }
    window = {row.what: row.detail for row in check_surrogate(Window(), []).rows}
    assert window["support"] == "h is 0 at 7204 points outside [-1, 1] and not before its ends"
    assert window["NaN"] == "h(NaN) is 0"
    assert "primitive at 0" not in window


def replaced(*, derivative: Any = None, primitive: Any = None, **facts: Any) -> Surrogate:
    """Cauchy's with other facts or formulas."""
    stated = {"peak": 1.0, "area": math.pi, "even": True} | facts

    of_v = {"derivative": derivative, "primitive": primitive}

    class Changed(Cauchy):
        @staticmethod
        def facts(*, width: float) -> Facts:
            return Facts(**stated)

        @staticmethod
        def derivative(v: Any, xp: Any, *, width: Any) -> Any:
            return of_v["derivative"](v, xp) if of_v["derivative"] else Cauchy.derivative(v, xp, width=width)

        @staticmethod
        def primitive(v: Any, xp: Any, *, width: Any) -> Any:
            return of_v["primitive"](v, xp) if of_v["primitive"] else Cauchy.primitive(v, xp, width=width)

    return Changed()


def failing(**changed: Any) -> dict[str, str]:
    """The rows that fail of Cauchy's with other facts or formulas."""
    (report,) = reports([replaced(**changed)], [])
    # A class within a function cannot be pickled.
    return {row.what: row.detail for row in report.rows if not row.passed and row.what != "pickle round trip"}


ONE_WIDTH = {"primitive for other width"}
"""What fails wherever the formulas have no width."""


@pytest.mark.parametrize("by", [1 + 0.99e-9, 1 - 0.99e-9, 1 + 1.01e-9, 1 - 1.01e-9])
def test_facts_are_held_to_a_billionth(by: float) -> None:
    wrong = abs(by - 1) > 1e-9
    assert ("peak" in failing(peak=by)) == wrong
    assert ("area" in failing(area=math.pi * by)) == wrong
    assert ("rise of the primitive" in failing(area=math.pi * by)) == wrong
    # The slope of the primitive may leave the derivative by a billionth of 1 + the largest.
    h = 1 + 2 * (by - 1)
    rows = failing(derivative=lambda v, xp: xp.where(v > 0, h, h), primitive=lambda v, xp: v + 0.5, area=math.inf, peak=h)
    assert ("derivative is the slope of the primitive" in rows) == wrong


def test_a_primitive_is_one_half_at_0_and_rises_by_the_area() -> None:
    def primitive(lift: float, rise: float) -> Any:
        return lambda v, xp: xp.arctan(v) * rise + 0.5 + lift

    assert set(failing(primitive=primitive(0, 1))) == ONE_WIDTH
    assert failing(primitive=primitive(1e-15, 1))["primitive at 0"] == f"G(0) = {0.5 + 1e-15!r}"
    rows = failing(primitive=primitive(0, 1.25))
    assert rows["rise of the primitive"] == "G(inf) - G(-inf) = 3.92699082, an area of 3.14159265 stated"
    assert rows["derivative is the slope of the primitive"] == "at 2000 points, worst 0.25 off"
    below = failing(primitive=primitive(0, 0.75))
    assert below["derivative is the slope of the primitive"] == "at 2000 points, worst 0.25 off"
    assert rows["primitive for other width"].startswith(
        "at 0.5, 2: rise of the primitive, G(inf) - G(-inf) = 3.92699082, an area"
    )


def test_a_periodic_primitive_rises_by_some_number_where_the_area_has_none() -> None:
    def rises(far: float) -> bool:
        def primitive(v: Any, xp: Any) -> Any:
            return xp.where(xp.abs(v) < 10, xp.arctan(v) + 0.5, xp.where(v < 0, -far, far))

        (row,) = (row for row in _primitive(replaced(area=math.nan, primitive=primitive)) if row.what.startswith("rise"))
        return row.passed

    assert rises(7.0)
    assert not rises(math.nan)


def test_the_slope_of_a_primitive_that_falls_is_held_to_the_size_of_h() -> None:
    for by, close in ((1.9e-9, True), (2.1e-9, False)):
        falling = replaced(derivative=lambda v, xp, by=by: xp.where(v > 0, -1 - by, -1 - by), primitive=lambda v, xp: 0.5 - v)
        assert [row.passed for row in _primitive(falling) if row.what.startswith("derivative")] == [close]


def test_h_is_of_the_potential_s_dtype_and_shape() -> None:
    for derivative in (lambda v: v.dtype.type(0), lambda v: np.zeros(v.shape, complex)):
        rows: Any = _special_values(types.SimpleNamespace(derivative=derivative))
        assert [row.passed for row in rows] == [False, False, False]


@pytest.mark.parametrize("differs", ["", "value", "hash", "repr"])
def test_a_round_trip_keeps_the_value_the_hash_and_the_text(differs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    surrogate = Cauchy()

    class Copy:
        def __eq__(self, other: object) -> bool:
            return differs != "value"

        def __hash__(self) -> int:
            return hash(surrogate) + (differs == "hash")

        def __repr__(self) -> str:
            return "another" if differs == "repr" else repr(surrogate)

    monkeypatch.setattr(_definition, "from_dict", lambda told: Copy())
    (row,) = (row for row in _definition._value_semantics(surrogate) if row.what == "dict round trip")
    assert row.passed == (not differs)


def test_support_is_held_to_the_next_float() -> None:
    def window(low: float, high: float) -> Any:
        return lambda v, xp: xp.where((v >= low) & (v <= high), 1.0, 0.0)

    def supported(low: float, high: float) -> dict[str, str]:
        rows = failing(derivative=window(-2, 1), primitive=lambda v, xp: v, support=(low, high), area=high - low, even=False)
        return {what: detail for what, detail in rows.items() if what == "support"}

    assert supported(-2, 1) == {}
    assert supported(-2, math.nextafter(1, 2)) == {} == supported(math.nextafter(-2, -3), 1)
    assert "h(np.float64(1.0)) is not 0, outside [-2, 1]" in supported(-2, math.nextafter(1, 0))["support"]
    assert "h(np.float64(-2.0)) is not 0, outside [-2, 1]" in supported(math.nextafter(-2, 0), 1)["support"]
    # An end is told to be too far where h is 0 up to a thousandth of the support before it.
    assert supported(-2, 1.0029) == {} == supported(-2.0029, 1)
    assert supported(-2, 1.0031)["support"] == "h is 0 up to 1.0031 already, the end of [-2, 1.0031]"
    assert supported(-2.0031, 1)["support"] == "h is 0 up to -2.0031 already, the end of [-2.0031, 1]"


def test_support_without_one_end_is_held_to_a_thousandth_of_the_unit() -> None:
    def supported(first: float, low: float) -> bool:
        return _support(
            replaced(derivative=lambda v, xp: xp.where(v >= first, 1.0, 0.0), support=(low, math.inf), area=math.inf, even=False)
        ).passed

    for low in (0.0, 2.0):
        assert supported(low, low)
        assert supported(low + 0.00099, low)
        assert not supported(low + 0.001005, low)
        assert not supported(math.nextafter(low, -1), low)


def test_lobes_that_cancel_are_as_exact_as_their_sizes() -> None:
    """Of 1 and −1, which have an area of 0 and of 2 by size."""
    for area, close in ((1.98e-9, True), (2.02e-9, False), (-1.98e-9, True), (-2.02e-9, False)):
        lobes = replaced(
            derivative=lambda v, xp: xp.where(xp.abs(v) <= 1, xp.where(v < 0, -1.0, 1.0), 0.0),
            support=(-1, 1),
            area=area,
            even=False,
        )
        assert [row.passed for row in _area(lobes)] == [close]


def test_what_no_panel_resolves_is_added_up_all_the_same() -> None:
    """Of numbers between 0 and 1 by chance from −1 to 1."""
    sizes, generator = [], np.random.default_rng(0)

    def noise(v: Any) -> Any:
        sizes.append(v.size)
        return generator.uniform(0, 1, v.shape) * (np.abs(v) <= 1)

    assert _integral(noise) == pytest.approx(1, abs=0.01)
    assert max(sizes) < 15 * 45_000


@pytest.mark.parametrize("size", [1e-12, -1.0, 1e12])
def test_an_area_is_as_exact_whatever_its_size(size: float) -> None:
    """Of a window, whose ends lie within panels."""
    for by, close in ((0, True), (2e-9, False)):
        window = replaced(
            derivative=lambda v, xp: xp.where(xp.abs(v) <= 0.3, size, 0.0),
            support=(-0.3, 0.3),
            area=0.6 * size * (1 + by),
        )
        assert [row.passed for row in _area(window)] == [close]


def test_a_tail_that_falls_slowly_has_its_area() -> None:
    """Of (1 + |v|)^(−7/4), whose integral is 8/3: in t, with v = t / (1 − t²), it has no bound at the ends."""

    def derivative(v: Any, xp: Any) -> Any:
        return xp.exp(xp.log1p(xp.abs(v)) * -1.75)

    for area, close in ((8 / 3, True), (8 / 3 + 1e-8, False)):
        assert [row.passed for row in _area(replaced(derivative=derivative, area=area))] == [close]


def test_another_value_of_a_parameter_is_the_furthest_in_its_domain() -> None:
    def others(value: float, **bounds: float) -> list[float]:
        class Bounded(Surrogate):
            width: float = parameter(value, **bounds)

            @staticmethod
            def derivative(v: Any, xp: Any, *, width: Any) -> Any:
                return xp.zeros_like(v) + width

        return _definition._other_values(Bounded(), "width")

    assert others(2.0) == [1.0, 4.0]
    assert others(2.0, at_most=2) == [1.0, 1.5]
    assert others(2.0, at_least=2) == [4.0, 3.0]
    assert others(1.0, above=0.5, below=2) == [0.75, 1.5]
    assert others(1.0, above=0.75, below=1.5) == [0.9, 1.1]
    assert others(-1.0, above=-1.5) == [-0.5, -0.75]
    assert others(0.0) == [0.5, -0.5]
    assert others(0.0, at_least=0) == [0.5, 0.25]
    assert others(0.0, below=0.5) == [-0.5, 0.25]
    assert others(0.0, at_least=0, below=0.5) == [0.25]
    assert others(0.0, above=0 - 0.5, below=1.5) == [0.5, 0.25]
    assert others(0.0, at_most=0) == [-0.5]


def test_a_sensitivity_is_used_where_it_is_the_primitive_s_derivative() -> None:
    """Of width·arctan(v/width): arctan(v/width) − v/width · h."""

    class Stated(Cauchy):
        times: int = 1

        @staticmethod
        def derivative(v: Any, xp: Any, *, width: Any, times: int) -> Any:
            return Cauchy.derivative(v, xp, width=width)

        @staticmethod
        def primitive(v: Any, xp: Any, *, width: Any, times: int) -> Any:
            return Cauchy.primitive(v, xp, width=width)

        @staticmethod
        def facts(*, width: float, times: int) -> Facts:
            return Cauchy.facts(width=width)

        @staticmethod
        def sensitivities(v: Any, xp: Any, h: Any, *, width: Any, times: int) -> dict[str, Any]:
            ratio = v * xp.reciprocal(width)
            return {"width": xp.arctan(ratio) - ratio * h * times, "gain": v, "height": v}

    for times, gain, used in ((1, 1.0, True), (1, 2.0, True), (2, 1.0, False)):
        rows = {row.what: row for row in definition_rows(Stated(times=times, gain=gain)) if row.what.startswith("sensitivity")}
        assert {what: row.passed for what, row in rows.items()} == {
            "sensitivity to width": used,
            "sensitivity to gain": False,
            "sensitivity to height": False,
        }
        words = "as derived from the primitive" if used else "is not what the primitive's derivative is, and is not used"
        assert rows["sensitivity to width"].detail == words
    assert not any(row.what.startswith("sensitivity") for row in definition_rows(Cauchy()))


def test_an_error_is_said_in_one_line() -> None:
    assert raised(ValueError("one\n  two")) == "ValueError: one two"
    assert raised(ValueError("x" * 400)) == "ValueError: " + "x" * 288
    assert raised(TypeError("in-place")) == "a formula may not change its arguments in place; TypeError: in-place"


def test_a_copy_that_is_another_is_a_row() -> None:
    class Wider(Cauchy):
        def __deepcopy__(self, memo: Any) -> Wider:
            return Wider(width=3.0)

    rows = {row.what: row for row in definition_rows(Wider(width=2.0)) if not row.passed}
    assert rows.keys() == {"pickle round trip", "deepcopy round trip"}
    assert rows["deepcopy round trip"].detail == "Wider(width=3.0)"
    assert rows["pickle round trip"].detail.startswith("AttributeError: ")


def test_a_peak_between_the_points_of_the_grid_is_found() -> None:
    """A narrow peak of height 2 beside the points of the grid."""
    for middle in (0.7003, -3.1004):
        rows = failing(
            derivative=lambda v, xp, middle=middle: xp.reciprocal(xp.square((v - middle) * 300.0) + 1) * 2, peak=2, even=False
        )
        assert "peak" not in rows
    # On either side of the one point that sees it, and below 0: elsewhere h is larger than at the next points.
    for middle in (0.70033, 0.70067):
        for sign in (1.0, -1.0):
            narrow = replaced(
                derivative=lambda v, xp, middle=middle, sign=sign: (
                    xp.where(v > 2, 1.0, 2 * xp.reciprocal(xp.square((v - middle) * 2722.0) + 1)) * sign
                )
            )
            assert _largest(narrow) == pytest.approx(2, rel=1e-9)
    # Of 1/(1 + |v|) − 1 the largest is at the infinities alone.
    assert _largest(replaced(derivative=lambda v, xp: xp.reciprocal(xp.abs(v) + 1) - 1)) == 1


def test_what_h_makes_of_numbers_that_are_none() -> None:
    rows = failing(derivative=lambda v, xp: xp.where(v <= 0, 1.0, xp.where(v > 0, 1.0, math.inf)))
    assert rows["NaN"] == "h(NaN) is infinite"
    for h, kind in ((0.0, "0"), (-0.5, "a number"), (math.nan, "NaN")):
        choice = replaced(derivative=lambda v, xp, h=h: xp.where(v <= 0, 1.0, xp.where(v > 0, 1.0, h)))
        assert [(row.passed, row.detail) for row in definition_rows(choice) if row.what == "NaN"] == [(True, f"h(NaN) is {kind}")]
    rows = failing(derivative=lambda v, xp: xp.where(xp.abs(v) >= 1e4, v * xp.reciprocal(v), xp.reciprocal(xp.square(v) + 1)))
    assert {what: detail for what, detail in rows.items() if what.startswith("finite")} == {
        f"finite, {dtype}": f"not at v = np.{dtype}(inf)" for dtype in ("float64", "float32", "float16")
    }


def test_patterns_worth_testing_are_those_of_the_format() -> None:
    for dtype, exponents in (("float32", 256), ("float64", 2048)):
        v = to_float(hard_sample(dtype), dtype)
        # Each exponent with 32 fractions and the neighbours of 0 and 1, in both signs.
        assert v.size == 2 * (exponents * 32 + 64 + 128)
        assert np.unique(np.frexp(v[np.isfinite(v) & (v != 0)])[1]).size >= exponents - 2
        one, tiny = np.array(1, dtype), np.finfo(dtype).smallest_subnormal
        numbers = set(v.tolist())
        for near in (
            one,
            np.nextafter(one, 0),
            np.nextafter(one, 2),
            np.nextafter(16 * one, 17),
            tiny,
            63 * tiny,
            np.inf,
            np.finfo(dtype).max,
        ):
            assert {float(near), -float(near)} <= numbers
        assert np.isnan(v).sum() == 2 * 31
        np.testing.assert_array_equal(hard_sample(dtype), hard_sample(dtype))
        around = set(to_float(hard_sample(dtype, around=(-0.3,)), dtype).tolist())
        assert {float(np.array(0.3, dtype)), float(np.array(-0.3, dtype))} <= around
    for dtype in ("float16", "bfloat16"):
        np.testing.assert_array_equal(hard_sample(dtype), np.arange(1 << 16, dtype=np.uint16))
        bits = all_patterns(dtype)
        numbers = ~np.isnan(to_float(bits, dtype))
        np.testing.assert_array_equal(from_float(to_float(bits, dtype), dtype)[numbers], bits[numbers])
        assert is_subnormal(bits, dtype).sum() == 2 * ((1 << {"float16": 10, "bfloat16": 7}[dtype]) - 1)
    with pytest.raises(ValueError, match="use hard_sample for float32"):
        all_patterns("float32")
    # Ties go to the even neighbour, and NaN stays NaN.
    halves = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, np.inf, np.nan, 3.4e38, -0.0], np.float32)
    assert from_float(halves, "bfloat16").tolist() == [0x3F80, 0x3F82, 0x7F80, 0x7FC0, 0x7F80, 0x8000]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_floats_between_two_are_counted(dtype: str) -> None:
    one, two, zero, nan = (from_float(np.array([each]), dtype) for each in (1.0, 2.0, 0.0, np.nan))
    mantissa = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}[dtype]
    assert ulp_difference(one, two, dtype) == ulp_difference(two, one, dtype) == 1 << mantissa
    assert ulp_difference(from_float(np.array([-0.0]), dtype), zero, dtype) == 0
    least = np.ones_like(zero)
    sign = np.array([1 << (zero.dtype.itemsize * 8 - 1)], zero.dtype)
    assert ulp_difference(least, least | sign, dtype) == 2
    assert ulp_difference(nan, nan | sign, dtype) == 0
    assert ulp_difference(nan, one, dtype) == 1 << 62


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("fires_at_threshold", [True, False])
def test_spikes_of_bit_patterns_are_those_of_their_values(dtype: str, fires_at_threshold: bool) -> None:
    bits = all_patterns(dtype)
    v = to_float(bits, dtype)
    fired = to_float(exact_spikes(bits, dtype, fires_at_threshold), dtype)
    np.testing.assert_array_equal(fired, (v >= 0) if fires_at_threshold else (v > 0))


def test_the_bound_of_a_gradient_is_what_rounding_the_potential_would_bring() -> None:
    v = np.array([0.0, 0.5, -2.0, 1e6, -1e6, -np.inf])
    exact, condition = _reference(FastSigmoid(scale=3.0), v, np.full(6, 2.0))
    np.testing.assert_allclose(exact, 2 / (1 + 3 * np.abs(v)) ** 2)
    np.testing.assert_allclose(condition[:5], 6 * np.abs(v[:5]) / (1 + 3 * np.abs(v[:5])), rtol=1e-4)
    # Where h is 0, rounding has nothing to act on.
    assert condition[5] == 0
    for dtype, finer in (("float64", 1.0), ("float32", 1.0), ("float16", 2.0**-13), ("bfloat16", 2.0**-16)):
        sample = _Sample.of(FastSigmoid(scale=3.0), dtype)
        at = int(np.flatnonzero(to_float(sample.v, dtype) == 0.5)[0])
        assert sample.bound[at] / 4 - 1 == pytest.approx(1.2 * finer, rel=1e-3)
        right = from_float(sample.exact, dtype)
        allowed = int(sample.bound[at])
        for by, passed in ((allowed, True), (allowed + 1, False)):
            found = right.copy()
            found[at] -= by
            row = sample.gradient_row("here", "gradient", found, right, "float64")
            told = f"{by} ULP at most from float64"
            told += "" if passed else f"; {by} at v = {to_float(sample.v, dtype)[at]!r}, bound {sample.bound[at]:.3g}"
            assert (row.where, row.what, row.passed, row.detail) == ("here", f"gradient, {dtype}", passed, told)
        assert sample.gradient_row("here", "gradient", right, right, "float64").detail == "0 ULP at most from float64"
        # At the threshold the bound is 4, and met by 4; the worst is what is farthest beyond its own.
        zero = int(np.flatnonzero(to_float(sample.v, dtype) == 0)[0])
        for by, passed in ((4, True), (6, False)):
            found = right.copy()
            found[zero] -= by
            found[at] -= allowed + (not passed)
            row = sample.gradient_row("here", "gradient", found, right, "float64")
            assert row.passed == passed
            assert passed or "; 6 at v = " in row.detail
        # Subnormal gradients may be taken for 0.
        smallest = float(np.finfo(np.float32 if dtype == "bfloat16" else dtype).tiny)
        np.testing.assert_array_equal(sample.counts, np.abs(sample.exact) > 8 * smallest)
        negative = _Sample.of(Window(), dtype)
        assert (negative.exact < 0).any()
        np.testing.assert_array_equal(negative.counts, np.abs(negative.exact) > 8 * smallest)


def test_transforms_are_tried_at_both_infinities_both_zeros_and_as_many_points_of_each_sign() -> None:
    points = np.array(TRANSFORM_POINTS)
    assert (np.diff(points) >= 0).all()
    np.testing.assert_array_equal(points[[0, -1]], [-np.inf, np.inf])
    np.testing.assert_array_equal(np.signbit(points), np.arange(points.size) < points.size / 2)
    middle = points.size // 2
    assert points[middle - 1] == points[middle] == 0
    assert np.unique(points).size == points.size - 1


def test_scalars_empty_arrays_and_axes_of_one_keep_their_shape() -> None:
    """In the first mode, by a side that drops the axes of 1 of the gradient."""

    def called(cases: Any, mode: str) -> Any:
        ((_, v, c, dtype),) = cases
        assert (mode, dtype, c is v) == ("plain", "float32", True)
        return [(v, v.squeeze())]

    rows = [
        row
        for _, row in _shapes([Window()], "mine", types.SimpleNamespace(MODES=("plain", "other"), spikes_and_gradients=called))
    ]
    assert [(row.where, row.what, row.passed, row.detail) for row in rows] == [
        ("mine plain", "shape ()", True, "spikes (), gradient ()"),
        ("mine plain", "shape (0, 3)", True, "spikes (0, 3), gradient (0, 3)"),
        ("mine plain", "shape (2, 1, 3)", False, "spikes (2, 1, 3), gradient (2, 3)"),
    ]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_every_mode_is_compared_with_the_truth_and_with_those_of_other_backends(dtype: str) -> None:
    sample = _Sample.of(FastSigmoid(), dtype)
    right = exact_spikes(sample.v, dtype), from_float(sample.exact, dtype)
    wrong = right[0].copy()
    wrong[to_float(sample.v, dtype) == 1] = 0
    results = {("a", "eager"): right, ("a", "jit"): right, ("b", "eager"): (wrong, right[1])}
    rows = list(_sample_rows(sample, results))
    alone = [f"spikes, {dtype}", f"NaN, {dtype}", *([f"gradient, {dtype}"] if dtype == "float16" else [])]
    assert [(row.where, row.what) for row in rows] == [
        *((" ".join(way), what) for way in results for what in alone),
        *((f"{way}, b eager", f"gradients agree, {dtype}") for way in ("a eager", "a jit")),
    ]
    count = int((to_float(sample.v, dtype) == 1).sum())
    assert [row.detail for row in rows if not row.passed] == [f"{count} of {sample.v.size} patterns wrong"]


def test_nan_neither_fires_nor_spreads() -> None:
    sample = _Sample.of(Sigmoid(), "float16")
    v, gradient = to_float(sample.v, "float16"), from_float(sample.exact, "float16")
    spikes = exact_spikes(sample.v, "float16")
    row = sample.nan_row("here", spikes, gradient)
    assert (row.what, row.passed, row.detail) == ("NaN, float16", True, "h(NaN) is nan, 0 of 65536 patterns wrong")
    nans = int(np.isnan(v).sum())
    for fired, found, wrong in (
        (np.where(np.isnan(v), spikes[0x3C00], spikes), gradient, nans),
        (spikes, np.where(np.isnan(v), 0, gradient).astype(np.uint16), nans),
        (spikes, np.where(v == 1, gradient[0x7E00], gradient), 1),
    ):
        row = sample.nan_row("here", fired, found)
        assert (row.passed, row.detail) == (False, f"h(NaN) is nan, {wrong} of 65536 patterns wrong")


def test_a_transform_is_close_to_a_part_in_ten_thousand_and_of_the_largest_in_a_million() -> None:
    right = np.array([0.0, 1.0, -8.0, np.inf])
    for by, passed in (
        ([7.96e-6, 0, 0, 0], True),
        ([8.04e-6, 0, 0, 0], False),
        ([0, 1.076e-4, 0, 0], True),
        ([0, 1.084e-4, 0, 0], False),
    ):
        row = _close("here", "what", right + by, right)
        assert row.passed == passed
        assert row.detail.partition(";")[0] == f"worst difference {max(by):.2g}"
        assert ("; got [" in row.detail) != passed
    small = np.array([0.0, -1e-3])
    for by, passed in ((0.99e-9, True), (1.01e-9, False)):
        assert _close("here", "what", np.add(small, [by, 0]), small).passed == passed
    # Of no finite number there is no worst difference.
    assert _close("here", "what", np.array([np.nan]), np.array([np.nan])).detail.startswith("worst difference 0; got")
    # G = ½ + v/(1 + s·|v|), and dG/ds = −v·|v|/(1 + s·|v|)².
    v = np.array([-1.0, 0.25, 2.0])
    slope = _parameter_slope(FastSigmoid(scale=3.0), "scale", v)
    np.testing.assert_allclose(slope, -v * np.abs(v) / (1 + 3 * np.abs(v)) ** 2, rtol=1e-6)


def test_a_second_order_is_close_to_a_part_in_ten_thousand_of_what_is_compared() -> None:
    right = np.array([[0.0, 1.0, -8.0, np.nan]])
    for by, passed in (
        ([8.05e-5, 0, 0, 9], False),
        ([7.95e-5, 0, 0, 9], True),
        ([0, 1.79e-4, 0, 0], True),
        ([0, 1.81e-4, 0, 0], False),
    ):
        row = _row("here", "a circuit", right + by, right)
        assert row.what == "second order of a circuit"
        assert row.passed is passed
        assert ("; got [" in row.detail) != passed
        told = f"worst difference {max(by[:3]):.2g} at 3 of 4 values, the others are at kinks"
        assert row.detail.partition(";")[0] == told
    assert not _row("here", "a circuit", right * np.nan, right).passed
    assert not _row("here", "a circuit", right, right * np.nan).passed
    for by, passed in ((1e-8, True), (1.005e-8, False)):
        assert _row("here", "a circuit", np.array([by]), np.zeros(1)).passed == passed
    # One-sided slopes of one size are a slope, and others a kink.
    below, here, above = np.array([-1.0, 0.0, -1.0, -1.0]), np.zeros(4), np.array([1.0, 0.0, 1.0099, 1.0101])
    np.testing.assert_allclose(_slope(below, here, above, 1.0), [1.0, 0.0, 1.00495, 1.00505])
    np.testing.assert_array_equal(np.isnan(_slope(below * [1, 1, 1, -1], here, above, 1.0)), [False, False, False, True])
    # By a hundredth of their mean and a thousandth of the largest: 0.01 · (1 + r)/2 + 0.01 is r − 1 for r = 1.0201005.
    for r, kink in ((1.02009, False), (1.02011, True)):
        slopes = _slope(np.array([-1.0, 10.0]), np.zeros(2), np.array([r, -10.0]), 1.0)
        np.testing.assert_array_equal(np.isnan(slopes), [kink, False])
    assert _slope(np.zeros(1), np.zeros(1), np.zeros(1), 1.0) == 0
    assert np.isnan(_slope(np.array([-1e-3]), np.zeros(1), np.array([1.1e-3]), 1.0))
