"""The fast reader for rules: it reads what the reader for programs reads, or leaves it to that one."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import pytest
from msgspec import UNSET

from bench import ALL_RULES
from loose_answers import CANARY, SCOPES, TEXTS, TIMES, WRONG, loose_answer
from pulumi_ampersand.errors import AnswerError
from pulumi_ampersand.inventory import Entry, Inventory
from pulumi_ampersand.sandbox import SCENARIOS, Sandbox
from pulumi_ampersand.saved_answer import SavedConnection, read_for_rules
from pulumi_ampersand_policies.configuration import parse
from pulumi_ampersand_policies.evaluation import evaluate
from pulumi_ampersand_policies.testing import NOW, at, connection, grant
from rule_cases import HOSTILE
from rule_cases_boundaries import BOUNDARIES
from rule_cases_credentials import CREDENTIALS
from rule_cases_inventory import INVENTORY
from rule_cases_scopes import SCOPES as SCOPE_CASES

EVERY_RULE: Final = parse(json.dumps(ALL_RULES), "policy-config.json")
ENTRY: Final[dict[str, Any]] = {"id": "c", "provider": "p", "status": "working"}
WHOLE: Final[dict[str, Any]] = connection(
    "conn_whole",
    providerConsumerRef="005",
    providerMetadata={"instance": {"value": "https://acme.example", "source": "token", "displayName": "Instance"}},
    providerApp={
        "id": "app_1",
        "projectId": "proj_1",
        "externalRef": "0oa",
        "provider": "salesforce",
        "clientId": "client",
        "clientSecret": f"{CANARY}-secret",
        "scopes": [["api", "refresh_token offline"], "api"],
        "createTime": at(days=-100),
        "updateTime": at(days=-99),
    },
    group={"groupRef": "acme", "groupName": "Acme Ltd", "projectId": "proj_1", "createTime": at(days=-90)},
    consumer={"consumerRef": "jo", "consumerName": "Jo", "projectId": "proj_1", "createTime": at(days=-90)},
    oauth2AuthorizationCode=grant(refresh=at(days=300), access=at(hours=1), scopes=[["api", "offline read"]]),
    apiKey=f"{CANARY}-key",
)
"""A connection that has every field that is read, and some that aren't."""

CONNECTION_ATTRIBUTES: Final = (
    "id",
    "provider",
    "healthy",
    "project_id",
    "auth_scheme",
    "provider_workspace_ref",
    "provider_consumer_ref",
    "scopes",
    "create_time",
    "customer",
)
PART_ATTRIBUTES: Final = {
    "group": ("ref", "name", "project_id", "create_time"),
    "consumer": ("ref", "name", "project_id", "create_time"),
    "provider_app": ("id", "project_id", "external_ref", "provider", "client_id", "scopes", "create_time"),
}
OBSERVATION_ATTRIBUTES: Final = ("id", "status", "update_time", "oauth", "access_token", "refresh_token", "gaps")


def attributes(entry: Entry) -> dict[str, Any]:
    """Everything that a rule can look at."""
    shown: dict[str, Any] = {name: getattr(entry.connection, name) for name in CONNECTION_ATTRIBUTES}
    for name, inner in PART_ATTRIBUTES.items():
        part = getattr(entry.connection, name)
        shown[name] = None if part is None else {key: getattr(part, key) for key in inner}
    shown |= {f"seen {name}": getattr(entry.observation, name) for name in OBSERVATION_ATTRIBUTES}
    return shown | {"project": entry.project}


def is_fast(inventory: Inventory) -> bool:
    """Whether every connection came by the fast way."""
    # Its declared type is the one that it stands for.
    connections: list[object] = [entry.connection for entry in inventory]
    return all(isinstance(one, SavedConnection) for one in connections)


