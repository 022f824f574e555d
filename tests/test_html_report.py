"""The HTML report, as an outside validator, an accessibility checker and a real browser see it."""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import html5lib  # type: ignore[import-untyped]
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

import golden
from audits import CONNECTIONS, baseline, group, part, report
from browser import Opened, chromium, opened
from html_validator.provide import problems
from pulumi_ampersand_policies import configuration
from pulumi_ampersand_policies.compliance import Control, Framework
from pulumi_ampersand_policies.evaluation import evaluate
from pulumi_ampersand_policies.report import Report
from pulumi_ampersand_policies.reports import FormatError, Look, html_report, render
from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity
from pulumi_ampersand_policies.rules import RULES
from pulumi_ampersand_policies.testing import at, connection, grant

LONG = "x" * 10_000

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<!--<script>",
    "{{7*7}}{% raw %}",
    "javascript:alert(3)",
    "\"' onmouseover=alert(4) x='",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\ufffe\uffff\u2028]]>",
    "&lt;b&gt;&amp;",
    LONG,
]
"""Names that would break out of a page in which they weren't text."""


def hostile_connections() -> list[dict[str, Any]]:
    """Connections that have one of these names wherever the API lets them be given."""
    return [
        connection(
            f"{number}{name}",
            status="bad_credentials" if number % 2 else f"status {name}",
            provider=name,
            group={"groupRef": name, "groupName": f"{name} Ltd", "projectId": name},
            consumer={"consumerRef": name, "consumerName": name, "projectId": "proj_1"},
            providerWorkspaceRef=name,
            oauth2AuthorizationCode=grant(refresh=at(days=20)),
        )
        for number, name in enumerate(HOSTILE)
    ]


def hostile() -> Report:
    """A report that has such names in sources, errors, waivers and options, too."""
    text = "".join(HOSTILE[:-1]) + "\x00\x1b[2J\u202e"
    settings = {
        "token-expiry": {"waivers": [{"group": "*", "reason": text, "approvedBy": text, "expires": "2026-12-01"}]},
        "allowed-providers": {"allow": [text]},
        "no-bad-credentials": {
            "waivers": [{"provider": HOSTILE[1], "reason": text, "approvedBy": text, "expires": "2026-12-01"}]
        },
    }
    earlier = report(connection(HOSTILE[0], status="bad_credentials"), connection(HOSTILE[1], status="bad_credentials"))
    return report(
        configuration=settings,
        parts=[part(*hostile_connections(), name=HOSTILE[1], error=HOSTILE[0])],
        baseline=baseline(earlier),
    )


def many(number: int = 230) -> Report:
    """A report of more findings than are there without JavaScript."""
    return report(
        *[
            connection(
                f"conn_{n:04}",
                provider=["salesforce", "hubspot", "slack"][n % 3],
                status="bad_credentials",
                group=group(f"g{n % 50}", f"Customer {n % 50:02}"),
            )
            for n in range(number)
        ],
        configuration={},
    )


def own_rule(**changes: Any) -> Report:
    """A report by a rule of a user's own, which names a control of a framework of their own, and crashes for one."""

    def check(inventory: Any, _options: Options, _now: Any) -> Iterator[Breach]:
        for entry in inventory:
            if entry.connection.id == "conn_crash":
                raise KeyError("secret")
            yield Breach("is not ours", entry)

    control = Control(Framework("In-house <b>", "v1 & 2", 'Our "rules"'), "X-1", "ours")
    rule = Rule(
        id="our-own-rule",
        title="It is ours <i>",
        severity=Severity.LOW,
        enforcement=Enforcement.MANDATORY,
        remediation="Ask {connection}: pulumi-ampersand reauth {connection}",
        check=check,
        options=Options,
        controls=(control,),
        **changes,
    )
    own = configuration.parse("{}", "policy-config.json", (*RULES, rule))
    made = report(connection("conn_a"), connection("conn_crash"))
    return replace(made, configuration=own, evaluation=evaluate(made.inventory, own, made.as_of))


REPORTS: dict[str, Callable[[], Report]] = {
    "everything": lambda: report(
        baseline=baseline(report(*CONNECTIONS[:4], connection("gone", status="bad_credentials")))
    ),
    "clean": lambda: report(CONNECTIONS[0], configuration={}),
    "empty": lambda: report(parts=[part()]),
    "incomplete": lambda: report(
        parts=[part(*CONNECTIONS, error="HTTP 503"), part(name="eu.json", error="no such file")]
    ),
    "hidden": lambda: report(least_shown=Severity.CRITICAL),
    "new-only": lambda: report(baseline=baseline(report()), fail_on_new=True, fail_on=Severity.LOW),
    "no-waivers": lambda: report(configuration={"waivers": "disabled"}),
    "own-rule": own_rule,
    "hostile": hostile,
    "many": many,
}


