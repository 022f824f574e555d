"""The Ampersand API: one method for each call, blocking in a `Client`, awaited in an `AsyncClient`.

How a call is made, and what can go wrong with it, is in `pulumi_ampersand.exchange`; what an answer means, in
`pulumi_ampersand.answers`; what a list leaves out, in `pulumi_ampersand.details`.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import httpx

from pulumi_ampersand.answers import AccessToken, read_access_token, read_connection, read_connections, read_projects
from pulumi_ampersand.details import Refresh, checked_refresh, completed, wanted
from pulumi_ampersand.errors import AmpersandError, AnswerError, SettingsError
from pulumi_ampersand.exchange import Exchange, Limits, encodable
from pulumi_ampersand.model import Found, Project
from pulumi_ampersand.network import awaiting, blocking
from pulumi_ampersand.network import completed as run
from pulumi_ampersand.settings import Access, Details, checked_details
from pulumi_ampersand.terminal import harmless, one_line

if TYPE_CHECKING:
    from typing_extensions import Self

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Calls:
    """The calls, over a network of either kind. `Client` and `AsyncClient` have the same methods.

    Args:
        exchange: What makes them.
        root: The API's root, for errors.
    """

    def __init__(self, exchange: Exchange, root: str) -> None:
        self._exchange = exchange
        self._root = root

    async def aclose(self) -> None:
        """Give back the connections to the server."""
        await self._exchange.close()

    async def list_connections(  # noqa: PLR0913 - a filter is an argument
        self,
        project: str,
        *,
        provider: str | None = None,
        group_ref: str | None = None,
        consumer_ref: str | None = None,
        details: Details = "auto",
        refresh: Refresh | None = None,
    ) -> list[Found]:
        """All connections of a project that match every filter given, in the API's order, and how each was found.

        Args:
            project: The project's ID or name.
            provider: Only connections to this provider, "salesforce" for example.
            group_ref: Only connections of this group (the customer).
            consumer_ref: Only connections of this consumer (the customer's user).
            details: Whether to ask for connections one by one for what the list leaves out, granted scopes and token
                times: ``auto`` where an OAuth connection lacks them, for 1,000 at the most; ``always``; ``never``.
                A connection that can't be read has a gap ``details`` with the reason.
            refresh: ``ifExpired`` refreshes access tokens that have expired, which changes the connections.

        Raises:
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        checked_refresh(refresh, checked_details(details))  # before anything is asked
        doing = f'reading connections of project "{project}"'
        params = {"provider": provider, "groupRef": group_ref, "consumerRef": consumer_ref}
        path = f"/v1/projects/{_segment(project, 'a project')}/connections"
        found = self._read(read_connections, await self._exchange.call("GET", path, doing, params), doing)
        return await self.with_details(project, found, details=details, refresh=refresh)

    async def with_details(
        self, project: str, found: Sequence[Found], *, details: Details = "auto", refresh: Refresh | None = None
    ) -> list[Found]:
        """Connections of a list, in its order, with what it leaves out; see `list_connections`.

        Args:
            project: The project's ID or name.
            found: What `list_connections` gave.
            details: See `list_connections`.
            refresh: See `list_connections`.

        Raises:
            SettingsError: ``details`` or ``refresh`` is none that there is.
        """
        checked_refresh(refresh, checked_details(details))
        chosen = wanted(found, details, refresh, self._exchange.now())
        told = await self.get_several(project, chosen.ids, refresh=refresh)
        return completed(found, told, chosen)

    async def get_several(
        self, project: str, connection_ids: Sequence[str], *, refresh: Refresh | None = None
    ) -> dict[str, Found | AmpersandError]:
        """Connections by their IDs, with details, as many at once as the settings allow.

        One deadline holds for all of them together, and an answer 429 slows all of them down.

        Args:
            project: The project's ID or name.
            connection_ids: The connections' IDs.
            refresh: ``ifExpired`` refreshes access tokens that have expired, which changes the connections.

        Returns:
            Each connection under its ID, or why it could not be read.
        """
        told: dict[str, Found | AmpersandError] = {}
        if connection_ids:
            deadline = self._exchange.deadline()

            async def ask(name: str) -> None:
                try:
                    told[name] = await self._get(project, name, "always", refresh, deadline)
                except AmpersandError as error:
                    told[name] = error

            await self._exchange.each(list(dict.fromkeys(connection_ids)), ask)
        return told

    async def get_connection(
        self, project: str, connection_id: str, *, details: Details = "auto", refresh: Refresh | None = None
    ) -> Found:
        """One connection, and how it was found.

        Args:
            project: The project's ID or name.
            connection_id: The connection's ID.
            details: ``auto`` and ``always`` ask for both tokens, so that their times, the granted scopes and whether
                there is a refresh token at all become known; the tokens themselves are dropped while parsing.
                ``never`` doesn't.
            refresh: ``ifExpired`` refreshes an access token that has expired, which changes the connection.

        Raises:
            NotFoundError: There is no such project or connection.
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        checked_refresh(refresh, checked_details(details))
        return await self._get(project, connection_id, details, refresh, None)

    async def _get(
        self, project: str, connection_id: str, details: Details, refresh: Refresh | None, deadline: float | None
    ) -> Found:
        doing = f'reading connection "{connection_id}" of project "{project}"'
        told = details != "never"
        params = {"includeRefreshToken": "true" if told else None, "refresh": refresh}
        path = _connection_path(project, connection_id)
        found = self._read(
            lambda data: read_connection(data, refresh_token_told=told),
            await self._exchange.call("GET", path, doing, params, deadline=deadline),
            doing,
        )
        if found[0].id != harmless(encodable(connection_id)):
            raise AnswerError(f'{doing} at {self._root}: the API sent connection "{found[0].id}" instead')
        return found

    async def get_access_token(
        self, project: str, connection_id: str, *, refresh: Refresh | None = None
    ) -> AccessToken:
        """A connection's access token, inside an object that doesn't show it: ``reveal()`` gives it.

        Args:
            project: The project's ID or name.
            connection_id: The connection's ID.
            refresh: ``ifExpired`` refreshes it first if it has expired, which changes the connection.

        Raises:
            NotFoundError: There is no such project or connection.
            AnswerError: The connection has no access token.
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        checked_refresh(refresh, None)
        doing = f'reading the access token of connection "{connection_id}" of project "{project}"'
        params = {"includeCreds": "true", "refresh": refresh}
        path = _connection_path(project, connection_id)
        return self._read(
            read_access_token,
            await self._exchange.call("GET", path, doing, params),
            doing,
            "check the connection's provider and ID",
        )

    async def list_projects(self) -> list[Project]:
        """The projects that the key can read.

        Raises:
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        doing = "listing projects"
        return self._read(read_projects, await self._exchange.call("GET", "/v1/projects", doing), doing)

    async def reauthorization_url(self, project: str, connection_id: str) -> str:
        """A link at which the customer authorises the connection again.

        It is for that customer alone: treat it as confidential.

        Raises:
            NotFoundError: There is no such project or connection.
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        doing = f'making a re-authorisation link for connection "{connection_id}" of project "{project}"'
        path = f"{_connection_path(project, connection_id)}:oauth-update"
        return self._read(_link, await self._exchange.call("PATCH", path, doing), doing)

    def _read(
        self,
        read: Callable[[bytes], _T],
        body: bytes,
        doing: str,
        check: str = "check that ampersand:apiUrl (or AMP_API_URL) is the API's root",
    ) -> _T:
        try:
            return read(body)
        except AnswerError as error:
            text = f"{doing} at {self._root}: {error}; {check}"
        # Raised outside, and without the answer, for crash reporters show what the frames of an error hold.
        del body
        raise AnswerError(text)


class AsyncClient(Calls):
    """A client for callers with an event loop of their own (asyncio); use it in an ``async with`` statement.

    ::

        async with AsyncClient(Settings().resolve({}, os.environ)) as client:
            found = await client.list_connections("crm")

    Args:
        access: The API key and root, and how to get there.
        limits: The bounds of each call.
        transport: An httpx transport to use instead of the network.
        sleep: Waits that many seconds before a repetition.
        clock: A clock in seconds that never goes back.
        now: The time of day, to which the API's "not before" times are compared.

    Raises:
        SettingsError: The proxy or certificate settings can't be used.
    """

    def __init__(  # noqa: PLR0913 - clock, sleep and transport are the edges that tests take the place of
        self,
        access: Access,
        *,
        limits: Limits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _now,
    ) -> None:
        connect = functools.partial(awaiting, transport=transport, sleep=sleep)
        super().__init__(Exchange(access, limits=limits, connect=connect, clock=clock, now=now), access.api_url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _method(call: Callable[Concatenate[Calls, _P], Coroutine[Any, Any, _T]]) -> Callable[Concatenate[Client, _P], _T]:
    @functools.wraps(call)
    def blocks(client: Client, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return run(call(client._calls, *args, **kwargs))  # noqa: SLF001 - part of the class

    return blocks


class Client:
    """A client whose calls block. Safe to share between threads; close it, or use it in a ``with`` statement.

    ::

        with Client(Settings().resolve({}, os.environ)) as client:
            found = client.list_connections("crm")

    Args:
        access: The API key and root, and how to get there.
        limits: The bounds of each call.
        transport: An httpx transport to use instead of the network.
        sleep: Waits that many seconds before a repetition.
        clock: A clock in seconds that never goes back.
        now: The time of day, to which the API's "not before" times are compared.

    Raises:
        SettingsError: The proxy or certificate settings can't be used.
    """

    def __init__(  # noqa: PLR0913 - see AsyncClient
        self,
        access: Access,
        *,
        limits: Limits | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _now,
    ) -> None:
        connect = functools.partial(blocking, transport=transport, sleep=sleep)
        self._calls = Calls(Exchange(access, limits=limits, connect=connect, clock=clock, now=now), access.api_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    close = _method(Calls.aclose)
    list_connections = _method(Calls.list_connections)
    with_details = _method(Calls.with_details)
    get_several = _method(Calls.get_several)
    get_connection = _method(Calls.get_connection)
    get_access_token = _method(Calls.get_access_token)
    list_projects = _method(Calls.list_projects)
    reauthorization_url = _method(Calls.reauthorization_url)


def _connection_path(project: str, connection_id: str) -> str:
    return f"/v1/projects/{_segment(project, 'a project')}/connections/{_segment(connection_id, 'a connection')}"


def _link(body: bytes) -> str:
    """The link in an answer, which is plain text; JSON text, in which an ``&`` may be escaped, is understood, too."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith('"'):
        try:
            text = json.loads(text)
        except ValueError:
            text = ""
    if not text.startswith(("https://", "http://")) or text != one_line(text) or " " in text:
        raise AnswerError("the API's answer is no link")
    return text


def _segment(name: str, what: str) -> str:
    """Encode a name as exactly one segment of a path.

    Raises:
        SettingsError: The name can't be one: it is empty, or a dot segment, which every URL library resolves away.
    """
    if name in {"", ".", ".."}:
        raise SettingsError(f'{what} can\'t be named "{name}"')
    return quote(encodable(name), safe="")
