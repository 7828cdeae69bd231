"""The demo: both sides train alike, the command answers errors with one line, and a missing package is named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from command import arcana_command, arcana_here, assert_one_line

from arcana.demo.comparison import compare_networks, compare_trainings, relative_difference
from arcana.demo.experiment import Digits, Experiment, TrainingSettings, prepare
from arcana.demo.training import Training, train
from arcana.jax._compat import enable_x64
from arcana.surrogate import FastSigmoid

SHORT = TrainingSettings(surrogate=FastSigmoid(), epochs=2)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return prepare(SHORT)


@pytest.fixture(scope="module")
def trainings(experiment: Experiment) -> dict[str, Training]:
    from arcana.demo import jax_network, torch_network

    # optax mixes float and int32 in its bias correction, which the strict promotion of these tests forbids.
    with jax.numpy_dtype_promotion("standard"):
        jax_record = train(jax_network.trainer, experiment, int)
    return {"torch": train(torch_network.trainer, experiment, int), "jax": jax_record}


def test_equal_settings_give_equal_numbers(experiment: Experiment) -> None:
    again, other = prepare(SHORT), prepare(dataclasses.replace(SHORT, seed=1))
    for name, value in experiment.weights.items():
        np.testing.assert_array_equal(value, again.weights[name])
    np.testing.assert_array_equal(experiment.order, again.order)
    assert not np.array_equal(experiment.order, other.order)
    assert not np.array_equal(experiment.weights["hidden.weight"], other.weights["hidden.weight"])


def test_train_and_test_images_are_all_the_digits_once(experiment: Experiment) -> None:
    assert len(experiment.train.labels) + len(experiment.test.labels) == 1797
    assert len(experiment.test.labels) == 360
    assert 0 <= experiment.train.images.min() < experiment.train.images.max() == 1
    for epoch in experiment.order:
        assert len(np.unique(epoch)) == epoch.size


def test_both_sides_see_the_same_batches(experiment: Experiment, trainings: dict[str, Training]) -> None:
    torch, jax = trainings["torch"], trainings["jax"]
    assert len(torch.losses) == len(jax.losses) == experiment.training_steps
    # Batches differ in their loss by several percent: two sides that agree to 1e-3 for five steps saw the same ones.
    np.testing.assert_allclose(torch.losses[:5], jax.losses[:5], rtol=1e-3)
    assert np.ptp(torch.losses[:5]) > 0.05


def test_the_losses_fall_and_are_finite(trainings: dict[str, Training]) -> None:
    for record in trainings.values():
        first, second = record.epoch_losses()
        assert np.isfinite(record.losses).all()
        assert second < first / 2
        assert record.accuracies[-1] > 0.8


def test_the_first_gradient_differs_by_rounding(trainings: dict[str, Training]) -> None:
    # Measured 2e-7 to 5e-7; a spike that differs in the very first step would give 1e-3.
    comparison = compare_trainings(trainings["torch"], trainings["jax"])
    assert comparison.first_gradient < 1e-5
    assert all(np.abs(gradient).max() > 0 for gradient in trainings["jax"].first_gradient.values())
    assert list(trainings["torch"].first_gradient) == list(trainings["jax"].first_gradient)


def test_the_first_training_step_spikes_alike(experiment: Experiment, trainings: dict[str, Training]) -> None:
    settings = experiment.settings
    comparison = compare_trainings(trainings["torch"], trainings["jax"])
    assert comparison.spikes_per_step == settings.steps * settings.batch_size * 128
    assert comparison.first_spike_step is None or comparison.first_spike_step > 1
    fired = np.unpackbits(trainings["torch"].spikes[0]).mean()
    assert 0.05 < fired < 0.6


def training_of(gradient: list[float], spikes: list[list[int]]) -> Training:
    bits = [np.packbits(np.array(row, bool)) for row in spikes]
    return Training(first_gradient={"w": np.array(gradient, np.float32)}, spikes=bits, spikes_per_step=len(spikes[0]))


def test_compare_finds_the_first_spike_and_the_largest_difference() -> None:
    one = training_of([1.0, -4.0], [[1, 0, 1], [1, 1, 0], [0, 0, 0]])
    other = training_of([1.0, -3.0], [[1, 0, 1], [0, 1, 1], [0, 1, 0]])
    comparison = compare_trainings(one, other)
    assert comparison.first_gradient == 0.25
    assert comparison.first_spike_step == 2
    assert comparison.first_spike_count == 2
    assert comparison.shares == [0, 2 / 3, 1 / 3]
    assert compare_trainings(one, one).first_spike_step is None
    assert relative_difference(np.zeros(3, np.float32), np.zeros(3, np.float32)) == 0


def test_the_verdict_on_the_networks_names_another_leak(experiment: Experiment) -> None:
    from arcana.demo import torch_network

    few = dataclasses.replace(experiment, test=Digits(experiment.test.images[:8], experiment.test.labels[:8]))
    leakier = dataclasses.replace(SHORT, decay=0.89)
    found = compare_networks(
        torch_network.trainer, lambda each: torch_network.trainer(dataclasses.replace(each, settings=leakier)), few
    )
    assert found.verdict == "leak"
    assert compare_networks(torch_network.trainer, torch_network.trainer, few).verdict == "same"


def test_json_and_picture(tmp_path: Path) -> None:
    picture = tmp_path / "demo.png"
    process = arcana_command("demo", "--epochs", "1", "--set", "scale=25", "--json", "--output", str(picture))
    assert process.returncode == 0, process.stderr
    results = json.loads(process.stdout)
    assert results["settings"]["surrogate"]["parameters"]["scale"] == 25
    assert set(results["backends"]) == {"torch", "jax"}
    for backend in results["backends"].values():
        assert len(backend["loss"]) == len(backend["test_accuracy"]) == 1
    assert results["comparison"]["first_gradient"] < 1e-4
    assert results["divergence"]["explained"]
    assert results["divergence"]["spikes"] == {"hidden": 20 * 360 * 128}
    assert_picture(picture)


def assert_picture(path: Path) -> None:
    from matplotlib import image

    pixels = image.imread(path)
    assert pixels.shape[0] > 400
    assert pixels.shape[1] > 800
    assert pixels.std() > 0.05


def test_a_missing_backend_is_named_and_the_other_runs(tmp_path: Path) -> None:
    picture = tmp_path / "demo.png"
    process = arcana_command("demo", "--epochs", "1", "--output", str(picture), without=("jax", "flax", "optax"))
    assert process.returncode == 0, process.stderr
    assert "JAX is left out. JAX is missing: pip install jax" in process.stderr
    assert "PyTorch took" in process.stdout
    assert "JAX" not in process.stdout
    assert_picture(picture)


def test_the_missing_backend_may_be_torch(tmp_path: Path) -> None:
    process = arcana_command("demo", "--epochs", "1", "--json", "--output", str(tmp_path / "a.png"), without=("torch",))
    assert process.returncode == 0, process.stderr
    results = json.loads(process.stdout)
    assert set(results["backends"]) == {"jax"}
    assert results["comparison"] is results["divergence"] is None
    assert "pip install torch" in results["missing"]["torch"]


@pytest.mark.parametrize(
    ("without", "arguments", "packages"),
    [
        (("jax",), ("--backend", "jax"), "jax"),
        (("optax",), ("--backend", "jax"), "flax optax"),
        (("sklearn",), (), "scikit-learn"),
        (("matplotlib",), (), "matplotlib"),
        (("typer",), (), "typer rich"),
        (("rich",), (), "typer rich"),
    ],
)
def test_what_cannot_run_says_what_to_install(without: tuple[str, ...], arguments: tuple[str, ...], packages: str) -> None:
    assert_one_line(arcana_command("demo", *arguments, without=without), 1, f"pip install {packages}\n")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--surrogate", "fast_sigmod"), ("unknown surrogate 'fast_sigmod'", "fast_sigmoid")),
        (("--set", "scale=steep"), ("scale", "'steep' is not a number")),
        (("--set", "scale"), ("name=value", "'scale'")),
        (("--set", "scale=-1"), ("FastSigmoid: scale must be > 0, got -1",)),
        (("--set", "scale=nan"), ("FastSigmoid: scale must be finite and > 0",)),
        (("--set", "scale=1", "--set", "scale=2"), ("scale", "twice")),
        (("--set", "slope=25"), ("no parameter 'slope'", "scale")),
        (("--surrogate", "ste", "--set", "scale=1"), ("ste has no parameter 'scale'",)),
        (("--set", "fires_at_threshold=3"), ("fires_at_threshold must be of type bool",)),
        (("--output", "no/such/folder/demo.png"), ("--output", "no/such/folder/demo.png")),
    ],
)
def test_a_wrong_option_is_one_line(arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    assert_one_line(arcana_here("demo", *arguments), 2, *parts)


def test_an_unknown_backend_is_refused() -> None:
    process = arcana_here("demo", "--backend", "tensorflow")
    assert process.returncode == 2
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_defaults_read_95_of_100_digits(tmp_path: Path, seed: int) -> None:
    with enable_x64(False), jax.numpy_dtype_promotion("standard"):
        process = arcana_here("demo", "--json", "--seed", str(seed), "--output", str(tmp_path / "demo.png"))
    assert process.returncode == 0, process.stderr
    for backend in json.loads(process.stdout)["backends"].values():
        assert backend["test_accuracy"][-1] > 0.95
