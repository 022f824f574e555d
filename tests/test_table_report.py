"""The table: readable at 80 columns, verdict first and last, and nothing in it but what the report says."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

import pytest
from rich.cells import cell_len

import golden
from audits import CONNECTIONS, baseline, group, part, report
from pulumi_ampersand_policies.audit import audit
from pulumi_ampersand_policies.configuration import parse
from pulumi_ampersand_policies.report import Report
from pulumi_ampersand_policies.reports import Look, render
from pulumi_ampersand_policies.rule import Severity
from pulumi_ampersand_policies.testing import NOW, connection
from report_cases import TEXTS, clean, compared, hostile

STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")


def table(shown: Report, width: int = 80, *, colour: bool = False) -> str:
    """A report as a table."""
    return "".join(render("table", shown, Look(width=width, colour=colour)))


def bad(number: int, **changes: Any) -> list[dict[str, Any]]:
    """Connections with bad credentials."""
    return [connection(f"conn_{index:04}", status="bad_credentials", **changes) for index in range(number)]


def columns(line: str) -> int:
    """How wide a line is on a terminal."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in line
    )


@pytest.mark.parametrize("width", [80, 120])
def test_golden(width: int) -> None:
    """One of everything, at two widths."""
    golden.check(f"table-{width}.txt", table(report(), width))


def test_golden_of_a_comparison() -> None:
    """A report that is compared with a baseline, of which a part could not be read."""
    golden.check("table-baseline.txt", table(compared(fail_on_new=True)))


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        pytest.param(report(connection(), configuration={}), "Clean: 1 connection, nothing breaks.", id="clean"),
        pytest.param(report(*bad(2), configuration={}), "Broken: 2 findings of 2 connections break.", id="broken"),
        pytest.param(
            report(parts=[part(error="HTTP 503")]),
            "Incomplete: 1 failure.",
            id="incomplete",
        ),
        pytest.param(report(parts=[part()]), "Clean, but there was nothing to judge: 0 connections.", id="empty"),
    ],
)
def test_verdict_is_first_and_last(shown: Report, verdict: str) -> None:
    """The verdict is the first line and the last, where a log is read; before it, the counts."""
    lines = table(shown, 200).splitlines()
    assert (lines[0], lines[-1]) == (verdict, verdict)
    assert re.match(r"[0-9,]+ open \([0-9,]+ critical, ", lines[-2])


def test_failures_follow_the_verdict() -> None:
    """What could not be read, and a rule that crashed, stand right after the verdict."""
    lines = table(report(parts=[part(*bad(1)), part(name="other.json", error="HTTP 503")]), 120).splitlines()
    assert lines[3:5] == ["Failures: 1", "  - answer other.json: HTTP 503"]


@pytest.mark.parametrize(
    ("options", "shown", "more"),
    [
        pytest.param({}, 20, "  and 1,180 more: --format json has all", id="default"),
        pytest.param({"maxReported": 3}, 3, "  and 1,197 more: --format json has all", id="fewer"),
        pytest.param({"maxReported": 1199}, 1000, "  and 200 more: --format json has all", id="at-most-a-thousand"),
    ],
)
def test_many_findings_of_a_rule(options: dict[str, int], shown: int, more: str) -> None:
    """Of each rule as many findings are shown as its maxReported says, a thousand at most; the rest is counted."""
    lines = table(report(*bad(1200), configuration={"no-bad-credentials": options})).splitlines()
    assert "no-bad-credentials  critical, mandatory: 1,200 findings break" in lines
    assert sum(line.startswith("  - conn_") for line in lines) == shown
    assert more in lines


def test_what_breaks_and_what_is_new_comes_first() -> None:
    """Where only some findings of a rule break, these are marked and come first, as do new ones."""
    configuration = {"no-bad-credentials": {"maxReported": 2}}
    earlier = baseline(report(*bad(3), configuration=configuration))
    known = table(report(*bad(4), configuration=configuration, baseline=earlier), 120)
    assert re.findall(r"^  (\S.*?) +conn_([0-9]+) ", known, re.MULTILINE) == [("new", "0003"), ("-", "0000")]
    gated = table(report(*bad(4), configuration=configuration, baseline=earlier, fail_on_new=True), 120)
    assert "no-bad-credentials  critical, mandatory: 4 findings, 1 of them breaking\n" in gated
    assert re.findall(r"^  (\S.*?) +conn_([0-9]+) ", gated, re.MULTILINE) == [("breaks, new", "0003"), ("-", "0000")]


