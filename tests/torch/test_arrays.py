"""PyTorch for `compare` and `record`: arrays in and out, gradients of some of the leaves, and the settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from arcana.torch import arrays


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int32", "bool", "complex64"])
def test_an_array_goes_in_as_a_copy_and_comes_out_the_same(dtype: str) -> None:
    kind = pytest.importorskip("ml_dtypes", reason="JAX brings it").bfloat16 if dtype == "bfloat16" else dtype
    array = np.array([[0.0, 1.0, -2.5], [3.0, 0.5, 8.0]]).astype(kind)
    before = array.copy()
    for each in (array, array.T, array[0, 0:1]):
        tensor = arrays.from_numpy(each)
        assert tensor.dtype is getattr(torch, dtype)
        found = arrays.to_numpy(tensor)
        assert (found.dtype, found.shape) == (each.dtype, each.shape)
        assert found.tobytes() == each.tobytes()
        assert arrays.to_numpy(tensor[..., ::2]).tobytes() == each[..., ::2].tobytes()
        tensor.zero_()
        assert array.tobytes() == before.tobytes()


def test_a_tensor_comes_out_as_it_is_seen() -> None:
    """With the signs and conjugates that are not in memory, and without its history; what is none as NumPy has it."""
    z = torch.tensor([1.0 + 2.0j], requires_grad=True)
    assert arrays.to_numpy(z.conj()).tolist() == [1.0 - 2.0j]
    assert arrays.to_numpy(z.conj().imag).tolist() == [-2.0]
    assert arrays.to_numpy([1, 2]).tolist() == [1, 2]
    assert [arrays.is_array(each) for each in (z, np.ones(2), 1.0)] == [True, False, False]


def test_what_torch_has_no_tensor_of_is_named() -> None:
    for fine in (np.ones(2), np.ones(()), np.ones((0, 3)), np.ones(3, np.int8)):
        arrays.check("x", fine)
    for wrong in (np.array(["text"]), np.array("text"), np.array([None])):
        with pytest.raises(TypeError, match=f"^x has dtype {wrong.dtype.name}, which torch does not take: "):
            arrays.check("x", wrong)


def test_gradients_of_the_leaves_that_are_asked_for() -> None:
    """A leaf that no output leads to has none, nor has any leaf of outputs that lead nowhere."""

    def function(leaves: Any) -> dict[str, Any]:
        a, b, c = leaves
        return {"product": a * b, "half": (2 * a).half(), "still": c + 1, "text": "text"}

    leaves = [np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([7.0, 7.0])]
    outputs, gradients = arrays.vjp(function, leaves, [0, 2])
    assert outputs["product"].tolist() == [3.0, 10.0]
    assert [x.requires_grad for x in outputs.values() if isinstance(x, torch.Tensor)] == [True, True, True]
    ones = np.ones(2)
    for given, expected in (
        ({"product": ones}, [[3.0, 5.0], None]),
        ({"product": 2 * ones, "half": ones}, [[8.0, 12.0], None]),
        ({"still": 3 * ones}, [None, [3.0, 3.0]]),
        ({"text": ones}, [None, None]),
        ({}, [None, None]),
    ):
        assert [None if x is None else x.tolist() for x in gradients(given)] == expected


@pytest.mark.parametrize("has_gpu", [False, True])
@pytest.mark.parametrize("flushes", [False, True])
def test_settings_say_what_changes_numbers(has_gpu: bool, flushes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.set_flush_denormal(flushes)
    try:
        found = arrays.settings()
    finally:
        torch.set_flush_denormal(False)
        torch.set_default_dtype(before)
    assert found == {
        "version": torch.__version__,
        "device": "cpu, cuda" if has_gpu else "cpu",
        "float64": "kept; default dtype float64",
        "matmul precision": torch.get_float32_matmul_precision(),
        "subnormals": "flushed to zero" if flushes else "kept",
        "threads": "3",
    }
