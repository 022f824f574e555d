"""Where an audit finds connections: files of every kind, states and stacks of the real engine, projects of the API."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import pytest

from bench import ALL_RULES
from builders import answer, two_projects
from conftest import MakeStack
from loose_answers import CANARY, loose_answer
from programs import IMPORTS
from pulumi_ampersand.errors import SettingsError
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand.settings import Details
from pulumi_ampersand_policies.audit import Part, audit
from pulumi_ampersand_policies.configuration import parse
from pulumi_ampersand_policies.data_source import DATA_SOURCE_TYPES, SECRET, SIGNATURE, UNKNOWN
from pulumi_ampersand_policies.evaluation import Evaluation, evaluate
from pulumi_ampersand_policies.report import Source, SourceKind, Verdict
from pulumi_ampersand_policies.sources import Api, Filters, from_file, from_stack, kept
from pulumi_ampersand_policies.testing import NOW, at, connection, grant, inventory

EVERY_RULE: Final = parse(json.dumps(ALL_RULES), "policy-config.json")
NO_FILTERS: Final = Filters()
MARK: Final = b"\xef\xbb\xbf"
ANYTHING: Final = (
    "is neither a list of connections as the API sends it, nor what audit --save kept, nor what "
    "pulumi stack export wrote"
)


def judged(found: Inventory, now: datetime = NOW) -> Evaluation:
    """What every rule says."""
    return evaluate(found, EVERY_RULE, now)


def ids(part: Part) -> list[str]:
    """The IDs of what a source gave."""
    return [entry.connection.id for entry in part.inventory]


def read(folder: Path, content: bytes | dict[str, Any], **filters: str) -> Part:
    """Read a file of that content, for programs and for rules alike."""
    file = folder / "input.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    part = from_file(str(file), Filters(**filters))
    fast = from_file(str(file), Filters(**filters), for_rules=True)
    assert fast.source == part.source
    assert fast.inventory.unread == part.inventory.unread
    assert judged(fast.inventory) == judged(part.inventory)
    assert part.source.connections == len(part.inventory)
    return part


def state(*resources: Any) -> dict[str, Any]:
    """What ``pulumi stack export`` writes."""
    return {"version": 3, "deployment": {"manifest": {"version": "v3.259.0"}, "resources": list(resources)}}


def data_source(name: str, inputs: Any, kind: str = "dynamic/ampersand:Connections", **more: Any) -> dict[str, Any]:
    """A data source in a state."""
    (of_type,) = [known for known in DATA_SOURCE_TYPES if known.endswith(kind)]
    urn = f"urn:pulumi:dev::test::{of_type}::{name}"
    return {"urn": urn, "custom": True, "id": "x", "type": of_type, "inputs": inputs, "outputs": inputs, **more}


def documents(*connections: Any, project: str = "crm") -> dict[str, Any]:
    """The inputs of a data source that has read connections."""
    found, seen = inventory(*connections).documents()
    return {"project": project, "connections": found, "observations": seen}


def secret(text: str, *, shown: bool) -> dict[str, str]:
    """A secret text in a state, as exported with ``--show-secrets`` or without."""
    return {SIGNATURE: SECRET, **({"plaintext": json.dumps(text)} if shown else {"ciphertext": "v1:a:b"})}


A: Final = connection("a", oauth2AuthorizationCode=grant(refresh=at(days=3)))
B: Final = connection("b", provider="slack", group={"groupRef": "globex"}, status="bad_credentials")
C: Final = connection("c", consumer={"consumerRef": "jim"}, projectId=None)
SAVED: Final = inventory(A, B, C, project="crm").saved("crm")


@pytest.mark.parametrize(
    "content",
    [
        answer(A, B, C),
        json.dumps([A, B, C], indent=2).encode(),
        b"\n\t " + answer(A, B, C),
        MARK + answer(A, B, C),
        SAVED,
        MARK + SAVED,
        b" " * 200 + SAVED,
    ],
    ids=["answer", "indented", "space", "answer-with-mark", "saved", "saved-with-mark", "saved-after-much-space"],
)
def test_files_of_connections(tmp_path: Path, content: bytes) -> None:
    """A saved answer and what an audit kept, however an editor or a shell has written them."""
    part = read(tmp_path, content)
    assert part.source == Source(SourceKind.ANSWER, str(tmp_path / "input.json"), 3)
    assert part.source.status == "complete"
    assert ids(part) == ["a", "b", "c"]
    assert {finding.connection for finding in judged(part.inventory).findings} >= {"a", "b"}


@pytest.mark.parametrize("before", [b"", b"\n ", MARK, b" " * 200], ids=["plain", "space", "mark", "much-space"])
def test_a_single_connection(tmp_path: Path, before: bytes) -> None:
    """The API's answer about one connection is an object."""
    part = read(tmp_path, before + json.dumps(B).encode())
    assert part.source == Source(SourceKind.ANSWER, str(tmp_path / "input.json"), 1)
    assert ids(part) == ["b"]


