"""Every function of the plugin in every language: known, not known yet, by a provider with its own key, and failing.

TypeScript and Go run as inline programs of the Automation API, Python and YAML as ordinary programs, all with the SDKs
that the engine makes of the plugin's schema, and all of them make the calls of one table.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import ruamel.yaml

import canaries
from engine.provision import EngineError
from languages import provide, sdks
from mixed_expectations import CONFIGURATION
from pulumi_ampersand import get_connection, get_connections, get_projects
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies.testing import connection
from stack import ROOT, Result, Stack

pytestmark = pytest.mark.engine

MATRIX = provide.HERE / "matrix"
TYPESCRIPT_EXAMPLE = ROOT / "examples" / "typescript"
RUNTIMES = {"typescript": "nodejs", "go": "go", "python": "python", "yaml": "yaml"}
LANGUAGES = tuple(RUNTIMES)
FUNCTIONS = ("getConnections", "getConnection", "getProjects", "getAccessToken", "Connections")
"""The functions, and the resource."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes a value that isn't known yet."""

GIVES = {
    "getConnections": ".connections",
    "getConnection": "",
    "getProjects": ".projects",
    "getAccessToken": ".accessToken",
    "Connections": ".connections",
}
"""Which field of a function's result, or of the resource, is looked at."""

_PATIENCE = 120


class Call(NamedTuple):
    """A call that programs make."""

    function: str
    way: str
    arguments: Mapping[str, str]

    @property
    def name(self) -> str:
        """What its result is called."""
        return f"{self.function}-{self.way}"


CALLS = [
    Call("getConnections", "known", {}),
    Call("getConnection", "known", {"connectionId": "conn_koyo_slack"}),
    Call("getProjects", "known", {}),
    Call("getAccessToken", "known", {"connectionId": "conn_brightwater_salesforce"}),
    Call("Connections", "known", {}),
    Call("getConnections", "unknown", {"groupRef": "tidewell"}),
    Call("getConnection", "unknown", {"connectionId": "conn_aster_hubspot"}),
    Call("getProjects", "unknown", {}),
    Call("getAccessToken", "unknown", {"connectionId": "conn_koyo_slack"}),
    Call("Connections", "unknown", {"groupRef": "tidewell"}),
    Call("getConnections", "explicit", {"groupRef": "lumen"}),
    Call("getConnection", "explicit", {"groupRef": "koyo"}),
    Call("getProjects", "explicit", {}),
    Call("getAccessToken", "explicit", {"connectionId": "conn_lumen_salesforce"}),
    Call("Connections", "explicit", {"groupRef": "lumen"}),
]
"""All of them at once: a preview and an update of each language show every cell."""


class Program:
    """The program of one language, in a stack of its own."""

    def __init__(self, language: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.language = language
        self.folder = folder
        variables = {**provide.toolchains(), **environment, "PULUMI_DEBUG_COMMANDS": "true"}
        self.stack = Stack(folder, provide.hosts(), "", variables)
        self.inline: list[str] = []
        if language == "typescript":
            (folder / "node_modules").symlink_to(sdks.typescript_sdk(sdks.PLUGIN))
            (folder / "package.json").write_text('{"type": "module"}')
            (folder / "main.ts").write_text((MATRIX / "main.ts").read_text())
            self.inline = [str(provide.NODE), "main.ts"]
        elif language == "go":
            self.inline = [str(sdks.go_program(MATRIX / "main.go", sdks.PLUGIN))]
        elif language == "python":
            self.stack.write((MATRIX / "program.py").read_text())
            self.stack.environment["PYTHONPATH"] = str(sdks.python_sdk(sdks.PLUGIN))
        if language != "python":
            (folder / "__main__.py").unlink()
            (folder / "Pulumi.yaml").write_text(f"name: test\nruntime: {RUNTIMES[language]}\n")

    def run(
        self, operation: str, calls: list[Call], configuration: Mapping[str, Any] | None = None, *, gated: bool = False
    ) -> Result:
        """Preview or update the calls, with the policy pack before them or without."""
        (self.folder / "events").unlink(missing_ok=True)
        pack = self.stack.pack(configuration) if gated else []
        if self.language == "yaml":
            (self.folder / "Main.yaml").write_text(json.dumps(in_yaml(calls), indent=1))
        made = [{"name": call.name, **call._asdict()} for call in calls]
        words = [*self.inline, operation, *pack[1::2]]
        if not self.inline:
            update = ["--yes", "--skip-preview"] if operation == "up" else []
            words = ["pulumi", "--non-interactive", operation, *update, *pack, "--event-log", "events"]
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**self.stack.environment, "CALLS": json.dumps(made)},
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        # What an SDK makes of an error may well be a traceback, but none of ours.
        assert "pulumi_ampersand/" not in result.text, result.text
        return result

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, as the last operation's events have them: also of a preview, secrets hidden."""
        found: dict[str, Any] = {}
        for line in (self.folder / "events").read_text().splitlines():
            metadata = json.loads(line).get("resOutputsEvent", {}).get("metadata", {})
            if metadata.get("type") == "pulumi:pulumi:Stack":
                found.update(metadata["new"].get("outputs", {}))
        return found


