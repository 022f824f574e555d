"""The rules about what a connection may be: the table's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.testing import connection, inventory
from rule_cases import Cases, breaks, keeps, one, undecided, unobserved, wrong

_PASSWORD: Final = "oauth2/password"

ALLOWED_AUTH_SCHEMES = Cases(
    keeps=(
        keeps(
            "not-denied",
            inventory(
                *(
                    connection(name, authScheme=name)
                    for name in ("apiKey", "oauth2/authorizationCode", "oauth2/authorizationCodePKCE", "future")
                ),
                connection("client", authScheme="oauth2/clientCredentials"),
            ),
        ),
        keeps("allowed", one(), schemes={"*": ["oauth2/authorizationCode"]}),
    ),
    breaks=(
        breaks(
            "denied",
            inventory(*(connection(name, authScheme=name) for name in ("none", "basic", _PASSWORD))),
            {name: f"its authentication scheme {name} is denied" for name in ("none", "basic", _PASSWORD)},
        ),
        breaks(
            "outside-those-allowed",
            one(authScheme="apiKey"),
            "its authentication scheme apiKey is not allowed for salesforce, only a or b",
            schemes={"salesforce": ["a", "b"]},
        ),
        breaks(
            "unknown-to-this-version",
            one(authScheme="future"),
            "its authentication scheme future is not allowed for salesforce, only apiKey",
            schemes={"*": ["apiKey"]},
        ),
    ),
    edges=(
        keeps("nothing-denied", one(authScheme="none"), deny=[]),
        keeps("own-denial-replaces-the-default", one(authScheme="basic"), deny=["apiKey"]),
        breaks("own-denial", one(authScheme="apiKey"), "its authentication scheme apiKey is denied", deny=["apiKey"]),
        breaks(
            "denied-though-allowed",
            one(authScheme="basic"),
            "its authentication scheme basic is denied",
            schemes={"*": ["basic"]},
        ),
        keeps("allowed-and-no-more-denied", one(authScheme="basic"), schemes={"*": ["basic"]}, deny=[]),
        keeps("case-of-a-denied-one", one(authScheme="BASIC")),
        breaks(
            "case-of-an-allowed-one",
            one(authScheme="APIKEY"),
            "its authentication scheme APIKEY is not allowed for salesforce, only apiKey",
            schemes={"*": ["apiKey"]},
        ),
        keeps("own-entry-replaces", one(authScheme="apiKey"), schemes={"salesforce": ["apiKey"], "*": ["a"]}),
        breaks(
            "own-empty-entry-allows-nothing",
            one(authScheme="apiKey"),
            "its authentication scheme apiKey is not allowed for salesforce, nor is any other",
            schemes={"salesforce": [], "*": ["apiKey"]},
        ),
        keeps("another-provider", one(authScheme="apiKey"), schemes={"gong": []}),
        keeps("no-globs", one(authScheme="apiKey"), deny=["api*"]),
        keeps("empty-scheme-is-none-of-those-denied", one(authScheme="")),
        keeps("unobserved", unobserved(one())),
    ),
    not_evaluated=(
        undecided("not-sent", one(authScheme=None), "how it authenticates is unknown: the API didn't send authScheme"),
        undecided("number", one(authScheme=5), "how it authenticates is unknown: the API sent a number as authScheme"),
        undecided(
            "nothing-denied-or-allowed",
            one(authScheme=None),
            "how it authenticates is unknown: the API didn't send authScheme",
            deny=[],
        ),
    ),
    wrong=(
        wrong("text-for-a-list", '"deny": "basic" is not allowed, only array', deny="basic"),
        wrong("empty-scheme", "\"deny.0\": '' should be non-empty", deny=[""]),
        wrong("list-for-a-map", '"schemes": ["apiKey"] is not allowed, only object', schemes=["apiKey"]),
        wrong("number-for-a-scheme", '"schemes.gong.0": 5 is not allowed, only string', schemes={"gong": [5]}),
    ),
)

ALLOWED_PROVIDERS = Cases(
    options={"allow": ["salesforce", "hubspot"], "deny": ["gong"]},
    without={"not_evaluated": "a connection without a provider is an error of the answer that lists it"},
    keeps=(
        keeps("allowed", inventory(connection("a"), connection("b", provider="hubspot"))),
        keeps("not-denied", one(), deny=["gong"]),
    ),
    breaks=(
        breaks("denied", one(provider="gong"), "its provider gong is denied"),
        breaks("outside", one(provider="slack"), "its provider slack is not among those allowed: salesforce, hubspot"),
    ),
    edges=(
        breaks(
            "denied-though-allowed",
            one(),
            "its provider salesforce is denied",
            allow=["salesforce"],
            deny=["salesforce"],
        ),
        breaks(
            "upper-case",
            one(provider="Salesforce"),
            "its provider Salesforce is not among those allowed: salesforce",
            allow=["salesforce"],
        ),
        keeps("case-of-a-denied-one", one(provider="GONG"), deny=["gong"]),
        breaks("no-globs", one(), "its provider salesforce is not among those allowed: *", allow=["*"]),
        breaks(
            "empty-provider",
            one(provider=""),
            "its provider is not among those allowed: salesforce",
            allow=["salesforce"],
        ),
        keeps("unobserved", unobserved(one())),
    ),
    not_evaluated=(),
    wrong=(
        wrong("neither", 'is configured but lacks "allow" or "deny", without which it checks nothing', maxReported=5),
        wrong("nothing-allowed", '"allow": [] should be non-empty', allow=[]),
        wrong("nothing-denied", '"deny": [] should be non-empty', deny=[]),
        wrong("null", '"deny": null is not allowed, only array', deny=None),
        wrong("empty-name", "\"allow.0\": '' should be non-empty", allow=[""]),
        wrong("text-for-a-list", '"deny": "gong" is not allowed, only array', deny="gong"),
    ),
)

ALLOWED_WORKSPACES = Cases(
    options={"workspaces": {"salesforce": "(?!.*--).*", "microsoft": ".*[.]onmicrosoft[.]com"}},
    keeps=(
        keeps("matches", one(providerWorkspaceRef="acme")),
        keeps("another-provider", one(provider="hubspot", providerWorkspaceRef="acme--sandbox")),
    ),
    breaks=(
        breaks(
            "sandbox",
            one(providerWorkspaceRef="acme--full"),
            "its workspace acme--full is not allowed, only (?!.*--).*",
        ),
        breaks(
            "several",
            inventory(
                connection("a", provider="microsoft", providerWorkspaceRef="acme.example.com"),
                connection("b", providerWorkspaceRef="acme--dev"),
            ),
            {
                "a": "its workspace acme.example.com is not allowed, only .*[.]onmicrosoft[.]com",
                "b": "its workspace acme--dev is not allowed, only (?!.*--).*",
            },
        ),
    ),
    edges=(
        breaks(
            "not-the-start-alone",
            one(providerWorkspaceRef="acme-dev"),
            "its workspace acme-dev is not allowed, only acme",
            workspaces={"*": "acme"},
        ),
        breaks(
            "not-the-end-alone",
            one(providerWorkspaceRef="my-acme"),
            "its workspace my-acme is not allowed, only acme",
            workspaces={"*": "acme"},
        ),
        breaks(
            "each-alternative-whole",
            one(providerWorkspaceRef="ab"),
            "its workspace ab is not allowed, only a|b",
            workspaces={"*": "a|b"},
        ),
        breaks(
            "line-end",
            one(providerWorkspaceRef="acme\n"),
            "its workspace acme is not allowed, only acme$",
            workspaces={"*": "acme$"},
        ),
        breaks(
            "upper-case",
            one(providerWorkspaceRef="ACME"),
            "its workspace ACME is not allowed, only acme",
            workspaces={"*": "acme"},
        ),
        keeps("upper-case-allowed", one(providerWorkspaceRef="ACME"), workspaces={"*": "(?i)acme"}),
        keeps("own-entry-replaces", one(providerWorkspaceRef="b"), workspaces={"salesforce": "b", "*": "a"}),
        keeps("for-all", one(providerWorkspaceRef="a"), workspaces={"*": "a"}),
        breaks(
            "empty-workspace",
            one(providerWorkspaceRef=""),
            "its workspace is not allowed, only .+",
            workspaces={"*": ".+"},
        ),
        keeps("unobserved", unobserved(one(providerWorkspaceRef="acme"))),
        keeps("unknown-and-another-provider", one(provider="hubspot", providerWorkspaceRef=None)),
    ),
    not_evaluated=(
        undecided(
            "not-sent",
            one(providerWorkspaceRef=None),
            "its workspace is unknown: the API didn't send providerWorkspaceRef",
        ),
        undecided(
            "number",
            one(providerWorkspaceRef=5),
            "its workspace is unknown: the API sent a number as providerWorkspaceRef",
        ),
    ),
    wrong=(
        wrong("no-workspaces", 'is configured but lacks "workspaces", without which it checks nothing', maxReported=5),
        wrong("no-provider", '"workspaces": {} should be non-empty', workspaces={}),
        wrong("empty", "\"workspaces.*\": '' should be non-empty", workspaces={"*": ""}),
        wrong(
            "no-regular-expression",
            "\"workspaces.gong\": 'a(' is no regular expression: missing ), unterminated subpattern at position 1",
            workspaces={"gong": "a("},
        ),
        wrong(
            "too-large",
            "\"workspaces.*\": 'a{99999999999}' is no regular expression: the repetition number is too large",
            workspaces={"*": "a{99999999999}"},
        ),
        wrong("list-for-text", '"workspaces.gong": ["a"] is not allowed, only string', workspaces={"gong": ["a"]}),
    ),
)

_GROUP: Final = {"groupRef": "acme", "groupName": "Acme Ltd"}
_APP: Final = {"id": "app_1", "scopes": ["api"]}

SAME_PROJECT = Cases(
    keeps=(
        keeps("one-project", one()),
        keeps("nothing-to-compare", one(group=None, consumer=None, providerApp=None)),
        keeps(
            "another-project",
            one(projectId="b", group=_GROUP | {"projectId": "b"}, consumer=None, providerApp=_APP | {"projectId": "b"}),
        ),
    ),
    breaks=(
        breaks(
            "provider-app",
            one(providerApp=_APP | {"projectId": "proj_2"}),
            "its parts belong to different projects: "
            "connection proj_1, group proj_1, consumer proj_1, providerApp proj_2",
        ),
        breaks(
            "connection",
            one(projectId="proj_2", consumer=None, providerApp=None),
            "its parts belong to different projects: connection proj_2, group proj_1",
        ),
        breaks(
            "several",
            inventory(
                connection("A"),
                connection("a", consumer={"projectId": "x"}, group=None, providerApp=None),
                connection("b", group=_GROUP | {"projectId": "y"}, consumer=None, providerApp=None),
                connection("c"),
            ),
            {
                "a": "its parts belong to different projects: connection proj_1, consumer x",
                "b": "its parts belong to different projects: connection proj_1, group y",
            },
        ),
    ),
    edges=(
        breaks(
            "different-though-one-is-unknown",
            one(group=_GROUP, consumer={"projectId": "x"}, providerApp=None),
            "its parts belong to different projects: connection proj_1, consumer x",
        ),
        breaks(
            "different-though-the-connections-is-unknown",
            one(projectId=None, group=_GROUP | {"projectId": "a"}, consumer={"projectId": "b"}, providerApp=None),
            "its parts belong to different projects: group a, consumer b",
        ),
        breaks(
            "upper-case",
            one(projectId="PROJ_1", consumer=None, providerApp=None),
            "its parts belong to different projects: connection PROJ_1, group proj_1",
        ),
        keeps("unobserved", unobserved(one())),
    ),
    not_evaluated=(
        undecided(
            "connection",
            one(projectId=None),
            "whether its parts belong to one project is unknown: the API didn't send projectId",
        ),
        undecided(
            "group",
            one(group=_GROUP),
            "whether its parts belong to one project is unknown: the API didn't send group.projectId",
        ),
        undecided(
            "null",
            one(group=_GROUP | {"projectId": None}),
            "whether its parts belong to one project is unknown: the API didn't send group.projectId",
        ),
        undecided(
            "number",
            one(group=_GROUP | {"projectId": 5}),
            "whether its parts belong to one project is unknown: the API sent a number as group.projectId",
        ),
        undecided(
            "no-object",
            one(consumer=5),
            "whether its parts belong to one project is unknown: the API sent a number as consumer",
        ),
        undecided(
            "several",
            one(group=_GROUP, consumer={"consumerRef": "jo"}, providerApp=_APP),
            "whether its parts belong to one project is unknown: the API didn't send group.projectId; "
            "the API didn't send consumer.projectId; the API didn't send providerApp.projectId",
        ),
        undecided(
            "all",
            one(projectId=None, group=_GROUP, consumer=None, providerApp=None),
            "whether its parts belong to one project is unknown: the API didn't send projectId; "
            "the API didn't send group.projectId",
        ),
    ),
    wrong=(wrong("none-of-its-own", 'unknown key "project"; it takes maxReported, tolerate, waivers', project="a"),),
)


def _metadata(count: int) -> Inventory:
    """``conn_1`` with so many values of metadata."""
    return one(providerMetadata={f"key{number}": {"value": "x"} for number in range(count)})


def _named(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema that asks for a group's name in another way."""
    return {"properties": {"group": schema}, "$defs": {"named": {"required": ["groupName"]}}}


