"""What the API answers, read into the model.

Real answers are looser than the API's contract, so reading is tolerant: a field of a wrong type counts as absent and
is recorded as a gap, scopes come flat, nested or several in a string, lone surrogates become U+FFFD. What steers a
terminal is taken out of every text, for Pulumi's CLI prints what lies in a state. Only ``id``, ``provider`` and
``status`` are indispensable. Tokens and keys are skipped by the decoder and never become Python objects, but for the
one access token that `read_access_token` is asked for.
"""

from __future__ import annotations

import atexit
import gc
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
from msgspec import UNSET, UnsetType

from pulumi_ampersand.errors import AnswerError
from pulumi_ampersand.model import HEALTHY_STATUSES, Connection, Found, Observation, Project, Token
from pulumi_ampersand.secret import Secret
from pulumi_ampersand.terminal import harmless, may_be_harmful, one_line


@contextmanager
def without_collection() -> Iterator[None]:
    """Decode without Python's cycle collector, which takes two thirds of the time of decoding 100,000 connections.

    Decoding makes no cycles, only many objects, each of which brings the next full collection nearer. At its end the
    process looks for cycles several times more, whether anything is left to be done or not.
    """
    _without_collection_at_exit()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if gc.get_count()[0] > _MANY_OBJECTS and gc.get_freeze_count() < _FEW_FROZEN:
                # Makes all objects old at once. The collector would look through the new ones as soon as it is on. It
                # finds what is old and garbage late, which a process that reads little and often would grow by.
                gc.freeze()
                gc.unfreeze()
            gc.enable()


_MANY_OBJECTS: Final = 100_000
"""So many that looking through them for cycles takes longer than to read a few connections."""

_FEW_FROZEN: Final = 1_000
"""Python 3.12 itself starts with some hundred; a program that freezes has some thousand."""


@cache
def _without_collection_at_exit() -> None:
    """Leave what the collector would look through to the operating system. What isn't part of a cycle ends as ever."""
    atexit.register(gc.freeze)


@without_collection()
def read_connections(data: bytes, *, refresh_token_told: bool = False) -> list[Found]:
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
    if may_be_harmful(data):
        # Looking at every text takes its time.
        entries = [(_harmless(sent), gaps) for sent, gaps in entries]
    # Null and absent mean the same, and the same content must make the same document. What has the wrong type is null
    # here.
    if b"null" in data or any(gaps for _, gaps in entries):
        entries = [(_without_nulls(sent), gaps) for sent, gaps in entries]
    return [_connection(sent, gaps, refresh_token_told) for sent, gaps in entries]


def read_connection(data: bytes, *, refresh_token_told: bool) -> Found:
    """Read a single connection; see `read_connections`."""
    found = read_connections(b"[" + data.removeprefix(BOM_UTF8) + b"]", refresh_token_told=refresh_token_told)
    if len(found) != 1:
        raise AnswerError("expected a JSON object, one connection")
    return found[0]


class _SentToken(msgspec.Struct):
    token: str = ""


class _SentTokens(msgspec.Struct, rename="camel"):
    access_token: _SentToken | None = None


class _SentCredentials(msgspec.Struct, rename="camel"):
    auth_scheme: str | None = None
    oauth2_authorization_code: _SentTokens | None = None


def read_access_token(data: bytes) -> AccessToken:
    """Read the access token of a single connection: the one place where a token becomes a Python object.

    Raises:
        AnswerError: There is none.
    """
    try:
        sent = msgspec.json.decode(data.removeprefix(BOM_UTF8), type=_SentCredentials)
    except _UNDECODABLE:
        # What the decoder says may quote the answer.
        raise AnswerError("expected a JSON object, one connection") from None
    tokens = sent.oauth2_authorization_code
    if tokens is None or tokens.access_token is None or not tokens.access_token.token:
        scheme = f" (authScheme {one_line(sent.auth_scheme, 60)})" if sent.auth_scheme else ""
        raise AnswerError(f"the API gave no access token for it{scheme}")
    return AccessToken(tokens.access_token.token)


class AccessToken(Secret):
    """A connection's access token, which shows itself nowhere."""

    __slots__ = ()


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


def _entries(data: bytes, kind: type, what: str) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Decode a JSON array in one pass; only if that fails, look at each entry by itself."""
    try:
        return [(entry, _NO_GAPS) for entry in _decoder(list[kind]).decode(data)]  # type: ignore[valid-type]
    except _UNDECODABLE:
        data = repair_text(data)
    try:
        entries = msgspec.json.decode(data, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        raise AnswerError(f"expected a JSON array of {what}, got {_kind(data)}") from None
    except _UNDECODABLE as error:
        raise AnswerError(f"expected a JSON array of {what}: {error}") from None
    decoder = _decoder(kind)
    try:
        return [_entry(entry, decoder, f"{what}[{position}]") for position, entry in enumerate(entries)]
    except RecursionError:
        # Looking at an entry by itself takes more of the stack than the whole did.
        raise AnswerError(f"expected a JSON array of {what}: it is nested too deeply") from None


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """A decoder, which takes longer to make than a single connection takes to decode."""
    return msgspec.json.Decoder(kind)


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
                return {
                    key: _value(item, get_args(option)[1], one_line(f"{name}.{key}"), gaps)
                    for key, item in items.items()
                }
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


def _connection(sent: dict[str, Any], gaps: dict[str, str], refresh_token_told: bool) -> Found:
    """Split what was sent into what the connection is and how it was found."""
    status = sent.pop("status")
    update_time = sent.pop("updateTime", None)
    grant: _SentGrant | None = sent.pop("oauth2AuthorizationCode", None)
    sent["healthy"] = status in HEALTHY_STATUSES
    app = sent.get("providerApp")
    if app and "scopes" in app:
        app["scopes"] = _scopes(app["scopes"])
    if grant and (granted := grant.get("scopes")) is not None:
        sent["scopes"] = _scopes(granted)
    refresh_token: Token | UnsetType | None = grant.get("refreshToken") if grant else None
    if refresh_token is None and (not refresh_token_told or not _REFRESH_TOKEN_GAPS.isdisjoint(gaps)):
        refresh_token = UNSET
    observation = Observation(
        id=sent["id"],
        status=status,
        update_time=update_time,
        oauth=grant is not None,
        access_token=grant.get("accessToken") if grant else None,
        refresh_token=refresh_token,
        gaps=gaps,
    )
    return Connection(sent), observation


def _harmless(value: Any) -> Any:
    """The value without what steers a terminal; keys on one line, too, for they are names that others chose."""
    kind = type(value)
    if kind is str:
        return value if value.isprintable() and "<{%" not in value else harmless(value)
    if kind is dict:
        return {key if key.isprintable() else one_line(key): _harmless(item) for key, item in value.items()}
    if kind is list:
        return [_harmless(item) for item in value]
    return Token(_harmless(value.issued_at), _harmless(value.expires_at)) if kind is Token else value


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """The value without the keys whose values are null, at any depth."""
    return {
        key: _without_nulls(item) if type(item) is dict else item for key, item in value.items() if item is not None
    }


def _scopes(sent: str | list[str | list[str]]) -> list[str]:
    """A sorted set of scopes from a list, a list of lists, or strings of several (RFC 6749, section 3.3)."""
    found: set[str] = set()
    for item in [sent] if isinstance(sent, str) else sent:
        for text in [item] if isinstance(item, str) else item:
            found.update(text.split())
    return sorted(found)
