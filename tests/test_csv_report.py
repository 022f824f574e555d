"""The CSV report: nothing is lost, other programs read it as it was meant, and no spreadsheet calculates it."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path
from typing import Final

import duckdb
import pytest

import golden
from audits import part, report
from pulumi_ampersand_policies.audit import audit
from pulumi_ampersand_policies.configuration import default
from pulumi_ampersand_policies.report import Report
from pulumi_ampersand_policies.reports import Look, json_report, render
from pulumi_ampersand_policies.reports.csv_report import COLUMNS
from pulumi_ampersand_policies.reports.csv_report import rows as csv_rows
from pulumi_ampersand_policies.rule import Severity
from pulumi_ampersand_policies.testing import NOW, connection
from report_cases import TEXTS, clean, compared, hostile

STARTS: Final = "=+-@\uff1d\uff0b\uff0d\uff20\t\r\n"
"""What makes a cell a formula where it comes first."""

IGNORED: Final = " \"'\u00a0\u200b\ufeff"
"""What a reader may drop before it."""


def text(shown: Report) -> str:
    """A report as CSV."""
    return "".join(render("csv", shown, Look()))


def rows(shown: Report, delimiter: str = ",") -> list[dict[str, str]]:
    """A report's rows, as Python reads them."""
    content = text(shown).encode().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, strict=delimiter == ","))


def calculated(cell: str) -> bool:
    """Whether a spreadsheet might take a cell for a formula."""
    bare = cell.lstrip(IGNORED)
    return bare[:1] != "" and bare[0] in STARTS and "'" not in cell[: len(cell) - len(bare)][-1:]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("report.csv", report(), id="one-of-everything"),
        pytest.param("report-baseline.csv", compared(fail_on_new=True), id="baseline"),
    ],
)
def test_golden(name: str, shown: Report) -> None:
    """One of everything, and a comparison with a baseline."""
    golden.check(name, text(shown))


def test_form() -> None:
    """After a byte order mark, each row is one line that ends with CR LF, the column names first."""
    content = text(report())
    assert content.startswith("\ufeff" + ",".join(COLUMNS) + "\r\n")
    assert content.count("\n") == content.count("\r\n") == len(rows(report())) + 1
    assert content.endswith("\r\n")


def test_findings_are_those_of_the_json_report() -> None:
    """Every field of every finding is there, with the same text."""
    shown = compared(fail_on_new=True)
    findings = [row for row in rows(shown) if row["kind"] == "finding"]
    documents = json_report.document(shown)["findings"]
    assert len(findings) == len(documents) == 10
    for row, document in zip(findings, documents, strict=True):
        waiver = document.pop("waiver") or {}
        for answer in ("new", "breaks"):
            assert row.pop(answer) == ("yes" if document.pop(answer) else "no")
        assert {name: row[name] for name in document} == document
        assert row["waiverReason"] == waiver.get("reason", "")
        assert row["waiverApprovedBy"] == waiver.get("approvedBy", "")
        assert row["waiverExpires"] == waiver.get("expires", "")
        assert row["waiverSelects"] == (f"group {waiver['group']}" if waiver else "")


def test_what_breaks() -> None:
    """A column says which findings break, and the first row the verdict."""
    shown = compared(fail_on_new=True)
    breaking = [row["fingerprint"] for row in rows(shown) if row["breaks"] == "yes"]
    assert breaking == [finding.fingerprint for finding in shown.breaking]
    first = rows(shown)[0]
    assert (first["kind"], first["state"]) == ("report", "incomplete")
    assert first["message"] == (
        "Incomplete: 1 failure; 4 findings of 11 connections break so far. As of 2026-11-24T08:00:00Z. New findings of "
        "mandatory rules break. 8 open (3 critical, 4 high, 1 medium, 0 low), 1 waived, 1 tolerated, 1 not evaluated. "
        "Compared with the baseline of 2026-11-24T08:00:00Z: 5 new, 3 unchanged, 2 fixed, 3 not judged now."
    )


def test_all_else_is_there() -> None:
    """Sources, what could not be judged, waivers, rules and what became of the baseline have rows of their own."""
    found = rows(compared(fail_on_new=True))
    kinds = [(row["kind"], row["state"]) for row in found if row["kind"] not in {"finding", "rule"}]
    assert kinds == [
        ("report", "incomplete"),
        ("source", "complete"),
        ("source", "failed"),
        ("notEvaluated", "notEvaluated"),
        ("waiver", "used"),
        ("waiver", "unused"),
        ("waiver", "expired"),
        ("baseline", "fixed"),
        ("baseline", "fixed"),
        ("baseline", "notJudged"),
        ("baseline", "notJudged"),
        ("baseline", "notJudged"),
    ]
    messages = {row["message"] for row in found}
    assert "answer proj_2: 0 connections; HTTP 503 Service Unavailable" in messages
    assert "its granted scopes are unknown: the API didn't send them" in messages
    assert [row["waiverSelects"] for row in found if row["kind"] == "waiver"] == [
        "group globex",
        "group unused",
        "group initech",
    ]
    assert [row["connection"] for row in found if row["state"] == "fixed"] == ["conn_fixed", "conn_fixed"]
    idle = {row["rule"]: row["message"] for row in found if (row["kind"], row["state"]) == ("rule", "inactive")}
    assert idle["allowed-providers"] == 'it needs "allow" or "deny"'
    active = {row["rule"]: row["enforcement"] for row in found if (row["kind"], row["state"]) == ("rule", "active")}
    assert active["token-expiry"] == "mandatory"
    assert len(idle) + len(active) == 19


