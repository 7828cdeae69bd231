"""The README as the index shows it, where no file lies beside it; hatchling calls this for every sdist and wheel.

A link to a file gets the address of the repository, `Source` in `[project.urls]`. While there is none, the link becomes its
text and the picture is left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^):#\s]+)\)")
PICTURE = re.compile(rf"!{LINK.pattern}(?P<end>\n*)")


def description(readme: str, source: str | None) -> str:
    """Return the README with absolute links; `source` is the repository's address, if it has a public one."""
    if not source:
        return LINK.sub(r"\g<text>", PICTURE.sub("", readme))
    source = source.rstrip("/")
    readme = PICTURE.sub(rf"![\g<text>]({source}/raw/HEAD/\g<target>)\g<end>", readme)
    return LINK.sub(rf"[\g<text>]({source}/blob/HEAD/\g<target>)", readme)


class Description(MetadataHookInterface):
    """Gives the metadata its `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the description into the metadata of the project."""
        source = metadata.get("urls", {}).get("Source")
        text = description((Path(self.root) / "README.md").read_text(encoding="utf-8"), source)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
