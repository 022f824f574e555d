"""Reading connections: looser than the contract, and without credentials."""

import copy
import gc
import json
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
import pytest

from loose_answers import CANARY, WRONG, loose_answer
from pulumi_ampersand import answers, model
from pulumi_ampersand.answers import read_connection, read_connections, read_projects, without_collection
from pulumi_ampersand.errors import AnswerError
from pulumi_ampersand.model import (
    Connection,
    Consumer,
    Group,
    MetadataItem,
    Observation,
    ProviderApp,
    Record,
    Token,
    parse_time,
)
from pulumi_ampersand.sandbox import SCENARIOS, Sandbox
from pulumi_ampersand.terminal import one_line

LEAST: dict[str, Any] = {"id": "c", "provider": "p", "status": "working"}
TOKEN = {"token": f"{CANARY}-token", "issuedAt": "2026-01-01T00:00:00.5Z", "expiresAt": "2026-01-02T00:00:00+01:00"}
FULL: dict[str, Any] = {
    "id": "connection-1",
    "projectId": "project-1",
    "provider": "salesforce",
    "status": "working",
    "authScheme": "oauth2/authorizationCode",
    "group": {"groupRef": "g-1", "groupName": "Group", "projectId": "project-1", "createTime": "2026-01-01T00:00:00Z"},
    "consumer": {
        "consumerRef": "c-1",
        "consumerName": "Consumer",
        "projectId": "project-1",
        "createTime": "2026-01-01T00:00:00Z",
    },
    "providerApp": {
        "id": "app-1",
        "projectId": "project-1",
        "externalRef": "external-1",
        "provider": "salesforce",
        "clientId": "client-1",
        "scopes": ["write", "read"],
        "createTime": "2026-01-01T00:00:00Z",
        "clientSecret": f"{CANARY}-secret",
    },
    "providerWorkspaceRef": "workspace-1",
    "providerConsumerRef": "user-1",
    "providerMetadata": {"instance.url": {"value": "https://x.test", "source": "token", "displayName": "Instance"}},
    "createTime": "2026-01-01T00:00:00Z",
    "updateTime": "2026-01-02T00:00:00Z",
    "oauth2AuthorizationCode": {"accessToken": {**TOKEN}, "refreshToken": {**TOKEN}, "scopes": ["read", "write"]},
    "apiKey": f"{CANARY}-key",
}
"""A connection in which every field that is read has a value."""

REQUIRED = ("id", "provider", "status")
SCOPES = ("providerApp.scopes", "oauth2AuthorizationCode.scopes")


def body(*entries: Any) -> bytes:
    """A list answer."""
    return json.dumps(entries).encode()


def read(entry: Mapping[str, Any], *, refresh_token_told: bool = False) -> tuple[Connection, Observation]:
    """The only entry of an answer."""
    (found,) = read_connections(body(entry), refresh_token_told=refresh_token_told)
    return found