def text_of(made: Report) -> str:
    """A report as HTML."""
    return "".join(render("html", made, Look()))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The files of `REPORTS`, made when they are asked for."""
    folder = tmp_path_factory.mktemp("pages")

    def page(name: str) -> Path:
        path = folder / f"{name}.html"
        if not path.exists():
            path.write_text(text_of(REPORTS[name]()), encoding="utf-8")
        return path

    return page


Pages = Callable[[str], Path]


def shown(page: Page) -> list[str]:
    """The connections in the list of findings, from top to bottom."""
    return page.locator("#rows tr td:nth-child(3) .id").all_inner_texts()


def test_looks_as_reviewed() -> None:
    """A small report with everything in it is what was looked at last."""
    golden.check("report.html", text_of(REPORTS["everything"]()))


@pytest.mark.parametrize("name", REPORTS)
def test_is_the_same_each_time(name: str) -> None:
    """The same report gives the same bytes, without what UTF-8 or HTML can't hold."""
    text = text_of(REPORTS[name]())
    assert text == text_of(REPORTS[name]())
    assert re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2028]", text) == []


@pytest.mark.parametrize("name", REPORTS)
def test_is_valid_html(name: str, pages: Pages) -> None:
    """Neither a strict parser nor an outside validator has anything to say against it."""
    html5lib.HTMLParser(strict=True).parse(pages(name).read_text(encoding="utf-8"))
    assert problems(pages(name)) == []


def test_a_rule_that_can_not_choose() -> None:
    """One that crashes while it chooses what it is about has judged nothing, and the report says so."""

    def applies(_entry: Any, _options: Any) -> bool:
        raise ZeroDivisionError

    assert "the rule crashed with ZeroDivisionError" in text_of(own_rule(applies=applies))


@pytest.mark.parametrize("missing", ["jinja2", "vl_convert"])
def test_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its templates or charts it says how to get them."""
    real = builtins.__import__

    def importing(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == missing:
            raise ModuleNotFoundError(name=name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(FormatError, match=r"pip install 'pulumi-ampersand\[html\]'$"):
        render("html", report(), Look())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_opens_accessibly_and_alone(name: str, scheme: str, browser: Browser, pages: Pages) -> None:
    """It opens with no error, no request and no violation of its policy, and axe finds nothing, on a phone, too."""
    for width in (1280, 360):
        with opened(browser, pages(name), color_scheme=scheme, viewport={"width": width, "height": 800}) as it:
            found = Axe().run(it.page).response["violations"]
            assert [(issue["id"], [node["html"][:200] for node in issue["nodes"]]) for issue in found] == []
            assert it.page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_names_stay_text(script: bool, browser: Browser, pages: Pages) -> None:
    """No name becomes an element, an attribute that runs, or is cut off where it can't be read in full."""
    with opened(browser, pages("hostile"), java_script_enabled=script) as it:
        assert (
            it.page.locator("img, iframe, object, a:not(.skip), b, i, [onerror], [onmouseover], [style]").count() == 0
        )
        assert it.page.locator("script").count() == 2
        for details in it.page.locator("#rows summary").all():
            details.click()
        text = it.page.locator("#findings").inner_text()
        for name in HOSTILE:
            assert name.replace("\ufffe\uffff\u2028", "\ufffd\ufffd ") in text
        assert "49" not in it.page.locator("#rows td:nth-child(4)").all_inner_texts()
        charts = "".join(it.page.locator(".chart svg text").all_text_contents())
        assert HOSTILE[0][:10] in charts
        assert HOSTILE[3][:7] in charts


def test_its_policy_stops_what_escaping_would_not(browser: Browser, pages: Pages, tmp_path: Path) -> None:
    """Were a name to come through as HTML, it would neither run nor be fetched."""
    evil = "<script>document.title = 'ran'</script><img src='http://127.0.0.1:9/x' onerror=\"document.title = 'ran'\">"
    path = tmp_path / "evil.html"
    path.write_text(
        pages("everything").read_text(encoding="utf-8").replace("<main>", f"<main>{evil}"), encoding="utf-8"
    )
    page = browser.new_page()
    failures: list[str | None] = []
    page.on("requestfailed", lambda request: failures.append(request.failure))
    page.goto(path.as_uri())
    expect(page.locator("#shown")).to_have_text("Showing 1 to 7 of 7 findings.")
    assert page.title().startswith("Broken: audit")
    assert failures == ["csp"]
    page.close()


