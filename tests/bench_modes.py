"""The benchmark of previews that read and judge connections, by four rules, against packs on Pulumi's own SDKs.

*Data mode*: a program reads the connections, and the pack judges what it holds of them. The documented way is a dynamic
resource with the answer's objects as its property, and a pack that looks at these. *Gate mode*: the program knows
nothing of connections, and the pack reads the API when it is shown the stack itself.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench_measure import FOUR, Bench, Row, Taken, agreed, by_itself, in_turns, not_measured, sandbox_process, timed
from engine.provision import EngineError
from peers import plain
from peers.provide import COMPILED, PYTHON, typescript_host, typescript_pack
from peers.saved_answer import REQUIRED_SCOPES, connections
from stack import Result, Stack

DATA: Final = "preview, data mode, 4 rules"
GATE: Final = "preview, gate, 4 rules"
DOCUMENTED: Final = "documented way: objects as a property, Python policy pack"
PYTHON_PACK: Final = "Python policy pack that reads the API"
TYPESCRIPT_PACK: Final = "TypeScript policy pack that reads the API"
COMPILED_PACK: Final = "the same, compiled to JavaScript beforehand"
ALL_TYPESCRIPT: Final = (TYPESCRIPT_PACK, COMPILED_PACK)

LARGE: Final = 10_000
LONG: Final = 60
"""Seconds for one run of each, from which on there is no other."""
SECONDS: Final = 600
"""For one preview, on whatever machine."""

READING_PROGRAM: Final = """
import pulumi
import pulumi_ampersand as ampersand

found = ampersand.Connections("all")
pulumi.export("count", found.ids.apply(len))
"""
EMPTY_PROGRAM: Final = "import pulumi\n"

EVERYTHING: Final = {"enforcementLevel": "advisory", "maxReported": 10**6}
FOUR_RULES: Final[dict[str, Any]] = {
    "all": "disabled",
    **dict.fromkeys(FOUR, EVERYTHING),
    "required-scopes": {**EVERYTHING, "scopes": REQUIRED_SCOPES},
}
"""All findings are shown, as by the peers, and none ends the preview."""

Preview = Callable[[], Result]
Found = list[tuple[str, str]]
"""Rules, and the IDs of connections that break them."""

_RULE: Final = re.compile(r" +- \[advisory\][^(]*?(\S+)  \(")
_ID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def rows(bench: Bench, provide_typescript: Callable[[], Path] = typescript_pack) -> Iterator[Row]:
    """Measure, and give the rows.

    Args:
        bench: How.
        provide_typescript: Gives the pack in TypeScript.
    """
    try:
        engine = bench.engine()
    except EngineError as error:
        for mode, against in ((DATA, DOCUMENTED), (GATE, PYTHON_PACK), (GATE, TYPESCRIPT_PACK)):
            yield not_measured(mode, against, error)
        return
    typescript: Path | None = None
    try:
        typescript = provide_typescript()
    except EngineError as error:
        yield not_measured(GATE, TYPESCRIPT_PACK, error)
    for count in bench.sizes(0, 100, 1_000, LARGE, quick=[0, 100]):
        as_of = datetime.now(timezone.utc)
        sent = list(connections(count, as_of=as_of))
        answer = bench.folder("api") / "connections.json"
        answer.write_text(json.dumps(sent), encoding="utf-8")
        with sandbox_process(bench.scratch, "--data", str(answer)) as environ:
            previews = _previews(bench.folder("stacks"), engine, environ, typescript)
            first = _check(sent, as_of, previews)
            for mode, each in previews.items():
                # What takes so long won't be told apart any better by more of it.
                once = {name: Taken((first[name],)) for name in each}
                long = sum(first[name] for name in each) > LONG
                yield from _compared(mode, once if long else in_turns(each, quick=bench.quick, seconds=25), count)


def _compared(mode: str, taken: Mapping[str, Taken], count: int) -> Iterator[Row]:
    for name, theirs in taken.items():
        if name != mode:
            yield timed(mode, taken[mode], name, theirs, count)


def _previews(
    folder: Path, engine: Path, environ: Mapping[str, str], typescript: Path | None
) -> dict[str, dict[str, Preview]]:
    """What to compare in each mode; ours goes by the mode's name."""
    reading = Stack(folder / "reading", engine, READING_PROGRAM, environ, seconds=SECONDS)
    documented = Stack(folder / "documented", engine, (PYTHON / "program.py").read_text(), environ, seconds=SECONDS)
    gated = Stack(folder / "gated", engine, EMPTY_PROGRAM, environ, seconds=SECONDS)
    gated.configure("ampersand:gate", "true")
    # Knows of no gate, so that our pack, were it there, would read nothing.
    ungated = Stack(folder / "ungated", engine, EMPTY_PROGRAM, environ, seconds=SECONDS)
    pack = ["--policy-pack", str(PYTHON)]
    data: dict[str, Preview] = {
        DATA: partial(reading.preview, *reading.pack(FOUR_RULES), check=True),
        DOCUMENTED: partial(documented.preview, *pack, check=True),
    }
    gate: dict[str, Preview] = {
        GATE: partial(gated.preview, *gated.pack(FOUR_RULES), check=True),
        PYTHON_PACK: partial(ungated.preview, *pack, check=True, PEER_READS_API="1"),
    }
    if typescript:
        host = folder / "host"
        host.mkdir()
        path = f"{typescript_host(host, typescript)}:{ungated.environment['PATH']}"
        for name, place in ((TYPESCRIPT_PACK, typescript), (COMPILED_PACK, typescript / COMPILED)):
            gate[name] = partial(ungated.preview, "--policy-pack", str(place), check=True, PATH=path)
    return {DATA: data, GATE: gate}


def _check(
    sent: list[dict[str, Any]], as_of: datetime, previews: Mapping[str, Mapping[str, Preview]]
) -> dict[str, float]:
    """End the benchmark unless all find what a plain script finds, and something by each rule where there is enough.

    Returns:
        The seconds that each took.
    """
    expected = sorted((rule, connection["id"]) for connection in sent for rule, _ in plain.breaches(connection, as_of))
    if len(sent) >= 1_000 and {rule for rule, _ in expected} != set(FOUR):
        sys.exit(f"{len(sent):,} connections: not each rule found something, so that they agree says nothing")
    found, taken = {"a plain script": expected}, {}
    for each in previews.values():
        for name, preview in each.items():
            start = time.perf_counter()
            result = preview()
            taken[name] = time.perf_counter() - start
            found[name] = _found(result)
    agreed(f"previews of {len(sent):,} connections", found)
    return taken


def _found(result: Result) -> Found:
    """What a preview shows of findings."""
    found, rule = [], ""
    for line in result.out.partition("\nPolicies:\n")[2].splitlines():
        if head := _RULE.match(line):
            rule = head[1]
        elif broken := _ID.search(line):
            found.append((rule, broken[0]))
        elif line and not line.startswith(" "):
            break
    return sorted(found)


if __name__ == "__main__":
    by_itself(rows)
