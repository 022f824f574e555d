"""``credential-age``: the credential was issued not too long ago.

Broken when the refresh token was issued strictly more than ``maxDays`` (365) ago; one issued exactly so long ago keeps
the rule. Not evaluated where its time of issue isn't known, unless ``assume`` names a time to take instead:
``createTime``, when the connection was made, or ``updateTime``, when it was last changed. A time of issue in the future
is no age. Applies to connections with an OAuth authorization-code grant, but for those that have no refresh token.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand.model import Token
from pulumi_ampersand_policies.compliance import AUTHENTICATOR_AGE
from pulumi_ampersand_policies.grant import (
    describe_span,
    describe_time,
    known_time,
    plural,
    why_no_issue_time,
    with_grant,
)
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity, Unverified


class CredentialAge(Options):
    """Options of ``credential-age``."""

    max_days: float = Field(365, ge=0, le=36500, description="The most days since the refresh token was issued.")
    assume: Literal["createTime", "updateTime"] | None = Field(
        None,
        description="Which of the connection's times to take for a time of issue that isn't known: createTime or "
        "updateTime.",
    )


def applies(entry: Entry, _options: CredentialAge) -> bool:
    """Whether there is, or may be, a refresh token."""
    return with_grant(entry) and entry.observation.refresh_token is not None


def check(inventory: Inventory, options: CredentialAge, now: datetime) -> Iterator[Breach | Unverified]:
    """Compare each refresh token's age with the limit."""
    limit = timedelta(days=options.max_days)
    for entry in inventory:
        token = entry.observation.refresh_token
        issued, what = known_time(token.issued_at if isinstance(token, Token) else None), "refresh token was issued"
        if issued is None and options.assume == "createTime":
            issued, what = known_time(entry.connection.create_time), "connection was created"
        elif issued is None and options.assume == "updateTime":
            issued, what = known_time(entry.observation.update_time), "connection was updated"
        if issued is None:
            also = f", nor is its {options.assume}" if options.assume else ""
            yield Unverified(f"{why_no_issue_time(entry.observation)}{also}", entry)
        elif now - issued > limit:
            age = f"{what} {describe_span(now - issued)} ago, {describe_time(issued)}"
            yield Breach(f"{age}; maximum {plural(options.max_days, 'day')}", entry)


RULE = Rule(
    id="credential-age",
    title="The credential was issued not too long ago",
    severity=Severity.MEDIUM,
    enforcement=Enforcement.ADVISORY,
    remediation="Have the customer authorise again: pulumi-ampersand reauth {connection}",
    check=check,
    options=CredentialAge,
    applies=applies,
    tags=("credentials", "rotation"),
    controls=AUTHENTICATOR_AGE,
)
