"""The spike function as a module, with the threshold inside and parameters that can be trained."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import sys
import typing
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.fx

from arcana._core import AnySurrogate, Surrogate, checked_learnable, surrogate_of, warn_of_library
from arcana.torch._checks import distributed, in_sight
from arcana.torch._compat import placements_of_part
from arcana.torch._function import spike

if typing.TYPE_CHECKING:
    from arcana.rules import Rule

_FEW = 6
"""So many values are printed one by one."""


class Spike(torch.nn.Module):
    """spike(v − threshold), as a layer.

    A threshold given as a number stays what it is in every dtype: the buffer `threshold` holds it in float64, also after
    `.half()`, and v − threshold has the bits of v − number. A tensor is copied; an nn.Parameter is trained, and shared if two
    layers are given the same one. It follows `.to(dtype)` as every parameter does.

    A learnable parameter keeps what the optimizer writes, and a value out of its domain counts as the nearest inside: h keeps
    its sign, and the gradient, which is the one there, can lead back. So the state dict has the values of the parameters
    themselves, under their own names, and no step leaves the domain in effect.

    Args:
        surrogate: any `Surrogate` instance; a class or a function stands for its default parameters.
        threshold: the potential at which a neuron fires, a number or a tensor that broadcasts to v (default 1).
        learnable: names to train, among the surrogate's parameters and "threshold"; each becomes an nn.Parameter of
            that name, and gets ∂G/∂parameter.
        shape: of each learnable parameter made here; it broadcasts to v. A number of channels, or a tuple (default 1: one
            value for all, in a tensor of one axis, which every way of splitting a model takes).
        rule: of `arcana.rules`, where spikes are something else than 0 and 1. v is then the potential less the threshold, so
            counts at multiples of the threshold are `Integer(most, step=threshold)`, and ±threshold is
            `Ternary(gap=2 * threshold)`. `layer(v, random=...)` hands on what the rule draws from.
        device: of what is made here (default torch's default device).
        dtype: of the learnable parameters (default torch's default dtype).

    Shapes and dtypes: those of v, kept.

    Raises:
        TypeError: surrogate is none, threshold is no number or tensor of numbers, or a learnable name is none of its parameters.
        ValueError: threshold is not finite, asks for a gradient and is no nn.Parameter, or does not broadcast to shape.

    >>> from arcana.surrogate import FastSigmoid
    >>> Spike(FastSigmoid(scale=25.0), learnable="scale", shape=2)
    Spike(FastSigmoid(scale=25.0), threshold=1.0, learnable=('scale',), scale=[25.0, 25.0])
    """

    threshold: torch.Tensor
    rule: Rule | None = None

    def __init__(
        self,
        surrogate: AnySurrogate,
        threshold: float | torch.Tensor = 1.0,
        learnable: Iterable[str] | str = (),
        *,
        shape: int | Sequence[int] = 1,
        rule: Rule | None = None,
        device: torch.types.Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the layer spike(v − threshold); its class says what each argument is.

        >>> from arcana.surrogate import FastSigmoid
        >>> layer = Spike(FastSigmoid(scale=25.0), threshold=1.0, learnable="scale", shape=2)
        """
        # Without a docstring of its own an editor shows torch's.
        super().__init__()
        self._given = surrogate_of(surrogate, "Spike", threshold)
        names = checked_learnable(learnable, self._given)
        self.learnable = tuple(name for name in names if name != "threshold")
        self._first = _checked_threshold(threshold, "threshold" in names)
        self._looked_for_library = False
        if rule is not None:
            from arcana.rules import checked_rule

            self.rule = checked_rule(rule, None)
        size = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = torch.get_default_dtype() if dtype is None else dtype

        def parameter(value: float | torch.Tensor) -> torch.nn.Parameter:
            values = torch.as_tensor(value, dtype=dtype, device=device)
            whole = values.expand(_broadcast(size, values.shape))
            # Not the strides of the expansion, which the buckets of DistributedDataParallel would take over.
            return torch.nn.Parameter(whole.clone(memory_format=torch.contiguous_format))

        if isinstance(threshold, torch.nn.Parameter):
            self.threshold = threshold
        elif "threshold" in names:
            self.threshold = parameter(self._first)
        elif isinstance(self._first, torch.Tensor):
            self.register_buffer("threshold", self._first.clone() if device is None else self._first.to(device, copy=True))
        else:
            self.register_buffer("threshold", torch.tensor(self._first, dtype=torch.float64, device=device))
        for name in self.learnable:
            self.register_parameter(name, parameter(getattr(self._given, name)))

    @property
    def surrogate(self) -> Surrogate:
        """The surrogate with the present values of the learnable parameters, where each has one value for all channels."""
        values = {name: _one_value(self._held(name, getattr(self, name))) for name in self.learnable}
        return dataclasses.replace(self._given, **{name: value for name, value in values.items() if value is not None})

    def reset_parameters(self) -> None:
        """Set every value as it was given, also after `to_empty`; a threshold that was on the meta device then had none."""
        with torch.no_grad():
            if isinstance(self._first, torch.Tensor) and self._first.is_meta:
                msg = "Spike: the threshold was given on the meta device, so there is no value to go back to; fill it yourself"
                raise ValueError(msg)
            self.threshold.copy_(torch.as_tensor(self._first, dtype=torch.float64))
            for name in self.learnable:
                getattr(self, name).fill_(getattr(self._given, name))

    def forward(self, v: torch.Tensor, random: torch.Generator | torch.Tensor | None = None) -> torch.Tensor:
        if isinstance(v, torch.fx.Proxy):
            from arcana.torch._fx import module_node

            proxy: Any = v
            node = module_node(proxy, self)
            learned: dict[str, Any] = {name: getattr(self, name) for name in self.learnable}
            return spike(proxy - self.threshold, self._given, rule=self.rule, **learned) if node is None else node
        if not self._looked_for_library and not torch.compiler.is_compiling():
            self._looked_for_library = True
            _warn_of_library(self.threshold)
            _warn_of_parts(v, self.parameters(recurse=False))
        given = v, self.threshold, *(getattr(self, name) for name in self.learnable)
        if any(map(distributed, given)):
            from arcana.torch._dtensor import by_parts

            return by_parts(functools.partial(self._fire, random), *given)
        return self._fire(random, *given)

    def _fire(
        self, random: torch.Generator | torch.Tensor | None, v: torch.Tensor, threshold: torch.Tensor, *learned: torch.Tensor
    ) -> torch.Tensor:
        values: dict[str, Any] = {name: self._held(name, stored) for name, stored in zip(self.learnable, learned, strict=True)}
        v = _difference(v, threshold) if isinstance(v, torch.Tensor) else v
        return spike(v, self._given, rule=self.rule, random=random, **values)

    def _held(self, name: str, stored: torch.Tensor) -> torch.Tensor:
        """Return a learnable parameter inside its domain, with the gradient of that value."""
        if not self._given.bounded(name):
            return stored
        low, high = self._given.domain(name, "float64" if stored.dtype is torch.float64 else "float32")
        if in_sight(stored):
            ends = (stored,) if stored.numel() == 1 else stored.detach().aminmax()
            if all(low <= each.item() <= high for each in ends):
                return stored
        # Not in a half type, where the nearest value inside may be 0.
        wide = stored if stored.dtype is torch.float64 else stored.float()
        # Plus 0, which has the gradient of a value that was not moved.
        return wide.detach().clamp(low, high) + (wide - wide.detach())

    def extra_repr(self) -> str:
        if torch.compiler.is_compiling():
            # torch.func.vmap of a module asks for it, and Dynamo follows no look at a tensor's values.
            return repr(self._given)
        several = [name for name in self.learnable if _one_value(self._held(name, getattr(self, name))) is None]
        many = "".join(f", {name}={_summary(getattr(self, name))}" for name in several)
        rule = "" if self.rule is None else f", rule={self.rule!r}"
        return f"{self.surrogate!r}, threshold={_summary(self.threshold)}, learnable={self.learnable}{many}{rule}"

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Saved when the surrogate was an attribute of that name.
        self._given = state.pop("surrogate") if "surrogate" in state else state["_given"]
        super().__setstate__({"_looked_for_library": False} | state)
        if "_first" not in state:
            # Saved when a layer did not know what it had been given.
            self._first = self.threshold.detach().clone()

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        exact = self._buffers.get("threshold") if isinstance(self._first, float) else None

        def keeping_the_number(tensor: torch.Tensor) -> torch.Tensor:
            """Do what `fn` does, save that the threshold stays in float64."""
            if tensor is not exact or tensor.dtype is not torch.float64:
                return fn(tensor)
            try:
                moved = fn(tensor)
                return moved if moved.dtype is torch.float64 else tensor.to(moved.device)
            except TypeError:
                # A device without float64 (MPS).
                return fn(tensor.float())

        return super()._apply(keeping_the_number, recurse)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        key = f"{prefix}threshold"
        if isinstance(self._first, float) and _is_rounded(state_dict.get(key), self._buffers.get("threshold")):
            # What a checkpoint has of this very number, rounded to float32 or to a half type, is this number.
            state_dict[key] = self.threshold.detach().clone()
        for name in ("threshold", *self.learnable):
            given, own = state_dict.get(f"{prefix}{name}"), self._parameters.get(name)
            if isinstance(given, torch.Tensor) and own is not None and given.ndim == 0 and own.shape == (1,):
                # A layer of another shape=, with the same one value for all.
                state_dict[f"{prefix}{name}"] = given.reshape(1)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _broadcast(size: tuple[int, ...], given: torch.Size) -> tuple[int, ...]:
    """Return the shape of a parameter of one size whose values were given in a shape; several values keep their own."""
    if given.numel() > 1 and size == (1,):
        return tuple(given)
    try:
        return tuple(torch.broadcast_shapes(size, given))
    except RuntimeError:
        msg = f"Spike: threshold must broadcast to shape {size}, got shape {tuple(given)}"
        raise ValueError(msg) from None


_SUBTRACTING = ("norse", "sinabs", "snntorch", "spikingjelly")
"""Libraries whose neurons hand their spike function the potential less the threshold."""


def _warn_of_library(threshold: torch.Tensor) -> None:
    """Warn where the neuron of a library calls the layer, which then subtracts a second threshold."""
    if _one_value(threshold) != 0:
        warn_of_library(_SUBTRACTING, ("torch", "arcana"), _summary(threshold), sys._getframe(2))


def _warn_of_parts(v: torch.Tensor, parameters: Iterable[torch.Tensor]) -> None:
    """Warn where each rank would get its part of the gradient of a parameter that all share: a plain v does not say so."""
    placements = placements_of_part(v)
    for x in parameters:
        axes = [each.dim - (v.ndim - x.ndim) for each in placements if each.is_shard()]
        if x.requires_grad and any(axis < 0 or x.shape[axis] == 1 for axis in axes):
            msg = (
                "Spike: the potential is this rank's part of a DTensor, so a learned parameter that the ranks share gets a part "
                "of its gradient; hand over the DTensor (use_local_output=False of the layer before), or put this layer into the "
                "plan of parallelize_module with SequenceParallel(sequence_dim=-1)"
            )
            warnings.warn(msg, UserWarning, stacklevel=5)
            return


def _is_rounded(given: Any, exact: torch.Tensor | None) -> bool:
    if exact is None or not _is_plain(given) or not _is_plain(exact) or not given.ndim == exact.ndim == 0:
        return False
    return given.dtype is not exact.dtype and given.item() == exact.to(given.dtype).item()


def _checked_threshold(threshold: Any, learnable: bool) -> float | torch.Tensor:
    """Return the threshold that a layer begins with: a float, or a tensor of its own."""
    if isinstance(threshold, numbers.Real) and not isinstance(threshold, bool):
        value, finite = float(threshold), math.isfinite(threshold)
    else:
        value = _own_tensor(threshold, learnable)
        finite = not _is_plain(value) or bool(torch.isfinite(value).all())
    if not finite:
        msg = f"Spike: threshold must be finite, got {threshold!r}"
        raise ValueError(msg)
    return value


def _own_tensor(threshold: Any, learnable: bool) -> torch.Tensor:
    if not isinstance(threshold, (torch.Tensor, list, tuple)) and not hasattr(threshold, "__array__"):
        msg = f"Spike: threshold must be a number or a tensor, got {threshold!r} ({type(threshold).__name__})"
        raise TypeError(msg)
    value = torch.as_tensor(threshold)
    if value.dtype is torch.bool or value.is_complex():
        msg = f"Spike: threshold must be a tensor of real numbers, got {value.dtype}"
        raise TypeError(msg)
    if value.requires_grad and not (learnable or isinstance(value, torch.nn.Parameter)):
        msg = "Spike: threshold asks for a gradient that a copy loses: give an nn.Parameter, or learnable=('threshold',)"
        raise ValueError(msg)
    return value.detach().clone() if value.is_floating_point() else value.to(torch.get_default_dtype())


def _is_plain(value: Any) -> bool:
    """Whether it is a tensor whose values can be asked for: not on the meta device, no fake one, no shard."""
    return type(value) in (torch.Tensor, torch.nn.Parameter) and not value.is_meta


def _difference(v: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Return v − threshold in v's dtype, to which the threshold is rounded as a Python number is."""
    if not threshold.requires_grad or threshold.dtype is v.dtype or v.dtype not in (torch.float16, torch.bfloat16):
        return v - threshold.to(v.dtype)
    # Its gradient is a sum, which a half type would round, or take for infinite: so the rounding is past autograd.
    rounded = threshold.detach().to(v.dtype).float() + (threshold - threshold.detach()).float()
    return (v.float() - rounded).to(v.dtype)


def _one_value(value: torch.Tensor) -> float | None:
    """Return the value of a tensor that has one, in as many digits as tell it from its neighbours, else None."""
    if not _is_plain(value) or value.numel() != 1 or not math.isfinite(number := value.item()):
        return None
    return number if value.dtype is torch.float64 else float(str(np.float32(number)))


def _summary(value: torch.Tensor) -> str:
    """Write a few values as they are, many by their shape and range."""
    if not _is_plain(value) or value.numel() == 0:
        return f"{tuple(value.shape)} on {value.device}"
    if value.numel() == 1 or (value.ndim == 1 and value.numel() <= _FEW):
        shown = [repr(_one_value(each)) for each in value.detach().flatten()]
        return shown[0] if value.numel() == 1 else f"[{', '.join(shown)}]"
    low, high = torch.aminmax(value.detach())
    return f"{tuple(value.shape)} from {_one_value(low)!r} to {_one_value(high)!r}"
