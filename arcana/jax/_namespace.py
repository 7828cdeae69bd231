"""`xp` for JAX arrays."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arcana._core import SIGNIFICANT_BITS, Namespace
from arcana.jax._compat import enable_x64


@jax.custom_jvp
def _abs(v: jax.Array) -> jax.Array:
    return jnp.abs(v)


@_abs.defjvp
def _abs_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    # JAX's own |v|' at 0 is 1; sign makes it 0, as in torch.
    return _abs(*primals), jnp.sign(*primals) * tangents[0]


def positive(v: jax.Array) -> jax.Array:
    """Return v > 0 from v's bits: XLA on CPU would take a subnormal for zero."""
    bits, infinity = _bits(v)
    return (bits > 0) & (bits <= infinity)


def nonnegative(v: jax.Array) -> jax.Array:
    """Return v >= 0 from v's bits."""
    bits, infinity = _bits(v)
    return ((bits >= 0) & (bits <= infinity)) | (bits == np.iinfo(bits.dtype).min)


def at_least(x: Any, y: Any) -> jax.Array:
    """Return x >= y from their bits, in the order of the floats; false where one of them is NaN."""
    dtype = jnp.result_type(x, y)
    x, y = (each if isinstance(each, jax.Array) else np.asarray(each, dtype) for each in (x, y))
    return ~jnp.isnan(x) & ~jnp.isnan(y) & (_ordered(x) >= _ordered(y))


def _ordered(x: Any) -> Any:
    """Return integers in the order of the floats, both zeros 0."""
    bits, _ = _bits(x)
    where: Any = jnp.where if isinstance(bits, jax.Array) else np.where
    return where(bits < 0, np.iinfo(bits.dtype).min - bits, bits)


def infinite(v: jax.Array) -> jax.Array:
    """Whether v is inf or −inf, without an infinity of its own making, which jax.debug_infs would blame."""
    return jnp.abs(v) > jnp.finfo(v.dtype).max


def _bits(v: Any) -> tuple[Any, Any]:
    """Return v's bits as signed integers, and those of +inf; beyond them lies NaN, and the least integer is −0.0."""
    integer = np.dtype(f"int{v.dtype.itemsize * 8}")
    # Those of a constant at once: Triton's lowering has no bits of one.
    bits = jax.lax.bitcast_convert_type(v, integer) if isinstance(v, jax.Array) else v.view(integer)
    return bits, np.array(np.inf, v.dtype).view(integer)[()]


def spike(v: jax.Array) -> jax.Array:
    """Return 1[v >= 0] in v's dtype."""
    return nonnegative(v).astype(v.dtype)


def _decay(x: jax.Array, rate: jax.Array | float) -> jax.Array:
    return jnp.exp(x * -rate)


@jax.custom_jvp
def _compound(x: jax.Array, exponent: jax.Array | float) -> jax.Array:
    """Return (1 + x)^exponent by a logarithm and exponentials.

    XLA's CPU code does those 8 elements at a time, and its power one by one.

    The logarithm, and its product with the exponent, are sums of two floats: what is lost of e^y is y times what is lost of y.
    """
    half, most = _PRECISION[x.dtype.name]
    exponent = jnp.asarray(exponent, x.dtype)
    logarithm = jnp.log1p(x)
    # Below 1 the logarithm's last bit is small enough. Far out both sides by e^8, since e^−logarithm may be subnormal.
    shift, scale = (jnp.where(x > 2.0**64, jnp.asarray(far, x.dtype), near) for far, near in ((8, 0), (math.exp(-8), 1)))
    lost = jnp.where(x < 1, 0, (x + 1) * scale * jnp.exp(shift - logarithm) - 1)
    # Fewer bits than the dtype has, so that XLA cannot contract the product into the difference below.
    product = _with_bits(logarithm * exponent, most)
    high, low = _split(logarithm, half)
    exponent_high, exponent_low = _split(exponent, half)
    rest = high * exponent_high - product + (high * exponent_low + low * exponent_high) + low * exponent_low + lost * exponent
    rough = jnp.where(exponent == 0, 1, jnp.exp(product))
    return jnp.where(jnp.isfinite(product) & jnp.isfinite(rough), rough + rough * rest, rough)


_compound.defjvps(
    lambda dot, power, x, exponent: dot * (power / (x + 1) * exponent),
    lambda dot, power, x, exponent: dot * (power * jnp.log1p(x)),
)
_PRECISION = {"float32": (11, 20), "float64": (25, 49)}
"""Mantissa bits of a half, whose products are exact, and of a number that is shorter than the dtype's."""


def _with_bits(x: jax.Array, mantissa_bits: int) -> jax.Array:
    return jax.lax.reduce_precision(x, jnp.finfo(x.dtype).nexp, mantissa_bits)


def _split(x: jax.Array, mantissa_bits: int) -> tuple[jax.Array, jax.Array]:
    """Return two numbers of half the bits whose sum is x."""
    high = _with_bits(x, mantissa_bits)
    return high, x - high


