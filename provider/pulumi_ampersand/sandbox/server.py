"""The `Sandbox`: a server that runs in a thread of this process, and is controlled through the object."""

import importlib.util
import os
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pulumi_ampersand.sandbox.data import DataSet, Project, load, of_connections
from pulumi_ampersand.sandbox.errors import AddressError, DataError, ExtraMissingError
from pulumi_ampersand.sandbox.faults import Fault, FaultPlan
from pulumi_ampersand.sandbox.request_log import RequestKind, RequestRecord
from pulumi_ampersand.sandbox.scenarios import data_of
from pulumi_ampersand.sandbox.state import DEFAULT_API_KEY, State
from pulumi_ampersand.sandbox.store import Store
from pulumi_ampersand.sandbox.times import resolve_all

if TYPE_CHECKING:
    from typing_extensions import Self

    from pulumi_ampersand.sandbox.wire import ServerThread

DEFAULT_SCENARIO = "mixed"
"""What is served unless something else is asked for."""


class Sandbox:
    """A local server that answers the Ampersand API's calls; use it as a context manager, or with `start` and `stop`.

    ::

        with Sandbox("healthy") as sandbox:
            httpx.get(f"{sandbox.url}/v1/projects", headers={"X-Api-Key": sandbox.api_key})

    It serves one of: a scenario, connections that the caller holds, a file. All that it is told can be changed while it
    runs, from any thread.

    Args:
        scenario: one of `SCENARIOS` (``mixed`` if nothing else is given).
        connections: JSON values to list, served as they are, well-formed or not; times may be written as in `times`.
        data: a file with a JSON array of connections, which must be well-formed.
        projects: the projects to serve, each with the data set's connections or with its own (default: the data set's
            one, named ``quickstart``, or ``sample`` for that scenario).
        api_key: the key that requests must send.
        list_credentials: whether lists include OAuth credentials, as the API reference's sample answer does.
        faults: what goes wrong, written as in `pulumi_ampersand.sandbox.faults`.
        host: the address to listen on.
        port: the port; 0 stands for any free one.
        count: how many connections the scenario ``large`` holds (10,000).
        broken: how many of those have bad credentials (0).
        now: the moment from which the data set's times count (the present one).

    Raises:
        DataError: the data can't be served.
        FaultError: a fault is not written as it should be.
    """

    def __init__(  # noqa: PLR0913 - each is a thing to choose, and most callers choose one
        self,
        scenario: str | None = None,
        *,
        connections: Sequence[Any] | None = None,
        data: Path | str | None = None,
        projects: Sequence[Project] | None = None,
        api_key: str = DEFAULT_API_KEY,
        list_credentials: bool = True,
        faults: Iterable[Fault | str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        count: int | None = None,
        broken: int = 0,
        now: datetime | None = None,
    ) -> None:
        if sum(source is not None for source in (scenario, connections, data)) > 1:
            raise DataError("a sandbox serves a scenario, connections or a file: choose one of them")
        self._started = now or datetime.now(timezone.utc)
        if connections is None and data is None:
            self._data = data_of(scenario or DEFAULT_SCENARIO, self._started, count=count, broken=broken)
        elif count is not None or broken:
            raise DataError("a number of connections can be chosen for the scenario 'large' only")
        else:
            self._data = self._load(connections, data)
        self._projects = [self._with_times(project) for project in projects or [self._data.project]]
        self._settings = (api_key, list_credentials, list(FaultPlan(faults).faults))
        self._state = State(store=Store(self._projects, self._data, self._started), started=self._started)
        self.reset()
        self._host = host
        self._port = port
        self._thread: ServerThread | None = None

    def start(self) -> "Self":
        """Starts to listen and to answer.

        Raises:
            AddressError: the address can't be listened on.
            ExtraMissingError: the extra `sandbox` is not installed.
        """
        if self._thread is not None:
            return self
        if any(importlib.util.find_spec(module) is None for module in ("starlette", "uvicorn")):
            raise ExtraMissingError
        from pulumi_ampersand.sandbox.app import create_app  # noqa: PLC0415 - needs the extra
        from pulumi_ampersand.sandbox.wire import ServerThread  # noqa: PLC0415 - needs the extra

        listener = _listen(self._host, self._port)
        # A restart keeps the port, so that a client can be seen to survive it.
        self._port = listener.getsockname()[1]
        self._thread = ServerThread(create_app(self._state), listener)
        return self

    def stop(self) -> None:
        """Closes all connections and stops listening; `start` begins again on the same port."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    def __enter__(self) -> "Self":
        return self.start()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def reset(self) -> None:
        """Puts data, faults, key and settings back to what they were at first, and empties the log."""
        self._state.store = Store(self._projects, self._data, self._started)
        self._state.api_key, self._state.list_credentials, faults = self._settings
        self._state.past_keys = frozenset()
        self._state.list_body = None
        self._state.faults.set(faults)
        self._state.log.clear()

    @property
    def url(self) -> str:
        """The API's root, without ``/v1``, for ``AMP_API_URL``.

        Raises:
            AddressError: the sandbox has not been started, and so has no port yet.
        """
        if not self._port:
            raise AddressError("the sandbox has no address before it is started")
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    @property
    def project(self) -> str:
        """The first project's name."""
        return self._projects[0].name

    @property
    def projects(self) -> list[Project]:
        """The projects served."""
        return list(self._projects)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that lead a client here: ``AMP_API_URL``, ``AMP_API_KEY`` and ``AMP_PROJECT``."""
        return {"AMP_API_URL": self.url, "AMP_API_KEY": self.api_key, "AMP_PROJECT": self.project}

    @property
    def api_key(self) -> str:
        """The key that requests must send. Setting it rotates it."""
        return self._state.api_key

    @api_key.setter
    def api_key(self, key: str) -> None:
        self._state.rotate(key)

    @property
    def list_credentials(self) -> bool:
        """Whether lists include OAuth credentials."""
        return self._state.list_credentials

    @list_credentials.setter
    def list_credentials(self, included: bool) -> None:
        self._state.list_credentials = included

    @property
    def list_body(self) -> bytes | None:
        """The bytes that every list is answered with, instead of the connections; None normally."""
        return self._state.list_body

    @list_body.setter
    def list_body(self, body: bytes | None) -> None:
        self._state.list_body = body

    @property
    def connections(self) -> list[Any]:
        """The first project's connections. Setting them replaces them; times may be written as in `times`."""
        return self.connections_of(self._state.store.first_project)

    @connections.setter
    def connections(self, connections: Sequence[Any]) -> None:
        self.set_connections(self._state.store.first_project, connections)

    def connections_of(self, project: str) -> list[Any]:
        """The connections of the project with this id or name, as JSON values; don't change them in place."""
        return self._state.store.connections(project)

    def set_connections(self, project: str, connections: Sequence[Any]) -> None:
        """Replaces the connections of the project with this id or name."""
        self._state.store.set_connections(project, of_connections(connections, self._started).connections)

    def update(self, connection_id: str, **fields: Any) -> None:
        """Replaces fields of one connection, in the first project that has it.

        Raises:
            DataError: no project has it.
        """
        self._state.store.update(connection_id, resolve_all(fields, self._started))

    @property
    def faults(self) -> list[Fault]:
        """The faults that may still strike. Setting them, as `Fault` or as text, replaces them and counts anew."""
        return self._state.faults.faults

    @faults.setter
    def faults(self, faults: Iterable[Fault | str]) -> None:
        self._state.faults.set(faults)

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests to the API so far, in order of arrival."""
        return self._state.log.records

    @property
    def counts(self) -> Counter[RequestKind]:
        """How many requests of each kind there were."""
        return self._state.log.counts

    @property
    def most_at_once(self) -> int:
        """How many requests were under way at the same time, at most."""
        return self._state.log.most_at_once

    def clear_requests(self) -> None:
        """Forgets the requests so far."""
        self._state.log.clear()

    @property
    def secrets(self) -> frozenset[str]:
        """Every credential served since the start or the last `reset`, API keys included, to search for leaks.

        The sample answer's ``<string>`` is left out, because it stands there for a scope, too.
        """
        return self._state.store.secrets() | self._state.past_keys | {self.api_key}

    def _load(self, connections: Sequence[Any] | None, data: Path | str | None) -> DataSet:
        return load(Path(data), self._started) if data is not None else of_connections(connections or [], self._started)

    def _with_times(self, project: Project) -> Project:
        if project.connections is None:
            return project
        return replace(project, connections=of_connections(project.connections, self._started).connections)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OverflowError as exc:
        raise AddressError(f"{port} is no port: choose one from 1 to 65535, or 0 for any free one") from exc
    except OSError as exc:
        # Python adds the address to the system's words, but not where a name can't be resolved.
        reason = exc.strerror if isinstance(exc, socket.gaierror) else os.strerror(exc.errno or 0)
        raise AddressError(f"can't listen on {host}, port {port}: {reason}: choose another, or port 0") from exc
