"""The exit codes of ``pulumi-ampersand audit``: 0 clean, 1 broken, 2 wrong usage, 3 incomplete; 2 beats 3 beats 1."""

from __future__ import annotations

import itertools
import json
import re
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from audit_runs import (
    AS_OF,
    BAD,
    CLEAN,
    EXPIRING,
    KEY,
    SCRIPT,
    SECONDS,
    UNREFRESHABLE,
    Run,
    audit,
    audit_here,
    checked,
    environment,
    left_in,
    write,
)
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand_policies.testing import NOW, connection, inventory

WAIVER: Mapping[str, str] = {"connection": "*", "reason": "INT-1", "approvedBy": "jo", "expires": "2026-11-24"}
SEVERITIES = ("low", "medium", "high", "critical")


class Found(NamedTuple):
    """Connections, and the only finding that there is about them.

    Attributes:
        connections: The connections, as the API sends them.
        configuration: The policy configuration.
        severity: The finding's severity; None if there is none.
        mandatory: Whether its rule is mandatory.
        waived: Whether it is waived.
        tolerated: Whether it is tolerated.
    """

    connections: list[Any]
    configuration: Mapping[str, Any] = {}
    severity: str | None = None
    mandatory: bool = False
    waived: bool = False
    tolerated: bool = False


TWINS = [connection("twin_1", providerWorkspaceRef="same"), connection("twin_2", providerWorkspaceRef="same")]

FOUND: Mapping[str, Found] = {
    "nothing-to-look-at": Found([]),
    "clean": Found([CLEAN]),
    "rule-disabled": Found([BAD], {"no-bad-credentials": "disabled"}),
    "not-evaluated": Found([connection(status="paused")], {"verifiable-connections": "disabled"}),
    "advisory-low": Found(TWINS, {}, "low"),
    "advisory-medium": Found([UNREFRESHABLE], {}, "medium"),
    "advisory-high": Found([EXPIRING], {"token-expiry": "advisory"}, "high"),
    "advisory-critical": Found([BAD], {"no-bad-credentials": "advisory"}, "critical"),
    "mandatory-low": Found(TWINS, {"unique-connections": "mandatory"}, "low", mandatory=True),
    "mandatory-medium": Found([UNREFRESHABLE], {"refreshable": "mandatory"}, "medium", mandatory=True),
    "mandatory-high": Found([EXPIRING], {}, "high", mandatory=True),
    "mandatory-critical": Found([BAD], {}, "critical", mandatory=True),
    "waived": Found([BAD], {"no-bad-credentials": {"waivers": [WAIVER]}}, "critical", mandatory=True, waived=True),
    "waived-advisory": Found([UNREFRESHABLE], {"refreshable": {"waivers": [WAIVER]}}, "medium", waived=True),
    "waiver-expired": Found(
        [BAD],
        {"no-bad-credentials": {"waivers": [{**WAIVER, "expires": "2026-11-23"}]}},
        "critical",
        mandatory=True,
    ),
    "tolerated": Found([BAD], {"no-bad-credentials": {"tolerate": 1}}, "critical", mandatory=True, tolerated=True),
    "more-than-tolerated": Found(
        [BAD, {**BAD, "id": "other", "providerWorkspaceRef": "other"}],
        {"no-bad-credentials": {"tolerate": 1}},
        "critical",
        mandatory=True,
    ),
    "not-evaluated-mandatory": Found(
        [connection(status="paused")], {"verifiable-connections": "mandatory"}, "medium", mandatory=True
    ),
}
"""What can be found; of each one finding at the most, or several alike."""

UNREAD = ("", "missing-file", "broken-file", "refused-project")
"""What can't be read beside it."""

OPTIONS: tuple[tuple[str, ...], ...] = (
    (),
    *(("--fail-on", severity) for severity in SEVERITIES),
    *(("--severity", severity) for severity in SEVERITIES),
    ("--no-waivers",),
    ("--fail-on", "low", "--no-waivers"),
    ("--fail-on", "low", "--severity", "critical"),
    ("--fail-on", "critical", "--severity", "critical"),
    ("--quiet",),
    ("--verbose",),
    ("--details", "never"),
)


def breaks(found: Found, options: tuple[str, ...]) -> bool:
    """Whether a finding breaks, as the manual has it."""
    if found.severity is None or (found.waived and "--no-waivers" not in options) or found.tolerated:
        return False
    if "--fail-on" in options:
        least = options[options.index("--fail-on") + 1]
        return SEVERITIES.index(found.severity) >= SEVERITIES.index(least)
    return found.mandatory


@pytest.fixture(scope="module")
def refusing() -> Iterator[Sandbox]:
    """An API that takes another key."""
    with Sandbox(connections=[], api_key="another") as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that is found, and with what can't be read."""
    folder = tmp_path_factory.mktemp("files")
    for name, found in FOUND.items():
        write(folder, f"{name}.json", found.connections)
        write(folder, f"{name}.config.json", found.configuration)
    (folder / "broken.json").write_text('[{"id": "conn_1", "provi')
    write(folder, "crash.config.json", {})
    return folder


