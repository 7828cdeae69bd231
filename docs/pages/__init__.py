"""The parts of the documentation that are written at build, from definitions, docstrings, presets and measurements.

A Sphinx extension. Pages that have a name of their own are files that git ignores: `catalogue/` and `api/`. What stands within
a page replaces a line of it, `<!-- written: NAME -->`.

- shapes: a surrogate's formulas as operations, and its values; pictures: their curves
- docstrings: the parts of a docstring, and what Sphinx makes of one; signatures: those of a framework's classes, as they are
  written; reference: the API's pages
- speed, accuracy, learnable: tables and pictures of what was measured
- catalogue: the surrogates' pages; libraries: the functions and rules of other libraries; javascript, playground: the playground
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS_OF_CODE = re.compile(r'(?<=<span class="pre">)[^<]+')
MARK = re.compile(r"^<!-- written: ([a-z]+) -->$", re.MULTILINE)


def written(name: str) -> str:
    """Return the text that stands for a mark."""
    from pages import accuracy, catalogue, learnable, libraries, pictures, playground, reference, speed

    texts: dict[str, Callable[[], str]] = {
        "accuracy": accuracy.summary,
        "api": reference.listed,
        "libraries": libraries.tabs,
        "calls": speed.calls,
        "floors": speed.floors,
        "layers": speed.layers,
        "learnable": learnable.costs,
        "machine": speed.machine,
        "memory": speed.memory,
        "neuron": pictures.neuron,
        "picture": catalogue.picture,
        "playground": playground.element,
        "rules": libraries.rules,
        "slower": speed.slower,
        "targets": speed.targets,
        "thumbnails": catalogue.thumbnails,
        "tree": catalogue.tree,
    }
    if name not in texts:
        msg = f"nothing is written for the mark {name!r}; there are {', '.join(texts)}"
        raise ValueError(msg)
    return texts[name]()


def replace_marks(app: Any, docname: str, source: list[str]) -> None:
    """Write what stands for the marks of a page."""
    source[0] = MARK.sub(lambda found: written(found[1]), source[0])


def break_names(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Let a name within a text break behind its dots and underscores, so that it breaks nowhere else in a narrow table."""
    if "body" in context:
        context["body"] = PARTS_OF_CODE.sub(lambda found: re.sub(r"([._(=,/])(?=\w)", r"\1<wbr>", found[0]), context["body"])


def marked_pages(app: Any, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Return the pages that have a mark, to be read again: what stands for it may have changed."""
    return [name for name in env.found_docs if MARK.search(Path(env.doc2path(name)).read_text(encoding="utf-8"))]


def write_pages(app: Any, config: Any) -> None:
    """Write the pages that have a name of their own, where their text has changed; remove those that have none any more."""
    from pages import catalogue, reference

    root = Path(app.srcdir)
    texts = {root / f"{path}.md": text for path, text in {**catalogue.pages(), **reference.pages()}.items()}
    for path in (each for folder in ("catalogue", "api") for each in (root / folder).glob("*.md")):
        if path not in texts:
            path.unlink()
    for path, text in texts.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Register the extension."""
    from pages.docstrings import as_restructured_text
    from pages.signatures import as_written

    # Before Sphinx looks for pages.
    app.connect("config-inited", write_pages)
    app.connect("env-get-outdated", marked_pages)
    app.connect("source-read", replace_marks)
    app.connect("html-page-context", break_names)
    # Before napoleon, which has the default priority of 500.
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)
    app.connect("autodoc-process-signature", as_written)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
