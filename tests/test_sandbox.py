"""The sandbox: its calls, filters, faults, data sets, controls and command, over real connections."""

import importlib.resources
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

import pulumi_ampersand.sandbox as package
from mixed_expectations import BREAKS, CONFIGURATION, NOT_EVALUATED
from pulumi_ampersand.sandbox import (
    SCENARIOS,
    AddressError,
    DataError,
    Fault,
    FaultError,
    Project,
    Sandbox,
    SandboxError,
)
from pulumi_ampersand.sandbox.fault_answers import ANSWERS
from pulumi_ampersand.sandbox.faults import NAMES
from pulumi_ampersand.sandbox.times import resolve, resolve_all

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)
COMMAND = (sys.executable, "-c", "from pulumi_ampersand.sandbox.command import sandbox; sandbox()")

TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"}
TEXT = {"type": "string", "minLength": 1}
SCOPES = {"type": "array", "items": {"anyOf": [TEXT, {"type": "array", "items": TEXT}]}}
TOKEN = {
    "type": "object",
    "required": ["token"],
    "properties": {"token": TEXT, "issuedAt": TIME, "expiresAt": TIME},
    "additionalProperties": False,
}
PARTY = {"projectId": TEXT, "createTime": TIME, "updateTime": TIME}
CONNECTION: dict[str, Any] = {
    "type": "object",
    "required": ["id", "createTime", "group", "consumer", "projectId", "provider", "authScheme", "status"],
    "properties": {
        "id": TEXT,
        "projectId": TEXT,
        "provider": TEXT,
        "providerApp": {
            "type": "object",
            "required": ["id", "projectId", "provider", "clientId", "createTime"],
            "properties": {
                **dict.fromkeys(("id", "projectId", "provider", "clientId", "externalRef"), TEXT),
                "scopes": SCOPES,
                "createTime": TIME,
                "updateTime": TIME,
            },
            "additionalProperties": False,
        },
        "group": {
            "type": "object",
            "required": ["groupRef", "groupName", "projectId", "createTime"],
            "properties": {"groupRef": TEXT, "groupName": TEXT, **PARTY},
            "additionalProperties": False,
        },
        "consumer": {
            "type": "object",
            "required": ["consumerRef", "consumerName", "projectId", "createTime"],
            "properties": {"consumerRef": TEXT, "consumerName": TEXT, **PARTY},
            "additionalProperties": False,
        },
        "providerWorkspaceRef": TEXT,
        "providerConsumerRef": TEXT,
        "createTime": TIME,
        "updateTime": TIME,
        "authScheme": {"enum": ["apiKey", "basic", "oauth2/authorizationCode", "oauth2/authorizationCodePKCE"]},
        "status": {"enum": ["created", "working", "bad_credentials", "suspended"]},
        "oauth2AuthorizationCode": {
            "type": "object",
            "properties": {
                "accessToken": TOKEN,
                "refreshToken": TOKEN,
                "scopes": {"type": "array", "items": TEXT},
            },
            "additionalProperties": False,
        },
        "apiKey": TEXT,
        "providerMetadata": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["value", "source"],
                "properties": {
                    "value": TEXT,
                    "source": {"enum": ["input", "token", "provider"]},
                    "displayName": TEXT,
                },
                "additionalProperties": False,
            },
        },
        # A field that no contract names: clients must live with such ones.
        "labels": {"type": "object"},
    },
    "additionalProperties": False,
}
PROJECT: dict[str, Any] = {
    "type": "object",
    "required": ["id", "name", "appName", "orgId", "createTime"],
    "properties": {
        **dict.fromkeys(("id", "name", "appName", "orgId"), TEXT),
        "createTime": TIME,
        "updateTime": TIME,
    },
    "additionalProperties": False,
}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["title", "status", "detail", "requestId", "retryable"],
    "properties": {
        **dict.fromkeys(("type", "title", "detail", "subsystem", "requestId", "remedy"), TEXT),
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "retryable": {"type": "boolean"},
        "time": TIME,
        "retryAfter": TIME,
        "issues": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "name", "detail", "value"],
                "properties": {
                    "type": TEXT,
                    "in": {"enum": ["body", "header", "path", "query"]},
                    "name": TEXT,
                    "detail": TEXT,
                    "value": {"type": "string"},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}


PROBLEM_SHAPE = jsonschema.Draft202012Validator(PROBLEM)
PROJECTS_SHAPE = jsonschema.Draft202012Validator({"type": "array", "items": PROJECT})
CONNECTION_SHAPE = jsonschema.Draft202012Validator(CONNECTION)
CONNECTIONS_SHAPE = jsonschema.Draft202012Validator({"type": "array", "items": CONNECTION})


def client_of(sandbox: Sandbox, **options: Any) -> httpx.Client:
    """A client with the right key, which no proxy setting of the computer leads astray."""
    return httpx.Client(base_url=sandbox.url, headers={"X-Api-Key": sandbox.api_key}, trust_env=False, **options)


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    """One server for the module; see `sandbox`."""
    with Sandbox("mixed") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """A running sandbox with the scenario `mixed`, as at its start."""
    running.reset()
    return running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of that sandbox."""
    with client_of(sandbox) as client:
        yield client


LIST = "/v1/projects/quickstart/connections"
ONE = f"{LIST}/conn_aster_hubspot"


def ids(response: httpx.Response) -> list[str]:
    """The ids in a list that was answered."""
    assert response.status_code == 200
    return [entry["id"] for entry in response.json()]


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The problem document that was answered, checked."""
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    PROBLEM_SHAPE.validate(document)
    assert document["status"] == response.status_code
    return document


# The API's calls


def test_projects_are_listed(client: httpx.Client) -> None:
    """The projects come with id and name."""
    response = client.get("/v1/projects")
    assert [(project["id"], project["name"]) for project in response.json()] == [("proj_quickstart", "quickstart")]


@pytest.mark.parametrize("project", ["quickstart", "proj_quickstart"])
def test_connections_are_listed_by_project_name_and_id(client: httpx.Client, project: str) -> None:
    """A project answers under its id and under its name."""
    assert ids(client.get(f"/v1/projects/{project}/connections")) == list(BREAKS)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"provider": "hubspot"}, ["conn_aster_hubspot", "conn_orchard_hubspot"]),
        ({"groupRef": "koyo"}, ["conn_koyo_slack"]),
        ({"consumerRef": "pelican-ruth"}, ["conn_pelican_jira"]),
        ({"provider": "salesforce", "groupRef": "cobalt"}, ["conn_cobalt_salesforce"]),
        ({"provider": "salesforce", "groupRef": "koyo"}, []),
        ({"provider": "hub"}, []),
        ({"provider": "HubSpot"}, []),
        ({"provider": ""}, []),
    ],
    ids=["provider", "group", "consumer", "both", "contradiction", "prefix", "case", "empty"],
)
def test_filters_match_exactly(client: httpx.Client, query: dict[str, str], expected: list[str]) -> None:
    """All filters must match, in full; an empty one matches nothing."""
    assert ids(client.get(LIST, params=query)) == expected


