"""What is distributed: the metadata, the wheel in environments that hold nothing else, and the sdist's own tests."""

from __future__ import annotations

import email.message
import re
import runpy
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from environments import Environment, succeed
from printed import assert_claims, blocks

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?://|#)[^)]*\)")

pytestmark = pytest.mark.slow


class Built(NamedTuple):
    sdist: Path
    wheel: Path

    def metadata(self) -> email.message.Message:
        with zipfile.ZipFile(self.wheel) as files:
            name = next(each for each in files.namelist() if each.endswith(".dist-info/METADATA"))
            return email.message_from_bytes(files.read(name))

    def requirements(self, *extras: str) -> list[str]:
        """What the wheel requires with these extras."""
        lines = self.metadata().get_all("Requires-Dist", [])
        return [line for line in lines if "extra" not in line or any(f"extra == '{extra}'" in line for extra in extras)]

    def unpack(self, folder: Path) -> Path:
        with tarfile.open(self.sdist) as files:
            files.extractall(folder, filter="data")
        return next(folder.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    succeed(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT), folder=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist, wheel)


def install(built: Built, folder: Path, extras: str = "") -> Environment:
    """Return an environment with the wheel, and what its extras require."""
    lent = [line.partition(";")[0] for line in built.requirements(*extras.split(","))]
    environment = Environment(folder / "environment", lent)
    # pip looks for what is required too, and there is no index.
    environment.pip("install", "-q", "--no-index", f"{built.wheel}[{extras}]" if extras else str(built.wheel))
    imported = environment.run("python", "-c", "import arcana; print(arcana.__file__)", folder=folder).stdout
    assert Path(imported).is_relative_to(environment.packages), imported
    return environment


