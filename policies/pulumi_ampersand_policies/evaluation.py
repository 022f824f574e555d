"""The one evaluation: an inventory and a configuration give findings, and what could not be evaluated.

Pack and audit both come here, so they say the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timezone
from enum import Enum
from fractions import Fraction
from functools import cached_property
from typing import Final, NamedTuple

from pulumi_ampersand.inventory import Entry, Inventory, by_id
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import ActiveRule, Configuration
from pulumi_ampersand_policies.grant import with_grant
from pulumi_ampersand_policies.rule import (
    Breach,
    Enforcement,
    Requirement,
    Severity,
    TolerableOptions,
    Unverified,
)
from pulumi_ampersand_policies.rules import readable_connections, required_connections, verifiable_connections
from pulumi_ampersand_policies.waiver import Approval

MORE: Final = "run pulumi-ampersand audit, or set maxReported of {rule}"
"""How to see the findings that a preview leaves out."""


class State(str, Enum):
    """Whether a finding breaks the gate."""

    OPEN = "open"
    WAIVED = "waived"
    TOLERATED = "tolerated"


@dataclass(frozen=True)
class Finding:
    """A connection breaks a rule: one for each rule and connection, with all its causes.

    Attributes:
        rule: The rule's ID.
        severity: How bad it is.
        enforcement: What it does to a deployment as long as it is open.
        project: The Ampersand project; empty if it is about no connection.
        connection: The connection's ID; empty if it is about no connection.
        provider: The connection's provider, or the one that is required.
        group: The group's ref, or the one that is required.
        consumer: The consumer's ref.
        message: What is wrong, on one line that is safe on a terminal.
        remediation: How to mend it, likewise.
        state: Whether it breaks the gate.
        waiver: The waiver that waives it.
        exact: The connection's ID as it was sent, where that isn't fit to be shown.
    """

    rule: str
    severity: Severity
    enforcement: Enforcement
    project: str
    connection: str
    provider: str
    group: str
    consumer: str
    message: str
    remediation: str
    state: State = State.OPEN
    waiver: Approval | None = None
    exact: str = ""

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same rule, project and connection or requirement, whatever the message says."""
        required = [self.provider, self.group] if not self.connection and (self.provider or self.group) else []
        parts = [self.rule, self.project, self.exact or self.connection, *required]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def order(self) -> tuple[int, str, str, str, str, str]:
        """What findings are sorted by: severest first, then by rule and what they are about."""
        return (-self.severity.rank, self.rule, self.project, self.connection, self.provider, self.group)


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """A rule could not be judged.

    Attributes:
        rule: The rule's ID.
        connection: The connection's ID; empty if it is about no single one.
        reason: Why not, on one line that is safe on a terminal.
        crashed: Whether the rule itself failed, which is a defect of the rule.
        project: The connection's Ampersand project; empty if it is about no single one.
    """

    rule: str
    connection: str
    reason: str
    crashed: bool = False
    project: str = ""


class WaiverState(str, Enum):
    """What became of a waiver."""

    USED = "used"
    UNUSED = "unused"
    EXPIRED = "expired"


