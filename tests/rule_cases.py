"""What the table of rules is made of: for each rule its cases, in columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.testing import connection, grant, inventory

HOSTILE: Final = "x\n\x1b[31m; rm -rf ~ '\u202e<{%fg 1%}>$(id)\ud800"
"""Text that leaves its line, steers a terminal, breaks out of quotes and can't be encoded."""

Said = Mapping[str, str]
"""The whole of what is said, by connection ID; ``""`` is what concerns none that exists."""


@dataclass(frozen=True)
class Case:
    """Connections, and what a rule says of them.

    Attributes:
        name: What is special about them.
        connections: The connections.
        breaks: What breaks the rule.
        not_evaluated: What the rule could not judge.
        options: The rule's options; None for those of its row.
    """

    name: str
    connections: Inventory
    breaks: Said = field(default_factory=dict)
    not_evaluated: Said = field(default_factory=dict)
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Wrong:
    """Options that are refused.

    Attributes:
        name: What is wrong with them.
        problem: The whole of what is said of them.
        options: The options.
    """

    name: str
    problem: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Cases:
    """A rule's row in the table.

    Attributes:
        options: Options under which the rule is judged where a case gives no others.
        keeps: Connections that keep the rule.
        breaks: Connections that break it.
        edges: Where one thing ends and the other begins.
        not_evaluated: Connections that can't be judged.
        wrong: Options that are refused.
        without: Columns in which the rule has no case, and why it can't have any.
    """

    keeps: tuple[Case, ...]
    breaks: tuple[Case, ...]
    edges: tuple[Case, ...]
    not_evaluated: tuple[Case, ...]
    wrong: tuple[Wrong, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)


def _said(text: str | Said) -> Said:
    return {"conn_1": text} if isinstance(text, str) else text


def keeps(name: str, connections: Inventory, **options: Any) -> Case:
    """A case that keeps the rule, or that the rule isn't about."""
    return Case(name, connections, options=options or None)


def breaks(name: str, connections: Inventory, cause: str | Said, **options: Any) -> Case:
    """A case that breaks the rule; a cause alone is that of ``conn_1``."""
    return Case(name, connections, breaks=_said(cause), options=options or None)


def undecided(name: str, connections: Inventory, reason: str | Said, **options: Any) -> Case:
    """A case that can't be judged; a reason alone is that of ``conn_1``."""
    return Case(name, connections, not_evaluated=_said(reason), options=options or None)


def wrong(name: str, problem: str, **options: Any) -> Wrong:
    """Options that are refused."""
    return Wrong(name, problem, options)


def one(*, complete: bool = True, **changes: Any) -> Inventory:
    """The connection ``conn_1``, with changed fields."""
    return inventory(connection(**changes), complete=complete)


def granted(*, complete: bool = True, **tokens: Any) -> Inventory:
    """The connection ``conn_1`` with a grant; see `grant`."""
    return one(oauth2AuthorizationCode=grant(**tokens), complete=complete)


def with_block(block: Any, *, complete: bool = True) -> Inventory:
    """The connection ``conn_1`` with whatever was sent as its grant."""
    return one(oauth2AuthorizationCode=block, complete=complete)


def unobserved(connections: Inventory) -> Inventory:
    """The same connections, of which only the first document was passed on."""
    return Inventory.from_documents(connections.documents()[0])


def with_gaps(connections: Inventory, **gaps: str) -> Inventory:
    """The same connections, of which something could not be read."""
    return Inventory((entry.connection, replace(entry.observation, gaps=gaps)) for entry in connections)


SCHEMES_WITHOUT_A_GRANT: Final = ("none", "apiKey", "basic", "oauth2/clientCredentials", "oauth2/password", "future")


def without_a_grant() -> Inventory:
    """Connections to which rules about the authorization-code grant don't apply."""
    return inventory(
        connection("schemeless", authScheme=None, oauth2AuthorizationCode=None),
        *(connection(name, authScheme=name, oauth2AuthorizationCode=None) for name in SCHEMES_WITHOUT_A_GRANT),
    )
