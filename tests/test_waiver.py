"""Waivers: what they select, until when, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

import pytest
from pydantic import ValidationError

from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.configuration import ConfigurationError, parse
from pulumi_ampersand_policies.evaluation import Evaluation, State, WaiverState, evaluate, lines
from pulumi_ampersand_policies.rule import Enforcement, Options
from pulumi_ampersand_policies.rules import RULES, no_bad_credentials, required_connections
from pulumi_ampersand_policies.testing import NOW, assert_rule, connection, inventory, judge
from pulumi_ampersand_policies.waiver import RequirementWaiver, Waiver

RULE: Final = no_bad_credentials.RULE
APPROVAL: Final = {"reason": "a pilot", "approvedBy": "Kim", "expires": "2026-12-31"}
EXPIRED: Final = APPROVAL | {"expires": "2026-11-23"}
REFUSED: Final = "the provider refuses its credentials (status bad_credentials)"


class Subject(NamedTuple):
    """What a finding tells a waiver."""

    connection: str = "conn_1"
    provider: str = "salesforce"
    group: str = "acme"
    consumer: str = "acme-jo"


def broken(*names: str, **changes: Any) -> Inventory:
    """Connections with refused credentials."""
    return inventory(*(connection(name, status="bad_credentials", **changes) for name in names))


def waived(*waivers: Mapping[str, Any]) -> dict[str, Any]:
    """Options that waive."""
    return {"waivers": list(waivers)}


def problems(waiver: Any, rule: str = "no-bad-credentials") -> list[str]:
    """What is wrong with a configuration with this waiver."""
    with pytest.raises(ConfigurationError) as caught:
        parse(json.dumps({rule: {"waivers": [waiver]}}), "policy.json")
    return [problem.removeprefix(f"policy.json: {rule}: ") for problem in caught.value.problems]


class TestSelectors:
    """What a waiver is about."""

    @pytest.mark.parametrize(
        ("selectors", "covered"),
        [
            pytest.param({"connection": "conn_1"}, True, id="connection"),
            pytest.param({"connection": "conn"}, False, id="no-prefix"),
            pytest.param({"connection": "CONN_1"}, False, id="case"),
            pytest.param({"connection": "conn_*"}, True, id="connection-glob"),
            pytest.param({"connection": "conn_?"}, False, id="no-other-wildcard"),
            pytest.param({"connection": "*"}, True, id="any"),
            pytest.param({"provider": "sales*"}, True, id="provider"),
            pytest.param({"provider": "hubspot"}, False, id="another-provider"),
            pytest.param({"group": "ac*e"}, True, id="group"),
            pytest.param({"group": "globex"}, False, id="another-group"),
            pytest.param({"consumer": "*-jo"}, True, id="consumer"),
            pytest.param({"consumer": "jo"}, False, id="another-consumer"),
            pytest.param({"provider": "salesforce", "group": "acme"}, True, id="both-match"),
            pytest.param({"provider": "salesforce", "group": "globex"}, False, id="one-of-two-matches"),
            pytest.param(
                {"connection": "*1", "provider": "*", "group": "a*", "consumer": "a*"}, True, id="all-of-four-match"
            ),
            pytest.param(
                {"connection": "*1", "provider": "*", "group": "a*", "consumer": "b*"}, False, id="three-of-four-match"
            ),
        ],
    )
    def test_all_that_are_given_must_match(self, selectors: dict[str, str], *, covered: bool) -> None:
        """A finding is covered if it fits every selector; what isn't given selects nothing."""
        assert Waiver.model_validate(APPROVAL | selectors).covers(Subject()) is covered
        said = {"conn_1": REFUSED}
        expected: dict[str, Any] = {"waived": said} if covered else {"breaks": said}
        assert_rule(RULE, broken("conn_1"), waived(APPROVAL | selectors), **expected)

    @pytest.mark.parametrize(
        ("glob", "covered"), [("*", True), ("acme*", False), ("a*", False)], ids=["any", "prefix", "letter"]
    )
    @pytest.mark.parametrize("group", [None, {}, {"groupName": "Acme Ltd"}], ids=["none", "empty", "without-ref"])
    def test_a_missing_group_is_empty(self, group: Any, glob: str, *, covered: bool) -> None:
        """A connection without a group, or a group without a ref, fits only what fits an empty text."""
        said = {"conn_1": REFUSED}
        expected: dict[str, Any] = {"waived": said} if covered else {"breaks": said}
        assert_rule(RULE, broken("conn_1", group=group), waived(APPROVAL | {"group": glob}), **expected)

    def test_others_are_not_waived(self) -> None:
        """A waiver of one connection leaves the others as they are."""
        assert_rule(
            RULE,
            broken("a", "b"),
            waived(APPROVAL | {"connection": "a"}),
            waived={"a": REFUSED},
            breaks={"b": REFUSED},
        )

    def test_names_are_compared_as_they_are_shown(self) -> None:
        """What a message shows of a hostile name is what selects it."""
        found = broken("conn\x1b[31m 1", group={"groupRef": "a\nb"})
        assert_rule(RULE, found, waived(APPROVAL | {"connection": "conn[31m 1", "group": "a b"}), waived=["conn[31m 1"])

    def test_requirements_are_selected_by_provider_and_group(self) -> None:
        """A finding about a requirement fits by what is required; one of any group has an empty one."""
        rule = required_connections.RULE
        required = [{"provider": "gong"}, {"groupRef": "acme"}, {"provider": "gong", "groupRef": "acme"}]
        texts = {
            "gong": "provider gong: 0 healthy connections, at least 1 needed",
            "acme": "group acme: 0 healthy connections, at least 1 needed",
            "both": "provider gong and group acme: 0 healthy connections, at least 1 needed",
        }

        def states(**selectors: str) -> dict[str, State]:
            given = {"require": required, **waived(APPROVAL | selectors)}
            return {finding.message: finding.state for finding in judge(rule, inventory(), given).findings}

        assert states(provider="gong") == {
            texts["gong"]: State.WAIVED,
            texts["acme"]: State.OPEN,
            texts["both"]: State.WAIVED,
        }
        assert states(group="a*") == {
            texts["gong"]: State.OPEN,
            texts["acme"]: State.WAIVED,
            texts["both"]: State.WAIVED,
        }
        assert states(provider="gong", group="acme") == {
            texts["gong"]: State.OPEN,
            texts["acme"]: State.OPEN,
            texts["both"]: State.WAIVED,
        }
        assert set(states(provider="*").values()) == {State.WAIVED}

    def test_a_requirement_has_no_connection(self) -> None:
        """A waiver of a requirement can't name a connection or a consumer, for there is none."""
        for name in ("connection", "consumer"):
            (problem,) = problems(APPROVAL | {name: "a"}, "required-connections")
            assert problem == f'unknown key "waivers.0.{name}"; it takes reason, approvedBy, expires, provider, group'


