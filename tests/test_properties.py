"""What holds for every answer of the API and every configuration, tried with those that Hypothesis makes up."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import UNSET

from audit_runs import KEY, Run, audit_here
from bench import ALL_RULES
from loose_answers import CANARY
from plugin import struct
from pulumi_ampersand.errors import AnswerError
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.model import parse_time
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies import reports
from pulumi_ampersand_policies.configuration import Configuration, parse
from pulumi_ampersand_policies.evaluation import Evaluation, State, evaluate
from pulumi_ampersand_policies.pack import Servicer, configured, inventory_of
from pulumi_ampersand_policies.rule import TolerableOptions
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.testing import NOW
from strategies import (
    answers,
    configurations,
    connections,
    encoded,
    examples,
    ids,
    lists_of,
    moments,
    ruined,
    spans,
    waivers,
)
from test_pack import Direct, Pack, documents, merged
from test_saved_answer import EVERY_RULE, assert_same

# What an answer says, read without this package.


class Naive(NamedTuple):
    """What a connection says, by its JSON alone."""

    id: str
    provider: str
    status: str
    group: tuple[str | None, str | None] | None
    consumer: tuple[str | None, str | None] | None
    scopes: frozenset[str] | None
    app_scopes: frozenset[str] | None
    workspace: str | None
    scheme: str | None
    project: str | None
    times: tuple[datetime | None, ...]


def naive(data: bytes) -> list[Naive]:
    """Read an answer by Python's own JSON reader: what has a wrong type counts as absent."""
    found = {}
    for sent in json.loads(data.decode("utf-8-sig", "replace"), strict=False):
        block = sent.get("oauth2AuthorizationCode")
        app = sent.get("providerApp")
        one = Naive(
            clean(sent["id"]),
            clean(sent["provider"]),
            clean(sent["status"]),
            party(sent.get("group"), "groupRef", "groupName"),
            party(sent.get("consumer"), "consumerRef", "consumerName"),
            granted(inner(block, "scopes")),
            granted(inner(app, "scopes")),
            text_of(sent, "providerWorkspaceRef"),
            text_of(sent, "authScheme"),
            text_of(sent, "projectId"),
            (
                moment(text_of(sent, "createTime")),
                moment(text_of(sent, "updateTime")),
                *(
                    moment(text_of(inner(block, token), name))
                    for token in ("accessToken", "refreshToken")
                    for name in ("issuedAt", "expiresAt")
                ),
            ),
        )
        found[one.id] = one
    return [one for _, one in sorted(found.items())]


def clean(text: str) -> str:
    """The text as people may see it: by what Unicode says of each character, not by lists of them."""
    kept = []
    for char in text:
        if unicodedata.category(char) == "Cs":
            kept.append("\ufffd")
        elif char in "\n\t":
            kept.append(char)
        elif unicodedata.category(char) in {"Cc", "Zl", "Zp"}:
            # What ends a line for Python, which separates the unit separator from the other three.
            kept.append(" " if len(f"{char}.".splitlines()) > 1 else "")
        elif unicodedata.bidirectional(char) not in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}:
            kept.append("" if char in "\u061c\u200e\u200f" else char)
    return "".join(kept).replace("<{%", "< {%")


def inner(value: Any, key: str) -> Any:
    """A field of an object, None where it isn't one."""
    return value.get(key) if isinstance(value, dict) else None


def text_of(value: Any, key: str) -> str | None:
    """A field that is text."""
    found = inner(value, key)
    return clean(found) if isinstance(found, str) else None


def party(value: Any, ref: str, name: str) -> tuple[str | None, str | None] | None:
    """A group or a consumer."""
    return (text_of(value, ref), text_of(value, name)) if isinstance(value, dict) else None


def granted(value: Any) -> frozenset[str] | None:
    """The scopes in a string, a list or a list of lists; None if there is anything else in it."""
    if isinstance(value, str):
        return frozenset(clean(value).split())
    if not isinstance(value, list):
        return None
    names: list[str] = []
    for item in value:
        parts = item if isinstance(item, list) else [item]
        if not all(isinstance(part, str) for part in parts):
            return None
        names += [scope for part in parts for scope in clean(part).split()]
    return frozenset(names)


