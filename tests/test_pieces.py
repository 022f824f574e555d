"""A large saved answer, judged in pieces by several processes: the same verdict, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from bench import ALL_RULES
from peers.saved_answer import AS_OF, REQUIRED_SCOPES, connections
from pulumi_ampersand import saved_answer
from pulumi_ampersand.answers import read_connections
from pulumi_ampersand.inventory import Inventory
from pulumi_ampersand.saved_answer import MOST_PIECES, AnswerFile, PieceReader, SavedConnection, pieces
from pulumi_ampersand_policies.audit import Part, audit
from pulumi_ampersand_policies.configuration import Configuration, parse
from pulumi_ampersand_policies.evaluation import Judged, evaluate, judge
from pulumi_ampersand_policies.pieces import judge_in_pieces
from pulumi_ampersand_policies.report import Report
from pulumi_ampersand_policies.reports import FORMATS, Look, form
from pulumi_ampersand_policies.rule import Breach
from pulumi_ampersand_policies.rules import no_bad_credentials
from pulumi_ampersand_policies.sources import Filters, from_file

EVERY_RULE: Final = parse(
    json.dumps(
        {
            **ALL_RULES,
            "required-scopes": {"scopes": REQUIRED_SCOPES, "tolerate": "3%"},
            "allowed-providers": {
                "deny": ["gong"],
                "waivers": [{"group": "org_1*", "reason": "migrating", "approvedBy": "jo", "expires": "2027-01-01"}],
            },
            "token-expiry": {"tolerate": 1},
            "required-connections": {"require": [{"provider": "slack", "min": 10**6}]},
        }
    ),
    "policy-config.json",
)

unix = pytest.mark.skipif(not hasattr(os, "fork"), reason="only a system that forks has several processes here")


def unusual(sent: dict[str, Any], number: int) -> dict[str, Any]:
    """Make a few connections such that rules can't judge them, or such that they are alike."""
    if number % 97 == 0:
        return {**sent, "status": "paused", "oauth2AuthorizationCode": {"accessToken": {}}}
    if number % 89 == 0:
        return {key: value for key, value in sent.items() if key not in {"group", "consumer", "authScheme"}}
    if number % 83 < 2:
        return {**sent, "provider": "gong", "group": {"groupRef": f"org_{number // 83}"}, "consumer": None}
    return sent


@pytest.fixture(scope="module")
def sent() -> list[dict[str, Any]]:
    """Connections, of which no two are alike in what rules make of them; 7 MB of JSON."""
    return [unusual(connection, number) for number, connection in enumerate(connections(4_000))]


@pytest.fixture(scope="module")
def answer(sent: list[dict[str, Any]]) -> bytes:
    """The same as an answer."""
    return json.dumps(sent).encode()


@pytest.fixture
def in_file(tmp_path: Path) -> Callable[[bytes], AnswerFile]:
    """Puts an answer into a file."""

    def write(data: bytes) -> AnswerFile:
        file = tmp_path / "in_file.json"
        file.write_bytes(data)
        return AnswerFile(file)

    return write


InFile = Callable[[bytes], AnswerFile]


def read(answer: AnswerFile) -> list[list[SavedConnection]]:
    """What is in each of its pieces; nothing in those that are for others to read."""
    reader = PieceReader(answer)
    return [reader.read(span) or [] for span in pieces(answer)]


def judged(answer: AnswerFile, configuration: Configuration = EVERY_RULE) -> Any:
    """What comes of it piece by piece."""

    def judge_all(inventory: Inventory) -> tuple[int, Judged]:
        return len(inventory), judge(inventory, configuration, AS_OF)

    return judge_in_pieces(answer, judge_all)


def part(data: bytes, folder: Path, *, in_pieces: bool, **filters: str) -> Part:
    """The same as a source of an audit."""
    file = folder / "answer.json"
    file.write_bytes(data)
    now = partial(judge, configuration=EVERY_RULE, now=AS_OF)
    read = from_file(str(file), Filters(**filters), for_rules=True, judge=now if in_pieces else None)
    assert (read.judged is not None) == in_pieces
    return read


def report(read: Part, **filters: str) -> Report:
    """The report of a source."""
    return audit([read], EVERY_RULE, AS_OF, filters=filters)


