"""One run of the command ``pulumi-ampersand audit``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import click

from pulumi_ampersand.whole_file import whole_file
from pulumi_ampersand_policies.audit import audit
from pulumi_ampersand_policies.baseline import Baseline, BaselineError, read_baseline
from pulumi_ampersand_policies.options import EXIT_WRONG, Request, say
from pulumi_ampersand_policies.output import Output, look, write
from pulumi_ampersand_policies.progress import Progress
from pulumi_ampersand_policies.reading import Asked
from pulumi_ampersand_policies.report import Report
from pulumi_ampersand_policies.reports import FormatError, Look, form
from pulumi_ampersand_policies.rule import Severity
from pulumi_ampersand_policies.sources import kept


@dataclass(frozen=True)
class AuditRun:
    """What the command was given; see its options.

    Attributes:
        request: What to judge.
        outputs: Which forms of the report go where.
        severity: The least severity that is shown; None for all.
        fail_on: The least severity that breaks; None for what is mandatory.
        baseline: An earlier report.
        fail_on_new: Whether only new findings break.
        folder: Where to keep what was read.
        sarif_path: See `Look`.
    """

    request: Request
    outputs: Sequence[Output]
    severity: str | None
    fail_on: str | None
    baseline: BinaryIO | None
    fail_on_new: bool
    folder: Path | None
    sarif_path: str

    def run(self) -> None:
        """Read, judge, keep, write, and end the program with the verdict."""
        asked = Asked.of(self.request)
        before = _baseline(self.baseline)
        try:
            forms = [form(output.format) for output in self.outputs]
        except FormatError as error:
            raise click.UsageError(str(error)) from None
        parts = asked.read(judging=True)
        with Progress("Judging connections", None, shown=not self.request.quiet):
            report = audit(
                parts,
                asked.configuration,
                asked.as_of,
                fail_on=Severity(self.fail_on) if self.fail_on else None,
                fail_on_new=self.fail_on_new,
                least_shown=Severity(self.severity) if self.severity else Severity.LOW,
                baseline=before,
                filters=self.request.filters,
            )
        report = replace(report, problems=tuple(_keep(report, self.folder, tell=self.request.verbose)))
        shown, in_files = look(self.sarif_path), Look(sarif_path=self.sarif_path)
        texts = [
            render(report, in_files if output.file else shown)
            for output, render in zip(self.outputs, forms, strict=True)
        ]
        # What goes to standard output shows by itself that something is going on.
        quiet = self.request.quiet or not all(output.file for output in self.outputs)
        with Progress("Writing reports", None, shown=not quiet):
            report = replace(report, problems=(*report.problems, *_write(self.outputs, texts)))
        for text in report.errors:
            say(f"Error: {text}")
        if not self.request.quiet:
            say(report.headline)
        sys.exit(report.exit_code)


def _baseline(file: BinaryIO | None) -> Baseline | None:
    if file is None:
        return None
    try:
        return read_baseline(file.read())
    except OSError as error:
        problem = f"can't be read: {error.strerror}"
    except BaselineError as error:
        problem = str(error)
    say(f"Error: baseline {file.name} {problem}")
    raise SystemExit(EXIT_WRONG)


def _keep(report: Report, folder: Path | None, *, tell: bool) -> Iterator[str]:
    """Keep what was read, and tell in which files; what went wrong, one sentence."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in kept(report.inventory):
            with whole_file(folder / name) as file:
                file.write(content)
            if tell:
                say(f"Kept {folder / name}.")
    except OSError as error:
        yield f"--save {folder}: can't be written: {error.strerror}"


def _write(outputs: Sequence[Output], texts: Sequence[Iterator[str]]) -> Iterator[str]:
    """Write each form of the report; what went wrong, one sentence."""
    try:
        write(outputs, texts)
    except OSError as error:
        yield f"{error.filename or 'standard output'}: can't be written: {error.strerror}; no report was written"
