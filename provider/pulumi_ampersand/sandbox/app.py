"""The web application: the API's calls, answered from a `State`.

The application routes on the path as sent, still percent-encoded, so that a project name which holds ``/`` or ``?``
stays one segment, as it does for the API.
"""

import hmac
from collections.abc import Mapping, MutableMapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pulumi_ampersand.sandbox import credentials
from pulumi_ampersand.sandbox.control import PREFIX, create_control
from pulumi_ampersand.sandbox.fault_answers import ANSWERS, Application, Exchange, GoneError, Message, Receive, Send
from pulumi_ampersand.sandbox.problems import PROBLEM_TYPE, issue, problem
from pulumi_ampersand.sandbox.state import State
from pulumi_ampersand.sandbox.store import encode

WIRE = "wire"
"""Under this name the request's ASGI state holds the TCP connection, a `fault_answers.Wire`."""

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def create_app(state: State) -> Application:
    """The application that answers from `state`, with the control paths under ``/_sandbox``."""
    api, control = _create_api(state), create_control(state)

    async def application(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["raw_path"].decode("ascii")
        # Starlette routes on the decoded path, in which an encoded slash would divide a segment.
        scope["path"] = path
        if path.startswith(PREFIX):
            await control(scope, receive, send)
        else:
            await _answer(state, api, scope, receive, send)

    return application


async def _answer(
    state: State, api: Application, scope: MutableMapping[str, Any], receive: Receive, send: Send
) -> None:
    headers = dict(scope["headers"])
    key = headers.get(b"x-api-key", b"")
    record = state.log.arrived(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True)),
        key_ok=hmac.compare_digest(key, state.api_key.encode()),
        user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
    )

    async def noting_status(message: Message) -> None:
        # Before the client can have seen it: a test may look into the log as soon as it has its answer.
        if message["type"] == "http.response.start":
            state.log.note(record.number, status=message["status"])
        await send(message)

    scope["state"].update(number=record.number, key=key, key_ok=record.key_ok)
    try:
        fault = state.faults.strike(record.kind)
        if fault is None:
            await api(scope, receive, noting_status)
            return
        state.log.note(record.number, fault=fault.text)
        exchange = Exchange(
            application=api,
            scope=scope,
            receive=receive,
            send=noting_status,
            wire=scope["state"][WIRE],
            number=record.number,
            key=key.decode("latin-1"),
        )
        try:
            await ANSWERS[fault.name](fault, exchange)
            if fault.name in {"cut-off", "reset", "hang-up"}:
                await exchange.gone()
        except GoneError:
            pass
    finally:
        state.log.ended()


def _create_api(state: State) -> Application:
    async def projects(request: Request) -> Response:
        _check_key(request)
        return _json(encode(state.store.projects()))

    async def list_connections(request: Request) -> Response:
        _check_key(request)
        project = _project(state, request)
        if state.list_body is not None:
            return _json(state.list_body)
        filters = [request.query_params.get(name) for name in ("provider", "groupRef", "consumerRef")]
        return _json(state.store.list_text(project, filters, with_credentials=state.list_credentials))

    async def one_connection(request: Request) -> Response:
        _check_key(request)
        project = _project(state, request)
        access, refresh = _truth(request, "includeCreds"), _truth(request, "includeRefreshToken")
        when = request.query_params.get("refresh")
        if when not in {None, "force", "ifExpired"}:
            raise _invalid(request, 400, issue("query", "refresh", "must be force or ifExpired", str(when)))
        now = datetime.now(timezone.utc)
        with state.store.lock:
            connection = _connection(state, request, project)
            if when == "force" or (when == "ifExpired" and credentials.has_expired(connection, now)):
                connection = credentials.refreshed(connection, now)
                state.store.replace(project, connection)
        return _json(encode(credentials.shown(connection, access=access, refresh=refresh)))

    async def oauth_update(request: Request) -> Response:
        _check_key(request)
        project = _project(state, request)
        connection = _connection(state, request, project)
        if not str(connection.get("authScheme", "")).startswith("oauth2/authorizationCode"):
            detail = "only a connection that uses an OAuth authorization code can be re-authorised"
            raise _invalid(request, 400, issue("path", "connectionId", detail, connection["id"]))
        ticket = state.consent_ticket(project, connection["id"])
        return PlainTextResponse(f"{request.base_url}{PREFIX.strip('/')}/consent/{ticket}")

    return Starlette(
        routes=[
            Route("/v1/projects", projects),
            Route("/v1/projects/{project}/connections", list_connections),
            Route("/v1/projects/{project}/connections/{connection}:oauth-update", oauth_update, methods=["PATCH"]),
            Route("/v1/projects/{project}/connections/{connection}", one_connection),
        ],
        exception_handlers={_RefusedError: _refusal, HTTPException: _no_such_call},
    )


class _RefusedError(Exception):
    """The request is answered with a problem document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(document["detail"])
        self.document = document


async def _refusal(_: Request, exc: Exception) -> Response:
    document = exc.document if isinstance(exc, _RefusedError) else {}
    return Response(encode(document), status_code=document["status"], media_type=PROBLEM_TYPE)


async def _no_such_call(request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    headers = exc.headers if isinstance(exc, HTTPException) else None
    if not request.state.key_ok:
        return await _refusal(request, _bad_key(request))
    document = problem(
        status,
        f"The API has no {request.method} {request.url.path}.",
        request=request.state.number,
        remedy="Check the API's root: it ends before /v1.",
    )
    return Response(encode(document), status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def _check_key(request: Request) -> None:
    if not request.state.key_ok:
        raise _bad_key(request)


def _bad_key(request: Request) -> _RefusedError:
    detail = "The API key is not valid." if request.state.key else "The request has no API key."
    remedy = "Send a valid API key in the header X-Api-Key."
    return _RefusedError(problem(401, detail, request=request.state.number, remedy=remedy))


def _project(state: State, request: Request) -> str:
    name = unquote(request.path_params["project"])
    if not state.store.has_project(name):
        raise _invalid(request, 404, issue("path", "projectIdOrName", "no project has this id or name", name))
    return name


def _connection(state: State, request: Request, project: str) -> Mapping[str, Any]:
    connection_id = unquote(request.path_params["connection"])
    connection = state.store.connection(project, connection_id)
    if connection is None:
        detail = "the project has no such connection"
        raise _invalid(request, 404, issue("path", "connectionId", detail, connection_id))
    return connection


def _truth(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in _TRUTHS:
        raise _invalid(request, 400, issue("query", name, "must be true or false", text))
    return _TRUTHS[text]


def _invalid(request: Request, status: int, wrong: Mapping[str, str]) -> _RefusedError:
    detail = f"{wrong['name']}: {wrong['detail']}."
    document = problem(status, detail, request=request.state.number, remedy=f"Check {wrong['name']}.", issues=[wrong])
    return _RefusedError(document)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
