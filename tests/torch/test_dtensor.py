"""A call on DTensors, in one process that is a mesh of its own; several processes are in tests/distributed."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import torch.distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from arcana.rules import Integer, Rule, Smooth, Stochastic, Ternary
from arcana.surrogate import ATan, FastSigmoid, Rectangular, Surrogate
from arcana.torch import Spike, _dtensor, evaluate, spike
from arcana.torch._compat import placements_of_part

V = torch.tensor([[-0.5, 0.0, 0.3], [0.1, -0.2, 2.0]], dtype=torch.float64)


@pytest.fixture(scope="module", autouse=True)
def mesh() -> Iterator[DeviceMesh]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("placement", [Shard(0), Shard(1), Shard(-1), Replicate(), Partial()], ids=str)
@pytest.mark.parametrize("surrogate", [ATan(), Rectangular()], ids=repr)
def test_spikes_and_h_lie_like_the_potential(mesh: DeviceMesh, surrogate: Surrogate, placement: Placement) -> None:
    v = DTensor.from_local(V, mesh, [placement])
    for found, expected in ((surrogate(v), surrogate(V)), (surrogate.derivative(v), surrogate.derivative(V))):
        assert isinstance(found, DTensor)
        assert found.placements == ((Replicate(),) if placement.is_partial() else v.placements)
        assert torch.equal(found.full_tensor(), expected)


def test_a_call_leaves_the_parts_as_they_were(mesh: DeviceMesh) -> None:
    """The part that a DTensor holds gets no history from a call on it, nor does the part of a parameter."""
    local = V.clone()
    v = DTensor.from_local(local, mesh, [Shard(0)]).requires_grad_()
    scale = DTensor.from_local(torch.full((3,), 5.0, dtype=torch.float64), mesh, [Replicate()]).requires_grad_()
    spike(v, FastSigmoid(), scale=scale).sum().backward()
    with torch.no_grad():
        parts = [x.to_local() for x in (v, scale)]
    assert not any(x.requires_grad for x in (local, *parts))
    assert v.is_leaf
    assert torch.equal(parts[0], V)


def test_a_parameter_has_its_gradient_in_its_own_placement(mesh: DeviceMesh) -> None:
    plain = torch.full((3,), 5.0, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad((V * spike(V, FastSigmoid(), scale=plain)).sum(), plain)
    for placement in (Shard(0), Replicate()):
        scale = DTensor.from_local(plain.detach(), mesh, [placement]).requires_grad_()
        v = DTensor.from_local(V, mesh, [Shard(1)])
        spike(v, FastSigmoid(), scale=scale).backward(v)
        assert isinstance(scale.grad, DTensor)
        assert scale.grad.placements == (placement,)
        torch.testing.assert_close(scale.grad.full_tensor(), expected, rtol=1e-14, atol=0)


def test_a_compiled_call_is_one_graph(mesh: DeviceMesh) -> None:
    v = DTensor.from_local(V, mesh, [Shard(0)]).requires_grad_()
    scale = torch.full((3,), 5.0, dtype=torch.float64, requires_grad=True)
    expected = torch.autograd.grad((spike(v, FastSigmoid(), scale=scale) * 2).sum(), (v, scale))
    compiled = torch.compile(lambda x, s: (spike(x, FastSigmoid(), scale=s) * 2).sum(), fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(v, scale), (v, scale))
    for pair in zip(found, expected, strict=True):
        torch.testing.assert_close(*(x.full_tensor() if isinstance(x, DTensor) else x for x in pair))


@pytest.mark.parametrize("placement", [Shard(0), Replicate(), Partial()], ids=str)
def test_gradients_have_gradients_at_every_order(mesh: DeviceMesh, placement: Placement) -> None:
    def fourth(v: torch.Tensor, scale: torch.Tensor) -> list[torch.Tensor]:
        leaves = v.requires_grad_(), scale.requires_grad_()
        found: Sequence[torch.Tensor] = [spike(v, FastSigmoid(), scale=scale)]
        for _ in range(4):
            found = torch.autograd.grad(found, leaves, [x.cos() for x in found], create_graph=True)
        return [x.full_tensor() if isinstance(x, DTensor) else x for x in found]

    scale = torch.full((3,), 5.0, dtype=torch.float64)
    expected = fourth(V.clone(), scale.clone())
    found = fourth(DTensor.from_local(V.clone(), mesh, [placement]), DTensor.from_local(scale, mesh, [Replicate()]))
    assert all(x.abs().max() > 0.01 for x in expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", [Integer(3), Ternary(), Stochastic(), Smooth()], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("placement", [Shard(0), Replicate(), Partial()], ids=str)
def test_spikes_by_a_rule_lie_like_the_potential(mesh: DeviceMesh, rule: Rule, placement: Placement) -> None:
    def spikes(v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        layer = Spike(ATan(), threshold=0.25, rule=rule)
        found = layer(v.requires_grad_(), random=torch.Generator().manual_seed(1) if rule.random else None)
        found.sum().backward()
        assert v.grad is not None
        return found, v.grad

    for found, expected in zip(spikes(DTensor.from_local(V.clone(), mesh, [placement])), spikes(V.clone()), strict=True):
        assert isinstance(found, DTensor)
        torch.testing.assert_close(found.full_tensor(), expected, rtol=1e-15, atol=0)


def test_a_number_beside_a_tensor_is_handed_on(mesh: DeviceMesh) -> None:
    """In either order, and to h and G too."""
    v, gain = DTensor.from_local(V, mesh, [Shard(0)]), torch.tensor(2.0, dtype=torch.float64)
    for given in ({"scale": 5.0, "gain": gain}, {"gain": gain, "scale": 5.0}):
        for function in (
            functools.partial(evaluate, FastSigmoid(), "derivative"),
            functools.partial(evaluate, FastSigmoid(), "primitive"),
            FastSigmoid(),
        ):
            found = function(v, **given)
            assert isinstance(found, DTensor)
            assert torch.equal(found.full_tensor(), function(V, **given))


@pytest.mark.parametrize(
    ("placement", "shape", "expected"),
    [
        (Replicate(), (3,), Replicate()),
        (Shard(1), (), Replicate()),
        (Shard(1), (3,), Shard(0)),
        (Shard(0), (3,), Replicate()),
        (Shard(0), (2, 1), Shard(0)),
        (Shard(1), (2, 1), Replicate()),
        (Shard(0), (2, 3), Shard(0)),
        (Shard(1), (2, 3), Shard(1)),
        (Shard(1), (1, 3), Shard(1)),
    ],
    ids=str,
)
def test_a_parameter_lies_beside_the_potential(placement: Placement, shape: tuple[int, ...], expected: Placement) -> None:
    """Its channels with the potential's, and whole where the ranks share it."""
    assert _dtensor._beside(placement, torch.empty(2, 3), torch.empty(shape)) == expected