def test_a_list_includes_credentials_unless_told_otherwise(sandbox: Sandbox, client: httpx.Client) -> None:
    """The switch leaves the OAuth block out of lists, and only there."""
    assert "refreshToken" in client.get(LIST).json()[0]["oauth2AuthorizationCode"]
    sandbox.list_credentials = False
    assert not any("oauth2AuthorizationCode" in entry for entry in client.get(LIST).json())
    detail = client.get(ONE, params={"includeRefreshToken": "true"}).json()
    assert "refreshToken" in detail["oauth2AuthorizationCode"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, None),
        ({"includeCreds": "false"}, None),
        ({"includeCreds": "true"}, {"accessToken", "scopes"}),
        ({"includeRefreshToken": "true"}, {"accessToken", "refreshToken", "scopes"}),
        ({"includeCreds": "false", "includeRefreshToken": "true"}, {"accessToken", "refreshToken", "scopes"}),
    ],
    ids=["plain", "no", "credentials", "refresh-token", "refresh-token-wins"],
)
def test_one_connection_shows_the_credentials_asked_for(
    client: httpx.Client, query: dict[str, str], expected: set[str] | None
) -> None:
    """The single call has no credentials, the access token and scopes, or everything."""
    connection = client.get(ONE, params=query).json()
    assert connection["id"] == "conn_aster_hubspot"
    block = connection.get("oauth2AuthorizationCode")
    assert (None if block is None else set(block)) == expected


def test_a_forced_refresh_issues_a_new_token(sandbox: Sandbox, client: httpx.Client) -> None:
    """`refresh=force` moves the access token's times, keeps its lifetime, and sets status and updateTime."""
    before = client.get(ONE, params={"includeCreds": "true"}).json()
    after = client.get(ONE, params={"includeCreds": "true", "refresh": "force"}).json()
    old, new = (entry["oauth2AuthorizationCode"]["accessToken"] for entry in (before, after))
    assert new["token"] != old["token"]
    assert parsed(new["issuedAt"]) > parsed(old["issuedAt"])
    assert parsed(new["expiresAt"]) - parsed(new["issuedAt"]) == timedelta(minutes=30)
    assert after["status"] == "created"
    assert parsed(after["updateTime"]) > parsed(before["updateTime"])
    assert {old["token"], new["token"]} <= sandbox.secrets


def test_a_refresh_if_expired_leaves_a_valid_token(sandbox: Sandbox, client: httpx.Client) -> None:
    """`refresh=ifExpired` refreshes only a token whose end is past."""
    path = f"{LIST}/conn_koyo_slack"
    query = {"includeCreds": "true", "refresh": "ifExpired"}
    assert client.get(path, params=query).json()["status"] == "working"
    entry = next(entry for entry in sandbox.connections if entry["id"] == "conn_koyo_slack")
    expired = {**entry["oauth2AuthorizationCode"]["accessToken"], "expiresAt": "@now-1s"}
    sandbox.update(
        "conn_koyo_slack", oauth2AuthorizationCode={**entry["oauth2AuthorizationCode"], "accessToken": expired}
    )
    assert client.get(path, params=query).json()["status"] == "created"


def test_a_refresh_without_a_refresh_token_fails(client: httpx.Client) -> None:
    """Where there is nothing to refresh with, the status becomes `bad_credentials`; an API key stays as it is."""
    query = {"refresh": "force"}
    assert client.get(f"{LIST}/conn_meble_google", params=query).json()["status"] == "bad_credentials"
    assert client.get(f"{LIST}/conn_lumen_gong", params=query).json()["status"] == "working"


def test_the_reauthorisation_link_mends_the_connection(client: httpx.Client) -> None:
    """The link is plain text; opening it once renews tokens, scopes and status."""
    response = client.patch(f"{LIST}/conn_orchard_hubspot:oauth-update")
    assert response.headers["content-type"].startswith("text/plain")
    assert httpx.get(response.text, trust_env=False).status_code == 200
    connection = client.get(f"{LIST}/conn_orchard_hubspot", params={"includeRefreshToken": "true"}).json()
    assert connection["status"] == "created"
    assert "crm.objects.contacts.read" in connection["oauth2AuthorizationCode"]["scopes"]
    assert httpx.get(response.text, trust_env=False).status_code == 410


def test_the_link_of_a_connection_that_is_gone(client: httpx.Client, sandbox: Sandbox) -> None:
    """It mends nothing, and says why."""
    link = client.patch(f"{LIST}/conn_orchard_hubspot:oauth-update").text
    sandbox.set_connections("quickstart", [])
    response = httpx.get(link, trust_env=False)
    assert (response.status_code, response.text) == (410, "This connection is gone.\n")


def test_an_api_key_connection_cant_be_reauthorised(client: httpx.Client) -> None:
    """The link exists for OAuth authorization codes only."""
    document = problem_of(client.patch(f"{LIST}/conn_lumen_gong:oauth-update"))
    assert document["status"] == 400
    assert document["issues"][0]["name"] == "connectionId"


# What is refused


@pytest.mark.parametrize("path", ["/v1/projects", LIST, ONE, f"{ONE}:oauth-update", "/v1/nothing"])
@pytest.mark.parametrize("key", [None, "", "wrong"], ids=["missing", "empty", "wrong"])
def test_a_request_needs_the_key(sandbox: Sandbox, path: str, key: str | None) -> None:
    """Without the right key every call answers 401, and says nothing else."""
    headers = {} if key is None else {"X-Api-Key": key}
    method = "PATCH" if path.endswith("update") else "GET"
    document = problem_of(httpx.request(method, sandbox.url + path, headers=headers, trust_env=False))
    assert document["status"] == 401
    assert not document["retryable"]
    assert "X-Api-Key" in document["remedy"]


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/v1/projects/other/connections", "projectIdOrName", "other"),
        ("/v1/projects/other/connections/conn_aster_hubspot", "projectIdOrName", "other"),
        (f"{LIST}/other", "connectionId", "other"),
        (f"{LIST}/a%2Fb%20%C3%A9", "connectionId", "a/b é"),
    ],
)
def test_what_doesnt_exist_is_named(client: httpx.Client, path: str, name: str, value: str) -> None:
    """An unknown project or connection is a 404 with the issue."""
    document = problem_of(client.get(path))
    assert document["status"] == 404
    assert [(issue["in"], issue["name"], issue["value"]) for issue in document["issues"]] == [("path", name, value)]


