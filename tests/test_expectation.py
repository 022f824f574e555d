"""What a stack may expect of connections, what is refused, and the sentences that say what isn't as expected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.output import Unknown

from builders import answer
from pulumi_ampersand.answers import read_connections
from pulumi_ampersand.details import with_gap
from pulumi_ampersand.errors import SettingsError
from pulumi_ampersand.expectation import Expect, describe, misses, not_one
from pulumi_ampersand.model import Connection, Found
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.testing import connection as sent
from pulumi_ampersand_policies.testing import grant

HOSTILE = "x\n\x1b[31my\u202e<{%fg 1%}>\u2028z"
"""Line ends, a terminal's escape sequence, an override of the writing direction, Pulumi's colour markup."""

UNKNOWN: Any = Unknown()  # type: ignore[no-untyped-call]
"""What a provider is given in place of a value that isn't known in a preview."""

UNREADABLE = "([secret-workspace"
"""No regular expression."""

WRONG_COUNTS: list[Any] = [-1, 1.5, True, "1", [1], {}, float("nan"), float("inf")]
WRONG_HEALTH: list[Any] = [1, 0, "True", "healthy", []]
WRONG_SCOPES: list[Any] = ["api", [1], [[]], [["a", 1]], [["a", ["b"]]], {"api"}, [None]]
WRONG_WORKSPACES: list[Any] = [UNREADABLE, "*", "a{9999999999}", 1, b"x"]

COUNTS = "a whole number from 0 on"
SCOPES = 'a list of scopes, or of lists of scopes of which one is enough: ["api", ["a", "b"]]'


def found(*connections: Any) -> list[Found]:
    """Connections as they are read from a list."""
    return read_connections(answer(*connections))


def granted(connection_id: str, *scopes: str, **changes: Any) -> dict[str, Any]:
    """A connection with these scopes."""
    return sent(connection_id, oauth2AuthorizationCode=grant(scopes=list(scopes)), **changes)


def many(count: int, **changes: Any) -> list[Found]:
    """So many connections: conn_00, conn_01 and so on."""
    return found(*(sent(f"conn_{number:02}", **changes) for number in range(count)))


def described(*numbers: int) -> list[str]:
    """The connections of `many`, as sentences show them."""
    return [f"conn_{number:02} (salesforce, Acme Ltd)" for number in numbers]


