"""The Markdown report: fits into a comment, and GitHub's own parser sees in it only what the report put there."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from random import Random
from typing import Any, Final

import cmarkgfm  # type: ignore[import-untyped]
import pytest
from cmarkgfm.cmark import Options  # type: ignore[import-untyped]
from markdown_it import MarkdownIt

import golden
from audits import CONNECTIONS, baseline, part, report
from pulumi_ampersand.terminal import one_line
from pulumi_ampersand_policies.evaluation import State
from pulumi_ampersand_policies.report import Report, version
from pulumi_ampersand_policies.reports import Look, render
from pulumi_ampersand_policies.reports.markdown_report import LIMIT, code
from pulumi_ampersand_policies.rule import Severity
from pulumi_ampersand_policies.testing import connection
from report_cases import TEXTS, clean, compared, hostile

OURS: Final = {
    *("h2", "h3", "p", "ul", "li", "code", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
"""The elements of a report; what is missing in it makes links, images and emphasis impossible."""


def markdown(shown: Report) -> str:
    """A report in Markdown."""
    return "".join(render("markdown", shown, Look()))


def github(text: str) -> str:
    """Markdown as HTML, made by the parser that GitHub made for itself, with what its filters would see."""
    html: str = cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE)
    return html


def markdown_it(text: str) -> str:
    """Markdown as HTML, made by markdown-it with what GitHub adds to Markdown."""
    html: str = MarkdownIt("gfm-like").render(text)
    return html


class Page(HTMLParser):
    """What a browser would show.

    Attributes:
        elements: The elements, in order.
        bare: All text outside code.
        codes: The texts of code, those joined that only a comment parts.
        cells: The texts of all table cells, row by row.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.bare: list[str] = []
        self.codes: list[str] = []
        self.cells: list[list[str]] = []
        self._open: list[str] = []
        self._joins = False
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins; of code that only a comment parts, just the first."""
        self._open.append(tag)
        if tag == "code":
            if not self._joins:
                self.codes.append("")
                self.elements.append((tag, tuple(attrs)))
            return
        self._joins = False
        self.elements.append((tag, tuple(attrs)))
        if tag == "tr":
            self.cells.append([])
        elif tag in {"td", "th"}:
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """An element ends, the innermost."""
        assert self._open.pop() == tag
        self._joins = False

    def handle_comment(self, data: str) -> None:
        """The one comment that the report makes."""
        assert data == " "
        assert self.codes
        self._joins = True

    def handle_data(self, data: str) -> None:
        """Text, in code or not."""
        if "code" in self._open:
            self.codes[-1] += data
        elif data.strip():
            self._joins = False
            self.bare.append(data)
        if self._open and {"td", "th"} & set(self._open):
            self.cells[-1][-1] += data

    def rows(self, *heads: str) -> list[list[str]]:
        """The rows of the table whose columns begin so."""
        start = next(number for number, row in enumerate(self.cells) if tuple(row[: len(heads)]) == heads)
        width = len(self.cells[start])
        rows = []
        for row in self.cells[start + 1 :]:
            if len(row) != width:
                break
            rows.append(row)
        return rows


SECTION: Final = re.compile(
    r"<summary>(?!Not evaluated|Rules that)(.*?): ([0-9,]+)</summary>\n\n"
    r"((?:- .*\n)*)\n(?:and ([0-9,]+) more: .*\n\n)?</details>"
)
"""A section's title and count, its items, and how many it leaves out."""

READERS: Final = [pytest.param(github, id="github"), pytest.param(markdown_it, id="markdown-it")]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("report.md", report(), id="one-of-everything"),
        pytest.param("report-baseline.md", compared(fail_on_new=True), id="baseline"),
    ],
)
def test_golden(name: str, shown: Report) -> None:
    """One of everything, and a comparison with a baseline."""
    golden.check(name, markdown(shown).replace(f"pulumi-ampersand {version()}", "pulumi-ampersand VERSION"))


