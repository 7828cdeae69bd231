"""The benchmark: it times only what computes the same numbers, its arithmetic is right, and its command says what is wrong.

Nothing here needs another library; `tests/peers/test_bench_peers.py` has what does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import arcana_command, assert_one_line

from arcana import surrogate as definitions
from arcana.bench import imports, memory, memory_use, report, rows, run, summary, targets
from arcana.bench.agreement import grid, relative_difference
from arcana.bench.candidates import Candidate, disagreement, field_of, is_peer
from arcana.bench.elementwise import BOTH, FORWARD, Time
from arcana.bench.imports import Import
from arcana.bench.layer import Step, numbers
from arcana.bench.libraries import LIBRARIES, evaluate
from arcana.bench.memory import Use
from arcana.bench.ratios import ratios
from arcana.bench.settings import Settings
from arcana.bench.timing import FEWEST_ROUNDS, in_turn
from arcana.surrogate import FastSigmoid, Sigmoid

OURS = FastSigmoid(scale=25.0)
every_framework = pytest.mark.parametrize("framework", ["torch", "jax"])


def spike_of(framework: str) -> Any:
    return importlib.import_module(f"arcana.{framework}").spike


@pytest.mark.parametrize("name", definitions.names())
def test_the_plain_formula_is_the_surrogate(name: str) -> None:
    """In JAX the target is against it: it must compute the same h, spikes included."""
    from arcana.bench import jax_side

    ours, bare = jax_side.ours(definitions.get(name), "compiled")
    v = grid("float32")[::16]
    spikes, h = evaluate("jax", ours.function, v)
    bare_spikes, bare_h = evaluate("jax", bare.function, v)
    np.testing.assert_array_equal(spikes, bare_spikes)
    assert relative_difference(bare_h, h) < 1e-5


@every_framework
def test_the_floors_are_relu_and_a_copy(framework: str) -> None:
    side = importlib.import_module(f"arcana.bench.{framework}_side")
    v = np.array([-2.0, -0.5, 0.5, 3.0], np.float32)
    relu, copy = (evaluate(framework, each.function, v) for each in side.floors("eager"))
    np.testing.assert_array_equal(relu, [[0, 0, 0.5, 3], [0, 0, 1, 1]])
    np.testing.assert_array_equal(copy, [v, np.ones(4)])


@every_framework
@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_a_call_is_forward_or_both(framework: str, mode: str) -> None:
    """Counted by the function itself, since the calls return nothing."""
    side = importlib.import_module(f"arcana.bench.{framework}_side")
    spike, seen = spike_of(framework), []

    def function(v: Any) -> Any:
        seen.append(v.shape)
        return spike(v, OURS)

    with side.ready("float32"):
        v = side.array(np.linspace(-1, 1, 8, dtype=np.float32), "float32")
        if mode == "eager" or framework == "jax":
            side.forward(function, v, mode)()
            side.forward_backward(function, v, v, mode)()
            assert seen == [(8,), (8,)]
        spikes, pull = side.start(lambda v: spike(v, OURS), v, "eager")()
        gradient = pull(v)[0]
    np.testing.assert_array_equal(np.asarray(spikes.tolist()), np.linspace(-1, 1, 8) >= 0)
    expected = np.linspace(-1, 1, 8) / (25 * np.abs(np.linspace(-1, 1, 8)) + 1) ** 2
    np.testing.assert_allclose(gradient.tolist(), expected, rtol=1e-5)


def candidate(framework: str, surrogate: Any, threshold: float = 0.0, differs: bool = False) -> Candidate:
    """A library's function that computes ours, or another one's numbers, and takes a threshold off itself."""
    spike = spike_of(framework)
    return Candidate("library.function", lambda v: spike(v - threshold, surrogate), OURS, threshold, differs)


@every_framework
def test_the_same_numbers_may_be_timed(framework: str) -> None:
    assert disagreement(framework, candidate(framework, OURS)) is None
    assert disagreement(framework, candidate(framework, OURS, threshold=1.0)) is None


@every_framework
def test_other_numbers_are_refused(framework: str) -> None:
    gradients = disagreement(framework, candidate(framework, FastSigmoid(scale=25.01)))
    assert gradients is not None
    assert "computes gradients that differ by" in gradients
    spikes = disagreement(framework, candidate(framework, FastSigmoid(scale=25.0, fires_at_threshold=False)))
    assert spikes is not None
    assert "computes other spikes at" in spikes
    assert disagreement(framework, candidate(framework, FastSigmoid(scale=26.0), differs=True)) is None


def test_a_function_that_raises_is_refused() -> None:
    def function(v: Any) -> Any:
        msg = "no such\nthing"
        raise ValueError(msg)

    broken = Candidate("library.function", function, OURS, differs=True)
    assert disagreement("torch", broken) == "raises ValueError: no such"


@every_framework
def test_without_libraries_ours_is_beside_relu(framework: str) -> None:
    missing = [name for name, about in LIBRARIES.items() if about.framework == framework]
    field = dataclasses.replace(field_of(framework, ()), peers={})
    labels = [each.label for each in field.candidates("fast_sigmoid", "eager")]
    assert labels == ["arcana", "relu", "copy"]
    assert all(field.left_out.get(name, "is not installed") == "is not installed" for name in missing)


def test_calls_take_turns() -> None:
    entered: list[str] = []

    @contextlib.contextmanager
    def around(key: str) -> Iterator[None]:
        entered.append(key)
        yield

    calls = {"short": lambda: time.sleep(1e-3), "long": lambda: time.sleep(4e-3)}
    found = in_turn(calls, 0.0, around)
    assert 1e3 <= found["short"].microseconds < 4e3 <= found["long"].microseconds
    assert [found[key].turns for key in calls] == [FEWEST_ROUNDS] * 2
    turns = entered[len(calls) :]
    assert all(set(turns[i : i + 2]) == set(calls) for i in range(0, len(turns), 2))


def test_a_short_call_is_repeated_within_its_turn() -> None:
    calls = []
    found = in_turn({"one": lambda: calls.append(None)}, 0.0, lambda key: contextlib.nullcontext())
    assert len(calls) > 1000 * FEWEST_ROUNDS
    assert found["one"].microseconds < 10


def time_of(candidate: str, microseconds: float, numbers: Any = OURS, **where: Any) -> Time:
    about = {
        "framework": "torch",
        "mode": "eager",
        "dtype": "float32",
        "size": 1_048_576,
        "passes": BOTH,
        "surrogate": "fast_sigmoid",
        "differs": False,
        "turns": 5,
    }
    return Time(**{**about, **where}, candidate=candidate, numbers=numbers and repr(numbers), microseconds=microseconds)


def test_ratios_are_of_the_same_numbers() -> None:
    other = FastSigmoid(scale=2.0)
    times = [
        time_of("arcana", 10.0),
        time_of("arcana", 30.0, other),
        time_of("snntorch.fast_sigmoid", 20.0),
        time_of("spikingjelly.soft_sign", 40.0, other),
        time_of("relu", 5.0, None),
        time_of("relu", 1.0, None, size=1024),
    ]
    found = {(each.ours.numbers, each.other.candidate): each.value for each in ratios(times)}
    assert found == {
        (repr(OURS), "snntorch.fast_sigmoid"): 0.5,
        (repr(OURS), "relu"): 2.0,
        (repr(other), "spikingjelly.soft_sign"): 0.75,
        (repr(other), "relu"): 6.0,
    }


def test_a_row_shows_the_pair_in_which_ours_is_the_worst() -> None:
    other = FastSigmoid(scale=2.0)
    times = [
        time_of("arcana", 10.0),
        time_of("arcana", 15.0, other),
        time_of("snntorch.fast_sigmoid", 25.0),
        time_of("spikingjelly.soft_sign", 25.0, other),
        time_of("relu", 5.0, None),
    ]
    ((table, (row,)),) = rows.tables(times).items()
    assert table.title == "PyTorch eager, forward + backward, float32"
    assert row.peer is not None
    assert row.peer.other.candidate == "spikingjelly.soft_sign"
    assert row.ours.microseconds == 15.0
    assert row.floors == {"relu": 5.0}
    assert row.verdict is not None
    assert (row.verdict.at_most, row.verdict.met) == (0.5, False)
    assert str(row.verdict).endswith("fast_sigmoid 0.60 of spikingjelly.soft_sign, at most 0.5")


@pytest.mark.parametrize(
    ("where", "other", "largest"),
    [
        ({"size": 1024}, "snntorch.fast_sigmoid", 1.0),
        ({"size": 65_536}, "snntorch.fast_sigmoid", 0.75),
        ({"size": 1_048_576}, "sinabs.anything", 0.5),
        ({"size": 16_777_216}, "norse.superspike", 0.45),
        ({"size": 16_777_216, "surrogate": "sigmoid"}, "norse.tanh", 0.75),
        ({"size": 1_048_576, "surrogate": "sigmoid"}, "norse.tanh", 0.75),
        ({"size": 1024, "surrogate": "sigmoid"}, "norse.tanh", 1.0),
        ({"size": 16_777_216}, "relu", 1.25),
        ({"framework": "jax", "mode": "compiled"}, "jnp", 1.1),
        ({"framework": "jax", "mode": "compiled", "passes": FORWARD, "size": 1024}, "jnp", 1.1),
        ({"framework": "jax"}, "braintools.soft_sign", 0.5),
    ],
)
def test_a_target_is_met_up_to_its_ratio(where: dict[str, Any], other: str, largest: float) -> None:
    for factor, met in [(1.0, True), (1.001, False)]:
        numbers = None if other == "relu" else OURS
        times = [time_of("arcana", 100 * largest * factor, **where), time_of(other, 100.0, numbers, **where)]
        (verdict,) = targets.verdicts(ratios(times))
        assert verdict.at_most == largest
        assert verdict.met is met


@pytest.mark.parametrize(
    ("where", "other"),
    [
        ({"dtype": "float64"}, "snntorch.fast_sigmoid"),
        ({"passes": FORWARD}, "snntorch.fast_sigmoid"),
        ({"mode": "compiled"}, "snntorch.fast_sigmoid"),
        ({"size": 1000}, "snntorch.fast_sigmoid"),
        ({"size": 1024}, "relu"),
        ({"framework": "jax"}, "spyx.superspike"),
        ({"framework": "jax", "size": 1024}, "braintools.soft_sign"),
    ],
)
def test_no_target_is_none(where: dict[str, Any], other: str) -> None:
    numbers = None if other == "relu" else OURS
    assert targets.verdicts(ratios([time_of("arcana", 1.0, **where), time_of(other, 9.0, numbers, **where)])) == []


def test_families_are_those_of_the_bits() -> None:
    rational = {name for name in definitions.names() if targets.family(name) == targets.RATIONAL}
    others = "dspike escape_exponential exponential gaussian inverse_square_root multi_gaussian periodic_exponential"
    assert set(definitions.names()) - rational == {*others.split(), "q_pseudo_spike", "s2nn", "sigmoid", "squarewave_fourier"}


def test_the_summary_lists_what_is_slow_and_what_is_late() -> None:
    results = run.Results(machine={}, versions={}, left_out={"norse": "is not installed"})
    results.times = [time_of("arcana", 30.0, Sigmoid(), surrogate="sigmoid", size=1000)]
    results.times += [time_of("norse.tanh", 25.0, Sigmoid(), surrogate="sigmoid", size=1000, differs=True)]
    results.imports = [Import("torch", None, 900.0, 9), Import("arcana.torch", "torch", 20.5, 9)]
    missed, slower, left_out = summary.summary(results).values()
    assert missed == ["import arcana.torch takes 20.5 ms after torch, at most 20"]
    assert slower == ["torch eager, forward + backward, float32, n = 1,000: sigmoid 1.20 of norse.tanh ≠"]
    assert left_out == ["norse: is not installed"]


def test_the_layers_of_both_frameworks_are_twins() -> None:
    from arcana.bench import jax_layer, torch_layer, torch_side

    given = numbers(Settings(neurons=32, steps=12))
    torch_network = torch_layer.network(torch_side.ours(OURS, "eager")[0], torch_side.array(given.spikes, "float32"), "eager")
    jax_candidate = Candidate("arcana", lambda v: spike_of("jax")(v, OURS), OURS)
    shifted = Candidate("library.function", lambda v: spike_of("jax")(v - 1.0, OURS), OURS, threshold=1.0)
    spikes, gradient = evaluate("torch", torch_network, given.weight)
    assert 0.02 < spikes.mean() < 0.6
    assert np.abs(gradient).min() > 0
    for each in (jax_candidate, shifted):
        twin_spikes, twin_gradient = evaluate("jax", jax_layer.network(each, given.spikes), given.weight)
        np.testing.assert_array_equal(spikes, twin_spikes)
        np.testing.assert_allclose(gradient, twin_gradient, rtol=1e-4, atol=1e-5)


needs_counter = pytest.mark.skipif(not memory_use.available(), reason="memory is counted on Linux with glibc only")


def occupied(size: int) -> Any:
    """Some bytes that are held, after twice as many that are not."""
    gone = np.ones(2 * size, np.uint8)
    del gone
    return np.ones(size, np.uint8)


@needs_counter
def test_memory_is_what_is_occupied() -> None:
    size = 1 << 25
    found, held = memory_use.use_of(lambda: occupied(size))
    assert held.nbytes == size
    assert found.peak == pytest.approx(2 * size, rel=0.05)
    assert found.held == pytest.approx(size, rel=0.05)


@needs_counter
def test_memory_is_bytes_of_an_element() -> None:
    settings = Settings(chosen=("fast_sigmoid", "rectangular"), sizes=(memory.SMALLEST,))
    with memory_use.counting_process() as executor:
        uses, _ = memory.measure("torch", settings, lambda text: None, executor)
    used = {f"{each.surrogate}.{each.candidate}": each for each in uses if not is_peer(each.candidate)}
    assert set(used) == {"fast_sigmoid.arcana", "fast_sigmoid.relu", "fast_sigmoid.copy", "rectangular.arcana"}
    # The spikes and the gradient; the potential itself is kept, or a byte for each of its elements.
    assert used["fast_sigmoid.arcana"].peak == pytest.approx(8, abs=0.5)
    assert used["fast_sigmoid.arcana"].kept == pytest.approx(4, abs=0.3)
    assert used["rectangular.arcana"].kept == pytest.approx(1, abs=0.3)
    assert used["fast_sigmoid.copy"].kept == pytest.approx(0, abs=0.3)


def test_the_mode_kernels_runs_ours_with_and_without() -> None:
    from arcana.bench import torch_side
    from arcana.torch._eager import kernels

    assert [each.label for each in torch_side.ours(FastSigmoid(), "eager")] == ["arcana"]
    for candidate, enabled in zip(torch_side.ours(FastSigmoid(), "kernels"), (None, True), strict=True):
        with candidate.setting():
            assert kernels._enabled is enabled
        assert candidate.numbers == repr(FastSigmoid())
    assert not kernels._enabled


def test_json_and_picture(tmp_path: Path) -> None:
    picture = tmp_path / "ratios.png"
    arguments = ["elementwise", "--sizes", "64,1_024", "--surrogate", "step", "--seconds", "0", "--plot", str(picture)]
    process = arcana_command("bench", *arguments, "--json", without=tuple(LIBRARIES))
    assert process.returncode == 0, process.stderr
    from matplotlib import image

    data = json.loads(process.stdout)
    assert data["settings"]["sizes"] == [64, 1024]
    assert data["machine"]["cores"] >= 1
    assert {"arcana", "torch", "jax"} <= set(data["versions"])
    assert data["left_out"] == dict.fromkeys(LIBRARIES, "is not installed")
    results = run.from_plain(data)
    assert {(each.framework, each.size, each.passes, each.candidate) for each in results.times} == {
        (framework, size, passes, candidate)
        for framework in ("torch", "jax")
        for size in (64, 1024)
        for passes in (FORWARD, BOTH)
        for candidate in ("arcana", "relu", "copy")
    }
    assert all(each.microseconds > 0 and each.turns >= FEWEST_ROUNDS for each in results.times)
    assert json.loads(json.dumps(run.to_plain(Settings(), results)))["times"] == data["times"]
    assert image.imread(picture).std() > 0.05


def test_an_import_is_timed_in_fresh_processes() -> None:
    found = imports.measure([("json",), ("json", "json.tool")], say=lambda text: None, processes=2)
    assert [(each.module, each.after, each.processes) for each in found] == [
        ("json", None, 2),
        ("json", None, 2),
        ("json.tool", "json", 2),
    ]
    assert all(0 < each.milliseconds < 1000 for each in found)
    assert imports.chains_of(["jax"]) == [("arcana",), ("jax", "arcana.jax")]


def results_of_everything() -> run.Results:
    where = ("torch", "eager", "float32")
    numbers = repr(OURS)
    return run.Results(
        left_out={"norse": "is not installed"},
        times=[time_of("arcana", 30.0), time_of("snntorch.fast_sigmoid", 50.0), time_of("relu", 7.0, None)],
        uses=[
            Use(*where, 1 << 24, "fast_sigmoid", "arcana", numbers, False, 8.0, 4.0),
            Use(*where, 1 << 24, "fast_sigmoid", "snntorch.fast_sigmoid", numbers, False, 16.0, 4.0),
        ],
        layers=[
            Step(*where, 512, 500, "fast_sigmoid", "arcana", numbers, False, 200.0, 9, 100.0),
            Step(*where, 512, 500, "fast_sigmoid", "snntorch.fast_sigmoid", numbers, True, 250.0, 9, None),
        ],
        imports=[Import("torch", None, 900.0, 9), Import("arcana.torch", "torch", 12.0, 9)],
    )


def test_the_terminal_shows_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    report.show(results_of_everything())
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines()]
    assert ["fast_sigmoid", "snntorch", "1,048,576", "30.0", "50.0", "0.60", "7.0", "snntorch", "0.5", "✗"] in lines
    assert ["PyTorch", "eager", "fast_sigmoid", "snntorch.fast_sigmoid", "8.0", "4.0", "16.0", "4.0"] in lines
    assert ["PyTorch", "eager", "fast_sigmoid", "snntorch.fast_sigmoid", "≠", "200.0", "100", "250.0", "0.80"] in lines
    assert ["arcana.torch", "torch", "12.0", "20", "✓"] in lines
    assert "missed targets: 1" in shown
    assert "norse: is not installed" in shown


def test_the_page_is_written_from_the_files_of_several_runs(tmp_path: Path) -> None:
    results = results_of_everything()
    parts = [{"times": []}, {"uses": [], "layers": [], "imports": []}]
    files = [tmp_path / f"{i}.json" for i in range(2)]
    for file, part in zip(files, parts, strict=True):
        file.write_text(json.dumps(run.to_plain(Settings(), dataclasses.replace(results, **part))))
    page = tmp_path / "speed.md"
    script = Path(__file__).parents[1] / "docs" / "speed.py"
    arguments = [sys.executable, str(script), *map(str, files), "--write", str(page)]
    process = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    assert process.stdout.startswith("missed targets: 1\ntorch eager, forward + backward")
    written = page.read_text()
    assert "| `fast_sigmoid` | snntorch | 30.0 / 50.0 = 0.60 ✗ |" in written
    assert "| PyTorch eager | fast_sigmoid | snntorch.fast_sigmoid | 8.0 | 4.0 | 16.0 | 4.0 |" in written


def test_a_missing_framework_is_named_and_the_other_runs() -> None:
    arguments = ["elementwise", "--sizes", "64", "--surrogate", "step", "--seconds", "0"]
    process = arcana_command("bench", *arguments, without=("jax",))
    assert process.returncode == 0, process.stderr
    assert "jax: JAX is missing: pip install jax" in process.stdout
    assert "PyTorch eager, forward + backward, float32" in process.stdout
    assert "JAX eager" not in process.stdout


@pytest.mark.parametrize(
    ("without", "arguments", "package"),
    [
        (("torch", "jax"), (), "torch"),
        (("jax",), ("--framework", "jax"), "jax"),
        (("matplotlib",), ("--plot", "ratios.png"), "matplotlib"),
    ],
)
def test_what_cannot_run_says_what_to_install(without: tuple[str, ...], arguments: tuple[str, ...], package: str) -> None:
    assert_one_line(arcana_command("bench", *arguments, without=without), 1, f"pip install {package}")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("elementwize",), ("nothing to measure is called 'elementwize'", "did you mean elementwise?")),
        (("speed",), ("there are elementwise, memory, layer, import",)),
        (("--surrogate", "fast_sigmod"), ("unknown surrogate 'fast_sigmod'", "fast_sigmoid")),
        (("--sizes", "1k"), ("--sizes", "'1k'")),
        (("--sizes", "0"), ("sizes must be at least 1, got 0",)),
        (("--mode", "kernels", "--framework", "jax"), ("the mode kernels is PyTorch's alone",)),
        (("--plot", "no/such/folder/a.png"), ("--plot", "no/such/folder/a.png")),
        (("--plot", "ratios.doc"), ("--plot", "'ratios.doc'", ".png, ")),
        (("memory", "--plot", "ratios.png"), ("--plot draws the times of the part elementwise",)),
    ],
)
def test_a_wrong_option_is_one_line(arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    assert_one_line(arcana_command("bench", *arguments), 2, *parts)