class TestValues:
    """What can be expected."""

    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"min": 0},
            {"min": 1, "max": 1},
            {"min": 2.0, "max": 3},
            {"healthy": True},
            {"healthy": False},
            {"scopes": []},
            {"scopes": ["api", ["a", "b"]]},
            {"scopes": ("api", ("a", "b"))},
            {"workspace": ""},
            {"workspace": r"https://(eu|us)\.example\.com"},
        ],
        ids=str,
    )
    def test_good_values_are_kept(self, values: dict[str, Any]) -> None:
        """What is given is what is expected, and nothing besides."""
        assert Expect(**values).properties() == values

    @pytest.mark.parametrize(
        ("name", "value", "meant"),
        [
            *(("min", value, COUNTS) for value in WRONG_COUNTS),
            *(("max", value, COUNTS) for value in WRONG_COUNTS),
            *(("healthy", value, "True or False") for value in WRONG_HEALTH),
            *(("scopes", value, SCOPES) for value in WRONG_SCOPES),
            *(("workspace", value, "a regular expression") for value in WRONG_WORKSPACES),
        ],
        ids=str,
    )
    def test_a_value_that_cannot_be_used_is_named_and_not_quoted(self, name: str, value: Any, meant: str) -> None:
        """The error says which value it is and what belongs there; the value itself may be secret."""
        with pytest.raises(SettingsError) as caught:
            Expect(**{name: value})
        assert str(caught.value) == f"expect: {name} must be {meant}"
        # What an output resolved to is judged alike, and later.
        with pytest.raises(SettingsError) as caught:
            misses([], {name: value})
        assert str(caught.value) == f"expect: {name} must be {meant}"

    def test_at_least_more_than_at_most_is_refused(self) -> None:
        """No number of connections can meet both."""
        with pytest.raises(SettingsError) as caught:
            Expect(min=3, max=2)
        assert str(caught.value) == "expect: min is more than max"
        with pytest.raises(SettingsError, match=r"^expect: min is more than max$"):
            misses([], {"min": 3.0, "max": 2.0})

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("minimum", ' (did you mean "min"?)'),
            ("scope", ' (did you mean "scopes"?)'),
            ("Healthy", ' (did you mean "healthy"?)'),
            ("workspaces", ' (did you mean "workspace"?)'),
            ("qqq", ""),
        ],
    )
    def test_an_unknown_argument_is_named_with_the_nearest(self, name: str, hint: str) -> None:
        """A slip of the pen is no expectation that is never looked at."""
        arguments: dict[str, Any] = {name: 1}
        with pytest.raises(SettingsError) as caught:
            Expect(**arguments)
        expected = f'Expect has no argument "{name}"{hint}; it takes min, max, healthy, scopes, workspace'
        assert str(caught.value) == expected

    def test_outputs_are_not_judged(self) -> None:
        """An output's value is judged once it is known, also where it stands inside a list."""

        async def program() -> None:
            wrong = pulumi.Output.from_input("no number")
            assert Expect(min=wrong, max=0).properties() == {"min": wrong, "max": 0}  # type: ignore[arg-type]
            for scopes in ([wrong], ["api", [wrong]], wrong):
                assert Expect(scopes=scopes).properties() == {"scopes": scopes}  # type: ignore[arg-type]
            assert Expect(healthy=wrong, workspace=wrong).properties()  # type: ignore[arg-type]
            with pytest.raises(SettingsError, match=r"^expect: min must be a whole number from 0 on$"):
                Expect(min=-1, healthy=wrong)  # type: ignore[arg-type]

        asyncio.run(program())

    @pytest.mark.parametrize(
        "expected",
        [
            {"min": UNKNOWN, "max": UNKNOWN},
            {"healthy": UNKNOWN},
            {"scopes": UNKNOWN},
            {"scopes": ["api", UNKNOWN]},
            {"scopes": [["api", UNKNOWN]]},
            {"workspace": UNKNOWN},
            {"min": None, "max": None, "healthy": None, "scopes": None, "workspace": None},
        ],
        ids=["counts", "healthy", "scopes", "scope", "alternative", "workspace", "none"],
    )
    def test_what_is_not_known_is_not_expected(self, expected: dict[str, Any]) -> None:
        """As long as a value isn't known, or where an output came to None, nothing can be missed."""
        assert misses(found(sent(status="bad_credentials", oauth2AuthorizationCode=None)), expected) == []

    def test_what_is_known_is_expected_beside_what_is_not(self) -> None:
        """One value that isn't known yet doesn't keep the others from being looked at."""
        assert misses([], {"min": 1.0, "max": UNKNOWN, "scopes": [UNKNOWN]}) == [
            "expected at least 1 connection, found none"
        ]


