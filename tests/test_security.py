"""`SECURITY.md`: each threat has a test that exists, each attacker a threat, and what it recommends is accepted."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from pulumi_ampersand_policies.configuration import parse
from stack import ROOT

DOCUMENT: Final = ROOT / "SECURITY.md"
TESTS: Final = ROOT / "tests"


class Threat(NamedTuple):
    """A line of the table."""

    id: str
    who: str
    what: str
    defence: str
    test: str


def threats(text: str) -> list[Threat]:
    """The lines of the table; one that has another number of cells is an error."""
    lines = [line for line in text.splitlines() if re.match(r"\| T\d+ ", line)]
    return [Threat(*(cell.strip() for cell in line.strip("|").split(" | "))) for line in lines]


def section(text: str, title: str) -> str:
    """What stands under a heading of the second level."""
    (found,) = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(f"{title}\n")]
    return found


@cache
def names(file: Path) -> frozenset[str]:
    """The tests in a file, ``Class::test`` where they are in one; what only looks like a test isn't collected."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def exists(test: str) -> bool:
    """Whether there is a test of that name: a file below ``tests/``, then its name, with ``::`` between them."""
    file, separator, name = test.partition("::")
    path = TESTS / file
    return bool(separator) and path.is_file() and name in names(path)


TEXT: Final = DOCUMENT.read_text("utf-8")
THREATS: Final = threats(TEXT)


@pytest.mark.parametrize("threat", THREATS, ids=[threat.id for threat in THREATS])
def test_every_threat_has_a_test(threat: Threat) -> None:
    """Who, what and against it, and one test that exists."""
    assert all(threat)
    (test,) = re.findall(r"`([^`]+)`", threat.test)
    assert threat.test == f"`{test}`"
    assert exists(test)


def test_threats_are_numbered() -> None:
    """One after the other, none twice."""
    assert [threat.id for threat in THREATS] == [f"T{number:02}" for number in range(1, len(THREATS) + 1)]
    assert len({threat.what for threat in THREATS}) == len(THREATS) > 50


def test_every_attacker_has_a_threat() -> None:
    """And every threat an attacker of whom it is said what they can do."""
    described = set(re.findall(r"\*\*(.+?)\*\*", section(TEXT, "Who can do what").lower()))
    assert {threat.who.lower() for threat in THREATS} == described


@pytest.mark.parametrize(
    ("test", "there"),
    [
        ("test_security.py::test_what_is_no_test_is_found", True),
        ("test_security.py::test_nothing", False),
        ("test_security.py::exists", False),
        ("test_nowhere.py::test_nothing", False),
        ("test_security.py", False),
        ("test_pack.py::test_the_packs_gate_is_not_led_astray", False),
        ("test_pack.py::TestTrust::test_the_packs_gate_is_not_led_astray", True),
        ("test_pack.py::TestRoot::test_the_packs_gate_is_not_led_astray", False),
    ],
)
def test_what_is_no_test_is_found(test: str, there: bool) -> None:
    """A name that was mistyped, or a test that was moved or renamed, isn't taken for one."""
    assert exists(test) is there


def test_a_line_of_another_form_is_no_threat() -> None:
    """A cell too few is seen, instead of being read as something else."""
    assert threats("| T01 | a | b | c | `d` |\n| x |\n") == [Threat("T01", "a", "b", "c", "`d`")]
    with pytest.raises(TypeError):
        threats("| T01 | a | b | `d` |\n")


def test_the_recommended_configuration_is_accepted() -> None:
    """What is to be copied does what is said of it."""
    (block,) = re.findall(r"```json\n(.*?)```", section(TEXT, "Pin the gate"), re.DOTALL)
    configuration = parse(block, "SECURITY.md")
    active = configuration.active("readable-connections")
    assert active is not None
    gate = json.loads(block)["readable-connections"]["gate"]
    assert active.options.model_dump(by_alias=True, exclude_unset=True)["gate"] == gate
    assert {level.enforcement.value for level in configuration.rules if level.rule.id in json.loads(block)} == {
        "mandatory"
    }


def test_links_lead_somewhere() -> None:
    """Those into the repository, with their headings."""
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, heading = target.partition("#")
        assert (ROOT / path).exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target
