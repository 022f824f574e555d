"""The audit's benchmark: saved answers judged by our command, by the Open Policy Agent and by a plain Python script.

Whole processes, from their start to their end, that take turns; each writes what it found as JSON. Before anything is
measured all three must have found the same. Run by itself, this prints the table alone and needs no engine.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.provision import EngineError
from peers import plain
from peers.provide import OPA, opa, opa_version
from peers.saved_answer import AS_OF, REQUIRED_SCOPES, write_saved_answer

RUNS: Final = 5
SECONDS: Final = 600
"""For one run of one program, on whatever machine."""

FOUR: Final = ("no-bad-credentials", "required-scopes", "token-expiry", "allowed-auth-schemes")
FOUR_RULES: Final[dict[str, Any]] = {
    "all": "disabled",
    **dict.fromkeys(FOUR, "mandatory"),
    "required-scopes": {"enforcementLevel": "mandatory", "scopes": REQUIRED_SCOPES},
}

OURS: Final = "pulumi-ampersand audit, four rules"
OURS_ALL: Final = "pulumi-ampersand audit, all rules"
OPA_FOUR: Final = "opa eval, four rules"
PLAIN_FOUR: Final = "plain Python script, four rules"


class Answer(NamedTuple):
    """A saved answer.

    Attributes:
        title: What it is, for the table.
        path: The file.
        size: Its bytes.
    """

    title: str
    path: Path
    size: int


class Spent(NamedTuple):
    """What one run took.

    Attributes:
        seconds: From its start to its end.
        memory: The most bytes that it held, with all of its processes; of this one alone where it wasn't sampled.
    """

    seconds: float
    memory: int


class Contender(NamedTuple):
    """A program that judges an answer.

    Attributes:
        command: Its arguments.
        found: The file that it writes what it found to: a list of findings, or a report.
        exit_code: How it ends if it worked.
        to_file: Whether it doesn't write the file itself, but standard output.
    """

    command: list[str]
    found: Path
    exit_code: int = 0
    to_file: bool = False

    def run(self, *, sample: bool = False) -> Spent:
        """Run it to its end.

        Args:
            sample: Whether to look all the time at how much memory it and its own processes hold, which slows it down.
        """
        self.found.unlink(missing_ok=True)
        target = self.found if self.to_file else Path(os.devnull)
        with target.open("wb") as output, tempfile.TemporaryFile() as errors:
            start = time.perf_counter()
            process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
            watch = threading.Timer(SECONDS, process.kill)
            watch.start()
            sampled = max(_held_until_the_end(process.pid), default=0) if sample else 0
            # Of this process alone: the figures for all children would be those of the largest. A system may count
            # what this process held when it started the other, so that has to be little.
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            watch.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != self.exit_code:
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace")
                sys.exit(f"{' '.join(self.command)} ended with {process.returncode}:\n{said}")
        return Spent(seconds, max(sampled, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)))


def _held_until_the_end(process: int) -> Iterator[int]:
    """The bytes that a process and its own processes hold, what they share counted once, again and again."""
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        held = 0
        for each in (str(process), *_own_processes(process)):
            with suppress(OSError):  # it may have ended
                shares = Path("/proc", each, "smaps_rollup").read_text(encoding="ascii").split("Pss:")
                held += int(shares[1].split()[0]) * 1024 if len(shares) > 1 else 0
        yield held
        time.sleep(0.005)


def _own_processes(process: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    return []


def table(scratch: Path, all_rules: Mapping[str, Any]) -> Iterator[str]:
    """Measure, and give the table in Markdown line by line, with what it says of our goals below.

    Args:
        scratch: An empty folder; 200 MB go there.
        all_rules: A configuration in which every rule is active.
    """
    try:
        program = opa()
    except EngineError as error:
        sys.exit(str(error))
    every = {**all_rules, "required-scopes": {"scopes": REQUIRED_SCOPES}}
    names = (OURS, OURS_ALL, OPA_FOUR, PLAIN_FOUR)
    yield f"| saved answer | {' | '.join(names)} |"
    yield f"| --- | {' | '.join('---:' for _ in names)} |"
    measured = []
    for answer in _answers(scratch):
        contenders = _contenders(answer, program, every, scratch)
        memory = {name: contender.run(sample=True).memory for name, contender in contenders.items()}
        _check(contenders, answer)
        spent = {name: Spent(seconds, memory[name]) for name, seconds in _measure(contenders).items()}
        measured.append((answer, spent))
        yield f"| {answer.title}, {answer.size / 1e6:.1f} MB | {' | '.join(_cells(spent))} |"
        answer.path.unlink()
    yield ""
    versions = f"opa {opa_version()}, Python {platform.python_version()}"
    yield f"Medians of {RUNS} runs in turns, on {os.cpu_count()} cores; {versions}; ratios are to our four rules."
    for answer, spent in measured:
        if answer.size > 100e6:
            yield from _goals(answer, spent)


def _answers(scratch: Path) -> Iterator[Answer]:
    for count, world in ((1_000, False), (10_000, False), (100_000, False), (100_000, True)):
        path = scratch / "answer.json"
        size = write_saved_answer(path, count, world=world)
        yield Answer(f"{count:,} connections{', names of all scripts' if world else ''}", path, size)


def _contenders(answer: Answer, program: str, every: Mapping[str, Any], scratch: Path) -> dict[str, Contender]:
    source, as_of = str(answer.path), AS_OF.isoformat().replace("+00:00", "Z")

    def ours(name: str, configuration: Mapping[str, Any]) -> Contender:
        config, found = scratch / f"{name}-config.json", scratch / f"{name}.json"
        config.write_text(json.dumps(configuration))
        command = [str(Path(sys.executable).with_name("pulumi-ampersand")), "audit", "--input", source]
        options = ["--config", str(config), "--as-of", as_of, "--format", f"json={found}"]
        return Contender([*command, *options], found, exit_code=1)

    policy = ["--data", str(OPA / "policy.rego"), "--input", source, "--format", "raw", "data.audit.findings"]
    found = scratch / "plain.json"
    return {
        OURS: ours("four", FOUR_RULES),
        OURS_ALL: ours("all", every),
        OPA_FOUR: Contender([program, "eval", *policy], scratch / "opa.json", to_file=True),
        PLAIN_FOUR: Contender([sys.executable, str(plain.__file__), source, str(found), as_of], found),
    }


def _check(contenders: Mapping[str, Contender], answer: Answer) -> None:
    """End the benchmark unless all have found the same by the four rules, and something by each."""
    expected = _pairs(_findings(contenders[PLAIN_FOUR]))
    if {rule for rule, _ in expected} != set(FOUR):
        sys.exit(f"{answer.title}: not each rule found something, so that they agree says nothing")
    for name, contender in contenders.items():
        findings = _findings(contender)
        if name == OURS_ALL:
            findings = [finding for finding in findings if finding["rule"] in FOUR]
        pairs = _pairs(findings)
        if pairs != expected or not all(finding["message"] for finding in findings):
            lacking, surplus = sorted(set(expected) - set(pairs))[:3], sorted(set(pairs) - set(expected))[:3]
            sys.exit(
                f"{answer.title}: {name} found {len(pairs)}, {PLAIN_FOUR} {len(expected)}; the first few that the "
                f"one lacks: {lacking}, the other: {surplus}"
            )
    report = json.loads(contenders[OURS_ALL].found.read_text(encoding="utf-8"))
    idle = [rule["id"] for rule in report["rules"] if not rule["active"]]
    if idle or report["notEvaluated"]:
        sys.exit(f"{answer.title}: not all was judged: {idle or report['notEvaluated'][:3]}")


def _findings(contender: Contender) -> list[dict[str, Any]]:
    found = json.loads(contender.found.read_text(encoding="utf-8"))
    return list(found["findings"] if isinstance(found, dict) else found)


def _pairs(findings: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return sorted((finding["rule"], finding["connection"]) for finding in findings)


def _measure(contenders: Mapping[str, Contender]) -> dict[str, float]:
    """The median of the seconds of each, run in turns."""
    runs: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(RUNS):
        for name, contender in contenders.items():
            runs[name].append(contender.run().seconds)
    return {name: statistics.median(taken) for name, taken in runs.items()}


def _cells(spent: Mapping[str, Spent]) -> Iterator[str]:
    for name, (seconds, _) in spent.items():
        yield f"{seconds:.2f} s" + ("" if name == OURS else f", {seconds / spent[OURS].seconds:.1f} times")


def _goals(answer: Answer, spent: Mapping[str, Spent]) -> Iterator[str]:
    """What the large answers are measured for."""
    four, every = spent[OURS], spent[OURS_ALL]
    opa_seconds, plain_seconds = spent[OPA_FOUR].seconds, spent[PLAIN_FOUR].seconds
    yield f"{answer.title}:"
    yield f"  {OPA_FOUR}, against our four rules: {opa_seconds / four.seconds:.1f} times as long (goal: at least 8)"
    yield f"  {PLAIN_FOUR}, against our four rules: {plain_seconds / four.seconds:.1f} (goal: at least 2)"
    yield f"  {OPA_FOUR}, against all our rules: {opa_seconds / every.seconds:.1f} (goal: at least 3)"
    for name in (OURS, OURS_ALL, OPA_FOUR, PLAIN_FOUR):
        goal = " (goal: at most 3)" if name in {OURS, OURS_ALL} else ""
        yield f"  peak memory of {name}: {spent[name].memory / answer.size:.1f} times the file{goal}"


if __name__ == "__main__":
    from bench import ALL_RULES

    with tempfile.TemporaryDirectory(prefix="ampersand-bench-") as folder:
        for line in table(Path(folder), ALL_RULES):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
