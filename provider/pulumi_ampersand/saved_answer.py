"""A saved answer of the API, read for rules alone: several times as fast as for programs, in half of the memory.

A program gets connections that are dictionaries, for the SDK's sake. Rules only look at attributes. So here the decoder
makes objects with those attributes, each of which stands for a connection and for how it was found alike; what many
connections have in common is read once, and what rules don't look at stays the text that it was. This has no opinion
of its own: it reads as `pulumi_ampersand.answers` does, and what it can't read so, it leaves to that module.

A large answer is quicker to read in `pieces`, whose memory is used again for the next: by a `PieceReader`, and by
`read_outlines` for what takes all connections at once.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from pulumi_ampersand.answers import read_connection, without_collection
from pulumi_ampersand.errors import AnswerError
from pulumi_ampersand.model import HEALTHY_STATUSES, Connection, Observation, ProviderApp, Token
from pulumi_ampersand.terminal import harmless, may_be_harmful

_NULL: Final = msgspec.Raw(b"null")


class SavedGroup(msgspec.Struct, gc=False, omit_defaults=True, rename={"ref": "groupRef", "name": "groupName"}):
    """A `pulumi_ampersand.model.Group`, as rules see it."""

    ref: str | None = None
    name: str | None = None
    project_id: str | None = msgspec.field(default=None, name="projectId")
    create_time: str | None = msgspec.field(default=None, name="createTime")


class SavedConsumer(
    msgspec.Struct, gc=False, omit_defaults=True, rename={"ref": "consumerRef", "name": "consumerName"}
):
    """A `pulumi_ampersand.model.Consumer`, as rules see it."""

    ref: str | None = None
    name: str | None = None
    project_id: str | None = msgspec.field(default=None, name="projectId")
    create_time: str | None = msgspec.field(default=None, name="createTime")


class _MetadataItem(msgspec.Struct, gc=False, omit_defaults=True, rename="camel"):
    value: str | None = None
    source: str | None = None
    display_name: str | None = None


class _Grant(msgspec.Struct, gc=False, rename="camel"):
    access_token: Token | None = None
    refresh_token: Token | None = None
    scopes: msgspec.Raw = _NULL


class SavedOutline(msgspec.Struct, gc=False, rename="camel"):
    """The attributes of a `SavedConnection` that rules which compare connections look at."""

    id: str
    provider: str
    status: str
    project_id: str | None = None
    provider_workspace_ref: str | None = None
    group: SavedGroup | None = None
    consumer: SavedConsumer | None = None

    gaps: ClassVar[Mapping[str, str]] = {}

    @property
    def healthy(self) -> bool:
        """See `Connection`."""
        return self.status in HEALTHY_STATUSES

    @property
    def customer(self) -> str:
        """See `Connection`."""
        group, consumer = self.group, self.consumer
        return (group and (group.name or group.ref)) or (consumer and (consumer.name or consumer.ref)) or ""


class SavedConnection(SavedOutline, gc=False, rename="camel"):
    """A `pulumi_ampersand.model.Connection` and its `pulumi_ampersand.model.Observation`, as rules see them.

    What begins with ``sent`` is as the API sent it; the attributes below are made from it.
    """

    auth_scheme: str | None = None
    provider_consumer_ref: str | None = None
    create_time: str | None = None
    update_time: str | None = None
    sent_app: msgspec.Raw = msgspec.field(default=_NULL, name="providerApp")
    sent_metadata: dict[str, _MetadataItem | None] | None = msgspec.field(default=None, name="providerMetadata")
    sent_grant: _Grant | None = msgspec.field(default=None, name="oauth2AuthorizationCode")

    # Made of the above for every connection, whatever a file may have under these names.
    provider_app: Any = msgspec.field(default=None, name="=providerApp")
    scopes: Any = msgspec.field(default=None, name="=scopes")
    oauth: Any = msgspec.field(default=False, name="=oauth")
    access_token: Any = msgspec.field(default=None, name="=accessToken")
    refresh_token: Any = msgspec.field(default=None, name="=refreshToken")

    def document(self) -> Connection:
        """The same as the dictionary that programs get."""
        sent = {
            "id": self.id,
            "provider": self.provider,
            "healthy": self.healthy,
            "projectId": self.project_id,
            "authScheme": self.auth_scheme,
            "providerWorkspaceRef": self.provider_workspace_ref,
            "providerConsumerRef": self.provider_consumer_ref,
            "createTime": self.create_time,
            "scopes": self.scopes,
            "group": msgspec.to_builtins(self.group),
            "consumer": msgspec.to_builtins(self.consumer),
            "providerApp": self.provider_app,
            "providerMetadata": self._metadata(),
        }
        if None in sent.values():
            sent = {key: value for key, value in sent.items() if value is not None}
        return Connection(sent)

    def _metadata(self) -> dict[str, Any] | None:
        if self.sent_metadata is None:
            return None
        sent: dict[str, Any] = msgspec.to_builtins(self.sent_metadata)
        return {name: item for name, item in sent.items() if item is not None} if None in sent.values() else sent

    def observed(self) -> Observation:
        """The same as the observation that is kept."""
        return Observation(
            id=self.id,
            status=self.status,
            update_time=self.update_time,
            oauth=self.oauth,
            access_token=self.access_token,
            refresh_token=self.refresh_token,
        )


class AnswerFile:
    """A saved answer in a file, which is read part by part, by several processes if need be.

    Args:
        path: The file.

    Attributes:
        size: Its bytes.

    Raises:
        OSError: It can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = self._state_of(path.stat())
        self.size = self._state[0]

    @staticmethod
    def _state_of(status: os.stat_result) -> tuple[int, ...]:
        return status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns

    def part(self, begin: int, end: int) -> bytes:
        """The bytes from one place to another, as far as there are any.

        Raises:
            OSError: It can't be read, or isn't what it was.
        """
        with self._at(begin) as file:
            return file.read(end - begin)

    def read_into(self, memory: memoryview, begin: int) -> None:
        """Fill memory with the bytes from a place on, of which there must be so many.

        Raises:
            OSError: See `part`.
        """
        with self._at(begin) as file:
            if file.readinto(memory) != len(memory):
                raise self._changed()

    @contextmanager
    def _at(self, begin: int) -> Iterator[BufferedReader]:
        with self._path.open("rb") as file:
            if self._state_of(os.fstat(file.fileno())) != self._state:
                raise self._changed()
            file.seek(begin)
            yield file

    def _changed(self) -> OSError:
        return OSError(errno.ESTALE, "it was changed while it was judged; run the command again", str(self._path))