@dataclass(frozen=True)
class WaiverUse:
    """What became of a waiver in an evaluation.

    Attributes:
        rule: The rule that it is configured for.
        waiver: The waiver.
        state: Whether it waived a finding; an expired one is expired even if it would have had none to waive.
    """

    rule: str
    waiver: Approval
    state: WaiverState


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation gave, sorted: severest first, then by rule and connection; waivers as they are configured."""

    findings: tuple[Finding, ...]
    not_evaluated: tuple[NotEvaluated, ...]
    waivers: tuple[WaiverUse, ...] = ()


@dataclass
class _Judgement:
    """What a rule said."""

    breaches: list[Breach]
    unverified: list[tuple[Unverified, bool]]
    applicable: int

    @property
    def judged(self) -> int:
        """How many connections could be judged."""
        open_ones = {id(item.entry) for item, _ in self.unverified if isinstance(item.entry, Entry)}
        return self.applicable - len(open_ones)


class _Gap(NamedTuple):
    """What a rule could not judge, for ``verifiable-connections``."""

    entry: Entry | Requirement | None
    rule: str
    reason: str


@dataclass
class _Said:
    """What a rule comes to, before waivers and tolerance, which need all of it.

    Attributes:
        findings: One for each connection or requirement.
        judged: How many connections could be judged.
        crashed: Whether the rule failed before it had judged all of them.
    """

    findings: list[Finding] = field(default_factory=list)
    judged: int = 0
    crashed: bool = False


@dataclass
class Judged:
    """What rules said of connections: of all of them, or of some.

    Attributes:
        said: By the rule's ID; not of ``verifiable-connections``, which needs what all the others could not judge.
        unverifiable: What that one said by itself.
        gaps: What the others could not judge.
        not_evaluated: Likewise, for people.
    """

    said: dict[str, _Said] = field(default_factory=dict)
    unverifiable: list[Breach] = field(default_factory=list)
    gaps: list[_Gap] = field(default_factory=list)
    not_evaluated: list[NotEvaluated] = field(default_factory=list)

    def add(self, active: ActiveRule, judgement: _Judgement) -> None:
        """Add what a rule said."""
        crashed = False
        for item, failed in judgement.unverified:
            crashed = crashed or failed
            name, project = "", ""
            if isinstance(item.entry, Entry):
                name, project = item.entry.connection.id, item.entry.project
            self.not_evaluated.append(
                NotEvaluated(active.rule.id, one_line(name), one_line(item.reason), failed, one_line(project))
            )
            self.gaps.append(_Gap(item.entry, active.rule.id, item.reason))
        self.said[active.rule.id] = _Said(_findings(active, judgement.breaches), judgement.judged, crashed)

    def extend(self, other: Judged) -> None:
        """Add what rules said of other connections."""
        for rule, said in other.said.items():
            mine = self.said.setdefault(rule, _Said())
            mine.findings += said.findings
            mine.judged += said.judged
            mine.crashed = mine.crashed or said.crashed
        self.unverifiable += other.unverifiable
        self.gaps += other.gaps
        self.not_evaluated += other.not_evaluated

    @property
    def crashed(self) -> bool:
        """Whether a rule failed."""
        return any(item.crashed for item in self.not_evaluated)


def evaluate(inventory: Inventory, configuration: Configuration, now: datetime) -> Evaluation:
    """Judge an inventory by every active rule.

    Args:
        inventory: The connections, and what could not be read of them.
        configuration: The rules, their levels and options.
        now: The time to judge expiry by.
    """
    judged = judge(inventory, configuration, now)
    judged.extend(judge(inventory, configuration, now, whole=True))
    return conclude(judged, inventory, configuration, now)


def judge(inventory: Inventory, configuration: Configuration, now: datetime, *, whole: bool = False) -> Judged:
    """Judge connections by the active rules that look at each by itself, or by the others; see `evaluate`.

    Whether the former is done for all of an inventory, or for parts of it that are then put together, is the same.

    Args:
        inventory: The connections.
        configuration: The rules, their levels and options.
        now: The time to judge by.
        whole: Whether to judge by the rules that compare connections; then those must be all.
    """
    judged = Judged()
    with_a_grant: list[Inventory] = []
    for active in configuration.rules:
        if active.rule.whole is not whole:
            continue
        if active.rule.applies is with_grant:
            # Several rules are about the same, which takes as long to find out as to judge.
            with_a_grant = with_a_grant or [inventory.where(with_grant)]
            judgement = _judge(active, with_a_grant[0], now, chosen=True)
        else:
            judgement = _judge(active, inventory, now)
        if active.rule.id == verifiable_connections.RULE.id:
            judged.unverifiable = judgement.breaches
            judged.not_evaluated += [
                NotEvaluated(active.rule.id, "", one_line(item.reason), crashed)
                for item, crashed in judgement.unverified
            ]
        else:
            judged.add(active, judgement)
    return judged


def conclude(judged: Judged, inventory: Inventory, configuration: Configuration, now: datetime) -> Evaluation:
    """Sum up what all rules said.

    Args:
        judged: What they said.
        inventory: Of which connections, see `evaluate`; these themselves aren't looked at.
        configuration: See `evaluate`.
        now: See `evaluate`.
    """
    findings: list[Finding] = []
    waivers: list[WaiverUse] = []
    today = now.astimezone(timezone.utc).date() if configuration.waivers else None
    everything = Judged()
    for rule, reasons in _unreported(inventory, configuration):
        everything.not_evaluated += [NotEvaluated(rule, "", one_line(reason)) for reason in reasons]
        everything.gaps += [_Gap(None, "", reason) for reason in reasons]
    everything.extend(judged)
    for active in configuration.rules:
        said = everything.said.get(active.rule.id)
        if said is None:
            said = _of_verifiable(active, everything, len(inventory))
        made, uses = _waived(active, said.findings, today)
        # How many connections a rule would have found that crashed nobody knows.
        findings += made if said.crashed else _tolerated(active, made, said.judged)
        waivers += uses
    findings.sort(key=lambda finding: finding.order)
    everything.not_evaluated.sort(key=lambda item: (item.rule, item.connection, item.project))
    return Evaluation(tuple(findings), tuple(everything.not_evaluated), tuple(waivers))


def _of_verifiable(active: ActiveRule, judged: Judged, count: int) -> _Said:
    """What ``verifiable-connections`` comes to: what it said, and what the others could not judge."""
    own = [item for item in judged.not_evaluated if item.rule == active.rule.id]
    breaches = [*judged.unverifiable, *_gathered(judged.gaps)]
    breaches += [Breach(f"{active.rule.id} was not evaluated: {item.reason}") for item in own]
    return _Said(_findings(active, breaches), count, crashed=any(item.crashed for item in own))


def _gathered(gaps: Iterable[_Gap]) -> list[Breach]:
    """What could not be evaluated as causes: of one connection, what several rules lack for one reason is one."""
    rules: dict[tuple[object, str], tuple[Entry | Requirement | None, list[str]]] = {}
    for number, (entry, rule, reason) in enumerate(gaps):
        rules.setdefault((_subject(entry, number), reason), (entry, []))[1].append(rule)
    causes = []
    for (_, reason), (entry, names) in rules.items():
        said = f"{', '.join(names)} {'was' if len(names) == 1 else 'were'} not evaluated: " if names != [""] else ""
        causes.append(Breach(f"{said}{reason}", entry))
    return causes


def _subject(about: Entry | Requirement | None, number: int) -> object:
    """What is the same for all that is said of one connection or requirement, wherever its parts were judged.

    Args:
        about: The connection or requirement.
        number: Which of the things said it is: what is about none of them has nothing to be joined by.
    """
    if isinstance(about, Entry):
        return by_id(about)
    return -1 - number if about is None else id(about)


def of_one_source(configuration: Configuration) -> Configuration:
    """The rules that judge each data source by itself."""
    return replace(configuration, rules=tuple(active for active in configuration.rules if not active.rule.whole))


def of_all_sources(configuration: Configuration) -> Configuration:
    """The rules that judge all data sources at once, with what collects what they couldn't judge, if there are any.

    What ``verifiable-connections`` has to say by itself it has said of each source.
    """
    rules = [active for active in configuration.rules if active.rule.whole]
    collecting = configuration.active(verifiable_connections.RULE.id)
    if rules and collecting is not None:
        rules.append(collecting._replace(rule=replace(collecting.rule, check=_silent)))
    return replace(configuration, rules=tuple(rules))


def _silent(_inventory: Inventory, _options: object, _now: datetime) -> Iterator[Breach | Unverified]:
    return iter(())


def _unreported(inventory: Inventory, configuration: Configuration) -> Iterable[tuple[str, Sequence[str]]]:
    """What no active rule reports, although nobody can switch off that it wasn't looked at."""
    if configuration.active(readable_connections.RULE.id) is None:
        yield readable_connections.RULE.id, [reason for reason, _ in inventory.unread]
    if configuration.active(required_connections.RULE.id) is None:
        yield (
            required_connections.RULE.id,
            [
                f'the gate names connection "{name}", which doesn\'t exist, or which its filters exclude'
                for name in inventory.missing
            ],
        )