def moment(text: str | None) -> datetime | None:
    """An RFC 3339 time, to the microsecond."""
    match = re.fullmatch(
        r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))", text or "", re.ASCII
    )
    if match is None:
        return None
    *whole, fraction, sign, hours, minutes = match.groups()
    year, month, day, hour, minute, second = map(int, whole)
    away = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        local = datetime(year, month, day, hour, minute, second, int(f"{fraction or 0:0<6}"[:6]), timezone.utc)
        return local + away if sign == "-" else local - away
    except (ValueError, OverflowError):
        return None


def as_read(inventory: Inventory) -> list[Naive]:
    """What an inventory says of the same."""
    found = []
    for entry in sorted(inventory, key=lambda entry: entry.connection.id):
        one, seen = entry.found
        app = one.provider_app
        access = seen.access_token
        refresh = None if seen.refresh_token is UNSET else seen.refresh_token
        texts = (
            one.create_time,
            seen.update_time,
            *(getattr(token, name, None) for token in (access, refresh) for name in ("issued_at", "expires_at")),
        )
        found.append(
            Naive(
                one.id,
                one.provider,
                str(seen.status),
                None if one.group is None else (one.group.ref, one.group.name),
                None if one.consumer is None else (one.consumer.ref, one.consumer.name),
                None if one.scopes is None else frozenset(one.scopes),
                None if app is None or app.scopes is None else frozenset(app.scopes),
                one.provider_workspace_ref,
                one.auth_scheme,
                one.project_id,
                tuple(None if text is None else parse_time(text) for text in texts),
            )
        )
    return found


def timeless(read: list[Naive]) -> list[Naive]:
    """The same without times, which are read in more forms than RFC 3339 has."""
    return [one._replace(times=()) for one in read]


def lists(inventory: Inventory) -> list[Any]:
    """All that programs get of an inventory."""
    return [(*entry.found, entry.project) for entry in inventory]


def configuration_of(content: Mapping[str, Any]) -> Configuration:
    """A configuration as the audit reads it."""
    return parse(json.dumps(content), "policy-config.json")


def packed(content: Mapping[str, Any]) -> Configuration:
    """The same as the engine hands it to the pack."""
    return configured(merged(ANNOUNCED, content), RULES)


