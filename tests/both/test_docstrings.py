"""Every public name has an example in its docstring, and every example gives what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
from typing import Any

import jax
import pytest

from arcana import surrogate as definitions
from arcana.jax._compat import enable_x64
from arcana.surrogate import Surrogate, names

MODULES = ("arcana", "arcana.torch", "arcana.jax", "arcana.surrogate", "arcana.rules", "arcana.presets", "arcana.testing")
PUBLIC = [
    (module, name)
    for module in MODULES
    for name in importlib.import_module(module).__all__
    if name != "__version__" and not (module == "arcana" and name in definitions.__all__)
]


def public(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[f"{module}.{name}" for module, name in PUBLIC])
def test_examples(module: str, name: str) -> None:
    found = public(module, name)
    text = inspect.getdoc(type(found) if isinstance(found, Surrogate) else found) or ""
    # An example need not import the public names of its own module, nor the definitions.
    known = {name: public(each, name) for each in ("arcana.surrogate", module) for name in importlib.import_module(each).__all__}
    example = doctest.DocTestParser().get_doctest(text, known, f"{module}.{name}", None, None)
    assert example.examples
    # A reader has JAX as it comes.
    with enable_x64(False), jax.numpy_dtype_promotion("standard"):
        assert doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(example).failed == 0


@pytest.mark.parametrize("module", MODULES)
def test_examples_fit_the_width_of_a_page(module: str) -> None:
    documented = [public(module, name) for name in importlib.import_module(module).__all__]
    lines = [line for each in documented for line in (inspect.getdoc(each) or "").splitlines()]
    assert [line for line in lines if line.startswith((">>>", "...")) and len(line) > 92] == []


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module(module: str) -> None:
    with enable_x64(False), jax.numpy_dtype_promotion("standard"):
        assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("module", MODULES)
def test_dir_has_public_names_alone(module: str) -> None:
    loaded = importlib.import_module(module)
    assert dir(loaded) == sorted(loaded.__all__)


@pytest.mark.parametrize("module", ["arcana.torch", "arcana.jax"])
def test_help_shows_the_call_what_comes_back_and_the_parameters(module: str) -> None:
    for name in names():
        text = inspect.getdoc(public(module, name)) or ""
        definition = type(public("arcana.surrogate", name))
        assert text.startswith(f"{name}(v, *, ")
        assert "Return the spikes of v" in text
        assert "Returns:" in text
        for parameter in ("v", *definition.parameter_names()):
            assert f"\n    {parameter}: " in text
        for part in (inspect.getdoc(definition) or "").split("\n\n"):
            assert part.startswith((">>>", "Args:")) or part in text
