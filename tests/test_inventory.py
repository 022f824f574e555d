"""The inventory and its two documents."""

import json
import random
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, get_args, get_origin, get_type_hints

import jsonschema
import msgspec
import pytest

from loose_answers import CANARY, loose_answer
from pulumi_ampersand import answers as reading
from pulumi_ampersand import inventory as module
from pulumi_ampersand.answers import read_connections
from pulumi_ampersand.errors import AnswerError
from pulumi_ampersand.inventory import (
    DOCUMENT_LIMIT,
    UNOBSERVED,
    VERSION,
    Inventory,
    parse_connections,
    parse_ids,
    parse_observations,
)
from pulumi_ampersand.model import Connection, Observation, Token
from pulumi_ampersand.sandbox import SCENARIOS, Sandbox

DOCUMENTS = ("connections", "observations")
SCHEMAS = {
    name: json.loads((files("pulumi_ampersand") / "schemas" / f"{name}-v1.schema.json").read_text("utf-8"))
    for name in DOCUMENTS
}
ENTRY: dict[str, Any] = {"id": "c", "provider": "p", "status": "working"}

ODD: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "least": [ENTRY],
    "empty-parts": [{**ENTRY, "group": {}, "consumer": {}, "providerApp": {}, "providerMetadata": {}}],
    "null-parts": [{**ENTRY, "group": {"groupName": None}, "providerMetadata": {"a": None, "b": {"value": None}}}],
    "empty-texts": [{"id": "", "provider": "", "status": "", "authScheme": "", "group": {"groupRef": ""}}],
    "no-scopes": [{**ENTRY, "oauth2AuthorizationCode": {"scopes": " "}, "providerApp": {"scopes": [[]]}}],
    "odd-scopes": [{**ENTRY, "oauth2AuthorizationCode": {"scopes": ["b a", ["\ud800", "a"]]}}],
    "empty-tokens": [{**ENTRY, "oauth2AuthorizationCode": {"accessToken": {}, "refreshToken": {}}}],
    "gaps-everywhere": [{**ENTRY, "createTime": 5, "group": 5, "oauth2AuthorizationCode": [], "updateTime": {}}],
    "odd-keys": [{**ENTRY, "providerMetadata": {"": {}, "a.b": {"value": 5}, "\ud800": {"value": "\ud800"}}}],
    "new-things": [{**ENTRY, "status": "new", "authScheme": "new", "newField": {"a": [1]}}],
}


def answers() -> Iterator[tuple[str, bytes]]:
    """Answers of all kinds, by name."""
    for scenario in SCENARIOS:
        sandbox = Sandbox(scenario, count=20) if scenario == "large" else Sandbox(scenario)
        yield scenario, json.dumps(sandbox.connections).encode()
    for name, entries in ODD.items():
        yield name, json.dumps(entries).encode()
    for seed in range(100):
        yield f"seed-{seed}", loose_answer(seed)


ANSWERS = dict(answers())


def inventory(*entries: dict[str, Any], project: str = "asked") -> Inventory:
    """The inventory of a list answer."""
    return Inventory(read_connections(json.dumps(entries).encode()), project)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schemas_are_schemas(name: str) -> None:
    """Each is valid in the dialect that it names, and has a name of its own."""
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"] == f"urn:pulumi-ampersand:{name}:v{VERSION}"
    described = [schema, *schema["properties"].values(), *schema["$defs"].values()]
    described += [part for definition in schema["$defs"].values() for part in definition.get("properties", {}).values()]
    assert all(part.get("description") or "$ref" in part for part in described)


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("told", [True, False], ids=["saved", "listed"])
def test_every_document_is_valid(body: bytes, told: bool) -> None:
    """Whatever the API sends, what is written is what the schemas promise, sorted, and holds no credential."""
    written = Inventory(read_connections(body, refresh_token_told=told), "asked").documents()
    for name, document in zip(DOCUMENTS, written, strict=True):
        jsonschema.Draft202012Validator(SCHEMAS[name]).validate(json.loads(document))
        assert CANARY not in document
    connections, observations = map(json.loads, written)
    ids = [connection["id"] for connection in connections["connections"]]
    assert ids == sorted(set(ids))
    assert [observation["id"] for observation in observations["observations"]] == ids
    for connection in connections["connections"]:
        for part in (connection, connection.get("providerApp", {})):
            assert part.get("scopes", []) == sorted(part.get("scopes", []))
    json.dumps([connections, observations], ensure_ascii=False).encode()


