"""Types that help: mypy and pyright agree with typed programs, and say what is wrong with others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from stack import ROOT

CHECKERS = ("mypy", "pyright")
PYTHON = "3.10"
"""The oldest Python that the package runs on."""

WRONG_START = """
import pulumi
from pulumi_ampersand import (
    AsyncClient, Client, ConnectionRef, Connections, Expect, Limits, Settings,
    get_access_token, get_connection, get_connections, get_connections_output, get_projects,
)

access = Settings().resolve({}, {})
client = Client(access)
awaited = AsyncClient(access)
found = get_connections()
later = pulumi.Output.from_input("salesforce")
""".strip()

WRONG = {
    "unknown-filter": ('Connections("a", group="acme")', '"group"'),
    "filter-no-text": ('Connections("a", group_ref=1)', '"group_ref"'),
    "unknown-details": ('Connections("a", details="sometimes")', '"details"'),
    "unknown-refresh": ('Connections("a", refresh="force")', '"refresh"'),
    "settings-as-text": ('Connections("a", settings="ampersand:apiKeyEu")', '"settings"'),
    "expect-as-dict": ('Connections("a", expect={"min": 1})', '"expect"'),
    "opts-as-dict": ('Connections("a", opts={"parent": None})', '"opts"'),
    "filter-without-name": ('Connections("a", "salesforce")', "positional argument"),
    "no-resource-name": ("Connections()", '"resource_name"'),
    "import": ('ConnectionRef("a", id="x")', '"id"'),
    "id-no-text": ('ConnectionRef("a", connection_id=3)', '"connection_id"'),
    "unknown-expectation": ("Expect(minimum=1)", '"minimum"'),
    "count-as-text": ('Expect(min="1")', '"min"'),
    "expect-without-name": ("Expect(1)", "positional argument"),
    "key-in-settings": ('Settings(api_key="secret")', '"api_key"'),
    "timeout-as-text": ('Settings(timeout="30")', '"timeout"'),
    "limit-as-text": ('Limits(connect="1")', '"connect"'),
    "function-without-name": ('get_connections("salesforce")', "positional argument"),
    "output-for-plain": ("get_connections(provider=later)", '"provider"'),
    "function-unknown-details": ('get_connections(details="sometimes")', '"details"'),
    "output-settings-as-text": ('get_connections_output(settings="x")', '"settings"'),
    "function-id-no-text": ("get_connection(connection_id=3)", '"connection_id"'),
    "no-connection-for-token": ("get_access_token()", '"connection_id"'),
    "unknown-argument": ('get_projects(project="x")', '"project"'),
    "misspelt-attribute": ("print(found[0].grup)", '"grup"'),
    "perhaps-none": ("print(found[0].group.name)", '"name"'),
    "misspelt-output": ('print(Connections("a").conections)', '"conections"'),
    "no-such-output": ('print(ConnectionRef("a").workspace)', '"workspace"'),
    "wrong-output": ('flag: pulumi.Output[str] = ConnectionRef("a").healthy', '"Output[bool]"'),
    "client-filter": ('client.list_connections("x", group="y")', '"group"'),
    "client-details": ('client.list_connections("x", details="y")', '"details"'),
    "not-awaited": ("names: list[str] = awaited.list_projects()", "Any, list[Project]]"),
}
"""A line that is wrong, and what both checkers have to say of it."""


class Remark(NamedTuple):
    """What a checker reports.

    Attributes:
        file: The file's name.
        line: The line, from 1 on.
        text: What it says.
    """

    file: str
    line: int
    text: str


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with typed usage, the examples, each a module of its own, and wrong usage; and a cache beside it."""
    folder = tmp_path_factory.mktemp("types") / "sources"
    folder.mkdir()
    shutil.copy(ROOT / "tests" / "typed_usage.py", folder)
    for program in ROOT.glob("examples/*/__main__.py"):
        shutil.copy(program, folder / f"{program.parent.name.replace('-', '_')}.py")
    (folder / "wrong.py").write_text("\n".join([WRONG_START, *(line for line, _ in WRONG.values())]) + "\n")
    return folder


@pytest.fixture(scope="module")
def remarks(sources: Path) -> Mapping[str, list[Remark]]:
    """What each checker reports of the sources, at its strictest, as it is set up for nobody but us."""
    return {"mypy": _mypy(sources), "pyright": _pyright(sources)}


def _mypy(folder: Path) -> list[Remark]:
    options = ("--config-file=", "--strict", "--python-version", PYTHON, "--output", "json")
    cache = ("--cache-dir", str(folder.parent / "cache"))
    text = _run("mypy", *options, *cache, *map(str, sorted(folder.glob("*.py"))))
    entries = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [
        Remark(Path(entry["file"]).name, entry["line"], entry["message"])
        for entry in entries
        if entry["severity"] == "error"
    ]


def _pyright(folder: Path) -> list[Remark]:
    settings = {"typeCheckingMode": "strict", "pythonVersion": PYTHON, "include": ["."]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    text = _run("pyright", "--project", str(folder), "--pythonpath", sys.executable, "--outputjson")
    report = json.loads(text)
    assert report["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py")))
    return [
        Remark(Path(entry["file"]).name, entry["range"]["start"]["line"] + 1, entry["message"])
        for entry in report["generalDiagnostics"]
    ]


def _run(checker: str, *arguments: str) -> str:
    """What a checker prints. Neither the user's settings nor a network are any of its business."""
    others = ("PYRIGHT_", "MYPY", "PYTHONPATH", "NODE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    done = subprocess.run(
        [sys.executable, "-m", checker, *arguments],
        # With these the wrapper of pyright neither looks for a newer one nor says so: it runs what it was shipped with.
        env=environment | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    # There are wrong lines, so that a clean report is none.
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("checker", CHECKERS)
def test_typed_programs_are_clean(checker: str, remarks: Mapping[str, list[Remark]]) -> None:
    """Usage of the whole API and every example pass the strictest settings."""
    assert [remark for remark in remarks[checker] if remark.file != "wrong.py"] == []


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_reported(checker: str, case: str, remarks: Mapping[str, list[Remark]]) -> None:
    """Each wrong line is reported where it stands, by a sentence that names what is wrong."""
    line = len(WRONG_START.splitlines()) + 1 + list(WRONG).index(case)
    said = [remark.text for remark in remarks[checker] if remark[:2] == ("wrong.py", line)]
    assert any(WRONG[case][1] in text for text in said), said


@pytest.mark.parametrize("checker", CHECKERS)
def test_nothing_else_is_reported(checker: str, remarks: Mapping[str, list[Remark]]) -> None:
    """The lines before the wrong ones are right."""
    first = len(WRONG_START.splitlines()) + 1
    assert [remark for remark in remarks[checker] if remark.file == "wrong.py" and remark.line < first] == []