def asked(name: str, unread: str, options: tuple[str, ...], folder: Path) -> list[str | Path]:
    """The arguments of a cell of the matrix."""
    given: dict[str, list[str | Path]] = {
        "": [],
        "missing-file": ["--input", folder / "missing.json"],
        "broken-file": ["--input", folder / "broken.json"],
        "refused-project": ["--project", "quickstart"],
    }
    return [
        *("--input", folder / f"{name}.json", "--config", folder / f"{name}.config.json"),
        *("--as-of", AS_OF, "--format", "json"),
        *given[unread],
        *options,
    ]


@pytest.mark.parametrize("unread", UNREAD, ids=lambda unread: unread or "all-read")
@pytest.mark.parametrize("name", FOUND)
def test_the_matrix(name: str, unread: str, files: Path, refusing: Sandbox) -> None:
    """What is found, by what can't be read, by the options: the code is that of the manual, and the report says it."""
    found = FOUND[name]
    codes = {}
    expected = {}
    for options in OPTIONS:
        run = audit_here(*asked(name, unread, options, files), AMP_API_URL=refusing.url)
        codes[options] = run.code, run.report["exitCode"], run.report["verdict"]
        code = 3 if unread else int(breaks(found, options))
        expected[options] = code, code, {0: "clean", 1: "broken", 3: "incomplete"}[code]
        assert bool(run.errors) == bool(unread)
    assert codes == expected


def test_the_matrix_tells_cells_apart() -> None:
    """Each code, and each option that changes one, is in it."""
    cells = {options: [breaks(found, options) for found in FOUND.values()] for options in OPTIONS}
    assert {result for results in cells.values() for result in results} == {True, False}
    assert len({tuple(results) for results in cells.values()}) == 7
    assert all(cells[options] == cells[()] for options in OPTIONS if options[:1] == ("--severity",))