NEVER_IN_A_CONNECTION: list[dict[str, Any]] = [
    {"id": None},
    {"healthy": "yes"},
    {"projectId": None},
    {"group": None},
    {"group": {"groupName": 5}},
    {"scopes": None},
    {"scopes": ["a", "a"]},
    {"scopes": ["a b"]},
    {"scopes": [["a"]]},
    {"scopes": [""]},
    {"providerApp": {"scopes": "a"}},
    {"providerMetadata": {"a": None}},
    {"providerMetadata": {"a": {"value": 5}}},
    {"createTime": 5},
]
NEVER_AN_OBSERVATION: list[dict[str, Any]] = [
    {"id": None},
    {"status": None},
    {"oauth": False},
    {"accessToken": None},
    {"accessToken": {"issuedAt": None}},
    {"refreshToken": {"expiresAt": 5}},
    {"gaps": {}},
    {"gaps": {"a": None}},
]
WRITTEN: dict[str, Any] = {"id": "c", "provider": "p", "healthy": True}
NEVER_WRITTEN: list[tuple[str, Any]] = [
    *((name, {}) for name in DOCUMENTS),
    *((name, {"v": 2, "connections": [], "observations": []}) for name in DOCUMENTS),
    *((name, {"v": 1, "connections": {}, "observations": {}}) for name in DOCUMENTS),
    ("connections", {"v": 1, "connections": [WRITTEN, WRITTEN]}),
    ("connections", {"v": 1, "connections": [{"id": "c", "provider": "p"}]}),
    *(("connections", {"v": 1, "connections": [{**WRITTEN, **wrong}]}) for wrong in NEVER_IN_A_CONNECTION),
    ("observations", {"v": 1, "observations": [None]}),
    ("observations", {"v": 1, "observations": [{"status": "working"}]}),
    *(("observations", {"v": 1, "observations": [{"id": "c", **wrong}]}) for wrong in NEVER_AN_OBSERVATION),
]


@pytest.mark.parametrize(("name", "document"), NEVER_WRITTEN, ids=lambda value: json.dumps(value)[-40:])
def test_the_schemas_refuse_what_is_never_written(name: str, document: Any) -> None:
    """They say exactly what a document looks like."""
    assert not jsonschema.Draft202012Validator(SCHEMAS[name]).is_valid(document)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schemas_allow_fields_to_come(name: str) -> None:
    """Readers skip what they don't know, on every level."""
    item = {**WRITTEN, "new": 1, "group": {"new": 1}, "providerApp": {"new": 1}}
    content = {"connections": [item], "observations": [{"id": "c", "new": 1, "accessToken": {"new": 1}}]}[name]
    document = {"v": 1, "new": 1, name: content}
    jsonschema.Draft202012Validator(SCHEMAS[name]).validate(document)
    read = parse_connections if name == "connections" else parse_observations
    assert len(read(json.dumps(document))) == 1


KEYS = {
    "connection": reading.ConnectionKeys,
    "group": reading.GroupKeys,
    "consumer": reading.ConsumerKeys,
    "providerApp": reading.ProviderAppKeys,
    "metadataItem": reading.MetadataItemKeys,
}
JSON_TYPES: dict[Any, str] = {str: "string", bool: "boolean", list: "array"}