@pytest.fixture(scope="module")
def complete(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with all extras, so both frameworks, and no library of the tests."""
    return install(built, tmp_path_factory.mktemp("complete"), "all")


def test_the_index_takes_both(built: Built) -> None:
    succeed(sys.executable, "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel))


def test_metadata(built: Built) -> None:
    told = built.metadata()
    assert told["Name"] == "arcana-surrogates"
    assert told["License-Expression"] == "Apache-2.0"
    assert told["License-File"] == "LICENSE"
    assert told["Description-Content-Type"] == "text/markdown"
    assert "surrogate gradient" in told["Keywords"]
    assert told["Author"]
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 15)} <= set(told.get_all("Classifier", []))
    assert set(told.get_all("Provides-Extra", [])) == {"torch", "jax", "cli", "demo", "all"}
    every = {line.partition(";")[0] for line in built.requirements("torch", "jax", "cli", "demo")}
    assert {line.partition(";")[0] for line in built.requirements("all")} == every


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("arcana/**/*.py")}
    with zipfile.ZipFile(built.wheel) as files:
        names = set(files.namelist())
    information = {name for name in names if name.startswith(f"arcana_surrogates-{built.metadata()['Version']}.dist-info/")}
    assert names - information == modules | {"arcana/py.typed"}
    assert any(name.endswith("/licenses/LICENSE") for name in information)


def test_what_the_pages_say_to_install_exists(built: Built) -> None:
    extras = set(built.metadata().get_all("Provides-Extra", []))
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("arcana/**/*.py")):
        text = page.read_text()
        assert set(re.findall(r"arcana-surrogates\[(\w+)\]", text)) <= extras, page
        assert not re.search(r"pip install( -\S+)* ['\"]?arcana(?!-surrogates)\b", text), page


def test_the_description_links_to_no_file(built: Built) -> None:
    description = str(built.metadata().get_payload())
    assert LINK.search((ROOT / "README.md").read_text())
    assert not LINK.search(description)
    assert blocks(description) == blocks((ROOT / "README.md").read_text())


def test_the_description_links_to_the_repository_where_it_has_an_address(tmp_path: Path) -> None:
    hook = runpy.run_path(str(ROOT / "docs" / "description.py"))["Description"](str(tmp_path), {})
    page = "![a\npicture](docs/a.svg)\n\n[page](docs/b.md), [paper](https://example.org/p), [above](#top)\n"
    (tmp_path / "README.md").write_text(page)
    with_address: dict[str, Any] = {"urls": {"Source": "https://example.org/r/"}}
    hook.update(with_address)
    assert with_address["readme"]["text"] == (
        "![a\npicture](https://example.org/r/raw/HEAD/docs/a.svg)\n\n"
        "[page](https://example.org/r/blob/HEAD/docs/b.md), [paper](https://example.org/p), [above](#top)\n"
    )
    without: dict[str, Any] = {}
    hook.update(without)
    assert without["readme"]["text"] == "page, [paper](https://example.org/p), [above](#top)\n"


def test_snippets_of_the_readme_run_from_the_wheel(built: Built, complete: Environment, tmp_path: Path) -> None:
    snippets = blocks(str(built.metadata().get_payload()))
    assert len(snippets) >= 2
    for snippet in snippets:
        process = complete.run("python", "-c", snippet, folder=tmp_path)
        assert process.returncode == 0, process.stderr
        assert_claims(snippet, process.stdout)


def test_the_demo_runs_from_the_wheel(complete: Environment, tmp_path: Path) -> None:
    process = complete.run("arcana", "demo", "--epochs", "1", folder=tmp_path)
    assert process.returncode == 0, process.stderr
    assert "PyTorch" in process.stdout
    assert "JAX" in process.stdout
    assert "left out" not in process.stderr
    assert (tmp_path / "arcana-demo.png").exists()


def test_without_anything_else_each_message_says_what_to_install(built: Built, tmp_path: Path) -> None:
    environment = install(built, tmp_path)
    process = environment.run("python", "-c", "import arcana; print(arcana.fast_sigmoid.derivative(0.0))", folder=tmp_path)
    assert process.stdout == "1.0\n", process.stderr
    for framework in ("torch", "jax"):
        process = environment.run("python", "-c", f"import arcana.{framework}", folder=tmp_path)
        assert process.stderr.endswith(f": pip install {framework}\n")
    process = environment.run("arcana", "list", folder=tmp_path)
    assert (process.returncode, process.stderr) == (1, "arcana: the command needs typer and rich: pip install typer rich\n")


def test_without_a_framework_the_command_says_what_to_install(built: Built, tmp_path: Path) -> None:
    environment = install(built, tmp_path, "cli")
    assert "fast_sigmoid" in environment.run("arcana", "list", folder=tmp_path).stdout
    for command, missing in (
        ("check atan --backend torch", "torch"),
        ("check atan --backend jax", "jax"),
        ("bench elementwise --framework torch", "torch"),
        ("demo", "scikit-learn"),
    ):
        process = environment.run("arcana", *command.split(), folder=tmp_path)
        assert process.returncode in (1, 2)
        assert len(process.stderr.splitlines()) == 1, process.stderr
        assert process.stderr.endswith(f": pip install {missing}\n"), process.stderr


def test_an_installation_from_a_path_with_spaces_is_removed_whole(built: Built, tmp_path: Path) -> None:
    source = built.unpack(tmp_path / "a folder")
    environment = Environment(tmp_path / "an environment", ["numpy", "hatchling"])
    before = set(environment.folder.rglob("*"))
    environment.pip("install", "-q", "--no-index", "--no-build-isolation", str(source))
    assert environment.run("python", "-m", "arcana", folder=tmp_path).stderr.endswith("pip install typer rich\n")
    environment.pip("uninstall", "-q", "-y", "arcana-surrogates")
    assert set(environment.folder.rglob("*")) == before


def test_the_tests_of_the_sdist_run_from_it(built: Built, tmp_path: Path) -> None:
    source = built.unpack(tmp_path / "sdist")
    variables = {"PYTHONPATH": str(source)}
    imported = succeed(sys.executable, "-c", "import arcana; print(arcana.__file__)", folder=tmp_path, **variables)
    assert Path(imported).is_relative_to(source), imported
    run_tests = (sys.executable, "-m", "pytest", "-q", "-n", "0")
    # The other surrogates' rows of the numbers take a minute and read no further file.
    printed = succeed(*run_tests, "tests/core", "-k", "fast_sigmoid or not test_definitions", folder=source, **variables)
    assert re.search(r"\b[1-9]\d{2,} passed", printed)
    succeed(*run_tests, "--collect-only", "tests", folder=source, **variables)