@pytest.mark.parametrize(
    ("name", "unread", "options"),
    [
        ("clean", "", ()),
        ("advisory-critical", "", ()),
        ("mandatory-critical", "", ()),
        ("advisory-low", "", ("--fail-on", "low")),
        ("mandatory-high", "", ("--fail-on", "critical")),
        ("mandatory-high", "", ("--severity", "critical")),
        ("waived", "", ("--no-waivers",)),
        ("tolerated", "", ()),
        ("clean", "missing-file", ()),
        ("mandatory-critical", "refused-project", ()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_the_matrix_in_real_processes(
    name: str, unread: str, options: tuple[str, ...], files: Path, refusing: Sandbox
) -> None:
    """The program itself ends with the same codes."""
    run = audit(files, *asked(name, unread, options, files), AMP_API_URL=refusing.url)
    assert run.code == (3 if unread else int(breaks(FOUND[name], options))), run.err
    assert run.report["exitCode"] == run.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one broken connection, and files that are wrong in many ways."""
    write(tmp_path, "answer.json", [BAD])
    write(tmp_path, "typo.json", {"token-expry": "mandatory", "token-expiry": {"minDay": 3}})
    write(tmp_path, "list.json", [])
    write(tmp_path, "newer.json", {"schemaVersion": 2, "asOf": AS_OF, "findings": []})
    write(tmp_path, "partial.json", {"schemaVersion": 1, "asOf": AS_OF, "findings": [], "leastShown": "high"})
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "latin.json").write_bytes(b'{"caf\xe9": 1}')
    (tmp_path / "crashing_module.py").write_text("raise RuntimeError('not today')")
    (tmp_path / "no_rules.py").write_text("OWN = ['a']")
    (tmp_path / "folder").mkdir()
    return tmp_path


ANSWER = ("--input", "answer.json")
NEAREST: Mapping[str, tuple[tuple[str, ...], str]] = {
    "option": (("--inptu", "answer.json"), "--input"),
    "format": ((*ANSWER, "--format", "jsno"), "json"),
    "format-with-file": ((*ANSWER, "--format", "sarrif=x.sarif"), "sarif"),
    "severity": ((*ANSWER, "--severity", "hihg"), "high"),
    "fail-on": ((*ANSWER, "--fail-on", "critcal"), "critical"),
    "details": ((*ANSWER, "--details", "alwys"), "always"),
    "rule": ((*ANSWER, "--config", "typo.json"), "token-expiry"),
    "rule-option": ((*ANSWER, "--config", "typo.json"), "minDays"),
}
"""Names that don't exist, and the nearest that do."""


@pytest.mark.parametrize("kind", NEAREST)
def test_a_wrong_name_is_answered_with_the_nearest(kind: str, folder: Path) -> None:
    """Unknown options and values end with code 2 and the name that was meant; nothing is judged."""
    arguments, meant = NEAREST[kind]
    run = audit(folder, *arguments)
    assert (run.code, run.out) == (2, b"")
    assert re.search(rf"[Dd]id you mean ['\"]{meant}['\"]\?", run.err), run.err


def test_an_unknown_command_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """As are commands."""
    done = subprocess.run(
        [SCRIPT, "audti"], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert 'Error: no command "audti" (did you mean "audit"?); the commands are audit, ' in done.stderr


WRONG: Mapping[str, tuple[tuple[str, ...], str]] = {
    "nothing-to-judge": (
        (),
        "nothing to judge: give --project, --all-projects, --input or --stack, or set AMP_PROJECT",
    ),
    "two-to-standard-output": (
        (*ANSWER, "--format", "json", "--format", "csv"),
        "--format json and --format csv both go to standard output: give each its file, FORMAT=FILE",
    ),
    "two-to-standard-output-by-dash": (
        (*ANSWER, "--format", "json=-", "--format", "json"),
        "--format json and --format json both go to standard output: give each its file, FORMAT=FILE",
    ),
    "two-to-one-file": (
        (*ANSWER, "--format", "json=x", "--format", "csv=./folder/../x"),
        "--format json and --format csv both go to folder/../x: give each its file, FORMAT=FILE",
    ),
    "no-folder-for-the-file": (
        (*ANSWER, "--format", "json=missing/x"),
        "Invalid value for '--format': json=missing/x: there is no folder missing",
    ),
    "file-below-a-file": (
        (*ANSWER, "--format", "json=answer.json/x"),
        "Invalid value for '--format': json=answer.json/x: there is no folder answer.json",
    ),
    "file-is-a-folder": (
        (*ANSWER, "--format", "json=folder"),
        "Invalid value for '--format': json=folder: give the name of a file after =",
    ),
    "file-without-a-name": (
        (*ANSWER, "--format", "json="),
        "Invalid value for '--format': json=: give the name of a file after =",
    ),
    "new-without-baseline": ((*ANSWER, "--fail-on-new"), "--fail-on-new needs --baseline, an earlier JSON report"),
    "as-of-a-word": (
        (*ANSWER, "--as-of", "tomorrow"),
        "Invalid value for '--as-of': \"tomorrow\" is no time: write 2026-11-24T08:00:00Z, or 2026-11-24",
    ),
    "as-of-no-such-day": (
        (*ANSWER, "--as-of", "2026-02-30"),
        "Invalid value for '--as-of': \"2026-02-30\" is no time: write 2026-11-24T08:00:00Z, or 2026-11-24",
    ),
    "no-configuration": (
        (*ANSWER, "--config", "missing.json"),
        "Invalid value for '--config': 'missing.json': No such file or directory",
    ),
    "configuration-is-a-folder": (
        (*ANSWER, "--config", "folder"),
        "Invalid value for '--config': 'folder': Is a directory",
    ),
    "no-baseline": (
        (*ANSWER, "--baseline", "missing.json"),
        "Invalid value for '--baseline': 'missing.json': No such file or directory",
    ),
    "baseline-cannot-be-read": (
        (*ANSWER, "--baseline", "/proc/self/mem"),
        "baseline /proc/self/mem can't be read: Input/output error",
    ),
    "baseline-is-no-json": ((*ANSWER, "--baseline", "text.json"), "baseline text.json is no JSON report of "),
    "baseline-is-an-answer": ((*ANSWER, "--baseline", "answer.json"), "baseline answer.json is no JSON report of "),
    "baseline-of-a-newer-version": (
        (*ANSWER, "--baseline", "newer.json"),
        "baseline newer.json is a report of a newer version; upgrade pulumi-ampersand",
    ),
    "baseline-made-with-severity": (
        (*ANSWER, "--baseline", "partial.json"),
        "baseline partial.json shows findings of severity high and above only; make it without --severity",
    ),
    "empty-provider": ((*ANSWER, "--provider", ""), "provider is empty; leave it out to filter by nothing"),
    "empty-group": ((*ANSWER, "--group-ref", ""), "group_ref is empty; leave it out to filter by nothing"),
    "empty-consumer": ((*ANSWER, "--consumer-ref", ""), "consumer_ref is empty; leave it out to filter by nothing"),
    "long-name": (
        (*ANSWER, "--format", f"json={'x' * 300}"),
        f"Invalid value for '--format': json={'x' * 300}: no file can be named so: ",
    ),
    "empty-project": (("--project", ""), "a project, file or stack needs a name"),
    "empty-input": (("--input", ""), "a project, file or stack needs a name"),
    "empty-stack": (("--stack", ""), "a project, file or stack needs a name"),
    "own-rules-missing": (
        (*ANSWER, "--own", "nowhere:OWN"),
        "Invalid value for '--own': nowhere:OWN can't be loaded: ModuleNotFoundError: ",
    ),
    "own-rules-crash": (
        (*ANSWER, "--own", "crashing_module:OWN"),
        "Invalid value for '--own': crashing_module:OWN can't be loaded: RuntimeError: not today",
    ),
    "own-rules-are-none": (
        (*ANSWER, "--own", "no_rules:OWN"),
        "Invalid value for '--own': no_rules:OWN holds more than rules",
    ),
    "too-many-words": ((*ANSWER, "answer.json"), "Got unexpected extra argument (answer.json)"),
    "input-twice": (
        ("--input", "-", "--input", "-"),
        "standard input can be read once only: give the others as files",
    ),
    "input-and-configuration": (
        ("--input", "-", "--config", "-"),
        "standard input can be read once only: give the others as files",
    ),
    "input-and-baseline": (
        ("--input", "-", "--baseline", "-"),
        "standard input can be read once only: give the others as files",
    ),
    "configuration-and-baseline": (
        (*ANSWER, "--config", "-", "--baseline", "-"),
        "standard input can be read once only: give the others as files",
    ),
    "quiet-and-verbose": ((*ANSWER, "--quiet", "--verbose"), "--quiet and --verbose contradict each other"),
    "sarif-path-from-the-root": (
        (*ANSWER, "--sarif-path", "/policy.json"),
        "Invalid value for '--sarif-path': \"/policy.json\" is no path inside the repository, relative to its root",
    ),
    "sarif-path-outside": (
        (*ANSWER, "--sarif-path", "a/../../policy.json"),
        "Invalid value for '--sarif-path': \"a/../../policy.json\" is no path inside the repository, relative to ",
    ),
    "sarif-path-empty": (
        (*ANSWER, "--sarif-path", ""),
        "Invalid value for '--sarif-path': \"\" is no path inside the repository, relative to its root",
    ),
    "sarif-path-is-a-url": (
        (*ANSWER, "--sarif-path", "https://example.com/x"),
        "Invalid value for '--sarif-path': \"https://example.com/x\" is no path inside the repository, relative to ",
    ),
    "save-to-nowhere": ((*ANSWER, "--save", ""), "Invalid value for '--save': give the name of a folder"),
    "save-to-a-file": (
        (*ANSWER, "--save", "answer.json"),
        "Invalid value for '--save': Directory 'answer.json' is a file",
    ),
}
"""Wrong usage, and how the error begins."""


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_usage(kind: str, folder: Path) -> None:
    """Code 2, one line that says what is wrong, and nothing judged, written or read, although there is much to find."""
    arguments, error = WRONG[kind]
    before = left_in(folder)
    # Baseline and answer at once: whatever is read from standard input is one.
    run = audit(folder, *arguments, stdin=b'{"schemaVersion": 1, "asOf": "2026-11-24T08:00:00Z", "findings": []}')
    assert (run.code, run.out) == (2, b""), run.err
    (said,) = run.errors
    assert said.startswith(error)
    # An own rule that was imported leaves its bytecode.
    assert [name for name in left_in(folder) if name != "__pycache__"] == before


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("typo.json", ['typo.json: unknown rule "token-expry"', 'typo.json: token-expiry: unknown key "minDay"']),
        ("text.json", ["text.json is no JSON: "]),
        ("list.json", ["list.json must be a JSON object"]),
        ("latin.json", ["latin.json is no UTF-8 text"]),
        ("/proc/self/mem", ["/proc/self/mem can't be read: Input/output error"]),
    ],
)
def test_wrong_configuration(file: str, lines: list[str], folder: Path) -> None:
    """Code 2, a line for each mistake that names the file, and nothing judged."""
    run = audit(folder, *ANSWER, "--config", file)
    assert (run.code, run.out) == (2, b"")
    assert [said[: len(line)] for said, line in zip(run.err.splitlines(), lines, strict=True)] == lines


@pytest.mark.parametrize("source", [("--project", "crm"), ("--all-projects",)], ids=" ".join)
def test_without_an_api_key(source: tuple[str, ...], folder: Path) -> None:
    """Live projects need a key; a missing one is wrong usage, and says which variable to set."""
    run = audit(folder, *source, *ANSWER, AMP_API_KEY="")
    assert (run.code, run.out, run.err) == (2, b"", "Error: no API key; set AMP_API_KEY\n")


def test_a_saved_answer_needs_no_api_key(folder: Path) -> None:
    """What is saved can be judged by whoever has the file."""
    assert audit(folder, *ANSWER, "--as-of", AS_OF, "--format", "json", AMP_API_KEY="").code == 1


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"AMP_API_KEY": f"{KEY} x"}, "the API key is empty or has characters that no HTTP header can carry; "),
        ({"AMP_API_URL": f"ftp://{KEY}.test"}, "ampersand:apiUrl (or AMP_API_URL) is no http or https URL; "),
    ],
    ids=["key", "root"],
)
def test_settings_that_cannot_be_used(variables: dict[str, str], error: str, folder: Path) -> None:
    """They are wrong usage, and are never shown."""
    run = audit(folder, "--project", "crm", environ=variables)
    assert (run.code, run.out) == (2, b"")
    (said,) = run.errors
    assert said.startswith(error)


