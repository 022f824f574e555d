"""The command ``pulumi-ampersand doctor``: what it finds, what mends it, and that it never hides a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from importlib.metadata import requires, version
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

import pulumi_ampersand
import pulumi_ampersand_policies
from pulumi_ampersand import __version__
from pulumi_ampersand.sandbox import Project, Sandbox
from pulumi_ampersand_policies.cli import main
from pulumi_ampersand_policies.doctor.api import reachability
from pulumi_ampersand_policies.doctor.engine import engine as look_at_engine
from pulumi_ampersand_policies.doctor.installation import Requirement, in_range
from pulumi_ampersand_policies.doctor.note import Mark, Note
from pulumi_ampersand_policies.doctor.packs import packs
from raw_server import RawServer, answer

BIN = Path(sys.executable).parent
INSTALL = {"darwin": "run: brew install pulumi/tap/pulumi", "win32": "run: choco install pulumi"}.get(
    sys.platform, "run: curl -fsSL https://get.pulumi.com | sh"
)
THIS_PYTHON = f"run: export PULUMI_PYTHON_CMD={sys.executable}"
PULUMI = next(each for each in map(Requirement.parse, requires("pulumi-ampersand") or ()) if each.name == "pulumi")


class Found(NamedTuple):
    """What the command said.

    Attributes:
        code: Its exit code.
        out: Its standard output.
        err: Its standard error.
    """

    code: int
    out: str
    err: str

    def of(self, subject: str) -> list[str]:
        """The lines about one subject: mark and text, with one space between them."""
        lines = [line for line in self.out.splitlines() if line[9:25].strip() == subject]
        return [f"{line[:7].strip()} {line[27:]}" for line in lines]


def run(*arguments: str | Path, folder: Path, path: Path | str | None = None, **environment: str) -> Found:
    """Run the command in a folder, without the user's own settings.

    Args:
        arguments: Its arguments.
        folder: The current folder.
        path: All of PATH; by default, an empty folder.
        environment: More environment variables.
    """
    empty = folder / ".empty"
    empty.mkdir(exist_ok=True)
    done = subprocess.run(
        [BIN / "pulumi-ampersand", "doctor", *arguments],
        cwd=folder,
        env={"PATH": str(path or empty), "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr
    return Found(done.returncode, done.stdout, done.stderr)


def program(folder: Path, name: str, script: str) -> Path:
    """A small program that fails in some way."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


