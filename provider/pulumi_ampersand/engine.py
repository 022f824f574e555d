"""The engine that runs this process as a plugin."""

from __future__ import annotations

import os
import select
import sys
import threading
from typing import Final

MESSAGE_LIMIT: Final = 400 * 1024 * 1024
"""Bytes in one message, the engine's own limit: documents may be large."""


def end_with_the_engine() -> None:
    """Have this process end when the engine is gone without a word, killed for example.

    Nobody reads its standard output then, which can be waited for. Elsewhere than on Linux it hasn't been tried.
    """
    if sys.platform != "linux":
        return
    unread = select.poll()
    unread.register(1, 0)

    def watch() -> None:
        while not unread.poll():
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
