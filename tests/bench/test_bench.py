"""The benchmark: it times only what computes the same numbers, its arithmetic is right, and its command says what is wrong.

Nothing here needs another library; `tests/peers/test_bench_peers.py` has what does.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import page
import pytest
import targets
from command import arcana_command, arcana_here, assert_one_line
from every import every_surrogate
from known_values import KNOWN
from pages import speed

from arcana import surrogate as definitions
from arcana.bench import candidates, memory, run, table
from arcana.bench.candidates import Case, disagreement, grid, relative_difference
from arcana.bench.libraries import LIBRARIES, evaluate
from arcana.bench.records import BOTH, FORWARD, Candidate, Record, Results, Settings
from arcana.bench.run import layer_arrays
from arcana.bench.timing import FEWEST_ROUNDS, in_turn
from arcana.surrogate import FastSigmoid, Sigmoid

OURS = FastSigmoid(scale=25.0)
every_framework = pytest.mark.parametrize("framework", ["torch", "jax"])


def spike_of(framework: str) -> Any:
    return importlib.import_module(f"arcana.{framework}").spike


@every_surrogate
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
def test_the_floor_is_relu(framework: str) -> None:
    v = np.array([-2.0, -0.5, 0.5, 3.0], np.float32)
    relu = evaluate(framework, importlib.import_module(f"arcana.bench.{framework}_side").relu, v)
    np.testing.assert_array_equal(relu, [[0, 0, 0.5, 3], [0, 0, 1, 1]])


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


def refusal(framework: str, surrogate: Any, threshold: float = 0.0, differs: bool = False) -> str | None:
    """Why a library's function that computes a surrogate is not timed beside ours; it subtracts the threshold itself."""
    spike, name = spike_of(framework), {"torch": "snntorch.function", "jax": "spyx.function"}[framework]
    return disagreement(Candidate(name, lambda v: spike(v - threshold, surrogate), OURS, threshold, differs), OURS)


@every_framework
def test_the_same_numbers_may_be_timed(framework: str) -> None:
    assert refusal(framework, OURS) is None
    assert refusal(framework, OURS, threshold=1.0) is None


@every_framework
def test_other_numbers_are_refused(framework: str) -> None:
    assert "computes gradients that differ by" in str(refusal(framework, FastSigmoid(scale=25.01)))
    assert "computes other spikes at" in str(refusal(framework, FastSigmoid(scale=25.0, fires_at_threshold=False)))
    assert refusal(framework, FastSigmoid(scale=26.0), differs=True) is None


def test_a_function_that_raises_is_refused() -> None:
    def function(v: Any) -> Any:
        msg = "no such\nthing"
        raise ValueError(msg)

    assert disagreement(Candidate("snntorch.function", function, OURS, differs=True), OURS) == "raises ValueError: no such"


def case_of(framework: str, mode: str = "eager", **settings: Any) -> Case:
    return Case(Settings(**settings), "elementwise", framework, mode, "fast_sigmoid")


@every_framework
def test_without_libraries_ours_is_beside_relu(framework: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "peers_of", lambda framework, surrogate: ([], {"norse": "is not installed"}))
    case = case_of(framework)
    assert [each.label for each in case.candidates()] == ["arcana", "relu"]
    assert case.left_out == {"norse": "is not installed"}


def test_a_library_that_raises_on_the_arrays_is_left_out_and_ours_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Candidate("norse.superspike", print, OURS)
    monkeypatch.setattr(candidates, "peers_of", lambda framework, surrogate: ([theirs], {}))
    case = case_of("torch")

    def call_of(candidate: Candidate) -> Any:
        return (lambda: None) if candidate.label in working else (lambda: 1 / 0)

    working = ["arcana", "relu"]
    assert [each.label for each in case.calls("float16", call_of)] == working
    assert case.left_out == {"norse.superspike, eager, float16": "raises ZeroDivisionError: division by zero"}
    working = ["relu"]
    with pytest.raises(ZeroDivisionError):
        case.calls("float16", call_of)


class Entered:
    """A setting that notes who entered it."""

    def __init__(self, label: str, entered: list[str]) -> None:
        self.label, self.entered = label, entered

    def __enter__(self) -> None:
        self.entered.append(self.label)

    def __exit__(self, *_: object) -> None:
        pass


