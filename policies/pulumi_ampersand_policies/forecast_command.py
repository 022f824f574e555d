"""The command ``pulumi-ampersand forecast``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click
import msgspec

from pulumi_ampersand_policies.audit import audit as judge
from pulumi_ampersand_policies.forecast import MOST_DAYS, Upcoming, horizons
from pulumi_ampersand_policies.forecast import forecast as look_ahead
from pulumi_ampersand_policies.output import Output, OutputType, checked, write
from pulumi_ampersand_policies.progress import Progress
from pulumi_ampersand_policies.reading import EXIT_INCOMPLETE, Asked, reading_options, say
from pulumi_ampersand_policies.report import SCHEMA_VERSION, TOOL, Report, count, moment, version
from pulumi_ampersand_policies.reports.json_report import finding_document, source_document

_FORMATS: Final = ("table", "json", "csv")
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
    type=OutputType(_FORMATS),
    multiple=True,
    help="table, json or csv, to standard output or FILE; may be repeated.  [default: table]",
)
def forecast(asked: Asked, days: int, outputs: tuple[Output, ...]) -> None:
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
    chosen = checked(outputs, "table")
    parts = asked.read()
    with Progress("Looking ahead", None, shown=False if asked.quiet else None):
        now = judge(parts, asked.configuration, asked.as_of)
        ahead = look_ahead(now.inventory, asked.configuration, asked.as_of, days)
    upcoming = ahead.upcoming
    failures = list(dict.fromkeys([*now.errors, *ahead.crashed]))
    try:
        write(chosen, [_FORMS[output.format](now, days, upcoming) for output in chosen])
    except OSError as error:
        failures.append(f"{error.filename or 'standard output'}: can't be written: {error.strerror}")
    for text in failures:
        say(f"Error: {text}")
    if not asked.quiet:
        say(_headline(now, days, upcoming))
    sys.exit(EXIT_INCOMPLETE if failures else 0)


def _headline(now: Report, days: int, upcoming: Sequence[Upcoming]) -> str:
    judged = count(len(now.inventory), "connection")
    return f"{count(len(upcoming), 'finding')} to come in {count(days, 'day')}; {len(now.opened):,} open now; {judged}."


def _json(now: Report, days: int, upcoming: Sequence[Upcoming]) -> Iterator[str]:
    document = {
        "schemaVersion": SCHEMA_VERSION,
        "asOf": moment(now.as_of),
        "days": days,
        "tool": {"name": TOOL, "version": version()},
        "sources": [source_document(source) for source in now.sources],
        "summary": {
            "connections": len(now.inventory),
            "open": len(now.opened),
            "upcoming": len(upcoming),
            "within": {str(within): number for within, number in horizons(upcoming, now.as_of, days).items()},
        },
        "upcoming": [{"on": item.on.isoformat(), **_finding(item)} for item in upcoming],
        "notEvaluated": [
            {"rule": item.rule, "connection": item.connection, "reason": item.reason}
            for item in now.evaluation.not_evaluated
        ],
    }
    yield msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _finding(item: Upcoming) -> dict[str, Any]:
    """A finding that is yet to come: neither waived nor new."""
    document = finding_document(item.finding)
    return {key: value for key, value in document.items() if key not in {"state", "waiver"}}


def _csv(_now: Report, _days: int, upcoming: Sequence[Upcoming]) -> Iterator[str]:
    from pulumi_ampersand_policies.reports.csv_report import rows  # noqa: PLC0415 - for this form only

    names = ("rule", "severity", "enforcement", "connection", "project", "provider", "group", "consumer", "message")
    yield from rows([("on", *names), *((item.on.isoformat(), *_cells(item, names)) for item in upcoming)])


def _cells(item: Upcoming, names: Sequence[str]) -> Iterator[str]:
    document = finding_document(item.finding)
    return (document[name] for name in names)


def _table(now: Report, days: int, upcoming: Sequence[Upcoming]) -> Iterator[str]:
    from pulumi_ampersand_policies.reports.table_report import upcoming_table  # noqa: PLC0415 - likewise

    yield from upcoming_table(now, days, upcoming, shutil.get_terminal_size().columns)


_FORMS: Final = {"json": _json, "csv": _csv, "table": _table}
