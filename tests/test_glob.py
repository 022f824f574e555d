"""Globs: ``*`` for any text, everything else to the letter."""

from __future__ import annotations

import itertools
import re

import pytest

from pulumi_ampersand_policies.glob import matches


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        pytest.param("api", "api", True, id="same"),
        pytest.param("api", "API", False, id="case"),
        pytest.param("api", "api2", False, id="longer"),
        pytest.param("api", "my-api", False, id="end"),
        pytest.param("", "", True, id="empty"),
        pytest.param("", "a", False, id="empty-pattern"),
        pytest.param("*", "", True, id="star-for-nothing"),
        pytest.param("*", "a/b\nc", True, id="star-for-anything"),
        pytest.param("**", "a", True, id="two-stars"),
        pytest.param("a*", "a", True, id="nothing-behind"),
        pytest.param("a*", "ba", False, id="start-is-fixed"),
        pytest.param("*a", "ab", False, id="end-is-fixed"),
        pytest.param("*a*", "bab", True, id="inside"),
        pytest.param("a*a", "a", False, id="one-letter-is-not-two"),
        pytest.param("a*a", "aa", True, id="two-letters"),
        pytest.param("ab*bc", "abc", False, id="parts-do-not-overlap"),
        pytest.param("*ab*ab*", "abab", True, id="repeated"),
        pytest.param("*ab*ab*", "abxb", False, id="not-repeated"),
        pytest.param("*ab*ba", "aba", False, id="middle-and-end-do-not-overlap"),
        pytest.param("a*b*c", "acb-bc", True, id="leftmost-is-enough"),
        pytest.param("a*b*c", "acb", False, id="order"),
        pytest.param("https://*/auth/*.read", "https://www.example.com/auth/a/b.read", True, id="url"),
        pytest.param("https://*/auth/*.read", "https://www.example.com/auth/a.readonly", False, id="url-longer"),
        pytest.param("read?", "readX", False, id="question-mark-for-a-letter"),
        pytest.param("read?", "read?", True, id="question-mark"),
        pytest.param("read[ab]", "reada", False, id="brackets-for-a-letter"),
        pytest.param("read[ab]", "read[ab]", True, id="brackets"),
        pytest.param("[!a]", "b", False, id="no-negation"),
        pytest.param("a.c", "abc", False, id="dot"),
        pytest.param("a\\*", "a\\b", True, id="nothing-escapes-a-star"),
        pytest.param("é*", "école", True, id="beyond-ascii"),
    ],
)
def test_globs(pattern: str, text: str, fits: bool) -> None:
    """All of a text has to fit a pattern."""
    assert matches(pattern, text) is fits


def test_every_short_glob_means_what_the_regular_expression_means() -> None:
    """All patterns and texts of up to five characters, against the obvious translation."""
    letters = [[*map("".join, itertools.product("ab", repeat=length))] for length in range(6)]
    texts = [text for group in letters for text in group]
    patterns = ["".join(parts) for length in range(6) for parts in itertools.product("ab*", repeat=length)]
    for pattern in patterns:
        expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
        assert [matches(pattern, text) for text in texts] == [bool(expression.fullmatch(text)) for text in texts]


def test_hostile_text_takes_no_time() -> None:
    """Text and pattern that a backtracking matcher would never be done with."""
    assert not matches("*a" * 5_000 + "*b*", "a" * 200_000)
    assert matches("*a" * 5_000, "a" * 200_000)
