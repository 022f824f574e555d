"""The test kit: what its builders make, and that its assertion can fail."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import pytest
from msgspec import UNSET
from pydantic import Field

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.model import Token
from pulumi_ampersand_policies import testing
from pulumi_ampersand_policies.configuration import ConfigurationError
from pulumi_ampersand_policies.evaluation import NotEvaluated, State
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Requirement, Rule, Severity, Unverified
from pulumi_ampersand_policies.rules import access_token_expiry, required_scopes, token_expiry, unique_connections
from pulumi_ampersand_policies.testing import NOW, UNKNOWN, assert_rule, at, connection, grant, inventory, judge

WAIVER: Final = {"connection": "*", "reason": "a pilot", "approvedBy": "Kim", "expires": "2026-12-31"}
SECRET: Final = "s3cret-in-an-exception"


class Limited(Options):
    """Options of the rule below."""

    most: int = Field(9, ge=1, description="The most letters.")
    ratio: float = Field(0.5, description="Nothing in particular.")


def check(found: Inventory, options: Limited, _now: datetime) -> Iterator[Breach | Unverified]:
    """Breaks where a group's name is too long, and leaves open where there is none."""
    for entry in found:
        name = entry.connection.group and entry.connection.group.name
        if name is None:
            yield Unverified("it has no name", entry)
        elif len(name) > options.most:
            yield Breach(f"its name has {len(name)} letters, at most {options.most}", entry)


RULE: Final = Rule(
    id="short-names",
    title="Customers have short names",
    severity=Severity.LOW,
    enforcement=Enforcement.ADVISORY,
    remediation="Rename {connection}",
    check=check,
    options=Limited,
)


def named(connection_id: str, name: str | None) -> dict[str, Any]:
    """A connection of a customer of this name."""
    return connection(connection_id, group={"groupRef": "acme", "groupName": name})


FOUND: Final = inventory(named("short", "Acme"), named("long", "Acme Limited"), named("open", None))
TOO_LONG: Final = "its name has 12 letters, at most 9"


def failure(rule: Rule[Any] = RULE, connections: Any = FOUND, options: Any = None, **expected: Any) -> list[str]:
    """The lines of the text with which the assertion fails."""
    with pytest.raises(AssertionError) as caught:
        assert_rule(rule, connections, options, **expected)
    return str(caught.value).splitlines()


