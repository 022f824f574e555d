"""Generates SDKs from a schema, with the engine and its language hosts, and makes them usable by programs.

What is generated and compiled is kept in the user's cache folder until the schema changes, or what it is made with.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

from engine.provision import BUILD_SECONDS, INSTALL_SECONDS, run, unfinished
from languages.provide import (
    CONSTRAINTS,
    GENERATORS,
    HOSTS,
    NODE,
    go_environment,
    go_tool,
    hosts,
    kept_as,
    typescript_packages,
)

RECIPES = Path(__file__).read_text(encoding="utf-8")
"""What is kept depends on how it is made."""

PLUGIN = Path(sys.executable).with_name("pulumi-resource-ampersand")
"""Our provider's program, whose schema is what `pulumi package add ampersand` makes an SDK of."""

COMPILER = Path("typescript", "bin", "tsc")

PYTHON_REQUIREMENT = "parver"
"""What generated Python SDKs import beside what this project has."""


def generated(language: str, source: Path) -> Path:
    """Has the engine generate an SDK, unless that is done.

    Args:
        language: "nodejs", "go" or "python".
        source: A schema, or a provider's program that has one.

    Returns:
        The folder with the SDK, not to be changed.

    Raises:
        EngineError: The engine or the language's host can't be had, or refuses the schema.
    """
    engine, schema = hosts(), schema_of(source)
    generator = engine / GENERATORS
    if language != "python" or not generator.is_dir():  # Pulumi's own hosts both run and generate
        generator = engine

    def generate(fresh: Path) -> None:
        with unfinished() as scratch:
            file = scratch / "schema.json"
            file.write_text(schema, encoding="utf-8")
            arguments = ["gen-sdk", str(file), "--language", language, "--out", str(fresh)]
            pulumi_package(generator, scratch, arguments)

    return kept_as(f"generated-{language}", [RECIPES, engine.name, schema], "", generate) / language


def schema_of(source: Path) -> str:
    """Gives the text of a schema: a file's, or what a provider's program says."""
    if source.suffix == ".json":
        return source.read_text(encoding="utf-8")
    engine = hosts()
    with unfinished() as scratch:
        return pulumi_package(engine, scratch, ["get-schema", str(source)])


