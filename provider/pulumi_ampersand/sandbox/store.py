"""The projects and connections that a running sandbox holds, and their JSON text as the API's calls answer it.

A connection is never changed in place: a change replaces it, so that values handed out stay as they were.
"""

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from pulumi_ampersand.sandbox import credentials
from pulumi_ampersand.sandbox.data import DataSet, Project
from pulumi_ampersand.sandbox.errors import DataError
from pulumi_ampersand.sandbox.times import write

_MOST_ANSWERS_KEPT = 64


class _Served:
    """One project, its connections, and the texts of the lists already answered."""

    def __init__(self, project: Project, connections: list[Any], text: bytes | None) -> None:
        self.project = project
        self.text: bytes | None = None
        self.secrets_before: set[str] = set()
        self.set(connections)
        self.text = text

    def set(self, connections: list[Any]) -> None:
        self.connections = connections
        self.positions = {
            entry["id"]: position
            for position, entry in enumerate(connections)
            if isinstance(entry, Mapping) and isinstance(entry.get("id"), str)
        }
        self.changed()

    def replace(self, position: int, connection: Mapping[str, Any]) -> None:
        # A token that was replaced may still lie in what a client kept: it stays a secret.
        self.secrets_before.update(credentials.secrets_of(self.connections[position]))
        self.connections[position] = connection
        self.changed()

    def changed(self) -> None:
        self.text = None
        self.answers: dict[tuple[tuple[str | None, ...], bool], bytes] = {}


class Store:
    """The projects with their connections. Safe to use from several threads.

    Args:
        projects: what to serve; a project without connections of its own serves the data set's.
        data: the data set.
        now: the moment from which the data set's times count.
    """

    def __init__(self, projects: Sequence[Project], data: DataSet, now: datetime) -> None:
        self.lock = threading.RLock()
        self._served: list[_Served] = []
        self._started = write(now)
        taken: set[str] = set()
        for project in projects:
            if taken & {project.id, project.name}:
                raise DataError(f"two projects have the id or name {project.id!r} or {project.name!r}")
            taken |= {project.id, project.name}
            connections = data.moved_to(project) if project.connections is None else list(project.connections)
            untouched = project.connections is None and project.id == data.project.id
            self._served.append(_Served(project, connections, data.text if untouched else None))

    def projects(self) -> list[dict[str, str]]:
        """The projects as the API lists them."""
        return [
            {
                "id": served.project.id,
                "name": served.project.name,
                "appName": served.project.name,
                "orgId": "org_sandbox",
                "createTime": self._started,
                "updateTime": self._started,
            }
            for served in self._served
        ]

    @property
    def first_project(self) -> str:
        """The id of the first project."""
        return self._served[0].project.id

    def has_project(self, id_or_name: str) -> bool:
        """Whether there is a project of that id or name."""
        return any(id_or_name in {served.project.id, served.project.name} for served in self._served)

    def connections(self, project: str) -> list[Any]:
        """The connections of a project as JSON values; don't change them in place."""
        with self.lock:
            return list(self._find(project).connections)

    def set_connections(self, project: str, connections: Iterable[Any]) -> None:
        """Replaces all connections of a project."""
        with self.lock:
            served = self._find(project)
            served.secrets_before.update(*map(credentials.secrets_of, served.connections))
            served.set(list(connections))

    def connection(self, project: str, connection_id: str) -> Mapping[str, Any] | None:
        """One connection, or None."""
        with self.lock:
            served = self._find(project)
            position = served.positions.get(connection_id)
            return None if position is None else served.connections[position]

    def replace(self, project: str, connection: Mapping[str, Any]) -> None:
        """Puts `connection` where the one with the same id was.

        Raises:
            DataError: there is none.
        """
        with self.lock:
            served = self._find(project)
            position = served.positions.get(connection["id"])
            if position is None:
                raise DataError(f"project {project!r} has no connection {connection['id']!r}")
            served.replace(position, connection)

    def update(self, connection_id: str, fields: Mapping[str, Any]) -> None:
        """Replaces fields of a connection, in the first project that has it; the id can't be changed.

        Raises:
            DataError: no project has it, or `fields` holds another id.
        """
        if fields.get("id", connection_id) != connection_id:
            raise DataError(f"connection {connection_id!r}: its id can't be changed")
        with self.lock:
            for served in self._served:
                position = served.positions.get(connection_id)
                if position is not None:
                    served.replace(position, {**served.connections[position], **fields})
                    return
        raise DataError(f"no project has a connection {connection_id!r}")

    def list_text(self, project: str, filters: Sequence[str | None], *, with_credentials: bool) -> bytes:
        """The JSON array of a project's connections.

        Args:
            project: its id or name.
            filters: the provider, groupRef and consumerRef that a connection must have; None stands for any.
            with_credentials: whether OAuth credentials are included.
        """
        with self.lock:
            served = self._find(project)
            asked = (tuple(filters), with_credentials)
            if asked not in served.answers:
                if len(served.answers) >= _MOST_ANSWERS_KEPT:
                    served.answers.clear()
                served.answers[asked] = _list_text(served, filters, with_credentials=with_credentials)
            return served.answers[asked]

    def secrets(self) -> frozenset[str]:
        """Every credential held now, or held before it was replaced."""
        with self.lock:
            found: set[str] = set()
            for served in self._served:
                found |= served.secrets_before
                found.update(*(credentials.secrets_of(entry) for entry in served.connections))
            return frozenset(found)

    def _find(self, project: str) -> _Served:
        for served in self._served:
            if project in {served.project.id, served.project.name}:
                return served
        raise DataError(f"no project {project!r}")


def encode(value: Any) -> bytes:
    """JSON text, compact, in UTF-8; what UTF-8 can't hold (lone surrogates) is escaped, as a careless sender would."""
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError, TypeError):
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def _list_text(served: _Served, filters: Sequence[str | None], *, with_credentials: bool) -> bytes:
    entries = [entry for entry in served.connections if _matches(entry, filters)]
    if served.text is not None and with_credentials and len(entries) == len(served.connections):
        return served.text
    if not with_credentials:
        entries = [credentials.without(entry) for entry in entries]
    return b"[" + b",".join(map(encode, entries)) + b"]"


def _matches(entry: Any, filters: Sequence[str | None]) -> bool:
    provider, group, consumer = filters
    return (
        (provider is None or _field(entry, "provider") == provider)
        and (group is None or _field(_field(entry, "group"), "groupRef") == group)
        and (consumer is None or _field(_field(entry, "consumer"), "consumerRef") == consumer)
    )


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
