"""The stand-in for Pulumi's Python language host, driven as the engine drives it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, language_pb2, language_pb2_grpc

from engine import provision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 30


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} seconds for {what}"
        time.sleep(0.05)


class Host:
    """A stand-in language host, started as the engine does it."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen([sys.executable, program, "127.0.0.1:1"], stdout=subprocess.PIPE)
        assert self.process.stdout
        self.channel = grpc.insecure_channel(f"127.0.0.1:{int(self.process.stdout.readline())}")
        self.calls = language_pb2_grpc.LanguageRuntimeStub(self.channel)

    def close(self) -> None:
        """Ends the host as the engine does it."""
        self.channel.close()
        self.process.send_signal(signal.SIGINT)
        with self.process:
            assert self.process.wait(PATIENCE_SECONDS) == 0


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A stand-in beside a launcher that runs code instead of a Pulumi program: its last argument."""
    program = tmp_path / "engine" / "pulumi-language-python"
    program.parent.mkdir()
    program.write_bytes(provision.STAND_IN.read_bytes())
    program.with_name("pulumi-language-python-exec").write_text("import sys\nexec(sys.argv[-1])\n")
    host = Host(program)
    yield host
    host.close()


def virtualenv(folder: Path, option: str) -> language_pb2.ProgramInfo:
    """A program whose runtime has the option `virtualenv`."""
    info = language_pb2.ProgramInfo(root_directory=str(folder), program_directory=str(folder), entry_point=".")
    info.options.update({"virtualenv": option})
    return info


@pytest.mark.parametrize(
    ("option", "what"),
    [("nowhere", "doesn't exist"), ("engine", "is no virtual environment")],
    ids=["missing", "not a virtual environment"],
)
def test_an_unfit_virtual_environment_is_named(host: Host, tmp_path: Path, option: str, what: str) -> None:
    """Programs and packs that name a folder which is no virtual environment get an error that says so."""
    folder = tmp_path / option
    expected = f"option virtualenv: {folder} {what}; make one: python3 -m venv {folder}"
    info = virtualenv(tmp_path, option)
    assert host.calls.Run(language_pb2.RunRequest(info=info, pwd=str(tmp_path))).error == expected
    with pytest.raises(grpc.RpcError) as failure:
        list(host.calls.RunPlugin(language_pb2.RunPluginRequest(info=info, kind="analyzer")))
    assert failure.value.details() == expected


def test_a_program_runs_in_its_virtual_environment(host: Host, tmp_path: Path) -> None:
    """The environment's own Python runs the program, and programs that this starts find it, too."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    code = f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(os.environ['VIRTUAL_ENV'] + os.environ['PATH'])"
    request = language_pb2.RunRequest(info=virtualenv(tmp_path, "venv"), pwd=str(tmp_path), args=[code])
    assert host.calls.Run(request) == language_pb2.RunResponse()
    assert (tmp_path / "seen").read_text().startswith(f"{tmp_path / 'venv'}{python.parent}{os.pathsep}")


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (0, language_pb2.RunResponse()),
        (32, language_pb2.RunResponse(bail=True)),
        (3, language_pb2.RunResponse(error="program exited with non-zero exit code: 3")),
    ],
    ids=["success", "the user has been told", "failure"],
)
def test_exit_codes_reach_the_engine(host: Host, tmp_path: Path, code: int, answer: language_pb2.RunResponse) -> None:
    """The engine hears whether the program failed, and whether it has shown why."""
    assert host.calls.Run(language_pb2.RunRequest(pwd=str(tmp_path), args=[f"sys.exit({code})"])) == answer


def test_cancel_interrupts_a_program_once_and_then_kills_it(host: Host, tmp_path: Path) -> None:
    """A program that doesn't end by itself is gone when `Cancel` returns, however often that is called."""
    log = tmp_path / "log"
    code = (
        f"import signal, time; log = open({str(log)!r}, 'w', buffering=1); "
        "signal.signal(signal.SIGINT, lambda *_: print('interrupted', file=log)); print('ready', file=log); "
        "[time.sleep(0.1) for _ in range(600)]"
    )
    run = host.calls.Run.future(language_pb2.RunRequest(pwd=str(tmp_path), args=[code]))
    wait_for(lambda: log.exists() and log.read_text(), "the program")
    cancels = [threading.Thread(target=host.calls.Cancel, args=[Empty()]) for _ in range(2)]
    for cancel in cancels:
        cancel.start()
    for cancel in cancels:
        cancel.join()
    assert run.result(timeout=PATIENCE_SECONDS).error == "program exited with non-zero exit code: -9"
    assert log.read_text().split() == ["ready", "interrupted"]


