"""``make demo``, and the README's promise of what it prints."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pulumi_ampersand_policies.rules import RULES
from stack import ROOT, clean_environment

README = (ROOT / "README.md").read_text(encoding="utf-8")


def timeless(line: str) -> str:
    """A line without what differs from day to day."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", re.sub(r"expires in \d+ days", "expires in N days", line)).strip()


@pytest.mark.engine
def test_demo_comes_out_as_said_and_prints_the_readmes_excerpt(engine: Path) -> None:
    """All three previews end as promised, and every line of the README's excerpt is among what is printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), str(engine)],
        env=clean_environment(engine),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("exit code 0: passed") == 1
    assert done.stdout.count("exit code 1: refused") == 2
    printed = {timeless(line) for line in done.stdout.splitlines()}
    (excerpt,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    assert [line for line in excerpt.splitlines() if timeless(line) not in printed] == []


def test_demo_leaves_out_settings_of_own_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of a stack that somebody made by hand stay out: the demonstration doesn't know their passphrase."""
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    assert spec
    assert spec.loader
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    root = tmp_path / "root"
    shutil.copytree(ROOT / "examples" / "quickstart", root / "examples" / "quickstart")
    (root / "examples" / "quickstart" / "Pulumi.dev.yaml").write_text("encryptionsalt: v1:x\n")
    monkeypatch.setattr(demo, "ROOT", root)
    copy = demo._copy("quickstart", tmp_path)
    assert {"Pulumi.yaml", "__main__.py", "policies"} <= {file.name for file in copy.iterdir()}
    assert not (copy / "Pulumi.dev.yaml").exists()


def test_readme_lists_every_rule_as_it_is() -> None:
    """The README's table has each rule under what it does by default, apart by whether it needs options."""
    levels = {"stops a deployment": "mandatory", "is reported": "advisory", "is off": "disabled"}
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (`.*) \|$", README, re.MULTILINE))
    assert rows.keys() == levels.keys()
    for name, text in rows.items():
        active, _, optional = text.partition("; with your options ")
        for part, needing in ((active, False), (optional, True)):
            assert re.findall(r"`([a-z-]+)`", part) == [
                rule.id for rule in RULES if rule.enforcement.value == levels[name] and bool(rule.needed) == needing
            ]