class TestAssertion:
    """`assert_rule`."""

    @pytest.mark.parametrize(
        "expected",
        [
            {"breaks": {"long": TOO_LONG}, "not_evaluated": {"open": "it has no name"}},
            {"breaks": {"long": "12 letters"}, "not_evaluated": {"open": ""}},
            {"breaks": ["long"], "not_evaluated": ("open",)},
            {"breaks": {"long"}, "not_evaluated": iter(["open"])},
        ],
        ids=["texts", "parts", "lists", "iterables"],
    )
    def test_it_holds(self, expected: dict[str, Any]) -> None:
        """IDs with a text, with a part of it, or alone."""
        assert_rule(RULE, FOUND, **expected)

    def test_waived_and_tolerated(self) -> None:
        """States have names of their own."""
        waivers = [WAIVER | {"reason": "known"}]
        assert_rule(RULE, FOUND, {"waivers": waivers}, waived={"long": TOO_LONG}, not_evaluated=["open"])
        assert_rule(RULE, FOUND, {"tolerate": 1}, tolerated={"long": TOO_LONG}, not_evaluated=["open"])

    def test_nothing_wrong(self) -> None:
        """Without expectations nothing may be said."""
        assert_rule(RULE, inventory(named("short", "Acme")))

    @pytest.mark.parametrize(
        ("expected", "lines"),
        [
            pytest.param(
                {"not_evaluated": ["open"]},
                [f"  breaks: 'long' isn't expected: long (salesforce, Acme Limited): {TOO_LONG}"],
                id="a-breach-too-many",
            ),
            pytest.param(
                {"breaks": ["long", "short"], "not_evaluated": ["open"]},
                ["  breaks: 'short' is expected, and isn't there"],
                id="a-breach-too-few",
            ),
            pytest.param(
                {"breaks": {"long": "11 letters"}, "not_evaluated": ["open"]},
                [f"  breaks: 'long': '11 letters' isn't in: long (salesforce, Acme Limited): {TOO_LONG}"],
                id="another-text",
            ),
            pytest.param(
                {"breaks": ["long"]},
                ["  not_evaluated: 'open' isn't expected: it has no name"],
                id="not-evaluated-too-many",
            ),
            pytest.param(
                {"breaks": ["long"], "not_evaluated": ["open", "short"]},
                ["  not_evaluated: 'short' is expected, and isn't there"],
                id="not-evaluated-too-few",
            ),
            pytest.param(
                {"breaks": ["long"], "not_evaluated": {"open": "a name"}},
                ["  not_evaluated: 'open': 'a name' isn't in: it has no name"],
                id="another-reason",
            ),
            pytest.param(
                {"waived": ["long"], "not_evaluated": ["open"]},
                [
                    f"  breaks: 'long' isn't expected: long (salesforce, Acme Limited): {TOO_LONG}",
                    "  waived: 'long' is expected, and isn't there",
                ],
                id="not-waived",
            ),
            pytest.param(
                {"tolerated": {"long": "12"}, "not_evaluated": ["open"]},
                [
                    f"  breaks: 'long' isn't expected: long (salesforce, Acme Limited): {TOO_LONG}",
                    "  tolerated: 'long' is expected, and isn't there",
                ],
                id="not-tolerated",
            ),
            pytest.param(
                {"breaks": "long", "not_evaluated": ["open"]},
                [
                    *(f"  breaks: '{letter}' is expected, and isn't there" for letter in "long"),
                    f"  breaks: 'long' isn't expected: long (salesforce, Acme Limited): {TOO_LONG}",
                ],
                id="a-text-is-no-list",
            ),
        ],
    )
    def test_it_fails(self, expected: dict[str, Any], lines: list[str]) -> None:
        """Each difference is a line that names the kind, the connection and what was said."""
        assert failure(**expected) == ["short-names doesn't say what is expected:", *lines]

    @pytest.mark.parametrize(
        ("more", "kind"),
        [({"waivers": [WAIVER]}, "waived"), ({"tolerate": 1}, "tolerated")],
        ids=["waived", "tolerated"],
    )
    def test_what_is_waived_or_tolerated_breaks_nothing(self, more: dict[str, Any], kind: str) -> None:
        """A finding that doesn't stop a deployment isn't taken for one that does."""
        assert failure(options=more, breaks=["long"], not_evaluated=["open"]) == [
            "short-names doesn't say what is expected:",
            "  breaks: 'long' is expected, and isn't there",
            f"  {kind}: 'long' isn't expected: long (salesforce, Acme Limited): {TOO_LONG}",
        ]

    def test_several_things_about_one_are_joined(self) -> None:
        """What is said twice of one connection, or of none, is one text, and nothing of it is lost."""

        def twice(_found: Inventory, _options: Limited, _now: datetime) -> Iterator[Breach | Unverified]:
            yield Breach("first")
            yield Breach("second", Requirement(provider="gong"))
            yield Unverified("third")
            yield Unverified("fourth")

        rule = replace(RULE, check=twice)
        assert_rule(rule, inventory(), breaks={"": "first; second"}, not_evaluated={"": "third; fourth"})

    @pytest.mark.parametrize(
        "expected", [{}, {"not_evaluated": [""]}, {"not_evaluated": {"": "crashed"}}], ids=["none", "any", "crash"]
    )
    def test_a_crash_always_fails(self, expected: dict[str, Any]) -> None:
        """A rule that crashes can't be what was expected; the text says where, and nothing of the exception."""

        def crashing(_found: Inventory, _options: Limited, _now: datetime) -> Iterator[Breach | Unverified]:
            raise ValueError(SECRET)

        (line,) = failure(replace(RULE, check=crashing), **expected)
        where = crashing.__code__.co_firstlineno + 1
        assert line == (f"short-names: the rule crashed with ValueError at test_testing.py:{where}; report this defect")

    def test_a_crash_of_what_it_applies_to_fails_too(self) -> None:
        """Whether a rule applies is part of the rule."""

        def applies(_entry: Any, _options: Limited) -> bool:
            raise KeyError(SECRET)

        (line,) = failure(replace(RULE, applies=applies))
        assert line.startswith("short-names: the rule crashed with KeyError at test_testing.py:")


