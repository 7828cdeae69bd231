"""The catalogue: a page a surrogate, and the thumbnails by family, from definitions, docstrings and presets."""

from __future__ import annotations

import contextlib
import html
import inspect
import io
import re
from collections.abc import Iterable

from arcana import presets
from arcana.surrogate import Surrogate, get, names
from pages import pictures
from pages.accuracy import errors
from pages.docstrings import parts
from pages.libraries import call_of, place_of
from pages.shapes import SAME_BITS, by_family, family_of

PAGE = """# {title}

{summary}

{remarks}```{{raw}} html
<div class="arcana-curves">
{curves}
</div>
```

:::{{div}} arcana-facts
{facts}
:::

```{{raw}} html
<p><a href="../playground.html#{name}">Move its parameters in the playground.</a></p>
```

## The call

{calls}

## In other libraries

{libraries}

## Accuracy

{accuracy}

## Reference

```{{eval-rst}}
{reference}
```
"""

CALLS = {
    "torch": (
        "PyTorch",
        """import torch
from arcana.torch import {name}

v = torch.tensor([-0.1, 0.0, 0.1], requires_grad=True)
spikes = {call}
spikes.sum().backward()
print(spikes.tolist())
print(v.grad)
""",
    ),
    "jax": (
        "JAX",
        """import jax
import jax.numpy as jnp
from arcana.jax import {name}

v = jnp.array([-0.1, 0.0, 0.1])
spikes, pullback = jax.vjp(lambda v: {call}, v)
print(spikes)
print(pullback(jnp.ones_like(v))[0])
""",
    ),
}


def page(surrogate: Surrogate, curves: Iterable[str] = ()) -> str:
    """Return the page of one surrogate, with pictures of its curves."""
    said = parts(surrogate)
    facts = {
        **{name: f"`{written}`" for name, written in said.formulas.items()},
        **_facts(said.facts),
        "Paper": said.reference,
    }
    return PAGE.format(
        title=type(surrogate).__name__,
        name=surrogate.name,
        summary=said.summary,
        remarks="".join(f"{each}\n\n" for each in said.remarks),
        curves="\n".join(curves),
        facts="\n\n".join(f"{term}\n: {text}" for term, text in facts.items()),
        calls=calls(surrogate),
        libraries=in_libraries(surrogate),
        accuracy=accuracy(surrogate),
        reference=reference(surrogate),
    )


def _facts(sentences: Iterable[str]) -> dict[str, str]:
    """Return what is said of peak, area and support, and of the values at kinks and far out."""
    found: dict[str, str] = {}
    for sentence in sentences:
        term, colon, rest = sentence.partition(": ")
        if not (colon and term.isalpha()):
            term, rest = "At kinks and ±∞", sentence
        found[term] = f"{found[term]} {rest}" if term in found else rest
    # A number and a full stop would be an item of a list.
    return {term: re.sub(r"^(\d+)\.", r"\1\\.", text) for term, text in found.items()}


def calls(surrogate: Surrogate) -> str:
    """Return a tab for each framework, with the call and what it prints."""
    numbers = ", ".join(["v", *(f"{name}={value!r}" for name, value in {**surrogate.numbers, **_settings(surrogate)}.items())])
    tabs = []
    for framework, (title, block) in CALLS.items():
        written = printed(block.format(name=surrogate.name, call=f"{surrogate.name}({numbers})"))
        tabs.append(f":::{{tab-item}} {title}\n:sync: {framework}\n\n```python\n{written}```\n:::")
    return "\n".join(["::::{tab-set}", ":sync-group: framework", "", *tabs, "::::"])


def _settings(surrogate: Surrogate) -> dict[str, object]:
    return {name: value for name, value in surrogate.settings.items() if name != "fires_at_threshold"}


