"""Connections, as the API describes them and without their credentials.

Real answers are looser than the API's contract, so reading is tolerant: a field of a wrong type counts as absent and
is recorded as a gap, scopes come flat, nested or several in a string, lone surrogates become U+FFFD. Only ``id``,
``provider`` and ``status`` are indispensable. Tokens and keys are skipped by the decoder and never become Python
objects.

What is read falls into two parts. A `Connection` is what a connection *is*: it changes when somebody changes it. An
`Observation` is how it was found: it changes all day, as tokens are refreshed and used.
"""

from __future__ import annotations

import gc
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import cache
from typing import (
    Any,
    Final,
    Generic,
    TypedDict,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
    overload,
)

import msgspec
from msgspec import UNSET, UnsetType

from pulumi_ampersand.errors import AnswerError

HEALTHY_STATUSES: Final = frozenset({"created", "working"})
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


def _text(key: str) -> _Field[str | None]:
    return _Field(key)


def _record(key: str, kind: type[_RecordT]) -> _Field[_RecordT | None]:
    return _Field(key, kind)


class Group(Record):
    """The customer."""

    __slots__ = ()
    ref = _text("groupRef")
    """The SaaS company's own ID of the customer."""
    name = _text("groupName")
    """The customer's name."""
    project_id = _text("projectId")
    """The Ampersand project that the group belongs to."""
    create_time = _text("createTime")
    """When it was created, an RFC 3339 string."""


class Consumer(Record):
    """The customer's user who made the connection."""

    __slots__ = ()
    ref = _text("consumerRef")
    """The SaaS company's own ID of the user."""
    name = _text("consumerName")
    """The user's name."""
    project_id = _text("projectId")
    """The Ampersand project that the consumer belongs to."""
    create_time = _text("createTime")
    """When it was created, an RFC 3339 string."""


class ProviderApp(Record):
    """The SaaS company's OAuth app at the provider."""

    __slots__ = ()
    id = _text("id")
    """The provider app's ID."""
    project_id = _text("projectId")
    """The Ampersand project that it belongs to."""
    external_ref = _text("externalRef")
    """The provider's own ID of the app."""
    provider = _text("provider")
    """The provider."""
    client_id = _text("clientId")
    """The OAuth client ID, which is public."""
    scopes: _Field[Sequence[str] | None] = _Field("scopes")
    """The scopes that the app asks for, sorted, each once."""
    create_time = _text("createTime")
    """When it was created, an RFC 3339 string."""


class MetadataItem(Record):
    """One value that describes the provider's side of a connection."""

    __slots__ = ()
    value = _text("value")
    """The value."""
    source = _text("source")
    """Where it came from: ``input``, ``token`` or ``provider``."""
    display_name = _text("displayName")
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
    project_id = _text("projectId")
    """The Ampersand project that it belongs to."""
    auth_scheme = _text("authScheme")
    """How it authenticates, "oauth2/authorizationCode" for example."""
    group = _record("group", Group)
    """The customer."""
    consumer = _record("consumer", Consumer)
    """The customer's user."""
    provider_workspace_ref = _text("providerWorkspaceRef")
    """The customer's workspace at the provider, a Salesforce subdomain for example."""
    provider_consumer_ref = _text("providerConsumerRef")
    """The provider's ID of the user."""
    scopes: _Field[Sequence[str] | None] = _Field("scopes")
    """The granted scopes, sorted, each once. None: the API didn't say. Empty: nothing was granted."""
    provider_app = _record("providerApp", ProviderApp)
    """The OAuth app that it was made with."""
    provider_metadata: _Field[dict[str, MetadataItem] | None] = _Field("providerMetadata", _metadata)
    """More about the provider's side, by name."""
    create_time = _text("createTime")
    """When it was created, an RFC 3339 string."""

    @property
    def customer(self) -> str:
        """The best name for whose connection it is, for people; empty if the API gave none."""
        group, consumer = self.group, self.consumer
        names = (group and (group.name or group.ref), consumer and (consumer.name or consumer.ref))
        return next((name for name in names if isinstance(name, str) and name), "")


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
        status: The status as sent; None: it wasn't observed.
        update_time: When the connection was last updated, an RFC 3339 string.
        oauth: Whether the connection carries an authorization-code grant, whatever its scheme says.
        access_token: The access token's times; None: not known.
        refresh_token: The refresh token's times; None: the API said that there is none; UNSET: not known.
        gaps: What could not be read, by the field's name in the API, and why.
    """

    status: str | None = None
    update_time: str | None = None
    oauth: bool = False
    access_token: Token | None = None
    refresh_token: Token | UnsetType | None = UNSET
    gaps: dict[str, str] = {}


class Project(Record):
    """An Ampersand project."""

    __slots__ = ()
    id: _Field[str] = _Field("id")
    """The project's ID."""
    name: _Field[str] = _Field("name")
    """Its unique name."""
    app_name = _text("appName")
    """The application's name, as customers see it."""
    org_id = _text("orgId")
    """The organisation that it belongs to."""
    create_time = _text("createTime")
    """When it was created, an RFC 3339 string."""