def test_an_empty_answer_is_complete(tmp_path: Path) -> None:
    """A project without connections isn't one that couldn't be read."""
    part = read(tmp_path, b"[]")
    assert part.source == Source(SourceKind.ANSWER, str(tmp_path / "input.json"), 0)
    assert part.source.status == "complete"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is empty"),
        (b"{", "is no JSON: Input data was truncated"),
        (b"{}", ANYTHING),
        (b'{"connections": []}', ANYTHING),
        (b"5", "expected a JSON array of connections, got a number"),
        (answer(A, B)[:-30], "expected a JSON array of connections: Input data was truncated"),
        (answer(A, 5), "connections[1] is a number, not an object"),
        (answer(A, {"id": "b"}), 'connections[1] has no "provider"'),
        (answer(A, {**A, "status": "new"}), 'the API lists connection "a" twice, with different content'),
        (b'{"v": 2, "observations": 5}', "the saved document is of a newer version; upgrade pulumi-ampersand"),
    ],
    ids=[
        "empty",
        "truncated-object",
        "empty-object",
        "other-object",
        "number",
        "truncated",
        "no-entry",
        "no-provider",
        "twice",
        "newer",
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes, error: str) -> None:
    """One sentence says why; the audit is incomplete, never clean, and says which file."""
    part = read(tmp_path, content)
    name = str(tmp_path / "input.json")
    assert part.source == Source(SourceKind.ANSWER, name, 0, error)
    assert part.source.status == "failed"
    assert [tuple(unread) for unread in part.inventory.unread] == [(f"{name}: {error}", "")]
    report = audit([part], EVERY_RULE, NOW)
    assert report.verdict is Verdict.INCOMPLETE
    assert report.errors == (f"answer {name}: {error}",)
    (finding,) = [finding for finding in report.opened if finding.rule == "readable-connections"]
    assert finding.message == f"{name}: {error}"


def test_damaged_files_are_to_be_saved_again(tmp_path: Path) -> None:
    """What an audit kept, and somebody has changed."""
    error = read(tmp_path, b'{"v": 1, "observations": 5}').source.error
    assert error is not None
    assert re.fullmatch(r"the saved document can't be read: .+; save it again", error)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Nor is a folder one. What the system says follows."""
    assert from_file(str(tmp_path / "no.json"), NO_FILTERS).source.error == "can't be read: No such file or directory"
    assert from_file(str(tmp_path), NO_FILTERS).source.error == "can't be read: Is a directory"


def test_names_of_files_are_shown_on_one_line(tmp_path: Path) -> None:
    """A file's name can hold anything, too; it is read by its own name."""
    file = tmp_path / "a\n\x1b[31m<{%b.json"
    file.write_bytes(answer(A))
    part = from_file(str(file), NO_FILTERS)
    assert part.source == Source(SourceKind.ANSWER, f"{tmp_path}/a [31m< {{%b.json", 1)
    file.write_bytes(b"5")
    (unread,) = from_file(str(file), NO_FILTERS).inventory.unread
    assert unread.reason.isprintable()


def test_what_decides_and_could_not_be_read_is_an_error(tmp_path: Path) -> None:
    """A connection is neither chosen nor left out in silence by a field that has a wrong type."""
    content = [connection("a"), connection("b", group=7), connection("c", group={"groupRef": 7})]
    file = tmp_path / "input.json"
    file.write_text(json.dumps(content))
    part = from_file(str(file), Filters(group_ref="acme"), for_rules=True)
    assert ids(part) == ["a"]
    assert part.source.error == (
        "1 connection could not be chosen or left out: group could not be read; "
        "1 connection could not be chosen or left out: group.groupRef could not be read"
    )
    assert from_file(str(file), Filters(provider="salesforce")).source.error is None
    assert from_file(str(file), Filters(consumer_ref="x")).source.error is None


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"provider": "slack"}, ["b"]),
        ({"group_ref": "acme"}, ["a", "c"]),
        ({"consumer_ref": "jim"}, ["c"]),
        ({"group_ref": "acme", "consumer_ref": "jim"}, ["c"]),
        ({"provider": "Slack"}, []),
    ],
)
def test_filters(tmp_path: Path, filters: dict[str, str], expected: list[str]) -> None:
    """They leave the same of every kind of file."""
    for content in (answer(A, B, C), SAVED, json.dumps(state(data_source("crm", documents(A, B, C)))).encode()):
        part = read(tmp_path, content, **filters)
        assert ids(part) == expected
        assert part.source.status == "complete"