class TestInstallation:
    """Python, this package, what it needs and its extras."""

    def test_what_is_installed_is_told_with_versions(self, tmp_path: Path) -> None:
        """One line each for Python and this package, one for all packages, one for each extra."""
        found = run("--offline", folder=tmp_path)
        python = ".".join(map(str, sys.version_info[:3]))
        assert found.of("Python") == [f"ok {python}, {sys.executable}"]
        assert found.of("pulumi-ampersand") == [f"ok {__version__}"]
        needed = [Requirement.parse(line) for line in requires("pulumi-ampersand") or ()]
        assert found.of("packages") == [
            "ok " + ", ".join(f"{each.name} {version(each.name)}" for each in needed if not each.extra)
        ]
        assert found.of("extra sandbox") == [
            "ok " + ", ".join(f"{each.name} {version(each.name)}" for each in needed if each.extra == "sandbox")
        ]

    def test_its_own_requirements_are_understood(self) -> None:
        """Each is a name and bounds of the two kinds that are compared."""
        lines = requires("pulumi-ampersand") or []
        assert lines
        for line in lines:
            requirement = Requirement.parse(line)
            assert line.partition(";")[0].replace(" ", "") == requirement.text
            assert ("extra ==" in line) == bool(requirement.extra)
            assert isinstance(in_range("1.0", requirement.range), bool)

    @pytest.mark.parametrize(
        ("found", "range_", "expected"),
        [
            ("3.216.0", ">=3.216.0,<4", True),
            ("3.216", ">=3.216.0,<4", True),
            ("3.215.9", ">=3.216.0,<4", False),
            ("3.1000.1", "<4,>=3.216.0", True),
            ("4.0.0", "<4,>=3.216.0", False),
            ("v3.260.0-alpha.1+dirty", "<4,>=3.216.0", True),
            ("3.9.18", ">=3.10", False),
            ("3.14.0rc1", ">=3.10", True),
            ("unknown", ">=0.1", False),
        ],
    )
    def test_versions_are_compared_by_number(self, found: str, range_: str, expected: bool) -> None:
        """Not as text, and however many parts they have."""
        assert in_range(found, range_) is expected

    def test_what_is_missing_or_too_old(self, tmp_path: Path) -> None:
        """A line for each with the command that mends it; what is in order is told all the same."""
        folder = tmp_path / "path" / f"pulumi_ampersand-{__version__}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: pulumi-ampersand\nVersion: {__version__}\nRequires-Python: >=3.99\n"
            "Requires-Dist: click<99,>=8\nRequires-Dist: httpx>=99\nRequires-Dist: no-such-package<2,>=1\n"
            "Provides-Extra: sandbox\nRequires-Dist: starlette<0.1; extra == 'sandbox'\n"
            "Provides-Extra: html\nRequires-Dist: no-such-charts>=1; extra == 'html'\n"
        )
        found = run("--offline", folder=tmp_path, PYTHONPATH=str(folder.parent))
        pip = f"run: {sys.executable} -m pip install"
        python = ".".join(map(str, sys.version_info[:3]))
        assert found.of("Python") == [
            f"problem {python}, {sys.executable}; >=3.99 is needed; install it, and this package with it"
        ]
        assert found.of("packages") == [
            f"problem httpx {version('httpx')}; >=99 is needed; {pip} 'httpx>=99'",
            f"problem no-such-package is missing; <2,>=1 is needed; {pip} 'no-such-package<2,>=1'",
            f"ok click {version('click')}",
        ]
        assert found.of("extra sandbox") == [
            f"problem starlette {version('starlette')}; <0.1 is needed; {pip} 'starlette<0.1'"
        ]
        assert found.of("extra html") == [f"info not installed; {pip} 'pulumi-ampersand[html]'"]
        assert found.code == 1

    def test_works_where_next_to_nothing_is_installed(self, tmp_path: Path, sandbox: Sandbox) -> None:
        """Without HTTP, the SDK and its own metadata it says what it can't look at, without a traceback."""
        path = tmp_path / "path"
        path.mkdir()
        for package in (click, pulumi_ampersand, pulumi_ampersand_policies):
            source = Path(str(package.__file__)).parent
            (path / source.name).symlink_to(source)
        code = f"import sys; sys.path.insert(0, {str(path)!r}); from pulumi_ampersand_policies.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-S", "-c", code, "doctor"],
            env={"PATH": str(path), **sandbox.environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        found = Found(done.returncode, done.stdout, done.stderr)
        assert found.code == 1
        (line,) = found.of("pulumi-ampersand")
        assert line.startswith(
            f"warning pulumi-ampersand {__version__} is on the path of {sys.executable}, but not inst"
        )
        assert found.of("API key") == ["ok AMP_API_KEY is set"]
        assert found.of("doctor") == [
            (
                "problem one check failed: ModuleNotFoundError: No module named 'httpx'; the packages it needs may be "
                "broken"
            )
        ]


class TestEngine:
    """The Pulumi command line and its Python language host."""

    def test_none(self, tmp_path: Path) -> None:
        """It says how to install it, and nothing of a language host."""
        found = run("--offline", folder=tmp_path)
        assert found.of("pulumi CLI") == [f"problem there is no pulumi on PATH; {INSTALL}"]
        assert found.of("language host") == []

    def test_too_old(self, tmp_path: Path) -> None:
        """What is needed is what is needed of the SDK, which has the same version numbers."""
        pulumi = program(tmp_path / "bin", "pulumi", "echo v3.99.0")
        host = program(tmp_path / "bin", "pulumi-language-python", "exit 1")
        found = run("--offline", folder=tmp_path, path=pulumi.parent)
        assert found.of("pulumi CLI") == [f"problem v3.99.0, {pulumi}; {PULUMI.range} is needed; {INSTALL}"]
        assert found.of("language host") == [f"ok {host}"]

    @pytest.mark.parametrize(
        ("script", "said"),
        [
            ("echo 'error: no home' >&2; exit 3", "fails: error: no home"),
            ("exit 3", "fails: exit code 3"),
            ("kill -9 $$", "fails: exit code -9"),
            ("printf 'usage: \\033[31mother\\n'", 'says "usage: [31mother", not its version'),
            ("", 'says "", not its version'),
        ],
        ids=["fails", "silent", "killed", "another-program", "says-nothing"],
    )
    def test_a_program_that_is_no_pulumi(self, tmp_path: Path, script: str, said: str) -> None:
        """What it said is quoted, in one line that is safe on a terminal."""
        pulumi = program(tmp_path / "bin", "pulumi", script)
        found = run("--offline", folder=tmp_path, path=pulumi.parent)
        assert found.of("pulumi CLI") == [f"problem {pulumi} {said}; {INSTALL}"]
        assert found.code == 1

    def test_a_file_that_cannot_be_run(self, tmp_path: Path) -> None:
        """Its interpreter is missing."""
        pulumi = program(tmp_path / "bin", "pulumi", "")
        pulumi.write_text("#!/no/such/interpreter\n")
        found = run("--offline", folder=tmp_path, path=pulumi.parent)
        assert found.of("pulumi CLI") == [f"problem {pulumi} can't be run: No such file or directory; {INSTALL}"]

    def test_one_that_hangs_is_given_up(self, tmp_path: Path) -> None:
        """After a bounded time."""
        pulumi = program(tmp_path / "bin", "pulumi", "exec /bin/sleep 60")
        notes = list(look_at_engine({"PATH": str(pulumi.parent)}, seconds=0.2))
        assert notes[0] == Note(Mark.PROBLEM, "pulumi CLI", f"{pulumi} doesn't answer within 0.2 s", INSTALL)

    def test_a_language_host_beside_the_real_file(self, tmp_path: Path) -> None:
        """The engine finds it there, so a link on PATH is enough."""
        pulumi = program(tmp_path / "real", "pulumi", "echo v3.259.0")
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "pulumi").symlink_to(pulumi)
        found = run("--offline", folder=tmp_path, path=tmp_path / "bin")
        link = tmp_path / "bin" / "pulumi"
        assert found.of("language host") == [
            f"problem there is no pulumi-language-python on PATH or beside {link}; {INSTALL}"
        ]
        host = program(tmp_path / "real", "pulumi-language-python", "exit 1")
        found = run("--offline", folder=tmp_path, path=tmp_path / "bin")
        assert found.of("pulumi CLI") == [f"ok v3.259.0, {link}"]
        assert found.of("language host") == [f"ok {host}"]


