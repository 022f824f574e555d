"""The rules: what keeps, what breaks and what can't be judged, and what all rules have in common."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies import configuration, rules
from pulumi_ampersand_policies.evaluation import evaluate
from pulumi_ampersand_policies.rule import Breach, Enforcement, Rule, Severity, Unverified
from pulumi_ampersand_policies.rules import (
    RULES,
    no_bad_credentials,
    readable_connections,
    required_scopes,
    token_expiry,
    verifiable_connections,
)
from pulumi_ampersand_policies.testing import NOW, at, grant, inventory
from pulumi_ampersand_policies.testing import connection as sent

NOTHING: tuple[list[str], list[str]] = ([], [])
HOSTILE = "x\n\x1b[31m; rm -rf ~ '\u202e<{%fg 1%}>$(id)\ud800"


def judge(rule: Rule[Any], connections: Inventory, **options: Any) -> tuple[list[str], list[str]]:
    """What breaks the rule, and what can't be judged."""
    said = list(rule.check(connections, rule.options.model_validate(options), NOW))
    return (
        [item.cause for item in said if isinstance(item, Breach)],
        [item.reason for item in said if isinstance(item, Unverified)],
    )


class TestNoBadCredentials:
    """``no-bad-credentials``."""

    RULE = no_bad_credentials.RULE

    @pytest.mark.parametrize("status", ["created", "working"])
    def test_healthy_status_keeps_it(self, status: str) -> None:
        """The two statuses that mean accepted credentials keep the rule."""
        assert judge(self.RULE, inventory(sent(status=status))) == NOTHING

    def test_bad_credentials_break_it(self) -> None:
        """The message names the status."""
        breaches, unverified = judge(self.RULE, inventory(sent(status="bad_credentials")))
        assert breaches == ["the provider refuses its credentials (status bad_credentials)"]
        assert not unverified

    @pytest.mark.parametrize("scheme", [None, "none", "apiKey", "basic", "oauth2/clientCredentials", "future"])
    def test_every_scheme_is_judged(self, scheme: str | None) -> None:
        """Refused credentials are refused, however the connection authenticates."""
        connection = sent(status="bad_credentials", authScheme=scheme, oauth2AuthorizationCode=None)
        assert len(judge(self.RULE, inventory(connection))[0]) == 1

    @pytest.mark.parametrize("status", ["suspended", "BAD_CREDENTIALS", "bad_credentials ", ""])
    def test_unknown_status_is_no_bad_credentials(self, status: str) -> None:
        """A status is compared to the letter; what isn't known is another rule's business."""
        assert judge(self.RULE, inventory(sent(status=status))) == NOTHING

    @pytest.mark.parametrize(("status", "reasons"), [("working", 0), ("bad_credentials", 1), ("suspended", 1)])
    def test_without_observations_only_health_is_known(self, status: str, reasons: int) -> None:
        """Where the status wasn't passed on, an unhealthy connection is not evaluated rather than passed."""
        unobserved = Inventory.from_documents(inventory(sent(status=status)).documents()[0])
        breaches, unverified = judge(self.RULE, unobserved)
        assert not breaches
        assert unverified == ["it isn't healthy, and its status wasn't passed on"] * reasons


