"""Sessions: what CI runs, each in a fresh environment pinned by constraints.txt, save `oldest` and `newest`.

A session installs what its name says and no more: `tests_torch` has no JAX and `tests_jax` no torch. Each says which
backends it expects, so that a missing one fails instead of being skipped.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["tests", "tests_torch", "tests_jax", "distribution", "gpu_script", "lint", "types", "docs"]

GROUPS = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str, extras: str = "", constraints: str | None = "constraints.txt") -> None:
    """Arcana with its extras if there are any, and dependency groups, at the versions of a file of constraints."""
    package = ["-e", f".[{extras}]"] if extras else []
    pinned = ["-c", constraints] if constraints else []
    session.install(*pinned, *package, *nox.project.dependency_groups(GROUPS, *groups))


def pytest(session: nox.Session, backends: str, *folders: str) -> None:
    """The tests on two workers; conftest.py fails a session whose expected backend cannot be imported."""
    session.run("pytest", "-n", "2", *folders, *session.posargs, env={"ARCANA_TEST_BACKENDS": backends})


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, with both backends."""
    install(session, "test", "test-jax", "test-node", extras="all")
    pytest(session, "torch,jax", "tests")


@nox.session
def tests_torch(session: nox.Session) -> None:
    """The core's and torch's tests, without JAX."""
    install(session, "test", extras="torch")
    pytest(session, "torch", "tests/core", "tests/torch")


@nox.session
def tests_jax(session: nox.Session) -> None:
    """The core's and JAX's tests, without torch."""
    install(session, "test", "test-jax", extras="jax")
    pytest(session, "jax", "tests/core", "tests/jax")


@nox.session(python="3.11", default=False)
def oldest(session: nox.Session) -> None:
    """The tests on the oldest versions that are supported; on Linux it downloads the CUDA libraries of torch's wheel, 3 GB."""
    install(session, "test", "test-jax", extras="torch,jax", constraints="tests/oldest.txt")
    tests_of_versions(session)


@nox.session(python="3.13", default=False)
def newest(session: nox.Session) -> None:
    """The tests on the newest versions there are; JAX 0.11 and later need Python 3.12. It downloads as much."""
    install(session, "test", "test-jax", extras="torch,jax", constraints=None)
    tests_of_versions(session)