def in_yaml(calls: list[Call]) -> dict[str, Any]:
    """The program in YAML that makes the calls."""
    resources: dict[str, Any] = {"later": {"type": "pulumi:index:Stash", "properties": {"input": ""}}}
    variables: dict[str, Any] = {}
    outputs: dict[str, str] = {}
    for call in calls:
        name = call.name.replace("-", "")
        given: dict[str, Any] = dict(call.arguments)
        options: dict[str, Any] = {}
        if call.way == "unknown":
            given = {key: {"fn::select": [0, [value, "${later.id}"]]} for key, value in given.items()}
        if call.way == "explicit":
            settings = {"apiKey": "${euKey}", "apiUrl": "${euUrl}", "project": "${euProject}"}
            resources["eu"] = {"type": "pulumi:providers:ampersand", "properties": settings}
            options = {"options": {"provider": "${eu}"}}
        if call.function == "Connections":
            resources[name] = {"type": "ampersand:Connections", "name": call.name, "properties": given, **options}
        else:
            if call.way == "unknown" and not given:
                options = {"options": {"dependsOn": ["${later}"]}}
            variables[name] = {
                "fn::invoke": {"function": f"ampersand:{call.function}", "arguments": given, **options},
            }
        outputs[call.name] = f"${{{name}{GIVES[call.function]}}}"
        if call.way == "error":
            continue
        stash = {"type": "pulumi:index:Stash", "name": f"{call.name}-stash"}
        resources[f"{name}Stash"] = {**stash, "properties": {"input": outputs[call.name]}}
    return {"resources": resources, "variables": variables, "outputs": outputs}


class Seen(NamedTuple):
    """What one language showed of all calls: results, and what was asked of each server."""

    program: Program
    preview: Result
    update: Result
    previewed: dict[str, Any]
    updated: dict[str, Any]
    asked: list[list[str]]
    """Paths and filters: in the preview of the stack's server and the explicit provider's, then in the update."""


ADVISORY = {"all": "advisory", "required-scopes": {"scopes": CONFIGURATION["required-scopes"]["scopes"]}}
"""A configuration with which every rule judges, and no violation stops the update."""


@pytest.fixture(scope="module", autouse=True)
def toolchains(request: pytest.FixtureRequest) -> None:
    """What runs programs of all languages. Where it can't be had, tests are skipped."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # building the hosts takes a minute, and says so
            provide.toolchains()
            sdks.typescript_sdk(sdks.PLUGIN)
            sdks.python_sdk(sdks.PLUGIN)
            sdks.go_program(MATRIX / "main.go", sdks.PLUGIN)
    except EngineError as error:
        pytest.skip(f"no language hosts: {error}")


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """The stack's API, with connections that break rules. All credentials are canaries."""
    with Sandbox("mixed", api_key=canaries.canary("key")) as running:
        yield running


@pytest.fixture(scope="module")
def explicit_server() -> Iterator[Sandbox]:
    """The API of an explicit provider."""
    with Sandbox("healthy", api_key=canaries.canary("eu")) as running:
        yield running


@pytest.fixture(scope="module")
def programs(server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Program]:
    """A program of each language, in a stack of its own."""
    folder = tmp_path_factory.mktemp("languages")
    return {language: Program(language, folder / language, server.environment) for language in LANGUAGES}


def asked(server: Sandbox) -> list[str]:
    """What a server was asked: the last part of the path, and filters; what was asked twice is there once."""
    found = {f"{request.path.rpartition('/')[2]} {request.query.get('groupRef', '')}" for request in server.requests}
    server.clear_requests()
    return sorted(entry.strip() for entry in found)


