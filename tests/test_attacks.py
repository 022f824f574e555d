"""Attacks on those who read connections and gate by them: the threats of `SECURITY.md` that no other test is about."""

from __future__ import annotations

import base64
import json
import pickle
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import pytest

from audit_runs import AS_OF, BAD, CLEAN, SCRIPT, SECONDS, audit, audit_here, environment, write
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand_policies.baseline import BaselineError, read_baseline
from pulumi_ampersand_policies.configuration import Configuration, ConfigurationError, parse
from pulumi_ampersand_policies.evaluation import evaluate
from pulumi_ampersand_policies.gate import Gate, read, trusted
from pulumi_ampersand_policies.reports import FORMATS
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.sources import Filters, from_file
from pulumi_ampersand_policies.testing import NOW, connection, grant, inventory
from raw_server import RawServer, answer
from stack import ROOT

TYPE: Final = "pulumi-python:dynamic/ampersand:Connections"


# Names that mean something to URLs, shells and file systems.

NAMES: Final = (
    "../../x",
    "..",
    "a/b",
    "a%2fb",
    "a%00b",
    "a?provider=x",
    "a#b",
    "a&provider=x",
    "a;b",
    "a:oauth-update",
    "//evil.test/a",
    "http://evil.test/a",
    "a\\b",
    "a\r\nX-Injected: 1",
    "a b+c",
    "é\u202e",
)


def asked(server: RawServer) -> list[tuple[str, list[str], dict[str, str]]]:
    """The method, the path's segments and the query of each request, decoded once."""
    found = []
    for request in server.requests:
        head, *fields = request.split("\r\n")
        method, target, version = head.split(" ")
        assert version == "HTTP/1.1"
        assert not any(field.startswith("X-Injected") for field in fields)
        path, _, query = target.partition("?")
        segments = [unquote(segment) for segment in path.split("/")[1:]]
        found.append((method, segments, dict(parse_qsl(query, keep_blank_values=True))))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_names_stay_names_in_requests(name: str) -> None:
    """A project, a filter or an ID of any spelling is one segment or one value, whoever chose it."""
    with RawServer(answer(b"[]")) as server:
        filters = ("--provider", name, "--group-ref", name, "--consumer-ref", name)
        run = audit_here("--project", name, *filters, AMP_API_URL=server.url)
        read_ = asked(server)
    expected = {"provider": name, "groupRef": name, "consumerRef": name}
    if name == "..":
        # Every library resolves it away, whatever it is encoded as.
        assert (run.code, read_) == (2, [])
        assert "can't be named" in run.err
    else:
        assert read_ == [("GET", ["v1", "projects", name, "connections"], expected)]


@pytest.mark.parametrize("name", [name for name in NAMES if name != ".."])
def test_ids_that_the_api_sends_stay_ids(name: str) -> None:
    """Details are asked for by the IDs of a list, which a hostile API chooses."""
    listed = connection(name, oauth2AuthorizationCode=None)
    with RawServer(answer(json.dumps([listed]).encode()), answer(json.dumps(listed).encode())) as server:
        audit_here("--project", "crm", "--details", "always", AMP_API_URL=server.url)
        _, (method, segments, query) = asked(server)
    # What steers a terminal was taken out of it while it was read.
    shown = Inventory.from_answer(json.dumps([listed]).encode())
    (entry,) = shown
    assert (method, segments) == ("GET", ["v1", "projects", "crm", "connections", entry.connection.id])
    assert query == {"includeRefreshToken": "true"}


@pytest.mark.parametrize("name", [*NAMES, "$(touch x)", "`touch x`", "a'; touch x; '", "a\n touch x", "-h"])
def test_a_command_to_copy_runs_nothing_else(name: str) -> None:
    """The remedy of a finding is a shell command; an ID that a hostile API chose is one word of it."""
    found = evaluate(inventory({**BAD, "id": name}), parse("{}", "policy.json"), NOW)
    (finding,) = [finding for finding in found.findings if finding.rule == "no-bad-credentials"]
    command = shlex.split(finding.remediation.partition(": ")[2])
    assert command[:2] == ["pulumi-ampersand", "reauth"]
    assert len(command) == 3