class TestCounts:
    """How many connections there are."""

    @pytest.mark.parametrize(
        ("count", "expected", "sentences"),
        [
            pytest.param(0, {}, [], id="nothing"),
            pytest.param(0, {"min": 0, "max": 0}, [], id="none"),
            pytest.param(1, {"min": 1, "max": 1}, [], id="one"),
            pytest.param(0, {"min": 1}, ["expected at least 1 connection, found none"], id="too-few"),
            pytest.param(
                1,
                {"min": 2.0},
                ["expected at least 2 connections, found 1: conn_00 (salesforce, Acme Ltd)"],
                id="too-few-but-some",
            ),
            pytest.param(
                2,
                {"max": 1.0},
                [f"expected at most 1 connection, found 2: {', '.join(described(0, 1))}"],
                id="too-many",
            ),
            pytest.param(
                1,
                {"max": 0},
                ["expected at most 0 connections, found 1: conn_00 (salesforce, Acme Ltd)"],
                id="any",
            ),
            pytest.param(
                10,
                {"max": 9},
                [f"expected at most 9 connections, found 10: {', '.join(described(*range(10)))}"],
                id="10",
            ),
            pytest.param(
                23,
                {"max": 9},
                [f"expected at most 9 connections, found 23: {', '.join(described(*range(10)))} and 13 more"],
                id="23",
            ),
        ],
    )
    def test_the_sentence_says_how_many_and_which(
        self, count: int, expected: dict[str, Any], sentences: list[str]
    ) -> None:
        """Up to ten connections are listed."""
        assert misses(many(count), expected) == sentences

    @pytest.mark.parametrize(
        ("count", "sentence"),
        [
            pytest.param(0, "expected one connection, found none", id="none"),
            pytest.param(1, None, id="one"),
            pytest.param(2, f"expected one connection, found 2: {', '.join(described(0, 1))}", id="two"),
            pytest.param(
                11,
                f"expected one connection, found 11: {', '.join(described(*range(10)))} and 1 more",
                id="eleven",
            ),
        ],
    )
    def test_not_one(self, count: int, sentence: str | None) -> None:
        """Where exactly one is needed, the clause says what was found instead."""
        assert not_one([connection for connection, _ in many(count)]) == sentence


class TestHealth:
    """The connections' status."""

    def test_an_unhealthy_one_is_shown_with_its_status(self) -> None:
        """Whatever the API calls it, a status that isn't created or working is a miss."""
        connections = found(
            sent("a", status="created"),
            sent("b", status="bad_credentials"),
            sent("c", status="working"),
            sent("d", status="paused", group=None, consumer=None),
        )
        (sentence,) = misses(connections, {"healthy": True})
        assert sentence == (
            "expected healthy connections, but found "
            "b (salesforce, Acme Ltd): status bad_credentials; d (salesforce): status paused"
        )

    def test_false_expects_nothing(self) -> None:
        """It isn't the opposite of True: healthy and unhealthy ones are both fine."""
        assert misses(found(sent("a"), sent("b", status="bad_credentials")), {"healthy": False}) == []

    def test_no_connection_is_healthy_enough(self) -> None:
        """How many there must be is another expectation."""
        assert misses([], {"healthy": True, "scopes": ["api"], "workspace": "x"}) == []

    def test_ten_are_listed(self) -> None:
        """A project with a thousand broken connections is no flood."""
        listed = "; ".join(f"{who}: status bad_credentials" for who in described(*range(10)))
        assert misses(many(12, status="bad_credentials"), {"healthy": True}) == [
            f"expected healthy connections, but found {listed} and 2 more"
        ]


