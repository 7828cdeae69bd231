"""Every console block of docs/porting.md is run, and prints the lines that the page shows, in order; so does its recipe."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from pathlib import Path

import jax
import pytest
from printed import run as run_as_printed

from arcana import cli
from arcana.jax._compat import enable_x64

FOLDER = Path(__file__).parents[2] / "docs"
BLOCKS = re.findall(r"```console\n\$ (.*?)\n(.*?)```", (FOLDER / "porting.md").read_text(), re.DOTALL)


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """`FAULT=leak arcana diverge …` in this process, with JAX as a reader has it."""
    fault, arguments = re.fullmatch(r"(?:FAULT=(\w+) )?arcana (.*)", command).groups()
    monkeypatch.setenv("FAULT", fault or "")
    monkeypatch.setattr(sys, "argv", ["arcana", *shlex.split(arguments)])
    monkeypatch.syspath_prepend(FOLDER / "porting")
    monkeypatch.delitem(sys.modules, "network", raising=False)
    with enable_x64(False), jax.numpy_dtype_promotion("standard"):
        importlib.import_module("network").save_step()
        with pytest.raises(SystemExit) as left:
            cli.main()
    return int(left.value.code or 0)


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=[command.partition(" ")[0] for command, _ in BLOCKS])
def test_block(
    command: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    status = run(command, monkeypatch)
    printed = capsys.readouterr().out
    place = 0
    for line in shown.splitlines():
        assert line in printed[place:], printed
        place += printed[place:].index(line) + len(line)
    assert status == int("FAULT" in command)


def test_the_recipe_names_the_leak() -> None:
    recipe = FOLDER / "porting" / "recipe.py"
    assert "print(found.verdict)  # leak\n" in recipe.read_text()
    with enable_x64(False), jax.numpy_dtype_promotion("standard"):
        run_as_printed(recipe, recipe.read_text())


def test_every_planted_fault_is_on_the_page() -> None:
    program = (FOLDER / "porting" / "network.py").read_text()
    planted = set(re.findall(r'FAULT [!=]= "(\w+)"', program))
    assert planted == {command.partition(" ")[0].removeprefix("FAULT=") for command, _ in BLOCKS if "FAULT" in command}
    assert len(planted) == 8
