"""What a SARIF report says beside its results: how the run went, and what no result shows; see `sarif_report`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.evaluation import State, WaiverState
from pulumi_ampersand_policies.report import Report, Verdict, count
from pulumi_ampersand_policies.reports import excerpt

NOTIFICATIONS: Final = 1000
"""The most notifications. GitHub sets no limit, but they count for the size of the file."""


class Kind(NamedTuple):
    """A kind of notification.

    Attributes:
        id: Its name.
        description: What it says, a sentence.
        help: What to do about it.
        level: How bad it is. An ``error`` means that the run failed.
        configuration: Whether it is about the configuration, not the run.
    """

    id: str
    description: str
    help: str
    level: str
    configuration: bool = False


class _Notice(NamedTuple):
    """Something that is said beside the results: its kind, a text, and the rule that it is about, on one line."""

    kind: Kind
    text: str
    rule: str = ""


_ELSEWHERE: Final = "The formats json and table list them."
_UNREAD: Final = Kind(
    "unread-source",
    "A source of connections could not be read, or not all of it.",
    "Mend what the message names, and run the audit again: what wasn't read wasn't judged.",
    "error",
)
_CRASHED: Final = Kind(
    "crashed-rule",
    "A rule failed before it had judged all connections.",
    "Report the defect, or mend the rule if it is one of your own.",
    "error",
)
_LEFT_OUT: Final = Kind(
    "left-out-results",
    "There are more findings than GitHub takes, so the least severe ones are left out.",
    f"Mend the others first, or set rules to disabled. {_ELSEWHERE}",
    "warning",
)
_UNJUDGED: Final = Kind(
    "not-evaluated",
    "A rule could not be judged for connections, which is no pass.",
    "Mend the cause that the message gives.",
    "warning",
)
_HIDDEN: Final = Kind(
    "hidden-findings",
    "Findings below the severity that was asked for are no results.",
    "Run the audit without --severity to see them.",
    "note",
)
_EXCUSED: Final = Kind("excused-findings", "Findings that are waived or tolerated are no results.", _ELSEWHERE, "note")
_COMPARED: Final = Kind("baseline", "How the findings differ from an earlier report's.", _ELSEWHERE, "note")
_WAIVER: Final = Kind(
    "idle-waiver",
    "A waiver waives nothing: it has expired, or no finding needs it.",
    "Renew it or take it out of the configuration.",
    "warning",
    configuration=True,
)
_INACTIVE: Final = Kind(
    "inactive-rule",
    "A rule isn't evaluated.",
    "Give it a level and the options that it needs, if it should be.",
    "note",
    configuration=True,
)
KINDS: Final = (_UNREAD, _CRASHED, _LEFT_OUT, _UNJUDGED, _HIDDEN, _EXCUSED, _COMPARED, _WAIVER, _INACTIVE)


def invocation(report: Report, rules: Mapping[str, int], left_out: int) -> dict[str, Any]:
    """The run that made the report.

    Args:
        report: The report.
        rules: The index of each rule, by its ID on one line.
        left_out: How many open findings that are shown are no results.
    """
    notices = list(_notices(report, left_out))
    more = len(notices) - NOTIFICATIONS
    if more > 0:
        notices[NOTIFICATIONS:] = [_Notice(_UNJUDGED, f"and {more:,} more like these; {excerpt.ALL_OF_IT}")]
    return {
        "executionSuccessful": report.verdict is not Verdict.INCOMPLETE,
        "exitCode": report.exit_code,
        "exitCodeDescription": one_line(report.headline),
        "toolExecutionNotifications": [
            _notification(notice, rules) for notice in notices if not notice.kind.configuration
        ],
        "toolConfigurationNotifications": [
            _notification(notice, rules) for notice in notices if notice.kind.configuration
        ],
    }


def _notices(report: Report, left_out: int) -> Iterator[_Notice]:
    """What is to be said beside the results, the worst first."""
    crashes = {(one_line(item.rule), one_line(item.reason)) for item in report.evaluation.not_evaluated if item.crashed}
    unjudged = [
        _Notice(
            _CRASHED if (group.rule, group.reason) in crashes else _UNJUDGED,
            excerpt.joined([f"{group.rule}: {group.reason}", group.concerned], "; "),
            group.rule,
        )
        for group in excerpt.unjudged(report)
    ]
    yield from (_Notice(_UNREAD, excerpt.source(source)) for source in report.sources if source.error)
    yield from (notice for notice in unjudged if notice.kind is _CRASHED)
    yield from _not_results(report, left_out)
    yield from (
        _Notice(_WAIVER, f"{state.value}: {text}")
        for state, text in excerpt.waivers(report)
        if state is not WaiverState.USED
    )
    yield from (
        _Notice(_INACTIVE, f"{known.rule.id}: {known.reason}", one_line(known.rule.id))
        for known in sorted(report.configuration.inactive, key=lambda known: known.rule.id)
    )
    yield from (notice for notice in unjudged if notice.kind is _UNJUDGED)


def _not_results(report: Report, left_out: int) -> Iterator[_Notice]:
    """How many findings are no results, and why not."""
    if left_out:
        yield _Notice(_LEFT_OUT, f"the {count(left_out, 'least severe finding')} of those that are open didn't fit")
    if report.hidden:
        yield _Notice(_HIDDEN, f"{count(report.hidden, 'open finding')} below severity {report.least_shown.value}")
    waived, tolerated = report.states[State.WAIVED], report.states[State.TOLERATED]
    if waived or tolerated:
        yield _Notice(_EXCUSED, f"{count(waived, 'finding')} waived, {tolerated:,} tolerated")
    if report.comparison is not None:
        yield _Notice(_COMPARED, f"compared with {report.comparison.as_of}: {excerpt.differences(report)}")


def _notification(notice: _Notice, rules: Mapping[str, int]) -> dict[str, Any]:
    kind, text, rule = notice
    notification: dict[str, Any] = {
        "descriptor": {"id": kind.id, "index": KINDS.index(kind)},
        "level": kind.level,
        "message": message(f"{text}."),
    }
    if rule:
        notification["associatedRule"] = {"id": rule, "index": rules[rule]}
    return notification


def message(text: str) -> dict[str, str]:
    """A message that readers show as ``text``: without placeholders and links."""
    return {"text": one_line(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")}
