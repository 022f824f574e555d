"""What a rule is.

A rule is one file in `pulumi_ampersand_policies.rules`: its metadata, its options and a pure function from an
inventory, those options and a time to what breaks the rule and what could not be judged. A rule knows nothing of
Pulumi, HTTP, clocks or the environment.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.compliance import Control
from pulumi_ampersand_policies.severity import Enforcement, Severity
from pulumi_ampersand_policies.waiver import Waiver

__all__ = [
    "Breach",
    "Check",
    "Enforcement",
    "Options",
    "OptionsT",
    "ReportOptions",
    "Requirement",
    "Rule",
    "Severity",
    "TolerableOptions",
    "Unverified",
]


_PERCENT: Final = r"^(100|[0-9]{1,2}(\.[0-9]{1,9})?)%$"
_TOLERANCE: Final = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _PERCENT}]}


def _tolerance(value: int | str) -> int | str:
    if isinstance(value, int) and value < 0:
        raise ValueError(f"{value} is less than 0")
    if isinstance(value, str) and not (value.isprintable() and re.match(_PERCENT, value)):
        raise ValueError(f'{value!r} is neither a whole number nor percent, "2%" for example')
    # No percent tolerates as much as no tolerance.
    return 0 if isinstance(value, str) and not value.strip("0.%") else value


class ReportOptions(BaseModel):
    """What every rule can be given, even one that can't be waived.

    Field names are camel case in configuration files. A field without a default makes the rule inactive until it is
    given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True)

    max_reported: int = Field(20, ge=1, description="How many findings of the rule a preview shows for one resource.")


class TolerableOptions(ReportOptions):
    """Options of a rule of which some findings can be tolerated."""

    tolerate: Annotated[int | str, AfterValidator(_tolerance), WithJsonSchema(_TOLERANCE)] = Field(
        0,
        description='Up to so many findings, or percent ("2%") of the connections judged, don\'t break the gate.',
    )


class Options(TolerableOptions):
    """What nearly every rule can be given. A rule with options of its own inherits from this."""

    waivers: tuple[Waiver, ...] = Field((), description="Findings that somebody answers for, until a day.")


OptionsT = TypeVar("OptionsT", bound=ReportOptions)


@dataclass(frozen=True)
class Requirement:
    """What a configuration asks for and no connection fulfils: what a finding is about where that is no connection.

    Attributes:
        connection: The ID of the connection that must exist; empty for any.
        provider: The provider; empty for any.
        group: The group's ref; empty for any.
        project: The project that must be readable; empty for any.
    """

    connection: str = ""
    provider: str = ""
    group: str = ""
    project: str = ""


@dataclass(frozen=True)
class Breach:
    """A rule is broken.

    Attributes:
        cause: What is wrong, with the figures; a clause without a full stop. May hold hostile text.
        entry: The connection or the requirement that it is about; None where it is no single one.
    """

    cause: str
    entry: Entry | Requirement | None = None


@dataclass(frozen=True)
class Unverified:
    """A rule could not be judged. Never a pass.

    Attributes:
        reason: Why not; a clause without a full stop. May hold hostile text.
        entry: The connection or the requirement that could not be judged; None where it is no single one.
    """

    reason: str
    entry: Entry | Requirement | None = None


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
        applies: Which connections it is about, by its options; all of them where it is None. Only those reach
            ``check``.
        needs: Options of which at least one must be given, or the rule is inactive. Those without a default must be
            given in any case.
        whole: Whether it judges everything that a stack reads at once, instead of each data source by itself.
        tags: Words to find it by.
        controls: What in compliance frameworks asks for it.
    """

    id: str
    title: str
    severity: Severity
    enforcement: Enforcement
    remediation: str
    check: Check[OptionsT]
    options: type[OptionsT]
    applies: Callable[[Entry, OptionsT], bool] | None = None
    needs: tuple[str, ...] = ()
    whole: bool = False
    tags: tuple[str, ...] = ()
    controls: tuple[Control, ...] = ()

    @cached_property
    def needed(self) -> tuple[tuple[str, ...], ...]:
        """The options without which the rule is inactive: of each group at least one."""
        alone = [(part.alias or name,) for name, part in self.options.model_fields.items() if part.is_required()]
        return (*alone, *([self.needs] if self.needs else []))

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its options."""
        return self.options.model_json_schema(by_alias=True)

    def remedy(self, connection_id: str | None = None) -> str:
        """How to mend it, for one connection, or for any."""
        name = "<connection>" if connection_id is None else shlex.quote(one_line(connection_id, 120))
        return self.remediation.replace("{connection}", name)
