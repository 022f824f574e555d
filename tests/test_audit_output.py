"""What ``pulumi-ampersand audit`` writes where: streams, files that are whole or not there, terminals, signals."""

from __future__ import annotations

import ctypes
import json
import os
import pty
import re
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from audit_runs import (
    AS_OF,
    BAD,
    CLEAN,
    KEY,
    SCRIPT,
    SECONDS,
    Run,
    audit,
    checked,
    environment,
    left_in,
    on_terminal,
    rest_of,
    write,
)
from audits import CONFIGURATION, CONNECTIONS
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand_policies.reports import FORMATS
from pulumi_ampersand_policies.testing import NOW

HEADLINE = "Broken: 1 finding of 1 connection breaks.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one broken connection in ``bad.json``, and all that a report can hold in ``answer.json``."""
    write(tmp_path, "bad.json", [BAD])
    write(tmp_path, "answer.json", CONNECTIONS)
    write(tmp_path, "policy.json", CONFIGURATION)
    return tmp_path


@pytest.fixture
def large(folder: Path) -> Path:
    """A saved answer whose report in any form takes its time."""
    found = [{**BAD, "id": f"conn_{number}", "providerWorkspaceRef": str(number)} for number in range(20_000)]
    return write(folder, "large.json", found)


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """An API with one project, whose connection is broken."""
    projects = [Project(id="proj_1", name="crm", connections=[BAD])]
    with Sandbox(connections=[], projects=projects, api_key=KEY, now=NOW) as running:
        yield running


BAD_ONE = ("--input", "bad.json", "--as-of", AS_OF)
EVERYTHING = ("--input", "answer.json", "--config", "policy.json", "--as-of", AS_OF)


@pytest.mark.parametrize("format_", FORMATS)
def test_standard_output_is_the_report_alone(format_: str, folder: Path) -> None:
    """A form on standard output is what it is in a file, to the byte; everything else goes to standard error."""
    shown = audit(folder, *EVERYTHING, "--format", format_)
    dashed = audit(folder, *EVERYTHING, "--format", f"{format_}=-")
    written = audit(folder, *EVERYTHING, "--format", f"{format_}=report")
    assert shown.out == dashed.out == (folder / "report").read_bytes()
    assert written.out == b""
    assert shown.out.endswith(b"\n")
    assert {shown.err, dashed.err, written.err} == {"Broken: 4 findings of 10 connections break.\n"}
    assert {shown.code, dashed.code, written.code} == {1}


def test_without_a_format_it_is_the_table(folder: Path) -> None:
    """The default."""
    assert audit(folder, *EVERYTHING).out == audit(folder, *EVERYTHING, "--format", "table").out != b""


def test_several_forms_in_one_run(folder: Path) -> None:
    """Each to its file, and one of them to standard output; the same as one by one."""
    options = [part for name in FORMATS[1:] for part in ("--format", f"{name}=all.{name}")]
    run = audit(folder, *EVERYTHING, *options, "--format", "table")
    assert run.code == 1
    for name in FORMATS[1:]:
        assert audit(folder, *EVERYTHING, "--format", name).out == (folder / f"all.{name}").read_bytes(), name
    assert run.out == audit(folder, *EVERYTHING).out
    assert left_in(folder) == sorted(
        ["answer.json", "bad.json", "policy.json", *(f"all.{name}" for name in FORMATS[1:])]
    )


@pytest.mark.parametrize("format_", FORMATS)
def test_two_runs_are_alike_to_the_byte(format_: str, folder: Path) -> None:
    """Whatever the interpreter's hashes, for the same input and time."""
    runs = {
        audit(folder, *EVERYTHING, "--format", format_, PYTHONHASHSEED=seed).out for seed in ("0", "1", "4294967295")
    }
    assert len(runs) == 1


def test_the_order_of_an_answer_changes_no_finding(folder: Path) -> None:
    """Findings, gaps and waivers are sorted."""
    write(folder, "backwards.json", CONNECTIONS[::-1])
    run = audit(folder, *EVERYTHING, "--format", "json")
    backwards = audit(folder, "--input", "backwards.json", *EVERYTHING[2:], "--format", "json")
    assert backwards.out.replace(b"backwards.json", b"answer.json") == run.out


