"""What a rule is.

A rule is one file in `pulumi_ampersand_policies.rules`: its metadata, its options and a pure function from an
inventory, those options and a time to what breaks the rule and what could not be judged. A rule knows nothing of
Pulumi, HTTP, clocks or the environment.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand.terminal import one_line


class Severity(str, Enum):
    """How bad it is when a rule is broken."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """A number that grows with the severity."""
        return list(Severity).index(self)


class Enforcement(str, Enum):
    """What Pulumi does when a rule is broken: report it, stop the deployment, or not even look."""

    ADVISORY = "advisory"
    MANDATORY = "mandatory"
    DISABLED = "disabled"


class Options(BaseModel):
    """What every rule can be given. A rule with options of its own inherits from this.

    Field names are camel case in configuration files. A field without a default makes the rule inactive until it is
    given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True)

    max_reported: int = Field(20, ge=1, description="How many findings of the rule a preview shows for one resource.")


OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True)
class Breach:
    """A rule is broken.

    Attributes:
        cause: What is wrong, with the figures; a clause without a full stop. May hold hostile text.
        entry: The connection that breaks it; None where it is no single one.
    """

    cause: str
    entry: Entry | None = None


@dataclass(frozen=True)
class Unverified:
    """A rule could not be judged. Never a pass.

    Attributes:
        reason: Why not; a clause without a full stop. May hold hostile text.
        entry: The connection that could not be judged; None where it is no single one.
    """

    reason: str
    entry: Entry | None = None


Check = Callable[[Inventory, OptionsT, datetime], Iterator["Breach | Unverified"]]


@dataclass(frozen=True)
class Rule(Generic[OptionsT]):
    """A rule: metadata, options and the function that judges.

    Attributes:
        id: Its name in configuration, messages and reports; its file is named likewise, with underscores.
        title: What is true of connections that keep it, one sentence.
        severity: How bad it is to break it.
        enforcement: What Pulumi does by default.
        remediation: How to mend it, one sentence; ``{connection}`` stands for the connection's ID.
        check: Yields what breaks the rule and what could not be judged; says nothing of what keeps it.
        options: The model of its options.
        tags: Words to find it by.
    """

    id: str
    title: str
    severity: Severity
    enforcement: Enforcement
    remediation: str
    check: Check[OptionsT]
    options: type[OptionsT]
    tags: tuple[str, ...] = field(default=())

    @property
    def needed(self) -> tuple[str, ...]:
        """The options without which the rule is inactive."""
        return tuple(part.alias or name for name, part in self.options.model_fields.items() if part.is_required())

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its options."""
        return self.options.model_json_schema(by_alias=True)

    def remedy(self, connection_id: str | None = None) -> str:
        """How to mend it, for one connection, or for any."""
        name = "<connection>" if connection_id is None else shlex.quote(one_line(connection_id, 120))
        return self.remediation.replace("{connection}", name)