class TestExpiry:
    """Until when a waiver waives."""

    @pytest.mark.parametrize(
        ("now", "waives"),
        [
            pytest.param(datetime(2026, 11, 29, 12, 0, tzinfo=timezone.utc), True, id="the-day-before"),
            pytest.param(datetime(2026, 11, 30, 0, 0, 0, tzinfo=timezone.utc), True, id="first-second"),
            pytest.param(datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=timezone.utc), True, id="last-second"),
            pytest.param(datetime(2026, 12, 1, 0, 0, 0, tzinfo=timezone.utc), False, id="midnight"),
            pytest.param(datetime(2026, 12, 1, 5, 59, 59, tzinfo=timezone(timedelta(hours=6))), True, id="east"),
            pytest.param(
                datetime(2026, 12, 1, 6, 0, 0, tzinfo=timezone(timedelta(hours=6))), False, id="east-midnight"
            ),
            pytest.param(datetime(2026, 11, 30, 18, 59, 59, tzinfo=timezone(timedelta(hours=-5))), True, id="west"),
            pytest.param(
                datetime(2026, 11, 30, 19, 0, 0, tzinfo=timezone(timedelta(hours=-5))), False, id="west-midnight"
            ),
        ],
    )
    def test_the_last_day_is_inclusive_in_utc(self, now: datetime, *, waives: bool) -> None:
        """A waiver waives until its last day ends in UTC, wherever the clock is that tells the time."""
        given = waived({**APPROVAL, "connection": "*", "expires": "2026-11-30"})
        if waives:
            assert_rule(RULE, broken("conn_1"), given, waived=["conn_1"], now=now)
        else:
            assert_rule(
                RULE, broken("conn_1"), given, breaks={"conn_1": "its waiver expired after 2026-11-30"}, now=now
            )

    def test_the_days_of_a_waiver(self) -> None:
        """The last day belongs to it, the next doesn't."""
        waiver = Waiver.model_validate(APPROVAL | {"connection": "*"})
        assert waiver.waives(date(2026, 12, 31))
        assert not waiver.waives(date(2027, 1, 1))

    def test_an_expired_one_bites_and_says_why(self) -> None:
        """The finding is open again, with when its waiver expired and who had approved it."""
        (finding,) = judge(RULE, broken("conn_1"), waived(EXPIRED | {"connection": "*"})).findings
        assert (finding.state, finding.waiver, finding.enforcement) == (State.OPEN, None, Enforcement.MANDATORY)
        assert finding.message == (
            f"conn_1 (salesforce, Acme Ltd): {REFUSED}; its waiver expired after 2026-11-23, approved by Kim: a pilot"
        )

    def test_of_several_expired_ones_the_last_is_named(self) -> None:
        """What matters is until when the finding was waived."""
        given = waived(
            EXPIRED | {"connection": "*", "expires": "2026-01-01"},
            EXPIRED | {"connection": "conn_1", "approvedBy": "Lee"},
            EXPIRED | {"provider": "*", "expires": "2025-01-01"},
        )
        (finding,) = judge(RULE, broken("conn_1"), given).findings
        assert finding.message.endswith("; its waiver expired after 2026-11-23, approved by Lee: a pilot")

    def test_an_expired_one_of_another_connection_is_not_named(self) -> None:
        """A finding that no waiver was about says nothing of waivers."""
        (finding,) = judge(RULE, broken("conn_1"), waived(EXPIRED | {"connection": "other"})).findings
        assert finding.message.endswith(REFUSED)

    def test_hostile_words_of_an_approval_stay_on_the_line(self) -> None:
        """A reason of several lines doesn't become several messages."""
        given = waived(EXPIRED | {"connection": "*", "reason": "a\nb\x1b[31m <{%fg 1%}>", "approvedBy": "K\u202eim"})
        (finding,) = judge(RULE, broken("conn_1"), given).findings
        assert finding.message == one_line(finding.message)
        assert finding.message.endswith("approved by Kim: a b[31m < {%fg 1%}>")