@pytest.mark.parametrize("query", [{"includeCreds": "yes"}, {"includeRefreshToken": ""}, {"refresh": "always"}])
def test_a_wrong_parameter_is_named(client: httpx.Client, query: dict[str, str]) -> None:
    """A value outside the contract is a 400 with the issue."""
    document = problem_of(client.get(ONE, params=query))
    assert document["status"] == 400
    assert [(issue["in"], issue["name"]) for issue in document["issues"]] == [("query", next(iter(query)))]


def test_an_unknown_path_or_method_is_a_problem_document(client: httpx.Client) -> None:
    """Even what the API hasn't got is refused in its own format."""
    assert problem_of(client.get("/projects"))["status"] == 404
    response = client.post("/v1/projects")
    assert problem_of(response)["status"] == 405
    assert "GET" in response.headers["allow"]


def test_a_project_name_is_one_encoded_segment() -> None:
    """A name with slashes, dots and a question mark can be asked for, and is decoded once."""
    projects = [Project(id="p1", name="a/../b?c"), Project(id="p2", name="100%25")]
    with Sandbox("healthy", projects=projects) as sandbox, client_of(sandbox) as client:
        assert ids(client.get("/v1/projects/a%2F..%2Fb%3Fc/connections"))
        assert ids(client.get("/v1/projects/100%2525/connections"))
        assert client.get("/v1/projects/a/../b/connections").status_code == 404
        assert client.get("/v1/projects/100%25/connections").status_code == 404
        assert client.get("/v1/projects/a%252F..%252Fb%253Fc/connections").status_code == 404


# Faults


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 418, 429, 500, 502, 503, 504, 599])
def test_a_status_fault_is_a_problem_document(sandbox: Sandbox, client: httpx.Client, status: int) -> None:
    """Any error status can be had, retryable where that makes sense; only 429 has a Retry-After by itself."""
    sandbox.faults = [str(status)]
    response = client.get(LIST)
    assert problem_of(response)["retryable"] == (status in {408, 429, 500, 502, 503, 504})
    assert response.headers.get("retry-after") == ("1" if status == 429 else None)


def test_a_fault_strikes_so_many_times(sandbox: Sandbox, client: httpx.Client) -> None:
    """After its number of requests a fault is over."""
    sandbox.faults = ["429:2", "503,times=1"]
    assert [client.get(LIST).status_code for _ in range(4)] == [429, 429, 503, 200]
    assert sandbox.faults == []
    assert [record.fault for record in sandbox.requests] == ["429:2", "429:2", "503,times=1", None]


def test_a_fault_can_wait_and_be_limited_to_a_call(sandbox: Sandbox, client: httpx.Client) -> None:
    """`after` lets requests of its kind pass first; other kinds are not concerned."""
    sandbox.faults = ["500:1,after=1@one"]
    answers = [client.get(path).status_code for path in (ONE, LIST, "/v1/projects", ONE, ONE)]
    assert answers == [200, 200, 200, 500, 200]
    sandbox.faults = ["500@projects", "502@reauth"]
    answers = [client.get("/v1/projects").status_code, client.patch(f"{ONE}:oauth-update").status_code]
    assert answers == [500, 502]
    assert client.get(LIST).status_code == 200


def test_retry_times_come_in_the_header_or_in_the_problem(sandbox: Sandbox, client: httpx.Client) -> None:
    """`retry-after` sets the header, `retry-at` the problem's timestamp and no header."""
    sandbox.faults = ["503:1,retry-after=7", "429:1,retry-at=30", "500:1,retryable=false"]
    assert client.get(LIST).headers["retry-after"] == "7"
    response = client.get(LIST)
    assert "retry-after" not in response.headers
    ahead = parsed(problem_of(response)["retryAfter"]) - datetime.now(timezone.utc)
    assert timedelta(seconds=20) < ahead < timedelta(seconds=31)
    assert problem_of(client.get(LIST))["retryable"] is False


def test_slow_answers_late(sandbox: Sandbox, client: httpx.Client) -> None:
    """The true answer comes, but not before its time."""
    sandbox.faults = ["slow:0.2"]
    begin = time.monotonic()
    assert ids(client.get(LIST)) == list(BREAKS)
    assert time.monotonic() - begin >= 0.2


def test_a_client_that_doesnt_wait_leaves_nothing_behind(sandbox: Sandbox, client: httpx.Client) -> None:
    """After a timeout the sandbox answers the next request, and the record has no status."""
    sandbox.faults = ["slow:60,times=1"]
    with pytest.raises(httpx.ReadTimeout):
        client.get(LIST, timeout=0.1)
    assert client.get(LIST).status_code == 200
    assert [record.status for record in sandbox.requests] == [None, 200]


def test_drip_sends_byte_by_byte(sandbox: Sandbox, client: httpx.Client) -> None:
    """The body arrives in many small pieces."""
    sandbox.connections = []
    sandbox.faults = ["drip:0.2"]
    with client.stream("GET", LIST) as response:
        assert list(response.iter_raw()) == [b"[", b"]"]
    assert response.headers["content-length"] == "2"