def test_an_empty_filter_is_a_mistake() -> None:
    """It would let nothing pass, or everything."""
    with pytest.raises(SettingsError, match="group_ref is empty"):
        Filters(group_ref="").of(Inventory())


@pytest.mark.parametrize(
    ("content", "kind"),
    [(answer(A), SourceKind.ANSWER), (json.dumps(state(data_source("crm", documents(A)))).encode(), SourceKind.STATE)],
    ids=["answer", "state"],
)
def test_standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes, kind: SourceKind) -> None:
    """``-`` stands for it."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    part = from_file("-", NO_FILTERS)
    assert part.source == Source(kind, "standard input", 1)
    assert ids(part) == ["a"]


def test_standard_input_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors name it."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"5")))
    (unread,) = from_file("-", NO_FILTERS).inventory.unread
    assert unread.reason == "standard input: expected a JSON array of connections, got a number"


def test_a_state(tmp_path: Path) -> None:
    """All data sources of a state together; two of them hold the same connection, which is judged once."""
    part = read(
        tmp_path,
        state(
            {"urn": "urn:pulumi:dev::test::pulumi:pulumi:Stack::test-dev", "type": "pulumi:pulumi:Stack"},
            data_source("every", documents(A, C)),
            data_source("by-id", documents(A), kind="ConnectionRef"),
            data_source("slack", documents(B), kind="ampersand:index:Connections"),
        ),
    )
    assert part.source == Source(SourceKind.STATE, str(tmp_path / "input.json"), 3)
    assert [(entry.connection.id, entry.project) for entry in part.inventory] == [
        ("a", "proj_1"),
        ("b", "proj_1"),
        ("c", "crm"),
    ]
    assert judged(part.inventory) == judged(inventory(A, B, C, project="crm"))


SOME: Final = documents(A)


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        (data_source("crm", {}), "its state has no connections; run: pulumi refresh"),
        (data_source("crm", {**SOME, "observations": None}), "its state has no connections; run: pulumi refresh"),
        (
            {key: value for key, value in data_source("crm", {}).items() if key != "inputs"},
            "its state has no connections; run: pulumi refresh",
        ),
        (
            data_source("crm", {**SOME, "connections": UNKNOWN, "observations": UNKNOWN}),
            "its connections were not evaluated: a filter isn't known until the update, which judges them then",
        ),
        (
            data_source("crm", {**SOME, "observations": UNKNOWN}),
            "its connections were not evaluated: a filter isn't known until the update, which judges them then",
        ),
        (
            data_source("crm", {**SOME, "connections": secret(SOME["connections"], shown=False)}),
            "its connections are encrypted; run: pulumi stack export --show-secrets",
        ),
        (
            data_source("crm", {**SOME, "observations": secret(SOME["observations"], shown=False)}),
            "its connections are encrypted; run: pulumi stack export --show-secrets",
        ),
        (
            data_source("crm", {**SOME, "connections": [A]}),
            "its connections are of another version of pulumi-ampersand; run: pulumi refresh",
        ),
        (
            data_source("crm", {**SOME, "connections": '{"v": 2, "connections": {}}'}),
            "the connections document is of a newer version; upgrade pulumi-ampersand",
        ),
        (
            data_source("crm", {**SOME, "observations": '{"v": 2, "observations": []}'}),
            "the observations document is of a newer version; upgrade pulumi-ampersand",
        ),
        (
            data_source("crm", {**SOME, "connections": "{"}),
            "the connections document can't be read: Input data was truncated; run: pulumi refresh",
        ),
    ],
    ids=[
        "no-inputs",
        "no-observations",
        "inputs-left-out",
        "unknown",
        "unknown-observations",
        "encrypted",
        "encrypted-observations",
        "list",
        "newer",
        "newer-observations",
        "damaged",
    ],
)
def test_data_sources_that_cannot_be_read(tmp_path: Path, resource: dict[str, Any], error: str) -> None:
    """One sentence names the file, the resource and what to do; the others are judged all the same."""
    name = str(tmp_path / "input.json")
    alone = read(tmp_path, state(resource))
    assert alone.source == Source(SourceKind.STATE, name, 0, f"crm: {error}")
    beside = read(tmp_path, state(resource, data_source("other", documents(B))))
    assert beside.source == Source(SourceKind.STATE, name, 1, f"crm: {error}")
    assert beside.source.status == "partial"
    assert [tuple(unread) for unread in beside.inventory.unread] == [(f"{name}: crm: {error}", "")]
    assert ids(beside) == ["b"]


@pytest.mark.parametrize("inputs", [None, [], "text", 5], ids=["null", "list", "text", "number"])
def test_inputs_that_are_no_object(tmp_path: Path, inputs: Any) -> None:
    """A state that somebody or something else has written is no reason to crash."""
    part = read(tmp_path, state(data_source("crm", inputs), data_source("other", documents(B))))
    assert part.source.status == "partial"
    assert part.source.error is not None
    assert part.source.error.startswith("crm: ")
    assert ids(part) == ["b"]


def test_secrets_that_are_shown(tmp_path: Path) -> None:
    """What ``pulumi stack export --show-secrets`` wrote is read: that is what the error about secrets advises."""
    shown = {name: secret(SOME[name], shown=True) for name in ("connections", "observations")}
    part = read(tmp_path, state(data_source("crm", {**SOME, **shown})))
    assert part.source == Source(SourceKind.STATE, str(tmp_path / "input.json"), 1)
    assert ids(part) == ["a"]


def test_names_of_resources_are_shown_on_one_line(tmp_path: Path) -> None:
    """A program may call a resource anything."""
    part = read(tmp_path, state(data_source("x\n\x1b[31m<{%\u202e", {})))
    assert part.source.error == "x [31m< {%: its state has no connections; run: pulumi refresh"


def test_a_secret_project_is_not_needed(tmp_path: Path) -> None:
    """Nor are secret filters: connections say which project they belong to."""
    hidden = secret("crm", shown=False)
    part = read(tmp_path, state(data_source("crm", {**SOME, "project": hidden, "groupRef": hidden})))
    assert [(entry.connection.id, entry.project) for entry in part.inventory] == [("a", "proj_1")]
    assert part.source.status == "complete"


@pytest.mark.parametrize(
    ("deployment", "error"),
    [
        ({}, "its state has no Ampersand data source, so there is nothing to judge"),
        ({"resources": None}, "its state has no Ampersand data source, so there is nothing to judge"),
        ({"resources": []}, "its state has no Ampersand data source, so there is nothing to judge"),
        (
            {"resources": [{"urn": "u", "type": "pulumi-python:dynamic:Resource", "inputs": documents(A)}]},
            "its state has no Ampersand data source, so there is nothing to judge",
        ),
        (None, "is no state that pulumi stack export wrote: Expected `object`, got `null`"),
        ([], "is no state that pulumi stack export wrote: Expected `object`, got `array`"),
        (
            {"resources": [{"type": "x"}]},
            "is no state that pulumi stack export wrote: Object missing required field `urn` - at `$.resources[0]`",
        ),
    ],
    ids=["empty", "null", "none", "others", "null-deployment", "list", "foreign"],
)
def test_states_without_data_sources(tmp_path: Path, deployment: Any, error: str) -> None:
    """Nothing was judged, which is not clean."""
    part = read(tmp_path, {"version": 3, "deployment": deployment})
    assert part.source == Source(SourceKind.STATE, str(tmp_path / "input.json"), 0, error)
    assert audit([part], EVERY_RULE, NOW).exit_code == 3


def test_what_waits_to_be_deleted_is_not_judged(tmp_path: Path) -> None:
    """A resource that was replaced stands beside its successor until it is deleted; alone, it is nothing."""
    old = data_source("crm", documents(B), delete=True)
    part = read(tmp_path, state(data_source("crm", documents(A)), old))
    assert ids(part) == ["a"]
    assert part.source.status == "complete"
    assert read(tmp_path, state(old)).source.status == "failed"


def test_operations_that_were_interrupted_do_not_count(tmp_path: Path) -> None:
    """What an update meant to do isn't what the stack holds."""
    content = state(data_source("crm", documents(A)))
    operation = {"resource": data_source("new", documents(B)), "type": "creating"}
    part = read(tmp_path, {**content, "deployment": {**content["deployment"], "pending_operations": [operation]}})
    assert ids(part) == ["a"]


