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
from stack import ROOT, Stack


def run(*arguments: str, **environment: str | None) -> Result:
    """Run the command without the user's own settings."""
    unset: dict[str, str | None] = {"AMP_API_KEY": None, "AMP_API_URL": None, "AMP_PROJECT": None}
    return CliRunner(env=unset | environment).invoke(main, arguments)


def test_help_lists_every_command_without_importing_it() -> None:
    """``--help`` names the commands and what they do, and loads neither HTTP nor the Pulumi SDK."""
    code = (
        "import sys; from pulumi_ampersand_policies.cli import main; main(['--help'], standalone_mode=False); "
        "print(sorted({'httpx', 'pulumi', 'pydantic', 'starlette'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("pack", "reauth", "sandbox"):
        assert f"\n  {command} " in done.stdout
        assert run(command, "--help").exit_code == 0
    assert done.stdout.endswith("[]\n")


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
    assert "run: pulumi config set --secret ampersand:apiKey <key> (or set AMP_API_KEY)" in done.stderr


def test_pack_init_refuses_a_folder_with_files(tmp_path: Path) -> None:
    """Nobody's files are overwritten."""
    (tmp_path / "kept").write_text("")
    done = run("pack", "init", str(tmp_path))
    assert done.exit_code == 2
    assert "isn't empty" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_pack_init_says_why_a_folder_cannot_be_made(tmp_path: Path) -> None:
    """A path below a file is one clear line."""
    (tmp_path / "file").write_text("")
    done = run("pack", "init", str(tmp_path / "file" / "pack"))
    assert done.exit_code == 2
    assert "can't be written" in done.output
    assert "Traceback" not in done.output


@pytest.mark.engine
def test_an_initialised_pack_runs(tmp_path: Path, engine: Path, sandbox: Sandbox) -> None:
    """What ``pack init`` writes gates a preview, in the environment that it was called in."""
    made = run("pack", "init", str(tmp_path / "pack"))
    assert made.exit_code == 0, made.output
    stack = Stack(tmp_path / "stack", engine, "", sandbox.environment)
    stack.run("config", "set", "ampersand:gate", "true", check=True)
    preview = stack.preview("--policy-pack", str(tmp_path / "pack"))
    assert preview.code != 0
    assert f"ampersand@v{__version__}" in preview.out
    assert "[mandatory] [severity: critical]  no-bad-credentials" in preview.out


def test_runs_as_an_installed_program() -> None:
    """The console script is installed beside the interpreter."""
    script = Path(sys.executable).parent / ("pulumi-ampersand.exe" if os.name == "nt" else "pulumi-ampersand")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == f"{__version__}\n"