class TestRequiredScopes:
    """``required-scopes``."""

    RULE = required_scopes.RULE

    @pytest.mark.parametrize(
        ("granted", "wanted", "missing"),
        [
            pytest.param(["api", "id"], ["api"], None, id="granted"),
            pytest.param(["api", "id"], ["api", "id"], None, id="all-granted"),
            pytest.param(["api"], ["api", "id", "web"], "id, web", id="all-causes-at-once"),
            pytest.param(["API"], ["api"], "api", id="case-matters"),
            pytest.param(["api2"], ["api"], "api", id="no-prefix"),
            pytest.param(["offline"], [["refresh", "offline"]], None, id="any-of"),
            pytest.param(["refresh", "offline"], [["refresh", "offline"]], None, id="both-of-any-of"),
            pytest.param(["api"], ["api", ["refresh", "offline"]], "refresh or offline", id="none-of-any-of"),
            pytest.param([], ["api"], "api", id="nothing-granted"),
            pytest.param("", ["api"], "api", id="nothing-granted-as-text"),
            pytest.param([], [], None, id="nothing-wanted"),
            pytest.param("api id", ["api", "id"], None, id="one-text-of-several"),
            pytest.param(["api id", "web"], ["id", "web"], None, id="a-text-of-several-in-a-list"),
            pytest.param([["api", "id"]], ["id"], None, id="nested"),
        ],
    )
    def test_scopes_are_compared(self, granted: Any, wanted: Any, missing: str | None) -> None:
        """Each wanted scope must be among the granted ones, in whatever form these came."""
        connection = sent(oauth2AuthorizationCode=grant(scopes=granted))
        expected = [] if missing is None else [f"not granted: {missing}"]
        assert judge(self.RULE, inventory(connection), scopes={"salesforce": wanted}) == (expected, [])

    @pytest.mark.parametrize(
        ("scopes", "breaks"),
        [
            pytest.param({"*": ["profile"]}, True, id="any-provider"),
            pytest.param({"hubspot": ["profile"]}, False, id="another-provider"),
            pytest.param({"salesforce": ["api"], "*": ["profile"]}, False, id="own-entry-replaces"),
            pytest.param({"salesforce": [], "*": ["profile"]}, False, id="own-empty-entry-replaces"),
            pytest.param({"salesforce": ["profile"], "*": ["api"]}, True, id="own-entry-alone-counts"),
            pytest.param({"Salesforce": ["api"], "*": ["profile"]}, True, id="names-to-the-letter"),
        ],
    )
    def test_own_entry_replaces_the_one_for_all(self, scopes: dict[str, Any], breaks: bool) -> None:
        """A provider's own entry replaces the one for ``*``; the two aren't added."""
        assert bool(judge(self.RULE, inventory(sent()), scopes=scopes)[0]) is breaks

    def test_missing_scopes_are_not_evaluated(self) -> None:
        """No list of scopes means that the API didn't say, which is neither kept nor broken."""
        breaches, unverified = judge(
            self.RULE, inventory(sent(oauth2AuthorizationCode=grant(scopes=None))), scopes={"*": ["api"]}
        )
        assert not breaches
        assert unverified == ["its granted scopes are unknown: the API didn't send them"]

    @pytest.mark.parametrize(
        ("block", "reason"),
        [
            (grant(scopes=5), "the API sent a number as oauth2AuthorizationCode.scopes"),
            (grant(scopes=["api", 5]), "a list that holds more than text as oauth2AuthorizationCode.scopes"),
            (["api"], "the API sent a list as oauth2AuthorizationCode"),
        ],
    )
    def test_unreadable_scopes_are_not_evaluated(self, block: Any, reason: str) -> None:
        """Scopes of a wrong type count as unknown, and the reason says what came instead."""
        breaches, unverified = judge(self.RULE, inventory(sent(oauth2AuthorizationCode=block)), scopes={"*": ["api"]})
        assert not breaches
        assert len(unverified) == 1
        assert reason in unverified[0]

    def test_no_grant_means_that_it_does_not_apply(self) -> None:
        """A connection without an OAuth authorization-code grant has no scopes to lack."""
        connection = sent(authScheme="apiKey", oauth2AuthorizationCode=None)
        assert judge(self.RULE, inventory(connection), scopes={"*": ["api"]}) == NOTHING

    @pytest.mark.parametrize("scheme", [None, "future", "apiKey"])
    def test_a_grant_counts_whatever_the_scheme(self, scheme: str | None) -> None:
        """The rule applies to a connection that carries a grant."""
        connection = sent(authScheme=scheme, oauth2AuthorizationCode=grant(scopes=[]))
        assert judge(self.RULE, inventory(connection), scopes={"*": ["api"]})[0] == ["not granted: api"]

    @pytest.mark.parametrize("scheme", ["oauth2/authorizationCode", "oauth2/authorizationCodePKCE"])
    def test_the_scheme_counts_without_a_grant(self, scheme: str) -> None:
        """The rule applies by scheme, too, and then lacks what to judge."""
        connection = sent(authScheme=scheme, oauth2AuthorizationCode=None)
        assert len(judge(self.RULE, inventory(connection), scopes={"*": ["api"]})[1]) == 1

    @pytest.mark.parametrize(
        "scopes",
        [
            pytest.param({}, id="no-provider"),
            pytest.param({"*": [[]]}, id="any-of-none"),
            pytest.param({"*": [""]}, id="empty-scope"),
            pytest.param({"*": [["api", ""]]}, id="empty-scope-in-any-of"),
            pytest.param({"*": "api"}, id="text-for-a-list"),
            pytest.param({"*": [5]}, id="number-for-a-scope"),
            pytest.param(["api"], id="list-for-a-map"),
        ],
    )
    def test_options_that_mean_nothing_are_refused(self, scopes: Any) -> None:
        """What could only check nothing, or break always, is no option."""
        with pytest.raises(ValidationError):
            self.RULE.options.model_validate({"scopes": scopes})