def pulumi_package(engine: Path, home: Path, arguments: list[str]) -> str:
    """Runs `pulumi package` away from the user's own settings.

    Returns:
        What it writes to standard output.
    """
    path = os.pathsep.join([str(engine), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "1"}
    command = [str(engine / "pulumi"), "--non-interactive", "package", *arguments]
    return run(command, INSTALL_SECONDS, home, environment, f"pulumi package {arguments[0]} fails")


def make_ready(program: Path, runtime: str, source: Path) -> None:
    """Gives a program what its package manager would install: the SDK, and Pulumi's own.

    Args:
        program: The folder with the program and its `Pulumi.yaml`. A `go.mod` in it is replaced.
        runtime: "nodejs", "go" or "yaml", which needs nothing.
        source: A schema, or a provider's program that has one.

    Raises:
        EngineError: The SDK can't be generated, or doesn't compile; or what it needs can't be had.
    """
    if runtime == "nodejs":
        (program / "node_modules").symlink_to(typescript_sdk(source))
    if runtime == "go":
        write_go_module(program, "program", go_sdk(source))


def typescript_sdk(source: Path) -> Path:
    """Generates and compiles the SDK in TypeScript, unless that is done.

    Args:
        source: A schema, or a provider's program that has one.

    Returns:
        A folder `node_modules` for programs, with the SDK, Pulumi's own and the compiler.

    Raises:
        EngineError: It can't be generated, or doesn't compile; or the packages can't be had.
    """
    sdk, packages = generated("nodejs", source), typescript_packages() / "node_modules"

    def compile_sdk(fresh: Path) -> None:
        modules = fresh / "node_modules"
        for scope in packages.iterdir():
            if scope.name.startswith("@"):
                (modules / scope.name).mkdir(parents=True)
                for package in scope.iterdir():
                    (modules / scope.name / package.name).symlink_to(package)
            else:
                modules.mkdir(exist_ok=True)
                (modules / scope.name).symlink_to(scope)
        sources = fresh / "sources"
        shutil.copytree(sdk, sources)
        target = modules / json.loads((sdk / "package.json").read_text())["name"]
        command = [str(NODE), str(modules / COMPILER), "--project", str(sources), "--outDir", str(target)]
        run(command, INSTALL_SECONDS, fresh, what="the SDK in TypeScript can't be compiled")
        shutil.copyfile(sdk / "package.json", target / "package.json")

    return kept_as("sdk-nodejs", [RECIPES, sdk.parent.name, packages.parent.name], "", compile_sdk) / "node_modules"


def go_sdk(source: Path) -> Path:
    """Generates the SDK in Go, as a module.

    Args:
        source: A schema, or a provider's program that has one.

    Returns:
        The module's folder.

    Raises:
        EngineError: It can't be generated.
    """
    sdk = generated("go", source)

    def make_module(fresh: Path) -> None:
        (root,) = {file.parent.parent for file in sdk.rglob("internal/pulumiUtilities.go")}
        shutil.copytree(root, fresh, dirs_exist_ok=True)
        imports = (re.search(r'"(\S+)/internal"', file.read_text()) for file in sorted(root.glob("*.go")))
        path = next(found[1] for found in imports if found)
        write_go_module(fresh, path)

    return kept_as("sdk-go", [RECIPES, sdk.parent.name, (HOSTS / "go.mod").read_text()], "", make_module)


def write_go_module(folder: Path, path: str, sdk: Path | None = None) -> None:
    """Writes the `go.mod` and `go.sum` of a module that uses Pulumi's SDK, in the versions that the engine has.

    Args:
        folder: The module's folder.
        path: The module's path.
        sdk: The folder of the generated SDK, for a program that uses it.
    """
    module = re.sub(r"(?m)^module .*", f"module {path}", (HOSTS / "go.mod").read_text())
    if sdk:
        name = module_path(sdk)
        version = "v0.0.0" if not (major := re.search(r"/v(\d+)$", name)) else f"v{major[1]}.0.0"
        module += f"\nrequire {name} {version}\n\nreplace {name} => {sdk}\n"
    (folder / "go.mod").write_text(module)
    shutil.copyfile(HOSTS / "go.sum", folder / "go.sum")


def module_path(module: Path) -> str:
    """Gives the path of a Go module, by which programs import it."""
    return (module / "go.mod").read_text().partition("module ")[2].split()[0]


def go_program(program: Path, source: Path) -> Path:
    """Builds a program in Go that uses the SDK, unless that is done.

    Args:
        program: The file with the program.
        source: A schema, or a provider's program that has one.

    Returns:
        The executable.

    Raises:
        EngineError: The SDK can't be generated, or the program can't be built.
    """
    sdk, text = go_sdk(source), program.read_text()

    def build(fresh: Path) -> None:
        with unfinished() as scratch:
            shutil.copyfile(program, scratch / "main.go")
            write_go_module(scratch, "program", sdk)
            # The engine's own flags, so that what was compiled for it isn't compiled again.
            command = [go_tool(), "build", "-buildvcs=false", "-ldflags=-s -w", f"-o={fresh / 'program'}", "."]
            run(command, BUILD_SECONDS, scratch, go_environment(), f"{program.name} can't be built")

    return kept_as("go-program", [RECIPES, sdk.name, text], "", build) / "program"


def python_sdk(source: Path) -> Path:
    """Generates the SDK in Python, and installs what it imports.

    Args:
        source: A schema, or a provider's program that has one.

    Returns:
        The folder that has to be on PYTHONPATH.

    Raises:
        EngineError: It can't be generated, or what it imports can't be had.
    """
    sdk = generated("python", source)
    packages = kept_as("python", [PYTHON_REQUIREMENT, CONSTRAINTS.read_text()], "", install_python)

    def bring_together(fresh: Path) -> None:
        for part in (packages, sdk):
            shutil.copytree(part, fresh, dirs_exist_ok=True)
        # An SDK looks up its own version as that of an installed package.
        project = (sdk / "pyproject.toml").read_text()
        name, version = (re.search(rf'(?m)^ *{key} = "(.+)"', project)[1] for key in ("name", "version"))  # type: ignore[index]
        installed = fresh / f"{name}-{version}.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    return kept_as("sdk-python", [RECIPES, sdk.parent.name, packages.name], "", bring_together)


def install_python(fresh: Path) -> None:
    """Installs what generated SDKs in Python import into a folder."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    options = [f"--constraint={CONSTRAINTS}", f"--target={fresh}", PYTHON_REQUIREMENT]
    run([*pip, *options], INSTALL_SECONDS, what=f"{PYTHON_REQUIREMENT} can't be installed")