def all_read_paths() -> list[tuple[str, ...]]:
    """The path of each field of `FULL` that is read, in it or in one of its parts."""

    def walk(hint: Any, value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if path:
            yield path
        for option in (hint, *get_args(hint)):
            if get_origin(option) is dict:
                for key, item in value.items():
                    yield from walk(get_args(option)[1], item, (*path, key))
            elif is_typeddict(option):
                for key, kind in get_type_hints(option).items():
                    yield from walk(kind, value[key], (*path, key))
            elif option is Token:
                yield from ((*path, field.encode_name) for field in msgspec.structs.fields(Token))

    return list(walk(answers._SentConnection, FULL, ()))


PATHS = [path for path in all_read_paths() if path not in {(key,) for key in REQUIRED}]
"""The path of each optional field; a field that is missing in `FULL` would be a KeyError here."""


def without(path: tuple[str, ...]) -> dict[str, Any]:
    """`FULL` without one field."""
    entry = copy.deepcopy(FULL)
    part = entry
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    return entry


def with_value(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`FULL` with another value in one field."""
    entry = without(path)
    part = entry
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return entry


def value_at(path: tuple[str, ...]) -> Any:
    """A field's value in `FULL`."""
    value: Any = FULL
    for key in path:
        value = value[key]
    return value


def fits(path: tuple[str, ...], value: Any) -> bool:
    """Whether a value has the right JSON type for a field."""
    if ".".join(path) in SCOPES:
        return value == [] or isinstance(value, str)
    return isinstance(value, type(value_at(path)))


def kind(value: Any) -> str:
    """What the gap says was sent."""
    if isinstance(value, bool):
        return "true or false"
    return {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}[type(value)]


def test_a_whole_connection_is_read() -> None:
    """Every field arrives under its name, and scopes are sorted."""
    connection, observation = read(FULL)
    assert connection == {
        **{key: FULL[key] for key in ("id", "provider", "projectId", "authScheme", "group", "consumer", "createTime")},
        **{key: FULL[key] for key in ("providerWorkspaceRef", "providerConsumerRef", "providerMetadata")},
        "providerApp": {
            **{key: value for key, value in FULL["providerApp"].items() if key != "clientSecret"},
            "scopes": ["read", "write"],
        },
        "healthy": True,
        "scopes": ["read", "write"],
    }
    token = Token(issued_at=TOKEN["issuedAt"], expires_at=TOKEN["expiresAt"])
    assert observation == Observation(
        FULL["id"],
        status="working",
        update_time=FULL["updateTime"],
        oauth=True,
        access_token=token,
        refresh_token=token,
    )


def test_the_least_connection_is_read() -> None:
    """Three fields suffice; what the API didn't say is missing, and no gap."""
    connection, observation = read(LEAST)
    assert connection == {"id": "c", "provider": "p", "healthy": True}
    assert observation == Observation("c", status="working")
    assert observation.gaps == {}


def test_what_steers_a_terminal_is_taken_out_everywhere() -> None:
    """Of every text that is kept, token times included; line ends and tabs stay."""
    steering, rest = "\x1b[2J\r\u202e<{%x%}>\n\té", "[2J < {%x%}>\n\té"

    def extended(value: Any, by: str) -> Any:
        if isinstance(value, dict):
            return {key: extended(item, by) for key, item in value.items()}
        return [extended(item, by) for item in value] if isinstance(value, list) else f"{value}{by}"

    assert read(extended(FULL, steering)) == read(extended(FULL, rest))


@pytest.mark.parametrize("steering", ["<{%", "\x7f", "\u202e", "\x1b"])
def test_one_steering_text_is_found(steering: str) -> None:
    """However it is written, and be it the only one."""
    for ascii_only in (True, False):
        sent = json.dumps([{**LEAST, "group": {"groupName": f"a{steering}b"}}], ensure_ascii=ascii_only).encode()
        ((connection, _),) = read_connections(sent)
        assert connection["group"]["groupName"] == one_line(f"a{steering}b")


def test_names_that_become_keys_are_harmless() -> None:
    """Pulumi's CLI escapes the values of a document that it shows, but not the keys."""
    connection, observation = read(
        {**LEAST, "providerMetadata": {"a\x1b[2J\u202eb": {"value": 5, "source": "in\x1bput"}}}
    )
    assert connection["providerMetadata"] == {"a[2Jb": {"source": "input"}}
    assert observation.gaps == {"providerMetadata.a[2Jb.value": "the API sent a number"}


def test_the_paths_cover_what_is_read() -> None:
    """The loops below are over all fields."""
    assert len(PATHS) == len(set(PATHS)) == 37
    assert ("oauth2AuthorizationCode", "refreshToken", "expiresAt") in PATHS
    assert ("providerMetadata", "instance.url", "value") in PATHS


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_null_is_the_same_as_absent(path: tuple[str, ...]) -> None:
    """A field that is null is missing, and no gap."""
    nulled = read(with_value(path, None))
    assert nulled == read(without(path))
    assert nulled[1].gaps == {}


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_a_wrong_type_counts_as_absent_and_is_a_gap(path: tuple[str, ...]) -> None:
    """Only the field itself is lost, the gap has its name and what was sent, and never the value."""
    expected = read(without(path))
    wrong = [value for value in [*WRONG, f"{CANARY}-text"] if not fits(path, value)]
    assert len(wrong) > 5
    for value in wrong:
        connection, observation = read(with_value(path, value))
        assert (connection, msgspec.structs.replace(observation, gaps={})) == expected
        ((name, reason),) = observation.gaps.items()
        assert name == ".".join(path)
        assert reason.startswith(f"the API sent {kind(value)}")
        assert CANARY not in reason


def test_a_list_that_holds_more_than_scopes_says_so() -> None:
    """That "a list" was sent would be no explanation where a list is right."""
    _, observation = read({**LEAST, "providerApp": {"scopes": ["read", 5]}})
    assert observation.gaps == {"providerApp.scopes": "the API sent a list that holds more than text"}


def test_several_wrong_types_are_several_gaps() -> None:
    """Each is found, however deep, and everything else is kept."""
    entry = copy.deepcopy(FULL)
    entry["createTime"] = 5
    entry["group"]["groupName"] = {}
    entry["oauth2AuthorizationCode"]["accessToken"]["issuedAt"] = []
    entry["providerMetadata"]["other"] = 1
    connection, observation = read(entry)
    assert observation.gaps == {
        "createTime": "the API sent a number",
        "group.groupName": "the API sent an object",
        "oauth2AuthorizationCode.accessToken.issuedAt": "the API sent a list",
        "providerMetadata.other": "the API sent a number",
    }
    assert connection.group == {key: value for key, value in FULL["group"].items() if key != "groupName"}
    assert observation.access_token == Token(expires_at=TOKEN["expiresAt"])
    assert connection.provider_metadata == FULL["providerMetadata"]


def test_a_gap_of_one_entry_is_no_gap_of_another() -> None:
    """One odd entry leaves the others as they are."""
    found = read_connections(body(FULL, {**LEAST, "projectId": 5}, FULL))
    assert [len(observation.gaps) for _, observation in found] == [0, 1, 0]
    assert found[0] == found[2] == read(FULL)


@pytest.mark.parametrize("key", REQUIRED)
@pytest.mark.parametrize("value", [None, "absent", *WRONG], ids=repr)
def test_an_entry_without_the_indispensable_is_an_error(key: str, value: Any) -> None:
    """The message names position and field, and never the value."""
    entry = {**FULL, key: value}
    if value == "absent":
        del entry[key]
    with pytest.raises(AnswerError) as caught:
        read_connections(body(LEAST, LEAST, entry))
    assert str(caught.value) == f'connections[2] has no "{key}"'


@pytest.mark.parametrize(
    ("entry", "what"),
    [(None, "null"), (5, "a number"), ("x", "text"), (True, "true or false"), ([FULL], "a list")],
    ids=repr,
)
def test_an_entry_that_is_no_object_is_an_error(entry: Any, what: str) -> None:
    """The message names position and type."""
    with pytest.raises(AnswerError) as caught:
        read_connections(body(LEAST, entry))
    assert str(caught.value) == f"connections[1] is {what}, not an object"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"{}", "an object"),
        (b'{"results": [', "an object"),
        (b'{"a":' + b"[" * 100_000, "an object"),
        (b" \r\n\tnull", "null"),
        (b"false", "true or false"),
        (b'"text"', "text"),
        (b"5", "a number"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_answer_that_is_no_array_is_an_error(data: bytes, what: str) -> None:
    """The message says what was expected and what came, even where that isn't whole."""
    with pytest.raises(AnswerError) as caught:
        read_connections(data)
    assert str(caught.value) == f"expected a JSON array of connections, got {what}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"[",
        b"]",
        b"[,]",
        b"<html><body>CANARY</body></html>",
        b"[] []",
        b"[" * 100_000,
        body(LEAST)[:-1],
        body(LEAST)[:-9],
        body(LEAST)[:-1] + b",",
        body(LEAST) + b"\0",
        body(LEAST).decode().encode("utf-16"),
        b'[{"id": "CANARY\\q"}]',
        b'[{"id": 01}]',
        b'[{"id": NaN}]',
        b"[{'id': 'CANARY'}]",
        b'[{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        b"\x00\xff\xfe" * 100,
    ],
    ids=lambda data: repr(data)[:24],
)
def test_an_answer_that_is_no_json_is_an_error(data: bytes) -> None:
    """The message is one short line that shows nothing of the answer."""
    for call in (read_connections, read_projects, lambda data: read_connection(data, refresh_token_told=True)):
        with pytest.raises(AnswerError) as caught:
            call(data)
        text = str(caught.value)
        assert text.startswith(("expected a JSON ", "connections[0] "))
        assert len(text) < 200
        assert CANARY not in text
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_empty_list_is_no_error() -> None:
    """A project may have no connections."""
    assert read_connections(b" [ ] \n") == []


def test_a_byte_order_mark_is_skipped() -> None:
    """Some shells and editors begin a file with one."""
    assert read_connections(b"\xef\xbb\xbf" + body(FULL)) == [read(FULL)]
    assert read_connection(b"\xef\xbb\xbf" + json.dumps(FULL).encode(), refresh_token_told=False) == read(FULL)


@pytest.mark.parametrize(
    "unknown",
    [b"1e999", b"-" + b"9" * 5000, b'"\\ud800"', b'"\xff"', b"[" * 50 + b"]" * 50, b'{"\\udc00": {"token": "CANARY"}}'],
    ids=lambda data: repr(data)[:16],
)
@pytest.mark.parametrize("known", [b'"project-1"', b"5"], ids=["clean", "with-a-gap"])
def test_unknown_fields_are_skipped_whatever_they_hold(unknown: bytes, known: bytes) -> None:
    """New fields will come, and none of them can spoil what is known."""
    entry = b'{"id": "c", "provider": "p", "status": "working", "new": %b, "projectId": %b}' % (unknown, known)
    ((connection, observation),) = read_connections(b"[" + entry + b"]")
    assert connection == {"id": "c", "provider": "p", "healthy": True} | (
        {"projectId": "project-1"} if known == b'"project-1"' else {}
    )
    assert observation.gaps == ({"projectId": "the API sent a number"} if known == b"5" else {})


@pytest.mark.parametrize("number", [b"1e999", b"-1e-999", b"9" * 5000], ids=lambda data: repr(data)[:12])
def test_numbers_without_bounds_are_gaps(number: bytes) -> None:
    """A number that no computer can hold is still only a wrong type."""
    ((_, observation),) = read_connections(b'[{"id":"c","provider":"p","status":"s","createTime":%b}]' % number)
    assert observation.gaps == {"createTime": "the API sent a number"}


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (rb"\ud800", "\ufffd"),
        (rb"\uDFFF", "\ufffd"),
        (rb"a\ud83d\ud83d\ude00b", "a\ufffd😀b"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (rb"\ud83d\ude00", "😀"),
        (rb"\\ud800", "\\ud800"),
        (rb"\\\ud800", "\\\ufffd"),
        (rb"\\ud800 \ud800", "\\ud800 \ufffd"),
        (rb"\\\\ud800", "\\\\ud800"),
        (rb"\\\\\ud800\"", '\\\\\ufffd"'),
        (rb"\ud800\n\\", "\ufffd\n\\"),
        (rb"\ud800d800", "\ufffdd800"),
        (rb"\u0000\ud800", "\ufffd"),
        (b"a\xffb\xc3", "a\ufffdb\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xc3\xa9\xf0\x9f\x9a\x80", "é🚀"),
    ],
    ids=ascii,
)
def test_what_is_no_text_is_replaced(sent: bytes, text: str) -> None:
    """Lone surrogates and bytes that aren't UTF-8 become U+FFFD, in values and in keys; all else stays."""
    data = b"""[{"id": "%b", "provider": "p", "status": "s", "group": {"groupName": "%b"},
        "providerMetadata": {"%b": {"value": "%b"}}, "new %b": 1}]""" % ((sent,) * 5)
    ((connection, observation),) = read_connections(data)
    assert (connection.id, connection.group) == (text, {"groupName": text})
    assert connection.provider_metadata == {one_line(text): {"value": text}}
    assert observation.gaps == {}
    json.dumps(connection, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("sent", "scopes"),
    [
        (None, None),
        ([], []),
        ([[]], []),
        ("", []),
        ("  ", []),
        ("write read", ["read", "write"]),
        ("read\twrite\nread", ["read", "write"]),
        (["write", "read", "write"], ["read", "write"]),
        ([["oauth", "offline", "crm.read"]], ["crm.read", "oauth", "offline"]),
        ([["b"], ["a"], []], ["a", "b"]),
        (["c b", ["a c"]], ["a", "b", "c"]),
        (["Z", "a", "é", "_"], ["Z", "_", "a", "é"]),
    ],
    ids=repr,
)
def test_scopes_come_in_many_forms(sent: Any, scopes: list[str] | None) -> None:
    """Flat, nested or several in one text: they are a sorted set, and an empty one isn't an unknown one."""
    connection, _ = read({**LEAST, "providerApp": {"scopes": sent}, "oauth2AuthorizationCode": {"scopes": sent}})
    assert connection.scopes == scopes
    assert connection.provider_app is not None
    assert connection.provider_app.scopes == scopes
    assert ("scopes" in connection) is (scopes is not None)


