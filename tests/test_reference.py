"""The reference of the Python package: complete, up to date, and its examples run."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest

import package_schema
import pulumi_ampersand
import reference
from pulumi_ampersand.settings import CONFIG_KEYS, DEFAULT_API_URL, DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT, Settings
from pulumi_ampersand_policies import documentation

README = reference.README.read_text(encoding="utf-8")
ITEMS = {item.name: item for item in reference.items()}
WRITTEN, _, _ = README.partition(reference.BEGIN)
"""The part that people write."""


def rows(title: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = WRITTEN.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_reference_is_up_to_date() -> None:
    """What is written is what signatures and docstrings say."""
    assert reference.updated(README) == README, f"provider/README.md is out of date; run: {reference.COMMAND}"


def test_the_page_about_languages_is_up_to_date() -> None:
    """Its examples are those that tests compile."""
    text = package_schema.PAGE.read_text(encoding="utf-8")
    assert package_schema.page(text) == text, f"provider/LANGUAGES.md is out of date; run: {reference.COMMAND}"


def test_the_rules_pages_are_up_to_date() -> None:
    """Each rule has its page, and the folder holds nothing else."""
    written = {path.name: path.read_text(encoding="utf-8") for path in documentation.FOLDER.iterdir()}
    assert written == reference.pages(), f"a rule's page is out of date; run: {reference.COMMAND}"


def test_the_commands_help_is_up_to_date() -> None:
    """The audit's manual has what each command's --help prints."""
    text = reference.AUDIT.read_text(encoding="utf-8")
    assert reference.audit_manual(text) == text, f"policies/AUDIT.md is out of date; run: {reference.COMMAND}"
    names = [name for name, _ in reference.helps()]
    assert names == [
        "pulumi-ampersand audit",
        "pulumi-ampersand completion",
        "pulumi-ampersand config check",
        "pulumi-ampersand config profile",
        "pulumi-ampersand config schema",
        "pulumi-ampersand doctor",
        "pulumi-ampersand forecast",
        "pulumi-ampersand pack init",
        "pulumi-ampersand plugin install",
        "pulumi-ampersand reauth",
        "pulumi-ampersand rules show",
        "pulumi-ampersand rules",
        "pulumi-ampersand sandbox",
    ]


def test_the_manuals_table_of_controls_is_up_to_date() -> None:
    """The pack's manual names each control with the rules that it asks for, as the rules do."""
    text = reference.MANUAL.read_text(encoding="utf-8")
    assert reference.manual(text) == text, f"policies/README.md is out of date; run: {reference.COMMAND}"


def test_everything_exported_is_described_once() -> None:
    """Each exported name has its place, and no other."""
    described = [name for names in reference.PARTS.values() for name in names]
    assert sorted(described) == sorted(pulumi_ampersand.__all__)
    for name in described:
        assert README.count(f"\n### `{name}`\n") == 1


def test_everything_public_says_what_it_is() -> None:
    """Completion has something to show: for each exported name, and each attribute and method of the classes."""
    assert [item.name for item in ITEMS.values() if not item.doc] == []
    assert [f"{item.name}.{member.name}" for item in ITEMS.values() for member in item.members if not member.doc] == []


@pytest.mark.parametrize(
    "name", [name for name in pulumi_ampersand.__all__ if inspect.isclass(getattr(pulumi_ampersand, name))]
)
def test_no_member_is_left_out(name: str) -> None:
    """What a class has at run time is what the reference lists, but for what others gave it."""
    kind = getattr(pulumi_ampersand, name)
    ours = [base for base in kind.__mro__ if base.__module__.startswith("pulumi_ampersand.")]
    exported = {getattr(pulumi_ampersand, other) for other in pulumi_ampersand.__all__ if other != name}
    own = [base for base in ours if base not in exported]
    public = {attribute for base in own for attribute in vars(base) if not attribute.startswith("_")}
    public |= {
        attribute for base in own for attribute in inspect.get_annotations(base) if not attribute.startswith("_")
    }
    assert public <= {member.name for member in ITEMS[name].members}


@pytest.mark.parametrize(
    "name", [name for name in pulumi_ampersand.__all__ if inspect.isfunction(getattr(pulumi_ampersand, name))]
)
def test_every_argument_is_described(name: str) -> None:
    """A function's docstring has its arguments, all of them, in their order."""
    said = re.findall(r"^    (\w+): ", ITEMS[name].doc.partition("Args:")[2].partition("Raises:")[0], re.MULTILINE)
    assert said == list(inspect.signature(getattr(pulumi_ampersand, name)).parameters)


@pytest.mark.parametrize("name", ["Connections", "ConnectionRef", "Client", "AsyncClient"])
def test_every_argument_of_a_constructor_is_described(name: str) -> None:
    """So has a class's."""
    said = re.findall(r"^    (\w+): ", ITEMS[name].doc.partition("Args:")[2].partition("Raises:")[0], re.MULTILINE)
    assert said == list(inspect.signature(getattr(pulumi_ampersand, name)).parameters)


def test_the_table_of_settings_is_complete() -> None:
    """Each field of `Settings` and each configuration key has its row, with its true default."""
    table = rows("Configuration")
    first = " ".join(row[0] for row in table)
    assert [part.name for part in fields(Settings) if f"`{part.name}`" not in first] == []
    assert sorted(re.findall(r"ampersand:(\w+)", " ".join(row[1] for row in table))) == sorted(CONFIG_KEYS)
    defaults = {row[1].split("`")[1]: row[3] for row in table}
    assert defaults["ampersand:apiUrl"] == f"`{DEFAULT_API_URL}`"
    assert defaults["ampersand:timeout"] == f"{DEFAULT_TIMEOUT:g}"
    assert defaults["ampersand:concurrency"] == str(DEFAULT_CONCURRENCY)


def test_the_tests_of_the_life_cycle_are_there() -> None:
    """Each step's test exists, and no engine test of a step is left out of the table."""
    table = [re.findall(r"`(test_\w+)(?:\.py)?`", row[2]) for row in rows("Life cycle")]
    told = {tuple(names) for names in table}
    files = sorted({names[0] for names in told})
    there = {
        (file, name)
        for file in files
        for name in re.findall(
            r"^def (test_\w+)", (reference.README.parents[1] / f"tests/{file}.py").read_text(), re.MULTILINE
        )
    }
    assert {names for names in told if len(names) == 2} <= there
    assert {names for names in there if names[0].startswith("test_life_cycle")} <= told


def test_it_reads_well_in_an_editor() -> None:
    """No line but a table's is longer than 120 characters, and every link within the page leads somewhere."""
    lines = README.splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []
    headings = {re.sub(r"[^\w\- ]", "", line[3:].lower()).replace(" ", "-") for line in lines if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings
    for target in re.findall(r"\]\((\.\./[^)#]+)\)", README):
        assert (reference.README.parent / target).resolve().exists()


def test_the_example_of_a_unit_test_runs() -> None:
    """With Pulumi's mocks, and neither engine nor network nor key."""
    (program,) = re.findall(r"<!-- mocks -->\n```python\n(.*?)```", README, re.DOTALL)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AMP_", "PULUMI_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 1 test" in done.stderr


@pytest.mark.parametrize("source", re.findall(r"```python\n(.*?)```", README, re.DOTALL), ids=lambda text: text[:20])
def test_code_is_python(source: str) -> None:
    """Signatures aside, each example is code."""
    if not re.match(r"(async )?\w+\(", source):
        compile(source, "README.md", "exec", flags=0x2000)  # PyCF_ALLOW_TOP_LEVEL_AWAIT
