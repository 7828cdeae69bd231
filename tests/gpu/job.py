"""One job in its own process: `python tests/gpu/job.py MODULE FRAMEWORK SETTINGS RECORDS DONE`, started by `launch`."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    module, framework, settings, records, done = sys.argv[1:]
    sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "helpers"), str(FOLDER.parents[1])]
    from session import Session, Settings, first_line

    given = json.loads(settings)
    given["share"] = tuple(given["share"])
    session = Session(Settings(**given), Path(records), frozenset(json.loads(done)))
    if session.settings.peers:
        sys.path.append(session.settings.peers)
    os.environ["JAX_PLATFORMS"] = "cuda,cpu" if framework == "jax" and session.settings.device == "cuda" else "cpu"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        importlib.import_module(module).main(session, framework)
    except Exception as error:
        session.record(f"the job itself, {framework} {session.settings.share}", {"ok": False, "error": first_line(error)})
        raise
    # Autograd's thread of a GPU may end the process with an error while the interpreter ends; everything is written by now.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