def test_cut_off_breaks_in_the_middle(sandbox: Sandbox, client: httpx.Client) -> None:
    """Half of the announced length is sent, then the connection is closed."""
    whole = client.get(LIST).content
    sandbox.faults = ["cut-off:1"]
    with client.stream("GET", LIST) as response:
        received = received_from(response)
    assert response.headers["content-length"] == str(len(whole))
    assert received == whole[: len(whole) // 2]


def received_from(response: httpx.Response) -> bytes:
    """What arrives of a body until the connection breaks, as it must."""
    received = b""
    try:
        for part in response.iter_raw():
            received += part
    except httpx.RemoteProtocolError:
        return received
    raise AssertionError("the body is whole")


def test_reset_and_hang_up_close_without_an_answer(sandbox: Sandbox, client: httpx.Client) -> None:
    """A reset is one on the wire (RST), a hang-up an orderly end (FIN); neither has a status."""
    sandbox.faults = ["reset:1", "hang-up:1"]
    with pytest.raises(httpx.ReadError, match=r"reset|10054"):
        client.get(LIST)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.get(LIST)
    assert [record.status for record in sandbox.requests] == [None, None]
    assert client.get(LIST).status_code == 200


@pytest.mark.parametrize(
    ("fault", "content_type", "check"),
    [
        ("invalid-json", "application/json", lambda body: body.startswith(b'[{"id":')),
        ("not-a-list", "application/json", lambda body: isinstance(json.loads(body), dict)),
        ("empty", "application/json", lambda body: body == b""),
        ("html,status=200", "text/html; charset=utf-8", lambda body: body.startswith(b"<!DOCTYPE html>")),
    ],
    ids=["invalid-json", "not-a-list", "empty", "html"],
)
def test_a_successful_status_with_a_useless_body(
    sandbox: Sandbox, client: httpx.Client, fault: str, content_type: str, check: Callable[[bytes], bool]
) -> None:
    """Status and length are right, the body isn't what the API sends."""
    sandbox.faults = [fault]
    response = client.get(LIST)
    assert (response.status_code, response.headers["content-type"]) == (200, content_type)
    assert check(response.content)
    if fault == "invalid-json":
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(response.content)


def test_html_is_a_proxys_error_page(sandbox: Sandbox, client: httpx.Client) -> None:
    """Without a status the page is a 502."""
    sandbox.faults = "html"
    assert client.get(LIST).status_code == 502


def test_redirect_leads_to_another_origin(sandbox: Sandbox, client: httpx.Client) -> None:
    """Path and query stay, so that a client that follows would call the other server."""
    sandbox.faults = ["redirect:1", "redirect,to=http://127.0.0.1:9/"]
    response = client.get(LIST, params={"provider": "slack"})
    assert response.status_code == 302
    assert response.headers["location"] == f"https://elsewhere.invalid{LIST}?provider=slack"
    assert client.get(LIST).headers["location"] == f"http://127.0.0.1:9{LIST}"


def test_huge_is_an_array_of_that_size(sandbox: Sandbox, client: httpx.Client) -> None:
    """The body is valid, as long as asked for, and its length isn't announced."""
    sandbox.faults = ["huge:3"]
    response = client.get(LIST)
    assert "content-length" not in response.headers
    assert 3 * 2**20 < len(response.content) < 3.2 * 2**20
    assert all(entry["id"] and entry["provider"] and entry["status"] for entry in response.json())


def test_key_echo_repeats_the_key(sandbox: Sandbox, client: httpx.Client) -> None:
    """The key that was sent stands in detail, remedy and issues."""
    sandbox.faults = ["key-echo"]
    document = problem_of(client.get(LIST))
    assert document["status"] == 401
    issue = document["issues"][0]
    assert all(sandbox.api_key in text for text in (document["detail"], document["remedy"], issue["detail"]))
    assert issue["value"] == sandbox.api_key


def test_every_named_fault_has_an_answer_and_strikes(sandbox: Sandbox, client: httpx.Client) -> None:
    """The lists of names and of answers are the same, and no fault lets the plain answer through unharmed."""
    assert set(NAMES) | {"status"} == set(ANSWERS)
    small = {"slow": "slow:0.01", "drip": "drip:0", "huge": "huge:1"}
    for name in NAMES:
        sandbox.clear_requests()
        sandbox.faults = [f"{small.get(name, name)},times=1"]
        try:
            client.get("/v1/projects")
        except httpx.TransportError:
            assert name in {"cut-off", "reset", "hang-up"}
        assert sandbox.requests[0].fault == f"{small.get(name, name)},times=1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cutoff", ["no fault 'cutoff'", "'cut-off'", "400 to 599"]),
        ("399", ["no fault '399'", "400 to 599"]),
        ("", ["no fault ''"]),
        ("429:0", ["times", "from 1 on", "'0'"]),
        ("429:x", ["times", "'x'"]),
        ("slow:soon", ["slow", "'soon'"]),
        ("slow:-1", ["slow", "'-1'"]),
        ("slow:nan", ["slow", "'nan'"]),
        ("429@lists", ["'lists'", "'list'", "reauth"]),
        ("429@other", ["'other'"]),
        ("429@", ["''", "projects"]),
        ("429,retry=3", ["'retry'", "retry-after"]),
        ("reset,retry-after=3", ["'retry-after'", "times"]),
        ("503,retryable=maybe", ["'maybe'", "true or false"]),
        ("html,status=99", ["'99'", "200 to 599"]),
        ("redirect,to=elsewhere", ["'elsewhere'", "https://"]),
    ],
)
def test_a_fault_that_isnt_one_is_refused_in_one_line(text: str, words: list[str]) -> None:
    """The message names the wrong part and what would be valid."""
    with pytest.raises(FaultError) as caught:
        Fault.parse(text)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words)


def test_wrong_faults_change_nothing(sandbox: Sandbox) -> None:
    """If one of several faults is wrong, the former ones stay."""
    sandbox.faults = ["429"]
    with pytest.raises(FaultError):
        sandbox.faults = ["503", "nonsense"]
    assert [fault.text for fault in sandbox.faults] == ["429"]


# Data sets


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("list_credentials", [True, False], ids=["credentials", "no-credentials"])
def test_all_answers_have_the_apis_shape(name: str, list_credentials: bool) -> None:
    """Every answer of every scenario is a project, connection or list of them."""
    count = 40 if name == "large" else None
    with (
        Sandbox(name, count=count, list_credentials=list_credentials) as sandbox,
        client_of(sandbox) as client,
    ):
        PROJECTS_SHAPE.validate(client.get("/v1/projects").json())
        path = f"/v1/projects/{sandbox.project}/connections"
        listed = client.get(path).json()
        CONNECTIONS_SHAPE.validate(listed)
        assert len({entry["id"] for entry in listed}) == len(listed)
        for entry in listed:
            for query in ({}, {"includeCreds": "true"}, {"includeRefreshToken": "true"}):
                CONNECTION_SHAPE.validate(client.get(f"{path}/{entry['id']}", params=query).json())