class TestVerdict:
    """What an auditor sees first."""

    @pytest.mark.parametrize(
        ("name", "word", "sentence"),
        [
            ("everything", "Broken", "4 findings of 10 connections break."),
            ("clean", "Clean", "1 connection, nothing breaks."),
            ("incomplete", "Incomplete", "2 failures; 6 findings of 10 connections break so far."),
        ],
    )
    def test_comes_first(self, name: str, word: str, sentence: str, browser: Browser, pages: Pages) -> None:
        """The verdict is a word with an icon and a sentence, and the page's title."""
        with opened(browser, pages(name)) as it:
            assert it.page.locator("h1").inner_text().strip() == word
            assert it.page.locator("h1 svg").count() == 1
            assert it.page.locator(".headline").inner_text() == sentence
            assert it.page.title() == f"{word}: audit of Ampersand connections, 2026-11-24 08:00 UTC"

    def test_incomplete_is_never_taken_for_clean(self, browser: Browser, pages: Pages) -> None:
        """Each failure is named before anything else, and no control counts as kept."""
        with opened(browser, pages("incomplete")) as it:
            errors = it.page.locator(".banner.incomplete li").all_inner_texts()
            assert errors == ["answer crm.json: HTTP 503", "answer eu.json: no such file"]
            assert it.page.locator(".standing.kept").count() == 0
            assert it.page.locator(".standing.partial").count() > 0

    def test_empty_says_so(self, browser: Browser, pages: Pages) -> None:
        """Nothing to judge is no good news."""
        with opened(browser, pages("empty")) as it:
            assert "No connections were judged" in it.page.locator(".banner").inner_text()
            assert set(it.page.locator("table.controls .standing").all_inner_texts()) == {
                "nothing to judge",
                "rule inactive",
            }

    def test_hidden_findings_are_counted(self, browser: Browser, pages: Pages) -> None:
        """What --severity leaves out of the list is said and stays in the counts."""
        with opened(browser, pages("hidden")) as it:
            assert it.page.locator(".banner").inner_text().startswith("4 open findings are not listed, because")
            assert it.page.locator(".tile .figure").all_inner_texts()[:7] == ["1", "3", "1", "0", "1", "1", "1"]
            assert shown(it.page) == ["conn_bad"]


def table(page: Page, label: str) -> list[list[str]]:
    """The body of the table under a label, cell by cell."""
    rows = page.locator(f"[role=group][aria-label='{label}'] tbody tr").all()
    return [[cell.inner_text().strip() for cell in row.locator("th, td").all()] for row in rows]


