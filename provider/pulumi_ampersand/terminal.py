"""Text that others wrote, made fit for a terminal.

Policy messages and check failures reach the terminal raw, and Pulumi's CLI reads ``<{%...%}>`` as its own colour
markup. So all text from the API passes through here before it becomes part of a message.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Final

_SPACES: Final = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
_BIDIRECTIONAL: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

_TABLE: Final[dict[int, str | None]] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), None),
    **dict.fromkeys(map(ord, _BIDIRECTIONAL), None),
    **dict.fromkeys(map(ord, _SPACES), " "),
    # A lone surrogate can't be encoded, so printing it would end in a traceback.
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


_KEEPING_LINES: Final = {code: instead for code, instead in _TABLE.items() if chr(code) not in "\t\n"}


@cache
def _beyond_ascii() -> dict[bytes, re.Pattern[bytes]]:
    """What finds characters beyond ASCII that are taken out, in UTF-8, by the byte with which they begin."""
    rests: dict[bytes, list[bytes]] = {}
    for code in _KEEPING_LINES:
        if code > 0x7F and not 0xD800 <= code < 0xE000:
            encoded = chr(code).encode()
            rests.setdefault(encoded[:1], []).append(re.escape(encoded[1:]))
    return {first: re.compile(re.escape(first) + b"(?:" + b"|".join(found) + b")") for first, found in rests.items()}


_ESCAPE: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)


def may_be_harmful(data: bytes | bytearray) -> bool:
    """Whether JSON can hold what `harmless` takes out, which is the case for few.

    Args:
        data: JSON text, UTF-8; in it, control characters are escaped.
    """
    # Looking for one byte is ten times as fast as for several.
    if b"\x7f" in data or (b"<" in data and b"<{%" in data):
        return True
    if b"\\" in data and any(map(_stands_for_harm, set(_ESCAPE.findall(data)))):
        return True
    return not data.isascii() and any(first in data and found.search(data) for first, found in _beyond_ascii().items())


def _stands_for_harm(escape: bytes) -> bool:
    """Whether an escape of JSON stands for something that is taken out, or for a part of it."""
    try:
        text = json.loads(b'"%b"' % escape)
    except ValueError:
        return True
    return text in "<{%" or ord(text) in _KEEPING_LINES


def harmless(text: str) -> str:
    """Take out of ``text`` what steers a terminal, and keep its lines and tabs.

    For values that Pulumi's CLI may print on its own: it escapes most of what it shows, but neither changed text of
    several lines nor its own colour markup. `one_line` of the result is `one_line` of the text.
    """
    if not text.isprintable():
        text = text.translate(_KEEPING_LINES)
    return text.replace("<{%", "< {%")


def one_line(text: str, limit: int | None = None) -> str:
    """Make ``text`` harmless on a terminal.

    Line ends become spaces; control and bidirectional-override characters go; lone surrogates become U+FFFD; Pulumi's
    colour markup is broken up. Applied to its own result, it changes nothing.

    Args:
        text: Any text, hostile text included.
        limit: The most characters to keep; what is cut is replaced by an ellipsis.
    """
    if text.isprintable() and "  " not in text and text == text.strip(" "):
        # The same, for most texts: of all white space, only the plain space is printable.
        clean = text
    else:
        clean = " ".join(text.translate(_TABLE).split())
    clean = clean.replace("<{%", "< {%")
    if limit is not None and len(clean) > limit:
        return clean[: limit - 1].rstrip() + "…"
    return clean