def json_type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The type that a property may have."""
    found = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return str(found["type"])


def hinted_type(hint: Any) -> str:
    """The type that a field has, null apart."""
    optional = type(None) in get_args(hint)
    (option,) = [part for part in get_args(hint) if part is not type(None)] if optional else [hint]
    return JSON_TYPES.get(get_origin(option) or option, "object")


@pytest.mark.parametrize(("definition", "keys"), KEYS.items(), ids=KEYS)
def test_schema_and_model_name_the_same_keys(definition: str, keys: Any) -> None:
    """Neither can have a key, a required key or a type that the other lacks."""
    definitions = SCHEMAS["connections"]["$defs"]
    properties = definitions[definition]["properties"]
    hints = get_type_hints(keys)
    assert properties.keys() == hints.keys()
    assert set(definitions[definition].get("required", [])) == set(keys.__required_keys__)
    types = {key: json_type(schema, definitions) for key, schema in properties.items()}
    assert types == {key: hinted_type(hint) for key, hint in hints.items()}


@pytest.mark.parametrize(("definition", "struct"), [("observation", Observation), ("token", Token)])
def test_schema_and_struct_name_the_same_keys(definition: str, struct: type[msgspec.Struct]) -> None:
    """Neither can have a key that the other lacks."""
    properties = SCHEMAS["observations"]["$defs"][definition]["properties"]
    assert list(properties) == [field.encode_name for field in msgspec.structs.fields(struct)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schema_and_document_name_the_same_keys(name: str) -> None:
    """Nor can the documents themselves."""
    structs: dict[str, type[msgspec.Struct]] = {
        "connections": module._Connections,
        "observations": module._Observations,
    }
    fields = {field.encode_name: field.required for field in msgspec.structs.fields(structs[name])}
    assert SCHEMAS[name]["properties"].keys() == fields.keys()
    assert set(SCHEMAS[name]["required"]) == {key for key, required in fields.items() if required}


def test_the_schemas_allow_no_values_beside_those_of_the_api() -> None:
    """What the API may extend is no closed list."""
    assert "enum" not in json.dumps(list(SCHEMAS.values()))


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
def test_documents_are_read_as_they_were_written(body: bytes) -> None:
    """Connections, observations, gaps, unknown and absent refresh tokens: all survive."""
    for told in (True, False):
        written = Inventory(read_connections(body, refresh_token_told=told), "asked")
        again = Inventory.from_documents(*written.documents(), project="asked")
        assert list(again) == list(written)
        assert again.documents() == written.documents()
        assert all(type(entry.connection) is Connection for entry in again)


def in_another_form(value: Any, chance: random.Random) -> Any:
    """The same content, with keys in another order."""
    if not isinstance(value, dict):
        return value
    keys = chance.sample(list(value), k=len(value))
    return {key: in_another_form(value[key], chance) for key in keys}


@pytest.mark.parametrize("body", ANSWERS.values(), ids=ANSWERS)
def test_the_same_content_is_the_same_text(body: bytes) -> None:
    """Whatever the order of connections, keys and scopes, the documents are byte-identical."""
    chance = random.Random(1)
    entries = json.loads(reading.repair_text(body))
    texts = {Inventory(read_connections(body)).documents()}
    for _ in range(3):
        chance.shuffle(entries)
        mixed = [in_another_form(entry, chance) for entry in entries]
        texts.add(Inventory(read_connections(json.dumps(mixed).encode())).documents())
    assert len(texts) == 1


def test_null_absent_and_forms_of_scopes_are_the_same_text() -> None:
    """Null and absent mean the same on every level, and so do all ways to send scopes."""
    bare = {**ENTRY, "group": {}, "providerMetadata": {"a": {}}, "providerApp": {"scopes": ["a", "b"]}}
    nulled = {
        **ENTRY,
        "createTime": None,
        "group": {"groupName": None},
        "consumer": None,
        "providerMetadata": {"a": {"value": None}, "b": None},
        "providerApp": {"scopes": [["b"], "a b"], "id": None},
        "oauth2AuthorizationCode": None,
    }
    assert inventory(bare).documents() == inventory(nulled).documents()


def test_the_documents_of_a_small_project() -> None:
    """The exact text, for it lies in states."""
    entry = {
        **ENTRY,
        "projectId": "p-1",
        "oauth2AuthorizationCode": {"accessToken": {"expiresAt": "2026-01-01T00:00:00Z"}, "scopes": ["b", "a"]},
        "createTime": 5,
    }
    connections, observations = inventory(entry).documents()
    assert connections == (
        '{"connections":[{"healthy":true,"id":"c","projectId":"p-1","provider":"p","scopes":["a","b"]}],"v":1}'
    )
    assert observations == (
        '{"observations":[{"id":"c","status":"working","oauth":true,'
        '"accessToken":{"expiresAt":"2026-01-01T00:00:00Z"},"gaps":{"createTime":"the API sent a number"}}],"v":1}'
    )


def test_connections_are_sorted_by_id() -> None:
    """By code point, whatever their order in the answer."""
    ids = ["b", "a", "É", "Z", "🚀", "a1", ""]
    found = inventory(*({**ENTRY, "id": identifier} for identifier in ids))
    assert [entry.connection.id for entry in found] == sorted(ids)
    assert len(found) == 7


def test_the_same_connection_twice_counts_once() -> None:
    """An answer may repeat itself."""
    assert len(inventory(ENTRY, {**ENTRY, "id": "d"}, {**ENTRY, "createTime": None})) == 2


@pytest.mark.parametrize("fields", [{"provider": "q"}, {"status": "created"}, {"createTime": 5}], ids=str)
def test_an_id_with_two_contents_is_an_error(fields: dict[str, Any]) -> None:
    """Which of them is true isn't known, so neither is taken."""
    with pytest.raises(AnswerError, match='the API lists connection "c" twice, with different content'):
        inventory(ENTRY, {**ENTRY, **fields})


