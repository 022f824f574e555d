"""What one run reads, each answer asked for once.

A run is one Pulumi operation in one process. What its resources and functions need alike they share, while it is on its
way and after it came; so do the connections' own calls, one by one. A failure is shared, too: an outage is waited for
once, not once for each resource. What depends on a resource that may have changed an answer doesn't share older ones;
where nobody can tell what depends on what, only those share an answer who asked before it was asked for.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future, wait
from copy import copy
from datetime import datetime, timezone
from typing import Any, Final, TypeVar, cast

from pulumi_ampersand.client import Client
from pulumi_ampersand.details import Refresh, checked_refresh, completed, wanted
from pulumi_ampersand.errors import AmpersandError, SettingsError
from pulumi_ampersand.model import Found, Project
from pulumi_ampersand.query import Query
from pulumi_ampersand.settings import Lookup, Settings, default_details

_T = TypeVar("_T")

_LIST: Final = "list"
_MOST_LATER: Final = 32
"""For how many groups of resources to wait for answers are kept."""


def _log(message: str) -> None:
    logging.getLogger("pulumi_ampersand").warning("%s", message)


class Reads:
    """The answers of one run to what is asked with one `Settings`. Safe to share between threads.

    Args:
        settings: How to reach the API.
        config: The stack's configuration.
        environ: The environment.
        now: The time of day, to judge by whether an access token has expired.
        keep: Whether answers are kept for the whole run. Otherwise an answer is never older than the question: of those
            who ask while one is on its way, the next one is for all.
        warn: Is told what nobody may miss.

    Raises:
        SettingsError: There is no key, or a setting can't be used.
    """

    def __init__(  # noqa: PLR0913 - what a test or a plugin replaces
        self,
        settings: Settings,
        config: Lookup,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        *,
        keep: bool = True,
        warn: Callable[[str], None] = _log,
    ) -> None:
        self.warn = warn
        self._keep = keep
        self._client = Client(settings.resolve(config, environ))
        self._details = default_details(config)
        self._settings, self._config, self._environ = settings, config, environ
        self._now = now
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, Future[Any]] = {}
        self._asked: dict[Hashable, Future[Any]] = {}
        self._later: dict[frozenset[str], Reads] = {}

    def after(self, resources: Iterable[str]) -> Reads:
        """The reads of those who wait for these resources, which may change an answer; they share among themselves.

        Args:
            resources: Their URNs.
        """
        urns = frozenset(resources)
        if not urns:
            return self
        with self._lock:
            later = self._later.pop(urns, None)
            if later is None:
                later = copy(self)
                later._begin()  # noqa: SLF001 - one of its own kind
            self._later[urns] = later
            if len(self._later) > _MOST_LATER:
                # Who waits for the same comes at about the same time; who comes later than so many others asks again.
                del self._later[next(iter(self._later))]
            return later

    def close(self) -> None:
        """Give back the connections to the server."""
        self._client.close()

    def project(self, query: Query) -> str:
        """The project to read: the query's, else that of the settings.

        Raises:
            SettingsError: There is none.
        """
        return query.project or self._settings.project_in(self._config, self._environ)

    def connections(self, query: Query) -> list[Found]:
        """The connections that match, in the API's order, and how each was found.

        Args:
            query: What to read.

        Raises:
            AmpersandError: They could not be read.
        """
        project = self.project(query)
        details = query.details or self._details
        checked_refresh(query.refresh, details)
        found = self._from_whole_list(project, query)
        if query.connection_id is not None and not found:
            pair = self._one(project, query.connection_id, query.refresh, told=details != "never")
            return [pair] if query.matches(pair) else []
        if found is None:
            found = self._list(project, query)
        chosen = wanted(found, details, query.refresh, self._now())
        told_of = self._several(project, list(chosen.ids), query.refresh)
        return completed(found, told_of, chosen)

    def lists(self, project: str, connection_id: str) -> bool:
        """Whether a project lists a connection, asked in any case.

        Raises:
            AmpersandError: The list could not be read.
        """
        found = self._client.list_connections(project, details="never")
        return any(connection.id == connection_id for connection, _ in found)

    def projects(self) -> list[Project]:
        """The projects that the key can read.

        Raises:
            AmpersandError: They could not be read.
        """
        return self._shared("projects", self._client.list_projects)

    def access_token(self, query: Query) -> str:
        """The access token of the connection that the query names.

        Raises:
            AmpersandError: It could not be read.
        """
        project, name = self.project(query), query.connection_id
        if name is None:
            raise SettingsError('connection_id must be text, for example connection_id="…"')
        return self._shared(
            ("token", project, name, query.refresh),
            lambda: self._client.get_access_token(project, name, refresh=query.refresh),
        ).reveal()

    def _list(self, project: str, query: Query) -> list[Found]:
        return self._shared(
            (_LIST, project, query.provider, query.group_ref, query.consumer_ref),
            lambda: self._client.list_connections(
                project,
                provider=query.provider,
                group_ref=query.group_ref,
                consumer_ref=query.consumer_ref,
                details="never",
            ),
        )

    def _from_whole_list(self, project: str, query: Query) -> list[Found] | None:
        """What matches of the project's whole list, if that is there already."""
        if not self._keep or not query.is_harmless():
            # Of what was read, nobody knows any more what it was before it was made harmless.
            return None
        with self._lock:
            whole = self._answers.get((_LIST, project, None, None, None))
        if whole is None or not whole.done() or whole.exception() is not None:
            return None
        pairs = cast("list[Found]", whole.result())
        # Of what could not be read, the API knows more.
        return None if any(map(query.unclear, pairs)) else [pair for pair in pairs if query.matches(pair)]

    def _one(self, project: str, name: str, refresh: Refresh | None, *, told: bool) -> Found:
        if told:
            answer = self._several(project, [name], refresh)[name]
            if isinstance(answer, AmpersandError):
                raise answer
            return answer
        return self._shared(
            ("bare", project, name), lambda: self._client.get_connection(project, name, details="never")
        )

    def _several(self, project: str, names: list[str], refresh: Refresh | None) -> dict[str, Found | AmpersandError]:
        if not self._keep:
            return self._client.get_several(project, names, refresh=refresh)
        answers: dict[str, Future[Found | AmpersandError]] = {}
        mine: list[str] = []
        with self._lock:
            for name in dict.fromkeys(names):
                key = ("one", project, name, refresh)
                if key not in self._answers:
                    self._answers[key] = Future()
                    mine.append(name)
                answers[name] = self._answers[key]
        try:
            told = self._client.get_several(project, mine, refresh=refresh)
            for name in mine:
                answers[name].set_result(told[name])
        except BaseException as error:
            self._give_up({("one", project, name, refresh): answers[name] for name in mine}, error)
            raise
        return {name: answer.result() for name, answer in answers.items()}

    def _shared(self, key: Hashable, read: Callable[[], _T]) -> _T:
        return self._kept(key, read) if self._keep else self._next(key, read)

    def _next(self, key: Hashable, read: Callable[[], _T]) -> _T:
        """The next answer, which is asked for as soon as the one that is on its way has come."""
        mine: Future[_T] = Future()
        with self._lock:
            others: Future[_T] | None = self._asked.get(key)
            if others is None:
                self._asked[key] = mine
            before = self._answers.get(key)
        if others is not None:
            return others.result()
        if before is not None:
            wait([before])
        with self._lock:
            del self._asked[key]
            self._answers[key] = mine
        try:
            mine.set_result(read())
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                if self._answers.get(key) is mine:
                    del self._answers[key]
        return mine.result()

    def _kept(self, key: Hashable, read: Callable[[], _T]) -> _T:
        with self._lock:
            answer: Future[_T] | None = self._answers.get(key)
            mine: Future[_T] = Future()
            if answer is None:
                self._answers[key] = mine
        if answer is not None:
            return answer.result()
        try:
            mine.set_result(read())
        except AmpersandError as error:
            mine.set_exception(error)
        except BaseException as error:
            self._give_up({key: mine}, error)
            raise
        return mine.result()

    def _give_up(self, answers: Mapping[Hashable, Future[Any]], error: BaseException) -> None:
        """Let nobody wait for an answer that won't come, nor find it later."""
        with self._lock:
            for key, answer in answers.items():
                if not answer.done():
                    answer.set_exception(error)
                if self._answers.get(key) is answer:
                    del self._answers[key]
