"""No command gives away a credential: not the API key, and none that the API answers with, on any path that it takes.

What goes through Pulumi, its logs and its state is in ``test_secrecy.py``.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import logging
import os
import pickle
import quopri
import signal
import subprocess
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from click.testing import CliRunner

from audit_runs import SCRIPT, SECONDS, write
from canaries import MARK, METADATA, Records, body, canary, connection, files, leaks, leaves, misshapen
from clients import CLIENTS, Connect
from pulumi_ampersand.client import Client
from pulumi_ampersand.errors import AmpersandError
from pulumi_ampersand.exchange import Limits
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand.settings import Access, ApiKey
from pulumi_ampersand_policies.cli import main
from pulumi_ampersand_policies.reports import FORMATS
from pulumi_ampersand_policies.reports.forecast_report import FORMATS as FORECAST_FORMATS
from pulumi_ampersand_policies.testing import NOW
from raw_server import RawServer, answer
from stack import clean_environment

KEY: Final = canary("api-key")
AS_OF: Final = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
PROBLEM: Final = "application/problem+json"


# The search finds what there is to find.

SECRET: Final = canary("a+b/c=d")
NOISE: Final = "".join(f"{number:x} connection {number} <is>; fine\n" for number in range(2000))

FORMS: Final[Mapping[str, Callable[[str], bytes | str]]] = {
    "plain": lambda text: text,
    "upper-case": str.upper,
    "lower-case": str.lower,
    "json": json.dumps,
    "json-escaped": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "json-in-json": lambda text: json.dumps("".join(f"\\u{ord(letter):04X}" for letter in text)),
    "python-escaped": lambda text: "".join(f"\\x{ord(letter):02x}" for letter in text),
    "url-encoded": lambda text: quote(text, safe=""),
    "url-encoded-whole": lambda text: "".join(f"%{ord(letter):02X}" for letter in text),
    "url-encoded-twice": lambda text: "".join(f"%25{ord(letter):02x}" for letter in text),
    "html": lambda text: html.escape(f"<{text}>"),
    "html-decimal": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "html-hexadecimal": lambda text: "".join(f"&#x{ord(letter):x};" for letter in text),
    "quoted-printable": lambda text: quopri.encodestring(("x" * 70 + text).encode()),
    "quoted-printable-whole": lambda text: "".join(f"={ord(letter):02X}" for letter in text),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "hexadecimal": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64-after-one": lambda text: base64.b64encode(b"x" + text.encode() + b"x"),
    "base64-after-two": lambda text: base64.b64encode(b"xx" + text.encode() + b"xx"),
    "base64-of-a-pickle": lambda text: base64.b64encode(pickle.dumps({"x": [text]})),
    "base64-url": lambda text: base64.urlsafe_b64encode(b"\xff\xfe" + text.encode()),
    "base64-url-encoded": lambda text: quote(base64.b64encode(text.encode())),
    "base64-folded": lambda text: base64.encodebytes(b"x" * 52 + text.encode()),
    "base64-in-json": lambda text: json.dumps(base64.encodebytes(b"x" * 52 + text.encode()).decode()),
    "pickle": pickle.dumps,
    "folded": lambda text: "\n    ".join(textwrap.wrap(text, 3)),
    "folded-in-a-table": lambda text: " \u2502 x\n\u2502 ".join(textwrap.wrap(text, 5)).replace(" x", ""),
    "folded-in-json": lambda text: json.dumps("\r\n\t".join(textwrap.wrap(text, 4))),
    "repr-of-bytes": lambda text: repr([(b"X-Echo", text.encode())]),
    "gzip": lambda text: gzip.compress(f"{NOISE}{text}{NOISE}".encode()),
    "gzip-of-base64": lambda text: gzip.compress(base64.b64encode(text.encode())),
    "gzip-cut-off": lambda text: gzip.compress(f"{text}{NOISE}".encode())[:-20],
    "cut-after-the-mark": lambda text: text[: len(MARK)],
    "cut-before-the-end": lambda text: text[-len(MARK) - 3 :],
}


class TestSearch:
    """The search for canaries."""

    @pytest.mark.parametrize("form", FORMS)
    def test_finds_every_form(self, form: str) -> None:
        """In the midst of something else, whether that is text or bytes."""
        content = FORMS[form](SECRET)
        content = content.encode() if isinstance(content, str) else content
        assert leaks(content)
        assert leaks(NOISE.encode() + b" " + content + b" " + NOISE.encode())

    def test_finds_nothing_where_nothing_is(self) -> None:
        """Not in what is random, in encodings of it, or in the product's own texts."""
        assert leaks(NOISE) == []
        for form in FORMS.values():
            assert leaks(form("another-a+b/c=d-credential")) == []
        sources = files(*(Path(module.__file__ or "").parent for module in (httpx, json, logging)))
        assert [name for name, text in sources.items() if leaks(text)] == []

    def test_a_hit_shows_what_stands_around_it(self) -> None:
        """So that a failing test says where it is."""
        assert leaks(f"the header is {SECRET}, and no more")[0].startswith("plain: b'the header is CANARY-")

    def test_logs_are_kept_with_their_arguments(self) -> None:
        """What is logged at any level by any library is looked at, before and after it is formatted."""
        with Records() as records:
            logging.getLogger("some.library").debug("a %.3s", SECRET)
        assert leaks("\n".join(records.texts))