def state(**inputs: Any) -> Any:
    """A state, as ``pulumi stack export`` writes it, with one data source."""
    kind = "pulumi-python:dynamic/ampersand:Connections"
    found = {"urn": f"urn:pulumi:dev::test::{kind}::crm", "type": kind, "inputs": inputs}
    return {"version": 3, "deployment": {"resources": [found]}}


def of_inputs(inputs: Any) -> bytes:
    """Such a state whose data source has these for inputs."""
    found = state()
    found["deployment"]["resources"][0]["inputs"] = inputs
    return json.dumps(found).encode()


UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
ENCRYPTED = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "x"}

UNREADABLE: Mapping[str, tuple[bytes, str, str]] = {
    "empty": (b"", "answer", ""),
    "no-json": (b"hello", "answer", "expected a JSON array of connections: JSON is malformed"),
    "cut-off": (
        b'[{"id": "conn_1", "provi',
        "answer",
        "expected a JSON array of connections: Input data was truncated",
    ),
    "cut-off-object": (b'{"id": "conn_1"', "answer", "is no JSON: "),
    "text": (b'"hello"', "answer", "expected a JSON array of connections, got text"),
    "other-object": (b'{"a": 1}', "answer", "is neither a list of connections as the API sends it, nor what "),
    "problem": (b'{"status": 401, "title": "Unauthorized"}', "answer", 'connections[0] has no "id"'),
    "list-of-numbers": (b"[1]", "answer", "connections[0] is a number, not an object"),
    "second-is-incomplete": (
        json.dumps([CLEAN, {"id": "conn_2"}]).encode(),
        "answer",
        'connections[1] has no "provider"',
    ),
    "report": (b'{"schemaVersion": 1, "findings": []}', "answer", "is a report of an audit; to compare with it"),
    "saved-by-a-newer-version": (
        b'{"v": 2, "connections": [], "observations": {}}',
        "answer",
        "",
    ),
    "state-without-data-source": (
        b'{"version": 3, "deployment": {"resources": []}}',
        "state",
        "its state has no Ampersand data source, so there is nothing to judge",
    ),
    "state-of-nothing": (
        b'{"version": 3, "deployment": null}',
        "state",
        "is no state that pulumi stack export wrote: ",
    ),
    "state-of-another-shape": (b'{"version": 3, "deployment": []}', "state", "is no state that pulumi stack export"),
    "state-unknown": (
        json.dumps(state(connections=UNKNOWN, observations=UNKNOWN)).encode(),
        "state",
        "crm: its connections were not evaluated: a filter isn't known until the update",
    ),
    "state-encrypted": (
        json.dumps(state(connections=ENCRYPTED, observations=ENCRYPTED)).encode(),
        "state",
        "crm: its connections are encrypted; run: pulumi stack export --show-secrets",
    ),
    "state-without-documents": (
        json.dumps(state()).encode(),
        "state",
        "crm: its state has no connections; run: pulumi refresh",
    ),
    "state-inputs-null": (of_inputs(None), "state", ""),
    "state-inputs-list": (of_inputs([]), "state", ""),
    "state-inputs-text": (of_inputs("x"), "state", ""),
    "utf-16": (json.dumps([CLEAN]).encode("utf-16"), "answer", ""),
    "nested-too-deep": (b"[" * 100_000, "answer", "expected a JSON array of connections: "),
    "nested-too-deep-object": (b'{"a":' * 100_000, "answer", "is no JSON: "),
    "zeros": (bytes(4096), "answer", "expected a JSON array of connections: JSON is malformed"),
    "twice": (b"[][]", "answer", "expected a JSON array of connections: JSON is malformed"),
}
"""Files that can't be read, what each is taken for, and how the reason begins."""


