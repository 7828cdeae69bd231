"""What can be known when a class is made is said then, with the names of the class and of the field."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Any

import numpy as np
import pytest

import arcana.torch
from arcana._core.generated import SurrogateFunction
from arcana.surrogate import Facts, Surrogate, formula, parameter


def test_an_undecorated_formula_works_like_a_decorated_one() -> None:
    class Plain(Surrogate):
        width: float = parameter(2.0, above=0)

        def derivative(v, xp, *, width):  # noqa: N805
            return xp.reciprocal(xp.square(xp.divide(v, width)) + 1)

        def primitive(v, xp, *, width):  # noqa: N805
            return xp.arctan(xp.divide(v, width)) * width + 0.5

        def facts(*, width):
            return Facts(peak=1.0, area=width * math.pi)

    class Decorated(Surrogate):
        width: float = parameter(2.0, above=0)

        @formula
        def derivative(v: Any, xp: Any, *, width: Any) -> Any:
            return xp.reciprocal(xp.square(xp.divide(v, width)) + 1)

    v = np.linspace(-3, 3, 13)
    np.testing.assert_array_equal(Plain(width=0.7).derivative(v), Decorated(width=0.7).derivative(v))
    assert (Plain().peak, Plain(width=1.0).area) == (1.0, math.pi)
    x = arcana.torch.torch.linspace(-1, 1, 5, requires_grad=True)
    (found,) = arcana.torch.torch.autograd.grad(Plain()(x).sum(), x)
    np.testing.assert_allclose(found, Decorated().derivative(x.detach().numpy()))


def h(v: Any, xp: Any, *, width: Any) -> Any:
    return v * width


def bare(v: Any, xp: Any) -> Any:
    return v


FACTORY: Any = dataclasses.field(default_factory=float)


class _Callable:
    def __call__(self, v: Any, xp: Any) -> Any:
        return xp.square(v)


@pytest.mark.parametrize(
    "given",
    [bare, staticmethod(bare), formula(bare), _Callable(), lambda v, xp, **_: v],
    ids=["function", "staticmethod", "formula", "object", "lambda"],
)
def test_anything_that_can_be_called_is_a_formula(given: Any) -> None:
    made = type("Made", (Surrogate,), {"derivative": given})
    assert made().derivative(1.0) == 1.0


@pytest.mark.parametrize(
    ("body", "annotations", "message"),
    [
        ({"peak": 1.0}, {"peak": float}, r"^Made: peak cannot be set, since every surrogate has a peak"),
        ({"area": 1.0}, {}, r"^Made: area cannot be set"),
        ({}, {"support": float}, r"^Made: a field cannot be called support"),
        ({"name": "other"}, {}, r"^Made: name cannot be set.*class Made\(Surrogate, name=\"\.\.\.\"\)$"),
        ({"key": "k"}, {"key": str}, r"^Made: key cannot be set"),
        ({"formula": 1.0}, {"formula": float}, r"^Made: formula cannot be set"),
        ({"_calls": 1.0}, {"_calls": float}, r"^Made: _calls cannot be set"),
        ({"v": 1.0}, {"v": float}, r"^Made: a field cannot be called v"),
        ({"rule": 1.0}, {"rule": float}, r"^Made: a field cannot be called rule"),
        ({"random": 1.0}, {"random": float}, r"^Made: a field cannot be called random"),
        ({"width": parameter(1.0)}, {}, r"^Made: width has no annotation: write width: float = parameter\(\.\.\.\)$"),
        ({"derivative": h}, {}, r"^Made: derivative takes width, which is no field of the class; write def derivative\(v, xp\)$"),
        ({"derivative": h, "widht": 1.0}, {"widht": float}, r"^Made: derivative takes width, .*; did you mean widht\?$"),
        ({"w": 1.0}, {"w": float}, r"^Made: derivative does not take the field w; write def derivative\(v, xp, \*, w\)$"),
        ({"primitive": h}, {}, r"^Made: primitive takes width, which is no field"),
        ({"facts": lambda *, peak: Facts(1.0, 1.0)}, {}, r"^Made: facts takes peak, which is no field"),
        ({"derivative": lambda v: v}, {}, r"^Made: derivative must take v and xp: write def derivative\(v, xp\)$"),
        ({"derivative": lambda self, v, xp: v}, {}, r"^Made: derivative takes no self before xp: write def derivative\(v, xp\)$"),
        (
            {"derivative": classmethod(bare)},
            {},
            r"^Made: derivative must be a plain function or a staticmethod, got a class",
        ),
        ({"derivative": 3.0}, {}, r"^Made: derivative must be a plain function or a staticmethod, got a float$"),
        ({"derivative": h, "width": None}, {"width": float}, r"^Made: width must be a real number, got None"),
        ({"derivative": h, "width": True}, {"width": float}, r"^Made: width must be a real number, got True"),
        ({"derivative": h, "width": 1.5}, {"width": int}, r"^Made: width must be an int, a bool or a str|of type"),
        (
            {"derivative": h, "width": dataclasses.field(default_factory=float)},
            {"width": float},
            r"^Made: width has a default_factory",
        ),
    ],
)
def test_what_cannot_work_is_an_error_at_once(body: dict[str, Any], annotations: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        type("Made", (Surrogate,), {"derivative": bare, **body, "__annotations__": annotations})


def test_a_default_lies_within_its_bounds() -> None:
    body = {"derivative": h, "width": parameter(-1.0, above=0), "__annotations__": {"width": float}}
    with pytest.raises(ValueError, match=r"^Made: width must be > 0, got -1\.0$"):
        type("Made", (Surrogate,), body)
    body = {"derivative": h, "width": parameter(0, at_least=1), "__annotations__": {"width": int}}
    with pytest.raises(ValueError, match=r"^Made: width must be >= 1, got 0$"):
        type("Made", (Surrogate,), body)


def test_a_missing_default_is_named_wherever_the_class_stands_for_its_defaults() -> None:
    body = {"derivative": h, "width": parameter(above=0), "__annotations__": {"width": float}}
    made = type("Made", (Surrogate,), body)
    v = arcana.torch.torch.ones(2)
    for use in (lambda: made(), lambda: arcana.torch.spike(v, made), lambda: arcana.torch.Spike(made)):
        with pytest.raises(TypeError, match=r"^Made: width has no default and must be given$"):
            use()
    assert made(width=2.0).derivative(1.0) == 2.0


def test_a_formula_that_a_class_inherits_is_checked_with_its_fields() -> None:
    class Base(Surrogate):
        width: float = 1.0
        derivative = staticmethod(h)

    class Same(Base):
        width: float = 3.0

    assert Same().derivative(1.0) == 3.0
    with pytest.raises(TypeError, match=r"^More: derivative does not take the field height"):
        type("More", (Base,), {"height": 1.0, "__annotations__": {"height": float}})


class Bell(Surrogate):
    """A bell.

    h(v) = 1 / (1 + (v/width)²)

    Args:
        width: of the bell.

    Shapes and dtypes: any.

    >>> Bell().width
    2.0

    Reference: nobody.
    """

    width: float = parameter(2.0, above=0)

    derivative = staticmethod(h)


def test_a_function_is_documented_by_its_definition() -> None:
    function = SurrogateFunction(Bell, lambda v, surrogate: v, "somewhere", ">>> {}(v)")
    call, summary, formula_, arguments, returns, example, *others = (inspect.getdoc(function) or "").split("\n\n")
    assert call == "bell(v, *, width=2.0, gain=1.0, fires_at_threshold=True)"
    assert summary == "Return the spikes of v, whose derivative is h. A bell."
    assert formula_ == "h(v) = 1 / (1 + (v/width)²)"
    assert arguments.splitlines()[:4] == [
        "Args:",
        "    v: potential minus threshold.",
        "    width: of the bell.",
        "    gain: a factor on h, finite (default 1).",
    ]
    assert returns.startswith("Returns:\n    1 where v >= 0")
    assert example == ">>> bell(v)"
    assert others == ["Shapes and dtypes: any.", "Reference: nobody."]
    assert (repr(function), function.__module__, function.__qualname__) == (
        "<function somewhere.bell>",
        "somewhere",
        "bell",
    )
    assert (
        str(inspect.signature(function)) == "(v, *, width: 'float' = 2.0, gain: 'float' = 1.0, fires_at_threshold: 'bool' = True)"
    )


def test_a_function_of_a_definition_that_says_little() -> None:
    class Short(Surrogate):
        """A line."""

        derivative = staticmethod(bare)

    function = SurrogateFunction(Short, lambda v, surrogate: v, "somewhere", "Example")
    parts = (inspect.getdoc(function) or "").split("\n\n")
    assert [part.splitlines()[0] for part in parts] == [
        "short(v, *, gain=1.0, fires_at_threshold=True)",
        "Return the spikes of v, whose derivative is h. A line.",
        "Args:",
        "Returns:",
        "Example",
    ]
