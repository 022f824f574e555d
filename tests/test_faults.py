"""Every fault at every entry point: it is tried again until it has passed, or told in one line, and never a clean pass.

Waits are real, and therefore side by side: what is to be tested is begun in threads as soon as the first test wants it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

import pytest
from pulumi.dynamic import ConfigureRequest
from pulumi.runtime import proto

import faults
from audit_runs import AS_OF, CLEAN, KEY, SCRIPT, SECONDS, Run, audit_here, checked, environment, left_in, write
from conftest import MakeStack
from faults import AMPLE, ELSEWHERE, FAILS_FOR_ONE, FAULTS, GOOD, GOOD_ONE, LASTING, Entry, Fault, Verdict
from mixed_expectations import EVERY_RULE
from programs import IMPORTS
from pulumi_ampersand import answers
from pulumi_ampersand.client import Client
from pulumi_ampersand.exchange import Limits
from pulumi_ampersand.provider import ConnectionsProvider
from pulumi_ampersand.reads import Reads
from pulumi_ampersand.settings import Access, ApiKey, Settings
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.audit import audit
from pulumi_ampersand_policies.configuration import parse
from pulumi_ampersand_policies.pack import STACK_TYPE, Servicer
from pulumi_ampersand_policies.sources import Api, Filters
from pulumi_ampersand_policies.testing import NOW
from raw_server import RawServer

PROJECT: Final = "crm"

# Without the rule that asks for connections: it has its own word on those that could not be read.
CONFIGURATION: Final[Mapping[str, Any]] = {
    **{rule: entry for rule, entry in EVERY_RULE.items() if rule not in {"all", "required-connections"}},
    "access-token-expiry": "mandatory",
}
"""Every rule that looks at connections, each at its own level."""


@dataclass(frozen=True)
class Scene:
    """A fault at an entry point.

    Attributes:
        fault: The fault.
        entry: The entry point.
        passing: Whether the fault has passed at the next try.
    """

    fault: Fault
    entry: Entry
    passing: bool = False

    def __str__(self) -> str:
        """The test's ID."""
        when = ", then well" if self.passing else ""
        return f"{self.entry.value}-{self.fault.group}-{self.fault.name}{when}"

    @property
    def verdict(self) -> Verdict:
        """What has to become of it."""
        return Verdict.READ if self.passing else self.fault.verdicts[self.entry]

    @property
    def says(self) -> str:
        """A part of each line."""
        if self.entry is Entry.FILE and self.fault.file_says is not None:
            return self.fault.file_says
        return self.fault.says

    @property
    def seconds(self) -> float:
        """The time-out."""
        if self.passing:
            return AMPLE
        return self.fault.seconds or (LASTING if self.fault.retried else AMPLE)

    @property
    def special(self) -> bool:
        """Whether it takes a client that no setting makes."""
        fault = self.fault
        return bool(fault.limit or fault.clock or (self.passing and fault.seconds))

    @property
    def as_typed(self) -> bool:
        """Whether the audit runs as somebody would type it, which only one can at a time: nobody waits there."""
        fault = self.fault
        plain = not (fault.retried or fault.seconds or fault.limit or fault.clock)
        return self.entry is Entry.FILE or (self.entry is Entry.AUDIT and plain)


SCENES: Final = [Scene(fault, entry) for fault in FAULTS for entry in fault.verdicts] + [
    Scene(fault, entry, passing=True) for fault in FAULTS if fault.retried and fault.passes for entry in fault.verdicts
]


class Shown(NamedTuple):
    """What an entry point showed.

    Attributes:
        verdict: What it made of the fault.
        lines: What it said.
    """

    verdict: Verdict
    lines: tuple[str, ...]


class Outcome(NamedTuple):
    """What came of a scene.

    Attributes:
        shown: What the entry point showed.
        requests: How many requests reached the server.
        astray: How many followed a redirect.
    """

    shown: Shown
    requests: int
    astray: int


class LateServer(RawServer):
    """A server whose address is known a moment before anybody listens there, if anybody ever does."""

    def __init__(self) -> None:
        super().__init__(GOOD)
        address = self._listener.getsockname()
        self._listener.close()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)

    def open(self) -> None:
        """Begin to listen, before anybody tries again."""
        self._listener.listen()
        self._thread.start()

    def close(self) -> None:
        """Free the address."""
        self._listener.close()