@pytest.mark.parametrize("connections", [[], [CLEAN]], ids=["nothing", "one"])
def test_a_clean_run_leaves_a_report(connections: list[Any], folder: Path) -> None:
    """That a file is there proves that the run was finished."""
    write(folder, "clean.json", connections)
    run = audit(folder, "--input", "clean.json", "--as-of", AS_OF, "--format", "json=audit.json")
    assert (run.code, run.out) == (0, b"")
    report = json.loads((folder / "audit.json").read_text())
    assert (report["verdict"], report["findings"], report["exitCode"]) == ("clean", [], 0)
    assert report["summary"]["connections"] == len(connections)


def test_quiet_says_nothing_but_errors(folder: Path) -> None:
    """Neither a summary nor what was read; errors all the same, and the same report."""
    loud = audit(folder, *BAD_ONE, "--format", "json")
    quiet = audit(folder, *BAD_ONE, "--format", "json", "--quiet")
    assert loud.err == HEADLINE
    assert (quiet.code, quiet.out, quiet.err) == (1, loud.out, "")
    failing = audit(folder, *BAD_ONE, "--input", "missing.json", "--format", "json", "-q")
    assert failing.err == "Error: answer missing.json: can't be read: No such file or directory\n"


def test_verbose_lists_what_was_read(api: Sandbox, folder: Path) -> None:
    """A line for each source: what it is, how many connections, and whether all of it was read."""
    run = audit(
        folder,
        *("--project", "crm", *BAD_ONE, "--input", "answer.json", "--input", "missing.json"),
        *("--format", "json", "--verbose"),
        AMP_API_URL=api.url,
    )
    assert run.err.splitlines()[:4] == [
        "project crm: 1 connection, complete",
        "answer bad.json: 1 connection, complete",
        "answer answer.json: 10 connections, complete",
        "answer missing.json: 0 connections, failed",
    ]


def test_names_of_files_are_shown_on_one_line(folder: Path) -> None:
    """A file name can't draw lines of its own, nor colours."""
    name = "x\nError: \x1b[31mall is well"
    run = audit(folder, "--input", name, "--format", "json", "--verbose")
    assert run.code == 3
    assert len(run.err.splitlines()) == 3
    (folder / name).write_text("[]")
    assert len(audit(folder, "--input", name, "--format", "json", "--verbose").err.splitlines()) == 2


