"""The client against real servers: what it asks, what it repeats, what it bounds, and what it never shows."""

import asyncio
import gc
import gzip
import inspect
import json
import logging
import pickle
import random
import socket
import threading
import time
import traceback
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec
import pytest

from clients import CLIENTS, KEY, Awaited, Connect, FakeTime, blocking
from pulumi_ampersand import __version__
from pulumi_ampersand.client import AsyncClient, Client
from pulumi_ampersand.errors import (
    AmpersandError,
    AnswerError,
    ApiError,
    AuthenticationError,
    DeadlineExceededError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransportError,
)
from pulumi_ampersand.exchange import Limits
from pulumi_ampersand.model import Connection, Observation
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand.settings import DETAILS, Access, ApiKey
from raw_server import CERTIFICATE, RawServer, answer

HOSTILE_NAME = "a/../b?c#d&e=f%2F é"
PROBLEM = "application/problem+json"
BACKOFF = [(0.5, 1.0), (1.0, 1.5), (2.0, 2.5), (4.0, 4.5)]
"""The bounds of each wait in seconds."""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback servers are reached directly, whatever the environment says."""
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def _api() -> Iterator[Sandbox]:
    projects = [Project(), Project(id="proj_odd", name=HOSTILE_NAME)]
    with Sandbox("mixed", api_key=KEY, projects=projects) as running:
        yield running


@pytest.fixture
def api(_api: Sandbox) -> Sandbox:
    """The API, as it is at first."""
    _api.reset()
    return _api


@pytest.fixture
def fake() -> FakeTime:
    """A clock that only moves when somebody sleeps."""
    return FakeTime()


@pytest.fixture(params=list(CLIENTS.values()), ids=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> Connect:
    """Makes clients of each kind."""
    connect: Connect = request.param
    return connect


Call = Callable[[Client], object]

CALLS: dict[str, Call] = {
    "list": lambda client: client.list_connections("quickstart", details="never"),
    "one": lambda client: client.get_connection("quickstart", "conn_aster_hubspot", details="always"),
    "projects": lambda client: client.list_projects(),
    "reauth": lambda client: client.reauthorization_url("quickstart", "conn_aster_hubspot"),
}
READS = {name: call for name, call in CALLS.items() if name != "reauth"}

every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
every_read = pytest.mark.parametrize("call", READS.values(), ids=READS)


def failure(call: Call, using: Client) -> AmpersandError:
    """The error that a call ends with."""
    with using, pytest.raises(AmpersandError) as caught:
        call(using)
    return caught.value


# What is asked for.


def test_a_list_is_read_in_the_apis_order(client: Connect, api: Sandbox) -> None:
    """All connections of the project, with one request that has the key and says who asks."""
    with client(api) as using:
        found = using.list_connections("quickstart", details="never")
    assert [connection.id for connection, _ in found] == [entry["id"] for entry in api.connections]
    (request,) = api.requests
    assert (request.kind, request.path, request.query) == ("list", "/v1/projects/quickstart/connections", {})
    assert request.key_ok
    assert request.user_agent == f"pulumi-ampersand/{__version__}"


def test_filters_become_query_parameters(client: Connect, api: Sandbox) -> None:
    """Each filter narrows the list; what isn't given isn't sent."""
    with client(api) as using:
        found = using.list_connections("quickstart", provider="salesforce", details="never")
        assert {connection.provider for connection, _ in found} == {"salesforce"}
        group = found[0][0].group
        consumer = found[0][0].consumer
        assert group is not None
        assert consumer is not None
        found = using.list_connections(
            "quickstart", provider="salesforce", group_ref=group.ref, consumer_ref=consumer.ref
        )
    assert all(connection.group == group for connection, _ in found)
    assert [request.query for request in api.requests] == [
        {"provider": "salesforce"},
        {"provider": "salesforce", "groupRef": group.ref, "consumerRef": consumer.ref},
    ]


def test_one_connection_is_read_with_and_without_credentials(client: Connect, api: Sandbox) -> None:
    """Only a call that asks for both tokens can tell that there is no refresh token."""
    with client(api) as using:
        plain = using.get_connection("quickstart", "conn_aster_hubspot", details="never")
        told = using.get_connection("quickstart", "conn_aster_hubspot", details="always")
        assert using.get_connection("quickstart", "conn_aster_hubspot") == told
    assert plain[0].id == told[0].id == "conn_aster_hubspot"
    assert plain[1].refresh_token is msgspec.UNSET
    assert told[1].refresh_token is not msgspec.UNSET
    assert told[1].access_token is not None
    assert [request.query for request in api.requests] == [{}, *[{"includeRefreshToken": "true"}] * 2]


def test_a_refresh_token_that_the_api_lacks_is_absent(client: Connect, api: Sandbox) -> None:
    """Asked for both tokens, the API sends none: there is none."""
    grant = {"accessToken": {"token": "t"}, "scopes": []}
    api.connections = [{"id": "c", "provider": "p", "status": "working", "oauth2AuthorizationCode": grant}]
    with client(api) as using:
        assert using.get_connection("quickstart", "c", details="always")[1].refresh_token is None
        assert using.get_connection("quickstart", "c")[1].refresh_token is None
        assert using.get_connection("quickstart", "c", details="never")[1].refresh_token is msgspec.UNSET


def test_another_connection_than_asked_for_is_an_error(client: Connect, fake: FakeTime) -> None:
    """A proxy that mixes up answers must not have one customer judged by another's connection."""
    with (
        RawServer(answer(b'{"id": "b", "provider": "p", "status": "working"}')) as server,
        client(server, fake) as using,
    ):
        for details in DETAILS:
            with pytest.raises(AnswerError) as caught:
                using.get_connection("crm", "a", details=details)
            doing = f'reading connection "a" of project "crm" at {server.url}'
            assert str(caught.value) == f'{doing}: the API sent connection "b" instead'
    assert fake.waits == []