def test_a_python_without_pulumi_is_told_so_in_one_line() -> None:
    """Where PATH leads to a Python without the SDK, the host says how to mend that."""
    command = [sys.executable, "-S", str(provision.STAND_IN), "127.0.0.1:1"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr.startswith(
        f"pulumi-language-python: {sys.executable} can't import the pulumi package (No module"
    )
    assert answer.stderr.endswith("put the folder of a Python that has it first on PATH\n")
    assert answer.stderr.count("\n") == 1


PACK = """
import json, os, time
from concurrent.futures import ThreadPoolExecutor
import grpc
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    replayed = ""
    def ConfigureStack(self, request, context):
        self.replayed = request.stack
        return analyzer_pb2.AnalyzerStackConfigureResponse()
    def GetAnalyzerInfo(self, request, context):
        names = [name for name in os.environ if name.startswith("PULUMI_")]
        seen = {name: os.environ[name] for name in names} | {"replayed": self.replayed, "folder": os.getcwd()}
        return analyzer_pb2.AnalyzerInfo(description=json.dumps(seen))
    def Configure(self, request, context):
        context.set_trailing_metadata([("details-bin", b"\\x00\\x01")])
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the pack's own words")

server = grpc.server(ThreadPoolExecutor(2))
analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Pack(), server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
print("serving", flush=True)
server.wait_for_termination()
"""


class StartedPack(NamedTuple):
    """A policy pack as the engine sees it: the calls it answers, and what it writes."""

    calls: analyzer_pb2_grpc.AnalyzerStub
    output: Iterator[language_pb2.RunPluginResponse]


@pytest.fixture
def start_pack(host: Host, tmp_path: Path) -> Iterator[Callable[[str], StartedPack]]:
    """Starts a policy pack with the given code through the host."""
    with contextlib.ExitStack() as endings:

        def start(code: str) -> StartedPack:
            (tmp_path / "__main__.py").write_text(code)
            info = language_pb2.ProgramInfo(root_directory=str(tmp_path), program_directory=str(tmp_path))
            environment = [f"{name}={value}" for name, value in os.environ.items() if not name.startswith("PULUMI_")]
            request = language_pb2.RunPluginRequest(
                info=info, kind="analyzer", args=["127.0.0.1:1"], env=[*environment, "PULUMI_DRY_RUN=from the engine"]
            )
            output = host.calls.RunPlugin(request)
            endings.callback(output.cancel)
            channel = grpc.insecure_channel(f"127.0.0.1:{int(next(output).stdout)}")
            endings.callback(channel.close)
            return StartedPack(analyzer_pb2_grpc.AnalyzerStub(channel), output)

        yield start


def test_a_pack_finds_its_stack_in_the_environment(start_pack: Callable[[str], StartedPack], tmp_path: Path) -> None:
    """What the engine tells in a call reaches the pack as variables and as that call; the engine's variables win."""
    pack = start_pack(PACK).calls
    pack.Handshake(analyzer_pb2.AnalyzerHandshakeRequest())
    pack.ConfigureStack(
        analyzer_pb2.AnalyzerStackConfigureRequest(
            organization="o", project="p", stack="s", dry_run=True, config={"p:key": "value"}
        )
    )
    assert json.loads(pack.GetAnalyzerInfo(Empty()).description) == {
        "PULUMI_ORGANIZATION": "o",
        "PULUMI_PROJECT": "p",
        "PULUMI_STACK": "s",
        "PULUMI_DRY_RUN": "from the engine",
        "PULUMI_CONFIG": '{"p:key": "value"}',
        "replayed": "s",
        "folder": str(tmp_path),
    }


def test_a_pack_starts_without_a_stack(start_pack: Callable[[str], StartedPack]) -> None:
    """Where the engine names no stack, as in `pulumi policy analyze`, the first other call starts the pack."""
    seen = json.loads(start_pack(PACK).calls.GetAnalyzerInfo(Empty()).description)
    assert (seen["replayed"], "PULUMI_STACK" in seen, "PULUMI_CONFIG" in seen) == ("", False, False)


def test_an_error_of_a_pack_arrives_unchanged(start_pack: Callable[[str], StartedPack]) -> None:
    """Code, text and structured details of a pack's error reach the engine."""
    with pytest.raises(grpc.RpcError) as failure:
        start_pack(PACK).calls.Configure(analyzer_pb2.ConfigureAnalyzerRequest())
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.value.details() == "the pack's own words"
    assert ("details-bin", b"\x00\x01") in failure.value.trailing_metadata()


def test_what_a_pack_writes_reaches_the_engine(start_pack: Callable[[str], StartedPack]) -> None:
    """All but the first line of standard output, and standard error, are passed on, and the exit code at the end."""
    pack = start_pack("import sys; print(1); print('out', flush=True); sys.exit('err')")
    pack.calls.ConfigureStack(analyzer_pb2.AnalyzerStackConfigureRequest())
    *written, ended = pack.output
    assert b"".join(message.stdout for message in written) == b"out\n"
    assert b"".join(message.stderr for message in written) == b"err\n"
    assert (ended.WhichOneof("output"), ended.exitcode) == ("exitcode", 1)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(1)", "the policy pack has ended before it wrote its port"),
        ("print('hello', flush=True); input()", "the policy pack has written 'hello' instead of its port"),
    ],
    ids=["ends", "writes something else"],
)
def test_a_pack_that_does_not_come_up_fails_the_calls(
    start_pack: Callable[[str], StartedPack], code: str, reason: str
) -> None:
    """A pack that ends or writes no port is an error that says so, not an endless wait."""
    with pytest.raises(grpc.RpcError) as failure:
        start_pack(code).calls.GetPluginInfo(Empty())
    assert failure.value.details() == reason


