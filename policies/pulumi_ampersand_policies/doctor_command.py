"""The command ``pulumi-ampersand doctor``."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from pathlib import Path
from typing import Final

import click

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.doctor.api import reachability, settings
from pulumi_ampersand_policies.doctor.engine import engine
from pulumi_ampersand_policies.doctor.installation import installation
from pulumi_ampersand_policies.doctor.note import SECONDS, Check, Mark, Note
from pulumi_ampersand_policies.doctor.packs import packs

_COLOURS: Final = {Mark.OK: "green", Mark.INFO: "blue", Mark.WARNING: "yellow", Mark.PROBLEM: "red"}
_PATIENCE: Final = SECONDS + 5.0
"""Seconds after which a check is given up that has no bound of its own, as looking up a host's address."""


@click.command(short_help="Find what is missing, and say what mends it.")
@click.option("--project", metavar="P", help="The project that commands will read, ID or name.  [default: AMP_PROJECT]")
@click.option(
    "--pack",
    "folders",
    type=click.Path(file_okay=False, path_type=Path),
    multiple=True,
    metavar="DIR",
    help="The folder of a policy pack; may be repeated.  [default: what is in this folder, ampersand-pack or policies]",
)
@click.option("--offline", is_flag=True, help="Don't ask the API.")
def doctor(project: str | None, folders: tuple[Path, ...], offline: bool) -> None:
    """Find what is missing, and say what mends it.

    Looks at this installation, the Pulumi command line, the Python that policy packs run with, the API key (which is
    never shown), and whether the API answers and has the project. Changes nothing.

    \b
    Exit code:
      0  no problem
      1  a problem
      2  wrong usage
    """  # noqa: D301 - click wants the character
    environ = os.environ
    checks: list[Check] = [
        installation,
        functools.partial(engine, environ),
        *packs(folders, environ),
        functools.partial(settings, environ, Path()),
        *([] if offline else [functools.partial(reachability, environ, project)]),
    ]
    counts: Counter[Mark] = Counter()
    for note in _notes(checks):
        counts[note.mark] += 1
        _show(note)
    click.echo(_summary(counts))
    sys.exit(bool(counts[Mark.PROBLEM]))


def _notes(checks: Sequence[Check]) -> Iterator[Note]:
    """The notes of all checks, in their order; the checks run at once."""
    started = [_started(check) for check in checks]
    end = time.monotonic() + _PATIENCE
    for future in started:
        yield from _result(future, end - time.monotonic())


def _result(future: Future[list[Note]], seconds: float) -> list[Note]:
    try:
        return future.result(max(0.0, seconds))
    except NotDoneError:
        problem = f"one check didn't end within {_PATIENCE:g} s"
    except Exception as error:  # noqa: BLE001 - what is broken can break a check, and mustn't hide the others
        problem = f"one check failed: {type(error).__name__}: {error}"
    return [Note(Mark.PROBLEM, "doctor", problem, "the packages it needs may be broken")]


def _started(check: Check) -> Future[list[Note]]:
    future: Future[list[Note]] = Future()

    def run() -> None:
        try:
            future.set_result(list(check()))
        except Exception as error:  # noqa: BLE001 - handed on
            future.set_exception(error)

    # A daemon, which nothing waits for at the end.
    threading.Thread(target=run, daemon=True).start()
    return future


def _show(note: Note) -> None:
    mark = click.style(f"{note.mark.value:7}", fg=_COLOURS[note.mark])
    text = one_line(f"{note.found}; {note.remedy}" if note.remedy else note.found)
    encoding = sys.stdout.encoding or "utf-8"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    line = f"{mark}  {note.subject:16}  {text}"
    click.echo(line.encode(encoding, "replace").decode(encoding), color=False if plain else None)


def _summary(counts: Counter[Mark]) -> str:
    found = [
        f"{counts[mark]} {mark.value}{'' if counts[mark] == 1 else 's'}"
        for mark in (Mark.PROBLEM, Mark.WARNING)
        if counts[mark]
    ]
    return f"{', '.join(found) or 'No problem'}."