def incomplete(run: Run, *errors: str) -> None:
    """Check that a run is incomplete and says why: an error each, in this order, with these beginnings."""
    assert run.code == 3, run.err
    assert [said[: len(error)] for said, error in zip(run.errors, errors, strict=True)] == list(errors)
    assert run.err.splitlines()[-1].startswith("Incomplete: ")
    assert "Clean" not in run.err
    assert (run.report["verdict"], run.report["exitCode"]) == ("incomplete", 3)


@pytest.mark.parametrize("before", [(), ANSWER], ids=["first", "second"])
def test_a_file_on_which_reading_fails(before: tuple[str, ...], folder: Path) -> None:
    """It can be opened, and then the disk fails: the same, whether it is read ahead or not."""
    run = audit(folder, *before, "--input", "/proc/self/mem", "--as-of", AS_OF, "--format", "json")
    incomplete(run, "answer /proc/self/mem: can't be read: Input/output error")


@pytest.mark.parametrize("kind", UNREADABLE)
def test_files_that_cannot_be_read(kind: str, tmp_path: Path) -> None:
    """Code 3, a line that names file and reason, the same in the report, and the others judged all the same."""
    content, taken_for, error = UNREADABLE[kind]
    (tmp_path / "odd.json").write_bytes(content)
    write(tmp_path, "good.json", [BAD])
    run = audit(tmp_path, "--input", "odd.json", "--input", "good.json", "--as-of", AS_OF, "--format", "json")
    incomplete(run, f"{taken_for} odd.json: {error}")
    assert [(source["status"], source["connections"]) for source in run.report["sources"]] == [
        ("failed", 0),
        ("complete", 1),
    ]
    assert run.report["sources"][0]["error"].startswith(error)
    assert ("no-bad-credentials", "conn_bad") in run.findings


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing.json", "can't be read: No such file or directory"),
        ("folder", "can't be read: Is a directory"),
        ("answer.json/x", "can't be read: Not a directory"),
        ("x" * 300, "can't be read: File name too long"),
    ],
    ids=["missing", "folder", "below-a-file", "long"],
)
def test_files_that_are_not_there(name: str, error: str, folder: Path) -> None:
    """Likewise."""
    run = audit(folder, "--input", name, *ANSWER, "--as-of", AS_OF, "--format", "json")
    incomplete(run, f"answer {name}: {error}")