def test_what_is_kept_stays_in_its_folder(tmp_path: Path) -> None:
    """Names of projects, which the API chooses, lead to no other place."""
    sent = [connection(f"conn_{number}", projectId=name) for number, name in enumerate((*NAMES, "/etc/x", "C:\\x"))]
    write(tmp_path, "answer.json", sent)
    audit(tmp_path, "--input", "answer.json", "--save", "kept", "--as-of", AS_OF)
    assert {path.name for path in tmp_path.iterdir()} == {"answer.json", "kept"}
    kept = list((tmp_path / "kept").iterdir())
    assert len(kept) == len(sent)
    assert all(path.is_file() and path.name.isascii() and path.name.isprintable() for path in kept)


# JSON that is too much.

DEPTHS: Final = (*range(1, 1200, 13), *range(960, 1010), 5_000, 100_000)
"""Around the depth at which Python gives up, and far beyond it."""


def nested(depth: int) -> Iterator[str]:
    """JSON of that depth."""
    yield "[" * depth + "]" * depth
    yield '{"a":' * depth + "1" + "}" * depth


ENTRY: Final = '{"id": "a", "provider": "p", "status": "working", '
SECRET: Final = '{"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": %s}'
STATE: Final = json.dumps(
    {"deployment": {"resources": [{"urn": "a::b", "type": TYPE, "inputs": {"connections": "%s"}}]}}
).replace('"%s"', "%s")
FILES: Final[Mapping[str, str]] = {
    "answer": "%s",
    "unknown-field": "[" + ENTRY + '"x": %s}]',
    "known-field": "[" + ENTRY + '"providerMetadata": %s}]',
    "scopes": "[" + ENTRY + '"providerApp": {"scopes": %s}}]',
    "token": "[" + ENTRY + '"oauth2AuthorizationCode": {"accessToken": %s}}]',
    "saved": '{"v": 1, "project": "p", "connections": [], "observations": %s}',
    "state": '{"deployment": {"resources": %s}}',
    "state-beside": '{"x": %s, "deployment": {"resources": []}}',
    "state-inputs": STATE,
}


@pytest.mark.parametrize("kind", FILES)
def test_no_depth_of_a_file_is_a_crash(kind: str, tmp_path: Path) -> None:
    """Whatever nests how deep: it is read, or it is an error that says so; in one go and entry by entry."""
    file = tmp_path / "deep.json"
    failed = 0
    for depth in DEPTHS:
        for deep in nested(depth):
            file.write_text(FILES[kind].replace("%s", deep))
            for for_rules in (False, True):
                part = from_file(str(file), Filters(), for_rules=for_rules)
                failed += part.source.error is not None
                assert part.source.error or not part.inventory.unread
    assert failed


def test_no_depth_of_a_shown_secret_is_a_crash(tmp_path: Path) -> None:
    """A secret of a state is JSON in JSON."""
    file = tmp_path / "deep.json"
    for depth in DEPTHS:
        for deep in nested(depth):
            file.write_text(STATE.replace("%s", SECRET.replace("%s", json.dumps(deep)) + ', "observations": "x"'))
            assert from_file(str(file), Filters()).source.error


CONFIGURATIONS: Final[Mapping[str, str]] = {
    "all": "%s",
    "rule": '{"token-expiry": %s}',
    "level": '{"token-expiry": {"enforcementLevel": %s}}',
    "number": '{"token-expiry": {"minDays": %s}}',
    "waivers": '{"token-expiry": {"waivers": %s}}',
    "waiver": '{"token-expiry": {"waivers": [{"connection": %s}]}}',
    "scopes": '{"required-scopes": {"scopes": {"*": %s}}}',
    "gate": '{"readable-connections": {"gate": %s}}',
    "schema-constant": '{"connection-schema": {"schema": {"const": %s}}}',
}


def configured(text: str) -> Configuration | tuple[str, ...]:
    """A configuration, or what is wrong with it, each a line that names the file."""
    try:
        return parse(text, "policy.json")
    except ConfigurationError as error:
        problems = error.problems
    assert problems
    assert all(problem.startswith("policy.json") for problem in problems)
    # The names of all rules are among what the longest one lists.
    assert max(map(len, problems)) < 2_500
    return problems


def crashed(configuration: Configuration, *connections: Any) -> list[str]:
    """The rules that crash, judging by a configuration."""
    found = evaluate(inventory(*connections), configuration, NOW)
    return [item.rule for item in found.not_evaluated if item.crashed]


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_no_depth_of_a_configuration_is_a_crash(kind: str) -> None:
    """It is a mistake like others, in each place; only a constant may be as deep as it likes."""
    for depth in DEPTHS:
        for deep in nested(depth):
            made = configured(CONFIGURATIONS[kind].replace("%s", deep))
            assert isinstance(made, tuple) or kind == "schema-constant" or depth == 1, depth