def test_calls_take_turns() -> None:
    entered: list[str] = []
    short, long = (Candidate(each, print, setting=lambda each=each: Entered(each, entered)) for each in ("short", "long"))
    found = in_turn({short: lambda: time.sleep(1e-3), long: lambda: time.sleep(4e-3)}, 0.0)
    assert 1e-3 <= np.median(found[short]) < 4e-3 <= np.median(found[long])
    assert [len(found[each]) for each in (short, long)] == [FEWEST_ROUNDS] * 2
    turns = entered[2:]
    assert all(set(turns[i : i + 2]) == {"short", "long"} for i in range(0, len(turns), 2))


def test_a_short_call_is_repeated_within_its_turn() -> None:
    calls = []
    (seconds,) = in_turn({Candidate("one", print): lambda: calls.append(None)}, 0.0).values()
    assert len(calls) > 1000 * FEWEST_ROUNDS
    assert np.median(seconds) < 1e-5


def test_a_record_has_the_median_and_the_distance_between_the_quartiles() -> None:
    record = case_of("torch").record([3.0, 1.0, 2.0, 10.0, 4.0], Candidate("arcana", print, OURS), quantity=BOTH, unit="µs")
    assert (record.value, record.spread, record.samples) == (3.0, 5.5, 5)
    assert (record.framework, record.surrogate, record.numbers) == ("torch", "fast_sigmoid", repr(OURS))
    assert case_of("torch").record([3.0], Candidate("relu", print), quantity=BOTH, unit="µs").spread is None


def record_of(candidate: str, value: float, numbers: Any = OURS, **where: Any) -> Record:
    about: dict[str, Any] = {
        "part": "elementwise",
        "framework": "torch",
        "mode": "eager",
        "dtype": "float32",
        "size": 1_048_576,
        "quantity": BOTH,
        "unit": "µs",
        "surrogate": "fast_sigmoid",
    }
    return Record.of([value], **{**about, **where}, candidate=candidate, numbers=numbers and repr(numbers))


def test_ratios_are_of_the_same_numbers() -> None:
    other = FastSigmoid(scale=2.0)
    records = [
        record_of("arcana", 10.0),
        record_of("arcana", 30.0, other),
        record_of("snntorch.fast_sigmoid", 20.0),
        record_of("spikingjelly.soft_sign", 40.0, other),
        record_of("relu", 5.0, None),
        record_of("relu", 1.0, None, size=1024),
        record_of("relu", 1.0, None, part="layer"),
    ]
    found = {(each.ours.numbers, each.other.candidate): each.value for each in table.ratios(records)}
    assert found == {
        (repr(OURS), "snntorch.fast_sigmoid"): 0.5,
        (repr(OURS), "relu"): 2.0,
        (repr(other), "spikingjelly.soft_sign"): 0.75,
        (repr(other), "relu"): 6.0,
    }


@pytest.mark.parametrize(
    ("value", "other", "where", "lines"),
    [
        (106.0, "norse.tanh", {}, 1),
        (106.0, "norse.tanh", {"part": "layer", "unit": "ms"}, 1),
        (104.0, "norse.tanh", {}, 0),
        (106.0, "norse.tanh", {"unit": "MB"}, 0),
        (106.0, "jnp", {}, 0),
    ],
)
def test_slower_is_a_time_beside_a_library_beyond_noise(value: float, other: str, where: dict[str, Any], lines: int) -> None:
    records = [record_of("arcana", value, **where), record_of(other, 100.0, **where)]
    slower, left_out = table.summary(Results(settings={}, machine="", packages={}, records=records))
    assert slower.startswith(f"More than 5% slower than a library: {lines or 'none'}\n")
    assert left_out == "Left out: none\n"


def test_a_ratio_to_nothing_is_not_shown() -> None:
    records = [record_of("arcana", 4.0, unit="MB"), record_of("relu", 0.0, None, unit="MB")]
    assert [each.value for each in table.ratios(records)] == [float("inf")]
    assert "| 4.0 / 0.0 |" in table.tables(records)[0]


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
        ({"framework": "jax", "mode": "compiled", "quantity": FORWARD, "size": 1024}, "jnp", 1.1),
        ({"framework": "jax"}, "braintools.soft_sign", 0.5),
    ],
)
def test_a_target_is_met_up_to_its_ratio(where: dict[str, Any], other: str, largest: float) -> None:
    for factor, lines in [(1.0, 0), (1.001, 1)]:
        numbers = None if other == "relu" else OURS
        records = [record_of("arcana", 100 * largest * factor, **where), record_of(other, 100.0, numbers, **where)]
        ((target, ratio),) = targets.judged(records)
        assert target.at_most[ratio.ours.size] == largest
        assert len(targets.missed(records)) == lines