def read_both(data: bytes) -> tuple[Inventory, Inventory] | str:
    """What both readers make of an answer; the error where both say that it is none."""
    errors: list[str] = []
    found: list[Inventory] = []
    for read in (Inventory.from_answer, Inventory.for_rules):
        try:
            found.append(read(data, "asked"))
        except AnswerError as error:  # noqa: PERF203 - two rounds
            errors.append(str(error))
    if not found:
        slow, fast = errors
        assert fast == slow
        return slow
    assert errors == []
    slow_one, fast_one = found
    if is_fast(fast_one):
        # The fast way keeps the answer's order.
        fast_one = Inventory.merge([fast_one])
    return slow_one, fast_one


def assert_same(data: bytes) -> None:
    """Assert that both readers say the same: errors, attributes, documents and what rules find."""
    both = read_both(data)
    if isinstance(both, str):
        return
    slow, fast = both
    assert [attributes(entry) for entry in fast] == [attributes(entry) for entry in slow]
    assert [entry.found for entry in fast] == [entry.found for entry in slow]
    found = evaluate(slow, EVERY_RULE, NOW)
    assert evaluate(fast, EVERY_RULE, NOW) == found
    # In whatever order they are.
    assert evaluate(Inventory.for_rules(data, "asked"), EVERY_RULE, NOW) == found
    assert fast.saved("asked") == slow.saved("asked")
    assert [(name, len(part)) for name, part in fast.by_project()] == [
        (name, len(part)) for name, part in slow.by_project()
    ]


def encoded(*entries: Any) -> bytes:
    """An answer."""
    return json.dumps(entries).encode()


def sent(entry: Entry) -> dict[str, Any]:
    """What the API would have sent of a connection, as far as it can be told."""
    found, seen = entry.found
    body: dict[str, Any] = {key: value for key, value in found.items() if key not in {"healthy", "scopes"}}
    body |= {"status": seen.status or "working", "updateTime": seen.update_time}
    if seen.oauth:
        refresh = None if seen.refresh_token is UNSET else msgspec.to_builtins(seen.refresh_token)
        tokens = {"accessToken": msgspec.to_builtins(seen.access_token), "refreshToken": refresh}
        body["oauth2AuthorizationCode"] = {**tokens, "scopes": found.scopes}
    return body


def of_rule_cases() -> Iterator[tuple[str, bytes]]:
    """The connections of the table of rules and cases."""
    for rule, row in {**CREDENTIALS, **SCOPE_CASES, **BOUNDARIES, **INVENTORY}.items():
        for column in (row.keeps, row.breaks, row.edges, row.not_evaluated):
            for case in column:
                yield f"{rule}-{case.name}", encoded(*map(sent, case.connections))


CASES: Final = dict(of_rule_cases())


@pytest.mark.parametrize("data", CASES.values(), ids=CASES)
def test_what_rules_are_tested_with_reads_the_same(data: bytes) -> None:
    """The connections of every case of every rule."""
    assert_same(data)


@pytest.mark.parametrize("first", range(0, 300, 20))
def test_loose_answers_read_the_same(first: int) -> None:
    """Whatever may be absent, null, of a wrong type or in another of its forms."""
    for seed in range(first, first + 20):
        assert_same(loose_answer(seed))
        assert_same(loose_answer(1000 + seed, size=1))