def test_lone_surrogates_in_a_state(tmp_path: Path) -> None:
    """They stand anywhere in it, and are replaced."""
    content = json.dumps(state({"urn": "\ud800", "type": "x"}, data_source("crm", {**SOME, "note": "\udfff"})))
    assert ids(read(tmp_path, content.encode())) == ["a"]


PROGRAM: Final = (
    IMPORTS
    + """
every = ampersand.Connections("every")
slack = ampersand.Connections(
    "slack",
    provider=pulumi.Output.secret("slack"),
    opts=pulumi.ResourceOptions(additional_secret_outputs=["connections"]),
)
by_id = ampersand.ConnectionRef("by-id", connection_id="conn_koyo_slack")
pulumi.export("ids", every.ids)
"""
)


def enter(monkeypatch: pytest.MonkeyPatch, folder: Path, environment: Mapping[str, str]) -> None:
    """Go where a user of a stack is."""
    monkeypatch.chdir(folder)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.engine
def test_a_stack_of_the_real_engine(
    monkeypatch: pytest.MonkeyPatch, make_stack: MakeStack, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Its export as a file, with secrets or without, and the stack by its name say what the live project says."""
    stack = make_stack(PROGRAM)
    stack.up(check=True)
    now = datetime.now(timezone.utc)
    live = only(api(sandbox).read([sandbox.project], every=False))
    assert len(live.inventory) > 5
    expected = judged(live.inventory, now)
    assert len(expected.findings) > 5
    for flags in ([], ["--show-secrets"]):
        part = read(tmp_path, stack.run("stack", "export", *flags, check=True).out.encode())
        assert part.source == Source(SourceKind.STATE, str(tmp_path / "input.json"), len(live.inventory))
        assert judged(part.inventory, now) == expected
    enter(monkeypatch, stack.folder, stack.environment)
    part = from_stack("dev", NO_FILTERS)
    assert part.source == Source(SourceKind.STACK, "dev", len(live.inventory))
    assert judged(part.inventory, now) == expected
    assert ids(from_stack("dev", Filters(provider="slack"))) == [
        entry.connection.id for entry in live.inventory if entry.connection.provider == "slack"
    ]

    unknown = from_stack("nope", NO_FILTERS)
    assert unknown.source.error is not None
    assert unknown.source.error.startswith("pulumi stack export failed: ")
    assert "nope" in unknown.source.error
    assert unknown.source.kind is SourceKind.STACK

    stack.destroy(check=True)
    assert from_stack("dev", NO_FILTERS).source == Source(
        SourceKind.STACK, "dev", 0, "its state has no Ampersand data source, so there is nothing to judge"
    )


def test_a_stack_without_pulumi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is missing is named, and the command that finds out more."""
    monkeypatch.setenv("PATH", str(tmp_path))
    part = from_stack("dev", NO_FILTERS)
    assert part.source == Source(SourceKind.STACK, "dev", 0, "pulumi isn't on PATH; run: pulumi-ampersand doctor")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (
            "echo 'error: no such stack\n\033[31mreally' >&2; exit 1",
            "pulumi stack export failed: error: no such stack [31mreally",
        ),
        ("exit 7", "pulumi stack export failed: exit code 7"),
        ("echo oops", "is no JSON: JSON is malformed: invalid character (byte 0)"),
        ("true", "is no JSON: Input data was truncated"),
        ("echo '{}'", "is no state that pulumi stack export wrote: Expected `object`, got `null`"),
    ],
    ids=["told", "untold", "no-json", "nothing", "no-state"],
)
def test_a_stack_that_cannot_be_exported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, error: str
) -> None:
    """What the CLI says is passed on, on one line."""
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(f"#!/bin/sh\n{script}\n")
    pulumi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert from_stack("dev", NO_FILTERS).source == Source(SourceKind.STACK, "dev", 0, error)