@contextlib.contextmanager
def served(fault: Fault, elsewhere: str, *, passing: bool) -> Iterator[RawServer]:
    """A server with the fault."""
    if fault.refuses:
        with contextlib.closing(LateServer()) as late:
            opening = threading.Timer(0.1, late.open)
            if passing:
                opening.start()
            yield late
            if passing:
                opening.join()
                late.__exit__(None, None, None)
        return
    sends = [part.replace(ELSEWHERE, elsewhere.encode()) if isinstance(part, bytes) else part for part in fault.sends]
    # What mustn't be tried again would be read at the second try.
    if passing or not fault.retried or not sends:
        sends.append(GOOD_ONE if fault.verdicts is FAILS_FOR_ONE else GOOD)
    with RawServer(*sends, tls=fault.tls) as server:
        yield server


def client(scene: Scene, access: Access) -> Client:
    """A client with the scene's clock and limits."""
    fault, limits = scene.fault, Limits.within(scene.seconds)
    if scene.passing and fault.seconds is not None:
        limits = replace(limits, read=fault.seconds)
    if fault.limit is not None:
        limits = replace(limits, answer=fault.limit)
    return Client(access, limits=limits, now=fault.clock() if fault.clock else lambda: datetime.now(timezone.utc))


def configuration(scene: Scene, url: str) -> dict[str, str]:
    """A stack's configuration."""
    return {
        "ampersand:apiKey": KEY,
        "ampersand:apiUrl": url,
        "ampersand:details": scene.fault.details,
        "ampersand:project": PROJECT,
        "ampersand:timeout": str(scene.seconds),
    }


def by_data_source(scene: Scene, url: str) -> Shown:
    """What a preview or an update makes of it."""
    config = configuration(scene, url)
    provider = ConnectionsProvider()
    provider.configure(cast("ConfigureRequest", SimpleNamespace(config=config)))
    with contextlib.closing(Reads(Settings(), config, {})) as reads:
        provider._reads[Settings()] = reads
        if scene.special:
            reads._client.close()
            reads._client = client(scene, Settings().resolve(config, {}))
        result = provider.check({}, {"project": PROJECT})
    if result.failures:
        # With a property's name, the engine would print the property.
        assert {failure.property for failure in result.failures} == {""}
        return Shown(Verdict.FAILED, tuple(failure.reason for failure in result.failures))
    assert KEY not in json.dumps(result.inputs)
    gaps = tuple(
        f"{name}: {why}"
        for seen in json.loads(result.inputs["observations"])["observations"]
        for name, why in seen.get("gaps", {}).items()
    )
    return Shown(Verdict.UNJUDGED if gaps else Verdict.READ, gaps)


def by_gate(scene: Scene, url: str) -> Shown:
    """What the pack says of the stack that has a gate."""
    pack = Servicer(environ={}, now=lambda: NOW, connect=lambda access: client(scene, access))
    pack._configuration = parse(json.dumps(CONFIGURATION), "policy-config.json")
    config = configuration(scene, url) | {"ampersand:gate": "true"}
    context: Any = None
    pack.ConfigureStack(proto.AnalyzerStackConfigureRequest(stack="dev", project="test", config=config), context)
    found = pack.Analyze(proto.AnalyzeRequest(type=STACK_TYPE), context).diagnostics
    lines = tuple(one.message for one in found)
    if any(one.policyName == "readable-connections" for one in found):
        assert {(one.policyName, one.enforcementLevel) for one in found} == {("readable-connections", proto.MANDATORY)}
        return Shown(Verdict.FAILED, lines)
    assert {one.policyName for one in found} <= {"verifiable-connections"}, lines
    return Shown(without_findings(scene, lines), lines)


def without_findings(scene: Scene, unjudged: tuple[str, ...]) -> Verdict:
    """The verdict where everything could be read."""
    if unjudged:
        return Verdict.UNJUDGED
    return Verdict.UNASKED if scene.fault.details == "never" else Verdict.READ


