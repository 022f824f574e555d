"""The command ``pulumi-ampersand audit``."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from pulumi_ampersand_policies import ahead
from pulumi_ampersand_policies.options import SEVERITIES, Request, Word, reading_options
from pulumi_ampersand_policies.output import Output, OutputType, checked
from pulumi_ampersand_policies.reports import FORMATS, Look


def _folder(value: str | None) -> Path | None:
    if value == "":
        raise click.BadParameter("give the name of a folder")
    return None if value is None else Path(value)


def _in_repository(value: str) -> str:
    if not value or value.startswith(("/", "\\")) or ".." in Path(value).parts or ":" in value:
        raise click.BadParameter(f'"{value}" is no path inside the repository, relative to its root')
    return value


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
    "--severity", type=Word(SEVERITIES), help="Show findings of this severity and above only; changes no verdict."
)
@click.option(
    "--fail-on",
    type=Word(SEVERITIES),
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
    type=click.Path(file_okay=False),
    callback=lambda _context, _option, value: _folder(value),
    metavar="DIR",
    help="Keep what was read in this folder, without credentials, to judge it again later.",
)
@click.option(
    "--sarif-path",
    default=Look.sarif_path,
    callback=lambda _context, _option, value: _in_repository(value),
    show_default=True,
    metavar="PATH",
    help="The file of the repository at which SARIF shows findings.",
)
def audit(  # noqa: PLR0913, PLR0917 - one parameter for each option
    request: Request,
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
    the API's root from AMP_API_URL, the seconds for one call from AMP_TIMEOUT (120 by default).

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
    chosen = checked(outputs, "table", request.files)
    if fail_on_new and baseline is None:
        raise click.UsageError("--fail-on-new needs --baseline, an earlier JSON report")
    # The first is read while the rest is imported; all at once would fill the memory.
    for name in request.inputs[:1]:
        ahead.begin(name)
    from pulumi_ampersand_policies.audit_run import AuditRun  # noqa: PLC0415 - see above

    AuditRun(request, chosen, severity, fail_on, baseline, fail_on_new, folder, sarif_path).run()