READ: Final = {
    *(f"{name}" for name in ("id", "projectId", "provider", "status", "authScheme", "createTime", "updateTime")),
    *("providerWorkspaceRef", "providerConsumerRef"),
    *(f"group.{name}" for name in ("groupRef", "groupName", "projectId", "createTime", "updateTime")),
    *(f"consumer.{name}" for name in ("consumerRef", "consumerName", "projectId", "createTime", "updateTime")),
    *(f"providerApp.{name}" for name in ("id", "externalRef", "provider", "clientId", "scopes")),
    *(f"providerApp.{name}" for name in ("projectId", "createTime", "updateTime")),
    *(f"providerMetadata.*.{name}" for name in ("value", "source", "displayName")),
    *(
        f"oauth2AuthorizationCode.{token}.{time}"
        for token in ("accessToken", "refreshToken")
        for time in ("issuedAt", "expiresAt")
    ),
    "oauth2AuthorizationCode.scopes",
}
"""The contract's fields that are no credentials."""


def contract_leaves(schema: Mapping[str, Any], components: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """The paths of all values in a schema of an OpenAPI document; ``*`` stands for any name."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    if "allOf" in schema:
        for part in schema["allOf"]:
            yield from contract_leaves(part, components, place)
    names = {**schema.get("properties", {})}
    if isinstance(schema.get("additionalProperties"), dict):
        names["*"] = schema["additionalProperties"]
    for name, part in names.items():
        yield from contract_leaves(part, components, f"{place}.{name}" if place else name)
    if schema.get("items"):
        yield from contract_leaves(schema["items"], components, place)
    elif not names and "allOf" not in schema:
        yield place


class TestData:
    """The connections that the other tests send."""

    def test_every_credential_is_a_canary(self) -> None:
        """The known ones and those to come, each a different one, on every level."""
        sent = dict(leaves(connection()))
        marked = {path for path, value in sent.items() if isinstance(value, str) and value.startswith(MARK)}
        assert {
            "apiKey",
            *(f"oauth2AuthorizationCode.{name}.token" for name in ("accessToken", "refreshToken")),
        } <= marked
        levels = {path.rpartition(".")[0] for path in marked if path.endswith(".jwt")} | {""}
        assert levels >= {"", "group", "consumer", "providerApp", "providerApp.metadata", "oauth2AuthorizationCode"}
        assert levels >= {"providerMetadata.accessToken", "oauth2AuthorizationCode.accessToken"}
        assert len({sent[path] for path in marked}) > 80

    def test_the_contracts_credentials_are_canaries(self) -> None:
        """Every field of the OpenAPI document that `AMPERSAND_OPENAPI` names is one or known to be none."""
        contract = os.environ.get("AMPERSAND_OPENAPI")
        if contract is None:
            pytest.skip("AMPERSAND_OPENAPI names no OpenAPI document")
        components = json.loads(Path(contract).read_text("utf-8"))["components"]["schemas"]
        found = set(contract_leaves(components["Connection"], components))
        canaries = {path for path, value in leaves(connection()) if isinstance(value, str) and leaks(value)}
        objects = {"providerApp.metadata.authQueryParams.*", "providerApp.metadata.providerParams.*"}
        canaries |= {path for path in objects if path.removesuffix("*") + "secret" in canaries}
        assert "apiKey" in found
        assert found - READ - canaries == set()


# Commands


class Kept(NamedTuple):
    """What a command left, all of it.

    Attributes:
        code: Its exit code.
        out: Its standard output.
        err: Its standard error.
        logs: What all libraries logged.
        folder: The folder that it ran in.
    """

    code: int
    out: str
    err: str
    logs: str
    folder: Path

    @property
    def found(self) -> dict[str, list[str]]:
        """Where there are canaries."""
        left: dict[str, bytes | str] = {"out": self.out, "err": self.err, "logs": self.logs, **files(self.folder)}
        return {place: hits for place, content in left.items() if (hits := leaks(content))}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    made = tmp_path / "here"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def run(folder: Path, *arguments: str | Path, url: str = "http://127.0.0.1:9", stdin: bytes = b"") -> Kept:
    """Run the command line in this process, with our key in the environment and everything logged.

    Args:
        folder: The current folder.
        arguments: A command and its arguments.
        url: The API's root.
        stdin: Its standard input.
    """
    variables = {"AMP_API_KEY": KEY, "AMP_API_URL": url, "AMP_PROJECT": "proj_1", "PATH": str(folder)}
    with Records() as records:
        done = CliRunner(env=variables).invoke(main, list(map(str, arguments)), input=stdin)
    raised = "" if done.exception is None else "".join(traceback.format_exception(done.exception))
    return Kept(done.exit_code, done.stdout, done.stderr + raised, "\n".join(records.texts), folder)


EVERY_RULE: Final = {
    "all": "mandatory",
    "required-scopes": {"scopes": {"*": ["never"]}},
    "forbidden-scopes": {"scopes": {"*": ["*"]}},
    "allowed-scopes": {"scopes": {"*": ["never"]}},
    "allowed-providers": {"deny": ["salesforce"]},
    "allowed-workspaces": {"workspaces": {"*": "never"}},
    "connection-schema": {"schema": {"not": {"required": ["id"]}, "properties": {"group": {"maxProperties": 0}}}},
    "required-connections": {"require": [{"provider": "salesforce"}]},
    "credential-age": {"maxDays": 1},
    "idle-connections": {"maxDays": 1},
}
"""A configuration by which everything is wrong, so that everything is spoken of."""

RAISING: Final = """
import os
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity

def everything(entry):
    return f"{entry!r} {entry.connection!r} {entry.observation!r} {entry.found!r} {os.environ['AMP_API_KEY']}"

class Telling(Exception):
    def __init__(self, entry):
        super().__init__(everything(entry), os.environ["AMP_API_KEY"])
        self.entry = entry

def raises(inventory, options, now):
    for entry in inventory:
        try:
            raise KeyError(everything(entry))
        except KeyError as error:
            raise Telling(entry) from error
    yield

def speaks(inventory, options, now):
    for entry in inventory:
        yield Breach(f"it is {entry!r} {entry.connection!r} {entry.observation!r} {entry.found!r}", entry)

class Remedy(str):
    def replace(self, *_):
        raise RuntimeError(os.environ["AMP_API_KEY"])

def rule(name, check, remedy="Mend it"):
    return Rule(id=name, title="Nothing is told", severity=Severity.LOW, enforcement=Enforcement.MANDATORY,
                remediation=remedy, check=check, options=Options)

OWN = [rule("raising", raises), rule("speaking", speaks)]
DEFECT = [rule("defective", speaks, Remedy("Mend it"))]
"""


def state(*connections: Mapping[str, Any]) -> dict[str, Any]:
    """A stack's state in which a data source has read connections."""
    texts = Inventory.from_answer(body(*connections), "proj_1").documents()
    resource = {
        "urn": "urn:pulumi:dev::test::pulumi-python:dynamic/ampersand:Connections::crm",
        "type": "pulumi-python:dynamic/ampersand:Connections",
        "inputs": dict(zip(("connections", "observations"), texts, strict=True)),
    }
    return {"version": 3, "deployment": {"resources": [resource]}}


ONE: Final = connection("conn_1", providerWorkspaceRef="one")
OTHERS: Final = [{**wrong, "id": f"conn_{name}", "providerWorkspaceRef": name} for name, wrong in misshapen().items()]

SOURCES: Final = (
    "live",
    "live-without-credentials",
    "answer",
    "another-shape",
    "standard-input",
    "one",
    "state",
)


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """The API, with canaries wherever there can be one."""
    with Sandbox(connections=[ONE, *OTHERS], api_key=KEY) as running:
        yield running


def source(kind: str, outside: Path, api: Sandbox) -> tuple[list[str | Path], bytes]:
    """Arguments for a source, whose files lie outside of what is searched, and standard input."""
    api.list_credentials = kind != "live-without-credentials"
    if kind.startswith("live"):
        return ["--project", api.project, "--details", "always"], b""
    content = {
        "answer": body(ONE),
        "another-shape": body(ONE, *OTHERS),
        "standard-input": body(*OTHERS),
        "one": json.dumps(ONE).encode(),
        "state": json.dumps(state(ONE, *OTHERS)).encode(),
    }[kind]
    if kind == "standard-input":
        return ["--input", "-"], content
    file = outside / "source.json"
    file.write_bytes(content)
    return ["--input", file], b""


@pytest.mark.parametrize("kind", SOURCES)
def test_the_audit_in_every_form(kind: str, folder: Path, api: Sandbox) -> None:
    """Reports of all forms, on standard output and in files, what is kept, messages, logs, and rules that crash."""
    (folder / "policy.json").write_text(json.dumps(EVERY_RULE))
    # A module is imported once in a process.
    own = f"own_{kind.replace('-', '_')}"
    (folder / f"{own}.py").write_text(RAISING)
    arguments, stdin = source(kind, folder.parent, api)
    arguments += ["--config", "policy.json", "--own", f"{own}:OWN", "--as-of", AS_OF, "--verbose", "--save", "kept"]
    in_files = [option for name in FORMATS for option in ("--format", f"{name}=report.{name}")]
    kept = run(folder, "audit", *arguments, *in_files, url=api.url, stdin=stdin)
    assert kept.found == {}
    assert kept.code == 3
    assert f"raising: the rule crashed with Telling at {own}.py:" in kept.err
    report = json.loads((folder / "report.json").read_text())
    assert {finding["rule"] for finding in report["findings"]} >= {
        "no-bad-credentials",
        "connection-schema",
        "speaking",
    }
    (saved,) = (folder / "kept").iterdir()
    # What only looks like a credential is data, and stays.
    assert METADATA in saved.read_text("utf-8")
    # How a form is written doesn't depend on where connections come from.
    for name in FORMATS if kind == "one" else ():
        shown = run(folder, "audit", *arguments, "--format", name, url=api.url, stdin=stdin)
        assert (shown.found, shown.code) == ({}, 3)
        assert "conn_" in shown.out


@pytest.mark.parametrize("kind", SOURCES)
def test_the_forecast_in_every_form(kind: str, folder: Path, api: Sandbox) -> None:
    """Likewise."""
    own = f"foreseen_{kind.replace('-', '_')}"
    (folder / f"{own}.py").write_text(RAISING)
    arguments, stdin = source(kind, folder.parent, api)
    arguments += ["--own", f"{own}:OWN", "--as-of", AS_OF, "--verbose"]
    in_files = [option for name in FORECAST_FORMATS for option in ("--format", f"{name}=forecast.{name}")]
    kept = run(folder, "forecast", *arguments, *in_files, url=api.url, stdin=stdin)
    assert (kept.found, kept.code) == ({}, 3)
    assert "raising" in kept.err
    for name in FORECAST_FORMATS:
        shown = run(folder, "forecast", *arguments, "--format", name, url=api.url, stdin=stdin)
        assert (shown.found, shown.code) == ({}, 3)


def test_a_defect_of_a_command(folder: Path, api: Sandbox) -> None:
    """Where the command itself fails, its line names the place, and not what the exception says."""
    (folder / "defective_rules.py").write_text(RAISING)
    for command in ("audit", "forecast"):
        kept = run(folder, command, "--project", api.project, "--own", "defective_rules:DEFECT", url=api.url)
        if command == "audit":
            assert kept.err.splitlines()[0].startswith("Error: RuntimeError at defective_rules.py:")
            assert kept.code == 3
        assert kept.found == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("audit", "--help"),
        ("rules",),
        ("rules", "show", "token-expiry"),
        ("rules", "--config", "policy.json"),
        ("rules", "--config", "broken.json"),
        ("config", "schema"),
        ("config", "profile", "strict"),
        ("config", "check", "policy.json"),
        ("config", "check", "broken.json"),
        ("pack", "init", "pack"),
        ("completion", "bash"),
        ("completion", "zsh"),
        ("completion", "fish"),
        ("doctor", "--offline"),
        ("sandbox", "--scenario", "nothing"),
        ("audit", "--input", "policy.json"),
        ("audit", "--provider", ""),
        ("nothing",),
    ],
    ids=" ".join,
)
def test_commands_that_ask_nobody(arguments: tuple[str, ...], folder: Path) -> None:
    """The key in the environment is in nothing that they say or write."""
    write(folder, "policy.json", EVERY_RULE)
    write(folder, "broken.json", {"token-expiry": {"minDay": 1}})
    kept = run(folder, *arguments)
    assert kept.out + kept.err
    assert kept.found == {}


COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "audit": ("audit", "--verbose", "--save", "kept", "--format", "json", "--details", "always"),
    "audit-all": ("audit", "--verbose", "--all-projects", "--format", "json=audit.json", "--format", "html"),
    "forecast": ("forecast", "--verbose", "--format", "csv"),
    "doctor": ("doctor",),
    "reauth": ("reauth", "conn_1"),
}
"""The commands that ask the API."""

GRANT: Final = ONE["oauth2AuthorizationCode"]
ECHO: Final = {
    "title": KEY,
    "detail": f"bad key {KEY}",
    "remedy": f"replace {KEY}",
    "requestId": KEY,
    "context": {"token": canary("context")},
    "causes": [canary("causes")],
    "issues": [
        {"in": KEY, "name": KEY, "detail": KEY, "value": canary("value")},
        {"in": "query", "name": "groupRef", "detail": "too long", "value": canary("value")},
    ],
    "retryable": False,
}


def broken(text: bytes) -> bytes:
    """An answer that isn't JSON, close by a token."""
    whole = body(ONE)
    assert whole.count(b'"apiKey": ') == 1
    return answer(whole.replace(b'"apiKey": ', b'"apiKey": ' + text))


ANSWERS: Final[Mapping[str, bytes]] = {
    "everything": answer(body(ONE, *OTHERS)),
    "one-for-a-list": answer(json.dumps(ONE).encode()),
    "no-id": answer(body(ONE, {**ONE, "id": None})),
    "id-of-another-type": answer(body({**ONE, "id": [canary("id")]})),
    "provider-of-another-type": answer(body({**ONE, "provider": {"token": canary("provider")}})),
    "status-of-another-type": answer(body({**ONE, "status": 5})),
    "twice": answer(body(ONE, {**ONE, "status": "error"})),
    "text-in-the-list": answer(json.dumps([ONE, canary("entry")]).encode()),
    "text": answer(json.dumps(canary("text")).encode()),
    "list-of-text": answer(json.dumps([canary("entry")]).encode()),
    "lists": answer(json.dumps([[canary("entry")]]).encode()),
    "cut": answer(body(ONE)[:-200]),
    "cut-in-a-token": answer(body(ONE).partition(b"CANARY-apiKey")[0] + b"CANARY-apiK"),
    "bare-word": broken(b"x"),
    "comma": broken(b","),
    "control-character": broken(b'"\x01'),
    "bad-escape": broken(b'"\\q'),
    "no-utf-8": broken(b'"\xff'),
    "surrogate": broken(b'"\\ud800'),
    "quote": broken(b"'"),
    "two-documents": answer(body(ONE) + body(ONE)),
    "html": answer(f"<html>{canary('page')} {KEY}</html>".encode(), 200, "text/html"),
    "html-error": answer(f"<html>{canary('page')} {KEY}</html>".encode(), 403, "text/html"),
    "refused": answer(json.dumps(ECHO).encode(), 401, PROBLEM),
    "forbidden": answer(json.dumps(ECHO).encode(), 403, PROBLEM),
    "not-found": answer(json.dumps(ECHO).encode(), 404, PROBLEM),
    "failed": answer(json.dumps(ECHO).encode(), 500, PROBLEM),
    "busy": answer(json.dumps(ECHO).encode(), 429, PROBLEM, Retry_After=KEY),
    "refused-with-connections": answer(body(ONE), 403),
    "refused-in-pieces": answer(json.dumps(ECHO).encode()[:-1], 403, PROBLEM),
    "redirect": answer(b"", 302, Location=f"https://{KEY}:{KEY}@x.test/{KEY}?key={KEY}#{KEY}"),
    "redirect-host": answer(b"", 302, Location=f"https://{KEY}.test/"),
    "headers": answer(b"[]", 400, X_Echo=KEY, Set_Cookie=f"key={KEY}", Server=KEY, Retry_After=KEY),
    "headers-of-a-success": answer(b"[]", 200, X_Echo=KEY, Set_Cookie=f"key={KEY}"),
    "content-type": answer(b"[]", 400, f"json/{KEY}"),
    "content-encoding": answer(b"[]", 200, Content_Encoding=KEY),
    "reason": f"HTTP/1.1 400 {KEY}\r\nContent-Length: 0\r\n\r\n".encode(),
    "empty": answer(b""),
    "link-of-two-lines": answer(f"https://x.test/\n{canary('link')}".encode()),
    "no-link": answer(f"javascript:{canary('link')}".encode()),
}
"""What servers answer with, each holding what may not be told: our key, or what is somebody's credential."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_that_go_wrong(kind: str, command: str, folder: Path) -> None:
    """On every path through a command that asks the API."""
    with RawServer(ANSWERS[kind]) as server:
        kept = run(folder, *COMMANDS[command], url=server.url)
    assert server.requests
    assert all(f"x-api-key: {KEY}".lower() in request.lower() for request in server.requests)
    assert kept.out + kept.err
    assert "httpcore.http11 receive_response_headers" in kept.logs
    assert kept.found == {}


WRONG_SETTINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "key-of-two-words": {"AMP_API_KEY": f"{KEY} {KEY}"},
    "key-beyond-ascii": {"AMP_API_KEY": f"{KEY}\u00e9"},
    "password": {"AMP_API_URL": f"https://{KEY}:{KEY}@x.test"},
    "scheme": {"AMP_API_URL": f"ftp://{KEY}"},
    "query": {"AMP_API_URL": f"https://x.test/?key={KEY}"},
    "proxy-port": {"HTTP_PROXY": f"http://{KEY}:{KEY}"},
    "proxy-scheme": {"HTTP_PROXY": f"gopher://user:{KEY}@127.0.0.1:9"},
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", WRONG_SETTINGS)
def test_settings_that_go_wrong(kind: str, command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, or a proxy's password, that can't be used isn't shown either."""
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    settings = {"AMP_API_KEY": KEY, "AMP_API_URL": "http://x.test", "AMP_PROJECT": "proj_1", "PATH": str(folder)}
    done = CliRunner(env={**settings, **WRONG_SETTINGS[kind]}).invoke(main, COMMANDS[command])
    assert done.exit_code == (1 if command == "doctor" else 2)
    assert leaks(done.stdout + done.stderr + repr(done.exception)) == []