def test_the_project_is_the_connections_own_or_the_one_asked_for() -> None:
    """Every entry knows its project."""
    found = inventory(ENTRY, {**ENTRY, "id": "d", "projectId": "p-1"}, project="crm")
    assert [entry.project for entry in found] == ["crm", "p-1"]


def test_a_saved_answer_is_taken_as_it_stands() -> None:
    """There a refresh token that is missing doesn't exist."""
    body = json.dumps([{**ENTRY, "oauth2AuthorizationCode": {}}]).encode()
    (entry,) = Inventory.from_answer(body, "crm")
    assert entry.observation.refresh_token is None
    assert entry.project == "crm"
    with pytest.raises(AnswerError, match="expected a JSON array of connections"):
        Inventory.from_answer(b"{}")


def test_without_observations_nothing_was_observed() -> None:
    """The second document may be missing, or lack a connection."""
    connections, observations = inventory(ENTRY).documents()
    assert [entry.observation for entry in Inventory.from_documents(connections)] == [UNOBSERVED]
    assert [entry.observation for entry in Inventory.from_documents(connections, "")] == [UNOBSERVED]
    two, _ = inventory(ENTRY, {**ENTRY, "id": "d"}).documents()
    found = Inventory.from_documents(two, observations)
    assert [entry.observation.status for entry in found] == ["working", None]