def mostly_good(seed: int) -> bytes:
    """An answer most of which is as the API promises, in which connections have apps and scopes in common."""
    chance = random.Random(seed)
    apps = [
        None,
        {},
        {"id": "app_1", "projectId": "proj_1", "scopes": chance.choice(SCOPES)},
        {"id": "app_2", "projectId": "proj_2"},
    ]
    entries = []
    for number in range(chance.randrange(1, 8)):
        grants = [
            None,
            {},
            grant(chance.choice(TIMES), chance.choice(TIMES), chance.choice(SCOPES), chance.choice(TIMES)),
            grant(refresh=False, access=at(days=chance.randrange(-2, 9))),
            grant(refresh=at(days=chance.randrange(-2, 9)), access=False, scopes=["api", "admin"]),
        ]
        entry = connection(
            f"conn_{chance.randrange(6)}" if chance.random() < 0.1 else f"conn_{number}_{chance.randrange(9)}",
            provider=chance.choice(["salesforce", "slack", "gong", "Zoë"]),
            status=chance.choice(["working", "created", "bad_credentials", "new"]),
            projectId=chance.choice(["proj_1", "proj_2", None]),
            authScheme=chance.choice(["oauth2/authorizationCode", "apiKey", "basic", "new", None]),
            group=chance.choice([None, {}, {"groupRef": "acme"}, {"groupName": "株式会社", "projectId": "proj_2"}]),
            consumer=chance.choice([None, {}, {"consumerRef": "jo", "consumerName": ""}]),
            createTime=chance.choice([None, *TIMES]),
            updateTime=chance.choice([None, at(days=-31), *TIMES]),
            providerApp=chance.choice(apps),
            oauth2AuthorizationCode=chance.choice(grants),
            providerMetadata=chance.choice([None, {}, {"a": {"value": "x"}, "b": {}}]),
        )
        if chance.random() < 0.05:
            entry[chance.choice(list(entry))] = chance.choice([None, *WRONG, *TEXTS])
        if chance.random() < 0.1:
            entry |= dict.fromkeys(["scopes", "oauth", "=scopes", "gaps"], chance.choice(WRONG))
        entries.append(entry)
    if chance.random() < 0.1:
        entries.append(dict(chance.choice(entries)))
    return json.dumps(entries, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("first", range(0, 400, 40))
def test_mostly_good_answers_read_the_same(first: int) -> None:
    """What many connections have in common is read once, and is still each one's own."""
    for seed in range(first, first + 40):
        assert_same(mostly_good(seed))


def test_the_generator_takes_both_ways() -> None:
    """Many of the random answers are read fast and many aren't, or comparing would prove nothing."""
    fast = sum(read_for_rules(mostly_good(seed)) is not None for seed in range(400))
    assert 120 < fast < 360


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of everything in a JSON value."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(path: tuple[str | int, ...], to: Any) -> dict[str, Any]:
    """The whole connection with another value at a path; Ellipsis leaves it out."""
    entry = copy.deepcopy(WHOLE)
    inner: Any = entry
    for key in path[:-1]:
        inner = inner[key]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return entry


@pytest.mark.parametrize("path", [pytest.param(path, id=".".join(map(str, path))) for path in places(WHOLE)])
def test_anything_anywhere_reads_the_same(path: tuple[str | int, ...]) -> None:
    """Each field absent, null, of each wrong type, hostile: alone, and beside connections that have the same parts."""
    for value in (..., None, *WRONG, *TEXTS, *TIMES, *SCOPES, HOSTILE, "a<{%b", "\u0085", {"value": None}):
        odd = changed(path, value)
        assert_same(encoded(odd))
        assert_same(encoded(WHOLE | {"id": "conn_other"}, odd, WHOLE | {"id": "a"}))


NAMESAKES: Final = (
    "scopes",
    "oauth",
    "accessToken",
    "refreshToken",
    "access_token",
    "refresh_token",
    "gaps",
    "healthy",
    "customer",
    "=providerApp",
    "=scopes",
    "=oauth",
    "=accessToken",
    "=refreshToken",
    "sent_app",
    "sentApp",
    "sentGrant",
    "sent_grant",
    "provider_app",
    "project_id",
    "document",
    "",
)
"""Names of the reader's own, or of the model's, which the API doesn't use at the top."""


@pytest.mark.parametrize("name", NAMESAKES)
def test_fields_of_the_readers_own_names_mean_nothing(name: str) -> None:
    """A field at the top that the API doesn't have is skipped, whatever it is called."""
    for value in (None, True, "x", ["admin"], {"expiresAt": at(days=-1)}, {"oauth2AuthorizationCode": {}}, *WRONG):
        for bare in (ENTRY, WHOLE, {**ENTRY, "oauth2AuthorizationCode": None, "providerApp": None}):
            data = encoded({name: value, **bare}, {**bare, "id": "other", name: value})
            assert_same(data)
            plain = Inventory.for_rules(encoded(bare, {**bare, "id": "other"}), "asked")
            assert list(map(attributes, Inventory.for_rules(data, "asked"))) == list(map(attributes, plain))


def deep(levels: int) -> bytes:
    """Lists in lists."""
    return b"[" * levels + b"]" * levels


def raw(fields: bytes) -> bytes:
    """An answer of one connection with more fields, to the byte."""
    return b'[{"id":"c","provider":"p","status":"working",' + fields + b"}]"


ODD: Final[Mapping[str, bytes]] = {
    "hostile-metadata": encoded({**ENTRY, "providerMetadata": {"a": {"value": "\x1b[31m\u202e<{%"}}}),
    "empty": b"",
    "space": b" \n",
    "empty-array": b"[]",
    "spacious-array": b" [\n ] ",
    "null": b"null",
    "number": b"5",
    "text": b'"[]"',
    "object": b"{}",
    "connection": json.dumps(ENTRY).encode(),
    "mark-only": b"\xef\xbb\xbf",
    "byte-order-mark": b"\xef\xbb\xbf" + encoded(WHOLE),
    "utf-16": encoded(WHOLE).decode().encode("utf-16"),
    "truncated": encoded(WHOLE, WHOLE | {"id": "b"})[:-40],
    "not-closed": encoded(WHOLE)[:-1],
    "goes-on": encoded(WHOLE) + b"[]",
    "comma-at-the-end": encoded(WHOLE)[:-1] + b",]",
    "not-a-number": raw(b'"x":NaN'),
    "null-entry": encoded(WHOLE, None),
    "number-entry": encoded(5, WHOLE),
    "text-entry": encoded("c"),
    "list-entry": encoded([WHOLE]),
    "empty-entry": encoded({}),
    **{f"without-{key}": encoded(WHOLE, {k: v for k, v in ENTRY.items() if k != key}) for key in ENTRY},
    **{f"null-{key}": encoded({**ENTRY, key: None}) for key in ENTRY},
    **{f"number-for-{key}": encoded({**ENTRY, key: 5}) for key in ENTRY},
    **{f"empty-{key}": encoded({**ENTRY, key: ""}) for key in ENTRY},
    "twice-the-same": encoded(WHOLE, ENTRY, WHOLE),
    "twice-different": encoded(WHOLE, {**WHOLE, "status": "created"}),
    "twice-different-in-what-is-skipped": encoded(WHOLE, {**WHOLE, "apiKey": "another"}),
    "twice-after-repair": encoded({**ENTRY, "id": "c\ud800"}, {**ENTRY, "id": "c\ufffd"}),
    "twice-once-harmless": encoded({**ENTRY, "id": "c\x07"}, ENTRY),
    "lines-in-an-id": encoded({**ENTRY, "id": "c\nd\te  f "}),
    "key-twice": raw(b'"group":{"groupRef":"a"},"group":{"groupName":"b"}'),
    "key-twice-then-null": raw(b'"group":{"groupRef":"a"},"group":null,"providerApp":{"id":"a"},"providerApp":null'),
    "inner-key-twice": raw(b'"group":{"groupRef":"a","groupRef":"b"}'),
    "grant-twice": raw(b'"oauth2AuthorizationCode":{"scopes":["a"]},"oauth2AuthorizationCode":{"scopes":"b"}'),
    "escaped-key": raw(b'"\\u0067roup":{"groupRef":"a"}'),
    "escaped-text": raw(b'"group":{"groupRef":"\\u0061\\/\\"\\\\","groupName":"\\ud83d\\ude80"}'),
    "escaped-control": raw(b'"group":{"groupRef":"\\u0000\\u202e\\u0085"}'),
    "raw-bidi": raw('"group":{"groupName":"a\u202eb"}'.encode()),
    "raw-delete": raw(b'"providerWorkspaceRef":"a\x7fb"'),
    "raw-control": raw(b'"providerWorkspaceRef":"a\x01b"'),
    "markup": raw(b'"providerWorkspaceRef":"<{%fg 1%}>","providerApp":{"id":"<{%"},"providerMetadata":{"<{%":{}}'),
    "markup-across-fields": raw(b'"projectId":"a<","authScheme":"{%b"'),
    "markup-in-scopes": raw(b'"oauth2AuthorizationCode":{"scopes":["<{%a","b\\u0007 c"]}'),
    "lone-surrogate-in-app": raw(b'"providerApp":{"id":"\\ud800","scopes":["\\udfff"]}'),
    "lone-surrogate-in-metadata": raw(b'"providerMetadata":{"\\ud800":{"value":"\\ud800"}}'),
    "lone-surrogate-in-scopes": raw(b'"oauth2AuthorizationCode":{"scopes":["\\ud800"]}'),
    "lone-surrogate-in-time": raw(b'"oauth2AuthorizationCode":{"refreshToken":{"expiresAt":"\\ud800"}}'),
    "lone-surrogate-in-what-is-skipped": raw(b'"labels":"\\ud800","apiKey":{"\\udfff":1}'),
    **{
        f"no-utf-8-in-{name}": raw(b'"' + name.encode() + b'":' + value)
        for name, value in {
            "projectId": b'"\xff"',
            "labels": b'"\xff"',
            "providerApp": b'{"id":"\xff"}',
            "providerMetadata": b'{"\xff":{"value":"\xed\xa0\x80"}}',
            "oauth2AuthorizationCode": b'{"scopes":["\xc3"]}',
        }.items()
    },
    **{
        f"no-escape-in-{name}": raw(b'"' + name.encode() + b'":' + value)
        for name, value in {
            "labels": b'"\\x"',
            "providerApp": b'{"id":"\\x"}',
            "providerMetadata": b'{"a":{"value":"\\x"}}',
            "oauth2AuthorizationCode": b'{"scopes":["\\x"]}',
        }.items()
    },
    **{
        f"deep-{name}": raw(b'"' + name.encode() + b'":' + deep(100_000))
        for name in ("labels", "providerApp", "providerMetadata", "oauth2AuthorizationCode", "=scopes")
    },
    "deep": deep(100_000),
    "large-number": raw(b'"labels":' + b"9" * 5000),
    "same-app-written-otherwise": encoded(
        *({**ENTRY, "id": name, "providerApp": app} for name, app in (("a", {"id": "x"}), ("b", {"id": "x", "y": 1})))
    ),
    "scopes-null-and-absent": encoded(
        {**ENTRY, "id": "a", "oauth2AuthorizationCode": {"scopes": None}},
        {**ENTRY, "id": "b", "oauth2AuthorizationCode": {}},
        {**ENTRY, "id": "d", "oauth2AuthorizationCode": {"scopes": []}},
    ),
    "nulls": encoded({**ENTRY, **dict.fromkeys((key for key in WHOLE if key not in ENTRY), None)}),
    "empty-parts": encoded({**ENTRY, "group": {}, "consumer": {}, "providerApp": {}, "providerMetadata": {}}),
    "null-parts": encoded(
        {**ENTRY, "group": {"groupRef": None}, "consumer": {"consumerName": None}, "providerApp": {"scopes": None}},
        {**ENTRY, "id": "d", "providerMetadata": {"a": None, "b": {"value": None}}},
    ),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_odd_answers_read_the_same(data: bytes) -> None:
    """What is no answer is the same error in the same words; what is an odd one reads the same."""
    assert_same(data)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("object", "expected a JSON array of connections, got an object"),
        ("null-entry", "connections[1] is null, not an object"),
        ("without-status", 'connections[1] has no "status"'),
        ("twice-different", 'the API lists connection "conn_whole" twice, with different content'),
    ],
)
def test_errors_say_what_is_wrong(name: str, words: str) -> None:
    """An answer that can't be read isn't an empty one."""
    assert read_both(ODD[name]) == words


