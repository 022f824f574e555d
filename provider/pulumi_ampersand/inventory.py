"""The connections that were read at one time, and the two JSON documents in which they travel.

``connections`` says what each connection is; programs see it and only its changes are changes. ``observations`` says
how each was found; only packs and audits see it. They are apart because an engine hands old outputs to a program whose
resource didn't change: an output must never hold what a comparison ignores. They are text because the SDKs walk
structured properties once for every policy. Their JSON Schemas lie in ``schemas/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar, cast

import msgspec

from pulumi_ampersand.answers import ConnectionKeys, read_connections, without_collection
from pulumi_ampersand.errors import AnswerError
from pulumi_ampersand.model import Connection, Found, Observation

if TYPE_CHECKING:
    from pulumi_ampersand.saved_answer import SavedOutline

VERSION: Final = 1
"""The version of both documents. Readers skip fields that they don't know; what they would misread needs a new one."""

DOCUMENT_LIMIT: Final = 256 * 1024 * 1024
"""Bytes in one document. The engine's messages end at 400 MiB, and a preview holds several copies."""

_P = ParamSpec("_P")

UNOBSERVED: Final = Observation(id="")


class Entry(NamedTuple):
    """One connection of an inventory.

    Attributes:
        connection: What it is.
        observation: How it was found; `UNOBSERVED` where that wasn't passed on.
        project: The project that it was read from: its ID if the API gave it, else as it was asked for.
    """

    connection: Connection
    observation: Observation
    project: str

    @property
    def found(self) -> Found:
        """Connection and observation as programs get them, which they are in any case but `Inventory.for_rules`."""
        connection: Any = self.connection
        if isinstance(connection, dict):
            return self.connection, self.observation
        return connection.document(), connection.observed()


def by_id(entry: Entry) -> tuple[str, str]:
    """What inventories are sorted by."""
    return entry.connection.id, entry.project


class Unread(NamedTuple):
    """A part of an inventory that could not be read.

    Attributes:
        reason: Why not, one sentence.
        project: The project, as it was asked for; empty where it isn't one project.
    """

    reason: str
    project: str = ""


class Inventory:
    """Connections, sorted by ID.

    Args:
        pairs: Connections and how they were found, in any order.
        project: The project that they were read from, ID or name.
        unread: Why parts of the project could not be read, one sentence each: it wasn't reachable, say.
        missing: IDs of connections that were asked for and don't exist.

    Raises:
        AnswerError: Two connections have the same ID and aren't the same.
    """

    __slots__ = ("_entries", "missing", "unread")

    @without_collection()
    def __init__(
        self,
        pairs: Iterable[Found] = (),
        project: str = "",
        unread: Sequence[str] = (),
        missing: Sequence[str] = (),
    ) -> None:
        self.unread = tuple(Unread(reason, project) for reason in unread)
        self.missing = tuple(missing)
        found: dict[str, Found] = {}
        for pair in pairs:
            if found.setdefault(pair[0].id, pair) != pair:
                raise AnswerError(f'the API lists connection "{pair[0].id}" twice, with different content')
        self._entries = tuple(
            Entry(connection, observation, connection.project_id or project)
            for _, (connection, observation) in sorted(found.items())
        )

    @classmethod
    def from_answer(cls, data: bytes, project: str = "") -> Inventory:
        """Read a saved answer of the API, which is taken as it stands: a refresh token that it lacks doesn't exist.

        Raises:
            AnswerError: It is no JSON array of connections.
        """
        return cls(read_connections(data, refresh_token_told=True), project)

    @classmethod
    def for_rules(cls, data: bytes, project: str = "") -> Inventory:
        """Read a saved answer for rules alone, several times as fast as `from_answer` does for programs.

        Its connections and observations have the same attributes, but aren't dictionaries; see `Entry.found`. They are
        in the answer's order: sorted by IDs without a meaning, each pass over them would jump about in memory.

        Raises:
            AnswerError: It is no JSON array of connections.
        """
        from pulumi_ampersand.saved_answer import read_for_rules  # noqa: PLC0415 - previews don't need it

        found = read_for_rules(data)
        return cls.from_answer(data, project) if found is None else cls.of_saved(found, project)

    @classmethod
    def of_saved(cls, found: Sequence[SavedOutline], project: str = "") -> Inventory:
        """An inventory for rules of what `pulumi_ampersand.saved_answer` read, in its order; see `for_rules`."""
        inventory = cls()
        # One object stands for both, and has the attributes of both.
        entries = cast("Sequence[Any]", found)
        inventory._entries = tuple([Entry(sent, sent, sent.project_id or project) for sent in entries])
        return inventory

    @classmethod
    def from_documents(cls, connections: str, observations: str | None = None, project: str = "") -> Inventory:
        """Read the two documents. Each text is parsed once per process.

        Args:
            connections: The ``connections`` document.
            observations: The ``observations`` document; without it, nothing is known of how the connections were found.
            project: The project that they were read from.

        Raises:
            AnswerError: A document isn't what this version writes.
        """
        seen = parse_observations(observations) if observations else {}
        return cls(((c, seen.get(c.id, UNOBSERVED)) for c in parse_connections(connections)), project)

    @classmethod
    def from_saved(cls, data: bytes) -> Inventory:
        """Read what `saved` gave.

        Raises:
            AnswerError: It isn't what this version writes.
        """
        content = _decode(data, _Saved)
        seen = {observation.id: observation for observation in content.observations}
        found = (Connection(sent) for sent in content.connections)
        return cls(((c, seen.get(c.id, UNOBSERVED)) for c in found), content.project)

    @classmethod
    def merge(cls, parts: Sequence[Inventory]) -> Inventory:
        """One inventory of several. What several have, of a project named twice say, is in it as the first has it."""
        entries: dict[tuple[str, str], Entry] = {}
        for part in parts:
            for entry in part:
                entries.setdefault(by_id(entry), entry)
        whole = cls(missing=[connection_id for part in parts for connection_id in part.missing])
        whole.unread = tuple(unread for part in parts for unread in part.unread)
        whole._entries = tuple(entries[key] for key in sorted(entries))
        return whole

    def where(self, chosen: Callable[Concatenate[Entry, _P], bool], *args: _P.args, **kwargs: _P.kwargs) -> Inventory:
        """The connections that are chosen, and what could not be read all the same.

        Args:
            chosen: Tells whether a connection is.
            args: What else it takes.
            kwargs: Likewise, by name.
        """
        part = Inventory(missing=self.missing)
        part.unread = self.unread
        part._entries = tuple([entry for entry in self._entries if chosen(entry, *args, **kwargs)])
        return part

    def by_project(self) -> list[tuple[str, Inventory]]:
        """The connections of each project, by its name, without what could not be read."""
        parts: dict[str, list[Entry]] = {}
        for entry in self:
            parts.setdefault(entry.project, []).append(entry)
        found = []
        for project in sorted(parts):
            part = Inventory()
            part._entries = tuple(parts[project])
            found.append((project, part))
        return found

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Inventory of {len(self)} connections>"

    def documents(self) -> tuple[str, str]:
        """The ``connections`` and the ``observations`` document, the same for the same content.

        Raises:
            AnswerError: One is too large for the engine.
        """
        connections = _ENCODER.encode({"v": VERSION, "connections": [entry.connection for entry in self]})
        observations = _ENCODER.encode({"v": VERSION, "observations": [entry.observation for entry in self]})
        for document in (connections, observations):
            if len(document) > DOCUMENT_LIMIT:
                raise AnswerError(
                    f"{len(self)} connections take {len(document) // 1024**2} MiB, and a stack can hold "
                    f"{DOCUMENT_LIMIT // 1024**2} MiB; filter by provider, group_ref or consumer_ref"
                )
        return connections.decode(), observations.decode()

    def saved(self, project: str = "") -> bytes:
        """Everything that was read, without credentials, as JSON that `from_saved` understands.

        Args:
            project: The project, for connections that don't say which is theirs.
        """
        found = [entry.found for entry in sorted(self, key=by_id)]
        content = {
            "v": VERSION,
            "project": project,
            "connections": [connection for connection, _ in found],
            "observations": [observation for _, observation in found],
        }
        return msgspec.json.format(_ENCODER.encode(content))