def test_a_pulumi_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the system says of it is passed on: a program for another machine, say."""
    pulumi = tmp_path / "pulumi"
    pulumi.write_bytes(b"\x7fELF of another machine")
    pulumi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    error = f"pulumi stack export failed: [Errno 8] Exec format error: '{pulumi}'"
    assert from_stack("dev", NO_FILTERS).source == Source(SourceKind.STACK, "dev", 0, error)


def test_how_a_stack_is_exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stack's name is never taken for an option, nothing waits for an answer, and a state is read from it."""
    exported = tmp_path / "state.json"
    exported.write_text(json.dumps(state(data_source("crm", documents(A)))))
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(f'#!/bin/sh\nread line && exit 9\nprintf "%s\\n" "$@" > {tmp_path}/arguments\ncat {exported}\n')
    pulumi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert ids(from_stack("--help", NO_FILTERS)) == ["a"]
    assert (tmp_path / "arguments").read_text().split() == ["stack", "export", "--non-interactive", "--stack=--help"]


def api(sandbox: Sandbox, details: Details = "auto", done: Any = lambda _source: None, **filters: str) -> Api:
    """The sandbox as a source."""
    return Api(sandbox.environment, Filters(**filters), details, done)


def only(parts: list[Part]) -> Part:
    """The only part."""
    (part,) = parts
    return part