def test_an_access_token_is_read_on_purpose(client: Connect, api: Sandbox) -> None:
    """With one call that asks for it, into an object that shows it only to those who ask."""
    grant = {"accessToken": {"token": "CANARY-access", "expiresAt": "2000-01-01T00:00:00Z"}, "scopes": []}
    grant["refreshToken"] = {"token": "CANARY-refresh"}
    api.connections = [
        {
            "id": "c",
            "provider": "p",
            "status": "working",
            "authScheme": "oauth2/authorizationCode",
            "oauth2AuthorizationCode": grant,
        },
        {"id": "k", "provider": "p", "status": "working", "authScheme": "apiKey", "apiKey": "CANARY-key"},
    ]
    with client(api) as using:
        token = using.get_access_token("quickstart", "c")
        renewed = using.get_access_token("quickstart", "c", refresh="ifExpired")
        with pytest.raises(AnswerError) as caught:
            using.get_access_token("quickstart", "k")
    assert token.reveal() == "CANARY-access"
    assert renewed.reveal() not in {"", "CANARY-access"}
    assert "CANARY" not in f"{token!r} {token}"
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(token)
    assert str(caught.value) == (
        f'reading the access token of connection "k" of project "quickstart" at {api.url}: '
        "the API gave no access token for it (authScheme apiKey); check the connection's provider and ID"
    )
    assert [request.query for request in api.requests] == [
        {"includeCreds": "true"},
        {"includeCreds": "true", "refresh": "ifExpired"},
        {"includeCreds": "true"},
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"details": "yes"}, "details must be auto, always or never"),
        ({"details": None}, "details must be auto, always or never"),
        ({"details": "allways"}, 'details must be auto, always or never (did you mean "always"?)'),
        ({"refresh": "force"}, 'refresh must be "ifExpired", or left out'),
        ({"refresh": True}, 'refresh must be "ifExpired", or left out'),
        (
            {"refresh": "ifExpired", "details": "never"},
            'refresh="ifExpired" refreshes by the calls that details="never" forbids: leave out one',
        ),
    ],
    ids=str,
)
def test_what_is_no_way_to_read_is_refused(
    client: Connect, api: Sandbox, arguments: dict[str, Any], sentence: str
) -> None:
    """Before anything is sent, in every call that takes it."""
    found = [(Connection(id="a", provider="p", healthy=True), Observation("a", "working"))]
    with client(api) as using:
        calls: list[Callable[..., object]] = [
            lambda **ways: using.list_connections("quickstart", **ways),
            lambda **ways: using.get_connection("quickstart", "a", **ways),
            lambda **ways: using.with_details("quickstart", found, **ways),
        ]
        if arguments.keys() == {"refresh"}:
            calls.append(lambda **ways: using.get_access_token("quickstart", "a", **ways))
        for call in calls:
            with pytest.raises(SettingsError) as caught:
                call(**arguments)
            assert str(caught.value) == sentence
    assert api.requests == []


def test_projects_are_listed(client: Connect, api: Sandbox) -> None:
    """With their IDs and names."""
    with client(api) as using:
        found = using.list_projects()
    assert {(project.id, project.name) for project in found} == {
        ("proj_quickstart", "quickstart"),
        ("proj_odd", HOSTILE_NAME),
    }


def test_a_re_authorisation_link_is_made(client: Connect, api: Sandbox) -> None:
    """The link works once, for the connection that it was made for."""
    with client(api) as using:
        link = using.reauthorization_url("quickstart", "conn_tidewell_salesforce")
    (request,) = api.requests
    assert (request.kind, request.method) == ("reauth", "PATCH")
    assert "conn_tidewell_salesforce is authorised" in httpx.get(link, trust_env=False).text


LINK = "https://login.test/authorize?a=b&c=d%20e"


@pytest.mark.parametrize(
    "body", [LINK, f" {LINK}\n", json.dumps(LINK), json.dumps(LINK).replace("&", r"\u0026").replace("/", r"\/")]
)
def test_a_link_is_taken_from_text_and_from_json(body: str) -> None:
    """Encoders that escape ``&`` make no other link of it."""
    with RawServer(answer(body.encode(), content_type="text/plain")) as server, blocking(server) as using:
        assert using.reauthorization_url("p", "c") == LINK


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b"javascript:alert(1)",
        b"ftp://a.test",
        b'"https://a.test',
        b"https://a.test b",
        b"https://a.test\x1b[31m",
        b"https://a.test/\xe2\x80\xaecod",
        b"https://a.test/<{%fg 1%}>",
        b"<html>https://a.test</html>",
    ],
    ids=ascii,
)
def test_what_is_no_link_is_an_error(body: bytes) -> None:
    """Whoever opens the link must not be led astray; the answer itself isn't shown."""
    with RawServer(answer(body, content_type="text/plain")) as server:
        error = failure(CALLS["reauth"], blocking(server))
        assert type(error) is AnswerError
        assert "the API's answer is no link" in str(error)
        assert "a.test" not in str(error)


def test_the_key_is_a_header_and_nothing_else(client: Connect) -> None:
    """It stands in ``X-Api-Key`` once, not in the path, and compression is asked for once."""
    with RawServer(answer(b"[]")) as server, client(server) as using:
        using.list_connections("crm", provider="x", details="never")
    (request,) = server.requests
    lines = request.split("\r\n")
    assert lines[0] == "GET /v1/projects/crm/connections?provider=x HTTP/1.1"
    assert [line.lower() for line in lines if KEY in line] == [f"x-api-key: {KEY}".lower()]
    assert "accept-encoding: gzip" in request.lower().split("\r\n")


def test_a_root_may_have_a_path(client: Connect) -> None:
    """An API behind a gateway is found below it."""
    with RawServer(answer(b"[]")) as server, client(f"{server.url}/gate/ampersand") as using:
        using.list_projects()
    assert server.requests[0].startswith("GET /gate/ampersand/v1/projects HTTP/1.1\r\n")


# Names and filters stay what they are.

