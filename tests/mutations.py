"""Small faults put into Arcana one at a time, and whether a test notices: `python tests/mutations.py`, or `nox -s mutations`.

A sample, since all of them would take days: the seed, the modules and their number are arguments, and the same arguments give
the same faults. The tests that are not slow run once, and coverage.py notes which of them ran which line. Then each fault is put
into a copy of the tree, where first those tests run that ran its line, and then those that guard the module, until one fails:
what is cached is computed in the first test alone. What no test notices is printed as alive, unless
`EQUIVALENT` says why nothing could.
"""

from __future__ import annotations

import argparse
import ast
import collections
import dataclasses
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import coverage

ROOT = Path(__file__).parents[1]

GUARDS: dict[str, list[str]] = {
    "arcana/presets": ["tests/core/test_frozen_peers.py tests/core/test_presets.py"],
    "arcana/rules.py": ["tests/core/test_rules.py tests/both/test_rules.py", "tests/torch/test_rules.py tests/jax/test_rules.py"],
    "arcana/_core": [
        "tests/core/test_definitions.py tests/core/test_creation.py tests/core/test_house.py",
        "tests/core",
        "tests/both/test_messages.py tests/both/test_formulas.py tests/torch/test_programs.py tests/torch/test_calls.py",
        "tests/jax/test_namespace.py tests/jax/test_calls.py tests/jax/test_arguments.py",
        "tests/torch/test_transforms.py tests/torch/test_kernels.py tests/torch/test_ways_of_calling.py",
        "tests/both/test_backends.py tests/jax/test_transforms.py",
    ],
    "arcana/surrogate": [
        "tests/core/test_definitions.py",
        "tests/core",
        "tests/torch/test_programs.py tests/torch/test_calls.py",
        "tests/jax/test_namespace.py tests/jax/test_calls.py",
        "tests/torch/test_transforms.py tests/torch/test_kernels.py",
        "tests/both/test_backends.py tests/jax/test_transforms.py",
    ],
    "arcana/testing": [
        "tests/core/test_laws.py tests/core/test_evidence.py tests/core/test_run_causes.py tests/core/test_matching.py",
        "tests/core/test_sides.py tests/core/test_identified.py tests/core/test_runs.py",
        "tests/core/test_jets.py tests/both/test_losses.py tests/both/test_tensorfloat.py tests/both/test_orders.py",
        "tests/both/test_definition_faults.py tests/both/test_plot.py",
        "tests/both/test_compare.py tests/both/test_compare_causes.py tests/both/test_divergence.py tests/both/test_recording.py",
        "tests/both/test_rates.py tests/both/test_porting.py",
        "tests/both/test_backends.py tests/both/test_cli.py",
        "tests/torch/test_calls.py tests/jax/test_calls.py -k conformance",
    ],
    "arcana/torch/adapters": ["tests/torch/test_adapters.py"],
    "arcana/torch/spikes.py": [
        "tests/torch/test_watched.py tests/both/test_recording.py",
        "tests/both/test_compare_causes.py",
    ],
    "arcana/torch/conformance.py": ["tests/torch/test_transforms.py", "tests/torch/test_calls.py -k conformance"],
    "arcana/torch": [
        "tests/torch/test_programs.py tests/torch/test_spike.py tests/torch/test_formulas.py -m 'not slow'",
        "tests/torch/test_far_potentials.py tests/torch/test_surroundings.py tests/torch/test_lifetimes.py",
        "tests/torch/test_kernels.py tests/torch/test_ways_of_calling.py -m 'not slow'",
        "tests/torch/test_transforms.py tests/torch/test_calls.py -m 'not slow'",
        "tests/both/test_formulas.py tests/both/test_second_order.py tests/both/test_messages.py",
        "tests/torch tests/both/test_backends.py",
    ],
    "arcana/jax/adapters": ["tests/both/test_layers.py", "tests/jax/test_pallas.py tests/jax/test_exports.py"],
    "arcana/jax/arrays.py": ["tests/both/test_compare.py tests/both/test_losses.py"],
    "arcana/jax/spikes.py": ["tests/both/test_recording.py tests/both/test_compare_causes.py"],
    "arcana/jax/conformance.py": ["tests/jax/test_transforms.py", "tests/jax/test_calls.py -k conformance"],
    "arcana/jax": [
        "tests/jax/test_namespace.py tests/jax/test_rule.py tests/jax/test_arguments.py",
        "tests/jax/test_speed.py tests/jax/test_calls.py",
        "tests/jax/test_transforms.py",
        "tests/jax tests/both/test_second_order.py tests/both/test_backends.py",
    ],
}
"""By module or package the tests that guard it, the quickest first; the longest name that fits counts."""

