"""The rules about which connections there are, and what is known of them: the table's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.testing import at, connection, inventory
from rule_cases import Case, Cases, breaks, granted, keeps, one, undecided, unobserved, with_gaps, wrong

_OTHERS: Final = "its customer has others for the same workspace: "
_SAME: Final = {"providerWorkspaceRef": "acme"}

UNIQUE_CONNECTIONS = Cases(
    keeps=(
        keeps("one", one()),
        keeps("another-workspace", inventory(connection("a"), connection("b"))),
        keeps("another-provider", inventory(connection("a", **_SAME), connection("b", provider="hubspot", **_SAME))),
        keeps("another-group", inventory(connection("a", **_SAME), connection("b", group={"groupRef": "x"}, **_SAME))),
        keeps(
            "another-consumer",
            inventory(connection("a", **_SAME), connection("b", consumer={"consumerRef": "x"}, **_SAME)),
        ),
        keeps("another-project", inventory(connection("a", **_SAME), connection("b", projectId="x", **_SAME))),
    ),
    breaks=(
        breaks(
            "two",
            inventory(connection("a", **_SAME), connection("b", **_SAME), connection("c")),
            {"a": f"{_OTHERS}b", "b": f"{_OTHERS}a"},
        ),
        breaks(
            "many",
            inventory(*(connection(name, **_SAME) for name in "abcdef")),
            {
                "a": f"{_OTHERS}b, c, d and 2 more",
                "b": f"{_OTHERS}a, c, d and 2 more",
                "c": f"{_OTHERS}a, b, d and 2 more",
                "d": f"{_OTHERS}a, b, c and 2 more",
                "e": f"{_OTHERS}a, b, c and 2 more",
                "f": f"{_OTHERS}a, b, c and 2 more",
            },
        ),
    ),
    edges=(
        breaks(
            "four",
            inventory(*(connection(name, **_SAME) for name in "abcd")),
            {
                "a": f"{_OTHERS}b, c, d",
                "b": f"{_OTHERS}a, c, d",
                "c": f"{_OTHERS}a, b, d",
                "d": f"{_OTHERS}a, b, c",
            },
        ),
        breaks(
            "unknown-workspaces-are-the-same",
            inventory(connection("a", providerWorkspaceRef=None), connection("b", providerWorkspaceRef=None)),
            {"a": f"{_OTHERS}b", "b": f"{_OTHERS}a"},
        ),
        keeps(
            "an-unknown-workspace-is-no-other",
            inventory(connection("a", **_SAME), connection("b", providerWorkspaceRef=None)),
        ),
        breaks(
            "no-group",
            inventory(connection("a", group=None, **_SAME), connection("b", group=None, **_SAME)),
            {"a": f"{_OTHERS}b", "b": f"{_OTHERS}a"},
        ),
        breaks(
            "no-consumer",
            inventory(connection("a", consumer=None, **_SAME), connection("b", consumer={}, **_SAME)),
            {"a": f"{_OTHERS}b", "b": f"{_OTHERS}a"},
        ),
        keeps("a-missing-group-is-no-other", inventory(connection("a", group=None, **_SAME), connection("b", **_SAME))),
        keeps("upper-case", inventory(connection("a", **_SAME), connection("b", providerWorkspaceRef="ACME"))),
        breaks(
            "names-do-not-count",
            inventory(connection("a", **_SAME), connection("b", group={"groupRef": "acme", "groupName": "X"}, **_SAME)),
            {"a": f"{_OTHERS}b", "b": f"{_OTHERS}a"},
        ),
        breaks(
            "health-does-not-count",
            inventory(connection("a", **_SAME), connection("b", status="bad_credentials", **_SAME)),
            {"a": f"{_OTHERS}b", "b": f"{_OTHERS}a"},
        ),
        keeps("read-twice", Inventory.merge([one(), one()])),
        breaks(
            "unobserved",
            unobserved(inventory(connection("a", **_SAME), connection("b", **_SAME))),
            {"a": f"{_OTHERS}b", "b": f"{_OTHERS}a"},
        ),
    ),
    not_evaluated=(
        undecided(
            "nobody",
            one(group=None, consumer=None),
            "whose it is is unknown: the API didn't send group.groupRef; the API didn't send consumer.consumerRef",
        ),
        undecided(
            "nobody-twice",
            inventory(
                connection("a", group={}, consumer={}, **_SAME),
                connection("b", group=None, consumer={"consumerRef": None}, **_SAME),
            ),
            dict.fromkeys(
                "ab",
                "whose it is is unknown: the API didn't send group.groupRef; the API didn't send consumer.consumerRef",
            ),
        ),
        undecided(
            "numbers",
            one(group={"groupRef": 5}, consumer=5),
            "whose it is is unknown: the API sent a number as group.groupRef; the API sent a number as consumer",
        ),
        undecided(
            "one-of-what-is-compared",
            inventory(
                connection("a", **_SAME | {"providerWorkspaceRef": 5}), connection("b", consumer={"consumerRef": 5})
            ),
            {
                "a": "whose it is is unknown: the API sent a number as providerWorkspaceRef",
                "b": "whose it is is unknown: the API sent a number as consumer.consumerRef",
            },
        ),
    ),
    wrong=(wrong("none-of-its-own", 'unknown key "provider"; it takes maxReported, tolerate, waivers', provider="a"),),
)


def _created(create: str | None, update: str | None, status: str = "created") -> Inventory:
    """``conn_1``, never used, with its times."""
    return one(status=status, createTime=create, updateTime=update)


IDLE_CONNECTIONS = Cases(
    keeps=(
        keeps("used", _created(at(days=-90), at(days=-90), "working")),
        keeps("new", _created(at(days=-3), at(days=-3))),
        keeps("refreshed", _created(at(days=-90), at(hours=-1))),
        keeps("bad-credentials", _created(at(days=-90), at(days=-90), "bad_credentials")),
    ),
    breaks=(
        breaks(
            "never-used",
            _created(at(days=-90), at(days=-45)),
            "still created and unused for 45 days, since 2026-10-10T08:00:00Z; maximum 30 days",
        ),
        breaks(
            "the-later-time-counts",
            _created(at(days=-45), at(days=-90)),
            "still created and unused for 45 days, since 2026-10-10T08:00:00Z; maximum 30 days",
        ),
        breaks(
            "own-limit",
            _created(at(days=-2), at(days=-2)),
            "still created and unused for 2 days, since 2026-11-22T08:00:00Z; maximum 1 day",
            maxDays=1,
        ),
    ),
    edges=(
        keeps("exactly-at-the-limit", _created(at(days=-90), at(days=-30))),
        breaks(
            "a-second-older",
            _created(at(days=-90), at(days=-30, seconds=-1)),
            "still created and unused for 30 days, since 2026-10-25T07:59:59Z; maximum 30 days",
        ),
        keeps("creation-exactly-at-the-limit", _created(at(days=-30), at(days=-90))),
        keeps("creation-in-the-future", _created(at(days=1), at(days=-90))),
        keeps("offset", _created(at(days=-90), "2026-10-25T10:00:00+02:00")),
        breaks(
            "no-days-at-all",
            _created(at(seconds=-1), at(seconds=-1)),
            "still created and unused for less than a minute, since 2026-11-24T07:59:59Z; maximum 0 days",
            maxDays=0,
        ),
        keeps("unknown-update-of-a-young-one", _created(at(days=-30), None)),
        keeps("unknown-creation-of-a-refreshed-one", _created(None, at(days=-30))),
        keeps("unknown-times-of-a-used-one", _created(None, None, "working")),
        keeps("upper-case", _created(at(days=-90), at(days=-90), "CREATED")),
        keeps("unknown-status", _created(at(days=-90), at(days=-90), "suspended")),
        Case(
            "each-by-itself",
            inventory(
                *(
                    connection(
                        name, status=status, createTime=at(days=-90), updateTime=at(days=-days) if days else None
                    )
                    for name, status, days in (
                        ("a-used", "working", 90),
                        ("b-idle", "created", 45),
                        ("c-refreshed", "created", 1),
                        ("d-idle", "created", 45),
                        ("e-unknown", "created", 0),
                        ("f-idle", "created", 45),
                    )
                )
            ),
            breaks=dict.fromkeys(
                ("b-idle", "d-idle", "f-idle"),
                "still created and unused for 45 days, since 2026-10-10T08:00:00Z; maximum 30 days",
            ),
            not_evaluated={"e-unknown": "how long it has been unused is unknown: the API didn't send updateTime"},
        ),
    ),
    not_evaluated=(
        undecided(
            "update",
            _created(at(days=-31), None),
            "how long it has been unused is unknown: the API didn't send updateTime",
        ),
        undecided(
            "creation",
            _created(None, at(days=-31)),
            "how long it has been unused is unknown: the API didn't send createTime",
        ),
        undecided(
            "both",
            _created(None, None),
            "how long it has been unused is unknown: the API didn't send createTime; the API didn't send updateTime",
        ),
        undecided(
            "no-time",
            _created("long ago", at(days=-31)),
            "how long it has been unused is unknown: createTime is no time",
        ),
        undecided(
            "number",
            one(status="created", createTime=5, updateTime=at(days=-31)),
            "how long it has been unused is unknown: the API sent a number as createTime",
        ),
        undecided("unobserved", unobserved(_created(at(days=-90), at(days=-90))), "how it was found wasn't passed on"),
    ),
    wrong=(
        wrong("negative", '"maxDays": -1 is less than the minimum of 0', maxDays=-1),
        wrong("over-a-century", '"maxDays": 36501 is greater than the maximum of 36500', maxDays=36501),
        wrong("text", '"maxDays": "30" is not allowed, only number', maxDays="30"),
    ),
)

_SALESFORCE: Final = {"provider": "salesforce"}
_NONE: Final = "0 healthy connections, at least 1 needed"
_UNREAD: Final = Inventory(unread=["project b could not be read"])

REQUIRED_CONNECTIONS = Cases(
    options={"require": [_SALESFORCE]},
    keeps=(
        keeps("there", one()),
        keeps("created", one(status="created")),
        keeps("enough", inventory(connection("a"), connection("b")), require=[_SALESFORCE | {"min": 2}]),
        keeps("both-match", one(), require=[{"provider": "salesforce", "groupRef": "acme"}]),
        keeps("group", one(), require=[{"groupRef": "acme"}]),
        keeps("nothing-required", inventory(), require=[]),
    ),
    breaks=(
        breaks("none", inventory(), {"": f"provider salesforce: {_NONE}"}),
        breaks(
            "too-few",
            inventory(connection("a"), connection("b", provider="hubspot")),
            {"": "provider salesforce: 1 healthy connection, at least 2 needed"},
            require=[_SALESFORCE | {"min": 2}],
        ),
        breaks(
            "unhealthy",
            inventory(connection("a", status="bad_credentials")),
            {"": f"provider salesforce: {_NONE}; unhealthy: a (bad_credentials)"},
        ),
        breaks(
            "each-requirement-by-itself",
            one(),
            {"": f"group globex: {_NONE}; provider gong and group acme: {_NONE}"},
            require=[{"groupRef": "globex"}, _SALESFORCE, {"provider": "gong", "groupRef": "acme"}],
        ),
        breaks(
            "named-by-a-gate",
            Inventory.merge([one(), Inventory(missing=["conn_7", "conn_8"])]),
            {
                "conn_7": 'the gate names connection "conn_7", which doesn\'t exist, or which its filters exclude',
                "conn_8": 'the gate names connection "conn_8", which doesn\'t exist, or which its filters exclude',
            },
        ),
    ),
    edges=(
        breaks(
            "unknown-status-is-not-healthy",
            inventory(connection("a", status="suspended")),
            {"": f"provider salesforce: {_NONE}; unhealthy: a (suspended)"},
        ),
        breaks(
            "three-unhealthy-are-named",
            inventory(*(connection(name, status="bad_credentials") for name in "abc")),
            {
                "": f"provider salesforce: {_NONE}; "
                "unhealthy: a (bad_credentials), b (bad_credentials), c (bad_credentials)"
            },
        ),
        breaks(
            "the-rest-is-counted",
            inventory(*(connection(name, status="bad_credentials") for name in "abcde")),
            {
                "": f"provider salesforce: {_NONE}; "
                "unhealthy: a (bad_credentials), b (bad_credentials), c (bad_credentials) and 2 more"
            },
        ),
        breaks(
            "only-the-unhealthy-that-match",
            inventory(
                connection("a", status="bad_credentials"), connection("b", provider="x", status="bad_credentials")
            ),
            {"": f"provider salesforce: {_NONE}; unhealthy: a (bad_credentials)"},
        ),
        breaks("upper-case", one(provider="Salesforce"), {"": f"provider salesforce: {_NONE}"}),
        breaks("group-upper-case", one(), {"": f"group ACME: {_NONE}"}, require=[{"groupRef": "ACME"}]),
        breaks("no-globs", one(), {"": f"group ac*: {_NONE}"}, require=[{"groupRef": "ac*"}]),
        breaks("no-group", one(group=None), {"": f"group acme: {_NONE}"}, require=[{"groupRef": "acme"}]),
        breaks("group-without-a-ref", one(group={}), {"": f"group acme: {_NONE}"}, require=[{"groupRef": "acme"}]),
        breaks(
            "one-of-both-matches",
            one(),
            {"": f"provider salesforce and group globex: {_NONE}"},
            require=[{"provider": "salesforce", "groupRef": "globex"}],
        ),
        keeps(
            "enough-though-some-are-unhealthy", inventory(connection("a"), connection("b", status="bad_credentials"))
        ),
        keeps("healthy-and-unobserved", unobserved(one())),
        breaks(
            "a-gates-names-count-without-requirements",
            Inventory(missing=["conn_7"]),
            {"conn_7": 'the gate names connection "conn_7", which doesn\'t exist, or which its filters exclude'},
            require=[],
        ),
    ),
    not_evaluated=(
        undecided(
            "too-few-of-what-could-be-read",
            Inventory.merge([one(status="bad_credentials"), _UNREAD]),
            {"": "project b could not be read; provider salesforce: not all connections could be read"},
        ),
        undecided(
            "each-requirement-by-itself",
            Inventory.merge([one(), _UNREAD]),
            {
                "": "project b could not be read; provider gong: not all connections could be read; "
                "group globex: not all connections could be read"
            },
            require=[_SALESFORCE, {"provider": "gong"}, {"groupRef": "globex"}],
        ),
        undecided(
            "enough-of-what-could-be-read",
            Inventory.merge([one(), _UNREAD]),
            {"": "project b could not be read"},
        ),
    ),
    wrong=(
        wrong(
            "names-nothing",
            '"require.0": give at least one of provider, groupRef',
            require=[{"min": 1}],
        ),
        wrong("names-null", '"require.0": give at least one of provider, groupRef', require=[{"provider": None}]),
        wrong("none-at-least", '"require.0.min": 0 is less than the minimum of 1', require=[_SALESFORCE | {"min": 0}]),
        wrong(
            "a-part-of-one", '"require.0.min": 1.5 is not allowed, only integer', require=[_SALESFORCE | {"min": 1.5}]
        ),
        wrong("empty-provider", "\"require.0.provider\": '' should be non-empty", require=[{"provider": ""}]),
        wrong(
            "misspelt",
            'unknown key "require.0.group" (did you mean "groupRef"?); it takes provider, groupRef, min',
            require=[{"group": "acme"}],
        ),
        wrong(
            "object-for-a-list", '"require": {"provider": "a"} is not allowed, only array', require={"provider": "a"}
        ),
        wrong(
            "twice",
            '"require": provider salesforce is listed twice: give one entry the larger min',
            require=[_SALESFORCE, _SALESFORCE | {"min": 2}],
        ),
        wrong("text-for-an-item", '"require.0": "salesforce" is not allowed, only object', require=["salesforce"]),
    ),
)

_UNKNOWN_STATUS: Final = 'its status "suspended" is unknown'

VERIFIABLE_CONNECTIONS = Cases(
    without={
        "not_evaluated": "it is what says that something could not be judged",
        "waived": "the design has it so: what was not looked at can't be vouched for",
    },
    keeps=(
        keeps(
            "known-statuses",
            inventory(*(connection(name, status=name) for name in ("created", "working", "bad_credentials"))),
        ),
        keeps(
            "known-schemes",
            inventory(
                *(
                    connection(name, authScheme=name)
                    for name in (
                        "none",
                        "apiKey",
                        "basic",
                        "oauth2/authorizationCode",
                        "oauth2/authorizationCodePKCE",
                        "oauth2/clientCredentials",
                        "oauth2/password",
                    )
                )
            ),
        ),
    ),
    breaks=(
        breaks("unknown-status", one(status="suspended"), _UNKNOWN_STATUS),
        breaks("unknown-scheme", one(authScheme="passkey"), 'its authentication scheme "passkey" is unknown'),
        breaks("no-scheme", one(authScheme=None), "how it authenticates is unknown: the API didn't send authScheme"),
        breaks(
            "both",
            one(status="suspended", authScheme="passkey"),
            f'{_UNKNOWN_STATUS}; its authentication scheme "passkey" is unknown',
        ),
        breaks(
            "kept-from-the-last-time",
            with_gaps(one(), details="the API could not be reached"),
            "the API could not be reached",
        ),
    ),
    edges=(
        breaks("empty-status", one(status=""), 'its status "" is unknown'),
        breaks("upper-case", one(status="Working"), 'its status "Working" is unknown'),
        breaks("scheme-in-upper-case", one(authScheme="APIKEY"), 'its authentication scheme "APIKEY" is unknown'),
        breaks("empty-scheme", one(authScheme=""), 'its authentication scheme "" is unknown'),
        breaks(
            "long-values-are-cut",
            one(status="s" * 99, authScheme="a" * 99),
            f'its status "{"s" * 59}…" is unknown; its authentication scheme "{"a" * 59}…" is unknown',
        ),
        breaks(
            "only-scopes-are-kept",
            with_gaps(granted(refresh=False, complete=False), details="the API could not be reached"),
            "the API could not be reached",
        ),
        breaks(
            "only-token-times-are-kept",
            with_gaps(granted(scopes=None), details="the API could not be reached"),
            "the API could not be reached",
        ),
        keeps("a-status-that-was-not-passed-on", unobserved(one(status="suspended"))),
        keeps(
            "gaps-of-which-other-rules-speak",
            with_gaps(one(oauth2AuthorizationCode=None, complete=False), details="the API could not be reached"),
        ),
    ),
    not_evaluated=(),
    wrong=(
        wrong("waivers", 'unknown key "waivers"; it takes maxReported, tolerate', waivers=[]),
        wrong("none-of-its-own", 'unknown key "minDays"; it takes maxReported, tolerate', minDays=1),
    ),
)

READABLE_CONNECTIONS = Cases(
    without={
        "not_evaluated": "what could not be read is what breaks it",
        "waived": "the design has it so: what was not looked at can't be vouched for",
        "tolerated": "the design has it so: nobody knows how many findings there would be",
    },
    keeps=(
        keeps("read", one(status="bad_credentials")),
        keeps("read-and-empty", inventory()),
    ),
    breaks=(
        breaks("unread", Inventory(unread=["no key"]), {"": "no key"}),
        breaks("beside-what-could-be-read", Inventory.merge([one(), _UNREAD]), {"": "project b could not be read"}),
    ),
    edges=(
        breaks("each-reason-by-itself", Inventory(unread=["one", "two", "one"]), {"": "one; two; one"}),
        undecided(
            "ids-that-do-not-exist-are-another-rules",
            Inventory(missing=["conn_7"]),
            {"": 'the gate names connection "conn_7", which doesn\'t exist, or which its filters exclude'},
        ),
        keeps("unobserved", unobserved(one())),
    ),
    not_evaluated=(),
    wrong=(
        wrong("waivers", 'unknown key "waivers"; it takes maxReported, gate, require', waivers=[]),
        wrong(
            "tolerate", 'unknown key "tolerate" (did you mean "gate"?); it takes maxReported, gate, require', tolerate=1
        ),
        wrong("require", '"require": "yes" is not allowed, only boolean', require="yes"),
        wrong("gate", '"gate": "salesforce" is not allowed, only boolean, null or object', gate="salesforce"),
    ),
)

INVENTORY: Final[Mapping[str, Cases]] = {
    "unique-connections": UNIQUE_CONNECTIONS,
    "idle-connections": IDLE_CONNECTIONS,
    "required-connections": REQUIRED_CONNECTIONS,
    "verifiable-connections": VERIFIABLE_CONNECTIONS,
    "readable-connections": READABLE_CONNECTIONS,
}