@pytest.mark.parametrize(
    ("name", "filters"),
    # The page looks ahead for 90 days, which takes its time.
    [*((name, {}) for name in sorted(FORMATS) if name != "html"), *((name, {"provider": "slack"}) for name in FORMATS)],
)
def test_a_report_is_the_same(answer: bytes, tmp_path: Path, name: str, filters: Mapping[str, str]) -> None:
    """Whether an answer is judged as a whole or in pieces: not a character of any report differs."""
    whole, made = (report(part(answer, tmp_path, in_pieces=way, **filters), **filters) for way in (False, True))
    assert whole.states == made.states
    assert filters or min(whole.states.values()) > 0
    assert filters or whole.evaluation.not_evaluated
    render = form(name)
    assert "".join(render(made, Look())) == "".join(render(whole, Look()))


def test_a_whole_inventory_is_read_when_somebody_looks(answer: bytes, tmp_path: Path) -> None:
    """Reports that show each connection get each, in the order of the answer, with all of its attributes."""
    whole, made = (part(answer, tmp_path, in_pieces=way).inventory for way in (False, True))
    assert len(made) == len(whole) == 4_000
    assert [entry.found for entry in made] == [entry.found for entry in whole]
    assert made.saved() == whole.saved()


@pytest.mark.parametrize("indent", [None, 0, 2], ids=["dense", "lines", "indented"])
def test_pieces_are_all_of_an_answer(sent: list[dict[str, Any]], indent: int | None, in_file: InFile) -> None:
    """However an answer is laid out, its pieces hold its connections in its order, and no piece is much of it."""
    found = read(in_file(json.dumps(sent, indent=indent).encode() + b"\n" * 3))
    assert 4 <= len(found) <= MOST_PIECES
    assert min(map(len, found)) > 0
    assert [connection.id for part in found for connection in part] == [connection["id"] for connection in sent]


@pytest.mark.parametrize("text", [b"", b"[]", b"[", b"]", b"{}", b'{"a": []}', b"[1] ]" + b" " * 1_000, b"\xff"])
def test_what_is_no_large_array_is_left_alone(text: bytes, in_file: InFile) -> None:
    """Small answers and what is no answer are nobody's pieces."""
    answer = in_file(text)
    assert len(pieces(answer)) <= 1
    assert judged(answer) is None


def _in_a_text(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "group": {"groupName": "},{" * 500, "groupRef": "}, {"}} for one in sent[:2_000]]


def _inside_of_connections(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "more": [{"a": 1}, {"b": [{}, {}]}] * 20} for one in sent]


def _inside_of_arrays(sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "more": sent[: 40 * (number % 100 == 0)]} for number, one in enumerate(sent[:2_000])]


@pytest.mark.parametrize("make", [_in_a_text, _inside_of_connections, _inside_of_arrays])
def test_a_cut_in_the_wrong_place_is_no_cut(
    sent: list[dict[str, Any]], make: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], in_file: InFile
) -> None:
    """What looks like the end of a connection and isn't leaves the answer to those who read it as a whole."""
    made = make(sent)
    answer = in_file(json.dumps(made).encode())
    assert len(pieces(answer)) >= 4
    found = judged(answer)
    if found is not None:
        assert sorted(found.ids) == sorted(connection["id"] for connection in made)


def test_a_cut_in_a_text_is_noticed(sent: list[dict[str, Any]], in_file: InFile) -> None:
    """So that the last test isn't true by chance: pieces that begin inside of a text can't be read."""
    assert [] in read(in_file(json.dumps(_in_a_text(sent)).encode()))