@pytest.mark.parametrize(
    ("where", "other"),
    [
        ({"dtype": "float64"}, "snntorch.fast_sigmoid"),
        ({"quantity": FORWARD}, "snntorch.fast_sigmoid"),
        ({"mode": "compiled"}, "snntorch.fast_sigmoid"),
        ({"size": 1000}, "snntorch.fast_sigmoid"),
        ({"part": "layer"}, "snntorch.fast_sigmoid"),
        ({"size": 1024}, "relu"),
        ({"framework": "jax"}, "spyx.superspike"),
        ({"framework": "jax", "size": 1024}, "braintools.soft_sign"),
    ],
)
def test_no_target_is_none(where: dict[str, Any], other: str) -> None:
    numbers = None if other == "relu" else OURS
    assert targets.judged([record_of("arcana", 1.0, **where), record_of(other, 9.0, numbers, **where)]) == []


@every_surrogate
def test_families_are_those_of_the_bits(name: str) -> None:
    assert (targets.family(name) == targets.RATIONAL) == KNOWN[name].bits


def test_the_layers_of_both_frameworks_are_twins() -> None:
    from arcana.bench import jax_side, torch_side

    spikes, weight, _ = layer_arrays(neurons=32, steps=12)
    torch_network, _ = torch_side.network(torch_side.ours(OURS, "eager")[0], torch_side.array(spikes, "float32"), "eager")
    jax_candidate = Candidate("arcana", lambda v: spike_of("jax")(v, OURS), OURS)
    shifted = Candidate("library.function", lambda v: spike_of("jax")(v - 1.0, OURS), OURS, threshold=1.0)
    fired, gradient = evaluate("torch", torch_network, weight)
    assert 0.02 < fired.mean() < 0.6
    assert np.abs(gradient).min() > 0
    for each in (jax_candidate, shifted):
        twin_fired, twin_gradient = evaluate("jax", jax_side.network(each, jax_side.array(spikes, "float32"), "eager")[0], weight)
        np.testing.assert_array_equal(fired, twin_fired)
        np.testing.assert_allclose(gradient, twin_gradient, rtol=1e-4, atol=1e-5)


with memory.counting_process() as _executor:
    needs_counter = pytest.mark.skipif(_executor is None, reason="memory is counted on Linux with glibc only")


def occupied(size: int) -> Any:
    """Some bytes that are held, after twice as many that are not."""
    gone = np.ones(2 * size, np.uint8)
    del gone
    return np.ones(size, np.uint8)


@needs_counter
def test_memory_is_what_is_occupied() -> None:
    size = 1 << 25
    peak, held, result = memory.use_of(lambda: occupied(size))
    assert result.nbytes == size
    assert peak == pytest.approx(2 * size, rel=0.05)
    assert held == pytest.approx(size, rel=0.05)


@needs_counter
def test_memory_is_bytes_of_an_element() -> None:
    settings = Settings(parts=("memory",), chosen=("fast_sigmoid", "rectangular"), sizes=(run.LEAST_COUNTED,))
    records = run.run(settings, ["torch"], say=lambda text: None).records
    used = {f"{each.surrogate}.{each.candidate}.{each.quantity}": each.value for each in records if not each.of_peer}
    # The spikes and the gradient; the potential itself is kept, or a byte for each of its elements.
    assert used["fast_sigmoid.arcana.peak"] == pytest.approx(8, abs=0.5)
    assert used["fast_sigmoid.arcana.kept"] == pytest.approx(4, abs=0.3)
    assert used["rectangular.arcana.kept"] == pytest.approx(1, abs=0.3)
    assert used["fast_sigmoid.relu.kept"] == pytest.approx(0, abs=0.3)


def test_the_memory_of_small_arrays_is_not_counted() -> None:
    results = run.run(Settings(parts=("memory",), chosen=("step",), sizes=(64,)), ["torch"], say=lambda text: None)
    assert results.records == []
    assert results.left_out["memory"] == "is counted of 1,048,576 elements and more"


