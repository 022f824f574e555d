"""Benchmarks. What ``make bench`` runs; needs the folder of a ``pulumi`` as its argument.

Machines differ and are never quiet, so what counts is the ratio of two medians whose runs took turns in one go.
"""

from __future__ import annotations

import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bench_audit
from pulumi_ampersand import Client, Settings
from pulumi_ampersand.sandbox import Sandbox
from stack import Stack

RUNS = 7
CONNECTIONS = 10_000
VERY_MANY = 100_000
DETAILED = 2_000
LATENCY = 0.05
"""Seconds that the API takes for a single connection."""

EMPTY_PROGRAM = "import pulumi\n"
EMPTY_PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

PolicyPack("empty", [ResourceValidationPolicy("nothing", "Nothing is checked", lambda args, report: None)])
"""
UNRELATED = 300
UNRELATED_PROGRAM = f"""
import pulumi

for number in range({UNRELATED}):
    properties = {{"size": number, "tags": {{"owner": "team", "stage": "dev"}}, "zones": ["a", "b", "c"]}}
    pulumi.ComponentResource("unrelated:index:Thing", f"thing-{{number}}", properties)
"""
READING_PROGRAM = """
import pulumi
import pulumi_ampersand as ampersand

found = ampersand.Connections("all")
pulumi.export("count", found.ids.apply(len))
"""
SCOPES = {"required-scopes": {"scopes": {"salesforce": ["api"]}}}
ALL_RULES = {
    "all": "mandatory",
    **SCOPES,
    "access-token-expiry": "advisory",
    "forbidden-scopes": {"scopes": {"*": ["*admin*"]}},
    "allowed-scopes": {"scopes": {"*": ["*"]}},
    "allowed-providers": {"deny": ["gong"]},
    "allowed-workspaces": {"workspaces": {"*": ".+"}},
    "required-connections": {"require": [{"provider": "slack"}]},
    "connection-schema": {"schema": {"required": ["group"], "properties": {"group": {"required": ["groupName"]}}}},
}
"""Every rule, with options for those that need some."""

DOCUMENTED_PROGRAM = """
import os

import httpx
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Provider(ResourceProvider):
    def create(self, props):
        return CreateResult("connections", props)


class Connections(Resource):
    connections: pulumi.Output[list]

    def __init__(self, name, connections):
        super().__init__(Provider(), name, {"connections": connections})


root, project = os.environ["AMP_API_URL"], os.environ["AMP_PROJECT"]
answer = httpx.get(f"{root}/v1/projects/{project}/connections", headers={"X-Api-Key": os.environ["AMP_API_KEY"]})
pulumi.export("count", Connections("all", answer.json()).connections.apply(len))
"""
"""How the SDK's documentation leads one to read them: the program's objects become a list of objects as a property."""

DOCUMENTED_PACK = """
from datetime import datetime, timedelta, timezone

from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

NOW = datetime.now(timezone.utc)


def time(text):
    return datetime.fromisoformat(text[:19] + "+00:00") if text else NOW


def grant(c):
    return c.get("oauth2AuthorizationCode") or {}


def scopes(c):
    return grant(c).get("scopes") or []


def expiry(c, token):
    return time((grant(c).get(token) or {}).get("expiresAt"))


SEEN = set()


def twice(c):
    key = (c["provider"], c["group"]["groupRef"], c["consumer"]["consumerRef"], c.get("providerWorkspaceRef"))
    return key in SEEN or SEEN.add(key)


