"""The rules about scopes: the table's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.testing import connection, grant, inventory
from rule_cases import (
    Case,
    Cases,
    Wrong,
    breaks,
    granted,
    keeps,
    one,
    undecided,
    unobserved,
    with_block,
    with_gaps,
    without_a_grant,
    wrong,
)

_UNKNOWN: Final = "its granted scopes are unknown: "
_APP_UNKNOWN: Final = "the scopes of its provider app are unknown: "
_NOT_SENT: Final = "the API didn't send them"
_MAIL: Final = "https://mail.example.com/"


def _unknown_scopes(**options: Any) -> tuple[Case, ...]:
    """What no rule about granted scopes can judge."""
    return (
        undecided("not-sent", granted(scopes=None), _UNKNOWN + _NOT_SENT, **options),
        undecided("absent", with_block({}), _UNKNOWN + _NOT_SENT, **options),
        undecided("scheme-without-a-grant", with_block(None), _UNKNOWN + _NOT_SENT, **options),
        undecided(
            "pkce-without-a-grant",
            one(authScheme="oauth2/authorizationCodePKCE", oauth2AuthorizationCode=None),
            _UNKNOWN + _NOT_SENT,
            **options,
        ),
        undecided(
            "number-for-scopes",
            granted(scopes=5),
            f"{_UNKNOWN}the API sent a number as oauth2AuthorizationCode.scopes",
            **options,
        ),
        undecided(
            "number-for-a-scope",
            granted(scopes=["api", 5]),
            f"{_UNKNOWN}the API sent a list that holds more than text as oauth2AuthorizationCode.scopes",
            **options,
        ),
        undecided(
            "list-for-a-grant",
            with_block(["api"]),
            f"{_UNKNOWN}the API sent a list as oauth2AuthorizationCode",
            **options,
        ),
        undecided(
            "details-failed",
            with_gaps(granted(scopes=None), details="the API could not be reached"),
            f"{_UNKNOWN}the API could not be reached",
            **options,
        ),
        undecided("unobserved", unobserved(granted(scopes=None)), _UNKNOWN + _NOT_SENT, **options),
    )


def _wrong_maps(item: str) -> tuple[Wrong, ...]:
    """Maps of scopes that no rule takes.

    Args:
        item: What may stand in a list, for the message.
    """
    return (
        wrong("no-scopes", 'is configured but lacks "scopes", without which it checks nothing', maxReported=5),
        wrong("no-provider", '"scopes": {} should be non-empty', scopes={}),
        wrong("list-for-a-map", '"scopes": ["api"] is not allowed, only object', scopes=["api"]),
        wrong("text-for-a-list", '"scopes.*": "api" is not allowed, only array', scopes={"*": "api"}),
        wrong("number-for-a-scope", f'"scopes.*.0": 5 is not allowed, only {item}', scopes={"*": [5]}),
        wrong("empty-scope", "\"scopes.*.1\": '' should be non-empty", scopes={"*": ["api", ""]}),
        wrong(
            "two-scopes-in-one",
            "\"scopes.*.0\": 'api id' is not allowed: One scope; none holds a space.",
            scopes={"*": ["api id"]},
        ),
        wrong("null-for-a-list", '"scopes.gong": null is not allowed, only array', scopes={"gong": None}),
    )


REQUIRED_SCOPES = Cases(
    options={"scopes": {"*": ["api"]}},
    keeps=(
        keeps("granted", granted(scopes=["api", "id"])),
        keeps("all-granted", granted(scopes=["api", "id"]), scopes={"salesforce": ["id", "api"]}),
        keeps("no-grant", without_a_grant()),
    ),
    breaks=(
        breaks("missing", granted(scopes=["id"]), "not granted: api"),
        breaks("all-causes-at-once", granted(), "not granted: id, web", scopes={"*": ["api", "id", "web"]}),
        breaks(
            "none-of-any-of",
            granted(),
            "not granted: refresh or offline",
            scopes={"*": ["api", ["refresh", "offline"]]},
        ),
        breaks(
            "grant-under-another-scheme",
            inventory(
                *(
                    connection(name, authScheme=scheme, oauth2AuthorizationCode=grant(scopes=["id"]))
                    for name, scheme in (("none", None), ("new", "future"), ("key", "apiKey"))
                )
            ),
            dict.fromkeys(("none", "new", "key"), "not granted: api"),
        ),
    ),
    edges=(
        breaks("nothing-granted", granted(scopes=[]), "not granted: api"),
        breaks("nothing-granted-as-text", granted(scopes=""), "not granted: api"),
        breaks("upper-case", granted(scopes=["API"]), "not granted: api"),
        breaks("no-prefix", granted(scopes=["api2", "ap"]), "not granted: api"),
        breaks("no-glob", granted(scopes=["api"]), "not granted: a*", scopes={"*": ["a*"]}),
        keeps("one-text-of-several", granted(scopes="id api  web\n")),
        keeps("a-text-of-several-in-a-list", granted(scopes=["id api", "web"])),
        keeps("nested", granted(scopes=[["api", "id"]])),
        keeps("one-of-any-of", granted(scopes=["offline"]), scopes={"*": [["refresh", "offline"]]}),
        keeps("both-of-any-of", granted(scopes=["offline", "refresh"]), scopes={"*": [["refresh", "offline"]]}),
        keeps("any-of-one", granted(), scopes={"*": [["api"]]}),
        keeps("another-provider", granted(), scopes={"hubspot": ["profile"]}),
        keeps("own-entry-replaces", granted(), scopes={"salesforce": ["api"], "*": ["profile"]}),
        keeps("own-empty-entry-replaces", granted(), scopes={"salesforce": [], "*": ["profile"]}),
        keeps("own-empty-entry-needs-no-scopes", granted(scopes=None), scopes={"salesforce": [], "*": ["profile"]}),
        breaks(
            "own-entry-alone-counts",
            granted(),
            "not granted: profile",
            scopes={"salesforce": ["profile"], "*": ["api"]},
        ),
        breaks(
            "names-to-the-letter", granted(), "not granted: profile", scopes={"Salesforce": ["api"], "*": ["profile"]}
        ),
        breaks(
            "url",
            granted(scopes=[f"{_MAIL}read"]),
            f"not granted: {_MAIL}read?all=[1]",
            scopes={"*": [f"{_MAIL}read?all=[1]"]},
        ),
    ),
    not_evaluated=_unknown_scopes(),
    wrong=(
        *_wrong_maps("array or string"),
        wrong("any-of-none", '"scopes.*.0": [] should be non-empty', scopes={"*": [[]]}),
        wrong("empty-scope-in-any-of", "\"scopes.*.0.1\": '' should be non-empty", scopes={"*": [["api", ""]]}),
    ),
)


def _app(**changes: Any) -> Inventory:
    """``conn_1``, granted ``api``, with another provider app."""
    app = {"id": "app_1", "projectId": "proj_1", "provider": "salesforce", "scopes": ["api"], **changes}
    return one(providerApp={name: value for name, value in app.items() if value is not None})


PROVIDER_APP_SCOPES = Cases(
    keeps=(
        keeps("the-same", _app()),
        keeps("more-granted", granted(scopes=["api", "id"])),
        keeps("no-grant", without_a_grant()),
    ),
    breaks=(
        breaks(
            "app-asks-for-more",
            _app(scopes=["web", "api", "id"]),
            "its provider app asks for more than was granted: id, web",
        ),
        breaks("nothing-granted", granted(scopes=[]), "its provider app asks for more than was granted: api"),
    ),
    edges=(
        keeps("app-asks-for-none", _app(scopes=[])),
        keeps(
            "app-asks-for-none-and-none-granted",
            one(oauth2AuthorizationCode=grant(scopes=[]), providerApp={"scopes": ""}),
        ),
        keeps("nested-and-several-in-one", _app(scopes=[["api api"], "api"])),
        breaks("upper-case", _app(scopes=["API"]), "its provider app asks for more than was granted: API"),
        breaks(
            "several-in-one", _app(scopes="api offline"), "its provider app asks for more than was granted: offline"
        ),
        breaks(
            "unobserved-and-known",
            unobserved(_app(scopes=["api", "id"])),
            "its provider app asks for more than was granted: id",
        ),
    ),
    not_evaluated=(
        *_unknown_scopes(),
        undecided("no-app", one(providerApp=None), f"{_APP_UNKNOWN}the API didn't send providerApp.scopes"),
        undecided("app-without-scopes", _app(scopes=None), f"{_APP_UNKNOWN}the API didn't send providerApp.scopes"),
        undecided(
            "null",
            one(providerApp={"id": "app_1", "scopes": None}),
            f"{_APP_UNKNOWN}the API didn't send providerApp.scopes",
        ),
        undecided(
            "number-for-the-scopes-of-an-app",
            _app(scopes=5),
            f"{_APP_UNKNOWN}the API sent a number as providerApp.scopes",
        ),
        undecided("text-for-an-app", one(providerApp="app_1"), f"{_APP_UNKNOWN}the API sent text as providerApp"),
    ),
    wrong=(
        wrong("none-of-its-own", 'unknown key "scopes"; it takes maxReported, tolerate, waivers', scopes={"*": []}),
    ),
)

FORBIDDEN_SCOPES = Cases(
    options={"scopes": {"*": ["*admin*"]}},
    keeps=(
        keeps("harmless", granted(scopes=["api", "id"])),
        keeps("no-grant", without_a_grant()),
    ),
    breaks=(
        breaks("matches", granted(scopes=["api", "admin"]), "granted, but forbidden: admin"),
        breaks(
            "all-at-once",
            granted(scopes=["web.admin", "admin.read", "api"]),
            "granted, but forbidden: admin.read, web.admin",
        ),
        breaks(
            "several-globs",
            granted(scopes=["full", "api", "refresh_token"]),
            "granted, but forbidden: full, refresh_token",
            scopes={"salesforce": ["full", "refresh*"]},
        ),
    ),
    edges=(
        keeps("nothing-granted", granted(scopes=[])),
        keeps("nothing-granted-as-text", granted(scopes="")),
        keeps("upper-case", granted(scopes=["ADMIN"])),
        breaks("several-in-one", granted(scopes="api admin"), "granted, but forbidden: admin"),
        breaks("everything", granted(scopes=["a", "b/c"]), "granted, but forbidden: a, b/c", scopes={"*": ["*"]}),
        keeps("no-glob-is-the-whole-scope", granted(scopes=["admin.read"]), scopes={"*": ["admin"]}),
        breaks(
            "star-for-none", granted(scopes=["admin."]), "granted, but forbidden: admin.", scopes={"*": ["admin.*"]}
        ),
        breaks(
            "star-over-slashes",
            granted(scopes=[f"{_MAIL}auth/v1/read"]),
            f"granted, but forbidden: {_MAIL}auth/v1/read",
            scopes={"*": ["https://*/read"]},
        ),
        breaks(
            "several-stars",
            granted(scopes=[f"{_MAIL}auth/admin.directory.user"]),
            f"granted, but forbidden: {_MAIL}auth/admin.directory.user",
            scopes={"*": ["https://*/auth/*.directory.*"]},
        ),
        keeps("question-mark-is-a-letter", granted(scopes=[f"{_MAIL}readX"]), scopes={"*": [f"{_MAIL}read?"]}),
        breaks(
            "question-mark",
            granted(scopes=[f"{_MAIL}read?full"]),
            f"granted, but forbidden: {_MAIL}read?full",
            scopes={"*": [f"{_MAIL}read?*"]},
        ),
        keeps("brackets-are-letters", granted(scopes=["scopea"]), scopes={"*": ["scope[a]"]}),
        breaks(
            "brackets", granted(scopes=["scope[a]"]), "granted, but forbidden: scope[a]", scopes={"*": ["scope[a]"]}
        ),
        keeps("dot-is-a-letter", granted(scopes=["adminXread"]), scopes={"*": ["admin.read"]}),
        keeps("own-entry-replaces", granted(scopes=["admin"]), scopes={"salesforce": ["full"], "*": ["*admin*"]}),
        keeps("own-empty-entry-replaces", granted(scopes=["admin"]), scopes={"salesforce": [], "*": ["*admin*"]}),
        keeps("own-empty-entry-needs-no-scopes", granted(scopes=None), scopes={"salesforce": [], "*": ["*admin*"]}),
        keeps("another-provider", granted(scopes=["admin"]), scopes={"hubspot": ["*admin*"]}),
    ),
    not_evaluated=_unknown_scopes(),
    wrong=_wrong_maps("string"),
)

ALLOWED_SCOPES = Cases(
    options={"scopes": {"*": ["api", "id*"]}},
    keeps=(
        keeps("allowed", granted(scopes=["api", "id", "id.read"])),
        keeps("no-grant", without_a_grant()),
    ),
    breaks=(
        breaks("outside", granted(scopes=["api", "full"]), "granted, but not among the allowed: full"),
        breaks("all-at-once", granted(scopes=["web", "full", "api"]), "granted, but not among the allowed: full, web"),
    ),
    edges=(
        keeps("nothing-granted", granted(scopes=[])),
        keeps("nothing-granted-and-nothing-allowed", granted(scopes=[]), scopes={"*": []}),
        breaks("nothing-allowed", granted(), "granted, but not among the allowed: api", scopes={"*": []}),
        breaks("upper-case", granted(scopes=["API"]), "granted, but not among the allowed: API"),
        breaks("several-in-one", granted(scopes="api full"), "granted, but not among the allowed: full"),
        keeps("another-provider", granted(scopes=["full"]), scopes={"hubspot": []}),
        keeps("another-provider-needs-no-scopes", granted(scopes=None), scopes={"hubspot": []}),
        breaks(
            "own-entry-replaces",
            granted(),
            "granted, but not among the allowed: api",
            scopes={"salesforce": ["id"], "*": ["*"]},
        ),
        breaks(
            "own-empty-entry-replaces",
            granted(),
            "granted, but not among the allowed: api",
            scopes={"salesforce": [], "*": ["*"]},
        ),
        keeps("url", granted(scopes=[f"{_MAIL}auth/a.read"]), scopes={"*": [f"{_MAIL}*.read"]}),
        breaks(
            "question-mark-is-a-letter",
            granted(scopes=["idX"]),
            "granted, but not among the allowed: idX",
            scopes={"*": ["id?"]},
        ),
        breaks(
            "brackets-are-letters",
            granted(scopes=["a"]),
            "granted, but not among the allowed: a",
            scopes={"*": ["[a]"]},
        ),
    ),
    not_evaluated=(
        *_unknown_scopes(),
        undecided("unknown-and-nothing-allowed", granted(scopes=None), _UNKNOWN + _NOT_SENT, scopes={"salesforce": []}),
    ),
    wrong=_wrong_maps("string"),
)

SCOPES: Final[Mapping[str, Cases]] = {
    "required-scopes": REQUIRED_SCOPES,
    "provider-app-scopes": PROVIDER_APP_SCOPES,
    "forbidden-scopes": FORBIDDEN_SCOPES,
    "allowed-scopes": ALLOWED_SCOPES,
}
