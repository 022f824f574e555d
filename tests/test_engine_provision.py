"""Getting a Pulumi engine: what is taken, in which order, and what is said where none can be had."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from engine import provision

if TYPE_CHECKING:
    from pathlib import Path

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
def test_an_unfit_engine_on_path_is_passed_over(programs: Path, pulumi: str, host: bool) -> None:
    """An engine that is too old, incomplete or broken gives way to the one in the cache."""
    write_shell(programs / "pulumi", pulumi)
    if host:
        write_shell(programs / "pulumi-language-python")
    folder = fake_build()
    assert provision.provide() == folder


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


def test_nothing_at_hand_names_three_remedies(programs: Path) -> None:
    """Without an engine, a network and Go the program ends with exit code 1 and says what would help."""
    code, output, errors = run_provision()
    assert (code, output) == (1, [])
    assert errors[0].startswith("Pulumi's installer can't be reached: ")
    assert errors[1:] == [
        "Pulumi can't be built: there is no go on PATH",
        "No Pulumi engine. Each of these brings one; then run the same again:",
        f"  - install the Pulumi CLI, {MINIMUM} or newer: https://www.pulumi.com/docs/install/",
        "  - have this computer reach https://get.pulumi.com/install.sh, if need be by HTTPS_PROXY",
        (
            f"  - install Go {provision.pinned_go_version()} or newer, https://go.dev/doc/install, "
            "and have it reach a module proxy"
        ),
    ]
    assert not any(programs.iterdir())


@pytest.mark.parametrize(
    ("pulumi", "host", "reason"),
    [
        pytest.param("echo v3.215.0", True, f"it is 3.215.0, and {MINIMUM} is needed", id="too old"),
        pytest.param("echo v3.1000.0", False, "there is no pulumi-language-python on PATH", id="no language host"),
        pytest.param("echo broken >&2; exit 1", True, "it fails: broken", id="fails"),
        pytest.param("echo unknown", True, "it doesn't say its version", id="no version"),
    ],
)
def test_why_an_engine_on_path_is_not_used(programs: Path, pulumi: str, host: bool, reason: str) -> None:
    """Where there is no other engine, what is wrong with the one on PATH is said first."""
    command = write_shell(programs / "pulumi", pulumi)
    if host:
        write_shell(programs / "pulumi-language-python")
    code, _, errors = run_provision()
    assert code == 1
    assert errors[0] == f"{command} isn't used: {reason}"


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
    assert "Pulumi can't be built: no space left" in errors
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
