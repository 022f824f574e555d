"""The command ``pulumi-ampersand completion``, and what real shells complete with its script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pulumi_ampersand_policies.cli import main
from pulumi_ampersand_policies.profiles import PROFILES
from pulumi_ampersand_policies.reports import FORMATS
from pulumi_ampersand_policies.rules import RULES

BIN = Path(sys.executable).parent
PATH = os.pathsep.join([str(BIN), "/usr/bin", "/bin"])
SHELLS = ("bash", "zsh", "fish")
COMMANDS = ["audit", "completion", "config", "doctor", "forecast", "pack", "plugin", "reauth", "rules", "sandbox"]
LARGE = {"grpc", "httpx", "msgspec", "pulumi", "pulumi_policy", "pydantic", "rich"}


def completion(*arguments: str, shell: str | None = None) -> Result:
    """Run the command with that path in SHELL."""
    return CliRunner(env={"SHELL": shell}).invoke(main, ["completion", *arguments], prog_name="pulumi-ampersand")


def completed(line: str) -> list[str]:
    """What bash offers at the end of a line, by the script in a real bash."""
    *words, last = line.split(" ")
    script = """
        eval "$(pulumi-ampersand completion bash)" || exit 9
        complete -p pulumi-ampersand > /dev/null || exit 8
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        _pulumi_ampersand_completion "$1" && printf '%s\\n' "${COMPREPLY[@]}"
    """
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    done = subprocess.run(
        [bash, "--norc", "-c", script, "bash", *words, last],
        env={"PATH": PATH, "HOME": os.devnull},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


class TestScript:
    """What the command prints."""

    @pytest.mark.parametrize("shell", SHELLS)
    def test_is_a_script_that_its_shell_understands(self, shell: str) -> None:
        """Checked by the shell itself, where there is one; the script alone is printed."""
        done = completion(shell)
        assert (done.exit_code, done.stderr) == (0, "")
        assert "_PULUMI_AMPERSAND_COMPLETE" in done.stdout
        program = shutil.which(shell)
        if program is None:
            pytest.skip(f"no {shell} to check its syntax")
        checked = subprocess.run(
            [program, "--no-execute" if shell == "fish" else "-n"],
            input=done.stdout,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (checked.returncode, checked.stderr) == (0, "")

    @pytest.mark.parametrize("shell", SHELLS)
    def test_the_shell_is_the_users_own(self, shell: str) -> None:
        """Without an argument it is the one in SHELL, wherever it lies; an argument wins."""
        assert completion(shell=f"/opt/bin/{shell}").stdout == completion(shell).stdout
        assert completion(shell, shell="/bin/dash").stdout == completion(shell).stdout

    @pytest.mark.parametrize(
        ("arguments", "shell", "said"),
        [
            (["bsh"], "/bin/bash", '"bsh" (did you mean "bash"?)'),
            (["power shell\x1b[2J"], "/bin/bash", '"power shell[2J"'),
            ([], "/bin/tcsh", '"tcsh"'),
            ([], None, "SHELL isn't set"),
        ],
        ids=["misspelt", "hostile", "unknown-own", "unset"],
    )
    def test_another_shell_is_wrong_usage(self, arguments: list[str], shell: str | None, said: str) -> None:
        """Exit code 2, and the choices."""
        done = completion(*arguments, shell=shell)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == (f"Error: no completion for this shell: {said}; give bash, zsh or fish")

    def test_needs_no_shell_on_path(self) -> None:
        """It can be made where it isn't used, in an image's build for example."""
        done = subprocess.run(
            [BIN / "pulumi-ampersand", "completion", "bash"],
            env={"PATH": os.devnull},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert (done.stdout, done.stderr) == (completion("bash").stdout, "")

    def test_an_old_bash_says_so(self) -> None:
        """When it starts, in one line, instead of complaining about an option that it doesn't know."""
        bash = shutil.which("bash")
        if bash is None:
            pytest.skip("no bash")
        # BASH_VERSINFO is read-only, so that another array has to stand in for it.
        script = completion("bash").stdout.replace("BASH_VERSINFO", "OLD")
        done = subprocess.run(
            [bash, "--norc"],
            input=f"OLD=(3 2 57)\n{script}complete -p pulumi-ampersand",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        first, second = done.stderr.splitlines()
        assert first.startswith("pulumi-ampersand: completion needs bash 4.4 or newer, this is ")
        assert second.endswith("complete: pulumi-ampersand: no completion specification")

    @pytest.mark.parametrize("shell", SHELLS)
    def test_help_teaches_how_to_install_it(self, shell: str) -> None:
        """A line to paste for each shell."""
        assert f"pulumi-ampersand completion {shell}" in completion("--help").stdout


class TestBash:
    """What a real bash completes."""

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("pulumi-ampersand ", COMMANDS),
            ("pulumi-ampersand au", ["audit"]),
            ("pulumi-ampersand nonsense", []),
            ("pulumi-ampersand nonsense x", []),
            ("pulumi-ampersand --v", ["--version"]),
            ("pulumi-ampersand completion ", list(SHELLS)),
            ("pulumi-ampersand completion z", ["zsh"]),
            ("pulumi-ampersand config p", ["profile"]),
            ("pulumi-ampersand config profile ", list(PROFILES)),
            ("pulumi-ampersand pack init --profile s", ["strict", "soc2"]),
            ("pulumi-ampersand rules s", ["show"]),
            ("pulumi-ampersand rules show ", [rule.id for rule in RULES]),
            ("pulumi-ampersand rules show allowed-s", ["allowed-scopes"]),
            ("pulumi-ampersand rules --own nonsense show allowed-s", ["allowed-scopes"]),
            ("pulumi-ampersand audit --format ", list(FORMATS)),
            ("pulumi-ampersand audit --format js", ["json"]),
            ("pulumi-ampersand audit --format json --format ht", ["html"]),
            ("pulumi-ampersand audit --severity ", ["critical", "high", "medium", "low"]),
            ("pulumi-ampersand audit --fail-on h", ["high"]),
            ("pulumi-ampersand audit --details a", ["auto", "always"]),
            ("pulumi-ampersand audit --fail-on-n", ["--fail-on-new"]),
            ("pulumi-ampersand doctor --off", ["--offline"]),
        ],
        ids=lambda value: value.removeprefix("pulumi-ampersand ") if isinstance(value, str) else "",
    )
    def test_completes(self, line: str, expected: list[str]) -> None:
        """Commands, options, and the values that options and arguments take."""
        assert completed(line) == expected

    def test_rules_of_a_users_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those that ``--own`` names are offered, too."""
        (tmp_path / "own.py").write_text(
            "from dataclasses import replace\nfrom pulumi_ampersand_policies.rules import RULES\n"
            "OWN = [replace(RULES[0], id='allowed-moons')]\n"
        )
        monkeypatch.chdir(tmp_path)
        assert completed("pulumi-ampersand rules --own own:OWN show allowed-m") == ["allowed-moons"]


@pytest.mark.parametrize(
    "words", ["pulumi-ampersand ", "pulumi-ampersand au", "pulumi-ampersand --", "pulumi-ampersand completion "]
)
def test_completing_a_command_loads_none(words: str) -> None:
    """The names of commands are offered without any command's libraries."""
    code = (
        "import atexit, sys; "
        f"atexit.register(lambda: print('loaded', sorted({LARGE!r} & sys.modules.keys()), file=sys.stderr)); "
        "from pulumi_ampersand_policies.cli import main; main(prog_name='pulumi-ampersand')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "COMP_WORDS": words.rstrip(),
            "COMP_CWORD": str(len(words.split(" ")) - 1),
            "_PULUMI_AMPERSAND_COMPLETE": "bash_complete",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip()
    assert done.stderr == "loaded []\n"


def test_fish_completes(tmp_path: Path) -> None:
    """A real fish offers values, and commands with what they do."""
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("no fish")
    script = tmp_path / "pulumi-ampersand.fish"
    script.write_text(completion("fish").stdout)
    asked = ("pulumi-ampersand au", "pulumi-ampersand config profile ")
    done = subprocess.run(
        [fish, "--no-config", "-c", f"source {script}; " + "; ".join(f"complete -C '{line}'" for line in asked)],
        env={"PATH": PATH, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, *others = done.stdout.splitlines()
    assert first.startswith("audit\tJudge connections by the rules")
    assert sorted(others) == sorted(PROFILES)