ODD_NAMES = [
    HOSTILE_NAME,
    "a/../b?c",
    "..%2f..",
    "%2e%2e",
    "...",
    "a/..",
    "/",
    "//evil.test",
    "a:oauth-update",
    "a;b=c",
    "a\\b",
    "a b\r\nX-Evil: 1",
    "株式会社🚀",
    "@:[]!$&'()*+,=~",
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_name_is_one_segment_of_the_path(client: Connect, name: str) -> None:
    """Whatever is in it, it neither ends the segment nor leaves it."""
    calls: list[tuple[Call, str, str]] = [
        (lambda client: client.list_connections(name, details="never"), "[]", "/v1/projects/{}/connections"),
        (
            lambda client: client.get_connection("p", name, details="never"),
            json.dumps({"id": name, "provider": "p", "status": "s"}),
            "/v1/projects/p/connections/{}",
        ),
        (lambda client: client.reauthorization_url(name, "c"), LINK, "/v1/projects/{}/connections/c:oauth-update"),
    ]
    for call, body, path in calls:
        with RawServer(answer(body.encode())) as server, client(server) as using:
            call(using)
        (request,) = server.requests
        target = request.split(" ")[1]
        before, after = path.split("{}")
        assert target.startswith(before)
        assert target.endswith(after)
        segment = target[len(before) : len(target) - len(after)]
        assert not set(segment) & set("/?#\\:;@& \r\n")
        assert unquote(segment) == name
        assert "x-evil" not in request.lower().split("\r\n\r\n")[0].replace(target.lower(), "")


def test_a_project_with_an_odd_name_is_found(client: Connect, api: Sandbox) -> None:
    """A real server understands what is sent."""
    with client(api) as using:
        assert len(using.list_connections(HOSTILE_NAME, details="never")) == len(api.connections)
        assert using.get_connection(HOSTILE_NAME, "conn_aster_hubspot")[0].id == "conn_aster_hubspot"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_dot_segments_are_refused(client: Connect, api: Sandbox, name: str) -> None:
    """Every URL library would resolve them, and ask for something else: nothing is sent."""
    with client(api) as using:
        for call in (
            lambda: using.list_connections(name, details="never"),
            lambda: using.get_connection(name, "c"),
            lambda: using.get_connection("p", name),
            lambda: using.reauthorization_url("p", name),
        ):
            with pytest.raises(SettingsError, match="can't be named"):
                call()
    assert api.requests == []


@pytest.mark.parametrize("value", ["", " ", "a&provider=b", "a+b c%20", "#", "é🚀", "a\r\nX-Evil: 1", "\\", "=&;"])
def test_a_filter_arrives_as_it_is(client: Connect, api: Sandbox, value: str) -> None:
    """It can neither end the query nor add to it."""
    with client(api) as using:
        using.list_connections("quickstart", provider=value, group_ref=value, consumer_ref=value, details="never")
    assert api.requests[0].query == {"provider": value, "groupRef": value, "consumerRef": value}


def test_lone_surrogates_are_sent_as_they_are_read(client: Connect, api: Sandbox) -> None:
    """Text that can't be encoded has U+FFFD in its place, as in what the model reads."""
    with client(api) as using:
        using.list_connections("quickstart", group_ref="a\ud800\ude00b\ud800", details="never")
        with pytest.raises(NotFoundError):
            using.get_connection("quickstart", "c\udfff")
    assert api.requests[0].query == {"groupRef": "a\U00010200b\ufffd"}
    assert unquote(api.requests[1].path).endswith("/c\ufffd")


@pytest.mark.parametrize("root", ["http://[::1", "http://x.test:port", "http://x\x00.test"])
@every_call
def test_a_root_that_is_no_url_is_an_error(fake: FakeTime, call: Call, root: str) -> None:
    """Even where no setting was asked."""
    error = failure(call, blocking(root, fake))
    assert type(error) is SettingsError
    assert "ampersand:apiUrl (or AMP_API_URL) is no URL" in str(error)
    assert fake.waits == []


# Errors of the API.

STATUSES = {
    400: ApiError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ApiError,
    422: ApiError,
    429: RateLimitedError,
    500: ServerError,
    503: ServerError,
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
@every_call
def test_each_status_has_its_error(
    client: Connect, api: Sandbox, fake: FakeTime, *, call: Call, status: int, kind: type
) -> None:
    """With the API's own explanation, its request ID and where the request went."""
    api.faults = [f"{status},retryable=false"]
    error = failure(call, client(api, fake))
    assert type(error) is kind
    assert isinstance(error, ApiError)
    assert error.status == status
    assert error.detail == f"The sandbox was told to answer with {status}."
    assert error.request_id == f"sandbox#{api.requests[-1].number}"
    assert error.retryable is False
    assert f" at {api.url}: {status} The sandbox was told" in str(error)
    assert f"(request {error.request_id})" in str(error)
    assert len(str(error).splitlines()) == 1
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("call", "doing"),
    [
        (CALLS["list"], 'reading connections of project "quickstart"'),
        (CALLS["one"], 'reading connection "conn_aster_hubspot" of project "quickstart"'),
        (CALLS["projects"], "listing projects"),
        (CALLS["reauth"], 'making a re-authorisation link for connection "conn_aster_hubspot" of project "quickstart"'),
    ],
    ids=CALLS,
)
def test_every_error_says_what_failed_and_where(api: Sandbox, fake: FakeTime, call: Call, doing: str) -> None:
    """Refusals, broken answers and broken connections alike."""
    for fault in ("404", "503", "html,status=200", "hang-up"):
        api.faults = [fault]
        assert str(failure(call, blocking(api, fake))).startswith(f"{doing} at {api.url}: ")


@pytest.mark.parametrize(
    ("status", "remedy"),
    [(401, "pulumi config set --secret ampersand:apiKey"), (403, "may read this project"), (404, "ampersand:project")],
)
@pytest.mark.parametrize(
    "sent",
    [
        answer(b"", 401),
        answer(b"<html>CANARY</html>", 401, "text/html"),
        answer(b"{", 401, PROBLEM),
        answer(b"[]", 401, PROBLEM),
        answer(b'{"detail": 5, "title": [], "remedy": {}, "requestId": true, "issues": {}}', 401, PROBLEM),
        answer(b'{"detail": "CANARY"}', 401, "text/plain"),
        answer(b'{"message": "CANARY", "retryAfter": 5, "retryable": "yes", "issues": [5, {"in": 5}]}', 401),
        answer(b'{"detail": "CANARY', 401, PROBLEM, Content_Length="1000"),
        answer(b"5\r\n" + b"x" * 9, 401, PROBLEM, Transfer_Encoding="chunked"),
        answer(b"no gzip", 401, PROBLEM, Content_Encoding="gzip"),
        answer(b"{}", 401, PROBLEM, Content_Encoding="gzip, gzip"),
        answer(b'{"x": ' + b"[" * 60_000, 401, PROBLEM),
        answer(b'{"detail": "CANARY"' + b" " * 65_536 + b"}", 401, PROBLEM),
        answer(
            gzip.compress(b'{"detail": "' + b"CANARY" * 10_000_000 + b'"}', 1), 401, PROBLEM, Content_Encoding="gzip"
        ),
    ],
    ids=[
        "empty",
        "html",
        "cut",
        "array",
        "types",
        "text",
        "other",
        "short",
        "chunked",
        "ungzipped",
        "twice",
        "deep",
        "long",
        "bomb",
    ],
)
def test_without_a_problem_document_the_status_speaks(fake: FakeTime, sent: bytes, status: int, remedy: str) -> None:
    """A proxy's page isn't shown, a broken document hides nothing, and the remedy is ours."""
    sent = sent.replace(b"401 Unauthorized", f"{status} Whatever CANARY".encode())
    with RawServer(sent) as server:
        error = failure(CALLS["list"], blocking(server, fake))
    assert isinstance(error, ApiError)
    assert type(error) is STATUSES[status]
    assert error.detail in {"Unauthorized", "Forbidden", "Not Found"}
    assert remedy in str(error)
    assert "CANARY" not in str(error).replace(KEY, "")
    assert fake.waits == []
    assert len(server.requests) == 1


def problem(status: int = 400, **fields: Any) -> bytes:
    """An answer with a problem document."""
    return answer(json.dumps(fields).encode(), status, f"{PROBLEM}; charset=utf-8")


def test_a_refused_key_is_mended_here(fake: FakeTime) -> None:
    """The API's remedy can't know how its key gets here, so ours follows it."""
    with RawServer(problem(401, detail="No such key.", remedy="Send a key.")) as server:
        error = failure(CALLS["projects"], blocking(server, fake))
    run = "Run: pulumi config set --secret ampersand:apiKey <key> (or set AMP_API_KEY)"
    assert str(error) == f"listing projects at {server.url}: 401 No such key. Send a key. {run}"


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("ampersand:apiKey", "Run: pulumi config set --secret ampersand:apiKey <key> (or set AMP_API_KEY)"),
        ("AMP_API_KEY", "Set AMP_API_KEY"),
        ("ampersand:apiKeyEu", "Run: pulumi config set --secret ampersand:apiKeyEu <key>"),
        ("AMP_API_KEY_EU", "Set AMP_API_KEY_EU"),
    ],
)
def test_a_refused_key_is_mended_where_it_came_from(fake: FakeTime, source: str, how: str) -> None:
    """Where a program uses several keys, the error says which one is wrong."""
    with (
        RawServer(problem(401, detail="No such key.")) as server,
        Client(Access(ApiKey(KEY, source), server.url), sleep=fake.sleep) as using,
        pytest.raises(AuthenticationError) as caught,
    ):
        using.list_projects()
    assert str(caught.value) == f"listing projects at {server.url}: 401 No such key. {how}"


