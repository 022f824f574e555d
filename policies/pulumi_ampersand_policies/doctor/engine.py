"""The Pulumi command line and its Python language host."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from shutil import which
from typing import Final

from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.doctor.installation import in_range, requirements
from pulumi_ampersand_policies.doctor.note import SECONDS, Mark, Note
from pulumi_ampersand_policies.doctor.programs import FailedError, answer

_LANGUAGE_HOST: Final = "pulumi-language-python"

_INSTALL_PULUMI: Final = {
    "darwin": "run: brew install pulumi/tap/pulumi",
    "win32": "run: choco install pulumi",
}.get(sys.platform, "run: curl -fsSL https://get.pulumi.com | sh")
"""As Pulumi's own installation page has it; each of them brings the Python language host, too, and upgrades."""


def engine(environ: Mapping[str, str], seconds: float = SECONDS) -> Iterator[Note]:
    """The Pulumi command line and its Python language host.

    The command line has the version numbers of the SDK, and is asked for what is asked of that.

    Args:
        environ: The environment.
        seconds: How long the command line may take to answer.
    """
    subject, pulumi = "pulumi CLI", which("pulumi", path=environ.get("PATH"))
    if pulumi is None:
        yield Note(Mark.PROBLEM, subject, "there is no pulumi on PATH", _INSTALL_PULUMI)
        return
    try:
        said = answer([pulumi, "version"], {**environ, "PULUMI_SKIP_UPDATE_CHECK": "1"}, seconds=seconds)
    except FailedError as error:
        yield Note(Mark.PROBLEM, subject, f"{pulumi} {error}", _INSTALL_PULUMI)
    else:
        yield _version(pulumi, said)
    # The engine looks on PATH, and beside its real file.
    beside = os.pathsep.join([environ.get("PATH", ""), str(Path(pulumi).resolve().parent)])
    host = which(_LANGUAGE_HOST, path=beside)
    if host is None:
        found = f"there is no {_LANGUAGE_HOST} on PATH or beside {pulumi}"
        yield Note(Mark.PROBLEM, "language host", found, _INSTALL_PULUMI)
    else:
        yield Note(Mark.OK, "language host", host)


def _version(pulumi: str, said: str) -> Note:
    subject, found = "pulumi CLI", f"{one_line(said, 50)}, {pulumi}"
    if not re.match(r"v?\d+\.\d", said):
        return Note(Mark.PROBLEM, subject, f'{pulumi} says "{one_line(said, 50)}", not its version', _INSTALL_PULUMI)
    try:
        range_ = next(each.range for each in requirements() if each.name == "pulumi")
    except PackageNotFoundError:
        return Note(Mark.OK, subject, found)
    if in_range(said, range_):
        return Note(Mark.OK, subject, found)
    return Note(Mark.PROBLEM, subject, f"{found}; {range_} is needed", _INSTALL_PULUMI)