@pytest.mark.parametrize("keyword", ["not", "items", "additionalProperties"])
def test_no_depth_of_a_schema_is_a_crash(keyword: str) -> None:
    """A JSON Schema is a mistake where it nests deeper than can be checked, and judges where it doesn't."""
    for depth in (1, 50, *range(100, 200, 7), 300, 500, 900, 5_000):
        schema = f'{{"{keyword}":' * depth + "{}" + "}" * depth
        made = configured(f'{{"connection-schema": {{"schema": {schema}}}}}')
        if isinstance(made, tuple):
            assert depth > 50
        else:
            assert crashed(made, CLEAN) == []


@pytest.mark.parametrize(
    "schema",
    [
        '{"$ref": "#"}',
        '{"allOf": [{"not": {"$ref": "#"}}]}',
        '{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}',
    ],
    ids=["itself", "below", "in-turns"],
)
def test_a_schema_without_an_end_is_no_pass(schema: str) -> None:
    """One that refers to itself can't be judged by: it is a mistake, or no connection passes."""
    made = configured(f'{{"connection-schema": {{"schema": {schema}}}}}')
    assert isinstance(made, tuple) or crashed(made, CLEAN) == ["connection-schema"]


def past(content: str) -> str | None:
    """Why a report is no baseline; None if it is one."""
    try:
        read_baseline(content.encode())
    except BaselineError as error:
        return str(error)
    return None


def test_no_depth_of_a_baseline_is_a_crash() -> None:
    """Nor of an earlier report."""
    report = '{"schemaVersion": 1, "asOf": "2026-11-24T08:00:00Z", "findings": %s}'
    for depth in DEPTHS:
        for deep in nested(depth):
            assert past(deep)
            assert past(report.replace("%s", deep)) or deep == "[]"
            assert past(report.replace("%s", f'[], "x": {deep}')) or depth < 100_000  # versions of Python differ


VALUES: Final = (
    *("1e999", "-1e999", "NaN", "1e308", "-1", "0.5", '"7"', "null"),
    *("9" * 4000, "9" * 5000, f'"{"x" * 10**5}"'),
)
NEEDED: Final = {"scopes": '{"*": ["a"]}', "workspaces": '{"*": "a"}', "schema": "{}", "allow": '["a"]'}


def test_no_number_in_a_configuration_is_a_crash() -> None:
    """Every option of every rule, with numbers and text of any size: a mistake of a line, or it is judged by."""
    judged = refused = 0
    for rule in RULES:
        for name, part in rule.options.model_fields.items():
            key = part.alias or name
            needed = [group[0] for group in rule.needed if key not in group]
            others = "".join(f', "{each}": {NEEDED.get(each, "[]")}' for each in needed)
            for value in VALUES:
                made = configured(f'{{"{rule.id}": {{"{key}": {value}{others}}}}}')
                refused += isinstance(made, tuple)
                if not isinstance(made, tuple):
                    judged += 1
                    assert crashed(made, CLEAN, BAD) == []
    assert judged > 30
    assert refused > 300


@pytest.mark.parametrize("digits", [9, 4_000, 5_000])
def test_a_tolerance_of_many_digits_is_no_crash(digits: int) -> None:
    """It is a percentage, or a mistake."""
    made = configured(f'{{"no-bad-credentials": {{"tolerate": "50.{"0" * digits}%"}}}}')
    if isinstance(made, tuple):
        assert digits > 9
    else:
        assert len(evaluate(inventory(CLEAN, BAD), made, NOW).findings) == 1


@pytest.mark.parametrize(
    "value",
    ["1e999", "-1e400", "9" * 5000, '"' + "\\ud800" * 1000 + '"', '"' + "x" * 10**5 + '"'],
    ids=["infinite", "minus-infinite", "digits", "surrogates", "text"],
)
def test_no_number_or_text_of_an_answer_is_a_crash(value: str, tmp_path: Path) -> None:
    """In every place of an entry, read for rules and for programs: judged, or an error of a line."""
    file = tmp_path / "huge.json"
    whole = json.dumps(connection("conn_1"))
    for name in ("id", "status", "createTime", "updateTime", "providerWorkspaceRef", "group", "providerMetadata"):
        found = json.loads(whole)
        found[name] = "@"
        file.write_text(f"[{json.dumps(found)}]".replace('"@"', value))
        for for_rules in (False, True):
            part = from_file(str(file), Filters(), for_rules=for_rules)
            assert len(part.source.error or "") < 1_000
            if part.source.error is None:
                evaluation = evaluate(part.inventory, parse('{"all": "mandatory"}', "policy.json"), NOW)
                assert [item for item in evaluation.not_evaluated if item.crashed] == []