@pytest.fixture
def projects() -> Iterator[Sandbox]:
    """A sandbox with the projects ``first`` and ``second``."""
    with Sandbox(projects=two_projects()) as running:
        yield running


def names(parts: list[Part]) -> list[tuple[str, list[str]]]:
    """Which source gave which connections."""
    return [(part.source.name, ids(part)) for part in parts]


def test_projects_are_read_in_the_order_in_which_they_were_asked_for(projects: Sandbox) -> None:
    """By name or ID, each once."""
    parts = api(projects).read(["proj_2", "first", "proj_2"], every=False)
    assert names(parts) == [("proj_2", ["d"]), ("first", ["a", "b", "c"])]
    assert [part.source.kind for part in parts] == [SourceKind.PROJECT] * 2
    assert [part.source.status for part in parts] == ["complete"] * 2
    assert [(entry.connection.id, entry.project) for part in parts for entry in part.inventory] == [
        ("d", "proj_2"),
        ("a", "proj_1"),
        ("b", "proj_1"),
        ("c", "proj_1"),
    ]
    assert projects.counts["list"] == 2
    assert projects.counts["projects"] == 0


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], ["proj_1", "proj_2"]),
        (["second"], ["second", "proj_1"]),
        (["proj_2"], ["proj_2", "proj_1"]),
        (["second", "first"], ["second", "first"]),
    ],
    ids=["none", "name", "id", "all"],
)
def test_every_project_of_a_key(projects: Sandbox, asked: list[str], expected: list[str]) -> None:
    """Those that weren't named come after those that were; none is read twice, under its ID and under its name."""
    parts = api(projects).read(asked, every=True)
    assert [part.source.name for part in parts] == expected
    assert projects.counts["list"] == 2
    assert sorted(name for part in parts for name in ids(part)) == ["a", "b", "c", "d"]


def test_a_project_named_twice_is_judged_once(projects: Sandbox) -> None:
    """Under its name and under its ID."""
    report = audit(api(projects).read(["first", "proj_1"], every=False), EVERY_RULE, NOW)
    assert len(report.inventory) == 3


def test_a_project_that_cannot_be_read_does_not_stop_the_others(projects: Sandbox) -> None:
    """Its source says why; the others are complete, and the audit is not."""
    projects.set_connections("second", [{"id": "d"}])
    bad, missing, good = api(projects).read(["second", "nope", "first"], every=False)
    assert bad.source.error is not None
    assert bad.source.error.startswith('reading connections of project "second" at http://127.0.0.1:')
    assert 'connections[0] has no "provider"' in bad.source.error
    assert missing.source.error is not None
    assert "404 projectIdOrName: no project has this id or name" in missing.source.error
    assert (good.source.error, ids(good)) == (None, ["a", "b", "c"])
    assert [unread.project for part in (bad, missing) for unread in part.inventory.unread] == ["second", "nope"]
    report = audit([bad, missing, good], EVERY_RULE, NOW)
    assert (report.verdict, len(report.errors)) == (Verdict.INCOMPLETE, 2)


def test_projects_that_cannot_be_listed(projects: Sandbox) -> None:
    """Those that were named are read all the same, and the audit is incomplete."""
    projects.faults = ["403@projects"]
    every, second = api(projects).read(["second"], every=True)
    assert (every.source.name, every.source.status) == ("all projects", "failed")
    assert every.source.error is not None
    assert every.source.error.startswith("listing projects at http://127.0.0.1:")
    assert ids(second) == ["d"]
    assert only(api(projects).read([], every=True)).source.status == "failed"


def test_a_wrong_key(projects: Sandbox) -> None:
    """Every source says so, none the key."""
    environ = {**projects.environment, "AMP_API_KEY": f"{CANARY}-wrong"}
    parts = Api(environ, NO_FILTERS, "auto", lambda _source: None).read(["first", "second"], every=False)
    for part in parts:
        assert part.source.error is not None
        assert "401 The API key is not valid" in part.source.error
        assert CANARY not in part.source.error