class TestWrong:
    """Waivers that are errors of the configuration."""

    @pytest.mark.parametrize(
        "expires",
        [
            pytest.param("2026-02-30", id="no-day"),
            pytest.param("2026-13-01", id="no-month"),
            pytest.param("2026-11-30T00:00:00Z", id="time"),
            pytest.param("2026-11-30T00:00:00", id="time-without-offset"),
            pytest.param("2026-11-30 ", id="space"),
            pytest.param("2026-11-30\n", id="line-end"),
            pytest.param("2026-1-3", id="digits-left-out"),
            pytest.param("20261130", id="no-dashes"),
            pytest.param("30.11.2026", id="another-order"),
            pytest.param("never", id="word"),
            pytest.param("", id="empty"),
            pytest.param("1796083200", id="seconds-as-text"),
            pytest.param(20261130, id="number"),
            pytest.param(1796083200, id="seconds"),
            pytest.param(None, id="null"),
            pytest.param(True, id="true"),
            pytest.param(["2026-11-30"], id="list"),
        ],
    )
    def test_dates_that_are_none(self, expires: Any) -> None:
        """A date is text of the form YYYY-MM-DD that a calendar knows; the error says what is there instead."""
        (problem,) = problems(APPROVAL | {"connection": "*", "expires": expires})
        wrong = f"{expires!r} is no day: write YYYY-MM-DD"
        if not isinstance(expires, str):
            wrong = f"{json.dumps(expires)} is not allowed, only string"
        assert problem == f'"waivers.0.expires": {wrong}'

    def test_the_place_is_that_of_the_wrong_one(self) -> None:
        """Of several waivers the wrong one is named."""
        with pytest.raises(ConfigurationError, match=r'"waivers\.1\.expires"'):
            judge(RULE, inventory(), waived(APPROVAL | {"group": "a"}, APPROVAL | {"group": "b", "expires": 5}))

    @pytest.mark.parametrize("name", APPROVAL)
    def test_what_is_required(self, name: str) -> None:
        """Reason, approval and expiry are asked for, and none of them may be empty."""
        without = {key: value for key, value in APPROVAL.items() if key != name}
        assert f"\"waivers.0\": '{name}' is a required property" in problems(
            {"connection": "*", "group": "*"} | without
        )
        (problem,) = problems({"connection": "*"} | APPROVAL | {name: ""})
        assert problem.startswith(f'"waivers.0.{name}": ')

    @pytest.mark.parametrize(
        ("rule", "names"),
        [
            ("no-bad-credentials", "connection, provider, group, consumer"),
            ("required-connections", "provider, group"),
        ],
    )
    def test_at_least_one_selector(self, rule: str, names: str) -> None:
        """A waiver that selects nothing would waive everything; the error says what it can select by."""
        (problem,) = problems(APPROVAL, rule)
        assert problem == f'"waivers.0": give at least one of {names}'
        model = Waiver if rule == "no-bad-credentials" else RequirementWaiver
        with pytest.raises(ValidationError, match=rf"give at least one of {names} \["):
            model.model_validate(APPROVAL)

    @pytest.mark.parametrize("name", ["connection", "provider", "group", "consumer"])
    @pytest.mark.parametrize("value", ["", None, 5, ["a"]], ids=["empty", "null", "number", "list"])
    def test_selectors_are_text(self, name: str, value: Any) -> None:
        """A selector that could select nothing, or is no glob, is an error."""
        (problem,) = problems(APPROVAL | {name: value})
        assert problem.startswith(f'"waivers.0.{name}": ')

    def test_unknown_keys(self) -> None:
        """A misspelt selector doesn't widen a waiver in silence."""
        (problem,) = problems(APPROVAL | {"connection": "*", "grop": "acme"})
        assert problem == (
            'unknown key "waivers.0.grop" (did you mean "group"?); '
            "it takes reason, approvedBy, expires, connection, provider, group, consumer"
        )

    @pytest.mark.parametrize("waivers", [{}, "x", None, 5], ids=json.dumps)
    def test_waivers_are_a_list(self, waivers: Any) -> None:
        """One waiver stands in a list, too."""
        with pytest.raises(ConfigurationError, match=r'no-bad-credentials: "waivers": .* is not allowed, only array'):
            judge(RULE, inventory(), {"waivers": waivers})