@pytest.mark.parametrize(
    ("group", "read_as"),
    [(None, None), ({}, {}), ({"groupName": "x"}, {"groupName": "x"}), ({"groupRef": None, "groupName": None}, {})],
    ids=repr,
)
def test_partial_groups_and_consumers(group: Any, read_as: Any) -> None:
    """Either may be null, empty or lack fields."""
    consumer = group and {key.replace("group", "consumer"): value for key, value in group.items()}
    connection, observation = read({**LEAST, "group": group, "consumer": consumer})
    assert connection.group == read_as
    assert connection.consumer == (read_as and {k.replace("group", "consumer"): v for k, v in read_as.items()})
    assert observation.gaps == {}


@pytest.mark.parametrize(
    ("status", "healthy"),
    [("created", True), ("working", True), ("bad_credentials", False), ("", False), ("Working", False), ("new", False)],
)
def test_health_follows_from_the_status(status: str, healthy: bool) -> None:
    """An unknown status isn't healthy; the status itself is kept as sent."""
    connection, observation = read({**LEAST, "status": status, "healthy": not healthy})
    assert connection.healthy is healthy
    assert observation.status == status


def test_created_and_working_are_the_same_connection() -> None:
    """The API flips between the two all day, which is no change."""
    assert read({**FULL, "status": "created"})[0] == read({**FULL, "status": "working"})[0]


