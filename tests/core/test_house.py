"""The layout: who imports what, the maps of the packages, and a third backend written against the seam."""

from __future__ import annotations

import ast
import pickle
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every import every_surrogate

import arcana
from arcana import _core
from arcana._core import BACKENDS, Kept
from arcana._core.numpy import NAMESPACES
from arcana.surrogate import FastSigmoid, Rectangular, Surrogate, Triangular, get
from arcana.testing import _values, check_surrogate

PACKAGE = Path(arcana.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TWINS = ("_call", "_checks", "_compat", "_derivative", "_function", "_namespace", "_rules", "arrays", "conformance", "spikes")


def imports(path: Path) -> list[tuple[str, str]]:
    """The modules of arcana that a file imports from, and the names; of a plain import no name."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found += [(node.module or "", each.name) for each in node.names]
        elif isinstance(node, ast.Import):
            found += [(each.name, "") for each in node.names]
    return [(module, name) for module, name in found if module.partition(".")[0] == "arcana"]


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0] if path.parent != PACKAGE else path.stem.removeprefix("__init__")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_a_file_takes_from_another_package_is_public_or_in_the_seam(path: Path) -> None:
    for module, name in imports(path):
        other = module.split(".")[1] if "." in module else ""
        if other in (package_of(path), ""):
            continue
        if module == "arcana._core":
            assert name in _core.__all__, f"{name} is not in the seam"
            continue
        parts = [*module.split(".")[1:], name]
        assert not any(part.startswith("_") for part in parts), f"{module}.{name} is private to {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_go_one_way(path: Path) -> None:
    first = {"_core": 0, "surrogate": 1, "rules": 1, "torch": 2, "jax": 2}
    above = {**first, "testing": 3, "presets": 3, "demo": 4, "bench": 4, "cli": 5}
    place = package_of(path)
    for module, _ in imports(path):
        other = module.split(".")[1] if "." in module else ""
        # dispatch looks back at a backend, so that Dynamo follows it there.
        if place in above and other in above and other != place and path.name != "dispatch.py":
            assert above[other] < above[place], f"{place} imports {module}"


def test_nobody_imports_an_adapter_unasked() -> None:
    """An adapter imports the library that it is for."""
    others = [path for path in FILES if path.parent.name != "adapters"]
    assert not [path for path in others for module, name in imports(path) if "adapters" in [*module.split("."), name]]


@pytest.mark.parametrize("package", ["_core", "torch", "torch/_eager", "torch/adapters", "jax", "jax/adapters"])
def test_the_map_names_every_file_and_no_other(package: str) -> None:
    folder = PACKAGE / package
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    listed = {name for line in text.splitlines() if line.startswith("- ") for name in re.findall(r"(?:^- |; )([a-z_]+): ", line)}
    present = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert listed == present - {"__init__", "__pycache__"}


def test_the_twins_have_the_same_files() -> None:
    for backend in ("torch", "jax"):
        assert set(TWINS) <= {path.stem for path in (PACKAGE / backend).glob("*.py")}


THIRD = """
class Numbers:
    kind, noun, convert = "numpy.ndarray", "array", "numpy.asarray(v)"
    def potential(self, v): return v if isinstance(v, np.ndarray) else None
    def parameter(self, value): return value if isinstance(value, np.ndarray) else None
    def dtype(self, x): return x.dtype.name
    def is_floating(self, x): return x.dtype.kind == "f"
    def cast(self, x, dtype): return x.astype(dtype)
    def ends(self, x): return (float(x.min()), float(x.max()), "float64") if x.size else None
    def inside(self, x, low, high, dtype): return x.clip(low, high)

def spike(v, surrogate, **parameters):
    surrogate = surrogate_of(surrogate, "spike", v)
    v = checked_potential(surrogate, v, Numbers())
    formula, _ = checked_call(surrogate, v, parameters, Numbers())
    return (v >= 0 if formula.fires_at_threshold else v > 0).astype(v.dtype)

def evaluate(surrogate, which, v, **parameters):
    surrogate = surrogate_of(surrogate, "evaluate", v)
    v = checked_potential(surrogate, v, Numbers())
    formula, values = checked_call(surrogate, v, parameters, Numbers())
    xp = NAMESPACES["float64" if v.dtype == np.float64 else "float32"]
    number = xp.number(0).dtype.type
    rounded = formula.definition.rounded
    values = {key: number(rounded(key, x, number.__name__)) if type(x) is float else x for key, x in values.items()}
    with np.errstate(all="ignore"):
        return np.broadcast_to(formula.evaluate(which, v.astype(number), xp, values), v.shape).astype(v.dtype)
"""
"""A backend of NumPy that has spikes, as somebody would write it."""


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The third backend, with what `check_surrogate` asks for, under the name `third`."""
    backend: Any = types.ModuleType("arcana.third")
    vars(backend).update({name: getattr(_core, name) for name in _core.__all__} | {"np": np, "NAMESPACES": NAMESPACES})
    exec(THIRD, vars(backend))
    conformance: Any = types.ModuleType("arcana.third.conformance")

    def one(surrogate: Surrogate, bits: Any, cotangent: Any, dtype: str) -> tuple[Any, Any]:
        v, c = _values.to_float(bits, dtype), _values.to_float(cotangent, dtype)
        h = backend.evaluate(surrogate, "derivative", v.astype("float64" if dtype == "float64" else "float32"))
        return _values.from_float(backend.spike(v, surrogate), dtype), _values.from_float(c * h, dtype)

    conformance.MODES = ("plain",)
    conformance.FIRST = conformance.SECOND = conformance.PARAMETER = conformance.NONLINEAR = ()
    conformance.spikes_and_gradients = lambda cases, mode: [one(*case) for case in cases]
    monkeypatch.setitem(sys.modules, "arcana.third", backend)
    monkeypatch.setitem(sys.modules, "arcana.third.conformance", conformance)
    monkeypatch.setitem(BACKENDS, "third", "arcana.third")
    return backend


def test_a_third_backend_is_under_forty_lines() -> None:
    assert len(THIRD.splitlines()) < 40


@pytest.mark.parametrize("surrogate", [FastSigmoid(), Rectangular(), Triangular(fires_at_threshold=False)], ids=repr)
def test_a_third_backend_passes_the_rows_that_need_no_transform(surrogate: Surrogate, third: Any) -> None:
    report = check_surrogate(surrogate, backends=["third"])
    assert sum(row.where == "third plain" for row in report.rows) >= 12


def test_a_third_backend_says_what_the_others_say(third: Any) -> None:
    v = np.ones(3)
    with pytest.raises(ValueError, match=r"^FastSigmoid: scale must be > 0, got -1\.0$"):
        third.spike(v, FastSigmoid(), scale=-1.0)
    with pytest.raises(ValueError, match=r"^FastSigmoid: scale must broadcast to v's shape \(3,\), got shape \(2,\)$"):
        third.spike(v, FastSigmoid, scale=np.ones(2))
    with pytest.raises(TypeError, match=r"^FastSigmoid: v must be a numpy\.ndarray, got builtins\.list"):
        third.spike([1.0], FastSigmoid())


def test_an_array_goes_to_the_backend_that_its_class_names(third: Any) -> None:
    kind = type("ThirdArray", (np.ndarray,), {"__module__": "third.arrays"})
    v = np.array([-1.0, 0.0, 1.0]).view(kind)
    np.testing.assert_array_equal(np.asarray(FastSigmoid()(v)), [0, 1, 1])


def test_a_module_of_ours_is_no_backend_because_of_its_name() -> None:
    """An object of a user's module `cli` imported all of arcana.cli."""
    for name in ("cli", "demo", "surrogate", "torch_extras"):
        thing = type("Thing", (), {"__module__": name})()
        with pytest.raises(TypeError, match=f"got {name}.Thing"):
            FastSigmoid()(thing)


@every_surrogate
def test_equal_surrogates_have_one_formula(name: str) -> None:
    one, other = get(name).formula, get(name, gain=2.0).formula
    assert one == other
    assert hash(one) == hash(other)
    assert one != get(name, fires_at_threshold=False).formula
    assert isinstance(one.kept(get(name).numbers), Kept)
    assert pickle.loads(pickle.dumps(one)) == one