class TestDocument:
    """A waiver as it is written."""

    @pytest.mark.parametrize(
        "written",
        [APPROVAL | {"connection": "conn_*"}, APPROVAL | {"provider": "*", "group": "acme", "consumer": "jo"}],
        ids=["one", "several"],
    )
    def test_it_is_what_was_written(self, written: dict[str, str]) -> None:
        """A report shows a waiver as it stands in the configuration: no selector that wasn't given."""
        document = Waiver.model_validate(written).document()
        assert document == written
        assert json.loads(json.dumps(document)) == written

    def test_of_a_requirement(self) -> None:
        """The same for requirements."""
        written = APPROVAL | {"group": "acme"}
        assert RequirementWaiver.model_validate(written).document() == written

    def test_who_and_why(self) -> None:
        """In words: who answers for it, and the reason."""
        assert Waiver.model_validate(APPROVAL | {"group": "a"}).describe() == "approved by Kim: a pilot"

    def test_a_waiver_cannot_be_changed(self) -> None:
        """What was approved stays as it was approved."""
        waiver = Waiver.model_validate(APPROVAL | {"group": "a"})
        with pytest.raises(ValidationError):
            waiver.expires = date(2030, 1, 1)  # type: ignore[misc]


def outcome(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """What became of each waiver: the rule, who approved it, and its state."""
    return [(use.rule, use.waiver.approved_by, use.state.value) for use in evaluation.waivers]


class TestEvaluation:
    """Waivers in an evaluation."""

    def test_a_waived_finding_is_never_lost(self) -> None:
        """It keeps its level and its message, and says by what it is waived."""
        evaluation = judge(RULE, broken("conn_1"), waived(APPROVAL | {"connection": "*"}))
        (finding,) = evaluation.findings
        assert (finding.state, finding.enforcement) == (State.WAIVED, Enforcement.MANDATORY)
        assert finding.waiver == Waiver.model_validate(APPROVAL | {"connection": "*"})
        assert finding.message == f"conn_1 (salesforce, Acme Ltd): {REFUSED}"

    def test_its_fingerprint_stays(self) -> None:
        """A waiver doesn't make another finding of it."""
        prints = {
            judge(RULE, broken("conn_1"), given).findings[0].fingerprint
            for given in ({}, waived(APPROVAL | {"group": "*"}), waived(EXPIRED | {"group": "*"}))
        }
        assert len(prints) == 1

    def test_a_preview_shows_it_as_advice(self) -> None:
        """A waived finding stays visible, with its waiver, and stops nothing."""
        given = waived(APPROVAL | {"connection": "a"})
        wanted = parse(json.dumps({"no-bad-credentials": given}), "policy.json")
        active = wanted.active("no-bad-credentials")
        assert active is not None
        assert lines(evaluate(broken("a", "b"), wanted, NOW), active) == [
            (
                f"b (salesforce, Acme Ltd): {REFUSED}. Have the customer authorise again: pulumi-ampersand reauth b",
                Enforcement.MANDATORY,
            ),
            (
                f"a (salesforce, Acme Ltd): {REFUSED}. Waived until 2026-12-31, approved by Kim: a pilot",
                Enforcement.ADVISORY,
            ),
        ]

    def test_what_became_of_each(self) -> None:
        """Used, unused and expired waivers, in the order of the configuration."""
        given = waived(
            APPROVAL | {"connection": "a", "approvedBy": "used"},
            APPROVAL | {"connection": "z", "approvedBy": "unused"},
            EXPIRED | {"connection": "b", "approvedBy": "expired"},
            EXPIRED | {"connection": "z", "approvedBy": "expired and unused"},
        )
        assert outcome(judge(RULE, broken("a", "b"), given)) == [
            ("no-bad-credentials", "used", "used"),
            ("no-bad-credentials", "unused", "unused"),
            ("no-bad-credentials", "expired", "expired"),
            ("no-bad-credentials", "expired and unused", "expired"),
        ]

    def test_a_valid_one_beats_an_expired_one(self) -> None:
        """A renewed waiver waives, wherever it stands, and the old one is expired."""
        old, new = EXPIRED | {"connection": "*", "approvedBy": "old"}, APPROVAL | {"group": "*", "approvedBy": "new"}
        for given in ([old, new], [new, old]):
            evaluation = judge(RULE, broken("conn_1"), waived(*given))
            assert [finding.waiver and finding.waiver.approved_by for finding in evaluation.findings] == ["new"]
            assert evaluation.findings[0].message.endswith(REFUSED)
            assert sorted(outcome(evaluation)) == [
                ("no-bad-credentials", "new", "used"),
                ("no-bad-credentials", "old", "expired"),
            ]

    def test_of_several_valid_ones_the_first_is_named_and_all_are_used(self) -> None:
        """None is reported as unused that would have waived the finding by itself."""
        given = waived(
            APPROVAL | {"connection": "*", "approvedBy": "first"}, APPROVAL | {"group": "*", "approvedBy": "second"}
        )
        evaluation = judge(RULE, broken("conn_1"), given)
        assert [finding.waiver and finding.waiver.approved_by for finding in evaluation.findings] == ["first"]
        assert [use.state for use in evaluation.waivers] == [WaiverState.USED, WaiverState.USED]

    def test_without_findings_none_is_used(self) -> None:
        """A waiver of what is mended is unused: time to take it out."""
        evaluation = judge(RULE, inventory(connection()), waived(APPROVAL | {"connection": "*"}))
        assert outcome(evaluation) == [("no-bad-credentials", "Kim", "unused")]

    def test_what_could_not_be_judged_is_not_waived(self) -> None:
        """A waiver is of findings: it doesn't vouch for what nobody looked at."""
        found = Inventory.from_documents(broken("conn_1").documents()[0])
        assert_rule(RULE, found, waived(APPROVAL | {"connection": "*"}), not_evaluated=["conn_1"])

    def test_a_waiver_is_of_one_rule(self) -> None:
        """The same connection may break another rule."""
        content = {
            "no-bad-credentials": waived(APPROVAL | {"connection": "*"}),
            "allowed-providers": {"deny": ["salesforce"]},
        }
        evaluation = evaluate(broken("conn_1"), parse(json.dumps(content), "policy.json"), NOW)
        assert {finding.rule: finding.state for finding in evaluation.findings} == {
            "no-bad-credentials": State.WAIVED,
            "allowed-providers": State.OPEN,
        }

    @pytest.mark.parametrize("approval", [APPROVAL, EXPIRED], ids=["valid", "expired"])
    def test_they_can_all_be_ignored(self, approval: dict[str, str]) -> None:
        """Told so, an evaluation is what it would be if no waiver stood there: none is used, unused or expired."""
        rules = {"no-bad-credentials": waived(approval | {"connection": "*"})}
        ignoring = parse(json.dumps({"waivers": "disabled", **rules}), "policy.json")
        assert not ignoring.waivers
        found = broken("conn_1")
        evaluation = evaluate(found, ignoring, NOW)
        assert evaluation == evaluate(found, parse("{}", "policy.json"), NOW)
        assert [finding.state for finding in evaluation.findings] == [State.OPEN]
        assert evaluation.waivers == ()

    def test_wrong_ones_are_errors_even_when_ignored(self) -> None:
        """A waiver that can't be read isn't found out only when it is needed."""
        content = {"waivers": "disabled", "no-bad-credentials": {"waivers": [{}]}}
        with pytest.raises(ConfigurationError):
            parse(json.dumps(content), "policy.json")


def test_which_rules_can_be_waived() -> None:
    """All but those that say that something was not looked at."""
    assert {rule.id for rule in RULES if "waivers" not in rule.options.model_fields} == {
        "readable-connections",
        "verifiable-connections",
    }
    assert {rule.id for rule in RULES if not issubclass(rule.options, Options)} == {
        "readable-connections",
        "required-connections",
        "verifiable-connections",
    }