@pytest.fixture(scope="module")
def seen(programs: dict[str, Program], server: Sandbox, explicit_server: Sandbox) -> dict[str, Seen]:
    """What each language shows of all calls in a preview and an update, which the policy pack judges."""
    eu = explicit_server
    found = {}
    for language, program in programs.items():
        settings = ("--plaintext", f"euUrl={eu.url}", "--plaintext", f"euProject={eu.project}")
        program.stack.run("config", "set-all", *settings, "--secret", f"euKey={eu.api_key}", check=True)
        server.clear_requests()
        preview = program.run("preview", CALLS)
        assert preview.code == 0, preview.text
        questions, previewed = [asked(server), asked(eu)], program.outputs()
        update = program.run("up", CALLS, ADVISORY, gated=True)
        assert update.code == 0, update.text
        questions += [asked(server), asked(eu)]
        shown = program.stack.outputs()
        found[language] = Seen(program, preview, update, previewed, shown, questions)
    return found


@pytest.fixture(scope="module")
def expected(server: Sandbox, explicit_server: Sandbox) -> dict[str, Any]:
    """What each call has to give, by the functions of the Python package."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        for call in CALLS:
            source = explicit_server if call.way == "explicit" else server
            for variable, value in source.environment.items():
                patch.setenv(variable, value)
            if call.function == "getProjects":
                found[call.name] = get_projects()
            elif call.function == "getAccessToken":
                sent = {one["id"]: one for one in source.connections}[call.arguments["connectionId"]]
                found[call.name] = sent["oauth2AuthorizationCode"]["accessToken"]["token"]
            elif call.function == "getConnection":
                id_, group = call.arguments.get("connectionId"), call.arguments.get("groupRef")
                found[call.name] = get_connection(connection_id=id_, group_ref=group)
            else:
                found[call.name] = get_connections(group_ref=call.arguments.get("groupRef"))
    return {name: json.loads(json.dumps(value)) for name, value in found.items()}


def result(outputs: Mapping[str, Any], call: Call) -> Any:
    """What a call gave, whatever each language makes of what is absent."""
    value = present(outputs[call.name])
    return json.loads(value)["connections"] if call.function == "Connections" and value != UNKNOWN else value


def present(value: Any) -> Any:
    """A value without what is null in it."""
    if isinstance(value, dict):
        return {name: present(part) for name, part in value.items() if part is not None}
    return [present(part) for part in value] if isinstance(value, list) else value


def rows(*ways: str) -> pytest.MarkDecorator:
    """The table's rows: a call and a language each, whose test is called so."""
    cells = [(call, language) for call in CALLS if call.way in ways for language in LANGUAGES]
    return pytest.mark.parametrize(
        ("call", "language"), cells, ids=[f"{call.function}-{language}-{call.way}" for call, language in cells]
    )


@rows("known", "explicit")
def test_known(call: Call, language: str, seen: dict[str, Seen], expected: dict[str, Any]) -> None:
    """What the stack's provider, or an explicit one with another key, gives is known in the preview, and is right."""
    if call.function == "getAccessToken":
        assert seen[language].previewed[call.name]["ciphertext"] == "[secret]"
    else:
        assert result(seen[language].previewed, call) == expected[call.name]
    assert result(seen[language].updated, call) == expected[call.name]


@rows("unknown")
def test_unknown(call: Call, language: str, seen: dict[str, Seen], expected: dict[str, Any]) -> None:
    """What depends on a resource that isn't there yet is unknown in the preview, and right in the update."""
    if (language, call.function) == ("yaml", "getProjects"):
        # A function without arguments can but depend on a resource, which YAML only takes for an order.
        assert result(seen[language].previewed, call) == expected[call.name]
    else:
        assert result(seen[language].previewed, call) == UNKNOWN
    assert result(seen[language].updated, call) == expected[call.name]


@pytest.mark.parametrize("language", LANGUAGES)
def test_unknown_asks_nothing(language: str, seen: dict[str, Seen]) -> None:
    """A preview asks only what is known; the update asks the rest, too. Each server is asked its own."""
    details = ["conn_cobalt_salesforce", "conn_halden_salesforce", "conn_meble_google"]
    previewed, previewed_eu, updated, updated_eu = seen[language].asked
    for_all = {"connections", "conn_brightwater_salesforce", "projects", *details}
    # A single connection is taken from the list that a preview has anyway, if that comes first.
    assert for_all <= set(previewed) <= {*for_all, "conn_koyo_slack"}
    assert set(updated) == {*for_all, "conn_koyo_slack", "conn_aster_hubspot", "connections tidewell"}
    eu = ["conn_lumen_salesforce", "connections koyo", "connections lumen", "projects"]
    assert (previewed_eu, updated_eu) == (eu, eu)