class TestWholeFiles:
    """Files are whole or not there."""

    @pytest.mark.parametrize("older", [None, "before"], ids=["none-before", "one-before"])
    @pytest.mark.parametrize("first", ["good", "bad"])
    def test_all_outputs_or_none(self, older: str | None, first: str, folder: Path) -> None:
        """If one of two can't be written, there is none, an older one is untouched, and no draft is left."""
        if older is not None:
            (folder / "audit.json").write_text(older)
        before = left_in(folder)
        outputs = ["--format", "json=audit.json", "--format", "csv=/dev/full"]
        run = audit(folder, *BAD_ONE, *(outputs if first == "good" else outputs[2:] + outputs[:2]))
        assert (run.code, run.out) == (3, b"")
        assert run.errors == ["/dev/full: can't be written: No space left on device; no report was written"]
        assert left_in(folder) == before
        if older is not None:
            assert (folder / "audit.json").read_text() == older

    def test_nothing_is_shown_if_a_file_cannot_be_written(self, folder: Path) -> None:
        """Standard output is one of the outputs."""
        run = audit(folder, *BAD_ONE, "--format", "table", "--format", "json=/dev/full")
        assert (run.code, run.out) == (3, b"")

    def test_an_older_file_is_replaced(self, folder: Path) -> None:
        """By the whole new one, however long it was."""
        (folder / "audit.json").write_text("x" * 1_000_000)
        assert audit(folder, *BAD_ONE, "--format", "json=audit.json").code == 1
        assert json.loads((folder / "audit.json").read_text())["verdict"] == "broken"

    def test_a_link_stays_one(self, folder: Path) -> None:
        """What it leads to is written, whether it is there already or not."""
        (folder / "elsewhere").mkdir()
        (folder / "audit.json").symlink_to(Path("elsewhere", "real.json"))
        for _ in range(2):
            assert audit(folder, *BAD_ONE, "--format", "json=audit.json").code == 1
            assert (folder / "audit.json").is_symlink()
            assert json.loads((folder / "elsewhere" / "real.json").read_text())["verdict"] == "broken"
            assert left_in(folder / "elsewhere") == ["real.json"]

    def test_two_links_to_one_file(self, folder: Path) -> None:
        """Two forms must not overwrite each other by different names."""
        (folder / "a").symlink_to("real")
        (folder / "b").symlink_to("real")
        run = audit(folder, *BAD_ONE, "--format", "json=a", "--format", "csv=b")
        assert run.code == 2

    def test_a_file_is_readable_by_whom_the_user_lets_read(self, folder: Path) -> None:
        """The mode is what the user's mask says, as for any file that a command makes."""
        audit(folder, *BAD_ONE, "--format", "json=audit.json")
        mask = os.umask(0)
        os.umask(mask)
        assert stat.S_IMODE((folder / "audit.json").stat().st_mode) == 0o666 & ~mask

    def test_standard_output_by_its_path(self, folder: Path) -> None:
        """/dev/stdout is no file to be replaced."""
        plain = audit(folder, *BAD_ONE, "--format", "json")
        assert audit(folder, *BAD_ONE, "--format", "json=/dev/stdout").out == plain.out

    def test_a_named_pipe(self, folder: Path) -> None:
        """It is written as it comes, and stays a pipe."""
        os.mkfifo(folder / "pipe")
        read: list[bytes] = []
        reader = threading.Thread(target=lambda: read.append((folder / "pipe").read_bytes()), daemon=True)
        reader.start()
        run = audit(folder, *BAD_ONE, "--format", "json=pipe")
        reader.join(SECONDS)
        assert (run.code, read) == (1, [audit(folder, *BAD_ONE, "--format", "json").out])
        assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)

    def test_a_named_pipe_as_input(self, folder: Path) -> None:
        """As shells make them for what another program answers."""
        os.mkfifo(folder / "pipe")
        content = (folder / "bad.json").read_bytes()
        writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(content,), daemon=True)
        writer.start()
        run = audit(folder, "--input", "pipe", "--as-of", AS_OF, "--format", "json")
        writer.join(SECONDS)
        assert run.findings == [("no-bad-credentials", "conn_bad")]

    def test_what_is_kept_is_whole(self, folder: Path) -> None:
        """So is what ``--save`` keeps, in a folder that is made, without credentials, and which can be judged again."""
        run = audit(folder, *EVERYTHING, "--save", "kept/today", "--format", "json")
        assert left_in(folder / "kept" / "today") == ["proj_1.json"]
        assert b"CANARY" not in (folder / "kept" / "today" / "proj_1.json").read_bytes()
        again = audit(folder, "--input", "kept/today/proj_1.json", *EVERYTHING[2:], "--format", "json")
        assert again.report["findings"] == run.report["findings"]
        assert again.report["notEvaluated"] == run.report["notEvaluated"]


def started(
    folder: Path,
    *arguments: str | Path,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    **variables: str,
) -> subprocess.Popen[bytes]:
    """Start a run that will be ended from outside."""
    return subprocess.Popen(
        [SCRIPT, "audit", *arguments],
        cwd=folder,
        env=environment(**variables),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )


def ended(run: subprocess.Popen[bytes], number: int) -> Run:
    """End it by a signal; what it left."""
    run.send_signal(number)
    out, err = run.communicate(timeout=SECONDS)
    return checked(Run(run.returncode, out or b"", err.decode()))


