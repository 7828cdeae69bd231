"""The command line: what each command prints, its exit status, and that a misuse is one line."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from command import arcana_command, assert_one_line

from arcana import __version__, cli
from arcana.jax._compat import enable_x64
from arcana.surrogate import get, names

Run = Callable[..., tuple[int, str, str]]

MODULE = '''
import sys

import numpy as np

from arcana.surrogate import Facts, Surrogate
from arcana.testing import Layer, Run


class Cauchy(Surrogate):
    """h(v) = 1 / (1 + (v/width)²)"""

    width: float = 1.0

    @staticmethod
    def derivative(v, xp, *, width):
        return xp.reciprocal(xp.square(v * xp.reciprocal(width)) + 1)


class Wrong(Cauchy):
    @staticmethod
    def facts(*, width):
        return Facts(peak=2.0, area=float("nan"))


narrow = Cauchy(width=0.5)
number = 3


def double(x, y):
    return {"sum": x["a"] + x["b"] * y}


def wrong(x, y):
    return {"sum": x["a"] + x["b"] * y * 1.01}


def broken(x, y):
    raise RuntimeError("no\\nluck")


def run(value=0.5):
    potentials = np.full((3, 2, 4), 0.5, np.float32)
    potentials[1, 1, 2] = value
    return Run({"hidden": Layer(potentials, potentials >= 1)})


def fired():
    return run(1.5)


def renamed():
    return Run({"lif_1": run().layers["hidden"]})


def leaves(*anything):
    sys.exit(3)


def loud(x, y):
    print("loud")
    return double(x, y)


def loud_run():
    print("loud")
    return run()


class Loud(Surrogate):
    """h(v) = 1"""

    @staticmethod
    def facts():
        return Facts(peak=1.0, area=float("inf"))

    @staticmethod
    def derivative(v, xp):
        print("loud")
        return 0 * v + 1
'''


@pytest.fixture
def arcana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, in a folder with a user's module and its data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "leaving.py").write_text("import sys; sys.exit('no')")
    (tmp_path / "empty.npz").touch()
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], object))
    np.save(tmp_path / "one.npy", np.zeros(3))
    x = np.arange(3, dtype=np.float32)
    np.savez(tmp_path / "data.npz", **{"x.a": x, "x.b": x + 1, "y": np.float32(2)})

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["arcana", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


def test_list_has_every_surrogate(arcana: Run) -> None:
    status, printed, _ = arcana("list")
    assert status == 0
    assert all(name in printed for name in names())
    plain = {each["surrogate"]: each for each in json.loads(arcana("list", "--json")[1])}
    assert set(plain) == set(names())
    assert plain["fast_sigmoid"]["parameters"]["scale"] == 10
    assert (plain["fast_sigmoid"]["peak"], plain["fast_sigmoid"]["area"], plain["ste"]["area"]) == (1, 0.2, "inf")


def test_show_has_formula_facts_reference_and_curve(arcana: Run) -> None:
    status, printed, _ = arcana("show", "triangular", "--set", "scale=0.5")
    assert status == 0
    assert printed.startswith("Triangular(scale=0.5, width=1.0)\n  h(v) = scale · max(1 − |v|/width, 0)\n  G(v) = ")
    assert "peak 0.5, area 0.5, support [-1, 1]" in printed
    assert get("triangular").reference in printed
    curve = [line[10:] for line in printed.splitlines() if "*" in line]
    # The peak is in the middle of the top line; outside the support the curve lies on zero.
    assert curve[0].strip() == "*"
    assert curve[0].index("*") == 30
    assert curve[-1].startswith("*" * 15)


def test_show_json_and_picture(arcana: Run, tmp_path: Path) -> None:
    status, printed, _ = arcana("show", "mine:narrow", "--json", "--plot", "curve.png")
    assert status == 0
    facts = json.loads(printed)
    assert facts["surrogate"] == "mine:Cauchy"
    assert facts["parameters"]["width"] == 0.5
    assert facts["formulas"] == ["h(v) = 1 / (1 + (v/width)²)"]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_check_passes_and_fails_by_its_status(arcana: Run) -> None:
    status, printed, _ = arcana("check", "mine:Cauchy", "--backend", "jax")
    assert status == 0
    assert "checks passed" in printed
    assert "FAIL" not in printed
    status, printed, _ = arcana("check", "mine:Wrong", "--backend", "jax", "--json")
    assert status == 1
    report = json.loads(printed)
    assert report["passed"] is False
    assert [row["what"] for row in report["rows"] if not row["passed"]] == ["peak"]


def test_compare_by_its_status(arcana: Run) -> None:
    status, printed, _ = arcana("compare", "mine:double", "mine:double", "--data", "data.npz")
    assert status == 0
    assert "arrays agree" in printed
    assert "∂output.sum" not in printed
    assert "∂output.sum/∂argument.0.b" in arcana("compare", "mine:double", "mine:double", "--data", "data.npz", "--all")[1]
    status, printed, _ = arcana("compare", "mine:double", "mine:wrong", "--data", "data.npz", "--json", "--no-gradients")
    assert status == 1
    found = json.loads(printed)
    assert found["verdict"] == "forward"
    assert found["outputs"][0]["absolute"]["index"] == [2]
    assert found["gradients"] == []
    assert arcana("compare", "mine:double", "mine:wrong", "--data", "data.npz", "--relative", "0.1")[0] == 0


def test_json_is_json_whatever_is_printed_and_however_large(arcana: Run) -> None:
    status, printed, error = arcana("compare", "mine:loud", "mine:loud", "--data", "data.npz", "--json")
    assert status == 0
    assert json.loads(printed)["verdict"] == "same"
    assert "loud" in error
    status, printed, error = arcana("diverge", "mine:loud_run", "mine:run", "--json")
    assert json.loads(printed)["verdict"] == "same"
    assert error.startswith("loud")
    infinite = json.loads(arcana("show", "mine:Loud", "--json")[1])
    assert (infinite["peak"], infinite["area"]) == (1, "inf")


def test_a_path_may_have_a_colon(arcana: Run, tmp_path: Path) -> None:
    potentials = np.full((3, 2, 4), 0.5, np.float32)
    np.savez(tmp_path / "a:b.npz", potentials=potentials, spikes=potentials >= 1)
    assert arcana("diverge", "a:b.npz", "a:b.npz")[0] == 0


def test_the_version_and_short_help(arcana: Run) -> None:
    assert arcana("--version") == (0, f"arcana {__version__}\n", "")
    assert arcana("-h")[0] == arcana("diverge", "-h")[0] == 0


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_list_has_whole_parameters_in_every_window(arcana: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    printed = arcana("list")[1]
    assert max(map(len, printed.splitlines())) <= width
    assert all(f"{name}={value:g}" in printed for each in map(get, names()) for name, value in each.numbers.items())
    assert ("support" in printed) == (width >= 80)


def test_runs_under_other_names_are_matched_and_that_is_shown(arcana: Run) -> None:
    status, printed, _ = arcana("diverge", "mine:run", "mine:renamed")
    assert status == 0
    assert "layer  hidden  lif_1" in printed
    found = json.loads(arcana("diverge", "mine:run", "mine:renamed", "--json")[1])
    assert found["matched"] == [{"what": "layer", "names": ["hidden", "lif_1"], "layout": "as it is"}]


def test_diverge_by_its_status(arcana: Run, tmp_path: Path) -> None:
    assert arcana("diverge", "mine:run", "mine:run")[0] == 0
    status, printed, _ = arcana("diverge", "mine:run", "mine:fired", "--plot", "difference.png")
    assert status == 1
    assert "step 1, layer 'hidden', neuron (1, 2)" in printed
    assert (tmp_path / "difference.png").read_bytes().startswith(b"\x89PNG")
    potentials = np.full((3, 2, 4), 0.5, np.float32)
    np.savez(tmp_path / "a.npz", potentials=potentials, spikes=potentials >= 1)
    status, printed, _ = arcana("diverge", "a.npz", "a.npz", "--json")
    assert (status, json.loads(printed)["verdict"]) == (0, "same")
    assert arcana("diverge", "mine:run", "mine:fired", "--threshold", "hidden=2")[0] == 1
    near = [changed.copy() for changed in (potentials, potentials)]
    near[0][1, 1, 2], near[1][1, 1, 2] = 0.999, 1.001
    for name, each in zip("ab", near, strict=True):
        np.savez(tmp_path / f"{name}.npz", potentials=each, spikes=each >= 1)
    assert arcana("diverge", "a.npz", "b.npz")[0] == 1
    assert arcana("diverge", "a.npz", "b.npz", "--dtype", "tensorfloat32")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("lst",), ("'lst'", "list")),
        (("show", "fast_sigmod"), ("unknown surrogate 'fast_sigmod'", "fast_sigmoid")),
        (("show", "atan", "--set", "slop=1"), ("no parameter 'slop'", "slope")),
        (("show", "atan", "--jsn"), ("--jsn", "--json")),
        (("show", "atan", "--plot", "no/such/folder.png"), ("--plot", "no/such/folder.png")),
        (("show", "atan", "--plot", "curve.what"), ("--plot", "what")),
        (("show", "mine:Cauchi"), ("mine has no 'Cauchi'", "Cauchy")),
        (("show", "mime:Cauchy"), ("there is no module 'mime'", "mine")),
        (("show", "mine:number"), ("mine:number is no surrogate but a int",)),
        (("show", "mine:Cauchy", "--set", "width=x"), ("'x' is not a number",)),
        (("check", "mine:"), ("expected module:name, got 'mine:'",)),
        (("compare", "mine:double", "mine:double"), ("--data",)),
        (("compare", "mine:double", "mine:double", "--data", "dta.npz"), ("there is no file 'dta.npz'", "data.npz")),
        (("compare", "mine:double", "mine:double", "--data", "mine.py"), ("mine.py is no .npz",)),
        (("compare", "mine:double", "mine:broken", "--data", "data.npz"), ("raised RuntimeError: no luck",)),
        (("compare", "mine:double", "mine:doubel", "--data", "data.npz"), ("mine has no 'doubel'", "double")),
        (("diverge", "a.npz", "mine:run"), ("there is no file 'a.npz'",)),
        (("diverge", "data.npz", "mine:run"), ("data.npz: a run has <layer>.potentials",)),
        (("diverge", "mine:run", "mine:double"), ("mine:double raised TypeError",)),
        (("diverge", "mine:leaves", "mine:run"), ("mine:leaves called sys.exit(3)",)),
        (("compare", "mine:double", "mine:leaves", "--data", "data.npz"), ("called sys.exit(3)",)),
        (("show", "leaving:Cauchy"), ("importing leaving called sys.exit('no')",)),
        (("diverge", "empty.npz", "mine:run"), ("empty.npz is no .npz of plain arrays (it is empty)",)),
        (("diverge", "pickled.npz", "mine:run"), ("pickled.npz is no .npz of plain arrays", "allow_pickle")),
        (("diverge", "one.npy", "mine:run"), ("one.npy is a single array",)),
        (("compare", "mine:double", "mine:double", "--data", "empty.npz"), ("--data: empty.npz is no .npz",)),
        (("compare", "mine:double", "mine:double", "--data", "pickled.npz"), ("pickled.npz is no .npz of plain arrays",)),
        (("compare", "mine:double", "mine:double", "--data", "one.npy"), ("--data: one.npy is a single array",)),
        (("diverge", "mine:run", "mine:run", "--same", "hidden"), ("--same takes A=B, got 'hidden'",)),
        (("diverge", "mine:run", "mine:run", "--same", "hiden=hidden"), ("there is no layer or parameter 'hiden'",)),
        (("diverge", "mine:run", "mine:run", "--threshold", "low"), ("'low' is not a number",)),
        (("diverge", "mine:run", "mine:run", "--threshold", "hiden=1"), ("no layer 'hiden'", "hidden")),
        (("diverge", "mine:fired", "mine:fired", "--threshold", "2"), ("another threshold than 2 in both runs",)),
    ],
)
def test_a_misuse_is_one_line_and_status_2(arcana: Run, arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    status, printed, error = arcana(*arguments)
    assert (status, printed) == (2, "")
    assert len(error.strip().splitlines()) == 1, error
    assert error.startswith("arcana: ")
    assert all(part in error for part in parts), error


COMMANDS = (cli.list_command, cli.show, cli.check, cli.compare, cli.diverge, cli.bench, cli.demo)
EXAMPLES = [line for each in COMMANDS for line in re.findall(r"Example: arcana (.*)", each.__doc__ or "")]
SLOW = ("demo", "bench", "check fast_sigmoid")
"""What trains, measures, or is run by other tests."""


def test_every_command_has_help_with_examples_that_fit_on_a_line(arcana: Run) -> None:
    for command in ("list", "show", "check", "compare", "diverge", "bench", "demo"):
        status, printed, _ = arcana(command, "--help")
        assert status == 0
        assert f"Example: arcana {command}" in printed
    for example in EXAMPLES:
        assert len(f" Example: arcana {example} ") <= 80


@pytest.fixture
def port(arcana: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the examples name: a surrogate, a port, what its functions get, and a recorded run of each side."""
    (tmp_path / "my_module.py").write_text(MODULE)
    shutil.copy(Path(__file__).parents[2] / "docs" / "porting" / "network.py", tmp_path / "port.py")
    monkeypatch.delenv("FAULT", raising=False)
    with enable_x64(False), jax.numpy_dtype_promotion("standard"):
        module = importlib.import_module("port")
        module.save_step()
        for name in ("torch", "jax"):
            getattr(module, f"{name}_run")().save(f"{name}.npz")
        yield
    for each in ("port", "my_module"):
        sys.modules.pop(each, None)