@pytest.mark.parametrize("language", LANGUAGES)
def test_access_tokens_and_keys_stay_secret(language: str, seen: dict[str, Seen]) -> None:
    """As an output and a resource's input: shown as [secret], and encrypted; so is an explicit provider's key."""
    shown = seen[language]
    for operation in (shown.preview, shown.update):
        assert "getAccessToken-known" in operation.out
        assert operation.out.count("[secret]") >= 2
        assert canaries.leaks(operation.text) == []
    resources = {resource["urn"].rpartition("::")[2]: resource for resource in shown.program.stack.resources()}
    stack = resources["test-dev"]["outputs"]
    for call in CALLS:
        if call.function == "getAccessToken":
            held = resources[f"{call.name}-stash"]
            for value in (held["inputs"]["input"], held["outputs"]["output"], stack[call.name]):
                assert set(value) >= {"ciphertext"}
    assert set(resources["eu"]["inputs"]["apiKey"]) >= {"ciphertext"}
    for name, content in canaries.files(shown.program.folder).items():
        assert canaries.leaks(content) == [], name


@pytest.fixture(scope="module")
def judged(server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, ...]]:
    """The violations of the same connections, read by the Python package's data source."""
    program = (
        "import pulumi_ampersand as ampersand\n"
        'ampersand.Connections("Connections-known")\n'
        'ampersand.Connections("Connections-unknown", group_ref="tidewell")\n'
    )
    stack = Stack(tmp_path_factory.mktemp("data-source"), provide.hosts(), program, server.environment)
    return {*stack.preview(*stack.pack(ADVISORY), check=True).violations}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pack_judges_the_resource(language: str, seen: dict[str, Seen], judged: set[tuple[str, ...]]) -> None:
    """As it judges the Python package's data source."""
    assert len(judged) > 10
    assert {*map(without_times, seen[language].update.violations)} == {*map(without_times, judged)}


