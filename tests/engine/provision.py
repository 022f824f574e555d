"""Finds or makes a Pulumi engine for the tests and the demonstration.

Run as a program it prints the folder that has to come first on PATH, as the last line of standard output. With `--print`
it only prints the folder of an engine that is already there, and neither downloads nor builds one.

Three ways, in this order: the `pulumi` on PATH, if it is new enough and has its Python language host; the official
installer, through Pulumi's Automation API; a build of the engine's Go module, with the stand-in for the language host
that lies beside this file. What is downloaded or built is kept in the user's cache folder.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "3.259.0"
# The SDK's own minimum in pyproject.toml: engine and SDK of one release are made for each other.
MINIMUM_VERSION = (3, 216, 0)

HERE = Path(__file__).resolve().parent
STAND_IN = HERE / "pulumi-language-python"
ENGINE_MODULE = "github.com/pulumi/pulumi/pkg/v3"
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
SDK_SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
INSTALLER = "https://get.pulumi.com/install.sh"

REACH_SECONDS = 8
VERSION_SECONDS = 30
INSTALL_SECONDS = 900
BUILD_SECONDS = 3600


class EngineError(Exception):
    """An engine can't be had one way, and why, in one line."""


def provide() -> Path:
    """Finds an engine, or else downloads or builds one.

    Returns:
        The folder that has to come first on PATH.

    Raises:
        EngineError: None of the three ways works here.
    """
    folder = find()
    if folder:
        return folder
    for way in (install, build):
        with contextlib.suppress(EngineError):
            return way()
    raise EngineError(
        "No Pulumi engine: put pulumi and pulumi-language-python "
        f"{'.'.join(map(str, MINIMUM_VERSION))} or newer on PATH, or allow access to {INSTALLER} for the official "
        "installer, or install Go 1.25.11 or newer with access to a Go module proxy (GOPROXY) to build it."
    )


def find() -> Path | None:
    """Finds an engine that is already there, without downloading or building anything."""
    return on_path() or installed() or built()


def cache() -> Path:
    """Gives the folder for what is downloaded and built, made on first use."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root, "pulumi-ampersand", "engine")


def say(line: str) -> None:
    """Reports on standard error: standard output is for the folder."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


# Way 1: what is on PATH


def on_path() -> Path | None:
    """Finds a `pulumi` on PATH that is new enough and comes with a language host for Python."""
    command = shutil.which("pulumi")
    if not command or not shutil.which("pulumi-language-python"):
        return None
    folder = Path(command).absolute().parent
    if folder.is_relative_to(cache()):
        return None  # our own: the other ways keep it up to date
    return folder if version_of(command) >= MINIMUM_VERSION else None


def version_of(command: str) -> tuple[int, ...]:
    """Asks a `pulumi` for its version; one that doesn't answer has version (0,)."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"}
    try:
        answer = subprocess.run(
            [command, "version"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return (0,)
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", answer.stdout.strip())
    return tuple(map(int, found.groups())) if found else (0,)


# Way 2: the official installer


def installed() -> Path | None:
    """Finds what the official installer has left in the cache."""
    folder = cache() / f"v{VERSION}-official" / "bin"
    complete = (folder / "pulumi").is_file() and (folder / "pulumi-language-python").is_file()
    return folder if complete else None


def install() -> Path:
    """Runs the official installer.

    Raises:
        EngineError: The installer can't be reached, or fails.
    """
    with locked():
        folder = installed()
        if folder:
            return folder
        reach = "import sys, urllib.request as request; request.urlopen(sys.argv[1], timeout=5).read(1)"
        run_python("can't be reached", REACH_SECONDS, reach, INSTALLER)
        say(f"Downloading Pulumi {VERSION} with the official installer, about a minute ...")
        with fresh_folder() as fresh:
            code = (
                "import sys; from pulumi.automation import PulumiCommand; from semver import VersionInfo; "
                "PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))"
            )
            run_python("fails", INSTALL_SECONDS, code, str(fresh), VERSION)
            fresh.rename(cache() / f"v{VERSION}-official")
        folder = installed()
        if not folder:
            raise EngineError(f"Pulumi's official installer has brought no Python language host to {cache()}.")
        return folder


def run_python(failure: str, seconds: int, code: str, *arguments: str) -> None:
    """Runs code in a process of its own, whose time can be bounded whatever it waits for (name look-ups, too)."""
    try:
        run([sys.executable, "-c", code, *arguments], seconds)
    except EngineError as error:
        raise EngineError(f"Pulumi's official installer {failure}: {error}") from error


# Way 3: a build of the Go module


def build_folder() -> Path:
    """Gives the folder in the cache that belongs to the pinned version and modules."""
    inputs = hashlib.sha256()
    for part in (VERSION, *SDK_SCRIPTS):
        inputs.update(part.encode() + b"\0")
    for name in ("go.mod", "go.sum"):
        inputs.update((HERE / name).read_bytes() + b"\0")
    return cache() / f"v{VERSION}-{inputs.hexdigest()[:12]}"


def built() -> Path | None:
    """Finds what an earlier build has left in the cache, with the stand-in as it is now."""
    folder = build_folder()
    if not (folder / "pulumi").is_file():
        return None
    place_stand_in(folder)
    return folder


def place_stand_in(folder: Path) -> None:
    """Copies the stand-in into the engine's folder, where it differs: an edit needs no build."""
    wanted, place = STAND_IN.read_bytes(), folder / STAND_IN.name
    if place.is_file() and place.read_bytes() == wanted:
        return
    handle, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(wanted)
    fresh = Path(name)
    fresh.chmod(0o755)
    fresh.replace(place)


