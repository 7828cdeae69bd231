"""Every Python block of the README and the docs runs as printed, and prints what its comments say."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from every import every_surrogate
from known_values import KNOWN
from pages import accuracy, catalogue, docstrings, libraries, reference, signatures, speed
from printed import blocks, run

import arcana
from arcana import presets, surrogate as definitions
from arcana._core import FUNCTIONS
from arcana.jax._compat import enable_x64
from arcana.surrogate import Surrogate, get, names
from arcana.testing import Run

ROOT = Path(__file__).parents[2]
LIBRARIES = {
    ROOT / "docs" / "use" / f"{name}.md"
    for name in ("brainstate", "norse", "rockpool", "sinabs", "snntorch", "spikingjelly", "spyx")
}
"""The pages whose blocks `tests/frameworks` runs, where these libraries are."""
GENERATED = (ROOT / "docs" / "api", ROOT / "docs" / "catalogue", ROOT / "docs" / "_build")
FILES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if not any(map(path.is_relative_to, GENERATED))]
PAGES = [ROOT / "README.md", *(path for path in FILES if path not in LIBRARIES)]
BLOCKS = [(page, block) for page in PAGES for block in blocks(page.read_text(encoding="utf-8"))]

WIDTH = 92
"""Columns of code beside a page's margins, at 1400 pixels."""


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[f"{page.name}-{i}" for i, (page, _) in enumerate(BLOCKS)])
def test_block(page: Path, block: str) -> None:
    with as_it_comes():
        run(page, block)


def test_code_fits_the_width_of_a_page() -> None:
    pages = [(page, block) for page in FILES for block in blocks(page.read_text(encoding="utf-8"))]
    assert [(page.name, line) for page, block in pages for line in block.splitlines() if len(line) > WIDTH] == []


@every_surrogate
def test_blocks_of_the_catalogue(name: str) -> None:
    with as_it_comes():
        written = blocks(catalogue.calls(get(name)))
        assert len(written) == 2
        for block in written:
            assert block.count("  # ") == 2
            run(Path(name), block)


@every_surrogate
def test_a_page_of_the_catalogue_says_what_the_docstring_says(name: str) -> None:
    surrogate, said = get(name), docstrings.parts(get(name))
    text, words = catalogue.page(surrogate), " ".join((inspect.getdoc(type(surrogate)) or "").split())
    assert set(said.formulas) == {"h(v)", "G(v)"}
    for part in (said.summary, *said.formulas.values(), *said.remarks, *said.facts):
        assert part in words
        shown = part.partition(": ")[2] if part.startswith(("Peak: ", "Area: ", "Support: ")) else part
        assert shown in text.replace("\\.", ".")
    assert said.facts[0].startswith("Peak: ")
    assert any(fact.startswith("Area: ") for fact in said.facts)
    assert any(fact.startswith("Support: ") for fact in said.facts)
    for number in re.findall(r"arXiv:\d{4}\.\d{5}|doi:10\.\S+(?<![,.;])", surrogate.reference):
        assert f"[{number}](https://" in text


def test_every_preset_has_its_line() -> None:
    tabs = libraries.tabs()
    for name in presets.names():
        assert tabs.count(f'`presets.get("{name}")`') == 1
        assert f"`{presets.get(name)!r}`" in tabs


def test_every_preset_of_a_rule_has_its_row() -> None:
    table, tabs = libraries.rules(), libraries.tabs()
    for name in presets.rule_names():
        kind = type(presets.get_rule(name)).__name__
        assert table.count(f"| `{name}`: [`{kind}`](api/arcana.rules.{kind}.md) | x") == 1
        assert table.count(f"- `{name}`. Differs: ") == presets.describe(name).count("\nDiffers: ")
        assert tabs.count(f"`{name}`") == 1


def test_the_measured_numbers_are_of_this_catalogue() -> None:
    assert set(accuracy.errors()) <= set(names())
    assert {name: rows for name, rows in libraries.compared().items() if name not in presets.names()} == {}