def test_tokens_times_are_no_part_of_a_connection() -> None:
    """A token refresh changes how it was found, not what it is."""
    later = copy.deepcopy(FULL)
    later["updateTime"] = later["oauth2AuthorizationCode"]["accessToken"]["expiresAt"] = "2027-01-01T00:00:00Z"
    assert read(later)[0] == read(FULL)[0]
    assert read(later)[1] != read(FULL)[1]


def test_unknown_schemes_are_kept() -> None:
    """New values will come."""
    assert read({**LEAST, "authScheme": "smoke-signals"})[0].auth_scheme == "smoke-signals"


GRANTS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    # What was sent; what a list says of the refresh token; what is known when the API was asked for it.
    "token": ({"oauth2AuthorizationCode": {"refreshToken": {}}}, Token(), Token()),
    "absent": ({"oauth2AuthorizationCode": {"accessToken": {}}}, msgspec.UNSET, None),
    "null": ({"oauth2AuthorizationCode": {"refreshToken": None}}, msgspec.UNSET, None),
    "wrong": ({"oauth2AuthorizationCode": {"refreshToken": 5}}, msgspec.UNSET, msgspec.UNSET),
    "wrong-time": ({"oauth2AuthorizationCode": {"refreshToken": {"issuedAt": 5}}}, Token(), Token()),
    "empty-grant": ({"oauth2AuthorizationCode": {}}, msgspec.UNSET, None),
    "wrong-grant": ({"oauth2AuthorizationCode": []}, msgspec.UNSET, msgspec.UNSET),
    "no-grant": ({}, msgspec.UNSET, None),
}


