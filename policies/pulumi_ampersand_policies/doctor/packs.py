"""Policy packs, and the Python that the engine runs them with."""

from __future__ import annotations

import functools
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import Any, Final

from pulumi_ampersand._version import __version__
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.doctor.installation import DISTRIBUTION, pip_install
from pulumi_ampersand_policies.doctor.note import SECONDS, Check, Mark, Note
from pulumi_ampersand_policies.doctor.programs import FailedError, answer

_SUBJECT: Final = "pack"
_WRITE: Final = "write it anew, as pulumi-ampersand pack init does"
_FILES: Final = ("PulumiPolicy.json", "PulumiPolicy.yaml", "PulumiPolicy.yml")
"""In the order in which the engine looks for them."""

_FOLDERS: Final = (".", "ampersand-pack", "policies")
"""Where packs are looked for, if none is named."""

_PROBE: Final = """
import json
from importlib.metadata import version
import pulumi.policy
import pulumi_ampersand_policies.pack
from pulumi_ampersand._version import __version__
print(json.dumps([version("pulumi"), __version__]))
"""
"""What a pack's interpreter must be able to do: start packs, and serve these rules."""


def packs(named: Sequence[Path], environ: Mapping[str, str], seconds: float = SECONDS) -> list[Check]:
    """A check for each policy pack.

    Args:
        named: The folders of packs; without any, packs are looked for in this folder.
        environ: The environment.
        seconds: How long a pack's interpreter may take to answer.
    """
    folders = list(named) or [folder for name in _FOLDERS if _pack_file(folder := Path(name)) is not None]
    return [functools.partial(_pack, folder, environ, seconds) for folder in folders] or [_none]


def _none() -> Iterator[Note]:
    yield Note(Mark.INFO, _SUBJECT, "none in this folder", "make one, run: pulumi-ampersand pack init ampersand-pack")


def _pack_file(folder: Path) -> Path | None:
    return next((file for name in _FILES if (file := folder / name).is_file()), None)


class _PackError(Exception):
    """A pack can't run.

    Args:
        found: Why not; a clause.
        remedy: What mends it.
    """

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.remedy = remedy


def _pack(folder: Path, environ: Mapping[str, str], seconds: float) -> Iterator[Note]:
    try:
        yield _found(folder, environ, seconds)
    except _PackError as error:
        yield Note(Mark.PROBLEM, _SUBJECT, f"{folder}: {error}", error.remedy)


def _found(folder: Path, environ: Mapping[str, str], seconds: float) -> Note:
    runtime, options = _runtime(folder)
    if runtime != "python":
        return Note(Mark.INFO, _SUBJECT, f"{folder} runs with {one_line(runtime, 50)}, which isn't looked into")
    toolchain = options.get("toolchain") or "pip"
    if toolchain != "pip":
        found = f"{folder} gets its Python from {one_line(str(toolchain), 50)}, which isn't looked into"
        return Note(Mark.INFO, _SUBJECT, found)
    python, variables, remedy = _interpreter(folder, options.get("virtualenv"), environ)
    try:
        said = answer([python, "-c", _PROBE], variables, folder=folder, seconds=seconds)
        sdk, ours = json.loads(said.splitlines()[-1])
    except FailedError as error:
        raise _PackError(f"{python} {error}", remedy) from None
    except (LookupError, TypeError, ValueError):
        raise _PackError(f"{python} doesn't say which packages it has", remedy) from None
    found = f"{folder} runs {DISTRIBUTION} {ours} and pulumi {sdk} with {python}"
    if ours == __version__:
        return Note(Mark.OK, _SUBJECT, found)
    difference = f"{found}, and this command is {__version__}: they may judge differently"
    return Note(Mark.WARNING, _SUBJECT, difference, pip_install(python, f"{DISTRIBUTION}=={__version__}"))


def _runtime(folder: Path) -> tuple[str, dict[str, Any]]:
    """The name and the options of a pack's runtime.

    Raises:
        _PackError: They can't be read.
    """
    file = _pack_file(folder)
    if file is None:
        init = "run: " + shlex.join(["pulumi-ampersand", "pack", "init", str(folder)])
        raise _PackError("there is no PulumiPolicy.yaml", init)
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - comes with pulumi, which may be missing
    except ImportError:
        raise _PackError(
            f"{file.name} needs the package pyyaml to be read", pip_install(sys.executable, "pulumi")
        ) from None
    try:
        project = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise _PackError(f"{file.name} can't be read: {error.strerror}", _WRITE) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _PackError(f"{file.name} is no YAML: {one_line(str(error), 200)}", _WRITE) from None
    runtime = project.get("runtime") if isinstance(project, dict) else None
    name, options = (runtime.get("name"), runtime.get("options")) if isinstance(runtime, dict) else (runtime, None)
    if not (isinstance(name, str) and isinstance(options, dict | None)):
        raise _PackError(f"{file.name} names no runtime", _WRITE)
    return name, options or {}


def _interpreter(folder: Path, virtualenv: Any, environ: Mapping[str, str]) -> tuple[str, dict[str, str], str]:
    """The Python that the engine starts a pack with, its environment, and what mends missing packages in it.

    Source: ``python/toolchain/pip.go`` in the engine's SDK.

    Raises:
        _PackError: It isn't there.
    """
    path = environ.get("PATH", "")
    if virtualenv:
        home = Path(os.path.normpath(folder.absolute() / str(virtualenv)))
        python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not python.is_file():
            what = "is no virtual environment" if home.is_dir() else "doesn't exist"
            install = f"run: cd {shlex.quote(str(folder))} && pulumi install"
            raise _PackError(f"its virtual environment {home} {what}", install)
        kept = {name: value for name, value in environ.items() if name != "PYTHONHOME"}
        variables = {**kept, "VIRTUAL_ENV": str(home), "PATH": os.pathsep.join([str(python.parent), path])}
        return str(python), variables, pip_install(str(python), "-r", str(folder / "requirements.txt"))
    remedy = f"run: export PULUMI_PYTHON_CMD={shlex.quote(sys.executable)}"
    command = environ.get("PULUMI_PYTHON_CMD")
    names = [command] if command else ["python3", "python"]
    if os.name == "nt":
        names.reverse()
    found = next(filter(None, (which(name, path=path) for name in names)), None)
    if found is None:
        missing = (
            f"{command}, which PULUMI_PYTHON_CMD names, can't be run" if command else "there is no python3 on PATH"
        )
        raise _PackError(missing, remedy)
    return str(Path(found).absolute()), dict(environ), remedy
