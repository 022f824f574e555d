"""The command ``pulumi-ampersand pack init``: what it writes, where that runs, and what it refuses."""

from __future__ import annotations

import ast
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from pulumi_ampersand import __version__
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies.cli import main
from pulumi_ampersand_policies.profiles import PROFILES, profile
from stack import ROOT, Stack, Violation

FILES = [
    ".gitignore",
    "PulumiPolicy.yaml",
    "README.md",
    "__main__.py",
    "own_rules.py",
    "policy-config.json",
    "requirements.txt",
    "test_own_rules.py",
]
IN_VIRTUALENV = sys.prefix != sys.base_prefix
BASE = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
"""The interpreter that this virtual environment was made with, which doesn't see the environment's packages."""


def init(*arguments: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["pack", "init", *map(str, arguments)])


def project(folder: Path) -> dict[str, Any]:
    """A pack's project file."""
    read: dict[str, Any] = YAML(typ="safe").load(folder / "PulumiPolicy.yaml")
    return read


def contents(folder: Path) -> dict[str, str]:
    """What the files in a folder hold."""
    return {path.name: path.read_text("utf-8") for path in folder.iterdir()}


def test_writes_a_pack(tmp_path: Path) -> None:
    """Exactly these files, ready to run: this version pinned, the profile baseline, and a command to paste."""
    folder = tmp_path / "policies" / "ours"
    done = init(folder)
    assert (done.exit_code, done.stderr) == (0, "")
    written = contents(folder)
    assert sorted(written) == FILES
    assert written["requirements.txt"] == f"pulumi-ampersand=={__version__}\n"
    assert written["policy-config.json"] == profile("baseline")
    assert done.stdout == (
        f"Wrote a policy pack. Run: pulumi preview --policy-pack {folder} "
        f"--policy-pack-config {folder / 'policy-config.json'}\n"
    )


def test_the_command_to_run_can_be_pasted(tmp_path: Path) -> None:
    """A folder's name with spaces and a shell's own characters stays one argument."""
    folder = tmp_path / "our policies; $(id)"
    done = init(folder)
    command = shlex.split(done.stdout.partition("Run: ")[2])
    assert command == [
        *("pulumi", "preview", "--policy-pack", str(folder)),
        *("--policy-pack-config", str(folder / "policy-config.json")),
    ]


def test_takes_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is there and empty is used, the current one for example."""
    monkeypatch.chdir(tmp_path)
    assert init(".").exit_code == 0
    assert sorted(contents(tmp_path)) == FILES


@pytest.mark.parametrize("name", PROFILES)
def test_starts_from_a_profile(tmp_path: Path, name: str) -> None:
    """``--profile`` chooses the configuration to start from; the rest is the same."""
    assert init(tmp_path / "plain").exit_code == 0
    assert init(tmp_path / name, "--profile", name).exit_code == 0
    changed = {**contents(tmp_path / "plain"), "policy-config.json": profile(name)}
    assert contents(tmp_path / name) == changed


def test_refuses_an_unknown_profile(tmp_path: Path) -> None:
    """Wrong usage, exit code 2, and nothing is written."""
    done = init(tmp_path / "pack", "--profile", "paranoid")
    assert done.exit_code == 2
    assert done.stderr.endswith("'paranoid' is not one of 'baseline', 'strict', 'soc2'.\n")
    assert not (tmp_path / "pack").exists()


class TestRefuses:
    """Folders that it doesn't write to: one line, exit code 2, and nothing is changed."""

    def test_a_folder_with_files(self, tmp_path: Path) -> None:
        """Nobody's files are overwritten, hidden ones included."""
        for name in ("kept", ".kept"):
            folder = tmp_path / f"with-{name}"
            folder.mkdir()
            (folder / name).write_text("mine")
            done = init(folder)
            assert (done.exit_code, done.stdout) == (2, "")
            assert done.stderr.splitlines()[-1] == (
                f"Error: {folder} isn't empty; name a folder that is empty or doesn't exist"
            )
            assert contents(folder) == {name: "mine"}

    def test_a_pack_of_its_own(self, tmp_path: Path) -> None:
        """A second call doesn't reset what its user has changed."""
        assert init(tmp_path / "pack").exit_code == 0
        (tmp_path / "pack" / "own_rules.py").write_text("OWN_RULES = ()\n")
        assert init(tmp_path / "pack").exit_code == 2
        assert contents(tmp_path / "pack")["own_rules.py"] == "OWN_RULES = ()\n"

    def test_a_file(self, tmp_path: Path) -> None:
        """A file, and a path below one, are no folder."""
        file = tmp_path / "file"
        file.write_text("mine")
        done = init(file)
        assert done.exit_code == 2
        assert done.stderr.splitlines()[-1] == f"Error: Invalid value for 'DIRECTORY': Directory '{file}' is a file."
        done = init(file / "pack")
        assert done.exit_code == 2
        assert done.stderr.splitlines()[-1] == f"Error: {file / 'pack'} can't be written: Not a directory"
        assert file.read_text() == "mine"

    def test_a_name_that_cannot_be(self, tmp_path: Path) -> None:
        """What the system says about it is passed on."""
        folder = tmp_path / ("x" * 300)
        done = init(folder)
        assert done.exit_code == 2
        assert done.stderr.splitlines()[-1] == f"Error: {folder} can't be written: File name too long"

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        """Likewise, for those who aren't allowed to."""
        tmp_path.chmod(0o500)
        done = init(tmp_path)
        tmp_path.chmod(0o700)
        assert done.exit_code == 2
        assert done.stderr.splitlines()[-1] == f"Error: {tmp_path} can't be written: Permission denied"


