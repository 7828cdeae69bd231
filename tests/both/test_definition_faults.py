"""What `check_surrogate` says of a definition that is wrong: a row that fails and says how, and never a traceback."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from every import every_surrogate

from arcana.surrogate import Facts, Surrogate, get, parameter
from arcana.testing import ConformanceError, check_surrogate
from arcana.testing._surrogate import reports


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