ANNOUNCED: Final = Direct(Servicer(environ={})).GetAnalyzerInfo(None)
REPORT_SCHEMA: Final = json.loads((resources.files(reports) / "report.schema.json").read_bytes())
VALIDATOR: Final = Draft202012Validator(REPORT_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
LEAST: Final = {"id": "c", "provider": "p", "status": "working"}


class TestReading:
    """Valid answers."""

    @examples(200)
    @given(encoded(answers))
    @example(b"[]")
    def test_every_valid_answer_keeps_its_meaning(self, data: bytes) -> None:
        """It is read, and says what it says to a reader that knows nothing but JSON."""
        expected = naive(data)
        assert as_read(Inventory.from_answer(data)) == expected
        assert as_read(Inventory.for_rules(data)) == expected
        assert CANARY not in repr(lists(Inventory.for_rules(data)))

    @examples(100)
    @given(encoded(answers))
    def test_fast_and_slow_reader_agree(self, data: bytes) -> None:
        """In everything that rules look at, what programs get, what is kept, and what every rule says."""
        assert_same(data)

    @examples(100)
    @given(encoded(answers))
    def test_documents_and_what_is_kept_lose_nothing(self, data: bytes) -> None:
        """What went through a state, or through a file of --save, is what was read, and is written the same again."""
        read = Inventory.from_answer(data, "asked")
        written = read.documents()
        back = Inventory.from_documents(*written, "asked")
        assert lists(back) == lists(read)
        assert back.documents() == written
        kept = Inventory.from_saved(read.saved("asked"))
        assert lists(kept) == lists(read)
        assert CANARY not in "".join(written)

    @examples(80)
    @given(answers, st.randoms(use_true_random=False), configurations)
    def test_the_order_of_an_answer_means_nothing(
        self, sent: list[dict[str, Any]], chance: Any, content: dict[str, Any]
    ) -> None:
        """Whatever the order of connections and of their fields: the same documents, the same verdict."""
        other = [{key: one[key] for key in chance.sample(list(one), len(one))} for one in sent]
        chance.shuffle(other)
        first, second = (json.dumps(value).encode() for value in (sent, other))
        assert Inventory.from_answer(first).documents() == Inventory.from_answer(second).documents()
        configuration = configuration_of(content)
        one, two = (evaluate(Inventory.for_rules(data), configuration, NOW) for data in (first, second))
        assert one == two


CREDIBLE: Final = re.compile(
    r"expected a JSON array of connections(, got .+|: .+)"
    r"|connections\[\d+\] (has no \"(id|provider|status)\"|is .+, not an object)"
    r'|the API lists connection ".*" twice, with different content'
)
"""What may be said of an answer that can't be read."""


class TestRuinedAnswers:
    """What is no answer any more."""

    @examples(300)
    @given(ruined)
    @example(b"")
    @example(b"{}")
    @example(json.dumps({"connections": [LEAST]}).encode())
    @example(json.dumps([LEAST, {**LEAST, "id": 5}]).encode())
    def test_is_one_clear_error_or_read_with_gaps(self, data: bytes) -> None:
        """Nothing else is raised, and nothing that was listed is lost without a word."""
        assert_same(data)
        error, read = "", Inventory()
        try:
            read = Inventory.from_answer(data)
        except AnswerError as caught:
            error = str(caught)
        if not error:
            assert timeless(as_read(read)) == timeless(naive(data))
            return
        assert CREDIBLE.fullmatch(error)
        assert one_line(error) == error
        self.names_the_entry(data, error)

    @staticmethod
    def names_the_entry(data: bytes, text: str) -> None:
        """Check that an error about an entry is about the first that is wrong."""
        match = re.match(r"connections\[(\d+)\]", text)
        if match is None:
            return
        sent = json.loads(data.decode("utf-8-sig", "replace"), strict=False)
        wrong = [
            position
            for position, one in enumerate(sent)
            if not all(isinstance(inner(one, key), str) for key in ("id", "provider", "status"))
        ]
        assert int(match[1]) == wrong[0]


# The roads to a verdict


class Judged(NamedTuple):
    """What is said of connections, however it was come by."""

    findings: list[tuple[Any, ...]]
    not_evaluated: list[tuple[str, str, str]]


def judged(evaluation: Evaluation) -> Judged:
    """An evaluation."""
    return Judged(
        [
            (f.rule, f.connection, f.fingerprint, f.message, f.remediation, f.state.value, f.enforcement.value)
            for f in evaluation.findings
        ],
        [(item.rule, item.connection, item.reason) for item in evaluation.not_evaluated],
    )


def reported(run: Run) -> Judged:
    """A JSON report, which fits its schema."""
    document = run.report
    assert not list(VALIDATOR.iter_errors(document))
    names = ("rule", "connection", "fingerprint", "message", "remediation", "state", "enforcement")
    return Judged(
        [tuple(found[name] for name in names) for found in document["findings"]],
        [(item["rule"], item["connection"], item["reason"]) for item in document["notEvaluated"]],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of all examples lie, each over the one before."""
    return tmp_path_factory.mktemp("properties")


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """The API."""
    with Sandbox(connections=[], api_key=KEY) as running:
        yield running


def command(folder: Path, content: Mapping[str, Any], now: datetime, *arguments: str | Path, **variables: str) -> Run:
    """Run the audit command with a configuration, as of a time."""
    file = folder / "policy-config.json"
    file.write_text(json.dumps(content), "utf-8")
    return audit_here(
        "--config", file, "--as-of", now.isoformat(), "--quiet", "--format", "json", *arguments, **variables
    )


class TestVerdict:
    """One evaluation, whichever way connections and configuration come to it."""

    @examples(60)
    @given(encoded(answers), configurations, moments)
    def test_saved_answer_state_and_pack_agree(
        self, folder: Path, data: bytes, content: dict[str, Any], now: datetime
    ) -> None:
        """The audit of the answer, of the state and of what was kept say what the pack says of the documents."""
        read = Inventory.from_answer(data)
        properties = documents(read) | {"project": ""}
        through = inventory_of(struct(properties))
        assert isinstance(through, Inventory)
        expected = judged(evaluate(through, packed(content), now))
        resource = {"urn": "urn:pulumi:dev::p::t::all", "type": "pulumi-python:dynamic/ampersand:Connections"}
        state = {"version": 3, "deployment": {"resources": [{**resource, "inputs": properties}]}}
        for name, text in {
            "answer.json": data,
            "saved.json": read.saved(),
            "state.json": json.dumps(state).encode(),
        }.items():
            (folder / name).write_bytes(text)
            run = command(folder, content, now, "--input", folder / name)
            assert reported(run) == expected, name
            assert run.code == int(any(f[5:] == ("open", "mandatory") for f in expected.findings))

    @examples(40)
    @given(encoded(lists_of(connections(of_id=ids))), configurations, moments)
    def test_saved_answer_and_data_source_agree(
        self, folder: Path, data: bytes, content: dict[str, Any], now: datetime
    ) -> None:
        """What a pack shows of a stack's data source is what the audit says of the answer.

        But for what could not be verified: that a pack says of the data source first, then of all of them together.
        """
        (folder / "answer.json").write_bytes(data)
        content = all_reported(content)
        pack = Pack(Direct(Servicer(environ={}, now=lambda: now)))
        pack.configure_stack({})
        pack.configure(content)
        said = [line for line in pack.deploy(documents(Inventory.from_answer(data)) | {"project": ""}) if listed(line)]
        run = command(folder, content, now, "--input", folder / "answer.json")
        name = "verifiable-connections"
        assert sorted(line for line in said if line[0] != name) == sorted(
            line for line in shown(run) if line[0] != name
        )
        causes: dict[str, list[str]] = {}
        for rule, _, text in said:
            if rule == name:
                about, _, cause = re.sub(r"\. (Tolerated\. )?Unjudged is not passed.*", "", text).partition("): ")
                causes.setdefault(about, []).append(cause)
        told = dict(f["message"].split("): ", 1) for f in run.report["findings"] if f["rule"] == name)
        assert told.keys() == causes.keys()
        for about, several in causes.items():
            # Together they may be too long for a message.
            whole, cut, _ = told[about].partition("…")
            assert "; ".join(several).startswith(whole) if cut else "; ".join(several) == whole

    @examples(40)
    @given(lists_of(connections(of_id=ids)), configurations, moments)
    def test_live_answer_and_gate_agree(
        self, folder: Path, server: Sandbox, sent: list[dict[str, Any]], content: dict[str, Any], now: datetime
    ) -> None:
        """The audit of a live API says to the letter what the pack says of its gate."""
        server.connections = sent
        content = {rule: entry for rule, entry in content.items() if rule != "readable-connections"} | {
            "readable-connections": {"enforcementLevel": "mandatory", "gate": True}
        }
        content = all_reported(content)
        pack = Pack(Direct(Servicer(environ=server.environment, now=lambda: now)))
        pack.configure_stack({})
        pack.configure(content)
        run = command(folder, content, now, "--project", server.project, **server.environment)
        assert sorted(filter(listed, pack.deploy())) == sorted(shown(run))

    @examples(40)
    @given(lists_of(connections(of_id=ids)), st.booleans(), moments)
    def test_live_and_saved_answer_agree(
        self, folder: Path, server: Sandbox, sent: list[dict[str, Any]], in_list: bool, now: datetime
    ) -> None:
        """Asked for everything, the live API tells what the saved answer has, whether its list leaves grants out."""
        # A file doesn't say which project was asked for.
        server.connections = [{**one, "projectId": "proj_1"} for one in sent]
        server.list_credentials = in_list
        (folder / "answer.json").write_text(json.dumps(server.connections), "utf-8")
        saved = command(folder, ALL_RULES, now, "--input", folder / "answer.json")
        live = command(folder, ALL_RULES, now, "--project", server.project, "--details", "always", **server.environment)
        assert reported(live) == reported(saved)


def all_reported(content: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration, so that a pack leaves out no finding."""
    return {
        rule: {**entry, "maxReported": 1000} if isinstance(entry, dict) else entry for rule, entry in content.items()
    }


def listed(line: tuple[str, str, str]) -> bool:
    """Whether what a pack says is a finding: how many there are more than are tolerated is a line of its own."""
    return "more than are tolerated" not in line[2]


def shown(run: Run) -> list[tuple[str, str, str]]:
    """What a pack shows of what the audit reported: rule, level and line."""
    lines = []
    for found in run.report["findings"]:
        level = found["enforcement"] if found["state"] == "open" else "advisory"
        text = {
            "open": "{message}. {remediation}",
            "tolerated": "{message}. Tolerated. {remediation}",
            "waived": "{message}. Waived until {waiver[expires]}, approved by {waiver[approvedBy]}: {waiver[reason]}",
        }[found["state"]].format(**found)
        lines.append((found["rule"], level, text))
    return lines


class TestMonotony:
    """What can't get worse, or better, by what."""

    @examples(100)
    @given(st.data(), answers)
    def test_a_waiver_never_adds_a_finding(self, data: st.DataObject, sent: list[dict[str, Any]]) -> None:
        """With more waivers, in force or expired, no finding is open that wasn't, and none is lost."""
        inventory = Inventory.from_answer(json.dumps(sent).encode())
        found = {finding.rule for finding in evaluate(inventory, EVERY_RULE, NOW).findings}
        # Of one that finds nothing, there is nothing to waive.
        rule = data.draw(st.sampled_from(sorted(found & waivers.keys())))
        added = data.draw(st.lists(waivers[rule], min_size=1, max_size=4))
        before, *later = (
            evaluate(inventory, with_options(rule, waivers=added[:number]), NOW) for number in range(len(added) + 1)
        )
        for after in later:
            assert opened(after) <= opened(before)
            assert [f.fingerprint for f in after.findings] == [f.fingerprint for f in before.findings]
            before = after

    @examples(100)
    @given(answers, st.sampled_from([rule.id for rule in RULES if issubclass(rule.options, TolerableOptions)]))
    def test_tolerating_more_never_adds_a_finding(self, sent: list[dict[str, Any]], rule: str) -> None:
        """A larger tolerance opens nothing, tolerates all or nothing, and no more than it allows."""
        inventory = Inventory.from_answer(json.dumps(sent).encode())
        before = evaluate(inventory, EVERY_RULE, NOW)
        for allowed in range(5):
            after = evaluate(inventory, with_options(rule, tolerate=allowed), NOW)
            assert opened(after) <= opened(before)
            states = [finding.state for finding in after.findings if finding.rule == rule]
            assert states in ([State.OPEN] * len(states), [State.TOLERATED] * len(states))
            assert (State.TOLERATED in states) == (0 < len(states) <= allowed)
            before = after

    @examples(100)
    @given(st.data(), answers, spans(0, 400))
    def test_later_nothing_is_young_again(
        self, data: st.DataObject, sent: list[dict[str, Any]], later: timedelta
    ) -> None:
        """What has expired, is old or idle at one time is so at each later time."""
        answer = json.dumps(sent).encode()
        inventory = Inventory.from_answer(answer)
        # Around a time in the answer, for there a verdict changes.
        marks = [mark for one in naive(answer) for mark in one.times if mark and 1900 < mark.year < 9000]
        now = data.draw(st.sampled_from(sorted(marks) or [NOW])) + data.draw(spans(-8, 40))
        aging = {"token-expiry", "access-token-expiry", "credential-age", "idle-connections"}
        early, late = (
            {(f.rule, f.connection) for f in evaluate(inventory, EVERY_RULE, at).findings if f.rule in aging}
            for at in (now, now + later)
        )
        assert early <= late


def with_options(rule: str, **options: Any) -> Configuration:
    """Every rule, one of them with more options."""
    entry = ALL_RULES.get(rule, {})
    return configuration_of({**ALL_RULES, rule: {**(entry if isinstance(entry, dict) else {}), **options}})


def opened(evaluation: Evaluation) -> set[str]:
    """The fingerprints of open findings."""
    return {finding.fingerprint for finding in evaluation.findings if finding.state is State.OPEN}