class InventoryForLater(Inventory):
    """An inventory that is read when somebody looks at its connections.

    Args:
        count: How many connections it has.
        read: Reads it, without fail.
    """

    __slots__ = ("_count", "_made", "_read")

    def __init__(self, count: int, read: Callable[[], Inventory]) -> None:
        super().__init__()
        self._count = count
        self._read = read
        self._made: tuple[Entry, ...] | None = None

    @property
    def _entries(self) -> tuple[Entry, ...]:
        if self._made is None:
            self._made = tuple(self._read())
        return self._made

    @_entries.setter
    def _entries(self, entries: tuple[Entry, ...]) -> None:
        """Those of an empty inventory."""

    def __len__(self) -> int:
        return self._count


_Number = Annotated[int, msgspec.Meta(ge=1)]


class _Connections(msgspec.Struct):
    v: _Number
    connections: Sequence[ConnectionKeys]


class _Id(msgspec.Struct, gc=False):
    id: str


class _Ids(msgspec.Struct):
    v: _Number
    connections: Sequence[_Id]


class _Observations(msgspec.Struct):
    v: _Number
    observations: Sequence[Observation]


class _Saved(msgspec.Struct):
    v: _Number
    project: str
    connections: Sequence[ConnectionKeys]
    observations: Sequence[Observation]


class _Version(msgspec.Struct):
    v: _Number


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_Document = TypeVar("_Document", _Connections, _Ids, _Observations, _Saved)


@lru_cache(maxsize=16)
@without_collection()
def parse_connections(document: str) -> tuple[Connection, ...]:
    """The connections of a ``connections`` document.

    Raises:
        AnswerError: It isn't what this version writes.
    """
    return tuple(map(Connection, _decode(document, _Connections).connections))


def parse_ids(document: str) -> list[str]:
    """The IDs of a ``connections`` document, sorted, without the work for all that it says of the connections.

    Raises:
        AnswerError: It isn't what this version writes.
    """
    return [connection.id for connection in _decode(document, _Ids).connections]


@lru_cache(maxsize=16)
@without_collection()
def parse_observations(document: str) -> dict[str, Observation]:
    """The observations of an ``observations`` document by connection ID.

    Raises:
        AnswerError: It isn't what this version writes.
    """
    return {observation.id: observation for observation in _decode(document, _Observations).observations}


def _decode(document: str | bytes, kind: type[_Document]) -> _Document:
    name, mend = ("saved", "save it again") if kind is _Saved else (kind.__struct_fields__[-1], "run: pulumi refresh")
    try:
        decoded = msgspec.json.decode(document, type=kind)
        version = decoded.v
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        # A newer version may have other types, so look at its number before complaining about them.
        try:
            version = msgspec.json.decode(document, type=_Version).v
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            version = 0
        if version <= VERSION:
            raise AnswerError(f"the {name} document can't be read: {error}; {mend}") from None
    if version > VERSION:
        raise AnswerError(f"the {name} document is of a newer version; upgrade pulumi-ampersand")
    return decoded