RULES = {
    "no-bad-credentials": lambda c: c["status"] == "bad_credentials",
    "required-scopes": lambda c: c["provider"] == "salesforce" and "api" not in scopes(c),
    "token-expiry": lambda c: expiry(c, "refreshToken") < NOW,
    "access-token-expiry": lambda c: expiry(c, "accessToken") < NOW - timedelta(days=9),
    "refreshable": lambda c: "accessToken" in grant(c) and "refreshToken" not in grant(c),
    "credential-age": lambda c: time((grant(c).get("refreshToken") or {}).get("issuedAt")) < NOW - timedelta(days=365),
    "provider-app-scopes": lambda c: not set(c["providerApp"]["scopes"]) <= set(scopes(c)),
    "forbidden-scopes": lambda c: any("admin" in scope for scope in scopes(c)),
    "allowed-scopes": lambda c: not all(isinstance(scope, str) for scope in scopes(c)),
    "allowed-auth-schemes": lambda c: c["authScheme"] in ("none", "basic", "oauth2/password"),
    "allowed-providers": lambda c: c["provider"] == "gong",
    "allowed-workspaces": lambda c: not c["providerWorkspaceRef"],
    "same-project": lambda c: c["projectId"] != c["group"]["projectId"],
    "unique-connections": twice,
    "idle-connections": lambda c: c["status"] == "created" and time(c["updateTime"]) < NOW - timedelta(days=30),
    "required-connections": lambda c: False,
    "connection-schema": lambda c: "groupName" not in c["group"],
    "verifiable-connections": lambda c: c["status"] not in ("created", "working", "bad_credentials"),
    "readable-connections": lambda c: False,
}


def policy(name, broken):
    def validate(args, report):
        if args.resource_type == "pulumi-python:dynamic:Resource":
            for connection in args.props["connections"]:
                if broken(connection):
                    report(connection["id"])

    return ResourceValidationPolicy(name, name, validate, EnforcementLevel.ADVISORY)


