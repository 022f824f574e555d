"""Other languages than Python: the SDKs that the engine generates, and the programs that it runs, with our hosts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.provision import EngineError
from languages import provide, sdks
from stack import Stack
from test_engine_language_host import runs, wait_for
from test_engine_provision import write_shell

pytestmark = pytest.mark.engine

TYPESCRIPT = """
import * as pulumi from "@pulumi/pulumi";
import * as ampersand from "@pulumi/ampersand";
const config = new pulumi.Config();
export const output = new pulumi.Stash("created", { input: config.require("word") }).output;
export const details: string = ampersand.Details.Never;
export const secret = config.requireSecret("hidden");
export const preview = pulumi.runtime.isDryRun();
"""
GO = """
package main

import (
	"example.com/pulumi-ampersand/sdk/go/ampersand"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		settings := config.New(ctx, "")
		stash, err := pulumi.NewStash(ctx, "created", &pulumi.StashArgs{Input: pulumi.String(settings.Require("word"))})
		if err != nil {
			return err
		}
		ctx.Export("output", stash.Output)
		ctx.Export("details", pulumi.String(ampersand.DetailsNever))
		ctx.Export("secret", settings.RequireSecret("hidden"))
		ctx.Export("preview", pulumi.Bool(ctx.DryRun()))
		return nil
	})
}
"""
YAML = """
resources:
  created:
    type: pulumi:index:Stash
    properties:
      input: ${word}
outputs:
  output: ${created.output}
  details: never
  secret: ${hidden}
  preview: false
"""
PROGRAMS = {"nodejs": ("index.ts", TYPESCRIPT), "go": ("main.go", GO), "yaml": ("Main.yaml", YAML)}
"""The same program in each language: its file and its text."""

FAILING = {
    "nodejs": 'import * as pulumi from "@pulumi/pulumi";\nthrow new pulumi.RunError("the reason");',
    "go": (
        'package main\nimport (\n"errors"\n"github.com/pulumi/pulumi/sdk/v3/go/pulumi"\n)\n'
        'func main() { pulumi.Run(func(*pulumi.Context) error { return errors.New("the reason") }) }'
    ),
    "yaml": "outputs:\n  output: ${the-reason}\n",
}
EXITING = {
    "nodejs": "process.exit(3);",
    "go": 'package main\nimport (\n"os"\n_ "github.com/pulumi/pulumi/sdk/v3/go/pulumi"\n)\nfunc main() { os.Exit(3) }',
}
ENDLESS = {
    "nodejs": (
        'require("fs").writeFileSync("processes", `${process.pid} ${process.ppid} `);\nsetInterval(() => 0, 1000);'
    ),
    "go": (
        'package main\nimport (\n"fmt"\n"os"\n"time"\n)\nfunc main() {\n'
        'os.WriteFile("processes", []byte(fmt.Sprintf("%d %d ", os.Getpid(), os.Getppid())), 0o600)\n'
        "time.Sleep(time.Hour)\n}"
    ),
}
"""Programs that write their own process's number and their host's, and never end."""


CHECK = ["--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext", "--types", "node"]
"""How the compiler looks at programs in TypeScript."""


@pytest.fixture(scope="module", autouse=True)
def toolchains(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables with which programs of all languages run. Where they can't be had, tests are skipped."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # building the hosts takes a minute, and says so
            provide.typescript_packages()
            return provide.toolchains()
    except EngineError as error:
        pytest.skip(f"no language hosts: {error}")


@pytest.fixture(params=PROGRAMS)
def runtime(request: pytest.FixtureRequest) -> str:
    """A runtime of Pulumi's."""
    name: str = request.param
    return name


def make_program(folder: Path, runtime: str, text: str, environment: dict[str, str]) -> Stack:
    """Make a stack whose program is in another language."""
    stack = Stack(folder, provide.hosts(), "", environment)
    (folder / "__main__.py").unlink()
    (folder / "Pulumi.yaml").write_text(
        f"name: test\nruntime: {runtime}\nconfig:\n  word: {{type: string}}\n  hidden: {{type: string, secret: true}}\n"
    )
    (folder / "package.json").write_text('{"main": "index.ts"}')
    (folder / PROGRAMS[runtime][0]).write_text(text)
    sdks.make_ready(folder, runtime, sdks.PLUGIN)
    stack.configure("word", "hello")
    stack.configure("--secret", "hidden", "made up")
    return stack


