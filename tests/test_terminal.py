"""Hostile text becomes one harmless line."""

import random
import sys
import unicodedata

import pytest

from pulumi_ampersand.terminal import harmless, one_line

HOSTILE = {
    "ansi-colour": ("\x1b[31mred\x1b[0m", "[31mred[0m"),
    "c1-sequence": ("a\x9b31mb", "a31mb"),
    "window-title": ("\x1b]0;owned\x07text", "]0;ownedtext"),
    "backspaces": ("safe\b\b\b\bevil", "safeevil"),
    "carriage-return": ("passed\rfailed", "passed failed"),
    "line-ends": ("a\nb\r\nc\x0bd\x0ce\x85f\u2028g\u2029h", "a b c d e f g h"),
    "information-separators": ("a\x1cb\x1dc\x1ed\x1fe", "a b c de"),
    "tabs-and-runs": ("  a \t  b  ", "a b"),
    "null": ("a\0b", "ab"),
    "delete": ("a\x7fb", "ab"),
    "right-to-left-override": ("\u202egnp.exe\u202c", "gnp.exe"),
    "isolates": ("\u2066a\u2067b\u2068c\u2069", "abc"),
    "marks": ("a\u200eb\u200fc\u061cd", "abcd"),
    "lone-surrogate": ("a\ud800b\udfffc", "a\ufffdb\ufffdc"),
    "colour-markup": ("<{%fg 1%}>red<{%reset%}>", "< {%fg 1%}>red< {%reset%}>"),
    "nested-markup": ("<<{%<{%fg 1%}>", "<< {%< {%fg 1%}>"),
    "markup-behind-a-control": ("<\x00{\x1b%fg 1%}>", "< {%fg 1%}>"),
    "markup-behind-a-mark": ("<\u200e{\u202e%reset%}>", "< {%reset%}>"),
}


@pytest.mark.parametrize(("text", "line"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_becomes_harmless(text: str, line: str) -> None:
    """Control and direction characters go, line ends become spaces, Pulumi's markup is broken up."""
    assert one_line(text) == line
    assert one_line(harmless(text)) == line
    assert harmless(harmless(text)) == harmless(text)


def test_values_keep_their_lines() -> None:
    """Of a value only what steers a terminal goes; lines, tabs and runs of spaces are its own."""
    assert harmless("a  b\n\tc\n") == "a  b\n\tc\n"
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    kept = set(harmless(every))
    assert all(one_line(f"a{character}b") in {f"a{character}b", "a b"} for character in kept)


@pytest.mark.parametrize("text", ["", "plain", "Zoë & Søn, 株式会社 🚀", "a < b {% c %} <{ d", "e\u0301"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Customers' names keep their letters, whatever the language."""
    assert one_line(text) == text


def test_no_control_character_of_unicode_survives() -> None:
    """Of all characters, none that is a control, a surrogate or a line end is left."""
    clean = one_line("".join(f"a{chr(code)}" for code in range(sys.maxunicode + 1)))
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(character) for character in clean}
    assert len(clean.splitlines()) == 1
    clean.encode()


def test_no_bidirectional_control_of_unicode_survives() -> None:
    """Of all characters, none that overrides or isolates the direction of the text around it is left."""
    clean = one_line("".join(map(chr, range(sys.maxunicode + 1))))
    kinds = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert not kinds & {unicodedata.bidirectional(character) for character in clean}


@pytest.mark.parametrize("limit", [None, 1, 2, 7, 20])
def test_applied_to_its_own_result_it_changes_nothing(limit: int | None) -> None:
    """Text that passes through twice looks as if it had passed once."""
    chance = random.Random(1)
    alphabet = "<{%}> \t\n\x00\x1b\u202e\ud800ab…"
    for _ in range(5000):
        once = one_line("".join(chance.choices(alphabet, k=12)), limit)
        assert one_line(once, limit) == once
        assert "<{%" not in once
        assert limit is None or len(once) <= limit


def test_text_over_the_limit_ends_in_an_ellipsis() -> None:
    """What is cut off is told by an ellipsis, which counts, and no space stands before it."""
    assert one_line("abcdef", 6) == "abcdef"
    assert one_line("abcdefg", 6) == "abcde…"
    assert one_line("abcd efg", 6) == "abcd…"
    assert one_line("abc", 1) == "…"
