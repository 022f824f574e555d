"""Provides an outside validator of HTML, from the npm registry, kept in the user's cache folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from engine.provision import INSTALL_SECONDS, run
from languages.provide import NODE, NPM, kept

HERE: Final = Path(__file__).resolve().parent
SOURCES: Final = ("package.json", "package-lock.json")


def validator() -> list[str]:
    """Installs html-validate, unless that is done.

    Returns:
        The command that runs it.

    Raises:
        EngineError: It can't be had.
    """
    folder = kept(HERE, SOURCES, "Installing a validator of HTML: 10 seconds, once ...", _install)
    return [str(NODE), str(folder / "node_modules" / "html-validate" / "bin" / "html-validate.mjs")]


def _install(fresh: Path) -> None:
    for name in SOURCES:
        shutil.copyfile(HERE / name, fresh / name)
    command = [str(NODE), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run(command, INSTALL_SECONDS, fresh, what="html-validate can't be installed")


def problems(path: Path) -> list[str]:
    """What the validator's recommended rules say against a file."""
    command = [*validator(), "--preset", "recommended", "--formatter", "json", str(path)]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return [
        f"line {message['line']}: {message['message']} ({message['ruleId']})"
        for result in json.loads(done.stdout)
        for message in result["messages"]
    ]