class TestOptions:
    """The rule's entry in the configuration."""

    def test_they_count(self) -> None:
        """Options are given as they are written in a configuration."""
        assert_rule(RULE, FOUND, {"most": 12}, not_evaluated=["open"])
        assert_rule(RULE, FOUND, {"most": 3}, breaks=["long", "short"], not_evaluated=["open"])

    def test_numbers_arrive_as_the_engine_sends_them(self) -> None:
        """Whole numbers are whole in the rule, though they travelled as floats; fractions stay."""
        seen: list[Limited] = []

        def remembering(_found: Inventory, options: Limited, _now: datetime) -> Iterator[Breach | Unverified]:
            seen.append(options)
            yield from ()

        rule = replace(RULE, check=remembering)
        for given in ({"most": 3, "ratio": 2}, {"most": 3.0, "ratio": 2.5}):
            assert_rule(rule, inventory(), given)
        assert [(repr(options.most), repr(options.ratio)) for options in seen] == [("3", "2.0"), ("3", "2.5")]

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"mos": 3}, 'short-names: unknown key "mos" (did you mean "most"?)'),
            ({"most": 0}, 'short-names: "most": 0 is less than the minimum of 1'),
            ({"most": 2.5}, 'short-names: "most": 2.5 is not allowed, only integer'),
            ({"most": "3"}, 'short-names: "most": "3" is not allowed, only integer'),
            ({"waivers": [{}]}, 'short-names: "waivers.0": '),
            ({"enforcementLevel": "remediate"}, 'short-names: level "remediate" is not allowed'),
            ({"enforcementLevel": "nonsense"}, 'short-names: level "nonsense" is not allowed'),
            ({"enforcementLevel": 5}, 'short-names: level "5" is not allowed'),
        ],
        ids=json.dumps,
    )
    def test_wrong_ones_raise(self, options: Mapping[str, Any], problem: str) -> None:
        """What the pack would refuse is refused here, with the same text."""
        for function in (assert_rule, judge):
            with pytest.raises(ConfigurationError) as caught:
                function(RULE, FOUND, options)
            assert problem in caught.value.problems[0]

    def test_options_that_are_needed(self) -> None:
        """A rule that would be inactive isn't judged in silence."""
        with pytest.raises(ConfigurationError, match='required-scopes is configured but lacks "scopes"'):
            assert_rule(required_scopes.RULE, inventory())

    @pytest.mark.parametrize("rule", [RULE, token_expiry.RULE, access_token_expiry.RULE], ids=lambda rule: rule.id)
    def test_rules_are_turned_on(self, rule: Rule[Any]) -> None:
        """Whatever a rule's default, even disabled, it is judged as one that stops a deployment."""
        found = inventory(
            connection(
                group={"groupName": "Acme Limited"},
                oauth2AuthorizationCode=grant(refresh=at(days=-1), access=at(days=-1)),
            )
        )
        (finding,) = judge(rule, found).findings
        assert (finding.enforcement, finding.state) == (Enforcement.MANDATORY, State.OPEN)

    @pytest.mark.parametrize("rule", [RULE, access_token_expiry.RULE], ids=lambda rule: rule.id)
    def test_an_own_level(self, rule: Rule[Any]) -> None:
        """A level can be given, as in a configuration."""
        found = inventory(named("conn_1", "Acme Limited") | {"oauth2AuthorizationCode": grant(access=at(days=-1))})
        (finding,) = judge(rule, found, {"enforcementLevel": "advisory"}).findings
        assert finding.enforcement is Enforcement.ADVISORY

    @pytest.mark.parametrize("level", ["disabled", "remediate"])
    @pytest.mark.parametrize("rule", [RULE, access_token_expiry.RULE], ids=lambda rule: rule.id)
    def test_a_rule_that_is_off_proves_nothing(self, rule: Rule[Any], level: str) -> None:
        """A test of a rule that isn't judged can't pass."""
        with pytest.raises((ConfigurationError, AssertionError)):
            assert_rule(rule, inventory(connection()), {"enforcementLevel": level})


