"""The recipes in ``examples/ci``: their syntax, the commands that they run, and where their secrets stand."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from pulumi_ampersand import __version__
from pulumi_ampersand.sandbox import Sandbox
from pulumi_ampersand_policies.cli import main
from pulumi_ampersand_policies.configuration import parse
from stack import ROOT, Result, Stack, clean_environment

CI = ROOT / "examples" / "ci"
WORKFLOWS = sorted((CI / "github").glob("*.yml"))
PIPELINE = CI / "gitlab" / "ampersand.gitlab-ci.yml"
PREVIEW, AUDIT = "ampersand-preview", "ampersand-audit"
ENGINE_VERSION = re.findall(r"pulumi/sdk/v3 v([\d.]+)", (ROOT / "tests" / "engine" / "go.mod").read_text())[0]


def read(file: Path) -> dict[str, Any]:
    """A recipe as YAML 1.2, where ``on`` is text."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(file)
    return found


def jobs(file: Path) -> dict[str, Any]:
    """A recipe's jobs by name."""
    content = read(file)
    found: dict[str, Any] = content.get("jobs", content)
    return found


def scripts(file: Path) -> list[str]:
    """What a recipe hands to the shell, in order: each step's lines, or each entry of a job's script."""
    return [
        script
        for job in jobs(file).values()
        for script in job.get("script", [step["run"] for step in job.get("steps", []) if "run" in step])
    ]


def commands(file: Path, program: str) -> list[list[str]]:
    """The words of each call of a program, without what the shell does around it."""
    found = []
    for script in scripts(file):
        for line in script.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            call: list[str] = []
            for word in [*lexer, ";"]:
                if word[0] not in ";&|()":
                    call.append(word)
                    continue
                if call and Path(call[0]).name == program:
                    found.append(call)
                call = []
    return found


def options(call: list[str]) -> set[str]:
    """The long options of a call."""
    return {word.partition("=")[0] for word in call if word.startswith("--")}


def ours(call: list[str]) -> tuple[str, set[str]]:
    """The name of the command that a call of our program leads to, and the options that it takes."""
    command: click.Command = main
    names: list[str] = []
    for word in call[1:]:
        if not isinstance(command, click.Group):
            break
        names.append(word)
        following = command.get_command(click.Context(command), word)
        assert following is not None, f"{' '.join(call)}: no such command"
        command = following
    return " ".join(names), {option for part in command.params for option in part.opts}