_NUMBER: Final = {
    "properties": {"providerMetadata": {"additionalProperties": {"properties": {"value": {"type": "number"}}}}}
}
_AS_SAID: Final = "it isn't as the schema says: "
_NOT_NUMBERS: Final = "; ".join(
    f"providerMetadata.key{number}.value: 'x' is not of type 'number'" for number in range(5)
)

CONNECTION_SCHEMA = Cases(
    options={"schema": {"required": ["group"], "properties": {"group": {"required": ["groupName"]}}}},
    without={"not_evaluated": "a connection is always a document"},
    keeps=(
        keeps("valid", one()),
        keeps("asks-for-nothing", one(group=None), schema={}),
        keeps("unobserved", unobserved(one())),
    ),
    breaks=(
        breaks(
            "nothing-where-something-must-be",
            one(group=None),
            f"{_AS_SAID}the connection: 'group' is a required property",
        ),
        breaks("inside", one(group={"groupRef": "acme"}), f"{_AS_SAID}group: 'groupName' is a required property"),
        breaks(
            "five-causes-at-most",
            _metadata(7),
            _AS_SAID + _NOT_NUMBERS,
            schema=_NUMBER,
        ),
        breaks(
            "several",
            inventory(connection("a", group={}), connection("b"), connection("c", group=None)),
            {
                "a": f"{_AS_SAID}group: 'groupName' is a required property",
                "c": f"{_AS_SAID}the connection: 'group' is a required property",
            },
        ),
    ),
    edges=(
        breaks("five-causes", _metadata(5), _AS_SAID + _NOT_NUMBERS, schema=_NUMBER),
        breaks(
            "place-in-a-list",
            one(),
            f"{_AS_SAID}scopes.0: 'api' is not one of ['id']",
            schema={"properties": {"scopes": {"items": {"enum": ["id"]}}}},
        ),
        breaks(
            "reference-inside",
            one(group={}),
            f"{_AS_SAID}group: 'groupName' is a required property",
            schema=_named({"$ref": "#/$defs/named"}),
        ),
        keeps("reference-to-itself", one(), schema={"properties": {"group": {"$ref": "#"}}}),
        breaks(
            "reference-by-anchor",
            one(group={}),
            f"{_AS_SAID}group: 'groupName' is a required property",
            schema={
                "properties": {"group": {"$ref": "#named"}},
                "$defs": {"n": {"$anchor": "named", "required": ["groupName"]}},
            },
        ),
        keeps(
            "numbers-of-a-schema-are-whole", one(), schema={"properties": {"scopes": {"maxItems": 1, "minItems": 1}}}
        ),
        breaks(
            "a-schema-that-is-a-number-of-items",
            one(),
            f"{_AS_SAID}scopes: ['api'] is too short",
            schema={"properties": {"scopes": {"minItems": 2}}},
        ),
        breaks(
            "draft-07",
            one(),
            f"{_AS_SAID}scopes.0: 'api' is not one of ['id']",
            schema={
                "$schema": "http://json-schema.org/draft-07/schema#",
                "properties": {"scopes": {"items": [{"enum": ["id"]}]}},
            },
        ),
        breaks(
            "no-credentials",
            one(),
            f"{_AS_SAID}the connection: 'oauth2AuthorizationCode' is a required property",
            schema={"required": ["oauth2AuthorizationCode"]},
        ),
        breaks(
            "no-status",
            one(),
            f"{_AS_SAID}the connection: 'status' is a required property",
            schema={"required": ["status"]},
        ),
        breaks(
            "health",
            one(status="suspended"),
            f"{_AS_SAID}healthy: True was expected",
            schema={"properties": {"healthy": {"const": True}}},
        ),
        breaks(
            "absent-though-null-was-sent",
            inventory(connection() | {"group": None}),
            f"{_AS_SAID}the connection: 'group' is a required property",
        ),
        keeps(
            "formats-are-not-checked",
            one(createTime="yesterday"),
            schema={"properties": {"createTime": {"format": "date-time"}}},
        ),
        breaks(
            "a-long-value-is-cut",
            one(providerWorkspaceRef="w" * 500),
            f"{_AS_SAID}providerWorkspaceRef: '{'w' * 118}…",
            schema={"properties": {"providerWorkspaceRef": {"maxLength": 5}}},
        ),
    ),
    not_evaluated=(),
    wrong=(
        wrong("no-schema", 'is configured but lacks "schema", without which it checks nothing', maxReported=5),
        wrong("true-for-a-schema", '"schema": true is not allowed, only object', schema=True),
        wrong("text-for-a-schema", '"schema": "group" is not allowed, only object', schema="group"),
        wrong(
            "unknown-type",
            "\"schema\": is no JSON Schema: 'strng' is not valid under any of the given schemas "
            "at $.properties.group.type",
            schema={"properties": {"group": {"type": "strng"}}},
        ),
        wrong(
            "no-regular-expression",
            "\"schema\": is no JSON Schema: '(' is not a 'regex' at $.pattern",
            schema={"pattern": "("},
        ),
        wrong(
            "reference-to-nowhere",
            '"schema": refers to "#/$defs/other", which isn\'t in the schema itself',
            schema=_named({"$ref": "#/$defs/other"}),
        ),
        wrong(
            "reference-elsewhere",
            '"schema": refers to "https://example.com/group.json", which isn\'t in the schema itself',
            schema=_named({"$ref": "https://example.com/group.json"}),
        ),
        wrong(
            "reference-to-a-file",
            '"schema": refers to "file:///etc/passwd", which isn\'t in the schema itself',
            schema=_named({"$ref": "file:///etc/passwd"}),
        ),
    ),
)

BOUNDARIES: Final[Mapping[str, Cases]] = {
    "allowed-auth-schemes": ALLOWED_AUTH_SCHEMES,
    "allowed-providers": ALLOWED_PROVIDERS,
    "allowed-workspaces": ALLOWED_WORKSPACES,
    "same-project": SAME_PROJECT,
    "connection-schema": CONNECTION_SCHEMA,
}
