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
READING_PROGRAM = """
import pulumi
import pulumi_ampersand as ampersand

found = ampersand.Connections("all")
pulumi.export("count", found.ids.apply(len))
"""
SCOPES = {"required-scopes": {"scopes": {"salesforce": ["api"]}}}


def main(engine: str) -> None:
    """Run and print all cases."""
    with tempfile.TemporaryDirectory(prefix="ampersand-bench-") as scratch:
        details_of_many(Path(scratch))
        preview_of_many(Path(engine), Path(scratch))
        life_of_very_many(Path(engine), Path(scratch))


def preview_of_many(engine: Path, scratch: Path) -> None:
    """A preview that reads and judges 10,000 connections, against an empty preview with an empty pack."""
    empty_pack = scratch / "empty-pack"
    empty_pack.mkdir()
    (empty_pack / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 0.0.1\n")
    (empty_pack / "__main__.py").write_text(EMPTY_PACK)
    with Sandbox("large", count=CONNECTIONS) as sandbox:
        empty = Stack(scratch / "empty", engine, EMPTY_PROGRAM)
        reading = Stack(scratch / "reading", engine, READING_PROGRAM, sandbox.environment)
        pack = reading.pack(SCOPES)
        base, ours = compare(
            lambda: empty.preview("--policy-pack", str(empty_pack), check=True),
            lambda: reading.preview(*pack, check=True),
        )
        outcome = reading.preview(*pack, check=True)
        if f"{CONNECTIONS}" not in outcome.out or "ampersand@" not in outcome.out:
            sys.exit(f"the preview didn't read and judge {CONNECTIONS} connections:\n{outcome.text}")
    print(f"preview of {CONNECTIONS:,} connections, data source and pack: {ours:.2f} s")
    print(f"empty preview with an empty pack:                      {base:.2f} s")
    print(f"ratio: {ours / base:.2f} (bound: 4), medians of {RUNS} runs in turns")


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


@contextmanager
def sandbox_process(scratch: Path, *arguments: str) -> Iterator[dict[str, str]]:
    """A sandbox that doesn't take this process's time; gives the environment that leads to it."""
    ready = scratch / "ready"
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


def compare(base: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, run in turns after one run each that doesn't count."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(RUNS + 1):
        for action, taken in zip((base, ours), times, strict=True):
            start = time.perf_counter()
            action()
            if run:
                taken.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main(sys.argv[1])