class TestSections:
    """What stands in each part."""

    def test_outlook(self, browser: Browser, pages: Pages) -> None:
        """It says how much breaks in 7, 30 and 90 days, and what, by day."""
        with opened(browser, pages("everything")) as it:
            assert it.page.locator(".three .tile").all_inner_texts() == [
                "0\nwithin 7 days\nby 2026-12-01",
                "2\nwithin 30 days\nby 2026-12-24; 2 high or critical",
                "4\nwithin 90 days\nby 2027-02-22; 4 high or critical",
            ]
            days = [[row[0], row[2], row[3]] for row in table(it.page, "What breaks next")]
            assert days == [
                ["2026-12-07", "token-expiry", "conn_later\ngoogle"],
                ["2026-12-07", "token-expiry", "conn_tolerated\nnotion"],
                ["2027-01-01", "token-expiry", "conn_scopes\nsalesforce"],
                ["2027-01-16", "token-expiry", "conn_unknown\nzendesk"],
            ]

    def test_providers(self, browser: Browser, pages: Pages) -> None:
        """Each provider's connections are counted by status; one of its own is named."""
        with opened(browser, pages("everything")) as it:
            rows = table(it.page, "Status by provider")
            assert rows[0] == ["gong", "2", "2", "0", "0", "0", "1"]
            assert rows[-1] == ["zendesk\npaused 1", "1", "0", "0", "1", "0", "1"]
            assert len(rows) == 7

    def test_many_providers(self, browser: Browser, tmp_path: Path) -> None:
        """Those with the fewest connections share a row, in which none is lost."""
        few = [
            connection(f"conn_{n}", provider=f"p{n:02}", status="paused" if n > 57 else "working") for n in range(60)
        ]
        page = tmp_path / "many.html"
        page.write_text(text_of(report(*few, connection("more", provider="p00"), configuration={})), encoding="utf-8")
        with opened(browser, page) as it:
            rows = table(it.page, "Status by provider")
        assert len(rows) == 50
        assert (rows[0][:2], rows[-1][:2]) == (["p00", "2"], ["11 others\npaused 2", "11"])
        assert sum(int(row[1]) for row in rows) == 61

    def test_controls(self, browser: Browser, pages: Pages) -> None:
        """Each control that rules check is kept, broken, or not judged, with the rules that say so."""
        with opened(browser, pages("everything")) as it:
            rows = table(it.page, "Controls of SOC 2 2017 (points of focus 2022)")
            assert [row[:3] for row in rows] == [
                ["CC6.1\nlogical access requires authentication", "broken", "allowed-auth-schemes"],
                [
                    "CC6.3\naccess follows least privilege",
                    "rule inactive",
                    'allowed-scopes inactive: it needs "scopes"\nforbidden-scopes inactive: it needs "scopes"',
                ],
            ]
            assert table(it.page, "Control coverage by framework")[1] == ["NIST SP 800-53", "1", "0", "2", "0", "2"]

    def test_own_rule_and_framework(self, browser: Browser, pages: Pages) -> None:
        """A framework of a user's own is there like any other, and a crash makes the report incomplete."""
        with opened(browser, pages("own-rule")) as it:
            assert table(it.page, "Controls of In-house <b> v1 & 2") == [
                ["X-1\nours", "broken", "our-own-rule", "1", "0", "0", "1"]
            ]
            assert it.page.locator("h1").inner_text().strip() == "Incomplete"
            assert "our-own-rule: the rule crashed with KeyError" in it.page.locator(".banner").first.inner_text()

    def test_waivers(self, browser: Browser, pages: Pages) -> None:
        """Waivers come in the order of their ends, with what became of them."""
        with opened(browser, pages("everything")) as it:
            assert table(it.page, "Waivers")[0] == [
                "2020-01-31\n2,489 days ago",
                "expired",
                "token-expiry",
                "group initech",
                "INT-4713",
                "jo@example.com",
            ]
            assert [row[1] for row in table(it.page, "Waivers")] == ["expired", "used", "unused"]
        with opened(browser, pages("no-waivers")) as it:
            assert "Waivers were ignored in this run." in it.page.locator("main").inner_text()

    def test_not_evaluated_rules_and_sources(self, browser: Browser, pages: Pages) -> None:
        """What was not evaluated, by which options the rest was, why rules are inactive, and what was read."""
        with opened(browser, pages("everything")) as it:
            assert table(it.page, "Not evaluated") == [
                ["provider-app-scopes", "its granted scopes are unknown: the API didn't send them", "1", "conn_unknown"]
            ]
            rules = {row[0].partition("\n")[0]: row[1:] for row in table(it.page, "Active rules")}
            assert rules["token-expiry"][0] == "mandatory"
            assert "minDays 7" in rules["token-expiry"][2]
            assert rules["token-expiry"][3:] == ["8", "1", "0", "1", "0"]
            assert table(it.page, "Inactive rules")[0][2] == "it is disabled by default"
            assert len(rules) + len(table(it.page, "Inactive rules")) == len(RULES)
            assert table(it.page, "Sources") == [["crm.json", "answer", "10", "complete", "\u2013"]]

    def test_baseline(self, browser: Browser, pages: Pages) -> None:
        """New findings are marked and counted, fixed and unjudged ones listed."""
        with opened(browser, pages("everything")) as it:
            compared = it.page.locator(".compared").inner_text()
            assert compared.startswith("Since 2026-11-24 08:00 UTC: ")
            it.page.locator("#state").select_option("new")
            assert shown(it.page) == ["conn_basic", "conn_scopes", "conn_unknown"]
            assert table(it.page, "Fixed")[0][2] == "gone\nsalesforce"


