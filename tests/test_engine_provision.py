"""Getting a Pulumi engine for the tests, and the stand-in for its Python language host."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, language_pb2, language_pb2_grpc

from engine import provision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MINIMUM = ".".join(map(str, provision.MINIMUM_VERSION))
PATIENCE_SECONDS = 30


def write_program(path: Path, text: str) -> Path:
    """Writes an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def write_shell(path: Path, *lines: str) -> Path:
    """Writes an executable shell script."""
    return write_program(path, "\n".join(["#!/bin/sh", *lines, ""]))


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Waits until a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} seconds for {what}"
        time.sleep(0.05)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, on a machine with an empty cache, where no web site can be reached."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return folder


def start_provision(*arguments: str) -> subprocess.Popen[str]:
    """Starts the program in the environment as the fixture has left it."""
    command = [sys.executable, provision.__file__, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_provision(*arguments: str) -> tuple[int, list[str], list[str]]:
    """Runs the program to its end; gives exit code, and the lines of standard output and error."""
    with start_provision(*arguments) as process:
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, output.splitlines(), errors.splitlines()


def fake_build() -> Path:
    """Puts the result of a build into the cache."""
    folder = provision.build_folder()
    write_shell(folder / "pulumi")
    return folder


def fake_go(programs: Path, *when_building: str) -> Path:
    """Puts a `go` on PATH that writes what it is told to do to the file that is returned."""
    sdk, log = programs.parent / "sdk", programs.parent / "go.log"
    for script in provision.SDK_SCRIPTS:
        write_shell(sdk / script).chmod(0o444)
    write_shell(
        programs / "go",
        f'echo "$1" >> {log}',
        'case "$1" in',
        f"list) echo {sdk} ;;",
        'build) for argument in "$@"; do case "$argument" in -o=*) echo built > "${argument#-o=}" ;; esac; done',
        *when_building,
        "esac",
    )
    return log


@pytest.mark.parametrize("version", [f"v{MINIMUM}", "v3.1000.0", "v4.0.0", f"v{provision.VERSION}-alpha.1"])
def test_a_new_enough_engine_on_path_comes_first(programs: Path, version: str) -> None:
    """The `pulumi` on PATH is taken, before anything in the cache."""
    fake_build()
    write_shell(programs / "pulumi", f"echo {version}")
    write_shell(programs / "pulumi-language-python")
    assert provision.provide() == programs


@pytest.mark.parametrize(
    ("pulumi", "host"),
    [
        pytest.param("echo v3.215.0", True, id="too old"),
        pytest.param("echo v3.1000.0", False, id="no language host"),
        pytest.param("exit 1", True, id="fails"),
        pytest.param("echo unknown", True, id="no version"),
    ],
)
def test_an_unfit_engine_on_path_is_passed_over(programs: Path, pulumi: str, host: bool) -> None:  # noqa: FBT001
    """An engine that is too old, incomplete or broken gives way to the one in the cache."""
    write_shell(programs / "pulumi", pulumi)
    if host:
        write_shell(programs / "pulumi-language-python")
    assert provision.provide() == fake_build()


def test_what_the_installer_has_brought_comes_before_a_build(programs: Path) -> None:
    """An official engine in the cache is preferred to one with the stand-in."""
    assert programs.exists()
    fake_build()
    official = provision.install_folder() / "bin"
    write_shell(official / "pulumi")
    write_shell(official / "pulumi-language-python")
    assert provision.provide() == official


def test_an_engine_in_the_cache_is_found_at_once(programs: Path) -> None:
    """A second run prints the folder and nothing else, and starts no program."""
    log, folder = fake_go(programs), fake_build()
    assert run_provision() == (0, [str(folder)], [])
    assert not log.exists()


def test_the_cached_engine_on_path_is_still_kept_up_to_date(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PATH starts with the engine of the cache, a changed stand-in reaches it all the same."""
    folder = fake_build()
    stale = write_shell(folder / "pulumi-language-python", "echo stale")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{programs}")
    assert provision.provide() == folder
    assert stale.read_bytes() == provision.STAND_IN.read_bytes()
    assert stat.S_IMODE(stale.stat().st_mode) == 0o755
    assert {file.name for file in provision.cache().iterdir()} == {folder.name}


def test_nothing_at_hand_is_one_sentence_with_three_remedies(programs: Path) -> None:
    """Without an engine, a network and Go the program ends with exit code 1 and says what would help."""
    code, output, errors = run_provision()
    assert (code, output) == (1, [])
    assert errors[0].startswith("Pulumi's installer can't be reached: ")
    assert errors[1] == "Pulumi can't be built: there is no go on PATH"
    assert errors[2:] == [
        f"No Pulumi engine: put pulumi {MINIMUM} or newer with its pulumi-language-python on PATH, or give access to "
        f"https://get.pulumi.com/install.sh for the official installer, or put Go {provision.pinned_go_version()} or "
        "newer on PATH with access to a Go module proxy."
    ]
    assert not any(programs.iterdir())


def test_print_only_looks(programs: Path) -> None:
    """With `--print` nothing is downloaded or built."""
    log = fake_go(programs)
    code, output, errors = run_provision("--print")
    assert (code, output, errors) == (1, [], ["There is no Pulumi engine yet: make one with make engine"])
    assert not log.exists()
    folder = fake_build()
    assert run_provision("--print") == (0, [str(folder)], [])


def test_a_build_puts_all_parts_into_one_folder(programs: Path) -> None:
    """What Go builds, the SDK's scripts and the stand-in become programs in the folder that is printed."""
    fake_go(programs, ";;")
    code, output, errors = run_provision()
    assert code == 0, errors
    folder = provision.build_folder()
    assert output == [str(folder)]
    assert "Building Pulumi" in errors[-1]
    parts = {"pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python"}
    assert {file.name for file in folder.iterdir()} == {"pulumi", *parts}
    assert all(stat.S_IMODE((folder / part).stat().st_mode) == 0o755 for part in parts)
    assert {file.name for file in provision.cache().iterdir()} == {folder.name, "lock"}


def test_a_failed_build_leaves_nothing(programs: Path) -> None:
    """A build that breaks off half-way is reported with its last line, and leaves no folder behind."""
    fake_go(programs, "echo compiling >&2; echo no space left >&2; exit 1 ;;")
    code, output, errors = run_provision()
    assert (code, output) == (1, [])
    assert errors[-2] == "Pulumi can't be built: no space left"
    assert [file.name for file in provision.cache().iterdir()] == ["lock"]


def test_two_runs_at_once_build_once(programs: Path) -> None:
    """The second run waits for the first, and finds its work done."""
    log = fake_go(programs, "/bin/sleep 0.5 ;;")
    with start_provision() as first, start_provision() as second:
        answers = [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in (first, second)]
    assert answers == [f"{provision.build_folder()}\n"] * 2
    assert log.read_text().split().count("build") == 1


def test_an_unwritable_cache_is_named(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder that can't be made is an error that says which, and how to take another."""
    fake_go(programs)
    occupied = programs.parent / "file"
    occupied.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    _, _, errors = run_provision()
    assert errors[0] == (
        f"can't write to {occupied}/pulumi-ampersand/engine (Not a directory): set XDG_CACHE_HOME to another folder"
    )


def test_the_pinned_modules_are_the_pinned_version() -> None:
    """The module file builds the version that is announced, by a tool line."""
    lines = (provision.HERE / "go.mod").read_text().splitlines()
    assert f"tool {provision.ENGINE_PACKAGE}" in lines
    for module in ("pkg", "sdk"):
        assert f"\tgithub.com/pulumi/pulumi/{module}/v3 v{provision.VERSION} // indirect" in lines


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
    program = write_program(tmp_path / "engine" / "pulumi-language-python", provision.STAND_IN.read_text())
    program.with_name("pulumi-language-python-exec").write_text("import sys\nexec(sys.argv[-1])\n")
    host = Host(program)
    yield host
    host.close()


def virtualenv(folder: Path, option: object) -> language_pb2.ProgramInfo:
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
    write_shell(python, f'exec {sys.executable} "$@"')
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
def test_exit_codes_reach_the_engine(
    host: Host, tmp_path: Path, code: int, answer: language_pb2.RunResponse
) -> None:
    """The engine hears whether the program failed, and whether it has shown why."""
    assert host.calls.Run(language_pb2.RunRequest(pwd=str(tmp_path), args=[f"sys.exit({code})"])) == answer


def test_cancel_interrupts_a_program_once_and_then_kills_it(host: Host, tmp_path: Path) -> None:
    """A program that doesn't end by itself is gone when `Cancel` returns, however often that is called."""
    log = tmp_path / "log"
    code = (
        f"import signal, time; log = open({str(log)!r}, 'w', buffering=1); "
        "signal.signal(signal.SIGINT, lambda *_: log.write('interrupted ')); log.write('ready '); "
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
    assert log.read_text() == "ready interrupted "


def test_a_python_without_pulumi_is_told_so_in_one_line() -> None:
    """Where PATH leads to a Python without the SDK, the host says how to mend that."""
    command = [sys.executable, "-S", provision.STAND_IN, "127.0.0.1:1"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"pulumi-language-python: {sys.executable} can't import the pulumi package (No module")
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


@pytest.fixture
def start_pack(host: Host, tmp_path: Path) -> Iterator[Callable[[str], analyzer_pb2_grpc.AnalyzerStub]]:
    """Starts a policy pack through the host; gives its analyzer as the engine sees it."""
    with contextlib.ExitStack() as endings:

        def start(code: str) -> analyzer_pb2_grpc.AnalyzerStub:
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
            return analyzer_pb2_grpc.AnalyzerStub(channel)

        yield start


def test_a_pack_finds_its_stack_in_the_environment(
    start_pack: Callable[[str], analyzer_pb2_grpc.AnalyzerStub], tmp_path: Path
) -> None:
    """What the engine tells in a call reaches the pack as variables and as that call; the engine's variables win."""
    pack = start_pack(PACK)
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


def test_a_pack_starts_without_a_stack(start_pack: Callable[[str], analyzer_pb2_grpc.AnalyzerStub]) -> None:
    """Where the engine names no stack, as in `pulumi policy analyze`, the first other call starts the pack."""
    seen = json.loads(start_pack(PACK).GetAnalyzerInfo(Empty()).description)
    assert (seen["replayed"], "PULUMI_STACK" in seen, "PULUMI_CONFIG" in seen) == ("", False, False)


def test_an_error_of_a_pack_arrives_unchanged(start_pack: Callable[[str], analyzer_pb2_grpc.AnalyzerStub]) -> None:
    """Code, text and structured details of a pack's error reach the engine."""
    with pytest.raises(grpc.RpcError) as failure:
        start_pack(PACK).Configure(analyzer_pb2.ConfigureAnalyzerRequest())
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.value.details() == "the pack's own words"
    assert ("details-bin", b"\x00\x01") in failure.value.trailing_metadata()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(1)", "the policy pack has ended before it wrote its port"),
        ("print('hello', flush=True); input()", "the policy pack has written 'hello' instead of its port"),
    ],
    ids=["ends", "writes something else"],
)
def test_a_pack_that_does_not_come_up_fails_the_calls(
    start_pack: Callable[[str], analyzer_pb2_grpc.AnalyzerStub], code: str, reason: str
) -> None:
    """A pack that ends or writes no port is an error that says so, not an endless wait."""
    with pytest.raises(grpc.RpcError) as failure:
        start_pack(code).GetPluginInfo(Empty())
    assert failure.value.details() == reason


def runs(process: int) -> bool:
    """Tells whether a process is alive; one that has ended but that nobody has waited for isn't."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc").exists()


@pytest.mark.engine
def test_a_killed_engine_leaves_no_process(tmp_path: Path) -> None:
    """Language host, program and policy pack end by themselves when the engine is killed outright."""
    folder = provision.provide()
    if (folder / "pulumi-language-python").read_bytes() != provision.STAND_IN.read_bytes():
        pytest.skip("the official language host is not ours to test")
    project, pack = tmp_path / "project", tmp_path / "pack"
    report = "import os, pathlib, time\npathlib.Path(FILE).write_text(f'{os.getpid()} {os.getppid()} ')\n"
    for place, definition in [(project / "Pulumi.yaml", "name: p\nruntime: python"), (pack / "PulumiPolicy.yaml", "runtime: python")]:
        place.parent.mkdir()
        place.write_text(definition)
        (place.parent / "__main__.py").write_text(report.replace("FILE", repr(str(place.parent / "processes"))))
    with (project / "__main__.py").open("a") as program:
        program.write("time.sleep(600)\n")
    with (pack / "__main__.py").open("a") as program:
        program.write("from pulumi_policy import PolicyPack\nPolicyPack('p', policies=[])\n")
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.defpath]),
        "PULUMI_BACKEND_URL": tmp_path.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    pulumi = [folder / "pulumi", "--non-interactive"]
    subprocess.run([*pulumi, "stack", "init", "dev"], cwd=project, env=environment, check=True, capture_output=True)
    with subprocess.Popen(
        [*pulumi, "preview", "--stack", "dev", "--policy-pack", pack],
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as engine:
        files = [project / "processes", pack / "processes"]
        try:
            wait_for(lambda: all(file.exists() and file.read_text().endswith(" ") for file in files), "the preview")
        finally:
            engine.kill()
    processes = {int(word) for file in files for word in file.read_text().split()}
    assert len(processes) == 3
    wait_for(lambda: not any(map(runs, processes)), "the end of host, program and pack")
