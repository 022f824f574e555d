"""The command ``pulumi-ampersand forecast``."""

from __future__ import annotations

import sys
from typing import Final

import click

from pulumi_ampersand_policies.audit import audit as judge
from pulumi_ampersand_policies.forecast import MOST_DAYS
from pulumi_ampersand_policies.forecast import forecast as look_ahead
from pulumi_ampersand_policies.options import EXIT_INCOMPLETE, Request, reading_options, say
from pulumi_ampersand_policies.output import Output, OutputType, checked, look, write
from pulumi_ampersand_policies.progress import Progress
from pulumi_ampersand_policies.reading import Asked
from pulumi_ampersand_policies.reports import Look
from pulumi_ampersand_policies.reports.forecast_report import FORMATS, errors, headline, render

_DEFAULT_DAYS: Final = 90


@click.command(short_help="Say which connections will break which rule, and when.")
@reading_options
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    default=_DEFAULT_DAYS,
    metavar="N",
    help=f"How many days to look ahead, {MOST_DAYS} at most.  [default: {_DEFAULT_DAYS}]",
)
@click.option(
    "--format",
    "outputs",
    type=OutputType(FORMATS),
    multiple=True,
    help="table, json or csv, to standard output or FILE; may be repeated.  [default: table]",
)
def forecast(request: Request, days: int, outputs: tuple[Output, ...]) -> None:
    """Say which connections will break which rule, and when, if nobody does anything.

    The audit's rules are judged at later times. What is broken already isn't listed; what is waived is, when its waiver
    ends. A forecast gates nothing.

    \b
    Exit code:
      0  whatever will break
      2  wrong usage or configuration; nothing was judged
      3  incomplete: something could not be read or written, or a rule crashed

    \b
    Examples:
      pulumi-ampersand forecast --project crm --days 30
      pulumi-ampersand forecast --all-projects --format csv=upcoming.csv
    """  # noqa: D301 - click wants the character
    chosen = checked(outputs, "table", request.files)
    asked = Asked.of(request)
    parts = asked.read()
    with Progress("Looking ahead", None, shown=not request.quiet):
        now = judge(parts, asked.configuration, asked.as_of)
        ahead = look_ahead(now.inventory, asked.configuration, asked.as_of, days)
    failures = errors(now, ahead)
    looks = [Look() if output.file else look() for output in chosen]
    try:
        write(
            chosen, [render(output.format, now, days, ahead, seen) for output, seen in zip(chosen, looks, strict=True)]
        )
    except OSError as error:
        place = error.filename or "standard output"
        failures.append(f"{place}: can't be written: {error.strerror}; no forecast was written")
    for text in failures:
        say(f"Error: {text}")
    if not request.quiet and not failures:
        say(headline(now, days, ahead))
    sys.exit(EXIT_INCOMPLETE if failures else 0)
