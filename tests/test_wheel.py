"""The built wheel, in an environment of its own, away from the checkout."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from pulumi_ampersand_policies.profiles import PROFILES
from pulumi_ampersand_policies.reports import FORMATS
from pulumi_ampersand_policies.rules import RULES
from stack import PACK, ROOT, Stack, clean_environment

CONSTRAINTS = ROOT / "tests" / "constraints.txt"
TEMPLATE = PACK / "pulumi_ampersand_policies" / "pack_template"


BY_PLUGIN = """
import pulumi

found = pulumi.runtime.invoke("ampersand:index:getConnections", {"provider": "salesforce"}).value["connections"]
pulumi.export("first", found[0]["id"])
pulumi.CustomResource("ampersand:index:Connections", "all", {"connections": None})
"""


def lowest(folder: Path) -> Path:
    """Constraints to the lowest versions that users may have."""
    wanted = metadata.requires("pulumi-ampersand") or []
    bounds = dict(re.findall(r"^([\w.-]+)[^>;]*>=([\w.]+)", "\n".join(wanted), re.MULTILINE))
    assert {"pulumi", "pulumi-policy", "httpx", "pydantic", "jsonschema", "jinja2", "uvicorn"} <= {*bounds}
    file = folder / "lowest.txt"
    file.write_text("".join(f"{name}=={version}\n" for name, version in bounds.items()), "utf-8")
    return file


def pip(python: Path, *arguments: str, constraints: Path = CONSTRAINTS) -> None:
    """Run pip, with the versions that the other tests run with, or others."""
    done = subprocess.run(
        [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        env=os.environ | {"PIP_CONSTRAINT": str(constraints)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


def test_holds_what_users_need_and_nothing_else(wheel: Path) -> None:
    """Both packages with their data, typing markers and licence; no tests, no examples."""
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "pulumi_ampersand/py.typed",
        "pulumi_ampersand/schemas/connections-v1.schema.json",
        "pulumi_ampersand/schemas/observations-v1.schema.json",
        "pulumi_ampersand/schemas/package.json",
        "pulumi_ampersand/sandbox/data_sets/mixed.json",
        "pulumi_ampersand_policies/py.typed",
        "pulumi_ampersand_policies/docs/README.md",
        *(f"pulumi_ampersand_policies/rules/{rule.id.replace('-', '_')}.py" for rule in RULES),
        *(f"pulumi_ampersand_policies/docs/{rule.id}.md" for rule in RULES),
        "pulumi_ampersand_policies/reports/forecast.schema.json",
        *(f"pulumi_ampersand_policies/reports/report.{kind}" for kind in ("css", "html.jinja", "js", "schema.json")),
        *(f"pulumi_ampersand_policies/profiles/{name}.json" for name in PROFILES),
        *(f"pulumi_ampersand_policies/pack_template/{path.name}" for path in TEMPLATE.iterdir() if path.is_file()),
    ):
        assert needed in names
    assert [name for name in names if name.endswith(".pyc") or "__pycache__" in name] == []
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "pulumi_ampersand",
        "pulumi_ampersand_policies",
    }


@pytest.mark.engine
@pytest.mark.parametrize("versions", ["pinned", "lowest"])
def test_is_enough_for_all_that_users_do(wheel: Path, tmp_path: Path, engine: Path, versions: str) -> None:
    """In a new environment, the sandbox serves, stacks read it, an initialised pack and an audit refuse it.

    With the versions that are pinned for tests, and with the lowest that the package takes.
    """
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    constraints = CONSTRAINTS if versions == "pinned" else lowest(tmp_path)
    pip(programs / "python", "install", f"{wheel}[sandbox,html]", constraints=constraints)

    environment = clean_environment(engine)
    environment["PATH"] = os.pathsep.join((str(engine), str(programs), environment["PATH"]))
    program = programs / "pulumi-ampersand"

    def told(*arguments: str, code: int = 0, **variables: str) -> str:
        command = [str(program), *arguments]
        env = environment | variables
        done = subprocess.run(command, cwd=tmp_path, env=env, check=False, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Warning" not in done.stderr
        return done.stdout

    assert [line.split()[0] for line in told("rules").splitlines()] == [rule.id for rule in RULES]
    assert told("rules", "show", "token-expiry").startswith("# token-expiry\n")
    assert "token-expiry" in json.loads(told("config", "schema"))["properties"]
    told("pack", "init", "pack", "--profile", "soc2")
    assert told("config", "check", str(Path("pack", "policy-config.json"))).splitlines()[0].split() == [
        "no-bad-credentials",
        "mandatory",
    ]
    with subprocess.Popen(
        [program, "sandbox", "--scenario", "mixed", "--port", "0"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as sandbox:
        try:
            assert sandbox.stdout is not None
            lines = [sandbox.stdout.readline() for _ in range(4)]
            exports = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines[1:])
            quickstart = (ROOT / "examples" / "quickstart" / "__main__.py").read_text(encoding="utf-8")
            stack = Stack(tmp_path / "stack", engine, quickstart, {"PATH": environment["PATH"], **exports})
            pack = tmp_path / "pack"
            preview = stack.preview(
                "--policy-pack", str(pack), "--policy-pack-config", str(pack / "policy-config.json")
            )
            told("plugin", "install", code=0, **stack.environment)
            stack.write(BY_PLUGIN)
            by_plugin = stack.preview(check=True, PULUMI_IGNORE_AMBIENT_PLUGINS="true")
            forms = [part for name in FORMATS for part in ("--format", f"{name}=audit.{name}")]
            told("audit", "--all-projects", "--save", "kept", *forms, code=1, **exports)
            told("forecast", "--input", str(Path("kept", "proj_quickstart.json")), "--days", "30", code=0)
        finally:
            sandbox.terminate()
    assert "conn_brightwater_salesforce" in preview.out, preview.text
    assert "[mandatory] [severity: critical]  no-bad-credentials" in preview.out
    assert preview.code != 0
    assert '"conn_brightwater_salesforce"' in by_plugin.out, by_plugin.text
    assert by_plugin.diagnostics == []
    assert sandbox.returncode == 0
    written = {name: (tmp_path / f"audit.{name}").read_text("utf-8") for name in FORMATS}
    assert all("no-bad-credentials" in text for text in written.values())