def test_a_layer_has_a_time_and_a_peak() -> None:
    settings = Settings(parts=("layer",), chosen=("fast_sigmoid",), neurons=8, seconds=0.0)
    records = run.run(settings, ["torch", "jax"], say=lambda text: None).records
    times = {(each.framework, each.candidate) for each in records if each.quantity == BOTH and not each.of_peer}
    assert times == {(framework, candidate) for framework in ("torch", "jax") for candidate in ("arcana", "relu")}
    assert all(each.size == 8 and each.value > 0 for each in records)


def test_the_mode_kernels_runs_ours_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    from arcana.bench import torch_side

    asked = []
    monkeypatch.setattr(torch_side, "set_compiled_kernels", asked.append)
    assert [each.label for each in torch_side.ours(FastSigmoid(), "eager")] == ["arcana"]
    plain, kernels = torch_side.ours(FastSigmoid(), "kernels")
    assert (plain.label, kernels.label) == ("arcana", "arcana, compiled kernels")
    assert plain.numbers == kernels.numbers == repr(FastSigmoid())
    plain.setting()
    assert asked == []
    kernels.setting()
    assert asked == [True]


def test_json() -> None:
    arguments = ["elementwise", "--sizes", "64,1_024", "--surrogate", "step", "--seconds", "0"]
    process = arcana_command("bench", *arguments, "--json", without=tuple(LIBRARIES))
    assert process.returncode == 0, process.stderr
    data = json.loads(process.stdout)
    assert data["settings"]["sizes"] == [64, 1024]
    assert " cores, " in data["machine"]
    assert {"arcana", "torch", "jax"} <= set(data["packages"])
    assert data["left_out"] == dict.fromkeys(LIBRARIES, "is not installed")
    results = Results.from_dict(data)
    assert {(each.framework, each.size, each.quantity, each.candidate) for each in results.records} == {
        (framework, size, quantity, candidate)
        for framework in ("torch", "jax")
        for size in (64, 1024)
        for quantity in (FORWARD, BOTH)
        for candidate in ("arcana", "relu")
    }
    assert all(each.value > 0 and each.spread is not None and each.samples >= FEWEST_ROUNDS for each in results.records)
    assert json.loads(json.dumps(dataclasses.asdict(results))) == data


def results_of_everything() -> Results:
    memory_of = {"part": "memory", "unit": "bytes an element", "size": 1 << 24, "quantity": "peak"}
    layer_of = {"part": "layer", "unit": "ms", "size": 512}
    records = [
        record_of("arcana", 30.0),
        record_of("snntorch.fast_sigmoid", 50.0),
        record_of("relu", 7.0, None),
        record_of("arcana", 30.0, Sigmoid(), surrogate="sigmoid", size=1024),
        record_of("relu", 7.0, None, surrogate="sigmoid", size=1024),
        record_of("arcana", 8.0, **memory_of),
        record_of("snntorch.fast_sigmoid", 16.0, **memory_of),
        record_of("arcana", 300.0, **layer_of),
        record_of("snntorch.fast_sigmoid", 250.0, **layer_of, differs=True),
    ]
    return Results(settings={}, machine="one", packages={}, left_out={"norse": "is not installed"}, records=records)


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_tables_show_all_of_it() -> None:
    found = {text.partition("\n")[0]: cells(text) for text in table.tables(results_of_everything().records)}
    times = found["Elementwise, torch eager, float32, arcana: forward + backward, µs"]
    assert times[0] == ["surrogate", "beside", "1,048,576", "1,024"]
    assert times[2:] == [
        ["fast_sigmoid", "snntorch.fast_sigmoid", "30.0 / 50.0 = 0.60", ""],
        ["sigmoid", "relu", "", "30.0 / 7.0 = 4.29"],
        ["median of all", "relu", "30.0 / 7.0 = 4.29", "30.0 / 7.0 = 4.29"],
    ]
    peak = found["Memory, torch eager, float32, arcana: n = 16,777,216"]
    assert peak[2:] == [["fast_sigmoid", "snntorch.fast_sigmoid", "8.0 / 16.0 = 0.50"]]
    layer = found["Layer, torch eager, float32, arcana: n = 512"]
    assert layer[2:] == [["fast_sigmoid", "snntorch.fast_sigmoid ≠", "300 / 250 = 1.20"]]