class TestPacks:
    """Policy packs, and the Python that the engine runs them with."""

    @pytest.fixture
    def pack(self, tmp_path: Path) -> Path:
        """A pack of ``pack init``."""
        folder = tmp_path / "ampersand-pack"
        assert CliRunner().invoke(main, ["pack", "init", str(folder)]).exit_code == 0
        return folder

    def write(self, pack: Path, text: str) -> None:
        """Replace a pack's project file."""
        (pack / "PulumiPolicy.yaml").write_text(text)

    def test_none(self, tmp_path: Path) -> None:
        """That is no problem; it says how to make one."""
        assert run("--offline", folder=tmp_path).of("pack") == [
            "info none in this folder; make one, run: pulumi-ampersand pack init ampersand-pack"
        ]

    @pytest.mark.parametrize("name", [".", "ampersand-pack", "policies"])
    def test_is_found_where_packs_usually_are(self, tmp_path: Path, pack: Path, name: str) -> None:
        """In this folder, or in the two that documentation and checkouts use."""
        folder = pack
        if name == "policies":
            folder = pack.rename(tmp_path / "policies")
        found = run("--offline", folder=folder if name == "." else tmp_path, path=BIN)
        assert found.of("pack") == [
            f"ok {name} runs pulumi-ampersand {__version__} and pulumi {version('pulumi')} with {BIN / 'python'}"
        ]

    def test_named_packs_are_looked_at_alone(self, tmp_path: Path, pack: Path) -> None:
        """Each of them, in the order given; one that is no pack is a problem."""
        self.write(pack, "runtime: python")
        found = run("--offline", "--pack", tmp_path / "none", "--pack", pack, folder=tmp_path, path=BIN)
        none, good = found.of("pack")
        assert none == (
            f"problem {tmp_path / 'none'}: there is no PulumiPolicy.yaml; "
            f"run: pulumi-ampersand pack init {tmp_path / 'none'}"
        )
        assert good.startswith(f"ok {pack} runs pulumi-ampersand {__version__} ")

    def test_a_virtual_environment_without_the_packages(self, tmp_path: Path, pack: Path) -> None:
        """The reason is Python's own; what mends it installs the pack's requirements there."""
        venv.create(pack / "venv", with_pip=False)
        self.write(pack, "runtime: {name: python, options: {virtualenv: venv}}")
        python = pack / "venv" / "bin" / "python"
        found = run("--offline", folder=tmp_path)
        assert found.of("pack") == [
            (
                f"problem ampersand-pack: {python} fails: ModuleNotFoundError: No module named 'pulumi'; "
                f"run: {python} -m pip install -r ampersand-pack/requirements.txt"
            )
        ]
        assert found.code == 1

    def test_a_virtual_environment_that_is_not_there(self, tmp_path: Path, pack: Path) -> None:
        """Pulumi makes it."""
        self.write(pack, "runtime: {name: python, options: {virtualenv: ../venv}}")
        install = "run: cd ampersand-pack && pulumi install"
        home = tmp_path / "venv"
        assert run("--offline", folder=tmp_path).of("pack") == [
            f"problem ampersand-pack: its virtual environment {home} doesn't exist; {install}"
        ]
        home.mkdir()
        assert run("--offline", folder=tmp_path).of("pack") == [
            f"problem ampersand-pack: its virtual environment {home} is no virtual environment; {install}"
        ]

    def test_the_python_on_path(self, tmp_path: Path, pack: Path) -> None:
        """Without a virtual environment it is python3 on PATH, whatever runs this command."""
        self.write(pack, "runtime: python")
        assert run("--offline", folder=tmp_path).of("pack") == [
            f"problem ampersand-pack: there is no python3 on PATH; {THIS_PYTHON}"
        ]
        python = program(tmp_path / "bin", "python3", "echo \"ModuleNotFoundError: No module named 'x'\" >&2; exit 1")
        assert run("--offline", folder=tmp_path, path=python.parent).of("pack") == [
            f"problem ampersand-pack: {python} fails: ModuleNotFoundError: No module named 'x'; {THIS_PYTHON}"
        ]

    def test_the_python_that_a_variable_names(self, tmp_path: Path, pack: Path) -> None:
        """PULUMI_PYTHON_CMD wins, and is a problem where it can't be run: what the problem's line says to set works."""
        self.write(pack, "runtime: python")
        assert run("--offline", folder=tmp_path, PULUMI_PYTHON_CMD="python9").of("pack") == [
            f"problem ampersand-pack: python9, which PULUMI_PYTHON_CMD names, can't be run; {THIS_PYTHON}"
        ]
        (line,) = run("--offline", folder=tmp_path, PULUMI_PYTHON_CMD=sys.executable).of("pack")
        assert line.startswith("ok ampersand-pack runs ")

    def test_another_version_of_this_package(self, tmp_path: Path, pack: Path) -> None:
        """It may judge differently: a warning, no problem."""
        self.write(pack, "runtime: python")
        python = program(tmp_path / "bin", "python3", """echo hello; echo '["3.250.0", "0.0.1"]'""")
        assert run("--offline", folder=tmp_path, path=python.parent).of("pack") == [
            (
                f"warning ampersand-pack runs pulumi-ampersand 0.0.1 and pulumi 3.250.0 with {python}, and this "
                f"command is {__version__}: they may judge differently; "
                f"run: {python} -m pip install pulumi-ampersand=={__version__}"
            )
        ]

    @pytest.mark.parametrize("said", ["", "echo", "echo hello", "echo '[1]'", "echo 1"])
    def test_a_python_that_says_nothing_of_use(self, tmp_path: Path, pack: Path, said: str) -> None:
        """It isn't taken for one that works."""
        self.write(pack, "runtime: python")
        python = program(tmp_path / "bin", "python3", said)
        assert run("--offline", folder=tmp_path, path=python.parent).of("pack") == [
            f"problem ampersand-pack: {python} doesn't say which packages it has; {THIS_PYTHON}"
        ]

    def test_a_python_that_hangs_is_given_up(self, tmp_path: Path, pack: Path) -> None:
        """After a bounded time."""
        self.write(pack, "runtime: python")
        python = program(tmp_path / "bin", "python3", "exec /bin/sleep 60")
        (check,) = packs([pack], {"PATH": str(python.parent)}, seconds=0.2)
        assert list(check()) == [
            Note(Mark.PROBLEM, "pack", f"{pack}: {python} doesn't answer within 0.2 s", THIS_PYTHON)
        ]

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("runtime: nodejs", "info ampersand-pack runs with nodejs, which isn't looked into"),
            (
                "runtime: {name: python, options: {toolchain: uv}}",
                "info ampersand-pack gets its Python from uv, which isn't looked into",
            ),
            ("{", "is no YAML: "),
            ("\x00", "is no YAML: "),
            ("- runtime", "names no runtime; "),
            ("runtime: [python]", "names no runtime; "),
            ("runtime: {name: python, options: venv}", "names no runtime; "),
        ],
        ids=["nodejs", "uv", "half", "control", "list", "runtime-list", "options-text"],
    )
    def test_other_project_files(self, tmp_path: Path, pack: Path, text: str, line: str) -> None:
        """Those of other languages and tools aren't looked into; broken ones are a problem."""
        self.write(pack, text)
        (found,) = run("--offline", folder=tmp_path).of("pack")
        if line.startswith("info"):
            assert found == line
        else:
            assert found.startswith(f"problem ampersand-pack: PulumiPolicy.yaml {line}")
            assert found.endswith("write it anew, as pulumi-ampersand pack init does")