@pytest.mark.parametrize("name", SCENARIOS)
def test_all_answers_follow_the_published_contract(name: str) -> None:
    """Against the OpenAPI document that `AMPERSAND_OPENAPI` names: only scopes and statuses are looser."""
    contract = os.environ.get("AMPERSAND_OPENAPI")
    if contract is None:
        pytest.skip("AMPERSAND_OPENAPI names no OpenAPI document")
    components = json.loads(Path(contract).read_text("utf-8"))["components"]

    def differences(value: Any, schema: str) -> set[tuple[str | int, ...]]:
        # OpenAPI 3.0 describes data in the dialect that later became JSON Schema draft 5.
        validator = jsonschema.Draft4Validator({"$ref": f"#/components/schemas/{schema}", "components": components})
        return {tuple(error.absolute_path)[:2] for error in validator.iter_errors(value)}

    count = 40 if name == "large" else None
    with Sandbox(name, count=count) as sandbox, client_of(sandbox) as client:
        for project in client.get("/v1/projects").json():
            assert not differences(project, "Project")
        path = f"/v1/projects/{sandbox.project}/connections"
        for entry in client.get(path).json():
            assert differences(entry, "Connection") <= {("providerApp", "scopes"), ("status",)}
        assert not differences(client.get(f"{path}/none").json(), "InputValidationProblem")
        sandbox.faults = ["429,retry-at=3"]
        assert not differences(client.get(path).json(), "ApiProblem")


def test_the_sample_is_served_word_for_word() -> None:
    """The list's bytes are those of the data file, also with filters that leave the connection in."""
    text = (importlib.resources.files(package) / "data_sets" / "sample.json").read_bytes()
    with Sandbox("sample") as sandbox, client_of(sandbox) as client:
        assert [project["id"] for project in client.get("/v1/projects").json()] == ["project-456"]
        path = "/v1/projects/project-456/connections"
        assert client.get(path).content == text
        assert client.get(path, params={"provider": "salesforce"}).content == text
        assert client.get(path, params={"provider": "slack"}).content == b"[]"
        assert "<string>" not in sandbox.secrets
        sandbox.update("connection-123", status="bad_credentials")
        assert client.get(path).json()[0]["status"] == "bad_credentials"
        sandbox.reset()
        assert client.get(path).content == text


JUDGED_ANEW = frozenset({"no-bad-credentials", "required-scopes", "token-expiry", "verifiable-connections"})


def broken_rules(connection: Mapping[str, Any], now: datetime) -> frozenset[str]:
    """The rules of `JUDGED_ANEW` that a connection breaks, by what they say, without the package's rules."""
    broken = set()
    if connection["status"] == "bad_credentials":
        broken.add("no-bad-credentials")
    if connection["status"] not in {"created", "working", "bad_credentials"}:
        broken.add("verifiable-connections")
    if not connection["authScheme"].startswith("oauth2/authorizationCode"):
        return frozenset(broken)
    block = connection.get("oauth2AuthorizationCode")
    if block is None:
        return frozenset(broken | {"verifiable-connections"})
    granted = {scope for text in block["scopes"] for scope in text.split()}
    for wanted in CONFIGURATION["required-scopes"]["scopes"].get(connection["provider"], []):
        if not granted & set([wanted] if isinstance(wanted, str) else wanted):
            broken.add("required-scopes")
    token = block.get("refreshToken") or block["accessToken"]
    if "expiresAt" in token and parsed(token["expiresAt"]) < now + timedelta(days=7):
        broken.add("token-expiry")
    return frozenset(broken)


@pytest.mark.parametrize("days", [0, 400], ids=["at-the-start", "later"])
def test_mixed_breaks_what_the_table_says(days: int) -> None:
    """Each connection breaks the rules in the table, whenever the sandbox starts; each rule is broken and kept."""
    now = NOW + timedelta(days=days)
    connections = Sandbox("mixed", now=now).connections
    expected = {name: rules & JUDGED_ANEW for name, rules in BREAKS.items()}
    assert {entry["id"]: broken_rules(entry, now) for entry in connections} == expected
    for rule in JUDGED_ANEW:
        assert {rule in rules for rules in BREAKS.values()} == {True, False}
    assert NOT_EVALUATED.keys() <= BREAKS.keys()


@pytest.mark.parametrize("name", ["healthy", "large"])
def test_healthy_scenarios_break_nothing(name: str) -> None:
    """Nobody's rules find anything: scopes cover the provider app's, tokens are young, credentials differ."""
    connections = Sandbox(name, now=NOW, count=1000 if name == "large" else None).connections
    assert len(connections) >= 6
    for entry in connections:
        assert not broken_rules(entry, NOW), entry["id"]
        assert entry["authScheme"] in {"apiKey", "oauth2/authorizationCode", "oauth2/authorizationCodePKCE"}
        block = entry.get("oauth2AuthorizationCode")
        if block is not None:
            asked = {
                scope
                for item in entry["providerApp"]["scopes"]
                for scope in ([item] if isinstance(item, str) else item)
            }
            assert asked <= {scope for text in block["scopes"] for scope in text.split()}
            assert NOW - parsed(block["refreshToken"]["issuedAt"]) < timedelta(days=365)
            assert parsed(block["accessToken"]["expiresAt"]) > NOW
        assert NOW - parsed(entry["updateTime"]) < timedelta(days=30)
    keys = [(entry["provider"], entry["group"]["groupRef"], entry["consumer"]["consumerRef"]) for entry in connections]
    assert len(set(keys)) == len(keys)


def test_scenarios_hold_what_real_answers_hold() -> None:
    """Offsets, fraction digits, joined scopes, nested and flat ones, names in several scripts, an unknown field."""
    text = json.dumps(Sandbox("mixed", now=NOW).connections, ensure_ascii=False)
    assert "+02:00" in text
    digits = {len(fraction) for fraction in re.findall(r"\d\d:\d\d:\d\d\.?(\d*)[Z+]", text)}
    assert {0, 3, 6, 9} <= digits
    assert "api refresh_token openid" in text
    assert '"scopes": [["' in text
    assert re.search(r'"scopes": \["\w', text)
    assert "光陽" in text
    assert "labels" in text
    assert {entry["authScheme"] for entry in Sandbox("mixed").connections} >= {"apiKey", "basic"}


@pytest.mark.parametrize("name", ["healthy", "mixed", "large"])
def test_credentials_are_canaries(name: str) -> None:
    """Every credential is recognisable and listed among the secrets, and nothing else is."""
    sandbox = Sandbox(name, count=50 if name == "large" else None)
    found = re.findall(r'"(?:token|apiKey)": "([^"]+)"', json.dumps(sandbox.connections))
    assert all("CANARY" in secret for secret in found)
    assert sandbox.secrets == {*found, "sandbox-key"}


def test_large_is_large_alike_and_fast() -> None:
    """The same connections each time, 1.6 kB each, and the prepared answer goes out at once."""
    connections = Sandbox("large", now=NOW).connections
    assert len(connections) == 10_000
    assert connections[:50] == Sandbox("large", now=NOW, count=50).connections
    with Sandbox("large") as sandbox, client_of(sandbox) as client:
        first = client.get(LIST).content
        assert 1_300 < len(first) / 10_000 < 1_900
        begin = time.perf_counter()
        assert client.get(LIST).content == first
        assert time.perf_counter() - begin < 1