class TestTokenExpiry:
    """``token-expiry``."""

    RULE = token_expiry.RULE

    @pytest.mark.parametrize(
        ("expiry", "options", "cause"),
        [
            pytest.param(None, {}, None, id="until-revoked"),
            pytest.param(at(days=7), {}, None, id="exactly-at-the-limit"),
            pytest.param(at(days=7, seconds=1), {}, None, id="a-second-later"),
            pytest.param(
                at(days=7, seconds=-1),
                {},
                "expires in 6 days, 2026-12-01T07:59:59Z; minimum 7 days",
                id="a-second-nearer",
            ),
            pytest.param(at(days=3), {}, "expires in 3 days, 2026-11-27T08:00:00Z; minimum 7 days", id="days"),
            pytest.param(at(days=1), {}, "expires in 1 day, 2026-11-25T08:00:00Z; minimum 7 days", id="day"),
            pytest.param(at(hours=23), {}, "expires in 23 hours, 2026-11-25T07:00:00Z; minimum 7 days", id="hours"),
            pytest.param(at(hours=1), {}, "expires in 1 hour, 2026-11-24T09:00:00Z; minimum 7 days", id="hour"),
            pytest.param(at(minutes=59), {}, "expires in 59 minutes, 2026-11-24T08:59:00Z; minimum 7 days", id="min"),
            pytest.param(at(minutes=1), {}, "expires in 1 minute, 2026-11-24T08:01:00Z; minimum 7 days", id="minute"),
            pytest.param(
                at(seconds=1), {}, "expires in less than a minute, 2026-11-24T08:00:01Z; minimum 7 days", id="second"
            ),
            pytest.param(at(), {}, "expired less than a minute ago, 2026-11-24T08:00:00Z", id="now"),
            pytest.param(at(minutes=-1), {}, "expired 1 minute ago, 2026-11-24T07:59:00Z", id="a-minute-ago"),
            pytest.param(at(hours=-2), {}, "expired 2 hours ago, 2026-11-24T06:00:00Z", id="hours-ago"),
            pytest.param(at(days=-400), {}, "expired 400 days ago, 2025-10-20T08:00:00Z", id="days-ago"),
            pytest.param(at(days=3), {"minDays": 3}, None, id="own-limit-kept"),
            pytest.param(
                at(hours=71), {"minDays": 3.0}, "expires in 2 days, 2026-11-27T07:00:00Z; minimum 3 days", id="float"
            ),
            pytest.param(
                at(hours=5), {"minDays": 1}, "expires in 5 hours, 2026-11-24T13:00:00Z; minimum 1 day", id="one-day"
            ),
            pytest.param(
                at(hours=5), {"minDays": 0.5}, "expires in 5 hours, 2026-11-24T13:00:00Z; minimum 0.5 days", id="half"
            ),
            pytest.param(at(hours=12), {"minDays": 0.5}, None, id="exactly-half"),
            pytest.param(at(seconds=1), {"minDays": 0}, None, id="no-limit"),
            pytest.param(
                at(), {"minDays": 0}, "expired less than a minute ago, 2026-11-24T08:00:00Z", id="expired-yet"
            ),
            pytest.param("2026-11-27T10:00:00+02:00", {"minDays": 3}, None, id="offset"),
            pytest.param("2026-11-27T08:00:00.000000001Z", {"minDays": 3}, None, id="nanoseconds"),
            pytest.param("9999-12-31T23:59:59.9999999Z", {"minDays": 36500}, None, id="as-good-as-never"),
        ],
    )
    def test_the_refresh_token_counts(self, expiry: str | None, options: dict[str, Any], cause: str | None) -> None:
        """With a refresh token its own expiry is what counts, with its figures; the access token's doesn't."""
        connection = sent(oauth2AuthorizationCode=grant(refresh=expiry, access=at(days=-1)))
        expected = [] if cause is None else [f"refresh token {cause}"]
        assert judge(self.RULE, inventory(connection), **options) == (expected, [])

    def test_without_refresh_token_the_access_token_counts(self) -> None:
        """A connection that has no refresh token lasts as long as its access token."""
        connection = sent(oauth2AuthorizationCode=grant(refresh=False, access=at(hours=1)))
        breaches, unverified = judge(self.RULE, inventory(connection))
        assert breaches == ["access token expires in 1 hour, 2026-11-24T09:00:00Z; minimum 7 days"]
        assert not unverified

    def test_without_refresh_token_a_lasting_access_token_is_enough(self) -> None:
        """An access token beyond the limit keeps the rule."""
        connection = sent(oauth2AuthorizationCode=grant(refresh=False, access=at(days=8)))
        assert judge(self.RULE, inventory(connection)) == NOTHING

    def test_refresh_token_without_expiry_beats_an_expired_access_token(self) -> None:
        """What works until it is revoked keeps the rule."""
        connection = sent(oauth2AuthorizationCode=grant(refresh=None, access=at(days=-9)))
        assert judge(self.RULE, inventory(connection, complete=False)) == NOTHING

    @pytest.mark.parametrize(
        ("block", "reason"),
        [
            pytest.param(grant(refresh=False), "no refresh token, and when the access token expires", id="no-expiry"),
            pytest.param(grant(refresh=False, access=False), "no refresh token, and the access token's", id="no-token"),
            pytest.param(None, "no refresh token, and the access token's times", id="no-block"),
            pytest.param(grant(refresh="soon"), "when its refresh token expires is unknown", id="no-time"),
            pytest.param(grant(refresh=False, access="soon"), "when its access token expires is", id="no-access-time"),
            pytest.param(
                grant(refresh=5),
                "unknown: the API sent a number as oauth2AuthorizationCode.refreshToken.expiresAt",
                id="number",
            ),
            pytest.param(
                grant(refresh=False, access=5),
                "unknown: the API sent a number as oauth2AuthorizationCode.accessToken.expiresAt",
                id="access-number",
            ),
            pytest.param(
                {"refreshToken": "secret", "accessToken": {"expiresAt": at(days=9)}},
                "unknown: the API sent text as oauth2AuthorizationCode.refreshToken",
                id="text-for-a-token",
            ),
            pytest.param("secret", "the API sent text as oauth2AuthorizationCode", id="text-for-a-block"),
        ],
    )
    def test_unknown_expiry_is_not_evaluated(self, block: Any, reason: str) -> None:
        """What the API didn't say, or said in a wrong type, is never a pass; the reason says what it was."""
        breaches, unverified = judge(self.RULE, inventory(sent(oauth2AuthorizationCode=block)))
        assert not breaches
        assert len(unverified) == 1
        assert reason in unverified[0]
        assert "secret" not in unverified[0]

    @pytest.mark.parametrize("access", [at(days=-1), at(days=90), None])
    def test_a_list_does_not_say_that_there_is_no_refresh_token(self, access: str | None) -> None:
        """A list may leave refresh tokens out, so one that isn't listed is unknown, not absent."""
        breaches, unverified = judge(
            self.RULE, inventory(sent(oauth2AuthorizationCode=grant(refresh=False, access=access)), complete=False)
        )
        assert not breaches
        (reason,) = unverified
        assert reason == (
            "whether it has a refresh token is unknown: the API didn't send one, which a list may leave out; "
            'set details to "auto"'
        )

    def test_a_list_without_credentials_says_nothing(self) -> None:
        """A connection listed without its credentials isn't evaluated."""
        breaches, unverified = judge(self.RULE, inventory(sent(oauth2AuthorizationCode=None), complete=False))
        assert not breaches
        assert unverified == ["its token times are unknown: the API didn't send them"]

    def test_a_listed_refresh_token_counts(self) -> None:
        """A refresh token that a list does show is judged."""
        connection = sent(oauth2AuthorizationCode=grant(refresh=at(days=1)))
        assert len(judge(self.RULE, inventory(connection, complete=False))[0]) == 1

    def test_without_observations_it_is_not_evaluated(self) -> None:
        """Without how it was found nothing can be said."""
        unobserved = Inventory.from_documents(inventory(sent()).documents()[0])
        assert judge(self.RULE, unobserved) == ([], ["how it was found wasn't passed on"])

    def test_the_three_states_of_a_refresh_token_survive_the_documents(self) -> None:
        """Told, told to be absent and unknown are still different after their way through a stack."""
        connections = {
            "told": inventory(sent(oauth2AuthorizationCode=grant(refresh=at(days=1)))),
            "absent": inventory(sent(oauth2AuthorizationCode=grant(refresh=False, access=at(days=1)))),
            "unknown": inventory(sent(oauth2AuthorizationCode=grant(refresh=False, access=at(days=1))), complete=False),
        }
        for name, found in connections.items():
            travelled = Inventory.from_documents(*found.documents())
            assert judge(self.RULE, travelled) == judge(self.RULE, found), name
        assert judge(self.RULE, connections["absent"])[0][0].startswith("access token expires in 1 day")

    @pytest.mark.parametrize("scheme", ["none", "apiKey", "basic", "oauth2/clientCredentials", "oauth2/password"])
    def test_no_grant_means_that_it_does_not_apply(self, scheme: str) -> None:
        """A connection without an OAuth authorization-code grant has nothing that expires here."""
        assert judge(self.RULE, inventory(sent(authScheme=scheme, oauth2AuthorizationCode=None))) == NOTHING

    def test_a_grant_counts_whatever_the_scheme(self) -> None:
        """The rule applies to a connection that carries a grant."""
        connection = sent(authScheme="future", oauth2AuthorizationCode=grant(refresh=at(days=1)))
        assert len(judge(self.RULE, inventory(connection))[0]) == 1

    @pytest.mark.parametrize("days", [-1, 36501, float("nan"), float("inf"), "7", None])
    def test_limits_out_of_range_are_refused(self, days: Any) -> None:
        """A limit is a number of days that a calendar can hold."""
        with pytest.raises(ValidationError):
            self.RULE.options.model_validate({"minDays": days}, strict=True)