_BETWEEN: Final = re.compile(rb"\}\s*,\s*\{")
_PIECE: Final = 1 << 18
"""Bytes in a piece, at least: so few that what one is read into fits into the processor's cache."""
MOST_PIECES: Final = 10_000
"""How many pieces an answer is cut into, at most."""
_WINDOW: Final = 1 << 13
"""Bytes among which a cut is looked for at once, most of which are a token."""
_MOST_IN_COMMON: Final = 10_000
"""How many different texts of a kind are remembered, at least."""
_OVERLAP: Final = 100
"""Bytes that are looked at again, for white space between two connections."""


def pieces(answer: AnswerFile) -> list[tuple[int, int]]:
    """Where an answer can be cut: from where to where each piece reaches, without the array's brackets.

    It is cut where an object ends and the next begins, which is also so inside of connections, and in texts. But
    a `PieceReader` reads from the first piece on only what ends between two connections, so where it can read all of
    them, each cut is right.

    Args:
        answer: The JSON array, UTF-8.

    Returns:
        The pieces, `MOST_PIECES` or less; none if this doesn't look like an array.
    """
    tail_at = max(0, answer.size - _OVERLAP)
    tail = answer.part(tail_at, answer.size)
    last = tail.rfind(b"]")
    if answer.part(0, 1) != b"[" or last < 0 or tail[last:].strip() != b"]" or (end := tail_at + last) == 0:
        return []
    found, begin, size = [], 1, max(_PIECE, answer.size // MOST_PIECES)
    at = begin + size
    while at < end:
        between = _BETWEEN.search(answer.part(at, min(at + _WINDOW, end)))
        if between is None:
            at += _WINDOW - _OVERLAP
            continue
        found.append((begin, at + between.start() + 1))
        begin = at + between.end() - 1
        at = begin + size
    return [*found, (begin, end)]


class _InCommon:
    """What many connections have in common, read once, by the text that was sent."""

    def __init__(self) -> None:
        self.apps: dict[bytes, ProviderApp | None] = {}
        self.scopes: dict[bytes, Sequence[str] | None] = {}

    def forget(self) -> None:
        """Begin anew if this has become much, because little is in common."""
        for known in (self.apps, self.scopes):
            if len(known) > _MOST_IN_COMMON:
                known.clear()


class PieceReader:
    """Reads the `pieces` of an answer one after the other, each into the memory of the one before.

    Args:
        answer: The JSON array, UTF-8.
    """

    def __init__(self, answer: AnswerFile) -> None:
        self._answer = answer
        self._memory = bytearray()
        self._in_common = _InCommon()

    def read(self, piece: tuple[int, int]) -> list[SavedConnection] | None:
        """Read a piece; see `read_for_rules`.

        Raises:
            OSError: See `AnswerFile.part`.
        """
        self._in_common.forget()
        self._load(*piece)
        return _read_for_rules(self._memory, self._in_common)

    @without_collection()
    def read_outlines(self, spans: Iterable[tuple[int, int]]) -> list[SavedOutline]:
        """Read pieces with few of the attributes.

        Args:
            spans: Which ones.

        Raises:
            OSError: See `AnswerFile.part`.
            msgspec.DecodeError: It isn't as the API promises, which `read` says of each piece.
        """
        decoder, found = msgspec.json.Decoder(list[SavedOutline]), list[SavedOutline]()
        for span in spans:
            self._load(*span)
            found += decoder.decode(self._memory)
        return found

    def _load(self, begin: int, end: int) -> None:
        memory, size = self._memory, end - begin + 2
        # What `msgspec.Raw` points to must not move; but of what was read before, none is left.
        del memory[size:]
        memory.extend(bytes(size - len(memory)))
        memory[0], memory[-1] = b"[]"
        with memoryview(memory)[1:-1] as inner:
            self._answer.read_into(inner, begin)


def read_for_rules(data: bytes) -> list[SavedConnection] | None:
    """Read a saved answer, which is taken as it stands, in its order.

    Args:
        data: The JSON array, UTF-8.

    Returns:
        The connections; None if something in the answer isn't as the API promises, so that it takes
        `pulumi_ampersand.answers` to read it.
    """
    return _read_for_rules(data, _InCommon())


@without_collection()
def _read_for_rules(data: bytes | bytearray, in_common: _InCommon) -> list[SavedConnection] | None:
    try:
        found = msgspec.json.decode(data, type=list[SavedConnection])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if may_be_harmful(data) and not all(map(_is_harmless, found)):
        return None
    if len({connection.id for connection in found}) != len(found):
        return None
    return found if _fill_in(found, in_common) else None


def _is_harmless(sent: SavedConnection) -> bool:
    """Whether no text that is kept has what `harmless` takes out."""
    group, consumer, grant = sent.group or SavedGroup(), sent.consumer or SavedConsumer(), sent.sent_grant or _Grant()
    access, refresh = grant.access_token or Token(), grant.refresh_token or Token()
    text = (
        f"{sent.id}{sent.provider}{sent.status}{sent.project_id}{sent.auth_scheme}{sent.provider_workspace_ref}"
        f"{sent.provider_consumer_ref}{sent.create_time}{sent.update_time}{group.ref}{group.name}{group.project_id}"
        f"{group.create_time}{consumer.ref}{consumer.name}{consumer.project_id}{consumer.create_time}"
        f"{access.issued_at}{access.expires_at}{refresh.issued_at}{refresh.expires_at}"
    )
    for name, item in (sent.sent_metadata or {}).items():
        text += f"{name}{item and item.value}{item and item.source}{item and item.display_name}"
    return text == harmless(text)


def _fill_in(found: Sequence[SavedConnection], in_common: _InCommon) -> bool:
    """Make the attributes, of what many have in common once; False if something isn't as the API promises."""
    apps, scopes = in_common.apps, in_common.scopes
    try:
        for sent in found:
            text = bytes(sent.sent_app)
            if text not in apps:
                apps[text] = _read({"providerApp": sent.sent_app}).provider_app
            sent.provider_app = apps[text]
            # What is kept of the text keeps all of it in memory, tokens included, and in pieces becomes the next one's.
            sent.sent_app = _NULL
            grant = sent.sent_grant
            if grant is None:
                sent.scopes, sent.oauth, sent.access_token, sent.refresh_token = None, False, None, None
                continue
            text = bytes(grant.scopes)
            if text not in scopes:
                scopes[text] = _read({"oauth2AuthorizationCode": {"scopes": grant.scopes}}).scopes
            sent.scopes, sent.oauth = scopes[text], True
            sent.access_token, sent.refresh_token = grant.access_token, grant.refresh_token
            sent.sent_grant = None
    except AnswerError:
        return False
    return True


def _read(part: Mapping[str, Any]) -> Connection:
    """A connection of which only a part is of interest.

    Raises:
        AnswerError: That part isn't as the API promises.
    """
    connection, seen = read_connection(
        msgspec.json.encode({"id": "", "provider": "", "status": "", **part}), refresh_token_told=True
    )
    if seen.gaps:
        raise AnswerError("not as promised")
    return connection