@pytest.mark.parametrize(("fields", "listed", "told"), GRANTS.values(), ids=GRANTS)
def test_a_refresh_token_is_there_or_absent_or_unknown(fields: dict[str, Any], listed: Any, told: Any) -> None:
    """It counts as absent only where the API was asked for it and said so: a gap is no "no"."""
    assert read({**LEAST, **fields})[1].refresh_token == listed
    assert read({**LEAST, **fields}, refresh_token_told=True)[1].refresh_token == told
    one = read_connection(json.dumps({**LEAST, **fields}).encode(), refresh_token_told=True)
    assert one == read({**LEAST, **fields}, refresh_token_told=True)


def test_whether_there_is_a_grant_is_kept() -> None:
    """Rules about scopes judge what carries a grant, whatever its scheme says."""
    assert read({**LEAST, "oauth2AuthorizationCode": {}})[1].oauth
    assert not read({**LEAST, "authScheme": "oauth2/authorizationCode"})[1].oauth


def credentials_everywhere() -> Iterator[dict[str, Any]]:
    """Entries with credentials in all places, well-formed and not."""
    yield FULL
    yield {**FULL, "projectId": 5}
    yield {**FULL, "newField": {"token": f"{CANARY}-new"}, "token": f"{CANARY}-top", "projectId": 5}
    for path in PATHS:
        if path[0] == "oauth2AuthorizationCode" and path[-1] != "scopes":
            for value in ([f"{CANARY}-list"], {"token": f"{CANARY}-object"}, {f"{CANARY}-key": 1}):
                yield with_value(path, value)
    grant = FULL["oauth2AuthorizationCode"]
    yield {**FULL, "oauth2AuthorizationCode": {**grant, "accessToken": f"{CANARY}-text"}}
    yield {**FULL, "basic": {"username": f"{CANARY}-user", "password": f"{CANARY}-password"}, "group": "wrong"}