def test_the_page_is_written_from_the_files_of_several_runs(tmp_path: Path) -> None:
    results = results_of_everything()
    files = [tmp_path / f"{i}.json" for i in range(2)]
    for file, part in zip(files, (results.records[:5], results.records[5:]), strict=True):
        file.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(results, records=part))))
    written = tmp_path / "speed.csv"
    script = Path(__file__).with_name("page.py")
    arguments = [sys.executable, str(script), *map(str, files), "--write", str(written)]
    process = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    where = "elementwise, torch eager, forward + backward, float32, n = 1,048,576"
    assert process.stdout.splitlines() == [
        "missed targets: 1",
        f"{where}: fast_sigmoid 0.60 of snntorch.fast_sigmoid, at most 0.5",
    ]
    call = "elementwise,torch,eager,forward + backward,µs,float32"
    assert written.read_text(encoding="utf-8").splitlines()[1:] == [
        "part,framework,mode,quantity,unit,dtype,n,surrogate,ours,beside,value of ours,value of beside,ratio,at most",
        f"{call},1048576,fast_sigmoid,arcana,snntorch.fast_sigmoid,30,50,0.6,0.5",
        f"{call},1048576,fast_sigmoid,arcana,relu,30,7,4.29,",
        f"{call},1024,sigmoid,arcana,relu,30,7,4.29,",
        "memory,torch,eager,peak,bytes an element,float32,16777216,fast_sigmoid,arcana,snntorch.fast_sigmoid,8,16,0.5,",
        "layer,torch,eager,forward + backward,ms,float32,512,fast_sigmoid,arcana,snntorch.fast_sigmoid ≠,300,250,1.2,",
    ]


def test_the_page_of_the_documentation_reads_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "CELLS", tmp_path / "speed.csv")
    page.write(results_of_everything(), speed.CELLS)
    speed.read.cache_clear()
    try:
        assert speed.machine() == "one."
        assert cells(speed.layers())[2] == ["PyTorch, eager", "1.20", "1", "", ""]
        slower = [
            "PyTorch, eager, forward + backward",
            "0 of 1",
            "0.60: `fast_sigmoid` beside `snntorch.fast_sigmoid`, n = 1,048,576",
        ]
        assert cells(speed.slower())[2] == slower
        assert cells(speed.floors())[2] == ["PyTorch, eager, forward + backward", "relu", "4.29", "4.29"]
        which = "`fast_sigmoid` beside `snntorch.fast_sigmoid`"
        missed = ["PyTorch, eager, forward + backward", which, "1,048,576", "0.60", "0.5"]
        assert cells(speed.targets())[2] == missed
        assert "snntorch, 1 functions" in speed.memory()
        assert "PyTorch, eager: forward + backward" in speed.calls()
    finally:
        speed.read.cache_clear()


def test_the_page_of_the_documentation_is_of_a_run() -> None:
    about, found = speed.read()
    assert len(about) == 2
    assert len(found) > 500
    assert len((Path(speed.CELLS).with_name("speed.md")).read_text(encoding="utf-8").splitlines()) <= 100


def test_a_missing_framework_is_named_and_the_other_runs() -> None:
    arguments = ["elementwise", "--sizes", "64", "--surrogate", "step", "--seconds", "0"]
    process = arcana_command("bench", *arguments, without=("jax",))
    assert process.returncode == 0, process.stderr
    assert "jax: arcana.jax needs JAX: pip install jax" in process.stdout
    assert "Elementwise, torch eager, float32, arcana: forward + backward, µs" in process.stdout
    assert "jax eager" not in process.stdout


@pytest.mark.parametrize(
    ("without", "arguments", "package"),
    [
        (("torch", "jax"), (), "torch"),
        (("jax",), ("--framework", "jax"), "jax"),
    ],
)
def test_what_cannot_run_says_what_to_install(without: tuple[str, ...], arguments: tuple[str, ...], package: str) -> None:
    assert_one_line(arcana_command("bench", *arguments, without=without), 1, f"pip install {package}")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("elementwize",), ("nothing to measure is called 'elementwize'", "did you mean elementwise?")),
        (("speed",), ("there are elementwise, memory, layer",)),
        (("--surrogate", "fast_sigmod"), ("unknown surrogate 'fast_sigmod'", "fast_sigmoid")),
        (("--sizes", "1k"), ("--sizes", "'1k'")),
        (("--sizes", "0"), ("--sizes must be at least 1, got 0",)),
        (("--mode", "kernels", "--framework", "jax"), ("the mode kernels is PyTorch's alone",)),
    ],
)
def test_a_wrong_option_is_one_line(arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    assert_one_line(arcana_here("bench", *arguments), 2, *parts)