@pytest.mark.parametrize(
    ("shown", "heading"),
    [
        pytest.param(report(connection(), configuration={}), "## ✅ Clean: 1 connection, nothing breaks.", id="clean"),
        pytest.param(report(), "## ❌ Broken: 4 findings of 10 connections break.", id="broken"),
        pytest.param(
            report(parts=[part(error="HTTP 503")]),
            "## ⚠️ Incomplete: 1 failure.",
            id="incomplete",
        ),
        pytest.param(report(parts=[part()]), "## ✅ Clean, but there was nothing to judge: 0 connections.", id="empty"),
    ],
)
def test_verdict_comes_first(shown: Report, heading: str) -> None:
    """The first line is the verdict."""
    assert markdown(shown).splitlines()[0] == heading


@pytest.mark.parametrize("reader", READERS)
def test_tables(reader: Any) -> None:
    """The counts by severity, and a row for each open finding."""
    page = Page(reader(markdown(report())))
    assert page.rows("", "Critical") == [["Open", "1", "3", "1", "0", "5"], ["Breaking", "1", "3", "0", "0", "4"]]
    assert [row[:2] + row[3:] for row in page.rows("Severity", "Rule")] == [
        ["critical", "no-bad-credentials", "yes"],
        ["high", "allowed-auth-schemes", "yes"],
        ["high", "required-scopes", "yes"],
        ["high", "token-expiry", "yes"],
        ["medium", "verifiable-connections", "no"],
    ]


def test_new_findings_come_first() -> None:
    """With a baseline, new findings come before all others, and a column says which they are."""
    page = Page(github(markdown(compared(fail_on_new=True))))
    assert page.rows("", "Critical")[2] == ["New", "2", "2", "1", "0", "5"]
    assert [(row[0], row[3], row[4]) for row in page.rows("Severity", "Rule")] == [
        ("critical", "yes", "yes"),
        ("critical", "yes", "yes"),
        ("high", "yes", "yes"),
        ("high", "yes", "yes"),
        ("medium", "no", "yes"),
        ("critical", "no", "no"),
        ("high", "no", "no"),
        ("high", "no", "no"),
    ]


def test_all_else_is_folded_away() -> None:
    """What is waived, tolerated, not evaluated, compared or only of interest to auditors has a title with its count."""
    titles = [line for line in markdown(compared()).splitlines() if line.startswith("<summary>")]
    assert titles == [
        "<summary>How to mend them</summary>",
        "<summary>Tolerated: 1</summary>",
        "<summary>Waived: 1</summary>",
        "<summary>Fixed: 2</summary>",
        "<summary>Not judged now, so maybe not fixed: 3</summary>",
        "<summary>Not evaluated: 1</summary>",
        "<summary>Waivers: 3</summary>",
        "<summary>Active rules: 13</summary>",
        "<summary>Rules that aren't active: 6</summary>",
        "<summary>Sources: 2</summary>",
    ]
    assert "\n### Failures\n\n- `answer proj_2: HTTP 503 Service Unavailable`\n" in markdown(compared())


def test_what_is_hidden_is_said() -> None:
    """How many findings --severity hides is said; the counts are of all."""
    text = markdown(report(least_shown=Severity.CRITICAL))
    assert "4 open findings below severity critical are not shown." in text
    page = Page(github(text))
    assert page.rows("", "Critical")[0] == ["Open", "1", "3", "1", "0", "5"]
    assert len(page.rows("Severity", "Rule")) == 1


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", TEXTS)
def test_hostile_text_stays_text(name: str, reader: Any) -> None:
    """Hostile text stands in code, to the letter; outside code nothing differs from a harmless report."""
    shown = hostile(TEXTS[name])
    page, harmless = Page(reader(markdown(shown))), Page(reader(markdown(hostile("plain"))))
    assert {tag for tag, _ in page.elements} <= OURS
    assert page.elements == harmless.elements
    assert page.bare == harmless.bare
    project = [f" (project {finding.project})" if finding.project else "" for finding in shown.findings]
    messages = [
        one_line(finding.message + where, 1500)
        for finding, where in zip(shown.findings, project, strict=True)
        if finding.state is State.OPEN
    ]
    assert sorted(row[2] for row in page.rows("Severity", "Rule")) == sorted(messages)
    text, written = clean(TEXTS[name]), TEXTS[name].encode("utf-8", "replace").decode()
    listed = [
        f"{written} <connection>",
        f"waived until 2099-12-31, approved by {written}: {written}",
        f"{written}: {written}",
        f"project {text}: 0 connections; {text}",
        f"project {text}: {text}",
    ]
    assert [said for said in listed if one_line(said, 300) not in page.codes] == []