HUGE: Final = ("`" * 9_999, "|" * 9_999, "\\" * 9_999, ";=" * 5_000, "<{%" * 3_000, "]]>" * 3_000, " \n" * 5_000 + "x")


def test_no_text_keeps_a_form_from_ending(tmp_path: Path) -> None:
    """Text on which a careless expression would work for hours: every form of the report is written."""
    sent = [
        {**BAD, "id": text + str(number), "provider": text, "group": {"groupRef": text, "groupName": text}}
        for number, text in enumerate(HUGE)
    ]
    write(tmp_path, "answer.json", sent)
    outputs = [option for name in FORMATS for option in ("--format", f"{name}={name}.out")]
    run = audit(tmp_path, "--input", "answer.json", "--as-of", AS_OF, *outputs)
    assert run.code == 1
    assert all((tmp_path / f"{name}.out").stat().st_size for name in FORMATS)


# Keys that are there twice.

TWICE: Final = {
    "rule": '{"no-bad-credentials": "mandatory", "no-bad-credentials": "disabled"}',
    "all": '{"all": "mandatory", "all": "disabled"}',
    "level": '{"no-bad-credentials": {"enforcementLevel": "mandatory", "enforcementLevel": "disabled"}}',
    "waiver": '{"token-expiry": {"waivers": [{"connection": "a", "connection": "*", "reason": "x", "approvedBy": "x", '
    '"expires": "2099-01-01"}]}}',
    "gate": '{"readable-connections": {"gate": {"provider": "a", "provider": "b"}}}',
    "schema": '{"connection-schema": {"schema": {"required": ["id"], "required": []}}}',
    "escaped": '{"no-bad-credentials": "mandatory", "no-bad-credential\\u0073": "disabled"}',
}


@pytest.mark.parametrize("kind", TWICE)
def test_a_configuration_says_nothing_twice(kind: str, tmp_path: Path) -> None:
    """What a reviewer sees first isn't overridden by what stands further down: it is a mistake, on every level."""
    write(tmp_path, "answer.json", [BAD])
    (tmp_path / "policy.json").write_text(TWICE[kind])
    run = audit(tmp_path, "--input", "answer.json", "--config", "policy.json")
    assert (run.code, run.out) == (2, b"")
    assert run.err.startswith("policy.json: ")
    assert run.err.endswith(" is there twice\n")


@pytest.mark.parametrize("for_rules", [False, True], ids=["for-programs", "for-rules"])
@pytest.mark.parametrize("odd", [False, True], ids=["as-promised", "entry-by-entry"])
def test_of_what_an_answer_says_twice_the_last_counts(odd: bool, for_rules: bool, tmp_path: Path) -> None:
    """As with nearly all readers of JSON, and the same in each of ours: no reader sees what another doesn't."""
    file = tmp_path / "answer.json"
    beside = ', "createTime": 5' if odd else ""
    for first, last in (("working", "bad_credentials"), ("bad_credentials", "working")):
        file.write_text(f'[{{"id": "a", "provider": "p", "status": "{first}", "status": "{last}"{beside}}}]')
        (entry,) = from_file(str(file), Filters(), for_rules=for_rules).inventory
        assert entry.found[1].status == last
        assert entry.connection.healthy is (last == "working")


# Patterns.


def test_globs_take_time_in_proportion() -> None:
    """Globs of many stars, in scopes and waivers, on text that a backtracking matcher would never be done with."""
    glob, text = "*a" * 3_000 + "*b*", "a" * 100_000
    sent = connection(
        "conn_1",
        status="bad_credentials",
        group={"groupRef": text},
        oauth2AuthorizationCode=grant(scopes=[f"{text}{number}" for number in range(20)]),
    )
    waivers = [{"group": glob, "reason": "x", "approvedBy": "x", "expires": "2099-01-01"}] * 20
    made = parse(
        json.dumps(
            {
                "forbidden-scopes": {"scopes": {"*": [glob] * 20}},
                "allowed-scopes": {"scopes": {"*": [glob] * 20}},
                "no-bad-credentials": {"waivers": waivers},
            }
        ),
        "policy.json",
    )
    found = evaluate(inventory(sent), made, NOW).findings
    rules = {finding.rule for finding in found if finding.waiver is None}
    assert {"no-bad-credentials", "allowed-scopes"} <= rules
    assert "forbidden-scopes" not in rules


