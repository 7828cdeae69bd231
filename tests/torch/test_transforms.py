"""Every torch row of the transforms table, for every surrogate: bits against plain backward, and against the paper."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from by_way import NEAR, gain_gradients, gradients as gradients_by, parameter_gradients
from every import every_parameter, every_surrogate, parameters_of
from known_values import KNOWN
from truth import COTANGENT, POINTS, assert_exact, exact_at_points

import arcana.torch.conformance as side
from arcana import surrogate as definitions
from arcana.surrogate import Surrogate
from arcana.testing._values import BITS, hard_sample, ulp_difference
from arcana.torch import spike


def ways_and_dtypes(ways: tuple[str, ...]) -> pytest.MarkDecorator:
    """Every way in float32 and in float64, but of the compiled ones one in float64: their code is the same."""
    in_float64 = [way for way in ways if "compile" not in way or way == "compile, then backward"]
    return pytest.mark.parametrize(
        ("way", "dtype"), [*((way, "float32") for way in ways), *((way, "float64") for way in in_float64)]
    )


@every_surrogate
@ways_and_dtypes(side.FIRST)
def test_first_derivative(name: str, dtype: str, way: str, together: tuple[str, ...]) -> None:
    found, plain = (gradients_by(side, each, dtype, together)[:, together.index(name)] for each in (way, "backward"))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, plain)
    assert_exact(found, exact_at_points("h", definitions.get(name), dtype), 4, dtype)


def test_each_word_of_a_row_does_what_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of x³ and 2x, whose derivatives are known; a checkpoint computes it again, and a strided view is one."""
    x, c, seen = torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([3.0, 5.0, -7.0]), []

    def cube(y: torch.Tensor) -> torch.Tensor:
        seen.append(y)
        return y**3

    for name, word in side.POINTWISE.items():
        seen.clear()
        second = name == "double backward"
        torch.testing.assert_close(word(cube, x, c), c * (6 * x if second else 3 * x**2), rtol=1e-6, atol=0)
        assert len(seen) == 1 + (name == "checkpoint"), name
        assert seen[0].is_contiguous() == (name != "backward of a strided view")
        # A constant, and one that has a gradient of its own.
        for factor in (torch.tensor(2.0), torch.tensor(2.0, requires_grad=True)):
            found = word(lambda y, factor=factor: factor * y, x, c)
            torch.testing.assert_close(found.detach(), 0 * x if second else 2 * c, rtol=0, atol=0)
    seen.clear()
    torch.autograd.grad(side.WRAPPERS["checkpoint"](cube)(x.requires_grad_()), x, c)
    assert len(seen) == 2
    calls = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: calls.append("reset"))
    monkeypatch.setattr(torch, "compile", lambda f, **how: calls.append(how))
    side.WRAPPERS["compile"](cube)
    assert calls == ["reset", {"fullgraph": True, "backend": "aot_eager"}]
    # The Hessian of sum(c · (p² v + v)) times (dp, dv), and of what is linear, or of p or v alone.
    p, v, dp, dv = torch.arange(1.0, 13.0).reshape(4, 3)
    twice = side.PRODUCTS["double backward"]
    torch.testing.assert_close(
        twice(lambda p, v: p * p * v + v, p, v, c, dp, dv), torch.stack([c * (2 * v * dp + 2 * p * dv), c * 2 * p * dp])
    )
    torch.testing.assert_close(twice(lambda p, v: p * p, p, v, c, dp, dv), torch.stack([2 * c * dp, 0 * v]))
    torch.testing.assert_close(twice(lambda p, v: v * v, p, v, c, dp, dv), torch.stack([0 * p, 2 * c * dv]))


@every_surrogate
@pytest.mark.parametrize("way", side.SECOND)
def test_second_derivative(name: str, way: str, together: tuple[str, ...]) -> None:
    found = gradients_by(side, way, "float32", together)[:, together.index(name)]
    assert_exact(found, exact_at_points("slope", definitions.get(name), "float32"), 8, "float32")