class TestScopes:
    """What was granted."""

    @pytest.mark.parametrize(
        ("scopes", "missing"),
        [
            pytest.param([], "", id="none"),
            pytest.param(["read", "write"], "", id="all-granted"),
            pytest.param(["read", "admin", "delete"], "admin, delete", id="several"),
            pytest.param([["admin", "write"]], "", id="one-of-several"),
            pytest.param([["admin", "delete"], "read", "own"], "admin or delete, own", id="none-of-several"),
            pytest.param(["Read"], "Read", id="letter-case"),
            pytest.param(["read write"], "read write", id="two-in-one"),
            pytest.param((("admin", "read"),), "", id="tuples"),
        ],
    )
    def test_each_must_have_been_granted(self, scopes: Any, missing: str) -> None:
        """Of a list of alternatives one is enough; what lacks is named."""
        sentence = f"expected other scopes: a (salesforce, Acme Ltd): not granted: {missing}"
        assert misses(found(granted("a", "read", "write")), {"scopes": scopes}) == ([sentence] if missing else [])

    def test_an_empty_grant_is_known(self) -> None:
        """A connection that was granted nothing says so by what it lacks."""
        assert misses(found(granted("a")), {"scopes": ["read"]}) == [
            "expected other scopes: a (salesforce, Acme Ltd): not granted: read"
        ]

    def test_unknown_scopes_count_as_not_granted(self) -> None:
        """The sentence has the reason why they aren't known; who was granted all isn't in it."""
        silent, unread, fine = found(
            sent("a", authScheme="apiKey", oauth2AuthorizationCode=None),
            sent("b", oauth2AuthorizationCode=None),
            granted("c", "read"),
        )
        connections = [silent, with_gap(unread, "its details could not be read: 503 Service Unavailable"), fine]
        (sentence,) = misses(connections, {"scopes": ["read"]})
        assert sentence == (
            "expected other scopes: "
            "a (salesforce, Acme Ltd): its granted scopes are unknown: the API didn't send them; "
            "b (salesforce, Acme Ltd): its granted scopes are unknown: "
            "its details could not be read: 503 Service Unavailable"
        )

    def test_ten_are_listed(self) -> None:
        """The rest are counted."""
        listed = "; ".join(f"{who}: not granted: admin" for who in described(*range(10)))
        assert misses(many(11), {"scopes": ["admin"]}) == [f"expected other scopes: {listed} and 1 more"]

    def test_very_many_missing_scopes_are_cut(self) -> None:
        """A line stays readable."""
        (sentence,) = misses(found(granted("a")), {"scopes": [f"scope-{number}" for number in range(100)]})
        assert sentence.startswith("expected other scopes: a (salesforce, Acme Ltd): not granted: scope-0, scope-1,")
        assert sentence.endswith("…")
        assert len(sentence) < 300


class TestWorkspace:
    """The customer's workspace at the provider."""

    @pytest.mark.parametrize(
        ("pattern", "others"),
        [
            pytest.param("acme-prod", ["b: acme-prod-2", "c: my-acme-prod"], id="whole"),
            pytest.param(".*acme-prod.*", [], id="any"),
            pytest.param("acme-prod(-2)?", ["c: my-acme-prod"], id="optional"),
            pytest.param("ACME-PROD", ["a: acme-prod", "b: acme-prod-2", "c: my-acme-prod"], id="letter-case"),
            pytest.param("acme|my", ["a: acme-prod", "b: acme-prod-2", "c: my-acme-prod"], id="alternatives"),
            pytest.param("", ["a: acme-prod", "b: acme-prod-2", "c: my-acme-prod"], id="empty"),
        ],
    )
    def test_it_must_match_as_a_whole(self, pattern: str, others: list[str]) -> None:
        """A part that matches isn't enough; the sentence shows the workspace and never the pattern."""
        connections = found(
            sent("a", providerWorkspaceRef="acme-prod", group=None, consumer=None),
            sent("b", providerWorkspaceRef="acme-prod-2", group=None, consumer=None),
            sent("c", providerWorkspaceRef="my-acme-prod", group=None, consumer=None),
        )
        listed = "; ".join(other.replace(":", " (salesforce):") for other in others)
        sentence = f"expected other workspaces, by expect.workspace: {listed}"
        assert misses(connections, {"workspace": pattern}) == ([sentence] if others else [])

    def test_a_line_end_is_no_part_of_a_match(self) -> None:
        """The dollar sign of the pattern doesn't let a line end pass."""
        connections = found(sent("a", providerWorkspaceRef="acme\n", group=None, consumer=None))
        assert misses(connections, {"workspace": "acme$"}) == [
            "expected other workspaces, by expect.workspace: a (salesforce): acme"
        ]

    def test_an_unknown_one_is_a_miss(self) -> None:
        """What can't be looked at doesn't match, whatever the pattern is."""
        assert misses(found(sent("a", providerWorkspaceRef=None)), {"workspace": ".*"}) == [
            "expected other workspaces, by expect.workspace: a (salesforce, Acme Ltd): its workspace is unknown"
        ]

    @pytest.mark.parametrize("fails", [Expect, lambda **values: misses([], values)], ids=["early", "late"])
    def test_a_pattern_is_never_shown(self, fails: Callable[..., Any]) -> None:
        """It may be secret, when it doesn't match and when it is none."""
        with pytest.raises(SettingsError) as caught:
            fails(workspace=UNREADABLE)
        assert "secret-workspace" not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        pattern = "secret-workspace-[0-9]+"
        connections = found(sent("a"), sent("b", providerWorkspaceRef="other"))
        assert "secret-workspace" not in repr(misses(connections, {"workspace": pattern}))