BROKEN: dict[str, str] = {
    "empty": "",
    "text": "connections",
    "null": "null",
    "list": "[]",
    "no-version": '{"connections":[],"observations":[]}',
    "version-only": '{"v":1}',
    "version-text": '{"v":"1","connections":[],"observations":[]}',
    "version-true": '{"v":true,"connections":[],"observations":[]}',
    "version-zero": '{"v":0,"connections":[],"observations":[]}',
    "truncated": '{"v":1,"connections":[{"id":"c","provider":"p"',
    "wrong-content": '{"v":1,"connections":5,"observations":5}',
    "wrong-entry": '{"v":1,"connections":[5],"observations":[5]}',
    "wrong-field": '{"v":1,"connections":[{"id":5}],"observations":[{"id":"c","status":5}]}',
    "less-than-the-least": '{"v":1,"connections":[{"id":"c","provider":"p"}],"observations":[{"status":"working"}]}',
    "surrogate": '{"v":1,"connections":[],"observations":[]}\ud800',
    "escaped-surrogate": r'{"v":1,"connections":["\ud800"],"observations":["\ud800"]}',
    "deep": '{"v":1,"x":' + "[" * 100_000,
    "deep-from-the-start": "[" * 100_000,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_document_is_an_error_with_a_remedy(text: str) -> None:
    """The message is one line that names the document and the command that renews it."""
    for name, parse in (("connections", parse_connections), ("observations", parse_observations)):
        with pytest.raises(
            AnswerError, match=rf"^the {name} document can't be read: .+; run: pulumi refresh$"
        ) as caught:
            parse(text)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("content", ["[]", "{}", "5", '[{"id":5}]', '{"c":5}'])
def test_a_newer_document_is_an_error_that_says_so(content: str) -> None:
    """Whatever is in it, the way out is an upgrade."""
    readers = (("connections", parse_connections), ("connections", parse_ids), ("observations", parse_observations))
    for name, parse in readers:
        text = f'{{"connections":{content},"observations":{content},"v":{VERSION + 1}}}'
        with pytest.raises(AnswerError) as caught:
            parse(text)
        assert str(caught.value) == f"the {name} document is of a newer version; upgrade pulumi-ampersand"


def test_ids_are_read_without_the_rest() -> None:
    """They are those of the connections, in the same order; what else is wrong with a connection isn't looked at."""
    connections, _ = inventory({**ENTRY, "id": "d"}, ENTRY).documents()
    assert parse_ids(connections) == [connection.id for connection in parse_connections(connections)]
    assert parse_ids('{"v":1,"connections":[{"id":"c","scopes":5}]}') == ["c"]
    for text in ("", "[]", '{"v":1}', '{"v":1,"connections":[{}]}', '{"v":1,"connections":[{"id":5}]}'):
        with pytest.raises(AnswerError, match=r"^the connections document can't be read: .+; run: pulumi refresh$"):
            parse_ids(text)


def test_a_text_is_parsed_once() -> None:
    """The same content gives the same objects, however the text came here."""
    connections, observations = inventory(ENTRY, {**ENTRY, "id": "d"}).documents()
    assert parse_connections(connections) is parse_connections(connections[:9] + connections[9:])
    assert parse_observations(observations) is parse_observations(observations[:9] + observations[9:])
    first, second = (Inventory.from_documents(connections, observations) for _ in range(2))
    assert all(a.connection is b.connection for a, b in zip(first, second, strict=True))


MEBIBYTE = "x" * 1024**2
MANY = DOCUMENT_LIMIT // 1024**2


def sharing(connections: int) -> Inventory:
    """Many connections of one mebibyte each, all of which is the same text in memory."""
    return Inventory(
        (Connection(id=f"c{number}", provider="p", healthy=True, createTime=MEBIBYTE), UNOBSERVED)
        for number in range(connections)
    )


def test_connections_over_the_limit_are_refused() -> None:
    """The engine would end with an obscure error; this one says how large they are and how to get less."""
    with pytest.raises(AnswerError) as caught:
        sharing(MANY).documents()
    assert str(caught.value) == (
        "256 connections take 256 MiB, and a stack can hold 256 MiB; filter by provider, group_ref or consumer_ref"
    )
    assert len(sharing(MANY - 1).documents()[0]) < DOCUMENT_LIMIT


def test_observations_over_the_limit_are_refused() -> None:
    """The second document is bounded, too."""
    noted = Observation("c", status="working", gaps={"createTime": MEBIBYTE})
    found = Inventory((Connection(id=f"c{n}", provider="p", healthy=True), noted) for n in range(MANY))
    with pytest.raises(AnswerError, match="256 connections take 256 MiB"):
        found.documents()


def test_inventories_are_merged() -> None:
    """Several projects make one inventory, sorted, with every reason why something is missing."""
    crm = Inventory(read_connections(json.dumps([{**ENTRY, "id": "b"}, {**ENTRY, "id": "d"}]).encode()), "crm")
    erp = Inventory(
        read_connections(json.dumps([{**ENTRY, "id": "a"}, {**ENTRY, "id": "d"}]).encode()), "erp", ["down"]
    )
    lost = Inventory(unread=["lost", "found"])
    for parts in ([crm, erp, lost], [erp, lost, crm]):
        whole = Inventory.merge(parts)
        assert [(entry.connection.id, entry.project) for entry in whole] == [
            ("a", "erp"),
            ("b", "crm"),
            ("d", "crm"),
            ("d", "erp"),
        ]
        assert sorted(whole.unread) == [("down", "erp"), ("found", ""), ("lost", "")]
    assert len(Inventory.merge([])) == 0


def test_an_inventory_shows_its_size_only() -> None:
    """A repr of thousands of connections helps nobody."""
    assert repr(inventory(ENTRY)) == "<Inventory of 1 connections>"
    assert list(Inventory()) == []
    assert Inventory().unread == ()
