"""Files that are there whole or not at all: whoever finds one can trust that it was finished."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of ``path`` when the block ends, and leaves no trace if that fails.

    A link keeps leading to its file; what is no file, a terminal or a pipe, is written as it comes.

    Args:
        path: The file; its folder must exist.

    Raises:
        OSError: It can't be written; the error's ``filename`` says which file it is.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
        else:
            yield from _drafted(Path(os.path.realpath(path)))
    except OSError as error:
        # What fails while it is closed doesn't say which file it is.
        error.filename = error.filename or str(path)
        raise


def _drafted(path: Path) -> Iterator[BinaryIO]:
    draft = path.with_name(f".{os.urandom(8).hex()}.draft")
    try:
        with draft.open("xb") as file:
            if path.exists():
                draft.chmod(stat.S_IMODE(path.stat().st_mode))
            yield file
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(draft):
            error.filename = str(path)
        raise