FAST: Final[Mapping[str, bytes]] = {
    "least": encoded(ENTRY),
    "whole": encoded(WHOLE),
    "several": encoded(*(WHOLE | {"id": f"conn_{number}"} for number in range(50))),
    "kit": encoded(connection()),
    "indented": json.dumps([WHOLE, ENTRY], indent=2).encode(),
    "non-ascii": json.dumps([{**WHOLE, "group": {"groupName": "Zoë 株式会社 🚀"}}], ensure_ascii=False).encode(),
    "non-ascii-escaped": encoded({**WHOLE, "group": {"groupName": "Zoë 株式会社 🚀"}}),
    "right-to-left-script": json.dumps([{**ENTRY, "group": {"groupRef": "שלום"}}], ensure_ascii=False).encode(),
    "quotes": encoded({**ENTRY, "providerWorkspaceRef": 'a"b\\c/d'}),
    "percent-and-braces": encoded({**ENTRY, "providerWorkspaceRef": "{%x%}"}),
    "hostile-app-and-scopes": encoded(
        {**ENTRY, "providerApp": {"id": "\x1b[31m"}, "oauth2AuthorizationCode": {"scopes": ["<{%"]}}
    ),
    "nulls": ODD["nulls"],
    "empty-parts": ODD["empty-parts"],
    "no-grant": encoded({**WHOLE, "oauth2AuthorizationCode": None}),
    "no-refresh-token": encoded({**WHOLE, "oauth2AuthorizationCode": grant(refresh=False)}),
    "new-things": encoded({**WHOLE, "status": "new", "authScheme": "new", "newField": {"a": [1]}, "other": 1.5}),
    **{
        f"scopes-{number}": encoded({**WHOLE, "oauth2AuthorizationCode": grant(scopes=scopes)})
        for number, scopes in enumerate(SCOPES)
        if "\ud800" not in scopes
    },
    **{f"time-{number}": encoded({**WHOLE, "createTime": time}) for number, time in enumerate(TIMES)},
}