def test_no_key() -> None:
    """Nothing can be asked at all, which is a mistake of the user's."""
    with pytest.raises(SettingsError, match="no API key; set AMP_API_KEY"):
        Api({}, NO_FILTERS, "auto", lambda _source: None).read(["first"], every=False)


def test_an_empty_project_is_a_mistake(projects: Sandbox) -> None:
    """It isn't one that can't be read."""
    with pytest.raises(SettingsError):
        api(projects).read(["first", ""], every=False)


def test_filters_are_the_apis(projects: Sandbox) -> None:
    """They are sent, so that no more is read than is judged."""
    parts = api(projects, group_ref="globex").read(["first", "second"], every=False)
    assert names(parts) == [("first", ["b"]), ("second", [])]
    assert [dict(record.query) for record in projects.requests] == [{"groupRef": "globex"}] * 2


def test_everybody_is_told_of_each_source(projects: Sandbox) -> None:
    """As soon as it was read: those that failed, too."""
    told: list[Source] = []
    projects.faults = ["403@projects"]
    parts = api(projects, done=told.append).read(["first", "nope"], every=True)
    assert sorted(told) == sorted(part.source for part in parts)
    assert told[0].name == "all projects"


def test_details_that_cannot_be_read(projects: Sandbox) -> None:
    """A connection whose own call fails makes its project incomplete; what the list said is judged."""
    projects.list_credentials = False
    projects.faults = ["403,times=1@one"]
    part = only(api(projects).read(["first"], every=False))
    assert part.source.status == "partial"
    assert part.source.error is not None
    assert part.source.error.startswith("one connection: its details could not be read: reading connection ")
    assert len(part.inventory) == 3
    assert [unread.project for unread in part.inventory.unread] == ["first"]
    assert audit([part], EVERY_RULE, NOW).exit_code == 3

    projects.faults = ["403@one"]
    part = only(api(projects).read(["first"], every=False))
    assert part.source.error is not None
    assert part.source.error.startswith("3 connections: their details could not be read: reading connection ")


def test_details_that_were_not_asked_for_are_no_failure(projects: Sandbox) -> None:
    """They are unknown, and rules say so."""
    projects.list_credentials = False
    part = only(api(projects, "never").read(["first"], every=False))
    assert (part.source.status, projects.counts["one"]) == ("complete", 0)
    assert {item.rule for item in judged(part.inventory).not_evaluated} >= {"token-expiry", "required-scopes"}


def test_several_projects_at_once_but_not_all() -> None:
    """Twenty projects are read side by side, eight at the most."""
    many = [Project(id=f"proj_{number}", name=f"p{number}", connections=[]) for number in range(20)]
    with Sandbox(projects=many, faults=["slow:0.1@list"]) as sandbox:
        parts = api(sandbox).read([], every=True)
        assert [part.source.name for part in parts] == [project.id for project in many]
        assert 1 < sandbox.most_at_once <= 8


def same(first: Evaluation, second: Evaluation) -> None:
    """Assert that findings, what was not evaluated and waivers are the same."""
    assert second.findings == first.findings
    assert second.not_evaluated == first.not_evaluated
    assert second.waivers == first.waivers


def keep(folder: Path, found: Inventory) -> list[Part]:
    """Keep connections as ``--save`` does, and read them again."""
    parts = []
    for name, content in kept(found):
        assert CANARY not in content.decode()
        (folder / name).write_bytes(content)
        parts.append(from_file(str(folder / name), NO_FILTERS))
    return parts


WAIVED: Final = parse(
    json.dumps(
        {
            **ALL_RULES,
            "token-expiry": {
                "waivers": [
                    {"connection": "*", "reason": "a pilot", "approvedBy": "Kim", "expires": "2026-11-24"},
                    {"connection": "none", "reason": "a pilot", "approvedBy": "Kim", "expires": "2026-11-24"},
                    {"provider": "*", "reason": "a pilot", "approvedBy": "Kim", "expires": "2020-11-24"},
                ]
            },
        }
    ),
    "policy-config.json",
)


@pytest.mark.parametrize("reader", [Inventory.from_answer, Inventory.for_rules], ids=["programs", "rules"])
@pytest.mark.parametrize("seed", range(60))
def test_what_is_kept_is_judged_the_same_again(tmp_path: Path, seed: int, reader: Any) -> None:
    """Whatever an answer was like, however it was read."""
    found = reader(loose_answer(seed), "asked")
    parts = keep(tmp_path, found)
    again = Inventory.merge([part.inventory for part in parts])
    assert len(again) == len(found)
    same(evaluate(found, WAIVED, NOW), evaluate(again, WAIVED, NOW))
    assert [(entry.found, entry.project) for entry in again] == [
        (entry.found, entry.project) for entry in Inventory.merge([found])
    ]