def test_some_of_large_can_be_broken() -> None:
    """So many as asked for have bad credentials, spread over the whole."""
    statuses = [entry["status"] for entry in Sandbox("large", count=100, broken=4).connections]
    assert [position for position, status in enumerate(statuses) if status == "bad_credentials"] == [24, 49, 74, 99]
    assert Sandbox("large", count=0).connections == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@now", "2026-03-01T12:30:15Z"),
        ("@now+3d", "2026-03-04T12:30:15Z"),
        ("@now-1h30m", "2026-03-01T11:00:15Z"),
        ("@now+1w-2s", "2026-03-08T12:30:13Z"),
        ("@now;fraction=1", "2026-03-01T12:30:15.1Z"),
        ("@now;fraction=9", "2026-03-01T12:30:15.123456000Z"),
        ("@now;offset=+02:00", "2026-03-01T14:30:15+02:00"),
        ("@now-1d;fraction=3;offset=-03:30", "2026-02-28T09:00:15.123-03:30"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ],
)
def test_times_count_from_the_start(text: str, expected: str) -> None:
    """The notation gives an RFC 3339 time with the digits and the offset asked for."""
    assert resolve(text, NOW) == expected


@pytest.mark.parametrize("text", ["@now+3", "@now+3y", "@nowhere", "@now;fraction=10", "@now+999999w", "@now+3d "])
def test_a_time_that_isnt_one_is_refused(text: str) -> None:
    """What starts like the notation must be in it."""
    with pytest.raises(ValueError, match="@now"):
        resolve(text, NOW)


def test_only_time_fields_are_resolved() -> None:
    """A name that looks like a time stays as it is."""
    entry = {"id": "@now", "group": {"groupName": "@nowhere", "createTime": "@now"}}
    resolved = {"id": "@now", "group": {"groupName": "@nowhere", "createTime": "2026-03-01T12:30:15Z"}}
    assert resolve_all([entry], NOW) == [resolved]


def test_a_file_is_served(tmp_path: Path) -> None:
    """Connections from a file, with their times resolved, in the project that they name."""
    file = tmp_path / "connections.json"
    entry = {"id": "c1", "projectId": "proj_own", "provider": "slack", "status": "working", "createTime": "@now-1d"}
    file.write_text(json.dumps([entry]), "utf-8")
    with Sandbox(data=file, now=NOW) as sandbox, client_of(sandbox) as client:
        for project in ("proj_own", "quickstart"):
            answer = client.get(f"/v1/projects/{project}/connections").json()
            assert answer == [{**entry, "createTime": "2026-02-28T12:30:15Z"}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["can't be read"]),
        (b"{", ["not JSON"]),
        (b"\xff[]", ["UTF-8"]),
        (b'{"id": "c"}', ["JSON array"]),
        (b"[1]", ["entry 0", "object"]),
        (b'[{"id": "c", "provider": "p", "status": ""}]', ["entry 0", "'status'"]),
        (b'[{"id": "c", "provider": "p", "status": "s"}, {"provider": "p", "status": "s"}]', ["entry 1", "'id'"]),
        (
            b'[{"id": "c", "provider": "p", "status": "s"}, {"id": "c", "provider": "p", "status": "s"}]',
            ["0 and 1", "'c'"],
        ),
        (b'[{"id": "c", "provider": "p", "status": "s", "createTime": "@now+3"}]', ["entry 0", "'@now+3'"]),
        (b"[" * 100_000, ["not JSON"]),
    ],
    ids=["missing", "cut", "bytes", "object", "number", "empty-field", "no-id", "twice", "time", "deep"],
)
def test_a_file_that_cant_be_served_is_refused(tmp_path: Path, content: bytes | None, words: list[str]) -> None:
    """The message names the file, the entry and what is wrong, in one line."""
    file = tmp_path / "connections.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        Sandbox(data=file)
    message = str(caught.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    assert all(word in message for word in words)


def test_connections_of_the_caller_are_served_as_they_are() -> None:
    """What a client must cope with can be served: entries that are none, lone surrogates, big numbers, wrong types."""
    entries = [42, None, {"id": 3}, {"id": "c", "group": "none", "note": "\ud800"}, {"id": "d", "size": 2**70}]
    with Sandbox(connections=entries) as sandbox, client_of(sandbox) as client:
        assert json.loads(client.get(LIST).content) == entries
        assert b"\\ud800" in client.get(LIST).content
        assert client.get(LIST, params={"groupRef": "none"}).content == b"[]"
        assert client.get(f"{LIST}/c", params={"includeCreds": "true"}).json()["group"] == "none"
        sandbox.list_body = b"\xff\xfe"
        assert client.get(LIST).content == b"\xff\xfe"


def test_several_projects_are_served() -> None:
    """Each has its own connections or the data set's, which then name that project."""
    projects = [
        Project(id="p1", name="one"),
        Project(id="p2", name="two", connections=[{"id": "c", "provider": "slack", "status": "working"}]),
    ]
    with Sandbox("healthy", projects=projects) as sandbox, client_of(sandbox) as client:
        assert [project["name"] for project in client.get("/v1/projects").json()] == ["one", "two"]
        first = client.get("/v1/projects/one/connections").json()
        assert {entry["projectId"] for entry in first} == {"p1"}
        assert {entry["group"]["projectId"] for entry in first} == {"p1"}
        assert ids(client.get("/v1/projects/p2/connections")) == ["c"]
        sandbox.update("c", status="bad_credentials")
        assert sandbox.connections_of("two")[0]["status"] == "bad_credentials"
        sandbox.set_connections("two", [])
        assert ids(client.get("/v1/projects/two/connections")) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sandbox("nonsense"),
        lambda: Sandbox("mixed", connections=[]),
        lambda: Sandbox("mixed", count=3),
        lambda: Sandbox(connections=[], count=3),
        lambda: Sandbox("large", count=-1),
        lambda: Sandbox("large", count=3, broken=4),
        lambda: Sandbox(projects=[Project(name="a", id="b"), Project(name="b", id="c")]),
        lambda: Sandbox(faults=["nonsense"]),
        lambda: Sandbox(connections=[{"createTime": "@now+"}]),
        lambda: Project.parse("="),
    ],
    ids=[
        "scenario",
        "two-sources",
        "count",
        "count-of-own",
        "negative",
        "broken",
        "projects",
        "fault",
        "time",
        "project",
    ],
)
def test_what_cant_be_served_is_refused_at_once(make: Callable[[], object]) -> None:
    """One line says why, before anything listens."""
    with pytest.raises(SandboxError) as caught:
        make()
    assert "\n" not in str(caught.value)


