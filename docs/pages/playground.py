"""The playground's element: its formulas, and the script that draws them."""

from __future__ import annotations

from pages.javascript import program

ELEMENT = """```{{raw}} html
<div id="arcana-playground"><noscript>This page draws with JavaScript.</noscript></div>
<script>
{program}</script>
<script src="_static/playground.js"></script>
```"""


def element() -> str:
    """Return the page's part that is drawn by its reader's browser alone."""
    return ELEMENT.format(program=program())
