"""Provides what the audit is measured against: the Open Policy Agent, built from its Go module.

It is kept in the user's cache folder, beside the engine, until the pinned modules change.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from engine.provision import BUILD_SECONDS, FETCH_SECONDS, EngineError, run, unfinished
from languages.provide import install_go, kept

OPA: Path = Path(__file__).resolve().parent / "opa"
OPA_PACKAGE = "github.com/open-policy-agent/opa"
OPA_SOURCES = ("go.mod", "go.sum")


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