def test_a_state_of_which_a_part_is_unknown(tmp_path: Path) -> None:
    """What a state knows is judged; that it doesn't know everything is an error."""
    connections, observations = inventory(BAD).documents()
    known = state(connections=connections, observations=observations)
    resources = known["deployment"]["resources"]
    resources += state(connections=UNKNOWN, observations=UNKNOWN)["deployment"]["resources"]
    write(tmp_path, "state.json", known)
    run = audit(tmp_path, "--input", "state.json", "--as-of", AS_OF, "--format", "json")
    incomplete(run, "state state.json: crm: its connections were not evaluated: a filter isn't known until")
    assert [(source["status"], source["connections"]) for source in run.report["sources"]] == [("partial", 1)]
    assert ("no-bad-credentials", "conn_bad") in run.findings


def test_a_stack_without_pulumi(folder: Path) -> None:
    """A stack is read by the Pulumi CLI; without one the error says so, and the others are judged."""
    run = audit(folder, "--stack", "dev", *ANSWER, "--as-of", AS_OF, "--format", "json", PATH=str(folder))
    incomplete(run, "stack dev: pulumi isn't on PATH; run: pulumi-ampersand doctor")
    assert ("no-bad-credentials", "conn_bad") in run.findings


def fake_pulumi(folder: Path, script: str) -> str:
    """A PATH with a ``pulumi`` that is this shell script."""
    program = folder / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{program.parent}:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (
            "echo 'error: no stack named dev found' >&2; exit 255",
            "pulumi stack export failed: error: no stack named dev",
        ),
        ("exit 7", "pulumi stack export failed: exit code 7"),
        ("echo hello", "is no JSON: "),
        ("true", "is no JSON: "),
        ("echo '{}'", "is no state that pulumi stack export wrote: "),
        ("printf 'error: \\033[31mred\\n' >&2; exit 1", "pulumi stack export failed: error: "),
        ("kill -9 $$", "pulumi stack export failed: exit code -9"),
    ],
    ids=["unknown-stack", "silent", "no-json", "empty", "no-state", "colours", "killed"],
)
def test_a_stack_that_cannot_be_exported(script: str, error: str, folder: Path) -> None:
    """What the Pulumi CLI says is handed on, on one line without colours."""
    path = fake_pulumi(folder, script)
    run = audit(folder, "--stack", "dev", "--format", "json", PATH=path)
    incomplete(run, f"stack dev: {error}")


def test_a_stack_gets_no_terminal_and_no_hold_of_options(folder: Path) -> None:
    """The name is no option of the Pulumi CLI's, whatever it is, and nothing can be asked."""
    path = fake_pulumi(folder, 'printf "%s\\n" "$@" > asked; cat >> asked; exit 1')
    audit(folder, "--stack", "--show-secrets", "--format", "json", PATH=path, stdin=b"typed")
    assert (folder / "asked").read_text().splitlines() == [
        "stack",
        "export",
        "--non-interactive",
        "--stack=--show-secrets",
    ]


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """An API with two projects, of which one has a connection that is broken."""
    projects = [
        Project(id="proj_crm", name="crm", connections=[{**BAD, "projectId": "proj_crm"}]),
        Project(id="proj_erp", name="erp", connections=[{**CLEAN, "projectId": "proj_erp"}]),
    ]
    with Sandbox(connections=[], projects=projects, api_key=KEY, now=NOW) as running:
        yield running


REFUSED: Mapping[str, tuple[str, str]] = {
    "401": ("401", "401 "),
    "403": ("403", "403 "),
    "404": ("404", "404 "),
    "500": ("500,retryable=false", "500 "),
    "key-echo": ("key-echo", "401 "),
    "invalid-json": ("invalid-json", ""),
    "not-a-list": ("not-a-list", ""),
    "html": ("html,status=404", "404 "),
    "redirect": ("redirect", ""),
}
"""Faults of an API that aren't worth another try, and how what is said of them begins."""


@pytest.mark.parametrize("fault", REFUSED)
def test_a_project_that_the_api_refuses(fault: str, api: Sandbox, folder: Path) -> None:
    """Code 3, a line with project, address, status and remedy, without the key even if the API echoes it."""
    text, status = REFUSED[fault]
    api.faults = [f"{text}@list"]
    run = audit(folder, "--project", "crm", *ANSWER, "--as-of", AS_OF, "--format", "json", AMP_API_URL=api.url)
    incomplete(run, f'project crm: reading connections of project "crm" at {api.url}: {status}')
    assert [source["status"] for source in run.report["sources"]] == ["failed", "complete"]
    assert ("no-bad-credentials", "conn_bad") in run.findings


