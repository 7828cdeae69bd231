"""The private functions of torch and Triton that this backend rests on, and the versions in which they differ.

Nothing else in `arcana` reads a private name of them. tests/torch/test_compat.py fails by the name of one that has vanished.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import torch
from torch.autograd import forward_ad

# Whether a transform of torch.func is running. The same in 2.6 to 2.15.
transforms_active = torch._C._are_functorch_transforms_active

_functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]

# Whether a tensor belongs to a transform of torch.func, perhaps one that has ended. The same in 2.6 to 2.15.
is_transformed = _functorch.is_functorch_wrapped_tensor

# Whether a tensor is a batch of cotangents, of torch.autograd.grad(is_grads_batched=True). The same in 2.6 to 2.15.
is_batch_of_cotangents = _functorch.is_legacy_batchedtensor

# Whether torch.export is at work. Missing before 2.7.
is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", lambda: False)

# How many modes see every operation (FakeTensorMode, make_fx, a user's TorchDispatchMode). The same in 2.6 to 2.15.
dispatch_modes = torch._C._len_torch_dispatch_stack

# What torch.jit.trace is recording, or None. The same in 2.6 to 2.15.
jit_trace = torch._C._get_tracing_state

# A context without the __torch_function__ modes, torch.device("cuda") among them. The same in 2.6 to 2.15.
without_function_modes = torch._C.DisableTorchFunction

# A context in which forward mode is on or off; torch turns it off inside a Function's jvp. The same in 2.6 to 2.15.
forward_mode_enabled = forward_ad._set_fwd_grad_enabled

_autograd: Any = torch._C._autograd  # pyright: ignore[reportAttributeAccessIssue]

# A look at the innermost pair of saved-tensor hooks. Missing before 2.8, see `without_saved_tensor_hooks`.
top_saved_tensor_hooks = getattr(_autograd, "_top_saved_tensors_default_hooks", None)

# The innermost pair of saved-tensor hooks, taken off and put back. The same in 2.6 to 2.15.
pop_saved_tensor_hooks = _autograd._pop_saved_tensors_default_hooks
push_saved_tensor_hooks = _autograd._push_saved_tensors_default_hooks

# The handle of a device's current CUDA stream, in a fifth of the time of torch.cuda.current_stream; builds without CUDA lack it.
current_stream: Any = getattr(torch._C, "_cuda_getCurrentRawStream", None)


def launcher(kernel: Any) -> Callable[..., None]:
    """Return what launches a compiled Triton kernel; it takes the number of instances, the device's number and the arguments.

    Triton's own way finds out at each call for which types the kernel has to be compiled, and takes 10 to 20 µs for it. The
    members of a compiled kernel that are used here are the same in Triton 3.3 to 3.9; 3.6 is the one that has run.
    """
    run, function, metadata = kernel.run, kernel.function, kernel.packed_metadata

    def launch(instances: int, device: int, *arguments: Any) -> None:
        run(instances, 1, 1, current_stream(device), function, metadata, None, None, None, *arguments)

    return launch


# Whether saved-tensor hooks are passed over, as while Dynamo traces. Used before 2.8, and the same in 2.15.
pass_over_saved_tensor_hooks = _autograd._saved_tensors_hooks_set_tracing


@contextlib.contextmanager
def without_saved_tensor_hooks() -> Generator[None]:
    """Set the caller's saved-tensor hooks aside."""
    if top_saved_tensor_hooks is None:
        before = pass_over_saved_tensor_hooks(True)
        try:
            yield
        finally:
            pass_over_saved_tensor_hooks(before)
        return
    hooks = []
    while (top := top_saved_tensor_hooks(True)) is not None:
        hooks.append(top)
        pop_saved_tensor_hooks()
    try:
        yield
    finally:
        for pack, unpack in reversed(hooks):
            push_saved_tensor_hooks(pack, unpack)


def vjp_without_hooks(function: Callable[..., torch.Tensor], *arguments: torch.Tensor) -> Any:
    """Return the pullback of torch.func.vjp inside `without_saved_tensor_hooks`: before 2.8 past its check for hooks."""
    if top_saved_tensor_hooks is None:
        return torch._functorch.eager_transforms._vjp_with_argnums.__wrapped__(function, *arguments)[1]  # pyright: ignore[reportAttributeAccessIssue]
    return torch.func.vjp(function, *arguments)[1]


def in_forward_mode() -> bool:
    """Whether a level of forward mode is open. A variable of its module, the same in 2.6 to 2.15."""
    return forward_ad._current_level >= 0


def transformed(v: torch.Tensor) -> bool:
    """Whether something other than plain eager autograd will look at a call on v."""
    # `in_forward_mode` is written out, since this is asked at every call.
    return (
        type(v) not in (torch.Tensor, torch.nn.Parameter)
        or transforms_active()
        or forward_ad._current_level >= 0
        or dispatch_modes() > 0
        or jit_trace() is not None
        or is_transformed(v)  # left over from a transform that has ended
        or is_batch_of_cotangents(v)
    )


def quick_apply(function: type[torch.autograd.Function]) -> Any:
    """`apply` without the look for tensors of torch.func. The class above torch.autograd.Function, the same in 2.6 to 2.15."""
    return super(torch.autograd.Function, function).apply  # pyright: ignore[reportAttributeAccessIssue]


def placements_of_part(v: torch.Tensor) -> tuple[Any, ...]:
    """Return the placements of the DTensor whose part on this rank v is, as to_local gave it; none of any other tensor.

    An attribute of the node of autograd that to_local makes, the same in 2.6 to 2.15.
    """
    spec = getattr(v.grad_fn, "dtensor_spec", None)
    return () if spec is None else spec.placements


def in_backward() -> bool:
    """Whether autograd is running a backward pass on this thread. The same in 2.6 to 2.15."""
    return torch._C._current_graph_task_id() != -1


# A context in which no transform of torch.func looks on. The same in 2.6 to 2.15.
without_transforms = torch._C._DisableFuncTorch


def plain(x: torch.Tensor) -> torch.Tensor:
    """Return the tensor inside those of torch.func, the axis of each vmap first. The functions are the same in 2.6 to 2.15."""
    axes = []
    while is_transformed(x):
        axes += [_functorch.maybe_get_bdim(x)] if _functorch.is_batchedtensor(x) else []
        x = _functorch.get_unwrapped(x)
    # From the outermost on, each of what the ones before leave: a tensor that is still inside another moves none.
    for place, axis in enumerate(reversed(axes)):
        x = x.movedim(place + axis, place)
    return x
