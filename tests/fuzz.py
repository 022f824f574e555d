"""Fuzzing, guided by coverage: what reads answers and configurations, with whatever else it may be given.

``python tests/fuzz.py decoder`` or ``configuration``, with ``--seconds`` (60), ``--runs`` (no limit) and ``--corpus``,
a folder in which what reached new code is kept for the next run. It begins with the answers and configurations of
tests, sandbox and examples. What fails ends it with a traceback and exit code 77, and lies in a file ``crash-...`` in
``--corpus``, or in this folder: put that into the table of ``test_fuzz.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

FUZZING: Final = __name__ == "__main__"

tracing: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()

if FUZZING:
    atheris: Any = importlib.import_module("atheris")  # has no types, and isn't there for every platform
    # Only what is fuzzed is traced, and from its import on.
    tracing = atheris.instrument_imports(include=["pulumi_ampersand", "pulumi_ampersand_policies"])

with tracing:
    import audits
    import bench
    import mixed_expectations
    from loose_answers import WRONG, loose_answer
    from pulumi_ampersand import sandbox
    from pulumi_ampersand.answers import read_access_token, read_connection, read_projects
    from pulumi_ampersand.errors import AnswerError
    from pulumi_ampersand.inventory import Inventory, parse_connections, parse_ids, parse_observations
    from pulumi_ampersand.problem import Problem
    from pulumi_ampersand.terminal import one_line
    from pulumi_ampersand_policies.baseline import BaselineError, read_baseline
    from pulumi_ampersand_policies.configuration import ConfigurationError, parse
    from pulumi_ampersand_policies.evaluation import evaluate
    from pulumi_ampersand_policies.gate import GateError, stack_gate
    from pulumi_ampersand_policies.profiles import PROFILES, profile
    from pulumi_ampersand_policies.sources import Filters, from_file
    from pulumi_ampersand_policies.testing import NOW, inventory
    from strategies import ruined_value
    from test_properties import CREDIBLE, as_read, naive, packed, timeless
    from test_rules import TABLE
    from test_saved_answer import CASES, FAST, ODD, attributes, read_both

EXAMPLES: Final = Path(__file__).parent.parent / "examples"
JUDGED: Final = inventory(*audits.CONNECTIONS)
SOURCE: Final = "policy-config.json"
PROBLEM: Final = {
    "title": "Not Found",
    "detail": "There is no such project.",
    "retryAfter": "2026-11-24T08:00:00Z",
    "issues": [{"in": "path", "name": "project", "detail": "is unknown", "value": "crm"}],
}
PROJECTS: Final = [{"id": "proj_1", "name": "crm", "appName": "CRM"}]
SCHEMAS: Final[Sequence[Any]] = [
    {"properties": {"group": {"$ref": "#"}}},
    {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"id": {"pattern": "^c", "minLength": 1}}}}},
    {"$dynamicRef": "#n", "$defs": {"n": {"$dynamicAnchor": "n", "allOf": [{"required": ["group"]}, True]}}},
    {"$schema": "http://json-schema.org/draft-07/schema#", "if": {"required": ["group"]}, "else": {"not": {}}},
    {"$id": "https://example.com/a", "patternProperties": {"^s": {"items": {"enum": ["api"]}, "uniqueItems": True}}},
]
LONGEST: Final = 4096
"""Bytes of an input: what is longer is slower and not more."""

HANGS: Final = 10
"""Seconds that an input may take."""


def decoder(data: bytes) -> None:
    """Everything that reads what the API, a file or a state may hold: an answer or one error, and nothing else."""
    both = read_both(data)
    if isinstance(both, str):
        assert CREDIBLE.fullmatch(both), both
        assert_sentence(both)
    else:
        slow, fast = both
        assert list(map(attributes, fast)) == list(map(attributes, slow))
        found = [entry.found for entry in slow]
        assert [entry.found for entry in fast] == found
        assert timeless(as_read(slow)) == timeless(naive(data))
        documents = slow.documents()
        assert [entry.found for entry in Inventory.from_documents(*documents, "asked")] == found
        assert [entry.found for entry in Inventory.from_saved(slow.saved())] == found
    text = data.decode("utf-8", "replace")
    readers: list[Callable[[], object]] = [
        lambda: read_connection(data, refresh_token_told=True),
        lambda: read_projects(data),
        lambda: read_access_token(data),
        lambda: Inventory.from_saved(data),
        lambda: parse_connections(text),
        lambda: parse_ids(text),
        lambda: parse_observations(text),
        lambda: read_baseline(data),
        lambda: stack_gate({"ampersand:gate": text}),
    ]
    for read in readers:
        with only_sentences(AnswerError, BaselineError, GateError):
            read()
    assert_sentence(one_line(Problem.parse(data).explanation()))
    Problem.parse(data).not_before()
    for for_rules in (False, True):
        with given(data):
            part = from_file("-", Filters(), for_rules=for_rules)
        assert len(part.inventory) or part.source.error or isinstance(both, tuple) or b"[]" in data, (
            "lost without a word"
        )
        assert_sentence(part.source.error or "")


def configuration(data: bytes) -> None:
    """What reads configurations: one line for each mistake, or what the pack makes of it, too, and judges by."""
    text = data.decode("utf-8", "replace")
    try:
        read = parse(text, SOURCE)
    except ConfigurationError as error:
        assert_problems(error.problems)
        return
    evaluation = evaluate(JUDGED, read, NOW)
    assert [item for item in evaluation.not_evaluated if item.crashed] == []
    content = json.loads(text.strip() or "{}")
    content.pop("environments", None)
    if b"\\ud" in data.lower() or not exact(content):
        return
    sent = packed(content)
    assert [(one.rule.id, one.enforcement, one.options) for one in sent.rules] == [
        (one.rule.id, one.enforcement, one.options) for one in read.rules
    ]
    assert sent.waivers == read.waivers


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {"decoder": decoder, "configuration": configuration}


def assert_sentence(text: str) -> None:
    """Assert that what is said is one line, safe on a terminal."""
    assert one_line(text) == text


def assert_problems(problems: Sequence[str]) -> None:
    """Assert that there is something wrong with a configuration, each thing a sentence that names the file."""
    assert problems
    for problem in problems:
        assert problem.startswith(SOURCE), problem
        assert_sentence(problem)


@contextlib.contextmanager
def only_sentences(*kinds: type[Exception]) -> Iterator[None]:
    """Allow these errors, if they are sentences."""
    try:
        yield
    except kinds as error:
        assert_sentence(one_line(str(error)))


@contextlib.contextmanager
def given(data: bytes) -> Iterator[None]:
    """Have standard input give this."""
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(data))
    try:
        yield
    finally:
        sys.stdin = before


def exact(value: Any) -> bool:
    """Whether the engine, which makes a float of each number, hands on the same."""
    if isinstance(value, dict):
        return all(map(exact, value.values()))
    if isinstance(value, list):
        return all(map(exact, value))
    return not isinstance(value, int) or abs(value) < 2**53


def seeds(target: str) -> Iterator[bytes]:
    """What fuzzing begins with."""
    if target == "decoder":
        yield from (data for data in (*ODD.values(), *FAST.values(), *CASES.values()) if len(data) <= LONGEST)
        yield from (loose_answer(seed, 2) for seed in range(30))
        found = inventory(*audits.CONNECTIONS[:3])
        yield from (found.saved("proj_1"), *(text.encode() for text in found.documents()), state(found))
        yield (resources.files(sandbox) / "data_sets" / "sample.json").read_bytes()
        yield from (json.dumps(body).encode() for body in (PROBLEM, PROJECTS, {"schemaVersion": 1, "findings": []}))
        return
    yield from (json.dumps({"connection-schema": {"schema": one}}).encode() for one in SCHEMAS)
    for path in EXAMPLES.rglob("policy-config.json"):
        yield path.read_bytes()
    yield from (profile(name).encode() for name in PROFILES)
    for content in (
        bench.ALL_RULES,
        mixed_expectations.CONFIGURATION,
        mixed_expectations.EVERY_RULE,
        audits.CONFIGURATION,
    ):
        yield json.dumps(content).encode()
    for rule, row in TABLE.items():
        options = [row.options, *(case.options for column in (row.keeps, row.breaks, row.edges) for case in column)]
        options += [wrong.options for wrong in row.wrong]
        yield from (json.dumps({rule: one}).encode() for one in options if one)


def state(found: Inventory) -> bytes:
    """A state that holds a data source that read these connections."""
    connections, observations = found.documents()
    inputs = {"connections": connections, "observations": observations, "project": "proj_1"}
    source = {
        "urn": "urn:pulumi:dev::p::t::all",
        "type": "pulumi-python:dynamic/ampersand:Connections",
        "inputs": inputs,
    }
    return json.dumps({"version": 3, "deployment": {"resources": [source]}}).encode()


def mutator(pieces: list[Any]) -> Callable[[bytes, int, int], bytes]:
    """What changes an input: half of the time its bytes, else its values, so that it stays JSON."""

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.5:
            # A value of another type, or one that stands elsewhere.
            piece = chance.choice(WRONG if chance.random() < 0.5 else pieces)
            with contextlib.suppress(ValueError, RecursionError):
                made = json.dumps(ruined_value(json.loads(data), chance, piece)).encode()
                if len(made) <= most:
                    return made
        changed: bytes = atheris.Mutate(data, most)
        return changed

    return mutate


def parts(values: list[Any]) -> Iterator[Any]:
    """Every value that is part of others."""
    while values:
        value = values.pop()
        yield value
        values += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []


def main() -> None:
    """Fuzz, in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="the most inputs to try")
    parser.add_argument("--seed", type=int, default=0, help="what chance begins with; another each time if not given")
    parser.add_argument("--corpus", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # What fuzzes never returns, so another process tidies up.
        child = os.fork()
        if not child:
            fuzz(asked, Path(folder))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(code)


def fuzz(asked: argparse.Namespace, folder: Path) -> None:
    """Fuzz, and end the process.

    Args:
        asked: The arguments.
        folder: A folder for the time being.
    """
    begin, kept = folder / "begin", asked.corpus or folder / "kept"
    values: list[Any] = []
    for path in (begin, kept):
        path.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(asked.target)):
        (begin / str(number)).write_bytes(data)
        with contextlib.suppress(ValueError, RecursionError):
            values.append(json.loads(data))
    options = [
        f"-max_total_time={asked.seconds}",
        f"-runs={asked.runs}",
        f"-seed={asked.seed}",
        f"-max_len={LONGEST}",
        f"-timeout={HANGS}",
        f"-artifact_prefix={asked.corpus or Path.cwd()}/",
        "-print_final_stats=1",
    ]
    unique = {json.dumps(value): value for value in parts(values)}
    atheris.Setup(
        [sys.argv[0], *options, str(kept), str(begin)],
        TARGETS[asked.target],
        custom_mutator=mutator(list(unique.values())),
    )
    atheris.Fuzz()


if FUZZING:
    main()
