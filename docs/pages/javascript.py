"""The formulas as JavaScript, for a page without a server: written from the operations of each definition."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from arcana._core.expression import Symbol, needed
from arcana.surrogate import Surrogate
from pages.shapes import Formula, by_family, family_of, formula

LIBRARY = """
// Error function and its complement, to a few roundings: the series near 0, the continued fraction far out.
function erf(x) {
  if (Number.isNaN(x)) return x;
  const a = Math.abs(x);
  if (a >= 2) return Math.sign(x) * (1 - erfc(a));
  let term = a, sum = a;
  for (let n = 1; term > sum * 1e-17; n++) { term *= 2 * a * a / (2 * n + 1); sum += term; }
  return Math.sign(x) * 2 / Math.sqrt(Math.PI) * Math.exp(-a * a) * sum;
}
function erfc(x) {
  if (!(x >= 2)) return x < 0 ? 2 - erfc(-x) : 1 - erf(x);
  if (x === Infinity) return 0;
  let fraction = 0;
  for (let n = 80; n > 0; n--) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}
// To the nearest whole number, from a half to the even one.
function round(x) {
  const low = Math.floor(x), part = x - low;
  return part === 0.5 ? 2 * Math.round(low / 2) : part < 0.5 || part !== part ? low : low + 1;
}
function compound(x, exponent) {
  return x < 1 ? Math.exp(Math.log1p(x) * exponent) : Math.pow(x + 1, exponent);
}
function turns(v, period) {
  const part = Math.abs(v) === Infinity ? Math.sign(v) / 4 : v % period / period;
  return part - round(part);
}
""".strip()
"""What JavaScript has not."""

WRITTEN = {
    "abs": "Math.abs({})",
    "add": "({} + {})",
    "and_": "({} && {})",
    "arctan": "Math.atan({})",
    "at_least": "({} >= {})",
    "compound": "compound({}, {})",
    "cos": "Math.cos({})",
    "decay": "Math.exp({} * -{})",
    "divide": "({} / {})",
    "eq": "({} === {})",
    "erf": "erf({})",
    "erfc": "erfc({})",
    "exp": "Math.exp({})",
    "expm1": "Math.expm1({})",
    "fmod": "({} % {})",
    "ge": "({} >= {})",
    "gt": "({} > {})",
    "infinite": "(Math.abs({}) === Infinity)",
    "invert": "!{}",
    "le": "({} <= {})",
    "log": "Math.log({})",
    "log1p": "Math.log1p({})",
    "lt": "({} < {})",
    "maximum": "Math.max({}, {})",
    "minimum": "Math.min({}, {})",
    "mul": "({} * {})",
    "ne": "({} !== {})",
    "neg": "-{}",
    "nonnegative": "({} >= 0)",
    "or_": "({} || {})",
    "positive": "({} > 0)",
    "pow": "Math.pow({}, {})",
    "power": "Math.pow({}, {})",
    "reciprocal": "(1 / {})",
    "relu": "Math.max({}, 0)",
    "round": "round({})",
    "sign": "Math.sign({})",
    "sin": "Math.sin({})",
    "sin_of_turns": "Math.sin({} * 2 * Math.PI)",
    "sqrt": "Math.sqrt({})",
    "square": "Math.pow({}, 2)",
    "sub": "({} - {})",
    "truediv": "({} / {})",
    "turns": "turns({}, {})",
    "where": "({} ? {} : {})",
    "xor": "({} !== {})",
    "zero": "0",
}
"""By operation its JavaScript, with a place for each operand."""

MOST_VARIANTS = 8
"""Of a setting that is a whole number, which shapes the formula."""


def function(written: Formula) -> str:
    """Return the JavaScript function of v and an object of parameters: a constant for each operation."""
    known: dict[Any, str] = {written.v: "v", **{symbol: f"p.{name}" for name, symbol in written.parameters.items()}}
    lines = []
    for symbol in needed([written.result], given=list(known)):
        known[symbol] = f"t{len(lines)}"
        operands = (known[each] if isinstance(each, Symbol) else number(each) for each in symbol.operands)
        lines.append(f"const {known[symbol]} = {WRITTEN[symbol.operation].format(*operands)};")
    return f"(v, p) => {{ {' '.join(lines)} return {known[written.result]}; }}"


def number(value: float) -> str:
    """Return a number as JavaScript; a negative one in brackets."""
    text = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value) or repr(value)
    return f"({text})" if text.startswith("-") else text


def entry(surrogate: Surrogate) -> str:
    """Return the object that the page has of one surrogate: its names, parameters and functions."""
    settings = {name: value for name, value in surrogate.settings.items() if name != "fires_at_threshold"}
    about = {
        "class": type(surrogate).__name__,
        "family": family_of(surrogate),
        "numbers": {name: [value, *type(surrogate).representable(name, "float64")] for name, value in surrogate.numbers.items()},
        "settings": {name: [value, 1, MOST_VARIANTS] for name, value in settings.items()},
    }
    variants = ", ".join(f'"{key}": {functions(each)}' for key, each in variants_of(surrogate, settings).items())
    return f"{json.dumps(about)[:-1]}, variants: {{{variants}}}}}"


def variants_of(surrogate: Surrogate, settings: dict[str, Any]) -> dict[str, Surrogate]:
    """Return the surrogate for each value of its setting, by that value; one without settings for the empty text."""
    if not settings:
        return {"": surrogate}
    (name,) = settings
    return {str(value): dataclasses.replace(surrogate, **{name: value}) for value in range(1, MOST_VARIANTS + 1)}


def functions(surrogate: Surrogate) -> str:
    """Return the object of h, G and h′."""
    parts = {"h": "derivative", "G": "G", "slope": "slope"}
    return "{" + ", ".join(f"{name}: {function(formula(surrogate, which))}" for name, which in parts.items()) + "}"


def program() -> str:
    """Return the script that defines `SURROGATES`, by name."""
    entries = "\n".join(f"  {each.name}: {entry(each)}," for members in by_family().values() for each in members)
    return f"{LIBRARY}\nconst SURROGATES = {{\n{entries}\n}};\n"