def test_credentials_are_dropped() -> None:
    """No token or key is left in what was read: not in a repr, a pickle or JSON."""
    for entry in credentials_everywhere():
        found = read(entry)
        assert CANARY in json.dumps(entry)
        assert CANARY not in repr(found)
        assert CANARY.encode() not in pickle.dumps(found)
        assert CANARY.encode() not in msgspec.json.encode(found)


@pytest.mark.parametrize("key", REQUIRED)
def test_credentials_are_in_no_error(key: str) -> None:
    """An entry that can't be read shows nothing of itself, the error's chain included."""
    for entry in credentials_everywhere():
        with pytest.raises(AnswerError) as caught:
            read_connections(body({**entry, key: [CANARY]}))
        error: BaseException | None = caught.value
        while error is not None:
            assert CANARY not in f"{error!r} {error} {error.args}"
            error = error.__cause__ or error.__context__


@pytest.mark.parametrize("seed", range(300))
def test_loose_answers_are_read(seed: int) -> None:
    """Whatever is odd about an answer, all its connections are read and no credential is."""
    found = read_connections(loose_answer(seed))
    assert sorted(connection.id for connection, _ in found) == [f"conn-{number}" for number in range(5)]
    text = msgspec.json.encode(found).decode()
    assert CANARY not in text
    for connection, observation in found:
        assert None not in list(_leaves(connection))
        assert observation.gaps.keys() <= {*_dotted(loose_answer(seed))}


def _leaves(value: Any) -> Iterator[Any]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if items is None:
        yield value
        return
    for item in items:
        yield from _leaves(item)


def _dotted(data: bytes) -> Iterator[str]:
    """The dotted path of every value below an entry."""

    def walk(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield f"{path}{key}"
                yield from walk(item, f"{path}{key}.")

    for entry in json.loads(answers.repair_text(data)):
        yield from walk(entry, "")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_well_formed_data_has_no_gaps(scenario: str) -> None:
    """What the sandbox serves as well-formed is read without a gap, in its order."""
    sandbox = Sandbox(scenario, count=50) if scenario == "large" else Sandbox(scenario)
    found = read_connections(body(*sandbox.connections))
    assert [connection.id for connection, _ in found] == [entry["id"] for entry in sandbox.connections]
    assert not any(observation.gaps for _, observation in found)
    text = msgspec.json.encode(found).decode()
    assert not any(secret in text for secret in sandbox.secrets)


def test_a_connection_is_a_dict_with_attributes() -> None:
    """It can be exported and lifted as what it is, and read as an object."""
    connection, _ = read(FULL)
    assert isinstance(connection, dict)
    assert (connection.id, connection["id"], connection.healthy) == ("connection-1", "connection-1", True)
    assert (connection.project_id, connection.provider) == ("project-1", "salesforce")
    assert (connection.auth_scheme, connection.create_time) == (FULL["authScheme"], FULL["createTime"])
    assert (connection.provider_workspace_ref, connection.provider_consumer_ref) == ("workspace-1", "user-1")
    group, consumer, app = connection.group, connection.consumer, connection.provider_app
    assert (type(group), type(consumer), type(app)) == (Group, Consumer, ProviderApp)
    assert group is not None
    assert consumer is not None
    assert app is not None
    assert (group.ref, group.name, group.project_id) == ("g-1", "Group", "project-1")
    assert (consumer.ref, consumer.name, consumer.create_time) == ("c-1", "Consumer", FULL["createTime"])
    assert (app.id, app.client_id, app.external_ref, app.scopes) == (
        "app-1",
        "client-1",
        "external-1",
        ["read", "write"],
    )
    assert connection.provider_metadata is not None
    item = connection.provider_metadata["instance.url"]
    assert (type(item), item.value, item.source, item.display_name) == (
        MetadataItem,
        "https://x.test",
        "token",
        "Instance",
    )


RECORDS = {
    Connection: answers.ConnectionKeys,
    Group: answers.GroupKeys,
    Consumer: answers.ConsumerKeys,
    ProviderApp: answers.ProviderAppKeys,
    MetadataItem: answers.MetadataItemKeys,
    model.Project: answers._SentProject,
}


def attributes(record: type[Record]) -> dict[str, str]:
    """A record's attributes and the keys that they read."""
    return {name: field._key for name, field in vars(record).items() if isinstance(field, model._Field)}


@pytest.mark.parametrize(("record", "keys"), RECORDS.items(), ids=lambda item: item.__name__)
def test_every_key_has_an_attribute(record: type[Record], keys: type) -> None:
    """Attributes and keys can't drift apart, and what is absent is None as an attribute."""
    assert sorted(attributes(record).values()) == sorted(get_type_hints(keys))
    assert all(getattr(record(), name) is None for name in attributes(record))


@pytest.mark.parametrize("record", RECORDS, ids=lambda item: item.__name__)
def test_attributes_are_named_in_pythons_way_and_read_only(record: type[Record]) -> None:
    """A misspelt assignment is an error, and none hides a method of dict."""
    for name in attributes(record):
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name)
        assert not hasattr(dict, name)
        with pytest.raises(AttributeError):
            setattr(record(), name, "x")
    with pytest.raises(AttributeError):
        record().misspelt  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError):
        record().misspelt = 1  # type: ignore[attr-defined]