def from_base(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in the interpreter outside of any virtual environment, with this environment alone."""
    packages = [path for path in sys.path if path.endswith("-packages")]
    code = "import sys; from pulumi_ampersand_policies.cli import main; main(sys.argv[1:])"
    path = os.pathsep.join([str(ROOT / "provider"), str(ROOT / "policies"), *packages])
    return subprocess.run(
        [BASE, "-s", "-c", code, "pack", "init", str(folder), *arguments],
        env={"PYTHONPATH": path, "PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestInterpreter:
    """In which Python a pack runs: it has to be one with these rules."""

    @pytest.mark.skipif(not IN_VIRTUALENV, reason="these tests run outside of a virtual environment")
    def test_the_virtual_environment_of_the_command(self, tmp_path: Path) -> None:
        """From a virtual environment: that one, activated or not."""
        done = init(tmp_path / "pack")
        assert done.stderr == ""
        assert project(tmp_path / "pack") == {
            "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}},
            "description": "Gates deployments on the health of Ampersand connections",
        }

    @pytest.mark.parametrize("name", ["venv", "../.venv", "über # weg: \"x\" 'y' \\z", "\U0001f4e6"])
    def test_another_virtual_environment(self, tmp_path: Path, name: str) -> None:
        """``--virtualenv`` names it, whatever characters are in its name; it need not be there yet."""
        done = init(tmp_path / "pack", "--virtualenv", name)
        assert (done.exit_code, done.stderr) == (0, "")
        assert project(tmp_path / "pack")["runtime"] == {"name": "python", "options": {"virtualenv": name}}

    @pytest.mark.skipif(not BASE.is_file(), reason="there is no interpreter outside of virtual environments")
    def test_outside_of_virtual_environments(self, tmp_path: Path) -> None:
        """Then the Python that Pulumi finds by itself; where that is another, a note says how to name this one."""
        for number, environment in enumerate(
            (
                {"PATH": str(BASE.parent)},
                {"PULUMI_PYTHON_CMD": str(BASE)},
                {"PULUMI_PYTHON_CMD": str(BASE), "PATH": "/"},
            )
        ):
            done = from_base(tmp_path / f"found{number}", **environment)
            assert (done.returncode, done.stderr) == (0, ""), environment
            assert project(tmp_path / f"found{number}")["runtime"] == "python"

        done = from_base(tmp_path / "another")
        assert (done.returncode, done.stdout.partition(":")[0]) == (0, "Wrote a policy pack. Run")
        assert done.stderr == (
            "It needs this Python, which isn't the one that Pulumi finds: "
            f"set PULUMI_PYTHON_CMD={BASE}, or name a virtual environment with --virtualenv\n"
        )
        assert project(tmp_path / "another")["runtime"] == "python"

        named = from_base(tmp_path / "named", "--virtualenv", "venv")
        assert named.stderr == ""

    @pytest.mark.skipif(not (BASE.is_file() and IN_VIRTUALENV), reason="there are no two environments")
    def test_beside_an_activated_virtual_environment(self, tmp_path: Path) -> None:
        """A virtual environment's Python is another one than that which it is a link to: it has other packages."""
        done = from_base(tmp_path / "pack", PATH=str(Path(sys.prefix) / "bin"))
        assert done.stderr.startswith("It needs this Python, which isn't the one that Pulumi finds: ")

    @pytest.mark.skipif(not BASE.is_file(), reason="there is no interpreter outside of virtual environments")
    def test_a_command_without_a_folder(self, tmp_path: Path) -> None:
        """``PULUMI_PYTHON_CMD`` may be a name to be found on PATH, as it may for Pulumi."""
        done = from_base(tmp_path / "pack", PATH=str(BASE.parent), PULUMI_PYTHON_CMD=BASE.name)
        assert done.stderr == ""


class TestOwnRules:
    """The example of a rule of one's own."""

    def test_it_is_short(self, tmp_path: Path) -> None:
        """The function takes four lines, with metadata and import it takes less than twenty."""
        init(tmp_path / "pack")
        text = (tmp_path / "pack" / "own_rules.py").read_text("utf-8")
        tree = ast.parse(text)
        (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        code = [node for node in tree.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
        lengths = [(node.end_lineno or 0) - node.lineno + 1 for node in code]
        assert (function.end_lineno or 0) - function.lineno + 1 <= 6
        assert sum(lengths) <= 20

    def test_its_tests_pass(self, tmp_path: Path) -> None:
        """With pytest, from anywhere, and without a warning."""
        init(tmp_path / "pack")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path / "pack")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1].startswith("2 passed in ")

    def test_its_tests_can_fail(self, tmp_path: Path) -> None:
        """A rule that finds nothing fails the one about what breaks it."""
        init(tmp_path / "pack")
        rules = tmp_path / "pack" / "own_rules.py"
        rules.write_text(rules.read_text().replace("is None or not", "is None and not"))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "pack")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 1
        assert "named-customers doesn't say what is expected" in done.stdout
        assert done.stdout.splitlines()[-1].startswith("1 failed, 1 passed in ")

    def test_what_the_readme_says_of_its_configuration(self, tmp_path: Path) -> None:
        """The check that the pack's README names takes a configuration of the pack's own rules."""
        init(tmp_path / "pack")
        readme = (tmp_path / "pack" / "README.md").read_text()
        assert "pulumi-ampersand config check --own own_rules:OWN_RULES policy-config.json" in readme
        file = tmp_path / "pack" / "policy-config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "named-customers": "mandatory"}))
        command = [sys.executable, "-c", "from pulumi_ampersand_policies.cli import main; main()"]
        for arguments, line in (
            (["config", "check", "--own", "own_rules:OWN_RULES", file.name], "named-customers         mandatory"),
            (
                ["rules", "--own", "own_rules:OWN_RULES"],
                "named-customers         advisory   low       Every",
            ),
        ):
            done = subprocess.run(
                [*command, *arguments], cwd=file.parent, capture_output=True, text=True, check=True, timeout=60
            )
            assert line in done.stdout
        wrong = CliRunner().invoke(main, ["rules", "--own", "nowhere:OWN"])
        assert wrong.exit_code == 2
        assert "nowhere:OWN can't be loaded: ModuleNotFoundError: No module named 'nowhere'" in wrong.stderr


