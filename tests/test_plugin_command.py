"""The command ``pulumi-ampersand plugin install``, with real environments, a real engine, and one that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pip._vendor.distlib.scripts import ScriptMaker, enquote_executable

import package_schema
from audit_runs import SCRIPT
from pulumi_ampersand import __version__
from pulumi_ampersand.sandbox import Sandbox
from stack import Stack, clean_environment

SYSTEM = os.pathsep.join(["/usr/bin", "/bin"])
"""A PATH with neither an engine nor a virtual environment."""

PROGRAM = """
import pulumi

found = pulumi.runtime.invoke("ampersand:index:getConnection", {"provider": "slack"}).value
pulumi.export("id", found["id"])
"""


class Run(NamedTuple):
    """What a run left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def install(program: Path, path: str, answers: str = "", **environment: str) -> Run:
    """Run the command with a PATH, as a user does who hasn't activated the environment."""
    return run([str(program), "plugin", "install"], path, answers, **environment)


def run(command: list[str], path: str, answers: str = "", **environment: str) -> Run:
    """Run a command with a PATH."""
    kept = {name: value for name, value in clean_environment(Path("/")).items() if name != "PATH"}
    done = subprocess.run(
        command,
        env={**kept, "PATH": path, **environment},
        capture_output=True,
        check=False,
        input=answers,
        text=True,
        timeout=120,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def environment_at(folder: Path, *without: str) -> Path:
    """A virtual environment with our packages, and our commands as pip writes them; returns where these lie.

    Args:
        folder: Where to make it.
        without: The commands to leave out.
    """
    venv.create(folder, with_pip=False)
    scheme = {"base": str(folder), "platbase": str(folder), "installed_base": str(folder)}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    packages.joinpath("ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    scripts = Path(sysconfig.get_path("scripts", vars=scheme))
    maker: Any = ScriptMaker(None, str(scripts))  # type: ignore[no-untyped-call]
    maker.executable = enquote_executable(str(scripts / "python"))  # type: ignore[no-untyped-call]
    maker.variants = {""}
    for command in distribution("pulumi-ampersand").entry_points.select(group="console_scripts"):
        if command.name not in without:
            maker.make(f"{command.name} = {command.value}")
    return scripts


def fake_pulumi(folder: Path, script: str) -> str:
    """A PATH with a ``pulumi`` that is this script."""
    file = folder / "pulumi"
    file.write_text(script)
    file.chmod(0o755)
    return f"{folder}{os.pathsep}{SYSTEM}"


def without_empty_lists(node: Any) -> Any:
    """A schema as the engine prints it, which leaves out that nothing is required."""
    if isinstance(node, dict):
        return {name: without_empty_lists(part) for name, part in node.items() if part != []}
    return [without_empty_lists(part) for part in node] if isinstance(node, list) else node


@pytest.mark.engine
@pytest.mark.parametrize("name", ["plain", "with a space and é"])
def test_programs_in_every_language_find_it(tmp_path: Path, engine: Path, name: str) -> None:
    """Without the environment on PATH, the engine has schema and functions of it; installing twice is fine."""
    program = environment_at(tmp_path / name) / "pulumi-ampersand"
    path = f"{engine}{os.pathsep}{SYSTEM}"
    home = tmp_path / "home"
    before = run(["pulumi", "plugin", "ls", "--json"], path, PULUMI_HOME=str(home))
    assert json.loads(before.out) == []
    for _ in range(2):
        assert install(program, path, PULUMI_HOME=str(home)) == (
            0,
            f"Installed the plugin ampersand {__version__}. Make an SDK of it: pulumi package add ampersand\n",
            "",
        )
    listed = json.loads(run(["pulumi", "plugin", "ls", "--json"], path, PULUMI_HOME=str(home)).out)
    assert [(one["name"], one["kind"], one["version"]) for one in listed] == [("ampersand", "resource", __version__)]

    told = run(["pulumi", "package", "get-schema", "ampersand"], path, PULUMI_HOME=str(home))
    assert told.code == 0, told.err
    shipped = json.loads(package_schema.FILE.read_text(encoding="utf-8"))
    assert json.loads(told.out) == {**without_empty_lists(shipped), "version": __version__}

    with Sandbox("healthy") as sandbox:
        # The program's own Python, which lies beside none of our commands.
        for python in ("python", "python3"):
            (tmp_path / python).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
            (tmp_path / python).chmod(0o755)
        variables = {"PATH": f"{tmp_path}{os.pathsep}{path}", "PULUMI_HOME": str(home)}
        stack = Stack(tmp_path / "stack", engine, PROGRAM, sandbox.environment | variables)
        preview = stack.preview(check=True)
    assert preview.diagnostics == []
    assert '"conn_koyo_slack"' in preview.out


def test_without_pulumi(tmp_path: Path) -> None:
    """One sentence says what to do."""
    assert install(SCRIPT, str(tmp_path)) == (1, "", "Error: pulumi isn't on PATH; run: pulumi-ampersand doctor\n")


def test_without_the_plugin_s_program(tmp_path: Path) -> None:
    """An installation that is damaged, or the command alone, says so; pulumi isn't run."""
    program = environment_at(tmp_path / "environment", "pulumi-resource-ampersand") / "pulumi-ampersand"
    path = fake_pulumi(tmp_path, f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    assert install(program, path) == (
        1,
        "",
        "Error: pulumi-resource-ampersand isn't beside this command; install pulumi-ampersand anew\n",
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(
            "#!/bin/sh\necho 'error: no space left on device' >&2\nexit 3\n",
            "error: no space left on device",
            id="words",
        ),
        pytest.param(
            "#!/bin/sh\nprintf 'error:\\n\\033[31m  two\\nlines\\n' >&2\nexit 1\n", "error: [31m two lines", id="lines"
        ),
        pytest.param("#!/bin/sh\necho said\nexit 255\n", "exit code 255", id="silent"),
        pytest.param("#!/bin/sh\nprintf '\\377' >&2\nexit 1\n", "\ufffd", id="no-text"),
        pytest.param("#!/nowhere/sh\n", "[Errno 2] No such file or directory", id="broken"),
    ],
)
def test_a_pulumi_that_fails(tmp_path: Path, script: str, reason: str) -> None:
    """Its words are shown, on one harmless line; nothing is said to be installed."""
    code, out, err = install(SCRIPT, fake_pulumi(tmp_path, script))
    assert (code, out) == (1, "")
    assert err.startswith(f"Error: pulumi plugin install failed: {reason}")
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert len(err) < 400


def test_long_words_are_cut(tmp_path: Path) -> None:
    """A whole page of them would hide what failed."""
    path = fake_pulumi(tmp_path, "#!/bin/sh\nyes word | head -n 1000 >&2\nexit 1\n")
    assert len(install(SCRIPT, path).err) < 400


def test_pulumi_is_asked_nothing(tmp_path: Path) -> None:
    """It has no terminal to ask on, looks for no update, and is told which program and version."""
    path = fake_pulumi(
        tmp_path,
        f'#!/bin/sh\nprintf "%s\\n" "$@" "$PULUMI_SKIP_UPDATE_CHECK" > {tmp_path}/told\nread line && exit 9\nexit 0\n',
    )
    assert install(SCRIPT, path, "yes\n").code == 0
    assert (tmp_path / "told").read_text().splitlines() == [
        *("plugin", "install", "--non-interactive", "resource", "ampersand", __version__),
        *("--file", str(SCRIPT.parent / "pulumi-resource-ampersand"), "--reinstall"),
        "1",
    ]