def runs(process: int) -> bool:
    """Tells whether a process is alive. One that has ended, but that nobody has waited for, isn't."""
    status = Path(f"/proc/{process}/stat")
    try:
        os.kill(process, 0)
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_killed_engine_leaves_no_process(tmp_path: Path, engine: Path) -> None:
    """Language host, program and policy pack end by themselves when the engine is killed outright."""
    if (engine / "pulumi-language-python").read_bytes() != provision.STAND_IN.read_bytes():
        pytest.skip("the official language host is not ours to test")
    project, pack = tmp_path / "project", tmp_path / "pack"
    report = "import os, pathlib, time\npathlib.Path(FILE).write_text(f'{os.getpid()} {os.getppid()} ')\n"
    files = [project / "processes", pack / "processes"]
    policy = "pulumi_policy.StackValidationPolicy('name', 'description', lambda *_: None)"
    programs = ["time.sleep(600)", f"import pulumi_policy\npulumi_policy.PolicyPack('name', policies=[{policy}])"]
    for file, program in zip(files, programs, strict=True):
        file.parent.mkdir()
        (file.parent / "__main__.py").write_text(report.replace("FILE", repr(str(file))) + program)
    (project / "Pulumi.yaml").write_text("name: p\nruntime: python")
    (pack / "PulumiPolicy.yaml").write_text("runtime: python")
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(engine), str(Path(sys.executable).parent), os.defpath]),
        "PULUMI_BACKEND_URL": tmp_path.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    pulumi = [str(engine / "pulumi"), "--non-interactive"]
    subprocess.run([*pulumi, "stack", "init", "dev"], cwd=project, env=environment, check=True, capture_output=True)
    with subprocess.Popen(
        [*pulumi, "preview", "--stack", "dev", "--policy-pack", str(pack)],
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as preview:
        try:
            wait_for(lambda: all(file.exists() and file.read_text().endswith(" ") for file in files), "the preview")
        finally:
            preview.kill()
    processes = {int(word) for file in files for word in file.read_text().split()}
    assert len(processes) == 3
    wait_for(lambda: not any(map(runs, processes)), "the end of host, program and pack")
