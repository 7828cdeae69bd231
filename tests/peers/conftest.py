"""The comparison with other libraries is run by `nox -s peers`, which installs them; then a missing one is an error."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if os.environ.get("ARCANA_TEST_PEERS"):
    sys.path.insert(0, str(Path(__file__).parent))
    from arcana.bench.libraries import LIBRARIES, load

    for _library in LIBRARIES:
        load(_library)
else:
    collect_ignore_glob = ["*.py"]
