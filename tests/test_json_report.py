"""The JSON report and its schema: every report fits it, and nothing else does."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

import golden
from audits import CONNECTIONS, baseline, part, report
from pulumi_ampersand_policies import reports
from pulumi_ampersand_policies.audit import Part, audit
from pulumi_ampersand_policies.configuration import default, parse
from pulumi_ampersand_policies.report import Report, Source, SourceKind, version
from pulumi_ampersand_policies.reports import Look, render
from pulumi_ampersand_policies.rule import Severity
from pulumi_ampersand_policies.testing import NOW, connection
from report_cases import TEXTS, compared, hostile

SCHEMA_FILE: Final = Path(str(resources.files(reports) / "report.schema.json"))
SCHEMA: Final[dict[str, Any]] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
VALIDATOR: Final = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

SELECTORS: Final = {"connection": "conn_bad", "provider": "*", "group": "umb*", "consumer": "*"}
WAIVER: Final = {**SELECTORS, "reason": "INT-1", "approvedBy": "jo@example.com", "expires": "2099-12-31"}
EVERYTHING: Final = {"all": "mandatory", "no-bad-credentials": {"waivers": [WAIVER]}}
"""A waiver that selects by everything, and all rules."""

REPORTS: Final[dict[str, Report]] = {
    "one-of-everything": report(),
    "clean": report(connection(), configuration={}),
    "empty": audit([part()], default(), NOW),
    "no-sources": audit([], default(), NOW),
    "default": audit([part(*CONNECTIONS)], default(), NOW),
    "every-selector": report(configuration=EVERYTHING),
    "every-filter": report(filters={"provider": "gong", "groupRef": "acme", "consumerRef": "acme-jo"}),
    "waivers-ignored": audit([part(*CONNECTIONS)], parse('{"waivers": "disabled"}', "policy-config.json"), NOW),
    **{f"fail-on-{severity.value}": report(fail_on=severity) for severity in Severity},
    **{f"hidden-below-{severity.value}": report(least_shown=severity) for severity in Severity},
    **{kind.value: report(parts=[Part(Source(kind, "a", 1), part(connection()).inventory)]) for kind in SourceKind},
    "incomplete": report(parts=[part(*CONNECTIONS), part(name="other.json", error="HTTP 503")]),
    "partial": report(parts=[part(*CONNECTIONS, error="3 connections can't be read")]),
    "requirements": report(configuration={"required-connections": {"require": [{"provider": "sap", "groupRef": "a"}]}}),
    "baseline": compared(),
    "baseline-gate": compared(fail_on_new=True),
    "unchanged": report(baseline=baseline(report())),
    "own-rule": hostile("plain"),
    **{f"hostile-{name}": hostile(text) for name, text in TEXTS.items()},
}

Place = tuple[str | int, ...]


def text(shown: Report) -> str:
    """A report as JSON."""
    return "".join(render("json", shown, Look()))


def places(document: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value inside a document, with the way to it; of options, which are each rule's own, just that they are."""
    yield place, document
    if place[-1:] == ("options",):
        return
    if isinstance(document, dict):
        for key, value in document.items():
            yield from places(value, (*place, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from places(value, (*place, index))


def holder(document: Any, place: Place) -> Any:
    """What in a document holds the place."""
    for key in place[:-1]:
        document = document[key]
    return document


def general(place: Place) -> str:
    """The way to a value without its indexes."""
    return ".".join("[]" if isinstance(key, int) else key for key in place)


def test_golden() -> None:
    """One of everything."""
    golden.check("report.json", text(report()).replace(f'"version": "{version()}"', '"version": "VERSION"'))


def test_golden_of_a_comparison() -> None:
    """A comparison with a baseline, of which a part could not be read."""
    shown = text(compared(fail_on_new=True))
    golden.check("report-baseline.json", shown.replace(f'"version": "{version()}"', '"version": "VERSION"'))


@pytest.mark.parametrize("name", REPORTS)
def test_fits_the_schema(name: str) -> None:
    """Every report is valid by its schema."""
    errors = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(json.loads(text(REPORTS[name])))]
    assert errors == []


def check_jsonschema(*arguments: str) -> str:
    """What check-jsonschema says, an outside validator; empty if all is well."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr + f"exit code {done.returncode}"


def test_another_validator_agrees(tmp_path: Path) -> None:
    """An outside tool finds the schema a schema, every report valid and a spoilt one not."""
    assert check_jsonschema("--check-metaschema", str(SCHEMA_FILE)) == ""
    files = []
    for name, shown in REPORTS.items():
        file = tmp_path / f"{name}.json"
        file.write_text(text(shown), encoding="utf-8")
        files.append(str(file))
    assert check_jsonschema("--schemafile", str(SCHEMA_FILE), *files) == ""
    spoilt = tmp_path / "spoilt.json"
    spoilt.write_text(text(report()).replace('"verdict": "broken"', '"verdict": "clean"'), encoding="utf-8")
    assert "exit code 1" in check_jsonschema("--schemafile", str(SCHEMA_FILE), str(spoilt))


def test_schema_is_strict_and_explains_itself() -> None:
    """Every object but options names all its properties, and everything that has a type has a description."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    definitions = {f"$defs.{name}": part for name, part in SCHEMA["$defs"].items()}
    loose, silent = [], []
    for start, schema in {"": SCHEMA, **definitions}.items():
        for way, found in subschemas(schema, start):
            target = SCHEMA["$defs"].get(str(found.get("$ref", "")).removeprefix("#/$defs/"), {})
            if (
                "description" not in found
                and "description" not in target
                and "/properties/" not in found.get("$ref", "")
            ):
                silent.append(way)
            if found.get("type") == "object" and found.get("additionalProperties") is not False:
                loose.append(way)
    assert silent == []
    assert loose == ["$defs.rule.options"]


def subschemas(schema: dict[str, Any], way: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and those of its properties; conditions aside."""
    yield way, schema
    for name, value in schema.get("properties", {}).items():
        yield from subschemas(value, f"{way}.{name}")


def test_every_property_is_in_an_example() -> None:
    """Each property of the schema is filled in by some report, with each of the values that it names."""
    seen: dict[str, set[str]] = {}
    for shown in REPORTS.values():
        for place, value in places(json.loads(text(shown))):
            seen.setdefault(general(place), set()).add(json.dumps(value) if not isinstance(value, (dict, list)) else "")
    named: dict[str, set[str]] = {}
    for way, values in named_values(SCHEMA, ""):
        named.setdefault(way, set()).update(values)
    assert {way: values - seen.get(way, set()) for way, values in named.items() if way not in seen} == {}
    assert {way: values - seen[way] for way, values in named.items() if values - seen[way]} == {}


def named_values(schema: dict[str, Any], way: str) -> Iterator[tuple[str, set[str]]]:
    """Each place that a schema names, and the values that it names there."""
    if "$ref" in schema:
        target: Any = SCHEMA
        for key in schema["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        yield from named_values(target, way)
        return
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    types = schema.get("type", [])
    if types == "null" or "null" in types:
        values = [*values, None]
    yield way, set(map(json.dumps, values))
    for choice in schema.get("anyOf", []):
        yield from named_values(choice, way)
    for name, value in schema.get("properties", {}).items():
        yield from named_values(value, f"{way}.{name}".lstrip("."))
    if "items" in schema:
        yield from named_values(schema["items"], f"{way}.[]")


OPTIONAL: Final = {
    f"{place}.{name}"
    for place in ("findings.[].waiver", "waivers.[]")
    for name in ("connection", "provider", "group", "consumer")
}
"""What a waiver needn't have, as long as it selects by anything."""


@pytest.mark.parametrize("name", ["baseline", "every-selector"])
def test_what_is_dropped_or_renamed_is_refused(name: str) -> None:
    """Without any of its keys, with an unknown one or with one misspelt, a report isn't valid."""
    assert set(dispensable(json.loads(text(REPORTS[name])), VALIDATOR)) <= OPTIONAL


def dispensable(document: Any, validator: Validator) -> list[str]:
    """The ways to what a document may lack; that it has an unknown key in the place of one of its own is refused."""
    document = copy.deepcopy(document)
    passed = []
    for place, value in list(one_of_each(document)):
        if not place or isinstance(place[-1], int):
            continue
        whole = holder(document, place)
        del whole[place[-1]]
        if validator.is_valid(document):
            passed.append(general(place))
        whole[f"{place[-1]}X"] = value
        assert not validator.is_valid(document), general(place)
        del whole[f"{place[-1]}X"]
        whole[place[-1]] = value
    return passed


@pytest.mark.parametrize("name", ["baseline", "every-selector"])
def test_wrong_types_are_refused(name: str) -> None:
    """With a value of a wrong type anywhere, a report isn't valid."""
    passed = untyped(json.loads(text(REPORTS[name])), VALIDATOR)
    # Options are each rule's own, and no filter need be given.
    allowed: dict[str, list[Any]] = {"rules.[].options": [{}, {"a": 1}], "filters": [{}]}
    assert [(way, wrong) for way, wrong in passed if wrong not in allowed.get(way, [])] == []


def untyped(document: Any, validator: Validator) -> list[tuple[str, Any]]:
    """The ways to what may be of another type in a document, and what it may be."""
    document = copy.deepcopy(document)
    passed = []
    for place, value in list(one_of_each(document)):
        if not place:
            continue
        whole = holder(document, place)
        for wrong in (None, True, 1.5, -1, "", [], {}, [None], {"a": 1}):
            whole[place[-1]] = wrong
            if not similar(value, wrong) and validator.is_valid(document):
                passed.append((general(place), wrong))
        whole[place[-1]] = value
    return passed


def similar(value: Any, wrong: Any) -> bool:
    """Whether a value is of the right type: an empty text in place of another, or a list without items."""
    return type(value) is type(wrong) and wrong in (None, True, "", [])


def one_of_each(document: Any) -> Iterator[tuple[Place, Any]]:
    """The places of a document, of alike ones two: they may differ in what else they hold."""
    met: dict[str, int] = {}
    for place, value in places(document):
        kind = f"{general(place)} {type(value).__name__}"
        met[kind] = met.get(kind, 0) + 1
        if met[kind] <= 2:
            yield place, value


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param(("exitCode",), 0, id="exit-code-of-another-verdict"),
        pytest.param(("verdict",), "clean", id="clean-but-breaking"),
        pytest.param(("summary", "breaking"), 0, id="broken-by-nothing"),
        pytest.param(("asOf",), "2026-11-24T08:00:00+00:00", id="time-not-in-utc"),
        pytest.param(("asOf",), "2026-13-24T08:00:00Z", id="no-time"),
        pytest.param(("sources", 0, "error"), "HTTP 503", id="complete-with-an-error"),
        pytest.param(("sources", 0, "status"), "failed", id="failed-without-an-error"),
        pytest.param(("findings", 0, "fingerprint"), "A" * 64, id="no-fingerprint"),
        pytest.param(("findings", 0, "state"), "waived", id="waived-without-a-waiver"),
        pytest.param(("findings", 0, "new"), False, id="new-without-a-baseline"),
        pytest.param(("findings", 0, "severity"), "severe", id="unknown-severity"),
        pytest.param(("findings", 0, "enforcement"), "disabled", id="finding-of-a-disabled-rule"),
        pytest.param(("rules", 0, "active"), True, id="active-but-disabled"),
        pytest.param(("rules", 1, "reason"), "it is", id="active-with-a-reason"),
        pytest.param(("waivers", 0, "expires"), "2099-02-30", id="no-day"),
        pytest.param(("schemaVersion",), 2, id="other-version"),
    ],
)
def test_what_contradicts_itself_is_refused(place: Place, value: Any) -> None:
    """What a report can't mean isn't valid."""
    document = json.loads(text(report()))
    holder(document, place)[place[-1]] = value
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("name", REPORTS)
def test_same_report_same_text(name: str) -> None:
    """The same report gives the same text, which ends its last line and can be encoded."""
    content = text(REPORTS[name])
    assert content == text(REPORTS[name])
    assert content.encode().endswith(b"}\n")