def build() -> Path:
    """Builds the engine from its Go module.

    Raises:
        EngineError: There is no Go, or the modules can't be had, or don't compile.
    """
    go = shutil.which("go")
    if not go:
        raise EngineError("Pulumi can't be built: there is no go on PATH.")
    with locked():
        folder = built()
        if folder:
            return folder
        say(f"Building Pulumi {VERSION} from its Go module, 3 to 8 minutes on two cores, once ...")
        with fresh_folder() as fresh:
            flags = f"-s -w -X {SDK_MODULE}/go/common/version.Version=v{VERSION}"
            run_go(go, "build", "-buildvcs=false", "-o", str(fresh), "-ldflags", flags, f"{ENGINE_MODULE}/cmd/pulumi")
            sdk = json.loads(run_go(go, "list", "-m", "-json", SDK_MODULE))["Dir"]
            for script in SDK_SCRIPTS:
                copy = fresh / Path(script).name
                shutil.copyfile(Path(sdk, script), copy)
                copy.chmod(0o755)
            place_stand_in(fresh)
            fresh.rename(build_folder())
        return build_folder()


def run_go(go: str, command: str, *arguments: str) -> str:
    """Runs a command of Go on the pinned modules; gives its standard output."""
    # Without cgo the build needs no C compiler. Neither a workspace nor the flags of the user's other projects apply.
    environment = {**os.environ, "CGO_ENABLED": os.environ.get("X_CGO", "0"), "GOWORK": "off", "GOFLAGS": ""}
    try:
        return run([go, command, "-mod=readonly", *arguments], BUILD_SECONDS, HERE, environment)
    except EngineError as error:
        raise EngineError(f"Pulumi can't be built: {error}") from error


# All ways


def run(command: list[str], seconds: int, folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """Runs a program with all that it starts, within a bounded time; gives its standard output.

    Raises:
        EngineError: It can't be started, fails (with the last line that it wrote to standard error) or takes too long.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise EngineError(f"no end within {seconds} seconds") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
        raise EngineError(lines[-1])
    return output


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Lets one process at a time download or build; the others find its work done."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def fresh_folder() -> Iterator[Path]:
    """Gives a folder beside the final one, to be renamed to it when complete; otherwise it is removed."""
    fresh = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache()))
    try:
        fresh.chmod(0o755)
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def main() -> int:
    """Prints the engine's folder, or says what is missing."""
    parser = argparse.ArgumentParser(description="Find or make a Pulumi engine; print the folder to put first on PATH.")
    parser.add_argument("--print", action="store_true", dest="only_find", help="neither download nor build one")
    try:
        folder = find() if parser.parse_args().only_find else provide()
    except EngineError as error:
        sys.exit(str(error))
    if not folder:
        sys.exit("No Pulumi engine yet: run make engine.")
    print(folder)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
