"""A page of text for a terminal or a log, laid out by rich.

Nothing that is written on it is markup: what stands in brackets or between colons, and addresses, are text like any
other. What is too long for a line is folded, never cut. Control characters must be gone before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import islice
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pulumi_ampersand_policies.reports import Look
from pulumi_ampersand_policies.reports.excerpt import ALL_OF_IT
from pulumi_ampersand_policies.rule import Severity

SEVERITIES: Final = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
}
"""The style of each severity."""

MOST: Final = 20
"""How many are shown of what has no limit of its own."""

_LEAST_WIDTH: Final = 40
_AT_ONCE: Final = 100
"""Rows that are laid out together."""

_TRAILING: Final = re.compile(r" +(\x1b\[0m)? *$", re.MULTILINE)
"""Rich fills lines up, and ends styles after the space at which it folds."""

_Part = str | tuple[str, str]


class Page:
    """Lays text out, and hands it over piece by piece. A part of a text is the text alone or with its style."""

    def __init__(self, look: Look) -> None:
        self._paper = StringIO()
        # All is given: rich heeds NO_COLOR, COLUMNS and the like for what isn't, and who made the look has heeded them.
        self._console = Console(
            file=self._paper,
            width=max(look.width, _LEAST_WIDTH),
            force_terminal=look.colour,
            color_system="standard" if look.colour else None,
            no_color=not look.colour,
            markup=False,
            emoji=False,
            highlight=False,
            legacy_windows=False,
            force_jupyter=False,
        )

    def take(self) -> Iterator[str]:
        """What was laid out since the last time."""
        text = self._paper.getvalue()
        self._paper.seek(0)
        self._paper.truncate()
        if text:
            yield _TRAILING.sub(r"\1", text)

    def say(self, *parts: _Part, indent: int = 0) -> None:
        """A paragraph."""
        self.put(Text.assemble(*parts, overflow="fold"), indent)

    def heading(self, *parts: _Part) -> None:
        """What follows, set off by an empty line. Its own further lines are indented."""
        self._console.print()
        heading = Text.assemble(*parts)
        for number, line in enumerate(heading.wrap(self._console, self._console.width - 2, overflow="fold")):
            self.put(line, indent=2 if number else 0)

    def rows(self, rows: Iterable[Sequence[Text]], width: int) -> None:
        """Rows of two columns, the first of a given width."""
        rest = iter(rows)
        while chunk := list(islice(rest, _AT_ONCE)):
            grid = Table.grid(padding=(0, 1 if width == 1 else 2, 0, 0))
            grid.add_column(width=width)
            grid.add_column(overflow="fold")
            for row in chunk:
                grid.add_row(*row)
            self.put(grid, indent=2)

    def items(self, texts: Sequence[str]) -> None:
        """A list, or its beginning."""
        self.rows(([Text("-"), Text(text)] for text in texts[:MOST]), 1)
        self.more(len(texts) - MOST)

    def more(self, number: int) -> None:
        """How much was left out."""
        if number > 0:
            self.say((f"and {number:,} more: {ALL_OF_IT}", "dim"), indent=2)

    def put(self, content: RenderableType, indent: int) -> None:
        """Anything that rich lays out."""
        self._console.print(Padding(content, (0, 0, 0, indent)) if indent else content)