def test_what_is_not_evaluated_is_counted() -> None:
    """What a rule could not judge is one line for each reason, with a count and the first connections."""
    unknown = [dict(CONNECTIONS[7], id=f"conn_{index:04}") for index in range(1200)]
    lines = table(report(*unknown), 200).splitlines()
    assert lines[lines.index("Not evaluated: 1,200") + 1] == (
        "  - provider-app-scopes: its granted scopes are unknown: the API didn't send them; "
        "1,200 connections: conn_0000, conn_0001, conn_0002 and 1,197 more"
    )


def test_what_is_hidden_is_said() -> None:
    """How many findings --severity hides is said at once; the counts are of all."""
    text = table(report(least_shown=Severity.CRITICAL), 200)
    assert "Findings of mandatory rules break. 4 open findings below severity critical are not shown.\n" in text
    assert "conn_basic" not in text
    assert "\n5 open (1 critical, 3 high, 1 medium, 0 low), 1 waived, 1 tolerated, 1 not evaluated.\n" in text


def test_waivers_that_are_ignored() -> None:
    """That waivers don't count is said."""
    ignoring = audit([part(connection())], parse('{"waivers": "disabled"}', "policy-config.json"), NOW)
    assert table(ignoring, 200).splitlines()[1].endswith(" Findings of mandatory rules break. Waivers are ignored.")


def test_projects_are_named_where_there_are_several() -> None:
    """With one project, no finding names it; with several, each does."""
    ours, theirs = part(*bad(1)), part(*bad(1, projectId="proj_2"), project="proj_2", name="other.json")
    assert "(project " not in table(report(parts=[ours]))
    both = table(report(parts=[ours, theirs]), 200)
    assert "(status bad_credentials) (project proj_1)\n" in both
    assert "(status bad_credentials) (project proj_2)\n" in both


def test_wide_letters_are_aligned() -> None:
    """Letters of two columns are counted as two: no line is too long, and folded ones keep their indent."""
    customer = group("kk", "株式会社テスト商事 渋谷営業所 第一営業部")
    text = table(report(*bad(2, provider="株式会社", group=customer)), 60)
    assert max(map(columns, text.splitlines())) <= 60
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  - conn_0000"))
    assert lines[start : start + 3] == [
        "  - conn_0000 (株式会社, 株式会社テスト商事 渋谷営業所",
        "    第一営業部): the provider refuses its credentials",
        "    (status bad_credentials)",
    ]


def test_colour_adds_nothing_but_colour() -> None:
    """With colours the same text is shown; without there is no escape at all."""
    coloured, plain = table(compared(), colour=True), table(compared())
    assert "\x1b" not in plain
    assert STYLE.sub("", coloured) == plain
    assert coloured.startswith("\x1b[1;35mIncomplete: ")


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "COLORTERM": "truecolor"}, id="force"),
        pytest.param({"NO_COLOR": "1", "TERM": "dumb"}, id="deny"),
        pytest.param({"COLUMNS": "20", "LINES": "5", "JUPYTER_COLUMNS": "30"}, id="size"),
    ],
)
def test_only_the_look_counts(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment changes nothing: who asks has looked at it."""
    before = (table(report()), table(report(), colour=True))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (table(report()), table(report(), colour=True)) == before


@pytest.mark.parametrize("width", [0, 1, 39])
def test_narrow_terminals(width: int) -> None:
    """Below 40 columns it stays at 40."""
    assert table(report(), width) == table(report(), 40)


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_stays_text(name: str) -> None:
    """Hostile text is shown to the letter, steers nothing, and is never a line of the report itself."""
    shown = hostile(TEXTS[name])
    text = table(shown)
    letters = [letter for letter in text if letter != "\n"]
    assert not [letter for letter in letters if unicodedata.category(letter) in {"Cc", "Cs"}]
    assert not set(letters) & set(
        "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"
    )
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "".join(clean(TEXTS[name]).split()) in "".join(text.split())
    coloured = table(shown, colour=True)
    assert STYLE.sub("", coloured) == text
    assert [line for line in text.splitlines() if line.startswith(("Clean", "Failures"))] == ["Failures: 1"]


def test_same_report_same_text() -> None:
    """The same report gives the same text."""
    assert table(compared()) == table(compared())
