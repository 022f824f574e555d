"""Which connections to read: the arguments that data sources and functions have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from pulumi_ampersand.details import Refresh, checked_refresh
from pulumi_ampersand.errors import SettingsError
from pulumi_ampersand.model import Found
from pulumi_ampersand.settings import Details, checked_details, property_name
from pulumi_ampersand.terminal import harmless


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which connections to read, and how.

    Attributes:
        project: The project's ID or name; None: that of the settings.
        connection_id: Only the connection with this ID.
        provider: Only connections to this provider.
        group_ref: Only connections of this group.
        consumer_ref: Only connections of this consumer.
        details: See `pulumi_ampersand.settings.Details`; None: what the stack's configuration says.
        refresh: See `pulumi_ampersand.details.Refresh`.

    Raises:
        SettingsError: An argument can't be used; names it.
    """

    project: str | None = None
    connection_id: str | None = None
    provider: str | None = None
    group_ref: str | None = None
    consumer_ref: str | None = None
    details: Details | None = None
    refresh: Refresh | None = None

    def __post_init__(self) -> None:
        for name in _FILTERS:
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, str):
                raise SettingsError(f'{name} must be text, for example {name}="…"')
            if not value:
                raise SettingsError(f"{name} is empty; leave it out to filter by nothing")
        if self.details is not None:
            checked_details(self.details)
        checked_refresh(self.refresh, self.details)

    @classmethod
    def of_properties(cls, properties: Mapping[str, Any]) -> Query:
        """The query that a resource's properties make."""
        return cls(**{name: properties.get(PROPERTIES[name]) for name in PROPERTIES})

    def is_harmless(self) -> bool:
        """Whether no filter has what `harmless` takes out of everything that is read."""
        return all(value is None or value == harmless(value) for value in (getattr(self, name) for name in _FILTERS))

    def matches(self, pair: Found) -> bool:
        """Whether the API would list a connection for the filters."""
        connection = pair[0]
        group, consumer = connection.group, connection.consumer
        return (
            _is(self.connection_id, connection.id)
            and _is(self.provider, connection.provider)
            and _is(self.group_ref, group.ref if group else None)
            and _is(self.consumer_ref, consumer.ref if consumer else None)
        )

    def unclear(self, pair: Found) -> str | None:
        """Which field that decides whether a connection matches could not be read, if there is one."""
        gaps = pair[1].gaps
        asked = {"group": self.group_ref, "consumer": self.consumer_ref} if gaps else {}
        fields = [field for name, value in asked.items() if value is not None for field in (name, f"{name}.{name}Ref")]
        return next((field for field in fields if field in gaps), None)


def _is(wanted: str | None, value: str | None) -> bool:
    """Whether a filter lets a value pass; what was read has been made harmless."""
    return wanted is None or value == harmless(wanted)


PROPERTIES: Final = {part.name: property_name(part.name) for part in fields(Query)}
"""Each argument's name as a resource's property, which is the API's spelling."""

_FILTERS: Final = ("project", "connection_id", "provider", "group_ref", "consumer_ref")