def without_times(violation: tuple[str, ...]) -> tuple[str, ...]:
    """A violation without how long something is off, which passes meanwhile."""
    return (*violation[:3], re.sub(r"\d+ (minute|hour|day)s?", "", violation[3]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_gate_stops_functions(language: str, server: Sandbox, tmp_path: Path) -> None:
    """The pack's own read stops a program that only calls functions, before anything is made."""
    program = Program(language, tmp_path / language, server.environment)
    program.stack.configure("ampersand:gate", "true")
    refused = program.run("up", CALLS[:1], CONFIGURATION, gated=True)
    assert refused.code != 0
    assert ("mandatory", "no-bad-credentials", "test-dev") in [found[:3] for found in refused.violations]
    # The engine may have noted by then which plugin it runs.
    assert {resource["type"] for resource in program.stack.resources()} <= {"pulumi:providers:ampersand"}


class Failure(NamedTuple):
    """A call that fails.

    Attributes:
        name: What is wrong.
        call: The call.
        sentence: What has to be said of it.
        fault: What the server does.
    """

    name: str
    call: Call
    sentence: str
    fault: str = ""


FAILURES = [
    Failure(
        "empty filter",
        Call("getConnections", "error", {"groupRef": ""}),
        "groupRef is empty; leave it out to filter by nothing",
    ),
    Failure(
        "no such connection",
        Call("getConnection", "error", {"connectionId": "conn_nobody"}),
        'reading connection "conn_nobody" of project "quickstart" at {url}: '
        "404 connectionId: the project has no such connection. Check connectionId",
    ),
    Failure(
        "wrong key",
        Call("getProjects", "error", {}),
        "listing projects at {url}: 401 The API key [API key] is not valid; ",
        "key-echo",
    ),
    Failure(
        "outage",
        Call("getAccessToken", "error", {"connectionId": "conn_koyo_slack"}),
        'reading the access token of connection "conn_koyo_slack" of project "quickstart" at {url}: 503 ',
        "503,retryable=false",
    ),
    Failure(
        "wrong argument",
        Call("Connections", "error", {"details": "never", "refresh": "ifExpired"}),
        'refresh="ifExpired" refreshes by the calls that details="never" forbids: leave out one',
    ),
]
"""One of each function, in the languages' common spelling."""

_FAILING = [(failure, language) for failure in FAILURES for language in LANGUAGES]


@pytest.mark.parametrize(
    ("failure", "language"),
    _FAILING,
    ids=[f"{failure.call.function}-{language}-error: {failure.name}" for failure, language in _FAILING],
)
def test_error(failure: Failure, language: str, programs: dict[str, Program], server: Sandbox) -> None:
    """It is one sentence of ours, once, whatever the language's SDK says around it; nothing of a key."""
    server.faults = [failure.fault] if failure.fault else []
    try:
        refused = programs[language].run("preview", [failure.call])
    finally:
        server.reset()
    assert refused.code == 1
    # What the engine itself puts before it.
    whose = "has a problem: " if failure.call.function == "Connections" else "returned an error: "
    said = "\n".join(refused.diagnostics).count(whose + failure.sentence.format(url=server.url))
    # Pulumi's SDK says what fails in an inline program in TypeScript twice: with a trace, and without.
    assert said == (2 if language == "typescript" and failure.call.function != "Connections" else 1), refused.text
    assert canaries.leaks(refused.text) == []


SNIPPETS = sorted((provide.HERE / "snippets").iterdir())
"""What the schema's descriptions show."""


def snippets_together(language: str) -> dict[str, str]:
    """One ordinary program of all snippets of a language: names of files and their text."""
    ending = {"typescript": "ts", "python": "py", "yaml": "yaml"}[language]
    texts = {file.name: file.read_text() for file in SNIPPETS if file.suffix == f".{ending}"}
    if language == "typescript":
        lines = [f'export * from "./{name.removesuffix(".ts")}";\n' for name in texts]
        settings = {name: (TYPESCRIPT_EXAMPLE / name).read_text() for name in ("package.json", "tsconfig.json")}
        assert json.loads(settings["tsconfig.json"])["compilerOptions"]["strict"]
        return {**texts, "index.ts": "".join(lines), **settings}
    if language == "python":
        lines = [f'runpy.run_path("snippets/{name}")\n' for name in texts]
        return {
            **{f"snippets/{name}": text for name, text in texts.items()},
            "__main__.py": "import runpy\n" + "".join(lines),
        }
    whole: dict[str, dict[str, Any]] = {"variables": {}, "resources": {}, "outputs": {}}
    for name, text in texts.items():
        program = ruamel.yaml.YAML(typ="safe").load(text)
        # Each has variables of its own.
        for known in [*program.get("variables", {}), *program.get("resources", {})]:
            own = f"{known}Of{name.removesuffix('.yaml')}"
            program = json.loads(json.dumps(program).replace(f"${{{known}", f"${{{own}"))
            for part in ("variables", "resources"):
                whole[part] |= {own: program[part][known]} if known in program.get(part, {}) else {}
        whole["outputs"] |= program["outputs"]
    return {"Main.yaml": json.dumps(whole)}


@pytest.mark.parametrize("language", ["typescript", "python", "yaml"])
def test_snippets(language: str, tmp_path: Path) -> None:
    """What the descriptions show runs as it stands, in TypeScript by a strict compiler, and gives what it says."""
    with Sandbox(connections=[connection("conn_acme")], api_key=canaries.canary("key")) as acme:
        stack = Stack(tmp_path, provide.hosts(), "", {**provide.toolchains(), **acme.environment})
        (tmp_path / "__main__.py").unlink()
        (tmp_path / "Pulumi.yaml").write_text(f"name: test\nruntime: {RUNTIMES[language]}\n")
        for name, text in snippets_together(language).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        sdks.make_ready(tmp_path, RUNTIMES[language], sdks.PLUGIN)
        update = stack.up(check=True, PYTHONPATH=str(sdks.python_sdk(sdks.PLUGIN)))
        assert "[secret]" in update.out
        outputs = stack.outputs()
        token = acme.connections[0]["oauth2AuthorizationCode"]["accessToken"]["token"]
        assert (outputs.pop("token"), outputs.pop("workspace")) == (token, "workspace-conn_acme")
        if language == "yaml":
            assert json.loads(outputs.pop("connections"))["connections"][0]["id"] == "conn_acme"
            assert outputs == {"customer": "Acme Ltd", "project": acme.project}
        else:
            assert outputs == {"ids": ["conn_acme"], "customers": ["Acme Ltd"], "projects": [acme.project]}


def test_go_snippets(tmp_path: Path) -> None:
    """What the descriptions show in Go compiles, and its own checker finds nothing."""
    for file in SNIPPETS:
        if file.suffix == ".go":
            (tmp_path / file.stem).mkdir()
            (tmp_path / file.stem / "main.go").write_text(file.read_text())
    sdks.make_ready(tmp_path, "go", sdks.PLUGIN)
    checked = subprocess.run(
        [provide.go_tool(), "vet", "./..."],
        cwd=tmp_path,
        env={**os.environ, **provide.toolchains()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_snippet_is_tried() -> None:
    """There is one of each function and of the resource in each language."""
    names = {f"{function}.{ending}" for function in FUNCTIONS for ending in ("ts", "go", "py", "yaml")}
    assert {file.name for file in SNIPPETS} == names