# Controlling it


def test_requests_are_recorded_without_the_key(sandbox: Sandbox, client: httpx.Client) -> None:
    """Kind, path, query, status and whether the key was right are kept, in order; the key isn't."""
    client.get(LIST, params={"provider": "slack"}, headers={"User-Agent": "test/1"})
    httpx.get(sandbox.url + ONE, headers={"X-Api-Key": "secret-of-mine"}, trust_env=False)
    client.get("/v1/projects")
    client.patch(f"{ONE}:oauth-update")
    client.get("/nothing")
    records = sandbox.requests
    assert [record.kind for record in records] == ["list", "one", "projects", "reauth", "other"]
    assert [record.status for record in records] == [200, 401, 200, 200, 404]
    assert [record.key_ok for record in records] == [True, False, True, True, True]
    assert (records[0].method, records[0].path, records[0].query) == ("GET", LIST, {"provider": "slack"})
    assert records[0].user_agent == "test/1"
    assert sandbox.counts == {"list": 1, "one": 1, "projects": 1, "reauth": 1, "other": 1}
    assert "secret-of-mine" not in repr(records)
    assert sandbox.api_key not in repr(records)
    sandbox.clear_requests()
    assert sandbox.requests == []


def test_concurrent_requests_are_counted(sandbox: Sandbox) -> None:
    """The sandbox answers in parallel, and says how many requests it had at once."""
    sandbox.faults = ["slow:0.3"]
    threads = [
        threading.Thread(target=httpx.get, args=(sandbox.url + LIST,), kwargs={"trust_env": False}) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sandbox.most_at_once == 4
    assert sandbox.counts["list"] == 4


def test_data_can_be_changed_while_it_runs(sandbox: Sandbox, client: httpx.Client) -> None:
    """Updates and replacements show in the next answer, and replaced credentials stay among the secrets."""
    before = sandbox.secrets
    assert client.get(LIST).json()[1]["status"] == "created"
    sandbox.update("conn_aster_hubspot", status="working", updateTime="@now")
    assert client.get(LIST).json()[1]["status"] == "working"
    sandbox.connections = [{"id": "new", "provider": "slack", "status": "working", "apiKey": "CANARY-new"}]
    assert ids(client.get(LIST)) == ["new"]
    assert client.get(ONE).status_code == 404
    assert sandbox.secrets == before | {"CANARY-new"}
    with pytest.raises(DataError, match="'gone'"):
        sandbox.update("gone", status="working")
    with pytest.raises(DataError, match="id"):
        sandbox.update("new", id="other")


def test_the_key_can_be_rotated(sandbox: Sandbox, client: httpx.Client) -> None:
    """After a rotation the old key is refused, and both are secrets."""
    sandbox.api_key = "another-key"
    assert client.get(LIST).status_code == 401
    assert client.get(LIST, headers={"X-Api-Key": "another-key"}).status_code == 200
    assert {"another-key", "sandbox-key"} <= sandbox.secrets
    assert sandbox.environment == {
        "AMP_API_URL": sandbox.url,
        "AMP_API_KEY": "another-key",
        "AMP_PROJECT": "quickstart",
    }


def test_many_threads_may_change_and_read(sandbox: Sandbox) -> None:
    """Concurrent updates and reads neither fail nor lose one another."""
    failures: list[object] = []

    def work(number: int) -> None:
        with client_of(sandbox) as client:
            for turn in range(20):
                sandbox.update("conn_aster_hubspot", **{f"field{number}": turn})
                response = client.get(LIST)
                if response.status_code != 200 or response.json()[1][f"field{number}"] != turn:
                    failures.append(response)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sandbox.counts["list"] == 80


def test_it_can_be_controlled_over_http(sandbox: Sandbox, client: httpx.Client) -> None:
    """Faults, log, data and key can be set from another process, without a key and without being logged."""
    with httpx.Client(base_url=sandbox.url, trust_env=False) as control:
        assert control.put("/_sandbox/faults", json=["429:1@list"]).json() == ["429:1@list"]
        assert client.get(LIST).status_code == 429
        assert control.get("/_sandbox/faults").json() == []
        (record,) = control.get("/_sandbox/requests").json()
        assert (record["kind"], record["status"], record["fault"]) == ("list", 429, "429:1@list")
        assert control.delete("/_sandbox/requests").json() == []
        entry = {"id": "c", "provider": "slack", "status": "working", "createTime": "@now"}
        assert control.put("/_sandbox/connections", json=[entry]).json() == {"connections": 1}
        assert ids(client.get(LIST)) == ["c"]
        assert control.patch("/_sandbox/connections/c", json={"status": "bad_credentials"}).status_code == 200
        assert client.get(LIST).json()[0]["status"] == "bad_credentials"
        assert control.put("/_sandbox/connections", params={"project": "proj_quickstart"}, json=[]).status_code == 200
        assert ids(client.get(LIST)) == []
        assert control.put("/_sandbox/api-key", json="next-key").status_code == 204
        assert client.get(LIST).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("PUT", "faults", b'["cutoff"]', "cut-off"),
        ("PUT", "faults", b"[3]", "text"),
        ("PUT", "faults", b'"429"', "JSON array"),
        ("PUT", "faults", b"[", "not JSON"),
        ("PUT", "connections", b"{}", "JSON array"),
        ("PUT", "connections", b'[{"createTime": "@now+"}]', "entry 0"),
        ("PUT", "connections?project=other", b"[]", "'other'"),
        ("PATCH", "connections/other", b"{}", "'other'"),
        ("PATCH", "connections/conn_aster_hubspot", b'{"createTime": "@now+"}', "@now+"),
        ("PUT", "api-key", b"3", "JSON text"),
    ],
)
def test_a_wrong_control_request_is_refused(sandbox: Sandbox, method: str, path: str, body: bytes, words: str) -> None:
    """The answer is one line of plain text that says what is wrong."""
    response = httpx.request(method, f"{sandbox.url}/_sandbox/{path}", content=body, trust_env=False)
    assert response.status_code == 400
    assert words in response.text
    assert response.text.count("\n") == 1


def test_control_is_for_the_same_computer_only() -> None:
    """A client from elsewhere is refused, the API is not."""
    from pulumi_ampersand.sandbox.control import create_control
    from pulumi_ampersand.sandbox.state import State
    from pulumi_ampersand.sandbox.store import Store

    data = Sandbox("healthy")
    state = State(store=Store([Project(connections=data.connections)], data._data, NOW), started=NOW)
    for address, expected in {"127.0.0.1": 200, "::1": 200, "::ffff:127.0.0.1": 200, "203.0.113.5": 403}.items():
        transport = httpx.ASGITransport(create_control(state), client=(address, 4000))
        assert run_asgi(transport, "http://sandbox/_sandbox/faults").status_code == expected