def test_a_connection_survives_copies() -> None:
    """A copy or pickle is the same connection, with its attributes."""
    connection, _ = read(FULL)
    for twin in (copy.copy(connection), copy.deepcopy(connection), pickle.loads(pickle.dumps(connection))):
        assert twin == connection
        assert type(twin) in {Connection, dict}
    assert pickle.loads(pickle.dumps(connection)).project_id == "project-1"
    assert json.loads(json.dumps(connection)) == connection


@pytest.mark.parametrize(
    ("fields", "customer"),
    [
        ({}, ""),
        ({"group": {}}, ""),
        ({"group": {"groupRef": "g"}}, "g"),
        ({"group": {"groupRef": "g", "groupName": "Group"}}, "Group"),
        ({"group": {"groupRef": "g", "groupName": ""}}, "g"),
        ({"group": {}, "consumer": {"consumerRef": "c"}}, "c"),
        ({"group": None, "consumer": {"consumerRef": "c", "consumerName": "Consumer"}}, "Consumer"),
        ({"group": {"groupRef": "g"}, "consumer": {"consumerName": "Consumer"}}, "g"),
    ],
    ids=repr,
)
def test_the_customer_has_the_best_name_there_is(fields: dict[str, Any], customer: str) -> None:
    """The group's name, its ref, the consumer's name or ref, in this order."""
    assert read({**LEAST, **fields})[0].customer == customer


def test_projects_are_read() -> None:
    """Unknown fields are skipped; ID and name are indispensable."""
    project = {"id": "p-1", "name": "crm", "appName": "CRM", "orgId": "o-1", "createTime": "2026-01-01T00:00:00Z"}
    (found,) = read_projects(body({**project, "secret": CANARY}))
    assert found == project
    assert (found.id, found.name, found.app_name, found.org_id) == ("p-1", "crm", "CRM", "o-1")
    (least,) = read_projects(body({"id": "p-1", "name": "crm", "appName": 5, "orgId": None}))
    assert (least.app_name, least.org_id) == (None, None)
    with pytest.raises(AnswerError, match=r'^projects\[1\] has no "name"$'):
        read_projects(body(project, {"id": "p-1"}))


@pytest.mark.parametrize("data", [b"[]", b"5", body(LEAST), b"{}", b"{},{}", b"", json.dumps(LEAST).encode() * 2])
def test_a_single_connection_is_one_object(data: bytes) -> None:
    """Nothing, a list or two objects are none."""
    with pytest.raises(AnswerError):
        read_connection(data, refresh_token_told=True)
    with pytest.raises(AnswerError, match="expected a JSON object, one connection"):
        read_connection(json.dumps(LEAST).encode() + b"," + json.dumps(LEAST).encode(), refresh_token_told=True)


def utc(*parts: int) -> datetime:
    """A time in UTC, from year to microsecond."""
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type, misc]


