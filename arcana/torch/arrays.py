"""PyTorch for `compare` and `record` of `arcana.testing`: arrays in and out, a vector-Jacobian product, and the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

Array = np.ndarray[Any, Any]


def from_numpy(array: Array) -> torch.Tensor:
    """Make a tensor of a copy."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def to_numpy(value: Any) -> Array:
    """Return the array of a tensor, or of anything that NumPy takes."""
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    value = value.detach().cpu().resolve_conj().resolve_neg()
    if value.dtype == torch.bfloat16:
        import ml_dtypes  # JAX brings it; NumPy has no bfloat16 of its own.

        return value.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return value.numpy()


def check(name: str, array: Array) -> None:
    """Raise a TypeError if torch has no tensor of an array."""
    try:
        from_numpy(array[..., :0] if array.ndim else array)
    except TypeError as error:
        msg = f"{name} has dtype {array.dtype.name}, which torch does not take: {error}"
        raise TypeError(msg) from error


def is_array(value: Any) -> bool:
    """Whether a value is one of this framework's arrays."""
    return isinstance(value, torch.Tensor)


def vjp(
    function: Callable[[Sequence[Any]], dict[str, Any]], leaves: Sequence[Array], differentiable: Sequence[int]
) -> tuple[dict[str, Any], Callable[[dict[str, Array]], list[Array | None]]]:
    """Return the outputs by name, and a function from cotangents by output to the gradients of the differentiable leaves.

    A gradient is None where nothing leads from the outputs to the leaf.
    """
    inputs = [from_numpy(leaf) for leaf in leaves]
    asked = [inputs[i].requires_grad_() for i in differentiable]

    def leads(value: Any) -> bool:
        return isinstance(value, torch.Tensor) and value.requires_grad

    outputs = function(inputs)

    def gradients(cotangents: dict[str, Array]) -> list[Array | None]:
        reached = {name: value for name, value in cotangents.items() if leads(outputs[name])}
        if not reached:
            return [None] * len(asked)
        found = torch.autograd.grad(
            [outputs[name] for name in reached],
            asked,
            [from_numpy(value).to(outputs[name].dtype) for name, value in reached.items()],
            retain_graph=True,
            allow_unused=True,
        )
        return [None if each is None else to_numpy(each) for each in found]

    return outputs, gradients


def settings() -> dict[str, str]:
    """Return the parts of PyTorch's state that change numbers."""
    tiny = torch.tensor([np.finfo(np.float32).tiny]) * 0.5
    return {
        "version": torch.__version__,
        "device": "cpu, cuda" if torch.cuda.is_available() else "cpu",
        "float64": f"kept; default dtype {str(torch.get_default_dtype()).removeprefix('torch.')}",
        "matmul precision": torch.get_float32_matmul_precision(),
        "subnormals": "kept" if bool(tiny.item()) else "flushed to zero",
        "threads": str(torch.get_num_threads()),
    }