def test_a_problem_is_shown_with_its_issues(fake: FakeTime) -> None:
    """Detail, remedy, request and what is wrong where; never a value that was sent."""
    issues = [
        {"in": "query", "name": "groupRef", "detail": "too long", "value": "CANARY"},
        {"in": "body", "detail": "bad", "value": {"CANARY": 1}},
        {"name": "x"},
        {"value": "CANARY"},
        "CANARY",
    ]
    sent = problem(400, detail="Bad input.", title="CANARY", remedy="Shorten it.", requestId="r#1", issues=issues)
    with RawServer(sent) as server:
        error = failure(CALLS["projects"], blocking(server, fake))
    assert str(error) == (
        f"listing projects at {server.url}: 400 Bad input; "
        'query "groupRef": too long; body: bad; "x". Shorten it (request r#1)'
    )


def test_a_title_stands_in_for_a_detail(fake: FakeTime) -> None:
    """The API's own words come before the status's name."""
    with RawServer(problem(418, title="No coffee")) as server:
        assert "418 No coffee" in str(failure(CALLS["projects"], blocking(server, fake)))
    with RawServer(problem(418)) as server:
        assert "418 I'm a Teapot" in str(failure(CALLS["projects"], blocking(server, fake)))
    with RawServer(answer(b"", 418).replace(b"418 I'm a Teapot", b"599 CANARY")) as server:
        assert "599 unknown status" in str(failure(CALLS["projects"], blocking(server, fake)))


def test_hostile_text_in_a_problem_is_harmless(fake: FakeTime) -> None:
    """Colours, overrides, markup, line ends and surrogates of a server reach no terminal."""
    hostile = "a\x1b[31m\u202eb\r\nERROR: c<{%fg 1%}>\x00\ud800"
    clean = "a[31mb ERROR: c< {%fg 1%}>\ufffd"
    issues = [{"in": hostile, "name": hostile, "detail": f"{hostile}!"}]
    with RawServer(problem(400, detail=hostile, remedy=hostile, requestId=hostile, issues=issues)) as server:
        error = failure(CALLS["projects"], blocking(server, fake))
    assert isinstance(error, ApiError)
    assert (error.remedy, error.request_id) == (clean, clean)
    assert error.detail == f'{clean}; {clean} "{clean}": {clean}!'
    assert str(error).count(clean) == 6
    assert len(str(error).splitlines()) == 1


def test_an_issue_that_says_what_the_detail_says_is_not_repeated(fake: FakeTime) -> None:
    """Some problems have one issue, and say it in both places."""
    issues = [{"in": "path", "name": "connectionId", "detail": "no such connection"}]
    with RawServer(problem(404, detail="connectionId: no such connection.", issues=issues)) as server:
        error = failure(CALLS["projects"], blocking(server, fake))
    assert isinstance(error, ApiError)
    assert error.detail == "connectionId: no such connection."


def test_a_problem_that_is_no_utf_8_is_still_read(fake: FakeTime) -> None:
    """Broken characters cost no explanation."""
    sent = answer(b'\xef\xbb\xbf{"detail": "caf\xe9 \\udc00", "requestId": "r-1"}', 400, PROBLEM)
    with RawServer(sent) as server:
        assert str(failure(CALLS["projects"], blocking(server, fake))).endswith("400 caf\ufffd \ufffd (request r-1)")


def test_an_unknown_project_or_connection_is_not_found(client: Connect, api: Sandbox) -> None:
    """Both are told by the same error class."""
    with client(api) as using:
        for call in (
            lambda: using.list_connections("missing", details="never"),
            lambda: using.get_connection("quickstart", "missing"),
            lambda: using.reauthorization_url("quickstart", "missing"),
        ):
            with pytest.raises(NotFoundError, match="missing"):
                call()


def test_a_wrong_key_is_refused_once(client: Connect, api: Sandbox, fake: FakeTime) -> None:
    """A 401 isn't repeated: it would only be wrong again."""
    api.api_key = "another"
    error = failure(CALLS["list"], client(api, fake))
    assert type(error) is AuthenticationError
    assert "The API key is not valid" in str(error)
    assert fake.waits == []
    assert len(api.requests) == 1


# Repetition.


def within(waits: list[float], bounds: list[tuple[float, float]]) -> bool:
    """Whether each wait lies in its bounds."""
    return len(waits) == len(bounds) and all(
        low <= wait <= high for wait, (low, high) in zip(waits, bounds, strict=True)
    )


@pytest.mark.parametrize(
    "fault", ["408", "429,retry-after=0", "500", "502", "503", "504", "html", "reset", "hang-up", "cut-off"]
)
@every_read
def test_reads_are_repeated_until_they_succeed(
    client: Connect, api: Sandbox, fake: FakeTime, call: Call, fault: str
) -> None:
    """What may pass is tried again, each time after a longer wait."""
    api.faults = [f"{fault},times=3"]
    with client(api, fake) as using:
        call(using)
    assert len(api.requests) == 4
    assert within(fake.waits, BACKOFF[:3])


@pytest.mark.parametrize("fault", ["500", "hang-up"])
def test_attempts_are_bounded(client: Connect, api: Sandbox, fake: FakeTime, fault: str) -> None:
    """In all, a call is tried five times, or as often as the limits say; then the last error is told."""
    api.faults = [fault]
    error = failure(CALLS["list"], client(api, fake))
    assert isinstance(error, ServerError if fault == "500" else TransportError)
    assert len(api.requests) == 5
    assert within(fake.waits, BACKOFF)
    api.clear_requests()
    failure(CALLS["list"], client(api, FakeTime(), limits=Limits(attempts=1)))
    assert len(api.requests) == 1


def test_waits_are_jittered() -> None:
    """Clients that failed together don't come back together."""
    first = set()
    with RawServer(answer(b"", 503)) as server:
        for _ in range(20):
            fake = FakeTime()
            failure(CALLS["projects"], blocking(server, fake, limits=Limits(attempts=2)))
            first.add(fake.waits[0])
    assert len(first) > 15
    assert min(first) >= 0.5
    assert max(first) <= 1.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 413, 418, 422, 425, 451, 501, 505, 511])
@pytest.mark.parametrize("call", [CALLS["list"], CALLS["reauth"]], ids=["read", "reauth"])
def test_what_will_not_pass_is_not_repeated(fake: FakeTime, call: Call, status: int) -> None:
    """Refusals are final, unless the API says otherwise."""
    with RawServer(answer(b"", status)) as server:
        failure(call, blocking(server, fake))
    assert len(server.requests) == 1
    assert fake.waits == []