class TestSentences:
    """The text of misses."""

    def test_every_expectation_has_its_own_clause(self) -> None:
        """All that isn't as expected is said at once, in the order of the arguments."""
        expected = Expect(min=3, healthy=True, scopes=["admin"], workspace="prod").properties()
        connections = found(granted("a", "api", status="paused", providerWorkspaceRef="dev"))
        assert misses(connections, expected) == [
            "expected at least 3 connections, found 1: a (salesforce, Acme Ltd)",
            "expected healthy connections, but found a (salesforce, Acme Ltd): status paused",
            "expected other scopes: a (salesforce, Acme Ltd): not granted: admin",
            "expected other workspaces, by expect.workspace: a (salesforce, Acme Ltd): dev",
        ]

    def test_hostile_text_is_harmless(self) -> None:
        """Whatever others named a connection, a status, a workspace, or a scope: one line that steers no terminal."""
        hostile = granted(
            HOSTILE,
            "api",
            provider=HOSTILE,
            status=HOSTILE,
            providerWorkspaceRef=HOSTILE,
            group={"groupRef": HOSTILE, "groupName": HOSTILE},
        )
        (pair,) = found(hostile)
        unknown, seen = found({**hostile, "oauth2AuthorizationCode": None})[0]
        connections = [pair, with_gap((unknown, seen), HOSTILE)]
        expected = {"min": 3, "max": 0, "healthy": True, "scopes": [HOSTILE, [HOSTILE, "b"]], "workspace": "other"}
        sentences = misses(connections, {**expected, "min": 0})
        sentences += misses(connections, {"min": 3})
        sentences += [not_one([pair[0], unknown]) or ""]
        assert len(sentences) == 6
        harmless = "x [31my< {%fg 1%}> z"
        for sentence in sentences:
            assert sentence == one_line(sentence)
            assert f"{harmless} ({harmless}, {harmless})" in sentence
        assert sentences[1].endswith(f": status {harmless}")
        assert f"not granted: {harmless}, {harmless} or b" in sentences[2]
        assert sentences[2].endswith(f"its granted scopes are unknown: {harmless}")

    def test_hostile_text_of_a_caller_is_harmless(self) -> None:
        """A connection that was made by hand, not read, is described as harmlessly."""
        connection = Connection(id=HOSTILE, provider=HOSTILE, group={"groupRef": HOSTILE}, healthy=True)
        assert describe(connection) == one_line(describe(connection))
        assert len(describe(Connection(id="i" * 500, provider="p" * 500, healthy=True))) <= 120

    def test_a_connection_without_a_customer_is_described_by_its_provider(self) -> None:
        """The best name there is for the customer is shown, and no empty place where there is none."""
        connections = found(
            sent("a", group=None, consumer=None),
            sent("b", group={"groupRef": "acme"}, consumer=None),
            sent("c", group=None, consumer={"consumerRef": "jo"}),
        )
        assert [describe(connection) for connection, _ in connections] == [
            "a (salesforce)",
            "b (salesforce, acme)",
            "c (salesforce, jo)",
        ]