def _broken(sent: list[dict[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    yield "no ID", [*sent[:3_500], {"provider": "slack", "status": "working"}, *sent[3_500:]]
    yield "no object", [*sent, 1]
    yield "wrong type", [{**sent[0], "createTime": 1}, *sent[1:]]
    yield "lone surrogate", [*sent[:-1], {**sent[-1], "consumer": {"consumerName": "\ud800"}}]
    yield "twice", [*sent, sent[0]]
    yield "twice, with other content", [*sent, {**sent[0], "status": "bad_credentials"}]


def test_what_is_not_as_promised_is_read_as_a_whole(
    sent: list[dict[str, Any]], tmp_path: Path, in_file: InFile
) -> None:
    """Errors name positions, gaps are kept and doubles are noticed, as if there were no pieces."""
    file = tmp_path / "answer.json"
    for name, content in _broken(sent):
        data = json.dumps(content).encode()
        assert len(pieces(in_file(data))) >= 4, name
        assert judged(in_file(data)) is None, name
        file.write_bytes(data)
        now = partial(judge, configuration=EVERY_RULE, now=AS_OF)
        plain, made = (from_file(str(file), Filters(), for_rules=True, judge=way) for way in (None, now))
        assert made.source == plain.source, name
        assert made.judged is None, name
        assert evaluate(made.inventory, EVERY_RULE, AS_OF) == evaluate(plain.inventory, EVERY_RULE, AS_OF), name


def _crashing(inventory: Inventory, _options: Any, _now: datetime) -> Iterator[Breach]:
    for entry in inventory:
        if entry.observation.status == "paused":
            raise LookupError
        yield Breach("odd", entry)


def test_a_rule_that_crashes_is_judged_by_the_whole(answer: bytes, in_file: InFile) -> None:
    """How much a rule said before it crashed doesn't depend on pieces and processes: it judges all of them again."""
    (active,) = [active for active in EVERY_RULE.rules if active.rule.id == no_bad_credentials.RULE.id]
    crashing = active._replace(rule=replace(active.rule, check=_crashing))
    assert judged(in_file(answer), replace(EVERY_RULE, rules=(crashing,))) is None
    assert judged(in_file(answer), replace(EVERY_RULE, rules=(active,))) is not None


def test_nothing_that_is_passed_on_holds_credentials(sent: list[dict[str, Any]], in_file: InFile) -> None:
    """What a process tells another of connections is what rules see of them, unmistakably without tokens."""
    tokens = [
        connection["oauth2AuthorizationCode"][name]["token"]
        for connection in sent
        for name in ("accessToken", "refreshToken")
        if connection.get("oauth2AuthorizationCode", {}).get(name, {}).get("token")
    ]
    found = judged(in_file(json.dumps(sent).encode()))
    texts = repr(found)
    assert len(tokens) > 3_000
    assert "paused" in texts
    assert not any(token[:40] in texts for token in tokens)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _left() -> bool:
    """Whether this process has processes of its own."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@unix
def test_several_processes_take_part(answer: bytes, in_file: InFile) -> None:
    """Where there are several processors, pieces are judged by several processes, which leave nothing behind."""
    before, seen = _open_files(), set()

    def note(inventory: Inventory) -> tuple[int, Judged]:
        said = judge(inventory, EVERY_RULE, AS_OF)
        said.gaps.clear()
        said.unverifiable = [Breach(str(os.getpid()))]
        return len(inventory), said

    for _ in range(20):  # a process may be done before another has begun
        found = judge_in_pieces(in_file(answer), note)
        assert found is not None
        seen |= {breach.cause for breach in found.judged.unverifiable}
        if len(seen) > 1:
            break
    assert (len(seen) > 1) == (len(os.sched_getaffinity(0)) > 1)
    assert not _left()
    assert _open_files() == before


@unix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_ended_is_not_waited_for(answer: bytes, number: signal.Signals, in_file: InFile) -> None:
    """Pieces whose process was ended from outside are read by nobody, so the answer is judged as a whole."""
    me, before = os.getpid(), _open_files()

    def end(inventory: Inventory) -> tuple[int, Judged]:
        if os.getpid() != me:
            os.kill(os.getpid(), number)
        return len(inventory), judge(inventory, EVERY_RULE, AS_OF)

    if len(os.sched_getaffinity(0)) > 1:
        # The other process may find nothing left to do.
        assert any(judge_in_pieces(in_file(answer), end) is None for _ in range(20))
    assert not _left()
    assert _open_files() == before


@unix
def test_an_interruption_ends_all_of_it(answer: bytes, in_file: InFile) -> None:
    """Whoever is interrupted leaves no process and no open file behind."""
    me, before = os.getpid(), _open_files()

    def interrupt(inventory: Inventory) -> tuple[int, Judged]:
        if os.getpid() == me:
            raise KeyboardInterrupt
        return len(inventory), judge(inventory, EVERY_RULE, AS_OF)

    with pytest.raises(KeyboardInterrupt):
        judge_in_pieces(in_file(answer), interrupt)
    assert not _left()
    assert _open_files() == before


ENDED: Final = """
import os, signal, sys, time
from datetime import datetime, timezone
from pathlib import Path
from pulumi_ampersand_policies.configuration import parse
from pulumi_ampersand_policies.evaluation import judge
from pulumi_ampersand.saved_answer import AnswerFile
from pulumi_ampersand_policies.pieces import judge_in_pieces

me, configuration = os.getpid(), parse('{"all": "mandatory"}', "")

def judge_one(inventory):
    if os.getpid() == me:
        time.sleep(1.0)
        os.kill(me, signal.SIGKILL)
    return len(inventory), judge(inventory, configuration, datetime.now(timezone.utc))

judge_in_pieces(AnswerFile(Path(sys.argv[1])), judge_one)
"""


@unix
def test_no_process_outlives_the_command(answer: bytes, tmp_path: Path) -> None:
    """What another process has found is more than a pipe holds, and nobody reads it: it ends all the same."""
    file = tmp_path / "answer.json"
    file.write_bytes(answer)
    run = subprocess.Popen([sys.executable, "-c", ENDED, file], stdout=subprocess.PIPE, start_new_session=True)
    try:
        # The pipe ends when the last process has ended.
        assert run.communicate(timeout=20)[0] == b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL


def test_a_file_that_changes_is_an_error(answer: bytes, tmp_path: Path) -> None:
    """What is judged is one answer, not the beginning of one and the end of another."""
    file = tmp_path / "answer.json"
    file.write_bytes(answer)

    def change(inventory: Inventory, *, whole: bool = False) -> Judged:
        with file.open("r+b") as other:
            other.write(b"[")
        os.utime(file, ns=(0, 0))
        return judge(inventory, EVERY_RULE, AS_OF, whole=whole)

    part = from_file(str(file), Filters(), for_rules=True, judge=change)
    assert (part.source.status, len(part.inventory)) == ("failed", 0)
    assert part.source.error == "can't be read: it was changed while it was judged; run the command again"


@pytest.mark.parametrize("size", [1, 100, 2**13 + 7])
def test_what_lies_between_connections_is_no_matter(sent: list[dict[str, Any]], size: int, in_file: InFile) -> None:
    """Whatever lies between two connections, a cut is found wherever one is looked for."""
    text = json.dumps([{**one, "more": "x" * size} for one in sent]).replace("}, {", "},\n \t{").encode()
    found = read(in_file(text))
    assert len(found) > 5
    assert sum(map(len, found)) == len(sent)


def test_a_short_piece_after_a_long_one_has_nothing_of_it(sent: list[dict[str, Any]], in_file: InFile) -> None:
    """Pieces of very different lengths are read into the same memory, in any order."""
    made = [{**one, "more": "x" * 2**20 if number % 1_000 == 500 else ""} for number, one in enumerate(sent)]
    answer = in_file(json.dumps(made).encode())
    reader, spans = PieceReader(answer), pieces(answer)
    sizes = [end - begin for begin, end in spans]
    assert max(sizes) > 3 * min(sizes)
    for order in (spans, spans[::-1]):
        found = [connection.id for span in order for connection in reader.read(span) or []]
        assert sorted(found) == sorted(one["id"] for one in sent)


def test_what_many_have_in_common_takes_no_more_memory(in_file: InFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that turn out not to be common are forgotten, and read right all the same."""
    monkeypatch.setattr(saved_answer, "_MOST_IN_COMMON", 100)
    sent = [
        {**one, "oauth2AuthorizationCode": {"scopes": [f"scope-{number}"]}}
        for number, one in enumerate(connections(1_000))
    ]
    answer = in_file(json.dumps(sent).encode())
    assert [one.scopes for part in read(answer) for one in part] == [[f"scope-{number}"] for number in range(1_000)]


def test_pieces_are_read_as_programs_read(answer: bytes, in_file: InFile) -> None:
    """All that is known of each connection is the same as what programs get."""
    slow = {connection.id: (connection, seen) for connection, seen in read_connections(answer, refresh_token_told=True)}
    entries = [
        entry
        for part in read(in_file(answer))
        for entry in Inventory.of_saved(part)
        if entry.connection.auth_scheme is not None
    ]
    assert len(entries) > 3_900
    assert {entry.connection.id: entry.found for entry in entries} == {
        entry.connection.id: slow[entry.connection.id] for entry in entries
    }