def places(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a document, with the keys that lead to it; a step's key is its name."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, f"{path}/{key}")
    elif isinstance(value, list):
        for item in value:
            yield from places(item, f"{path}/{item['name']}" if isinstance(item, dict) and "name" in item else path)


def tool(*arguments: str | Path) -> str:
    """Run a checker, offline; its output if it finds something."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr if done.returncode else ""


def check_schema(name: str, *files: Path) -> str:
    """Check files against one of the schemas that come with ``check-jsonschema``."""
    return tool(sys.executable, "-m", "check_jsonschema", "--builtin-schema", name, *files)


def test_workflows_are_valid() -> None:
    """GitHub's workflow syntax, and a time limit in each job."""
    assert [file.stem for file in WORKFLOWS] == [AUDIT, PREVIEW]
    assert check_schema("vendor.github-workflows", *WORKFLOWS) == ""
    assert check_schema("custom.github-workflows-require-timeout", *WORKFLOWS) == ""


def test_pipelines_are_valid(tmp_path: Path) -> None:
    """GitLab's pipeline syntax, the snippet in the description included, and a time limit in each job."""
    (snippet,) = re.findall(r"^ *```yaml\n(.*?)^ *```", (CI / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "snippet.yml").write_text(snippet)
    assert check_schema("vendor.gitlab-ci", PIPELINE, tmp_path / "snippet.yml") == ""
    assert {name for name, job in jobs(PIPELINE).items() if "timeout" in job} == {PREVIEW, AUDIT}


def test_the_schemas_find_mistakes(tmp_path: Path) -> None:
    """A misspelt key is found in either syntax, so the checks above can fail."""
    for file, key, schema in (
        (WORKFLOWS[0], "runs-on:", "vendor.github-workflows"),
        (WORKFLOWS[0], "timeout-minutes:", "custom.github-workflows-require-timeout"),
        (PIPELINE, "paths:", "vendor.gitlab-ci"),
    ):
        wrong = tmp_path / file.name
        wrong.write_text(file.read_text().replace(key, f"x{key}"))
        assert check_schema(schema, wrong) != "", (key, schema)


def test_workflows_are_secure() -> None:
    """``zizmor`` has nothing to say, at its strictest: pins, permissions, injection, credentials, environments."""
    zizmor = Path(sys.executable).parent / "zizmor"
    strict = ("--offline", "--no-config", "--no-ignores", "--strict-collection", "--persona", "auditor")
    assert tool(zizmor, *strict, *WORKFLOWS) == ""


def test_permissions_are_least() -> None:
    """Workflows have no permissions, jobs those that their steps need."""
    assert [read(file)["permissions"] for file in WORKFLOWS] == [{}, {}]
    granted = {name: job["permissions"] for file in WORKFLOWS for name, job in jobs(file).items()}
    assert granted == {
        "preview": {"contents": "read"},
        "audit": {"actions": "read", "contents": "read", "security-events": "write"},
    }


def test_secrets_reach_only_the_steps_that_need_them() -> None:
    """Secrets stand in the environment of the preview and the audit alone; GitLab's recipe writes none."""
    found = [place for file in WORKFLOWS for place, text in places(read(file)) if re.search(r"\$\{\{.*secrets", text)]
    assert found == [
        "/jobs/audit/steps/Audit/env/AMP_API_KEY",
        "/jobs/preview/steps/Preview/env/AMP_API_KEY",
        "/jobs/preview/steps/Preview/env/PULUMI_ACCESS_TOKEN",
    ]
    assert [text for _, text in places(read(PIPELINE)) if "AMP_API_KEY" in text or "ACCESS_TOKEN" in text] == []


def test_forks_are_refused() -> None:
    """A fork's pull request fails before anything of it is checked out; a fork's merge request gets no job."""
    first = jobs(CI / "github" / f"{PREVIEW}.yml")["preview"]["steps"][0]
    assert first["if"] == "github.event.pull_request.head.repo.full_name != github.repository"
    assert first["run"].endswith("exit 1\n")
    (rule,) = jobs(PIPELINE)[PREVIEW]["rules"]
    assert "&& $CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in rule["if"]


@pytest.mark.parametrize("file", [*WORKFLOWS, PIPELINE], ids=lambda file: file.stem)
def test_our_commands_exist(file: Path) -> None:
    """Every call of our program names a command and options that it has."""
    calls = commands(file, "pulumi-ampersand")
    assert {ours(call)[0] for call in calls} <= {"pack init", "config check", "audit"}
    assert calls
    for call in calls:
        assert options(call) <= ours(call)[1], " ".join(call)


@pytest.mark.engine
@pytest.mark.parametrize("file", [CI / "github" / f"{PREVIEW}.yml", PIPELINE], ids=["github", "gitlab"])
def test_pulumi_has_the_options(file: Path, engine: Path) -> None:
    """Every call of the engine uses options that the engine knows."""
    calls = commands(file, "pulumi")
    assert [call[1] for call in calls] == ["preview"]
    shown = subprocess.run(
        [engine / "pulumi", "preview", "--help"],
        env=clean_environment(engine),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert options(calls[0]) <= set(re.findall(r"--[a-z-]+", shown))


def test_versions_are_those_that_are_tested() -> None:
    """The recipes install this version of the package, and the engine that the tests run with."""
    assert f"\npulumi-ampersand=={__version__}\n" in (CI / "requirements.txt").read_text()
    steps = jobs(CI / "github" / f"{PREVIEW}.yml")["preview"]["steps"]
    assert [s["with"]["pulumi-version"] for s in steps if "pulumi-version" in s.get("with", {})] == [ENGINE_VERSION]
    assert jobs(PIPELINE)[PREVIEW]["image"].endswith(f":{ENGINE_VERSION}")


def test_the_configuration_is_accepted() -> None:
    """The sample fails closed, gates by itself and demands scopes."""
    configuration = parse((CI / "policy-config.json").read_text(), "policy-config.json")
    levels = {active.rule.id: active.enforcement.value for active in configuration.rules}
    for rule in ("required-scopes", "token-expiry", "verifiable-connections", "readable-connections"):
        assert levels[rule] == "mandatory"
    readable = configuration.active("readable-connections")
    assert readable is not None
    given = readable.options.model_dump(by_alias=True)
    assert (given["gate"]["projects"], given["require"]) == (["my-project"], True)


def test_what_is_to_be_set_is_described() -> None:
    """The description names every secret and variable that a recipe reads, and every file."""
    text = (CI / "README.md").read_text()
    recipes = "".join(file.read_text() for file in WORKFLOWS)
    names = set(re.findall(r"(?:secrets|vars)\.(\w+)", recipes))
    assert names == set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE))
    for file in (*WORKFLOWS, PIPELINE, CI / "policy-config.json", CI / "requirements.txt"):
        assert f"]({file.relative_to(CI).as_posix()})" in text


def lay_out(folder: Path, project: str) -> None:
    """Make a folder ``ampersand`` as a user would, for a project of the sandbox."""
    shutil.copytree(CI, folder / "ampersand")
    file = folder / "ampersand" / "policy-config.json"
    content = json.loads(file.read_text())
    content["readable-connections"]["gate"]["projects"] = [project]
    file.write_text(json.dumps(content))


def shell(script: str, folder: Path, environment: dict[str, str]) -> Result:
    """Run a script as CI's shell does."""
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.engine
@pytest.mark.parametrize("recipe", ["github", "gitlab"])
def test_the_preview_is_gated(recipe: str, tmp_path: Path, engine: Path, sandbox: Sandbox) -> None:
    """The recipe's own lines, with the folders that it makes, refuse a stack that knows nothing of connections."""
    stack = Stack(tmp_path / "program", engine, "", sandbox.environment)
    environment = stack.environment | {"STACK_NAME": "dev", "GITHUB_WORKSPACE": str(tmp_path)}
    installed = Path(sys.executable).parent.parent
    file = PIPELINE if recipe == "gitlab" else CI / "github" / f"{PREVIEW}.yml"
    lines = [s for s in scripts(file) if "pack init" in s or s.startswith("pulumi preview")]
    init = next(line for line in lines[0].splitlines() if "pack init" in line)
    if recipe == "github":
        (tmp_path / "gate").symlink_to(installed)
        lay_out(tmp_path / "policy", environment["AMP_PROJECT"])
        made = shell(init, tmp_path, environment)
    else:
        gate = tmp_path / "gate"
        gate.mkdir()
        (gate / "venv").symlink_to(installed)
        lay_out(gate, environment["AMP_PROJECT"])
        environment["gate"] = str(gate)
        made = shell(init, stack.folder, environment)
    assert made.code == 0, made.text
    refused = shell(lines[1], stack.folder, environment)
    assert refused.code != 0
    assert ("mandatory", "no-bad-credentials") in [violation[:2] for violation in refused.violations], refused.text


@pytest.mark.parametrize("recipe", ["github", "gitlab"])
def test_the_audit_leaves_its_reports(recipe: str, tmp_path: Path, sandbox: Sandbox) -> None:
    """The recipe's own lines end with the audit's exit code and leave the files that later steps take."""
    file = PIPELINE if recipe == "gitlab" else CI / "github" / f"{AUDIT}.yml"
    (script,) = [script for script in scripts(file) if "pulumi-ampersand audit" in script]
    environment = clean_environment(Path(sys.executable).parent) | sandbox.environment
    output = tmp_path / "output"
    lay_out(tmp_path, environment["AMP_PROJECT"])
    done = shell(script, tmp_path, environment | {"GITHUB_OUTPUT": str(output)})
    assert done.code == 1, done.text
    if recipe == "github":
        steps = jobs(file)["audit"]["steps"]
        taken = [step["with"][key] for step in steps for key in ("sarif_file", "path") if key in step.get("with", {})]
        assert output.read_text() == "code=1\n"
    else:
        artifacts = jobs(file)[AUDIT]["artifacts"]
        taken = [*artifacts["paths"], artifacts["reports"]["junit"]]
    assert sorted(taken) == sorted({"audit.json", "audit.sarif" if recipe == "github" else "audit.xml"})
    for name in taken:
        assert (tmp_path / name).stat().st_size > 0
