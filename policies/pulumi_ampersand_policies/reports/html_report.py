"""The HTML report: one file for people, with all that it needs inside, which fetches nothing.

Text that others wrote is escaped by the templates, in the charts and in the JSON from which the page's script makes the
rows of findings. Should one of these fail, the page's Content-Security-Policy keeps everything from running and being
fetched that isn't the page's own style sheet and script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from pulumi_ampersand.inventory import Entry
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.baseline import PastFinding
from pulumi_ampersand_policies.configuration import ActiveRule
from pulumi_ampersand_policies.evaluation import Finding, State, WaiverState, describe
from pulumi_ampersand_policies.forecast import Forecast, Upcoming, forecast
from pulumi_ampersand_policies.report import TOOL, Report, moment, version
from pulumi_ampersand_policies.reports import FormatError, Look, excerpt, overview
from pulumi_ampersand_policies.reports.overview import FrameworkStatus, Health, ProviderStatus, RuleStatus, Standing
from pulumi_ampersand_policies.rule import Severity

STATIC_ROWS: Final = 200
"""Findings that are there without JavaScript, and at most so many of anything else that a list names one by one."""

WINDOWS: Final = (7, 30, 90)
"""How many days the outlook looks ahead."""

_CHART_ROWS: Final = 12
_TABLE_ROWS: Final = 50
_TOP_CUSTOMERS: Final = 10
_NOTED_CONNECTIONS: Final = 100
_LONG_OPTION: Final = 240
_CUT: Final = 60
_BATCH: Final = 1000
_MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

_FILES: Final = Path(__file__).parent
_NONCHARACTERS: Final = dict.fromkeys(
    [*range(0xFDD0, 0xFDF0), *(plane + end for plane in range(0, 0x110000, 0x10000) for end in (0xFFFE, 0xFFFF))],
    "\ufffd",
)
"""What HTML forbids, apart from what `one_line` takes out."""

_INSIDE_SCRIPT: Final = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def require() -> None:
    """See that what isn't installed with the rest is there.

    Raises:
        FormatError: The extra ``html`` isn't installed.
    """
    try:
        import jinja2  # noqa: F401, PLC0415 - the extra `html`
        import vl_convert  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        raise FormatError(
            "the HTML report needs its templates and charts: pip install 'pulumi-ampersand[html]'"
        ) from None


def render(report: Report, _look: Look) -> Iterator[str]:
    """The report as HTML; the same report gives the same text.

    Raises:
        FormatError: The extra ``html`` isn't installed.
    """
    require()
    import jinja2  # noqa: PLC0415 - see there

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FILES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: _clean(value) if type(value) is str else value,
    )
    environment.filters |= {"number": "{:,}".format, "plural": _plural, "moment": _moment, "day": date.isoformat}
    page = _Page(report)
    template = environment.get_template("report.html.jinja")
    pieces: Iterator[str] = template.generate(page=page, report=report, charts=_Charts(page), State=State)
    return pieces


def _clean(text: str) -> str:
    """Text without what steers a terminal, turns the direction of writing, or isn't allowed in HTML."""
    return one_line(text).translate(_NONCHARACTERS)


def _plural(number: int, thing: str, things: str = "") -> str:
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def _moment(at: datetime) -> str:
    return at.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


class Shown(NamedTuple):
    """A finding as it is shown.

    Attributes:
        finding: The finding.
        subject: What it is about: the connection's ID, or what is required.
        customer: The customer's name, or else ref.
        message: What is wrong, without what the other columns say.
        advice: How to mend it, without the command.
        command: The command that does; empty if there is none.
        breaks: Whether it breaks.
        new: Whether the baseline lacks it.
    """

    finding: Finding
    subject: str
    customer: str
    message: str
    advice: str
    command: str
    breaks: bool
    new: bool


class Ahead(NamedTuple):
    """What breaks until a day.

    Attributes:
        days: How many days there are until then.
        until: The day.
        findings: How many connections will break a rule by then.
        severe: How many of those are of severity high or critical.
    """

    days: int
    until: date
    findings: int
    severe: int


class Open(NamedTuple):
    """A reason for which a rule could not be judged, and of which connections.

    Attributes:
        rule: The rule's ID.
        reason: Why not.
        crashed: Whether the rule failed.
        number: How many times.
        connections: The first connections' IDs.
    """

    rule: str
    reason: str
    crashed: bool
    number: int
    connections: tuple[str, ...]


class Option(NamedTuple):
    """An option by which a rule judged, its value as JSON."""

    name: str
    value: str
    long: bool