READING = """
import pulumi_ampersand as ampersand

ampersand.Connections("all")
"""
NAMELESS = "conn_koyo_slack"


def of(violations: list[Violation], rule: str) -> list[tuple[str, str, str]]:
    """Level, resource and connection of a rule's violations."""
    return [
        (violation.level, violation.resource, violation.message.split(" ")[0])
        for violation in violations
        if violation.rule == rule
    ]


@pytest.mark.engine
def test_a_pack_runs(tmp_path: Path, engine: Path, sandbox: Sandbox) -> None:
    """It is quiet in a stack without connections; in one with a gate or a data source its rules and ours judge them.

    Its own rule is configured and waived like ours, and its name and version are what its users choose.
    """
    folder = tmp_path / "pack"
    assert init(folder).exit_code == 0
    file = folder / "policy-config.json"
    arguments = ["--policy-pack", str(folder), "--policy-pack-config", str(file)]
    (koyo,) = [sent for sent in sandbox.connections if sent["id"] == NAMELESS]
    sandbox.update(NAMELESS, group={**koyo["group"], "groupName": ""})
    stack = Stack(tmp_path / "stack", engine, "", sandbox.environment)

    quiet = stack.preview(*arguments, check=True)
    assert quiet.violations == []
    assert f"ampersand@v{__version__}" in quiet.out

    stack.write(READING)
    source = stack.preview(*arguments)
    assert source.code != 0
    assert of(source.violations, "named-customers") == [("advisory", "all", NAMELESS)]
    assert of(source.violations, "no-bad-credentials") == [("mandatory", "all", "conn_tidewell_salesforce")]
    (own,) = [violation for violation in source.violations if violation.rule == "named-customers"]
    assert own.message.endswith(f"its customer has no name. Name the group of connection {NAMELESS} in Ampersand")

    program = (folder / "__main__.py").read_text()
    named = program.replace("OWN_RULES])", 'OWN_RULES], name="ours", version="1.2.3")')
    assert named != program
    (folder / "__main__.py").write_text(named)
    waiver = {"connection": "conn_koyo_*", "reason": "tests", "approvedBy": "jo", "expires": "9999-12-31"}
    file.write_text(
        json.dumps(
            {
                "all": "disabled",
                "token-expiry": "advisory",
                "named-customers": {"enforcementLevel": "mandatory", "waivers": [waiver]},
            }
        )
    )
    sandbox.update("conn_lumen_gong", group=None)
    stack.write("")
    stack.configure("ampersand:gate", "true")
    gate = stack.preview(*arguments)
    assert gate.code != 0
    assert "ours@v1.2.3" in gate.out
    assert f"ampersand@v{__version__}" not in gate.out
    assert of(gate.violations, "named-customers") == [
        ("mandatory", "test-dev", "conn_lumen_gong"),
        ("advisory", "test-dev", NAMELESS),
    ]
    assert {violation.rule for violation in gate.violations} == {"named-customers", "token-expiry"}