# Processes of their own

LOG_EVERYTHING: Final = """
import logging
import pathlib

file = pathlib.Path(__file__).with_name("debug.log")
logging.basicConfig(level=logging.DEBUG, filename=file, format="%(name)s %(message)s")
"""
"""Python runs this in each process that has its folder in PYTHONPATH."""


def test_a_process_that_says_all_it_can(folder: Path, api: Sandbox) -> None:
    """Python's development mode, warnings, tracebacks of signals and all logs on: the command as users start it."""
    (folder / "sitecustomize.py").write_text(LOG_EVERYTHING)
    (folder / "own_rules.py").write_text(RAISING)
    arguments, _ = source("live", folder, api)
    variables = {
        "AMP_API_KEY": KEY,
        "AMP_API_URL": api.url,
        "PYTHONPATH": str(folder),
        "PYTHONDEVMODE": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONASYNCIODEBUG": "1",
    }
    done = subprocess.run(
        [SCRIPT, "audit", *arguments, "--own", "own_rules:OWN", "--verbose", "--save", "kept", "--format", "json"],
        cwd=folder,
        env=clean_environment(SCRIPT.parent) | variables,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 3, done.stderr[-2000:]
    assert "httpcore.http11 send_request_headers" in (folder / "debug.log").read_text()
    assert {place: hits for place, content in files(folder).items() if (hits := leaks(content))} == {}
    assert leaks(done.stdout) + leaks(done.stderr) == []


def test_the_sandboxs_own_words(folder: Path) -> None:
    """Neither what it prints nor its log of requests holds keys that it was sent, or what it serves."""
    data = folder.parent / "data.json"
    data.write_bytes(body(ONE, {**ONE, "id": "conn_2"}))
    (folder / "sitecustomize.py").write_text(LOG_EVERYTHING)
    ready = folder / "ready"
    process = subprocess.Popen(
        [SCRIPT, "sandbox", "--port", "0", "--data", data, "--ready-file", ready, "--api-key", "plain"],
        cwd=folder,
        env=clean_environment(SCRIPT.parent) | {"PYTHONPATH": str(folder), "PYTHONDEVMODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        url = said.split()[3].rstrip(b",").decode()
        with httpx.Client(base_url=url, trust_env=False) as client:
            right, wrong = {"X-Api-Key": "plain"}, {"X-Api-Key": KEY}
            for headers in (right, wrong):
                assert client.get("/v1/projects/quickstart/connections", headers=headers).status_code in {200, 401}
                client.get("/v1/projects/quickstart/connections/conn_1?includeRefreshToken=true", headers=headers)
                client.patch("/v1/projects/quickstart/connections/conn_1:oauth-update", headers=headers)
            listed = client.get("/_sandbox/requests").text
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    assert json.loads(listed)[0]["status"] == 200
    assert leaks(said + out) + leaks(err) + leaks(listed) == []
    assert {place: hits for place, content in files(folder).items() if (hits := leaks(content))} == {}


# What programs get


def failing(connect: Connect, content: bytes, call: Callable[[Client], object]) -> AmpersandError | None:
    """What a client says of an answer, if it is an error."""

    def respond(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=content)

    transport = httpx.MockTransport(respond)
    with connect("http://x.test", transport=transport, limits=Limits(attempts=1)) as client:
        try:
            call(client)
        except AmpersandError as error:
            return error
    return None


CALLS: Final[Mapping[str, Callable[[Client], object]]] = {
    "list": lambda client: client.list_connections("proj_1", details="never"),
    "one": lambda client: client.get_connection("proj_1", "conn_1"),
    "token": lambda client: client.get_access_token("proj_1", "conn_1"),
    "projects": lambda client: client.list_projects(),
    "link": lambda client: client.reauthorization_url("proj_1", "conn_1"),
}


def test_an_answer_broken_at_every_place() -> None:
    """Cut off, or with something in it that isn't JSON, anywhere: no error quotes what stands there."""
    sent = {name: ONE[name] for name in ("id", "provider", "status", "apiKey", "authScheme")}
    tokens = {name: {"token": canary(name)} for name in ("accessToken", "refreshToken")}
    whole = body({**sent, "oauth2AuthorizationCode": {**tokens, "scopes": []}})[1:-1]
    access = Access(ApiKey(KEY), "http://x.test")
    answers: list[bytes] = []

    def respond(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=answers[-1])

    errors = set()
    with Client(access, transport=httpx.MockTransport(respond), limits=Limits(attempts=1)) as client:
        for place in range(len(whole)):
            for damage in (b"", b"\x00", b"\xff", b'"', b"\\", b"}", b"[", b"5"):
                damaged = whole[:place] + damage + whole[place + 1 if damage else len(whole) :]
                for name in ("list", "one", "token"):
                    answers.append(b"[" + damaged + b"]" if name == "list" else damaged)
                    try:
                        CALLS[name](client)
                    except AmpersandError as error:
                        errors.add(str(error))
    assert len(errors) > 100
    assert leaks("\n".join(errors)) == []


def held(error: BaseException) -> Iterator[tuple[str, str]]:
    """What a crash reporter sees of an error: the variables of every frame that its chain holds, and where they are."""
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        link = chain.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        chain += [link.__cause__, link.__context__]
        yield type(link).__name__, f"{link!r} {link} {vars(link)!r}"
        for frame in traceback.StackSummary.extract(traceback.walk_tb(link.__traceback__), capture_locals=True):
            if frame.filename != __file__:
                yield f"{Path(frame.filename).name}:{frame.lineno} {frame.name}", repr(frame.locals)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("call", CALLS)
def test_what_a_crash_reporter_sees(call: str, client: str) -> None:
    """Programs report their crashes with the variables of all frames: those of an error hold no answer and no key."""
    whole = body(ONE)
    bad = {
        "cut": whole[:-20],
        "no-id": whole.replace(b'"id": "conn_1"', b'"name": "conn_1"'),
        "text": json.dumps(canary("text")).encode(),
        "nothing-of-use": json.dumps([{"a": canary("a")}]).encode(),
        "no-token": json.dumps({"oauth2AuthorizationCode": {"accessToken": {"key": canary("a")}}}).encode(),
    }
    for name, content in bad.items():
        error = failing(CLIENTS[client], content, CALLS[call])
        assert error is not None, name
        assert {place: hits for place, text in held(error) if (hits := leaks(text))} == {}, name
