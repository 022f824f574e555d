"""Connections, as the API describes them and without their credentials.

What the API says of them (`pulumi_ampersand.answers` reads it) falls into two parts. A `Connection` is what a
connection *is*: it changes when somebody changes it. An `Observation` is how it was found: it changes all day, as
tokens are refreshed and used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

import msgspec
from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    from typing_extensions import Never

CREATED: Final = "created"
HEALTHY_STATUSES: Final = frozenset({CREATED, "working"})
"""``created`` means new *or* just refreshed, so the two say the same: the credentials were accepted."""

BAD_CREDENTIALS: Final = "bad_credentials"

AUTHORIZATION_CODE_SCHEMES: Final = frozenset({"oauth2/authorizationCode", "oauth2/authorizationCodePKCE"})

AUTH_SCHEMES: Final = AUTHORIZATION_CODE_SCHEMES | {
    "none",
    "apiKey",
    "basic",
    "oauth2/clientCredentials",
    "oauth2/password",
}


class Record(dict[str, Any]):
    """A JSON object in the API's spelling, with typed attributes in Python's spelling.

    ``connection.group.name`` and ``connection["group"]["groupName"]`` are the same. Being a real dict is what lets it
    be exported, passed as an input and lifted through outputs: the Pulumi SDK turns every other kind of mapping into a
    list of its keys. What the API didn't say is None as an attribute and missing as a key.
    """

    __slots__ = ()


_T = TypeVar("_T")
_RecordT = TypeVar("_RecordT", bound=Record)


class _Field(Generic[_T]):
    """An attribute that reads a key."""

    __slots__ = ("_key", "_read")

    def __init__(self, key: str, read: Callable[[Any], _T] | None = None) -> None:
        self._key = key
        self._read = read

    @overload
    def __get__(self, record: None, owner: type) -> _Field[_T]: ...
    @overload
    def __get__(self, record: Record, owner: type | None = None) -> _T: ...
    def __get__(self, record: Record | None, owner: type | None = None) -> _Field[_T] | _T:
        if record is None:
            return self
        value = record.get(self._key)
        return cast("_T", value if self._read is None or value is None else self._read(value))

    if TYPE_CHECKING:

        def __set__(self, record: Record, value: Never) -> None: ...


def _text(key: str) -> _Field[str | None]:
    return _Field(key)


def _record(key: str, kind: type[_RecordT]) -> _Field[_RecordT | None]:
    return _Field(key, kind)


class Group(Record):
    """The customer."""

    __slots__ = ()
    ref: _Field[str | None] = _text("groupRef")
    """The SaaS company's own ID of the customer."""
    name: _Field[str | None] = _text("groupName")
    """The customer's name."""
    project_id: _Field[str | None] = _text("projectId")
    """The Ampersand project that the group belongs to."""
    create_time: _Field[str | None] = _text("createTime")
    """When it was created, an RFC 3339 string."""


class Consumer(Record):
    """The customer's user who made the connection."""

    __slots__ = ()
    ref: _Field[str | None] = _text("consumerRef")
    """The SaaS company's own ID of the user."""
    name: _Field[str | None] = _text("consumerName")
    """The user's name."""
    project_id: _Field[str | None] = _text("projectId")
    """The Ampersand project that the consumer belongs to."""
    create_time: _Field[str | None] = _text("createTime")
    """When it was created, an RFC 3339 string."""


class ProviderApp(Record):
    """The SaaS company's OAuth app at the provider."""

    __slots__ = ()
    id: _Field[str | None] = _text("id")
    """The provider app's ID."""
    project_id: _Field[str | None] = _text("projectId")
    """The Ampersand project that it belongs to."""
    external_ref: _Field[str | None] = _text("externalRef")
    """The provider's own ID of the app."""
    provider: _Field[str | None] = _text("provider")
    """The provider."""
    client_id: _Field[str | None] = _text("clientId")
    """The OAuth client ID, which is public."""
    scopes: _Field[Sequence[str] | None] = _Field("scopes")
    """The scopes that the app asks for, sorted, each once."""
    create_time: _Field[str | None] = _text("createTime")
    """When it was created, an RFC 3339 string."""


class MetadataItem(Record):
    """One value that describes the provider's side of a connection."""

    __slots__ = ()
    value: _Field[str | None] = _text("value")
    """The value."""
    source: _Field[str | None] = _text("source")
    """Where it came from: ``input``, ``token`` or ``provider``."""
    display_name: _Field[str | None] = _text("displayName")
    """Its name for people."""


