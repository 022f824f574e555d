"""The command ``pulumi-ampersand audit``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import click

from pulumi_ampersand.whole_file import whole_file
from pulumi_ampersand_policies.audit import audit as judge
from pulumi_ampersand_policies.baseline import Baseline, BaselineError, read_baseline
from pulumi_ampersand_policies.config_command import EXIT_WRONG
from pulumi_ampersand_policies.output import Output, OutputType, checked, look, write
from pulumi_ampersand_policies.reading import Asked, Word, reading_options, say
from pulumi_ampersand_policies.report import Report
from pulumi_ampersand_policies.reports import FORMATS, FormatError, Look, form
from pulumi_ampersand_policies.rule import Severity
from pulumi_ampersand_policies.sources import Filters, kept

_SEVERITIES = [severity.value for severity in reversed(Severity)]


@click.command(short_help="Judge connections by the rules, without a deployment.")
@reading_options
@click.option(
    "--format",
    "outputs",
    type=OutputType(FORMATS),
    multiple=True,
    help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}, to standard output or FILE; may be repeated.  [default: table]",
)
@click.option(
    "--severity", type=Word(_SEVERITIES), help="Show findings of this severity and above only; changes no verdict."
)
@click.option(
    "--fail-on",
    type=Word(_SEVERITIES),
    help="Findings of this severity and above break.  [default: those of mandatory rules]",
)
@click.option(
    "--baseline",
    type=click.File("rb"),
    metavar="FILE",
    help="An earlier JSON report, to show what is new and what is fixed.",
)
@click.option("--fail-on-new", is_flag=True, help="Only findings that the baseline lacks break.")
@click.option(
    "--save",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep what was read in this folder, without credentials, to judge it again later.",
)
@click.option(
    "--sarif-path",
    default=Look.sarif_path,
    show_default=True,
    metavar="PATH",
    help="The file of the repository at which SARIF shows findings.",
)
def audit(  # noqa: PLR0913, PLR0917 - one parameter for each option
    asked: Asked,
    outputs: tuple[Output, ...],
    severity: str | None,
    fail_on: str | None,
    baseline: BinaryIO | None,
    fail_on_new: bool,
    folder: Path | None,
    sarif_path: str,
) -> None:
    """Judge connections by the rules, without a deployment.

    The rules, their configuration and the verdict are those of the policy pack. The API key is read from AMP_API_KEY,
    the API's root from AMP_API_URL.

    \b
    Exit code:
      0  clean
      1  findings that break
      2  wrong usage or configuration; nothing was judged
      3  incomplete: something could not be read or written, or a rule crashed

    \b
    Examples:
      pulumi-ampersand audit --project crm --config policy-config.json
      pulumi-ampersand audit --all-projects --format table --format json=audit.json
      pulumi-ampersand audit --input answer.json --format html=audit.html
      pulumi-ampersand audit --stack prod --baseline last-week.json --fail-on-new
    """  # noqa: D301 - click wants the character
    chosen = checked(outputs, "table")
    if fail_on_new and baseline is None:
        raise click.UsageError("--fail-on-new needs --baseline, an earlier JSON report")
    before = _baseline(baseline)
    try:
        forms = [form(output.format) for output in chosen]
    except FormatError as error:
        raise click.UsageError(str(error)) from None
    parts = asked.read()
    report = judge(
        parts,
        asked.configuration,
        asked.as_of,
        fail_on=Severity(fail_on) if fail_on else None,
        fail_on_new=fail_on_new,
        least_shown=Severity(severity) if severity else Severity.LOW,
        baseline=before,
        filtered=asked.filters != Filters(),
    )
    report = replace(report, problems=tuple(_keep(report, folder)))
    shown = look(sarif_path)
    in_files = Look(sarif_path=sarif_path)
    texts = [render(report, in_files if output.file else shown) for output, render in zip(chosen, forms, strict=True)]
    report = replace(report, problems=(*report.problems, *_write(chosen, texts)))
    for text in report.errors:
        say(f"Error: {text}")
    if not asked.quiet:
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


def _keep(report: Report, folder: Path | None) -> Iterator[str]:
    """Keep what was read; what went wrong, one sentence."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in kept(report.inventory):
            with whole_file(folder / name) as file:
                file.write(content)
    except OSError as error:
        yield f"--save {folder}: can't be written: {error.strerror}"


def _write(outputs: Sequence[Output], texts: Sequence[Iterator[str]]) -> Iterator[str]:
    """Write each form of the report; what went wrong, one sentence."""
    try:
        write(outputs, texts)
    except OSError as error:
        yield f"{error.filename or 'standard output'}: can't be written: {error.strerror}; no report was written"