@pytest.mark.parametrize("retryable", [True, False])
@pytest.mark.parametrize("status", [400, 409, 429, 500, 503])
@every_call
def test_the_apis_word_on_repetition_counts(fake: FakeTime, call: Call, status: int, retryable: bool) -> None:
    """Where it says whether a request may be repeated, its status doesn't matter."""
    with RawServer(problem(status, retryable=retryable)) as server:
        error = failure(call, blocking(server, fake))
    assert isinstance(error, ApiError)
    assert error.retryable is retryable
    assert len(server.requests) == (5 if retryable else 1)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_change_is_not_repeated_when_it_may_have_been_made(fake: FakeTime, status: int) -> None:
    """A failed server may have made a link all the same."""
    with RawServer(answer(b"", status)) as server:
        failure(CALLS["reauth"], blocking(server, fake))
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", ["reset", "hang-up", "cut-off"])
def test_a_change_is_not_repeated_when_the_connection_breaks(
    client: Connect, api: Sandbox, fake: FakeTime, fault: str
) -> None:
    """The request may have arrived."""
    api.faults = [fault]
    error = failure(CALLS["reauth"], client(api, fake))
    assert type(error) is TransportError
    assert len(api.requests) == 1


def test_a_change_is_repeated_when_nothing_was_done(client: Connect, fake: FakeTime) -> None:
    """A server that is too busy says so before it does anything."""
    with RawServer(answer(b"", 429), answer(LINK.encode())) as server, client(server, fake) as using:
        assert using.reauthorization_url("p", "c") == LINK
    assert within(fake.waits, BACKOFF[:1])


@every_call
def test_a_refused_connection_is_tried_again(client: Connect, fake: FakeTime, call: Call) -> None:
    """Nothing has arrived, so even a change may be repeated."""
    with RawServer() as server:
        url = server.url
    error = failure(call, client(url, fake))
    assert type(error) is TransportError
    # In an event loop, several addresses are tried, and only that all failed is told.
    assert ("refused" if client is blocking else "All connection attempts failed") in str(error)
    assert "check the network, proxy and ampersand:apiUrl" in str(error)
    assert type(error.__cause__) is httpx.ConnectError
    assert within(fake.waits, BACKOFF)