@contextmanager
def without_collection() -> Iterator[None]:
    """Decode without Python's cycle collector, which takes two thirds of the time of decoding 100,000 connections.

    Decoding makes no cycles, only many objects, each of which brings the next full collection nearer.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_BELOW_MICROSECONDS: Final = re.compile(r"(?<=\.\d{6})\d+")


def parse_time(text: str) -> datetime | None:
    """Read an RFC 3339 time with any number of fraction digits and any offset; UTC where there is none.

    Returns:
        The time in UTC, or None if the text is no time.
    """
    try:
        # Rounded up, the last moment of the year 9999, which stands for "never" with some providers, would be no time.
        moment = msgspec.convert(_BELOW_MICROSECONDS.sub("", text), datetime)
        return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError):
        return None


@without_collection()
def read_connections(data: bytes, *, refresh_token_told: bool = False) -> list[tuple[Connection, Observation]]:
    """Read a list answer, in its order.

    Args:
        data: The JSON array, UTF-8.
        refresh_token_told: Whether the absence of a refresh token means that there is none. The list of connections
            leaves out what it likes; a single connection asked for with both tokens, or a saved file, is taken as it
            stands.

    Raises:
        AnswerError: It is no JSON array of connections; says which entry lacks what.
    """
    entries = _entries(data, _SentConnection, "connections")
    return [_connection(sent, gaps, refresh_token_told) for sent, gaps in entries]


def read_connection(data: bytes, *, refresh_token_told: bool) -> tuple[Connection, Observation]:
    """Read a single connection; see `read_connections`."""
    found = read_connections(b"[" + data.removeprefix(BOM_UTF8) + b"]", refresh_token_told=refresh_token_told)
    if len(found) != 1:
        raise AnswerError("expected a JSON object, one connection")
    return found[0]


def read_projects(data: bytes) -> list[Project]:
    """Read a list of projects.

    Raises:
        AnswerError: It is no JSON array of projects.
    """
    return [Project(sent) for sent, _ in _entries(data, _SentProject, "projects")]


# What the decoder keeps of an answer. A key that isn't named here is skipped: tokens and API keys never are.

_Scopes = str | list[str | list[str]] | None


class GroupKeys(TypedDict, total=False):
    """The keys of a `Group`."""

    groupRef: str | None
    groupName: str | None
    projectId: str | None
    createTime: str | None


class ConsumerKeys(TypedDict, total=False):
    """The keys of a `Consumer`."""

    consumerRef: str | None
    consumerName: str | None
    projectId: str | None
    createTime: str | None


class MetadataItemKeys(TypedDict, total=False):
    """The keys of a `MetadataItem`."""

    value: str | None
    source: str | None
    displayName: str | None


class _AppKeys(TypedDict, total=False):
    id: str | None
    projectId: str | None
    externalRef: str | None
    provider: str | None
    clientId: str | None
    createTime: str | None


class ProviderAppKeys(_AppKeys, total=False):
    """The keys of a `ProviderApp`."""

    scopes: list[str]


class _SentApp(_AppKeys, total=False):
    scopes: _Scopes


class _Identity(TypedDict):
    id: str
    provider: str


class _CommonKeys(_Identity, total=False):
    projectId: str | None
    authScheme: str | None
    group: GroupKeys | None
    consumer: ConsumerKeys | None
    providerWorkspaceRef: str | None
    providerConsumerRef: str | None
    providerMetadata: dict[str, MetadataItemKeys | None] | None
    createTime: str | None


class _Health(_CommonKeys):
    healthy: bool


class ConnectionKeys(_Health, total=False):
    """The keys of a `Connection`."""

    scopes: list[str]
    providerApp: ProviderAppKeys


class _SentGrant(TypedDict, total=False):
    accessToken: Token | None
    refreshToken: Token | None
    scopes: _Scopes


class _Status(_CommonKeys):
    status: str


class _SentConnection(_Status, total=False):
    providerApp: _SentApp | None
    updateTime: str | None
    oauth2AuthorizationCode: _SentGrant | None


class _ProjectIdentity(TypedDict):
    id: str
    name: str


class _SentProject(_ProjectIdentity, total=False):
    appName: str | None
    orgId: str | None
    createTime: str | None


_NO_GAPS: Final[dict[str, str]] = {}


def _entries(data: bytes, kind: type, what: str) -> Iterable[tuple[dict[str, Any], dict[str, str]]]:
    """Decode a JSON array in one pass; only if that fails, look at each entry by itself."""
    try:
        return [(entry, _NO_GAPS) for entry in msgspec.json.decode(data, type=list[kind])]  # type: ignore[valid-type]
    except _UNDECODABLE:
        data = repair_text(data)
    try:
        entries = msgspec.json.decode(data, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        raise AnswerError(f"expected a JSON array of {what}, got {_kind(data)}") from None
    except _UNDECODABLE as error:
        raise AnswerError(f"expected a JSON array of {what}: {error}") from None
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)
    return [_entry(entry, decoder, f"{what}[{position}]") for position, entry in enumerate(entries)]


_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def repair_text(data: bytes) -> bytes:
    """Replace what isn't Unicode by U+FFFD: bytes that aren't UTF-8, and escaped surrogates that aren't a pair.

    Args:
        data: JSON text. A byte order mark, with which some editors and shells begin a file, is dropped.
    """
    data = data.decode("utf-8-sig", "replace").encode()
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data)


def _entry(data: msgspec.Raw, decoder: msgspec.json.Decoder[Any], where: str) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        return decoder.decode(data), _NO_GAPS
    except _UNDECODABLE:
        if _kind(data) != _OBJECT:
            raise AnswerError(f"{where} is {_kind(data)}, not an object") from None
    kind: type = decoder.type
    gaps: dict[str, str] = {}
    entry = _salvage(data, kind, "", gaps)
    for key in sorted(kind.__required_keys__):  # type: ignore[attr-defined]
        if entry.get(key) is None:
            raise AnswerError(f'{where} has no "{key}"')
    return entry, gaps


def _salvage(data: msgspec.Raw, kind: type, path: str, gaps: dict[str, str]) -> dict[str, Any]:
    """Keep each field that has the right type; the others count as absent and are gaps.

    A key that isn't kept is skipped here, too: its value is never decoded.
    """
    sent = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    return {key: _value(sent[key], hint, path + key, gaps) for key, hint in _hints(kind).items() if key in sent}


@cache
def _hints(kind: type) -> dict[str, Any]:
    """The keys of a typed dict or struct and their types."""
    if issubclass(kind, msgspec.Struct):
        return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    return get_type_hints(kind)


def _value(data: msgspec.Raw, hint: Any, name: str, gaps: dict[str, str]) -> Any:
    """A field's value, or what is right of it, or None."""
    try:
        return msgspec.json.decode(data, type=hint)
    except _UNDECODABLE:
        pass
    if _kind(data) == _OBJECT:
        for option in get_args(hint):
            if get_origin(option) is dict:
                items = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
                return {key: _value(item, get_args(option)[1], f"{name}.{key}", gaps) for key, item in items.items()}
            if is_typeddict(option) or (isinstance(option, type) and issubclass(option, msgspec.Struct)):
                return msgspec.convert(_salvage(data, option, f"{name}.", gaps), option)
    gaps[name] = f"the API sent {_kind(data)}"
    if hint is _Scopes and _kind(data) == _LIST:
        gaps[name] += " that holds more than text"
    return None


