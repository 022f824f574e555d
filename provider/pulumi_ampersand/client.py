"""The Ampersand API: one `Client` method for each call.

How a call is made, and what can go wrong with it, is in `pulumi_ampersand.exchange`; what an answer means, in
`pulumi_ampersand.answers`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import httpx

from pulumi_ampersand.answers import read_connection, read_connections, read_projects
from pulumi_ampersand.errors import AnswerError, SettingsError
from pulumi_ampersand.exchange import Exchange, Limits, encodable
from pulumi_ampersand.model import Connection, Observation, Project
from pulumi_ampersand.settings import Access
from pulumi_ampersand.terminal import one_line

if TYPE_CHECKING:
    from typing_extensions import Self

_T = TypeVar("_T")


class Client:
    """A client for one API root and key. Safe to share between threads; close it, or use it in a ``with`` statement.

    Args:
        access: The API key and root.
        limits: The bounds of each call.
        transport: An httpx transport to use instead of the network.
        sleep: Waits that many seconds before a repetition.
        clock: A clock in seconds that never goes back.
        now: The time of day, to which the API's "not before" times are compared.

    Raises:
        SettingsError: The environment's proxy or certificate settings can't be used.
    """

    def __init__(  # noqa: PLR0913 - clock, sleep and transport are the edges that tests take the place of
        self,
        access: Access,
        *,
        limits: Limits | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._root = access.api_url
        self._exchange = Exchange(
            access, limits=limits or Limits(), transport=transport, sleep=sleep, clock=clock, now=now
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections to the server."""
        self._exchange.close()

    def list_connections(
        self,
        project: str,
        *,
        provider: str | None = None,
        group_ref: str | None = None,
        consumer_ref: str | None = None,
    ) -> list[tuple[Connection, Observation]]:
        """All connections of a project that match every filter given, in the API's order.

        Args:
            project: The project's ID or name.
            provider: Only connections to this provider, "salesforce" for example.
            group_ref: Only connections of this group (the customer).
            consumer_ref: Only connections of this consumer (the customer's user).

        Raises:
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        doing = f'reading connections of project "{project}"'
        params = {"provider": provider, "groupRef": group_ref, "consumerRef": consumer_ref}
        body = self._exchange.call("GET", f"/v1/projects/{_segment(project, 'a project')}/connections", doing, params)
        return self._read(read_connections, body, doing)

    def get_connection(
        self, project: str, connection_id: str, *, include_credentials: bool = False
    ) -> tuple[Connection, Observation]:
        """One connection.

        Args:
            project: The project's ID or name.
            connection_id: The connection's ID.
            include_credentials: Ask for both tokens, so that their times, the granted scopes and whether there is a
                refresh token at all become known. The tokens themselves are dropped while parsing.

        Raises:
            NotFoundError: There is no such project or connection.
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        doing = f'reading connection "{connection_id}" of project "{project}"'
        params = {"includeRefreshToken": "true"} if include_credentials else {}
        body = self._exchange.call("GET", _connection_path(project, connection_id), doing, params)
        return self._read(lambda data: read_connection(data, refresh_token_told=include_credentials), body, doing)

    def list_projects(self) -> list[Project]:
        """The projects that the key can read.

        Raises:
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        doing = "listing projects"
        return self._read(read_projects, self._exchange.call("GET", "/v1/projects", doing), doing)

    def reauthorization_url(self, project: str, connection_id: str) -> str:
        """A link at which the customer authorises the connection again.

        It is for that customer alone: treat it as confidential.

        Raises:
            NotFoundError: There is no such project or connection.
            AmpersandError: See `pulumi_ampersand.errors`.
        """
        doing = f'making a re-authorisation link for connection "{connection_id}" of project "{project}"'
        body = self._exchange.call("PATCH", f"{_connection_path(project, connection_id)}:oauth-update", doing)
        return self._read(_link, body, doing)

    def _read(self, read: Callable[[bytes], _T], body: bytes, doing: str) -> _T:
        try:
            return read(body)
        except AnswerError as error:
            check = "check that ampersand:apiUrl (or AMP_API_URL) is the API's root"
            raise AnswerError(f"{doing} at {self._root}: {error}; {check}") from None


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