def test_a_server_that_is_down(folder: Path) -> None:
    """Nobody listens there: code 3, and what to check."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        run = audit(folder, "--project", "crm", *ANSWER, "--as-of", AS_OF, "--format", "json", AMP_API_URL=url)
    incomplete(
        run, f'project crm: reading connections of project "crm" at {url}: [Errno 111] Connection refused; check '
    )


def test_one_failing_project_stops_no_other(api: Sandbox, folder: Path) -> None:
    """The others' findings are there, and the sources say which one failed, in the order of the options."""
    run = audit(
        folder,
        *("--project", "gone", "--project", "crm", "--project", "erp", "--project", "lost"),
        *("--as-of", AS_OF, "--format", "json"),
        AMP_API_URL=api.url,
    )
    incomplete(run, "project gone: ", "project lost: ")
    assert [(source["name"], source["status"], source["connections"]) for source in run.report["sources"]] == [
        ("gone", "failed", 0),
        ("crm", "complete", 1),
        ("erp", "complete", 1),
        ("lost", "failed", 0),
    ]
    assert ("no-bad-credentials", "conn_bad") in run.findings


def test_all_projects(api: Sandbox, folder: Path) -> None:
    """All that the key can read, once each, even if one is named, too."""
    run = audit(
        folder,
        *("--all-projects", "--project", "erp", "--as-of", AS_OF, "--format", "json"),
        AMP_API_URL=api.url,
    )
    assert run.code == 1
    assert [(source["name"], source["status"]) for source in run.report["sources"]] == [
        ("erp", "complete"),
        ("proj_crm", "complete"),
    ]
    assert ("no-bad-credentials", "conn_bad") in run.findings


def test_all_projects_that_cannot_be_listed(api: Sandbox, folder: Path) -> None:
    """That the list fails is an error; a project that is named is read all the same."""
    api.faults = ["403@projects"]
    run = audit(
        folder,
        *("--all-projects", "--project", "crm", "--as-of", AS_OF, "--format", "json"),
        AMP_API_URL=api.url,
    )
    incomplete(run, "project all projects: ")
    assert ("no-bad-credentials", "conn_bad") in run.findings


def test_all_projects_of_a_key_that_can_read_none(folder: Path) -> None:
    """A key that is shown no project has nothing to judge: that everything is clean nobody can say."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_once, args=(server, b"[]"), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        run = audit(folder, "--all-projects", "--format", "json", AMP_API_URL=url)
    assert run.code == 3
    assert "Clean" not in run.err


def answer_once(server: socket.socket, body: bytes) -> None:
    """Answer one request with this JSON."""
    asking, _ = server.accept()
    with asking:
        asking.recv(65536)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        asking.sendall(head.encode() + body)


def test_the_environments_project_counts_without_another_source(api: Sandbox, folder: Path) -> None:
    """AMP_PROJECT is read where nothing else is asked for, and only there."""
    variables = {"AMP_API_URL": api.url, "AMP_PROJECT": "crm"}
    run = audit(folder, "--as-of", AS_OF, "--format", "json", environ=variables)
    assert [source["name"] for source in run.report["sources"]] == ["crm"]
    run = audit(folder, *ANSWER, "--as-of", AS_OF, "--format", "json", environ=variables)
    assert [source["name"] for source in run.report["sources"]] == ["answer.json"]


CRASHING = """
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity

def check(inventory, options, now):
    for entry in inventory:
        yield Breach("it is one", entry)
        raise RuntimeError("secret of a customer")

OWN = [
    Rule(id="crashing", title="Nothing crashes", severity=Severity.LOW, enforcement=Enforcement.ADVISORY,
         remediation="Mend it", check=check, options=Options),
]
"""


def test_a_rule_that_crashes(folder: Path) -> None:
    """A crash is no pass: code 3, a line that names rule and place, without the exception's text."""
    (folder / "own_rules.py").write_text(CRASHING)
    run = audit(folder, *ANSWER, "--own", "own_rules:OWN", "--as-of", AS_OF, "--format", "json")
    incomplete(run, "crashing: the rule crashed with RuntimeError at own_rules.py:7; report this defect")
    assert "secret of a customer" not in run.err + run.out.decode()
    assert {("no-bad-credentials", "conn_bad"), ("crashing", "conn_bad")} <= set(run.findings)


UNHEARD = """
import os, signal, time
from pulumi_ampersand_policies.rule import Enforcement, Options, Rule, Severity

class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIG{number})
        time.sleep(0.01)

def check(inventory, options, now):
    Destroyed()
    for _ in range(1000):
        time.sleep(0.01)
    yield from ()

OWN = [
    Rule(id="slow", title="Nothing takes ten seconds", severity=Severity.LOW, enforcement=Enforcement.ADVISORY,
         remediation="Wait", check=check, options=Options),
]
"""


@pytest.mark.parametrize(("number", "code"), [("INT", 130), ("TERM", 143)])
def test_a_signal_where_python_hears_none(folder: Path, number: str, code: int) -> None:
    """What is raised in a destructor is ignored by Python, and said once more."""
    (folder / "own_rules.py").write_text(UNHEARD.replace("{number}", number))
    run = audit(folder, *ANSWER, "--own", "own_rules:OWN", "--as-of", AS_OF, "--format", "json")
    assert (run.code, run.out) == (code, b"")