@every_call
def test_a_connection_that_is_not_made_in_time_is_tried_again(client: Connect, fake: FakeTime, call: Call) -> None:
    """A connection time-out is told apart from a silent server."""
    seen = []

    def time_out(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        raise httpx.ConnectTimeout("timed out", request=request)

    limits = Limits(connect=3.5, read=7.0)
    error = failure(call, client("http://x.test", fake, limits=limits, transport=httpx.MockTransport(time_out)))
    assert type(error) is TransportError
    assert "connecting took more than 3.5 s" in str(error)
    assert len(seen) == 5
    assert (seen[0]["connect"], seen[0]["read"]) == (3.5, 7.0)


@pytest.mark.parametrize("name", ["list", "reauth"])
def test_a_silent_server_times_out(client: Connect, api: Sandbox, fake: FakeTime, name: str) -> None:
    """Reads are tried again; a change isn't, for it may have been made."""
    api.faults = ["slow:5"]
    error = failure(CALLS[name], client(api, fake, limits=Limits(read=0.15, attempts=2)))
    assert type(error) is TransportError
    assert "the server sent nothing for 0.15 s" in str(error)
    assert len(api.requests) == (1 if name == "reauth" else 2)


def test_a_restarted_server_goes_unnoticed(client: Connect, api: Sandbox, fake: FakeTime) -> None:
    """A connection that went stale between two calls is replaced."""
    with client(api, fake) as using:
        assert using.list_projects()
        api.stop()
        api.start()
        assert using.list_projects()


# What the API says about when.


def at(fake: FakeTime, seconds: float) -> str:
    """A time as the API writes it."""
    return (fake.start + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("status", [408, 429, 503])
def test_retry_after_is_obeyed_in_every_form(client: Connect, status: int) -> None:
    """Seconds or a date in the header, a time in the document; of two, the later; at least the usual wait."""
    fake = FakeTime()
    date = format_datetime(fake.start.replace(microsecond=0) + timedelta(seconds=21), usegmt=True)
    forms: list[tuple[dict[str, str], dict[str, Any], float]] = [
        ({"Retry_After": "7"}, {}, 7),
        ({"Retry_After": " 7 "}, {}, 7),
        ({"Retry_After": date}, {}, 20.5),
        ({}, {"retryAfter": at(fake, 9.25)}, 9.25),
        ({"Retry_After": "7"}, {"retryAfter": at(fake, 9)}, 9),
        ({"Retry_After": "11"}, {"retryAfter": at(fake, 9)}, 11),
        ({"Retry_After": "0"}, {}, 0.75),
        ({}, {"retryAfter": at(fake, -3600)}, 0.75),
        ({"Retry_After": "Thu, 01 Jan 1970 00:00:00 GMT"}, {}, 0.75),
    ]
    for headers, fields, wait in forms:
        sent = answer(json.dumps(fields).encode(), status, PROBLEM, **headers)
        fake.waits.clear()
        with RawServer(sent, answer(b"[]")) as server, client(server, fake) as using:
            using.list_projects()
        (waited,) = fake.waits
        assert abs(waited - wait) <= 0.5, (headers, fields)
        assert waited >= min(wait, 0.5)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-5",
        "+5",
        "1.5",
        "1e3",
        "0x10",
        "5, 6",
        "1 2 3",
        "²",
        "٣",
        "\xff",
        ",",
        "9" * 400,
        "9" * 5000,
        "Mon",
        "Mon, 99 Foo 2026 99:99:99 GMT",
        "Thu, 01 Jan 10000 00:00:00 GMT",
        "Mon, 01 Jan 2026 00:00:00 +99999999",
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_a_retry_after_that_makes_no_sense_is_ignored(fake: FakeTime, value: str) -> None:
    """The usual wait applies."""
    sent = answer(b'{"retryAfter": "never"}', 503, PROBLEM, Retry_After=value.encode().decode("latin-1"))
    with RawServer(sent, answer(b"[]")) as server, blocking(server, fake) as using:
        using.list_projects()
    assert within(fake.waits, BACKOFF[:1])


def test_no_retry_after_of_a_server_makes_a_crash() -> None:
    """Whatever stands in the header: a number, a date or noise."""
    chance = random.Random(1)
    pieces = ["Mon", ",", " ", "01", "Jan", "2026", ":", "GMT", "+", "-", "9", "0", "99999", "EST", "(", ")", ";", "/"]
    for _ in range(60):
        value = "".join(chance.choices(pieces, k=chance.randint(1, 14))).strip()
        with RawServer(answer(b"", 429, Retry_After=value)) as server:
            error = failure(CALLS["projects"], blocking(server, FakeTime(), limits=Limits(attempts=1)))
            assert type(error) is RateLimitedError


@pytest.mark.parametrize("field", ["header", "document"])
def test_a_wait_beyond_the_deadline_ends_the_call_at_once(client: Connect, fake: FakeTime, field: str) -> None:
    """Nobody waits for what comes too late: the API's error says from when on it makes sense to come again."""
    headers = {"Retry_After": "3600"} if field == "header" else {}
    fields = {"retryAfter": at(fake, 3600)} if field == "document" else {}
    with RawServer(answer(json.dumps(fields).encode(), 429, PROBLEM, **headers)) as server:
        error = failure(CALLS["list"], client(server, fake, limits=Limits(total=120)))
    assert type(error) is RateLimitedError
    assert fake.waits == []
    assert len(server.requests) == 1
    moment = (fake.start + timedelta(seconds=3600)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert f"not before {moment}" in str(error)
    assert error.retry_after is not None
    assert abs((error.retry_after - fake.start).total_seconds() - 3600) < 0.01


@pytest.mark.parametrize("attempts", [5, 1000])
def test_repetition_ends_with_the_deadline(client: Connect, fake: FakeTime, attempts: int) -> None:
    """However many attempts are allowed, no wait goes beyond the total."""
    with RawServer(answer(b"", 503)) as server:
        error = failure(CALLS["list"], client(server, fake, limits=Limits(total=6, attempts=attempts)))
    assert type(error) is ServerError
    assert fake.clock() <= 6
    assert 3 <= len(server.requests) <= 4


def test_the_longest_wait_is_bounded(fake: FakeTime) -> None:
    """Backing off ends at eight seconds and the jitter."""
    with RawServer(answer(b"", 503)) as server:
        failure(CALLS["list"], blocking(server, fake, limits=Limits(total=10_000, attempts=12)))
    assert within(fake.waits, [*BACKOFF, *[(8.0, 8.5)] * 7])


# Bounds in time and size.


def test_a_body_that_drips_ends_at_the_deadline(client: Connect, api: Sandbox) -> None:
    """Bytes that keep coming keep no call alive, and it isn't tried again."""
    api.faults = ["drip:0.01"]
    start = time.monotonic()
    error = failure(CALLS["list"], client(api, limits=Limits(total=0.3)))
    assert type(error) is DeadlineExceededError
    assert "wasn't complete after 0.3 s; filter by provider, group_ref or consumer_ref" in str(error)
    assert 0.3 <= time.monotonic() - start < 2
    assert len(api.requests) == 1


def test_an_error_that_drips_is_told_by_its_status(client: Connect) -> None:
    """Its explanation isn't waited for beyond the deadline."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(answer(b'{"detail": "' + b" " * 1000, 403, PROBLEM)[:-1000])
        for _ in range(1000):
            connection.sendall(b" ")
            time.sleep(0.01)

    with RawServer(drip) as server:
        start = time.monotonic()
        error = failure(CALLS["list"], client(server, limits=Limits(total=0.2)))
    assert type(error) is PermissionDeniedError
    assert time.monotonic() - start < 2


def test_a_silent_server_overruns_the_deadline_by_one_read_at_most(client: Connect, api: Sandbox) -> None:
    """After a time-out beyond the deadline, nothing is tried again."""
    api.faults = ["slow:5"]
    start = time.monotonic()
    error = failure(CALLS["list"], client(api, limits=Limits(total=0.1, read=0.2)))
    assert isinstance(error, TransportError)
    assert time.monotonic() - start < 1
    assert len(api.requests) == 1


def test_an_answer_over_the_limit_is_refused(client: Connect, api: Sandbox, fake: FakeTime) -> None:
    """However long the stream, only the limit is read, and it isn't tried again."""
    api.faults = ["huge:40"]
    error = failure(CALLS["list"], client(api, fake, limits=Limits(answer=2 * 1024**2)))
    assert type(error) is AnswerError
    assert "larger than 2 MiB; filter by provider, group_ref or consumer_ref" in str(error)
    assert fake.waits == []
    assert len(api.requests) == 1


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_of_exactly_the_limit_is_read(client: Connect, encoding: str) -> None:
    """The limit counts what comes out of decompression."""
    body = b"[" + b" " * 998 + b"]"
    sent = answer(gzip.compress(body) if encoding == "gzip" else body, Content_Encoding=encoding)
    with RawServer(sent) as server:
        with client(server, limits=Limits(answer=1000)) as using:
            assert using.list_projects() == []
        assert type(failure(CALLS["projects"], client(server, limits=Limits(answer=999)))) is AnswerError


def bomb(mebibytes: int) -> bytes:
    """So many MiB of spaces, compressed a thousandfold."""
    compress = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    head = compress.compress(b"[") + compress.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block stands for itself, so the same bytes can be sent again and again.
    block = compress.compress(b" " * 1024**2) + compress.flush(zlib.Z_FULL_FLUSH)
    return head + block * mebibytes


def test_a_compression_bomb_does_not_go_off(client: Connect, fake: FakeTime) -> None:
    """Of two GiB, not much more than the limit and one read's worth is ever in memory."""
    with RawServer(answer(bomb(2048), Content_Encoding="gzip")) as server:
        gc.collect()
        tracemalloc.start()
        try:
            error = failure(CALLS["projects"], client(server, fake, limits=Limits(answer=1024**2)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert type(error) is AnswerError
    assert "larger than 1 MiB" in str(error)
    assert peak < 200 * 1024**2
    assert fake.waits == []


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,identity", "gzip, gzip, gzip", "deflate", "br", "zstd", "x"])
def test_what_is_compressed_otherwise_is_refused(fake: FakeTime, encoding: str) -> None:
    """Only what was asked for is unpacked: compressed twice, a bomb is a thousand times larger."""
    twice = gzip.compress(bomb(1024))
    with RawServer(answer(twice, Content_Encoding=encoding)) as server:
        start = time.monotonic()
        error = failure(CALLS["projects"], blocking(server, fake))
    assert type(error) is AnswerError
    assert "compressed otherwise than asked for" in str(error)
    assert time.monotonic() - start < 1
    assert fake.waits == []


# Answers that are none.

NO_ANSWERS = {
    "empty": b"",
    "cut": b'[{"id": "CANARY',
    "html": b"<!DOCTYPE html><html>CANARY</html>",
    "object": b'{"results": [{"id": "CANARY"}]}',
    "null": b"null",
    "text": b'"CANARY"',
    "nothing-in-it": b"[{}]",
    "list-in-list": b'[["CANARY"]]',
    "deep": b"[" * 100_000,
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
@every_read
def test_an_answer_that_is_none_is_an_error(fake: FakeTime, call: Call, body: bytes) -> None:
    """Whatever its content type: one line that says what was expected, and nothing of the answer."""
    for content_type in ("application/json", "text/html"):
        with RawServer(answer(body, content_type=content_type)) as server:
            error = failure(call, blocking(server, fake))
            assert type(error) is AnswerError
            assert "CANARY" not in str(error)
            assert len(str(error)) < 400
            assert "check that ampersand:apiUrl (or AMP_API_URL) is the API's root" in str(error)
            assert len(server.requests) == 1
    assert fake.waits == []


@pytest.mark.parametrize("fault", ["invalid-json", "not-a-list", "empty", "html,status=200"])
def test_a_list_that_is_none_is_an_error(api: Sandbox, fake: FakeTime, fault: str) -> None:
    """Nothing is taken for an empty list."""
    api.faults = [fault]
    error = failure(CALLS["list"], blocking(api, fake))
    assert type(error) is AnswerError
    assert "expected a JSON array of connections" in str(error)


def test_a_list_does_not_depend_on_its_content_type() -> None:
    """An answer that is right is right, whatever a proxy calls it."""
    body = b'\xef\xbb\xbf[{"id": "c", "provider": "p", "status": "working"}]'
    with RawServer(answer(body, content_type="text/plain")) as server, blocking(server) as using:
        assert [connection.id for connection, _ in using.list_connections("p", details="never")] == ["c"]


@pytest.mark.parametrize("status", [201, 202, 203, 206])
def test_every_success_is_one(status: int) -> None:
    """A proxy may answer from its cache."""
    with RawServer(answer(b"[]", status)) as server, blocking(server) as using:
        assert using.list_projects() == []


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@every_call
def test_no_redirect_is_followed(client: Connect, fake: FakeTime, call: Call, status: int) -> None:
    """Neither to another origin nor on the same: the message says where it would have led, without the path."""
    with RawServer(answer(b"[]")) as other:
        for place, shown in (
            (f"{other.url}/x?CANARY=1", other.url),
            ("/login?CANARY", None),
            ("//x.test/y", "//x.test"),
        ):
            with RawServer(answer(b"", status, Location=place)) as server:
                error = failure(call, client(server, fake))
                assert type(error) is ApiError
                assert f"{status} redirect to " in str(error)
                assert (shown or server.url) in str(error).partition(": ")[2]
                assert "Redirects aren't followed" in str(error)
                assert "CANARY" not in str(error)
                assert len(server.requests) == 1
    assert other.requests == []
    assert fake.waits == []


def test_the_sandboxs_redirect_leads_nowhere(client: Connect, api: Sandbox, fake: FakeTime) -> None:
    """The fault as users can switch it on."""
    api.faults = ["redirect"]
    assert "302 redirect to https://elsewhere.invalid." in str(failure(CALLS["list"], client(api, fake)))


@pytest.mark.parametrize(
    "place",
    [
        "",
        "https://",
        "https://xn--a-ecp.ru:1",
        "https://xn--zzzzzz-.test",
        "http://[::1",
        "http://a b",
        "http://\u2100.test",
        "\xff\xfe",
        "https://x.test:99999",
        "https://x.test/\x1b[31m",
        "https://x.te\u202est/",
        "https://user:CANARY@x.test/",
        "javascript:alert(1)",
        "x" * 60_000,
        f"https://{'x' * 60_000}.test",
    ],
    ids=lambda value: ascii(value[:24]),
)
def test_a_redirect_to_nowhere_is_one_line(fake: FakeTime, place: str) -> None:
    """A place that is none is no crash, and shows no password."""
    with RawServer(answer(b"", 302, Location=place.encode().decode("latin-1"))) as server:
        error = failure(CALLS["list"], blocking(server, fake))
    assert type(error) is ApiError
    assert error.status == 302
    assert "CANARY" not in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 1200


@pytest.mark.parametrize("status", [300, 302, 304, 305])
def test_a_redirect_without_a_place_is_an_error(fake: FakeTime, status: int) -> None:
    """As any status that is no success."""
    with RawServer(answer(b"", status)) as server:
        error = failure(CALLS["list"], blocking(server, fake))
    assert isinstance(error, ApiError)
    assert error.status == status


# TLS and the environment.


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_an_unknown_certificate_is_an_error(client: Connect, fake: FakeTime, scheme: str) -> None:
    """Nothing is sent, and nothing tried again: a certificate doesn't become known by asking twice."""
    with RawServer(answer(b"[]"), tls=True) as server:
        error = failure(CALLS["list"], client(server.url.replace("https", scheme), fake))
    assert type(error) is TransportError
    assert "certificate" in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert len(str(error).splitlines()) == 1
    assert server.requests == []
    assert fake.waits == []


def test_a_certificate_can_be_made_known(client: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the message advises works."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with RawServer(answer(b"[]"), tls=True) as server, client(server) as using:
        assert using.list_projects() == []


def test_https_to_a_server_without_tls_is_an_error(client: Connect, api: Sandbox, fake: FakeTime) -> None:
    """One line, too."""
    error = failure(CALLS["list"], client(api.url.replace("http", "https"), fake))
    assert type(error) is TransportError
    assert "SSL" in str(error)
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://user:CANARY@127.0.0.1:1"),
        ("HTTPS_PROXY", "gopher://user:CANARY@127.0.0.1:1"),
        ("HTTPS_PROXY", "http://user:CANARY"),
        ("HTTP_PROXY", "http://[::1"),
        ("SSL_CERT_FILE", __file__),
        # Before, httpx took no notice of a file that isn't there.
        *([("SSL_CERT_FILE", "/missing/file")] if httpx.__version__ >= "0.28" else []),
    ],
)
def test_an_environment_that_can_not_be_used_is_an_error(
    client: Connect, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Proxies and certificates come from outside, so a mistake there is told in one line, and without a password."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        client("https://x.test")
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    assert len(str(caught.value).splitlines()) == 1


def test_plain_http_needs_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building a TLS context takes as long as reading 10,000 connections."""
    monkeypatch.setenv("SSL_CERT_FILE", "/missing/file")
    with blocking("http://x.test"):
        pass


# The key stays hidden.


def echo(line: str) -> bytes:
    """An answer with a line in its head."""
    return answer(b"{}", 400, PROBLEM).replace(b"\r\n", f"\r\n{line}\r\n".encode(), 1)


split_key = f"{KEY[:5]}\x00{KEY[5:9]}\u202e{KEY[9:]}"
ECHOES: dict[str, bytes] = {
    "detail": problem(400, detail=f"bad key {KEY}"),
    "title": problem(400, title=f"bad key {KEY}"),
    "remedy": problem(400, remedy=f"replace {KEY} by another"),
    "request-id": problem(400, requestId=f"r-{KEY}"),
    "issues": problem(400, issues=[{"in": KEY, "name": KEY, "detail": KEY, "value": KEY}]),
    "at-the-limit": problem(
        400, detail="x" * (500 - 10) + KEY, remedy="x" * (300 - 10) + KEY, requestId="x" * 90 + KEY
    ),
    "hidden-in-controls": problem(400, detail=split_key, remedy=split_key, requestId=split_key),
    "other-case": problem(400, detail=KEY.upper(), remedy=KEY.lower()),
    "raw-body": answer(f"bad key {KEY}".encode(), 401, "text/plain"),
    "broken-list": answer(f'[{{"id": "{KEY}", '.encode()),
    "list": answer(f'[{{"id": ["{KEY}"]}}]'.encode()),
    "reason": f"HTTP/1.1 400 {KEY}\r\nContent-Length: 0\r\n\r\n".encode(),
    "header": echo(f"X-Echo: {KEY}"),
    "cookie": echo(f"Set-Cookie: key={KEY}"),
    "retry-after": echo(f"Retry-After: {KEY}"),
    "content-type": answer(b"{}", 400, f"json/{KEY}"),
    "content-encoding": answer(b"{}", 200, Content_Encoding=KEY),
    "malformed-header": echo(KEY),
    "malformed-header-far-in": echo("x" * 150 + KEY),
    "malformed-status": f"{KEY}\r\n\r\n".encode(),
    "malformed-chunk": answer(b"", 200, Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
    + f"{KEY}\r\n".encode(),
    "malformed-encoding": answer(b"", 200, Transfer_Encoding=KEY),
    "malformed-length": answer(b"", 200, Content_Length=KEY),
    "redirect-host": answer(b"", 302, Location=f"https://{KEY}.test/"),
    "redirect-path": answer(b"", 302, Location=f"/{KEY}"),
    "redirect-password": answer(b"", 302, Location=f"https://{KEY}:{KEY}@x.test/"),
    "redirect-port": answer(b"", 302, Location=f"https://x.test:{KEY}/"),
    "redirect-nowhere": answer(b"", 302, Location=f"https://[{KEY}"),
    "bad-gzip": answer(KEY.encode(), 200, Content_Encoding="gzip"),
    "hang-up": b"",
    "short": answer(b"[", 200, Content_Length="5000"),
}


@pytest.mark.parametrize("sent", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("name", ["list", "reauth"])
def test_the_key_is_shown_nowhere(
    client: Connect, sent: bytes, name: str, fake: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a server does with it: not in an error, its parts, its chain, a traceback or a log."""
    caplog.set_level(logging.DEBUG)
    for logger in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger)
    with RawServer(sent) as server:
        using = client(server, fake, limits=Limits(attempts=2))
        error = failure(CALLS[name], using)
    texts = [repr(using), str(using), repr(vars(using)), caplog.text, *(str(record.args) for record in caplog.records)]
    texts += [str(error), repr(error), repr(vars(error)), repr(error.args), *traceback.format_exception(error)]
    cause: BaseException | None = error
    while cause is not None:
        texts += [repr(cause), str(cause), repr(cause.args)]
        cause = cause.__cause__ or cause.__context__
    assert f"x-api-key: {KEY}".lower() in server.requests[0].lower()
    for text in texts:
        assert KEY.lower() not in text.lower()
        assert KEY[:8].lower() not in text.lower()
    assert "receive_response_headers" in caplog.text
    assert len(str(error).splitlines()) == 1


def test_the_key_is_cut_from_what_a_transport_says(client: Connect, fake: FakeTime) -> None:
    """Before the text is shortened, or a part of the key would be left at its end."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("x" * 190 + request.headers["X-Api-Key"])

    error = failure(CALLS["list"], client("http://x.test", fake, transport=httpx.MockTransport(fail)))
    assert "[API key]" in str(error)
    assert KEY[:5] not in str(error)


def test_the_sandboxs_echo_of_the_key_is_cut(client: Connect, api: Sandbox, fake: FakeTime) -> None:
    """The fault as users can switch it on: all is told, but for the key."""
    api.faults = ["key-echo"]
    error = failure(CALLS["list"], client(api, fake))
    assert "The API key [API key] is not valid" in str(error)
    assert "Replace [API key]" in str(error)
    assert KEY not in str(error)


def test_filters_are_in_no_log(client: Connect, api: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """They may be secret; that a request was made, and how it ended, is logged all the same."""
    caplog.set_level(logging.DEBUG)
    with client(api) as using:
        using.list_connections("quickstart", group_ref="CANARY-group", consumer_ref="CANARY consumer", details="never")
    assert "CANARY" not in caplog.text
    assert f'GET {api.url}/v1/projects/quickstart/connections?… "HTTP/1.1 200 OK"' in caplog.text


def test_logs_of_others_stay_as_they_are(client: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """What doesn't concern our key and root isn't touched, and a closed client touches nothing."""
    caplog.set_level(logging.DEBUG)
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore.http11")]
    filters = [list(logger.filters) for logger in loggers]
    with RawServer(answer(b"[]")) as server, client("http://x.test"):
        httpx.get(f"{server.url}/?query=shown", trust_env=False)
        assert "?query=shown" in caplog.text
        assert [list(logger.filters) for logger in loggers] != filters
    assert [list(logger.filters) for logger in loggers] == filters


# Two clients, one set of methods.


def public(kind: type) -> dict[str, Any]:
    """A class's own methods and those that it inherits."""
    return {name: getattr(kind, name) for name in sorted(dir(kind)) if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    """Under the same names, with the same arguments, results and docstrings; only closing has its usual name."""
    blocks, awaits = public(Client), public(AsyncClient)
    assert inspect.signature(blocks.pop("close")) == inspect.signature(awaits.pop("aclose"))
    assert list(blocks) == list(awaits)
    assert len(blocks) == 7
    for name, method in blocks.items():
        assert inspect.iscoroutinefunction(awaits[name])
        assert not inspect.iscoroutinefunction(method)
        assert inspect.signature(method) == inspect.signature(awaits[name])
        assert (method.__name__, method.__doc__) == (name, awaits[name].__doc__)
        assert method.__doc__


def test_both_clients_are_made_alike() -> None:
    """The constructors take the same arguments with the same defaults, but for how one sleeps."""
    blocks, awaits = (inspect.signature(kind).parameters for kind in (Client, AsyncClient))
    assert list(blocks) == list(awaits)
    assert {name for name in blocks if blocks[name].default != awaits[name].default} == {"sleep"}


def test_a_closed_client_makes_no_call(client: Connect, api: Sandbox) -> None:
    """Its connections are given back at the end of the ``with`` statement."""
    with client(api) as using:
        using.list_projects()
    assert api.counts == {"projects": 1}
    method = using.client.list_projects if isinstance(using, Awaited) else using._calls.list_projects
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(method())
    assert api.counts == {"projects": 1}


def test_one_client_serves_several_tasks(api: Sandbox) -> None:
    """In one event loop, calls run side by side, each with its own retries."""
    api.faults = ["503,times=8", "slow:0.05"]

    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    async def work(using: AsyncClient) -> list[int]:
        return [len(await using.list_connections("quickstart", details="never")) for _ in range(4)]

    async def main() -> list[list[int]]:
        access = Access(ApiKey(KEY), api.url)
        async with AsyncClient(access, sleep=at_once, limits=Limits(attempts=9)) as using:
            return await asyncio.gather(*(work(using) for _ in range(8)))

    assert asyncio.run(main()) == [[len(api.connections)] * 4] * 8
    assert api.most_at_once > 1
    assert len(api.requests) == 40


def test_one_client_serves_several_threads(api: Sandbox) -> None:
    """Calls run side by side, each with its own retries."""
    api.faults = ["503,times=8", "slow:0.05"]
    found: list[int] = []
    with blocking(api, sleep=lambda _: None, limits=Limits(attempts=9)) as using:

        def work() -> None:
            found.extend(len(using.list_connections("quickstart", details="never")) for _ in range(4))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert found == [len(api.connections)] * 32
    assert api.most_at_once > 1
    assert len(api.requests) == 40
