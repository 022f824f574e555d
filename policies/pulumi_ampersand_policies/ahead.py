"""Files that are read ahead, by another thread, while there is something else to do."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

ATTENTION: Final = 0.2
"""Seconds after which an interruption is noticed: a signal that another thread is told of ends no wait."""


class _Reading:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._content = b""
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._content = self._file.read_bytes()
        except OSError as error:
            self._error = error

    def content(self) -> bytes:
        while self._thread.is_alive():
            self._thread.join(ATTENTION)
        if self._error is not None:
            raise self._error
        return self._content


_LARGE: Final = 4 << 20
"""Bytes from which on a file is large."""

_BEGUN: Final[dict[str, _Reading]] = {}


def begin(name: str) -> None:
    """Begin to read a file."""
    # Who reads a pipe takes it from others. What is wrong with a name is said by who reads it in earnest.
    with suppress(OSError, ValueError):
        file = Path(name)
        if file.is_file() and not is_large(name):
            _BEGUN[name] = _Reading(file)


def is_large(name: str) -> bool:
    """Whether a name is that of a file that is better read piece by piece."""
    with suppress(OSError, ValueError):
        file = Path(name)
        return file.is_file() and file.stat().st_size >= _LARGE
    return False


def content(name: str) -> bytes:
    """A file's content, read ahead or now. It can be taken once.

    Raises:
        OSError: It can't be read.
    """
    reading = _BEGUN.pop(name, None)
    return Path(name).read_bytes() if reading is None else reading.content()