@pytest.mark.parametrize("data", FAST.values(), ids=FAST)
def test_good_answers_are_read_fast(data: bytes) -> None:
    """What is as the API promises takes the fast way, names in any script included."""
    inventory = Inventory.for_rules(data, "asked")
    assert len(inventory) == len(json.loads(data))
    assert is_fast(inventory)
    assert_same(data)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_whatever_the_sandbox_sends_reads_the_same(scenario: str) -> None:
    """The sandbox's scenarios; those without wrong types are read fast."""
    sandbox = Sandbox(scenario, count=20) if scenario == "large" else Sandbox(scenario)
    data = json.dumps(sandbox.connections).encode()
    assert_same(data)
    if scenario in {"healthy", "large", "sample"}:
        assert is_fast(Inventory.for_rules(data))


def test_the_given_project_is_for_those_that_lack_one() -> None:
    """A connection's own project wins; an empty one counts as none."""
    data = encoded(
        {**ENTRY, "id": "a", "projectId": "proj_9"}, {**ENTRY, "id": "b"}, {**ENTRY, "id": "d", "projectId": ""}
    )
    inventory = Inventory.for_rules(data, "asked")
    assert is_fast(inventory)
    assert [entry.project for entry in inventory] == ["proj_9", "asked", "asked"]
    assert [entry.project for entry in Inventory.for_rules(data)] == ["proj_9", "", ""]


