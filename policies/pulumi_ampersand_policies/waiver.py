"""Waivers: findings that somebody answers for, until a day."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Final, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from pulumi_ampersand_policies.glob import matches

_Text = Annotated[str, Field(min_length=1)]
_ANY: Final = "*"


def needs_one_of(names: Iterable[str]) -> str:
    """What is said where none of several keys is there."""
    return f"give at least one of {', '.join(names)}"


def at_least_one(*names: str) -> dict[str, JsonValue]:
    """The same for an object's JSON Schema."""
    return {"anyOf": [{"required": [name]} for name in names]}


def _day(value: Any) -> date:
    """The day, written in the one way that people read alike; pydantic takes more, seconds for example."""
    try:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError(f"{value!r} is no day: write YYYY-MM-DD")


class Subject(Protocol):
    """What a waiver selects by: the fields of a finding."""

    @property
    def connection(self) -> str: ...  # noqa: D102 - as in a finding
    @property
    def provider(self) -> str: ...  # noqa: D102
    @property
    def group(self) -> str: ...  # noqa: D102
    @property
    def consumer(self) -> str: ...  # noqa: D102


class Approval(BaseModel):
    """Who answers for a waiver, why, and until when. Waivers add what they select by: globs, of which all must match.

    In a glob ``*`` matches any text and everything else itself, to the letter.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        defer_build=True,
    )

    reason: _Text = Field(description="Why the finding is acceptable.")
    approved_by: _Text = Field(description="Who answers for it.")
    expires: Annotated[date, BeforeValidator(_day)] = Field(
        description="The last day on which it waives, in UTC: YYYY-MM-DD."
    )

    @model_validator(mode="after")
    def _selects(self) -> Approval:
        if not self._selectors():
            names = [name for name in type(self).model_fields if name not in Approval.model_fields]
            raise ValueError(needs_one_of(names))
        return self

    def _selectors(self) -> set[str]:
        return self.model_fields_set - Approval.model_fields.keys()

    def covers(self, subject: Subject) -> bool:
        """Whether it is about this finding, expired or not."""
        return all(matches(getattr(self, name), getattr(subject, name)) for name in self._selectors())

    def waives(self, today: date) -> bool:
        """Whether it is still in force; its last day belongs to it.

        Args:
            today: The day in UTC.
        """
        return today <= self.expires

    def describe(self) -> str:
        """Who approved it and why. May hold text that steers a terminal."""
        return f"approved by {self.approved_by}: {self.reason}"

    def document(self) -> dict[str, Any]:
        """The waiver as it is written in a configuration."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Waiver(Approval):
    """A waiver of findings about connections."""

    model_config = ConfigDict(json_schema_extra=at_least_one("connection", "provider", "group", "consumer"))

    connection: _Text = Field(_ANY, description="A glob of connection IDs.")
    provider: _Text = Field(_ANY, description="A glob of providers.")
    group: _Text = Field(_ANY, description="A glob of group refs; one without a group has an empty one.")
    consumer: _Text = Field(_ANY, description="A glob of consumer refs; one without a consumer has an empty one.")


class RequirementWaiver(Approval):
    """A waiver of requirements, which are about no connection that exists."""

    model_config = ConfigDict(json_schema_extra=at_least_one("provider", "group"))

    provider: _Text = Field(_ANY, description="A glob of providers.")
    group: _Text = Field(_ANY, description="A glob of group refs; a requirement without a group has an empty one.")
