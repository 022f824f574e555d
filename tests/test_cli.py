"""The command ``pulumi-ampersand``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pulumi_ampersand import __version__
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies.cli import main
from stack import ROOT


def run(*arguments: str, **environment: str | None) -> Result:
    """Run the command without the user's own settings."""
    unset: dict[str, str | None] = {"AMP_API_KEY": None, "AMP_API_URL": None, "AMP_PROJECT": None}
    return CliRunner(env=unset | environment).invoke(main, arguments)


LARGE = {"grpc", "httpx", "jsonschema", "pulumi", "pulumi_policy", "pydantic", "starlette", "tenacity"}


def loaded(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in an interpreter of its own; the last line of its output lists the large libraries it loads."""
    code = (
        "import sys; from pulumi_ampersand_policies.cli import main; main(sys.argv[1:], standalone_mode=False); "
        f"print(sorted({LARGE!r} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=True, cwd=folder)


def test_help_lists_every_command_without_importing_it() -> None:
    """``--help`` names the commands and what they do, and loads neither HTTP nor the Pulumi SDK."""
    done = loaded("--help")
    for command in ("config", "pack", "reauth", "rules", "sandbox"):
        assert f"\n  {command} " in done.stdout
        assert run(command, "--help").exit_code == 0
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("arguments", "libraries"),
    [
        (["config", "schema"], ["pydantic"]),
        (["config", "check", "-"], ["pydantic"]),
        (["config", "profile", "strict"], ["pydantic"]),
        (["rules"], ["pydantic"]),
        (["rules", "show", "token-expiry"], ["pydantic"]),
        (["pack", "init", "pack"], []),
    ],
    ids=" ".join,
)
def test_commands_that_need_no_engine_load_none(arguments: list[str], libraries: list[str], tmp_path: Path) -> None:
    """What only reads rules and configurations pays for neither the Pulumi SDK nor HTTP."""
    assert loaded(*arguments, folder=tmp_path).stdout.splitlines()[-1] == str(libraries)


def test_version() -> None:
    """``--version`` prints the version and nothing else."""
    assert run("--version").output == f"{__version__}\n"


def test_an_unknown_command_is_wrong_usage() -> None:
    """An unknown command ends with exit code 2."""
    done = run("audti")
    assert done.exit_code == 2
    assert "audti" in done.output


def test_reauth_prints_a_link_alone(sandbox: Sandbox) -> None:
    """The link is all of standard output, so that scripts can take it."""
    done = run("reauth", sandbox.connections[0]["id"], **sandbox.environment)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("http")
    assert len(done.stdout.splitlines()) == 1


def test_reauth_of_an_unknown_connection_says_so(sandbox: Sandbox) -> None:
    """What the API refuses ends with exit code 3 and one line on standard error."""
    done = run("reauth", "no-such-connection", **sandbox.environment)
    assert done.exit_code == 3
    assert done.stdout == ""
    assert done.stderr.startswith("Error: making a re-authorisation link for connection")
    assert len(done.stderr.splitlines()) == 1


def test_reauth_without_a_key_says_how_to_set_one() -> None:
    """A missing key is wrong usage, exit code 2, and nothing is sent."""
    done = run("reauth", "connection", AMP_PROJECT="quickstart")
    assert done.exit_code == 2
    assert done.stderr == "Error: no API key; set AMP_API_KEY\n"


def test_reauth_without_a_project_says_how_to_name_one() -> None:
    """Likewise; a project of nothing but blanks is none."""
    for project in ("", "  "):
        done = run("reauth", "connection", AMP_API_KEY="key", AMP_PROJECT=project)
        assert done.exit_code == 2
        assert done.stderr.splitlines()[-1] == "Error: no project: give --project, or set AMP_PROJECT"


def test_runs_as_an_installed_program() -> None:
    """The console script is installed beside the interpreter."""
    script = Path(sys.executable).parent / ("pulumi-ampersand.exe" if os.name == "nt" else "pulumi-ampersand")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == f"{__version__}\n"
