"""The benchmark of what the pack costs a stack that has nothing to do with it, against a pack that does nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from bench_measure import Bench, Kind, Row, by_itself, in_turns, not_measured, timed
from engine.provision import EngineError
from stack import Stack

EMPTY_PACK: Final = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

PolicyPack("empty", [ResourceValidationPolicy("nothing", "Nothing is checked", lambda args, report: None)])
"""
NO_PACK: Final = "no policy pack"
ONE_POLICY: Final = "Python policy pack of one empty policy"
OURS: Final = "ours"


def rows(bench: Bench) -> Iterator[Row]:
    """Measure, and give the rows."""
    try:
        engine = bench.engine()
    except EngineError as error:
        yield not_measured(_measured(0), ONE_POLICY, error)
        return
    pack = _pack(bench.folder("pack"))
    for resources in (0, 300):
        stack = Stack(bench.folder("stack"), engine, _program(resources))
        ours = stack.pack()
        if stack.preview(*ours, check=True).violations:
            sys.exit("the pack had something to say of a stack without connections")
        actions: dict[str, Callable[[], object]] = {
            OURS: partial(stack.preview, *ours, check=True),
            ONE_POLICY: partial(stack.preview, *pack, check=True),
            NO_PACK: partial(stack.preview, check=True),
        }
        for name in () if bench.quick else (ONE_POLICY, NO_PACK):
            actions[name]()
        taken = in_turns(actions, quick=bench.quick, most=11, seconds=40)
        yield timed(_measured(resources), taken[OURS], ONE_POLICY, taken[ONE_POLICY])
        yield timed(_measured(resources), taken[OURS], NO_PACK, taken[NO_PACK], kind=Kind.LIMIT)


def _measured(resources: int) -> str:
    return f"preview of {resources or 'no'} resources, the pack without a gate"


def _program(resources: int) -> str:
    """A program with so many resources that have nothing to do with Ampersand."""
    return f"""
import pulumi

for number in range({resources}):
    properties = {{"size": number, "tags": {{"owner": "team", "stage": "dev"}}, "zones": ["a", "b", "c"]}}
    pulumi.ComponentResource("unrelated:index:Thing", f"thing-{{number}}", properties)
"""


def _pack(folder: Path) -> list[str]:
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 0.0.1\n")
    (folder / "__main__.py").write_text(EMPTY_PACK)
    return ["--policy-pack", str(folder)]


if __name__ == "__main__":
    by_itself(rows)
