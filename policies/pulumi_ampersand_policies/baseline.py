"""A baseline: an earlier report, of which a later one says what is new and what is fixed.

A team that starts with a thousand old findings gates on new ones only, and mends the old ones in its own time.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import Configuration
from pulumi_ampersand_policies.evaluation import Evaluation, Finding, State


class BaselineError(Exception):
    """A baseline can't be compared with; says why and what to do."""


class PastFinding(msgspec.Struct, frozen=True, gc=False):
    """A finding of the baseline, as its report has it."""

    rule: str
    severity: str
    connection: str
    project: str
    provider: str
    group: str
    message: str
    fingerprint: str
    state: str
    consumer: str = ""


class PastSource(msgspec.Struct, frozen=True, gc=False):
    """A source of the baseline, as its report has it."""

    kind: str
    name: str


class _Version(msgspec.Struct, rename="camel"):
    schema_version: int


class Baseline(msgspec.Struct, frozen=True, rename="camel"):
    """An earlier report, as far as it is compared.

    Attributes:
        as_of: The time that it judged by.
        findings: What it found.
        sources: Where it looked.
        least_shown: The least severity that it shows.
    """

    schema_version: int
    as_of: str
    findings: tuple[PastFinding, ...]
    sources: tuple[PastSource, ...] = ()
    least_shown: str = "low"

    def looked_at(self, sources: Iterable[tuple[str, str]]) -> bool:
        """Whether it looked at nothing else.

        Args:
            sources: Kind and name of each source.
        """
        return {(source.kind, source.name) for source in self.sources} <= set(sources)


@dataclass(frozen=True)
class Comparison:
    """How findings differ from a baseline's.

    Attributes:
        as_of: The time that the baseline judged by, RFC 3339.
        known: The fingerprints of what was broken then and not waived.
        fixed: What was broken then and keeps its rule now.
        not_judged: What was broken then and isn't judged now: its rule is inactive or wasn't evaluated, or its
            connection wasn't asked for or could not be read.
    """

    as_of: str
    known: Collection[str]
    fixed: tuple[PastFinding, ...]
    not_judged: tuple[PastFinding, ...]

    def is_new(self, finding: Finding) -> bool:
        """Whether a finding is open and wasn't known."""
        return finding.state is State.OPEN and finding.fingerprint not in self.known


def read_baseline(data: bytes) -> Baseline:
    """Read a JSON report as a baseline.

    Raises:
        BaselineError: It is none, or doesn't show everything that it found.
    """
    data = data.removeprefix(BOM_UTF8)
    try:
        # A newer version may have other types, so look at its number before complaining about them.
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version > 1:
            raise BaselineError("is a report of a newer version; upgrade pulumi-ampersand")
        baseline = msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BaselineError(f"is no JSON report of pulumi-ampersand audit: {error}") from None
    if baseline.least_shown != "low":
        raise BaselineError(
            f"shows findings of severity {baseline.least_shown} and above only; make it without --severity"
        )
    return baseline


def compare(
    baseline: Baseline,
    evaluation: Evaluation,
    configuration: Configuration,
    inventory: Inventory,
    *,
    whole: Collection[str] | None = None,
) -> Comparison:
    """Say what became of a baseline's findings.

    Args:
        baseline: The earlier report.
        evaluation: What is found now.
        configuration: What is looked for now.
        inventory: What could be read now.
        whole: Projects that were looked at as a whole, of which what is gone is fixed; None: all of the baseline's.
    """
    before = [finding for finding in baseline.findings if finding.state != State.WAIVED.value]
    now = {finding.fingerprint for finding in evaluation.findings}
    gone = [finding for finding in before if finding.fingerprint not in now]
    judged = _Judged(evaluation, configuration, inventory, whole)
    return Comparison(
        baseline.as_of,
        frozenset(finding.fingerprint for finding in before),
        tuple(finding for finding in gone if judged.includes(finding)),
        tuple(finding for finding in gone if not judged.includes(finding)),
    )


@dataclass(frozen=True)
class _Judged:
    """What is judged now; see `compare`."""

    evaluation: Evaluation
    configuration: Configuration
    inventory: Inventory
    whole: Collection[str] | None

    @cached_property
    def _active(self) -> Collection[str]:
        return {active.rule.id for active in self.configuration.rules}

    @cached_property
    def _left_open(self) -> frozenset[tuple[str, str, str]]:
        return frozenset((item.rule, item.project, item.connection) for item in self.evaluation.not_evaluated)

    @cached_property
    def _present(self) -> Collection[tuple[str, str]]:
        return {(one_line(entry.project), one_line(entry.connection.id)) for entry in self.inventory}

    def includes(self, finding: PastFinding) -> bool:
        """Whether a finding would be there if it weren't fixed."""
        if finding.rule not in self._active:
            return False
        about = (finding.rule, finding.project, finding.connection)
        if not self._left_open.isdisjoint([about, (finding.rule, "", "")]):
            return False
        if (finding.project, finding.connection) in self._present:
            return True
        # What isn't there any more is mended, unless it just wasn't looked for.
        if self.inventory.unread or self.whole is None:
            return not self.inventory.unread
        return finding.project in self.whole if finding.connection else bool(self.whole)