class TestSettings:
    """The API key and root."""

    def test_no_key(self, tmp_path: Path) -> None:
        """A problem, and the API isn't asked."""
        found = run(folder=tmp_path)
        assert found.of("API key") == ["problem AMP_API_KEY is not set; run: export AMP_API_KEY=<key>"]
        assert found.of("API") == ["info not asked, for what that needs is missing"]

    def test_no_key_in_a_pulumi_project(self, tmp_path: Path) -> None:
        """A stack may hold one, which isn't looked at: a warning."""
        (tmp_path / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
        assert run("--offline", folder=tmp_path, AMP_API_KEY=" ").of("API key") == [
            (
                "warning AMP_API_KEY is not set; ampersand:apiKey of a stack isn't looked at, pulumi config says "
                "whether there is one; run: export AMP_API_KEY=<key>"
            )
        ]

    def test_the_default_root(self, tmp_path: Path) -> None:
        """It says that it is the default."""
        found = run("--offline", folder=tmp_path, AMP_API_KEY="made-up")
        assert found.of("API root") == ["ok https://api.withampersand.com, the default"]

    @pytest.mark.parametrize(
        ("settings", "problem"),
        [
            ({"AMP_API_URL": "http://127.0.0.1/v1"}, "is the root without /v1; set it to http://127.0.0.1"),
            ({"AMP_API_URL": "nonsense"}, "is no http or https URL; the default is https://api.withampersand.com"),
            (
                {"AMP_API_KEY": "sEcReT sEcReT"},
                "the API key is empty or has characters that no HTTP header can carry; ",
            ),
        ],
        ids=["v1", "no-url", "key"],
    )
    def test_what_cannot_be_used(self, tmp_path: Path, settings: dict[str, str], problem: str) -> None:
        """The settings' own sentence, and nothing is asked; the key isn't shown."""
        found = run(folder=tmp_path, **({"AMP_API_KEY": "made-up"} | settings))
        (first, second) = found.of("API")
        assert first.startswith("problem ")
        assert problem in first
        assert second == "info not asked, for what that needs is missing"
        assert "sEcReT" not in found.out

    def test_a_proxy_is_named_by_its_variable(self, tmp_path: Path) -> None:
        """Its value may hold a password. Whether it is to blame shows in the line on the API, too."""
        settings = {"AMP_API_KEY": "made-up", "AMP_API_URL": "http://api.invalid"}
        found = run(folder=tmp_path, HTTP_PROXY="http://jo:pa55@127.0.0.1:9", **settings)
        assert found.of("API root") == ["ok http://api.invalid, AMP_API_URL through the proxy in HTTP_PROXY"]
        assert found.of("API") == [
            (
                "problem it can't be reached through the proxy in HTTP_PROXY: listing projects at http://api.invalid: "
                "[Errno 111] Connection refused; check the network, proxy and ampersand:apiUrl (or AMP_API_URL)"
            )
        ]
        assert "pa55" not in found.out
        found = run("--offline", folder=tmp_path, HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="api.invalid", **settings)
        assert found.of("API root") == ["ok http://api.invalid, AMP_API_URL"]


class TestReachability:
    """Whether the API answers, takes the key and has the project."""

    def test_a_project_that_is_there(self, tmp_path: Path, sandbox: Sandbox) -> None:
        """Named by name in the environment, or by ID as an option, which wins."""
        found = run(folder=tmp_path, **sandbox.environment)
        assert found.of("API root") == [f"ok {sandbox.url}, AMP_API_URL"]
        assert found.of("API") == ["ok the key is accepted, and can read quickstart"]
        assert found.of("project") == ["ok quickstart"]
        named = {**sandbox.environment, "AMP_PROJECT": "other"}
        assert run("--project", "proj_quickstart", folder=tmp_path, **named).of("project") == ["ok proj_quickstart"]
        assert sandbox.counts == {"projects": 2}

    def test_no_project_chosen(self, tmp_path: Path, sandbox: Sandbox) -> None:
        """No problem; it says how to choose one of those there are."""
        found = run(folder=tmp_path, **(sandbox.environment | {"AMP_PROJECT": ""}))
        assert found.of("project") == [
            "info none is chosen; give commands --project, or run: export AMP_PROJECT=quickstart"
        ]

    def test_a_project_that_is_not_there(self, tmp_path: Path, sandbox: Sandbox) -> None:
        """A problem, with the nearest name and all the names."""
        found = run("--project", "quickstrat", folder=tmp_path, **sandbox.environment)
        assert found.of("project") == [
            (
                'problem "quickstrat" is none that the key can read (did you mean "quickstart"?); '
                "give --project, or set AMP_PROJECT, to one of quickstart"
            )
        ]
        assert found.code == 1

    def test_many_projects_with_hostile_names(self, tmp_path: Path) -> None:
        """Ten are named, none of them steers the terminal, and the others are counted."""
        names = ["a\x1b[2J\u202e\nb", *(f"p{number}" for number in range(11))]
        with Sandbox("healthy", projects=[Project(id=f"id{name}", name=name) for name in names]) as sandbox:
            found = run(folder=tmp_path, **sandbox.environment)
        shown = ", ".join(["a[2J b", *(f"p{number}" for number in range(9))])
        assert found.of("API") == [f"ok the key is accepted, and can read {shown} and 2 more"]

    def test_a_key_without_projects(self, tmp_path: Path) -> None:
        """A warning."""
        with RawServer(answer(b"[]")) as server:
            found = run(folder=tmp_path, AMP_API_URL=server.url, AMP_API_KEY="made-up")
        assert found.of("API") == ["warning the key is accepted, but can read no project; use another key"]

    def test_a_wrong_key(self, tmp_path: Path, sandbox: Sandbox) -> None:
        """The API's words and what to set; the key itself isn't shown."""
        found = run(folder=tmp_path, **(sandbox.environment | {"AMP_API_KEY": "wRoNg-0123"}))
        (line,) = found.of("API")
        assert line.startswith(f"problem it refuses the key: listing projects at {sandbox.url}: 401 The API key is not")
        assert "Set AMP_API_KEY" in line
        assert found.code == 1

    @pytest.mark.parametrize("fault", ["401", "key-echo", "503"])
    def test_the_key_is_never_shown(self, tmp_path: Path, sandbox: Sandbox, fault: str) -> None:
        """Neither where it is accepted nor where a server sends it back."""
        sandbox.faults = [f"{fault},after=1"]
        for _ in range(2):
            found = run(folder=tmp_path, **sandbox.environment)
            assert sandbox.api_key not in found.out + found.err

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            ("403", "problem the key may not list projects: listing projects at URL: 403 "),
            ("503", "problem it fails: listing projects at URL: 503 "),
            ("html", "problem it fails: listing projects at URL: 502 Bad Gateway"),
            ("429", "warning it asks for a pause: listing projects at URL: 429 "),
            ("404", "problem what answers isn't the API: listing projects at URL: 404 "),
            ("redirect", "problem what answers isn't the API: listing projects at URL: 302 redirect to https://elsewh"),
            ("html,status=200", "problem what answers isn't the API: listing projects at URL: expected a JSON array "),
            ("not-a-list", "problem what answers isn't the API: listing projects at URL: expected a JSON array of "),
            ("empty", "problem what answers isn't the API: listing projects at URL: expected a JSON array of "),
            ("hang-up", "problem it can't be reached: listing projects at URL: Server disconnected"),
            ("cut-off", "problem it can't be reached: listing projects at URL: peer closed connection"),
        ],
    )
    def test_what_an_api_does_wrong(self, tmp_path: Path, sandbox: Sandbox, fault: str, said: str) -> None:
        """Each is told apart, in one line, after one request; nothing is said of projects."""
        sandbox.faults = [fault]
        found = run(folder=tmp_path, **sandbox.environment)
        (line,) = found.of("API")
        assert line.replace(sandbox.url, "URL").startswith(said)
        assert found.of("project") == []
        assert len(sandbox.requests) == 1

    def test_a_server_that_is_down(self, tmp_path: Path, sandbox: Sandbox) -> None:
        """It names the root."""
        environment = sandbox.environment
        sandbox.stop()
        assert run(folder=tmp_path, **environment).of("API") == [
            (
                f"problem it can't be reached: listing projects at {environment['AMP_API_URL']}: "
                "[Errno 111] Connection refused; check the network, proxy and ampersand:apiUrl (or AMP_API_URL)"
            )
        ]

    def test_a_certificate_that_nobody_knows(self, tmp_path: Path) -> None:
        """It says how to have it trusted."""
        with RawServer(answer(b"[]"), tls=True) as server:
            (line,) = run(folder=tmp_path, AMP_API_URL=server.url, AMP_API_KEY="made-up").of("API")
        assert line.startswith(f"problem its certificate isn't trusted: listing projects at {server.url}: ")
        assert "SSL_CERT_FILE" in line

    def test_a_server_without_tls(self, tmp_path: Path, sandbox: Sandbox) -> None:
        """An https root of a server that speaks http."""
        root = sandbox.url.replace("http:", "https:")
        (line,) = run(folder=tmp_path, AMP_API_URL=root, AMP_API_KEY="made-up").of("API")
        assert line.startswith(f"problem it doesn't speak TLS as expected: listing projects at {root}: ")

    def test_a_certificate_file_that_is_not_there(self, tmp_path: Path) -> None:
        """A setting of the computer's, told as such."""
        settings = {"AMP_API_URL": "https://127.0.0.1:9", "AMP_API_KEY": "made-up", "SSL_CERT_FILE": "/no/such/file"}
        (line,) = run(folder=tmp_path, **settings).of("API")
        assert line.startswith("problem it can't be asked: the proxy or certificate settings can't be used: ")

    def test_silence_is_given_up(self, sandbox: Sandbox) -> None:
        """After a bounded time."""
        sandbox.faults = ["slow:30"]
        (note,) = reachability(sandbox.environment, None, seconds=0.4)
        assert note.mark is Mark.PROBLEM
        assert note.found.startswith(f"it can't be reached: listing projects at {sandbox.url}: no answer after ")

    def test_offline(self, tmp_path: Path, sandbox: Sandbox) -> None:
        """Nothing is sent, and nothing said of what only the API knows."""
        found = run("--offline", folder=tmp_path, **sandbox.environment)
        assert sandbox.requests == []
        assert (found.of("API"), found.of("project")) == ([], [])