class TestVerifiableConnections:
    """``verifiable-connections``: what it says by itself; what others could not judge is the evaluation's part."""

    RULE = verifiable_connections.RULE

    @pytest.mark.parametrize("status", ["created", "working", "bad_credentials"])
    def test_known_statuses_keep_it(self, status: str) -> None:
        """A status that the rules understand is verifiable, a bad one, too."""
        assert judge(self.RULE, inventory(sent(status=status))) == NOTHING

    @pytest.mark.parametrize(
        "scheme",
        [
            "none",
            "apiKey",
            "basic",
            "oauth2/authorizationCode",
            "oauth2/authorizationCodePKCE",
            "oauth2/clientCredentials",
            "oauth2/password",
        ],
    )
    def test_known_schemes_keep_it(self, scheme: str) -> None:
        """Every scheme of the API's contract is verifiable."""
        assert judge(self.RULE, inventory(sent(authScheme=scheme))) == NOTHING

    def test_unknown_status_and_scheme_break_it(self) -> None:
        """What is newer than this version is reported, each by its name."""
        breaches, unverified = judge(self.RULE, inventory(sent(status="suspended", authScheme="passkey")))
        assert breaches == ['its status "suspended" is unknown', 'its authentication scheme "passkey" is unknown']
        assert not unverified

    def test_an_empty_status_is_unknown(self) -> None:
        """A status of no letters is no status that was left out."""
        assert judge(self.RULE, inventory(sent(status="")))[0] == ['its status "" is unknown']

    def test_missing_scheme_breaks_it(self) -> None:
        """Rules that depend on the scheme can't be judged without one."""
        assert judge(self.RULE, inventory(sent(authScheme=None)))[0] == [
            "the API didn't say how it authenticates (authScheme)"
        ]

    def test_a_status_that_was_not_passed_on_is_no_unknown_one(self) -> None:
        """A saved document without observations isn't reported once more by this rule."""
        unobserved = Inventory.from_documents(inventory(sent(status="suspended")).documents()[0])
        assert judge(self.RULE, unobserved) == NOTHING

    def test_long_hostile_values_are_cut(self) -> None:
        """A status of any length becomes a short, harmless clause."""
        breaches, _ = judge(self.RULE, inventory(sent(status=HOSTILE * 99, authScheme=HOSTILE * 99)))
        assert all(breach == one_line(breach) and len(breach) < 120 for breach in breaches)


