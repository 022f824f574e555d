"""Many connections, projects and runs: all of them are judged, and a process that lives long does not grow.

Fifty data sources in one stack are in `test_life_cycle_graph`, reports over a hundred thousand connections in the
benchmark.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from audit_runs import audit, audit_here
from provider_process import Provider
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand.sandbox.large import large_connections
from pulumi_ampersand_policies.testing import NOW, connection

AS_OF: Final = NOW.isoformat()
RUNS: Final = 500
"""How many previews' worth of checks a provider's process does."""

linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells what a process holds")


class Held(NamedTuple):
    """What a process holds.

    Attributes:
        kilobytes: Of memory.
        sockets: How many are open.
        files: Likewise, sockets and pipes included.
        threads: How many there are.
    """

    kilobytes: int
    sockets: int
    files: int
    threads: int

    @classmethod
    def by(cls, process: int) -> Held:
        """What a process holds now."""
        folder = Path("/proc", str(process))
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        links = [str(link.readlink()) for link in (folder / "fd").iterdir()]
        sockets = sum(link.startswith("socket:") for link in links)
        return cls(int(status["VmRSS"].split()[0]), sockets, len(links), int(status["Threads"]))


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """An API with twenty connections."""
    with Sandbox(connections=[connection(f"c{number}") for number in range(20)]) as running:
        yield running


@linux
def test_a_provider_that_lives_long_does_not_grow(server: Sandbox, tmp_path: Path) -> None:
    """Five hundred previews' worth of checks in one process: no memory, file, socket or thread more.

    What waits for a resource is read anew; what doesn't is read once.
    """
    config = {"ampersand:apiUrl": server.url, "ampersand:apiKey": server.api_key, "ampersand:project": "quickstart"}
    provider = Provider(tmp_path)
    held: list[Held] = []
    try:
        provider.configure(config)
        for run in range(RUNS):
            after = [f"urn:pulumi:dev::test::a:b:C::resource-{run}"]
            inputs = provider.check({"after": after})
            assert len(json.loads(inputs["connections"])["connections"]) == 20
            provider.check({"provider": "salesforce", "after": after}, inputs)
            assert "404" in provider.failure({"project": "none", "after": after})
            provider.read({name: value for name, value in inputs.items() if name != "observations"})
            provider.answers.clear()
            if run % 50 == 49:
                held.append(Held.by(provider.plugin.process_id))
    finally:
        provider.plugin.stop()
    warm, end = held[3], held[-1]
    assert end.sockets <= warm.sockets
    assert end.files <= warm.files
    # The SDK's own threads come as they are needed.
    assert end.threads - warm.threads < 10
    # The answers of 300 runs would take 25 MB, what is left of their failures as much again.
    assert end.kilobytes - warm.kilobytes < 15_000


def _projects(count: int, each: int) -> list[Project]:
    return [
        Project(
            id=f"proj_{number}",
            name=f"project-{number}",
            connections=[
                connection(
                    f"c{number}-{which}", projectId=f"proj_{number}", status="working" if which else "bad_credentials"
                )
                for which in range(each)
            ],
        )
        for number in range(count)
    ]


def test_two_hundred_projects_in_one_audit() -> None:
    """Each is read and judged; one that fails is named, and the others count all the same."""
    with Sandbox(projects=_projects(200, 20)) as sandbox:
        run = audit_here(
            "--project",
            "none",
            "--all-projects",
            "--as-of",
            AS_OF,
            "--details",
            "never",
            "--format",
            "json",
            AMP_API_URL=sandbox.url,
            AMP_API_KEY=sandbox.api_key,
        )
    report = json.loads(run.out)
    statuses = Counter(source["status"] for source in report["sources"])
    assert statuses == {"complete": 200, "failed": 1}
    assert report["summary"]["connections"] == 4_000
    bad = {finding["project"] for finding in report["findings"] if finding["rule"] == "no-bad-credentials"}
    assert bad == {f"proj_{number}" for number in range(200)}
    assert run.code == 3
    assert run.errors[0].startswith("project none: ")


def test_a_large_project_in_one_audit(tmp_path: Path) -> None:
    """All connections of a project are judged, live and from what was kept of it, with the same findings."""
    count, broken = 100_000, 100
    with Sandbox(connections=large_connections(count, NOW, broken=broken)) as sandbox:
        live = audit(
            tmp_path,
            "--project",
            "quickstart",
            "--as-of",
            AS_OF,
            "--format",
            "json=live.json",
            "--save",
            "kept",
            AMP_API_URL=sandbox.url,
            AMP_API_KEY=sandbox.api_key,
        )
    (kept,) = (tmp_path / "kept").iterdir()
    again = audit(tmp_path, "--input", kept, "--as-of", AS_OF, "--format", "json=again.json")
    assert (live.code, again.code) == (1, 1), live.err + again.err
    reports: list[Any] = [json.loads((tmp_path / name).read_text()) for name in ("live.json", "again.json")]
    assert [report["summary"]["connections"] for report in reports] == [count, count]
    found = [
        [finding["connection"] for finding in report["findings"] if finding["severity"] == "critical"]
        for report in reports
    ]
    assert len(found[0]) == broken
    assert reports[0]["findings"] == reports[1]["findings"]