SIGNALS: Mapping[str, tuple[int, int]] = {"ctrl-c": (signal.SIGINT, 130), "terminated": (signal.SIGTERM, 143)}


@pytest.mark.parametrize(("number", "code"), SIGNALS.values(), ids=SIGNALS)
class TestSignals:
    """Whoever ends a run finds no half-written file, and no traceback."""

    def test_while_a_file_is_read(self, number: int, code: int, folder: Path) -> None:
        """An input that doesn't come: the code is the shell's, and no output is there."""
        os.mkfifo(folder / "pipe")
        before = left_in(folder)
        run = started(folder, "--input", "pipe", "--format", "json=audit.json")
        with (folder / "pipe").open("wb"):
            ended_run = ended(run, number)
        assert (ended_run.code, ended_run.out) == (code, b"")
        assert left_in(folder) == before
        assert len(ended_run.err.splitlines()) <= 1

    def test_while_standard_input_is_read(self, number: int, code: int, folder: Path) -> None:
        """Likewise; somebody forgot what to pipe in."""
        run = started(folder, "--input", "-", "--input", "pipe", "--format", "json=audit.json", stdin=subprocess.PIPE)
        # It has to have come so far.
        time.sleep(1)
        assert ended(run, number).code == code
        assert left_in(folder) == ["answer.json", "bad.json", "policy.json"]

    @pytest.mark.parametrize("fault", ["slow:30", "drip:1"])
    def test_while_a_project_is_read(self, fault: str, number: int, code: int, api: Sandbox, folder: Path) -> None:
        """An API that takes its time isn't waited for, although several threads ask it."""
        api.faults = [f"{fault}@list"]
        before = left_in(folder)
        run = started(
            folder,
            *("--project", "crm", "--project", "proj_1", "--format", "json=audit.json", "--save", "kept"),
            AMP_API_URL=api.url,
        )
        wait_for(lambda: len(api.requests) == 2)
        assert ended(run, number).code == code
        assert left_in(folder) == before

    def test_whichever_thread_is_told(self, number: int, code: int, api: Sandbox, folder: Path) -> None:
        """The system may tell any thread of a signal: the one that waits for the others has to learn of it."""
        api.faults = ["slow:30@list"]
        run = started(folder, "--project", "crm", "--format", "json=audit.json", AMP_API_URL=api.url)
        wait_for(lambda: len(api.requests) == 1)
        (reader,) = {int(path.name) for path in Path(f"/proc/{run.pid}/task").iterdir()} - {run.pid}
        assert ctypes.CDLL(None).tgkill(run.pid, reader, number) == 0
        try:
            out, err = run.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            run.kill()
            out, err = run.communicate()
        assert checked(Run(run.returncode, out, err.decode())).code == code
        assert left_in(folder) == ["answer.json", "bad.json", "policy.json"]

    def test_while_details_are_read(self, number: int, code: int, api: Sandbox, folder: Path) -> None:
        """The same of connections' own calls."""
        api.faults = ["slow:30@one"]
        run = started(
            folder,
            *("--project", "crm", "--details", "always", "--format", "json=audit.json"),
            AMP_API_URL=api.url,
        )
        wait_for(lambda: api.counts["one"] == 1)
        assert ended(run, number).code == code
        assert left_in(folder) == ["answer.json", "bad.json", "policy.json"]

    @pytest.mark.parametrize("format_", FORMATS)
    def test_at_many_moments(self, format_: str, number: int, code: int, large: Path) -> None:
        """Whenever it comes, the file is there whole or not at all, and never a draft."""
        folder = large.parent
        before = left_in(folder)
        os.mkfifo(folder / "pipe")
        content = large.read_bytes()
        codes = set()
        for moment in range(6):
            run = started(folder, "--input", "pipe", "--as-of", AS_OF, "--format", f"{format_}=report")
            # From here on it decodes, judges, renders and writes.
            (folder / "pipe").write_bytes(content)
            time.sleep(0.25 * moment)
            codes.add(ended(run, number).code)
            left = left_in(folder)
            if "report" in left:
                assert (folder / "report").read_bytes().endswith(b"\n")
                (folder / "report").unlink()
                left.remove("report")
            assert left == sorted([*before, "pipe"])
        # Once all is done the signal ends the process as it ends any other, which shells can't tell apart.
        assert codes <= {code, 1, -number}
        assert codes & {code, -number}

    def test_while_a_pipe_is_written(self, number: int, code: int, large: Path) -> None:
        """A reader that doesn't read holds the report up, not its end; without all of it there is no file beside it."""
        folder = large.parent
        before = left_in(folder)
        run = started(folder, "--input", large, "--as-of", AS_OF, "--format", "json", "--format", "csv=report.csv")
        assert run.stdout is not None
        assert run.stdout.read(1) == b"{"
        assert ended(run, number).code == code
        assert left_in(folder) == before