@pytest.mark.engine
def test_all_is_well(tmp_path: Path, engine: Path, sandbox: Sandbox) -> None:
    """With a real engine, a pack and a sandbox: every line is ok, in the order in which things are needed, exit 0."""
    assert CliRunner().invoke(main, ["pack", "init", str(tmp_path / "ampersand-pack")]).exit_code == 0
    path = os.pathsep.join([str(engine), str(BIN), "/usr/bin", "/bin"])
    found = run(folder=tmp_path, path=path, **sandbox.environment)
    lines = [line for line in found.out.splitlines() if "extra" not in line]
    assert [line[9:25].strip() for line in lines[:-1]] == [
        *("Python", "pulumi-ampersand", "packages", "pulumi CLI", "language host", "pack", "API key", "API root"),
        *("API", "project"),
    ]
    assert [line for line in lines[:-1] if not line.startswith("ok ")] == []
    assert (lines[-1], found.err, found.code) == ("No problem.", "", 0)
    assert found.of("language host") == [f"ok {engine / 'pulumi-language-python'}"]


def test_problems_and_warnings_are_counted(tmp_path: Path) -> None:
    """The last line, and the exit code: 1 for problems only."""
    found = run("--offline", folder=tmp_path)
    assert found.out.splitlines()[-1] == "2 problems."
    assert found.code == 1
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    found = run("--offline", folder=tmp_path)
    assert found.out.splitlines()[-1] == "1 problem, 1 warning."
    assert found.code == 1
    pulumi = program(tmp_path / "bin", "pulumi", "echo v3.259.0")
    program(tmp_path / "bin", "pulumi-language-python", "")
    found = run("--offline", folder=tmp_path, path=pulumi.parent)
    assert found.out.splitlines()[-1] == "1 warning."
    assert found.code == 0


