"""The forms in which a report is written, one module each, imported when its form is asked for.

Each module has a function ``render(report, look)`` that yields the text in pieces. Text that others wrote, names and
messages, is hostile: each form escapes it for its own readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pulumi_ampersand_policies.report import Report

FORMATS: Final = ("table", "json", "csv", "sarif", "junit", "markdown", "html")


@dataclass(frozen=True)
class Look:
    """What is known of where a report will be read.

    Attributes:
        width: The terminal's columns.
        colour: Whether it shows colours.
        sarif_path: The file of the repository, relative to its root, at which SARIF's readers show findings.
    """

    width: int = 80
    colour: bool = False
    sarif_path: str = "Pulumi.yaml"


class FormatError(Exception):
    """A report can't be written in a format, which needs something that isn't installed; says what to do."""


def form(format_: str) -> Callable[[Report, Look], Iterator[str]]:
    """What writes a report in one of `FORMATS`: a function that gives its text in pieces.

    Raises:
        FormatError: Something that the format needs isn't installed.
    """
    module = import_module(f"{__name__}.{format_}_report")
    # Before hours are spent on reading what can't be written.
    getattr(module, "require", lambda: None)()
    render: Callable[[Report, Look], Iterator[str]] = module.render
    return render


def render(format_: str, report: Report, look: Look) -> Iterator[str]:
    """A report's text in one of `FORMATS`, in pieces; see `form`."""
    return form(format_)(report, look)