def printed(block: str) -> str:
    """Run a block and return it with what it prints behind each line that prints; a print takes one line."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(block, "catalogue", "exec"), {})
    lines = iter(output.getvalue().splitlines())
    shown = [f"{line}  # {next(lines)}" if line.startswith("print(") else line for line in block.splitlines()]
    return "\n".join(shown) + "\n"


def in_libraries(surrogate: Surrogate) -> str:
    """Return a table of the presets that compute this shape, with their defaults."""
    rows = [
        f"| {place_of(name)[0]} | `{call_of(name)}` | `{presets.get(name)!r}` |"
        for name in presets.names()
        if type(presets.get(name)) is type(surrogate)
    ]
    if not rows:
        return "None of the libraries that have presets has it."
    head = "| library | its function and defaults | the same here |\n|---|---|---|\n"
    return f"{head}{chr(10).join(rows)}\n\n[All functions of these libraries.](../from-other-libraries.md)"


def accuracy(surrogate: Surrogate) -> str:
    """Return one line."""
    if surrogate.name not in errors():
        return "Not measured yet; `nox -s accuracy` writes it."
    ulp, conditioned = errors()[surrogate.name]["float32"]
    same = "the same bits in both frameworks" if family_of(surrogate) in SAME_BITS else "rounded by each framework"
    if not ulp:
        return f"h in float32 is exact, and {same}; [how it was measured](../accuracy.md)."
    bound = f"{conditioned:.2f}·(1 + |v·h′(v)/h(v)|) units in the last place"
    return f"h in float32 is within {bound} of the exact value, and {same}; [how it was measured](../accuracy.md)."


def reference(surrogate: Surrogate) -> str:
    """Return the directives that document the surrogate's class, and each framework's function and class."""
    title, name = type(surrogate).__name__, surrogate.name
    signature = str(inspect.signature(type(surrogate)))
    framework = [
        f""".. autofunction:: arcana.{module}.{name}

.. py:class:: arcana.{module}.{title}

   {kind}. Made with parameters, it is the definition ``arcana.surrogate.{title}``.

   .. py:method:: apply(v, **parameters)
      :classmethod:

      Return the spikes of v, with the default parameters unless others are given by keyword.

   .. py:method:: pseudo_derivative(v, **parameters)
      :classmethod:

      Return h(v).
"""
        for module, kind in (("torch", "The ``torch.autograd.Function``"), ("jax", "The class with the methods of PyTorch's"))
    ]
    definition = f".. autoclass:: arcana.surrogate.{title}{signature.partition(' ->')[0]}\n"
    default = f".. py:data:: arcana.surrogate.{name}\n\n   ``{surrogate!r}``: it takes tensors of either framework.\n"
    return "\n".join([*framework, definition, default])


def thumbnails() -> str:
    """Return the catalogue by family, each surrogate a thumbnail that leads to its page."""
    return "\n".join(f"## {family}\n\n```{{raw}} html\n{_grid(members)}\n```\n" for family, members in by_family().items())


def _grid(members: Iterable[Surrogate]) -> str:
    cards = []
    for each in members:
        said = parts(each)
        text = f"<b>{type(each).__name__}</b><span>{html.escape(said.formulas['h(v)'])}</span>"
        cards.append(
            f'<a href="catalogue/{each.name}.html" title="{html.escape(said.summary)}">{pictures.thumbnail(each)}{text}</a>'
        )
    return '<div class="arcana-thumbnails">' + "\n".join(cards) + "</div>"


def pages() -> dict[str, str]:
    """Return every page of the catalogue by its path under docs, without the ending."""
    return {f"catalogue/{name}": page(each, pictures.curves(each)) for name, each in ((name, get(name)) for name in names())}


def tree() -> str:
    """Return the table of contents of the catalogue's pages."""
    return "\n".join(["```{toctree}", ":hidden:", "", *(f"catalogue/{name}" for name in names()), "```"])


def picture() -> str:
    """Return the picture of all surrogates, in the page's colours."""
    return pictures.element(pictures.catalogue_of_page())