class TestReadableConnections:
    """``readable-connections``."""

    RULE = readable_connections.RULE

    def test_what_was_read_keeps_it(self) -> None:
        """Connections that were read keep it, whatever they are like."""
        assert judge(self.RULE, inventory(sent(status="bad_credentials"))) == NOTHING

    def test_each_reason_breaks_it(self) -> None:
        """Whatever could not be read is a breach of its own, about no connection."""
        unread = Inventory(unread=["one", "two"])
        assert list(self.RULE.check(unread, self.RULE.options(), NOW)) == [Breach("one"), Breach("two")]

    def test_it_does_not_say_pass_for_part_of_an_inventory(self) -> None:
        """Connections that could be read don't hide those that could not."""
        both = Inventory.merge([inventory(sent()), Inventory(unread=["the rest"])])
        assert judge(self.RULE, both)[0] == ["the rest"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
class TestEveryRule:
    """What is true of each rule in the list."""

    def test_nothing_breaks_it_in_a_healthy_connection(self, rule: Rule[Any]) -> None:
        """A connection without any flaw keeps every rule."""
        options = {"scopes": {"*": ["api"]}} if rule is required_scopes.RULE else {}
        assert judge(rule, inventory(sent()), **options) == NOTHING

    def test_an_empty_inventory_keeps_it(self, rule: Rule[Any]) -> None:
        """No connections, no findings."""
        options = {"scopes": {"*": ["api"]}} if rule is required_scopes.RULE else {}
        assert judge(rule, inventory(), **options) == NOTHING

    def test_its_file_is_named_after_it(self, rule: Rule[Any]) -> None:
        """An ID in a report leads straight to the code."""
        assert Path(rule.check.__code__.co_filename).stem == rule.id.replace("-", "_")

    def test_its_title_says_what_is_true(self, rule: Rule[Any]) -> None:
        """A title is one short sentence without a full stop."""
        assert rule.title == one_line(rule.title, 80)
        assert rule.title[0].isupper()
        assert "." not in rule.title

    def test_its_remediation_is_one_sentence(self, rule: Rule[Any]) -> None:
        """There is always something to do about it."""
        assert rule.remediation == one_line(rule.remediation)
        assert rule.remediation[0].isupper()
        assert not rule.remediation.endswith(".")

    def test_its_documentation_starts_with_its_id(self, rule: Rule[Any]) -> None:
        """The module's docstring is the rule's documentation."""
        assert (_module(rule).__doc__ or "").startswith(f"``{rule.id}``: ")

    def test_its_documentation_names_its_own_options(self, rule: Rule[Any]) -> None:
        """Every option of the rule's own stands in its docstring."""
        own = set(rule.schema["properties"]) - {"maxReported"}
        assert [name for name in own if f"``{name}``" not in (_module(rule).__doc__ or "")] == []

    def test_its_options_are_a_valid_schema(self, rule: Rule[Any]) -> None:
        """The options' schema is one, refuses unknown keys and lists what is needed."""
        jsonschema.Draft202012Validator.check_schema(rule.schema)
        assert rule.schema["additionalProperties"] is False
        assert set(rule.needed) == set(rule.schema.get("required", ()))

    def test_every_option_is_described(self, rule: Rule[Any]) -> None:
        """Every option, nested ones included, says in a sentence what it is."""
        objects = [rule.schema, *rule.schema.get("$defs", {}).values()]
        for name, option in [pair for part in objects for pair in part["properties"].items()]:
            assert option.get("description", "").endswith("."), name

    def test_unknown_options_are_refused(self, rule: Rule[Any]) -> None:
        """An option that doesn't exist is an error."""
        with pytest.raises(ValidationError):
            rule.options.model_validate({"scopes": {"*": ["api"]}, "minDays": 1, "nonsense": 1})

    def test_numbers_may_arrive_as_floats(self, rule: Rule[Any]) -> None:
        """A whole number that travelled as a float is a whole number."""
        options = {"scopes": {"*": ["api"]}} if rule is required_scopes.RULE else {}
        limit = rule.options.model_validate({**options, "maxReported": 3.0}).max_reported
        assert (limit, type(limit)) == (3, int)

    def test_it_knows_no_clock_network_or_environment(self, rule: Rule[Any]) -> None:
        """A rule is a pure function: what it judges by is handed to it."""
        tree = ast.parse(Path(str(_module(rule).__file__)).read_text("utf-8"))
        imported = {
            name.partition(".")[0]
            for node in ast.walk(tree)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [str(node.module)]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        ours = {"pulumi_ampersand", "pulumi_ampersand_policies"}
        assert imported <= ours | {"__future__", "collections", "datetime", "pydantic", "typing"}
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert attributes.isdisjoint({"now", "today", "utcnow", "environ", "getenv"})
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert names.isdisjoint({"open", "print", "input", "eval", "exec", "__import__"})

    def test_it_has_a_level_and_a_severity(self, rule: Rule[Any]) -> None:
        """Level and severity are those of the design, not just text."""
        assert isinstance(rule.severity, Severity)
        assert isinstance(rule.enforcement, Enforcement)
        assert rule.tags == tuple(dict.fromkeys(rule.tags))
        assert rule.tags

    def test_its_remedy_quotes_the_connection(self, rule: Rule[Any]) -> None:
        """A command in a remedy can be pasted into a shell, whatever the connection is called."""
        remedy = rule.remedy(HOSTILE)
        assert remedy == one_line(remedy)
        if "{connection}" in rule.remediation:
            command = remedy[remedy.index("pulumi-ampersand ") :]
            assert shlex.split(command) == ["pulumi-ampersand", "reauth", one_line(HOSTILE)]
        else:
            assert remedy == rule.remediation

    @pytest.mark.parametrize("name", ["<connection>", "", "{connection}", "conn_1"])
    def test_its_remedy_takes_any_name_for_a_name(self, rule: Rule[Any], name: str) -> None:
        """No name of a connection is taken for the placeholder or left bare where a shell would act on it."""
        if "{connection}" in rule.remediation:
            assert shlex.split(rule.remedy(name))[-1] == name
            assert rule.remedy(name).endswith(shlex.quote(name))
            assert rule.remedy().endswith("reauth <connection>")


def _module(rule: Rule[Any]) -> ModuleType:
    return importlib.import_module(f"{rules.__name__}.{rule.id.replace('-', '_')}")


def test_list_and_folder_hold_the_same_rules() -> None:
    """Every module in the folder is in the list, once, and the other way round."""
    folder = sorted(module.name for module in pkgutil.iter_modules(rules.__path__))
    assert folder == sorted(rule.id.replace("-", "_") for rule in RULES)
    assert all(_module(rule).RULE is rule for rule in RULES)


def test_defaults_are_those_of_the_design() -> None:
    """A rule's level and severity by default are a promise: changing one changes what deployments do."""
    assert {rule.id: (rule.enforcement.value, rule.severity.value) for rule in RULES} == {
        "no-bad-credentials": ("mandatory", "critical"),
        "required-scopes": ("mandatory", "high"),
        "token-expiry": ("mandatory", "high"),
        "verifiable-connections": ("advisory", "medium"),
        "readable-connections": ("mandatory", "critical"),
    }


def test_severities_are_ordered() -> None:
    """Severities rank from low to critical."""
    assert sorted(Severity, key=lambda severity: severity.rank) == [
        Severity.LOW,
        Severity.MEDIUM,
        Severity.HIGH,
        Severity.CRITICAL,
    ]


def test_hostile_text_stays_on_one_harmless_line() -> None:
    """Whatever the API sends as a name, messages and remedies are one line without control characters or markup."""
    connection = sent(
        f"id {HOSTILE}",
        provider=f"p {HOSTILE}",
        status="bad_credentials",
        authScheme=f"scheme {HOSTILE}",
        group={"groupRef": HOSTILE, "groupName": f"g {HOSTILE}"},
        consumer={"consumerRef": HOSTILE, "consumerName": HOSTILE},
        oauth2AuthorizationCode=grant(refresh=at(days=-1), scopes=[]),
    )
    wanted = configuration.parse('{"required-scopes": {"scopes": {"*": ["a\\nb"]}}}', "policy.json")
    evaluation = evaluate(inventory(connection, sent(f"2 {HOSTILE}", status=f"s {HOSTILE}")), wanted, NOW)
    assert {finding.rule for finding in evaluation.findings} == {
        "no-bad-credentials",
        "required-scopes",
        "token-expiry",
        "verifiable-connections",
    }
    for finding in evaluation.findings:
        texts = (finding.message, finding.remediation, finding.connection, finding.provider, finding.group)
        for text in (*texts, finding.consumer, finding.project):
            assert text == one_line(text)
            text.encode()
