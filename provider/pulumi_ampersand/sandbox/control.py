"""Controlling a running sandbox over HTTP, for scripts and tests that run it as a command.

Answered to clients on the same computer only, and neither logged nor subject to faults:

- ``GET``, ``PUT /_sandbox/faults``: a JSON array of faults, written as in `pulumi_ampersand.sandbox.faults`; ``GET``
  shows those that may still strike.
- ``GET``, ``DELETE /_sandbox/requests``: the requests so far, as a JSON array of objects (see
  `request_log.RequestRecord`).
- ``PUT /_sandbox/connections[?project=NAME]``: a JSON array that replaces a project's connections, the first project's
  unless named; times may be written as in `times`.
- ``PATCH /_sandbox/connections/ID``: a JSON object whose fields replace those of one connection.
- ``PUT /_sandbox/api-key``: a JSON text, the key that is accepted from now on.
- ``GET /_sandbox/consent/TICKET``: the page that the re-authorisation link leads to; opening it renews the connection.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pulumi_ampersand.sandbox import credentials
from pulumi_ampersand.sandbox.data import of_connections
from pulumi_ampersand.sandbox.errors import SandboxError
from pulumi_ampersand.sandbox.fault_answers import Application, Receive, Send
from pulumi_ampersand.sandbox.state import State
from pulumi_ampersand.sandbox.times import resolve_all

PREFIX = "/_sandbox/"
"""What the paths of this module start with."""

_NAMES: Mapping[type[Any], str] = {list: "array", dict: "object", str: "text"}

Handler = Callable[[Request], Awaitable[Response]]


def create_control(state: State) -> Application:
    """The application behind the control paths."""
    application = Starlette(
        routes=[
            Route(PREFIX + "faults", _faults(state), methods=["GET", "PUT"]),
            Route(PREFIX + "requests", _requests(state), methods=["GET", "DELETE"]),
            Route(PREFIX + "connections", _connections(state), methods=["PUT"]),
            Route(PREFIX + "connections/{connection}", _connection(state), methods=["PATCH"]),
            Route(PREFIX + "api-key", _api_key(state), methods=["PUT"]),
            Route(PREFIX + "consent/{ticket}", _consent(state), methods=["GET"]),
        ],
        exception_handlers={SandboxError: _refusal},
    )

    async def local_only(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client is None or not _is_loopback(client[0]):
            refusal = PlainTextResponse("The sandbox is controlled from its own computer only.\n", status_code=403)
            await refusal(scope, receive, send)
            return
        await application(scope, receive, send)

    return local_only


def _faults(state: State) -> Handler:
    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            state.faults.set(await _body(request, list))
        return JSONResponse([fault.text for fault in state.faults.faults])

    return faults


def _requests(state: State) -> Handler:
    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            state.log.clear()
        return JSONResponse([asdict(record) for record in state.log.records])

    return requests


def _connections(state: State) -> Handler:
    async def connections(request: Request) -> Response:
        project = request.query_params.get("project", state.store.first_project)
        data = of_connections(await _body(request, list), state.started)
        state.store.set_connections(project, data.connections)
        return JSONResponse({"connections": len(data.connections)})

    return connections


def _connection(state: State) -> Handler:
    async def connection(request: Request) -> Response:
        fields = await _body(request, dict)
        try:
            state.store.update(unquote(request.path_params["connection"]), resolve_all(fields, state.started))
        except ValueError as exc:
            raise SandboxError(str(exc)) from exc
        return JSONResponse({"connections": 1})

    return connection


def _api_key(state: State) -> Handler:
    async def api_key(request: Request) -> Response:
        state.rotate(await _body(request, str))
        return Response(status_code=204)

    return api_key


def _consent(state: State) -> Handler:
    async def consent(request: Request) -> Response:
        found = state.redeem(request.path_params["ticket"])
        if found is None:
            return PlainTextResponse("This link has been used already: ask for another.\n", status_code=410)
        project, connection_id = found
        with state.store.lock:
            connection = state.store.connection(project, connection_id)
            if connection is None:
                return PlainTextResponse("This connection is gone.\n", status_code=410)
            state.store.replace(project, credentials.reauthorised(connection, datetime.now(timezone.utc)))
        return PlainTextResponse(f"Thank you: {connection_id} is authorised again.\n")

    return consent


async def _body(request: Request, kind: type[Any]) -> Any:
    try:
        value = json.loads(await request.body())
    except ValueError as exc:
        raise SandboxError(f"the body is not JSON: {exc}") from exc
    if not isinstance(value, kind):
        raise SandboxError(f"the body must be a JSON {_NAMES[kind]}")
    return value


async def _refusal(_: Request, exc: Exception) -> Response:
    return PlainTextResponse(f"{exc}\n", status_code=400)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