def by_audit(scene: Scene, url: str, folder: Path) -> Shown:
    """What the audit says of a project or a file."""
    if not scene.as_typed:
        environ = {"AMP_API_KEY": KEY, "AMP_API_URL": url, "AMP_TIMEOUT": str(scene.seconds)}
        api = Api(environ, Filters(), scene.fault.details, lambda _source: None)
        if scene.special:
            with client(scene, Access(ApiKey(KEY), url)) as asking:
                parts = api._read_all(asking, [PROJECT])
        else:
            parts = api.read([PROJECT], every=False)
        report = audit(parts, parse(json.dumps(CONFIGURATION), "policy-config.json"), NOW)
        status = report.sources[0].status
        findings = [(finding.rule, finding.message) for finding in report.evaluation.findings]
        return as_audited(scene, report.exit_code, report.errors, status, findings)
    source: tuple[str | Path, ...] = ("--project", PROJECT, "--details", scene.fault.details)
    if scene.entry is Entry.FILE:
        file = folder / "answer.json"
        file.write_bytes(scene.fault.content)
        source = ("--input", file)
    config = write(folder, "policy-config.json", CONFIGURATION)
    kept = folder / "audit.json"
    outputs = scene.fault.options or ("--format", f"json={kept}")
    run = audit_here(*source, "--config", config, "--as-of", AS_OF, *outputs, AMP_API_URL=url)
    assert ("Clean" in run.err) == (run.code == 0)
    if not kept.exists():
        return Shown({2: Verdict.WRONG, 3: Verdict.FAILED}[run.code], tuple(run.errors))
    written = json.loads(kept.read_bytes())
    assert written["exitCode"] == run.code
    findings = [(finding["rule"], finding["message"]) for finding in written["findings"]]
    return as_audited(scene, run.code, tuple(run.errors), written["sources"][0]["status"], findings)


def as_audited(scene: Scene, code: int, errors: tuple[str, ...], status: str, findings: list[tuple[str, str]]) -> Shown:
    """The verdict of a report."""
    assert {rule for rule, _ in findings} <= {"verifiable-connections", "readable-connections"}, findings
    if code == 3:
        return Shown({"failed": Verdict.FAILED, "partial": Verdict.PARTIAL}[status], errors)
    assert (code, errors, status) == (0, (), "complete")
    lines = tuple(message for _, message in findings)
    return Shown(without_findings(scene, lines), lines)


def play(scene: Scene, folder: Path) -> Outcome:
    """Have the fault happen."""
    fault = scene.fault
    with RawServer(GOOD) as elsewhere, served(fault, elsewhere.url, passing=scene.passing) as server:
        url = fault.url or server.url
        if scene.entry is Entry.DATA_SOURCE:
            shown = by_data_source(scene, url)
        elif scene.entry is Entry.GATE:
            shown = by_gate(scene, url)
        else:
            shown = by_audit(scene, url, folder)
        return Outcome(shown, len(server.requests), len(elsewhere.requests))


@pytest.fixture(scope="module")
def begun(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Scene, Future[Outcome]]]:
    """What was chosen and may happen side by side, on its way."""
    chosen = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    scenes = [params["scene"] for params in chosen if isinstance(params.get("scene"), Scene)]
    folder = tmp_path_factory.mktemp("faults")
    with ThreadPoolExecutor(24) as threads:
        yield {scene: threads.submit(play, scene, folder) for scene in scenes if not scene.as_typed}


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_fault(scene: Scene, begun: Mapping[Scene, Future[Outcome]], tmp_path: Path) -> None:
    """What becomes of it is what the table says: one line each, without the key, which no redirect leads away."""
    shown, requests, astray = begun[scene].result() if scene in begun else play(scene, tmp_path)
    assert shown.verdict is scene.verdict, shown.lines
    lines = shown.lines
    if scene.verdict in {Verdict.READ, Verdict.UNASKED}:
        assert lines == ()
    else:
        assert len(lines) == (scene.fault.touched if scene.verdict is Verdict.UNJUDGED else 1)
    assert scene.says
    for line in lines:
        assert scene.says in line
        assert line == one_line(line)
        assert KEY not in line
    assert astray == 0
    if scene.entry is not Entry.FILE:
        least = len(scene.fault.sends) + scene.passing
        lasting = scene.fault.retried and not scene.passing
        assert requests >= least if lasting else requests == least


def named(group: str, name: str) -> Fault:
    """A row of the table."""
    (fault,) = [fault for fault in FAULTS if (fault.group, fault.name) == (group, name)]
    return fault


PASSING: Final = (
    named("No connection", "connection reset"),
    named("Broken answers", "body cut off"),
    named("Refusals", "503 with a page"),
    named("Pauses", "Retry-After as a date"),
)
UNJUDGED: Final = (
    named("Fields of a wrong type", "group.projectId"),
    named("A connection's own call", "deleted after the list was read"),
)
FAILING: Final = (
    named("No connection", "self-signed certificate"),
    named("Fields that are indispensable", "status left out"),
)


def resource(fault: Fault) -> str:
    """The name of a data source that meets a fault."""
    return fault.name.replace(" ", "-")


