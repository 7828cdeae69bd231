"""`python -m arcana`, and the installed command `arcana`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command, or say what to install for it."""
    try:
        from arcana import cli
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.exit("arcana: the command needs typer and rich: pip install typer rich")
    cli.main()


if __name__ == "__main__":
    main()
