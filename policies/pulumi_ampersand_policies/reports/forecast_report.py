"""A forecast as a table, as JSON or as comma-separated values.

The JSON Schema of the JSON form is ``forecast.schema.json`` beside this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any, Final

import msgspec

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.evaluation import crashes
from pulumi_ampersand_policies.forecast import Forecast, Upcoming, horizons
from pulumi_ampersand_policies.report import SCHEMA_VERSION, TOOL, Report, count, moment, version
from pulumi_ampersand_policies.reports import Look
from pulumi_ampersand_policies.reports.json_report import finding_document, not_evaluated_documents, source_document

FORMATS: Final = ("table", "json", "csv")

_MOST: Final = 1000
"""How many findings a table shows."""

_COLUMNS: Final = (
    "on",
    "severity",
    "rule",
    "enforcement",
    "project",
    "connection",
    "provider",
    "group",
    "consumer",
    "message",
    "remediation",
    "fingerprint",
)


def render(format_: str, now: Report, days: int, ahead: Forecast, look: Look) -> Iterator[str]:
    """A forecast's text in one of `FORMATS`, in pieces.

    Args:
        format_: The form.
        now: What is found now.
        days: How many days the forecast looks ahead.
        ahead: The forecast.
        look: See `Look`.
    """
    return _FORMS[format_](now, days, ahead, look)


def headline(now: Report, days: int, ahead: Forecast) -> str:
    """The forecast in a sentence."""
    within = horizons(ahead.upcoming, now.as_of, days)
    listed = ", ".join(f"{number:,} within {count(limit, 'day')}" for limit, number in within.items())
    judged = count(len(now.inventory), "connection")
    return f"To come: {listed}; {len(now.opened):,} open now, of {judged}."


def errors(now: Report, ahead: Forecast) -> list[str]:
    """Why the forecast is incomplete, a sentence each; what fails now isn't said again of later."""
    known = {*crashes(now.evaluation)}
    return [*now.errors, *(text for text in ahead.crashed if text not in known)]


def _json(now: Report, days: int, ahead: Forecast, _look: Look) -> Iterator[str]:
    document = {
        "schemaVersion": SCHEMA_VERSION,
        "asOf": moment(now.as_of),
        "days": days,
        "tool": {"name": TOOL, "version": version()},
        "sources": [source_document(source) for source in now.sources],
        "errors": errors(now, ahead),
        "summary": {
            "connections": len(now.inventory),
            "open": len(now.opened),
            "upcoming": len(ahead.upcoming),
            "within": {str(limit): number for limit, number in horizons(ahead.upcoming, now.as_of, days).items()},
        },
        "upcoming": list(map(_document, ahead.upcoming)),
        "notEvaluated": list(not_evaluated_documents(now.evaluation)),
    }
    yield msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    yield "\n"


def _document(item: Upcoming) -> dict[str, Any]:
    """What is to come is open when it comes."""
    found = finding_document(item.finding)
    return {"on": item.on.isoformat(), **{key: found[key] for key in found if key not in {"state", "waiver"}}}


def _csv(_now: Report, _days: int, ahead: Forecast, _look: Look) -> Iterator[str]:
    from pulumi_ampersand_policies.reports.csv_report import rows  # noqa: PLC0415 - for this form only

    found = map(_document, ahead.upcoming)
    return rows(chain([_COLUMNS], ([row[name] for name in _COLUMNS] for row in found)))


def _table(now: Report, days: int, ahead: Forecast, look: Look) -> Iterator[str]:
    from rich.text import Text  # noqa: PLC0415 - for this form only

    from pulumi_ampersand_policies.reports.page import SEVERITIES, Page  # noqa: PLC0415

    page = Page(look)
    page.say((headline(now, days, ahead), "bold"))
    page.say(f"As of {moment(now.as_of)}, if nobody does anything.")
    failures = errors(now, ahead)
    if failures:
        page.heading(("Incomplete", "bold magenta"))
        page.items([one_line(text) for text in failures])
    shown: Sequence[Upcoming] = ahead.upcoming[:_MOST]
    for on, items in groupby(shown, key=lambda item: item.on):
        page.heading((on.strftime("%A, ") + on.isoformat(), "bold"))
        for item in items:
            found = item.finding
            page.say(
                (one_line(found.rule), SEVERITIES[found.severity]),
                f"  {found.severity.value}, {found.enforcement.value}",
                indent=2,
            )
            page.rows([(Text(""), Text(found.message))], 1)
        yield from page.take()
    page.more(len(ahead.upcoming) - len(shown))
    unjudged = len(now.evaluation.not_evaluated)
    if unjudged:
        page.heading(f"Not evaluated now, so not forecast either: {unjudged:,}; pulumi-ampersand audit lists them")
    yield from page.take()


_FORMS: Final[dict[str, Callable[[Report, int, Forecast, Look], Iterator[str]]]] = {
    "table": _table,
    "json": _json,
    "csv": _csv,
}