def run_asgi(transport: httpx.ASGITransport, url: str) -> httpx.Response:
    """One request to an application without a server."""
    import asyncio

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(url)

    return asyncio.run(get())


# Starting and stopping


def test_starting_and_stopping_is_quick_and_clean() -> None:
    """Neither waits for anybody, even with an idle connection and a request under way; the port stays for a restart."""
    sandbox = Sandbox("mixed")
    with pytest.raises(AddressError, match="started"):
        _ = sandbox.url
    starts, stops = [], []
    for _ in range(5):
        begin = time.perf_counter()
        sandbox.start()
        with client_of(sandbox) as client:
            starts.append(time.perf_counter() - begin)
            client.get(LIST)
            sandbox.faults = ["slow:60"]
            waiting = threading.Thread(target=fails, args=(sandbox.url,))
            waiting.start()
            while len(sandbox.requests) < 2:
                time.sleep(0.01)
            begin = time.perf_counter()
            sandbox.stop()
            stops.append(time.perf_counter() - begin)
            waiting.join()
        url = sandbox.url
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)
        sandbox.reset()
    assert sandbox.start().url == url
    sandbox.stop()
    sandbox.stop()
    # The quickest of them, because other programs slow the computer down.
    assert min(starts) < 0.15
    assert min(stops) < 0.15


def test_answers_dont_wait_for_one_another(client: httpx.Client) -> None:
    """Many small answers over one connection come without the delays of Nagle's algorithm."""
    begin = time.perf_counter()
    for _ in range(50):
        assert client.get(ONE).status_code == 200
    assert time.perf_counter() - begin < 1.5


def fails(url: str) -> None:
    """A request whose connection ends without an answer."""
    with pytest.raises(httpx.TransportError):
        httpx.get(url, trust_env=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_it_listens_on_the_host_asked_for(host: str) -> None:
    """Addresses of both families and names work, and the URL can be used as it is."""
    if host == "::1" and not has_ipv6():
        pytest.skip("no IPv6 here")
    with Sandbox("healthy", host=host) as sandbox, client_of(sandbox) as client:
        assert client.get("/v1/projects").status_code == 200
        link = client.patch(f"{LIST}/conn_aster_hubspot:oauth-update").text
        assert link.startswith(f"{sandbox.url}/_sandbox/consent/")


def has_ipv6() -> bool:
    """Whether this computer has the IPv6 loopback address."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_a_port_in_use_is_reported() -> None:
    """The message names host and port, in one line."""
    with Sandbox("healthy") as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        with pytest.raises(AddressError, match=rf"^can't listen on 127\.0\.0\.1, port {port}: .*port 0$"):
            Sandbox("healthy", port=port).start()


# The command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_command_serves_until_it_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    """It prints how to use it, writes the ready file, serves, and ends quietly with 0 and without that file."""
    ready = tmp_path / "ready"
    arguments = ["--port", "0", "--ready-file", str(ready), "--project", "a b", "--fault", "503:1", "--api-key", "k y"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        url = wait_for(ready, process)
        path = f"{url}/v1/projects/a%20b/connections"
        headers = {"X-Api-Key": "k y"}
        assert httpx.get(path, headers=headers, trust_env=False).status_code == 503
        assert ids(httpx.get(path, headers=headers, trust_env=False)) == list(BREAKS)
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (0, "")
    headline, *exports = out.splitlines()
    assert headline == f"# Sandbox on {url}, 12 connections in project a b; Ctrl-C ends it."
    assert exports == [f"export AMP_API_URL={url}", "export AMP_API_KEY='k y'", "export AMP_PROJECT='a b'"]
    assert list(tmp_path.iterdir()) == []


def wait_for(ready: Path, process: "subprocess.Popen[str]") -> str:
    """The URL in the ready file, as soon as it is there."""
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        if ready.exists():
            return ready.read_text("utf-8").strip()
        time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fault", "cutoff"], ["'cut-off'", "valid are"]),
        (["--scenario", "mixd"], ["'mixed'", "healthy"]),
        (["--data", "no-such-file"], ["no-such-file", "can't be read"]),
        (["--scenario", "mixed", "--data", "x"], ["choose one"]),
        (["--count", "3"], ["'large'"]),
        (["--project", "=x"], ["ID=NAME"]),
        (["--port", "{used}"], ["can't listen", "port 0"]),
        (["--port", "0", "--ready-file", "no/such/folder"], ["--ready-file", "can't be written"]),
    ],
    ids=["fault", "scenario", "data", "two-sources", "count", "project", "port", "ready-file"],
)
def test_the_command_says_what_is_wrong_in_one_line(sandbox: Sandbox, arguments: list[str], words: list[str]) -> None:
    """Wrong usage ends with status 2 and one line on standard error."""
    from click.testing import CliRunner

    from pulumi_ampersand.sandbox.command import sandbox as command

    used = sandbox.url.rpartition(":")[2]
    result = CliRunner().invoke(command, [argument.format(used=used) for argument in arguments])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words)


def test_the_help_lists_every_fault() -> None:
    """What `--fault` takes is in the help."""
    from click.testing import CliRunner

    from pulumi_ampersand.sandbox.command import sandbox as command

    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert all(f"  {name}" in result.stdout for name in NAMES)


def test_without_the_extra_one_line_says_what_to_install() -> None:
    """The command can be imported without the web server, and then ends with status 2."""
    program = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from pulumi_ampersand.sandbox.command import sandbox\n"
        "assert 'starlette' not in sys.modules\n"
        "sandbox(['--port', '0'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8", check=False, timeout=30
    )
    assert result.returncode == 2
    assert result.stderr == "Error: the sandbox needs its web server: pip install 'pulumi-ampersand[sandbox]'\n"
    assert result.stdout == ""


def test_what_is_exported_is_what_is_listed() -> None:
    """Every name in `__all__` exists, and the list is sorted as ruff sorts it."""
    assert all(hasattr(package, name) for name in package.__all__)


def parsed(text: str) -> datetime:
    """The moment that an RFC 3339 text stands for."""
    match = re.fullmatch(r"([^.Z+]+?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text)
    assert match is not None
    fraction = (match[2] or "")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{match[1]}.{fraction}{'+00:00' if match[3] == 'Z' else match[3]}")