class _Page:
    """What the template shows of a report, beside the report itself."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.tool = TOOL
        self.version = version()
        self.as_of = moment(report.as_of)
        self.static_rows = STATIC_ROWS
        self.look_ahead = WINDOWS[-1]
        self.today = report.as_of.astimezone(timezone.utc).date()
        self.style = _Asset("report.css")
        self.script = _Asset("report.js")
        self.severities = tuple(severity.value for severity in reversed(Severity))
        self.standings = tuple(Standing)
        self.healths = tuple(Health)

    @cached_property
    def _entries(self) -> Mapping[tuple[str, str], Entry]:
        concerned = {finding.connection for finding in self._report.evaluation.findings}
        concerned.update(item.finding.connection for item in self.upcoming[:STATIC_ROWS])
        return {
            (one_line(entry.project), one_line(entry.connection.id)): entry
            for entry in self._report.inventory
            if one_line(entry.connection.id) in concerned
        }

    @cached_property
    def _commands(self) -> Mapping[str, int]:
        """Where in a rule's remedies a command begins."""
        mark = f": {TOOL} "
        begin = {rule.id: rule.remediation.find(mark) for rule in self._report.rules}
        # What stands before it must be the rule's own text alone: connections are named by others.
        return {
            rule.id: begin[rule.id] + 2
            for rule in self._report.rules
            if begin[rule.id] >= 0 and "{" not in rule.remediation[: begin[rule.id]]
        }

    def show(self, finding: Finding) -> Shown:
        """A finding as it is shown."""
        entry = self._entries.get((finding.project, finding.connection))
        name = finding.group
        message = finding.message
        if entry is not None:
            group = entry.connection.group
            name = (group and one_line(group.name or "")) or finding.group or one_line(entry.connection.customer)
            message = message.removeprefix(f"{describe(entry)}: ")
        begin = self._commands.get(finding.rule, 0)
        return Shown(
            finding,
            finding.connection,
            name,
            message,
            finding.remediation[: begin - 2] if begin else finding.remediation,
            finding.remediation[begin:] if begin else "",
            self._report.breaks(finding),
            self._report.is_new(finding),
        )

    def details(self, finding: Finding) -> Sequence[tuple[str, str]]:
        """What is known of a finding beside what its row says. What a row may cut is said in full."""
        told = (
            ("Connection", finding.connection if len(finding.connection) > _CUT else ""),
            ("Provider", finding.provider if len(finding.provider) > _CUT else ""),
            ("Project", finding.project),
            ("Group", finding.group),
            ("Consumer", finding.consumer),
            ("Enforcement", finding.enforcement.value),
            ("Fingerprint", finding.fingerprint),
        )
        return [(name, text) for name, text in told if text]

    @property
    def first_findings(self) -> Iterator[Shown]:
        """The findings that are there without JavaScript."""
        return map(self.show, self._report.findings[:STATIC_ROWS])

    @property
    def data(self) -> Iterator[str]:
        """All findings as JSON for the page's script, in pieces that are safe inside a script element."""
        waivers: list[dict[str, Any]] = []
        numbers: dict[int, int] = {}
        rules = sorted({finding.rule for finding in self._report.findings})
        order = {name: number for number, name in enumerate(rules)}
        severities = {name: number for number, name in enumerate(self.severities)}
        yield '{"findings":[\n'
        findings = iter(self._report.findings)
        separator = ""
        while batch := list(islice(findings, _BATCH)):
            rows = []
            for finding in batch:
                shown = self.show(finding)
                waiver = -1
                if finding.waiver is not None:
                    waiver = numbers.setdefault(id(finding.waiver), len(waivers))
                    if waiver == len(waivers):
                        waivers.append(finding.waiver.document())
                rows.append(
                    (
                        severities[finding.severity.value],
                        order[finding.rule],
                        shown.subject,
                        finding.provider,
                        shown.customer,
                        shown.message,
                        finding.state.value,
                        int(shown.breaks) + 2 * int(shown.new),
                        finding.project,
                        finding.group,
                        finding.consumer,
                        finding.enforcement.value,
                        shown.advice,
                        shown.command,
                        finding.fingerprint,
                        waiver,
                    )
                )
            yield separator + _json(rows)[1:-1].replace("],[", "],\n[")
            separator = ",\n"
        texts = [{_clean(name): _clean(str(text)) for name, text in waiver.items()} for waiver in waivers]
        yield f'],\n"rules":{_json(rules)},\n"severities":{_json(self.severities)},\n"waivers":{_json(texts)}}}'

    @cached_property
    def _forecast(self) -> Forecast:
        return forecast(self._report.inventory, self._report.configuration, self._report.as_of, WINDOWS[-1])

    @property
    def upcoming(self) -> Sequence[Upcoming]:
        """What will break, by day."""
        return self._forecast.upcoming

    @property
    def filters(self) -> str:
        """Which connections were chosen, in words."""
        return excerpt.filters(self._report)

    @property
    def unforeseen(self) -> Sequence[str]:
        """What could not be looked ahead to, a sentence each."""
        return self._forecast.crashed

    @property
    def first_upcoming(self) -> Iterator[tuple[Upcoming, Shown]]:
        """What will break first, as it is shown."""
        return ((item, self.show(item.finding)) for item in self.upcoming[:STATIC_ROWS])

    @cached_property
    def ahead(self) -> Sequence[Ahead]:
        """How much will break in each of `WINDOWS`."""
        found = []
        for days in WINDOWS:
            until = self.today + timedelta(days)
            within = [item.finding for item in self.upcoming if item.on <= until]
            severe = sum(finding.severity.rank >= Severity.HIGH.rank for finding in within)
            found.append(Ahead(days, until, len(within), severe))
        return found

    @cached_property
    def rules(self) -> Sequence[RuleStatus]:
        """How each rule stands."""
        return overview.rules(self._report)

    @cached_property
    def frameworks(self) -> Sequence[FrameworkStatus]:
        """How each framework's controls stand."""
        return overview.frameworks(self._report, self.rules)

    @cached_property
    def providers(self) -> Sequence[ProviderStatus]:
        """How each provider's connections stand, those with the most first."""
        return _with_rest(self._all_providers, _TABLE_ROWS)

    @cached_property
    def charted_providers(self) -> Sequence[ProviderStatus]:
        """The same, as many as a chart has room for."""
        return _with_rest(self._all_providers, _CHART_ROWS)

    @cached_property
    def _all_providers(self) -> Sequence[ProviderStatus]:
        return overview.providers(self._report)

    @cached_property
    def customers(self) -> Sequence[overview.CustomerStatus]:
        """The customers with the most open findings."""
        return overview.customers(self._report, self._entries)[:_TOP_CUSTOMERS]

    @cached_property
    def by_severity(self) -> Mapping[str, Mapping[str, int]]:
        """How many findings of each severity break, don't, are tolerated and are waived."""
        counts = {
            severity: dict.fromkeys(("breaking", "open", "tolerated", "waived"), 0) for severity in self.severities
        }
        for finding in self._report.evaluation.findings:
            kind = "breaking" if self._report.breaks(finding) else finding.state.value
            counts[finding.severity.value][kind] += 1
        return counts

    @cached_property
    def not_evaluated(self) -> Sequence[Open]:
        """What could not be evaluated, by rule and reason, in order."""
        groups: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
        several = excerpt.several_projects(self._report)
        for item in self._report.evaluation.not_evaluated:
            groups[item.rule, item.reason, item.crashed].append(excerpt.named(item, project=several))
        found = [
            Open(rule, reason, crashed, len(names), tuple(islice(filter(None, names), _NOTED_CONNECTIONS)))
            for (rule, reason, crashed), names in groups.items()
        ]
        return sorted(found, key=lambda item: (not item.crashed, item.rule, -item.number, item.reason))

    @cached_property
    def waivers(self) -> Sequence[tuple[str, str, Mapping[str, str], Any, int]]:
        """The waivers: rule, state, what it selects by, the waiver, and in how many days it ends."""
        own = ("reason", "approvedBy", "expires")
        return [
            (
                use.rule,
                use.state.value,
                {name: text for name, text in use.waiver.document().items() if name not in own},
                use.waiver,
                (use.waiver.expires - self.today).days,
            )
            for use in sorted(
                self._report.evaluation.waivers,
                key=lambda use: (use.waiver.expires, use.rule),
            )
        ]

    @cached_property
    def waiver_counts(self) -> Mapping[str, int]:
        """How many waivers are in each state."""
        states = [use.state for use in self._report.evaluation.waivers]
        return {state.value: states.count(state) for state in WaiverState}

    def options(self, active: ActiveRule) -> Sequence[Option]:
        """The options that a rule judged by, defaults included. Waivers have a table of their own."""
        written = active.options.model_dump(mode="json", by_alias=True, exclude={"waivers"})
        written = {name: int(value) if _is_whole(value) else value for name, value in written.items()}
        texts = {name: json.dumps(value, ensure_ascii=False) for name, value in written.items()}
        return [Option(name, text, len(text) > _LONG_OPTION) for name, text in texts.items()]

    @property
    def compared_with(self) -> str:
        """When the baseline judged. Its file may say anything."""
        told = self._report.comparison.as_of if self._report.comparison else ""
        try:
            return _moment(datetime.strptime(told, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc))
        except ValueError:
            return told

    @cached_property
    def new(self) -> int:
        """How many open findings the baseline lacks."""
        return self._report.new

    @cached_property
    def baseline(self) -> Sequence[tuple[str, str, Sequence[PastFinding]]]:
        """What is no longer found: what became of it, in words, and the findings."""
        comparison = self._report.comparison
        if comparison is None:
            return ()
        return (
            ("Fixed", "broken then, and found to keep its rule now", comparison.fixed),
            (
                "Not judged",
                "broken then, and not judged now: its rule is inactive or wasn't evaluated, or its project wasn't read",
                comparison.not_judged,
            ),
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _with_rest(statuses: Sequence[ProviderStatus], limit: int) -> Sequence[ProviderStatus]:
    if len(statuses) <= limit:
        return statuses
    rest = statuses[limit - 1 :]
    return [*statuses[: limit - 1], overview.combined(rest, f"{len(rest):,} others")]


def _json(value: Any) -> str:
    """JSON that is safe inside a script element."""
    text = msgspec.json.encode(value).decode().translate(_INSIDE_SCRIPT)
    return text if text.isascii() else text.translate(_NONCHARACTERS)


class _Asset:
    """A file that becomes part of the page, and the hash by which the page's policy allows it."""

    def __init__(self, name: str) -> None:
        text = (_FILES / name).read_text(encoding="utf-8")
        self.hash = "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        self.text = _Markup(text)


class _Markup(str):
    """Text of the project's own that is HTML already."""

    __slots__ = ()

    def __html__(self) -> str:
        """What autoescape leaves alone."""
        return str(self)


class _Charts:
    """The page's charts."""

    def __init__(self, page: _Page) -> None:
        self._page = page

    def severities(self) -> _Markup:
        """Findings by severity and state."""
        return self._rows(
            ((name.capitalize(), counts) for name, counts in self._page.by_severity.items()),
            {"breaking": "breaking", "open": "advisory", "tolerated": "tolerated", "waived": "waived"},
        )

    def providers(self) -> _Markup:
        """Connections by provider and health."""
        colours = dict(
            zip((health.value for health in Health), ("good", "breaking", "advisory", "waived"), strict=True)
        )
        return self._rows(
            (
                (status.name, {health.value: status.health.get(health, 0) for health in Health})
                for status in self._page.charted_providers
            ),
            colours,
        )

    def frameworks(self) -> _Markup:
        """Controls by framework and standing."""
        colours = dict(
            zip(
                (standing.value for standing in Standing),
                ("breaking", "advisory", "good", "tolerated", "waived"),
                strict=True,
            )
        )
        return self._rows(
            (
                (status.framework.name, {standing.value: status.count(standing) for standing in Standing})
                for status in self._page.frameworks
            ),
            colours,
        )

    def upcoming(self) -> _Markup:
        """What breaks, by week."""
        from pulumi_ampersand_policies.reports import charts  # noqa: PLC0415 - needs the extra `html`

        today, days = self._page.today, self._page.look_ahead
        weeks = [dict.fromkeys(self._page.severities, 0) for _ in range(days // 7 + 1)]
        for item in self._page.upcoming:
            weeks[(item.on - today).days // 7][item.finding.severity.value] += 1
        begins = [today + timedelta(7 * number) for number in range(len(weeks))]
        bars = [
            charts.Bar(f"{begin.day} {_MONTHS[begin.month - 1]}", week)
            for begin, week in zip(begins, weeks, strict=True)
        ]
        return _Markup(charts.columns(bars, [charts.Series(name, name) for name in self._page.severities], every=3))

    @staticmethod
    def _rows(bars: Iterable[tuple[str, Mapping[str, int]]], colours: Mapping[str, str]) -> _Markup:
        from pulumi_ampersand_policies.reports import charts  # noqa: PLC0415 - needs the extra `html`

        series = [charts.Series(name, colour) for name, colour in colours.items()]
        return _Markup(charts.rows([charts.Bar(_clean(label), numbers) for label, numbers in bars], series))