def wait_for(condition: Any) -> None:
    """Wait until something is so."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_reader_that_goes_away(format_: str, large: Path) -> None:
    """``| head -1`` is no failure: no traceback, and the verdict's code all the same."""
    run = started(large.parent, "--input", large, "--as-of", AS_OF, "--format", format_)
    assert run.stdout is not None
    assert run.stdout.readline() != b""
    run.stdout.close()
    assert run.stderr is not None
    err = run.stderr.read().decode()
    run.stderr.close()
    assert (run.wait(SECONDS), err) == (1, "Broken: 20,000 findings of 20,000 connections break.\n")


def test_readers_that_are_not_there_at_all(folder: Path) -> None:
    """Standard output and standard error that are closed: the file is written, and the code is the verdict's."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" audit {" ".join(BAD_ONE)} --format json=audit.json >&- 2>&-', SCRIPT],
        cwd=folder,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert json.loads((folder / "audit.json").read_text())["verdict"] == "broken"


_STEP = re.compile(r"\x1b\[(?P<number>[\d;?]*)(?P<what>[A-Za-z])|(?P<text>[^\x1b])", re.DOTALL)


def screen(sent: str) -> str:
    """What a terminal shows in the end: text, line ends, the cursor's steps up and to the left, and erased lines."""
    lines = [""]
    row = column = 0
    for step in _STEP.finditer(sent):
        number, what, text = step["number"], step["what"], step["text"]
        if what == "A":
            row = max(0, row - int(number or 1))
        elif what == "K":
            assert number == "2", "only whole lines are erased"
            lines[row] = ""
        elif what == "G":
            column = int(number or 1) - 1
        elif what is not None:
            assert (what, number) in {("h", "?25"), ("l", "?25")} or what == "m", step[0]
        elif text == "\r":
            column = 0
        elif text == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + 1 :]
            column += 1
    return "\n".join(lines)