_OBJECT: Final = "an object"
_LIST: Final = "a list"


def _kind(data: bytes | msgspec.Raw) -> str:
    """What JSON calls a value, without the value."""
    first = re.match(rb"\s*(.?)", data, re.DOTALL)
    kinds = {b"n": "null", b"t": "true or false", b"f": "true or false", b'"': "text", b"[": _LIST, b"{": _OBJECT}
    return kinds.get(first[1] if first else b"", "a number")


_REFRESH_TOKEN_GAPS: Final = frozenset({"oauth2AuthorizationCode", "oauth2AuthorizationCode.refreshToken"})


def _connection(sent: dict[str, Any], gaps: dict[str, str], refresh_token_told: bool) -> tuple[Connection, Observation]:
    """Split what was sent into what the connection is and how it was found."""
    status = sent.pop("status")
    update_time = sent.pop("updateTime", None)
    grant: _SentGrant | None = sent.pop("oauth2AuthorizationCode", None)
    sent["healthy"] = status in HEALTHY_STATUSES
    app = sent.get("providerApp")
    if app:
        app["scopes"] = _scopes(app.get("scopes"))
    if grant:
        sent["scopes"] = _scopes(grant.get("scopes"))
    refresh_token: Token | UnsetType | None = grant.get("refreshToken") if grant else None
    if refresh_token is None and (not refresh_token_told or not _REFRESH_TOKEN_GAPS.isdisjoint(gaps)):
        refresh_token = UNSET
    observation = Observation(
        status=status,
        update_time=update_time,
        oauth=grant is not None,
        access_token=grant.get("accessToken") if grant else None,
        refresh_token=refresh_token,
        gaps=gaps,
    )
    return Connection(_without_nulls(sent)), observation


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """Drop what is null, for null and absent mean the same, and the same content must make the same document."""
    if not _holds_null(value):
        return value
    return {
        key: _without_nulls(item) if type(item) is dict else item for key, item in value.items() if item is not None
    }


def _holds_null(value: dict[str, Any]) -> bool:
    for item in value.values():  # noqa: SIM110 - a generator adds a fifth to the time of reading
        if item is None or (type(item) is dict and _holds_null(item)):
            return True
    return False


def _scopes(sent: str | list[str | list[str]] | None) -> list[str] | None:
    """A sorted set of scopes from a list, a list of lists, or strings of several (RFC 6749, section 3.3)."""
    if sent is None:
        return None
    found: set[str] = set()
    for item in [sent] if isinstance(sent, str) else sent:
        for text in [item] if isinstance(item, str) else item:
            found.update(text.split())
    return sorted(found)