def test_no_rank_asks_another_whether_parts_fit(mesh: DeviceMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would be a message at each call."""
    v = DTensor.from_local(V, mesh, [Shard(0)]).requires_grad_()
    asked: list[bool] = []
    made = DTensor.from_local

    def from_local(*given: Any, run_check: bool = False, **named: Any) -> DTensor:
        asked.append(run_check)
        return made(*given, run_check=run_check, **named)

    monkeypatch.setattr(DTensor, "from_local", from_local)
    spike(v, FastSigmoid(), scale=torch.full((3,), 5.0, dtype=torch.float64)).sum().backward()
    assert asked
    assert not any(asked)


def test_errors_name_the_whole_and_what_to_write(mesh: DeviceMesh) -> None:
    v = DTensor.from_local(V, mesh, [Shard(1)])
    with pytest.raises(ValueError, match=r"scale must broadcast to v's shape \(2, 3\), got shape \(4,\)"):
        spike(v, FastSigmoid(), scale=torch.ones(4))
    with pytest.raises(ValueError, match="scale must be"):
        spike(v, FastSigmoid(), scale=torch.tensor(-1.0))
    with pytest.raises(TypeError, match="v is a plain tensor and a parameter is a DTensor: hand over v as a DTensor"):
        spike(V, FastSigmoid(), scale=DTensor.from_local(torch.ones(3), mesh, [Replicate()]))
    other = init_device_mesh("cpu", (1, 1))
    with pytest.raises(ValueError, match="put both on one mesh"):
        spike(v, FastSigmoid(), scale=DTensor.from_local(torch.ones(3), other, [Replicate(), Replicate()]))


def test_placements_of_part(mesh: DeviceMesh) -> None:
    v = DTensor.from_local(V, mesh, [Shard(1)]).requires_grad_()
    assert placements_of_part(v.to_local()) == (Shard(1),)
    assert placements_of_part(V) == placements_of_part(V.clone().requires_grad_() * 2) == ()


@pytest.mark.parametrize(
    ("placement", "shape", "learnable", "warns"),
    [
        (Shard(1), 1, ("scale",), True),
        (Shard(0), 3, ("scale",), True),
        (Shard(1), 1, ("threshold",), True),
        (Shard(1), 3, ("scale",), False),
        (Replicate(), 1, ("scale",), False),
        (Shard(1), 1, (), False),
    ],
)
def test_spike_says_where_a_gradient_would_be_a_part(
    mesh: DeviceMesh, placement: Placement, shape: int, learnable: tuple[str, ...], warns: bool, recwarn: pytest.WarningsRecorder
) -> None:
    part = DTensor.from_local(V, mesh, [placement]).requires_grad_().to_local()
    layer = Spike(FastSigmoid(), learnable=learnable, shape=shape, dtype=torch.float64)
    layer(part)
    layer(part)
    said = [str(each.message) for each in recwarn]
    assert len(said) == warns
    assert all("is this rank's part of a DTensor" in each for each in said)
    assert {each.filename for each in recwarn.list} <= {__file__}


def test_a_parameter_has_the_strides_of_a_new_tensor() -> None:
    layer = Spike(FastSigmoid(), learnable=("scale", "threshold"))
    assert layer.scale.stride() == layer.threshold.stride() == (1,)


def test_nothing_loads_dtensor_before_there_is_one() -> None:
    program = "import sys, arcana.torch as a, torch; a.fast_sigmoid(torch.ones(2, requires_grad=True)).sum().backward()"
    command = [sys.executable, "-c", program + "; sys.exit('torch.distributed.tensor' in sys.modules)"]
    assert subprocess.run(command, check=False).returncode == 0