def test_an_expression_that_never_ends_can_be_ended(tmp_path: Path) -> None:
    """A customer's workspace on which the configuration's expression runs for ages: ending the run is no pass."""
    write(tmp_path, "answer.json", [connection("conn_1", providerWorkspaceRef="a" * 60 + "!")])
    write(tmp_path, "policy.json", {"busy": {"workspaces": {"*": "(a+)+"}}})
    (tmp_path / "trace.py").write_text(BUSY)
    policy = ("--config", "policy.json", "--own", "trace:OWN")
    process = subprocess.Popen(
        [SCRIPT, "audit", "--input", "answer.json", *policy, "--format", "json=report"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    watch = threading.Timer(SECONDS, process.kill)
    watch.start()
    assert process.stdout.readline() == b"judging\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate()
    watch.cancel()
    assert process.returncode == 128 + signal.SIGTERM
    assert out == b""
    assert not (tmp_path / "report").exists()


BUSY: Final = """
from dataclasses import replace
from pulumi_ampersand_policies.rules import allowed_workspaces

def check(inventory, options, now):
    print("judging", flush=True)
    yield from allowed_workspaces.check(inventory, options, now)

OWN = [replace(allowed_workspaces.RULE, id="busy", check=check)]
"""
"""Says when the expression begins to be matched."""


# Files that run code: states, packs, and what lies in the current folder.


class _Evil:
    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (self._command,)


def state_of(connections: Any, observations: Any, **inputs: Any) -> dict[str, Any]:
    """A state with one data source."""
    held = {"connections": connections, "observations": observations, **inputs}
    resource = {"urn": f"urn:pulumi:dev::test::{TYPE}::crm", "type": TYPE, "inputs": held, "outputs": held}
    return {"version": 3, "deployment": {"resources": [resource]}}


def test_a_state_that_is_audited_runs_nothing(tmp_path: Path) -> None:
    """The engine's SDK unpickles a provider that a state names. Audits don't, whatever the state holds."""
    evil = base64.b64encode(pickle.dumps(_Evil(f"touch {tmp_path}/ran"))).decode()
    # It does run where it is unpickled.
    assert pickle.loads(base64.b64decode(evil)) == 0
    (tmp_path / "ran").unlink()
    state = state_of(*inventory(BAD).documents(), __provider=evil)
    write(tmp_path, "state.json", state)
    run = audit(tmp_path, "--input", "state.json", "--as-of", AS_OF, "--format", "json")
    assert ("no-bad-credentials", "conn_bad") in run.findings
    assert not (tmp_path / "ran").exists()


def test_a_pack_that_is_looked_at_runs_no_yaml(tmp_path: Path) -> None:
    """``doctor`` reads project files as data."""
    (tmp_path / "PulumiPolicy.yaml").write_text(f"runtime: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n")
    done = subprocess.run(
        [SCRIPT, "doctor", "--offline"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert "PulumiPolicy.yaml is no YAML: " in done.stdout
    assert not (tmp_path / "ran").exists()


def test_the_current_folder_is_not_imported_from(tmp_path: Path) -> None:
    """An audit in a checkout of somebody else's runs nothing of it, unless rules of one's own are asked for."""
    trap = f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__ + ' ')\n"
    names = ("click", "httpx", "jinja2", "json", "jsonschema", "msgspec", "own_rules", "pulumi_ampersand", "rich")
    for name in (*names, "sitecustomize", "tenacity", "usercustomize", "vl_convert"):
        (tmp_path / f"{name}.py").write_text(trap)
    write(tmp_path, "answer.json", [CLEAN])
    write(tmp_path, "policy.json", {"connection-schema": {"schema": {}}})
    outputs = [option for name in FORMATS for option in ("--format", f"{name}={name}.out")]
    run = audit(tmp_path, "--input", "answer.json", "--config", "policy.json", "--as-of", AS_OF, *outputs)
    assert run.code == 0
    assert not (tmp_path / "ran").exists()
    audit(tmp_path, "--input", "answer.json", "--own", "own_rules:OWN")
    assert (tmp_path / "ran").read_text().startswith("own_rules")


# States and saved files that somebody changed.


def changed(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """A JSON document with each of its parts, in turn, replaced by something of another type, or left out."""
    others: tuple[Any, ...] = (None, 5, [], {}, "x", [[]], 1e300, {"v": 1}) if path else ()
    yield from ((path, other) for other in others)
    children: Any = document if isinstance(document, list | dict) else ()
    for key, part in children.items() if isinstance(children, dict) else enumerate(children):
        for where, value in changed(part, (*path, key)):
            yield where, value
            if not where[len(path) + 1 :]:
                yield where, LEFT_OUT


LEFT_OUT: Final = object()


def with_part(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another part at a path."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if value is LEFT_OUT:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copy


FACTS: Final = {
    ("connections", "connections", "[]"),
    ("connections", "connections.0", "left out"),
    ("observations", "observations.0.status", '"x"'),
}
"""What an inventory is: whoever can write a state decides which connections it has, and how they are."""


@pytest.mark.parametrize("name", ["connections", "observations"])
def test_a_damaged_state_is_no_pass(name: str, tmp_path: Path) -> None:
    """Each part of both documents of another type or gone: an error, not evaluated, or still found."""
    documents = dict(zip(("connections", "observations"), map(json.loads, inventory(BAD).documents()), strict=True))
    silent = set()
    errors = count = 0
    for path, value in changed(documents[name]):
        texts = documents | {name: with_part(documents[name], path, value)}
        file = write(tmp_path, "state.json", state_of(*(json.dumps(text) for text in texts.values())))
        part = from_file(str(file), Filters())
        judged = evaluate(part.inventory, parse("{}", "policy.json"), NOW)
        said = {finding.rule for finding in judged.findings} | {item.rule for item in judged.not_evaluated}
        count += 1
        errors += part.source.error is not None
        if not said & {"no-bad-credentials", "readable-connections"}:
            silent.add((name, ".".join(map(str, path)), "left out" if value is LEFT_OUT else json.dumps(value)))
    assert count > 100
    assert errors > 20
    assert silent == {fact for fact in FACTS if fact[0] == name}


@pytest.mark.parametrize(
    ("version", "error"),
    [
        (2, "crm: the connections document is of a newer version; upgrade pulumi-ampersand"),
        (10**30, "crm: the connections document is of a newer version; upgrade pulumi-ampersand"),
        (0, "crm: the connections document can't be read"),
        (-1, "crm: the connections document can't be read"),
        ("1", "crm: the connections document can't be read"),
        (None, "crm: the connections document can't be read"),
    ],
)
def test_a_state_of_another_version_is_an_error(version: Any, error: str, tmp_path: Path) -> None:
    """It says what to do, and isn't judged by guesses."""
    connections, observations = (json.loads(text) for text in inventory(BAD).documents())
    write(tmp_path, "state.json", state_of(json.dumps({**connections, "v": version}), json.dumps(observations)))
    run = audit_here("--input", tmp_path / "state.json", "--as-of", AS_OF, "--format", "json")
    assert (run.code, run.findings) == (3, [("readable-connections", "")])
    assert run.report["sources"][0]["error"].startswith(error)


def test_more_in_a_state_changes_nothing(tmp_path: Path) -> None:
    """Fields that nobody knows, of any size, and resources of others."""
    connections, observations = (json.loads(text) for text in inventory(BAD).documents())
    more = {"verdict": "clean", "waivers": ["*"], "=status": "working", "x": "x" * 10**5}
    connections["connections"][0].update(more)
    state = state_of(json.dumps(connections | more), json.dumps(observations | more), **more)
    state["deployment"]["resources"] += [{"urn": "x::y", "type": "aws:s3:Bucket", "inputs": more}] * 100
    write(tmp_path, "state.json", state)
    run = audit_here("--input", tmp_path / "state.json", "--as-of", AS_OF, "--format", "json")
    assert (run.code, run.findings) == (1, [("no-bad-credentials", "conn_bad")])


# A pull request that changes a stack, or what it is judged by.

RECIPES: Final = ("github/ampersand-preview.yml", "gitlab/ampersand.gitlab-ci.yml")


def before_the_preview(recipe: str) -> tuple[str, str]:
    """A recipe for CI up to its preview, and from there on."""
    before, preview, after = (ROOT / "examples" / "ci" / recipe).read_text("utf-8").partition("pulumi preview")
    assert preview
    return before, after


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_check_what_pulumi_does_not(recipe: str) -> None:
    """Of a key that is there twice Pulumi hands on the last: so the configuration is checked before the preview."""
    before, _ = before_the_preview(recipe)
    assert re.search(r"pulumi-ampersand\"? config check \S*ampersand/policy-config\.json", before)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_gate_by_the_target_branch(recipe: str) -> None:
    """Version and configuration of the gate come from there, into a folder that the pull request's files aren't in."""
    before, after = before_the_preview(recipe)
    if recipe.startswith("github"):
        checkouts = before.split("uses: actions/checkout@")[1:]
        (own,) = [step for step in checkouts if "ref: ${{ github.base_ref }}\n" in step.partition("- name:")[0]]
        (folder,) = re.findall(r"^ +path: (\S+)$", own.partition("- name:")[0], re.MULTILINE)
        requirements, configuration = f"{folder}/ampersand", f"$GITHUB_WORKSPACE/{folder}/ampersand"
    else:
        assert re.search(
            r'git fetch .*"\$CI_DEFAULT_BRANCH"\n.*git archive FETCH_HEAD ampersand \| tar .*"\$gate"', before
        )
        requirements = configuration = "$gate/ampersand"
    assert re.search(re.escape(requirements) + r"/requirements\.txt.*\n.*pulumi-ampersand\"? pack init", before)
    assert re.findall(r'--policy-pack-config "(.+)"', after)[:1] == [f"{configuration}/policy-config.json"]


def test_a_stack_can_not_lead_a_pinned_gate_elsewhere() -> None:
    """A gate of the pack's configuration that names its projects reads those, by the key and at the API that CI has."""
    projects = [Project(name="crm", connections=[BAD]), Project(id="proj_2", name="empty", connections=[])]
    with (
        Sandbox(projects=projects) as api,
        RawServer(b"") as evil,
    ):
        stack = {
            "ampersand:project": "empty",
            "ampersand:apiUrl": evil.url,
            "ampersand:apiKey": "another",
            "ampersand:proxy": evil.url,
            "ampersand:gate": "false",
            "ampersand:details": "never",
        }
        for gate in (Gate(projects=["crm"]), Gate(projects=["crm"], provider="salesforce")):
            found = read(gate, trusted(gate, stack, api.environment), api.environment)
            assert [entry.connection.id for entry in found] == ["conn_bad"]
        assert evil.requests == []


def test_waivers_can_be_taken_out_of_a_pull_requests_hands(tmp_path: Path) -> None:
    """Who runs the audit can ignore all waivers, whatever the configuration says; a waived finding stays visible."""
    waiver = {"connection": "*", "reason": "x", "approvedBy": "me", "expires": "9999-12-31"}
    write(tmp_path, "answer.json", [BAD])
    write(tmp_path, "policy.json", {"no-bad-credentials": {"waivers": [waiver]}})
    arguments = ("--input", "answer.json", "--config", "policy.json", "--as-of", AS_OF, "--format", "json")
    waived, ignored = audit(tmp_path, *arguments), audit(tmp_path, *arguments, "--no-waivers")
    assert (waived.code, ignored.code) == (0, 1)
    (finding,) = [each for each in waived.report["findings"] if each["rule"] == "no-bad-credentials"]
    assert (finding["state"], finding["waiver"]["approvedBy"]) == ("waived", "me")


def test_a_forged_baseline_hides_nothing(tmp_path: Path) -> None:
    """It makes a finding an old one, which the report still has, and which breaks where old ones do."""
    write(tmp_path, "answer.json", [BAD])
    arguments = ("--input", "answer.json", "--as-of", AS_OF, "--format", "json")
    first = audit(tmp_path, *arguments)
    (tmp_path / "baseline.json").write_bytes(first.out)
    lenient = audit(tmp_path, *arguments, "--baseline", "baseline.json", "--fail-on-new")
    strict = audit(tmp_path, *arguments, "--baseline", "baseline.json")
    assert (lenient.code, strict.code) == (0, 1)
    assert lenient.findings == first.findings == [("no-bad-credentials", "conn_bad")]