class TestUnknown:
    """Connections that a preview doesn't know."""

    def test_nothing_is_judged(self) -> None:
        """The rule isn't asked, and the one note says why."""
        reason = "its connections were not evaluated: a filter isn't known until the update, which judges them then"
        assert judge(RULE, UNKNOWN).not_evaluated == (NotEvaluated("short-names", "", reason),)
        assert_rule(RULE, UNKNOWN, not_evaluated={"": reason})

    def test_it_is_no_pass(self) -> None:
        """Whoever expects nothing of unknown connections is told."""
        lines = failure(connections=UNKNOWN)
        assert lines[0] == "short-names doesn't say what is expected:"
        assert lines[1].startswith("  not_evaluated: '' isn't expected: its connections were not evaluated")

    def test_wrong_options_raise_all_the_same(self) -> None:
        """A configuration is wrong whatever is known of connections."""
        with pytest.raises(ConfigurationError):
            assert_rule(RULE, UNKNOWN, {"most": 0}, not_evaluated=[""])


class TestTime:
    """`NOW` and `at`."""

    @pytest.mark.parametrize(
        ("distance", "text"),
        [
            ({}, "2026-11-24T08:00:00Z"),
            ({"days": 3}, "2026-11-27T08:00:00Z"),
            ({"seconds": -1}, "2026-11-24T07:59:59Z"),
            ({"hours": 1, "microseconds": 5}, "2026-11-24T09:00:00.000005Z"),
        ],
        ids=str,
    )
    def test_distances(self, distance: dict[str, float], text: str) -> None:
        """A time in UTC, so far from now."""
        assert at(**distance) == text
        assert datetime.fromisoformat(text.replace("Z", "+00:00")) == NOW + timedelta(**distance)

    def test_another_time_to_judge_by(self) -> None:
        """What expires tomorrow has expired the day after."""
        found = inventory(connection(oauth2AuthorizationCode=grant(refresh=at(days=10))))
        assert_rule(token_expiry.RULE, found)
        later = NOW.astimezone(timezone(timedelta(hours=2))) + timedelta(days=11)
        assert_rule(token_expiry.RULE, found, breaks={"conn_1": "expired 1 day ago, 2026-12-04T08:00:00Z"}, now=later)