def _judge(active: ActiveRule, inventory: Inventory, now: datetime, *, chosen: bool = False) -> _Judgement:
    """What a rule says. A rule that crashes keeps what it said before, and the rest is not evaluated.

    Args:
        active: The rule and its options.
        inventory: The connections.
        now: The time to judge by.
        chosen: Whether those are just the connections that the rule is about.
    """
    rule, options = active.rule, active.options
    judgement = _Judgement([], [], 0)
    try:
        if rule.applies is not None and not chosen:
            inventory = inventory.where(rule.applies, options)
        judgement.applicable = len(inventory)
        for said in rule.check(inventory, options, now):
            if isinstance(said, Breach):
                judgement.breaches.append(said)
            else:
                judgement.unverified.append((said, False))
    except Exception as error:  # noqa: BLE001 - whatever a rule does wrong, it must not look like a pass
        where = _innermost(error)
        judgement.unverified.append(
            (Unverified(f"the rule crashed with {type(error).__name__} {where}; report this defect"), True)
        )
    return judgement


def _waived(active: ActiveRule, findings: list[Finding], today: date | None) -> tuple[list[Finding], list[WaiverUse]]:
    """The findings, waived where a waiver of today waives them, and what became of the waivers.

    Args:
        active: The rule and its options.
        findings: What it found.
        today: The day in UTC; None if waivers are to be ignored.
    """
    given: Sequence[Approval] = getattr(active.options, "waivers", ())
    if today is None or not given:
        return findings, []
    used: set[int] = set()
    made = []
    for finding in findings:
        covering = [(number, waiver) for number, waiver in enumerate(given) if waiver.covers(finding)]
        valid = [(number, waiver) for number, waiver in covering if waiver.waives(today)]
        if valid:
            used.update(number for number, _ in valid)
            made.append(replace(finding, state=State.WAIVED, waiver=valid[0][1]))
        elif covering:
            last = max((waiver for _, waiver in covering), key=lambda waiver: waiver.expires)
            expired = f"its waiver expired after {last.expires}, {last.describe()}"
            made.append(replace(finding, message=one_line(f"{finding.message}; {expired}")))
        else:
            made.append(finding)
    uses = []
    for number, waiver in enumerate(given):
        state = WaiverState.USED if number in used else WaiverState.UNUSED
        uses.append(WaiverUse(active.rule.id, waiver, state if waiver.waives(today) else WaiverState.EXPIRED))
    return made, uses