def test_typescript_sdk_has_types(tmp_path: Path) -> None:
    """A program that gives a function what its schema doesn't allow is refused by the compiler."""
    (tmp_path / "node_modules").symlink_to(sdks.typescript_sdk(sdks.PLUGIN))
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "main.ts").write_text(
        'import * as ampersand from "@pulumi/ampersand";\nampersand.getConnections({ details: "sometimes" });\n'
    )
    compiler = [str(provide.NODE), str(tmp_path / "node_modules" / sdks.COMPILER), *CHECK, "main.ts"]
    done = subprocess.run(compiler, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "Type '\"sometimes\"' is not assignable" in done.stdout) == (2, True), done.stdout


def test_program(runtime: str, toolchains: dict[str, str], tmp_path: Path) -> None:
    """A program runs, in a preview, which creates nothing, and in an update; it has its configuration and its SDK."""
    stack = make_program(tmp_path, runtime, PROGRAMS[runtime][1], toolchains)
    preview = stack.preview(check=True)
    assert "Stash created create" in preview.out
    assert re.search(r"\bsecret *: \[secret\]", preview.out)
    assert ("preview: true" in preview.out) == (runtime != "yaml")  # which can't know
    assert "warning" not in preview.text
    assert stack.resources() == []
    stack.run("up", "--yes", "--skip-preview", check=True)
    assert stack.outputs() == {"output": "hello", "details": "never", "secret": "made up", "preview": False}
    assert "made up" not in stack.run("stack", "export", check=True).out


def test_failing_program(runtime: str, toolchains: dict[str, str], tmp_path: Path) -> None:
    """What a program says of its failure is all that is shown: no word about its exit code."""
    result = make_program(tmp_path, runtime, FAILING[runtime], toolchains).preview()
    assert result.code != 0
    assert re.search("the[ -]reason", result.text), result.text
    assert "exit code" not in result.text


@pytest.mark.parametrize("runtime", EXITING)
def test_exiting_program(runtime: str, toolchains: dict[str, str], tmp_path: Path) -> None:
    """The exit code of a program that gives no reason is shown."""
    result = make_program(tmp_path, runtime, EXITING[runtime], toolchains).preview()
    assert result.code != 0
    assert "error: an unhandled error occurred: program exited with non-zero exit code: 3" in result.text, result.text


@pytest.mark.parametrize("runtime", ENDLESS)
def test_killed_engine_leaves_no_process(runtime: str, toolchains: dict[str, str], tmp_path: Path) -> None:
    """Host and program end by themselves when the engine is killed outright."""
    stack = make_program(tmp_path, runtime, ENDLESS[runtime], toolchains)
    file = tmp_path / "processes"
    with subprocess.Popen(
        ["pulumi", "--non-interactive", "preview"],
        cwd=tmp_path,
        env=stack.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as preview:
        try:
            wait_for(lambda: file.exists() and file.read_text().endswith(" "), "the program")
        finally:
            preview.kill()
    processes = [int(number) for number in file.read_text().split()]
    assert len(processes) == 2
    wait_for(lambda: not any(map(runs, processes)), "the end of host and program")


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with an engine and Pulumi's own hosts; the cache is empty."""
    folder = tmp_path / "official"
    write_shell(folder / "pulumi", "echo v3.259.0")
    for language in ("python", "nodejs", "go", "yaml"):
        write_shell(folder / f"pulumi-language-{language}", "exit 1")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_official_hosts_are_taken(official: Path) -> None:
    """Where Pulumi's own hosts lie beside the engine, nothing is built."""
    assert provide.hosts() == official


def test_unknown_yaml_is_refused(tmp_path: Path) -> None:
    """An interpreter for YAML that has nothing of what is changed in it isn't built in silence."""
    source = tmp_path / "source"
    (source / provide.YAML_SOURCES).mkdir(parents=True)
    (source / "go.mod").write_text("module m")
    (source / provide.YAML_SOURCES / "packages.go").write_text("package pulumiyaml")
    with pytest.raises(EngineError, match=r"has no schema\.NewPluginLoader"):
        provide.change_yaml(source, tmp_path / "copy")
