"""The one evaluation: an inventory and a configuration give findings, and what could not be evaluated.

Pack and audit both come here, so they say the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import ActiveRule, Configuration
from pulumi_ampersand_policies.rule import Breach, Enforcement, Severity, Unverified
from pulumi_ampersand_policies.rules import readable_connections, verifiable_connections


@dataclass(frozen=True)
class Finding:
    """A connection breaks a rule: one for each rule and connection, with all its causes.

    Attributes:
        rule: The rule's ID.
        severity: How bad it is.
        enforcement: What it does to a deployment.
        project: The Ampersand project; empty if it is about no connection.
        connection: The connection's ID; empty if it is about no connection.
        provider: The connection's provider.
        group: The group's ref.
        consumer: The consumer's ref.
        message: What is wrong, on one line that is safe on a terminal.
        remediation: How to mend it, likewise.
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

    @property
    def fingerprint(self) -> str:
        """The same for the same rule, project and connection, whatever the message says."""
        return hashlib.sha256(json.dumps([self.rule, self.project, self.connection]).encode()).hexdigest()


@dataclass(frozen=True)
class NotEvaluated:
    """A rule could not be judged.

    Attributes:
        rule: The rule's ID.
        connection: The connection's ID; empty if it is about no single one.
        reason: Why not, on one line that is safe on a terminal.
        crashed: Whether the rule itself failed, which is a defect of the rule.
    """

    rule: str
    connection: str
    reason: str
    crashed: bool = False


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation gave, sorted: severest first, then by rule and connection."""

    findings: tuple[Finding, ...]
    not_evaluated: tuple[NotEvaluated, ...]


def evaluate(inventory: Inventory, configuration: Configuration, now: datetime) -> Evaluation:
    """Judge an inventory by every active rule.

    Args:
        inventory: The connections, and what could not be read of them.
        configuration: The rules, their levels and options.
        now: The time to judge expiry by.
    """
    findings: list[Finding] = []
    not_evaluated: list[NotEvaluated] = []
    gaps: list[tuple[Entry | None, str]] = []
    verifiable: ActiveRule | None = None
    if inventory.unread and configuration.active(readable_connections.RULE.id) is None:
        for reason in inventory.unread:
            not_evaluated.append(NotEvaluated(readable_connections.RULE.id, "", one_line(reason)))
            gaps.append((None, reason))
    for active in configuration.rules:
        if active.rule is verifiable_connections.RULE:
            verifiable = active
            continue
        breaches, unverified = _judge(active, inventory, now)
        findings.extend(_findings(active, breaches))
        for item, crashed in unverified:
            name = item.entry.connection.id if item.entry else ""
            not_evaluated.append(NotEvaluated(active.rule.id, one_line(name), one_line(item.reason), crashed))
            gaps.append((item.entry, f"{active.rule.id} was not evaluated: {item.reason}"))
    if verifiable is not None:
        breaches, unverified = _judge(verifiable, inventory, now)
        not_evaluated.extend(
            NotEvaluated(verifiable.rule.id, "", one_line(item.reason), crashed) for item, crashed in unverified
        )
        breaches += [Breach(text, entry) for entry, text in gaps]
        breaches += [Breach(f"{verifiable.rule.id} was not evaluated: {item.reason}") for item, _ in unverified]
        findings.extend(_findings(verifiable, breaches))
    findings.sort(key=lambda finding: (-finding.severity.rank, finding.rule, finding.project, finding.connection))
    not_evaluated.sort(key=lambda item: (item.rule, item.connection))
    return Evaluation(tuple(findings), tuple(not_evaluated))


def _judge(
    active: ActiveRule, inventory: Inventory, now: datetime
) -> tuple[list[Breach], list[tuple[Unverified, bool]]]:
    """What a rule says. A rule that crashes keeps what it said before, and the rest is not evaluated."""
    breaches: list[Breach] = []
    unverified: list[tuple[Unverified, bool]] = []
    try:
        for said in active.rule.check(inventory, active.options, now):
            if isinstance(said, Breach):
                breaches.append(said)
            else:
                unverified.append((said, False))
    except Exception as error:  # noqa: BLE001 - whatever a rule does wrong, it must not look like a pass
        where = _innermost(error)
        unverified.append(
            (Unverified(f"the rule crashed with {type(error).__name__} {where}; report this defect"), True)
        )
    return breaches, unverified


def _innermost(error: Exception) -> str:
    """Where an exception was raised. Its text isn't used: it may hold anything."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return f"at {step.tb_frame.f_code.co_filename.rpartition('/')[2]}:{step.tb_lineno}" if step else ""


def _findings(active: ActiveRule, breaches: Iterable[Breach]) -> list[Finding]:
    """One finding for each connection, with all its causes."""
    causes: dict[int, tuple[Entry | None, list[str]]] = {}
    for number, breach in enumerate(breaches):
        # Causes that concern no connection have nothing to be joined by.
        key = id(breach.entry) if breach.entry is not None else -1 - number
        causes.setdefault(key, (breach.entry, []))[1].append(breach.cause)
    return [_finding(active, entry, texts) for entry, texts in causes.values()]


def _finding(active: ActiveRule, entry: Entry | None, causes: list[str]) -> Finding:
    rule, cause = active.rule, one_line("; ".join(causes), 800)
    if entry is None:
        return Finding(rule.id, rule.severity, active.enforcement, "", "", "", "", "", cause, rule.remedy())
    connection = entry.connection
    group, consumer = connection.group, connection.consumer
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        enforcement=active.enforcement,
        project=one_line(entry.project),
        connection=one_line(connection.id),
        provider=one_line(connection.provider),
        group=one_line((group and group.ref) or ""),
        consumer=one_line((consumer and consumer.ref) or ""),
        message=one_line(f"{describe(entry)}: {cause}"),
        remediation=rule.remedy(connection.id),
    )


def describe(entry: Entry) -> str:
    """The connection's ID, provider and customer, on one line that is safe on a terminal."""
    connection = entry.connection
    who = ", ".join(filter(None, (one_line(connection.provider, 60), one_line(connection.customer, 80))))
    return f"{one_line(connection.id, 120)} ({who})"


def lines(evaluation: Evaluation, active: ActiveRule) -> list[str]:
    """What a preview shows of one rule: a line for each finding, as many as its ``maxReported`` allows."""
    findings = [finding for finding in evaluation.findings if finding.rule == active.rule.id]
    limit = active.options.max_reported
    shown = [one_line(f"{finding.message}. {finding.remediation}") for finding in findings[:limit]]
    if len(findings) > limit:
        shown.append(f"and {len(findings) - limit} more; set maxReported of {active.rule.id} to see them")
    return shown


def crashes(evaluation: Evaluation) -> list[str]:
    """A line for each rule that failed, to be shown where nobody asked what could not be verified."""
    return [f"{item.rule} was not evaluated: {item.reason}" for item in evaluation.not_evaluated if item.crashed]