TIMES = {
    "2026-01-02T03:04:05Z": utc(2026, 1, 2, 3, 4, 5),
    "2026-01-02T03:04:05.6Z": utc(2026, 1, 2, 3, 4, 5, 600_000),
    "2026-01-02T03:04:05.123456Z": utc(2026, 1, 2, 3, 4, 5, 123_456),
    "2026-01-02T03:04:05.1234569Z": utc(2026, 1, 2, 3, 4, 5, 123_456),
    "2026-01-02T03:04:05.123456789123456789123456789Z": utc(2026, 1, 2, 3, 4, 5, 123_456),
    "2026-12-31T23:59:59.999999999Z": utc(2026, 12, 31, 23, 59, 59, 999_999),
    "9999-12-31T23:59:59.9999999Z": utc(9999, 12, 31, 23, 59, 59, 999_999),
    "0001-01-01T00:00:00Z": utc(1, 1, 1),
    "2026-01-02T03:04:05+05:30": utc(2026, 1, 1, 21, 34, 5),
    "2026-01-02T03:04:05.5-12:00": utc(2026, 1, 2, 15, 4, 5, 500_000),
    "2026-01-02T03:04:05.1234567+01:00": utc(2026, 1, 2, 2, 4, 5, 123_456),
    "2026-01-02T03:04:05-00:00": utc(2026, 1, 2, 3, 4, 5),
    "2026-01-02t03:04:05z": utc(2026, 1, 2, 3, 4, 5),
    "2026-01-02 03:04:05Z": utc(2026, 1, 2, 3, 4, 5),
    "2026-01-02T03:04:05": utc(2026, 1, 2, 3, 4, 5),
    "2024-02-29T00:00:00Z": utc(2024, 2, 29),
}


@pytest.mark.parametrize(("text", "moment"), TIMES.items(), ids=TIMES)
def test_times_in_all_their_forms(text: str, moment: datetime) -> None:
    """Any number of fraction digits, any offset, UTC where there is none."""
    found = parse_time(text)
    assert found == moment
    assert found.tzinfo is timezone.utc


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "5",
        "1767323045",
        "2026-01-02",
        "2026-01-02T03:04Z",
        "2026-13-02T03:04:05Z",
        "2025-02-29T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:04:60Z",
        "2026-01-02T03:04:05.Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-01-02T03:04:05+24:00",
        " 2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
        "٢٠٢٦-01-02T03:04:05Z",
        "\ud800",
    ],
    ids=ascii,
)
def test_what_is_no_time_is_none(text: str) -> None:
    """Nothing is guessed, and nothing raised."""
    assert parse_time(text) is None


def test_a_time_of_many_digits_is_read_at_once() -> None:
    """A fraction that never ends costs no time."""
    start = time.perf_counter()
    assert parse_time(f"2026-01-02T03:04:05.{'1' * 1_000_000}Z") is not None
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("enabled", [True, False])
def test_reading_leaves_the_collector_as_it_was(enabled: bool) -> None:
    """Whether reading succeeds or fails, Python's cycle collector is on or off as before."""
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        read(FULL)
        assert gc.isenabled() is enabled
        with pytest.raises(AnswerError):
            read_connections(b"")
        assert gc.isenabled() is enabled
        with without_collection():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


@pytest.mark.parametrize(
    ("count", "frozen", "old"), [(60_000, False, True), (60_000, True, False), (1_000, False, False)]
)
def test_what_was_read_is_old_at_once(*, count: int, frozen: bool, old: bool) -> None:
    """The collector doesn't look through it as soon as it is on again; what others have frozen stays frozen.

    Little is left to it: what is old and garbage it finds late, and who reads little may do so often.
    """
    program = (
        "import gc, json\n"
        "from pulumi_ampersand.answers import read_connections\n"
        f"if {frozen}: gc.freeze()\n"
        f"found = read_connections(json.dumps([{LEAST!r}] * {count}).encode())\n"
        "old = {id(kept) for kept in gc.get_objects(generation=2)}\n"
        "print(gc.get_freeze_count() > 1_000, all(id(connection) in old for connection, _ in found))\n"
    )
    assert _output_of(program) == f"{frozen} {old}"


@pytest.mark.parametrize(("read", "frozen"), [("", False), ("read_connections(b'[]')", True)], ids=["nothing", "read"])
def test_a_process_that_has_read_ends_without_collection(read: str, frozen: bool) -> None:
    """Python's last collections have nothing to look through; a process that reads nothing ends as ever."""
    program = (
        "import atexit, gc\n"
        "from pulumi_ampersand.answers import read_connections\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1_000))\n"
        f"{read}\n"
    )
    assert _output_of(program) == f"{frozen}"


def _output_of(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()