class TestList:
    """The list of findings."""

    @pytest.fixture
    def it(self, browser: Browser, pages: Pages) -> Iterator[Opened]:
        """A page of many findings."""
        with opened(browser, pages("many"), viewport={"width": 1280, "height": 800}) as it:
            yield it

    def test_has_pages(self, it: Opened) -> None:
        """It shows fifty at a time; the keyboard turns pages, and keeps its place at the end."""
        expect(it.page.locator("#shown")).to_have_text("Showing 1 to 50 of 230 findings.")
        assert shown(it.page) == [f"conn_{n:04}" for n in range(50)]
        following = it.page.get_by_role("button", name="Next")
        following.focus()
        for _ in range(4):
            it.page.keyboard.press("Enter")
        expect(it.page.locator("#shown")).to_have_text("Showing 201 to 230 of 230 findings.")
        expect(it.page.locator("#page")).to_have_text("Page 5 of 5")
        expect(following).to_be_disabled()
        expect(it.page.get_by_role("button", name="Previous")).to_be_focused()

    def test_is_searched_and_filtered(self, it: Opened) -> None:
        """All words must be there, in any case; filters add up; nothing found is said; reset shows all."""
        it.page.get_by_label("Search", exact=True).fill("HUBSPOT conn_000")
        expect(it.page.locator("#shown")).to_have_text("Showing 1 to 3 of 3 matching, of 230 findings.")
        it.page.get_by_label("Search", exact=True).fill("")
        it.page.get_by_label("Provider", exact=True).select_option("slack")
        expect(it.page.locator("#shown")).to_have_text("Showing 1 to 50 of 76 matching, of 230 findings.")
        it.page.get_by_label("Severity", exact=True).select_option("critical")
        it.page.get_by_label("State", exact=True).select_option("waived")
        expect(it.page.locator("#shown")).to_have_text("Nothing matches, of 230 findings.")
        it.page.get_by_role("button", name="Reset").click()
        expect(it.page.locator("#shown")).to_have_text("Showing 1 to 50 of 230 findings.")
        assert it.page.get_by_label("Provider", exact=True).input_value() == ""

    def test_is_sorted_by_keyboard(self, it: Opened) -> None:
        """Each header is a button that sorts, and turns the order the second time; it says which way."""
        header = it.page.locator("th[data-sort=connection]")
        assert header.get_attribute("aria-sort") is None
        header.get_by_role("button").focus()
        it.page.keyboard.press("Enter")
        assert header.get_attribute("aria-sort") == "ascending"
        it.page.keyboard.press("Space")
        assert header.get_attribute("aria-sort") == "descending"
        assert shown(it.page)[:2] == ["conn_0229", "conn_0228"]
        assert it.page.locator("[aria-sort]").count() == 1

    def test_shows_details(self, it: Opened) -> None:
        """A row opens to its remedy, with the command as text of its own, and its fingerprint."""
        it.page.locator("#rows summary").first.focus()
        it.page.keyboard.press("Enter")
        details = it.page.locator("#rows details").first
        assert details.locator("code").inner_text() == "pulumi-ampersand reauth conn_0000"
        assert re.search(r"Fingerprint\s+[0-9a-f]{64}", details.inner_text())
        assert details.get_by_role("button").get_attribute("aria-label") == (
            "Copy the command pulumi-ampersand reauth conn_0000"
        )

    def test_is_printed_whole(self, it: Opened, tmp_path: Path) -> None:
        """On paper are all findings that the filters let through, with their details, in light colours."""
        it.page.get_by_label("Provider", exact=True).select_option("slack")
        it.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        it.page.emulate_media(media="print", color_scheme="dark")
        expect(it.page.locator("#shown")).to_have_text("Printed: 76 findings, chosen from 230 by filters.")
        assert it.page.locator("#rows tr").count() == 76
        assert it.page.locator("#rows code").first.is_visible()
        assert not it.page.locator("#filters").is_visible()
        assert it.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        it.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert it.page.locator("#rows tr").count() == 50
        it.page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
        assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")

    def test_is_there_without_javascript(self, browser: Browser, pages: Pages) -> None:
        """Without JavaScript the first findings are there, and it is said that they are the first."""
        with opened(browser, pages("many"), java_script_enabled=False) as it:
            assert len(shown(it.page)) == html_report.STATIC_ROWS
            assert it.page.locator("#shown").inner_text().startswith("The first 200 of 230 findings, severest first.")
            assert not it.page.locator("#filters").is_visible()

    def test_is_the_same_with_and_without_javascript(self, browser: Browser, pages: Pages) -> None:
        """The script makes the rows that the template makes."""
        texts = []
        for script in (True, False):
            with opened(browser, pages("everything"), java_script_enabled=script) as it:
                for details in it.page.locator("#rows summary").all():
                    details.click()
                row = it.page.locator("#rows tr").all_inner_texts()
                texts.append([text.replace("Copy\n", "\n").replace("Copy", "") for text in row])
        assert [text.split() for text in texts[0]] == [text.split() for text in texts[1]]

    def test_its_data_is_safe_json(self) -> None:
        """The data holds every finding, and nothing that could end its element."""
        text = text_of(hostile())
        data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
        assert data is not None
        assert set("<>&") & set(data[1]) == set()
        rows = json.loads(data[1])["findings"]
        assert len(rows) == len(hostile().findings)
        assert {row[14] for row in rows} == {finding.fingerprint for finding in hostile().findings}