def _metadata(value: dict[str, Any]) -> dict[str, MetadataItem]:
    return {name: MetadataItem(item) for name, item in value.items()}


class Connection(Record):
    """One customer's credentials for one provider, without the credentials."""

    __slots__ = ()
    id: _Field[str] = _Field("id")
    """The connection's ID."""
    provider: _Field[str] = _Field("provider")
    """The SaaS provider, "salesforce" for example."""
    healthy: _Field[bool] = _Field("healthy")
    """Whether the API's status says that the credentials were accepted (``created`` or ``working``)."""
    project_id: _Field[str | None] = _text("projectId")
    """The Ampersand project that it belongs to."""
    auth_scheme: _Field[str | None] = _text("authScheme")
    """How it authenticates, "oauth2/authorizationCode" for example."""
    group: _Field[Group | None] = _record("group", Group)
    """The customer."""
    consumer: _Field[Consumer | None] = _record("consumer", Consumer)
    """The customer's user."""
    provider_workspace_ref: _Field[str | None] = _text("providerWorkspaceRef")
    """The customer's workspace at the provider, a Salesforce subdomain for example."""
    provider_consumer_ref: _Field[str | None] = _text("providerConsumerRef")
    """The provider's ID of the user."""
    scopes: _Field[Sequence[str] | None] = _Field("scopes")
    """The granted scopes, sorted, each once. None: the API didn't say. Empty: nothing was granted."""
    provider_app: _Field[ProviderApp | None] = _record("providerApp", ProviderApp)
    """The OAuth app that it was made with."""
    provider_metadata: _Field[dict[str, MetadataItem] | None] = _Field("providerMetadata", _metadata)
    """More about the provider's side, by name."""
    create_time: _Field[str | None] = _text("createTime")
    """When it was created, an RFC 3339 string."""

    @property
    def customer(self) -> str:
        """The best name for whose connection it is, for people; empty if the API gave none."""
        group, consumer = self.group, self.consumer
        names = (group and (group.name or group.ref), consumer and (consumer.name or consumer.ref))
        return next((name for name in names if isinstance(name, str) and name), "")


DETAILS_GAP: Final = "details"


class Token(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """When a token was issued and when it expires. The token itself is never read.

    Attributes:
        issued_at: An RFC 3339 string, as sent.
        expires_at: An RFC 3339 string, as sent.
    """

    issued_at: str | None = None
    expires_at: str | None = None


class Observation(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """How a connection was found. Changes all day and means no change of the connection.

    Attributes:
        id: The connection's ID.
        status: The status as sent; None: it wasn't observed.
        update_time: When the connection was last updated, an RFC 3339 string.
        oauth: Whether the connection carries an authorization-code grant, whatever its scheme says.
        access_token: The access token's times; None: not known.
        refresh_token: The refresh token's times; None: the API said that there is none; UNSET: not known.
        gaps: What could not be read, by the field's name in the API, and why; ``details`` stands for what the list
            leaves out and the connection's own call could not tell.
    """

    id: str
    status: str | None = None
    update_time: str | None = None
    oauth: bool = False
    access_token: Token | None = None
    refresh_token: Token | UnsetType | None = UNSET
    gaps: dict[str, str] = {}


Found = tuple[Connection, Observation]
"""A connection, and how it was found."""


class Project(Record):
    """An Ampersand project."""

    __slots__ = ()
    id: _Field[str] = _Field("id")
    """The project's ID."""
    name: _Field[str] = _Field("name")
    """Its unique name."""
    app_name: _Field[str | None] = _text("appName")
    """The application's name, as customers see it."""
    org_id: _Field[str | None] = _text("orgId")
    """The organisation that it belongs to."""
    create_time: _Field[str | None] = _text("createTime")
    """When it was created, an RFC 3339 string."""


_BELOW_MICROSECONDS: Final = re.compile(r"(?<=\.\d{6})\d+")
_FIRST_OF_THEM: Final = len("2026-11-24T08:00:00.123456")


def parse_time(text: str) -> datetime | None:
    """Read an RFC 3339 time with any number of fraction digits and any offset; UTC where there is none.

    Returns:
        The time in UTC, or None if the text is no time.
    """
    if len(text) > _FIRST_OF_THEM and text[_FIRST_OF_THEM].isdigit():
        # Rounded up, the last moment of the year 9999, which stands for "never" with some providers, would be no time.
        text = _BELOW_MICROSECONDS.sub("", text)
    try:
        moment = msgspec.convert(text, datetime)
        if moment.tzinfo is timezone.utc:
            return moment
        return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError):
        return None