class TestConnection:
    """`connection`, `grant` and `inventory`."""

    def test_fields_change_and_go(self) -> None:
        """A field is replaced as a whole, None leaves it out, and unknown ones are sent as they are."""
        made = connection("a", provider="gong", group=None, consumer={"consumerRef": "x"}, future=1)
        assert (made["id"], made["provider"], made["consumer"], made["future"]) == (
            "a",
            "gong",
            {"consumerRef": "x"},
            1,
        )
        assert "group" not in made

    def test_each_is_a_new_one(self) -> None:
        """Changing one connection changes no other."""
        connection()["group"]["groupRef"] = "changed"
        assert connection()["group"]["groupRef"] == "acme"

    def test_connections_of_different_ids_keep_every_rule_together(self) -> None:
        """Two of them are two workspaces, not the same twice."""
        assert_rule(unique_connections.RULE, inventory(connection("a"), connection("b")))

    @pytest.mark.parametrize(
        ("block", "access", "refresh", "scopes"),
        [
            (grant(), Token(at(days=-30)), Token(at(days=-30)), ["api"]),
            (grant(refresh=at(days=1), issued=None), Token(), Token(None, at(days=1)), ["api"]),
            (grant(refresh=False, access=at(hours=1)), Token(at(days=-30), at(hours=1)), None, ["api"]),
            (grant(access=False, scopes=None), None, Token(at(days=-30)), None),
            (grant(scopes="a b", issued=at()), Token(at()), Token(at()), ["a", "b"]),
        ],
        ids=["default", "expiry", "no-refresh-token", "no-access-token", "scopes"],
    )
    def test_grants(self, block: Any, access: Token | None, refresh: Token | None, scopes: list[str] | None) -> None:
        """Times, None for those that aren't told, and False for a token that isn't there."""
        (entry,) = inventory(connection(oauth2AuthorizationCode=block))
        assert entry.observation.access_token == access
        assert entry.observation.refresh_token == refresh
        assert entry.connection.scopes == scopes

    def test_a_list_leaves_open_what_isnt_there(self) -> None:
        """Without ``complete``, a refresh token that isn't there is unknown instead of absent."""
        block = grant(refresh=False, access=at(hours=1))
        (told,) = inventory(connection(oauth2AuthorizationCode=block))
        (listed,) = inventory(connection(oauth2AuthorizationCode=block), complete=False)
        assert told.observation.refresh_token is None
        assert listed.observation.refresh_token is UNSET
        found = inventory(connection(oauth2AuthorizationCode=block), complete=False)
        assert_rule(token_expiry.RULE, found, not_evaluated={"conn_1": "whether it has a refresh token is unknown"})

    def test_the_project_that_was_asked_for(self) -> None:
        """It counts where the API gave none, for each connection by itself."""
        found = inventory(connection("a", projectId="own"), connection("b", projectId=None), project="asked-for")
        assert [entry.project for entry in found] == ["own", "asked-for"]
        rule = replace(RULE, check=_broken)
        assert {finding.connection: finding.project for finding in judge(rule, found).findings} == {
            "a": "own",
            "b": "asked-for",
        }

    def test_a_single_project_that_was_asked_for(self) -> None:
        """The same for a single connection."""
        found = inventory(connection(projectId=None), project="asked-for")
        assert [finding.project for finding in judge(replace(RULE, check=_broken), found).findings] == ["asked-for"]

    def test_several_projects(self) -> None:
        """What was read of several projects is judged together, equal IDs included."""
        parts = [inventory(connection("a", projectId=name), project=name) for name in ("first", "second")]
        evaluation = judge(replace(RULE, check=_broken), Inventory.merge(parts))
        assert [(finding.project, finding.connection) for finding in evaluation.findings] == [
            ("first", "a"),
            ("second", "a"),
        ]


def _broken(found: Inventory, _options: Limited, _now: datetime) -> Iterator[Breach | Unverified]:
    """Breaks for every connection."""
    for entry in found:
        yield Breach("broken", entry)


class TestInventory:
    """What only a gate can tell."""

    def test_what_could_not_be_read(self) -> None:
        """Rules are judged by what could be read, and the rest is told as not evaluated."""
        found = Inventory.merge([FOUND, Inventory(unread=["project b could not be read"])])
        assert_rule(
            RULE, found, breaks=["long"], not_evaluated={"": "project b could not be read", "open": "it has no name"}
        )

    def test_what_does_not_exist(self) -> None:
        """IDs that were asked for are told, too."""
        assert_rule(
            RULE,
            Inventory(missing=["conn_7"]),
            not_evaluated={"": '"conn_7", which doesn\'t exist, or which its filters exclude'},
        )


def test_the_documentation_shows_a_test_that_works() -> None:
    """The example is a test of a rule; it passes for such a rule, and fails for another."""
    text = (testing.__doc__ or "").partition("::\n\n")[2]
    example = textwrap.dedent(text[: text.index("\n\nConnections")])

    def nameless(found: Inventory, _options: Limited, _now: datetime) -> Iterator[Breach | Unverified]:
        for entry in found:
            if entry.connection.group is None or entry.connection.group.name is None:
                yield Breach("it has no name", entry)

    for rule, works in ((replace(RULE, check=nameless), True), (replace(RULE, check=_broken), False)):
        names: dict[str, Any] = {"RULE": rule}
        exec(example, names)
        if works:
            names["test_customers_have_names"]()
        else:
            with pytest.raises(AssertionError):
                names["test_customers_have_names"]()


def test_all_is_what_is_offered() -> None:
    """What the kit offers is what it says that it offers."""
    assert set(testing.__all__) == {"NOW", "UNKNOWN", "assert_rule", "at", "connection", "grant", "inventory", "judge"}
    assert all(getattr(testing, name) is not None for name in testing.__all__)
