"""The audit's benchmark: saved answers judged by our command, by the Open Policy Agent and by a plain Python script.

Whole processes, from their start to their end, that take turns; each writes what it found as JSON. Before anything is
measured all must have found the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench_measure import (
    ALL_RULES,
    FOUR,
    Bench,
    Row,
    Taken,
    agreed,
    by_itself,
    counted,
    in_turns,
    not_measured,
    timed,
    weighed,
)
from engine.provision import EngineError
from peers import plain
from peers.provide import OPA, opa
from peers.saved_answer import AS_OF, REQUIRED_SCOPES, write_saved_answer

SECONDS: Final = 600
"""For one run of one program, on whatever machine."""
SECONDS_EACH: Final = 30
"""For all runs on one answer, once there were enough of them."""
LARGEST: Final = 300_000

FOUR_RULES: Final[dict[str, Any]] = {
    "all": "disabled",
    **dict.fromkeys(FOUR, "mandatory"),
    "required-scopes": {"enforcementLevel": "mandatory", "scopes": REQUIRED_SCOPES},
}

MEASURED: Final = "audit, 4 rules"
MEASURED_ALL: Final = "audit, all 19 rules"
OURS: Final = "ours, 4 rules"
OURS_ALL: Final = "ours, all rules"
OPA_FOUR: Final = "`opa eval`, 4 rules"
PLAIN_FOUR: Final = "plain Python script, 4 rules"


class Answer(NamedTuple):
    """A saved answer.

    Attributes:
        title: What it is, for the table.
        path: The file.
        size: Its bytes.
        many: How many connections it has.
        world: Whether it has names of all scripts.
    """

    title: str
    path: Path
    size: int
    many: int
    world: bool


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

    def run(self, *, sample: bool = False) -> int:
        """Run it to its end.

        Args:
            sample: Whether to look all the time at how much memory it and its own processes hold, which slows it down.

        Returns:
            The most bytes that it held, with all of its processes; of this one alone where it wasn't sampled.
        """
        self.found.unlink(missing_ok=True)
        target = self.found if self.to_file else Path(os.devnull)
        with target.open("wb") as output, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
            watch = threading.Timer(SECONDS, process.kill)
            watch.start()
            sampled = max(_held_until_the_end(process.pid), default=0) if sample else 0
            # Of this process alone: the figures for all children would be those of the largest. Linux counts what this
            # process held when it started the other, so that a sample is better.
            _, status, usage = os.wait4(process.pid, 0)
            watch.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != self.exit_code:
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace")
                sys.exit(f"{' '.join(self.command)} ended with {process.returncode}:\n{said}")
        return sampled or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _held_until_the_end(process: int) -> Iterator[int]:
    """The bytes that a process has held at most since it began, again and again.

    Where it has processes of its own, those that they all hold now, too, what they share counted once. Counting takes
    the longer the more there is, and holds them up.
    """
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        start = time.perf_counter()
        yield _kilobytes(str(process), "status", "VmHWM:") * 1024
        if own := _own_processes(process):
            yield sum(_kilobytes(each, "smaps_rollup", "Pss:") for each in (str(process), *own)) * 1024
        time.sleep(max(0.005, 4 * (time.perf_counter() - start)))


def _kilobytes(process: str, file: str, field: str) -> int:
    with suppress(OSError):  # it may have ended
        _, found, after = Path("/proc", process, file).read_text(encoding="utf-8", errors="replace").partition(field)
        return int(after.split(maxsplit=1)[0]) if found else 0
    return 0


def _own_processes(process: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    return []


def rows(bench: Bench, provide_opa: Callable[[], str] = opa) -> Iterator[Row]:
    """Measure, and give the rows.

    Args:
        bench: How.
        provide_opa: Gives the Open Policy Agent.
    """
    program = None
    try:
        program = provide_opa()
    except EngineError as error:
        yield not_measured(MEASURED, OPA_FOUR, error)
    scratch = bench.folder("audit")
    smallest: tuple[int, dict[str, int]] | None = None
    for answer in _answers(bench, scratch):
        contenders = _contenders(answer, program, scratch)
        memory = {name: contender.run(sample=True) for name, contender in contenders.items()}
        _check(contenders, answer)
        taken = in_turns(
            {name: contender.run for name, contender in contenders.items()}, quick=bench.quick, seconds=SECONDS_EACH
        )
        yield from _compared(answer, taken, memory)
        smallest = smallest or (answer.size, memory)
        if answer.many == LARGEST and smallest[0] < answer.size:
            yield from _growth(smallest, (answer.size, memory), answer.many)
        answer.path.unlink()


def _answers(bench: Bench, scratch: Path) -> Iterator[Answer]:
    sizes = [(count, False) for count in bench.sizes(1_000, 10_000, 100_000, LARGEST, quick=[1_000])]
    for count, world in sizes if bench.quick else [*sizes[:-1], (100_000, True), *sizes[-1:]]:
        path = scratch / "answer.json"
        size = write_saved_answer(path, count, world=world)
        yield Answer(f"{size / 1e6:.1f} MB{', names of all scripts' if world else ''}", path, size, count, world)


def _compared(answer: Answer, taken: Mapping[str, Taken], memory: Mapping[str, int]) -> Iterator[Row]:
    ours, count = taken[OURS], answer.many
    others = [name for name in taken if name not in {OURS, OURS_ALL}]
    for name in others:
        yield timed(f"{MEASURED}, {answer.title}", ours, name, taken[name], count)
    if answer.world:
        return
    if OPA_FOUR in taken:
        yield timed(f"{MEASURED_ALL}, {answer.title}", taken[OURS_ALL], OPA_FOUR, taken[OPA_FOUR], count)
    for name in others:
        yield weighed(f"{MEASURED}, peak memory", memory[OURS], name, memory[name], count, size=answer.size)


def _growth(small: tuple[int, Mapping[str, int]], large: tuple[int, Mapping[str, int]], count: int) -> Iterator[Row]:
    """How much more memory each byte of the file takes, from the smallest answer to the largest."""
    bytes_more = large[0] - small[0]
    growth = {name: (held - small[1][name]) / bytes_more for name, held in large[1].items()}
    for measured, which in ((MEASURED, OURS), (MEASURED_ALL, OURS_ALL)):
        for name, theirs in growth.items():
            if name not in {OURS, OURS_ALL}:
                title = f"{measured}, growth of memory for each byte of the file"
                yield counted(title, growth[which], name, theirs, count)


def _contenders(answer: Answer, program: str | None, scratch: Path) -> dict[str, Contender]:
    every = {**ALL_RULES, "required-scopes": {"scopes": REQUIRED_SCOPES}}
    source, as_of = str(answer.path), AS_OF.isoformat().replace("+00:00", "Z")

    def ours(name: str, configuration: Mapping[str, Any]) -> Contender:
        config, found = scratch / f"{name}-config.json", scratch / f"{name}.json"
        config.write_text(json.dumps(configuration))
        command = [str(Path(sys.executable).with_name("pulumi-ampersand")), "audit", "--input", source]
        options = ["--config", str(config), "--as-of", as_of, "--format", f"json={found}"]
        return Contender([*command, *options], found, exit_code=1)

    policy = ["--data", str(OPA / "policy.rego"), "--input", source, "--format", "raw", "data.audit.findings"]
    found = scratch / "plain.json"
    contenders = {OURS: ours("four", FOUR_RULES), OURS_ALL: ours("all", every)}
    if program:
        contenders[OPA_FOUR] = Contender([program, "eval", *policy], scratch / "opa.json", to_file=True)
    contenders[PLAIN_FOUR] = Contender([sys.executable, str(plain.__file__), source, str(found), as_of], found)
    return contenders


def _check(contenders: Mapping[str, Contender], answer: Answer) -> None:
    """End the benchmark unless all have found the same by the four rules, and something by each."""
    expected = _pairs(_findings(contenders[PLAIN_FOUR]))
    if {rule for rule, _ in expected} != set(FOUR):
        sys.exit(f"{answer.title}: not each rule found something, so that they agree says nothing")
    found = {PLAIN_FOUR: expected}
    for name, contender in contenders.items():
        findings = [finding for finding in _findings(contender) if name != OURS_ALL or finding["rule"] in FOUR]
        if not all(finding["message"] for finding in findings):
            sys.exit(f"{answer.title}: {name} doesn't say what is wrong")
        found[name] = _pairs(findings)
    agreed(answer.title, found)
    report = json.loads(contenders[OURS_ALL].found.read_text(encoding="utf-8"))
    idle = [rule["id"] for rule in report["rules"] if not rule["active"]]
    if idle or report["notEvaluated"]:
        sys.exit(f"{answer.title}: not all was judged: {idle or report['notEvaluated'][:3]}")


def _findings(contender: Contender) -> list[dict[str, Any]]:
    found = json.loads(contender.found.read_text(encoding="utf-8"))
    return list(found["findings"] if isinstance(found, dict) else found)


def _pairs(findings: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return sorted((finding["rule"], finding["connection"]) for finding in findings)


if __name__ == "__main__":
    by_itself(rows)