def tests_of_versions(session: nox.Session) -> None:
    """The tests of each part, after the versions that they run on; those of both backends together are left out."""
    session.run("python", "tests/versions.py")
    pytest(session, "torch,jax", "tests/core", "tests/torch", "tests/jax")


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format, by ruff."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types, by pyright, against the installed frameworks."""
    install(session, "test", "test-jax", "packaging", "types", extras="all")
    session.run("pyright", "--pythonpath", f"{session.virtualenv.bin}/python", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The pages; a warning is an error. Read them at docs/_build/html/index.html."""
    install(session, "docs", "test-jax", extras="torch,jax,cli")
    session.run("python", "docs/draw.py", "--check")
    session.run("sphinx-build", "-n", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """The digits network in both frameworks."""
    install(session, extras="all")
    session.run("python", "-m", "arcana", "demo", *session.posargs)


@nox.session(default=False)
def exhaustive(session: nox.Session) -> None:
    """Every float32 pattern through both frameworks, eager and compiled; needs a C++ compiler for torch.compile."""
    install(session, "test", extras="torch,jax,cli")
    session.run("python", "tests/exhaustive.py", *session.posargs)


@nox.session(default=False)
def accuracy(session: nox.Session) -> None:
    """The largest error of every surrogate against mpmath, eager and compiled; needs a C++ compiler for torch.compile."""
    install(session, "test", extras="torch,jax,cli")
    session.run("python", "tests/accuracy.py", *session.posargs)


@nox.session(default=False)
def verdicts(session: nox.Session) -> None:
    """How often verdicts and causes are right, over 20 seeds: in both frameworks and in twelve networks of NumPy; 20 minutes."""
    install(session, extras="all")
    session.run("python", "tests/helpers/verdicts.py", *session.posargs)
    session.run("python", "tests/helpers/rates.py", *session.posargs)


@nox.session(default=False)
def peers(session: nox.Session) -> None:
    """The presets and their frozen values against the libraries they are named after; a missing library is an error."""
    install(session, "test", "peers", extras="torch,jax")
    session.run("pytest", "-n", "2", "tests/peers", *session.posargs, env={"ARCANA_TEST_PEERS": "1"})
    session.run("python", "tests/peers/freeze.py", "--check")
    session.run("python", "tests/peers/table.py")


@nox.session(default=False)
def frameworks(session: nox.Session) -> None:
    """A network trained in every framework and library that has a way in, and docs/frameworks.md; a missing one is an error."""
    install(session, "test", "frameworks", extras="torch,jax")
    rows = Path(session.create_tmp()) / "rows.json"
    session.run("pytest", "tests/frameworks", *session.posargs, env={"ARCANA_TEST_FRAMEWORKS": str(rows)})
    session.run("python", "tests/frameworks/table.py", str(rows), "--write", "docs/frameworks.md")


@nox.session(default=False)
def distributed(session: nox.Session) -> None:
    """Several processes and several devices of this machine's CPU, every surrogate, and docs/devices.md; ten minutes."""
    install(session, "test", "test-jax", extras="torch,jax,demo")
    found = Path(session.create_tmp()) / "found.json"
    # The first test that asks runs all of a program.
    session.run("pytest", "--timeout=1800", "tests/distributed", *session.posargs, env={"ARCANA_TEST_DISTRIBUTED": str(found)})
    session.run("python", "tests/distributed/table.py", str(found), "--write", "docs/devices.md")


@nox.session(default=False)
def mutations(session: nox.Session) -> None:
    """Small faults put into Arcana one at a time, and whether a test notices; `-- --modules arcana/jax --count 40 --seed 1`."""
    install(session, "test", "test-jax", "test-node", "mutations", extras="all")
    session.run("python", "tests/mutations.py", *session.posargs, env={"ARCANA_TEST_BACKENDS": "torch,jax"})


@nox.session(default=False)
def triton(session: nox.Session) -> None:
    """What Triton's compiler makes of the kernels for a GPU, which need not be there; Linux only."""
    install(session, "test", extras="torch")
    session.install("triton==3.6.0")
    session.run(
        "pytest", "-n", "2", "tests/triton", *session.posargs, env={"ARCANA_TEST_BACKENDS": "torch", "ARCANA_TEST_TRITON": "1"}
    )


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Numbers, transforms, kernels and times on this machine's GPU, with the frameworks that are installed here; six minutes."""
    session.run("python3", "tests/gpu/run.py", *session.posargs, external=True)


COMPILED = [f"--surrogate={name}" for name in ("fast_sigmoid", "rectangular", "sigmoid")]
"""One of each family of formulas; compiling all in PyTorch, at four sizes each, takes hours."""

BENCH = (
    ["elementwise"],
    ["elementwise", "--mode=compiled", "--framework=jax"],
    ["elementwise", "--mode=compiled", "--framework=torch", *COMPILED],
    ["elementwise", "--mode=kernels", "--sizes=1048576,16777216"],
    ["memory"],
    ["layer", "--mode=both"],
)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time and memory beside every library, and docs/speed.csv; needs a C++ compiler, and a machine that does nothing else."""
    install(session, "peers", extras="torch,jax,cli")
    folder = Path(session.create_tmp())
    files = [folder / f"{i}.json" for i, _ in enumerate(BENCH)]
    for file, arguments in zip(files, BENCH, strict=True):
        with file.open("w") as output:
            session.run("python", "-m", "arcana", "bench", *arguments, "--json", *session.posargs, stdout=output)
    session.run("python", "tests/bench/page.py", *map(str, files))
    session.run("python", "tests/bench/imports.py")