@every_parameter
@ways_and_dtypes(side.PARAMETER)
def test_parameter_gradient(name: str, key: str, dtype: str, way: str, together: tuple[str, ...]) -> None:
    cases = parameters_of(together)
    found = parameter_gradients(side, way, dtype, cases)[:, cases.index((name, key))]
    assert_exact(found, exact_at_points("parameter", definitions.get(name), dtype, key), 8, dtype)


@every_surrogate
@pytest.mark.parametrize("way", [way for way in side.PARAMETER if "compile(" not in way])
def test_gain_gradient_is_the_rise_of_the_primitive(name: str, way: str, together: tuple[str, ...]) -> None:
    """G − 1/2 is formed by subtraction, so near 0 the error is one of rounding 1/2, not of the small difference.

    To what transforms inside a compiled function it is a parameter like the others.
    """
    found = gain_gradients(side, way, together)[:, together.index(name)]
    rise = (definitions.get(name).primitive(NEAR.astype("float32").astype("float64")) - 0.5) * COTANGENT[: NEAR.size]
    np.testing.assert_allclose(found, rise, rtol=3e-6, atol=3e-7)


INSIDE: dict[str, Callable[[Surrogate, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "func.grad": lambda s, v, c: torch.func.grad(lambda x: (c * spike(x, s)).sum())(v),
    "vmap(grad)": lambda s, v, c: torch.func.vmap(torch.func.grad(lambda x, y: y * spike(x, s)))(v, c),
    "func.jvp": lambda s, v, c: torch.func.jvp(lambda x: spike(x, s), (v,), (c,))[1],
}
"""Ways that take the gradient inside what is compiled."""


@functools.cache
def hard_potentials(dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
    v = side.from_bits(hard_sample(dtype), dtype)
    return v, (torch.arange(v.numel()) % 97 / 64 + 0.5).to(v.dtype)


def near_potentials() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(POINTS.astype("float32")), torch.from_numpy(COTANGENT.astype("float32"))


@functools.cache
def by_inductor(names: tuple[str, ...]) -> dict[tuple[str, str], tuple[torch.Tensor, ...]]:
    """The spikes and c · h of a hard sample by dtype, and c · h by INSIDE, of each surrogate: all is one graph."""
    torch.compiler.reset()
    surrogates = [definitions.get(name) for name in names]
    inputs = {(name, dtype): hard_potentials(dtype)[0].clone().requires_grad_() for name in names for dtype in BITS}
    near = near_potentials()

    def function(potentials: list[torch.Tensor], v: torch.Tensor, c: torch.Tensor) -> tuple[list[torch.Tensor], ...]:
        outside = [spike(x, s) for x, s in zip(potentials, [s for s in surrogates for _ in BITS], strict=True)]
        return outside, [way(s, v, c) for s in surrogates for way in INSIDE.values()]

    spikes, inside = torch.compile(function, fullgraph=True)(list(inputs.values()), *near)
    outside = torch.autograd.grad(spikes, list(inputs.values()), [hard_potentials(dtype)[1] for _, dtype in inputs])
    found = dict(zip(inputs, zip(spikes, outside, strict=True), strict=True))
    return found | dict(zip([(name, way) for name in names for way in INSIDE], ((each,) for each in inside), strict=True))


def assert_like_eager(name: str, gradient: torch.Tensor, v: torch.Tensor, c: torch.Tensor) -> None:
    surrogate, dtype = definitions.get(name), str(v.dtype).removeprefix("torch.")
    x = v.clone().requires_grad_()
    (plain,) = torch.autograd.grad(spike(x, surrogate), x, c)
    assert torch.equal(gradient.isnan(), plain.isnan())
    if KNOWN[name].bits:
        different = side.to_bits(gradient) != side.to_bits(plain)
        assert not different[~plain.isnan().numpy()].any()
    else:  # exp is not the same function in the compiler
        distance = ulp_difference(side.to_bits(gradient), side.to_bits(plain), dtype)
        h = surrogate.derivative(v.double()).abs()
        slope = torch.func.vmap(torch.func.grad(surrogate.derivative))(v.double()).abs()
        allowed = 8 * (1 + (v.double().abs() * slope / h).nan_to_num(posinf=1e300).clamp(max=1e300).numpy())
        normal = (c.double() * h).numpy() > torch.finfo(v.dtype).tiny
        assert (distance[normal] <= allowed[normal]).all()


@every_surrogate
@pytest.mark.parametrize("dtype", BITS)
def test_inductor_gives_the_spikes_and_the_gradients_of_eager(name: str, dtype: str, together: tuple[str, ...]) -> None:
    """aot_eager stands for the compiler in the tables; here is the compiler itself."""
    spikes, gradient = by_inductor(together)[name, dtype]
    v, c = hard_potentials(dtype)
    assert torch.equal(spikes, (v >= 0).to(v.dtype))
    assert_like_eager(name, gradient, v, c)


@every_surrogate
@pytest.mark.parametrize("way", INSIDE)
def test_inductor_gives_the_gradients_of_eager_in_its_own_transforms(name: str, way: str, together: tuple[str, ...]) -> None:
    (gradient,) = by_inductor(together)[name, way]
    assert_like_eager(name, gradient, *near_potentials())


@pytest.mark.parametrize("function", ["fast_sigmoid", "FastSigmoid.apply", "instance", "spike"])
def test_every_way_of_calling_compiles_into_one_graph(function: str) -> None:
    import arcana.torch

    calls = {
        "fast_sigmoid": lambda v: arcana.torch.fast_sigmoid(v, scale=25.0),
        "FastSigmoid.apply": lambda v: arcana.torch.FastSigmoid.apply(v, scale=25.0),
        "instance": lambda v: definitions.FastSigmoid(scale=25.0)(v),
        "spike": lambda v: spike(v, definitions.FastSigmoid(scale=25.0)),
    }
    torch.compiler.reset()
    v = torch.tensor([-0.4, -0.0, 0.1, 2.0])
    call = calls[function]
    expected = definitions.FastSigmoid(scale=25.0).derivative(v)
    compiled = torch.compile(lambda x: torch.func.grad(lambda y: call(y).sum())(x), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(v), expected)
    x = v.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(torch.compile(call, fullgraph=True, backend="aot_eager")(x).sum(), x)
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("made_in", ["call", "instance"])
def test_a_slope_schedule_under_compile_takes_two_graphs(made_in: str) -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")

    def call(v: torch.Tensor, scale: float) -> torch.Tensor:
        if made_in == "instance":
            return definitions.FastSigmoid(scale=scale)(v)
        return spike(v, definitions.fast_sigmoid, scale=scale)

    compiled = torch.compile(call, fullgraph=True, backend=counter)
    v = torch.linspace(-2, 2, 9)
    for scale in [1.5, 2.0, 3.25, 4.0, 5.5, 7.0, 9.0, 12.5, 17.0, 25.0, 40.0, 60.0, 100.0]:
        x = v.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(compiled(x, scale).sum(), x)
        assert torch.equal(gradient, definitions.FastSigmoid(scale=scale).derivative(v)), scale
    assert counter.frame_count <= 2


@pytest.mark.xfail(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 11),
    reason="Dynamo of torch 2.6 guards on the identity of an instance: each compiles a graph of its own",
    strict=True,
)
def test_equal_instances_share_a_graph() -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda v, s: s(v), fullgraph=True, backend=counter)
    v = torch.linspace(-1, 1, 5)
    for _ in range(3):
        compiled(v, definitions.FastSigmoid(scale=25.0))
    assert counter.frame_count == 1


def test_double_backward_through_compile_raises() -> None:
    torch.compiler.reset()
    v = torch.linspace(-1, 1, 5, requires_grad=True)
    spikes = torch.compile(definitions.fast_sigmoid, fullgraph=True, backend="aot_eager")(v)
    (first,) = torch.autograd.grad(spikes.sum(), v, create_graph=True)
    with pytest.raises(RuntimeError, match="double backward"):
        torch.autograd.grad(first.sum(), v)


def test_export_keeps_the_forward() -> None:
    class Layer(torch.nn.Module):
        def forward(self, v: torch.Tensor) -> torch.Tensor:
            return definitions.fast_sigmoid(v)

    v = torch.tensor([-1.0, -0.0, 0.0, 1.0])
    program = torch.export.export(Layer(), (v,))
    assert torch.equal(program.module()(v), torch.tensor([0.0, 1.0, 1.0, 1.0]))


def test_parameters_of_other_shapes_under_vmap() -> None:
    """A batch of per-channel slopes against single calls, v batched and not, the batch not in front."""
    v = torch.randn(4, 3, 5, dtype=torch.float64)
    scales = torch.rand(3, 5, dtype=torch.float64) + 0.5

    def gradients(x: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.func.grad(lambda a, b: (a * 0.5 * spike(a, definitions.fast_sigmoid, scale=b)).sum(), argnums=(0, 1))(
            x, scale
        )

    for x_dim, scale_dim in ((1, 0), (None, 0), (1, None)):
        batched = torch.func.vmap(gradients, in_dims=(x_dim, scale_dim))(
            v if x_dim == 1 else v[:, 0], scales if scale_dim == 0 else scales[0]
        )
        for i in range(3):
            single = gradients(v[:, i] if x_dim == 1 else v[:, 0], scales[i] if scale_dim == 0 else scales[0])
            for one, many in zip(single, batched, strict=True):
                torch.testing.assert_close(many[i], one, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(("v_dim", "scale_dim"), [(1, 0), (None, 0), (1, None), (2, 1)])
@pytest.mark.parametrize("compiled", [False, True])
def test_backward_through_vmap_reaches_parameters_of_other_shapes(
    v_dim: int | None, scale_dim: int | None, compiled: bool
) -> None:
    """The rule's own vmap: a batch of per-channel slopes, differentiated from outside, against single calls."""
    torch.compiler.reset()
    batched = torch.func.vmap(lambda a, b: spike(a, definitions.fast_sigmoid, scale=b), in_dims=(v_dim, scale_dim))
    function = torch.compile(batched, fullgraph=True, backend="aot_eager") if compiled else batched
    v = torch.randn((4, 5) if v_dim is None else (4, 3, 5) if v_dim == 1 else (4, 5, 3), dtype=torch.float64)
    scale = torch.rand((5,) if scale_dim is None else (3, 5) if scale_dim == 0 else (5, 3), dtype=torch.float64) + 0.5
    v.requires_grad_()
    scale.requires_grad_()
    spikes = function(v, scale)
    c = torch.randn_like(spikes)
    found = torch.autograd.grad(spikes, (v, scale), c)
    singles = [
        spike(
            v if v_dim is None else v.select(v_dim, i),
            definitions.fast_sigmoid,
            scale=scale if scale_dim is None else scale.select(scale_dim, i),
        )
        for i in range(3)
    ]
    expected = torch.autograd.grad(torch.stack(singles), (v, scale), c)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14)


def test_mixed_second_derivatives() -> None:
    """d/dv of cotangent · ∂G/∂scale is ∂h/∂scale, at v = 0 too."""
    v = torch.tensor([-1.5, -0.2, 0.0, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    (by_scale,) = torch.autograd.grad(spike(v, definitions.fast_sigmoid, scale=scale).sum(), scale, create_graph=True)
    (mixed,) = torch.autograd.grad(by_scale, v)
    magnitude = v.detach().abs()
    torch.testing.assert_close(mixed, -2 * magnitude * (1 + 3 * magnitude) ** -3, rtol=1e-13, atol=0)