@pytest.mark.parametrize("reader", READERS)
def test_any_text_stays_text(reader: Any) -> None:
    """Whatever a text is made of, it is read as it was written, in lists and in tables."""
    random = Random(1)
    texts = [
        one_line("".join(random.choices(["`", "``", "|", "\\", " ", "a", "*", "<b>", "&lt;", "$", "]("], k=length)))
        for length in range(1, 40)
        for _ in range(30)
    ]
    texts = [f"a{text}" if text in {"", " "} else text for text in texts]
    listed = Page(reader("".join(f"- {code(text)}\n" for text in texts)))
    assert listed.codes == [one_line(text, 300) for text in texts]
    parts = [
        part(connection(f"conn_{number:04}", provider="p", status="bad_credentials", group={"groupName": text}))
        for number, text in enumerate(texts)
    ]
    for number in range(0, len(parts), 200):
        shown = report(
            parts=parts[number : number + 200], configuration={"all": "disabled", "no-bad-credentials": "advisory"}
        )
        rows = Page(reader(markdown(shown))).rows("Severity", "Rule")
        messages = [f"{finding.message} (project proj_1)" for finding in shown.findings]
        assert len(rows) > 100
        assert [row[2] for row in rows] == messages[: len(rows)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Acme Ltd", id="plain"),
        pytest.param("\U0001f468" * 400, id="emoji"),
        pytest.param("\\|" * 400, id="escaped-pipes"),
        pytest.param("".join("`" * length + " " for length in range(1, 60)), id="backticks"),
    ],
)
def test_fits_into_a_comment(text: str) -> None:
    """However much there is, it stays below GitHub's limit, counted in any way; what is left out is counted."""
    many = [
        dict(CONNECTIONS[number % 10], id=f"conn_{number:04}", group={"groupRef": text, "groupName": text})
        for number in range(1500)
    ]
    names = [
        {"connection": f"{text}{number}", "reason": text, "approvedBy": text, "expires": "2099-12-31"}
        for number in range(60)
    ]
    waivers = [{"provider": "hubspot", "reason": text, "approvedBy": text, "expires": "2099-12-31"}, *names]
    configuration = {"no-bad-credentials": {"waivers": waivers}, "refreshable": {"tolerate": "100%"}}
    parts = [
        part(*many),
        *(part(name=clean(f"{number} {text}"), error=clean(f"HTTP 503 {text}")) for number in range(60)),
    ]
    earlier = [dict(connection, id=f"gone_{number}") for number, connection in enumerate(many)]
    shown = report(
        parts=parts,
        configuration=configuration,
        baseline=baseline(report(*earlier, configuration=configuration)),
    )
    written = markdown(shown)
    assert len(written.encode()) <= LIMIT < 65_536
    page = Page(github(written))
    assert {tag for tag, _ in page.elements} <= OURS
    rows = page.rows("Severity", "Rule")
    assert len(rows) > 5
    opened = len(shown.opened)
    assert f"\n\nand {opened - len(rows):,} more: `--format json` has all.\n" in written
    listed = SECTION.findall(written)
    lists = ["Tolerated", "Waived", "Not judged now, so maybe not fixed", "Waivers", "Active rules", "Sources"]
    assert [title for title, *_ in listed] == lists
    for title, number, items, more in listed:
        assert int(number.replace(",", "")) == items.count("\n") + int(more.replace(",", "") or 0), title
        assert items.startswith("- "), title
    assert written.endswith("</details>\n\n")
    assert len(written.encode()) > LIMIT - 12_000


def test_same_report_same_text() -> None:
    """The same report gives the same text."""
    assert markdown(compared()) == markdown(compared())