@pytest.mark.engine
def test_a_preview_that_goes_on(make_stack: MakeStack) -> None:
    """Under the real engine, what passes goes unnoticed, and what can't be judged is said of each connection."""
    with contextlib.ExitStack() as servers:
        program = IMPORTS
        for fault in (*PASSING, *UNJUDGED):
            server = servers.enter_context(served(fault, "", passing=fault in PASSING))
            settings = f"settings=ampersand.Settings(api_url={server.url!r}, timeout={AMPLE})"
            program += f"ampersand.Connections({resource(fault)!r}, details={fault.details!r}, {settings})\n"
        stack = make_stack(program)
        passed = stack.preview(*stack.pack({"token-expiry": "disabled", "credential-age": "disabled"}), check=True)
    assert passed.diagnostics == []
    unjudged = {resource(fault): fault for fault in UNJUDGED}
    assert Counter((violation.rule, violation.resource) for violation in passed.violations) == {
        ("verifiable-connections", name): fault.touched for name, fault in unjudged.items()
    }
    for violation in passed.violations:
        assert unjudged[violation.resource].says in violation.message


@pytest.mark.engine
def test_an_update_that_fails(make_stack: MakeStack) -> None:
    """Under the real engine, the data source's or the gate's line is the only one, and the state stays as it was."""
    stack = make_stack(IMPORTS + 'ampersand.Connections("crm")\n')
    with RawServer(GOOD) as well:
        stack.up(check=True, AMP_API_URL=well.url)
        before = stack.resources()
        for fault in FAILING:
            with served(fault, "", passing=False) as server:
                failed = stack.up(AMP_API_URL=server.url)
            assert failed.code != 0
            (line,) = failed.diagnostics
            assert fault.says in line
        with served(FAILING[0], "", passing=False) as server:
            stopped = stack.up(*stack.pack({"readable-connections": {"gate": True}}), AMP_API_URL=server.url)
        assert stopped.code != 0
        assert [(violation.rule, violation.level) for violation in stopped.violations] == [
            ("readable-connections", "mandatory")
        ]
        assert FAILING[0].says in stopped.violations[0].message
        assert stack.resources() == before


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """Of what is kept, each file is there whole or as it was before, and the audit is incomplete."""
    few = [{**CLEAN, "projectId": "first"}]
    many = [{**CLEAN, "id": f"conn_{number}", "projectId": "second"} for number in range(50)]
    write(tmp_path, "answer.json", few + many)
    kept = tmp_path / "kept"
    kept.mkdir()
    write(kept, "second.json", "before")
    # In blocks of half a KiB, or of one, as shells differ.
    limited = 'ulimit -f 8 && exec "$@"'
    command = [str(SCRIPT), "audit", "--input", "answer.json", "--as-of", AS_OF, "--save", "kept"]
    done = subprocess.run(
        ["sh", "-c", limited, "sh", *command],
        cwd=tmp_path,
        env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    run = checked(Run(done.returncode, done.stdout, done.stderr.decode()))
    assert (run.code, run.errors) == (3, ["--save kept: can't be written: File too large"])
    assert left_in(kept) == ["first.json", "second.json"]
    assert [one["id"] for one in json.loads((kept / "first.json").read_bytes())["connections"]] == [CLEAN["id"]]
    assert json.loads((kept / "second.json").read_bytes()) == "before"


def test_the_table_is_up_to_date() -> None:
    """What people read is what is tested."""
    assert faults.TABLE.read_text(encoding="utf-8") == faults.table(), f"tests/FAULTS.md is old; run: {faults.COMMAND}"


def test_every_field_has_its_row() -> None:
    """Each field of a connection that is read is one that can be of a wrong type."""

    def paths(kind: Any, before: str = "") -> Iterator[str]:
        for name, hint in answers._hints(kind).items():
            yield before + name
            for part in getattr(hint, "__args__", ()):
                if getattr(part, "__origin__", None) is dict:
                    yield f"{before}{name}.region"
                    yield from paths(part.__args__[1].__args__[0], f"{before}{name}.region.")
                elif hasattr(part, "__annotations__"):
                    yield from paths(part, f"{before}{name}.")

    assert sorted(paths(answers._SentConnection)) == sorted([*faults.INDISPENSABLE, *faults.OPTIONAL])


def test_no_row_is_there_twice() -> None:
    """A name under a heading tells a fault."""
    names = [(fault.group, fault.name) for fault in FAULTS]
    assert len(set(names)) == len(names)