@pytest.mark.parametrize(
    "arguments", [["--ofline"], ["extra"], ["--pack", __file__]], ids=["option", "argument", "file"]
)
def test_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    """Exit code 2, and nothing is looked at."""
    found = run(*arguments, folder=tmp_path)
    assert (found.code, found.out) == (2, "")


def shown_on_terminal(folder: Path, environment: Mapping[str, str]) -> str:
    """What the command writes to a terminal."""
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [BIN / "pulumi-ampersand", "doctor", "--offline"],
        cwd=folder,
        env={"PATH": str(folder), **environment},
        stdout=follower,
    ) as process:
        os.close(follower)
        written = b"".join(_read(leader))
        process.wait(60)
    os.close(leader)
    return written.decode()


def _read(leader: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end was closed
            return
        if not part:
            return
        yield part


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["terminal", "no-color", "dumb"],
)
def test_colour_on_terminals_only(tmp_path: Path, environment: dict[str, str], coloured: bool) -> None:
    """And the same words as without."""
    text = shown_on_terminal(tmp_path, environment)
    assert ("\x1b[31mproblem\x1b[0m  pulumi CLI " in text) is coloured
    assert ("problem  pulumi CLI " in text) is not coloured
    assert "\x1b" not in run("--offline", folder=tmp_path, **environment).out


def test_a_terminal_that_knows_little(tmp_path: Path) -> None:
    """Characters that its encoding lacks become question marks."""
    with Sandbox("healthy", projects=[Project(id="x", name="Überall")]) as sandbox:
        found = run(folder=tmp_path, PYTHONIOENCODING="ascii", **sandbox.environment)
    assert found.of("API") == ["ok the key is accepted, and can read ?berall"]


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    """While another program hangs: exit code 130, and that program ends, too."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program(tmp_path / "bin", "pulumi", f"exec 3> {fifo}; echo started >&3; exec /bin/sleep 60")
    with subprocess.Popen(
        [BIN / "pulumi-ampersand", "doctor", "--offline"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        with fifo.open() as held:
            assert held.readline() == "started\n"
            os.killpg(process.pid, signal.SIGINT)
            assert held.read() == ""
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "Interrupted.\n")