class TestTerminal:
    """What people see who look at a terminal."""

    def test_progress_is_shown_and_leaves_nothing(self, api: Sandbox, folder: Path) -> None:
        """What takes longer than a second shows how far it is; in the end only errors and verdict are left."""
        api.faults = ["slow:2.5@list"]
        code, sent = on_terminal(
            folder, "audit", "--project", "crm", "--as-of", AS_OF, "--format", "json=audit.json", AMP_API_URL=api.url
        )
        assert code == 1
        assert "Reading connections" in sent
        assert "0/1" in sent
        assert screen(sent) == HEADLINE
        # The cursor is there again.
        assert sent.count("\x1b[?25l") == sent.count("\x1b[?25h")

    def test_the_report_stands_where_progress_was(self, api: Sandbox, folder: Path) -> None:
        """A report on the same terminal isn't mixed with it."""
        api.faults = ["slow:1.5@list"]
        arguments = ("--project", "crm", "--as-of", AS_OF, "--format", "json")
        _, sent = on_terminal(folder, "audit", *arguments, AMP_API_URL=api.url)
        api.faults = []
        plain = audit(folder, *arguments, AMP_API_URL=api.url)
        assert "Reading connections" in sent
        assert screen(sent) == plain.out.decode() + HEADLINE

    def test_verbose_and_progress(self, api: Sandbox, folder: Path) -> None:
        """Lines about what was read stay whole while progress is shown."""
        api.faults = ["slow:1.5@list"]
        _, sent = on_terminal(
            folder,
            "audit",
            *("--project", "crm", "--as-of", AS_OF, "--format", "json=audit.json", "--verbose"),
            AMP_API_URL=api.url,
        )
        assert screen(sent) == f"project crm: 1 connection, complete\n{HEADLINE}"

    @pytest.mark.parametrize("options", [(), ("--quiet",)], ids=["short", "quiet"])
    def test_no_progress(self, options: tuple[str, ...], api: Sandbox, folder: Path) -> None:
        """None for what is done within a second, and none for those who want it quiet."""
        api.faults = ["slow:1.5@list"] if options else []
        arguments = ("--project", "crm", "--as-of", AS_OF, "--format", "json=audit.json")
        _, sent = on_terminal(folder, "audit", *arguments, *options, AMP_API_URL=api.url)
        assert sent == ("" if options else HEADLINE)

    def test_no_progress_without_a_terminal(self, api: Sandbox, folder: Path) -> None:
        """A log gets lines, however long it takes."""
        api.faults = ["slow:1.5@list"]
        run = audit(folder, "--project", "crm", "--as-of", AS_OF, "--format", "json", AMP_API_URL=api.url)
        assert run.err == HEADLINE

    def test_interrupted_while_progress_is_shown(self, api: Sandbox, folder: Path) -> None:
        """Ctrl-C takes it away, and gives the cursor back."""
        api.faults = ["slow:30@list"]
        arguments = ("--project", "crm", "--format", "json=audit.json")
        master, slave = pty.openpty()
        run = started(
            folder,
            *arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            AMP_API_URL=api.url,
            TERM="xterm-256color",
        )
        os.close(slave)
        sent = b""
        while b"Reading connections" not in sent:
            sent += os.read(master, 65536)
        run.send_signal(signal.SIGINT)
        sent += rest_of(master)
        assert run.wait(SECONDS) == 130
        text = sent.decode().replace("\r\n", "\n")
        assert screen(text) == "Interrupted.\n"
        assert text.count("\x1b[?25l") == text.count("\x1b[?25h")

    def test_colours(self, folder: Path) -> None:
        """A table on a terminal has colours; without, it says the same."""
        _, coloured = on_terminal(folder, "audit", *EVERYTHING)
        assert "\x1b[" in coloured
        _, plain = on_terminal(folder, "audit", *EVERYTHING, NO_COLOR="1")
        assert "\x1b" not in plain
        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain

    @pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["no-color", "dumb"])
    def test_no_colours_for_whom_wants_none(self, variables: dict[str, str], folder: Path) -> None:
        """As the environment says."""
        assert "\x1b" not in on_terminal(folder, "audit", *EVERYTHING, **variables)[1]

    @pytest.mark.parametrize("format_", FORMATS)
    def test_no_colours_elsewhere(self, format_: str, folder: Path) -> None:
        """Neither in a pipe, even if standard error is a terminal, nor in a file, even of a run on a terminal."""
        with (folder / "out").open("wb") as file:
            on_terminal(folder, "audit", *EVERYTHING, "--format", format_, stdout=file)
        assert b"\x1b" not in (folder / "out").read_bytes()
        on_terminal(folder, "audit", *EVERYTHING, "--format", f"{format_}=report")
        assert b"\x1b" not in (folder / "report").read_bytes()

    @pytest.mark.parametrize("format_", FORMATS[1:])
    def test_other_forms_are_the_same_on_a_terminal(self, format_: str, folder: Path) -> None:
        """Only tables know of terminals."""
        _, sent = on_terminal(folder, "audit", *EVERYTHING, "--format", format_, "--quiet")
        plain = audit(folder, *EVERYTHING, "--format", format_)
        # A terminal gets a carriage return before each line's end.
        assert sent.replace("\r", "") == plain.out.decode().replace("\r", "")
