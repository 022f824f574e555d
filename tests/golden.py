"""Golden files: what a form of the audit's report looks like, kept under `tests/data/audit/`.

Run the tests with `UPDATE_GOLDEN=1` in the environment to write the files anew, then read the difference before keeping
it.
"""

from __future__ import annotations

import os
from pathlib import Path

DIRECTORY = Path(__file__).parent / "data" / "audit"


def check(name: str, text: str) -> None:
    """Compare `text` with the golden file `name`, byte by byte (line ends are not translated)."""
    path = DIRECTORY / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    assert path.is_file(), f"{path.name} is missing: write it with UPDATE_GOLDEN=1"
    assert text == path.read_bytes().decode(), (
        f"{path.name} differs: write it anew with UPDATE_GOLDEN=1 and read the difference"
    )
