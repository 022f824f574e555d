"""Finds or makes a Pulumi engine for the tests and the demonstration.

Run as a program it prints the folder that has to come first on PATH, as the last line of standard output. With
`--print` it does so for an engine that is already there, and neither downloads nor builds one.

Three ways, in this order: the `pulumi` on PATH, if it is new enough and has its Python language host; the official
installer, through Pulumi's Automation API; a build of the engine's Go module, with the stand-in for the language host
that lies beside this file. What is downloaded or built is kept in the user's cache folder.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERSION = "3.259.0"
# `pulumi policy analyze`, which the tests run, takes a state file since this version.
MINIMUM_VERSION = (3, 249, 0)

HERE = Path(__file__).resolve().parent
STAND_IN = HERE / "pulumi-language-python"
# Where the SDK downloads it from, too. Asked first, because the SDK would wait for it without a limit.
INSTALLER = "https://get.pulumi.com/install.sh"
ENGINE_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
SDK_SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
UNFINISHED = "unfinished-"
LINKER_FLAGS = f"-s -w -X {SDK_MODULE}/go/common/version.Version=v{VERSION}"

REACH = """
import sys, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=5).read(1)
except OSError as error:
    reason = getattr(error, "reason", error)
    sys.exit(f"{sys.argv[1]}: {getattr(reason, 'strerror', None) or reason}")
"""
INSTALL = """
import subprocess, sys
from pulumi.automation import PulumiCommand
from semver import VersionInfo
try:
    PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))
except subprocess.CalledProcessError as error:
    sys.exit(error.output.decode())
"""

VERSION_SECONDS = 30
REACH_SECONDS = 8
INSTALL_SECONDS = 900
FETCH_SECONDS = 180
BUILD_SECONDS = 3600


class EngineError(Exception):
    """Why an engine can't be had."""


def provide() -> Path:
    """Finds an engine, or else downloads or builds one.

    Returns:
        The folder that has to come first on PATH.

    Raises:
        EngineError: None of the three ways works here; what each lacks is reported on standard error.
    """
    folder = find()
    if folder:
        return folder
    command = command_on_path()
    if command:
        say(f"{command} isn't used: {unfitness(command)}")
    folder = attempt(install) or attempt(build)
    if folder:
        return folder
    raise EngineError(
        "No Pulumi engine. Each of these brings one; then run the same again:\n"
        f"  - install the Pulumi CLI, {dotted(MINIMUM_VERSION)} or newer: https://www.pulumi.com/docs/install/\n"
        f"  - have this computer reach {INSTALLER}, if need be by HTTPS_PROXY\n"
        f"  - install Go {pinned_go_version()} or newer, https://go.dev/doc/install, and have it reach a module proxy"
    )


def find() -> Path | None:
    """Finds an engine that is already there, without downloading or building anything."""
    return on_path() or installed() or built()


def attempt(way: Callable[[], Path]) -> Path | None:
    """Tries a way that takes long; where it fails, says why."""
    try:
        return way()
    except EngineError as error:
        say(str(error))
        return None


def say(line: str) -> None:
    """Reports on standard error: standard output is for the folder."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


# Way 1: the engine on PATH


def on_path() -> Path | None:
    """Finds a `pulumi` on PATH that is new enough and comes with its Python language host."""
    command = command_on_path()
    return command.parent if command and not unfitness(command) else None


def command_on_path() -> Path | None:
    """Finds the `pulumi` on PATH, unless it lies in the cache: the other ways keep what lies there up to date."""
    found = shutil.which("pulumi")
    command = Path(found).absolute() if found else None
    return command if command and not command.is_relative_to(cache()) else None


def unfitness(command: Path) -> str:
    """Says why a `pulumi` can't be used; nothing where it can."""
    if not shutil.which("pulumi-language-python"):
        return "there is no pulumi-language-python on PATH"
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"}
    try:
        answer = run([str(command), "version"], VERSION_SECONDS, environment=environment, what="it fails")
    except EngineError as error:
        return str(error)
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", answer.strip())
    if not numbers:
        return "it doesn't say its version"
    version = tuple(map(int, numbers.groups()))
    return "" if version >= MINIMUM_VERSION else f"it is {dotted(version)}, and {dotted(MINIMUM_VERSION)} is needed"


def dotted(version: tuple[int, ...]) -> str:
    """Writes a version as it is usually written."""
    return ".".join(map(str, version))


# Way 2: the official installer


def install_folder() -> Path:
    """Gives the folder in the cache for what the official installer brings."""
    return cache() / f"v{VERSION}-official"


def installed() -> Path | None:
    """Finds what the official installer has brought earlier."""
    folder = install_folder() / "bin"
    complete = (folder / "pulumi").is_file() and (folder / "pulumi-language-python").is_file()
    return folder if complete else None


def install() -> Path:
    """Runs the official installer.

    Raises:
        EngineError: It can't be reached or fails.
    """
    with locked():
        folder = installed()
        if folder:
            return folder
        # Processes of their own, so that their time is bounded whatever they wait for.
        run([sys.executable, "-c", REACH, INSTALLER], REACH_SECONDS, what="Pulumi's installer can't be reached")
        say(f"Downloading Pulumi {VERSION} with the official installer to {cache()}: about a minute, once ...")
        with unfinished() as fresh:
            command = [sys.executable, "-c", INSTALL, str(fresh), VERSION]
            run(command, INSTALL_SECONDS, what="Pulumi's installer fails")
            finish(fresh, install_folder())
        folder = installed()
    if not folder:
        raise EngineError(f"Pulumi's installer has brought no pulumi-language-python to {install_folder()}")
    return folder


