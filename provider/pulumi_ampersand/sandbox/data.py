"""The data that a sandbox serves: projects and their connections, as the API sends them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pulumi_ampersand.sandbox.errors import DataError
from pulumi_ampersand.sandbox.times import resolve_all

DEFAULT_PROJECT_ID = "proj_quickstart"
DEFAULT_PROJECT_NAME = "quickstart"


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project that the sandbox serves, under its id and under its name.

    Attributes:
        id: the project's id.
        name: its unique name; both may hold any characters, ``/`` and ``?`` included.
        connections: its connections as JSON values; None stands for the sandbox's data set.
    """

    id: str = DEFAULT_PROJECT_ID
    name: str = DEFAULT_PROJECT_NAME
    connections: Sequence[Any] | None = None

    @classmethod
    def parse(cls, text: str) -> "Project":
        """The project that ``NAME`` or ``ID=NAME`` stands for; a name alone gets the id ``proj_NAME``.

        Raises:
            DataError: the id or the name is empty.
        """
        project_id, equals, name = text.partition("=")
        if not equals:
            project_id, name = f"proj_{text}", text
        if not project_id or not name:
            raise DataError(f"project {text!r}: write NAME or ID=NAME")
        return cls(id=project_id, name=name)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Connections, and the project that they belong to unless the user names another.

    Attributes:
        connections: JSON values in the order in which the API lists them, times resolved.
        project: the project that they were made for.
        text: the JSON text to list them with, word for word, where that matters.
    """

    connections: Sequence[Any]
    project: Project
    text: bytes | None = None

    def moved_to(self, project: Project) -> list[Any]:
        """The connections, with `project`'s id wherever they name the data set's own."""
        if project.id == self.project.id:
            return list(self.connections)
        return [_with_project(connection, self.project.id, project.id) for connection in self.connections]


def of_connections(connections: Sequence[Any], now: datetime) -> DataSet:
    """A data set of connections that a caller holds, served as they are, well-formed or not.

    Raises:
        DataError: a time is neither RFC 3339 nor in the notation of `times`.
    """
    project_id = next(
        (entry["projectId"] for entry in connections if isinstance(entry, Mapping) and _is_text(entry, "projectId")),
        DEFAULT_PROJECT_ID,
    )
    return DataSet(connections=_resolved(connections, now, "connections"), project=Project(id=project_id))


def load(path: Path, now: datetime) -> DataSet:
    """The connections in a file: a JSON array as the API sends it, whose times may be written as in `times`.

    Raises:
        DataError: the file can't be read, is no JSON array of objects, an entry lacks one of the fields `id`,
            `provider` and `status`, two have the same id, or a time is not understood.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as exc:
        raise DataError(f"{path}: can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise DataError(f"{path}: is not UTF-8 text: byte {exc.start} can't be decoded") from exc
    try:
        connections = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise DataError(f"{path}: is not JSON: {exc}") from exc
    _check(connections, str(path))
    return of_connections(_resolved(connections, now, str(path)), now)


def _check(connections: Any, source: str) -> None:
    if not isinstance(connections, list):
        raise DataError(f"{source}: must hold a JSON array of connections, as the API lists them")
    seen: dict[str, int] = {}
    for position, connection in enumerate(connections):
        if not isinstance(connection, dict):
            raise DataError(f"{source}: entry {position} is no JSON object")
        for field in ("id", "provider", "status"):
            if not _is_text(connection, field):
                raise DataError(f"{source}: entry {position} lacks {field!r}, a text that is not empty")
        first = seen.setdefault(connection["id"], position)
        if first != position:
            raise DataError(f"{source}: entries {first} and {position} have the same id {connection['id']!r}")


def _resolved(connections: Sequence[Any], now: datetime, source: str) -> list[Any]:
    return [_resolved_entry(entry, now, f"{source}: entry {position}") for position, entry in enumerate(connections)]


def _resolved_entry(entry: Any, now: datetime, where: str) -> Any:
    try:
        return resolve_all(entry, now)
    except ValueError as exc:
        raise DataError(f"{where}: {exc}") from None


def _is_text(entry: Mapping[str, Any], field: str) -> bool:
    return isinstance(entry.get(field), str) and bool(entry[field])


def _with_project(value: Any, old: str, new: str) -> Any:
    if isinstance(value, Mapping):
        return {
            key: new if key == "projectId" and item == old else _with_project(item, old, new)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_with_project(item, old, new) for item in value]
    return value