def test_what_is_hidden_is_said() -> None:
    """How many findings --severity hides stands in the first row."""
    found = rows(report(least_shown=Severity.CRITICAL))
    assert " 4 open findings below severity critical are not shown. " in found[0]["message"]
    assert [row["connection"] for row in found if row["kind"] == "finding"] == ["conn_bad"]


def test_empty() -> None:
    """A report of nothing has its verdict, its sources and its rules."""
    found = rows(audit([part()], default(), NOW))
    assert [row["kind"] for row in found[:3]] == ["report", "source", "rule"]
    assert found[0]["state"] == "clean"


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_stays_text(name: str) -> None:
    """No cell is a formula, not even for readers that split at semicolons; no text is changed but by an apostrophe."""
    shown = hostile(TEXTS[name])
    content = text(shown)
    assert not [letter for letter in content if unicodedata.category(letter) in {"Cc", "Cs"} and letter not in "\r\n"]
    found = rows(shown)
    assert content.count("\n") == len(found) + 1
    assert [cell for row in found for cell in row.values() if calculated(cell)] == []
    semicolons = csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline=""), delimiter=";")
    assert [cell for row in semicolons for cell in row if calculated(cell)] == []
    (bad,) = [row for row in found if row["rule"] == "no-bad-credentials" and row["breaks"] == "yes"]
    for column in ("connection", "provider", "group", "consumer"):
        assert bad[column].replace("'", "") == clean(TEXTS[name]).replace("'", "")


@pytest.mark.parametrize(
    ("written", "cell"),
    [
        pytest.param("=1+1", "'=1+1", id="equals"),
        pytest.param("+1", "'+1", id="plus"),
        pytest.param("-1", "'-1", id="minus"),
        pytest.param("@a", "'@a", id="at"),
        pytest.param("\uff1d1", "'\uff1d1", id="fullwidth"),
        pytest.param('" =1', "\" '=1", id="after-a-quote-and-a-space"),
        pytest.param("a; =1;-1", "a; '=1;'-1", id="after-semicolons"),
        pytest.param("a=1-1+1@b", "a=1-1+1@b", id="inside"),
        pytest.param("a; b", "a; b", id="harmless-semicolon"),
        pytest.param("Müller & Söhne, 株式会社", "Müller & Söhne, 株式会社", id="other-letters"),
    ],
)
def test_formulas_get_an_apostrophe(written: str, cell: str) -> None:
    """What begins a formula gets an apostrophe before it; all else is as it was."""
    found = rows(report(connection(status="bad_credentials", group={"groupRef": written, "groupName": "a"})))
    assert {row["group"] for row in found if row["kind"] == "finding"} == {cell}


def test_another_program_reads_the_same(tmp_path: Path) -> None:
    """DuckDB, left to find out about delimiter, quotes and mark by itself, reads the rows that Python reads."""
    file = tmp_path / "report.csv"
    for name, written in TEXTS.items():
        shown = hostile(written)
        file.write_bytes(text(shown).encode())
        relation = duckdb.sql(
            "from read_csv($file, all_varchar = true, strict_mode = true)", params={"file": str(file)}
        )
        assert relation is not None
        assert tuple(relation.columns) == COLUMNS, name
        read = [dict(zip(COLUMNS, (cell or "" for cell in row), strict=True)) for row in relation.fetchall()]
        assert read == rows(shown), name


def test_same_report_same_text() -> None:
    """The same report gives the same text."""
    assert text(compared(fail_on_new=True)) == text(compared(fail_on_new=True))


def test_long_reports_come_in_pieces() -> None:
    """A long report is handed over piece by piece."""
    many = [connection(f"conn_{index:05}", status="bad_credentials") for index in range(2500)]
    shown = report(*many, configuration={"unique-connections": "disabled"})
    pieces = list(render("csv", shown, Look()))
    assert len(pieces) == 3
    assert len(list(csv.reader(io.StringIO("".join(pieces), newline="")))) == 1 + 1 + 1 + 2500 + 19


def test_any_table() -> None:
    """Other tables are written in the same way."""
    table = [("on", "message"), ("2026-11-24", "=1+1"), ("", 'a\n"b", c')]
    assert "".join(csv_rows(table)) == '\ufeffon,message\r\n2026-11-24,\'=1+1\r\n,"a ""b"", c"\r\n'