def test_the_table_of_functions_has_every_function() -> None:
    table = (ROOT / "docs" / "writing-a-surrogate.md").read_text().partition("## What `xp` has")[2].partition("A number is")[0]
    first_cells = " ".join(line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `"))
    assert sorted(re.findall(r"`(\w+)", first_cells)) == list(FUNCTIONS)


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {arcana.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version = {{{arcana.__version__}}}" in (ROOT / "docs" / "cite.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", reference.MODULES)
def test_every_public_name_has_a_page(module: str) -> None:
    named, pages = reference.public(module), reference.pages()
    for name in getattr(importlib.import_module(module), "__all__", named):
        if name in named:
            assert f"api/{module}.{name}" in pages
        else:
            found = getattr(definitions, name)
            assert f"surrogate.{type(found).__name__ if isinstance(found, Surrogate) else name}" in catalogue.reference(
                found if isinstance(found, Surrogate) else found()
            )


@pytest.mark.parametrize("framework", ["nnx", "linen", "equinox"])
def test_the_page_of_a_layer_shows_what_it_is_called_with(framework: str) -> None:
    """And not what the framework makes of it, nor Sphinx's way to write a type or a factory."""
    layer = importlib.import_module(f"arcana.jax.adapters.{framework}").Spike
    written, _ = signatures.as_written(None, "class", "Spike", layer, None, "(*args, **kwargs)", "") or ("", "")
    called = [each.strip() for each in re.split(r",(?![^\[]*\])", written.strip("()")) if each != " *"]
    assert called[0] == "surrogate: AnySurrogate"
    assert [each.partition(":")[0] for each in called[1:]] == ["threshold", "learnable", "shape", "dtype", "rule"]
    assert called[4] == "dtype: Any=jnp.float32"
    run = signatures.as_written(None, "class", "Run", Run, None, "(layers, parameters=<factory>)", "")
    assert run is not None
    assert "parameters: Mapping[str, Array]=dict()" in run[0]
    assert signatures.as_written(None, "class", "FastSigmoid", definitions.FastSigmoid, None, "(scale: float = 10.0)", "") is None


@contextlib.contextmanager
def as_it_comes() -> Iterator[None]:
    """Set JAX as a reader has it: float32, and promotion between dtypes."""
    with enable_x64(False), jax.numpy_dtype_promotion("standard"):
        yield


def test_there_are_blocks_in_both_frameworks() -> None:
    readme = [block for page, block in BLOCKS if page.name == "README.md"]
    assert any("import torch" in block for block in readme)
    assert any("import jax" in block for block in readme)


def test_the_tables_of_the_gpu_page_are_those_of_its_results() -> None:
    command = [sys.executable, "tests/gpu/run.py", "--table", "docs/gpu.json"]
    tables = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(tables) > 5000
    assert (ROOT / "docs" / "gpu.md").read_text().partition("## Tables\n\n")[2] == tables


def test_the_pages_say_of_the_surrogates_what_the_definitions_give() -> None:
    """What `python docs/draw.py` writes: the pictures and the README's counts."""
    process = subprocess.run([sys.executable, ROOT / "docs" / "draw.py", "--check"], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr


def test_the_readme_counts_the_surrogates_whose_bits_are_the_same() -> None:
    counted = re.search(r"\((\d+) of the\s(\d+)\)", (ROOT / "README.md").read_text())
    assert counted
    assert counted.groups() == (str(sum(known.bits for known in KNOWN.values())), str(len(KNOWN)))


def test_the_readme_has_the_measured_times_of_a_layer() -> None:
    ratios: dict[bool, list[float]] = {True: [], False: []}
    for cell in speed.cells("layer", "forward + backward"):
        if cell.of_library:
            ratios[(cell.framework, cell.mode) == ("torch", "eager")].append(cell.ratio)
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for found in ratios.values():
        assert speed.span(found) in readme
