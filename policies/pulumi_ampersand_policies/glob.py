"""Patterns with ``*`` for text that others wrote: scopes, references and IDs.

`fnmatch` isn't used: scopes are often URLs, in which ``?`` and ``[`` stand for themselves, and a regular expression of
several ``*`` takes its time on hostile text. This takes time in proportion to the text.
"""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=8192)
def matches(pattern: str, text: str) -> bool:
    """Whether all of ``text`` fits ``pattern``.

    Args:
        pattern: ``*`` matches any text, ``/`` and none at all included; everything else matches itself, to the letter.
        text: Any text.
    """
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        # The leftmost place for each part leaves the most room for those that follow.
        position = text.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True
