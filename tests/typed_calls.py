"""The public calls as a typed user writes them: pyright reads this file, nothing runs it."""

from __future__ import annotations

from typing import assert_type

import jax
import numpy as np
import torch

import arcana.jax
import arcana.torch
from arcana import presets
from arcana._core import Arrays, Backend
from arcana.jax._checks import ARRAYS
from arcana.rules import Integer, Rule, Stochastic
from arcana.surrogate import FastSigmoid, Surrogate, from_dict, get, parameter
from arcana.torch._checks import TENSORS

backends: list[Backend] = [arcana.torch, arcana.jax]
arrays: list[Arrays] = [TENSORS, ARRAYS]


class Cauchy(Surrogate):
    width: float = parameter(1.0, above=0)
    order: int = 2

    @staticmethod
    def derivative(v, xp, *, width, order):
        return xp.reciprocal(xp.abs(v / width) ** order + 1)


def of_presets(v: torch.Tensor, name: str) -> None:
    assert_type(presets.get(name), Surrogate)
    assert_type(presets.get_rule(name, max_spike_count=4), Rule)
    assert_type(presets.sinabs.max_spike(max_num_spikes_per_bin=4), Integer)
    assert_type(arcana.torch.spike(v, presets.get(name), rule=presets.get_rule(name)), torch.Tensor)
    arcana.torch.spike(v, presets.sinabs.multi_spike())  # pyright: ignore[reportArgumentType]
    arcana.torch.spike(v, presets.get(name), rule=presets.sinabs.gaussian())  # pyright: ignore[reportArgumentType]
    presets.sinabs.max_spike(4)  # pyright: ignore[reportCallIssue]
    presets.sinabs.multi_spike(threshold=0.5)  # pyright: ignore[reportCallIssue]


def in_torch(v: torch.Tensor, slopes: torch.Tensor) -> None:
    assert_type(arcana.torch.fast_sigmoid(v), torch.Tensor)
    assert_type(arcana.torch.fast_sigmoid(v, scale=25.0), torch.Tensor)
    assert_type(arcana.torch.fast_sigmoid(v, scale=slopes, gain=2.0), torch.Tensor)
    assert_type(arcana.torch.spike(v, Cauchy(width=0.5), width=slopes), torch.Tensor)
    assert_type(arcana.torch.fast_sigmoid(v, rule=Integer(4), scale=slopes), torch.Tensor)
    assert_type(arcana.torch.spike(v, FastSigmoid, rule=Stochastic(), random=torch.Generator()), torch.Tensor)
    assert_type(FastSigmoid()(v, rule=Integer(4, step=0.5)), torch.Tensor)
    arcana.torch.spike(v, FastSigmoid, rule=Integer)  # pyright: ignore[reportArgumentType]
    assert_type(FastSigmoid(scale=25)(v), torch.Tensor)
    assert_type(FastSigmoid().derivative(v), torch.Tensor)
    assert_type(arcana.torch.FastSigmoid.apply(v), torch.Tensor)
    assert_type(arcana.torch.FastSigmoid.pseudo_derivative(v, scale=slopes), torch.Tensor)
    arcana.torch.Spike(Cauchy(), threshold=0.5, learnable=("width", "threshold"))(v)
    _ = arcana.torch.FastSigmoid.scale + 1.0
    # A class and a function stand for their default parameters.
    assert_type(arcana.torch.spike(v, FastSigmoid), torch.Tensor)
    assert_type(arcana.torch.spike(v, arcana.torch.FastSigmoid), torch.Tensor)
    assert_type(arcana.torch.evaluate(arcana.torch.fast_sigmoid, "derivative", v), torch.Tensor)
    arcana.torch.Spike(arcana.torch.fast_sigmoid, threshold=torch.nn.Parameter(slopes), learnable="scale").reset_parameters()
    arcana.torch.spike(v, "fast_sigmoid")  # pyright: ignore[reportArgumentType]
    arcana.torch.Spike(3.0)  # pyright: ignore[reportArgumentType]
    arcana.torch.fast_sigmoid(v, 25.0)  # pyright: ignore[reportCallIssue]
    arcana.torch.fast_sigmoid(scale=25.0)  # pyright: ignore[reportCallIssue]


def in_jax(v: jax.Array, slopes: jax.Array) -> None:
    assert_type(arcana.jax.fast_sigmoid(v, scale=25.0), jax.Array)
    assert_type(arcana.jax.fast_sigmoid(v, scale=slopes), jax.Array)
    assert_type(arcana.jax.spike(v, Cauchy(order=4), width=slopes), jax.Array)
    assert_type(arcana.jax.fast_sigmoid(v, rule=Stochastic(), random=jax.random.key(0)), jax.Array)
    assert_type(FastSigmoid(scale=25.0)(v), jax.Array)
    assert_type(arcana.jax.forward_mode(FastSigmoid(scale=25.0))(v), jax.Array)
    assert_type(arcana.jax.forward_mode(arcana.jax.fast_sigmoid)(v), jax.Array)
    assert_type(arcana.jax.spike(v, FastSigmoid), jax.Array)
    assert_type(arcana.jax.spike(np.zeros(3), arcana.jax.FastSigmoid), jax.Array)
    assert_type(arcana.jax.spike(0.5, Cauchy(), width=slopes), jax.Array)


def of_definitions() -> None:
    assert_type(FastSigmoid(scale=25.0).unit_area(), FastSigmoid)
    assert_type(from_dict(get("fast_sigmoid", scale=25.0).to_dict()), Surrogate)
    FastSigmoid(25.0)  # pyright: ignore[reportCallIssue]  (parameters are given by keyword)
    FastSigmoid(slope=25.0)  # pyright: ignore[reportCallIssue]
    FastSigmoid().scale = 3.0  # pyright: ignore[reportAttributeAccessIssue]  (frozen)