def test_in_the_answers_order() -> None:
    """A pass over them goes straight through memory."""
    names = ["b", "a", "B", "é", "aa", ""]
    inventory = Inventory.for_rules(encoded(*({**ENTRY, "id": name} for name in names)))
    assert is_fast(inventory)
    assert [entry.connection.id for entry in inventory] == names


def test_parts_in_common_are_each_ones_own() -> None:
    """Apps and scopes of the same text are the same, those of another text aren't."""
    apps = [{"id": "app_1"}, {"id": "app_2"}, {"id": "app_1"}, None]
    scopes: list[Any] = [["a"], "b a", ["a"], None]
    data = encoded(
        *(
            {**ENTRY, "id": f"{number}", "providerApp": app, "oauth2AuthorizationCode": {"scopes": granted}}
            for number, (app, granted) in enumerate(zip(apps, scopes, strict=True))
        )
    )
    found = [entry.connection for entry in Inventory.for_rules(data)]
    assert [one.provider_app and one.provider_app.id for one in found] == ["app_1", "app_2", "app_1", None]
    assert [one.scopes for one in found] == [["a"], ["a", "b"], ["a"], None]


def test_filters_and_merging_know_fast_connections() -> None:
    """What is chosen, merged or split by project stays what it was."""
    data = encoded(WHOLE, {**WHOLE, "id": "other", "projectId": "proj_2", "provider": "slack"}, ENTRY)
    inventory = Inventory.for_rules(data, "asked")
    chosen = inventory.where(lambda entry: entry.connection.provider == "slack")
    assert [entry.connection.id for entry in chosen] == ["other"]
    merged = Inventory.merge([inventory, Inventory.from_answer(data, "asked"), inventory])
    assert [(entry.connection.id, entry.project) for entry in merged] == [
        ("c", "asked"),
        ("conn_whole", "proj_1"),
        ("other", "proj_2"),
    ]
    assert evaluate(merged, EVERY_RULE, NOW) == evaluate(inventory, EVERY_RULE, NOW)
    assert [(name, [entry.connection.id for entry in part]) for name, part in merged.by_project()] == [
        ("asked", ["c"]),
        ("proj_1", ["conn_whole"]),
        ("proj_2", ["other"]),
    ]