def _tolerated(active: ActiveRule, findings: list[Finding], judged: int) -> list[Finding]:
    """The findings, all open ones tolerated if they are no more than the rule tolerates."""
    if not isinstance(active.options, TolerableOptions) or not active.options.tolerate:
        return findings
    allowance = allowed(active.options.tolerate, judged)
    broken = sum(finding.state is State.OPEN for finding in findings)
    if broken > allowance:
        return findings
    return [replace(finding, state=State.TOLERATED) if finding.state is State.OPEN else finding for finding in findings]


def allowed(tolerate: int | str, judged: int) -> int:
    """How many findings a tolerance allows.

    Args:
        tolerate: A count, or a percentage ("2%") of the connections that were judged, rounded down.
        judged: How many were.
    """
    if isinstance(tolerate, int):
        return tolerate
    return int(Fraction(tolerate.removesuffix("%")) * judged / 100)


def _innermost(error: Exception) -> str:
    """Where an exception was raised. Its text isn't used: it may hold anything."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return f"at {step.tb_frame.f_code.co_filename.rpartition('/')[2]}:{step.tb_lineno}" if step else ""


def _findings(active: ActiveRule, breaches: Iterable[Breach]) -> list[Finding]:
    """One finding for each connection or requirement, with all its causes."""
    causes: dict[object, tuple[Entry | Requirement | None, list[str]]] = {}
    for number, breach in enumerate(breaches):
        causes.setdefault(_subject(breach.entry, number), (breach.entry, []))[1].append(breach.cause)
    return [_finding(active, entry, texts) for entry, texts in causes.values()]


def _finding(active: ActiveRule, entry: Entry | Requirement | None, causes: list[str]) -> Finding:
    rule, cause = active.rule, one_line("; ".join(causes), 800)
    if not isinstance(entry, Entry):
        about = Requirement() if entry is None else entry
        return Finding(
            rule=rule.id,
            severity=rule.severity,
            enforcement=active.enforcement,
            project=one_line(about.project),
            connection=one_line(about.connection),
            provider=one_line(about.provider),
            group=one_line(about.group),
            consumer="",
            message=cause,
            remediation=one_line(rule.remedy()),
        )
    connection = entry.connection
    group, consumer = connection.group, connection.consumer
    name = one_line(connection.id)
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        enforcement=active.enforcement,
        project=one_line(entry.project),
        connection=name,
        provider=one_line(connection.provider),
        group=one_line((group and group.ref) or ""),
        consumer=one_line((consumer and consumer.ref) or ""),
        message=one_line(f"{describe(entry)}: {cause}"),
        remediation=one_line(rule.remedy(connection.id)),
        exact="" if name == connection.id else connection.id,
    )


def describe(entry: Entry) -> str:
    """The connection's ID, provider and customer, on one line that is safe on a terminal."""
    connection = entry.connection
    who = ", ".join(filter(None, (one_line(connection.provider, 60), one_line(connection.customer, 80))))
    return f"{one_line(connection.id, 120)} ({who})"