@pytest.mark.parametrize("details", ["auto", "never"])
@pytest.mark.parametrize("listed", [True, False], ids=["with-credentials", "without-credentials"])
def test_what_was_read_live_is_judged_the_same_again(
    tmp_path: Path, sandbox: Sandbox, details: Details, listed: bool
) -> None:
    """A refresh token that nobody asked for stays unknown, and is not one that doesn't exist."""
    sandbox.list_credentials = listed
    part = only(api(sandbox, details).read([sandbox.project], every=False))
    same(
        evaluate(part.inventory, WAIVED, NOW),
        evaluate(only(keep(tmp_path, part.inventory)).inventory, WAIVED, NOW),
    )
    text = "".join(file.read_text() for file in tmp_path.iterdir())
    assert not [credential for credential in sandbox.secrets if credential in text]
    unknown = [entry for entry in part.inventory if not hasattr(entry.observation.refresh_token, "expires_at")]
    if details == "never" and not listed:
        assert unknown != []
        assert {item.rule for item in judged(part.inventory).not_evaluated} >= {"token-expiry"}


def test_what_failed_details_left_open_stays_open(tmp_path: Path, projects: Sandbox) -> None:
    """Gaps are kept with their reasons."""
    projects.list_credentials = False
    projects.faults = ["403,times=1@one"]
    part = only(api(projects).read(["first"], every=False))
    again = only(keep(tmp_path, part.inventory)).inventory
    reasons = [item for item in judged(part.inventory).not_evaluated if item.connection]
    assert any("403" in item.reason for item in reasons)
    assert [item for item in judged(again).not_evaluated if item.connection] == reasons


def test_what_is_kept_is_the_same_text(tmp_path: Path) -> None:
    """Kept again, nothing changes."""
    (part,) = keep(tmp_path, inventory(A, B))
    assert dict(kept(part.inventory)) == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def of_project(name: str, connection_id: str = "a") -> Inventory:
    """A connection that doesn't say which project is its own."""
    return inventory(connection(connection_id, projectId=None), project=name)


def test_a_file_for_each_project(tmp_path: Path) -> None:
    """The same ID in two projects is two connections."""
    found = Inventory.merge([of_project("one"), of_project("two"), of_project("two", "b")])
    parts = keep(tmp_path, found)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.json", "two.json"]
    assert [[(entry.connection.id, entry.project) for entry in part.inventory] for part in parts] == [
        [("a", "one")],
        [("a", "two"), ("b", "two")],
    ]


ODD_NAMES: Final = [
    "../x",
    "..",
    ".",
    "",
    "x" * 300,
    "x" * 81,
    "CON",
    "con",
    "nul",
    "com1",
    "/etc/passwd",
    "C:\\x",
    "a/b",
    "a_b",
    "a b",
    "A_B",
    "crm",
    "Crm",
    "CRM",
    "-rf",
    ".hidden",
    "~",
    "株式会社",
    "株式会杜",
    "é",
    "e\u0301",
    "a\n",
    "a*?",
]
WINDOWS_DEVICES: Final = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_files_are_safe(name: str) -> None:
    """On every system: plain characters, no folder, no device, no option, not hidden, not too long."""
    ((file, _),) = kept(of_project(name))
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,120}\.json", file)
    assert file.removesuffix(".json").lower() not in WINDOWS_DEVICES


def test_no_two_projects_share_a_file() -> None:
    """Not even where a file system doesn't tell upper from lower case."""
    found = Inventory.merge(list(map(of_project, ODD_NAMES)))
    files = [file.lower() for file, _ in kept(found)]
    assert len(files) == len(set(files)) == len(ODD_NAMES)


def test_names_of_files_stay() -> None:
    """Whatever else is kept, and from run to run."""
    alone = [file for file, _ in kept(of_project("Crm"))]
    beside = [file for file, _ in kept(Inventory.merge([of_project("crm"), of_project("Crm")]))]
    assert alone == ["Crm-c55a8f09.json"]
    assert set(beside) == {"Crm-c55a8f09.json", "crm.json"}


def test_nothing_is_kept_of_nothing() -> None:
    """There is no project that it would be kept for."""
    assert list(kept(Inventory())) == []
