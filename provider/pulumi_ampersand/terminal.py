"""Text that others wrote, made fit for a terminal.

Policy messages and check failures reach the terminal raw, and Pulumi's CLI reads ``<{%...%}>`` as its own colour
markup. So all text from the API passes through here before it becomes part of a message.
"""

from __future__ import annotations

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


_LEADING_BYTES: Final = {
    chr(code).encode()[:1] for code in _KEEPING_LINES if code > 0x7F and not 0xD800 <= code < 0xE000
}


def may_be_harmful(data: bytes) -> bool:
    """Whether JSON can hold what `harmless` takes out, which is the case for few.

    Args:
        data: JSON text, UTF-8; in it, control characters are escaped.
    """
    # Looking for one byte is ten times as fast as for several.
    if b"\\" in data or b"\x7f" in data or (b"<" in data and b"<{%" in data):
        return True
    return not data.isascii() and any(lead in data for lead in _LEADING_BYTES)


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