def test_own_rules_break_like_others(folder: Path) -> None:
    """Their findings count by their own levels and severities."""
    (folder / "own_rules.py").write_text(CRASHING.replace("        raise", "        continue\n        raise"))
    write(folder, "clean.json", [CLEAN])
    arguments = ("--input", "clean.json", "--own", "own_rules:OWN", "--as-of", AS_OF, "--format", "json")
    run = audit(folder, *arguments)
    assert (run.code, run.findings) == (0, [("crashing", "conn_clean")])
    assert audit(folder, *arguments, "--fail-on", "low").code == 1


UNWRITABLE: Mapping[str, tuple[tuple[str, ...], str]] = {
    "save-below-a-file": (("--save", "answer.json/x"), "--save answer.json/x: can't be written: Not a directory"),
    "save-to-a-device": (("--save", "/dev/full"), "--save /dev/full: can't be written: File exists"),
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_what_cannot_be_written(kind: str, folder: Path) -> None:
    """Code 3 even if nothing breaks, a line that names the file, and nobody is told that all is clean."""
    options, error = UNWRITABLE[kind]
    write(folder, "clean.json", [CLEAN])
    before = left_in(folder)
    run = audit(folder, "--input", "clean.json", "--as-of", AS_OF, *options)
    assert run.code == 3
    (said,) = run.errors
    assert said.startswith(error)
    assert left_in(folder) == before
    assert "Clean" not in run.err


@pytest.mark.parametrize("format_", ["json", "table"])
def test_a_full_standard_output(format_: str, folder: Path) -> None:
    """A report that got lost is no clean run."""
    write(folder, "clean.json", [CLEAN])
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [SCRIPT, "audit", "--input", "clean.json", "--as-of", AS_OF, "--format", format_],
            cwd=folder,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=SECONDS,
        )
    run = checked(Run(done.returncode, b"", done.stderr.decode()))
    assert run.code == 3
    assert run.errors == ["standard output: can't be written: No space left on device; no report was written"]
    assert "Clean" not in run.err


def test_a_file_that_grows_too_large(folder: Path) -> None:
    """A file that can't be written to its end isn't there at all, and the one before it is untouched."""
    write(folder, "many.json", [{**CLEAN, "id": f"conn_{number}", "status": "bad_credentials"} for number in range(50)])
    (folder / "audit.json").write_text("before")
    before = left_in(folder)
    done = subprocess.run(
        [SCRIPT, "audit", "--input", "many.json", "--as-of", AS_OF, "--format", "json=audit.json"],
        cwd=folder,
        env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
        timeout=SECONDS,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    run = checked(Run(done.returncode, done.stdout, done.stderr.decode()))
    assert run.code == 3
    assert run.errors == ["audit.json: can't be written: File too large; no report was written"]
    assert (folder / "audit.json").read_text() == "before"
    assert left_in(folder) == before


def test_a_report_says_the_code_that_the_run_ends_with(folder: Path) -> None:
    """Even where what was read could not be kept: whoever reads the file alone must not take it for clean."""
    write(folder, "clean.json", [CLEAN])
    run = audit(folder, "--input", "clean.json", "--as-of", AS_OF, "--format", "json", "--save", "/dev/full")
    assert run.code == 3
    assert run.report["exitCode"] == 3


WORSE: tuple[tuple[str, ...], ...] = (
    ("--severity", "hihg"),
    ("--config", "typo.json"),
    ("--baseline", "text.json"),
    ("--format", "json=missing/x"),
    ("--provider", ""),
    ("--fail-on-new",),
    ("--input", "-", "--input", "-"),
)
BAD_ENOUGH: Mapping[str, tuple[str, ...]] = {
    "broken": ANSWER,
    "broken-and-incomplete": (*ANSWER, "--input", "missing.json"),
    "incomplete": ("--input", "missing.json"),
    "incomplete-and-unwritable": ("--input", "missing.json", "--format", "csv=/dev/full"),
}


@pytest.mark.parametrize("wrong", WORSE, ids=" ".join)
@pytest.mark.parametrize("found", BAD_ENOUGH)
def test_wrong_usage_beats_everything(found: str, wrong: tuple[str, ...], folder: Path, monkeypatch: Any) -> None:
    """2 beats 3 beats 1, wherever among the arguments the mistake stands."""
    monkeypatch.chdir(folder)
    for arguments in itertools.permutations([BAD_ENOUGH[found], wrong]):
        run = audit_here(*itertools.chain(*arguments))
        assert (run.code, run.out) == (2, b"")


def test_no_key_beats_a_file_that_is_missing(folder: Path) -> None:
    """Wrong usage is found before anything is read, even if it concerns one source of several."""
    run = audit(folder, "--input", "missing.json", "--project", "crm", AMP_API_KEY="")
    assert (run.code, run.out, run.err) == (2, b"", "Error: no API key; set AMP_API_KEY\n")


def test_incomplete_beats_broken(folder: Path) -> None:
    """And the line at the end tells both."""
    run = audit(folder, *ANSWER, "--input", "missing.json", "--as-of", AS_OF, "--format", "json")
    incomplete(run, "answer missing.json: ")
    assert run.err.splitlines()[-1] == "Incomplete: 1 failure; 2 findings of 1 connection break so far."