def lines(evaluation: Evaluation, active: ActiveRule) -> list[tuple[str, Enforcement]]:
    """What a preview shows of one rule: a line for each finding, as many as its ``maxReported`` allows, and its level.

    Findings that are waived or tolerated come last, as advice: they don't break the gate, and they aren't hidden.
    """
    findings = [finding for finding in evaluation.findings if finding.rule == active.rule.id]
    findings.sort(key=lambda finding: finding.state is not State.OPEN)
    limit = active.options.max_reported
    shown = [(_line(finding), _level(finding)) for finding in findings[:limit]]
    if len(findings) > limit:
        level = max((_level(finding) for finding in findings[limit:]), key=lambda level: level is Enforcement.MANDATORY)
        shown.append((f"and {len(findings) - limit} more: {MORE.format(rule=active.rule.id)}", level))
    broken = sum(finding.state is State.OPEN for finding in findings)
    tolerate = getattr(active.options, "tolerate", 0)
    if broken and tolerate:
        shown.append((f"{broken} in all, more than are tolerated ({tolerate})", active.enforcement))
    return shown


def _level(finding: Finding) -> Enforcement:
    return finding.enforcement if finding.state is State.OPEN else Enforcement.ADVISORY


def _line(finding: Finding) -> str:
    if finding.state is State.WAIVED and finding.waiver is not None:
        waiver = finding.waiver
        return one_line(f"{finding.message}. Waived until {waiver.expires}, {waiver.describe()}")
    tolerated = "Tolerated. " if finding.state is State.TOLERATED else ""
    return one_line(f"{finding.message}. {tolerated}{finding.remediation}")


def crashes(evaluation: Evaluation) -> list[str]:
    """A line for each rule that failed, to be shown where nobody asked what could not be verified."""
    return [f"{item.rule} was not evaluated: {item.reason}" for item in evaluation.not_evaluated if item.crashed]