@jax.custom_jvp
def _sin_of_turns(x: jax.Array) -> jax.Array:
    """Return sin(2π·x) by Taylor series, 8 elements at a time; XLA's CPU code calls its sine for one after the other."""
    part = x - jnp.round(x)
    near = jnp.where(jnp.abs(part) > 0.25, jnp.copysign(0.5, part) - part, part)
    at_zero = near * math.tau + near * _series(near, 1)
    at_peak = jnp.copysign(1 + _series(0.25 - jnp.abs(near), 0), near)
    return jnp.where(jnp.abs(near) > 0.125, at_peak, at_zero)


_sin_of_turns.defjvps(lambda dot, sine, x: dot * (_sin_of_turns(0.25 - (x - jnp.round(x))) * math.tau))


def _series(x: jax.Array, odd: int) -> jax.Array:
    """Return what follows 1 in the series of cos(2π·x), or what follows 2π in that of sin(2π·x)/x, for |x| <= 1/8."""
    terms = 6 if x.dtype == jnp.float32 else 9
    square, total = x * x, jnp.zeros_like(x)
    for i in reversed(range(1, terms)):
        total = (total + (-1) ** i * math.tau ** (2 * i + odd) / math.factorial(2 * i + odd)) * square
    # What the dtype's 2π lacks.
    return total - odd * math.sin(float(x.dtype.type(math.tau)))


def _on_gpu() -> bool:
    """Whether JAX computes on a GPU here, unless it is told otherwise."""
    return jax.default_backend() == "gpu"


@jax.custom_jvp
def _rounded_once(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return x / y of float32 by way of float64, whose quotient rounded to float32 is that of x and y rounded once."""
    with enable_x64(True):
        x, y = (jax.lax.convert_element_type(each, jnp.float64) for each in (x, y))
        # Twice the quotient, and half of that: a plain quotient of widened numbers the compiler would narrow again.
        half = jax.lax.full_like(x, 0.5)
        return jax.lax.convert_element_type(jax.lax.mul(jax.lax.div(jax.lax.add(x, x), y), half), jnp.float32)


_rounded_once.defjvps(
    lambda dot, quotient, x, y: dot / y,
    lambda dot, quotient, x, y: -dot * (quotient / y),
)


def _divide(x: Any, y: Any) -> jax.Array:
    """Return x / y, correctly rounded: XLA divides float32 on a GPU to within 2 units."""
    dtype = jnp.result_type(x, y)
    if dtype != jnp.float32 or not _on_gpu():
        return jnp.divide(x, y)
    # A constant as one of NumPy: JAX 0.7 would put it on the device, which no kernel can.
    x, y = (each.astype(dtype) if isinstance(each, jax.Array) else np.asarray(each, dtype) for each in (x, y))
    return _rounded_once(*jnp.broadcast_arrays(x, y))


def _reciprocal(x: Any) -> jax.Array:
    return _divide(1, x)


def _maximum(x: jax.Array, bound: jax.Array | float) -> jax.Array:
    # jnp.maximum halves the derivative at a tie.
    return jnp.where(x <= bound, bound, x)


def _minimum(x: jax.Array, bound: jax.Array | float) -> jax.Array:
    return jnp.where(x >= bound, bound, x)


class JaxNamespace(Namespace):
    """jax.numpy's own functions, save abs at 0 and the exact comparisons with 0.

    Args:
        dtype: to compute in.
    """

    def __init__(self, dtype: str) -> None:
        self._dtype = np.dtype(dtype)

    def number(self, x: float) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.array(x, self._dtype)

    def rounded(self, y: Any, v: Any) -> jax.Array:
        # A choice that XLA cannot foresee, and which is always the same but for NaN; optimization_barrier does not stop it.
        return jnp.where(y == y, y, v)

    def held(self, v: Any, bound: float) -> jax.Array:
        most = self._dtype.type(bound)
        return jax.lax.clamp(-most, v, most)

    def infinite(self, v: Any) -> jax.Array:
        return infinite(v)

    abs = staticmethod(_abs)
    arctan = staticmethod(jnp.arctan)
    at_least = staticmethod(at_least)
    compound = staticmethod(_compound)
    cos = staticmethod(jnp.cos)
    decay = staticmethod(_decay)
    divide = staticmethod(_divide)
    erf = staticmethod(jax.lax.erf)
    erfc = staticmethod(jax.lax.erfc)
    exp = staticmethod(jnp.exp)
    expm1 = staticmethod(jnp.expm1)
    fmod = staticmethod(jnp.fmod)
    log = staticmethod(jnp.log)
    log1p = staticmethod(jnp.log1p)
    maximum = staticmethod(_maximum)
    minimum = staticmethod(_minimum)
    nonnegative = staticmethod(nonnegative)
    positive = staticmethod(positive)
    power = staticmethod(jnp.power)
    reciprocal = staticmethod(_reciprocal)
    relu = staticmethod(jax.nn.relu)
    round = staticmethod(jnp.round)
    sign = staticmethod(jnp.sign)
    sin = staticmethod(jnp.sin)
    sin_of_turns = staticmethod(_sin_of_turns)
    spike = staticmethod(spike)
    sqrt = staticmethod(jnp.sqrt)
    square = staticmethod(jnp.square)
    where = staticmethod(jnp.where)
    zeros_like = staticmethod(jnp.zeros_like)


NAMESPACES = {dtype: JaxNamespace(dtype) for dtype in SIGNIFICANT_BITS}
"""By computing dtype."""
NAMESPACE = NAMESPACES["float32"]