def held(value: Any) -> Iterator[str]:
    """Every text that an object holds, of whatever kind."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from held(getattr(value, name))
    elif isinstance(value, msgspec.Raw):
        yield bytes(value).decode("utf-8", "replace")
    elif isinstance(value, dict):
        for item in (*value, *value.values()):
            yield from held(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from held(item)
    else:
        yield str(value)


def test_nothing_shown_or_kept_has_credentials() -> None:
    """Neither what is printed of a connection, nor what programs get of it, nor what is kept."""
    inventory = Inventory.for_rules(encoded(WHOLE), "asked")
    assert is_fast(inventory)
    (entry,) = inventory
    assert CANARY in encoded(WHOLE).decode()
    for text in (repr(entry), str(entry.connection), repr(entry.found), inventory.saved("asked").decode()):
        assert CANARY not in text


@pytest.mark.parametrize(
    "fields",
    [
        {"providerApp": {"id": "app_1", "clientSecret": CANARY}},
        {"oauth2AuthorizationCode": {**grant(), "clientSecret": CANARY}},
        {"apiKey": CANARY, "basicAuth": {"password": CANARY}, "custom": [CANARY]},
        {"=accessToken": CANARY, "=scopes": CANARY, "=providerApp": {"clientSecret": CANARY}},
        {"providerMetadata": {"a": {"value": "x", "token": CANARY}}},
    ],
    ids=["provider-app", "grant", "other-schemes", "own-names", "metadata"],
)
def test_no_attribute_holds_credentials(fields: dict[str, Any]) -> None:
    """They are dropped while parsing: no attribute of a connection has them, not even as text that wasn't parsed."""
    inventory = Inventory.for_rules(encoded({**ENTRY, **fields}), "asked")
    assert is_fast(inventory)
    assert [text for entry in inventory for text in held(entry.connection) if CANARY in text] == []
