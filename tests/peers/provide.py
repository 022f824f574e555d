"""Provides what ours is measured against: the Open Policy Agent, and a policy pack in TypeScript.

They come from the Go module proxy and the npm registry, pinned by the files beside this one, and are kept in the user's
cache folder, beside the engine, until those change.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from engine.provision import BUILD_SECONDS, FETCH_SECONDS, INSTALL_SECONDS, EngineError, run, unfinished
from languages.provide import NODE, NPM, install_go, kept

HERE: Path = Path(__file__).resolve().parent

PYTHON: Path = HERE / "python"
"""A policy pack on Pulumi's own SDK, and the program that goes with it."""

OPA: Path = HERE / "opa"
OPA_PACKAGE = "github.com/open-policy-agent/opa"
OPA_SOURCES = ("go.mod", "go.sum")

TYPESCRIPT: Path = HERE / "typescript"
TYPESCRIPT_SOURCES = ("PulumiPolicy.yaml", "index.ts", "package.json", "package-lock.json")
COMPILED = "compiled"
PLAIN_RUNTIME = "runtime:\n  name: nodejs\n  options:\n    typescript: false\nversion: 0.0.1\n"
COMPILE = """
const compiler = require("./node_modules/@pulumi/pulumi/vendor/typescript@3.8.3/typescript.js");
const { readFileSync, writeFileSync } = require("fs");
const compilerOptions = { module: "commonjs", target: "es2019" };
const source = readFileSync("index.ts", "utf8");
writeFileSync(process.argv[1], compiler.transpileModule(source, { compilerOptions }).outputText);
"""
"""Compiles the pack with the compiler that the SDK brings and would run it by."""

HOST = "pulumi-analyzer-policy-nodejs"
"""What the engine starts packs in TypeScript by, where Pulumi's language host for them isn't on PATH."""


def opa() -> str:
    """Builds the Open Policy Agent, unless that is done.

    Returns:
        The program.

    Raises:
        EngineError: There is no Go and none to install, or the modules can't be had or don't compile.
    """
    news = "Building the Open Policy Agent from its Go module: 2 minutes on two free cores, once ..."
    return str(kept(OPA, OPA_SOURCES, news, _build) / "opa")


def opa_version() -> str:
    """The version that is pinned."""
    return (OPA / "go.mod").read_text().partition(f"{OPA_PACKAGE} v")[2].split()[0]


def _build(fresh: Path) -> None:
    with unfinished() as scratch:
        environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTMPDIR": str(scratch)}
        go = _fit_go(environment) or install_go(scratch)
        flags = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")
        command = [go, "build", *flags, f"-o={fresh / 'opa'}", OPA_PACKAGE]
        run(command, BUILD_SECONDS, OPA, environment, "the Open Policy Agent can't be built")


def _fit_go(environment: dict[str, str]) -> str | None:
    """Finds a `go` on PATH that is new enough for the module, or can make itself so."""
    go = shutil.which("go")
    if go:
        with contextlib.suppress(EngineError):
            run([go, "list", "-mod=readonly", "-m"], FETCH_SECONDS, OPA, environment)
            return go
    return None


def typescript_pack() -> Path:
    """Installs the packages of the policy pack in TypeScript, unless that is done.

    Returns:
        The pack; its folder `COMPILED` holds the same, compiled to JavaScript beforehand.

    Raises:
        EngineError: The packages can't be had.
    """
    news = "Installing the packages of the policy pack in TypeScript: 15 seconds, once ..."
    return kept(TYPESCRIPT, TYPESCRIPT_SOURCES, news, _install)


def typescript_host(folder: Path, pack: Path) -> str:
    """Makes it possible to run packs in TypeScript without Pulumi's language host for them.

    All that the host does is to start the SDK's own module, with the folder of the pack as the current one.

    Args:
        folder: An empty folder, for the program that does it.
        pack: The pack with its packages.

    Returns:
        What has to come first on PATH.
    """
    program = folder / HOST
    module = pack / "node_modules" / "@pulumi" / "pulumi" / "cmd" / "run-policy-pack"
    program.write_text(f"#!/bin/sh\nexec '{NODE}' '{module}' \"$@\"\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{NODE.parent}"


def typescript_versions() -> str:
    """The versions that are pinned."""
    packages = json.loads((TYPESCRIPT / "package.json").read_text())["dependencies"]
    node = run([str(NODE), "--version"], FETCH_SECONDS).strip().removeprefix("v")
    return f"@pulumi/policy {packages['@pulumi/policy']}, @pulumi/pulumi {packages['@pulumi/pulumi']}, Node {node}"


def _install(fresh: Path) -> None:
    for name in TYPESCRIPT_SOURCES:
        shutil.copyfile(TYPESCRIPT / name, fresh / name)
    command = [str(NODE), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run(command, INSTALL_SECONDS, fresh, what="the packages of the policy pack in TypeScript can't be installed")
    compiled = fresh / COMPILED
    compiled.mkdir()
    shutil.copyfile(fresh / "package.json", compiled / "package.json")
    (compiled / "PulumiPolicy.yaml").write_text(PLAIN_RUNTIME)
    what = "the policy pack in TypeScript can't be compiled"
    run([str(NODE), "--eval", COMPILE, str(compiled / "index.js")], INSTALL_SECONDS, fresh, what=what)
