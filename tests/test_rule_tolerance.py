"""Tolerance: how many findings don't break the gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pytest

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand_policies.configuration import ActiveRule, ConfigurationError
from pulumi_ampersand_policies.evaluation import Evaluation, State, allowed, lines
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Unverified
from pulumi_ampersand_policies.rules import RULES, forbidden_scopes, no_bad_credentials, required_connections
from pulumi_ampersand_policies.testing import assert_rule, connection, grant, inventory, judge

RULE: Final = no_bad_credentials.RULE
WAIVER: Final = {"connection": "bad_0*", "reason": "a pilot", "approvedBy": "Kim", "expires": "2026-12-31"}


def fleet(broken: int, healthy: int = 0) -> Inventory:
    """So many connections with refused credentials, and so many without."""
    return inventory(
        *(connection(f"bad_{number:03}", status="bad_credentials") for number in range(broken)),
        *(connection(f"good_{number:03}") for number in range(healthy)),
    )


def states(evaluation: Evaluation) -> dict[str, int]:
    """How many findings are in which state."""
    found = [finding.state.value for finding in evaluation.findings]
    return {state: found.count(state) for state in sorted(set(found))}


@pytest.mark.parametrize(
    ("tolerate", "broken", "healthy", "tolerated"),
    [
        pytest.param(0, 1, 99, False, id="none"),
        pytest.param(3, 3, 0, True, id="count"),
        pytest.param(3, 4, 996, False, id="one-more-than-the-count"),
        pytest.param(3, 1, 0, True, id="fewer-than-the-count"),
        pytest.param("2%", 1, 48, False, id="two-percent-of-49"),
        pytest.param("2%", 1, 49, True, id="two-percent-of-50"),
        pytest.param("2%", 2, 48, False, id="one-more-than-two-percent-of-50"),
        pytest.param("2%", 1, 98, True, id="two-percent-of-99"),
        pytest.param("2%", 2, 97, False, id="one-more-than-two-percent-of-99"),
        pytest.param("2%", 2, 98, True, id="two-percent-of-100"),
        pytest.param("2%", 3, 97, False, id="one-more-than-two-percent-of-100"),
        pytest.param("0%", 1, 999, False, id="no-percent"),
        pytest.param("100%", 7, 0, True, id="all"),
        pytest.param("99%", 7, 0, False, id="nearly-all"),
        pytest.param("0.5%", 1, 199, True, id="half-a-percent-of-200"),
        pytest.param("0.5%", 1, 198, False, id="half-a-percent-of-199"),
    ],
)
def test_up_to_so_many(tolerate: int | str, broken: int, healthy: int, *, tolerated: bool) -> None:
    """Findings within the tolerance are tolerated; one more, and all of them break."""
    names = [f"bad_{number:03}" for number in range(broken)]
    expected: dict[str, Any] = {"tolerated": names} if tolerated else {"breaks": names}
    assert_rule(RULE, fleet(broken, healthy), {"tolerate": tolerate}, **expected)


@pytest.mark.parametrize(
    ("tolerate", "judged", "count"),
    [
        (5, 0, 5),
        ("2%", 0, 0),
        ("100%", 0, 0),
        ("2%", 49, 0),
        ("2%", 50, 1),
        ("2%", 99, 1),
        ("2%", 100, 2),
        ("33.3%", 1000, 333),
        ("29%", 100, 29),
        ("57%", 100, 57),
        ("1.1%", 1000, 11),
        ("0.07%", 10_000, 7),
        ("99.99%", 10_000, 9999),
        ("100%", 12_345, 12_345),
    ],
)
def test_percentages_are_exact_and_rounded_down(tolerate: int | str, judged: int, count: int) -> None:
    """29% of 100 is 29: no binary fraction of it is 28."""
    assert allowed(tolerate, judged) == count


class TestJudged:
    """Of what a percentage is: of the connections that were judged."""

    OPTIONS: Final = {"scopes": {"*": ["admin"]}, "tolerate": "50%"}

    @staticmethod
    def granted(name: str, scopes: Any) -> dict[str, Any]:
        """A connection with these scopes."""
        return connection(name, oauth2AuthorizationCode=grant(scopes=scopes))

    def test_half_of_two(self) -> None:
        """One of two that were judged is half of them."""
        found = inventory(self.granted("a", ["admin"]), self.granted("b", ["api"]))
        assert_rule(forbidden_scopes.RULE, found, self.OPTIONS, tolerated=["a"])

    def test_those_it_does_not_apply_to_do_not_count(self) -> None:
        """Connections that the rule isn't about don't make its findings few."""
        others = (
            connection(f"key_{number}", authScheme="apiKey", oauth2AuthorizationCode=None) for number in range(50)
        )
        assert_rule(forbidden_scopes.RULE, inventory(self.granted("a", ["admin"]), *others), self.OPTIONS, breaks=["a"])

    def test_those_not_evaluated_do_not_count(self) -> None:
        """Connections that could not be judged don't, either."""
        names = [f"open_{number}" for number in range(50)]
        found = inventory(self.granted("a", ["admin"]), *(self.granted(name, None) for name in names))
        assert_rule(forbidden_scopes.RULE, found, self.OPTIONS, breaks=["a"], not_evaluated=names)

    def test_a_connection_with_two_causes_is_one_finding(self) -> None:
        """Findings are counted, not causes."""
        found = inventory(self.granted("a", ["admin", "admin.read"]), self.granted("b", ["api"]))
        assert_rule(forbidden_scopes.RULE, found, {"scopes": {"*": ["admin*"]}, "tolerate": 1}, tolerated=["a"])

    def test_what_is_open_for_several_reasons_is_one(self) -> None:
        """A connection that a rule leaves open twice isn't taken off twice."""

        def check(found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
            for entry in found:
                if entry.connection.id == "bad":
                    yield Breach("broken", entry)
                elif entry.connection.id == "open":
                    yield Unverified("who knows", entry)
                    yield Unverified("nobody", entry)

        rule = replace(RULE, check=check)
        found = inventory(*map(connection, ("bad", "open", "good")))
        assert_rule(rule, found, {"tolerate": "50%"}, tolerated=["bad"], not_evaluated=["open"])

    def test_percent_of_none_is_none(self) -> None:
        """A finding where no connection was judged isn't tolerated, whatever the percentage."""
        given = {"require": [{"provider": "salesforce"}], "tolerate": "100%"}
        assert_rule(required_connections.RULE, inventory(), given, breaks=[""])

    def test_a_count_needs_no_connections(self) -> None:
        """A count tolerates requirements, too."""
        given = {"require": [{"provider": "salesforce"}, {"provider": "gong"}], "tolerate": 2}
        assert_rule(required_connections.RULE, inventory(), given, tolerated=[""])
        assert_rule(required_connections.RULE, inventory(), given | {"tolerate": 1}, breaks=[""])

    def test_a_rule_that_crashed_tolerates_nothing(self) -> None:
        """Of how many a finding is one isn't known when the rule didn't come to its end."""

        def check(found: Inventory, _options: Options, _now: datetime) -> Iterator[Breach | Unverified]:
            yield Breach("broken", next(iter(found)))
            raise ValueError

        evaluation = judge(replace(RULE, check=check), fleet(0, healthy=100), {"tolerate": "50%"})
        assert states(evaluation) == {"open": 1}
        assert [item.crashed for item in evaluation.not_evaluated] == [True]


class TestWaived:
    """Waived findings and tolerance."""

    def test_waived_ones_do_not_count_against_it(self) -> None:
        """What somebody answers for uses none of the tolerance."""
        given = {"tolerate": 1, "waivers": [WAIVER]}
        found = inventory(
            *(connection(name, status="bad_credentials") for name in ("bad_01", "bad_02", "bad_03", "other"))
        )
        assert_rule(RULE, found, given, waived=["bad_01", "bad_02", "bad_03"], tolerated=["other"])

    def test_they_stay_waived_when_the_others_break(self) -> None:
        """Over the limit, all open findings break, and the waived ones stay waived."""
        found = inventory(
            *(connection(name, status="bad_credentials") for name in ("bad_01", "other_1", "other_2")),
        )
        given = {"tolerate": 1, "waivers": [WAIVER]}
        assert_rule(RULE, found, given, waived=["bad_01"], breaks=["other_1", "other_2"])

    def test_they_were_judged(self) -> None:
        """A waived connection is one of those that a percentage is of."""
        found = inventory(*(connection(name, status="bad_credentials") for name in ("bad_01", "other")))
        given = {"tolerate": "50%", "waivers": [WAIVER]}
        assert_rule(RULE, found, given, waived=["bad_01"], tolerated=["other"])

    def test_an_expired_waiver_uses_the_tolerance(self) -> None:
        """What is waived no more counts, and still says that its waiver expired."""
        found = inventory(connection("bad_01", status="bad_credentials"))
        given = {"tolerate": 1, "waivers": [WAIVER | {"expires": "2026-11-23"}]}
        assert_rule(RULE, found, given, tolerated={"bad_01": "its waiver expired after 2026-11-23"})


class TestShown:
    """What a preview shows."""

    @staticmethod
    def shown(broken: int, tolerate: int | str) -> list[tuple[str, Enforcement]]:
        """The lines of a preview."""
        active = ActiveRule(RULE, Enforcement.MANDATORY, RULE.options.model_validate({"tolerate": tolerate}))
        return lines(judge(RULE, fleet(broken), {"tolerate": tolerate}), active)

    def test_tolerated_ones_are_advice(self) -> None:
        """They stop nothing, aren't hidden, and say why they stop nothing."""
        line = (
            "bad_000 (salesforce, Acme Ltd): the provider refuses its credentials (status bad_credentials). "
            "Tolerated. Have the customer authorise again: pulumi-ampersand reauth bad_000"
        )
        assert self.shown(1, 1) == [(line, Enforcement.ADVISORY)]

    def test_over_the_limit_the_limit_is_told(self) -> None:
        """Whoever tolerates some sees why these aren't."""
        found = self.shown(3, 2)
        assert len(found) == 4
        assert found[-1] == ("3 in all, more than are tolerated (2)", Enforcement.MANDATORY)
        assert {level for _, level in found} == {Enforcement.MANDATORY}
        assert self.shown(3, "50%")[-1][0] == "3 in all, more than are tolerated (50%)"

    @pytest.mark.parametrize("none", [0, "0%", "0.0%", "00%"])
    def test_without_tolerance_nothing_is_said_of_it(self, none: int | str) -> None:
        """By default there is no such line, and none where none is tolerated in so many words."""
        assert len(self.shown(3, none)) == 3


@pytest.mark.parametrize(
    ("tolerate", "problem"),
    [
        ("5", "'5' does not match"),
        ("2", "'2' does not match"),
        ("101%", "'101%' does not match"),
        ("100.5%", "'100.5%' does not match"),
        ("-1%", "'-1%' does not match"),
        ("2 %", "'2 %' does not match"),
        (" 2%", "' 2%' does not match"),
        (".5%", "'.5%' does not match"),
        ("%", "'%' does not match"),
        ("", "'' does not match"),
        ("all", "'all' does not match"),
        (-1, "-1 is less than the minimum of 0"),
        (1.5, "1.5 is not allowed, only integer or string"),
        (True, "true is not allowed, only integer or string"),
        (None, "null is not allowed, only integer or string"),
        ([5], "[5] is not allowed, only integer or string"),
    ],
    ids=repr,
)
def test_wrong_values(tolerate: Any, problem: str) -> None:
    """Anything but a count or a percentage is an error that names rule and key."""
    with pytest.raises(ConfigurationError) as caught:
        judge(RULE, inventory(), {"tolerate": tolerate})
    (said,) = caught.value.problems
    assert said.startswith(f'policy pack configuration: no-bad-credentials: "tolerate": {problem}')


def test_a_count_may_be_a_float() -> None:
    """The engine hands numbers on as floats; the count is whole all the same."""
    evaluation = judge(RULE, fleet(2), {"tolerate": 2.0})
    assert {finding.state for finding in evaluation.findings} == {State.TOLERATED}


def test_which_rules_can_tolerate() -> None:
    """All but the one that says that connections could not be read."""
    assert {rule.id for rule in RULES if "tolerate" not in rule.options.model_fields} == {"readable-connections"}