PolicyPack("documented", [policy(name, broken) for name, broken in RULES.items()])
"""
"""The same rules as one-line conditions, one policy each, with none of the care for what real answers are like."""


def main(engine: str) -> None:
    """Run and print all cases."""
    with tempfile.TemporaryDirectory(prefix="ampersand-bench-") as scratch:
        details_of_many(Path(scratch))
        preview_of_unrelated(Path(engine), Path(scratch))
        preview_of_many(Path(engine), Path(scratch))
        life_of_very_many(Path(engine), Path(scratch))
        audit_of_very_many(Path(scratch))


def pack_of(folder: Path, program: str) -> list[str]:
    """The arguments that put a policy pack with this program before a deployment."""
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 0.0.1\n")
    (folder / "__main__.py").write_text(program)
    return ["--policy-pack", str(folder)]


def preview_of_unrelated(engine: Path, scratch: Path) -> None:
    """A stack that has nothing to do with Ampersand, with our pack, against one with a pack of a single policy."""
    stack = Stack(scratch / "unrelated", engine, UNRELATED_PROGRAM)
    single, ours = pack_of(scratch / "single-policy", EMPTY_PACK), stack.pack()
    none, base, taken = compare(
        lambda: stack.preview(check=True),
        lambda: stack.preview(*single, check=True),
        lambda: stack.preview(*ours, check=True),
    )
    if stack.preview(*ours, check=True).violations:
        sys.exit("the pack had something to say of a stack without connections")
    print(f"preview of {UNRELATED} unrelated resources: {none:.2f} s")
    print(f"with a pack of one policy:           {base:.2f} s")
    print(f"with our pack:                       {taken:.2f} s")
    print(f"ratio: {taken / base:.2f} (bound: 1.05), medians of {RUNS} runs in turns")


def preview_of_many(engine: Path, scratch: Path) -> None:
    """Previews that read and judge 10,000 connections by all rules, against empty ones and the documented way."""
    empty_pack = pack_of(scratch / "empty-pack", EMPTY_PACK)
    documented_pack = pack_of(scratch / "documented-pack", DOCUMENTED_PACK)
    with sandbox_process(scratch, "--scenario", "large", "--count", f"{CONNECTIONS}") as environ:
        empty = Stack(scratch / "empty", engine, EMPTY_PROGRAM)
        reading = Stack(scratch / "reading", engine, READING_PROGRAM, environ)
        gated = Stack(scratch / "gated", engine, EMPTY_PROGRAM, environ)
        gated.configure("ampersand:gate", "true")
        pack, gate_pack = reading.pack(ALL_RULES), gated.pack(ALL_RULES)
        base, ours, gate = compare(
            lambda: empty.preview(*empty_pack, check=True),
            lambda: reading.preview(*pack, check=True),
            lambda: gated.preview(*gate_pack, check=True),
        )
        outcome = reading.preview(*pack, check=True)
        if f"{CONNECTIONS}" not in outcome.out or "ampersand@" not in outcome.out:
            sys.exit(f"the preview didn't read and judge {CONNECTIONS} connections:\n{outcome.text}")
        documented = Stack(scratch / "documented", engine, DOCUMENTED_PROGRAM, environ, seconds=1200)
        start = time.perf_counter()
        documented.run("preview", *documented_pack, check=True)
        theirs = time.perf_counter() - start
    print(f"empty preview with an empty pack:                                      {base:.2f} s")
    print(f"preview of {CONNECTIONS:,} connections, data source and pack, all rules: {ours:.2f} s")
    print(f"ratio: {ours / base:.2f} (bound: 3), medians of {RUNS} runs in turns")
    print(f"gate of {CONNECTIONS:,} connections, all rules: {gate:.2f} s, ratio: {gate / base:.2f}")
    print(f"the documented way, once: {theirs:.2f} s, {theirs / ours:.1f} times ours (bound: 20)")


def details_of_many(scratch: Path) -> None:
    """The details of 2,000 connections, against the time that the API itself takes for so many at once."""
    fault = f"slow:{LATENCY}@one"
    with sandbox_process(scratch, "--scenario", "large", "--count", f"{DETAILED}", "--fault", fault) as environ:
        access = Settings().resolve({}, environ)
        times = []
        for _ in range(3):
            with Client(access) as client:
                start = time.perf_counter()
                found = client.list_connections(environ["AMP_PROJECT"], details="always")
                times.append(time.perf_counter() - start)
            if len(found) != DETAILED or any(seen.gaps for _, seen in found):
                sys.exit(f"the details of {DETAILED} connections weren't all read")
    ideal = math.ceil(DETAILED / access.concurrency) * LATENCY
    taken = statistics.median(times)
    each = f"{DETAILED:,} connections at {LATENCY * 1000:g} ms each, {access.concurrency} at once"
    print(f"details of {each}: {taken:.2f} s")
    print(f"ideal: {ideal:.2f} s")
    print(f"ratio: {taken / ideal:.2f} (bound: 1.3), median of {len(times)} runs")


def life_of_very_many(engine: Path, scratch: Path) -> None:
    """Each step of a stack that reads 100,000 connections, once: whether it works, and what it takes."""
    with Sandbox("large", count=VERY_MANY) as sandbox:
        stack = Stack(scratch / "very-many", engine, READING_PROGRAM, sandbox.environment)
        pack = stack.pack(SCOPES)
        steps: list[tuple[str, Callable[[], object]]] = [
            ("preview with the pack", lambda: stack.preview(*pack, check=True)),
            ("update with the pack", lambda: stack.up(*pack, check=True)),
            ("preview without changes", lambda: stack.preview("--expect-no-changes", check=True)),
            ("refresh", lambda: stack.refresh(check=True)),
            ("destroy", lambda: stack.destroy(check=True)),
        ]
        for name, step in steps:
            start = time.perf_counter()
            step()
            print(f"{VERY_MANY:,} connections, {name}: {time.perf_counter() - start:.0f} s")
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"the largest process of all took {largest:,} MiB")


def audit_of_very_many(scratch: Path) -> None:
    """Saved answers of up to 100,000 connections, judged by our command and by its peers."""
    for line in bench_audit.table(scratch, ALL_RULES):
        print(line, flush=True)


@contextmanager
def sandbox_process(scratch: Path, *arguments: str) -> Iterator[dict[str, str]]:
    """A sandbox that doesn't take this process's time; gives the environment that leads to it."""
    ready = scratch / "ready"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-c", "from pulumi_ampersand_policies.cli import main; main()", "sandbox"]
    options = ["--port", "0", "--project", "bench", "--api-key", "bench", "--ready-file", str(ready), *arguments]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as server:
        try:
            while not ready.exists() or not ready.read_text():
                if server.poll() is not None:
                    sys.exit("the sandbox ended")
                time.sleep(0.05)
            yield {"AMP_API_URL": ready.read_text().strip(), "AMP_API_KEY": "bench", "AMP_PROJECT": "bench"}
        finally:
            server.terminate()


def compare(*actions: Callable[[], object]) -> list[float]:
    """Median seconds of each, run in turns after one run each that doesn't count."""
    times: list[list[float]] = [[] for _ in actions]
    for run in range(RUNS + 1):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            if run:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


if __name__ == "__main__":
    main(sys.argv[1])