@pytest.mark.usefixtures("port")
@pytest.mark.parametrize("example", [each for each in EXAMPLES if not each.startswith(SLOW)])
def test_an_example_runs_as_printed(arcana: Run, example: str) -> None:
    status, printed, error = arcana(*shlex.split(example))
    assert status == 0, error
    assert printed


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.startswith("demo")])
def test_an_example_of_the_demo_names_what_there_is(example: str, arcana: Run, tmp_path: Path) -> None:
    # It trains; up to the last option, which cannot be written, it runs here.
    status, _, error = arcana(*shlex.split(example), "--output", str(tmp_path))
    assert (status, "--output: cannot write" in error) == (2, True), error


def test_a_missing_backend_and_serialiser_are_said_and_the_rest_works() -> None:
    """An installation by the extras alone has no flatbuffers, which jax.export needs."""
    process = arcana_command("check", "step", "--json", without=("torch", "flatbuffers"))
    assert process.returncode == 0, process.stderr
    assert "PyTorch is left out. arcana.torch needs PyTorch: pip install torch" in process.stderr
    report = json.loads(process.stdout)
    assert set(report["missing"]) == {"torch"}
    where = {row["where"] for row in report["rows"]}
    assert "jax jit" in where
    assert not any("torch" in each for each in where)
    left_out = [row["where"] for row in report["rows"] if row["detail"].startswith("not checked: needs flatbuffers")]
    assert left_out == ["jax export, vjp_order=1"]


@pytest.mark.parametrize("arguments", [("list",), ("show", "atan")])
def test_the_catalogue_needs_no_backend(arguments: tuple[str, ...]) -> None:
    assert arcana_command(*arguments, without=("torch", "jax")).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "without", "part"),
    [
        (("check", "atan"), ("torch", "jax"), "pip install jax"),
        (("check", "atan", "--backend", "jax"), ("jax",), "pip install jax"),
        (("show", "atan", "--plot", "a.png"), ("matplotlib",), "pip install matplotlib"),
    ],
)
def test_what_cannot_run_says_what_to_install(arguments: tuple[str, ...], without: tuple[str, ...], part: str) -> None:
    assert_one_line(arcana_command(*arguments, without=without), 2, part)