# Way 3: a build of the Go module


def build_folder() -> Path:
    """Gives the folder in the cache that belongs to the pinned modules and this kind of machine."""
    inputs = [platform.system(), platform.machine(), LINKER_FLAGS, *SDK_SCRIPTS]
    inputs += [(HERE / name).read_text() for name in ("go.mod", "go.sum")]
    return cache() / f"v{VERSION}-{hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]}"


def pinned_go_version() -> str:
    """Gives the version of Go that the engine's module asks for."""
    return (HERE / "go.mod").read_text().partition("\ngo ")[2].split()[0]


def built() -> Path | None:
    """Finds an earlier build, and brings its stand-in up to date."""
    folder = build_folder()
    if not (folder / "pulumi").is_file():
        return None
    copy = folder / STAND_IN.name
    if not copy.is_file() or copy.read_bytes() != STAND_IN.read_bytes():
        with unfinished() as fresh:
            place(STAND_IN, fresh)
            (fresh / STAND_IN.name).replace(copy)
    return folder


def build() -> Path:
    """Builds the engine from its Go module, and puts the language host's parts beside it.

    Raises:
        EngineError: There is no Go, or the modules can't be had, or don't compile.
    """
    go = shutil.which("go")
    if not go:
        raise EngineError("Pulumi can't be built: there is no go on PATH")
    with locked():
        folder = built()
        if folder:
            return folder
        say(f"Building Pulumi {VERSION} from its Go module in {cache()}: 3 to 8 minutes on two cores, once ...")
        with unfinished() as fresh, unfinished() as scratch:
            # Without cgo the build needs no C compiler, and runs on any system of this kind.
            environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTMPDIR": str(scratch)}

            def run_go(seconds: int, *arguments: str) -> str:
                return run([go, *arguments], seconds, HERE, environment, "Pulumi can't be built")

            # A machine without a module proxy shows in this small step.
            run_go(FETCH_SECONDS, "mod", "download", SDK_MODULE)
            sdk = run_go(FETCH_SECONDS, "list", "-mod=readonly", "-m", "-f={{.Dir}}", SDK_MODULE).strip()
            flags = ("-mod=readonly", "-buildvcs=false", f"-ldflags={LINKER_FLAGS}")
            run_go(BUILD_SECONDS, "build", *flags, f"-o={fresh / 'pulumi'}", ENGINE_PACKAGE)
            for script in SDK_SCRIPTS:
                place(Path(sdk, script), fresh)
            place(STAND_IN, fresh)
            return finish(fresh, build_folder())


def place(program: Path, folder: Path) -> None:
    """Copies a program into a folder. Those in Go's module cache can neither be written nor run."""
    copy = folder / program.name
    shutil.copyfile(program, copy)
    copy.chmod(0o755)


# What all ways need


def run(
    command: list[str],
    seconds: int,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
    what: str = "",
) -> str:
    """Runs a program, and all that it starts, within a bounded time.

    Returns:
        What it writes to standard output.

    Raises:
        EngineError: It can't be started, fails or takes too long: `what`, and its last line on standard error.
    """
    try:
        with subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=seconds)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
    except OSError as error:
        raise EngineError(f"{what}: {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{what}: no end within {seconds} seconds") from error
    if process.returncode:
        lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
        raise EngineError(f"{what}: {lines[-1]}")
    return output


def cache() -> Path:
    """Gives the folder for what is downloaded and built, whether it exists or not."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return Path(root if Path(root).is_absolute() else Path.home() / ".cache", "pulumi-ampersand", "engine")


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Lets one process at a time download or build; the others then find its work done."""
    import fcntl  # not on Windows, where way 1 works all the same

    try:
        cache().mkdir(parents=True, exist_ok=True)
        file = (cache() / "lock").open("w")
    except OSError as error:
        raise unwritable(error) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for left in cache().glob(UNFINISHED + "*"):  # by a run that was killed
            if time.time() - left.stat().st_mtime > BUILD_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        yield


@contextlib.contextmanager
def unfinished() -> Iterator[Path]:
    """Gives a folder in the cache for work in progress, which is removed at the end if it is still there."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=cache()))
    except OSError as error:
        raise unwritable(error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unwritable(error: OSError) -> EngineError:
    """Says that the cache can't be used."""
    return EngineError(f"can't write to {cache()} ({error.strerror}): set XDG_CACHE_HOME to another folder")


def finish(fresh: Path, final: Path) -> Path:
    """Puts a complete folder in its place, in one step."""
    fresh.chmod(0o755)
    shutil.rmtree(final, ignore_errors=True)
    return fresh.rename(final)


def main() -> None:
    """Prints the engine's folder, or says what is missing."""
    parser = argparse.ArgumentParser(description="Find or make a Pulumi engine; print the folder to put first on PATH.")
    parser.add_argument("--print", action="store_true", dest="only_find", help="neither download nor build one")
    try:
        folder = find() if parser.parse_args().only_find else provide()
    except EngineError as error:
        sys.exit(str(error))
    if not folder:
        sys.exit("There is no Pulumi engine yet: make one with make engine")
    print(folder)  # noqa: T201


if __name__ == "__main__":
    main()