EQUIVALENT: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "equivalent.json").read_text(encoding="utf-8"))
"""Faults that change nothing that anybody could see: by file and by the line with the fault, and why."""

PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """One change of one file: the bytes from `start` to `end` become `new`."""

    path: str
    kind: str
    line: int
    start: int
    end: int
    new: str

    def source(self, root: Path) -> tuple[bytes, bytes]:
        """The file as it is and with the fault."""
        old = (root / self.path).read_bytes()
        return old, old[: self.start] + self.new.encode() + old[self.end :]

    def text(self, root: Path) -> tuple[str, str]:
        """The line as it is and with the fault."""
        old, new = (each.decode().splitlines()[self.line - 1].strip() for each in self.source(root))
        return old, new


def faults(path: str) -> list[Fault]:
    """Every fault of a module, in the order of its text."""
    source = (ROOT / path).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tree = ast.parse(source)
    found = []
    for node, kind, new in _changes(tree):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        found.append(Fault(path, kind, node.lineno, start, end, new))
    return sorted(found, key=lambda fault: (fault.start, fault.kind))


def _changes(tree: ast.Module) -> Iterator[tuple[ast.expr | ast.stmt, str, str]]:
    for node in _code(tree):
        match node:
            case ast.Constant(value=bool()):
                yield node, "True for False", repr(not node.value)
            case ast.Constant(value=int() | float()):
                yield (
                    node,
                    "another number",
                    repr(node.value + 1 if isinstance(node.value, int) or not node.value else 1.01 * node.value),
                )
            case ast.Compare(ops=[operator, *_]) if type(operator) in COMPARISONS:
                other = ast.Compare(node.left, [COMPARISONS[type(operator)](), *node.ops[1:]], node.comparators)
                yield node, "another comparison", _bracketed(other)
            case ast.BinOp(op=operator) if type(operator) in OPERATORS and not _is_text(node):
                yield node, "another operator", _bracketed(ast.BinOp(node.left, OPERATORS[type(operator)](), node.right))
            case ast.UnaryOp(op=ast.USub() | ast.Not()):
                yield node, "no sign or not", _bracketed(node.operand)
            case ast.BoolOp():
                other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
                yield node, "or for and", _bracketed(ast.BoolOp(other, node.values))
            case ast.IfExp():
                yield node, "the other branch", _bracketed(ast.IfExp(node.test, node.orelse, node.body))
            case ast.If() | ast.While():
                yield node.test, "the other branch", f"not {_bracketed(node.test)}"
            case ast.Expr(value=ast.Call()):
                yield node, "no call", "pass"
            # A float64 of NumPy is a float already.
            case ast.Call(func=ast.Name(id="float")):
                pass
            # Without its call a starred argument is no expression.
            case ast.Call(args=[ast.Starred()]):
                pass
            case ast.Call(args=[argument], keywords=[]) if isinstance(node.func, ast.Attribute | ast.Name):
                yield node, "no call", _bracketed(argument)
            case _:
                pass


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that does something: no annotation, no text of an error, no decorator."""
    yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params") or isinstance(node, ast.JoinedStr | ast.Raise):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_left_out(child):
                yield from _code(child)


def _is_left_out(node: ast.AST) -> bool:
    """What is for a type checker alone, what `__all__` and the text of an error hold, and the guard of a zip of equal parts."""
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.Assign):
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "TypeVar":
            return True
        return any(isinstance(target, ast.Name) and target.id in ("__all__", "msg") for target in node.targets)
    return False


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(x, ast.JoinedStr) or (isinstance(x, ast.Constant) and isinstance(x.value, str)) for x in ast.walk(node))


def _bracketed(node: ast.expr) -> str:
    return f"({ast.unparse(node)})"


def guards(path: str) -> list[str]:
    """The tests that guard a module, the quickest first."""
    fitting = [name for name in GUARDS if path == name or path.startswith(f"{name}/")]
    return GUARDS[max(fitting, key=len)] if fitting else []


def copied(folder: Path) -> None:
    """The tree as it lies there, without what is hidden or built."""
    shutil.copytree(ROOT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "_build", "*.egg-info"))


def traced(folder: Path, file: Path) -> None:
    """Run the tests that are not slow in a copy of the tree, and write which of them ran which line."""
    (folder / "coverage.ini").write_text(f"[run]\nsource = arcana\nrelative_files = True\ndata_file = {file}\n")
    options = ["--cov=arcana", "--cov-context=test", "--cov-config=coverage.ini", "--cov-report="]
    run = subprocess.run([*PYTEST, "-n", "2", "-m", "not slow", *options, "tests"], cwd=folder, env=surroundings(folder))
    if run.returncode:
        sys.exit("What fails without a fault would catch everything.")


def runners(file: Path) -> dict[str, dict[int, list[str]]]:
    """By file and line the tests that ran it, at most 150: one of each function, then the rest, each from the narrowest on."""
    data = coverage.CoverageData(str(file))
    data.read()
    contexts = {measured: data.contexts_by_lineno(measured) for measured in data.measured_files()}
    breadth = collections.Counter(test for lines in contexts.values() for tests in lines.values() for test in tests)
    del breadth[""]
    found: dict[str, dict[int, list[str]]] = {}
    for measured, lines in contexts.items():
        found[measured] = {}
        for line, tests in lines.items():
            ids = [test.rpartition("|")[0] for test in sorted(breadth.keys() & tests, key=lambda test: (breadth[test], test))]
            functions: dict[str, str] = {}
            for test in ids:
                functions.setdefault(test.partition("[")[0], test)
            found[measured][line] = list(dict.fromkeys([*functions.values(), *ids]))[:150]
    return found


def surroundings(folder: Path) -> dict[str, str]:
    # A file of the same size and second would be read from its old bytecode.
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def failing(folder: Path, groups: Iterable[Sequence[str]], limit: int) -> str:
    """The first failure of some groups of tests in a copy of the tree; empty where all pass. The limit is seconds of CPU."""
    for tests in groups:
        command = ["bash", "-c", f'ulimit -t {limit}; exec "$@"', "bash", *PYTEST, "-x", *tests]
        run = subprocess.run(command, cwd=folder, env=surroundings(folder), capture_output=True, text=True)
        if run.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return f"no end within {limit} s of CPU"
        if run.returncode:
            lines = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "SUBFAILED"))]
            return lines[0] if lines else (run.stdout + run.stderr).strip().splitlines()[-1]
    return ""


def sample(modules: Sequence[str], count: int, seed: int) -> list[Fault]:
    """As many faults as asked for, drawn over all the modules."""
    paths = sorted(
        {
            path.relative_to(ROOT).as_posix()
            for each in modules
            for path in ([ROOT / each] if each.endswith(".py") else (ROOT / each).rglob("*.py"))
        }
    )
    every = [fault for path in paths if guards(path) for fault in faults(path)]
    return sorted(random.Random(seed).sample(every, min(count, len(every))), key=lambda fault: (fault.path, fault.start))


def main() -> None:
    """Draw a sample, put each fault into a copy, and print what became of it; the exit code counts those alive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", default=",".join(GUARDS), help="files or folders, separated by commas")
    parser.add_argument("--count", type=int, default=20, help="how many faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=600, help="seconds of CPU for a group of tests; what takes longer is caught")
    parser.add_argument(
        "--traced", type=Path, help="a file that says which test ran which line; it is written if it is not there"
    )
    parser.add_argument("--list", action="store_true", help="show the sample and run nothing")
    arguments = parser.parse_args()
    chosen = sample(arguments.modules.split(","), arguments.count, arguments.seed)
    if arguments.list:
        for fault in chosen:
            print(f"{fault.path}:{fault.line}: {fault.kind}: {' -> '.join(fault.text(ROOT))}")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tree"
        copied(folder)
        file = (arguments.traced or Path(name) / "traced").absolute()
        if not file.exists():
            traced(folder, file)
        sys.exit(min(_run(folder, chosen, runners(file), arguments.limit), 100))


def _run(folder: Path, chosen: Sequence[Fault], ran: Mapping[str, Mapping[int, list[str]]], limit: int) -> int:
    counts = {"caught": 0, "alive": 0, "equivalent": 0}
    for fault in chosen:
        old, new = fault.source(ROOT)
        before, after = fault.text(ROOT)
        reason, caught = EQUIVALENT.get(fault.path, {}).get(after, ""), ""
        if not reason:
            (folder / fault.path).write_bytes(new)
            lines = ran.get(fault.path, {})
            # A line within a statement has no tests of its own.
            nearest = lines.get(max((line for line in lines if line <= fault.line), default=0))
            groups = [*([nearest] if nearest else []), *map(shlex.split, guards(fault.path))]
            caught = failing(folder, groups, limit)
            (folder / fault.path).write_bytes(old)
        verdict = "equivalent" if reason else "caught" if caught else "alive"
        counts[verdict] += 1
        print(f"{verdict:10}  {fault.path}:{fault.line}: {fault.kind}: {before}  ->  {after}  {reason or caught}", flush=True)
    proved = counts["caught"] + counts["alive"]
    print(f"{counts['caught']} of {proved} caught, {counts['equivalent']} equivalent")
    return counts["alive"]


if __name__ == "__main__":
    main()
