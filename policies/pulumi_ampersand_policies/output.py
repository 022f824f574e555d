"""Where reports go: ``FORMAT`` to standard output, ``FORMAT=FILE`` to a file that is there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import click

from pulumi_ampersand.arguments import nearest
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand.whole_file import whole_file
from pulumi_ampersand_policies.reports import Look


class Output(NamedTuple):
    """One form of a report, and where it goes.

    Attributes:
        format: The form.
        file: The file; None for standard output.
    """

    format: str
    file: Path | None

    @property
    def place(self) -> str:
        """Where it goes, in words, on one line that is safe on a terminal."""
        return "standard output" if self.file is None else one_line(str(self.file))


class OutputType(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """``FORMAT`` or ``FORMAT=FILE``.

    Args:
        formats: The forms that there are.
    """

    name = "FORMAT[=FILE]"

    def __init__(self, formats: Sequence[str]) -> None:
        self._formats = formats

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Output:
        """Read an option's value, and refuse early what could only fail at the end."""
        if isinstance(value, Output):
            return value
        format_, separator, name = str(value).partition("=")
        if format_ not in self._formats:
            known = ", ".join(self._formats)
            self.fail(f'no format "{format_}"{nearest(format_, self._formats)}; the formats are {known}', param, ctx)
        if not separator or name == "-":
            return Output(format_, None)
        file = Path(name)
        try:
            if not name or file.is_dir():
                self.fail(f"{value}: give the name of a file after =", param, ctx)
            if not file.parent.is_dir():
                self.fail(f"{value}: there is no folder {file.parent}", param, ctx)
        except (OSError, ValueError) as error:
            self.fail(f"{value}: no file can be named so: {error}", param, ctx)
        return Output(format_, file)

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """The forms that begin with what is typed."""
        return [click.shell_completion.CompletionItem(name) for name in self._formats if name.startswith(incomplete)]


def checked(outputs: Sequence[Output], default: str, read: Iterable[str] = ()) -> tuple[Output, ...]:
    """The outputs, each to a place of its own.

    Args:
        outputs: What was asked for.
        default: The form to show if nothing was.
        read: The files that are read, which mustn't be written.

    Raises:
        click.UsageError: Two go to one place, or one to a file that is read.
    """
    chosen = tuple(outputs) or (Output(default, None),)
    places: dict[str, Output] = {}
    sources = {os.path.realpath(name) for name in read}
    for output in chosen:
        place = "" if output.file is None else os.path.realpath(output.file)
        if place in places:
            raise click.UsageError(
                f"--format {places[place].format} and --format {output.format} both go to {output.place}: "
                "give each its file, FORMAT=FILE"
            )
        if place in sources and Path(place).is_file():
            raise click.UsageError(f"--format {output.format} would replace {output.place}, which is read")
        places[place] = output
    return chosen


def look(sarif_path: str = Look.sarif_path) -> Look:
    """How standard output shows a report: its width, and whether it shows colours (NO_COLOR is heeded)."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    # A terminal may tell no size; Python has a fallback for that since 3.11.
    return Look(shutil.get_terminal_size().columns or Look.width, colour=colour, sarif_path=sarif_path)


def write(outputs: Sequence[Output], texts: Sequence[Iterator[str]]) -> None:
    """Write each text to its output: all files, or none.

    Raises:
        OSError: One can't be written; its ``filename`` says which.
    """
    with ExitStack() as files:
        for output, pieces in zip(outputs, texts, strict=True):
            if output.file is not None:
                _write(pieces, files.enter_context(whole_file(output.file)))
        # As long as the files are drafts.
        for output, pieces in zip(outputs, texts, strict=True):
            if output.file is None:
                _show(pieces)


def _write(pieces: Iterator[str], file: BinaryIO) -> None:
    # Half a surrogate pair, from a configuration file, can't be encoded.
    file.writelines(piece.encode("utf-8", "replace") for piece in pieces)
    file.flush()


def _show(pieces: Iterator[str]) -> None:
    """Write to standard output. That its reader has gone is no failure of an audit."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed")
    encoding = (sys.stdout.encoding if sys.stdout.isatty() else None) or "utf-8"
    try:
        for piece in pieces:
            sys.stdout.buffer.write(piece.encode(encoding, "replace"))
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is left in the buffer would fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise
